//! `signalfd`.

use alloc::sync::Arc;

use hal::Errno;
use vfs::OpenFlags;

use super::argument::Address;
use super::call::{Call, Outcome};
use super::signal::check_set_bytes;
use crate::files::SignalFile;
use crate::signals::SignalSet;

/// `signalfd4(2)`.
pub(super) fn signalfd4(
    call: &mut Call<'_>,
    fd: i32,
    set: Address,
    set_bytes: u64,
    flags: u32,
) -> Outcome {
    check_set_bytes(set_bytes)?;
    let known = OpenFlags::CLOSE_ON_EXEC | OpenFlags::NON_BLOCKING;
    let flags = OpenFlags::from_bits(flags).filter(|&flags| known.contains(flags));
    let flags = flags.ok_or(Errno::EINVAL)?;
    let wanted = SignalSet::blockable(call.memory().read(set.0)?);
    if fd != -1 {
        let file = call.file(fd)?;
        let signals = SignalFile::behind(&file).ok_or(Errno::EINVAL)?;
        signals.set_wanted(wanted);
        return Ok(fd.cast_unsigned().into());
    }
    let file = Arc::new(SignalFile::new(call.libos, wanted));
    let flags = flags | OpenFlags::READ_WRITE;
    call.add_anonymous(file, b"anon_inode:[signalfd]", flags)
}

/// `signalfd(2)`.
pub(super) fn signalfd(call: &mut Call<'_>, fd: i32, set: Address, set_bytes: u64) -> Outcome {
    signalfd4(call, fd, set, set_bytes, 0)
}
