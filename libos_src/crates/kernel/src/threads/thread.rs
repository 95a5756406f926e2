//! One thread of a program.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use hal::{CALLS_PER_LOOK, UserRegs};
use locks::Mutex;

use super::{Context, Deadline, ProcessorTime, Scheduling, TimerSlack};
use crate::memory::PageFault;
use crate::processes::{Moved, Places, Principal};
use crate::signals::{SignalSet, ThreadSignals};

/// A thread of a program.
pub(crate) struct Thread {
    /// Where to write 0 and wake one waiter when it ends, or 0 (`CLONE_CHILD_CLEARTID`).
    pub(crate) clear_tid: AtomicU64,
    /// The head of its list of robust futexes, or 0.
    pub(crate) robust_list: AtomicU64,
    /// Its name, padded with zeros.
    pub(crate) name: Mutex<[u8; 16]>,
    /// What it has used of processors.
    pub(crate) processor_time: Mutex<ProcessorTime>,
    /// What it has read and written.
    pub(crate) moved: Moved,
    /// By how much its waits may be late; nothing here makes use of it.
    pub(crate) timer_slack: Mutex<TimerSlack>,
    /// The processors that it chose, a bit for each; empty for all. The host schedules as it likes;
    /// this is kept for who asks.
    pub(crate) affinity: Mutex<Vec<u8>>,
    /// Its signals.
    pub(crate) signals: Mutex<ThreadSignals>,
    /// Its personality (personality(2)), which what it makes inherits.
    pub(crate) personality: AtomicU32,
    /// How it wants to be scheduled.
    pub(crate) scheduling: Mutex<Scheduling>,
    tid: AtomicU32,
    /// How it goes on, while it has no enclave thread.
    context: Mutex<Option<Box<Context>>>,
    /// The enclave thread that it has, or had last.
    number: AtomicU32,
    /// [`RUNNING`], [`NOTIFIED`] or [`SUSPENDED`].
    state: AtomicU32,
    /// Whether it holds the memory of its process, see [`Gang`](crate::memory::Gang).
    holds_memory: AtomicBool,
    /// How many system calls it has made, for those that are looked at.
    calls: AtomicU32,
    /// Whether its signals or its mask have changed since they were last looked at.
    needs_look: AtomicBool,
    /// When the wait ends whose call it makes again.
    deadline: Mutex<Option<Deadline>>,
    /// Its latest fault at a page that is there, and how often in a row it met that one.
    stuck: Mutex<(u64, u32)>,
    torn: Mutex<Torn>,
    /// Whether it waits for something, the memory of its process aside.
    is_asleep: Arc<AtomicBool>,
    /// Whether it has an identity of its own, so that others need no lock to see that.
    has_principal: AtomicBool,
    own: Mutex<Own>,
}

/// What a thread has apart from the other threads of its process.
#[derive(Default)]
struct Own {
    principal: Option<Box<Principal>>,
    places: Option<Places>,
}

/// How often in a row a thread may meet a fault at the same address of a page that is there. Other
/// threads cause a few; a host that keeps the page away, or makes faults up, causes any number.
const PATIENCE: u32 = 1000;

/// An instruction that brings a page to one of its addresses.
#[derive(Default)]
struct Torn {
    /// Where it is, and all that it counts and points with.
    regs: UserRegs,
    address: u64,
    /// How often in a row it brought the page to the other of two addresses.
    times: u32,
}

/// As often an instruction may do so before it is said to need both at once. With the same registers at
/// the same place it has not got on.
const TORN_PATIENCE: u32 = 64;

/// What becomes of an instruction that met a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterFault {
    /// It runs again.
    TryAgain,
    /// The program gets a signal: it may not do that.
    Signal,
    /// The process ends, and nothing of it is asked before: it may do that, and the host does not let
    /// it. A handler would run where the host likes.
    GiveUp,
}

/// The thread has not begun to run.
const NO_NUMBER: u32 = u32::MAX;

/// It has an enclave thread.
const RUNNING: u32 = 0;
/// It has one, and something happened that it may wait for.
const NOTIFIED: u32 = 1;
/// It has none, and is not ready for one.
const SUSPENDED: u32 = 2;

