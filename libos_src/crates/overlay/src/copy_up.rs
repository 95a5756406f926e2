//! Bringing files to the upper file system.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use vfs::{
    AttributeChange, AttributeSet, Errno, FileType, Inode, Metadata, Name, NewNode, RenameFlags,
    Result,
};

use crate::marks;
use crate::node::Node;

/// Content copied at a time.
const CHUNK_BYTES: usize = 64 * 1024;

impl Node {
    /// The inode of the upper file system, with the attributes of the lower one if it is new.
    pub(crate) fn copied_up(&self) -> Result<Arc<dyn Inode>> {
        if let Some(upper) = self.upper() {
            return Ok(upper);
        }
        let _tree = self.shared.tree.write();
        self.copy_up()
    }

    /// The same, for a caller who holds the tree lock.
    pub(crate) fn copy_up(&self) -> Result<Arc<dyn Inode>> {
        if let Some(upper) = self.upper() {
            return Ok(upper);
        }
        // The directories above come first, and a path may have thousands of them.
        let mut chain = Vec::from([self.this()?]);
        while let Some(node) = chain.last() {
            let place = node.state().place.clone();
            match place {
                Some((parent, _)) if parent.upper().is_none() => chain.push(parent),
                _ => break,
            }
        }
        while let Some(node) = chain.pop() {
            node.copy_up_one()?;
        }
        self.upper().ok_or(Errno::EIO)
    }

    /// Copies one file whose directory is in the upper file system.
    fn copy_up_one(&self) -> Result<()> {
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        let below = lower.inode.metadata()?;
        let link_target = match below.kind {
            FileType::Symlink => lower.inode.read_link()?,
            _ => Vec::new(),
        };
        let node = NewNode {
            kind: below.kind,
            mode: below.mode,
            user: below.user,
            group: below.group,
            represents: below.represents,
            link_target: &link_target,
        };
        let place = self.state().place.clone();
        let upper = match place {
            Some((parent, name)) => {
                let parent = parent.upper().ok_or(Errno::EIO)?;
                self.bring(&parent, Name::new(&name)?, &node, &below)?
            }
            // It lost its name while it was in use.
            None if below.kind == FileType::Regular => {
                let root = self.shared.upper.root();
                let upper = root.create_unnamed(&node, false)?;
                self.describe(&*upper, &below)?;
                upper
            }
            None => return Err(Errno::ENOENT),
        };
        let has_names_below = below.kind != FileType::Directory && below.link_count > 1;
        if has_names_below {
            self.shared.kept.lock().insert(self.number, self.this()?);
        }
        let mut state = self.state();
        state.upper = Some(upper);
        state.has_lower_content = below.kind == FileType::Regular && below.size_bytes > 0;
        if state.place.take().is_some() && below.kind != FileType::Directory {
            state.lower_names = state.lower_names.saturating_sub(1);
        }
        Ok(())
    }

    /// Makes a file ready in the work directory and lets it appear in `parent`, whose dates stay.
    fn bring(
        &self,
        parent: &Arc<dyn Inode>,
        name: Name<'_>,
        node: &NewNode<'_>,
        below: &Metadata,
    ) -> Result<Arc<dyn Inode>> {
        let work = &self.shared.work;
        let ready = self.shared.work_name();
        let ready = Name::new(ready.as_bytes())?;
        let dates = dates_of(&parent.metadata()?);
        let upper = work.create(ready, node)?;
        let brought = self
            .describe(&*upper, below)
            .and_then(|()| work.rename(ready, parent, name, RenameFlags::NO_REPLACE));
        if let Err(error) = brought {
            // Best effort: a file that is left in the work directory is only lost room.
            let _ = match node.kind {
                FileType::Directory => work.remove_directory(ready),
                _ => work.unlink(ready),
            };
            return Err(error);
        }
        parent.set_attributes(&dates)?;
        Ok(upper)
    }

    /// Gives a new file the attributes of the lower one, and the notes that lead back to it.
    fn describe(&self, upper: &dyn Inode, below: &Metadata) -> Result<()> {
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        if below.kind != FileType::Directory {
            marks::set_origin(upper, below.inode)?;
        }
        if below.kind == FileType::Regular && below.size_bytes > 0 {
            marks::set_metacopy(upper, &lower.path)?;
            upper.truncate(below.size_bytes)?;
        }
        // A file system without attributes has none to copy.
        for name in lower.inode.extended_attributes().unwrap_or_default() {
            let value = lower.inode.extended_attribute(&name)?;
            upper.set_extended_attribute(&name, &value, AttributeSet::Always)?;
        }
        upper.set_attributes(&dates_of(below))
    }

    /// The upper inode, with the first `keep_bytes` of the content in it: the rest is about to be
    /// cut off.
    pub(crate) fn own_content(&self, keep_bytes: u64) -> Result<Arc<dyn Inode>> {
        let upper = self.copied_up()?;
        let mut state = self.state();
        if !state.has_lower_content {
            return Ok(upper);
        }
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        copy_content(&*lower.inode, &*upper, keep_bytes)?;
        marks::remove_metacopy(&*upper)?;
        state.has_lower_content = false;
        drop(state);
        Ok(upper)
    }
}

/// Copies the content up to `end`; pages of zeros stay holes. On an error `to` has none of it.
fn copy_content(from: &dyn Inode, to: &dyn Inode, end: u64) -> Result<()> {
    let size_bytes = from.metadata()?.size_bytes;
    let end = end.min(size_bytes);
    let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(end).unwrap_or(usize::MAX))];
    let mut done = 0;
    while done < end {
        let wanted = usize::try_from(end - done)
            .unwrap_or(usize::MAX)
            .min(chunk.len());
        let part = &mut chunk[..wanted];
        let copied = from
            .read_at(done, part)
            .and_then(|count| {
                if count == 0 {
                    Err(Errno::EIO)
                } else {
                    Ok(count)
                }
            })
            .and_then(|count| {
                let part = &part[..count];
                if part.iter().all(|byte| *byte == 0) {
                    return Ok(count);
                }
                match to.write_at(done, part)? {
                    0 => Err(Errno::ENOSPC),
                    count => Ok(count),
                }
            });
        match copied {
            Ok(count) => done += count as u64,
            Err(error) => {
                to.truncate(0)?;
                to.truncate(size_bytes)?;
                return Err(error);
            }
        }
    }
    Ok(())
}

fn dates_of(metadata: &Metadata) -> AttributeChange {
    AttributeChange {
        accessed: Some(metadata.accessed),
        modified: Some(metadata.modified),
        ..AttributeChange::default()
    }
}
