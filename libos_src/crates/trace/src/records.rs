//! Structures in program memory: which fields they have, and how those look.

use alloc::string::String;
use alloc::vec;
use core::fmt::Write;

use crate::Memory;
use crate::flags as f;
use crate::names::{self as n, Names, push_flags, push_one, push_set, push_signal};

/// A structure: its size, and what is shown of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) size_bytes: usize,
    fields: &'static [Field],
}

/// A name, an offset in bytes, and what is there. Without a name it is shown alone.
type Field = (&'static str, usize, Kind);

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A number with a sign, of 16 bits.
    I16,
    /// One of 32 bits.
    I32,
    /// One of 64 bits.
    I64,
    /// One without a sign, of 16 bits.
    U16,
    /// One of 32 bits.
    U32,
    /// One of 64 bits.
    U64,
    /// An address, or bits that nobody has named.
    Address,
    /// Such bits, 32 of them.
    Hex32,
    /// Permissions, in 64 bits.
    Octal,
    /// Type and permissions of a file, in so many bytes.
    FileMode(usize),
    /// Seconds, and nanoseconds or microseconds.
    Time,
    /// A handler of a signal.
    Handler,
    /// A signal, in 32 bits.
    Signal,
    /// A set of signals.
    Set,
    /// A name of so many bytes at most.
    Text(usize),
    /// Bits with names, in so many bytes.
    Flags(Names, usize),
    /// A number with a name, in so many bytes.
    Named(Names, usize),
}

use Kind::{
    Address, FileMode, Flags, Handler, Hex32, I16, I32, I64, Named, Octal, Set, Signal, Text, Time,
    U16, U32, U64,
};

/// `struct NAME`, fields as `linux/*.h` and `asm-generic/*.h` have them on x86-64.
const fn record(size_bytes: usize, fields: &'static [Field]) -> Record {
    Record { size_bytes, fields }
}

pub(crate) const INT: Record = record(4, &[("", 0, I32)]);
pub(crate) const LONG: Record = record(8, &[("", 0, I64)]);
pub(crate) const TIMES: Record = record(32, &[("", 0, Time), ("", 16, Time)]);
pub(crate) const UTIME: Record = record(16, &[("actime", 0, I64), ("modtime", 8, I64)]);
pub(crate) const STAT: Record = record(
    144,
    &[
        ("st_mode", 24, FileMode(4)),
        ("st_size", 48, I64),
        ("st_ino", 8, U64),
        ("st_nlink", 16, U64),
    ],
);
pub(crate) const STATX: Record = record(
    256,
    &[
        ("stx_mask", 0, Flags(f::STATX, 4)),
        ("stx_mode", 28, FileMode(2)),
        ("stx_size", 40, U64),
        ("stx_nlink", 16, U32),
    ],
);
pub(crate) const STATFS: Record = record(
    120,
    &[
        ("f_type", 0, Address),
        ("f_bsize", 8, I64),
        ("f_blocks", 16, U64),
        ("f_bfree", 24, U64),
    ],
);
pub(crate) const NAMES: Record = record(
    390,
    &[
        ("sysname", 0, Text(65)),
        ("nodename", 65, Text(65)),
        ("release", 130, Text(65)),
        ("machine", 260, Text(65)),
    ],
);
pub(crate) const SYSTEM: Record = record(
    112,
    &[
        ("uptime", 0, I64),
        ("totalram", 32, U64),
        ("freeram", 40, U64),
        ("procs", 80, U16),
    ],
);
pub(crate) const LIMIT: Record = record(16, &[("rlim_cur", 0, U64), ("rlim_max", 8, U64)]);
pub(crate) const USAGE: Record = record(
    144,
    &[
        ("ru_utime", 0, Time),
        ("ru_stime", 16, Time),
        ("ru_maxrss", 32, I64),
    ],
);
pub(crate) const CLOCK_TICKS: Record = record(
    32,
    &[
        ("tms_utime", 0, I64),
        ("tms_stime", 8, I64),
        ("tms_cutime", 16, I64),
        ("tms_cstime", 24, I64),
    ],
);
pub(crate) const INTERVAL: Record = record(32, &[("it_interval", 0, Time), ("it_value", 16, Time)]);
pub(crate) const ACTION: Record = record(
    32,
    &[
        ("sa_handler", 0, Handler),
        ("sa_mask", 24, Set),
        ("sa_flags", 8, Flags(f::ACTION, 4)),
    ],
);
pub(crate) const SIGNAL_INFO: Record = record(
    128,
    &[
        ("si_signo", 0, Signal),
        ("si_code", 8, I32),
        ("si_pid", 16, I32),
        ("si_uid", 20, I32),
    ],
);
pub(crate) const STACK: Record = record(
    24,
    &[
        ("ss_sp", 0, Address),
        ("ss_flags", 8, Flags(f::STACK, 4)),
        ("ss_size", 16, U64),
    ],
);
pub(crate) const EPOLL_EVENT: Record = record(
    12,
    &[
        ("events", 0, Flags(f::EPOLL_EVENTS, 4)),
        ("data", 4, Address),
    ],
);
pub(crate) const MESSAGE: Record = record(
    56,
    &[
        ("msg_name", 0, Address),
        ("msg_namelen", 8, U32),
        ("msg_iov", 16, Address),
        ("msg_iovlen", 24, U64),
        ("msg_controllen", 40, U64),
        ("msg_flags", 48, Flags(n::MESSAGE, 4)),
    ],
);
pub(crate) const MESSAGE_AND_LENGTH: Record = record(
    64,
    &[
        ("msg_namelen", 8, U32),
        ("msg_iovlen", 24, U64),
        ("msg_controllen", 40, U64),
        ("msg_len", 56, U32),
    ],
);
pub(crate) const SEMAPHORE_OPERATION: Record = record(
    6,
    &[
        ("sem_num", 0, U16),
        ("sem_op", 2, I16),
        ("sem_flg", 4, Flags(f::SEMAPHORE_FLAGS, 2)),
    ],
);
pub(crate) const FILE_LOCK: Record = record(
    32,
    &[
        ("l_type", 0, Named(f::LOCK_TYPE, 2)),
        ("l_whence", 2, Named(n::WHENCE, 2)),
        ("l_start", 8, I64),
        ("l_len", 16, I64),
        ("l_pid", 24, I32),
    ],
);
pub(crate) const CLONE: Record = record(
    64,
    &[
        ("flags", 0, Flags(n::CLONE, 8)),
        ("exit_signal", 32, Signal),
        ("stack", 40, Address),
        ("stack_size", 48, Address),
        ("tls", 56, Address),
    ],
);
pub(crate) const OPEN: Record = record(
    24,
    &[
        ("flags", 0, Flags(n::OPEN, 8)),
        ("mode", 8, Octal),
        ("resolve", 16, Address),
    ],
);
pub(crate) const CAPABILITY_HEADER: Record = record(8, &[("version", 0, Hex32), ("pid", 4, I32)]);
pub(crate) const CAPABILITIES: Record = record(
    24,
    &[
        ("effective", 0, Hex32),
        ("permitted", 4, Hex32),
        ("inheritable", 8, Hex32),
    ],
);
pub(crate) const EVENT: Record = record(
    24,
    &[
        ("sigev_value", 0, Address),
        ("sigev_signo", 8, Signal),
        ("sigev_notify", 12, I32),
    ],
);

