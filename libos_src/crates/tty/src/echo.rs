//! What a person is shown of what was typed.

use alloc::collections::VecDeque;

use crate::output::{Screen, is_control};
use crate::settings::{Local, Output, Settings};

/// Shows of which nobody has seen anything yet: a person may have stopped the screen.
#[derive(Debug, Default)]
pub(crate) struct Echo(VecDeque<Show>);

/// More than this is forgotten, the oldest first.
const SHOWS_MAX: usize = 4096;

/// One thing to show.
#[derive(Clone, Copy, Debug)]
enum Show {
    /// A byte, as if the program had written it.
    Byte(u8),
    /// A control character as `^X`.
    Caret(u8),
    /// A byte that no processing touches and that is one column wide.
    Plain(u8),
    /// A tab vanishes. So many columns lie between it and the tab before it, or else the start of
    /// the line.
    EraseTab { columns: usize, after_tab: bool },
    /// The line begins here.
    FirstColumn,
    /// What was shown last has no width.
    MoveBack,
}

impl Echo {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// A character that was typed.
    pub(crate) fn character(&mut self, byte: u8, settings: &Settings) {
        let has_caret = settings.local().contains(Local::ECHO_CONTROL);
        self.add(match byte {
            0xff => Show::Plain(byte),
            byte if has_caret && is_control(byte) && byte != b'\t' => Show::Caret(byte),
            byte => Show::Byte(byte),
        });
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.add(match byte {
                0xff => Show::Plain(byte),
                byte => Show::Byte(byte),
            });
        }
    }

    pub(crate) fn erase_tab(&mut self, columns: usize, after_tab: bool) {
        self.add(Show::EraseTab { columns, after_tab });
    }

    pub(crate) fn first_column(&mut self) {
        self.add(Show::FirstColumn);
    }

    pub(crate) fn move_back(&mut self) {
        self.add(Show::MoveBack);
    }

    fn add(&mut self, show: Show) {
        if self.0.len() >= SHOWS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(show);
    }

    /// Shows what there is room for.
    pub(crate) fn show(&mut self, screen: &mut Screen, settings: &Settings) {
        while let Some(&show) = self.0.front() {
            if !show_one(show, screen, settings) {
                return;
            }
            self.0.pop_front();
        }
    }
}

/// Whether there was room.
fn show_one(show: Show, screen: &mut Screen, settings: &Settings) -> bool {
    match show {
        Show::Byte(byte) if settings.output().contains(Output::PROCESSES) => {
            return screen.process(byte, settings);
        }
        Show::Byte(byte) => {
            if screen.room() == 0 {
                return false;
            }
            screen.put(byte);
        }
        Show::Caret(byte) => {
            if screen.room() < 2 {
                return false;
            }
            screen.put(b'^');
            screen.put(byte ^ 0o100);
            screen.column += 2;
        }
        Show::Plain(byte) => {
            if screen.room() == 0 {
                return false;
            }
            screen.put(byte);
            screen.column += 1;
        }
        Show::EraseTab { columns, after_tab } => {
            let from = if after_tab { 0 } else { screen.first_column };
            let width = 8 - (columns + from) % 8;
            if screen.room() < width {
                return false;
            }
            for _ in 0..width {
                screen.put(b'\x08');
                screen.move_back();
            }
        }
        Show::FirstColumn => screen.first_column = screen.column,
        Show::MoveBack => screen.move_back(),
    }
    true
}
