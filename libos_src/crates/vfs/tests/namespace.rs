//! Mounts, `..`, paths of places, rights, `/dev` and `/proc`, on real file systems.
//!
//! What single operations do on one file system is compared with Linux in the tests of `tmpfs`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use devfs::{DevFs, Random};
use procfs::{Number, ProcFs, ProcessPlace, ProcessText, Setting, Source, SystemText};
use support::{make_directories, make_file, mode, mount, place, tmpfs, view};
use vfs::{
    Access, Capabilities, Credentials, DeviceNumber, Errno, FileType, Follow, Inode, Location,
    Metadata, MountFlags, OpenFlags, RenameFlags, Restrictions, SeekFrom, SinkState, Viewpoint,
};

fn error(view: &Viewpoint, path: &str) -> Errno {
    view.resolve(None, path.as_bytes(), Follow::Yes)
        .expect_err(path)
}

fn path_of(view: &Viewpoint, location: &Location) -> String {
    String::from_utf8(view.path_of(location)).expect("text")
}

#[test]
fn a_mount_covers_its_point_and_dot_dot_leaves_it() {
    let view = view();
    make_directories(&view, &["/a", "/a/point", "/a/point/below"]);
    mount(&view, "/a/point", tmpfs());
    assert_eq!(error(&view, "/a/point/below"), Errno::ENOENT);
    make_directories(&view, &["/a/point/above"]);
    assert_eq!(
        path_of(&view, &place(&view, "/a/point/above")),
        "/a/point/above"
    );
    assert!(place(&view, "/a/point/..") == place(&view, "/a"));
    assert!(place(&view, "/a/point/above/../../point") == place(&view, "/a/point"));
    assert_ne!(
        place(&view, "/a/point").device(),
        place(&view, "/a").device()
    );

    let top = place(&view, "/a/point");
    view.namespace.unmount(&top).expect("unmount");
    assert!(view.resolve(None, b"/a/point/below", Follow::Yes).is_ok());
    assert_eq!(view.namespace.unmount(&top), Err(Errno::EINVAL));
    assert_eq!(
        view.namespace.unmount(&place(&view, "/")),
        Err(Errno::EBUSY)
    );
}

#[test]
fn a_restricted_resolution_stays_where_it_may() {
    let mut view = view();
    make_directories(
        &view,
        &[
            "/outer",
            "/outer/jail",
            "/outer/jail/sub",
            "/outer/jail/point",
        ],
    );
    make_file(&view, "/outer/jail/sub/file", b"in");
    make_file(&view, "/outer/secret", b"out");
    for (target, path) in [
        ("/outer/secret", "/outer/jail/absolute"),
        ("../../secret", "/outer/jail/sub/relative"),
        ("sub/file", "/outer/jail/inside"),
    ] {
        view.make_symlink(target.as_bytes(), None, path.as_bytes())
            .expect(path);
    }
    mount(&view, "/outer/jail/point", tmpfs());
    view.root = place(&view, "/outer/jail");
    view.working_directory = view.root.clone();
    let result = |restrictions, path: &str| {
        let view = Viewpoint {
            restrictions,
            ..view.clone()
        };
        let place = view.resolve(None, path.as_bytes(), Follow::Yes)?;
        Ok(path_of(&view, &place))
    };
    let file = || Ok("/sub/file".to_string());

    assert_eq!(result(Restrictions::BENEATH, "inside"), file());
    assert_eq!(result(Restrictions::BENEATH, "sub/../inside"), file());
    for path in ["/sub/file", "..", "sub/../..", "absolute", "sub/relative"] {
        let denied = result(Restrictions::BENEATH, path);
        assert_eq!(denied, Err(Errno::EXDEV), "{path}");
    }
    assert_eq!(result(Restrictions::IN_ROOT, "../../sub/file"), file());
    assert_eq!(
        result(Restrictions::IN_ROOT, "absolute"),
        Err(Errno::ENOENT)
    );
    assert_eq!(result(Restrictions::NO_LINKS, "inside"), Err(Errno::ELOOP));
    assert_eq!(result(Restrictions::NO_LINKS, "sub/file"), file());
    assert_eq!(result(Restrictions::ONE_MOUNT, "point"), Err(Errno::EXDEV));
    assert_eq!(result(Restrictions::ONE_MOUNT, "/sub/file"), file());
}

