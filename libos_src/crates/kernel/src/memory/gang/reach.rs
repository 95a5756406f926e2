//! The pages of a member as others reach them, whoever is resident.

use core::ops::Range;

use hal::{NoMemory, PAGE_SIZE, Prot};
use locks::{MutexGuard, RwLockWriteGuard};

use super::{Gang, State};
use crate::memory::space::{AddressSpace, Books};

impl Gang {
    /// Runs `act` on the address where a page of member `id` is now, whoever is resident; `None` if
    /// it has no memory. What `act` writes is that member's alone.
    pub(in crate::memory) fn with_page<T>(
        &self,
        id: u64,
        page: u64,
        writes: bool,
        act: impl FnOnce(u64) -> T,
    ) -> Option<T> {
        let mut state = self.state.lock();
        let range = page..page + PAGE_SIZE;
        self.keep_zeros(&mut state, id, &range).ok()?;
        let holding = state.members.get(&id)?;
        if let Some(kept) = holding.saved.find(page) {
            return Some(act(kept));
        }
        if !holding.in_place.contains(&range) {
            return None;
        }
        let mut others = state.members.iter().filter(|(member, _)| **member != id);
        let is_shared = others.any(|(_, other)| other.in_place.contains(&range));
        if writes && is_shared {
            if state.resident == Some(id) {
                self.evict(&mut state, id, &range).ok()?;
            } else {
                self.save(&mut state, id, &range).ok()?;
                self.keep_zeros(&mut state, id, &range).ok()?;
                return state.members.get(&id)?.saved.find(page).map(act);
            }
        }
        Some(act(page))
    }

    /// Keeps a page of member `id` in the store of which it is only noted that it holds zeros.
    fn keep_zeros(
        &self,
        state: &mut MutexGuard<'_, State>,
        id: u64,
        page: &Range<u64>,
    ) -> Result<(), NoMemory> {
        let Some(holding) = state.members.get_mut(&id) else {
            return Ok(());
        };
        if !holding.zeros.contains(page) {
            return Ok(());
        }
        let kept = self.store.take(page.end - page.start)?;
        for run in &kept {
            let zeroed = self.machine.fill(run.start, run.end - run.start, 0);
            zeroed.map_err(|_| NoMemory)?;
        }
        holding.zeros.remove(page);
        holding.saved.insert(page, &kept);
        Ok(())
    }

    /// Gives a member a page that it has not touched yet: in its place, if it is resident.
    /// `prot_if_untouched` tells what its program may do with that, if so it is still.
    pub(in crate::memory) fn give_page(
        &self,
        space: &AddressSpace,
        page: u64,
        content: &[u8],
        prot_if_untouched: impl FnOnce(&Books) -> Option<Prot>,
    ) -> Result<(), NoMemory> {
        let (mut state, mut books) = self.hold_with_books_of(space);
        let prot = prot_if_untouched(&books).ok_or(NoMemory)?;
        let (id, range) = (space.id(), page..page + PAGE_SIZE);
        if state.resident == Some(id) {
            self.evict(&mut state, id, &range)?;
            self.store.forget(&range);
            self.machine.commit_with(page, content, prot)?;
            let holding = state.members.entry(id).or_default();
            holding.in_place.insert(&range);
        } else {
            let kept = self.store.take(PAGE_SIZE)?;
            for run in &kept {
                self.machine
                    .copy_out(run.start, content)
                    .map_err(|_| NoMemory)?;
            }
            let holding = state.members.entry(id).or_default();
            holding.saved.insert(&range, &kept);
        }
        books.committed.insert(&range);
        Ok(())
    }

    /// Holds the gang.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> impl Sized {
        self.state.lock()
    }

    /// Holds the gang, and the books of a member that may not be resident. Who makes that one resident has
    /// the gang and waits for its books; who runs there has its books and waits for the gang. So nobody
    /// waits here who has one of them.
    fn hold_with_books_of<'a>(
        &'a self,
        space: &'a AddressSpace,
    ) -> (MutexGuard<'a, State>, RwLockWriteGuard<'a, Books>) {
        loop {
            let state = self.state.lock();
            if let Some(books) = space.books.try_write() {
                return (state, books);
            }
            drop(state);
            locks::wait_a_moment();
        }
    }
}
