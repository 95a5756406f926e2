//! Waiting for several descriptors: `poll` and `select`.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;

use hal::{Errno, HostPoll};
use vfs::OpenFile;
use zerocopy::{FromZeros, IntoBytes};

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use super::records::{PollRecord, Time};
use super::room;
use super::signal::check_set_bytes;
use crate::files::DESCRIPTORS_MAX;
use crate::files::poll_events::{self, Names, wanted};
use crate::processes::Limits;
use crate::signals::SignalSet;
use crate::threads::{Deadline, Wake, duration_of};

/// A list that is longer may take more than is kept in reserve.
const LONG_LIST: usize = 1024;
/// What is noted of each file of a list while its thread waits.
const NOTED_BYTES: usize = 96;

/// The bit of `personality(2)` with which a time is left as it was given.
pub(super) const STICKY_TIMEOUTS: u32 = 0x400_0000;

const POLLIN: i16 = 1;
const POLLPRI: i16 = 2;
const POLLOUT: i16 = 4;
const POLLERR: i16 = 8;
const POLLHUP: i16 = 16;
const POLLNVAL: i16 = 32;

/// `poll(2)`.
pub(super) fn poll(call: &mut Call<'_>, records: Address, count: u32, timeout_ms: i32) -> Outcome {
    let deadline = call.deadline(match u64::try_from(timeout_ms) {
        Ok(ms) => Deadline::after(call.libos.machine, Duration::from_millis(ms)),
        Err(_) => Deadline::NEVER,
    });
    poll_records(call, records, count, deadline)
}

/// `ppoll(2)`.
pub(super) fn ppoll(
    call: &mut Call<'_>,
    records: Address,
    count: u32,
    timeout: Address,
    mask: Address,
    set_bytes: u64,
) -> Outcome {
    let deadline = read_deadline(call, timeout, 1)?;
    suspend_mask(call, mask, set_bytes)?;
    let deadline = call.deadline(deadline);
    let outcome = poll_records(call, records, count, deadline);
    write_left(call, timeout, deadline, 1);
    outcome
}

fn poll_records(call: &Call<'_>, records: Address, count: u32, deadline: Deadline) -> Outcome {
    let count = count as usize;
    if count as u64 > call.process.limits.lock().soft(Limits::DESCRIPTORS) {
        return Err(Errno::EINVAL.into());
    }
    let mut asked = PollRecord::new_vec_zeroed(count).map_err(|_| Errno::ENOMEM)?;
    call.memory().copy_in(records.0, asked.as_mut_bytes())?;
    let ready = wait_for(call, &mut asked, deadline)?;
    // The rest of the records is the program's, and another thread may have changed it.
    let place = core::mem::offset_of!(PollRecord, ready);
    for (index, record) in asked.iter().enumerate() {
        let at = index * size_of::<PollRecord>() + place;
        let at = records.0.wrapping_add(at as u64);
        call.memory().write(at, &record.ready)?;
    }
    Ok(ready)
}

/// `select(2)`.
pub(super) fn select(
    call: &mut Call<'_>,
    count: i32,
    read: Address,
    write: Address,
    except: Address,
    timeout: Address,
) -> Outcome {
    let deadline = call.deadline(read_deadline(call, timeout, 1000)?);
    let outcome = select_until(call, count, [read, write, except], deadline);
    write_left(call, timeout, deadline, 1000);
    outcome
}

/// `pselect6(2)`.
pub(super) fn pselect6(
    call: &mut Call<'_>,
    count: i32,
    read: Address,
    write: Address,
    except: Address,
    timeout: Address,
    mask: Address,
) -> Outcome {
    let deadline = read_deadline(call, timeout, 1)?;
    if let Some(address) = mask.non_null() {
        let [set, set_bytes]: [u64; 2] = call.memory().read(address.0)?;
        suspend_mask(call, Address(set), set_bytes)?;
    }
    let deadline = call.deadline(deadline);
    let outcome = select_until(call, count, [read, write, except], deadline);
    write_left(call, timeout, deadline, 1);
    outcome
}

/// What each of `select`'s sets asks, and which answers count for it (select(2)).
const SETS: [(i16, i16); 3] = [
    (POLLIN, POLLIN | POLLHUP | POLLERR),
    (POLLOUT, POLLOUT | POLLERR),
    (POLLPRI, POLLPRI),
];

fn select_until(call: &Call<'_>, count: i32, sets: [Address; 3], deadline: Deadline) -> Outcome {
    let count = usize::try_from(count)
        .map_err(|_| Errno::EINVAL)?
        .min(DESCRIPTORS_MAX);
    let bytes = count.div_ceil(64) * 8;
    let mut bits: [Vec<u8>; 3] = Default::default();
    for (bits, set) in bits.iter_mut().zip(sets) {
        *bits = match set.non_null() {
            Some(address) => call.memory().read_bytes(address.0, bytes)?,
            None => vec![0; bytes],
        };
    }
    let mut asked = Vec::new();
    for fd in 0..count {
        let events = SETS.iter().zip(&bits).filter(|(_, bits)| has(bits, fd));
        let events = events.fold(0, |events, (&(asked, _), _)| events | asked);
        if events != 0 {
            asked.push(PollRecord {
                fd: fd as i32,
                events,
                ready: 0,
            });
        }
    }
    wait_for(call, &mut asked, deadline)?;
    if asked.iter().any(|record| record.ready & POLLNVAL != 0) {
        return Err(Errno::EBADF.into());
    }
    let mut ready = 0;
    for ((bits, set), (wanted, counted)) in bits.iter_mut().zip(sets).zip(SETS) {
        bits.fill(0);
        for record in &asked {
            if record.events & wanted != 0 && record.ready & counted != 0 {
                bits[record.fd as usize / 8] |= 1 << (record.fd % 8);
                ready += 1;
            }
        }
        if let Some(address) = set.non_null() {
            call.memory().copy_out(address.0, bits)?;
        }
    }
    Ok(ready)
}

