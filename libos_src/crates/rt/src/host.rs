//! The host's services, one function each. Every reply is judged here.

use abi::{
    Errno,
    ocall::{NO_TIMEOUT, Ocall, PollEntry, Statistics, TERMINAL_SETTINGS_SIZE},
};
use core::time::Duration;
use hal::{
    Clock, HostEvents, HostPoll, LogLevel, SettingsTime, TerminalRequest, TerminalSettings,
    WindowSize,
};

use crate::{mailbox::Mailbox, panic::Message};

/// Errors that reading and writing a descriptor may give.
const STREAM_ERRORS: [Errno; 6] = [
    Errno::EAGAIN,
    Errno::EBADF,
    Errno::EINTR,
    Errno::EIO,
    Errno::ENOSPC,
    Errno::EPIPE,
];

/// Most descriptors in one poll.
const POLL_MAX: usize = 256;

/// One second in nanoseconds.
const NANOSECONDS: u64 = 1_000_000_000;

/// 2020-01-01: no honest clock is earlier.
const REALTIME_MIN: u64 = 1_577_836_800 * NANOSECONDS;
/// 2200-01-01: no honest clock is later.
const REALTIME_MAX: u64 = 7_258_118_400 * NANOSECONDS;

fn mailbox() -> Result<Mailbox, Errno> {
    Mailbox::current().ok_or(Errno::EIO)
}

/// A call with a reply of zero.
fn command(call: Ocall, arguments: &[u64], allowed: &[Errno]) -> Result<(), Errno> {
    mailbox()?.call(call, arguments, 0, allowed).map(drop)
}

pub(crate) fn read(descriptor: u32, out: &mut [u8]) -> Result<usize, Errno> {
    let mailbox = mailbox()?;
    let wanted = out.len().min(mailbox.capacity_bytes());
    let arguments = [u64::from(descriptor), wanted as u64];
    let got = mailbox.call(Ocall::Read, &arguments, wanted as u64, &STREAM_ERRORS)? as usize;
    mailbox.take(out.get_mut(..got).ok_or(Errno::EIO)?);
    Ok(got)
}

pub(crate) fn write(descriptor: u32, bytes: &[u8]) -> Result<usize, Errno> {
    let mailbox = mailbox()?;
    let length = bytes.len().min(mailbox.capacity_bytes());
    mailbox.put(bytes.get(..length).ok_or(Errno::EIO)?);
    let arguments = [u64::from(descriptor), length as u64];
    let done = mailbox.call(Ocall::Write, &arguments, length as u64, &STREAM_ERRORS)?;
    Ok(done as usize)
}

pub(crate) fn poll(list: &mut [HostPoll], timeout: Option<Duration>) -> Result<usize, Errno> {
    if list.len() > POLL_MAX {
        return Err(Errno::EINVAL);
    }
    let mailbox = mailbox()?;
    let mut bytes = [0; POLL_MAX * size_of::<PollEntry>()];
    let used = list.len() * size_of::<PollEntry>();
    for (entry, item) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(list.iter()) {
        let events = u64::from(item.events.bits()) << 32;
        *entry = (u64::from(item.fd) | events).to_le_bytes();
    }
    mailbox.put(bytes.get(..used).ok_or(Errno::EINVAL)?);
    let arguments = [list.len() as u64, nanoseconds(timeout)];
    mailbox.call(
        Ocall::Poll,
        &arguments,
        list.len() as u64,
        &[Errno::EINTR, Errno::ENOMEM],
    )?;
    mailbox.take(bytes.get_mut(..used).ok_or(Errno::EINVAL)?);
    let unasked = HostEvents::ERROR | HostEvents::HANG_UP | HostEvents::INVALID;
    let mut ready = 0;
    for (entry, item) in bytes.as_chunks::<8>().0.iter().zip(list.iter_mut()) {
        let bits = (u64::from_le_bytes(*entry) >> 48) as u16;
        item.ready = HostEvents::from_bits_truncate(bits) & (item.events | unasked);
        ready += usize::from(!item.ready.is_empty());
    }
    Ok(ready)
}

