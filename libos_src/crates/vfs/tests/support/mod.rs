//! A name space on a tmpfs, and things in it.

use std::sync::Arc;

use tmpfs::TmpFs;
use vfs::{
    Clock, FileSystem, Follow, Location, Mode, MountFlags, Namespace, OpenFlags, Timestamp,
    Viewpoint,
};

pub(crate) struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

pub(crate) fn tmpfs() -> Arc<TmpFs> {
    TmpFs::new(16 << 20, mode(0o755), Arc::new(Stopped)).expect("root")
}

pub(crate) fn mode(bits: u32) -> Mode {
    Mode::from_low_bits(bits)
}

pub(crate) fn view() -> Viewpoint {
    Viewpoint::new(Namespace::new(tmpfs(), MountFlags::default()).expect("namespace"))
}

pub(crate) fn place(view: &Viewpoint, path: &str) -> Location {
    view.resolve(None, path.as_bytes(), Follow::Yes)
        .expect(path)
}

pub(crate) fn make_directories(view: &Viewpoint, paths: &[&str]) {
    for path in paths {
        view.make_directory(None, path.as_bytes(), mode(0o777))
            .expect(path);
    }
}

pub(crate) fn make_file(view: &Viewpoint, path: &str, content: &[u8]) {
    let flags = OpenFlags::CREATE | OpenFlags::WRITE_ONLY;
    let file = view
        .open(None, path.as_bytes(), flags, mode(0o666))
        .expect(path);
    assert_eq!(file.write(content), Ok(content.len()));
}

pub(crate) fn mount(view: &Viewpoint, path: &str, file_system: Arc<dyn FileSystem>) {
    let point = place(view, path);
    view.namespace
        .mount(&point, file_system, MountFlags::default())
        .expect(path);
}
