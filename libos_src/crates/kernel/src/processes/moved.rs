//! What a process reads and writes, for who asks.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes that a process has read and written by system calls, and how many calls these were.
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
        self.read.add(bytes);
    }

    /// A call has written so much.
    pub(crate) fn count_written(&self, bytes: u64) {
        self.written.add(bytes);
    }

    /// The text of `/proc/PID/io`. Of what comes to disks only the host knows.
    pub(crate) fn text(&self) -> String {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        format!(
            "rchar: {}\nwchar: {}\nsyscr: {}\nsyscw: {}\nread_bytes: 0\nwrite_bytes: 0\n\
             cancelled_write_bytes: 0\n",
            get(&self.read.bytes),
            get(&self.written.bytes),
            get(&self.read.calls),
            get(&self.written.calls)
        )
    }
}

impl Count {
    fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}
