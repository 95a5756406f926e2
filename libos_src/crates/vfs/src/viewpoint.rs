//! What a process sees of the file systems, and the operations that take a path.

use alloc::sync::Arc;

use abi::errno::Errno;

use crate::walk::{Creates, Destination};
use crate::{
    Access, AttributeChange, Capabilities, Credentials, DeviceNumber, Event, FileType, Follow,
    InodeFlags, LastComponent, Location, Metadata, Mode, MountFlags, Name, Namespace, NewNode,
    OpenFile, OpenFlags, PATH_MAX_BYTES, Parent, Restrictions, Result,
};

/// Where a process stands in a namespace, and with what rights.
///
/// In each operation `base` is where a relative path starts: the place that a directory descriptor
/// refers to, or the working directory if it is `None`.
#[derive(Clone)]
pub struct Viewpoint {
    /// The mounts.
    pub namespace: Arc<Namespace>,
    /// What `/` means.
    pub root: Location,
    /// Where relative paths start.
    pub working_directory: Location,
    /// On whose behalf.
    pub credentials: Credentials,
    /// Permission bits that new files do not get.
    pub creation_mask: Mode,
    /// What resolving a path must not do.
    pub restrictions: Restrictions,
}

impl Viewpoint {
    /// The superuser at the root of a namespace, with the usual creation mask 022.
    #[must_use]
    pub fn new(namespace: Arc<Namespace>) -> Self {
        let root = namespace.root();
        Self {
            namespace,
            working_directory: root.clone(),
            root,
            credentials: Credentials::superuser(),
            creation_mask: Mode::from_low_bits(0o022),
            restrictions: Restrictions::default(),
        }
    }

    /// Makes a directory the working directory.
    ///
    /// # Errors
    /// `ENOTDIR`, `EACCES`.
    pub fn change_directory(&mut self, location: &Location) -> Result<()> {
        if location.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        self.credentials
            .check(&location.metadata()?, Access::EXECUTE)?;
        self.working_directory = location.clone();
        Ok(())
    }

    /// Makes a directory the root.
    ///
    /// # Errors
    /// `ENOTDIR`, `EACCES`; `EPERM` without the capability.
    pub fn change_root(&mut self, location: &Location) -> Result<()> {
        if location.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        self.credentials
            .check(&location.metadata()?, Access::EXECUTE)?;
        self.credentials.require(Capabilities::CHANGE_ROOT)?;
        self.root = location.clone();
        Ok(())
    }

    /// Checks `access` to a place as `faccessat` does, without opening it.
    ///
    /// # Errors
    /// `EACCES`, `EROFS`.
    pub fn check_access(&self, location: &Location, access: Access) -> Result<()> {
        let metadata = location.metadata()?;
        let is_content = matches!(
            metadata.kind,
            FileType::Regular | FileType::Directory | FileType::Symlink
        );
        if access.contains(Access::WRITE) && is_content {
            location.mount().check_writable()?;
        }
        let no_execute = location.mount().flags().contains(MountFlags::NO_EXECUTE);
        if access.contains(Access::EXECUTE) && metadata.kind == FileType::Regular && no_execute {
            return Err(Errno::EACCES);
        }
        self.credentials.check(&metadata, access)
    }

