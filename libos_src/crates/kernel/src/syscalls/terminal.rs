//! Sessions and their terminals (ioctl_tty(2)): the same for the host's terminal and for
//! pseudo-terminals.

use hal::Errno;
use tty::Local;
use vfs::{Capabilities, OpenFile, Readiness};

use super::call::{Call, Outcome, Stop};
use super::host_terminal;
use crate::files::HostStream;
use crate::processes::Target;
use crate::signals::{Signal, SignalInfo};
use crate::terminals::{Control, End, Holder};

pub(super) const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
pub(super) const TIOCSPGRP: u32 = 0x5410;
const TIOCNOTTY: u32 = 0x5422;
const TIOCSETD: u32 = 0x5423;
const TIOCGETD: u32 = 0x5424;
const TIOCGSID: u32 = 0x5429;

/// Serves a request about whose the terminal is that `control` belongs to; `ENOTTY` for any other.
pub(super) fn control(
    call: &Call<'_>,
    file: &OpenFile,
    control: &Control,
    request: u32,
    argument: u64,
) -> Outcome {
    let (libos, pid) = (call.libos, call.process.pid);
    let (_, session) = libos.processes.group_and_session(pid)?;
    let holder = control.holder();
    let is_own = holder.session == session;
    // A terminal emulator may ask whose its slave is.
    let is_master = End::behind(file).is_some_and(End::is_master);
    match request {
        TIOCGPGRP if is_own || is_master => {
            call.memory().write(argument, &holder.foreground)?;
        }
        TIOCGSID if is_own || (is_master && holder.session != 0) => {
            call.memory().write(argument, &holder.session)?;
        }
        TIOCGETD => call.memory().write(argument, &0u32)?,
        // There is one line discipline.
        TIOCSETD => {
            call.must_be_in_foreground(control, Signal::TTOU)?;
            if call.memory().read::<i32>(argument)? != 0 {
                return Err(Errno::EINVAL.into());
            }
        }
        TIOCSPGRP if is_own => {
            match call.must_be_in_foreground(control, Signal::TTOU) {
                Err(Stop::Errno(Errno::EIO)) => return Err(Errno::ENOTTY.into()),
                other => other?,
            }
            let group: i32 = call.memory().read(argument)?;
            let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
            libos.processes.targets(pid, Target::Group(group))?;
            if !libos.processes.is_group_of(group, session) {
                return Err(Errno::EPERM.into());
            }
            control.change(|holder| {
                (holder.session == session).then_some(Holder {
                    session,
                    foreground: group,
                })
            });
        }
        TIOCSCTTY => {
            if pid == session && is_own {
                return Ok(0);
            }
            if pid != session || libos.terminals.of_session(session).is_some() {
                return Err(Errno::EPERM.into());
            }
            let steals = argument == 1 && call.standing().can(Capabilities::ADMINISTER);
            let taken = control.change(|holder| {
                let is_free = holder.session == 0 || !libos.processes.has_session(holder.session);
                (is_free || steals).then(|| Holder::leader(pid))
            });
            if !taken {
                return Err(Errno::EPERM.into());
            }
        }
        TIOCNOTTY if is_own && !is_master => {
            if pid == session {
                libos.terminals.leave(control, session);
            }
        }
        _ => return Err(Errno::ENOTTY.into()),
    }
    Ok(0)
}

impl Call<'_> {
    /// Stops the group of the caller if it is in the background of the terminal behind `file`, and
    /// reads it, or writes to one that does not want that.
    pub(super) fn may_use_terminal(&self, file: &OpenFile, wanted: Readiness) -> Result<(), Stop> {
        let Some(control) = self.libos.terminals.control_behind(file) else {
            return Ok(());
        };
        if wanted == Readiness::READABLE {
            return self.must_be_in_foreground(control, Signal::TTIN);
        }
        if wanted == Readiness::WRITABLE && self.is_in_background(control)? {
            let stops = match (End::behind(file), HostStream::behind(file)) {
                (Some(end), _) => {
                    let local = end.terminal().settings().local();
                    local.contains(Local::STOPS_BACKGROUND_OUTPUT)
                }
                (_, Some(stream)) => host_terminal::stops_background_output(self, stream),
                _ => false,
            };
            if stops {
                return self.must_be_in_foreground(control, Signal::TTOU);
            }
        }
        Ok(())
    }

    /// Whether a terminal is the caller's, and another group is in its foreground.
    fn is_in_background(&self, control: &Control) -> Result<bool, Errno> {
        let holder = control.holder();
        let pid = self.process.pid;
        let (group, session) = self.libos.processes.group_and_session(pid)?;
        Ok(holder.session == session && holder.foreground != group)
    }

    /// Stops the group of the caller with `signal` if it is in the background of its terminal, and
    /// has the call made again once it goes on.
    ///
    /// Who blocks or ignores the signal may write and set all the same (`SIGTTOU`), and gets `EIO`
    /// for reading (`SIGTTIN`), as does a group that nobody could continue.
    pub(super) fn must_be_in_foreground(
        &self,
        control: &Control,
        signal: Signal,
    ) -> Result<(), Stop> {
        if !self.is_in_background(control)? {
            return Ok(());
        }
        let (libos, pid) = (self.libos, self.process.pid);
        let is_unheard = self.thread.signals.lock().mask.contains(signal)
            || self.process.signals.lock().action(signal).ignores(signal);
        if is_unheard && signal == Signal::TTOU {
            return Ok(());
        }
        if is_unheard || libos.processes.is_orphaned(pid) {
            return Err(Errno::EIO.into());
        }
        let (group, _) = libos.processes.group_and_session(pid)?;
        for process in libos.processes.targets(pid, Target::Group(group))? {
            libos.send_to_process(&process, signal, SignalInfo::from_kernel(signal))?;
        }
        Err(Stop::Restart)
    }
}
