//! The inodes of the union.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use locks::{Mutex, MutexGuard};
use vfs::{
    Allocation, AttributeChange, AttributeSet, ContentId, DirectorySink, Errno, FileType, Inode,
    InodeFlags, Metadata, Name, NewNode, OpenFlags, RenameFlags, Result, Sink, Uses,
};

use crate::{Shared, UPPER_NUMBERS, marks};

/// A file of any kind. There is never more than one node for a file.
pub(crate) struct Node {
    this: Weak<Node>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: u64,
    kind: FileType,
    /// What it began as; `None` for what was made since.
    pub(crate) lower: Option<Lower>,
    state: Mutex<State>,
    writing: Mutex<()>,
    uses: Uses,
}

/// A file of the lower file system.
#[derive(Clone)]
pub(crate) struct Lower {
    pub(crate) inode: Arc<dyn Inode>,
    /// Its path from the lower root, without a slash at the front.
    pub(crate) path: Box<[u8]>,
}

/// What can change.
pub(crate) struct State {
    /// Where its changes are, once there are any.
    pub(crate) upper: Option<Arc<dyn Inode>>,
    /// Whether its content is still that of the lower file.
    pub(crate) has_lower_content: bool,
    /// The name under which it goes to the upper file system; `None` if it is there or has no name.
    pub(crate) place: Option<(Arc<Node>, Box<[u8]>)>,
    /// Its names that are in the lower file system only, unless it is a directory.
    pub(crate) lower_names: u32,
    /// Whether it is a directory that was removed.
    pub(crate) is_removed: bool,
}

impl Node {
    fn new(
        shared: &Arc<Shared>,
        number: u64,
        kind: FileType,
        lower: Option<Lower>,
        state: State,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            shared: shared.clone(),
            number,
            kind,
            lower,
            state: Mutex::new(state),
            writing: Mutex::new(()),
            uses: Uses::default(),
        })
    }

    /// The root, which is in both file systems from the start.
    pub(crate) fn root(
        shared: &Arc<Shared>,
        lower: Lower,
        number: u64,
        upper: Arc<dyn Inode>,
    ) -> Arc<Self> {
        let kind = FileType::Directory;
        Self::new(
            shared,
            number,
            kind,
            Some(lower),
            State::in_upper(upper, false),
        )
    }

    /// The node of something that has just been made in the upper file system.
    pub(crate) fn made(shared: &Arc<Shared>, upper: Arc<dyn Inode>) -> Result<Arc<Self>> {
        let number = UPPER_NUMBERS + upper.metadata()?.inode;
        let kind = upper.kind();
        Ok(shared.node(number, || {
            Self::new(shared, number, kind, None, State::in_upper(upper, false))
        }))
    }

    /// The entry `name` of this directory. The caller holds the tree lock.
    pub(crate) fn find(&self, name: Name<'_>) -> Result<Arc<Self>> {
        if let Some(found) = self.find_upper(name)? {
            if marks::is_whiteout(&*found)? {
                return Err(Errno::ENOENT);
            }
            return self.of_upper(name, found);
        }
        self.of_lower(name)
    }

    /// What the upper directory has under a name, whiteouts included.
    pub(crate) fn find_upper(&self, name: Name<'_>) -> Result<Option<Arc<dyn Inode>>> {
        match self.upper() {
            Some(upper) => unless_missing(upper.lookup(name)),
            None => Ok(None),
        }
    }

    /// What the lower directory has under a name.
    pub(crate) fn find_lower(&self, name: Name<'_>) -> Result<Option<Arc<dyn Inode>>> {
        match &self.lower {
            Some(lower) if self.kind == FileType::Directory => {
                unless_missing(lower.inode.lookup(name))
            }
            _ => Ok(None),
        }
    }

    /// The number of what the upper directory has under a name, and the lower file that it continues.
    pub(crate) fn identify(
        &self,
        name: Name<'_>,
        upper: &dyn Inode,
    ) -> Result<(u64, Option<Lower>)> {
        let own_number = || Ok(UPPER_NUMBERS + upper.metadata()?.inode);
        if upper.kind() != FileType::Directory {
            let number = marks::origin(upper)?.map_or_else(own_number, Ok)?;
            let lower = if marks::is_metacopy(upper)? {
                let path = marks::redirect(upper)?.ok_or(Errno::EIO)?;
                Some(self.shared.lower_at(path)?)
            } else {
                None
            };
            return Ok((number, lower));
        }
        let lower = if let Some(path) = marks::redirect(upper)? {
            Some(self.shared.lower_at(path)?)
        } else if marks::is_opaque(upper)? {
            None
        } else {
            let below = self.find_lower(name)?;
            let below = below.filter(|below| below.kind() == FileType::Directory);
            below.map(|inode| self.lower_child(name, inode))
        };
        let number = match &lower {
            Some(lower) => lower.inode.metadata()?.inode,
            None => own_number()?,
        };
        Ok((number, lower))
    }

    fn of_upper(&self, name: Name<'_>, upper: Arc<dyn Inode>) -> Result<Arc<Self>> {
        let (number, lower) = self.identify(name, &*upper)?;
        let kind = upper.kind();
        let has_lower_content = lower.is_some() && kind != FileType::Directory;
        Ok(self.shared.node(number, || {
            let state = State::in_upper(upper, has_lower_content);
            Self::new(&self.shared, number, kind, lower, state)
        }))
    }

    fn of_lower(&self, name: Name<'_>) -> Result<Arc<Self>> {
        let inode = self.find_lower(name)?.ok_or(Errno::ENOENT)?;
        let this = self.this.upgrade().ok_or(Errno::ENOENT)?;
        let metadata = inode.metadata()?;
        let number = metadata.inode;
        let place = (this, Box::from(name.as_bytes()));
        let node = self.shared.node(number, || {
            let state = State {
                upper: None,
                has_lower_content: true,
                place: None,
                lower_names: metadata.link_count,
                is_removed: false,
            };
            let lower = self.lower_child(name, inode.clone());
            Self::new(&self.shared, number, inode.kind(), Some(lower), state)
        });
        let mut state = node.state();
        if state.upper.is_none() && state.place.is_none() {
            state.place = Some(place);
        }
        drop(state);
        Ok(node)
    }

    fn lower_child(&self, name: Name<'_>, inode: Arc<dyn Inode>) -> Lower {
        let mut path = self
            .lower
            .as_ref()
            .map_or(Vec::new(), |lower| lower.path.to_vec());
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        Lower {
            inode,
            path: path.into(),
        }
    }

    pub(crate) fn this(&self) -> Result<Arc<Self>> {
        self.this.upgrade().ok_or(Errno::ENOENT)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn upper(&self) -> Option<Arc<dyn Inode>> {
        self.state().upper.clone()
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// What the content is read from.
    fn source(&self) -> Result<Arc<dyn Inode>> {
        let state = self.state();
        match (&state.upper, &self.lower) {
            (Some(upper), _) if !state.has_lower_content => Ok(upper.clone()),
            (_, Some(lower)) => Ok(lower.inode.clone()),
            _ => Err(Errno::EIO),
        }
    }

    /// Where its attributes are.
    fn attributes(&self) -> Result<Arc<dyn Inode>> {
        match (self.upper(), &self.lower) {
            (Some(upper), _) => Ok(upper),
            (None, Some(lower)) => Ok(lower.inode.clone()),
            (None, None) => Err(Errno::EIO),
        }
    }

    /// The node behind an inode of the same file system.
    pub(crate) fn of<'a>(&self, inode: &'a Arc<dyn Inode>) -> Result<&'a Self> {
        let node = inode.downcast::<Self>().ok_or(Errno::EXDEV)?;
        if Arc::ptr_eq(&self.shared, &node.shared) {
            Ok(node)
        } else {
            Err(Errno::EXDEV)
        }
    }
}

