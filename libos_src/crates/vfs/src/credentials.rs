//! Who asks, and what they may do.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::errno::Errno;
use bitflags::bitflags;

use crate::{FileType, Metadata, Mode, Result};

/// The user and groups on whose behalf a file is accessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// File system user.
    pub user: u32,
    /// File system group.
    pub group: u32,
    /// Supplementary groups.
    pub groups: Arc<Vec<u32>>,
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
        }
    }

    /// Whether permission bits do not bind them (`CAP_DAC_OVERRIDE`).
    #[must_use]
    pub const fn is_superuser(&self) -> bool {
        self.user == 0
    }

    /// Checks that they may do what only the superuser may.
    ///
    /// # Errors
    /// `EPERM`.
    pub const fn check_superuser(&self) -> Result<()> {
        if self.is_superuser() {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Whether they are in a group.
    #[must_use]
    pub fn is_member(&self, group: u32) -> bool {
        self.group == group || self.groups.contains(&group)
    }

    /// Checks that they have `access` to a file.
    ///
    /// # Errors
    /// `EACCES`. The superuser is refused only the execution of a file that nobody may execute.
    pub fn check(&self, metadata: &Metadata, access: Access) -> Result<()> {
        let bits = metadata.mode.bits();
        if self.is_superuser() {
            let executable = metadata.kind == FileType::Directory || bits & 0o111 != 0;
            let refused = access.contains(Access::EXECUTE) && !executable;
            return if refused { Err(Errno::EACCES) } else { Ok(()) };
        }
        let granted = if self.user == metadata.user {
            bits >> 6
        } else if self.is_member(metadata.group) {
            bits >> 3
        } else {
            bits
        };
        if access.bits() & !granted == 0 {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// Checks that they may remove or rename an entry of `directory` that is `victim`: write and
    /// search permission, and ownership where the directory is sticky.
    ///
    /// # Errors
    /// `EACCES` or, for the sticky bit, `EPERM`.
    pub fn check_remove(&self, directory: &Metadata, victim: &Metadata) -> Result<()> {
        self.check(directory, Access::WRITE | Access::EXECUTE)?;
        let owner = self.is_superuser() || [directory.user, victim.user].contains(&self.user);
        if directory.mode.contains(Mode::STICKY) && !owner {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}
