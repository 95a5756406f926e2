//! Locks of the LibOS.
//!
//! They are the spin locks of crate `spin`, but a thread that has waited for a while lets the host
//! run another one: the host may have stopped the holder in the middle, and a waiter that only
//! spins then burns its whole time slice for nothing.
//!
//! How to let another thread run is the runtime's business; it says so once, with [`yield_by`].
//! Until then, and in tests on plain Linux, waiting is spinning.
#![no_std]
#![forbid(unsafe_code)]

use core::hint::spin_loop;

pub use spin::Once;
use spin::RelaxStrategy;

/// A lock for one thread at a time.
pub type Mutex<T> = spin::mutex::Mutex<T, Courteous>;

/// The right to use what a [`Mutex`] protects.
pub type MutexGuard<'a, T> = spin::mutex::MutexGuard<'a, T>;

/// A lock for one writer or many readers.
pub type RwLock<T> = spin::rwlock::RwLock<T, Courteous>;

/// The right to read what a [`RwLock`] protects.
pub type RwLockReadGuard<'a, T> = spin::rwlock::RwLockReadGuard<'a, T>;

/// The right to change what a [`RwLock`] protects.
pub type RwLockWriteGuard<'a, T> = spin::rwlock::RwLockWriteGuard<'a, T, Courteous>;

/// Pauses between two looks at a lock: about a microsecond, longer than most critical sections.
const PAUSES: u32 = 16;

static YIELD: Once<fn()> = Once::new();

/// Says how a thread lets another one run. The first call counts.
pub fn yield_by(yield_now: fn()) {
    YIELD.call_once(|| yield_now);
}

/// Waits a moment, as a lock does: for who asks again whether a lock is free, lest two threads wait for
/// each other.
pub fn wait_a_moment() {
    Courteous::relax();
}

/// How these locks wait.
pub struct Courteous;

impl RelaxStrategy for Courteous {
    fn relax() {
        for _ in 0..PAUSES {
            spin_loop();
        }
        if let Some(yield_now) = YIELD.get() {
            yield_now();
        }
    }
}
