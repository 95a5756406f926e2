//! The bytes of a regular file.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use vfs::{Allocation, Errno, Result};

use crate::PAGE_SIZE_BYTES;
use crate::budget::Budget;

/// Largest file (`loff_t`).
const SIZE_MAX_BYTES: u64 = i64::MAX as u64;

/// A sparse file: pages that were never written take no memory and read as zero.
#[derive(Default)]
pub(crate) struct Content {
    size_bytes: u64,
    /// By index. Bytes beyond the size of the file are zero.
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Content {
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.pages.len() * PAGE_SIZE_BYTES) as u64
    }

    /// Reads what there is at `offset`.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = self.size_bytes.saturating_sub(offset);
        let length = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        for (index, within, part) in pieces_mut(offset, &mut buffer[..length]) {
            match self.pages.get(&index) {
                Some(page) => part.copy_from_slice(&page[within..within + part.len()]),
                None => part.fill(0),
            }
        }
        length
    }

    /// Writes as much of `data` as the budget has room for.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8], budget: &Budget) -> Result<usize> {
        let end = offset.checked_add(data.len() as u64).ok_or(Errno::EFBIG)?;
        if end > SIZE_MAX_BYTES {
            return Err(Errno::EFBIG);
        }
        let mut written = 0;
        while written < data.len() {
            let position = offset + written as u64;
            let (index, within) = split(position);
            let length = (PAGE_SIZE_BYTES - within).min(data.len() - written);
            let page = match self.page_mut(index, budget) {
                Ok(page) => page,
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            };
            page[within..within + length].copy_from_slice(&data[written..written + length]);
            written += length;
            self.size_bytes = self.size_bytes.max(position + length as u64);
        }
        Ok(written)
    }

    /// Sets the size.
    pub(crate) fn truncate(&mut self, size_bytes: u64, budget: &Budget) -> Result<()> {
        if size_bytes > SIZE_MAX_BYTES {
            return Err(Errno::EFBIG);
        }
        if size_bytes < self.size_bytes {
            let (index, within) = split(size_bytes);
            let first_gone = if within == 0 { index } else { index + 1 };
            let gone = self.pages.split_off(&first_gone);
            budget.release((gone.len() * PAGE_SIZE_BYTES) as u64);
            if within != 0
                && let Some(page) = self.pages.get_mut(&index)
            {
                page[within..].fill(0);
            }
        }
        self.size_bytes = size_bytes;
        Ok(())
    }

    /// Gives pages to a stretch, or takes those away that lie in it as a whole.
    pub(crate) fn allocate(
        &mut self,
        what: Allocation,
        offset: u64,
        length: u64,
        budget: &Budget,
    ) -> Result<()> {
        let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
        if end > SIZE_MAX_BYTES {
            return Err(Errno::EFBIG);
        }
        if what == Allocation::PunchHole {
            self.punch(offset, end, budget);
            return Ok(());
        }
        let page = PAGE_SIZE_BYTES as u64;
        let mut made = Vec::new();
        for index in offset / page..end.div_ceil(page) {
            if self.pages.contains_key(&index) {
                continue;
            }
            if let Err(error) = self.page_mut(index, budget) {
                // All or nothing, as Linux's tmpfs does.
                for index in &made {
                    self.pages.remove(index);
                }
                budget.release((made.len() * PAGE_SIZE_BYTES) as u64);
                return Err(error);
            }
            made.push(index);
        }
        if what == Allocation::Extend {
            self.size_bytes = self.size_bytes.max(end);
        }
        Ok(())
    }

    /// Makes the bytes from `offset` to `end` read as zero, and frees the pages that hold no others.
    fn punch(&mut self, offset: u64, end: u64, budget: &Budget) {
        let page = PAGE_SIZE_BYTES as u64;
        let touched = offset / page..end.div_ceil(page);
        let indexes: Vec<u64> = self.pages.range(touched).map(|(index, _)| *index).collect();
        for index in indexes {
            let start = index * page;
            let from = offset.saturating_sub(start) as usize;
            let to = (end - start).min(page) as usize;
            if from == 0 && to == PAGE_SIZE_BYTES {
                self.pages.remove(&index);
                budget.release(page);
            } else if let Some(bytes) = self.pages.get_mut(&index) {
                bytes[from..to].fill(0);
            }
        }
    }

    /// The first byte at or after `offset` that has a page; `None` if none has.
    pub(crate) fn next_data(&self, offset: u64) -> Option<u64> {
        let page = PAGE_SIZE_BYTES as u64;
        let (index, _) = self.pages.range(offset / page..).next()?;
        let start = offset.max(index * page);
        (start < self.size_bytes).then_some(start)
    }

    /// The first byte at or after `offset` that has no page.
    pub(crate) fn next_hole(&self, offset: u64) -> u64 {
        let page = PAGE_SIZE_BYTES as u64;
        let mut next = offset / page;
        for (index, _) in self.pages.range(next..) {
            if *index != next {
                break;
            }
            next += 1;
        }
        offset.max(next * page).min(self.size_bytes)
    }

    fn page_mut(&mut self, index: u64, budget: &Budget) -> Result<&mut [u8]> {
        use alloc::collections::btree_map::Entry;
        match self.pages.entry(index) {
            Entry::Occupied(page) => Ok(page.into_mut()),
            Entry::Vacant(place) => {
                budget.charge(PAGE_SIZE_BYTES as u64)?;
                match zeroed_page() {
                    Ok(page) => Ok(place.insert(page)),
                    Err(error) => {
                        budget.release(PAGE_SIZE_BYTES as u64);
                        Err(error)
                    }
                }
            }
        }
    }
}

fn zeroed_page() -> Result<Box<[u8]>> {
    let mut page = Vec::new();
    page.try_reserve_exact(PAGE_SIZE_BYTES)
        .map_err(|_| Errno::ENOSPC)?;
    page.resize(PAGE_SIZE_BYTES, 0);
    Ok(page.into_boxed_slice())
}

/// The page that holds a byte and the byte's place in it.
fn split(offset: u64) -> (u64, usize) {
    let page = PAGE_SIZE_BYTES as u64;
    (offset / page, (offset % page) as usize)
}

/// Cuts a buffer at page boundaries: page index, offset in the page, part of the buffer.
fn pieces_mut(offset: u64, mut buffer: &mut [u8]) -> impl Iterator<Item = (u64, usize, &mut [u8])> {
    let mut position = offset;
    core::iter::from_fn(move || {
        if buffer.is_empty() {
            return None;
        }
        let (index, within) = split(position);
        let length = (PAGE_SIZE_BYTES - within).min(buffer.len());
        let (part, rest) = core::mem::take(&mut buffer).split_at_mut(length);
        buffer = rest;
        position += length as u64;
        Some((index, within, part))
    })
}
