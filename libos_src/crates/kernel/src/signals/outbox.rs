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
    /// Whether there are some, or some are being sent.
    has_letters: AtomicBool,
    letters: Mutex<Vec<Letter>>,
    /// Held by who sends: others, whose own may be among what was taken, wait until that is sent.
    sending: Mutex<()>,
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
        self.has_letters.store(true, Ordering::Release);
    }

    /// Sends what there is. What was put in before has been sent then, whoever does that.
    fn empty(&self, send: impl Fn(Letter)) {
        if !self.has_letters.load(Ordering::Acquire) {
            return;
        }
        let _sending = self.sending.lock();
        loop {
            let mut letters = self.letters.lock();
            if letters.is_empty() {
                self.has_letters.store(false, Ordering::Release);
                return;
            }
            let taken = core::mem::take(&mut *letters);
            drop(letters);
            taken.into_iter().for_each(&send);
        }
    }
}

impl Libos {
    /// Sends what files have raised.
    pub(crate) fn send_raised_signals(&self) {
        self.outbox.empty(|letter| self.send_raised(letter));
    }

    fn send_raised(&self, letter: Letter) {
        let target = match letter.to {
            Recipient::Group(group) => Target::Group(group),
            Recipient::Process(pid) => Target::Process(pid),
            Recipient::Thread(tid) => {
                if let Some(process) = self.processes.of_thread(tid)
                    && let Some(thread) = process.thread(tid)
                    && letter.is_allowed(&process)
                {
                    let _ = self.send_to_thread(&process, &thread, letter.signal, letter.info);
                }
                return;
            }
        };
        // Whoever it was for may be gone, or have a full queue.
        for process in self.processes.targets(0, target).unwrap_or_default() {
            if letter.is_allowed(&process) {
                let _ = self.send_to_process(&process, letter.signal, letter.info);
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
    use core::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

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
        let sent = AtomicUsize::new(0);
        outbox.empty(|_| {
            sent.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(sent.into_inner(), 3 + QUEUE_MAX);
    }

    #[test]
    fn who_puts_a_letter_in_goes_on_when_it_is_sent_whoever_sends_it() {
        let outbox = Outbox::default();
        let is_sent = AtomicBool::new(false);
        let (taken, is_taken) = mpsc::channel();
        outbox.post(Recipient::Process(7), Signal::INT);
        thread::scope(|scope| {
            scope.spawn(|| {
                outbox.empty(|_| {
                    taken.send(()).expect("it waits for that");
                    thread::sleep(Duration::from_millis(100));
                    is_sent.store(true, Ordering::SeqCst);
                });
            });
            is_taken.recv().expect("it is sent");

            outbox.empty(|_| unreachable!("another has taken it"));

            assert!(is_sent.load(Ordering::SeqCst));
        });
    }
}
