//! The standard streams, read and written without waiting.
//!
//! A call that waits in the host's kernel can be interrupted only once it is there: an interruption that
//! comes a moment before is lost, and the thread waits until somebody at the other end does something.
//! So whoever has to wait waits in `ppoll`, which has no such moment.

use std::fs::{File, OpenOptions};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;

use crate::serve::{Reply, last_errno};

/// The standard stream with this number: the enclave may use no other descriptor of the host.
pub(crate) fn descriptor(number: u64) -> Result<libc::c_int, i32> {
    match number {
        0 => Ok(libc::STDIN_FILENO),
        1 => Ok(libc::STDOUT_FILENO),
        2 => Ok(libc::STDERR_FILENO),
        _ => Err(libc::EBADF),
    }
}

/// Reads what is there; `EAGAIN` if nothing is yet.
pub(crate) fn read(number: u64, out: &mut [u8]) -> Reply {
    let fd = descriptor(number)?;
    let (data, len) = (out.as_mut_ptr().cast(), out.len());
    let got = match Way::to(&READERS, fd, false) {
        // SAFETY: `out` is valid for writes of its length.
        Way::Own(own) => unsafe { libc::read(own.as_raw_fd(), data, len) },
        // SAFETY: the same.
        Way::Socket => unsafe { libc::recv(fd, data, len, libc::MSG_DONTWAIT) },
        Way::Lent => {
            look(fd, libc::POLLIN)?;
            // SAFETY: the same.
            unsafe { libc::read(fd, data, len) }
        }
        // SAFETY: the same.
        Way::Plain => unsafe { libc::read(fd, data, len) },
    };
    u64::try_from(got).map_err(|_| last_errno())
}

/// Writes as much as there is room for; `EAGAIN` if there is none.
pub(crate) fn write(number: u64, bytes: &[u8]) -> Reply {
    let fd = descriptor(number)?;
    let (data, len) = (bytes.as_ptr().cast(), bytes.len());
    let put = match Way::to(&WRITERS, fd, true) {
        // SAFETY: `bytes` is valid for reads of its length.
        Way::Own(own) => unsafe { libc::write(own.as_raw_fd(), data, len) },
        Way::Socket => {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            // SAFETY: the same.
            unsafe { libc::send(fd, data, len, flags) }
        }
        Way::Lent => {
            look(fd, libc::POLLOUT)?;
            // There is room for as much: it waits only if another process was quicker.
            // SAFETY: the same, and no more than its length.
            unsafe { libc::write(fd, data, len.min(libc::PIPE_BUF)) }
        }
        // SAFETY: the same.
        Way::Plain => unsafe { libc::write(fd, data, len) },
    };
    u64::try_from(put).map_err(|_| last_errno())
}

static READERS: [OnceLock<Way>; 3] = [const { OnceLock::new() }; 3];
static WRITERS: [OnceLock<Way>; 3] = [const { OnceLock::new() }; 3];

/// How a stream is used without waiting. That it is not to wait cannot be said of the descriptor that
/// was inherited: whoever else has it would be told `EAGAIN`, too.
#[derive(Debug)]
enum Way {
    /// A pipe, or a terminal that is written to: opened once more, for this process alone.
    Own(File),
    /// A socket: each call says that it does not wait.
    Socket,
    /// What may wait and cannot be opened once more: asked before each call.
    Lent,
    /// What waits for nobody.
    Plain,
}

impl Way {
    fn to(ways: &'static [OnceLock<Self>; 3], fd: libc::c_int, writes: bool) -> &'static Self {
        ways[fd as usize % ways.len()].get_or_init(|| Self::find(fd, writes))
    }

    fn find(fd: libc::c_int, writes: bool) -> Self {
        let mut about = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `about` is a valid place for the answer.
        if unsafe { libc::fstat(fd, about.as_mut_ptr()) } < 0 {
            return Self::Plain;
        }
        // SAFETY: the call above has filled it in.
        let kind = unsafe { about.assume_init() }.st_mode & libc::S_IFMT;
        // SAFETY: only asks about a number.
        let is_terminal = unsafe { libc::isatty(fd) } == 1;
        if kind == libc::S_IFSOCK {
            return Self::Socket;
        }
        if kind != libc::S_IFIFO && !is_terminal {
            return Self::Plain;
        }
        // How long a read of a terminal waits for more is part of its settings (`VTIME`).
        if is_terminal && !writes {
            return Self::Lent;
        }
        let again = OpenOptions::new()
            .read(!writes)
            .write(writes)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(format!("/proc/self/fd/{fd}"));
        again.map_or(Self::Lent, Self::Own)
    }
}

/// `EAGAIN` unless a descriptor is ready.
fn look(fd: libc::c_int, events: libc::c_short) -> Result<(), i32> {
    let mut item = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    // SAFETY: `item` is one descriptor to look at, valid for reads and writes.
    match unsafe { libc::poll(&raw mut item, 1, 0) } {
        0 => Err(libc::EAGAIN),
        1 => Ok(()),
        _ => Err(last_errno()),
    }
}
