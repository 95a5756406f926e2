//! The superblock: `struct erofs_super_block` of `fs/erofs/erofs_fs.h`, 128 bytes at byte 1024.

use core::fmt;

use verity::BLOCK_SIZE_BYTES;
use vfs::{Errno, Result};

use crate::layout::{u8_at, u16_at, u32_at, u64_at};

const OFFSET: usize = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
/// `EROFS_FEATURE_INCOMPAT_ZERO_PADDING`: about compressed data only, and `mkfs.erofs` sets it in
/// images without any.
const FEATURE_ZERO_PADDING: u32 = 1;

/// What the reader needs of the superblock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SuperBlock {
    pub(crate) root: u64,
    pub(crate) inodes: u64,
    /// Start of the area of inodes, in bytes.
    pub(crate) metadata_offset: u64,
    /// The date of all compact inodes.
    pub(crate) build_seconds: u64,
    pub(crate) build_nanoseconds: u32,
}

/// Why an image cannot be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountError {
    /// A block could not be read or does not verify.
    Unreadable(Errno),
    /// There is no EROFS superblock.
    NotErofs,
    /// The block size is two to this power, not 4096.
    BlockSize(u8),
    /// Features that this reader does not have (`feature_incompat`).
    Features(u32),
    /// The superblock speaks of more blocks than there are.
    Truncated {
        /// What it speaks of.
        blocks: u64,
        /// What there is.
        available: u64,
    },
    /// The root inode is broken or no directory.
    Root,
}

impl fmt::Display for MountError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(formatter, "the image cannot be read: {error}"),
            Self::NotErofs => formatter.write_str("the image holds no EROFS file system"),
            Self::BlockSize(bits) => {
                write!(
                    formatter,
                    "the image's blocks have 2^{bits} bytes instead of 4096"
                )
            }
            Self::Features(bits) => {
                write!(
                    formatter,
                    "the image uses EROFS features {bits:#x}, which are not supported"
                )
            }
            Self::Truncated { blocks, available } => {
                write!(
                    formatter,
                    "the image should have {blocks} blocks but has {available}"
                )
            }
            Self::Root => formatter.write_str("the image's root directory is broken"),
        }
    }
}

impl core::error::Error for MountError {}

impl SuperBlock {
    /// Parses the first block of an image that has `available` blocks.
    pub(crate) fn parse(block: &[u8], available: u64) -> Result<Self, MountError> {
        let raw = block
            .get(OFFSET..OFFSET + 128)
            .ok_or(MountError::NotErofs)?;
        // The slice has all 128 bytes: the fields below are in it.
        let short = |_: Errno| MountError::NotErofs;
        if u32_at(raw, 0).map_err(short)? != MAGIC {
            return Err(MountError::NotErofs);
        }
        let block_bits = u8_at(raw, 12).map_err(short)?;
        if u32::from(block_bits) != BLOCK_SIZE_BYTES.trailing_zeros() {
            return Err(MountError::BlockSize(block_bits));
        }
        let features = u32_at(raw, 80).map_err(short)? & !FEATURE_ZERO_PADDING;
        if features != 0 {
            return Err(MountError::Features(features));
        }
        let blocks = u64::from(u32_at(raw, 36).map_err(short)?);
        if blocks > available {
            return Err(MountError::Truncated { blocks, available });
        }
        let metadata_block = u64::from(u32_at(raw, 40).map_err(short)?);
        Ok(Self {
            root: u64::from(u16_at(raw, 14).map_err(short)?),
            inodes: u64_at(raw, 16).map_err(short)?,
            metadata_offset: metadata_block * BLOCK_SIZE_BYTES as u64,
            build_seconds: u64_at(raw, 24).map_err(short)?,
            build_nanoseconds: u32_at(raw, 32).map_err(short)?,
        })
    }
}