    /// Opens what is at `path`, or makes a regular file with `mode` there, as `flags` say.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(
        &self,
        base: Option<&Location>,
        path: &[u8],
        flags: OpenFlags,
        mode: Mode,
    ) -> Result<Arc<OpenFile>> {
        let creates = flags.contains(OpenFlags::CREATE) && !flags.contains(OpenFlags::PATH);
        if creates && flags.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        if flags.contains(OpenFlags::TEMPORARY) {
            return self.open_unnamed(base, path, flags, mode);
        }
        let purpose = if creates { Creates::Yes } else { Creates::No };
        let exclusive = creates && flags.contains(OpenFlags::EXCLUSIVE);
        let follow = if flags.contains(OpenFlags::NO_FOLLOW) || exclusive {
            Follow::No
        } else {
            Follow::Yes
        };
        loop {
            match self.walk(base, path, follow, purpose)? {
                Destination::Found(_) if exclusive => return Err(Errno::EEXIST),
                Destination::Found(location) => return self.open_location(&location, flags),
                Destination::Missing(_) if !creates => return Err(Errno::ENOENT),
                Destination::Missing(parent) => {
                    let node = self.new_node(FileType::Regular, mode);
                    match self.create_at(&parent, &node) {
                        Ok(created) => {
                            let file = OpenFile::new(created, flags)?;
                            file.location().tell(Event::OPEN);
                            return Ok(file);
                        }
                        // Somebody else made it meanwhile: open theirs.
                        Err(Errno::EEXIST) if !exclusive => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Opens a place that is already resolved, for example through `/proc/self/fd`.
    ///
    /// # Errors
    /// As `open(2)` for a file that exists.
    pub fn open_location(&self, location: &Location, flags: OpenFlags) -> Result<Arc<OpenFile>> {
        let kind = location.kind();
        if flags.contains(OpenFlags::DIRECTORY) && kind != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        if flags.contains(OpenFlags::PATH) {
            return OpenFile::new(location.clone(), flags);
        }
        let mount_flags = location.mount().flags();
        match kind {
            FileType::Symlink => return Err(Errno::ELOOP),
            FileType::Directory
                if flags.access().contains(Access::WRITE) || flags.contains(OpenFlags::CREATE) =>
            {
                return Err(Errno::EISDIR);
            }
            FileType::CharacterDevice | FileType::BlockDevice
                if mount_flags.contains(MountFlags::NO_DEVICES) =>
            {
                return Err(Errno::EACCES);
            }
            _ => {}
        }
        let metadata = location.metadata()?;
        self.credentials.check(&metadata, flags.access())?;
        let is_addition = flags.contains(OpenFlags::APPEND) && !flags.contains(OpenFlags::TRUNCATE);
        let is_change = flags.access().contains(Access::WRITE) && !is_addition;
        if is_change && metadata.has(InodeFlags::APPEND_ONLY) {
            return Err(Errno::EPERM);
        }
        if flags.contains(OpenFlags::NO_ACCESS_TIME) && !self.credentials.owns(&metadata) {
            return Err(Errno::EPERM);
        }
        if kind == FileType::Regular && flags.access().contains(Access::WRITE) {
            location.mount().check_writable()?;
        }
        match kind {
            FileType::Socket => return Err(Errno::ENXIO),
            FileType::Directory if flags.contains(OpenFlags::DIRECT) => return Err(Errno::EINVAL),
            _ => {}
        }
        let file = self.namespace.open(location.clone(), flags)?;
        if kind == FileType::Regular && flags.contains(OpenFlags::TRUNCATE) {
            // Who opens it for reading alone does not count as somebody who writes.
            location.uses().writers.check()?;
            self.before_change(location)?;
            location.drop_capabilities()?;
            location.inode().truncate(0)?;
            location.after_truncate(0);
            location.tell(Event::MODIFY);
        }
        location.tell(Event::OPEN);
        Ok(file)
    }

    fn open_unnamed(
        &self,
        base: Option<&Location>,
        path: &[u8],
        flags: OpenFlags,
        mode: Mode,
    ) -> Result<Arc<OpenFile>> {
        if !flags.contains(OpenFlags::DIRECTORY) || !flags.is_writable() {
            return Err(Errno::EINVAL);
        }
        let follow = if flags.contains(OpenFlags::NO_FOLLOW) {
            Follow::No
        } else {
            Follow::Yes
        };
        let directory = self.resolve(base, path, follow)?;
        self.check_change(&directory)?;
        let node = self.adopted(&self.new_node(FileType::Regular, mode), &directory)?;
        let inode =
            (directory.inode()).create_unnamed(&node, !flags.contains(OpenFlags::EXCLUSIVE))?;
        OpenFile::new(directory.unnamed_child(inode), flags)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As `mkdir(2)`.
    pub fn make_directory(
        &self,
        base: Option<&Location>,
        path: &[u8],
        mode: Mode,
    ) -> Result<Location> {
        let parent = self.parent_for_creation(base, path)?;
        self.create_at(&parent, &self.new_node(FileType::Directory, mode))
    }

    /// Makes a regular file, FIFO, socket or device node.
    ///
    /// # Errors
    /// As `mknod(2)`; `EPERM` for a directory or symbolic link.
    pub fn make_node(
        &self,
        base: Option<&Location>,
        path: &[u8],
        kind: FileType,
        mode: Mode,
        represents: DeviceNumber,
    ) -> Result<Location> {
        if matches!(kind, FileType::Directory | FileType::Symlink) {
            return Err(Errno::EPERM);
        }
        let node = NewNode {
            represents,
            ..self.new_node(kind, mode)
        };
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        if is_device && !node.is_whiteout() {
            self.credentials.require(Capabilities::MAKE_DEVICES)?;
        }
        let parent = self.parent_for_creation(base, path)?;
        refuse_slash(&parent)?;
        self.create_at(&parent, &node)
    }

    /// Makes a symbolic link to `target`.
    ///
    /// # Errors
    /// As `symlink(2)`.
    pub fn make_symlink(
        &self,
        target: &[u8],
        base: Option<&Location>,
        path: &[u8],
    ) -> Result<Location> {
        match target.len() {
            0 => return Err(Errno::ENOENT),
            PATH_MAX_BYTES.. => return Err(Errno::ENAMETOOLONG),
            _ => {}
        }
        let parent = self.parent_for_creation(base, path)?;
        refuse_slash(&parent)?;
        let mut node = self.new_node(FileType::Symlink, Mode::from_low_bits(0o777));
        node.mode = Mode::from_low_bits(0o777);
        self.create_at(
            &parent,
            &NewNode {
                link_target: target,
                ..node
            },
        )
    }

    /// Adds the name `path` for what is at `source`.
    ///
    /// # Errors
    /// As `link(2)`.
    pub fn link(&self, source: &Location, base: Option<&Location>, path: &[u8]) -> Result<()> {
        let parent = self.parent_for_creation(base, path)?;
        let name = name_of(&parent, Errno::EEXIST)?;
        refuse_slash(&parent)?;
        if parent.directory.mount.id() != source.mount.id() {
            return Err(Errno::EXDEV);
        }
        self.check_link_source(&source.metadata()?)?;
        self.check_change(&parent.directory)?;
        parent.directory.dentry.link(name, source.inode())?;
        source.tell_alone(Event::ATTRIBUTES);
        (parent.directory).tell_name(&name, source.kind(), Event::CREATE, 0);
        Ok(())
    }

    /// Checks that a file may get another name: not one that its owner might come to regret, as Linux
    /// with `protected_hardlinks` has it.
    fn check_link_source(&self, source: &Metadata) -> Result<()> {
        let mode = source.mode;
        let is_safe = source.kind == FileType::Regular
            && !mode.contains(Mode::SET_USER)
            && !mode.contains(Mode::SET_GROUP | Mode::GROUP_EXECUTE)
            && self
                .credentials
                .check(source, Access::READ | Access::WRITE)
                .is_ok();
        let is_allowed = is_safe || self.credentials.owns(source);
        let is_kept = source.has(InodeFlags::PROTECTION);
        if source.kind == FileType::Directory || is_kept || !is_allowed {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Removes a name of something that is no directory.
    ///
    /// # Errors
    /// As `unlink(2)`.
    pub fn unlink(&self, base: Option<&Location>, path: &[u8]) -> Result<()> {
        let parent = self.resolve_parent(base, path)?;
        let name = last_of(&parent, Errno::EISDIR)?;
        let is_slash = parent.must_be_directory;
        self.remove_name(&parent.directory, name, |kind, is_allowed| match kind {
            FileType::Directory if is_allowed || is_slash => Err(Errno::EISDIR),
            _ if is_slash => Err(Errno::ENOTDIR),
            _ => Ok(()),
        })
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As `rmdir(2)`.
    pub fn remove_directory(&self, base: Option<&Location>, path: &[u8]) -> Result<()> {
        let parent = self.resolve_parent(base, path)?;
        let name = match &parent.last {
            LastComponent::Name(name) => name,
            LastComponent::Dot => return Err(Errno::EINVAL),
            LastComponent::DotDot => return Err(Errno::ENOTEMPTY),
            LastComponent::Root => return Err(Errno::EBUSY),
        };
        self.remove_name(&parent.directory, name, |kind, is_allowed| match kind {
            FileType::Directory => Ok(()),
            _ if is_allowed => Err(Errno::ENOTDIR),
            _ => Ok(()),
        })
    }

    /// Removes a name of what `check_kind` agrees to, which is asked before it is known whether the caller
    /// may do it, and after: Linux has errors for either.
    fn remove_name(
        &self,
        directory: &Location,
        name: &[u8],
        check_kind: impl Fn(FileType, bool) -> Result<()>,
    ) -> Result<()> {
        // Where nothing can be changed, it does not matter what is there.
        directory.mount().check_writable()?;
        let name = Name::new(name)?;
        loop {
            let victim = directory.dentry.child(name)?;
            let kind = victim.inode.kind();
            check_kind(kind, false)?;
            self.check_removal(directory, &victim.inode.metadata()?)?;
            check_kind(kind, true)?;
            if directory.dentry.remove(name, &victim)? {
                let kind = victim.inode.kind();
                if kind == FileType::Directory {
                    // Unless somebody has it open, that is its end, which comes first.
                    drop(victim);
                } else {
                    directory.at(victim).tell_alone(Event::ATTRIBUTES);
                }
                directory.tell_name(&name, kind, Event::DELETE, 0);
                return Ok(());
            }
        }
    }

    /// Sets the size of a regular file.
    ///
    /// # Errors
    /// As `truncate(2)`.
    pub fn truncate(&self, location: &Location, size_bytes: u64) -> Result<()> {
        match location.kind() {
            FileType::Regular => {}
            FileType::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        location.mount().check_writable()?;
        let metadata = location.metadata()?;
        self.credentials.check(&metadata, Access::WRITE)?;
        if metadata.has(InodeFlags::APPEND_ONLY) {
            return Err(Errno::EPERM);
        }
        location.uses().writers.check()?;
        self.before_change(location)?;
        location.inode().truncate(size_bytes)?;
        location.drop_capabilities()?;
        location.after_truncate(size_bytes);
        location.tell(Event::MODIFY);
        Ok(())
    }

    /// Changes attributes: only the owner may, and gives files away to nobody but a group of theirs.
    /// Capabilities allow more.
    ///
    /// # Errors
    /// `EROFS`, `EPERM`.
    pub fn set_attributes(&self, location: &Location, change: &AttributeChange) -> Result<()> {
        location.mount().check_writable()?;
        let metadata = location.metadata()?;
        let who = &self.credentials;
        let changes_owner = change.user.is_some() || change.group.is_some();
        if changes_owner && !who.can(Capabilities::CHANGE_OWNER) {
            let gives_away = change.user.is_some_and(|user| user != metadata.user)
                || change
                    .group
                    .is_some_and(|group| group != metadata.group && !who.is_member(group));
            if who.user != metadata.user || gives_away {
                return Err(Errno::EPERM);
            }
        }
        let is_owners =
            change.mode.is_some() || change.accessed.is_some() || change.modified.is_some();
        let is_kept = metadata.has(InodeFlags::PROTECTION) && (is_owners || changes_owner);
        if is_kept || (is_owners && !who.owns(&metadata)) {
            return Err(Errno::EPERM);
        }
        let mut change = *change;
        if changes_owner && metadata.kind != FileType::Directory && change.mode.is_none() {
            // Who made it so did not mean the new owner.
            change.mode = Some(metadata.mode.without_set_id());
        } else if let Some(mode) = &mut change.mode
            && !who.can(Capabilities::SET_ID_BITS)
            && !who.is_member(metadata.group)
        {
            mode.remove(Mode::SET_GROUP);
        }
        location.inode().set_attributes(&change)?;
        if changes_owner && metadata.kind == FileType::Regular {
            location.drop_capabilities()?;
        }
        location.tell_change(&change);
        Ok(())
    }

    /// Sets the dates of a file to the present, which who may write to it may do, too.
    ///
    /// # Errors
    /// `EROFS`, `EACCES`.
    pub fn touch(&self, location: &Location, change: &AttributeChange) -> Result<()> {
        location.mount().check_writable()?;
        let metadata = location.metadata()?;
        if metadata.has(InodeFlags::IMMUTABLE) {
            return Err(Errno::EPERM);
        }
        if !self.credentials.owns(&metadata) {
            self.credentials.check(&metadata, Access::WRITE)?;
        }
        location.inode().set_attributes(change)?;
        location.tell_change(change);
        Ok(())
    }

    /// Gives a file other flags; `None` stands for some that no file has.
    ///
    /// # Errors
    /// `ENOTTY` if it has none at all; `EROFS`, `EPERM`, `EOPNOTSUPP`.
    pub fn set_flags(&self, location: &Location, flags: Option<InodeFlags>) -> Result<()> {
        let metadata = location.metadata()?;
        let old = metadata.flags.ok_or(Errno::ENOTTY)?;
        location.mount().check_writable()?;
        if !self.credentials.owns(&metadata) {
            return Err(Errno::EPERM);
        }
        let flags = flags.ok_or(Errno::EOPNOTSUPP)?;
        if (old ^ flags).intersects(InodeFlags::PROTECTION) {
            self.credentials.require(Capabilities::PROTECT_FILES)?;
        }
        let change = AttributeChange {
            flags: Some(flags),
            ..AttributeChange::default()
        };
        location.inode().set_attributes(&change)
    }

    /// To be called before the content of a file changes.
    fn before_change(&self, location: &Location) -> Result<()> {
        if self.credentials.can(Capabilities::SET_ID_BITS) {
            return Ok(());
        }
        location.drop_set_id_bits()
    }

    fn new_node(&self, kind: FileType, mode: Mode) -> NewNode<'static> {
        NewNode {
            kind,
            mode: mode.difference(self.creation_mask),
            user: self.credentials.user,
            group: self.credentials.group,
            represents: DeviceNumber::default(),
            link_target: b"",
        }
    }

    /// A new node with the group that a set-group-id directory gives to what is made in it.
    fn adopted<'a>(&self, node: &NewNode<'a>, directory: &Location) -> Result<NewNode<'a>> {
        let mut node = *node;
        let above = directory.metadata()?;
        if !above.mode.contains(Mode::SET_GROUP) {
            return Ok(node);
        }
        node.group = above.group;
        if node.kind == FileType::Directory {
            node.mode |= Mode::SET_GROUP;
        } else if node.mode.contains(Mode::GROUP_EXECUTE)
            && !self.credentials.can(Capabilities::SET_ID_BITS)
            && !self.credentials.is_member(above.group)
        {
            node.mode.remove(Mode::SET_GROUP);
        }
        Ok(node)
    }

    /// The parent of something to be made; what exists already is `EEXIST` before any other check.
    fn parent_for_creation(&self, base: Option<&Location>, path: &[u8]) -> Result<Parent> {
        let parent = self.resolve_parent(base, path)?;
        let name = name_of(&parent, Errno::EEXIST)?;
        match parent.directory.dentry.child(name) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => Ok(parent),
            Err(error) => Err(error),
        }
    }

    fn create_at(&self, parent: &Parent, node: &NewNode<'_>) -> Result<Location> {
        let name = name_of(parent, Errno::EEXIST)?;
        self.check_change(&parent.directory)?;
        let node = self.adopted(node, &parent.directory)?;
        let dentry = parent.directory.dentry.create(name, &node)?;
        (parent.directory).tell_name(&name, node.kind, Event::CREATE, 0);
        Ok(parent.directory.at(dentry))
    }

    /// Checks that names may be added to a directory.
    pub(crate) fn check_change(&self, directory: &Location) -> Result<()> {
        if directory.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        directory.mount().check_writable()?;
        if directory.is_deleted() {
            return Err(Errno::ENOENT);
        }
        self.credentials
            .check(&directory.metadata()?, Access::WRITE | Access::EXECUTE)
    }

    /// Checks that the name of `victim` may be removed from a directory.
    pub(crate) fn check_removal(&self, directory: &Location, victim: &Metadata) -> Result<()> {
        directory.mount().check_writable()?;
        self.credentials
            .check_remove(&directory.metadata()?, victim)
    }
}

/// The name at the end of a path; a path that ends in no name fails with `otherwise`.
fn name_of(parent: &Parent, otherwise: Errno) -> Result<Name<'_>> {
    Name::new(last_of(parent, otherwise)?)
}

/// The same, not checked.
pub(crate) fn last_of(parent: &Parent, otherwise: Errno) -> Result<&[u8]> {
    match &parent.last {
        LastComponent::Name(name) => Ok(name),
        _ => Err(otherwise),
    }
}

/// Only a directory can be made under a name that a slash follows.
const fn refuse_slash(parent: &Parent) -> Result<()> {
    if parent.must_be_directory {
        Err(Errno::ENOENT)
    } else {
        Ok(())
    }
}
