//! `epoll`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use hal::Errno;
use vfs::OpenFlags;

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use super::poll::{read_deadline, suspend_mask};
use super::records::EventRecord;
use crate::files::{EventPoll, Wish};
use crate::threads::{Deadline, Wake};

const RECORD_BYTES: usize = size_of::<EventRecord>();

/// `epoll_create1(2)`.
pub(super) fn epoll_create1(call: &mut Call<'_>, flags: u32) -> Outcome {
    if flags & !OpenFlags::CLOSE_ON_EXEC.bits() != 0 {
        return Err(Errno::EINVAL.into());
    }
    let flags = OpenFlags::from_argument(flags) | OpenFlags::READ_WRITE;
    call.add_anonymous(EventPoll::new(), b"anon_inode:[eventpoll]", flags)
}

/// `epoll_create(2)`: the size is only a hint, but must be one.
pub(super) fn epoll_create(call: &mut Call<'_>, size: i32) -> Outcome {
    if size <= 0 {
        return Err(Errno::EINVAL.into());
    }
    epoll_create1(call, 0)
}

/// `epoll_ctl(2)`.
pub(super) fn epoll_ctl(
    call: &mut Call<'_>,
    poll: i32,
    operation: u32,
    fd: i32,
    event: Address,
) -> Outcome {
    const EPOLL_CTL_ADD: u32 = 1;
    const EPOLL_CTL_DEL: u32 = 2;
    const EPOLL_CTL_MOD: u32 = 3;
    let wish = if operation == EPOLL_CTL_DEL {
        None
    } else {
        let EventRecord { events, data } = call.memory().read(event.0)?;
        Some(Wish { events, data })
    };
    let (poll, file) = (call.file(poll)?, call.file(fd)?);
    let set = EventPoll::behind(&poll);
    let set = set.filter(|_| !Arc::ptr_eq(&poll, &file));
    match (set.ok_or(Errno::EINVAL)?, operation, wish) {
        (set, EPOLL_CTL_ADD, Some(wish)) => set.add(fd, &file, wish)?,
        (set, EPOLL_CTL_MOD, Some(wish)) => set.change(fd, &file, wish)?,
        (set, EPOLL_CTL_DEL, _) => set.remove(fd, &file)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// `epoll_wait(2)`.
pub(super) fn epoll_wait(
    call: &mut Call<'_>,
    poll: i32,
    events: Address,
    limit: i32,
    timeout_ms: i32,
) -> Outcome {
    let deadline = match u64::try_from(timeout_ms) {
        Ok(ms) => Deadline::after(call.libos.machine, Duration::from_millis(ms)),
        Err(_) => Deadline::NEVER,
    };
    wait(call, poll, events, limit, deadline)
}

/// `epoll_pwait(2)`.
pub(super) fn epoll_pwait(
    call: &mut Call<'_>,
    poll: i32,
    events: Address,
    limit: i32,
    timeout_ms: i32,
    mask: Address,
    set_bytes: u64,
) -> Outcome {
    suspend_mask(call, mask, set_bytes)?;
    epoll_wait(call, poll, events, limit, timeout_ms)
}

/// `epoll_pwait2(2)`.
pub(super) fn epoll_pwait2(
    call: &mut Call<'_>,
    poll: i32,
    events: Address,
    limit: i32,
    timeout: Address,
    mask: Address,
    set_bytes: u64,
) -> Outcome {
    let deadline = read_deadline(call, timeout, 1)?;
    suspend_mask(call, mask, set_bytes)?;
    wait(call, poll, events, limit, deadline)
}

fn wait(call: &Call<'_>, poll: i32, events: Address, limit: i32, deadline: Deadline) -> Outcome {
    let file = call.file(poll)?;
    let limit = usize::try_from(limit)
        .ok()
        .filter(|&limit| limit > 0 && limit <= i32::MAX as usize / RECORD_BYTES)
        .ok_or(Errno::EINVAL)?;
    events.check_end((limit * RECORD_BYTES) as u64)?;
    let set = EventPoll::behind(&file).ok_or(Errno::EINVAL)?;
    let found = match collect(call, set, events, limit)? {
        0 => wait_for(call, &file, (set, events, limit), deadline)?,
        found => found,
    };
    Ok(found as u64)
}

/// Writes up to `limit` events that are there now into the list of the program; says how many.
fn collect(call: &Call<'_>, set: &EventPoll, list: Address, limit: usize) -> Result<usize, Errno> {
    set.collect(limit, |place, Wish { events, data }| {
        let record = EventRecord { events, data };
        let at = list.0 + (place * RECORD_BYTES) as u64;
        call.memory().write(at, &record).inspect_err(|_| {
            // Linux writes one field after the other, and the first may be on another page.
            let _ = call.memory().write(at, &events);
        })
    })
}

fn wait_for(
    call: &Call<'_>,
    file: &vfs::OpenFile,
    (set, events, limit): (&EventPoll, Address, usize),
    deadline: Deadline,
) -> Result<usize, Stop> {
    let Some(watchers) = file.watchers() else {
        return Err(Errno::EINVAL.into());
    };
    let alarm = call.alarm();
    watchers.add(&alarm, vfs::Readiness::READABLE);
    let outcome = loop {
        match collect(call, set, events, limit) {
            Ok(0) => {}
            Ok(found) => break Ok(found),
            Err(errno) => break Err(errno.into()),
        }
        let mut streams = Vec::new();
        set.add_host_streams(&mut streams);
        match call.sleep_for_host(&mut streams, deadline) {
            Ok(Wake::Look) => {}
            Ok(Wake::TimedOut) => break Ok(0),
            Ok(Wake::Signal) => break Err(Stop::Errno(Errno::EINTR)),
            Err(errno) => break Err(errno.into()),
        }
    };
    watchers.remove(&alarm);
    outcome
}
