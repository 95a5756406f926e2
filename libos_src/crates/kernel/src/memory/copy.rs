//! How the kernel reaches program memory.
//!
//! A user address is an allegation. Each access checks it against the books, so that a system call
//! can neither read nor write what the program itself could not, on either memory model.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, PAGE_SIZE, Prot};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::space::{AddressSpace, Books, Paging};

/// How often a range is brought in that others take away.
const PATIENCE: u32 = 1000;

impl AddressSpace {
    /// Copies program memory in. `EFAULT` when the program may not read all of it.
    pub(crate) fn copy_in(&self, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        let count = bytes.len();
        let copy = |there| self.machine.copy_in(there, bytes);
        if let Some(done) = self.access_at_once(address, count, Prot::READ, copy) {
            return done;
        }
        if self.goes_by_page(address, bytes.len()) {
            let mut at = address;
            for part in pieces(address, bytes.len()) {
                let piece = &mut bytes[part];
                self.access(at, piece.len(), Prot::READ, |there| {
                    self.machine.copy_in(there, piece)
                })?;
                at += piece.len() as u64;
            }
            return Ok(());
        }
        self.access(address, bytes.len(), Prot::READ, |there| {
            self.machine.copy_in(there, bytes)
        })
    }

    /// Copies to program memory. `EFAULT`, with nothing written, when the program may not write all
    /// of it.
    pub(crate) fn copy_out(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        let copy = |there| self.machine.copy_out(there, bytes);
        if let Some(done) = self.access_at_once(address, bytes.len(), Prot::WRITE, copy) {
            return done;
        }
        if self.goes_by_page(address, bytes.len()) {
            self.check_writable(address, bytes.len() as u64)?;
            let mut at = address;
            for part in pieces(address, bytes.len()) {
                let piece = &bytes[part];
                self.access(at, piece.len(), Prot::WRITE, |there| {
                    self.machine.copy_out(there, piece)
                })?;
                at += piece.len() as u64;
            }
            return Ok(());
        }
        self.access(address, bytes.len(), Prot::WRITE, |there| {
            self.machine.copy_out(there, bytes)
        })
    }

    /// The same with bytes that lie in parts, one after another.
    pub(crate) fn copy_out_all(&self, address: u64, parts: &[&[u8]]) -> Result<(), Errno> {
        let count = parts.iter().map(|part| part.len()).sum();
        if count == 0 {
            return Ok(());
        }
        let copy = |there| each_part(there, parts, |to, part| self.machine.copy_out(to, part));
        if let Some(done) = self.access_at_once(address, count, Prot::WRITE, copy) {
            return done;
        }
        if self.goes_by_page(address, count) {
            self.check_writable(address, count as u64)?;
            return each_part(address, parts, |to, part| self.copy_out(to, part));
        }
        self.access(address, count, Prot::WRITE, copy)
    }

    /// Zeroes program memory. `EFAULT` when the program may not write all of it.
    pub(crate) fn zero(&self, address: u64, len: u64) -> Result<(), Errno> {
        if len == 0 {
            return Ok(());
        }
        let count = usize::try_from(len).map_err(|_| Errno::EFAULT)?;
        if self.goes_by_page(address, count) {
            self.check_writable(address, len)?;
            for part in pieces(address, count) {
                self.copy_out(address + part.start as u64, &vec![0; part.len()])?;
            }
            return Ok(());
        }
        self.access(address, count, Prot::WRITE, |there| {
            self.machine.fill(there, len, 0)
        })
    }

    /// Checks that the program may write all of a range. It may change its mind afterwards, so a
    /// copy checks again; this is for what cannot be undone once it is read.
    pub(crate) fn check_writable(&self, address: u64, len: u64) -> Result<(), Errno> {
        self.check_access(address, len, Prot::WRITE)
    }

