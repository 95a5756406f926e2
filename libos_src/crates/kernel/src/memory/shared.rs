//! Memory that several mappings show.
//!
//! An enclave has one set of addresses and no aliases. So mappings of the same part of a file are at the
//! same [`Place`] where they can, in whatever process; the addresses belong to nobody's gang, and
//! the pages are never saved, copied by `fork` or exchanged. Where that cannot be, because one
//! process maps them twice or wants them elsewhere, there are several places, and a page moves
//! between them as it is touched.

mod apart;

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use hal::{Errno, LogLevel, Machine, NoMemory, PAGE_SIZE, Prot};
use locks::{Mutex, MutexGuard};
use vfs::{FileId, Inode};

use super::content::chunk_of;
use super::cut::{CopiedFile, CopiedFiles};
use super::place::{Place, Spot};
use super::region::{GangId, Region, Use};
use super::share::Rights;
use super::space::Paging;
use super::spots::State;
use super::turns::Turn;
use crate::syscalls::room;

/// Addresses kept free behind pages of a file, so that they can grow where they are.
const GROWTH_MAX_BYTES: u64 = 1 << 20;

/// So many places are tried for a mapping before it gets one of its own.
const CANDIDATES_MAX: usize = 64;

/// All memory of an enclave that is shared.
pub(crate) struct SharedMemory {
    machine: &'static dyn Machine,
    paging: Paging,
    region: Arc<Region>,
    /// Whom the addresses belong to.
    owner: GangId,
    /// Pages by the file that they show.
    files: Mutex<BTreeMap<FileId, Weak<SharedPages>>>,
    /// All places, by their start, the number of their pages and theirs.
    pub(super) places: Mutex<BTreeMap<(u64, u64, u64), Weak<Place>>>,
    /// How many of these there are, so that other files cost one load.
    count: AtomicUsize,
    next_id: AtomicU64,
    has_warned: AtomicBool,
    /// Files of which there are copies.
    pub(super) copied: Arc<CopiedFiles>,
    /// Whether a thread stops others to move a page.
    is_moving: AtomicBool,
}

/// Pages of a file, or of no file, for all who map them.
pub(crate) struct SharedPages {
    pub(super) machine: &'static dyn Machine,
    memory: Arc<SharedMemory>,
    /// No other pages ever have this number.
    id: u64,
    file: Option<SharedFile>,
    /// How many bytes there are, of pages of no file.
    len: u64,
    pub(super) state: Mutex<State>,
}

/// A file that is mapped.
#[derive(Clone)]
pub(crate) struct SharedFile {
    /// Which.
    pub(crate) id: FileId,
    /// The file.
    pub(crate) inode: Arc<dyn Inode>,
    /// Its name when it was first mapped, for people only.
    pub(crate) path: Arc<[u8]>,
}

/// What is to be shown of a file.
pub(crate) struct FilePart {
    /// The file.
    pub(crate) file: SharedFile,
    /// Where the first page is in it.
    pub(crate) offset: u64,
}

/// What becomes of shared pages that are at another place than the one that is to have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// They are moved.
    Pages,
    /// They stay.
    Nothing,
}

/// What a range of shared pages is to be mapped at.
pub(crate) struct Wanted<'a> {
    /// Where the first page is in the pages.
    pub(crate) offset: u64,
    /// How much.
    pub(crate) len: u64,
    /// Where it has to be.
    pub(crate) fixed: Option<u64>,
    /// Whether whoever asks has nothing at some addresses.
    pub(crate) is_free: &'a dyn Fn(&Range<u64>) -> bool,
    /// Who asks.
    pub(crate) turn: Turn,
    /// Whether the addresses are its gang's.
    pub(crate) is_in_turn: bool,
}

impl SharedMemory {
    /// None yet.
    pub(super) fn new(
        machine: &'static dyn Machine,
        region: Arc<Region>,
        paging: Paging,
    ) -> Arc<Self> {
        Arc::new(Self {
            machine,
            paging,
            owner: region.new_gang(),
            region,
            files: Mutex::default(),
            places: Mutex::default(),
            count: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            has_warned: AtomicBool::new(false),
            copied: Arc::default(),
            is_moving: AtomicBool::new(false),
        })
    }

