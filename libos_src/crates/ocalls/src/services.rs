//! The host's services, one method each.

use core::time::Duration;

use abi::{
    Errno,
    ocall::{NO_TIMEOUT, Ocall, PollEntry, Statistics, TERMINAL_SETTINGS_SIZE},
};
use hal::{
    Clock, HostEvents, HostPoll, LogLevel, SettingsTime, TerminalRequest, TerminalSettings,
    WindowSize,
};

use crate::{Host, Post};

/// Errors that reading and writing a descriptor may give.
const STREAM_ERRORS: [Errno; 6] = [
    Errno::EAGAIN,
    Errno::EBADF,
    Errno::EINTR,
    Errno::EIO,
    Errno::ENOSPC,
    Errno::EPIPE,
];

/// What a request about a terminal may fail with.
const TERMINAL_ERRORS: [Errno; 4] = [Errno::ENOTTY, Errno::EBADF, Errno::EINTR, Errno::EINVAL];

/// Most descriptors in one poll.
const POLL_MAX: usize = 256;

/// One second in nanoseconds.
const NANOSECONDS: u64 = 1_000_000_000;

/// 2020-01-01: no honest clock is earlier.
const REALTIME_MIN: u64 = 1_577_836_800 * NANOSECONDS;
/// 2200-01-01: no honest clock is later.
const REALTIME_MAX: u64 = 7_258_118_400 * NANOSECONDS;

impl<P: Post> Host<P> {
    /// Reads from a descriptor of the host; may read less than asked for. No bytes mean the end.
    pub fn read(&self, descriptor: u32, out: &mut [u8]) -> Result<usize, Errno> {
        let wanted = out.len().min(self.post.capacity_bytes());
        let arguments = [u64::from(descriptor), wanted as u64];
        let got = self.call(Ocall::Read, &arguments, wanted as u64, &STREAM_ERRORS)? as usize;
        self.post.take(out.get_mut(..got).ok_or(Errno::EIO)?);
        Ok(got)
    }

    /// Writes to a descriptor of the host; may write less than asked for.
    pub fn write(&self, descriptor: u32, bytes: &[u8]) -> Result<usize, Errno> {
        let length = bytes.len().min(self.post.capacity_bytes());
        self.post.put(bytes.get(..length).ok_or(Errno::EIO)?);
        let arguments = [u64::from(descriptor), length as u64];
        let done = self.call(Ocall::Write, &arguments, length as u64, &STREAM_ERRORS)?;
        Ok(done as usize)
    }

    /// Waits for descriptors, and fills in what is ready; how many are. It is of what was asked for, or an
    /// error that needs no asking.
    pub fn poll(&self, list: &mut [HostPoll], timeout: Option<Duration>) -> Result<usize, Errno> {
        if list.len() > POLL_MAX {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; POLL_MAX * size_of::<PollEntry>()];
        let used = list.len() * size_of::<PollEntry>();
        for (entry, item) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(list.iter()) {
            let events = u64::from(item.events.bits()) << 32;
            *entry = (u64::from(item.fd) | events).to_le_bytes();
        }
        self.post.put(bytes.get(..used).ok_or(Errno::EINVAL)?);
        let arguments = [list.len() as u64, nanoseconds(timeout)];
        self.call(
            Ocall::Poll,
            &arguments,
            list.len() as u64,
            &[Errno::EINTR, Errno::ENOMEM],
        )?;
        self.post.take(bytes.get_mut(..used).ok_or(Errno::EINVAL)?);
        let unasked = HostEvents::ERROR | HostEvents::HANG_UP | HostEvents::INVALID;
        let mut ready = 0;
        for (entry, item) in bytes.as_chunks::<8>().0.iter().zip(list.iter_mut()) {
            let bits = (u64::from_le_bytes(*entry) >> 48) as u16;
            item.ready = HostEvents::from_bits_truncate(bits) & (item.events | unasked);
            ready += usize::from(!item.ready.is_empty());
        }
        Ok(ready)
    }

