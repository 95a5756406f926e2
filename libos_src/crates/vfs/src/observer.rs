//! Content that is in memory, too, where programs change it without a call.

use core::ops::Range;

use crate::{FileType, Location, Metadata, Result};

/// A file for as long as it is in use: its file system's device and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// Somebody who has parts of files in memory that programs write to directly.
///
/// It is called with no lock of the file held, and may use the file.
pub trait ContentObserver: Send + Sync {
    /// A part of a file is about to be read: what is in memory goes there first.
    fn before_read(&self, file: FileId, offset: u64, length: u64);

    /// A part of a file is about to be written: until [`after_write`](Self::after_write) what is in
    /// memory of it is not to go there.
    fn before_write(&self, file: FileId, part: &Range<u64>);

    /// The write of `part` is over. What is in memory of `written` is old.
    fn after_write(&self, file: FileId, part: &Range<u64>, written: &Range<u64>);

    /// A file has another size: what is in memory beyond it is zero from now on.
    fn after_truncate(&self, file: FileId, size_bytes: u64);
}

impl Location {
    /// Which file it is.
    ///
    /// # Errors
    /// What the file system says.
    pub fn file_id(&self) -> Result<FileId> {
        Ok(self.id_of(&self.metadata()?))
    }

    /// Has all use of the content of this file system watched. The first observer stays.
    pub fn observe(&self, observer: alloc::sync::Arc<dyn ContentObserver>) {
        let place = &self.dentry.super_block.observer;
        place.call_once(|| observer);
    }

    /// Brings a part of the file up to date before it is read other than through an open file.
    pub fn before_read(&self, offset: u64, length: u64) {
        self.observed(|observer, file| observer.before_read(file, offset, length));
    }

    /// Has `write` watched, which writes to `part` of the file, or at its end, and says what it wrote
    /// beside what it answers.
    ///
    /// # Errors
    /// Those of `write`.
    pub(crate) fn watched_write<T>(
        &self,
        part: Option<Range<u64>>,
        write: impl FnOnce() -> Result<(T, Range<u64>)>,
    ) -> Result<T> {
        let Some((observer, file, size_bytes)) = self.content_observer() else {
            return write().map(|(answer, _)| answer);
        };
        let part = part.unwrap_or(size_bytes..u64::MAX);
        observer.before_write(file, &part);
        let written = write();
        let none = part.start..part.start;
        let new = written.as_ref().map_or(&none, |(_, new)| new);
        observer.after_write(file, &part, new);
        written.map(|(answer, _)| answer)
    }

    pub(crate) fn after_truncate(&self, size_bytes: u64) {
        self.observed(|observer, file| observer.after_truncate(file, size_bytes));
    }

    fn observed(&self, tell: impl FnOnce(&dyn ContentObserver, FileId)) {
        if let Some((observer, file, _)) = self.content_observer() {
            tell(observer, file);
        }
    }

    /// Who watches the file, which it is, and its size.
    fn content_observer(&self) -> Option<(&dyn ContentObserver, FileId, u64)> {
        let observer = self.dentry.super_block.observer.get()?;
        if self.kind() != FileType::Regular {
            return None;
        }
        let metadata = self.metadata().ok()?;
        Some((&**observer, self.id_of(&metadata), metadata.size_bytes))
    }

    fn id_of(&self, metadata: &Metadata) -> FileId {
        FileId {
            device: self.device().to_u64(),
            inode: metadata.inode,
        }
    }
}
