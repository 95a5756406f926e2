//! A directory of the untrusted host as a file system.
//!
//! Nothing in it is secret from the host, and nothing in it is to be believed: the host may invent
//! names, sizes and content, and change them between two looks. What is promised is that whatever it
//! says is something a file system can say: names without `/` and zero bytes, a kind of file that
//! stays for as long as the file is in use, sizes below 2^48, dates with less than a second of
//! nanoseconds. Everything else is `EIO`.
//!
//! Owner and group of all files are the superuser; set-id bits of the host do not show. FIFOs, sockets
//! and devices are seen and never opened.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod inode;
mod judge;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use hal::HostFiles;
use locks::Mutex;
use vfs::{FileSystem, Inode, Result, Statistics};

use inode::HostInode;

/// `FUSE_SUPER_MAGIC` of `linux/magic.h`: files that somebody else keeps.
const MAGIC: u64 = 0x6573_5546;

/// A directory of the host.
pub struct HostFs {
    root: Arc<HostInode>,
}

/// What all inodes have in common.
pub(crate) struct Shared {
    pub(crate) host: &'static dyn HostFiles,
    /// The device of the root: files on others get numbers that look different.
    pub(crate) device: u64,
    is_read_only: bool,
    /// Held while something is appended, which takes two steps.
    pub(crate) end: Mutex<()>,
}

impl HostFs {
    /// The directory that the host finds under `source`.
    ///
    /// # Errors
    /// What the host says; `ENOTDIR`; `EIO` for an answer that no file system gives.
    pub fn new(
        host: &'static dyn HostFiles,
        source: &[u8],
        is_read_only: bool,
    ) -> Result<Arc<Self>> {
        let handle = new_handle();
        let status = host.root(source, handle)?;
        let shared = Arc::new(Shared {
            host,
            device: status.device,
            is_read_only,
            end: Mutex::new(()),
        });
        let root = HostInode::new(&shared, handle, &status)?;
        Ok(Arc::new(Self { root }))
    }
}

/// A handle that nothing has. Four thousand million files in one run would be needed to meet one
/// again.
pub(crate) fn new_handle() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl FileSystem for HostFs {
    fn type_name(&self) -> &'static str {
        "hostfs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statistics(&self) -> Result<Statistics> {
        let sizes = self.root.sizes()?;
        Ok(Statistics {
            magic: MAGIC,
            ..judge::statistics(&sizes)?
        })
    }

    fn is_read_only(&self) -> bool {
        self.root.shared().is_read_only
    }
}
