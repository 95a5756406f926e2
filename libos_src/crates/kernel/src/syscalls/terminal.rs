//! `ioctl` of the host's terminal (ioctl_tty(2)).
//!
//! Its settings and its line discipline are the host's: what is asked here is asked there. Sessions
//! and groups are the LibOS's own, of which the host knows nothing.

use hal::{Errno, SettingsTime, TerminalRequest, TerminalSettings};

use super::call::{Call, Outcome, Stop};
use crate::files::{ConsoleHolder, HostStream};
use crate::processes::Target;
use crate::signals::{Signal, SignalInfo};

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCFLSH: u32 = 0x540b;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;
const TIOCNOTTY: u32 = 0x5422;
const TIOCGSID: u32 = 0x5429;

/// Serves a request about the terminal behind `stream`; `ENOTTY` for any other.
pub(super) fn control(
    call: &mut Call<'_>,
    stream: &HostStream,
    request: u32,
    argument: u64,
) -> Outcome {
    let (machine, fd) = (call.libos.machine, stream.descriptor());
    let ask = |what, value| machine.host_tty_request(fd, what, value);
    match request {
        TCGETS => {
            let settings = machine.host_tty_settings(fd)?;
            call.memory().copy_out(argument, &settings)?;
        }
        TCSETS | TCSETSW | TCSETSF => {
            let mut settings: TerminalSettings = [0; _];
            call.memory().copy_in(argument, &mut settings)?;
            call.must_be_in_foreground(Signal::TTOU)?;
            let when = match request {
                TCSETS => SettingsTime::Now,
                TCSETSW => SettingsTime::AfterOutput,
                _ => SettingsTime::WithoutInput,
            };
            machine.set_host_tty_settings(fd, &settings, when)?;
        }
        // An argument of 0 asks for a break, which no terminal of today knows.
        TCSBRK => drop(ask(TerminalRequest::Drain, 0)?),
        TCFLSH => {
            call.must_be_in_foreground(Signal::TTOU)?;
            let what = match argument {
                0 => TerminalRequest::FlushInput,
                1 => TerminalRequest::FlushOutput,
                2 => TerminalRequest::Flush,
                _ => return Err(Errno::EINVAL.into()),
            };
            ask(what, 0)?;
        }
        FIONREAD => {
            let size = ask(TerminalRequest::InputSize, 0)?;
            call.memory().write(argument, &size)?;
        }
        TIOCOUTQ => call.memory().write(argument, &0u32)?,
        TIOCGWINSZ => {
            let size = machine.host_tty_size(fd)?;
            call.memory()
                .write(argument, &[size.rows, size.columns, 0, 0])?;
        }
        TIOCSWINSZ => {
            let [rows, columns, _, _]: [u16; 4] = call.memory().read(argument)?;
            let packed = u32::from(rows) << 16 | u32::from(columns);
            ask(TerminalRequest::SetSize, packed)?;
        }
        _ => return control_session(call, request, argument),
    }
    Ok(0)
}

/// What does not concern the host.
fn control_session(call: &mut Call<'_>, request: u32, argument: u64) -> Outcome {
    let (libos, pid) = (call.libos, call.process.pid);
    let (_, session) = libos.processes.group_and_session(pid)?;
    let holder = libos.console.holder();
    let is_own = holder.session == session;
    match request {
        TIOCGPGRP if is_own => call.memory().write(argument, &holder.foreground)?,
        TIOCGSID if is_own => call.memory().write(argument, &session)?,
        TIOCSPGRP if is_own => {
            let group: i32 = call.memory().read(argument)?;
            let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
            call.must_be_in_foreground(Signal::TTOU)?;
            if !libos.processes.is_group_of(group, session) {
                return Err(Errno::EPERM.into());
            }
            let foreground = group;
            libos.console.change(|holder| {
                (holder.session == session).then_some(ConsoleHolder {
                    session,
                    foreground,
                })
            });
        }
        TIOCSCTTY => {
            let taken = libos.console.change(|holder| {
                let is_free = holder.session == 0 || !libos.processes.has_session(holder.session);
                let may = pid == session && (is_free || holder.session == session);
                may.then_some(ConsoleHolder {
                    session,
                    foreground: pid,
                })
            });
            if !taken {
                return Err(Errno::EPERM.into());
            }
        }
        TIOCNOTTY if is_own => {
            if pid == session {
                libos.console.change(|_| {
                    Some(ConsoleHolder {
                        session: 0,
                        foreground: 0,
                    })
                });
            }
        }
        _ => return Err(Errno::ENOTTY.into()),
    }
    Ok(0)
}

impl Call<'_> {
    /// Stops the group of the caller with `signal` if it is in the background of its terminal, and
    /// has the call made again once it goes on.
    ///
    /// Who blocks or ignores the signal may write and set all the same (`SIGTTOU`), and gets `EIO`
    /// for reading (`SIGTTIN`), as does a group that nobody could continue.
    pub(super) fn must_be_in_foreground(&self, signal: Signal) -> Result<(), Stop> {
        let (libos, pid) = (self.libos, self.process.pid);
        let (group, session) = libos.processes.group_and_session(pid)?;
        let holder = libos.console.holder();
        if holder.session != session || holder.foreground == group {
            return Ok(());
        }
        let is_unheard = self.thread.signals.lock().mask.contains(signal)
            || self.process.signals.lock().action(signal).ignores(signal);
        if is_unheard && signal == Signal::TTOU {
            return Ok(());
        }
        if is_unheard || libos.processes.is_orphaned(pid) {
            return Err(Errno::EIO.into());
        }
        for process in libos.processes.targets(pid, Target::Group(group))? {
            libos.send_to_process(&process, signal, SignalInfo::from_kernel(signal))?;
        }
        Err(Stop::Restart)
    }
}
