//! What the enclave does when the host enters an idle TCS.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::{
    arch::x86_64::_xgetbv,
    mem::offset_of,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use abi::{
    Attributes, BootInfo, Errno,
    ocall::{Command, CpuidEntry, Refusal, StartInfo, Statistics},
    thread::page,
};
use hal::{HostStart, Kernel, LogLevel, Next, StartError, UserRegs};

use crate::{
    EnclaveMachine, clock, cpuid,
    entry::{self, VECTORS_SIZE},
    heap, hints,
    lock::Lock,
    mailbox::{HOST, Mailbox},
    pages,
    thread::{ThreadPage, boot_info},
    untrusted::HostRange,
    user_memory,
};

/// What the boot function of the LibOS works with.
#[derive(Clone, Copy)]
pub struct Boot {
    /// The machine that the kernel will run on.
    pub machine: &'static EnclaveMachine,
    /// The sealed configuration, as measured.
    pub config: &'static [u8],
}

/// What the boot function gives back.
#[derive(Clone, Copy)]
pub struct Program {
    /// The LibOS kernel.
    pub kernel: &'static dyn Kernel,
    /// How many system call sites it has patched so far, if the host may know.
    pub patched_sites: Option<fn() -> u64>,
    /// Whether the host is told nothing from here on but why the program could not be started.
    pub is_silent: bool,
}

unsafe extern "Rust" {
    /// Defined by [`crate::enclave!`].
    safe fn occlum_boot(boot: &Boot) -> Result<Program, StartError>;
}

/// Exit status of a process that cannot start, as a shell gives it.
const START_FAILED: i32 = 126;

static STARTED: AtomicBool = AtomicBool::new(false);
/// The number of the thread that ends the enclave, plus one; 0 while none does.
static ENDING: AtomicU64 = AtomicU64::new(0);
static PROGRAM: AtomicPtr<Program> = AtomicPtr::new(core::ptr::null_mut());
static CPU_COUNT: AtomicU32 = AtomicU32::new(1);
static START_FLAGS: AtomicU64 = AtomicU64::new(0);

/// Threads that the kernel asked for and that have not arrived.
static ARRIVALS: Lock<VecDeque<u64>> = Lock::new(VecDeque::new());
/// Threads of the process, with those that have not arrived.
static THREADS: AtomicU32 = AtomicU32::new(1);
/// Threads of the kernel's own: one, from when it arrives.
static KEEPERS: AtomicU32 = AtomicU32::new(0);
/// Whether the kernel has started, so that its first thread is about to run.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Called by the entry code with the host's registers. Gives the argument of a finished command.
pub(crate) extern "C" fn command(command: u64, block: u64, argument: u64) -> u64 {
    let outcome = if ENDING.load(Ordering::SeqCst) != 0 {
        Refusal::ProcessOver
    } else if command == Command::Start as u64 {
        start(block, argument)
    } else if command == Command::Thread as u64 {
        arrive(block)
    } else if command == Command::Keeper as u64 {
        keep(block)
    } else {
        Refusal::WrongCommand
    };
    outcome.to_argument()
}

/// Runs the process's first thread. Comes back only with a refusal.
fn start(block: u64, info_address: u64) -> Refusal {
    if STARTED.swap(true, Ordering::SeqCst) {
        return Refusal::WrongCommand;
    }
    let xfrm = open_thread();
    if Mailbox::open(block).is_none() {
        return Refusal::WrongArgument;
    }
    let boot = boot_info();
    assert!(
        boot.magic == BootInfo::MAGIC && boot.version == BootInfo::VERSION,
        "the boot page is of another version"
    );
    heap::init(boot);
    pages::init(boot);
    hints::init(boot);
    locks::yield_by(|| HOST.yield_now());
    let Some(host_start) = take_start_info(info_address, xfrm) else {
        return Refusal::WrongArgument;
    };
    let mut frame = Frame::new();
    frame.registers = boot_kernel(host_start).unwrap_or_else(|error| {
        // Also by an enclave that keeps silent: no program has run, so all that this can say is in the
        // measured pages or comes from the host.
        HOST.log(LogLevel::Error, &error.message);
        end_process(START_FAILED)
    });
    RUNNING.store(true, Ordering::SeqCst);
    run(&mut frame)
}

