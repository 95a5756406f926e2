//! `futex`.

use core::time::Duration;

use hal::{Clock, Errno};

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use super::records::Time;
use crate::threads::{Deadline, FutexWord, WaitOn, duration_of};

const FUTEX_WAIT: u32 = 0;
const FUTEX_WAKE: u32 = 1;
const FUTEX_REQUEUE: u32 = 3;
const FUTEX_CMP_REQUEUE: u32 = 4;
const FUTEX_WAKE_OP: u32 = 5;
const FUTEX_LOCK_PI: u32 = 6;
const FUTEX_UNLOCK_PI: u32 = 7;
const FUTEX_TRYLOCK_PI: u32 = 8;
const FUTEX_WAIT_BITSET: u32 = 9;
const FUTEX_WAKE_BITSET: u32 = 10;
const FUTEX_LOCK_PI2: u32 = 13;
const FUTEX_PRIVATE: u32 = 128;
const FUTEX_CLOCK_REALTIME: u32 = 256;
const FUTEX_TID_MASK: u32 = 0x3fff_ffff;
pub(super) const ALL_BITS: u32 = u32::MAX;

/// `futex(2)`. The fourth argument is a timeout or a number, as the operation has it.
pub(super) fn futex(
    call: &mut Call<'_>,
    word: Address,
    operation: u32,
    value: u32,
    fourth: u64,
    second_word: Address,
    third_value: u32,
) -> Outcome {
    let command = operation & !(FUTEX_PRIVATE | FUTEX_CLOCK_REALTIME);
    let has_time = matches!(
        command,
        FUTEX_WAIT | FUTEX_WAIT_BITSET | FUTEX_LOCK_PI | FUTEX_LOCK_PI2
    );
    let time = if has_time {
        read_time(call, Address(fourth))?
    } else {
        None
    };
    let takes_clock = matches!(command, FUTEX_WAIT_BITSET | FUTEX_LOCK_PI2);
    if operation & FUTEX_CLOCK_REALTIME != 0 && !takes_clock {
        return Err(Errno::ENOSYS.into());
    }
    let is_own = operation & FUTEX_PRIVATE != 0;
    let find = |word: Address| find(call, word, is_own);
    match command {
        FUTEX_WAIT => wait(call, find(word)?, value, ALL_BITS, relative(call, time)),
        FUTEX_WAIT_BITSET | FUTEX_WAKE_BITSET if third_value == 0 => Err(Errno::EINVAL.into()),
        FUTEX_WAIT_BITSET => {
            let word = find(word)?;
            let deadline = absolute(call, time, clock_of(operation));
            wait(call, word, value, third_value, deadline)
        }
        FUTEX_WAKE => Ok(wake(call, find(word)?, value, ALL_BITS)?.into()),
        FUTEX_WAKE_BITSET => Ok(wake(call, find(word)?, value, third_value)?.into()),
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            let counts = [value, fourth as u32];
            if counts.iter().any(|count| count.cast_signed() < 0) {
                return Err(Errno::EINVAL.into());
            }
            let words = [find(word)?, find(second_word)?];
            let expected = (command == FUTEX_CMP_REQUEUE).then_some(third_value);
            requeue(call, words, counts, expected)
        }
        FUTEX_WAKE_OP => {
            let words = [find(word)?, find(second_word)?];
            let counts = [value, fourth as u32];
            wake_and_change(call, words, counts, third_value)
        }
        FUTEX_LOCK_PI => lock(call, find(word)?, absolute(call, time, Clock::Realtime)),
        FUTEX_LOCK_PI2 => {
            let word = find(word)?;
            lock(call, word, absolute(call, time, clock_of(operation)))
        }
        FUTEX_TRYLOCK_PI => {
            let libos = call.libos;
            let (owned, tid) = (&libos.owned_futexes, call.thread.tid());
            let exists = |tid| libos.processes.of_thread(tid).is_some();
            owned.try_lock(call.memory(), &libos.futexes, find(word)?, tid, exists)?;
            Ok(0)
        }
        FUTEX_UNLOCK_PI => {
            let libos = call.libos;
            let (owned, tid) = (&libos.owned_futexes, call.thread.tid());
            // Whose it is counts before whether it is a futex.
            if call.memory().read::<u32>(word.0)? & FUTEX_TID_MASK != tid {
                return Err(Errno::EPERM.into());
            }
            let (memory, machine) = (call.memory(), libos.machine);
            owned.unlock(memory, machine, &libos.futexes, find(word)?, tid)?;
            Ok(0)
        }
        _ => {
            let reason = "this futex operation does not exist; ENOSYS";
            call.libos.report_once(call.regs.rax, reason);
            Err(Errno::ENOSYS.into())
        }
    }
}

/// Whether there can be a futex at an address. Of memory that is shared, Linux looks for the page, to know
/// which it is.
pub(super) fn find(call: &Call<'_>, word: Address, is_own: bool) -> Result<FutexWord, Errno> {
    if !word.0.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    word.check_end(4)?;
    if !is_own {
        call.memory().load_u32(word.0)?;
    }
    Ok(FutexWord {
        address: word.0,
        is_own,
    })
}

/// The clock of an absolute time.
const fn clock_of(operation: u32) -> Clock {
    if operation & FUTEX_CLOCK_REALTIME != 0 {
        Clock::Realtime
    } else {
        Clock::Monotonic
    }
}

fn lock(call: &Call<'_>, word: FutexWord, deadline: Deadline) -> Outcome {
    call.libos.lock_futex(call.task, word, deadline)?;
    Ok(0)
}

