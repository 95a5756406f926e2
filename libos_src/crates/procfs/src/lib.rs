//! `/proc`: what programs read about themselves and the system.
//!
//! ```text
//! self thread-self                            links to the caller's directory
//! PID/{auxv,cgroup,cmdline,comm,environ,gid_map,io,limits,maps,mountinfo,mounts,oom_score,
//!      oom_score_adj,setgroups,smaps,smaps_rollup,stat,statm,status,uid_map,wchan}
//! PID/mem                                     its memory, for those who may look into it
//! PID/{exe,cwd,root}                          links that lead straight to a place
//! PID/ns/{cgroup,ipc,mnt,net,pid,time,user,uts}  the name spaces that it is in
//! PID/fd/N                                    the same for open files
//! PID/fdinfo/N                                position and flags of open files
//! PID/task/TID                                the same directory for each thread
//! PID/task/TID/children                       its children
//! cmdline cpuinfo devices filesystems loadavg meminfo mounts occlum stat swaps uptime version vmstat
//! sys/{fs,kernel,net,vm}                      settings, of which the superuser changes some numbers
//! sysvipc/{msg,sem,shm}                       System V's objects
//! ```
//!
//! The texts are the kernel's, through [`Source`]. One is made when it is read from its beginning; who reads
//! on from there sees the rest of the same one.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod directory;
mod fixed;
mod link;
mod memory;
mod name_spaces;
mod owner;
mod settings;
mod sys;
mod text;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use vfs::{FileSystem, Inode, Location, Result, Statistics};

use directory::Root;
pub use memory::ProcessMemory;
pub use sys::SysFs;

/// `PROC_SUPER_MAGIC` of `linux/magic.h`.
const MAGIC: u64 = 0x9fa0;

/// Where the contents come from: the kernel.
pub trait Source: Send + Sync {
    /// The process on whose behalf this is called.
    fn current_process(&self) -> u32;

    /// User and group who own what `/proc` has of a process: those on whose behalf it acts.
    ///
    /// # Errors
    /// `ESRCH`.
    fn owner(&self, process: u32) -> Result<(u32, u32)>;

    /// Whether others of its user may look into a process (`PR_SET_DUMPABLE`).
    ///
    /// # Errors
    /// `ESRCH`.
    fn is_dumpable(&self, process: u32) -> Result<bool>;

    /// Checks that the calling thread may look into a process (`ptrace(2)`).
    ///
    /// # Errors
    /// `ESRCH`, `EACCES`.
    fn check_look_into(&self, process: u32) -> Result<()>;

    /// All processes, in ascending order.
    fn processes(&self) -> Vec<u32>;

    /// The process of a thread, or the process with this id.
    fn process_of(&self, thread: u32) -> Option<u32>;

    /// When a process began. Who has its id later began later.
    fn began(&self, process: u32) -> Option<Duration>;

    /// A text about a process, or about one thread of it.
    ///
    /// # Errors
    /// `ESRCH` if there is no such process any more.
    fn process_text(&self, process: u32, thread: Option<u32>, text: ProcessText)
    -> Result<Vec<u8>>;

    /// Changes what a text about a process says, where that can be.
    ///
    /// # Errors
    /// `ESRCH`; `EINVAL` if it cannot say that.
    fn set_process_text(
        &self,
        process: u32,
        thread: Option<u32>,
        text: ProcessText,
        new: &[u8],
    ) -> Result<()>;

    /// A place that a process uses.
    ///
    /// # Errors
    /// `ESRCH`; `ENOENT` if it has none.
    fn process_place(&self, process: u32, place: ProcessPlace) -> Result<Location>;

    /// The memory of a process.
    ///
    /// # Errors
    /// `ESRCH`.
    fn memory(&self, process: u32) -> Result<Arc<dyn ProcessMemory>>;

    /// The open descriptors of a process, in ascending order.
    ///
    /// # Errors
    /// `ESRCH`.
    fn descriptors(&self, process: u32) -> Result<Vec<u32>>;

    /// What a link to a place reads as: its path as the calling process sees it, followed by
    /// ` (deleted)` if its name was removed.
    fn text_of_place(&self, place: &Location) -> Vec<u8>;

    /// The threads of a process, in ascending order.
    ///
    /// # Errors
    /// `ESRCH`.
    fn threads(&self, process: u32) -> Result<Vec<u32>>;

    /// The thread on whose behalf this is called.
    fn current_thread(&self) -> u32;

    /// The text of `fdinfo` about an open file.
    ///
    /// # Errors
    /// `ESRCH`, `ENOENT`.
    fn descriptor_text(&self, process: u32, descriptor: u32) -> Result<Vec<u8>>;

