//! Moving bytes between files without a program's memory.

use alloc::sync::Arc;

use hal::Errno;
use vfs::{CHUNK_BYTES, FileType, OpenFile, OpenFlags, Readiness, SeekFrom};

use super::argument::Address;
use super::buffers::{Buffers, MOVED_MAX_BYTES};
use super::call::{Call, Outcome, Stop};
use super::file_requests::check_copy;
use super::input_output::{buffer_of, check_extent};
use crate::files::{Flow, PipeEnd};

const SPLICE_F_NONBLOCK: u32 = 2;
/// Move, do not wait, more will come, a gift.
const SPLICE_FLAGS: u32 = 0xf;

/// One side of a transfer: a file, and where in it if not at its own offset.
struct Side {
    file: Arc<OpenFile>,
    at: Option<u64>,
    place: Address,
}

/// `sendfile(2)`.
pub(super) fn sendfile(
    call: &mut Call<'_>,
    out: i32,
    input: i32,
    offset: Address,
    len: u64,
) -> Outcome {
    let from = Side::new(call, input, offset)?;
    if !from.file.flags().is_readable() {
        return Err(Errno::EBADF.into());
    }
    if !from.file.object().is_seekable() && offset.non_null().is_some() {
        return Err(Errno::ESPIPE.into());
    }
    from.check_extent(len)?;
    let to = Side::new(call, out, Address(0))?;
    if !to.file.flags().is_writable() {
        return Err(Errno::EBADF.into());
    }
    let is_directory = from.file.location().kind() == FileType::Directory;
    if is_directory || !from.file.object().is_seekable() {
        return Err(Errno::EINVAL.into());
    }
    if to.file.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL.into());
    }
    counted_transfer(call, from, to, len)
}

/// `copy_file_range(2)`.
pub(super) fn copy_file_range(
    call: &mut Call<'_>,
    input: i32,
    input_offset: Address,
    out: i32,
    out_offset: Address,
    len: u64,
    flags: u32,
) -> Outcome {
    let (input, output) = (call.file(input)?, call.file(out)?);
    let from = Side::of(call, input, input_offset)?;
    let to = Side::of(call, output, out_offset)?;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let len = copied_bytes(call, &from, &to, len)?;
    if len == 0 {
        return Ok(0);
    }
    counted_transfer(call, from, to, len)
}

/// How much of `len` bytes there is to copy from one file to another, or why nothing is copied: in the
/// order of Linux's `generic_copy_file_checks`.
fn copied_bytes(call: &Call<'_>, from: &Side, to: &Side, len: u64) -> Result<u64, Errno> {
    check_copy(&from.file, &to.file)?;
    let (input, output) = (from.position()?, to.position()?);
    if input.checked_add(len).is_none() || output.checked_add(len).is_none() {
        return Err(Errno::EOVERFLOW);
    }
    // What is not there is not copied, not even when the copy has put it there. An offset below zero is
    // refused only at the end.
    let size_bytes = from.file.metadata()?.size_bytes;
    let is_beyond = input.cast_signed() >= size_bytes.cast_signed();
    let mut len = if is_beyond {
        0
    } else {
        len.min(size_bytes.wrapping_sub(input))
    };
    if let Some(room) = call.room_in_file(&to.file, Some(output), false)? {
        len = len.min(room);
    }
    if output.cast_signed() == i64::MAX {
        return Err(Errno::EFBIG);
    }
    let is_same = Arc::ptr_eq(from.file.location().inode(), to.file.location().inode());
    let (input_end, output_end) = (input.wrapping_add(len), output.wrapping_add(len));
    if is_same && output_end > input && output < input_end {
        return Err(Errno::EINVAL);
    }
    check_extent(Some(input), len)?;
    check_extent(Some(output), len)?;
    Ok(len)
}

