//! Requests that any file answers, and devices do not see: for storage that files share, and sizes
//! (ioctl_ficlone(2), ioctl_fideduperange(2), ioctl_fiemap(2)).

use alloc::sync::Arc;

use hal::Errno;
use vfs::{FileType, OpenFile, OpenFlags};

use super::argument::Address;
use super::call::{Call, Outcome};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileRequest {
    BlockSize,
    StorageSize,
    Extents,
    Clone,
    CloneRange,
    Deduplicate,
}

impl FileRequest {
    /// The one with this number, if it is one.
    pub(super) const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0x2 => Self::BlockSize,
            0x5460 => Self::StorageSize,
            0xc020_660b => Self::Extents,
            0x4004_9409 => Self::Clone,
            0x4020_940d => Self::CloneRange,
            0xc018_9436 => Self::Deduplicate,
            _ => return None,
        })
    }
}

/// Serves one of them.
pub(super) fn control(
    call: &Call<'_>,
    file: &Arc<OpenFile>,
    request: FileRequest,
    argument: u64,
) -> Outcome {
    let memory = call.memory();
    match request {
        FileRequest::BlockSize => {
            let statistics = file.location().file_system().statistics()?;
            let size = i32::try_from(statistics.block_size_bytes).map_err(|_| Errno::EINVAL)?;
            memory.write(argument, &size)?;
            Ok(0)
        }
        FileRequest::StorageSize => {
            let kinds = [FileType::Regular, FileType::Directory, FileType::Symlink];
            if !kinds.contains(&file.location().kind()) {
                return Err(Errno::ENOTTY.into());
            }
            let size = file.metadata()?.blocks_512.saturating_mul(512);
            memory.write(argument, &size)?;
            Ok(0)
        }
        // No file system of ours has files in places that it could name.
        FileRequest::Extents => Err(Errno::EOPNOTSUPP.into()),
        // A number of a descriptor has 32 bits, whatever else is in the register.
        FileRequest::Clone => share(call, argument as i32, file),
        FileRequest::CloneRange => {
            let [source, _, _, _]: [u64; 4] = memory.read(argument)?;
            share(call, source as i32, file)
        }
        FileRequest::Deduplicate => deduplicate(call, file, Address(argument)),
    }
}

/// Why one file does not get another's storage: in Linux's order, and at last because no file system
/// of ours shares any.
fn share(call: &Call<'_>, source: i32, target: &Arc<OpenFile>) -> Outcome {
    let source = call.file(source)?;
    if source.location().device() != target.location().device() {
        return Err(Errno::EXDEV.into());
    }
    check_copy(&source, target)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// Whether bytes of one file may be put into another as they are.
///
/// # Errors
/// `EISDIR`, `EINVAL`, and `EBADF` for how they are open.
pub(super) fn check_copy(source: &OpenFile, target: &OpenFile) -> Result<(), Errno> {
    let kinds = [source, target].map(|file| file.location().kind());
    if kinds.contains(&FileType::Directory) {
        return Err(Errno::EISDIR);
    }
    if kinds != [FileType::Regular; 2] {
        return Err(Errno::EINVAL);
    }
    let is_addition = target.flags().contains(OpenFlags::APPEND);
    if !source.flags().is_readable() || !target.flags().is_writable() || is_addition {
        return Err(Errno::EBADF);
    }
    Ok(())
}

/// `struct file_dedupe_range`, and what each file behind it takes.
const HEAD_BYTES: usize = 24;
const TARGET_BYTES: usize = 32;

/// Why no file shares what others have alike.
fn deduplicate(call: &Call<'_>, file: &OpenFile, argument: Address) -> Outcome {
    let memory = call.memory();
    let [_, _, counts]: [u64; 3] = memory.read(argument.0)?;
    let count = usize::from(counts as u16);
    let size_bytes = HEAD_BYTES + count * TARGET_BYTES;
    if size_bytes as u64 > hal::PAGE_SIZE {
        return Err(Errno::ENOMEM.into());
    }
    memory.read_bytes(argument.0, size_bytes)?;
    let is_reserved = counts >> 16 != 0;
    if !file.flags().is_readable() || is_reserved {
        return Err(Errno::EINVAL.into());
    }
    let errno = match file.location().kind() {
        FileType::Directory => Errno::EISDIR,
        FileType::Regular => Errno::EOPNOTSUPP,
        _ => Errno::EINVAL,
    };
    Err(errno.into())
}
