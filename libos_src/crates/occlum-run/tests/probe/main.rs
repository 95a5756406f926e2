//! The runner and software SGX, tested with the probe: an enclave that is its own test program.
//!
//! Nothing of the project's builder is used: [`layout`] lays out, measures and signs the probe by
//! itself, so that builder and platform cannot share a mistake.

mod defects;
mod elf;
mod image;
mod layout;
mod liars;
mod programs;
mod refusals;
mod text;
// One signer for the tests of all crates.
#[path = "../../../einit/tests/einit/signer.rs"]
#[allow(dead_code, reason = "the tests of `einit` need more of it")]
mod signer;

use std::process::{Command, Output};

use image::PROBE;
use layout::{Enclave, Model};
use tempfile::TempDir;

/// A bundle in a directory of its own.
struct Bundle {
    directory: TempDir,
}

impl Bundle {
    fn new(enclave: &Enclave) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(directory.path().join(name), bytes).expect("writable");
        };
        write("enclave.sgxs", &enclave.stream);
        write("enclave.sig", &enclave.sigstruct());
        write("manifest.json", br#"{"version":1,"images":[]}"#);
        Self { directory }
    }

    fn probe(model: Model) -> Self {
        Self::new(&Enclave::new(&PROBE, model))
    }

    fn run(&self, options: &[&str], program: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_occlum-run"))
            .args(["--platform", "sim"])
            .args(options)
            .arg(self.directory.path())
            .arg("--")
            .args(program)
            .output()
            .expect("occlum-run runs")
    }

    /// Runs and gives the statistics; the program must succeed.
    fn count(&self, options: &[&str], program: &[&str]) -> serde_json::Value {
        let file = self.directory.path().join("statistics.json");
        let mut options = options.to_vec();
        options.extend(["--stats", file.to_str().expect("UTF-8")]);
        let output = self.run(&options, program);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{options:?} {program:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = std::fs::read(file).expect("statistics are written");
        serde_json::from_slice(&text).expect("statistics are JSON")
    }
}
