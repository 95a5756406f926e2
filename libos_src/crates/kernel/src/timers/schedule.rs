//! When a timer expires, and then again.

use core::time::Duration;

use hal::{Clock, Errno, Machine};

use super::{Expire, Key, Timers};
use crate::Libos;
use alloc::sync::Arc;

/// Processor time moves no faster than this, and is not worth looking at more often.
const PROCESSOR_POLL: Duration = Duration::from_millis(1);

/// What a timer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerClock {
    /// A clock of the machine.
    Wall(Clock),
    /// Processor time. How much of it there is now is the owner's to say.
    Processor,
}

/// A first time and a period, as programs give them; both zero when a timer does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    /// How long until it expires; zero if it is stopped.
    pub(crate) value: Duration,
    /// How long until it then expires again; zero if it does not.
    pub(crate) interval: Duration,
    /// How long ago it should have expired, if it is set to a moment that has passed.
    pub(crate) late: Duration,
}

/// The state of one timer.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    running: Option<Running>,
    interval: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    key: Key,
    /// On the timer's own clock: monotonic, or processor time.
    due: Duration,
    /// How much longer it was due when it was set.
    late: Duration,
}

impl Schedule {
    /// Sets it, so that `timer` expires; `now` is the time on its own clock. It then no longer runs
    /// as it did before.
    pub(crate) fn start(
        &mut self,
        libos: &Libos,
        timer: Arc<dyn Expire>,
        clock: TimerClock,
        now: Duration,
        setting: Setting,
    ) -> Result<(), Errno> {
        self.stop(&libos.timers);
        if setting.value.is_zero() {
            return Ok(());
        }
        let due = now.checked_add(setting.value).ok_or(Errno::EINVAL)?;
        self.interval = setting.interval;
        self.wait(libos, timer, clock, now, due)?;
        if let Some(running) = &mut self.running {
            running.late = setting.late;
        }
        Ok(())
    }

    /// Stops it.
    pub(crate) fn stop(&mut self, timers: &Timers) {
        if let Some(running) = self.running.take() {
            timers.remove(running.key);
        }
        self.interval = Duration::ZERO;
    }

    /// What is left, when its own clock shows `now`.
    pub(crate) fn setting(&self, now: Duration) -> Setting {
        let Some(running) = self.running else {
            return Setting::default();
        };
        // A timer that runs is never shown as stopped.
        let left = running.due.saturating_sub(now);
        Setting {
            value: left.max(Duration::from_nanos(1)),
            interval: self.interval,
            late: Duration::ZERO,
        }
    }

    /// The entry `key` has come up, when its own clock shows `now`: how often it has expired since.
    /// Zero if it was set again, or its clock is behind. It goes on if it is to.
    pub(crate) fn expire(
        &mut self,
        libos: &Libos,
        timer: Arc<dyn Expire>,
        clock: TimerClock,
        now: Duration,
        key: Key,
    ) -> u64 {
        let Some(running) = self.running.filter(|running| running.key == key) else {
            return 0;
        };
        self.running = None;
        let mut due = running.due;
        let late = now.checked_sub(due);
        let count = match late {
            None => 0,
            Some(_) if self.interval.is_zero() => return 1,
            Some(late) => {
                let missed = late.saturating_add(running.late);
                let periods = missed.as_nanos() / self.interval.as_nanos() + 1;
                let count = u64::try_from(periods).unwrap_or(u64::MAX);
                let step = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
                // What it was late by lies before the time that it was set for.
                let passed = Duration::from_nanos(step.saturating_mul(count));
                due = due.saturating_add(passed.saturating_sub(running.late));
                count
            }
        };
        // The keeper runs, so it need not be started.
        let _ = self.wait(libos, timer, clock, now, due);
        count
    }

    fn wait(
        &mut self,
        libos: &Libos,
        timer: Arc<dyn Expire>,
        clock: TimerClock,
        now: Duration,
        due: Duration,
    ) -> Result<(), Errno> {
        let deadline = match clock {
            TimerClock::Wall(_) => due,
            TimerClock::Processor => {
                let threads = libos.machine.cpu_count();
                let left = due.saturating_sub(now) / threads.max(1);
                monotonic(libos.machine).saturating_add(left.max(PROCESSOR_POLL))
            }
        };
        let key = libos.timers.add(libos.machine, deadline, timer)?;
        self.running = Some(Running {
            key,
            due,
            late: Duration::ZERO,
        });
        Ok(())
    }
}

/// The monotonic clock.
pub(super) fn monotonic(machine: &dyn Machine) -> Duration {
    machine.clock(Clock::Monotonic).into()
}
