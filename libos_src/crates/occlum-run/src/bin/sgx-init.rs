//! Tells whether software SGX starts enclaves: `sgx-init BUNDLE...`, one line a bundle.
//!
//! Each is built page by page and given to EINIT, as `occlum-run` does it, and never entered. So the
//! builder's measurement and signature can be held against the platform's without a program that
//! runs. The exit status is 0 if all were started, 1 if one was refused, 2 if one is no bundle.
#![forbid(unsafe_code)]

use std::env;
use std::path::Path;
use std::process::ExitCode;

use plat_sim::{Options, SimPlatform};
use urts::{Bundle, RunError};

fn main() -> ExitCode {
    let bundles: Vec<_> = env::args_os().skip(1).collect();
    if bundles.is_empty() {
        eprintln!("usage: sgx-init BUNDLE...");
        return ExitCode::from(2);
    }
    let mut status = 0;
    for bundle in bundles.iter().map(Path::new) {
        match init(bundle) {
            Ok(threads) => println!("started  {}: {threads} threads", bundle.display()),
            Err(error) => {
                println!("refused  {}: {error}", bundle.display());
                status = status.max(error.exit_status());
            }
        }
    }
    ExitCode::from(status)
}

/// How many threads the enclave has that was started. It is gone when this returns.
fn init(bundle: &Path) -> Result<usize, RunError> {
    let platform = SimPlatform::new(Options::default());
    let loaded = urts::load(&platform, &Bundle::open(bundle)?)?;
    Ok(loaded.tcs_offsets.len())
}
