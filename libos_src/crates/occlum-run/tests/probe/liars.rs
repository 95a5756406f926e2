//! A host that lies can stop the enclave, and nothing else.
//!
//! Each case runs in a process of its own, which is this test binary once more: see [`liar`].

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use abi::ocall::{Ocall, OcallBlock, StartInfo};
use plat_sim::{EncluMode, SimPlatform, Steps};
use platform::{EnterLeaf, EntryRegisters};
use urts::testing::{self, Meddler};

use crate::{Bundle, layout::Model};

const LIE: &str = "OCCLUM_TEST_LIE";
const SEED: &str = "OCCLUM_TEST_SEED";
const BUNDLE: &str = "OCCLUM_TEST_BUNDLE";
const PROGRAM: &str = "OCCLUM_TEST_PROGRAM";
/// More than enough for one run on a busy machine. A lie may also make the enclave wait for ever.
const LIMIT: Duration = Duration::from_secs(20);

/// Numbers that a host may find interesting: inside the enclave, around its end and around the end
/// of the address space, misaligned, and around the sizes and errors that calls know.
const NUMBERS: [u64; 20] = [
    0,
    1,
    8,
    15,
    17,
    4096,
    0x1_0000,
    0x20_0000,
    0x41_4000,
    0x60_0000,
    0x7f_fff8,
    0x80_0001,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
    u64::MAX - 6,
    u64::MAX - 4094,
    u64::MAX - 4095,
    0x8000_0000_0000,
    0x7fff_ffff_fff8,
];

/// One way to lie, with random numbers of its own.
struct Liar {
    lie: Lie,
    state: AtomicU64,
    entries: AtomicU64,
    resumes: AtomicU64,
    ends: AtomicU64,
    late: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Replies, block and buffer are changed in every fourth call.
    Replies,
    /// Page tables stay as they are.
    NoPageTables,
    /// Nothing about pages is done, and all of it is said to be done.
    NoPages,
    /// The first entry has other arguments.
    Arguments,
    /// The first entry names a block or start information with other pointers and sizes.
    Structures,
    /// Later entries have other arguments, and come once too often or as the other leaf.
    Entries,
    /// Every thread is interrupted all the time, unasked, and entered before it is resumed.
    Interrupts,
    /// Every thread is entered three times before it is resumed.
    Reentry,
    /// Every thread is interrupted, and entered, after each instruction.
    Steps,
    /// The same where ENCLU is patched.
    PatchedSteps,
    /// Each instruction takes as long as any other, so that an interruption that the enclave asks for
    /// comes at each.
    SlowMotion,
    /// No thread is interrupted when the enclave asks for it.
    NoInterrupts,
    /// The kernel's own thread comes while the kernel starts.
    Keeper,
    /// Every vector register and mask holds something at each entry.
    Vectors,
    /// The x87 registers, too.
    Registers,
    /// The enclave's end is ignored for a while. It asks for nothing else then.
    NoEnd,
}

const LIES: [Lie; 16] = [
    Lie::Replies,
    Lie::NoPageTables,
    Lie::NoPages,
    Lie::Arguments,
    Lie::Structures,
    Lie::Entries,
    Lie::Interrupts,
    Lie::Reentry,
    Lie::Steps,
    Lie::PatchedSteps,
    Lie::SlowMotion,
    Lie::NoInterrupts,
    Lie::Keeper,
    Lie::Vectors,
    Lie::Registers,
    Lie::NoEnd,
];

