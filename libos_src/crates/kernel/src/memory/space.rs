//! One address space.

use core::ops::Range;

use hal::{Errno, Machine};
use locks::RwLock;

use super::Layout;
use super::area::{Area, Areas};
use super::heap::Heap;
use super::pages::PageSet;
use super::patch::Patches;
use super::shortage::Shortages;

/// The memory of a process.
///
/// `Books` says what every address is; the machine holds the bytes. Every change goes through a
/// method here, which keeps the two in step under one lock.
pub(crate) struct AddressSpace {
    pub(super) machine: &'static dyn Machine,
    pub(super) layout: Layout,
    pub(super) paging: Paging,
    pub(super) books: RwLock<Books>,
    pub(super) shortages: Shortages,
}

/// When pages get memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    /// When they become accessible. Without EDMM no access faults, so nothing can be put off.
    Eager,
    /// When they are first touched.
    OnDemand,
}

/// What is where.
pub(super) struct Books {
    pub(super) areas: Areas,
    pub(super) committed: PageSet,
    pub(super) heap: Heap,
    pub(super) patches: Patches,
}

impl AddressSpace {
    /// An empty address space.
    pub(crate) fn new(machine: &'static dyn Machine, layout: Layout, paging: Paging) -> Self {
        let books = Books {
            areas: Areas::default(),
            committed: PageSet::new(layout.user.clone()),
            heap: Heap::default(),
            patches: Patches::default(),
        };
        Self {
            machine,
            layout,
            paging,
            books: RwLock::new(books),
            shortages: Shortages::default(),
        }
    }

    /// Where things go.
    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Unmaps every page of a range; what is not mapped there stays so.
    pub(crate) fn unmap(&self, address: u64, len: u64) -> Result<(), Errno> {
        let range = self.checked_range(address, len)?;
        self.discard(&mut self.books.write(), &range);
        Ok(())
    }

    /// The page-aligned range of a call: `EINVAL` unless it starts on a page, has a length and lies
    /// in the user region.
    pub(super) fn checked_range(&self, address: u64, len: u64) -> Result<Range<u64>, Errno> {
        let len = super::page_ceiling(len)
            .filter(|&len| len != 0)
            .ok_or(Errno::EINVAL)?;
        let end = address.checked_add(len).ok_or(Errno::EINVAL)?;
        let user = &self.layout.user;
        let inside = user.start <= address && end <= user.end;
        if !inside || super::page_floor(address) != address {
            return Err(Errno::EINVAL);
        }
        Ok(address..end)
    }

    /// Takes a range out of the books and gives its pages back.
    pub(super) fn discard(&self, books: &mut Books, range: &Range<u64>) {
        books.areas.remove(range);
        self.release_pages(books, range);
        for stubs in books.patches.orphans(range, &books.areas) {
            books.areas.remove(&stubs);
            self.release_pages(books, &stubs);
        }
    }

    /// Gives the pages of a range back to the machine.
    pub(super) fn release_pages(&self, books: &mut Books, range: &Range<u64>) {
        for run in books.committed.present(range) {
            self.machine.decommit(run.start, run.end - run.start);
        }
        books.committed.remove(range);
    }

    /// Runs `look` on the area that holds `address`.
    pub(crate) fn with_area<T>(
        &self,
        address: u64,
        look: impl FnOnce(u64, &Area) -> T,
    ) -> Option<T> {
        let books = self.books.read();
        books
            .areas
            .find(address)
            .map(|(start, area)| look(start, area))
    }
}
