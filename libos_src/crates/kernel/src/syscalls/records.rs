//! Records that programs and the kernel exchange, as Linux lays them out on x86-64.

use vfs::{DeviceNumber, InodeFlags, Location, Metadata, MountFlags, Statistics, Timestamp};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::argument::Address;

/// `struct timespec` and, with microseconds, `struct timeval`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Time {
    pub(super) seconds: i64,
    /// Nanoseconds or microseconds.
    pub(super) fraction: i64,
}

/// `struct iovec`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Vector {
    pub(super) address: u64,
    pub(super) len: u64,
}

impl Vector {
    /// One buffer.
    pub(super) const fn new(address: Address, len: u64) -> Self {
        Self {
            address: address.0,
            len,
        }
    }
}

/// `struct pollfd`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct PollRecord {
    pub(super) fd: i32,
    pub(super) events: i16,
    pub(super) ready: i16,
}

/// `struct epoll_event`, which has no padding.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C, packed)]
pub(super) struct EventRecord {
    pub(super) events: u32,
    pub(super) data: u64,
}

/// `struct clone_args`, its first version with the later fields.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct CloneArguments {
    pub(super) flags: u64,
    pub(super) pidfd: u64,
    pub(super) child_tid: u64,
    pub(super) parent_tid: u64,
    pub(super) exit_signal: u64,
    pub(super) stack: u64,
    pub(super) stack_size: u64,
    pub(super) tls: u64,
    pub(super) set_tid: u64,
    pub(super) set_tid_size: u64,
    pub(super) cgroup: u64,
}

/// `struct sched_attr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct SchedulingAttributes {
    pub(super) size: u32,
    pub(super) policy: u32,
    pub(super) flags: u64,
    pub(super) nice: i32,
    pub(super) priority: u32,
    pub(super) runtime: u64,
    pub(super) deadline: u64,
    pub(super) period: u64,
    pub(super) clamp_min: u32,
    pub(super) clamp_max: u32,
}

impl SchedulingAttributes {
    /// The size of the first version.
    pub(super) const FIRST_BYTES: u32 = 48;
    /// `SCHED_CAPACITY_SCALE`.
    pub(super) const CLAMP_MAX: u32 = 1024;
}

/// `struct stat`.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Stat {
    device: u64,
    inode: u64,
    link_count: u64,
    mode: u32,
    user: u32,
    group: u32,
    padding: u32,
    represents: u64,
    size: i64,
    block_size: i64,
    blocks: i64,
    accessed: Time,
    modified: Time,
    changed: Time,
    unused: [i64; 3],
}

/// `struct statx_timestamp`.
#[derive(Clone, Copy, Debug, Default, IntoBytes, Immutable)]
#[repr(C)]
struct StatxTime {
    seconds: i64,
    nanoseconds: u32,
    padding: u32,
}

/// `struct statx`.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Statx {
    mask: u32,
    block_size: u32,
    attributes: u64,
    link_count: u32,
    user: u32,
    group: u32,
    mode: u16,
    padding: u16,
    inode: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    accessed: StatxTime,
    born: StatxTime,
    changed: StatxTime,
    modified: StatxTime,
    represents: [u32; 2],
    device: [u32; 2],
    mount: u64,
    spare: [u64; 13],
}

/// `struct statfs`.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct StatFs {
    magic: u64,
    block_size: u64,
    blocks: u64,
    blocks_free: u64,
    blocks_available: u64,
    inodes: u64,
    inodes_free: u64,
    id: u64,
    name_length_max: u64,
    fragment_size: u64,
    flags: u64,
    spare: [u64; 4],
}

const _: () = assert!(size_of::<Stat>() == 144);
const _: () = assert!(size_of::<Statx>() == 256);
const _: () = assert!(size_of::<StatFs>() == 120);
const _: () = assert!(size_of::<CloneArguments>() == 88);

