//! A mounted image.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;

use verity::{BLOCK_SIZE_BYTES, BlockSource, Reporter};
use vfs::{ContentId, Errno, FileSystem, FileType, Inode, Result, Sink, Statistics};

use crate::blocks::Blocks;
use crate::inode::ErofsInode;
use crate::super_block::{MountError, SuperBlock};

/// `EROFS_SUPER_MAGIC_V1` of `linux/magic.h`.
const MAGIC: u64 = 0xe0f5_e1e2;

/// A read-only file system in a verified image.
pub struct Erofs {
    shared: Arc<Shared>,
    root: Arc<ErofsInode>,
}

/// What all inodes of an image have in common.
pub(crate) struct Shared {
    pub(crate) blocks: Blocks,
    pub(crate) super_block: SuperBlock,
    /// What tells its files from those of other images.
    pub(crate) content: u64,
    report: Reporter,
}

impl Erofs {
    /// Reads the superblock and the root of an image. Up to `cache_bytes` of its blocks are kept in
    /// memory. Damage that is found later goes to `report`, and its reader gets `EIO`.
    ///
    /// # Errors
    /// An image that this reader cannot read.
    pub fn mount(
        source: Box<dyn BlockSource>,
        cache_bytes: usize,
        report: Reporter,
    ) -> Result<Arc<Self>, MountError> {
        let mut first = vec![0; BLOCK_SIZE_BYTES];
        source
            .read_blocks(0, &mut first)
            .map_err(MountError::Unreadable)?;
        let super_block = SuperBlock::parse(&first, source.block_count())?;
        let blocks = Blocks::new(source, cache_bytes);
        let shared = Arc::new(Shared {
            blocks,
            super_block,
            content: ContentId::new_source(),
            report,
        });
        let root = ErofsInode::read(&shared, super_block.root).map_err(|_| MountError::Root)?;
        if root.kind() != FileType::Directory {
            return Err(MountError::Root);
        }
        Ok(Arc::new(Self {
            shared,
            root: Arc::new(root),
        }))
    }
}

impl Shared {
    pub(crate) fn block_count(&self) -> u64 {
        self.blocks.count()
    }

    /// Reads metadata, wherever it is.
    pub(crate) fn read(&self, offset: u64, mut buffer: &mut [u8]) -> Result<()> {
        self.read_parts(offset, buffer.len(), |parts| {
            buffer.put_all(parts).map(drop)
        })
    }

    /// As [`read`](Self::read), in parts, some at a time.
    pub(crate) fn read_parts(
        &self,
        offset: u64,
        length: usize,
        take: impl FnMut(&[&[u8]]) -> Result<()>,
    ) -> Result<()> {
        let image_size = self.block_count() * BLOCK_SIZE_BYTES as u64;
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > image_size) {
            return Err(Errno::EIO);
        }
        self.blocks.read(offset, length, self.block_count(), take)
    }

    pub(crate) fn report_damage(&self, inode: u64) {
        (self.report)(&format_args!(
            "the image's inode {inode} is broken or cannot be read"
        ));
    }
}

impl FileSystem for Erofs {
    fn type_name(&self) -> &'static str {
        "erofs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics {
            magic: MAGIC,
            block_size_bytes: BLOCK_SIZE_BYTES as u64,
            blocks: self.shared.block_count(),
            blocks_free: 0,
            inodes: self.shared.super_block.inodes,
            inodes_free: 0,
        })
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn never_changes(&self) -> bool {
        true
    }
}
