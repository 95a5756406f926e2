//! Signals that are due where nobody can send them.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use locks::Mutex;

use super::{Signal, SignalInfo};
use crate::Libos;
use crate::processes::{Ids, Process, Target};

/// More real-time signals for one recipient are dropped.
const QUEUE_MAX: usize = 1024;

/// Signals that files raise: what is typed on a terminal, input for who asked for `SIGIO`. Files know
/// no processes, so the kernel sends them, before the thread that caused them waits or goes on with
/// its program.
#[derive(Default)]
pub(crate) struct Outbox {
    has_letters: AtomicBool,
    letters: Mutex<Vec<Letter>>,
}

struct Letter {
    /// The user who wants it sent; `None` for the kernel.
    from: Option<Ids>,
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
        self.put(Letter {
            from: None,
            to,
            info: SignalInfo::from_kernel(signal),
            signal,
        });
    }

    /// Puts a signal in that a user asked for. Those to whom they may not send it do not get it.
    pub(crate) fn post_for(&self, asker: Ids, to: Recipient, signal: Signal, info: SignalInfo) {
        self.put(Letter {
            from: Some(asker),
            to,
            info,
            signal,
        });
    }

    /// One that is in already, and could be pending only once, is not put in again; of others there
    /// are no more than a queue takes.
    fn put(&self, letter: Letter) {
        let mut letters = self.letters.lock();
        let is_real_time = letter.signal.is_real_time();
        let limit = if is_real_time { QUEUE_MAX } else { 1 };
        let is_like = |other: &&Letter| {
            (other.to, other.signal, other.from) == (letter.to, letter.signal, letter.from)
        };
        if letters.iter().filter(is_like).count() >= limit {
            return;
        }
        letters.push(letter);
        drop(letters);
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
        for letter in self.outbox.take() {
            let Letter {
                to, info, signal, ..
            } = letter;
            let target = match to {
                Recipient::Group(group) => Target::Group(group),
                Recipient::Process(pid) => Target::Process(pid),
                Recipient::Thread(tid) => {
                    if let Some(process) = self.processes.of_thread(tid)
                        && let Some(thread) = process.thread(tid)
                        && letter.is_allowed(&process)
                    {
                        let _ = self.send_to_thread(&process, &thread, signal, info);
                    }
                    continue;
                }
            };
            // Whoever it was for may be gone, or have a full queue.
            for process in self.processes.targets(0, target).unwrap_or_default() {
                if letter.is_allowed(&process) {
                    let _ = self.send_to_process(&process, signal, info);
                }
            }
        }
    }
}

impl Letter {
    fn is_allowed(&self, process: &Process) -> bool {
        let may_notify = |asker: Ids| asker.may_notify(process.standing().user);
        self.from.is_none_or(may_notify)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_held_down_is_one_letter() {
        let outbox = Outbox::default();
        let real_time = Signal::new(40).expect("it exists");
        for _ in 0..3 * QUEUE_MAX {
            outbox.post(Recipient::Group(7), Signal::INT);
            outbox.post(Recipient::Group(8), Signal::INT);
            outbox.post(Recipient::Group(7), Signal::QUIT);
            outbox.post(Recipient::Group(7), real_time);
        }
        assert_eq!(outbox.take().len(), 3 + QUEUE_MAX);
    }
}