impl Liar {
    /// splitmix64.
    fn random(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .state
            .fetch_add(step, Ordering::SeqCst)
            .wrapping_add(step);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn one_in(&self, count: u64) -> bool {
        self.random().is_multiple_of(count)
    }

    /// Ignores a thousand ends. What other threads ask for meanwhile is told, but for one call each
    /// that may have been under way.
    fn ends(&self, call: Ocall) -> bool {
        let is_end = matches!(call, Ocall::Abort | Ocall::ExitProcess);
        let ends = self.ends.fetch_add(u64::from(is_end), Ordering::SeqCst);
        if is_end {
            thread::yield_now();
            return ends >= 1000;
        }
        if ends > 0 && call != Ocall::Yield && self.late.fetch_add(1, Ordering::SeqCst) > 0 {
            eprintln!("the enclave went on with {call:?}");
        }
        true
    }

    fn number(&self) -> u64 {
        match self.random() % 4 {
            0 => self.random(),
            1 => (self.random() % 4200).wrapping_neg(),
            _ => NUMBERS[self.random() as usize % NUMBERS.len()],
        }
    }

    /// A block or start information of the liar's own making, with one field that is no good.
    fn structures(&self, registers: EntryRegisters) -> EntryRegisters {
        let memory: &'static mut [u64] = Box::leak(vec![0; 4096].into_boxed_slice());
        memory[0] = u64::from_le_bytes(*b"hello\x007\0");
        let address = memory.as_ptr() as u64;
        let bad = self.random() % 8;
        let field = |index, good| if index == bad { self.number() } else { good };
        if self.one_in(4) {
            let block = Box::leak(Box::new(OcallBlock {
                buffer: field(bad & !1, address),
                buffer_size_bytes: field(bad | 1, 4096 * 8),
                ..OcallBlock::default()
            }));
            let rsi = std::ptr::from_mut(block) as u64;
            return EntryRegisters { rsi, ..registers };
        }
        let info = Box::leak(Box::new(StartInfo {
            arguments: field(0, address),
            arguments_size_bytes: field(1, 8),
            environment: field(2, address),
            environment_size_bytes: field(3, 8),
            cpuid: field(4, address),
            cpuid_count: field(5, 100),
            cpu_count: field(6, 1),
            flags: field(7, 1),
        }));
        let rdx = std::ptr::from_mut(info) as u64;
        EntryRegisters { rdx, ..registers }
    }
}

impl Meddler for Liar {
    fn entry(&self, leaf: EnterLeaf, registers: EntryRegisters) -> (EnterLeaf, EntryRegisters) {
        let mut changed = registers;
        let is_first = self.entries.fetch_add(1, Ordering::SeqCst) == 0;
        match self.lie {
            Lie::Structures if is_first => return (leaf, self.structures(registers)),
            Lie::Arguments if is_first => match self.random() % 3 {
                0 => changed.rdi = self.number(),
                1 => changed.rsi = self.number(),
                _ => changed.rdx = self.number(),
            },
            Lie::Entries if !is_first => {
                changed.rdi = self.number();
                changed.rsi = self.number();
                changed.rdx = self.number();
                // The second is refused by the CPU or seen by the runner, unless nothing was to be done.
                match leaf {
                    EnterLeaf::Resume if self.one_in(3) => return (EnterLeaf::Enter, changed),
                    EnterLeaf::Enter if self.one_in(500) => return (EnterLeaf::Resume, changed),
                    _ => {}
                }
            }
            Lie::Interrupts if leaf == EnterLeaf::Resume && self.one_in(2) => {
                return (EnterLeaf::Enter, changed);
            }
            Lie::Reentry if leaf == EnterLeaf::Resume => {
                let turn = self.resumes.fetch_add(1, Ordering::SeqCst);
                if !turn.is_multiple_of(4) {
                    return (EnterLeaf::Enter, changed);
                }
            }
            Lie::Vectors | Lie::Registers => {
                testing::soil_registers(self.lie == Lie::Registers);
            }
            _ => {}
        }
        (leaf, changed)
    }

    fn serves(&self, call: Ocall) -> bool {
        let about_pages = matches!(
            call,
            Ocall::MapPages | Ocall::RestrictPermissions | Ocall::TrimPages | Ocall::RemovePages
        );
        match self.lie {
            Lie::NoPageTables => call != Ocall::MapPages,
            Lie::NoPages => !about_pages,
            Lie::NoInterrupts => call != Ocall::Interrupt,
            Lie::NoEnd => self.ends(call),
            _ => true,
        }
    }

    fn brings_keeper(&self, call: Ocall) -> bool {
        self.lie == Lie::Keeper && call == Ocall::Clock
    }

