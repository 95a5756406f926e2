//! Path resolution.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use abi::errno::Errno;
use bitflags::bitflags;

use crate::{
    Access, Capabilities, FileType, Location, Mount, Name, PATH_MAX_BYTES, Result, Viewpoint,
};

/// Symbolic links followed in one resolution before it fails with `ELOOP`.
pub const SYMLINK_FOLLOW_MAX: u32 = 40;

/// What to do with a symbolic link that is the last component of a path.
///
/// One that a slash follows is followed in any case, as on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Resolve it.
    Yes,
    /// Give the link itself.
    No,
}

bitflags! {
    /// What a resolution must not do, in the bits of `openat2`'s `resolve`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Restrictions: u64 {
        /// Leave the mount: `EXDEV`.
        const ONE_MOUNT = 1;
        /// Follow links such as those of `/proc/self/fd`: `ELOOP`.
        const NO_MAGIC_LINKS = 2;
        /// Follow any symbolic link: `ELOOP`.
        const NO_LINKS = 4;
        /// Leave the root, by an absolute path or by `..`: `EXDEV`.
        const BENEATH = 8;
        /// See anything above the root. What would leave it stays there.
        const IN_ROOT = 16;
        /// Wait for a look at a disk, which nothing here does.
        const CACHED = 32;
    }
}

/// A resolved directory and the component that is to be looked up, made or removed in it.
pub struct Parent {
    /// The directory.
    pub directory: Location,
    /// The last component, not looked up.
    pub last: LastComponent,
    /// Whether a slash follows it, so that it must be a directory.
    pub must_be_directory: bool,
}

/// The last component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastComponent {
    /// The path consists of slashes.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// A name, not checked: it may be too long.
    Name(Vec<u8>),
}

/// Whether a walk is for making a regular file, so that a slash at the end is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creates {
    Yes,
    No,
}

/// How a walk ended.
pub(crate) enum Destination {
    /// Something is there.
    Found(Location),
    /// Everything but the last component is there.
    Missing(Parent),
}

