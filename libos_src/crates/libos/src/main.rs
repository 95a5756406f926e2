//! The enclave: the LibOS kernel on the enclave runtime. Nothing else is in an enclave of this
//! project but the sealed configuration and the program's own files.
#![cfg_attr(enclave, no_std, no_main)]

extern crate alloc;

use alloc::{boxed::Box, format};

use config::Config;
use hal::StartError;
use kernel::Libos;
use rt::{Boot, Program};

rt::enclave!(boot);

/// Builds the kernel from the configuration in the measured pages.
fn boot(boot: &Boot) -> Result<Program, StartError> {
    let config = Config::parse(boot.config).map_err(|error| StartError {
        message: format!("the sealed configuration is not valid: {error}"),
    })?;
    let (debuggable, is_silent) = (config.debuggable, config.disable_log);
    let libos: &'static Libos = Box::leak(Box::new(Libos::new(boot.machine, config)));
    Ok(Program {
        kernel: libos,
        patched_sites: debuggable.then_some(kernel::patched_sites),
        is_silent,
    })
}

/// Outside an enclave there is nothing to do.
#[cfg(not(enclave))]
fn main() {
    eprintln!("this program runs in an enclave: see the workspace's README.md");
    std::process::exit(2);
}
