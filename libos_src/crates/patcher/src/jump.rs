//! Displacements of 32 bits.

/// Bytes of a `jmp rel32` (Intel SDM vol. 2A, "JMP", opcode E9 cd).
pub const JUMP_BYTES: usize = 5;

/// The target of a jump is more than 2 GiB away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFar;

/// Whether an instruction that ends at `next` can reach `to`.
pub(crate) fn is_near(next: u64, to: u64) -> bool {
    i32::try_from(to.wrapping_sub(next).cast_signed()).is_ok()
}

/// The displacement of an instruction that ends at `next` and goes to `to`, which is near.
pub(crate) fn displacement(next: u64, to: u64) -> [u8; 4] {
    debug_assert!(is_near(next, to));
    (to.wrapping_sub(next) as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_displacement_counts_from_the_end_of_its_instruction() {
        assert_eq!(displacement(0x1005, 0x1005), [0, 0, 0, 0]);
        assert_eq!(displacement(0x1005, 0x1000), [0xfb, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn near_ends_at_two_gibibytes() {
        assert!(is_near(5, 0x8000_0004));
        assert!(!is_near(5, 0x8000_0005));
        assert!(is_near(0x8000_0005, 5));
        assert!(!is_near(0x8000_0005, 4));
    }
}
