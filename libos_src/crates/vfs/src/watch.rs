//! Who wants to know when a file becomes ready.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use locks::Mutex;

use crate::Readiness;

/// Somebody who waits for files: a thread that sleeps, or an `epoll` that collects.
pub trait Watcher: Send + Sync {
    /// A file that it watches may be ready for `now`; it looks for itself. Whether it goes on
    /// watching that file.
    ///
    /// It may be called for no reason, and once more after it was removed. It is called with no
    /// lock of the file held and must not wait.
    fn notify(&self, now: Readiness) -> bool;

    /// Somebody reads or writes, for which a signal is sent, even if the file is ready for no more. For
    /// those that send signals alone.
    fn signal(&self, _now: Readiness) {}

    /// Whether it sends signals.
    fn sends_signals(&self) -> bool {
        false
    }

    /// Whether it is told before those that came earlier.
    fn is_told_early(&self) -> bool {
        false
    }

    /// Whether nobody else need be told who is as exclusive, once it has been.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// Whether it would make use of being told now. Asked of those that are exclusive.
    fn is_waiting(&self) -> bool {
        true
    }
}

/// Everybody who watches one file.
///
/// To wait without missing anything: [`add`](Self::add), look at the file's readiness, and only
/// then sleep. To change a file: change it, release its lock, [`notify`](Self::notify).
#[derive(Default)]
pub struct Watchers {
    /// How many there are, so that a change that nobody watches costs one load.
    count: AtomicUsize,
    watches: Mutex<Watches>,
}

/// Not a vector: one file may be watched by more than would fit in a row.
#[derive(Default)]
struct Watches {
    /// In the order in which they came.
    by_number: BTreeMap<u64, Watch>,
    next: u64,
}

#[derive(Clone)]
struct Watch {
    wanted: Readiness,
    watcher: Arc<dyn Watcher>,
}

/// With more watchers than that no list is made of those to be told.
const MANY: usize = 1024;

