//! What goes to the screen, and where the cursor is then.

use alloc::collections::VecDeque;

use crate::settings::{Input, Output, Settings};

/// Bytes that a terminal emulator finds even after the output was flushed.
const KEPT_BYTES: usize = 4095;
/// Bytes that can be written before somebody takes them.
pub(crate) const CAPACITY_BYTES: usize = KEPT_BYTES + 8192;
const TAB_COLUMNS: usize = 8;

/// Output that the terminal emulator has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    bytes: VecDeque<u8>,
    /// How many of them a flush leaves: those that Linux has passed on by then.
    settled_len: usize,
    /// Whether it is stopped.
    pub(crate) is_stopped: bool,
    /// Whether it was a program that has stopped it: then no key starts it.
    pub(crate) is_suspended: bool,
    pub(crate) column: usize,
    /// Where the line that is being edited begins.
    pub(crate) first_column: usize,
}

impl Screen {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn room(&self) -> usize {
        if self.is_stopped {
            return 0;
        }
        CAPACITY_BYTES.saturating_sub(self.bytes.len())
    }

    pub(crate) fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.bytes.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(self.bytes.drain(..count)) {
            *place = byte;
        }
        count
    }

    /// What is there now has reached the terminal emulator's side.
    pub(crate) fn settle(&mut self) {
        self.settled_len = self.bytes.len().min(KEPT_BYTES);
    }

    /// Forgets what has not.
    pub(crate) fn flush(&mut self) {
        self.bytes.truncate(self.settled_len);
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Adds a byte as it is.
    pub(crate) fn put(&mut self, byte: u8) {
        self.bytes.push_back(byte);
    }

    pub(crate) fn move_back(&mut self) {
        self.column = self.column.saturating_sub(1);
    }

    /// Writes as much as there is room for; returns how much.
    pub(crate) fn write(&mut self, data: &[u8], settings: &Settings) -> usize {
        if !settings.output().contains(Output::PROCESSES) {
            let count = data.len().min(self.room());
            self.bytes.extend(&data[..count]);
            return count;
        }
        let fits = |&&byte: &&u8| self.process(byte, settings);
        data.iter().take_while(fits).count()
    }

    /// Adds a byte with what the settings make of it; whether there was room.
    pub(crate) fn process(&mut self, byte: u8, settings: &Settings) -> bool {
        let flags = settings.output();
        let room = self.room();
        if room == 0 {
            return false;
        }
        let mut byte = byte;
        match byte {
            b'\n' => {
                if flags.contains(Output::NEW_LINE_RETURNS) {
                    self.column = 0;
                }
                if flags.contains(Output::NEW_LINE_TO_BOTH) {
                    if room < 2 {
                        return false;
                    }
                    self.column = 0;
                    self.put(b'\r');
                }
                self.first_column = self.column;
            }
            b'\r' if flags.contains(Output::NO_RETURN_AT_START) && self.column == 0 => return true,
            b'\r' => {
                let becomes_new_line = flags.contains(Output::RETURN_TO_NEW_LINE);
                if becomes_new_line {
                    byte = b'\n';
                }
                if !becomes_new_line || flags.contains(Output::NEW_LINE_RETURNS) {
                    self.column = 0;
                    self.first_column = 0;
                }
            }
            b'\t' => {
                let spaces = TAB_COLUMNS - self.column % TAB_COLUMNS;
                if flags.contains(Output::EXPANDS_TABS) {
                    if room < spaces {
                        return false;
                    }
                    self.column += spaces;
                    self.bytes.extend(core::iter::repeat_n(b' ', spaces));
                    return true;
                }
                self.column += spaces;
            }
            b'\x08' => self.move_back(),
            byte if is_control(byte) => {}
            visible => {
                if flags.contains(Output::TO_UPPER_CASE) {
                    byte = to_upper(visible);
                }
                if !is_continuation(byte, settings) {
                    self.column += 1;
                }
            }
        }
        self.put(byte);
        true
    }
}

/// As Linux's `iscntrl`.
pub(crate) const fn is_control(byte: u8) -> bool {
    byte.is_ascii_control()
}

/// Whether it is a later byte of a character.
pub(crate) const fn is_continuation(byte: u8, settings: &Settings) -> bool {
    settings.input().contains(Input::UTF8) && byte & 0xc0 == 0x80
}

/// Upper and lower case are those of Latin-1, as in Linux's tables.
const fn to_upper(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | 0xdf..=0xf6 | 0xf8..=0xff => byte - 32,
        _ => byte,
    }
}

/// The other way.
pub(crate) const fn to_lower(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 32,
        _ => byte,
    }
}

/// Whether it is of a word.
pub(crate) const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte == b'_'
        || matches!(byte, 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..=0xff)
}
