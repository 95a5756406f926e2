//! Reading, and `ioctl`, of pseudo-terminals (pty(7), ioctl_tty(2)).

use core::time::Duration;

use hal::Errno;
use tty::{Local, Queue, Settings, Size};
use vfs::{Mode, OpenFile, OpenFlags, Readiness};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::buffers::Buffers;
use super::call::{Call, Outcome, Stop};
use super::records::Vector;
use super::terminal;
use crate::files::Descriptor;
use crate::signals::{Recipient, Signal};
use crate::terminals::End;
use crate::threads::{Deadline, Wake};

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCGETA: u32 = 0x5405;
const TCSETA: u32 = 0x5406;
const TCSETAW: u32 = 0x5407;
const TCSETAF: u32 = 0x5408;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCEXCL: u32 = 0x540c;
const TIOCNXCL: u32 = 0x540d;
const TIOCOUTQ: u32 = 0x5411;
const TIOCSTI: u32 = 0x5412;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;
const TIOCPKT: u32 = 0x5420;
const TCSBRKP: u32 = 0x5425;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCSIG: u32 = 0x4004_5436;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSW2: u32 = 0x402c_542c;
const TCSETSF2: u32 = 0x402c_542d;
const TIOCGEXCL: u32 = 0x8004_5440;
const TIOCGPTN: u32 = 0x8004_5430;
const TIOCGPKT: u32 = 0x8004_5438;
const TIOCGPTLCK: u32 = 0x8004_5439;
const TIOCGPTPEER: u32 = 0x5441;
const TIOCGLCKTRMIOS: u32 = 0x5456;

/// A tenth of a second, the unit of `VTIME`.
const TIME_UNIT: Duration = Duration::from_millis(100);

/// `struct termio`: the settings of System V, whose flags have 16 bits.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct ShortSettings {
    flags: [u16; 4],
    line: u8,
    characters: [u8; Self::CHARACTERS],
    padding: u8,
}

impl ShortSettings {
    const CHARACTERS: usize = 8;
    /// Where a `struct termios` has its line and, behind it, its characters.
    const LINE_AT: usize = 16;

    fn of(settings: &Settings) -> Self {
        let bytes = settings.as_bytes();
        let low = |at: usize| u16::from_le_bytes([bytes[4 * at], bytes[4 * at + 1]]);
        let mut characters = [0; Self::CHARACTERS];
        characters.copy_from_slice(&bytes[Self::LINE_AT + 1..][..Self::CHARACTERS]);
        Self {
            flags: [low(0), low(1), low(2), low(3)],
            line: bytes[Self::LINE_AT],
            characters,
            padding: 0,
        }
    }

    /// The same settings but for what it says.
    fn put_into(self, settings: &Settings) -> Result<Settings, Errno> {
        let mut bytes = [0; size_of::<Settings>()];
        bytes.copy_from_slice(settings.as_bytes());
        for (place, flags) in bytes.chunks_exact_mut(4).zip(self.flags) {
            place[..2].copy_from_slice(&flags.to_le_bytes());
        }
        bytes[Self::LINE_AT] = self.line;
        bytes[Self::LINE_AT + 1..][..Self::CHARACTERS].copy_from_slice(&self.characters);
        Settings::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)
    }
}

