//! Where shared pages are.
//!
//! An enclave has no aliases: a page has one address. So what is mapped at several places is, page by
//! page, at that place where it was last used, and has no memory at the others. A touch there is a
//! fault, which moves the page. Pages that nobody may write to can be at several places.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;

use hal::Prot;

use super::pages::PageSet;
use super::share::Rights;
use super::shared::{SharedPages, Wanted};

/// Addresses at which shared pages are mapped: the same for all who map them there.
pub(crate) struct Place {
    pages: Arc<SharedPages>,
    number: u64,
    start: u64,
    offset: u64,
}

/// What shared pages know of one of their places.
pub(super) struct Spot {
    number: u64,
    place: Weak<Place>,
    start: u64,
    /// Where its first page is in the pages.
    offset: u64,
    /// Behind the last page that it shows.
    pub(super) end: u64,
    /// The addresses that are kept.
    pub(super) claimed: PageSet,
    /// Whether they are kept while nobody has them mapped, too.
    is_kept: bool,
    /// Whether it is no place of a mapping, but of pages that wait to be used at one.
    pub(super) is_apart: bool,
    /// The pages that are here.
    pub(super) held: PageSet,
    rights: Vec<Right>,
}

/// What one address space may do with some addresses.
struct Right {
    space: u64,
    range: Range<u64>,
    rights: Rights,
}

impl Place {
    pub(super) fn new(pages: &Arc<SharedPages>, number: u64, start: u64, offset: u64) -> Arc<Self> {
        Arc::new(Self {
            pages: pages.clone(),
            number,
            start,
            offset,
        })
    }

    /// The pages.
    pub(crate) const fn pages(&self) -> &Arc<SharedPages> {
        &self.pages
    }

    /// Which of the places of its pages it is.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The address of the first page.
    pub(crate) const fn start(&self) -> u64 {
        self.start
    }

    /// Where `address` is in the file, or in the pages.
    pub(crate) const fn offset_of(&self, address: u64) -> u64 {
        self.offset + (address - self.start)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pages.leave(self.number);
    }
}

impl Spot {
    pub(super) fn new(place: &Arc<Place>, len: u64, range: &Range<u64>, is_kept: bool) -> Self {
        let mut claimed = PageSet::default();
        claimed.insert(range);
        Self {
            number: place.number,
            place: Arc::downgrade(place),
            start: place.start,
            offset: place.offset,
            end: place.start + len,
            claimed,
            is_kept,
            is_apart: false,
            held: PageSet::default(),
            rights: Vec::new(),
        }
    }

