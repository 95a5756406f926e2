//! The enclave runtime: everything of the LibOS that touches the CPU or raw memory.
//!
//! It owns the entry point, OCALLs, the exception handler, the program's memory and registers, and
//! the LibOS's heap. It shows them to the kernel as [`hal::Machine`], and drives the kernel through
//! [`hal::Kernel`]. All `unsafe` of the enclave's side is here; the kernel and all below it have
//! none.
//!
//! Who uses it names its boot function with [`enclave!`].
#![no_std]
#![cfg_attr(
    not(enclave),
    allow(
        dead_code,
        reason = "outside an enclave, `std` has the handlers that are defined here"
    )
)]
#![expect(
    unsafe_code,
    reason = "this crate is the layer that touches the hardware"
)]

extern crate alloc;

mod answers;
mod boot;
mod clock;
mod cpuid;
mod enclu;
mod entry;
mod exception;
mod heap;
mod hints;
mod intrinsics;
mod lock;
mod machine;
mod mailbox;
mod pages;
mod panic;
mod parking;
mod random;
mod thread;
mod untrusted;
mod user_memory;
mod xstate;

pub use boot::{Boot, Program};
pub use machine::EnclaveMachine;

/// Names the function that builds the LibOS kernel: `fn(&rt::Boot) -> Result<rt::Program,
/// hal::StartError>`.
///
/// It runs once, on the first thread, before any program. It must be used exactly once in a binary.
#[macro_export]
macro_rules! enclave {
    ($boot:path) => {
        // SAFETY: the symbol is this project's own and is defined only by this macro.
        #[unsafe(no_mangle)]
        fn occlum_boot(boot: &$crate::Boot) -> Result<$crate::Program, hal::StartError> {
            $boot(boot)
        }
    };
}
