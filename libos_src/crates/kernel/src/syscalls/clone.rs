//! Making threads and processes.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use hal::{Errno, UserRegs};

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use super::records::CloneArguments;
use super::thread::is_thread_pointer;
use crate::libos::{Task, Then};
use crate::memory::AddressSpace;
use crate::processes::{NewProcess, Process, Vfork};
use crate::signals::Signal;
use crate::threads::{Resume, Thread};

const CSIGNAL: u64 = 0xff;
const CLONE_VM: u64 = 0x100;
const CLONE_FS: u64 = 0x200;
const CLONE_FILES: u64 = 0x400;
const CLONE_SIGHAND: u64 = 0x800;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_PARENT: u64 = 0x8000;
const CLONE_THREAD: u64 = 0x1_0000;
const CLONE_SYSVSEM: u64 = 0x4_0000;
const CLONE_SETTLS: u64 = 0x8_0000;
const CLONE_PARENT_SETTID: u64 = 0x10_0000;
const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
const CLONE_DETACHED: u64 = 0x40_0000;
const CLONE_CHILD_SETTID: u64 = 0x100_0000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// What every thread shares with the others.
const SHARED_BY_THREADS: u64 = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
const FOR_BOTH: u64 = CLONE_VM
    | CLONE_SYSVSEM
    | CLONE_SETTLS
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_CLEARTID
    | CLONE_DETACHED
    | CLONE_CHILD_SETTID;
const FOR_THREADS: u64 = FOR_BOTH | SHARED_BY_THREADS | CLONE_FS | CLONE_FILES;
const FOR_PROCESSES: u64 = FOR_BOTH | CLONE_VFORK | CLONE_PARENT | CLONE_CLEAR_SIGHAND;

/// A thread or process as both forms of the call describe it.
struct NewTask {
    flags: u64,
    /// The stack pointer, or 0 for the caller's.
    stack: u64,
    parent_tid: Address,
    child_tid: Address,
    thread_pointer: u64,
    /// What the parent gets when a process ends, or 0.
    exit_signal: u64,
}

/// `fork(2)`.
pub(super) fn fork(call: &mut Call<'_>) -> Outcome {
    new_task(call, &NewTask::process(0))
}

/// `vfork(2)`.
pub(super) fn vfork(call: &mut Call<'_>) -> Outcome {
    new_task(call, &NewTask::process(CLONE_VM | CLONE_VFORK))
}

/// `clone(2)`.
pub(super) fn clone(
    call: &mut Call<'_>,
    flags: u64,
    stack: u64,
    parent_tid: Address,
    child_tid: Address,
    thread_pointer: u64,
) -> Outcome {
    new_task(
        call,
        &NewTask {
            // The call takes 32 bits of flags.
            flags: flags & 0xffff_ffff & !CSIGNAL,
            stack,
            parent_tid,
            child_tid,
            thread_pointer,
            exit_signal: flags & CSIGNAL,
        },
    )
}

/// `clone3(2)`.
pub(super) fn clone3(call: &mut Call<'_>, arguments: Address, size: u64) -> Outcome {
    const FIRST_VERSION_BYTES: u64 = 64;
    let known = size_of::<CloneArguments>() as u64;
    if size < FIRST_VERSION_BYTES {
        return Err(Errno::EINVAL.into());
    }
    if size > known {
        return Err(Errno::E2BIG.into());
    }
    let bytes = call.memory().read_bytes(arguments.0, size as usize)?;
    let mut new = CloneArguments::default();
    zerocopy::IntoBytes::as_mut_bytes(&mut new)[..bytes.len()].copy_from_slice(&bytes);
    if new.set_tid_size != 0 || new.set_tid != 0 || new.cgroup != 0 {
        return Err(Errno::EINVAL.into());
    }
    if (new.stack == 0) != (new.stack_size == 0) || new.exit_signal > CSIGNAL {
        return Err(Errno::EINVAL.into());
    }
    // The signal of a thread, and of a sibling, is not the caller's to choose.
    if new.flags & (CLONE_THREAD | CLONE_PARENT) != 0 && new.exit_signal != 0 {
        return Err(Errno::EINVAL.into());
    }
    let stack = new.stack.checked_add(new.stack_size).ok_or(Errno::EINVAL)?;
    let new = NewTask {
        flags: new.flags,
        stack,
        parent_tid: Address(new.parent_tid),
        child_tid: Address(new.child_tid),
        thread_pointer: new.tls,
        exit_signal: new.exit_signal,
    };
    new_task(call, &new)
}

