//! Running another program.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use hal::{Errno, LogLevel, UserRegs};
use vfs::{Access, Capabilities, Follow, PATH_MAX_BYTES};

use super::argument::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, Address};
use super::call::{Call, Outcome, Stop};
use super::room;
use crate::libos::Then;
use crate::memory::AddressSpace;
use crate::processes::{EndStatus, Places, Principal, ProgramRecord};
use crate::program::{Executable, Invocation, RunAs};
use crate::signals::{AlternateStack, Signal};

/// The longest single string (`MAX_ARG_STRLEN`).
const STRING_MAX_BYTES: usize = 32 * 4096;
/// Arguments and environment together, as far as they are read before the stack's size decides.
const STRINGS_MAX_BYTES: usize = 2 << 20;
/// How often it is looked whether the kernel's heap has room for them.
const CHECKED_BYTES: usize = 64 << 10;
/// The most strings in each.
const STRINGS_MAX: usize = 1 << 16;

/// Where the names of programs begin that are found through a descriptor.
const DESCRIPTORS: &[u8] = b"/dev/fd/";

/// `execve(2)`.
pub(super) fn execve(call: &mut Call<'_>, path: Address, argv: Address, env: Address) -> Outcome {
    let path = call.path(path)?;
    let viewpoint = call.viewpoint().clone();
    let file = Executable::open(&viewpoint, &path).map_err(|error| error.errno)?;
    exec(call, file, &Asked::by_path(&path), argv, env)
}

/// How a program was asked for.
struct Asked<'a> {
    path: &'a [u8],
    /// Whether the path leads through a descriptor that `execve` closes: a script could not be opened.
    is_closed: bool,
}

impl<'a> Asked<'a> {
    const fn by_path(path: &'a [u8]) -> Self {
        Self {
            path,
            is_closed: false,
        }
    }
}

/// `execveat(2)`.
pub(super) fn execveat(
    call: &mut Call<'_>,
    directory: i32,
    path: Address,
    argv: Address,
    env: Address,
    flags: u32,
) -> Outcome {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = call
        .memory()
        .read_string(path.0, PATH_MAX_BYTES, Errno::ENAMETOOLONG)?;
    let viewpoint = call.viewpoint().clone();
    let (location, name) = if path.is_empty() {
        if flags & AT_EMPTY_PATH == 0 {
            return Err(Errno::ENOENT.into());
        }
        let location = call.file_or_path(directory)?.location().clone();
        (location, descriptor_path(directory, b""))
    } else {
        let base = call.base(directory, &path)?;
        let follow = if flags & AT_SYMLINK_NOFOLLOW == 0 {
            Follow::Yes
        } else {
            Follow::No
        };
        let location = viewpoint.resolve(base.as_ref(), &path, follow)?;
        if location.kind() == vfs::FileType::Symlink {
            return Err(Errno::ELOOP.into());
        }
        let name = match &base {
            Some(_) => descriptor_path(directory, &path),
            None => path,
        };
        (location, name)
    };
    let file = Executable::at(&viewpoint, location, &name).map_err(|error| error.errno)?;
    let files = call.task.places.files.read();
    let is_closed = name.starts_with(DESCRIPTORS)
        && (files.get(directory)).is_ok_and(|descriptor| descriptor.is_closed_on_exec);
    drop(files);
    let asked = Asked {
        path: &name,
        is_closed,
    };
    exec(call, file, &asked, argv, env)
}

/// How a program that is found through a descriptor is called.
fn descriptor_path(directory: i32, path: &[u8]) -> Vec<u8> {
    let mut name = DESCRIPTORS.to_vec();
    name.extend_from_slice(directory.to_string().as_bytes());
    if !path.is_empty() {
        name.push(b'/');
        name.extend_from_slice(path);
    }
    name
}

fn exec(
    call: &mut Call<'_>,
    file: Executable,
    asked: &Asked<'_>,
    argv: Address,
    env: Address,
) -> Outcome {
    call.check_room_for_descriptors()?;
    let mut room = STRINGS_MAX_BYTES;
    let mut argv = read_strings(call, argv, &mut room)?;
    let env = read_strings(call, env, &mut room)?;
    if argv.is_empty() {
        // As Linux: programs rely on their name being there.
        argv.push(Vec::new());
    }
    let viewpoint = call.viewpoint().clone();
    let invocation = Invocation::new(&viewpoint, file, asked.path, argv, env);
    let mut invocation = invocation.map_err(|error| error.errno)?;
    if asked.is_closed && invocation.is_script {
        return Err(Errno::ENOENT.into());
    }
    let principal = principal_of(call, &mut invocation)?;
    let is_refusable = call.process.thread_count() == 1;
    end_other_threads(call)?;
    // Only now: one of the others may have lent the memory to a child at the last moment.
    let (memory, regs) = if call.memory().is_shared() {
        load_aside(call, &invocation).map_err(|errno| {
            if is_refusable {
                errno.into()
            } else {
                end_without_program(call)
            }
        })?
    } else {
        load_in_place(call, &invocation)?
    };
    become_program(call, regs, memory, invocation, principal);
    let memory = call.process.memory();
    Err(call.leave(Then::Replace(memory)))
}