/// `splice(2)`: one side is a pipe.
pub(super) fn splice(
    call: &mut Call<'_>,
    input: i32,
    input_offset: Address,
    out: i32,
    out_offset: Address,
    len: u64,
    flags: u32,
) -> Outcome {
    if len == 0 {
        return Ok(0);
    }
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (input, output) = (call.file(input)?, call.file(out)?);
    let is_placed_pipe =
        |file: &OpenFile, place: Address| PipeEnd::behind(file).is_some() && !place.is_null();
    if is_placed_pipe(&input, input_offset) || is_placed_pipe(&output, out_offset) {
        return Err(Errno::ESPIPE.into());
    }
    let to = Side::of(call, output, out_offset)?;
    let from = Side::of(call, input, input_offset)?;
    if !from.file.flags().is_readable() || !to.file.flags().is_writable() {
        return Err(Errno::EBADF.into());
    }
    match (PipeEnd::behind(&from.file), PipeEnd::behind(&to.file)) {
        (None, None) => return Err(Errno::EINVAL.into()),
        (Some(input), Some(output)) if input.shares_pipe_with(output) => {
            return Err(Errno::EINVAL.into());
        }
        (Some(input), Some(output)) => {
            return join(
                call,
                (&from.file, input),
                (&to.file, output),
                len,
                flags,
                false,
            );
        }
        _ => {}
    }
    for side in [&from, &to] {
        if PipeEnd::behind(&side.file).is_none() {
            side.check_extent(len)?;
        }
    }
    let is_directory = from.file.location().kind() == FileType::Directory;
    let has_no_place = |side: &Side| side.at.is_some() && !side.file.object().is_seekable();
    let is_addition = to.file.flags().contains(OpenFlags::APPEND);
    if is_addition || is_directory || has_no_place(&from) || has_no_place(&to) {
        return Err(Errno::EINVAL.into());
    }
    let patience = Patience::of(flags);
    if let Some(output) = PipeEnd::behind(&to.file) {
        let room = patience.wait(call, &to.file, Readiness::WRITABLE, || output.check_room());
        room.map_err(|stop| call.after_broken_pipe(stop))?;
    }
    // Counters, timers and their like are read and written by themselves.
    if [&from, &to]
        .map(|side| side.file.object().kind())
        .contains(&FileType::Unnamed)
    {
        return Err(Errno::EINVAL.into());
    }
    match PipeEnd::behind(&from.file) {
        Some(pipe) => drain(call, pipe, &from, to, len, patience),
        None => transfer(call, from, to, len, patience),
    }
}

/// `tee(2)`: what it copies stays to be read.
pub(super) fn tee(call: &mut Call<'_>, input: i32, out: i32, len: u64, flags: u32) -> Outcome {
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let (from, to) = (call.file(input)?, call.file(out)?);
    if !from.flags().is_readable() || !to.flags().is_writable() {
        return Err(Errno::EBADF.into());
    }
    let (Some(input), Some(output)) = (PipeEnd::behind(&from), PipeEnd::behind(&to)) else {
        return Err(Errno::EINVAL.into());
    };
    if input.shares_pipe_with(output) {
        return Err(Errno::EINVAL.into());
    }
    join(call, (&from, input), (&to, output), len, flags, true)
}

/// Moves what a pipe has to another, as far as there is room, or copies it. If one of the two may not wait,
/// neither is waited for.
fn join(
    call: &Call<'_>,
    (from, input): (&OpenFile, &PipeEnd),
    (to, output): (&OpenFile, &PipeEnd),
    len: u64,
    flags: u32,
    stays: bool,
) -> Outcome {
    let may_not_wait = |file: &OpenFile| file.flags().contains(OpenFlags::NON_BLOCKING);
    let patience = if may_not_wait(from) || may_not_wait(to) {
        Patience::None
    } else {
        Patience::of(flags)
    };
    let limit = len.min(MOVED_MAX_BYTES) as usize;
    let mut needs_room = false;
    loop {
        let (file, wanted) = if needs_room {
            (to, Readiness::WRITABLE)
        } else {
            (from, Readiness::READABLE)
        };
        let outcome = patience.wait(call, file, wanted, || {
            match input.give_to(output, limit, stays)? {
                Flow::Moved(count) => Ok(Some(count)),
                Flow::NeedsInput if !needs_room => Err(Errno::EAGAIN),
                Flow::NeedsRoom if needs_room => Err(Errno::EAGAIN),
                Flow::NeedsInput | Flow::NeedsRoom => Ok(None),
            }
        });
        match outcome {
            Ok(Some(count)) => return Ok(count as u64),
            Ok(None) => needs_room = !needs_room,
            Err(stop) => return Err(call.after_broken_pipe(stop)),
        }
    }
}