/// Serves a request about a pseudo-terminal; `ENOTTY` for any other.
pub(super) fn control(
    call: &mut Call<'_>,
    file: &OpenFile,
    end: &End,
    request: u32,
    argument: u64,
) -> Outcome {
    let terminal = end.terminal();
    if end.is_hung_up() {
        return Err(match request {
            // On Linux it is nobody's terminal any more before it is no terminal.
            terminal::TIOCSPGRP => Errno::ENOTTY.into(),
            _ => Errno::EIO.into(),
        });
    }
    match request {
        TCGETS => {
            let settings = terminal.settings();
            call.memory().copy_out(argument, settings.as_bytes())?;
        }
        TCSETS | TCSETSW | TCSETSF => {
            let mut bytes = [0; size_of::<Settings>()];
            call.memory().copy_in(argument, &mut bytes)?;
            call.must_be_in_foreground(&terminal.control, Signal::TTOU)?;
            let settings = Settings::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
            terminal.set_settings(settings, request == TCSETSF);
        }
        TCGETA => {
            let short = ShortSettings::of(&terminal.settings());
            call.memory().write(argument, &short)?;
        }
        TCSETA | TCSETAW | TCSETAF => {
            let short: ShortSettings = call.memory().read(argument)?;
            call.must_be_in_foreground(&terminal.control, Signal::TTOU)?;
            let settings = short.put_into(&terminal.settings())?;
            terminal.set_settings(settings, request == TCSETAF);
        }
        // No setting is locked.
        TIOCGLCKTRMIOS => {
            call.memory()
                .copy_out(argument, &[0; size_of::<Settings>()])?;
        }
        TCGETS2 => {
            let settings = terminal.settings();
            let speeds = settings.speeds(terminal.custom_speeds());
            call.memory().copy_out(argument, settings.as_bytes())?;
            let behind = argument.wrapping_add(size_of::<Settings>() as u64);
            call.memory().write(behind, &speeds)?;
        }
        TCSETS2 | TCSETSW2 | TCSETSF2 => {
            let mut bytes = [0; size_of::<Settings>()];
            call.memory().copy_in(argument, &mut bytes)?;
            let behind = argument.wrapping_add(bytes.len() as u64);
            let speeds: [u32; 2] = call.memory().read(behind)?;
            call.must_be_in_foreground(&terminal.control, Signal::TTOU)?;
            let settings = Settings::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
            terminal.set_custom_speeds(speeds);
            terminal.set_settings(settings, request == TCSETSF2);
        }
        // Output has arrived as soon as it is written, and nobody knows of breaks.
        TCSBRK | TCSBRKP => call.must_be_in_foreground(&terminal.control, Signal::TTOU)?,
        TCXONC => {
            call.must_be_in_foreground(&terminal.control, Signal::TTOU)?;
            control_flow(end, argument)?;
        }
        TCFLSH => {
            call.must_be_in_foreground(&terminal.control, Signal::TTOU)?;
            flush(end, argument)?;
        }
        // Of a master there is one in any case.
        TIOCEXCL | TIOCNXCL if end.is_master() => {}
        TIOCEXCL | TIOCNXCL => terminal.set_exclusive(request == TIOCEXCL),
        TIOCGEXCL => {
            let is_exclusive = !end.is_master() && terminal.is_exclusive();
            call.memory().write(argument, &u32::from(is_exclusive))?;
        }
        FIONREAD => {
            let len = terminal.line(|line| {
                if end.is_master() {
                    line.output_bytes()
                } else {
                    line.readable_bytes()
                }
            });
            call.memory().write(argument, &(len as u32))?;
        }
        TIOCOUTQ => call.memory().write(argument, &0u32)?,
        TIOCGWINSZ => {
            let size = terminal.size();
            call.memory().copy_out(argument, size.as_bytes())?;
        }
        TIOCSWINSZ => {
            let mut bytes = [0; size_of::<Size>()];
            call.memory().copy_in(argument, &mut bytes)?;
            let size = Size::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
            terminal.set_size(size);
        }
        // Typing for somebody else: refused, as Linux does unless it is told otherwise.
        TIOCSTI => return Err(Errno::EIO.into()),
        _ if end.is_master() => return control_master(call, file, end, request, argument),
        _ => return terminal::control(call, file, &terminal.control, request, argument),
    }
    Ok(0)
}

fn control_master(
    call: &mut Call<'_>,
    file: &OpenFile,
    end: &End,
    request: u32,
    argument: u64,
) -> Outcome {
    let terminal = end.terminal();
    match request {
        TIOCGPTN => call.memory().write(argument, &terminal.number())?,
        TIOCSPTLCK => {
            let is_locked: i32 = call.memory().read(argument)?;
            terminal.set_locked(is_locked != 0);
        }
        TIOCGPTLCK => {
            let is_locked = u32::from(terminal.is_locked());
            call.memory().write(argument, &is_locked)?;
        }
        TIOCPKT => {
            let is_on: i32 = call.memory().read(argument)?;
            terminal.change(|line, _| line.set_packet(is_on != 0));
        }
        TIOCGPKT => {
            let is_on = terminal.line(|line| line.packet().is_some());
            call.memory().write(argument, &u32::from(is_on))?;
        }
        TIOCSIG => {
            let signal = Signal::new(argument as i32)?;
            if ![Signal::INT, Signal::QUIT, Signal::TSTP].contains(&signal) {
                return Err(Errno::EINVAL.into());
            }
            let foreground = terminal.control.holder().foreground;
            let outbox = &call.libos.outbox;
            outbox.post(Recipient::Group(foreground), signal);
        }
        TIOCGPTPEER => return open_peer(call, end, argument),
        _ => return terminal::control(call, file, &terminal.control, request, argument),
    }
    Ok(0)
}

