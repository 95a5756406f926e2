//! By how much the waits of a thread may be late.

/// The slack of a thread in nanoseconds, as `PR_SET_TIMERSLACK` of `prctl(2)` describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerSlack {
    current: u64,
    /// What 0 resets it to: what its parent had when it was made.
    default: u64,
}

/// What the first thread of all has on Linux.
const FIRST_NANOSECONDS: u64 = 50_000;

impl Default for TimerSlack {
    fn default() -> Self {
        Self {
            current: FIRST_NANOSECONDS,
            default: FIRST_NANOSECONDS,
        }
    }
}

impl TimerSlack {
    /// The present one.
    pub(crate) const fn nanoseconds(self) -> u64 {
        self.current
    }

    /// Changes it; 0 resets it.
    pub(crate) const fn set(&mut self, nanoseconds: u64) {
        self.current = if nanoseconds == 0 {
            self.default
        } else {
            nanoseconds
        };
    }

    /// That of a thread or process that this thread makes.
    pub(crate) const fn of_child(self) -> Self {
        Self {
            current: self.current,
            default: self.current,
        }
    }
}
