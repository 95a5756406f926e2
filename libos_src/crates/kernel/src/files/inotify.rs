//! Watching files (inotify(7)).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, TryReserveError, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use hal::{Errno, Machine};
use locks::Mutex;
use procfs::Number;
use vfs::{
    Event, EventObserver, FileId, FileType, Inode, Metadata, Mode, Occurrence, OpenFile, Readiness,
    Watchers,
};

use super::Notice;
use crate::settings::Settings;
use crate::syscalls::room;

/// By how many events the queue grows: doubling it could take more than is kept in reserve.
const EVENTS_GROWTH: usize = 256;
/// `struct inotify_event` without the name.
const HEADER_BYTES: usize = 16;
/// Names are filled up to a multiple of the header.
const NAME_UNIT_BYTES: usize = HEADER_BYTES;

/// All that an event can be (`IN_ALL_EVENTS`).
pub(crate) const ALL_EVENTS: u32 = 0xfff;
const IN_UNMOUNT: u32 = 0x2000;
const IN_Q_OVERFLOW: u32 = 0x4000;
const IN_IGNORED: u32 = 0x8000;
/// A name was changed within a directory: of no inotify.
pub(crate) const RENAMED: u32 = 0x8000_0000;
/// No more of a file after its name was removed.
pub(crate) const IN_EXCL_UNLINK: u32 = 0x0400_0000;
/// One event, and no more.
pub(crate) const IN_ONESHOT: u32 = 0x8000_0000;

/// Everybody who watches files. The file systems tell it.
#[derive(Default)]
pub(crate) struct Inotifies {
    settings: Arc<Settings>,
    /// How many watches there are.
    watch_count: AtomicUsize,
    /// How many descriptors each user has, who has any.
    instances: Mutex<BTreeMap<u32, usize>>,
    all: Mutex<Vec<Weak<Inotify>>>,
    /// Who is told of directories by a signal.
    directories: Mutex<Vec<DirectoryWatch>>,
    /// The directory that a name was last moved away from, and the cookie of the move.
    moved_from: Mutex<Option<(FileId, u32)>>,
}

/// A directory that is told about by a signal (`F_NOTIFY` of fcntl(2)).
struct DirectoryWatch {
    file: FileId,
    /// In the bits of inotify.
    mask: u32,
    /// Whether it goes on after the first event.
    stays: bool,
    notice: Weak<Notice>,
}

/// What one descriptor watches, and what has happened.
pub(crate) struct Inotify {
    machine: &'static dyn Machine,
    all: Arc<Inotifies>,
    user: u32,
    watchers: Watchers,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watches: BTreeMap<i32, Watch>,
    last_watch: i32,
    events: VecDeque<Record>,
    /// How many may wait. Then, or when there is no memory for another, one says that others were
    /// lost.
    events_max: u64,
}

struct Watch {
    file: FileId,
    mask: u32,
}

/// One event that was not read yet.
#[derive(Debug)]
struct Record {
    watch: i32,
    mask: u32,
    cookie: u32,
    name: Box<[u8]>,
}

/// One event as it happens.
struct Told<'a> {
    watch: i32,
    mask: u32,
    cookie: u32,
    name: &'a [u8],
}

