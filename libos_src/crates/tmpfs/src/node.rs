//! The inodes.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use locks::{Mutex, MutexGuard};
use vfs::{
    ATTRIBUTE_LIST_MAX_BYTES, Allocation, AttributeChange, AttributeSet, DeviceNumber,
    DirectorySink, Errno, FileType, Inode, InodeFlags, Metadata, Mode, Name, NewNode, OpenFlags,
    RenameFlags, Result, Sink, Timestamp, Uses,
};

use crate::budget::{attribute_bytes, entry_bytes};
use crate::content::Content;
use crate::directory::Directory;
use crate::{PAGE_SIZE_BYTES, Shared};

/// A file of any kind.
pub(crate) struct Node {
    pub(crate) this: Weak<Node>,
    pub(crate) shared: Arc<Shared>,
    number: u64,
    kind: FileType,
    represents: DeviceNumber,
    born: Timestamp,
    state: Mutex<State>,
    writing: Mutex<()>,
    uses: Uses,
}

/// What can change. Two states are locked together only by a rename, which holds the tree lock.
pub(crate) struct State {
    pub(crate) link_count: u32,
    mode: Mode,
    user: u32,
    group: u32,
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
    flags: InodeFlags,
    /// Made without a name, so that it may still get its first one.
    is_unnamed: bool,
    attributes: Attributes,
    body: Body,
}

/// Extended attributes by name.
type Attributes = BTreeMap<Box<[u8]>, Box<[u8]>>;

enum Body {
    Regular(Content),
    Directory(Directory),
    Symlink(Box<[u8]>),
    /// FIFOs, sockets and devices: what they do is not up to a file system.
    Special,
}

impl Node {
    /// A new inode without a name, charged to the budget until it is dropped.
    pub(crate) fn new(shared: &Arc<Shared>, node: &NewNode<'_>) -> Result<Arc<Self>> {
        (shared.budget).charge_inode(node.link_target.len() as u64)?;
        let now = shared.clock.now();
        let state = State {
            link_count: 0,
            mode: node.mode,
            user: node.user,
            group: node.group,
            accessed: now,
            modified: now,
            changed: now,
            flags: InodeFlags::empty(),
            is_unnamed: false,
            attributes: Attributes::new(),
            body: match node.kind {
                FileType::Regular => Body::Regular(Content::default()),
                FileType::Directory => Body::Directory(Directory::new()),
                FileType::Symlink => Body::Symlink(node.link_target.into()),
                _ => Body::Special,
            },
        };
        Ok(Arc::new_cyclic(|this| Self {
            this: this.clone(),
            shared: shared.clone(),
            number: shared.new_inode_number(),
            kind: node.kind,
            represents: node.represents,
            born: now,
            state: Mutex::new(state),
            writing: Mutex::new(()),
            uses: Uses::default(),
        }))
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// As on Linux, only files and directories have flags.
    const fn has_flags(&self) -> bool {
        matches!(self.kind, FileType::Regular | FileType::Directory)
    }

    /// Adds an entry to this directory. The caller holds the tree lock.
    fn add(&self, name: &[u8], node: &Arc<Self>) -> Result<()> {
        let mut state = self.state();
        let is_removed = state.link_count == 0;
        let directory = state.directory_mut()?;
        if is_removed {
            return Err(Errno::ENOENT);
        }
        if directory.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        self.shared.budget.charge(entry_bytes(name))?;
        directory.insert(name, node.clone());
        if node.is_directory() {
            state.link_count += 1;
        }
        state.touch(self.shared.clock.now());
        Ok(())
    }

    /// Takes over what is inherited from the directory in which this was made.
    fn inherit(&self, directory: &Self) {
        let inherited = directory.state().flags & InodeFlags::INHERITED;
        if self.has_flags() {
            self.state().flags = inherited;
        }
    }

    /// Takes an entry out of this directory. The caller holds the tree lock.
    fn take(&self, name: &[u8]) -> Result<Arc<Self>> {
        let mut state = self.state();
        let node = state.directory_mut()?.remove(name).ok_or(Errno::ENOENT)?;
        self.shared.budget.release(entry_bytes(name));
        if node.is_directory() {
            state.link_count -= 1;
        }
        state.touch(self.shared.clock.now());
        Ok(node)
    }

    pub(crate) fn entry(&self, name: &[u8]) -> Result<Arc<Self>> {
        self.state()
            .directory()?
            .get(name)
            .cloned()
            .ok_or(Errno::ENOENT)
    }

    /// Changes the content with `change` and, if that did anything, its dates.
    fn change_content<T>(&self, change: impl FnOnce(&mut Content) -> Result<T>) -> Result<T> {
        let mut state = self.state();
        let result = match &mut state.body {
            Body::Regular(content) => change(content)?,
            Body::Directory(_) => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        };
        state.touch(self.shared.clock.now());
        Ok(result)
    }
}

impl State {
    pub(crate) fn directory(&self) -> Result<&Directory> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(crate) fn directory_mut(&mut self) -> Result<&mut Directory> {
        match &mut self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Notes a change of content.
    pub(crate) fn touch(&mut self, now: Timestamp) {
        self.modified = now;
        self.changed = now;
    }

    /// Notes a change of what is known about the inode.
    pub(crate) fn changed(&mut self, now: Timestamp) {
        self.changed = now;
    }

    /// Notes that a name of this inode went away.
    pub(crate) fn lose_name(&mut self, now: Timestamp) {
        self.link_count = match self.body {
            Body::Directory(_) => 0,
            _ => self.link_count.saturating_sub(1),
        };
        self.changed = now;
    }
}

impl Inode for Node {
    fn writing(&self) -> Option<&Mutex<()>> {
        Some(&self.writing)
    }

