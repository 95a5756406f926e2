//! What can be told of a program from a few bytes of its code.

/// Most bytes of a call instruction without prefixes.
pub const CALL_MAX: usize = 7;

/// Whether bytes end with a call, so that the address behind them may be a return address:
/// `call rel32`, or `call r/m64` of two to seven bytes (Intel SDM vol. 2A, "CALL").
#[must_use]
pub fn ends_with_call([b7, b6, b5, b4, b3, b2, b1]: [u8; CALL_MAX]) -> bool {
    let is_indirect = |opcode, operand: u8| opcode == 0xff && operand & 0x38 == 0x10;
    b5 == 0xe8
        || [(b2, b1), (b3, b2), (b4, b3), (b6, b5), (b7, b6)]
            .into_iter()
            .any(|(opcode, operand)| is_indirect(opcode, operand))
}
