//! What `/proc/PID/mem` reads and writes.

use alloc::sync::{Arc, Weak};

use hal::{Errno, PAGE_SIZE};
use procfs::ProcessMemory;

use super::ProcessTable;
use crate::memory::AddressSpace;

/// The memory of a process, for as long as it has that.
pub(super) struct MemoryView {
    pub(super) processes: Arc<ProcessTable>,
    pub(super) process: u32,
    pub(super) space: Weak<AddressSpace>,
}

impl MemoryView {
    fn space(&self) -> Option<Arc<AddressSpace>> {
        let space = self.space.upgrade()?;
        let has_ended =
            self.processes.get(self.process).is_none() || self.processes.is_zombie(self.process);
        (!has_ended).then_some(space)
    }
}

impl ProcessMemory for MemoryView {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.space()
            .map_or(Ok(0), |space| look(&space, address, buffer))
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<usize, Errno> {
        let Some(space) = self.space() else {
            return Ok(0);
        };
        let mut left = data;
        in_pages(address, data.len(), |at, count| {
            let (part, rest) = left.split_at(count);
            left = rest;
            space.put_in(at, part)
        })
    }
}

/// Reads as much of a range as there is; `EIO` if that is nothing.
pub(super) fn look(space: &AddressSpace, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let len = buffer.len();
    let mut left = buffer;
    in_pages(address, len, |at, count| {
        let (part, rest) = core::mem::take(&mut left).split_at_mut(count);
        left = rest;
        space.look_in(at, part)
    })
}

/// Does something with each part of a range that is in one page, up to the first that fails. How many
/// bytes that was; `EIO` if there is none.
fn in_pages(
    address: u64,
    len: usize,
    mut step: impl FnMut(u64, usize) -> Result<(), Errno>,
) -> Result<usize, Errno> {
    let mut done = 0;
    while done < len {
        let at = address.checked_add(done as u64).ok_or(Errno::EIO)?;
        let count = (len - done).min((PAGE_SIZE - at % PAGE_SIZE) as usize);
        if step(at, count).is_err() {
            break;
        }
        done += count;
    }
    if done == 0 && len != 0 {
        return Err(Errno::EIO);
    }
    Ok(done)
}
