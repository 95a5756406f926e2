//! The tree of names in use.
//!
//! A dentry binds an inode to its parent and name for as long as anybody uses it, so that `..`,
//! `getcwd` and mount points stay right when a directory is renamed. A parent knows its children
//! weakly: there is one dentry for each name in use, and none for names that nobody uses, but for a
//! few names of a file system that never changes: most are soon used again.
//!
//! Lock order: [`SuperBlock::rename`], then the `children` of one directory (of two only while the
//! rename lock is held), then a `link`. The last reference to a dentry is never dropped under its
//! parent's `children` lock, since its destructor takes that lock.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::errno::Errno;
use locks::{Mutex, MutexGuard, Once};

use crate::writing::Uses;
use crate::{
    ContentObserver, DeviceNumber, Event, EventObserver, FileSystem, FileType, Inode, Name,
    NewNode, RenameFlags, Result,
};

/// A mounted file system, shared by all its mounts.
pub(crate) struct SuperBlock {
    pub(crate) file_system: Arc<dyn FileSystem>,
    pub(crate) device: DeviceNumber,
    pub(crate) observer: Once<Arc<dyn ContentObserver>>,
    pub(crate) events: Once<Arc<dyn EventObserver>>,
    /// Held by a rename across directories and by whoever needs the shape of the tree to stay.
    rename: Mutex<()>,
    /// Names that were used lately, if the file system never changes.
    recent: Mutex<Recent>,
}

/// The last names that were looked up. A reference for each, so it must be emptied at the end.
#[derive(Default)]
struct Recent {
    dentries: Vec<Arc<Dentry>>,
    /// Which one is the oldest, once there are enough.
    oldest: usize,
}

/// How many names that nobody uses are kept.
const RECENT_MAX: usize = 256;

impl SuperBlock {
    pub(crate) fn new(file_system: Arc<dyn FileSystem>, device: DeviceNumber) -> Arc<Self> {
        Arc::new(Self {
            file_system,
            device,
            observer: Once::new(),
            events: Once::new(),
            rename: Mutex::new(()),
            recent: Mutex::default(),
        })
    }

    /// Keeps a name for a while that was just looked up. No other lock is held.
    fn keep(&self, dentry: &Arc<Dentry>) {
        if !self.file_system.never_changes() {
            return;
        }
        let mut recent = self.recent.lock();
        let Recent { dentries, oldest } = &mut *recent;
        let gone = if dentries.len() < RECENT_MAX {
            dentries.push(dentry.clone());
            None
        } else {
            let gone = core::mem::replace(&mut dentries[*oldest], dentry.clone());
            *oldest = (*oldest + 1) % RECENT_MAX;
            Some(gone)
        };
        drop(recent);
        drop(gone);
    }

    /// Keeps no name that nobody uses: a mount has gone.
    pub(crate) fn forget_recent(&self) {
        let recent = core::mem::take(&mut *self.recent.lock());
        drop(recent);
    }

    /// Keeps every directory where it is while the guard lives.
    pub(crate) fn freeze_shape(&self) -> MutexGuard<'_, ()> {
        self.rename.lock()
    }
}

/// One name in use.
pub(crate) struct Dentry {
    pub(crate) id: u64,
    pub(crate) inode: Arc<dyn Inode>,
    pub(crate) super_block: Arc<SuperBlock>,
    /// How many mounts sit on this dentry, over all mounts of its file system.
    pub(crate) mounts_here: AtomicU32,
    /// Who uses the file, where the file system does not keep that itself.
    pub(crate) uses: Uses,
    link: Mutex<Link>,
    children: Mutex<Children>,
}

/// What a rename must be allowed by, apart from the shape of the tree.
pub(crate) trait RenameChecks {
    /// Whether the request makes sense for what is there.
    fn check_request(&self, source: &Dentry, replaced: Option<&Dentry>) -> Result<()>;
    /// Whether the caller may do it, and the kinds of file fit.
    fn check_rights(&self, source: &Dentry, replaced: Option<&Dentry>) -> Result<()>;
}

