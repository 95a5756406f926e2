//! A plan at its addresses: the bytes to write, and which address stands for which.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use crate::jump::{JUMP_BYTES, TooFar, displacement, is_near};
use crate::plan::Plan;
use crate::site::{Illegal, SHORT_JUMP_BYTES, Site};

/// `lea r64, [rip + rel32]`.
const LEA_BYTES: usize = 7;
/// `jmp [rip + rel32]`. The address is aligned, for a program may have alignment checked.
const FAR_JUMP_BYTES: usize = 6;
const ADDRESS_BYTES: usize = 8;
/// Fills the space between stubs: `int3`.
const FILLER: u8 = 0xcc;

/// Bytes that the stub of a site takes, whichever jump it ends with.
pub(crate) fn stub_bytes(site: &Site) -> u64 {
    let code = site.moved().len() + LEA_BYTES + FAR_JUMP_BYTES;
    (code.next_multiple_of(ADDRESS_BYTES) + ADDRESS_BYTES) as u64
}

/// Where the LibOS takes over what stubs are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries {
    /// System calls: the address after the instruction is in `rcx`.
    pub syscall: u64,
    /// `cpuid`: the address after it is in `rdx`, which is an answer of it and no question.
    pub cpuid: u64,
}

/// The plan of a text that lies at an address, with its stubs at another.
///
/// A program must never see that it runs in a stub: libcs compare the interrupted instruction
/// pointer with their own code (musl's cancellation does), debuggers and unwinders look it up. Each
/// instruction of a stub stands for one of the program's, so addresses translate exactly, both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    plan: Arc<Plan>,
    text: u64,
    stubs: u64,
}

impl Placed {
    pub(crate) fn new(plan: Arc<Plan>, text: u64, stubs: u64) -> Result<Self, TooFar> {
        let written = plan.sites().flat_map(Site::written);
        let written = written.filter(|range| !range.is_empty());
        let (first, last) = written.fold((u64::MAX, 0), |(first, last), range| {
            (first.min(range.start), last.max(range.end))
        });
        let low = stubs.min(text + first.min(last));
        let high = (stubs + plan.stubs_len()).max(text + last);
        if i32::try_from(high - low).is_err() {
            return Err(TooFar);
        }
        Ok(Self { plan, text, stubs })
    }

    /// The jumps to the stubs, to write into the text: where, and what.
    pub fn jumps(&self) -> impl Iterator<Item = (u64, [u8; JUMP_BYTES])> + '_ {
        self.plan.with_stubs().iter().map(|(site, stub)| {
            let from = self.text + site.jump();
            let [d0, d1, d2, d3] = displacement(from + JUMP_BYTES as u64, self.stubs + stub);
            (from, [0xe9, d0, d1, d2, d3])
        })
    }

    /// The short jumps to some of them, to write when those are there.
    pub fn short_jumps(&self) -> impl Iterator<Item = (u64, [u8; SHORT_JUMP_BYTES])> + '_ {
        self.plan
            .sites()
            .filter_map(|site| Some((self.text + site.offset(), site.short_jump()?)))
    }

    /// What was in the text where moved instructions were written over.
    pub fn originals(&self) -> impl Iterator<Item = (u64, &[u8])> + '_ {
        self.plan.sites().map(|site| {
            let [Range { start, end }, _] = site.written();
            let moved = site.moved();
            let count = moved.len().min((end - start) as usize);
            (self.text + start, &moved[..count])
        })
    }

    /// The padding that was written over; the text alone says what was there.
    pub fn padding(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let written = self.plan.sites().map(|site| site.written());
        let written = written.map(|[_, padding]| padding);
        let padding = written.filter(|padding| !padding.is_empty());
        padding.map(|padding| self.text + padding.start..self.text + padding.end)
    }

    /// The code of all stubs, which go on at the LibOS's `entries`. It is a part of the plan's
    /// [`stubs_len`](Plan::stubs_len), and all of it.
    ///
    /// Each does what its site did, and leaves the address after the instruction where its entry wants
    /// it, for `syscall` where the CPU does. It changes nothing else, flags included. The entries may be
    /// anywhere.
    #[must_use]
    pub fn stubs(&self, entries: Entries) -> Vec<u8> {
        let mut code = Vec::with_capacity(self.plan.stubs_len() as usize);
        for (site, stub) in self.plan.with_stubs() {
            code.resize(*stub as usize, FILLER);
            code.extend_from_slice(site.moved());
            let (register, entry) = match site.illegal() {
                Illegal::Syscall => (0x0d, entries.syscall), // lea rcx, [rip + rel32]
                Illegal::Cpuid => (0x15, entries.cpuid),     // lea rdx, [rip + rel32]
            };
            code.extend_from_slice(&[0x48, 0x8d, register]);
            let after_lea = self.stubs + (code.len() + 4) as u64;
            code.extend_from_slice(&displacement(after_lea, self.text + site.next()));
            let after_jump = self.stubs + (code.len() + JUMP_BYTES) as u64;
            if is_near(after_jump, entry) {
                code.push(0xe9); // jmp rel32
                code.extend_from_slice(&displacement(after_jump, entry));
            } else {
                let after_jump = code.len() + FAR_JUMP_BYTES;
                let padding = after_jump.next_multiple_of(ADDRESS_BYTES) - after_jump;
                code.extend_from_slice(&[0xff, 0x25, padding as u8, 0, 0, 0]); // jmp [rip + padding]
                code.resize(after_jump + padding, FILLER);
                code.extend_from_slice(&entry.to_le_bytes());
            }
        }
        code.resize(self.plan.stubs_len() as usize, FILLER);
        code
    }

    /// The address that the program knows for `address`, if that is in a stub or on the way there:
    /// the instruction itself for a moved one, the patched one for what comes after them.
    #[must_use]
    pub fn program_address(&self, address: u64) -> Option<u64> {
        self.address_in_stub(address)
            .or_else(|| self.address_in_padding(address))
    }

    fn address_in_padding(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.text)?;
        let mut sites = self.plan.sites();
        let site = sites.find(|site| site.jump() == offset)?;
        Some(self.text + site.offset())
    }

    fn address_in_stub(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.stubs)?;
        let sites = self.plan.with_stubs();
        let behind = sites.partition_point(|(_, stub)| *stub <= offset);
        let (site, stub) = sites.get(behind.checked_sub(1)?)?;
        if offset - stub >= stub_bytes(site) {
            return None;
        }
        let start = site
            .starts()
            .take_while(|&start| start <= offset - stub)
            .last()?;
        Some(self.text + site.offset() + start)
    }

    /// Where a thread must really go on that is to go on at `address`, if that is under a jump:
    /// the inverse of [`program_address`](Self::program_address).
    ///
    /// The first moved instruction and the patched one need no translation: the jump leads on from
    /// the one, and the other is still there.
    #[must_use]
    pub fn stub_address(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.text)?;
        let sites = self.plan.with_stubs();
        let behind = sites.partition_point(|(site, _)| site.offset() <= offset);
        let (site, stub) = sites.get(behind.checked_sub(1)?)?;
        site.covered()
            .any(|covered| covered == offset)
            .then(|| self.stubs + stub + (offset - site.offset()))
    }
}
