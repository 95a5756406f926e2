//! Layouts and numbers that the enclave, its host and the builder agree on.
//!
//! Everything here is plain data: no I/O, no allocation, no `unsafe`. Architectural structures
//! follow the Intel SDM, volume 3D, chapter "Enclave Structures and Exceptions"; each offset is
//! asserted at compile time. The project's own structures are [`boot`], [`thread`] and [`ocall`].
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod errno;

pub use errno::Errno;

/// The size of an EPC page and of everything that the enclave's page tables map.
pub const PAGE_SIZE: u64 = 4096;
