//! Delivering signals to the thread that is about to go on with its program.

use alloc::format;
use alloc::sync::Arc;

use hal::{ExceptionInfo, LogLevel, UserRegs, Vector};
use locks::Mutex;
use vfs::Readiness;

use super::exception::{absent_page, access_of, signal_of};
use super::frame::{self, FramePlan};
use super::{Action, DefaultAction, Room, Signal, SignalInfo, SignalSet};
use crate::Libos;
use crate::libos::{Task, Then};
use crate::memory::PageFault;
use crate::processes::{EndStatus, Process};
use crate::threads::{AfterFault, Deadline, Thread};
use crate::tracing;

/// A system call that a signal stopped before it had done anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted {
    /// Its number, to put back in `rax` when it starts again.
    pub(crate) number: u64,
    /// When it does.
    pub(crate) starts_again: StartsAgain,
}

/// When an interrupted system call starts again. Without a handler each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartsAgain {
    /// If the handler wants that.
    AsHandlerWants,
    /// Also if it does not.
    Always,
    /// Only if no handler runs; the wait in it then ends when it would have.
    Unhandled(Deadline),
}

/// Bytes of the `syscall` instruction, which is intact at patched sites, too.
const SYSCALL_BYTES: u64 = 2;

/// The error code of a page fault: an instruction of a program was to be read.
const FETCH: u32 = 0x14;

/// Why a program ends whose handler cannot run.
const NO_FRAME: &str = "the stack cannot hold a signal frame, or the handler could not return";

impl Libos {
    /// Delivers what is pending and not blocked, before a thread returns to its program.
    pub(crate) fn deliver_signals(
        &self,
        task: &Task,
        regs: &mut UserRegs,
        mut interrupted: Option<Interrupted>,
    ) -> Then {
        let Task {
            process, thread, ..
        } = task;
        loop {
            self.wait_while_stopped(task);
            self.make_way(task);
            if process.survivors.is_over_for(thread.tid()) {
                return self.end_thread(task, EndStatus::Exited(0));
            }
            let Some((signal, info)) = process.take_delivered(thread) else {
                // What the mask of the call kept away comes now.
                if self.restore_mask(process, thread) {
                    continue;
                }
                break;
            };
            let action = process.signals.lock().take_action(signal);
            if action.ignores(signal) {
                continue;
            }
            if !action.has_handler() {
                match self.default_action(task, signal) {
                    Then::Return => continue,
                    end => return end,
                }
            }
            let starts_again = |call: &Interrupted| match call.starts_again {
                StartsAgain::AsHandlerWants => action.restarts(),
                StartsAgain::Always => true,
                StartsAgain::Unhandled(_) => false,
            };
            if let Some(call) = interrupted.take().filter(starts_again) {
                restart(regs, call);
            }
            thread.keep_deadline(None);
            if !self.enter_handler(task, regs, signal, &info, &action, None)
                && (signal == Signal::SEGV || !self.enter_fault_handler(task, regs))
            {
                return self.killed_by(task, Signal::SEGV, NO_FRAME);
            }
        }
        if let Some(call) = interrupted {
            restart(regs, call);
            if let StartsAgain::Unhandled(deadline) = call.starts_again {
                thread.keep_deadline(Some(deadline));
            }
        }
        Then::Return
    }

