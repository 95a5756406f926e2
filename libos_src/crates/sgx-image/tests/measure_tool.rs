//! The `sgxs-measure` program, run as its users run it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn measure(paths: &[&PathBuf]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sgxs-measure"))
        .args(paths)
        .output()
        .unwrap()
}

fn file(name: &str, contents: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, contents).unwrap();
    path
}

/// ECREATE of a two-page enclave with one-page SSA frames, and nothing else.
fn empty_enclave() -> [u8; 64] {
    let mut record = [0; 64];
    record[..13].copy_from_slice(b"ECREATE\0\x01\0\0\0\0");
    record[13] = 0x20;
    record
}

#[test]
fn it_prints_what_sha256sum_prints() {
    let path = file("empty.sgxs", &empty_enclave());
    let ours = measure(&[&path]);
    let theirs = Command::new("sha256sum").arg(&path).output().unwrap();
    assert!(ours.status.success());
    assert_eq!(
        String::from_utf8_lossy(&ours.stdout),
        String::from_utf8_lossy(&theirs.stdout)
    );
}

#[test]
fn a_bad_file_is_named_with_the_byte_and_the_good_ones_are_still_measured() {
    let mut bytes = empty_enclave();
    bytes[63] = 1;
    let (bad, good) = (
        file("bad.sgxs", &bytes),
        file("good.sgxs", &empty_enclave()),
    );
    let output = measure(&[&bad, &good]);
    assert_eq!(output.status.code(), Some(2));
    let message = format!(
        "sgxs-measure: {}: a reserved byte is not zero at byte 0x3f\n",
        bad.display()
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), message);
    assert_eq!(
        output.stdout.iter().filter(|&&byte| byte == b'\n').count(),
        1
    );
}

#[test]
fn without_files_it_says_how_it_is_used() {
    let output = measure(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stderr, b"usage: sgxs-measure FILE...\n");
}
