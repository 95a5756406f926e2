//! Threads that sleep until another one wakes them.

use core::{
    hint,
    sync::atomic::{AtomicU32, Ordering},
};

use abi::thread::page;

use crate::{boot, mailbox::HOST, thread::ThreadPage};

/// Parking word: the thread runs, was unparked before it parked, or is parked.
const RUNNING: u32 = 0;
const UNPARKED: u32 = 1;
const PARKED: u32 = 2;

/// Threads that sleep on the host.
static ASLEEP: AtomicU32 = AtomicU32::new(0);

/// Pauses before a thread goes to sleep, at most. To wake a sleeper costs two OCALLs and the host's
/// scheduler; threads that talk to each other answer sooner than that, if both have a processor.
const PAUSES: u64 = 400;
/// After so many failures in a row there is little more than a look.
const FAILURES_MAX: u64 = 14;
/// Every so many times it is tried in full, whatever happened before.
const TRIAL: u64 = 64;

/// Of so many times that a thread yields, the host is asked once.
const YIELDS_PER_OCALL: u64 = 8;

/// Waits a moment for a wake-up, if no thread that is awake needs the processor for it. Whether one
/// came; it is then used up.
///
/// The moment gets shorter where it is in vain, as on a machine that has others to serve.
pub(crate) fn spin() -> bool {
    let thread = ThreadPage::current();
    let past = thread.get(page::SPINNING);
    let (times, failures) = (past / 16, past % 16);
    let pauses = if times.is_multiple_of(TRIAL) {
        PAUSES
    } else {
        PAUSES >> (failures / 2)
    };
    let is_woken = spin_for(pauses, thread.parking());
    let failures = if is_woken {
        failures / 2
    } else {
        (failures + 1).min(FAILURES_MAX)
    };
    thread.set(page::SPINNING, (times + 1) % TRIAL * 16 + failures);
    is_woken
}

fn spin_for(pauses: u64, word: &AtomicU32) -> bool {
    for _ in 0..pauses {
        if word.load(Ordering::SeqCst) == UNPARKED {
            take(word);
            return true;
        }
        if is_crowded() {
            return false;
        }
        hint::spin_loop();
    }
    false
}

/// Whether more threads are awake than there are processors.
fn is_crowded() -> bool {
    let awake = boot::thread_count().saturating_sub(ASLEEP.load(Ordering::Relaxed));
    awake > boot::cpu_count()
}

/// Lets another thread of the host run in place of the calling one, if one waits for a processor.
///
/// Where each thread of ours can have a processor, the host is asked one time in so many only: who
/// yields again and again, until another thread has done something, loses a moment that is shorter
/// than asking takes.
pub(crate) fn yield_now() {
    let thread = ThreadPage::current();
    let times = thread.get(page::YIELDS);
    thread.set(page::YIELDS, times.wrapping_add(1));
    if times.is_multiple_of(YIELDS_PER_OCALL) || is_crowded() {
        HOST.yield_now();
    } else {
        hint::spin_loop();
    }
}

/// Lets the calling thread sleep on the host with `sleep`, unless a wake-up came first.
pub(crate) fn park(sleep: impl FnOnce()) {
    let word = ThreadPage::current().parking();
    let ordering = Ordering::SeqCst;
    if word
        .compare_exchange(RUNNING, PARKED, ordering, ordering)
        .is_ok()
    {
        ASLEEP.fetch_add(1, Ordering::Relaxed);
        sleep();
        ASLEEP.fetch_sub(1, Ordering::Relaxed);
    }
    take(word);
}

/// Uses up a wake-up. It reads the word once more: who sets it again just now has done before what the
/// thread is to see after.
fn take(word: &AtomicU32) {
    word.swap(RUNNING, Ordering::SeqCst);
}

/// Lets a thread return from its sleep, now or the next time. Whether it slept.
pub(crate) fn unpark(thread: u32) -> bool {
    let slept = ThreadPage::of(thread)
        .is_some_and(|page| page.parking().swap(UNPARKED, Ordering::SeqCst) == PARKED);
    if slept {
        HOST.unpark(thread);
    }
    slept
}
