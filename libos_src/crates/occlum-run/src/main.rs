//! `occlum-run`: runs the enclave of a bundle.
//!
//! The exit status is the program's; 128 + n when signal n ended it. Failures of our own are said on
//! standard error: 1 the enclave was refused, 2 the input is wrong, 70 a defect of this project.
#![forbid(unsafe_code)]

mod arguments;

use std::path::Path;
use std::process::ExitCode;

use arguments::{Arguments, Choice, Parsed};
use plat_sgx::SgxPlatform;
use plat_sim::{EncluMode, SimPlatform, Steps};
use platform::Platform;
use urts::{Bundle, Options, RunError};

/// The device of SGX on Linux.
const SGX_DEVICE: &str = "/dev/sgx_enclave";

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args_os()) {
        Ok(Parsed::Run(arguments)) => arguments,
        Ok(Parsed::Help) => {
            print!("{}", arguments::HELP);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!(
                "occlum-run: error: {problem}\n  = help: `occlum-run --help` lists the options"
            );
            return ExitCode::from(2);
        }
    };
    let error = run(&arguments);
    eprintln!("occlum-run: error: {error}");
    urts::exit(error.exit_status().into())
}

/// Runs the bundle; comes back only if that failed.
fn run(arguments: &Arguments) -> RunError {
    let bundle = match Bundle::open(&arguments.bundle) {
        Ok(bundle) => bundle,
        Err(error) => return error,
    };
    let options = Options {
        arguments: arguments.program.clone(),
        statistics: arguments.statistics.clone(),
        trace: arguments.trace.clone(),
        mappings: arguments.mappings.clone(),
        host_root: arguments.host_root.clone(),
    };
    if on_hardware(arguments.platform) {
        match SgxPlatform::new() {
            Ok(platform) => on(&platform, &bundle, &options),
            Err(error) => no_platform("SGX hardware", error),
        }
    } else {
        on(&SimPlatform::new(sim_options(arguments)), &bundle, &options)
    }
}

fn sim_options(arguments: &Arguments) -> plat_sim::Options {
    plat_sim::Options {
        enclu: if arguments.traps_enclu {
            EncluMode::Trap
        } else {
            EncluMode::Patched
        },
        strict: arguments.is_strict,
        counts_escapes: arguments.statistics.is_some(),
        interception: arguments.interception,
        interrupt_period: arguments.interrupt_period,
        steps: Steps::None,
    }
}

fn on<P: Platform>(platform: &P, bundle: &Bundle, options: &Options) -> RunError {
    match urts::run(platform, bundle, options) {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

fn on_hardware(choice: Choice) -> bool {
    match choice {
        Choice::Sgx => true,
        Choice::Sim => false,
        Choice::Auto => Path::new(SGX_DEVICE).exists(),
    }
}

fn no_platform(name: &'static str, error: platform::Error) -> RunError {
    RunError::Platform { step: name, error }
}
