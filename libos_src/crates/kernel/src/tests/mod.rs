//! The kernel as a program meets it: system calls by number, on a machine made of a vector.

mod answers;
mod families;
mod files;
mod futexes;
mod images;
mod inotify;
mod job_control;
mod liars;
mod machine;
mod mappings;
mod message_queues;
mod pipes;
mod processes;
mod room;
mod signals;
mod sockets;
mod system_v;
mod terminals;
mod texts;
mod timers;
mod waiting;

use std::ops::Range;
use std::sync::Arc;

use config::Config;
use hal::{Errno, Kernel, Machine, Next, PAGE_SIZE, Prot, UserRegs};
use tmpfs::TmpFs;
use vfs::{Mode, MountFlags, Namespace, Timestamp, Viewpoint};

use crate::Libos;
use crate::files::{DESCRIPTORS_MAX, Descriptor, Descriptors, Fifos, HostStream};
use crate::libos::Task;
use crate::memory::{
    AddressSpace, Backing, Foundation, Layout, Mapping, Paging, Placement, Purpose,
};
use crate::processes::{Kinship, Limits, NewProcess, Places, Process, ProgramRecord, Standing};
use crate::signals::{ProcessSignals, SignalSet};
use crate::threads::{Scheduler, Thread};

use machine::{TestMachine, become_thread};

/// A process with one thread, a root in memory and a page to pass arguments in.
struct World {
    /// Leaked, so that threads may outlive the world.
    libos: &'static Libos,
    machine: &'static TestMachine,
    process: Arc<Process>,
    /// A page that the program may read and write.
    page: u64,
    regs: UserRegs,
}

struct Noon;

impl vfs::Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp {
            seconds: 43200,
            nanoseconds: 0,
        }
    }
}

impl World {
    fn new() -> Self {
        Self::with(Paging::Eager, 4096)
    }

    fn with(paging: Paging, pages: usize) -> Self {
        let machine = TestMachine::new(pages);
        let user = machine.user_range();
        let memory_bytes = user.end - user.start;
        Self::on(machine, user, paging, memory_bytes)
    }

    /// A world whose programs have so much memory, at the addresses in `backed`.
    fn on(
        machine: &'static TestMachine,
        backed: Range<u64>,
        paging: Paging,
        memory_bytes: u64,
    ) -> Self {
        let config = Config::parse(config::EXAMPLE.as_bytes()).expect("the example is valid");
        let threads = config.threads.max;
        let mut libos = Libos::new(machine, config);
        // An enclave thread that has nothing to do leaves, so that a test can join it.
        libos.scheduler = Scheduler::new(threads, 0);
        let libos: &'static Libos = Box::leak(Box::new(libos));
        let user = machine.user_range();
        let layout = Layout::divide(user, backed, memory_bytes, 1 << 20, 1 << 20, 16 << 20);
        let foundation = Foundation::new(machine, layout.expect("it fits"), paging);
        let memory = AddressSpace::new(&foundation);
        libos.foundation.call_once(|| foundation);
        memory.begin_heap(0x20_0000);
        let namespace = empty_root();
        namespace.serve_special_files(Arc::new(Fifos::new(machine, None)));
        let viewpoint = Viewpoint::new(namespace);
        let process = libos.processes.add_process(0, Kinship::Child(None), |pid| {
            Ok(Arc::new(Process::new(NewProcess {
                pid,
                memory: memory.clone(),
                places: Places::new(host_streams(machine, &viewpoint), viewpoint.clone()),
                program: Arc::new(ProgramRecord {
                    executable: viewpoint.root.keep_unwritten().ok(),
                }),
                signals: ProcessSignals::default(),
                limits: Limits::new(&[(Limits::DESCRIPTORS, DESCRIPTORS_MAX as u64)]),
                standing: Standing::default(),
                began: libos.now(),
            })))
        });
        let process = process.expect("the first process");
        let start = UserRegs {
            rip: 0x1_0000,
            ..UserRegs::default()
        };
        let thread = Arc::new(Thread::new(
            process.pid,
            [0; 16],
            SignalSet::default(),
            start,
        ));
        process.add_thread(thread.clone());
        libos.scheduler.admit().expect("the first thread");
        become_thread(0);
        libos.take_memory(&process, &thread, &memory);
        let context = libos.occupy(Task::new(process.clone(), thread));
        let regs = context.regs;
        let page = memory.map(Mapping {
            placement: Placement::Hint(0),
            len: PAGE_SIZE,
            prot: Prot::READ | Prot::WRITE,
            backing: Backing::Zero,
            purpose: Purpose::Program,
            most: Prot::all(),
            grows_down: false,
            is_unreserved: false,
        });
        Self {
            libos,
            machine,
            process,
            page: page.expect("a page"),
            regs,
        }
    }

    /// Makes a system call and leaves the registers as it left them.
    fn serve(&mut self, number: u64, arguments: &[u64]) -> Next {
        self.regs.rax = number;
        let mut all = [0xdead_beef_dead_beef; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        [
            self.regs.rdi,
            self.regs.rsi,
            self.regs.rdx,
            self.regs.r10,
            self.regs.r8,
            self.regs.r9,
        ] = all;
        self.libos.syscall(&mut self.regs)
    }

    /// Makes a system call after which the program goes on; its result.
    fn call(&mut self, number: u64, arguments: &[u64]) -> Result<u64, Errno> {
        assert_eq!(self.serve(number, arguments), Next::Return);
        match self.regs.rax.cast_signed() {
            error @ -4095..0 => Err(Errno::from_code(-error).expect("an error of Linux")),
            value => Ok(value.cast_unsigned()),
        }
    }

    /// Puts bytes into the page and returns their address.
    fn put(&self, offset: u64, bytes: &[u8]) -> u64 {
        let address = self.page + offset;
        self.process
            .memory()
            .copy_out(address, bytes)
            .expect("the page is writable");
        address
    }

    /// Reads from program memory.
    fn get<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.process
            .memory()
            .copy_in(address, &mut bytes)
            .expect("readable");
        bytes
    }

    fn log(&self) -> String {
        self.machine.lines.lock().expect("not poisoned").join("\n")
    }
}

fn empty_root() -> Arc<Namespace> {
    let root = TmpFs::new(1 << 20, Mode::from_low_bits(0o755), Arc::new(Noon)).expect("room");
    Namespace::new(root, MountFlags::default()).expect("a directory")
}

/// A descriptor of some file.
pub(crate) fn descriptor() -> Descriptor {
    use vfs::{OpenFile, OpenFlags};
    let machine = TestMachine::new(0);
    let viewpoint = Viewpoint::new(empty_root());
    let stream = Arc::new(HostStream::new(machine, 0));
    let location = viewpoint.namespace.anonymous(stream, b"stream");
    Descriptor {
        file: OpenFile::new(location, OpenFlags::empty()).expect("it opens"),
        is_closed_on_exec: false,
    }
}

fn host_streams(machine: &'static TestMachine, viewpoint: &Viewpoint) -> Descriptors {
    use vfs::{OpenFile, OpenFlags};
    let mut descriptors = Descriptors::default();
    for (fd, flags) in [(0, OpenFlags::empty()), (1, OpenFlags::WRITE_ONLY)] {
        let stream = Arc::new(HostStream::new(machine, fd));
        let location = viewpoint.namespace.anonymous(stream, b"stream");
        let file = OpenFile::new(location, flags).expect("it opens");
        descriptors
            .add(
                0,
                Descriptor {
                    file,
                    is_closed_on_exec: false,
                },
            )
            .expect("room");
    }
    descriptors
}
