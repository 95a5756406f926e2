//! Which content a file has, when it cannot change.

use core::sync::atomic::{AtomicU64, Ordering};

/// A name for bytes that never change: two files with the same one have the same content, whoever
/// opened them and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentId {
    /// Where the content comes from, such as a mounted image.
    pub source: u64,
    /// Which of its files it is.
    pub file: u64,
}

impl ContentId {
    /// A source that no other has or will have.
    #[must_use]
    pub fn new_source() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}
