//! Whose the files of a process are.

use vfs::{FileType, Metadata, Mode, Result};

use crate::Source;

/// What is known of a file of a process. It belongs to the user on whose behalf the process acts; to
/// the superuser, if others of that user may not look into the process.
///
/// # Errors
/// `ESRCH`.
pub(crate) fn metadata(
    source: &dyn Source,
    process: u32,
    inode: u64,
    kind: FileType,
    mode: u32,
) -> Result<Metadata> {
    let fixed = Metadata::fixed(inode, kind, Mode::from_low_bits(mode));
    // A directory that is open to all hides nothing.
    let is_open = kind == FileType::Directory && mode == 0o555;
    if !is_open && !source.is_dumpable(process)? {
        return Ok(fixed);
    }
    let (user, group) = source.owner(process)?;
    Ok(Metadata {
        user,
        group,
        ..fixed
    })
}

/// The same of a directory that a process may always enter itself.
///
/// # Errors
/// `ESRCH`.
pub(crate) fn metadata_of_own(
    source: &dyn Source,
    process: u32,
    inode: u64,
    mode: u32,
) -> Result<Metadata> {
    let kind = FileType::Directory;
    let found = metadata(source, process, inode, kind, mode)?;
    if source.current_process() != process {
        return Ok(found);
    }
    let (user, group) = source.owner(process)?;
    Ok(Metadata {
        user,
        group,
        ..found
    })
}
