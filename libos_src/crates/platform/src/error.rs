use core::fmt;

use abi::SgxError;

/// Why a platform did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An SGX instruction gave this error.
    Refused(SgxError),
    /// An SGX instruction would raise #GP or #PF: the request breaks a rule of the architecture.
    Fault(&'static str),
    /// The host's kernel refused.
    Host {
        /// What was tried.
        operation: &'static str,
        /// The positive error number.
        errno: i32,
    },
    /// The platform lacks something.
    Unsupported(&'static str),
}

impl From<SgxError> for Error {
    fn from(error: SgxError) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(formatter, "{error}"),
            Self::Fault(rule) => write!(formatter, "SGX general protection fault: {rule}"),
            Self::Host { operation, errno } => match abi::Errno::from_code(i64::from(*errno)) {
                Some(errno) => write!(formatter, "cannot {operation}: {errno}"),
                None => write!(formatter, "cannot {operation}: error {errno}"),
            },
            Self::Unsupported(what) => write!(formatter, "not supported here: {what}"),
        }
    }
}

impl std::error::Error for Error {}
