//! Users and groups.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::Errno;
use vfs::Capabilities;
use zerocopy::IntoBytes;

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use crate::processes::Ids;

/// An id that leaves things as they are.
const UNCHANGED: u32 = u32::MAX;
/// `NGROUPS_MAX`.
pub(crate) const GROUPS_MAX: u32 = 65536;

/// `getuid(2)`.
pub(super) fn getuid(call: &mut Call<'_>) -> Outcome {
    Ok(call.standing().user.real.into())
}

/// `geteuid(2)`.
pub(super) fn geteuid(call: &mut Call<'_>) -> Outcome {
    Ok(call.standing().user.effective.into())
}

/// `getgid(2)`.
pub(super) fn getgid(call: &mut Call<'_>) -> Outcome {
    Ok(call.standing().group.real.into())
}

/// `getegid(2)`.
pub(super) fn getegid(call: &mut Call<'_>) -> Outcome {
    Ok(call.standing().group.effective.into())
}

/// `getresuid(2)`.
pub(super) fn getresuid(call: &mut Call<'_>, r: Address, e: Address, s: Address) -> Outcome {
    let ids = call.standing().user;
    write_three(call, ids, [r, e, s])
}

/// `getresgid(2)`.
pub(super) fn getresgid(call: &mut Call<'_>, r: Address, e: Address, s: Address) -> Outcome {
    let ids = call.standing().group;
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
    let who = call.principal();
    let before = who.credentials.user;
    let may = who.can(Capabilities::SET_USER) || who.standing.user.has(id) || id == before;
    if let Some(id) = new(id).filter(|_| may) {
        call.change_principal(|who| {
            who.set_file_user(id);
            Ok(())
        })?;
    }
    Ok(before.into())
}

/// `setfsgid(2)`: returns the old one, whether or not it could be changed.
pub(super) fn setfsgid(call: &mut Call<'_>, id: u32) -> Outcome {
    let who = call.principal();
    let before = who.credentials.group;
    let may = who.can(Capabilities::SET_GROUP) || who.standing.group.has(id) || id == before;
    if let Some(id) = new(id).filter(|_| may) {
        call.change_principal(|who| {
            who.credentials.group = id;
            Ok(())
        })?;
    }
    Ok(before.into())
}

/// `getgroups(2)`.
pub(super) fn getgroups(call: &mut Call<'_>, len: i32, place: Address) -> Outcome {
    let room = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let groups = call.principal().credentials.groups;
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
    call.require(Capabilities::SET_GROUP)?;
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
    call.change_principal(|who| {
        who.credentials.groups = Arc::new(groups);
        Ok(0)
    })
    .map_err(Stop::from)
}

fn write_three(call: &Call<'_>, ids: Ids, places: [Address; 3]) -> Outcome {
    for (place, id) in places.into_iter().zip([ids.real, ids.effective, ids.saved]) {
        call.memory().write(place.0, &id)?;
    }
    Ok(0)
}

fn change_user(call: &Call<'_>, change: impl FnOnce(Ids, bool) -> Result<Ids, Errno>) -> Outcome {
    call.change_principal(|who| {
        let user = change(who.standing.user, who.can(Capabilities::SET_USER))?;
        who.set_user(user);
        Ok(())
    })?;
    Ok(0)
}

fn change_group(call: &Call<'_>, change: impl FnOnce(Ids, bool) -> Result<Ids, Errno>) -> Outcome {
    call.change_principal(|who| {
        let group = change(who.standing.group, who.can(Capabilities::SET_GROUP))?;
        who.set_group(group);
        Ok(())
    })?;
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
