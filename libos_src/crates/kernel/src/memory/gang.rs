//! Address spaces that hold the same addresses in turn.
//!
//! `fork` makes two programs that must see different bytes at the same addresses, and there is one
//! set of addresses in an enclave. So the two are a gang: one of them is *resident* and its threads
//! run; what the others have at addresses that it needs is in the [`Store`]. A member becomes
//! resident when no thread of the resident one is running: they all wait in the kernel, or have
//! been asked to make way after a slice of time.
//!
//! A thread holds the memory while it runs the program or serves it, and gives it up whenever it
//! waits. Memory that is the same for several members, such as text, is in its place for all.
//!
//! Nothing here depends on page faults: the host, which makes them, may not.

mod reach;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use hal::{Machine, NoMemory, Prot};
use locks::{Mutex, MutexGuard};

use super::pages::PageSet;
use super::place::Place;
use super::region::GangId;
use super::saved::{Saved, SavedPages};
use super::space::{AddressSpace, Books, Paging};
use super::store::Store;
use super::transfer::{copy, exchange, other_than_zeros};
use crate::threads::Thread;

/// How long a member is resident while others wait.
const SLICE: Duration = Duration::from_millis(10);

/// The most runs of unmapped pages that are known.
const UNMAPPED_MAX: usize = 64;

/// A gang; most have one member.
pub(crate) struct Gang {
    id: GangId,
    machine: &'static dyn Machine,
    store: Arc<Store>,
    state: Mutex<State>,
    /// Whether there are several members. Changes only while no other thread of them runs.
    is_shared: AtomicBool,
    /// Whether the resident member's threads are to make way.
    must_yield: AtomicBool,
    /// What its programs unmapped last, where a touch should fault.
    unmapped: Mutex<PageSet>,
    /// Where some of its members have shared memory, and others something else.
    turns: Mutex<Vec<Weak<Place>>>,
}

#[derive(Default)]
struct State {
    members: BTreeMap<u64, Holding>,
    /// Their address spaces.
    spaces: BTreeMap<u64, Weak<AddressSpace>>,
    resident: Option<u64>,
    /// Threads that hold the memory; all of the resident member.
    runners: Vec<Arc<Thread>>,
    /// Threads that want it, and their member, in order.
    waiting: VecDeque<(u64, Arc<Thread>)>,
    /// The thread that wants to be the only one.
    alone: Option<Arc<Thread>>,
    slice_end: Duration,
}

/// The pages of one member. Kept only while there are others.
#[derive(Default)]
struct Holding {
    /// Those whose content is in its place, maybe for others, too.
    in_place: PageSet,
    saved: SavedPages,
    /// Those that are neither, as nothing but zeros was in them.
    zeros: PageSet,
    /// Whether there was no memory for them once. It is nobody's turn to run there any more.
    is_starved: bool,
}

/// What becomes of a thread that wants the memory.
pub(crate) enum Entry {
    /// It holds it. These other threads can have it, too.
    Held(Vec<Arc<Thread>>),
    /// It has to wait until then, or until it is woken; these threads must be interrupted.
    Wait(Duration, Vec<Arc<Thread>>),
    /// There is no memory to make room for it, or was none once.
    NoMemory,
}

impl Gang {
    /// A gang whose only member is `member`.
    pub(super) fn new(
        id: GangId,
        member: u64,
        machine: &'static dyn Machine,
        store: Arc<Store>,
    ) -> Arc<Self> {
        let state = State {
            members: BTreeMap::from([(member, Holding::default())]),
            resident: Some(member),
            ..State::default()
        };
        Arc::new(Self {
            id,
            machine,
            store,
            state: Mutex::new(state),
            is_shared: AtomicBool::new(false),
            must_yield: AtomicBool::new(false),
            unmapped: Mutex::default(),
            turns: Mutex::default(),
        })
    }

    /// Its identity.
    pub(super) const fn id(&self) -> GangId {
        self.id
    }

    /// Whether an address space is a member.
    pub(super) fn has(&self, member: u64) -> bool {
        self.state.lock().members.contains_key(&member)
    }

    /// The address spaces that are members.
    pub(crate) fn members(&self) -> Vec<u64> {
        self.state.lock().members.keys().copied().collect()
    }

