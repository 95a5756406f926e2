//! Mapping memory that others map, too.

use alloc::sync::Arc;
use core::ops::Range;

use hal::{Errno, Prot};

use super::area::{Area, Backing, Counted, OnFork, Purpose, SharedBacking};
use super::remap::Remapping;
use super::shared::{FilePart, SharedPages};
use super::shortage::Knob;
use super::space::{AddressSpace, Books};

/// What a mapping is to share.
pub(crate) enum SharedMapping {
    /// Zeros, with children.
    Anonymous,
    /// Part of a file, with everybody.
    File(FilePart),
    /// Pages that are there, from the first one on.
    Pages(Arc<SharedPages>),
}

impl AddressSpace {
    /// Maps `len` bytes of shared memory, and returns the address: at `fixed`, or where the pages are.
    ///
    /// # Errors
    /// `ENOMEM` when there is no room, or the pages are somewhere else already.
    pub(crate) fn map_shared(
        &self,
        mapping: SharedMapping,
        len: u64,
        prot: Prot,
        fixed: Option<u64>,
    ) -> Result<u64, Errno> {
        let len = super::page_ceiling(len).ok_or(Errno::ENOMEM)?;
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let mut books = self.books.write();
        if let Some(address) = fixed {
            let range = self.checked_range(address, len)?;
            self.discard(&mut books, &range);
        }
        let found = match mapping {
            SharedMapping::Anonymous => {
                let pages = self.shared.anonymous(len, fixed);
                pages.map(|pages| (pages.start(), pages))
            }
            SharedMapping::File(part) => {
                let found = self.shared.of_file(part, len, fixed);
                found.map(|(pages, address)| (address, pages))
            }
            SharedMapping::Pages(pages) => {
                let is_there = fixed.is_none_or(|address| address == pages.start());
                let address = pages.start();
                is_there.then_some((address, pages)).ok_or(Errno::EINVAL)
            }
        };
        let (address, pages) = found.inspect_err(|errno| {
            if *errno == Errno::ENOMEM {
                self.report_shortage(&books, Knob::UserSpace, len);
            }
        })?;
        self.show(&mut books, &(address..address + len), &pages, prot, 1)?;
        Ok(address)
    }

    /// Whether nothing is mapped in a range.
    ///
    /// # Errors
    /// `EINVAL` for what can be no mapping.
    pub(crate) fn is_free(&self, address: u64, len: u64) -> Result<bool, Errno> {
        let range = self.checked_range(address, len)?;
        Ok(self.books.read().areas.is_free(&range))
    }

    /// Puts areas over shared pages. What shows them here already is mapped `again` times more, and
    /// then all of it may do what any of it may: it is at one address.
    fn show(
        &self,
        books: &mut Books,
        range: &Range<u64>,
        pages: &Arc<SharedPages>,
        prot: Prot,
        again: u32,
    ) -> Result<(), Errno> {
        let replaced = books.areas.remove(range);
        let mut at = range.start;
        let put = |books: &mut Books, part: Range<u64>, prot, times| {
            let backing = Backing::Shared(SharedBacking {
                pages: pages.clone(),
                times,
            });
            let area = Area {
                end: part.end,
                prot,
                backing,
                purpose: Purpose::Program,
                counted: Counted::Whole,
                on_fork: OnFork::Copy,
            };
            if !part.is_empty() {
                books.put(part.start, area);
            }
        };
        for (start, area) in replaced {
            if area.is_limited() {
                books.mmapped_bytes -= area.end - start;
            }
            put(books, at..start, prot, 1);
            let times = match area.backing {
                Backing::Shared(shared) => shared.times + again,
                _ => 1,
            };
            put(books, start..area.end, area.prot | prot, times);
            at = area.end;
        }
        put(books, at..range.end, prot, 1);
        if pages.allow(prot).is_err() || self.settle(books, range).is_err() {
            self.discard(books, range);
            self.report_shortage(books, Knob::UserSpace, range.end - range.start);
            return Err(Errno::ENOMEM);
        }
        books.areas.join(range);
        Ok(())
    }

    /// How many bytes are mapped of shared pages of no file whose first is at `address`.
    pub(crate) fn shared_len(&self, address: u64) -> Option<u64> {
        let books = self.books.read();
        let (start, area) = books.areas.find(address)?;
        let pages = area.shared()?;
        let is_first = start == address && pages.start() == address && pages.file().is_none();
        is_first.then_some(area.end - start)
    }

    /// Writes what was changed in shared mappings of a range to their files.
    ///
    /// # Errors
    /// `ENOMEM` if a part of the range is not mapped.
    pub(crate) fn write_back(&self, address: u64, len: u64) -> Result<(), Errno> {
        if len == 0 {
            return Ok(());
        }
        let range = self
            .checked_range(address, len)
            .map_err(|_| Errno::ENOMEM)?;
        let books = self.books.read();
        for (start, area) in books.areas.overlapping(&range) {
            if let Some(pages) = area.shared() {
                let first = pages.offset_of(start.max(range.start));
                let last = pages.offset_of(area.end.min(range.end));
                pages.write_back(&(first..last));
            }
        }
        if books.areas.allows(&range, Prot::empty()) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    /// Resizes a shared mapping: where it is, or by moving pages that nobody else has.
    pub(super) fn remap_shared(
        &self,
        books: &mut Books,
        old: &Range<u64>,
        new_len: u64,
        remapping: Remapping,
    ) -> Result<u64, Errno> {
        if matches!(remapping, Remapping::To(_)) {
            return Err(Errno::ENOMEM);
        }
        let (start, area) = books.areas.find(old.start).ok_or(Errno::EFAULT)?;
        let (pages, prot) = match area.shared() {
            Some(pages) if start == old.start && area.end == old.end => (pages.clone(), area.prot),
            _ => return Err(Errno::EFAULT),
        };
        let grown = old.start..old.start.checked_add(new_len).ok_or(Errno::ENOMEM)?;
        if pages.grow_to(grown.end).is_ok() {
            let shown = self.show(books, &grown, &pages, prot, 0);
            return shown.map(|()| old.start);
        }
        // Two of the references are the area's and ours.
        let is_alone = Arc::strong_count(&pages) == 2;
        if remapping != Remapping::MayMove || !is_alone {
            return Err(Errno::ENOMEM);
        }
        let moved = match pages.file() {
            Some(file) => {
                let part = FilePart {
                    id: file.id,
                    inode: file.inode.clone(),
                    path: file.path.clone(),
                    offset: pages.offset_of(old.start),
                };
                pages.retire();
                self.shared.of_file(part, new_len, None)?.0
            }
            None => {
                let moved = self.shared.anonymous(new_len, None)?;
                let copied = moved.copy_from(&pages, old.end - old.start);
                copied.map_err(|_| Errno::ENOMEM)?;
                moved
            }
        };
        self.discard(books, old);
        drop(pages);
        let address = moved.start();
        self.show(books, &(address..address + new_len), &moved, prot, 0)?;
        Ok(address)
    }
}
