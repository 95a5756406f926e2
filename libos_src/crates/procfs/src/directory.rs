//! The directories: the root, one for each process, one for its descriptors.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use vfs::{
    DirectoryEntry, DirectorySink, Errno, FileType, Inode, Metadata, Mode, Name, Result, SinkState,
    StaticDirectory,
};

use crate::link::{PlaceLink, TextLink};
use crate::memory::MemoryFile;
use crate::name_spaces::NameSpaces;
use crate::text::{Subject, Text};
use crate::{ProcessPlace, ProcessText, Source, SystemText, owner, settings};

/// What an inode number is made of: the process (zero for the system) and a number in it.
pub(crate) const fn inode_number(process: u32, within: u32) -> u64 {
    (process as u64) << 32 | within as u64
}

/// Numbers within a process, or within the system.
const DIRECTORY: u32 = 1;
const DESCRIPTORS: u32 = 2;
const SELF: u32 = 3;
const MOUNTS: u32 = 4;
const THREAD_SELF: u32 = 5;
const DESCRIPTOR_TEXTS: u32 = 6;
const THREADS: u32 = 7;
const CHILDREN: u32 = 8;
const NAME_SPACES: u32 = 9;
const FIRST_FILE: u32 = 16;
/// `sysvipc`, and its files after it.
const SYSTEM_V: u32 = 64;
/// Descriptors are numbered from here on.
const FIRST_DESCRIPTOR: u32 = 1024;

const SYSTEM_TEXTS: [(&str, SystemText); 12] = [
    ("cmdline", SystemText::CommandLine),
    ("cpuinfo", SystemText::Processors),
    ("devices", SystemText::Devices),
    ("filesystems", SystemText::FileSystems),
    ("loadavg", SystemText::Load),
    ("meminfo", SystemText::Memory),
    ("occlum", SystemText::InUse),
    ("stat", SystemText::Statistics),
    ("swaps", SystemText::Swaps),
    ("uptime", SystemText::UpTime),
    ("version", SystemText::Version),
    ("vmstat", SystemText::VirtualMemory),
];
/// In `sysvipc`.
const SYSTEM_V_TEXTS: [(&str, SystemText); 3] = [
    ("msg", SystemText::MessageQueues),
    ("sem", SystemText::Semaphores),
    ("shm", SystemText::Segments),
];
const PROCESS_TEXTS: [(&str, ProcessText); 21] = [
    ("auxv", ProcessText::Auxiliary),
    ("cgroup", ProcessText::Groups),
    ("cmdline", ProcessText::CommandLine),
    ("comm", ProcessText::Name),
    ("environ", ProcessText::Environment),
    ("gid_map", ProcessText::IdMap),
    ("io", ProcessText::InputOutput),
    ("limits", ProcessText::Limits),
    ("maps", ProcessText::Maps),
    ("mountinfo", ProcessText::MountInfo),
    ("mounts", ProcessText::Mounts),
    ("oom_score", ProcessText::Score),
    ("oom_score_adj", ProcessText::ScoreAdjustment),
    ("setgroups", ProcessText::SetGroups),
    ("smaps", ProcessText::MapSizes),
    ("smaps_rollup", ProcessText::MapSizesSum),
    ("stat", ProcessText::Statistics),
    ("statm", ProcessText::Memory),
    ("status", ProcessText::Status),
    ("uid_map", ProcessText::IdMap),
    ("wchan", ProcessText::Waiting),
];
const PROCESS_PLACES: [(&str, ProcessPlace); 3] = [
    ("cwd", ProcessPlace::WorkingDirectory),
    ("exe", ProcessPlace::Executable),
    ("root", ProcessPlace::Root),
];
/// Cookies of processes come after those of the root's fixed entries.
const FIRST_PROCESS_COOKIE: u64 = 256;

/// `/proc`
pub(crate) struct Root {
    pub(crate) source: Arc<dyn Source>,
}

/// `/proc/PID`, and `/proc/PID/task/TID`, which says of the thread what differs.
struct ProcessDirectory {
    source: Arc<dyn Source>,
    process: u32,
    /// When that began: its id may be another's later.
    began: Duration,
    thread: Option<u32>,
}

/// `/proc/PID/fdinfo` and `/proc/PID/task`: an entry for each number.
struct NumberDirectory {
    source: Arc<dyn Source>,
    process: u32,
    of: Numbered,
}

/// What a directory has numbers of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbered {
    Descriptors,
    Threads,
}

/// `/proc/PID/fd`
struct DescriptorDirectory {
    source: Arc<dyn Source>,
    process: u32,
}

