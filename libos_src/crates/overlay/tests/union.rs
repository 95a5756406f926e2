//! What a union does besides looking like one file system.

use std::collections::BTreeSet;
use std::sync::Arc;

use overlay::OverlayFs;
use tmpfs::TmpFs;
use vfs::{
    AttributeChange, Clock, ContentId, DeviceNumber, Errno, FileSystem, FileType, Follow, Inode,
    Metadata, Mode, MountFlags, Name, Namespace, OpenFlags, RenameFlags, SinkState, Statistics,
    Timestamp, Viewpoint,
};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp {
            seconds: 43_200,
            nanoseconds: 0,
        }
    }
}

fn mode(bits: u32) -> Mode {
    Mode::from_low_bits(bits)
}

fn tmpfs(limit_bytes: u64) -> Arc<TmpFs> {
    TmpFs::new(limit_bytes, mode(0o755), Arc::new(Noon)).expect("room")
}

fn view(root: Arc<dyn FileSystem>) -> Viewpoint {
    Viewpoint::new(Namespace::new(root, MountFlags::default()).expect("namespace"))
}

fn write(view: &Viewpoint, path: &str, content: &[u8]) -> Result<usize, Errno> {
    let flags = OpenFlags::CREATE | OpenFlags::WRITE_ONLY;
    view.open(None, path.as_bytes(), flags, mode(0o644))?
        .write(content)
}

fn read(view: &Viewpoint, path: &str) -> Result<Vec<u8>, Errno> {
    let file = view.open(None, path.as_bytes(), OpenFlags::empty(), mode(0))?;
    let mut content = vec![0; 1 << 20];
    let count = file.read(&mut content)?;
    content.truncate(count);
    Ok(content)
}

fn inode(view: &Viewpoint, path: &str) -> u64 {
    let place = view.resolve(None, path.as_bytes(), Follow::No);
    place.expect(path).metadata().expect("metadata").inode
}

/// A union over `/file` of 256 KiB, its other name `/link`, `/directory/{a,b,c}` and `/empty`.
struct Union {
    upper: Arc<TmpFs>,
    view: Viewpoint,
}

const BIG: usize = 256 << 10;

fn union(limit_bytes: u64) -> Union {
    let lower = tmpfs(16 << 20);
    let below = view(lower.clone());
    write(&below, "/file", &[7; BIG]).expect("file");
    let file = below.resolve(None, b"/file", Follow::No).expect("file");
    below.link(&file, None, b"/link").expect("link");
    for path in ["/directory", "/empty"] {
        let made = below.make_directory(None, path.as_bytes(), mode(0o755));
        made.expect(path);
    }
    for path in ["/directory/a", "/directory/b", "/directory/c"] {
        write(&below, path, path.as_bytes()).expect(path);
    }
    let lower: Arc<dyn FileSystem> = lower;
    let upper = tmpfs(limit_bytes);
    let root = OverlayFs::new(&lower, upper.clone()).expect("union");
    Union {
        upper,
        view: view(root),
    }
}

fn names(view: &Viewpoint, path: &str) -> BTreeSet<Vec<u8>> {
    let directory = OpenFlags::DIRECTORY;
    let file = view.open(None, path.as_bytes(), directory, mode(0));
    let mut names = BTreeSet::new();
    let mut add = |entry: &vfs::DirectoryEntry<'_>| {
        assert!(names.insert(entry.name.to_vec()), "an entry came twice");
        SinkState::Taken
    };
    file.expect(path).read_directory(&mut add).expect(path);
    names
}

#[test]
fn attributes_and_names_are_changed_without_the_content() {
    let Union { upper, view } = union(1 << 20);
    let file = view.resolve(None, b"/file", Follow::No).expect("file");
    let change = AttributeChange {
        mode: Some(mode(0o600)),
        ..AttributeChange::default()
    };
    view.set_attributes(&file, &change).expect("chmod");
    view.rename(None, b"/file", None, b"/moved", RenameFlags::empty())
        .expect("rename");

    assert!(upper.used_bytes() < 8192, "{}", upper.used_bytes());
    assert_eq!(read(&view, "/moved"), Ok(vec![7; BIG]));
    assert_eq!(file.metadata().expect("metadata").blocks_512, 0);
    view.truncate(&file, 10).expect("truncate");
    assert!(upper.used_bytes() < 2 * 8192, "{}", upper.used_bytes());
    assert_eq!(read(&view, "/moved"), Ok(vec![7; 10]));
}

#[test]
fn opening_for_writing_copies_nothing_and_the_first_byte_copies_all() {
    let Union { upper, view } = union(1 << 20);
    let before = upper.used_bytes();
    let flags = OpenFlags::READ_WRITE;
    let writer = view.open(None, b"/file", flags, mode(0)).expect("file");
    let flags = OpenFlags::empty();
    let reader = view.open(None, b"/file", flags, mode(0)).expect("file");
    assert_eq!(upper.used_bytes(), before);

    assert_eq!(writer.write_at(1, b"!"), Ok(1));

    assert!(upper.used_bytes() >= BIG as u64);
    let mut bytes = [0; 3];
    assert_eq!(reader.read_at(0, &mut bytes), Ok(3));
    assert_eq!(bytes, [7, b'!', 7]);
}

