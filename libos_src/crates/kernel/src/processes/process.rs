//! A process.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use core::time::Duration;

use locks::{Mutex, RwLock};
use vfs::{Unwritten, Watchers};

use super::{EndStatus, Limits, Moved, Places, Principal, Standing, Stop, Survivors};
use crate::memory::AddressSpace;
use crate::signals::{ProcessSignals, Signal, SignalInfo, SignalSet};
use crate::threads::{Thread, Usage};
use crate::timers::{IntervalTimers, PosixTimers, ProcessorLimit};

/// A process: memory, files, signals and threads.
pub(crate) struct Process {
    /// Its id.
    pub(crate) pid: u32,
    /// Its signals.
    pub(crate) signals: Mutex<ProcessSignals>,
    /// Its three timers of `setitimer`.
    pub(crate) interval_timers: IntervalTimers,
    /// Who watches what it uses of processors.
    pub(crate) processor_limit: ProcessorLimit,
    /// Its timers of `timer_create`.
    pub(crate) timers: PosixTimers,
    /// Whether job control has stopped it.
    pub(crate) stop: Stop,
    /// Processor time of its threads that have ended.
    pub(crate) ended_threads_usage: Mutex<Usage>,
    /// Its limits.
    pub(crate) limits: Mutex<Limits>,
    /// Whose it is, as far as its threads have no identity of their own.
    pub(crate) standing: Mutex<Standing>,
    /// `oom_score_adj`, which children inherit.
    pub(crate) score_adjustment: AtomicI32,
    /// Which of its threads may go on.
    pub(crate) survivors: Survivors,
    /// Its threads that wait for a change of a child.
    pub(crate) waiting_for_children: Mutex<Vec<Arc<Thread>>>,
    /// When it began, on the monotonic clock.
    pub(crate) began: Duration,
    /// The times of the children that it has waited for.
    pub(crate) children_usage: Mutex<Usage>,
    /// The most memory that one of them, or of those that they have waited for, had in the end.
    pub(crate) children_resident: AtomicU64,
    /// The memory that it had in the end.
    pub(crate) resident_at_end: AtomicU64,
    /// Whether all its threads have ended.
    pub(crate) has_ended: AtomicBool,
    /// Who waits for its end by a descriptor.
    pub(crate) end_watchers: Watchers,
    /// Whether others of the same user may look into it (`PR_SET_DUMPABLE`).
    pub(crate) is_dumpable: AtomicBool,
    /// Whether it wants no huge pages (`PR_SET_THP_DISABLE`): kept for who asks, and children inherit it.
    pub(crate) wants_small_pages: AtomicBool,
    /// Its memory; `execve` replaces it.
    memory: RwLock<Arc<AddressSpace>>,
    places: RwLock<Places>,
    program: RwLock<Arc<ProgramRecord>>,
    /// Who waits until this process leaves the memory that it borrowed.
    vfork: Mutex<Option<Arc<Vfork>>>,
    threads: Mutex<Threads>,
}

/// What a process runs, as `/proc` tells it.
pub(crate) struct ProgramRecord {
    /// The file (`/proc/self/exe`), while it runs.
    pub(crate) executable: Option<Unwritten>,
}

/// A parent that lent its memory to a child.
pub(crate) struct Vfork {
    /// The thread that waits.
    pub(crate) parent: Arc<Thread>,
    /// The id of the child.
    pub(crate) child: u32,
    /// Whether the child has left the memory.
    pub(crate) is_over: AtomicBool,
}

struct Threads {
    live: BTreeMap<u32, Arc<Thread>>,
    /// What the first thread said when it ended: the status of a process whose threads all end.
    leader_status: Option<EndStatus>,
    /// The first thread, once it has ended.
    ended_leader: Option<Arc<Thread>>,
    /// What those have read and written that have ended.
    moved: Moved,
}

/// How a process begins.
pub(crate) struct NewProcess {
    pub(crate) pid: u32,
    pub(crate) memory: Arc<AddressSpace>,
    pub(crate) places: Places,
    pub(crate) signals: ProcessSignals,
    pub(crate) limits: Limits,
    pub(crate) standing: Standing,
    pub(crate) program: Arc<ProgramRecord>,
    pub(crate) began: Duration,
}