fn wait(call: &Call<'_>, word: FutexWord, expected: u32, bits: u32, deadline: Deadline) -> Outcome {
    let deadline = call.deadline(deadline);
    let wait = WaitOn {
        word,
        expected,
        bits,
    };
    let woken = call.libos.futex_wait(call.task, &[wait], deadline);
    woken.map_err(|stop| match stop {
        Stop::Restart if !deadline.is_never() => Stop::RestartUnhandled(deadline),
        other => other,
    })
}

/// Wakes who waits for a word, unless that is to own it.
pub(super) fn wake(call: &Call<'_>, word: FutexWord, count: u32, bits: u32) -> Result<u32, Errno> {
    let key = call.memory().futex_key(word);
    let libos = call.libos;
    if libos.owned_futexes.are_waited_for(key) {
        return Err(Errno::EINVAL);
    }
    Ok((libos.futexes).wake(libos.machine, key, at_least_one(count), bits))
}

/// Linux wakes one even when asked for none, or for fewer.
fn at_least_one(count: u32) -> u32 {
    count.cast_signed().max(1).cast_unsigned()
}

pub(super) fn requeue(
    call: &Call<'_>,
    words: [FutexWord; 2],
    counts: [u32; 2],
    expected: Option<u32>,
) -> Outcome {
    let libos = call.libos;
    let (woken, moved) = libos.futexes.requeue(
        call.memory(),
        libos.machine,
        &libos.owned_futexes,
        words,
        counts,
        expected,
    )?;
    // Linux counts both, whatever futex(2) says of FUTEX_REQUEUE.
    Ok(u64::from(woken) + u64::from(moved))
}

/// `FUTEX_WAKE_OP`: changes the second word, wakes waiters of the first, and of the second if its
/// old value compares so.
fn wake_and_change(
    call: &Call<'_>,
    [first, second]: [FutexWord; 2],
    [first_count, second_count]: [u32; 2],
    encoded: u32,
) -> Outcome {
    let change = WordChange::decode(encoded)?;
    let mut old = call.memory().load_u32(second.address)?;
    loop {
        let found = call
            .memory()
            .compare_exchange_u32(second.address, old, change.apply(old))?;
        if found == old {
            break;
        }
        old = found;
    }
    // Linux finds only now that it does not know a comparison.
    if change.comparison > 5 {
        return Err(Errno::ENOSYS.into());
    }
    let mut woken = wake(call, first, first_count, ALL_BITS)?;
    if change.compares(old) {
        woken += wake(call, second, second_count, ALL_BITS)?;
    }
    Ok(woken.into())
}

/// The operation and comparison in `FUTEX_WAKE_OP`'s last argument (futex(2)).
struct WordChange {
    operation: u32,
    operand: u32,
    comparison: u32,
    compared_to: i32,
}

impl WordChange {
    fn decode(encoded: u32) -> Result<Self, Errno> {
        let signed_12_bits = |value: u32| (value << 20).cast_signed() >> 20;
        let operation = encoded >> 28 & 7;
        let comparison = encoded >> 24 & 15;
        if operation > 4 {
            return Err(Errno::ENOSYS);
        }
        let operand = signed_12_bits(encoded >> 12).cast_unsigned();
        let is_shift = encoded >> 31 != 0;
        let operand = if is_shift {
            1 << (operand & 31)
        } else {
            operand
        };
        let compared_to = signed_12_bits(encoded);
        Ok(Self {
            operation,
            operand,
            comparison,
            compared_to,
        })
    }

    const fn apply(&self, old: u32) -> u32 {
        match self.operation {
            0 => self.operand,
            1 => old.wrapping_add(self.operand),
            2 => old | self.operand,
            3 => old & !self.operand,
            _ => old ^ self.operand,
        }
    }

    const fn compares(&self, old: u32) -> bool {
        let old = old.cast_signed();
        match self.comparison {
            0 => old == self.compared_to,
            1 => old != self.compared_to,
            2 => old < self.compared_to,
            3 => old <= self.compared_to,
            4 => old > self.compared_to,
            _ => old >= self.compared_to,
        }
    }
}

fn relative(call: &Call<'_>, time: Option<Duration>) -> Deadline {
    time.map_or(Deadline::NEVER, |time| {
        Deadline::after(call.libos.machine, time)
    })
}

pub(super) fn absolute(call: &Call<'_>, time: Option<Duration>, clock: Clock) -> Deadline {
    time.map_or(Deadline::NEVER, |time| {
        Deadline::at(call.libos.machine, clock, time)
    })
}

pub(super) fn read_time(call: &Call<'_>, time: Address) -> Result<Option<Duration>, Errno> {
    let Some(address) = time.non_null() else {
        return Ok(None);
    };
    let time: Time = call.memory().read(address.0)?;
    duration_of(time.seconds, time.fraction).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_change_is_decoded_as_futex_2_packs_it() {
        // FUTEX_OP_ADD 5, FUTEX_OP_CMP_GT -1
        let change = WordChange::decode(1 << 28 | 4 << 24 | 5 << 12 | 0xfff).expect("known");

        assert_eq!(change.apply(u32::MAX), 4);
        assert!(change.compares(0));
        assert!(!change.compares(u32::MAX));
    }

    #[test]
    fn who_wakes_none_or_fewer_wakes_one() {
        assert_eq!(at_least_one(0), 1);
        assert_eq!(at_least_one(u32::MAX), 1);
        assert_eq!(at_least_one(i32::MAX as u32), i32::MAX as u32);
    }

    #[test]
    fn an_unknown_word_change_is_refused() {
        assert!(WordChange::decode(5 << 28).is_err());
    }
}
