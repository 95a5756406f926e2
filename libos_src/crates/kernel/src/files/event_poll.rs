//! `epoll`: a set of files, and a queue of those that may be ready.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Bound;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bitflags::bitflags;
use hal::{Errno, HostPoll};
use locks::Mutex;
use vfs::{FileType, Inode, Metadata, Mode, OpenFile, Readiness, Watcher, Watchers};

use super::poll_events::Names;
use super::{HostStream, poll_events};

/// An `epoll` object (epoll(7)).
pub(crate) struct EventPoll {
    this: Weak<Self>,
    interests: Mutex<Interests>,
    /// Those that became ready since somebody last looked. Each is in it at most once.
    queue: Mutex<VecDeque<Arc<Interest>>>,
    /// Held by who goes through the queue and takes some out to look at them: to others it would look empty.
    /// Of an outer `epoll` before an inner one.
    looking: Mutex<()>,
    /// Other `epoll`s that this one was added to.
    parents: Mutex<Vec<Weak<Self>>>,
    watchers: Watchers,
}

/// A file and the number under which it was added: one file may be added under several.
type Key = (i32, usize);

#[derive(Default)]
struct Interests {
    by_key: BTreeMap<Key, Arc<Interest>>,
    /// Those among them that are pulled.
    pulled: BTreeMap<Key, Arc<Interest>>,
    /// At this size the files that were closed meanwhile are looked for.
    purge_at: usize,
}

/// One file that is watched.
struct Interest {
    this: Weak<Self>,
    poll: Weak<EventPoll>,
    /// Closing the file ends the interest, so it does not keep it open.
    file: Weak<OpenFile>,
    /// What the file can be ready for: who can only read a pipe hears nothing of its writers' room.
    hears: Readiness,
    names: Names,
    wish: Mutex<Wish>,
    /// Whether it must be looked at each time: its file is a stream of the host, or another `epoll`,
    /// which may hold one.
    is_pulled: bool,
    /// Whether its file tells when it becomes ready, so that it gets into the queue.
    is_pushed: bool,
    is_queued: AtomicBool,
    is_gone: AtomicBool,
    /// For edges of what is pulled: something has happened since it was reported.
    has_edge: AtomicBool,
    /// For edges of a stream of the host: how often it had been used when it was reported.
    uses_seen: AtomicU64,
}

/// What a program wants to know, and how it wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The events, and the flags of [`EventFlags`].
    pub(crate) events: u32,
    /// What it is told with.
    pub(crate) data: u64,
}

bitflags! {
    /// The flags among the events of a wish.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct EventFlags: u32 {
        /// Wake one of several `epoll`s that want this.
        const EXCLUSIVE = 1 << 28;
        /// Keep the system awake: it does not sleep.
        const WAKE_UP = 1 << 29;
        /// Tell once, and then not until the wish is changed.
        const ONE_SHOT = 1 << 30;
        /// Tell of changes only.
        const EDGE = 1 << 31;
    }
}

/// What may go with [`EventFlags::EXCLUSIVE`]: input, output, errors, hang-ups and some of the flags.
const EXCLUSIVE_MAY: u32 = 0xb000_001d;
/// As many `epoll`s may be in one another, the outermost counted.
const DEPTH_MAX: usize = 5;
/// By how many entries the queue grows at most.
const QUEUE_GROWTH: usize = 1024;
/// The smallest set in which closed files are looked for.
const PURGE_MIN: usize = 64;

/// In how many ways one may lead to others that it is in, two of them in a row, three and so on: to look at the
/// outermost, or to tell it something, takes a step for each. Linux, `path_limits`, but without a file in it, too.
const PATHS_MAX: [usize; DEPTH_MAX - 1] = [500, 100, 50, 10];

/// Held while one `epoll` is added to another, so that no two make a circle together.
static NESTING: Mutex<()> = Mutex::new(());

