//! The end of threads and processes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use locks::Mutex;
use vfs::Readiness;

use super::files::ticks_of;
use super::{Change, FIRST_PID, Process};
use crate::Libos;
use crate::libos::{Task, Then};
use crate::memory::AddressSpace;
use crate::signals::{Recipient, Signal, SignalInfo};
use crate::threads::{FutexWord, Thread, release_robust_list, usage_of_process};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndStatus {
    /// It said so, with this status, of which 8 bits count.
    Exited(i32),
    /// A signal ended it.
    Killed(Signal),
}

impl EndStatus {
    /// As `wait4` reports it.
    pub(crate) fn wait_status(self) -> u32 {
        match self {
            Self::Exited(status) => (status.cast_unsigned() & 0xff) << 8,
            Self::Killed(signal) => signal.number().into(),
        }
    }

    /// As a shell reports it, and the runner.
    pub(crate) fn shell_status(self) -> i32 {
        match self {
            Self::Exited(status) => status & 0xff,
            Self::Killed(signal) => 128 + i32::from(signal.number()),
        }
    }
}

/// Which threads of a process may go on: all, one (it has called `execve`), or none.
#[derive(Debug, Default)]
pub(crate) struct Survivors {
    /// The thread that goes on; 0 while all do.
    only: AtomicU32,
    status: Mutex<Option<EndStatus>>,
}

/// No thread has this id.
const NOBODY: u32 = u32::MAX;

impl Survivors {
    /// Whether the thread `tid` must end.
    pub(crate) fn is_over_for(&self, tid: u32) -> bool {
        let only = self.only.load(Ordering::Acquire);
        only != 0 && only != tid
    }

    /// Whether all threads must end, and why.
    pub(crate) fn status(&self) -> Option<EndStatus> {
        *self.status.lock()
    }

    /// Lets no thread go on; the first reason counts.
    fn end_all(&self, status: EndStatus) -> EndStatus {
        let mut first = self.status.lock();
        self.only.store(NOBODY, Ordering::Release);
        *first.get_or_insert(status)
    }

