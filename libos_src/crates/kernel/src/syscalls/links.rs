//! Names: linking, removing, renaming, symbolic links.

use hal::Errno;
use vfs::{Capabilities, DeviceNumber, FileType, Follow, Mode, RenameFlags};

use super::argument::{AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, AT_WORKING_DIRECTORY, Address};
use super::call::{Call, Outcome};

const AT_REMOVEDIR: u32 = 0x200;

/// `unlinkat(2)`.
pub(super) fn unlinkat(call: &mut Call<'_>, directory: i32, path: Address, flags: u32) -> Outcome {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = call.path(path)?;
    let base = call.base(directory, &path)?;
    let viewpoint = call.viewpoint();
    if flags & AT_REMOVEDIR != 0 {
        viewpoint.remove_directory(base.as_ref(), &path)?;
    } else {
        viewpoint.unlink(base.as_ref(), &path)?;
    }
    Ok(0)
}

/// `unlink(2)`.
pub(super) fn unlink(call: &mut Call<'_>, path: Address) -> Outcome {
    unlinkat(call, AT_WORKING_DIRECTORY, path, 0)
}

/// `renameat2(2)`.
pub(super) fn renameat2(
    call: &mut Call<'_>,
    from_directory: i32,
    from: Address,
    to_directory: i32,
    to: Address,
    flags: u32,
) -> Outcome {
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    flags.check()?;
    let viewpoint = call.viewpoint();
    // Each is looked up before the other is looked at.
    let resolve = |directory, path| {
        let path = call.path(path)?;
        let base = call.base(directory, &path)?;
        viewpoint.resolve_parent(base.as_ref(), &path)
    };
    let from = resolve(from_directory, from)?;
    let to = resolve(to_directory, to)?;
    viewpoint.rename_resolved(&from, &to, flags)?;
    Ok(0)
}

/// `renameat(2)`.
pub(super) fn renameat(
    call: &mut Call<'_>,
    from_directory: i32,
    from: Address,
    to_directory: i32,
    to: Address,
) -> Outcome {
    renameat2(call, from_directory, from, to_directory, to, 0)
}

/// `rename(2)`.
pub(super) fn rename(call: &mut Call<'_>, from: Address, to: Address) -> Outcome {
    renameat2(
        call,
        AT_WORKING_DIRECTORY,
        from,
        AT_WORKING_DIRECTORY,
        to,
        0,
    )
}

/// `linkat(2)`.
pub(super) fn linkat(
    call: &mut Call<'_>,
    from_directory: i32,
    from: Address,
    to_directory: i32,
    to: Address,
    flags: u32,
) -> Outcome {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let may_be_empty = flags & AT_EMPTY_PATH != 0;
    let from = match call.path_or_nothing(from)? {
        from if from.is_empty() && !may_be_empty => return Err(Errno::ENOENT.into()),
        from => from,
    };
    let viewpoint = call.viewpoint();
    let follow = if flags & AT_SYMLINK_FOLLOW != 0 {
        Follow::Yes
    } else {
        Follow::No
    };
    // Who was given a descriptor was not given the right to names for it.
    if from.is_empty() && !viewpoint.credentials.can(Capabilities::READ_AND_SEARCH) {
        return Err(Errno::ENOENT.into());
    }
    let source = match call.base(from_directory, &from)? {
        Some(base) if from.is_empty() => base,
        None if from.is_empty() => viewpoint.working_directory.clone(),
        base => viewpoint.resolve(base.as_ref(), &from, follow)?,
    };
    let to = call.path(to)?;
    let to_base = call.base(to_directory, &to)?;
    viewpoint.link(&source, to_base.as_ref(), &to)?;
    Ok(0)
}

/// `link(2)`.
pub(super) fn link(call: &mut Call<'_>, from: Address, to: Address) -> Outcome {
    linkat(
        call,
        AT_WORKING_DIRECTORY,
        from,
        AT_WORKING_DIRECTORY,
        to,
        0,
    )
}

/// `symlinkat(2)`.
pub(super) fn symlinkat(
    call: &mut Call<'_>,
    target: Address,
    directory: i32,
    path: Address,
) -> Outcome {
    let (target, path) = (call.path(target)?, call.path(path)?);
    let base = call.base(directory, &path)?;
    call.viewpoint()
        .make_symlink(&target, base.as_ref(), &path)?;
    Ok(0)
}

/// `symlink(2)`.
pub(super) fn symlink(call: &mut Call<'_>, target: Address, path: Address) -> Outcome {
    symlinkat(call, target, AT_WORKING_DIRECTORY, path)
}

/// `readlinkat(2)`.
pub(super) fn readlinkat(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    buffer: Address,
    len: i32,
) -> Outcome {
    let len = usize::try_from(len)
        .ok()
        .filter(|&len| len != 0)
        .ok_or(Errno::EINVAL)?;
    let path = call.path_or_nothing(path)?;
    let base = call.base(directory, &path)?;
    let location = match base {
        // A descriptor of a link, or of nothing that could be read so.
        Some(base) if path.is_empty() && base.kind() == FileType::Symlink => base,
        _ if path.is_empty() => return Err(Errno::ENOENT.into()),
        base => call.viewpoint().resolve(base.as_ref(), &path, Follow::No)?,
    };
    let target = location.inode().read_link()?;
    location.note_access();
    let given = &target[..target.len().min(len)];
    call.memory().copy_out(buffer.0, given)?;
    Ok(given.len() as u64)
}

/// `readlink(2)`.
pub(super) fn readlink(call: &mut Call<'_>, path: Address, buffer: Address, len: i32) -> Outcome {
    readlinkat(call, AT_WORKING_DIRECTORY, path, buffer, len)
}

/// `mknodat(2)`: FIFOs, sockets and empty files. Devices are where the LibOS puts them.
pub(super) fn mknodat(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    mode: u32,
    device: u64,
) -> Outcome {
    const S_IFMT: u32 = 0o170_000;
    let kind = match mode & S_IFMT {
        0 => FileType::Regular,
        _ => FileType::from_mode_bits(mode).ok_or(Errno::EINVAL)?,
    };
    match kind {
        FileType::Directory => return Err(Errno::EPERM.into()),
        FileType::Symlink => return Err(Errno::EINVAL.into()),
        _ => {}
    }
    let path = call.path(path)?;
    let base = call.base(directory, &path)?;
    call.viewpoint().make_node(
        base.as_ref(),
        &path,
        kind,
        Mode::from_low_bits(mode),
        DeviceNumber::from_u64(device),
    )?;
    Ok(0)
}

/// `mknod(2)`.
pub(super) fn mknod(call: &mut Call<'_>, path: Address, mode: u32, device: u64) -> Outcome {
    mknodat(call, AT_WORKING_DIRECTORY, path, mode, device)
}