    /// Turns a fault of the program into a signal, unless it only needed a page.
    pub(crate) fn serve_exception(
        &self,
        task: &Task,
        regs: &mut UserRegs,
        info: ExceptionInfo,
    ) -> Then {
        let Task {
            process,
            thread,
            memory,
            ..
        } = task;
        let mut is_absent = false;
        let is_outside = !memory.layout().user.contains(&regs.rip);
        let info = match info.vector {
            // A jump out of the enclave, which is a jump to nothing.
            Vector::GENERAL_PROTECTION if is_outside => ExceptionInfo {
                vector: Vector::PAGE_FAULT,
                error: FETCH,
                address: regs.rip,
            },
            _ => info,
        };
        if info.vector == Vector::PAGE_FAULT {
            let is_in_stub = memory.is_in_stub(regs.rip);
            let here = is_in_stub.then(|| memory.program_address(regs.rip));
            let served = self.serve_fault(task, info.address, access_of(info.error));
            if let Some(here) = here {
                // While it waited its stub may have gone elsewhere.
                regs.rip = memory.running_address(here);
            }
            let Some(fault) = served else {
                return self.deliver_signals(task, regs, None);
            };
            let is_same = |one, other| memory.is_same_page(one, other);
            let is_torn = fault == PageFault::Moved && thread.is_torn(regs, info.address, is_same);
            match thread.after_fault(fault, info.address) {
                AfterFault::TryAgain if is_torn => {}
                AfterFault::TryAgain => return Then::Return,
                AfterFault::GiveUp => {
                    let reason = "the host keeps a page from it that it has";
                    return self.killed_by(task, Signal::SEGV, reason);
                }
                AfterFault::Signal => {}
            }
            is_absent = fault == PageFault::Absent || is_torn;
        }
        let (signal, signal_info) = if is_absent {
            absent_page(info.address)
        } else {
            signal_of(memory, self.machine, regs, &info)
        };
        if info.vector == Vector::BREAKPOINT {
            // A trap, not a fault: the program goes on after the one-byte instruction.
            regs.rip = regs.rip.wrapping_add(1);
        }
        let action = process.signals.lock().take_action(signal);
        let is_blocked = thread.signals.lock().mask.contains(signal);
        if action.has_handler() && !is_blocked {
            let is_entered =
                self.enter_handler(task, regs, signal, &signal_info, &action, Some(info))
                    || (signal != Signal::SEGV && self.enter_fault_handler(task, regs));
            if is_entered {
                return self.deliver_signals(task, regs, None);
            }
            return self.killed_by(task, Signal::SEGV, NO_FRAME);
        }
        self.machine.log(
            LogLevel::Error,
            &format!(
                "the program was killed by SIG{}: exception {} at {:#x}, address {:#x}",
                signal.name(),
                info.vector.0,
                memory.program_address(regs.rip),
                info.address
            ),
        );
        self.report_crash(task, regs);
        self.end_process(task, EndStatus::Killed(signal))
    }

    /// Delivers signals to a thread between two instructions of its program.
    pub(crate) fn serve_interruption(&self, task: &Task, regs: &mut UserRegs) -> Then {
        if task.memory.is_in_stub(regs.rip) {
            // A few instructions later it is in a system call, and looks at its signals there.
            self.machine.take_answers();
            return Then::Return;
        }
        if !task.thread.must_look_at_signals() {
            return Then::Return;
        }
        // It may be on the way to a stub, which may be gone before it goes on.
        regs.rip = task.memory.program_address(regs.rip);
        self.deliver_signals(task, regs, None)
    }

    /// A thread has another mask until its call is over.
    pub(crate) fn suspend_mask(&self, process: &Process, thread: &Thread, mask: SignalSet) {
        let mut signals = thread.signals.lock();
        let before = signals.mask;
        signals.suspend_mask(mask);
        drop(signals);
        thread.look_at_signals();
        self.hand_signals_on(process, thread, before);
    }

    /// A thread goes back to the mask from before its call, if that replaced it; whether it did.
    pub(crate) fn restore_mask(&self, process: &Process, thread: &Thread) -> bool {
        let mut signals = thread.signals.lock();
        let before = signals.mask;
        let is_restored = signals.restore_suspended_mask();
        drop(signals);
        if is_restored {
            self.hand_signals_on(process, thread, before);
        }
        is_restored
    }

    /// A thread blocks other signals than `before`. If it is the first one, it may leave some to the
    /// others that it was to take.
    pub(crate) fn hand_signals_on(&self, process: &Process, thread: &Thread, before: SignalSet) {
        if thread.tid() != process.pid {
            return;
        }
        let blocked = thread.signals.lock().mask.difference(before);
        if blocked != SignalSet::default() {
            let left = process.signals.lock().pending.present();
            self.hand_on(process, left.intersection(blocked));
        }
    }

    /// Lets the other threads look which have signals of the process to take, now that the first one
    /// does not.
    pub(crate) fn hand_on(&self, process: &Process, left: SignalSet) {
        if left == SignalSet::default() {
            return;
        }
        for thread in process.threads() {
            if thread.tid() != process.pid {
                self.interrupt(&thread);
            }
        }
    }

    fn enter_handler(
        &self,
        task: &Task,
        regs: &mut UserRegs,
        signal: Signal,
        info: &SignalInfo,
        action: &Action,
        exception: Option<ExceptionInfo>,
    ) -> bool {
        tracing::signal(self, task, signal, info);
        let mut signals = task.thread.signals.lock();
        let plan = FramePlan {
            signal,
            info,
            action,
            mask: signals.mask_to_restore(),
            alternate_stack: signals.alternate_stack,
            exception,
        };
        if frame::push(&task.memory, self.machine, regs, &plan).is_err() {
            return false;
        }
        signals.alternate_stack = signals.alternate_stack.after_use();
        let before = signals.mask;
        signals.mask = before.union(action.blocks(signal));
        signals.forget_suspended_mask();
        drop(signals);
        self.hand_signals_on(&task.process, &task.thread, before);
        true
    }