    /// The members that there are still.
    pub(super) fn spaces(&self) -> Vec<Arc<AddressSpace>> {
        let state = self.state.lock();
        state.spaces.values().filter_map(Weak::upgrade).collect()
    }

    /// Tells whose address space a member is.
    pub(super) fn introduce(&self, space: &Arc<AddressSpace>) {
        let mut state = self.state.lock();
        state.spaces.insert(space.id(), Arc::downgrade(space));
    }

    /// A program of it has unmapped a range.
    pub(super) fn note_unmapped(&self, range: &Range<u64>) {
        let mut unmapped = self.unmapped.lock();
        if unmapped.len() >= UNMAPPED_MAX {
            *unmapped = PageSet::default();
        }
        unmapped.insert(range);
    }

    /// What its programs unmapped last.
    pub(super) fn add_unmapped(&self, all: &mut PageSet) {
        self.unmapped.lock().iter().for_each(|run| all.insert(&run));
    }

    /// A place is the gang's from now on.
    pub(super) fn add_turn(&self, place: &Arc<Place>) {
        self.turns.lock().push(Arc::downgrade(place));
    }

    /// The places that are the gang's.
    pub(super) fn turns(&self) -> Vec<Arc<Place>> {
        let mut turns = self.turns.lock();
        turns.retain(|place| place.strong_count() > 0);
        turns.iter().filter_map(Weak::upgrade).collect()
    }

    /// Takes in an address space that has nothing yet. Whether the gang still exists.
    pub(super) fn join(&self, space: &Arc<AddressSpace>) -> bool {
        let mut state = self.state.lock();
        if !self.is_shared() {
            let only = state.spaces.values().find_map(Weak::upgrade);
            let Some(only) = only.filter(|only| state.members.contains_key(&only.id())) else {
                return false;
            };
            // Whoever changes these books looks first whether there are several members.
            let books = only.books.read();
            let holding = Holding {
                in_place: books.committed.clone(),
                ..Holding::default()
            };
            state.members.insert(only.id(), holding);
            self.is_shared.store(true, Ordering::SeqCst);
        }
        state.members.insert(space.id(), Holding::default());
        state.spaces.insert(space.id(), Arc::downgrade(space));
        true
    }

    /// Whether there are several members.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// Whether a member's pages may be touched now.
    pub(super) fn is_resident(&self, id: u64) -> bool {
        !self.is_shared() || self.state.lock().resident == Some(id)
    }

    /// Whether threads that hold the memory are to give it up as soon as they can.
    pub(crate) fn must_yield(&self) -> bool {
        self.must_yield.load(Ordering::Relaxed)
    }

    /// A thread that holds the memory would rather let others run: those of other members, if some wait,
    /// are to have it before it comes back.
    pub(crate) fn prefer_others(&self) {
        let state = self.state.lock();
        let mut waiting = state.waiting.iter();
        if waiting.any(|(member, _)| Some(*member) != state.resident) {
            self.must_yield.store(true, Ordering::SeqCst);
        }
    }

    /// A thread of `space` wants the memory.
    pub(crate) fn enter(&self, space: &AddressSpace, thread: &Arc<Thread>) -> Entry {
        let id = space.id();
        let mut state = self.state.lock();
        let is_stopped = (state.alone.as_ref()).is_some_and(|alone| !Arc::ptr_eq(alone, thread));
        let is_resident = state.resident == Some(id);
        let is_next = state.runners.is_empty() && state.is_next(id);
        if !is_stopped && is_resident && !self.must_yield() {
            state.hold(thread);
            return Entry::Held(Vec::new());
        }
        if !is_stopped && is_next {
            if !is_resident && self.switch(&mut state, space).is_err() {
                state.forget(thread);
                return Entry::NoMemory;
            }
            self.must_yield.store(false, Ordering::SeqCst);
            state.slice_end = self.now() + SLICE;
            state.hold(thread);
            let others = state.waiting.iter().filter(|(member, _)| *member == id);
            return Entry::Held(others.map(|(_, thread)| thread.clone()).collect());
        }
        state.queue(id, thread);
        let now = self.now();
        if now < state.slice_end || is_stopped {
            return Entry::Wait(state.slice_end.max(now + SLICE / 2), Vec::new());
        }
        self.must_yield.store(true, Ordering::SeqCst);
        // Asked again after another slice: the host may have lost the wish.
        Entry::Wait(now + SLICE, state.runners.clone())
    }

