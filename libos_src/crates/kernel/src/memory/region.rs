//! Who uses which addresses of the user region.
//!
//! All processes of an enclave live side by side in one region. Each address space claims the
//! addresses of its mappings here, so that no two get the same ones unless they are of one gang:
//! address spaces that hold the same addresses in turn.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::PAGE_SIZE;
use locks::Mutex;

use super::gang::Gang;

/// The identity of a gang of address spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GangId(u64);

/// The user region and all claims to its addresses.
pub(crate) struct Region {
    range: Range<u64>,
    claims: Mutex<Claims>,
    next_gang: AtomicU64,
    gangs: Mutex<BTreeMap<GangId, Weak<Gang>>>,
}

/// Claims, by their start; they do not overlap.
struct Claims(BTreeMap<u64, Claim>);

/// One run of addresses that a gang uses.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    end: u64,
    gang: GangId,
    /// How many claims of its members there are to each of these addresses.
    count: u32,
}

impl Region {
    /// A region of which nothing is in use.
    pub(crate) fn new(range: Range<u64>) -> Arc<Self> {
        Arc::new(Self {
            range,
            claims: Mutex::new(Claims(BTreeMap::new())),
            next_gang: AtomicU64::new(1),
            gangs: Mutex::default(),
        })
    }

    /// All its addresses.
    pub(crate) const fn range(&self) -> &Range<u64> {
        &self.range
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

    /// Claims the highest free run of `len` bytes in `within`, aligned to `align`.
    pub(crate) fn claim_high(
        &self,
        gang: GangId,
        len: u64,
        align: u64,
        within: &Range<u64>,
    ) -> Option<Range<u64>> {
        let mut claims = self.claims.lock();
        let start = claims.find_high(len, align, &self.clip(within))?;
        claims.add(gang, &(start..start + len));
        Some(start..start + len)
    }

    /// Claims the lowest free run of `len` bytes, aligned to `align`.
    pub(crate) fn claim_low(&self, gang: GangId, len: u64, align: u64) -> Option<Range<u64>> {
        let mut claims = self.claims.lock();
        let start = claims.find_low(len, align, &self.range)?;
        claims.add(gang, &(start..start + len));
        Some(start..start + len)
    }

    /// Claims exactly `range`; whether nobody but this gang uses a part of it.
    pub(crate) fn claim_fixed(&self, gang: GangId, range: &Range<u64>) -> bool {
        let mut claims = self.claims.lock();
        let is_ours = claims
            .overlapping(range)
            .all(|(_, claim)| claim.gang == gang);
        if is_ours {
            claims.add(gang, range);
        }
        is_ours
    }

    /// Claims exactly `range`, if nobody uses a part of it, this gang neither.
    pub(crate) fn claim_unused(&self, gang: GangId, range: &Range<u64>) -> bool {
        let mut claims = self.claims.lock();
        let is_unused = claims.overlapping(range).next().is_none();
        if is_unused {
            claims.add(gang, range);
        }
        is_unused
    }

    /// Claims what no other gang has from `start` on, up to `len` bytes, and returns it.
    pub(crate) fn claim_up_to(&self, gang: GangId, start: u64, len: u64) -> Range<u64> {
        let mut claims = self.claims.lock();
        let end = start.saturating_add(len).min(self.range.end);
        let end = claims
            .overlapping(&(start..end))
            .find(|(_, claim)| claim.gang != gang)
            .map_or(end, |(at, _)| at.max(start));
        let range = start..end.max(start);
        claims.add(gang, &range);
        range
    }

    /// Gives up one claim to each address of `range`.
    pub(crate) fn release(&self, range: &Range<u64>) {
        self.claims.lock().subtract(range);
    }

    /// Whether nobody but this gang uses a part of `range`.
    #[cfg(test)]
    fn is_free_for(&self, gang: GangId, range: &Range<u64>) -> bool {
        self.claims
            .lock()
            .overlapping(range)
            .all(|(_, claim)| claim.gang == gang)
    }

    /// Bytes that nobody uses.
    pub(crate) fn free_bytes(&self) -> u64 {
        let claims = self.claims.lock();
        let used: u64 = claims
            .0
            .iter()
            .map(|(start, claim)| claim.end - start)
            .sum();
        self.range.end - self.range.start - used
    }

    fn clip(&self, within: &Range<u64>) -> Range<u64> {
        within.start.max(self.range.start)..within.end.min(self.range.end)
    }
}

impl Claims {
    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, &Claim)> {
        let before = self.0.range(..range.start).next_back();
        let first = before
            .filter(|(_, claim)| claim.end > range.start)
            .map_or(range.start, |(&start, _)| start);
        self.0
            .range(first..range.end.max(first))
            .map(|(&start, claim)| (start, claim))
    }

