//! SGX in software, for machines without it.
//!
//! The very bytes that run on hardware run here: pages are added one by one, measured as EEXTEND
//! measures, and checked as EINIT checks. After that every access is held to the page permissions
//! that the enclave page cache map would hold it to, every exception takes the path of an
//! asynchronous exit, and every leaf of ENCLU that the enclave uses is carried out on the model.
//!
//! What it cannot do is keep secrets: the host can read and write the enclave's memory. It also
//! cannot stop the enclave from jumping to host code, or from executing an instruction that only
//! hardware refuses inside an enclave (except CPUID, RDTSC and `syscall`: see
//! [`Options::strict`]).
#![expect(
    unsafe_code,
    reason = "signal frames, page permissions and register state are what this crate is about"
)]

mod arch;
mod cpu;
mod enclave;
mod epcm;
mod exits;
mod gate;
mod intercept;
mod leaves;
mod memory;
mod options;
mod signals;
mod strict;
mod thread;

pub use enclave::SimEnclave;
pub use options::{EncluMode, Interception, Options, Steps};
pub use thread::SimThread;

use platform::{Capabilities, Platform, Result, Secs};

/// The software platform. One process can hold one enclave, because every enclave starts at 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimPlatform {
    options: Options,
}

impl SimPlatform {
    /// A platform that works as `options` says.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self { options }
    }
}

impl Platform for SimPlatform {
    type Enclave = SimEnclave;

    fn name(&self) -> &'static str {
        "sim"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            dynamic_memory: true,
            xfrm: cpu::enabled_state() & abi::Attributes::XFRM_ALLOWED,
            misc_select: abi::attributes::MISC_EXINFO,
            max_size_bytes: 1 << 40,
        }
    }

    fn create(&self, secs: &Secs) -> Result<SimEnclave> {
        SimEnclave::create(secs, self.options)
    }
}
