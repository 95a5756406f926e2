//! Finding the instructions around one `syscall`.
//!
//! Nothing says where instructions start. But of any fifteen neighbouring offsets in code one
//! starts an instruction, so decoding from fifteen of them follows the true instructions along
//! with some that are not; the wrong ones meet the true ones soon, because x86 code finds itself
//! again. Where all agree, they are right; where they do not, nothing is patched.

use crate::instruction::{Instruction, Kind};
use crate::jump::JUMP_BYTES;
use crate::site::Site;

/// Bytes for the instructions to find themselves.
const SYNC_BYTES: usize = 64;
/// Bytes before a `syscall` in which to look for what moves.
const NEAR_BYTES: usize = SYNC_BYTES + 32;
/// Bytes around a `syscall` in which a jump through a table keeps several instructions from moving.
const TABLE_BYTES: usize = 512;
/// Bytes before a `syscall` that must be there.
pub(crate) const BEFORE_BYTES: usize = TABLE_BYTES;
/// Bytes from a `syscall` on that must be there.
pub(crate) const AFTER_BYTES: usize = TABLE_BYTES;

/// From where a short branch reaches what moves.
const BRANCH_BYTES: usize = 128 + NEAR_BYTES;

/// System call numbers from here on do not exist; a larger constant means that the bytes are data.
const NUMBERS: u32 = 1024;

/// The site whose `syscall` is at `at` in `code`, which lies at `base`.
///
/// Near code is taken into account: no short branch leads into the jump, and no jump through a
/// table is near enough to come from the same `switch`. Far code is not.
pub(crate) fn site(code: &[u8], at: usize, base: u64) -> Option<Site> {
    let near = at.saturating_sub(NEAR_BYTES);
    let site = Window::new(&code[near..], at - near).site(base + near as u64)?;
    let around = at.saturating_sub(TABLE_BYTES)..code.len().min(at + TABLE_BYTES);
    if site.covered().next().is_some() && code[around].array_windows().any(is_table_jump) {
        return None;
    }
    let first = at.saturating_sub(BRANCH_BYTES);
    let end = code.len().min(at + BRANCH_BYTES) - first;
    let mut branches = Window::new(&code[first..], end).branches(base + first as u64);
    (!branches.any(|target| site.inside().contains(&target))).then_some(site)
}

/// `jmp r64` and `jmp [base + index * scale]`, as compilers make them of a `switch`.
fn is_table_jump(bytes: &[u8; 2]) -> bool {
    matches!(bytes, [0xff, 0xe0..=0xe7 | 0x24])
}

/// Offsets in the largest window, and behind its last instruction.
const STARTS: usize = 2 * BRANCH_BYTES + Instruction::LEN_MAX + 1;

/// The instructions that may start in a stretch of code: those found from each of its first
/// offsets.
struct Window<'a> {
    /// The stretch, and what follows.
    code: &'a [u8],
    /// Where the stretch ends.
    end: usize,
    /// Whether an instruction may start there.
    starts: [bool; STARTS],
    next: usize,
}

impl<'a> Window<'a> {
    fn new(code: &'a [u8], end: usize) -> Self {
        let mut starts = [false; STARTS];
        starts[..Instruction::LEN_MAX].fill(true);
        Self {
            code,
            end,
            starts,
            next: 0,
        }
    }

    /// The site before the `syscall` that comes after the stretch, which lies at `base`; if all
    /// ways of reading the code agree on it.
    fn site(self, base: u64) -> Option<Site> {
        let (code, at) = (self.code, self.end);
        let mut lens = [0; NEAR_BYTES];
        let mut movable = [false; NEAR_BYTES];
        for (start, instruction) in self {
            if start + instruction.len > at {
                return None;
            }
            lens[start] = instruction.len;
            movable[start] = instruction.kind == Kind::Movable;
        }
        let mut first = at;
        let mut moved = [0; JUMP_BYTES];
        let mut count = 0;
        while at - first < JUMP_BYTES {
            let floor = first.saturating_sub(Instruction::LEN_MAX);
            let mut before = (floor..first).filter(|&start| lens[start] == first - start);
            let start = before.next()?;
            if before.next().is_some() || !movable[start] {
                return None;
            }
            *moved.get_mut(count)? = lens[start];
            count += 1;
            first = start;
        }
        let site = Site::new(
            base + first as u64,
            &code[first..],
            moved[..count].iter().rev().copied(),
        )?;
        has_number(site.moved()).then_some(site)
    }

    /// Where the short branches lead, for a stretch that lies at `base`.
    fn branches(self, base: u64) -> impl Iterator<Item = u64> {
        self.filter_map(move |(start, instruction)| match instruction.kind {
            Kind::ShortBranch(distance) => {
                let next = base + (start + instruction.len) as u64;
                Some(next.wrapping_add_signed(distance.into()))
            }
            _ => None,
        })
    }
}

impl Iterator for Window<'_> {
    type Item = (usize, Instruction);

    fn next(&mut self) -> Option<Self::Item> {
        while self.next < self.end {
            let start = self.next;
            self.next += 1;
            if self.starts[start]
                && let Some(instruction) = Instruction::decode(&self.code[start..])
            {
                self.starts[start + instruction.len] = true;
                return Some((start, instruction));
            }
        }
        None
    }
}

/// Whether a number that moves along is one that a system call has.
fn has_number(moved: &[u8]) -> bool {
    let &[0xb8, n0, n1, n2, n3] = moved else {
        return true;
    };
    u32::from_le_bytes([n0, n1, n2, n3]) < NUMBERS
}
