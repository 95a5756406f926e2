//! Signal calls that do not wait.

use alloc::sync::Arc;

use hal::Errno;

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::processes::{Process, Target};
use crate::signals::{self, Action, Signal, SignalInfo, SignalSet, StackRecord};

/// Bytes of the kernel's `sigset_t`.
pub(super) const SET_BYTES: u64 = 8;

/// `rt_sigaction(2)`.
pub(super) fn rt_sigaction(
    call: &mut Call<'_>,
    number: i32,
    new: Address,
    old: Address,
    set_bytes: u64,
) -> Outcome {
    check_set_bytes(set_bytes)?;
    let signal = Signal::new(number)?;
    let new: Option<Action> = match new.non_null() {
        Some(address) => Some(call.memory().read::<Action>(address.0)?.as_kept()),
        None => None,
    };
    if new.is_some() && matches!(signal, Signal::KILL | Signal::STOP) {
        return Err(Errno::EINVAL.into());
    }
    let mut signals = call.process.signals.lock();
    let replaced = match new {
        Some(action) => signals.replace_action(signal, action),
        None => signals.action(signal),
    };
    drop(signals);
    if new.is_some_and(|action| action.ignores(signal)) {
        for thread in call.process.threads() {
            thread.signals.lock().pending.forget(signal);
        }
    }
    if let Some(address) = old.non_null() {
        call.memory().write(address.0, &replaced)?;
    }
    Ok(0)
}

/// `rt_sigprocmask(2)`.
pub(super) fn rt_sigprocmask(
    call: &mut Call<'_>,
    how: i32,
    new: Address,
    old: Address,
    set_bytes: u64,
) -> Outcome {
    const SIG_BLOCK: i32 = 0;
    const SIG_UNBLOCK: i32 = 1;
    const SIG_SETMASK: i32 = 2;
    check_set_bytes(set_bytes)?;
    let before = call.thread.signals.lock().mask;
    if let Some(address) = new.non_null() {
        let set = SignalSet::blockable(call.memory().read(address.0)?);
        call.thread.signals.lock().mask = match how {
            SIG_BLOCK => before.union(set),
            SIG_UNBLOCK => before.difference(set),
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL.into()),
        };
        call.thread.look_at_signals();
        call.libos
            .hand_signals_on(call.process, call.thread, before);
    }
    if let Some(address) = old.non_null() {
        call.memory().write(address.0, &before.bits())?;
    }
    Ok(0)
}

/// `rt_sigpending(2)`.
pub(super) fn rt_sigpending(call: &mut Call<'_>, set: Address, set_bytes: u64) -> Outcome {
    if set_bytes > SET_BYTES {
        return Err(Errno::EINVAL.into());
    }
    let signals = call.thread.signals.lock();
    let (own, mask) = (signals.pending.present(), signals.mask);
    drop(signals);
    let pending = own.union(call.process.signals.lock().pending.present());
    let blocked = SignalSet::from_bits(pending.bits() & mask.bits());
    let bytes = blocked.bits().to_le_bytes();
    call.memory()
        .copy_out(set.0, &bytes[..set_bytes as usize])?;
    Ok(0)
}

/// `rt_sigreturn(2)`: the program goes on where a handler interrupted it.
pub(super) fn rt_sigreturn(call: &mut Call<'_>) -> Outcome {
    let Ok(restored) = signals::restore(&call.task.memory, call.libos.machine, call.regs) else {
        if call.libos.enter_fault_handler(call.task, call.regs) {
            return Ok(call.regs.rax);
        }
        let reason = "its signal frame is not valid";
        let then = call.libos.killed_by(call.task, Signal::SEGV, reason);
        return Err(call.leave(then));
    };
    let mut signals = call.thread.signals.lock();
    let before = core::mem::replace(&mut signals.mask, restored.mask);
    call.thread.look_at_signals();
    // As Linux: a stack that is no longer valid is not restored, and that is no error.
    if let Ok(stack) = signals
        .alternate_stack
        .replaced_by(&restored.stack, call.regs.rsp)
    {
        signals.alternate_stack = stack;
    }
    drop(signals);
    call.libos
        .hand_signals_on(call.process, call.thread, before);
    Ok(call.regs.rax)
}

/// `sigaltstack(2)`.
pub(super) fn sigaltstack(call: &mut Call<'_>, new: Address, old: Address) -> Outcome {
    let before = call.thread.signals.lock().alternate_stack;
    if let Some(address) = new.non_null() {
        let record: StackRecord = call.memory().read(address.0)?;
        let stack = before.replaced_by(&record, call.regs.rsp)?;
        call.thread.signals.lock().alternate_stack = stack;
    }
    if let Some(address) = old.non_null() {
        call.memory()
            .write(address.0, &before.record(call.regs.rsp))?;
    }
    Ok(0)
}

/// `kill(2)`.
pub(super) fn kill(call: &mut Call<'_>, pid: i32, number: i32) -> Outcome {
    let (libos, own) = (call.libos, call.process.pid);
    let target = match pid {
        1.. => {
            // A thread's number stands for its process.
            let (number, processes) = (pid.cast_unsigned(), &libos.processes);
            let process = processes.of_thread(number);
            Target::Process(process.map_or(number, |process| process.pid))
        }
        0 => Target::Group(libos.processes.group_and_session(own)?.0),
        -1 => Target::Others,
        _ => Target::Group(pid.unsigned_abs()),
    };
    let targets = libos.processes.targets(own, target)?;
    let signal = signal_to_send(number)?;
    let info = signal.map(|signal| SignalInfo::from_kill(signal, own, call.standing().user.real));
    let mut refused = !targets.is_empty();
    for process in targets {
        if call.check_signal(&process, signal).is_err() {
            continue;
        }
        refused = false;
        if let (Some(signal), Some(info)) = (signal, info) {
            libos.send_to_process(&process, signal, info)?;
        }
    }
    // One that may have it is enough; who means everybody means those that may.
    if refused && target != Target::Others {
        return Err(Errno::EPERM.into());
    }
    Ok(0)
}

