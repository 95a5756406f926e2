//! Memory calls.

use alloc::sync::Arc;

use hal::{Errno, PAGE_SIZE, Prot};
use vfs::{DeviceNumber, FileType, InodeFlags, MountFlags, OpenFile};

use super::call::{Call, Outcome};
use super::locked_memory;
use crate::files::{MemoryFile, Seals};
use crate::memory::{
    Advice, Backing, CopiedFile, FileBacking, FilePart, Mapping, Placement, Purpose, Remapping,
    Rights, SharedFile, SharedMapping, page_range,
};
use crate::processes::Limits;

const MAP_SHARED: u32 = 1;
const MAP_PRIVATE: u32 = 2;
const MAP_SHARED_VALIDATE: u32 = 3;
const MAP_TYPE: u32 = 0xf;
const MAP_FIXED: u32 = 0x10;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_32BIT: u32 = 0x40;
const MAP_GROWSDOWN: u32 = 0x100;
/// Of `mprotect`: from where the stack begins, which glibc gives that makes stacks executable.
const PROT_GROWSDOWN: u32 = 0x0100_0000;
const PROT_GROWSUP: u32 = 0x0200_0000;
/// Linux takes no notice of it, and nobody but loaders gives it.
const MAP_DENYWRITE: u32 = 0x800;
const MAP_LOCKED: u32 = 0x2000;
const MAP_NORESERVE: u32 = 0x4000;
const MAP_POPULATE: u32 = 0x8000;
const MAP_HUGETLB: u32 = 0x4_0000;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;
/// The flags that `MAP_SHARED_VALIDATE` knows (`LEGACY_MAP_MASK` of `linux/mman.h`): those of
/// `mmap` from before it came, huge pages' sizes, and `MAP_UNINITIALIZED`.
const KNOWN_FLAGS: u32 = 0x7_f9f3 | 0x7c00_0000;

/// What a program on x86-64 can address: more is refused before a file is asked about it.
const ADDRESSES_BYTES: u64 = 1 << 47;

/// Protection bits besides `PROT_READ`, `PROT_WRITE` and `PROT_EXEC` that may be given: none that
/// changes what we do.
const PROT_MASK: u32 = 7;
/// `PROT_SEM`.
const PROT_IGNORED: u32 = 8;

/// `mmap(2)`.
pub(super) fn mmap(
    call: &mut Call<'_>,
    address: u64,
    len: u64,
    prot: u32,
    flags: u32,
    fd: i32,
    offset: u64,
) -> Outcome {
    let fixed = match flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) {
        0 => None,
        _ => page_range(address, len),
    };
    let mapped = call.put_in(&fixed.unwrap_or_default(), |call| {
        map(call, address, len, prot, flags, fd, offset)
    })?;
    if flags & MAP_LOCKED != 0
        && let Some(range) = page_range(mapped, len)
    {
        // What cannot be had now is looked for again when it is touched.
        let _ = call.memory().set_locked(&range, true, false);
    }
    if flags & MAP_POPULATE != 0 {
        let prot = Prot::from_bits_truncate(prot);
        // As on Linux, a page that cannot be had now is looked for again when it is touched.
        let _ = call.memory().advise(mapped, len, Advice::Populate(prot));
    }
    Ok(mapped)
}