impl Root {
    /// The entries that are always there.
    fn fixed(&self) -> Vec<(&'static str, Arc<dyn Inode>)> {
        let mut entries: Vec<(&'static str, Arc<dyn Inode>)> = Vec::new();
        let text = |within, text| -> Arc<dyn Inode> {
            Arc::new(Text {
                source: self.source.clone(),
                inode: inode_number(0, within),
                subject: Subject::System(text),
            })
        };
        for (within, (name, about)) in (FIRST_FILE..).zip(SYSTEM_TEXTS) {
            entries.push((name, text(within, about)));
        }
        let system_v = (SYSTEM_V + 1..).zip(SYSTEM_V_TEXTS);
        let system_v = system_v.map(|(within, (name, about))| (name, text(within, about)));
        let system_v = StaticDirectory::new(inode_number(0, SYSTEM_V), system_v.collect());
        entries.push(("sysvipc", system_v));
        let process = self.source.current_process().to_string();
        let itself = TextLink {
            inode: inode_number(0, SELF),
            target: process.into_bytes(),
        };
        entries.push(("self", Arc::new(itself)));
        let mounts = TextLink {
            inode: inode_number(0, MOUNTS),
            target: b"self/mounts".to_vec(),
        };
        entries.push(("mounts", Arc::new(mounts)));
        let (process, thread) = (self.source.current_process(), self.source.current_thread());
        let itself = TextLink {
            inode: inode_number(0, THREAD_SELF),
            target: format!("{process}/task/{thread}").into_bytes(),
        };
        entries.push(("thread-self", Arc::new(itself)));
        entries.push(("sys", settings::directory(&self.source)));
        entries
    }
}

impl Inode for Root {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata::fixed(
            inode_number(0, DIRECTORY),
            FileType::Directory,
            Mode::from_low_bits(0o555),
        ))
    }

    fn has_volatile_entries(&self) -> bool {
        true
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        if let Some(process) = parse_number(&name) {
            // A thread has a directory, too, which is not listed.
            let owner = self.source.process_of(process).ok_or(Errno::ENOENT)?;
            let began = self.source.began(owner).ok_or(Errno::ENOENT)?;
            return Ok(Arc::new(ProcessDirectory {
                source: self.source.clone(),
                process: owner,
                began,
                thread: None,
            }));
        }
        find(self.fixed(), name)
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        if cookie < FIRST_PROCESS_COOKIE && list(&self.fixed(), cookie, sink)? == SinkState::Full {
            return Ok(());
        }
        let first = cookie.saturating_sub(FIRST_PROCESS_COOKIE);
        for process in self.source.processes() {
            let inode = inode_number(process, DIRECTORY);
            let next_cookie = FIRST_PROCESS_COOKIE + u64::from(process) + 1;
            let is_seen = u64::from(process) < first;
            let name = process.to_string();
            let kind = FileType::Directory;
            let entry = DirectoryEntry {
                inode,
                kind,
                name: name.as_bytes(),
                next_cookie,
            };
            if !is_seen && sink(&entry) == SinkState::Full {
                break;
            }
        }
        Ok(())
    }
}

impl ProcessDirectory {
    /// Checks that its process is there, and not another one that has the id now.
    fn check(&self) -> Result<()> {
        let is_there = self.source.began(self.process) == Some(self.began);
        is_there.then_some(()).ok_or(Errno::ENOENT)
    }

    fn entries(&self) -> Vec<(&'static str, Arc<dyn Inode>)> {
        let (source, process) = (&self.source, self.process);
        let mut entries: Vec<(&'static str, Arc<dyn Inode>)> = Vec::new();
        let mut numbers = (FIRST_FILE..).map(|within| inode_number(process, within));
        for ((name, text), inode) in PROCESS_TEXTS.into_iter().zip(&mut numbers) {
            let (source, subject) = (source.clone(), Subject::Process(process, self.thread, text));
            entries.push((
                name,
                Arc::new(Text {
                    source,
                    inode,
                    subject,
                }),
            ));
        }
        for ((name, place), inode) in PROCESS_PLACES.into_iter().zip(&mut numbers) {
            let source = source.clone();
            entries.push((
                name,
                Arc::new(PlaceLink {
                    source,
                    inode,
                    process,
                    place,
                }),
            ));
        }
        if let Some(inode) = numbers.next() {
            let source = source.clone();
            let memory = MemoryFile {
                source,
                process,
                inode,
            };
            entries.push(("mem", Arc::new(memory)));
        }
        let descriptors = DescriptorDirectory {
            source: source.clone(),
            process,
        };
        entries.push(("fd", Arc::new(descriptors)));
        let numbers = |of| {
            Arc::new(NumberDirectory {
                source: source.clone(),
                process,
                of,
            })
        };
        entries.push(("fdinfo", numbers(Numbered::Descriptors)));
        let name_spaces = NameSpaces {
            source: source.clone(),
            process,
            inode: inode_number(process, NAME_SPACES),
        };
        entries.push(("ns", Arc::new(name_spaces)));
        if self.thread.is_none() {
            entries.push(("task", numbers(Numbered::Threads)));
        } else {
            let children = Text {
                source: source.clone(),
                inode: inode_number(process, CHILDREN),
                subject: Subject::Process(process, self.thread, ProcessText::Children),
            };
            entries.push(("children", Arc::new(children)));
        }
        entries
    }
}

impl Inode for ProcessDirectory {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata> {
        let inode = inode_number(self.process, DIRECTORY);
        let kind = FileType::Directory;
        owner::metadata(&*self.source, self.process, inode, kind, 0o555)
    }

