//! All sockets of the enclave, and where they can be found.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use hal::{Errno, Machine};
use locks::Mutex;
use vfs::{DeviceNumber, OpenFile};

use super::{Address, Socket};

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
}

/// Where a socket can be found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A name in a file system.
    Inode(DeviceNumber, u64),
    /// A name of its own name space.
    Abstract(Vec<u8>),
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
    pub(super) fn bind_automatically(&self, socket: &Weak<Socket>) -> Result<Address, Errno> {
        for _ in 0..AUTOMATIC_END {
            let number = self.next_automatic.fetch_add(1, Ordering::Relaxed) % AUTOMATIC_END;
            let name = format!("{number:05x}").into_bytes();
            if self.bind(Place::Abstract(name.clone()), socket).is_ok() {
                return Ok(Address::Abstract(name));
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

    /// A socket is not to be found there any more.
    pub(super) fn unbind(&self, place: &Place) {
        self.bound.lock().remove(place);
    }

    pub(super) fn register(&self, number: u64, socket: &Weak<Socket>) {
        self.all.lock().insert(number, socket.clone());
    }

    pub(super) fn unregister(&self, number: u64) {
        self.all.lock().remove(&number);
    }

    pub(super) fn all(&self) -> Vec<Arc<Socket>> {
        self.all.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// A file goes into an inbox.
    pub(super) fn depart(&self, file: &OpenFile) {
        if let Some(socket) = Socket::behind(file) {
            socket.in_flight.fetch_add(1, Ordering::SeqCst);
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            self.moves.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// It has left the inbox.
    pub(super) fn arrive(&self, file: &OpenFile) {
        if let Some(socket) = Socket::behind(file) {
            socket.in_flight.fetch_sub(1, Ordering::SeqCst);
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            self.moves.fetch_add(1, Ordering::SeqCst);
        }
    }
}
