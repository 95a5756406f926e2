//! `/sys`: how many processors and memory nodes there are, and what there is not.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use vfs::{FileSystem, Inode, Result, Statistics};

use crate::fixed::Tree;

/// `SYSFS_MAGIC` of `linux/magic.h`.
const MAGIC: u64 = 0x6265_6572;

/// Of how many processors there are directories: they are memory of the LibOS.
const MAX_DESCRIBED: u32 = 256;

/// The file system about the machine.
pub struct SysFs {
    root: Arc<dyn Inode>,
}

impl SysFs {
    /// A machine with this many processors.
    #[must_use]
    pub fn new(processors: u32) -> Arc<Self> {
        let processors = processors.max(1);
        let all = Processors {
            first: 0,
            last: processors - 1,
            count: processors,
        };
        let one = || "0".to_string();
        let mut files: Vec<(Cow<'static, str>, String)> = Vec::new();
        for (path, text) in [
            ("cpu/online", all.list()),
            ("cpu/possible", all.list()),
            ("cpu/present", all.list()),
            ("cpu/kernel_max", "8191".to_string()),
            ("node/online", one()),
            ("node/possible", one()),
            ("node/has_cpu", one()),
            ("node/has_memory", one()),
            ("node/node0/cpulist", all.list()),
            ("node/node0/cpumap", all.map()),
            ("node/node0/distance", "10".to_string()),
        ] {
            files.push((format!("devices/system/{path}").into(), text));
        }
        for (path, text) in [
            ("enabled", "always madvise [never]"),
            ("hpage_pmd_size", "2097152"),
        ] {
            let path = format!("kernel/mm/transparent_hugepage/{path}");
            files.push((path.into(), text.to_string()));
        }
        for number in 0..processors.min(MAX_DESCRIBED) {
            for (name, text) in all.topology_of(number) {
                let path = format!("devices/system/cpu/cpu{number}/topology/{name}");
                files.push((path.into(), text));
            }
        }
        Arc::new(Self {
            root: Tree::of(1, files).into_directory(),
        })
    }
}

/// Some of the machine's processors: these and all between them.
struct Processors {
    first: u32,
    last: u32,
    /// How many the machine has.
    count: u32,
}

impl Processors {
    /// As `%*pbl` of Linux's `printk-formats` prints it.
    fn list(&self) -> String {
        if self.first == self.last {
            return self.first.to_string();
        }
        format!("{}-{}", self.first, self.last)
    }

    /// As `%*pb` prints it: groups of 32, the highest first, no more digits than processors need.
    fn map(&self) -> String {
        let mut text = String::new();
        for group in (0..self.count.div_ceil(32)).rev() {
            let base = group * 32;
            let numbers = base..self.count.min(base + 32);
            let digits = numbers.len().div_ceil(4);
            let word = numbers
                .filter(|number| (self.first..=self.last).contains(number))
                .fold(0u32, |word, number| word | 1 << (number - base));
            let separator = if text.is_empty() { "" } else { "," };
            text += &format!("{separator}{word:0digits$x}");
        }
        text
    }

    /// The files of `topology` of one of them: each is a core, all are in one package.
    fn topology_of(&self, number: u32) -> Vec<(&'static str, String)> {
        let own = Self {
            first: number,
            last: number,
            count: self.count,
        };
        let mut files = Vec::from([
            ("core_id", number.to_string()),
            ("die_id", "0".to_string()),
            ("physical_package_id", "0".to_string()),
        ]);
        for (map, list, who) in [
            ("core_cpus", "core_cpus_list", &own),
            ("thread_siblings", "thread_siblings_list", &own),
            ("core_siblings", "core_siblings_list", self),
            ("die_cpus", "die_cpus_list", self),
            ("package_cpus", "package_cpus_list", self),
        ] {
            files.push((map, who.map()));
            files.push((list, who.list()));
        }
        files
    }
}

impl FileSystem for SysFs {
    fn type_name(&self) -> &'static str {
        "sysfs"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics {
            magic: MAGIC,
            block_size_bytes: 4096,
            ..Statistics::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Processors;

    /// What Linux prints with `nr_cpu_ids` of this many for these.
    #[test]
    fn maps_and_lists_are_as_linux_prints_them() {
        for (first, last, count, map, list) in [
            (0, 0, 1, "1", "0"),
            (0, 1, 2, "3", "0-1"),
            (1, 1, 6, "02", "1"),
            (0, 31, 32, "ffffffff", "0-31"),
            (33, 33, 40, "02,00000000", "33"),
            (0, 63, 64, "ffffffff,ffffffff", "0-63"),
        ] {
            let some = Processors { first, last, count };
            assert_eq!((some.map().as_str(), some.list().as_str()), (map, list));
        }
    }
}