impl Inotifies {
    /// Nobody, by these settings.
    pub(crate) fn new(settings: Arc<Settings>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            ..Self::default()
        })
    }

    /// Whether there may be no other watch.
    fn is_full(&self) -> bool {
        self.watch_count.load(Ordering::Relaxed) as u64 >= self.settings.get(Number::Watches)
    }

    /// One more descriptor of a user, which watches nothing.
    ///
    /// # Errors
    /// `EMFILE` if the user has as many as there may be.
    pub(crate) fn open(
        self: &Arc<Self>,
        machine: &'static dyn Machine,
        user: u32,
    ) -> Result<Arc<Inotify>, Errno> {
        let mut instances = self.instances.lock();
        let count = instances.get(&user).copied().unwrap_or_default();
        if count as u64 >= self.settings.get(Number::WatchInstances) {
            return Err(Errno::EMFILE);
        }
        instances.insert(user, count + 1);
        drop(instances);
        let inotify = Arc::new(Inotify {
            machine,
            all: self.clone(),
            user,
            watchers: Watchers::new(),
            state: Mutex::new(State {
                events_max: self.settings.get(Number::WatchEvents),
                ..State::default()
            }),
        });
        let mut all = self.all.lock();
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&inotify));
        Ok(inotify)
    }

    /// Tells an open directory of the events of `mask`, besides those of before, or of none.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub(crate) fn watch_directory(
        &self,
        file: FileId,
        notice: &Arc<Notice>,
        mask: u32,
        stays: bool,
    ) -> Result<(), Errno> {
        let mut directories = self.directories.lock();
        let is_it = |watch: &DirectoryWatch| {
            watch.file == file && watch.notice.as_ptr() == Arc::as_ptr(notice)
        };
        let before = directories.len();
        if mask == 0 {
            directories.retain(|watch| !is_it(watch));
        } else if let Some(watch) = directories.iter_mut().find(|watch| is_it(watch)) {
            watch.mask |= mask;
            watch.stays |= stays;
        } else {
            if self.is_full() {
                return Err(Errno::ENOSPC);
            }
            directories.push(DirectoryWatch {
                file,
                mask,
                stays,
                notice: Arc::downgrade(notice),
            });
        }
        self.recount(before, directories.len());
        Ok(())
    }

    fn recount(&self, before: usize, now: usize) {
        self.watch_count.fetch_add(now, Ordering::AcqRel);
        self.watch_count.fetch_sub(before, Ordering::AcqRel);
    }

    /// What happened, with [`RENAMED`] if both halves of a move are in one directory.
    fn event_for_directories(&self, occurrence: &Occurrence<'_>) -> u32 {
        let event = occurrence.event;
        let place = (occurrence.file, occurrence.cookie);
        let mut moved_from = self.moved_from.lock();
        if event.contains(Event::MOVED_FROM) {
            *moved_from = Some(place);
        } else if event.contains(Event::MOVED_TO) && moved_from.take() == Some(place) {
            return event.bits() | RENAMED;
        }
        event.bits()
    }

    fn tell_directories(&self, occurrence: &Occurrence<'_>) {
        let event = self.event_for_directories(occurrence);
        let mut told = Vec::new();
        let mut directories = self.directories.lock();
        let before = directories.len();
        directories.retain(|watch| {
            let Some(notice) = watch.notice.upgrade() else {
                return false;
            };
            let is_wanted = watch.file == occurrence.file && watch.mask & event != 0;
            if is_wanted {
                told.push(notice);
            }
            watch.stays || !is_wanted
        });
        self.recount(before, directories.len());
        drop(directories);
        for notice in told {
            notice.tell_of_message();
        }
    }
}

impl EventObserver for Inotifies {
    fn is_idle(&self) -> bool {
        self.watch_count.load(Ordering::Acquire) == 0
    }

    fn happened(&self, occurrence: &Occurrence<'_>) {
        // Not a list of their own: there may be many, and no memory.
        for one in self.all.lock().iter().filter_map(Weak::upgrade) {
            one.note(occurrence);
        }
        self.tell_directories(occurrence);
    }
}

impl Inotify {
    /// The one that an open file is, if it is one.
    pub(crate) fn behind(file: &OpenFile) -> Option<&Self> {
        file.object().downcast()
    }

