//! The mount table.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::errno::Errno;
use bitflags::bitflags;
use locks::{Once, RwLock};

use crate::anonymous::Anonymous;
use crate::dentry::{Dentry, SuperBlock};
use crate::{DeviceNumber, FileSystem, FileType, Inode, Location, OpenFile, OpenFlags, Result};

/// A tree of mounts that processes share.
pub struct Namespace {
    root: Location,
    /// One for each of [`Anonymous::ALL`].
    anonymous: Vec<Arc<Mount>>,
    table: RwLock<Table>,
    next_device: AtomicU32,
    special_files: Once<Arc<dyn SpecialFiles>>,
}

/// Which mounts there are, but for the root.
#[derive(Default)]
struct Table {
    /// By the place that the lowest of them covers: the mounts there, each on the top of the one before.
    stacks: BTreeMap<Place, Vec<Arc<Mount>>>,
    count: usize,
}

/// A place by the identity of its mount and of its dentry.
type Place = (u64, u64);

/// How many mounts there may be, as Linux has it (`/proc/sys/fs/mount-max`).
pub const MOUNTS_MAX: usize = 100_000;

/// What only a kernel can make of files that are no more than names in a file system.
pub trait SpecialFiles: Send + Sync {
    /// Opens the FIFO at `location`: the end that `flags` ask for.
    ///
    /// # Errors
    /// `ENXIO` for one that nobody reads, when it must not wait.
    fn open_fifo(&self, location: &Location, flags: OpenFlags) -> Result<Arc<dyn Inode>>;

    /// Opens the character device that a node stands for.
    ///
    /// # Errors
    /// `ENXIO` if there is none with that number.
    fn open_device(&self, number: DeviceNumber, flags: OpenFlags) -> Result<Arc<dyn Inode>>;
}

/// A file system, or a part of one, attached to the tree.
pub struct Mount {
    id: u64,
    flags: AtomicU32,
    /// Restrictions that stay.
    kept: AtomicU32,
    /// What is covered; `None` for the root of the namespace.
    point: Option<Location>,
    /// What the lowest mount of its stack covers.
    stack: Option<Place>,
    pub(crate) root: Arc<Dentry>,
}

bitflags! {
    /// How a mount restricts its file system.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// Nothing can be changed through this mount.
        const READ_ONLY = 1;
        /// Set-user-id and set-group-id bits have no effect.
        const NO_SET_USER = 2;
        /// Device nodes cannot be opened.
        const NO_DEVICES = 4;
        /// Programs cannot be executed.
        const NO_EXECUTE = 8;
        /// Every write is durable, which here it is or never will be.
        const SYNCHRONOUS = 16;
        /// Reads are not noted.
        const NO_ACCESS_TIME = 1024;
        /// Reads of directories are not noted.
        const NO_DIRECTORY_ACCESS_TIME = 2048;
    }
}

impl Mount {
    fn new(root: Arc<Dentry>, covered: Option<(Location, Place)>, flags: MountFlags) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let (point, stack) = covered.unzip();
        Arc::new(Self {
            id,
            flags: AtomicU32::new(flags.bits()),
            kept: AtomicU32::new(0),
            point,
            stack,
            root,
        })
    }

    /// A number that no other mount ever has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its restrictions.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Restricts it in another way from now on. What is open stays as it is.
    ///
    /// # Errors
    /// `EPERM` if a restriction would go that was there when [`Namespace::keep_restrictions`] was
    /// called.
    pub fn set_flags(&self, flags: MountFlags) -> Result<()> {
        let kept = MountFlags::from_bits_truncate(self.kept.load(Ordering::Relaxed));
        if !flags.contains(kept) {
            return Err(Errno::EPERM);
        }
        self.flags.store(flags.bits(), Ordering::Relaxed);
        Ok(())
    }

    /// The place that it covers; `None` for the root of the namespace.
    #[must_use]
    pub fn point(&self) -> Option<&Location> {
        self.point.as_ref()
    }

    /// The place that it makes appear.
    #[must_use]
    pub fn top(self: &Arc<Self>) -> Location {
        top_of(self)
    }

    /// Its file system.
    #[must_use]
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.root.super_block.file_system
    }

    /// Whether both are mounted on each other at one place.
    pub(crate) fn is_stacked_with(&self, other: &Self) -> bool {
        self.stack.is_some() && self.stack == other.stack
    }

    /// Checks that changes may be made through this mount.
    ///
    /// # Errors
    /// `EROFS`.
    pub fn check_writable(&self) -> Result<()> {
        let read_only = self.flags().contains(MountFlags::READ_ONLY);
        if read_only || self.file_system().is_read_only() {
            return Err(Errno::EROFS);
        }
        Ok(())
    }
}

