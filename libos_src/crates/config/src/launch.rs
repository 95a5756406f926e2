//! What the host may say about the first program.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::model::{Config, HostArguments};

/// Something that the host asked for and the configuration does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchError {
    /// Arguments, where none are allowed.
    ArgumentsDenied,
    /// No program, where the configuration leaves it to the host.
    NoProgram,
    /// A program outside of the entry points, or not by its absolute path.
    NoEntryPoint,
}

impl fmt::Display for LaunchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ArgumentsDenied => {
                "the host gave arguments, but the enclave's configuration denies them"
            }
            Self::NoProgram => {
                "the enclave's configuration leaves the program to the host, which named none"
            }
            Self::NoEntryPoint => {
                "the program that the host asked for does not lie under an entry point"
            }
        })
    }
}

impl core::error::Error for LaunchError {}

impl Config {
    /// Program and arguments of the first process, given the host's.
    ///
    /// # Errors
    /// Host arguments that are not allowed, or none where the configuration has no program.
    pub fn command_line(&self, host: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, LaunchError> {
        let own = || {
            self.process
                .command
                .iter()
                .map(|argument| argument.as_bytes().to_vec())
        };
        let Some(program) = host.first() else {
            let own: Vec<_> = own().collect();
            return if own.is_empty() {
                Err(LaunchError::NoProgram)
            } else {
                Ok(own)
            };
        };
        match self.process.host_arguments {
            HostArguments::Deny => Err(LaunchError::ArgumentsDenied),
            HostArguments::Append => Ok(own().chain(host.iter().cloned()).collect()),
            HostArguments::Replace => {
                let program = core::str::from_utf8(program).ok();
                if !program.is_some_and(|program| self.is_entry_point(program)) {
                    return Err(LaunchError::NoEntryPoint);
                }
                Ok(host.to_vec())
            }
        }
    }

    /// Whether a program may be started by the host: an absolute path without `..` under one of the
    /// entry points. Symbolic links are not looked at: the verified image has them.
    #[must_use]
    pub fn is_entry_point(&self, path: &str) -> bool {
        let climbs = path.split('/').any(|component| component == "..");
        !climbs && self.entry_points.iter().any(|entry| is_under(path, entry))
    }

    /// Environment of the first process: the defaults, then the variables that the host may set and
    /// did. Of a name that the host gives twice the first counts, as for `getenv`; a value with a
    /// zero byte is left out.
    #[must_use]
    pub fn variables(&self, host: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let environment = &self.environment;
        let from_host = |name: &String| {
            let given = host
                .iter()
                .find(|variable| name_of(variable) == Some(name.as_bytes()));
            given.filter(|variable| !variable.contains(&0)).cloned()
        };
        let defaults = environment
            .default
            .iter()
            .map(|default| default.as_bytes().to_vec());
        defaults
            .chain(environment.untrusted.iter().filter_map(from_host))
            .collect()
    }
}

/// The name in `NAME=value`.
fn name_of(variable: &[u8]) -> Option<&[u8]> {
    let end = variable.iter().position(|byte| *byte == b'=')?;
    Some(&variable[..end])
}

/// Whether an absolute path is `directory` or lies in it, component by component.
pub(crate) fn is_under(path: &str, directory: &str) -> bool {
    let Some(rest) = path.strip_prefix(directory.trim_end_matches('/')) else {
        return false;
    };
    path.starts_with('/') && (rest.is_empty() || rest.starts_with('/'))
}