/// Builds the kernel and its first process.
fn boot_kernel(host_start: HostStart) -> Result<UserRegs, StartError> {
    let boot = boot_info();
    // SAFETY: the builder measured these bytes as read-only pages; they never change.
    let config = unsafe {
        core::slice::from_raw_parts(
            boot.config_start as *const u8,
            boot.config_size_bytes as usize,
        )
    };
    let machine = &EnclaveMachine;
    let program = occlum_boot(&Boot { machine, config })?;
    PROGRAM.store(Box::leak(Box::new(program)), Ordering::SeqCst);
    program.kernel.start(host_start)
}

/// Runs a thread that the kernel asked for.
fn arrive(block: u64) -> Refusal {
    if !STARTED.load(Ordering::SeqCst) || PROGRAM.load(Ordering::SeqCst).is_null() {
        return Refusal::WrongCommand;
    }
    open_thread();
    if Mailbox::open(block).is_none() {
        return Refusal::WrongArgument;
    }
    let Some(token) = ARRIVALS.lock().pop_front() else {
        return Refusal::WrongCommand;
    };
    let mut frame = Frame::new();
    frame.publish();
    match kernel().thread(token, &mut frame.registers) {
        Next::Return => run(&mut frame),
        Next::ExitThread => end_thread(),
        Next::ExitProcess(status) => end_process(status),
    }
}

/// Runs the kernel's own thread. Comes back only with a refusal.
fn keep(block: u64) -> Refusal {
    if !STARTED.load(Ordering::SeqCst) || PROGRAM.load(Ordering::SeqCst).is_null() {
        return Refusal::WrongCommand;
    }
    if KEEPERS.swap(1, Ordering::SeqCst) != 0 {
        return Refusal::WrongCommand;
    }
    open_thread();
    if Mailbox::open(block).is_none() {
        return Refusal::WrongArgument;
    }
    // A signal of the host may bring it early, when the kernel is half made.
    while !RUNNING.load(Ordering::SeqCst) {
        HOST.yield_now();
    }
    kernel().keep()
}

/// The kernel, once a thread runs.
pub(crate) fn kernel() -> &'static dyn Kernel {
    program().kernel
}

/// Whether the host may know of what is inside: not before the kernel is there to say so.
pub(crate) fn may_tell() -> bool {
    !PROGRAM.load(Ordering::SeqCst).is_null() && program().patched_sites.is_some()
}

fn program() -> &'static Program {
    let program = PROGRAM.load(Ordering::Acquire);
    assert!(!program.is_null(), "the kernel is used before it is built");
    // SAFETY: set once, to a leaked allocation.
    unsafe { &*program }
}

/// How often, and how long each time, a new thread waits for one that is on its way out.
const LEAVING_WAITS: u32 = 100;
const LEAVING_WAIT: Duration = Duration::from_micros(200);

/// Takes one of the enclave's threads.
///
/// A program that has joined a thread expects to be able to start another, but the kernel tells of
/// a thread's end before the thread has left the enclave; so this waits a moment.
fn reserve_thread() -> Result<(), Errno> {
    // One is the keeper's.
    let limit = boot_info().thread_count as u32 - 1;
    for _ in 0..LEAVING_WAITS {
        let reserved = THREADS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
            (count < limit).then_some(count + 1)
        });
        if reserved.is_ok() {
            return Ok(());
        }
        HOST.park(Some(LEAVING_WAIT));
    }
    Err(Errno::EAGAIN)
}