    fn find_high(&self, len: u64, align: u64, within: &Range<u64>) -> Option<u64> {
        let fit = |ceiling: u64, floor: u64| {
            let start = ceiling.checked_sub(len)? & !(align - 1);
            (start >= floor).then_some(start)
        };
        let mut ceiling = within.end;
        for (&start, claim) in self.0.range(..within.end).rev() {
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
            let next = self.0.range_mut(at..range.end).next();
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
                    };
                    self.0.insert(at, claim);
                    end
                }
            };
        }
        self.join(range);
    }

    fn subtract(&mut self, range: &Range<u64>) {
        self.cut(range);
        self.0.retain_in(range, |claim| {
            claim.count -= 1;
            claim.count > 0
        });
        self.join(range);
    }

    /// Cuts the claims at both ends of a range.
    fn cut(&mut self, range: &Range<u64>) {
        debug_assert!(range.start.is_multiple_of(PAGE_SIZE) && range.end.is_multiple_of(PAGE_SIZE));
        for at in [range.start, range.end] {
            if let Some((_, claim)) = self.0.range_mut(..at).next_back()
                && claim.end > at
            {
                let rest = claim.clone();
                claim.end = at;
                self.0.insert(at, rest);
            }
        }
    }

    /// Joins equal neighbours in and around a range.
    fn join(&mut self, range: &Range<u64>) {
        let before = self.0.range(..range.start).next_back();
        let mut lower = before.map_or(range.start, |(&start, _)| start);
        while lower < range.end {
            let Some((&upper, _)) = self.0.range(lower + 1..=range.end).next() else {
                return;
            };
            let joined = match (self.0.get(&lower), self.0.get(&upper)) {
                (Some(a), Some(b)) if a.end == upper && (a.gang, a.count) == (b.gang, b.count) => {
                    Some(b.end)
                }
                _ => None,
            };
            match joined.zip(self.0.get_mut(&lower)) {
                Some((end, claim)) => {
                    claim.end = end;
                    self.0.remove(&upper);
                }
                None => lower = upper,
            }
        }
    }
}

/// `BTreeMap::retain` for a part of a map.
trait RetainIn {
    fn retain_in(&mut self, range: &Range<u64>, keep: impl FnMut(&mut Claim) -> bool);
}

impl RetainIn for BTreeMap<u64, Claim> {
    fn retain_in(&mut self, range: &Range<u64>, mut keep: impl FnMut(&mut Claim) -> bool) {
        let mut at = range.start;
        while let Some((&start, claim)) = self.range_mut(at..range.end).next() {
            at = claim.end;
            if !keep(claim) {
                self.remove(&start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region() -> Arc<Region> {
        Region::new(0x1_0000..0x10_0000)
    }

    #[test]
    fn free_addresses_are_found_from_either_end_and_given_once() {
        let region = region();
        let (one, other) = (region.new_gang(), region.new_gang());

        let high = region.claim_high(one, 0x2000, 0x1000, region.range());
        let next = region.claim_high(other, 0x1000, 0x1_0000, region.range());
        let low = region.claim_low(other, 0x1000, 0x1000);

        assert_eq!(high, Some(0xf_e000..0x10_0000));
        assert_eq!(next, Some(0xf_0000..0xf_1000));
        assert_eq!(low, Some(0x1_0000..0x1_1000));
        assert_eq!(region.claim_low(one, 0xe_e000, 0x1000), None);
        assert_eq!(region.free_bytes(), 0xf_0000 - 0x4000);
    }

    #[test]
    fn one_gang_may_claim_an_address_twice_and_another_may_not() {
        let region = region();
        let (one, other) = (region.new_gang(), region.new_gang());

        assert!(region.claim_fixed(one, &(0x2_0000..0x4_0000)));
        assert!(region.claim_fixed(one, &(0x3_0000..0x5_0000)));
        assert!(!region.claim_fixed(other, &(0x4_f000..0x6_0000)));

        region.release(&(0x2_0000..0x4_0000));
        assert!(!region.is_free_for(other, &(0x3_0000..0x3_1000)));
        assert!(region.claim_fixed(other, &(0x2_0000..0x3_0000)));
        region.release(&(0x3_0000..0x5_0000));
        region.release(&(0x2_0000..0x3_0000));
        assert_eq!(region.free_bytes(), 0xf_0000);
    }

    #[test]
    fn what_is_free_from_an_address_on_can_be_claimed() {
        let region = region();
        let (gang, other) = (region.new_gang(), region.new_gang());
        assert!(region.claim_fixed(gang, &(0x3_0000..0x4_0000)));

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
}
