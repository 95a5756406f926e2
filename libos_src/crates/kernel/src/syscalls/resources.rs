//! Limits, usage and processors.

use alloc::vec;

use hal::{Clock, Errno};

use super::argument::Address;
use super::call::{Call, Outcome};
use super::records::Limit;
use crate::files::DESCRIPTORS_MAX;

const UNLIMITED: u64 = u64::MAX;

/// `prlimit64(2)`, for this process. Limits come from the configuration: one can be set to what it
/// is, or lower where nothing depends on it, and is then forgotten.
pub(super) fn prlimit64(
    call: &mut Call<'_>,
    pid: i32,
    resource: u32,
    new: Address,
    old: Address,
) -> Outcome {
    if pid != 0 && pid.cast_unsigned() != call.process.pid {
        return Err(Errno::ESRCH.into());
    }
    let limit = limit_of(call, resource)?;
    if let Some(address) = new.non_null() {
        let new: Limit = call.memory().read(address.0)?;
        if new.soft > new.hard {
            return Err(Errno::EINVAL.into());
        }
        if new.hard > limit.hard {
            return Err(Errno::EPERM.into());
        }
        if new != limit {
            let reason = "limits are set in Occlum.yaml; the new one has no effect";
            call.libos.report_once(call.regs.rax, reason);
        }
    }
    if let Some(address) = old.non_null() {
        call.memory().write(address.0, &limit)?;
    }
    Ok(0)
}

/// `getrlimit(2)`.
pub(super) fn getrlimit(call: &mut Call<'_>, resource: u32, limit: Address) -> Outcome {
    let value = limit_of(call, resource)?;
    call.memory().write(limit.0, &value)?;
    Ok(0)
}

/// `setrlimit(2)`.
pub(super) fn setrlimit(call: &mut Call<'_>, resource: u32, limit: Address) -> Outcome {
    prlimit64(call, 0, resource, limit, Address(0))
}

fn limit_of(call: &Call<'_>, resource: u32) -> Result<Limit, Errno> {
    const RLIMIT_DATA: u32 = 2;
    const RLIMIT_STACK: u32 = 3;
    const RLIMIT_CORE: u32 = 4;
    const RLIMIT_NPROC: u32 = 6;
    const RLIMIT_NOFILE: u32 = 7;
    const RLIMIT_AS: u32 = 9;
    const RLIMIT_MAX: u32 = 15;
    let layout = call.memory().layout();
    let both = |value| Limit {
        soft: value,
        hard: value,
    };
    Ok(match resource {
        RLIMIT_DATA => both(layout.heap_limit_bytes),
        RLIMIT_STACK => both(layout.stack.end - layout.stack.start),
        RLIMIT_CORE => both(0),
        RLIMIT_NPROC => both(call.libos.config.threads.max.into()),
        RLIMIT_NOFILE => both(DESCRIPTORS_MAX as u64),
        RLIMIT_AS => both(layout.user.end - layout.user.start),
        0..=RLIMIT_MAX => both(UNLIMITED),
        _ => return Err(Errno::EINVAL),
    })
}

/// `getrusage(2)`. Times are those of the clock: an enclave cannot measure what it really used.
pub(super) fn getrusage(call: &mut Call<'_>, who: i32, usage: Address) -> Outcome {
    const RUSAGE_CHILDREN: i32 = -1;
    const RUSAGE_THREAD: i32 = 1;
    const WORDS: usize = 18;
    if !(RUSAGE_CHILDREN..=RUSAGE_THREAD).contains(&who) {
        return Err(Errno::EINVAL.into());
    }
    let mut words = [0u64; WORDS];
    if who != RUSAGE_CHILDREN {
        let now = call.libos.machine.clock(Clock::Monotonic);
        words[0] = now.seconds;
        words[1] = u64::from(now.nanoseconds) / 1000;
        // ru_maxrss, in KiB.
        words[4] = call.memory().sizes_bytes().1 / 1024;
    }
    call.memory().write(usage.0, &words)?;
    Ok(0)
}

/// `sched_getaffinity(2)`: all processors that there are.
pub(super) fn sched_getaffinity(call: &mut Call<'_>, tid: i32, len: u64, mask: Address) -> Outcome {
    check_thread(call, tid)?;
    let count = call.libos.machine.cpu_count().max(1) as usize;
    let bytes = count.div_ceil(64) * 8;
    if len < bytes as u64 || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL.into());
    }
    let mut set = vec![0u8; bytes];
    for cpu in 0..count {
        set[cpu / 8] |= 1 << (cpu % 8);
    }
    call.memory().copy_out(mask.0, &set)?;
    Ok(bytes as u64)
}

/// `sched_setaffinity(2)`: the host decides where threads run, so any choice is accepted.
pub(super) fn sched_setaffinity(call: &mut Call<'_>, tid: i32, len: u64, mask: Address) -> Outcome {
    check_thread(call, tid)?;
    let bytes = call.memory().read_bytes(mask.0, len.min(128) as usize)?;
    if bytes.iter().all(|&byte| byte == 0) {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}

/// `getpriority(2)`: 20 less the nice value, which is zero.
pub(super) fn getpriority(call: &mut Call<'_>, which: u32, who: i32) -> Outcome {
    const PRIO_PROCESS: u32 = 0;
    const PRIO_PGRP: u32 = 1;
    const PRIO_USER: u32 = 2;
    const NEUTRAL: u64 = 20;
    match which {
        PRIO_PROCESS => check_thread(call, who)?,
        PRIO_PGRP | PRIO_USER => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(NEUTRAL)
}

/// `sched_getscheduler(2)`: `SCHED_OTHER`.
pub(super) fn sched_getscheduler(call: &mut Call<'_>, tid: i32) -> Outcome {
    if tid < 0 {
        return Err(Errno::EINVAL.into());
    }
    check_thread(call, tid)?;
    Ok(0)
}

fn check_thread(call: &Call<'_>, tid: i32) -> Result<(), Errno> {
    let exists = tid == 0 || call.process.thread(tid.cast_unsigned()).is_some();
    if exists { Ok(()) } else { Err(Errno::ESRCH) }
}
