//! Who writes to a file, and who must not: nobody writes to a program that runs.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use abi::errno::Errno;

use crate::{Location, Result};

/// How many have a file open for writing; below zero, how many keep others from it.
#[derive(Debug, Default)]
pub(crate) struct Writers(AtomicI32);

/// Who uses the content of a file: as many as open it, by whatever name. A file system that has one inode
/// for each file keeps it there, see [`Inode::uses`](crate::Inode::uses).
#[derive(Debug, Default)]
pub struct Uses {
    pub(crate) writers: Writers,
    /// How many have it open and do not write.
    pub(crate) readers: AtomicU32,
}

/// How many have a file open, and for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Openers {
    /// Only to read.
    pub readers: u32,
    /// Also to write.
    pub writers: u32,
}

impl Writers {
    /// One more writes, or keeps others from it. `ETXTBSY` if that does not go together.
    fn change(&self, by: i32) -> Result<()> {
        let ordering = Ordering::SeqCst;
        let changed = self.0.fetch_update(ordering, ordering, |count| {
            (count.signum() != -by.signum()).then_some(count + by)
        });
        changed.map(|_| ()).map_err(|_| Errno::ETXTBSY)
    }

    /// One more writes.
    pub(crate) fn begin(&self) -> Result<()> {
        self.change(1)
    }

    /// One that wrote does so no more.
    pub(crate) fn end(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    /// Checks that it may be changed now.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::SeqCst) < 0 {
            Err(Errno::ETXTBSY)
        } else {
            Ok(())
        }
    }
}

/// A file that nobody opens for writing while this, or a clone of it, lives.
#[derive(Clone)]
pub struct Unwritten(Arc<Kept>);

struct Kept(Location);

impl Unwritten {
    /// The file.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.0.0
    }
}

impl Location {
    /// Who uses the file.
    pub(crate) fn uses(&self) -> &Uses {
        self.inode().uses().unwrap_or(&self.dentry.uses)
    }

    /// Who has the file open.
    #[must_use]
    pub fn openers(&self) -> Openers {
        let uses = self.uses();
        let writers = uses.writers.0.load(Ordering::SeqCst);
        Openers {
            readers: uses.readers.load(Ordering::SeqCst),
            writers: u32::try_from(writers).unwrap_or(0),
        }
    }

    /// Keeps everybody from opening the file for writing.
    ///
    /// # Errors
    /// `ETXTBSY` if somebody has.
    pub fn keep_unwritten(&self) -> Result<Unwritten> {
        self.uses().writers.change(-1)?;
        Ok(Unwritten(Arc::new(Kept(self.clone()))))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.uses().writers.0.fetch_add(1, Ordering::SeqCst);
    }
}
