//! Extended attributes: who may see and set which.
//!
//! Of the name spaces of Linux there are `user.`, on regular files and directories; `trusted.`, for
//! administrators, but for the notes of unions; and `security.`, of which the capabilities of programs
//! mean something and others are kept. `system.` would promise access lists that nobody here heeds:
//! it is `EOPNOTSUPP`, which programs that copy files know.

use alloc::vec::Vec;

use core::sync::atomic::{AtomicBool, Ordering};

use abi::errno::Errno;

use crate::{
    Access, AttributeSet, Capabilities, Event, FileType, InodeFlags, Location, Metadata, Mode,
    Result, Viewpoint,
};

/// Largest value of an attribute (`XATTR_SIZE_MAX`).
pub const ATTRIBUTE_VALUE_MAX_BYTES: usize = 65536;
/// Largest list of names (`XATTR_LIST_MAX`).
pub const ATTRIBUTE_LIST_MAX_BYTES: usize = 65536;
/// Longest name (`XATTR_NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;
const PREFIXES: [(&[u8], Space); 3] = [
    (b"user.", Space::User),
    (b"trusted.", Space::Trusted),
    (b"security.", Space::Security),
];
/// Where unions keep notes about files.
const OF_UNIONS: &[u8] = b"trusted.overlay.";
/// The capabilities of a program (capabilities(7)).
pub const CAPABILITY_ATTRIBUTE: &[u8] = b"security.capability";

/// Whether a file has ever been given capabilities, so that most writes need not look for them.
static SOME_FILE_HAS_CAPABILITIES: AtomicBool = AtomicBool::new(false);

/// Whose a name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    User,
    Trusted,
    Security,
    /// None that there is.
    Strange,
}

impl Viewpoint {
    /// The value of an extended attribute.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn extended_attribute(&self, location: &Location, name: &[u8]) -> Result<Vec<u8>> {
        let space = space_of(name)?;
        match space {
            Space::User => {
                let metadata = location.metadata()?;
                if !can_have(&metadata) {
                    return Err(Errno::ENODATA);
                }
                self.credentials.check(&metadata, Access::READ)?;
            }
            Space::Trusted if !self.credentials.can(Capabilities::ADMINISTER) => {
                return Err(Errno::ENODATA);
            }
            Space::Strange => self
                .credentials
                .check(&location.metadata()?, Access::READ)?,
            Space::Trusted | Space::Security => {}
        }
        check_served(space, name)?;
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
        let sees_all = self.credentials.can(Capabilities::ADMINISTER);
        let is_seen = |name: &&Vec<u8>| match space_of(name) {
            Ok(Space::Trusted) if !sees_all => false,
            Ok(space) => check_served(space, name).is_ok(),
            Err(_) => false,
        };
        for name in names.iter().filter(is_seen) {
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
        let space = space_of(name)?;
        if value.len() > ATTRIBUTE_VALUE_MAX_BYTES {
            return Err(Errno::E2BIG);
        }
        let is_capability = name == CAPABILITY_ATTRIBUTE;
        if is_capability && FileCapabilities::decode(value).is_none() {
            return Err(Errno::EINVAL);
        }
        self.check_attribute_change(location, name, space)?;
        if is_capability {
            SOME_FILE_HAS_CAPABILITIES.store(true, Ordering::SeqCst);
        }
        location.inode().set_extended_attribute(name, value, set)?;
        location.tell_of_inode(Event::ATTRIBUTES);
        Ok(())
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// As `removexattr(2)`.
    pub fn remove_extended_attribute(&self, location: &Location, name: &[u8]) -> Result<()> {
        let space = space_of(name)?;
        self.check_attribute_change(location, name, space)?;
        location.inode().remove_extended_attribute(name)?;
        location.tell_of_inode(Event::ATTRIBUTES);
        Ok(())
    }

    fn check_attribute_change(&self, location: &Location, name: &[u8], space: Space) -> Result<()> {
        location.mount().check_writable()?;
        let metadata = location.metadata()?;
        if metadata.has(InodeFlags::PROTECTION) {
            return Err(Errno::EPERM);
        }
        match space {
            Space::User | Space::Strange => {}
            Space::Security if name == CAPABILITY_ATTRIBUTE => {
                return self.credentials.require(Capabilities::GIVE_TO_FILES);
            }
            Space::Trusted | Space::Security => {
                self.credentials.require(Capabilities::ADMINISTER)?;
                return check_served(space, name);
            }
        }
        if space == Space::User {
            self.check_user_attribute_change(&metadata)?;
        }
        self.credentials.check(&metadata, Access::WRITE)?;
        check_served(space, name)
    }

    fn check_user_attribute_change(&self, metadata: &Metadata) -> Result<()> {
        let is_sticky =
            metadata.kind == FileType::Directory && metadata.mode.contains(Mode::STICKY);
        if !can_have(metadata) || (is_sticky && !self.credentials.owns(metadata)) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}

const fn can_have(metadata: &Metadata) -> bool {
    matches!(metadata.kind, FileType::Regular | FileType::Directory)
}

/// Whose a name is.
fn space_of(name: &[u8]) -> Result<Space> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES {
        return Err(Errno::ERANGE);
    }
    let known = PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix));
    Ok(known.map_or(Space::Strange, |(_, space)| *space))
}

