//! The files behind `/proc/PID/ns`: two processes are in one name space if they show one file.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use hal::Errno;
use procfs::NameSpace;
use vfs::{FileType, Inode, Metadata, Mode};

/// The number of the first name space of host names, as Linux has it (`PROC_UTS_INIT_INO`).
pub(super) const FIRST_OF_HOST_NAMES: u64 = 0xefff_fffe;
/// Name spaces that were made have numbers from here on.
pub(super) const FIRST_MADE: u64 = 0xf000_0000;

/// A name space, as a file in which there is nothing to read.
pub(super) struct NameSpaceFile {
    space: NameSpace,
    number: u64,
}

impl NameSpaceFile {
    /// The one and only of its sort; of host names the one with this number.
    pub(super) fn new(space: NameSpace, of_host_names: u64) -> Arc<Self> {
        // Those of the first name spaces of Linux (`linux/proc_ns.h`).
        let number = match space {
            NameSpace::Groups => 0xefff_fffb,
            NameSpace::HostNames => of_host_names,
            NameSpace::Mounts => 0xefff_fff8,
            NameSpace::Network => 0xefff_fff9,
            NameSpace::Objects => 0xefff_ffff,
            NameSpace::Processes => 0xefff_fffc,
            NameSpace::Times => 0xefff_fffa,
            NameSpace::Users => 0xefff_fffd,
        };
        Arc::new(Self { space, number })
    }

    /// What a link to it reads as.
    pub(super) fn name(&self) -> String {
        let word = match self.space {
            NameSpace::Groups => "cgroup",
            NameSpace::HostNames => "uts",
            NameSpace::Mounts => "mnt",
            NameSpace::Network => "net",
            NameSpace::Objects => "ipc",
            NameSpace::Processes => "pid",
            NameSpace::Times => "time",
            NameSpace::Users => "user",
        };
        format!("{word}:[{}]", self.number)
    }
}

impl Inode for NameSpaceFile {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mode = Mode::from_low_bits(0o444);
        Ok(Metadata::fixed(self.number, FileType::Regular, mode))
    }
}
