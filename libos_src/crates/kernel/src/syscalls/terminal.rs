//! Terminal `ioctl`s, as far as a program needs them to know that it talks to a person.

use hal::WindowSize;
use zerocopy::{Immutable, IntoBytes};

pub(crate) const TCGETS: u32 = 0x5401;
pub(crate) const TIOCGWINSZ: u32 = 0x5413;

/// `struct termios` of the kernel (`asm-generic/termbits.h`).
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Settings {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    characters: [u8; 19],
}

/// `struct winsize`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Window {
    rows: u16,
    columns: u16,
    pixels: [u16; 2],
}

/// What a Linux terminal has before anybody changes it: ICRNL IXON, OPOST ONLCR, 38400 CS8 CREAD,
/// ISIG ICANON ECHO ECHOE ECHOK ECHOCTL ECHOKE IEXTEN. The real one is the host's, and stays so.
const DEFAULTS: Settings = Settings {
    input: 0x500,
    output: 0x5,
    control: 0xbf,
    local: 0x8a3b,
    line: 0,
    characters: [
        3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0,
    ],
};

/// How many bytes a request reads or writes, if we have it.
pub(crate) const fn size_bytes(request: u32) -> Option<usize> {
    match request {
        TCGETS => Some(size_of::<Settings>()),
        TIOCGWINSZ => Some(size_of::<Window>()),
        _ => None,
    }
}

/// Answers `TIOCGWINSZ`.
pub(crate) fn write_window_size(argument: &mut [u8], size: WindowSize) {
    let window = Window {
        rows: size.rows,
        columns: size.columns,
        pixels: [0; 2],
    };
    argument.copy_from_slice(window.as_bytes());
}

/// Answers `TCGETS`.
pub(crate) fn write_settings(argument: &mut [u8]) {
    argument.copy_from_slice(DEFAULTS.as_bytes());
}
