//! What the runtime asks of the kernel.

use alloc::string::String;

use crate::{ExceptionInfo, HostStart, UserRegs};

/// The LibOS kernel as the runtime sees it.
///
/// Each method is called on the enclave thread it is about, with that thread's user context saved,
/// on the kernel stack. Calls of different threads overlap.
pub trait Kernel: Sync {
    /// Builds the first process and returns the registers of its first thread.
    ///
    /// Called once, on the thread that becomes the first thread of the process. `host` is what the
    /// untrusted host asks for; the sealed configuration decides how much of it counts.
    fn start(&self, host: HostStart) -> Result<UserRegs, StartError>;

    /// Says with which registers the thread begins that `token` names.
    ///
    /// Called on the new thread, once per token that went through
    /// [`Machine::spawn_thread`](crate::Machine::spawn_thread), with the initial extended state as
    /// the user context. On [`Next::Return`] the thread begins with what `regs` holds then.
    fn thread(&self, token: u64, regs: &mut UserRegs) -> Next;

    /// Serves the system call that `regs` describes: number in `rax`, arguments in `rdi rsi rdx r10
    /// r8 r9`.
    ///
    /// `rip` is the address after the instruction (for a patched site too), and `rcx` and `r11` are
    /// already what the `syscall` instruction leaves. On [`Next::Return`] the thread goes on with
    /// whatever `regs` holds then.
    fn syscall(&self, regs: &mut UserRegs) -> Next;

    /// The program ran into an instruction at `rip` that an enclave cannot carry out, and that a patched text
    /// would not have had: a system call, which is served next, or `cpuid`.
    fn trapped(&self, rip: u64);

    /// Serves a fault of the program, at the instruction `regs.rip`.
    ///
    /// Only faults of program code arrive here: a fault inside the LibOS ends the enclave in the
    /// runtime.
    fn exception(&self, regs: &mut UserRegs, info: ExceptionInfo) -> Next;

    /// Keeps timers, and takes the host's signals, for as long as the enclave lives.
    ///
    /// Called at most once, on a thread of its own, after [`Kernel::start`]: when the kernel calls
    /// [`Machine::spawn_keeper`](crate::Machine::spawn_keeper), or the host has a signal.
    fn keep(&self) -> !;

    /// Looks after a thread that [`Machine::interrupt`](crate::Machine::interrupt) named, between
    /// two instructions of its program.
    ///
    /// Several interruptions may be one call, and there may be a call without one.
    fn interrupted(&self, regs: &mut UserRegs) -> Next;
}

/// What a thread does after the kernel has served it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The program goes on with the registers that the kernel left.
    Return,
    /// This thread is over; the runtime gives its TCS back.
    ExitThread,
    /// The process is over with this status: 0 to 255, or 128 + n when signal n ended it. No other
    /// thread may run on.
    ExitProcess(i32),
}

/// Why the first process cannot start; one line for a person, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// What is wrong and, where there is one, the next step.
    pub message: String,
}
