//! One place where a system call can be patched.

use core::ops::Range;

use crate::instruction::Instruction;
use crate::jump::JUMP_BYTES;

/// Bytes of the `syscall` instruction.
pub(crate) const SYSCALL_BYTES: usize = 2;

/// The most instructions that move: each has a byte at least, and four of them are too few.
const MOVED_MAX: usize = JUMP_BYTES;
/// The most bytes that move: one byte was missing when the longest instruction came.
const MOVED_BYTES_MAX: usize = JUMP_BYTES - 1 + Instruction::LEN_MAX;

/// What the code before a `syscall` looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// `mov eax, imm32`, as in most of glibc.
    MoveNumber,
    /// One other instruction of at least five bytes.
    One,
    /// Several short instructions, none of which is known as the target of a branch.
    Several,
}

/// A system call that can be patched, by its offset in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    offset: u64,
    moved: [u8; MOVED_BYTES_MAX],
    /// The length of each moved instruction; zeros behind the last.
    lens: [u8; MOVED_MAX],
}

impl Site {
    /// A site whose moved instructions have the lengths `lens` and lie at the start of `code`.
    /// `None` when they are too few or too many.
    pub(crate) fn new(
        offset: u64,
        code: &[u8],
        lens: impl DoubleEndedIterator<Item = usize> + Clone,
    ) -> Option<Self> {
        let total: usize = lens.clone().sum();
        if total < JUMP_BYTES || lens.clone().count() > MOVED_MAX {
            return None;
        }
        let mut site = Self {
            offset,
            moved: [0; MOVED_BYTES_MAX],
            lens: [0; MOVED_MAX],
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
        match (self.lens, self.moved[0]) {
            ([5, 0, ..], 0xb8) => Shape::MoveNumber,
            ([_, 0, ..], _) => Shape::One,
            _ => Shape::Several,
        }
    }

    /// Where the `syscall` is.
    #[must_use]
    pub fn syscall(&self) -> u64 {
        self.offset + self.moved_len() as u64
    }

    /// The offset after the `syscall`, where the program goes on.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.syscall() + SYSCALL_BYTES as u64
    }

    /// Where each moved instruction starts, and the `syscall` after them, counted from the first.
    pub(crate) fn starts(&self) -> impl Iterator<Item = u64> {
        let ends = self.lens.into_iter().take_while(|&len| len != 0);
        let ends = ends.scan(0, |end, len| {
            *end += u64::from(len);
            Some(*end)
        });
        core::iter::once(0).chain(ends)
    }

    /// The starts of moved instructions that will lie inside the jump.
    pub(crate) fn covered(&self) -> impl Iterator<Item = u64> {
        self.starts()
            .filter(|start| (1..JUMP_BYTES as u64).contains(start))
            .map(|start| self.offset + start)
    }

    /// What will lie inside the jump. Nothing may lead there, not even past a prefix.
    pub(crate) const fn inside(&self) -> Range<u64> {
        self.offset + 1..self.offset + JUMP_BYTES as u64
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
    fn only_the_starts_inside_the_jump_are_covered() {
        // mov rdi, rsi; mov edx, 4; then syscall
        let code = [0x48, 0x89, 0xf7, 0xba, 4, 0, 0, 0];
        let site = Site::new(0x100, &code, [3, 5].into_iter()).expect("long enough");
        let starts: Vec<u64> = site.starts().collect();

        assert_eq!(starts, [0, 3, 8]);
        assert_eq!(site.covered().collect::<Vec<_>>(), [0x103]);
        assert_eq!((site.syscall(), site.next()), (0x108, 0x10a));
        assert_eq!(site.shape(), Shape::Several);
        assert_eq!(site.moved(), code);
    }

    #[test]
    fn four_bytes_are_too_few() {
        assert_eq!(Site::new(0, &[0x90; 8], [4].into_iter()), None);
        assert_eq!(Site::new(0, &[0x90; 8], [1; 6].into_iter()), None);
        assert!(Site::new(0, &[0x90; 8], [1; 5].into_iter()).is_some());
    }
}
