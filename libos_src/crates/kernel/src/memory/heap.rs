//! `brk`.

use core::ops::Range;

use hal::Prot;

use super::area::{Area, Backing, Counted, OnFork, Purpose};
use super::region::Use;
use super::shortage::Knob;
use super::space::{AddressSpace, Books, Paging};

/// The `brk` heap: from `start` to `end`, which is where the program put it, not page aligned.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heap {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Addresses that are claimed for it.
    room: Range<u64>,
}

impl Heap {
    /// Keeps addresses for the heap, which are claimed already.
    pub(super) fn take_room(&mut self, room: Range<u64>) {
        self.room = room;
    }

    /// The addresses that are claimed for it.
    pub(super) const fn room(&self) -> &Range<u64> {
        &self.room
    }
}

impl AddressSpace {
    /// Puts the empty heap at `start`, the first page after the program's image.
    pub(crate) fn begin_heap(&self, start: u64) {
        let mut books = self.books.write();
        let mut room = books.heap.room.clone();
        if room.is_empty() || room.start != start {
            self.region.release(&room);
            room = (self.region).claim_up_to(self.gang.id(), start, self.heap_room());
        }
        let end = start;
        books.heap = Heap { start, end, room };
    }

    /// How much room the heap of a new program is given: all that it may use, unless addresses are
    /// memory and many programs have to share little of it.
    pub(super) fn heap_room(&self) -> u64 {
        if self.paging == Paging::OnDemand {
            return self.layout.heap_limit_bytes;
        }
        let share = super::page_floor(self.region.free_bytes() / 4);
        self.layout.heap_limit_bytes.min(share)
    }

    /// Moves the end of the heap if that is possible, and returns where it is now.
    pub(crate) fn set_heap_end(&self, wanted: u64) -> u64 {
        let mut books = self.books.write();
        let heap = books.heap.clone();
        if wanted < heap.start || wanted > self.layout.user.end {
            return heap.end;
        }
        let (Some(old), Some(new)) = (super::page_ceiling(heap.end), super::page_ceiling(wanted))
        else {
            return heap.end;
        };
        if new < old {
            self.discard(&mut books, &(new..old));
            self.region.uncharge(&(new..old));
        }
        if new > old && !self.grow_heap(&mut books, old, new) {
            return heap.end;
        }
        books.heap.end = wanted;
        wanted
    }

    fn grow_heap(&self, books: &mut Books, old: u64, new: u64) -> bool {
        let range: Range<u64> = old..new;
        if new - books.heap.start > self.layout.heap_limit_bytes {
            self.report_shortage(books, Knob::Heap, new - old);
            return false;
        }
        if new > books.heap.room.end {
            self.report_shortage(books, Knob::UserSpace, new - old);
            return false;
        }
        if !books.areas.is_free(&range) {
            return false;
        }
        if !self.claim(books, &range, Use::Memory) {
            self.report_shortage(books, Knob::UserSpace, new - old);
            return false;
        }
        let area = Area {
            end: new,
            prot: Prot::READ | Prot::WRITE,
            backing: Backing::Zero,
            purpose: Purpose::Heap,
            counted: Counted::Whole,
            on_fork: OnFork::COPY,
            most: Prot::all(),
            is_locked: books.locks_all,
            grows_down: false,
            attachment: None,
        };
        books.put(old, area);
        if self.clear_way(&range).is_err() || self.settle(books, &range).is_err() {
            self.discard(books, &range);
            self.report_shortage(books, Knob::UserSpace, new - old);
            return false;
        }
        books.areas.join(&range);
        true
    }
}