fn map(
    call: &mut Call<'_>,
    address: u64,
    len: u64,
    prot: u32,
    flags: u32,
    fd: i32,
    offset: u64,
) -> Outcome {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    // Looked up once: another may have the number a moment later.
    let file = match flags & MAP_ANONYMOUS {
        0 => Some(call.file(fd)?),
        _ => None,
    };
    if len == 0 {
        return Err(Errno::EINVAL.into());
    }
    if len > ADDRESSES_BYTES {
        return Err(Errno::ENOMEM.into());
    }
    let prot = Prot::from_bits_truncate(prot);
    locked_memory::check_new(call, len, flags & MAP_LOCKED != 0)?;
    check_limits(call, len, prot, flags & MAP_TYPE == MAP_PRIVATE)?;
    let placement = if flags & MAP_FIXED_NOREPLACE != 0 {
        Placement::FixedFree(address)
    } else if flags & MAP_FIXED != 0 {
        Placement::Fixed(address)
    } else if flags & MAP_32BIT != 0 {
        Placement::Low(address)
    } else {
        Placement::Hint(address)
    };
    if flags & MAP_HUGETLB != 0 {
        call.libos
            .report_once(call.regs.rax, "huge pages do not exist; EINVAL");
        return Err(Errno::EINVAL.into());
    }
    let kind = flags & MAP_TYPE;
    let mut most = Prot::all();
    let zeros = match &file {
        Some(file) if is_zero_device(file, kind, prot)? => Some(file),
        _ => None,
    };
    if let Some(device) = zeros {
        let is_writable = device.flags().is_writable();
        most.set(Prot::WRITE, kind == MAP_PRIVATE || is_writable);
    }
    let file = file.as_ref().filter(|_| zeros.is_none());
    let backing = if let Some(file) = file {
        if kind == MAP_SHARED_VALIDATE && flags & !KNOWN_FLAGS != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        // No seal comes between the look at them and the mapping.
        let sealed = file.object().downcast::<MemoryFile>();
        let seals = sealed.map(MemoryFile::hold_seals);
        let present = seals.as_deref().copied().unwrap_or(Seals::empty());
        most = check_file(file, present, offset, len, prot, kind)?;
        file.note_access();
        // A copy is as good as the file itself if neither can change.
        let is_shared = kind != MAP_PRIVATE && file.location().mount().check_writable().is_ok();
        if is_shared {
            let fixed = fixed_address(call, placement, len)?;
            let part = file_part(call, file, offset)?;
            let memory = call.memory();
            let rights = Rights { prot, most };
            return Ok(memory.map_shared(SharedMapping::File(part), len, rights, fixed)?);
        }
        drop(seals);
        file.location().before_read(offset, len);
        Backing::File(FileBacking {
            is_for_loader: flags & MAP_DENYWRITE != 0,
            copied: copied_file(call, file)?,
            ..file_backing(call, file, offset)
        })
    } else {
        match kind {
            MAP_PRIVATE => Backing::Zero,
            MAP_SHARED if flags & MAP_GROWSDOWN != 0 => return Err(Errno::EINVAL.into()),
            MAP_SHARED => {
                let fixed = fixed_address(call, placement, len)?;
                let memory = call.memory();
                let rights = Rights { prot, most };
                return Ok(memory.map_shared(SharedMapping::Anonymous, len, rights, fixed)?);
            }
            _ => return Err(Errno::EINVAL.into()),
        }
    };
    let mapping = Mapping {
        placement,
        len,
        prot,
        backing,
        purpose: Purpose::Program,
        most,
        grows_down: flags & MAP_GROWSDOWN != 0,
        is_unreserved: flags & MAP_NORESERVE != 0,
    };
    Ok(call.memory().map(mapping)?)
}

/// Whether so much may be mapped in addition, as far as the program's own limits say
/// (`RLIMIT_AS`, and `RLIMIT_DATA` for private memory that it may write).
fn check_limits(call: &Call<'_>, len: u64, prot: Prot, is_private: bool) -> Result<(), Errno> {
    let limits = call.process.limits.lock();
    let soft = |resource| limits.get(resource).map_or(u64::MAX, |limit| limit.soft);
    let (all, data) = (soft(Limits::ADDRESS_SPACE), soft(Limits::DATA));
    drop(limits);
    let exceeds = |used: u64, limit| used.checked_add(len).is_none_or(|sum| sum > limit);
    let is_data = is_private && prot.contains(Prot::WRITE);
    if all != u64::MAX && exceeds(call.memory().sizes_bytes().0, all)
        || is_data && data != u64::MAX && exceeds(call.memory().data_bytes(), data)
    {
        return Err(Errno::ENOMEM);
    }
    Ok(())
}

/// Whether a file is `/dev/zero`, of which each mapping is zeros of its own.
fn is_zero_device(file: &OpenFile, kind: u32, prot: Prot) -> Result<bool, Errno> {
    if file.object().kind() != FileType::CharacterDevice {
        return Ok(false);
    }
    let is_zero = file.object().metadata()?.represents == DeviceNumber::new(1, 5);
    let is_stored_to = kind != MAP_PRIVATE && prot.contains(Prot::WRITE);
    let is_allowed = file.flags().is_readable() && (!is_stored_to || file.flags().is_writable());
    match is_zero {
        true if !is_allowed => Err(Errno::EACCES),
        is_zero => Ok(is_zero),
    }
}