pub(crate) fn terminal_size(descriptor: u32) -> Result<WindowSize, Errno> {
    let reply = mailbox()?.call(
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

/// What a request about a terminal may fail with.
const TERMINAL_ERRORS: [Errno; 4] = [Errno::ENOTTY, Errno::EBADF, Errno::EINTR, Errno::EINVAL];

pub(crate) fn terminal_settings(descriptor: u32) -> Result<TerminalSettings, Errno> {
    let mailbox = mailbox()?;
    let arguments = [u64::from(descriptor)];
    mailbox.call(Ocall::TerminalSettings, &arguments, 0, &TERMINAL_ERRORS)?;
    let mut settings = [0; TERMINAL_SETTINGS_SIZE];
    mailbox.take(&mut settings);
    Ok(settings)
}

pub(crate) fn set_terminal_settings(
    descriptor: u32,
    settings: &TerminalSettings,
    when: SettingsTime,
) -> Result<(), Errno> {
    let mailbox = mailbox()?;
    mailbox.put(settings);
    let arguments = [u64::from(descriptor), when as u64];
    let done = mailbox.call(Ocall::SetTerminalSettings, &arguments, 0, &TERMINAL_ERRORS);
    done.map(drop)
}

pub(crate) fn terminal_request(
    descriptor: u32,
    request: TerminalRequest,
    argument: u32,
) -> Result<u32, Errno> {
    let max = match request {
        TerminalRequest::InputSize => i32::MAX as u64,
        _ => 0,
    };
    let arguments = [u64::from(descriptor), request as u64, u64::from(argument)];
    let reply = mailbox()?.call(Ocall::TerminalRequest, &arguments, max, &TERMINAL_ERRORS)?;
    Ok(reply as u32)
}

pub(crate) fn spawn_keeper() -> Result<(), Errno> {
    command(Ocall::SpawnKeeper, &[], &[Errno::EAGAIN, Errno::ENOMEM])
}

pub(crate) fn keep_signals(set: u64) {
    let _ = command(Ocall::KeepSignals, &[set], &[]);
}

pub(crate) fn stop() {
    let _ = command(Ocall::Stop, &[], &[]);
}

/// Signals that came, out of `kept`. Other bits are the host's invention and do not count.
pub(crate) fn take_signals(kept: u64) -> u64 {
    let reply = mailbox().and_then(|m| m.call(Ocall::TakeSignals, &[], i64::MAX as u64, &[]));
    reply.unwrap_or(0) & kept
}

pub(crate) fn read_image(index: u32, offset: u64, out: &mut [u8]) -> Result<(), Errno> {
    let mailbox = mailbox()?;
    let mut offset = offset;
    for chunk in out.chunks_mut(mailbox.capacity_bytes()) {
        let length = chunk.len() as u64;
        mailbox.call(
            Ocall::ReadImage,
            &[u64::from(index), offset, length],
            0,
            &[Errno::EIO, Errno::EINVAL],
        )?;
        mailbox.take(chunk);
        offset = offset.checked_add(length).ok_or(Errno::EINVAL)?;
    }
    Ok(())
}

/// Nanoseconds of the host's clock. A realtime that no honest host would give is moved to the
/// nearest that one might.
pub(crate) fn clock(clock: Clock) -> u64 {
    let number = match clock {
        Clock::Realtime => 0,
        Clock::Monotonic => 1,
    };
    let reply = mailbox().and_then(|m| m.call(Ocall::Clock, &[number], i64::MAX as u64, &[]));
    let value = reply.unwrap_or(0);
    match clock {
        Clock::Realtime => value.clamp(REALTIME_MIN, REALTIME_MAX),
        Clock::Monotonic => value,
    }
}

/// Nanoseconds that a thread has run, as the host says.
pub(crate) fn processor_time(thread: u32) -> u64 {
    let arguments = [2, u64::from(thread)];
    let reply = mailbox().and_then(|m| m.call(Ocall::Clock, &arguments, i64::MAX as u64, &[]));
    reply.unwrap_or(0)
}

pub(crate) fn spawn_thread() -> Result<(), Errno> {
    command(Ocall::SpawnThread, &[], &[Errno::EAGAIN, Errno::ENOMEM])
}

/// Sleeps. What the host replies does not matter: the caller looks again.
pub(crate) fn park(timeout: Option<Duration>) {
    let _ = command(Ocall::Park, &[nanoseconds(timeout)], &[]);
}

pub(crate) fn unpark(thread: u32) {
    let _ = command(Ocall::Unpark, &[u64::from(thread)], &[]);
}

/// Has another thread interrupted. What the host replies does not matter: it may do nothing.
pub(crate) fn interrupt(thread: u32) {
    let _ = command(Ocall::Interrupt, &[u64::from(thread)], &[]);
}

pub(crate) fn yield_now() {
    let _ = command(Ocall::Yield, &[], &[]);
}

pub(crate) fn log(level: LogLevel, line: &str) {
    let Ok(mailbox) = mailbox() else { return };
    let length = line.len().min(mailbox.capacity_bytes());
    mailbox.put(line.as_bytes().get(..length).unwrap_or(&[]));
    let level = match level {
        LogLevel::Error => 0,
        LogLevel::Warning => 1,
        LogLevel::Info => 2,
        LogLevel::Trace => 3,
        LogLevel::Mapping => 4,
    };
    let _ = mailbox.call(Ocall::Log, &[level, length as u64], 0, &[]);
}

pub(crate) fn restrict_permissions(address: u64, size: u64, bits: u8) -> Result<(), Errno> {
    let arguments = [address, size, u64::from(bits)];
    command(Ocall::RestrictPermissions, &arguments, &[])
}

pub(crate) fn trim_pages(address: u64, size: u64) -> Result<(), Errno> {
    command(Ocall::TrimPages, &[address, size], &[])
}

pub(crate) fn remove_pages(address: u64, size: u64) -> Result<(), Errno> {
    command(Ocall::RemovePages, &[address, size], &[])
}

/// Asks for other page tables. The reply is worth nothing, so it is not looked at.
pub(crate) fn map_pages(address: u64, size: u64, bits: u8) {
    let _ = command(Ocall::MapPages, &[address, size, u64::from(bits)], &[]);
}

pub(crate) fn statistics(counted: &Statistics) {
    let Ok(mailbox) = mailbox() else { return };
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
    mailbox.put(&bytes);
    let _ = mailbox.call(Ocall::Statistics, &[bytes.len() as u64], 0, &[]);
}

/// Ends the process. A host that comes back is asked again.
pub(crate) fn exit_process(status: i32) -> ! {
    loop {
        let _ = command(Ocall::ExitProcess, &[u64::from(status as u32)], &[]);
    }
}

/// Ends the enclave with a message about its own defect.
pub(crate) fn abort(message: &Message) -> ! {
    loop {
        let Ok(mailbox) = mailbox() else {
            // No way to tell: stop this thread where it is.
            core::hint::spin_loop();
            continue;
        };
        mailbox.put(message.as_bytes());
        let length = message.as_bytes().len() as u64;
        let _ = mailbox.call(Ocall::Abort, &[length], 0, &[]);
    }
}

fn nanoseconds(timeout: Option<Duration>) -> u64 {
    timeout.map_or(NO_TIMEOUT, |timeout| {
        u64::try_from(timeout.as_nanos()).map_or(NO_TIMEOUT - 1, |ns| ns.min(NO_TIMEOUT - 1))
    })
}