impl NewTask {
    const fn process(flags: u64) -> Self {
        Self {
            flags,
            stack: 0,
            parent_tid: Address(0),
            child_tid: Address(0),
            thread_pointer: 0,
            exit_signal: Signal::CHLD.number() as u64,
        }
    }

    const fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }
}

fn new_task(call: &mut Call<'_>, new: &NewTask) -> Outcome {
    if new.has(CLONE_THREAD) {
        new_thread(call, new)
    } else {
        new_process(call, new)
    }
}

fn new_thread(call: &mut Call<'_>, new: &NewTask) -> Outcome {
    if new.flags & SHARED_BY_THREADS != SHARED_BY_THREADS || new.has(CLONE_VFORK) {
        return Err(Errno::EINVAL.into());
    }
    if new.flags & !FOR_THREADS != 0 || !(new.has(CLONE_FS) && new.has(CLONE_FILES)) {
        let reason = "threads share files and directories; these flags are not understood; EINVAL";
        call.libos.report_once(call.regs.rax, reason);
        return Err(Errno::EINVAL.into());
    }
    let start = first_registers(call.regs, new)?;
    let libos = call.libos;
    admit(call)?;
    // The words are written before the thread runs, so a bad address makes no thread.
    let made = libos
        .processes
        .add_thread(call.process.pid)
        .and_then(|tid| {
            let thread = copy_of_thread(call, new, tid, start);
            set_words(call, new, &thread).inspect_err(|_| libos.processes.remove_thread(tid))?;
            Ok(thread)
        });
    let thread = made.inspect_err(|_| libos.scheduler.dismiss())?;
    call.process.add_thread(thread.clone());
    if call.process.survivors.is_over_for(thread.tid()) {
        // The process has ended meanwhile: the new thread sees it before it runs.
        thread.look_at_signals();
    }
    let tid = thread.tid();
    let task = Task {
        thread,
        ..call.task.clone()
    };
    libos.scheduler.make_ready(libos.machine, task);
    Ok(tid.into())
}

fn new_process(call: &mut Call<'_>, new: &NewTask) -> Outcome {
    if new.flags & !FOR_PROCESSES != 0 {
        let reason = "processes cannot share files, directories or handlers; these flags are not \
                      understood; EINVAL";
        call.libos.report_once(call.regs.rax, reason);
        return Err(Errno::EINVAL.into());
    }
    let exit_signal = match new.exit_signal {
        0 => None,
        number => Some(Signal::new(number as i32)?),
    };
    let start = first_registers(call.regs, new)?;
    let libos = call.libos;
    admit(call)?;
    let parent = if new.has(CLONE_PARENT) {
        libos.processes.parent(call.process.pid)
    } else {
        call.process.pid
    };
    if !new.has(CLONE_VM) {
        return fork_process(call, new, parent, exit_signal, start);
    }
    let memory = call.task.memory.clone();
    let child = libos.processes.add_process(parent, exit_signal, |pid| {
        memory.join();
        Ok(Arc::new(copy_of_process(call, new, pid, memory)))
    });
    let child = child.inspect_err(|_| libos.scheduler.dismiss())?;
    let thread = copy_of_thread(call, new, child.pid, start);
    if let Err(errno) = set_words(call, new, &thread) {
        libos.processes.remove_process(child.pid);
        libos.wake_next(child.memory().leave());
        libos.scheduler.dismiss();
        return Err(errno.into());
    }
    child.add_thread(thread.clone());
    let task = Task {
        memory: child.memory(),
        process: child.clone(),
        thread,
    };
    if !new.has(CLONE_VFORK) {
        libos.scheduler.make_ready(libos.machine, task);
        return Ok(child.pid.into());
    }
    let vfork = Arc::new(Vfork {
        parent: call.thread.clone(),
        child: child.pid,
        is_over: AtomicBool::new(false),
    });
    child.borrow_memory(vfork.clone());
    Err(call.leave(Then::Lend(task, Resume::Vfork(vfork))))
}

