//! Extended attributes: who may see and set which.
//!
//! Of the name spaces of Linux programs get `user.`, on regular files and directories. `trusted.` is
//! where file systems keep notes of their own, and `security.` and `system.` would promise a
//! protection that nobody here gives: these are `EOPNOTSUPP`, which programs that copy files know.

use alloc::vec::Vec;

use abi::errno::Errno;

use crate::{Access, AttributeSet, Event, FileType, Location, Metadata, Mode, Result, Viewpoint};

/// Largest value of an attribute (`XATTR_SIZE_MAX`).
pub const ATTRIBUTE_VALUE_MAX_BYTES: usize = 65536;
/// Largest list of names (`XATTR_LIST_MAX`).
pub const ATTRIBUTE_LIST_MAX_BYTES: usize = 65536;
/// Longest name (`XATTR_NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;
const USER_PREFIX: &[u8] = b"user.";

impl Viewpoint {
    /// The value of an extended attribute.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn extended_attribute(&self, location: &Location, name: &[u8]) -> Result<Vec<u8>> {
        check_name(name)?;
        let metadata = location.metadata()?;
        if !can_have(&metadata) {
            return Err(Errno::ENODATA);
        }
        self.credentials.check(&metadata, Access::READ)?;
        location.inode().extended_attribute(name)
    }

    /// The names of the extended attributes, each with a zero behind it.
    ///
    /// # Errors
    /// As `listxattr(2)`.
    pub fn extended_attributes(&self, location: &Location) -> Result<Vec<u8>> {
        let names = match location.inode().extended_attributes() {
            Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
            names => names?,
        };
        let mut list = Vec::new();
        for name in names.iter().filter(|name| name.starts_with(USER_PREFIX)) {
            list.extend_from_slice(name);
            list.push(0);
        }
        Ok(list)
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// As `setxattr(2)`.
    pub fn set_extended_attribute(
        &self,
        location: &Location,
        name: &[u8],
        value: &[u8],
        set: AttributeSet,
    ) -> Result<()> {
        check_name(name)?;
        if value.len() > ATTRIBUTE_VALUE_MAX_BYTES {
            return Err(Errno::E2BIG);
        }
        self.check_attribute_change(location)?;
        location.inode().set_extended_attribute(name, value, set)?;
        location.tell(Event::ATTRIBUTES);
        Ok(())
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// As `removexattr(2)`.
    pub fn remove_extended_attribute(&self, location: &Location, name: &[u8]) -> Result<()> {
        check_name(name)?;
        self.check_attribute_change(location)?;
        location.inode().remove_extended_attribute(name)?;
        location.tell(Event::ATTRIBUTES);
        Ok(())
    }

    fn check_attribute_change(&self, location: &Location) -> Result<()> {
        location.mount().check_writable()?;
        let metadata = location.metadata()?;
        if !can_have(&metadata) {
            return Err(Errno::EPERM);
        }
        let is_owner = self.credentials.owns(&metadata);
        if metadata.kind == FileType::Directory && metadata.mode.contains(Mode::STICKY) && !is_owner
        {
            return Err(Errno::EPERM);
        }
        self.credentials.check(&metadata, Access::WRITE)
    }
}

const fn can_have(metadata: &Metadata) -> bool {
    matches!(metadata.kind, FileType::Regular | FileType::Directory)
}

fn check_name(name: &[u8]) -> Result<()> {
    match name.len() {
        0 => Err(Errno::ERANGE),
        len if len > NAME_MAX_BYTES => Err(Errno::ERANGE),
        _ if !name.starts_with(USER_PREFIX) => Err(Errno::EOPNOTSUPP),
        len if len == USER_PREFIX.len() => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}
