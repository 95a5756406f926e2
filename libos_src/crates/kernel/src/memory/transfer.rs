//! Pages from one place to another.

use alloc::vec::Vec;
use core::ops::Range;

use hal::{Machine, NoMemory, PAGE_SIZE, Prot};

use super::page_floor;

/// Copies pages, also such as the program may not read now.
pub(super) fn copy(machine: &dyn Machine, to: u64, from: u64, len: u64) -> Result<(), NoMemory> {
    let first = machine.copy(to, from, len);
    first
        .or_else(|fault| {
            // A page without access is read all the same: it belongs to a program of ours.
            let prot = Prot::READ | Prot::WRITE;
            let changed = machine.protect(from, len, prot);
            changed.map_err(|_| fault)?;
            machine.copy(to, from, len)
        })
        .map_err(|_| NoMemory)
}

/// Exchanges the content of pages. Most are the same, and need only be read.
pub(super) fn exchange(machine: &dyn Machine, a: u64, b: u64, len: u64) -> Result<(), NoMemory> {
    let mut page = [0; PAGE_SIZE as usize];
    let mut next = 0;
    while next < len {
        let same = machine.leading_same(a + next, b + next, len - next);
        let offset = page_floor(next + same);
        if offset >= len {
            break;
        }
        next = offset + PAGE_SIZE;
        let (a, b) = (a + offset, b + offset);
        let exchanged = (machine.copy_in(a, &mut page))
            .and_then(|()| machine.copy(a, b, PAGE_SIZE))
            .and_then(|()| machine.copy_out(b, &page));
        exchanged.map_err(|_| NoMemory)?;
    }
    Ok(())
}

/// The pages of a range that may hold something else than zeros, as the longest runs.
pub(super) fn other_than_zeros(machine: &dyn Machine, range: &Range<u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let zeros = machine.leading_zeros(at, range.end - at);
        at = page_floor(at + zeros);
        if at >= range.end {
            break;
        }
        let end = at + PAGE_SIZE;
        match runs.last_mut() {
            Some(last) if last.end == at => last.end = end,
            _ => runs.push(at..end),
        }
        at = end;
    }
    runs
}