impl Viewpoint {
    /// What is at `path`, seen from `base` (the working directory if `None`).
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG` as on Linux, and what a file system
    /// says.
    pub fn resolve(
        &self,
        base: Option<&Location>,
        path: &[u8],
        follow: Follow,
    ) -> Result<Location> {
        match self.walk(base, path, follow, Creates::No)? {
            Destination::Found(location) => Ok(location),
            Destination::Missing(_) => Err(Errno::ENOENT),
        }
    }

    /// The directory of `path` and its last component, for operations on names.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), but nothing about the last component.
    pub fn resolve_parent(&self, base: Option<&Location>, path: &[u8]) -> Result<Parent> {
        let mut walk = Walk::new(self, base, path)?;
        loop {
            match walk.next_component()? {
                Step::Done(parent) => return Ok(parent),
                Step::Name {
                    name,
                    is_last: false,
                    ..
                } => walk.descend(&name)?,
                Step::Name {
                    name, has_slash, ..
                } => {
                    let last = LastComponent::Name(walk.rest[name].to_vec());
                    return Ok(Parent {
                        directory: walk.here,
                        last,
                        must_be_directory: has_slash,
                    });
                }
            }
        }
    }

    /// Resolves all of `path`, keeping the parent if the last component does not exist.
    pub(crate) fn walk(
        &self,
        base: Option<&Location>,
        path: &[u8],
        follow: Follow,
        creates: Creates,
    ) -> Result<Destination> {
        let mut walk = Walk::new(self, base, path)?;
        loop {
            let (name, has_slash) = match walk.next_component()? {
                Step::Done(_) => return Ok(Destination::Found(walk.here)),
                Step::Name {
                    name,
                    is_last: false,
                    ..
                } => {
                    walk.descend(&name)?;
                    continue;
                }
                Step::Name {
                    name, has_slash, ..
                } => (name, has_slash),
            };
            if has_slash && creates == Creates::Yes {
                return Err(Errno::EISDIR);
            }
            let found = match walk.look_up(&name) {
                Ok(found) => found,
                Err(Errno::ENOENT) => {
                    let last = LastComponent::Name(walk.rest[name].to_vec());
                    let directory = walk.here;
                    let parent = Parent {
                        directory,
                        last,
                        must_be_directory: has_slash,
                    };
                    return Ok(Destination::Missing(parent));
                }
                Err(error) => return Err(error),
            };
            let follows = follow == Follow::Yes || has_slash;
            if found.kind() == FileType::Symlink && follows {
                walk.follow(&found)?;
                continue;
            }
            if has_slash && found.kind() != FileType::Directory {
                return Err(Errno::ENOTDIR);
            }
            return Ok(Destination::Found(found));
        }
    }

    /// The directory above `location`; at the root of this viewpoint, `location` itself.
    #[must_use]
    pub fn parent_of(&self, location: &Location) -> Location {
        let mut here = location.clone();
        loop {
            if here == self.root {
                return here;
            }
            if !here.is_mount_root() {
                break;
            }
            match self.covered_by(&here.mount) {
                Some(covered) => here = covered,
                None => return here,
            }
        }
        match here.dentry.parent() {
            Some(parent) => self.namespace.enter(here.at(parent)),
            None => here,
        }
    }

    /// What a mount covers, together with those below it at the same place: a root that is one of these
    /// is not passed.
    fn covered_by(&self, mount: &Arc<Mount>) -> Option<Location> {
        let foot = if self.root.mount.is_stacked_with(mount) {
            None
        } else {
            self.namespace.foot_of(mount)
        };
        foot.or_else(|| mount.point().cloned())
    }

    /// The absolute path of `location` as this viewpoint sees it.
    ///
    /// A place outside of the root has the prefix `(unreachable)`, as `getcwd` says it. That a name was
    /// removed is not in the path, see [`Location::is_deleted`].
    #[must_use]
    pub fn path_of(&self, location: &Location) -> Vec<u8> {
        match self.reachable_path(location) {
            (path, true) => path,
            (path, false) => [b"(unreachable)", &*path].concat(),
        }
    }

    /// The same without a prefix, as a link in `/proc` reads: what is outside of the root has its path
    /// from the root of all.
    #[must_use]
    pub fn full_path_of(&self, location: &Location) -> Vec<u8> {
        self.reachable_path(location).0
    }

    /// The path of what is at or below the root of this viewpoint; `None` for everything else.
    #[must_use]
    pub fn path_below_root(&self, location: &Location) -> Option<Vec<u8>> {
        match self.reachable_path(location) {
            (path, true) => Some(path),
            (_, false) => None,
        }
    }

    /// The path, and whether it starts at the root of this viewpoint.
    fn reachable_path(&self, location: &Location) -> (Vec<u8>, bool) {
        if self.namespace.is_anonymous(location) {
            return (location.dentry.name().into_vec(), true);
        }
        let mut names = Vec::new();
        let mut here = location.clone();
        let mut is_reachable = true;
        while here != self.root {
            if here.is_mount_root() {
                match self.covered_by(&here.mount) {
                    Some(covered) => here = covered,
                    None => {
                        is_reachable = self.root == here;
                        break;
                    }
                }
                continue;
            }
            // A parent and name that belong together: no rename comes between.
            let shape = here.dentry.super_block.freeze_shape();
            let (name, parent) = (here.dentry.name(), here.dentry.parent());
            drop(shape);
            let Some(parent) = parent else {
                is_reachable = false;
                break;
            };
            names.push(name);
            here = here.at(parent);
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if names.is_empty() {
            path.push(b'/');
        }
        (path, is_reachable)
    }
}

/// A resolution on its way.
struct Walk<'a> {
    view: &'a Viewpoint,
    here: Location,
    /// What is still to be resolved: a part of the path, or a link's target and what came after it.
    rest: Cow<'a, [u8]>,
    position: usize,
    links_followed: u32,
    /// The last `.`, `..` or nothing at all, in case the path ends with it.
    last: LastComponent,
    /// Where that is to be looked up.
    before_last: Option<Location>,
}

enum Step {
    /// The path is used up; it ended in something that is no name.
    Done(Parent),
    /// The next name.
    Name {
        /// Where it is in what was left of the path.
        name: Range<usize>,
        /// No other component comes after it.
        is_last: bool,
        /// A slash comes after it.
        has_slash: bool,
    },
}

impl<'a> Walk<'a> {
    fn new(view: &'a Viewpoint, base: Option<&Location>, path: &'a [u8]) -> Result<Self> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX_BYTES {
            return Err(Errno::ENAMETOOLONG);
        }
        let here = match base {
            _ if path[0] == b'/' => {
                if view.restrictions.contains(Restrictions::BENEATH) {
                    return Err(Errno::EXDEV);
                }
                view.root.clone()
            }
            Some(base) => base.clone(),
            None => view.working_directory.clone(),
        };
        Ok(Self {
            view,
            here,
            rest: Cow::Borrowed(path),
            position: 0,
            links_followed: 0,
            last: LastComponent::Root,
            before_last: None,
        })
    }

    /// Takes the next name, walking through `.` and `..` on the way.
    fn next_component(&mut self) -> Result<Step> {
        loop {
            let rest = &self.rest[self.position..];
            let start = rest.iter().take_while(|byte| **byte == b'/').count();
            let rest = &rest[start..];
            if rest.is_empty() {
                if start > 0 && self.here.kind() != FileType::Directory {
                    return Err(Errno::ENOTDIR);
                }
                return Ok(Step::Done(Parent {
                    directory: self.before_last.as_ref().unwrap_or(&self.here).clone(),
                    last: self.last.clone(),
                    must_be_directory: true,
                }));
            }
            let length = rest
                .iter()
                .position(|byte| *byte == b'/')
                .unwrap_or(rest.len());
            let (component, after) = rest.split_at(length);
            let has_slash = !after.is_empty();
            let is_last = after.iter().all(|byte| *byte == b'/');
            let end = self.position + start + length;
            let name = end - length..end;
            let (is_dot, is_parent) = (component == b".", component == b"..");
            self.position = end;
            if !is_dot && !is_parent {
                self.check_search()?;
                return Ok(Step::Name {
                    name,
                    is_last,
                    has_slash,
                });
            }
            self.check_search()?;
            self.before_last = None;
            self.last = if is_parent {
                LastComponent::DotDot
            } else {
                LastComponent::Dot
            };
            if is_parent {
                if self.is_restricted(Restrictions::BENEATH) && self.here == self.view.root {
                    return Err(Errno::EXDEV);
                }
                let parent = self.view.parent_of(&self.here);
                self.check_mount(&parent)?;
                self.before_last = Some(core::mem::replace(&mut self.here, parent));
            }
        }
    }

    /// Checks that names may be looked up where the walk is.
    fn check_search(&self) -> Result<()> {
        if self.here.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        let credentials = &self.view.credentials;
        if credentials.can(Capabilities::OVERRIDE_ACCESS) {
            return Ok(());
        }
        credentials.check(&self.here.metadata()?, Access::EXECUTE)
    }

    fn look_up(&self, name: &Range<usize>) -> Result<Location> {
        let name = Name::new(&self.rest[name.clone()])?;
        let dentry = self.here.dentry.child(name)?;
        let found = self.view.namespace.enter(self.here.at(dentry));
        self.check_mount(&found)?;
        Ok(found)
    }

    const fn is_restricted(&self, restriction: Restrictions) -> bool {
        self.view.restrictions.contains(restriction)
    }

    /// Checks that the walk may go on at `next`.
    fn check_mount(&self, next: &Location) -> Result<()> {
        let leaves = next.mount.id() != self.here.mount.id();
        if leaves && self.is_restricted(Restrictions::ONE_MOUNT) {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// Goes into `name`, which is not the last component.
    fn descend(&mut self, name: &Range<usize>) -> Result<()> {
        let found = self.look_up(name)?;
        if found.kind() == FileType::Symlink {
            return self.follow(&found);
        }
        self.here = found;
        Ok(())
    }

    /// Puts the target of `link` in front of what is left of the path.
    fn follow(&mut self, link: &Location) -> Result<()> {
        self.links_followed += 1;
        let is_allowed = !self.is_restricted(Restrictions::NO_LINKS);
        if self.links_followed > SYMLINK_FOLLOW_MAX || !is_allowed {
            return Err(Errno::ELOOP);
        }
        let after = &self.rest[self.position..];
        if let Some(target) = link.inode().magic_link()? {
            let restrictions = self.view.restrictions;
            if restrictions.contains(Restrictions::NO_MAGIC_LINKS) {
                return Err(Errno::ELOOP);
            }
            if restrictions.intersects(Restrictions::BENEATH | Restrictions::IN_ROOT) {
                return Err(Errno::EXDEV);
            }
            self.check_mount(&target)?;
            self.rest = Cow::Owned(after.to_vec());
            self.position = 0;
            self.here = target;
            return Ok(());
        }
        let mut path = link.inode().read_link()?;
        link.note_access();
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX_BYTES {
            return Err(Errno::ENAMETOOLONG);
        }
        if path[0] == b'/' {
            if self.is_restricted(Restrictions::BENEATH) {
                return Err(Errno::EXDEV);
            }
            self.check_mount(&self.view.root)?;
            self.here = self.view.root.clone();
        }
        path.extend_from_slice(after);
        self.rest = Cow::Owned(path);
        self.position = 0;
        Ok(())
    }
}
