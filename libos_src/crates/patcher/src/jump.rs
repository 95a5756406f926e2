//! `jmp rel32`.

/// Bytes of a `jmp rel32` (Intel SDM vol. 2A, "JMP", opcode E9 cd).
pub const JUMP_BYTES: usize = 5;

/// The target of a jump is more than 2 GiB away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFar;

/// A `jmp rel32` that lies at `from` and goes to `to`.
pub(crate) fn jump(from: u64, to: u64) -> Result<[u8; JUMP_BYTES], TooFar> {
    let next = from.wrapping_add(JUMP_BYTES as u64);
    let displacement = displacement(next, to)?;
    let mut code = [0xe9, 0, 0, 0, 0];
    code[1..].copy_from_slice(&displacement);
    Ok(code)
}

/// The 32-bit displacement from the address after an instruction to `to`.
pub(crate) fn displacement(next: u64, to: u64) -> Result<[u8; 4], TooFar> {
    let distance = to.wrapping_sub(next).cast_signed();
    i32::try_from(distance)
        .map(i32::to_le_bytes)
        .map_err(|_| TooFar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_counts_from_its_own_end() {
        assert_eq!(jump(0x1000, 0x1005), Ok([0xe9, 0, 0, 0, 0]));
        assert_eq!(jump(0x1000, 0x1000), Ok([0xe9, 0xfb, 0xff, 0xff, 0xff]));
    }

    #[test]
    fn a_jump_of_two_gibibytes_is_refused() {
        assert!(jump(0, 0x8000_0004).is_ok());
        assert_eq!(jump(0, 0x8000_0005), Err(TooFar));
        assert!(jump(0x8000_0000, 5).is_ok());
        assert_eq!(jump(0x8000_0000, 4), Err(TooFar));
    }
}
