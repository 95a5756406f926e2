//! Stacks that a program makes itself, and that grow as they are used (`MAP_GROWSDOWN`).

use hal::{Errno, PAGE_SIZE};

use super::area::Purpose;
use super::map::Need;
use super::space::{AddressSpace, Books};

/// How far a stack stays away from what is below it, as on Linux (`stack_guard_gap`).
const GAP_BYTES: u64 = 256 * PAGE_SIZE;

impl AddressSpace {
    /// A range and all below it of the stack that it is in: where that begins, and how long both are.
    /// No stack grows up.
    ///
    /// # Errors
    /// `ENOMEM` where nothing is mapped, `EINVAL` where something else is, or `grows_down` is false.
    pub(crate) fn stack_down_from(
        &self,
        address: u64,
        len: u64,
        grows_down: bool,
    ) -> Result<(u64, u64), Errno> {
        if super::page_floor(address) != address {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok((address, 0));
        }
        let range = self
            .checked_range(address, len)
            .map_err(|_| Errno::ENOMEM)?;
        let books = self.books.read();
        let first = books.areas.overlapping(&range).next();
        let (start, area) = first.ok_or(Errno::ENOMEM)?;
        if !grows_down && start > address {
            return Err(Errno::ENOMEM);
        }
        if !grows_down || !(area.grows_down || area.purpose == Purpose::Stack) {
            return Err(Errno::EINVAL);
        }
        Ok((start, range.end - start))
    }

    /// Makes the area above `address`, where nothing is mapped, reach down to it; whether that could
    /// be. It does not become larger than the first thread's stack.
    pub(super) fn grow_down(&self, books: &mut Books, address: u64) -> bool {
        let page = super::page_floor(address);
        let [above, below] = books.areas.neighbours(page);
        let Some((start, area)) = above.filter(|(_, area)| area.grows_down) else {
            return false;
        };
        let is_apart = below.is_none_or(|(_, below)| {
            let is_guard = below.grows_down || below.prot.is_empty();
            is_guard || page - below.end >= GAP_BYTES
        });
        let is_within = area.end - page <= self.layout().stack_bytes;
        if !is_apart || !is_within || page < self.layout().user.start {
            return false;
        }
        let mut grown = area.clone();
        grown.end = start;
        let (range, need) = (
            page..start,
            Need {
                len: start - page,
                counted: grown.counted,
                file: None,
            },
        );
        if !self.claim_more(books, &range, need) {
            return false;
        }
        books.put(page, grown);
        if self.settle(books, &range).is_err() {
            self.discard(books, &range);
            return false;
        }
        books.areas.join(&range);
        true
    }
}