    /// The same for any access.
    pub(crate) fn check_access(&self, address: u64, len: u64, access: Prot) -> Result<(), Errno> {
        let end = address.checked_add(len).ok_or(Errno::EFAULT)?;
        if self.books.read().areas.allows(&(address..end), access) {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// How many of `len` bytes there are before the first page that the program cannot access so, be
    /// it that it may not or that there is nothing.
    pub(crate) fn reachable_bytes(&self, address: u64, len: u64, access: Prot) -> u64 {
        let mut done = 0;
        while done < len {
            let in_page = (PAGE_SIZE - (address.wrapping_add(done)) % PAGE_SIZE).min(len - done);
            let end = address.checked_add(done + in_page);
            let is_there = |end: u64| self.bring_in(&(end - in_page..end), access).is_ok();
            if !end.is_some_and(is_there) {
                break;
            }
            done += in_page;
        }
        done
    }

    /// Reads a value.
    pub(crate) fn read<T: FromBytes + IntoBytes + FromZeros>(
        &self,
        address: u64,
    ) -> Result<T, Errno> {
        let mut value = T::new_zeroed();
        self.copy_in(address, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Writes a value.
    pub(crate) fn write<T: IntoBytes + Immutable>(
        &self,
        address: u64,
        value: &T,
    ) -> Result<(), Errno> {
        self.copy_out(address, value.as_bytes())
    }

    /// Reads `len` bytes; the caller has bounded `len`.
    pub(crate) fn read_bytes(&self, address: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; len];
        self.copy_in(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads a string up to its NUL, which is not part of it. `too_long` when there is none within
    /// `limit` bytes.
    pub(crate) fn read_string(
        &self,
        address: u64,
        limit: usize,
        too_long: Errno,
    ) -> Result<Vec<u8>, Errno> {
        // Most strings are short.
        const PIECE_BYTES: u64 = 256;
        let mut text = Vec::new();
        let mut piece = [0; PIECE_BYTES as usize];
        while text.len() < limit {
            let at = address
                .checked_add(text.len() as u64)
                .ok_or(Errno::EFAULT)?;
            let to_boundary = (PIECE_BYTES - at % PIECE_BYTES) as usize;
            let part = &mut piece[..to_boundary.min(limit - text.len())];
            self.copy_in(at, part)?;
            if let Some(end) = part.iter().position(|&byte| byte == 0) {
                text.extend_from_slice(&part[..end]);
                return Ok(text);
            }
            text.extend_from_slice(part);
        }
        Err(too_long)
    }

    /// Reads an aligned word atomically.
    pub(crate) fn load_u32(&self, address: u64) -> Result<u32, Errno> {
        self.access(address, 4, Prot::READ, |there| self.machine.load_u32(there))
    }

    /// Writes an aligned word atomically.
    pub(crate) fn store_u32(&self, address: u64, value: u32) -> Result<(), Errno> {
        self.access(address, 4, Prot::WRITE, |there| {
            self.machine.store_u32(there, value)
        })
    }

    /// Replaces `current` by `new` atomically if it is there; returns what was found.
    pub(crate) fn compare_exchange_u32(
        &self,
        address: u64,
        current: u32,
        new: u32,
    ) -> Result<u32, Errno> {
        self.access(address, 4, Prot::READ | Prot::WRITE, |there| {
            self.machine.compare_exchange_u32(there, current, new)
        })
    }

    /// Runs `action` as [`access`](Self::access) does, if one look at the books is enough: all is there, in
    /// its place. `None`, and nothing was done, if it is not.
    fn access_at_once<T>(
        &self,
        address: u64,
        len: usize,
        prot: Prot,
        action: impl FnOnce(u64) -> Result<T, hal::Fault>,
    ) -> Option<Result<T, Errno>> {
        let range = address..address.checked_add(len as u64)?;
        let pages = super::page_floor(address)..super::page_ceiling(range.end)?;
        if !self.is_resident() {
            return None;
        }
        let books = self.books.read();
        // Of shared pages the committed ones say nothing.
        if !books.committed.contains(&pages) || !books.areas.allows(&range, prot) {
            return None;
        }
        Some(action(address).map_err(|_| Errno::EFAULT))
    }

    /// Checks a range against the books and runs `action` while they cannot change, on the address where
    /// its first byte is then.
    fn access<T>(
        &self,
        address: u64,
        len: usize,
        prot: Prot,
        action: impl FnOnce(u64) -> Result<T, hal::Fault>,
    ) -> Result<T, Errno> {
        let end = address.checked_add(len as u64).ok_or(Errno::EFAULT)?;
        let range = address..end;
        for _ in 0..PATIENCE {
            self.bring_in(&range, prot)?;
            if !self.is_resident() {
                return Err(Errno::EFAULT);
            }
            let books = self.books.read();
            if !books.areas.allows(&range, prot) {
                return Err(Errno::EFAULT);
            }
            if self.paging == Paging::Eager
                && let Some((_held, there)) = books.locate(&range, prot, self.machine)
            {
                return action(there).map_err(|_| Errno::EFAULT);
            }
            // Others may have taken shared pages to another place meanwhile.
            if let Some(_held) = books.hold_shared(&range) {
                return action(address).map_err(|_| Errno::EFAULT);
            }
        }
        Err(Errno::EFAULT)
    }

    /// Whether not all of a range can be in its place at once: a ring that is mapped twice in a row; or
    /// pages that the kernel does not move, since the program could watch.
    fn goes_by_page(&self, address: u64, len: usize) -> bool {
        let Some(end) = address.checked_add(len as u64) else {
            return false;
        };
        let books = self.books.read();
        match self.paging {
            Paging::OnDemand => books.has_places_in(&(address..end)),
            Paging::Eager => books.is_elsewhere(&(address..end)),
        }
    }

    fn bring_in(&self, range: &Range<u64>, prot: Prot) -> Result<(), Errno> {
        let end = super::page_ceiling(range.end).ok_or(Errno::EFAULT)?;
        let pages = super::page_floor(range.start)..end;
        // A thread that ends because its pages could not be put back may still come here.
        if !self.is_resident() {
            return Err(Errno::EFAULT);
        }
        let books = self.books.read();
        if !books.areas.allows(range, prot) {
            return Err(Errno::EFAULT);
        }
        let are_there = |books: &Books| match self.paging {
            Paging::OnDemand => books.are_present(&pages),
            Paging::Eager => books.are_somewhere(&pages),
        };
        if are_there(&books) {
            return Ok(());
        }
        drop(books);
        let mut books = self.books.write();
        let populated = self.populate(&mut books, &pages);
        // Behind the end of a file there is nothing.
        (populated.is_ok() && are_there(&books))
            .then_some(())
            .ok_or(Errno::EFAULT)
    }
}

/// Gives `put` each of the parts that lie one after another from an address on, with its own.
fn each_part<E>(
    address: u64,
    parts: &[&[u8]],
    put: impl Fn(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut to = address;
    parts.iter().try_for_each(|part| {
        put(to, part)?;
        to += part.len() as u64;
        Ok(())
    })
}

/// The parts of `len` bytes from `address` on that are in one page each.
fn pieces(address: u64, len: usize) -> impl Iterator<Item = Range<usize>> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let in_page = (PAGE_SIZE - (address + done as u64) % PAGE_SIZE) as usize;
        let part = done..len.min(done + in_page);
        done = part.end;
        (!part.is_empty()).then_some(part)
    })
}
