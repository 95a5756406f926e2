//! Opening files.

use hal::{Errno, PAGE_SIZE};
use vfs::{Location, Mode, OpenFlags, Readiness, Restrictions, Viewpoint};

use super::argument::{AT_WORKING_DIRECTORY, Address};
use super::call::{Call, Outcome};
use crate::files::{Descriptor, PipeEnd};
use crate::terminals::End as TerminalEnd;

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
    let viewpoint = call.viewpoint().clone();
    open_from(call, &viewpoint, base.as_ref(), &path, flags, mode)
}

/// `openat2(2)`.
pub(super) fn openat2(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    how: Address,
    size: u64,
) -> Outcome {
    const HOW_BYTES: u64 = 24;
    const MODES: u64 = 0o7777;
    if size < HOW_BYTES {
        return Err(Errno::EINVAL.into());
    }
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG.into());
    }
    let [flags, mode, resolve] = call.memory().read::<[u64; 3]>(how.0)?;
    let behind = how.0.wrapping_add(HOW_BYTES);
    let unknown = call
        .memory()
        .read_bytes(behind, (size - HOW_BYTES) as usize)?;
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG.into());
    }
    let known = u32::try_from(flags).ok().and_then(OpenFlags::from_bits);
    let flags = known.ok_or(Errno::EINVAL)?;
    let restrictions = Restrictions::from_bits(resolve).ok_or(Errno::EINVAL)?;
    let makes = flags.intersects(OpenFlags::CREATE | OpenFlags::TEMPORARY);
    let both = Restrictions::BENEATH | Restrictions::IN_ROOT;
    let is_legal = mode & !MODES == 0
        && (mode == 0 || makes)
        && !restrictions.contains(both)
        && OpenFlags::from_argument(flags.bits()) == flags;
    if !is_legal {
        return Err(Errno::EINVAL.into());
    }
    let changes = makes || flags.contains(OpenFlags::TRUNCATE);
    if restrictions.contains(Restrictions::CACHED) && changes {
        return Err(Errno::EAGAIN.into());
    }
    let path = call.path(path)?;
    let mut viewpoint = call.viewpoint().clone();
    // An absolute path starts at the descriptor, too, if that is to be the root.
    let base = if restrictions.intersects(both) {
        call.base(directory, b"")?
    } else {
        call.base(directory, &path)?
    };
    viewpoint.restrictions = restrictions;
    if restrictions.intersects(both) {
        let here = base.as_ref().unwrap_or(&viewpoint.working_directory);
        viewpoint.root = here.clone();
    }
    open_from(call, &viewpoint, base.as_ref(), &path, flags, mode as u32)
}

/// Opens, waits if it is a FIFO, and gives it a descriptor.
fn open_from(
    call: &mut Call<'_>,
    viewpoint: &Viewpoint,
    base: Option<&Location>,
    path: &[u8],
    flags: OpenFlags,
    mode: u32,
) -> Outcome {
    let mut flags = flags;
    // As for every program of 64 bits; what has no input and output has no size either.
    flags.set(OpenFlags::LARGE_FILE, !flags.contains(OpenFlags::PATH));
    call.break_leases(viewpoint, base, path, flags)?;
    let file = viewpoint.open(base, path, flags, Mode::from_low_bits(mode))?;
    call.memory().give_up_cut();
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
    let may_control = flags.is_readable() && !flags.contains(OpenFlags::NO_CONTROLLING_TERMINAL);
    if let Some(end) = TerminalEnd::behind(&file).filter(|end| may_control && !end.is_master()) {
        let control = &end.terminal().control;
        call.libos.take_terminal(control, call.process.pid);
    }
    let is_closed_on_exec = flags.contains(OpenFlags::CLOSE_ON_EXEC);
    let descriptor = Descriptor {
        file,
        is_closed_on_exec,
    };
    Ok(call.task.places.files.write().add(0, descriptor)? as u64)
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
