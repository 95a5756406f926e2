//! Memory that several mappings show.
//!
//! An enclave has one set of addresses and no aliases, so pages that are shared have one place: every
//! mapping of the same part of a file, in whatever process, is at the same address. The addresses belong
//! to nobody's gang; the pages are never saved, copied by `fork` or exchanged.
//!
//! Pages of a file are a copy of its content. Reads and writes of the file through descriptors pass by
//! here (see [`ContentObserver`]): before a read what differs is written to the file, after a write the
//! pages are read again. What differs is found by comparing, for no fault tells what was touched.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use hal::{Errno, LogLevel, Machine, NoMemory, PAGE_SIZE, Prot};
use locks::Mutex;
use vfs::{ContentObserver, FileId, Inode};

use super::pages::PageSet;
use super::region::{GangId, Region, Use};

/// What is moved at a time through the kernel's heap.
const CHUNK_BYTES: u64 = 64 * 1024;
/// Addresses kept free behind pages of a file, so that they can grow where they are.
const GROWTH_MAX_BYTES: u64 = 1 << 20;

/// All memory of an enclave that is shared.
pub(crate) struct SharedMemory {
    machine: &'static dyn Machine,
    region: Arc<Region>,
    /// Whom the addresses belong to.
    owner: GangId,
    /// Pages by the file that they show.
    files: Mutex<BTreeMap<FileId, Vec<Weak<SharedPages>>>>,
    /// How many of these there are, so that other files cost one load.
    count: AtomicUsize,
}

/// Pages at one place for all who map them.
pub(crate) struct SharedPages {
    machine: &'static dyn Machine,
    memory: Arc<SharedMemory>,
    start: u64,
    file: Option<FilePart>,
    state: Mutex<State>,
}

/// What pages show of a file.
pub(crate) struct FilePart {
    /// Which file.
    pub(crate) id: FileId,
    /// The file.
    pub(crate) inode: Arc<dyn Inode>,
    /// Its name when it was mapped, for people only.
    pub(crate) path: Arc<[u8]>,
    /// Where the first page is in it.
    pub(crate) offset: u64,
}

struct State {
    /// Behind the last page.
    end: u64,
    /// Behind the last address that is kept.
    claimed_end: u64,
    committed: PageSet,
    /// What any mapping may do.
    prot: Prot,
}

impl SharedMemory {
    /// None yet.
    pub(super) fn new(machine: &'static dyn Machine, region: Arc<Region>) -> Arc<Self> {
        Arc::new(Self {
            machine,
            owner: region.new_gang(),
            region,
            files: Mutex::default(),
            count: AtomicUsize::new(0),
        })
    }

    /// Pages of zeros at `fixed` or anywhere.
    ///
    /// # Errors
    /// `ENOMEM` when there are no such addresses.
    pub(crate) fn anonymous(
        self: &Arc<Self>,
        len: u64,
        fixed: Option<u64>,
    ) -> Result<Arc<SharedPages>, Errno> {
        let range = self.claim(len, 0, fixed)?;
        Ok(self.pages(&range, len, None))
    }

    /// The pages that show `len` bytes of a file, and the address of the first. `fixed` is where
    /// that has to be.
    ///
    /// # Errors
    /// `ENOMEM` when there are no such addresses, or the file is mapped somewhere else already.
    pub(crate) fn of_file(
        self: &Arc<Self>,
        part: FilePart,
        len: u64,
        fixed: Option<u64>,
    ) -> Result<(Arc<SharedPages>, u64), Errno> {
        let wanted = part.offset..part.offset.checked_add(len).ok_or(Errno::ENOMEM)?;
        // Dropped after the lock, which the last reference to pages takes.
        let alive: Vec<Arc<SharedPages>>;
        let mut files = self.files.lock();
        let known = files.entry(part.id).or_default();
        known.retain(|pages| pages.strong_count() != 0);
        alive = known.iter().filter_map(Weak::upgrade).collect();
        for pages in &alive {
            let shown = pages.shown();
            let overlaps = wanted.start < shown.end && shown.start < wanted.end;
            if !overlaps {
                continue;
            }
            let address = pages.start + wanted.start.wrapping_sub(shown.start);
            let is_inside = shown.start <= wanted.start;
            let is_there = fixed.is_none_or(|fixed| fixed == address);
            if is_inside && is_there && pages.grow_to(address + len).is_ok() {
                return Ok((pages.clone(), address));
            }
            return Err(Errno::ENOMEM);
        }
        let room = if fixed.is_some() {
            0
        } else {
            len.min(GROWTH_MAX_BYTES)
        };
        let range = self.claim(len, room, fixed)?;
        let pages = self.pages(&range, len, Some(part));
        known.push(Arc::downgrade(&pages));
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok((pages, range.start))
    }

