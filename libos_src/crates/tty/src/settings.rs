//! What a program can set (`asm-generic/termbits.h`).

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags! {
    /// `c_iflag`: what is done with a character that comes in. Those that concern lines of metal
    /// are kept and mean nothing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Input: u32 {
        /// A byte of ones is doubled (`PARMRK`); there are no errors to mark.
        const MARKS_ERRORS = 0o10;
        /// The eighth bit is dropped (`ISTRIP`).
        const STRIPS = 0o40;
        /// A new line becomes a return (`INLCR`).
        const NEW_LINE_TO_RETURN = 0o100;
        /// A return is dropped (`IGNCR`).
        const IGNORES_RETURN = 0o200;
        /// A return becomes a new line (`ICRNL`).
        const RETURN_TO_NEW_LINE = 0o400;
        /// Upper case becomes lower case (`IUCLC`).
        const TO_LOWER_CASE = 0o1000;
        /// Output can be stopped and started (`IXON`).
        const FLOW_CONTROL = 0o2000;
        /// Any character starts it (`IXANY`).
        const ANY_STARTS = 0o4000;
        /// Characters are UTF-8, which erasing heeds (`IUTF8`).
        const UTF8 = 0o40000;
        const _ = !0;
    }

    /// `c_oflag`: what is done with a character that goes out.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Output: u32 {
        /// Anything at all (`OPOST`).
        const PROCESSES = 0o1;
        /// Lower case becomes upper case (`OLCUC`).
        const TO_UPPER_CASE = 0o2;
        /// A new line becomes a return and a new line (`ONLCR`).
        const NEW_LINE_TO_BOTH = 0o4;
        /// A return becomes a new line (`OCRNL`).
        const RETURN_TO_NEW_LINE = 0o10;
        /// No return at the start of a line (`ONOCR`).
        const NO_RETURN_AT_START = 0o20;
        /// A new line also returns (`ONLRET`).
        const NEW_LINE_RETURNS = 0o40;
        /// Tabs become spaces (`XTABS`).
        const EXPANDS_TABS = 0o14000;
        const _ = !0;
    }

    /// `c_lflag`: who edits and who sees it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Local: u32 {
        /// Some characters are signals (`ISIG`).
        const SIGNALS = 0o1;
        /// Programs read lines, which can be edited before (`ICANON`).
        const CANONICAL = 0o2;
        /// What is typed is shown (`ECHO`).
        const ECHO = 0o10;
        /// An erased character vanishes from the screen (`ECHOE`).
        const ECHO_ERASE = 0o20;
        /// A new line after an erased line (`ECHOK`).
        const ECHO_KILL = 0o40;
        /// New lines are shown in any case (`ECHONL`).
        const ECHO_NEW_LINE = 0o100;
        /// Signals leave the queues alone (`NOFLSH`).
        const KEEPS_QUEUES = 0o200;
        /// A write from the background stops (`TOSTOP`).
        const STOPS_BACKGROUND_OUTPUT = 0o400;
        /// Control characters are shown with a caret (`ECHOCTL`).
        const ECHO_CONTROL = 0o1000;
        /// Erased characters are printed between strokes (`ECHOPRT`).
        const ECHO_PRINT = 0o2000;
        /// An erased line vanishes from the screen (`ECHOKE`).
        const ECHO_KILL_ERASE = 0o4000;
        /// More characters edit (`IEXTEN`).
        const EXTENDED = 0o100000;
        /// The other side edits (`EXTPROC`).
        const EXTERNAL = 0o200000;
        const _ = !0;
    }
}

/// `c_cc`: the characters that mean something, in Linux's order. Zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "termios(3) has each of them under this name")]
pub struct Characters {
    pub intr: u8,
    pub quit: u8,
    pub erase: u8,
    pub kill: u8,
    pub eof: u8,
    pub time: u8,
    pub min: u8,
    pub swtc: u8,
    pub start: u8,
    pub stop: u8,
    pub susp: u8,
    pub eol: u8,
    pub reprint: u8,
    pub discard: u8,
    pub werase: u8,
    pub lnext: u8,
    pub eol2: u8,
    pub unused: [u8; 2],
}

/// `struct termios` of the kernel: 36 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Settings {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    /// The characters.
    pub characters: Characters,
}

