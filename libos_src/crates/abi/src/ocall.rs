//! How the enclave and its host talk.
//!
//! EENTER passes a [`Command`] in RDI. EEXIT passes an [`ExitKind`] in RDI and its argument in
//! RSI. The host serves an OCALL and enters again on the same TCS; the enclave knows by its own
//! books that it waits for a reply, and ignores what the host says in RDI then.
//!
//! Each thread has one [`OcallBlock`] in host memory. The enclave checks once that the block and
//! its buffer are outside its range, copies requests out and replies in, and believes no reply
//! before it has judged the copy.

use core::mem::size_of;

/// What the host asks for when it enters an idle TCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Command {
    /// Start the process. RSI: [`OcallBlock`]. RDX: [`StartInfo`].
    Start = 1,
    /// Run a thread that the enclave asked for. RSI: [`OcallBlock`].
    Thread = 2,
    /// Leave at once: measures a round trip.
    Nothing = 3,
    /// Run the keeper, the LibOS's own thread for timers and signals of the host, which never ends.
    /// RSI: [`OcallBlock`]. Taken once; the host may start it unasked, when a signal has come.
    Keeper = 4,
}

/// Why the enclave left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ExitKind {
    /// Serve the thread's [`OcallBlock`], then enter again.
    Ocall = 1,
    /// The command is over. RSI: a status, or a negated [`Refusal`].
    Done = 2,
    /// The exception is dealt with: resume.
    Resume = 3,
}

impl ExitKind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Ocall),
            2 => Some(Self::Done),
            3 => Some(Self::Resume),
            _ => None,
        }
    }
}

/// Why the enclave did not do what the host asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Refusal {
    /// It is not loaded at address 0.
    NotAtBaseZero = 1,
    /// The command is unknown or comes at the wrong time.
    WrongCommand = 2,
    /// An argument points into the enclave, is not aligned or too long.
    WrongArgument = 3,
    /// The process is over.
    ProcessOver = 4,
}

impl Refusal {
    /// What RSI holds then.
    #[must_use]
    pub const fn to_argument(self) -> u64 {
        (self as u64).wrapping_neg()
    }

    /// The refusal in an argument of [`ExitKind::Done`], if it is one.
    #[must_use]
    pub const fn from_argument(argument: u64) -> Option<Self> {
        match argument.wrapping_neg() {
            1 => Some(Self::NotAtBaseZero),
            2 => Some(Self::WrongCommand),
            3 => Some(Self::WrongArgument),
            4 => Some(Self::ProcessOver),
            _ => None,
        }
    }

    /// One line for a person.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::NotAtBaseZero => "the enclave is not loaded at address 0",
            Self::WrongCommand => "the enclave does not expect this command now",
            Self::WrongArgument => "an argument lies inside the enclave, is misaligned or too long",
            Self::ProcessOver => "the process in the enclave is over",
        }
    }
}

/// One thread's mailbox in host memory, eight-byte aligned.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct OcallBlock {
    /// [`Ocall`].
    pub number: u64,
    /// Arguments, by the call.
    pub arguments: [u64; 6],
    /// The reply: at least 0, or a negated [`crate::Errno`].
    pub reply: i64,
    /// Address of the buffer, eight-byte aligned.
    pub buffer: u64,
    /// Size of the buffer, a multiple of eight.
    pub buffer_size_bytes: u64,
}