impl Thread {
    /// A thread that begins with `start` and blocks the signals of `mask`.
    pub(crate) fn new(tid: u32, name: [u8; 16], mask: SignalSet, start: UserRegs) -> Self {
        let signals = ThreadSignals::blocking(mask);
        Self {
            tid: AtomicU32::new(tid),
            clear_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            name: Mutex::new(name),
            processor_time: Mutex::default(),
            moved: Moved::default(),
            timer_slack: Mutex::default(),
            affinity: Mutex::default(),
            signals: Mutex::new(signals),
            context: Mutex::new(Some(Box::new(Context::beginning(start)))),
            number: AtomicU32::new(NO_NUMBER),
            state: AtomicU32::new(RUNNING),
            holds_memory: AtomicBool::new(false),
            calls: AtomicU32::new(0),
            needs_look: AtomicBool::new(true),
            deadline: Mutex::default(),
            stuck: Mutex::new((0, 0)),
            torn: Mutex::default(),
            is_asleep: Arc::default(),
            personality: AtomicU32::new(0),
            scheduling: Mutex::default(),
            has_principal: AtomicBool::new(false),
            own: Mutex::default(),
        }
    }

    /// It makes a call again, in which it waits until then; or does not, because a handler runs.
    pub(crate) fn keep_deadline(&self, deadline: Option<Deadline>) {
        *self.deadline.lock() = deadline;
    }

    /// When the wait ends that it begins again.
    pub(crate) fn take_deadline(&self) -> Option<Deadline> {
        self.deadline.lock().take()
    }

    /// Who it is, if it is not who its process is.
    pub(crate) fn principal(&self) -> Option<Box<Principal>> {
        if !self.has_principal.load(Ordering::Acquire) {
            return None;
        }
        self.own.lock().principal.clone()
    }

    /// It is somebody of its own from now on, or whoever its process is.
    pub(crate) fn set_principal(&self, principal: Option<Box<Principal>>) {
        let mut own = self.own.lock();
        self.has_principal
            .store(principal.is_some(), Ordering::Release);
        own.principal = principal;
    }

    /// What it has open, if that is not what its process has.
    pub(crate) fn own_places(&self) -> Option<Places> {
        self.own.lock().places.clone()
    }

    /// It has other places than its process from now on.
    pub(crate) fn set_own_places(&self, places: Places) {
        self.own.lock().places = Some(places);
    }

    /// It ends, or is the only thread left.
    pub(crate) fn take_own_places(&self) -> Option<Places> {
        self.own.lock().places.take()
    }

    /// Its thread id.
    pub(crate) fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// Whether it holds the memory of its process. Whoever else asks knows what was.
    pub(crate) fn holds_memory(&self) -> bool {
        self.holds_memory.load(Ordering::SeqCst)
    }

    /// It holds the memory of its process, or does so no more; returns what was. A barrier, on which
    /// `membarrier` depends.
    pub(crate) fn set_holds_memory(&self, holds: bool) -> bool {
        self.holds_memory.swap(holds, Ordering::SeqCst)
    }

    /// It makes a system call; whether that is one to be looked at. Only the thread itself asks.
    pub(crate) fn counts_call(&self) -> bool {
        let calls = self.calls.load(Ordering::Relaxed).wrapping_add(1);
        self.calls.store(calls, Ordering::Relaxed);
        calls.is_multiple_of(CALLS_PER_LOOK)
    }

    /// It begins to wait, or goes on.
    pub(crate) fn set_asleep(&self, is_asleep: bool) {
        self.is_asleep.store(is_asleep, Ordering::Relaxed);
    }

    /// Shared with what wakes it.
    pub(crate) fn sleep_mark(&self) -> Arc<AtomicBool> {
        self.is_asleep.clone()
    }

    /// Whether it waits.
    pub(crate) fn is_asleep(&self) -> bool {
        self.is_asleep.load(Ordering::Relaxed) || self.state.load(Ordering::Relaxed) == SUSPENDED
    }