/// Checks that a file may be mapped so; returns the most that may be done with the mapping.
fn check_file(
    file: &OpenFile,
    seals: Seals,
    offset: u64,
    len: u64,
    prot: Prot,
    kind: u32,
) -> Result<Prot, Errno> {
    offset
        .checked_add(len)
        .filter(|&end| i64::try_from(end).is_ok())
        .ok_or(Errno::EOVERFLOW)?;
    let is_shared = match kind {
        MAP_PRIVATE => false,
        MAP_SHARED | MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    let is_stored_to = is_shared && prot.contains(Prot::WRITE);
    if !file.flags().is_readable() || is_stored_to && !file.flags().is_writable() {
        return Err(Errno::EACCES);
    }
    let is_written = is_shared && file.flags().is_writable();
    if is_written && file.metadata()?.has(InodeFlags::APPEND_ONLY) {
        return Err(Errno::EACCES);
    }
    let mut most = Prot::all();
    let mount = file.location().mount().flags();
    most.set(Prot::EXEC, !mount.contains(MountFlags::NO_EXECUTE));
    if prot.contains(Prot::EXEC) && !most.contains(Prot::EXEC) {
        return Err(Errno::EPERM);
    }
    if file.object().kind() != FileType::Regular {
        return Err(Errno::ENODEV);
    }
    let is_sealed = seals.intersects(Seals::WRITE | Seals::FUTURE_WRITE);
    if is_stored_to && is_sealed {
        return Err(Errno::EPERM);
    }
    if is_shared {
        most.set(Prot::WRITE, file.flags().is_writable() && !is_sealed);
    }
    Ok(most)
}

fn file_backing(call: &Call<'_>, file: &OpenFile, offset: u64) -> FileBacking {
    let path = call.viewpoint().path_of(file.location());
    FileBacking {
        inode: file.object().clone(),
        path: path.into(),
        offset,
        is_untouched: true,
        is_for_loader: false,
        copied: None,
    }
}

/// The file of which a private mapping is a copy, if it can become shorter; that is watched from now on.
fn copied_file(call: &Call<'_>, file: &OpenFile) -> Result<Option<Arc<CopiedFile>>, Errno> {
    if file.object().content().is_some() {
        return Ok(None);
    }
    let (location, shared) = (file.location(), call.memory().shared_memory());
    location.observe(shared.clone());
    Ok(Some(shared.copied(location.file_id()?)))
}

/// The part of a file that everybody shares, whose use through descriptors is watched from now on.
fn file_part(call: &Call<'_>, file: &OpenFile, offset: u64) -> Result<FilePart, Errno> {
    let FileBacking {
        inode,
        path,
        offset,
        ..
    } = file_backing(call, file, offset);
    let inode = match file.object().downcast::<MemoryFile>() {
        Some(sealed) => sealed.content().clone(),
        None => inode,
    };
    file.location()
        .observe(call.memory().shared_memory().clone());
    let id = file.location().file_id()?;
    let file = SharedFile { id, inode, path };
    Ok(FilePart { file, offset })
}

/// Where a shared mapping has to be, if the program says so.
fn fixed_address(call: &Call<'_>, placement: Placement, len: u64) -> Result<Option<u64>, Errno> {
    match placement {
        Placement::Fixed(address) => Ok(Some(address)),
        Placement::FixedFree(address) if call.memory().is_free(address, len)? => Ok(Some(address)),
        Placement::FixedFree(_) => Err(Errno::EEXIST),
        _ => Ok(None),
    }
}

/// `mprotect(2)`.
pub(super) fn mprotect(call: &mut Call<'_>, address: u64, len: u64, prot: u32) -> Outcome {
    let grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
    let is_known = prot & !(PROT_MASK | PROT_IGNORED | grows) == 0;
    if !is_known || grows == PROT_GROWSDOWN | PROT_GROWSUP {
        return Err(Errno::EINVAL.into());
    }
    let memory = call.memory();
    let (address, len) = match grows {
        0 => (address, len),
        _ => memory.stack_down_from(address, len, grows == PROT_GROWSDOWN)?,
    };
    memory.protect(address, len, Prot::from_bits_truncate(prot))?;
    Ok(0)
}

/// `munmap(2)`.
pub(super) fn munmap(call: &mut Call<'_>, address: u64, len: u64) -> Outcome {
    let segments = (call.memory()).segments_in(&(address..address.saturating_add(len)));
    call.memory().unmap(address, len)?;
    (call.libos.system_v).note(call.libos.machine, call.process.pid, &segments, true);
    Ok(0)
}

/// `brk(2)`: the end of the heap, moved if that was possible.
pub(super) fn brk(call: &mut Call<'_>, end: u64) -> Outcome {
    let memory = call.memory();
    let now = memory.set_heap_end(0);
    let grows = end.saturating_sub(now);
    if grows != 0
        && (check_limits(call, grows, Prot::WRITE, true).is_err()
            || locked_memory::check_new(call, grows, false).is_err())
    {
        return Ok(now);
    }
    Ok(memory.set_heap_end(end))
}

/// `mremap(2)`.
pub(super) fn mremap(
    call: &mut Call<'_>,
    address: u64,
    old_len: u64,
    new_len: u64,
    flags: u32,
    target: u64,
) -> Outcome {
    const MREMAP_MAYMOVE: u32 = 1;
    const MREMAP_FIXED: u32 = 2;
    const MREMAP_DONTUNMAP: u32 = 4;
    let keeps_old = flags & MREMAP_DONTUNMAP != 0;
    if keeps_old && (flags & MREMAP_MAYMOVE == 0 || old_len != new_len) {
        return Err(Errno::EINVAL.into());
    }
    let remapping = match flags & !MREMAP_DONTUNMAP {
        MREMAP_MAYMOVE if keeps_old => Remapping::Away,
        0 => Remapping::InPlace,
        MREMAP_MAYMOVE => Remapping::MayMove,
        flags if flags == MREMAP_MAYMOVE | MREMAP_FIXED => Remapping::To(target),
        _ => return Err(Errno::EINVAL.into()),
    };
    let grows = new_len.saturating_sub(old_len);
    if grows != 0 {
        let whole = page_range(address, old_len.max(1)).ok_or(Errno::EINVAL)?;
        let is_locked = call.memory().locked_bytes(&whole).1 != 0;
        locked_memory::check_new(call, grows, is_locked)?;
        check_limits(call, grows, Prot::empty(), false)?;
    }
    // Where it is to be: a mapping grows, or goes to a place of its own.
    let start = match remapping {
        Remapping::To(target) => target,
        _ => address.saturating_add(old_len),
    };
    let end = match remapping {
        Remapping::To(target) => target.saturating_add(new_len),
        _ => address.saturating_add(new_len),
    };
    let range = page_range(start, end.saturating_sub(start)).unwrap_or_default();
    call.put_in(&range, |call| {
        let memory = call.memory();
        Ok(memory.remap(address, old_len, new_len, remapping, keeps_old)?)
    })
}

/// `madvise(2)`.
pub(super) fn madvise(call: &mut Call<'_>, address: u64, len: u64, advice: i32) -> Outcome {
    let advice = Advice::from_argument(advice).ok_or(Errno::EINVAL)?;
    call.memory().advise(address, len, advice)?;
    Ok(0)
}

/// `msync(2)`.
pub(super) fn msync(call: &mut Call<'_>, address: u64, len: u64, flags: u32) -> Outcome {
    const MS_ASYNC: u32 = 1;
    const MS_INVALIDATE: u32 = 2;
    const MS_SYNC: u32 = 4;
    let is_known = flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) == 0;
    if !is_known || flags & (MS_ASYNC | MS_SYNC) == MS_ASYNC | MS_SYNC {
        return Err(Errno::EINVAL.into());
    }
    if !address.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let range = page_range(address, len).ok_or(Errno::ENOMEM)?;
    if flags & MS_INVALIDATE != 0 && call.memory().locked_bytes(&range).1 != 0 {
        return Err(Errno::EBUSY.into());
    }
    call.memory().write_back(address, len)?;
    Ok(0)
}

/// `remap_file_pages(2)`: another part of a shared file at a mapping's addresses.
pub(super) fn remap_file_pages(
    call: &mut Call<'_>,
    address: u64,
    len: u64,
    prot: u32,
    page: u64,
    _flags: u32,
) -> Outcome {
    let start = address & !(PAGE_SIZE - 1);
    let range = page_range(start, len & !(PAGE_SIZE - 1)).filter(|range| !range.is_empty());
    let range = range.filter(|_| prot == 0).ok_or(Errno::EINVAL)?;
    let offset = page.checked_mul(PAGE_SIZE).ok_or(Errno::EINVAL)?;
    call.memory().show_other_part(&range, offset)?;
    Ok(0)
}