/// `vmsplice(2)`: pages are copied, not given.
pub(super) fn vmsplice(
    call: &mut Call<'_>,
    fd: i32,
    vectors: Address,
    count: u64,
    flags: u32,
) -> Outcome {
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = call.file(fd)?;
    if !file.flags().is_writable() && !file.flags().is_readable() {
        return Err(Errno::EBADF.into());
    }
    let vectors = call.vectors(vectors, count)?;
    if vectors.iter().all(|vector| vector.len == 0) {
        return Ok(0);
    }
    let end = PipeEnd::behind(&file).ok_or(Errno::EBADF)?;
    if file.flags().is_writable() {
        // As much as there is room for.
        let mut buffers = Buffers::new(call.memory(), &vectors);
        let given = Patience::of(flags).wait(call, &file, Readiness::WRITABLE, || {
            file.write_from(&mut buffers)
        });
        Ok(given.map_err(|stop| call.after_broken_pipe(stop))? as u64)
    } else {
        let mut buffers = Buffers::new(call.memory(), &vectors);
        let taken = Patience::of(flags).wait(call, &file, Readiness::READABLE, || {
            end.pull_bytes(&mut buffers)
        });
        Ok(taken? as u64)
    }
}

impl Side {
    fn new(call: &Call<'_>, fd: i32, place: Address) -> Result<Self, Errno> {
        Self::of(call, call.file(fd)?, place)
    }

    fn of(call: &Call<'_>, file: Arc<OpenFile>, place: Address) -> Result<Self, Errno> {
        let at = match place.non_null() {
            Some(place) => Some(call.memory().read::<u64>(place.0)?),
            None => None,
        };
        Ok(Self { file, at, place })
    }

    /// Checks that a stretch of `len` bytes from an offset that was given is one.
    fn check_extent(&self, len: u64) -> Result<(), Errno> {
        check_extent(self.at, len)
    }

    /// Writes some of `bytes`, without waiting.
    fn write_some(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match (self.at, PipeEnd::behind(&self.file)) {
            (Some(at), _) => self.file.write_at(at, bytes),
            (None, Some(pipe)) => pipe.push_some(bytes),
            (None, None) => self.file.write(bytes),
        }
    }

    /// Writes some of `bytes`, as far as the file may grow.
    fn write_limited(&self, call: &Call<'_>, bytes: &[u8]) -> Result<usize, Errno> {
        let room = match bytes {
            [] => None,
            _ => call.room_in_file(&self.file, self.at, false)?,
        };
        let room = room.and_then(|room| usize::try_from(room).ok());
        let room = room.unwrap_or(usize::MAX).min(bytes.len());
        self.write_some(&bytes[..room])
    }

    /// Where the transfer begins.
    fn position(&self) -> Result<u64, Errno> {
        match self.at {
            Some(at) => Ok(at),
            None => self.file.seek(SeekFrom::Current(0)),
        }
    }

    /// Notes that `count` bytes were moved here, where that is not the file's own offset.
    fn advance(&mut self, count: usize) {
        self.at = self.at.map(|at| at + count as u64);
    }

    fn tell(&self, call: &Call<'_>) -> Result<(), Errno> {
        match (self.place.non_null(), self.at) {
            (Some(place), Some(at)) => call.memory().write(place.0, &at),
            _ => Ok(()),
        }
    }
}

/// Whether a transfer waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// As the files' own flags say, until all is moved.
    OfAll,
    /// The same, until something is.
    OfFiles,
    /// Not at all.
    None,
}

impl Patience {
    const fn of(flags: u32) -> Self {
        if flags & SPLICE_F_NONBLOCK == 0 {
            Self::OfFiles
        } else {
            Self::None
        }
    }

