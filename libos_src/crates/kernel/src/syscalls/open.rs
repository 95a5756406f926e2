//! Opening files.

use hal::Errno;
use vfs::{Mode, OpenFlags, Readiness};

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::files::{Descriptor, PipeEnd};

const AT_WORKING_DIRECTORY: i32 = -100;

/// `openat(2)`.
pub(super) fn openat(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    flags: u32,
    mode: u32,
) -> Outcome {
    let path = call.path(path)?;
    let base = call.base(directory, &path)?;
    let flags = OpenFlags::from_argument(flags);
    let viewpoint = call.process.viewpoint.read().clone();
    let file = viewpoint.open(base.as_ref(), &path, flags, Mode::from_low_bits(mode))?;
    if let Some(end) = PipeEnd::behind(&file) {
        // A FIFO waits for somebody at its other end.
        call.until_ready(&file, Readiness::READABLE | Readiness::WRITABLE, || {
            let must_wait = end.must_wait() && !flags.contains(OpenFlags::NON_BLOCKING);
            if must_wait {
                Err(Errno::EAGAIN)
            } else {
                Ok(())
            }
        })?;
    }
    let is_closed_on_exec = flags.contains(OpenFlags::CLOSE_ON_EXEC);
    let descriptor = Descriptor {
        file,
        is_closed_on_exec,
    };
    Ok(call.process.descriptors.write().add(0, descriptor)? as u64)
}

/// `open(2)`.
pub(super) fn open(call: &mut Call<'_>, path: Address, flags: u32, mode: u32) -> Outcome {
    openat(call, AT_WORKING_DIRECTORY, path, flags, mode)
}

/// `creat(2)`.
pub(super) fn creat(call: &mut Call<'_>, path: Address, mode: u32) -> Outcome {
    let flags = OpenFlags::CREATE | OpenFlags::WRITE_ONLY | OpenFlags::TRUNCATE;
    open(call, path, flags.bits(), mode)
}
