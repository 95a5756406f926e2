//! `mmap`.

use core::ops::Range;

use hal::{Errno, NoMemory, PAGE_SIZE, Prot};

use super::area::{Area, Backing, Counted, OnFork, Purpose};
use super::layout::STACK_GUARD_BYTES;
use super::leftovers::FilePlace;
use super::region::Use;
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
    /// The most that the program may ever do with it.
    pub(crate) most: Prot,
    /// Whether a touch just below it makes it larger (`MAP_GROWSDOWN`).
    pub(crate) grows_down: bool,
    /// Whether it is not to be counted before it is touched (`MAP_NORESERVE`).
    pub(crate) is_unreserved: bool,
}

/// What a new mapping needs, of the region and of the process's limits.
#[derive(Clone, Copy)]
pub(super) struct Need {
    pub(super) len: u64,
    pub(super) counted: Counted,
    /// What it begins with: where that is left of another program is a good place.
    pub(super) file: Option<FilePlace>,
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
    /// The lowest free place for an image, aligned so, with room for a heap behind it; or where the
    /// image is left that begins with this part of a file.
    Image { align: u64, file: Option<FilePlace> },
    /// The highest free place, aligned so; or where the image is left.
    MmapAligned { align: u64, file: Option<FilePlace> },
    /// Where addresses have 31 bits (`MAP_32BIT`): at this one if it is free, else the highest.
    Low(u64),
    /// The highest free place with a guard below it.
    Stack,
}

/// Where addresses of 31 bits end.
const LOW_END: u64 = 1 << 31;

/// Reservations of more than this go where there are addresses in plenty, or nowhere.
const LARGE_BYTES: u64 = 1 << 30;
/// Larger ones may be had by halves only.
const VAST_BYTES: u64 = 8 << 30;
/// Where Haskell's must begin: it asks for less if it is refused, but for the same, for ever, if it gets others.
const PLENTY_START: u64 = 8 << 30;

