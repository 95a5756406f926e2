//! Serving OCALLs: what each one does on this host.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use abi::ocall::{Command, NO_TIMEOUT, Ocall, PollEntry};
use abi::{PageType, Permissions};
use platform::Enclave;

use crate::RunError;
use crate::lend;
use crate::mailbox::{Mailbox, Request};
use crate::process::{Process, Seat};
use crate::signals::Uninterrupted;
#[cfg(feature = "testing")]
use crate::testing;
use crate::{signal_keeper, stream, terminal, thread};

/// A reply: at least zero, or the positive error number.
pub(crate) type Reply = Result<u64, i32>;

/// Serves the request in the mailbox and leaves the reply there.
///
/// # Errors
/// If the enclave asked for something that no request means, or reports its own defect.
pub(crate) fn serve<E: Enclave>(
    process: &Arc<Process<E>>,
    seat: usize,
    mailbox: &mut Mailbox,
) -> Result<(), RunError> {
    let request = mailbox.request();
    let Some(call) = request.call else {
        let what = format!("the enclave made an unknown OCALL {}", request.number);
        return Err(RunError::Enclave(what));
    };
    process.count(call);
    #[cfg(feature = "testing")]
    if testing::brings_keeper(call) && signal_keeper::spawn(process).is_ok() {
        // It has the time to do harm.
        std::thread::sleep(Duration::from_millis(300));
    }
    #[cfg(feature = "testing")]
    if !testing::serves(call) {
        testing::reply(call, mailbox);
        return Ok(());
    }
    let reply = answer(process, seat, mailbox, call, &request)?;
    mailbox.reply(match reply {
        Ok(value) => i64::try_from(value).unwrap_or(-i64::from(libc::EIO)),
        Err(errno) => -i64::from(errno),
    });
    #[cfg(feature = "testing")]
    testing::reply(call, mailbox);
    Ok(())
}

fn answer<E: Enclave>(
    process: &Arc<Process<E>>,
    seat: usize,
    mailbox: &mut Mailbox,
    call: Ocall,
    request: &Request,
) -> Result<Reply, RunError> {
    let [first, second, third, ..] = request.arguments;
    Ok(match call {
        Ocall::Read => stream::read(first, mailbox.buffer(second)),
        Ocall::Write => stream::write(first, mailbox.buffer(second)),
        Ocall::Poll => poll(&process.seats[seat], mailbox, first, second),
        Ocall::TerminalSize => terminal_size(first),
        Ocall::TerminalSettings => stream::descriptor(first)
            .and_then(|fd| terminal::settings(fd, mailbox.buffer(u64::MAX))),
        Ocall::SetTerminalSettings => stream::descriptor(first)
            .and_then(|fd| terminal::set_settings(fd, second, mailbox.buffer(u64::MAX))),
        Ocall::TerminalRequest => {
            stream::descriptor(first).and_then(|fd| terminal::request(fd, second, third))
        }
        Ocall::ReadImage => read_image(process, first, second, mailbox.buffer(third)),
        Ocall::Clock => clock(process, first, second),
        Ocall::SpawnThread => thread::spawn(process, Command::Thread).map(|()| 0),
        Ocall::SpawnKeeper => signal_keeper::spawn(process).map(|()| 0),
        Ocall::KeepSignals => signal_keeper::keep(process, first).map(|()| 0),
        Ocall::TakeSignals => Ok(process.kept_signals.swap(0, Ordering::SeqCst)),
        Ocall::Stop => {
            signal_keeper::stop();
            Ok(0)
        }
        Ocall::Park => {
            process.seats[seat].park(duration(first));
            Ok(0)
        }
        Ocall::Unpark => seat_of(process, first).map(|seat| {
            seat.unpark();
            0
        }),
        Ocall::Interrupt => seat_of(process, first).map(|seat| {
            seat.interrupt();
            0
        }),
        Ocall::Yield => {
            std::thread::yield_now();
            Ok(0)
        }
        Ocall::Log => {
            log(process, first, mailbox.buffer(second));
            Ok(0)
        }
        Ocall::ExitProcess => process.finish(first as u32 as i32),
        Ocall::Abort => {
            let message = String::from_utf8_lossy(mailbox.buffer(first)).into_owned();
            return Err(RunError::Enclave(format!("the LibOS stopped: {message}")));
        }
        Ocall::RestrictPermissions => {
            let permissions = Permissions::from_bits_truncated(third as u8);
            whole(
                second,
                process
                    .enclave
                    .restrict_permissions(first, second, permissions),
            )
        }
        Ocall::TrimPages => whole(
            second,
            process
                .enclave
                .modify_type(first, second, PageType::Trimmed),
        ),
        Ocall::RemovePages => whole(second, process.enclave.remove_pages(first, second)),
        Ocall::MapPages => {
            let permissions = Permissions::from_bits_truncated(third as u8);
            let mapped = process.enclave.map(first, second, permissions);
            mapped.map(|()| 0).map_err(|_| libc::EIO)
        }
        Ocall::HostRoot
        | Ocall::HostLookUp
        | Ocall::HostClose
        | Ocall::HostStatus
        | Ocall::HostOpen
        | Ocall::HostRead
        | Ocall::HostWrite
        | Ocall::HostTruncate
        | Ocall::HostSync
        | Ocall::HostList
        | Ocall::HostCreate
        | Ocall::HostLink
        | Ocall::HostRemove
        | Ocall::HostRename
        | Ocall::HostReadLink
        | Ocall::HostChange
        | Ocall::HostSizes => lend::serve(&process.files, mailbox, call, request),
        Ocall::Statistics => {
            process.keep_enclave_words(mailbox.buffer(first));
            Ok(0)
        }
    })
}

