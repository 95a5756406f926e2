//! Shared pages that are at no address where somebody shows them, and wait until they are touched.

use core::ops::Range;

use alloc::vec::Vec;

use hal::{NoMemory, Prot};

use super::SharedPages;
use crate::memory::place::{Place, Spot};
use crate::memory::region::Use;
use crate::memory::spots::State;
use crate::memory::transfer::copy;

impl SharedPages {
    /// Has the pages of a range of a place, which is to end, wait if they are nowhere else and no file
    /// keeps them.
    pub(in crate::memory) fn keep(
        &self,
        place: &Place,
        range: &Range<u64>,
    ) -> Result<(), NoMemory> {
        let mut state = self.state.lock();
        let number = place.number();
        let Some(spot) = state.spot(number).filter(|_| self.file.is_none()) else {
            return Ok(());
        };
        for run in spot.held.present(range) {
            self.set_apart(&mut state, number, &run)?;
        }
        Ok(())
    }

    /// Copies pages of a place to where they wait.
    pub(in crate::memory) fn set_apart(
        &self,
        state: &mut State,
        from: u64,
        run: &Range<u64>,
    ) -> Result<(), NoMemory> {
        let shown = state.spot(from).ok_or(NoMemory)?;
        let offset = shown.offset_of(run.start);
        let len = run.end - run.start;
        let place = self.claim_apart(len)?;
        let committed = self.machine.commit_to_fill(place.start, len);
        let copied = committed.and_then(|()| copy(self.machine, place.start, run.start, len));
        let closed = copied.and_then(|()| self.machine.protect(place.start, len, Prot::empty()));
        if closed.is_err() {
            self.machine.decommit(place.start, len);
            self.memory.region.release(&place);
            return Err(NoMemory);
        }
        let number = state.new_number();
        state.add(Spot::apart(number, &place, offset));
        Ok(())
    }

    /// Addresses where pages wait.
    pub(in crate::memory) fn claim_apart(&self, len: u64) -> Result<Range<u64>, NoMemory> {
        let memory = &self.memory;
        let unknown = memory.region.claim_unknown(memory.owner, len);
        let anywhere = || memory.claim(len, 0, (None, None), Use::Memory).ok();
        let place = unknown.or_else(anywhere).ok_or(NoMemory)?;
        memory.region.leftovers.forget(&place);
        Ok(place)
    }

    /// Gives back where pages waited that do so no more.
    pub(super) fn close_apart(&self, state: &mut State) {
        let is_over = |spot: &&Spot| spot.is_apart && spot.held.is_empty();
        let over: Vec<u64> = state.spots().filter(is_over).map(Spot::number).collect();
        for number in over {
            for part in state
                .spot(number)
                .into_iter()
                .flat_map(|it| it.claimed.iter())
            {
                self.memory.region.release(&part);
            }
            state.remove(number);
        }
    }
}
