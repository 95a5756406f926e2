//! What has to be known of one instruction.

use yaxpeax_arch::LengthedInstruction;
use yaxpeax_x86::long_mode::{InstDecoder, Instruction as Decoded, Opcode, Operand, RegSpec};

/// One instruction, as far as patching cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Its length in bytes, 1 to 15.
    pub(crate) len: usize,
    /// What it may do.
    pub(crate) kind: Kind,
    /// Whether the CPU may go on at the next one.
    pub(crate) goes_on: bool,
    /// Whether it does nothing at all.
    pub(crate) is_nop: bool,
}

/// What an instruction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It means the same at any address and always goes on at the next.
    Movable,
    /// It may go on at this distance from its end: a branch with an 8-bit displacement.
    ShortBranch(i8),
    /// Neither, or nobody has looked.
    Other,
}

impl Instruction {
    /// The longest that the CPU takes (Intel SDM vol. 2A, "Instruction Format").
    pub(crate) const LEN_MAX: usize = 15;

    /// Decodes the instruction at the start of `code`; `None` when there is none, or not all of it.
    pub(crate) fn decode(code: &[u8]) -> Option<Self> {
        let code = &code[..code.len().min(Self::LEN_MAX)];
        let decoded = InstDecoder::default().decode_slice(code).ok()?;
        let len = usize::try_from(decoded.len().to_const()).ok()?;
        let bytes = code.get(..len)?;
        Some(Self {
            len,
            kind: kind(&decoded, bytes),
            goes_on: !matches!(decoded.opcode(), Opcode::JMP | Opcode::RETURN),
            // With F3 it is PAUSE, with which a loop may begin.
            is_nop: decoded.opcode() == Opcode::NOP && bytes.first() != Some(&0xf3),
        })
    }
}

fn kind(decoded: &Decoded, bytes: &[u8]) -> Kind {
    let opcode = decoded.opcode();
    if let [.., 0x70..=0x7f | 0xe0..=0xe3 | 0xeb, displacement] = bytes
        && may_branch(opcode)
    {
        return Kind::ShortBranch(displacement.cast_signed());
    }
    if is_plain(opcode) && !is_relative(decoded) {
        return Kind::Movable;
    }
    Kind::Other
}

fn may_branch(opcode: Opcode) -> bool {
    use Opcode::{JECXZ, JMP, JRCXZ, LOOP, LOOPNZ, LOOPZ};
    opcode.is_jcc() || matches!(opcode, JMP | LOOP | LOOPZ | LOOPNZ | JRCXZ | JECXZ)
}

/// Instructions that compilers put before a system call and that know nothing of where they are. A
/// list of what may move, so that what nobody thought of stays.
fn is_plain(opcode: Opcode) -> bool {
    use Opcode::{
        ADD, AND, CDQE, CMP, CWDE, DEC, INC, LEA, MOV, MOVSX, MOVSXD, MOVZX, NEG, NOP, NOT, OR,
        POP, PUSH, SAR, SBB, SHL, SHR, SUB, TEST, XOR,
    };
    opcode.is_cmovcc()
        || opcode.is_setcc()
        || matches!(
            opcode,
            ADD | AND
                | CDQE
                | CMP
                | CWDE
                | DEC
                | INC
                | LEA
                | MOV
                | MOVSX
                | MOVSXD
                | MOVZX
                | NEG
                | NOP
                | NOT
                | OR
                | POP
                | PUSH
                | SAR
                | SBB
                | SHL
                | SHR
                | SUB
                | TEST
                | XOR
        )
}

/// Whether it names memory relative to its own address.
fn is_relative(decoded: &Decoded) -> bool {
    (0..decoded.operand_count()).any(|index| match decoded.operand(index) {
        Operand::MemDeref { base } | Operand::Disp { base, .. } => {
            base == RegSpec::rip() || base == RegSpec::eip()
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(code: &[u8]) -> Kind {
        let instruction = Instruction::decode(code).expect("it is one");
        assert_eq!(instruction.len, code.len());
        instruction.kind
    }

    #[test]
    fn what_depends_on_its_address_does_not_move() {
        assert_eq!(kind_of(&[0x48, 0x8b, 0x05, 1, 0, 0, 0]), Kind::Other);
        assert_eq!(kind_of(&[0x48, 0x8b, 0x05, 0, 0, 0, 0]), Kind::Other);
        assert_eq!(kind_of(&[0x67, 0x8d, 0x05, 1, 0, 0, 0]), Kind::Other);
        assert_eq!(kind_of(&[0xe8, 0, 0, 0, 0]), Kind::Other);
        assert_eq!(kind_of(&[0x48, 0x8b, 0x44, 0x24, 8]), Kind::Movable);
    }

    #[test]
    fn what_leaves_its_place_does_not_move() {
        for code in [&[0xc3][..], &[0xff, 0xe0], &[0x0f, 0x05], &[0xf4], &[0xcc]] {
            assert_eq!(kind_of(code), Kind::Other);
        }
    }

    #[test]
    fn a_short_branch_says_how_far() {
        assert_eq!(kind_of(&[0x75, 0xfe]), Kind::ShortBranch(-2));
        assert_eq!(kind_of(&[0xf2, 0xeb, 4]), Kind::ShortBranch(4));
        assert_eq!(kind_of(&[0xe3, 0x7f]), Kind::ShortBranch(127));
    }

    #[test]
    fn nothing_follows_a_return_or_a_jump() {
        let goes_on = |code: &[u8]| Instruction::decode(code).map(|one| one.goes_on);

        for code in [
            &[0xc3][..],
            &[0xf3, 0xc3],
            &[0xc2, 8, 0],
            &[0xeb, 4],
            &[0xe9, 0, 0, 0, 0],
            &[0xff, 0xe0],
        ] {
            assert_eq!(goes_on(code), Some(false), "{code:x?}");
        }
        for code in [
            &[0x75, 4][..],
            &[0xe8, 0, 0, 0, 0],
            &[0x0f, 0x05],
            &[0xff, 0xd0],
            &[0xe3, 0],
        ] {
            assert_eq!(goes_on(code), Some(true), "{code:x?}");
        }
    }

    #[test]
    fn what_only_looks_like_padding_is_none() {
        let is_nop = |code: &[u8]| Instruction::decode(code).map(|one| one.is_nop);

        for code in [
            &[0x90][..],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(is_nop(code), Some(true), "{code:x?}");
        }
        let endbr64 = [0xf3, 0x0f, 0x1e, 0xfa];
        for code in [&endbr64[..], &[0xf3, 0x90], &[0x87, 0xc0], &[0x41, 0x90]] {
            assert_eq!(is_nop(code), Some(false), "{code:x?}");
        }
    }

    #[test]
    fn half_an_instruction_is_none() {
        assert_eq!(Instruction::decode(&[0xb8, 1, 0]), None);
        assert_eq!(Instruction::decode(&[]), None);
        assert_eq!(Instruction::decode(&[0x06]), None);
    }
}
