//! The reader.

use alloc::sync::Arc;
use alloc::vec;
use core::fmt;

use abi::errno::Errno;
use sha2::{Digest, Sha256};

use crate::shape::{DIGESTS_PER_BLOCK, Shape};
use crate::{
    BLOCK_SIZE_BYTES, BlockCache, BlockSource, DIGEST_SIZE_BYTES, Parameters, RawSource, Reporter,
    ShapeError,
};

const BLOCK: u64 = BLOCK_SIZE_BYTES as u64;

/// An untrusted image behind its hash tree.
pub struct Verified<S> {
    source: S,
    shape: Shape,
    root_hash: [u8; DIGEST_SIZE_BYTES],
    /// Blocks of the tree that were checked up to the root hash, by their place in the image.
    nodes: BlockCache,
    report: Reporter,
}

/// Why a block was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The host did not give it.
    Unreadable {
        /// The first block that was asked for, counted from the start of the image.
        block: u64,
        /// What the host said.
        error: Errno,
    },
    /// Its digest is not the one that the tree says.
    Altered {
        /// The block, counted from the start of the image.
        block: u64,
        /// Whether it is a block of the hash tree.
        is_tree: bool,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unreadable { block, error } => {
                write!(formatter, "image block {block} cannot be read: {error}")
            }
            Self::Altered { block, is_tree } => {
                let what = if is_tree { "hash block" } else { "data block" };
                let offset = block * BLOCK;
                write!(
                    formatter,
                    "image {what} {block} (byte {offset}) was altered"
                )
            }
        }
    }
}

impl core::error::Error for Failure {}

impl<S: RawSource> Verified<S> {
    /// A reader that keeps up to `cache_bytes` of the tree in memory. Nothing is read yet.
    ///
    /// # Errors
    /// Parameters that fit no image.
    pub fn new(
        source: S,
        parameters: &Parameters,
        cache_bytes: usize,
        report: Reporter,
    ) -> Result<Self, ShapeError> {
        let shape = Shape::new(parameters)?;
        let nodes = BlockCache::new(cache_bytes);
        Ok(Self {
            source,
            shape,
            root_hash: parameters.root_hash,
            nodes,
            report,
        })
    }

    /// Fills `buffer`, a whole number of blocks, from the data block `first` on.
    fn read_verified(&self, first: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        self.source
            .read_raw(first * BLOCK, buffer)
            .map_err(|error| Failure::Unreadable {
                block: first,
                error,
            })?;
        let mut parent: Option<(u64, Arc<[u8]>)> = None;
        for (number, block) in (first..).zip(buffer.chunks_exact(BLOCK_SIZE_BYTES)) {
            let index = number / DIGESTS_PER_BLOCK;
            let expected = if self.shape.levels.is_empty() {
                self.root_hash
            } else {
                let node = match parent.take() {
                    Some((at, node)) if at == index => node,
                    _ => self.node(0, index)?,
                };
                let expected = digest_in(&node, number);
                parent = Some((index, node));
                expected
            };
            if digest_of(block) != expected {
                return Err(Failure::Altered {
                    block: number,
                    is_tree: false,
                });
            }
        }
        Ok(())
    }

    /// A checked block of the tree: `index` in `level`, where level 0 holds the digests of data.
    ///
    /// Climbs until it meets a block that was checked before or the root hash, then checks on the
    /// way down.
    fn node(&self, level: usize, index: u64) -> Result<Arc<[u8]>, Failure> {
        let mut climbed = level;
        let mut at = index;
        let mut checked = None;
        while climbed < self.shape.levels.len() {
            checked = self.nodes.get(self.node_block(climbed, at));
            if checked.is_some() {
                break;
            }
            at /= DIGESTS_PER_BLOCK;
            climbed += 1;
        }
        while climbed > level {
            climbed -= 1;
            let at = ancestor(index, climbed - level);
            let expected = match &checked {
                Some(parent) => digest_in(parent, at),
                None => self.root_hash,
            };
            checked = Some(self.read_node(self.node_block(climbed, at), &expected)?);
        }
        checked.ok_or(Failure::Altered {
            block: self.node_block(level, index),
            is_tree: true,
        })
    }

    fn read_node(
        &self,
        block: u64,
        expected: &[u8; DIGEST_SIZE_BYTES],
    ) -> Result<Arc<[u8]>, Failure> {
        let mut node = vec![0; BLOCK_SIZE_BYTES];
        self.source
            .read_raw(block * BLOCK, &mut node)
            .map_err(|error| Failure::Unreadable { block, error })?;
        if digest_of(&node) != *expected {
            return Err(Failure::Altered {
                block,
                is_tree: true,
            });
        }
        let node: Arc<[u8]> = Arc::from(node);
        self.nodes.insert(block, node.clone());
        Ok(node)
    }

    /// The place of a tree block, in blocks from the start of the image.
    fn node_block(&self, level: usize, index: u64) -> u64 {
        let level = &self.shape.levels[level];
        debug_assert!(index < level.blocks, "a node outside of its level");
        level.offset_bytes / BLOCK + index
    }
}

impl<S: RawSource> BlockSource for Verified<S> {
    fn block_count(&self) -> u64 {
        self.shape.data_blocks
    }

    fn read_blocks(&self, first: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let is_whole = buffer.len().is_multiple_of(BLOCK_SIZE_BYTES);
        let end = first.checked_add((buffer.len() / BLOCK_SIZE_BYTES) as u64);
        if !is_whole || end.is_none_or(|end| end > self.shape.data_blocks) {
            buffer.fill(0);
            return Err(Errno::EIO);
        }
        self.read_verified(first, buffer).map_err(|failure| {
            buffer.fill(0);
            (self.report)(&failure);
            Errno::EIO
        })
    }
}

/// The index of the ancestor some levels up.
fn ancestor(index: u64, levels: usize) -> u64 {
    (0..levels).fold(index, |index, _| index / DIGESTS_PER_BLOCK)
}

/// The digest that a tree block holds for the child with this index in its level.
fn digest_in(node: &[u8], child: u64) -> [u8; DIGEST_SIZE_BYTES] {
    let at = (child % DIGESTS_PER_BLOCK) as usize * DIGEST_SIZE_BYTES;
    let mut digest = [0; DIGEST_SIZE_BYTES];
    digest.copy_from_slice(&node[at..at + DIGEST_SIZE_BYTES]);
    digest
}

fn digest_of(block: &[u8]) -> [u8; DIGEST_SIZE_BYTES] {
    Sha256::digest(block).into()
}
