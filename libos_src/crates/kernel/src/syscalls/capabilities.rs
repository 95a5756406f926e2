//! Capabilities, and what else of `prctl` is about rights.

use hal::Errno;
use vfs::Capabilities;

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::processes::{CapabilitySets, SECURE_KEEP_CAPABILITIES, SECURE_NO_AMBIENT_RAISE};

/// `_LINUX_CAPABILITY_VERSION_1`: sets of 32 bits.
const FIRST_VERSION: u32 = 0x1998_0330;
/// `_LINUX_CAPABILITY_VERSION_2` and `_3`, which are the same to us.
const VERSIONS: [u32; 2] = [0x2007_1026, 0x2008_0522];
const PRESENT_VERSION: u32 = VERSIONS[1];
/// `CAP_LAST_CAP` of the Linux that `uname` names.
const CAPABILITY_MAX: u64 = 40;

/// Whom a header is about, and how many words a set has.
struct Header {
    pid: u32,
    is_short: bool,
}

/// `capget(2)`.
pub(super) fn capget(call: &mut Call<'_>, header: Address, data: Address) -> Outcome {
    let header = match Header::read(call, header) {
        // Whoever asks without room asks for the version.
        Err(Errno::EINVAL) if data.is_null() => return Ok(0),
        header => header?,
    };
    let sets = if header.pid == 0 || header.pid == call.thread.tid() {
        call.standing().capabilities
    } else {
        let process = call.libos.processes.of_thread(header.pid);
        let process = process.ok_or(Errno::ESRCH)?;
        let thread = process.thread(header.pid).ok_or(Errno::ESRCH)?;
        let own = thread.principal();
        own.map_or_else(|| process.standing(), |own| own.standing)
            .capabilities
    };
    if let Some(place) = data.non_null() {
        let words = [sets.effective, sets.permitted, sets.inheritable].map(|set| set.bits());
        let low = words.map(|word| word as u32);
        let high = words.map(|word| (word >> 32) as u32);
        if header.is_short {
            call.memory().write(place.0, &low)?;
        } else {
            call.memory().write(place.0, &[low, high])?;
        }
    }
    Ok(0)
}

/// `capset(2)`, of the calling thread.
pub(super) fn capset(call: &mut Call<'_>, header: Address, data: Address) -> Outcome {
    let header = Header::read(call, header)?;
    let own = [0, call.thread.tid(), call.process.pid];
    if !own.contains(&header.pid) {
        return Err(Errno::EPERM.into());
    }
    let [low, high]: [[u32; 3]; 2] = if header.is_short {
        [call.memory().read(data.0)?, [0; 3]]
    } else {
        call.memory().read(data.0)?
    };
    let set = |index: usize| {
        let bits = u64::from(low[index]) | u64::from(high[index]) << 32;
        Capabilities::from_bits_truncate(bits)
    };
    let (effective, permitted, inheritable) = (set(0), set(1), set(2));
    call.change_principal(|who| {
        let before = who.standing.capabilities;
        let may_inherit = before.inheritable | before.permitted;
        let gives_more =
            !who.can(Capabilities::SET_CAPABILITIES) && !may_inherit.contains(inheritable);
        let is_unbound = !(before.inheritable | before.bounding).contains(inheritable);
        if gives_more
            || is_unbound
            || !before.permitted.contains(permitted)
            || !permitted.contains(effective)
        {
            return Err(Errno::EPERM);
        }
        who.set_capabilities(CapabilitySets {
            effective,
            permitted,
            inheritable,
            ambient: before.ambient & permitted & inheritable,
            ..before
        });
        Ok(())
    })?;
    Ok(0)
}

/// `PR_CAPBSET_READ` of `prctl(2)`.
pub(super) fn is_bounded(call: &Call<'_>, number: u64) -> Outcome {
    let capability = capability(number)?;
    let sets = call.standing().capabilities;
    Ok(sets.bounding.contains(capability).into())
}

/// `PR_CAPBSET_DROP` of `prctl(2)`.
pub(super) fn drop_bounded(call: &Call<'_>, number: u64) -> Outcome {
    call.require(Capabilities::SET_CAPABILITIES)?;
    let capability = capability(number)?;
    call.change_principal(|who| {
        who.standing.capabilities.bounding.remove(capability);
        Ok(())
    })?;
    Ok(0)
}

/// `PR_CAP_AMBIENT` of `prctl(2)`.
pub(super) fn change_ambient(call: &Call<'_>, what: u64, number: u64) -> Outcome {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    let chosen = match what {
        CLEAR_ALL if number == 0 => Capabilities::ALL,
        CLEAR_ALL => return Err(Errno::EINVAL.into()),
        _ => capability(number)?,
    };
    match what {
        IS_SET => Ok(call.standing().capabilities.ambient.contains(chosen).into()),
        RAISE => {
            call.change_principal(|who| {
                let is_forbidden = who.standing.secure_bits & SECURE_NO_AMBIENT_RAISE != 0;
                let sets = &mut who.standing.capabilities;
                if is_forbidden || !(sets.permitted & sets.inheritable).contains(chosen) {
                    return Err(Errno::EPERM);
                }
                sets.ambient |= chosen;
                Ok(())
            })?;
            Ok(0)
        }
        LOWER | CLEAR_ALL => {
            call.change_principal(|who| {
                who.standing.capabilities.ambient.remove(chosen);
                Ok(())
            })?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `PR_SET_KEEPCAPS` of `prctl(2)`.
pub(super) fn keep(call: &Call<'_>, keeps: u64) -> Outcome {
    if keeps > 1 {
        return Err(Errno::EINVAL.into());
    }
    call.change_principal(|who| {
        let bits = who.standing.secure_bits & !SECURE_KEEP_CAPABILITIES;
        who.standing.secure_bits = if keeps == 0 {
            bits
        } else {
            bits | SECURE_KEEP_CAPABILITIES
        };
        Ok(())
    })?;
    Ok(0)
}

/// `PR_SET_SECUREBITS` of `prctl(2)`. A bit that is locked stays, and so does its lock.
pub(super) fn set_secure_bits(call: &Call<'_>, bits: u64) -> Outcome {
    const KNOWN: u32 = 0xff;
    /// Each lock is one above what it locks.
    const LOCKS: u32 = 0xaa;
    let bits = u32::try_from(bits).map_err(|_| Errno::EPERM)?;
    call.require(Capabilities::SET_CAPABILITIES)?;
    call.change_principal(|who| {
        let before = who.standing.secure_bits;
        let locked = before & LOCKS;
        let is_kept = (before ^ bits) & (locked | locked >> 1) == 0;
        if bits & !KNOWN != 0 || !is_kept {
            return Err(Errno::EPERM);
        }
        who.standing.secure_bits = bits;
        Ok(())
    })?;
    Ok(0)
}

fn capability(number: u64) -> Result<Capabilities, Errno> {
    if number > CAPABILITY_MAX {
        return Err(Errno::EINVAL);
    }
    Ok(Capabilities::from_bits_retain(1 << number))
}

impl Header {
    /// Reads a header. Who gives a version that does not exist is told the present one.
    fn read(call: &Call<'_>, header: Address) -> Result<Self, Errno> {
        let [version, pid]: [u32; 2] = call.memory().read(header.0)?;
        if version != FIRST_VERSION && !VERSIONS.contains(&version) {
            call.memory().write(header.0, &PRESENT_VERSION)?;
            return Err(Errno::EINVAL);
        }
        if pid.cast_signed() < 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            pid,
            is_short: version == FIRST_VERSION,
        })
    }
}
