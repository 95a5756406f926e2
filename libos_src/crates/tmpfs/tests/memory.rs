//! The limit, and what outlives a name.

use std::sync::Arc;

use proptest::prelude::*;
use tmpfs::TmpFs;
use vfs::{
    ATTRIBUTE_LIST_MAX_BYTES, AttributeSet, Clock, Errno, FileSystem, FileType, Mode, Name,
    NewNode, RenameFlags, SinkState, Timestamp,
};

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

fn file_system(limit_bytes: u64) -> Arc<TmpFs> {
    TmpFs::new(limit_bytes, Mode::from_low_bits(0o1777), Arc::new(Stopped)).expect("root")
}

fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).expect("name")
}

fn node(kind: FileType) -> NewNode<'static> {
    NewNode {
        kind,
        mode: Mode::from_low_bits(0o644),
        user: 0,
        group: 0,
        represents: vfs::DeviceNumber::default(),
        link_target: b"",
    }
}

#[test]
fn a_write_beyond_the_limit_is_cut_and_then_refused() {
    let tmpfs = file_system(64 << 10);
    let root = tmpfs.root();
    let file = root
        .create(name("file"), &node(FileType::Regular))
        .expect("file");
    let written = file.write_at(0, &vec![1; 1 << 20]).expect("some room");
    assert!((56 << 10..64 << 10).contains(&written), "{written}");
    assert_eq!(written % 4096, 0);
    assert_eq!(file.write_at(written as u64, b"x"), Err(Errno::ENOSPC));
    assert_eq!(
        file.write_at(0, b"over"),
        Ok(4),
        "what is there can be overwritten"
    );
    file.truncate(0).expect("truncate");
    assert_eq!(file.write_at(0, b"x"), Ok(1));
}

/// Writes to the file that it is given the bytes of, as a program may whose buffer is a mapping of it.
struct Changing {
    file: Arc<dyn vfs::Inode>,
    taken: Vec<u8>,
}

impl vfs::Sink for Changing {
    fn room_bytes(&self) -> usize {
        30_000 - self.taken.len()
    }

    fn check(&self) -> vfs::Result<()> {
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> vfs::Result<()> {
        self.file.write_at(0, &[9; 20_000]).expect("room");
        self.taken.extend_from_slice(bytes);
        Ok(())
    }
}

#[test]
fn a_reader_gets_the_pages_of_one_moment_and_nobody_waits_for_it() {
    let tmpfs = file_system(1 << 20);
    let root = tmpfs.root();
    let file = root
        .create(name("file"), &node(FileType::Regular))
        .expect("file");
    file.write_at(0, &[1; 20_000]).expect("room");
    let mut sink = Changing {
        file: file.clone(),
        taken: Vec::new(),
    };

    assert_eq!(file.read_to(0, &mut sink), Ok(20_000));

    assert!(sink.taken.iter().all(|&byte| byte == 1));
    let mut now = [0; 20_000];
    assert_eq!(file.read_at(0, &mut now), Ok(20_000));
    assert!(now.iter().all(|&byte| byte == 9));
}

/// Takes some bytes and then no more.
struct Refusing(usize);

impl vfs::Sink for Refusing {
    fn room_bytes(&self) -> usize {
        usize::MAX
    }

