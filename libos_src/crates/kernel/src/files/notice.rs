//! Signals about files: `O_ASYNC`, `F_SETOWN` and `F_SETSIG` (fcntl(2)).

use alloc::sync::{Arc, Weak};

use hal::Errno;
use locks::{Mutex, Once};
use vfs::{OpenFile, Readiness, Watcher};

use super::LeaseOfFile;
use crate::processes::Ids;
use crate::signals::{Outbox, Recipient, Signal, SignalInfo};

/// Why a signal is sent: its code (`POLL_*`), and the events of `poll` that Linux gives with it, whichever
/// of them there are.
#[derive(Clone, Copy)]
struct Reason(i32, u32);

const INPUT: Reason = Reason(1, 0x41);
const OUTPUT: Reason = Reason(2, 0x304);
const MESSAGE: Reason = Reason(3, 0x441);
const HANG_UP: Reason = Reason(6, 0x18);

/// Who is told by a signal that an open file is ready.
pub(crate) struct Notice {
    file: Weak<OpenFile>,
    outbox: Arc<Outbox>,
    terms: Mutex<Terms>,
    /// What goes with the open file, once it had a lease.
    lease: Once<LeaseOfFile>,
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Who gets the signal.
    pub(crate) owner: Option<Recipient>,
    /// The user who named them, and must be allowed to send them signals.
    pub(crate) asker: Ids,
    /// Which one, and then with the reason; else `SIGIO`.
    pub(crate) signal: Option<Signal>,
    /// The descriptor that it was asked for with.
    fd: i32,
    /// Whether it is sent at all.
    is_on: bool,
}

impl Notice {
    /// The one of an open file.
    ///
    /// # Errors
    /// `EINVAL`, if something else uses the place where it is kept.
    pub(crate) fn of(file: &Arc<OpenFile>, outbox: &Arc<Outbox>) -> Result<Arc<Self>, Errno> {
        let new = || {
            Arc::new(Self {
                file: Arc::downgrade(file),
                outbox: outbox.clone(),
                terms: Mutex::default(),
                lease: Once::new(),
            })
        };
        file.companion(new).ok_or(Errno::EINVAL)
    }

    /// What was agreed on.
    pub(crate) fn terms(&self) -> Terms {
        *self.terms.lock()
    }

    /// Agrees on something else.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Terms)) {
        change(&mut self.terms.lock());
    }

    /// Lets the lease of the open file go with it, which the first call makes.
    pub(super) fn keep_lease(&self, make: impl FnOnce() -> LeaseOfFile) {
        self.lease.call_once(make);
    }

    /// Something is to be told of the file behind `fd`: to `owner`, if nobody was named, as if
    /// `asker` had named them.
    pub(crate) fn begin(&self, fd: i32, owner: Recipient, asker: Ids) {
        let mut terms = self.terms.lock();
        terms.fd = fd;
        if terms.owner.is_none() {
            (terms.owner, terms.asker) = (Some(owner), asker);
        }
    }

    /// Tells of something that is no input or output: a lease that is to go, a directory that was
    /// changed.
    pub(crate) fn tell_of_message(&self) {
        let terms = self.terms();
        if let Some(owner) = terms.owner {
            self.post(owner, &terms, MESSAGE);
        }
    }

    fn post(&self, owner: Recipient, terms: &Terms, reason: Reason) {
        let Reason(code, band) = reason;
        let (signal, info) = match terms.signal {
            Some(signal) => (signal, SignalInfo::from_file(signal, code, band, terms.fd)),
            None => (Signal::IO, SignalInfo::from_kernel(Signal::IO)),
        };
        self.outbox.post_for(terms.asker, owner, signal, info);
    }

    /// Begins or ends to send it. `owner` gets it if nobody was named, as if `asker` had named them.
    pub(crate) fn turn(
        self: &Arc<Self>,
        is_on: bool,
        fd: i32,
        owner: Option<Recipient>,
        asker: Ids,
    ) {
        let Some(file) = self.file.upgrade() else {
            return;
        };
        let mut terms = self.terms.lock();
        let was_on = core::mem::replace(&mut terms.is_on, is_on);
        if is_on {
            terms.fd = fd;
            if terms.owner.is_none() {
                (terms.owner, terms.asker) = (owner, asker);
            }
        }
        drop(terms);
        let Some(watchers) = file.watchers().filter(|_| was_on != is_on) else {
            return;
        };
        let watcher: Arc<dyn Watcher> = self.clone();
        // A switch off and on again leaves no second one.
        watchers.remove(&watcher);
        if is_on {
            let mut wanted = Readiness::empty();
            wanted.set(Readiness::READABLE, file.flags().is_readable());
            wanted.set(Readiness::WRITABLE, file.flags().is_writable());
            watchers.add(&watcher, wanted);
        }
    }
}

impl Watcher for Notice {
    fn notify(&self, now: Readiness) -> bool {
        let Some(file) = self.file.upgrade() else {
            return false;
        };
        let terms = self.terms();
        let due = file.readiness().intersection(now);
        if let Some(owner) = terms.owner.filter(|_| terms.is_on && !due.is_empty()) {
            let reason = if due.contains(Readiness::READABLE) {
                INPUT
            } else if due.contains(Readiness::WRITABLE) {
                OUTPUT
            } else {
                HANG_UP
            };
            self.post(owner, &terms, reason);
        }
        terms.is_on
    }

    fn signal(&self, now: Readiness) {
        let (terms, file) = (self.terms(), self.file.upgrade());
        let Some((owner, file)) = terms.owner.zip(file).filter(|_| terms.is_on) else {
            return;
        };
        // Of a file that reads and writes both are told.
        if now.contains(Readiness::HANG_UP) {
            self.post(owner, &terms, HANG_UP);
        }
        if now.contains(Readiness::READABLE) && file.flags().is_readable() {
            self.post(owner, &terms, INPUT);
        }
        if now.contains(Readiness::WRITABLE) && file.flags().is_writable() {
            self.post(owner, &terms, OUTPUT);
        }
    }

    fn sends_signals(&self) -> bool {
        true
    }
}
