//! Whether what the host says can be.

use abi::host_files::HostEntry;
use hal::{HostSizes, HostStatus};
use vfs::{
    DeviceNumber, Errno, FileType, Metadata, Mode, Name, PATH_MAX_BYTES, Result, Statistics,
    Timestamp,
};

/// Larger than any file that a host keeps: 256 TiB.
const SIZE_MAX_BYTES: u64 = 1 << 48;
/// More names than any file has.
const LINKS_MAX: u64 = 1 << 31;
/// Seconds up to the year 10000, and back as far.
const SECONDS_MAX: i64 = 253_402_300_800;

/// The attributes, if they can be.
pub(crate) fn metadata(status: &HostStatus, root_device: u64) -> Result<Metadata> {
    let mode = u32::try_from(status.mode).map_err(|_| Errno::EIO)?;
    let kind = FileType::from_mode_bits(mode).ok_or(Errno::EIO)?;
    let is_possible = status.size_bytes < SIZE_MAX_BYTES
        && status.blocks_512 <= SIZE_MAX_BYTES / 512
        && status.link_count < LINKS_MAX;
    if !is_possible {
        return Err(Errno::EIO);
    }
    let [accessed, modified, changed] = status.times;
    Ok(Metadata {
        inode: inode_number(status, root_device),
        kind,
        mode: Mode::from_low_bits(mode & 0o777),
        link_count: status.link_count as u32,
        user: 0,
        group: 0,
        represents: DeviceNumber::default(),
        size_bytes: status.size_bytes,
        block_size_bytes: 4096,
        blocks_512: status.blocks_512,
        accessed: timestamp(accessed)?,
        modified: timestamp(modified)?,
        changed: timestamp(changed)?,
        born: None,
        flags: None,
    })
}

/// The host may have several file systems below the root; ours is one.
pub(crate) const fn inode_number(status: &HostStatus, root_device: u64) -> u64 {
    if status.device == root_device {
        return status.inode;
    }
    status.inode ^ (status.device ^ root_device).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn timestamp([seconds, nanoseconds]: [u64; 2]) -> Result<Timestamp> {
    let seconds = seconds.cast_signed();
    if nanoseconds >= 1_000_000_000 || !(-SECONDS_MAX..SECONDS_MAX).contains(&seconds) {
        return Err(Errno::EIO);
    }
    Ok(Timestamp {
        seconds,
        nanoseconds: nanoseconds as u32,
    })
}

/// The next entry of a listing, if it can be, and what is behind it.
pub(crate) fn entry(bytes: &[u8]) -> Result<(Entry<'_>, &[u8])> {
    let (entry, rest) = HostEntry::take(bytes).ok_or(Errno::EIO)?;
    let name = match entry.name {
        b"." | b".." => None,
        name => Some(Name::new(name).map_err(|_| Errno::EIO)?),
    };
    // File systems that do not say the kind exist; a look at the file will.
    let kind = match entry.kind {
        0 => None,
        kind => Some(FileType::from_mode_bits(u32::from(kind) << 12).ok_or(Errno::EIO)?),
    };
    let entry = Entry {
        inode: entry.inode,
        kind,
        name,
        cookie: entry.cookie,
    };
    Ok((entry, rest))
}

/// An entry of a directory.
pub(crate) struct Entry<'a> {
    pub(crate) inode: u64,
    pub(crate) kind: Option<FileType>,
    /// `None` for `.` and `..`.
    pub(crate) name: Option<Name<'a>>,
    pub(crate) cookie: u64,
}

/// Checks the target of a symbolic link.
pub(crate) fn link_target(target: &[u8]) -> Result<()> {
    let is_possible = !target.is_empty() && target.len() < PATH_MAX_BYTES && !target.contains(&0);
    if is_possible { Ok(()) } else { Err(Errno::EIO) }
}

/// The sizes of a file system, if they can be.
pub(crate) fn statistics(sizes: &HostSizes) -> Result<Statistics> {
    let is_block = sizes.block_size_bytes.is_power_of_two() && sizes.block_size_bytes <= 1 << 30;
    let is_possible = is_block
        && sizes.blocks < 1 << 52
        && sizes.blocks_free <= sizes.blocks
        && sizes.inodes < 1 << 52
        && sizes.inodes_free <= sizes.inodes;
    if !is_possible {
        return Err(Errno::EIO);
    }
    Ok(Statistics {
        magic: 0,
        block_size_bytes: sizes.block_size_bytes,
        blocks: sizes.blocks,
        blocks_free: sizes.blocks_free,
        inodes: sizes.inodes,
        inodes_free: sizes.inodes_free,
    })
}