fn has(bits: &[u8], fd: usize) -> bool {
    bits[fd / 8] >> (fd % 8) & 1 == 1
}

/// Waits until a record is ready, and fills in all that are.
fn wait_for(call: &Call<'_>, asked: &mut [PollRecord], deadline: Deadline) -> Outcome {
    if asked.len() > LONG_LIST {
        room::check_for(call.libos.machine, asked.len() * NOTED_BYTES)?;
    }
    let files: Vec<Option<Arc<OpenFile>>> = asked
        .iter()
        .map(|record| call.file(record.fd).ok())
        .collect();
    let ready = look(asked, &files);
    if ready > 0 {
        return Ok(ready);
    }
    let alarm = call.alarm();
    let watched = || {
        asked
            .iter()
            .zip(&files)
            .filter(|(record, _)| record.fd >= 0)
    };
    for (record, file) in watched() {
        if let Some(watchers) = file.as_ref().and_then(|file| file.watchers()) {
            watchers.add(&alarm, wanted(events_of(record)));
        }
    }
    let mut streams = host_streams(asked, &files);
    let outcome = loop {
        let ready = look(asked, &files);
        if ready > 0 {
            break Ok(ready);
        }
        match call.sleep_for_host(&mut streams, deadline) {
            Ok(Wake::Look) => {}
            Ok(Wake::TimedOut) => break Ok(0),
            Ok(Wake::Signal) => break Err(Stop::RestartUnhandled(deadline)),
            Err(errno) => break Err(errno.into()),
        }
    };
    for file in files.iter().flatten() {
        if let Some(watchers) = file.watchers() {
            watchers.remove(&alarm);
        }
    }
    outcome
}

/// Fills in what is ready now; returns how many records are.
fn look(asked: &mut [PollRecord], files: &[Option<Arc<OpenFile>>]) -> u64 {
    let mut count = 0;
    for (record, file) in asked.iter_mut().zip(files) {
        record.ready = match file {
            _ if record.fd < 0 => 0,
            None => POLLNVAL,
            Some(file) => Names::of(file).events(file.readiness(), events_of(record)) as i16,
        };
        count += u64::from(record.ready != 0);
    }
    count
}

fn events_of(record: &PollRecord) -> u32 {
    record.events.cast_unsigned().into()
}

fn host_streams(asked: &[PollRecord], files: &[Option<Arc<OpenFile>>]) -> Vec<HostPoll> {
    let mut streams = Vec::new();
    for (record, file) in asked.iter().zip(files).filter(|(record, _)| record.fd >= 0) {
        if let Some(file) = file {
            poll_events::add_host_streams(file, wanted(events_of(record)), &mut streams);
        }
    }
    streams
}

/// Reads a timeout whose fraction has units of `unit_ns` nanoseconds.
pub(super) fn read_deadline(
    call: &Call<'_>,
    timeout: Address,
    unit_ns: i64,
) -> Result<Deadline, Errno> {
    let Some(address) = timeout.non_null() else {
        return Ok(Deadline::NEVER);
    };
    let time: Time = call.memory().read(address.0)?;
    let nanoseconds = time.fraction.checked_mul(unit_ns).ok_or(Errno::EINVAL)?;
    let time = duration_of(time.seconds, nanoseconds)?;
    Ok(Deadline::after(call.libos.machine, time))
}

/// Writes what is left of a timeout, in the units that it was read in. Where it cannot be written it
/// stays as it is, which is no error.
fn write_left(call: &Call<'_>, timeout: Address, deadline: Deadline, unit_ns: u32) {
    if call.thread.personality.load(Ordering::Relaxed) & STICKY_TIMEOUTS != 0 {
        return;
    }
    let left = deadline.remaining(call.libos.machine);
    if let (Some(address), Some(left)) = (timeout.non_null(), left) {
        let time = Time {
            seconds: left.as_secs().cast_signed(),
            fraction: (left.subsec_nanos() / unit_ns).into(),
        };
        let _ = call.memory().write(address.0, &time);
    }
}

pub(super) fn suspend_mask(call: &Call<'_>, mask: Address, set_bytes: u64) -> Result<(), Errno> {
    let Some(address) = mask.non_null() else {
        return Ok(());
    };
    check_set_bytes(set_bytes)?;
    let set = SignalSet::blockable(call.memory().read(address.0)?);
    call.libos.suspend_mask(call.process, call.thread, set);
    Ok(())
}
