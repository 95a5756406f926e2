//! Files without a place: `memfd_create`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bitflags::bitflags;
use hal::Errno;
use locks::{Mutex, MutexGuard};
use vfs::{Allocation, AttributeChange, AttributeSet, FileType, Inode, Metadata, Mode, Sink};

/// A regular file that no directory has, with what may not be done to it any more.
pub(crate) struct MemoryFile {
    content: Arc<dyn Inode>,
    seals: Mutex<Seals>,
}

bitflags! {
    /// What may not be done to a file any more (`F_SEAL_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Seals: u32 {
        /// Adding seals.
        const SEAL = 1;
        /// Making it smaller.
        const SHRINK = 2;
        /// Making it larger.
        const GROW = 4;
        /// Writing.
        const WRITE = 8;
        /// Writing, other than by mappings that are there.
        const FUTURE_WRITE = 16;
        /// Making it executable, or no more so.
        const EXEC = 32;
    }
}

impl MemoryFile {
    /// A file that keeps its bytes in `content`, a regular file that nobody else has.
    pub(crate) fn new(content: Arc<dyn Inode>, seals: Seals) -> Self {
        Self {
            content,
            seals: Mutex::new(seals),
        }
    }

    /// Where the bytes are.
    pub(crate) const fn content(&self) -> &Arc<dyn Inode> {
        &self.content
    }

    /// Keeps the seals as they are.
    pub(crate) fn hold_seals(&self) -> MutexGuard<'_, Seals> {
        self.seals.lock()
    }

    /// The seals.
    pub(crate) fn seals(&self) -> Seals {
        *self.seals.lock()
    }

    /// Adds seals. Nobody maps the file between `is_written`, which says whether a mapping may be written
    /// to, and the seal that refuses one.
    ///
    /// # Errors
    /// `EPERM` if that is sealed; `EBUSY` if writing is to be, and a mapping may be written to.
    pub(crate) fn add_seals(
        &self,
        more: Seals,
        is_written: impl FnOnce() -> Result<bool, Errno>,
    ) -> Result<(), Errno> {
        let mut seals = self.seals.lock();
        check(*seals, Seals::SEAL)?;
        if more.difference(*seals).contains(Seals::WRITE) && is_written()? {
            return Err(Errno::EBUSY);
        }
        *seals |= more;
        Ok(())
    }

    /// Checks that bytes may be written up to `end`. No seal is added while the guard lives: who has
    /// sealed a file finds it as it will stay.
    fn before_write(&self, end: u64) -> Result<MutexGuard<'_, Seals>, Errno> {
        let seals = self.seals.lock();
        check(*seals, Seals::WRITE | Seals::FUTURE_WRITE)?;
        if end > self.content.metadata()?.size_bytes {
            check(*seals, Seals::GROW)?;
        }
        Ok(seals)
    }
}

/// Whether what one of these seals refuses may still be done.
const fn check(seals: Seals, refused: Seals) -> Result<(), Errno> {
    if seals.intersects(refused) {
        Err(Errno::EPERM)
    } else {
        Ok(())
    }
}

impl Inode for MemoryFile {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.content.metadata()
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        let executable = Mode::from_low_bits(0o111);
        let seals = self.seals.lock();
        if let Some(mode) = change.mode
            && (mode ^ self.content.metadata()?.mode).intersects(executable)
        {
            check(*seals, Seals::EXEC)?;
        }
        self.content.set_attributes(change)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.content.read_at(offset, buffer)
    }

    fn read_to(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize, Errno> {
        self.content.read_to(offset, sink)
    }

    fn note_access(&self) {
        self.content.note_access();
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        // To write nothing is no writing.
        if data.is_empty() {
            return Ok(0);
        }
        let _unsealed = self.before_write(offset.saturating_add(data.len() as u64))?;
        self.content.write_at(offset, data)
    }

    fn append(&self, data: &[u8]) -> Result<(u64, usize), Errno> {
        let _unsealed = self.before_write(u64::MAX)?;
        self.content.append(data)
    }

    fn writing(&self) -> Option<&Mutex<()>> {
        self.content.writing()
    }

    fn truncate(&self, size_bytes: u64) -> Result<(), Errno> {
        let seals = self.seals.lock();
        let now = self.content.metadata()?.size_bytes;
        if size_bytes < now {
            check(*seals, Seals::SHRINK)?;
        } else if size_bytes > now {
            check(*seals, Seals::GROW)?;
        }
        self.content.truncate(size_bytes)
    }

    fn allocate(&self, what: Allocation, offset: u64, length: u64) -> Result<(), Errno> {
        let seals = self.seals.lock();
        match what {
            Allocation::PunchHole => check(*seals, Seals::WRITE | Seals::FUTURE_WRITE)?,
            Allocation::Extend | Allocation::Reserve
                if offset + length > self.content.metadata()?.size_bytes =>
            {
                check(*seals, Seals::GROW)?;
            }
            _ => {}
        }
        self.content.allocate(what, offset, length)
    }

    fn next_data(&self, offset: u64) -> Result<u64, Errno> {
        self.content.next_data(offset)
    }

    fn next_hole(&self, offset: u64) -> Result<u64, Errno> {
        self.content.next_hole(offset)
    }

    fn extended_attribute(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.content.extended_attribute(name)
    }

    fn extended_attributes(&self) -> Result<Vec<Vec<u8>>, Errno> {
        self.content.extended_attributes()
    }

    fn set_extended_attribute(
        &self,
        name: &[u8],
        value: &[u8],
        set: AttributeSet,
    ) -> Result<(), Errno> {
        self.content.set_extended_attribute(name, value, set)
    }

    fn remove_extended_attribute(&self, name: &[u8]) -> Result<(), Errno> {
        self.content.remove_extended_attribute(name)
    }
}
