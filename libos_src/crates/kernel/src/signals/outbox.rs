//! Signals that are due where nobody can send them.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use locks::Mutex;

use super::{Signal, SignalInfo};
use crate::Libos;
use crate::processes::Target;

/// Signals that files raise: what is typed on a terminal, input for who asked for `SIGIO`. Files know
/// no processes, so the kernel sends them, before the thread that caused them waits or goes on with
/// its program.
#[derive(Default)]
pub(crate) struct Outbox {
    has_letters: AtomicBool,
    letters: Mutex<Vec<Letter>>,
}

struct Letter {
    to: Recipient,
    info: SignalInfo,
    signal: Signal,
}

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipient {
    /// All of a process group.
    Group(u32),
    /// One process.
    Process(u32),
    /// One thread.
    Thread(u32),
}

impl Outbox {
    /// Puts a signal in that the kernel raised.
    pub(crate) fn post(&self, to: Recipient, signal: Signal) {
        self.post_with(to, signal, SignalInfo::from_kernel(signal));
    }

    /// Puts a signal in.
    pub(crate) fn post_with(&self, to: Recipient, signal: Signal, info: SignalInfo) {
        self.letters.lock().push(Letter { to, info, signal });
        self.has_letters.store(true, Ordering::Release);
    }

    fn take(&self) -> Vec<Letter> {
        let is_empty = !self.has_letters.load(Ordering::Relaxed)
            || !self.has_letters.swap(false, Ordering::AcqRel);
        if is_empty {
            return Vec::new();
        }
        core::mem::take(&mut *self.letters.lock())
    }
}

impl Libos {
    /// Sends what files have raised.
    pub(crate) fn send_raised_signals(&self) {
        for Letter { to, info, signal } in self.outbox.take() {
            let target = match to {
                Recipient::Group(group) => Target::Group(group),
                Recipient::Process(pid) => Target::Process(pid),
                Recipient::Thread(tid) => {
                    if let Some(process) = self.processes.of_thread(tid)
                        && let Some(thread) = process.thread(tid)
                    {
                        let _ = self.send_to_thread(&process, &thread, signal, info);
                    }
                    continue;
                }
            };
            // Whoever it was for may be gone, or have a full queue.
            for process in self.processes.targets(0, target).unwrap_or_default() {
                let _ = self.send_to_process(&process, signal, info);
            }
        }
    }
}