impl EventPoll {
    /// An empty set.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            interests: Mutex::default(),
            queue: Mutex::default(),
            looking: Mutex::new(()),
            parents: Mutex::default(),
            watchers: Watchers::new(),
        })
    }

    /// The `epoll` that an open file is, if it is one.
    pub(crate) fn behind(file: &OpenFile) -> Option<&Self> {
        file.object().downcast()
    }

    /// How many others it knows that it was added to.
    #[cfg(test)]
    pub(crate) fn parent_count(&self) -> usize {
        self.parents.lock().len()
    }

    /// Adds a file.
    ///
    /// # Errors
    /// `EPERM` if its readiness never changes, `EEXIST` if it is there, `ELOOP` if it would be
    /// inside itself or too deep, `EINVAL` for flags that do not go together, or if one would be in too many.
    pub(crate) fn add(&self, number: i32, file: &Arc<OpenFile>, wish: Wish) -> Result<(), Errno> {
        if !poll_events::can_wait_for(file) {
            return Err(Errno::EPERM);
        }
        let inner = Self::behind(file);
        if wish.flags().contains(EventFlags::EXCLUSIVE)
            && (wish.events & !EXCLUSIVE_MAY != 0 || inner.is_some())
        {
            return Err(Errno::EINVAL);
        }
        let nesting = inner.map(|_| NESTING.lock());
        if let Some(inner) = inner {
            let depth = self.height() + inner.depth_without(self)?;
            if depth > DEPTH_MAX {
                return Err(Errno::ELOOP);
            }
        }
        let interest = Arc::new_cyclic(|this| Interest {
            this: this.clone(),
            poll: self.this.clone(),
            file: Arc::downgrade(file),
            hears: audible(file),
            names: Names::of(file),
            wish: Mutex::new(wish.with_ends()),
            is_pulled: inner.is_some() || HostStream::behind(file).is_some(),
            is_pushed: HostStream::behind(file).is_none(),
            is_queued: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            has_edge: AtomicBool::new(true),
            uses_seen: AtomicU64::new(0),
        });
        let mut interests = self.interests.lock();
        self.make_room_in_queue(interests.by_key.len() + 1)?;
        interests.add(key(number, file), &interest)?;
        drop(interests);
        if let Some(inner) = inner {
            let mut parents = inner.parents.lock();
            // One that was closed does not say so, and its memory stays as long as it is known.
            parents.retain(|parent| parent.strong_count() > 0);
            parents.push(self.this.clone());
            drop(parents);
            if inner.leads_to_too_many(&mut BTreeSet::new()) {
                self.remove(number, file)?;
                return Err(Errno::EINVAL);
            }
        }
        drop(nesting);
        let watcher: Arc<dyn Watcher> = interest.clone();
        if let Some(watchers) = file.watchers() {
            watchers.add(&watcher, Readiness::all());
        }
        interest.look();
        Ok(())
    }

    /// Changes what is wanted of a file, and looks at it anew.
    ///
    /// # Errors
    /// `ENOENT` if it is not there; `EINVAL` for flags that do not go together.
    pub(crate) fn change(
        &self,
        number: i32,
        file: &Arc<OpenFile>,
        wish: Wish,
    ) -> Result<(), Errno> {
        if wish.flags().contains(EventFlags::EXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        let interests = self.interests.lock();
        let interest = interests.by_key.get(&key(number, file));
        let interest = interest.ok_or(Errno::ENOENT)?.clone();
        drop(interests);
        let mut present = interest.wish.lock();
        if present.flags().contains(EventFlags::EXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        *present = wish.with_ends();
        drop(present);
        interest.has_edge.store(true, Ordering::SeqCst);
        interest.look();
        Ok(())
    }

    /// Takes a file out.
    ///
    /// # Errors
    /// `ENOENT` if it is not there.
    pub(crate) fn remove(&self, number: i32, file: &Arc<OpenFile>) -> Result<(), Errno> {
        let mut interests = self.interests.lock();
        let removed = interests.by_key.remove(&key(number, file));
        interests.pulled.remove(&key(number, file));
        let left = interests.by_key.len();
        drop(interests);
        let interest = removed.ok_or(Errno::ENOENT)?;
        interest.leave();
        // It gives back only what others have left there.
        let _ = self.make_room_in_queue(left);
        if let Some(inner) = Self::behind(file) {
            let mut parents = inner.parents.lock();
            let place = parents.iter().position(|parent| parent.ptr_eq(&self.this));
            place.map(|place| parents.swap_remove(place));
        }
        Ok(())
    }

    /// Gives up to `limit` events that are there now, one after another, and says how many were taken.
    /// What is not taken stays ready, and so do those behind it.
    ///
    /// # Errors
    /// That of `give` if not even the first was taken.
    pub(crate) fn collect(
        &self,
        limit: usize,
        mut give: impl FnMut(usize, Wish) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        let mut count = 0;
        let mut refused = None;
        let mut take = |interest: &Interest, count: &mut usize| {
            let given = interest.take(|wish| give(*count, wish));
            match given {
                Ok(is_there) => *count += usize::from(is_there),
                Err(errno) => refused = Some(errno),
            }
            given
        };
        let mut is_over = false;
        let looking = self.looking.lock();
        // Each is looked at once, although one that stays ready goes back into the queue.
        let mut left = self.queue.lock().len();
        while left > 0 && count < limit {
            left -= 1;
            let Some(interest) = self.dequeue() else {
                break;
            };
            match take(&interest, &mut count) {
                Ok(true) if interest.wish.lock().is_told_again() => {
                    self.enqueue(&interest);
                }
                Ok(_) => {}
                Err(_) => {
                    self.put_back(interest);
                    is_over = true;
                    break;
                }
            }
        }
        drop(looking);
        if !is_over {
            self.find_pulled(|interest| {
                let is_next = count < limit && !interest.is_queued.load(Ordering::SeqCst);
                let is_refused = is_next && take(interest, &mut count).is_err();
                (is_refused || count >= limit).then_some(())
            });
        }
        refused.filter(|_| count == 0).map_or(Ok(count), Err)
    }

    /// What `fdinfo` says of it.
    pub(super) fn details(&self) -> String {
        let interests = self.interests.lock();
        let all = interests.by_key.iter();
        let all: Vec<_> = all.map(|(key, it)| (key.0, it.clone())).collect();
        // A file that is closed meanwhile goes without the lock.
        drop(interests);
        let line = |(number, interest): (i32, Arc<Interest>)| {
            let file = interest.file.upgrade()?;
            let Wish { events, data } = *interest.wish.lock();
            let position = file.offset();
            let (inode, device) = file
                .location()
                .file_id()
                .map_or((0, 0), |id| (id.inode, id.device));
            Some(format!(
                "tfd: {number:8} events: {events:8x} data: {data:16x}  pos:{position} ino:{inode:x} sdev:{device:x}\n"
            ))
        };
        all.into_iter().filter_map(line).collect()
    }

    /// Adds the streams of the host in this set and in those inside it.
    pub(crate) fn add_host_streams(&self, streams: &mut Vec<HostPoll>) {
        self.find_pulled(|interest| {
            let wish = *interest.wish.lock();
            if let Some(file) = interest.file.upgrade()
                && wish.is_active()
                && interest.may_tell(&file, wish)
            {
                poll_events::add_host_streams(&file, poll_events::wanted(wish.events), streams);
            }
            None::<()>
        });
    }

    /// Looks at those that are pulled, with nothing locked, until one gives something.
    fn find_pulled<T>(&self, mut look: impl FnMut(&Interest) -> Option<T>) -> Option<T> {
        let mut last = Bound::Unbounded;
        loop {
            let interests = self.interests.lock();
            let (&key, interest) = interests.pulled.range((last, Bound::Unbounded)).next()?;
            let interest = interest.clone();
            drop(interests);
            if let Some(found) = look(&interest) {
                return Some(found);
            }
            last = Bound::Excluded(key);
        }
    }

    /// Sees to it that the queue takes every one of `count` interests without more memory, and those that are
    /// over but still in it.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn make_room_in_queue(&self, count: usize) -> Result<(), Errno> {
        let most = 2 * count + PURGE_MIN;
        let mut queue = self.queue.lock();
        let before = queue.len();
        if before + count > most {
            let stays = |it: &Arc<Interest>| {
                !it.is_gone.load(Ordering::SeqCst) && it.file.strong_count() > 0
            };
            queue.retain(stays);
        }
        if queue.capacity() < most {
            let more = (2 * most).min(most + QUEUE_GROWTH) - queue.len();
            let reserved = queue.try_reserve_exact(more);
            reserved.map_err(|_| Errno::ENOMEM)?;
        }
        Ok(())
    }

    /// Whether one in the queue has something to tell. Those before it that have not leave the queue, as on
    /// Linux: when they become ready again, they are the last.
    fn has_queued(&self) -> bool {
        let _looking = self.looking.lock();
        while let Some(interest) = self.dequeue() {
            if interest.present().is_some() {
                self.put_back(interest);
                return true;
            }
        }
        false
    }

    /// Takes the first out of the queue, to look at it.
    fn dequeue(&self) -> Option<Arc<Interest>> {
        let first = self.queue.lock().pop_front()?;
        // Before the look, so that a change from now on puts it back.
        first.is_queued.store(false, Ordering::SeqCst);
        Some(first)
    }

    /// Puts one back that was the first in the queue.
    fn put_back(&self, interest: Arc<Interest>) {
        if !interest.is_queued.swap(true, Ordering::SeqCst) {
            self.queue.lock().push_front(interest);
        }
    }

    /// Puts one at the end of the queue; whether it was not in it.
    fn enqueue(&self, interest: &Arc<Interest>) -> bool {
        let is_new = !interest.is_queued.swap(true, Ordering::SeqCst);
        if is_new {
            self.queue.lock().push_back(interest.clone());
        }
        is_new
    }

    /// How many `epoll`s there are in one another from here on inwards.
    ///
    /// # Errors
    /// `ELOOP` if `other` is one of them, or there are too many.
    fn depth_without(&self, other: &Self) -> Result<usize, Errno> {
        self.depth_below(other, DEPTH_MAX)
    }

    fn depth_below(&self, other: &Self, limit: usize) -> Result<usize, Errno> {
        if ptr::eq(self, other) || limit == 0 {
            return Err(Errno::ELOOP);
        }
        let mut deepest = 0;
        let refused = self.find_pulled(|interest| {
            let file = interest.file.upgrade()?;
            match Self::behind(&file)?.depth_below(other, limit - 1) {
                Ok(depth) => {
                    deepest = deepest.max(depth);
                    None
                }
                Err(errno) => Some(errno),
            }
        });
        refused.map_or(Ok(deepest + 1), Err)
    }

    /// Whether it, or one in it that is not among the `known`, is in too many others.
    fn leads_to_too_many(&self, known: &mut BTreeSet<*const Self>) -> bool {
        if !known.insert(ptr::from_ref(self)) {
            return false;
        }
        let found = self.find_pulled(|interest| {
            let file = interest.file.upgrade()?;
            Self::behind(&file)?.leads_to_too_many(known).then_some(())
        });
        found.is_some() || self.is_in_too_many()
    }

    fn is_in_too_many(&self) -> bool {
        let mut level: Vec<_> = self.this.upgrade().into_iter().collect();
        for most in PATHS_MAX {
            let mut above = Vec::new();
            for set in &level {
                above.extend(set.parents.lock().iter().filter_map(Weak::upgrade));
                if above.len() > most {
                    return true;
                }
            }
            level = above;
        }
        false
    }

    /// How many there are in one another from here on outwards. They were checked when they were
    /// added, so this ends.
    fn height(&self) -> usize {
        let parents = self.parents.lock().clone();
        let above = parents.iter().filter_map(Weak::upgrade);
        1 + above.map(|parent| parent.height()).max().unwrap_or(0)
    }
}

