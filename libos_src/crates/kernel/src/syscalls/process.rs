//! The end of threads and processes, and waiting for it.

use hal::Errno;
use vfs::OpenFlags;
use zerocopy::IntoBytes;

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use crate::files::ProcessFile;
use crate::processes::{Change, Children, EndStatus, Sorts, WaitFor, Waited};
use crate::signals::{Signal, SignalInfo};
use crate::threads::Usage;

const WNOHANG: i32 = 1;
const WUNTRACED: i32 = 2;
const WEXITED: i32 = 4;
const WCONTINUED: i32 = 8;
const WNOWAIT: i32 = 0x0100_0000;
const WALL: i32 = 0x4000_0000;
const WCLONE: i32 = 0x8000_0000_u32.cast_signed();
/// Not for children that another thread made: `__WNOTHREAD`. All threads have the same here.
const WNOTHREAD: i32 = 0x2000_0000;
const WAIT_SORTS: i32 = WALL | WCLONE | WNOTHREAD;

/// `exit(2)`: this thread ends, and the process with its last thread.
pub(super) fn exit(call: &mut Call<'_>, status: i32) -> Outcome {
    let then = (call.libos).end_thread(call.task, EndStatus::Exited(status));
    Err(call.leave(then))
}

/// `exit_group(2)`.
pub(super) fn exit_group(call: &mut Call<'_>, status: i32) -> Outcome {
    let then = (call.libos).end_process(call.task, EndStatus::Exited(status));
    Err(call.leave(then))
}

/// `wait4(2)`.
pub(super) fn wait4(
    call: &mut Call<'_>,
    pid: i32,
    status: Address,
    options: i32,
    usage: Address,
) -> Outcome {
    const WAIT4: u64 = 61;
    if options & !(WNOHANG | WUNTRACED | WCONTINUED | WAIT_SORTS) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let children = match pid {
        i32::MIN => return Err(Errno::ESRCH.into()),
        -1 => Children::Any,
        0 => Children::Group(own_group(call)?),
        pid if pid < 0 => Children::Group(pid.unsigned_abs()),
        pid => Children::Pid(pid.cast_unsigned()),
    };
    let wait = WaitFor {
        children,
        sorts: sorts_of(options),
        ended: true,
        stopped: options & WUNTRACED != 0,
        continued: options & WCONTINUED != 0,
        keeps: false,
    };
    let Some(waited) = wait_for(call, &wait, options, WAIT4)? else {
        return Ok(0);
    };
    if let Some(address) = status.non_null() {
        let word = match waited.change {
            Change::Ended(status) => status.wait_status(),
            Change::Stopped(signal) => u32::from(signal.number()) << 8 | 0x7f,
            Change::Continued => 0xffff,
        };
        call.memory().write(address.0, &word)?;
    }
    write_usage(call, usage, waited)?;
    Ok(waited.pid.into())
}

/// `waitid(2)`.
pub(super) fn waitid(
    call: &mut Call<'_>,
    kind: u32,
    id: i32,
    info: Address,
    options: i32,
    usage: Address,
) -> Outcome {
    const WAITID: u64 = 247;
    const P_ALL: u32 = 0;
    const P_PID: u32 = 1;
    const P_PGID: u32 = 2;
    const P_PIDFD: u32 = 3;
    let what = options & (WEXITED | WUNTRACED | WCONTINUED);
    if options & !(WNOHANG | WNOWAIT | what | WAIT_SORTS) != 0 || what == 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut is_patient = true;
    let children = match (kind, id) {
        (P_ALL, _) => Children::Any,
        (P_PID, 1..) => Children::Pid(id.cast_unsigned()),
        (P_PIDFD, 0..) => {
            let file = call.file(id)?;
            is_patient = !file.flags().contains(OpenFlags::NON_BLOCKING);
            let opened = ProcessFile::behind(&file).ok_or(Errno::EBADF)?;
            Children::Pid(opened.process()?.pid)
        }
        (P_PGID, 0) => Children::Group(own_group(call)?),
        (P_PGID, 1..) => Children::Group(id.cast_unsigned()),
        _ => return Err(Errno::EINVAL.into()),
    };
    let wait = WaitFor {
        children,
        sorts: sorts_of(options),
        ended: options & WEXITED != 0,
        stopped: options & WUNTRACED != 0,
        continued: options & WCONTINUED != 0,
        keeps: options & WNOWAIT != 0,
    };
    let waited = if is_patient {
        wait_for(call, &wait, options, WAITID)?
    } else {
        let waited = wait_for(call, &wait, options | WNOHANG, WAITID)?;
        if waited.is_none() && options & WNOHANG == 0 {
            return Err(Errno::EAGAIN.into());
        }
        waited
    };
    if let Some(address) = info.non_null() {
        // As Linux, only the fields that it fills: siginfo_t is longer.
        const FIELDS_BYTES: usize = 28;
        let record = waited.map(|waited| {
            SignalInfo::from_child(Signal::CHLD, waited.pid, waited.user, waited.change)
        });
        let bytes = record.as_ref().map_or(&[0; FIELDS_BYTES][..], |record| {
            &record.as_bytes()[..FIELDS_BYTES]
        });
        call.memory().copy_out(address.0, bytes)?;
    }
    if let Some(waited) = waited {
        write_usage(call, usage, waited)?;
    }
    Ok(0)
}

const fn sorts_of(options: i32) -> Sorts {
    if options & WALL != 0 {
        Sorts::All
    } else if options & WCLONE != 0 {
        Sorts::Others
    } else {
        Sorts::Usual
    }
}

fn own_group(call: &Call<'_>) -> Result<u32, Errno> {
    let (group, _) = call.libos.processes.group_and_session(call.process.pid)?;
    Ok(group)
}

/// Waits in the call `number`; `None` when there is nothing yet and the call does not wait.
fn wait_for(
    call: &mut Call<'_>,
    wait: &WaitFor,
    options: i32,
    number: u64,
) -> Result<Option<Waited>, Stop> {
    let is_patient = options & WNOHANG == 0;
    if is_patient {
        // Before looking, so that what happens afterwards is not missed.
        call.thread.before_looking();
        let mut waiting = call.process.waiting_for_children.lock();
        if !waiting
            .iter()
            .any(|thread| thread.tid() == call.thread.tid())
        {
            waiting.push(call.thread.clone());
        }
    }
    let found = call.libos.processes.look_for_child(call.process, wait);
    let is_over = !is_patient || !matches!(found, Ok(None));
    if is_over || call.process.has_signal_for(call.thread) {
        let mut waiting = call.process.waiting_for_children.lock();
        waiting.retain(|thread| thread.tid() != call.thread.tid());
    }
    if is_over {
        return Ok(found?);
    }
    if call.process.has_signal_for(call.thread) {
        return Err(Stop::Restart);
    }
    Err(call.wait_without_thread(number))
}

fn write_usage(call: &Call<'_>, usage: Address, waited: Waited) -> Result<(), Errno> {
    let Some(address) = usage.non_null() else {
        return Ok(());
    };
    let record = usage_record(waited.used, waited.resident_bytes);
    call.memory().write(address.0, &record)
}

/// `struct rusage`, as far as it is known.
pub(super) fn usage_record(used: Usage, resident_bytes: u64) -> [u64; 18] {
    let mut words = [0; 18];
    for (place, time) in [(0, used.user()), (2, used.system())] {
        words[place] = time.as_secs();
        words[place + 1] = time.subsec_micros().into();
    }
    // ru_maxrss, in KiB.
    words[4] = resident_bytes / 1024;
    words
}
