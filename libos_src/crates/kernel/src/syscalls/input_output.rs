//! Reading and writing.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::Errno;
use vfs::{OpenFile, OpenFlags, Readiness, SeekFrom};

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use super::room;
use crate::files::HostStream;
use crate::signals::{Signal, SignalInfo};

/// The most that one call moves (`MAX_RW_COUNT`).
const MOVED_MAX_BYTES: u64 = 0x7fff_f000;
/// What is moved at a time through the kernel's heap.
pub(super) const CHUNK_BYTES: u64 = 64 * 1024;
/// Up to here the kernel's stack does.
const SMALL_BYTES: u64 = 1024;

/// `read(2)`.
pub(super) fn read(call: &mut Call<'_>, fd: i32, buffer: Address, len: u64) -> Outcome {
    let file = call.file(fd)?;
    call.read_to(&file, buffer, len, &mut |file, bytes| file.read(bytes))
}

/// `write(2)`.
pub(super) fn write(call: &mut Call<'_>, fd: i32, buffer: Address, len: u64) -> Outcome {
    let file = call.file(fd)?;
    call.write_from(&file, buffer, len, &mut |file, bytes| file.write(bytes))
}

/// `pread64(2)`.
pub(super) fn pread64(
    call: &mut Call<'_>,
    fd: i32,
    buffer: Address,
    len: u64,
    offset: i64,
) -> Outcome {
    let file = call.file(fd)?;
    let mut at = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    call.read_to(&file, buffer, len, &mut |file, bytes| {
        let count = file.read_at(at, bytes)?;
        at += count as u64;
        Ok(count)
    })
}

/// `pwrite64(2)`.
pub(super) fn pwrite64(
    call: &mut Call<'_>,
    fd: i32,
    buffer: Address,
    len: u64,
    offset: i64,
) -> Outcome {
    let file = call.file(fd)?;
    let mut at = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    call.write_from(&file, buffer, len, &mut |file, bytes| {
        let count = file.write_at(at, bytes)?;
        at += count as u64;
        Ok(count)
    })
}

