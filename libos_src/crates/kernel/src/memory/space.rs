//! One address space.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hal::{Errno, Machine, NoMemory, Prot};
use locks::{MutexGuard, RwLock};

use super::Layout;
use super::area::{Area, Areas};
use super::cut::Cuts;
use super::gang::Gang;
use super::heap::Heap;
use super::pages::PageSet;
use super::patch::Patches;
use super::place::Place;
use super::plans::Plans;
use super::region::Region;
use super::shared::SharedMemory;
use super::shortage::Shortages;
use super::spots::State;
use super::store::Store;
use super::unsearched::Unsearched;
use crate::syscalls::room;
use crate::threads::{FutexKey, FutexWord, Thread};

/// So many areas, and no more bytes, are given back at a time.
const PART_AREAS: usize = 256;
const PART_BYTES: u64 = 64 << 20;

/// What is unmapped of less than this does not count for the peaks.
const PEAK_STEP_BYTES: u64 = 64 * 1024;

/// The memory of a process.
///
/// `Books` says what every address is; the machine holds the bytes; the region says which addresses
/// belong to whom. Every change goes through a method here, which keeps the three in step under one
/// lock. Dropping it gives everything back.
pub(crate) struct AddressSpace {
    pub(super) machine: &'static dyn Machine,
    pub(super) layout: Layout,
    pub(super) paging: Paging,
    pub(super) region: Arc<Region>,
    pub(super) gang: Arc<Gang>,
    pub(super) store: Arc<Store>,
    pub(super) plans: Arc<Plans>,
    pub(super) shared: Arc<SharedMemory>,
    pub(super) books: RwLock<Books>,
    pub(super) shortages: Arc<Shortages>,
    pub(super) cuts: Cuts,
    /// No other address space ever has this number.
    id: u64,
    /// How many processes live in it.
    users: AtomicUsize,
}

/// What all address spaces of an enclave have in common.
#[derive(Clone)]
pub(crate) struct Foundation {
    /// The machine.
    pub(crate) machine: &'static dyn Machine,
    /// The sizes that each gets.
    pub(crate) layout: Layout,
    /// When pages get memory.
    pub(crate) paging: Paging,
    /// Whose addresses are whose.
    pub(super) region: Arc<Region>,
    /// Where pages are kept that are not in their place.
    pub(super) store: Arc<Store>,
    /// What is known of texts that were mapped before.
    pub(super) plans: Arc<Plans>,
    /// What several processes show.
    pub(crate) shared: Arc<SharedMemory>,
    /// What was already told about too little memory.
    pub(crate) shortages: Arc<Shortages>,
}

/// The most areas of an address space (`max_map_count`). Tests have less memory.
pub(crate) const AREAS_MAX: usize = if cfg!(test) { 1000 } else { 65530 };

/// When pages get memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    /// When they become accessible. Without EDMM no access faults, so nothing can be put off.
    Eager,
    /// When they are first touched.
    OnDemand,
}

/// What is where.
#[derive(Default)]
pub(super) struct Books {
    pub(super) areas: Areas,
    pub(super) committed: PageSet,
    pub(super) heap: Heap,
    pub(super) stack: Range<u64>,
    pub(super) patches: Patches,
    pub(super) unsearched: Unsearched,
    /// Bytes of areas that count for the limit of `mmap`.
    pub(super) mmapped_bytes: u64,
    /// Claims that are no areas and no room for the heap: the guard of the stack.
    pub(super) reserved: Vec<Range<u64>>,
    /// Whether there may be pages that others have, too.
    pub(super) has_shared: bool,
    /// The most that was mapped and that had memory, before what is now.
    peak_bytes: (u64, u64),
    /// Whether all that is mapped from now on is to stay in memory (`MCL_FUTURE`).
    pub(super) locks_all: bool,
    /// What the program was told when it began (`AT_*`).
    auxiliary: Arc<[u8]>,
    /// Where its arguments and its environment are, one string behind the other.
    strings: [Range<u64>; 2],
    /// The barriers that its threads may ask for, as `membarrier` has them.
    barriers: u32,
}