    /// A handler could not be entered: the one for `SIGSEGV` is, if there is one and it can be.
    pub(crate) fn enter_fault_handler(&self, task: &Task, regs: &mut UserRegs) -> bool {
        let signal = Signal::SEGV;
        let action = task.process.signals.lock().take_action(signal);
        let is_blocked = task.thread.signals.lock().mask.contains(signal);
        let info = SignalInfo::from_kernel(signal);
        action.has_handler()
            && !is_blocked
            && self.enter_handler(task, regs, signal, &info, &action, None)
    }

    fn default_action(&self, task: &Task, signal: Signal) -> Then {
        match signal.default_action() {
            DefaultAction::Ignore => Then::Return,
            DefaultAction::Terminate => self.end_process(task, EndStatus::Killed(signal)),
            DefaultAction::Stop => {
                self.stop_process(&task.process, signal);
                Then::Return
            }
        }
    }

    pub(crate) fn killed_by(&self, task: &Task, signal: Signal, reason: &str) -> Then {
        let line = format!("the program was killed by SIG{}: {reason}", signal.name());
        self.machine.log(LogLevel::Error, &line);
        self.end_process(task, EndStatus::Killed(signal))
    }

    /// Sends a signal to one thread.
    pub(crate) fn send_to_thread(
        &self,
        process: &Process,
        thread: &Arc<Thread>,
        signal: Signal,
        info: SignalInfo,
    ) -> Result<(), hal::Errno> {
        self.send_to_thread_in(None, process, thread, signal, info)
    }

    /// The same, with room that is there already.
    pub(crate) fn send_to_thread_in(
        &self,
        room: Option<Room>,
        process: &Process,
        thread: &Arc<Thread>,
        signal: Signal,
        info: SignalInfo,
    ) -> Result<(), hal::Errno> {
        self.before_sending(process, signal);
        let is_kept = thread.signals.lock().keeps(signal);
        if process.signals.lock().action(signal).ignores(signal) && !is_kept {
            return Ok(());
        }
        let room = room.map_or_else(|| self.room_for(process, signal, &info), Ok)?;
        let is_new = thread.signals.lock().pending.add(signal, info, room);
        self.interrupt(thread);
        if is_new {
            self.signal_watchers.notify(Readiness::READABLE);
        }
        Ok(())
    }

    /// What a signal does that stops or continues, before anybody takes it.
    fn before_sending(&self, process: &Process, signal: Signal) {
        const STOPS: [Signal; 4] = [Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU];
        let forget = |undone: &[Signal]| {
            for &signal in undone {
                process.signals.lock().pending.forget(signal);
                for thread in process.threads() {
                    thread.signals.lock().pending.forget(signal);
                }
            }
        };
        if signal == Signal::CONT {
            forget(&STOPS);
            self.continue_process(process);
        } else if STOPS.contains(&signal) {
            forget(&[Signal::CONT]);
        }
    }

    /// Sends a signal to the process: a thread that does not block it takes it.
    pub(crate) fn send_to_process(
        &self,
        process: &Process,
        signal: Signal,
        info: SignalInfo,
    ) -> Result<(), hal::Errno> {
        self.send_to_process_in(None, process, signal, info)
    }