    /// Lets no thread go on but one; whether there was nobody else with the same wish.
    pub(crate) fn end_others(&self, tid: u32) -> bool {
        let _status = self.status.lock();
        self.only
            .compare_exchange(0, tid, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The others are gone: the one that is left may make threads again.
    pub(crate) fn go_on(&self, tid: u32) {
        let _status = self.status.lock();
        // Unless the process was killed meanwhile.
        let _ = self
            .only
            .compare_exchange(tid, 0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The thread that waits for the end of all others, if one does.
    fn waiting(&self) -> Option<u32> {
        let only = self.only.load(Ordering::Acquire);
        (only != 0 && only != NOBODY).then_some(only)
    }
}

impl Libos {
    /// Ends a process: all its threads end when they next look.
    pub(crate) fn kill_process(&self, process: &Process, status: EndStatus) {
        process.survivors.end_all(status);
        for thread in process.threads() {
            self.interrupt(&thread);
        }
    }

    /// Ends the process of the calling thread, and this thread with it.
    pub(crate) fn end_process(&self, task: &Task, status: EndStatus) -> Then {
        let status = task.process.survivors.end_all(status);
        if task.process.pid == FIRST_PID {
            // The others end with the enclave.
            return Then::EndEnclave(status.shell_status());
        }
        self.kill_process(&task.process, status);
        self.end_thread(task, status)
    }

    /// Ends the calling thread, and its process if it is the last one.
    pub(crate) fn end_thread(&self, task: &Task, status: EndStatus) -> Then {
        let Task {
            process,
            thread,
            memory,
            ..
        } = task;
        let tid = thread.tid();
        self.release_locks(thread, memory);
        let status = process.survivors.status().unwrap_or(status);
        if let Some(own) = thread.take_own_places() {
            own.leave_files();
            self.sockets.collect_after_close();
        }
        let now = self.machine.processor_time(thread.number());
        *process.ended_threads_usage.lock() += thread.processor_time.lock().usage_at(now);
        self.note_leaving(thread.number(), now);
        let last = process.remove_thread(tid, status);
        self.processes.remove_thread(tid);
        // Before anybody learns of the end, so that there is room for another thread then.
        self.scheduler.dismiss();
        if last.is_none() || memory.is_shared() {
            self.clear_tid(thread, memory);
        }
        if tid == process.pid && last.is_none() {
            let left = process.signals.lock().pending.present();
            self.hand_on(process, left);
        }
        if let Some(waiting) = process.survivors.waiting()
            && let Some(thread) = process.thread(waiting)
        {
            self.wake(&thread);
        }
        let Some(status) = last else {
            return Then::EndThread;
        };
        if let Some(own) = thread.principal() {
            // Nobody else is left who is whoever the process is; its parent asks whose it was.
            *process.standing.lock() = own.standing;
        }
        if process.pid == FIRST_PID {
            return Then::EndEnclave(status.shell_status());
        }
        self.finish_process(process, status);
        Then::EndThread
    }

    /// A thread leaves a memory: the locks that it holds there are nobody's.
    pub(crate) fn release_locks(&self, thread: &Thread, memory: &AddressSpace) {
        let tid = thread.tid();
        let robust_list = thread.robust_list.load(Ordering::Relaxed);
        if robust_list != 0 {
            release_robust_list(memory, &self.futexes, self.machine, robust_list, tid);
        }
        self.owned_futexes.release_all(memory, self.machine, tid);
    }

    /// A thread leaves a memory where others stay, who are told by a word that it named.
    pub(crate) fn clear_tid(&self, thread: &Thread, memory: &AddressSpace) {
        let word = thread.clear_tid.load(Ordering::Relaxed);
        if word != 0 && memory.store_u32(word, 0).is_ok() {
            let key = memory.futex_key(FutexWord::of_all(word));
            self.futexes.wake(self.machine, key, 1, u32::MAX);
        }
    }

    /// Gives back what a process had, and tells its parent.
    fn finish_process(&self, process: &Arc<Process>, status: EndStatus) {
        self.scheduler.begin_leaving(self.machine);
        process.interval_timers.stop(self);
        process.processor_limit.stop(self);
        process.timers.clear(self);
        process.places().leave_files();
        process.leave_program();
        self.end_session_of(process.pid);
        self.sockets.collect_after_close();
        self.file_locks.forget_process(process.pid);
        self.system_v.forget_process(self.machine, process.pid);
        let resident_bytes = process.memory().sizes_bytes().1;
        let at_end = &process.resident_at_end;
        at_end.store(resident_bytes, Ordering::Relaxed);
        let memory = process.memory();
        let segments = if memory.is_shared() {
            Vec::new()
        } else {
            memory.segments_in(&(0..u64::MAX))
        };
        self.wake_next(memory.leave());
        (self.system_v).note(self.machine, process.pid, &segments, true);
        if let Some(parent) = process.return_memory() {
            self.wake(&parent);
        }
        // Who finds that it has ended finds what tells of it, too.
        let telling = self.processes.telling.lock();
        let ended = self
            .processes
            .end(process, status, usage_of_process(self.machine, process));
        // Its children have another parent.
        self.machine.forget_answers();
        process.has_ended.store(true, Ordering::Release);
        process.end_watchers.notify(Readiness::READABLE);
        let heir = ended.heir.filter(|_| !ended.inherited.is_empty());
        if let Some(heir) = &heir {
            for (child, status) in &ended.inherited {
                self.tell_end(heir, Signal::CHLD, child, *status);
            }
        }
        if let (Some(parent), Some(signal)) = (&ended.parent, ended.exit_signal) {
            self.tell_end(parent, signal, process, status);
        }
        drop(telling);
        for (orphan, signal) in ended.death_signals {
            let info = SignalInfo::from_kill(signal, process.pid, 0);
            // A queue that is full loses real-time signals, as on Linux.
            let _ = self.send_to_process(&orphan, signal, info);
        }
        for waiting in heir.iter().chain(&ended.parent) {
            self.wake_waiting(waiting);
        }
        for group in ended.orphaned_groups {
            for signal in [Signal::HUP, Signal::CONT] {
                self.outbox.post(Recipient::Group(group), signal);
            }
        }
        self.send_raised_signals();
    }

    /// Tells a process by `signal` how its child has ended.
    fn tell_end(&self, parent: &Process, signal: Signal, child: &Process, status: EndStatus) {
        // Also one that blocks what it ignores has no use for it, as on Linux.
        if signal == Signal::CHLD && parent.signals.lock().ignores_children() {
            return;
        }
        let user = child.standing().user.real;
        let used = usage_of_process(self.machine, child);
        let info = SignalInfo::from_child(signal, child.pid, user, Change::Ended(status))
            .with_times(ticks_of(used.user()), ticks_of(used.system()));
        let _ = self.send_to_process(parent, signal, info);
    }

    /// Lets the threads look that wait for children of `process`.
    pub(crate) fn wake_waiting(&self, process: &Process) {
        let waiting = core::mem::take(&mut *process.waiting_for_children.lock());
        for thread in waiting {
            self.wake(&thread);
        }
    }
}
