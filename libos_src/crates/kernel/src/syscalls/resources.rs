//! Limits, usage and processors.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hal::Errno;
use procfs::Number;
use vfs::Capabilities;

use super::argument::Address;
use super::call::{Call, Outcome};
use super::process::usage_record;
use crate::processes::{Ids, Limit, Limits, Process};
use crate::threads::{usage_of_process, usage_of_thread};

/// `prlimit64(2)`. All limits are remembered and inherited; most have an effect, see
/// [`Limits::HELD`].
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
            let processes = &call.libos.processes;
            // Also one that has ended has them.
            let process = processes.of_thread(pid).or_else(|| processes.get(pid));
            process.ok_or(Errno::ESRCH)?
        }
    };
    let new = match new.non_null() {
        Some(address) => Some(call.memory().read::<[u64; 2]>(address.0)?),
        None => None,
    };
    let before = process.limits.lock().get(resource)?;
    check_limits_of(call, &process)?;
    if let Some([soft, hard]) = new {
        let may_raise = call.standing().can(Capabilities::OVERRIDE_LIMITS);
        let new = Limit { soft, hard };
        let descriptors_max = call.libos.settings.get(Number::Descriptors);
        (process.limits.lock()).set(resource, new, may_raise, descriptors_max)?;
        match resource {
            Limits::DESCRIPTORS => process.places().files.write().set_limit(soft),
            Limits::CPU if process.thread_count() == 0 => {}
            Limits::CPU => process.processor_limit.start(call.libos, &process),
            _ if !Limits::HELD.contains(&resource) && before != new => {
                let reason = "the new limit is kept and inherited, and has no effect";
                call.libos.report_once(call.regs.rax, reason);
            }
            _ => {}
        }
    }
    if let Some(address) = old.non_null() {
        call.memory()
            .write(address.0, &[before.soft, before.hard])?;
    }
    Ok(0)
}

/// Checks that the limits of a process are the calling thread's to see and set.
fn check_limits_of(call: &Call<'_>, process: &Arc<Process>) -> Result<(), Errno> {
    if Arc::ptr_eq(process, call.process) {
        return Ok(());
    }
    let (own, their) = (call.standing(), process.standing());
    let is_same = |own: Ids, their: Ids| {
        let theirs = [their.real, their.effective, their.saved];
        theirs.iter().all(|&id| id == own.real)
    };
    if is_same(own.user, their.user) && is_same(own.group, their.group) {
        return Ok(());
    }
    call.require(Capabilities::OVERRIDE_LIMITS)
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

/// `getrusage(2)`. Times are the host's word; what of them is in system calls is an estimate.
pub(super) fn getrusage(call: &mut Call<'_>, who: i32, usage: Address) -> Outcome {
    const RUSAGE_CHILDREN: i32 = -1;
    const RUSAGE_THREAD: i32 = 1;
    if !(RUSAGE_CHILDREN..=RUSAGE_THREAD).contains(&who) {
        return Err(Errno::EINVAL.into());
    }
    let record = if who == RUSAGE_CHILDREN {
        let most = call.process.children_resident.load(Ordering::Relaxed);
        usage_record(*call.process.children_usage.lock(), most)
    } else {
        let used = if who == RUSAGE_THREAD {
            usage_of_thread(call.libos.machine, call.thread)
        } else {
            usage_of_process(call.libos.machine, call.process)
        };
        usage_record(used, call.memory().peak_bytes().1)
    };
    call.memory().write(usage.0, &record)?;
    Ok(0)
}