/// An address space for a program.
fn memory_for(call: &Call<'_>, invocation: &Invocation) -> Result<Arc<AddressSpace>, Errno> {
    let foundation = call.libos.foundation.get().ok_or(Errno::ENOSYS)?;
    let Some(place) = invocation.fixed_place() else {
        return Ok(AddressSpace::new(foundation));
    };
    AddressSpace::around(foundation, &place).ok_or_else(|| {
        let reason = "several programs are where this one must be loaded; ENOMEM";
        call.libos.report_once(call.regs.rax, reason);
        Errno::ENOMEM
    })
}

/// Loads the program of a process that borrows its memory, and can still be refused.
fn load_aside(
    call: &Call<'_>,
    invocation: &Invocation,
) -> Result<(Arc<AddressSpace>, UserRegs), Errno> {
    let (libos, task) = (call.libos, call.task);
    let memory = memory_for(call, invocation)?;
    libos.release_memory(&task.thread, &task.memory);
    libos.take_memory(&task.process, &task.thread, &memory);
    match libos.start_program(&memory, invocation) {
        Ok(regs) => {
            leave_shared_memory(call, &memory);
            Ok((memory, regs))
        }
        Err(error) => {
            libos.release_memory(&task.thread, &memory);
            libos.wake_next(memory.clear());
            libos.take_memory(&task.process, &task.thread, &task.memory);
            Err(error.errno)
        }
    }
}

/// Does in the memory that a process only borrowed what a thread does there that ends, if there is
/// anything to do; it has `new` already.
fn leave_shared_memory(call: &Call<'_>, new: &AddressSpace) {
    let (libos, task) = (call.libos, call.task);
    let words = [&task.thread.robust_list, &task.thread.clear_tid];
    if words.iter().all(|word| word.load(Ordering::Relaxed) == 0) {
        return;
    }
    libos.release_memory(&task.thread, new);
    libos.take_memory(&task.process, &task.thread, &task.memory);
    libos.release_locks(&task.thread, &task.memory);
    libos.clear_tid(&task.thread, &task.memory);
    libos.release_memory(&task.thread, &task.memory);
    libos.take_memory(&task.process, &task.thread, new);
}

/// Ends all threads of the process but the calling one.
fn end_other_threads(call: &mut Call<'_>) -> Result<(), Stop> {
    let (process, tid) = (call.process, call.thread.tid());
    if process.thread_count() == 1 {
        return Ok(());
    }
    if !process.survivors.end_others(tid) {
        // Another thread was first, and this one ends.
        return Err(Stop::Restart);
    }
    for thread in process.threads() {
        if thread.tid() != tid {
            call.libos.interrupt(&thread);
        }
    }
    while process.thread_count() > 1 {
        if process.survivors.is_over_for(tid) {
            return Err(Stop::Restart);
        }
        // They need the memory to end.
        (call.libos).without_memory(process, call.thread, || call.libos.machine.park(None));
    }
    process.survivors.go_on(tid);
    Ok(())
}

/// Loads the program where the old one was, which is gone whatever happens.
fn load_in_place(
    call: &mut Call<'_>,
    invocation: &Invocation,
) -> Result<(Arc<AddressSpace>, UserRegs), Stop> {
    let (libos, task) = (call.libos, call.task);
    libos.release_locks(&task.thread, &task.memory);
    let segments = task.memory.segments_in(&(0..u64::MAX));
    let next = task.memory.clear();
    (libos.system_v).note(libos.machine, task.process.pid, &segments, true);
    task.thread.set_holds_memory(false);
    libos.wake_next(next);
    let loaded = memory_for(call, invocation).and_then(|memory| {
        libos.take_memory(&task.process, &task.thread, &memory);
        let loaded = libos.start_program(&memory, invocation);
        let regs = loaded.map_err(|error| {
            libos.machine.log(LogLevel::Error, &error.message);
            error.errno
        });
        Ok((memory, regs?))
    });
    loaded.map_err(|_| end_without_program(call))
}

/// Ends a process that has given up one program and cannot have another.
fn end_without_program(call: &mut Call<'_>) -> Stop {
    let end = EndStatus::Killed(Signal::KILL);
    let then = call.libos.end_process(call.task, end);
    call.leave(then)
}

