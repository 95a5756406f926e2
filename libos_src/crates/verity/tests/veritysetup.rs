//! Trees made by `veritysetup`, and one made here from the format's description.

mod tree;

use std::process::Command;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tree::{BLOCK, Memory, build};
use verity::{BlockSource, Parameters, ShapeError, Verified};

type Log = Arc<Mutex<Vec<String>>>;

fn verified(image: Memory, parameters: &Parameters) -> (Verified<Memory>, Log) {
    let log = Log::default();
    let sink = log.clone();
    let report = Box::new(move |failure: &dyn std::fmt::Display| {
        sink.lock().expect("log").push(failure.to_string());
    });
    (
        Verified::new(image, parameters, 1 << 20, report).expect("parameters"),
        log,
    )
}

fn read_all(source: &impl BlockSource) -> Result<Vec<u8>, abi::Errno> {
    let mut data = vec![0; source.block_count() as usize * BLOCK];
    source.read_blocks(0, &mut data).map(|()| data)
}

fn pattern(blocks: usize) -> Vec<u8> {
    let noise = |index: usize| (index as u32).wrapping_mul(2_654_435_761).to_le_bytes()[2];
    (0..blocks * BLOCK).map(noise).collect()
}

#[test]
fn our_root_hash_is_the_one_of_veritysetup() {
    for blocks in [1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1] {
        let data = pattern(blocks);
        let (image, parameters) = build(&data);
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("image");
        std::fs::write(&path, &data).expect("image");
        let offset = data.len().to_string();
        let output = Command::new("veritysetup")
            .args(["format", "--salt=-", "--hash-offset", &offset])
            .args([&path, &path])
            .output();
        let Ok(output) = output else {
            println!("skipped: veritysetup missing");
            return;
        };
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let root = text
            .lines()
            .find_map(|line| line.strip_prefix("Root hash:"))
            .expect("root");
        let ours: String = parameters
            .root_hash
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(root.trim(), ours, "{blocks} blocks");

        let theirs = Memory::new(std::fs::read(&path).expect("image"));
        assert_eq!(
            theirs.bytes()[data.len() + BLOCK..],
            image.bytes()[data.len() + BLOCK..]
        );
        let (source, _) = verified(theirs, &parameters);
        assert!(read_all(&source) == Ok(data), "{blocks} blocks");
    }
}

#[test]
fn every_flipped_bit_is_an_error_that_names_the_block() {
    let data = pattern(130);
    let (image, parameters) = build(&data);
    let tree_blocks = image.bytes().len() / BLOCK - 131;
    assert_eq!(tree_blocks, 3, "two leaves' parents and a root");
    for block in (0..image.bytes().len() / BLOCK).filter(|block| *block != 130) {
        for bit in [0, 7, BLOCK * 4 + 3, BLOCK * 8 - 1] {
            let altered = Memory::new(image.bytes());
            altered.flip(block * BLOCK + bit / 8, bit % 8);
            let (source, log) = verified(altered, &parameters);
            assert_eq!(
                read_all(&source),
                Err(abi::Errno::EIO),
                "block {block} bit {bit}"
            );
            let log = log.lock().expect("log");
            assert!(
                log[0].contains(&format!("block {block} (byte {})", block * BLOCK)),
                "{log:?}"
            );
        }
    }
}

#[test]
fn the_superblock_is_never_believed() {
    let data = pattern(3);
    let (image, parameters) = build(&data);
    image.flip(3 * BLOCK, 0);
    let (source, _) = verified(image, &parameters);
    assert_eq!(read_all(&source), Ok(data));
}

#[test]
fn a_refused_read_gives_no_bytes() {
    let (image, parameters) = build(&pattern(4));
    image.flip(3 * BLOCK, 5);
    let (source, _) = verified(image, &parameters);
    let mut buffer = vec![0xaa; 4 * BLOCK];
    assert_eq!(source.read_blocks(0, &mut buffer), Err(abi::Errno::EIO));
    assert!(buffer.iter().all(|byte| *byte == 0));
}