    /// The same, with room that is there already.
    pub(crate) fn send_to_process_in(
        &self,
        room: Option<Room>,
        process: &Process,
        signal: Signal,
        info: SignalInfo,
    ) -> Result<(), hal::Errno> {
        self.before_sending(process, signal);
        let threads = process.threads();
        let takes = |thread: &Arc<Thread>| !thread.signals.lock().mask.contains(signal);
        // What is ignored and blocked may be waited for, or read. As on Linux the first thread decides.
        let first = threads.iter().find(|thread| thread.tid() == process.pid);
        let is_kept = first.is_none_or(|thread| thread.signals.lock().keeps(signal));
        if process.signals.lock().action(signal).ignores(signal) && !is_kept {
            return Ok(());
        }
        let room = room.map_or_else(|| self.room_for(process, signal, &info), Ok)?;
        let mut signals = process.signals.lock();
        let is_new = signals.pending.add(signal, info, room);
        drop(signals);
        match first.filter(|first| signal != Signal::KILL && takes(first)) {
            Some(first) => self.interrupt(first),
            None => {
                for thread in &threads {
                    if takes(thread) {
                        self.interrupt(thread);
                    } else {
                        thread.look_at_signals();
                    }
                }
            }
        }
        if is_new {
            self.signal_watchers.notify(Readiness::READABLE);
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
    /// What was blocked and is waited for (`sigwaitinfo`).
    pub(crate) awaited: SignalSet,
}

impl ThreadSignals {
    /// Those of a thread that blocks `mask`.
    pub(crate) fn blocking(mask: SignalSet) -> Self {
        Self {
            mask,
            ..Self::default()
        }
    }

    /// Whether a signal that is ignored stays pending all the same: it is blocked, or waited for.
    fn keeps(&self, signal: Signal) -> bool {
        self.mask.contains(signal) || self.awaited.contains(signal)
    }

    /// Replaces the mask until the system call at hand is over and its signals are delivered.
    pub(crate) fn suspend_mask(&mut self, mask: SignalSet) {
        self.suspended_mask = Some(self.mask);
        self.mask = mask;
    }

    /// Goes back to the mask from before the call, if it was replaced; whether it was.
    pub(crate) fn restore_suspended_mask(&mut self) -> bool {
        let before = self.suspended_mask.take();
        self.mask = before.unwrap_or(self.mask);
        before.is_some()
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
    /// What is to be done with each, which processes can share (`CLONE_SIGHAND`).
    actions: Arc<Mutex<super::Actions>>,
    /// What was sent to the process as a whole.
    pub(crate) pending: super::Pending,
}

impl ProcessSignals {
    /// Those that a child of this process begins with: the same actions, nothing pending.
    pub(crate) fn of_child(&self) -> Self {
        Self {
            actions: Arc::new(Mutex::new(self.actions.lock().clone())),
            pending: super::Pending::default(),
        }
    }

    /// Those of a child that has the very same actions.
    pub(crate) fn shared(&self) -> Self {
        Self {
            actions: self.actions.clone(),
            pending: super::Pending::default(),
        }
    }

    /// The process runs another program: what was handled is no more, what was ignored still is.
    pub(crate) fn forget_handlers(&mut self) {
        let mut actions = self.actions.lock().clone();
        actions.forget_handlers();
        self.actions = Arc::new(Mutex::new(actions));
    }

    /// What tells the actions of processes apart that do not share them.
    pub(crate) fn actions_address(&self) -> usize {
        Arc::as_ptr(&self.actions).addr()
    }

    /// Whether only the ends of children are of interest (`SA_NOCLDSTOP`).
    pub(crate) fn ignores_stops_of_children(&self) -> bool {
        self.actions.lock().get(Signal::CHLD).ignores_stops()
    }

    /// Whether it ignores what it would be told of children (`SIG_IGN`).
    pub(crate) fn ignores_children(&self) -> bool {
        self.actions.lock().get(Signal::CHLD).handler == Action::IGNORE
    }

    /// Whether the ends of children are of no interest (`SIG_IGN` or `SA_NOCLDWAIT`).
    pub(crate) fn forgets_children(&self) -> bool {
        let action = self.actions.lock().get(Signal::CHLD);
        action.handler == Action::IGNORE || action.forgets_children()
    }

    /// The signals that are ignored because the program says so, and those with a handler.
    pub(crate) fn ignored_and_caught(&self) -> (SignalSet, SignalSet) {
        let actions = self.actions.lock();
        let mut sets = (SignalSet::default(), SignalSet::default());
        for signal in (1..=Signal::MAX.into()).filter_map(|number| Signal::new(number).ok()) {
            let action = actions.get(signal);
            if action.has_handler() {
                sets.1 = sets.1.with(signal);
            } else if action.handler == Action::IGNORE {
                sets.0 = sets.0.with(signal);
            }
        }
        sets
    }

    /// What is to be done with a signal.
    pub(crate) fn action(&self, signal: Signal) -> Action {
        self.actions.lock().get(signal)
    }

    /// Changes what is to be done with a signal, and returns what was.
    pub(crate) fn replace_action(&mut self, signal: Signal, action: Action) -> Action {
        if action.ignores(signal) {
            self.pending.forget(signal);
        }
        self.actions.lock().replace(signal, action)
    }

    /// The action for a delivery that happens now: a one-shot handler is gone afterwards.
    fn take_action(&mut self, signal: Signal) -> Action {
        let mut actions = self.actions.lock();
        let action = actions.get(signal);
        if action.has_handler() && action.is_one_shot() {
            // The flags and the mask stay.
            let handler = Action::DEFAULT;
            actions.replace(signal, Action { handler, ..action });
        }
        action
    }
}
