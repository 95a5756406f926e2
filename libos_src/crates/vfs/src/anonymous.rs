//! The file systems of things that have no path.

use alloc::sync::Arc;

use crate::{FileSystem, FileType, Inode, Metadata, Mode, Result, Statistics};

/// Where pipes, sockets and the like are said to be. Its own tree is an empty directory.
#[derive(Clone, Copy)]
pub(crate) struct Anonymous {
    type_name: &'static str,
    /// See `linux/magic.h`.
    magic: u64,
}

impl Anonymous {
    /// One for each sort of things.
    pub(crate) const ALL: [Self; 5] = [
        Self::new("pipefs", 0x5049_5045),
        Self::new("sockfs", 0x534f_434b),
        Self::new("tmpfs", 0x0102_1994),
        Self::new("anon_inodefs", 0x0904_1934),
        Self::new("nsfs", 0x6e73_6673),
    ];
    /// Which of them name spaces are in.
    pub(crate) const NAME_SPACES: usize = 4;

    const fn new(type_name: &'static str, magic: u64) -> Self {
        Self { type_name, magic }
    }

    /// Which of [`ALL`](Self::ALL) something of this kind is in; a regular file is a memory file.
    pub(crate) const fn index_of(kind: FileType) -> usize {
        match kind {
            FileType::Fifo => 0,
            FileType::Socket => 1,
            FileType::Regular => 2,
            _ => 3,
        }
    }
}

impl FileSystem for Anonymous {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(EmptyDirectory)
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics {
            magic: self.magic,
            block_size_bytes: 4096,
            ..Default::default()
        })
    }
}

struct EmptyDirectory;

impl Inode for EmptyDirectory {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata::fixed(
            1,
            FileType::Directory,
            Mode::from_low_bits(0o555),
        ))
    }
}
