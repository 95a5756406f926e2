//! Users and groups, and the capabilities that the superuser has.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::Errno;
use zerocopy::IntoBytes;

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::processes::{Ids, Standing};

/// An id that leaves things as they are.
const UNCHANGED: u32 = u32::MAX;
/// `NGROUPS_MAX`.
const GROUPS_MAX: u32 = 65536;

/// `getuid(2)`.
pub(super) fn getuid(call: &mut Call<'_>) -> Outcome {
    Ok(call.process.standing.lock().user.real.into())
}

/// `geteuid(2)`.
pub(super) fn geteuid(call: &mut Call<'_>) -> Outcome {
    Ok(call.process.standing.lock().user.effective.into())
}

/// `getgid(2)`.
pub(super) fn getgid(call: &mut Call<'_>) -> Outcome {
    Ok(call.process.standing.lock().group.real.into())
}

/// `getegid(2)`.
pub(super) fn getegid(call: &mut Call<'_>) -> Outcome {
    Ok(call.process.standing.lock().group.effective.into())
}

/// `getresuid(2)`.
pub(super) fn getresuid(call: &mut Call<'_>, r: Address, e: Address, s: Address) -> Outcome {
    let ids = call.process.standing.lock().user;
    write_three(call, ids, [r, e, s])
}

/// `getresgid(2)`.
pub(super) fn getresgid(call: &mut Call<'_>, r: Address, e: Address, s: Address) -> Outcome {
    let ids = call.process.standing.lock().group;
    write_three(call, ids, [r, e, s])
}

/// `setuid(2)`.
pub(super) fn setuid(call: &mut Call<'_>, id: u32) -> Outcome {
    check_id(id)?;
    change_user(call, |ids, may| ids.set(id, may))
}

/// `setgid(2)`.
pub(super) fn setgid(call: &mut Call<'_>, id: u32) -> Outcome {
    check_id(id)?;
    change_group(call, |ids, may| ids.set(id, may))
}

/// `setreuid(2)`.
pub(super) fn setreuid(call: &mut Call<'_>, real: u32, effective: u32) -> Outcome {
    change_user(call, |ids, may| ids.set_two(new(real), new(effective), may))
}

/// `setregid(2)`.
pub(super) fn setregid(call: &mut Call<'_>, real: u32, effective: u32) -> Outcome {
    change_group(call, |ids, may| ids.set_two(new(real), new(effective), may))
}

/// `setresuid(2)`.
pub(super) fn setresuid(call: &mut Call<'_>, real: u32, effective: u32, saved: u32) -> Outcome {
    let all = [real, effective, saved].map(new);
    change_user(call, |ids, may| ids.set_three(all, may))
}

/// `setresgid(2)`.
pub(super) fn setresgid(call: &mut Call<'_>, real: u32, effective: u32, saved: u32) -> Outcome {
    let all = [real, effective, saved].map(new);
    change_group(call, |ids, may| ids.set_three(all, may))
}

/// `setfsuid(2)`: returns the old one, whether or not it could be changed.
pub(super) fn setfsuid(call: &mut Call<'_>, id: u32) -> Outcome {
    let standing = *call.process.standing.lock();
    let mut viewpoint = call.process.viewpoint.write();
    let before = viewpoint.credentials.user;
    if standing.is_superuser() || standing.user.has(id) || id == before {
        viewpoint.credentials.user = new(id).unwrap_or(before);
    }
    Ok(before.into())
}

/// `setfsgid(2)`: returns the old one, whether or not it could be changed.
pub(super) fn setfsgid(call: &mut Call<'_>, id: u32) -> Outcome {
    let standing = *call.process.standing.lock();
    let mut viewpoint = call.process.viewpoint.write();
    let before = viewpoint.credentials.group;
    if standing.is_superuser() || standing.group.has(id) || id == before {
        viewpoint.credentials.group = new(id).unwrap_or(before);
    }
    Ok(before.into())
}

/// `getgroups(2)`.
pub(super) fn getgroups(call: &mut Call<'_>, len: i32, place: Address) -> Outcome {
    let room = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let groups = call.process.viewpoint.read().credentials.groups.clone();
    if room != 0 {
        if room < groups.len() {
            return Err(Errno::EINVAL.into());
        }
        call.memory().copy_out(place.0, groups.as_bytes())?;
    }
    Ok(groups.len() as u64)
}

