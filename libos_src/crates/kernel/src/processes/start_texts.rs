//! What a program was started with, as `/proc` reads it: where the program has it, so that a title that
//! is written over it is told (proc(5)).

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use hal::PAGE_SIZE;

use super::memory_view::look;
use crate::memory::AddressSpace;

/// `cmdline`. Who writes a title over the last zero of the arguments may go on over the environment.
pub(super) fn command_line(space: &AddressSpace) -> Vec<u8> {
    let [arguments, environment] = space.strings();
    if arguments.is_empty() {
        return Vec::new();
    }
    let is_titled =
        matches!(read(space, &(arguments.end - 1..arguments.end))[..], [last] if last != 0);
    if !is_titled {
        return read(space, &arguments);
    }
    let end = environment.end.min(arguments.start + PAGE_SIZE);
    let mut title = read(space, &(arguments.start..end));
    if let Some(end) = title.iter().position(|&byte| byte == 0) {
        title.truncate(end + 1);
    }
    title
}

/// `environ`.
pub(super) fn environment(space: &AddressSpace) -> Vec<u8> {
    let [_, environment] = space.strings();
    read(space, &environment)
}

/// As much of a range as there is.
fn read(space: &AddressSpace, range: &Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let count = look(space, range.start, &mut bytes);
    bytes.truncate(count.unwrap_or(0));
    bytes
}
