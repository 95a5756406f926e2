//! Moving a name.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::errno::Errno;

use crate::dentry::{Dentry, RenameChecks};
use crate::viewpoint::last_of;
use crate::{Access, Event, FileType, Location, Name, Parent, RenameFlags, Result, Viewpoint};

impl Viewpoint {
    /// Moves a name.
    ///
    /// # Errors
    /// As `renameat2(2)`.
    pub fn rename(
        &self,
        from_base: Option<&Location>,
        from_path: &[u8],
        to_base: Option<&Location>,
        to_path: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        flags.check()?;
        let from = self.resolve_parent(from_base, from_path)?;
        let to = self.resolve_parent(to_base, to_path)?;
        self.rename_resolved(&from, &to, flags)
    }

    /// Moves the name at the end of one path to that of another.
    ///
    /// # Errors
    /// As `renameat2(2)` once the paths are resolved.
    pub fn rename_resolved(&self, from: &Parent, to: &Parent, flags: RenameFlags) -> Result<()> {
        if from.directory.mount.id() != to.directory.mount.id() {
            return Err(Errno::EXDEV);
        }
        let no_replace = flags.contains(RenameFlags::NO_REPLACE);
        let from_name = last_of(from, Errno::EBUSY)?;
        let to_name = last_of(
            to,
            if no_replace {
                Errno::EEXIST
            } else {
                Errno::EBUSY
            },
        )?;
        from.directory.mount().check_writable()?;
        let (directory, target) = (&from.directory.dentry, &to.directory.dentry);
        let from_name = Name::new(from_name)?;
        // That the source does not exist comes before that the target's name is too long.
        directory.child(from_name)?;
        let to_name = Name::new(to_name)?;
        let request = Request {
            view: self,
            from,
            to,
            flags,
        };
        loop {
            let source = directory.child(from_name)?;
            let replaced = target.child(to_name).ok();
            if directory.rename(from_name, target, to_name, flags, &request)? {
                // Two names of one file stay what they are.
                let number = |dentry: &Dentry| dentry.inode.metadata().map(|found| found.inode);
                let is_same = |replaced| number(replaced) == number(&source);
                if !replaced.as_deref().is_some_and(is_same) {
                    request.tell(&source, replaced);
                }
                return Ok(());
            }
        }
    }
}

/// A rename whose directories are resolved.
struct Request<'a> {
    view: &'a Viewpoint,
    from: &'a Parent,
    to: &'a Parent,
    flags: RenameFlags,
}

impl Request<'_> {
    /// Tells of a rename that was made.
    fn tell(&self, source: &Arc<Dentry>, replaced: Option<Arc<Dentry>>) {
        static NEXT_COOKIE: AtomicU32 = AtomicU32::new(1);
        if source.observer().is_none() {
            return;
        }
        let (from, to) = (&self.from.directory, &self.to.directory);
        let (Ok(old), Ok(new)) = (
            last_of(self.from, Errno::EBUSY),
            last_of(self.to, Errno::EBUSY),
        ) else {
            return;
        };
        let named = |here: &Location, old: &[u8], there: &Location, new: &[u8], kind| {
            let cookie = NEXT_COOKIE.fetch_add(1, Ordering::Relaxed);
            here.tell_name(old, kind, Event::MOVED_FROM, cookie);
            there.tell_name(new, kind, Event::MOVED_TO, cookie);
        };
        named(from, old, to, new, source.inode.kind());
        let exchanged = self.flags.contains(RenameFlags::EXCHANGE);
        if let Some(replaced) = replaced.clone().filter(|_| !exchanged) {
            to.at(replaced).tell_alone(Event::ATTRIBUTES);
        }
        from.at(source.clone()).tell_alone(Event::MOVE_SELF);
        if let Some(replaced) = replaced.filter(|_| exchanged) {
            named(to, new, from, old, replaced.inode.kind());
            to.at(replaced).tell_alone(Event::MOVE_SELF);
        }
    }

    /// Checks that a directory that goes to another one may be written to: its `..` changes.
    fn check_move(&self, moved: &Dentry) -> Result<()> {
        let stays = self.from.directory == self.to.directory;
        if stays || moved.inode.kind() != FileType::Directory {
            return Ok(());
        }
        let credentials = &self.view.credentials;
        credentials.check(&moved.inode.metadata()?, Access::WRITE)
    }
}

impl RenameChecks for Request<'_> {
    fn check_request(&self, source: &Dentry, replaced: Option<&Dentry>) -> Result<()> {
        let exchange = self.flags.contains(RenameFlags::EXCHANGE);
        let is_directory = |dentry: &Dentry| dentry.inode.kind() == FileType::Directory;
        match replaced {
            Some(_) if self.flags.contains(RenameFlags::NO_REPLACE) => return Err(Errno::EEXIST),
            None if exchange => return Err(Errno::ENOENT),
            Some(replaced) if exchange && self.to.must_be_directory && !is_directory(replaced) => {
                return Err(Errno::ENOTDIR);
            }
            _ => {}
        }
        let needs_directory =
            self.from.must_be_directory || (self.to.must_be_directory && !exchange);
        if needs_directory && !is_directory(source) {
            return Err(Errno::ENOTDIR);
        }
        Ok(())
    }

    fn check_rights(&self, source: &Dentry, replaced: Option<&Dentry>) -> Result<()> {
        let (view, target) = (self.view, &self.to.directory);
        view.check_removal(&self.from.directory, &source.inode.metadata()?)?;
        let Some(replaced) = replaced else {
            view.check_change(target)?;
            return self.check_move(source);
        };
        view.check_removal(target, &replaced.inode.metadata()?)?;
        if self.flags.contains(RenameFlags::EXCHANGE) {
            self.check_move(source)?;
            return self.check_move(replaced);
        }
        match (source.inode.kind(), replaced.inode.kind()) {
            (FileType::Directory, FileType::Directory) => {}
            (FileType::Directory, _) => return Err(Errno::ENOTDIR),
            (_, FileType::Directory) => return Err(Errno::EISDIR),
            _ => {}
        }
        self.check_move(source)
    }
}
