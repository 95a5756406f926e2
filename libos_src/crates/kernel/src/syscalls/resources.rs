//! Limits, usage and processors.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use hal::Errno;

use super::argument::Address;
use super::call::{Call, Outcome};
use super::process::usage_record;
use crate::processes::{Limit, Limits};
use crate::threads::Thread;

/// `prlimit64(2)`. All limits are remembered and inherited; those of descriptors, of addresses and of
/// data are kept.
pub(super) fn prlimit64(
    call: &mut Call<'_>,
    pid: i32,
    resource: u32,
    new: Address,
    old: Address,
) -> Outcome {
    let process = match pid {
        0 => call.process.clone(),
        pid => {
            let pid = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
            call.libos.processes.get(pid).ok_or(Errno::ESRCH)?
        }
    };
    let new = match new.non_null() {
        Some(address) => Some(call.memory().read::<[u64; 2]>(address.0)?),
        None => None,
    };
    let before = process.limits.lock().get(resource)?;
    if let Some([soft, hard]) = new {
        process.limits.lock().set(resource, Limit { soft, hard })?;
        if resource == Limits::DESCRIPTORS {
            process.descriptors.write().set_limit(soft);
        } else if !Limits::HELD.contains(&resource) && before != (Limit { soft, hard }) {
            let reason = "limits are set in Occlum.yaml; the new one has no effect";
            call.libos.report_once(call.regs.rax, reason);
        }
    }
    if let Some(address) = old.non_null() {
        call.memory()
            .write(address.0, &[before.soft, before.hard])?;
    }
    Ok(0)
}

/// `getrlimit(2)`.
pub(super) fn getrlimit(call: &mut Call<'_>, resource: u32, limit: Address) -> Outcome {
    let value = call.process.limits.lock().get(resource)?;
    call.memory().write(limit.0, &[value.soft, value.hard])?;
    Ok(0)
}

/// `setrlimit(2)`.
pub(super) fn setrlimit(call: &mut Call<'_>, resource: u32, limit: Address) -> Outcome {
    prlimit64(call, 0, resource, limit, Address(0))
}

/// `getrusage(2)`. Times are the host's word; all of it counts as the program's own.
pub(super) fn getrusage(call: &mut Call<'_>, who: i32, usage: Address) -> Outcome {
    const RUSAGE_CHILDREN: i32 = -1;
    const RUSAGE_THREAD: i32 = 1;
    if !(RUSAGE_CHILDREN..=RUSAGE_THREAD).contains(&who) {
        return Err(Errno::EINVAL.into());
    }
    let record = if who == RUSAGE_CHILDREN {
        usage_record(*call.process.children_time.lock(), 0)
    } else {
        let time = if who == RUSAGE_THREAD {
            call.libos.thread_time(call.thread)
        } else {
            call.libos.processor_time(call.process)
        };
        usage_record(time, call.memory().sizes_bytes().1)
    };
    call.memory().write(usage.0, &record)?;
    Ok(0)
}

/// `sched_getaffinity(2)`: the processors that were chosen, or all that there are.
pub(super) fn sched_getaffinity(call: &mut Call<'_>, tid: i32, len: u64, mask: Address) -> Outcome {
    let thread = thread_of(call, tid)?;
    let all = all_processors(call);
    if len < all.len() as u64 || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL.into());
    }
    let chosen = thread.affinity.lock().clone();
    let set = if chosen.is_empty() { all } else { chosen };
    call.memory().copy_out(mask.0, &set)?;
    Ok(set.len() as u64)
}

/// `sched_setaffinity(2)`: the host decides where threads run, so the choice is only remembered.
pub(super) fn sched_setaffinity(call: &mut Call<'_>, tid: i32, len: u64, mask: Address) -> Outcome {
    let thread = thread_of(call, tid)?;
    let mut set = all_processors(call);
    let bytes = call.memory().read_bytes(mask.0, len.min(128) as usize)?;
    for (at, allowed) in set.iter_mut().enumerate() {
        *allowed &= bytes.get(at).copied().unwrap_or(0);
    }
    if set.iter().all(|&byte| byte == 0) {
        return Err(Errno::EINVAL.into());
    }
    *thread.affinity.lock() = set;
    Ok(0)
}

/// A bit for each processor, in whole words.
fn all_processors(call: &Call<'_>) -> Vec<u8> {
    let count = call.libos.machine.cpu_count().max(1) as usize;
    let mut set = vec![0u8; count.div_ceil(64) * 8];
    for cpu in 0..count {
        set[cpu / 8] |= 1 << (cpu % 8);
    }
    set
}

/// A thread by its id, 0 for the one that asks.
fn thread_of(call: &Call<'_>, tid: i32) -> Result<Arc<Thread>, Errno> {
    let tid = match u32::try_from(tid).map_err(|_| Errno::ESRCH)? {
        0 => return Ok(call.thread.clone()),
        tid => tid,
    };
    let process = call.libos.processes.of_thread(tid).ok_or(Errno::ESRCH)?;
    process.thread(tid).ok_or(Errno::ESRCH)
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
    let exists = tid == 0
        || call
            .libos
            .processes
            .of_thread(tid.cast_unsigned())
            .is_some();
    if exists { Ok(()) } else { Err(Errno::ESRCH) }
}
