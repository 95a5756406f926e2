//! What the devices of random bytes are asked (random(4)). Their bytes come from the processor: there
//! is no pool that could be more or less full.

use hal::Errno;
use vfs::{Capabilities, DeviceNumber, FileType, OpenFile};

use super::call::{Call, Outcome};

const GET_COUNT: u32 = 0x8004_5200;
const ADD_TO_COUNT: u32 = 0x4004_5201;
const ADD_BYTES: u32 = 0x4008_5203;
const EMPTY_COUNT: u32 = 0x5204;
const CLEAR: u32 = 0x5206;
const SEED: u32 = 0x5207;
/// As `/proc/sys/kernel/random/entropy_avail` has it.
const COUNT_BITS: i32 = 256;
/// How much of what is added is looked at in one go.
const PIECE_BYTES: usize = 4096;

/// Whether a file is one of those devices, by whatever name.
pub(super) fn is_random(file: &OpenFile) -> bool {
    const DEVICES: [DeviceNumber; 2] = [DeviceNumber::new(1, 8), DeviceNumber::new(1, 9)];
    file.location().kind() == FileType::CharacterDevice
        && (file.metadata()).is_ok_and(|metadata| DEVICES.contains(&metadata.represents))
}

/// Serves a request.
pub(super) fn control(call: &Call<'_>, request: u32, argument: u64) -> Outcome {
    let memory = call.memory();
    match request {
        GET_COUNT => {
            memory.write(argument, &COUNT_BITS)?;
            return Ok(0);
        }
        ADD_TO_COUNT | ADD_BYTES | EMPTY_COUNT | CLEAR | SEED => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    call.require(Capabilities::ADMINISTER)?;
    if matches!(request, ADD_TO_COUNT | ADD_BYTES) && memory.read::<i32>(argument)? < 0 {
        return Err(Errno::EINVAL.into());
    }
    if request == ADD_BYTES {
        let [_, size]: [i32; 2] = memory.read(argument)?;
        // That they can be read is all that is wanted of them.
        let mut left = usize::try_from(size).map_err(|_| Errno::EFAULT)?;
        let mut at = argument.wrapping_add(8);
        while left > 0 {
            let len = left.min(PIECE_BYTES);
            memory.read_bytes(at, len)?;
            left -= len;
            at = at.wrapping_add(len as u64);
        }
    }
    Ok(0)
}
