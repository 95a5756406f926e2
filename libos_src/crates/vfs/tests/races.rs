//! What happens when a name changes between its lookup and its use: a directory that lets another
//! "thread" act at exactly that moment.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tmpfs::TmpFs;
use vfs::{
    Clock, FileSystem, FileType, Follow, Inode, Metadata, Mode, MountFlags, Name, Namespace,
    NewNode, OpenFlags, RenameFlags, Result, Statistics, Timestamp, Viewpoint,
};

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

type Intruder = Box<dyn FnOnce() + Send>;

/// The root of a `TmpFs` that runs an intruder after the lookup of one name.
struct Interrupted {
    inner: Arc<dyn Inode>,
    trap: Arc<Mutex<Option<(&'static str, Intruder)>>>,
}

struct InterruptedFs(Arc<Interrupted>);

impl Interrupted {
    /// Runs the intruder that waits at this point.
    fn spring(&self, point: &[u8]) {
        let mut trap = self.trap.lock().expect("trap");
        let intruder = trap.take_if(|(at, _)| at.as_bytes() == point);
        drop(trap);
        if let Some((_, intruder)) = intruder {
            intruder();
        }
    }
}

impl Inode for Interrupted {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata> {
        self.inner.metadata()
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        let found = self.inner.lookup(name);
        self.spring(&name);
        found
    }

    fn create(&self, name: Name<'_>, node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        self.inner.create(name, node)
    }

    fn unlink(&self, name: Name<'_>) -> Result<()> {
        self.inner.unlink(name)
    }

    fn remove_directory(&self, name: Name<'_>) -> Result<()> {
        self.inner.remove_directory(name)?;
        self.spring(b"removed");
        Ok(())
    }

    fn rename(
        &self,
        from: Name<'_>,
        _target: &Arc<dyn Inode>,
        to: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        self.inner.rename(from, &self.inner, to, flags)
    }
}

impl FileSystem for InterruptedFs {
    fn type_name(&self) -> &'static str {
        "interrupted"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.0.clone()
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics::default())
    }
}

/// A viewpoint on such a directory, and a way to set the trap.
fn view() -> (Viewpoint, impl Fn(&'static str, Intruder)) {
    let tmpfs = TmpFs::new(1 << 20, Mode::from_low_bits(0o755), Arc::new(Stopped)).expect("root");
    let trap = Arc::new(Mutex::new(None));
    let root = Interrupted {
        inner: tmpfs.root(),
        trap: trap.clone(),
    };
    let namespace = Namespace::new(
        Arc::new(InterruptedFs(Arc::new(root))),
        MountFlags::default(),
    );
    let set = move |name, intruder| *trap.lock().expect("trap") = Some((name, intruder));
    (Viewpoint::new(namespace.expect("namespace")), set)
}

fn write(view: &Viewpoint, path: &[u8], content: &[u8]) {
    let flags = OpenFlags::CREATE | OpenFlags::WRITE_ONLY;
    let file = view
        .open(None, path, flags, Mode::from_low_bits(0o644))
        .expect("open");
    assert_eq!(file.write(content), Ok(content.len()));
}

fn read(view: &Viewpoint, path: &[u8]) -> Vec<u8> {
    let file = view
        .open(None, path, OpenFlags::empty(), Mode::empty())
        .expect("open");
    let mut content = vec![0; 10];
    let length = file.read(&mut content).expect("read");
    content.truncate(length);
    content
}

/// Replaces a file by a new one.
fn replace(view: &Viewpoint, path: &'static [u8]) -> Intruder {
    let view = view.clone();
    Box::new(move || {
        view.unlink(None, path).expect("unlink");
        write(&view, path, b"new");
    })
}

#[test]
fn a_lookup_never_remembers_what_was_replaced_meanwhile() {
    let (view, set_trap) = view();
    write(&view, b"/a", b"old");
    set_trap("a", replace(&view, b"/a"));
    let held = view.resolve(None, b"/a", Follow::Yes).expect("a");
    assert_eq!(read(&view, b"/a"), b"new");
    assert!(!held.is_deleted(), "it is the new file");
}

#[test]
fn a_rename_moves_what_has_the_name_and_not_what_had_it() {
    let (view, set_trap) = view();
    write(&view, b"/a", b"old");
    let old = view.resolve(None, b"/a", Follow::Yes).expect("a");
    // The source is looked up before the target: by then it is replaced.
    let intruder = replace(&view, b"/a");
    set_trap("b", intruder);
    view.rename(None, b"/a", None, b"/b", RenameFlags::default())
        .expect("rename");
    assert_eq!(read(&view, b"/b"), b"new");
    assert!(old.is_deleted());
}

#[test]
fn a_name_that_is_given_away_meanwhile_is_opened_and_not_made() {
    let (view, set_trap) = view();
    let other = view.clone();
    set_trap("a", Box::new(move || write(&other, b"/a", b"theirs")));
    let flags = OpenFlags::CREATE | OpenFlags::READ_WRITE;
    let file = view
        .open(None, b"/a", flags, Mode::from_low_bits(0o644))
        .expect("open");
    let mut content = [0; 6];
    assert_eq!(file.read(&mut content), Ok(6));
    assert_eq!(&content, b"theirs");
}

#[test]
fn exclusive_creation_loses_against_another() {
    let (view, set_trap) = view();
    let other = view.clone();
    set_trap("a", Box::new(move || write(&other, b"/a", b"theirs")));
    let flags = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::READ_WRITE;
    let result = view.open(None, b"/a", flags, Mode::from_low_bits(0o644));
    assert_eq!(result.err(), Some(vfs::Errno::EEXIST));
    assert_eq!(read(&view, b"/a"), b"theirs");
}

#[test]
fn nothing_is_mounted_on_what_is_just_being_removed() {
    let (view, set_trap) = view();
    view.make_directory(None, b"/d", Mode::from_low_bits(0o755))
        .expect("make");
    let point = view.resolve(None, b"/d", Follow::Yes).expect("d");
    let (send, receive) = channel();
    let namespace = view.namespace.clone();
    // It may have to wait until the directory is gone.
    let intruder = move || {
        let mounter = thread::spawn(move || {
            let other = TmpFs::new(4096, Mode::empty(), Arc::new(Stopped)).expect("root");
            namespace.mount(&point, other, MountFlags::default()).err()
        });
        thread::sleep(Duration::from_millis(50));
        send.send(mounter).expect("somebody waits");
    };
    set_trap("removed", Box::new(intruder));

    let removed = view.remove_directory(None, b"/d");

    let mounted = receive.recv().expect("a thread").join().expect("no panic");
    assert_eq!((removed, mounted), (Ok(()), Some(vfs::Errno::ENOENT)));
}
