//! Giving pages memory and their first content.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, Machine, NoMemory, PAGE_SIZE, Prot};
use vfs::Sink;

use super::area::{Area, Backing, Counted, FileBacking};
use super::content::{chunk_of, read_whole};
use super::gang::Gang;
use super::leftovers::{Content, FilePlace};
use super::patch::{Patched, is_text};
use super::shared::Taking;
use super::shortage::Knob;
use super::space::{AddressSpace, Books, Paging};
use crate::syscalls::room;

/// Pages that one fault or kernel access brings in, around the page that was touched.
const FAULT_AROUND_PAGES: u64 = 16;

/// What became of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageFault {
    /// The page is there now.
    Served,
    /// The page is there now, and maybe not any more where it was.
    Moved,
    /// The access is allowed and the page is there: another thread brought it in or was changing it
    /// when this one touched it, or the host keeps it away.
    Present,
    /// The program may not do that.
    Refused,
    /// It may, and there is nothing: the file ends before the page, or there is no memory.
    Absent,
    /// The page would be seen before its content is there by threads that run: they are to be stopped
    /// first.
    Watched,
}

impl AddressSpace {
    /// Backs what must be backed now that `range` has become accessible or has changed.
    pub(super) fn settle(&self, books: &mut Books, range: &Range<u64>) -> Result<(), NoMemory> {
        if self.paging == Paging::OnDemand {
            return Ok(());
        }
        self.back_all(books, range, Taking::Nothing)
    }

    /// Backs every accessible page of `range` that has no memory yet, and content: pages behind the
    /// end of a file stay away. Shared pages may stay at other places where these can see what is not
    /// ready.
    pub(super) fn populate(&self, books: &mut Books, range: &Range<u64>) -> Result<(), NoMemory> {
        let taking = match self.paging {
            Paging::OnDemand => Taking::Pages,
            Paging::Eager => Taking::Nothing,
        };
        self.back_all(books, range, taking)
    }

    fn back_all(
        &self,
        books: &mut Books,
        range: &Range<u64>,
        taking: Taking,
    ) -> Result<(), NoMemory> {
        let Books {
            areas, committed, ..
        } = books;
        let mut texts = Vec::new();
        let mut populate = || {
            for (start, area) in areas.overlapping(range) {
                if area.prot.is_empty() {
                    continue;
                }
                let wanted = start.max(range.start)..area.end.min(range.end);
                if let Some(place) = area.shared() {
                    place.pages().populate(place, &wanted, taking)?;
                    continue;
                }
                let wanted = wanted.start..wanted.end.min(area.content_end(start));
                for run in committed.missing(&wanted) {
                    self.check_books_room()?;
                    if area.counted == Counted::Touched && !self.region.charge(&run) {
                        return Err(NoMemory);
                    }
                    self.back(start, area, &run, &mut texts)?;
                    committed.insert(&run);
                }
            }
            Ok(())
        };
        let populated = populate();
        texts.into_iter().for_each(|text| books.add_patched(text));
        populated
    }

    /// Refuses more memory while the kernel's heap is nearly full. The books of pages that are touched
    /// grow without a call that could be refused.
    pub(super) fn check_books_room(&self) -> Result<(), NoMemory> {
        match self.paging {
            Paging::OnDemand => room::check_to_go_on(self.machine).map_err(|_| NoMemory),
            Paging::Eager => Ok(()),
        }
    }

    /// Serves a fault at `address` while no other thread of the address spaces in `stopped` runs.
    pub(crate) fn fault_in(&self, address: u64, access: Prot, stopped: &[u64]) -> PageFault {
        let mut books = self.books.write();
        if books.areas.find(address).is_none() && !self.grow_down(&mut books, address) {
            return PageFault::Refused;
        }
        let Some((start, area)) = books.areas.find(address) else {
            return PageFault::Refused;
        };
        // As on Linux, what can be written or executed can be read.
        let is_allowed =
            area.prot.contains(access) || access == Prot::READ && !area.prot.is_empty();
        if !is_allowed {
            return PageFault::Refused;
        }
        let window = FAULT_AROUND_PAGES * PAGE_SIZE;
        let floor = address & !(window - 1);
        let around = start.max(floor)..area.end.min(floor + window);
        let page = super::page_floor(address)..super::page_floor(address) + PAGE_SIZE;
        let moves = (area.shared()).is_some_and(|place| place.pages().is_elsewhere(place));
        // Neighbours may be in use where they are.
        let around = if moves { page.clone() } else { around };
        let has = |books: &Books| books.are_present(&page);
        if has(&books) {
            return PageFault::Present;
        }
        if self.paging == Paging::Eager && !self.is_unwatched(area, stopped) {
            return PageFault::Watched;
        }
        match self.back_all(&mut books, &around, Taking::Pages) {
            Ok(()) if has(&books) && moves => PageFault::Moved,
            Ok(()) if has(&books) => PageFault::Served,
            Ok(()) => PageFault::Absent,
            Err(NoMemory) => {
                if self.check_books_room().is_err() {
                    self.report_full_heap();
                } else {
                    self.report_shortage(&books, Knob::UserSpace, around.end - around.start);
                }
                PageFault::Absent
            }
        }
    }