impl Foundation {
    /// The beginnings of address spaces on `machine`.
    pub(crate) fn new(machine: &'static dyn Machine, layout: Layout, paging: Paging) -> Self {
        let (user, backed) = (layout.user.clone(), layout.backed.clone());
        let region = Region::new(user, backed, layout.memory_bytes);
        Self {
            machine,
            store: Store::new(machine, region.clone(), paging),
            shared: SharedMemory::new(machine, region.clone(), paging),
            region,
            layout,
            paging,
            plans: Arc::default(),
            shortages: Arc::default(),
        }
    }
}

impl AddressSpace {
    /// An empty address space.
    pub(crate) fn new(foundation: &Foundation) -> Arc<Self> {
        let (machine, store) = (foundation.machine, foundation.store.clone());
        let (id, gang) = (next_id(), foundation.region.new_gang());
        let gang = Gang::new(gang, id, machine, store);
        foundation.region.introduce(&gang);
        let space = Arc::new(Self::member(foundation, id, gang));
        space.gang.introduce(&space);
        space
    }

    /// An empty address space for a program that must lie in `range`: it takes turns with a
    /// program that lies there already. `None` when there are several such.
    pub(crate) fn around(foundation: &Foundation, range: &Range<u64>) -> Option<Arc<Self>> {
        let gangs = foundation.region.gangs_in(range);
        let gang = match gangs.as_slice() {
            [] => return Some(Self::new(foundation)),
            [gang] => gang.clone(),
            _ => return None,
        };
        let space = Arc::new(Self::member(foundation, next_id(), gang));
        if space.gang.join(&space) {
            Some(space)
        } else {
            // What was there is going away.
            Some(Self::new(foundation))
        }
    }

    fn member(foundation: &Foundation, id: u64, gang: Arc<Gang>) -> Self {
        Self {
            machine: foundation.machine,
            layout: foundation.layout.clone(),
            paging: foundation.paging,
            gang,
            region: foundation.region.clone(),
            store: foundation.store.clone(),
            plans: foundation.plans.clone(),
            shared: foundation.shared.clone(),
            books: RwLock::default(),
            shortages: foundation.shortages.clone(),
            cuts: Cuts::default(),
            id,
            users: AtomicUsize::new(1),
        }
    }

    /// One that has the same addresses and a number of its own.
    pub(super) fn sibling(&self, books: Books) -> Arc<Self> {
        let space = Arc::new(Self {
            machine: self.machine,
            layout: self.layout.clone(),
            paging: self.paging,
            gang: self.gang.clone(),
            region: self.region.clone(),
            store: self.store.clone(),
            plans: self.plans.clone(),
            shared: self.shared.clone(),
            books: RwLock::new(books),
            shortages: self.shortages.clone(),
            cuts: self.cuts.twin(),
            id: next_id(),
            users: AtomicUsize::new(1),
        });
        space.gang.introduce(&space);
        space
    }

    /// A number that no other address space ever has.
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// The barriers that its threads have said they will ask for. A copy of it has them, too.
    pub(crate) fn barriers(&self) -> u32 {
        self.books.read().barriers
    }

    /// They will ask for these as well.
    pub(crate) fn add_barriers(&self, barriers: u32) {
        self.books.write().barriers |= barriers;
    }

    /// The auxiliary vector that the program was given.
    pub(crate) fn auxiliary(&self) -> Arc<[u8]> {
        self.books.read().auxiliary.clone()
    }

    /// It was given this one.
    pub(crate) fn set_auxiliary(&self, vector: &[u8]) {
        self.books.write().auxiliary = vector.into();
    }

    /// Where the program's arguments and its environment were when it began.
    pub(crate) fn strings(&self) -> [Range<u64>; 2] {
        self.books.read().strings.clone()
    }

    /// They are there.
    pub(crate) fn set_strings(&self, strings: [Range<u64>; 2]) {
        self.books.write().strings = strings;
    }

    /// Who takes turns in it.
    pub(crate) const fn gang(&self) -> &Arc<Gang> {
        &self.gang
    }

    /// The sizes that it was given.
    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Another process lives here, too.
    pub(crate) fn join(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// A process lives here no more; the last one leaves nothing behind. Returns who is to look
    /// again whether it can have the addresses.
    pub(crate) fn leave(&self) -> Option<Arc<Thread>> {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.clear()
        } else {
            None
        }
    }