    fn check(&self) -> vfs::Result<()> {
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> vfs::Result<()> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(Errno::EFAULT)?;
        Ok(())
    }
}

#[test]
fn a_reader_keeps_what_it_had_before_it_faulted() {
    let root = file_system(1 << 20).root();
    let file = root
        .create(name("file"), &node(FileType::Regular))
        .expect("file");
    assert_eq!(file.write_at(0, &[1; 20_000]), Ok(20_000));
    assert_eq!(file.read_to(96, &mut Refusing(0)), Err(Errno::EFAULT));
    assert_eq!(file.read_to(96, &mut Refusing(10_000)), Ok(8096));
    assert_eq!(file.read_to(96, &mut Refusing(30_000)), Ok(19_904));
    assert_eq!(file.read_to(20_000, &mut Refusing(0)), Ok(0));
}

#[test]
fn names_and_empty_files_count() {
    let tmpfs = file_system(1 << 20);
    let root = tmpfs.root();
    let made = (0..)
        .map(|index| format!("{index}"))
        .find(|text| root.create(name(text), &node(FileType::Regular)).is_err());
    let made: u64 = made.expect("the limit").parse().expect("number");
    assert!((1000..2000).contains(&made), "{made} empty files in 1 MiB");
    assert_eq!(tmpfs.statistics().expect("statistics").blocks_free, 0);
    root.rename(name("0"), &root, name("x"), RenameFlags::default())
        .expect("same length");
    let mut longer = ["1", "2"].map(|short| {
        root.rename(
            name(short),
            &root,
            name(&short.repeat(255)),
            Default::default(),
        )
    });
    longer.sort_by_key(Result::is_err);
    assert_eq!(longer[1], Err(Errno::ENOSPC), "less than one inode is left");
}

#[test]
fn a_file_without_names_lives_while_it_is_used_and_gives_its_memory_back() {
    let tmpfs = file_system(1 << 20);
    let before = tmpfs.used_bytes();
    let root = tmpfs.root();
    let file = root
        .create(name("file"), &node(FileType::Regular))
        .expect("file");
    file.write_at(0, &[7; 10_000]).expect("write");
    root.unlink(name("file")).expect("unlink");
    assert_eq!(file.metadata().expect("metadata").link_count, 0);
    let mut content = [0; 10_000];
    assert_eq!(file.read_at(0, &mut content), Ok(10_000));
    assert!(content.iter().all(|byte| *byte == 7));
    assert_eq!(root.link(name("again"), &file), Err(Errno::ENOENT));
    assert!(tmpfs.used_bytes() > before);
    drop(file);
    assert_eq!(tmpfs.used_bytes(), before);
}

#[test]
fn a_hole_takes_no_memory_and_reads_as_zeros() {
    let tmpfs = file_system(64 << 10);
    let file = tmpfs
        .root()
        .create(name("file"), &node(FileType::Regular))
        .expect("file");
    let far = 1_u64 << 40;
    file.write_at(far, b"end").expect("write");
    let metadata = file.metadata().expect("metadata");
    assert_eq!((metadata.size_bytes, metadata.blocks_512), (far + 3, 8));
    let mut bytes = [9; 10];
    assert_eq!(file.read_at(far - 7, &mut bytes), Ok(10));
    assert_eq!(&bytes, b"\0\0\0\0\0\0\0end");
    assert_eq!(file.truncate(u64::MAX), Err(Errno::EFBIG));
    assert_eq!(file.write_at(i64::MAX as u64, b"xy"), Err(Errno::EFBIG));
}

#[test]
fn bytes_cut_off_do_not_come_back() {
    let tmpfs = file_system(64 << 10);
    let file = tmpfs
        .root()
        .create(name("file"), &node(FileType::Regular))
        .expect("file");
    file.write_at(0, &[7; 5000]).expect("write");
    file.truncate(10).expect("shrink");
    file.truncate(5000).expect("grow");
    let mut content = [9; 5000];
    assert_eq!(file.read_at(0, &mut content), Ok(5000));
    assert!(content[..10].iter().all(|byte| *byte == 7));
    assert!(content[10..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_scan_ends_even_if_each_step_adds_or_renames() {
    let tmpfs = file_system(1 << 20);
    let root = tmpfs.root();
    for index in 0..10 {
        root.create(name(&format!("old{index}")), &node(FileType::Regular))
            .expect("file");
    }
    let mut seen = Vec::new();
    let mut cookie = 0;
    loop {
        let mut next = None;
        root.read_directory(cookie, &mut |entry| {
            if next.is_some() {
                return SinkState::Full;
            }
            next = Some((
                String::from_utf8_lossy(entry.name).into_owned(),
                entry.next_cookie,
            ));
            SinkState::Taken
        })
        .expect("entries");
        let Some((entry, after)) = next else { break };
        assert!(seen.len() < 100, "the scan does not end");
        root.create(
            name(&format!("new{}", seen.len())),
            &node(FileType::Regular),
        )
        .expect("file");
        let renamed = format!("{entry}.bak");
        root.rename(name(&entry), &root, name(&renamed), Default::default())
            .expect("rename");
        seen.push(entry);
        cookie = after;
    }
    seen.sort();
    assert_eq!(
        seen,
        (0..10)
            .map(|index| format!("old{index}"))
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_very_deep_tree_is_freed_without_recursion() {
    let tmpfs = file_system(1 << 30);
    let mut here = tmpfs.root();
    for _ in 0..200_000 {
        here = here
            .create(name("d"), &node(FileType::Directory))
            .expect("directory");
    }
    drop(here);
    drop(tmpfs);
}

#[test]
fn a_directory_cannot_be_moved_into_itself_even_without_a_viewpoint() {
    let tmpfs = file_system(1 << 20);
    let root = tmpfs.root();
    let outer = root
        .create(name("outer"), &node(FileType::Directory))
        .expect("directory");
    let inner = outer
        .create(name("inner"), &node(FileType::Directory))
        .expect("directory");
    let result = root.rename(name("outer"), &inner, name("x"), Default::default());
    assert_eq!(result, Err(Errno::EINVAL));
    outer.remove_directory(name("inner")).expect("rmdir");
    let result = inner.create(name("late"), &node(FileType::Regular));
    assert_eq!(
        result.map(|_| ()),
        Err(Errno::ENOENT),
        "a removed directory takes no files"
    );
}

proptest! {
    /// A file is an array of bytes.
    #[test]
    fn content_is_what_was_written(
        steps in prop::collection::vec((0..3_u8, 0..20_000_u64, 0..9_000_usize), 1..30),
    ) {
        let tmpfs = file_system(1 << 20);
        let root_only = tmpfs.used_bytes();
        let root = tmpfs.root();
        let file = root.create(name("file"), &node(FileType::Regular)).expect("file");
        let mut model: Vec<u8> = Vec::new();
        for (step, (kind, offset, length)) in steps.into_iter().enumerate() {
            let data = vec![step as u8 + 1; length];
            match kind {
                0 if length > 0 => {
                    prop_assert_eq!(file.write_at(offset, &data), Ok(length));
                    let end = offset as usize + length;
                    model.resize(model.len().max(end), 0);
                    model[offset as usize..end].copy_from_slice(&data);
                }
                1 => {
                    file.truncate(offset).expect("truncate");
                    model.resize(offset as usize, 0);
                }
                _ => {
                    model.extend(&data);
                    prop_assert_eq!(file.append(&data), Ok((model.len() as u64, length)));
                }
            }
            let mut content = vec![0; model.len() + 1];
            prop_assert_eq!(file.read_at(0, &mut content), Ok(model.len()));
            let mut same = vec![0; content.len()];
            prop_assert_eq!(file.read_to(0, &mut same.as_mut_slice()), Ok(model.len()));
            prop_assert_eq!(&same, &content);
            prop_assert!(content[..model.len()] == model[..]);
        }
        root.unlink(name("file")).expect("unlink");
        drop(file);
        prop_assert_eq!(tmpfs.used_bytes(), root_only);
    }
}

#[test]
fn a_rename_leaves_a_whiteout_where_it_is_asked_to_and_what_that_takes_is_given_back() {
    let tmpfs = file_system(64 << 10);
    let root = tmpfs.root();
    let empty = tmpfs.used_bytes();
    root.create(name("one"), &node(FileType::Regular))
        .expect("file");
    let whiteout = RenameFlags::WHITEOUT;
    for target in ["other", "third"] {
        root.rename(name("one"), &root, name(target), whiteout)
            .expect("renamed");
        let left = root.lookup(name("one")).expect("left behind");
        let metadata = left.metadata().expect("metadata");
        assert_eq!(metadata.kind, FileType::CharacterDevice);
        assert_eq!(metadata.represents, vfs::DeviceNumber::default());
        assert_eq!((metadata.mode, metadata.link_count), (Mode::empty(), 1));
    }
    root.rename(name("one"), &root, name("other"), whiteout)
        .expect("over what is there");
    for victim in ["one", "other", "third"] {
        root.unlink(name(victim)).expect(victim);
    }
    assert_eq!(tmpfs.used_bytes(), empty);
}

#[test]
fn a_file_has_no_more_attributes_than_a_list_of_them_may_be_long() {
    let tmpfs = file_system(16 << 20);
    let root = tmpfs.root();
    let set = |name: &str, set| root.set_extended_attribute(name.as_bytes(), b"", set);
    let full =
        (0..1 << 20).find(|index| set(&format!("user.{index}"), AttributeSet::Create).is_err());
    let full = format!("user.{}", full.expect("an end"));

    assert_eq!(set(&full, AttributeSet::Always), Err(Errno::ENOSPC));
    assert_eq!(set("user.0", AttributeSet::Replace), Ok(()));
    let names = root.extended_attributes().expect("names");
    let list_bytes: usize = names.iter().map(|name| name.len() + 1).sum();
    assert!((60_000..=ATTRIBUTE_LIST_MAX_BYTES).contains(&list_bytes));
    root.remove_extended_attribute(b"user.0").expect("there");
    root.remove_extended_attribute(b"user.1").expect("there");
    assert_eq!(set(&full, AttributeSet::Create), Ok(()));
}