/// What the host is asked to do. "Buffer" is the thread's own; lengths are in bytes.
///
/// A call without a comment on its reply replies 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Ocall {
    /// (descriptor, length): read into the buffer what is there. Reply: bytes read, 0 at the end;
    /// `EAGAIN` if nothing is there yet.
    Read = 1,
    /// (descriptor, length): write from the buffer as much as there is room for. Reply: bytes written;
    /// `EAGAIN` if there is no room.
    Write = 2,
    /// (count, timeout in nanoseconds or `u64::MAX`): wait for the [`PollEntry`]s in the buffer.
    /// Reply: how many are ready. Unless the timeout is zero, [`Ocall::Unpark`] ends it as it ends
    /// [`Ocall::Park`].
    Poll = 3,
    /// (descriptor): size of the terminal. Reply: rows << 16 | columns.
    TerminalSize = 4,
    /// (image, offset, length): read exactly that much of an image into the buffer.
    ReadImage = 5,
    /// (0 realtime, 1 monotonic, 2 processor time of a thread; the thread). Reply: nanoseconds.
    Clock = 6,
    /// (): start a host thread that enters with [`Command::Thread`].
    SpawnThread = 7,
    /// (timeout in nanoseconds or `u64::MAX`): sleep until [`Ocall::Unpark`] of this thread.
    Park = 8,
    /// (thread): wake it, or let its next [`Ocall::Park`] return at once.
    Unpark = 9,
    /// (): let another host thread run.
    Yield = 10,
    /// (level, length): a line for the operator, in the buffer. Levels: 0 error, 1 warning, 2 info,
    /// 3 a system call, 4 a mapping of code.
    Log = 11,
    /// (status): the process is over, with every thread. Does not come back.
    ExitProcess = 12,
    /// (length): the enclave met a defect of its own; the message is in the buffer. Does not come
    /// back.
    Abort = 13,
    /// (offset, length, permissions): EMODPR.
    RestrictPermissions = 14,
    /// (offset, length): EMODT to TRIM.
    TrimPages = 15,
    /// (offset, length): EREMOVE of trimmed and accepted pages.
    RemovePages = 16,
    /// (length): [`Statistics`] in the buffer.
    Statistics = 17,
    /// (offset, length, permissions): let the page tables allow this and no more. Only a hint.
    MapPages = 18,
    /// (thread): interrupt it, as a signal would: what it runs in the enclave exits asynchronously
    /// and is entered with CSSA = 1, a call that it waits in ends with `EINTR`.
    Interrupt = 19,
    /// (handle, length): open the directory that the buffer names, relative to the runner's root for
    /// them, as `handle`. The buffer then holds a [`HostStatus`](crate::host_files::HostStatus).
    HostRoot = 40,
    /// (directory, length, new handle): open the entry that the buffer names. As [`Ocall::HostRoot`].
    HostLookUp = 41,
    /// (handle)
    HostClose = 42,
    /// (handle): a status in the buffer.
    HostStatus = 43,
    /// (handle, 1 if it is written to)
    HostOpen = 44,
    /// (handle, offset, length): read into the buffer. Reply: bytes read.
    HostRead = 45,
    /// (handle, offset, length): write from the buffer. Reply: bytes written.
    HostWrite = 46,
    /// (handle, size)
    HostTruncate = 47,
    /// (handle)
    HostSync = 48,
    /// (directory, cookie, room): entries in the buffer. Reply: their length.
    HostList = 49,
    /// (directory, length of the name, new handle, mode, length of the target): make the entry that the
    /// buffer names, a link to what stands behind the name. As [`Ocall::HostRoot`].
    HostCreate = 50,
    /// (directory, length, target): add the name in the buffer.
    HostLink = 51,
    /// (directory, length, 1 for a directory): remove the name in the buffer.
    HostRemove = 52,
    /// (directory, length, other directory, other length, flags): move the name in the buffer to the one
    /// behind it.
    HostRename = 53,
    /// (handle, room): the target in the buffer. Reply: its length.
    HostReadLink = 54,
    /// (handle): do what the [`HostChange`](crate::host_files::HostChange) in the buffer says.
    HostChange = 55,
    /// (handle): a [`HostSizes`](crate::host_files::HostSizes) in the buffer.
    HostSizes = 56,
    /// (): start a host thread that enters with [`Command::Keeper`], unless there is one.
    SpawnKeeper = 20,
    /// (set): from now on keep these signals (bit n - 1 is signal n) for [`Ocall::TakeSignals`],
    /// and unpark the keeper when one comes, instead of doing what they do to a host process.
    KeepSignals = 21,
    /// (): Reply: the set of signals that came since this was last asked.
    TakeSignals = 22,
    /// (descriptor): the terminal's settings, [`TERMINAL_SETTINGS_SIZE`] bytes, into the buffer.
    TerminalSettings = 23,
    /// (descriptor, 0 now, 1 after output, 2 and without pending input): set what is in the buffer.
    SetTerminalSettings = 24,
    /// (descriptor, [`TerminalRequest`], argument). Reply: a number of bytes for
    /// [`TerminalRequest::InputSize`], else 0.
    TerminalRequest = 25,
    /// (): stop the host process, as `SIGSTOP` does. Comes back once it was continued.
    Stop = 26,
}

/// Bytes of the kernel's `struct termios` (`asm-generic/termbits.h`).
pub const TERMINAL_SETTINGS_SIZE: usize = 36;

/// What [`Ocall::TerminalRequest`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum TerminalRequest {
    /// How many bytes can be read.
    InputSize = 0,
    /// Wait until all output is written.
    Drain = 1,
    /// Forget input that was not read.
    FlushInput = 2,
    /// Forget output that was not written.
    FlushOutput = 3,
    /// Forget both.
    Flush = 4,
    /// Set the size of the window: rows << 16 | columns.
    SetSize = 5,
}