#[test]
fn the_newest_mount_is_on_top() {
    let view = view();
    make_directories(&view, &["/point"]);
    for depth in 0..3 {
        mount(&view, "/point", tmpfs());
        make_directories(&view, &[&format!("/point/{depth}")]);
    }
    assert_eq!(error(&view, "/point/1"), Errno::ENOENT);
    assert!(place(&view, "/point/2/../..") == place(&view, "/"));
    assert_eq!(view.namespace.mounts().len(), 4);
    view.namespace
        .unmount(&place(&view, "/point"))
        .expect("unmount");
    assert_eq!(path_of(&view, &place(&view, "/point/1")), "/point/1");
}

#[test]
fn a_bound_directory_is_the_same_under_both_names() {
    let view = view();
    make_directories(&view, &["/a", "/a/b", "/here"]);
    let point = place(&view, "/here");
    view.namespace
        .bind(&point, &place(&view, "/a"), MountFlags::READ_ONLY)
        .expect("bind");
    make_file(&view, "/a/b/file", b"same");
    assert_eq!(
        path_of(&view, &place(&view, "/here/b/file")),
        "/here/b/file"
    );
    assert!(place(&view, "/here/b/../..") == place(&view, "/"));
    let flags = OpenFlags::CREATE | OpenFlags::READ_WRITE;
    let refused = view.open(None, b"/here/b/file", flags, mode(0o666));
    assert_eq!(refused.err(), Some(Errno::EROFS));
    assert_eq!(view.unlink(None, b"/here/b/file"), Err(Errno::EROFS));
    let link = view.link(&place(&view, "/a/b/file"), None, b"/here/x");
    assert_eq!(link, Err(Errno::EXDEV));
}

#[test]
fn a_mount_changes_its_restrictions_but_not_those_that_are_kept() {
    let view = view();
    make_directories(&view, &["/point"]);
    mount(&view, "/point", tmpfs());
    let point = place(&view, "/point");
    let make = |path: &str| view.make_directory(None, path.as_bytes(), mode(0o755));

    assert_eq!(point.mount().set_flags(MountFlags::READ_ONLY), Ok(()));
    assert_eq!(make("/point/a").err(), Some(Errno::EROFS));
    assert_eq!(point.mount().set_flags(MountFlags::NO_EXECUTE), Ok(()));
    assert!(make("/point/a").is_ok());
    view.namespace.keep_restrictions();
    let free = point.mount().set_flags(MountFlags::empty());
    assert_eq!(free, Err(Errno::EPERM));
}

#[test]
fn a_mount_point_is_busy() {
    let view = view();
    make_directories(&view, &["/point", "/other"]);
    mount(&view, "/point", tmpfs());
    assert_eq!(view.remove_directory(None, b"/point"), Err(Errno::EBUSY));
    let flags = RenameFlags::default();
    assert_eq!(
        view.rename(None, b"/point", None, b"/x", flags),
        Err(Errno::EBUSY)
    );
    assert_eq!(
        view.rename(None, b"/other", None, b"/point", flags),
        Err(Errno::EBUSY)
    );
    make_file(&view, "/point/file", b"");
    assert_eq!(
        view.rename(None, b"/point/file", None, b"/x", flags),
        Err(Errno::EXDEV)
    );
}

#[test]
fn dot_dot_stops_at_the_root_of_the_viewpoint() {
    let mut view = view();
    make_directories(&view, &["/jail", "/jail/inner", "/outside"]);
    assert!(place(&view, "/../../jail") == place(&view, "/jail"));
    view.root = place(&view, "/jail");
    view.working_directory = view.root.clone();
    assert!(place(&view, "../../inner/../..") == view.root);
    assert_eq!(error(&view, "/../outside"), Errno::ENOENT);
    assert_eq!(path_of(&view, &place(&view, "inner")), "/inner");
    view.make_symlink(b"/inner", None, b"link").expect("link");
    assert_eq!(path_of(&view, &place(&view, "link")), "/inner");
    let outside = view.namespace.root();
    assert_eq!(path_of(&view, &outside), "(unreachable)/");
}

