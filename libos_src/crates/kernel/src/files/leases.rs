//! Leases: who has a file to themselves, and is told before somebody else opens it (fcntl(2)).

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use hal::Errno;
use locks::Mutex;
use procfs::Number;
use vfs::{FileId, Readiness, Watchers};

use super::Notice;
use crate::settings::Settings;

/// What a lease keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseKind {
    /// Writing.
    Read,
    /// Opening at all.
    Write,
}

/// All leases.
#[derive(Default)]
pub(crate) struct Leases {
    /// How many there are, so that an open without any costs one load.
    count: AtomicUsize,
    by_file: Mutex<BTreeMap<FileId, Vec<Entry>>>,
    /// Say how long a holder may take to let go.
    settings: Arc<Settings>,
    /// Who waits for one to go.
    pub(crate) watchers: Watchers,
}

/// A lease of an open file.
struct Entry {
    holder: Weak<Notice>,
    kind: LeaseKind,
    /// What its holder was asked to keep of it, and by when.
    breaking: Option<(Option<LeaseKind>, Duration)>,
}

/// Lets a lease go with the open file that has it.
pub(crate) struct LeaseOfFile {
    leases: Arc<Leases>,
    file: FileId,
}

impl Drop for LeaseOfFile {
    fn drop(&mut self) {
        // Nobody can ask for it again: the holder is what drops this.
        let gone = |entry: &Entry| entry.holder.strong_count() == 0;
        self.leases.remove_if(self.file, gone);
    }
}

impl Leases {
    /// None, by these settings.
    pub(crate) fn new(settings: Arc<Settings>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            ..Self::default()
        })
    }

    /// Whether there is no lease at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Gives the open file of `holder` a lease, or changes the one that it has.
    ///
    /// # Errors
    /// `EAGAIN` if another one is in the way.
    pub(crate) fn set(
        self: &Arc<Self>,
        file: FileId,
        holder: &Arc<Notice>,
        kind: LeaseKind,
    ) -> Result<(), Errno> {
        let mut by_file = self.by_file.lock();
        let entries = by_file.entry(file).or_default();
        let is_own = |entry: &Entry| entry.holder.as_ptr() == Arc::as_ptr(holder);
        let others = entries.iter().filter(|entry| !is_own(entry));
        let in_the_way = |entry: &Entry| kind == LeaseKind::Write || entry.kind == LeaseKind::Write;
        if others.clone().any(in_the_way) || others.clone().any(|entry| entry.breaking.is_some()) {
            return Err(Errno::EAGAIN);
        }
        match entries.iter_mut().find(|entry| is_own(entry)) {
            Some(entry) => {
                if let Some((kept, _)) = entry.breaking
                    && kept != Some(kind)
                {
                    return Err(Errno::EAGAIN);
                }
                (entry.kind, entry.breaking) = (kind, None);
            }
            None => {
                entries.push(Entry {
                    holder: Arc::downgrade(holder),
                    kind,
                    breaking: None,
                });
                self.count.fetch_add(1, Ordering::AcqRel);
                holder.keep_lease(|| LeaseOfFile {
                    leases: self.clone(),
                    file,
                });
            }
        }
        drop(by_file);
        self.watchers.notify(Readiness::READABLE);
        Ok(())
    }

    /// Takes the lease of an open file away; whether it had one.
    pub(crate) fn remove(&self, file: FileId, holder: &Arc<Notice>) -> bool {
        self.remove_if(file, |entry| entry.holder.as_ptr() == Arc::as_ptr(holder))
    }

    /// What an open file has, or will have once it is broken.
    pub(crate) fn of(&self, file: FileId, holder: &Arc<Notice>) -> Option<LeaseKind> {
        let by_file = self.by_file.lock();
        let mut entries = by_file.get(&file)?.iter();
        let entry = entries.find(|entry| entry.holder.as_ptr() == Arc::as_ptr(holder))?;
        entry.breaking.map_or(Some(entry.kind), |(kept, _)| kept)
    }

    /// Somebody wants to open a file: asks those to let go whose leases are in the way, once, and
    /// takes from those who did not in time. `None` when nothing is in the way any more, else until
    /// when others may be.
    pub(crate) fn make_way(&self, file: FileId, writes: bool, now: Duration) -> Option<Duration> {
        let patience = Duration::from_secs(self.settings.get(Number::LeaseSeconds));
        let mut by_file = self.by_file.lock();
        let entries = by_file.get_mut(&file)?;
        let kept = (!writes).then_some(LeaseKind::Read);
        let mut asked = Vec::new();
        let mut until = None;
        let before = entries.len();
        entries.retain_mut(|entry| {
            if !writes && entry.kind == LeaseKind::Read {
                return true;
            }
            let (kept, due) = match &mut entry.breaking {
                Some((present, due)) => {
                    // Who would keep a part of it now keeps less.
                    if *present == Some(LeaseKind::Read) && writes {
                        *present = None;
                    }
                    (*present, *due)
                }
                breaking => {
                    asked.extend(entry.holder.upgrade());
                    *breaking.insert((kept, now + patience))
                }
            };
            if now < due {
                until = until.max(Some(due));
                return true;
            }
            entry.breaking = None;
            entry.kind = kept.unwrap_or(entry.kind);
            kept.is_some()
        });
        self.count
            .fetch_sub(before - entries.len(), Ordering::AcqRel);
        if entries.is_empty() {
            by_file.remove(&file);
        }
        drop(by_file);
        for holder in asked {
            holder.tell_of_message();
        }
        until
    }

    fn remove_if(&self, file: FileId, is_it: impl Fn(&Entry) -> bool) -> bool {
        let mut by_file = self.by_file.lock();
        let Some(entries) = by_file.get_mut(&file) else {
            return false;
        };
        let before = entries.len();
        entries.retain(|entry| !is_it(entry));
        let removed = before - entries.len();
        if entries.is_empty() {
            by_file.remove(&file);
        }
        self.count.fetch_sub(removed, Ordering::AcqRel);
        drop(by_file);
        self.watchers.notify(Readiness::READABLE);
        removed > 0
    }
}
