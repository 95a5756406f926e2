//! Extended attributes of files.

use alloc::vec::Vec;

use hal::Errno;
use vfs::{ATTRIBUTE_VALUE_MAX_BYTES, AttributeSet, Location};

use super::argument::{AT_SYMLINK_NOFOLLOW, AT_WORKING_DIRECTORY, Address, Argument};
use super::call::{Call, Outcome};
use super::room;

/// Longer than any name; what does not end before it is `ERANGE`.
const NAME_LIMIT_BYTES: usize = 256;

/// Where an attribute is, as an argument says it.
pub(super) trait Place: Argument {
    /// The file.
    fn locate(self, call: &Call<'_>) -> Result<Location, Errno>;
}

/// A path whose last component is followed if it is a symbolic link.
pub(super) struct Path(Address);

/// A path whose last component is meant as it is.
pub(super) struct Link(Address);

/// A descriptor that is not only a path.
pub(super) struct Open(i32);

/// `setxattr(2)`, `lsetxattr(2)`, `fsetxattr(2)`.
pub(super) fn set(
    call: &mut Call<'_>,
    place: impl Place,
    name: Address,
    value: Address,
    len: u64,
    flags: u32,
) -> Outcome {
    let place = place.locate(call)?;
    let set = match flags {
        0 => AttributeSet::Always,
        1 => AttributeSet::Create,
        2 => AttributeSet::Replace,
        3 => AttributeSet::Never,
        _ => return Err(Errno::EINVAL.into()),
    };
    let name = name_at(call, name)?;
    let len = usize::try_from(len)
        .ok()
        .filter(|&len| len <= ATTRIBUTE_VALUE_MAX_BYTES)
        .ok_or(Errno::E2BIG)?;
    let value = call.memory().read_bytes(value.0, len)?;
    let viewpoint = call.viewpoint().clone();
    viewpoint.set_extended_attribute(&place, &name, &value, set)?;
    Ok(0)
}

/// `getxattr(2)`, `lgetxattr(2)`, `fgetxattr(2)`.
pub(super) fn get(
    call: &mut Call<'_>,
    place: impl Place,
    name: Address,
    value: Address,
    len: u64,
) -> Outcome {
    let place = place.locate(call)?;
    let name = name_at(call, name)?;
    let viewpoint = call.viewpoint().clone();
    let found = viewpoint.extended_attribute(&place, &name)?;
    give(call, &found, value, len)
}

/// `listxattr(2)`, `llistxattr(2)`, `flistxattr(2)`.
pub(super) fn list(call: &mut Call<'_>, place: impl Place, list: Address, len: u64) -> Outcome {
    let place = place.locate(call)?;
    // It may be longer than other calls are let have.
    room::check(call.libos.machine)?;
    let viewpoint = call.viewpoint().clone();
    give(call, &viewpoint.extended_attributes(&place)?, list, len)
}

/// `removexattr(2)`, `lremovexattr(2)`, `fremovexattr(2)`.
pub(super) fn remove(call: &mut Call<'_>, place: impl Place, name: Address) -> Outcome {
    let place = place.locate(call)?;
    let name = name_at(call, name)?;
    let viewpoint = call.viewpoint().clone();
    viewpoint.remove_extended_attribute(&place, &name)?;
    Ok(0)
}

/// Copies what there is; a length of zero asks how much that would be.
fn give(call: &Call<'_>, bytes: &[u8], to: Address, len: u64) -> Outcome {
    if len != 0 {
        if bytes.len() as u64 > len {
            return Err(Errno::ERANGE.into());
        }
        call.memory().copy_out(to.0, bytes)?;
    }
    Ok(bytes.len() as u64)
}

fn name_at(call: &Call<'_>, name: Address) -> Result<Vec<u8>, Errno> {
    call.memory()
        .read_string(name.0, NAME_LIMIT_BYTES, Errno::ERANGE)
}

impl Argument for Path {
    fn decode(register: u64) -> Self {
        Self(Address::decode(register))
    }
}

impl Place for Path {
    fn locate(self, call: &Call<'_>) -> Result<Location, Errno> {
        call.locate(AT_WORKING_DIRECTORY, self.0, 0)
    }
}

impl Argument for Link {
    fn decode(register: u64) -> Self {
        Self(Address::decode(register))
    }
}

impl Place for Link {
    fn locate(self, call: &Call<'_>) -> Result<Location, Errno> {
        call.locate(AT_WORKING_DIRECTORY, self.0, AT_SYMLINK_NOFOLLOW)
    }
}

impl Argument for Open {
    fn decode(register: u64) -> Self {
        Self(i32::decode(register))
    }
}

impl Place for Open {
    fn locate(self, call: &Call<'_>) -> Result<Location, Errno> {
        Ok(call.file(self.0)?.location().clone())
    }
}
