//! The memory that a file system may use.

use core::sync::atomic::{AtomicU64, Ordering};

use vfs::{Errno, Result, SizeLimits};

/// What an inode is counted as, apart from its content.
pub(crate) const INODE_BYTES: u64 = 512;
/// What a directory entry or an extended attribute is counted as, apart from its name (which a
/// directory keeps twice) and value.
const ENTRY_BYTES: u64 = 128;

/// The limits and what is used of them.
pub(crate) struct Budget {
    pub(crate) bytes: Account,
    pub(crate) inodes: Account,
}

impl Budget {
    pub(crate) const fn new(limit_bytes: u64) -> Self {
        Self {
            bytes: Account::new(limit_bytes),
            inodes: Account::new(u64::MAX),
        }
    }

    /// Sets limits; `EINVAL` where more is in use.
    pub(crate) fn limit(&self, limits: SizeLimits) -> Result<()> {
        let new = [(&self.bytes, limits.bytes), (&self.inodes, limits.inodes)];
        let exceeded = |(account, limit): &(&Account, Option<u64>)| {
            limit.is_some_and(|limit| limit < account.used())
        };
        if new.iter().any(exceeded) {
            return Err(Errno::EINVAL);
        }
        for (account, limit) in new {
            let limit = limit.unwrap_or_else(|| account.limit());
            account.limit.store(limit, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes `bytes` from what is left, or fails with `ENOSPC` and takes nothing.
    pub(crate) fn charge(&self, bytes: u64) -> Result<()> {
        self.bytes.charge(bytes)
    }

    /// Gives back what was charged.
    pub(crate) fn release(&self, bytes: u64) {
        self.bytes.release(bytes);
    }

    /// Takes an inode with `bytes` beside it, or fails with `ENOSPC` and takes nothing.
    pub(crate) fn charge_inode(&self, bytes: u64) -> Result<()> {
        self.inodes.charge(1)?;
        let charged = self.bytes.charge(INODE_BYTES + bytes);
        charged.inspect_err(|_| self.inodes.release(1))
    }

    /// Gives an inode back, but not what is beside it.
    pub(crate) fn release_inode(&self) {
        self.bytes.release(INODE_BYTES);
        self.inodes.release(1);
    }
}

/// A limit, which is none if it is the largest number, and what is used of it.
pub(crate) struct Account {
    limit: AtomicU64,
    used: AtomicU64,
}

impl Account {
    const fn new(limit: u64) -> Self {
        Self {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
        }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// The limit, if there is one.
    pub(crate) fn bound(&self) -> Option<u64> {
        Some(self.limit()).filter(|limit| *limit != u64::MAX)
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn charge(&self, amount: u64) -> Result<()> {
        let limit = self.limit();
        let add = |used: u64| used.checked_add(amount).filter(|sum| *sum <= limit);
        let order = Ordering::Relaxed;
        (self.used.fetch_update(order, order, add)).map_err(|_| Errno::ENOSPC)?;
        Ok(())
    }

    fn release(&self, amount: u64) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
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
