//! A second address space with the same content at the same addresses.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, Prot};

use super::area::OnFork;
use super::pages::PageSet;
use super::region::Use;
use super::share::Rights;
use super::shortage::Knob;
use super::space::{AddressSpace, Books};
use super::transfer::other_than_zeros;
use crate::syscalls::room;
use crate::threads::Thread;

impl AddressSpace {
    /// Makes a copy, which is resident when this returns, with `thread` holding it. The calling
    /// thread must be the only one that runs here, and loses the memory.
    ///
    /// # Errors
    /// `ENOMEM` when there is no room to keep two copies of what may be written.
    pub(crate) fn fork(&self, thread: &Arc<Thread>) -> Result<Arc<Self>, Errno> {
        let books = self.books.write();
        room::check_for(self.machine, books.twin_bytes())?;
        let (writable, zeros) = self.writable_runs(&books);
        let bytes: u64 = writable.iter().map(|run| run.end - run.start).sum();
        let no_memory = |_| {
            self.report_shortage(&books, Knob::UserSpace, bytes);
            Errno::ENOMEM
        };
        let mut kept: Vec<Vec<Range<u64>>> = Vec::new();
        for run in &writable {
            match self.store.take(run.end - run.start) {
                Ok(taken) => kept.push(taken),
                Err(error) => {
                    kept.iter().flatten().for_each(|run| self.store.give(run));
                    return Err(no_memory(error));
                }
            }
        }
        let child = self.sibling(books.twin());
        // What has memory is counted already, and the store's pages are the room for the other copy.
        let claim = |range: &Range<u64>| {
            (self.region).claim_fixed(self.gang.id(), range, Use::Addresses);
        };
        for (start, area) in books.areas.iter() {
            let range = start..area.end;
            match area.shared() {
                // What the child may do the parent may, so that nothing changes.
                Some(place) => {
                    let (prot, most) = (area.prot, area.most);
                    let rights = Some(Rights { prot, most });
                    let _ = place.pages().allow(place, child.id(), &range, rights);
                }
                // All of it is this gang's already.
                None => claim(&range),
            }
        }
        claim(books.heap.room());
        for range in &books.reserved {
            claim(range);
        }
        let ids = [self.id(), child.id()];
        let split = self
            .gang
            .split(ids, &books.committed, &writable, &kept, zeros, thread);
        if let Err(error) = split {
            kept.iter().flatten().for_each(|run| self.store.give(run));
            // The copy is dropped: it has claims and nothing else.
            child.books.write().committed = PageSet::default();
            return Err(no_memory(error));
        }
        let mut books = child.books.write();
        // It has what its parent has, so nothing moves.
        let _ = child.take_turn(&books);
        child.leave_out(&mut books);
        books.unlock_all();
        drop(books);
        Ok(child)
    }

    /// Takes away what the parent said that its children are not to have.
    fn leave_out(&self, books: &mut Books) {
        let areas = books.areas.iter();
        let special = areas.filter(|(_, area)| area.on_fork != OnFork::COPY);
        let special: Vec<(Range<u64>, OnFork)> = special
            .map(|(start, area)| (start..area.end, area.on_fork))
            .collect();
        for (range, on_fork) in special {
            if on_fork.leaves {
                self.discard(books, &range);
            } else {
                self.release_pages(books, &range);
                // The child gets the pages that the parent's copy just gave room for; if even
                // so there is none, a touch says it.
                let _ = self.settle(books, &range);
            }
        }
    }

    /// The pages that both would see change, as they may be written and are private: those that have
    /// something in them, and those of zeros, of which no copy is needed.
    fn writable_runs(&self, books: &Books) -> (Vec<Range<u64>>, PageSet) {
        let mut runs = Vec::new();
        let mut zeros = PageSet::default();
        for (start, area) in books.areas.iter() {
            if !area.prot.contains(Prot::WRITE) {
                continue;
            }
            for present in books.committed.present(&(start..area.end)) {
                let mut at = present.start;
                for run in other_than_zeros(self.machine, &present) {
                    zeros.insert(&(at..run.start));
                    at = run.end;
                    runs.push(run);
                }
                zeros.insert(&(at..present.end));
            }
        }
        (runs, zeros)
    }
}
