//! The memory that a file system may use.

use core::sync::atomic::{AtomicU64, Ordering};

use vfs::{Errno, Result};

/// What an inode is counted as, apart from its content.
pub(crate) const INODE_BYTES: u64 = 512;
/// What a directory entry or an extended attribute is counted as, apart from its name (which a
/// directory keeps twice) and value.
const ENTRY_BYTES: u64 = 128;

/// A limit and what is used of it.
pub(crate) struct Budget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            used_bytes: AtomicU64::new(0),
        }
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Takes `bytes` from what is left, or fails with `ENOSPC` and takes nothing.
    pub(crate) fn charge(&self, bytes: u64) -> Result<()> {
        let add = |used: u64| {
            used.checked_add(bytes)
                .filter(|sum| *sum <= self.limit_bytes)
        };
        let order = Ordering::Relaxed;
        self.used_bytes
            .fetch_update(order, order, add)
            .map_err(|_| Errno::ENOSPC)?;
        Ok(())
    }

    /// Gives back what was charged.
    pub(crate) fn release(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The charge for an entry with a name of this length.
pub(crate) fn entry_bytes(name: &[u8]) -> u64 {
    ENTRY_BYTES + 2 * name.len() as u64
}

/// The charge for an extended attribute.
pub(crate) fn attribute_bytes(name: &[u8], value: &[u8]) -> u64 {
    ENTRY_BYTES + name.len() as u64 + value.len() as u64
}
