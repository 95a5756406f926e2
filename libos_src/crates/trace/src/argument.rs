//! What an argument is, and how it looks.

use alloc::string::String;
use alloc::vec;
use core::fmt::Write;

use crate::Memory;
use crate::flags;
use crate::names::{self, Names, push_flags, push_one, push_set, push_signal};
use crate::records::Record;

/// Most bytes of a string or a buffer that are shown, as `strace` has it.
const SHOWN_BYTES: usize = 32;
/// Most bytes of a path that are shown.
const PATH_BYTES: usize = 256;
/// Most entries of a list that are shown.
const SHOWN_ENTRIES: u64 = 8;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    /// A number of 32 bits with a sign: a descriptor, an id.
    Int,
    /// A descriptor of a directory, or the working directory.
    Directory,
    /// A number of 64 bits with a sign.
    Long,
    /// A number without a sign.
    Unsigned,
    /// An address, or bits that nobody has named.
    Hex,
    /// An offset, in hexadecimal.
    Offset,
    /// Permissions of a file, in octal.
    Mode,
    /// A name in program memory.
    Path,
    /// Bytes that the call reads; the next argument says how many.
    Input,
    /// Bytes that the call writes; its result says how many.
    Output,
    /// A string that the call writes.
    OutputString,
    /// `struct iovec`s that the call reads; the next argument says how many.
    Vectors,
    /// `struct pollfd`s; the next argument says how many.
    Polls,
    /// A list of strings, ended by a null pointer.
    Strings,
    /// As above, but only how many.
    StringCount,
    /// A signal.
    Signal,
    /// A set of signals that the call reads.
    SignalSet,
    /// A set of signals that the call writes.
    OutputSignalSet,
    /// A `struct timespec` or `timeval` that the call reads.
    Time,
    /// A `struct timespec` that the call writes.
    OutputTime,
    /// A `struct sockaddr`; the next argument says how long.
    SocketAddress,
    /// Two descriptors that the call writes.
    Pair,
    /// A status as `wait4` writes it.
    Status,
    /// A number with a name.
    Named(Names),
    /// Bits with names; those of the mask are one number.
    Flags(Names, u64),
    /// Bits with names below permissions in octal.
    FlagsAndMode(Names),
    /// A structure that the call reads.
    Record(&'static Record),
    /// A structure that the call writes.
    OutputRecord(&'static Record),
    /// Structures that the call reads; an argument says how many.
    Records(&'static Record, Count),
    /// Structures that the call writes; its result says how many.
    OutputRecords(&'static Record),
    /// `struct iovec`s that the call fills; the next argument says how many.
    OutputVectors,
    /// A `struct sockaddr` that the call writes; the next argument points to its length.
    OutputAddress,
    /// A set of descriptors; the first argument says how many bits.
    Descriptors,
    /// A set of processors that the call reads; the argument before says how many bytes.
    Processors,
    /// A set of processors that the call writes; its result says how many bytes.
    OutputProcessors,
    /// An option of a socket; the argument before is its level.
    SocketOption,
    /// What belongs to a command of `fcntl`, which is the argument before.
    FileControl,
}

/// Where a number comes from that belongs to an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// The argument before.
    Previous,
    /// The argument behind.
    Next,
}

impl Argument {
    /// The letter of a signature.
    pub(crate) const fn from_letter(letter: char) -> Option<Self> {
        use names as n;
        Some(match letter {
            'f' | 'i' => Self::Int,
            'd' => Self::Directory,
            'l' => Self::Long,
            'u' => Self::Unsigned,
            'x' => Self::Hex,
            'X' => Self::Offset,
            'm' => Self::Mode,
            'p' => Self::Path,
            'b' => Self::Input,
            'O' => Self::Output,
            'Q' => Self::OutputString,
            'I' => Self::Vectors,
            'L' => Self::Polls,
            'v' => Self::Strings,
            'V' => Self::StringCount,
            'g' => Self::Signal,
            'S' => Self::SignalSet,
            'Z' => Self::OutputSignalSet,
            't' => Self::Time,
            'T' => Self::OutputTime,
            'a' => Self::SocketAddress,
            'P' => Self::Pair,
            'w' => Self::Status,
            'o' => Self::Flags(n::OPEN, n::ACCESS_MODE),
            'E' => Self::Flags(n::OPEN, 0),
            'r' => Self::Flags(n::PROTECTION, 0),
            'M' => Self::Flags(n::MAP, n::MAP_TYPE),
            'R' => Self::Flags(n::REMAP, 0),
            'n' => Self::Flags(n::AT, 0),
            'y' => Self::Flags(n::ACCESS, 0),
            'c' => Self::Flags(n::CLONE, n::CLONE_SIGNAL),
            'F' => Self::Flags(n::FUTEX, n::FUTEX_COMMAND),
            'W' => Self::Flags(n::WAIT, 0),
            'Y' => Self::Flags(n::SOCKET, n::SOCKET_TYPE),
            'G' => Self::Flags(n::MESSAGE, 0),
            'K' => Self::Flags(n::LOCK, 0),
            'z' => Self::Flags(n::RANDOM, 0),
            'h' => Self::Named(n::WHENCE),
            'A' => Self::Named(n::ADVICE),
            'k' => Self::Named(n::FCNTL),
            'q' => Self::Named(n::IOCTL),
            'H' => Self::Named(n::HOW),
            'C' => Self::Named(n::CLOCK),
            'e' => Self::Named(n::EPOLL),
            'D' => Self::Named(n::DOMAIN),
            'J' => Self::Named(n::SHUT),
            'B' => Self::Named(n::ID_TYPE),
            'N' => Self::Named(n::RESOURCE),
            'j' => Self::Named(n::ARCH),
            _ => return None,
        })
    }

    /// Whether it can only be shown when the call is over.
    pub(crate) const fn is_output(self) -> bool {
        matches!(
            self,
            Self::Output
                | Self::OutputString
                | Self::OutputSignalSet
                | Self::OutputTime
                | Self::Pair
                | Self::Status
                | Self::Polls
                | Self::OutputRecord(_)
                | Self::OutputRecords(_)
                | Self::OutputVectors
                | Self::OutputAddress
                | Self::Descriptors
                | Self::OutputProcessors
        )
    }

    /// Where the number comes from that belongs to it; nothing if it is the result.
    pub(crate) fn size(self, index: usize, arguments: &[u64; 6]) -> Option<u64> {
        let from = match self {
            Self::Records(_, Count::Previous)
            | Self::Processors
            | Self::SocketOption
            | Self::FileControl => index.checked_sub(1)?,
            Self::Descriptors => 0,
            _ if self.is_output()
                && !matches!(
                    self,
                    Self::Polls | Self::OutputVectors | Self::OutputAddress
                ) =>
            {
                return None;
            }
            _ => index + 1,
        };
        Some(arguments.get(from).copied().unwrap_or(0))
    }

    /// Adds it to a line. `size` is the length that belongs to it: the next argument, or the result.
    pub(crate) fn push(self, text: &mut String, value: u64, size: u64, memory: &impl Memory) {
        // `write!` to a string cannot fail.
        let _ = match self {
            Self::Int => write!(text, "{}", value as u32 as i32),
            Self::Directory if value as u32 as i32 == AT_FDCWD => write!(text, "AT_FDCWD"),
            Self::Directory => write!(text, "{}", value as u32 as i32),
            Self::Long => write!(text, "{}", value.cast_signed()),
            Self::Unsigned => write!(text, "{value}"),
            Self::Offset => write!(text, "{value:#x}"),
            Self::Mode => write!(text, "{:#05o}", value as u32).map(|()| octal(text)),
            Self::Signal => {
                push_signal(text, value);
                Ok(())
            }
            Self::Named(names) => {
                push_one(text, names, value & u64::from(u32::MAX));
                Ok(())
            }
            Self::Flags(names, mask) => {
                push_flags(text, names, mask, value & u64::from(u32::MAX));
                Ok(())
            }
            Self::FlagsAndMode(names) => {
                let value = value & u64::from(u32::MAX);
                if value & !flags::IPC_MODE != 0 {
                    push_flags(text, names, 0, value & !flags::IPC_MODE);
                    text.push('|');
                }
                write!(text, "{:#o}", value & flags::IPC_MODE).map(|()| octal(text))
            }
            Self::SocketOption => {
                const SOL_SOCKET: u64 = 1;
                let names = if size == SOL_SOCKET {
                    flags::SOCKET_OPTION
                } else {
                    &[]
                };
                push_one(text, names, value & u64::from(u32::MAX));
                Ok(())
            }
            Self::FileControl => {
                push_file_control(text, size, value, memory);
                Ok(())
            }
            _ if value == 0 => write!(text, "NULL"),
            _ => match self.shown(value, size, memory) {
                Some(shown) => write!(text, "{shown}"),
                None => write!(text, "{value:#x}"),
            },
        };
    }

    /// What is at an address; `None` when it cannot be read or nobody can tell what it is.
    fn shown(self, address: u64, size: u64, memory: &impl Memory) -> Option<String> {
        let mut text = String::new();
        match self {
            Self::Path => {
                let (bytes, is_whole) = string(memory, address, PATH_BYTES)?;
                push_quoted(&mut text, &bytes, is_whole);
            }
            Self::Input | Self::Output => push_bytes(&mut text, memory, address, size)?,
            Self::OutputString => {
                let (bytes, is_whole) = string(memory, address, PATH_BYTES)?;
                push_quoted(&mut text, &bytes, is_whole);
            }
            Self::Strings => push_strings(&mut text, memory, address)?,
            Self::StringCount => {
                let count = (0..).map_while(|index| pointer(memory, address, index));
                let _ = write!(text, "{address:#x} /* {} vars */", count.take(4096).count());
            }
            Self::Vectors => push_vectors(&mut text, memory, address, size)?,
            Self::Polls => push_polls(&mut text, memory, address, size)?,
            Self::SignalSet | Self::OutputSignalSet => {
                push_set(&mut text, u64::from_le_bytes(read(memory, address)?));
            }
            Self::Time | Self::OutputTime => {
                let seconds = i64::from_le_bytes(read(memory, address)?);
                let rest = i64::from_le_bytes(read(memory, address.checked_add(8)?)?);
                let _ = write!(text, "{{{seconds}, {rest}}}");
            }
            Self::SocketAddress => push_socket_address(&mut text, memory, address, size)?,
            Self::Pair => {
                let [a0, a1, a2, a3, b0, b1, b2, b3] = read(memory, address)?;
                let (first, second) = ([a0, a1, a2, a3], [b0, b1, b2, b3]);
                let (first, second) = (i32::from_le_bytes(first), i32::from_le_bytes(second));
                let _ = write!(text, "[{first}, {second}]");
            }
            Self::Record(record) | Self::OutputRecord(record) => {
                record.push(&mut text, memory, address)?;
            }
            Self::Records(record, _) | Self::OutputRecords(record) => {
                let bytes = record.size_bytes as u64;
                push_records(&mut text, address, bytes, size, |text, at| {
                    record.push(text, memory, at)
                })?;
            }
            Self::OutputVectors => push_vectors(&mut text, memory, address, size)?,
            Self::OutputAddress => {
                let length = u32::from_le_bytes(read(memory, size)?);
                push_socket_address(&mut text, memory, address, length.into())?;
            }
            Self::Descriptors => push_bits(&mut text, memory, address, size)?,
            Self::Processors | Self::OutputProcessors => {
                push_bits(&mut text, memory, address, size.checked_mul(8)?)?;
            }
            Self::Status => push_status(&mut text, u32::from_le_bytes(read(memory, address)?)),
            _ => return None,
        }
        Some(text)
    }
}

const AT_FDCWD: i32 = -100;

/// `0o644` as `0644`.
fn octal(text: &mut String) {
    if let Some(at) = text.rfind("0o") {
        text.replace_range(at..at + 2, "0");
    }
}

fn read<const N: usize>(memory: &impl Memory, address: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    memory.read(address, &mut bytes).then_some(bytes)
}

/// Entry `index` of a list of pointers; `None` at its end.
fn pointer(memory: &impl Memory, list: u64, index: u64) -> Option<u64> {
    let address = list.checked_add(index.checked_mul(8)?)?;
    let pointer = u64::from_le_bytes(read(memory, address)?);
    (pointer != 0).then_some(pointer)
}

/// A string up to its NUL, or the first `limit` bytes; and whether that is all of it.
fn string(memory: &impl Memory, address: u64, limit: usize) -> Option<(vec::Vec<u8>, bool)> {
    const PAGE_BYTES: u64 = 4096;
    let mut bytes = vec![];
    while bytes.len() < limit {
        let at = address.checked_add(bytes.len() as u64)?;
        let in_page = (PAGE_BYTES - at % PAGE_BYTES) as usize;
        let mut part = vec![0; in_page.min(limit - bytes.len())];
        if !memory.read(at, &mut part) {
            return None;
        }
        if let Some(end) = part.iter().position(|&byte| byte == 0) {
            bytes.extend_from_slice(&part[..end]);
            return Some((bytes, true));
        }
        bytes.extend(part);
    }
    Some((bytes, false))
}

fn push_quoted(text: &mut String, bytes: &[u8], is_whole: bool) {
    let tail = if is_whole { "" } else { "..." };
    let _ = write!(text, "\"{}\"{tail}", bytes.escape_ascii());
}

fn push_bytes(text: &mut String, memory: &impl Memory, address: u64, size: u64) -> Option<()> {
    let len = usize::try_from(size).ok()?;
    let mut bytes = vec![0; len.min(SHOWN_BYTES)];
    if !memory.read(address, &mut bytes) {
        return None;
    }
    push_quoted(text, &bytes, len <= SHOWN_BYTES);
    Some(())
}

fn push_strings(text: &mut String, memory: &impl Memory, list: u64) -> Option<()> {
    text.push('[');
    for index in 0..SHOWN_ENTRIES {
        let Some(address) = pointer(memory, list, index) else {
            text.push(']');
            return Some(());
        };
        if index != 0 {
            text.push_str(", ");
        }
        let (bytes, is_whole) = string(memory, address, SHOWN_BYTES)?;
        push_quoted(text, &bytes, is_whole);
    }
    text.push_str(", ...]");
    Some(())
}

/// Calls `push` for each of `count` records of `size` bytes, in brackets.
fn push_records(
    text: &mut String,
    list: u64,
    size: u64,
    count: u64,
    mut push: impl FnMut(&mut String, u64) -> Option<()>,
) -> Option<()> {
    text.push('[');
    for index in 0..count.min(SHOWN_ENTRIES) {
        if index != 0 {
            text.push_str(", ");
        }
        push(text, list.checked_add(index.checked_mul(size)?)?)?;
    }
    text.push_str(if count > SHOWN_ENTRIES { ", ...]" } else { "]" });
    Some(())
}

fn push_vectors(text: &mut String, memory: &impl Memory, list: u64, count: u64) -> Option<()> {
    push_records(text, list, 16, count, |text, at| {
        let base = u64::from_le_bytes(read(memory, at)?);
        let len = u64::from_le_bytes(read(memory, at.checked_add(8)?)?);
        push_bytes(text, memory, base, len)
    })
}

fn push_polls(text: &mut String, memory: &impl Memory, list: u64, count: u64) -> Option<()> {
    push_records(text, list, 8, count, |text, at| {
        let [f0, f1, f2, f3, e0, e1, r0, r1] = read(memory, at)?;
        let _ = write!(text, "{{{}, ", i32::from_le_bytes([f0, f1, f2, f3]));
        push_flags(text, names::POLL, 0, u16::from_le_bytes([e0, e1]).into());
        let ready = u16::from_le_bytes([r0, r1]);
        if ready != 0 {
            text.push_str(" => ");
            push_flags(text, names::POLL, 0, ready.into());
        }
        text.push('}');
        Some(())
    })
}

/// The numbers of the bits that are set among the first `count`.
fn push_bits(text: &mut String, memory: &impl Memory, address: u64, count: u64) -> Option<()> {
    const BITS_MAX: u64 = 1024;
    let count = count.min(BITS_MAX);
    let mut bytes = vec![0; count.div_ceil(64) as usize * 8];
    if !memory.read(address, &mut bytes) {
        return None;
    }
    let is_set = |bit: &u64| {
        let byte = bytes.get((bit / 8) as usize);
        byte.is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
    };
    text.push('[');
    for (index, bit) in (0..count).filter(is_set).enumerate() {
        let separator = if index == 0 { "" } else { " " };
        let _ = write!(text, "{separator}{bit}");
    }
    text.push(']');
    Some(())
}

/// The argument of a command of `fcntl` (`linux/fcntl.h`).
fn push_file_control(text: &mut String, command: u64, value: u64, memory: &impl Memory) {
    const F_SETFD: u64 = 2;
    const F_SETFL: u64 = 4;
    const LOCKS: [u64; 6] = [5, 6, 7, 36, 37, 38];
    match command {
        F_SETFD => push_flags(text, flags::DESCRIPTOR, 0, value),
        F_SETFL => push_flags(text, names::OPEN, names::ACCESS_MODE, value),
        _ if LOCKS.contains(&command) => {
            let lock = Argument::Record(&crate::records::FILE_LOCK);
            lock.push(text, value, 0, memory);
        }
        _ => _ = write!(text, "{value}"),
    }
}

fn push_socket_address(
    text: &mut String,
    memory: &impl Memory,
    address: u64,
    size: u64,
) -> Option<()> {
    const LEN_MAX: u64 = 128;
    let mut bytes = vec![0; size.min(LEN_MAX) as usize];
    if !memory.read(address, &mut bytes) {
        return None;
    }
    let family = u16::from_le_bytes(*bytes.first_chunk()?);
    push_one(text, names::DOMAIN, family.into());
    match (family, bytes.as_slice()) {
        (1, [_, _, 0, name @ ..]) => _ = write!(text, ":@\"{}\"", name.escape_ascii()),
        (1, [_, _, path @ ..]) => {
            let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
            let _ = write!(text, ":\"{}\"", path.escape_ascii());
        }
        (2, [_, _, p0, p1, a, b, c, d, ..]) => {
            let port = u16::from_be_bytes([*p0, *p1]);
            let _ = write!(text, ":{a}.{b}.{c}.{d}:{port}");
        }
        _ => {}
    }
    Some(())
}

/// A status of `wait4`, as the macros of `sys/wait.h` take it apart.
fn push_status(text: &mut String, status: u32) {
    const CONTINUED: u32 = 0xffff;
    let signal = status & 0x7f;
    let _ = match (signal, status & 0xff) {
        _ if status == CONTINUED => write!(text, "[continued]"),
        (0, _) => write!(text, "[exited {}]", status >> 8 & 0xff),
        (_, 0x7f) => {
            text.push_str("[stopped ");
            push_signal(text, (status >> 8 & 0xff).into());
            write!(text, "]")
        }
        _ => {
            text.push_str("[killed ");
            push_signal(text, signal.into());
            write!(text, "]")
        }
    };
}
