//! `timerfd`.

use alloc::sync::{Arc, Weak};
use core::time::Duration;

use hal::{Clock, Errno};
use locks::Mutex;
use vfs::{FileType, Inode, Metadata, Mode, OpenFile, Readiness, Watchers};

use crate::Libos;
use crate::timers::{Expire, Key, Schedule, Setting, TimerClock, Timers};

/// A timer to read (timerfd_create(2)).
pub(crate) struct TimerFile {
    state: Arc<State>,
    timers: Arc<Timers>,
}

struct State {
    clock: Clock,
    /// The lock of the count is taken inside this one.
    schedule: Mutex<Schedule>,
    /// The interval that it was set to last, which it keeps when it does not run.
    interval: Mutex<Duration>,
    /// How often it expired since it was last read.
    expirations: Mutex<u64>,
    watchers: Watchers,
}

/// What the queue has.
struct Entry(Weak<State>);

impl TimerFile {
    /// A timer that does not run.
    pub(crate) fn new(clock: Clock, timers: &Arc<Timers>) -> Self {
        let state = Arc::new(State {
            clock,
            schedule: Mutex::default(),
            interval: Mutex::default(),
            expirations: Mutex::new(0),
            watchers: Watchers::new(),
        });
        let timers = timers.clone();
        Self { state, timers }
    }

    /// The timer behind an open file.
    pub(crate) fn behind(file: &OpenFile) -> Option<&Self> {
        file.object().downcast()
    }

    /// What a time that it is set to is measured on.
    pub(crate) fn clock(&self) -> Clock {
        self.state.clock
    }

    /// Sets it; returns what it was set to.
    pub(crate) fn set(&self, libos: &Libos, setting: Setting) -> Result<Setting, Errno> {
        let state = &self.state;
        let now = libos.machine.clock(Clock::Monotonic).into();
        let mut schedule = state.schedule.lock();
        let mut before = schedule.setting(now);
        before.interval = core::mem::replace(&mut *state.interval.lock(), setting.interval);
        *state.expirations.lock() = 0;
        schedule.start(libos, state.entry(), state.timer_clock(), now, setting)?;
        Ok(before)
    }

    /// What is left.
    pub(crate) fn setting(&self, libos: &Libos) -> Setting {
        let now = libos.machine.clock(Clock::Monotonic).into();
        Setting {
            interval: *self.state.interval.lock(),
            ..self.state.schedule.lock().setting(now)
        }
    }
}

impl Drop for TimerFile {
    /// A timer that nobody has open any more does not run on.
    fn drop(&mut self) {
        self.state.schedule.lock().stop(&self.timers);
    }
}

impl State {
    fn entry(self: &Arc<Self>) -> Arc<dyn Expire> {
        Arc::new(Entry(Arc::downgrade(self)))
    }

    const fn timer_clock(&self) -> TimerClock {
        TimerClock::Wall(self.clock)
    }
}

impl Expire for Entry {
    fn expire(self: Arc<Self>, libos: &Libos, key: Key) {
        let Some(state) = self.0.upgrade() else {
            return;
        };
        let now = libos.machine.clock(Clock::Monotonic).into();
        let mut schedule = state.schedule.lock();
        let count = schedule.expire(libos, self, state.timer_clock(), now, key);
        let mut expirations = state.expirations.lock();
        *expirations = expirations.saturating_add(count);
        drop(expirations);
        drop(schedule);
        if count > 0 {
            state.watchers.notify(Readiness::READABLE);
        }
    }
}

impl Inode for TimerFile {
    fn kind(&self) -> FileType {
        FileType::Unnamed
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mode = Mode::from_low_bits(0o600);
        Ok(Metadata::fixed(1, FileType::Unnamed, mode))
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let out = buffer.first_chunk_mut::<8>().ok_or(Errno::EINVAL)?;
        let mut expirations = self.state.expirations.lock();
        if *expirations == 0 {
            return Err(Errno::EAGAIN);
        }
        *out = core::mem::take(&mut *expirations).to_le_bytes();
        Ok(8)
    }

    fn write_at(&self, _offset: u64, _data: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.state.watchers)
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READABLE, *self.state.expirations.lock() != 0);
        readiness
    }
}
