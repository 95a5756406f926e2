//! `RLIMIT_CPU`: what happens to a process that uses too much of processors.

use alloc::sync::{Arc, Weak};
use core::time::Duration;

use locks::Mutex;

use super::{Expire, Key, Schedule, Setting, TimerClock};
use crate::Libos;
use crate::processes::{Limit, Limits, Process};
use crate::signals::{Signal, SignalInfo};

/// How much more a process may use until it is told again.
const REMINDER: Duration = Duration::from_secs(1);

/// Watches over one process.
#[derive(Default)]
pub(crate) struct ProcessorLimit(Arc<Watch>);

#[derive(Default)]
struct Watch {
    process: Mutex<Weak<Process>>,
    schedule: Mutex<Schedule>,
}

impl ProcessorLimit {
    /// Watches `process` with the limit that it has now. Without a keeper there is none.
    pub(crate) fn start(&self, libos: &Libos, process: &Arc<Process>) {
        let Some(limit) = limit_of(process) else {
            return self.stop(libos);
        };
        *self.0.process.lock() = Arc::downgrade(process);
        let used = libos.processor_time(process);
        // As Linux: no time at all is a second.
        let soft = Duration::from_secs(limit.soft.max(1));
        let setting = Setting {
            value: soft.saturating_sub(used).max(Duration::from_nanos(1)),
            interval: REMINDER,
            late: Duration::ZERO,
        };
        let mut schedule = self.0.schedule.lock();
        let _ = schedule.start(libos, self.0.clone(), TimerClock::Processor, used, setting);
    }

    /// The process has ended.
    pub(crate) fn stop(&self, libos: &Libos) {
        self.0.schedule.lock().stop(&libos.timers);
    }
}

impl Expire for Watch {
    fn expire(self: Arc<Self>, libos: &Libos, key: Key) {
        let Some(process) = self.process.lock().upgrade() else {
            return;
        };
        let used = libos.processor_time(&process);
        let clock = TimerClock::Processor;
        let mut schedule = self.schedule.lock();
        let is_due = schedule.expire(libos, self.clone(), clock, used, key) > 0;
        drop(schedule);
        let Some(limit) = limit_of(&process).filter(|_| is_due) else {
            return;
        };
        let signal = if used.as_secs() >= limit.hard.max(1) {
            Signal::KILL
        } else {
            Signal::XCPU
        };
        // A standard signal is pending once, so there is always room.
        let _ = libos.send_to_process(&process, signal, SignalInfo::from_kernel(signal));
    }
}

fn limit_of(process: &Process) -> Option<Limit> {
    let limit = process.limits.lock().get(Limits::CPU).ok()?;
    (limit.soft != u64::MAX).then_some(limit)
}
