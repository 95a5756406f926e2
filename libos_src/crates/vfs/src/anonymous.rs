//! The file system of things that have no path.

use alloc::sync::Arc;

use crate::{FileSystem, FileType, Inode, Metadata, Mode, Result, Statistics};

/// Where pipes, sockets and the like are said to be. Its own tree is an empty directory.
pub(crate) struct Anonymous;

impl FileSystem for Anonymous {
    fn type_name(&self) -> &'static str {
        "anon_inodefs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(EmptyDirectory)
    }

    fn statistics(&self) -> Result<Statistics> {
        const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;
        Ok(Statistics {
            magic: ANON_INODE_FS_MAGIC,
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
