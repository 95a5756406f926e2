//! An enclave that is its own test program.
//!
//! Its kernel knows a handful of system calls; its program is a few lines of machine code, chosen
//! by the host's first argument. The tests of the platforms run it where a whole LibOS would hide
//! which layer is at fault.
#![cfg_attr(enclave, no_std, no_main)]
#![expect(unsafe_code, reason = "a boot symbol, and a program in assembly")]

extern crate alloc;

mod defects;
mod kernel;
mod programs;

rt::enclave!(kernel::boot);

/// Outside an enclave there is nothing to do.
#[cfg(not(enclave))]
fn main() {
    eprintln!("this program runs in an enclave: see the workspace's README.md");
    std::process::exit(2);
}