    /// Watches a file for the events of `mask`, which are added to those of before if `adds`.
    ///
    /// # Errors
    /// `ENOSPC`; `EEXIST` if it is watched already and that is refused.
    pub(crate) fn watch(
        &self,
        file: FileId,
        mask: u32,
        adds: bool,
        refuses: bool,
    ) -> Result<i32, Errno> {
        let mut state = self.state.lock();
        let known = (state.watches.iter_mut()).find(|(_, watch)| watch.file == file);
        if let Some((&number, watch)) = known {
            if refuses {
                return Err(Errno::EEXIST);
            }
            watch.mask = if adds { watch.mask | mask } else { mask };
            return Ok(number);
        }
        if self.all.is_full() {
            return Err(Errno::ENOSPC);
        }
        state.reserve().map_err(|_| Errno::ENOMEM)?;
        state.last_watch = state.last_watch.checked_add(1).ok_or(Errno::ENOSPC)?;
        let number = state.last_watch;
        state.watches.insert(number, Watch { file, mask });
        self.all.watch_count.fetch_add(1, Ordering::AcqRel);
        Ok(number)
    }

    /// Watches a file no more. `EINVAL` if there is no such watch.
    pub(crate) fn unwatch(&self, number: i32) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if !state.remove(self.machine, &self.all, number) {
            return Err(Errno::EINVAL);
        }
        drop(state);
        self.watchers.notify(Readiness::READABLE);
        Ok(())
    }

    /// What `fdinfo` says of it.
    pub(super) fn details(&self) -> String {
        let state = self.state.lock();
        let line = |(number, watch): (&i32, &Watch)| {
            let FileId { device, inode } = watch.file;
            let mask = watch.mask;
            format!(
                "inotify wd:{number:x} ino:{inode:x} sdev:{device:x} mask:{mask:x} ignored_mask:0 \n"
            )
        };
        state.watches.iter().map(line).collect()
    }

    /// How many bytes can be read.
    pub(crate) fn len_bytes(&self) -> usize {
        let state = self.state.lock();
        state.events.iter().map(Record::len_bytes).sum()
    }

    fn note(&self, occurrence: &Occurrence<'_>) {
        let mut state = self.state.lock();
        let found = (state.watches.iter()).find(|(_, watch)| watch.file == occurrence.file);
        let Some((&number, watch)) = found else {
            return;
        };
        let mask = watch.mask;
        let event = occurrence.event.bits();
        let is_wanted = event & mask & ALL_EVENTS != 0
            && !(occurrence.is_unlinked && mask & IN_EXCL_UNLINK != 0);
        if is_wanted {
            // Of what a file is only told itself, Linux does not say that it is a directory.
            let own = Event::DELETE_SELF | Event::MOVE_SELF;
            let shown = if occurrence.event.intersects(own) {
                event & ALL_EVENTS
            } else {
                event
            };
            let name = occurrence.name.unwrap_or_default();
            state.push(
                self.machine,
                &Told {
                    watch: number,
                    mask: shown,
                    cookie: occurrence.cookie,
                    name,
                },
            );
        }
        let is_gone = occurrence.event.contains(Event::DELETE_SELF);
        let is_over = is_gone || (is_wanted && mask & IN_ONESHOT != 0);
        if is_over {
            state.remove(self.machine, &self.all, number);
        }
        drop(state);
        if is_wanted || is_over {
            self.watchers.notify(Readiness::READABLE);
        }
    }
}

impl State {
    fn push(&mut self, machine: &dyn Machine, told: &Told<'_>) {
        // As Linux: twice the same is once.
        if self.events.back().is_some_and(|last| last.says(told)) {
            return;
        }
        let is_short = self.events.len() as u64 >= self.events_max
            || room::check_for(machine, told.name.len()).is_err()
            || self.reserve().is_err();
        if !is_short {
            self.events.push_back(Record {
                watch: told.watch,
                mask: told.mask,
                cookie: told.cookie,
                name: told.name.into(),
            });
            return;
        }
        let lost = Told {
            watch: -1,
            mask: IN_Q_OVERFLOW,
            cookie: 0,
            name: &[],
        };
        if self.events.back().is_none_or(|last| !last.says(&lost)) && self.has_place() {
            self.events.push_back(Record {
                watch: lost.watch,
                mask: lost.mask,
                cookie: lost.cookie,
                name: Box::default(),
            });
        }
    }