    fn has_volatile_entries(&self) -> bool {
        true
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        self.check()?;
        find(self.entries(), name)
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        self.check()?;
        list(&self.entries(), cookie, sink).map(|_| ())
    }
}

impl Inode for DescriptorDirectory {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata> {
        let inode = inode_number(self.process, DESCRIPTORS);
        owner::metadata_of_own(&*self.source, self.process, inode, 0o500)
    }

    fn has_volatile_entries(&self) -> bool {
        true
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        let descriptor = parse_number(&name).ok_or(Errno::ENOENT)?;
        if !self.source.descriptors(self.process)?.contains(&descriptor) {
            return Err(Errno::ENOENT);
        }
        Ok(Arc::new(PlaceLink {
            source: self.source.clone(),
            inode: descriptor_inode(self.process, descriptor),
            process: self.process,
            place: ProcessPlace::Descriptor(descriptor),
        }))
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        for descriptor in self.source.descriptors(self.process)? {
            if u64::from(descriptor) < cookie {
                continue;
            }
            let name = format!("{descriptor}");
            let entry = DirectoryEntry {
                inode: descriptor_inode(self.process, descriptor),
                kind: FileType::Symlink,
                name: name.as_bytes(),
                next_cookie: u64::from(descriptor) + 1,
            };
            if sink(&entry) == SinkState::Full {
                break;
            }
        }
        Ok(())
    }
}

impl NumberDirectory {
    fn numbers(&self) -> Result<Vec<u32>> {
        match self.of {
            Numbered::Descriptors => self.source.descriptors(self.process),
            Numbered::Threads => self.source.threads(self.process),
        }
    }

    /// The kind of each entry.
    const fn entry_kind(&self) -> FileType {
        match self.of {
            Numbered::Descriptors => FileType::Regular,
            Numbered::Threads => FileType::Directory,
        }
    }
}

impl Inode for NumberDirectory {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata> {
        let (within, mode) = match self.of {
            Numbered::Descriptors => (DESCRIPTOR_TEXTS, 0o500),
            Numbered::Threads => (THREADS, 0o555),
        };
        let inode = inode_number(self.process, within);
        owner::metadata_of_own(&*self.source, self.process, inode, mode)
    }

    fn has_volatile_entries(&self) -> bool {
        true
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        let number = parse_number(&name).ok_or(Errno::ENOENT)?;
        if !self.numbers()?.contains(&number) {
            return Err(Errno::ENOENT);
        }
        let (source, process) = (self.source.clone(), self.process);
        Ok(match self.of {
            Numbered::Descriptors => Arc::new(Text {
                source,
                inode: descriptor_inode(process, number),
                subject: Subject::Descriptor(process, number),
            }),
            Numbered::Threads => Arc::new(ProcessDirectory {
                began: source.began(process).ok_or(Errno::ENOENT)?,
                source,
                process,
                thread: Some(number),
            }),
        })
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        for number in self.numbers()? {
            let next_cookie = u64::from(number) + 1;
            let name = number.to_string();
            let entry = DirectoryEntry {
                inode: match self.of {
                    Numbered::Descriptors => descriptor_inode(self.process, number),
                    Numbered::Threads => inode_number(number, DIRECTORY),
                },
                kind: self.entry_kind(),
                name: name.as_bytes(),
                next_cookie,
            };
            if next_cookie > cookie && sink(&entry) == SinkState::Full {
                break;
            }
        }
        Ok(())
    }
}

/// The process that a directory is about; one of a thread is about none.
pub(crate) fn process_of(directory: &dyn Inode) -> Option<(u32, Duration)> {
    let directory: &ProcessDirectory = directory.downcast()?;
    let is_of_process = directory.thread.is_none();
    is_of_process.then_some((directory.process, directory.began))
}

fn descriptor_inode(process: u32, descriptor: u32) -> u64 {
    inode_number(process, FIRST_DESCRIPTOR.saturating_add(descriptor))
}

/// The entry of this name.
pub(crate) fn find(
    entries: Vec<(&'static str, Arc<dyn Inode>)>,
    name: Name<'_>,
) -> Result<Arc<dyn Inode>> {
    let found = entries
        .into_iter()
        .find(|(known, _)| known.as_bytes() == &*name);
    found.map(|(_, inode)| inode).ok_or(Errno::ENOENT)
}

/// Lists fixed entries; the cookie is the index of the next one.
pub(crate) fn list(
    entries: &[(&'static str, Arc<dyn Inode>)],
    cookie: u64,
    sink: &mut DirectorySink<'_>,
) -> Result<SinkState> {
    let start = usize::try_from(cookie).unwrap_or(usize::MAX);
    for (index, (name, inode)) in entries.iter().enumerate().skip(start) {
        let metadata = inode.metadata()?;
        let entry = DirectoryEntry {
            inode: metadata.inode,
            kind: metadata.kind,
            name: name.as_bytes(),
            next_cookie: index as u64 + 1,
        };
        if sink(&entry) == SinkState::Full {
            return Ok(SinkState::Full);
        }
    }
    Ok(SinkState::Taken)
}

/// A number as Linux names directories: decimal, without a sign or leading zeros.
fn parse_number(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
