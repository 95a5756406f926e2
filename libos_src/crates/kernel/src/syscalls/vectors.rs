//! Reading and writing with several buffers.

use alloc::sync::Arc;

use hal::Errno;
use vfs::{OpenFile, OpenFlags};

use super::argument::Address;
use super::call::{Call, Outcome};
use super::input_output::start;

/// Read or write, do not wait.
const RWF_NOWAIT: u32 = 0x8;
const RWF_APPEND: u32 = 0x10;
/// These, and some that ask for more speed or safety than there is to give: priority and synchronous
/// writes.
const RWF_KNOWN: u32 = RWF_NOWAIT | RWF_APPEND | 0x1 | 0x2 | 0x4;

/// `readv(2)`.
pub(super) fn readv(call: &mut Call<'_>, fd: i32, vectors: Address, count: u64) -> Outcome {
    read_into(call, fd, vectors, count, None, 0)
}

/// `writev(2)`.
pub(super) fn writev(call: &mut Call<'_>, fd: i32, vectors: Address, count: u64) -> Outcome {
    write_out_of(call, fd, vectors, count, None, 0)
}

/// `preadv(2)`.
pub(super) fn preadv(
    call: &mut Call<'_>,
    fd: i32,
    vectors: Address,
    count: u64,
    offset: i64,
) -> Outcome {
    let offset = start(offset)?;
    read_into(call, fd, vectors, count, Some(offset), 0)
}

/// `pwritev(2)`.
pub(super) fn pwritev(
    call: &mut Call<'_>,
    fd: i32,
    vectors: Address,
    count: u64,
    offset: i64,
) -> Outcome {
    let offset = start(offset)?;
    write_out_of(call, fd, vectors, count, Some(offset), 0)
}

/// `preadv2(2)`: an offset of -1 is the file's own.
pub(super) fn preadv2(
    call: &mut Call<'_>,
    fd: i32,
    vectors: Address,
    count: u64,
    offset: i64,
    _offset_high: u64,
    flags: u32,
) -> Outcome {
    let offset = unless_own(offset)?;
    read_into(call, fd, vectors, count, offset, flags)
}

/// `pwritev2(2)`: an offset of -1 is the file's own.
pub(super) fn pwritev2(
    call: &mut Call<'_>,
    fd: i32,
    vectors: Address,
    count: u64,
    offset: i64,
    _offset_high: u64,
    flags: u32,
) -> Outcome {
    let offset = unless_own(offset)?;
    write_out_of(call, fd, vectors, count, offset, flags)
}

/// The file behind a descriptor, which has places if one is given.
fn file_for(call: &Call<'_>, fd: i32, offset: Option<u64>) -> Result<Arc<OpenFile>, Errno> {
    match offset {
        Some(_) => call.positioned_file(fd),
        None => call.file(fd),
    }
}

/// Reads into buffers. Nothing at all can be read from everything that is open for it.
fn read_into(
    call: &Call<'_>,
    fd: i32,
    vectors: Address,
    count: u64,
    offset: Option<u64>,
    flags: u32,
) -> Outcome {
    let file = file_for(call, fd, offset)?;
    let vectors = call.vectors(vectors, count)?;
    if !file.flags().is_readable() {
        return Err(Errno::EBADF.into());
    }
    if vectors.iter().all(|vector| vector.len == 0) {
        return Ok(0);
    }
    check_flags(&file, flags)?;
    call.read_file(&file, &vectors, offset)
}

/// Writes what is in buffers. Nothing at all can be written to everything that is open for it.
fn write_out_of(
    call: &Call<'_>,
    fd: i32,
    vectors: Address,
    count: u64,
    offset: Option<u64>,
    flags: u32,
) -> Outcome {
    let file = file_for(call, fd, offset)?;
    let vectors = call.vectors(vectors, count)?;
    if !file.flags().is_writable() {
        return Err(Errno::EBADF.into());
    }
    if vectors.iter().all(|vector| vector.len == 0) {
        return Ok(0);
    }
    check_flags(&file, flags)?;
    if flags & RWF_APPEND != 0 {
        call.append_to_file(&file, &vectors, offset)
    } else {
        call.write_file(&file, &vectors, offset)
    }
}

/// Not to wait is to be had of what never waits anyway.
fn check_flags(file: &OpenFile, flags: u32) -> Result<(), Errno> {
    let never_waits = file.object().is_seekable() || file.flags().contains(OpenFlags::NON_BLOCKING);
    if flags & !RWF_KNOWN != 0 || (flags & RWF_NOWAIT != 0 && !never_waits) {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(())
}

fn unless_own(offset: i64) -> Result<Option<u64>, Errno> {
    (offset != -1).then(|| start(offset)).transpose()
}