impl Interests {
    fn add(&mut self, key: Key, interest: &Arc<Interest>) -> Result<(), Errno> {
        if self.by_key.len() >= self.purge_at.max(PURGE_MIN) {
            self.by_key.retain(|_, it| it.file.strong_count() > 0);
            self.pulled.retain(|_, it| it.file.strong_count() > 0);
            self.purge_at = self.by_key.len() * 2;
        }
        // The address of a file that was closed may be in use again, not so the interest in it.
        if let Some(present) = self.by_key.get(&key)
            && present.file.strong_count() > 0
        {
            return Err(Errno::EEXIST);
        }
        self.by_key.insert(key, interest.clone());
        if interest.is_pulled {
            self.pulled.insert(key, interest.clone());
        } else {
            self.pulled.remove(&key);
        }
        Ok(())
    }
}

impl Interest {
    /// Puts itself into the queue if its file is ready now, and tells of that if it was not there.
    fn look(self: &Arc<Self>) {
        let Some(file) = self.file.upgrade() else {
            return;
        };
        let wish = *self.wish.lock();
        if self.names.events(file.readiness(), wish.events) != 0 {
            self.tell(wish, false);
        }
    }

    /// Puts itself into the queue, and tells of that: of what has `changed` also who knows already.
    fn tell(self: &Arc<Self>, wish: Wish, changed: bool) {
        let Some(poll) = self.poll.upgrade().filter(|_| wish.is_active()) else {
            return;
        };
        self.has_edge.store(true, Ordering::SeqCst);
        let is_news = !self.is_pushed || poll.enqueue(self);
        if is_news || changed {
            poll.watchers.notify(Readiness::READABLE);
        }
    }

