//! The file systems that the sealed configuration names, and `/dev` and `/proc`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use config::{Image, Mount};
use devfs::DevFs;
use erofs::Erofs;
use hal::{Clock, Errno, LogLevel, Machine};
use hostfs::HostFs;
use overlay::OverlayFs;
use procfs::{ProcFs, SysFs};
use tmpfs::TmpFs;
use verity::{Parameters, RawSource, Reporter, Verified};
use vfs::{FileSystem, Follow, Mode, MountFlags, Namespace, Timestamp, Viewpoint};

use crate::Libos;
use crate::files::{Fifos, HostStream};
use crate::processes::ProcessFiles;
use crate::terminals::{ConsoleNode, ControllingTerminal, DevPts};

/// Nodes of each image's hash tree that are kept, in bytes.
const NODE_CACHE_BYTES: usize = 512 << 10;

impl Libos {
    /// Mounts everything; the first mount of the configuration is the root.
    pub(crate) fn mount_all(
        &self,
        process_files: &Arc<ProcessFiles>,
        console: Arc<HostStream>,
    ) -> Result<Arc<Namespace>, String> {
        let mut mounts = self.config.mounts.iter();
        let root = mounts.next().ok_or("the configuration mounts nothing")?;
        let namespace = Namespace::new(self.file_system(root)?, MountFlags::default())
            .map_err(|errno| format!("cannot mount the root: {errno}"))?;
        let viewpoint = Viewpoint::new(namespace.clone());
        let random = Arc::new(EnclaveRandom(self.machine));
        // Where the root has the directories, so that a root without them stays as it is.
        let free = MountFlags::default();
        let devices = DevFs::new(
            random,
            Arc::new(ControllingTerminal {
                machine: self.machine,
                slots: self.slots().clone(),
                processes: self.processes.clone(),
                terminals: self.terminals.clone(),
                console: console.clone(),
            }),
            Arc::new(ConsoleNode(console)),
        );
        namespace.serve_special_files(Arc::new(Fifos::new(self.machine, Some(devices.clone()))));
        attach(&viewpoint, "/dev", devices, free).or_else(unless_missing)?;
        let pseudo = DevPts::new(self.machine, self.slots().clone(), self.terminals.clone());
        attach(&viewpoint, "/dev/pts", pseudo, free).or_else(unless_missing)?;
        if let Ok(directory) = viewpoint.resolve(None, b"/dev/pts", Follow::Yes) {
            self.terminals.directory.call_once(|| directory);
        }
        let shared_memory = self.tmpfs(self.default_tmpfs_bytes(), 0o1777);
        let shared_memory =
            shared_memory.map_err(|errno| format!("cannot mount /dev/shm: {errno}"))?;
        attach(&viewpoint, "/dev/shm", shared_memory, free).or_else(unless_missing)?;
        let processes = ProcFs::new(process_files.clone());
        attach(&viewpoint, "/proc", processes, free).or_else(unless_missing)?;
        let machine = SysFs::new(self.machine.cpu_count());
        attach(&viewpoint, "/sys", machine, free).or_else(unless_missing)?;
        for mount in mounts {
            let file_system = self.file_system(mount)?;
            make_mount_point(&viewpoint, mount.target())?;
            attach(&viewpoint, mount.target(), file_system, restrictions(mount))
                .map_err(|errno| format!("cannot mount `{}`: {errno}", mount.target()))?;
        }
        // The program is no judge of what its enclave's configuration restricts.
        namespace.keep_restrictions();
        Ok(namespace)
    }

    fn file_system(&self, mount: &Mount) -> Result<Arc<dyn FileSystem>, String> {
        let failed =
            |reason: &dyn fmt::Display| format!("cannot mount `{}`: {reason}", mount.target());
        match mount {
            Mount::Erofs { image, .. } => Ok(self.erofs(image).map_err(|error| failed(&error))?),
            Mount::Tmpfs { size_bytes, .. } => Ok(self
                .tmpfs(*size_bytes, 0o1777)
                .map_err(|errno| failed(&errno))?),
            Mount::Hostfs {
                source, read_only, ..
            } => {
                let directory =
                    HostFs::new(self.machine.host_files(), source.as_bytes(), *read_only);
                Ok(directory.map_err(|errno| {
                    failed(&format!("the host's directory `{source}`: {errno}"))
                })?)
            }
            Mount::Unionfs {
                image, size_bytes, ..
            } => {
                let lower: Arc<dyn FileSystem> =
                    self.erofs(image).map_err(|error| failed(&error))?;
                let union = self
                    .tmpfs(*size_bytes, 0o700)
                    .and_then(|upper| OverlayFs::new(&lower, upper));
                Ok(union.map_err(|errno| failed(&errno))?)
            }
        }
    }

