//! Shared memory of System V.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write as _;

use hal::{Errno, Machine, PAGE_SIZE, Prot};
use locks::Mutex;
use procfs::Number;
use vfs::Access;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::registry::{
    IPC_INFO, IPC_PRIVATE, Limits, PermissionRecord, Permissions, Registry, access_of, now,
};
use crate::memory::{Place, Rights, SharedMapping, SharedPages, page_range};
use crate::settings::Settings;
use crate::syscalls::argument::Address;
use crate::syscalls::call::{Call, Outcome};

/// All segments.
pub(crate) type Segments = Registry<Segment>;

/// One segment.
pub(crate) struct Segment {
    size_bytes: u64,
    creator: u32,
    state: Mutex<State>,
}

struct State {
    permissions: Permissions,
    /// Where it was made; kept so that its content is.
    home: Arc<Place>,
    is_locked: bool,
    attached_at: u64,
    detached_at: u64,
    changed_at: u64,
    last: u32,
    is_removed: bool,
}

/// `struct shmid64_ds` of x86-64.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SegmentRecord {
    permissions: PermissionRecord,
    size_bytes: u64,
    attached_at: u64,
    detached_at: u64,
    changed_at: u64,
    creator: u32,
    last: u32,
    attached: u64,
    unused: [u64; 2],
}

const SHM_DEST: u32 = 0o1000;
const SHM_LOCKED: u32 = 0o2000;

impl State {
    /// How often it is attached.
    fn attached(&self) -> u64 {
        self.home.pages().mapping_count() as u64
    }

    /// What its mode says besides who may use it.
    const fn flags(&self) -> u32 {
        let removed = if self.is_removed { SHM_DEST } else { 0 };
        let locked = if self.is_locked { SHM_LOCKED } else { 0 };
        removed | locked
    }
}

/// A process has got parts of segments by other ways than `shmat`, or lost them by others than `shmdt`.
pub(crate) fn note(
    segments: &Segments,
    machine: &dyn Machine,
    pid: u32,
    all: &[Arc<SharedPages>],
    is_loss: bool,
) {
    if all.is_empty() {
        return;
    }
    for (_, segment) in segments.all() {
        let mut state = segment.state.lock();
        if all
            .iter()
            .any(|pages| Arc::ptr_eq(pages, state.home.pages()))
        {
            state.last = pid;
            let time = if is_loss {
                &mut state.detached_at
            } else {
                &mut state.attached_at
            };
            *time = now(machine);
        }
    }
}

/// Removes the segments that were to go as soon as nobody has them attached.
fn forget_unused(segments: &Segments) {
    for (id, segment) in segments.all() {
        let is_unused = {
            let state = segment.state.lock();
            state.is_removed && state.attached() == 0
        };
        if is_unused {
            segments.remove(id, &segment);
        }
    }
}

/// The text of `/proc/sysvipc/shm`.
pub(crate) fn listing(segments: &Segments) -> String {
    forget_unused(segments);
    let mut text = String::from(
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n",
    );
    for (id, segment) in segments.all() {
        let state = segment.state.lock();
        let (begin, owners) = (
            state.permissions.shown(id, state.flags()),
            state.permissions.shown_owners(),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{begin} {:>21} {:>5} {:>5}  {:>5} {owners} {:>10} {:>10} {:>10} {:>21} {:>21}",
            segment.size_bytes,
            segment.creator,
            state.last,
            state.attached(),
            state.attached_at,
            state.detached_at,
            state.changed_at,
            segment.size_bytes.next_multiple_of(PAGE_SIZE),
            0
        );
    }
    text
}

