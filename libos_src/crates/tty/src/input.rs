//! What was typed and not read yet.

use alloc::collections::VecDeque;

/// Linux's `N_TTY_BUF_SIZE`.
const CAPACITY: usize = 4096;

/// Characters in order. In canonical mode the first ones are whole lines, the rest is being edited.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    characters: VecDeque<Character>,
    /// How many of them can be read in canonical mode.
    lines_len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Character {
    byte: u8,
    /// Whether a line ends with it. If it is zero, it is an end of file and no part of the line.
    ends_line: bool,
}

impl Typing {
    pub(crate) fn len(&self) -> usize {
        self.characters.len()
    }

    pub(crate) fn lines_len(&self) -> usize {
        self.lines_len
    }

    /// How many bytes of lines a program would read.
    pub(crate) fn readable_len(&self) -> usize {
        let lines = self.characters.iter().take(self.lines_len);
        lines
            .filter(|character| !character.is_end_of_file())
            .count()
    }

    /// How many more characters it takes before somebody reads, each of which becomes up to `width`.
    /// The last one of a line that is too long is replaced by the next one, so that it can still end.
    pub(crate) fn room(&mut self, width: usize, is_canonical: bool) -> usize {
        let left = CAPACITY.saturating_sub(self.len()).div_ceil(width);
        if left > 1 {
            return left - 1;
        }
        let is_one_line = is_canonical && self.lines_len == 0;
        // More than one, if a character that became several took the place of the last one.
        while is_one_line && self.len() >= CAPACITY {
            self.characters.pop_back();
        }
        usize::from(is_one_line)
    }

    pub(crate) fn push(&mut self, byte: u8) {
        self.characters.push_back(Character {
            byte,
            ends_line: false,
        });
    }

    /// Adds the last character of a line.
    pub(crate) fn end_line(&mut self, byte: u8) {
        self.characters.push_back(Character {
            byte,
            ends_line: true,
        });
        self.lines_len = self.len();
    }

    /// Whether nothing is being edited.
    pub(crate) fn is_at_start(&self) -> bool {
        self.len() == self.lines_len
    }

    /// What is being edited.
    pub(crate) fn edited(&self) -> impl DoubleEndedIterator<Item = u8> {
        self.characters
            .range(self.lines_len..)
            .map(|character| character.byte)
    }

    /// Takes back the last `count` characters of what is being edited.
    pub(crate) fn erase(&mut self, count: usize) {
        let len = self.len().saturating_sub(count).max(self.lines_len);
        self.characters.truncate(len);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Canonical mode begins or ends: what is there becomes a line, or no line any more.
    pub(crate) fn change_mode(&mut self, is_canonical: bool) {
        for character in &mut self.characters {
            character.ends_line = false;
        }
        self.lines_len = 0;
        if let Some(last) = self.characters.back_mut().filter(|_| is_canonical) {
            last.ends_line = true;
            self.lines_len = self.len();
        }
    }

    /// Takes what is there.
    pub(crate) fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.len().min(buffer.len());
        for (place, character) in buffer.iter_mut().zip(self.characters.drain(..count)) {
            *place = character.byte;
        }
        self.lines_len = self.lines_len.saturating_sub(count);
        count
    }

    /// Takes a line, or its first part. An end of file directly behind what was taken is gone, too.
    pub(crate) fn take_line(&mut self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        while self.lines_len > 0 {
            let Some(&next) = self.characters.front() else {
                break;
            };
            if count == buffer.len() && !next.is_end_of_file() {
                break;
            }
            self.characters.pop_front();
            self.lines_len -= 1;
            if !next.is_end_of_file() {
                buffer[count] = next.byte;
                count += 1;
            }
            if next.ends_line {
                break;
            }
        }
        count
    }
}

impl Character {
    const fn is_end_of_file(self) -> bool {
        self.ends_line && self.byte == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_line_stays_as_long_when_its_last_character_becomes_two() {
        let mut typing = Typing::default();
        for _ in 0..2 * CAPACITY {
            assert_eq!(typing.room(3, true).min(1), 1, "the line can still end");
            typing.push(0xff);
            typing.push(0xff);
        }
        assert!(typing.len() <= CAPACITY + 1, "{}", typing.len());
    }
}