#[test]
fn a_place_follows_renames_and_outlives_its_name() {
    let mut view = view();
    make_directories(&view, &["/a", "/a/b", "/a/b/c", "/x"]);
    let c = place(&view, "/a/b/c");
    view.change_directory(&c).expect("directory");
    view.rename(None, b"/a/b", None, b"/x/moved", RenameFlags::default())
        .expect("rename");
    assert_eq!(path_of(&view, &c), "/x/moved/c");
    assert!(place(&view, "..") == place(&view, "/x/moved"));
    view.rename(None, b"/x/moved", None, b"/a", RenameFlags::EXCHANGE)
        .expect("exchange");
    assert_eq!(path_of(&view, &c), "/a/c");
    view.remove_directory(None, b"/a/c").expect("rmdir");
    assert!(c.is_deleted());
    assert_eq!(
        view.make_directory(None, b"late", mode(0o777)).err(),
        Some(Errno::ENOENT)
    );
    assert!(place(&view, "..") == place(&view, "/a"));
    make_directories(&view, &["/a/c"]);
    assert!(
        place(&view, "/a/c") != c,
        "a new directory with an old name"
    );
}

#[test]
fn forty_links_are_followed_and_not_one_more() {
    let view = view();
    make_directories(&view, &["/end"]);
    view.make_symlink(b"/end", None, b"/link1").expect("link");
    for index in 2..=41 {
        let target = format!("link{}", index - 1);
        let path = format!("/link{index}");
        view.make_symlink(target.as_bytes(), None, path.as_bytes())
            .expect("link");
    }
    assert!(view.resolve(None, b"/link40", Follow::Yes).is_ok());
    assert_eq!(error(&view, "/link41"), Errno::ELOOP);
    assert!(view.resolve(None, b"/link41", Follow::No).is_ok());
    assert_eq!(
        view.resolve(None, b"/link41/", Follow::No).err(),
        Some(Errno::ELOOP)
    );
}

#[test]
fn rights_bind_all_but_the_superuser() {
    let superuser = view();
    make_directories(&superuser, &["/closed", "/open", "/sticky"]);
    make_file(&superuser, "/closed/file", b"secret");
    make_file(&superuser, "/sticky/file", b"theirs");
    for (path, bits) in [("/closed", 0o700), ("/open", 0o777), ("/sticky", 0o1777)] {
        let change = vfs::AttributeChange {
            mode: Some(mode(bits)),
            ..Default::default()
        };
        superuser
            .set_attributes(&place(&superuser, path), &change)
            .expect(path);
    }
    let mut user = superuser.clone();
    user.credentials = Credentials::of(1000, 1000, vec![50]);
    assert_eq!(error(&user, "/closed/file"), Errno::EACCES);
    assert_eq!(
        user.make_directory(None, b"/new", mode(0o777)).err(),
        Some(Errno::EACCES)
    );
    assert_eq!(user.unlink(None, b"/sticky/file"), Err(Errno::EPERM));
    make_file(&user, "/open/own", b"mine");
    let own = place(&user, "/open/own");
    let metadata = own.metadata().expect("metadata");
    assert_eq!(
        (metadata.user, metadata.group, metadata.mode),
        (1000, 1000, mode(0o644))
    );
    let give = vfs::AttributeChange {
        user: Some(0),
        ..Default::default()
    };
    assert_eq!(user.set_attributes(&own, &give), Err(Errno::EPERM));
    let group = vfs::AttributeChange {
        group: Some(50),
        ..Default::default()
    };
    assert_eq!(user.set_attributes(&own, &group), Ok(()));
    assert_eq!(user.check_access(&own, Access::EXECUTE), Err(Errno::EACCES));
    assert_eq!(
        superuser.check_access(&own, Access::EXECUTE),
        Err(Errno::EACCES)
    );
    assert_eq!(superuser.check_access(&own, Access::WRITE), Ok(()));
}