    /// What a setting is now.
    fn setting(&self, setting: Setting) -> String;

    /// What a number is now that can be set.
    fn number(&self, number: Number) -> u64;

    /// Sets numbers, all of them or none.
    ///
    /// # Errors
    /// `EINVAL` if one of them cannot be that.
    fn set_numbers(&self, new: &[(Number, u64)]) -> Result<()>;

    /// Gives the host or the domain another name.
    ///
    /// # Errors
    /// `EPERM` for other settings.
    fn set_name(&self, setting: Setting, name: &[u8]) -> Result<()>;

    /// A text about the system.
    ///
    /// # Errors
    /// What stands in the way of making it.
    fn system_text(&self, text: SystemText) -> Result<Vec<u8>>;
}

/// Files in a process's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessText {
    /// `cgroup`: none.
    Groups,
    /// `task/TID/children`: those that it has, which its first thread shows.
    Children,
    /// `uid_map` and `gid_map`: each user and group is itself.
    IdMap,
    /// `io`: what it has read and written.
    InputOutput,
    /// `setgroups`: whether it may change its groups, for which name spaces exist.
    SetGroups,
    /// `limits`: what it may use at most.
    Limits,
    /// `mountinfo`: the mount table in full.
    MountInfo,
    /// `oom_score`: nobody is killed for memory.
    Score,
    /// `oom_score_adj`: kept for who asks.
    ScoreAdjustment,
    /// `auxv`: the auxiliary vector that it was given.
    Auxiliary,
    /// `smaps`: the mappings with their sizes.
    MapSizes,
    /// `smaps_rollup`: the sums of them.
    MapSizesSum,
    /// `wchan`: where it waits, which nobody is told.
    Waiting,
    /// `cmdline`: the arguments, each with a zero behind it.
    CommandLine,
    /// `comm`: the name of the main thread.
    Name,
    /// `environ`: the environment it started with.
    Environment,
    /// `maps`: the mappings.
    Maps,
    /// `mounts`: the mount table.
    Mounts,
    /// `stat`: one line of numbers.
    Statistics,
    /// `statm`: memory in pages.
    Memory,
    /// `status`: the same for people.
    Status,
}

impl ProcessText {
    /// Whether only those may read it who may look into the process.
    const fn is_guarded(self) -> bool {
        matches!(
            self,
            Self::Auxiliary
                | Self::Environment
                | Self::InputOutput
                | Self::Maps
                | Self::MapSizes
                | Self::MapSizesSum
        )
    }

    /// Whether Linux has the text at hand when the file is opened, and can seek from its end.
    const fn has_end(self) -> bool {
        matches!(
            self,
            Self::Auxiliary | Self::CommandLine | Self::Environment | Self::ScoreAdjustment
        )
    }

    /// Who may read and write the file: a process's owner may change few of its texts.
    const fn mode(self) -> u32 {
        match self {
            Self::Auxiliary | Self::Environment | Self::InputOutput => 0o400,
            Self::Name | Self::ScoreAdjustment => 0o644,
            _ => 0o444,
        }
    }
}

/// Links in a process's directory that lead straight to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessPlace {
    /// `exe`: the program.
    Executable,
    /// `cwd`: the working directory.
    WorkingDirectory,
    /// `root`: the root directory.
    Root,
    /// `fd/N`: an open file.
    Descriptor(u32),
    /// `ns/`: a name space that it is in.
    NameSpace(NameSpace),
}

/// What a name space has names of (namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameSpace {
    /// `cgroup`
    Groups,
    /// `uts`
    HostNames,
    /// `mnt`
    Mounts,
    /// `net`
    Network,
    /// `ipc`: System V's objects and message queues.
    Objects,
    /// `pid`
    Processes,
    /// `time`: offsets of clocks.
    Times,
    /// `user`
    Users,
}

/// Settings of `/proc/sys` that only the kernel knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `kernel/domainname`
    DomainName,
    /// `kernel/hostname`
    HostName,
    /// `kernel/random/boot_id`: one for each start of the enclave.
    BootId,
    /// `kernel/random/uuid`: another one each time.
    Uuid,
    /// `kernel/threads-max`
    Threads,
    /// `fs/mount-max`
    Mounts,
    /// `kernel/ngroups_max`: supplementary groups of a thread.
    Groups,
    /// `net/core/somaxconn`: connections that wait for a listener.
    Backlog,
    /// `vm/max_map_count`: areas of an address space.
    Areas,
}

