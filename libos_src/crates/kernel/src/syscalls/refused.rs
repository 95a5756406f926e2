//! Calls that this version does not have. Each says so once in the log, and fails as a kernel
//! without the feature would.

use hal::Errno;

use super::call::{Call, Outcome};

/// A number that is not in the table.
pub(super) fn unknown(call: &mut Call<'_>, number: u64) -> Outcome {
    call.libos
        .report_once(number, "not implemented; the program gets ENOSYS");
    Err(Errno::ENOSYS.into())
}

/// What only a superuser of the machine may do, and nobody in an enclave.
pub(super) fn privileged(call: &mut Call<'_>) -> Outcome {
    call.libos
        .report_once(call.regs.rax, "not for programs of an enclave; EPERM");
    Err(Errno::EPERM.into())
}

/// Calls that libcs try and do without, such as `rseq`: no line in the log.
pub(super) fn quietly(_call: &mut Call<'_>) -> Outcome {
    Err(Errno::ENOSYS.into())
}

/// What no file system of ours has, and programs know such file systems.
pub(super) fn unsupported(_call: &mut Call<'_>) -> Outcome {
    Err(Errno::EOPNOTSUPP.into())
}
