//! Images of real tools, read back and compared with the directory they were made from.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Maker, assert_same, list, mount, set_mode};
use proptest::prelude::*;
use vfs::{Errno, FileSystem, Name, SinkState};

const MAKERS: [Maker; 3] = [Maker::Mkfs(&["-x-1", "-T0"]), Maker::Mkfs(&[]), Maker::Own];

fn check(tree: &Path) {
    for maker in MAKERS {
        if let Some(image) = maker.pack(tree) {
            assert_same(&mount(image), tree);
        }
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

#[test]
fn an_empty_root() {
    check(tempfile::tempdir().expect("tree").path());
}

#[test]
fn files_of_every_size_around_a_block() {
    let tree = tempfile::tempdir().expect("tree");
    let around_block = (4031..=4097).chain(8127..=8193);
    for size in (0..=1)
        .chain(around_block)
        .chain([65_535, 65_536, 65_537, 300_000])
    {
        fs::write(tree.path().join(size.to_string()), bytes(size)).expect("file");
    }
    check(tree.path());
}

#[test]
fn a_directory_over_many_blocks() {
    let tree = tempfile::tempdir().expect("tree");
    let long = "x".repeat(240);
    for index in 0..1500 {
        let name = if index % 3 == 0 {
            format!("{index}{long}")
        } else {
            index.to_string()
        };
        fs::write(tree.path().join(name), b"").expect("file");
    }
    check(tree.path());
    for maker in MAKERS {
        let Some(image) = maker.pack(tree.path()) else {
            continue;
        };
        let root = mount(image).root();
        for absent in ["", "0", "00", "15000", "A", "zzz", &long, "999x", "\u{ff}"] {
            let Ok(name) = Name::new(absent.as_bytes()) else {
                continue;
            };
            assert_eq!(
                root.lookup(name).map(|_| ()),
                Err(Errno::ENOENT),
                "{absent}"
            );
        }
    }
}

#[test]
fn links_modes_and_devices() {
    let tree = tempfile::tempdir().expect("tree");
    let at = |name: &str| tree.path().join(name);
    fs::create_dir_all(at("a/b/c")).expect("directories");
    fs::write(at("a/file"), bytes(5000)).expect("file");
    fs::hard_link(at("a/file"), at("a/b/same")).expect("link");
    symlink("../file", at("a/b/link")).expect("link");
    symlink("x".repeat(4095), at("longest")).expect("link");
    symlink("/nowhere", at("absolute")).expect("link");
    for mode in [0o000, 0o755, 0o4755, 0o2711, 0o644] {
        fs::write(at(&format!("mode{mode:o}")), b"x").expect("file");
        set_mode(&at(&format!("mode{mode:o}")), mode);
    }
    fs::create_dir(at("sticky")).expect("directory");
    set_mode(&at("sticky"), 0o1777);
    for (name, kind, major, minor) in [("null", "c", 1, 3), ("disk", "b", 259, 70_000)] {
        let numbers = [kind.to_string(), format!("{major}"), format!("{minor}")];
        let made = std::process::Command::new("mknod")
            .arg(at(name))
            .args(numbers)
            .output();
        if !made.is_ok_and(|output| output.status.success()) {
            println!("skipped: device {name}: mknod is not allowed here");
        }
    }
    check(tree.path());
}

#[test]
fn a_deep_tree() {
    let tree = tempfile::tempdir().expect("tree");
    let mut path = tree.path().to_path_buf();
    for depth in 0..200 {
        path.push(format!("d{depth}"));
    }
    fs::create_dir_all(&path).expect("directories");
    fs::write(path.join("bottom"), b"here").expect("file");
    check(tree.path());
}

#[test]
fn a_listing_in_steps_gives_each_entry_once() {
    let tree = tempfile::tempdir().expect("tree");
    for index in 0..700 {
        fs::write(tree.path().join(format!("entry{index}")), b"").expect("file");
    }
    for maker in MAKERS {
        let Some(image) = maker.pack(tree.path()) else {
            continue;
        };
        let root = mount(image).root();
        let whole = list(&root).expect("entries");
        let mut pieces = Vec::new();
        let mut cookie = 0;
        loop {
            let mut left = 7;
            let before = pieces.len();
            root.read_directory(cookie, &mut |entry| {
                if left == 0 {
                    return SinkState::Full;
                }
                left -= 1;
                cookie = entry.next_cookie;
                pieces.push((entry.name.to_vec(), entry.kind));
                SinkState::Taken
            })
            .expect("entries");
            if pieces.len() == before {
                break;
            }
        }
        assert_eq!(pieces, whole);
        for nonsense in [1, 11, 4095, 1 << 40, u64::MAX] {
            let result = root.read_directory(nonsense, &mut |_| SinkState::Taken);
            assert_eq!(result, Ok(()), "cookie {nonsense}");
        }
    }
}

/// `mkfs.erofs` 1.5 cannot pack a name of 255 bytes.
#[test]
fn the_longest_name() {
    let tree = tempfile::tempdir().expect("tree");
    fs::write(tree.path().join("n".repeat(255)), b"here").expect("file");
    if let Some(image) = Maker::Own.pack(tree.path()) {
        assert_same(&mount(image), tree.path());
    }
}

#[derive(Clone, Debug)]
enum Node {
    File(usize),
    Link(Vec<u8>),
    Directory(Vec<(Vec<u8>, Node)>),
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'a'), Just(b'.'), 1..=255_u8].prop_filter("slash", |b| *b != b'/');
    let length = prop_oneof![1..4_usize, 1..30_usize, 250..=254_usize];
    length
        .prop_flat_map(move |length| prop::collection::vec(byte.clone(), length))
        .prop_filter("dots", |name| Name::new(name).is_ok())
}

fn trees() -> impl Strategy<Value = Node> {
    let size = prop_oneof![
        0..40_usize,
        4000..4100_usize,
        Just(4096_usize),
        8180..8200_usize,
        0..100_000_usize
    ];
    let target = prop::collection::vec(1..=255_u8, 1..200);
    let leaf = prop_oneof![3 => size.prop_map(Node::File), 1 => target.prop_map(Node::Link)];
    let inner = leaf.prop_recursive(6, 120, 40, |inner| {
        prop::collection::vec((names(), inner), 0..40).prop_map(Node::Directory)
    });
    prop::collection::vec((names(), inner), 0..40).prop_map(Node::Directory)
}

fn plant(node: &Node, path: &Path) {
    match node {
        Node::File(size) => fs::write(path, bytes(*size)).expect("file"),
        Node::Link(target) => symlink(OsStr::from_bytes(target), path).expect("link"),
        Node::Directory(entries) => {
            if !path.exists() {
                fs::create_dir(path).expect("directory");
            }
            for (name, entry) in entries {
                let place = path.join(OsStr::from_bytes(name));
                if place.symlink_metadata().is_err() {
                    plant(entry, &place);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, ..Default::default() })]

    #[test]
    fn any_tree_reads_back_as_it_was(tree in trees()) {
        let root = tempfile::tempdir().expect("tree");
        plant(&tree, root.path());
        check(root.path());
    }
}
