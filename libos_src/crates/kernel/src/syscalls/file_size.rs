//! `RLIMIT_FSIZE`: how far files may grow.

use hal::Errno;
use vfs::{FileType, OpenFile, Source};

use super::call::Call;
use crate::processes::Limits;
use crate::signals::Signal;

/// What a limit leaves of a source.
pub(super) struct Limited<'a> {
    source: &'a mut dyn Source,
    left_bytes: usize,
}

impl<'a> Limited<'a> {
    /// At most `room` bytes of a source.
    pub(super) fn new(source: &'a mut dyn Source, room: u64) -> Self {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        Self {
            left_bytes: source.left_bytes().min(room),
            source,
        }
    }
}

impl Source for Limited<'_> {
    fn left_bytes(&self) -> usize {
        self.left_bytes
    }

    fn copy(&self, bytes: &mut [u8]) -> Result<(), Errno> {
        self.source.copy(bytes)
    }

    fn advance(&mut self, count: usize) {
        self.source.advance(count);
        self.left_bytes -= count;
    }
}

impl Call<'_> {
    /// How many bytes may be written to a file at `offset`, or where it is, or at its end if the write
    /// `appends`; `None` if no limit is near. `EFBIG` and `SIGXFSZ` if it is none, though there are some to
    /// write.
    pub(super) fn room_in_file(
        &self,
        file: &OpenFile,
        offset: Option<u64>,
        appends: bool,
    ) -> Result<Option<u64>, Errno> {
        let limit = self.process.limits.lock().soft(Limits::FILE_SIZE);
        if limit == u64::MAX || file.location().kind() != FileType::Regular {
            return Ok(None);
        }
        let start = if appends {
            file.metadata()?.size_bytes
        } else {
            offset.unwrap_or_else(|| file.offset())
        };
        match limit.saturating_sub(start) {
            0 => Err(self.file_too_large()),
            room => Ok(Some(room)),
        }
    }

    /// Checks that a file may be made as large as this, which now has `size_bytes`.
    pub(super) fn check_file_size(&self, wanted: u64, size_bytes: u64) -> Result<(), Errno> {
        let limit = self.process.limits.lock().soft(Limits::FILE_SIZE);
        if wanted > limit && wanted > size_bytes {
            Err(self.file_too_large())
        } else {
            Ok(())
        }
    }

    fn file_too_large(&self) -> Errno {
        self.raise(Signal::XFSZ);
        Errno::EFBIG
    }
}