/// `shmget(2)`.
pub(crate) fn shmget(call: &mut Call<'_>, key: i32, size: u64, flags: u32) -> Outcome {
    let credentials = call.viewpoint().credentials.clone();
    let memory = call.memory().shared_memory().clone();
    let (creator, machine) = (call.process.pid, call.libos.machine);
    let settings = &call.libos.settings;
    forget_unused(&call.libos.system_v.segments);
    let id = call.libos.system_v.segments.get(
        key,
        flags,
        &credentials,
        |segment| {
            if size > segment.size_bytes {
                return Err(Errno::EINVAL);
            }
            let state = segment.state.lock();
            state.permissions.check(&credentials, access_of(flags))
        },
        &Limits {
            settings,
            most: Number::Segments,
            next: Number::NextSegment,
        },
        |permissions, others| {
            let len = size
                .checked_next_multiple_of(PAGE_SIZE)
                .filter(|&len| len != 0);
            let len = len.filter(|_| size <= settings.get(Number::SegmentBytes));
            let len = len.ok_or(Errno::EINVAL)?;
            let pages = others.values().map(|other| pages_of(other)).sum::<u64>();
            if pages.saturating_add(len / PAGE_SIZE) > settings.get(Number::SegmentPages) {
                return Err(Errno::ENOSPC);
            }
            Ok(Segment {
                size_bytes: size,
                creator,
                state: Mutex::new(State {
                    permissions,
                    home: memory.segment(len)?,
                    is_locked: false,
                    attached_at: 0,
                    detached_at: 0,
                    changed_at: now(machine),
                    last: 0,
                    is_removed: false,
                }),
            })
        },
    )?;
    Ok(id as u64)
}

/// `shmat(2)`.
pub(crate) fn shmat(call: &mut Call<'_>, id: i32, address: u64, flags: u32) -> Outcome {
    const SHM_RDONLY: u32 = 0o10000;
    const SHM_RND: u32 = 0o20000;
    const SHM_REMAP: u32 = 0o40000;
    const SHM_EXEC: u32 = 0o100000;
    forget_unused(&call.libos.system_v.segments);
    let segment = call.libos.system_v.segments.find(id)?;
    let credentials = call.viewpoint().credentials.clone();
    let (mut access, mut prot) = if flags & SHM_RDONLY != 0 {
        (Access::READ, Prot::READ)
    } else {
        (Access::READ | Access::WRITE, Prot::READ | Prot::WRITE)
    };
    prot.set(Prot::EXEC, flags & SHM_EXEC != 0);
    access.set(Access::EXECUTE, flags & SHM_EXEC != 0);
    let most = if flags & SHM_RDONLY != 0 {
        Prot::READ | Prot::EXEC
    } else {
        Prot::all()
    };
    let fixed = match address {
        0 if flags & SHM_REMAP != 0 => return Err(Errno::EINVAL.into()),
        0 => None,
        address if flags & SHM_RND != 0 => Some(address & !(PAGE_SIZE - 1)),
        address if address.is_multiple_of(PAGE_SIZE) => Some(address),
        _ => return Err(Errno::EINVAL.into()),
    };
    let pages = {
        let state = segment.state.lock();
        state.permissions.check(&credentials, access)?;
        state.home.pages().clone()
    };
    let len = segment.size_bytes;
    let range = fixed.and_then(|start| page_range(start, len));
    let at = call.put_in(&range.unwrap_or_default(), |call| {
        if let Some(start) = fixed.filter(|_| flags & SHM_REMAP == 0)
            && !call.memory().is_free(start, len)?
        {
            return Err(Errno::EINVAL.into());
        }
        let mapping = SharedMapping::Pages(pages.clone());
        let rights = Rights { prot, most };
        Ok(call.memory().map_shared(mapping, len, rights, fixed)?)
    })?;
    let mut state = segment.state.lock();
    state.attached_at = now(call.libos.machine);
    state.last = call.process.pid;
    Ok(at)
}

