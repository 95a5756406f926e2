//! A whole file system.

use alloc::string::String;
use alloc::sync::Arc;

use crate::{Inode, Result};

/// A tree of inodes that can be mounted.
pub trait FileSystem: Send + Sync {
    /// The name of the type, as `/proc/mounts` shows it.
    fn type_name(&self) -> &'static str;

    /// The root directory; always the same inode.
    fn root(&self) -> Arc<dyn Inode>;

    /// Sizes for `statfs`.
    fn statistics(&self) -> Result<Statistics>;

    /// Sets how much it may hold, where somebody asks.
    ///
    /// # Errors
    /// `EINVAL` if it holds more.
    fn limit(&self, _limits: SizeLimits) -> Result<()> {
        Ok(())
    }

    /// What `/proc/mounts` shows of how it was mounted, each option with a comma before it.
    fn options(&self) -> String {
        String::new()
    }

    /// Whether it can never be written, whatever the mount says.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Whether nothing in it ever changes, so that what was looked up once may be kept.
    fn never_changes(&self) -> bool {
        false
    }

    /// Makes everything durable, where there is durability.
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }
}

/// How much a file system may hold. `None` leaves a limit as it is, the largest number takes it away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeLimits {
    /// Memory in all.
    pub bytes: Option<u64>,
    /// Files in all.
    pub inodes: Option<u64>,
}

/// Sizes of a file system, as `statfs` reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The number that stands for the type (`f_type`), see `linux/magic.h`.
    pub magic: u64,
    /// Size of a block.
    pub block_size_bytes: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks that are free.
    pub blocks_free: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}
