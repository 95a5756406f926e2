//! Shared memory at addresses where members of a gang have different things.
//!
//! The addresses are then the gang's, and nobody else shows the pages there. They are there as long as
//! the resident member has them mapped; else they wait apart, or are where others show them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, NoMemory, PAGE_SIZE, Prot};
use locks::MutexGuard;

use super::content::chunk_of;
use super::pages::PageSet;
use super::place::{Place, Spot};
use super::region::{GangId, Use};
use super::shared::{SharedMemory, SharedPages, Taking};
use super::space::{AddressSpace, Books};
use super::spots::State;

/// Whose a place is, if it is a gang's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(super) gang: GangId,
    /// The member whose pages are there, and who may do with them what they allow.
    pub(super) resident: u64,
}

impl AddressSpace {
    /// Its turn, which it has.
    pub(super) fn turn(&self) -> Turn {
        Turn {
            gang: self.gang.id(),
            resident: self.id(),
        }
    }

    /// Claims exactly `range` for private memory; whether nobody but its gang uses a part of it.
    pub(super) fn claim(&self, books: &Books, range: &Range<u64>, purpose: Use) -> bool {
        let claim = || (self.region).claim_fixed(self.gang.id(), range, purpose);
        claim() || self.contend(books, range) && claim()
    }

    /// Makes the shared memory of a range that of its gang; whether no other has any there, and nobody
    /// but its members shows what they have. Those members are to have nothing there any more that
    /// this one has something.
    pub(super) fn contend(&self, books: &Books, range: &Range<u64>) -> bool {
        let owners = [self.gang.id(), self.shared.owner()];
        if !self.region.belongs_to(range, owners) {
            return false;
        }
        let members = self.gang.members();
        let places = self.shared.places_below(range.end);
        places.iter().all(|place| {
            let shown = books.shown_of(place);
            let is_ours = place
                .pages()
                .divide(place, range, (&members, self.turn()), &shown);
            if is_ours == Ok(true) {
                self.gang.add_turn(place);
            }
            is_ours.is_ok()
        })
    }

    /// Has each member of its gang do what it may do with a part of a place, if nobody else shows it, and
    /// they may not all do the same.
    pub(super) fn divide_rights(&self, books: &Books, place: &Place, range: &Range<u64>) {
        if self.gang.is_shared() && place.pages().others_may_more(place, self.id(), range) {
            // If it cannot be, they all may do what any of them may.
            self.contend(books, range);
        }
    }

    /// What its gang shares is as this member has it.
    pub(super) fn take_turn(&self, books: &Books) -> Result<(), NoMemory> {
        let places = self.gang.turns();
        places.iter().try_for_each(|place| {
            let shown = books.shown_of(place);
            place.pages().take_turn(place, self.turn(), &shown)
        })
    }
}

impl Books {
    /// Where a place is mapped.
    pub(super) fn shown_of(&self, place: &Arc<Place>) -> PageSet {
        let mut shown = PageSet::default();
        for (start, area) in self.areas.iter().filter(|_| self.has_shared) {
            if area.shared().is_some_and(|other| Arc::ptr_eq(other, place)) {
                shown.insert(&(start..area.end));
            }
        }
        shown
    }
}

impl SharedMemory {
    /// The places that begin below an address.
    fn places_below(&self, end: u64) -> Vec<Arc<Place>> {
        let places = self.places.lock();
        let below = places.range(..(end, 0, 0));
        below.filter_map(|(_, place)| place.upgrade()).collect()
    }
}

impl SharedPages {
    /// Makes a place that has addresses of `range` the gang's; whether it became so. `shown` is what the
    /// resident member has of it.
    ///
    /// # Errors
    /// Others show it, too, or there is no memory.
    fn divide(
        &self,
        place: &Place,
        range: &Range<u64>,
        (members, turn): (&[u64], Turn),
        shown: &PageSet,
    ) -> Result<bool, NoMemory> {
        let mut state = self.state.lock();
        let number = place.number();
        let Some(spot) = state.spot(number) else {
            return Ok(false);
        };
        if spot.claimed.present(range).is_empty() {
            return Ok(false);
        }
        match spot.turn {
            Some(other) if other.gang == turn.gang => return Ok(false),
            Some(_) => return Err(NoMemory),
            None if !spot.users().all(|user| members.contains(&user)) => return Err(NoMemory),
            None => {}
        }
        self.step_aside(&mut state, number, shown)?;
        let Some(spot) = state.spot(number) else {
            return Ok(false);
        };
        for run in spot.claimed.iter() {
            self.region().hand_over(&run, turn.gang);
        }
        self.set_turn(&mut state, number, turn)?;
        Ok(true)
    }

    /// Another member of its gang has its pages at a place now, where it has it mapped.
    pub(super) fn take_turn(
        &self,
        place: &Place,
        turn: Turn,
        shown: &PageSet,
    ) -> Result<(), NoMemory> {
        let mut state = self.state.lock();
        self.step_aside(&mut state, place.number(), shown)?;
        self.set_turn(&mut state, place.number(), turn)?;
        // A member that is gone may have left its pages there.
        if let Some(spot) = state.spot(place.number()) {
            for part in shown.iter().flat_map(|run| spot.held.missing(&run)) {
                self.machine.bar(part.start, part.end - part.start);
            }
        }
        Ok(())
    }

    /// Has the pages of a place wait elsewhere that are not `shown`.
    fn step_aside(&self, state: &mut State, number: u64, shown: &PageSet) -> Result<(), NoMemory> {
        let held = state.spot(number).map(|spot| spot.held.iter());
        let held: Vec<Range<u64>> = held.into_iter().flatten().collect();
        let mut hidden = held.iter().flat_map(|run| shown.missing(run));
        hidden.try_for_each(|run| self.put_aside(state, number, &run))
    }

