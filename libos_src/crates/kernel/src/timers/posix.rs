//! `timer_create` and its relatives.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use hal::Errno;
use locks::Mutex;

use super::schedule::monotonic;
use super::{Expire, Key, Notice, Schedule, Setting, TimerClock};
use crate::Libos;
use crate::processes::Process;
use crate::signals::{Counted, Pending, Room, Signal, SignalInfo};
use crate::threads::Thread;

/// The timers that one process made.
#[derive(Default)]
pub(crate) struct PosixTimers {
    timers: Mutex<BTreeMap<u32, Arc<PosixTimer>>>,
    /// Where the search for a free id goes on, so that an id does not come back soon.
    next: AtomicU32,
}

/// One of them.
pub(crate) struct PosixTimer {
    id: u32,
    process: Weak<Process>,
    /// Whose processor time it counts, if not that of the process.
    thread: Option<Weak<Thread>>,
    /// What it counts.
    pub(crate) clock: TimerClock,
    notice: Notice,
    schedule: Mutex<Schedule>,
    /// Where its signal waits.
    _room: Counted,
    /// How often it expired while its last signal waited for delivery.
    overruns: Mutex<u32>,
}

/// Most timers of a process; more are `EAGAIN`.
const TIMERS_MAX: usize = 1024;
/// Ids are below this.
const IDS: u32 = 1 << 31;
/// `DELAYTIMER_MAX`.
const OVERRUNS_MAX: u32 = i32::MAX as u32;

impl PosixTimers {
    /// Makes a timer that does not run yet; `notice` is built for its id.
    pub(crate) fn create(
        &self,
        room: Counted,
        process: &Arc<Process>,
        thread: Option<&Arc<Thread>>,
        clock: TimerClock,
        notice: impl FnOnce(u32) -> Notice,
    ) -> Result<u32, Errno> {
        let mut timers = self.timers.lock();
        if timers.len() >= TIMERS_MAX {
            return Err(Errno::EAGAIN);
        }
        // They are the numbers from 0 to the largest of an `int`.
        let first = self.next.load(Ordering::Relaxed);
        let id = (first..IDS)
            .chain(0..first)
            .find(|id| !timers.contains_key(id))
            .ok_or(Errno::EAGAIN)?;
        self.next.store((id + 1) % IDS, Ordering::Relaxed);
        let timer = PosixTimer {
            id,
            process: Arc::downgrade(process),
            thread: thread.map(Arc::downgrade),
            clock,
            notice: notice(id),
            schedule: Mutex::default(),
            _room: room,
            overruns: Mutex::new(0),
        };
        timers.insert(id, Arc::new(timer));
        Ok(id)
    }

    /// The timer with this id; `EINVAL` if there is none.
    pub(crate) fn get(&self, id: i32) -> Result<Arc<PosixTimer>, Errno> {
        let id = u32::try_from(id).map_err(|_| Errno::EINVAL)?;
        self.timers.lock().get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// Stops a timer and forgets it.
    pub(crate) fn delete(&self, libos: &Libos, id: i32) -> Result<(), Errno> {
        let timer = self.get(id)?;
        self.timers.lock().remove(&timer.id);
        timer.schedule.lock().stop(&libos.timers);
        Ok(())
    }

    /// Stops all and forgets them: the process runs another program, or has ended.
    pub(crate) fn clear(&self, libos: &Libos) {
        let all: Vec<_> = core::mem::take(&mut *self.timers.lock())
            .into_values()
            .collect();
        for timer in all {
            timer.schedule.lock().stop(&libos.timers);
        }
    }

    /// A signal of the timer `id` is being delivered, which counted `overruns`.
    pub(crate) fn delivered(&self, id: u32, overruns: u32) {
        if let Some(timer) = self.timers.lock().get(&id) {
            *timer.overruns.lock() = overruns;
        }
    }
}

impl PosixTimer {
    /// Sets it; returns what it was set to.
    pub(crate) fn set(self: &Arc<Self>, libos: &Libos, setting: Setting) -> Result<Setting, Errno> {
        let now = self.now(libos);
        let mut schedule = self.schedule.lock();
        let before = schedule.setting(now);
        *self.overruns.lock() = 0;
        schedule.start(libos, self.clone(), self.clock, now, setting)?;
        Ok(before)
    }

    /// What is left.
    pub(crate) fn setting(&self, libos: &Libos) -> Setting {
        let now = self.now(libos);
        self.schedule.lock().setting(now)
    }

    /// How often it expired while its last signal waited.
    pub(crate) fn overruns(&self) -> u32 {
        *self.overruns.lock()
    }

    /// The time on its own clock.
    pub(crate) fn now(&self, libos: &Libos) -> Duration {
        match (self.clock, &self.thread) {
            (TimerClock::Wall(_), _) => monotonic(libos.machine),
            (TimerClock::Processor, None) => self
                .process
                .upgrade()
                .map_or(Duration::ZERO, |process| libos.processor_time(&process)),
            (TimerClock::Processor, Some(thread)) => thread
                .upgrade()
                .map_or(Duration::ZERO, |thread| libos.thread_time(&thread)),
        }
    }

    /// Sends the signal, or counts that the last one still waits.
    fn notify(&self, libos: &Libos, process: &Arc<Process>, count: u64) {
        let more = u32::try_from(count).unwrap_or(u32::MAX);
        let overruns = more.saturating_sub(1).min(OVERRUNS_MAX);
        let info = |signal: Signal, value| SignalInfo::from_timer(signal, self.id, overruns, value);
        let still_waits = |pending: &mut Pending| pending.add_overruns(self.id, more, OVERRUNS_MAX);
        match self.notice {
            Notice::None => {}
            Notice::Process { signal, value } => {
                if !still_waits(&mut process.signals.lock().pending) {
                    let _ = libos.send_to_process_in(
                        Some(Room::Free),
                        process,
                        signal,
                        info(signal, value),
                    );
                }
            }
            Notice::Thread { tid, signal, value } => {
                if let Some(thread) = process.thread(tid)
                    && !still_waits(&mut thread.signals.lock().pending)
                {
                    let _ = libos.send_to_thread_in(
                        Some(Room::Free),
                        process,
                        &thread,
                        signal,
                        info(signal, value),
                    );
                }
            }
        }
    }
}

impl Expire for PosixTimer {
    fn expire(self: Arc<Self>, libos: &Libos, key: Key) {
        let Some(process) = self.process.upgrade() else {
            return;
        };
        let now = self.now(libos);
        let count = self
            .schedule
            .lock()
            .expire(libos, self.clone(), self.clock, now, key);
        if count > 0 {
            self.notify(libos, &process, count);
        }
    }
}
