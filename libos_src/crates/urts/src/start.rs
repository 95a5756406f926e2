//! What the host tells a new process: arguments, environment, and what the CPU is.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use abi::ocall::{CpuidEntry, StartInfo};

use crate::{Options, RunError, cpuid};

/// A [`StartInfo`] together with the memory that it points to.
pub(crate) struct Start {
    info: Box<StartInfo>,
    _arguments: Vec<u64>,
    _environment: Vec<u64>,
    _cpuid: Vec<CpuidEntry>,
}

impl Start {
    /// Gathers it. The memory stays where it is for as long as the value lives.
    pub(crate) fn new(options: &Options) -> Result<Self, RunError> {
        let arguments = packed("the arguments", options.arguments.iter())?;
        let variables: Vec<OsString> = std::env::vars_os()
            .map(|(mut name, value)| {
                name.push("=");
                name.push(value);
                name
            })
            .collect();
        let environment = packed("the environment", variables.iter())?;
        let cpuid = cpuid::table();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let info = Box::new(StartInfo {
            arguments: arguments.words.as_ptr() as u64,
            arguments_size_bytes: arguments.size_bytes,
            environment: environment.words.as_ptr() as u64,
            environment_size_bytes: environment.size_bytes,
            cpuid: cpuid.as_ptr() as u64,
            cpuid_count: cpuid.len() as u64,
            cpu_count: cpus as u64,
            flags: flags(options),
        });
        Ok(Self {
            info,
            _arguments: arguments.words,
            _environment: environment.words,
            _cpuid: cpuid,
        })
    }

    /// What the enclave is told.
    pub(crate) fn address(&self) -> u64 {
        &raw const *self.info as u64
    }
}

/// What the enclave is asked to tell.
fn flags(options: &Options) -> u64 {
    let when = |wanted: bool, flag: u64| if wanted { flag } else { 0 };
    when(options.statistics.is_some(), StartInfo::FLAG_STATISTICS)
        | when(options.trace.is_some(), StartInfo::FLAG_TRACE)
        | when(options.mappings.is_some(), StartInfo::FLAG_MAPPINGS)
        | when(has_counter(), StartInfo::FLAG_COUNTER)
}

/// Whether Linux has found the time-stamp counter good enough for its own clock.
fn has_counter() -> bool {
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    std::fs::read_to_string(SOURCE).is_ok_and(|name| name.trim() == "tsc")
}

struct Packed {
    words: Vec<u64>,
    size_bytes: u64,
}

/// Strings one after another, each ended by a zero byte, in memory aligned to eight bytes.
fn packed<'a>(what: &str, strings: impl Iterator<Item = &'a OsString>) -> Result<Packed, RunError> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend_from_slice(string.as_bytes());
        bytes.push(0);
    }
    let size_bytes = bytes.len() as u64;
    if size_bytes > StartInfo::STRINGS_MAX {
        return Err(RunError::Host(format!(
            "{what}: {size_bytes} bytes are more than the {} that an enclave takes",
            StartInfo::STRINGS_MAX
        )));
    }
    // One word more, so that even an empty list has an address of its own.
    bytes.resize((bytes.len() / 8 + 1) * 8, 0);
    let words = bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .collect();
    Ok(Packed { words, size_bytes })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::packed;

    #[test]
    fn strings_are_packed_one_after_another() {
        let strings = [OsString::from("echo"), OsString::from("hi")];

        let packed = packed("they", strings.iter()).expect("short");

        assert_eq!(packed.size_bytes, 8);
        assert_eq!(packed.words[0].to_le_bytes(), *b"echo\0hi\0");
    }
}