/// `STATX_BASIC_STATS`.
const STATX_BASIC_STATS: u32 = 0x7ff;
/// When it was made, where that is known.
const STATX_BTIME: u32 = 0x800;
/// Which mount, which is told in any case.
const STATX_MNT_ID: u32 = 0x1000;
/// That it is the top of a mount. The flags of files have the bits that they have elsewhere.
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
/// What nothing here is: mounted when it is looked at, or memory that is mapped as it is.
const STATX_ATTR_NEVER: u64 = 0x1000 | 0x20_0000;
/// The flags of files that `statx` shows.
const SHOWN_FLAGS: InodeFlags = InodeFlags::PROTECTION.union(InodeFlags::NO_DUMP);

impl Time {
    /// A file's time, with nanoseconds.
    const fn of(time: Timestamp) -> Self {
        Self {
            seconds: time.seconds,
            fraction: time.nanoseconds as i64,
        }
    }
}

impl StatxTime {
    const fn of(time: Timestamp) -> Self {
        Self {
            seconds: time.seconds,
            nanoseconds: time.nanoseconds,
            padding: 0,
        }
    }
}

impl Stat {
    /// The attributes of a file on `device`.
    pub(super) const fn new(metadata: &Metadata, device: DeviceNumber) -> Self {
        Self {
            device: device.to_u64(),
            inode: metadata.inode,
            link_count: metadata.link_count as u64,
            mode: metadata.st_mode(),
            user: metadata.user,
            group: metadata.group,
            padding: 0,
            represents: metadata.represents.to_u64(),
            size: metadata.size_bytes as i64,
            block_size: metadata.block_size_bytes as i64,
            blocks: metadata.blocks_512 as i64,
            accessed: Time::of(metadata.accessed),
            modified: Time::of(metadata.modified),
            changed: Time::of(metadata.changed),
            unused: [0; 3],
        }
    }
}

impl Statx {
    /// The attributes of the file at `location`.
    pub(super) fn new(metadata: &Metadata, location: &Location) -> Self {
        let device = location.device();
        let (mut attributes, mut known) = (0, STATX_ATTR_MOUNT_ROOT | STATX_ATTR_NEVER);
        if location.is_mount_root() {
            attributes |= STATX_ATTR_MOUNT_ROOT;
        }
        if let Some(flags) = metadata.flags {
            attributes |= u64::from((flags & SHOWN_FLAGS).bits());
            known |= u64::from(SHOWN_FLAGS.bits());
        }
        let born = metadata.born.map_or(0, |_| STATX_BTIME);
        Self {
            mask: STATX_BASIC_STATS | STATX_MNT_ID | born,
            block_size: metadata.block_size_bytes,
            attributes,
            link_count: metadata.link_count,
            user: metadata.user,
            group: metadata.group,
            mode: metadata.st_mode() as u16,
            padding: 0,
            inode: metadata.inode,
            size: metadata.size_bytes,
            blocks: metadata.blocks_512,
            attributes_mask: known,
            accessed: StatxTime::of(metadata.accessed),
            born: metadata.born.map_or_else(StatxTime::default, StatxTime::of),
            changed: StatxTime::of(metadata.changed),
            modified: StatxTime::of(metadata.modified),
            represents: [metadata.represents.major, metadata.represents.minor],
            device: [device.major, device.minor],
            mount: location.mount().id(),
            spare: [0; 13],
        }
    }
}

impl StatFs {
    /// The sizes of a file system whose device has the number `id`, mounted with `flags`, which are
    /// Linux's `ST_*`.
    pub(super) const fn new(statistics: &Statistics, id: u64, flags: MountFlags) -> Self {
        const ST_VALID: u64 = 0x20;
        const ST_RELATIME: u64 = 0x1000;
        let mut marks = ST_VALID;
        if !flags.contains(MountFlags::NO_ACCESS_TIME) {
            marks |= ST_RELATIME;
        }
        Self {
            magic: statistics.magic,
            block_size: statistics.block_size_bytes,
            blocks: statistics.blocks,
            blocks_free: statistics.blocks_free,
            blocks_available: statistics.blocks_free,
            inodes: statistics.inodes,
            inodes_free: statistics.inodes_free,
            id,
            name_length_max: 255,
            fragment_size: statistics.block_size_bytes,
            flags: flags.bits() as u64 | marks,
            spare: [0; 4],
        }
    }
}