    fn reply(&self, _call: Ocall, block: &mut OcallBlock, buffer: &mut [u8]) {
        if self.lie != Lie::Replies || !self.one_in(4) {
            return;
        }
        block.reply = self.number() as i64;
        if self.one_in(2) {
            block.number = self.number();
            block.arguments = [self.number(); 6];
            block.buffer = self.number();
            block.buffer_size_bytes = self.number();
        }
        for byte in buffer.iter_mut().take(64) {
            *byte = self.random() as u8;
        }
    }
}

/// Sends the signal of interruptions to every thread of this process but the calling one, and the
/// test harness's, whose alternate stack std unmaps under its feet when the process ends.
fn interrupt_all(liar: &Liar) {
    let number = |name: std::ffi::OsString| name.to_str()?.parse::<i32>().ok();
    let own = std::fs::read_link("/proc/thread-self").expect("procfs");
    let own = own.file_name().and_then(|name| number(name.into()));
    let spared = [own, i32::try_from(std::process::id()).ok()];
    loop {
        for thread in std::fs::read_dir("/proc/self/task").expect("procfs") {
            let thread = thread.ok().and_then(|thread| number(thread.file_name()));
            if let Some(thread) = thread.filter(|&thread| !spared.contains(&Some(thread))) {
                testing::interrupt_thread(thread);
            }
        }
        thread::sleep(Duration::from_micros(liar.random() % 100));
    }
}

/// Not a test by itself: the process that a case runs in.
#[test]
fn liar() {
    let Ok(name) = std::env::var(LIE) else { return };
    let value = |name| std::env::var(name).expect("the case says it");
    let lie = LIES.into_iter().find(|lie| format!("{lie:?}") == name);
    let lie = lie.expect("a lie");
    let seed = value(SEED).parse().expect("a number");
    let liar = || Liar {
        lie,
        state: AtomicU64::new(seed),
        entries: AtomicU64::new(0),
        resumes: AtomicU64::new(1),
        ends: AtomicU64::new(0),
        late: AtomicU64::new(0),
    };
    testing::install(Box::new(liar()));
    if lie == Lie::Interrupts {
        let liar = liar();
        thread::spawn(move || interrupt_all(&liar));
    }
    let bundle = urts::Bundle::open(value(BUNDLE).as_ref()).expect("a bundle");
    let options = urts::Options {
        arguments: value(PROGRAM).split(' ').map(Into::into).collect(),
        ..urts::Options::default()
    };
    let platform = SimPlatform::new(plat_sim::Options {
        steps: match lie {
            Lie::Steps | Lie::PatchedSteps => Steps::Entered,
            Lie::SlowMotion => Steps::Slow,
            _ => Steps::None,
        },
        enclu: match lie {
            Lie::Steps => EncluMode::Trap,
            _ => EncluMode::Patched,
        },
        ..plat_sim::Options::default()
    });
    let Err(error) = urts::run(&platform, &bundle, &options);
    eprintln!("error: {error}");
    std::process::exit(error.exit_status().into());
}

/// How a run ended; nothing if it did not.
fn run(bundle: &Bundle, lie: Lie, seed: u64, program: &str) -> Option<Output> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["liars::liar", "--exact", "--nocapture", "--test-threads=1"])
        .env(LIE, format!("{lie:?}"))
        .env(SEED, seed.to_string())
        .env(BUNDLE, bundle.directory.path())
        .env(PROGRAM, program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test runs");
    let end = Instant::now() + LIMIT;
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > end {
            child.kill().expect("a child");
            child.wait().expect("a child");
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
    Some(child.wait_with_output().expect("a child"))
}

/// Runs `program` under a lie with many seeds. It must end with one of `statuses`, by its own doing.
fn endure(model: Model, lie: Lie, program: &str, seeds: u64, statuses: &[i32]) {
    let bundle = Bundle::probe(model);
    for seed in 0..seeds {
        let Some(output) = run(&bundle, lie, seed, program) else {
            continue;
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        let status = output.status.code();
        assert!(
            status.is_some_and(|status| statuses.contains(&status)),
            "{lie:?} {seed} {program}: {:?}: {stderr}",
            output.status
        );
        assert!(!stderr.contains("the host process faulted"), "{stderr}");
    }
}

/// Refused by the platform or the enclave, ended by the enclave itself.
const REFUSED: i32 = 1;
const ABORTED: i32 = 70;

#[test]
fn a_length_is_never_the_hosts_choice() {
    endure(Model::Sgx1, Lie::Replies, "lengths 200", 20, &[0]);
}

#[test]
fn time_does_not_go_back_whatever_the_host_says() {
    endure(Model::Sgx1, Lie::Replies, "ocall 200", 20, &[0]);
    // Two answers in a row that are true let the counter tell the time for a while.
    endure(Model::Sgx1, Lie::Replies, "clock 5000000", 10, &[0]);
}

#[test]
fn pages_are_what_the_enclave_made_them_or_it_ends() {
    let sgx1 = |lie, seeds| endure(Model::Sgx1, lie, "pages 50", seeds, &[0]);
    sgx1(Lie::NoPageTables, 1);
    sgx1(Lie::NoPages, 1);
    sgx1(Lie::Replies, 10);
    // 9: the program was told that there is no memory.
    let edmm = |lie, seeds| endure(Model::Edmm, lie, "pages 50", seeds, &[0, 9, ABORTED]);
    edmm(Lie::NoPages, 2);
    edmm(Lie::Replies, 20);
}

#[test]
fn the_first_entry_is_judged() {
    // 126: the program's name is among what the host says.
    let ends = [0, 7, 126, REFUSED, ABORTED];
    endure(Model::Sgx1, Lie::Arguments, "hello 7", 40, &ends);
    endure(Model::Sgx1, Lie::Structures, "hello 7", 60, &ends);
}

#[test]
fn an_entry_at_the_wrong_time_changes_nothing() {
    let ends = [0, REFUSED, ABORTED];
    for program in ["trap 300", "ocall 300", "pages 30", "faults"] {
        endure(Model::Sgx1, Lie::Entries, program, 8, &ends);
        endure(Model::Edmm, Lie::Entries, program, 4, &ends);
    }
}

#[test]
fn a_keeper_that_comes_early_waits_for_the_kernel() {
    // The probe's own ends the enclave if it runs before the kernel has started.
    let bundle = Bundle::probe(Model::Sgx1);
    let output = run(&bundle, Lie::Keeper, 0, "hello 0").expect("an end");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}

#[test]
fn no_thread_goes_on_beside_one_that_ends_the_enclave() {
    for model in [Model::Sgx1, Model::Edmm] {
        let output = run(&Bundle::probe(model), Lie::NoEnd, 0, "defect 5").expect("an end");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(ABORTED), "{stderr}");
        assert!(stderr.contains("a defect beside a busy thread"), "{stderr}");
        assert!(!stderr.contains("the enclave went on"), "{stderr}");
    }
}

#[test]
fn a_thread_with_a_defect_never_goes_on_where_it_was() {
    // The exception handler has met it: the host resumes the thread, which the kernel has not.
    for model in [Model::Sgx1, Model::Edmm] {
        let output = run(&Bundle::probe(model), Lie::NoEnd, 0, "defect 1").expect("an end");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(REFUSED), "{stderr}");
        assert!(
            stderr.contains("the process in the enclave is over"),
            "{stderr}"
        );
    }
}