    /// It takes over the id of its process.
    pub(crate) fn set_tid(&self, tid: u32) {
        self.tid.store(tid, Ordering::Relaxed);
    }

    /// The number of its enclave thread. Before it runs, one that no thread has.
    pub(crate) fn number(&self) -> u32 {
        self.number.load(Ordering::Acquire)
    }

    /// Something about its signals has changed: they are looked at before its program goes on.
    ///
    /// To be called after the change, so that most system calls need no lock to see that there is
    /// nothing to deliver.
    pub(crate) fn look_at_signals(&self) {
        self.needs_look.store(true, Ordering::Release);
    }

    /// Whether there was a change since this was last asked. If so, this is a barrier, on which
    /// `membarrier` depends.
    pub(crate) fn must_look_at_signals(&self) -> bool {
        self.needs_look.load(Ordering::Relaxed) && self.needs_look.swap(false, Ordering::SeqCst)
    }

    /// Whether it may run its program without having looked at its signals since it was told to.
    pub(crate) fn is_yet_to_look(&self) -> bool {
        self.holds_memory() && self.needs_look.load(Ordering::SeqCst)
    }

    /// Whether an instruction, which has just had a shared page brought to `address`, needs it there and at
    /// another address at once, so that it never gets on. `is_same` says whether two show the same page.
    pub(crate) fn is_torn(
        &self,
        regs: &UserRegs,
        address: u64,
        is_same: impl FnOnce(u64, u64) -> bool,
    ) -> bool {
        let mut torn = self.torn.lock();
        let alternates = torn.regs == *regs && torn.address != address;
        let times = if alternates { torn.times + 1 } else { 0 };
        let before = torn.address;
        *torn = Torn {
            regs: *regs,
            address,
            times,
        };
        times > TORN_PATIENCE && is_same(before, address)
    }

    /// What becomes of the instruction that met a page fault.
    pub(crate) fn after_fault(&self, fault: PageFault, address: u64) -> AfterFault {
        let mut stuck = self.stuck.lock();
        let (before, times) = *stuck;
        *stuck = match fault {
            PageFault::Present if before == address => (address, times + 1),
            PageFault::Present => (address, 1),
            PageFault::Watched => *stuck,
            PageFault::Moved | PageFault::Served | PageFault::Refused | PageFault::Absent => (0, 0),
        };
        match fault {
            PageFault::Refused | PageFault::Absent => AfterFault::Signal,
            _ if stuck.1 <= PATIENCE => AfterFault::TryAgain,
            _ => AfterFault::GiveUp,
        }
    }

    /// It runs now, on this enclave thread; returns how it goes on.
    pub(crate) fn begin(&self, number: u32) -> Option<Box<Context>> {
        self.number.store(number, Ordering::Release);
        self.context.lock().take()
    }

    /// It is about to look for something that [`Libos::wake`](crate::Libos) tells of: only what
    /// happens from now on counts.
    pub(crate) fn before_looking(&self) {
        self.state.store(RUNNING, Ordering::SeqCst);
    }

    /// It gives its enclave thread up and goes on with `context`, unless it was woken since it
    /// last looked: then it gets the context back.
    pub(crate) fn suspend(&self, context: Box<Context>) -> Result<(), Box<Context>> {
        *self.context.lock() = Some(context);
        let (ordering, state) = (Ordering::SeqCst, &self.state);
        if (state.compare_exchange(RUNNING, SUSPENDED, ordering, ordering)).is_ok() {
            return Ok(());
        }
        state.store(RUNNING, ordering);
        self.context.lock().take().map_or(Ok(()), Err)
    }

    /// Notes that something happened; whether it had no enclave thread and must be given one.
    pub(crate) fn notify(&self) -> bool {
        let (ordering, state) = (Ordering::SeqCst, &self.state);
        loop {
            match state.load(ordering) {
                SUSPENDED => {
                    if (state.compare_exchange(SUSPENDED, RUNNING, ordering, ordering)).is_ok() {
                        return true;
                    }
                }
                seen => {
                    if (state.compare_exchange(seen, NOTIFIED, ordering, ordering)).is_ok() {
                        return false;
                    }
                }
            }
        }
    }
}
