//! Cached reads from the verified image.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;

use verity::{BLOCK_SIZE_BYTES, BlockCache, BlockSource};
use vfs::{Errno, Result};

/// Blocks read at once when a reader goes forward: each read of the host costs an enclave exit.
const FORWARD_BLOCKS: u64 = 16;
/// Blocks read at once when a reader jumps: what it needs next is likely near.
const JUMP_BLOCKS: u64 = 4;
const BLOCK: u64 = BLOCK_SIZE_BYTES as u64;

/// An image and the blocks of it that are kept in memory.
pub(crate) struct Blocks {
    source: Box<dyn BlockSource>,
    cache: BlockCache,
}

impl Blocks {
    pub(crate) fn new(source: Box<dyn BlockSource>, cache_bytes: usize) -> Self {
        Self {
            source,
            cache: BlockCache::new(cache_bytes),
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.source.block_count()
    }

    /// Gives `take` the `length` bytes from the byte `offset` on, in parts, some at a time. Blocks up
    /// to `limit` belong to the same thing and may be read ahead.
    pub(crate) fn read(
        &self,
        offset: u64,
        length: usize,
        limit: u64,
        mut take: impl FnMut(&[&[u8]]) -> Result<()>,
    ) -> Result<()> {
        let mut done = 0;
        while done < length {
            let position = offset + done as u64;
            let (number, within) = (position / BLOCK, (position % BLOCK) as usize);
            let left = within + length - done;
            let wanted = left.div_ceil(BLOCK_SIZE_BYTES);
            if wanted == 1 {
                let block = match self.cache.get(number) {
                    Some(block) => block,
                    None => self.read_cluster(number, 1, limit)?,
                };
                return take(&[&block[within..left]]);
            }
            let lent = self.cache.lend(number, wanted, |blocks| {
                let end = left.min(blocks.len() * BLOCK_SIZE_BYTES);
                if let Some(last) = blocks.last_mut() {
                    *last = &last[..(end - 1) % BLOCK_SIZE_BYTES + 1];
                }
                if let Some(first) = blocks.first_mut() {
                    *first = &first[within..];
                }
                take(blocks).map(|()| end - within)
            });
            done += match lent {
                Some(taken) => taken?,
                None => {
                    let block = self.read_cluster(number, wanted as u64, limit)?;
                    take(&[&block[within..]])?;
                    BLOCK_SIZE_BYTES - within
                }
            };
        }
        Ok(())
    }

    /// Reads `first` and some blocks after it into the cache, and returns `first`.
    fn read_cluster(&self, first: u64, wanted: u64, limit: u64) -> Result<Arc<[u8]>> {
        let goes_forward = first
            .checked_sub(1)
            .is_some_and(|before| self.cache.contains(before));
        let ahead = if goes_forward {
            FORWARD_BLOCKS
        } else {
            JUMP_BLOCKS
        };
        let limit = limit.min(self.count());
        let most = wanted
            .clamp(ahead, FORWARD_BLOCKS)
            .min(limit.saturating_sub(first))
            .max(1);
        let count = (1..most)
            .take_while(|next| !self.cache.contains(first + next))
            .count()
            + 1;
        let mut cluster = vec![0; count * BLOCK_SIZE_BYTES];
        self.source.read_blocks(first, &mut cluster)?;
        let mut blocks = cluster
            .chunks_exact(BLOCK_SIZE_BYTES)
            .map(Arc::<[u8]>::from);
        let block = blocks.next().ok_or(Errno::EIO)?;
        self.cache.insert(first, block.clone());
        for (number, block) in (first + 1..).zip(blocks) {
            self.cache.insert(number, block);
        }
        Ok(block)
    }
}