    /// Whether a mapping of a file may be written to.
    pub(crate) fn is_written(&self, file: FileId) -> bool {
        let is_written = |pages: &Arc<SharedPages>| pages.state.lock().prot.contains(Prot::WRITE);
        self.of(file).iter().any(is_written)
    }

    /// Writes all pages to their files: the enclave ends.
    pub(crate) fn write_back_all(&self) {
        let files = self.files.lock();
        let all: Vec<_> = files.values().flatten().filter_map(Weak::upgrade).collect();
        drop(files);
        for pages in all {
            pages.write_back(&(0..u64::MAX));
        }
    }

    fn claim(&self, len: u64, room: u64, fixed: Option<u64>) -> Result<Range<u64>, Errno> {
        let high = |len| {
            let region = self.region.range();
            self.region
                .claim_high(self.owner, len, PAGE_SIZE, region, Use::Memory)
        };
        let claimed = match fixed {
            Some(start) => {
                let range = start..start.checked_add(len).ok_or(Errno::ENOMEM)?;
                let region = self.region.range();
                let is_inside = region.start <= range.start && range.end <= region.end;
                // Of its own addresses none is free: each has its pages.
                let is_free = is_inside && self.region.claim_unused(self.owner, &range);
                is_free.then_some(range)
            }
            None => len.checked_add(room).and_then(high).or_else(|| high(len)),
        };
        claimed.ok_or(Errno::ENOMEM)
    }

    fn pages(
        self: &Arc<Self>,
        range: &Range<u64>,
        len: u64,
        file: Option<FilePart>,
    ) -> Arc<SharedPages> {
        Arc::new(SharedPages {
            machine: self.machine,
            memory: self.clone(),
            start: range.start,
            file,
            state: Mutex::new(State {
                end: range.start + len,
                claimed_end: range.end,
                committed: PageSet::default(),
                prot: Prot::empty(),
            }),
        })
    }

