//! Host memory: copied as whole aligned words, never referenced.
//!
//! Reads and writes are of eight aligned bytes, because narrower accesses to memory that the host
//! maps to devices can show stale data (INTEL-SA-00615, INTEL-SA-00657).

use alloc::vec::Vec;
use core::arch::x86_64::_mm_lfence;

use crate::thread::boot_info;

/// Linear addresses of user space end here.
const CANONICAL_END: u64 = 1 << 47;

/// A range of host memory: outside the enclave, eight-byte aligned, no longer than the address
/// space. Its content may change at any time.
#[derive(Clone, Copy)]
pub(crate) struct HostRange {
    address: u64,
    size_bytes: u64,
}

impl HostRange {
    /// A range that the host names, if it is legal. Nothing is read there before that is decided, not
    /// even ahead of time: what lies in the enclave must leave no trace in a cache (Spectre v1).
    pub(crate) fn new(address: u64, size_bytes: u64) -> Option<Self> {
        let range = Self::known(address, size_bytes)?;
        // SAFETY: every x86-64 CPU has SSE2, and the instruction changes nothing.
        unsafe { _mm_lfence() };
        Some(range)
    }

    /// One that [`HostRange::new`] gave, from what was kept of it.
    pub(crate) fn known(address: u64, size_bytes: u64) -> Option<Self> {
        let end = address.checked_add(size_bytes.checked_next_multiple_of(8)?)?;
        // The enclave's range starts at 0, so "outside" is "above".
        let outside = address >= boot_info().enclave_size_bytes && end <= CANONICAL_END;
        (outside && address.is_multiple_of(8)).then_some(Self {
            address,
            size_bytes,
        })
    }

    /// The address.
    pub(crate) fn address(self) -> u64 {
        self.address
    }

    /// The size.
    pub(crate) fn size_bytes(self) -> u64 {
        self.size_bytes
    }

    /// Reads the word at a byte offset.
    pub(crate) fn read_word(self, offset: u64) -> u64 {
        assert!(offset.is_multiple_of(8) && offset < self.size_bytes);
        let word = (self.address + offset) as *const u64;
        // SAFETY: aligned and outside the enclave, so it is no Rust object; volatile, so it is read
        // once. If the host unmapped it, the fault ends the enclave.
        unsafe { word.read_volatile() }
    }

    /// Writes the word at a byte offset.
    pub(crate) fn write_word(self, offset: u64, value: u64) {
        assert!(offset.is_multiple_of(8) && offset < self.size_bytes);
        let word = (self.address + offset) as *mut u64;
        // SAFETY: as in `read_word`.
        unsafe { word.write_volatile(value) }
    }

    /// Copies the first bytes in.
    pub(crate) fn read(self, out: &mut [u8]) {
        assert!(out.len() as u64 <= self.size_bytes);
        let mut offset = 0;
        let (words, rest) = out.as_chunks_mut();
        for word in words {
            *word = self.read_word(offset).to_le_bytes();
            offset += 8;
        }
        if !rest.is_empty() {
            let last = self.read_word(offset).to_le_bytes();
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }

    /// Copies bytes out to the start of the range. The rest of the last word becomes zero.
    pub(crate) fn write(self, bytes: &[u8]) {
        assert!(bytes.len() as u64 <= self.size_bytes);
        let mut offset = 0;
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.write_word(offset, u64::from_le_bytes(*word));
            offset += 8;
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.write_word(offset, u64::from_le_bytes(last));
        }
    }

    /// Copies the whole range in.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.size_bytes as usize];
        self.read(&mut bytes);
        bytes
    }
}
