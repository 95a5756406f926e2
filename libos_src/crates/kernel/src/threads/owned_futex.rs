//! Futexes with an owner: the lock operations of futex(2), which Linux calls priority inheriting.
//!
//! The word holds the thread id of its owner, so that the LibOS can hand it to the next in line: of the
//! highest real-time priority, and of those who has waited longest. The host schedules as it likes, so
//! that there is nothing to inherit.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use hal::{Errno, Machine};
use locks::Mutex;

use super::futex::{FutexKey, FutexWord};
use super::{Deadline, Futexes, Sleeper, Thread, Wake};
use crate::Libos;
use crate::libos::Task;
use crate::memory::AddressSpace;
use crate::syscalls::Stop;

/// Somebody waits, so that whoever unlocks must tell (`linux/futex.h`).
pub(super) const WAITERS: u32 = 0x8000_0000;
/// The owner ended without unlocking.
pub(super) const OWNER_DIED: u32 = 0x4000_0000;
/// The bits of the owner's thread id.
pub(super) const OWNER: u32 = 0x3fff_ffff;

/// The queues of all futexes with an owner that somebody waits for.
pub(crate) struct OwnedFutexes {
    queues: Mutex<BTreeMap<FutexKey, Queue>>,
}

/// Who waits for one word. Never empty.
struct Queue {
    word: FutexWord,
    owner: u32,
    claims: VecDeque<Arc<Claim>>,
}

/// A thread that waits for its turn.
struct Claim {
    tid: u32,
    /// Who has a lower one comes first.
    rank: u32,
    sleeper: Sleeper,
    is_granted: AtomicBool,
}