/// A change of pages that must be done for the whole range.
fn whole(wanted: u64, done: platform::Result<u64>) -> Reply {
    match done {
        Ok(done) if done == wanted => Ok(0),
        _ => Err(libc::EIO),
    }
}

fn seat_of<E: Enclave>(process: &Process<E>, seat: u64) -> Result<&Seat, i32> {
    let seat = usize::try_from(seat)
        .ok()
        .and_then(|seat| process.seats.get(seat));
    seat.ok_or(libc::EINVAL)
}

/// Waits until one of the descriptors is ready, the time is over, or the thread is interrupted.
fn wait(seat: &Seat, list: &mut [libc::pollfd], timeout: Option<Duration>) -> Reply {
    // SAFETY: `list` is valid for reads and writes of its length.
    let ready = unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, 0) };
    if ready > 0 || timeout.is_some_and(|timeout| timeout.is_zero()) {
        return u64::try_from(ready).map_err(|_| last_errno());
    }
    let uninterrupted = Uninterrupted::new();
    if seat.take_interrupted() {
        return Err(libc::EINTR);
    }
    let ready = uninterrupted.poll(list, timeout);
    let errno = last_errno();
    if ready < 0 && errno == libc::EINTR {
        seat.take_interrupted();
    }
    u64::try_from(ready).map_err(|_| errno)
}

fn read_image<E: Enclave>(process: &Process<E>, image: u64, offset: u64, out: &mut [u8]) -> Reply {
    let image = usize::try_from(image)
        .ok()
        .and_then(|image| process.images.get(image));
    match image.ok_or(libc::EINVAL)?.read_exact_at(out, offset) {
        Ok(()) => Ok(0),
        Err(_) => Err(libc::EIO),
    }
}

fn terminal_size(descriptor: u64) -> Reply {
    let descriptor = stream::descriptor(descriptor)?;
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which `size` is.
    let done = unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ, &raw mut size) };
    if done < 0 {
        return Err(last_errno());
    }
    Ok(u64::from(size.ws_row) << 16 | u64::from(size.ws_col))
}

fn clock<E: Enclave>(process: &Process<E>, number: u64, thread: u64) -> Reply {
    let clock = match number {
        0 => libc::CLOCK_REALTIME,
        1 => libc::CLOCK_MONOTONIC,
        2 => seat_of(process, thread)?.processor_clock()?,
        _ => return Err(libc::EINVAL),
    };
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the answer.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } < 0 {
        return Err(last_errno());
    }
    let nanoseconds = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    u64::try_from(nanoseconds).map_err(|_| libc::EIO)
}

/// Waits for the descriptors that are listed in the buffer, and marks there which are ready.
fn poll(seat: &Seat, mailbox: &mut Mailbox, count: u64, timeout: u64) -> Reply {
    let size = count
        .checked_mul(size_of::<PollEntry>() as u64)
        .ok_or(libc::EINVAL)?;
    let entries = mailbox.buffer(size);
    if entries.len() as u64 != size {
        return Err(libc::EINVAL);
    }
    let mut list = Vec::new();
    for entry in entries.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*entry);
        list.push(libc::pollfd {
            fd: stream::descriptor(word & 0xffff_ffff).unwrap_or(-1),
            events: (word >> 32) as i16,
            revents: 0,
        });
    }
    let timeout = duration(timeout);
    let ready = if timeout.is_some_and(|timeout| timeout.is_zero()) {
        wait(seat, &mut list, timeout)?
    } else {
        // A wake-up rings the bell, which is one more descriptor to wait for.
        let bell = seat.bell().map_err(|_| libc::ENOMEM)?;
        list.push(libc::pollfd {
            fd: bell.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        let now = Some(Duration::ZERO);
        let ready =
            seat.listen(|is_rung| wait(seat, &mut list, if is_rung { now } else { timeout }))?;
        let rung = list.pop().is_some_and(|bell| bell.revents != 0);
        ready - u64::from(rung)
    };
    for (entry, item) in entries.as_chunks_mut::<8>().0.iter_mut().zip(&list) {
        let [low @ .., _, _] = *entry;
        let [first, second] = item.revents.to_le_bytes();
        let [a, b, c, d, e, f] = low;
        *entry = [a, b, c, d, e, f, first, second];
    }
    Ok(ready)
}

fn log<E: Enclave>(process: &Process<E>, level: u64, line: &[u8]) {
    let name = match level {
        3 => return process.trace.add(line),
        4 => return process.mappings.add(line),
        0 => "error",
        1 => "warning",
        _ => "note",
    };
    // One write a line, so that lines of several threads do not mix.
    let text = format!("occlum: {name}: {}\n", String::from_utf8_lossy(line));
    let _ = io::Write::write_all(&mut io::stderr().lock(), text.as_bytes());
}

fn duration(nanoseconds: u64) -> Option<Duration> {
    (nanoseconds != NO_TIMEOUT).then(|| Duration::from_nanos(nanoseconds))
}

pub(crate) fn last_errno() -> i32 {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}