impl State {
    const fn in_upper(upper: Arc<dyn Inode>, has_lower_content: bool) -> Self {
        Self {
            upper: Some(upper),
            has_lower_content,
            place: None,
            lower_names: 0,
            is_removed: false,
        }
    }
}

impl Shared {
    /// The node with a number, made if nobody uses it.
    fn node(&self, number: u64, make: impl FnOnce() -> Arc<Node>) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        if let Some(node) = nodes.get(&number).and_then(Weak::upgrade) {
            return node;
        }
        let node = make();
        nodes.insert(number, Arc::downgrade(&node));
        node
    }

    /// The lower file at a path that the upper file system notes.
    fn lower_at(&self, path: Vec<u8>) -> Result<Lower> {
        let mut inode = self.lower_root.clone();
        for name in path.split(|byte| *byte == b'/') {
            let name = Name::new(name).map_err(|_| Errno::EIO)?;
            inode = inode.lookup(name).map_err(|_| Errno::EIO)?;
        }
        Ok(Lower {
            inode,
            path: path.into(),
        })
    }
}

/// What a lookup found, if anything.
pub(crate) fn unless_missing<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
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

    /// As on Linux, the entries of a directory have no last position.
    fn has_end(&self) -> bool {
        self.kind != FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata> {
        let state = self.state();
        let (lower_names, is_removed) = (state.lower_names, state.is_removed);
        let upper = state.upper.clone();
        drop(state);
        let is_merged = upper.is_some() && self.lower.is_some();
        let mut metadata = match (&upper, &self.lower) {
            (Some(upper), _) => upper.metadata()?,
            (None, Some(lower)) => lower.inode.metadata()?,
            (None, None) => return Err(Errno::EIO),
        };
        metadata.inode = self.number;
        if metadata.flags.is_none() && matches!(self.kind, FileType::Regular | FileType::Directory)
        {
            // What is below knows none; the union does.
            metadata.flags = Some(InodeFlags::empty());
        }
        metadata.link_count = match (self.is_directory(), upper.is_some()) {
            (true, _) if is_removed => 0,
            // As Linux says: its subdirectories are not counted.
            (true, _) if is_merged => 1,
            (true, _) => metadata.link_count,
            (false, true) => metadata.link_count + lower_names,
            (false, false) => lower_names,
        };
        Ok(metadata)
    }

    fn content(&self) -> Option<ContentId> {
        // Once it has one of its own it never has the lower file's again.
        let has_lower_content = self.state().has_lower_content;
        let lower = self.lower.as_ref().filter(|_| has_lower_content)?;
        lower.inode.content()
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        self.copied_up()?.set_attributes(change)
    }

    fn open(&self, flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>> {
        self.attributes()?.open(flags)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.source()?.read_at(offset, buffer)
    }

    fn read_to(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        self.source()?.read_to(offset, sink)
    }

    /// An image notes nothing.
    fn note_access(&self) {
        if let Ok(attributes) = self.attributes() {
            attributes.note_access();
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        self.own_content(u64::MAX)?.write_at(offset, data)
    }

    fn append(&self, data: &[u8]) -> Result<(u64, usize)> {
        self.own_content(u64::MAX)?.append(data)
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        self.own_content(size_bytes)?.truncate(size_bytes)
    }

    fn allocate(&self, what: Allocation, offset: u64, length: u64) -> Result<()> {
        self.own_content(u64::MAX)?.allocate(what, offset, length)
    }

    fn next_data(&self, offset: u64) -> Result<u64> {
        self.source()?.next_data(offset)
    }

    fn next_hole(&self, offset: u64) -> Result<u64> {
        self.source()?.next_hole(offset)
    }

    fn extended_attribute(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.attributes()?
            .extended_attribute(name)
            .map_err(|error| match error {
                // What is below may know of no attributes; the union does.
                Errno::EOPNOTSUPP => Errno::ENODATA,
                error => error,
            })
    }

    fn extended_attributes(&self) -> Result<Vec<Vec<u8>>> {
        self.attributes()?.extended_attributes()
    }

    fn set_extended_attribute(&self, name: &[u8], value: &[u8], set: AttributeSet) -> Result<()> {
        self.copied_up()?.set_extended_attribute(name, value, set)
    }

    fn remove_extended_attribute(&self, name: &[u8]) -> Result<()> {
        self.extended_attribute(name)?;
        self.copied_up()?.remove_extended_attribute(name)
    }

    fn synchronize(&self) -> Result<()> {
        match self.upper() {
            Some(upper) => upper.synchronize(),
            None => Ok(()),
        }
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        let _tree = self.shared.tree.read();
        Ok(self.find(name)?)
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        let _tree = self.shared.tree.read();
        self.list(cookie, sink)
    }

    fn create(&self, name: Name<'_>, node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        let _tree = self.shared.tree.write();
        Ok(self.make(name, node)?)
    }

    fn create_unnamed(&self, node: &NewNode<'_>, may_get_name: bool) -> Result<Arc<dyn Inode>> {
        let upper = self.copied_up()?.create_unnamed(node, may_get_name)?;
        Ok(Self::made(&self.shared, upper)?)
    }

    fn link(&self, name: Name<'_>, target: &Arc<dyn Inode>) -> Result<()> {
        let target = self.of(target)?;
        let _tree = self.shared.tree.write();
        self.add_name(name, target)
    }

    fn unlink(&self, name: Name<'_>) -> Result<()> {
        let _tree = self.shared.tree.write();
        let victim = self.find(name)?;
        if victim.is_directory() {
            return Err(Errno::EISDIR);
        }
        self.take_away(name, &victim)
    }

    fn remove_directory(&self, name: Name<'_>) -> Result<()> {
        let _tree = self.shared.tree.write();
        let victim = self.find(name)?;
        if !victim.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        victim.check_empty()?;
        self.take_away(name, &victim)
    }

    fn rename(
        &self,
        from: Name<'_>,
        target: &Arc<dyn Inode>,
        to: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::EINVAL);
        }
        let target = self.of(target)?;
        let _tree = self.shared.tree.write();
        self.move_name(from, target, to, flags)
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        self.attributes()?.read_link()
    }
}

impl Drop for Node {
    /// Leaves the table, and frees a chain of directories that nobody else uses without recursion.
    fn drop(&mut self) {
        let own: *const Self = self;
        let mut nodes = self.shared.nodes.lock();
        if nodes
            .get(&self.number)
            .is_some_and(|node| core::ptr::eq(node.as_ptr(), own))
        {
            nodes.remove(&self.number);
        }
        drop(nodes);
        let mut place = self.state.get_mut().place.take();
        while let Some((parent, _)) = place {
            place =
                Arc::into_inner(parent).and_then(|mut parent| parent.state.get_mut().place.take());
        }
    }
}
