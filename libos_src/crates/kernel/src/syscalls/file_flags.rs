//! Flags of files, as `lsattr` and `chattr` ask for them (ioctl_iflags(2)).

use hal::Errno;
use vfs::{InodeFlags, Location};

use super::argument::Address;
use super::call::{Call, Outcome};
use super::room;

/// The requests of `ioctl` that are about flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlagsRequest {
    Get,
    Set,
    GetExtended,
    SetExtended,
}

impl FlagsRequest {
    /// The one with this number, if it is one.
    pub(super) const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0x8008_6601 => Self::Get,
            0x4008_6602 => Self::Set,
            0x801c_581f => Self::GetExtended,
            0x401c_5820 => Self::SetExtended,
            _ => return None,
        })
    }
}

/// `struct fsxattr` in words. Behind the flags come sizes of extents and a project, which no file has.
type Extended = [u32; 7];

/// Each flag, and its bit in the first word of [`Extended`].
const EXTENDED: [(InodeFlags, u32); 4] = [
    (InodeFlags::IMMUTABLE, 0x8),
    (InodeFlags::APPEND_ONLY, 0x10),
    (InodeFlags::NO_ACCESS_TIME, 0x40),
    (InodeFlags::NO_DUMP, 0x80),
];

/// Serves one of them.
pub(super) fn control(
    call: &Call<'_>,
    place: &Location,
    request: FlagsRequest,
    argument: Address,
) -> Outcome {
    let flags = place.metadata()?.flags.ok_or(Errno::ENOTTY)?;
    let memory = call.memory();
    let wanted = match request {
        FlagsRequest::Get => {
            memory.write(argument.0, &flags.bits())?;
            return Ok(0);
        }
        FlagsRequest::GetExtended => {
            let bits = EXTENDED.iter().filter(|(flag, _)| flags.contains(*flag));
            let mut extended = Extended::default();
            extended[0] = bits.map(|(_, bit)| bit).sum();
            memory.write(argument.0, &extended)?;
            return Ok(0);
        }
        FlagsRequest::Set => InodeFlags::from_bits(memory.read(argument.0)?),
        FlagsRequest::SetExtended => from_extended(memory.read(argument.0)?),
    };
    // Of a file of an image it makes a copy.
    room::check(call.libos.machine)?;
    let viewpoint = call.viewpoint().clone();
    viewpoint.set_flags(place, wanted)?;
    Ok(0)
}

/// The flags that a record asks for, if it asks for nothing else.
fn from_extended([bits, rest @ ..]: Extended) -> Option<InodeFlags> {
    let known = EXTENDED.iter().filter(|(_, bit)| bits & bit != 0);
    let flags: InodeFlags = known.clone().map(|(flag, _)| *flag).collect();
    let is_known = known.map(|(_, bit)| bit).sum::<u32>() == bits;
    // What Linux keeps free at the end is not looked at.
    (is_known && rest[..4] == [0; 4]).then_some(flags)
}
