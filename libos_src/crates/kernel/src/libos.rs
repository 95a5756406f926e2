//! The kernel as a whole.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use config::Config;
use hal::{ExceptionInfo, HostStart, Kernel, LogLevel, Machine, Next, StartError, UserRegs};
use locks::{Mutex, Once, RwLock};

use crate::process::Process;
use crate::syscalls::{self, Call};
use crate::threads::{Futexes, Thread};

/// The LibOS of one enclave.
pub struct Libos {
    pub(crate) machine: &'static dyn Machine,
    pub(crate) config: Config,
    pub(crate) futexes: Futexes,
    pub(crate) process: Once<Arc<Process>>,
    /// Who runs on each enclave thread. Only that thread changes its slot.
    slots: Box<[RwLock<Option<Task>>]>,
    reported: Mutex<BTreeSet<u64>>,
    /// What the next file without a path is numbered, as `/proc` shows it.
    next_inode: AtomicU64,
}

/// A thread and the process that it belongs to.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) process: Arc<Process>,
    pub(crate) thread: Arc<Thread>,
}

/// Above all numbers of Linux's system calls.
const NUMBERS_END: u64 = 1024;

impl Libos {
    /// A kernel that has no process yet; [`Kernel::start`] makes it.
    #[must_use]
    pub fn new(machine: &'static dyn Machine, config: Config) -> Self {
        Self {
            machine,
            futexes: Futexes::new(),
            process: Once::new(),
            slots: (0..config.threads.max).map(|_| RwLock::new(None)).collect(),
            reported: Mutex::new(BTreeSet::new()),
            next_inode: AtomicU64::new(1),
            config,
        }
    }

    /// A number for a file without a path.
    pub(crate) fn next_inode(&self) -> u64 {
        self.next_inode.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts a task on the enclave thread that calls; returns the registers that it begins with.
    pub(crate) fn occupy(&self, task: Task) -> UserRegs {
        let number = self.machine.this_thread();
        let regs = task.thread.begin(number);
        *self.slot().write() = Some(task);
        regs
    }

    /// Logs a line about system call `number`, once for each number.
    pub(crate) fn report_once(&self, number: u64, reason: &str) {
        // All numbers that Linux does not have count as one: a program may try every one.
        let counted = number.min(NUMBERS_END);
        if self.config.disable_log || !self.reported.lock().insert(counted) {
            return;
        }
        let name = syscalls::name_of(number).unwrap_or("unknown");
        self.machine.log(
            LogLevel::Warning,
            &format!("system call {number} ({name}): {reason}"),
        );
    }

    fn slot(&self) -> &RwLock<Option<Task>> {
        // The machine promises a number below the number of TCSs, which is `threads.max`.
        &self.slots[self.machine.this_thread() as usize]
    }

    /// Runs `serve` as the task of the enclave thread that calls.
    fn as_current(&self, serve: impl FnOnce(&Task) -> Next) -> Next {
        let slot = self.slot();
        let occupied = slot.read();
        let Some(task) = occupied.as_ref() else {
            // Only the runtime can get here, by entering a thread that the kernel never started.
            return Next::ExitThread;
        };
        let next = serve(task);
        drop(occupied);
        if next != Next::Return {
            *slot.write() = None;
        }
        next
    }
}

impl Kernel for Libos {
    fn start(&self, host: HostStart) -> Result<UserRegs, StartError> {
        let task = self.boot(host)?;
        self.process.call_once(|| task.process.clone());
        Ok(self.occupy(task))
    }

    fn thread(&self, token: u64) -> UserRegs {
        let process = self.process.get();
        let thread = process.and_then(|process| Some((process, process.thread(token as u32)?)));
        match thread {
            Some((process, thread)) => self.occupy(Task {
                process: process.clone(),
                thread,
            }),
            // A token that the kernel did not give: address 0 is never mapped, so it faults.
            None => UserRegs::default(),
        }
    }

    fn syscall(&self, regs: &mut UserRegs) -> Next {
        self.as_current(|task| {
            let Task { process, thread } = task;
            Call {
                libos: self,
                process,
                thread,
                regs,
            }
            .serve()
        })
    }

    fn exception(&self, regs: &mut UserRegs, info: ExceptionInfo) -> Next {
        self.as_current(|task| self.serve_exception(&task.process, &task.thread, regs, info))
    }

    fn interrupted(&self, regs: &mut UserRegs) -> Next {
        self.as_current(|Task { process, thread }| {
            // A few instructions later it is in a system call, and looks at its signals there.
            if process.memory.is_in_stub(regs.rip) || !thread.must_look_at_signals() {
                return Next::Return;
            }
            self.deliver_signals(process, thread, regs, None)
        })
    }
}