/// Asks the host for a thread that will begin with `token`.
pub(crate) fn spawn(token: u64) -> Result<(), Errno> {
    reserve_thread()?;
    ARRIVALS.lock().push_back(token);
    HOST.spawn_thread().or_else(|errno| {
        // Of several that are on their way with one token only one was refused.
        let mut arrivals = ARRIVALS.lock();
        let Some(last) = arrivals.iter().rposition(|waiting| *waiting == token) else {
            // The host has sent it all the same.
            return Ok(());
        };
        arrivals.remove(last);
        THREADS.fetch_sub(1, Ordering::SeqCst);
        Err(errno)
    })
}

/// Ends the calling thread and gives its TCS back.
pub(crate) fn end_thread() -> ! {
    let thread = ThreadPage::current();
    thread.set(page::OCALL_BLOCK, 0);
    thread.parking().store(0, Ordering::SeqCst);
    thread.interruption().store(0, Ordering::SeqCst);
    THREADS.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: the thread owns nothing on its stack: all its work is done.
    unsafe { entry::enclave_done(0) }
}

/// From here on no thread but the calling one gets on once it has asked the host for something, or
/// has met an exception: a host that ignores the end must not have a broken kernel go on. If another
/// thread was first, that is the calling one's own lot.
pub(crate) fn begin_end() {
    let this = ThreadPage::current().get(page::INDEX) + 1;
    let _ = ENDING.compare_exchange(0, this, Ordering::SeqCst, Ordering::SeqCst);
}

/// Whether another thread ends the enclave.
pub(crate) fn is_over() -> bool {
    let ending = ENDING.load(Ordering::SeqCst);
    ending != 0 && ending != ThreadPage::current().get(page::INDEX) + 1
}

/// Ends the process with all its threads.
pub(crate) fn end_process(status: i32) -> ! {
    begin_end();
    report();
    HOST.exit_process(status)
}

/// How many threads are in the enclave, or on their way.
pub(crate) fn thread_count() -> u32 {
    THREADS.load(Ordering::Relaxed) + KEEPERS.load(Ordering::Relaxed)
}

/// How many CPUs the program should count on.
pub(crate) fn cpu_count() -> u32 {
    CPU_COUNT.load(Ordering::Relaxed)
}

/// Whether lines of this level go to the host: those for debugging if it asked, and the kernel decides
/// whether it may have them; all others unless the enclave keeps silent.
pub(crate) fn listens(level: LogLevel) -> bool {
    let flag = match level {
        LogLevel::Trace => StartInfo::FLAG_TRACE,
        LogLevel::Mapping => StartInfo::FLAG_MAPPINGS,
        LogLevel::Error | LogLevel::Warning | LogLevel::Info => {
            return PROGRAM.load(Ordering::SeqCst).is_null() || !program().is_silent;
        }
    };
    START_FLAGS.load(Ordering::Relaxed) & flag != 0
}

/// The user context of a thread that has not run yet, as the entry code saves that of one that has:
/// the kernel may replace all of it.
#[repr(C, align(16))]
struct Frame {
    vectors: [u8; VECTORS_SIZE],
    registers: UserRegs,
}

impl Frame {
    /// The initial extended state and no registers.
    fn new() -> Self {
        // SAFETY: it changes XMM registers, which any call may do, and upper halves, which the
        // compiler does not know.
        unsafe { entry::reset_extended_state() };
        Self {
            vectors: [0; VECTORS_SIZE],
            registers: UserRegs::default(),
        }
    }

    /// Shows the context to those who read or replace it.
    fn publish(&mut self) {
        let registers = self.registers_address();
        ThreadPage::current().set(page::USER_REGISTERS, registers);
    }

    /// Where the registers are, by an address from which the vectors can be reached, too.
    fn registers_address(&mut self) -> u64 {
        (&raw mut *self).expose_provenance() as u64 + offset_of!(Self, registers) as u64
    }
}

/// Becomes the program.
fn run(frame: &mut Frame) -> ! {
    frame.registers = sanitized(frame.registers);
    hints::settle();
    // SAFETY: the frame is as the entry code builds it; the stack below it is given up.
    unsafe { entry::enter_user(frame.registers_address()) }
}

