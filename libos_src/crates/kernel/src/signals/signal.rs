//! Signal numbers.

use hal::Errno;

/// A signal number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signal(u8);

/// What happens without a handler (signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultAction {
    /// The process ends. We write no core files.
    Terminate,
    /// Nothing.
    Ignore,
    /// The process stops.
    Stop,
}

macro_rules! signals {
    ($($name:ident = $number:literal;)*) => {
        #[allow(dead_code, reason = "the table is complete, whatever we use of it")]
        impl Signal {
            $(pub(crate) const $name: Self = Self($number);)*

            /// Its name without the `SIG`; real-time signals have none.
            pub(crate) const fn name(self) -> &'static str {
                match self.0 {
                    $($number => stringify!($name),)*
                    _ => "RT",
                }
            }
        }
    };
}

signals! {
    HUP = 1; INT = 2; QUIT = 3; ILL = 4; TRAP = 5; ABRT = 6; BUS = 7; FPE = 8; KILL = 9; USR1 = 10;
    SEGV = 11; USR2 = 12; PIPE = 13; ALRM = 14; TERM = 15; STKFLT = 16; CHLD = 17; CONT = 18;
    STOP = 19; TSTP = 20; TTIN = 21; TTOU = 22; URG = 23; XCPU = 24; XFSZ = 25; VTALRM = 26;
    PROF = 27; WINCH = 28; IO = 29; PWR = 30; SYS = 31;
}

impl Signal {
    /// The highest number.
    pub(crate) const MAX: u8 = 64;

    /// The signal with this number; `EINVAL` if there is none.
    pub(crate) fn new(number: i32) -> Result<Self, Errno> {
        match u8::try_from(number) {
            Ok(number @ 1..=Self::MAX) => Ok(Self(number)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The signal with this name, `SIG` included.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("SIG")?;
        (1..32).map(Self).find(|signal| signal.name() == name)
    }

    /// Its number.
    pub(crate) const fn number(self) -> u8 {
        self.0
    }

    /// Whether several of it queue up.
    pub(crate) const fn is_real_time(self) -> bool {
        self.0 >= 32
    }

    /// What it does without a handler.
    pub(crate) const fn default_action(self) -> DefaultAction {
        match self {
            Self::CHLD | Self::CONT | Self::URG | Self::WINCH => DefaultAction::Ignore,
            Self::STOP | Self::TSTP | Self::TTIN | Self::TTOU => DefaultAction::Stop,
            _ => DefaultAction::Terminate,
        }
    }
}

impl core::fmt::Debug for Signal {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "SIG{}({})", self.name(), self.0)
    }
}