    /// Makes room for one event, and for another that says that those after it were lost.
    fn reserve(&mut self) -> Result<(), TryReserveError> {
        if self.events.len() + 2 <= self.events.capacity() {
            return Ok(());
        }
        self.events.try_reserve_exact(EVENTS_GROWTH)
    }

    /// Whether one more event takes no memory.
    fn has_place(&self) -> bool {
        self.events.len() < self.events.capacity()
    }

    /// Removes a watch, and says so; whether there was one.
    fn remove(&mut self, machine: &dyn Machine, all: &Inotifies, number: i32) -> bool {
        if self.watches.remove(&number).is_none() {
            return false;
        }
        all.watch_count.fetch_sub(1, Ordering::AcqRel);
        let ignored = Told {
            watch: number,
            mask: IN_IGNORED,
            cookie: 0,
            name: &[],
        };
        self.push(machine, &ignored);
        true
    }
}

impl Record {
    fn says(&self, told: &Told<'_>) -> bool {
        (self.watch, self.mask, self.cookie) == (told.watch, told.mask, told.cookie)
            && *self.name == *told.name
    }

    /// Bytes of the name with at least one zero.
    fn name_bytes(&self) -> usize {
        match self.name.len() {
            0 => 0,
            len => (len + 1).next_multiple_of(NAME_UNIT_BYTES),
        }
    }

    fn len_bytes(&self) -> usize {
        HEADER_BYTES + self.name_bytes()
    }

    fn write(&self, out: &mut [u8]) {
        let words = [
            self.watch.cast_unsigned(),
            self.mask,
            self.cookie,
            self.name_bytes() as u32,
        ];
        out.fill(0);
        for (place, word) in out.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        out[HEADER_BYTES..][..self.name.len()].copy_from_slice(&self.name);
    }
}

impl Inode for Inotify {
    fn kind(&self) -> FileType {
        FileType::Unnamed
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mode = Mode::from_low_bits(0o600);
        Ok(Metadata::fixed(1, FileType::Unnamed, mode))
    }

    fn is_seekable(&self) -> bool {
        false
    }

    /// Gives as many events as there is room for.
    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut state = self.state.lock();
        if state.events.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let mut done = 0;
        while let Some(record) = state.events.front() {
            let len = record.len_bytes();
            let Some(out) = buffer.get_mut(done..done + len) else {
                break;
            };
            record.write(out);
            done += len;
            state.events.pop_front();
        }
        if state.events.is_empty() {
            state.events.shrink_to(EVENTS_GROWTH);
        }
        if done == 0 {
            return Err(Errno::EINVAL);
        }
        Ok(done)
    }

    fn readiness(&self) -> Readiness {
        if self.state.lock().events.is_empty() {
            Readiness::empty()
        } else {
            Readiness::READABLE
        }
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.watchers)
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let count = self.state.get_mut().watches.len();
        self.all.watch_count.fetch_sub(count, Ordering::AcqRel);
        let mut instances = self.all.instances.lock();
        let left = instances.get(&self.user).map_or(0, |count| count - 1);
        if left == 0 {
            instances.remove(&self.user);
        } else {
            instances.insert(self.user, left);
        }
    }
}

/// All bits that a program may give beside the events: [`IN_UNMOUNT`] and the like are told only.
pub(crate) const IN_KNOWN: u32 = ALL_EVENTS
    | IN_UNMOUNT
    | IN_Q_OVERFLOW
    | IN_IGNORED
    | IN_ONESHOT
    | IN_EXCL_UNLINK
    | IN_ONLYDIR
    | IN_DONT_FOLLOW
    | IN_MASK_ADD
    | IN_MASK_CREATE
    | Event::IS_DIRECTORY.bits();
/// Only a directory.
pub(crate) const IN_ONLYDIR: u32 = 0x0100_0000;
/// The link itself.
pub(crate) const IN_DONT_FOLLOW: u32 = 0x0200_0000;
/// Only what is not watched.
pub(crate) const IN_MASK_CREATE: u32 = 0x1000_0000;
/// These events, too.
pub(crate) const IN_MASK_ADD: u32 = 0x2000_0000;
