//! What Linux refuses where it is easy to forget, and which error comes first.

mod support;

use support::{make_directories, make_file, mode, mount, place, tmpfs, view};
use vfs::{
    AttributeChange, Credentials, Errno, Follow, MountFlags, OpenFlags, RenameFlags, Viewpoint,
};

fn set_mode(view: &Viewpoint, path: &str, bits: u32) {
    let change = AttributeChange {
        mode: Some(mode(bits)),
        ..AttributeChange::default()
    };
    view.set_attributes(&place(view, path), &change)
        .expect(path);
}

fn rename(view: &Viewpoint, from: &str, to: &str, flags: RenameFlags) -> vfs::Result<()> {
    view.rename(None, from.as_bytes(), None, to.as_bytes(), flags)
}

/// Somebody who owns nothing and may do nothing beyond permission bits.
fn somebody(view: &Viewpoint) -> Viewpoint {
    let mut user = view.clone();
    user.credentials = Credentials::of(1000, 1000, Vec::new());
    user
}

#[test]
fn a_directory_that_may_not_be_written_to_stays_where_its_dots_lead() {
    let view = view();
    make_directories(&view, &["/one", "/other", "/one/shut", "/other/open"]);
    for path in ["/one", "/other", "/other/open"] {
        set_mode(&view, path, 0o777);
    }
    set_mode(&view, "/one/shut", 0o555);
    let user = somebody(&view);

    let none = RenameFlags::empty();
    assert_eq!(
        rename(&user, "/one/shut", "/other/shut", none),
        Err(Errno::EACCES)
    );
    let exchange = RenameFlags::EXCHANGE;
    assert_eq!(
        rename(&user, "/other/open", "/one/shut", exchange),
        Err(Errno::EACCES)
    );
    assert_eq!(rename(&user, "/one/shut", "/one/still", none), Ok(()));
    assert_eq!(rename(&user, "/other/open", "/one/open", none), Ok(()));
    assert_eq!(rename(&view, "/one/still", "/other/still", none), Ok(()));
}

#[test]
fn a_program_that_runs_is_not_changed_by_another_of_its_names() {
    let view = view();
    make_file(&view, "/program", b"text");
    view.link(&place(&view, "/program"), None, b"/again")
        .expect("a link");
    let open = |path: &[u8], flags| view.open(None, path, flags, mode(0)).map(drop);

    let running = place(&view, "/program")
        .keep_unwritten()
        .expect("nobody writes");
    assert_eq!(open(b"/again", OpenFlags::WRITE_ONLY), Err(Errno::ETXTBSY));
    assert_eq!(
        view.truncate(&place(&view, "/again"), 0),
        Err(Errno::ETXTBSY)
    );
    let truncate = OpenFlags::TRUNCATE;
    assert_eq!(open(b"/program", truncate), Err(Errno::ETXTBSY));
    drop(running);

    let writer = view
        .open(None, b"/again", OpenFlags::WRITE_ONLY, mode(0))
        .expect("nobody runs it");
    assert_eq!(place(&view, "/program").openers().writers, 1);
    assert!(place(&view, "/program").keep_unwritten().is_err());
    drop(writer);
    assert_eq!(open(b"/program", truncate), Ok(()));
    assert_eq!(
        place(&view, "/again").metadata().expect("there").size_bytes,
        0
    );
}

#[test]
fn a_file_without_a_name_gets_one_unless_it_was_made_to_have_none() {
    let view = view();
    let unnamed = OpenFlags::TEMPORARY | OpenFlags::DIRECTORY | OpenFlags::READ_WRITE;
    let file = view.open(None, b"/", unnamed, mode(0o600)).expect("made");
    assert_eq!(view.link(file.location(), None, b"/named"), Ok(()));
    let never = unnamed | OpenFlags::EXCLUSIVE;
    let file = view.open(None, b"/", never, mode(0o600)).expect("made");
    assert_eq!(
        view.link(file.location(), None, b"/other"),
        Err(Errno::ENOENT)
    );
}

#[test]
fn a_name_is_not_removed_by_who_may_not_whatever_it_names() {
    let view = view();
    make_directories(&view, &["/d", "/d/inner", "/frozen"]);
    make_file(&view, "/d/file", b"");
    let user = somebody(&view);

    assert_eq!(user.unlink(None, b"/d/inner"), Err(Errno::EACCES));
    assert_eq!(user.remove_directory(None, b"/d/file"), Err(Errno::EACCES));
    assert_eq!(user.unlink(None, b"/d/inner/"), Err(Errno::EISDIR));
    assert_eq!(user.unlink(None, b"/d/file/"), Err(Errno::ENOTDIR));
    assert_eq!(user.unlink(None, b"/d/none"), Err(Errno::ENOENT));
    assert_eq!(view.unlink(None, b"/d/inner"), Err(Errno::EISDIR));
    assert_eq!(view.remove_directory(None, b"/d/file"), Err(Errno::ENOTDIR));

    let point = place(&view, "/frozen");
    view.namespace
        .mount(&point, tmpfs(), MountFlags::READ_ONLY)
        .expect("mounted");
    assert_eq!(view.unlink(None, b"/frozen/none"), Err(Errno::EROFS));
    assert_eq!(
        view.remove_directory(None, b"/frozen/none"),
        Err(Errno::EROFS)
    );
}

#[test]
fn there_are_a_hundred_thousand_mounts_and_no_more() {
    const MOST: usize = 100_000;
    let view = view();
    make_directories(&view, &["/point", "/once"]);
    let source = place(&view, "/once");
    let bind = || {
        let point = place(&view, "/point");
        view.namespace.bind(&point, &source, MountFlags::default())
    };
    for _ in 0..MOST {
        bind().expect("room");
    }
    assert_eq!(bind().map(drop), Err(Errno::ENOSPC));

    // However high the stack is, what is below is one step away.
    for (mount, _) in view.namespace.mounts().iter().zip(0..).skip(1) {
        assert_eq!(view.path_of(&mount.top()), b"/point");
    }
    assert!(place(&view, "/point/..") == place(&view, "/"));

    // What covers each other is let go of from the top, and at once.
    let top = place(&view, "/point");
    assert_eq!(view.namespace.unmount(&place(&view, "/point")), Ok(()));
    assert_eq!(view.namespace.unmount(&top), Err(Errno::EINVAL));
    for _ in 1..MOST {
        view.namespace
            .unmount(&place(&view, "/point"))
            .expect("the next");
    }
    assert!(!place(&view, "/point").is_mount_root());
    drop(top);
}

#[test]
fn who_stands_in_a_mount_that_is_covered_sees_what_covers_it() {
    let view = view();
    make_directories(&view, &["/point"]);
    mount(&view, "/point", tmpfs());
    let mut inside = view.clone();
    inside.working_directory = place(&view, "/point");
    make_directories(&view, &["/point/lower"]);
    mount(&view, "/point", tmpfs());
    make_directories(&view, &["/point/upper"]);

    assert!(inside.resolve(None, b"lower", Follow::Yes).is_ok());
    assert!(inside.resolve(None, b"lower/../upper", Follow::Yes).is_ok());
    let covered = inside.working_directory.clone();
    assert_eq!(view.namespace.unmount(&covered), Err(Errno::EBUSY));
    mount(&inside, ".", tmpfs());
    assert!(view.resolve(None, b"/point/upper", Follow::Yes).is_err());
}