    /// The pages that show a part of a file.
    fn of(&self, file: FileId) -> Vec<Arc<SharedPages>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let files = self.files.lock();
        let known = files.get(&file).map(|known| known.iter());
        known
            .into_iter()
            .flatten()
            .filter_map(Weak::upgrade)
            .collect()
    }

    fn forget(&self, file: FileId) {
        let mut files = self.files.lock();
        if let Some(known) = files.get_mut(&file) {
            known.retain(|pages| pages.strong_count() != 0);
            if known.is_empty() {
                files.remove(&file);
            }
        }
        drop(files);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ContentObserver for SharedMemory {
    fn before_read(&self, file: FileId, offset: u64, length: u64) {
        for pages in self.of(file) {
            pages.write_back(&(offset..offset.saturating_add(length)));
        }
    }

    fn after_write(&self, file: FileId, offset: u64, length: u64) {
        for pages in self.of(file) {
            pages.reload(&(offset..offset.saturating_add(length)));
        }
    }

    fn after_truncate(&self, file: FileId, size_bytes: u64) {
        for pages in self.of(file) {
            pages.cut(size_bytes);
        }
    }
}

impl SharedPages {
    /// What they show of a file.
    pub(crate) const fn file(&self) -> Option<&FilePart> {
        self.file.as_ref()
    }

    /// The address of the first page.
    pub(crate) const fn start(&self) -> u64 {
        self.start
    }

    /// Where `address` is in the file, or in the pages.
    pub(crate) fn offset_of(&self, address: u64) -> u64 {
        self.file.as_ref().map_or(0, |file| file.offset) + (address - self.start)
    }

    /// Whether the pages of a range have memory.
    pub(super) fn contains(&self, range: &Range<u64>) -> bool {
        self.state.lock().committed.contains(range)
    }

    /// Gives the pages of a range memory and their content, but for those behind the end of the
    /// file.
    pub(super) fn populate(&self, range: &Range<u64>) -> Result<(), NoMemory> {
        let mut state = self.state.lock();
        let writable = Prot::READ | Prot::WRITE;
        let range = range.start..range.end.min(self.content_end());
        for run in state.committed.missing(&range) {
            let len = run.end - run.start;
            self.machine.commit(run.start, len, writable)?;
            let filled = self.fill(&run);
            let done = filled.and_then(|()| {
                if state.prot == writable {
                    return Ok(());
                }
                self.machine.protect(run.start, len, state.prot)
            });
            if done.is_err() {
                self.machine.decommit(run.start, len);
                return Err(NoMemory);
            }
            state.committed.insert(&run);
        }
        Ok(())
    }

    /// Lets the program do `prot`, too: what one mapping may do all may.
    pub(super) fn allow(&self, prot: Prot) -> Result<(), NoMemory> {
        let mut state = self.state.lock();
        let all = state.prot | prot;
        if all == state.prot {
            return Ok(());
        }
        state.prot = all;
        for run in state.committed.iter() {
            self.machine.protect(run.start, run.end - run.start, all)?;
        }
        Ok(())
    }

    /// Makes the pages reach at least to `end`.
    ///
    /// # Errors
    /// `ENOMEM` when the addresses behind are in use.
    pub(super) fn grow_to(&self, end: u64) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if end > state.claimed_end {
            let more = state.claimed_end..end;
            if end > self.memory.region.range().end
                || !self.memory.region.claim_unused(self.memory.owner, &more)
            {
                return Err(Errno::ENOMEM);
            }
            state.claimed_end = end;
        }
        state.end = state.end.max(end);
        Ok(())
    }

    /// Makes the file forget these pages, so that it can be shown in another place.
    pub(super) fn retire(&self) {
        self.write_back(&(0..u64::MAX));
        if let Some(file) = &self.file
            && let Some(known) = self.memory.files.lock().get_mut(&file.id)
        {
            known.retain(|pages| !core::ptr::eq(pages.as_ptr(), self));
        }
    }

    /// Makes the bytes of a range read as zero, in the file, too.
    pub(super) fn punch(&self, range: &Range<u64>) -> Result<(), Errno> {
        if let Some(file) = &self.file {
            let (offset, len) = (self.offset_of(range.start), range.end - range.start);
            file.inode
                .allocate(vfs::Allocation::PunchHole, offset, len)?;
        }
        let state = self.state.lock();
        for run in state.committed.present(range) {
            self.zero(&run, state.prot)?;
        }
        Ok(())
    }

    /// Which bytes of the file they show.
    fn shown(&self) -> Range<u64> {
        let offset = self.file.as_ref().map_or(0, |file| file.offset);
        offset..offset + (self.state.lock().end - self.start)
    }

    /// The addresses of the bytes of the file that are in `bytes`, whether they have memory or not.
    fn addresses(&self, bytes: &Range<u64>, end: u64) -> Range<u64> {
        let offset = self.file.as_ref().map_or(0, |file| file.offset);
        let start = self.start + bytes.start.saturating_sub(offset).min(end - self.start);
        let stop = self.start + bytes.end.saturating_sub(offset).min(end - self.start);
        start..stop.max(start)
    }

    /// Puts the file's content into pages; they are zero, and stay so behind its end.
    fn fill(&self, run: &Range<u64>) -> Result<(), NoMemory> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut chunk = chunk_of(run)?;
        let mut at = run.start;
        while at < run.end {
            let wanted = CHUNK_BYTES.min(run.end - at) as usize;
            let part = &mut chunk[..wanted];
            let got = file
                .inode
                .read_at(self.offset_of(at), part)
                .map_err(|_| NoMemory)?;
            if got == 0 {
                break;
            }
            self.machine
                .copy_out(at, &part[..got])
                .map_err(|_| NoMemory)?;
            at += got as u64;
        }
        Ok(())
    }

    /// Writes to the file what differs from it, of some of its bytes.
    pub(crate) fn write_back(&self, bytes: &Range<u64>) {
        if let Err(errno) = self.try_write_back(bytes) {
            let path = self.file.as_ref().map_or(&b""[..], |file| &file.path);
            self.machine.log(
                LogLevel::Error,
                &format!(
                    "what was written to a mapping of `{}` is lost: {errno}",
                    path.escape_ascii()
                ),
            );
        }
    }

    fn try_write_back(&self, bytes: &Range<u64>) -> Result<(), Errno> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let state = self.state.lock();
        if !state.prot.contains(Prot::WRITE) {
            return Ok(());
        }
        let size_bytes = file.inode.metadata()?.size_bytes;
        let within = bytes.start..bytes.end.min(size_bytes);
        let wanted = self.addresses(&within, state.end);
        let pages =
            super::page_floor(wanted.start)..super::page_ceiling(wanted.end).unwrap_or(wanted.end);
        let mut ours = vec![0; PAGE_SIZE as usize];
        let mut theirs = vec![0; PAGE_SIZE as usize];
        for run in state.committed.present(&pages) {
            for page in (run.start..run.end).step_by(PAGE_SIZE as usize) {
                let offset = self.offset_of(page);
                let len = size_bytes.saturating_sub(offset).min(PAGE_SIZE) as usize;
                let (ours, theirs) = (&mut ours[..len], &mut theirs[..len]);
                self.machine
                    .copy_in(page, ours)
                    .map_err(|_| Errno::EFAULT)?;
                let mut got = 0;
                while got < len {
                    match file
                        .inode
                        .read_at(offset + got as u64, &mut theirs[got..])?
                    {
                        0 => break,
                        count => got += count,
                    }
                }
                if ours == theirs {
                    continue;
                }
                let mut done = 0;
                while done < len {
                    match file.inode.write_at(offset + done as u64, &ours[done..])? {
                        0 => return Err(Errno::ENOSPC),
                        count => done += count,
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads some bytes of the file again.
    fn reload(&self, bytes: &Range<u64>) {
        let Some(file) = &self.file else {
            return;
        };
        let state = self.state.lock();
        let wanted = self.addresses(bytes, state.end);
        let pages =
            super::page_floor(wanted.start)..super::page_ceiling(wanted.end).unwrap_or(wanted.end);
        for run in state.committed.present(&pages) {
            let run = run.start.max(wanted.start)..run.end.min(wanted.end);
            let Ok(mut chunk) = chunk_of(&run) else {
                continue;
            };
            let mut at = run.start;
            while at < run.end {
                let wanted = CHUNK_BYTES.min(run.end - at) as usize;
                let part = &mut chunk[..wanted];
                match file.inode.read_at(self.offset_of(at), part) {
                    Ok(got @ 1..) => {
                        // The pages have memory, so this cannot fail but by a defect.
                        let _ = self.put(at, &part[..got], state.prot);
                        at += got as u64;
                    }
                    _ => break,
                }
            }
        }
    }

    /// The address behind the last page that shows something of the file.
    fn content_end(&self) -> u64 {
        let Some(file) = &self.file else {
            return u64::MAX;
        };
        // A file of which nothing is known will say at the read what is wrong.
        let size_bytes = file.inode.metadata().map_or(u64::MAX, |is| is.size_bytes);
        let pages = super::page_ceiling(size_bytes.saturating_sub(file.offset));
        let end = pages.and_then(|len| self.start.checked_add(len));
        end.unwrap_or(u64::MAX)
    }

    /// Takes the pages behind the end of the file away, and zeroes the rest of its last one.
    fn cut(&self, size_bytes: u64) {
        let mut state = self.state.lock();
        let gone = self.addresses(&(size_bytes..u64::MAX), state.end);
        let first_gone = super::page_ceiling(gone.start).unwrap_or(state.end);
        if state
            .committed
            .contains(&(super::page_floor(gone.start)..first_gone))
        {
            let _ = self.zero(&(gone.start..first_gone), state.prot);
        }
        let pages = first_gone..state.end.max(first_gone);
        for run in state.committed.present(&pages) {
            self.machine.decommit(run.start, run.end - run.start);
        }
        state.committed.remove(&pages);
    }

    fn zero(&self, range: &Range<u64>, prot: Prot) -> Result<(), Errno> {
        let zeros = vec![0; PAGE_SIZE as usize];
        let mut at = range.start;
        while at < range.end {
            let len = (PAGE_SIZE - at % PAGE_SIZE).min(range.end - at);
            self.put(at, &zeros[..len as usize], prot)?;
            at += len;
        }
        Ok(())
    }

    /// Writes to pages whatever the program may do with them.
    fn put(&self, address: u64, bytes: &[u8], prot: Prot) -> Result<(), Errno> {
        if self.machine.copy_out(address, bytes).is_ok() {
            return Ok(());
        }
        let start = super::page_floor(address);
        let end = super::page_ceiling(address + bytes.len() as u64).ok_or(Errno::EFAULT)?;
        let refused = |_| Errno::EFAULT;
        let writable = Prot::READ | Prot::WRITE;
        self.machine
            .protect(start, end - start, writable)
            .map_err(refused)?;
        let written = self.machine.copy_out(address, bytes);
        self.machine
            .protect(start, end - start, prot)
            .map_err(refused)?;
        written.map_err(|_| Errno::EFAULT)
    }

    /// Takes over the content of other pages that show no file.
    pub(super) fn copy_from(&self, other: &Self, len: u64) -> Result<(), NoMemory> {
        let from = other.state.lock();
        for run in from.committed.present(&(other.start..other.start + len)) {
            let to = self.start + (run.start - other.start);
            let run_len = run.end - run.start;
            self.populate(&(to..to + run_len))?;
            self.machine
                .copy(to, run.start, run_len)
                .map_err(|_| NoMemory)?;
        }
        Ok(())
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        self.write_back(&(0..u64::MAX));
        let state = self.state.get_mut();
        for run in state.committed.iter() {
            self.machine.decommit(run.start, run.end - run.start);
        }
        self.memory.region.release(&(self.start..state.claimed_end));
        if let Some(file) = &self.file {
            self.memory.forget(file.id);
        }
    }
}

fn chunk_of(range: &Range<u64>) -> Result<Vec<u8>, NoMemory> {
    let len = CHUNK_BYTES.min(range.end - range.start) as usize;
    let mut chunk = Vec::new();
    chunk.try_reserve_exact(len).map_err(|_| NoMemory)?;
    chunk.resize(len, 0);
    Ok(chunk)
}
