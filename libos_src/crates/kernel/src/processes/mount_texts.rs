//! `mounts` and `mountinfo` of a process (proc(5)): the mounts that its root lets it reach.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::{self, Write as _};

use hal::{Errno, Machine};
use vfs::{Mount, MountFlags};

use super::Process;
use crate::syscalls::room;

/// More than most lines have.
const LINE_BYTES: usize = 256;

/// A line for each: what is mounted, where, its type, options.
///
/// # Errors
/// `ENOMEM` if the kernel's heap has no room for it.
pub(super) fn mounts(process: &Process, machine: &dyn Machine) -> Result<String, Errno> {
    lines(process, machine, |text, mount, path| {
        let kind = mount.file_system().type_name();
        let access = access_word(mount.check_writable().is_err());
        let (options, more) = (options(mount), mount.file_system().options());
        writeln!(text, "{kind} {path} {kind} {access}{options}{more} 0 0")
    })
}

/// A line for each: ids of it and of what it covers, device, root, where it is, options, type, source, options
/// of the file system.
///
/// # Errors
/// As [`mounts`].
pub(super) fn mount_info(process: &Process, machine: &dyn Machine) -> Result<String, Errno> {
    lines(process, machine, |text, mount, path| {
        let kind = mount.file_system().type_name();
        let id = mount.id();
        let parent = mount.point().map_or(id, |point| point.mount().id());
        let top = mount.top();
        let device = top.device();
        let root = escaped(&top.path_in_file_system());
        let access = access_word(mount.flags().contains(MountFlags::READ_ONLY));
        let options = options(mount);
        let file_system_access = access_word(mount.file_system().is_read_only());
        let more = mount.file_system().options();
        writeln!(
            text,
            "{id} {parent} {}:{} {root} {path} {access}{options} - {kind} {kind} {file_system_access}{more}",
            device.major, device.minor,
        )
    })
}

/// What `line` writes of each mount, given where it is.
fn lines(
    process: &Process,
    machine: &dyn Machine,
    line: impl Fn(&mut String, &Arc<Mount>, &str) -> fmt::Result,
) -> Result<String, Errno> {
    let viewpoint = process.places().view.read().clone();
    let list_bytes = viewpoint.namespace.count() * size_of::<Arc<Mount>>();
    // There may be as many again by then.
    room::check_for(machine, 2 * list_bytes)?;
    let mut text = String::new();
    for mount in viewpoint.namespace.mounts() {
        if text.capacity() - text.len() < LINE_BYTES {
            let more = text.capacity().max(LINE_BYTES);
            room::check_for(machine, text.capacity() + more)?;
            text.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
        }
        if let Some(path) = viewpoint.path_below_root(&mount.top()) {
            line(&mut text, &mount, &escaped(&path)).map_err(|_| Errno::EIO)?;
        }
    }
    Ok(text)
}

fn access_word(is_read_only: bool) -> &'static str {
    if is_read_only { "ro" } else { "rw" }
}

fn options(mount: &Mount) -> String {
    let flags = mount.flags();
    let words = [
        (MountFlags::SYNCHRONOUS, ",sync"),
        (MountFlags::NO_SET_USER, ",nosuid"),
        (MountFlags::NO_DEVICES, ",nodev"),
        (MountFlags::NO_EXECUTE, ",noexec"),
        (MountFlags::NO_ACCESS_TIME, ",noatime"),
        (MountFlags::NO_DIRECTORY_ACCESS_TIME, ",nodiratime"),
    ];
    let set = words.iter().filter(|(flag, _)| flags.contains(*flag));
    let mut text: String = set.map(|(_, word)| *word).collect();
    if !flags.contains(MountFlags::NO_ACCESS_TIME) {
        text.push_str(",relatime");
    }
    text
}

/// With white space and backslashes in octal, so that a line has its fields.
fn escaped(path: &[u8]) -> String {
    let mut text = String::new();
    for part in String::from_utf8_lossy(path).chars() {
        match part {
            ' ' | '\t' | '\n' | '\\' => text.push_str(&format!("\\{:03o}", u32::from(part))),
            _ => text.push(part),
        }
    }
    text
}
