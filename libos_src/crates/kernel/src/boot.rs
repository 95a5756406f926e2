//! From the sealed configuration to the first process.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use config::MemoryModel;
use hal::{Errno, HostStart, Prot, StartError, UserRegs};
use vfs::{Follow, OpenFile, OpenFlags, Viewpoint};

use crate::Libos;
use crate::files::{Descriptor, Descriptors, HostStream};
use crate::libos::Task;
use crate::memory::{AddressSpace, Backing, Layout, Mapping, Paging, Placement, Purpose};
use crate::process::{NewProcess, Process};
use crate::process_files::ProcessFiles;
use crate::program::{Executable, StackPlan, load, push_stack};
use crate::signals::SignalSet;
use crate::threads::Thread;

/// The id of the first process.
const FIRST_PID: u32 = 1;

/// RFLAGS at the start of a program: interrupts on, and the bit that is always one.
const INITIAL_FLAGS: u64 = 0x202;

impl Libos {
    /// Mounts the file systems, loads the program that the configuration allows and makes the
    /// process that runs it.
    pub(crate) fn boot(&self, host: HostStart) -> Result<Task, StartError> {
        self.try_boot(&host)
            .map_err(|message| StartError { message })
    }

    fn try_boot(&self, host: &HostStart) -> Result<Task, String> {
        let argv = self
            .config
            .command_line(&host.argv)
            .map_err(|error| error.to_string())?;
        let env = self.config.variables(&host.env);
        let stdin = Arc::new(HostStream::new(self.machine, 0));
        let process_files = ProcessFiles::new(self.machine);
        let namespace = self.mount_all(&process_files, stdin.clone())?;
        let mut viewpoint = Viewpoint::new(namespace);
        self.enter_working_directory(&mut viewpoint)?;

        let path = argv.first().ok_or("the configuration has no command")?;
        let program = Executable::open(&viewpoint, path).map_err(|error| error.message)?;
        let memory = self.new_address_space()?;
        let loaded = load(&memory, &viewpoint, &program).map_err(|error| error.message)?;
        memory.begin_heap(loaded.end);
        let plan = StackPlan {
            loaded: &loaded,
            argv: &argv,
            env: &env,
            path,
        };
        let rsp = self.make_stack(&memory, &plan).map_err(|errno| {
            format!("cannot put arguments and environment on the stack: {errno}")
        })?;

        let process = Arc::new(Process::new(NewProcess {
            pid: FIRST_PID,
            memory,
            descriptors: self.standard_streams(&viewpoint, stdin)?,
            viewpoint,
            executable: program.location().clone(),
            arguments: argv.clone(),
            environment: env,
        }));
        process_files.show(&process);
        let name = thread_name(program.path());
        let start = UserRegs {
            rip: loaded.start,
            rsp,
            rflags: INITIAL_FLAGS,
            ..UserRegs::default()
        };
        let thread = process
            .add_thread(1, |tid| Thread::new(tid, name, SignalSet::default(), start))
            .map_err(|errno| errno.to_string())?;
        Ok(Task { process, thread })
    }

    fn enter_working_directory(&self, viewpoint: &mut Viewpoint) -> Result<(), String> {
        let path = &self.config.process.working_directory;
        let failed = |errno: Errno| format!("cannot enter the working directory `{path}`: {errno}");
        let location = viewpoint
            .resolve(None, path.as_bytes(), Follow::Yes)
            .map_err(failed)?;
        viewpoint.change_directory(&location).map_err(failed)
    }

    fn new_address_space(&self) -> Result<AddressSpace, String> {
        let sizes = &self.config.process;
        let layout = Layout::divide(
            self.machine.user_range(),
            sizes.stack_size_bytes,
            sizes.heap_size_bytes,
            sizes.mmap_size_bytes,
        )?;
        let paging = match self.config.memory.model {
            MemoryModel::Sgx1 => Paging::Eager,
            MemoryModel::Edmm => Paging::OnDemand,
        };
        Ok(AddressSpace::new(self.machine, layout, paging))
    }

    fn make_stack(&self, memory: &AddressSpace, plan: &StackPlan<'_>) -> Result<u64, Errno> {
        let stack = &memory.layout().stack;
        let mut prot = Prot::READ | Prot::WRITE;
        prot.set(Prot::EXEC, plan.loaded.needs_executable_stack);
        memory.map(Mapping {
            placement: Placement::FixedFree(stack.start),
            len: stack.end - stack.start,
            prot,
            backing: Backing::Zero,
            purpose: Purpose::Stack,
        })?;
        push_stack(memory, self.machine, plan)
    }

    fn standard_streams(
        &self,
        viewpoint: &Viewpoint,
        stdin: Arc<HostStream>,
    ) -> Result<Descriptors, String> {
        let mut descriptors = Descriptors::default();
        let stdout = Arc::new(HostStream::new(self.machine, 1));
        let stderr = Arc::new(HostStream::new(self.machine, 2));
        let streams = [
            (stdin, OpenFlags::empty()),
            (stdout, OpenFlags::WRITE_ONLY),
            (stderr, OpenFlags::WRITE_ONLY),
        ];
        for (stream, flags) in streams {
            // On a terminal any of them reads and writes.
            let flags = if stream.is_terminal() {
                OpenFlags::READ_WRITE
            } else {
                flags
            };
            let location = viewpoint.namespace.anonymous(stream, b"host stream");
            let file = OpenFile::new(location, flags).map_err(|errno| errno.to_string())?;
            descriptors
                .add(
                    0,
                    Descriptor {
                        file,
                        is_closed_on_exec: false,
                    },
                )
                .map_err(|errno| errno.to_string())?;
        }
        Ok(descriptors)
    }
}

/// The name of a program's first thread: the end of its path, cut.
fn thread_name(path: &[u8]) -> [u8; 16] {
    let file = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let mut name = [0; 16];
    let len = file.len().min(15);
    name[..len].copy_from_slice(&file[..len]);
    name
}