#[test]
fn a_copy_that_finds_no_room_leaves_everything_as_it_was() {
    let Union { upper, view } = union(128 << 10);

    assert_eq!(write(&view, "/file", b"x"), Err(Errno::ENOSPC));

    assert_eq!(read(&view, "/file"), Ok(vec![7; BIG]));
    assert!(upper.used_bytes() < 16 << 10, "{}", upper.used_bytes());
    assert_eq!(write(&view, "/small", b"x"), Ok(1));
}

#[test]
fn a_change_that_finds_no_room_changes_nothing() {
    // Every limit up to one that is enough: the change fails at each of its steps once.
    type Change = fn(&Viewpoint) -> Result<(), Errno>;
    let changes: [Change; 4] = [
        |view| view.unlink(None, b"/directory/a"),
        |view| {
            view.rename(
                None,
                b"/directory",
                None,
                b"/a-longer-name",
                RenameFlags::empty(),
            )
        },
        |view| view.rename(None, b"/directory", None, b"/empty", RenameFlags::EXCHANGE),
        |view| {
            let file = view.resolve(None, b"/file", Follow::No)?;
            view.link(&file, None, b"/directory/d")
        },
    ];
    for change in changes {
        let least = union(1 << 20).upper.used_bytes();
        let enough = (least..).step_by(16).find(|limit| {
            let Union { view, .. } = union(*limit);
            let all = ["/", "/directory", "/empty"];
            let before = all.map(|path| names(&view, path));
            if change(&view).is_ok() {
                return true;
            }
            assert_eq!(all.map(|path| names(&view, path)), before, "at {limit}");
            for path in ["/directory/a", "/directory/b"] {
                assert_eq!(read(&view, path), Ok(path.as_bytes().to_vec()));
            }
            false
        });
        assert!(enough.is_some_and(|limit| limit > least));
    }
}

#[test]
fn hard_links_of_the_lower_file_system_stay_links() {
    let Union { view, .. } = union(1 << 20);
    let place = |path: &[u8]| view.resolve(None, path, Follow::No).expect("place");
    let links = |path: &[u8]| place(path).metadata().expect("metadata").link_count;
    assert_eq!(write(&view, "/file", b"new"), Ok(3));

    assert_eq!(read(&view, "/link").expect("link")[..4], *b"new\x07");
    assert_eq!(inode(&view, "/link"), inode(&view, "/file"));
    assert_eq!((links(b"/file"), links(b"/link")), (2, 2));
    view.link(&place(b"/link"), None, b"/third").expect("link");
    assert_eq!(links(b"/file"), 3);
    view.unlink(None, b"/link").expect("unlink");
    view.unlink(None, b"/file").expect("unlink");
    assert_eq!(links(b"/third"), 1);
    assert_eq!(read(&view, "/third").expect("third")[..4], *b"new\x07");
}

#[test]
fn inode_numbers_stay_and_listings_agree_with_them() {
    let Union { view, .. } = union(1 << 20);
    let (file, directory) = (inode(&view, "/file"), inode(&view, "/directory"));
    write(&view, "/file", b"x").expect("write");
    write(&view, "/directory/a", b"x").expect("write");
    write(&view, "/new", b"x").expect("write");
    let flags = RenameFlags::empty();
    view.rename(None, b"/directory", None, b"/moved", flags)
        .expect("rename");

    assert_eq!(inode(&view, "/file"), file);
    assert_eq!(inode(&view, "/moved"), directory);
    let directory = OpenFlags::DIRECTORY;
    let root = view.open(None, b"/", directory, mode(0)).expect("root");
    let mut listed = Vec::new();
    root.read_directory(&mut |entry| {
        listed.push((
            String::from_utf8_lossy(entry.name).into_owned(),
            entry.inode,
        ));
        SinkState::Taken
    })
    .expect("listing");
    for (name, number) in listed.iter().filter(|(name, _)| !name.starts_with('.')) {
        assert_eq!(inode(&view, &format!("/{name}")), *number, "{name}");
    }
}

#[test]
fn an_entry_that_stays_is_listed_once_whatever_happens_meanwhile() {
    let Union { view, .. } = union(1 << 20);
    write(&view, "/directory/new", b"").expect("write");
    let flags = OpenFlags::DIRECTORY;
    let directory = view.open(None, b"/directory", flags, mode(0));
    let directory = directory.expect("directory");
    let mut seen = Vec::new();
    for round in 0.. {
        let before = seen.len();
        directory
            .read_directory(&mut |entry| {
                if seen.len() > before {
                    return SinkState::Full;
                }
                seen.push(String::from_utf8_lossy(entry.name).into_owned());
                SinkState::Taken
            })
            .expect("entry");
        if seen.len() == before {
            break;
        }
        // Copies up what comes next, what came already, and adds something.
        for name in ["a", "b", "c"] {
            write(&view, &format!("/directory/{name}"), b"!").expect("write");
        }
        write(&view, &format!("/directory/{round}"), b"").expect("write");
    }
    for name in ["a", "b", "c", "new"] {
        assert_eq!(seen.iter().filter(|one| *one == name).count(), 1, "{name}");
    }
}

