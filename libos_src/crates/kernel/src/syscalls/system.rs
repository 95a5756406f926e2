//! The system as a whole, and odds and ends.

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use hal::{Clock, Errno};
use vfs::Capabilities;

use super::argument::Address;
use super::call::{Call, Outcome};

const FIELD_BYTES: usize = 65;
/// The longest name of a host or domain (`__NEW_UTS_LEN`).
pub(crate) const HOST_NAME_MAX_BYTES: usize = FIELD_BYTES - 1;
/// Bits of `personality(2)`: what it calls itself.
const PER_MASK: u32 = 0xff;
const PER_LINUX32: u32 = 8;
const UNAME26: u32 = 0x002_0000;

/// `sethostname(2)`.
pub(super) fn sethostname(call: &mut Call<'_>, name: Address, len: i32) -> Outcome {
    let name = read_name(call, name, len)?;
    call.task.places.names.lock().host = name;
    Ok(0)
}

/// `setdomainname(2)`.
pub(super) fn setdomainname(call: &mut Call<'_>, name: Address, len: i32) -> Outcome {
    let name = read_name(call, name, len)?;
    call.task.places.names.lock().domain = name;
    Ok(0)
}

fn read_name(call: &Call<'_>, name: Address, len: i32) -> Result<Vec<u8>, Errno> {
    call.require(Capabilities::ADMINISTER)?;
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > HOST_NAME_MAX_BYTES {
        return Err(Errno::EINVAL);
    }
    let mut name = call.memory().read_bytes(name.0, len)?;
    if let Some(end) = name.iter().position(|&byte| byte == 0) {
        name.truncate(end);
    }
    Ok(name)
}

/// `uname(2)`. The release is the oldest Linux that has all calls of our table.
pub(super) fn uname(call: &mut Call<'_>, buffer: Address) -> Outcome {
    let personality = call.thread.personality.load(Ordering::Relaxed);
    let release = if personality & UNAME26 == 0 {
        &b"5.15.0-occlum"[..]
    } else {
        // As Linux numbers itself for programs that take no other major number than 2.
        b"2.6.75-occlum"
    };
    let machine = if personality & PER_MASK == PER_LINUX32 {
        &b"i686"[..]
    } else {
        b"x86_64"
    };
    let names = call.task.places.names.lock();
    let fields = [
        &b"Linux"[..],
        &names.host,
        release,
        b"#1 SMP",
        machine,
        &names.domain,
    ];
    let mut record = [0; FIELD_BYTES * 6];
    for (to, field) in record.chunks_exact_mut(FIELD_BYTES).zip(fields) {
        to[..field.len()].copy_from_slice(field);
    }
    drop(names);
    call.memory().copy_out(buffer.0, &record)?;
    Ok(0)
}

/// `sysinfo(2)`: the memory that programs have, not the host's.
pub(super) fn sysinfo(call: &mut Call<'_>, buffer: Address) -> Outcome {
    let (total, free) = call.memory().region_sizes_bytes();
    let mut words = [0u64; 14];
    words[0] = call.libos.machine.clock(Clock::Monotonic).seconds;
    words[4] = total;
    words[5] = free;
    words[10] = call.libos.processes.counts().1 as u64;
    words[13] = 1; // mem_unit, the low half of the last word
    call.memory().write(buffer.0, &words)?;
    Ok(0)
}

/// `getrandom(2)`: from the CPU, so there is nothing to wait for and no difference between pools.
pub(super) fn getrandom(call: &mut Call<'_>, buffer: Address, len: u64, flags: u32) -> Outcome {
    const FLAGS: u32 = 7;
    const CHUNK_BYTES: u64 = 4096;
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let len = len.min(i32::MAX as u64);
    call.memory().check_writable(buffer.0, len)?;
    let mut chunk = vec![0; CHUNK_BYTES.min(len) as usize];
    for done in (0..len).step_by(CHUNK_BYTES as usize) {
        let part = &mut chunk[..CHUNK_BYTES.min(len - done) as usize];
        call.libos.machine.random(part);
        call.memory().copy_out(buffer.0 + done, part)?;
    }
    Ok(len)
}

/// `getcpu(2)`: an enclave does not know, and any answer may be old. It is one of those that the
/// thread chose.
pub(super) fn getcpu(call: &mut Call<'_>, cpu: Address, node: Address) -> Outcome {
    let chosen = call.thread.affinity.lock();
    let first = chosen.iter().position(|&bits| bits != 0).unwrap_or(0);
    let bits = chosen.get(first).copied().unwrap_or(1);
    let processor = first as u32 * 8 + bits.trailing_zeros();
    drop(chosen);
    for (address, value) in [(cpu, processor), (node, 0)] {
        if let Some(address) = address.non_null() {
            call.memory().write(address.0, &value)?;
        }
    }
    Ok(0)
}
