//! Patching the system calls of a program's text.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::{Fault, LogLevel, NoMemory, PAGE_SIZE, Prot};
use patcher::{Entries, Placed, Plan};

use super::area::{Area, Areas, Backing, Counted, FileBacking, OnFork, Purpose};
use super::code::Code;
use super::content::{chunk_of, read_whole};
use super::edits::Edits;
use super::leftovers::{Content, FilePlace};
use super::plans::Key;
use super::region::Use;
use super::space::{AddressSpace, Books, Paging};

/// Sites patched so far in this enclave: a figure for the operator.
static PATCHED_SITES: AtomicU64 = AtomicU64::new(0);

/// How many system call sites were patched since the enclave started.
#[must_use]
pub fn patched_sites() -> u64 {
    PATCHED_SITES.load(Ordering::Relaxed)
}

/// The texts that are patched, by their start.
#[derive(Clone, Default)]
pub(super) struct Patches(BTreeMap<u64, Patched>);

/// A text whose system calls jump to stubs.
#[derive(Clone)]
pub(super) struct Patched {
    text: Range<u64>,
    stubs: Range<u64>,
    placed: Placed,
}

/// How far a stub may be from its text: less than a jump's reach by far more than any text.
const REACH_BYTES: u64 = 1 << 30;

impl Patches {
    /// The stubs of texts that touched `range` and of which nothing is mapped any more.
    pub(super) fn orphans(&mut self, range: &Range<u64>, areas: &Areas) -> Vec<Range<u64>> {
        let gone = |patched: &Patched| {
            let touched = patched.text.start < range.end && range.start < patched.text.end;
            touched && areas.is_free(&patched.text)
        };
        let starts: Vec<u64> = self
            .0
            .iter()
            .filter(|(_, patched)| gone(patched))
            .map(|(&start, _)| start)
            .collect();
        starts
            .iter()
            .filter_map(|start| self.0.remove(start))
            .map(|patched| patched.stubs)
            .collect()
    }

    /// The text that is exactly this range, if it is patched.
    fn of(&self, range: &Range<u64>) -> Option<&Patched> {
        let found = self.0.get(&range.start);
        found.filter(|patched| patched.text == *range)
    }

    /// Whether it is exactly a text that is patched.
    pub(super) fn is_whole(&self, range: &Range<u64>) -> bool {
        self.of(range).is_some()
    }

    /// Whether some of `range` is patched, or was when it was mapped.
    pub(super) fn covers(&self, range: &Range<u64>) -> bool {
        self.0
            .values()
            .any(|old| old.text.start < range.end && range.start < old.text.end)
    }
}

impl AddressSpace {
    /// The address that a signal handler may see for `rip`: where the program thinks that it is,
    /// when `rip` is in a stub.
    pub(crate) fn program_address(&self, rip: u64) -> u64 {
        let books = self.books.read();
        let mut texts = books.patches.0.values();
        texts
            .find_map(|patched| patched.placed.program_address(rip))
            .unwrap_or(rip)
    }

    /// Where a thread must really go on that the program wants to go on at `rip`: the inverse of
    /// [`program_address`](Self::program_address).
    pub(crate) fn running_address(&self, rip: u64) -> u64 {
        let books = self.books.read();
        let mut texts = books.patches.0.values();
        texts
            .find_map(|patched| patched.placed.stub_address(rip))
            .unwrap_or(rip)
    }

    /// Whether `rip` is in the replacement of a system call, in whose middle no signal is delivered.
    pub(crate) fn is_in_stub(&self, rip: u64) -> bool {
        let books = self.books.read();
        books
            .patches
            .0
            .values()
            .any(|patched| patched.stubs.contains(&rip))
    }

    /// Patches the file-backed text in `range`: executable, never writable, not patched before.
    ///
    /// Nothing depends on success: what is not patched is trapped. `is_fresh` says that its content
    /// is that of the file: nobody could write to it. Where pages get memory as they are touched, those of
    /// a fresh text of a file that never changes do so, too, but for those that are written to here. For who
    /// wants to know what is mapped, all is there at once: a debugger puts its breakpoints in when it is told.
    pub(super) fn patch_text(&self, books: &mut Books, range: &Range<u64>, is_fresh: bool) {
        let is_watched = self.machine.listens(LogLevel::Mapping);
        let comes_later = is_fresh && self.paging == Paging::OnDemand && !is_watched;
        let texts: Vec<(Range<u64>, bool)> = books
            .areas
            .overlapping(range)
            .filter(|(_, area)| is_text(area))
            .map(|(start, area)| (start..area.end, comes_later && is_constant(area)))
            .collect();
        for (text, may_wait) in texts {
            let is_done = books.patches.covers(&text) || books.unsearched.has(&text);
            if is_done || may_wait && self.put_off(books, &text) {
                continue;
            }
            if may_wait || self.populate(books, &text).is_ok() {
                self.patch_one(books, &text, is_fresh);
            }
        }
    }