/// Makes a process with a copy of the memory. It runs first, in the place of its parent.
fn fork_process(
    call: &mut Call<'_>,
    new: &NewTask,
    parent: u32,
    exit_signal: Option<Signal>,
    start: UserRegs,
) -> Outcome {
    let libos = call.libos;
    if new.has(CLONE_VFORK) {
        // The memory is a copy, so there is nothing that the parent would have to wait for but
        // time; it runs second anyway.
        libos.report_once(call.regs.rax, "CLONE_VFORK without CLONE_VM is a fork");
    }
    if !libos.run_alone(call.task) {
        libos.scheduler.dismiss();
        return Err(Stop::Restart);
    }
    let thread = copy_of_thread(call, new, 0, start);
    let child = libos.processes.add_process(parent, exit_signal, |pid| {
        thread.set_tid(pid);
        if new.has(CLONE_PARENT_SETTID) {
            // As on Linux, a word that cannot be written is no reason to have no child.
            let _ = call.memory().write(new.parent_tid.0, &pid);
        }
        let memory = call.memory().fork(&thread)?;
        Ok(Arc::new(copy_of_process(call, new, pid, memory)))
    });
    let child = child.inspect_err(|_| {
        libos.scheduler.dismiss();
        libos.let_others_run(call.task);
    })?;
    call.thread.set_holds_memory(false);
    thread.set_holds_memory(true);
    let memory = child.memory();
    if new.has(CLONE_CHILD_SETTID) {
        let _ = memory.write(new.child_tid.0, &child.pid);
    }
    if new.has(CLONE_CHILD_CLEARTID) {
        thread.clear_tid.store(new.child_tid.0, Ordering::Relaxed);
    }
    child.add_thread(thread.clone());
    call.regs.rax = child.pid.into();
    let task = Task {
        process: child,
        thread,
        memory,
    };
    Err(call.leave(Then::Lend(task, Resume::Return)))
}

/// A process that begins as the caller is, in `memory`.
fn copy_of_process(call: &Call<'_>, new: &NewTask, pid: u32, memory: Arc<AddressSpace>) -> Process {
    let parent = call.process;
    let mut signals = parent.signals.lock().of_child();
    if new.has(CLONE_CLEAR_SIGHAND) {
        signals.forget_handlers();
    }
    let child = Process::new(NewProcess {
        pid,
        memory,
        descriptors: parent.descriptors.read().clone(),
        viewpoint: parent.viewpoint.read().clone(),
        signals,
        limits: parent.limits.lock().clone(),
        standing: *parent.standing.lock(),
        program: parent.program(),
        began: call.libos.now(),
    });
    let adjustment = parent.score_adjustment.load(Ordering::Relaxed);
    child.score_adjustment.store(adjustment, Ordering::Relaxed);
    child
}

fn copy_of_thread(call: &Call<'_>, new: &NewTask, tid: u32, start: UserRegs) -> Arc<Thread> {
    let signals = call.thread.signals.lock();
    let thread = Thread::new(tid, *call.thread.name.lock(), signals.mask, start);
    if !new.has(CLONE_VM) || new.has(CLONE_VFORK) {
        // Two that run in the same memory at the same time cannot both have it.
        thread.signals.lock().alternate_stack = signals.alternate_stack;
    }
    *thread.timer_slack.lock() = call.thread.timer_slack.lock().of_child();
    *thread.affinity.lock() = call.thread.affinity.lock().clone();
    Arc::new(thread)
}

fn first_registers(parent: &UserRegs, new: &NewTask) -> Result<UserRegs, Errno> {
    let mut start = UserRegs { rax: 0, ..*parent };
    if new.stack != 0 {
        start.rsp = new.stack;
    }
    if new.has(CLONE_SETTLS) {
        if !is_thread_pointer(new.thread_pointer) {
            return Err(Errno::EPERM);
        }
        start.fs_base = new.thread_pointer;
    }
    Ok(start)
}

fn set_words(call: &Call<'_>, new: &NewTask, thread: &Thread) -> Result<(), Errno> {
    if new.has(CLONE_PARENT_SETTID) {
        call.memory().write(new.parent_tid.0, &thread.tid())?;
    }
    if new.has(CLONE_CHILD_SETTID) {
        call.memory().write(new.child_tid.0, &thread.tid())?;
    }
    if new.has(CLONE_CHILD_CLEARTID) {
        thread.clear_tid.store(new.child_tid.0, Ordering::Relaxed);
    }
    Ok(())
}

/// Counts one more thread, of this process or another.
fn admit(call: &Call<'_>) -> Result<(), Errno> {
    call.libos.scheduler.admit().inspect_err(|_| {
        let limit = call.libos.config.threads.max;
        call.libos.report_once(
            call.regs.rax,
            &alloc::format!(
                "no thread is free: all {limit} are in use; a larger \
                 `resource_limits.max_num_of_threads` in Occlum.yaml would do"
            ),
        );
    })
}
