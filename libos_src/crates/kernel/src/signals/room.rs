//! How many signals may wait (`RLIMIT_SIGPENDING`).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::Errno;
use locks::Mutex;

use super::{Signal, SignalInfo};
use crate::Libos;
use crate::processes::{Limits, Process};

/// With more accounts those are looked for that nobody uses.
const ACCOUNTS_KEPT: usize = 1024;

/// Signals that wait for the processes of each user, and timers that will send one.
#[derive(Default)]
pub(crate) struct SignalRooms(Mutex<BTreeMap<u32, Arc<AtomicU64>>>);

/// What a signal takes while it waits.
#[derive(Debug)]
pub(crate) enum Room {
    /// Nothing: it was taken before, or is not counted.
    Free,
    /// One of those that its user may have.
    Taken { _counted: Counted },
    /// There is none: it can be pending, but nothing is known about it.
    Missing,
}

/// One of a user's, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SignalRooms {
    fn of(&self, user: u32) -> Arc<AtomicU64> {
        let mut accounts = self.0.lock();
        // Of most users nothing waits, and a program may be as many as there are.
        if accounts.len() >= ACCOUNTS_KEPT {
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
        }
        accounts.entry(user).or_default().clone()
    }

    /// How many signals wait for processes of a user.
    pub(crate) fn count(&self, user: u32) -> u64 {
        self.of(user).load(Ordering::Relaxed)
    }
}

impl Libos {
    /// Takes one of the signals that the user of a process may have waiting, unless all are taken.
    pub(crate) fn take_signal_room(&self, process: &Process) -> Option<Counted> {
        let limit = process.limits.lock().soft(Limits::PENDING_SIGNALS);
        self.count_signal(process, limit)
    }

    fn count_signal(&self, process: &Process, limit: u64) -> Option<Counted> {
        let account = self.signal_rooms.of(process.standing().user.real);
        let ordering = Ordering::Relaxed;
        let more = |count| (count < limit).then_some(count + 1);
        (account.fetch_update(ordering, ordering, more).ok()).map(|_| Counted(account))
    }

    /// Room for a signal to a process.
    ///
    /// # Errors
    /// `EAGAIN` for a real-time signal that says something, if its user has too many.
    pub(super) fn room_for(
        &self,
        process: &Process,
        signal: Signal,
        info: &SignalInfo,
    ) -> Result<Room, Errno> {
        // As Linux: what the kernel says by a standard signal is never lost.
        let always = !signal.is_real_time() && info.code() >= 0;
        let counted = if always {
            self.count_signal(process, u64::MAX)
        } else {
            self.take_signal_room(process)
        };
        match counted {
            Some(counted) => Ok(Room::Taken { _counted: counted }),
            None if signal.is_real_time() && info.is_queued() => Err(Errno::EAGAIN),
            None => Ok(Room::Missing),
        }
    }
}