    fn uses(&self) -> Option<&Uses> {
        Some(&self.uses)
    }

    fn kind(&self) -> FileType {
        self.kind
    }

    /// The entries of a directory have no last position, as on Linux's tmpfs.
    fn has_end(&self) -> bool {
        !self.is_directory()
    }

    fn metadata(&self) -> Result<Metadata> {
        let state = self.state();
        let (size_bytes, memory_bytes) = match &state.body {
            Body::Regular(content) => (content.size_bytes(), content.memory_bytes()),
            // What Linux says for tmpfs: twenty bytes an entry, `.` and `..` among them.
            Body::Directory(directory) => (20 * (2 + directory.len() as u64), 0),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Special => (0, 0),
        };
        Ok(Metadata {
            inode: self.number,
            kind: self.kind,
            mode: state.mode,
            link_count: state.link_count,
            user: state.user,
            group: state.group,
            represents: self.represents,
            size_bytes,
            block_size_bytes: PAGE_SIZE_BYTES as u32,
            blocks_512: memory_bytes / 512,
            accessed: state.accessed,
            modified: state.modified,
            changed: state.changed,
            born: Some(self.born),
            flags: self.has_flags().then_some(state.flags),
        })
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        let mut state = self.state();
        state.mode = change.mode.unwrap_or(state.mode);
        state.user = change.user.unwrap_or(state.user);
        state.group = change.group.unwrap_or(state.group);
        state.accessed = change.accessed.unwrap_or(state.accessed);
        state.modified = change.modified.unwrap_or(state.modified);
        state.flags = change.flags.unwrap_or(state.flags);
        state.changed = self.shared.clock.now();
        Ok(())
    }

    /// The first read after each change, as Linux does where nobody wants more (`relatime`). That it also
    /// notes one a day is not done.
    fn note_access(&self) {
        let mut state = self.state();
        let is_noted = state.accessed > state.modified.max(state.changed);
        if !is_noted && !state.flags.contains(InodeFlags::NO_ACCESS_TIME) {
            state.accessed = self.shared.clock.now();
        }
    }

