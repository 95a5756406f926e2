//! What it costs to cross the enclave's border, in nanoseconds: `cargo bench -p occlum-run`.
//!
//! Each figure but the round trip is the slope between two runs of the probe, so that loading does
//! not count; the best of several. The machine's own `getppid` stands beside them: trust the ratios.

#[path = "../tests/probe/elf.rs"]
mod elf;
#[path = "../tests/probe/image.rs"]
mod image;
#[path = "../tests/probe/layout.rs"]
#[allow(dead_code, reason = "one memory model is enough here")]
mod layout;
#[path = "../../einit/tests/einit/signer.rs"]
#[allow(dead_code, reason = "the tests of `einit` need more of it")]
mod signer;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use layout::{Enclave, Model};
use plat_sim::{EncluMode, Options, SimPlatform};
use platform::{Enclave as _, EnterLeaf, EntryRegisters, Thread as _};
use tempfile::TempDir;

const ROUNDS: u32 = 5;

fn main() {
    let bundle = bundle();
    if let Some(mode) =
        std::env::args().find_map(|word| word.strip_prefix("round-trip=").map(str::to_owned))
    {
        println!("{:.1}", round_trip(bundle.path(), &mode));
        return;
    }
    report("native getppid", native_getppid());
    for mode in ["patched", "trap"] {
        report(
            &format!("EENTER and EEXIT, ENCLU {mode}"),
            in_a_process(mode),
        );
        let slope = |program, count| slope(bundle.path(), mode, program, count);
        report(
            &format!("OCALL in a trapped call, ENCLU {mode}"),
            slope("ocall", 50_000),
        );
        report(
            &format!("trapped system call, ENCLU {mode}"),
            slope("trap", 100_000),
        );
        report(
            &format!("patched system call, ENCLU {mode}"),
            slope("patched", 5_000_000),
        );
        report(
            &format!("call that is answered ahead, ENCLU {mode}"),
            slope("answered", 5_000_000),
        );
    }
}

fn report(name: &str, nanoseconds: f64) {
    println!("{name:<45} {nanoseconds:>9.1} ns");
}

fn bundle() -> TempDir {
    let enclave = Enclave::new(&image::PROBE, Model::Sgx1);
    let directory = TempDir::new().expect("a temporary directory");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(directory.path().join(name), bytes).expect("writable");
    };
    write("enclave.sgxs", &enclave.stream);
    write("enclave.sig", &enclave.sigstruct());
    write("manifest.json", br#"{"version":1,"images":[]}"#);
    directory
}

fn best(mut measure: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| measure()).fold(f64::MAX, f64::min)
}

fn per_call(elapsed: Duration, calls: u32) -> f64 {
    elapsed.as_nanos() as f64 / f64::from(calls)
}

fn native_getppid() -> f64 {
    const CALLS: u32 = 1_000_000;
    best(|| {
        let start = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(std::os::unix::process::parent_id());
        }
        per_call(start.elapsed(), CALLS)
    })
}

/// A process can hold one enclave, so each mode has its own.
fn in_a_process(mode: &str) -> f64 {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program)
        .arg(format!("round-trip={mode}"))
        .output()
        .expect("it runs again");
    let text = String::from_utf8(output.stdout).expect("a number");
    text.trim().parse().expect("a number")
}

fn round_trip(bundle: &Path, mode: &str) -> f64 {
    const CALLS: u32 = 200_000;
    let enclu = match mode {
        "trap" => EncluMode::Trap,
        _ => EncluMode::Patched,
    };
    let platform = SimPlatform::new(Options {
        enclu,
        ..Options::default()
    });
    let bundle = urts::Bundle::open(bundle).expect("a bundle");
    let loaded = urts::load(&platform, &bundle).expect("a legal enclave");
    let mut thread = loaded
        .enclave
        .attach_thread(loaded.tcs_offsets[0])
        .expect("a thread");
    let nothing = EntryRegisters {
        rdi: abi::ocall::Command::Nothing as u64,
        ..EntryRegisters::default()
    };
    best(|| {
        let start = Instant::now();
        for _ in 0..CALLS {
            thread.enter(EnterLeaf::Enter, nothing).expect("enters");
        }
        per_call(start.elapsed(), CALLS)
    })
}

/// Time for each further iteration of one of the probe's programs.
fn slope(bundle: &Path, mode: &str, program: &str, count: u32) -> f64 {
    let run = |count: u32| {
        let start = Instant::now();
        let status = Command::new(env!("CARGO_BIN_EXE_occlum-run"))
            .args(["--platform", "sim", "--enclu", mode])
            .arg(bundle)
            .args(["--", program, &count.to_string()])
            .status()
            .expect("occlum-run runs");
        assert!(status.success());
        start.elapsed()
    };
    best(|| {
        let short = run(count / 10);
        let long = run(count);
        per_call(long.saturating_sub(short), count - count / 10)
    })
}