    /// Patches a text whose pages are there, or come as they are touched.
    pub(super) fn patch_one(&self, books: &mut Books, text: &Range<u64>, is_fresh: bool) {
        let Ok(plan) = self.plan(books, text, is_fresh) else {
            return;
        };
        if plan.is_empty() {
            return;
        }
        let Some(stubs) = self.reserve_stubs(text, plan.stubs_len()) else {
            return;
        };
        // `reserve_stubs` stays within reach, so the plan can be placed.
        let placed = plan.place(text.start, stubs.start).ok();
        let written = placed.and_then(|placed| {
            let written = match self.paging {
                Paging::Eager => self.write_at_once(text, &placed, stubs.start),
                Paging::OnDemand => self.write_by_pages(books, text, &placed, stubs.start),
            };
            Some((placed, written?))
        });
        let Some((placed, written)) = written else {
            self.decommit(&stubs);
            self.region.release(&stubs);
            return;
        };
        // They are in use from here on, so a failure to protect must not go unseen; the machine
        // refuses only what it could not make accessible in the first place.
        let _ = self.machine.protect(
            stubs.start,
            stubs.end - stubs.start,
            Prot::READ | Prot::EXEC,
        );
        PATCHED_SITES.fetch_add(written, Ordering::Relaxed);
        let text = text.clone();
        books.add_patched(Patched {
            text,
            stubs,
            placed,
        });
    }

    /// Patches a text of which all pages are there. How many jumps were written.
    fn write_at_once(&self, text: &Range<u64>, placed: &Placed, stubs: u64) -> Option<u64> {
        let (start, len) = (text.start, text.end - text.start);
        let writable = Prot::READ | Prot::WRITE;
        self.machine.protect(start, len, writable).ok()?;
        self.expect_content(start, len);
        let written = self.write_patches(placed, stubs);
        let _ = (self.machine).protect(start, len, Prot::READ | Prot::EXEC);
        Some(written)
    }

    /// Patches the pages of a text that patches change, and gives memory to those of them that have none.
    fn write_by_pages(
        &self,
        books: &mut Books,
        text: &Range<u64>,
        placed: &Placed,
        stubs: u64,
    ) -> Option<u64> {
        let (_, area) = books.areas.find(text.start)?;
        let Backing::File(file) = &area.backing else {
            return None;
        };
        let prot = area.prot;
        (self.machine)
            .copy_out(stubs, &self.stubs_of(placed))
            .ok()?;
        let edits = Edits::of(placed);
        let mut new = Vec::new();
        let mut fill = || {
            for run in edits.pages() {
                for part in books.committed.missing(&run) {
                    self.check_books_room()?;
                    let mut at = part.start;
                    while at < part.end {
                        let mut content = chunk_of(&(at..part.end))?;
                        let chunk = at..at + content.len() as u64;
                        let offset = file.offset + (at - text.start);
                        read_whole(&*file.inode, offset, &mut content)?;
                        edits.apply(&chunk, &mut content);
                        self.commit_with(&chunk, &content, prot)?;
                        at = chunk.end;
                        new.push(chunk);
                    }
                }
            }
            Ok::<_, NoMemory>(())
        };
        if fill().is_err() {
            new.iter().for_each(|chunk| self.decommit(chunk));
            return None;
        }
        for run in edits.pages() {
            for part in books.committed.present(&run) {
                self.rewrite(&part, &edits, prot);
            }
        }
        new.iter().for_each(|chunk| books.committed.insert(chunk));
        Some(edits.len() as u64)
    }

    /// Changes text that is there.
    fn rewrite(&self, part: &Range<u64>, edits: &Edits, prot: Prot) {
        let len = part.end - part.start;
        // Nobody runs there meanwhile, and what stays executable need not become so again.
        let writable = prot | Prot::WRITE;
        if self.machine.protect(part.start, len, writable).is_ok() {
            for (address, bytes) in edits.within(part) {
                let _ = self.machine.copy_out(address, bytes);
            }
            let _ = self.machine.protect(part.start, len, prot);
        }
    }