/// Checks that a name is one that attributes may have, which comes after the caller's rights.
fn check_served(space: Space, name: &[u8]) -> Result<()> {
    let is_prefix = PREFIXES.iter().any(|(prefix, _)| name == *prefix);
    if is_prefix {
        Err(Errno::EINVAL)
    } else if space == Space::Strange || name.starts_with(OF_UNIONS) {
        Err(Errno::EOPNOTSUPP)
    } else {
        Ok(())
    }
}

/// What a program may do because its file says so: `struct vfs_cap_data` (`linux/capability.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCapabilities {
    /// What it gets.
    pub permitted: Capabilities,
    /// What it may inherit.
    pub inheritable: Capabilities,
    /// Whether it has them at once, without asking.
    pub is_effective: bool,
}

impl FileCapabilities {
    /// Reads the value of [`CAPABILITY_ATTRIBUTE`]; `None` if it is none.
    #[must_use]
    pub fn decode(value: &[u8]) -> Option<Self> {
        const EFFECTIVE: u32 = 1;
        let words: Vec<u32> = (value.chunks(4))
            .map(|word| Some(u32::from_le_bytes(word.try_into().ok()?)))
            .collect::<Option<_>>()?;
        let [magic, rest @ ..] = &words[..] else {
            return None;
        };
        // Revisions 1, 2 and 3; the last also says whose root it is about.
        let halves = match (magic >> 24, rest) {
            (1, &[permitted, inheritable]) => [permitted, inheritable, 0, 0],
            (2, &[a, b, c, d]) | (3, &[a, b, c, d, 0]) => [a, b, c, d],
            _ => return None,
        };
        let set = |low: u32, high: u32| {
            Capabilities::from_bits_truncate(u64::from(low) | u64::from(high) << 32)
        };
        Some(Self {
            permitted: set(halves[0], halves[2]),
            inheritable: set(halves[1], halves[3]),
            is_effective: magic & EFFECTIVE != 0,
        })
    }
}

impl Location {
    /// What a program of this file may do because it says so.
    ///
    /// # Errors
    /// What the file system says.
    pub fn capabilities(&self) -> Result<Option<FileCapabilities>> {
        if !SOME_FILE_HAS_CAPABILITIES.load(Ordering::SeqCst) {
            return Ok(None);
        }
        match self.inode().extended_attribute(CAPABILITY_ATTRIBUTE) {
            Ok(value) => Ok(FileCapabilities::decode(&value)),
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file was changed, or belongs to somebody else: its capabilities are not meant for that.
    ///
    /// # Errors
    /// What the file system says.
    pub fn drop_capabilities(&self) -> Result<()> {
        match self.capabilities()? {
            Some(_) => self.inode().remove_extended_attribute(CAPABILITY_ATTRIBUTE),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_files_are_read_as_linux_writes_them() {
        // setcap cap_net_raw=ep, as getfattr shows it.
        let value = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let expected = FileCapabilities {
            permitted: Capabilities::from_bits_retain(1 << 13),
            inheritable: Capabilities::empty(),
            is_effective: true,
        };
        assert_eq!(FileCapabilities::decode(value), Some(expected));
        assert_eq!(FileCapabilities::decode(&value[..16]), None);
        assert_eq!(FileCapabilities::decode(b"\0\0\0\x04"), None);
        assert_eq!(FileCapabilities::decode(b""), None);
    }
}