    fn wait<T>(
        self,
        call: &Call<'_>,
        file: &OpenFile,
        wanted: Readiness,
        action: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Stop> {
        match self {
            Self::OfAll | Self::OfFiles => call.until_ready(file, wanted, action),
            Self::None => call.without_waiting(file, action),
        }
    }
}

/// Moves up to `len` bytes out of a pipe: what it has, as far as there is room for it.
fn drain(
    call: &Call<'_>,
    pipe: &PipeEnd,
    from: &Side,
    mut to: Side,
    len: u64,
    patience: Patience,
) -> Outcome {
    /// Who has to be waited for.
    enum Held {
        Input,
        Output,
    }
    call.check_room_of(&to.file)?;
    let len = len.min(MOVED_MAX_BYTES);
    if len > 0 {
        call.before_change(&to.file)?;
    }
    let mut buffer = buffer_of(CHUNK_BYTES.min(len as usize))?;
    let write = |bytes: &[u8]| {
        let written = to.write_limited(call, bytes)?;
        if written < bytes.len() {
            // Who is stopped by a limit is told, as by a write of the rest.
            let at = to.at.map(|at| at + written as u64);
            let _ = call.room_in_file(&to.file, at, false);
        }
        Ok(written)
    };
    let mut attempt = || match pipe.offer(&mut buffer, write) {
        Ok(Some(count)) => Ok(Ok(count)),
        Ok(None) => Ok(Err(Held::Input)),
        Err(Errno::EAGAIN) => Ok(Err(Held::Output)),
        Err(errno) => Err(errno),
    };
    let mut held = Held::Input;
    let moved = loop {
        let outcome = match held {
            Held::Input => {
                patience.wait(call, &from.file, Readiness::READABLE, || match attempt()? {
                    Err(Held::Input) => Err(Errno::EAGAIN),
                    other => Ok(other),
                })
            }
            Held::Output => {
                patience.wait(call, &to.file, Readiness::WRITABLE, || match attempt()? {
                    Err(Held::Output) => Err(Errno::EAGAIN),
                    other => Ok(other),
                })
            }
        };
        match outcome {
            Ok(Ok(count)) => break count,
            Ok(Err(other)) => held = other,
            Err(stop) => return Err(call.after_broken_pipe_of(&to.file, 0, stop)),
        }
    };
    to.advance(moved);
    to.tell(call)?;
    Ok(moved as u64)
}

/// Moves up to `len` bytes, which count as read and written (`/proc/PID/io`).
fn counted_transfer(call: &Call<'_>, from: Side, to: Side, len: u64) -> Outcome {
    let outcome = transfer(call, from, to, len, Patience::OfAll);
    let count = outcome.unwrap_or(0);
    call.thread.moved.count_read(count);
    call.thread.moved.count_written(count);
    outcome
}

/// Moves up to `len` bytes; stops early where the input has no more for now.
fn transfer(
    call: &Call<'_>,
    mut from: Side,
    mut to: Side,
    len: u64,
    patience: Patience,
) -> Outcome {
    call.check_room_of(&to.file)?;
    let len = len.min(MOVED_MAX_BYTES);
    if len > 0 {
        call.before_change(&to.file)?;
    }
    let is_one_step = patience != Patience::OfAll && PipeEnd::behind(&to.file).is_some();
    let mut buffer = buffer_of(CHUNK_BYTES.min(len as usize))?;
    let mut done = 0;
    while done < len {
        if done > 0 && call.check_room_of(&to.file).is_err() {
            break;
        }
        let part = &mut buffer[..CHUNK_BYTES.min((len - done) as usize)];
        let moved = match move_part(call, &mut from, &mut to, part, patience) {
            Err(stop) => {
                if done == 0 {
                    return Err(call.after_broken_pipe_of(&to.file, 0, stop));
                }
                break;
            }
            Ok(moved) => moved,
        };
        done += moved as u64;
        let is_stream = !from.file.object().is_seekable();
        if moved == 0 || is_one_step || (is_stream && moved < part.len()) {
            break;
        }
    }
    from.tell(call)?;
    to.tell(call)?;
    Ok(done)
}

/// Moves as much as goes at a time. What was taken from a stream is written before anything else;
/// a file keeps what was not.
fn move_part(
    call: &Call<'_>,
    from: &mut Side,
    to: &mut Side,
    buffer: &mut [u8],
    patience: Patience,
) -> Result<usize, Stop> {
    // So that nothing is taken that finds no room. It may be gone again: then it is waited for.
    patience.wait(call, &to.file, Readiness::WRITABLE, || {
        let ends = Readiness::ERROR | Readiness::HANG_UP;
        let is_ready = to.file.readiness().intersects(Readiness::WRITABLE | ends);
        if is_ready { Ok(()) } else { Err(Errno::EAGAIN) }
    })?;
    let is_stream = !from.file.object().is_seekable();
    let position = if is_stream { 0 } else { from.position()? };
    let count = patience.wait(call, &from.file, Readiness::READABLE, || {
        if is_stream {
            from.file.read(buffer)
        } else {
            from.file.read_at(position, buffer)
        }
    })?;
    let bytes = &buffer[..count];
    let written = match to.at {
        Some(_) => to.write_limited(call, bytes)?,
        None if is_stream => {
            call.write_all(&to.file, bytes)?;
            count
        }
        None if count == 0 => 0,
        None => patience.wait(call, &to.file, Readiness::WRITABLE, || {
            to.write_limited(call, bytes)
        })?,
    };
    to.advance(written);
    if from.at.is_some() {
        from.advance(written);
    } else if !is_stream {
        let next = position + written as u64;
        from.file.seek(SeekFrom::Start(next.cast_signed()))?;
    }
    Ok(written)
}