/// Where a dentry hangs.
struct Link {
    parent: Option<Arc<Dentry>>,
    name: Box<[u8]>,
    is_deleted: bool,
}

#[derive(Default)]
struct Children {
    by_name: BTreeMap<Box<[u8]>, Child>,
    /// Counts changes of the directory, so that a lookup that raced with one is repeated.
    changes: u64,
}

struct Child {
    id: u64,
    dentry: Weak<Dentry>,
}

impl Children {
    fn get(&self, name: &[u8]) -> Option<Arc<Dentry>> {
        self.by_name.get(name)?.dentry.upgrade()
    }

    /// Whether `name` is known as this dentry, so that what was looked up is still what it was.
    fn has(&self, name: &[u8], dentry: &Dentry) -> bool {
        self.by_name
            .get(name)
            .is_some_and(|child| child.id == dentry.id)
    }

    fn insert(&mut self, name: &[u8], dentry: &Arc<Dentry>) {
        self.changes += 1;
        let child = Child {
            id: dentry.id,
            dentry: Arc::downgrade(dentry),
        };
        self.by_name.insert(name.into(), child);
    }

    /// Forgets a name. The caller drops the result after the lock on these children.
    #[must_use]
    fn remove(&mut self, name: &[u8]) -> Option<Arc<Dentry>> {
        self.changes += 1;
        self.by_name.remove(name)?.dentry.upgrade()
    }
}

