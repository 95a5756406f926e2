//! Delivering signals to the thread that is about to go on with its program.

use alloc::format;

use hal::{ExceptionInfo, LogLevel, Next, UserRegs, Vector};

use super::exception::{access_of, signal_of};
use super::frame::{self, FramePlan};
use super::{Action, DefaultAction, Signal, SignalInfo, SignalSet};
use crate::Libos;
use crate::process::Process;
use crate::threads::Thread;

/// A system call that a signal stopped before it had done anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted {
    /// Its number, to put back in `rax` when it starts again.
    pub(crate) number: u64,
}

/// Bytes of the `syscall` instruction, which is intact at patched sites, too.
const SYSCALL_BYTES: u64 = 2;

impl Libos {
    /// Delivers what is pending and not blocked, before a thread returns to its program.
    pub(crate) fn deliver_signals(
        &self,
        process: &Process,
        thread: &Thread,
        regs: &mut UserRegs,
        mut interrupted: Option<Interrupted>,
    ) -> Next {
        while let Some((signal, info)) = self.take_signal(process, thread) {
            let action = process.signals.lock().take_action(signal);
            if action.ignores(signal) {
                continue;
            }
            if !action.has_handler() {
                match self.default_action(signal) {
                    Next::Return => continue,
                    end => return end,
                }
            }
            if let Some(call) = interrupted.take().filter(|_| action.restarts()) {
                restart(regs, call);
            }
            if !self.enter_handler(process, thread, regs, signal, &info, &action, None) {
                return self.killed_by(Signal::SEGV, "the stack cannot hold a signal frame");
            }
        }
        if let Some(call) = interrupted {
            restart(regs, call);
        }
        thread.signals.lock().restore_suspended_mask();
        Next::Return
    }

    /// Turns a fault of the program into a signal, unless it only needed a page.
    pub(crate) fn serve_exception(
        &self,
        process: &Process,
        thread: &Thread,
        regs: &mut UserRegs,
        info: ExceptionInfo,
    ) -> Next {
        if info.vector == Vector::PAGE_FAULT {
            let fault = process.memory.fault_in(info.address, access_of(info.error));
            if thread.may_try_again(fault, info.address) {
                return Next::Return;
            }
        }
        let (signal, signal_info) = signal_of(&process.memory, self.machine, regs, &info);
        if info.vector == Vector::BREAKPOINT {
            // A trap, not a fault: the program goes on after the one-byte instruction.
            regs.rip = regs.rip.wrapping_add(1);
        }
        let action = process.signals.lock().take_action(signal);
        let is_blocked = thread.signals.lock().mask.contains(signal);
        let handled = action.has_handler()
            && !is_blocked
            && self.enter_handler(
                process,
                thread,
                regs,
                signal,
                &signal_info,
                &action,
                Some(info),
            );
        if handled {
            return self.deliver_signals(process, thread, regs, None);
        }
        self.machine.log(
            LogLevel::Error,
            &format!(
                "the program was killed by SIG{}: exception {} at {:#x}, address {:#x}",
                signal.name(),
                info.vector.0,
                process.memory.program_address(regs.rip),
                info.address
            ),
        );
        Next::ExitProcess(128 + i32::from(signal.number()))
    }

