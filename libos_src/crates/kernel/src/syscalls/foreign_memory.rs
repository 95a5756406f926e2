//! Memory of other processes.

use alloc::sync::Arc;
use alloc::vec;

use hal::{Errno, PAGE_SIZE};

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::memory::AddressSpace;

/// `process_vm_readv(2)`.
pub(super) fn process_vm_readv(
    call: &mut Call<'_>,
    pid: i32,
    local: Address,
    local_count: u64,
    remote: Address,
    remote_count: u64,
    flags: u64,
) -> Outcome {
    let [local, remote] = [(local, local_count), (remote, remote_count)];
    transfer(
        call,
        pid,
        local,
        remote,
        flags,
        |own, theirs, pair, bytes| {
            theirs.look_in(pair.remote, bytes)?;
            own.copy_out(pair.local, bytes)
        },
    )
}

/// `process_vm_writev(2)`.
pub(super) fn process_vm_writev(
    call: &mut Call<'_>,
    pid: i32,
    local: Address,
    local_count: u64,
    remote: Address,
    remote_count: u64,
    flags: u64,
) -> Outcome {
    let [local, remote] = [(local, local_count), (remote, remote_count)];
    transfer(
        call,
        pid,
        local,
        remote,
        flags,
        |own, theirs, pair, bytes| {
            own.copy_in(pair.local, bytes)?;
            if core::ptr::eq(own, theirs) {
                // Of a process that shares it: it is in its place, whoever else is in the gang.
                return own.copy_out(pair.remote, bytes);
            }
            theirs.put_in(pair.remote, bytes)
        },
    )
}

/// Where bytes are in the caller and in the other process.
struct Pair {
    local: u64,
    remote: u64,
}

fn transfer(
    call: &Call<'_>,
    pid: i32,
    local: (Address, u64),
    remote: (Address, u64),
    flags: u64,
    copy: impl Fn(&AddressSpace, &AddressSpace, &Pair, &mut [u8]) -> Result<(), Errno>,
) -> Outcome {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let local = call.vectors(local.0, local.1)?;
    let remote = call.vectors(remote.0, remote.1)?;
    let mut local = local.into_iter().filter(|vector| vector.len != 0);
    let Some(mut own) = local.next() else {
        return Ok(0);
    };
    let mut remote = remote
        .into_iter()
        .filter(|vector| vector.len != 0)
        .peekable();
    if remote.peek().is_none() {
        return Ok(0);
    }
    let pid = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    let target = call.libos.processes.of_thread(pid).ok_or(Errno::ESRCH)?;
    let is_own = Arc::ptr_eq(&target, call.process);
    if !is_own && !call.standing().may_look_into(&target) {
        return Err(Errno::EPERM.into());
    }
    let theirs = target.memory();
    let mut page = vec![0; PAGE_SIZE as usize];
    let mut done = 0;
    for mut their in remote {
        while their.len != 0 {
            while own.len == 0 {
                match local.next() {
                    Some(next) => own = next,
                    None => return Ok(done),
                }
            }
            let len = (PAGE_SIZE - their.address % PAGE_SIZE)
                .min(their.len)
                .min(own.len);
            let pair = Pair {
                local: own.address,
                remote: their.address,
            };
            match copy(call.memory(), &theirs, &pair, &mut page[..len as usize]) {
                Ok(()) => {}
                Err(_) if done != 0 => return Ok(done),
                Err(errno) => return Err(errno.into()),
            }
            own.address = own.address.wrapping_add(len);
            own.len -= len;
            their.address = their.address.wrapping_add(len);
            their.len -= len;
            done += len;
        }
    }
    Ok(done)
}