const _: () = assert!(size_of::<Settings>() == 36);

/// `struct winsize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
}

/// `CSIZE` and `PARENB`: no pseudo-terminal has any but `CS8`, and all have `CREAD`.
const CONTROL_OF_METAL: u32 = 0o60 | 0o400;
const CS8_AND_CREAD: u32 = 0o60 | 0o200;
const B38400: u32 = 0o17;
/// `CBAUD`.
const SPEED: u32 = 0o10017;
/// `BOTHER`; with more bits it names a speed, too.
const CUSTOM_SPEED: u32 = 0o10000;
/// The speeds that have names, in their order.
const SPEEDS: [u32; 31] = [
    0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600,
    115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000,
    2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

impl Default for Settings {
    /// Those of a new pseudo-terminal.
    fn default() -> Self {
        let local = Local::SIGNALS
            | Local::CANONICAL
            | Local::ECHO
            | Local::ECHO_ERASE
            | Local::ECHO_KILL
            | Local::ECHO_CONTROL
            | Local::ECHO_KILL_ERASE
            | Local::EXTENDED;
        Self {
            input: (Input::RETURN_TO_NEW_LINE | Input::FLOW_CONTROL).bits(),
            output: (Output::PROCESSES | Output::NEW_LINE_TO_BOTH).bits(),
            control: B38400 | CS8_AND_CREAD,
            local: local.bits(),
            line: 0,
            characters: Characters {
                intr: 0o3,
                quit: 0o34,
                erase: 0o177,
                kill: 0o25,
                eof: 0o4,
                time: 0,
                min: 1,
                swtc: 0,
                start: 0o21,
                stop: 0o23,
                susp: 0o32,
                eol: 0,
                reprint: 0o22,
                discard: 0o17,
                werase: 0o27,
                lnext: 0o26,
                eol2: 0,
                unused: [0; 2],
            },
        }
    }
}

impl Settings {
    /// `c_iflag`.
    #[must_use]
    pub const fn input(&self) -> Input {
        Input::from_bits_retain(self.input)
    }

    /// `c_oflag`.
    #[must_use]
    pub const fn output(&self) -> Output {
        Output::from_bits_retain(self.output)
    }

    /// `c_lflag`.
    #[must_use]
    pub const fn local(&self) -> Local {
        Local::from_bits_retain(self.local)
    }

    /// The speeds in bits a second, in and out, as `struct termios2` has them: those that `c_cflag`
    /// names, or else the custom ones.
    #[must_use]
    pub fn speeds(&self, custom: [u32; 2]) -> [u32; 2] {
        let named = self.control & SPEED;
        if named == CUSTOM_SPEED {
            return custom;
        }
        let at = (named & 0o17) as usize + if named & CUSTOM_SPEED == 0 { 0 } else { 15 };
        [SPEEDS[at]; 2]
    }

    /// The same with other flags.
    #[must_use]
    pub const fn with_flags(self, input: Input, output: Output, local: Local) -> Self {
        Self {
            input: input.bits(),
            output: output.bits(),
            local: local.bits(),
            ..self
        }
    }

    /// What a pseudo-terminal makes of it.
    pub(crate) const fn of_pseudo_terminal(self) -> Self {
        Self {
            control: self.control & !CONTROL_OF_METAL | CS8_AND_CREAD,
            ..self
        }
    }

    /// Whether programs read lines.
    pub(crate) const fn reads_lines(&self) -> bool {
        let local = self.local();
        local.contains(Local::CANONICAL) && !local.contains(Local::EXTERNAL)
    }

    /// Whether nothing is done with what comes in.
    pub(crate) const fn is_raw(&self) -> bool {
        let input = Input::STRIPS
            .union(Input::TO_LOWER_CASE)
            .union(Input::IGNORES_RETURN)
            .union(Input::RETURN_TO_NEW_LINE)
            .union(Input::NEW_LINE_TO_RETURN)
            .union(Input::FLOW_CONTROL)
            .union(Input::MARKS_ERRORS);
        let local = Local::CANONICAL.union(Local::SIGNALS).union(Local::ECHO);
        !self.input().intersects(input) && !self.local().intersects(local)
    }
}