    /// The size of a terminal.
    pub fn terminal_size(&self, descriptor: u32) -> Result<WindowSize, Errno> {
        let reply = self.call(
            Ocall::TerminalSize,
            &[u64::from(descriptor)],
            u64::from(u32::MAX),
            &[Errno::ENOTTY, Errno::EBADF],
        )?;
        Ok(WindowSize {
            rows: (reply >> 16) as u16,
            columns: reply as u16,
        })
    }

    /// A terminal's settings: any bytes at all.
    pub fn terminal_settings(&self, descriptor: u32) -> Result<TerminalSettings, Errno> {
        let arguments = [u64::from(descriptor)];
        self.call(Ocall::TerminalSettings, &arguments, 0, &TERMINAL_ERRORS)?;
        let mut settings = [0; TERMINAL_SETTINGS_SIZE];
        self.post.take(&mut settings);
        Ok(settings)
    }

    /// Changes a terminal's settings.
    pub fn set_terminal_settings(
        &self,
        descriptor: u32,
        settings: &TerminalSettings,
        when: SettingsTime,
    ) -> Result<(), Errno> {
        self.post.put(settings);
        let arguments = [u64::from(descriptor), when as u64];
        let done = self.call(Ocall::SetTerminalSettings, &arguments, 0, &TERMINAL_ERRORS);
        done.map(drop)
    }

    /// Asks a terminal for something else; a number of bytes for
    /// [`TerminalRequest::InputSize`], else 0.
    pub fn terminal_request(
        &self,
        descriptor: u32,
        request: TerminalRequest,
        argument: u32,
    ) -> Result<u32, Errno> {
        let max = match request {
            TerminalRequest::InputSize => i32::MAX as u64,
            _ => 0,
        };
        let arguments = [u64::from(descriptor), request as u64, u64::from(argument)];
        let reply = self.call(Ocall::TerminalRequest, &arguments, max, &TERMINAL_ERRORS)?;
        Ok(reply as u32)
    }

    /// Has a thread started that enters as the keeper.
    pub fn spawn_keeper(&self) -> Result<(), Errno> {
        self.command(Ocall::SpawnKeeper, &[], &[Errno::EAGAIN, Errno::ENOMEM])
    }

    /// Has these signals kept for [`Host::take_signals`].
    pub fn keep_signals(&self, set: u64) {
        let _ = self.command(Ocall::KeepSignals, &[set], &[]);
    }

    /// Has the host process stopped; returns once it was continued, or at once.
    pub fn stop(&self) {
        let _ = self.command(Ocall::Stop, &[], &[]);
    }

    /// Signals that came, out of `kept`. Other bits are the host's invention and do not count.
    pub fn take_signals(&self, kept: u64) -> u64 {
        let reply = self.call(Ocall::TakeSignals, &[], i64::MAX as u64, &[]);
        reply.unwrap_or(0) & kept
    }

    /// Reads exactly so much of an image: any bytes at all.
    pub fn read_image(&self, index: u32, offset: u64, out: &mut [u8]) -> Result<(), Errno> {
        let mut offset = offset;
        for chunk in out.chunks_mut(self.post.capacity_bytes().max(1)) {
            let length = chunk.len() as u64;
            self.call(
                Ocall::ReadImage,
                &[u64::from(index), offset, length],
                0,
                &[Errno::EIO, Errno::EINVAL],
            )?;
            self.post.take(chunk);
            offset = offset.checked_add(length).ok_or(Errno::EINVAL)?;
        }
        Ok(())
    }

    /// Nanoseconds of the host's clock. A realtime that no honest host would give is moved to the
    /// nearest that one might.
    pub fn clock(&self, clock: Clock) -> u64 {
        let number = match clock {
            Clock::Realtime => 0,
            Clock::Monotonic => 1,
        };
        let reply = self.call(Ocall::Clock, &[number], i64::MAX as u64, &[]);
        let value = reply.unwrap_or(0);
        match clock {
            Clock::Realtime => value.clamp(REALTIME_MIN, REALTIME_MAX),
            Clock::Monotonic => value,
        }
    }

    /// Nanoseconds that a thread has run, as the host says.
    pub fn processor_time(&self, thread: u32) -> u64 {
        let arguments = [2, u64::from(thread)];
        let reply = self.call(Ocall::Clock, &arguments, i64::MAX as u64, &[]);
        reply.unwrap_or(0)
    }

