//! Who asks, and what they may do.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::errno::Errno;
use bitflags::bitflags;

use crate::{Capabilities, FileType, InodeFlags, Metadata, Mode, Result};

/// The user and groups on whose behalf a file is accessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// File system user.
    pub user: u32,
    /// File system group.
    pub group: u32,
    /// Supplementary groups.
    pub groups: Arc<Vec<u32>>,
    /// What they may do beyond permission bits.
    pub capabilities: Capabilities,
}

bitflags! {
    /// Kinds of access, in the bits of `access(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u16 {
        /// Execute, or search a directory.
        const EXECUTE = 1;
        /// Write.
        const WRITE = 2;
        /// Read.
        const READ = 4;
    }
}

impl Credentials {
    /// The superuser.
    #[must_use]
    pub fn superuser() -> Self {
        Self {
            user: 0,
            group: 0,
            groups: Arc::default(),
            capabilities: Capabilities::ALL,
        }
    }

    /// A user with groups and nothing beyond.
    #[must_use]
    pub fn of(user: u32, group: u32, groups: Vec<u32>) -> Self {
        Self {
            user,
            group,
            groups: Arc::new(groups),
            capabilities: Capabilities::empty(),
        }
    }

    /// Whether they have a capability.
    #[must_use]
    pub const fn can(&self, capability: Capabilities) -> bool {
        self.capabilities.contains(capability)
    }

    /// Checks that they have a capability.
    ///
    /// # Errors
    /// `EPERM`.
    pub const fn require(&self, capability: Capabilities) -> Result<()> {
        if self.can(capability) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Whether they are the owner of a file, or as good as.
    #[must_use]
    pub const fn owns(&self, metadata: &Metadata) -> bool {
        self.user == metadata.user || self.can(Capabilities::OWN_FILES)
    }

    /// Whether they are in a group.
    #[must_use]
    pub fn is_member(&self, group: u32) -> bool {
        self.group == group || self.groups.contains(&group)
    }

    /// Checks that they have `access` to a file.
    ///
    /// # Errors
    /// `EPERM` if it is immutable and to be written to, else `EACCES`. Who passes over permission bits is
    /// refused only the execution of a file that nobody may execute.
    pub fn check(&self, metadata: &Metadata, access: Access) -> Result<()> {
        if access.contains(Access::WRITE) && metadata.has(InodeFlags::IMMUTABLE) {
            return Err(Errno::EPERM);
        }
        let bits = metadata.mode.bits();
        let granted = if self.user == metadata.user {
            bits >> 6
        } else if self.is_member(metadata.group) {
            bits >> 3
        } else {
            bits
        };
        if access.bits() & !granted == 0 || self.passes_over(metadata, access) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// Whether they have `access` to a file in spite of its permission bits.
    fn passes_over(&self, metadata: &Metadata, access: Access) -> bool {
        let is_directory = metadata.kind == FileType::Directory;
        let is_executable = is_directory || metadata.mode.bits() & 0o111 != 0;
        if self.can(Capabilities::OVERRIDE_ACCESS)
            && (is_executable || !access.contains(Access::EXECUTE))
        {
            return true;
        }
        let mut looks = Access::READ;
        looks.set(Access::EXECUTE, is_directory);
        self.can(Capabilities::READ_AND_SEARCH) && looks.contains(access)
    }

    /// Checks that they may remove or rename an entry of `directory` that is `victim`: write and
    /// search permission, ownership where the directory is sticky, and no flags against it.
    ///
    /// # Errors
    /// `EACCES` or, for the sticky bit and flags, `EPERM`.
    pub fn check_remove(&self, directory: &Metadata, victim: &Metadata) -> Result<()> {
        self.check(directory, Access::WRITE | Access::EXECUTE)?;
        let owner = self.owns(victim) || self.user == directory.user;
        let is_kept = directory.has(InodeFlags::APPEND_ONLY) || victim.has(InodeFlags::PROTECTION);
        if is_kept || (directory.mode.contains(Mode::STICKY) && !owner) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}
