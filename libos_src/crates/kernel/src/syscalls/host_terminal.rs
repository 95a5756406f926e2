//! `ioctl` of the host's terminal (ioctl_tty(2)).
//!
//! Its settings and its line discipline are the host's: what is asked here is asked there. Sessions
//! and groups are the LibOS's own, of which the host knows nothing.

use hal::{Errno, SettingsTime, TerminalRequest, TerminalSettings};
use tty::{Local, Settings};
use vfs::OpenFile;
use zerocopy::FromBytes;

use super::call::{Call, Outcome};
use super::terminal;
use crate::files::HostStream;
use crate::signals::Signal;

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCFLSH: u32 = 0x540b;
const TIOCOUTQ: u32 = 0x5411;
/// Typing for somebody else: refused, as Linux does unless it is told otherwise.
const TIOCSTI: u32 = 0x5412;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;

/// Serves a request about the terminal behind `stream`; `ENOTTY` for any other.
pub(super) fn control(
    call: &mut Call<'_>,
    file: &OpenFile,
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
            call.must_be_in_foreground(&call.libos.terminals.console, Signal::TTOU)?;
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
            call.must_be_in_foreground(&call.libos.terminals.console, Signal::TTOU)?;
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
        TIOCSTI => return Err(Errno::EIO.into()),
        _ => {
            let control = &call.libos.terminals.console;
            return terminal::control(call, file, control, request, argument);
        }
    }
    Ok(0)
}

/// Whether a group in the background that writes is stopped (`TOSTOP`).
pub(super) fn stops_background_output(call: &Call<'_>, stream: &HostStream) -> bool {
    let settings = call.libos.machine.host_tty_settings(stream.descriptor());
    settings.is_ok_and(|settings| {
        let settings = Settings::read_from_bytes(&settings[..]);
        settings.is_ok_and(|known| known.local().contains(Local::STOPS_BACKGROUND_OUTPUT))
    })
}
