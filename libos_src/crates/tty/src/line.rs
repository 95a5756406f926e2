//! A line between a terminal emulator and programs.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bitflags::bitflags;

use crate::echo::Echo;
use crate::input::Typing;
use crate::output::{CAPACITY_BYTES, Screen, is_continuation, is_control, is_of_word, to_lower};
use crate::settings::{Characters, Input, Local, Settings};

/// Bytes that the terminal emulator can send before anybody looks at them: Linux's limit, and the
/// buffer that it gives before it finds that this is reached.
const ARRIVING_MAX_BYTES: usize = 8192 + 256;
/// Linux's `__DISABLED_CHAR`: no character, and the mark of an end of file.
const NONE: u8 = 0;

/// A terminal's line discipline and its queues.
#[derive(Debug, Default)]
pub struct Line {
    settings: Settings,
    /// What was sent and does not fit into `typing` yet.
    arriving: VecDeque<u8>,
    typing: Typing,
    echo: Echo,
    screen: Screen,
    /// Whether the next character means nothing special.
    is_literal_next: bool,
    /// Whether erased characters are being printed.
    is_erasing: bool,
    /// Whether the terminal emulator is told of more than output, and what of it is due.
    packet: Option<Packet>,
}

/// What a person asked for besides input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// `SIGINT`.
    Interrupt,
    /// `SIGQUIT`.
    Quit,
    /// `SIGTSTP`.
    Suspend,
}

/// Which queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// What was typed and not read.
    Input,
    /// What was written and not shown.
    Output,
}

bitflags! {
    /// What packet mode tells (`TIOCPKT_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Packet: u8 {
        /// Input was flushed.
        const FLUSHED_INPUT = 1;
        /// Output was flushed.
        const FLUSHED_OUTPUT = 2;
        /// Output was stopped.
        const STOPPED = 4;
        /// Output was started.
        const STARTED = 8;
        /// The usual characters do not stop and start it any more.
        const NO_FLOW_CONTROL = 16;
        /// They do.
        const FLOW_CONTROL = 32;
        /// Settings were changed while the terminal emulator edits.
        const SETTINGS = 64;
    }
}

impl Line {
    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings.
    pub fn set_settings(&mut self, settings: Settings) {
        let old = self.settings;
        let new = settings.of_pseudo_terminal();
        self.settings = new;
        let mode = Local::CANONICAL | Local::EXTERNAL;
        if (old.local() ^ new.local()).intersects(mode) {
            self.typing
                .change_mode(new.local().contains(Local::CANONICAL));
            self.is_erasing = false;
            self.is_literal_next = false;
        }
        let was_controlled = old.input().contains(Input::FLOW_CONTROL);
        if was_controlled && !new.input().contains(Input::FLOW_CONTROL) {
            self.start();
        }
        self.tell_of_settings(&old);
    }

    fn tell_of_settings(&mut self, old: &Settings) {
        let has_usual_flow_control = |settings: &Settings| {
            settings.input().contains(Input::FLOW_CONTROL)
                && (settings.characters.stop, settings.characters.start) == (0o23, 0o21)
        };
        let (before, now) = (
            has_usual_flow_control(old),
            has_usual_flow_control(&self.settings),
        );
        let is_external = (old.local() | self.settings.local()).contains(Local::EXTERNAL);
        let Some(packet) = &mut self.packet else {
            return;
        };
        if before != now {
            packet.remove(Packet::NO_FLOW_CONTROL | Packet::FLOW_CONTROL);
            packet.insert(if now {
                Packet::FLOW_CONTROL
            } else {
                Packet::NO_FLOW_CONTROL
            });
        }
        packet.set(
            Packet::SETTINGS,
            is_external || packet.contains(Packet::SETTINGS),
        );
    }

    /// The terminal emulator sends bytes. Returns how many there was room for, and adds the signals
    /// that are due to `typed`.
    pub fn type_in(&mut self, bytes: &[u8], typed: &mut Vec<Typed>) -> usize {
        let room = ARRIVING_MAX_BYTES.saturating_sub(self.arriving.len());
        let taken = room.min(bytes.len());
        self.arriving.extend(&bytes[..taken]);
        self.receive(typed);
        taken
    }

    /// How many bytes the terminal emulator can send.
    #[must_use]
    pub fn type_in_room(&self) -> usize {
        ARRIVING_MAX_BYTES.saturating_sub(self.arriving.len())
    }

    /// How many bytes a program could read.
    #[must_use]
    pub fn readable_bytes(&self) -> usize {
        if self.settings.reads_lines() {
            self.typing.readable_len()
        } else {
            self.typing.len()
        }
    }

