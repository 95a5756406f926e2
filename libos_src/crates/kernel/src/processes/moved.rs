//! What threads read and write, for who asks.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes that a thread has read and written by system calls, and how many calls these were. It alone
/// counts, so no two write at once: an atomic addition for each would take longer than all else about it.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    read: Count,
    written: Count,
}

#[derive(Debug, Default)]
struct Count {
    bytes: AtomicU64,
    calls: AtomicU64,
}

impl Moved {
    /// A call has read so much.
    pub(crate) fn count_read(&self, bytes: u64) {
        self.read.add(bytes, 1);
    }

    /// A call has written so much.
    pub(crate) fn count_written(&self, bytes: u64) {
        self.written.add(bytes, 1);
    }

    /// Adds what another one has. Who calls it is alone with `self`, as a thread is that counts.
    pub(crate) fn add(&self, other: &Self) {
        self.read.add(other.read.bytes(), other.read.calls());
        self.written
            .add(other.written.bytes(), other.written.calls());
    }

    /// The text of `/proc/PID/io`. Of what comes to disks only the host knows.
    pub(crate) fn text(&self) -> String {
        format!(
            "rchar: {}\nwchar: {}\nsyscr: {}\nsyscw: {}\nread_bytes: 0\nwrite_bytes: 0\n\
             cancelled_write_bytes: 0\n",
            self.read.bytes(),
            self.written.bytes(),
            self.read.calls(),
            self.written.calls()
        )
    }
}

impl Count {
    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64, calls: u64) {
        let bytes = self.bytes().wrapping_add(bytes);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.calls.store(self.calls() + calls, Ordering::Relaxed);
    }
}
