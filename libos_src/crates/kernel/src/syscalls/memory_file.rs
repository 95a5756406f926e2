//! `memfd_create`, and what is sealed.

use alloc::sync::Arc;

use hal::Errno;
use vfs::{DeviceNumber, FileSystem, FileType, Mode, NewNode, OpenFile, OpenFlags};

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::files::{Descriptor, MemoryFile, Seals};

/// `memfd_create(2)`.
pub(super) fn memfd_create(call: &mut Call<'_>, name: Address, flags: u32) -> Outcome {
    const MFD_CLOEXEC: u32 = 1;
    const MFD_ALLOW_SEALING: u32 = 2;
    const MFD_NOEXEC_SEAL: u32 = 8;
    const MFD_EXEC: u32 = 16;
    const KNOWN: u32 = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;
    const NAME_LIMIT_BYTES: usize = 250;
    let both = MFD_NOEXEC_SEAL | MFD_EXEC;
    if flags & !KNOWN != 0 || flags & both == both {
        return Err(Errno::EINVAL.into());
    }
    let name = call
        .memory()
        .read_string(name.0, NAME_LIMIT_BYTES, Errno::EINVAL)?;
    let is_executable = flags & MFD_NOEXEC_SEAL == 0;
    let viewpoint = call.viewpoint().clone();
    let node = NewNode {
        kind: FileType::Regular,
        mode: Mode::from_low_bits(if is_executable { 0o777 } else { 0o666 }),
        user: viewpoint.credentials.user,
        group: viewpoint.credentials.group,
        represents: DeviceNumber::default(),
        link_target: b"",
    };
    let content = call
        .libos
        .memory_files()?
        .root()
        .create_unnamed(&node, false)?;
    let mut seals = Seals::SEAL;
    if flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) != 0 {
        seals = Seals::empty();
        seals.set(Seals::EXEC, !is_executable);
    }
    let inode = Arc::new(MemoryFile::new(content, seals));
    let path = [b"/memfd:", &name[..], b" (deleted)"].concat();
    let place = viewpoint.namespace.anonymous(inode.clone(), &path);
    let descriptor = Descriptor {
        // Not as one who writes: it can be run while it is open.
        file: OpenFile::through(place, inode, OpenFlags::READ_WRITE | OpenFlags::LARGE_FILE),
        is_closed_on_exec: flags & MFD_CLOEXEC != 0,
    };
    Ok(call.task.places.files.write().add(0, descriptor)? as u64)
}

/// `F_ADD_SEALS` of `fcntl(2)`.
pub(super) fn add_seals(call: &Call<'_>, fd: i32, seals: u32) -> Outcome {
    let file = call.file(fd)?;
    if !file.flags().is_writable() {
        return Err(Errno::EPERM.into());
    }
    let seals = Seals::from_bits(seals).ok_or(Errno::EINVAL)?;
    let sealed = match file.object().downcast::<MemoryFile>() {
        Some(sealed) => sealed,
        None if is_in_memory(&file) => return Err(Errno::EPERM.into()),
        None => return Err(Errno::EINVAL.into()),
    };
    sealed.add_seals(seals, || {
        let id = file.location().file_id()?;
        Ok(call.memory().shared_memory().is_written(id))
    })?;
    Ok(0)
}

/// `F_GET_SEALS` of `fcntl(2)`.
pub(super) fn get_seals(call: &Call<'_>, fd: i32) -> Outcome {
    let file = call.file(fd)?;
    let seals = match file.object().downcast::<MemoryFile>() {
        Some(sealed) => sealed.seals(),
        None if is_in_memory(&file) => Seals::SEAL,
        None => return Err(Errno::EINVAL.into()),
    };
    Ok(seals.bits().into())
}

/// Whether it is a file of a tmpfs, to which no seal can be added.
fn is_in_memory(file: &OpenFile) -> bool {
    file.location().kind() == FileType::Regular
        && file.location().file_system().type_name() == "tmpfs"
}
