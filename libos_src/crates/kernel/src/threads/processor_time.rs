//! What threads use of processors.

use core::time::Duration;

use super::Thread;
use crate::Libos;
use crate::processes::Process;

/// The processor time of one thread, which it uses on one enclave thread after another.
#[derive(Debug, Default)]
pub(crate) struct ProcessorTime {
    /// On those that it has left.
    before: Duration,
    /// What its enclave thread had used when it came, while it has one.
    since: Option<Duration>,
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

    fn at(&self, now: Duration) -> Duration {
        let since = self
            .since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since));
        self.before + since
    }
}

impl Libos {
    /// What a thread has used so far.
    pub(crate) fn thread_time(&self, thread: &Thread) -> Duration {
        let now = self.machine.processor_time(thread.number());
        thread.processor_time.lock().at(now)
    }

    /// What all threads of a process have used so far, those that have ended too.
    pub(crate) fn processor_time(&self, process: &Process) -> Duration {
        let threads = process.threads();
        let ended = *process.ended_threads_time.lock();
        let live = threads.iter().map(|thread| self.thread_time(thread));
        ended + live.sum::<Duration>()
    }
}
