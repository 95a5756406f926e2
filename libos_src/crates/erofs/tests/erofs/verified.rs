//! The reader on top of the verifying reader: a host that changes the image gets errors only.

use std::fmt::Display;
use std::fs;
use std::sync::{Arc, Mutex};

use crate::support::{BLOCK, Maker, list, read};
use erofs::Erofs;
use sha2::{Digest, Sha256};
use verity::{Parameters, RawSource, Verified};
use vfs::{Errno, FileSystem, Inode, Name};

/// An image on the host, which may change.
#[derive(Clone)]
struct Host(Arc<Mutex<Vec<u8>>>);

impl RawSource for Host {
    fn read_raw(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let image = self.0.lock().expect("image");
        let start = offset as usize;
        buffer.copy_from_slice(image.get(start..start + buffer.len()).ok_or(Errno::EIO)?);
        Ok(())
    }
}

/// Appends superblock and tree as `veritysetup` does.
fn protect(mut image: Vec<u8>) -> (Vec<u8>, Parameters) {
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
    (
        image,
        Parameters {
            data_size_bytes,
            tree_offset_bytes,
            root_hash,
        },
    )
}

fn read_everything(root: &Arc<dyn Inode>) -> Result<Vec<u8>, Errno> {
    let mut all = Vec::new();
    for (name, _) in list(root)? {
        let file = root.lookup(Name::new(&name)?)?;
        all.extend(name);
        all.extend(read(&file, 50_000)?);
    }
    Ok(all)
}

#[test]
fn a_bit_flipped_anywhere_is_an_error_and_a_line_in_the_log() {
    let tree = tempfile::tempdir().expect("tree");
    for index in 0..40 {
        let size = index * 3001 % 40_000;
        fs::write(
            tree.path().join(format!("file{index}")),
            vec![index as u8; size],
        )
        .expect("file");
    }
    let Some(image) = Maker::Mkfs(&["-x-1", "-T0"]).pack(tree.path()) else {
        return;
    };
    let (image, parameters) = protect(image);
    let data_size = parameters.data_size_bytes as usize;

    let mount = |image: Vec<u8>| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let reporter = || {
            let log = log.clone();
            Box::new(move |what: &dyn Display| log.lock().expect("log").push(what.to_string()))
        };
        let host = Host(Arc::new(Mutex::new(image)));
        let source = Verified::new(host, &parameters, 1 << 20, reporter()).expect("parameters");
        let mounted = Erofs::mount(Box::new(source), 1 << 20, reporter());
        (mounted, log)
    };

    let (mounted, _) = mount(image.clone());
    let content = read_everything(&mounted.expect("mounts").root()).expect("content");
    assert!(content.len() > 400_000);

    let mut errors = 0;
    for block in 0..image.len() / BLOCK {
        let mut altered = image.clone();
        altered[block * BLOCK + block % BLOCK] ^= 1 << (block % 8);
        let (mounted, log) = mount(altered);
        let read = mounted
            .map_err(|_| Errno::EIO)
            .and_then(|it| read_everything(&it.root()));
        let log = log.lock().expect("log");
        match read {
            Ok(read) => assert!(read == content && log.is_empty(), "block {block}"),
            Err(error) => {
                assert_eq!(error, Errno::EIO, "block {block}");
                assert!(
                    log.iter().any(|line| line.contains("was altered")),
                    "{log:?}"
                );
                errors += 1;
            }
        }
    }
    // All but the verity superblock and blocks that no file uses.
    assert!(
        errors >= data_size / BLOCK - 2,
        "{errors} of {} blocks",
        image.len() / BLOCK
    );
}
