//! Threads that sleep until another one wakes them.

use core::{
    hint,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{boot, host, thread::ThreadPage};

/// Parking word: the thread runs, was unparked before it parked, or is parked.
const RUNNING: u32 = 0;
const UNPARKED: u32 = 1;
const PARKED: u32 = 2;

/// Threads that sleep on the host.
static ASLEEP: AtomicU32 = AtomicU32::new(0);

/// Pauses before a thread goes to sleep. To wake a sleeper costs two OCALLs and the host's
/// scheduler; threads that talk to each other answer sooner than that.
const PAUSES: u32 = 400;

/// Waits a moment for a wake-up, if no thread that is awake needs the processor for it. Whether one
/// came; it is then used up.
pub(crate) fn spin() -> bool {
    let word = ThreadPage::current().parking();
    for _ in 0..PAUSES {
        if word.load(Ordering::SeqCst) == UNPARKED {
            word.store(RUNNING, Ordering::SeqCst);
            return true;
        }
        let awake = boot::thread_count().saturating_sub(ASLEEP.load(Ordering::Relaxed));
        if awake > boot::cpu_count() {
            return false;
        }
        hint::spin_loop();
    }
    false
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
    word.store(RUNNING, ordering);
}

/// Lets a thread return from its sleep, now or the next time. Whether it slept.
pub(crate) fn unpark(thread: u32) -> bool {
    let slept = ThreadPage::of(thread)
        .is_some_and(|page| page.parking().swap(UNPARKED, Ordering::SeqCst) == PARKED);
    if slept {
        host::unpark(thread);
    }
    slept
}
