//! Robust futexes: locks whose owner died.
//!
//! The list is in program memory (`linux/futex.h`, `struct robust_list_head`), so it may be a
//! cycle, or nonsense: the walk is bounded and stops at the first word that cannot be read.

use hal::Machine;

use super::owned_futex::{OWNER, OWNER_DIED, WAITERS};
use super::{FutexWord, Futexes};
use crate::memory::AddressSpace;

const ENTRIES_MAX: usize = 2048;

/// Marks each lock that the thread `tid` still holds, and wakes one that waits for it.
pub(crate) fn release_robust_list(
    space: &AddressSpace,
    futexes: &Futexes,
    machine: &dyn Machine,
    head: u64,
    tid: u32,
) {
    let Ok([first, offset, pending]) = space.read::<[u64; 3]>(head) else {
        return;
    };
    let mut entry = first;
    for _ in 0..ENTRIES_MAX {
        if untagged(entry) == head {
            break;
        }
        // Read the next one first: once a lock is released, its memory may be gone.
        let next = space.read::<u64>(untagged(entry));
        if untagged(entry) != untagged(pending) {
            release(space, futexes, machine, [entry, offset], tid);
        }
        let Ok(next) = next else { break };
        entry = next;
    }
    if pending != 0 && !wake_after_unlock(space, futexes, machine, [pending, offset]) {
        release(space, futexes, machine, [pending, offset], tid);
    }
}

/// A thread that ended between unlocking and waking who waits has left that undone; whether it has.
fn wake_after_unlock(
    space: &AddressSpace,
    futexes: &Futexes,
    machine: &dyn Machine,
    [entry, offset]: [u64; 2],
) -> bool {
    let word = untagged(entry).wrapping_add(offset);
    let has_owner = entry & 1 != 0;
    let is_undone = !has_owner && space.load_u32(word).is_ok_and(|value| value & OWNER == 0);
    if is_undone {
        futexes.wake(
            machine,
            space.futex_key(FutexWord::of_all(word)),
            1,
            u32::MAX,
        );
    }
    is_undone
}

/// Bit 0 marks a futex with an owner, which [`OwnedFutexes`](super::OwnedFutexes) hands on.
const fn untagged(entry: u64) -> u64 {
    entry & !1
}

fn release(
    space: &AddressSpace,
    futexes: &Futexes,
    machine: &dyn Machine,
    [entry, offset]: [u64; 2],
    tid: u32,
) {
    let word = untagged(entry).wrapping_add(offset);
    let has_owner = entry & 1 != 0;
    let Ok(mut value) = space.load_u32(word) else {
        return;
    };
    while value & OWNER == tid {
        let dead = value & WAITERS | OWNER_DIED;
        match space.compare_exchange_u32(word, value, dead) {
            Ok(found) if found == value => {
                if value & WAITERS != 0 && !has_owner {
                    futexes.wake(
                        machine,
                        space.futex_key(FutexWord::of_all(word)),
                        1,
                        u32::MAX,
                    );
                }
                return;
            }
            Ok(found) => value = found,
            Err(_) => return,
        }
    }
}
