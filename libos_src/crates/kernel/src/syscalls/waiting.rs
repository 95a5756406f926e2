//! Waiting for files.

use alloc::sync::Arc;

use hal::{Errno, HostPoll};
use vfs::{OpenFile, OpenFlags, Readiness, Watcher, Watchers};

use super::call::{Call, Stop};
use crate::files::HostStream;
use crate::sockets::Socket;
use crate::threads::{Deadline, Wake};

impl Call<'_> {
    /// Repeats `action` until it does not say `EAGAIN`, unless the file may not wait.
    pub(super) fn until_ready<T>(
        &self,
        file: &OpenFile,
        wanted: Readiness,
        action: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Stop> {
        self.may_use_terminal(file, wanted)?;
        if file.flags().contains(OpenFlags::NON_BLOCKING) {
            return self.without_waiting(file, action);
        }
        let deadline = Socket::behind(file).map_or(Deadline::NEVER, |it| it.deadline(wanted));
        self.until(file, wanted, deadline, action)
    }

    /// Does `action` once; `EAGAIN` if it would have to wait.
    pub(super) fn without_waiting<T>(
        &self,
        file: &OpenFile,
        mut action: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Stop> {
        match action() {
            // A host that did wait was interrupted.
            Err(Errno::EINTR) if HostStream::behind(file).is_some() => Err(Errno::EAGAIN.into()),
            done => Ok(done?),
        }
    }

    /// Repeats `action` until it does not say `EAGAIN`; gives `EAGAIN` itself when `deadline` has
    /// passed.
    pub(super) fn until<T>(
        &self,
        file: &OpenFile,
        wanted: Readiness,
        deadline: Deadline,
        mut action: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Stop> {
        if let Some(stream) = HostStream::behind(file) {
            loop {
                match action() {
                    Err(Errno::EAGAIN | Errno::EINTR) => {}
                    done => return Ok(done?),
                }
                self.wait_for_host(stream, wanted, deadline)?;
            }
        }
        let Some(watchers) = file.watchers() else {
            return Ok(action()?);
        };
        self.until_told(watchers, wanted, deadline, || match action() {
            Err(Errno::EAGAIN) => Ok(None),
            done => Ok(Some(done?)),
        })
    }

    /// Repeats `attempt` whenever `watchers` are told of something, until it gives a value; `EAGAIN`
    /// when `deadline` has passed.
    pub(super) fn until_changed<T>(
        &self,
        watchers: &Watchers,
        deadline: Deadline,
        attempt: impl FnMut() -> Result<Option<T>, Stop>,
    ) -> Result<T, Stop> {
        self.until_told(watchers, Readiness::READABLE, deadline, attempt)
    }

    /// The same when they are told of something that is `wanted`.
    fn until_told<T>(
        &self,
        watchers: &Watchers,
        wanted: Readiness,
        deadline: Deadline,
        mut attempt: impl FnMut() -> Result<Option<T>, Stop>,
    ) -> Result<T, Stop> {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
        let alarm = self.alarm();
        watchers.add(&alarm, wanted);
        let outcome = loop {
            match attempt() {
                Ok(None) => {}
                Ok(Some(done)) => break Ok(done),
                Err(stop) => break Err(stop),
            }
            match self.libos.sleep(self.process, self.thread, deadline) {
                Wake::Look => {}
                Wake::TimedOut => break Err(Errno::EAGAIN.into()),
                Wake::Signal => break Err(interrupted(deadline)),
            }
        };
        watchers.remove(&alarm);
        outcome
    }

    /// What wakes this thread when a file that it watches changes.
    pub(super) fn alarm(&self) -> Arc<dyn Watcher> {
        self.libos.alarm(self.thread)
    }

    /// Waits until a stream of the host may be ready.
    fn wait_for_host(
        &self,
        stream: &HostStream,
        wanted: Readiness,
        deadline: Deadline,
    ) -> Result<(), Stop> {
        match self.sleep_for_host(&mut [stream.poll(wanted)], deadline) {
            // A host that cannot poll may still read and write.
            Ok(Wake::Look) | Err(_) => Ok(()),
            Ok(Wake::TimedOut) => Err(Errno::EAGAIN.into()),
            Ok(Wake::Signal) => Err(interrupted(deadline)),
        }
    }

    /// Lets this thread sleep until something wakes it, or a stream of the host is ready.
    pub(super) fn sleep_for_host(
        &self,
        streams: &mut [HostPoll],
        deadline: Deadline,
    ) -> Result<Wake, Errno> {
        if streams.is_empty() {
            return Ok(self.libos.sleep(self.process, self.thread, deadline));
        }
        self.libos
            .sleep_for_host(self.process, self.thread, streams, deadline)
    }
}

/// Linux starts a call again whose wait has no end, and tells of others.
const fn interrupted(deadline: Deadline) -> Stop {
    if deadline.is_never() {
        Stop::Restart
    } else {
        Stop::Errno(Errno::EINTR)
    }
}
