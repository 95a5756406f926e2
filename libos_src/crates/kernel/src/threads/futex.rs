//! Futexes: words in program memory that threads wait on.
//!
//! The queue lives in the enclave. The host learns only which enclave thread sleeps; a wake-up that
//! it invents makes a thread look again, one that it swallows denies service and nothing else.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use hal::{Errno, Machine};
use locks::Mutex;

use super::{Deadline, OwnedFutexes, Sleeper, Thread, Wake};
use crate::Libos;
use crate::libos::Task;
use crate::memory::AddressSpace;
use crate::syscalls::Stop;

/// All futex queues.
pub(crate) struct Futexes {
    /// One lock for all queues: a requeue touches two, and a wake must see both or none.
    queues: Mutex<BTreeMap<FutexKey, VecDeque<Arc<Waiter>>>>,
}

/// Which word a futex is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FutexKey {
    /// A word that is said to be waited for in its process alone, whatever memory it is in: the number of the
    /// space, and the address. Who says so and who does not never meet.
    Own(u64, u64),
    /// A word of an address space that nobody else sees: the number of the space, and the address.
    Private(u64, u64),
    /// A word of memory that several address spaces may show: the number of the pages, and where in
    /// them.
    Shared(u64, u64),
}

/// A word as a program names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FutexWord {
    pub(crate) address: u64,
    /// It is waited for in this process alone (`FUTEX_PRIVATE_FLAG`).
    pub(crate) is_own: bool,
}

struct Waiter {
    sleeper: Sleeper,
    /// Who has a lower one is woken first; of the same, who has waited longer.
    rank: u32,
    /// Which wakes it takes.
    bits: u32,
    /// The queue that it is in now; a requeue moves it.
    key: Mutex<FutexKey>,
    is_woken: AtomicBool,
}

/// A word that a program asks to wait for.
pub(crate) struct WaitOn {
    /// The word.
    pub(crate) word: FutexWord,
    /// What it must still hold.
    pub(crate) expected: u32,
    /// Which wakes count; not zero.
    pub(crate) bits: u32,
}

impl Futexes {
    /// No queue.
    pub(crate) const fn new() -> Self {
        Self {
            queues: Mutex::new(BTreeMap::new()),
        }
    }

    /// Wakes up to `count` waiters at `key` whose bits match; returns how many.
    pub(crate) fn wake(&self, machine: &dyn Machine, key: FutexKey, count: u32, bits: u32) -> u32 {
        let mut queues = self.queues.lock();
        let Some(queue) = queues.get_mut(&key) else {
            return 0;
        };
        let woken = take_first(queue, count, bits);
        if queue.is_empty() {
            queues.remove(&key);
        }
        drop(queues);
        unpark(machine, &woken)
    }

    /// Wakes up to `wake` waiters of `from`, and moves up to `moved` others to `to`, provided that
    /// `from` still holds `expected`, if that is given. Returns how many were woken, and moved.
    ///
    /// # Errors
    /// `EAGAIN` if it does not; `EINVAL` if some wait to own `from`.
    pub(crate) fn requeue(
        &self,
        memory: &AddressSpace,
        machine: &dyn Machine,
        owned: &OwnedFutexes,
        [from, to]: [FutexWord; 2],
        [wake, moved]: [u32; 2],
        expected: Option<u32>,
    ) -> Result<(u32, u32), Errno> {
        let (woken, moved) = self.divide(memory, owned, [from, to], [wake, moved], expected)?;
        Ok((unpark(machine, &woken), moved))
    }

    /// The part of a requeue that happens under the lock: gives those who are woken, and how many
    /// others were moved.
    fn divide(
        &self,
        memory: &AddressSpace,
        owned: &OwnedFutexes,
        [from, to]: [FutexWord; 2],
        [wake, moved]: [u32; 2],
        expected: Option<u32>,
    ) -> Result<(Vec<Sleeper>, u32), Errno> {
        let mut queues = self.queues.lock();
        if let Some(expected) = expected
            && memory.load_u32(from.address)? != expected
        {
            return Err(Errno::EAGAIN);
        }
        let (from, to) = (memory.futex_key(from), memory.futex_key(to));
        if [wake, moved] != [0, 0] && owned.are_waited_for(from) {
            return Err(Errno::EINVAL);
        }
        let mut queue = queues.remove(&from).unwrap_or_default();
        let woken = take_first(&mut queue, wake, u32::MAX);
        if from == to {
            let stayed = (queue.len() as u32).min(moved);
            if !queue.is_empty() {
                queues.insert(from, queue);
            }
            return Ok((woken, stayed));
        }
        let leaving = queue.len().min(moved as usize);
        for waiter in queue.drain(..leaving) {
            *waiter.key.lock() = to;
            line_up(queues.entry(to).or_default(), waiter);
        }
        if !queue.is_empty() {
            queues.insert(from, queue);
        }
        Ok((woken, leaving as u32))
    }

