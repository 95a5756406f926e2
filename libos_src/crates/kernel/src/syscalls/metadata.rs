//! Attributes of files.

use alloc::vec::Vec;

use hal::{Clock, Errno};
use vfs::{
    Access, AttributeChange, FileType, Follow, Location, Mode, OpenFlags, Timestamp, Viewpoint,
};

use super::argument::{
    AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, AT_WORKING_DIRECTORY, Address,
};
use super::call::{Call, Outcome};
use super::records::{Stat, StatFs, Statx};
use crate::threads::duration_of;

const AT_EACCESS: u32 = 0x200;
const AT_STATX_SYNC_TYPE: u32 = 0x6000;
const NOT_CHANGED: u32 = u32::MAX;

/// `newfstatat(2)`.
pub(super) fn newfstatat(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    buffer: Address,
    flags: u32,
) -> Outcome {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let location = call.locate(directory, path, flags)?;
    write_stat(call, &location, buffer)
}

/// `stat(2)`.
pub(super) fn stat(call: &mut Call<'_>, path: Address, buffer: Address) -> Outcome {
    newfstatat(call, AT_WORKING_DIRECTORY, path, buffer, 0)
}

/// `lstat(2)`.
pub(super) fn lstat(call: &mut Call<'_>, path: Address, buffer: Address) -> Outcome {
    newfstatat(
        call,
        AT_WORKING_DIRECTORY,
        path,
        buffer,
        AT_SYMLINK_NOFOLLOW,
    )
}

/// `fstat(2)`.
pub(super) fn fstat(call: &mut Call<'_>, fd: i32, buffer: Address) -> Outcome {
    let file = call.file_or_path(fd)?;
    write_stat(call, file.location(), buffer)
}

/// `statx(2)`.
pub(super) fn statx(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    flags: u32,
    mask: u32,
    buffer: Address,
) -> Outcome {
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    const RESERVED: u32 = 1 << 31;
    let is_both = flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE;
    if flags & !known != 0 || is_both || mask & RESERVED != 0 {
        return Err(Errno::EINVAL.into());
    }
    let location = call.locate(directory, path, flags)?;
    let statx = Statx::new(&location.metadata()?, &location);
    call.memory().write(buffer.0, &statx)?;
    Ok(0)
}

fn write_stat(call: &Call<'_>, location: &Location, buffer: Address) -> Outcome {
    let stat = Stat::new(&location.metadata()?, location.device());
    call.memory().write(buffer.0, &stat)?;
    Ok(0)
}

/// `statfs(2)`.
pub(super) fn statfs(call: &mut Call<'_>, path: Address, buffer: Address) -> Outcome {
    let location = call.locate(AT_WORKING_DIRECTORY, path, 0)?;
    write_statfs(call, &location, buffer)
}

/// `fstatfs(2)`.
pub(super) fn fstatfs(call: &mut Call<'_>, fd: i32, buffer: Address) -> Outcome {
    let file = call.file_or_path(fd)?;
    write_statfs(call, file.location(), buffer)
}

fn write_statfs(call: &Call<'_>, location: &Location, buffer: Address) -> Outcome {
    let statistics = location.file_system().statistics()?;
    call.memory().write(
        buffer.0,
        &StatFs::new(
            &statistics,
            location.device().to_u64(),
            location.mount().flags(),
        ),
    )?;
    Ok(0)
}

/// `faccessat2(2)`: what the real ids may do, unless `AT_EACCESS` asks for the effective ones.
pub(super) fn faccessat2(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    mode: u32,
    flags: u32,
) -> Outcome {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mode = u16::try_from(mode).map_err(|_| Errno::EINVAL)?;
    let access = Access::from_bits(mode).ok_or(Errno::EINVAL)?;
    let mut viewpoint = call.viewpoint().clone();
    if flags & AT_EACCESS == 0 {
        viewpoint.credentials = call.principal().real_credentials();
    }
    let location = call.locate_as(&viewpoint, directory, path, flags)?;
    viewpoint.check_access(&location, access)?;
    Ok(0)
}

/// `faccessat(2)`.
pub(super) fn faccessat(call: &mut Call<'_>, directory: i32, path: Address, mode: u32) -> Outcome {
    faccessat2(call, directory, path, mode, 0)
}

/// `access(2)`.
pub(super) fn access(call: &mut Call<'_>, path: Address, mode: u32) -> Outcome {
    faccessat2(call, AT_WORKING_DIRECTORY, path, mode, 0)
}