    /// Whether no thread can see a page of an area while its content comes, as those of all who show it
    /// are stopped.
    fn is_unwatched(&self, area: &Area, stopped: &[u64]) -> bool {
        let watchers = match area.shared() {
            Some(place) => place.pages().users(),
            None => Vec::from([self.id()]),
        };
        watchers.iter().all(|watcher| stopped.contains(watcher))
    }

    /// The gangs in which a page is seen that is brought to `address`.
    pub(crate) fn watchers(&self, address: u64) -> Vec<Arc<Gang>> {
        let users = self.with_area(address, |_, area| {
            area.shared().map(|place| place.pages().users())
        });
        let mut watchers = Vec::from([self.gang.clone()]);
        // Not while the books are held: who changes a gang looks into those of its members.
        if let Some(users) = users.flatten() {
            watchers.extend(self.region.gangs_of(&users, &self.gang));
        }
        watchers
    }

    /// Gives a run of an area's pages memory and their content. `texts` gets those that were
    /// patched before.
    fn back(
        &self,
        start: u64,
        area: &Area,
        run: &Range<u64>,
        texts: &mut Vec<Patched>,
    ) -> Result<(), NoMemory> {
        let Backing::File(file) = &area.backing else {
            return self.commit(run, area.prot);
        };
        let read = |part: Range<u64>| {
            if part.is_empty() {
                return Ok(());
            }
            self.fill_from(file, file.offset + (part.start - start), area.prot, &part)
        };
        let mut done = run.start;
        let mut back = || {
            for (part, content) in self.leftovers(file, start, run) {
                read(done..part.start)?;
                done = part.start;
                let is_whole = part == (start..area.end);
                // A loader maps all of a library, as data, and then its text over that.
                let may_stay = is_whole && is_text(area)
                    || file.is_for_loader && !area.prot.contains(Prot::WRITE);
                let text = self.reuse(&part, content, area.prot, (file, start), may_stay)?;
                texts.extend(text);
                done = part.end;
            }
            read(done..run.end)
        };
        back().inspect_err(|_| {
            if done > run.start {
                self.decommit(&(run.start..done));
            }
        })
    }

    /// What is left of a file where a run of its pages is to be.
    fn leftovers(
        &self,
        file: &FileBacking,
        start: u64,
        run: &Range<u64>,
    ) -> Vec<(Range<u64>, Content)> {
        let is_alone = self.paging == Paging::Eager && !self.gang.is_shared();
        let wanted = FilePlace::of(&*file.inode, file.offset + (run.start - start));
        let wanted = wanted.filter(|_| is_alone);
        wanted.map_or(Vec::new(), |wanted| self.region.leftovers.take(run, wanted))
    }

    /// Gives pages memory and a file's bytes.
    fn fill_from(
        &self,
        file: &FileBacking,
        offset: u64,
        prot: Prot,
        run: &Range<u64>,
    ) -> Result<(), NoMemory> {
        if self.paging == Paging::OnDemand {
            return self.commit_filled(file, offset, prot, run);
        }
        let writable = Prot::READ | Prot::WRITE;
        self.commit_to_fill(run)?;
        let loaded = self.load(file, offset, run);
        if loaded.is_err() {
            self.decommit(run);
            return Err(NoMemory);
        }
        if prot == writable {
            return Ok(());
        }
        self.set_prot(run, prot)
    }

    /// The same where other threads may touch a page as soon as it is there: it comes with its content.
    fn commit_filled(
        &self,
        file: &FileBacking,
        offset: u64,
        prot: Prot,
        run: &Range<u64>,
    ) -> Result<(), NoMemory> {
        let mut chunk = chunk_of(run)?;
        let mut done = run.start;
        let mut fill = || {
            while done < run.end {
                let part = done..run.end.min(done + chunk.len() as u64);
                let content = &mut chunk[..(part.end - part.start) as usize];
                read_whole(&*file.inode, offset + (part.start - run.start), content)?;
                self.commit_with(&part, content, prot)?;
                done = part.end;
            }
            Ok(())
        };
        fill().inspect_err(|_| {
            if done > run.start {
                self.decommit(&(run.start..done));
            }
        })
    }

    /// Copies a file's bytes to committed pages; what lies behind the end of the file is zeroed.
    fn load(&self, file: &FileBacking, offset: u64, run: &Range<u64>) -> Result<(), NoMemory> {
        let mut pages = Pages {
            machine: self.machine,
            left: run.clone(),
        };
        while !pages.left.is_empty() {
            let done = pages.left.start - run.start;
            let got = file.inode.read_to(offset + done, &mut pages);
            if got.map_err(|_| NoMemory)? == 0 {
                break;
            }
        }
        let rest = pages.left.end - pages.left.start;
        if rest == 0 {
            return Ok(());
        }
        self.machine
            .fill(pages.left.start, rest, 0)
            .map_err(|_| NoMemory)
    }
}

/// Committed pages that a file is read to.
struct Pages {
    machine: &'static dyn Machine,
    left: Range<u64>,
}

impl Sink for Pages {
    fn room_bytes(&self) -> usize {
        (self.left.end - self.left.start) as usize
    }

    fn check(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.machine
            .copy_out(self.left.start, bytes)
            .map_err(|_| Errno::EFAULT)?;
        self.left.start += bytes.len() as u64;
        Ok(())
    }
}