    /// One thread holds the memory instead of another of the same member.
    pub(crate) fn hand_over(&self, from: &Arc<Thread>, to: &Arc<Thread>) {
        let mut state = self.state.lock();
        for runner in &mut state.runners {
            if Arc::ptr_eq(runner, from) {
                *runner = to.clone();
            }
        }
    }

    /// A thread gives the memory up. Returns who is to look again.
    pub(crate) fn leave(&self, thread: &Arc<Thread>) -> Option<Arc<Thread>> {
        let mut state = self.state.lock();
        state.runners.retain(|runner| !Arc::ptr_eq(runner, thread));
        state.next_to_look()
    }

    /// A thread wants the memory no more. Returns who is to look again.
    pub(crate) fn give_up(&self, thread: &Arc<Thread>) -> Option<Arc<Thread>> {
        let mut state = self.state.lock();
        state.forget(thread);
        if state.waiting.is_empty() {
            self.must_yield.store(false, Ordering::SeqCst);
        }
        state.next_to_look()
    }

    /// A thread that holds the memory wants to be the only one. Returns the others, to be
    /// interrupted until there are none; `None` when another thread was first.
    pub(crate) fn stop_others(&self, thread: &Arc<Thread>) -> Option<Vec<Arc<Thread>>> {
        let mut state = self.state.lock();
        match &state.alone {
            Some(alone) if !Arc::ptr_eq(alone, thread) => return None,
            _ => state.alone = Some(thread.clone()),
        }
        self.must_yield.store(true, Ordering::SeqCst);
        let others = state.runners.iter().filter(|at| !Arc::ptr_eq(at, thread));
        Some(others.cloned().collect())
    }

    /// The thread needs to be alone no more. Returns those who wait.
    pub(crate) fn let_others_go_on(&self, thread: &Arc<Thread>) -> Vec<Arc<Thread>> {
        let mut state = self.state.lock();
        if (state.alone.as_ref()).is_some_and(|alone| Arc::ptr_eq(alone, thread)) {
            state.alone = None;
            self.must_yield.store(false, Ordering::SeqCst);
        }
        state
            .waiting
            .iter()
            .map(|(_, thread)| thread.clone())
            .collect()
    }

