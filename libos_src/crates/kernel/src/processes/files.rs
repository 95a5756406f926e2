//! The texts of `/proc` (proc(5)): what is true inside the enclave, nothing of the host.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::sync::atomic::Ordering;
use core::time::Duration;

use hal::{Clock, Errno, Machine};
use locks::Once;
use procfs::{Number, ProcessMemory, ProcessPlace, ProcessText, Setting, Source, SystemText};
use vfs::{Location, MOUNTS_MAX};

use super::memory_view::MemoryView;
use super::name_space::NameSpaceFile;
use super::{
    HostNames, Limits, Places, Principal, Process, ProcessTable, Standing, mount_texts, processors,
    start_texts,
};
use crate::Libos;
use crate::files::details;
use crate::libos::Slots;
use crate::memory::AREAS_MAX;
use crate::settings::Settings;
use crate::signals::SignalRooms;
use crate::sockets::BACKLOG_MAX;
use crate::syscalls::system_v::{SystemV, messages, segments, semaphores};
use crate::syscalls::{GROUPS_MAX, HOST_NAME_MAX_BYTES};
use crate::terminals::Terminals;
use crate::threads::{usage_of_process, usage_of_thread};

/// Answers what `/proc` asks.
pub(crate) struct ProcessFiles {
    machine: &'static dyn Machine,
    processes: Arc<ProcessTable>,
    slots: Arc<Slots>,
    terminals: Arc<Terminals>,
    signal_rooms: Arc<SignalRooms>,
    threads_max: u32,
    boot_id: Once<String>,
    system_v: Arc<SystemV>,
    settings: Arc<Settings>,
}

const PAGE_BYTES: u64 = hal::PAGE_SIZE;
const TICKS_PER_SECOND: u64 = 100;

impl ProcessFiles {
    /// About the processes of a kernel, for who asks on an enclave thread.
    pub(crate) fn new(libos: &Libos) -> Arc<Self> {
        Arc::new(Self {
            machine: libos.machine,
            processes: libos.processes.clone(),
            slots: libos.slots().clone(),
            terminals: libos.terminals.clone(),
            signal_rooms: libos.signal_rooms.clone(),
            threads_max: libos.config.threads.max,
            boot_id: Once::new(),
            system_v: libos.system_v.clone(),
            settings: libos.settings.clone(),
        })
    }

    fn process(&self, pid: u32) -> Result<Arc<Process>, Errno> {
        self.processes.get(pid).ok_or(Errno::ESRCH)
    }

    fn caller(&self) -> Option<Arc<Process>> {
        self.slots.process(self.machine.this_thread())
    }

    fn places(&self) -> Option<Places> {
        self.slots.places(self.machine.this_thread())
    }

    /// The host names that the caller sees.
    fn names(&self) -> HostNames {
        let places = self.places();
        places.map_or_else(HostNames::default, |places| places.names.lock().clone())
    }

    fn uptime_ticks(&self) -> u64 {
        ticks_of(self.machine.clock(Clock::Monotonic).into())
    }

    fn limits(process: &Process) -> String {
        const NAMES: [(&str, &str); 16] = [
            ("Max cpu time", "seconds"),
            ("Max file size", "bytes"),
            ("Max data size", "bytes"),
            ("Max stack size", "bytes"),
            ("Max core file size", "bytes"),
            ("Max resident set", "bytes"),
            ("Max processes", "processes"),
            ("Max open files", "files"),
            ("Max locked memory", "bytes"),
            ("Max address space", "bytes"),
            ("Max file locks", "locks"),
            ("Max pending signals", "signals"),
            ("Max msgqueue size", "bytes"),
            ("Max nice priority", ""),
            ("Max realtime priority", ""),
            ("Max realtime timeout", "us"),
        ];
        let word = |value: u64| match value {
            u64::MAX => "unlimited".into(),
            value => format!("{value}"),
        };
        let mut text = format!(
            "{:<25} {:<20} {:<20} {:<10}\n",
            "Limit", "Soft Limit", "Hard Limit", "Units"
        );
        let limits = process.limits.lock();
        for (resource, (name, unit)) in (0..).zip(NAMES) {
            let Ok(limit) = limits.get(resource) else {
                continue;
            };
            let (soft, hard) = (word(limit.soft), word(limit.hard));
            let _ = writeln!(text, "{name:<25} {soft:<20} {hard:<20} {unit:<10}");
        }
        text
    }