impl Record {
    /// Adds the structure at an address; nothing if it cannot be read.
    pub(crate) fn push(self, text: &mut String, memory: &impl Memory, address: u64) -> Option<()> {
        let mut bytes = vec![0; self.size_bytes];
        if !memory.read(address, &mut bytes) {
            return None;
        }
        let (opening, closing) = if self.is_plain() {
            ('[', ']')
        } else {
            ('{', '}')
        };
        text.push(opening);
        for (index, &(name, offset, kind)) in self.fields.iter().enumerate() {
            if index != 0 {
                text.push_str(", ");
            }
            if !name.is_empty() {
                let _ = write!(text, "{name}=");
            }
            kind.push(text, bytes.get(offset..)?)?;
        }
        text.push(closing);
        Some(())
    }

    /// Whether its fields have no names.
    fn is_plain(self) -> bool {
        self.fields.iter().all(|(name, _, _)| name.is_empty())
    }
}

/// The first bytes as a number.
fn number(bytes: &[u8], size: usize) -> Option<u64> {
    let mut all = [0; 8];
    all.get_mut(..size)?.copy_from_slice(bytes.get(..size)?);
    Some(u64::from_le_bytes(all))
}

impl Kind {
    /// Adds the field that these bytes begin with; nothing if they are too few.
    fn push(self, text: &mut String, bytes: &[u8]) -> Option<()> {
        let value = number(bytes, self.size_bytes())?;
        let _ = match self {
            I16 => write!(text, "{}", value as u16 as i16),
            I32 => write!(text, "{}", value as u32 as i32),
            I64 => write!(text, "{}", value.cast_signed()),
            U16 | U32 | U64 => write!(text, "{value}"),
            Address if value == 0 => write!(text, "NULL"),
            Address | Hex32 => write!(text, "{value:#x}"),
            Octal => write!(text, "0{value:o}"),
            FileMode(_) => {
                push_one(text, f::FILE_TYPE, value & f::FILE_TYPE_MASK);
                write!(text, "|0{:o}", value & !f::FILE_TYPE_MASK)
            }
            Time => {
                let rest = number(bytes.get(8..)?, 8)?;
                write!(text, "{{{}, {}}}", value.cast_signed(), rest.cast_signed())
            }
            Handler => {
                push_one(text, f::HANDLER, value);
                Ok(())
            }
            Signal => {
                push_signal(text, value);
                Ok(())
            }
            Set => {
                push_set(text, value);
                Ok(())
            }
            Text(limit) => {
                let name = bytes.get(..limit)?.split(|&byte| byte == 0).next()?;
                write!(text, "\"{}\"", name.escape_ascii())
            }
            Flags(names, _) => {
                push_flags(text, names, 0, value);
                Ok(())
            }
            Named(names, _) => {
                push_one(text, names, value);
                Ok(())
            }
        };
        Some(())
    }

    /// How many bytes make its first number.
    const fn size_bytes(self) -> usize {
        match self {
            I16 | U16 => 2,
            I32 | U32 | Hex32 | Signal => 4,
            I64 | U64 | Address | Octal | Time | Handler | Set => 8,
            Text(_) => 0,
            FileMode(size) | Flags(_, size) | Named(_, size) => size,
        }
    }
}
