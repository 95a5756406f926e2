//! Storage of files: reserving it, and making sure of it.

use hal::Errno;
use vfs::{Allocation, FileType};

use super::call::{Call, Outcome};

/// `fallocate(2)`, in the modes that Linux's tmpfs has.
pub(super) fn fallocate(call: &mut Call<'_>, fd: i32, mode: u32, offset: i64, len: i64) -> Outcome {
    const KEEP_SIZE: u32 = 1;
    const PUNCH_HOLE: u32 = 2;
    const COLLAPSE_RANGE: u32 = 8;
    const ZERO_RANGE: u32 = 16;
    const INSERT_RANGE: u32 = 32;
    const UNSHARE_RANGE: u32 = 64;
    let file = call.file(fd)?;
    if offset < 0 || len <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let what = match mode {
        0 => Some(Allocation::Extend),
        KEEP_SIZE => Some(Allocation::Reserve),
        mode if mode == KEEP_SIZE | PUNCH_HOLE => Some(Allocation::PunchHole),
        // What the descriptor is comes before that there is no such thing.
        COLLAPSE_RANGE | INSERT_RANGE => None,
        mode if [ZERO_RANGE, UNSHARE_RANGE].contains(&(mode & !KEEP_SIZE)) => None,
        _ => return Err(Errno::EOPNOTSUPP.into()),
    };
    if file.flags().is_writable() && file.location().kind() == FileType::Regular && what.is_some() {
        let end = offset.checked_add(len);
        if let Some(end) = end.filter(|_| what != Some(Allocation::PunchHole)) {
            call.check_file_size(end.cast_unsigned(), file.metadata()?.size_bytes)?;
        }
        call.before_change(&file)?;
    }
    file.allocate(what, offset.cast_unsigned(), len.cast_unsigned())?;
    Ok(0)
}

/// `sync(2)`.
pub(super) fn sync(call: &mut Call<'_>) -> Outcome {
    let namespace = call.viewpoint().namespace.clone();
    for mount in namespace.mounts() {
        // It has no way to tell.
        let _ = mount.file_system().synchronize();
    }
    Ok(0)
}

/// `syncfs(2)`.
pub(super) fn syncfs(call: &mut Call<'_>, fd: i32) -> Outcome {
    let file = call.file(fd)?;
    file.location().file_system().synchronize()?;
    Ok(0)
}

/// `sync_file_range(2)`: all of the file, which is more than was asked for.
pub(super) fn sync_file_range(
    call: &mut Call<'_>,
    fd: i32,
    offset: i64,
    len: i64,
    flags: u32,
) -> Outcome {
    const FLAGS: u32 = 7;
    let file = call.file(fd)?;
    if flags & !FLAGS != 0 || offset < 0 || len < 0 || offset.checked_add(len).is_none() {
        return Err(Errno::EINVAL.into());
    }
    let is_of_pages = matches!(
        file.object().kind(),
        FileType::Regular | FileType::Directory | FileType::BlockDevice
    );
    if !is_of_pages {
        return Err(Errno::ESPIPE.into());
    }
    file.synchronize()?;
    Ok(0)
}

/// `readahead(2)`: advice that we take note of and do not act on.
pub(super) fn readahead(call: &mut Call<'_>, fd: i32, _offset: i64, _len: u64) -> Outcome {
    let file = call.file(fd)?;
    if !file.flags().is_readable() {
        return Err(Errno::EBADF.into());
    }
    match file.object().kind() {
        FileType::Regular | FileType::BlockDevice => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}