impl Dentry {
    fn new(inode: Arc<dyn Inode>, super_block: &Arc<SuperBlock>, link: Link) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            inode,
            super_block: super_block.clone(),
            mounts_here: AtomicU32::new(0),
            uses: Uses::default(),
            link: Mutex::new(link),
            children: Mutex::default(),
        })
    }

    /// The root of a file system, or something outside of any tree, such as a pipe.
    pub(crate) fn detached(
        inode: Arc<dyn Inode>,
        super_block: &Arc<SuperBlock>,
        name: &[u8],
    ) -> Arc<Self> {
        let link = Link {
            parent: None,
            name: name.into(),
            is_deleted: false,
        };
        Self::new(inode, super_block, link)
    }

    /// A file of a directory's file system that has no name yet (`O_TMPFILE`).
    pub(crate) fn unnamed(inode: Arc<dyn Inode>, directory: &Arc<Self>) -> Arc<Self> {
        let name = alloc::format!("#{}", inode.metadata().map_or(0, |metadata| metadata.inode));
        let link = Link {
            parent: Some(directory.clone()),
            name: name.as_bytes().into(),
            is_deleted: true,
        };
        Self::new(inode, &directory.super_block, link)
    }

    fn new_child(self: &Arc<Self>, name: Name<'_>, inode: Arc<dyn Inode>) -> Arc<Self> {
        let link = Link {
            parent: Some(self.clone()),
            name: name.as_bytes().into(),
            is_deleted: false,
        };
        Self::new(inode, &self.super_block, link)
    }

    pub(crate) fn parent(&self) -> Option<Arc<Self>> {
        self.link.lock().parent.clone()
    }

    pub(crate) fn name(&self) -> Box<[u8]> {
        self.link.lock().name.clone()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.link.lock().is_deleted
    }

    /// Makes it a mount point once more: no removal and no rename comes between.
    pub(crate) fn cover(&self) -> Result<()> {
        let _shape = self.super_block.freeze_shape();
        let parent = self.parent();
        let _siblings = parent.as_ref().map(|parent| parent.children.lock());
        if self.is_deleted() {
            return Err(Errno::ENOENT);
        }
        self.mounts_here.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    pub(crate) fn is_mount_point(&self) -> bool {
        self.mounts_here.load(Ordering::Acquire) != 0
    }

    /// Whether `self` is `other` or above it. The caller holds the rename lock.
    fn is_above(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let mut here = Some(other.clone());
        while let Some(dentry) = here {
            if Arc::ptr_eq(self, &dentry) {
                return true;
            }
            here = dentry.parent();
        }
        false
    }

    /// The dentry of an entry.
    pub(crate) fn child(self: &Arc<Self>, name: Name<'_>) -> Result<Arc<Self>> {
        if self.inode.has_volatile_entries() {
            return Ok(self.new_child(name, self.inode.lookup(name)?));
        }
        loop {
            let (known, changes) = {
                let children = self.children.lock();
                (children.get(&name), children.changes)
            };
            if let Some(known) = known {
                if self.is_as_known(name, &known)? {
                    return Ok(known);
                }
                self.forget(name, &known);
                continue;
            }
            // Without the lock: this may read from the host.
            let fresh = self.new_child(name, self.inode.lookup(name)?);
            let mut children = self.children.lock();
            if let Some(known) = children.get(&name) {
                drop(children);
                return Ok(known);
            }
            if children.changes == changes {
                children.insert(&name, &fresh);
                drop(children);
                self.super_block.keep(&fresh);
                return Ok(fresh);
            }
        }
    }

    /// Whether a name still means what it meant when it was looked up.
    fn is_as_known(&self, name: Name<'_>, known: &Arc<Self>) -> Result<bool> {
        if !self.inode.has_foreign_changes() || known.is_mount_point() {
            return Ok(true);
        }
        match self.inode.lookup(name) {
            Ok(now) => Ok(now.metadata()?.inode == known.inode.metadata()?.inode),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether `name` means `child` while `children` are locked. Where entries come and go by
    /// themselves, that is up to the file system.
    fn still_has(&self, children: &Children, name: Name<'_>, child: &Arc<Self>) -> bool {
        self.inode.has_volatile_entries() || children.has(&name, child)
    }

    /// Notes that somebody else took a name away.
    fn forget(&self, name: Name<'_>, known: &Arc<Self>) {
        let mut children = self.children.lock();
        // It may have been moved meanwhile.
        if children.has(&name, known) {
            let removed = children.remove(&name);
            drop(children);
            known.link.lock().is_deleted = true;
            drop(removed);
        }
    }

    /// Makes an entry.
    pub(crate) fn create(
        self: &Arc<Self>,
        name: Name<'_>,
        node: &NewNode<'_>,
    ) -> Result<Arc<Self>> {
        let mut children = self.children.lock();
        let dentry = self.new_child(name, self.inode.create(name, node)?);
        children.insert(&name, &dentry);
        drop(children);
        Ok(dentry)
    }

    /// Adds an entry for an inode of the same file system.
    pub(crate) fn link(&self, name: Name<'_>, target: &Arc<dyn Inode>) -> Result<()> {
        let mut children = self.children.lock();
        children.changes += 1;
        self.inode.link(name, target)
    }

    /// Removes an entry, which the caller looked up as `victim`. `false` means that the name has
    /// come to mean something else and nothing was done.
    pub(crate) fn remove(&self, name: Name<'_>, victim: &Arc<Self>) -> Result<bool> {
        let mut children = self.children.lock();
        if !self.still_has(&children, name, victim) {
            return Ok(false);
        }
        if victim.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        match victim.inode.kind() {
            FileType::Directory => self.inode.remove_directory(name)?,
            _ => self.inode.unlink(name)?,
        }
        let removed = children.remove(&name);
        victim.link.lock().is_deleted = true;
        drop(children);
        drop(removed);
        Ok(true)
    }

    /// Moves the entry `from` of `self` to `to` of `target`, which is of the same file system.
    /// `false` means that a name has come to mean something else and nothing was done.
    ///
    /// `checks` sees the source and what has the target's name, if anything has.
    pub(crate) fn rename(
        self: &Arc<Self>,
        from: Name<'_>,
        target: &Arc<Self>,
        to: Name<'_>,
        flags: RenameFlags,
        checks: &dyn RenameChecks,
    ) -> Result<bool> {
        let shape = self.super_block.rename.lock();
        let source = self.child(from)?;
        let replaced = match target.child(to) {
            Ok(replaced) => Some(replaced),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        // The order of these checks is Linux's, as far as a program can tell.
        checks.check_request(&source, replaced.as_deref())?;
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        if source.is_above(target) {
            return Err(Errno::EINVAL);
        }
        if replaced
            .as_ref()
            .is_some_and(|replaced| replaced.is_above(self))
        {
            return Err(if exchange {
                Errno::EINVAL
            } else {
                Errno::ENOTEMPTY
            });
        }
        if replaced
            .as_ref()
            .is_some_and(|replaced| source.is_same_file(replaced))
        {
            return Ok(true);
        }
        checks.check_rights(&source, replaced.as_deref())?;
        let is_mount_point = |dentry: &Arc<Self>| dentry.is_mount_point();
        if is_mount_point(&source) || replaced.as_ref().is_some_and(is_mount_point) {
            return Err(Errno::EBUSY);
        }

        let mut source_children = self.children.lock();
        let mut other_children = (!Arc::ptr_eq(self, target)).then(|| target.children.lock());
        let target_children = other_children.as_deref().unwrap_or(&*source_children);
        let is_current = self.still_has(&source_children, from, &source)
            && (replaced.as_ref())
                .is_none_or(|replaced| target.still_has(target_children, to, replaced));
        if !is_current {
            return Ok(false);
        }
        self.inode.rename(from, &target.inode, to, flags)?;
        // `source` and `replaced` are alive, so nothing is dropped for good under the locks.
        let moved = source_children.remove(&from);
        let target_children = other_children
            .as_deref_mut()
            .unwrap_or(&mut *source_children);
        let displaced = target_children.remove(&to);
        target_children.insert(&to, &source);
        if exchange && let Some(replaced) = &replaced {
            source_children.insert(&from, replaced);
        }
        drop(other_children);
        drop(source_children);

        let old = source.move_to(target, to);
        let old_of_replaced = replaced.as_ref().map(|replaced| {
            if exchange {
                return Some(replaced.move_to(self, from));
            }
            replaced.link.lock().is_deleted = true;
            None
        });
        drop(shape);
        drop((old, old_of_replaced, moved, displaced));
        Ok(true)
    }

    /// Rehangs the dentry and returns the old place, to be dropped without locks.
    fn move_to(&self, parent: &Arc<Self>, name: Name<'_>) -> Link {
        let link = Link {
            parent: Some(parent.clone()),
            name: name.as_bytes().into(),
            is_deleted: false,
        };
        core::mem::replace(&mut *self.link.lock(), link)
    }

    fn is_same_file(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.inode, &other.inode) {
            return true;
        }
        match (self.inode.metadata(), other.inode.metadata()) {
            (Ok(mine), Ok(theirs)) => mine.inode == theirs.inode,
            _ => false,
        }
    }
}

impl Drop for Dentry {
    /// Leaves the parent, and frees a chain of parents that nobody else uses without recursion: the
    /// chain is as long as the deepest path, the stack is not.
    fn drop(&mut self) {
        if self.link.get_mut().is_deleted
            && let Some(observer) = self.observer()
            && (self.inode.metadata()).is_ok_and(|metadata| metadata.link_count == 0)
        {
            self.tell_self(observer, Event::DELETE_SELF);
        }
        let mut id = self.id;
        let mut link = core::mem::replace(
            self.link.get_mut(),
            Link {
                parent: None,
                name: Box::default(),
                is_deleted: true,
            },
        );
        while let Some(parent) = link.parent.take() {
            let mut children = parent.children.lock();
            if children
                .by_name
                .get(&link.name)
                .is_some_and(|child| child.id == id)
            {
                children.by_name.remove(&link.name);
            }
            drop(children);
            let Some(mut parent) = Arc::into_inner(parent) else {
                return;
            };
            id = parent.id;
            link = core::mem::replace(
                parent.link.get_mut(),
                Link {
                    parent: None,
                    name: Box::default(),
                    is_deleted: true,
                },
            );
        }
    }
}
