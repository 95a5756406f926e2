//! What a configuration says.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::{ConfigError, checks};

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of the format.
    pub(crate) version: u32,
    /// Whether the enclave may be debugged, so that nothing in it is secret.
    pub debuggable: bool,
    /// Whether the LibOS logs nothing.
    pub disable_log: bool,
    /// Memory of the programs.
    pub memory: Memory,
    /// Threads of the enclave.
    pub threads: Threads,
    /// The first program.
    pub process: Process,
    /// Directories and files that programs given by the host may be started from.
    pub entry_points: Vec<String>,
    /// Environment of the first program.
    #[serde(rename = "env")]
    pub environment: Environment,
    /// File systems in the order of mounting; the first one is the root.
    #[serde(rename = "mount")]
    pub mounts: Vec<Mount>,
}

/// Memory of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// How enclave memory is managed.
    pub model: MemoryModel,
    /// Size of the address range that all programs share.
    #[serde(rename = "user_space_size")]
    pub user_space_size_bytes: u64,
    /// Size of the LibOS heap, for messages that say which setting to raise: the memory itself is
    /// laid out by the builder.
    #[serde(rename = "kernel_space_heap_size", default)]
    pub kernel_heap_size_bytes: Option<u64>,
    /// Size of each thread's stack in the LibOS, for messages too.
    #[serde(rename = "kernel_space_stack_size", default)]
    pub kernel_stack_size_bytes: Option<u64>,
}

/// How enclave memory is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryModel {
    /// All pages are there from the start and permissions do not change.
    Sgx1,
    /// Pages come and go while the enclave runs.
    Edmm,
}

/// Threads of the enclave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threads {
    /// How many can be in the enclave at once.
    pub max: u32,
}

/// The first program.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Program and arguments; empty only if the host's take their place.
    pub command: Vec<String>,
    /// What arguments of the host do.
    pub host_arguments: HostArguments,
    /// Stack of a program's first thread.
    #[serde(rename = "default_stack_size")]
    pub stack_size_bytes: u64,
    /// Limit of `brk`.
    #[serde(rename = "default_heap_size")]
    pub heap_size_bytes: u64,
    /// Limit of `mmap`.
    #[serde(rename = "default_mmap_size")]
    pub mmap_size_bytes: u64,
    /// Where it starts.
    pub working_directory: String,
    /// Names of signals that the host may send.
    pub host_signals: Vec<String>,
}

/// What arguments given by the host do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostArguments {
    /// They are refused.
    Deny,
    /// They come after the command's own.
    Append,
    /// They are the command, which must lie under an entry point.
    Replace,
}

/// Environment of the first program.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// `NAME=value` for variables that are always there.
    pub default: Vec<String>,
    /// Names of other variables, which the host may set.
    pub untrusted: Vec<String>,
}

/// A file system and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Mount {
    /// A verified read-only image.
    Erofs {
        /// Mount point.
        target: String,
        /// The image.
        image: Image,
    },
    /// A file system in memory.
    Tmpfs {
        /// Mount point.
        target: String,
        /// Most memory that it may use.
        #[serde(rename = "size")]
        size_bytes: u64,
    },
    /// A directory of the untrusted host.
    Hostfs {
        /// Mount point.
        target: String,
        /// How the host finds the directory.
        source: String,
        /// Whether nothing in it is changed.
        read_only: bool,
        /// Whether programs may be executed from it.
        executable: bool,
    },
    /// An image, and in memory what was changed since.
    Unionfs {
        /// Mount point.
        target: String,
        /// The first content.
        image: Image,
        /// Most memory that the changes may use.
        #[serde(rename = "size")]
        size_bytes: u64,
    },
}

/// A verified image, as `verity` wants it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its name in the bundle.
    pub name: String,
    /// The number by which the host is asked for it.
    pub index: u32,
    /// Size of what the hash tree covers.
    #[serde(rename = "data_size")]
    pub data_size_bytes: u64,
    /// Where the hash tree's root level is.
    #[serde(rename = "tree_offset")]
    pub tree_offset_bytes: u64,
    /// The hash that stands for all of it.
    pub root_hash: RootHash,
}

/// A SHA-256 root hash; 64 lower-case hexadecimal digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RootHash(pub [u8; 32]);

impl Config {
    /// Parses and checks the sealed JSON, without the zeros that fill its last page.
    ///
    /// # Errors
    /// JSON that is malformed or has unknown, missing or repeated fields, and values out of bounds.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_slice(json).map_err(ConfigError::from_json)?;
        checks::check(&config)?;
        Ok(config)
    }
}

impl Mount {
    /// Where it goes.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Erofs { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Hostfs { target, .. }
            | Self::Unionfs { target, .. } => target,
        }
    }

    /// The image that it shows, if any.
    #[must_use]
    pub const fn image(&self) -> Option<&Image> {
        match self {
            Self::Erofs { image, .. } | Self::Unionfs { image, .. } => Some(image),
            Self::Tmpfs { .. } | Self::Hostfs { .. } => None,
        }
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl<'de> Deserialize<'de> for RootHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let malformed = || D::Error::custom("a root hash has 64 lower-case hexadecimal digits");
        if text.len() != 64 {
            return Err(malformed());
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let (high, low) = (digit(digits[0]), digit(digits[1]));
            *byte = high
                .zip(low)
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(malformed)?;
        }
        Ok(Self(hash))
    }
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}
