//! `/proc/sys`: settings, which cannot be set.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use vfs::Inode;

use crate::fixed::Tree;
use crate::{Setting, Source};

/// Inode numbers of this tree, above those of the root's other entries.
const FIRST_INODE: u64 = 1 << 20;

/// What only the kernel knows.
const KERNELS: [(&str, Setting); 9] = [
    ("fs/inotify/max_queued_events", Setting::WatchEvents),
    ("fs/inotify/max_user_instances", Setting::WatchInstances),
    ("fs/inotify/max_user_watches", Setting::Watches),
    ("fs/nr_open", Setting::Descriptors),
    ("kernel/domainname", Setting::DomainName),
    ("kernel/hostname", Setting::HostName),
    ("kernel/random/boot_id", Setting::BootId),
    ("kernel/random/uuid", Setting::Uuid),
    ("kernel/threads-max", Setting::Threads),
];

/// What is always so. A limit that is not kept is the highest number that Linux takes.
const SETTINGS: [(&str, &str); 40] = [
    ("fs/file-max", "9223372036854775807"),
    ("fs/file-nr", "0\t0\t9223372036854775807"),
    ("fs/lease-break-time", "45"),
    ("fs/mqueue/msg_default", "10"),
    ("fs/mqueue/msg_max", "10"),
    ("fs/mqueue/msgsize_default", "8192"),
    ("fs/mqueue/msgsize_max", "8192"),
    ("fs/mqueue/queues_max", "256"),
    ("fs/pipe-max-size", "1048576"),
    ("fs/pipe-user-pages-hard", "0"),
    ("fs/pipe-user-pages-soft", "0"),
    ("fs/protected_hardlinks", "1"),
    ("kernel/cap_last_cap", "40"),
    ("kernel/core_pattern", "core"),
    ("kernel/msgmax", "8192"),
    ("kernel/msgmnb", "16384"),
    ("kernel/msgmni", "4096"),
    ("kernel/ngroups_max", "65536"),
    ("kernel/osrelease", "5.15.0-occlum"),
    ("kernel/ostype", "Linux"),
    ("kernel/overflowgid", "65534"),
    ("kernel/overflowuid", "65534"),
    ("kernel/pid_max", "32768"),
    ("kernel/random/entropy_avail", "256"),
    ("kernel/random/poolsize", "256"),
    ("kernel/randomize_va_space", "0"),
    ("kernel/sched_autogroup_enabled", "0"),
    ("kernel/sem", "32000\t1024000000\t500\t32000"),
    ("kernel/shmall", "18446744073692774399"),
    ("kernel/shmmax", "18446744073692774399"),
    ("kernel/shmmni", "4096"),
    ("kernel/tainted", "0"),
    ("kernel/version", "#1 SMP"),
    ("net/core/somaxconn", "4096"),
    ("vm/max_map_count", "2147483647"),
    ("vm/mmap_min_addr", "65536"),
    ("vm/nr_hugepages", "0"),
    ("vm/overcommit_memory", "0"),
    ("vm/overcommit_ratio", "50"),
    ("vm/swappiness", "0"),
];

/// The directory, as settings are now.
pub(crate) fn directory(source: &dyn Source) -> Arc<dyn Inode> {
    let fixed = SETTINGS.map(|(path, text)| (path, text.to_string()));
    let kernels = KERNELS.map(|(path, setting)| (path, source.setting(setting)));
    let texts: Vec<(&'static str, String)> = fixed.into_iter().chain(kernels).collect();
    Tree::of(FIRST_INODE, texts).into_directory()
}
