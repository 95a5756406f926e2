//! What a process makes of the tree of file systems: its root, and mounts.

use alloc::vec::Vec;

use hal::{Errno, PAGE_SIZE};
use vfs::{
    AttributeChange, Capabilities, FileSystem as _, FileType, Follow, Location, Mount, MountFlags,
    SizeLimits, Viewpoint,
};

use super::argument::Address;
use super::call::{Call, Outcome};

const MS_RDONLY: u64 = 1;
const MS_NOSUID: u64 = 2;
const MS_NODEV: u64 = 4;
const MS_NOEXEC: u64 = 8;
const MS_SYNCHRONOUS: u64 = 16;
const MS_REMOUNT: u64 = 32;
const MS_BIND: u64 = 4096;
const MS_MOVE: u64 = 8192;
const MS_NOATIME: u64 = 1024;
const MS_NODIRATIME: u64 = 2048;
const MS_RELATIME: u64 = 1 << 21;
const MS_STRICTATIME: u64 = 1 << 24;
/// Which reads are noted.
const MS_TIMES: u64 = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;
const TIMES: MountFlags = MountFlags::NO_ACCESS_TIME.union(MountFlags::NO_DIRECTORY_ACCESS_TIME);
/// What [`MountFlags`] knows, in the same bits.
const MS_RESTRICTIONS: u64 =
    MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS | MS_NOATIME | MS_NODIRATIME;
/// Changes of how mounts are seen elsewhere: there is no elsewhere.
const MS_PROPAGATION: u64 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20;
/// What stands in the upper half for programs of long ago.
const MS_MAGIC: u64 = 0xc0ed_0000;
const MS_MAGIC_MASK: u64 = 0xffff_0000;
/// What programs may mount.
const KIND: &str = "tmpfs";
/// A `tmpfs` that says no size, in bytes.
const DEFAULT_SIZE_BYTES: u64 = 16 << 20;
const DEFAULT_MODE: u32 = 0o1777;
const OPTIONS_MAX_BYTES: usize = 4096;

/// `chroot(2)`.
pub(super) fn chroot(call: &mut Call<'_>, path: Address) -> Outcome {
    let path = call.path(path)?;
    let mut viewpoint = call.viewpoint().clone();
    let root = viewpoint.resolve(None, &path, Follow::Yes)?;
    viewpoint.change_root(&root)?;
    call.task.places.view.write().root = root;
    Ok(0)
}