/// `shmdt(2)`.
pub(crate) fn shmdt(call: &mut Call<'_>, address: u64) -> Outcome {
    let memory = call.memory();
    if !address.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let pages = memory.detach(address).ok_or(Errno::EINVAL)?;
    for (_, segment) in call.libos.system_v.segments.all() {
        let mut state = segment.state.lock();
        if Arc::ptr_eq(state.home.pages(), &pages) {
            state.detached_at = now(call.libos.machine);
            state.last = call.process.pid;
        }
    }
    forget_unused(&call.libos.system_v.segments);
    Ok(0)
}

/// `struct shminfo64`: largest and smallest segment, how many, how many of them in a process, and
/// pages in all.
fn limits(settings: &Settings) -> [u64; 9] {
    let count = settings.get(Number::Segments);
    let (bytes, pages) = (Number::SegmentBytes, Number::SegmentPages);
    [
        settings.get(bytes),
        1,
        count,
        count,
        settings.get(pages),
        0,
        0,
        0,
        0,
    ]
}

/// `struct shm_info`: how many segments there are, pages of them in all, in memory and swapped out.
fn in_use(segments: &Segments) -> [u64; 6] {
    let (mut count, mut pages) = (0, 0);
    for (_, segment) in segments.all() {
        count += 1;
        pages += pages_of(&segment);
    }
    [count, pages, pages, 0, 0, 0]
}

const fn pages_of(segment: &Segment) -> u64 {
    segment.size_bytes.div_ceil(PAGE_SIZE)
}

const SHM_STAT: u32 = 13;
const SHM_INFO: u32 = 14;
const SHM_STAT_ANY: u32 = 15;

/// `shmctl(2)`.
pub(crate) fn shmctl(call: &mut Call<'_>, id: i32, command: u32, buffer: Address) -> Outcome {
    const IPC_RMID: u32 = 0;
    const IPC_SET: u32 = 1;
    const IPC_STAT: u32 = 2;
    const SHM_LOCK: u32 = 11;
    const SHM_UNLOCK: u32 = 12;
    let segments = &call.libos.system_v.segments;
    forget_unused(segments);
    let (id, segment) = match command {
        IPC_INFO => {
            call.memory()
                .write(buffer.0, &limits(&call.libos.settings))?;
            return Ok(segments.last_place());
        }
        SHM_INFO => {
            call.memory().write(buffer.0, &in_use(segments))?;
            return Ok(segments.last_place());
        }
        SHM_STAT | SHM_STAT_ANY => segments.at(id)?,
        _ => (id, segments.find(id)?),
    };
    let credentials = call.viewpoint().credentials.clone();
    let mut state = segment.state.lock();
    match command {
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            if command != SHM_STAT_ANY {
                state.permissions.check(&credentials, Access::READ)?;
            }
            let mut permissions = state.permissions.record(id);
            permissions.mode |= state.flags();
            let record = SegmentRecord {
                permissions,
                size_bytes: segment.size_bytes,
                attached_at: state.attached_at,
                detached_at: state.detached_at,
                changed_at: state.changed_at,
                creator: segment.creator,
                last: state.last,
                attached: state.attached(),
                ..SegmentRecord::default()
            };
            drop(state);
            call.memory().write(buffer.0, &record)?;
            return Ok(if command == IPC_STAT { 0 } else { id as u64 });
        }
        IPC_SET => {
            state.permissions.check_owner(&credentials)?;
            drop(state);
            let record: SegmentRecord = call.memory().read(buffer.0)?;
            let mut state = segment.state.lock();
            state.permissions.set(&record.permissions);
            state.changed_at = now(call.libos.machine);
        }
        IPC_RMID => {
            state.permissions.check_owner(&credentials)?;
            // Whoever has it attached keeps it, and others can attach it, too, until nobody does.
            state.is_removed = true;
            state.permissions.key = IPC_PRIVATE;
            drop(state);
            segments.hide(id);
            forget_unused(segments);
        }
        SHM_LOCK | SHM_UNLOCK => {
            state.permissions.check_owner(&credentials)?;
            state.is_locked = command == SHM_LOCK;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