    /// Has a thread started that enters.
    pub fn spawn_thread(&self) -> Result<(), Errno> {
        self.command(Ocall::SpawnThread, &[], &[Errno::EAGAIN, Errno::ENOMEM])
    }

    /// Sleeps. What the host replies does not matter: the caller looks again.
    pub fn park(&self, timeout: Option<Duration>) {
        let _ = self.command(Ocall::Park, &[nanoseconds(timeout)], &[]);
    }

    /// Wakes a thread, or lets it not sleep the next time.
    pub fn unpark(&self, thread: u32) {
        let _ = self.command(Ocall::Unpark, &[u64::from(thread)], &[]);
    }

    /// Has another thread interrupted. What the host replies does not matter: it may do nothing.
    pub fn interrupt(&self, thread: u32) {
        let _ = self.command(Ocall::Interrupt, &[u64::from(thread)], &[]);
    }

    /// Lets another thread of the host run.
    pub fn yield_now(&self) {
        let _ = self.command(Ocall::Yield, &[], &[]);
    }

    /// A line for the operator, cut to what the buffer holds.
    pub fn log(&self, level: LogLevel, line: &str) {
        let length = line.len().min(self.post.capacity_bytes());
        self.post.put(line.as_bytes().get(..length).unwrap_or(&[]));
        let level = match level {
            LogLevel::Error => 0,
            LogLevel::Warning => 1,
            LogLevel::Info => 2,
            LogLevel::Trace => 3,
            LogLevel::Mapping => 4,
        };
        let _ = self.call(Ocall::Log, &[level, length as u64], 0, &[]);
    }

    /// Has permissions of pages taken away. Nothing is believed before EACCEPT agrees.
    pub fn restrict_permissions(&self, address: u64, size: u64, bits: u8) -> Result<(), Errno> {
        let arguments = [address, size, u64::from(bits)];
        self.command(Ocall::RestrictPermissions, &arguments, &[])
    }

    /// Has pages made ready to be removed. As [`Host::restrict_permissions`].
    pub fn trim_pages(&self, address: u64, size: u64) -> Result<(), Errno> {
        self.command(Ocall::TrimPages, &[address, size], &[])
    }

    /// Has trimmed pages removed.
    pub fn remove_pages(&self, address: u64, size: u64) -> Result<(), Errno> {
        self.command(Ocall::RemovePages, &[address, size], &[])
    }

    /// Asks for other page tables. The reply is worth nothing, so it is not looked at.
    pub fn map_pages(&self, address: u64, size: u64, bits: u8) {
        let _ = self.command(Ocall::MapPages, &[address, size, u64::from(bits)], &[]);
    }

    /// Tells what was counted.
    pub fn statistics(&self, counted: &Statistics) {
        let words = [
            counted.trapped_syscalls,
            counted.patched_syscalls,
            counted.exceptions,
            counted.ocalls,
            counted.patched_sites,
        ];
        let mut bytes = [0; size_of::<Statistics>()];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *chunk = word.to_le_bytes();
        }
        self.post.put(&bytes);
        let _ = self.call(Ocall::Statistics, &[bytes.len() as u64], 0, &[]);
    }

    /// Ends the process. A host that comes back is asked again.
    pub fn exit_process(&self, status: i32) -> ! {
        loop {
            let _ = self.command(Ocall::ExitProcess, &[u64::from(status as u32)], &[]);
        }
    }

    /// Ends the enclave with a message about its own defect. A host that comes back is asked again.
    pub fn abort(&self, message: &[u8]) -> ! {
        let length = message.len().min(self.post.capacity_bytes());
        loop {
            self.post.put(message.get(..length).unwrap_or(&[]));
            let _ = self.call(Ocall::Abort, &[length as u64], 0, &[]);
            core::hint::spin_loop();
        }
    }
}

fn nanoseconds(timeout: Option<Duration>) -> u64 {
    timeout.map_or(NO_TIMEOUT, |timeout| {
        u64::try_from(timeout.as_nanos()).map_or(NO_TIMEOUT - 1, |ns| ns.min(NO_TIMEOUT - 1))
    })
}
