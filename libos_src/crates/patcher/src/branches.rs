//! Where code far away may lead.

use alloc::vec::Vec;

use crate::pairs::each_pair;

/// Bytes before a displacement that say what it is the displacement of.
pub(crate) const OPCODE_BYTES: usize = 2;
/// Bytes of a displacement.
const DISPLACEMENT_BYTES: usize = 4;

/// Offsets to which nothing may lead.
pub(crate) struct Targets {
    /// In ascending order.
    offsets: Vec<u64>,
    /// Whether there is one with these low bits: most of what is asked for is not there.
    low_bits: [u64; FILTER_WORDS],
}

const FILTER_WORDS: usize = 256;

impl Targets {
    pub(crate) fn new(mut offsets: Vec<u64>) -> Self {
        offsets.sort_unstable();
        let mut low_bits = [0; FILTER_WORDS];
        for offset in &offsets {
            let (word, bit) = filter(*offset);
            low_bits[word] |= bit;
        }
        Self { offsets, low_bits }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Calls `hit` with the targets that `code`, which lies at `base`, may lead to by a 32-bit
    /// displacement.
    ///
    /// It looks at every offset, whether an instruction starts there or not: `call`, `jmp`, `jcc`,
    /// `xbegin`, and `lea`, which takes an address to go to later.
    pub(crate) fn hit_by(&self, code: &[u8], base: u64, mut hit: impl FnMut(u64)) {
        each_pair(code, is_reference, |at| {
            let displacement = code[at + OPCODE_BYTES..].first_chunk();
            let Some(displacement) = displacement else {
                return;
            };
            let displacement = i32::from_le_bytes(*displacement);
            let next = base + (at + OPCODE_BYTES + DISPLACEMENT_BYTES) as u64;
            let target = next.wrapping_add_signed(displacement.into());
            if self.contains(target) {
                hit(target);
            }
        });
    }

    fn contains(&self, offset: u64) -> bool {
        let (word, bit) = filter(offset);
        self.low_bits[word] & bit != 0 && self.offsets.binary_search(&offset).is_ok()
    }
}

/// Whether these two bytes make what follows the displacement of a reference to code. Without
/// branches, because it is asked for every byte of a text.
const fn is_reference(before: u8, last: u8) -> bool {
    let is_jump_or_call = last & 0xfe == 0xe8;
    let is_conditional = (before == 0x0f) & (last & 0xf0 == 0x80);
    let is_xbegin = (before == 0xc7) & (last == 0xf8);
    let is_lea = (before == 0x8d) & (last & 0xc7 == 0x05);
    is_jump_or_call | is_conditional | is_xbegin | is_lea
}

const fn filter(offset: u64) -> (usize, u64) {
    let low = offset as usize % (FILTER_WORDS * 64);
    (low / 64, 1 << (low % 64))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn hits(targets: &Targets, code: &[u8]) -> Vec<u64> {
        let mut hits = Vec::new();
        targets.hit_by(code, 0x2000, |target| hits.push(target));
        hits
    }

    #[test]
    fn every_form_with_a_32_bit_displacement_is_seen() {
        let targets = Targets::new(vec![0x1000]);
        for opcode in [
            &[0x90, 0xe8][..],
            &[0x90, 0xe9],
            &[0x0f, 0x84],
            &[0xc7, 0xf8],
            &[0x48, 0x8d, 0x05],
        ] {
            let mut code = opcode.to_vec();
            let next = 0x2000 + code.len() as u64 + 4;
            code.extend((0x1000 - next.cast_signed() as i32).to_le_bytes());

            assert_eq!(hits(&targets, &code), [0x1000], "{opcode:x?}");
        }
    }

    #[test]
    fn a_target_elsewhere_is_no_hit() {
        let targets = Targets::new(vec![0x1000]);
        let to_0x5000_with_the_same_low_bits = [0x90, 0xe9, 0xfa, 0x2f, 0, 0];

        assert_eq!(hits(&targets, &to_0x5000_with_the_same_low_bits), []);
    }
}