/// `mount(2)`: a `tmpfs`, or a directory or `/proc` and its like in another place.
pub(super) fn mount(
    call: &mut Call<'_>,
    source: Address,
    target: Address,
    kind: Address,
    flags: u64,
    options: Address,
) -> Outcome {
    let flags = if flags & MS_MAGIC_MASK == MS_MAGIC {
        flags & !MS_MAGIC_MASK
    } else {
        flags
    };
    let target = call.path(target)?;
    let viewpoint = call.viewpoint().clone();
    viewpoint.credentials.require(Capabilities::ADMINISTER)?;
    let point = viewpoint.resolve(None, &target, Follow::Yes)?;
    if flags & MS_PROPAGATION != 0 {
        return Ok(0);
    }
    if flags & MS_MOVE != 0 {
        call.libos.report_once(
            call.regs.rax,
            "a mount cannot be moved; the program gets EPERM",
        );
        return Err(Errno::EPERM.into());
    }
    let mut restrictions = MountFlags::from_bits_truncate((flags & MS_RESTRICTIONS) as u32);
    if flags & MS_STRICTATIME != 0 {
        restrictions.remove(TIMES);
    }
    if flags & MS_REMOUNT != 0 {
        if !point.is_mount_root() {
            return Err(Errno::EINVAL.into());
        }
        // Who says nothing of times leaves them as they are.
        if flags & MS_TIMES == 0 {
            restrictions |= point.mount().flags() & TIMES;
        }
        let file_system = point.file_system();
        if flags & MS_BIND == 0 && file_system.type_name() == KIND {
            file_system.limit(call.mount_options(options)?.limits)?;
        }
        point.mount().set_flags(restrictions)?;
        return Ok(0);
    }
    if flags & MS_BIND != 0 {
        // Restrictions come with a remount, as on Linux.
        let source = viewpoint.resolve(None, &call.path(source)?, Follow::Yes)?;
        let restrictions = source.mount().flags();
        viewpoint.namespace.bind(&point, &source, restrictions)?;
        return Ok(0);
    }
    let kind = call.path(kind)?;
    if let Some(source) = the_only_one(&viewpoint, &kind) {
        // It takes none of the options of a `tmpfs`.
        if call.mount_options(options)? != Options::default() {
            return Err(Errno::EINVAL.into());
        }
        viewpoint.namespace.bind(&point, &source, restrictions)?;
        return Ok(0);
    }
    if kind != KIND.as_bytes() {
        call.libos.report_once(
            call.regs.rax,
            "programs mount `tmpfs`, and `proc`, `sysfs` and `devtmpfs` where these are mounted; \
             the program gets ENODEV",
        );
        return Err(Errno::ENODEV.into());
    }
    let options = call.mount_options(options)?;
    if point.kind() != FileType::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    let size_bytes = options.limits.bytes.unwrap_or(DEFAULT_SIZE_BYTES);
    let mode = options.mode.unwrap_or(DEFAULT_MODE);
    let file_system = call.libos.tmpfs(size_bytes, mode)?;
    file_system.limit(options.limits)?;
    let owner = AttributeChange {
        user: options.user,
        group: options.group,
        ..AttributeChange::default()
    };
    file_system.root().set_attributes(&owner)?;
    viewpoint
        .namespace
        .mount(&point, file_system, restrictions)?;
    Ok(0)
}

/// The top of the file system of a kind of which there is one, as on Linux, wherever it is mounted.
fn the_only_one(viewpoint: &Viewpoint, kind: &[u8]) -> Option<Location> {
    const KINDS: [&str; 3] = ["devtmpfs", "proc", "sysfs"];
    let kind = KINDS.iter().find(|known| known.as_bytes() == kind)?;
    let mounts = viewpoint.namespace.mounts();
    let tops = mounts.iter().map(Mount::top);
    let mut of_kind = tops.filter(|top| top.file_system().type_name() == *kind);
    of_kind.find(|top| top.path_in_file_system() == b"/")
}

/// `umount2(2)`. A mount in use goes out of sight only, so nothing has to be forced.
pub(super) fn umount2(call: &mut Call<'_>, target: Address, flags: u32) -> Outcome {
    const UMOUNT_NOFOLLOW: u32 = 8;
    const MNT_EXPIRE: u32 = 4;
    const FLAGS: u32 = 15;
    if flags & !FLAGS != 0 || flags & MNT_EXPIRE != 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = call.path(target)?;
    let viewpoint = call.viewpoint().clone();
    viewpoint.credentials.require(Capabilities::ADMINISTER)?;
    let follow = if flags & UMOUNT_NOFOLLOW != 0 {
        Follow::No
    } else {
        Follow::Yes
    };
    let top = viewpoint.resolve(None, &target, follow)?;
    viewpoint.namespace.unmount(&top)?;
    Ok(0)
}

impl Call<'_> {
    /// The options that a program gives for a mount.
    fn mount_options(&self, options: Address) -> Result<Options, Errno> {
        let options = match options.non_null() {
            Some(options) => {
                (self.memory()).read_string(options.0, OPTIONS_MAX_BYTES, Errno::EINVAL)?
            }
            None => Vec::new(),
        };
        Options::parse(&options, self.libos.heap_bytes())
    }
}

/// What a `tmpfs` is asked to be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    limits: SizeLimits,
    mode: Option<u32>,
    user: Option<u32>,
    group: Option<u32>,
}

