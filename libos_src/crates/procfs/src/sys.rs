//! `/sys`: how many processors and memory nodes there are, and what there is not.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use vfs::{FileSystem, Inode, Result, Statistics};

use crate::fixed::Tree;

/// `SYSFS_MAGIC` of `linux/magic.h`.
const MAGIC: u64 = 0x6265_6572;

/// The file system about the machine.
pub struct SysFs {
    root: Arc<dyn Inode>,
}

impl SysFs {
    /// A machine with this many processors.
    #[must_use]
    pub fn new(processors: u32) -> Arc<Self> {
        let range = match processors {
            0 | 1 => "0".to_string(),
            count => format!("0-{}", count - 1),
        };
        let one = || "0".to_string();
        let files: Vec<(&'static str, String)> = Vec::from([
            ("devices/system/cpu/online", range.clone()),
            ("devices/system/cpu/possible", range.clone()),
            ("devices/system/cpu/present", range.clone()),
            ("devices/system/cpu/kernel_max", "8191".to_string()),
            ("devices/system/node/online", one()),
            ("devices/system/node/possible", one()),
            ("devices/system/node/has_cpu", one()),
            ("devices/system/node/has_memory", one()),
            ("devices/system/node/node0/cpulist", range),
            ("devices/system/node/node0/distance", "10".to_string()),
            (
                "kernel/mm/transparent_hugepage/enabled",
                "always madvise [never]".to_string(),
            ),
            (
                "kernel/mm/transparent_hugepage/hpage_pmd_size",
                "2097152".to_string(),
            ),
        ]);
        Arc::new(Self {
            root: Tree::of(1, &files).into_directory(),
        })
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
