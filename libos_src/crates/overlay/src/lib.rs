//! A writable file system whose first content is another, read-only one.
//!
//! The *lower* file system is never changed. What differs from it is in the *upper* one, in the form
//! that Linux's overlayfs gives its upper directory: a removed name is a whiteout (character device
//! 0:0), a directory that hides the one below is *opaque*, and `trusted.overlay.*` attributes say
//! what else a file must know about where it came from:
//!
//! ```text
//! opaque     "y": nothing of the lower directory with this name shows through
//! redirect   path of the lower directory or file that this one continues
//! metacopy   empty: the content is still that of the lower file
//! origin     inode number of the lower file, little endian
//! ```
//!
//! Three things are better than on Linux, since one party sees all uses of a file: the content of a
//! file is copied when it is first written to, not when it is opened for that; an open file sees what
//! is written to it through other descriptors; hard links of the lower file system stay links.
//!
//! Lock order: [`Shared::tree`], then the state of one node, then the upper file system's own.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod change;
mod copy_up;
mod listing;
mod marks;
mod node;
mod rename;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};

use locks::{Mutex, RwLock};
use vfs::{
    AttributeChange, DeviceNumber, DirectoryEntry, Errno, FileSystem, FileType, Inode, Mode, Name,
    NewNode, Result, SinkState, Statistics,
};

use node::{Lower, Node};

/// `OVERLAYFS_SUPER_MAGIC` of `linux/magic.h`.
const MAGIC: u64 = 0x794c_7630;
/// Added to the inode numbers of the upper file system, so that they differ from the lower ones.
const UPPER_NUMBERS: u64 = 1 << 40;

/// The union of two file systems.
pub struct OverlayFs {
    shared: Arc<Shared>,
    root: Arc<Node>,
}

/// What all nodes have in common.
pub(crate) struct Shared {
    pub(crate) upper: Arc<dyn FileSystem>,
    pub(crate) lower_root: Arc<dyn Inode>,
    /// Where things are made ready before they appear, and where they go before they are destroyed.
    pub(crate) work: Arc<dyn Inode>,
    next_work: AtomicU64,
    /// Written by everything that changes which names exist or where a file is kept.
    pub(crate) tree: RwLock<()>,
    /// The nodes in use by number: there is one for each file.
    pub(crate) nodes: Mutex<BTreeMap<u64, Weak<Node>>>,
    /// Files with several lower names, once some of these were changed: the other names must find
    /// them.
    pub(crate) kept: Mutex<BTreeMap<u64, Arc<Node>>>,
}

impl OverlayFs {
    /// `lower` with all changes in `upper`, a file system that can be written, supports extended
    /// attributes and belongs to this overlay alone. Its root gets two directories, `upper` and
    /// `work`; what an earlier overlay of the same `lower` left there counts.
    ///
    /// # Errors
    /// What `upper` says: it may be full.
    pub fn new(lower: &Arc<dyn FileSystem>, upper: Arc<dyn FileSystem>) -> Result<Arc<Self>> {
        let lower_root = lower.root();
        let below = lower_root.metadata()?;
        let like_root = NewNode {
            kind: FileType::Directory,
            mode: below.mode,
            user: below.user,
            group: below.group,
            represents: DeviceNumber::default(),
            link_target: b"",
        };
        let private = NewNode {
            mode: Mode::empty(),
            ..like_root
        };
        let (upper_root, is_new) = directory(&*upper.root(), b"upper", &like_root)?;
        if is_new {
            upper_root.set_attributes(&AttributeChange {
                accessed: Some(below.accessed),
                modified: Some(below.modified),
                ..AttributeChange::default()
            })?;
        }
        let (work, is_new) = directory(&*upper.root(), b"work", &private)?;
        if !is_new {
            clear(&*work)?;
        }
        let shared = Arc::new(Shared {
            upper,
            lower_root: lower_root.clone(),
            work,
            next_work: AtomicU64::new(0),
            tree: RwLock::new(()),
            nodes: Mutex::default(),
            kept: Mutex::default(),
        });
        let lower = Lower {
            inode: lower_root,
            path: (*b"").into(),
        };
        let root = Node::root(&shared, lower, below.inode, upper_root);
        Ok(Arc::new(Self { shared, root }))
    }
}

impl Shared {
    /// A name in the work directory that nothing has.
    pub(crate) fn work_name(&self) -> String {
        format!("{}", self.next_work.fetch_add(1, Ordering::Relaxed))
    }
}

/// The directory `name`, made if it is not there, and whether it was.
fn directory(
    parent: &dyn Inode,
    name: &[u8],
    node: &NewNode<'_>,
) -> Result<(Arc<dyn Inode>, bool)> {
    let name = Name::new(name)?;
    match parent.lookup(name) {
        Ok(found) => Ok((found, false)),
        Err(Errno::ENOENT) => Ok((parent.create(name, node)?, true)),
        Err(error) => Err(error),
    }
}

/// Empties the work directory. Directories in it hold nothing but whiteouts.
fn clear(work: &dyn Inode) -> Result<()> {
    let mut entries = alloc::vec::Vec::new();
    work.read_directory(0, &mut |entry: &DirectoryEntry<'_>| {
        entries.push((entry.name.to_vec(), entry.kind));
        SinkState::Taken
    })?;
    for (name, kind) in entries {
        let name = Name::new(&name)?;
        if kind == FileType::Directory {
            marks::remove_whiteouts(&*work.lookup(name)?)?;
            work.remove_directory(name)?;
        } else {
            work.unlink(name)?;
        }
    }
    Ok(())
}

impl FileSystem for OverlayFs {
    fn type_name(&self) -> &'static str {
        "overlay"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    /// The room is that of the upper file system.
    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics {
            magic: MAGIC,
            ..self.shared.upper.statistics()?
        })
    }

    fn synchronize(&self) -> Result<()> {
        self.shared.upper.synchronize()
    }
}

impl Drop for OverlayFs {
    /// Lets go of the nodes that hold what holds them.
    fn drop(&mut self) {
        let kept = core::mem::take(&mut *self.shared.kept.lock());
        drop(kept);
    }
}
