//! Enclaves on SGX hardware: `/dev/sgx_enclave` builds them, the vDSO enters them.
//!
//! **This crate has not run on SGX hardware.** It was written from, and compared line by line with,
//! the kernel's interface (`arch/x86/include/uapi/asm/sgx.h`, the driver in
//! `arch/x86/kernel/cpu/sgx`, `arch/x86/entry/vdso/vsgx.S`) and its self-tests. Structure layouts,
//! request numbers, the vDSO reader and the entry shim are tested without hardware; that the kernel
//! and the CPU do with them what is expected here is not.
//!
//! It needs a CPU with flexible launch control and Linux 5.11, or 6.0 for dynamic memory.
//!
//! What hardware does and no software can change here: #DB and #BP inside an enclave reach the
//! process as signals, because the vDSO does not catch them; and after the machine has slept the
//! enclave's memory is gone, which shows as a refused entry.
#![expect(
    unsafe_code,
    reason = "ioctl, mmap and the vDSO are the kernel's interface to enclaves"
)]

mod capabilities;
mod device;
mod enclave;
mod entry;
mod interrupt;
mod range;
mod thread;
mod uapi;
mod vdso;

use abi::Secs;
use platform::{Capabilities, Error, Platform, Result};

pub use enclave::SgxEnclave;
pub use thread::SgxThread;

use device::Device;
use entry::EnterFunction;

/// The machine's own SGX.
#[derive(Debug)]
pub struct SgxPlatform {
    capabilities: Capabilities,
    enter: EnterFunction,
}

impl SgxPlatform {
    /// Finds out whether and how this machine runs enclaves.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the driver, the CPU or the vDSO function is missing, with the
    /// missing thing by name; [`Error::Host`] if the user may not open the device.
    pub fn new() -> Result<Self> {
        let device = Device::open()?;
        Ok(Self {
            capabilities: capabilities::of_this_machine(device.has_dynamic_memory())?,
            enter: EnterFunction::find().ok_or(Error::Unsupported(
                "the kernel's vDSO has no `__vdso_sgx_enter_enclave` (Linux 5.11 or later has)",
            ))?,
        })
    }
}

impl Platform for SgxPlatform {
    type Enclave = SgxEnclave;

    fn name(&self) -> &'static str {
        "sgx"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn create(&self, secs: &Secs) -> Result<SgxEnclave> {
        SgxEnclave::create(secs, self.enter)
    }
}