/// `lseek(2)`.
pub(super) fn lseek(call: &mut Call<'_>, fd: i32, offset: i64, whence: u32) -> Outcome {
    let to = match whence {
        0 => SeekFrom::Start(offset),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        3 => SeekFrom::Data(offset),
        4 => SeekFrom::Hole(offset),
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(call.file(fd)?.seek(to)?)
}

/// `fsync(2)` and `fdatasync(2)`.
pub(super) fn fsync(call: &mut Call<'_>, fd: i32) -> Outcome {
    call.file(fd)?.object().synchronize()?;
    Ok(0)
}

/// `sendfile(2)`.
pub(super) fn sendfile(
    call: &mut Call<'_>,
    out: i32,
    input: i32,
    offset: Address,
    len: u64,
) -> Outcome {
    let (output, input) = (call.file(out)?, call.file(input)?);
    let mut at = match offset.non_null() {
        Some(address) => Some(call.memory().read::<u64>(address.0)?),
        None => None,
    };
    call.check_room_of(&output)?;
    let mut chunk = buffer_of(CHUNK_BYTES.min(len) as usize)?;
    let mut done = 0;
    while done < len.min(MOVED_MAX_BYTES) {
        let part = (len - done).min(CHUNK_BYTES) as usize;
        let part = &mut chunk[..part];
        let count = match at {
            Some(offset) => input.read_at(offset, part)?,
            None => input.read(part)?,
        };
        if count == 0 {
            break;
        }
        call.write_all(&output, &part[..count])?;
        at = at.map(|offset| offset + count as u64);
        done += count as u64;
    }
    if let (Some(address), Some(at)) = (offset.non_null(), at) {
        call.memory().write(address.0, &at)?;
    }
    Ok(done)
}

/// Reads from an open file.
pub(super) type Reader<'a> = &'a mut dyn FnMut(&OpenFile, &mut [u8]) -> Result<usize, Errno>;
/// Writes to an open file.
pub(super) type Writer<'a> = &'a mut dyn FnMut(&OpenFile, &[u8]) -> Result<usize, Errno>;

impl Call<'_> {
    /// The open file behind a descriptor.
    pub(super) fn file(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        self.process.descriptors.read().file(fd).cloned()
    }

    /// Reads up to `len` bytes of a file into program memory.
    pub(super) fn read_to(
        &mut self,
        file: &OpenFile,
        buffer: Address,
        len: u64,
        read: Reader<'_>,
    ) -> Outcome {
        let len = len.min(MOVED_MAX_BYTES);
        // A stream's bytes are gone once they are read, so the buffer is checked first.
        self.memory().check_writable(buffer.0, len)?;
        if len <= SMALL_BYTES {
            let mut bytes = [0; SMALL_BYTES as usize];
            return self.read_chunk(file, buffer.0, &mut bytes[..len as usize], read);
        }
        let mut chunk = buffer_of(CHUNK_BYTES.min(len) as usize)?;
        let mut done = 0;
        while done < len {
            let part = &mut chunk[..CHUNK_BYTES.min(len - done) as usize];
            let wanted = part.len() as u64;
            let count = match self.read_chunk(file, buffer.0 + done, part, read) {
                Err(_) if done > 0 => break,
                outcome => outcome?,
            };
            done += count;
            if count < wanted || !file.object().is_seekable() {
                break;
            }
        }
        Ok(done)
    }

    fn read_chunk(
        &mut self,
        file: &OpenFile,
        address: u64,
        chunk: &mut [u8],
        read: Reader<'_>,
    ) -> Outcome {
        let count = self.until_ready(file, Readiness::READABLE, || read(file, chunk))?;
        self.memory().copy_out(address, &chunk[..count])?;
        Ok(count as u64)
    }

    /// Writes up to `len` bytes of program memory to a file.
    pub(super) fn write_from(
        &mut self,
        file: &OpenFile,
        buffer: Address,
        len: u64,
        write: Writer<'_>,
    ) -> Outcome {
        let len = len.min(MOVED_MAX_BYTES);
        self.check_room_of(file)?;
        let mut small = [0; SMALL_BYTES as usize];
        let mut large = if len > SMALL_BYTES {
            buffer_of(CHUNK_BYTES.min(len) as usize)?
        } else {
            Vec::new()
        };
        let chunk = if len > SMALL_BYTES {
            &mut large[..]
        } else {
            &mut small[..]
        };
        let mut done = 0;
        loop {
            let part_len = (chunk.len() as u64).min(len - done) as usize;
            let part = &mut chunk[..part_len];
            let copied = self.memory().copy_in(buffer.0.wrapping_add(done), part);
            let written = copied
                .map_err(Stop::from)
                .and_then(|()| self.until_ready(file, Readiness::WRITABLE, || write(file, part)));
            match written {
                Ok(count) => done += count as u64,
                Err(_) if done > 0 => return Ok(done),
                Err(stop) => return Err(self.after_broken_pipe(stop)),
            }
            let may_wait = !file.flags().contains(OpenFlags::NON_BLOCKING);
            let is_short = written.is_ok_and(|count| count < part_len);
            if done >= len || (is_short && !(may_wait && is_pipe(file))) {
                return Ok(done);
            }
        }
    }

    /// Refuses to add to a file of ours while the kernel's heap is nearly full. What goes to the
    /// host stays nowhere.
    fn check_room_of(&self, file: &OpenFile) -> Result<(), Errno> {
        if is_host(file) {
            return Ok(());
        }
        room::check(self.libos.machine).inspect_err(|_| self.report_full_heap())
    }

    /// Writes all bytes that the kernel holds.
    fn write_all(&mut self, file: &OpenFile, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let count = self.until_ready(file, Readiness::WRITABLE, || file.write(bytes));
            let count = count.map_err(|stop| self.after_broken_pipe(stop))?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// A write to a pipe that nobody reads also sends `SIGPIPE`.
    fn after_broken_pipe(&self, stop: Stop) -> Stop {
        if stop == Stop::Errno(Errno::EPIPE) {
            let info = SignalInfo::from_kernel(Signal::PIPE);
            // The thread's queue holds a standard signal at any time.
            let _ = self
                .libos
                .send_to_thread(self.process, self.thread, Signal::PIPE, info);
        }
        stop
    }
}

/// A buffer of zeros; `ENOMEM` when the kernel's heap has none.
pub(super) fn buffer_of(len: usize) -> Result<Vec<u8>, Errno> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    buffer.resize(len, 0);
    Ok(buffer)
}

fn is_host(file: &OpenFile) -> bool {
    HostStream::behind(file).is_some()
}

fn is_pipe(file: &OpenFile) -> bool {
    file.object().kind() == vfs::FileType::Fifo && !is_host(file)
}
