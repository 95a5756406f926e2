//! What can be wrong with a configuration.

use alloc::string::{String, ToString};
use core::fmt;

/// A configuration that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// It is not the JSON that it should be.
    Json {
        /// What is wrong and where, in `serde_json`'s words.
        message: String,
    },
    /// A value is out of bounds or contradicts another.
    Value {
        /// The field, for example `mount[1].target`.
        field: String,
        /// What it must be.
        problem: &'static str,
    },
}

impl ConfigError {
    pub(crate) fn from_json(error: serde_json::Error) -> Self {
        Self::Json {
            message: error.to_string(),
        }
    }

    pub(crate) fn value(field: impl Into<String>, problem: &'static str) -> Self {
        Self::Value {
            field: field.into(),
            problem,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { message } => write!(formatter, "sealed configuration: {message}"),
            Self::Value { field, problem } => {
                write!(formatter, "sealed configuration: `{field}` {problem}")
            }
        }
    }
}

impl core::error::Error for ConfigError {}
