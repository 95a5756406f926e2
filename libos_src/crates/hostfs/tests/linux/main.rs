//! Linux is the judge: random operations are done on a directory of the host and, through the runner's
//! half and this crate, on another. Each result and the trees at the end must be the same, as far as
//! both can say it.

#[path = "../../../tmpfs/tests/linux/host.rs"]
mod host;
#[path = "../../../tmpfs/tests/linux/libos.rs"]
mod libos;
#[path = "../../../tmpfs/tests/linux/operation.rs"]
mod operation;

use std::os::unix::ffi::OsStrExt;

use hal::{Errno, HostChange, HostFiles, HostSizes, HostStatus};
use hostfs::HostFs;
use operation::{Operation, compare, operations};
use proptest::prelude::*;

/// The runner's half, without an enclave in between.
struct Runner(urts::HostFiles);

type Reply<T> = Result<T, Errno>;

fn errno(number: i32) -> Errno {
    Errno::from_code(number.into()).expect("Linux's number")
}

impl HostFiles for Runner {
    fn root(&self, source: &[u8], new: u32) -> Reply<HostStatus> {
        self.0.root(source, new).map_err(errno)
    }

    fn look_up(&self, directory: u32, name: &[u8], new: u32) -> Reply<HostStatus> {
        self.0.look_up(directory, name, new).map_err(errno)
    }

    fn close(&self, handle: u32) {
        self.0.close(handle);
    }

    fn status(&self, handle: u32) -> Reply<HostStatus> {
        self.0.status(handle).map_err(errno)
    }

    fn open(&self, handle: u32, is_written: bool) -> Reply<()> {
        self.0.open(handle, is_written).map_err(errno)
    }

    /// No more than the real one has room for.
    fn read(&self, handle: u32, offset: u64, bytes: &mut [u8]) -> Reply<usize> {
        let length = bytes.len().min(1000);
        let part = &mut bytes[..length];
        self.0.read(handle, offset, part).map_err(errno)
    }

    fn write(&self, handle: u32, offset: u64, bytes: &[u8]) -> Reply<usize> {
        let part = &bytes[..bytes.len().min(1000)];
        self.0.write(handle, offset, part).map_err(errno)
    }

    fn truncate(&self, handle: u32, size_bytes: u64) -> Reply<()> {
        self.0.truncate(handle, size_bytes).map_err(errno)
    }

    fn synchronize(&self, handle: u32) -> Reply<()> {
        self.0.synchronize(handle).map_err(errno)
    }

    fn list(&self, directory: u32, cookie: u64) -> Reply<Vec<u8>> {
        let mut room = vec![0; 600];
        let length = self.0.list(directory, cookie, &mut room).map_err(errno)?;
        room.truncate(length);
        Ok(room)
    }

    fn create(
        &self,
        directory: u32,
        name: &[u8],
        mode: u32,
        link_target: &[u8],
        new: u32,
    ) -> Reply<HostStatus> {
        let made = self.0.create(directory, name, mode, link_target, new);
        made.map_err(errno)
    }

    fn link(&self, directory: u32, name: &[u8], target: u32) -> Reply<()> {
        self.0.link(directory, name, target).map_err(errno)
    }

    fn remove(&self, directory: u32, name: &[u8], is_directory: bool) -> Reply<()> {
        self.0.remove(directory, name, is_directory).map_err(errno)
    }

    fn rename(&self, from: (u32, &[u8]), to: (u32, &[u8]), flags: u32) -> Reply<()> {
        self.0.rename(from, to, flags).map_err(errno)
    }

    fn read_link(&self, handle: u32) -> Reply<Vec<u8>> {
        self.0.read_link(handle).map_err(errno)
    }

    fn change(&self, handle: u32, change: &HostChange) -> Reply<()> {
        self.0.change(handle, change).map_err(errno)
    }

    fn sizes(&self, handle: u32) -> Reply<HostSizes> {
        self.0.sizes(handle).map_err(errno)
    }
}

/// What both sides have: `hostfs` shows no set-id and sticky bits, and has no attributes, storage on
/// demand and files without a name.
fn common(operation: Operation) -> Option<Operation> {
    const O_TMPFILE_ONLY: u32 = 0o20_000_000;
    match operation {
        Operation::Attribute { .. } | Operation::Allocate { .. } => None,
        Operation::Open { flags, .. } if flags & O_TMPFILE_ONLY != 0 => None,
        Operation::ChangeMode { path, mode } => Some(Operation::ChangeMode {
            path,
            mode: mode & 0o777,
        }),
        other => Some(other),
    }
}

fn root(directory: &std::path::Path) -> std::sync::Arc<HostFs> {
    let files = urts::HostFiles::new(std::path::PathBuf::new());
    let runner: &'static Runner = Box::leak(Box::new(Runner(files)));
    HostFs::new(runner, directory.as_os_str().as_bytes(), false).expect("directory")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 700, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_lent_directory_does_what_linux_does(operations in operations()) {
        let operations: Vec<_> = operations.into_iter().filter_map(common).collect();
        let lent = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("room");
        let mut libos = libos::LibOs::new(root(lent.path()), true);
        libos.nest();
        compare(&mut host::Host::new(true), &mut libos, &operations)?;
    }
}

#[test]
fn no_name_leads_out_of_the_directory() {
    let lent = tempfile::tempdir().expect("room");
    std::os::unix::fs::symlink("/etc", lent.path().join("out")).expect("link");
    std::fs::write(lent.path().join("file"), "in").expect("file");
    let files = urts::HostFiles::new(lent.path().to_owned());
    files.root(b".", 1).expect("the directory");

    for name in [&b".."[..], b".", b"", b"/", b"out/passwd", b"../x", b"a\0"] {
        assert!(files.look_up(1, name, 2).is_err(), "{name:?}");
        assert!(
            files.create(1, name, 0o100_644, b"", 2).is_err(),
            "{name:?}"
        );
        assert!(files.remove(1, name, false).is_err(), "{name:?}");
        assert!(
            files.rename((1, b"file"), (1, name), 0).is_err(),
            "{name:?}"
        );
    }
    let link = files.look_up(1, b"out", 3).expect("the link itself");
    assert_eq!(link.mode & 0o170_000, 0o120_000);
    assert!(files.look_up(3, b"passwd", 4).is_err());
    assert!(files.open(3, false).is_err());
    assert_eq!(files.read_link(3), Ok(b"/etc".to_vec()));
}

#[test]
fn what_is_no_file_is_never_opened() {
    let lent = tempfile::tempdir().expect("room");
    let path = lent.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("fifo");
    let files = urts::HostFiles::new(lent.path().to_owned());
    files.root(b"", 1).expect("the directory");
    files.look_up(1, b"fifo", 2).expect("the place");

    // It would wait for a writer.
    assert!(files.open(2, false).is_err());
    assert!(files.read(2, 0, &mut [0; 8]).is_err());
}
