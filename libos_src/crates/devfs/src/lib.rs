//! `/dev`: the devices that programs expect, and links to the standard streams.
//!
//! ```text
//! null zero full random urandom     served here
//! tty console                       the kernel's terminals
//! ptmx                              a link to pts/ptmx
//! fd stdin stdout stderr            links into /proc/self/fd
//! pts shm                           empty directories to mount on
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod memory;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use vfs::{
    DeviceNumber, FileSystem, FileType, Inode, Result, StaticDirectory, StaticLink, Statistics,
};

use memory::{MemoryDevice, Source};

/// `TMPFS_MAGIC`: on Linux devtmpfs reports that too.
const MAGIC: u64 = 0x0102_1994;

/// Random bytes for `/dev/random` and `/dev/urandom`.
pub trait Random: Send + Sync {
    /// Fills `buffer` from a source that the host does not know.
    fn fill(&self, buffer: &mut [u8]);
}

/// The file system of devices.
pub struct DevFs {
    root: Arc<StaticDirectory>,
    /// Those with a number.
    devices: Vec<Arc<dyn Inode>>,
}

impl DevFs {
    /// `terminal` and `console` are the devices `tty` and `console`, which open as what they stand
    /// for.
    #[must_use]
    pub fn new(
        random: Arc<dyn Random>,
        terminal: Arc<dyn Inode>,
        console: Arc<dyn Inode>,
    ) -> Arc<Self> {
        let device = |inode, minor, source| -> Arc<dyn Inode> {
            Arc::new(MemoryDevice::new(inode, minor, source))
        };
        let link = |inode, target| -> Arc<dyn Inode> { StaticLink::new(inode, target) };
        let directory = |inode| -> Arc<dyn Inode> { StaticDirectory::new::<&str>(inode, vec![]) };
        let entries: Vec<(&'static str, Arc<dyn Inode>)> = vec![
            ("null", device(2, 3, Source::Nothing)),
            ("zero", device(3, 5, Source::Zeros)),
            ("full", device(4, 7, Source::ZerosWithoutRoom)),
            ("random", device(5, 8, Source::Random(random.clone()))),
            ("urandom", device(6, 9, Source::Random(random))),
            ("tty", terminal),
            ("console", console),
            ("ptmx", link(13, "pts/ptmx")),
            ("fd", link(7, "/proc/self/fd")),
            ("stdin", link(8, "/proc/self/fd/0")),
            ("stdout", link(9, "/proc/self/fd/1")),
            ("stderr", link(10, "/proc/self/fd/2")),
            ("pts", directory(11)),
            ("shm", directory(12)),
        ];
        let is_device = |inode: &&Arc<dyn Inode>| inode.kind() == FileType::CharacterDevice;
        let all = entries.iter().map(|(_, inode)| inode);
        Arc::new(Self {
            devices: all.filter(is_device).cloned().collect(),
            root: StaticDirectory::new(1, entries),
        })
    }

    /// The device with a number, for nodes elsewhere that stand for it.
    #[must_use]
    pub fn device(&self, number: DeviceNumber) -> Option<&Arc<dyn Inode>> {
        let stands_for = |inode: &&Arc<dyn Inode>| {
            (inode.metadata()).is_ok_and(|metadata| metadata.represents == number)
        };
        self.devices.iter().find(stands_for)
    }
}

impl FileSystem for DevFs {
    fn type_name(&self) -> &'static str {
        "devtmpfs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics {
            magic: MAGIC,
            block_size_bytes: 4096,
            ..Statistics::default()
        })
    }
}