#[test]
fn interruptions_that_nobody_asked_for_change_nothing() {
    for program in [
        "interrupts 100",
        "answered 9000",
        "clock 9000",
        "trap 3000",
        "ocall 3000",
        "pages 100",
    ] {
        endure(Model::Sgx1, Lie::Interrupts, program, 4, &[0]);
    }
    endure(Model::Edmm, Lie::Interrupts, "pages 100", 2, &[0]);
    endure(Model::Sgx1, Lie::Interrupts, "faults", 10, &[0]);
    endure(Model::Sgx1, Lie::Interrupts, "threads 50", 10, &[0]);
}

#[test]
fn what_the_host_leaves_in_registers_is_not_the_programs() {
    let mut programs = vec!["trap 1000", "ocall 1000", "pages 20"];
    if std::arch::is_x86_feature_detected!("avx512bw") {
        programs.extend(["unused 200", "vectors 20"]);
    }
    for program in programs {
        endure(Model::Sgx1, Lie::Vectors, program, 1, &[0]);
        endure(Model::Sgx1, Lie::Registers, program, 1, &[0]);
    }
}

#[test]
fn the_exception_entry_survives_being_entered_again_and_again() {
    for program in ["faults", "trap 300", "pages 50", "ocall 100", "threads 20"] {
        endure(Model::Sgx1, Lie::Reentry, program, 1, &[0]);
        endure(Model::Edmm, Lie::Reentry, program, 1, &[0]);
    }
}

#[test]
fn a_thread_that_is_stepped_through_notices_nothing_and_misses_nothing() {
    let ends_well = |lie, program| {
        let output = run(&Bundle::probe(Model::Sgx1), lie, 0, program).expect("an end");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let status = output.status.code();
        assert_eq!(status, Some(0), "{lie:?} {program}: {stderr}");
    };
    for program in ["answered 200", "trap 30", "faults", "threads 5"] {
        ends_well(Lie::Steps, program);
    }
    for program in ["clock 50", "ocall 20", "pages 2", "interrupts 30"] {
        ends_well(Lie::PatchedSteps, program);
    }
    // Many come where a call was answered ahead and the thread no longer looks.
    ends_well(Lie::SlowMotion, "looks 200");
}

#[test]
fn a_host_that_interrupts_nobody_denies_service_and_nothing_else() {
    // The first thread looks by itself after each system call. Where it makes none for a while, it
    // may wait in vain: the program counts that, and ends with 9. It must never notice (8).
    endure(Model::Sgx1, Lie::NoInterrupts, "interrupts 100", 2, &[0, 9]);
}
