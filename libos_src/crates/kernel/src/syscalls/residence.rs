//! Whether memory is in memory: all of it is, as long as there is an enclave.

use alloc::vec;

use hal::{Errno, PAGE_SIZE};

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::memory::Advice;

/// No program has addresses from here on (`TASK_SIZE_MAX`).
const ADDRESSES_END: u64 = (1 << 47) - PAGE_SIZE;

/// `mincore(2)`.
pub(super) fn mincore(call: &mut Call<'_>, address: u64, len: u64, vector: Address) -> Outcome {
    if !address.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    if address
        .checked_add(len)
        .is_none_or(|end| end > ADDRESSES_END)
    {
        return Err(Errno::ENOMEM.into());
    }
    call.memory().advise(address, len, Advice::Ignored)?;
    const CHUNK: u64 = 4096;
    let pages = len.div_ceil(PAGE_SIZE);
    let present = vec![1u8; CHUNK.min(pages) as usize];
    for done in (0..pages).step_by(CHUNK as usize) {
        let part = CHUNK.min(pages - done) as usize;
        call.memory()
            .copy_out(vector.0.wrapping_add(done), &present[..part])?;
    }
    Ok(0)
}