    /// Whether nobody keeps its books.
    #[cfg(test)]
    pub(crate) fn has_free_books(&self) -> bool {
        self.books.try_write().is_some()
    }

    /// Whether several processes live here.
    pub(crate) fn is_shared(&self) -> bool {
        self.users.load(Ordering::Acquire) > 1
    }

    /// Whether two addresses show the same shared page.
    pub(crate) fn is_same_page(&self, one: u64, other: u64) -> bool {
        let [one, other] =
            [one, other].map(|at| self.futex_key(FutexWord::of_all(super::page_floor(at))));
        matches!(one, FutexKey::Shared(..)) && one == other
    }

    /// Which futex a word is.
    pub(crate) fn futex_key(&self, word: FutexWord) -> FutexKey {
        let FutexWord { address, is_own } = word;
        if is_own {
            return FutexKey::Own(self.id, address);
        }
        let books = self.books.read();
        let area = books.areas.find(address).filter(|_| books.has_shared);
        if let Some(place) = area.and_then(|(_, area)| area.shared()) {
            return FutexKey::Shared(place.pages().id(), place.offset_of(address));
        }
        FutexKey::Private(self.id, address)
    }

    /// The memory that processes share.
    pub(crate) const fn shared_memory(&self) -> &Arc<SharedMemory> {
        &self.shared
    }

    /// The first thread's stack.
    pub(crate) fn stack(&self) -> Range<u64> {
        self.books.read().stack.clone()
    }