impl Namespace {
    /// A namespace that consists of one file system.
    ///
    /// # Errors
    /// `ENOTDIR` if its root is no directory.
    pub fn new(file_system: Arc<dyn FileSystem>, flags: MountFlags) -> Result<Arc<Self>> {
        let next_device = AtomicU32::new(1);
        let anonymous = Anonymous::ALL.map(|file_system| {
            let root = detached_root(Arc::new(file_system), &next_device)?;
            Ok(Mount::new(root, None, MountFlags::default()))
        });
        let root = Mount::new(detached_root(file_system, &next_device)?, None, flags);
        Ok(Arc::new(Self {
            root: top_of(&root),
            anonymous: anonymous.into_iter().collect::<Result<_>>()?,
            table: RwLock::default(),
            next_device,
            special_files: Once::new(),
        }))
    }

    /// Says who opens FIFOs. The first call counts; until then opening one is `ENXIO`.
    pub fn serve_special_files(&self, special_files: Arc<dyn SpecialFiles>) {
        self.special_files.call_once(|| special_files);
    }

    /// Opens what is at `location`, without any check of rights.
    pub(crate) fn open(&self, location: Location, flags: OpenFlags) -> Result<Arc<OpenFile>> {
        let is_named_fifo = location.kind() == FileType::Fifo && !self.is_anonymous(&location);
        if !is_named_fifo || flags.contains(OpenFlags::PATH) {
            let opened = OpenFile::new(location.clone(), flags);
            // One that no file system serves is only a number.
            let is_number = location.kind() == FileType::CharacterDevice;
            return match (opened, self.special_files.get()) {
                (Err(Errno::ENXIO), Some(special_files)) if is_number => {
                    let number = location.metadata()?.represents;
                    let device = special_files.open_device(number, flags)?;
                    Ok(OpenFile::through(location, device, flags))
                }
                (opened, _) => opened,
            };
        }
        let special_files = self.special_files.get().ok_or(Errno::ENXIO)?;
        let end = special_files.open_fifo(&location, flags)?;
        Ok(OpenFile::through(location, end, flags))
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> Location {
        self.enter(self.root.clone())
    }

    /// Mounts a file system on a directory, covering what is there. A file system is mounted once;
    /// [`bind`](Self::bind) makes it appear elsewhere too.
    ///
    /// # Errors
    /// `ENOTDIR`; `ENOENT` if the directory was removed; `ENOSPC` if there are too many.
    pub fn mount(
        &self,
        point: &Location,
        file_system: Arc<dyn FileSystem>,
        flags: MountFlags,
    ) -> Result<Arc<Mount>> {
        let root = detached_root(file_system, &self.next_device)?;
        self.attach(point, root, flags)
    }

    /// Makes `source` appear at `point` too.
    ///
    /// # Errors
    /// As [`mount`](Self::mount); `ENOTDIR` also if one is a directory and the other is not.
    pub fn bind(
        &self,
        point: &Location,
        source: &Location,
        flags: MountFlags,
    ) -> Result<Arc<Mount>> {
        self.attach(point, source.dentry.clone(), flags)
    }

    fn attach(&self, point: &Location, root: Arc<Dentry>, flags: MountFlags) -> Result<Arc<Mount>> {
        let is_directory = |kind| kind == FileType::Directory;
        if is_directory(point.kind()) != is_directory(root.inode.kind()) {
            return Err(Errno::ENOTDIR);
        }
        let mut table = self.table.write();
        // What is mounted there already becomes the point, so that the newest mount is seen.
        let lowest = table.stack_of(point);
        let point = table.top(point.clone());
        if table.count >= MOUNTS_MAX {
            return Err(Errno::ENOSPC);
        }
        point.dentry.cover()?;
        let mount = Mount::new(root, Some((point, lowest)), flags);
        table.stacks.entry(lowest).or_default().push(mount.clone());
        table.count += 1;
        Ok(mount)
    }

    /// Takes away the mount whose top is `top`. Whoever has files open in it keeps them.
    ///
    /// # Errors
    /// `EINVAL` if it is not the top of a mount, `EBUSY` if it is the root or has mounts in it.
    pub fn unmount(&self, top: &Location) -> Result<()> {
        let mut table = self.table.write();
        if !top.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        let Some(point) = top.mount.point() else {
            return Err(Errno::EBUSY);
        };
        let stack = (top.mount.stack.as_ref()).and_then(|lowest| table.stacks.get(lowest));
        let place = stack.and_then(|stack| place_in(stack, &top.mount));
        let (Some(stack), Some(place)) = (stack, place) else {
            return Err(Errno::EINVAL);
        };
        let is_covered = place + 1 < stack.len();
        let id = top.mount.id;
        let mut inside = table.stacks.range((id, 0)..=(id, u64::MAX));
        if is_covered || inside.next().is_some() {
            return Err(Errno::EBUSY);
        }
        let removed = table.pop(&top.mount);
        drop(table);
        point.dentry.mounts_here.fetch_sub(1, Ordering::AcqRel);
        drop(removed);
        Ok(())
    }

    /// All mounts, oldest first.
    #[must_use]
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        let mut mounts = Vec::from([self.root.mount.clone()]);
        mounts.extend(self.table.read().stacks.values().flatten().cloned());
        mounts.sort_unstable_by_key(|mount| mount.id);
        mounts
    }