    /// An empty file system in memory.
    pub(crate) fn tmpfs(&self, size_bytes: u64, mode: u32) -> Result<Arc<TmpFs>, Errno> {
        let clock = Arc::new(EnclaveClock(self.machine));
        TmpFs::new(size_bytes, Mode::from_low_bits(mode), clock)
    }

    fn erofs(&self, image: &Image) -> Result<Arc<Erofs>, String> {
        let source = ImageSource {
            machine: self.machine,
            index: image.index,
        };
        let parameters = Parameters {
            data_size_bytes: image.data_size_bytes,
            tree_offset_bytes: image.tree_offset_bytes,
            root_hash: image.root_hash.0,
        };
        let report = || reporter(self.machine, &image.name);
        let blocks = Verified::new(source, &parameters, NODE_CACHE_BYTES, report());
        let blocks = blocks.map_err(|error| error.to_string())?;
        Erofs::mount(Box::new(blocks), self.block_cache_bytes(), report())
            .map_err(|error| error.to_string())
    }

    /// How much of each image is kept in verified blocks: a quarter of the kernel's heap for all. What
    /// is not kept is read from the host and hashed again whenever a program starts.
    fn block_cache_bytes(&self) -> usize {
        let has_image =
            |mount: &&Mount| matches!(mount, Mount::Erofs { .. } | Mount::Unionfs { .. });
        let images = self.config.mounts.iter().filter(has_image).count().max(1);
        self.heap_bytes() as usize / 4 / images
    }
}

fn attach(
    viewpoint: &Viewpoint,
    target: &str,
    file_system: Arc<dyn FileSystem>,
    restrictions: MountFlags,
) -> Result<(), Errno> {
    let point = viewpoint.resolve(None, target.as_bytes(), Follow::Yes)?;
    viewpoint
        .namespace
        .mount(&point, file_system, restrictions)?;
    Ok(())
}

/// Makes the directory to mount on, where the file system there can be written.
fn make_mount_point(viewpoint: &Viewpoint, target: &str) -> Result<(), String> {
    for (end, _) in target
        .match_indices('/')
        .skip(1)
        .chain([(target.len(), "")])
    {
        let path = &target[..end];
        let made = viewpoint.make_directory(None, path.as_bytes(), Mode::from_low_bits(0o755));
        match made {
            Ok(_) | Err(Errno::EEXIST) => {}
            Err(Errno::EROFS) => {
                return Err(format!(
                    "cannot mount `{target}`: the image has no directory `{path}`; put one there"
                ));
            }
            Err(errno) => return Err(format!("cannot mount `{target}`: `{path}`: {errno}")),
        }
    }
    Ok(())
}

/// How a mount of the configuration restricts its file system: what the host keeps gives nobody rights.
fn restrictions(mount: &Mount) -> MountFlags {
    let Mount::Hostfs {
        read_only,
        executable,
        ..
    } = mount
    else {
        return MountFlags::default();
    };
    let mut restrictions = MountFlags::NO_SET_USER | MountFlags::NO_DEVICES;
    restrictions.set(MountFlags::READ_ONLY, *read_only);
    restrictions.set(MountFlags::NO_EXECUTE, !*executable);
    restrictions
}

fn unless_missing(errno: Errno) -> Result<(), String> {
    match errno {
        Errno::ENOENT => Ok(()),
        _ => Err(format!("cannot mount /dev and /proc: {errno}")),
    }
}

/// Damage is told even when the log is off: somebody tampers with the image, or a disk breaks.
fn reporter(machine: &'static dyn Machine, image: &str) -> Reporter {
    let name = image.to_string();
    Box::new(move |what| machine.log(LogLevel::Error, &format!("image `{name}`: {what}")))
}

/// An image that the host keeps.
struct ImageSource {
    machine: &'static dyn Machine,
    index: u32,
}

impl RawSource for ImageSource {
    fn read_raw(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        self.machine.read_image(self.index, offset, buffer)
    }
}

struct EnclaveClock(&'static dyn Machine);

impl vfs::Clock for EnclaveClock {
    fn now(&self) -> Timestamp {
        let now = self.0.clock(Clock::Realtime);
        Timestamp {
            seconds: now.seconds.cast_signed(),
            nanoseconds: now.nanoseconds,
        }
    }
}

struct EnclaveRandom(&'static dyn Machine);

impl devfs::Random for EnclaveRandom {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.random(buffer);
    }
}
