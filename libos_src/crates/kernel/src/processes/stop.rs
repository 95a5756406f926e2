//! Job control: processes that stop and go on.

use core::sync::atomic::{AtomicBool, Ordering};

use super::{Change, FIRST_PID, Process};
use crate::Libos;
use crate::libos::Task;
use crate::signals::{Signal, SignalInfo};

/// Whether a process has stopped. All its threads wait then before they go on with their program.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    /// Whether it has.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Libos {
    /// Does what a signal does that stops, without a handler.
    ///
    /// The first process stands for the enclave: with it the host's process stops, and goes on when
    /// somebody there continues it. Others stop unless nobody could continue them: those in a group
    /// whose parents are all in it or in another session (`SIGSTOP` stops even them).
    pub(crate) fn stop_process(&self, process: &Process, signal: Signal) {
        if process.pid == FIRST_PID {
            return self.machine.stop();
        }
        if signal != Signal::STOP && self.processes.is_orphaned(process.pid) {
            return;
        }
        if process.stop.0.swap(true, Ordering::SeqCst) {
            return;
        }
        for thread in process.threads() {
            self.interrupt(&thread);
        }
        self.tell_parent(process, Change::Stopped(signal));
    }

    /// `SIGCONT` was sent: a process that has stopped goes on, whatever it then does with the
    /// signal.
    pub(crate) fn continue_process(&self, process: &Process) {
        if !process.stop.0.swap(false, Ordering::SeqCst) {
            return;
        }
        for thread in process.threads() {
            self.interrupt(&thread);
        }
        self.tell_parent(process, Change::Continued);
    }

    /// Waits, on behalf of one of its threads, for as long as a process has stopped.
    pub(crate) fn wait_while_stopped(&self, task: &Task) {
        let (process, thread) = (&task.process, &task.thread);
        if !process.stop.is_set() {
            return;
        }
        self.without_memory(process, thread, || {
            while process.stop.is_set() && !process.is_killed(thread) {
                self.machine.park(None);
            }
        });
    }

    fn tell_parent(&self, process: &Process, change: Change) {
        let Some(parent) = self.processes.note_change(process.pid, change) else {
            return;
        };
        let is_told = {
            let signals = parent.signals.lock();
            !signals.ignores_stops_of_children() && !signals.ignores_children()
        };
        if is_told {
            let user = process.standing().user.real;
            let info = SignalInfo::from_child(Signal::CHLD, process.pid, user, change);
            // A standard signal is pending once, so there is always room.
            let _ = self.send_to_process(&parent, Signal::CHLD, info);
        }
        self.wake_waiting(&parent);
    }
}
