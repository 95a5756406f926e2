//! `/proc/sys`: settings, of which the superuser changes some numbers.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use vfs::{Errno, FileType, Inode, Metadata, Mode, Result};

use crate::fixed::Tree;
use crate::{Number, Setting, Source};

/// Inode numbers of this tree, above those of the root's other entries.
const FIRST_INODE: u64 = 1 << 20;

/// Those of what can be set, above them.
const FIRST_NUMBER: u64 = FIRST_INODE + (1 << 16);

/// What the superuser sets: a file holds one number, or several in a line.
const NUMBERS: [(&str, &[Number]); 23] = [
    ("fs/inotify/max_queued_events", &[Number::WatchEvents]),
    ("fs/inotify/max_user_instances", &[Number::WatchInstances]),
    ("fs/inotify/max_user_watches", &[Number::Watches]),
    ("fs/lease-break-time", &[Number::LeaseSeconds]),
    ("fs/mqueue/msg_default", &[Number::PosixMessages]),
    ("fs/mqueue/msg_max", &[Number::PosixMessagesMax]),
    ("fs/mqueue/msgsize_default", &[Number::PosixMessageBytes]),
    ("fs/mqueue/msgsize_max", &[Number::PosixMessageBytesMax]),
    ("fs/mqueue/queues_max", &[Number::PosixQueues]),
    ("fs/nr_open", &[Number::Descriptors]),
    ("fs/pipe-max-size", &[Number::PipeBytes]),
    ("kernel/msg_next_id", &[Number::NextQueue]),
    ("kernel/msgmax", &[Number::MessageBytes]),
    ("kernel/msgmnb", &[Number::QueueBytes]),
    ("kernel/msgmni", &[Number::Queues]),
    ("kernel/ns_last_pid", &[Number::LastProcess]),
    ("kernel/pid_max", &[Number::ProcessIds]),
    (
        "kernel/sem",
        &[
            Number::SetSemaphores,
            Number::Semaphores,
            Number::SemaphoreOperations,
            Number::SemaphoreSets,
        ],
    ),
    ("kernel/sem_next_id", &[Number::NextSemaphoreSet]),
    ("kernel/shm_next_id", &[Number::NextSegment]),
    ("kernel/shmall", &[Number::SegmentPages]),
    ("kernel/shmmax", &[Number::SegmentBytes]),
    ("kernel/shmmni", &[Number::Segments]),
];

/// What only the kernel knows.
const KERNELS: [(&str, Setting); 7] = [
    ("fs/mount-max", Setting::Mounts),
    ("kernel/ngroups_max", Setting::Groups),
    ("kernel/random/boot_id", Setting::BootId),
    ("kernel/random/uuid", Setting::Uuid),
    ("kernel/threads-max", Setting::Threads),
    ("net/core/somaxconn", Setting::Backlog),
    ("vm/max_map_count", Setting::Areas),
];

/// Names that the superuser gives.
const NAMES: [(&str, Setting); 2] = [
    ("kernel/domainname", Setting::DomainName),
    ("kernel/hostname", Setting::HostName),
];

/// What is always so. A limit that is not kept is the highest number that Linux takes.
const SETTINGS: [(&str, &str); 23] = [
    ("fs/file-max", "9223372036854775807"),
    ("fs/file-nr", "0\t0\t9223372036854775807"),
    ("fs/pipe-user-pages-hard", "0"),
    ("fs/pipe-user-pages-soft", "0"),
    ("fs/protected_hardlinks", "1"),
    ("kernel/cap_last_cap", "40"),
    // Nothing here means that no core file is written (core(5)).
    ("kernel/core_pattern", ""),
    ("kernel/core_uses_pid", "0"),
    ("kernel/osrelease", "5.15.0-occlum"),
    ("kernel/ostype", "Linux"),
    ("kernel/overflowgid", "65534"),
    ("kernel/overflowuid", "65534"),
    ("kernel/random/entropy_avail", "256"),
    ("kernel/random/poolsize", "256"),
    ("kernel/randomize_va_space", "0"),
    ("kernel/sched_autogroup_enabled", "0"),
    ("kernel/tainted", "0"),
    ("kernel/version", "#1 SMP"),
    ("vm/mmap_min_addr", "65536"),
    ("vm/nr_hugepages", "0"),
    ("vm/overcommit_memory", "0"),
    ("vm/overcommit_ratio", "50"),
    ("vm/swappiness", "0"),
];

