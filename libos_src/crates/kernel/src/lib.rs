//! The LibOS kernel: what Linux programs expect below them, inside an enclave.
//!
//! [`Libos`] serves many processes with many threads. It implements [`hal::Kernel`] and reaches
//! everything outside through [`hal::Machine`], so that it runs in an enclave as in a test on
//! Linux.
//!
//! Every value that a program passes is an allegation: addresses go through
//! [`memory::AddressSpace`], numbers through the typed table in [`syscalls`].

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod boot;
mod crash;
mod files;
mod host_signals;
mod libos;
mod memory;
mod mounts;
mod processes;
mod program;
mod settings;
mod signals;
mod sockets;
mod syscalls;
mod terminals;
#[cfg(test)]
mod tests;
mod threads;
mod timers;
mod tracing;

pub use libos::Libos;
pub use memory::patched_sites;
// How an ELF file is read, for those who try it with files of all kinds.
pub use program::{BadImage, Image, Segment, Source};
