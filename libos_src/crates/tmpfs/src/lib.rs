//! A file system in enclave memory: files, directories, links and rename as on Linux.
//!
//! Its size limit bounds all the memory that it uses, names and empty files included, so that no
//! program can exhaust the heap of the LibOS through it: what goes beyond is `ENOSPC`.
//!
//! Of reads the first after each change is noted (`relatime`, without the daily note).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod budget;
mod content;
mod directory;
mod node;
mod rename;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use locks::Mutex;
use vfs::{Clock, FileSystem, FileType, Inode, Mode, NewNode, Result, SizeLimits, Statistics};

use budget::Budget;
use node::Node;

/// `TMPFS_MAGIC` of `linux/magic.h`.
const MAGIC: u64 = 0x0102_1994;
/// The unit in which content takes memory.
const PAGE_SIZE_BYTES: usize = 4096;

/// A file system in memory. It is gone when it is dropped.
pub struct TmpFs {
    shared: Arc<Shared>,
    root: Arc<Node>,
}

/// What all inodes of one file system have in common.
struct Shared {
    clock: Arc<dyn Clock>,
    budget: Budget,
    next_inode: AtomicU64,
    /// Held by everything that changes which names exist.
    tree: Mutex<()>,
}

impl TmpFs {
    /// An empty file system that uses at most `limit_bytes` of memory. Its root is owned by the
    /// superuser and has the mode `root_mode`.
    ///
    /// # Errors
    /// `ENOSPC` if the limit has no room for the root itself.
    pub fn new(limit_bytes: u64, root_mode: Mode, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            clock,
            budget: Budget::new(limit_bytes),
            next_inode: AtomicU64::new(1),
            tree: Mutex::new(()),
        });
        let node = NewNode {
            kind: FileType::Directory,
            mode: root_mode,
            user: 0,
            group: 0,
            represents: vfs::DeviceNumber::default(),
            link_target: b"",
        };
        let root = Node::new(&shared, &node)?;
        root.state().link_count = 2;
        Ok(Arc::new(Self { shared, root }))
    }

    /// How much of the limit is in use.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.shared.budget.bytes.used()
    }
}

impl Shared {
    fn new_inode_number(&self) -> u64 {
        self.next_inode.fetch_add(1, Ordering::Relaxed)
    }
}

impl FileSystem for TmpFs {
    fn type_name(&self) -> &'static str {
        "tmpfs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statistics(&self) -> Result<Statistics> {
        let Budget { bytes, inodes } = &self.shared.budget;
        // As Linux says of what has no limit.
        let size_bytes = bytes.bound().unwrap_or(0);
        let free_bytes = size_bytes.saturating_sub(bytes.used());
        let by_memory = free_bytes / budget::INODE_BYTES;
        let (inodes, inodes_free) = match inodes.bound() {
            Some(limit) => (limit, limit.saturating_sub(inodes.used())),
            None => (size_bytes / budget::INODE_BYTES, by_memory),
        };
        let page = PAGE_SIZE_BYTES as u64;
        Ok(Statistics {
            magic: MAGIC,
            block_size_bytes: page,
            blocks: size_bytes / page,
            blocks_free: free_bytes / page,
            inodes,
            inodes_free,
        })
    }

    fn limit(&self, limits: SizeLimits) -> Result<()> {
        self.shared.budget.limit(limits)
    }

    fn options(&self) -> String {
        let Budget { bytes, inodes } = &self.shared.budget;
        let mut text = format!(",size={}k", bytes.bound().unwrap_or(0) / 1024);
        if let Some(limit) = inodes.bound() {
            text += &format!(",nr_inodes={limit}");
        }
        text
    }
}
