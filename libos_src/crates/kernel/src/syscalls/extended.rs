//! Extended attributes of files.

use alloc::vec::Vec;

use hal::Errno;
use vfs::{ATTRIBUTE_VALUE_MAX_BYTES, AttributeSet, Location, OpenFlags};

use super::argument::Address;
use super::call::{Call, Outcome};

const AT_WORKING_DIRECTORY: i32 = -100;
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// Longer than any name; what does not end before it is `ERANGE`.
const NAME_LIMIT_BYTES: usize = 256;

/// `setxattr(2)`.
pub(super) fn setxattr(
    call: &mut Call<'_>,
    path: Address,
    name: Address,
    value: Address,
    len: u64,
    flags: u32,
) -> Outcome {
    let place = call.locate(AT_WORKING_DIRECTORY, path, 0)?;
    set(call, &place, name, value, len, flags)
}

/// `lsetxattr(2)`.
pub(super) fn lsetxattr(
    call: &mut Call<'_>,
    path: Address,
    name: Address,
    value: Address,
    len: u64,
    flags: u32,
) -> Outcome {
    let place = call.locate(AT_WORKING_DIRECTORY, path, AT_SYMLINK_NOFOLLOW)?;
    set(call, &place, name, value, len, flags)
}

/// `fsetxattr(2)`.
pub(super) fn fsetxattr(
    call: &mut Call<'_>,
    fd: i32,
    name: Address,
    value: Address,
    len: u64,
    flags: u32,
) -> Outcome {
    let place = place_of(call, fd)?;
    set(call, &place, name, value, len, flags)
}

/// `getxattr(2)`.
pub(super) fn getxattr(
    call: &mut Call<'_>,
    path: Address,
    name: Address,
    value: Address,
    len: u64,
) -> Outcome {
    let place = call.locate(AT_WORKING_DIRECTORY, path, 0)?;
    get(call, &place, name, value, len)
}

/// `lgetxattr(2)`.
pub(super) fn lgetxattr(
    call: &mut Call<'_>,
    path: Address,
    name: Address,
    value: Address,
    len: u64,
) -> Outcome {
    let place = call.locate(AT_WORKING_DIRECTORY, path, AT_SYMLINK_NOFOLLOW)?;
    get(call, &place, name, value, len)
}

/// `fgetxattr(2)`.
pub(super) fn fgetxattr(
    call: &mut Call<'_>,
    fd: i32,
    name: Address,
    value: Address,
    len: u64,
) -> Outcome {
    let place = place_of(call, fd)?;
    get(call, &place, name, value, len)
}

/// `listxattr(2)`.
pub(super) fn listxattr(call: &mut Call<'_>, path: Address, list: Address, len: u64) -> Outcome {
    let place = call.locate(AT_WORKING_DIRECTORY, path, 0)?;
    list_names(call, &place, list, len)
}

/// `llistxattr(2)`.
pub(super) fn llistxattr(call: &mut Call<'_>, path: Address, list: Address, len: u64) -> Outcome {
    let place = call.locate(AT_WORKING_DIRECTORY, path, AT_SYMLINK_NOFOLLOW)?;
    list_names(call, &place, list, len)
}

/// `flistxattr(2)`.
pub(super) fn flistxattr(call: &mut Call<'_>, fd: i32, list: Address, len: u64) -> Outcome {
    let place = place_of(call, fd)?;
    list_names(call, &place, list, len)
}

/// `removexattr(2)`.
pub(super) fn removexattr(call: &mut Call<'_>, path: Address, name: Address) -> Outcome {
    let place = call.locate(AT_WORKING_DIRECTORY, path, 0)?;
    remove(call, &place, name)
}

/// `lremovexattr(2)`.
pub(super) fn lremovexattr(call: &mut Call<'_>, path: Address, name: Address) -> Outcome {
    let place = call.locate(AT_WORKING_DIRECTORY, path, AT_SYMLINK_NOFOLLOW)?;
    remove(call, &place, name)
}

/// `fremovexattr(2)`.
pub(super) fn fremovexattr(call: &mut Call<'_>, fd: i32, name: Address) -> Outcome {
    let place = place_of(call, fd)?;
    remove(call, &place, name)
}

fn set(
    call: &Call<'_>,
    place: &Location,
    name: Address,
    value: Address,
    len: u64,
    flags: u32,
) -> Outcome {
    let set = match flags {
        0 => AttributeSet::Always,
        1 => AttributeSet::Create,
        2 => AttributeSet::Replace,
        _ => return Err(Errno::EINVAL.into()),
    };
    let name = name_at(call, name)?;
    let len = usize::try_from(len)
        .ok()
        .filter(|&len| len <= ATTRIBUTE_VALUE_MAX_BYTES)
        .ok_or(Errno::E2BIG)?;
    let value = call.memory().read_bytes(value.0, len)?;
    let viewpoint = call.viewpoint().clone();
    viewpoint.set_extended_attribute(place, &name, &value, set)?;
    Ok(0)
}

fn get(call: &Call<'_>, place: &Location, name: Address, to: Address, len: u64) -> Outcome {
    let name = name_at(call, name)?;
    let viewpoint = call.viewpoint().clone();
    give(call, &viewpoint.extended_attribute(place, &name)?, to, len)
}

fn list_names(call: &Call<'_>, place: &Location, to: Address, len: u64) -> Outcome {
    let viewpoint = call.viewpoint().clone();
    give(call, &viewpoint.extended_attributes(place)?, to, len)
}

fn remove(call: &Call<'_>, place: &Location, name: Address) -> Outcome {
    let name = name_at(call, name)?;
    let viewpoint = call.viewpoint().clone();
    viewpoint.remove_extended_attribute(place, &name)?;
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

/// The place of a descriptor that is not only a path.
fn place_of(call: &Call<'_>, fd: i32) -> Result<Location, Errno> {
    let file = call.file(fd)?;
    if file.flags().contains(OpenFlags::PATH) {
        return Err(Errno::EBADF);
    }
    Ok(file.location().clone())
}
