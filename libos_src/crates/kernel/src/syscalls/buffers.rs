//! Program memory that a call reads to or writes from: one buffer, or several.

use alloc::vec::Vec;

use hal::{Errno, Prot};
use vfs::{Sink, Source, put_each};
use zerocopy::{FromZeros, IntoBytes};

use super::argument::Address;
use super::call::Call;
use super::records::Vector;
use crate::memory::AddressSpace;

/// The most that one call moves (`MAX_RW_COUNT`).
pub(super) const MOVED_MAX_BYTES: u64 = 0x7fff_f000;
/// `UIO_MAXIOV`.
const VECTORS_MAX: usize = 1024;

/// What is left of the buffers of a call.
pub(super) struct Buffers<'a> {
    memory: &'a AddressSpace,
    vectors: &'a [Vector],
    /// How much of the first one is used.
    used: u64,
    left: u64,
}

impl<'a> Buffers<'a> {
    /// Buffers in `memory`, of which one call uses a limited amount.
    pub(super) fn new(memory: &'a AddressSpace, vectors: &'a [Vector]) -> Self {
        let total = vectors
            .iter()
            .fold(0u64, |total, vector| total.saturating_add(vector.len));
        Self {
            memory,
            vectors,
            used: 0,
            left: total.min(MOVED_MAX_BYTES),
        }
    }

    /// How many bytes are left.
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// The next `count` bytes, in pieces that each lie in one buffer: where, and how many.
    fn pieces(&self, count: usize) -> impl Iterator<Item = (u64, usize)> + use<'a> {
        let mut used = self.used;
        let mut count = (count as u64).min(self.left);
        self.vectors.iter().map_while(move |vector| {
            if count == 0 {
                return None;
            }
            let len = (vector.len - used).min(count);
            let piece = (vector.address.wrapping_add(used), len as usize);
            (used, count) = (0, count - len);
            Some(piece)
        })
    }

    /// Leaves only what comes before the first byte that the program itself may not use so; whether
    /// that is something, and less than before.
    pub(super) fn cut(&mut self, access: Prot) -> bool {
        let mut permitted = 0;
        for (address, len) in self.pieces(usize::MAX) {
            let good = self.memory.reachable_bytes(address, len as u64, access);
            permitted += good;
            if good < len as u64 {
                break;
            }
        }
        let is_less = (1..self.left).contains(&permitted);
        if is_less {
            self.left = permitted;
        }
        is_less
    }

    fn use_up(&mut self, count: usize) {
        self.left -= count as u64;
        self.used += count as u64;
        while let [first, rest @ ..] = self.vectors
            && self.used >= first.len
        {
            self.used -= first.len;
            self.vectors = rest;
        }
    }
}

impl Sink for Buffers<'_> {
    fn room_bytes(&self) -> usize {
        self.left as usize
    }

    fn check(&self) -> Result<(), Errno> {
        self.pieces(usize::MAX)
            .try_for_each(|(address, len)| self.memory.check_writable(address, len as u64))
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        let count = bytes.len();
        // All of them count as put, or none.
        for (address, len) in self.pieces(count) {
            let (piece, rest) = bytes.split_at(len);
            self.memory.copy_out(address, piece)?;
            bytes = rest;
        }
        self.use_up(count.min(self.left as usize));
        Ok(())
    }

    fn put_all(&mut self, parts: &[&[u8]]) -> Result<usize, Errno> {
        let count = parts.iter().map(|part| part.len()).sum();
        if let Some((address, len)) = self.pieces(count).next()
            && len == count
        {
            // They are checked once, and not one by one.
            self.memory.copy_out_all(address, parts)?;
            self.use_up(count);
            return Ok(count);
        }
        put_each(self, parts)
    }
}

impl Source for Buffers<'_> {
    fn left_bytes(&self) -> usize {
        self.left as usize
    }

    fn copy(&self, mut bytes: &mut [u8]) -> Result<(), Errno> {
        for (address, len) in self.pieces(bytes.len()) {
            let (piece, rest) = bytes.split_at_mut(len);
            self.memory.copy_in(address, piece)?;
            bytes = rest;
        }
        Ok(())
    }

    fn advance(&mut self, count: usize) {
        self.use_up(count);
    }
}

impl Call<'_> {
    /// Reads an array of `struct iovec`.
    pub(super) fn vectors(&self, address: Address, count: u64) -> Result<Vec<Vector>, Errno> {
        let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
        if count > VECTORS_MAX {
            return Err(Errno::EINVAL);
        }
        let mut vectors = Vector::new_vec_zeroed(count).map_err(|_| Errno::ENOMEM)?;
        self.memory().copy_in(address.0, vectors.as_mut_bytes())?;
        let mut total = 0u64;
        for vector in &vectors {
            total = total.checked_add(vector.len).ok_or(Errno::EINVAL)?;
        }
        if i64::try_from(total).is_err() {
            Err(Errno::EINVAL)
        } else {
            Ok(vectors)
        }
    }
}
