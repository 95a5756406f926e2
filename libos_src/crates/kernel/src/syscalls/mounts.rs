//! What a process makes of the tree of file systems: its root, and mounts.

use alloc::vec::Vec;

use hal::Errno;
use vfs::{AttributeChange, Capabilities, FileSystem as _, FileType, Follow, MountFlags};

use super::argument::Address;
use super::call::{Call, Outcome};

const MS_RDONLY: u64 = 1;
const MS_NOSUID: u64 = 2;
const MS_NODEV: u64 = 4;
const MS_NOEXEC: u64 = 8;
const MS_REMOUNT: u64 = 32;
const MS_BIND: u64 = 4096;
const MS_MOVE: u64 = 8192;
/// Changes of how mounts are seen elsewhere: there is no elsewhere.
const MS_PROPAGATION: u64 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20;
/// What stands in the upper half for programs of long ago.
const MS_MAGIC: u64 = 0xc0ed_0000;
const MS_MAGIC_MASK: u64 = 0xffff_0000;
/// A `tmpfs` that says no size, in bytes.
const DEFAULT_SIZE_BYTES: u64 = 16 << 20;
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

/// `mount(2)`: a `tmpfs`, or a directory in another place.
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
    let restrictions = MountFlags::from_bits_truncate(
        (flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)) as u32,
    );
    if flags & MS_REMOUNT != 0 {
        if !point.is_mount_root() {
            return Err(Errno::EINVAL.into());
        }
        point.mount().set_flags(restrictions)?;
        return Ok(0);
    }
    if flags & MS_BIND != 0 {
        let source = viewpoint.resolve(None, &call.path(source)?, Follow::Yes)?;
        let restrictions = restrictions | source.mount().flags();
        viewpoint.namespace.bind(&point, &source, restrictions)?;
        return Ok(0);
    }
    let kind = call.path(kind)?;
    if kind != b"tmpfs" {
        call.libos.report_once(
            call.regs.rax,
            "programs mount `tmpfs` only; the program gets ENODEV",
        );
        return Err(Errno::ENODEV.into());
    }
    let options = match options.non_null() {
        Some(options) => call
            .memory()
            .read_string(options.0, OPTIONS_MAX_BYTES, Errno::EINVAL)?,
        None => Vec::new(),
    };
    let options = Options::parse(&options)?;
    if point.kind() != FileType::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    let file_system = call.libos.tmpfs(options.size_bytes, options.mode)?;
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

/// What a `tmpfs` is asked to be.
struct Options {
    size_bytes: u64,
    mode: u32,
    user: Option<u32>,
    group: Option<u32>,
}

impl Options {
    /// Reads `size=64m,mode=1777`; other options change nothing that we have.
    fn parse(text: &[u8]) -> Result<Self, Errno> {
        let mut options = Self {
            size_bytes: DEFAULT_SIZE_BYTES,
            mode: 0o1777,
            user: None,
            group: None,
        };
        let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        for option in text.split(',') {
            match option.split_once('=') {
                Some(("size", size)) => {
                    options.size_bytes = size_of(size).ok_or(Errno::EINVAL)?;
                }
                Some(("mode", mode)) => {
                    options.mode = u32::from_str_radix(mode, 8).map_err(|_| Errno::EINVAL)?;
                }
                Some(("uid", user)) => {
                    options.user = Some(user.parse().map_err(|_| Errno::EINVAL)?);
                }
                Some(("gid", group)) => {
                    options.group = Some(group.parse().map_err(|_| Errno::EINVAL)?);
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

/// A number with a unit, as `64m`.
fn size_of(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift).filter(|size| *size != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit_or_is_in_bytes() {
        assert_eq!(size_of("4096"), Some(4096));
        assert_eq!(size_of("64m"), Some(64 << 20));
        assert_eq!(size_of("50%"), None);
        assert_eq!(size_of("0"), None);
        assert_eq!(size_of("99999999999g"), None);
    }

    #[test]
    fn options_that_mean_nothing_here_are_let_pass() {
        let options = Options::parse(b"nr_inodes=100,mode=700,size=1k").expect("legal");

        assert_eq!((options.size_bytes, options.mode), (1024, 0o700));
        assert!(Options::parse(b"mode=9").is_err());
        let owned = Options::parse(b"uid=7,gid=8").expect("legal");
        assert_eq!((owned.user, owned.group), (Some(7), Some(8)));
    }
}
