//! Locks of files: `flock`, and record locks of processes and of open files (fcntl(2)).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::Errno;
use locks::Mutex;
use vfs::{FileId, Readiness, Watchers};

/// The most locks there are; of more, a lookup takes too long, and the heap too much.
const LOCKS_MAX: usize = 8192;

/// All locks that are held, by file.
#[derive(Default)]
pub(crate) struct FileLocks {
    files: Mutex<BTreeMap<FileId, Held>>,
    /// Whom each process waits for that waits for a record lock.
    waiting: Mutex<BTreeMap<u32, u32>>,
    /// Told when locks go away.
    pub(crate) watchers: Watchers,
}

#[derive(Default)]
struct Held {
    /// Of `flock`: on the whole file.
    whole: Vec<(Owner, LockKind)>,
    /// Of `fcntl`: no two of one owner overlap or touch with the same kind.
    records: Vec<Record>,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A process.
    Process(u32),
    /// An open file description, by the address at which it is.
    Description(usize),
}

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockKind {
    /// Writing.
    Shared,
    /// Reading and writing.
    Exclusive,
}

/// A lock of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who holds it.
    pub(crate) owner: Owner,
    /// What it keeps others from.
    pub(crate) kind: LockKind,
    /// The first byte.
    pub(crate) first: u64,
    /// The last byte; `u64::MAX` for all that there will ever be.
    pub(crate) last: u64,
}

impl Record {
    const fn touches(&self, first: u64, last: u64) -> bool {
        self.first <= last && first <= self.last
    }

    fn conflicts(&self, other: &Self) -> bool {
        let is_exclusive = self.kind == LockKind::Exclusive || other.kind == LockKind::Exclusive;
        is_exclusive && self.owner != other.owner && self.touches(other.first, other.last)
    }
}

impl FileLocks {
    /// The first lock that stands in the way of `wanted`.
    pub(crate) fn obstacle(&self, file: FileId, wanted: &Record) -> Option<Record> {
        let files = self.files.lock();
        let records = &files.get(&file)?.records;
        records.iter().find(|held| held.conflicts(wanted)).copied()
    }

    /// Whether there is room for the locks that `wanted` adds, or, for who gives it up, for the ends
    /// that it leaves.
    pub(crate) fn has_room_for(&self, file: FileId, wanted: &Record, is_taken: bool) -> bool {
        let files = self.files.lock();
        let is_split = |record: &Record| {
            let is_inside = record.first < wanted.first && wanted.last < record.last;
            record.owner == wanted.owner && is_inside
        };
        let adds =
            is_taken || (files.get(&file)).is_some_and(|held| held.records.iter().any(is_split));
        let count = |held: &Held| held.records.len() + held.whole.len();
        !adds || files.values().map(count).sum::<usize>() < LOCKS_MAX
    }

    /// Takes a record lock, in the place of what its owner holds of these bytes.
    ///
    /// # Errors
    /// The lock that stands in the way.
    pub(crate) fn lock(&self, file: FileId, wanted: Record) -> Result<(), Record> {
        let mut files = self.files.lock();
        let held = files.entry(file).or_default();
        if let Some(obstacle) = held.records.iter().find(|held| held.conflicts(&wanted)) {
            return Err(*obstacle);
        }
        // A weaker lock than before may be what others wait for.
        let is_weaker = cut(&mut held.records, wanted.owner, wanted.first, wanted.last);
        held.records.push(wanted);
        join(&mut held.records, wanted.owner);
        drop(files);
        if is_weaker {
            self.watchers.notify(Readiness::READABLE);
        }
        Ok(())
    }

    /// Gives up an owner's record locks of some bytes.
    pub(crate) fn unlock(&self, file: FileId, owner: Owner, first: u64, last: u64) {
        let mut files = self.files.lock();
        let Some(held) = files.get_mut(&file) else {
            return;
        };
        let has_changed = cut(&mut held.records, owner, first, last);
        forget_empty(&mut files, file);
        drop(files);
        if has_changed {
            self.watchers.notify(Readiness::READABLE);
        }
    }

