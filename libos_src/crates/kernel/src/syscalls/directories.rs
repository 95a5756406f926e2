//! Directories: making, removing, listing, and where the process stands.

use alloc::vec::Vec;

use hal::{Errno, Prot};
use vfs::{DirectoryEntry, Follow, Location, Mode, PATH_MAX_BYTES, SinkState};

use super::argument::{AT_WORKING_DIRECTORY, Address};
use super::call::{Call, Outcome};

/// The most that one call lists.
const LISTING_MAX_BYTES: usize = 64 * 1024;
/// Bytes of `struct linux_dirent64` before the name.
const ENTRY_HEADER_BYTES: usize = 19;

/// `mkdirat(2)`.
pub(super) fn mkdirat(call: &mut Call<'_>, directory: i32, path: Address, mode: u32) -> Outcome {
    let path = call.path(path)?;
    let base = call.base(directory, &path)?;
    // As Linux: of the special bits only the sticky one counts.
    let mode = Mode::from_low_bits(mode & 0o1777);
    call.viewpoint()
        .make_directory(base.as_ref(), &path, mode)?;
    Ok(0)
}

/// `mkdir(2)`.
pub(super) fn mkdir(call: &mut Call<'_>, path: Address, mode: u32) -> Outcome {
    mkdirat(call, AT_WORKING_DIRECTORY, path, mode)
}

/// `rmdir(2)`.
pub(super) fn rmdir(call: &mut Call<'_>, path: Address) -> Outcome {
    let path = call.path(path)?;
    call.viewpoint().remove_directory(None, &path)?;
    Ok(0)
}

/// `getcwd(2)`.
pub(super) fn getcwd(call: &mut Call<'_>, buffer: Address, len: u64) -> Outcome {
    let viewpoint = call.viewpoint().clone();
    if viewpoint.working_directory.is_deleted() {
        return Err(Errno::ENOENT.into());
    }
    let mut path = viewpoint.path_of(&viewpoint.working_directory);
    path.push(0);
    if path.len() > PATH_MAX_BYTES {
        return Err(Errno::ENAMETOOLONG.into());
    }
    if path.len() as u64 > len {
        return Err(Errno::ERANGE.into());
    }
    call.memory().copy_out(buffer.0, &path)?;
    Ok(path.len() as u64)
}

/// `chdir(2)`.
pub(super) fn chdir(call: &mut Call<'_>, path: Address) -> Outcome {
    let path = call.path(path)?;
    // Resolving may ask `/proc` for the working directory, so it must not hold the lock.
    let location = call.viewpoint().resolve(None, &path, Follow::Yes)?;
    enter(call, &location)
}

/// `fchdir(2)`.
pub(super) fn fchdir(call: &mut Call<'_>, fd: i32) -> Outcome {
    let file = call.file_or_path(fd)?;
    enter(call, file.location())
}

/// Makes a directory the working directory.
fn enter(call: &Call<'_>, location: &Location) -> Outcome {
    call.viewpoint().clone().change_directory(location)?;
    call.task.places.view.write().working_directory = location.clone();
    Ok(0)
}

/// `umask(2)`.
pub(super) fn umask(call: &mut Call<'_>, mask: u32) -> Outcome {
    let mask = Mode::from_low_bits(mask & 0o777);
    let old = core::mem::replace(&mut call.task.places.view.write().creation_mask, mask);
    Ok(old.bits().into())
}

/// `getdents64(2)`.
pub(super) fn getdents64(call: &mut Call<'_>, fd: i32, buffer: Address, len: u32) -> Outcome {
    list(call, fd, buffer, len, push_entry)
}

/// `getdents(2)`: the same with the kind of file in the last byte of an entry.
pub(super) fn getdents(call: &mut Call<'_>, fd: i32, buffer: Address, len: u32) -> Outcome {
    list(call, fd, buffer, len, push_old_entry)
}

/// Appends an entry to a listing of at most this many bytes, if it fits.
type Push = fn(&mut Vec<u8>, usize, &DirectoryEntry<'_>) -> SinkState;

fn list(call: &mut Call<'_>, fd: i32, buffer: Address, len: u32, push: Push) -> Outcome {
    let file = call.file(fd)?;
    // Linux takes a length over 2 GiB for a negative one, into which nothing fits.
    let wanted = usize::try_from(len as i32).map_or(0, |len| len.min(LISTING_MAX_BYTES));
    let room = call
        .memory()
        .reachable_bytes(buffer.0, wanted as u64, Prot::WRITE) as usize;
    let mut listing = Vec::with_capacity(room.min(4096));
    let mut rest = None;
    file.read_directory(&mut |entry| {
        let state = push(&mut listing, room, entry);
        if state == SinkState::Full {
            // The first that does not fit: whether it would in a better buffer.
            rest = Some(push(&mut Vec::new(), wanted, entry));
        }
        state
    })?;
    match rest {
        Some(SinkState::Taken) if listing.is_empty() => return Err(Errno::EFAULT.into()),
        Some(SinkState::Full) if listing.is_empty() => return Err(Errno::EINVAL.into()),
        _ => {}
    }
    call.memory().copy_out(buffer.0, &listing)?;
    Ok(listing.len() as u64)
}

/// Appends a `struct linux_dirent64`, if it fits.
fn push_entry(listing: &mut Vec<u8>, room: usize, entry: &DirectoryEntry<'_>) -> SinkState {
    let len = (ENTRY_HEADER_BYTES + entry.name.len() + 1).next_multiple_of(8);
    if listing.len() + len > room {
        return SinkState::Full;
    }
    let end = listing.len() + len;
    listing.extend_from_slice(&entry.inode.to_le_bytes());
    listing.extend_from_slice(&entry.next_cookie.to_le_bytes());
    listing.extend_from_slice(&(len as u16).to_le_bytes());
    listing.push(entry.kind.directory_entry_type());
    listing.extend_from_slice(entry.name);
    listing.resize(end, 0);
    SinkState::Taken
}

/// Appends a `struct linux_dirent`, if it fits.
fn push_old_entry(listing: &mut Vec<u8>, room: usize, entry: &DirectoryEntry<'_>) -> SinkState {
    const HEADER_BYTES: usize = 18;
    let len = (HEADER_BYTES + entry.name.len() + 2).next_multiple_of(8);
    if listing.len() + len > room {
        return SinkState::Full;
    }
    let end = listing.len() + len;
    listing.extend_from_slice(&entry.inode.to_le_bytes());
    listing.extend_from_slice(&entry.next_cookie.to_le_bytes());
    listing.extend_from_slice(&(len as u16).to_le_bytes());
    listing.extend_from_slice(entry.name);
    listing.resize(end - 1, 0);
    listing.push(entry.kind.directory_entry_type());
    SinkState::Taken
}

#[cfg(test)]
mod tests {
    use vfs::FileType;

    use super::*;

    #[test]
    fn an_entry_is_padded_to_eight_bytes_and_ends_with_a_nul() {
        let entry = DirectoryEntry {
            inode: 7,
            kind: FileType::Regular,
            name: b"name1",
            next_cookie: 3,
        };
        let mut listing = Vec::new();

        assert_eq!(push_entry(&mut listing, 31, &entry), SinkState::Full);
        assert_eq!(push_entry(&mut listing, 32, &entry), SinkState::Taken);

        assert_eq!(listing.len(), 32);
        assert_eq!(listing[16..19], [32, 0, 8]);
        assert_eq!(&listing[19..25], b"name1\0");
    }
}