    /// Whether a program that reads would get something, be it the end of a file. `poll` also heeds
    /// the least that it wants.
    #[must_use]
    pub fn has_input(&self, for_poll: bool) -> bool {
        if self.settings.reads_lines() {
            return self.typing.lines_len() > 0;
        }
        let Characters { min, time, .. } = self.settings.characters;
        let least = if for_poll && time == 0 { min.max(1) } else { 1 };
        self.typing.len() >= least.into()
    }

    /// A program reads: a line or a part of it, or else what there is. `None` if it has to wait.
    pub fn read(&mut self, buffer: &mut [u8], typed: &mut Vec<Typed>) -> Option<usize> {
        if !self.has_input(false) {
            return None;
        }
        let count = if self.settings.reads_lines() {
            self.typing.take_line(buffer)
        } else {
            self.typing.take(buffer)
        };
        self.receive(typed);
        Some(count)
    }

    /// A program writes. Returns for how much there was room.
    pub fn write(&mut self, data: &[u8]) -> usize {
        self.show();
        self.screen.write(data, &self.settings)
    }

    /// Whether a program can write something.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.screen.room() > 0
    }

    /// How many bytes the terminal emulator could take.
    #[must_use]
    pub fn output_bytes(&self) -> usize {
        self.screen.len()
    }

    /// The terminal emulator takes output. `None` if there is nothing.
    pub fn take(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let count = match &mut self.packet {
            Some(packet) if !packet.is_empty() => {
                let (first, _) = buffer.split_first_mut()?;
                *first = core::mem::take(packet).bits();
                1
            }
            _ if self.screen.len() == 0 => return None,
            Some(_) => {
                let (first, rest) = buffer.split_first_mut()?;
                *first = 0;
                1 + self.screen.take(rest)
            }
            None => self.screen.take(buffer),
        };
        self.show();
        Some(count)
    }

    /// What packet mode has to tell; `None` when it is off.
    #[must_use]
    pub const fn packet(&self) -> Option<Packet> {
        self.packet
    }

    /// Turns packet mode on or off.
    pub fn set_packet(&mut self, is_on: bool) {
        match (is_on, self.packet) {
            (true, None) => self.packet = Some(Packet::empty()),
            (false, _) => self.packet = None,
            (true, Some(_)) => {}
        }
    }

    /// Forgets what is in a queue (`tcflush`).
    pub fn flush(&mut self, queue: Queue) {
        match queue {
            Queue::Input => {
                self.arriving.clear();
                self.flush_input();
            }
            Queue::Output => {
                self.screen.settle();
                self.screen.flush();
                self.tell(Packet::FLUSHED_OUTPUT);
            }
        }
    }

    /// Forgets what is in a queue of the terminal emulator (`tcflush` on its side): its input is the
    /// program's output.
    pub fn flush_emulator(&mut self, queue: Queue) {
        match queue {
            Queue::Input => self.screen.clear(),
            Queue::Output => self.arriving.clear(),
        }
    }

    /// Stops output for a program, which alone can start it again (`TCOOFF`).
    pub fn suspend(&mut self) {
        self.screen.is_suspended = true;
        self.stop();
    }

    /// Starts what a program has stopped, and nothing else (`TCOON`).
    pub fn resume(&mut self) {
        if core::mem::take(&mut self.screen.is_suspended) {
            self.start();
        }
    }

    /// Stops output, until somebody starts it.
    fn stop(&mut self) {
        if !self.screen.is_stopped {
            self.screen.is_stopped = true;
            self.untell(Packet::STARTED);
            self.tell(Packet::STOPPED);
        }
    }

    /// Starts output.
    fn start(&mut self) {
        self.start_screen();
        self.show();
    }

    fn start_screen(&mut self) {
        if self.screen.is_stopped && !self.screen.is_suspended {
            self.screen.is_stopped = false;
            self.untell(Packet::STOPPED);
            self.tell(Packet::STARTED);
        }
    }

    /// Sends a byte to the terminal emulator as it is, also while output is stopped by a key. It is lost
    /// while a program has stopped it, or if there is no room for it.
    pub fn send(&mut self, byte: u8) {
        if self.screen.len() < CAPACITY_BYTES && !self.screen.is_suspended {
            self.screen.put(byte);
        }
    }

    /// Does what a signal does to the queues.
    fn flush_for_signal(&mut self) {
        if self.settings.local().contains(Local::KEEPS_QUEUES) {
            return;
        }
        self.echo.clear();
        self.screen.flush();
        self.tell(Packet::FLUSHED_OUTPUT);
        self.flush_input();
    }

    fn flush_input(&mut self) {
        self.typing.clear();
        self.is_erasing = false;
        self.tell(Packet::FLUSHED_INPUT);
    }

    fn tell(&mut self, what: Packet) {
        if let Some(packet) = &mut self.packet {
            packet.insert(what);
        }
    }

    fn untell(&mut self, what: Packet) {
        if let Some(packet) = &mut self.packet {
            packet.remove(what);
        }
    }

    fn show(&mut self) {
        self.echo.show(&mut self.screen, &self.settings);
    }

    /// Looks at what has arrived, as far as it fits.
    fn receive(&mut self, typed: &mut Vec<Typed>) {
        let width = if self.settings.input().contains(Input::MARKS_ERRORS) {
            3
        } else {
            1
        };
        self.screen.settle();
        while !self.arriving.is_empty() {
            let is_canonical = self.settings.local().contains(Local::CANONICAL);
            let room = self.typing.room(width, is_canonical);
            if room == 0 {
                break;
            }
            let count = room.min(self.arriving.len());
            for _ in 0..count {
                if let Some(byte) = self.arriving.pop_front() {
                    self.receive_byte(byte, typed);
                }
            }
            self.show();
        }
    }

    fn receive_byte(&mut self, byte: u8, typed: &mut Vec<Typed>) {
        let mut byte = byte;
        let (input, local) = (self.settings.input(), self.settings.local());
        let is_raw = self.settings.is_raw();
        if !is_raw {
            if input.contains(Input::STRIPS) {
                byte &= 0x7f;
            }
            if input.contains(Input::TO_LOWER_CASE) && local.contains(Local::EXTENDED) {
                byte = to_lower(byte);
            }
        }
        if core::mem::take(&mut self.is_literal_next) && !is_raw {
            self.receive_plain(byte);
        } else if is_raw || local.contains(Local::EXTERNAL) {
            self.typing.push(byte);
        } else if byte == NONE {
            self.receive_plain(byte);
        } else {
            self.receive_special(byte, typed);
        }
    }

    /// A character that may mean something.
    fn receive_special(&mut self, byte: u8, typed: &mut Vec<Typed>) {
        let (input, local) = (self.settings.input(), self.settings.local());
        let characters = self.settings.characters;
        if input.contains(Input::FLOW_CONTROL) {
            if byte == characters.start {
                return self.start();
            }
            if byte == characters.stop {
                return self.stop();
            }
        }
        if local.contains(Local::SIGNALS) {
            let signal = match byte {
                byte if byte == characters.intr => Some(Typed::Interrupt),
                byte if byte == characters.quit => Some(Typed::Quit),
                byte if byte == characters.susp => Some(Typed::Suspend),
                _ => None,
            };
            if let Some(signal) = signal {
                typed.push(signal);
                return self.receive_signal(byte);
            }
        }
        self.start_by_any();
        let meant = match byte {
            b'\r' if input.contains(Input::IGNORES_RETURN) => return,
            b'\r' if input.contains(Input::RETURN_TO_NEW_LINE) => b'\n',
            b'\n' if input.contains(Input::NEW_LINE_TO_RETURN) => b'\r',
            byte => byte,
        };
        if local.contains(Local::CANONICAL) && self.edit(meant) {
            return;
        }
        if (byte, meant) != (b'\r', b'\n') {
            return self.receive_plain(meant);
        }
        // A return that became a new line is shown as one, also where no lines are read.
        if local.contains(Local::ECHO) {
            self.finish_erasing();
            self.echo.raw(b"\n");
        }
        self.push(meant);
    }

    fn receive_signal(&mut self, byte: u8) {
        self.flush_for_signal();
        if self.settings.input().contains(Input::FLOW_CONTROL) {
            self.start_screen();
        }
        if self.settings.local().contains(Local::ECHO) {
            self.echo.character(byte, &self.settings);
        } else {
            self.show();
        }
    }

    fn start_by_any(&mut self) {
        let any = Input::FLOW_CONTROL | Input::ANY_STARTS;
        if self.screen.is_stopped && self.settings.input().contains(any) {
            self.start();
        }
    }

    /// A character that means itself.
    fn receive_plain(&mut self, byte: u8) {
        self.start_by_any();
        if self.settings.local().contains(Local::ECHO) {
            self.finish_erasing();
            self.echo_character(byte);
        }
        self.push(byte);
    }

    fn echo_character(&mut self, byte: u8) {
        if self.typing.is_at_start() {
            self.echo.first_column();
        }
        self.echo.character(byte, &self.settings);
    }

    fn push(&mut self, byte: u8) {
        if byte == 0xff && self.settings.input().contains(Input::MARKS_ERRORS) {
            self.typing.push(byte);
        }
        self.typing.push(byte);
    }

    /// Whether the character edits the line, or ends it.
    fn edit(&mut self, byte: u8) -> bool {
        let local = self.settings.local();
        let (echoes, is_extended) = (local.contains(Local::ECHO), local.contains(Local::EXTENDED));
        let characters = self.settings.characters;
        let is = |character: u8| character != NONE && byte == character;
        if is(characters.erase) {
            self.erase(Erase::Character);
        } else if is(characters.kill) {
            self.kill();
        } else if is(characters.werase) && is_extended {
            self.erase(Erase::Word);
        } else if is(characters.lnext) && is_extended {
            self.is_literal_next = true;
            if echoes {
                self.finish_erasing();
                if local.contains(Local::ECHO_CONTROL) {
                    self.echo.raw(b"^\x08");
                }
            }
        } else if is(characters.reprint) && echoes && is_extended {
            self.finish_erasing();
            self.echo.character(byte, &self.settings);
            self.echo.raw(b"\n");
            for byte in self.typing.edited() {
                self.echo.character(byte, &self.settings);
            }
        } else if byte == b'\n' {
            if local.intersects(Local::ECHO | Local::ECHO_NEW_LINE) {
                self.echo.raw(b"\n");
            }
            self.typing.end_line(byte);
        } else if is(characters.eof) {
            self.typing.end_line(NONE);
        } else if is(characters.eol) || (is(characters.eol2) && is_extended) {
            if echoes {
                self.echo_character(byte);
            }
            if byte == 0xff && self.settings.input().contains(Input::MARKS_ERRORS) {
                self.typing.push(byte);
            }
            self.typing.end_line(byte);
        } else {
            return false;
        }
        true
    }

    fn kill(&mut self) {
        if self.typing.is_at_start() {
            return;
        }
        let local = self.settings.local();
        let vanishes = Local::ECHO_KILL | Local::ECHO_KILL_ERASE | Local::ECHO_ERASE;
        if local.contains(Local::ECHO) && local.contains(vanishes) {
            return self.erase(Erase::Line);
        }
        self.typing.erase(usize::MAX);
        if local.contains(Local::ECHO) {
            self.finish_erasing();
            self.echo
                .character(self.settings.characters.kill, &self.settings);
            if local.contains(Local::ECHO_KILL) {
                self.echo.raw(b"\n");
            }
        }
    }

    fn erase(&mut self, what: Erase) {
        if self.typing.is_at_start() {
            return;
        }
        let mut has_met_word = false;
        loop {
            let last = self.typing.edited().next_back();
            let Some(first) = last else {
                break;
            };
            let mut count = 1;
            let mut byte = first;
            if is_continuation(first, &self.settings) {
                // All bytes of one character.
                let mut before = self.typing.edited().rev().skip(1);
                while is_continuation(byte, &self.settings) {
                    let Some(earlier) = before.next() else {
                        break;
                    };
                    byte = earlier;
                    count += 1;
                }
                if is_continuation(byte, &self.settings) {
                    break;
                }
            }
            if what == Erase::Word {
                if is_of_word(byte) {
                    has_met_word = true;
                } else if has_met_word {
                    break;
                }
            }
            let rest: Vec<u8> = self.typing.edited().rev().take(count - 1).collect();
            self.typing.erase(count);
            if self.settings.local().contains(Local::ECHO) {
                self.show_erased(byte, &rest, what);
            }
            if what == Erase::Character {
                break;
            }
        }
        if self.typing.is_at_start() && self.settings.local().contains(Local::ECHO) {
            self.finish_erasing();
        }
    }

    /// Shows that a character is gone: its first byte, and the others, the last one first.
    fn show_erased(&mut self, byte: u8, rest: &[u8], what: Erase) {
        let local = self.settings.local();
        if local.contains(Local::ECHO_PRINT) {
            if !core::mem::replace(&mut self.is_erasing, true) {
                self.echo.raw(b"\\");
            }
            self.echo.character(byte, &self.settings);
            for &byte in rest.iter().rev() {
                self.echo.raw(&[byte]);
                self.echo.move_back();
            }
        } else if what == Erase::Character && !local.contains(Local::ECHO_ERASE) {
            self.echo
                .character(self.settings.characters.erase, &self.settings);
        } else if byte == b'\t' {
            let mut columns = 0;
            let mut after_tab = false;
            for byte in self.typing.edited().rev() {
                if byte == b'\t' {
                    after_tab = true;
                    break;
                }
                if is_control(byte) {
                    columns += if local.contains(Local::ECHO_CONTROL) {
                        2
                    } else {
                        0
                    };
                } else if !is_continuation(byte, &self.settings) {
                    columns += 1;
                }
            }
            self.echo.erase_tab(columns, after_tab);
        } else {
            let has_caret = local.contains(Local::ECHO_CONTROL);
            let width = match (is_control(byte), has_caret) {
                (true, true) => 2,
                (true, false) => 0,
                (false, _) => 1,
            };
            for _ in 0..width {
                self.echo.raw(b"\x08 \x08");
            }
        }
    }

    fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.is_erasing) {
            self.echo.raw(b"/");
        }
    }
}

/// What an editing character erases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}
