//! Parts of file systems that are made by the LibOS itself.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::errno::Errno;

use crate::{
    DirectoryEntry, DirectorySink, FileType, Inode, Metadata, Mode, Name, Result, SinkState,
};

/// A directory whose entries never change.
pub struct StaticDirectory {
    inode: u64,
    /// Sorted by name.
    entries: Vec<(Cow<'static, str>, Arc<dyn Inode>)>,
}

impl StaticDirectory {
    /// A directory with this inode number and these entries, whose names differ.
    #[must_use]
    pub fn new<N: Into<Cow<'static, str>>>(
        inode: u64,
        entries: Vec<(N, Arc<dyn Inode>)>,
    ) -> Arc<Self> {
        let named = entries
            .into_iter()
            .map(|(name, inode)| (name.into(), inode));
        let mut entries: Vec<(Cow<'static, str>, _)> = named.collect();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        Arc::new(Self { inode, entries })
    }
}

impl Inode for StaticDirectory {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata> {
        let is_directory = |inode: &Arc<dyn Inode>| inode.kind() == FileType::Directory;
        let subdirectories = self
            .entries
            .iter()
            .filter(|(_, inode)| is_directory(inode))
            .count();
        let mut metadata =
            Metadata::fixed(self.inode, FileType::Directory, Mode::from_low_bits(0o755));
        metadata.link_count += subdirectories as u32;
        Ok(metadata)
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        let place = self
            .entries
            .binary_search_by(|(known, _)| known.as_bytes().cmp(&name))
            .map_err(|_| Errno::ENOENT)?;
        Ok(self.entries[place].1.clone())
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        let start = usize::try_from(cookie).unwrap_or(usize::MAX);
        for (index, (name, inode)) in self.entries.iter().enumerate().skip(start) {
            let metadata = inode.metadata()?;
            let entry = DirectoryEntry {
                inode: metadata.inode,
                kind: metadata.kind,
                name: name.as_bytes(),
                next_cookie: index as u64 + 1,
            };
            if sink(&entry) == SinkState::Full {
                break;
            }
        }
        Ok(())
    }
}

/// A symbolic link whose target never changes.
pub struct StaticLink {
    inode: u64,
    target: &'static str,
}

impl StaticLink {
    /// A link with this inode number and target.
    #[must_use]
    pub fn new(inode: u64, target: &'static str) -> Arc<Self> {
        Arc::new(Self { inode, target })
    }
}

impl Inode for StaticLink {
    fn kind(&self) -> FileType {
        FileType::Symlink
    }

    fn metadata(&self) -> Result<Metadata> {
        let mode = Mode::from_low_bits(0o777);
        let size_bytes = self.target.len() as u64;
        Ok(Metadata {
            size_bytes,
            ..Metadata::fixed(self.inode, FileType::Symlink, mode)
        })
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        Ok(self.target.as_bytes().to_vec())
    }
}
