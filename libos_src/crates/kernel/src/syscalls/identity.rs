//! Who a process is: its number and its relations.

use hal::Errno;

use super::call::{Call, Outcome};

/// `getpid(2)`.
pub(super) fn getpid(call: &mut Call<'_>) -> Outcome {
    Ok(call.process.pid.into())
}

/// `gettid(2)`.
pub(super) fn gettid(call: &mut Call<'_>) -> Outcome {
    Ok(call.thread.tid().into())
}

/// `getppid(2)`: that of the first process is outside, and 0.
pub(super) fn getppid(call: &mut Call<'_>) -> Outcome {
    Ok(call.libos.processes.parent(call.process.pid).into())
}

/// `getpgrp(2)`.
pub(super) fn getpgrp(call: &mut Call<'_>) -> Outcome {
    getpgid(call, 0)
}

/// `getpgid(2)`.
pub(super) fn getpgid(call: &mut Call<'_>, pid: i32) -> Outcome {
    let pid = pid_or_own(call, pid)?;
    Ok(call.libos.processes.group_and_session(pid)?.0.into())
}

/// `getsid(2)`.
pub(super) fn getsid(call: &mut Call<'_>, pid: i32) -> Outcome {
    let pid = pid_or_own(call, pid)?;
    Ok(call.libos.processes.group_and_session(pid)?.1.into())
}

/// `setpgid(2)`.
pub(super) fn setpgid(call: &mut Call<'_>, pid: i32, group: i32) -> Outcome {
    if group < 0 {
        return Err(Errno::EINVAL.into());
    }
    let pid = pid_or_own(call, pid)?;
    let group = if group == 0 {
        pid
    } else {
        group.cast_unsigned()
    };
    let processes = &call.libos.processes;
    processes.set_group(call.process.pid, pid, group)?;
    call.libos.machine.forget_answers();
    Ok(0)
}

/// `setsid(2)`.
pub(super) fn setsid(call: &mut Call<'_>) -> Outcome {
    call.libos.processes.new_session(call.process.pid)?;
    call.libos.machine.forget_answers();
    Ok(call.process.pid.into())
}

fn pid_or_own(call: &Call<'_>, pid: i32) -> Result<u32, Errno> {
    match pid {
        0 => Ok(call.process.pid),
        1.. => Ok(pid.cast_unsigned()),
        _ => Err(Errno::ESRCH),
    }
}
