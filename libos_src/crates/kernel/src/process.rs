//! A process.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::Errno;
use locks::{Mutex, RwLock};
use vfs::{Location, Viewpoint};

use crate::files::Descriptors;
use crate::memory::AddressSpace;
use crate::signals::{ProcessSignals, SignalSet};
use crate::threads::Thread;

/// A process: memory, files, signals and threads.
pub(crate) struct Process {
    /// Its id.
    pub(crate) pid: u32,
    /// Its memory.
    pub(crate) memory: AddressSpace,
    /// Its descriptors.
    pub(crate) descriptors: RwLock<Descriptors>,
    /// Where it stands in the file systems.
    pub(crate) viewpoint: RwLock<Viewpoint>,
    /// Its signals.
    pub(crate) signals: Mutex<ProcessSignals>,
    /// What it runs (`/proc/self/exe`).
    pub(crate) executable: Location,
    /// Its arguments as it was started.
    pub(crate) arguments: Vec<Vec<u8>>,
    /// Its environment as it was started.
    pub(crate) environment: Vec<Vec<u8>>,
    threads: Mutex<Threads>,
}

struct Threads {
    live: BTreeMap<u32, Arc<Thread>>,
    next_tid: u32,
    /// What the first thread said when it ended: the status of a process whose threads all end.
    leader_status: i32,
}

/// The highest thread id, as Linux's default `pid_max`.
const TID_MAX: u32 = 32768;

/// How a process begins.
pub(crate) struct NewProcess {
    pub(crate) pid: u32,
    pub(crate) memory: AddressSpace,
    pub(crate) descriptors: Descriptors,
    pub(crate) viewpoint: Viewpoint,
    pub(crate) executable: Location,
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) environment: Vec<Vec<u8>>,
}

impl Process {
    /// A process without a thread.
    pub(crate) fn new(new: NewProcess) -> Self {
        let threads = Threads {
            live: BTreeMap::new(),
            next_tid: new.pid,
            leader_status: 0,
        };
        Self {
            pid: new.pid,
            memory: new.memory,
            descriptors: RwLock::new(new.descriptors),
            viewpoint: RwLock::new(new.viewpoint),
            signals: Mutex::default(),
            executable: new.executable,
            arguments: new.arguments,
            environment: new.environment,
            threads: Mutex::new(threads),
        }
    }

    /// Adds the thread that `make` builds for a free thread id; the first one gets the process id.
    ///
    /// # Errors
    /// `EAGAIN` when there are `limit` threads.
    pub(crate) fn add_thread(
        &self,
        limit: u32,
        make: impl FnOnce(u32) -> Thread,
    ) -> Result<Arc<Thread>, Errno> {
        let mut threads = self.threads.lock();
        if threads.live.len() >= limit as usize {
            return Err(Errno::EAGAIN);
        }
        while threads.live.contains_key(&threads.next_tid) {
            threads.next_tid = threads.next_tid % TID_MAX + 1;
        }
        let tid = threads.next_tid;
        threads.next_tid = tid % TID_MAX + 1;
        let thread = Arc::new(make(tid));
        threads.live.insert(tid, thread.clone());
        Ok(thread)
    }

    /// A thread ends with `status`. The status of the process, if it was the last one.
    pub(crate) fn remove_thread(&self, tid: u32, status: i32) -> Option<i32> {
        let mut threads = self.threads.lock();
        if tid == self.pid {
            threads.leader_status = status;
        }
        threads.live.remove(&tid);
        threads.live.is_empty().then_some(threads.leader_status)
    }

    /// The live thread with this id.
    pub(crate) fn thread(&self, tid: u32) -> Option<Arc<Thread>> {
        self.threads.lock().live.get(&tid).cloned()
    }

    /// All live threads.
    pub(crate) fn threads(&self) -> Vec<Arc<Thread>> {
        self.threads.lock().live.values().cloned().collect()
    }

    /// Whether a signal is pending that `thread` does not block.
    pub(crate) fn has_signal_for(&self, thread: &Thread) -> bool {
        let signals = thread.signals.lock();
        let (own, mask) = (signals.pending.present(), signals.mask);
        drop(signals);
        let pending = own.union(self.signals.lock().pending.present());
        pending.difference(mask) != SignalSet::default()
    }

    /// How many threads live.
    pub(crate) fn thread_count(&self) -> usize {
        self.threads.lock().live.len()
    }
}
