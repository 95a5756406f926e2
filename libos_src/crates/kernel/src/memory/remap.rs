//! `mremap`.

use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, PAGE_SIZE, Prot};

use super::area::{Area, Purpose};
use super::map::{Need, Placement};
use super::shortage::Knob;
use super::space::{AddressSpace, Books};

/// What `mremap` may do when a mapping cannot grow where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remapping {
    /// Stay, or fail.
    InPlace,
    /// Move anywhere.
    MayMove,
    /// Move to this address, replacing what is there.
    To(u64),
    /// Move in any case (`MREMAP_DONTUNMAP`).
    Away,
}

impl Remapping {
    /// Whether it stays where it is if it can.
    fn is_here(self) -> bool {
        matches!(self, Self::InPlace | Self::MayMove)
    }
}

/// Bytes moved at a time through the kernel's heap.
const CHUNK_BYTES: u64 = 64 * 1024;

impl AddressSpace {
    /// Resizes or moves the mapping at `address`, and returns where it is. One that `keeps_old` is
    /// empty at its old place from then on.
    pub(crate) fn remap(
        &self,
        address: u64,
        old_len: u64,
        new_len: u64,
        remapping: Remapping,
        keeps_old: bool,
    ) -> Result<u64, Errno> {
        if old_len == 0 {
            return self.double(address, new_len, remapping);
        }
        let old = self.checked_range(address, old_len)?;
        let new_len = super::page_ceiling(new_len)
            .filter(|&len| len != 0)
            .ok_or(Errno::EINVAL)?;
        if let Remapping::To(target) = remapping {
            self.check_target(&old, target, new_len)?;
        }
        let mut books = self.books.write();
        self.check_areas(&books, 3)?;
        if remapping.is_here() && new_len <= old.end - old.start {
            books.areas.find(address).ok_or(Errno::EFAULT)?;
            self.discard(&mut books, &(address + new_len..old.end));
            return Ok(address);
        }
        // One mapping must have what stays, but not what is cut off.
        let kept = old.start..old.end.min(old.start.saturating_add(new_len));
        let (_, area) = books.areas.find(address).ok_or(Errno::EFAULT)?;
        if area.end < kept.end || matches!(area.purpose, Purpose::Stubs(_)) {
            return Err(Errno::EFAULT);
        }
        if books.patches.covers(&old) {
            // Its jumps lead to stubs that belong to this place.
            return Err(Errno::EINVAL);
        }
        let ends_here = area.end == old.end;
        let need = Need {
            len: new_len,
            counted: area.counted,
            file: None,
        };
        let is_shared = area.shared().is_some();
        if let Remapping::To(target) = remapping {
            self.check_no_stubs(&books, &(target..target + new_len))?;
        }
        self.discard(&mut books, &(kept.end..old.end));
        let old = kept;
        if let Remapping::To(target) = remapping
            && !is_shared
        {
            return self.move_to(&mut books, &old, target, need, keeps_old);
        }
        if is_shared {
            return self.remap_shared(&mut books, &old, new_len, remapping, keeps_old);
        }
        if keeps_old {
            let target = self.place(&mut books, Placement::Hint(0), need)?;
            return self.transfer(&mut books, &old, &target, keeps_old);
        }
        let growth = old.end..address.checked_add(new_len).ok_or(Errno::ENOMEM)?;
        let fits = growth.end <= self.layout.user.end
            && ends_here
            && books.areas.is_free(&growth)
            && self.claim(&books, &growth, need.purpose());
        if fits {
            return self.grow(&mut books, &old, growth.end).map(|()| address);
        }
        if remapping == Remapping::InPlace {
            return Err(Errno::ENOMEM);
        }
        let target = self.place(&mut books, Placement::Hint(0), need)?;
        self.transfer(&mut books, &old, &target, false)
    }

    /// Maps the shared pages at `address` once more.
    fn double(&self, address: u64, new_len: u64, remapping: Remapping) -> Result<u64, Errno> {
        let new_len = super::page_ceiling(new_len)
            .filter(|&len| len != 0)
            .ok_or(Errno::EINVAL)?;
        let old = address..address;
        if super::page_floor(address) != address {
            return Err(Errno::EINVAL);
        }
        if let Remapping::To(target) = remapping {
            self.check_target(&old, target, new_len)?;
        }
        let mut books = self.books.write();
        self.check_areas(&books, 3)?;
        if let Remapping::To(target) = remapping {
            self.check_no_stubs(&books, &(target..target + new_len))?;
        }
        let (_, area) = books.areas.find(address).ok_or(Errno::EFAULT)?;
        if area.shared().is_none() {
            return Err(Errno::EINVAL);
        }
        self.remap_shared(&mut books, &old, new_len, remapping, true)
    }

