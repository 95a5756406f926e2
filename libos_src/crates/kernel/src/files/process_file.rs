//! A process as a file.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hal::Errno;
use vfs::{FileType, Inode, Metadata, Mode, OpenFile, Readiness, Watchers};

use crate::processes::Process;

/// What refers to a process for good (pidfd_open(2)), whoever else gets its number later.
pub(crate) struct ProcessFile(pub(crate) Arc<Process>);

impl ProcessFile {
    /// The one that an open file is, if it is one.
    pub(crate) fn behind(file: &OpenFile) -> Option<&Self> {
        file.object().downcast()
    }
}

impl Inode for ProcessFile {
    fn kind(&self) -> FileType {
        FileType::Unnamed
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mode = Mode::from_low_bits(0o700);
        Ok(Metadata::fixed(self.0.pid.into(), FileType::Unnamed, mode))
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn readiness(&self) -> Readiness {
        if self.0.has_ended.load(Ordering::Acquire) {
            Readiness::READABLE
        } else {
            Readiness::empty()
        }
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.0.end_watchers)
    }
}
