//! The read-only root: a reader of uncompressed EROFS images.
//!
//! Format: Linux, `fs/erofs/erofs_fs.h` and `Documentation/filesystems/erofs.rst`. Understood are
//! blocks of 4 KiB, compact and extended inodes, and the layouts `FLAT_PLAIN` and `FLAT_INLINE`;
//! extended attributes are skipped. Anything else in the superblock refuses the mount, anything else
//! in an inode is `EIO`.
//!
//! The blocks come from a [`BlockSource`](verity::BlockSource) and are what was measured, so a
//! hostile host cannot shape them. All the same each field is checked before it is used: a broken
//! image gives `EIO` and a line in the log, never a panic, an endless loop or memory without bound.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod blocks;
mod directory;
mod file_system;
mod inode;
mod layout;
mod super_block;

pub use file_system::Erofs;
pub use super_block::MountError;
