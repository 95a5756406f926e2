//! The probe's binary.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The probe, as cargo built it.
pub(crate) static PROBE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("enclave");
    let triple = "x86_64-unknown-linux-gnu";
    let status = Command::new(env!("CARGO"))
        .current_dir(workspace)
        // The settings of the tests are not those of an enclave.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .args(["build", "--quiet", "--release", "--package", "probe"])
        .args(["--target", triple])
        .args(["--config", "crates/libos/enclave.cargo.toml"])
        .arg("--target-dir")
        .arg(&target)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the probe does not build");
    std::fs::read(target.join(triple).join("release/probe")).expect("the probe is there")
});