    /// A thread is about to stop others, so that a page can be moved that they have; `false` if another
    /// does so.
    pub(crate) fn begin_move(&self) -> bool {
        !self.is_moving.swap(true, Ordering::SeqCst)
    }

    /// The page is there, and the others go on.
    pub(crate) fn end_move(&self) {
        self.is_moving.store(false, Ordering::SeqCst);
    }

    /// Pages of zeros at `fixed` or anywhere.
    ///
    /// # Errors
    /// `ENOMEM` when there are no such addresses.
    pub(crate) fn anonymous(
        self: &Arc<Self>,
        len: u64,
        fixed: Option<u64>,
        turn: Option<Turn>,
    ) -> Result<Arc<Place>, Errno> {
        self.pages(None, len)
            .add_place(0, (len, false), fixed, turn)
    }

    /// Whom the addresses belong to that are no gang's.
    pub(super) const fn owner(&self) -> GangId {
        self.owner
    }

    /// Pages of zeros that keep their content while nobody has them mapped, as long as the place is
    /// kept.
    ///
    /// # Errors
    /// `ENOMEM` when there are no such addresses.
    pub(crate) fn segment(self: &Arc<Self>, len: u64) -> Result<Arc<Place>, Errno> {
        self.pages(None, len).add_place(0, (len, true), None, None)
    }

    /// The place that shows a part of a file.
    ///
    /// # Errors
    /// `ENOMEM` when there are no such addresses.
    pub(crate) fn of_file(
        self: &Arc<Self>,
        file: SharedFile,
        wanted: &Wanted<'_>,
    ) -> Result<Arc<Place>, Errno> {
        let pages = {
            let mut files = self.files.lock();
            let known = files.get(&file.id).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let id = file.id;
                let pages = self.pages(Some(file), u64::MAX);
                self.count.fetch_add(1, Ordering::Relaxed);
                files.insert(id, Arc::downgrade(&pages));
                pages
            })
        };
        pages.place(wanted)
    }

    /// A file that may change has a private copy from now on.
    pub(crate) fn copied(&self, file: FileId) -> Arc<CopiedFile> {
        self.copied.add(file)
    }

    /// A file has another size: copies of what it has no more are given up.
    pub(super) fn cut_copies(&self, file: FileId, size_bytes: u64) {
        if !self.copied.has(file) {
            return;
        }
        for gang in self.region.gangs() {
            for space in gang.spaces() {
                space.cut(file, size_bytes);
            }
        }
    }

    /// Whether a mapping of a file may be written to.
    pub(crate) fn is_written(&self, file: FileId) -> bool {
        let pages = self.of(file);
        pages.is_some_and(|pages| pages.state.lock().spots().any(Spot::is_written))
    }

    /// Writes all pages to their files: the enclave ends.
    pub(crate) fn write_back_all(&self) {
        let files = self.files.lock();
        let all: Vec<_> = files.values().filter_map(Weak::upgrade).collect();
        drop(files);
        for pages in all {
            pages.write_back(&(0..u64::MAX));
        }
    }

    fn claim(
        &self,
        len: u64,
        room: u64,
        (fixed, turn): (Option<u64>, Option<Turn>),
        purpose: Use,
    ) -> Result<Range<u64>, Errno> {
        let high = |len| {
            let region = self.region.range();
            self.region
                .claim_high(self.owner, len, PAGE_SIZE, region, purpose)
        };
        let claimed = match fixed {
            Some(start) => {
                let range = start..start.checked_add(len).ok_or(Errno::ENOMEM)?;
                let region = self.region.range();
                let is_inside = region.start <= range.start && range.end <= region.end;
                // Of its own addresses none is free: each has its pages.
                let is_free = is_inside
                    && match turn {
                        Some(turn) => self.region.claim_fixed(turn.gang, &range, purpose),
                        None => self.region.claim_unused_for(self.owner, &range, purpose),
                    };
                is_free.then_some(range)
            }
            None => len.checked_add(room).and_then(high).or_else(|| high(len)),
        };
        claimed.ok_or(Errno::ENOMEM)
    }

    /// A number that no other attachment of a segment has.
    pub(super) fn next_attachment(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn pages(self: &Arc<Self>, file: Option<SharedFile>, len: u64) -> Arc<SharedPages> {
        Arc::new(SharedPages {
            machine: self.machine,
            memory: self.clone(),
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            file,
            len,
            state: Mutex::default(),
        })
    }

    /// The pages that show a file.
    pub(super) fn of(&self, file: FileId) -> Option<Arc<SharedPages>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.files.lock().get(&file).and_then(Weak::upgrade)
    }

    fn forget(&self, file: FileId) {
        let mut files = self.files.lock();
        // Others may have mapped it anew meanwhile.
        if files
            .get(&file)
            .is_some_and(|known| known.strong_count() == 0)
        {
            files.remove(&file);
        }
        drop(files);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Says once what several places mean where the page tables are the host's alone.
    fn warn_of_places(&self) {
        if self.paging == Paging::Eager && !self.has_warned.swap(true, Ordering::Relaxed) {
            self.machine.log(
                LogLevel::Warning,
                "a program has shared memory at two addresses: with `memory_model: sgx1` only the host's \
                 page tables keep the two the same; `edmm` does not depend on them",
            );
        }
    }
}

