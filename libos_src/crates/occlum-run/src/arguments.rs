//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::{Long, Short, Value};
use plat_sim::Interception;
use urts::TraceTo;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Run the enclave of a bundle.

usage: occlum-run [options] BUNDLE [-- ARGUMENTS...]

  BUNDLE                 the directory that `occlum_bundle` made
  ARGUMENTS              for the program, if its Occlum.yaml lets the host give any

options:
  --platform PLATFORM    `sgx` for hardware, `sim` for software SGX, `auto` (default)
                         for hardware where there is any
  --enclu MODE           how software SGX meets ENCLU: `patched` (default) replaces the
                         instruction in its own copy after measuring, `trap` leaves it in
  --strict               software SGX: make CPUID and RDTSC fault inside the enclave, as hardware
                         does
  --intercept WAY        software SGX: catch system calls by `dispatch` (Linux 6.17), `dispatch-below`
                         (Linux 5.11), `seccomp`, or `auto` (default), the first that works
  --interrupt MICROS     software SGX: interrupt the enclave this often, as a busy machine would
  --host-root DIRECTORY  where relative sources of `hostfs` mounts start; by default the
                         current directory
  --stats FILE           write what was counted, as JSON; software SGX counts system calls that
                         escape from the enclave, too, which makes the host's own a little slower
  --trace[=FILE]         write every system call of the program, in words, to standard error or
                         to FILE; needs an enclave that may be debugged
  --mappings FILE        write what code of files is mapped, a line as in /proc/self/maps each time;
                         needs an enclave that may be debugged
  --help                 print this

exit status: the program's, 128 + n when signal n ended it; 126 if the enclave cannot start
the program, or refuses arguments or the wish to look into it; else 1 if the enclave was
refused, 2 if the input is wrong, 70 if it is a defect of this project.
";

/// On what to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Auto,
    Sim,
    Sgx,
}

/// A command line that asks for a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) platform: Choice,
    pub(crate) traps_enclu: bool,
    pub(crate) is_strict: bool,
    pub(crate) interception: Interception,
    pub(crate) interrupt_period: Option<Duration>,
    pub(crate) statistics: Option<PathBuf>,
    pub(crate) trace: Option<TraceTo>,
    pub(crate) mappings: Option<TraceTo>,
    pub(crate) host_root: PathBuf,
    pub(crate) bundle: PathBuf,
    pub(crate) program: Vec<OsString>,
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Run(Arguments),
    Help,
}

/// Reads a command line, whose first word is the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Parsed, lexopt::Error> {
    let (ours, program) = split(words.into_iter().collect());
    let mut parser = lexopt::Parser::from_iter(ours);
    let mut platform = Choice::Auto;
    let mut traps_enclu = false;
    let mut is_strict = false;
    let mut interception = Interception::Automatic;
    let mut interrupt_period = None;
    let mut statistics = None;
    let mut trace = None;
    let mut mappings = None;
    let mut host_root = PathBuf::new();
    let mut bundle: Option<PathBuf> = None;
    while let Some(word) = parser.next()? {
        match word {
            Long("help") | Short('h') => return Ok(Parsed::Help),
            Long("platform") => platform = choice(&parser.value()?)?,
            Long("enclu") => traps_enclu = enclu(&parser.value()?)?,
            Long("strict") => is_strict = true,
            Long("intercept") => interception = intercept(&parser.value()?)?,
            Long("interrupt") => interrupt_period = Some(period(&parser.value()?)?),
            Long("host-root") => host_root = parser.value()?.into(),
            Long("stats") => statistics = Some(parser.value()?.into()),
            Long("mappings") => mappings = Some(TraceTo::File(parser.value()?.into())),
            Long("trace") => {
                trace = Some(match parser.optional_value() {
                    None => TraceTo::StandardError,
                    Some(file) => TraceTo::File(file.into()),
                });
            }
            Value(path) if bundle.is_none() => bundle = Some(path.into()),
            other => return Err(other.unexpected()),
        }
    }
    let bundle = bundle.ok_or("a bundle is missing: name the directory to run")?;
    Ok(Parsed::Run(Arguments {
        platform,
        traps_enclu,
        is_strict,
        interception,
        interrupt_period,
        statistics,
        trace,
        mappings,
        host_root,
        bundle,
        program,
    }))
}

/// Our words, and those after the first `--`, which are the program's.
fn split(mut words: Vec<OsString>) -> (Vec<OsString>, Vec<OsString>) {
    match words.iter().position(|word| word == "--") {
        None => (words, Vec::new()),
        Some(at) => {
            let program = words.split_off(at).into_iter().skip(1).collect();
            (words, program)
        }
    }
}

fn choice(value: &OsString) -> Result<Choice, lexopt::Error> {
    match value.to_str() {
        Some("auto") => Ok(Choice::Auto),
        Some("sim") => Ok(Choice::Sim),
        Some("sgx") => Ok(Choice::Sgx),
        _ => Err(one_of("--platform", value, "`auto`, `sim` or `sgx`")),
    }
}

fn enclu(value: &OsString) -> Result<bool, lexopt::Error> {
    match value.to_str() {
        Some("patched") => Ok(false),
        Some("trap") => Ok(true),
        _ => Err(one_of("--enclu", value, "`patched` or `trap`")),
    }
}

fn intercept(value: &OsString) -> Result<Interception, lexopt::Error> {
    match value.to_str() {
        Some("auto") => Ok(Interception::Automatic),
        Some("dispatch") => Ok(Interception::DispatchInside),
        Some("dispatch-below") => Ok(Interception::DispatchBelow),
        Some("seccomp") => Ok(Interception::Seccomp),
        _ => Err(one_of(
            "--intercept",
            value,
            "`auto`, `dispatch`, `dispatch-below` or `seccomp`",
        )),
    }
}

fn period(value: &OsString) -> Result<Duration, lexopt::Error> {
    match value.to_str().and_then(|text| text.parse().ok()) {
        Some(micros @ 1..) => Ok(Duration::from_micros(micros)),
        _ => Err(one_of("--interrupt", value, "a number of microseconds")),
    }
}

fn one_of(option: &str, value: &OsString, allowed: &str) -> lexopt::Error {
    format!("`{option}` takes {allowed}, not `{}`", value.display()).into()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Choice, Parsed, parse};

    fn parsed(words: &[&str]) -> Result<Parsed, String> {
        parse(words.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_stands_after_two_dashes_is_the_programs() {
        let Ok(Parsed::Run(arguments)) = parsed(&["occlum-run", "b", "--", "--strict", "x"]) else {
            panic!("a run was asked for");
        };

        assert_eq!(arguments.program, ["--strict", "x"]);
        assert!(!arguments.is_strict);
        assert_eq!(arguments.platform, Choice::Auto);
    }

    #[test]
    fn a_wrong_value_is_answered_with_the_right_ones() {
        let error = parsed(&["occlum-run", "--enclu", "fast", "b"]);

        assert_eq!(
            error,
            Err("`--enclu` takes `patched` or `trap`, not `fast`".to_owned())
        );
    }

    #[test]
    fn a_missing_bundle_is_an_error() {
        assert!(parsed(&["occlum-run", "--strict"]).is_err());
    }
}
