//! How fast a verified image is read, against SHA-256 of the same bytes and against `memcpy`.
//!
//! ```text
//! RUSTFLAGS="-C target-cpu=native" cargo run --release -p erofs --example read_speed [MEBIBYTES]
//! ```

use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use erofs::Erofs;
use sha2::{Digest, Sha256};
use verity::{Parameters, RawSource, Verified};
use vfs::{Errno, FileSystem, Inode, Name};

const BLOCK: usize = 4096;

/// The host's copy, as a map of the image would give it.
#[derive(Clone)]
struct Host(Arc<Vec<u8>>);

impl RawSource for Host {
    fn read_raw(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let start = offset as usize;
        buffer.copy_from_slice(self.0.get(start..start + buffer.len()).ok_or(Errno::EIO)?);
        Ok(())
    }
}

fn main() {
    let mebibytes: usize = std::env::args()
        .nth(1)
        .map_or(64, |text| text.parse().expect("MiB"));
    let size = mebibytes << 20;
    let Some((image, parameters)) = image(size) else {
        println!("skipped: mkfs.erofs missing");
        return;
    };
    let limit = speed("SHA-256 of each block", size, || {
        image.0[..size].chunks(BLOCK).for_each(|block| {
            black_box(Sha256::digest(block));
        });
    });
    speed("memcpy", size, || drop(black_box(image.0[..size].to_vec())));

    let open = |cache_bytes: usize| {
        let quiet = || Box::new(|what: &dyn std::fmt::Display| println!("{what}"));
        let source = Verified::new(image.clone(), &parameters, 4 << 20, quiet()).expect("shape");
        let mounted = Erofs::mount(Box::new(source), cache_bytes, quiet()).expect("mounts");
        mounted
            .root()
            .lookup(Name::new(b"file").expect("name"))
            .expect("file")
    };
    for (name, step) in [("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)] {
        let file = open(8 << 20);
        let what = format!("first read in steps of {name}");
        let speed = speed(&what, size, || read(&file, size, step));
        println!("{:>40} of the limit", format!("{:.2}", speed / limit));
    }
    let file = open(2 * size);
    read(&file, size, 1 << 20);
    for (name, step) in [("4 KiB", 4 << 10), ("64 KiB", 64 << 10)] {
        speed(&format!("cached read in steps of {name}"), size, || {
            read(&file, size, step)
        });
    }
}

fn read(file: &Arc<dyn Inode>, size: usize, step: usize) {
    let mut buffer = vec![0; step];
    for offset in (0..size).step_by(step) {
        let length = file.read_at(offset as u64, &mut buffer).expect("content");
        assert_eq!(length, step.min(size - offset));
    }
    black_box(&buffer);
}

/// Prints and returns the mebibytes a second.
fn speed(what: &str, size: usize, work: impl Fn()) -> f64 {
    let start = Instant::now();
    work();
    let speed = size as f64 / f64::from(1 << 20) / start.elapsed().as_secs_f64();
    println!("{what:<36} {speed:>8.0} MiB/s");
    speed
}

/// An image with one file of this size, and its tree.
fn image(size: usize) -> Option<(Host, Parameters)> {
    let directory = tempfile::tempdir().expect("directory");
    let (tree, path) = (
        directory.path().join("tree"),
        directory.path().join("image"),
    );
    fs::create_dir(&tree).expect("directory");
    let content: Vec<u8> = (0..size as u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(tree.join("file"), content).expect("file");
    let status = Command::new("mkfs.erofs")
        .arg("--quiet")
        .arg(&path)
        .arg(&tree)
        .status()
        .ok()?;
    assert!(status.success());
    let mut image = fs::read(&path).expect("image");
    let data_size_bytes = image.len() as u64;
    let mut levels = Vec::new();
    let mut below = image.clone();
    while below.len() > BLOCK {
        below = below.chunks(BLOCK).flat_map(Sha256::digest).collect();
        below.resize(below.len().next_multiple_of(BLOCK), 0);
        levels.push(below.clone());
    }
    let tree_offset_bytes = data_size_bytes + BLOCK as u64;
    image.resize(tree_offset_bytes as usize, 0);
    image.extend(levels.iter().rev().flatten());
    let root_hash = Sha256::digest(&below).into();
    let parameters = Parameters {
        data_size_bytes,
        tree_offset_bytes,
        root_hash,
    };
    Some((Host(Arc::new(image)), parameters))
}
