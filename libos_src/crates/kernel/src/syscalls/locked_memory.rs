//! Memory that is to stay in memory: all of an enclave's does, and what a program locks counts.

use core::ops::Range;

use hal::Errno;
use vfs::Capabilities;

use super::call::{Call, Outcome};
use crate::memory::page_range;
use crate::processes::Limits;

const MCL_CURRENT: u32 = 1;
const MCL_FUTURE: u32 = 2;
const MCL_ONFAULT: u32 = 4;

/// `mlock(2)`.
pub(super) fn mlock(call: &mut Call<'_>, address: u64, len: u64) -> Outcome {
    lock(call, address, len, false)
}

/// `mlock2(2)`.
pub(super) fn mlock2(call: &mut Call<'_>, address: u64, len: u64, flags: u32) -> Outcome {
    const MLOCK_ONFAULT: u32 = 1;
    if flags & !MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL.into());
    }
    lock(call, address, len, flags & MLOCK_ONFAULT != 0)
}

fn lock(call: &Call<'_>, address: u64, len: u64, waits: bool) -> Outcome {
    check_right(call)?;
    let range = page_range(address, len).ok_or(Errno::EINVAL)?;
    if !may_lock(call, &range) {
        return Err(Errno::ENOMEM.into());
    }
    if !range.is_empty() {
        call.memory().set_locked(&range, true, waits)?;
    }
    Ok(0)
}

/// `munlock(2)`.
pub(super) fn munlock(call: &mut Call<'_>, address: u64, len: u64) -> Outcome {
    let range = page_range(address, len).ok_or(Errno::EINVAL)?;
    if !range.is_empty() {
        call.memory().set_locked(&range, false, true)?;
    }
    Ok(0)
}

/// `mlockall(2)`.
pub(super) fn mlockall(call: &mut Call<'_>, flags: u32) -> Outcome {
    if flags == 0 || flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0 || flags == MCL_ONFAULT
    {
        return Err(Errno::EINVAL.into());
    }
    check_right(call)?;
    let memory = call.memory();
    let is_current = flags & MCL_CURRENT != 0;
    if is_current && memory.sizes_bytes().0 > limit(call) {
        return Err(Errno::ENOMEM.into());
    }
    memory.lock_all(
        is_current,
        flags & MCL_FUTURE != 0,
        flags & MCL_ONFAULT != 0,
    );
    Ok(0)
}

/// `munlockall(2)`.
pub(super) fn munlockall(call: &mut Call<'_>) -> Outcome {
    call.memory().unlock_all();
    Ok(0)
}

/// Checks that a new mapping, which `asks` to be locked or is so anyway, may be.
///
/// # Errors
/// `EPERM` if nothing may be, `EAGAIN` if it is too much.
pub(super) fn check_new(call: &Call<'_>, len: u64, asks: bool) -> Result<(), Errno> {
    if asks {
        check_right(call)?;
    }
    if !asks && !call.memory().locks_all() {
        return Ok(());
    }
    let locked = call.memory().locked_bytes(&(0..0)).0;
    match locked.checked_add(len) {
        Some(sum) if sum <= limit(call) => Ok(()),
        _ => Err(Errno::EAGAIN),
    }
}

fn may_lock(call: &Call<'_>, range: &Range<u64>) -> bool {
    let (locked, inside) = call.memory().locked_bytes(range);
    let new = (range.end - range.start).saturating_sub(inside);
    locked
        .checked_add(new)
        .is_some_and(|sum| sum <= limit(call))
}

/// How many bytes may be locked.
fn limit(call: &Call<'_>) -> u64 {
    if call.standing().can(Capabilities::LOCK_MEMORY) {
        return u64::MAX;
    }
    call.process.limits.lock().soft(Limits::LOCKED_MEMORY)
}

fn check_right(call: &Call<'_>) -> Result<(), Errno> {
    if limit(call) == 0 {
        return Err(Errno::EPERM);
    }
    Ok(())
}
