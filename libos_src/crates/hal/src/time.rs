//! Nouns about time.

use core::time::Duration;

/// Which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Seconds since 1970.
    Realtime,
    /// Time since some fixed moment; never goes back.
    Monotonic,
}

/// A time: whole seconds, and nanoseconds below 10⁹.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespec {
    /// Whole seconds.
    pub seconds: u64,
    /// The rest; below 1,000,000,000.
    pub nanoseconds: u32,
}

impl From<Timespec> for Duration {
    fn from(time: Timespec) -> Self {
        Self::new(time.seconds, time.nanoseconds)
    }
}

impl From<Duration> for Timespec {
    fn from(duration: Duration) -> Self {
        Self {
            seconds: duration.as_secs(),
            nanoseconds: duration.subsec_nanos(),
        }
    }
}