    fn virtual_memory(&self) -> String {
        let sizes = self
            .caller()
            .map(|process| process.memory().region_sizes_bytes());
        let free = sizes.unwrap_or_default().1 / PAGE_BYTES;
        format!("nr_free_pages {free}\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\n")
    }

    /// One letter, and in words: `R (running)`.
    fn state(&self, process: &Process, thread: u32) -> &'static str {
        if self.processes.is_zombie(process.pid) {
            return "Z (zombie)";
        }
        match process.thread(thread) {
            Some(thread) if process.is_killed(&thread) => "R (running)",
            Some(_) if process.stop.is_set() => "T (stopped)",
            Some(thread) if thread.is_asleep() && !process.has_signal_for(&thread) => {
                "S (sleeping)"
            }
            // The first thread has ended before the others.
            None if process.thread_count() != 0 => "Z (zombie)",
            _ => "R (running)",
        }
    }

    fn statistics(&self, process: &Process, thread: u32) -> String {
        let (mapped, resident) = process.memory().sizes_bytes();
        let pid = process.pid;
        let name = name(process, thread);
        let state = &self.state(process, thread)[..1];
        let parent = self.processes.parent(pid);
        let (group, session) = self.processes.group_and_session(pid).unwrap_or_default();
        let terminal = self.terminals.shown(session);
        let (terminal, foreground) = terminal.map_or((0, -1), |(number, foreground)| {
            (number.to_u64(), i64::from(foreground))
        });
        let this = process.thread(thread);
        // Of the process as a whole the first thread tells.
        let other = this.as_ref().filter(|_| thread != pid);
        let this_usage = other.map(|this| usage_of_thread(self.machine, this));
        let nice = this.map_or(0, |this| this.scheduling.lock().nice);
        let priority = 20 + i16::from(nice);
        let threads = process.thread_count();
        let resident_pages = resident / PAGE_BYTES;
        let began = ticks_of(process.began);
        let used = this_usage.unwrap_or_else(|| usage_of_process(self.machine, process));
        let (user, system) = (ticks_of(used.user()), ticks_of(used.system()));
        let used = *process.children_usage.lock();
        let (child_user, child_system) = (ticks_of(used.user()), ticks_of(used.system()));
        // Fields 4 to 24 and then zeros up to 52, as proc(5) numbers them.
        format!(
            "{thread} ({name}) {state} {parent} {group} {session} {terminal} {foreground} 0 0 0 0 0 {user} {system} {child_user} {child_system} {priority} {nice} \
             {threads} 0 {began} {mapped} {resident_pages} {}{}\n",
            u64::MAX,
            " 0".repeat(27)
        )
    }

    fn status(&self, process: &Process, thread: u32) -> String {
        let memory = process.memory();
        let (mapped, resident) = memory.sizes_bytes();
        let (peak_mapped, peak) = memory.peak_bytes();
        let locked = memory.locked_bytes(&(0..0)).0 / 1024;
        let pid = process.pid;
        let mask = process.places().view.read().creation_mask.bits();
        format!(
            "Name:\t{}\nUmask:\t{mask:04o}\nState:\t{}\nTgid:\t{pid}\nPid:\t{thread}\n\
             PPid:\t{}\n{}VmPeak:\t{} kB\nVmSize:\t{} kB\nVmLck:\t{locked} kB\nVmHWM:\t{} kB\nVmRSS:\t{} kB\n\
             VmData:\t{} kB\nVmSwap:\t0 kB\n\
             Threads:\t{}\n{}",
            name(process, thread),
            self.state(process, thread),
            self.processes.parent(pid),
            owners(process),
            peak_mapped / 1024,
            mapped / 1024,
            peak / 1024,
            resident / 1024,
            memory.data_bytes() / 1024,
            process.thread_count(),
            self.signals(process, thread)
        )
    }

    /// The lines of `status` about signals.
    fn signals(&self, process: &Process, thread: u32) -> String {
        let user = process.standing().user.real;
        let limit = process.limits.lock().soft(Limits::PENDING_SIGNALS);
        let this = process.thread(thread);
        let (own, blocked) = this.map_or_else(Default::default, |this| {
            let signals = this.signals.lock();
            (signals.pending.present(), signals.mask)
        });
        let signals = process.signals.lock();
        let (ignored, caught) = signals.ignored_and_caught();
        format!(
            "SigQ:\t{}/{limit}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\n\
             SigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
            self.signal_rooms.count(user),
            own.bits(),
            signals.pending.present().bits(),
            blocked.bits(),
            ignored.bits(),
            caught.bits()
        )
    }

    fn processors(&self) -> String {
        let ask = |leaf, subleaf| self.machine.cpuid(leaf, subleaf);
        processors::text(&ask, self.machine.cpu_count())
    }

    fn memory(&self) -> String {
        let sizes = self
            .caller()
            .map(|process| process.memory().region_sizes_bytes());
        let (total, free) = sizes.unwrap_or_default();
        let free = free / 1024;
        format!(
            "MemTotal: {:>15} kB\nMemFree: {free:>16} kB\nMemAvailable: {free:>11} kB\n\
             Buffers: {:>16} kB\nCached: {:>17} kB\nSwapTotal: {:>14} kB\nSwapFree: {:>15} kB\n",
            total / 1024,
            0,
            0,
            0,
            0
        )
    }

    /// Numbers that come back to what they were when programs have ended.
    fn in_use(&self) -> String {
        let (processes, threads) = self.processes.counts();
        let memory = self.caller().map(|process| process.memory());
        let (total, free) = memory
            .as_ref()
            .map(|memory| memory.region_sizes_bytes())
            .unwrap_or_default();
        let spare = memory.map_or(0, |memory| memory.spare_bytes());
        format!(
            "processes {processes}\nthreads {threads}\nclaimed_bytes {}\nspare_bytes {spare}\n\
             heap_bytes {}\n",
            total - free,
            self.machine.heap_used_bytes()
        )
    }

    /// A random identifier (RFC 9562, version 4).
    fn uuid(&self) -> String {
        let mut bytes = [0; 16];
        self.machine.random(&mut bytes);
        let number = u128::from_be_bytes(bytes);
        let number = number & !(0xf << 76) & !(3 << 62) | 4 << 76 | 2 << 62;
        let digits = format!("{number:032x}");
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
        parts.join("-")
    }

    fn cpu_times(&self) -> String {
        let ticks = self.uptime_ticks();
        let mut text = format!("cpu  {ticks} 0 0 0 0 0 0 0 0 0\n");
        for cpu in 0..self.machine.cpu_count() {
            let _ = writeln!(text, "cpu{cpu} {ticks} 0 0 0 0 0 0 0 0 0");
        }
        let now = self.machine.clock(Clock::Realtime).seconds;
        let started = now.saturating_sub(ticks / TICKS_PER_SECOND);
        let _ = write!(
            text,
            "intr 0\nctxt 0\nbtime {started}\nprocesses {}\nprocs_running 1\nprocs_blocked 0\n\
             softirq 0 0 0 0 0 0 0 0 0 0 0\n",
            self.processes.started()
        );
        text
    }

    fn up_time(&self) -> String {
        let ticks = self.uptime_ticks();
        let seconds = format!(
            "{}.{:02}",
            ticks / TICKS_PER_SECOND,
            ticks % TICKS_PER_SECOND
        );
        format!("{seconds} 0.00\n")
    }
}