    /// FIFOs, sockets and devices have no driver here.
    fn open(&self, _flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>> {
        match self.state().body {
            Body::Special => Err(Errno::ENXIO),
            _ => Ok(None),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        match &self.state().body {
            Body::Regular(content) => Ok(content.read(offset, buffer)),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Some pages at a time, which nobody waits for meanwhile: the sink may be a mapping of this file.
    fn read_to(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        let mut done = 0;
        loop {
            let at = offset + done as u64;
            let run = match &self.state().body {
                Body::Regular(content) => content.run(at, sink.room_bytes()),
                Body::Directory(_) => return Err(Errno::EISDIR),
                _ => return Err(Errno::EINVAL),
            };
            if run.size_bytes == 0 {
                return Ok(done);
            }
            let within = (at % PAGE_SIZE_BYTES as u64) as usize;
            let (parts, count) = run.parts(within);
            match sink.put_all(&parts[..count]) {
                Ok(taken) if taken == run.size_bytes - within => done += taken,
                Ok(taken) => return Ok(done + taken),
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        self.change_content(|content| content.write(offset, data, &self.shared.budget))
    }

    fn append(&self, data: &[u8]) -> Result<(u64, usize)> {
        self.change_content(|content| {
            let end = content.size_bytes();
            let length = content.write(end, data, &self.shared.budget)?;
            Ok((end + length as u64, length))
        })
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        self.change_content(|content| content.truncate(size_bytes, &self.shared.budget))
    }

    fn allocate(&self, what: Allocation, offset: u64, length: u64) -> Result<()> {
        self.change_content(|content| content.allocate(what, offset, length, &self.shared.budget))
    }

    fn next_data(&self, offset: u64) -> Result<u64> {
        match &self.state().body {
            Body::Regular(content) => content.next_data(offset).ok_or(Errno::ENXIO),
            _ => Ok(offset),
        }
    }

    fn next_hole(&self, offset: u64) -> Result<u64> {
        match &self.state().body {
            Body::Regular(content) => Ok(content.next_hole(offset)),
            _ => Err(Errno::ENXIO),
        }
    }

    fn extended_attribute(&self, name: &[u8]) -> Result<Vec<u8>> {
        let state = self.state();
        let value = state.attributes.get(name).ok_or(Errno::ENODATA)?;
        Ok(value.to_vec())
    }

    fn extended_attributes(&self) -> Result<Vec<Vec<u8>>> {
        Ok(self
            .state()
            .attributes
            .keys()
            .map(|name| name.to_vec())
            .collect())
    }

    fn set_extended_attribute(&self, name: &[u8], value: &[u8], set: AttributeSet) -> Result<()> {
        let budget = &self.shared.budget;
        let mut state = self.state();
        match (state.attributes.contains_key(name), set) {
            (true, AttributeSet::Create | AttributeSet::Never) => return Err(Errno::EEXIST),
            (false, AttributeSet::Replace | AttributeSet::Never) => return Err(Errno::ENODATA),
            // What could not be listed is not kept.
            (false, _) => {
                let names = state.attributes.keys().map(|other| other.len() + 1);
                if names.sum::<usize>() + name.len() + 1 > ATTRIBUTE_LIST_MAX_BYTES {
                    return Err(Errno::ENOSPC);
                }
            }
            (true, _) => {}
        }
        budget.charge(attribute_bytes(name, value))?;
        if let Some(old) = state.attributes.insert(name.into(), value.into()) {
            budget.release(attribute_bytes(name, &old));
        }
        state.changed = self.shared.clock.now();
        Ok(())
    }

    fn remove_extended_attribute(&self, name: &[u8]) -> Result<()> {
        let mut state = self.state();
        let old = state.attributes.remove(name).ok_or(Errno::ENODATA)?;
        self.shared.budget.release(attribute_bytes(name, &old));
        state.changed = self.shared.clock.now();
        Ok(())
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        Ok(self.entry(&name)?)
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        self.state().directory()?.read(cookie, sink);
        Ok(())
    }

    fn create(&self, name: Name<'_>, node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        let node = Self::new(&self.shared, node)?;
        let _tree = self.shared.tree.lock();
        self.add(&name, &node)?;
        let mut state = node.state();
        state.link_count = if node.is_directory() { 2 } else { 1 };
        if let Ok(directory) = state.directory_mut() {
            directory.parent = self.this.clone();
        }
        drop(state);
        node.inherit(self);
        Ok(node)
    }

    fn create_unnamed(&self, node: &NewNode<'_>, may_get_name: bool) -> Result<Arc<dyn Inode>> {
        let node = Self::new(&self.shared, node)?;
        node.state().is_unnamed = may_get_name;
        node.inherit(self);
        Ok(node)
    }

    fn link(&self, name: Name<'_>, target: &Arc<dyn Inode>) -> Result<()> {
        let target = target.downcast::<Self>().ok_or(Errno::EXDEV)?;
        if !Arc::ptr_eq(&self.shared, &target.shared) {
            return Err(Errno::EXDEV);
        }
        if target.is_directory() {
            return Err(Errno::EPERM);
        }
        let target = target.this.upgrade().ok_or(Errno::ENOENT)?;
        let _tree = self.shared.tree.lock();
        let mut state = target.state();
        if state.link_count == 0 && !state.is_unnamed {
            return Err(Errno::ENOENT);
        }
        self.add(&name, &target)?;
        state.is_unnamed = false;
        state.link_count += 1;
        state.changed = self.shared.clock.now();
        Ok(())
    }

    fn unlink(&self, name: Name<'_>) -> Result<()> {
        let tree = self.shared.tree.lock();
        if self.entry(&name)?.is_directory() {
            return Err(Errno::EISDIR);
        }
        let node = self.take(&name)?;
        node.state().lose_name(self.shared.clock.now());
        drop(tree);
        drop(node);
        Ok(())
    }

    fn remove_directory(&self, name: Name<'_>) -> Result<()> {
        let tree = self.shared.tree.lock();
        if self.entry(&name)?.state().directory()?.len() != 0 {
            return Err(Errno::ENOTEMPTY);
        }
        let node = self.take(&name)?;
        node.state().lose_name(self.shared.clock.now());
        drop(tree);
        drop(node);
        Ok(())
    }

    fn rename(
        &self,
        from: Name<'_>,
        target: &Arc<dyn Inode>,
        to: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        let target = target.downcast::<Self>().ok_or(Errno::EXDEV)?;
        if !Arc::ptr_eq(&self.shared, &target.shared) {
            return Err(Errno::EXDEV);
        }
        crate::rename::rename(self, &from, target, &to, flags)
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        match &self.state().body {
            Body::Symlink(target) => Ok(target.to_vec()),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl Drop for Node {
    /// Gives the memory back, and frees a deep tree without recursion.
    fn drop(&mut self) {
        self.shared.budget.release_inode();
        let mut pending = self.take_body();
        while let Some(node) = pending.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                pending.append(&mut node.take_body());
            }
        }
    }
}

impl Node {
    /// Frees the content and its charge, and returns the inodes of the entries. A second call finds
    /// nothing.
    fn take_body(&mut self) -> Vec<Arc<Self>> {
        let budget = &self.shared.budget;
        let state = self.state.get_mut();
        for (name, value) in core::mem::take(&mut state.attributes) {
            budget.release(attribute_bytes(&name, &value));
        }
        match core::mem::replace(&mut state.body, Body::Special) {
            Body::Regular(content) => budget.release(content.memory_bytes()),
            Body::Symlink(target) => budget.release(target.len() as u64),
            Body::Special => {}
            Body::Directory(directory) => {
                let entries = directory.into_entries();
                return entries
                    .map(|(name, node)| {
                        budget.release(entry_bytes(&name));
                        node
                    })
                    .collect();
            }
        }
        Vec::new()
    }
}
