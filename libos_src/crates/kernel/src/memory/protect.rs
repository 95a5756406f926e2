//! `mprotect`.

use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, Prot};

use super::area::{Area, Counted, Purpose};
use super::share::Rights;
use super::shortage::Knob;
use super::space::{AddressSpace, Books};
use crate::syscalls::room;

/// What is noted of an area whose protection changes, while it does.
const AREA_NOTE_BYTES: usize = 64;

impl AddressSpace {
    /// Changes what the program may do with a range; if a part is not mapped (`ENOMEM`) or cannot have such
    /// rights (`EACCES`), with what is before it.
    pub(crate) fn protect(&self, address: u64, len: u64, prot: Prot) -> Result<(), Errno> {
        if super::page_floor(address) != address {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let range = self
            .checked_range(address, len)
            .map_err(|_| Errno::ENOMEM)?;
        let mut books = self.books.write();
        let mapped = range.start..books.areas.first_gap(&range);
        let is_refused = |(_, area): &(u64, &Area)| {
            matches!(area.purpose, Purpose::Stubs(_)) || !area.most.contains(prot)
        };
        let refused = books.areas.overlapping(&mapped).find(is_refused);
        let refused = refused.map(|(start, _)| start.max(range.start));
        let changed = range.start..refused.unwrap_or(mapped.end);
        if !changed.is_empty() {
            self.protect_allowed(&mut books, &changed, prot)?;
        }
        match refused {
            Some(_) => Err(Errno::EACCES),
            None if mapped.end < range.end => Err(Errno::ENOMEM),
            None => Ok(()),
        }
    }

    fn protect_allowed(
        &self,
        books: &mut Books,
        range: &Range<u64>,
        prot: Prot,
    ) -> Result<(), Errno> {
        let stubs = usize::from(prot.contains(Prot::EXEC));
        self.check_areas(books, books.areas.cuts(range) + stubs)?;
        let noted = books.areas.overlapping(range).count() * AREA_NOTE_BYTES;
        room::check_for(self.machine, noted)?;
        self.count_accessible(books, range, prot)?;
        if self.change(books, range, prot).is_err() {
            self.report_shortage(books, Knob::UserSpace, range.end - range.start);
            return Err(Errno::ENOMEM);
        }
        self.patch_text(books, range, false);
        books.areas.join(range);
        self.tell_code(books, range);
        Ok(())
    }

    /// Counts the reservations of a range as memory, which they are to become.
    fn count_accessible(
        &self,
        books: &mut Books,
        range: &Range<u64>,
        prot: Prot,
    ) -> Result<(), Errno> {
        if prot.is_empty() {
            return Ok(());
        }
        let reserved = books.areas.overlapping(range);
        let reserved = reserved.filter(|(_, area)| area.counted == Counted::Nothing);
        let parts = reserved.map(|(start, area)| {
            let limited = area.purpose == Purpose::Program;
            (start.max(range.start)..area.end.min(range.end), limited)
        });
        let parts: Vec<(Range<u64>, bool)> = parts.collect();
        let len = |range: &Range<u64>| range.end - range.start;
        let limited = parts.iter().filter(|(_, is_limited)| *is_limited);
        let limited: u64 = limited.map(|(part, _)| len(part)).sum();
        if limited != 0 && !self.may_map(books, limited) {
            self.report_shortage(books, Knob::Mmap, limited);
            return Err(Errno::ENOMEM);
        }
        for (index, (part, _)) in parts.iter().enumerate() {
            if self.region.charge(part) {
                continue;
            }
            for (done, _) in &parts[..index] {
                self.region.uncharge(done);
            }
            if part.end > self.region.backed().end {
                self.report_idle_reservation(
                    books
                        .areas
                        .find(part.start)
                        .map_or(0, |(start, area)| area.end - start),
                );
            } else {
                self.report_shortage(books, Knob::UserSpace, len(part));
            }
            return Err(Errno::ENOMEM);
        }
        books.mmapped_bytes += limited;
        for (part, _) in parts {
            for (_, area) in books.areas.isolate(&part) {
                area.counted = Counted::Whole;
            }
        }
        Ok(())
    }

    pub(super) fn change(
        &self,
        books: &mut Books,
        range: &Range<u64>,
        prot: Prot,
    ) -> Result<(), hal::NoMemory> {
        let mut shared = Vec::new();
        for (start, area) in books.areas.isolate(range) {
            area.allow(prot);
            if let Some(place) = area.shared() {
                let part = start..area.end;
                let most = area.most;
                let rights = Some(Rights { prot, most });
                place.pages().allow(place, self.id(), &part, rights)?;
                shared.push((place.clone(), part));
            }
        }
        for (place, part) in shared {
            self.divide_rights(books, &place, &part);
        }
        for run in books.committed.present(range) {
            self.set_prot(&run, prot)?;
        }
        self.settle(books, range)
    }
}