    /// The resident member `parent`, of which only one thread runs, has a child: it has the same
    /// pages, is resident, and `thread` runs there. `writable` runs differ from now on, so those
    /// of the parent are saved, for which `kept` has room, but for the `zeros`.
    pub(super) fn split(
        &self,
        [parent, child]: [u64; 2],
        committed: &PageSet,
        writable: &[Range<u64>],
        kept: &[Vec<Range<u64>>],
        zeros: PageSet,
        thread: &Arc<Thread>,
    ) -> Result<(), NoMemory> {
        let mut state = self.state.lock();
        let mut saved = SavedPages::default();
        for (place, kept) in writable.iter().zip(kept) {
            let mut from = place.start;
            for to in kept {
                let len = to.end - to.start;
                let copied = self.machine.copy(to.start, from, len);
                copied.map_err(|_| NoMemory)?;
                from += len;
            }
            saved.insert(place, kept);
        }
        let mut in_place = committed.clone();
        for range in writable {
            in_place.remove(range);
        }
        for range in zeros.iter() {
            in_place.remove(&range);
        }
        let left = Holding {
            in_place,
            saved,
            zeros,
            ..Holding::default()
        };
        state.members.insert(parent, left);
        let resident = Holding {
            in_place: committed.clone(),
            ..Holding::default()
        };
        state.members.insert(child, resident);
        state.resident = Some(child);
        state.runners = Vec::from([thread.clone()]);
        state.alone = None;
        state.slice_end = self.now() + SLICE;
        self.must_yield.store(false, Ordering::SeqCst);
        self.is_shared.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Saves what others have in its place in `range`, which member `id` is about to change.
    pub(super) fn evict_others(&self, id: u64, range: &Range<u64>) -> Result<(), NoMemory> {
        self.evict(&mut self.state.lock(), id, range)
    }

    /// Member `id` has new pages in their place.
    pub(super) fn note_in_place(&self, id: u64, range: &Range<u64>) {
        if let Some(holding) = self.state.lock().members.get_mut(&id) {
            holding.in_place.insert(range);
        }
    }

    /// Member `id` has pages of `range` no more. Returns those that nobody has in their place.
    pub(super) fn forget_pages(&self, id: u64, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut state = self.state.lock();
        let Some(holding) = state.members.get_mut(&id) else {
            return Vec::new();
        };
        for saved in holding.saved.remove(range) {
            self.store.give(&saved.kept);
        }
        holding.zeros.remove(range);
        let held = holding.in_place.present(range);
        holding.in_place.remove(range);
        let mut unheld = Vec::new();
        for run in held {
            unheld.extend(state.not_in_place(&run));
        }
        unheld
    }

    /// Member `id` is gone; it has no pages any more. Returns who is to look again.
    pub(super) fn part(&self, id: u64) -> Option<Arc<Thread>> {
        let mut state = self.state.lock();
        state.members.remove(&id);
        state.spaces.remove(&id);
        if state.resident == Some(id) {
            state.resident = None;
            state.runners.clear();
            state.alone = None;
        }
        self.settle(&mut state);
        state.next_to_look()
    }

    fn now(&self) -> Duration {
        self.machine.clock(hal::Clock::Monotonic).into()
    }

    /// Whether the last member needs no books any more.
    fn settle(&self, state: &mut MutexGuard<'_, State>) {
        if state.members.len() > 1 {
            return;
        }
        let is_whole = (state.members.values()).all(Holding::is_whole);
        // Who is alone has still to take its turn.
        let waits = state.resident.is_none() && !self.turns().is_empty();
        if is_whole && !waits {
            if self.is_shared.swap(false, Ordering::SeqCst) {
                self.store.rest();
            }
            if let Some(holding) = state.members.values_mut().next() {
                holding.in_place = PageSet::default();
            }
            let only = state.members.keys().next().copied();
            state.resident = state.resident.or(only);
        }
    }

    /// Makes `space` resident. Nobody runs.
    fn switch(
        &self,
        state: &mut MutexGuard<'_, State>,
        space: &AddressSpace,
    ) -> Result<(), NoMemory> {
        let id = space.id();
        if (state.members.get(&id)).is_some_and(|holding| holding.is_starved) {
            return Err(NoMemory);
        }
        let books = space.books.read();
        self.take_turn(state, space, &books)?;
        self.clear_unbacked(state, space, &books)?;
        let (saved, zeros) = match state.members.get_mut(&id) {
            Some(holding) => (
                holding.saved.take_all(),
                core::mem::take(&mut holding.zeros),
            ),
            None => Default::default(),
        };
        let mut brought = 0;
        let mut bring = || {
            for run in zeros.iter() {
                self.clear(state, space, &books, &run)?;
            }
            for run in &saved {
                self.bring_back(state, space, &books, run)?;
                brought += 1;
            }
            Ok::<(), NoMemory>(())
        };
        if bring().is_err() {
            // What is left stays where it is; the member cannot run. Nor can the one that was
            // resident before its own pages are in their place again.
            let holding = state.members.entry(id).or_default();
            holding.is_starved = true;
            for run in &saved[brought..] {
                for left in holding.in_place.missing(&run.place) {
                    let kept = run.part(&left).kept;
                    holding.saved.insert(&left, &[kept]);
                }
            }
            for run in zeros.iter() {
                for left in holding.in_place.missing(&run) {
                    holding.zeros.insert(&left);
                }
            }
            state.resident = None;
            return Err(NoMemory);
        }
        state.resident = Some(id);
        self.settle(state);
        Ok(())
    }

    /// What the gang shares is as `space` has it, and nothing of others is where it is.
    fn take_turn(
        &self,
        state: &mut MutexGuard<'_, State>,
        space: &AddressSpace,
        books: &Books,
    ) -> Result<(), NoMemory> {
        space.take_turn(books)?;
        for place in self.turns() {
            for run in books.shown_of(&place).iter() {
                self.evict(state, space.id(), &run)?;
            }
        }
        Ok(())
    }

    /// Where pages get memory at the first touch, a page that `space` has not touched must have
    /// none: not one of another member either.
    fn clear_unbacked(
        &self,
        state: &mut MutexGuard<'_, State>,
        space: &AddressSpace,
        books: &Books,
    ) -> Result<(), NoMemory> {
        if space.paging != Paging::OnDemand {
            return Ok(());
        }
        for (start, area) in books.areas.iter() {
            for run in books.committed.missing(&(start..area.end)) {
                self.evict(state, space.id(), &run)?;
            }
        }
        Ok(())
    }

    /// Puts saved pages of `space` into their place, and saves what is there.
    fn bring_back(
        &self,
        state: &mut MutexGuard<'_, State>,
        space: &AddressSpace,
        books: &Books,
        run: &Saved,
    ) -> Result<(), NoMemory> {
        let id = space.id();
        for part in state.parts_by_holder(id, &run.place) {
            let len = part.range.end - part.range.start;
            let piece = run.part(&part.range);
            match part.holders.as_slice() {
                [] => {
                    self.store.forget(&part.range);
                    self.machine.commit_to_fill(part.range.start, len)?;
                    copy(self.machine, part.range.start, piece.kept.start, len)?;
                    self.store.give(&piece.kept);
                }
                [holder, others @ ..] => {
                    for &other in others {
                        self.save(state, other, &part.range)?;
                    }
                    let writable = Prot::READ | Prot::WRITE;
                    self.machine.protect(part.range.start, len, writable)?;
                    exchange(self.machine, part.range.start, piece.kept.start, len)?;
                    if let Some(holding) = state.members.get_mut(holder) {
                        holding.in_place.remove(&part.range);
                        holding
                            .saved
                            .insert(&part.range, core::slice::from_ref(&piece.kept));
                    }
                }
            }
            if let Some(holding) = state.members.get_mut(&id) {
                holding.in_place.insert(&part.range);
            }
        }
        self.protect(books, &run.place)
    }

    /// Puts zeros where `space` had nothing else, and saves what is there.
    fn clear(
        &self,
        state: &mut MutexGuard<'_, State>,
        space: &AddressSpace,
        books: &Books,
        run: &Range<u64>,
    ) -> Result<(), NoMemory> {
        let id = space.id();
        for part in state.parts_by_holder(id, run) {
            let (start, len) = (part.range.start, part.range.end - part.range.start);
            if part.holders.is_empty() {
                self.store.forget(&part.range);
                self.machine.commit_to_fill(start, len)?;
            } else {
                for &holder in &part.holders {
                    self.save(state, holder, &part.range)?;
                }
                let writable = Prot::READ | Prot::WRITE;
                self.machine.protect(start, len, writable)?;
            }
            for run in other_than_zeros(self.machine, &part.range) {
                let zeroed = self.machine.fill(run.start, run.end - run.start, 0);
                zeroed.map_err(|_| NoMemory)?;
            }
            if let Some(holding) = state.members.get_mut(&id) {
                holding.in_place.insert(&part.range);
            }
        }
        self.protect(books, run)
    }

    /// Gives pages that were put into their place the rights that their program has.
    fn protect(&self, books: &Books, range: &Range<u64>) -> Result<(), NoMemory> {
        for (start, area) in books.areas.overlapping(range) {
            let (start, end) = (start.max(range.start), area.end.min(range.end));
            self.machine.protect(start, end - start, area.prot)?;
        }
        Ok(())
    }

    /// Saves what members other than `id` have in their place in `range`.
    fn evict(
        &self,
        state: &mut MutexGuard<'_, State>,
        id: u64,
        range: &Range<u64>,
    ) -> Result<(), NoMemory> {
        for part in state.parts_by_holder(id, range) {
            for &holder in &part.holders {
                self.save(state, holder, &part.range)?;
            }
            if !part.holders.is_empty() && !part.is_own {
                let len = part.range.end - part.range.start;
                self.machine.decommit(part.range.start, len);
            }
        }
        Ok(())
    }

    /// Copies pages of `holder` that are in their place to the store, where they belong to it
    /// alone. Of zeros it is enough to know where they were.
    fn save(
        &self,
        state: &mut MutexGuard<'_, State>,
        holder: u64,
        range: &Range<u64>,
    ) -> Result<(), NoMemory> {
        let mut at = range.start;
        for run in other_than_zeros(self.machine, range) {
            let kept = self.store.take(run.end - run.start)?;
            let mut from = run.start;
            for to in &kept {
                let len = to.end - to.start;
                copy(self.machine, to.start, from, len)?;
                from += len;
            }
            if let Some(holding) = state.members.get_mut(&holder) {
                holding.note_away(&(at..run.start), &[]);
                holding.note_away(&run, &kept);
            }
            at = run.end;
        }
        if let Some(holding) = state.members.get_mut(&holder) {
            holding.note_away(&(at..range.end), &[]);
        }
        Ok(())
    }
}

impl Holding {
    /// Whether no page of it is anywhere else than in its place.
    fn is_whole(&self) -> bool {
        self.saved.is_empty() && self.zeros.is_empty()
    }