    /// Notes what the pages of this address space hold that are about to be free.
    pub(super) fn leave_behind(&self, books: &Books) {
        for (start, area) in books.areas.iter() {
            let Backing::File(file) = &area.backing else {
                continue;
            };
            let Some(content) = file.inode.content().filter(|_| file.is_untouched) else {
                continue;
            };
            let place = |at: u64| FilePlace {
                content,
                offset: file.offset + (at - start),
            };
            let whole = start..area.end;
            if let Some(patched) = books.patches.of(&whole) {
                if books.has_all_of(patched) {
                    let (stubs, placed) = (patched.stubs.clone(), patched.placed.clone());
                    let left = &self.region.leftovers;
                    left.leave(&stubs, Content::Stubs(start));
                    left.leave(&whole, Content::Patched(place(start), placed, stubs));
                }
            } else if !books.patches.covers(&whole) {
                for run in books.committed.present(&whole) {
                    let content = Content::File(place(run.start));
                    self.region.leftovers.leave(&run, content);
                }
            }
        }
    }

    /// Makes pages usable that still hold what they are to hold. Text that is patched stays so if it
    /// `may_stay`, and is returned; else it is what `file` has, which is mapped at `start`.
    pub(super) fn reuse(
        &self,
        part: &Range<u64>,
        content: Content,
        prot: Prot,
        (file, start): (&FileBacking, u64),
        may_stay: bool,
    ) -> Result<Option<Patched>, NoMemory> {
        let recommit = |range: &Range<u64>, prot: Prot| {
            (self.machine).recommit(range.start, range.end - range.start, prot)
        };
        let Content::Patched(_, placed, stubs) = content else {
            return recommit(part, prot).map(|()| None);
        };
        let left = &self.region.leftovers;
        if may_stay
            && left.take_stubs(part.start, &stubs)
            && self.region.claim_unused(self.gang.id(), &stubs)
        {
            let patched = Patched {
                text: part.clone(),
                stubs,
                placed,
            };
            // A loader that maps all of it as data will want the text executable.
            let kept = recommit(part, prot | Prot::EXEC);
            return match kept.and_then(|()| recommit(&patched.stubs, Prot::READ | Prot::EXEC)) {
                Ok(()) => Ok(Some(patched)),
                Err(error) => {
                    self.region.release(&patched.stubs);
                    Err(error)
                }
            };
        }
        let writable = Prot::READ | Prot::WRITE;
        recommit(part, writable)?;
        let len = part.end - part.start;
        self.machine.prepare(part.start, len);
        let put = |address: u64, original: &[u8]| {
            let written = self.machine.copy_out(address, original);
            written.map_err(|_| NoMemory)
        };
        for (address, original) in placed.originals() {
            put(address, original)?;
        }
        for padding in placed.padding() {
            let mut original = vec![0; (padding.end - padding.start) as usize];
            let offset = file.offset + (padding.start - start);
            let got = file.inode.read_at(offset, &mut original);
            if got.map_err(|_| NoMemory)? != original.len() {
                return Err(NoMemory);
            }
            put(padding.start, &original)?;
        }
        self.machine.protect(part.start, len, prot)?;
        Ok(None)
    }

    /// The plan for a text. That of a fresh one may be known already.
    fn plan(&self, books: &Books, text: &Range<u64>, is_fresh: bool) -> Result<Arc<Plan>, Fault> {
        let file = books.areas.find(text.start).map(|(_, area)| &area.backing);
        let key = match file {
            Some(Backing::File(file)) if is_fresh => Key::new(file, text),
            _ => None,
        };
        if let Some(plan) = key.as_ref().and_then(|key| self.plans.get(key)) {
            return Ok(plan);
        }
        let Some(Backing::File(file)) = file else {
            return Ok(Arc::default());
        };
        let len = text.end - text.start;
        let code = Code::of(&*file.inode);
        let is_code =
            |bytes: &Range<u64>| code.may_be(&(file.offset + bytes.start..file.offset + bytes.end));
        let plan = if key.is_some() && self.paging == Paging::OnDemand {
            // Its pages need not be there.
            Plan::find_within(len, is_code, |offset, bytes| {
                let read = read_whole(&*file.inode, file.offset + offset, bytes);
                let address = text.start + offset;
                read.map_err(|NoMemory| Fault { address })
            })
        } else {
            Plan::find_within(len, is_code, |offset, bytes| {
                self.machine.copy_in(text.start + offset, bytes)
            })
        };
        let plan = Arc::new(plan?);
        if let Some(key) = key {
            self.plans.put(key, plan.clone());
        }
        Ok(plan)
    }

    /// Whether the system calls of this text are known.
    pub(super) fn has_plan(&self, file: &FileBacking, text: &Range<u64>) -> bool {
        Key::new(file, text).is_some_and(|key| self.plans.get(&key).is_some())
    }