/// Registers with the flags that a program may have: CF PF AF ZF SF DF OF AC ID, and IF as always.
///
/// A program that wants to go on where no program can be gets its fault at address 0: on the way
/// there, in the LibOS, it would end the enclave.
pub(crate) fn sanitized(mut registers: UserRegs) -> UserRegs {
    registers.rflags = (registers.rflags & 0x24_0cd5) | 0x202;
    if !user_memory::range().contains(&registers.rip) {
        registers.rip = 0;
    }
    registers
}

/// Prepares the thread page. Gives the state components in use.
fn open_thread() -> u64 {
    // SAFETY: every CPU with SGX has XGETBV, and EENTER loads XCR0 with ATTRIBUTES.XFRM.
    let xfrm = unsafe { xgetbv() } & Attributes::XFRM_ALLOWED;
    ThreadPage::current().set(page::XFRM, xfrm);
    xfrm
}

#[target_feature(enable = "xsave")]
fn xgetbv() -> u64 {
    // SAFETY: register 0 exists wherever the instruction does.
    unsafe { _xgetbv(0) }
}

/// Copies in what the host wants, once, within bounds.
fn take_start_info(address: u64, xfrm: u64) -> Option<HostStart> {
    let words: Vec<u64> = (0..size_of::<StartInfo>() as u64 / 8)
        .map(|index| {
            Some(HostRange::new(address, size_of::<StartInfo>() as u64)?.read_word(index * 8))
        })
        .collect::<Option<_>>()?;
    let [
        arguments,
        arguments_size,
        environment,
        environment_size,
        table,
        count,
        cpus,
        flags,
    ] = words.as_slice().try_into().ok()?;
    if arguments_size > StartInfo::STRINGS_MAX
        || environment_size > StartInfo::STRINGS_MAX
        || count > StartInfo::CPUID_MAX
    {
        return None;
    }
    let table = HostRange::new(table, count * size_of::<CpuidEntry>() as u64)?.to_vec();
    cpuid::init(
        table.as_chunks::<24>().0.iter().map(cpuid_entry).collect(),
        xfrm,
    );
    CPU_COUNT.store(cpus.clamp(1, 1024) as u32, Ordering::Relaxed);
    START_FLAGS.store(flags, Ordering::Relaxed);
    if flags & StartInfo::FLAG_COUNTER != 0 {
        clock::use_counter();
    }
    Some(HostStart {
        argv: strings(&HostRange::new(arguments, arguments_size)?.to_vec()),
        env: strings(&HostRange::new(environment, environment_size)?.to_vec()),
    })
}

fn cpuid_entry(bytes: &[u8; 24]) -> CpuidEntry {
    let mut words = [0; 6];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*chunk);
    }
    let [leaf, subleaf, eax, ebx, ecx, edx] = words;
    CpuidEntry {
        leaf,
        subleaf,
        eax,
        ebx,
        ecx,
        edx,
    }
}

/// Strings that a zero byte ends, each. What follows the last zero byte is dropped.
fn strings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut strings = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let (string, after) = rest.split_at(end);
        strings.push(string.to_vec());
        rest = after.get(1..).unwrap_or(&[]);
    }
    strings
}

/// Tells the host what was counted, if it asked and the kernel lets it know.
fn report() {
    if START_FLAGS.load(Ordering::Relaxed) & StartInfo::FLAG_STATISTICS == 0
        || PROGRAM.load(Ordering::SeqCst).is_null()
    {
        return;
    }
    let Some(patched_sites) = program().patched_sites else {
        return;
    };
    let mut counted = Statistics {
        patched_sites: patched_sites(),
        ..Statistics::default()
    };
    for index in 0..boot_info().thread_count as u32 {
        if let Some(thread) = ThreadPage::of(index) {
            counted.patched_syscalls += thread.get(page::PATCHED_SYSCALLS);
            counted.trapped_syscalls += thread.get(page::TRAPPED_SYSCALLS);
            counted.exceptions += thread.get(page::EXCEPTIONS);
            counted.ocalls += thread.get(page::OCALLS);
        }
    }
    HOST.statistics(&counted);
}
