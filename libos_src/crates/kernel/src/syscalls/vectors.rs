//! Reading and writing with several buffers.

use hal::Errno;
use vfs::OpenFlags;

use super::argument::Address;
use super::call::{Call, Outcome};

/// Read or write, do not wait.
const RWF_NOWAIT: u32 = 0x8;
const RWF_APPEND: u32 = 0x10;
/// Flags that ask for more speed or safety than there is to give: priority and synchronous writes.
const RWF_HARMLESS: u32 = 0x1 | 0x2 | 0x4;

/// `readv(2)`.
pub(super) fn readv(call: &mut Call<'_>, fd: i32, vectors: Address, count: u64) -> Outcome {
    let file = call.file(fd)?;
    let vectors = call.vectors(vectors, count)?;
    call.read_file(&file, &vectors, None)
}

/// `writev(2)`.
pub(super) fn writev(call: &mut Call<'_>, fd: i32, vectors: Address, count: u64) -> Outcome {
    let file = call.file(fd)?;
    let vectors = call.vectors(vectors, count)?;
    call.write_file(&file, &vectors, None)
}

/// `preadv(2)`.
pub(super) fn preadv(
    call: &mut Call<'_>,
    fd: i32,
    vectors: Address,
    count: u64,
    offset: i64,
) -> Outcome {
    let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let file = call.file(fd)?;
    let vectors = call.vectors(vectors, count)?;
    call.read_file(&file, &vectors, Some(offset))
}

/// `pwritev(2)`.
pub(super) fn pwritev(
    call: &mut Call<'_>,
    fd: i32,
    vectors: Address,
    count: u64,
    offset: i64,
) -> Outcome {
    let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let file = call.file(fd)?;
    let vectors = call.vectors(vectors, count)?;
    call.write_file(&file, &vectors, Some(offset))
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
    if flags & !(RWF_HARMLESS | RWF_NOWAIT) != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if flags & RWF_NOWAIT != 0 && !call.file(fd)?.flags().contains(OpenFlags::NON_BLOCKING) {
        // Only what never waits anyway.
        let file = call.file(fd)?;
        if !file.object().is_seekable() {
            return Err(Errno::EOPNOTSUPP.into());
        }
    }
    if offset == -1 {
        return readv(call, fd, vectors, count);
    }
    preadv(call, fd, vectors, count, offset)
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
    let file = call.file(fd)?;
    if flags & !(RWF_HARMLESS | RWF_APPEND) != 0
        || (flags & RWF_APPEND != 0 && !file.flags().contains(OpenFlags::APPEND))
    {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if offset == -1 {
        return writev(call, fd, vectors, count);
    }
    pwritev(call, fd, vectors, count, offset)
}
