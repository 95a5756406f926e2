//! The enclaves' binaries.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The probe, as cargo built it.
pub(crate) static PROBE: LazyLock<Vec<u8>> = LazyLock::new(|| build("probe"));

/// An enclave's binary, built as a release builds it.
pub(crate) fn build(package: &str) -> Vec<u8> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("enclave");
    let triple = "x86_64-unknown-linux-gnu";
    let status = Command::new(env!("CARGO"))
        .current_dir(workspace)
        // The settings of the tests are not those of an enclave.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .args(["build", "--quiet", "--release", "--package", package])
        .args(["--target", triple])
        .args(["--config", "crates/libos/enclave.cargo.toml"])
        .arg("--target-dir")
        .arg(&target)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{package} does not build");
    std::fs::read(target.join(triple).join("release").join(package)).expect("it is there")
}