    /// Whether there may be so many more areas.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn check_areas(&self, books: &Books, more: usize) -> Result<(), Errno> {
        if books.areas.len() + more <= AREAS_MAX {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    /// Unmaps every page of a range; what is not mapped there stays so.
    pub(crate) fn unmap(&self, address: u64, len: u64) -> Result<(), Errno> {
        let range = self.checked_range(address, len)?;
        let mut books = self.books.write();
        let [first, last] = [range.start, range.end].map(|at| books.areas.find(at).map(|it| it.0));
        if first == last && books.areas.cuts(&range) == 2 {
            // It makes two of one.
            self.check_areas(&books, 1)?;
            room::check(self.machine)?;
        }
        // What the program never mapped stays: jumps of text elsewhere lead there.
        let mut rest = range.clone();
        while let Some(stubs) = books.stubs_of_others(&range, &rest) {
            let part = rest.start..stubs.start;
            self.discard(&mut books, &part);
            self.gang.note_unmapped(&part);
            rest.start = stubs.end.min(range.end);
        }
        self.discard(&mut books, &rest);
        self.gang.note_unmapped(&rest);
        Ok(())
    }

    /// Refuses to put something where jumps of text lead that stays.
    ///
    /// # Errors
    /// `ENOMEM`: on Linux the place would be free.
    pub(super) fn check_no_stubs(&self, books: &Books, range: &Range<u64>) -> Result<(), Errno> {
        match books.stubs_of_others(range, range) {
            Some(_) => Err(Errno::ENOMEM),
            None => Ok(()),
        }
    }

    /// Unmaps everything: the program that was here is over. Returns who is to look again whether
    /// it can have the addresses.
    pub(crate) fn clear(&self) -> Option<Arc<Thread>> {
        let mut books = core::mem::take(&mut *self.books.write());
        let retire = |run: &Range<u64>| self.machine.retire(run.start, run.end - run.start);
        for run in books.committed.iter() {
            if self.gang.is_shared() {
                let unheld = self.gang.forget_pages(self.id, &run);
                unheld.iter().for_each(retire);
            } else {
                retire(&run);
            }
        }
        if self.machine.keeps_retired() && !self.gang.is_shared() {
            self.leave_behind(&books);
        }
        // While it has its turn.
        for (start, area) in books.areas.iter() {
            if let Some(place) = area.shared() {
                self.give_up(place, &(start..area.end));
            }
        }
        let next = self.gang.part(self.id);
        for (start, area) in books.areas.take_all() {
            if area.shared().is_none() {
                self.region.release(&(start..area.end));
            }
        }
        self.region.release(books.heap.room());
        for range in &books.reserved {
            self.region.release(range);
        }
        next
    }

    /// Makes pages usable that are not.
    pub(super) fn commit(&self, run: &Range<u64>, prot: Prot) -> Result<(), NoMemory> {
        self.commit_by(run, || {
            self.machine.commit(run.start, run.end - run.start, prot)
        })
    }

    /// Makes pages readable and writable that are not, and that the caller fills before anybody
    /// else may look: what is in them is unspecified.
    pub(super) fn commit_to_fill(&self, run: &Range<u64>) -> Result<(), NoMemory> {
        self.commit_by(run, || {
            self.machine.commit_to_fill(run.start, run.end - run.start)
        })
    }

    /// Makes pages usable that are not, and that hold `bytes` from the first moment on.
    pub(super) fn commit_with(
        &self,
        run: &Range<u64>,
        bytes: &[u8],
        prot: Prot,
    ) -> Result<(), NoMemory> {
        self.commit_by(run, || self.machine.commit_with(run.start, bytes, prot))
    }

    fn commit_by(
        &self,
        run: &Range<u64>,
        commit: impl FnOnce() -> Result<(), NoMemory>,
    ) -> Result<(), NoMemory> {
        self.region.leftovers.forget(run);
        let is_shared = self.gang.is_shared();
        if is_shared {
            self.gang.evict_others(self.id, run)?;
        }
        commit()?;
        if is_shared {
            self.gang.note_in_place(self.id, run);
        }
        Ok(())
    }

    /// Gives usable pages back.
    pub(super) fn decommit(&self, run: &Range<u64>) {
        if !self.gang.is_shared() {
            return self.machine.decommit(run.start, run.end - run.start);
        }
        for run in self.gang.forget_pages(self.id, run) {
            self.machine.decommit(run.start, run.end - run.start);
        }
    }

    /// Changes what may be done with usable pages. They are nobody else's from now on, as others may do
    /// with theirs what they could before.
    pub(super) fn set_prot(&self, run: &Range<u64>, prot: Prot) -> Result<(), NoMemory> {
        if self.gang.is_shared() {
            self.gang.evict_others(self.id, run)?;
        }
        self.machine.protect(run.start, run.end - run.start, prot)
    }

    /// Makes pages inaccessible that a program that is gone may have left accessible.
    pub(super) fn bar(&self, range: &Range<u64>) {
        // Others of the gang may have theirs there.
        if !self.gang.is_shared() {
            self.machine.bar(range.start, range.end - range.start);
        }
    }

    /// Most of a range will be filled, in several steps.
    pub(crate) fn expect_content(&self, address: u64, len: u64) {
        let is_there = self.region.leftovers.are_in(&(address..address + len));
        if self.paging == Paging::Eager && !is_there {
            self.machine.prepare(address, len);
        }
    }

    /// Whether its pages are in their place, so that they can be reached.
    pub(super) fn is_resident(&self) -> bool {
        self.gang.is_resident(self.id)
    }

    /// The page-aligned range of a call: `EINVAL` unless it starts on a page, has a length and lies
    /// in the user region.
    pub(super) fn checked_range(&self, address: u64, len: u64) -> Result<Range<u64>, Errno> {
        let len = super::page_ceiling(len)
            .filter(|&len| len != 0)
            .ok_or(Errno::EINVAL)?;
        let end = address.checked_add(len).ok_or(Errno::EINVAL)?;
        let user = &self.layout.user;
        let inside = user.start <= address && end <= user.end;
        if !inside || super::page_floor(address) != address {
            return Err(Errno::EINVAL);
        }
        Ok(address..end)
    }

    /// Takes a range out of the books and gives its pages and addresses back.
    pub(super) fn discard(&self, books: &mut Books, range: &Range<u64>) {
        // Before it becomes less.
        if range.end - range.start >= PEAK_STEP_BYTES {
            books.peak_bytes = books.peak_bytes();
        }
        // In parts, for each of which little is noted.
        let mut rest = range.clone();
        while !rest.is_empty() {
            let end = books.areas.end_of_first(PART_AREAS, &rest);
            let end = end.min(rest.start.saturating_add(PART_BYTES));
            self.discard_part(books, &(rest.start..end));
            rest.start = end;
        }
    }

    fn discard_part(&self, books: &mut Books, range: &Range<u64>) {
        if books.has_shared {
            for (start, area) in books.areas.overlapping(range) {
                if let Some(place) = area.shared() {
                    self.give_up(place, &(start.max(range.start)..area.end.min(range.end)));
                }
            }
        }
        let removed = books.take(range);
        self.release_pages(books, range);
        for part in removed {
            self.region.release(&part);
        }
        for stubs in books.patches.orphans(range, &books.areas) {
            books.take(&stubs);
            self.release_pages(books, &stubs);
            self.region.release(&stubs);
        }
    }

    /// Takes what is shared out of a range that is to be something else: its addresses are not those
    /// of the gang.
    pub(super) fn discard_shared(&self, books: &mut Books, range: &Range<u64>) {
        if !books.has_shared {
            return;
        }
        let mut rest = range.clone();
        let next = |books: &Books, rest: &Range<u64>| {
            let mut areas = books.areas.overlapping(rest);
            let shared = areas.find(|(_, area)| area.shared().is_some());
            shared.map(|(start, area)| start.max(rest.start)..area.end.min(rest.end))
        };
        while let Some(part) = next(books, &rest) {
            self.discard(books, &part);
            rest.start = part.end;
        }
    }

    /// This address space has a part of a place mapped no more.
    fn give_up(&self, place: &Place, range: &Range<u64>) {
        // To allow less takes no memory; a page of which the host says otherwise stays accessible.
        let _ = place.pages().allow(place, self.id, range, None);
    }

    /// Gives the pages of a range back to the machine.
    pub(super) fn release_pages(&self, books: &mut Books, range: &Range<u64>) {
        for run in books.committed.present(range) {
            self.decommit(&run);
        }
        books.committed.remove(range);
    }

    /// Runs `look` on the area that holds `address`.
    pub(crate) fn with_area<T>(
        &self,
        address: u64,
        look: impl FnOnce(u64, &Area) -> T,
    ) -> Option<T> {
        let books = self.books.read();
        books
            .areas
            .find(address)
            .map(|(start, area)| look(start, area))
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A number that no other address space ever has.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Books {
    /// About what a copy takes of the kernel's heap, in bytes, with what a gang notes of it.
    pub(super) fn twin_bytes(&self) -> usize {
        const RUN_BYTES: usize = 128;
        self.areas.len() * 2 * size_of::<(u64, Area)>() + self.committed.len() * RUN_BYTES
    }

    /// The same, for another address space.
    pub(super) fn twin(&self) -> Self {
        Self {
            areas: self.areas.clone(),
            committed: self.committed.clone(),
            heap: self.heap.clone(),
            stack: self.stack.clone(),
            patches: self.patches.clone(),
            unsearched: self.unsearched.clone(),
            mmapped_bytes: self.mmapped_bytes,
            reserved: self.reserved.clone(),
            has_shared: self.has_shared,
            peak_bytes: self.peak_bytes,
            locks_all: false,
            auxiliary: self.auxiliary.clone(),
            strings: self.strings.clone(),
            barriers: self.barriers,
        }
    }

    /// Whether all pages of a range have memory. All of it is mapped.
    pub(super) fn are_present(&self, range: &Range<u64>) -> bool {
        self.have_memory(range, |place, part| place.pages().contains(place, part))
    }

    /// The same of whole pages, at whatever place if they are shared.
    pub(super) fn are_somewhere(&self, range: &Range<u64>) -> bool {
        self.have_memory(range, |place, part| {
            place.pages().are_somewhere(place, part)
        })
    }

    fn have_memory(
        &self,
        range: &Range<u64>,
        is_shared_there: impl Fn(&Place, &Range<u64>) -> bool,
    ) -> bool {
        if self.committed.contains(range) {
            return true;
        }
        self.areas.overlapping(range).all(|(start, area)| {
            let part = start.max(range.start)..area.end.min(range.end);
            match area.shared() {
                Some(place) => is_shared_there(place, &part),
                None => self.committed.contains(&part),
            }
        })
    }

    /// Keeps the shared pages of a range where they are; `None` if some are elsewhere.
    pub(super) fn hold_shared(&self, range: &Range<u64>) -> Option<Vec<MutexGuard<'_, State>>> {
        if !self.has_shared {
            return Some(Vec::new());
        }
        let shared = self.areas.overlapping(range);
        let shared = shared.filter_map(|(start, area)| {
            let place = area.shared()?;
            let part = start.max(range.start)..area.end.min(range.end);
            place.pages().is_elsewhere(place).then_some((place, part))
        });
        let mut shared: Vec<(&Arc<Place>, Range<u64>)> = shared.collect();
        // Everybody locks them in the same order.
        shared.sort_by_key(|(place, _)| place.pages().id());
        let mut held: Vec<MutexGuard<'_, State>> = Vec::new();
        let mut last = None;
        for (place, part) in shared {
            let pages = place.pages();
            if last != Some(pages.id()) {
                held.push(pages.hold());
                last = Some(pages.id());
            }
            let first = super::page_floor(part.start);
            let end = super::page_ceiling(part.end)?;
            if !held.last_mut()?.has(place, &(first..end)) {
                return None;
            }
        }
        Some(held)
    }

    /// Whether some of a range is shared and at other places, too.
    pub(super) fn is_elsewhere(&self, range: &Range<u64>) -> bool {
        let mut areas = self.areas.overlapping(range);
        self.has_shared
            && areas.any(|(_, area)| {
                (area.shared()).is_some_and(|place| place.pages().is_elsewhere(place))
            })
    }

    /// Where a range within a page is that several places show, and what keeps it there; `None` if it
    /// is no such range, or nowhere.
    pub(super) fn locate(
        &self,
        range: &Range<u64>,
        access: Prot,
        machine: &dyn Machine,
    ) -> Option<(MutexGuard<'_, State>, u64)> {
        if !self.has_shared || super::page_floor(range.start) != super::page_floor(range.end - 1) {
            return None;
        }
        let (_, area) = self.areas.find(range.start)?;
        let place = area.shared()?;
        if !place.pages().is_elsewhere(place) {
            return None;
        }
        let mut state = place.pages().hold();
        let page = super::page_floor(range.start);
        let there = state.locate(place.offset_of(page), access, machine)?;
        Some((state, there + (range.start - page)))
    }

    /// Whether there are several places of the same shared pages in a range.
    pub(super) fn has_places_in(&self, range: &Range<u64>) -> bool {
        if !self.has_shared {
            return false;
        }
        let mut last: Option<&Arc<Place>> = None;
        let shared = self.areas.overlapping(range);
        shared.filter_map(|(_, area)| area.shared()).any(|place| {
            let before = last.replace(place);
            before.is_some_and(|last| {
                !Arc::ptr_eq(last, place) && last.pages().id() == place.pages().id()
            })
        })
    }

    /// Puts an area where there is none; its addresses are claimed already.
    pub(super) fn put(&mut self, start: u64, area: Area) {
        if area.is_limited() {
            self.mmapped_bytes += area.end - start;
        }
        self.has_shared |= area.shared().is_some();
        self.areas.insert(start, area);
    }

    /// The most that was mapped, and that had memory, up to now.
    pub(super) fn peak_bytes(&self) -> (u64, u64) {
        let (mapped, resident) = self.peak_bytes;
        let mapped_now = self.areas.mapped_bytes(&(0..u64::MAX));
        (
            mapped.max(mapped_now),
            resident.max(self.committed.size_bytes()),
        )
    }

    /// Takes the areas of a range out; returns their addresses, whose claims the caller gives up.
    fn take(&mut self, range: &Range<u64>) -> Vec<Range<u64>> {
        self.unsearched.forget(range);
        let removed = self.areas.remove(range);
        for (start, area) in &removed {
            if area.is_limited() {
                self.mmapped_bytes -= area.end - start;
            }
        }
        // Shared pages keep their addresses as long as anybody has them.
        removed
            .into_iter()
            .filter(|(_, area)| area.shared().is_none())
            .map(|(start, area)| start..area.end)
            .collect()
    }
}
