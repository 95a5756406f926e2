//! Moving names. All callers hold the tree lock.

use alloc::sync::Arc;

use vfs::{Errno, Inode, Name, NewNode, RenameFlags, Result};

use crate::change::destroy;
use crate::marks;
use crate::node::{Node, unless_missing};

impl Node {
    /// Moves the entry `from` of this directory to the name `to` of `target`. A directory takes along
    /// what it shows of the lower file system.
    pub(crate) fn move_name(
        &self,
        from: Name<'_>,
        target: &Self,
        to: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        let source = self.find(from)?;
        let replaced = unless_missing(target.find(to))?;
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        match &replaced {
            Some(_) if flags.contains(RenameFlags::NO_REPLACE) => return Err(Errno::EEXIST),
            Some(replaced) if Arc::ptr_eq(replaced, &source) => return Ok(()),
            None if exchange => return Err(Errno::ENOENT),
            Some(replaced) if !exchange => match (source.is_directory(), replaced.is_directory()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) => replaced.check_empty()?,
                (false, false) => {}
            },
            _ => {}
        }
        let (from_directory, to_directory) = (self.copy_up()?, target.copy_up()?);
        source.copy_up()?;
        source.prepare_move(target, to)?;
        let Some(replaced) = replaced else {
            return self.carry(&from_directory, from, &to_directory, to);
        };
        if exchange {
            replaced.copy_up()?;
            replaced.prepare_move(self, from)?;
            return from_directory.rename(from, &to_directory, to, RenameFlags::EXCHANGE);
        }
        let was_in_upper = target.find_upper(to)?.is_some();
        if replaced.is_directory()
            && let Some(upper) = replaced.upper()
        {
            marks::remove_whiteouts(&*upper)?;
        }
        self.carry(&from_directory, from, &to_directory, to)?;
        replaced.lose_name(target, to, was_in_upper)
    }

    /// Notes in a directory that is about to move what it continues, or that it continues nothing.
    fn prepare_move(&self, target: &Self, to: Name<'_>) -> Result<()> {
        if !self.is_directory() {
            return Ok(());
        }
        let upper = self.copy_up()?;
        match &self.lower {
            Some(lower) => marks::set_redirect(&*upper, &lower.path),
            None if target.find_lower(to)?.is_some() => marks::set_opaque(&*upper),
            None => Ok(()),
        }
    }

    /// Moves an upper entry, leaving a whiteout where the lower directory has the name.
    fn carry(
        &self,
        from_directory: &Arc<dyn Inode>,
        from: Name<'_>,
        to_directory: &Arc<dyn Inode>,
        to: Name<'_>,
    ) -> Result<()> {
        if self.find_lower(from)?.is_none() {
            return put(from_directory, from, to_directory, to);
        }
        let work = &self.shared.work;
        let ready = self.shared.work_name();
        let ready = Name::new(ready.as_bytes())?;
        work.create(ready, &NewNode::WHITEOUT)?;
        if let Err(error) = work.rename(ready, from_directory, from, RenameFlags::EXCHANGE) {
            destroy(&**work, ready);
            return Err(error);
        }
        if let Err(error) = put(work, ready, to_directory, to) {
            work.rename(ready, from_directory, from, RenameFlags::EXCHANGE)?;
            destroy(&**work, ready);
            return Err(error);
        }
        Ok(())
    }
}

/// Moves an upper entry to a name, and destroys what has that name in the upper directory.
fn put(
    from_directory: &Arc<dyn Inode>,
    from: Name<'_>,
    to_directory: &Arc<dyn Inode>,
    to: Name<'_>,
) -> Result<()> {
    if unless_missing(to_directory.lookup(to))?.is_none() {
        return from_directory.rename(from, to_directory, to, RenameFlags::empty());
    }
    from_directory.rename(from, to_directory, to, RenameFlags::EXCHANGE)?;
    destroy(&**from_directory, from);
    Ok(())
}
