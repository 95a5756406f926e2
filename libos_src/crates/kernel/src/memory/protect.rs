//! `mprotect`.

use core::ops::Range;

use hal::{Errno, Prot};

use super::area::Purpose;
use super::shortage::Knob;
use super::space::{AddressSpace, Books};

impl AddressSpace {
    /// Changes what the program may do with a range, all of which is mapped (`ENOMEM` otherwise).
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
        if !books.areas.allows(&range, Prot::empty()) {
            return Err(Errno::ENOMEM);
        }
        if books
            .areas
            .overlapping(&range)
            .any(|(_, area)| matches!(area.purpose, Purpose::Stubs(_)))
        {
            return Err(Errno::EACCES);
        }
        if self.change(&mut books, &range, prot).is_err() {
            self.report_shortage(&books, Knob::UserSpace, range.end - range.start);
            return Err(Errno::ENOMEM);
        }
        self.patch_text(&mut books, &range, false);
        books.areas.join(&range);
        self.tell_code(&books, &range);
        Ok(())
    }

    pub(super) fn change(
        &self,
        books: &mut Books,
        range: &Range<u64>,
        prot: Prot,
    ) -> Result<(), hal::NoMemory> {
        for (_, area) in books.areas.isolate(range) {
            area.allow(prot);
            if let Some(pages) = area.shared() {
                pages.allow(prot)?;
            }
        }
        for run in books.committed.present(range) {
            self.set_prot(&run, prot)?;
        }
        self.settle(books, range)
    }
}