    /// One where pages wait to be used at another, from `offset` on in the pages: all of them are there.
    pub(super) fn apart(number: u64, range: &Range<u64>, offset: u64) -> Self {
        let mut held = PageSet::default();
        held.insert(range);
        Self {
            number,
            place: Weak::new(),
            start: range.start,
            offset,
            end: range.end,
            claimed: held.clone(),
            is_kept: true,
            is_apart: true,
            held,
            rights: Vec::new(),
        }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether it could show what is wanted, if nothing else is at those addresses.
    pub(super) fn can_show(&self, wanted: &Wanted<'_>) -> bool {
        let shown = self.shown();
        let start = wanted.offset.checked_sub(self.offset);
        let start = start.and_then(|distance| self.start.checked_add(distance));
        (shown.start..=shown.end).contains(&wanted.offset)
            && (wanted.fixed.is_none() || wanted.fixed == start)
    }

    pub(super) fn place(&self) -> Option<Arc<Place>> {
        self.place.upgrade()
    }

    pub(super) const fn offset_of(&self, address: u64) -> u64 {
        self.offset + (address - self.start)
    }

    /// What it shows of the pages.
    pub(super) const fn shown(&self) -> Range<u64> {
        self.offset..self.offset_of(self.end)
    }

    /// Whether two places show some of the same.
    pub(super) const fn overlaps(&self, other: &Self) -> bool {
        let (one, other) = (self.shown(), other.shown());
        one.start < other.end && other.start < one.end
    }

    /// What is shown at some addresses.
    pub(super) fn bytes_of(&self, range: &Range<u64>) -> Range<u64> {
        let clipped = |at: u64| self.offset_of(at.clamp(self.start, self.end));
        clipped(range.start)..clipped(range.end)
    }

    /// The addresses of what is shown of some of the pages.
    pub(super) fn addresses(&self, bytes: &Range<u64>) -> Range<u64> {
        let len = self.end - self.start;
        let start = self.start + bytes.start.saturating_sub(self.offset).min(len);
        let end = self.start + bytes.end.saturating_sub(self.offset).min(len);
        start..end.max(start)
    }

    /// What anybody may do with the page at `address`.
    pub(super) fn prot_at(&self, address: u64) -> Prot {
        let rights = self.rights.iter();
        let at = rights.filter(|right| right.range.contains(&address));
        at.fold(Prot::empty(), |prot, right| prot | right.rights.prot)
    }

    /// The parts of a range with what anybody may do there.
    pub(super) fn prots(&self, range: &Range<u64>) -> Vec<(Range<u64>, Prot)> {
        let parts = self.parts(range).into_iter();
        parts
            .map(|part| (part.clone(), self.prot_at(part.start)))
            .collect()
    }

    /// The parts of a range that nobody has mapped, and that need not be kept.
    pub(super) fn unused(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        if self.is_kept {
            return Vec::new();
        }
        let is_used = |at| self.rights.iter().any(|right| right.range.contains(&at));
        let mut parts = self.parts(range);
        parts.retain(|part| !is_used(part.start));
        parts
    }

    /// Divides a range so that each part has the same users.
    fn parts(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut cuts = Vec::from([range.start, range.end]);
        for right in &self.rights {
            let ends = [right.range.start, right.range.end].into_iter();
            cuts.extend(ends.filter(|at| range.contains(at)));
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2).map(|ends| ends[0]..ends[1]).collect()
    }

    /// Whether anybody may write somewhere, or may ask to.
    pub(super) fn is_written(&self) -> bool {
        self.rights
            .iter()
            .any(|right| right.rights.most.contains(Prot::WRITE))
    }

    /// The address spaces that have it mapped.
    pub(super) fn users(&self) -> Vec<u64> {
        let mut spaces: Vec<u64> = self.rights.iter().map(|right| right.space).collect();
        spaces.sort_unstable();
        spaces.dedup();
        spaces
    }

    /// Replaces what an address space may do with a range; `None` if it does not map it any more.
    pub(super) fn set_right(&mut self, space: u64, range: &Range<u64>, rights: Option<Rights>) {
        let mut kept = Vec::with_capacity(self.rights.len() + 2);
        for right in self.rights.drain(..) {
            let is_apart = right.range.end <= range.start || range.end <= right.range.start;
            if right.space != space || is_apart {
                kept.push(right);
                continue;
            }
            let before = right.range.start..range.start;
            let behind = range.end..right.range.end;
            let rests = [before, behind].into_iter().filter(|rest| !rest.is_empty());
            kept.extend(rests.map(|range| Right {
                space,
                range,
                rights: right.rights,
            }));
        }
        kept.extend(rights.map(|rights| Right {
            space,
            range: range.clone(),
            rights,
        }));
        self.rights = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(prot: Prot) -> Option<Rights> {
        let most = prot;
        Some(Rights { prot, most })
    }

    fn spot() -> Spot {
        Spot {
            number: 1,
            place: Weak::new(),
            start: 0x1_0000,
            offset: 0x2000,
            end: 0x1_4000,
            claimed: PageSet::default(),
            is_kept: false,
            is_apart: false,
            held: PageSet::default(),
            rights: Vec::new(),
        }
    }

    #[test]
    fn a_page_allows_what_any_of_its_users_may_do_and_no_more_once_that_one_is_gone() {
        let mut spot = spot();
        spot.set_right(7, &(0x1_0000..0x1_4000), may(Prot::READ));
        spot.set_right(8, &(0x1_1000..0x1_2000), may(Prot::WRITE));
        spot.set_right(7, &(0x1_3000..0x1_4000), may(Prot::empty()));

        let all = Prot::READ | Prot::WRITE;
        let whole = 0x1_0000..0x1_4000;
        assert_eq!(
            spot.prots(&whole),
            [
                (0x1_0000..0x1_1000, Prot::READ),
                (0x1_1000..0x1_2000, all),
                (0x1_2000..0x1_3000, Prot::READ),
                (0x1_3000..0x1_4000, Prot::empty()),
            ]
        );
        assert_eq!(spot.users(), [7, 8]);

        spot.set_right(8, &whole, None);
        assert_eq!(spot.prot_at(0x1_1000), Prot::READ);
        assert_eq!(spot.users(), [7]);
        assert!(spot.unused(&whole).is_empty());
        spot.set_right(7, &(0x1_2000..0x1_3000), None);
        let unused = spot.unused(&whole);
        assert_eq!(unused.first(), Some(&(0x1_2000..0x1_3000)));
        assert_eq!(unused.len(), 1);
        assert!(!spot.is_written());
    }

    #[test]
    fn a_place_shows_a_part_of_the_pages() {
        let spot = spot();

        assert_eq!(spot.shown(), 0x2000..0x6000);
        assert_eq!(spot.addresses(&(0x3000..0x4000)), 0x1_1000..0x1_2000);
        assert_eq!(spot.addresses(&(0..0x3000)), 0x1_0000..0x1_1000);
        assert_eq!(spot.addresses(&(0x5000..u64::MAX)), 0x1_3000..0x1_4000);
        assert!(spot.addresses(&(0..0x1000)).is_empty());
    }
}
