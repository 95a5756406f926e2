//! `mounts` and `mountinfo` of a process (proc(5)): the mounts that its root lets it reach.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;

use vfs::{Mount, MountFlags};

use super::Process;

/// A line for each: what is mounted, where, its type, options.
pub(super) fn mounts(process: &Process) -> String {
    let mut text = String::new();
    for (mount, path) in reachable(process) {
        let kind = mount.file_system().type_name();
        let access = access_word(mount.check_writable().is_err());
        let options = options(&mount);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{kind} {path} {kind} {access}{options} 0 0");
    }
    text
}

/// A line for each: ids of it and of what it covers, device, root, where it is, options, type, source, options
/// of the file system.
pub(super) fn mount_info(process: &Process) -> String {
    let mut text = String::new();
    for (mount, path) in reachable(process) {
        let kind = mount.file_system().type_name();
        let id = mount.id();
        let parent = mount.point().map_or(id, |point| point.mount().id());
        let top = mount.top();
        let device = top.device();
        let root = escaped(&top.path_in_file_system());
        let access = access_word(mount.flags().contains(MountFlags::READ_ONLY));
        let options = options(&mount);
        let file_system_access = access_word(mount.file_system().is_read_only());
        let _ = writeln!(
            text,
            "{id} {parent} {}:{} {root} {path} {access}{options} - {kind} {kind} {file_system_access}",
            device.major, device.minor,
        );
    }
    text
}

fn reachable(process: &Process) -> Vec<(Arc<Mount>, String)> {
    let viewpoint = process.places().view.read().clone();
    let mounts = viewpoint.namespace.mounts().into_iter();
    let placed = mounts.filter_map(|mount| {
        let path = viewpoint.path_below_root(&mount.top())?;
        Some((mount, escaped(&path)))
    });
    placed.collect()
}

fn access_word(is_read_only: bool) -> &'static str {
    if is_read_only { "ro" } else { "rw" }
}

fn options(mount: &Mount) -> String {
    let flags = mount.flags();
    let words = [
        (MountFlags::NO_SET_USER, ",nosuid"),
        (MountFlags::NO_DEVICES, ",nodev"),
        (MountFlags::NO_EXECUTE, ",noexec"),
    ];
    let set = words.iter().filter(|(flag, _)| flags.contains(*flag));
    let mut text: String = set.map(|(_, word)| *word).collect();
    text.push_str(",relatime");
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
