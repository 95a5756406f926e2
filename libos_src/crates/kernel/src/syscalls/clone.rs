//! Making threads.

use core::sync::atomic::Ordering;
use core::time::Duration;

use hal::{Clock, Errno, UserRegs};

use super::argument::Address;
use super::call::{Call, Outcome};
use super::records::CloneArguments;
use super::refused;
use super::thread::is_thread_pointer;
use crate::threads::Thread;

const CSIGNAL: u64 = 0xff;
const CLONE_VM: u64 = 0x100;
const CLONE_FS: u64 = 0x200;
const CLONE_FILES: u64 = 0x400;
const CLONE_SIGHAND: u64 = 0x800;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_THREAD: u64 = 0x1_0000;
const CLONE_SYSVSEM: u64 = 0x4_0000;
const CLONE_SETTLS: u64 = 0x8_0000;
const CLONE_PARENT_SETTID: u64 = 0x10_0000;
const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
const CLONE_DETACHED: u64 = 0x40_0000;
const CLONE_CHILD_SETTID: u64 = 0x100_0000;

/// What every thread shares with the others.
const SHARED_BY_THREADS: u64 = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
const UNDERSTOOD: u64 = SHARED_BY_THREADS
    | CLONE_FS
    | CLONE_FILES
    | CLONE_SYSVSEM
    | CLONE_SETTLS
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_CLEARTID
    | CLONE_DETACHED
    | CLONE_CHILD_SETTID;

/// A thread as both forms of the call describe it.
struct NewThread {
    flags: u64,
    /// The stack pointer, or 0 for the caller's.
    stack: u64,
    parent_tid: Address,
    child_tid: Address,
    thread_pointer: u64,
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
    let flags = flags & !CSIGNAL;
    new_thread(
        call,
        &NewThread {
            flags,
            stack,
            parent_tid,
            child_tid,
            thread_pointer,
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
    let stack = new.stack.checked_add(new.stack_size).ok_or(Errno::EINVAL)?;
    let new = NewThread {
        flags: new.flags,
        stack,
        parent_tid: Address(new.parent_tid),
        child_tid: Address(new.child_tid),
        thread_pointer: new.tls,
    };
    new_thread(call, &new)
}

fn new_thread(call: &mut Call<'_>, new: &NewThread) -> Outcome {
    if new.flags & CLONE_THREAD == 0 {
        return refused::process(call);
    }
    if new.flags & SHARED_BY_THREADS != SHARED_BY_THREADS || new.flags & CLONE_VFORK != 0 {
        return Err(Errno::EINVAL.into());
    }
    if new.flags & !UNDERSTOOD != 0
        || new.flags & (CLONE_FS | CLONE_FILES) != CLONE_FS | CLONE_FILES
    {
        let reason = "threads share files and directories; these flags are not understood; EINVAL";
        call.libos.report_once(call.regs.rax, reason);
        return Err(Errno::EINVAL.into());
    }
    let start = first_registers(call.regs, new)?;
    // The words are written before the thread runs, so a bad address makes no thread.
    let (name, mask) = (*call.thread.name.lock(), call.thread.signals.lock().mask);
    let limit = call.libos.config.threads.max;
    let thread = call
        .process
        .add_thread(limit, |tid| Thread::new(tid, name, mask, start))
        .map_err(|errno| no_thread(call, errno))?;
    let begun = begin(call, new, &thread);
    if let Err(errno) = begun {
        call.process.remove_thread(thread.tid, 0);
        return Err(no_thread(call, errno).into());
    }
    Ok(thread.tid.into())
}

fn first_registers(parent: &UserRegs, new: &NewThread) -> Result<UserRegs, Errno> {
    let mut start = UserRegs { rax: 0, ..*parent };
    if new.stack != 0 {
        start.rsp = new.stack;
    }
    if new.flags & CLONE_SETTLS != 0 {
        if !is_thread_pointer(new.thread_pointer) {
            return Err(Errno::EPERM);
        }
        start.fs_base = new.thread_pointer;
    }
    Ok(start)
}

fn begin(call: &Call<'_>, new: &NewThread, thread: &Thread) -> Result<(), Errno> {
    if new.flags & CLONE_PARENT_SETTID != 0 {
        call.memory().write(new.parent_tid.0, &thread.tid)?;
    }
    if new.flags & CLONE_CHILD_SETTID != 0 {
        call.memory().write(new.child_tid.0, &thread.tid)?;
    }
    if new.flags & CLONE_CHILD_CLEARTID != 0 {
        thread.clear_tid.store(new.child_tid.0, Ordering::Relaxed);
    }
    spawn(call, thread.tid.into())
}

/// How long a thread that has ended may take to give its TCS back.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);
const RELEASE_POLL: Duration = Duration::from_micros(100);

/// Starts the enclave thread.
///
/// The process counts its live threads and has found room; a TCS may still be held for a moment by
/// a thread that has just ended, which is waited for.
fn spawn(call: &Call<'_>, token: u64) -> Result<(), Errno> {
    let machine = call.libos.machine;
    let now = || Duration::from(machine.clock(Clock::Monotonic));
    let begin = now();
    loop {
        match machine.spawn_thread(token) {
            Err(Errno::EAGAIN) if now() < begin + RELEASE_PATIENCE => {
                machine.park(Some(now() + RELEASE_POLL));
            }
            outcome => return outcome,
        }
    }
}

fn no_thread(call: &Call<'_>, errno: Errno) -> Errno {
    if errno == Errno::EAGAIN {
        let limit = call.libos.config.threads.max;
        call.libos.report_once(
            call.regs.rax,
            &alloc::format!(
                "no thread is free: all {limit} are in use; a larger \
                 `resource_limits.max_num_of_threads` in Occlum.yaml would do"
            ),
        );
    }
    errno
}
