//! Layouts and numbers that the enclave, its host and the builder agree on.
//!
//! Everything here is plain data: no I/O, no allocation, no `unsafe`. Architectural structures
//! follow the Intel SDM, volume 3D, chapter "Enclave Structures and Exceptions"; each offset is
//! asserted at compile time. The project's own structures are in [`boot`], [`thread`],
//! [`ocall`] and [`host_files`].
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod attributes;
pub mod boot;
pub mod errno;
pub mod host_files;
pub mod leaf;
pub mod ocall;
pub mod secinfo;
pub mod secs;
pub mod sgx_error;
pub mod ssa;
pub mod tcs;
pub mod thread;

pub use attributes::Attributes;
pub use boot::BootInfo;
pub use errno::Errno;
pub use secinfo::{PageType, Permissions, SecInfo};
pub use secs::Secs;
pub use sgx_error::SgxError;
pub use ssa::GprSgx;
pub use tcs::Tcs;

/// The size of an EPC page and of everything that the enclave's page tables map.
pub const PAGE_SIZE: u64 = 4096;

/// The size of a SIGSTRUCT, SDM table "Layout of Enclave Signature Structure (SIGSTRUCT)".
pub const SIGSTRUCT_SIZE: usize = 1808;