    /// Whether an edge, if only edges are wanted, is there to be told.
    fn may_tell(&self, file: &OpenFile, wish: Wish) -> bool {
        if !self.is_pulled || !wish.flags().contains(EventFlags::EDGE) {
            return true;
        }
        let is_used = HostStream::behind(file)
            .is_some_and(|stream| stream.uses() != self.uses_seen.load(Ordering::SeqCst));
        is_used || self.has_edge.load(Ordering::SeqCst)
    }

    /// What there is to tell, without telling it.
    fn present(&self) -> Option<Wish> {
        let wish = *self.wish.lock();
        if self.is_gone.load(Ordering::SeqCst) || !wish.is_active() {
            return None;
        }
        let file = self.file.upgrade()?;
        if !self.may_tell(&file, wish) {
            return None;
        }
        let readiness = match HostStream::behind(&file) {
            // Not as a use of the stream.
            Some(stream) => stream.look(),
            None => file.readiness(),
        };
        let events = self.names.events(readiness, wish.events);
        (events != 0).then_some(Wish { events, ..wish })
    }

    /// Gives what there is to tell; whether there is something. If it is not taken, it is still to be told.
    fn take(&self, give: impl FnOnce(Wish) -> Result<(), Errno>) -> Result<bool, Errno> {
        let Some(event) = self.present() else {
            return Ok(false);
        };
        // Before it is given, so that what happens from now on is an edge.
        self.has_edge.store(false, Ordering::SeqCst);
        if let Some(stream) = self.file.upgrade().as_deref().and_then(HostStream::behind) {
            self.uses_seen.store(stream.uses(), Ordering::SeqCst);
        }
        if let Err(errno) = give(event) {
            self.has_edge.store(true, Ordering::SeqCst);
            return Err(errno);
        }
        let mut wish = self.wish.lock();
        if wish.flags().contains(EventFlags::ONE_SHOT) {
            // Nothing is wanted until the wish is changed.
            wish.events = wish.flags().bits();
        }
        Ok(true)
    }

