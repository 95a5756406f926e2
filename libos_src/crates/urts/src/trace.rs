//! Where what the program does is written down: its system calls, and the code that it maps.

use std::fs::File;
use std::io::{Write, stderr};
use std::path::PathBuf;

use crate::RunError;

/// Where a trace goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceTo {
    /// To this process's standard error, among what the program itself writes there.
    StandardError,
    /// To a file, which is made anew.
    File(PathBuf),
}

/// An open trace.
#[derive(Debug)]
pub(crate) enum Trace {
    Off,
    StandardError,
    File(File),
}

impl Trace {
    /// Opens it before the enclave starts, so that a wrong path costs nothing.
    pub(crate) fn open(to: Option<&TraceTo>) -> Result<Self, RunError> {
        Ok(match to {
            None => Self::Off,
            Some(TraceTo::StandardError) => Self::StandardError,
            Some(TraceTo::File(path)) => Self::File(File::create(path).map_err(|error| {
                RunError::Host(format!("cannot write `{}`: {error}", path.display()))
            })?),
        })
    }

    /// Adds a line, in one write, so that the lines of several threads do not mix.
    pub(crate) fn add(&self, line: &[u8]) {
        let line = [line, b"\n"].concat();
        // There is nobody to tell about a full disk but the program, and it is not its fault.
        let _ = match self {
            Self::Off => Ok(()),
            Self::StandardError => stderr().lock().write_all(&line),
            Self::File(file) => (&*file).write_all(&line),
        };
    }
}
