//! One place where the LibOS's part can be patched in.

use core::ops::Range;

use crate::instruction::Instruction;
use crate::jump::JUMP_BYTES;

/// An instruction that programs may use and that faults in an enclave, so that the LibOS does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Illegal {
    /// `syscall`.
    Syscall,
    /// `cpuid`.
    Cpuid,
}

impl Illegal {
    /// Its bytes (Intel SDM vol. 2, "SYSCALL" and "CPUID").
    pub(crate) const LEN: usize = 2;

    /// Whether one consists of these bytes.
    pub(crate) const fn begins(first: u8, second: u8) -> bool {
        (first == 0x0f) & ((second == 0x05) | (second == 0xa2))
    }

    /// The one that begins like this.
    pub(crate) const fn at(code: &[u8]) -> Option<Self> {
        match code {
            [0x0f, 0x05, ..] => Some(Self::Syscall),
            [0x0f, 0xa2, ..] => Some(Self::Cpuid),
            _ => None,
        }
    }
}

/// Bytes of a `jmp rel8` (Intel SDM vol. 2A, "JMP", opcode EB cb).
pub(crate) const SHORT_JUMP_BYTES: usize = 2;

/// The most instructions that move: each has a byte at least, and four of them are too few.
const MOVED_MAX: usize = JUMP_BYTES;
/// The most bytes that move: one byte was missing when the longest instruction came.
const MOVED_BYTES_MAX: usize = JUMP_BYTES - 1 + Instruction::LEN_MAX;

/// What the code before the instruction looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// `mov eax, imm32`, as in most of glibc.
    MoveNumber,
    /// One other instruction of at least five bytes.
    One,
    /// Several short instructions, none of which is known as the target of a branch.
    Several,
    /// One instruction of two to four bytes, in the place of which a short jump goes to a long one
    /// in padding near by.
    Short,
}

/// An instruction that can be patched, by its offset in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    illegal: Illegal,
    offset: u64,
    moved: [u8; MOVED_BYTES_MAX],
    /// The length of each moved instruction; zeros behind the last.
    lens: [u8; MOVED_MAX],
    /// Where the long jump is, counted from the first moved instruction, if that has no room for it.
    padding: Option<i16>,
}

impl Site {
    /// A site whose one moved instruction, of `len` bytes at the start of `code`, is too short for a
    /// jump, and that has room for one at `padding`, counted from there. `None` when a short jump
    /// does not get there, or has no room either.
    pub(crate) fn short(
        illegal: Illegal,
        offset: u64,
        code: &[u8],
        len: usize,
        padding: i16,
    ) -> Option<Self> {
        i8::try_from(padding - SHORT_JUMP_BYTES as i16).ok()?;
        if !(SHORT_JUMP_BYTES..JUMP_BYTES).contains(&len) {
            return None;
        }
        let mut site = Self {
            illegal,
            offset,
            moved: [0; MOVED_BYTES_MAX],
            lens: [0; MOVED_MAX],
            padding: Some(padding),
        };
        site.moved.get_mut(..len)?.copy_from_slice(code.get(..len)?);
        site.lens[0] = len as u8;
        Some(site)
    }

    /// A site whose moved instructions have the lengths `lens` and lie at the start of `code`.
    /// `None` when they are too few or too many.
    pub(crate) fn new(
        illegal: Illegal,
        offset: u64,
        code: &[u8],
        lens: impl DoubleEndedIterator<Item = usize> + Clone,
    ) -> Option<Self> {
        let total: usize = lens.clone().sum();
        if total < JUMP_BYTES || lens.clone().count() > MOVED_MAX {
            return None;
        }
        let mut site = Self {
            illegal,
            offset,
            moved: [0; MOVED_BYTES_MAX],
            lens: [0; MOVED_MAX],
            padding: None,
        };
        site.moved
            .get_mut(..total)?
            .copy_from_slice(code.get(..total)?);
        for (slot, len) in site.lens.iter_mut().zip(lens) {
            *slot = u8::try_from(len).ok()?;
        }
        Some(site)
    }

    /// Where its first moved instruction is, which becomes the jump.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The instructions that move to the stub.
    #[must_use]
    pub fn moved(&self) -> &[u8] {
        &self.moved[..self.moved_len()]
    }

    /// What the code looks like.
    #[must_use]
    pub fn shape(&self) -> Shape {
        if self.padding.is_some() {
            return Shape::Short;
        }
        match (self.lens, self.moved[0]) {
            ([5, 0, ..], 0xb8) => Shape::MoveNumber,
            ([_, 0, ..], _) => Shape::One,
            _ => Shape::Several,
        }
    }

    /// What it does.
    #[must_use]
    pub const fn illegal(&self) -> Illegal {
        self.illegal
    }

    /// Where the instruction itself is.
    #[must_use]
    pub fn instruction(&self) -> u64 {
        self.offset + self.moved_len() as u64
    }

