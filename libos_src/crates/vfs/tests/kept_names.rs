//! What is kept of the names of a file system that never changes.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{make_directories, make_file, mount, place, tmpfs, view};
use vfs::{
    Errno, FileSystem, FileType, Inode, Metadata, MountFlags, Name, Namespace, Statistics,
    Viewpoint,
};

/// A directory that counts who looks up names in it.
struct Counting {
    inner: Arc<dyn Inode>,
    lookups: AtomicUsize,
}

impl Inode for Counting {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inner.metadata()
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>, Errno> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.inner.lookup(name)
    }
}

/// What has such a root and says that it never changes.
struct Unchanging(Arc<Counting>);

impl FileSystem for Unchanging {
    fn type_name(&self) -> &'static str {
        "unchanging"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.0.clone()
    }

    fn statistics(&self) -> Result<Statistics, Errno> {
        Ok(Statistics::default())
    }

    fn never_changes(&self) -> bool {
        true
    }
}

/// One with a thousand files, mounted at `/point`.
fn unchanging(view: &Viewpoint) -> Arc<Counting> {
    let inner = Viewpoint::new(Namespace::new(tmpfs(), MountFlags::default()).expect("namespace"));
    for number in 0..1000 {
        make_file(&inner, &format!("/{number}"), b"");
    }
    let root = Arc::new(Counting {
        inner: place(&inner, "/").inode().clone(),
        lookups: AtomicUsize::new(0),
    });
    make_directories(view, &["/point"]);
    mount(view, "/point", Arc::new(Unchanging(root.clone())));
    root
}

#[test]
fn names_of_what_never_changes_are_looked_up_once_while_they_are_in_use_now_and_then() {
    let view = view();
    let root = unchanging(&view);
    let looked_up = || root.lookups.swap(0, Ordering::Relaxed);

    for _ in 0..10 {
        place(&view, "/point/1");
    }
    assert_eq!(looked_up(), 1);
    for number in 0..1000 {
        place(&view, &format!("/point/{number}"));
    }
    assert_eq!(looked_up(), 999);
    place(&view, "/point/1");
    assert_eq!(looked_up(), 1, "others are used again sooner");
}

#[test]
fn what_never_changes_is_gone_once_it_is_mounted_no_more() {
    let view = view();
    let root = unchanging(&view);
    let file = place(&view, "/point/1");
    view.namespace
        .unmount(&place(&view, "/point"))
        .expect("it is mounted");
    drop(file);

    assert_eq!(Arc::strong_count(&root), 1);
}
