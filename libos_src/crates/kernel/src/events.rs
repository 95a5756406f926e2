//! Who waits for files to become ready.

use alloc::vec::Vec;

use hal::Machine;
use locks::Mutex;

/// The enclave threads that wait until some file of the LibOS changes its readiness.
///
/// One list for all files: who wakes looks at what it waits for. Register first, then look, then
/// sleep: a change in between is not lost.
pub(crate) struct Events {
    machine: &'static dyn Machine,
    waiting: Mutex<Vec<u32>>,
}

impl Events {
    /// Nobody waits.
    pub(crate) const fn new(machine: &'static dyn Machine) -> Self {
        Self {
            machine,
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// The next change wakes the enclave thread `number`.
    pub(crate) fn register(&self, number: u32) {
        let mut waiting = self.waiting.lock();
        if !waiting.contains(&number) {
            waiting.push(number);
        }
    }

    /// The enclave thread `number` waits no more.
    pub(crate) fn unregister(&self, number: u32) {
        self.waiting.lock().retain(|&other| other != number);
    }

    /// A file has changed.
    pub(crate) fn notify(&self) {
        let waiting = core::mem::take(&mut *self.waiting.lock());
        for number in waiting {
            self.machine.unpark(number);
        }
    }
}
