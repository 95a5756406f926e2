//! Processes by descriptor.

use alloc::sync::Arc;
use core::cmp::Ordering;

use hal::Errno;
use vfs::OpenFlags;

use super::argument::Address;
use super::call::{Call, Outcome};
use super::signal::signal_to_send;
use crate::files::{Descriptor, ProcessFile};
use crate::libos::Task;
use crate::processes::Process;
use crate::signals::SignalInfo;

/// `pidfd_open(2)`.
pub(super) fn pidfd_open(call: &mut Call<'_>, pid: i32, flags: u32) -> Outcome {
    let flags = OpenFlags::from_bits(flags)
        .filter(|&flags| OpenFlags::NON_BLOCKING.contains(flags))
        .ok_or(Errno::EINVAL)?;
    let pid = u32::try_from(pid)
        .ok()
        .filter(|&pid| pid != 0)
        .ok_or(Errno::EINVAL)?;
    let Some(process) = call.libos.processes.get(pid) else {
        // A thread that is not the first one is no process.
        let is_thread = call.libos.processes.of_thread(pid).is_some();
        let errno = if is_thread {
            Errno::EINVAL
        } else {
            Errno::ESRCH
        };
        return Err(errno.into());
    };
    Ok(call.open_process(&process, flags)? as u64)
}

/// `pidfd_send_signal(2)`.
pub(super) fn pidfd_send_signal(
    call: &mut Call<'_>,
    fd: i32,
    number: i32,
    info: Address,
    flags: u32,
) -> Outcome {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let process = call.process_of(fd)?;
    let info = match info.non_null() {
        Some(place) => {
            let given: SignalInfo = call.memory().read(place.0)?;
            let info = given.as_sent(given.number())?;
            if info.number() != number {
                return Err(Errno::EINVAL.into());
            }
            if info.is_from_kernel() && process.pid != call.thread.tid() {
                return Err(Errno::EPERM.into());
            }
            Some(info)
        }
        None => None,
    };
    let is_there =
        (call.libos.processes.get(process.pid)).is_some_and(|there| Arc::ptr_eq(&there, &process));
    if !is_there {
        return Err(Errno::ESRCH.into());
    }
    let signal = signal_to_send(number)?;
    call.check_signal(&process, signal)?;
    if let Some(signal) = signal {
        let info = info.unwrap_or_else(|| {
            let user = call.standing().user.real;
            SignalInfo::from_kill(signal, call.process.pid, user)
        });
        call.libos.send_to_process(&process, signal, info)?;
    }
    Ok(0)
}

/// `pidfd_getfd(2)`.
pub(super) fn pidfd_getfd(call: &mut Call<'_>, fd: i32, wanted: i32, flags: u32) -> Outcome {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let process = call.opened_process(fd)?;
    if !call.may_look_into(&process) {
        return Err(Errno::EPERM.into());
    }
    if process.thread_count() == 0 {
        return Err(Errno::ESRCH.into());
    }
    let file = process.places().files.read().file(wanted)?.clone();
    let descriptor = Descriptor {
        file,
        is_closed_on_exec: true,
    };
    Ok(call.task.places.files.write().add(0, descriptor)? as u64)
}

/// `kcmp(2)`: whether two processes have the same of something. 0 if so; else 1 or 2, which orders
/// what there is.
pub(super) fn kcmp(
    call: &mut Call<'_>,
    first: i32,
    second: i32,
    kind: u32,
    first_number: u64,
    second_number: u64,
) -> Outcome {
    const KCMP_FILE: u32 = 0;
    const KCMP_VM: u32 = 1;
    const KCMP_FILES: u32 = 2;
    const KCMP_FS: u32 = 3;
    const KCMP_SIGHAND: u32 = 4;
    const KCMP_IO: u32 = 5;
    const KCMP_SYSVSEM: u32 = 6;
    let target = |pid: i32| {
        let tid = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
        let process = call.libos.processes.of_thread(tid).ok_or(Errno::ESRCH)?;
        let thread = process.thread(tid).ok_or(Errno::ESRCH)?;
        Ok::<_, Errno>(Task::new(process, thread))
    };
    let (first, second) = (target(first)?, target(second)?);
    if !(call.may_look_into(&first.process) && call.may_look_into(&second.process)) {
        return Err(Errno::EPERM.into());
    }
    let of = |task: &Task, number: u64| {
        let places = &task.places;
        Ok::<_, Errno>(match kind {
            KCMP_FILE => {
                let number = i32::try_from(number).map_err(|_| Errno::EBADF)?;
                Arc::as_ptr(places.files.read().file(number)?).addr()
            }
            KCMP_VM => Arc::as_ptr(&task.memory).addr(),
            KCMP_FILES => Arc::as_ptr(&places.files).addr(),
            KCMP_FS => Arc::as_ptr(&places.view).addr(),
            KCMP_SIGHAND => task.process.signals.lock().actions_address(),
            // Nobody here has one to share, as on Linux before the first use of either.
            KCMP_IO | KCMP_SYSVSEM => 0,
            _ => return Err(Errno::EINVAL),
        })
    };
    let (first, second) = (of(&first, first_number)?, of(&second, second_number)?);
    Ok(match first.cmp(&second) {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    })
}

impl Call<'_> {
    /// A descriptor of a process, which `execve` closes.
    pub(super) fn open_process(
        &self,
        process: &Arc<Process>,
        flags: OpenFlags,
    ) -> Result<i32, Errno> {
        let file = ProcessFile::empty();
        file.fill(process);
        self.add_process_file(file, flags)
    }

    /// A descriptor for a process that may yet have to be made.
    pub(super) fn add_process_file(
        &self,
        file: Arc<ProcessFile>,
        flags: OpenFlags,
    ) -> Result<i32, Errno> {
        let flags = flags | OpenFlags::READ_WRITE | OpenFlags::CLOSE_ON_EXEC;
        let descriptor = self.open_anonymous(file, b"anon_inode:[pidfd]", flags)?;
        self.task.places.files.write().add(0, descriptor)
    }

    /// The process that a descriptor or a directory of `/proc` refers to.
    fn process_of(&self, fd: i32) -> Result<Arc<Process>, Errno> {
        let file = self.file(fd)?;
        let Some((pid, began)) = procfs::process_of(&**file.location().inode()) else {
            return self.opened_process(fd);
        };
        let process = self.libos.processes.get(pid);
        process
            .filter(|process| process.began == began)
            .ok_or(Errno::ESRCH)
    }

    /// The process that a descriptor refers to; `EBADF` if it refers to none.
    pub(super) fn opened_process(&self, fd: i32) -> Result<Arc<Process>, Errno> {
        let file = self.file(fd)?;
        let opened = ProcessFile::behind(&file).ok_or(Errno::EBADF)?;
        opened.process().cloned()
    }
}
