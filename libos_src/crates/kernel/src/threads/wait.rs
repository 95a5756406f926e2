//! Waiting, with an end that is a time or a signal.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use hal::{Clock, Errno, HostEvents, HostPoll, Machine};
use vfs::{Readiness, Watcher};

use super::Thread;
use crate::Libos;
use crate::processes::Process;

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

    /// At a moment of the monotonic clock.
    pub(crate) const fn until(time: Duration) -> Self {
        Self(Some(time))
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
    pub(crate) fn sleep(
        &self,
        process: &Process,
        thread: &Arc<Thread>,
        deadline: Deadline,
    ) -> Wake {
        if let Some(wake) = self.sees_end(process, thread, deadline) {
            return wake;
        }
        self.without_memory(process, thread, || self.machine.park(deadline.0));
        Wake::Look
    }

    /// The same, until one of `streams` is ready, too; that is filled in.
    ///
    /// # Errors
    /// `ENOMEM` and the like, if the host cannot wait for them.
    pub(crate) fn sleep_for_host(
        &self,
        process: &Process,
        thread: &Arc<Thread>,
        streams: &mut [HostPoll],
        deadline: Deadline,
    ) -> Result<Wake, Errno> {
        if let Some(wake) = self.sees_end(process, thread, deadline) {
            return Ok(wake);
        }
        let remaining = deadline.remaining(self.machine);
        // The host has three; a program may name each as often as it likes.
        let mut each: Vec<HostPoll> = Vec::new();
        for stream in streams.iter() {
            match each.iter_mut().find(|other| other.fd == stream.fd) {
                Some(other) => other.events |= stream.events,
                None => each.push(HostPoll { ..*stream }),
            }
        }
        let polled = self.without_memory(process, thread, || {
            self.machine.host_poll(&mut each, remaining)
        });
        let unasked = HostEvents::ERROR | HostEvents::HANG_UP | HostEvents::INVALID;
        for stream in streams {
            let found = each.iter().find(|other| other.fd == stream.fd);
            let ready = found.map_or(HostEvents::empty(), |found| found.ready);
            stream.ready = ready & (stream.events | unasked);
        }
        match polled {
            Ok(_) | Err(Errno::EINTR) => Ok(Wake::Look),
            Err(errno) => Err(errno),
        }
    }

    /// Waits in `wait`, and lets others have the memory meanwhile.
    pub(crate) fn without_memory<T>(
        &self,
        process: &Process,
        thread: &Arc<Thread>,
        wait: impl FnOnce() -> T,
    ) -> T {
        self.send_raised_signals();
        self.scheduler.end_patience(self.machine);
        let memory = process.memory();
        self.release_memory(thread, &memory);
        thread.set_asleep(true);
        let outcome = wait();
        thread.set_asleep(false);
        self.take_memory(process, thread, &memory);
        outcome
    }

    /// What wakes a thread when a file that it watches changes.
    pub(crate) fn alarm(&self, thread: &Thread) -> Arc<dyn Watcher> {
        Arc::new(Alarm {
            machine: self.machine,
            sleeper: Sleeper::of(thread),
        })
    }

    /// Whether there is nothing to wait for.
    fn sees_end(&self, process: &Process, thread: &Thread, deadline: Deadline) -> Option<Wake> {
        if process.has_signal_for(thread) {
            return Some(Wake::Signal);
        }
        let is_over = deadline.remaining(self.machine) == Some(Duration::ZERO);
        is_over.then_some(Wake::TimedOut)
    }
}

/// A thread that sleeps, as whoever will wake it knows it.
#[derive(Clone)]
pub(crate) struct Sleeper {
    /// Its enclave thread.
    number: u32,
    is_asleep: Arc<AtomicBool>,
}

impl Sleeper {
    /// The calling thread.
    pub(crate) fn of(thread: &Thread) -> Self {
        Self {
            number: thread.number(),
            is_asleep: thread.sleep_mark(),
        }
    }

    /// Lets it look again. From now on nobody sees that it sleeps.
    ///
    /// To be called without a lock, as it may cost an OCALL. By then the thread may have looked by
    /// itself, and even ended: a new one with its number looks once for nothing.
    pub(crate) fn wake(&self, machine: &dyn Machine) {
        self.is_asleep.store(false, Ordering::Relaxed);
        machine.unpark(self.number);
    }
}

/// Wakes a thread.
struct Alarm {
    machine: &'static dyn Machine,
    sleeper: Sleeper,
}

impl Watcher for Alarm {
    fn notify(&self, _now: Readiness) -> bool {
        self.sleeper.wake(self.machine);
        true
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