#[test]
fn the_marks_of_the_upper_file_system_cannot_be_made_or_seen_from_outside() {
    let Union { view, .. } = union(1 << 20);
    let device = FileType::CharacterDevice;
    let made = view.make_node(None, b"/x", device, mode(0o600), DeviceNumber::new(0, 0));
    assert_eq!(made.err(), Some(Errno::EPERM));
    view.unlink(None, b"/file").expect("unlink");
    assert_eq!(read(&view, "/file"), Err(Errno::ENOENT));
    write(&view, "/directory/a", b"x").expect("write");

    let place = view.resolve(None, b"/directory/a", Follow::No).expect("a");
    assert_eq!(view.extended_attributes(&place), Ok(Vec::new()));
    assert_eq!(
        view.extended_attribute(&place, b"trusted.overlay.origin"),
        Err(Errno::EOPNOTSUPP)
    );
    assert!(!names(&view, "/").contains(&b"work"[..]));
}

#[test]
fn a_file_that_lost_its_name_can_be_written_by_whoever_has_it_open() {
    let Union { view, .. } = union(1 << 20);
    let flags = OpenFlags::READ_WRITE;
    let file = view.open(None, b"/directory/a", flags, mode(0)).expect("a");
    view.unlink(None, b"/directory/a").expect("unlink");

    assert_eq!(file.write_at(0, b"!"), Ok(1));
    let mut content = [0; 12];
    assert_eq!(file.read_at(0, &mut content), Ok(12));
    assert_eq!(&content, b"!directory/a");
    assert_eq!(file.metadata().expect("metadata").link_count, 0);
    assert_eq!(read(&view, "/directory/a"), Err(Errno::ENOENT));
}

/// Files that never change, made of those of another file system.
struct Verified(Arc<dyn Inode>);

impl FileSystem for Verified {
    fn type_name(&self) -> &'static str {
        "verified"
    }

    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(Self(self.0.clone()))
    }

    fn statistics(&self) -> Result<Statistics, Errno> {
        Err(Errno::ENOSYS)
    }
}

impl Inode for Verified {
    fn kind(&self) -> FileType {
        self.0.kind()
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.0.metadata()
    }

    fn content(&self) -> Option<ContentId> {
        let file = self.0.metadata().ok()?.inode;
        Some(ContentId { source: 7, file })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.0.read_at(offset, buffer)
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>, Errno> {
        Ok(Arc::new(Self(self.0.lookup(name)?)))
    }
}

#[test]
fn a_file_has_the_verified_content_until_it_is_written_to_and_never_again() {
    let lower = tmpfs(16 << 20);
    let below = view(lower.clone());
    write(&below, "/file", b"verified").expect("file");
    write(&below, "/other", b"verified").expect("file");
    let lower: Arc<dyn FileSystem> = Arc::new(Verified(lower.root()));
    let view = view(OverlayFs::new(&lower, tmpfs(1 << 20)).expect("union"));
    let content = |path: &str| {
        let found = view.resolve(None, path.as_bytes(), Follow::No);
        found.expect(path).inode().content()
    };

    let verified = content("/file");
    assert!(verified.is_some() && content("/other").is_some());
    assert_ne!(verified, content("/other"));
    let file = view.resolve(None, b"/file", Follow::No).expect("file");
    let change = AttributeChange {
        mode: Some(mode(0o700)),
        ..AttributeChange::default()
    };
    view.set_attributes(&file, &change).expect("chmod");
    assert_eq!(content("/file"), verified, "its content is the same");

    write(&view, "/file", b"x").expect("written");
    assert_eq!(content("/file"), None);
    write(&view, "/file", b"v").expect("written");
    assert_eq!(content("/file"), None, "who knows");
    assert_eq!(read(&view, "/file"), Ok(b"verified".to_vec()));
    view.rename(None, b"/file", None, b"/other", RenameFlags::empty())
        .expect("rename");
    assert_eq!(content("/other"), None);
}

#[test]
fn no_whiteout_is_made_in_a_union_nor_without_a_name_anything_that_had_one() {
    let Union { view, .. } = union(1 << 20);
    let whiteout = RenameFlags::WHITEOUT;
    assert_eq!(
        view.rename(None, b"/file", None, b"/moved", whiteout),
        Err(Errno::EINVAL)
    );
    let kind = FileType::CharacterDevice;
    let nothing = DeviceNumber::default();
    let made = view.make_node(None, b"/none", kind, mode(0), nothing);
    assert_eq!(made.map(drop), Err(Errno::EPERM));

    // What lost its names is not named again, though it was copied since.
    let flags = OpenFlags::READ_WRITE;
    let file = view.open(None, b"/file", flags, mode(0)).expect("there");
    for name in [&b"/file"[..], b"/link"] {
        view.unlink(None, name).expect("unlinked");
    }
    assert_eq!(file.write(b"text"), Ok(4));
    assert_eq!(
        view.link(file.location(), None, b"/again"),
        Err(Errno::ENOENT)
    );
}
