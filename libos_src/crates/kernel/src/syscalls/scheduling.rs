//! Scheduling: what programs may ask of it. The host decides, so only what changes nothing is granted.

use hal::Errno;

use super::argument::Address;
use super::call::{Call, Outcome};

const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
/// `SCHED_OTHER`, `SCHED_BATCH` and `SCHED_IDLE`.
const ORDINARY: [u32; 3] = [0, 3, 5];
/// `SCHED_RESET_ON_FORK`, which an ordinary policy has anyway.
const RESET_ON_FORK: u32 = 0x4000_0000;

/// `sched_setscheduler(2)`.
pub(super) fn sched_setscheduler(
    call: &mut Call<'_>,
    tid: i32,
    policy: u32,
    parameter: Address,
) -> Outcome {
    call.check_thread(tid)?;
    let priority: i32 = call.memory().read(parameter.0)?;
    match policy & !RESET_ON_FORK {
        policy if ORDINARY.contains(&policy) && priority == 0 => Ok(0),
        SCHED_FIFO | SCHED_RR if (1..=99).contains(&priority) => {
            let reason = "an enclave has no real-time threads; EPERM";
            call.libos.report_once(call.regs.rax, reason);
            Err(Errno::EPERM.into())
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sched_setparam(2)`: the only priority of an ordinary thread is 0.
pub(super) fn sched_setparam(call: &mut Call<'_>, tid: i32, parameter: Address) -> Outcome {
    call.check_thread(tid)?;
    match call.memory().read::<i32>(parameter.0)? {
        0 => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sched_getparam(2)`.
pub(super) fn sched_getparam(call: &mut Call<'_>, tid: i32, parameter: Address) -> Outcome {
    call.check_thread(tid)?;
    call.memory().write(parameter.0, &0i32)?;
    Ok(0)
}

/// `sched_get_priority_max(2)`.
pub(super) fn sched_get_priority_max(_call: &mut Call<'_>, policy: u32) -> Outcome {
    bound_of(policy, 99)
}

/// `sched_get_priority_min(2)`.
pub(super) fn sched_get_priority_min(_call: &mut Call<'_>, policy: u32) -> Outcome {
    bound_of(policy, 1)
}

fn bound_of(policy: u32, real_time: u64) -> Outcome {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(real_time),
        policy if ORDINARY.contains(&policy) => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sched_rr_get_interval(2)`: no time slice is known.
pub(super) fn sched_rr_get_interval(call: &mut Call<'_>, tid: i32, time: Address) -> Outcome {
    call.check_thread(tid)?;
    call.memory().write(time.0, &[0u64; 2])?;
    Ok(0)
}

const PRIO_PROCESS: u32 = 0;
const PRIO_USER: u32 = 2;

/// `getpriority(2)`: 20 less the nice value.
pub(super) fn getpriority(call: &mut Call<'_>, which: u32, who: i32) -> Outcome {
    if which > PRIO_USER {
        return Err(Errno::EINVAL.into());
    }
    if which == PRIO_PROCESS {
        call.check_thread(who)?;
    }
    let nice = call.process.standing.lock().nice;
    Ok((20 - i64::from(nice)).cast_unsigned())
}

/// `setpriority(2)`, of the calling process. The value is kept and inherited, and no more.
pub(super) fn setpriority(call: &mut Call<'_>, which: u32, who: i32, nice: i32) -> Outcome {
    if which > PRIO_USER {
        return Err(Errno::EINVAL.into());
    }
    if which == PRIO_PROCESS {
        call.check_thread(who)?;
    }
    let nice = nice.clamp(-20, 19) as i8;
    let mut standing = call.process.standing.lock();
    if nice < standing.nice && !standing.is_superuser() {
        return Err(Errno::EACCES.into());
    }
    standing.nice = nice;
    Ok(0)
}

/// `ioprio_get(2)`: none was set.
pub(super) fn ioprio_get(_call: &mut Call<'_>, which: i32, _who: i32) -> Outcome {
    if (1..=3).contains(&which) {
        Ok(0)
    } else {
        Err(Errno::EINVAL.into())
    }
}

/// `personality(2)`: there is one, and it can be asked for.
pub(super) fn personality(call: &mut Call<'_>, persona: u32) -> Outcome {
    const QUERY: u32 = u32::MAX;
    const PER_LINUX: u32 = 0;
    match persona {
        QUERY | PER_LINUX => Ok(PER_LINUX.into()),
        _ => {
            let reason = "this personality does not exist; EINVAL";
            call.libos.report_once(call.regs.rax, reason);
            Err(Errno::EINVAL.into())
        }
    }
}

/// `mlock(2)`, `munlock(2)` and `mlock2(2)`: memory of an enclave that is there stays there, as far
/// as the LibOS is concerned.
pub(super) fn mlock(call: &mut Call<'_>, address: u64, len: u64) -> Outcome {
    address.checked_add(len).ok_or(Errno::EINVAL)?;
    let user = &call.memory().layout().user;
    if len != 0 && !(user.contains(&address) && address + len <= user.end) {
        return Err(Errno::ENOMEM.into());
    }
    Ok(0)
}

/// `mlockall(2)`.
pub(super) fn mlockall(_call: &mut Call<'_>, flags: u32) -> Outcome {
    // MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT: not none, and not the last alone.
    if flags == 0 || flags & !7 != 0 || flags == 4 {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}

/// `munlockall(2)`.
pub(super) fn munlockall(_call: &mut Call<'_>) -> Outcome {
    Ok(0)
}

impl Call<'_> {
    /// Whether `tid` is a thread: 0 for the calling one.
    fn check_thread(&self, tid: i32) -> Result<(), Errno> {
        let tid = u32::try_from(tid).map_err(|_| Errno::EINVAL)?;
        let exists = tid == 0
            || self.process.thread(tid).is_some()
            || self.libos.processes.get(tid).is_some();
        if exists { Ok(()) } else { Err(Errno::ESRCH) }
    }
}
