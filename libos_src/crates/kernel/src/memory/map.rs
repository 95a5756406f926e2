//! `mmap`.

use core::ops::Range;

use hal::{Errno, PAGE_SIZE, Prot};

use super::area::{Area, Backing, Purpose};
use super::shortage::Knob;
use super::space::{AddressSpace, Books};

/// What a new mapping is to be.
pub(crate) struct Mapping {
    /// Where.
    pub(crate) placement: Placement,
    /// How long; rounded up to pages.
    pub(crate) len: u64,
    /// What the program may do with it.
    pub(crate) prot: Prot,
    /// What is in it at first.
    pub(crate) backing: Backing,
    /// What it is for.
    pub(crate) purpose: Purpose,
}

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// At this address if it is free, else anywhere in the mmap region. Zero is no wish.
    Hint(u64),
    /// At this address, replacing what is there.
    Fixed(u64),
    /// At this address, or `EEXIST`.
    FixedFree(u64),
    /// The lowest free place for an image, aligned so.
    Image { align: u64 },
    /// The highest free place in the mmap region, aligned so.
    MmapAligned { align: u64 },
}

impl AddressSpace {
    /// Maps, and returns the address.
    ///
    /// # Errors
    /// `ENOMEM` when there is no room or no memory, with one line in the log that says what to do.
    pub(crate) fn map(&self, mapping: Mapping) -> Result<u64, Errno> {
        let len = super::page_ceiling(mapping.len).ok_or(Errno::ENOMEM)?;
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let mut books = self.books.write();
        let range = self.place(&books, mapping.placement, len, mapping.prot)?;
        if matches!(mapping.placement, Placement::Fixed(_)) {
            self.discard(&mut books, &range);
        }
        let area = Area {
            end: range.end,
            prot: mapping.prot,
            backing: mapping.backing,
            purpose: mapping.purpose,
        };
        books.areas.insert(range.start, area);
        if self.settle(&mut books, &range).is_err() {
            self.discard(&mut books, &range);
            self.report_shortage(&books, Knob::UserSpace, len);
            return Err(Errno::ENOMEM);
        }
        self.patch_text(&mut books, &range);
        books.areas.join(&range);
        Ok(range.start)
    }

    /// Chooses the range of a new mapping. `prot` is what it will be for.
    pub(super) fn place(
        &self,
        books: &Books,
        placement: Placement,
        len: u64,
        prot: Prot,
    ) -> Result<Range<u64>, Errno> {
        match placement {
            Placement::Fixed(address) => self.fixed(address, len),
            Placement::FixedFree(address) => {
                let range = self.fixed(address, len)?;
                if books.areas.is_free(&range) {
                    Ok(range)
                } else {
                    Err(Errno::EEXIST)
                }
            }
            Placement::Hint(address) => {
                let wish = self.fixed(super::page_floor(address), len).ok();
                let wish = wish.filter(|range| address != 0 && books.areas.is_free(range));
                wish.map_or_else(|| self.find_mmap(books, len, PAGE_SIZE, prot), Ok)
            }
            Placement::MmapAligned { align } => self.find_mmap(books, len, align, prot),
            Placement::Image { align } => {
                let images = self.layout.images();
                let start = books
                    .areas
                    .find_free_low(len, align.max(PAGE_SIZE), &images);
                start.map(|start| start..start + len).ok_or_else(|| {
                    self.report_shortage(books, Knob::UserSpace, len);
                    Errno::ENOMEM
                })
            }
        }
    }

    fn find_mmap(
        &self,
        books: &Books,
        len: u64,
        align: u64,
        prot: Prot,
    ) -> Result<Range<u64>, Errno> {
        // The heap keeps its place, however little of it is in use.
        let heap_end = books.heap.start + self.layout.heap_limit_bytes;
        let mmap = &self.layout.mmap;
        let within = mmap.start.max(heap_end).min(mmap.end)..mmap.end;
        let start = books
            .areas
            .find_free_high(len, align.max(PAGE_SIZE), &within);
        start.map(|start| start..start + len).ok_or_else(|| {
            // A reservation is a question: allocators ask for a large one and do with less.
            if !prot.is_empty() {
                self.report_shortage(books, Knob::Mmap, len);
            }
            Errno::ENOMEM
        })
    }

    fn fixed(&self, address: u64, len: u64) -> Result<Range<u64>, Errno> {
        if super::page_floor(address) != address {
            return Err(Errno::EINVAL);
        }
        self.checked_range(address, len).map_err(|_| Errno::ENOMEM)
    }
}
