//! Who the process is: one process, the superuser of its own world.

use hal::Errno;

use super::argument::Address;
use super::call::{Call, Outcome};

/// `getpid(2)`.
pub(super) fn getpid(call: &mut Call<'_>) -> Outcome {
    Ok(call.process.pid.into())
}

/// `gettid(2)`.
pub(super) fn gettid(call: &mut Call<'_>) -> Outcome {
    Ok(call.thread.tid.into())
}

/// `getppid(2)`: the parent is outside.
pub(super) fn getppid(_call: &mut Call<'_>) -> Outcome {
    Ok(0)
}

/// `getpgrp(2)`.
pub(super) fn getpgrp(call: &mut Call<'_>) -> Outcome {
    Ok(call.process.pid.into())
}

/// `getpgid(2)` and `getsid(2)`.
pub(super) fn getpgid(call: &mut Call<'_>, pid: i32) -> Outcome {
    if pid == 0 || pid.cast_unsigned() == call.process.pid {
        return Ok(call.process.pid.into());
    }
    Err(Errno::ESRCH.into())
}

/// `getuid(2)` and its relatives.
pub(super) fn superuser(_call: &mut Call<'_>) -> Outcome {
    Ok(0)
}

/// `getresuid(2)` and `getresgid(2)`.
pub(super) fn getres(
    call: &mut Call<'_>,
    real: Address,
    effective: Address,
    saved: Address,
) -> Outcome {
    for address in [real, effective, saved] {
        call.memory().write(address.0, &0u32)?;
    }
    Ok(0)
}

/// `getgroups(2)`: none besides the first.
pub(super) fn getgroups(_call: &mut Call<'_>, len: i32, _groups: Address) -> Outcome {
    if len < 0 {
        Err(Errno::EINVAL.into())
    } else {
        Ok(0)
    }
}