    /// The offset after it, where the program goes on.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.instruction() + Illegal::LEN as u64
    }

    /// Where each moved instruction starts, and the one after them, counted from the first.
    pub(crate) fn starts(&self) -> impl Iterator<Item = u64> {
        let ends = self.lens.into_iter().take_while(|&len| len != 0);
        let ends = ends.scan(0, |end, len| {
            *end += u64::from(len);
            Some(*end)
        });
        core::iter::once(0).chain(ends)
    }

    /// Where the jump to the stub is: at its first moved instruction, or in padding near by.
    #[must_use]
    pub fn jump(&self) -> u64 {
        let distance = self.padding.unwrap_or(0);
        self.offset.wrapping_add_signed(distance.into())
    }

    /// The jump that leads from the first moved instruction to the one to the stub, if there are two.
    pub(crate) fn short_jump(&self) -> Option<[u8; SHORT_JUMP_BYTES]> {
        let distance = self.padding? - SHORT_JUMP_BYTES as i16;
        // `short` has seen that it is one.
        Some([0xeb, i8::try_from(distance).ok()?.cast_unsigned()])
    }

    /// The starts of moved instructions that will lie inside the jump.
    pub(crate) fn covered(&self) -> impl Iterator<Item = u64> {
        self.starts()
            .filter(|start| (1..self.written_len()).contains(start))
            .map(|start| self.offset + start)
    }

    /// What will be written, in order of what it is for: from the first moved instruction on, and in
    /// padding.
    pub(crate) fn written(&self) -> [Range<u64>; 2] {
        let first = self.offset..self.offset + self.written_len();
        let second = match self.padding {
            Some(_) => self.jump()..self.jump() + JUMP_BYTES as u64,
            None => 0..0,
        };
        [first, second]
    }

    /// Where nothing may lead: what will lie inside a jump, not even past a prefix, and padding.
    pub(crate) fn forbidden(&self) -> impl Iterator<Item = u64> + use<> {
        let [first, second] = self.written();
        (first.start + 1..first.end).chain(second)
    }

    /// Whether nothing may lead there.
    pub(crate) fn forbids(&self, target: u64) -> bool {
        let [first, second] = self.written();
        (first.start + 1..first.end).contains(&target) || second.contains(&target)
    }

    /// What it needs of the text: its instructions, and the padding that is written, if any.
    pub(crate) fn used(&self) -> [Range<u64>; 2] {
        let instructions = self.offset()..self.next();
        let padding = match self.written() {
            [_, padding] if !padding.is_empty() => padding,
            _ => instructions.clone(),
        };
        [instructions, padding]
    }

    /// Bytes that are written from the first moved instruction on.
    const fn written_len(&self) -> u64 {
        match self.padding {
            Some(_) => SHORT_JUMP_BYTES as u64,
            None => JUMP_BYTES as u64,
        }
    }

    fn moved_len(&self) -> usize {
        self.lens.iter().map(|&len| usize::from(len)).sum()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn what_begins_an_illegal_instruction_is_one() {
        for [first, second] in (0..=u16::MAX).map(u16::to_le_bytes) {
            let is_one = Illegal::at(&[first, second]).is_some();
            assert_eq!(Illegal::begins(first, second), is_one);
        }
    }

    #[test]
    fn only_the_starts_inside_the_jump_are_covered() {
        // mov rdi, rsi; mov edx, 4; then syscall
        let code = [0x48, 0x89, 0xf7, 0xba, 4, 0, 0, 0];
        let site =
            Site::new(Illegal::Syscall, 0x100, &code, [3, 5].into_iter()).expect("long enough");
        let starts: Vec<u64> = site.starts().collect();

        assert_eq!(starts, [0, 3, 8]);
        assert_eq!(site.covered().collect::<Vec<_>>(), [0x103]);
        assert_eq!((site.instruction(), site.next()), (0x108, 0x10a));
        assert_eq!(site.shape(), Shape::Several);
        assert_eq!(site.moved(), code);
    }

    #[test]
    fn a_short_site_writes_two_bytes_and_five_in_padding() {
        // xor eax, eax; then syscall
        let site =
            Site::short(Illegal::Syscall, 0x100, &[0x31, 0xc0], 2, -20).expect("near enough");

        assert_eq!(site.shape(), Shape::Short);
        assert_eq!(site.short_jump(), Some([0xeb, 0xea]));
        assert_eq!(site.written(), [0x100..0x102, 0xec..0xf1]);
        assert_eq!(site.covered().next(), None);
        let forbidden: Vec<u64> = site.forbidden().collect();
        assert_eq!(forbidden, [0x101, 0xec, 0xed, 0xee, 0xef, 0xf0]);
        assert!(forbidden.iter().all(|&at| site.forbids(at)));
        assert!(!site.forbids(0x100) && !site.forbids(0x102) && !site.forbids(0xf1));
        assert_eq!((site.instruction(), site.next()), (0x102, 0x104));
    }

    #[test]
    fn a_short_jump_goes_128_bytes_back_or_127_on() {
        let at = |padding| Site::short(Illegal::Syscall, 0x100, &[0x89, 0xd0], 2, padding);

        assert!(at(-126).is_some() && at(129).is_some());
        assert!(at(-127).is_none() && at(130).is_none());
    }

    #[test]
    fn four_bytes_are_too_few() {
        assert_eq!(
            Site::new(Illegal::Syscall, 0, &[0x90; 8], [4].into_iter()),
            None
        );
        assert_eq!(
            Site::new(Illegal::Syscall, 0, &[0x90; 8], [1; 6].into_iter()),
            None
        );
        assert!(Site::new(Illegal::Syscall, 0, &[0x90; 8], [1; 5].into_iter()).is_some());
    }
}
