//! Whether memory is in memory.

use hal::{Errno, PAGE_SIZE};

use super::argument::{ADDRESSES_END, Address};
use super::call::{Call, Outcome};
use crate::memory::page_range;

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
    // So many bytes are told at a time, as on Linux.
    const CHUNK_BYTES: u64 = PAGE_SIZE * PAGE_SIZE;
    let range = page_range(address, len).ok_or(Errno::ENOMEM)?;
    let mut told = vector.0;
    let mut rest = range.start;
    while rest < range.end {
        let part = rest..range.end.min(rest + CHUNK_BYTES);
        let pages = call.memory().residence(&part)?;
        call.memory().copy_out(told, &pages)?;
        told = told.wrapping_add(pages.len() as u64);
        rest = part.end;
    }
    Ok(0)
}
