//! All sockets of the enclave, and where they can be found.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use hal::{Errno, Machine};
use locks::Mutex;
use vfs::{DeviceNumber, OpenFile};

use super::{Kind, Socket};

/// The sockets of the enclave.
pub(crate) struct Sockets {
    pub(super) machine: &'static dyn Machine,
    bound: Mutex<BTreeMap<Place, Weak<Socket>>>,
    next_automatic: AtomicU32,
    /// All there are, for finding garbage.
    all: Mutex<BTreeMap<u64, Weak<Socket>>>,
    /// How many sockets are in inboxes, each as often as it is.
    pub(super) in_flight: AtomicUsize,
    /// How often one was put into an inbox or taken out.
    pub(super) moves: AtomicU64,
    /// At this many garbage is looked for.
    pub(super) collect_at: AtomicUsize,
    pub(super) collecting: Mutex<()>,
    /// How many descriptors were closed since garbage was looked for.
    pub(super) closed: AtomicUsize,
    /// How many files are in inboxes, by who sent them.
    in_flight_of: Mutex<BTreeMap<u32, usize>>,
    closing: Mutex<Closing>,
}

/// Files that lay in inboxes which are gone.
#[derive(Default)]
struct Closing {
    files: Vec<Arc<OpenFile>>,
    /// Whether somebody closes one after the other.
    is_under_way: bool,
}

/// Where a socket can be found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A name in a file system.
    Inode(DeviceNumber, u64),
    /// A name of its own name space, of which each kind of sockets has one.
    Abstract(Kind, Vec<u8>),
}

/// Names that are given automatically have five hexadecimal digits.
const AUTOMATIC_END: u32 = 1 << 20;

impl Sockets {
    /// There is none.
    pub(crate) fn new(machine: &'static dyn Machine) -> Arc<Self> {
        Arc::new(Self {
            machine,
            bound: Mutex::default(),
            next_automatic: AtomicU32::new(0),
            all: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            moves: AtomicU64::new(0),
            collect_at: AtomicUsize::new(super::garbage::COLLECT_MIN),
            collecting: Mutex::new(()),
            closed: AtomicUsize::new(0),
            in_flight_of: Mutex::default(),
            closing: Mutex::default(),
        })
    }

    /// Lets a socket be found.
    ///
    /// # Errors
    /// `EADDRINUSE`.
    pub(super) fn bind(&self, place: Place, socket: &Weak<Socket>) -> Result<(), Errno> {
        let mut bound = self.bound.lock();
        if bound.get(&place).is_some_and(|it| it.strong_count() > 0) {
            return Err(Errno::EADDRINUSE);
        }
        bound.insert(place, socket.clone());
        Ok(())
    }

    /// Lets it be found under some name; returns that.
    pub(super) fn bind_automatically(
        &self,
        kind: Kind,
        socket: &Weak<Socket>,
    ) -> Result<Vec<u8>, Errno> {
        for _ in 0..AUTOMATIC_END {
            let number = self.next_automatic.fetch_add(1, Ordering::Relaxed) % AUTOMATIC_END;
            let name = format!("{number:05x}").into_bytes();
            let place = Place::Abstract(kind, name.clone());
            if self.bind(place, socket).is_ok() {
                return Ok(name);
            }
        }
        Err(Errno::ENOSPC)
    }

    /// The socket at a place.
    ///
    /// # Errors
    /// `ECONNREFUSED`.
    pub(crate) fn find(&self, place: &Place) -> Result<Arc<Socket>, Errno> {
        let found = self.bound.lock().get(place).and_then(Weak::upgrade);
        found.ok_or(Errno::ECONNREFUSED)
    }

    /// A socket is not to be found there any more. Since it could not be, another may have come there.
    pub(super) fn unbind(&self, place: &Place, socket: &Weak<Socket>) {
        let mut bound = self.bound.lock();
        if bound.get(place).is_some_and(|it| it.ptr_eq(socket)) {
            bound.remove(place);
        }
    }

    pub(super) fn register(&self, number: u64, socket: &Weak<Socket>) {
        self.all.lock().insert(number, socket.clone());
    }

    pub(super) fn unregister(&self, number: u64) {
        self.all.lock().remove(&number);
    }

    /// Visits those that there are, one after the other.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&Socket)) {
        let mut next = 0;
        loop {
            let all = self.all.lock();
            let Some((&number, socket)) = all.range(next..).next() else {
                return;
            };
            let socket = socket.upgrade();
            drop(all);
            if let Some(socket) = socket {
                visit(&socket);
            }
            next = number + 1;
        }
    }

    pub(super) fn with_number(&self, number: u64) -> Option<Arc<Socket>> {
        self.all.lock().get(&number).and_then(Weak::upgrade)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// Files go into an inbox, sent by `user`.
    pub(super) fn depart(&self, files: &[Arc<OpenFile>], user: u32) {
        if files.is_empty() {
            return;
        }
        *self.in_flight_of.lock().entry(user).or_default() += files.len();
        for socket in files.iter().filter_map(|file| Socket::behind(file)) {
            socket.in_flight.fetch_add(1, Ordering::SeqCst);
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            self.moves.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// They have left the inbox.
    pub(super) fn arrive(&self, files: &[Arc<OpenFile>], user: u32) {
        if files.is_empty() {
            return;
        }
        let mut users = self.in_flight_of.lock();
        if let Some(count) = users.get_mut(&user) {
            *count -= files.len();
            if *count == 0 {
                users.remove(&user);
            }
        }
        drop(users);
        for socket in files.iter().filter_map(|file| Socket::behind(file)) {
            socket.in_flight.fetch_sub(1, Ordering::SeqCst);
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            self.moves.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// How many files of a user are on their way.
    pub(crate) fn in_flight_of(&self, user: u32) -> usize {
        self.in_flight_of
            .lock()
            .get(&user)
            .copied()
            .unwrap_or_default()
    }

    /// Closes files one after the other, and those that lie in their inboxes after them.
    pub(super) fn close(&self, mut files: Vec<Arc<OpenFile>>) {
        let mut closing = self.closing.lock();
        if closing.files.try_reserve(files.len()).is_err() {
            // Rather a deep stack than none of it.
            drop(closing);
            drop(files);
            return;
        }
        closing.files.append(&mut files);
        if core::mem::replace(&mut closing.is_under_way, true) {
            return;
        }
        while let Some(file) = closing.files.pop() {
            drop(closing);
            drop(file);
            closing = self.closing.lock();
        }
        closing.files = Vec::new();
        closing.is_under_way = false;
    }
}
