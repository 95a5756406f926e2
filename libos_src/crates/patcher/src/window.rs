//! Finding the instructions around one that is to be patched.
//!
//! Nothing says where instructions start. But of any fifteen neighbouring offsets in code one
//! starts an instruction, so decoding from fifteen of them follows the true instructions along
//! with some that are not; the wrong ones meet the true ones soon, because x86 code finds itself
//! again. Where all agree, they are right; where they do not, nothing is patched.

use crate::instruction::{Instruction, Kind};
use crate::jump::JUMP_BYTES;
use crate::site::{Illegal, Site};

/// Bytes for the instructions to find themselves.
const SYNC_BYTES: usize = 64;
/// Bytes before it in which to look for what moves.
const NEAR_BYTES: usize = SYNC_BYTES + 32;
/// Bytes around it in which a jump through a table keeps several instructions from moving.
const TABLE_BYTES: usize = 512;
/// How far a short jump reaches, about: padding is looked for no further away.
const PADDING_BYTES: usize = 136;
/// Bytes before it that must be there.
pub(crate) const BEFORE_BYTES: usize = TABLE_BYTES + PADDING_BYTES;
/// Bytes from it on that must be there.
pub(crate) const AFTER_BYTES: usize = TABLE_BYTES + PADDING_BYTES;

/// What compilers align code to that only jumps lead to.
const ALIGNMENT: u64 = 16;

/// From where a short branch reaches what moves.
const BRANCH_BYTES: usize = 128 + NEAR_BYTES;

/// System call numbers from here on do not exist; a larger constant means that the bytes are data.
const NUMBERS: u32 = 1024;

/// The site whose instruction is at `at` in `code`, which lies at `base`, if it is `free` to be one.
///
/// Near code is taken into account: no short branch leads where none may, and no jump through a
/// table is near enough to come from the same `switch`. Far code is not.
pub(crate) fn site(
    code: &[u8],
    at: usize,
    base: u64,
    free: impl Fn(&Site) -> bool,
) -> Option<Site> {
    let illegal = Illegal::at(code.get(at..)?)?;
    let near = at.saturating_sub(NEAR_BYTES);
    let before = Window::new(&code[near..], at - near).before()?;
    let is_good = |site: &Site| free(site) && !is_branched_to(code, base, site);
    let site = before.site(illegal, base + near as u64).filter(|site| {
        let may_be_switched_to = site.covered().next().is_some() && has_table_jump(code, at);
        !may_be_switched_to && is_good(site)
    });
    site.or_else(|| {
        let start = before.last().filter(|&start| before.movable[start])?;
        let len = before.end - start;
        let offset = near + start;
        paddings(code, base, offset).find_map(|padding| {
            let distance = padding as i64 - offset as i64;
            let distance = i16::try_from(distance).ok()?;
            let from = base + offset as u64;
            let site = Site::short(illegal, from, &code[offset..], len, distance)?;
            (is_good(&site) && !has_table_jump(code, padding)).then_some(site)
        })
    })
}

/// Whether a short branch leads where none may.
fn is_branched_to(code: &[u8], base: u64, site: &Site) -> bool {
    site.written().into_iter().any(|range| {
        let at = range.start.saturating_sub(base) as usize;
        let first = at.saturating_sub(BRANCH_BYTES);
        let end = code.len().min(at + BRANCH_BYTES) - first;
        let mut branches = Window::new(&code[first..], end).branches(base + first as u64);
        !range.is_empty() && branches.any(|target| site.forbids(target))
    })
}

/// Where padding begins in `code`, which lies at `base`, that has room for a jump and is near the
/// offset `from`: instructions that do nothing, after one that goes elsewhere, up to where compilers
/// align what only jumps lead to.
fn paddings(code: &[u8], base: u64, from: usize) -> impl Iterator<Item = usize> {
    let first = from.saturating_sub(PADDING_BYTES).max(1);
    let end = code.len().min(from + PADDING_BYTES);
    (first..end).filter(move |&at| {
        // Most bytes begin nothing of the kind.
        matches!(code[at], 0x90 | 0x0f | 0x66 | 0x2e | 0xcc)
            && is_padding(code, base, at)
            && !is_reached_from_before(code, at)
    })
}