impl OwnedFutexes {
    /// No queue.
    pub(crate) const fn new() -> Self {
        Self {
            queues: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether somebody waits to own a word.
    pub(crate) fn are_waited_for(&self, key: FutexKey) -> bool {
        let queues = self.queues.lock();
        (queues.get(&key)).is_some_and(|queue| queue.claims.len() > usize::from(queue.is_granted()))
    }

    /// Gives a word that has no owner to a thread.
    ///
    /// # Errors
    /// `EAGAIN` if it has an owner, `EDEADLK` if that is the thread itself, `ESRCH` if it does not exist,
    /// `EINVAL` if some of the `others` wait for it.
    pub(crate) fn try_lock(
        &self,
        memory: &AddressSpace,
        others: &Futexes,
        word: FutexWord,
        tid: u32,
        exists: impl Fn(u32) -> bool,
    ) -> Result<(), Errno> {
        let key = memory.futex_key(word);
        let is_waited_for = others.are_waited_for(key);
        let queues = self.queues.lock();
        let has_waiters = queues.contains_key(&key);
        if is_waited_for && !has_waiters {
            return Err(mixed_use(memory, word, tid)?);
        }
        match take_free(memory, word.address, tid, has_waiters)? {
            None => Ok(()),
            Some(owner) if owner == tid => Err(Errno::EDEADLK),
            Some(owner) if !has_waiters && !exists(owner) => Err(Errno::ESRCH),
            Some(_) => Err(Errno::EAGAIN),
        }
    }

    /// Takes a word from its owner, and gives it to who has waited longest.
    ///
    /// # Errors
    /// `EPERM` if `tid` is not the owner; `EINVAL` if some of the `others` wait for it.
    pub(crate) fn unlock(
        &self,
        memory: &AddressSpace,
        machine: &dyn Machine,
        others: &Futexes,
        word: FutexWord,
        tid: u32,
    ) -> Result<(), Errno> {
        let key = memory.futex_key(word);
        let is_waited_for = others.are_waited_for(key);
        let mut queues = self.queues.lock();
        if memory.load_u32(word.address)? & OWNER != tid {
            return Err(Errno::EPERM);
        }
        let Some(queue) = queues.get_mut(&key) else {
            if is_waited_for {
                return Err(Errno::EINVAL);
            }
            return change(memory, word.address, |_| 0);
        };
        let next = queue.hand_over(memory, 0)?;
        if queue.claims.is_empty() {
            queues.remove(&key);
        }
        drop(queues);
        next.wake(machine);
        Ok(())
    }

    /// Hands on every word that others wait for and that the thread `tid`, which ends, still owns.
    pub(crate) fn release_all(&self, memory: &AddressSpace, machine: &dyn Machine, tid: u32) {
        let mut woken = Vec::new();
        self.queues.lock().retain(|key, queue| {
            if queue.owner != tid || queue.is_granted() {
                return true;
            }
            if memory.futex_key(queue.word) != *key {
                // What it shows at this address is another word: the program says who owns one, and
                // may name any thread. Who waits writes into the word itself.
                woken.extend(queue.grant());
            } else {
                match memory.load_u32(queue.word.address).map(|word| word & OWNER) {
                    // Somebody came between its end as the word has it, and this.
                    Ok(owner) if owner != 0 && owner != tid => queue.owner = owner,
                    // A word that is gone is nobody's: who waits for it goes on, and finds out.
                    _ => woken.extend(queue.hand_over(memory, OWNER_DIED)),
                }
            }
            !queue.claims.is_empty()
        });
        for thread in woken {
            thread.wake(machine);
        }
    }

    /// Takes a free word, or gets into line for it.
    fn claim(
        &self,
        memory: &AddressSpace,
        thread: &Thread,
        others: &Futexes,
        word: FutexWord,
        exists: impl Fn(u32) -> bool,
    ) -> Result<Option<Arc<Claim>>, Errno> {
        let tid = thread.tid();
        let key = memory.futex_key(word);
        let rank = thread.scheduling.lock().rank();
        let is_waited_for = others.are_waited_for(key);
        let mut queues = self.queues.lock();
        let has_waiters = queues.contains_key(&key);
        if is_waited_for && !has_waiters {
            return Err(mixed_use(memory, word, tid)?);
        }
        let Some(owner) = take_free(memory, word.address, tid, has_waiters)? else {
            return Ok(None);
        };
        // The next owner may not have written into the word yet.
        let granted = queues.get(&key).filter(|queue| queue.is_granted());
        let owner = granted.map_or(owner, |queue| queue.owner);
        if owner == tid || waits_for(&queues, owner, tid) {
            return Err(Errno::EDEADLK);
        }
        if !exists(owner) {
            return Err(Errno::ESRCH);
        }
        let claim = Arc::new(Claim {
            tid,
            rank,
            sleeper: Sleeper::of(thread),
            is_granted: AtomicBool::new(false),
        });
        let queue = queues.entry(key).or_insert_with(|| Queue {
            word,
            owner,
            claims: VecDeque::new(),
        });
        // One whose turn has come stays the first, whoever comes.
        let granted = usize::from(queue.is_granted());
        let place = queue.claims.iter().skip(granted);
        let place = granted + place.take_while(|other| other.rank <= rank).count();
        queue.claims.insert(place, claim.clone());
        Ok(Some(claim))
    }

    /// Leaves the line, unless the turn has come; whether it had not.
    fn withdraw(&self, key: FutexKey, claim: &Arc<Claim>) -> bool {
        let mut queues = self.queues.lock();
        if claim.is_granted.load(Ordering::Acquire) {
            return false;
        }
        if let Some(queue) = queues.get_mut(&key) {
            queue.claims.retain(|other| !Arc::ptr_eq(other, claim));
            if queue.claims.is_empty() {
                queues.remove(&key);
            }
        }
        true
    }

    /// The turn of `claim` has come: it becomes the owner as the word has it, if it is not yet.
    fn settle(&self, memory: &AddressSpace, key: FutexKey, claim: &Arc<Claim>) {
        let mut queues = self.queues.lock();
        let Some(queue) = queues.get_mut(&key) else {
            return;
        };
        if (queue.claims.front()).is_some_and(|first| Arc::ptr_eq(first, claim)) {
            // A word that is gone is nobody's.
            let _ = queue.hand_over(memory, OWNER_DIED);
        }
        if queue.claims.is_empty() {
            queues.remove(&key);
        }
    }
}

impl Queue {
    /// Whether the first in line is the owner, and has yet to write that into the word.
    fn is_granted(&self) -> bool {
        (self.claims.front()).is_some_and(|first| first.is_granted.load(Ordering::Acquire))
    }

    /// Makes the first in line the owner, who writes that itself; returns it.
    fn grant(&mut self) -> Option<Sleeper> {
        let next = self.claims.front()?;
        self.owner = next.tid;
        next.is_granted.store(true, Ordering::Release);
        Some(next.sleeper.clone())
    }

    /// Makes the first in line the owner; returns it. `marks` go into the word.
    fn hand_over(&mut self, memory: &AddressSpace, marks: u32) -> Result<Sleeper, Errno> {
        let next = self.claims.pop_front().ok_or(Errno::ESRCH)?;
        self.owner = next.tid;
        // Whether or not its memory is still there, its turn has come. As on Linux, who was waited for
        // unlocks by a call, also if nobody else waits.
        let _ = change(memory, self.word.address, |_| next.tid | WAITERS | marks);
        next.is_granted.store(true, Ordering::Release);
        Ok(next.sleeper.clone())
    }
}

/// Why a word is not owned that others wait for otherwise.
fn mixed_use(memory: &AddressSpace, word: FutexWord, tid: u32) -> Result<Errno, Errno> {
    let is_owner = memory.load_u32(word.address)? & OWNER == tid;
    Ok(if is_owner {
        Errno::EDEADLK
    } else {
        Errno::EINVAL
    })
}

/// Makes `tid` the owner of a word that has none; otherwise marks the word as waited for, and
/// returns the owner.
fn take_free(
    memory: &AddressSpace,
    address: u64,
    tid: u32,
    has_waiters: bool,
) -> Result<Option<u32>, Errno> {
    let mut owner = 0;
    change(memory, address, |word| {
        owner = word & OWNER;
        let waiters = if has_waiters { WAITERS } else { 0 };
        match owner {
            0 => word & OWNER_DIED | tid | waiters,
            _ if owner == tid => word,
            _ => word | WAITERS,
        }
    })?;
    Ok((owner != 0).then_some(owner))
}

/// Whether `from` waits, maybe by way of others, for a word that `tid` owns.
fn waits_for(queues: &BTreeMap<FutexKey, Queue>, from: u32, tid: u32) -> bool {
    let mut at = from;
    // Each step leads to another thread, as no circle was ever let in but by a program that
    // writes owners itself.
    for _ in 0..queues.len() {
        let waited = queues
            .values()
            .find(|queue| queue.claims.iter().any(|claim| claim.tid == at));
        match waited {
            Some(queue) if queue.owner == tid => return true,
            Some(queue) => at = queue.owner,
            None => return false,
        }
    }
    false
}

/// Replaces a word by what becomes of it, in one step.
fn change(
    memory: &AddressSpace,
    address: u64,
    mut becomes: impl FnMut(u32) -> u32,
) -> Result<(), Errno> {
    let mut word = memory.load_u32(address)?;
    loop {
        let found = memory.compare_exchange_u32(address, word, becomes(word))?;
        if found == word {
            return Ok(());
        }
        word = found;
    }
}

impl Libos {
    /// Makes the calling thread the owner of a futex, when its turn comes.
    pub(crate) fn lock_futex(
        &self,
        task: &Task,
        word: FutexWord,
        deadline: Deadline,
    ) -> Result<(), Stop> {
        let Task {
            process,
            thread,
            memory,
            ..
        } = task;
        let exists = |tid| self.processes.of_thread(tid).is_some();
        let (owned, others) = (&self.owned_futexes, &self.futexes);
        let Some(claim) = owned.claim(memory, thread, others, word, exists)? else {
            return Ok(());
        };
        let key = memory.futex_key(word);
        loop {
            if claim.is_granted.load(Ordering::Acquire) {
                self.owned_futexes.settle(memory, key, &claim);
                return Ok(());
            }
            let stop = match self.sleep(process, thread, deadline) {
                Wake::Look => continue,
                Wake::TimedOut => Stop::Errno(Errno::ETIMEDOUT),
                Wake::Signal => Stop::RestartAlways,
            };
            if self.owned_futexes.withdraw(key, &claim) {
                return Err(stop);
            }
        }
    }
}
