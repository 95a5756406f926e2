//! Where shared pages are.
//!
//! An enclave has no aliases: a page has one address. So what is mapped at several places is, page by
//! page, at that place where it was last used, and has no memory at the others. A touch there is a
//! fault, which moves the page. Pages that nobody may write to can be at several places.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;

use hal::Prot;

use super::pages::PageSet;
use super::share::Rights;
use super::shared::{SharedPages, Wanted};
use super::turns::Turn;

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
    /// Whose turn it is, if it is a gang's.
    pub(super) turn: Option<Turn>,
    /// What each address space may do, by the addresses where it has it mapped.
    users: BTreeMap<u64, BTreeMap<u64, Right>>,
}

/// What an address space may do with some addresses, whose first is the key.
struct Right {
    end: u64,
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
        self.pages.leave(self);
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
            turn: None,
            users: BTreeMap::new(),
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
            turn: None,
            users: BTreeMap::new(),
        }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether it is kept while nobody has it mapped, too.
    pub(super) const fn is_home(&self) -> bool {
        self.is_kept && !self.is_apart
    }

    /// Whether it could show what is wanted, if nothing else is at those addresses.
    pub(super) fn can_show(&self, wanted: &Wanted<'_>) -> bool {
        let shown = self.shown();
        let start = wanted.offset.checked_sub(self.offset);
        let start = start.and_then(|distance| self.start.checked_add(distance));
        self.turn.is_none_or(|turn| turn.gang == wanted.turn.gang)
            && (shown.start..=shown.end).contains(&wanted.offset)
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

    /// Whether it shows some of these bytes.
    pub(super) const fn shows(&self, bytes: &Range<u64>) -> bool {
        let shown = self.shown();
        shown.start < bytes.end && bytes.start < shown.end
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

    /// What anybody may do with the page at `address` who can be there now.
    pub(super) fn prot_at(&self, address: u64) -> Prot {
        let is_there = |user: &u64| self.turn.is_none_or(|turn| turn.resident == *user);
        let users = self.users.iter().filter(|(user, _)| is_there(user));
        let rights = users.filter_map(|(_, all)| right_at(all, address));
        rights.fold(Prot::empty(), |prot, rights| prot | rights.prot)
    }

    /// What an address space may do with the page at `address`.
    pub(super) fn prot_of(&self, space: u64, address: u64) -> Prot {
        let right = self
            .users
            .get(&space)
            .and_then(|all| right_at(all, address));
        right.map_or(Prot::empty(), |rights| rights.prot)
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
        let is_used = |at| self.users.values().any(|all| right_at(all, at).is_some());
        let mut parts = self.parts(range);
        parts.retain(|part| !is_used(part.start));
        parts
    }

    /// Divides a range so that each part has the same users.
    fn parts(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut cuts = Vec::from([range.start, range.end]);
        for all in self.users.values() {
            for (start, right) in all.range(..range.end).rev() {
                if right.end <= range.start {
                    break;
                }
                cuts.extend(
                    [*start, right.end]
                        .into_iter()
                        .filter(|at| range.contains(at)),
                );
            }
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2).map(|ends| ends[0]..ends[1]).collect()
    }

    /// Whether anybody may write somewhere, or may ask to.
    pub(super) fn is_written(&self) -> bool {
        let mut rights = self.users.values().flat_map(BTreeMap::values);
        rights.any(|right| right.rights.most.contains(Prot::WRITE))
    }

    /// The address spaces that have it mapped.
    pub(super) fn users(&self) -> impl ExactSizeIterator<Item = u64> {
        self.users.keys().copied()
    }

    /// Replaces what an address space may do with a range; `None` if it does not map it any more.
    pub(super) fn set_right(&mut self, space: u64, range: &Range<u64>, rights: Option<Rights>) {
        let all = self.users.entry(space).or_default();
        cut(all, range.start);
        cut(all, range.end);
        let replaced: Vec<u64> = all.range(range.clone()).map(|(start, _)| *start).collect();
        for start in replaced {
            all.remove(&start);
        }
        if let Some(rights) = rights.filter(|_| !range.is_empty()) {
            let (mut start, mut end) = (range.start, range.end);
            // Neighbours with the same rights become one.
            if let Some((&before, right)) = all.range(..start).next_back()
                && right.end == start
                && right.rights == rights
            {
                start = before;
            }
            if let Some(behind) = all.get(&end)
                && behind.rights == rights
            {
                let behind_end = behind.end;
                all.remove(&end);
                end = behind_end;
            }
            all.insert(start, Right { end, rights });
        }
        if all.is_empty() {
            self.users.remove(&space);
        }
    }
}

/// Cuts what goes on over an address in two.
fn cut(all: &mut BTreeMap<u64, Right>, address: u64) {
    if let Some((_, right)) = all.range_mut(..address).next_back()
        && address < right.end
    {
        let Right { end, rights } = *right;
        right.end = address;
        all.insert(address, Right { end, rights });
    }
}

fn right_at(all: &BTreeMap<u64, Right>, address: u64) -> Option<Rights> {
    let (_, right) = all.range(..=address).next_back()?;
    (address < right.end).then_some(right.rights)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            turn: None,
            users: BTreeMap::new(),
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
        assert!(spot.users().eq([7, 8]));

        spot.set_right(8, &whole, None);
        assert_eq!(spot.prot_at(0x1_1000), Prot::READ);
        assert!(spot.users().eq([7]));
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

    proptest! {
        #[test]
        fn rights_are_what_a_table_of_pages_says(
            steps in proptest::collection::vec((1..4_u64, 0..12_u64, 1..8_u64, 0..4_u8), 1..40),
        ) {
            let mut spot = spot();
            let mut table = [[None; 20]; 4];
            let address = |page: u64| 0x1_0000 + page * 0x1000;
            for (space, first, count, kind) in steps {
                let range = address(first)..address(first + count);
                let rights = match kind {
                    0 => None,
                    1 => may(Prot::empty()),
                    2 => may(Prot::READ),
                    _ => may(Prot::READ | Prot::WRITE),
                };
                spot.set_right(space, &range, rights);
                table[space as usize][first as usize..(first + count) as usize].fill(rights);
            }
            for page in 0..20 {
                let rights = table.iter().filter_map(|pages| pages[page]);
                let prot = rights.fold(Prot::empty(), |prot, rights| prot | rights.prot);
                prop_assert_eq!(spot.prot_at(address(page as u64)), prot);
            }
            let has_some = |space: &u64| table[*space as usize].iter().any(Option::is_some);
            let users: Vec<u64> = (1..4).filter(has_some).collect();
            prop_assert_eq!(spot.users().collect::<Vec<_>>(), users);
            let all = address(0)..address(20);
            let parts = spot.prots(&all);
            prop_assert_eq!(parts.iter().map(|(part, _)| part.end - part.start).sum::<u64>(), 20 * 0x1000);
            for (part, prot) in parts {
                for page in part.step_by(0x1000) {
                    prop_assert_eq!(spot.prot_at(page), prot);
                }
            }
            let unused: u64 = spot.unused(&all).iter().map(|part| part.end - part.start).sum();
            let free = (0..20).filter(|&page| table.iter().all(|pages| pages[page].is_none()));
            prop_assert_eq!(unused, free.count() as u64 * 0x1000);
        }
    }
}
