//! `mmap`.

use core::ops::Range;

use hal::{Errno, NoMemory, PAGE_SIZE, Prot};

use super::area::{Area, Backing, Purpose};
use super::layout::STACK_GUARD_BYTES;
use super::shortage::Knob;
use super::space::{AddressSpace, Books, Paging};

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
    /// At this address if it is free, else anywhere. Zero is no wish.
    Hint(u64),
    /// At this address, replacing what is there.
    Fixed(u64),
    /// At this address, or `EEXIST`.
    FixedFree(u64),
    /// The lowest free place for an image, aligned so, with room for a heap behind it.
    Image { align: u64 },
    /// The highest free place, aligned so.
    MmapAligned { align: u64 },
    /// The highest free place with a guard below it.
    Stack,
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
        let range = self.place(&mut books, mapping.placement, len, mapping.prot)?;
        if matches!(mapping.placement, Placement::Fixed(_)) {
            if self.shows(&books, &range, &mapping) {
                return self.adopt(&mut books, &range, mapping.prot);
            }
            self.discard(&mut books, &range);
        }
        let mut area = Area {
            end: range.end,
            prot: mapping.prot,
            backing: mapping.backing,
            purpose: mapping.purpose,
        };
        area.allow(mapping.prot);
        if area.prot.is_empty() {
            self.bar(&range);
        }
        books.put(range.start, area);
        if self.settle(&mut books, &range).is_err() {
            self.discard(&mut books, &range);
            self.report_shortage(&books, Knob::UserSpace, len);
            return Err(Errno::ENOMEM);
        }
        self.patch_text(&mut books, &range, true);
        books.areas.join(&range);
        self.tell_code(&books, &range);
        Ok(range.start)
    }

    /// Whether `range` already shows what `mapping` would: a loader maps all of a library before it
    /// maps each segment over that.
    fn shows(&self, books: &Books, range: &Range<u64>, mapping: &Mapping) -> bool {
        let Backing::File(wanted) = &mapping.backing else {
            return false;
        };
        let Some((start, area)) = books.areas.find(range.start) else {
            return false;
        };
        let Backing::File(found) = &area.backing else {
            return false;
        };
        let content = wanted.inode.content();
        let is_same = content.is_some()
            && content == found.inode.content()
            && wanted.path == found.path
            && found.offset.checked_add(range.start - start) == Some(wanted.offset)
            && mapping.purpose == area.purpose
            && range.end <= area.end;
        // Text is searched for system calls only as it was just read.
        let is_known = !mapping.prot.contains(Prot::EXEC) || self.has_plan(wanted, range);
        is_same
            && found.is_untouched
            && is_known
            && !mapping.prot.is_empty()
            && !self.gang.is_shared()
            && !books.patches.covers(range)
    }

    /// Makes a new mapping of what is there.
    fn adopt(&self, books: &mut Books, range: &Range<u64>, prot: Prot) -> Result<u64, Errno> {
        // What was there has a claim of its own.
        self.region.release(range);
        if self.change(books, range, prot).is_err() {
            self.discard(books, range);
            self.report_shortage(books, Knob::UserSpace, range.end - range.start);
            return Err(Errno::ENOMEM);
        }
        self.patch_text(books, range, true);
        Ok(range.start)
    }

    /// Chooses and claims the range of a new mapping. `prot` is what it will be for.
    pub(super) fn place(
        &self,
        books: &mut Books,
        placement: Placement,
        len: u64,
        prot: Prot,
    ) -> Result<Range<u64>, Errno> {
        let range = self.choose(books, placement, len, prot);
        let range = match range {
            // What the store does not need may be what is missing.
            Err(Errno::ENOMEM) if self.store.shrink() => {
                self.choose(books, placement, len, prot)?
            }
            range => range?,
        };
        if self.clear_way(&range).is_err() {
            self.region.release(&range);
            return Err(self.no_room(books, len));
        }
        Ok(range)
    }

    /// Where pages get memory at the first touch, a new mapping must not show what another member
    /// of the gang has there.
    pub(super) fn clear_way(&self, range: &Range<u64>) -> Result<(), NoMemory> {
        if self.paging == Paging::OnDemand && self.gang.is_shared() {
            self.gang.evict_others(self.id(), range)?;
        }
        Ok(())
    }

    fn choose(
        &self,
        books: &mut Books,
        placement: Placement,
        len: u64,
        prot: Prot,
    ) -> Result<Range<u64>, Errno> {
        match placement {
            Placement::Fixed(address) => {
                let range = self.fixed(address, len)?;
                if self.region.claim_fixed(self.gang.id(), &range) {
                    Ok(range)
                } else {
                    self.report_shortage(books, Knob::UserSpace, len);
                    Err(Errno::ENOMEM)
                }
            }
            Placement::FixedFree(address) => {
                let range = self.fixed(address, len)?;
                if books.areas.is_free(&range) && self.region.claim_fixed(self.gang.id(), &range) {
                    Ok(range)
                } else {
                    Err(Errno::EEXIST)
                }
            }
            Placement::Hint(address) => {
                let wish = self.fixed(super::page_floor(address), len).ok();
                let wish = wish.filter(|range| address != 0 && books.areas.is_free(range));
                match wish.filter(|range| self.region.claim_fixed(self.gang.id(), range)) {
                    Some(range) => Ok(range),
                    None => self.claim_mmap(books, len, PAGE_SIZE, prot),
                }
            }
            Placement::MmapAligned { align } => self.claim_mmap(books, len, align, prot),
            Placement::Image { align } => {
                let align = align.max(PAGE_SIZE);
                let low = |room| {
                    let whole = len.checked_add(room)?;
                    self.region.claim_low(self.gang.id(), whole, align)
                };
                let place = low(self.heap_room()).or_else(|| low(0));
                let place = place.ok_or_else(|| self.no_room(books, len))?;
                let image = place.start..place.start + len;
                books.heap.take_room(image.end..place.end);
                Ok(image)
            }
            Placement::Stack => {
                let with_guard = len.checked_add(STACK_GUARD_BYTES).ok_or(Errno::ENOMEM)?;
                let user = self.region.range();
                let place = self
                    .region
                    .claim_high(self.gang.id(), with_guard, PAGE_SIZE, user);
                let place = place.ok_or_else(|| self.no_room(books, len))?;
                let stack = place.start + STACK_GUARD_BYTES..place.end;
                let guard = place.start..stack.start;
                self.bar(&guard);
                books.reserved.push(guard);
                books.stack = stack.clone();
                Ok(stack)
            }
        }
    }

    fn no_room(&self, books: &Books, len: u64) -> Errno {
        self.report_shortage(books, Knob::UserSpace, len);
        Errno::ENOMEM
    }

    fn claim_mmap(
        &self,
        books: &Books,
        len: u64,
        align: u64,
        prot: Prot,
    ) -> Result<Range<u64>, Errno> {
        let sum = books.mmapped_bytes.checked_add(len);
        let is_within = sum.is_some_and(|sum| sum <= self.layout.mmap_limit_bytes);
        let place = is_within.then(|| {
            let align = align.max(PAGE_SIZE);
            let user = self.region.range();
            self.region.claim_high(self.gang.id(), len, align, user)
        });
        place.flatten().ok_or_else(|| {
            // A reservation is a question: allocators ask for a large one and do with less.
            if !prot.is_empty() {
                let knob = if is_within {
                    Knob::UserSpace
                } else {
                    Knob::Mmap
                };
                self.report_shortage(books, knob, len);
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