/// Changes what belongs to the old program.
fn become_program(
    call: &mut Call<'_>,
    regs: UserRegs,
    memory: Arc<AddressSpace>,
    invocation: Invocation,
    principal: Principal,
) {
    let (libos, process, thread) = (call.libos, call.process, call.thread);
    let name = invocation.thread_name();
    let before = call.principal();
    let is_other = before.credentials.user != principal.credentials.user
        || before.credentials.group != principal.credentials.group;
    if is_other || invocation.run_as.is_secure {
        libos.processes.set_death_signal(process.pid, None);
    }
    let ids = before.standing;
    let acts_for_others =
        ids.user.real != ids.user.effective || ids.group.real != ids.group.effective;
    let place = invocation.program.file.location();
    let is_readable = (place.metadata())
        .is_ok_and(|metadata| before.credentials.check(&metadata, Access::READ).is_ok());
    let is_dumpable = !acts_for_others && is_readable;
    process.is_dumpable.store(is_dumpable, Ordering::Relaxed);
    let program = ProgramRecord {
        executable: Some(invocation.program.file.running().clone()),
    };
    let old = process.replace_program(memory, program);
    libos.wake_next(old.leave());
    if thread.tid() != process.pid {
        let tid = process.promote(thread);
        libos.processes.promote_thread(tid, process.pid);
    }
    libos.processes.note_program(process.pid);
    thread.clear_tid.store(0, Ordering::Relaxed);
    thread.robust_list.store(0, Ordering::Relaxed);
    *thread.name.lock() = name;
    // It always succeeds: nothing is asked.
    let _ = call.change_principal(|who| {
        *who = principal;
        Ok(())
    });
    thread.signals.lock().alternate_stack = AlternateStack::default();
    process.timers.clear(libos);
    process.signals.lock().forget_handlers();
    let places = own_places(call);
    loop {
        let closed = places.files.write().take_closed_on_exec();
        if closed.is_empty() {
            break;
        }
        for descriptor in closed {
            libos.after_close(process.pid, &descriptor.file);
        }
    }
    *call.regs = regs;
    if let Some(parent) = process.return_memory() {
        libos.wake_patiently(&parent);
    }
}

/// Who the program will be: the caller, or whom its file names.
fn principal_of(call: &Call<'_>, invocation: &mut Invocation) -> Result<Principal, Errno> {
    let mut principal = call.principal();
    let [mut user, mut group] = invocation.program.file.set_ids()?;
    let mut of_file = invocation.program.file.capabilities()?;
    let gains = user.is_some() || group.is_some() || of_file.is_some();
    // Who shares its root with another process could be led astray by that one.
    let is_exposed = gains && !call.standing().can(Capabilities::SET_USER) && shares_its_view(call);
    if is_exposed {
        (user, group, of_file) = (None, None, None);
    }
    let is_secure = principal.start_program(user, group, of_file)? || is_exposed;
    invocation.run_as = RunAs {
        user: principal.standing.user,
        group: principal.standing.group,
        is_secure,
    };
    Ok(principal)
}

/// Whether another process has the same root and working directory (`CLONE_FS`).
fn shares_its_view(call: &Call<'_>) -> bool {
    let view = &call.task.places.view;
    let table = &call.libos.processes;
    table.pids().into_iter().any(|pid| {
        pid != call.process.pid
            && (table.get(pid)).is_some_and(|process| Arc::ptr_eq(&process.places().view, view))
    })
}

/// What the program has open, which nobody shares any more, and where it stands.
fn own_places(call: &Call<'_>) -> Places {
    let (process, thread) = (call.process, call.thread);
    if let Some(own) = thread.take_own_places() {
        process.places().leave_files();
        process.set_places(own);
    }
    let places = process.places();
    let Some(own) = places.own_files() else {
        return places;
    };
    process.set_places(own.clone());
    own
}

/// Reads an array of strings that a null pointer ends. `E2BIG` when there are too many.
fn read_strings(call: &Call<'_>, array: Address, room: &mut usize) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if array.is_null() {
        return Ok(strings);
    }
    loop {
        let at = array.0.wrapping_add(strings.len() as u64 * 8);
        let pointer: u64 = call.memory().read(at)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let text = call
            .memory()
            .read_string(pointer, STRING_MAX_BYTES, Errno::E2BIG)?;
        let taken = text.len() + 1 + size_of::<u64>();
        let before = *room;
        *room = room.checked_sub(taken).ok_or(Errno::E2BIG)?;
        if before / CHECKED_BYTES != *room / CHECKED_BYTES {
            // As much again becomes a part of the new stack.
            room::check_for(call.libos.machine, STRINGS_MAX_BYTES - *room)
                .inspect_err(|_| call.report_full_heap())?;
        }
        if strings.len() >= STRINGS_MAX {
            return Err(Errno::E2BIG);
        }
        strings.push(text);
    }
}
