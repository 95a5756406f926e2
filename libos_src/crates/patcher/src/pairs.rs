//! Looking for certain bytes in a lot of code.

/// How many offsets are looked at together.
const BLOCK: usize = 64;
/// How many of them one word of marks tells of.
const WORD: usize = size_of::<u64>();

/// Calls `look` with the offset of each two neighbouring bytes that are wanted, in order.
///
/// `is_wanted` is asked for every offset, for a block of them at a time: without branches it becomes
/// a few vector instructions.
pub(crate) fn each_pair(
    code: &[u8],
    is_wanted: impl Fn(u8, u8) -> bool,
    mut look: impl FnMut(usize),
) {
    let mut start = 0;
    while let Some(block) = code[start..].first_chunk::<{ BLOCK + 1 }>() {
        let mut marks = [0; BLOCK];
        for (at, mark) in marks.iter_mut().enumerate() {
            *mark = u8::from(is_wanted(block[at], block[at + 1]));
        }
        for (word, marks) in marks.as_chunks::<WORD>().0.iter().enumerate() {
            let mut left = u64::from_le_bytes(*marks);
            while left != 0 {
                look(start + word * WORD + left.trailing_zeros() as usize / 8);
                left &= left - 1;
            }
        }
        start += BLOCK;
    }
    for (at, &[first, second]) in code[start..].array_windows().enumerate() {
        if is_wanted(first, second) {
            look(start + at);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn pairs(code: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        each_pair(
            code,
            |first, second| (first == 1) & (second == 2),
            |at| found.push(at),
        );
        found
    }

    #[test]
    fn a_pair_is_found_wherever_it_is() {
        for len in [2, 3, 63, 64, 65, 66, 127, 128, 129, 130, 200] {
            for at in 0..len - 1 {
                let mut code = vec![0; len];
                code[at] = 1;
                assert_eq!(pairs(&code), [], "{len}");
                code[at + 1] = 2;
                assert_eq!(pairs(&code), [at], "{len}");
            }
        }
    }

    #[test]
    fn all_pairs_are_found_in_order() {
        let code = [1, 2].repeat(100);

        assert_eq!(pairs(&code), (0..200).step_by(2).collect::<Vec<_>>());
        assert_eq!(pairs(&[]), []);
        assert_eq!(pairs(&[1]), []);
    }
}
