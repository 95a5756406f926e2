//! `/proc/PID/mem`: the memory of a process, where an offset is an address.

use alloc::sync::Arc;

use vfs::{FileType, Inode, Metadata, OpenFlags, Result};

use crate::{Source, owner};

/// The memory that a process has when its file is opened; another program that it runs has another.
pub trait ProcessMemory: Send + Sync {
    /// Reads up to where nothing can be read. How many bytes; none once the process has ended.
    ///
    /// # Errors
    /// `EIO` if nothing can be read at `address`.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Writes up to where nothing can be written. How many bytes; none once the process has ended.
    ///
    /// # Errors
    /// `EIO` if nothing can be written at `address`.
    fn write(&self, address: u64, data: &[u8]) -> Result<usize>;
}

/// The file, for those who may look into the process.
pub(crate) struct MemoryFile {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) process: u32,
    pub(crate) inode: u64,
}

struct OpenMemory {
    metadata: Metadata,
    memory: Arc<dyn ProcessMemory>,
}

impl Inode for MemoryFile {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> Result<Metadata> {
        let kind = FileType::Regular;
        owner::metadata(&*self.source, self.process, self.inode, kind, 0o600)
    }

    fn open(&self, _flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>> {
        self.source.check_look_into(self.process)?;
        Ok(Some(Arc::new(OpenMemory {
            metadata: self.metadata()?,
            memory: self.source.memory(self.process)?,
        })))
    }

    /// There is nothing to take away.
    fn truncate(&self, _size_bytes: u64) -> Result<()> {
        Ok(())
    }
}

impl Inode for OpenMemory {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.metadata)
    }

    fn has_end(&self) -> bool {
        false
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.memory.read(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        self.memory.write(offset, data)
    }
}
