//! One system call on its way through the kernel.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use hal::{Errno, UserRegs};
use vfs::{Location, PATH_MAX_BYTES};

use super::argument::{AT_WORKING_DIRECTORY, Address};
use super::{answers, room, table};
use crate::Libos;
use crate::libos::{Task, Then};
use crate::memory::AddressSpace;
use crate::processes::{Process, Vfork};
use crate::signals::{Interrupted, StartsAgain};
use crate::threads::{Deadline, Resume, Sample, Thread};
use crate::tracing::Traced;

/// A system call that is being served: who asks, and with what registers.
pub(crate) struct Call<'a> {
    pub(crate) libos: &'a Libos,
    pub(crate) task: &'a Task,
    pub(crate) process: &'a Arc<Process>,
    pub(crate) thread: &'a Arc<Thread>,
    pub(crate) regs: &'a mut UserRegs,
    /// What follows when the thread does not go on: see [`Call::leave`].
    pub(crate) then: Option<Then>,
}

/// What a system call gives: the value for `rax`, or why there is none.
pub(crate) type Outcome = Result<u64, Stop>;

/// Why a system call has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It failed.
    Errno(Errno),
    /// A signal came before anything was done: it starts again, or fails with `EINTR` if the
    /// signal's handler wants that.
    Restart,
    /// The same, but it starts again whatever the handler wants.
    RestartAlways,
    /// A signal came before anything was done, or the wait was over: if a handler runs, it fails with
    /// `EINTR` whatever the handler wants. If none does, as after a stop, it starts again, and a wait
    /// that has a time ends at the same deadline (`restart_syscall(2)`).
    RestartUnhandled(Deadline),
    /// The thread does not go on; [`Call::leave`] makes it.
    Leave,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl Call<'_> {
    /// Serves the call, and then delivers signals.
    pub(crate) fn serve(mut self) -> Then {
        let number = self.regs.rax;
        let UserRegs {
            rdi,
            rsi,
            rdx,
            r10,
            r8,
            r9,
            ..
        } = *self.regs;
        let arguments = [rdi, rsi, rdx, r10, r8, r9];
        let number_of_thread = self.thread.number();
        let machine = self.libos.machine;
        let is_known = answers::can_be_known(number);
        let is_often_served = is_known || number == answers::CLOCK_GETTIME;
        let is_looked_at = self.thread.counts_call() || (is_often_served && machine.is_looked_at());
        let sample = is_looked_at.then(|| Sample::begin(machine, number_of_thread));
        let traced = Traced::begin(&self, number, arguments);
        let outcome = self
            .check_room(number)
            .and_then(|()| table::dispatch(&mut self, number, arguments));
        if is_known {
            self.answer_ahead();
        }
        self.libos.send_raised_signals();
        if let Some(sample) = sample {
            let (time, now) = sample.end(machine, number_of_thread);
            self.thread.processor_time.lock().count_call(time, now);
        }
        let mut interrupted = None;
        self.regs.rax = match outcome {
            Ok(value) => value,
            Err(Stop::Errno(errno)) => errno.to_return_value(),
            Err(stop @ (Stop::Restart | Stop::RestartAlways | Stop::RestartUnhandled(_))) => {
                interrupted = Some(Interrupted {
                    number,
                    starts_again: match stop {
                        Stop::RestartAlways => StartsAgain::Always,
                        Stop::RestartUnhandled(deadline) => StartsAgain::Unhandled(deadline),
                        _ => StartsAgain::AsHandlerWants,
                    },
                });
                Errno::EINTR.to_return_value()
            }
            Err(Stop::Leave) => {
                let then = self.then.take().unwrap_or(Then::Return);
                traced.left(&self, &then);
                return then;
            }
        };
        match interrupted {
            None => traced.returned(&self, self.regs.rax),
            Some(_) => traced.interrupted(&self),
        }
        if interrupted.is_none() && !self.thread.must_look_at_signals() {
            return Then::Return;
        }
        if self.regs.rax != Errno::EINTR.to_return_value() {
            // It came to its end: what its own mask lets through did not stop it, and waits.
            self.libos.restore_mask(self.process, self.thread);
        }
        (self.libos).deliver_signals(self.task, self.regs, interrupted)
    }

    /// Serves the call `number` again, in which the thread waited.
    pub(crate) fn again(self, number: u64) -> Then {
        self.regs.rax = number;
        self.serve()
    }

    /// Goes on after a child that borrowed the memory of this process has left it.
    pub(crate) fn after_vfork(self, vfork: Arc<Vfork>) -> Then {
        self.thread.before_looking();
        let is_over = self.process.is_killed(self.thread);
        if !is_over && !vfork.is_over.load(Ordering::Acquire) {
            return Then::Suspend(Resume::Vfork(vfork));
        }
        self.regs.rax = vfork.child.into();
        (self.libos).deliver_signals(self.task, self.regs, None)
    }

    /// Ends the call without a value: `then` follows.
    pub(super) fn leave(&mut self, then: Then) -> Stop {
        self.then = Some(then);
        Stop::Leave
    }

    /// When a wait ends that has just begun: at the deadline of the call that starts again, if it
    /// does, else at a new one.
    pub(super) fn deadline(&self, new: Deadline) -> Deadline {
        self.thread.take_deadline().unwrap_or(new)
    }

    /// The thread gives up its enclave thread until it is woken, and then makes the call `number`,
    /// which is the one at hand, again. Whoever wakes it was told of it before it last looked.
    pub(super) fn wait_without_thread(&mut self, number: u64) -> Stop {
        self.leave(Then::Suspend(Resume::Call(number)))
    }

    /// Refuses a call that would leave something in a kernel heap that is nearly full.
    fn check_room(&self, number: u64) -> Result<(), Stop> {
        let check = match number {
            _ if room::is_needed(number) => room::check,
            _ if room::removes_a_name(number) => room::check_to_go_on,
            _ => return Ok(()),
        };
        Ok(check(self.libos.machine).inspect_err(|_| self.report_full_heap())?)
    }

    /// Says once what to do about a full heap.
    pub(super) fn report_full_heap(&self) {
        self.libos.report_once(
            self.regs.rax,
            "the LibOS heap is nearly full; ENOMEM: raise `kernel_space_heap_size`",
        );
    }

    /// The memory of the process.
    pub(crate) fn memory(&self) -> &AddressSpace {
        &self.task.memory
    }

    /// Reads a path argument, which is not empty.
    pub(super) fn path(&self, address: Address) -> Result<Vec<u8>, Errno> {
        let path = self.path_or_nothing(address)?;
        if path.is_empty() {
            Err(Errno::ENOENT)
        } else {
            Ok(path)
        }
    }

    /// Reads a path argument that may be empty.
    pub(super) fn path_or_nothing(&self, address: Address) -> Result<Vec<u8>, Errno> {
        self.memory()
            .read_string(address.0, PATH_MAX_BYTES, Errno::ENAMETOOLONG)
    }

    /// Where a relative path starts: the place of a directory descriptor, or `None` for the working
    /// directory. An absolute path needs neither.
    pub(super) fn base(&self, directory: i32, path: &[u8]) -> Result<Option<Location>, Errno> {
        if directory == AT_WORKING_DIRECTORY || path.first() == Some(&b'/') {
            return Ok(None);
        }
        let descriptors = self.task.places.files.read();
        Ok(Some(descriptors.file(directory)?.location().clone()))
    }
}
