//! What happened in a run, as one JSON object for tests and benchmarks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process;

use platform::Counters;
use serde::Serialize;

use crate::RunError;

/// Counts of one run. Those of the enclave are its own word; those of the platform are ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Whether the enclave reported its own counts: only one that may be debugged does.
    pub(crate) enclave_reported: bool,
    /// System calls of the program that arrived by the trap.
    pub(crate) trapped_syscalls: u64,
    /// System calls of the program that arrived by a patched site.
    pub(crate) patched_syscalls: u64,
    /// Sites that were patched.
    pub(crate) patched_sites: u64,
    /// Other exceptions of the program.
    pub(crate) program_exceptions: u64,
    /// OCALLs served.
    pub(crate) ocalls: u64,
    /// How many of each sort, by the name of [`Ocall`](abi::ocall::Ocall).
    pub(crate) ocalls_by_name: BTreeMap<String, u64>,
    /// Times that a thread entered the enclave to begin something.
    pub(crate) ecalls: u64,
    /// Asynchronous exits for an exception.
    pub(crate) exception_exits: u64,
    /// Asynchronous exits for an interrupt.
    pub(crate) interrupt_exits: u64,
    /// ENCLU leaves that the platform emulated.
    pub(crate) enclu_leaves: u64,
    /// System calls of code in the enclave that reached the host's kernel: 0, or a defect.
    pub(crate) host_syscalls_from_enclave: u64,
    /// Exits that left something of the enclave in a register: 0, or a defect.
    pub(crate) unclean_exits: u64,
}

impl Report {
    /// Adds what one thread's platform counted.
    pub(crate) fn add(&mut self, counters: Counters) {
        self.exception_exits += counters.exceptions;
        self.interrupt_exits += counters.interrupts;
        self.enclu_leaves += counters.enclu_leaves;
        self.host_syscalls_from_enclave += counters.leaked_syscalls;
        self.unclean_exits += counters.unclean_exits;
    }

    /// Takes over what the enclave reported, as it lies in memory.
    pub(crate) fn take_enclave_words(&mut self, bytes: &[u8]) {
        let mut words = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word));
        self.trapped_syscalls = words.next().unwrap_or(0);
        self.patched_syscalls = words.next().unwrap_or(0);
        self.program_exceptions = words.next().unwrap_or(0);
        let _ocalls_as_the_enclave_counts = words.next();
        self.patched_sites = words.next().unwrap_or(0);
        self.enclave_reported = true;
    }

    /// Writes the file, whole or not at all; into a device or a pipe it goes as it is.
    pub(crate) fn write(&self, path: &Path) -> Result<(), RunError> {
        let cannot = |error| RunError::Host(format!("cannot write `{}`: {error}", path.display()));
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        // A link stays, and leads to the new file.
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&place).is_ok_and(|there| !there.is_file()) {
            // A file that takes its place would be what every other program finds there.
            return fs::write(path, text).map_err(cannot);
        }
        let mut partial = place.as_os_str().to_owned();
        partial.push(format!(".{}.partial", process::id()));
        let done = fs::write(&partial, text).and_then(|()| fs::rename(&partial, &place));
        if done.is_err() {
            let _it_may_not_even_be_there = fs::remove_file(&partial);
        }
        done.map_err(cannot)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("urts-{name}-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn a_pipe_stays_a_pipe() {
        let folder = folder("pipe");
        let pipe = folder.join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .expect("a pipe");
        let reader = pipe.clone();
        let reader = std::thread::spawn(move || fs::read_to_string(reader));
        Report::default().write(&pipe).expect("written");
        let read = reader.join().expect("no panic").expect("read");
        assert!(read.contains("\"ocalls\": 0"), "{read}");
        let kind = fs::symlink_metadata(&pipe).expect("there").file_type();
        assert!(kind.is_fifo(), "{kind:?}");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_link_stays_and_leads_to_the_new_file() {
        let folder = folder("link");
        fs::write(folder.join("old"), "old").expect("written");
        symlink("old", folder.join("link")).expect("linked");
        Report::default()
            .write(&folder.join("link"))
            .expect("written");
        let names = fs::read_dir(&folder).expect("listed").count();
        assert_eq!(names, 2, "nothing else is left");
        let link = fs::read_link(folder.join("link")).expect("still a link");
        assert_eq!(link.as_os_str(), "old");
        let text = fs::read_to_string(folder.join("old")).expect("read");
        assert!(text.starts_with('{'), "{text}");
        fs::remove_dir_all(folder).expect("removed");
    }
}
