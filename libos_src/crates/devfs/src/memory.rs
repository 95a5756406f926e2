//! The devices of Linux's major number 1.

use alloc::sync::Arc;

use vfs::{DeviceNumber, Errno, FileType, Inode, Metadata, Mode, Result};

use crate::Random;

/// Major number of memory devices.
const MEMORY_MAJOR: u32 = 1;

/// A device without state.
pub(crate) struct MemoryDevice {
    inode: u64,
    number: DeviceNumber,
    source: Source,
}

/// What a device gives and takes.
pub(crate) enum Source {
    /// Reads end at once, writes vanish.
    Nothing,
    /// Reads give zeros, writes vanish.
    Zeros,
    /// Reads give zeros, writes find no room.
    ZerosWithoutRoom,
    /// Reads give random bytes; writes vanish, for the pool needs no help.
    Random(Arc<dyn Random>),
}

impl MemoryDevice {
    pub(crate) fn new(inode: u64, minor: u32, source: Source) -> Self {
        Self {
            inode,
            number: DeviceNumber::new(MEMORY_MAJOR, minor),
            source,
        }
    }
}

impl Inode for MemoryDevice {
    fn kind(&self) -> FileType {
        FileType::CharacterDevice
    }

    fn metadata(&self) -> Result<Metadata> {
        let mode = Mode::from_low_bits(0o666);
        let metadata = Metadata::fixed(self.inode, FileType::CharacterDevice, mode);
        Ok(Metadata {
            represents: self.number,
            ..metadata
        })
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<usize> {
        match &self.source {
            Source::Nothing => return Ok(0),
            Source::Zeros | Source::ZerosWithoutRoom => buffer.fill(0),
            Source::Random(random) => random.fill(buffer),
        }
        Ok(buffer.len())
    }

    fn write_at(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        match self.source {
            Source::ZerosWithoutRoom if !data.is_empty() => Err(Errno::ENOSPC),
            _ => Ok(data.len()),
        }
    }

    fn append(&self, data: &[u8]) -> Result<(u64, usize)> {
        Ok((0, self.write_at(0, data)?))
    }

    /// Opening with `O_TRUNC`, as shells do for `> /dev/null`, changes nothing.
    fn truncate(&self, _size_bytes: u64) -> Result<()> {
        Err(Errno::EINVAL)
    }
}