impl SharedPages {
    /// The file that they show.
    pub(crate) const fn file(&self) -> Option<&SharedFile> {
        self.file.as_ref()
    }

    /// Whether they are there while nobody has them mapped, too.
    pub(super) fn is_segment(&self) -> bool {
        self.state.lock().spots().any(Spot::is_home)
    }

    /// How many bytes there are, if no file says it.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn region(&self) -> &Region {
        &self.memory.region
    }

    const fn key_of(&self, place: &Place) -> (u64, u64, u64) {
        (place.start(), self.id, place.number())
    }

    /// A number that no other pages ever have.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// A place for a part of them: one that is there, if whoever asks can use it.
    ///
    /// # Errors
    /// `ENOMEM` when there are no such addresses.
    pub(crate) fn place(self: &Arc<Self>, wanted: &Wanted<'_>) -> Result<Arc<Place>, Errno> {
        let places: Vec<Arc<Place>> = {
            let state = self.state.lock();
            // One that ends where the range begins can grow.
            let near = wanted.offset.saturating_sub(1)..wanted.offset.saturating_add(1);
            let spots = state.showing(&near).into_iter();
            let spots = spots.filter(|spot| spot.can_show(wanted));
            spots.filter_map(Spot::place).take(CANDIDATES_MAX).collect()
        };
        let found = places.iter().find(|place| {
            let Some(distance) = wanted.offset.checked_sub(place.offset_of(place.start())) else {
                return false;
            };
            let start = place.start().checked_add(distance);
            let range = start.and_then(|start| Some(start..start.checked_add(wanted.len)?));
            range.is_some_and(|range| {
                wanted.fixed.is_none_or(|fixed| fixed == range.start)
                    && (wanted.is_free)(&range)
                    && self.reach(place, &range).is_ok()
            })
        });
        match found {
            Some(place) => Ok(place.clone()),
            None => {
                let turn = wanted.is_in_turn.then_some(wanted.turn);
                self.add_place(wanted.offset, (wanted.len, false), wanted.fixed, turn)
            }
        }
    }

    fn add_place(
        self: &Arc<Self>,
        offset: u64,
        (len, is_kept): (u64, bool),
        fixed: Option<u64>,
        turn: Option<Turn>,
    ) -> Result<Arc<Place>, Errno> {
        offset.checked_add(len).ok_or(Errno::ENOMEM)?;
        let room = match &self.file {
            Some(_) if fixed.is_none() => len.min(GROWTH_MAX_BYTES),
            _ => 0,
        };
        let claim = |purpose| self.memory.claim(len, room, (fixed, turn), purpose);
        // Of a file that is larger than memory a program may touch a part.
        let waits = self.file.is_some() && self.memory.paging == Paging::OnDemand;
        let range = match claim(Use::Memory) {
            Err(_) if waits => claim(Use::Addresses)?,
            claimed => claimed?,
        };
        // Its pages come when they are touched.
        self.machine.bar(range.start, len);
        let mut state = self.state.lock();
        let number = state.new_number();
        let place = Place::new(self, number, range.start, offset);
        let mut spot = Spot::new(&place, len, &range, is_kept);
        spot.turn = turn;
        state.add(spot);
        let mut places = self.memory.places.lock();
        places.insert(self.key_of(&place), Arc::downgrade(&place));
        drop(places);
        if state.is_elsewhere(number) {
            self.memory.warn_of_places();
        }
        Ok(place)
    }

    /// Makes a place reach at least to the end of a range that starts in it.
    ///
    /// # Errors
    /// `ENOMEM` when the addresses behind are in use.
    pub(super) fn reach(&self, place: &Place, range: &Range<u64>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let spot = state.spot_mut(place.number()).ok_or(Errno::ENOMEM)?;
        if range.start < place.start() || range.start > spot.end {
            return Err(Errno::ENOMEM);
        }
        let (memory, missing) = (&self.memory, spot.claimed.missing(range));
        for (index, part) in missing.iter().enumerate() {
            let is_inside = part.end <= memory.region.range().end;
            let is_claimed = is_inside
                && match spot.turn {
                    Some(turn) => memory.region.claim_fixed(turn.gang, part, Use::Memory),
                    None => memory.region.claim_unused(memory.owner, part),
                };
            if is_claimed {
                continue;
            }
            for part in &missing[..index] {
                memory.region.release(part);
            }
            return Err(Errno::ENOMEM);
        }
        spot.claimed.insert(range);
        state.reach(place.number(), range.end);
        Ok(())
    }

    /// How many mappings there are, in all address spaces.
    pub(crate) fn mapping_count(&self) -> usize {
        let state = self.state.lock();
        state.spots().map(|spot| spot.users().len()).sum()
    }

    /// How many address spaces have some of a place mapped.
    pub(super) fn users_of(&self, place: &Place) -> usize {
        let state = self.state.lock();
        state
            .spot(place.number())
            .map_or(0, |spot| spot.users().len())
    }

    /// The address spaces that have some of them mapped.
    pub(super) fn users(&self) -> Vec<u64> {
        let state = self.state.lock();
        let mut users: Vec<u64> = state.spots().flat_map(Spot::users).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Whether the pages of a range have memory at a place.
    pub(super) fn contains(&self, place: &Place, range: &Range<u64>) -> bool {
        self.state.lock().has(place, range)
    }

    /// Whether the pages of a range, which a place shows, have memory at any place.
    pub(super) fn are_somewhere(&self, place: &Place, range: &Range<u64>) -> bool {
        let state = self.state.lock();
        let spot = state.spot(place.number());
        spot.is_some_and(|spot| state.missing(spot, range).is_empty())
    }

    /// The pages of a range, which a place shows, that have no memory at any place.
    pub(super) fn nowhere(&self, place: &Place, range: &Range<u64>) -> Vec<Range<u64>> {
        let state = self.state.lock();
        let spot = state.spot(place.number());
        spot.map_or(Vec::new(), |spot| state.missing(spot, range))
    }

    /// Keeps the pages of a range where they are, if they are at this place.
    pub(super) fn hold(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether some of what a place shows is at other places, too.
    pub(super) fn is_elsewhere(&self, place: &Place) -> bool {
        self.state.lock().is_elsewhere(place.number())
    }

    /// Gives the pages of a range memory at a place, and their content, but for those behind the end
    /// of the file, and those that are elsewhere if they stay there.
    pub(super) fn populate(
        &self,
        place: &Place,
        range: &Range<u64>,
        taking: Taking,
    ) -> Result<(), NoMemory> {
        let mut state = self.state.lock();
        let number = place.number();
        let Some(spot) = state.spot(number) else {
            return Err(NoMemory);
        };
        let content = spot.addresses(&(0..self.content_end()));
        let range = range.start.max(content.start)..range.end.min(content.end);
        let missing = match taking {
            Taking::Pages => spot.held.missing(&range),
            Taking::Nothing => state.missing(spot, &range),
        };
        let moves = state.is_elsewhere(number);
        for run in missing {
            // The books of pages that are touched grow without a call that could be refused.
            room::check_to_go_on(self.machine).map_err(|_| NoMemory)?;
            if moves {
                for page in run.step_by(PAGE_SIZE as usize) {
                    self.bring(&mut state, number, page)?;
                }
            } else if let Some(spot) = state.spot_mut(number) {
                self.make(spot, &run)?;
            }
        }
        if moves {
            // Before anybody who was stopped goes on.
            self.machine.settle();
            self.close_apart(&mut state);
        }
        Ok(())
    }

    /// What an address space may do with a range of a place from now on; `None` if it has it mapped
    /// no more.
    pub(super) fn allow(
        &self,
        place: &Place,
        space: u64,
        range: &Range<u64>,
        rights: Option<Rights>,
    ) -> Result<(), NoMemory> {
        let mut state = self.state.lock();
        let number = place.number();
        let Some(spot) = state.spot_mut(number) else {
            return Err(NoMemory);
        };
        let before = spot.prots(range);
        spot.set_right(space, range, rights);
        let after = spot.prots(range);
        let unused = match rights {
            None => spot.unused(range),
            Some(_) => Vec::new(),
        };
        for part in &unused {
            self.vacate(&mut state, number, part);
        }
        if rights.is_none()
            && state.is_turn_of(number, space)
            && self.put_aside(&mut state, number, range).is_err()
        {
            self.report_lost(Err(NoMemory));
            let bytes = state.spot(number).map(|spot| spot.bytes_of(range));
            state.give_back(self.machine, number, &bytes.unwrap_or_default());
        }
        state.may_differ |= rights.is_some_and(|rights| rights.prot.contains(Prot::WRITE));
        if before == after {
            return Ok(());
        }
        self.enforce(&mut state, number, after)
    }

    /// Has the pages of a place be used as is allowed now.
    pub(super) fn enforce(
        &self,
        state: &mut State,
        number: u64,
        prots: Vec<(Range<u64>, Prot)>,
    ) -> Result<(), NoMemory> {
        let moves = state.is_elsewhere(number);
        for (part, prot) in prots {
            let held = state.spot(number).map(|spot| spot.held.present(&part));
            for run in held.unwrap_or_default() {
                if moves && prot.contains(Prot::WRITE) {
                    state.take_from_others(self.machine, number, &run);
                    self.machine.settle();
                }
                self.machine.protect(run.start, run.end - run.start, prot)?;
            }
        }
        Ok(())
    }

    /// Makes new pages at the only place that shows them. Other threads may touch one as soon as it is
    /// there, so it comes with its content.
    fn make(&self, spot: &mut Spot, run: &Range<u64>) -> Result<(), NoMemory> {
        self.charge(run)?;
        self.memory.region.leftovers.forget(run);
        if self.file.is_some() {
            self.commit_filled(spot, run)?;
        } else {
            self.commit_zeros(spot, run)?;
        }
        spot.held.insert(run);
        Ok(())
    }

    /// Counts pages as memory that were not when they were mapped.
    fn charge(&self, run: &Range<u64>) -> Result<(), NoMemory> {
        if self.file.is_none() || self.memory.region.charge(run) {
            Ok(())
        } else {
            Err(NoMemory)
        }
    }

    fn commit_zeros(&self, spot: &Spot, run: &Range<u64>) -> Result<(), NoMemory> {
        let writable = Prot::READ | Prot::WRITE;
        (self.machine).commit(run.start, run.end - run.start, writable)?;
        let mut parts = spot.prots(run).into_iter();
        let protected = parts.try_for_each(|(part, prot)| {
            if prot == writable {
                return Ok(());
            }
            (self.machine).protect(part.start, part.end - part.start, prot)
        });
        protected.inspect_err(|_| self.machine.decommit(run.start, run.end - run.start))
    }

    /// Brings a page to one of several places: from where it is, or anew.
    fn bring(&self, state: &mut State, number: u64, page: u64) -> Result<(), NoMemory> {
        let spot = state.spot(number).ok_or(NoMemory)?;
        let (offset, prot) = (spot.offset_of(page), spot.prot_at(page));
        let holders = state.holders(number, offset);
        let mut content = chunk_of(&(page..page + PAGE_SIZE))?;
        let is_taken = |&(other, at): &(u64, u64)| {
            let other = state.spot(other);
            other.is_some_and(|spot| spot.is_apart || spot.prot_at(at).contains(Prot::WRITE))
        };
        let moves = prot.contains(Prot::WRITE) || holders.iter().any(is_taken);
        match holders.first() {
            None => self.read_file(offset, &mut content)?,
            Some(&(_, from)) => {
                if moves {
                    // From here on nobody changes it any more.
                    self.machine.protect(from, PAGE_SIZE, Prot::READ)?;
                    self.machine.settle();
                }
                self.read_page(from, &mut content)?;
            }
        }
        let place = page..page + PAGE_SIZE;
        self.charge(&place)?;
        self.memory.region.leftovers.forget(&place);
        self.machine.commit_with(page, &content, prot)?;
        if let Some(spot) = state.spot_mut(number) {
            spot.held.insert(&place);
        }
        if moves {
            state.take_from_others(self.machine, number, &place);
        }
        Ok(())
    }

    /// Reads a page, whatever programs may do with it.
    pub(super) fn read_page(&self, page: u64, bytes: &mut [u8]) -> Result<(), NoMemory> {
        let first = self.machine.copy_in(page, bytes);
        first
            .or_else(|fault| {
                let opened = self.machine.protect(page, PAGE_SIZE, Prot::READ);
                opened.map_err(|_| fault)?;
                let read = self.machine.copy_in(page, bytes);
                // Nobody may do anything with it, or it could be read.
                let closed = self.machine.protect(page, PAGE_SIZE, Prot::empty());
                closed.map_err(|_| fault)?;
                read
            })
            .map_err(|_| NoMemory)
    }

    /// A place is nobody's any more. What is only there goes to another one, or to the file.
    pub(super) fn leave(&self, place: &Place) {
        self.memory.places.lock().remove(&self.key_of(place));
        let number = place.number();
        let mut state = self.state.lock();
        self.vacate(&mut state, number, &(0..u64::MAX));
        state.remove(number);
    }

    /// A part of a place is nobody's any more.
    fn vacate(&self, state: &mut State, number: u64, range: &Range<u64>) {
        let Some(spot) = state.spot(number) else {
            return;
        };
        if self.file.is_some() {
            let bytes = spot.bytes_of(range);
            self.write_back_of(state, spot, &bytes);
            let apart = state
                .showing(&bytes)
                .into_iter()
                .filter(|spot| spot.is_apart);
            apart.for_each(|spot| self.write_back_of(state, spot, &bytes));
        } else {
            self.rescue(state, number, range);
        }
        let Some(spot) = state.spot_mut(number) else {
            return;
        };
        for run in spot.held.present(range) {
            self.machine.decommit(run.start, run.end - run.start);
        }
        spot.held.remove(range);
        for part in spot.claimed.present(range) {
            self.memory.region.release(&part);
        }
        spot.claimed.remove(range);
    }

    /// Moves the pages of a place that are nowhere else to others that show them.
    fn rescue(&self, state: &mut State, number: u64, range: &Range<u64>) {
        let Some(spot) = state.spot(number) else {
            return;
        };
        let held = spot.held.present(range).into_iter();
        let pages = held.flat_map(|run| run.step_by(PAGE_SIZE as usize));
        let pages: Vec<(u64, u64)> = pages.map(|page| (page, spot.offset_of(page))).collect();
        let mut apart: Vec<Range<u64>> = Vec::new();
        for (page, offset) in pages {
            if !state.holders(number, offset).is_empty() {
                continue;
            }
            let bytes = offset..offset + PAGE_SIZE;
            let others = state.showing(&bytes).into_iter();
            let mut others = others.filter(|spot| spot.number() != number && !spot.is_apart);
            let other = others.find_map(|spot| {
                let page = spot.addresses(&bytes);
                let shows = !page.is_empty() && spot.claimed.contains(&page);
                shows.then_some((spot, page.start))
            });
            let Some((other, to)) = other else { continue };
            // Who may use it there may not see it before its content is there.
            let is_watched = other.turn.is_some()
                || self.memory.paging == Paging::Eager && !other.prot_at(to).is_empty();
            let other = other.number();
            match apart.last_mut() {
                Some(last) if is_watched && last.end == page => last.end = page + PAGE_SIZE,
                _ if is_watched => apart.push(page..page + PAGE_SIZE),
                _ => self.report_lost(self.bring(state, other, to)),
            }
        }
        for run in apart {
            self.report_lost(self.set_apart(state, number, &run));
        }
    }

    fn report_lost(&self, moved: Result<(), NoMemory>) {
        if moved.is_err() {
            self.machine.log(
                LogLevel::Error,
                "shared memory is lost: there was no memory to move it",
            );
        }
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        let apart = state.spots().filter(|spot| spot.is_apart);
        let apart: Vec<u64> = apart.map(Spot::number).collect();
        for number in apart {
            state.give_back(self.machine, number, &(0..u64::MAX));
        }
        self.close_apart(&mut state);
        if let Some(file) = &self.file {
            self.memory.forget(file.id);
        }
    }
}
