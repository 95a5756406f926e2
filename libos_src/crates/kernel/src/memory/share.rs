//! Mapping memory that others map, too.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, Prot};

use super::area::{Area, Backing, Counted, OnFork, Purpose};
use super::place::Place;
use super::remap::Remapping;
use super::shared::{FilePart, SharedPages, Wanted};
use super::shortage::Knob;
use super::space::{AddressSpace, Books};

/// What a program may do with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Now.
    pub(crate) prot: Prot,
    /// The most that it may ever ask for.
    pub(crate) most: Prot,
}

/// What a mapping is to share.
pub(crate) enum SharedMapping {
    /// Zeros, with children.
    Anonymous,
    /// Part of a file, with everybody.
    File(FilePart),
    /// Pages that are there, from the first one on: a segment that is attached.
    Pages(Arc<SharedPages>),
}

impl AddressSpace {
    /// Maps `len` bytes of shared memory, and returns the address: `fixed`, or anywhere.
    ///
    /// # Errors
    /// `ENOMEM` when there is no room, or another process has something at `fixed`.
    pub(crate) fn map_shared(
        &self,
        mapping: SharedMapping,
        len: u64,
        rights: Rights,
        fixed: Option<u64>,
    ) -> Result<u64, Errno> {
        let len = super::page_ceiling(len).ok_or(Errno::ENOMEM)?;
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let mut books = self.books.write();
        self.check_areas(&books, 3)?;
        if let Some(address) = fixed {
            let range = self.checked_range(address, len)?;
            self.check_no_stubs(&books, &range)?;
            self.discard(&mut books, &range);
        }
        let mapped = match mapping {
            SharedMapping::Anonymous => {
                let place = self.find_place(&books, (0, len), fixed, |wanted| {
                    let turn = wanted.is_in_turn.then_some(wanted.turn);
                    self.shared.anonymous(len, fixed, turn)
                });
                place.and_then(|place| self.show(&mut books, &place, 0, len, rights))
            }
            SharedMapping::File(FilePart { file, offset }) => {
                let place = self.find_place(&books, (offset, len), fixed, |wanted| {
                    self.shared.of_file(file.clone(), wanted)
                });
                place.and_then(|place| self.show(&mut books, &place, offset, len, rights))
            }
            SharedMapping::Pages(pages) => {
                let attachment = Some(self.shared.next_attachment());
                let attached = self.again(&mut books, &pages, 0, len, rights, fixed);
                attached.inspect(|start| books.attach(&(*start..start + len), attachment))
            }
        };
        mapped.inspect_err(|errno| {
            if *errno == Errno::ENOMEM {
                self.report_shortage(&books, Knob::UserSpace, len);
            }
        })
    }

    /// Whether nothing is mapped in a range.
    ///
    /// # Errors
    /// `EINVAL` for what can be no mapping.
    pub(crate) fn is_free(&self, address: u64, len: u64) -> Result<bool, Errno> {
        let range = self.checked_range(address, len)?;
        Ok(self.books.read().areas.is_free(&range))
    }

    /// Maps pages that are there once more.
    fn again(
        &self,
        books: &mut Books,
        pages: &Arc<SharedPages>,
        offset: u64,
        len: u64,
        rights: Rights,
        fixed: Option<u64>,
    ) -> Result<u64, Errno> {
        let place = self.find_place(books, (offset, len), fixed, |wanted| pages.place(wanted))?;
        self.show(books, &place, offset, len, rights)
    }

