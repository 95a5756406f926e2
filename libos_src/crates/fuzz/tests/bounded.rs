//! A bounded run of every target: the same inputs each time, as long as the code is the same.
//!
//! `FUZZ_RUNS` multiplies how many: 100 of them take some ten minutes.

use std::process::Command;

use fuzz::{TARGETS, Target};

/// Runs one target; libFuzzer's last words if it found nothing.
fn run(target: Target) -> String {
    let corpus = tempfile::tempdir().expect("a temporary directory");
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let file = corpus.path().join(format!("seed-{number}"));
        std::fs::write(file, seed).expect("writable");
    }
    let times = std::env::var("FUZZ_RUNS").map_or(1, |text| text.parse().expect("a number"));
    let runs = u64::from(target.runs) * times;
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .current_dir(corpus.path())
        .env("FUZZ_TARGET", target.name)
        .args([format!("-runs={runs}")])
        .args(["-seed=1", "-len_control=0", "-max_len=4096", "-timeout=20"])
        .args(["-rss_limit_mb=1000", "-print_final_stats=1"])
        .arg(corpus.path())
        .output()
        .expect("the fuzzer runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", target.name);
    let number = |name: &str| -> u64 {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {said}"));
        line.trim().parse().expect("a number")
    };
    let executed = number("stat::number_of_executed_units:");
    assert!(executed >= runs, "{executed} of {runs}");
    let found = number("stat::new_units_added:");
    assert!(found > 0, "coverage guides to nothing new: {said}");
    format!("{}: {executed} inputs, {found} of them new", target.name)
}

#[test]
fn nothing_that_a_fuzzer_finds_breaks_a_target() {
    for target in TARGETS {
        println!("{}", run(target));
    }
}

#[test]
fn every_seed_holds() {
    for target in TARGETS {
        for seed in (target.seeds)() {
            (target.check)(&seed);
        }
    }
}
