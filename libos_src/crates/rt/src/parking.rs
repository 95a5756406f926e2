//! Threads that sleep until another one wakes them.

use core::{
    hint,
    sync::atomic::{AtomicU32, Ordering},
};

use abi::thread::page;

use crate::{boot, clock, mailbox::HOST, thread::ThreadPage};

/// Parking word: the thread runs, was unparked before it parked, or is parked.
const RUNNING: u32 = 0;
const UNPARKED: u32 = 1;
const PARKED: u32 = 2;

/// Threads that sleep on the host.
static ASLEEP: AtomicU32 = AtomicU32::new(0);

/// Ticks of the time-stamp counter in which a thread looks out for a wake-up before it goes to sleep, at
/// least, at most, and where nothing is known of the past. To wake a sleeper costs two OCALLs and the
/// host's scheduler; threads that talk to each other answer sooner than that, if both have a processor
/// and neither sleeps already.
const LOOKOUT_MIN: u64 = 1_000;
const LOOKOUT_MAX: u64 = 100_000;
const LOOKOUT: u64 = 20_000;
/// Where there is no counter for an enclave, what a pause takes.
const TICKS_PER_PAUSE: u64 = 50;
/// A wait of so many ticks had ended before the thread slept, if it had looked out for as long as it
/// may, and the one that it waited for had done the same.
const SHORT: u64 = 2 * LOOKOUT_MAX;
/// Pauses between two looks whether another thread of the host waits for the processor, perhaps the
/// very one that is waited for.
const PAUSES_PER_YIELD: u64 = 64;

/// Of so many times that a thread yields, the host is asked once.
const YIELDS_PER_OCALL: u64 = 8;

/// Waits for a wake-up, which is then used up: a moment awake, if no thread that is awake needs the
/// processor for it, and then asleep on the host with `sleep`.
///
/// The moment gets longer where it was too short by little, and shorter where it was in vain, as on a
/// machine that has others to serve. (As KVM does it when a virtual processor halts: Linux,
/// Documentation/virt/kvm/halt-polling.rst.)
pub(crate) fn wait(sleep: impl FnOnce()) {
    let thread = ThreadPage::current();
    let lookout = match thread.get(page::LOOKOUT) {
        0 => LOOKOUT,
        lookout => lookout,
    };
    let watch = Stopwatch::start();
    if comes_within(lookout, &watch, thread.parking()) {
        return;
    }
    park(sleep);
    let lookout = match watch.ticks() {
        Some(ticks) if ticks <= SHORT => (lookout * 2).min(LOOKOUT_MAX),
        Some(_) => (lookout / 2).max(LOOKOUT_MIN),
        None => lookout,
    };
    thread.set(page::LOOKOUT, lookout);
}

/// Whether a wake-up comes within so many ticks, while there are processors for all.
fn comes_within(lookout: u64, watch: &Stopwatch, word: &AtomicU32) -> bool {
    for pauses in 1.. {
        if word.load(Ordering::SeqCst) == UNPARKED {
            take(word);
            return true;
        }
        let ticks = watch.ticks().unwrap_or(pauses * TICKS_PER_PAUSE);
        if ticks > lookout || is_crowded() {
            break;
        }
        if pauses.is_multiple_of(PAUSES_PER_YIELD) {
            HOST.yield_now();
        } else {
            hint::spin_loop();
        }
    }
    false
}

/// Tells how long ago something was, where there is a counter for an enclave.
struct Stopwatch(Option<u64>);

impl Stopwatch {
    fn start() -> Self {
        Self(clock::ticks())
    }

    fn ticks(&self) -> Option<u64> {
        let (now, start) = (clock::ticks()?, self.0?);
        Some(now.wrapping_sub(start))
    }
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
