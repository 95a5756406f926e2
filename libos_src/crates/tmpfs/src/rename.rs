//! Moving names.

use alloc::sync::Arc;

use vfs::{Errno, NewNode, RenameFlags, Result};

use crate::budget::entry_bytes;
use crate::node::Node;

/// Moves the entry `from` of `source_directory` to the name `to` of `target_directory`, which is of
/// the same file system.
///
/// A lookup meanwhile may find the inode under both names, but what was at the target is never
/// missing.
pub(crate) fn rename(
    source_directory: &Node,
    from: &[u8],
    target_directory: &Node,
    to: &[u8],
    flags: RenameFlags,
) -> Result<()> {
    let shared = &source_directory.shared;
    let tree = shared.tree.lock();
    let source = source_directory.entry(from)?;
    let whiteout = match flags.contains(RenameFlags::WHITEOUT) {
        true => Some(Node::new(shared, &NewNode::WHITEOUT)?),
        false => None,
    };
    let replaced = match target_directory.entry(to) {
        Ok(replaced) => Some(replaced),
        Err(Errno::ENOENT) => None,
        Err(error) => return Err(error),
    };
    if replaced
        .as_ref()
        .is_some_and(|replaced| Arc::ptr_eq(replaced, &source))
    {
        return refuse_replacement(flags);
    }
    if source.is_directory() && is_above(&source, target_directory) {
        return Err(Errno::EINVAL);
    }
    let gone = match replaced {
        Some(replaced) if flags.contains(RenameFlags::EXCHANGE) => {
            if replaced.is_directory() && is_above(&replaced, source_directory) {
                return Err(Errno::EINVAL);
            }
            exchange(
                source_directory,
                from,
                &source,
                target_directory,
                to,
                &replaced,
            )?;
            None
        }
        None if flags.contains(RenameFlags::EXCHANGE) => return Err(Errno::ENOENT),
        Some(replaced) => {
            refuse_replacement(flags)?;
            check_replaceable(&source, &replaced)?;
            if whiteout.is_none() {
                shared.budget.release(entry_bytes(from));
            }
            move_entry(source_directory, from, &source, target_directory, to)?;
            replaced.state().lose_name(shared.clock.now());
            Some(replaced)
        }
        None => {
            if target_directory.state().link_count == 0 {
                return Err(Errno::ENOENT);
            }
            match whiteout {
                Some(_) => shared.budget.charge(entry_bytes(to))?,
                None => recharge(source_directory, from, to)?,
            }
            move_entry(source_directory, from, &source, target_directory, to)?;
            None
        }
    };
    if let Some(whiteout) = whiteout {
        whiteout.state().link_count = 1;
        // What it takes was charged for the source.
        source_directory
            .state()
            .directory_mut()?
            .insert(from, whiteout);
    }
    drop(tree);
    drop(gone);
    Ok(())
}

fn refuse_replacement(flags: RenameFlags) -> Result<()> {
    if flags.contains(RenameFlags::NO_REPLACE) {
        Err(Errno::EEXIST)
    } else {
        Ok(())
    }
}

fn check_replaceable(source: &Node, replaced: &Node) -> Result<()> {
    match (source.is_directory(), replaced.is_directory()) {
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
        (true, true) if replaced.state().directory()?.len() != 0 => Err(Errno::ENOTEMPTY),
        _ => Ok(()),
    }
}

/// Whether `above` is `node` or contains it.
fn is_above(above: &Arc<Node>, node: &Node) -> bool {
    let mut here = node.this.upgrade();
    while let Some(directory) = here {
        if Arc::ptr_eq(above, &directory) {
            return true;
        }
        here = directory
            .state()
            .directory()
            .ok()
            .and_then(|it| it.parent.upgrade());
    }
    false
}

/// Charges the difference between two names, so that a full file system still allows a rename to a
/// name that is not longer.
fn recharge(directory: &Node, from: &[u8], to: &[u8]) -> Result<()> {
    let budget = &directory.shared.budget;
    let (before, after) = (entry_bytes(from), entry_bytes(to));
    if after > before {
        return budget.charge(after - before);
    }
    budget.release(before - after);
    Ok(())
}

/// Moves an entry, replacing what has the name.
fn move_entry(
    source_directory: &Node,
    from: &[u8],
    source: &Arc<Node>,
    target_directory: &Node,
    to: &[u8],
) -> Result<()> {
    let now = source_directory.shared.clock.now();
    let moves_directory = u32::from(source.is_directory());
    if core::ptr::eq(source_directory, target_directory) {
        let mut state = source_directory.state();
        let replaced = state.directory_mut()?.rename(from, to);
        state.link_count -= directories(replaced.as_ref());
        state.touch(now);
    } else {
        let mut state = target_directory.state();
        let replaced = state.directory_mut()?.insert(to, source.clone());
        state.link_count += moves_directory;
        state.link_count -= directories(replaced.as_ref());
        state.touch(now);
        drop(state);
        let mut state = source_directory.state();
        state.directory_mut()?.remove(from);
        state.link_count -= moves_directory;
        state.touch(now);
        drop(state);
    }
    arrive(source, target_directory);
    Ok(())
}

/// Swaps two entries.
fn exchange(
    source_directory: &Node,
    from: &[u8],
    source: &Arc<Node>,
    target_directory: &Node,
    to: &[u8],
    replaced: &Arc<Node>,
) -> Result<()> {
    for (directory, name, arriving, leaving) in [
        (target_directory, to, source, replaced),
        (source_directory, from, replaced, source),
    ] {
        let mut state = directory.state();
        state.directory_mut()?.insert(name, arriving.clone());
        state.link_count += u32::from(arriving.is_directory());
        state.link_count -= u32::from(leaving.is_directory());
        state.touch(directory.shared.clock.now());
        drop(state);
        arrive(arriving, directory);
    }
    Ok(())
}

/// Notes in a moved inode where it is now.
fn arrive(node: &Node, directory: &Node) {
    let mut state = node.state();
    state.changed(directory.shared.clock.now());
    if let Ok(entries) = state.directory_mut() {
        entries.parent = directory.this.clone();
    }
}

fn directories(node: Option<&Arc<Node>>) -> u32 {
    node.map_or(0, |node| u32::from(node.is_directory()))
}