    /// The same for some pages. If there is no memory they stay.
    pub(super) fn put_aside(
        &self,
        state: &mut State,
        number: u64,
        range: &Range<u64>,
    ) -> Result<(), NoMemory> {
        let Some(spot) = state.spot(number) else {
            return Ok(());
        };
        let held = spot.held.present(range).into_iter();
        let pages = held.flat_map(|run| run.step_by(PAGE_SIZE as usize));
        let pages: Vec<(u64, u64)> = pages.map(|page| (page, spot.offset_of(page))).collect();
        let mut only_here = PageSet::default();
        for (page, offset) in &pages {
            if state.holders(number, *offset).is_empty() {
                only_here.insert(&(*page..page + PAGE_SIZE));
            }
        }
        for run in only_here.iter() {
            // From here on nobody changes it any more.
            self.machine
                .protect(run.start, run.end - run.start, Prot::READ)?;
            self.machine.settle();
            if let Err(error) = self.set_apart(state, number, &run) {
                let prots = state.spot(number).map(|spot| spot.prots(&run));
                let _ = self.enforce(state, number, prots.unwrap_or_default());
                return Err(error);
            }
        }
        if let Some(spot) = state.spot(number) {
            let bytes = spot.bytes_of(range);
            state.give_back(self.machine, number, &bytes);
            self.machine.settle();
        }
        Ok(())
    }

    fn set_turn(&self, state: &mut State, number: u64, turn: Turn) -> Result<(), NoMemory> {
        let Some(spot) = state.spot_mut(number) else {
            return Ok(());
        };
        let held: Vec<Range<u64>> = spot.held.iter().collect();
        let prots =
            |spot: &Spot| -> Vec<_> { held.iter().flat_map(|run| spot.prots(run)).collect() };
        let before = prots(spot);
        spot.turn = Some(turn);
        let mut after = prots(spot);
        after.retain(|part| !before.contains(part));
        self.enforce(state, number, after)
    }

    /// Whether others may do something with a part of a place that this address space may not.
    fn others_may_more(&self, place: &Place, space: u64, range: &Range<u64>) -> bool {
        let state = self.state.lock();
        let spot = state.spot(place.number());
        spot.is_some_and(|spot| {
            let mut prots = spot.prots(range).into_iter();
            prots.any(|(part, prot)| prot != spot.prot_of(space, part.start))
        })
    }

    /// Whether a place is that of a gang.
    pub(super) fn is_in_turn(&self, place: &Place) -> bool {
        let state = self.state.lock();
        let spot = state.spot(place.number());
        spot.is_some_and(|spot| spot.turn.is_some())
    }

    /// Whether a gang's members may show a place.
    pub(super) fn is_open_to(&self, place: &Place, gang: GangId) -> bool {
        let state = self.state.lock();
        let spot = state.spot(place.number());
        spot.is_some_and(|spot| spot.turn.is_none_or(|turn| turn.gang == gang))
    }

    /// Reads bytes of one page that a place shows, wherever they are.
    ///
    /// # Errors
    /// `EFAULT` behind the end, or without memory.
    pub(super) fn look_in(
        &self,
        place: &Place,
        address: u64,
        bytes: &mut [u8],
    ) -> Result<(), Errno> {
        let page = super::page_floor(address);
        let (_state, _, at) = self.find(place, page, Prot::READ).ok_or(Errno::EFAULT)?;
        let mut content = chunk_of(&(page..page + PAGE_SIZE)).map_err(|_| Errno::EFAULT)?;
        self.read_page(at, &mut content)
            .map_err(|_| Errno::EFAULT)?;
        let first = (address - page) as usize;
        bytes.copy_from_slice(&content[first..first + bytes.len()]);
        Ok(())
    }

    /// Changes bytes of one page that a place shows, wherever they are.
    ///
    /// # Errors
    /// The same.
    pub(super) fn put_in(&self, place: &Place, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let page = super::page_floor(address);
        let found = self.find(place, page, Prot::WRITE);
        let (state, number, at) = found.ok_or(Errno::EFAULT)?;
        let spot = state.spot(number).ok_or(Errno::EFAULT)?;
        self.put(spot, at + (address - page), bytes)
    }

    /// Where a page is that a place shows, and what keeps it there; it gets memory if it has none.
    fn find(
        &self,
        place: &Place,
        page: u64,
        access: Prot,
    ) -> Option<(MutexGuard<'_, State>, u64, u64)> {
        let mut state = self.state.lock();
        let offset = place.offset_of(page);
        if offset >= self.content_end() {
            return None;
        }
        if state.holder(offset, access, self.machine).is_none() {
            if state.spot(place.number())?.turn.is_some() {
                self.make_apart(&mut state, offset).ok()?;
            } else {
                drop(state);
                let pages = page..page + PAGE_SIZE;
                self.populate(place, &pages, Taking::Nothing).ok()?;
                state = self.state.lock();
            }
        }
        let (number, at) = state.holder(offset, access, self.machine)?;
        Some((state, number, at))
    }

    /// Makes a page that waits to be used.
    fn make_apart(&self, state: &mut State, offset: u64) -> Result<(), NoMemory> {
        let mut content = chunk_of(&(0..PAGE_SIZE))?;
        self.read_file(offset, &mut content)?;
        let place = self.claim_apart(PAGE_SIZE)?;
        let made = self
            .machine
            .commit_with(place.start, &content, Prot::empty());
        if made.is_err() {
            self.region().release(&place);
            return Err(NoMemory);
        }
        let number = state.new_number();
        state.add(Spot::apart(number, &place, offset));
        Ok(())
    }
}
