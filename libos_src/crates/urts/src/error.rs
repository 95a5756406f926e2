//! Why an enclave could not be run.

use core::fmt;
use std::path::{Path, PathBuf};

use abi::SgxError;

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

/// What the LibOS says when its heap is full and nothing of it can fail.
const NO_HEAP: &str = "memory allocation of ";

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
            Self::Platform { step, error } => {
                write!(formatter, "{step}: {error}")?;
                match explanation(*error) {
                    Some(lines) => write!(formatter, "\n{lines}"),
                    None => Ok(()),
                }
            }
            Self::Refused(why) => write!(formatter, "the enclave refused to start: {why}"),
            Self::Enclave(what) => {
                write!(
                    formatter,
                    "{what}\n  = note: this is a defect of the LibOS or of its runner, not of the program"
                )?;
                if what.contains(NO_HEAP) {
                    formatter.write_str(
                        "\n  = help: its heap is too small for what the program does; raise `kernel_space_heap_size` in Occlum.yaml",
                    )?;
                }
                Ok(())
            }
            Self::Host(what) => formatter.write_str(what),
        }
    }
}

impl std::error::Error for RunError {}

/// What a refusal means to the person who holds the bundle, and what to do next.
fn explanation(error: platform::Error) -> Option<&'static str> {
    let platform::Error::Refused(error) = error else {
        return None;
    };
    Some(match error {
        SgxError::InvalidMeasurement => {
            "  = note: a page of `enclave.sgxs` is not what was signed: MRENCLAVE differs from ENCLAVEHASH\n  \
             = help: `sha256sum enclave.sgxs` must print the `mrenclave` of `manifest.json`"
        }
        SgxError::InvalidSignature => {
            "  = note: `enclave.sig` was changed after it was signed, or its RSA numbers do not fit together\n  \
             = help: sign the enclave again"
        }
        SgxError::InvalidAttribute => {
            "  = note: the signer does not allow this enclave to be loaded with these attributes, \
             such as debug mode or extended CPU state"
        }
        SgxError::InvalidSigStruct => {
            "  = note: `enclave.sig` is no SIGSTRUCT that a CPU would read: a constant or a reserved field is wrong"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use abi::SgxError;

    use super::RunError;

    #[test]
    fn a_heap_that_is_too_small_names_its_key() {
        let told = |what: &str| RunError::Enclave(what.into()).to_string();

        assert!(
            told("panicked: memory allocation of 64 bytes failed")
                .contains("kernel_space_heap_size")
        );
        assert!(!told("panicked: no reason").contains("kernel_space_heap_size"));
    }

    #[test]
    fn a_refusal_names_the_sdms_error_and_says_what_it_means() {
        let error = RunError::Platform {
            step: "EINIT",
            error: SgxError::InvalidMeasurement.into(),
        };

        let text = error.to_string();

        assert!(text.starts_with("EINIT: SGX_INVALID_MEASUREMENT\n  = note: "));
        assert!(text.contains("\n  = help: "));
        assert_eq!(error.exit_status(), 1);
    }
}