/// The directory, as settings are now.
pub(crate) fn directory(source: &Arc<dyn Source>) -> Arc<dyn Inode> {
    let fixed = SETTINGS.map(|(path, text)| (path, text.to_string()));
    let kernels = KERNELS.map(|(path, setting)| (path, source.setting(setting)));
    let texts: Vec<(&'static str, String)> = fixed.into_iter().chain(kernels).collect();
    let mut tree = Tree::of(FIRST_INODE, texts);
    let mut next = FIRST_NUMBER;
    let numbers = NUMBERS.map(|(path, numbers)| (path, Content::Numbers(numbers)));
    let names = NAMES.map(|(path, name)| (path, Content::Name(name)));
    for (path, content) in numbers.into_iter().chain(names) {
        let file = SettingFile {
            source: source.clone(),
            inode: next,
            content,
        };
        next += 1;
        tree.put(path, Arc::new(file), &mut next);
    }
    tree.into_directory()
}

/// A file that can be set.
struct SettingFile {
    source: Arc<dyn Source>,
    inode: u64,
    content: Content,
}

/// What is in it.
enum Content {
    Numbers(&'static [Number]),
    Name(Setting),
}

impl Content {
    fn text(&self, source: &dyn Source) -> String {
        match *self {
            Self::Name(name) => source.setting(name),
            Self::Numbers(numbers) => {
                let text = |&number: &Number| match source.number(number) {
                    Number::NONE if number.may_be_none() => "-1".to_string(),
                    value => value.to_string(),
                };
                numbers.iter().map(text).collect::<Vec<_>>().join("\t")
            }
        }
    }

    fn set(&self, source: &dyn Source, data: &[u8]) -> Result<()> {
        let numbers = match *self {
            Self::Name(name) => {
                let mut parts = data.split(|byte| matches!(byte, 0 | b'\n'));
                return source.set_name(name, parts.next().unwrap_or_default());
            }
            Self::Numbers(numbers) => numbers,
        };
        let text = core::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        let text = text.trim_end_matches('\0');
        let words = numbers.iter().zip(text.split_ascii_whitespace());
        let new = words.map(|(&number, word)| match word {
            "-1" if number.may_be_none() => Ok((number, Number::NONE)),
            word => Ok((number, number_in(word)?)),
        });
        let new = new.collect::<Result<Vec<(Number, u64)>>>()?;
        if new.is_empty() {
            return Err(Errno::EINVAL);
        }
        source.set_numbers(&new)
    }
}

impl Inode for SettingFile {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> Result<Metadata> {
        let mode = Mode::from_low_bits(0o644);
        Ok(Metadata::fixed(self.inode, FileType::Regular, mode))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let text = self.content.text(&*self.source) + "\n";
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let text = text.as_bytes().get(start..).unwrap_or_default();
        let length = text.len().min(buffer.len());
        buffer[..length].copy_from_slice(&text[..length]);
        Ok(length)
    }

    /// Only what is written at the beginning counts (`sysctl_writes_strict`).
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        if offset == 0 {
            self.content.set(&*self.source, data)?;
        }
        Ok(data.len())
    }

    fn append(&self, data: &[u8]) -> Result<(u64, usize)> {
        Ok((0, self.write_at(0, data)?))
    }

    /// There is always something.
    fn truncate(&self, _size_bytes: u64) -> Result<()> {
        Ok(())
    }
}

/// A number as C writes it.
fn number_in(word: &str) -> Result<u64> {
    let number = if let Some(digits) = word.strip_prefix("0x") {
        u64::from_str_radix(digits, 16)
    } else if let Some(digits) = word.strip_prefix('0').filter(|digits| !digits.is_empty()) {
        u64::from_str_radix(digits, 8)
    } else {
        word.parse()
    };
    number.map_err(|_| Errno::EINVAL)
}
