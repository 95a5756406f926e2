//! Reading and writing.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::{Errno, Prot};
use vfs::{CHUNK_BYTES, Capabilities, FileType, OpenFile, OpenFlags, Readiness, SeekFrom};

use super::argument::Address;
use super::buffers::Buffers;
use super::call::{Call, Outcome, Stop};
use super::file_size::Limited;
use super::records::Vector;
use super::{room, socket_messages};
use crate::files::{HostStream, poll_events};
use crate::signals::Signal;
use crate::sockets::{Kind, Socket};
use crate::terminals::End as TerminalEnd;

/// `read(2)`.
pub(super) fn read(call: &mut Call<'_>, fd: i32, buffer: Address, len: u64) -> Outcome {
    let file = call.file(fd)?;
    call.read_file(&file, &[Vector::new(buffer, len)], None)
}

/// `write(2)`.
pub(super) fn write(call: &mut Call<'_>, fd: i32, buffer: Address, len: u64) -> Outcome {
    let file = call.file(fd)?;
    call.write_file(&file, &[Vector::new(buffer, len)], None)
}

/// `pread64(2)`.
pub(super) fn pread64(
    call: &mut Call<'_>,
    fd: i32,
    buffer: Address,
    len: u64,
    offset: i64,
) -> Outcome {
    let offset = start(offset)?;
    let file = call.positioned_file(fd)?;
    call.read_file(&file, &[Vector::new(buffer, len)], Some(offset))
}

/// `pwrite64(2)`.
pub(super) fn pwrite64(
    call: &mut Call<'_>,
    fd: i32,
    buffer: Address,
    len: u64,
    offset: i64,
) -> Outcome {
    let offset = start(offset)?;
    let file = call.positioned_file(fd)?;
    call.write_file(&file, &[Vector::new(buffer, len)], Some(offset))
}

