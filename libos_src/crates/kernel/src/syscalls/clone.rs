//! Making threads and processes.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use hal::{Errno, UserRegs};
use locks::RwLock;
use vfs::{Capabilities, OpenFlags};

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use super::records::CloneArguments;
use super::thread::is_thread_pointer;
use crate::files::ProcessFile;
use crate::libos::{Task, Then};
use crate::memory::AddressSpace;
use crate::processes::{FIRST_PID, Kinship, Limits, NewProcess, Places, Principal, Process, Vfork};
use crate::signals::Signal;
use crate::threads::{Resume, Thread};

const CSIGNAL: u64 = 0xff;
const CLONE_VM: u64 = 0x100;
const CLONE_FS: u64 = 0x200;
const CLONE_FILES: u64 = 0x400;
const CLONE_SIGHAND: u64 = 0x800;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_PARENT: u64 = 0x8000;
const CLONE_THREAD: u64 = 0x1_0000;
const CLONE_SYSVSEM: u64 = 0x4_0000;
const CLONE_SETTLS: u64 = 0x8_0000;
const CLONE_PARENT_SETTID: u64 = 0x10_0000;
const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
const CLONE_DETACHED: u64 = 0x40_0000;
const CLONE_UNTRACED: u64 = 0x80_0000;
const CLONE_CHILD_SETTID: u64 = 0x100_0000;
const CLONE_IO: u64 = 0x8000_0000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// What every thread shares with the others.
const SHARED_BY_THREADS: u64 = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
/// What says which places are shared.
const SHARED_PLACES: u64 = CLONE_FS | CLONE_FILES | CLONE_NEWUTS;
const FOR_BOTH: u64 = CLONE_VM
    | CLONE_SYSVSEM
    | CLONE_SETTLS
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_CLEARTID
    | CLONE_DETACHED
    | CLONE_UNTRACED
    | CLONE_IO
    | CLONE_FS
    | CLONE_FILES
    | CLONE_SIGHAND
    | CLONE_CHILD_SETTID
    | CLONE_NEWUTS;
const FOR_THREADS: u64 = FOR_BOTH | SHARED_BY_THREADS;
const FOR_PROCESSES: u64 =
    FOR_BOTH | CLONE_VFORK | CLONE_PARENT | CLONE_CLEAR_SIGHAND | CLONE_PIDFD;
/// A new name space of host names.
const CLONE_NEWUTS: u64 = 0x400_0000;
/// New name spaces of mounts and of users, which nobody has who shares directories.
const CLONE_NEWNS: u64 = 0x2_0000;
const CLONE_NEWUSER: u64 = 0x1000_0000;
/// New name spaces that there are not: users, mounts and the like.
const NAME_SPACES: u64 = CLONE_NEWNS | CLONE_NEWUSER | 0x80 | 0x6a00_0000;

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
    /// Where the descriptor of a new process is told (`CLONE_PIDFD`).
    pidfd: Address,
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
    const CLONE_BOTH_TIDS: u64 = CLONE_PIDFD | CLONE_PARENT_SETTID;
    const CLONE_DETACHED_PIDFD: u64 = CLONE_PIDFD | CLONE_DETACHED;
    if flags & CLONE_BOTH_TIDS == CLONE_BOTH_TIDS
        || flags & CLONE_DETACHED_PIDFD == CLONE_DETACHED_PIDFD
    {
        return Err(Errno::EINVAL.into());
    }
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
            // One word has room for one of them.
            pidfd: parent_tid,
        },
    )
}

/// `clone3(2)`.
pub(super) fn clone3(call: &mut Call<'_>, arguments: Address, size: u64) -> Outcome {
    const FIRST_VERSION_BYTES: u64 = 64;
    let known = size_of::<CloneArguments>();
    if size < FIRST_VERSION_BYTES {
        return Err(Errno::EINVAL.into());
    }
    // What a later version adds is not asked for as long as it is zero.
    if size > hal::PAGE_SIZE {
        return Err(Errno::E2BIG.into());
    }
    let bytes = call.memory().read_bytes(arguments.0, size as usize)?;
    let (bytes, unknown) = bytes.split_at(bytes.len().min(known));
    if unknown.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG.into());
    }
    let mut new = CloneArguments::default();
    zerocopy::IntoBytes::as_mut_bytes(&mut new)[..bytes.len()].copy_from_slice(bytes);
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
        pidfd: Address(new.pidfd),
    };
    if new.flags & (CLONE_DETACHED | CSIGNAL) != 0 {
        return Err(Errno::EINVAL.into());
    }
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
            pidfd: Address(0),
        }
    }

    const fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }
}

