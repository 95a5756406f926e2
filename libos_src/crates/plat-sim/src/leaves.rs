//! The leaves of ENCLU that change pages, carried out on the map.
//!
//! Callable from a signal handler and on the enclave's own stack: no allocation, no lock, no
//! thread-local.

use abi::{PAGE_SIZE, Permissions, SecInfo, leaf};

use crate::{
    enclave::Shared,
    epcm::{Entry, LeafFault},
    memory,
};

/// The registers that a leaf reads besides RAX.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    pub(crate) rbx: u64,
    pub(crate) rcx: u64,
    pub(crate) rdx: u64,
}

/// What a leaf did: a value for RAX, or a fault at the instruction.
pub(crate) type Outcome = Result<u64, LeafFault>;

/// Carries out a leaf that returns.
pub(crate) fn execute(enclave: &Shared, number: u64, operands: Operands) -> Outcome {
    let Operands { rbx, rcx, rdx } = operands;
    match number {
        leaf::EACCEPT => accept(enclave, read_secinfo(enclave, rbx)?, page(enclave, rcx)?),
        leaf::EMODPE => extend(enclave, read_secinfo(enclave, rbx)?, page(enclave, rcx)?),
        leaf::EACCEPTCOPY => {
            let secinfo = read_secinfo(enclave, rbx)?;
            copy(enclave, secinfo, page(enclave, rcx)?, page(enclave, rdx)?)
        }
        // EREPORT and EGETKEY are not built here, and EENTER and ERESUME are illegal inside.
        _ => Err(LeafFault::GeneralProtection),
    }
}

/// The SECINFO operand: 64-byte aligned, in readable enclave memory, reserved bits zero.
fn read_secinfo(enclave: &Shared, address: u64) -> Result<SecInfo, LeafFault> {
    if !address.is_multiple_of(align_of::<SecInfo>() as u64)
        || !enclave.range.contains(address, size_of::<SecInfo>() as u64)
    {
        return Err(LeafFault::GeneralProtection);
    }
    if !enclave.epcm.get(address).access().contains(Permissions::R) {
        return Err(LeafFault::Page(address & !(PAGE_SIZE - 1)));
    }
    let mut bytes = [0; size_of::<SecInfo>()];
    enclave.range.read(address, &mut bytes);
    let (flags, reserved) = bytes.split_at(8);
    if reserved.iter().any(|byte| *byte != 0) {
        return Err(LeafFault::GeneralProtection);
    }
    let flags = flags.try_into().map_or(0, u64::from_le_bytes);
    Ok(SecInfo::from_flags(flags))
}

/// The page operand: page aligned, in the enclave.
fn page(enclave: &Shared, address: u64) -> Result<u64, LeafFault> {
    if address.is_multiple_of(PAGE_SIZE) && enclave.range.contains(address, PAGE_SIZE) {
        Ok(address)
    } else {
        Err(LeafFault::GeneralProtection)
    }
}

fn accept(enclave: &Shared, expected: SecInfo, page: u64) -> Outcome {
    let (accepted, _) = enclave.epcm.accept(page, expected)?;
    Ok(match accepted {
        Ok(entry) => {
            apply(page, entry);
            0
        }
        Err(error) => error as u64,
    })
}

fn extend(enclave: &Shared, wanted: SecInfo, page: u64) -> Outcome {
    let entry = enclave.epcm.extend(page, wanted.permissions())?;
    apply(page, entry);
    Ok(0)
}

fn copy(enclave: &Shared, secinfo: SecInfo, page: u64, source: u64) -> Outcome {
    if !enclave.epcm.get(source).access().contains(Permissions::R) {
        return Err(LeafFault::Page(source));
    }
    let entry = match enclave.epcm.accept_copy(page, secinfo.permissions())? {
        Ok(entry) => entry,
        Err(error) => return Ok(error as u64),
    };
    let mut bytes = [0; PAGE_SIZE as usize];
    enclave.range.read(source, &mut bytes);
    // Another thread of the program may touch the page at any time: it finds all of it or nothing.
    if !enclave.range.write_unseen(page, &bytes) {
        apply_access(page, Permissions::RW);
        enclave.range.write(page, &bytes);
    }
    apply(page, entry);
    Ok(0)
}

/// Makes the page tables allow what the entry does.
fn apply(page: u64, entry: Entry) {
    apply_access(page, entry.access());
}

fn apply_access(page: u64, access: Permissions) {
    if let Err(errno) = memory::protect(page, PAGE_SIZE, access) {
        crate::signals::die("cannot protect an enclave page", errno as u64);
    }
}