    fn leave(self: &Arc<Self>) {
        self.is_gone.store(true, Ordering::SeqCst);
        let watcher: Arc<dyn Watcher> = self.clone();
        if let Some(file) = self.file.upgrade()
            && let Some(watchers) = file.watchers()
        {
            watchers.remove(&watcher);
        }
    }
}

impl Watcher for Interest {
    fn notify(&self, now: Readiness) -> bool {
        let stays = !self.is_gone.load(Ordering::SeqCst) && self.file.strong_count() > 0;
        if let Some(this) = self.this.upgrade().filter(|_| stays) {
            let wish = *this.wish.lock();
            let heard = now & this.hears;
            let is_anew = heard.contains(Readiness::ANEW) && heard != Readiness::ANEW;
            if is_anew || this.names.are_woken(heard, wish.events) {
                this.tell(wish, true);
            }
        }
        stays
    }

    fn is_told_early(&self) -> bool {
        !self.is_exclusive()
    }

    fn is_exclusive(&self) -> bool {
        self.wish.lock().flags().contains(EventFlags::EXCLUSIVE)
    }

    fn is_waiting(&self) -> bool {
        // One that was told already is about to look.
        let is_told = self.is_queued.load(Ordering::SeqCst);
        let poll = self.poll.upgrade().filter(|_| !is_told);
        poll.is_some_and(|poll| poll.watchers.are_there())
    }
}

/// What is told of a file that was opened so.
fn audible(file: &OpenFile) -> Readiness {
    let mut hears = Readiness::all();
    hears.set(Readiness::READABLE, file.flags().is_readable());
    hears.set(Readiness::WRITABLE, file.flags().is_writable());
    hears
}

impl Wish {
    /// The same, and the errors and hang-ups that are told unasked.
    fn with_ends(self) -> Self {
        let ends = (Readiness::ERROR | Readiness::HANG_UP).bits();
        Self {
            events: self.events | ends,
            ..self
        }
    }

    fn flags(self) -> EventFlags {
        EventFlags::from_bits_truncate(self.events)
    }

    /// Whether it is fulfilled again and again as long as the file is ready.
    fn is_told_again(self) -> bool {
        !self
            .flags()
            .intersects(EventFlags::EDGE | EventFlags::ONE_SHOT)
    }

    /// Whether a one-shot wish is still to be fulfilled.
    fn is_active(self) -> bool {
        self.events & !EventFlags::all().bits() != 0 || !self.flags().contains(EventFlags::ONE_SHOT)
    }
}

impl Inode for EventPoll {
    fn kind(&self) -> FileType {
        FileType::Unnamed
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(Metadata::fixed(
            1,
            FileType::Unnamed,
            Mode::from_low_bits(0o600),
        ))
    }

    fn readiness(&self) -> Readiness {
        let others = |interest: &Interest| {
            let is_queued = interest.is_queued.load(Ordering::SeqCst);
            (!is_queued).then(|| interest.present()).flatten()
        };
        let is_present = self.has_queued() || self.find_pulled(others).is_some();
        if is_present {
            Readiness::READABLE
        } else {
            Readiness::empty()
        }
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.watchers)
    }
}

impl Drop for EventPoll {
    fn drop(&mut self) {
        for interest in self.interests.get_mut().by_key.values() {
            interest.leave();
        }
    }
}

fn key(number: i32, file: &Arc<OpenFile>) -> Key {
    (number, Arc::as_ptr(file).addr())
}
