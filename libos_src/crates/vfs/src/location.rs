//! A place in the tree of mounts.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::dentry::Dentry;
use crate::namespace::Mount;
use crate::{
    AttributeChange, DeviceNumber, FileSystem, FileType, Inode, Metadata, MountFlags, Result,
};

/// A name in a mount: what a path resolves to, and what a working directory or an open file keeps.
///
/// It follows renames. It outlives the removal of the name, see [`is_deleted`](Self::is_deleted).
#[derive(Clone)]
pub struct Location {
    pub(crate) mount: Arc<Mount>,
    pub(crate) dentry: Arc<Dentry>,
}

impl Location {
    /// The inode with this name.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.dentry.inode
    }

    /// The kind of file.
    #[must_use]
    pub fn kind(&self) -> FileType {
        self.inode().kind()
    }

    /// The attributes of the inode.
    ///
    /// # Errors
    /// What the file system says, for example `EIO`.
    pub fn metadata(&self) -> Result<Metadata> {
        self.inode().metadata()
    }

    /// The device number of its file system (`st_dev`).
    #[must_use]
    pub fn device(&self) -> DeviceNumber {
        self.dentry.super_block.device
    }

    /// The file system that it is in.
    #[must_use]
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.dentry.super_block.file_system
    }

    /// The mount through which it was reached.
    #[must_use]
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// Whether the name was removed after it was resolved.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.dentry.is_deleted()
    }

    /// Whether this is the top of its mount.
    #[must_use]
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.dentry, &self.mount.root)
    }

    /// The path from the top of its file system, wherever that is mounted.
    #[must_use]
    pub fn path_in_file_system(&self) -> Vec<u8> {
        let _shape = self.dentry.super_block.freeze_shape();
        let mut names = Vec::new();
        let mut here = self.dentry.clone();
        while let Some(parent) = here.parent() {
            names.push(here.name());
            here = parent;
        }
        if names.is_empty() {
            return Vec::from(*b"/");
        }
        let parts = names.iter().rev();
        parts.flat_map(|name| [b"/", &**name].concat()).collect()
    }

    /// Notes that it was read, unless its mount does not want that.
    pub fn note_access(&self) {
        let mut unless = MountFlags::READ_ONLY | MountFlags::NO_ACCESS_TIME;
        unless.set(
            MountFlags::NO_DIRECTORY_ACCESS_TIME,
            self.kind() == FileType::Directory,
        );
        if !self.mount.flags().intersects(unless) {
            self.inode().note_access();
        }
    }

    /// Takes the set-id bits from a regular file that is about to be changed by who may not set them
    /// for anybody, so that nobody else's rights go to what they write.
    ///
    /// # Errors
    /// What the file system says.
    pub fn drop_set_id_bits(&self) -> Result<()> {
        if self.kind() != FileType::Regular {
            return Ok(());
        }
        let mode = self.metadata()?.mode;
        let kept = mode.without_set_id();
        if kept == mode {
            return Ok(());
        }
        let change = AttributeChange {
            mode: Some(kept),
            ..AttributeChange::default()
        };
        self.inode().set_attributes(&change)?;
        self.tell_change(&change);
        Ok(())
    }

    /// The inode number of the directory above in the same file system.
    pub(crate) fn parent_inode(&self) -> Result<Option<u64>> {
        let parent = self.dentry.parent();
        parent
            .map(|parent| Ok(parent.inode.metadata()?.inode))
            .transpose()
    }

    /// A place in this directory for a file that has no name.
    pub(crate) fn unnamed_child(&self, inode: Arc<dyn Inode>) -> Self {
        self.at(Dentry::unnamed(inode, &self.dentry))
    }

    /// The same mount, another dentry.
    pub(crate) fn at(&self, dentry: Arc<Dentry>) -> Self {
        Self {
            mount: self.mount.clone(),
            dentry,
        }
    }
}

impl PartialEq for Location {
    /// The same name of the same mount.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }
}

impl Eq for Location {}

impl core::fmt::Debug for Location {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = self.dentry.name();
        write!(
            formatter,
            "Location(mount {}, \"{}\")",
            self.mount.id(),
            name.escape_ascii()
        )
    }
}
