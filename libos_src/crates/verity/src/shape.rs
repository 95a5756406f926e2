//! Where the parts of an image lie.

use alloc::vec::Vec;
use core::fmt;

use crate::{BLOCK_SIZE_BYTES, DIGEST_SIZE_BYTES};

/// Digests in one block of the tree.
pub(crate) const DIGESTS_PER_BLOCK: u64 = (BLOCK_SIZE_BYTES / DIGEST_SIZE_BYTES) as u64;
const BLOCK: u64 = BLOCK_SIZE_BYTES as u64;

/// What the measured configuration says about an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Size of what the tree covers, a multiple of the block size.
    pub data_size_bytes: u64,
    /// Where the root's block is; the other levels follow it.
    pub tree_offset_bytes: u64,
    /// The digest of the root's block; with a single data block, of that.
    pub root_hash: [u8; DIGEST_SIZE_BYTES],
}

/// Parameters that fit no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeError {
    /// No data, or not a whole number of blocks.
    DataSize(u64),
    /// The tree is not on a block boundary, or overlaps the data.
    TreeOffset(u64),
    /// Data and tree end beyond the largest offset.
    TooLarge,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataSize(size) => {
                write!(
                    formatter,
                    "the image's data size {size} is no positive multiple of {BLOCK}"
                )
            }
            Self::TreeOffset(offset) => {
                write!(
                    formatter,
                    "the hash tree cannot be at byte {offset} of the image"
                )
            }
            Self::TooLarge => formatter.write_str("the image is too large"),
        }
    }
}

impl core::error::Error for ShapeError {}

/// The levels of a tree.
pub(crate) struct Shape {
    pub(crate) data_blocks: u64,
    /// Leaves' parents first, the root's level last. Empty for a single data block.
    pub(crate) levels: Vec<Level>,
}

/// One level of hash blocks.
pub(crate) struct Level {
    pub(crate) offset_bytes: u64,
    pub(crate) blocks: u64,
}

impl Shape {
    pub(crate) fn new(parameters: &Parameters) -> Result<Self, ShapeError> {
        let Parameters {
            data_size_bytes,
            tree_offset_bytes,
            ..
        } = *parameters;
        if data_size_bytes == 0 || !data_size_bytes.is_multiple_of(BLOCK) {
            return Err(ShapeError::DataSize(data_size_bytes));
        }
        if tree_offset_bytes < data_size_bytes || !tree_offset_bytes.is_multiple_of(BLOCK) {
            return Err(ShapeError::TreeOffset(tree_offset_bytes));
        }
        let data_blocks = data_size_bytes / BLOCK;
        let mut counts = Vec::new();
        let mut blocks = data_blocks;
        while blocks > 1 {
            blocks = blocks.div_ceil(DIGESTS_PER_BLOCK);
            counts.push(blocks);
        }
        let mut levels = Vec::with_capacity(counts.len());
        let mut offset_bytes = tree_offset_bytes;
        for blocks in counts.into_iter().rev() {
            levels.push(Level {
                offset_bytes,
                blocks,
            });
            let size_bytes = blocks.checked_mul(BLOCK).ok_or(ShapeError::TooLarge)?;
            offset_bytes = offset_bytes
                .checked_add(size_bytes)
                .ok_or(ShapeError::TooLarge)?;
        }
        if i64::try_from(offset_bytes).is_err() {
            return Err(ShapeError::TooLarge);
        }
        levels.reverse();
        Ok(Self {
            data_blocks,
            levels,
        })
    }
}