#[test]
fn a_read_beyond_the_data_is_refused() {
    let (image, parameters) = build(&pattern(4));
    let (source, _) = verified(image, &parameters);
    let mut buffer = vec![0; 2 * BLOCK];
    for first in [3, 4, 5, u64::MAX / BLOCK as u64, u64::MAX - 1, u64::MAX] {
        assert_eq!(
            source.read_blocks(first, &mut buffer),
            Err(abi::Errno::EIO),
            "{first}"
        );
    }
    assert_eq!(
        source.read_blocks(0, &mut buffer[..100]),
        Err(abi::Errno::EIO)
    );
    assert_eq!(source.read_blocks(4, &mut []), Ok(()));
}

#[test]
fn each_byte_of_data_is_fetched_once_and_each_node_once() {
    let data = pattern(300);
    let (image, parameters) = build(&data);
    let (source, _) = verified(image.clone(), &parameters);
    assert_eq!(read_all(&source), Ok(data));
    let fetched = image.bytes_fetched();
    assert_eq!(
        fetched,
        (300 + 4) * BLOCK,
        "300 data blocks, 3 leaves' parents, 1 root"
    );
}

#[test]
fn a_host_that_changes_its_mind_cannot_get_other_data_through() {
    let data = pattern(200);
    let (image, parameters) = build(&data);
    let (source, _) = verified(image.clone(), &parameters);
    assert_eq!(read_all(&source), Ok(data.clone()));
    // The tree is in the cache now; the data is not.
    image.flip(7 * BLOCK + 9, 1);
    assert_eq!(read_all(&source), Err(abi::Errno::EIO));
    image.flip(7 * BLOCK + 9, 1);
    assert_eq!(read_all(&source), Ok(data));
}

#[test]
fn parameters_that_fit_no_image_are_refused() {
    let refuse = |data_size_bytes, tree_offset_bytes| {
        let parameters = Parameters {
            data_size_bytes,
            tree_offset_bytes,
            root_hash: [0; 32],
        };
        let memory = Memory::new(Vec::new());
        Verified::new(memory, &parameters, 0, Box::new(|_| ()))
            .err()
            .expect("refused")
    };
    assert_eq!(refuse(0, 4096), ShapeError::DataSize(0));
    assert_eq!(refuse(4097, 8192), ShapeError::DataSize(4097));
    assert_eq!(refuse(8192, 4096), ShapeError::TreeOffset(4096));
    assert_eq!(refuse(8192, 8193), ShapeError::TreeOffset(8193));
    let last_block = u64::MAX / 4096 * 4096;
    assert_eq!(refuse(last_block, last_block), ShapeError::TooLarge);
    assert_eq!(refuse(4096, last_block), ShapeError::TooLarge);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the host does to the image and however small the cache is: the right bytes or none.
    #[test]
    fn a_lying_host_gets_nothing_through(
        blocks in 1..400_usize,
        cache_blocks in 0..4_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_usize), 0..4),
        reads in prop::collection::vec((any::<prop::sample::Index>(), 1..20_usize), 1..20),
    ) {
        let data = pattern(blocks);
        let (image, parameters) = build(&data);
        for (at, bit) in &flips {
            image.flip(at.index(image.bytes().len()), *bit);
        }
        let cache_bytes = cache_blocks * BLOCK;
        let source = Verified::new(image, &parameters, cache_bytes, Box::new(|_| ())).expect("fits");
        for (first, count) in reads {
            let first = first.index(blocks);
            let count = count.min(blocks - first);
            let mut buffer = vec![0; count * BLOCK];
            match source.read_blocks(first as u64, &mut buffer) {
                Ok(()) => prop_assert!(buffer == data[first * BLOCK..(first + count) * BLOCK]),
                Err(_) => prop_assert!(!flips.is_empty()),
            }
        }
    }
}