    /// Has a place found for what `books` has nothing of yet at its addresses; or one that is the
    /// gang's, where others of it have something.
    fn find_place(
        &self,
        books: &Books,
        (offset, len): (u64, u64),
        fixed: Option<u64>,
        find: impl Fn(&Wanted<'_>) -> Result<Arc<Place>, Errno>,
    ) -> Result<Arc<Place>, Errno> {
        let is_free = |range: &Range<u64>| books.areas.is_free(range);
        let mut wanted = Wanted {
            offset,
            len,
            fixed,
            is_free: &is_free,
            turn: self.turn(),
            is_in_turn: false,
        };
        let found = self.store.or_shrunk(|| find(&wanted));
        let (Err(Errno::ENOMEM), Some(start)) = (&found, fixed) else {
            return found;
        };
        let range = start..start + len;
        if !self.contend(books, &range) || self.gang().evict_others(self.id(), &range).is_err() {
            return found;
        }
        wanted.is_in_turn = true;
        let place = find(&wanted)?;
        self.gang().add_turn(&place);
        Ok(place)
    }

    /// Puts an area over a part of a place, where nothing is mapped.
    fn show(
        &self,
        books: &mut Books,
        place: &Arc<Place>,
        offset: u64,
        len: u64,
        rights: Rights,
    ) -> Result<u64, Errno> {
        let Rights { prot, most } = rights;
        let start = place.start() + (offset - place.offset_of(place.start()));
        let range = start..start + len;
        let area = Area {
            end: range.end,
            prot,
            backing: Backing::Shared(place.clone()),
            purpose: Purpose::Program,
            counted: Counted::Whole,
            on_fork: OnFork::COPY,
            most,
            is_locked: books.locks_all,
            grows_down: false,
            attachment: None,
        };
        books.put(range.start, area);
        let pages = place.pages();
        let cleared = if pages.is_in_turn(place) {
            self.gang().evict_others(self.id(), &range)
        } else {
            Ok(())
        };
        let allowed = cleared.and_then(|()| pages.allow(place, self.id(), &range, Some(rights)));
        if allowed.is_ok() {
            self.divide_rights(books, place, &range);
        }
        let shown = allowed.and_then(|()| self.settle(books, &range));
        // It may have become another gang's since it was found.
        if shown.is_err() || !pages.is_open_to(place, self.gang().id()) {
            self.discard(books, &range);
            return Err(Errno::ENOMEM);
        }
        books.areas.join(&range);
        Ok(start)
    }

    /// Shows the part from `offset` on of the shared pages that are mapped in a range there.
    ///
    /// # Errors
    /// `EINVAL` if the range is no shared mapping.
    pub(crate) fn show_other_part(&self, range: &Range<u64>, offset: u64) -> Result<(), Errno> {
        let mut books = self.books.write();
        let (_, area) = books.areas.find(range.start).ok_or(Errno::EINVAL)?;
        let place = area.shared().filter(|_| range.end <= area.end);
        let place = place.ok_or(Errno::EINVAL)?;
        let pages = place.pages().clone();
        let Area {
            prot,
            most,
            attachment,
            ..
        } = *area;
        // What no address shows any more can be shown again.
        pages.keep(place, range).map_err(|_| Errno::ENOMEM)?;
        self.discard(&mut books, range);
        let (len, fixed) = (range.end - range.start, Some(range.start));
        self.again(
            &mut books,
            &pages,
            offset,
            len,
            Rights { prot, most },
            fixed,
        )?;
        books.attach(range, attachment);
        Ok(())
    }

    /// Unmaps the segment whose first page is at `address`, or was: what there is of it behind, with that
    /// distance. Returns its pages.
    pub(crate) fn detach(&self, address: u64) -> Option<Arc<SharedPages>> {
        let mut books = self.books.write();
        let all = address..u64::MAX;
        let behind = books.areas.overlapping(&all);
        let segments = behind.filter_map(|(start, area)| {
            let place = area.shared()?;
            let distance = start.checked_sub(address)?;
            let is_part = area.attachment.is_some() && distance == place.offset_of(start);
            is_part.then(|| (start..area.end, place.pages(), area.attachment))
        });
        let mut segments = segments.filter(|(_, pages, _)| pages.is_segment());
        let (first, pages, attachment) = segments.next()?;
        let pages = pages.clone();
        let rest = segments.filter(|(_, _, other)| *other == attachment);
        let parts: Vec<Range<u64>> = [first].into_iter().chain(rest.map(|it| it.0)).collect();
        let end = address.saturating_add(pages.len());
        for part in parts.iter().filter(|part| part.start < end) {
            self.discard(&mut books, &(part.start..part.end.min(end)));
        }
        Some(pages)
    }

    /// The segments of System V of which there is something in a range, each once: there are few of them,
    /// but each may be attached at many places.
    pub(crate) fn segments_in(&self, range: &Range<u64>) -> Vec<Arc<SharedPages>> {
        let books = self.books.read();
        if !books.has_shared {
            return Vec::new();
        }
        let shared = (books.areas.overlapping(range)).filter_map(|(_, area)| area.shared());
        let pages = shared.map(|place| place.pages());
        let mut distinct = BTreeMap::new();
        for segment in pages.filter(|pages| pages.is_segment()) {
            distinct.insert(Arc::as_ptr(segment), segment.clone());
        }
        distinct.into_values().collect()
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
            if let Some(place) = area.shared() {
                let first = place.offset_of(start.max(range.start));
                let last = place.offset_of(area.end.min(range.end));
                place.pages().write_back(&(first..last));
            }
        }
        if books.areas.allows(&range, Prot::empty()) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    /// Resizes, moves or doubles a shared mapping.
    pub(super) fn remap_shared(
        &self,
        books: &mut Books,
        old: &Range<u64>,
        new_len: u64,
        remapping: Remapping,
        keeps_old: bool,
    ) -> Result<u64, Errno> {
        let (_, area) = books.areas.find(old.start).ok_or(Errno::EFAULT)?;
        let (prot, most) = (area.prot, area.most);
        let (on_fork, is_locked, attachment) = (area.on_fork, area.is_locked, area.attachment);
        let place = area.shared().filter(|_| area.end >= old.end).cloned();
        let place = place.ok_or(Errno::EFAULT)?;
        let rights = Rights { prot, most };
        let keep = |books: &mut Books, range: &Range<u64>| {
            for (_, area) in books.areas.isolate(range) {
                (area.on_fork, area.is_locked) = (on_fork, is_locked);
                area.attachment = attachment;
            }
            books.areas.join(range);
        };
        let ends_here = area.end == old.end && !old.is_empty();
        let grown = old.start..old.start.checked_add(new_len).ok_or(Errno::ENOMEM)?;
        let can_stay = matches!(remapping, Remapping::InPlace | Remapping::MayMove) && ends_here;
        let more = old.end..grown.end;
        let reach = || place.pages().reach(&place, &grown).is_ok();
        let reaches = || reach() || self.contend(books, &grown) && reach();
        if can_stay && books.areas.is_free(&more) && reaches() {
            let offset = place.offset_of(more.start);
            self.show(books, &place, offset, more.end - more.start, rights)?;
            keep(books, &more);
            return Ok(old.start);
        }
        let fixed = match remapping {
            Remapping::InPlace => return Err(Errno::ENOMEM),
            Remapping::To(target) => {
                self.discard(books, &(target..target + new_len));
                Some(target)
            }
            Remapping::MayMove | Remapping::Away => None,
        };
        let offset = place.offset_of(old.start);
        let moved = self.again(books, place.pages(), offset, new_len, rights, fixed)?;
        keep(books, &(moved..moved + new_len));
        if !keeps_old {
            self.discard(books, old);
        }
        Ok(moved)
    }
}

impl Books {
    /// Notes which attachment of a segment a range is a part of.
    fn attach(&mut self, range: &Range<u64>, attachment: Option<u64>) {
        for (_, area) in self.areas.isolate(range) {
            area.attachment = attachment;
        }
        self.areas.join(range);
    }
}