    fn take_signal(&self, process: &Process, thread: &Thread) -> Option<(Signal, SignalInfo)> {
        let mut signals = thread.signals.lock();
        let mask = signals.mask;
        let own = signals.pending.take(mask);
        drop(signals);
        own.or_else(|| process.signals.lock().pending.take(mask))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all of them describe one delivery"
    )]
    fn enter_handler(
        &self,
        process: &Process,
        thread: &Thread,
        regs: &mut UserRegs,
        signal: Signal,
        info: &SignalInfo,
        action: &Action,
        exception: Option<ExceptionInfo>,
    ) -> bool {
        let mut signals = thread.signals.lock();
        let plan = FramePlan {
            signal,
            info,
            action,
            mask: signals.mask_to_restore(),
            alternate_stack: signals.alternate_stack,
            exception,
        };
        if frame::push(&process.memory, self.machine, regs, &plan).is_err() {
            return false;
        }
        signals.alternate_stack = signals.alternate_stack.after_use();
        signals.mask = signals.mask.union(action.blocks(signal));
        signals.forget_suspended_mask();
        true
    }

    fn default_action(&self, signal: Signal) -> Next {
        match signal.default_action() {
            DefaultAction::Ignore => Next::Return,
            DefaultAction::Terminate => Next::ExitProcess(128 + i32::from(signal.number())),
            DefaultAction::Stop => {
                let line = format!(
                    "SIG{} does not stop the program: job control comes in a later version",
                    signal.name()
                );
                self.machine.log(LogLevel::Warning, &line);
                Next::Return
            }
        }
    }

    fn killed_by(&self, signal: Signal, reason: &str) -> Next {
        let line = format!("the program was killed by SIG{}: {reason}", signal.name());
        self.machine.log(LogLevel::Error, &line);
        Next::ExitProcess(128 + i32::from(signal.number()))
    }

    /// Sends a signal to one thread.
    pub(crate) fn send_to_thread(
        &self,
        process: &Process,
        thread: &Thread,
        signal: Signal,
        info: SignalInfo,
    ) -> Result<(), hal::Errno> {
        if process.signals.lock().action(signal).ignores(signal) {
            return Ok(());
        }
        if !thread.signals.lock().pending.add(signal, info) {
            return Err(hal::Errno::EAGAIN);
        }
        thread.look_at_signals();
        self.machine.interrupt(thread.number());
        Ok(())
    }

    /// Sends a signal to the process: a thread that does not block it takes it.
    pub(crate) fn send_to_process(
        &self,
        process: &Process,
        signal: Signal,
        info: SignalInfo,
    ) -> Result<(), hal::Errno> {
        let mut signals = process.signals.lock();
        if signals.action(signal).ignores(signal) {
            return Ok(());
        }
        if !signals.pending.add(signal, info) {
            return Err(hal::Errno::EAGAIN);
        }
        drop(signals);
        for thread in process.threads() {
            thread.look_at_signals();
            if !thread.signals.lock().mask.contains(signal) {
                self.machine.interrupt(thread.number());
            }
        }
        Ok(())
    }
}

/// Makes the program run the system call again.
const fn restart(regs: &mut UserRegs, call: Interrupted) {
    regs.rip = regs.rip.wrapping_sub(SYSCALL_BYTES);
    regs.rax = call.number;
}

/// The signals of one thread.
#[derive(Debug, Default)]
pub(crate) struct ThreadSignals {
    /// What it blocks.
    pub(crate) mask: SignalSet,
    /// What was sent to it alone.
    pub(crate) pending: super::Pending,
    /// Where its handlers may run.
    pub(crate) alternate_stack: super::AlternateStack,
    /// The mask to go back to after a call that replaced it while it waited.
    suspended_mask: Option<SignalSet>,
}

impl ThreadSignals {
    /// Those of a thread that blocks `mask`.
    pub(crate) fn blocking(mask: SignalSet) -> Self {
        Self {
            mask,
            ..Self::default()
        }
    }

    /// Replaces the mask until the system call at hand is over and its signals are delivered.
    pub(crate) fn suspend_mask(&mut self, mask: SignalSet) {
        self.suspended_mask = Some(self.mask);
        self.mask = mask;
    }

    /// Goes back to the mask from before the call, if it was replaced.
    pub(crate) fn restore_suspended_mask(&mut self) {
        if let Some(mask) = self.suspended_mask.take() {
            self.mask = mask;
        }
    }

    fn mask_to_restore(&self) -> SignalSet {
        self.suspended_mask.unwrap_or(self.mask)
    }

    fn forget_suspended_mask(&mut self) {
        self.suspended_mask = None;
    }
}

/// The signals of a process.
#[derive(Debug, Default)]
pub(crate) struct ProcessSignals {
    actions: super::Actions,
    /// What was sent to the process as a whole.
    pub(crate) pending: super::Pending,
}

impl ProcessSignals {
    /// What is to be done with a signal.
    pub(crate) const fn action(&self, signal: Signal) -> Action {
        self.actions.get(signal)
    }

    /// Changes what is to be done with a signal, and returns what was.
    pub(crate) fn replace_action(&mut self, signal: Signal, action: Action) -> Action {
        if action.ignores(signal) {
            self.pending.forget(signal);
        }
        self.actions.replace(signal, action)
    }

    /// The action for a delivery that happens now: a one-shot handler is gone afterwards.
    fn take_action(&mut self, signal: Signal) -> Action {
        let action = self.actions.get(signal);
        if action.has_handler() && action.is_one_shot() {
            self.actions.replace(signal, Action::default());
        }
        action
    }
}