/// Opens the slave without a path.
fn open_peer(call: &Call<'_>, end: &End, flags: u64) -> Outcome {
    let flags = OpenFlags::from_argument(flags as u32);
    let mut name = [0; 10];
    let name = decimal(end.terminal().number(), &mut name);
    let directory = call.libos.terminals.directory.get().ok_or(Errno::EIO)?;
    let viewpoint = call.viewpoint().clone();
    let mode = Mode::from_low_bits(0);
    let file = viewpoint.open(Some(directory), name, flags, mode)?;
    if flags.is_readable() && !flags.contains(OpenFlags::NO_CONTROLLING_TERMINAL) {
        let control = &end.terminal().control;
        call.libos.take_terminal(control, call.process.pid);
    }
    let descriptor = Descriptor {
        file,
        is_closed_on_exec: flags.contains(OpenFlags::CLOSE_ON_EXEC),
    };
    Ok(call.task.places.files.write().add(0, descriptor)? as u64)
}

/// A number in digits.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || start == 0 {
            return &digits[start..];
        }
    }
}

/// `tcflow(3)`.
fn control_flow(end: &End, what: u64) -> Result<(), Errno> {
    let terminal = end.terminal();
    let characters = terminal.settings().characters;
    match what {
        0 => terminal.change(|line, _| line.suspend()),
        1 => terminal.change(|line, _| line.resume()),
        // The terminal emulator is to stop or start: it gets the character that says so.
        2 | 3 => {
            let byte = if what == 2 {
                characters.stop
            } else {
                characters.start
            };
            const NONE: u8 = 0;
            if byte != NONE {
                terminal.change(|line, _| line.send(byte));
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// `tcflush(3)`.
fn flush(end: &End, what: u64) -> Result<(), Errno> {
    let queues: &[Queue] = match what {
        0 => &[Queue::Input],
        1 => &[Queue::Output],
        2 => &[Queue::Input, Queue::Output],
        _ => return Err(Errno::EINVAL),
    };
    end.terminal().change(|line, _| {
        for &queue in queues {
            if end.is_master() {
                line.flush_emulator(queue);
            } else {
                line.flush(queue);
            }
        }
    });
    Ok(())
}

impl Call<'_> {
    /// Reads the slave of a pseudo-terminal: a line, or with `VMIN` and `VTIME` what has come.
    pub(super) fn read_slave(&self, file: &OpenFile, end: &End, vectors: &[Vector]) -> Outcome {
        if !file.flags().is_readable() {
            return Err(Errno::EBADF.into());
        }
        self.may_use_terminal(file, Readiness::READABLE)?;
        let mut buffers = Buffers::new(self.memory(), vectors);
        let settings = end.terminal().settings();
        let is_canonical = settings.local().contains(Local::CANONICAL);
        let characters = settings.characters;
        let time = TIME_UNIT * characters.time.into();
        let may_wait = !file.flags().contains(OpenFlags::NON_BLOCKING);
        let machine = self.libos.machine;
        let (least, mut deadline) = match (is_canonical, characters.min) {
            (true, _) => (1, Deadline::NEVER),
            (false, 0) => (1, Deadline::after(machine, time)),
            (false, min) => (u64::from(min), Deadline::NEVER),
        };
        let never_waits = !is_canonical && characters.min == 0 && time.is_zero();
        let alarm = self.alarm();
        let Some(watchers) = file.watchers() else {
            return Err(Errno::EIO.into());
        };
        watchers.add(&alarm, Readiness::READABLE);
        let mut done = 0;
        let mut has_waited = false;
        let outcome = loop {
            if buffers.left() == 0 {
                break Ok(());
            }
            match file.read_to(&mut buffers) {
                // Whoever waits when the terminal hangs up is told so.
                Ok(0) if has_waited && end.is_hung_up() => break Err(Errno::EIO.into()),
                Ok(0) => break Ok(()),
                Ok(count) => {
                    done += count as u64;
                    if done >= least {
                        break Ok(());
                    }
                    if !time.is_zero() && !is_canonical {
                        deadline = Deadline::after(machine, time);
                    }
                    continue;
                }
                Err(Errno::EAGAIN) if never_waits => break Ok(()),
                Err(Errno::EAGAIN) if may_wait => {}
                Err(errno) => break Err(errno.into()),
            }
            match self.libos.sleep(self.process, self.thread, deadline) {
                Wake::Look => has_waited = true,
                Wake::TimedOut => break Ok(()),
                Wake::Signal => break Err(Stop::Restart),
            }
        };
        watchers.remove(&alarm);
        match outcome {
            Err(stop) if done == 0 => Err(stop),
            _ => Ok(done),
        }
    }
}
