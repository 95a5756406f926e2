//! What the upper file system notes about the lower one.

use alloc::vec::Vec;

use vfs::{AttributeSet, DirectoryEntry, Errno, Inode, Name, NewNode, Result, SinkState};

use crate::listing::BATCH;

const OPAQUE: &[u8] = b"trusted.overlay.opaque";
const REDIRECT: &[u8] = b"trusted.overlay.redirect";
const METACOPY: &[u8] = b"trusted.overlay.metacopy";
const ORIGIN: &[u8] = b"trusted.overlay.origin";

/// Whether an inode of the upper file system is a whiteout.
pub(crate) fn is_whiteout(inode: &dyn Inode) -> Result<bool> {
    let is_device = inode.kind() == NewNode::WHITEOUT.kind;
    Ok(is_device && inode.metadata()?.represents == NewNode::WHITEOUT.represents)
}

/// Whether a directory hides what is below.
pub(crate) fn is_opaque(upper: &dyn Inode) -> Result<bool> {
    Ok(read(upper, OPAQUE)?.is_some())
}

/// Makes a directory hide what is below.
pub(crate) fn set_opaque(upper: &dyn Inode) -> Result<()> {
    upper.set_extended_attribute(OPAQUE, b"y", AttributeSet::Always)
}

/// The path in the lower file system of what a directory or file continues, if it moved.
pub(crate) fn redirect(upper: &dyn Inode) -> Result<Option<Vec<u8>>> {
    read(upper, REDIRECT)
}

/// Notes the path of what a directory or file continues.
pub(crate) fn set_redirect(upper: &dyn Inode, path: &[u8]) -> Result<()> {
    upper.set_extended_attribute(REDIRECT, path, AttributeSet::Always)
}

/// Whether the content of a file is below.
pub(crate) fn is_metacopy(upper: &dyn Inode) -> Result<bool> {
    Ok(read(upper, METACOPY)?.is_some())
}

/// Notes that the content of a file is that of the lower file at `path`.
pub(crate) fn set_metacopy(upper: &dyn Inode, path: &[u8]) -> Result<()> {
    set_redirect(upper, path)?;
    upper.set_extended_attribute(METACOPY, b"", AttributeSet::Always)
}

/// Notes that a file has all its content.
pub(crate) fn remove_metacopy(upper: &dyn Inode) -> Result<()> {
    upper.remove_extended_attribute(METACOPY)?;
    upper.remove_extended_attribute(REDIRECT)
}

/// The inode number of the lower file that a file began as.
pub(crate) fn origin(upper: &dyn Inode) -> Result<Option<u64>> {
    let Some(bytes) = read(upper, ORIGIN)? else {
        return Ok(None);
    };
    let bytes = bytes.try_into().map_err(|_| Errno::EIO)?;
    Ok(Some(u64::from_le_bytes(bytes)))
}

/// Notes the inode number of the lower file.
pub(crate) fn set_origin(upper: &dyn Inode, number: u64) -> Result<()> {
    upper.set_extended_attribute(ORIGIN, &number.to_le_bytes(), AttributeSet::Always)
}

fn read(upper: &dyn Inode, name: &[u8]) -> Result<Option<Vec<u8>>> {
    match upper.extended_attribute(name) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENODATA) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the whiteouts of an upper directory whose union with the lower one is empty.
pub(crate) fn remove_whiteouts(upper: &dyn Inode) -> Result<()> {
    let mut is_opaque = false;
    loop {
        let mut names = Vec::new();
        upper.read_directory(0, &mut |entry: &DirectoryEntry<'_>| {
            if names.len() == BATCH {
                return SinkState::Full;
            }
            names.push(entry.name.to_vec());
            SinkState::Taken
        })?;
        if names.is_empty() {
            return Ok(());
        }
        if !core::mem::replace(&mut is_opaque, true) {
            set_opaque(upper)?;
        }
        for name in names {
            upper.unlink(Name::new(&name)?)?;
        }
    }
}
