//! Why an enclave could not be run.

use core::fmt;
use std::path::{Path, PathBuf};

/// What went wrong, and whose fault it is.
#[derive(Debug)]
pub enum RunError {
    /// A file of the bundle cannot be read, or is not what it should be.
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The platform refused the enclave.
    Platform {
        /// What was tried.
        step: &'static str,
        /// Its answer.
        error: platform::Error,
    },
    /// The enclave did not do what was asked, and says why.
    Refused(String),
    /// The enclave met a defect of its own, or left in a way that it never should.
    Enclave(String),
    /// The host lacks something.
    Host(String),
}

impl RunError {
    /// A problem with one file of the bundle.
    pub(crate) fn bundle(path: &Path, problem: impl fmt::Display) -> Self {
        Self::Bundle {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }

    /// The exit status that this project gives it: 1 refused, 2 wrong input, 70 a defect of ours.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Platform { .. } | Self::Refused(_) | Self::Host(_) => 1,
            Self::Bundle { .. } => 2,
            Self::Enclave(_) => 70,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle { path, problem } => write!(formatter, "`{}`: {problem}", path.display()),
            Self::Platform { step, error } => write!(formatter, "{step}: {error}"),
            Self::Refused(why) => write!(formatter, "the enclave refused to start: {why}"),
            Self::Enclave(what) => write!(
                formatter,
                "{what}\n  = note: this is a defect of the LibOS or of its runner, not of the program"
            ),
            Self::Host(what) => formatter.write_str(what),
        }
    }
}

impl std::error::Error for RunError {}
