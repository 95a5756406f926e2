//! Shared pages and the file that they show.
//!
//! The pages are a copy of its content. Reads and writes of the file through descriptors pass by here
//! ([`vfs::ContentObserver`]): before a read what differs is written to the file, after a write
//! the pages are read again. What differs is found by comparing, for no fault tells what was touched.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, LogLevel, NoMemory, PAGE_SIZE, Prot};
use vfs::{ContentObserver, FileId, Inode};

use super::place::{Place, Spot};
use super::shared::{SharedMemory, SharedPages};
use super::spots::State;

/// What is moved at a time through the kernel's heap.
const CHUNK_BYTES: u64 = 64 * 1024;

impl ContentObserver for SharedMemory {
    fn before_read(&self, file: FileId, offset: u64, length: u64) {
        if let Some(pages) = self.of(file) {
            pages.write_back(&(offset..offset.saturating_add(length)));
        }
    }

    fn before_write(&self, file: FileId, part: &Range<u64>) {
        if let Some(pages) = self.of(file) {
            pages.state.lock().writes.push(part.clone());
        }
    }

    fn after_write(&self, file: FileId, part: &Range<u64>, written: &Range<u64>) {
        if let Some(pages) = self.of(file) {
            pages.reload(written);
            let writes = &mut pages.state.lock().writes;
            // It is not there if the file was mapped meanwhile.
            if let Some(at) = writes.iter().position(|other| other == part) {
                writes.swap_remove(at);
            }
        }
    }

    fn after_truncate(&self, file: FileId, size_bytes: u64) {
        if let Some(pages) = self.of(file) {
            pages.cut(size_bytes);
        }
        self.cut_copies(file, size_bytes);
    }
}

impl SharedPages {
    /// Makes the bytes of a range of a place read as zero, in the file, too.
    pub(super) fn punch(&self, place: &Place, range: &Range<u64>) -> Result<(), Errno> {
        let bytes = place.offset_of(range.start)..place.offset_of(range.end);
        if let Some(file) = self.file() {
            let len = bytes.end - bytes.start;
            let hole = vfs::Allocation::PunchHole;
            file.inode.allocate(hole, bytes.start, len)?;
        }
        self.zero(&self.state.lock(), &bytes)
    }

    /// Behind the last page that there is.
    pub(super) fn content_end(&self) -> u64 {
        let Some(file) = self.file() else {
            return self.len();
        };
        // A file of which nothing is known will say at the read what is wrong.
        let size_bytes = file.inode.metadata().map_or(u64::MAX, |is| is.size_bytes);
        super::page_ceiling(size_bytes).unwrap_or(u64::MAX)
    }

    /// Makes new pages that have the file's content, zeros behind its end.
    pub(super) fn commit_filled(&self, spot: &Spot, run: &Range<u64>) -> Result<(), NoMemory> {
        let mut chunk = chunk_of(run)?;
        let mut done = run.start;
        let mut fill = || {
            for (part, prot) in spot.prots(run) {
                while done < part.end {
                    let wanted = (chunk.len() as u64).min(part.end - done);
                    let content = &mut chunk[..wanted as usize];
                    self.read_file(spot.offset_of(done), content)?;
                    self.machine.commit_with(done, content, prot)?;
                    done += wanted;
                }
            }
            Ok(())
        };
        fill().inspect_err(|_| {
            if done > run.start {
                self.machine.decommit(run.start, done - run.start);
            }
        })
    }

    /// Reads the file; zeros behind its end.
    pub(super) fn read_file(&self, offset: u64, bytes: &mut [u8]) -> Result<(), NoMemory> {
        let Some(file) = self.file() else {
            bytes.fill(0);
            return Ok(());
        };
        read_whole(&*file.inode, offset, bytes)
    }

    /// Writes to the file what differs from it, of some of its bytes.
    pub(crate) fn write_back(&self, bytes: &Range<u64>) {
        let state = self.state.lock();
        for spot in state.showing(bytes) {
            self.write_back_of(&state, spot, bytes);
        }
    }

    /// The same for what is at one place.
    pub(super) fn write_back_of(&self, state: &State, spot: &Spot, bytes: &Range<u64>) {
        if let Err(errno) = self.try_write_back(state, spot, bytes) {
            let path = self.file().map_or(&b""[..], |file| &file.path);
            self.machine.log(
                LogLevel::Error,
                &format!(
                    "what was written to a mapping of `{}` is lost: {errno}",
                    path.escape_ascii()
                ),
            );
        }
    }

