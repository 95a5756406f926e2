//! Who uses which addresses of the user region.
//!
//! All processes of an enclave live side by side in one region. Each address space claims the
//! addresses of its mappings here, so that no two get the same ones unless they are of one gang:
//! address spaces that hold the same addresses in turn.
//!
//! There are more addresses than memory. A claim is for addresses alone until it is *charged*: then
//! its pages may get memory, all of which counts.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::PAGE_SIZE;
use locks::Mutex;

use super::gang::Gang;
use super::leftovers::{FilePlace, Leftovers};
use super::pages::PageSet;

/// How much is kept for programs that cannot lie elsewhere, which begin at 4 MiB by custom: the first of these
/// that is no more than this part of all, as the largest free run of a small memory would suffer.
const FIXED_BYTES: [u64; 2] = [1 << 30, 64 << 20];
const FIXED_SHARE: u64 = 8;

/// The identity of a gang of address spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GangId(u64);

/// What a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Pages that may get memory.
    Memory,
    /// Addresses, which cost nothing.
    Addresses,
}

/// The user region and all claims to its addresses.
pub(crate) struct Region {
    range: Range<u64>,
    /// Where pages can have memory.
    backed: Range<u64>,
    /// How many bytes may be charged.
    memory_bytes: u64,
    claims: Mutex<Claims>,
    next_gang: AtomicU64,
    gangs: Mutex<BTreeMap<GangId, Weak<Gang>>>,
    /// What is in pages that nobody uses.
    pub(super) leftovers: Leftovers,
}

/// Claims, by their start; they do not overlap.
#[derive(Default)]
struct Claims {
    runs: BTreeMap<u64, Claim>,
    charged_bytes: u64,
}

/// One run of addresses that a gang uses.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    end: u64,
    gang: GangId,
    /// How many claims of its members there are to each of these addresses.
    count: u32,
    is_charged: bool,
}

impl Region {
    /// A region of which nothing is in use. Memory can be in `backed`, which is part of it.
    pub(crate) fn new(range: Range<u64>, backed: Range<u64>, memory_bytes: u64) -> Arc<Self> {
        debug_assert!(range.start <= backed.start && backed.end <= range.end);
        Arc::new(Self {
            range,
            backed,
            memory_bytes,
            claims: Mutex::default(),
            next_gang: AtomicU64::new(1),
            gangs: Mutex::default(),
            leftovers: Leftovers::default(),
        })
    }

    /// All its addresses.
    pub(crate) const fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// Those that can have memory.
    pub(crate) const fn backed(&self) -> &Range<u64> {
        &self.backed
    }

