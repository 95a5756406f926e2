//! Broken images: an error, never a panic, a hang or memory without bound.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::support::{BLOCK, Maker, Unverified, read, silent};
use erofs::{Erofs, MountError};
use proptest::prelude::*;
use vfs::{Errno, FileSystem, FileType, Inode, Name, SinkState};

/// A walk stops after so many files: a broken directory may contain itself.
const FILES_MAX: usize = 2_000;
/// A walk that takes longer hangs, for all that matters.
const TIME_MAX: Duration = Duration::from_secs(20);

/// A small image with every kind of thing in it.
fn sample() -> Option<Vec<u8>> {
    static SAMPLE: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let pack = || {
        let tree = tempfile::tempdir().expect("tree");
        let at = |name: &str| tree.path().join(name);
        fs::create_dir_all(at("usr/lib")).expect("directories");
        for (name, size) in [
            ("usr/a", 0),
            ("usr/b", 100),
            ("usr/lib/c", 9000),
            ("d", 4096),
        ] {
            fs::write(at(name), vec![7; size]).expect("file");
        }
        for index in 0..400 {
            fs::write(at(&format!("usr/lib/entry{index}")), b"x").expect("file");
        }
        symlink("usr/lib", at("lib")).expect("link");
        Maker::Mkfs(&["-x-1", "-T0"]).pack(tree.path())
    };
    SAMPLE.get_or_init(pack).clone()
}

/// Reads everything that can be reached.
fn walk(root: Arc<dyn Inode>) {
    let start = Instant::now();
    let mut pending = vec![root];
    let mut seen = 0;
    while let Some(inode) = pending.pop() {
        seen += 1;
        assert!(start.elapsed() < TIME_MAX, "the walk does not end");
        if seen > FILES_MAX {
            return;
        }
        let metadata = inode
            .metadata()
            .expect("an inode that exists has attributes");
        match metadata.kind {
            FileType::Directory => pending.extend(entries(&inode)),
            FileType::Symlink => drop(inode.read_link()),
            FileType::Regular if metadata.size_bytes < 1 << 20 => drop(read(&inode, 5000)),
            FileType::Regular => {
                let mut piece = [0; 5000];
                for offset in [0, metadata.size_bytes - 5000, metadata.size_bytes, u64::MAX] {
                    let _ = inode.read_at(offset, &mut piece);
                }
            }
            _ => {}
        }
    }
}

fn entries(directory: &Arc<dyn Inode>) -> Vec<Arc<dyn Inode>> {
    let mut names = Vec::new();
    let _ = directory.read_directory(0, &mut |entry| {
        names.push(entry.name.to_vec());
        if names.len() < FILES_MAX {
            SinkState::Taken
        } else {
            SinkState::Full
        }
    });
    names
        .iter()
        .filter_map(|name| {
            directory
                .lookup(Name::new(name).expect("a listed name is legal"))
                .ok()
        })
        .collect()
}

fn try_image(image: Vec<u8>) {
    if let Ok(mounted) = Erofs::mount(Box::new(Unverified(image)), 64 * BLOCK, silent()) {
        walk(mounted.root());
    }
}

/// A block that begins a file system, so that random bytes get past the first check.
fn plausible(image: &mut [u8]) {
    image[1024..1028].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
    image[1024 + 12] = 12;
    image[1024 + 36..1024 + 40].fill(0);
    image[1024 + 80..1024 + 84].fill(0);
}

fn refused(image: Vec<u8>) -> MountError {
    Erofs::mount(Box::new(Unverified(image)), 0, silent())
        .err()
        .expect("refused")
}

#[test]
fn an_image_that_is_not_understood_is_refused_with_the_reason() {
    assert_eq!(refused(Vec::new()), MountError::Unreadable(Errno::EIO));
    assert_eq!(refused(vec![0; BLOCK]), MountError::NotErofs);
    let mut image = vec![0; BLOCK];
    plausible(&mut image);
    assert_eq!(refused(image.clone()), MountError::Root);
    image[1024 + 36] = 2;
    assert_eq!(
        refused(image.clone()),
        MountError::Truncated {
            blocks: 2,
            available: 1
        }
    );
    image[1024 + 80] = 0x12;
    assert_eq!(refused(image.clone()), MountError::Features(0x12));
    image[1024 + 12] = 9;
    assert_eq!(refused(image), MountError::BlockSize(9));
}

#[test]
fn compressed_files_are_an_error_and_not_garbage() {
    let tree = tempfile::tempdir().expect("tree");
    fs::write(tree.path().join("zeros"), vec![0; 200_000]).expect("file");
    let Some(image) = Maker::Mkfs(&["-zlz4"]).pack(tree.path()) else {
        return;
    };
    let root = crate::support::mount(image).root();
    let found = root.lookup(Name::new(b"zeros").expect("name"));
    assert_eq!(found.map(|_| ()), Err(Errno::EIO));
}

#[test]
fn each_byte_of_the_metadata_may_be_wrong() {
    let Some(image) = sample() else { return };
    // The superblock, the inodes and the small directories lie in the first blocks.
    for position in (1024..image.len().min(3 * BLOCK)).step_by(3) {
        for value in [0, 0x7f, 0xff] {
            let mut broken = image.clone();
            broken[position] = value;
            try_image(broken);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn flipped_bits_give_an_error_or_other_content(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..60),
    ) {
        let Some(mut image) = sample() else { return Ok(()) };
        for (at, bit) in flips {
            let at = at.index(image.len());
            image[at] ^= 1 << bit;
        }
        try_image(image);
    }

    #[test]
    fn a_cut_image_gives_errors(length in any::<prop::sample::Index>()) {
        let Some(mut image) = sample() else { return Ok(()) };
        image.truncate(length.index(image.len()) / BLOCK * BLOCK);
        try_image(image);
    }

    #[test]
    fn random_bytes_are_refused_or_walked(
        mut image in prop::collection::vec(any::<u8>(), 4 * BLOCK),
        mode in 0..4_u16,
    ) {
        plausible(&mut image);
        // A root that looks like a directory, so that the walk begins.
        let root = usize::from(u16::from_le_bytes([image[1024 + 14], image[1024 + 15]])) * 32;
        image[1024 + 40..1024 + 44].fill(0);
        if root + 32 <= image.len() {
            image[root] = [0, 1, 4, 5][usize::from(mode)];
            image[root + 1] = 0;
            image[root + 5] = 0x41;
            image[root + 8..root + 12].copy_from_slice(&(u32::from(mode) * 3000).to_le_bytes());
            image[root + 16..root + 20].copy_from_slice(&2_u32.to_le_bytes());
        }
        try_image(image);
    }
}