#[test]
fn each_capability_lifts_what_it_is_about() {
    let superuser = view();
    make_directories(&superuser, &["/closed"]);
    make_file(&superuser, "/closed/file", b"secret");
    let closed = place(&superuser, "/closed");
    let file = place(&superuser, "/closed/file");
    let shut = vfs::AttributeChange {
        mode: Some(mode(0)),
        ..Default::default()
    };
    superuser.set_attributes(&closed, &shut).expect("closed");
    superuser.set_attributes(&file, &shut).expect("file");
    let mut user = superuser.clone();
    user.credentials = Credentials::of(1000, 1000, Vec::new());
    let check = |user: &Viewpoint, at, access| user.check_access(at, access).is_ok();

    user.credentials.capabilities = Capabilities::READ_AND_SEARCH;
    assert!(check(&user, &closed, Access::READ | Access::EXECUTE));
    assert!(check(&user, &file, Access::READ));
    assert!(!check(&user, &file, Access::WRITE));
    assert!(!check(&user, &file, Access::EXECUTE));
    assert_eq!(user.set_attributes(&file, &shut), Err(Errno::EPERM));

    user.credentials.capabilities = Capabilities::OVERRIDE_ACCESS;
    assert!(check(&user, &file, Access::READ | Access::WRITE));
    assert!(!check(&user, &file, Access::EXECUTE));
    assert!(user.clone().change_root(&closed).is_err());

    user.credentials.capabilities = Capabilities::OWN_FILES;
    assert_eq!(user.set_attributes(&file, &shut), Ok(()));
    let give = vfs::AttributeChange {
        user: Some(1000),
        ..Default::default()
    };
    assert_eq!(user.set_attributes(&file, &give), Err(Errno::EPERM));
    user.credentials.capabilities = Capabilities::CHANGE_OWNER;
    assert_eq!(user.set_attributes(&file, &give), Ok(()));
}

#[test]
fn appended_data_goes_to_the_end_whatever_the_offset() {
    let view = view();
    make_file(&view, "/log", b"one ");
    let flags = OpenFlags::READ_WRITE | OpenFlags::APPEND;
    let first = view.open(None, b"/log", flags, mode(0)).expect("open");
    let second = view.open(None, b"/log", flags, mode(0)).expect("open");
    assert_eq!(first.write(b"two "), Ok(4));
    assert_eq!(second.write(b"three "), Ok(6));
    assert_eq!(first.write_at(0, b"four"), Ok(4), "as Linux, not as POSIX");
    let mut content = [0; 64];
    assert_eq!(first.read_at(0, &mut content), Ok(18));
    assert_eq!(&content[..18], b"one two three four");
    assert_eq!(second.seek(SeekFrom::Current(0)), Ok(14));
    assert_eq!(second.seek(SeekFrom::End(-4)), Ok(14));
    assert_eq!(second.seek(SeekFrom::Start(-1)), Err(Errno::EINVAL));
    assert_eq!(second.seek(SeekFrom::Data(18)), Err(Errno::ENXIO));
    assert_eq!(second.seek(SeekFrom::Hole(3)), Ok(18));
    second.set_flags(OpenFlags::empty());
    assert_eq!(
        second.flags(),
        OpenFlags::READ_WRITE,
        "only some flags can be changed"
    );
}

#[test]
fn a_directory_is_read_in_pieces_with_the_dots_first() {
    let view = view();
    make_directories(&view, &["/d"]);
    for index in 0..20 {
        make_file(&view, &format!("/d/{index}"), b"");
    }
    let file = view
        .open(None, b"/d", OpenFlags::DIRECTORY, mode(0))
        .expect("open");
    let mut names = Vec::new();
    loop {
        let before = names.len();
        file.read_directory(&mut |entry| {
            if names.len() == before + 3 {
                return SinkState::Full;
            }
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            SinkState::Taken
        })
        .expect("entries");
        if names.len() == before {
            break;
        }
    }
    assert_eq!(names[..2], [".", ".."]);
    assert_eq!(names.len(), 22);
    assert_eq!(file.seek(SeekFrom::Start(0)), Ok(0));
    let mut again = 0;
    let count = &mut |_: &vfs::DirectoryEntry<'_>| {
        again += 1;
        SinkState::Taken
    };
    file.read_directory(count).expect("entries");
    assert_eq!(again, 22);
}

struct Terminal;

impl Inode for Terminal {
    fn kind(&self) -> FileType {
        FileType::CharacterDevice
    }

    fn metadata(&self) -> vfs::Result<Metadata> {
        let metadata = Metadata::fixed(20, FileType::CharacterDevice, mode(0o620));
        Ok(Metadata {
            represents: DeviceNumber::new(5, 0),
            ..metadata
        })
    }