    fn reserve_stubs(&self, text: &Range<u64>, len: u64) -> Option<Range<u64>> {
        let len = len.next_multiple_of(PAGE_SIZE);
        let near = text.end.saturating_sub(REACH_BYTES)..text.start.saturating_add(REACH_BYTES);
        let stubs = self
            .region
            .claim_high(self.gang.id(), len, PAGE_SIZE, &near, Use::Memory)?;
        let writable = Prot::READ | Prot::WRITE;
        if self.commit(&stubs, writable).is_err() {
            self.region.release(&stubs);
            return None;
        }
        Some(stubs)
    }

    fn stubs_of(&self, placed: &Placed) -> Vec<u8> {
        placed.stubs(Entries {
            syscall: self.machine.syscall_entry(),
            cpuid: self.machine.cpuid_entry(),
        })
    }

    /// Writes the stubs, and then the jumps to them. How many jumps were written.
    fn write_patches(&self, placed: &Placed, stubs: u64) -> u64 {
        if self
            .machine
            .copy_out(stubs, &self.stubs_of(placed))
            .is_err()
        {
            return 0;
        }
        let mut written = 0;
        for (address, jump) in placed.jumps() {
            written += u64::from(self.machine.copy_out(address, &jump).is_ok());
        }
        if written == placed.jumps().count() as u64 {
            // They lead into what is there now.
            for (address, jump) in placed.short_jumps() {
                let _ = self.machine.copy_out(address, &jump);
            }
        }
        written
    }
}

impl Books {
    /// Takes note of a text that is patched; its stubs are claimed and have memory.
    pub(super) fn add_patched(&mut self, patched: Patched) {
        let (start, stubs) = (patched.text.start, patched.stubs.clone());
        self.committed.insert(&stubs);
        let area = Area {
            end: stubs.end,
            prot: Prot::READ | Prot::EXEC,
            backing: Backing::Zero,
            purpose: Purpose::Stubs(start),
            counted: Counted::Whole,
            on_fork: OnFork::COPY,
            most: Prot::all(),
            is_locked: false,
            grows_down: false,
            attachment: None,
        };
        self.put(stubs.start, area);
        self.patches.0.insert(start, patched);
    }

    /// The first stubs in `part` of text that is not all in `range`.
    pub(super) fn stubs_of_others(
        &self,
        range: &Range<u64>,
        part: &Range<u64>,
    ) -> Option<Range<u64>> {
        let others = self.areas.overlapping(part).find(|(_, area)| {
            let Purpose::Stubs(text) = area.purpose else {
                return false;
            };
            let text = self.patches.0.get(&text).map(|patched| &patched.text);
            text.is_some_and(|text| text.start < range.start || range.end < text.end)
        });
        others.map(|(start, area)| start.max(part.start)..area.end)
    }

    /// A text that is not all in a range and whose stubs are, in part: it, they and its jumps.
    pub(super) fn patched_into(
        &self,
        range: &Range<u64>,
    ) -> Option<(Range<u64>, Range<u64>, Placed)> {
        let at = self.stubs_of_others(range, range)?;
        let mut texts = self.patches.0.values();
        let found = texts.find(|patched| patched.stubs.contains(&at.start))?;
        let Patched {
            text,
            stubs,
            placed,
        } = found.clone();
        Some((text, stubs, placed))
    }

    /// A text has no jumps any more.
    pub(super) fn forget_patched(&mut self, text: &Range<u64>) {
        self.patches.0.remove(&text.start);
    }

    /// Whether a patched text and its stubs are there as they were made.
    fn has_all_of(&self, patched: &Patched) -> bool {
        let Patched { text, stubs, .. } = patched;
        let found = self.areas.find(stubs.start);
        let are_stubs = found.is_some_and(|(start, area)| {
            area.purpose == Purpose::Stubs(text.start) && (start..area.end) == *stubs
        });
        are_stubs && self.committed.contains(text) && self.committed.contains(stubs)
    }
}

/// Whether it shows a file that never changes, and counts whether it is touched or not.
fn is_constant(area: &Area) -> bool {
    let shows = matches!(&area.backing, Backing::File(file) if file.inode.content().is_some());
    shows && area.counted == Counted::Whole
}

/// Whether it is a program's code, which it cannot write to.
pub(super) fn is_text(area: &Area) -> bool {
    let executable = area.prot.contains(Prot::EXEC) && !area.prot.contains(Prot::WRITE);
    let is_loaded = matches!(area.purpose, Purpose::Program | Purpose::Image);
    // What the program could write to may be data that only looks like a system call.
    executable && matches!(&area.backing, Backing::File(file) if file.is_untouched) && is_loaded
}
