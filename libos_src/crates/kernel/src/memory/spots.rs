//! All places of the same shared pages, and which pages are at which.

use alloc::vec::Vec;
use core::ops::Range;

use hal::{Machine, PAGE_SIZE, Prot};

use super::place::{Place, Spot};

/// What changes of shared pages.
pub(super) struct State {
    /// By their numbers, which ascend.
    pub(super) spots: Vec<Spot>,
    pub(super) next_number: u64,
    /// Whether any mapping ever could be written to.
    pub(super) may_differ: bool,
    /// What of the file is being written through descriptors.
    pub(super) writes: Vec<Range<u64>>,
}

impl State {
    /// A place, and where it is among them.
    pub(super) fn find(&mut self, number: u64) -> Option<(usize, &mut Spot)> {
        let found = self.spots.binary_search_by_key(&number, Spot::number);
        let index = found.ok()?;
        Some((index, self.spots.get_mut(index)?))
    }

    /// Whether some of what a place shows is at other places, too.
    pub(super) fn is_elsewhere(&self, index: usize) -> bool {
        let mut spots = self.spots.iter().enumerate();
        let spot = &self.spots[index];
        spots.any(|(at, other)| at != index && spot.overlaps(other))
    }

    /// Whether all pages of a range are at a place.
    pub(super) fn has(&mut self, place: &Place, range: &Range<u64>) -> bool {
        self.find(place.number())
            .is_some_and(|(_, spot)| spot.held.contains(range))
    }

    /// The pages of a range of a place that are at no place, as the longest runs.
    pub(super) fn missing(&self, index: usize, range: &Range<u64>) -> Vec<Range<u64>> {
        let spot = &self.spots[index];
        let mut there = spot.held.clone();
        for (at, other) in self.spots.iter().enumerate() {
            if at == index || !other.overlaps(spot) {
                continue;
            }
            let theirs = other.addresses(&spot.bytes_of(range));
            for run in other.held.present(&theirs) {
                there.insert(&spot.addresses(&other.bytes_of(&run)));
            }
        }
        there.missing(range)
    }

    /// Where a page is. It is only there if it is to be written to.
    pub(super) fn locate(
        &mut self,
        offset: u64,
        access: Prot,
        machine: &dyn Machine,
    ) -> Option<u64> {
        let holders = self.holders(usize::MAX, offset);
        let &(index, page) = holders.first()?;
        if holders.len() > 1 && access.contains(Prot::WRITE) {
            self.take_from_others(machine, index, &(page..page + PAGE_SIZE));
            machine.settle();
        }
        Some(page)
    }

    /// The other places where a page is, and its addresses there.
    pub(super) fn holders(&self, index: usize, offset: u64) -> Vec<(usize, u64)> {
        let spots = self.spots.iter().enumerate();
        let others = spots.filter(|(at, _)| *at != index);
        let held = others.filter_map(|(at, spot)| {
            let page = spot.addresses(&(offset..offset + PAGE_SIZE));
            (!page.is_empty() && spot.held.contains(&page)).then_some((at, page.start))
        });
        held.collect()
    }

    /// Takes the pages of a range of one place from all others.
    pub(super) fn take_from_others(
        &mut self,
        machine: &dyn Machine,
        index: usize,
        range: &Range<u64>,
    ) {
        let spot = &self.spots[index];
        let bytes = spot.offset_of(range.start)..spot.offset_of(range.end);
        for (at, other) in self.spots.iter_mut().enumerate() {
            if at == index {
                continue;
            }
            let theirs = other.addresses(&bytes);
            for run in other.held.present(&theirs) {
                machine.decommit(run.start, run.end - run.start);
            }
            other.held.remove(&theirs);
        }
    }

    /// The parts of some bytes that nobody writes to through a descriptor now.
    pub(super) fn unwritten(&self, bytes: &Range<u64>) -> Vec<Range<u64>> {
        let mut parts = Vec::from([bytes.clone()]);
        for write in &self.writes {
            let without = |part: Range<u64>| {
                let before = part.start..part.end.min(write.start);
                let after = part.start.max(write.end)..part.end;
                [before, after].into_iter().filter(|part| !part.is_empty())
            };
            parts = parts.into_iter().flat_map(without).collect();
        }
        parts
    }
}