    /// Whether nothing is locked: then a close has nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.lock().is_empty()
    }

    /// A process ends: its record locks go.
    pub(crate) fn forget_process(&self, pid: u32) {
        self.waiting.lock().remove(&pid);
        self.forget_owner(Owner::Process(pid));
    }

    /// Gives up all locks of an owner.
    pub(crate) fn forget_owner(&self, owner: Owner) {
        let mut files = self.files.lock();
        let mut has_changed = false;
        files.retain(|_, held| {
            let before = held.records.len() + held.whole.len();
            held.records.retain(|record| record.owner != owner);
            held.whole.retain(|(holder, _)| *holder != owner);
            has_changed |= before != held.records.len() + held.whole.len();
            !(held.records.is_empty() && held.whole.is_empty())
        });
        drop(files);
        if has_changed {
            self.watchers.notify(Readiness::READABLE);
        }
    }

    /// Takes a lock of the whole file (`flock`), in the place of the owner's other one, which is gone
    /// even if this fails, as on Linux.
    ///
    /// # Errors
    /// `EAGAIN` if somebody else's stands in the way.
    pub(crate) fn lock_whole(
        &self,
        file: FileId,
        owner: Owner,
        kind: LockKind,
    ) -> Result<(), Errno> {
        let mut files = self.files.lock();
        let held = files.entry(file).or_default();
        let own = held.whole.iter().position(|(holder, _)| *holder == owner);
        if own.is_some_and(|own| held.whole[own].1 == kind) {
            return Ok(());
        }
        if let Some(own) = own {
            held.whole.swap_remove(own);
        }
        let is_free =
            |(_, other): &(Owner, LockKind)| kind == LockKind::Shared && *other == LockKind::Shared;
        let taken = if held.whole.iter().all(is_free) {
            held.whole.push((owner, kind));
            Ok(())
        } else {
            Err(Errno::EAGAIN)
        };
        forget_empty(&mut files, file);
        drop(files);
        if own.is_some() {
            self.watchers.notify(Readiness::READABLE);
        }
        taken
    }

    /// Gives up an owner's lock of the whole file.
    pub(crate) fn unlock_whole(&self, file: FileId, owner: Owner) {
        let mut files = self.files.lock();
        if let Some(held) = files.get_mut(&file) {
            held.whole.retain(|(holder, _)| *holder != owner);
        }
        forget_empty(&mut files, file);
        drop(files);
        self.watchers.notify(Readiness::READABLE);
    }

    /// Notes that a process is about to wait for another one.
    ///
    /// # Errors
    /// `EDEADLK` if that one waits for the first, directly or not.
    pub(crate) fn begin_wait(&self, pid: u32, obstacle: Owner) -> Result<(), Errno> {
        let Owner::Process(holder) = obstacle else {
            return Ok(());
        };
        let mut waiting = self.waiting.lock();
        let mut next = Some(holder);
        // Each step is another process, so this ends.
        for _ in 0..=waiting.len() {
            match next {
                Some(next) if next == pid => return Err(Errno::EDEADLK),
                Some(here) => next = waiting.get(&here).copied(),
                None => break,
            }
        }
        waiting.insert(pid, holder);
        Ok(())
    }

    /// The wait is over.
    pub(crate) fn end_wait(&self, pid: u32) {
        self.waiting.lock().remove(&pid);
    }
}

/// Gives up the locks of an open file when it is closed for the last time.
pub(crate) struct LocksOfDescription {
    pub(crate) locks: Arc<FileLocks>,
    pub(crate) owner: Owner,
}

impl Drop for LocksOfDescription {
    fn drop(&mut self) {
        self.locks.forget_owner(self.owner);
    }
}

fn forget_empty(files: &mut BTreeMap<FileId, Held>, file: FileId) {
    let is_empty = |held: &Held| held.records.is_empty() && held.whole.is_empty();
    if files.get(&file).is_some_and(is_empty) {
        files.remove(&file);
    }
}

/// Takes some bytes out of an owner's locks; whether there were any.
fn cut(records: &mut Vec<Record>, owner: Owner, first: u64, last: u64) -> bool {
    let (hit, mut rest): (Vec<Record>, Vec<Record>) = core::mem::take(records)
        .into_iter()
        .partition(|record| record.owner == owner && record.touches(first, last));
    for record in &hit {
        if record.first < first {
            rest.push(Record {
                last: first - 1,
                ..*record
            });
        }
        if record.last > last {
            rest.push(Record {
                first: last + 1,
                ..*record
            });
        }
    }
    *records = rest;
    !hit.is_empty()
}

