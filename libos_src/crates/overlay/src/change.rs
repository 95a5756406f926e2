//! Making and removing names. All callers hold the tree lock.

use alloc::sync::Arc;

use vfs::{Errno, FileType, Inode, Name, NewNode, RenameFlags, Result};

use crate::marks;
use crate::node::Node;

impl Node {
    /// Makes an entry of this directory.
    pub(crate) fn make(&self, name: Name<'_>, node: &NewNode<'_>) -> Result<Arc<Self>> {
        if node.is_whiteout() {
            return Err(Errno::EPERM);
        }
        let parent = self.copy_up()?;
        let upper = if self.is_whited_out(name)? {
            self.appear(&parent, name, |work, ready| {
                let made = work.create(ready, node)?;
                if node.kind == FileType::Directory {
                    marks::set_opaque(&*made)?;
                }
                Ok(made)
            })?
        } else {
            parent.create(name, node)?
        };
        Self::made(&self.shared, upper)
    }

    /// Adds a name for `target`.
    pub(crate) fn add_name(&self, name: Name<'_>, target: &Self) -> Result<()> {
        if target.is_directory() {
            return Err(Errno::EPERM);
        }
        let is_gone = {
            let state = target.state();
            state.upper.is_none() && state.lower_names == 0
        };
        if is_gone {
            return Err(Errno::ENOENT);
        }
        let is_whited_out = self.is_whited_out(name)?;
        let inode = target.copy_up()?;
        let parent = self.copy_up()?;
        if is_whited_out {
            self.appear(&parent, name, |work, ready| work.link(ready, &inode))
        } else {
            parent.link(name, &inode)
        }
    }

    /// Whether there is a whiteout under a name that is free; `EEXIST` if it is not.
    fn is_whited_out(&self, name: Name<'_>) -> Result<bool> {
        match self.find_upper(name)? {
            Some(found) if marks::is_whiteout(&*found)? => Ok(true),
            Some(_) => Err(Errno::EEXIST),
            None if self.find_lower(name)?.is_some() => Err(Errno::EEXIST),
            None => Ok(false),
        }
    }

    /// Lets what `prepare` makes in the work directory take the place of a whiteout.
    fn appear<T>(
        &self,
        parent: &Arc<dyn Inode>,
        name: Name<'_>,
        prepare: impl FnOnce(&dyn Inode, Name<'_>) -> Result<T>,
    ) -> Result<T> {
        let work = &self.shared.work;
        let ready = self.shared.work_name();
        let ready = Name::new(ready.as_bytes())?;
        let appeared = prepare(&**work, ready).and_then(|prepared| {
            work.rename(ready, parent, name, RenameFlags::EXCHANGE)?;
            Ok(prepared)
        });
        destroy(&**work, ready);
        appeared
    }

    /// Removes the entry `name` of this directory, which is `victim`, if that is a directory an
    /// empty one.
    pub(crate) fn take_away(&self, name: Name<'_>, victim: &Arc<Self>) -> Result<()> {
        let hides = self.find_lower(name)?.is_some();
        let is_in_upper = self.find_upper(name)?.is_some();
        let parent = self.copy_up()?;
        if victim.is_directory()
            && let Some(upper) = victim.upper()
        {
            marks::remove_whiteouts(&*upper)?;
        }
        match (hides, is_in_upper) {
            (true, true) => self.replace_by_whiteout(&parent, name)?,
            (true, false) => drop(parent.create(name, &NewNode::WHITEOUT)?),
            (false, _) if victim.is_directory() => parent.remove_directory(name)?,
            (false, _) => parent.unlink(name)?,
        }
        victim.lose_name(self, name, is_in_upper)
    }

    fn replace_by_whiteout(&self, parent: &Arc<dyn Inode>, name: Name<'_>) -> Result<()> {
        let work = &self.shared.work;
        let ready = self.shared.work_name();
        let ready = Name::new(ready.as_bytes())?;
        work.create(ready, &NewNode::WHITEOUT)?;
        let replaced = work.rename(ready, parent, name, RenameFlags::EXCHANGE);
        destroy(&**work, ready);
        replaced
    }

    /// Notes that a name of this node is gone.
    pub(crate) fn lose_name(
        self: &Arc<Self>,
        directory: &Self,
        name: Name<'_>,
        was_in_upper: bool,
    ) -> Result<()> {
        let has_names_below = match &self.lower {
            Some(lower) if !self.is_directory() => lower.inode.metadata()?.link_count > 1,
            _ => false,
        };
        if has_names_below {
            self.shared.kept.lock().insert(self.number, self.clone());
        }
        let mut state = self.state();
        state.is_removed = self.is_directory();
        if !was_in_upper {
            state.lower_names = state.lower_names.saturating_sub(1);
        }
        let is_here = state.place.as_ref().is_some_and(|(parent, place)| {
            core::ptr::eq(&raw const **parent, directory) && **place == *name
        });
        let place = if is_here { state.place.take() } else { None };
        drop(state);
        drop(place);
        Ok(())
    }
}

/// Removes what is in the work directory under a name, if anything. What cannot be removed is only
/// lost room.
pub(crate) fn destroy(directory: &dyn Inode, name: Name<'_>) {
    let Ok(inode) = directory.lookup(name) else {
        return;
    };
    let _ = match inode.kind() {
        FileType::Directory => directory.remove_directory(name),
        _ => directory.unlink(name),
    };
}