impl Process {
    /// A process without a thread.
    pub(crate) fn new(new: NewProcess) -> Self {
        Self {
            pid: new.pid,
            signals: Mutex::new(new.signals),
            interval_timers: IntervalTimers::default(),
            processor_limit: ProcessorLimit::default(),
            timers: PosixTimers::default(),
            stop: Stop::default(),
            ended_threads_usage: Mutex::default(),
            limits: Mutex::new(new.limits),
            standing: Mutex::new(new.standing),
            score_adjustment: AtomicI32::new(0),
            survivors: Survivors::default(),
            waiting_for_children: Mutex::default(),
            began: new.began,
            children_usage: Mutex::default(),
            children_resident: AtomicU64::new(0),
            resident_at_end: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            end_watchers: Watchers::new(),
            is_dumpable: AtomicBool::new(true),
            wants_small_pages: AtomicBool::new(false),
            memory: RwLock::new(new.memory),
            places: RwLock::new(new.places),
            program: RwLock::new(new.program),
            vfork: Mutex::default(),
            threads: Mutex::new(Threads {
                live: BTreeMap::new(),
                leader_status: None,
                moved: Moved::default(),
                ended_leader: None,
            }),
        }
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> Arc<AddressSpace> {
        self.memory.read().clone()
    }

    /// What it has open, and where it stands.
    pub(crate) fn places(&self) -> Places {
        self.places.read().clone()
    }

    /// It has other descriptors, or stands elsewhere, from now on.
    pub(crate) fn set_places(&self, places: Places) {
        *self.places.write() = places;
    }

    /// Whose it is, as its first thread has it.
    pub(crate) fn standing(&self) -> Standing {
        let own = self.thread(self.pid).and_then(|first| first.principal());
        own.map_or_else(|| *self.standing.lock(), |own| own.standing)
    }

    /// Who it acts as, as its first thread has it.
    pub(crate) fn principal(&self) -> Principal {
        let own = self.thread(self.pid).and_then(|first| first.principal());
        own.map_or_else(
            || Principal {
                standing: *self.standing.lock(),
                credentials: self.places().view.read().credentials.clone(),
            },
            |own| *own,
        )
    }

    /// Its program.
    pub(crate) fn program(&self) -> Arc<ProgramRecord> {
        self.program.read().clone()
    }

    /// It has ended: its program may be written to.
    pub(crate) fn leave_program(&self) {
        let none = ProgramRecord { executable: None };
        let left = core::mem::replace(&mut *self.program.write(), Arc::new(none));
        drop(left);
    }

    /// It runs another program from now on; returns the memory of the old one.
    pub(crate) fn replace_program(
        &self,
        memory: Arc<AddressSpace>,
        program: ProgramRecord,
    ) -> Arc<AddressSpace> {
        *self.program.write() = Arc::new(program);
        core::mem::replace(&mut *self.memory.write(), memory)
    }

    /// Adds a thread.
    pub(crate) fn add_thread(&self, thread: Arc<Thread>) {
        self.threads.lock().live.insert(thread.tid(), thread);
    }

    /// A thread ends with `status`. The status of the process, if it was the last one.
    pub(crate) fn remove_thread(&self, tid: u32, status: EndStatus) -> Option<EndStatus> {
        let mut threads = self.threads.lock();
        let ended = threads.live.remove(&tid);
        if let Some(ended) = &ended {
            threads.moved.add(&ended.moved);
        }
        if tid == self.pid {
            threads.leader_status = Some(status);
            threads.ended_leader = ended;
        }
        threads
            .live
            .is_empty()
            .then(|| threads.leader_status.unwrap_or(status))
    }

    /// The only thread left becomes the first one: it has called `execve`. Returns its old id.
    pub(crate) fn promote(&self, thread: &Arc<Thread>) -> u32 {
        let mut threads = self.threads.lock();
        let old = thread.tid();
        threads.live.remove(&old);
        thread.set_tid(self.pid);
        threads.live.insert(self.pid, thread.clone());
        threads.leader_status = None;
        threads.ended_leader = None;
        old
    }

    /// What its threads have read and written, those that have ended, too.
    pub(crate) fn moved(&self) -> Moved {
        let threads = self.threads.lock();
        let all = Moved::default();
        all.add(&threads.moved);
        let live = threads.live.values();
        live.for_each(|thread| all.add(&thread.moved));
        all
    }

    /// The live thread with this id.
    pub(crate) fn thread(&self, tid: u32) -> Option<Arc<Thread>> {
        self.threads.lock().live.get(&tid).cloned()
    }

    /// The thread with this id, or the first one after its end: a process that nobody has waited for
    /// still has what belongs to it.
    pub(crate) fn thread_or_leader(&self, tid: u32) -> Option<Arc<Thread>> {
        let threads = self.threads.lock();
        let leader = (threads.ended_leader.as_ref()).filter(|_| tid == self.pid);
        threads.live.get(&tid).or(leader).cloned()
    }

    /// All live threads.
    pub(crate) fn threads(&self) -> Vec<Arc<Thread>> {
        self.threads.lock().live.values().cloned().collect()
    }

    /// Whether `thread` must leave what it waits for: a signal is pending that it does not block, or
    /// the process is over.
    pub(crate) fn has_signal_for(&self, thread: &Thread) -> bool {
        if self.survivors.is_over_for(thread.tid()) {
            return true;
        }
        let signals = thread.signals.lock();
        let (own, mask) = (signals.pending.present(), signals.mask);
        drop(signals);
        own.difference(mask) != SignalSet::default()
            || self.shared_for(thread, mask) != SignalSet::default()
    }

    /// What was sent to the process as a whole and that `thread`, which blocks `mask`, is to take. As on
    /// Linux the first thread takes what it does not block, so that who sends a signal to a process ends
    /// what that waits for. `SIGKILL` anybody takes.
    fn shared_for(&self, thread: &Thread, mask: SignalSet) -> SignalSet {
        let pending = self.signals.lock().pending.present().difference(mask);
        if pending == SignalSet::default() || thread.tid() == self.pid {
            return pending;
        }
        let first = self.thread(self.pid);
        first.map_or(pending, |first| {
            let left = first.signals.lock().mask.with(Signal::KILL);
            pending.intersection(left)
        })
    }

    /// Takes a signal that is to be delivered to `thread` now: first of its own.
    pub(crate) fn take_delivered(&self, thread: &Thread) -> Option<(Signal, SignalInfo)> {
        let mask = thread.signals.lock().mask;
        let own = thread.signals.lock().pending.take(mask);
        let taken = own.or_else(|| {
            let shared = self.shared_for(thread, mask);
            (shared != SignalSet::default())
                .then(|| self.signals.lock().pending.take(shared.complement()))
                .flatten()
        });
        self.note_taken(taken)
    }

    /// Whether it is to end by `SIGKILL`, which waits for no other thread of it.
    pub(crate) fn is_killed(&self, thread: &Thread) -> bool {
        let is_sent = |pending: SignalSet| pending.contains(Signal::KILL);
        self.survivors.is_over_for(thread.tid())
            || is_sent(self.signals.lock().pending.present())
            || is_sent(thread.signals.lock().pending.present())
    }

    /// Takes a pending signal for `thread` that is not in `blocked`, whoever else might: first of its own.
    pub(crate) fn take_signal(
        &self,
        thread: &Thread,
        blocked: SignalSet,
    ) -> Option<(Signal, SignalInfo)> {
        let own = thread.signals.lock().pending.take(blocked);
        let taken = own.or_else(|| self.signals.lock().pending.take(blocked));
        self.note_taken(taken)
    }

    fn note_taken(&self, taken: Option<(Signal, SignalInfo)>) -> Option<(Signal, SignalInfo)> {
        if let Some((id, overruns)) = taken.as_ref().and_then(|(_, info)| info.timer()) {
            self.timers.delivered(id, overruns);
        }
        taken
    }

    /// How many threads live.
    pub(crate) fn thread_count(&self) -> usize {
        self.threads.lock().live.len()
    }

    /// It runs in memory that it borrowed; its parent waits.
    pub(crate) fn borrow_memory(&self, vfork: Arc<Vfork>) {
        *self.vfork.lock() = Some(vfork);
    }

    /// It has left the memory that it borrowed, if it did; returns the parent's thread to be woken.
    pub(crate) fn return_memory(&self) -> Option<Arc<Thread>> {
        let vfork = self.vfork.lock().take()?;
        vfork.is_over.store(true, Ordering::Release);
        Some(vfork.parent.clone())
    }
}
