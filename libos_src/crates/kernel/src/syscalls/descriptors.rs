//! Descriptors themselves: closing, duplicating, flags.

use hal::Errno;
use procfs::Number;
use vfs::{Capabilities, OpenFile, OpenFlags};

use super::argument::Address;
use super::call::{Call, Outcome};
use super::file_locks::{RecordCommand, record_lock};
use super::leases;
use super::memory_file::{add_seals, get_seals};
use super::notices::{self, NoticeCommand};
use super::room;
use crate::files::{DESCRIPTORS_MAX, Descriptor, PipeEnd};

/// What the size of a table is a multiple of.
const TABLE_STEP: usize = 64;
const FD_CLOEXEC: u64 = 1;
const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// `close(2)`.
pub(super) fn close(call: &mut Call<'_>, fd: i32) -> Outcome {
    let closed = call.task.places.files.write().remove(fd)?;
    call.after_close(&closed.file);
    drop(closed);
    call.libos.sockets.collect_after_close();
    Ok(0)
}

/// `close_range(2)`.
pub(super) fn close_range(call: &mut Call<'_>, first: u32, last: u32, flags: u32) -> Outcome {
    if first > last || flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let unshares = flags & CLOSE_RANGE_UNSHARE != 0;
    if unshares {
        call.check_room_for_descriptors()?;
    }
    let apart = unshares.then(|| {
        let mut apart = call.apart();
        apart.leave_shared_files();
        apart
    });
    let places = apart.as_ref().map(|apart| &apart.places);
    let places = places.unwrap_or(&call.task.places);
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        places.files.write().mark_closed_on_exec(first, last);
    } else {
        loop {
            let closed = places.files.write().take_some(first, last);
            if closed.is_empty() {
                break;
            }
            for descriptor in &closed {
                call.after_close(&descriptor.file);
            }
        }
    }
    call.libos.sockets.collect_after_close();
    match apart {
        Some(apart) => Err(call.move_to(apart)),
        None => Ok(0),
    }
}

/// `dup(2)`.
pub(super) fn dup(call: &mut Call<'_>, fd: i32) -> Outcome {
    duplicate(call, fd, 0, false)
}

/// `dup2(2)`.
pub(super) fn dup2(call: &mut Call<'_>, old: i32, new: i32) -> Outcome {
    if old == new {
        call.file_or_path(old)?;
        return Ok(new as u64);
    }
    dup3(call, old, new, 0)
}

/// `dup3(2)`.
pub(super) fn dup3(call: &mut Call<'_>, old: i32, new: i32, flags: u32) -> Outcome {
    if old == new || flags & !OpenFlags::CLOSE_ON_EXEC.bits() != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = call.file_or_path(old)?;
    call.check_room_for_descriptor(new)?;
    let descriptor = Descriptor {
        file,
        is_closed_on_exec: flags != 0,
    };
    let replaced = call.task.places.files.write().replace(new, descriptor)?;
    if let Some(replaced) = &replaced {
        call.after_close(&replaced.file);
    }
    drop(replaced);
    call.libos.sockets.collect_after_close();
    Ok(new as u64)
}

