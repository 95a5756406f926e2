//! All places of the same shared pages, and which pages are at which.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use hal::{Machine, PAGE_SIZE, Prot};

use super::pages::PageSet;
use super::place::{Place, Spot};

/// The number of no place.
const NO_PLACE: u64 = 0;

/// What changes of shared pages.
#[derive(Default)]
pub(super) struct State {
    /// By their numbers.
    spots: BTreeMap<u64, Spot>,
    /// Where each begins in the pages, and its number.
    starts: BTreeSet<(u64, u64)>,
    /// No place shows more bytes than that.
    longest_bytes: u64,
    next_number: u64,
    /// Whether any mapping ever could be written to.
    pub(super) may_differ: bool,
    /// What of the file is being written through descriptors.
    pub(super) writes: Vec<Range<u64>>,
}

impl State {
    /// A number that no other place of the pages ever has.
    pub(super) const fn new_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Adds a place.
    pub(super) fn add(&mut self, spot: Spot) {
        self.note(&spot);
        self.spots.insert(spot.number(), spot);
    }

    /// A place is no more.
    pub(super) fn remove(&mut self, number: u64) {
        if let Some(spot) = self.spots.remove(&number) {
            self.starts.remove(&(spot.shown().start, number));
        }
        if self.spots.is_empty() {
            self.longest_bytes = 0;
        }
    }

    /// A place shows the addresses up to `end` from now on, if it did not.
    pub(super) fn reach(&mut self, number: u64, end: u64) {
        let Some(spot) = self.spots.get_mut(&number) else {
            return;
        };
        spot.end = spot.end.max(end);
        let shown = spot.shown();
        self.longest_bytes = self.longest_bytes.max(shown.end - shown.start);
    }

    fn note(&mut self, spot: &Spot) {
        let shown = spot.shown();
        self.longest_bytes = self.longest_bytes.max(shown.end - shown.start);
        self.starts.insert((shown.start, spot.number()));
    }

    /// A place.
    pub(super) fn spot(&self, number: u64) -> Option<&Spot> {
        self.spots.get(&number)
    }

    /// A place, to be changed; what it shows stays.
    pub(super) fn spot_mut(&mut self, number: u64) -> Option<&mut Spot> {
        self.spots.get_mut(&number)
    }

    /// Whether a place is a gang's and it is the turn of this member.
    pub(super) fn is_turn_of(&self, number: u64, member: u64) -> bool {
        let turn = self.spot(number).and_then(|spot| spot.turn);
        turn.is_some_and(|turn| turn.resident == member)
    }

    /// All places, by their numbers.
    pub(super) fn spots(&self) -> impl Iterator<Item = &Spot> {
        self.spots.values()
    }

    /// The places that show some of these bytes, by their numbers.
    pub(super) fn showing(&self, bytes: &Range<u64>) -> Vec<&Spot> {
        if bytes.is_empty() {
            return Vec::new();
        }
        let first = bytes.start.saturating_sub(self.longest_bytes);
        let near = self.starts.range((first, 0)..(bytes.end, 0));
        let near = near.filter_map(|(_, number)| self.spots.get(number));
        let mut found: Vec<&Spot> = near.filter(|spot| spot.shows(bytes)).collect();
        found.sort_unstable_by_key(|spot| spot.number());
        found
    }

    /// Whether some of what a place shows is at other places, too.
    pub(super) fn is_elsewhere(&self, number: u64) -> bool {
        let Some(spot) = self.spot(number) else {
            return false;
        };
        let others = self.showing(&spot.shown());
        others.iter().any(|other| other.number() != number)
    }

    /// Whether all pages of a range are at a place.
    pub(super) fn has(&self, place: &Place, range: &Range<u64>) -> bool {
        self.spot(place.number())
            .is_some_and(|spot| spot.held.contains(range))
    }

