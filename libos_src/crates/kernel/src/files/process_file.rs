//! A process as a file.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hal::Errno;
use locks::Once;
use vfs::{FileType, Inode, Metadata, Mode, OpenFile, Readiness, Watchers};

use crate::processes::Process;

/// What refers to a process for good (pidfd_open(2)), whoever else gets its number later.
pub(crate) struct ProcessFile(Once<Arc<Process>>);

impl ProcessFile {
    /// One for a process that is about to be made.
    pub(crate) fn empty() -> Arc<Self> {
        Arc::new(Self(Once::new()))
    }

    /// Lets it refer to a process. The first one stays.
    pub(crate) fn fill(&self, process: &Arc<Process>) {
        self.0.call_once(|| process.clone());
    }

    /// The process; `ESRCH` if none was made.
    pub(crate) fn process(&self) -> Result<&Arc<Process>, Errno> {
        self.0.get().ok_or(Errno::ESRCH)
    }

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
        Ok(Metadata::fixed(1, FileType::Unnamed, mode))
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn readiness(&self) -> Readiness {
        let process = self.0.get();
        if process.is_some_and(|process| process.has_ended.load(Ordering::Acquire)) {
            Readiness::READABLE
        } else {
            Readiness::empty()
        }
    }

    fn watchers(&self) -> Option<&Watchers> {
        self.0.get().map(|process| &process.end_watchers)
    }
}