/// `setgroups(2)`.
pub(super) fn setgroups(call: &mut Call<'_>, len: u32, place: Address) -> Outcome {
    if !call.process.standing.lock().is_superuser() {
        return Err(Errno::EPERM.into());
    }
    if len > GROUPS_MAX {
        return Err(Errno::EINVAL.into());
    }
    let bytes = call.memory().read_bytes(place.0, len as usize * 4)?;
    let mut groups: Vec<u32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect();
    groups.sort_unstable();
    call.process.viewpoint.write().credentials.groups = Arc::new(groups);
    Ok(0)
}

/// All capabilities that Linux has.
const CAPABILITIES: u64 = (1 << 41) - 1;
/// `_LINUX_CAPABILITY_VERSION_3`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// `capget(2)`: the superuser has all, others none.
pub(super) fn capget(call: &mut Call<'_>, header: Address, data: Address) -> Outcome {
    let pid = capability_header(call, header)?;
    let process = match pid {
        0 => call.process.clone(),
        pid => call.libos.processes.get(pid).ok_or(Errno::ESRCH)?,
    };
    let all = if process.standing.lock().is_superuser() {
        CAPABILITIES
    } else {
        0
    };
    if let Some(place) = data.non_null() {
        let (low, high) = (all as u32, (all >> 32) as u32);
        // Effective, permitted and inheritable, first the low halves.
        call.memory()
            .write(place.0, &[low, low, 0, high, high, 0])?;
    }
    Ok(0)
}

/// `capset(2)`: capabilities cannot be given up one by one.
pub(super) fn capset(call: &mut Call<'_>, header: Address, data: Address) -> Outcome {
    let pid = capability_header(call, header)?;
    if pid != 0 && pid != call.process.pid {
        return Err(Errno::EPERM.into());
    }
    let [effective, permitted, _, effective_high, permitted_high, _]: [u32; 6] =
        call.memory().read(data.0)?;
    let wanted = [
        u64::from(effective) | u64::from(effective_high) << 32,
        u64::from(permitted) | u64::from(permitted_high) << 32,
    ];
    let has_all = call.process.standing.lock().is_superuser();
    match wanted {
        [0, 0] if !has_all => Ok(0),
        [CAPABILITIES, CAPABILITIES] if has_all => Ok(0),
        _ => {
            let reason = "only all capabilities or none can be had; EPERM";
            call.libos.report_once(call.regs.rax, reason);
            Err(Errno::EPERM.into())
        }
    }
}

/// Reads whom a header is about. Of an old version it is told the present one.
fn capability_header(call: &Call<'_>, header: Address) -> Result<u32, Errno> {
    let [version, pid]: [u32; 2] = call.memory().read(header.0)?;
    if version != CAPABILITY_VERSION {
        call.memory().write(header.0, &CAPABILITY_VERSION)?;
        return Err(Errno::EINVAL);
    }
    if pid.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(pid)
}

fn write_three(call: &Call<'_>, ids: Ids, places: [Address; 3]) -> Outcome {
    for (place, id) in places.into_iter().zip([ids.real, ids.effective, ids.saved]) {
        call.memory().write(place.0, &id)?;
    }
    Ok(0)
}

fn change_user(call: &Call<'_>, change: impl FnOnce(Ids, bool) -> Result<Ids, Errno>) -> Outcome {
    let mut standing = call.process.standing.lock();
    let user = change(standing.user, standing.is_superuser())?;
    *standing = Standing { user, ..*standing };
    call.process.viewpoint.write().credentials.user = user.effective;
    Ok(0)
}

fn change_group(call: &Call<'_>, change: impl FnOnce(Ids, bool) -> Result<Ids, Errno>) -> Outcome {
    let mut standing = call.process.standing.lock();
    let group = change(standing.group, standing.is_superuser())?;
    *standing = Standing { group, ..*standing };
    call.process.viewpoint.write().credentials.group = group.effective;
    Ok(0)
}

const fn new(id: u32) -> Option<u32> {
    if id == UNCHANGED { None } else { Some(id) }
}

const fn check_id(id: u32) -> Result<(), Errno> {
    if id == UNCHANGED {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}