impl Options {
    /// Reads `size=64m,mode=1777` (tmpfs(5)). A size in percent is of `memory_bytes`, nothing means no limit.
    fn parse(text: &[u8], memory_bytes: u64) -> Result<Self, Errno> {
        let mut options = Self::default();
        let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        for option in text.split(',').filter(|option| !option.is_empty()) {
            options.take(option, memory_bytes).ok_or(Errno::EINVAL)?;
        }
        Ok(options)
    }

    /// Takes one; `None` if it is none.
    fn take(&mut self, option: &str, memory_bytes: u64) -> Option<()> {
        let unless_none = |amount| if amount == 0 { u64::MAX } else { amount };
        match option.split_once('=') {
            Some(("size", size)) => {
                let bytes = match size.strip_suffix('%') {
                    Some(percent) => {
                        let bytes = u128::from(memory_bytes) * u128::from(amount(percent)?) / 100;
                        u64::try_from(bytes).unwrap_or(u64::MAX)
                    }
                    None => amount(size)?,
                };
                let bytes = bytes.checked_next_multiple_of(PAGE_SIZE);
                self.limits.bytes = Some(unless_none(bytes.unwrap_or(u64::MAX)));
            }
            Some(("nr_blocks", blocks)) => {
                let bytes = amount(blocks)?.saturating_mul(PAGE_SIZE);
                self.limits.bytes = Some(unless_none(bytes));
            }
            Some(("nr_inodes", inodes)) => self.limits.inodes = Some(unless_none(amount(inodes)?)),
            Some(("mode", mode)) => {
                self.mode = Some(u32::from_str_radix(mode, 8).ok()? & 0o7777);
            }
            Some(("uid", user)) => self.user = Some(owner(user)?),
            Some(("gid", group)) => self.group = Some(owner(group)?),
            // Where pages come from and how large inode numbers are is not for anybody to choose.
            Some(("huge", "never" | "always" | "within_size" | "advise") | ("mpol", _)) => {}
            None if KNOWN_WORDS.contains(&option) => {}
            _ => return None,
        }
        Some(())
    }
}

/// Options of `tmpfs`, or of any file system, that change nothing here.
const KNOWN_WORDS: [&str; 8] = [
    "rw",
    "sync",
    "async",
    "dirsync",
    "lazytime",
    "nolazytime",
    "inode32",
    "inode64",
];

/// An id of a user or group; the largest number is nobody's.
fn owner(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

/// A number with a unit, as `64m`.
fn amount(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> Option<(Option<u64>, Option<u64>)> {
        let options = Options::parse(text.as_bytes(), 1 << 20).ok()?;
        Some((options.limits.bytes, options.limits.inodes))
    }

    #[test]
    fn a_size_has_a_unit_or_is_in_bytes_or_a_part_of_memory_or_none() {
        assert_eq!(limits("size=4096"), Some((Some(4096), None)));
        assert_eq!(limits("size=64m"), Some((Some(64 << 20), None)));
        assert_eq!(limits("size=1k"), Some((Some(4096), None)));
        assert_eq!(limits("size=50%"), Some((Some(512 << 10), None)));
        assert_eq!(
            limits("size=0,nr_inodes=0"),
            Some((Some(u64::MAX), Some(u64::MAX)))
        );
        assert_eq!(
            limits("nr_blocks=2,nr_inodes=3k"),
            Some((Some(8192), Some(3072)))
        );
        assert_eq!(limits("size=99999999999999g"), None);
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for text in [
            "mode=9",
            "size=",
            "size=5x",
            "uid=4294967295",
            "hello",
            "nr_inodes",
        ] {
            assert_eq!(
                Options::parse(text.as_bytes(), 1),
                Err(Errno::EINVAL),
                "{text}"
            );
        }
        let options = Options::parse(b"rw,,inode64,mode=700,uid=7,gid=8", 1).expect("legal");
        let expected = Options {
            mode: Some(0o700),
            user: Some(7),
            group: Some(8),
            ..Options::default()
        };
        assert_eq!(options, expected);
    }
}