    /// Pages are in their place no more, but kept; or, if they are not, zeros.
    fn note_away(&mut self, range: &Range<u64>, kept: &[Range<u64>]) {
        self.in_place.remove(range);
        if kept.is_empty() {
            self.zeros.insert(range);
        } else {
            self.saved.insert(range, kept);
        }
    }
}

/// A run of pages and who has it in its place.
struct Part {
    range: Range<u64>,
    /// All but the member that asks.
    holders: Vec<u64>,
    /// Whether the member that asks has it there, too.
    is_own: bool,
}

impl State {
    /// Whether no other member is first in the queue.
    fn is_next(&self, id: u64) -> bool {
        self.waiting.front().is_none_or(|(first, _)| *first == id)
    }

    fn hold(&mut self, thread: &Arc<Thread>) {
        self.forget(thread);
        self.runners.push(thread.clone());
    }

    fn queue(&mut self, id: u64, thread: &Arc<Thread>) {
        if !self.waiting.iter().any(|(_, at)| Arc::ptr_eq(at, thread)) {
            self.waiting.push_back((id, thread.clone()));
        }
    }

    fn forget(&mut self, thread: &Arc<Thread>) {
        self.waiting.retain(|(_, at)| !Arc::ptr_eq(at, thread));
    }

    /// Who can go on now that something has changed.
    fn next_to_look(&self) -> Option<Arc<Thread>> {
        if let Some(alone) = &self.alone {
            return Some(alone.clone());
        }
        let next = self.waiting.front().filter(|_| self.runners.is_empty());
        next.map(|(_, thread)| thread.clone())
    }

