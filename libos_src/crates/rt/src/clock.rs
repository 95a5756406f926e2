//! The time, between two answers of the host.
//!
//! To ask the host takes half a microsecond, and programs ask often. Where the CPU lets an enclave
//! read the time-stamp counter (SGX2), and the host says that its own clock rests on that, the host
//! is asked once in a while, and the counter tells how long ago that was. It is all the host's word,
//! as before: who makes the counter may as well lie about the time.

use core::{
    ops::{Range, RangeInclusive},
    sync::atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

use hal::Clock;

use crate::{entry, mailbox::HOST};

/// Whether the counter is of use.
static COUNTS: AtomicBool = AtomicBool::new(false);
/// The number of the system call that the entry code serves by itself, as long as the last answer of
/// the host serves.
pub(crate) static CALL: AtomicU64 = AtomicU64::new(NO_CALL);
const NO_CALL: u64 = u64::MAX;

/// By the numbers that programs have for them. The entry code reads them, too.
pub(crate) static CLOCKS: [Reference; 2] = [
    Reference::new(), // Clock::Realtime
    Reference::new(), // Clock::Monotonic
];

/// How long an answer of the host serves. A clock that is being set drifts by half a millisecond in a
/// second at most, which is 10 us in this time.
const SERVES_NS: u64 = 20_000_000;
/// Two answers that are so far apart say how fast the counter is. Further apart, the machine may have
/// slept between them.
const MEASURES_NS: Range<u64> = 10_000_000..10_000_000_000;
/// An answer that took longer does not say well enough when it was given.
const PROMPT_TICKS: u64 = 20_000;
/// By how much two ways to tell one time may differ. A clock that goes back further has been set.
pub(crate) const DIFFERS_NS: u64 = 1_000_000;
/// Nanoseconds in a tick, times 2³²: counters run at 100 MHz to 20 GHz.
const RATES: RangeInclusive<u64> = (1 << 32) / 20..=10 << 32;

/// The host says that its clock rests on the counter.
pub(crate) fn use_counter() {
    COUNTS.store(ticks().is_some(), Ordering::Relaxed);
}

/// The entry code may serve system calls of this number, see [`hal::Machine::serve_clock`].
pub(crate) fn serve(number: u64) {
    if COUNTS.load(Ordering::Relaxed) {
        CALL.store(number, Ordering::Relaxed);
    }
}

/// Nanoseconds of a clock. The monotonic one never goes back, whatever the host says; the other
/// one only if it is set.
pub(crate) fn now(clock: Clock) -> u64 {
    let [realtime, monotonic] = &CLOCKS;
    match clock {
        Clock::Realtime => unless_set(realtime.now(clock), &realtime.latest.0),
        Clock::Monotonic => {
            let now = monotonic.now(clock);
            let latest = &monotonic.latest.0;
            latest.fetch_max(now, Ordering::SeqCst).max(now)
        }
    }
}

/// A time that is no earlier than `latest`, unless the clock was set back since.
fn unless_set(now: u64, latest: &AtomicU64) -> u64 {
    let before = latest.load(Ordering::SeqCst);
    if before.saturating_sub(now) > DIFFERS_NS {
        latest.store(now, Ordering::SeqCst);
        return now;
    }
    latest.fetch_max(now, Ordering::SeqCst).max(now)
}

/// The time-stamp counter, where an enclave may read it.
pub(crate) fn ticks() -> Option<u64> {
    // SAFETY: it reads the counter and no memory; a fault is reported.
    let counter = unsafe { entry::read_counter() };
    (counter.fault == 0).then_some(counter.value)
}

/// What is known of one clock. Readers see all of one answer, or none: the version is odd while it
/// changes, and another one afterwards.
#[repr(C, align(64))]
pub(crate) struct Reference {
    pub(crate) version: AtomicU64,
    /// When the host answered.
    pub(crate) ticks: AtomicU64,
    /// What it said.
    pub(crate) nanoseconds: AtomicU64,
    /// Nanoseconds in a tick, times 2³²; 0 while that is not known.
    pub(crate) rate: AtomicU64,
    /// The number of ticks for which the answer serves.
    pub(crate) serves_ticks: AtomicU64,
    /// The latest time that anyone saw.
    pub(crate) latest: Latest,
}

/// A word that every reader writes, apart from what it reads.
#[repr(C, align(64))]
pub(crate) struct Latest(AtomicU64);

impl Reference {
    const fn new() -> Self {
        Self {
            version: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            serves_ticks: AtomicU64::new(0),
            latest: Latest(AtomicU64::new(0)),
        }
    }

    fn now(&self, clock: Clock) -> u64 {
        if !COUNTS.load(Ordering::Relaxed) {
            return HOST.clock(clock);
        }
        ticks()
            .and_then(|now| self.at(now))
            .unwrap_or_else(|| self.ask(clock))
    }

    /// The time at a count, if the last answer is young enough to tell.
    fn at(&self, now: u64) -> Option<u64> {
        let version = self.version.load(Ordering::Acquire);
        let elapsed = now.wrapping_sub(self.ticks.load(Ordering::Relaxed));
        let nanoseconds = self.nanoseconds.load(Ordering::Relaxed);
        let rate = self.rate.load(Ordering::Relaxed);
        let serves = self.serves_ticks.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let is_whole = version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version;
        (is_whole && elapsed < serves).then(|| nanoseconds.saturating_add(scaled(elapsed, rate)))
    }

    /// Asks the host, and keeps what it says for a while.
    fn ask(&self, clock: Clock) -> u64 {
        let before = ticks();
        let nanoseconds = HOST.clock(clock);
        if let (Some(before), Some(after)) = (before, ticks()) {
            self.keep(before, after, nanoseconds);
        }
        nanoseconds
    }

    /// Keeps an answer that came between two counts, unless another thread keeps one just now.
    fn keep(&self, before: u64, after: u64, nanoseconds: u64) {
        let version = self.version.load(Ordering::Relaxed);
        let taken = version.is_multiple_of(2)
            && (self.version)
                .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !taken {
            return;
        }
        fence(Ordering::Release);
        let took = after.wrapping_sub(before);
        let middle = before.wrapping_add(took / 2);
        let elapsed = nanoseconds.wrapping_sub(self.nanoseconds.load(Ordering::Relaxed));
        if took <= PROMPT_TICKS && elapsed >= MEASURES_NS.start {
            let elapsed_ticks = middle.wrapping_sub(self.ticks.load(Ordering::Relaxed));
            let known = self.rate.load(Ordering::Relaxed);
            let rate = if MEASURES_NS.contains(&elapsed) {
                measured(known, elapsed, elapsed_ticks)
            } else {
                known
            };
            let serves = (u128::from(SERVES_NS) << 32).checked_div(u128::from(rate));
            self.ticks.store(middle, Ordering::Relaxed);
            self.nanoseconds.store(nanoseconds, Ordering::Relaxed);
            self.rate.store(rate, Ordering::Relaxed);
            (self.serves_ticks).store(serves.unwrap_or(0) as u64, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
    }
}

/// Ticks as nanoseconds.
fn scaled(ticks: u64, rate: u64) -> u64 {
    ((u128::from(ticks) * u128::from(rate)) >> 32) as u64
}

/// Nanoseconds in a tick, times 2³², after one more measurement; 0 if no counter is like that.
fn measured(known: u64, nanoseconds: u64, ticks: u64) -> u64 {
    let rate = (u128::from(nanoseconds) << 32).checked_div(u128::from(ticks));
    let rate = rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0);
    if !RATES.contains(&rate) {
        return 0;
    }
    // Each measurement is off by a little, which the mean is not.
    if known.abs_diff(rate) < known / 1000 {
        known - known / 4 + rate / 4
    } else {
        rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks of a counter of 2.5 GHz.
    fn ticks_at(nanoseconds: u64) -> u64 {
        nanoseconds * 5 / 2 + 12345
    }

    fn keep(reference: &Reference, nanoseconds: u64) {
        let middle = ticks_at(nanoseconds);
        reference.keep(middle - 1000, middle + 1000, nanoseconds);
    }

    const START: u64 = 1_000_000_000_000;
    const MILLISECOND: u64 = 1_000_000;

    #[test]
    fn two_answers_tell_the_time_for_twenty_milliseconds() {
        let reference = Reference::new();
        keep(&reference, START);
        assert_eq!(
            reference.at(ticks_at(START + 10)),
            None,
            "who knows how fast it counts"
        );
        keep(&reference, START + 15 * MILLISECOND);

        for later in [0, 10, 12_345, 10 * MILLISECOND, 19 * MILLISECOND] {
            let time = START + 15 * MILLISECOND + later;
            let told = reference.at(ticks_at(time)).expect("young enough");
            assert!(told.abs_diff(time) <= 2, "{told} for {time}");
        }
        assert_eq!(reference.at(ticks_at(START + 36 * MILLISECOND)), None);
    }

    #[test]
    fn a_clock_goes_back_only_if_it_is_set() {
        let latest = AtomicU64::new(0);
        assert_eq!(unless_set(START, &latest), START);
        assert_eq!(unless_set(START - 1000, &latest), START);
        assert_eq!(unless_set(START + 5, &latest), START + 5);
        let set = START - 60_000 * MILLISECOND;
        assert_eq!(unless_set(set, &latest), set);
        assert_eq!(unless_set(set + 1, &latest), set + 1);
    }

    #[test]
    fn a_counter_that_goes_back_tells_nothing() {
        let reference = Reference::new();
        keep(&reference, START);
        keep(&reference, START + 15 * MILLISECOND);

        assert_eq!(reference.at(ticks_at(START + 14 * MILLISECOND)), None);
    }

    #[test]
    fn an_answer_that_took_long_is_no_measure() {
        let reference = Reference::new();
        keep(&reference, START);
        let time = START + 15 * MILLISECOND;
        reference.keep(ticks_at(time) - 1_000_000, ticks_at(time), time);

        assert_eq!(reference.at(ticks_at(time)), None);
    }

    #[test]
    fn a_machine_that_slept_counts_as_fast_as_before() {
        let reference = Reference::new();
        keep(&reference, START);
        keep(&reference, START + 15 * MILLISECOND);
        let (time, ticks) = (
            START + 20_000 * MILLISECOND,
            ticks_at(START + 9_000_000 * MILLISECOND),
        );
        reference.keep(ticks - 1000, ticks + 1000, time);

        let told = reference.at(ticks + 2_500_000).expect("young enough");
        assert!(told.abs_diff(time + MILLISECOND) <= 2, "{told}");
    }

    #[test]
    fn what_no_counter_does_is_not_believed() {
        let reference = Reference::new();
        reference.keep(1000, 1001, START);
        reference.keep(2000, 2001, START + 15 * MILLISECOND);

        assert_eq!(reference.at(2002), None);
    }
}
