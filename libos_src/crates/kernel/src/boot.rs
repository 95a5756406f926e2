//! From the sealed configuration to the first process.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use config::MemoryModel;
use hal::{Errno, HostStart, StartError};
use vfs::{Follow, OpenFile, OpenFlags, Viewpoint};

use crate::Libos;
use crate::files::{DESCRIPTORS_MAX, DESCRIPTORS_USUAL, Descriptor, Descriptors, HostStream};
use crate::libos::Task;
use crate::memory::{AddressSpace, Foundation, Layout, Paging};
use crate::processes::{
    FIRST_PID, Kinship, Limits, NewProcess, Places, Process, ProcessFiles, ProgramRecord, Standing,
};
use crate::program::{Executable, Invocation};
use crate::signals::{ProcessSignals, SignalSet};
use crate::syscalls::answers;
use crate::threads::Thread;

/// How many signals may wait for the processes of a user (`RLIMIT_SIGPENDING`).
const PENDING_SIGNALS_MAX: u64 = 4096;
/// What the message queues of a user may take (`RLIMIT_MSGQUEUE`), as Linux has it.
const MESSAGE_QUEUES_BYTES: u64 = 819_200;

impl Libos {
    /// Mounts the file systems, loads the program that the configuration allows and makes the
    /// process that runs it.
    pub(crate) fn boot(&self, host: HostStart) -> Result<Task, StartError> {
        self.check_listeners()
            .and_then(|()| self.try_boot(&host))
            .map_err(|message| StartError { message })
    }

    fn try_boot(&self, host: &HostStart) -> Result<Task, String> {
        answers::begin(self.machine);
        let argv = self
            .config
            .command_line(&host.argv)
            .map_err(|error| error.to_string())?;
        let env = self.config.variables(&host.env);
        let stdin = Arc::new(HostStream::new(self.machine, 0));
        if !stdin.is_terminal() {
            // Then the first process takes another one, as a leader without a terminal does.
            self.terminals.console.release(FIRST_PID);
        }
        let process_files = ProcessFiles::new(self);
        let namespace = self.mount_all(&process_files, stdin.clone())?;
        let mut viewpoint = Viewpoint::new(namespace);
        self.enter_working_directory(&mut viewpoint)?;

        let path = argv.first().ok_or("the configuration has no command")?;
        let file = Executable::open(&viewpoint, path).map_err(|error| error.message)?;
        let path = path.clone();
        let invocation = Invocation::new(&viewpoint, file, &path, argv, env);
        let invocation = invocation.map_err(|error| error.message)?;
        let foundation = self.foundation()?;
        let memory = AddressSpace::new(&foundation);
        let start = self.start_program(&memory, &invocation);
        let start = start.map_err(|error| error.message)?;
        let name = invocation.thread_name();
        let limits = self.limits(&foundation.layout);
        self.foundation.call_once(|| foundation);

        let descriptors = self.standard_streams(&viewpoint, stdin)?;
        let program = ProgramRecord {
            executable: Some(invocation.program.file.running().clone()),
        };
        let process = self.processes.add_process(0, Kinship::Child(None), |pid| {
            Ok(Arc::new(Process::new(NewProcess {
                pid,
                memory: memory.clone(),
                places: Places::new(descriptors, viewpoint),
                signals: ProcessSignals::default(),
                limits,
                standing: Standing::default(),
                program: Arc::new(program),
                began: self.now(),
            })))
        });
        let process = process.map_err(|errno| errno.to_string())?;
        let thread = Arc::new(Thread::new(process.pid, name, SignalSet::default(), start));
        process.add_thread(thread.clone());
        self.scheduler.admit().map_err(|errno| errno.to_string())?;
        self.listen_to_host();
        Ok(Task::new(process, thread))
    }

    /// The limits of the first process, which others inherit: those of the configuration.
    fn limits(&self, layout: &Layout) -> Limits {
        let mut limits = Limits::new(&[
            (Limits::STACK, layout.stack_bytes),
            (Limits::CORE, 0),
            (Limits::PENDING_SIGNALS, PENDING_SIGNALS_MAX),
            (Limits::MESSAGE_QUEUES, MESSAGE_QUEUES_BYTES),
            (Limits::NICE, 0),
            (Limits::REAL_TIME_PRIORITY, 0),
            (Limits::PROCESSES, self.config.threads.max.into()),
            (Limits::DESCRIPTORS, DESCRIPTORS_MAX as u64),
        ]);
        limits.lower(Limits::DESCRIPTORS, DESCRIPTORS_USUAL as u64);
        limits
    }

    fn enter_working_directory(&self, viewpoint: &mut Viewpoint) -> Result<(), String> {
        let path = &self.config.process.working_directory;
        let failed = |errno: Errno| format!("cannot enter the working directory `{path}`: {errno}");
        let location = viewpoint
            .resolve(None, path.as_bytes(), Follow::Yes)
            .map_err(failed)?;
        viewpoint.change_directory(&location).map_err(failed)
    }

    fn foundation(&self) -> Result<Foundation, String> {
        let sizes = &self.config.process;
        let user = self.machine.user_range();
        let memory_bytes = self.config.memory.user_space_size_bytes;
        // With SGX1 the memory was added at the first addresses, and stays there.
        let backed = match self.config.memory.model {
            MemoryModel::Sgx1 => user.start..user.end.min(user.start + memory_bytes),
            MemoryModel::Edmm => user.clone(),
        };
        let layout = Layout::divide(
            user,
            backed,
            memory_bytes,
            sizes.stack_size_bytes,
            sizes.heap_size_bytes,
            sizes.mmap_size_bytes,
        )?;
        let paging = match self.config.memory.model {
            MemoryModel::Sgx1 => Paging::Eager,
            MemoryModel::Edmm => Paging::OnDemand,
        };
        Ok(Foundation::new(self.machine, layout, paging))
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
            // Programs ask for the name of a terminal.
            let console = viewpoint.resolve(None, b"/dev/console", Follow::Yes);
            let file = match console {
                Ok(console) if stream.is_terminal() => OpenFile::through(console, stream, flags),
                _ => {
                    let location = viewpoint.namespace.anonymous(stream, b"host stream");
                    OpenFile::new(location, flags).map_err(|errno| errno.to_string())?
                }
            };
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
