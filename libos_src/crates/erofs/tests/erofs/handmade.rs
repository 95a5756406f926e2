//! An image written field by field from `fs/erofs/erofs_fs.h`, and what happens when one field says
//! something that no tool would write.

use std::sync::Arc;

use erofs::Erofs;
use vfs::{Errno, FileSystem, Inode, Name};

use crate::support::{BLOCK, Unverified, list, read, silent};

const SUPER_BLOCK: usize = 1024;
const ROOT: usize = 2048;
const FILE: usize = 2560;
const INODE_BYTES: usize = 32;
const FLAT_PLAIN: u16 = 0;
const FLAT_INLINE: u16 = 2 << 1;

/// Two blocks: superblock, a root with the one entry `f`, the file's inode; then a block of data.
struct Image(Vec<u8>);

impl Image {
    fn new() -> Self {
        let mut image = Self(vec![0; 2 * BLOCK]);
        image.put(SUPER_BLOCK, &0xe0f5_e1e2_u32.to_le_bytes());
        image.put(SUPER_BLOCK + 12, &[12]);
        image.put(
            SUPER_BLOCK + 14,
            &((ROOT / INODE_BYTES) as u16).to_le_bytes(),
        );
        image.put(SUPER_BLOCK + 36, &2_u32.to_le_bytes());
        image.inode(ROOT, FLAT_INLINE, 0o040_755, 40, 0);
        let file = (FILE / INODE_BYTES) as u64;
        let root = (ROOT / INODE_BYTES) as u64;
        let entries = [(root, 36_u16, 2), (root, 37, 2), (file, 39, 1)];
        for (index, (inode, name_offset, kind)) in entries.into_iter().enumerate() {
            let at = ROOT + INODE_BYTES + 12 * index;
            image.put(at, &inode.to_le_bytes());
            image.put(at + 8, &name_offset.to_le_bytes());
            image.put(at + 10, &[kind]);
        }
        image.put(ROOT + INODE_BYTES + 36, b"...f");
        image.inode(FILE, FLAT_INLINE, 0o100_644, 5, 0);
        image.put(FILE + INODE_BYTES, b"hello");
        image.put(BLOCK, &[b'd'; BLOCK]);
        image
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// A compact inode.
    fn inode(&mut self, at: usize, format: u16, mode: u16, size: u32, block: u32) {
        self.put(at, &format.to_le_bytes());
        self.put(at + 4, &mode.to_le_bytes());
        self.put(at + 6, &1_u16.to_le_bytes());
        self.put(at + 8, &size.to_le_bytes());
        self.put(at + 16, &block.to_le_bytes());
    }

    /// The content of `f`.
    fn content(self) -> Result<Vec<u8>, Errno> {
        read(&self.root().lookup(Name::new(b"f")?)?, 100)
    }

    fn root(self) -> Arc<dyn Inode> {
        Erofs::mount(Box::new(Unverified(self.0)), BLOCK, silent())
            .expect("mounts")
            .root()
    }
}

/// The content of `f` when it has this inode.
fn with_file(format: u16, size: u32, block: u32) -> Result<Vec<u8>, Errno> {
    let mut image = Image::new();
    image.inode(FILE, format, 0o100_644, size, block);
    image.content()
}

#[test]
fn the_image_is_sound_as_it_is() {
    let root = Image::new().root();
    assert_eq!(
        list(&root).expect("entries"),
        [(b"f".to_vec(), vfs::FileType::Regular)]
    );
    assert_eq!(Image::new().content(), Ok(b"hello".to_vec()));
    assert_eq!(with_file(FLAT_PLAIN, 5, 1), Ok(b"ddddd".to_vec()));
}

#[test]
fn extended_attributes_are_stepped_over() {
    let mut image = Image::new();
    // An attribute area of 12 bytes and two more words.
    image.put(FILE + 2, &3_u16.to_le_bytes());
    image.put(FILE + INODE_BYTES + 20, b"shift");
    assert_eq!(image.content(), Ok(b"shift".to_vec()));
}

#[test]
fn a_tail_that_leaves_its_block_is_an_error() {
    let room = (BLOCK - FILE - INODE_BYTES) as u32;
    assert_eq!(
        with_file(FLAT_INLINE, room, 0).map(|content| content.len()),
        Ok(room as usize)
    );
    assert_eq!(with_file(FLAT_INLINE, room + 1, 0), Err(Errno::EIO));
    assert_eq!(with_file(FLAT_INLINE, BLOCK as u32, 1), Err(Errno::EIO));
    let tail_behind_block = with_file(FLAT_INLINE, BLOCK as u32 + 5, 1).expect("content");
    assert_eq!(tail_behind_block[..BLOCK], [b'd'; BLOCK]);
    assert_eq!(&tail_behind_block[BLOCK..], b"hello");
}

#[test]
fn content_outside_of_the_image_is_an_error() {
    assert_eq!(with_file(FLAT_PLAIN, BLOCK as u32 + 1, 1), Err(Errno::EIO));
    assert_eq!(with_file(FLAT_PLAIN, 1, 2), Err(Errno::EIO));
    assert_eq!(with_file(FLAT_PLAIN, 1, u32::MAX), Err(Errno::EIO));
    assert_eq!(with_file(FLAT_PLAIN, u32::MAX, 0), Err(Errno::EIO));
    assert_eq!(with_file(FLAT_PLAIN, 0, u32::MAX), Ok(Vec::new()));
}

#[test]
fn layouts_that_are_not_supported_are_an_error() {
    for layout in [1, 3, 4, 5, 6, 7, 8] {
        assert_eq!(
            with_file(layout << 1, 5, 1),
            Err(Errno::EIO),
            "layout {layout}"
        );
    }
    let mut image = Image::new();
    image.put(FILE + 4, &0o170_644_u16.to_le_bytes());
    assert_eq!(
        image.content(),
        Err(Errno::EIO),
        "a kind of file that there is not"
    );
}

#[test]
fn names_that_are_no_names_are_an_error() {
    let entries = ROOT + INODE_BYTES;
    let cases: [(usize, &[u8], &str); 8] = [
        (entries + 8, &[0, 0], "names before all entries"),
        (entries + 8, &[35, 0], "names at no multiple of an entry"),
        (entries + 8, &[0xfc, 0x0f], "names behind the directory"),
        (entries + 32, &[35, 0], "a name in the entries"),
        (entries + 32, &[38, 0], "a name over another one's end"),
        (entries + 32, &[41, 0], "a name behind the directory"),
        (entries + 39, b"/", "a name with a slash"),
        (entries + 39, &[0], "an empty name"),
    ];
    for (at, bytes, what) in cases {
        let mut image = Image::new();
        // The spare byte of the last entry, which would do as a part of a name.
        image.put(entries + 35, b"x");
        image.put(at, bytes);
        let entries = list(&image.root());
        let is_other_name = what.contains("over another") && entries.is_ok();
        assert!(
            entries == Err(Errno::EIO) || is_other_name,
            "{what}: {entries:?}"
        );
    }
}

#[test]
fn an_entry_without_an_inode_is_an_error() {
    for number in [u64::MAX, u64::MAX / 32, 2 * BLOCK as u64 / 32] {
        let mut image = Image::new();
        image.put(ROOT + INODE_BYTES + 24, &number.to_le_bytes());
        assert_eq!(image.content(), Err(Errno::EIO), "inode {number}");
    }
}
