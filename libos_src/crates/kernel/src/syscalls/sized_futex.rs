//! `futex_wait` and its like, whose flags have the size of a word, and `futex_waitv`, which waits for
//! several. Linux has words of 32 bits alone.

use alloc::vec::Vec;

use hal::{Clock, Errno};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::argument::Address;
use super::call::{Call, Outcome};
use super::futex;
use crate::threads::{Deadline, FutexWord, WaitOn};

const SIZE: u32 = 3;
const SIZE_32_BITS: u32 = 2;
/// Behind the word is the number of the node that has the queue; of one that is not known yet, Linux says which.
const HAS_NODE: u32 = 4;
/// The node is that of the memory, if it has one.
const FOLLOWS_POLICY: u32 = 8;
const IS_OWN: u32 = 128;
const ANY_NODE: u32 = u32::MAX;
const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;
/// How many words a thread can wait for (`FUTEX_WAITV_MAX`).
const WORDS_MAX: u32 = 128;

/// `struct futex_waitv`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Wanted {
    expected: u64,
    word: u64,
    flags: u32,
    reserved: u32,
}

impl Wanted {
    /// What is wrong with it, whatever memory there is.
    fn check(&self) -> Result<(), Errno> {
        check_flags(self.flags)?;
        narrow(self.expected)?;
        if self.reserved != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn find(&self, call: &Call<'_>) -> Result<WaitOn, Errno> {
        Ok(WaitOn {
            word: find(call, Address(self.word), self.flags)?,
            expected: narrow(self.expected)?,
            bits: futex::ALL_BITS,
        })
    }
}

/// `futex_wake(2)`: unlike `FUTEX_WAKE`, it wakes none if it is asked for none.
pub(super) fn futex_wake(
    call: &mut Call<'_>,
    word: Address,
    bits: u64,
    count: i32,
    flags: u32,
) -> Outcome {
    check_flags(flags)?;
    let bits = some_bits(bits)?;
    let word = find(call, word, flags)?;
    if count == 0 {
        return Ok(0);
    }
    Ok(futex::wake(call, word, count.cast_unsigned(), bits)?.into())
}

/// `futex_wait(2)`, until a time of a clock.
pub(super) fn futex_wait(
    call: &mut Call<'_>,
    word: Address,
    expected: u64,
    bits: u64,
    flags: u32,
    time: Address,
    clock: i32,
) -> Outcome {
    check_flags(flags)?;
    let expected = narrow(expected)?;
    let deadline = read_deadline(call, time, clock)?;
    let bits = some_bits(bits)?;
    let wait = WaitOn {
        word: find(call, word, flags)?,
        expected,
        bits,
    };
    call.libos.futex_wait(call.task, &[wait], deadline)
}

/// `futex_waitv(2)`: gives the place of the word that was woken.
pub(super) fn futex_waitv(
    call: &mut Call<'_>,
    list: Address,
    count: u32,
    flags: u32,
    time: Address,
    clock: i32,
) -> Outcome {
    if flags != 0 || !(1..=WORDS_MAX).contains(&count) || list.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let deadline = read_deadline(call, time, clock)?;
    let wanted = read_list(call, list, count)?;
    let waits: Result<Vec<_>, _> = wanted.iter().map(|wanted| wanted.find(call)).collect();
    call.libos.futex_wait(call.task, &waits?, deadline)
}

/// `futex_requeue(2)`: the first word of the list has what is expected and who waits, the second is where
/// they go.
pub(super) fn futex_requeue(
    call: &mut Call<'_>,
    list: Address,
    flags: u32,
    woken: i32,
    moved: i32,
) -> Outcome {
    if flags != 0 || list.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let wanted = read_list(call, list, 2)?;
    // So far Linux wants both to be of one sort.
    if wanted[0].flags != wanted[1].flags || woken < 0 || moved < 0 {
        return Err(Errno::EINVAL.into());
    }
    let [from, to] = [wanted[0].find(call)?, wanted[1].find(call)?];
    let counts = [woken, moved].map(i32::cast_unsigned);
    futex::requeue(call, [from.word, to.word], counts, Some(from.expected))
}

fn read_list(call: &Call<'_>, list: Address, count: u32) -> Result<Vec<Wanted>, Errno> {
    let size = size_of::<Wanted>() as u64;
    let places = (0..count).map(|place| list.0.wrapping_add(u64::from(place) * size));
    let wanted = places.map(|address| {
        let wanted: Wanted = call.memory().read(address)?;
        wanted.check()?;
        Ok(wanted)
    });
    wanted.collect()
}

fn check_flags(flags: u32) -> Result<(), Errno> {
    let known = SIZE | HAS_NODE | FOLLOWS_POLICY | IS_OWN;
    if flags & !known != 0 || flags & SIZE != SIZE_32_BITS {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// A number for a word of 32 bits.
fn narrow(value: u64) -> Result<u32, Errno> {
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}

fn some_bits(bits: u64) -> Result<u32, Errno> {
    narrow(bits).and_then(|bits| {
        if bits == 0 {
            Err(Errno::EINVAL)
        } else {
            Ok(bits)
        }
    })
}

/// The word at an address, and the node behind it: there is one alone.
fn find(call: &Call<'_>, word: Address, flags: u32) -> Result<FutexWord, Errno> {
    let has_node = flags & HAS_NODE != 0;
    if has_node && !word.0.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let found = futex::find(call, word, flags & IS_OWN != 0)?;
    if has_node {
        let place = word.0 + 4;
        match call.memory().load_u32(place)? {
            0 => {}
            ANY_NODE => call.memory().write(place, &0u32)?,
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(found)
}

/// A time on a clock; the clock does not count without a time.
fn read_deadline(call: &Call<'_>, time: Address, clock: i32) -> Result<Deadline, Errno> {
    if time.is_null() {
        return Ok(Deadline::NEVER);
    }
    let clock = match clock {
        CLOCK_REALTIME => Clock::Realtime,
        CLOCK_MONOTONIC => Clock::Monotonic,
        _ => return Err(Errno::EINVAL),
    };
    Ok(futex::absolute(call, futex::read_time(call, time)?, clock))
}
