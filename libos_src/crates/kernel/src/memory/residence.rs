//! What of a program's addresses is in memory, as `mincore` tells it.

use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, PAGE_SIZE, Prot};

use super::area::Backing;
use super::space::AddressSpace;

impl AddressSpace {
    /// For each page of a range whether an access would find it in memory: one that has memory here, or
    /// that a file has. Files are always in memory, as far as a program can tell.
    ///
    /// # Errors
    /// `ENOMEM` if a part of the range is not mapped.
    pub(crate) fn residence(&self, range: &Range<u64>) -> Result<Vec<u8>, Errno> {
        let books = self.books.read();
        if !books.areas.allows(range, Prot::empty()) {
            return Err(Errno::ENOMEM);
        }
        let mut pages = alloc::vec![0; ((range.end - range.start) / PAGE_SIZE) as usize];
        let index = |at: u64| ((at - range.start) / PAGE_SIZE) as usize;
        for (start, area) in books.areas.overlapping(range) {
            let part = start.max(range.start)..area.end.min(range.end);
            let mut there = |run: &Range<u64>| {
                if !run.is_empty() {
                    pages[index(run.start)..index(run.end)].fill(1);
                }
            };
            match &area.backing {
                Backing::Zero => {}
                Backing::File(_) => there(&(part.start..part.end.min(area.content_end(start)))),
                Backing::Shared(place) if place.pages().file().is_some() => {
                    let end = place.pages().content_end();
                    let shown = place.offset_of(part.start);
                    let len = end.saturating_sub(shown).min(part.end - part.start);
                    there(&(part.start..part.start + len));
                }
                Backing::Shared(place) => {
                    let mut from = part.start;
                    for absent in place.pages().nowhere(place, &part) {
                        there(&(from..absent.start));
                        from = absent.end;
                    }
                    there(&(from..part.end));
                }
            }
            books.committed.present(&part).iter().for_each(there);
        }
        Ok(pages)
    }
}
