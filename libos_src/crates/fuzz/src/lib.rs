//! What must hold whatever bytes come: programs, their code, the sealed configuration, and what the
//! host replies.
//!
//! A target is a function that panics if something does not hold. `tests/bounded.rs` runs each for a
//! bounded number of inputs, made by libFuzzer from the seeds under the guidance of coverage:
//!
//! ```text
//! ./occlum-build test //libos_src:fuzz_test
//! ```
#![forbid(unsafe_code)]

// Code that counts where it is counts into libFuzzer, in every binary that has it.
#[cfg(feature = "coverage")]
use libfuzzer_sys as _;

mod code;
mod program;
mod replies;
mod sealed;

/// Something that takes bytes of others.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes the bytes, and panics if something does not hold.
    pub check: fn(&[u8]),
    /// Inputs to begin with, each of which reaches deep.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many inputs a bounded run makes: some seconds of them.
    pub runs: u32,
}

/// All targets.
pub const TARGETS: [Target; 4] = [
    Target {
        name: "program",
        check: program::check,
        seeds: program::seeds,
        runs: 200_000,
    },
    Target {
        name: "code",
        check: code::check,
        seeds: code::seeds,
        runs: 30_000,
    },
    Target {
        name: "sealed",
        check: sealed::check,
        seeds: sealed::seeds,
        runs: 60_000,
    },
    Target {
        name: "replies",
        check: replies::check,
        seeds: replies::seeds,
        runs: 1_500,
    },
];