/// `fcntl(2)`.
pub(super) fn fcntl(call: &mut Call<'_>, fd: i32, command: u32, argument: u64) -> Outcome {
    const F_DUPFD: u32 = 0;
    const F_GETFD: u32 = 1;
    const F_SETFD: u32 = 2;
    const F_GETFL: u32 = 3;
    const F_SETFL: u32 = 4;
    const F_DUPFD_CLOEXEC: u32 = 1030;
    const F_SETPIPE_SZ: u32 = 1031;
    const F_GETPIPE_SZ: u32 = 1032;
    const F_ADD_SEALS: u32 = 1033;
    const F_GET_SEALS: u32 = 1034;
    const F_SETLEASE: u32 = 1024;
    const F_GETLEASE: u32 = 1025;
    const F_NOTIFY: u32 = 1026;
    /// What Linux takes for a size of a pipe at all; what it gives is another matter.
    const PIPE_SIZE_MAX: u32 = 1 << 31;
    const KNOW_NO_FILE: [u32; 5] = [F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL];
    let floor = argument as i32;
    if !KNOW_NO_FILE.contains(&command) {
        call.file(fd)?;
    }
    if let Some(command) = RecordCommand::from_number(command) {
        return record_lock(call, fd, command, Address(argument));
    }
    if let Some(command) = NoticeCommand::from_number(command) {
        return notices::control(call, fd, command, argument);
    }
    match command {
        F_DUPFD => duplicate(call, fd, floor, false),
        F_DUPFD_CLOEXEC => duplicate(call, fd, floor, true),
        F_GETFD => {
            let descriptors = call.task.places.files.read();
            Ok(u64::from(descriptors.get(fd)?.is_closed_on_exec))
        }
        F_SETFD => {
            let mut descriptors = call.task.places.files.write();
            descriptors.get_mut(fd)?.is_closed_on_exec = argument & FD_CLOEXEC != 0;
            Ok(0)
        }
        F_GETFL => Ok(call.file_or_path(fd)?.flags().bits().into()),
        F_SETFL => {
            let flags = OpenFlags::from_argument(argument as u32);
            let file = call.file(fd)?;
            notices::set_flags(call, fd, &file, flags)?;
            if let Some(end) = PipeEnd::behind(&file) {
                end.set_packets(flags.contains(OpenFlags::DIRECT));
            }
            Ok(0)
        }
        F_SETPIPE_SZ => {
            let file = call.file(fd)?;
            let end = pipe_end(&file)?;
            let wanted = argument as u32;
            if wanted > PIPE_SIZE_MAX {
                return Err(Errno::EINVAL.into());
            }
            let most = call.libos.settings.get(Number::PipeBytes);
            if u64::from(wanted) > most && !call.standing().can(Capabilities::OVERRIDE_LIMITS) {
                return Err(Errno::EPERM.into());
            }
            Ok(end.set_capacity(wanted as usize)? as u64)
        }
        F_SETLEASE => leases::set_lease(call, fd, argument),
        F_GETLEASE => leases::get_lease(call, fd),
        F_NOTIFY => leases::notify(call, fd, argument),
        F_ADD_SEALS => add_seals(call, fd, argument as u32),
        F_GET_SEALS => get_seals(call, fd),
        F_GETPIPE_SZ => Ok(pipe_end(&*call.file(fd)?)?.capacity() as u64),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn pipe_end(file: &OpenFile) -> Result<&PipeEnd, Errno> {
    PipeEnd::behind(file).ok_or(Errno::EBADF)
}

/// `fadvise64(2)`: advice that we take note of and do not act on.
pub(super) fn fadvise64(
    call: &mut Call<'_>,
    fd: i32,
    _offset: i64,
    len: i64,
    advice: i32,
) -> Outcome {
    let file = call.file(fd)?;
    if !file.object().is_seekable() {
        return Err(Errno::ESPIPE.into());
    }
    if len < 0 || !(0..=5).contains(&advice) {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}

fn duplicate(call: &Call<'_>, fd: i32, floor: i32, is_closed_on_exec: bool) -> Outcome {
    let file = call.file_or_path(fd)?;
    if usize::try_from(floor).is_ok_and(|floor| floor >= DESCRIPTORS_MAX) {
        return Err(Errno::EINVAL.into());
    }
    call.check_room_for_descriptor(floor)?;
    let descriptor = Descriptor {
        file,
        is_closed_on_exec,
    };
    Ok(call.task.places.files.write().add(floor, descriptor)? as u64)
}

impl Call<'_> {
    /// `ENOMEM` if the kernel's heap has no room for a table in which `number` has a place.
    fn check_room_for_descriptor(&self, number: i32) -> Result<(), Errno> {
        let descriptors = self.task.places.files.read();
        if !descriptors.must_grow_for(number) {
            return Ok(());
        }
        let size_bytes = descriptors.size_bytes(number);
        drop(descriptors);
        room::check_for(self.libos.machine, size_bytes).inspect_err(|_| self.report_full_heap())
    }

    /// `EMFILE` if a copy of the table would have more than the superuser lets a table have meanwhile, and
    /// `ENOMEM` if there is no memory for it.
    pub(super) fn check_room_for_descriptors(&self) -> Result<(), Errno> {
        let files = self.task.places.files.read();
        let (size_bytes, end) = (files.size_bytes(0), files.end());
        drop(files);
        let max = self.libos.settings.get(Number::Descriptors);
        if end.next_multiple_of(TABLE_STEP) as u64 > max - max % TABLE_STEP as u64 {
            return Err(Errno::EMFILE);
        }
        room::check_for(self.libos.machine, size_bytes).inspect_err(|_| self.report_full_heap())
    }
}
