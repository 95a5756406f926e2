//! The few facts about this CPU that the platform needs.

use std::arch::x86_64::_xgetbv;

use platform::{Error, Result};

/// The kernel lets programs use RDFSBASE and its kin (AT_HWCAP2 bit 1).
const HWCAP2_FSGSBASE: u64 = 1 << 1;

/// Refuses a machine that cannot run enclaves even in software.
pub(crate) fn check() -> Result<()> {
    // SAFETY: reads the auxiliary vector.
    let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP2) };
    if capabilities & HWCAP2_FSGSBASE == 0 {
        return Err(Error::Unsupported(
            "the software platform needs a CPU and kernel with FSGSBASE",
        ));
    }
    if !std::arch::is_x86_feature_detected!("xsave") {
        return Err(Error::Unsupported("the software platform needs XSAVE"));
    }
    // The LibOS is compiled for these.
    if !std::arch::is_x86_feature_detected!("sha") {
        return Err(Error::Unsupported(
            "enclaves of this project need a CPU with SHA extensions",
        ));
    }
    Ok(())
}

/// XCR0: the extended state that the kernel has enabled.
pub(crate) fn enabled_state() -> u64 {
    if std::arch::is_x86_feature_detected!("xsave") {
        // SAFETY: the feature was just detected.
        unsafe { xcr0() }
    } else {
        0
    }
}

#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: register 0 exists wherever XGETBV does.
    unsafe { _xgetbv(0) }
}