impl TerminalRequest {
    /// The request with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::InputSize),
            1 => Some(Self::Drain),
            2 => Some(Self::FlushInput),
            3 => Some(Self::FlushOutput),
            4 => Some(Self::Flush),
            5 => Some(Self::SetSize),
            _ => None,
        }
    }
}

impl Ocall {
    /// The call with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Read,
            2 => Self::Write,
            3 => Self::Poll,
            4 => Self::TerminalSize,
            5 => Self::ReadImage,
            6 => Self::Clock,
            7 => Self::SpawnThread,
            8 => Self::Park,
            9 => Self::Unpark,
            10 => Self::Yield,
            11 => Self::Log,
            12 => Self::ExitProcess,
            13 => Self::Abort,
            14 => Self::RestrictPermissions,
            15 => Self::TrimPages,
            16 => Self::RemovePages,
            17 => Self::Statistics,
            18 => Self::MapPages,
            19 => Self::Interrupt,
            20 => Self::SpawnKeeper,
            21 => Self::KeepSignals,
            22 => Self::TakeSignals,
            23 => Self::TerminalSettings,
            24 => Self::SetTerminalSettings,
            25 => Self::TerminalRequest,
            26 => Self::Stop,
            40 => Self::HostRoot,
            41 => Self::HostLookUp,
            42 => Self::HostClose,
            43 => Self::HostStatus,
            44 => Self::HostOpen,
            45 => Self::HostRead,
            46 => Self::HostWrite,
            47 => Self::HostTruncate,
            48 => Self::HostSync,
            49 => Self::HostList,
            50 => Self::HostCreate,
            51 => Self::HostLink,
            52 => Self::HostRemove,
            53 => Self::HostRename,
            54 => Self::HostReadLink,
            55 => Self::HostChange,
            56 => Self::HostSizes,
            _ => return None,
        })
    }
}

/// A timeout of [`Ocall::Poll`] and [`Ocall::Park`] that never comes.
pub const NO_TIMEOUT: u64 = u64::MAX;

/// One descriptor of [`Ocall::Poll`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PollEntry {
    /// The descriptor.
    pub descriptor: u32,
    /// What to wait for, as `POLL*`.
    pub events: u16,
    /// What is ready, as `POLL*`.
    pub ready: u16,
}

/// What the host passes to [`Command::Start`], eight-byte aligned. All of it is a claim.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct StartInfo {
    /// Address of the arguments, each ended by a zero byte.
    pub arguments: u64,
    /// Length of the arguments.
    pub arguments_size_bytes: u64,
    /// Address of the environment, `NAME=value` each, each ended by a zero byte.
    pub environment: u64,
    /// Length of the environment.
    pub environment_size_bytes: u64,
    /// Address of the [`CpuidEntry`] table.
    pub cpuid: u64,
    /// Number of entries.
    pub cpuid_count: u64,
    /// CPUs that the program may count on.
    pub cpu_count: u64,
    /// The flags below.
    pub flags: u64,
}

impl StartInfo {
    /// Most bytes of arguments, and of environment, that the enclave takes.
    pub const STRINGS_MAX: u64 = 1024 * 1024;
    /// Most CPUID entries that the enclave takes.
    pub const CPUID_MAX: u64 = 256;
    /// Flag: report [`Statistics`] at the end.
    pub const FLAG_STATISTICS: u64 = 1;
    /// Flag: log every system call. An enclave that may not be debugged refuses to start.
    pub const FLAG_TRACE: u64 = 2;
    /// Flag: log what code is mapped. An enclave that may not be debugged refuses to start.
    pub const FLAG_MAPPINGS: u64 = 4;
    /// Flag: the host's clock rests on the time-stamp counter, which is the same on every CPU.
    pub const FLAG_COUNTER: u64 = 8;
}

/// One answer of CPUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "registers bear their architectural names")]
pub struct CpuidEntry {
    /// EAX of the question.
    pub leaf: u32,
    /// ECX of the question; 0 for a leaf that does not look at it.
    pub subleaf: u32,
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

/// What the runtime counted. Reported by enclaves that may be debugged, if the host asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Statistics {
    /// System calls that arrived by the trap.
    pub trapped_syscalls: u64,
    /// System calls that arrived by a patched site.
    pub patched_syscalls: u64,
    /// Other exceptions of the program.
    pub exceptions: u64,
    /// OCALLs made.
    pub ocalls: u64,
    /// System call sites that were patched.
    pub patched_sites: u64,
}

const _: () = {
    assert!(size_of::<OcallBlock>() == 80);
    assert!(size_of::<PollEntry>() == 8);
    assert!(size_of::<StartInfo>() == 64);
    assert!(size_of::<CpuidEntry>() == 24);
    assert!(size_of::<Statistics>() == 40);
};