/// Makes one of an owner's locks that touch and are of one kind.
fn join(records: &mut Vec<Record>, owner: Owner) {
    records.sort_by_key(|record| record.first);
    let mut joined: Vec<Record> = Vec::with_capacity(records.len());
    // Where the owner's last ones of each kind are.
    let mut last_of = [None; 2];
    for record in records.drain(..) {
        let last = &mut last_of[usize::from(record.kind == LockKind::Exclusive)];
        let is_own = record.owner == owner;
        let before = last
            .filter(|_| is_own)
            .and_then(|at: usize| joined.get_mut(at));
        match before {
            Some(before) if before.last.checked_add(1) == Some(record.first) => {
                before.last = record.last;
            }
            _ => {
                if is_own {
                    *last = Some(joined.len());
                }
                joined.push(record);
            }
        }
    }
    *records = joined;
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId {
        device: 1,
        inode: 1,
    };
    const A: Owner = Owner::Process(1);
    const B: Owner = Owner::Process(2);

    fn record(owner: Owner, kind: LockKind, first: u64, last: u64) -> Record {
        Record {
            owner,
            kind,
            first,
            last,
        }
    }

    fn held(locks: &FileLocks) -> Vec<(u64, u64, LockKind)> {
        let files = locks.files.lock();
        let records = files.get(&FILE).map(|held| held.records.clone());
        let records = records.unwrap_or_default();
        records
            .iter()
            .map(|one| (one.first, one.last, one.kind))
            .collect()
    }

    #[test]
    fn a_lock_within_a_lock_splits_it_and_the_same_kind_joins_again() {
        use LockKind::{Exclusive, Shared};
        let locks = FileLocks::default();
        locks.lock(FILE, record(A, Shared, 0, 99)).expect("free");
        locks.lock(FILE, record(A, Exclusive, 10, 19)).expect("own");
        assert_eq!(
            held(&locks),
            [(0, 9, Shared), (10, 19, Exclusive), (20, 99, Shared)]
        );

        locks.lock(FILE, record(A, Shared, 10, 19)).expect("own");
        assert_eq!(held(&locks), [(0, 99, Shared)]);
        locks.unlock(FILE, A, 50, u64::MAX);
        assert_eq!(held(&locks), [(0, 49, Shared)]);
        locks.unlock(FILE, A, 0, u64::MAX);
        assert!(locks.is_empty());
    }

    #[test]
    fn only_what_overlaps_and_excludes_stands_in_the_way() {
        use LockKind::{Exclusive, Shared};
        let locks = FileLocks::default();
        locks.lock(FILE, record(A, Shared, 0, 9)).expect("free");
        locks.lock(FILE, record(B, Shared, 5, 20)).expect("shared");
        assert!(locks.lock(FILE, record(A, Exclusive, 0, 5)).is_err());
        assert_eq!(locks.lock(FILE, record(A, Exclusive, 0, 4)), Ok(()));
        assert_eq!(locks.lock(FILE, record(B, Exclusive, 10, u64::MAX)), Ok(()));

        locks.forget_process(2);
        assert_eq!(locks.lock(FILE, record(A, Exclusive, 0, u64::MAX)), Ok(()));
    }

    #[test]
    fn a_circle_of_waiters_is_found_before_it_closes() {
        let locks = FileLocks::default();
        locks.begin_wait(1, Owner::Process(2)).expect("no circle");
        locks.begin_wait(2, Owner::Process(3)).expect("no circle");
        assert_eq!(locks.begin_wait(3, Owner::Process(1)), Err(Errno::EDEADLK));
        locks.end_wait(2);
        assert_eq!(locks.begin_wait(3, Owner::Process(1)), Ok(()));
        assert_eq!(locks.begin_wait(2, Owner::Description(7)), Ok(()));
    }

    #[test]
    fn flock_is_shared_or_exclusive_and_changes_kind() {
        use LockKind::{Exclusive, Shared};
        let locks = FileLocks::default();
        let (a, b) = (Owner::Description(1), Owner::Description(2));
        locks.lock_whole(FILE, a, Shared).expect("free");
        locks.lock_whole(FILE, b, Shared).expect("shared");
        assert_eq!(locks.lock_whole(FILE, a, Exclusive), Err(Errno::EAGAIN));
        // Its shared lock is gone.
        assert_eq!(locks.lock_whole(FILE, b, Exclusive), Ok(()));
        locks.forget_owner(b);
        assert!(locks.is_empty());
    }

    #[test]
    fn of_locks_there_are_only_so_many_but_giving_up_goes_on() {
        let locks = FileLocks::default();
        let wanted = record(A, LockKind::Exclusive, 10, 20);
        for inode in 0..LOCKS_MAX as u64 {
            let file = FileId { inode, ..FILE };
            locks.lock(file, wanted).expect("free");
        }
        assert!(!locks.has_room_for(FILE, &wanted, true));
        let (whole, middle) = (wanted, record(A, LockKind::Shared, 12, 13));
        assert!(locks.has_room_for(FILE, &whole, false));
        assert!(
            !locks.has_room_for(FILE, &middle, false),
            "it makes two of one"
        );
        locks.unlock(FILE, A, 10, 20);
        assert!(locks.has_room_for(FILE, &wanted, true));
    }
}
