//! Memory that a program wants to stay in memory: all that is there does, so this is about what counts.

use core::ops::Range;

use hal::{Errno, Prot};

use super::space::{AddressSpace, Books};

impl AddressSpace {
    /// Bytes that are locked, and those of them in a range.
    pub(crate) fn locked_bytes(&self, range: &Range<u64>) -> (u64, u64) {
        let books = self.books.read();
        let locked = books.areas.iter().filter(|(_, area)| area.is_locked);
        locked.fold((0, 0), |(all, inside), (start, area)| {
            let part = start.max(range.start)..area.end.min(range.end);
            let len = part.end.saturating_sub(part.start);
            (all + (area.end - start), inside + len)
        })
    }

    /// Whether what is mapped from now on is locked.
    pub(crate) fn locks_all(&self) -> bool {
        self.books.read().locks_all
    }

    /// Locks a range, or does so no more; backs it unless that `waits` for a touch.
    ///
    /// # Errors
    /// `ENOMEM` if part of it is not mapped, or must not be touched; what is before that is locked.
    pub(crate) fn set_locked(
        &self,
        range: &Range<u64>,
        is_locked: bool,
        waits: bool,
    ) -> Result<(), Errno> {
        let user = &self.layout().user;
        if range.start < user.start || user.end < range.end {
            return Err(Errno::ENOMEM);
        }
        let mut books = self.books.write();
        for (_, area) in books.areas.isolate(range) {
            area.is_locked = is_locked;
        }
        books.areas.join(range);
        if !books.areas.allows(range, Prot::empty()) {
            return Err(Errno::ENOMEM);
        }
        if is_locked && !waits {
            self.populate(&mut books, range)
                .map_err(|_| Errno::EAGAIN)?;
            let mut areas = books.areas.overlapping(range);
            if areas.any(|(_, area)| area.prot.is_empty()) {
                return Err(Errno::ENOMEM);
            }
        }
        Ok(())
    }

    /// Locks all that is mapped (`current`), and all that will be (`future`).
    pub(crate) fn lock_all(&self, current: bool, future: bool, waits: bool) {
        let mut books = self.books.write();
        books.locks_all = future;
        if !current {
            return;
        }
        let all = self.layout().user.clone();
        for (_, area) in books.areas.isolate(&all) {
            area.is_locked = true;
        }
        if !waits {
            // As on Linux, what cannot be had now is looked for again when it is touched.
            let _ = self.populate(&mut books, &all);
        }
    }

    /// Locks nothing any more.
    pub(crate) fn unlock_all(&self) {
        self.books.write().unlock_all();
    }
}

impl Books {
    pub(super) fn unlock_all(&mut self) {
        self.locks_all = false;
        if self.areas.iter().any(|(_, area)| area.is_locked) {
            for (_, area) in self.areas.isolate(&(0..super::page_floor(u64::MAX))) {
                area.is_locked = false;
            }
        }
    }
}