/// `tgkill(2)`.
pub(super) fn tgkill(call: &mut Call<'_>, pid: i32, tid: i32, number: i32) -> Outcome {
    send_to(call, Some(pid), tid, |call| {
        let signal = signal_to_send(number)?;
        let own = call.process.pid;
        Ok(signal.map(|signal| {
            (
                signal,
                SignalInfo::from_tgkill(signal, own, call.standing().user.real),
            )
        }))
    })
}

/// `tkill(2)`.
pub(super) fn tkill(call: &mut Call<'_>, tid: i32, number: i32) -> Outcome {
    send_to(call, None, tid, |call| {
        let signal = signal_to_send(number)?;
        let own = call.process.pid;
        Ok(signal.map(|signal| {
            (
                signal,
                SignalInfo::from_tgkill(signal, own, call.standing().user.real),
            )
        }))
    })
}

/// `rt_sigqueueinfo(2)`.
pub(super) fn rt_sigqueueinfo(
    call: &mut Call<'_>,
    pid: i32,
    number: i32,
    info: Address,
) -> Outcome {
    let (libos, own) = (call.libos, call.process.pid);
    let target = Target::Process(u32::try_from(pid).map_err(|_| Errno::ESRCH)?);
    let info = queued(call, pid, number, info)?;
    let targets = libos.processes.targets(own, target)?;
    let queued = with_signal(number, info)?;
    for process in targets {
        call.check_signal(&process, queued.map(|(signal, _)| signal))?;
        let Some((signal, info)) = queued else {
            continue;
        };
        libos.send_to_process(&process, signal, info)?;
    }
    Ok(0)
}

/// `rt_tgsigqueueinfo(2)`.
pub(super) fn rt_tgsigqueueinfo(
    call: &mut Call<'_>,
    pid: i32,
    tid: i32,
    number: i32,
    info: Address,
) -> Outcome {
    let info = queued(call, tid, number, info)?;
    send_to(call, Some(pid), tid, |_| with_signal(number, info))
}

/// Sends a signal to a thread, which must be one of the process `pid` if that is given.
fn send_to(
    call: &Call<'_>,
    pid: Option<i32>,
    tid: i32,
    make: impl FnOnce(&Call<'_>) -> Result<Option<(Signal, SignalInfo)>, Errno>,
) -> Outcome {
    if tid <= 0 || pid.is_some_and(|pid| pid <= 0) {
        return Err(Errno::EINVAL.into());
    }
    let tid = tid.cast_unsigned();
    let process = call.libos.processes.of_thread(tid);
    let process =
        process.filter(|process| pid.is_none_or(|pid| pid.cast_unsigned() == process.pid));
    let process = process.ok_or(Errno::ESRCH)?;
    let thread = process.thread(tid).ok_or(Errno::ESRCH)?;
    let made = make(call)?;
    call.check_signal(&process, made.map(|(signal, _)| signal))?;
    if let Some((signal, info)) = made {
        call.libos.send_to_thread(&process, &thread, signal, info)?;
    }
    Ok(0)
}

/// What `sigqueue` sends to a process or thread. For others than the calling thread it must not look as
/// if the kernel sent it.
fn queued(call: &Call<'_>, to: i32, number: i32, info: Address) -> Result<SignalInfo, Errno> {
    let info = call.memory().read::<SignalInfo>(info.0)?.as_sent(number)?;
    if info.is_from_kernel() && to.cast_unsigned() != call.thread.tid() {
        return Err(Errno::EPERM);
    }
    Ok(info)
}

fn with_signal(number: i32, info: SignalInfo) -> Result<Option<(Signal, SignalInfo)>, Errno> {
    Ok(signal_to_send(number)?.map(|signal| (signal, info)))
}

impl Call<'_> {
    /// Sends the thread a signal for what it did, which as on Linux comes from itself.
    pub(super) fn raise(&self, signal: Signal) {
        let user = self.standing().user.real;
        let info = SignalInfo::from_kill(signal, self.process.pid, user);
        // The thread's queue holds a standard signal at any time.
        let _ = (self.libos).send_to_thread(self.process, self.thread, signal, info);
    }

    /// Checks that the calling thread may send a signal, or ask for nothing, to a process.
    ///
    /// # Errors
    /// `EPERM`.
    pub(super) fn check_signal(
        &self,
        process: &Arc<Process>,
        signal: Option<Signal>,
    ) -> Result<(), Errno> {
        if Arc::ptr_eq(process, self.process) || self.standing().may_signal(&process.standing()) {
            return Ok(());
        }
        // A shell continues whatever is in its session.
        let session = |pid| {
            let relations = self.libos.processes.group_and_session(pid);
            relations.map(|(_, session)| session)
        };
        if signal == Some(Signal::CONT) && session(process.pid)? == session(self.process.pid)? {
            return Ok(());
        }
        Err(Errno::EPERM)
    }
}

/// The signal to send; `None` for 0, which only asks whether the target exists.
pub(super) fn signal_to_send(number: i32) -> Result<Option<Signal>, Errno> {
    if number == 0 {
        Ok(None)
    } else {
        Signal::new(number).map(Some)
    }
}

/// Checks the size that a program says its sets have.
pub(super) const fn check_set_bytes(set_bytes: u64) -> Result<(), Errno> {
    if set_bytes == SET_BYTES {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}
