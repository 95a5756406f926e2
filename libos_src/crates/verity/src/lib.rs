//! Verified reads of an image that the untrusted host keeps.
//!
//! The format is dm-verity version 1 as `veritysetup format --salt=-` makes it: SHA-256 over blocks
//! of 4 KiB, no salt, one superblock between data and tree, the root's level first (Linux,
//! `Documentation/admin-guide/device-mapper/verity.rst`). The root hash comes from the measured
//! configuration, so the superblock is not even read.
//!
//! Each byte is copied into the enclave once, checked there, and only then given away. What does not
//! match is `EIO`, and a [`Failure`] that names the block goes to the [`Reporter`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cache;
mod shape;
mod verified;

use alloc::boxed::Box;
use core::fmt;

use abi::errno::Errno;

pub use cache::BlockCache;
pub use shape::{Parameters, ShapeError};
pub use verified::{Failure, Verified};

/// The unit of hashing, in bytes.
pub const BLOCK_SIZE_BYTES: usize = 4096;
/// The size of a SHA-256 digest.
pub const DIGEST_SIZE_BYTES: usize = 32;

/// Bytes that the host keeps, as it gives them.
pub trait RawSource: Send + Sync {
    /// Fills `buffer`, which is enclave memory, with the bytes at `offset`. They may be anything.
    ///
    /// # Errors
    /// What the host says, or `EIO` if it gives fewer bytes.
    fn read_raw(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno>;
}

/// Blocks that are what they were when the image was measured.
pub trait BlockSource: Send + Sync {
    /// How many blocks there are.
    fn block_count(&self) -> u64;

    /// Fills `buffer`, a whole number of blocks, from the block `first` on.
    ///
    /// # Errors
    /// `EIO` for what does not verify, cannot be read or lies beyond the end. The buffer is zeroed
    /// then.
    fn read_blocks(&self, first: u64, buffer: &mut [u8]) -> Result<(), Errno>;
}

/// Takes notice of damage: the kernel logs it.
pub type Reporter = Box<dyn Fn(&dyn fmt::Display) + Send + Sync>;
