//! Processes by descriptor.

use alloc::sync::Arc;

use hal::Errno;
use vfs::OpenFlags;

use super::argument::Address;
use super::call::{Call, Outcome};
use super::signal::signal_to_send;
use crate::files::{Descriptor, ProcessFile};
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
    let process = call.opened_process(fd)?;
    let signal = signal_to_send(number)?;
    let info = match info.non_null() {
        Some(place) => {
            let info: SignalInfo = call.memory().read(place.0)?;
            if Some(info.number()) != signal.map(|signal| signal.number().into()) && number != 0 {
                return Err(Errno::EINVAL.into());
            }
            if info.is_from_kernel() && !Arc::ptr_eq(&process, call.process) {
                return Err(Errno::EPERM.into());
            }
            Some(info)
        }
        None => None,
    };
    call.check_signal(&process, signal)?;
    let is_there =
        (call.libos.processes.get(process.pid)).is_some_and(|there| Arc::ptr_eq(&there, &process));
    if !is_there {
        return Err(Errno::ESRCH.into());
    }
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

    /// The process that a descriptor refers to; `EBADF` if it refers to none.
    pub(super) fn opened_process(&self, fd: i32) -> Result<Arc<Process>, Errno> {
        let file = self.file(fd)?;
        let opened = ProcessFile::behind(&file).ok_or(Errno::EBADF)?;
        opened.process().cloned()
    }
}