fn new_task(call: &mut Call<'_>, new: &NewTask) -> Outcome {
    if !new.has(CLONE_FILES) {
        call.check_room_for_descriptors()?;
    }
    if new.has(CLONE_SIGHAND) && (!new.has(CLONE_VM) || new.has(CLONE_CLEAR_SIGHAND)) {
        return Err(Errno::EINVAL.into());
    }
    if new.has(CLONE_FS) && new.flags & (CLONE_NEWNS | CLONE_NEWUSER) != 0 {
        return Err(Errno::EINVAL.into());
    }
    if new.flags & NAME_SPACES != 0 {
        let reason = "there is one name space of each sort but for host names; EPERM";
        call.libos.report_once(call.regs.rax, reason);
        return Err(Errno::EPERM.into());
    }
    if new.has(CLONE_NEWUTS) {
        call.require(Capabilities::ADMINISTER)?;
    }
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
    if new.flags & !FOR_THREADS != 0 {
        let reason = "a thread with these flags is not understood; EINVAL";
        call.libos.report_once(call.regs.rax, reason);
        return Err(Errno::EINVAL.into());
    }
    let start = first_registers(call.regs, new)?;
    let libos = call.libos;
    admit(call)?;
    call.memory().expect_threads();
    // The words are written before the thread runs, so a bad address makes no thread.
    let made = libos
        .processes
        .add_thread(call.process.pid)
        .and_then(|tid| {
            let thread = copy_of_thread(call, new, tid, start);
            thread.set_principal(call.thread.principal());
            let has_all = new.flags & SHARED_PLACES == CLONE_FS | CLONE_FILES;
            if !has_all || call.thread.own_places().is_some() {
                thread.set_own_places(places_of(call, new));
            }
            set_words(call, new, &thread).inspect_err(|_| {
                if let Some(own) = thread.take_own_places() {
                    own.leave_files();
                }
                libos.processes.remove_thread(tid);
            })?;
            Ok(thread)
        });
    let thread = made.inspect_err(|_| libos.scheduler.dismiss())?;
    call.process.add_thread(thread.clone());
    if call.process.survivors.is_over_for(thread.tid()) {
        // The process has ended meanwhile: the new thread sees it before it runs.
        thread.look_at_signals();
    }
    let tid = thread.tid();
    let task = Task::new(call.process.clone(), thread);
    libos.scheduler.make_ready(libos.machine, task);
    Ok(tid.into())
}