/// `fchmodat2(2)`.
pub(super) fn fchmodat2(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    mode: u32,
    flags: u32,
) -> Outcome {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let location = call.locate(directory, path, flags)?;
    if location.kind() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP.into());
    }
    change(call, &location, &mode_change(mode))
}

/// `fchmodat(2)`.
pub(super) fn fchmodat(call: &mut Call<'_>, directory: i32, path: Address, mode: u32) -> Outcome {
    fchmodat2(call, directory, path, mode, 0)
}

/// `chmod(2)`.
pub(super) fn chmod(call: &mut Call<'_>, path: Address, mode: u32) -> Outcome {
    fchmodat(call, AT_WORKING_DIRECTORY, path, mode)
}

/// `fchmod(2)`.
pub(super) fn fchmod(call: &mut Call<'_>, fd: i32, mode: u32) -> Outcome {
    let file = call.file(fd)?;
    change(call, file.location(), &mode_change(mode))
}

/// `fchownat(2)`.
pub(super) fn fchownat(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    user: u32,
    group: u32,
    flags: u32,
) -> Outcome {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let location = call.locate(directory, path, flags)?;
    change_owner(call, &location, user, group)
}

/// `chown(2)`.
pub(super) fn chown(call: &mut Call<'_>, path: Address, user: u32, group: u32) -> Outcome {
    fchownat(call, AT_WORKING_DIRECTORY, path, user, group, 0)
}

/// `lchown(2)`.
pub(super) fn lchown(call: &mut Call<'_>, path: Address, user: u32, group: u32) -> Outcome {
    fchownat(
        call,
        AT_WORKING_DIRECTORY,
        path,
        user,
        group,
        AT_SYMLINK_NOFOLLOW,
    )
}

/// `fchown(2)`.
pub(super) fn fchown(call: &mut Call<'_>, fd: i32, user: u32, group: u32) -> Outcome {
    let file = call.file(fd)?;
    change_owner(call, file.location(), user, group)
}

/// `truncate(2)`.
pub(super) fn truncate(call: &mut Call<'_>, path: Address, size: i64) -> Outcome {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    let location = call.locate(AT_WORKING_DIRECTORY, path, 0)?;
    call.check_file_size(size, location.metadata()?.size_bytes)?;
    let viewpoint = call.viewpoint().clone();
    call.break_leases_of(&viewpoint, &location, OpenFlags::WRITE_ONLY)?;
    viewpoint.truncate(&location, size)?;
    call.memory().give_up_cut();
    Ok(0)
}

/// `ftruncate(2)`.
pub(super) fn ftruncate(call: &mut Call<'_>, fd: i32, size: i64) -> Outcome {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    let file = call.file(fd)?;
    if file.flags().is_writable() && file.location().kind() == FileType::Regular {
        call.check_file_size(size, file.metadata()?.size_bytes)?;
        call.before_change(&file)?;
    }
    file.truncate(size)?;
    call.memory().give_up_cut();
    Ok(0)
}

/// `utimensat(2)`.
pub(super) fn utimensat(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    times: Address,
    flags: u32,
) -> Outcome {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let times = match times.non_null() {
        Some(times) => call.memory().read::<[[i64; 2]; 2]>(times.0)?,
        None => [[0, UTIME_NOW]; 2],
    };
    if times.iter().all(|[_, what]| *what == UTIME_OMIT) {
        // Linux does not even look for the file.
        return Ok(0);
    }
    let location = call.dated(directory, path, flags)?;
    if times.iter().all(|[_, what]| *what == UTIME_NOW) {
        return touch(call, &location);
    }
    set_times(call, &location, times)
}

/// Sets the dates of a file to the present, which who may write to it may do, too.
fn touch(call: &Call<'_>, location: &Location) -> Outcome {
    let now = file_time(call, 0, UTIME_NOW)?;
    let change = AttributeChange {
        accessed: now,
        modified: now,
        ..AttributeChange::default()
    };
    call.viewpoint().touch(location, &change)?;
    Ok(0)
}

/// `futimesat(2)`.
pub(super) fn futimesat(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    times: Address,
) -> Outcome {
    let location = call.dated(directory, path, 0)?;
    let times = match times.non_null() {
        Some(times) => call.memory().read::<[[i64; 2]; 2]>(times.0)?,
        None => return touch(call, &location),
    };
    if times
        .iter()
        .any(|[_, microseconds]| !(0..1_000_000).contains(microseconds))
    {
        return Err(Errno::EINVAL.into());
    }
    let times = times.map(|[seconds, microseconds]| [seconds, microseconds * 1000]);
    set_times(call, &location, times)
}