    /// The pages of a range of a place that are at no place, as the longest runs.
    pub(super) fn missing(&self, spot: &Spot, range: &Range<u64>) -> Vec<Range<u64>> {
        let bytes = spot.bytes_of(range);
        let mut there = PageSet::default();
        for run in spot.held.present(range) {
            there.insert(&run);
        }
        for other in self.showing(&bytes) {
            if other.number() == spot.number() {
                continue;
            }
            for run in other.held.present(&other.addresses(&bytes)) {
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
        self.holder(offset, access, machine).map(|(_, page)| page)
    }

    /// The same, and the number of the place.
    pub(super) fn holder(
        &mut self,
        offset: u64,
        access: Prot,
        machine: &dyn Machine,
    ) -> Option<(u64, u64)> {
        let holders = self.holders(NO_PLACE, offset);
        let &(number, page) = holders.first()?;
        if holders.len() > 1 && access.contains(Prot::WRITE) {
            self.take_from_others(machine, number, &(page..page + PAGE_SIZE));
            machine.settle();
        }
        Some((number, page))
    }

    /// The places but `number` where a page is, and its addresses there.
    pub(super) fn holders(&self, number: u64, offset: u64) -> Vec<(u64, u64)> {
        let bytes = offset..offset + PAGE_SIZE;
        let spots = self.showing(&bytes).into_iter();
        let others = spots.filter(|spot| spot.number() != number);
        let held = others.filter_map(|spot| {
            let page = spot.addresses(&bytes);
            (!page.is_empty() && spot.held.contains(&page)).then_some((spot.number(), page.start))
        });
        held.collect()
    }

    /// Takes the pages of a range of one place from all others.
    pub(super) fn take_from_others(
        &mut self,
        machine: &dyn Machine,
        number: u64,
        range: &Range<u64>,
    ) {
        let Some(spot) = self.spot(number) else {
            return;
        };
        let bytes = spot.offset_of(range.start)..spot.offset_of(range.end);
        for other in self.numbers_showing(&bytes) {
            if other != number {
                self.give_back(machine, other, &bytes);
            }
        }
    }

    /// Gives back the pages of a place that hold these bytes.
    pub(super) fn give_back(&mut self, machine: &dyn Machine, number: u64, bytes: &Range<u64>) {
        let Some(spot) = self.spot_mut(number) else {
            return;
        };
        let pages = spot.addresses(bytes);
        for run in spot.held.present(&pages) {
            machine.decommit(run.start, run.end - run.start);
        }
        spot.held.remove(&pages);
    }

    /// The numbers of the places that show some of these bytes.
    pub(super) fn numbers_showing(&self, bytes: &Range<u64>) -> Vec<u64> {
        let spots = self.showing(bytes).into_iter();
        spots.map(Spot::number).collect()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_found_by_what_they_show(
            steps in proptest::collection::vec((0..3_u8, 0..30_u64, 1..9_u64), 1..40),
            asked in (0..30_u64, 0..9_u64),
        ) {
            let mut state = State::default();
            let mut all: Vec<(u64, Range<u64>)> = Vec::new();
            for (step, first, count) in steps {
                match step {
                    0 if !all.is_empty() => {
                        let (number, _) = all.remove(first as usize % all.len());
                        state.remove(number);
                    }
                    1 if !all.is_empty() => {
                        let at = first as usize % all.len();
                        let (number, shown) = &mut all[at];
                        shown.end += count * PAGE_SIZE;
                        let spot = state.spot(*number).expect("it is there");
                        let end = spot.addresses(&(0..u64::MAX)).end + count * PAGE_SIZE;
                        state.reach(*number, end);
                    }
                    _ => {
                        let number = state.new_number();
                        let range = number << 32..(number << 32) + count * PAGE_SIZE;
                        let offset = first * PAGE_SIZE;
                        state.add(Spot::apart(number, &range, offset));
                        all.push((number, offset..offset + count * PAGE_SIZE));
                    }
                }
            }
            let bytes = asked.0 * PAGE_SIZE..(asked.0 + asked.1) * PAGE_SIZE;
            let shows = |shown: &Range<u64>| {
                !bytes.is_empty() && shown.start < bytes.end && bytes.start < shown.end
            };
            let expected: Vec<u64> = (all.iter().filter(|(_, shown)| shows(shown)))
                .map(|(number, _)| *number)
                .collect();
            prop_assert_eq!(state.numbers_showing(&bytes), expected);
        }
    }
}
