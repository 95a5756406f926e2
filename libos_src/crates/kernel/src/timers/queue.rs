//! The queue of all timers, and the thread that keeps it.
//!
//! The keeper is an enclave thread of the kernel's own, which sleeps until the next timer is due. It
//! is started for the first timer, and has a TCS that no thread of a program can take. The host may
//! wake it late, which delays, or early, which does nothing.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use hal::{Errno, Machine};
use locks::Mutex;

use crate::Libos;

/// Something that happens at a time.
pub(crate) trait Expire: Send + Sync {
    /// Its time has come, for the entry `key`. If that is no longer its entry, it was set again or
    /// stopped meanwhile, and nothing happens.
    ///
    /// Called on the keeper, which holds no lock; must not wait.
    fn expire(self: Arc<Self>, libos: &Libos, key: Key);
}

/// An entry of the queue: when, on the monotonic clock, and a number that no other has.
pub(crate) type Key = (Duration, u64);

/// An entry whose time has come.
type Due = (Key, Arc<dyn Expire>);

/// All timers that run.
#[derive(Default)]
pub(crate) struct Timers {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    entries: BTreeMap<Key, Arc<dyn Expire>>,
    next_number: u64,
    keeper: Keeper,
}

#[derive(Clone, Copy, Debug, Default)]
enum Keeper {
    #[default]
    Missing,
    Starting,
    Sleeps(u32),
}

impl Timers {
    /// Lets `timer` expire at `deadline`.
    ///
    /// # Errors
    /// `EAGAIN` when the host gives no thread that would keep the queue.
    pub(crate) fn add(
        &self,
        machine: &dyn Machine,
        deadline: Duration,
        timer: Arc<dyn Expire>,
    ) -> Result<Key, Errno> {
        let mut queue = self.queue.lock();
        let key = (deadline, queue.next_number);
        queue.next_number += 1;
        let is_next = queue
            .entries
            .first_key_value()
            .is_none_or(|(next, _)| key < *next);
        queue.entries.insert(key, timer);
        match queue.keeper {
            Keeper::Sleeps(number) if is_next => {
                drop(queue);
                machine.unpark(number);
            }
            Keeper::Missing => {
                queue.keeper = Keeper::Starting;
                drop(queue);
                if let Err(errno) = machine.spawn_keeper() {
                    let mut queue = self.queue.lock();
                    queue.keeper = Keeper::Missing;
                    queue.entries.remove(&key);
                    return Err(errno);
                }
            }
            Keeper::Sleeps(_) | Keeper::Starting => {}
        }
        Ok(key)
    }

    /// How many run.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.queue.lock().entries.len()
    }

    /// Forgets an entry.
    pub(crate) fn remove(&self, key: Key) {
        let removed = self.queue.lock().entries.remove(&key);
        // What the timer refers to may end here, without the lock.
        drop(removed);
    }

    /// Takes what is due; gives it, and when the next one will be.
    fn take_due(&self, now: Duration) -> (Vec<Due>, Option<Duration>) {
        let mut queue = self.queue.lock();
        let mut due = Vec::new();
        while let Some(entry) = queue.entries.first_entry()
            && entry.key().0 <= now
        {
            due.push(entry.remove_entry());
        }
        let next = queue.entries.first_key_value().map(|((next, _), _)| *next);
        (due, next)
    }
}

impl Libos {
    /// Keeps the queue, and takes the host's signals, for as long as the enclave lives.
    pub(crate) fn keep_timers_and_signals(&self) -> ! {
        let number = self.machine.this_thread();
        self.timers.queue.lock().keeper = Keeper::Sleeps(number);
        loop {
            self.serve_host_signals();
            self.send_raised_signals();
            if let Err(next) = self.serve_timers() {
                self.machine.park(next);
            }
        }
    }

    /// Lets all timers expire that are due. When none was: when the next one will be.
    pub(crate) fn serve_timers(&self) -> Result<(), Option<Duration>> {
        let (due, next) = self.timers.take_due(self.now());
        if due.is_empty() {
            return Err(next);
        }
        for (key, timer) in due {
            timer.expire(self, key);
        }
        Ok(())
    }
}
