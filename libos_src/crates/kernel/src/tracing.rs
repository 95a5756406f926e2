//! Telling the host what the program does: for debugging, where the configuration allows that.

use alloc::format;
use alloc::string::String;

use hal::LogLevel;
use trace::Line;

use crate::Libos;
use crate::libos::{Task, Then};
use crate::memory::AddressSpace;
use crate::processes::Process;
use crate::signals::{Signal, SignalInfo};
use crate::syscalls::Call;
use crate::threads::{Resume, Thread};

/// Program memory as the program itself may read it.
struct Readable<'a>(&'a AddressSpace);

impl trace::Memory for Readable<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        self.0.copy_in(address, buffer).is_ok()
    }
}

impl Libos {
    /// Refuses a host that wants to know more than the configuration lets it.
    pub(crate) fn check_listeners(&self) -> Result<(), String> {
        let wants = |level| self.machine.listens(level);
        let wanted = match (wants(LogLevel::Trace), wants(LogLevel::Mapping)) {
            _ if self.config.debuggable => return Ok(()),
            (false, false) => return Ok(()),
            (true, _) => "to trace system calls",
            (false, true) => "to know what code is mapped",
        };
        Err(format!(
            "the host wants {wanted}, but the sealed configuration forbids debugging: only an \
             enclave with `metadata.debuggable: true` in Occlum.yaml, which has another \
             measurement, tells"
        ))
    }
}

/// A system call that is being traced, or not.
#[derive(Debug)]
pub(crate) struct Traced(Option<Line>);

impl Traced {
    /// Begins to trace a call, if somebody listens. `arguments` are the registers.
    pub(crate) fn begin(call: &Call<'_>, number: u64, arguments: [u64; 6]) -> Self {
        let listens = call.libos.machine.listens(LogLevel::Trace);
        Self(listens.then(|| Line::begin(number, arguments, &Readable(call.memory()))))
    }

    /// The call came back with this in `rax`.
    pub(crate) fn returned(self, call: &Call<'_>, result: u64) {
        if let Some(line) = self.0 {
            print(call, &line.finish(result, &Readable(call.memory())));
        }
    }

    /// The call did nothing and starts again after a signal.
    pub(crate) fn interrupted(self, call: &Call<'_>) {
        if let Some(line) = self.0 {
            print(call, &format!("{} (interrupted)", line.unfinished()));
        }
    }

    /// The thread does not go on from here. A call in which it waits will be made again, and is
    /// told of when it is over.
    pub(crate) fn left(self, call: &Call<'_>, then: &Then) {
        let Some(line) = self.0 else { return };
        match then {
            Then::Suspend(Resume::Call(_)) => {}
            Then::Replace(_) => print(call, &line.finish(0, &Readable(call.memory()))),
            _ => print(call, &line.unfinished()),
        }
    }
}

/// Tells that a signal is delivered.
pub(crate) fn signal(libos: &Libos, task: &Task, signal: Signal, info: &SignalInfo) {
    if libos.machine.listens(LogLevel::Trace) {
        let line = format!(
            "{}--- SIG{} {} ---",
            prefix(&task.process, &task.thread),
            signal.name(),
            info.summary()
        );
        libos.machine.log(LogLevel::Trace, &line);
    }
}

fn print(call: &Call<'_>, text: &str) {
    let line = format!("{}{text}", prefix(call.process, call.thread));
    call.libos.machine.log(LogLevel::Trace, &line);
}

/// The process, and the thread unless it is the first of the process.
fn prefix(process: &Process, thread: &Thread) -> String {
    let (pid, tid) = (process.pid, thread.tid());
    let thread = if pid == tid {
        String::new()
    } else {
        format!(":{tid}")
    };
    format!("[{pid}{thread}] ")
}