impl Watchers {
    /// Nobody watches.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            watches: Mutex::new(Watches {
                by_number: BTreeMap::new(),
                next: 0,
            }),
        }
    }

    /// `watcher` wants to know when the file becomes ready for any of `wanted`. Of errors and
    /// hang-ups it is told in any case.
    pub fn add(&self, watcher: &Arc<dyn Watcher>, wanted: Readiness) {
        let ends = Readiness::ERROR | Readiness::HANG_UP | Readiness::READ_HANG_UP;
        let mut watches = self.watches.lock();
        // Who asks for one file many times at once is told once.
        if let Some(mut last) = watches.by_number.last_entry()
            && Arc::ptr_eq(&last.get().watcher, watcher)
        {
            last.get_mut().wanted |= wanted;
            return;
        }
        let number = watches.next;
        watches.next += 1;
        let watch = Watch {
            wanted: wanted | ends,
            watcher: watcher.clone(),
        };
        watches.by_number.insert(number, watch);
        self.count.store(watches.by_number.len(), Ordering::SeqCst);
    }

    /// Whether somebody watches.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.count.load(Ordering::SeqCst) != 0
    }

    /// `watcher` takes back what it asked for; if it asked several times, one of these.
    pub fn remove(&self, watcher: &Arc<dyn Watcher>) {
        let mut watches = self.watches.lock();
        let mut all = watches.by_number.iter();
        let found = all.find(|(_, watch)| Arc::ptr_eq(&watch.watcher, watcher));
        if let Some((&number, _)) = found {
            watches.by_number.remove(&number);
        }
        self.count.store(watches.by_number.len(), Ordering::SeqCst);
    }

    /// The file may have become ready for `now`.
    pub fn notify(&self, now: Readiness) {
        self.tell_all(now, true);
    }

    fn tell_all(&self, now: Readiness, with_signals: bool) {
        // The change and the look of a watcher happen under the file's lock, one before the other:
        // either the watcher has been counted here, or it sees the change.
        match self.count.load(Ordering::SeqCst) {
            0 => return,
            1..=MANY => {}
            _ => return self.notify_many(now, with_signals),
        }
        let watches = self.watches.lock();
        let watches_due = watches.by_number.values();
        let mut due = watches_due.filter(|watch| {
            watch.wanted.intersects(now) && (with_signals || !watch.watcher.sends_signals())
        });
        let Some(first) = due.next().map(|watch| watch.watcher.clone()) else {
            return;
        };
        let others: Vec<_> = due.map(|watch| watch.watcher.clone()).collect();
        drop(watches);
        let due = || core::iter::once(&first).chain(&others);
        // Of those that are exclusive one is told, and one that waits for it, if any does.
        let mut exclusive = due().filter(|watcher| watcher.is_exclusive());
        let waiting = exclusive.clone().find(|watcher| watcher.is_waiting());
        let chosen = waiting.or_else(|| exclusive.next());
        let early = due().rev().filter(|watcher| watcher.is_told_early());
        for watcher in early.chain(due().filter(|watcher| !watcher.is_told_early())) {
            self.tell(watcher, chosen, now);
        }
    }

    /// As [`notify`](Self::notify), but sends no signals.
    pub fn wake(&self, now: Readiness) {
        self.tell_all(now, false);
    }

    /// Sends the signals of those who want some, and wakes nobody.
    pub fn signal(&self, now: Readiness) {
        if !self.are_there() {
            return;
        }
        let watches = self.watches.lock();
        let due = watches.by_number.values();
        let due = due.filter(|watch| watch.wanted.intersects(now) && watch.watcher.sends_signals());
        // Who came last is told first.
        let senders: Vec<_> = due.rev().map(|watch| watch.watcher.clone()).collect();
        drop(watches);
        for sender in senders {
            sender.signal(now);
        }
    }

    /// The same one after the other. Who comes meanwhile is told, too.
    fn notify_many(&self, now: Readiness, with_signals: bool) {
        let mut chosen: Option<Arc<dyn Watcher>> = None;
        self.for_each_due(now, |watcher| {
            let is_exclusive = watcher.is_exclusive();
            let is_waiting = is_exclusive && watcher.is_waiting();
            if is_waiting || (is_exclusive && chosen.is_none()) {
                chosen = Some(watcher.clone());
            }
            !is_waiting
        });
        self.for_each_due(now, |watcher| {
            if with_signals || !watcher.sends_signals() {
                self.tell(watcher, chosen.as_ref(), now);
            }
            true
        });
    }

    fn tell(&self, watcher: &Arc<dyn Watcher>, chosen: Option<&Arc<dyn Watcher>>, now: Readiness) {
        let is_chosen = chosen.is_some_and(|chosen| Arc::ptr_eq(chosen, watcher));
        if (is_chosen || !watcher.is_exclusive()) && !watcher.notify(now) {
            self.remove(watcher);
        }
    }

    /// Visits those that are to be told, with nothing locked, until `visit` says no.
    fn for_each_due(&self, now: Readiness, mut visit: impl FnMut(&Arc<dyn Watcher>) -> bool) {
        let mut next = 0;
        loop {
            let watches = self.watches.lock();
            let mut rest = watches.by_number.range(next..);
            let Some((&number, watch)) = rest.find(|(_, watch)| watch.wanted.intersects(now))
            else {
                return;
            };
            let watcher = watch.watcher.clone();
            drop(watches);
            next = number + 1;
            if !visit(&watcher) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Count {
        told: AtomicU32,
        is_tired: bool,
    }

    impl Watcher for Count {
        fn notify(&self, _now: Readiness) -> bool {
            self.told.fetch_add(1, Ordering::Relaxed);
            !self.is_tired
        }
    }

    fn told(count: &Count) -> u32 {
        count.told.load(Ordering::Relaxed)
    }

    #[test]
    fn a_watcher_is_told_of_what_it_wants_and_of_errors() {
        let (watchers, count) = (Watchers::new(), Arc::new(Count::default()));
        let watcher: Arc<dyn Watcher> = count.clone();
        watchers.add(&watcher, Readiness::READABLE);

        watchers.notify(Readiness::WRITABLE);
        assert_eq!(told(&count), 0);
        watchers.notify(Readiness::READABLE | Readiness::WRITABLE);
        watchers.notify(Readiness::ERROR);
        assert_eq!(told(&count), 2);

        watchers.remove(&watcher);
        watchers.notify(Readiness::READABLE);
        assert_eq!(told(&count), 2);
    }

    struct Exclusive {
        count: Count,
        waits: bool,
    }

    impl Watcher for Exclusive {
        fn notify(&self, now: Readiness) -> bool {
            self.count.notify(now)
        }

        fn is_exclusive(&self) -> bool {
            true
        }

        fn is_waiting(&self) -> bool {
            self.waits
        }
    }

    /// Three, of which the last two wait.
    fn add_exclusive(watchers: &Watchers) -> [Arc<Exclusive>; 3] {
        [false, true, true].map(|waits| {
            let count = Count::default();
            let exclusive = Arc::new(Exclusive { count, waits });
            let watcher: Arc<dyn Watcher> = exclusive.clone();
            watchers.add(&watcher, Readiness::READABLE);
            exclusive
        })
    }

    #[test]
    fn of_exclusive_watchers_one_that_waits_is_told_and_of_others_each() {
        let watchers = Watchers::new();
        let exclusive = add_exclusive(&watchers);
        let other = Arc::new(Count::default());
        let watcher: Arc<dyn Watcher> = other.clone();
        watchers.add(&watcher, Readiness::READABLE);

        watchers.notify(Readiness::READABLE);

        assert_eq!(exclusive.each_ref().map(|one| told(&one.count)), [0, 1, 0]);
        assert_eq!(told(&other), 1);
    }

    #[test]
    fn many_watchers_are_told_as_few_are() {
        let watchers = Watchers::new();
        let all: Vec<_> = (0..=MANY).map(|_| Arc::new(Count::default())).collect();
        for count in &all {
            let watcher: Arc<dyn Watcher> = count.clone();
            watchers.add(&watcher, Readiness::READABLE);
        }
        let exclusive = add_exclusive(&watchers);

        watchers.notify(Readiness::READABLE);

        assert!(all.iter().all(|count| told(count) == 1));
        assert_eq!(exclusive.each_ref().map(|one| told(&one.count)), [0, 1, 0]);
    }

    #[test]
    fn a_watcher_that_says_so_is_forgotten() {
        let watchers = Watchers::new();
        let tired = Arc::new(Count {
            is_tired: true,
            ..Count::default()
        });
        let awake = Arc::new(Count::default());
        for count in [&tired, &awake] {
            let watcher: Arc<dyn Watcher> = count.clone();
            watchers.add(&watcher, Readiness::READABLE);
        }

        watchers.notify(Readiness::READABLE);
        watchers.notify(Readiness::READABLE);

        assert_eq!((told(&tired), told(&awake)), (1, 2));
        assert_eq!(Arc::strong_count(&tired), 1);
    }
}