/// Numbers of `/proc/sys` that the superuser sets, and by which the kernel goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// `fs/nr_open`: no limit of descriptors is higher.
    Descriptors,
    /// `fs/inotify/max_queued_events`: those of one descriptor that wait.
    WatchEvents,
    /// `fs/inotify/max_user_instances`: descriptors of one user.
    WatchInstances,
    /// `fs/inotify/max_user_watches`
    Watches,
    /// `fs/lease-break-time`: how many seconds a holder may take to let go.
    LeaseSeconds,
    /// `fs/mqueue/msg_default`: messages of a POSIX queue that says nothing.
    PosixMessages,
    /// `fs/mqueue/msg_max`: the most that one may say.
    PosixMessagesMax,
    /// `fs/mqueue/msgsize_default`: bytes of each message.
    PosixMessageBytes,
    /// `fs/mqueue/msgsize_max`
    PosixMessageBytesMax,
    /// `fs/mqueue/queues_max`
    PosixQueues,
    /// `fs/pipe-max-size`
    PipeBytes,
    /// `kernel/msgmax`: bytes of a message of System V.
    MessageBytes,
    /// `kernel/msgmnb`: bytes of a queue.
    QueueBytes,
    /// `kernel/msgmni`
    Queues,
    /// `kernel/msg_next_id`: what the next queue gets, or -1.
    NextQueue,
    /// `kernel/ns_last_pid`: the id that was given last.
    LastProcess,
    /// `kernel/pid_max`: the highest id.
    ProcessIds,
    /// `kernel/sem`: semaphores of a set.
    SetSemaphores,
    /// `kernel/sem`: semaphores in all.
    Semaphores,
    /// `kernel/sem`: operations of a call.
    SemaphoreOperations,
    /// `kernel/sem`: sets.
    SemaphoreSets,
    /// `kernel/sem_next_id`: what the next set gets, or -1.
    NextSemaphoreSet,
    /// `kernel/shm_next_id`: what the next segment gets, or -1.
    NextSegment,
    /// `kernel/shmall`: pages in all.
    SegmentPages,
    /// `kernel/shmmax`: bytes of a segment.
    SegmentBytes,
    /// `kernel/shmmni`
    Segments,
}

impl Number {
    /// All of them, each at its place.
    pub const ALL: [Self; 26] = [
        Self::Descriptors,
        Self::WatchEvents,
        Self::WatchInstances,
        Self::Watches,
        Self::LeaseSeconds,
        Self::PosixMessages,
        Self::PosixMessagesMax,
        Self::PosixMessageBytes,
        Self::PosixMessageBytesMax,
        Self::PosixQueues,
        Self::PipeBytes,
        Self::MessageBytes,
        Self::QueueBytes,
        Self::Queues,
        Self::NextQueue,
        Self::LastProcess,
        Self::ProcessIds,
        Self::SetSemaphores,
        Self::Semaphores,
        Self::SemaphoreOperations,
        Self::SemaphoreSets,
        Self::NextSemaphoreSet,
        Self::NextSegment,
        Self::SegmentPages,
        Self::SegmentBytes,
        Self::Segments,
    ];

    /// What stands for none, which a program reads and writes as -1.
    pub const NONE: u64 = u64::MAX;

    /// Whether there may be none.
    #[must_use]
    pub const fn may_be_none(self) -> bool {
        matches!(
            self,
            Self::NextQueue | Self::NextSemaphoreSet | Self::NextSegment
        )
    }
}

/// Files in the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemText {
    /// `cmdline`: what the kernel was started with.
    CommandLine,
    /// `cpuinfo`
    Processors,
    /// `devices`: the kinds of devices.
    Devices,
    /// `filesystems`
    FileSystems,
    /// `loadavg`
    Load,
    /// `meminfo`
    Memory,
    /// `occlum`: what the LibOS itself has in use, for those who look for something that grows.
    InUse,
    /// `stat`
    Statistics,
    /// `swaps`
    Swaps,
    /// `uptime`
    UpTime,
    /// `vmstat`
    VirtualMemory,
    /// `version`
    Version,
    /// `sysvipc/msg`: the message queues of System V.
    MessageQueues,
    /// `sysvipc/sem`: its semaphores.
    Semaphores,
    /// `sysvipc/shm`: its shared memory.
    Segments,
}

/// The process that a directory of the file system is about, and when that began.
#[must_use]
pub fn process_of(directory: &dyn Inode) -> Option<(u32, Duration)> {
    directory::process_of(directory)
}

/// The file system about processes.
pub struct ProcFs {
    root: Arc<Root>,
}

impl ProcFs {
    /// A file system that asks `source` for everything.
    #[must_use]
    pub fn new(source: Arc<dyn Source>) -> Arc<Self> {
        Arc::new(Self {
            root: Arc::new(Root { source }),
        })
    }
}

impl FileSystem for ProcFs {
    fn type_name(&self) -> &'static str {
        "proc"
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