/// `lseek(2)`.
pub(super) fn lseek(call: &mut Call<'_>, fd: i32, offset: i64, whence: u32) -> Outcome {
    let file = call.file(fd)?;
    let to = match whence {
        0 => SeekFrom::Start(offset),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        3 => SeekFrom::Data(offset),
        4 => SeekFrom::Hole(offset),
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(file.seek(to)?)
}

/// `fsync(2)` and `fdatasync(2)`.
pub(super) fn fsync(call: &mut Call<'_>, fd: i32) -> Outcome {
    let file = call.file(fd)?;
    // What holds nothing has nothing to be made sure of.
    let holds = matches!(
        file.object().kind(),
        FileType::Regular | FileType::Directory | FileType::BlockDevice
    );
    if !holds {
        return Err(Errno::EINVAL.into());
    }
    file.synchronize()?;
    Ok(0)
}

impl Call<'_> {
    /// The open file behind a descriptor that is not only a path.
    pub(super) fn file(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        let file = self.file_or_path(fd)?;
        if file.flags().contains(OpenFlags::PATH) {
            Err(Errno::EBADF)
        } else {
            Ok(file)
        }
    }

    /// The open file behind a descriptor, whatever it is good for.
    pub(super) fn file_or_path(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        self.task.places.files.read().file(fd).cloned()
    }

    /// The open file behind a descriptor that is to be read or written at an offset of the caller's:
    /// `ESPIPE` if it has none.
    pub(super) fn positioned_file(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        let file = self.file(fd)?;
        if file.object().is_seekable() {
            Ok(file)
        } else {
            Err(Errno::ESPIPE)
        }
    }

    /// Reads a file into program memory, at `offset` or where the file is.
    pub(super) fn read_file(
        &self,
        file: &OpenFile,
        vectors: &[Vector],
        offset: Option<u64>,
    ) -> Outcome {
        let outcome = self.read_uncounted(file, vectors, offset);
        self.thread.moved.count_read(outcome.unwrap_or(0));
        outcome
    }

    fn read_uncounted(&self, file: &OpenFile, vectors: &[Vector], offset: Option<u64>) -> Outcome {
        if let Some(end) = TerminalEnd::behind(file).filter(|end| !end.is_master()) {
            return match offset {
                None => self.read_slave(file, end, vectors),
                Some(_) => Err(Errno::ESPIPE.into()),
            };
        }
        let mut buffers = Buffers::new(self.memory(), vectors);
        check_extent(offset, buffers.left())?;
        // What can be waited for gives what it has, everything else all that was asked for.
        let is_stream = poll_events::can_wait_for(file);
        let mut done = 0;
        loop {
            let wanted = buffers.left().min(CHUNK_BYTES as u64);
            let count = self.until_ready(file, Readiness::READABLE, || match offset {
                Some(offset) => file.read_to_at(offset + done, &mut buffers),
                None => file.read_to(&mut buffers),
            });
            let count = match count {
                Err(Stop::Errno(Errno::EFAULT)) if buffers.cut(Prot::WRITE) => continue,
                Err(_) if done > 0 => return Ok(done),
                count => count? as u64,
            };
            done += count;
            if is_stream || buffers.left() == 0 || count == 0 {
                return Ok(done);
            }
            // It ended there, or else the next buffer is good only in part.
            if count < wanted && !buffers.cut(Prot::WRITE) {
                return Ok(done);
            }
        }
    }

    /// Writes program memory to a file, at `offset` or where the file is.
    pub(super) fn write_file(
        &self,
        file: &OpenFile,
        vectors: &[Vector],
        offset: Option<u64>,
    ) -> Outcome {
        let appends = file.flags().contains(OpenFlags::APPEND);
        self.write_counted(file, vectors, offset, appends)
    }

    /// Writes program memory at the end of a file, whatever its flags say. `offset` says only that it
    /// stays where it is.
    pub(super) fn append_to_file(
        &self,
        file: &OpenFile,
        vectors: &[Vector],
        offset: Option<u64>,
    ) -> Outcome {
        self.write_counted(file, vectors, offset, true)
    }

    fn write_counted(
        &self,
        file: &OpenFile,
        vectors: &[Vector],
        offset: Option<u64>,
        appends: bool,
    ) -> Outcome {
        let outcome = self.write_uncounted(file, vectors, offset, appends);
        self.thread.moved.count_written(outcome.unwrap_or(0));
        outcome
    }

    fn write_uncounted(
        &self,
        file: &OpenFile,
        vectors: &[Vector],
        offset: Option<u64>,
        appends: bool,
    ) -> Outcome {
        if offset.is_none() && Socket::behind(file).is_some_and(Socket::names_senders) {
            return socket_messages::write(self, file, vectors);
        }
        self.check_room_of(file)?;
        let mut buffers = Buffers::new(self.memory(), vectors);
        check_extent(offset, buffers.left())?;
        let changes = file.flags().is_writable() && buffers.left() > 0;
        let room = match changes {
            true => self
                .room_in_file(file, offset, appends)?
                .unwrap_or(u64::MAX),
            false => u64::MAX,
        };
        if changes {
            self.before_change(file)?;
        }
        let may_wait = !file.flags().contains(OpenFlags::NON_BLOCKING);
        let is_kept = !is_flow(file);
        let mut done = 0;
        loop {
            let wanted = buffers.left().min(CHUNK_BYTES as u64);
            // One step, so that nobody else writes in between; unless it would stay in the kernel's
            // heap and there may not be room for all of it.
            let all = usize::try_from(buffers.left()).unwrap_or(usize::MAX);
            let is_tight = is_kept && room::check_for(self.libos.machine, all).is_err();
            let piece = if is_tight { wanted } else { buffers.left() };
            let piece = piece.min(room - done);
            if is_tight && done > 0 && self.check_room_of(file).is_err() {
                return Ok(done);
            }
            let count = self.until_ready(file, Readiness::WRITABLE, || {
                let mut piece = Limited::new(&mut buffers, piece);
                match offset {
                    _ if appends => file.append_from(offset.is_none(), &mut piece),
                    Some(offset) => file.write_from_at(offset + done, &mut piece),
                    None => file.write_from(&mut piece),
                }
            });
            let count = match count {
                Err(Stop::Errno(Errno::EFAULT)) if done == 0 && buffers.cut(Prot::READ) => continue,
                Err(stop) => {
                    let stop = self.after_broken_pipe_of(file, done, stop);
                    return if done > 0 { Ok(done) } else { Err(stop) };
                }
                Ok(count) => count as u64,
            };
            done += count;
            let goes_on = count >= wanted || (may_wait && count > 0 && is_flow(file));
            if buffers.left() == 0 || done == room || !goes_on {
                return Ok(done);
            }
        }
    }

    /// To be called before an open file changes: takes the set-id bits from it, if the caller may not
    /// set them for anybody. A write through a mapping leaves them, as on Linux.
    pub(super) fn before_change(&self, file: &OpenFile) -> Result<(), Errno> {
        let is_regular = file.location().kind() == FileType::Regular;
        if is_regular {
            file.location().drop_capabilities()?;
        }
        if !is_regular || self.standing().can(Capabilities::SET_ID_BITS) {
            return Ok(());
        }
        file.location().drop_set_id_bits()
    }

    /// Refuses to add to a file of ours while the kernel's heap is nearly full. What goes to the
    /// host stays nowhere.
    pub(super) fn check_room_of(&self, file: &OpenFile) -> Result<(), Errno> {
        // Pipes and sockets look to it themselves, when they take more memory; a counter takes none.
        if is_flow(file) || file.object().kind() == FileType::Unnamed {
            return Ok(());
        }
        room::check(self.libos.machine).inspect_err(|_| self.report_full_heap())
    }

    /// Writes all bytes that the kernel holds.
    pub(super) fn write_all(&self, file: &OpenFile, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let count = self.until_ready(file, Readiness::WRITABLE, || file.write(bytes));
            let count = count.map_err(|stop| self.after_broken_pipe(stop))?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// A write that nobody reads also sends `SIGPIPE`, as on Linux: to a pipe in any case, to a socket
    /// only if nothing was `done` before, and never for packets.
    pub(super) fn after_broken_pipe_of(&self, file: &OpenFile, done: u64, stop: Stop) -> Stop {
        match Socket::behind(file).map(Socket::carries) {
            Some(Kind::Stream) if done > 0 => stop,
            None | Some(Kind::Stream) => self.after_broken_pipe(stop),
            Some(_) => stop,
        }
    }

    /// A write to a pipe that nobody reads also sends `SIGPIPE`.
    pub(super) fn after_broken_pipe(&self, stop: Stop) -> Stop {
        if stop == Stop::Errno(Errno::EPIPE) {
            self.raise(Signal::PIPE);
        }
        stop
    }
}

/// An offset that was given, which is not below zero.
pub(super) fn start(offset: i64) -> Result<u64, Errno> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

/// Checks that a stretch from an offset that was given ends before the largest one.
pub(super) fn check_extent(offset: Option<u64>, len: u64) -> Result<(), Errno> {
    let end = offset.unwrap_or(0).checked_add(len);
    if end.is_some_and(|end| i64::try_from(end).is_ok()) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// A buffer of zeros; `ENOMEM` when the kernel's heap has none.
pub(super) fn buffer_of(len: usize) -> Result<Vec<u8>, Errno> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    buffer.resize(len, 0);
    Ok(buffer)
}

/// Whether bytes flow through it to another program or the host, as far as there is room.
fn is_flow(file: &OpenFile) -> bool {
    HostStream::behind(file).is_some()
        || TerminalEnd::behind(file).is_some()
        || matches!(file.object().kind(), FileType::Fifo | FileType::Socket)
}
