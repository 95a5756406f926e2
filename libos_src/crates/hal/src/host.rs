//! Nouns about the untrusted host.

use alloc::vec::Vec;

use bitflags::bitflags;

/// What the host wants the enclave to run. All of it is a claim: the sealed configuration decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostStart {
    /// The arguments after `--` on the runner's command line; none when it gave none.
    pub argv: Vec<Vec<u8>>,
    /// The host's environment, `NAME=value` each.
    pub env: Vec<Vec<u8>>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// `struct termios` of the kernel, in bytes.
pub type TerminalSettings = [u8; abi::ocall::TERMINAL_SETTINGS_SIZE];

/// When new settings of a terminal hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum SettingsTime {
    /// At once.
    Now = 0,
    /// When all output is written.
    AfterOutput = 1,
    /// Then, and input that was not read is forgotten.
    WithoutInput = 2,
}

/// One descriptor of the host to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPoll {
    /// The descriptor.
    pub fd: u32,
    /// What to wait for.
    pub events: HostEvents,
    /// What is ready: a subset of `events`, and `ERROR`, `HANG_UP` or `INVALID` unasked.
    pub ready: HostEvents,
}

bitflags! {
    /// What a descriptor is ready for. The values are Linux's `POLL*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct HostEvents: u16 {
        /// There is something to read.
        const IN = 0x001;
        /// Writing would not block.
        const OUT = 0x004;
        /// The descriptor is in an error.
        const ERROR = 0x008;
        /// The other side is gone.
        const HANG_UP = 0x010;
        /// There is no such descriptor.
        const INVALID = 0x020;
    }
}