    /// Checks where a mapping is to go.
    fn check_target(&self, old: &Range<u64>, target: u64, len: u64) -> Result<(), Errno> {
        let target = self.checked_range(target, len)?;
        if target.start < old.end && old.start < target.end {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn move_to(
        &self,
        books: &mut Books,
        old: &Range<u64>,
        target: u64,
        need: Need,
        keeps_old: bool,
    ) -> Result<u64, Errno> {
        let target = target..target + need.len;
        self.discard_shared(books, &target);
        if !self.claim(books, &target, need.purpose()) {
            return Err(Errno::ENOMEM);
        }
        self.discard(books, &target);
        if self.clear_way(&target).is_err() {
            self.region.release(&target);
            return Err(Errno::ENOMEM);
        }
        self.transfer(books, old, &target, keeps_old)
    }

    fn grow(&self, books: &mut Books, old: &Range<u64>, end: u64) -> Result<(), Errno> {
        let mut counted = 0;
        for (_, area) in books.areas.isolate(old) {
            if area.is_limited() {
                counted = end - old.end;
            }
            area.end = end;
        }
        books.mmapped_bytes += counted;
        let cleared = self.clear_way(&(old.end..end));
        let backed = cleared.and_then(|()| self.settle(books, &(old.end..end)));
        backed.map_err(|_| {
            self.discard(books, &(old.end..end));
            self.report_shortage(books, Knob::UserSpace, end - old.end);
            Errno::ENOMEM
        })
    }

    /// Moves the mapping in `old` to the free range `target`, cut or grown to its length.
    fn transfer(
        &self,
        books: &mut Books,
        old: &Range<u64>,
        target: &Range<u64>,
        keeps_old: bool,
    ) -> Result<u64, Errno> {
        let writable = Prot::READ | Prot::WRITE;
        let mut area: Area = books
            .areas
            .isolate(old)
            .next()
            .ok_or(Errno::EFAULT)?
            .1
            .clone();
        area.end = target.end;
        // What was patched comes along.
        area.mark_touched();
        let prot = area.prot;
        books.put(target.start, area);
        let moved = self.copy_pages(books, old, target);
        if moved.is_err() {
            self.discard(books, target);
            self.report_shortage(books, Knob::UserSpace, target.end - target.start);
            return Err(Errno::ENOMEM);
        }
        if prot != writable {
            for run in books.committed.present(target) {
                let changed = self.set_prot(&run, prot);
                changed.map_err(|_| Errno::ENOMEM)?;
            }
        }
        if keeps_old {
            self.release_pages(books, old);
            self.settle(books, old).map_err(|_| Errno::ENOMEM)?;
        } else {
            self.discard(books, old);
        }
        self.settle(books, target).map_err(|_| Errno::ENOMEM)?;
        Ok(target.start)
    }

    /// Copies the committed pages of `old` that have a place in `target`.
    fn copy_pages(
        &self,
        books: &mut Books,
        old: &Range<u64>,
        target: &Range<u64>,
    ) -> Result<(), hal::NoMemory> {
        let len = (old.end - old.start).min(target.end - target.start);
        let mut chunk = Vec::new();
        let chunk_len = CHUNK_BYTES.min(len) as usize;
        chunk
            .try_reserve_exact(chunk_len)
            .map_err(|_| hal::NoMemory)?;
        chunk.resize(chunk_len, 0u8);
        let is_readable = books.areas.allows(old, Prot::READ);
        for run in books.committed.present(&(old.start..old.start + len)) {
            if !is_readable {
                // The program has nothing there any more when this is done.
                self.set_prot(&run, Prot::READ)?;
            }
            let to = target.start + (run.start - old.start);
            let bytes = run.end - run.start;
            // Pages that count when they are touched.
            if !self.region.charge(&(to..to + bytes)) {
                return Err(hal::NoMemory);
            }
            self.commit(&(to..to + bytes), Prot::READ | Prot::WRITE)?;
            books.committed.insert(&(to..to + bytes));
            for done in (0..bytes).step_by(CHUNK_BYTES as usize) {
                let part = &mut chunk[..CHUNK_BYTES.min(bytes - done) as usize];
                self.machine
                    .copy_in(run.start + done, part)
                    .map_err(|_| hal::NoMemory)?;
                self.machine
                    .copy_out(to + done, part)
                    .map_err(|_| hal::NoMemory)?;
            }
        }
        Ok(())
    }
}

const _: () = assert!(CHUNK_BYTES.is_multiple_of(PAGE_SIZE));
