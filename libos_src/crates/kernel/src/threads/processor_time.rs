//! What threads use of processors.

use core::iter::Sum;
use core::ops::{Add, AddAssign};
use core::time::Duration;

use hal::{CALLS_PER_LOOK, Machine};

use super::Thread;
use crate::Libos;
use crate::processes::Process;

/// What was used of processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// All of it.
    pub(crate) total: Duration,
    /// In system calls: an estimate, as Linux's is that counts ticks.
    system: Duration,
}

impl Usage {
    /// In system calls. It is never more than all.
    pub(crate) fn system(self) -> Duration {
        self.system.min(self.total)
    }

    /// In the program.
    pub(crate) fn user(self) -> Duration {
        self.total - self.system()
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        // What is too much for one is not that of another.
        Self {
            total: self.total + other.total,
            system: self.system() + other.system(),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::add)
    }
}

/// The processor time of one thread, which it uses on one enclave thread after another.
#[derive(Debug, Default)]
pub(crate) struct ProcessorTime {
    /// On those that it has left.
    before: Duration,
    /// What its enclave thread had used when it came, while it has one.
    since: Option<Duration>,
    /// What its system calls took, going by those that were looked at.
    system: Duration,
    /// What it had used when a call was last looked at.
    looked_at: Duration,
}

impl ProcessorTime {
    /// It takes an enclave thread that has used `now`.
    pub(crate) fn start(&mut self, now: Duration) {
        self.since = Some(now);
    }

    /// It leaves its enclave thread, which has used `now`.
    pub(crate) fn stop(&mut self, now: Duration) {
        self.before = self.at(now);
        self.since = None;
    }

    /// A system call took `time`, and its enclave thread has used `now`: it stands for those since
    /// the last one that was looked at.
    pub(crate) fn count_call(&mut self, time: Duration, now: Duration) {
        let total = self.at(now);
        let passed = total.saturating_sub(self.looked_at);
        self.system += (time * CALLS_PER_LOOK).min(passed);
        self.looked_at = total;
    }

    fn at(&self, now: Duration) -> Duration {
        let since = self
            .since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since));
        self.before + since
    }

    pub(crate) fn usage_at(&self, now: Duration) -> Usage {
        Usage {
            total: self.at(now),
            system: self.system,
        }
    }
}

/// A look at the processor time around a system call.
pub(crate) struct Sample {
    began: Duration,
    /// What looking takes.
    look: Duration,
}

impl Sample {
    /// Looks at the time of the enclave thread `number`, which calls.
    pub(crate) fn begin(machine: &dyn Machine, number: u32) -> Self {
        let first = machine.processor_time(number);
        let began = machine.processor_time(number);
        Self {
            began,
            look: began.saturating_sub(first),
        }
    }

    /// How long it has been since, without the looking, and what the thread has used now.
    pub(crate) fn end(&self, machine: &dyn Machine, number: u32) -> (Duration, Duration) {
        let now = machine.processor_time(number);
        let passed = now.saturating_sub(self.began);
        (passed.saturating_sub(self.look), now)
    }
}

impl Libos {
    /// What a thread has used so far.
    pub(crate) fn thread_time(&self, thread: &Thread) -> Duration {
        usage_of_thread(self.machine, thread).total
    }

    /// What all threads of a process have used so far, those that have ended too.
    pub(crate) fn processor_time(&self, process: &Process) -> Duration {
        usage_of_process(self.machine, process).total
    }
}

/// What a thread has used so far.
pub(crate) fn usage_of_thread(machine: &dyn Machine, thread: &Thread) -> Usage {
    let now = machine.processor_time(thread.number());
    thread.processor_time.lock().usage_at(now)
}

/// What all threads of a process have used so far, those that have ended too.
pub(crate) fn usage_of_process(machine: &dyn Machine, process: &Process) -> Usage {
    let threads = process.threads();
    let ended = *process.ended_threads_usage.lock();
    let live = threads
        .iter()
        .map(|thread| usage_of_thread(machine, thread));
    ended + live.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_looked_at_stands_for_the_others() {
        let mut time = ProcessorTime::default();
        time.start(Duration::ZERO);
        let call = Duration::from_micros(3);
        time.count_call(call, Duration::from_millis(10));

        let usage = time.usage_at(Duration::from_millis(10));
        assert_eq!(usage.system(), Duration::from_micros(3072));
        assert_eq!(usage.user(), Duration::from_micros(6928));

        // An estimate that is too high is held down, and takes nothing of what was before.
        time.count_call(call, Duration::from_millis(11));
        let usage = time.usage_at(Duration::from_millis(11));
        assert_eq!(usage.system(), Duration::from_micros(4072));
        assert_eq!(usage.user(), Duration::from_micros(6928));
    }
}
