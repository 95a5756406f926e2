//! Symbolic links.

use alloc::sync::Arc;
use alloc::vec::Vec;

use vfs::{FileType, Inode, Location, Metadata, Mode, Result};

use crate::{ProcessPlace, Source, owner};

/// A link that is resolved as a path.
pub(crate) struct TextLink {
    pub(crate) inode: u64,
    pub(crate) target: Vec<u8>,
}

/// A link that leads straight to a place, whatever its text says.
pub(crate) struct PlaceLink {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) inode: u64,
    pub(crate) process: u32,
    pub(crate) place: ProcessPlace,
}

impl PlaceLink {
    /// Where it leads, for who may look into the process.
    fn place(&self) -> Result<Location> {
        self.source.check_look_into(self.process)?;
        self.source.process_place(self.process, self.place)
    }
}

impl Inode for TextLink {
    fn kind(&self) -> FileType {
        FileType::Symlink
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata::fixed(
            self.inode,
            FileType::Symlink,
            Mode::from_low_bits(0o777),
        ))
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        Ok(self.target.clone())
    }
}

impl Inode for PlaceLink {
    fn kind(&self) -> FileType {
        FileType::Symlink
    }

    fn metadata(&self) -> Result<Metadata> {
        let kind = FileType::Symlink;
        owner::metadata(&*self.source, self.process, self.inode, kind, 0o777)
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        Ok(self.source.text_of_place(&self.place()?))
    }

    fn magic_link(&self) -> Result<Option<Location>> {
        self.place().map(Some)
    }
}