/// `utimes(2)`.
pub(super) fn utimes(call: &mut Call<'_>, path: Address, times: Address) -> Outcome {
    futimesat(call, AT_WORKING_DIRECTORY, path, times)
}

/// `utime(2)`.
pub(super) fn utime(call: &mut Call<'_>, path: Address, times: Address) -> Outcome {
    let location = call.locate(AT_WORKING_DIRECTORY, path, 0)?;
    let times = match times.non_null() {
        Some(times) => call
            .memory()
            .read::<[i64; 2]>(times.0)?
            .map(|seconds| [seconds, 0]),
        None => return touch(call, &location),
    };
    set_times(call, &location, times)
}

/// Sets the dates of a file: of its last access and of its last change.
fn set_times(call: &Call<'_>, location: &Location, times: [[i64; 2]; 2]) -> Outcome {
    let [accessed, modified] = times;
    let times = AttributeChange {
        accessed: file_time(call, accessed[0], accessed[1])?,
        modified: file_time(call, modified[0], modified[1])?,
        ..AttributeChange::default()
    };
    change(call, location, &times)
}

const UTIME_NOW: i64 = (1 << 30) - 1;
const UTIME_OMIT: i64 = (1 << 30) - 2;

fn file_time(call: &Call<'_>, seconds: i64, nanoseconds: i64) -> Result<Option<Timestamp>, Errno> {
    match nanoseconds {
        UTIME_OMIT => Ok(None),
        UTIME_NOW => {
            let now = call.libos.machine.clock(Clock::Realtime);
            let seconds = now.seconds.cast_signed();
            Ok(Some(Timestamp {
                seconds,
                nanoseconds: now.nanoseconds,
            }))
        }
        _ => {
            let nanoseconds = duration_of(0, nanoseconds)?.subsec_nanos();
            Ok(Some(Timestamp {
                seconds,
                nanoseconds,
            }))
        }
    }
}

fn mode_change(mode: u32) -> AttributeChange {
    AttributeChange {
        mode: Some(Mode::from_low_bits(mode)),
        ..AttributeChange::default()
    }
}

fn change_owner(call: &Call<'_>, location: &Location, user: u32, group: u32) -> Outcome {
    let mut owner = AttributeChange {
        user: (user != NOT_CHANGED).then_some(user),
        group: (group != NOT_CHANGED).then_some(group),
        ..AttributeChange::default()
    };
    if owner == AttributeChange::default() && location.kind() != FileType::Directory {
        // Nobody new owns it, and set-id bits go all the same.
        let mode = location.metadata()?.mode;
        let kept = mode.without_set_id();
        owner.mode = (kept != mode).then_some(kept);
    }
    change(call, location, &owner)
}

fn change(call: &Call<'_>, location: &Location, change: &AttributeChange) -> Outcome {
    call.viewpoint().set_attributes(location, change)?;
    Ok(0)
}

impl Call<'_> {
    /// What a directory descriptor, a path and `AT_*` flags name.
    pub(super) fn locate(
        &self,
        directory: i32,
        path: Address,
        flags: u32,
    ) -> Result<Location, Errno> {
        self.locate_as(&self.viewpoint(), directory, path, flags)
    }

    /// The same, seen from somewhere else.
    fn locate_as(
        &self,
        viewpoint: &Viewpoint,
        directory: i32,
        path: Address,
        flags: u32,
    ) -> Result<Location, Errno> {
        let path = match self.path_or_nothing(path) {
            // `statx` and `newfstatat` take a null path for an empty one.
            Err(Errno::EFAULT) if path.is_null() && flags & AT_EMPTY_PATH != 0 => Vec::new(),
            path => path?,
        };
        if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
            if directory == AT_WORKING_DIRECTORY {
                return Ok(viewpoint.working_directory.clone());
            }
            return Ok(self.file_or_path(directory)?.location().clone());
        }
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let base = self.base(directory, &path)?;
        let no_follow = flags & AT_SYMLINK_NOFOLLOW != 0;
        let follow = if no_follow { Follow::No } else { Follow::Yes };
        viewpoint.resolve(base.as_ref(), &path, follow)
    }

    /// Where the file is whose dates are to change: what was opened, if there is no path.
    fn dated(&self, directory: i32, path: Address, flags: u32) -> Result<Location, Errno> {
        if !path.is_null() {
            return self.locate(directory, path, flags);
        }
        if directory == AT_WORKING_DIRECTORY {
            return Err(Errno::EFAULT);
        }
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(self.file(directory)?.location().clone())
    }
}