impl Need {
    pub(super) const fn purpose(self) -> Use {
        match self.counted {
            Counted::Whole => Use::Memory,
            Counted::Nothing | Counted::Touched => Use::Addresses,
        }
    }
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
        let counted = self.counted(mapping.prot, mapping.is_unreserved);
        let mut books = self.books.write();
        // One more, two ends of what is replaced, and stubs.
        self.check_areas(&books, 4)?;
        let file = match (mapping.placement, &mapping.backing) {
            (Placement::Image { file, .. } | Placement::MmapAligned { file, .. }, _) => file,
            (Placement::Hint(_), Backing::File(file)) => FilePlace::of(&*file.inode, file.offset),
            _ => None,
        };
        let file = file.filter(|_| self.paging == Paging::Eager && !self.gang.is_shared());
        let need = Need { len, counted, file };
        if let Placement::Fixed(address) = mapping.placement {
            self.check_no_stubs(&books, &self.fixed(address, len)?)?;
            self.discard_shared(&mut books, &self.fixed(address, len)?);
        }
        let range = self.place(&mut books, mapping.placement, need)?;
        if matches!(mapping.placement, Placement::Fixed(_)) {
            if self.shows(&books, &range, &mapping) {
                return self.adopt(&mut books, &range, &mapping);
            }
            self.discard(&mut books, &range);
            if counted != Counted::Whole {
                self.region.uncharge(&range);
            }
        }
        let mut area = Area {
            end: range.end,
            prot: mapping.prot,
            backing: mapping.backing,
            purpose: mapping.purpose,
            counted,
            on_fork: OnFork::COPY,
            most: mapping.most,
            is_locked: books.locks_all,
            grows_down: mapping.grows_down,
            attachment: None,
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

    /// What of a new mapping counts as memory.
    fn counted(&self, prot: Prot, is_unreserved: bool) -> Counted {
        match self.paging {
            Paging::OnDemand if is_unreserved => Counted::Touched,
            _ if prot.is_empty() => Counted::Nothing,
            _ => Counted::Whole,
        }
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
        let is_text = mapping.prot.contains(Prot::EXEC);
        let is_patched = is_text && books.patches.is_whole(range);
        let is_known = !is_text || is_patched || self.has_plan(wanted, range);
        is_same
            && found.is_untouched
            && is_known
            && !mapping.prot.is_empty()
            && !self.gang.is_shared()
            && (is_patched || !books.patches.covers(range))
    }

    /// Makes a new mapping of what is there.
    fn adopt(
        &self,
        books: &mut Books,
        range: &Range<u64>,
        mapping: &Mapping,
    ) -> Result<u64, Errno> {
        for (_, area) in books.areas.isolate(range) {
            area.most = mapping.most;
        }
        // What was there has a claim of its own.
        self.region.release(range);
        if self.change(books, range, mapping.prot).is_err() {
            self.discard(books, range);
            self.report_shortage(books, Knob::UserSpace, range.end - range.start);
            return Err(Errno::ENOMEM);
        }
        self.patch_text(books, range, true);
        Ok(range.start)
    }

    /// Chooses and claims the range of a new mapping.
    pub(super) fn place(
        &self,
        books: &mut Books,
        placement: Placement,
        need: Need,
    ) -> Result<Range<u64>, Errno> {
        let choose = || self.choose(books, placement, need);
        let range = self.store.or_shrunk(choose)?;
        if self.clear_way(&range).is_err() {
            self.region.release(&range);
            return Err(self.no_room(books, need.len));
        }
        Ok(range)
    }

    /// Claims addresses beside a mapping for it.
    pub(super) fn claim_more(&self, books: &Books, range: &Range<u64>, need: Need) -> bool {
        let is_ours = self.claim(books, range, need.purpose());
        if is_ours && self.clear_way(range).is_err() {
            self.region.release(range);
            return false;
        }
        is_ours
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
        need: Need,
    ) -> Result<Range<u64>, Errno> {
        let (len, purpose) = (need.len, need.purpose());
        match placement {
            Placement::Fixed(address) => {
                let range = self.fixed(address, len)?;
                if self.claim(books, &range, purpose) {
                    Ok(range)
                } else {
                    self.report_shortage(books, Knob::UserSpace, len);
                    Err(Errno::ENOMEM)
                }
            }
            Placement::FixedFree(address) => {
                let range = self.fixed(address, len)?;
                if books.areas.is_free(&range) && self.claim(books, &range, purpose) {
                    Ok(range)
                } else {
                    Err(Errno::EEXIST)
                }
            }
            Placement::Hint(address) => self.claim_near(books, need, address, u64::MAX),
            Placement::Low(address) => self.claim_near(books, need, address, LOW_END),
            Placement::MmapAligned { align, .. } => self.claim_mmap(books, need, align, u64::MAX),
            Placement::Image { align, .. } => {
                let align = align.max(PAGE_SIZE);
                let room = self.heap_room();
                if let Some(image) = self.claim_left(need, align) {
                    let heap = self.region.claim_up_to(self.gang.id(), image.end, room);
                    if heap.end - heap.start == room {
                        books.heap.take_room(heap);
                        return Ok(image);
                    }
                    self.region.release(&heap);
                    self.region.release(&image);
                }
                let low = |room, floor| {
                    let whole = len.checked_add(room)?;
                    self.region.claim_low(self.gang.id(), whole, align, floor)
                };
                let floor = self.region.fixed_end();
                let place = low(room, floor).or_else(|| low(room, 0));
                let place = place.or_else(|| low(0, 0));
                let place = place.ok_or_else(|| self.no_room(books, len))?;
                let image = place.start..place.start + len;
                books.heap.take_room(image.end..place.end);
                Ok(image)
            }
            Placement::Stack => {
                let with_guard = len.checked_add(STACK_GUARD_BYTES).ok_or(Errno::ENOMEM)?;
                let place = self.region.claim_high(
                    self.gang.id(),
                    with_guard,
                    PAGE_SIZE,
                    self.region.range(),
                    Use::Memory,
                );
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

    /// Claims the place that is wished for if it is free and ends by `end`, else another that does.
    fn claim_near(
        &self,
        books: &Books,
        need: Need,
        wish: u64,
        end: u64,
    ) -> Result<Range<u64>, Errno> {
        let place = self.fixed(super::page_floor(wish), need.len).ok();
        let is_possible = |range: &Range<u64>| {
            wish != 0
                && range.end <= end
                && books.areas.is_free(range)
                && self.is_worth_having(range, need.purpose())
        };
        let claim = |range: &Range<u64>| self.claim(books, range, need.purpose());
        match place.filter(is_possible).filter(claim) {
            Some(range) => Ok(range),
            None => self.claim_mmap(books, need, PAGE_SIZE, end),
        }
    }

    fn no_room(&self, books: &Books, len: u64) -> Errno {
        self.report_shortage(books, Knob::UserSpace, len);
        Errno::ENOMEM
    }

    fn claim_mmap(
        &self,
        books: &Books,
        need: Need,
        align: u64,
        end: u64,
    ) -> Result<Range<u64>, Errno> {
        let (len, purpose) = (need.len, need.purpose());
        let align = align.max(PAGE_SIZE);
        let is_within = purpose == Use::Addresses || self.may_map(books, len);
        let claim = |within: &Range<u64>| {
            let within = within.start..within.end.min(end);
            (self.region).claim_high(self.gang.id(), len, align, &within, purpose)
        };
        let (all, backed) = (self.region.range(), self.region.backed());
        let place = if !is_within {
            None
        } else if let Some(left) = self.claim_left(need, align) {
            Some(left)
        } else if purpose == Use::Memory || !self.is_idle(len) {
            claim(backed).or_else(|| claim(all))
        } else {
            claim(&self.idle_range(len))
        };
        place.ok_or_else(|| {
            // A reservation is a question: allocators ask for a large one and do with less.
            if purpose == Use::Memory {
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

    fn claim_left(&self, need: Need, align: u64) -> Option<Range<u64>> {
        let (gang, purpose) = (self.gang.id(), need.purpose());
        (self.region).claim_left(gang, need.file?, need.len, align, purpose)
    }

    /// Whether so much may be mapped in addition.
    pub(super) fn may_map(&self, books: &Books, len: u64) -> bool {
        let sum = books.mmapped_bytes.checked_add(len);
        sum.is_some_and(|sum| sum <= self.layout.mmap_limit_bytes)
    }

    /// Whether a wish for these addresses is better granted than not. What is reserved is to be used
    /// one day: where there is memory, if it can be had there at all.
    fn is_worth_having(&self, range: &Range<u64>, purpose: Use) -> bool {
        let backed = self.region.backed();
        purpose == Use::Memory
            || (backed.start <= range.start && range.end <= backed.end)
            || self.is_idle(range.end - range.start)
    }

    /// Whether a reservation of so much is to stay away from where memory is: where not all addresses
    /// have some, nobody else could use it; where all have, there is no hurry to use the low ones.
    fn is_idle(&self, len: u64) -> bool {
        if self.region.backed() == self.region.range() {
            len > LARGE_BYTES
        } else {
            len > self.region.free_bytes() / 2
        }
    }

    /// Where such a reservation may go. It is empty if so much cannot be had.
    fn idle_range(&self, len: u64) -> Range<u64> {
        let (all, backed) = (self.region.range(), self.region.backed());
        let start = if backed == all { all.start } else { backed.end };
        if len <= LARGE_BYTES {
            return start..all.end;
        }
        let plenty = start.max(PLENTY_START)..all.end;
        // Others may want to reserve as much as they can, too.
        let is_fair = len <= VAST_BYTES || len <= self.region.longest_free(&plenty) / 2;
        if is_fair { plenty } else { 0..0 }
    }

    fn fixed(&self, address: u64, len: u64) -> Result<Range<u64>, Errno> {
        if super::page_floor(address) != address {
            return Err(Errno::EINVAL);
        }
        self.checked_range(address, len).map_err(|_| Errno::ENOMEM)
    }
}