    /// Joins the queues if all words hold what is expected.
    fn enter(
        &self,
        memory: &AddressSpace,
        thread: &Thread,
        waits: &[WaitOn],
    ) -> Result<Vec<Arc<Waiter>>, Errno> {
        let rank = thread.scheduling.lock().rank();
        let mut queues = self.queues.lock();
        for wait in waits {
            if memory.load_u32(wait.word.address)? != wait.expected {
                return Err(Errno::EAGAIN);
            }
        }
        let waiters = waits.iter().map(|wait| {
            let key = memory.futex_key(wait.word);
            let waiter = Arc::new(Waiter {
                sleeper: Sleeper::of(thread),
                rank,
                bits: wait.bits,
                key: Mutex::new(key),
                is_woken: AtomicBool::new(false),
            });
            line_up(queues.entry(key).or_default(), waiter.clone());
            waiter
        });
        Ok(waiters.collect())
    }

    /// Whether somebody waits for a word, but not to own it.
    pub(super) fn are_waited_for(&self, key: FutexKey) -> bool {
        self.queues.lock().contains_key(&key)
    }

    /// Leaves the queues; says which waiter was woken, and the last one if several were.
    fn leave(&self, waiters: &[Arc<Waiter>]) -> Option<usize> {
        // Who was woken is in no queue any more: to wait for the lock would be in the way of the next.
        if !waiters.iter().all(is_woken) {
            let mut queues = self.queues.lock();
            for waiter in waiters {
                let key = *waiter.key.lock();
                if let Some(queue) = queues.get_mut(&key) {
                    queue.retain(|other| !Arc::ptr_eq(other, waiter));
                    if queue.is_empty() {
                        queues.remove(&key);
                    }
                }
            }
        }
        waiters.iter().rposition(is_woken)
    }
}

impl FutexWord {
    /// A word that other processes may know, too.
    pub(crate) const fn of_all(address: u64) -> Self {
        Self {
            address,
            is_own: false,
        }
    }
}

/// Puts a waiter into a queue behind those that come before it.
fn line_up(queue: &mut VecDeque<Arc<Waiter>>, waiter: Arc<Waiter>) {
    let place = queue.partition_point(|other| other.rank <= waiter.rank);
    queue.insert(place, waiter);
}

/// Takes the first waiters out of a queue and marks them as woken; gives them.
fn take_first(queue: &mut VecDeque<Arc<Waiter>>, count: u32, bits: u32) -> Vec<Sleeper> {
    let mut woken = Vec::new();
    queue.retain(|waiter| {
        if woken.len() == count as usize || waiter.bits & bits == 0 {
            return true;
        }
        waiter.is_woken.store(true, Ordering::Release);
        woken.push(waiter.sleeper.clone());
        false
    });
    woken
}

/// Lets threads look again, and says how many. To be called without the lock.
fn unpark(machine: &dyn Machine, threads: &[Sleeper]) -> u32 {
    for thread in threads {
        thread.wake(machine);
    }
    threads.len() as u32
}

fn is_woken(waiter: &Arc<Waiter>) -> bool {
    waiter.is_woken.load(Ordering::Acquire)
}

impl Libos {
    /// Waits for words until one of them is woken, and says which.
    pub(crate) fn futex_wait(
        &self,
        task: &Task,
        waits: &[WaitOn],
        deadline: Deadline,
    ) -> Result<u64, Stop> {
        let Task {
            process,
            thread,
            memory,
            ..
        } = task;
        let waiters = self.futexes.enter(memory, thread, waits)?;
        let mut stop = None;
        while stop.is_none() && !waiters.iter().any(is_woken) {
            stop = match self.sleep(process, thread, deadline) {
                Wake::Look => None,
                Wake::TimedOut => Some(Stop::Errno(Errno::ETIMEDOUT)),
                Wake::Signal => Some(Stop::Restart),
            };
        }
        match (self.futexes.leave(&waiters), stop) {
            (None, Some(stop)) => Err(stop),
            (woken, _) => Ok(woken.unwrap_or_default() as u64),
        }
    }
}
