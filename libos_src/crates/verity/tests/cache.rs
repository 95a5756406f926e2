//! Blocks that are kept, and lent to who reads many of them.

use std::sync::Arc;

use verity::{BLOCK_SIZE_BYTES, BlockCache};

fn block(number: u64) -> Arc<[u8]> {
    Arc::from(vec![number as u8; BLOCK_SIZE_BYTES])
}

fn cache(capacity_blocks: usize, numbers: impl IntoIterator<Item = u64>) -> BlockCache {
    let cache = BlockCache::new(capacity_blocks * BLOCK_SIZE_BYTES);
    for number in numbers {
        cache.insert(number, block(number));
    }
    cache
}

/// The first byte of each block that is lent.
fn lent(cache: &BlockCache, first: u64, most: usize) -> Option<Vec<u8>> {
    cache.lend(first, most, |blocks| {
        assert!(blocks.iter().all(|block| block.len() == BLOCK_SIZE_BYTES));
        blocks.iter().map(|block| block[0]).collect()
    })
}

#[test]
fn a_run_ends_where_a_block_is_missing_and_where_enough_was_given() {
    let cache = cache(64, (0..40).filter(|&number| number != 7));
    for _ in 0..3 {
        assert_eq!(lent(&cache, 3, 10), Some(vec![3, 4, 5, 6]));
        assert_eq!(lent(&cache, 3, 2), Some(vec![3, 4]));
        assert_eq!(lent(&cache, 7, 10), None);
        assert_eq!(lent(&cache, 8, 40), Some((8..24).collect()));
        assert_eq!(lent(&cache, 39, 40), Some(vec![39]));
        assert_eq!(lent(&cache, 40, 1), None);
    }
}

#[test]
fn blocks_are_lent_to_several_at_once() {
    let cache = cache(4, 0..4);
    let inner = cache.lend(0, 4, |outer| {
        let inner = cache.lend(1, 2, |inner| {
            assert_eq!(lent(&cache, 0, 4), Some(vec![0, 1, 2, 3]));
            inner.iter().map(|block| block[0]).collect::<Vec<_>>()
        });
        assert!((0..4).all(|at| outer[at][0] == at as u8));
        inner
    });
    assert_eq!(inner, Some(Some(vec![1, 2])));
    assert_eq!(lent(&cache, 0, 4), Some(vec![0, 1, 2, 3]));
}

#[test]
fn a_block_that_is_replaced_while_it_is_lent_stays_with_its_reader_only() {
    let cache = cache(2, 0..2);
    for replaced in [[10, 11], [0, 1]] {
        let first = 10 - replaced[0];
        cache.lend(first, 2, |blocks| {
            // What was used lately stays for one more round.
            for number in (100..104).chain(replaced) {
                cache.insert(number, block(number));
            }
            assert!((0..2).all(|at| {
                blocks[at]
                    .iter()
                    .all(|&byte| byte == first as u8 + at as u8)
            }));
        });
        assert_eq!(lent(&cache, first, 2), None);
        assert_eq!(
            lent(&cache, replaced[0], 2),
            Some(replaced.map(|number| number as u8).to_vec())
        );
    }
}