fn new_process(call: &mut Call<'_>, new: &NewTask) -> Outcome {
    if new.flags & !FOR_PROCESSES != 0 {
        let reason = "a process with these flags is not understood; EINVAL";
        call.libos.report_once(call.regs.rax, reason);
        return Err(Errno::EINVAL.into());
    }
    let kinship = match new.exit_signal {
        // What the first process left behind, nobody would wait for.
        _ if new.has(CLONE_PARENT) && call.process.pid == FIRST_PID => {
            return Err(Errno::EINVAL.into());
        }
        _ if new.has(CLONE_PARENT) => Kinship::Sibling,
        0 => Kinship::Child(None),
        number => Kinship::Child(Some(Signal::new(number as i32)?)),
    };
    let start = first_registers(call.regs, new)?;
    let libos = call.libos;
    admit(call)?;
    if !new.has(CLONE_VM) {
        return fork_process(call, new, kinship, start);
    }
    let memory = call.task.memory.clone();
    let child = libos
        .processes
        .add_process(call.process.pid, kinship, |pid| {
            memory.join();
            Ok(Arc::new(copy_of_process(call, new, pid, memory)))
        });
    let child = child.inspect_err(|_| libos.scheduler.dismiss())?;
    let thread = copy_of_thread(call, new, child.pid, start);
    thread.set_principal(own_principal(call, new));
    let told = set_words(call, new, &thread).and_then(|()| tell_pidfd(call, new, &child));
    if let Err(errno) = told {
        child.places().leave_files();
        libos.processes.remove_process(child.pid);
        libos.wake_next(child.memory().leave());
        libos.scheduler.dismiss();
        return Err(errno.into());
    }
    child.add_thread(thread.clone());
    child.processor_limit.start(libos, &child);
    let task = Task::new(child.clone(), thread);
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
fn fork_process(call: &mut Call<'_>, new: &NewTask, kinship: Kinship, start: UserRegs) -> Outcome {
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
    let opened = open_child(call, new).inspect_err(|_| {
        libos.scheduler.dismiss();
        libos.let_others_run(call.task);
    })?;
    let thread = copy_of_thread(call, new, 0, start);
    let child = libos
        .processes
        .add_process(call.process.pid, kinship, |pid| {
            thread.set_tid(pid);
            if new.has(CLONE_PARENT_SETTID) {
                // As on Linux, a word that cannot be written is no reason to have no child.
                let _ = call.memory().write(new.parent_tid.0, &pid);
            }
            if let Some((fd, _)) = &opened {
                let _ = call.memory().write(new.pidfd.0, fd);
            }
            let memory = call.memory().fork(&thread)?;
            Ok(Arc::new(copy_of_process(call, new, pid, memory)))
        });
    let child = child.inspect_err(|_| {
        if let Some((fd, _)) = &opened {
            let closed = call.task.places.files.write().remove(*fd);
            drop(closed);
        }
        libos.scheduler.dismiss();
        libos.let_others_run(call.task);
    })?;
    let segments = call.memory().segments_in(&(0..u64::MAX));
    (libos.system_v).note(libos.machine, call.process.pid, &segments, false);
    thread.set_principal(own_principal(call, new));
    if let Some((fd, file)) = opened {
        file.fill(&child);
        if !new.has(CLONE_FILES) {
            // It was there when the child got its copy of the descriptors, and is not for it.
            let copied = child.places().files.write().remove(fd);
            drop(copied);
        }
    }
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
    child.processor_limit.start(libos, &child);
    call.regs.rax = child.pid.into();
    let task = Task::new(child, thread);
    Err(call.leave(Then::Lend(task, Resume::Return)))
}

/// A process that begins as the caller is, in `memory`.
fn copy_of_process(call: &Call<'_>, new: &NewTask, pid: u32, memory: Arc<AddressSpace>) -> Process {
    let parent = call.process;
    let of_parent = parent.signals.lock();
    let mut signals = if new.has(CLONE_SIGHAND) {
        of_parent.shared()
    } else {
        of_parent.of_child()
    };
    drop(of_parent);
    if new.has(CLONE_CLEAR_SIGHAND) {
        signals.forget_handlers();
    }
    let child = Process::new(NewProcess {
        pid,
        memory,
        places: places_of(call, new),
        signals,
        limits: parent.limits.lock().clone(),
        standing: call.standing(),
        program: parent.program(),
        began: call.libos.now(),
    });
    let adjustment = parent.score_adjustment.load(Ordering::Relaxed);
    child.score_adjustment.store(adjustment, Ordering::Relaxed);
    let is_dumpable = parent.is_dumpable.load(Ordering::Relaxed);
    child.is_dumpable.store(is_dumpable, Ordering::Relaxed);
    let wants_small_pages = parent.wants_small_pages.load(Ordering::Relaxed);
    (child.wants_small_pages).store(wants_small_pages, Ordering::Relaxed);
    child
}

/// What a new thread or process has open, and where it stands.
fn places_of(call: &Call<'_>, new: &NewTask) -> Places {
    let mut places = call.task.places.clone();
    if new.has(CLONE_FILES) {
        places.files.write().user_count += 1;
    } else {
        let files = places.files.read().copy();
        places.files = Arc::new(RwLock::new(files));
    }
    if !new.has(CLONE_FS) {
        places.view = Arc::new(RwLock::new(call.viewpoint().clone()));
    }
    if new.has(CLONE_NEWUTS) {
        places.unshare_names();
    }
    places
}

/// Who the first thread of a new process is, if not who its process is. Two processes that stand in
/// one place may come to be different people, so there each thread is somebody of its own.
fn own_principal(call: &Call<'_>, new: &NewTask) -> Option<Box<Principal>> {
    if !new.has(CLONE_FS) {
        return None;
    }
    let principal = Box::new(call.principal());
    for thread in call.process.threads() {
        if thread.principal().is_none() {
            thread.set_principal(Some(principal.clone()));
        }
    }
    Some(principal)
}

/// A descriptor that the parent of a new process gets, which refers to nothing yet.
fn open_child(call: &Call<'_>, new: &NewTask) -> Result<Option<(i32, Arc<ProcessFile>)>, Errno> {
    if !new.has(CLONE_PIDFD) {
        return Ok(None);
    }
    call.memory()
        .check_writable(new.pidfd.0, size_of::<i32>() as u64)?;
    let file = ProcessFile::empty();
    let fd = call.add_process_file(file.clone(), OpenFlags::empty())?;
    Ok(Some((fd, file)))
}

/// Opens a new process for its parent, and tells it the descriptor.
fn tell_pidfd(call: &Call<'_>, new: &NewTask, child: &Arc<Process>) -> Result<(), Errno> {
    if !new.has(CLONE_PIDFD) {
        return Ok(());
    }
    let fd = call.open_process(child, OpenFlags::empty())?;
    let told = call.memory().write(new.pidfd.0, &fd);
    if told.is_err() {
        let closed = call.task.places.files.write().remove(fd);
        drop(closed);
    }
    told
}

fn copy_of_thread(call: &Call<'_>, new: &NewTask, tid: u32, start: UserRegs) -> Arc<Thread> {
    let signals = call.thread.signals.lock();
    let (mask, alternate_stack) = (signals.mask, signals.alternate_stack);
    drop(signals);
    let thread = Thread::new(tid, *call.thread.name.lock(), mask, start);
    if !new.has(CLONE_VM) || new.has(CLONE_VFORK) {
        // Two that run in the same memory at the same time cannot both have it.
        thread.signals.lock().alternate_stack = alternate_stack;
    }
    *thread.scheduling.lock() = call.thread.scheduling.lock().of_child();
    *thread.timer_slack.lock() = call.thread.timer_slack.lock().of_child();
    *thread.affinity.lock() = call.thread.affinity.lock().clone();
    let personality = call.thread.personality.load(Ordering::Relaxed);
    thread.personality.store(personality, Ordering::Relaxed);
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
    call.check_process_limit()?;
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

/// `unshare(2)`: of what threads and processes can share; of name spaces, that of host names.
pub(super) fn unshare(call: &mut Call<'_>, flags: u64) -> Outcome {
    const KNOWN: u64 = SHARED_PLACES | CLONE_SYSVSEM | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
    if flags & NAME_SPACES != 0 {
        let reason = "there is one name space of each sort but for host names; EPERM";
        call.libos.report_once(call.regs.rax, reason);
        return Err(Errno::EPERM.into());
    }
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let is_alone = call.process.thread_count() == 1;
    if flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) != 0 && !is_alone {
        return Err(Errno::EINVAL.into());
    }
    if flags & CLONE_NEWUTS != 0 {
        call.require(Capabilities::ADMINISTER)?;
    }
    if flags & CLONE_FILES != 0 {
        call.check_room_for_descriptors()?;
    }
    let mut apart = call.apart();
    if flags & CLONE_FS != 0 {
        apart.places.view = Arc::new(RwLock::new(call.viewpoint().clone()));
    }
    if flags & CLONE_NEWUTS != 0 {
        apart.places.unshare_names();
    }
    if flags & CLONE_FILES != 0 {
        apart.leave_shared_files();
    }
    Err(call.move_to(apart))
}

/// Places for the calling thread to go on with, which count as one user of their descriptors.
pub(super) struct Apart {
    pub(super) places: Places,
    /// Whether the process has others.
    is_of_thread: bool,
}

impl Apart {
    /// Its descriptors are a copy from now on, unless nobody shares them.
    pub(super) fn leave_shared_files(&mut self) {
        if let Some(own) = self.places.own_files() {
            self.places = own;
        }
    }
}

impl Call<'_> {
    /// The places of the calling thread, to be changed without those who share them. Whoever asks
    /// must [move there](Self::move_to).
    ///
    /// Whether they become the thread's own or stay its process's is decided here once: another
    /// thread may end meanwhile, and a thread that has places of its own gives them up when it ends.
    pub(super) fn apart(&self) -> Apart {
        let places = self.task.places.clone();
        let has_own = self.thread.own_places().is_some();
        let is_of_thread = has_own || self.process.thread_count() > 1;
        if is_of_thread && !has_own {
            places.files.write().user_count += 1;
        }
        Apart {
            places,
            is_of_thread,
        }
    }

    /// The call gives 0, and the thread has other places then; if it is the only one, its process.
    pub(super) fn move_to(&mut self, apart: Apart) -> Stop {
        if apart.is_of_thread {
            self.thread.set_own_places(apart.places);
        } else {
            self.process.set_places(apart.places);
        }
        self.regs.rax = 0;
        self.leave(Then::Move)
    }

    /// Refuses another thread to a user who has as many as `RLIMIT_NPROC` says. It does not bind the
    /// superuser.
    fn check_process_limit(&self) -> Result<(), Errno> {
        let limit = self.process.limits.lock().soft(Limits::PROCESSES);
        let standing = self.standing();
        let is_free = standing.user.real == 0
            || standing.can(Capabilities::OVERRIDE_LIMITS)
            || standing.can(Capabilities::ADMINISTER);
        if is_free || self.libos.processes.threads_of(standing.user.real) < limit {
            Ok(())
        } else {
            Err(Errno::EAGAIN)
        }
    }
}
