//! The bytes of a regular file.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
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
    pages: BTreeMap<u64, Arc<Page>>,
    /// Which of them were only reserved: they take memory, and count as holes.
    reserved: BTreeSet<u64>,
}

/// The bytes of one page. A reader may keep it for a moment: then who writes makes it another one.
pub(crate) struct Page(Box<[u8]>);

/// How many pages a reader gets at a time.
pub(crate) const RUN_PAGES: usize = 16;

/// What a page reads as that was never written.
pub(crate) static NO_PAGE: [u8; PAGE_SIZE_BYTES] = [0; PAGE_SIZE_BYTES];

/// Some pages of a file as they were at one moment.
#[derive(Default)]
pub(crate) struct Run {
    /// How many bytes there are from the start of the first page on.
    pub(crate) size_bytes: usize,
    pages: [Option<Arc<Page>>; RUN_PAGES],
}

impl Run {
    /// The bytes from `within` on, in parts; none behind the last.
    pub(crate) fn parts(&self, within: usize) -> ([&[u8]; RUN_PAGES], usize) {
        let mut parts = [&[][..]; RUN_PAGES];
        let starts = (0..self.size_bytes).step_by(PAGE_SIZE_BYTES);
        let count = starts.len();
        for ((part, page), start) in parts.iter_mut().zip(&self.pages).zip(starts) {
            let bytes = page.as_ref().map_or(&NO_PAGE[..], |page| &page.0);
            let end = PAGE_SIZE_BYTES.min(self.size_bytes - start);
            *part = &bytes[within.saturating_sub(start)..end];
        }
        (parts, count)
    }
}

impl Content {
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.pages.len() * PAGE_SIZE_BYTES) as u64
    }

    /// The pages from that of `offset` on, as far as there is something within `length` bytes.
    pub(crate) fn run(&self, offset: u64, length: usize) -> Run {
        let mut run = Run::default();
        let left = self.size_bytes.saturating_sub(offset);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 {
            return run;
        }
        let (first, within) = split(offset);
        run.size_bytes = length
            .saturating_add(within)
            .min(RUN_PAGES * PAGE_SIZE_BYTES);
        let end = first + run.size_bytes.div_ceil(PAGE_SIZE_BYTES) as u64;
        for (index, page) in self.pages.range(first..end) {
            if let Some(place) = run.pages.get_mut((index - first) as usize) {
                *place = Some(page.clone());
            }
        }
        run
    }

    /// Reads what there is at `offset`.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = self.size_bytes.saturating_sub(offset);
        let length = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        for (index, within, part) in pieces_mut(offset, &mut buffer[..length]) {
            match self.pages.get(&index) {
                Some(page) => part.copy_from_slice(&page.0[within..within + part.len()]),
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
            self.reserved.remove(&index);
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
        // What was reserved behind the end goes with the same size, too.
        if size_bytes <= self.size_bytes {
            let (index, within) = split(size_bytes);
            if within != 0
                && size_bytes < self.size_bytes
                && let Some(page) = self.pages.get_mut(&index)
            {
                own(page)?[within..].fill(0);
            }
            let first_gone = if within == 0 { index } else { index + 1 };
            let gone = self.pages.split_off(&first_gone);
            self.reserved.split_off(&first_gone);
            budget.release((gone.len() * PAGE_SIZE_BYTES) as u64);
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
            return self.punch(offset, end, budget);
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
                    self.reserved.remove(index);
                }
                budget.release((made.len() * PAGE_SIZE_BYTES) as u64);
                return Err(error);
            }
            self.reserved.insert(index);
            made.push(index);
        }
        if what == Allocation::Extend {
            self.size_bytes = self.size_bytes.max(end);
        }
        Ok(())
    }

    /// Makes the bytes from `offset` to `end` read as zero, and frees the pages that hold no others.
    fn punch(&mut self, offset: u64, end: u64, budget: &Budget) -> Result<()> {
        let page = PAGE_SIZE_BYTES as u64;
        let touched = offset / page..end.div_ceil(page);
        let indexes: Vec<u64> = self.pages.range(touched).map(|(index, _)| *index).collect();
        for index in indexes {
            let start = index * page;
            let from = offset.saturating_sub(start) as usize;
            let to = (end - start).min(page) as usize;
            if from == 0 && to == PAGE_SIZE_BYTES {
                self.pages.remove(&index);
                self.reserved.remove(&index);
                budget.release(page);
            } else if let Some(bytes) = self.pages.get_mut(&index) {
                own(bytes)?[from..to].fill(0);
            }
        }
        Ok(())
    }

    /// The first byte at or after `offset` that has a page which was written to; `None` if none has.
    pub(crate) fn next_data(&self, offset: u64) -> Option<u64> {
        let page = PAGE_SIZE_BYTES as u64;
        let mut pages = self.pages.range(offset / page..);
        let (index, _) = pages.find(|(index, _)| !self.reserved.contains(index))?;
        let start = offset.max(index * page);
        (start < self.size_bytes).then_some(start)
    }

    /// The first byte at or after `offset` that has no such page.
    pub(crate) fn next_hole(&self, offset: u64) -> u64 {
        let page = PAGE_SIZE_BYTES as u64;
        let mut next = offset / page;
        for (index, _) in self.pages.range(next..) {
            if *index != next || self.reserved.contains(index) {
                break;
            }
            next += 1;
        }
        offset.max(next * page).min(self.size_bytes)
    }

    fn page_mut(&mut self, index: u64, budget: &Budget) -> Result<&mut [u8]> {
        use alloc::collections::btree_map::Entry;
        match self.pages.entry(index) {
            Entry::Occupied(page) => own(page.into_mut()),
            Entry::Vacant(place) => {
                budget.charge(PAGE_SIZE_BYTES as u64)?;
                match page_of(&NO_PAGE) {
                    Ok(page) => own(place.insert(Arc::new(page))),
                    Err(error) => {
                        budget.release(PAGE_SIZE_BYTES as u64);
                        Err(error)
                    }
                }
            }
        }
    }
}

/// The bytes of a page, to be changed: of another one if a reader keeps this.
fn own(page: &mut Arc<Page>) -> Result<&mut [u8]> {
    if Arc::get_mut(page).is_none() {
        *page = Arc::new(page_of(&page.0)?);
    }
    let owned = Arc::get_mut(page).ok_or(Errno::ENOSPC)?;
    Ok(&mut owned.0)
}

fn page_of(bytes: &[u8]) -> Result<Page> {
    let mut page = Vec::new();
    page.try_reserve_exact(PAGE_SIZE_BYTES)
        .map_err(|_| Errno::ENOSPC)?;
    page.extend_from_slice(bytes);
    Ok(Page(page.into_boxed_slice()))
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
