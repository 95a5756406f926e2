//! Prints the MRENCLAVE of SGXS files: `sgxs-measure FILE...`, one line a file.
//!
//! It shares no code with the builder's measurer, and reads a file by the rules by which the host
//! would load it, so that the two can be held against each other.
#![forbid(unsafe_code)]

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::process::ExitCode;

fn main() -> ExitCode {
    let files: Vec<_> = env::args_os().skip(1).collect();
    if files.is_empty() {
        eprintln!("usage: sgxs-measure FILE...");
        return ExitCode::from(2);
    }
    let mut exit = ExitCode::SUCCESS;
    for file in &files {
        match measure(file) {
            Ok(mrenclave) => println!("{mrenclave}  {}", file.display()),
            Err(message) => {
                eprintln!("sgxs-measure: {}: {message}", file.display());
                exit = ExitCode::from(2);
            }
        }
    }
    exit
}

fn measure(path: &OsStr) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mrenclave = sgx_image::measure(file).map_err(|error| error.to_string())?;
    Ok(mrenclave.iter().map(|byte| format!("{byte:02x}")).collect())
}