    /// Divides a range by who has its pages in their place.
    fn parts_by_holder(&self, id: u64, range: &Range<u64>) -> Vec<Part> {
        let mut parts = Vec::from([Part {
            range: range.clone(),
            holders: Vec::new(),
            is_own: false,
        }]);
        for (&member, holding) in &self.members {
            let held = holding.in_place.present(range);
            for run in held {
                parts = divided(parts, &run, |part| {
                    if member == id {
                        part.is_own = true;
                    } else {
                        part.holders.push(member);
                    }
                });
            }
        }
        parts
    }

    /// The parts of a range that no member has in their place.
    fn not_in_place(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::from([range.clone()]);
        for holding in self.members.values() {
            let parts = missing.iter();
            missing = parts
                .flat_map(|part| holding.in_place.missing(part))
                .collect();
        }
        missing
    }
}

/// Cuts parts at the ends of `run` and marks what lies in it.
fn divided(parts: Vec<Part>, run: &Range<u64>, mark: impl Fn(&mut Part)) -> Vec<Part> {
    let mut divided = Vec::with_capacity(parts.len() + 2);
    for part in parts {
        let inner = part.range.start.max(run.start)..part.range.end.min(run.end);
        if inner.start >= inner.end {
            divided.push(part);
            continue;
        }
        let like = |range: Range<u64>| Part {
            range,
            holders: part.holders.clone(),
            is_own: part.is_own,
        };
        if part.range.start < inner.start {
            divided.push(like(part.range.start..inner.start));
        }
        let mut marked = like(inner.clone());
        mark(&mut marked);
        divided.push(marked);
        if inner.end < part.range.end {
            divided.push(like(inner.end..part.range.end));
        }
    }
    divided
}