impl Source for ProcessFiles {
    fn current_process(&self) -> u32 {
        self.caller().map_or(0, |process| process.pid)
    }

    fn owner(&self, process: u32) -> Result<(u32, u32), Errno> {
        let standing = self.process(process)?.standing();
        Ok((standing.user.effective, standing.group.effective))
    }

    fn is_dumpable(&self, process: u32) -> Result<bool, Errno> {
        Ok(self.process(process)?.is_dumpable.load(Ordering::Relaxed))
    }

    fn check_look_into(&self, process: u32) -> Result<(), Errno> {
        let target = self.process(process)?;
        let caller = self.slots.process_and_thread(self.machine.this_thread());
        let (caller, thread) = caller.ok_or(Errno::EACCES)?;
        if caller.pid == process {
            return Ok(());
        }
        let principal = thread.principal();
        let principal = principal.map_or_else(|| caller.principal(), |own| *own);
        if principal.may_look_into(&target) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    fn processes(&self) -> Vec<u32> {
        self.processes.pids()
    }

    fn process_of(&self, thread: u32) -> Option<u32> {
        let processes = &self.processes;
        let process = processes
            .of_thread(thread)
            .or_else(|| processes.get(thread));
        process.map(|process| process.pid)
    }

    fn began(&self, process: u32) -> Option<Duration> {
        self.processes.get(process).map(|process| process.began)
    }

    fn process_text(
        &self,
        process: u32,
        thread: Option<u32>,
        text: ProcessText,
    ) -> Result<Vec<u8>, Errno> {
        let process = self.process(process)?;
        let thread = thread.unwrap_or(process.pid);
        Ok(match text {
            // What has ended has none.
            ProcessText::CommandLine | ProcessText::Environment
                if self.processes.is_zombie(process.pid) =>
            {
                Vec::new()
            }
            ProcessText::CommandLine => start_texts::command_line(&process.memory()),
            ProcessText::Environment => start_texts::environment(&process.memory()),
            ProcessText::Name => format!("{}\n", name(&process, thread)).into_bytes(),
            ProcessText::Maps => process.memory().listing()?,
            ProcessText::Mounts => mount_texts::mounts(&process, self.machine)?.into_bytes(),
            ProcessText::Groups => b"0::/\n".to_vec(),
            ProcessText::Children if thread == process.pid => {
                let mut text = String::new();
                for child in self.processes.children(process.pid) {
                    let _ = write!(text, "{child} ");
                }
                text.into_bytes()
            }
            ProcessText::Children => Vec::new(),
            ProcessText::IdMap => format!("{:>10} {:>10} {:>10}\n", 0, 0, u32::MAX).into_bytes(),
            ProcessText::InputOutput => process.moved().text().into_bytes(),
            ProcessText::SetGroups => b"allow\n".to_vec(),
            ProcessText::Limits => Self::limits(&process).into_bytes(),
            ProcessText::MountInfo => mount_texts::mount_info(&process, self.machine)?.into_bytes(),
            ProcessText::Score => b"0\n".to_vec(),
            ProcessText::ScoreAdjustment => {
                let adjustment = process.score_adjustment.load(Ordering::Relaxed);
                format!("{adjustment}\n").into_bytes()
            }
            ProcessText::Auxiliary => process.memory().auxiliary().to_vec(),
            ProcessText::MapSizes => process.memory().sized_listing()?,
            ProcessText::MapSizesSum => process.memory().sized_sum(),
            ProcessText::Waiting => b"0".to_vec(),
            ProcessText::Statistics => self.statistics(&process, thread).into_bytes(),
            ProcessText::Memory => {
                let (mapped, resident) = process.memory().sizes_bytes();
                let (mapped, resident) = (mapped / PAGE_BYTES, resident / PAGE_BYTES);
                format!("{mapped} {resident} 0 0 0 {mapped} 0\n").into_bytes()
            }
            ProcessText::Status => self.status(&process, thread).into_bytes(),
        })
    }

    fn set_process_text(
        &self,
        process: u32,
        thread: Option<u32>,
        text: ProcessText,
        new: &[u8],
    ) -> Result<(), Errno> {
        let process = self.process(process)?;
        let thread = thread.unwrap_or(process.pid);
        match text {
            ProcessText::Name => {
                if self.current_process() != process.pid {
                    return Err(Errno::EINVAL);
                }
                let this = process.thread(thread).ok_or(Errno::ESRCH)?;
                let new = new.strip_suffix(b"\n").unwrap_or(new);
                let mut name = [0; 16];
                for (byte, new) in name.iter_mut().zip(new.iter().take(15)) {
                    *byte = *new;
                }
                *this.name.lock() = name;
            }
            ProcessText::ScoreAdjustment => {
                let new = new.split(|&byte| byte == 0).next().unwrap_or_default();
                let text = core::str::from_utf8(new).map_err(|_| Errno::EINVAL)?;
                let adjustment: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
                if !(-1000..=1000).contains(&adjustment) {
                    return Err(Errno::EINVAL);
                }
                process
                    .score_adjustment
                    .store(adjustment, Ordering::Relaxed);
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn process_place(&self, process: u32, place: ProcessPlace) -> Result<Location, Errno> {
        let process = self.process(process)?;
        match place {
            ProcessPlace::Executable => {
                let program = process.program();
                let executable = program.executable.as_ref().ok_or(Errno::ENOENT)?;
                Ok(executable.location().clone())
            }
            ProcessPlace::WorkingDirectory => {
                Ok(process.places().view.read().working_directory.clone())
            }
            ProcessPlace::Root => Ok(process.places().view.read().root.clone()),
            ProcessPlace::NameSpace(space) => {
                let places = process.places();
                let of_host_names = places.names.lock().number;
                let file = NameSpaceFile::new(space, of_host_names);
                let name = file.name();
                let namespace = places.view.read().namespace.clone();
                Ok(namespace.name_space_file(file, name.as_bytes()))
            }
            ProcessPlace::Descriptor(number) => {
                let number = i32::try_from(number).map_err(|_| Errno::ENOENT)?;
                let places = process.places();
                let descriptors = places.files.read();
                let file = descriptors.file(number).map_err(|_| Errno::ENOENT)?;
                Ok(file.location().clone())
            }
        }
    }

    fn memory(&self, process: u32) -> Result<Arc<dyn ProcessMemory>, Errno> {
        Ok(Arc::new(MemoryView {
            processes: self.processes.clone(),
            process,
            space: Arc::downgrade(&self.process(process)?.memory()),
        }))
    }

    fn descriptors(&self, process: u32) -> Result<Vec<u32>, Errno> {
        let process = self.process(process)?;
        let places = process.places();
        let descriptors = places.files.read();
        Ok(descriptors.numbers().map(i32::cast_unsigned).collect())
    }

    fn threads(&self, process: u32) -> Result<Vec<u32>, Errno> {
        let threads = self.process(process)?.threads();
        let mut numbers: Vec<u32> = threads.iter().map(|thread| thread.tid()).collect();
        // The first one is there as long as its process is, even if it has ended.
        numbers.push(process);
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn current_thread(&self) -> u32 {
        self.slots.thread(self.machine.this_thread()).unwrap_or(0)
    }

    fn descriptor_text(&self, process: u32, descriptor: u32) -> Result<Vec<u8>, Errno> {
        let process = self.process(process)?;
        let number = i32::try_from(descriptor).map_err(|_| Errno::ENOENT)?;
        let places = process.places();
        let descriptors = places.files.read();
        let file = descriptors.file(number).map_err(|_| Errno::ENOENT)?.clone();
        let is_closed_on_exec = descriptors.get(number)?.is_closed_on_exec;
        drop(descriptors);
        let mut flags = file.flags();
        flags.set(vfs::OpenFlags::CLOSE_ON_EXEC, is_closed_on_exec);
        let place = file.location();
        let mut text = format!(
            "pos:\t{}\nflags:\t0{:o}\nmnt_id:\t{}\nino:\t{}\n",
            file.offset(),
            flags.bits(),
            place.mount().id(),
            file.metadata()?.inode
        );
        text.push_str(&details(&file));
        Ok(text.into_bytes())
    }

    fn text_of_place(&self, place: &Location) -> Vec<u8> {
        match self.places() {
            Some(places) => places.view.read().full_path_of(place),
            None => Vec::new(),
        }
    }

    fn setting(&self, setting: Setting) -> String {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match setting {
            Setting::BootId => self.boot_id.call_once(|| self.uuid()).clone(),
            Setting::DomainName => name(&self.names().domain),
            Setting::HostName => name(&self.names().host),
            Setting::Threads => self.threads_max.to_string(),
            Setting::Mounts => MOUNTS_MAX.to_string(),
            Setting::Groups => GROUPS_MAX.to_string(),
            Setting::Backlog => BACKLOG_MAX.to_string(),
            Setting::Areas => AREAS_MAX.to_string(),
            Setting::Uuid => self.uuid(),
        }
    }

    fn number(&self, number: Number) -> u64 {
        match number {
            Number::LastProcess => self.processes.last_id().into(),
            number => self.settings.get(number),
        }
    }

    fn set_numbers(&self, new: &[(Number, u64)]) -> Result<(), Errno> {
        self.settings.set(new)?;
        self.processes
            .set_id_max(self.settings.get(Number::ProcessIds));
        let last = new
            .iter()
            .find(|(number, _)| *number == Number::LastProcess);
        if let Some(&(_, last)) = last {
            self.processes.set_last_id(last);
        }
        Ok(())
    }

    fn set_name(&self, setting: Setting, name: &[u8]) -> Result<(), Errno> {
        let places = self.places().ok_or(Errno::ESRCH)?;
        let mut names = places.names.lock();
        let kept = match setting {
            Setting::DomainName => &mut names.domain,
            Setting::HostName => &mut names.host,
            _ => return Err(Errno::EPERM),
        };
        *kept = name[..name.len().min(HOST_NAME_MAX_BYTES)].to_vec();
        Ok(())
    }

    fn system_text(&self, text: SystemText) -> Result<Vec<u8>, Errno> {
        let text = match text {
            SystemText::Processors => self.processors(),
            SystemText::FileSystems => {
                "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\toverlay\n\terofs\n".into()
            }
            SystemText::Devices => {
                "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n\
                 136 pts\n\nBlock devices:\n"
                    .into()
            }
            SystemText::Load => {
                let (processes, threads) = self.processes.counts();
                format!("0.00 0.00 0.00 1/{threads} {processes}\n")
            }
            SystemText::CommandLine => "occlum\n".into(),
            SystemText::Swaps => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".into(),
            SystemText::VirtualMemory => self.virtual_memory(),
            SystemText::Memory => self.memory(),
            SystemText::InUse => self.in_use(),
            SystemText::Statistics => self.cpu_times(),
            SystemText::UpTime => self.up_time(),
            SystemText::MessageQueues => messages::listing(&self.system_v.queues),
            SystemText::Semaphores => semaphores::listing(&self.system_v.semaphores),
            SystemText::Segments => segments::listing(&self.system_v.segments),
            SystemText::Version => "Linux version 5.15.0-occlum (occlum-build)\n".into(),
        };
        Ok(text.into_bytes())
    }
}

/// A time in hundredths of a second.
pub(super) fn ticks_of(time: Duration) -> u64 {
    time.as_secs() * TICKS_PER_SECOND + u64::from(time.subsec_millis()) / 10
}

/// The lines of `status` about users and groups.
fn owners(process: &Process) -> String {
    let Principal {
        standing,
        credentials,
    } = process.principal();
    let Standing { user, group, .. } = standing;
    let mut text = String::new();
    for (label, ids, for_files) in [
        ("Uid", user, credentials.user),
        ("Gid", group, credentials.group),
    ] {
        let (real, effective, saved) = (ids.real, ids.effective, ids.saved);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{label}:\t{real}\t{effective}\t{saved}\t{for_files}");
    }
    let _ = write!(text, "Groups:\t");
    for group in credentials.groups.iter() {
        let _ = write!(text, "{group} ");
    }
    text.push('\n');
    let sets = standing.capabilities;
    for (label, set) in [
        ("CapInh", sets.inheritable),
        ("CapPrm", sets.permitted),
        ("CapEff", sets.effective),
        ("CapBnd", sets.bounding),
        ("CapAmb", sets.ambient),
    ] {
        let _ = writeln!(text, "{label}:\t{:016x}", set.bits());
    }
    let _ = writeln!(text, "NoNewPrivs:\t{}", u8::from(standing.gains_nothing));
    text
}

/// The name of a thread; nothing once that has ended.
fn name(process: &Process, thread: u32) -> String {
    let name = process
        .thread(thread)
        .map(|thread| *thread.name.lock())
        .unwrap_or_default();
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}