    /// Whatever restricts the mounts that are there now will do so for good.
    pub fn keep_restrictions(&self) {
        for mount in self.mounts() {
            mount.kept.store(mount.flags().bits(), Ordering::Relaxed);
        }
    }

    /// A place outside of the tree for something without a path, such as a pipe. Its path is its
    /// `name`, for example `pipe:[7]`.
    #[must_use]
    pub fn anonymous(&self, inode: Arc<dyn Inode>, name: &[u8]) -> Location {
        let index = Anonymous::index_of(inode.kind());
        self.anonymous_in(index, inode, name)
    }

    /// The same for the file of a name space.
    #[must_use]
    pub fn name_space_file(&self, inode: Arc<dyn Inode>, name: &[u8]) -> Location {
        self.anonymous_in(Anonymous::NAME_SPACES, inode, name)
    }

    fn anonymous_in(&self, index: usize, inode: Arc<dyn Inode>, name: &[u8]) -> Location {
        let mount = self.anonymous[index].clone();
        let dentry = Dentry::detached(inode, &mount.root.super_block, name);
        Location { mount, dentry }
    }

    /// What the lowest mount covers of the stack that `mount` is in.
    pub(crate) fn foot_of(&self, mount: &Mount) -> Option<Location> {
        let table = self.table.read();
        let stack = table.stacks.get(mount.stack.as_ref()?)?;
        place_in(stack, mount)?;
        stack.first()?.point.clone()
    }

    /// How many mounts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.table.read().count
    }

    /// Whether a place was made by [`anonymous`](Self::anonymous).
    pub(crate) fn is_anonymous(&self, location: &Location) -> bool {
        let mut mounts = self.anonymous.iter();
        mounts.any(|mount| Arc::ptr_eq(&location.mount, mount))
    }

    /// The top of what is mounted on `location`, or `location` itself.
    pub(crate) fn enter(&self, location: Location) -> Location {
        if !location.dentry.is_mount_point() {
            return location;
        }
        self.table.read().top(location)
    }
}

impl Table {
    /// Where the stack begins that covers a place, or would.
    fn stack_of(&self, location: &Location) -> Place {
        // The top of a mount belongs to the stack of that, if it is still there.
        let own = location.mount.stack.filter(|lowest| {
            let stack = self.stacks.get(lowest);
            location.is_mount_root()
                && stack.is_some_and(|stack| place_in(stack, &location.mount).is_some())
        });
        own.unwrap_or_else(|| key_of(location))
    }

    /// The top of what is mounted on `location`, or `location` itself.
    fn top(&self, location: Location) -> Location {
        let stack = self.stacks.get(&self.stack_of(&location));
        stack
            .and_then(|stack| stack.last())
            .map_or(location, top_of)
    }

    /// Takes the last mount of its stack away.
    fn pop(&mut self, mount: &Mount) -> Option<Arc<Mount>> {
        let lowest = mount.stack?;
        let stack = self.stacks.get_mut(&lowest)?;
        let removed = stack.pop();
        if stack.is_empty() {
            self.stacks.remove(&lowest);
        }
        self.count -= usize::from(removed.is_some());
        removed
    }
}

/// Where a mount is in a stack, whose numbers rise.
fn place_in(stack: &[Arc<Mount>], mount: &Mount) -> Option<usize> {
    stack.binary_search_by_key(&mount.id, |it| it.id).ok()
}

impl Drop for Mount {
    /// Lets go of a chain of mounts on mounts without recursion: it may be longer than the stack.
    fn drop(&mut self) {
        self.root.super_block.forget_recent();
        let mut point = self.point.take();
        while let Some(covered) = point {
            point = Arc::into_inner(covered.mount).and_then(|mut mount| mount.point.take());
        }
    }
}

fn key_of(location: &Location) -> (u64, u64) {
    (location.mount.id, location.dentry.id)
}

fn top_of(mount: &Arc<Mount>) -> Location {
    Location {
        mount: mount.clone(),
        dentry: mount.root.clone(),
    }
}

fn detached_root(file_system: Arc<dyn FileSystem>, next_device: &AtomicU32) -> Result<Arc<Dentry>> {
    let root = file_system.root();
    if root.kind() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    let device = DeviceNumber::new(0, next_device.fetch_add(1, Ordering::Relaxed));
    Ok(Dentry::detached(
        root,
        &SuperBlock::new(file_system, device),
        b"/",
    ))
}
