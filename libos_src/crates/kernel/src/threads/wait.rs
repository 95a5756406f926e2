//! Waiting, with an end that is a time or a signal.

use core::time::Duration;

use hal::{Clock, Errno, Machine};

use super::Thread;
use crate::Libos;
use crate::process::Process;

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// What was waited for may have happened: look again.
    Look,
    /// The time is over.
    TimedOut,
    /// A signal is to be delivered.
    Signal,
}

/// A moment on the monotonic clock, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Duration>);

impl Deadline {
    /// Never.
    pub(crate) const NEVER: Self = Self(None);

    /// After a time from now.
    pub(crate) fn after(machine: &dyn Machine, time: Duration) -> Self {
        Self(now(machine, Clock::Monotonic).checked_add(time))
    }

    /// When `clock` shows `time`. A realtime clock that is set later does not move it.
    pub(crate) fn at(machine: &dyn Machine, clock: Clock, time: Duration) -> Self {
        match clock {
            Clock::Monotonic => Self(Some(time)),
            Clock::Realtime => {
                Self::after(machine, time.saturating_sub(now(machine, Clock::Realtime)))
            }
        }
    }

    /// Whether there is one.
    pub(crate) const fn is_never(self) -> bool {
        self.0.is_none()
    }

    /// How long it is until then; zero when it has passed, `None` for never.
    pub(crate) fn remaining(self, machine: &dyn Machine) -> Option<Duration> {
        Some(self.0?.saturating_sub(now(machine, Clock::Monotonic)))
    }
}

fn now(machine: &dyn Machine, clock: Clock) -> Duration {
    machine.clock(clock).into()
}

impl Libos {
    /// Lets this thread sleep until something wakes it. Whoever calls it looks again afterwards.
    pub(crate) fn sleep(&self, process: &Process, thread: &Thread, deadline: Deadline) -> Wake {
        if process.has_signal_for(thread) {
            return Wake::Signal;
        }
        if deadline.remaining(self.machine) == Some(Duration::ZERO) {
            return Wake::TimedOut;
        }
        self.machine.park(deadline.0);
        Wake::Look
    }
}

/// Reads a time that a program passed: seconds not negative, nanoseconds below a second.
pub(crate) fn duration_of(seconds: i64, nanoseconds: i64) -> Result<Duration, Errno> {
    let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
    match u32::try_from(nanoseconds) {
        Ok(nanoseconds @ 0..=999_999_999) => Ok(Duration::new(seconds, nanoseconds)),
        _ => Err(Errno::EINVAL),
    }
}