    fn write_at(&self, _offset: u64, data: &[u8]) -> vfs::Result<usize> {
        Ok(data.len())
    }
}

struct Sevens;

impl Random for Sevens {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

#[test]
fn devices_do_what_they_are_there_for() {
    let view = view();
    make_directories(&view, &["/dev"]);
    mount(
        &view,
        "/dev",
        DevFs::new(Arc::new(Sevens), Arc::new(Terminal), Arc::new(Terminal)),
    );
    let open = |path: &[u8]| {
        let flags = OpenFlags::READ_WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        view.open(None, path, flags, mode(0)).expect("open")
    };
    let mut buffer = [9; 4];
    assert_eq!(open(b"/dev/null").read(&mut buffer), Ok(0));
    assert_eq!(open(b"/dev/null").write(b"gone"), Ok(4));
    assert_eq!(open(b"/dev/zero").read(&mut buffer), Ok(4));
    assert_eq!(buffer, [0; 4]);
    assert_eq!(open(b"/dev/full").write(b"x"), Err(Errno::ENOSPC));
    let far = SeekFrom::Current(-5);
    assert_eq!(open(b"/dev/full").seek(far), Ok(0));
    assert_eq!(open(b"/dev/urandom").read(&mut buffer), Ok(4));
    assert_eq!(buffer, [7; 4]);
    let terminal = open(b"/dev/tty");
    assert_eq!(terminal.write(b"hello"), Ok(5));
    assert_eq!(terminal.seek(SeekFrom::Start(0)), Err(Errno::ESPIPE));
    assert_eq!(
        place(&view, "/dev/null")
            .metadata()
            .expect("metadata")
            .represents
            .to_u64(),
        0x103
    );
    let link = view.resolve(None, b"/dev/stdin", Follow::No).expect("link");
    assert_eq!(link.inode().read_link(), Ok(b"/proc/self/fd/0".to_vec()));
    assert_eq!(view.unlink(None, b"/dev/null"), Err(Errno::EPERM));
}

/// One process, number 7, whose descriptor 3 is `/file` and whose descriptor 4 is a pipe.
struct Kernel {
    view: Viewpoint,
    file: Location,
    pipe: Location,
}

impl Source for Kernel {
    fn current_process(&self) -> u32 {
        7
    }

    fn owner(&self, process: u32) -> vfs::Result<(u32, u32)> {
        Ok((process * 100, process * 10))
    }

    fn is_dumpable(&self, process: u32) -> vfs::Result<bool> {
        Ok(process == 7)
    }