/// Whether what does nothing goes on from here to where code is aligned, which is far enough. What
/// begins at such a place is no padding: a function may begin with instructions that do nothing.
fn is_padding(code: &[u8], base: u64, start: usize) -> bool {
    let to_end = (base + start as u64).wrapping_neg() % ALIGNMENT;
    let end = start + to_end as usize;
    if end < start + JUMP_BYTES {
        return false;
    }
    let mut at = start;
    while at < end {
        at += match code.get(at..end) {
            Some([0xcc, ..]) => 1,
            Some(rest) => match Instruction::decode(rest) {
                Some(one) if one.is_nop => one.len,
                _ => return false,
            },
            None => return false,
        };
    }
    true
}

/// Whether the CPU may come here from the instruction before, or nobody knows what that is.
fn is_reached_from_before(code: &[u8], at: usize) -> bool {
    let near = at.saturating_sub(NEAR_BYTES);
    let before = Window::new(&code[near..], at - near).before();
    before.is_none_or(|before| before.last().is_none_or(|last| before.goes_on[last]))
}

/// Whether a jump through a table is within reach of a `switch`.
fn has_table_jump(code: &[u8], at: usize) -> bool {
    let around = at.saturating_sub(TABLE_BYTES)..code.len().min(at + TABLE_BYTES);
    code[around].array_windows().any(is_table_jump)
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

    /// The instructions of the stretch. `None` if one may be only half inside.
    fn before(self) -> Option<Before<'a>> {
        let mut before = Before {
            code: self.code,
            end: self.end,
            lens: [0; NEAR_BYTES],
            movable: [false; NEAR_BYTES],
            goes_on: [true; NEAR_BYTES],
        };
        for (start, instruction) in self {
            if start + instruction.len > before.end {
                return None;
            }
            before.lens[start] = instruction.len;
            before.movable[start] = instruction.kind == Kind::Movable;
            before.goes_on[start] = instruction.goes_on;
        }
        Some(before)
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

/// The instructions before a place in the code.
struct Before<'a> {
    /// From the first of them on.
    code: &'a [u8],
    /// Where the place is.
    end: usize,
    /// The length of the instruction that may start there, or 0.
    lens: [usize; NEAR_BYTES],
    movable: [bool; NEAR_BYTES],
    goes_on: [bool; NEAR_BYTES],
}

impl Before<'_> {
    /// The start of the instruction that ends at `end`, if all ways of reading the code agree on it.
    fn ending_at(&self, end: usize) -> Option<usize> {
        let floor = end.saturating_sub(Instruction::LEN_MAX);
        let mut starts = (floor..end).filter(|&start| self.lens[start] == end - start);
        let start = starts.next()?;
        starts.next().is_none().then_some(start)
    }

    /// The start of the last one.
    fn last(&self) -> Option<usize> {
        self.ending_at(self.end)
    }

    /// The site whose instruction is at the place, for code that lies at `base`.
    fn site(&self, illegal: Illegal, base: u64) -> Option<Site> {
        let mut first = self.end;
        let mut moved = [0; JUMP_BYTES];
        let mut count = 0;
        while self.end - first < JUMP_BYTES {
            let start = self.ending_at(first).filter(|&start| self.movable[start])?;
            *moved.get_mut(count)? = self.lens[start];
            count += 1;
            first = start;
        }
        let site = Site::new(
            illegal,
            base + first as u64,
            &self.code[first..],
            moved[..count].iter().rev().copied(),
        )?;
        let is_call = illegal == Illegal::Syscall;
        (!is_call || has_number(site.moved())).then_some(site)
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