    /// How much memory there is for all.
    pub(crate) const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// A gang that has no member yet.
    pub(crate) fn new_gang(&self) -> GangId {
        GangId(self.next_gang.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a gang known to those who may want to join it.
    pub(super) fn introduce(&self, gang: &Arc<Gang>) {
        let mut gangs = self.gangs.lock();
        gangs.retain(|_, gang| gang.strong_count() > 0);
        gangs.insert(gang.id(), Arc::downgrade(gang));
    }

    /// The gangs that have claims in `range`.
    pub(super) fn gangs_in(&self, range: &Range<u64>) -> Vec<Arc<Gang>> {
        let mut ids: Vec<GangId> = Vec::new();
        for (_, claim) in self.claims.lock().overlapping(range) {
            if !ids.contains(&claim.gang) {
                ids.push(claim.gang);
            }
        }
        let gangs = self.gangs.lock();
        let known = ids.iter().filter_map(|id| gangs.get(id));
        known.filter_map(Weak::upgrade).collect()
    }

    /// All gangs.
    pub(super) fn gangs(&self) -> Vec<Arc<Gang>> {
        self.gangs
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// The gangs but `own` that have some of these members.
    pub(super) fn gangs_of(&self, members: &[u64], own: &Arc<Gang>) -> Vec<Arc<Gang>> {
        let is_meant = |gang: &Arc<Gang>| {
            !Arc::ptr_eq(gang, own) && members.iter().any(|member| gang.has(*member))
        };
        self.gangs().into_iter().filter(is_meant).collect()
    }

    /// Claims the highest free run of `len` bytes in `within`, aligned to `align`.
    pub(crate) fn claim_high(
        &self,
        gang: GangId,
        len: u64,
        align: u64,
        within: &Range<u64>,
        purpose: Use,
    ) -> Option<Range<u64>> {
        let mut claims = self.claims.lock();
        let within = self.clip(within, purpose);
        let fit = |gap: &Range<u64>| self.leftovers.fit_high(gap, len, align);
        // What is left of programs stays for the next ones if there is other room.
        let start = claims.gaps_high(&within).find_map(|gap| fit(&gap));
        let start = start.or_else(|| claims.find_high(len, align, &within))?;
        self.add(&mut claims, gang, &(start..start + len), purpose)
            .then(|| start..start + len)
    }

    /// The bytes of the longest free run in a range.
    pub(super) fn longest_free(&self, within: &Range<u64>) -> u64 {
        let claims = self.claims.lock();
        let gaps = claims.gaps_high(within);
        gaps.map(|gap| gap.end - gap.start).max().unwrap_or(0)
    }

    /// Claims free addresses for memory, if there are some that no living program has unmapped: there
    /// it may know that it has no access. They are at an end of a free run, as none is cut in two.
    pub(super) fn claim_unknown(&self, gang: GangId, len: u64) -> Option<Range<u64>> {
        let unmapped = self.unmapped();
        let mut claims = self.claims.lock();
        let mut gaps = claims.gaps_high(&self.backed);
        let range = gaps.find_map(|gap| {
            let parts = unmapped.missing(&gap);
            let (first, last) = (parts.first()?, parts.last()?);
            let start = if last.end == gap.end {
                self.leftovers.fit_high(last, len, PAGE_SIZE)
            } else if first.start == gap.start {
                self.leftovers.fit_low(first, len, PAGE_SIZE)
            } else {
                None
            };
            start.map(|start| start..start + len)
        })?;
        drop(gaps);
        self.add(&mut claims, gang, &range, Use::Memory)
            .then_some(range)
    }

    /// The end of the addresses that programs are kept for that cannot lie elsewhere: whoever has a
    /// choice goes behind, so that such a program need not take turns with them.
    pub(super) fn fixed_end(&self) -> u64 {
        let most = (self.backed.end - self.backed.start) / FIXED_SHARE;
        let kept = FIXED_BYTES.into_iter().find(|kept| *kept <= most);
        self.backed.start + kept.unwrap_or(0)
    }

    /// Claims the lowest free run of `len` addresses from `floor` on that can have memory, aligned to
    /// `align`.
    pub(crate) fn claim_low(
        &self,
        gang: GangId,
        len: u64,
        align: u64,
        floor: u64,
    ) -> Option<Range<u64>> {
        let mut claims = self.claims.lock();
        let within = self.backed.start.max(floor)..self.backed.end;
        let fit = |gap: &Range<u64>| self.leftovers.fit_low(gap, len, align);
        let start = claims.gaps_low(&within).find_map(|gap| fit(&gap));
        let start = start.or_else(|| claims.find_low(len, align, &within))?;
        self.add(&mut claims, gang, &(start..start + len), Use::Addresses)
            .then(|| start..start + len)
    }

    /// Claims exactly `range`; whether nobody but this gang uses a part of it, and there is memory
    /// for it if it needs some.
    pub(crate) fn claim_fixed(&self, gang: GangId, range: &Range<u64>, purpose: Use) -> bool {
        let mut claims = self.claims.lock();
        let is_ours = claims
            .overlapping(range)
            .all(|(_, claim)| claim.gang == gang);
        is_ours && self.add(&mut claims, gang, range, purpose)
    }

    /// Claims exactly `range` for memory, if nobody uses a part of it, this gang neither.
    pub(crate) fn claim_unused(&self, gang: GangId, range: &Range<u64>) -> bool {
        self.claim_unused_for(gang, range, Use::Memory)
    }

    /// The same for any use.
    pub(super) fn claim_unused_for(&self, gang: GangId, range: &Range<u64>, purpose: Use) -> bool {
        let mut claims = self.claims.lock();
        let is_unused = claims.overlapping(range).next().is_none();
        is_unused && self.add(&mut claims, gang, range, purpose)
    }

    /// Claims `len` addresses where a file is left that is to be mapped, from this byte on.
    pub(super) fn claim_left(
        &self,
        gang: GangId,
        place: FilePlace,
        len: u64,
        align: u64,
        purpose: Use,
    ) -> Option<Range<u64>> {
        let starts = self.leftovers.starts_of(place).into_iter();
        let ranges = starts.filter_map(|start| Some(start..start.checked_add(len)?));
        let mut ranges = ranges.filter(|range| {
            let is_backed = self.backed.start <= range.start && range.end <= self.backed.end;
            is_backed && range.start.is_multiple_of(align)
        });
        ranges.find(|range| self.claim_unused_for(gang, range, purpose))
    }

    /// Claims what no other gang has from `start` on, up to `len` addresses that can have memory,
    /// and returns it.
    pub(crate) fn claim_up_to(&self, gang: GangId, start: u64, len: u64) -> Range<u64> {
        let mut claims = self.claims.lock();
        let end = start.saturating_add(len).min(self.backed.end);
        let end = claims
            .overlapping(&(start..end))
            .find(|(_, claim)| claim.gang != gang)
            .map_or(end, |(at, _)| at.max(start));
        let range = start..end.max(start);
        self.add(&mut claims, gang, &range, Use::Addresses);
        range
    }

    /// Lets claimed pages have memory; whether there is enough, and it can be there.
    pub(crate) fn charge(&self, range: &Range<u64>) -> bool {
        let mut claims = self.claims.lock();
        let can_be = self.can_charge(&claims, range);
        if can_be {
            claims.cut(range);
            claims.charge(range);
            claims.join(range);
        }
        can_be
    }

    /// The pages of a range have no memory and will have none soon, unless others claim them, too.
    pub(crate) fn uncharge(&self, range: &Range<u64>) {
        let mut claims = self.claims.lock();
        claims.cut(range);
        claims.uncharge(range);
        claims.join(range);
    }

    /// Whether nobody but these uses a part of a range.
    pub(super) fn belongs_to(&self, range: &Range<u64>, gangs: [GangId; 2]) -> bool {
        let claims = self.claims.lock();
        claims
            .overlapping(range)
            .all(|(_, claim)| gangs.contains(&claim.gang))
    }

    /// Claims a range for memory that had some before, if nobody uses it, no living program has unmapped
    /// a part of it, and it cuts no free run in two.
    pub(super) fn claim_again(&self, gang: GangId, range: &Range<u64>) -> bool {
        self.unmapped().present(range).is_empty()
            && !self.is_amid_free(range)
            && self.claim_unused(gang, range)
    }

    /// What living programs have unmapped last.
    fn unmapped(&self) -> PageSet {
        let mut unmapped = PageSet::default();
        self.gangs()
            .iter()
            .for_each(|gang| gang.add_unmapped(&mut unmapped));
        unmapped
    }

    /// Whether there are free addresses on both sides of a range.
    fn is_amid_free(&self, range: &Range<u64>) -> bool {
        let claims = self.claims.lock();
        let is_inside = self.backed.start < range.start && range.end < self.backed.end;
        let is_free = |page: Range<u64>| claims.overlapping(&page).next().is_none();
        is_inside
            && is_free(range.start - PAGE_SIZE..range.start)
            && is_free(range.end..range.end + PAGE_SIZE)
    }

    /// The claims to a range are another gang's from now on.
    pub(super) fn hand_over(&self, range: &Range<u64>, gang: GangId) {
        let mut claims = self.claims.lock();
        claims.cut(range);
        for (_, claim) in claims.runs.range_mut(range.clone()) {
            claim.gang = gang;
        }
        claims.join(range);
    }

    /// Gives up one claim to each address of `range`.
    pub(crate) fn release(&self, range: &Range<u64>) {
        self.claims.lock().subtract(range);
    }

    /// Bytes of memory that can still be given.
    pub(crate) fn free_bytes(&self) -> u64 {
        let claims = self.claims.lock();
        let used: u64 = claims
            .overlapping(&self.backed)
            .map(|(start, claim)| claim.end.min(self.backed.end) - start.max(self.backed.start))
            .sum();
        let addresses = self.backed.end - self.backed.start - used;
        addresses.min(self.memory_bytes - claims.charged_bytes)
    }

    fn add(&self, claims: &mut Claims, gang: GangId, range: &Range<u64>, purpose: Use) -> bool {
        if purpose == Use::Memory && !self.can_charge(claims, range) {
            return false;
        }
        claims.add(gang, range);
        if purpose == Use::Memory {
            claims.charge(range);
        }
        claims.join(range);
        true
    }

    fn can_charge(&self, claims: &Claims, range: &Range<u64>) -> bool {
        let lacking = range.end - range.start - claims.charged_in(range);
        let is_backed = self.backed.start <= range.start && range.end <= self.backed.end;
        let left = self.memory_bytes - claims.charged_bytes;
        range.is_empty() || is_backed && lacking <= left
    }

    fn clip(&self, within: &Range<u64>, purpose: Use) -> Range<u64> {
        let whole = match purpose {
            Use::Memory => &self.backed,
            Use::Addresses => &self.range,
        };
        within.start.max(whole.start)..within.end.min(whole.end)
    }
}

impl Claims {
    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, &Claim)> {
        let before = self.runs.range(..range.start).next_back();
        let first = before
            .filter(|(_, claim)| claim.end > range.start)
            .map_or(range.start, |(&start, _)| start);
        self.runs
            .range(first..range.end.max(first))
            .map(|(&start, claim)| (start, claim))
    }

    /// The free runs in a range, from the highest on.
    fn gaps_high(&self, within: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let below = self.runs.range(..within.end).rev();
        let ends = below.map(|(&start, claim)| (claim.end, start));
        let (start, mut ceiling) = (within.start, within.end);
        let gap = move |(end, next): (u64, u64)| {
            let gap = end.max(start)..ceiling;
            ceiling = next.min(ceiling);
            gap
        };
        let gaps = ends.chain([(start, start)]).map(gap);
        gaps.take_while(move |gap| gap.end > start)
            .filter(|gap| gap.start < gap.end)
    }

    /// The same from the lowest on.
    fn gaps_low(&self, within: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let (mut floor, end) = (within.start, within.end);
        let claims = self
            .overlapping(within)
            .map(|(start, claim)| (start, claim.end));
        let gap = move |(start, next): (u64, u64)| {
            let gap = floor..start.min(end);
            floor = next.max(floor);
            gap
        };
        let gaps = claims.chain([(end, end)]).map(gap);
        gaps.filter(|gap| gap.start < gap.end)
    }

    fn find_high(&self, len: u64, align: u64, within: &Range<u64>) -> Option<u64> {
        let fit = |ceiling: u64, floor: u64| {
            let start = ceiling.checked_sub(len)? & !(align - 1);
            (start >= floor).then_some(start)
        };
        let mut ceiling = within.end;
        for (&start, claim) in self.runs.range(..within.end).rev() {
            if let Some(found) = fit(ceiling, claim.end.max(within.start)) {
                return Some(found);
            }
            ceiling = ceiling.min(start);
            if ceiling <= within.start {
                return None;
            }
        }
        fit(ceiling, within.start)
    }

    fn find_low(&self, len: u64, align: u64, within: &Range<u64>) -> Option<u64> {
        let mut floor = within.start.checked_next_multiple_of(align)?;
        for (start, claim) in self.overlapping(within) {
            if floor.checked_add(len)? <= start {
                break;
            }
            floor = floor.max(claim.end).checked_next_multiple_of(align)?;
        }
        (floor.checked_add(len)? <= within.end).then_some(floor)
    }

    fn add(&mut self, gang: GangId, range: &Range<u64>) {
        self.cut(range);
        let mut at = range.start;
        while at < range.end {
            let next = self.runs.range_mut(at..range.end).next();
            at = match next {
                Some((&start, claim)) if start == at => {
                    claim.count += 1;
                    claim.end
                }
                next => {
                    let end = next.map_or(range.end, |(&start, _)| start);
                    let claim = Claim {
                        end,
                        gang,
                        count: 1,
                        is_charged: false,
                    };
                    self.runs.insert(at, claim);
                    end
                }
            };
        }
    }

    /// Charges the claims of a range, which are cut at its ends.
    fn charge(&mut self, range: &Range<u64>) {
        for (start, claim) in self.runs.range_mut(range.clone()) {
            if !claim.is_charged {
                claim.is_charged = true;
                self.charged_bytes += claim.end - start;
            }
        }
    }

    /// Takes that back where there is one claim.
    fn uncharge(&mut self, range: &Range<u64>) {
        for (start, claim) in self.runs.range_mut(range.clone()) {
            if claim.is_charged && claim.count == 1 {
                claim.is_charged = false;
                self.charged_bytes -= claim.end - start;
            }
        }
    }

    fn charged_in(&self, range: &Range<u64>) -> u64 {
        let charged = self
            .overlapping(range)
            .filter(|(_, claim)| claim.is_charged);
        charged
            .map(|(start, claim)| claim.end.min(range.end) - start.max(range.start))
            .sum()
    }

    fn subtract(&mut self, range: &Range<u64>) {
        self.cut(range);
        let charged_bytes = &mut self.charged_bytes;
        self.runs.retain_in(range, |start, claim| {
            claim.count -= 1;
            if claim.count == 0 && claim.is_charged {
                *charged_bytes -= claim.end - start;
            }
            claim.count > 0
        });
        self.join(range);
    }

    /// Cuts the claims at both ends of a range.
    fn cut(&mut self, range: &Range<u64>) {
        debug_assert!(range.start.is_multiple_of(PAGE_SIZE) && range.end.is_multiple_of(PAGE_SIZE));
        for at in [range.start, range.end] {
            if let Some((_, claim)) = self.runs.range_mut(..at).next_back()
                && claim.end > at
            {
                let rest = claim.clone();
                claim.end = at;
                self.runs.insert(at, rest);
            }
        }
    }

    /// Joins equal neighbours in and around a range.
    fn join(&mut self, range: &Range<u64>) {
        let before = self.runs.range(..range.start).next_back();
        let mut lower = before.map_or(range.start, |(&start, _)| start);
        while lower < range.end {
            let Some((&upper, _)) = self.runs.range(lower + 1..=range.end).next() else {
                return;
            };
            let joined = match (self.runs.get(&lower), self.runs.get(&upper)) {
                (Some(a), Some(b)) if a.end == upper && a.is_like(b) => Some(b.end),
                _ => None,
            };
            match joined.zip(self.runs.get_mut(&lower)) {
                Some((end, claim)) => {
                    claim.end = end;
                    self.runs.remove(&upper);
                }
                None => lower = upper,
            }
        }
    }
}

impl Claim {
    fn is_like(&self, other: &Self) -> bool {
        (self.gang, self.count, self.is_charged) == (other.gang, other.count, other.is_charged)
    }
}

/// `BTreeMap::retain` for a part of a map.
trait RetainIn {
    fn retain_in(&mut self, range: &Range<u64>, keep: impl FnMut(u64, &mut Claim) -> bool);
}

impl RetainIn for BTreeMap<u64, Claim> {
    fn retain_in(&mut self, range: &Range<u64>, mut keep: impl FnMut(u64, &mut Claim) -> bool) {
        let mut at = range.start;
        while let Some((&start, claim)) = self.range_mut(at..range.end).next() {
            at = claim.end;
            if !keep(start, claim) {
                self.remove(&start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Range<u64> = 0x1_0000..0x10_0000;

    fn region() -> Arc<Region> {
        Region::new(ALL, ALL, 0xf_0000)
    }

    #[test]
    fn the_first_addresses_of_a_large_memory_alone_are_left_to_fixed_programs() {
        for (len, kept) in [
            (8 << 30, 1 << 30),
            ((8 << 30) - PAGE_SIZE, 64 << 20),
            (512 << 20, 64 << 20),
            ((512 << 20) - PAGE_SIZE, 0),
        ] {
            let all = 0x1_0000..0x1_0000 + len;
            let region = Region::new(all.clone(), all.clone(), len);
            let gang = region.new_gang();

            assert_eq!(region.fixed_end(), all.start + kept);
            let low = region.claim_low(gang, 0x1000, 0x1000, region.fixed_end());
            assert_eq!(low, Some(all.start + kept..all.start + kept + 0x1000));
        }
    }

    #[test]
    fn free_addresses_are_found_from_either_end_and_given_once() {
        let region = region();
        let (one, other) = (region.new_gang(), region.new_gang());

        let high = region.claim_high(one, 0x2000, 0x1000, region.range(), Use::Memory);
        let next = region.claim_high(other, 0x1000, 0x1_0000, region.range(), Use::Memory);
        let low = region.claim_low(other, 0x1000, 0x1000, 0);

        assert_eq!(high, Some(0xf_e000..0x10_0000));
        assert_eq!(next, Some(0xf_0000..0xf_1000));
        assert_eq!(low, Some(0x1_0000..0x1_1000));
        assert_eq!(region.claim_low(one, 0xe_e000, 0x1000, 0), None);
        assert_eq!(region.free_bytes(), 0xf_0000 - 0x4000);
    }

    #[test]
    fn one_gang_may_claim_an_address_twice_and_another_may_not() {
        let region = region();
        let (one, other) = (region.new_gang(), region.new_gang());

        assert!(region.claim_fixed(one, &(0x2_0000..0x4_0000), Use::Memory));
        assert!(region.claim_fixed(one, &(0x3_0000..0x5_0000), Use::Memory));
        assert!(!region.claim_fixed(other, &(0x4_f000..0x6_0000), Use::Memory));

        region.release(&(0x2_0000..0x4_0000));
        assert!(!region.claim_unused(other, &(0x3_0000..0x3_1000)));
        assert!(region.claim_fixed(other, &(0x2_0000..0x3_0000), Use::Memory));
        region.release(&(0x3_0000..0x5_0000));
        region.release(&(0x2_0000..0x3_0000));
        assert_eq!(region.free_bytes(), 0xf_0000);
    }

    #[test]
    fn a_range_divides_free_addresses_if_there_are_some_on_both_sides() {
        let region = region();
        let gang = region.new_gang();
        let claim = |range: Range<u64>| assert!(region.claim_fixed(gang, &range, Use::Memory));
        claim(0x1_0000..0x2_0000);
        claim(0x5_0000..0x6_0000);
        assert!(!region.is_amid_free(&(0x1_0000..0x2_0000)));
        assert!(!region.is_amid_free(&(0x5_0000..0x5_f000)));
        assert!(region.is_amid_free(&(0x5_0000..0x6_0000)));

        claim(0x4_f000..0x5_0000);
        assert!(!region.is_amid_free(&(0x5_0000..0x6_0000)));
        region.release(&(0x4_f000..0x5_0000));
        claim(0x6_0000..0x10_0000);
        assert!(!region.is_amid_free(&(0x5_0000..0x6_0000)));
    }

    #[test]
    fn what_is_free_from_an_address_on_can_be_claimed() {
        let region = region();
        let (gang, other) = (region.new_gang(), region.new_gang());
        assert!(region.claim_fixed(gang, &(0x3_0000..0x4_0000), Use::Addresses));

        assert_eq!(
            region.claim_up_to(other, 0x2_0000, 0x2_0000),
            0x2_0000..0x3_0000
        );
        assert!(region.claim_up_to(other, 0x3_0000, 0x1000).is_empty());
        assert_eq!(
            region.claim_up_to(gang, 0xf_f000, 0x2_0000),
            0xf_f000..0x10_0000
        );
    }

    #[test]
    fn addresses_cost_nothing_until_they_are_to_have_memory() {
        let region = Region::new(ALL, ALL, 0x4000);
        let gang = region.new_gang();
        let large = 0x2_0000..0x8_0000;

        assert!(region.claim_fixed(gang, &large, Use::Addresses));
        assert_eq!(region.free_bytes(), 0x4000);
        assert!(region.charge(&(0x3_0000..0x3_3000)));
        assert!(region.charge(&(0x3_0000..0x3_2000)), "it is charged once");
        assert_eq!(region.free_bytes(), 0x1000);
        assert!(!region.charge(&(0x4_0000..0x4_2000)));
        assert!(!region.claim_unused(gang, &(0x9_0000..0x9_2000)));
        assert!(region.claim_unused(gang, &(0x9_0000..0x9_1000)));

        region.uncharge(&(0x3_1000..0x3_2000));
        assert_eq!(region.free_bytes(), 0x1000);
        region.release(&large);
        assert_eq!(region.free_bytes(), 0x3000);
    }

    #[test]
    fn memory_is_only_where_it_can_be() {
        let region = Region::new(ALL, 0x1_0000..0x2_0000, 0x1_0000);
        let gang = region.new_gang();

        let reserved = region.claim_high(gang, 0x1_0000, 0x1000, &ALL, Use::Addresses);
        assert_eq!(reserved, Some(0xf_0000..0x10_0000));
        assert!(!region.charge(&(0xf_0000..0xf_1000)));
        let memory = region.claim_high(gang, 0x1000, 0x1000, &ALL, Use::Memory);
        assert_eq!(memory, Some(0x1_f000..0x2_0000));
        assert_eq!(region.free_bytes(), 0xf000);
    }

    proptest! {
        #[test]
        fn what_is_charged_is_what_a_table_of_pages_says(
            steps in proptest::collection::vec((0..4_u8, 0..60_u64, 1..20_u64), 1..60),
        ) {
            const MEMORY_PAGES: u64 = 30;
            let start = ALL.start / PAGE_SIZE;
            let region = Region::new(ALL, ALL, MEMORY_PAGES * PAGE_SIZE);
            let gang = region.new_gang();
            // How many claims, and whether charged.
            let mut pages = [(0_u32, false); 80];
            for (step, first, count) in steps {
                let range = (start + first) * PAGE_SIZE..(start + first + count) * PAGE_SIZE;
                let part = first as usize..(first + count) as usize;
                let all_claimed = pages[part.clone()].iter().all(|(claims, _)| *claims > 0);
                let charged = |pages: &[(u32, bool)]| pages.iter().filter(|(_, is)| *is).count() as u64;
                let lacking = count - charged(&pages[part.clone()]);
                let fits = charged(&pages) + lacking <= MEMORY_PAGES;
                let page = pages[part].iter_mut();
                match step {
                    0 => {
                        prop_assert!(region.claim_fixed(gang, &range, Use::Addresses));
                        page.for_each(|page| page.0 += 1);
                    }
                    1 => {
                        prop_assert_eq!(region.claim_fixed(gang, &range, Use::Memory), fits);
                        if fits {
                            page.for_each(|page| *page = (page.0 + 1, true));
                        }
                    }
                    2 if all_claimed => {
                        prop_assert_eq!(region.charge(&range), fits);
                        if fits {
                            page.for_each(|page| page.1 = true);
                        }
                    }
                    _ if all_claimed => {
                        region.release(&range);
                        page.for_each(|page| *page = (page.0 - 1, page.1 && page.0 > 1));
                    }
                    _ => {}
                }
                let left = MEMORY_PAGES - charged(&pages);
                let unclaimed = pages.iter().filter(|(claims, _)| *claims == 0).count() as u64;
                let addresses = (ALL.end / PAGE_SIZE - start) - (80 - unclaimed);
                prop_assert_eq!(region.free_bytes(), left.min(addresses) * PAGE_SIZE);
            }
        }
    }
}