    fn try_write_back(&self, state: &State, spot: &Spot, bytes: &Range<u64>) -> Result<(), Errno> {
        let Some(file) = self.file().filter(|_| state.may_differ) else {
            return Ok(());
        };
        let size_bytes = file.inode.metadata()?.size_bytes;
        let wanted = spot.addresses(&(bytes.start..bytes.end.min(size_bytes)));
        let pages = whole_pages(&wanted);
        let mut ours = vec![0; PAGE_SIZE as usize];
        let mut theirs = vec![0; PAGE_SIZE as usize];
        for run in spot.held.present(&pages) {
            for page in run.step_by(PAGE_SIZE as usize) {
                let offset = spot.offset_of(page);
                let len = size_bytes.saturating_sub(offset).min(PAGE_SIZE) as usize;
                let failed = |_| Errno::EIO;
                self.read_page(page, &mut ours).map_err(failed)?;
                self.read_file(offset, &mut theirs).map_err(failed)?;
                for part in state.unwritten(&(offset..offset + len as u64)) {
                    let part = (part.start - offset) as usize..(part.end - offset) as usize;
                    if ours[part.clone()] != theirs[part.clone()] {
                        write_whole(&*file.inode, offset + part.start as u64, &ours[part])?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads some bytes of the file again.
    pub(super) fn reload(&self, bytes: &Range<u64>) {
        let state = self.state.lock();
        let Some(file) = self.file() else { return };
        for spot in state.showing(bytes) {
            let wanted = spot.addresses(bytes);
            for run in spot.held.present(&whole_pages(&wanted)) {
                let run = run.start.max(wanted.start)..run.end.min(wanted.end);
                let Ok(mut chunk) = chunk_of(&run) else {
                    continue;
                };
                let mut at = run.start;
                while at < run.end {
                    let part = CHUNK_BYTES.min(run.end - at) as usize;
                    match file.inode.read_at(spot.offset_of(at), &mut chunk[..part]) {
                        Ok(got @ 1..) => {
                            // The pages have memory, so this cannot fail but by a defect.
                            let _ = self.put(spot, at, &chunk[..got]);
                            at += got as u64;
                        }
                        _ => break,
                    }
                }
            }
        }
    }

    /// Takes the pages behind the end of the file away, and zeroes the rest of its last one.
    pub(super) fn cut(&self, size_bytes: u64) {
        let mut state = self.state.lock();
        let first_gone = super::page_ceiling(size_bytes).unwrap_or(u64::MAX);
        let _ = self.zero(&state, &(size_bytes..first_gone));
        let gone = first_gone..u64::MAX;
        for number in state.numbers_showing(&gone) {
            state.give_back(self.machine, number, &gone);
        }
    }

    /// Zeroes bytes wherever they are in memory.
    fn zero(&self, state: &State, bytes: &Range<u64>) -> Result<(), Errno> {
        let zeros = vec![0; PAGE_SIZE as usize];
        for spot in state.showing(bytes) {
            let wanted = spot.addresses(bytes);
            for run in spot.held.present(&whole_pages(&wanted)) {
                let end = run.end.min(wanted.end);
                let mut at = run.start.max(wanted.start);
                while at < end {
                    let len = (PAGE_SIZE - at % PAGE_SIZE).min(end - at);
                    self.put(spot, at, &zeros[..len as usize])?;
                    at += len;
                }
            }
        }
        Ok(())
    }

    /// Writes to pages whatever the program may do with them.
    pub(super) fn put(&self, spot: &Spot, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if self.machine.copy_out(address, bytes).is_ok() {
            return Ok(());
        }
        let range = whole_pages(&(address..address + bytes.len() as u64));
        let refused = |_| Errno::EFAULT;
        let writable = Prot::READ | Prot::WRITE;
        self.machine
            .protect(range.start, range.end - range.start, writable)
            .map_err(refused)?;
        let written = self.machine.copy_out(address, bytes);
        for (part, prot) in spot.prots(&range) {
            self.machine
                .protect(part.start, part.end - part.start, prot)
                .map_err(refused)?;
        }
        written.map_err(|_| Errno::EFAULT)
    }
}

/// The pages that a range touches.
fn whole_pages(range: &Range<u64>) -> Range<u64> {
    super::page_floor(range.start)..super::page_ceiling(range.end).unwrap_or(range.end)
}

/// Writes all bytes to a file.
fn write_whole(file: &dyn Inode, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(offset + done as u64, &bytes[done..])? {
            0 => return Err(Errno::ENOSPC),
            count => done += count,
        }
    }
    Ok(())
}

/// Reads a file's bytes; what lies behind its end is zeros.
pub(super) fn read_whole(file: &dyn Inode, offset: u64, bytes: &mut [u8]) -> Result<(), NoMemory> {
    let mut done = 0;
    while done < bytes.len() {
        let got = file.read_at(offset + done as u64, &mut bytes[done..]);
        match got.map_err(|_| NoMemory)? {
            0 => break,
            count => done += count,
        }
    }
    bytes[done..].fill(0);
    Ok(())
}

/// A buffer for what is moved of a range at a time.
pub(super) fn chunk_of(range: &Range<u64>) -> Result<Vec<u8>, NoMemory> {
    let len = CHUNK_BYTES.min(range.end - range.start) as usize;
    let mut chunk = Vec::new();
    chunk.try_reserve_exact(len).map_err(|_| NoMemory)?;
    chunk.resize(len, 0);
    Ok(chunk)
}