    fn check_look_into(&self, process: u32) -> vfs::Result<()> {
        if process == 7 {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    fn processes(&self) -> Vec<u32> {
        vec![1, 7]
    }

    fn process_of(&self, thread: u32) -> Option<u32> {
        [1, 7].contains(&thread).then_some(thread)
    }

    fn began(&self, process: u32) -> Option<Duration> {
        [1, 7].contains(&process).then_some(Duration::ZERO)
    }

    fn process_text(
        &self,
        process: u32,
        thread: Option<u32>,
        text: ProcessText,
    ) -> vfs::Result<Vec<u8>> {
        Ok(format!("{} {text:?}", thread.unwrap_or(process)).into_bytes())
    }

    fn set_process_text(
        &self,
        _: u32,
        _: Option<u32>,
        text: ProcessText,
        new: &[u8],
    ) -> vfs::Result<()> {
        match (text, new) {
            (ProcessText::ScoreAdjustment, b"100\n") => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn process_place(&self, process: u32, place: ProcessPlace) -> vfs::Result<Location> {
        match (process, place) {
            (7, ProcessPlace::Executable | ProcessPlace::Descriptor(3)) => Ok(self.file.clone()),
            (7, ProcessPlace::Descriptor(4)) => Ok(self.pipe.clone()),
            _ => Err(Errno::ENOENT),
        }
    }

    fn memory(&self, _process: u32) -> vfs::Result<Arc<dyn procfs::ProcessMemory>> {
        Err(Errno::ESRCH)
    }

    fn descriptors(&self, process: u32) -> vfs::Result<Vec<u32>> {
        Ok(if process == 7 { vec![3, 4] } else { vec![] })
    }

    fn threads(&self, process: u32) -> vfs::Result<Vec<u32>> {
        Ok(vec![process, process + 1])
    }

    fn current_thread(&self) -> u32 {
        8
    }

    fn descriptor_text(&self, _process: u32, descriptor: u32) -> vfs::Result<Vec<u8>> {
        Ok(format!("pos:\t{descriptor}\n").into_bytes())
    }

    fn text_of_place(&self, place: &Location) -> Vec<u8> {
        let mut text = self.view.path_of(place);
        if place.is_deleted() {
            text.extend(b" (deleted)");
        }
        text
    }

    fn number(&self, number: Number) -> u64 {
        number as u64
    }

    fn set_numbers(&self, _new: &[(Number, u64)]) -> vfs::Result<()> {
        Err(Errno::EINVAL)
    }

    fn set_name(&self, _setting: Setting, _name: &[u8]) -> vfs::Result<()> {
        Err(Errno::EPERM)
    }

    fn setting(&self, setting: Setting) -> String {
        format!("{setting:?}")
    }

    fn system_text(&self, text: SystemText) -> vfs::Result<Vec<u8>> {
        Ok(format!("{text:?}").into_bytes())
    }
}

#[test]
fn proc_shows_the_caller_and_its_files() {
    let view = view();
    make_directories(&view, &["/proc"]);
    make_file(&view, "/file", b"content");
    let file = place(&view, "/file");
    let pipe = view.namespace.anonymous(Arc::new(Terminal), b"pipe:[5]");
    let kernel = Kernel {
        view: view.clone(),
        file: file.clone(),
        pipe,
    };
    mount(&view, "/proc", ProcFs::new(Arc::new(kernel)));

    let read = |path: &str| {
        let file = view
            .open(None, path.as_bytes(), OpenFlags::empty(), mode(0))
            .expect(path);
        let mut content = vec![0; 100];
        let length = file.read(&mut content).expect(path);
        String::from_utf8(content[..length].to_vec()).expect("text")
    };
    assert_eq!(read("/proc/self/status"), "7 Status");
    assert_eq!(read("/proc/1/mounts"), "1 Mounts");
    assert_eq!(read("/proc/cpuinfo"), "Processors");
    assert_eq!(read("/proc/mounts"), "7 Mounts");
    assert_eq!(read("/proc/self/exe"), "content");
    assert_eq!(read("/proc/self/fd/3"), "content");
    assert!(place(&view, "/proc/self/exe") == file);
    let write = |path: &str, text: &[u8]| {
        let flags = OpenFlags::WRITE_ONLY | OpenFlags::TRUNCATE;
        view.open(None, path.as_bytes(), flags, mode(0))
            .and_then(|file| file.write(text))
    };
    assert_eq!(write("/proc/self/oom_score_adj", b"100\n"), Ok(4));
    assert_eq!(write("/proc/self/oom_score_adj", b"x"), Err(Errno::EINVAL));
    assert_eq!(write("/proc/self/maps", b"100\n"), Err(Errno::EINVAL));
    assert_eq!(error(&view, "/proc/self/exe/"), Errno::ENOTDIR);
    for absent in [
        "/proc/2",
        "/proc/07",
        "/proc/+7",
        "/proc/self/fd/5",
        "/proc/nothing",
    ] {
        assert_eq!(error(&view, absent), Errno::ENOENT, "{absent}");
    }

    let link = |path: &str| {
        let link = view.resolve(None, path.as_bytes(), Follow::No).expect(path);
        String::from_utf8(link.inode().read_link().expect(path)).expect("text")
    };
    assert_eq!(link("/proc/self/fd/4"), "pipe:[5]");
    view.unlink(None, b"/file").expect("unlink");
    assert_eq!(link("/proc/self/exe"), "/file (deleted)");
    assert_eq!(
        read("/proc/self/exe"),
        "content",
        "a deleted program can still be opened"
    );

    let list = |path: &str| {
        let file = view
            .open(None, path.as_bytes(), OpenFlags::DIRECTORY, mode(0))
            .expect(path);
        let mut names = Vec::new();
        let sink = &mut |entry: &vfs::DirectoryEntry<'_>| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            SinkState::Taken
        };
        file.read_directory(sink).expect(path);
        names.join(" ")
    };
    assert_eq!(list("/proc/self/fd"), ". .. 3 4");
    assert_eq!(list("/proc/self/task"), ". .. 7 8");
    assert_eq!(read("/proc/self/fdinfo/3"), "pos:\t3\n");
    assert_eq!(read("/proc/thread-self/status"), "8 Status");
    assert_eq!(read("/proc/sys/kernel/ostype"), "Linux\n");
    assert_eq!(read("/proc/sys/kernel/hostname"), "HostName\n");
    for guarded in ["maps", "smaps", "environ", "fdinfo/3"] {
        let path = format!("/proc/1/{guarded}");
        let opened = view.open(None, path.as_bytes(), OpenFlags::empty(), mode(0));
        let refused = [Errno::EACCES, Errno::ENOENT];
        assert!(
            opened.is_err_and(|error| refused.contains(&error)),
            "{path}"
        );
    }
    for link in ["exe", "cwd", "root"] {
        assert_eq!(
            error(&view, &format!("/proc/1/{link}")),
            Errno::EACCES,
            "{link}"
        );
    }
    let owner = |path: &str| {
        let metadata = place(&view, path).metadata().expect(path);
        (metadata.user, metadata.group)
    };
    assert_eq!(owner("/proc/7/environ"), (700, 70));
    assert_eq!(owner("/proc/1"), (100, 10));
    assert_eq!(owner("/proc/1/environ"), (0, 0), "nobody may look into it");
    assert!(
        list("/proc").ends_with("self mounts thread-self sys 1 7"),
        "{}",
        list("/proc")
    );
}

#[test]
fn threads_that_change_one_tree_leave_it_whole() {
    let view = view();
    make_directories(&view, &["/a", "/b"]);
    let held = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (view, held) = (view.clone(), &held);
            scope.spawn(move || {
                for step in 0..20_000_u32 {
                    let choice = step.wrapping_mul(2_654_435_761).wrapping_add(thread * 7) >> 7;
                    let path = |number: u32| {
                        let directory = ["a", "b", "a/d", "b/d"][(number % 4) as usize];
                        format!(
                            "/{directory}/{}",
                            ["d", "e", "f"][(number / 4 % 3) as usize]
                        )
                    };
                    let (one, other) = (path(choice), path(choice / 12));
                    let (one, other) = (one.as_bytes(), other.as_bytes());
                    // A place that is held is remembered by its directory, rightly or wrongly.
                    if let Ok(location) = view.resolve(None, one, Follow::No) {
                        let mut held = held.lock().expect("held");
                        if held.len() < 64 {
                            held.push(location);
                        } else {
                            held[step as usize % 64] = location;
                        }
                    }
                    let _ = match choice / 256 % 6 {
                        0 => view.make_directory(None, one, mode(0o777)).map(|_| ()),
                        1 => view.remove_directory(None, one),
                        2 => view.unlink(None, one),
                        3 => view.rename(None, one, None, other, RenameFlags::default()),
                        4 => view.rename(None, one, None, other, RenameFlags::EXCHANGE),
                        _ => {
                            let flags = OpenFlags::CREATE | OpenFlags::READ_WRITE;
                            view.open(None, one, flags, mode(0o666)).map(|_| ())
                        }
                    };
                }
            });
        }
    });
    for location in held.into_inner().expect("held") {
        if !location.is_deleted() {
            let found = view.resolve(None, &view.path_of(&location), Follow::No);
            assert!(found == Ok(location));
        }
    }
    check_links(&view, &place(&view, "/"));
}

/// Each directory has two links and one for each subdirectory, and each entry can be found.
fn check_links(view: &Viewpoint, directory: &Location) {
    let mut names = Vec::new();
    let sink = &mut |entry: &vfs::DirectoryEntry<'_>| {
        names.push(entry.name.to_vec());
        SinkState::Taken
    };
    directory.inode().read_directory(0, sink).expect("entries");
    let mut links = 2;
    for name in names {
        let entry = view
            .resolve(Some(directory), &name, Follow::No)
            .expect("entry");
        assert!(view.parent_of(&entry) == *directory);
        if entry.kind() == FileType::Directory {
            links += 1;
            check_links(view, &entry);
        }
    }
    assert_eq!(directory.metadata().expect("metadata").link_count, links);
}
