//! `setitimer` and `alarm`: three timers that each process has.

use alloc::sync::{Arc, Weak};
use core::time::Duration;

use hal::{Clock, Errno};
use locks::Mutex;

use super::schedule::monotonic;
use super::{Expire, Key, Schedule, Setting, TimerClock};
use crate::Libos;
use crate::processes::Process;
use crate::signals::{Signal, SignalInfo};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntervalKind {
    /// Time, as on the wall.
    Real,
    /// Processor time of the program. What the kernel uses is counted, too: it is not told apart.
    Virtual,
    /// Processor time of the program and the kernel.
    Profile,
}

/// The three timers of one process.
pub(crate) struct IntervalTimers {
    timers: [Arc<IntervalTimer>; 3],
}

struct IntervalTimer {
    kind: IntervalKind,
    process: Mutex<Weak<Process>>,
    schedule: Mutex<Schedule>,
}

impl Default for IntervalTimers {
    fn default() -> Self {
        let kinds = [
            IntervalKind::Real,
            IntervalKind::Virtual,
            IntervalKind::Profile,
        ];
        let timer = |kind| IntervalTimer {
            kind,
            process: Mutex::default(),
            schedule: Mutex::default(),
        };
        Self {
            timers: kinds.map(|kind| Arc::new(timer(kind))),
        }
    }
}

impl IntervalTimers {
    /// Sets the timer of one kind for `process`, which owns them; returns what it was set to.
    pub(crate) fn set(
        &self,
        libos: &Libos,
        process: &Arc<Process>,
        kind: IntervalKind,
        setting: Setting,
    ) -> Result<Setting, Errno> {
        let timer = self.of(kind);
        *timer.process.lock() = Arc::downgrade(process);
        let now = timer.now(libos, process);
        let mut schedule = timer.schedule.lock();
        let before = schedule.setting(now);
        schedule.start(libos, timer.clone(), timer.clock(), now, setting)?;
        Ok(before)
    }

    /// What is left on the timer of one kind.
    pub(crate) fn get(&self, libos: &Libos, process: &Process, kind: IntervalKind) -> Setting {
        let timer = self.of(kind);
        let now = timer.now(libos, process);
        timer.schedule.lock().setting(now)
    }

    /// Stops them all: the process has ended.
    pub(crate) fn stop(&self, libos: &Libos) {
        for timer in &self.timers {
            timer.schedule.lock().stop(&libos.timers);
        }
    }

    fn of(&self, kind: IntervalKind) -> &Arc<IntervalTimer> {
        let [real, user, profile] = &self.timers;
        match kind {
            IntervalKind::Real => real,
            IntervalKind::Virtual => user,
            IntervalKind::Profile => profile,
        }
    }
}

impl IntervalTimer {
    const fn clock(&self) -> TimerClock {
        match self.kind {
            IntervalKind::Real => TimerClock::Wall(Clock::Monotonic),
            IntervalKind::Virtual | IntervalKind::Profile => TimerClock::Processor,
        }
    }

    const fn signal(&self) -> Signal {
        match self.kind {
            IntervalKind::Real => Signal::ALRM,
            IntervalKind::Virtual => Signal::VTALRM,
            IntervalKind::Profile => Signal::PROF,
        }
    }

    fn now(&self, libos: &Libos, process: &Process) -> Duration {
        match self.clock() {
            TimerClock::Wall(_) => monotonic(libos.machine),
            TimerClock::Processor => libos.processor_time(process),
        }
    }
}

impl Expire for IntervalTimer {
    fn expire(self: Arc<Self>, libos: &Libos, key: Key) {
        let Some(process) = self.process.lock().upgrade() else {
            return;
        };
        let now = self.now(libos, &process);
        let count = self
            .schedule
            .lock()
            .expire(libos, self.clone(), self.clock(), now, key);
        if count > 0 {
            let signal = self.signal();
            // A standard signal is pending once, so there is always room.
            let _ = libos.send_to_process(&process, signal, SignalInfo::from_kernel(signal));
        }
    }
}
