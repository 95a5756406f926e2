//! The assembly of the enclave and its signatures.

use core::{arch::global_asm, mem::offset_of};

use abi::{Attributes, BootInfo, leaf, ocall, thread::page};
use hal::{CALLS_PER_LOOK, UserRegs};

use crate::clock::{CLOCKS, DIFFERS_NS, Reference};

/// Bytes that the entry code puts below the program's registers: sixteen XMM registers and padding.
pub(crate) const VECTORS_SIZE: usize = 264;

/// TF, DF, NT, AC and ID: flags that change what the LibOS's instructions do, or that nothing but
/// POPFQ sets. The LibOS runs without them.
const UNWANTED_FLAGS: u64 = 0x24_4500;

/// From how many bytes on the repeated string instructions are faster than a loop.
const REPEAT_FROM: usize = 1024;

/// The part of the number of a thread's system calls that is zeros for those that the kernel looks at.
const LOOK_MASK: u32 = CALLS_PER_LOOK - 1;
const _: () = assert!(CALLS_PER_LOOK.is_power_of_two());
const _: () = assert!(size_of::<Reference>().is_power_of_two());

/// The place of OF in the flags.
const OVERFLOW_BIT: u32 = 11;

global_asm!(
    include_str!("entry.s"),
    command = sym crate::boot::command,
    exception = sym crate::exception::handle,
    syscall = sym crate::machine::serve_syscall,
    cpuid = sym crate::cpuid::answer,
    user_exception = sym crate::machine::serve_exception,
    interruption = sym crate::machine::serve_interruption,
    answers_version = sym crate::answers::VERSION,
    clock_call = sym crate::clock::CALL,
    clocks = sym CLOCKS,
    CLOCK_SHIFT = const size_of::<Reference>().ilog2(),
    CLOCK_VERSION = const offset_of!(Reference, version),
    CLOCK_TICKS = const offset_of!(Reference, ticks),
    CLOCK_NANOSECONDS = const offset_of!(Reference, nanoseconds),
    CLOCK_RATE = const offset_of!(Reference, rate),
    CLOCK_SERVES = const offset_of!(Reference, serves_ticks),
    CLOCK_LATEST = const offset_of!(Reference, latest),
    CLOCK_LAST = const CLOCKS.len() - 1,
    CLOCK_DIFFERS = const DIFFERS_NS,
    BOOT_INFO = const page::BOOT_INFO,
    USER_START = const offset_of!(BootInfo, user_start),
    USER_SIZE = const offset_of!(BootInfo, user_size_bytes),
    VECTORS_KEPT = const page::VECTORS_KEPT,
    XFRM_ALL = const Attributes::XFRM_ALLOWED,
    COMMAND_NOTHING = const ocall::Command::Nothing as u64,
    EXIT_OCALL = const ocall::ExitKind::Ocall as u64,
    EXIT_DONE = const ocall::ExitKind::Done as u64,
    EXIT_RESUME = const ocall::ExitKind::Resume as u64,
    REFUSAL_BASE = const -(ocall::Refusal::NotAtBaseZero as i64),
    EEXIT = const leaf::EEXIT,
    VECTORS_SIZE = const VECTORS_SIZE,
    REGS_SIZE = const size_of::<UserRegs>(),
    UNWANTED_FLAGS = const UNWANTED_FLAGS,
    REPEAT_FROM = const REPEAT_FROM,
    REGS_RIP = const offset_of!(UserRegs, rip),
    REGS_RFLAGS = const offset_of!(UserRegs, rflags),
    REGS_FS_BASE = const offset_of!(UserRegs, fs_base),
    HOST_RSP = const page::HOST_RSP,
    HOST_RBP = const page::HOST_RBP,
    HOST_RETURN = const page::HOST_RETURN,
    OCALL_RSP = const page::OCALL_RSP,
    KERNEL_STACK_TOP = const page::KERNEL_STACK_TOP,
    EXCEPTION_STACK_TOP = const page::EXCEPTION_STACK_TOP,
    USER_RSP = const page::USER_RSP,
    USER_RIP = const page::USER_RIP,
    USER_REGISTERS = const page::USER_REGISTERS,
    XFRM = const page::XFRM,
    XSAVE = const page::XSAVE,
    PATCHED_SYSCALLS = const page::PATCHED_SYSCALLS,
    OCALLS = const page::OCALLS,
    ANSWERS_VERSION = const page::ANSWERS_VERSION,
    ANSWERS = const page::ANSWERS,
    ANSWERS_COUNT = const page::ANSWERS_COUNT,
    LOOK_MASK = const LOOK_MASK,
    OVERFLOW_BIT = const OVERFLOW_BIT,
    INTERRUPTION = const page::INTERRUPTION,
);

// The pushes of `syscall_entry` and `cpuid_entry` and the pops of `restore_registers` build this order by hand.
const _: () = {
    assert!(size_of::<UserRegs>() == 19 * 8);
    assert!(offset_of!(UserRegs, rax) == 0);
    assert!(offset_of!(UserRegs, rbx) == 8);
    assert!(offset_of!(UserRegs, rcx) == 16);
    assert!(offset_of!(UserRegs, rdx) == 24);
    assert!(offset_of!(UserRegs, rsi) == 32);
    assert!(offset_of!(UserRegs, rdi) == 40);
    assert!(offset_of!(UserRegs, rbp) == 48);
    assert!(offset_of!(UserRegs, rsp) == 56);
    assert!(offset_of!(UserRegs, r8) == 64);
    assert!(offset_of!(UserRegs, r15) == 120);
    assert!(offset_of!(UserRegs, rip) == 128);
    assert!(offset_of!(UserRegs, rflags) == 136);
    assert!(offset_of!(UserRegs, fs_base) == 144);
};

/// A word and whether the access that was to give it met a fault; in RAX and RDX.
#[repr(C)]
pub(crate) struct Access {
    pub(crate) value: u64,
    pub(crate) fault: u64,
}

unsafe extern "C" {
    /// Where a patched system call jumps to.
    pub(crate) fn syscall_entry();
    /// From here on a thread whose call was answered ahead no longer looks whether it was interrupted,
    /// and up to the end it can make the call again.
    pub(crate) fn answer_window();
    pub(crate) fn answer_window_end();
    /// Where a call goes that is not answered ahead.
    pub(crate) fn syscall_unanswered();
    /// Where a patched `cpuid` jumps to.
    pub(crate) fn cpuid_entry();
    /// Where the exception handler sends a thread of the program.
    pub(crate) fn exception_entry();
    /// After this the thread no longer looks whether it was interrupted, and before the end it has
    /// lost nothing of what it is to load.
    pub(crate) fn return_window();
    pub(crate) fn return_window_end();
    /// Where the exception handler sends a thread that it found between the two.
    pub(crate) fn return_interrupted();
    /// Leaves for the host to serve the thread's block, and comes back. The host may run for any
    /// time, and other threads too.
    pub(crate) fn enclave_ocall();
    /// Leaves for good; the thread's stacks are free then.
    pub(crate) fn enclave_done(argument: u64) -> !;
    /// ENCLU with these values in RAX, RBX and RCX.
    pub(crate) fn enclave_leaf(leaf: u64, rbx: u64, rcx: u64) -> u64;
    /// The same with a value in RDX.
    pub(crate) fn enclave_leaf_from(leaf: u64, rbx: u64, rcx: u64, rdx: u64) -> u64;
    /// Becomes the program, with these registers and the vectors below them.
    pub(crate) fn enter_user(registers: u64) -> !;
    /// Gives the thread the initial extended state.
    pub(crate) fn reset_extended_state();
    /// Saves the extended state in the thread page.
    pub(crate) fn save_extended_state();
    /// Loads the extended state from the thread page.
    pub(crate) fn restore_extended_state();

    /// Copies upwards: ranges that overlap need the destination below the source, or 32 bytes at
    /// most. Returns the destination.
    pub(crate) fn enclave_copy(destination: *mut u8, source: *const u8, size: usize) -> *mut u8;
    /// Copies at least 16 bytes downwards: for a destination above the source. Returns it.
    pub(crate) fn enclave_copy_back(
        destination: *mut u8,
        source: *const u8,
        size: usize,
    ) -> *mut u8;
    /// Fills bytes. Returns the destination.
    pub(crate) fn enclave_fill(destination: *mut u8, byte: i32, size: usize) -> *mut u8;

    pub(crate) fn user_copy(destination: u64, source: u64, length: u64) -> u64;
    pub(crate) fn user_fill(destination: u64, byte: u64, length: u64) -> u64;
    pub(crate) fn user_zeros(address: u64, length: u64) -> u64;
    pub(crate) fn user_same(a: u64, b: u64, length: u64) -> u64;
    pub(crate) fn user_load(address: u64) -> Access;
    pub(crate) fn user_store(address: u64, value: u32) -> Access;
    pub(crate) fn user_compare_exchange(address: u64, current: u32, new: u32) -> Access;
    /// The time-stamp counter; a fault where an enclave may not read it.
    pub(crate) fn read_counter() -> Access;

    fn access_copy();
    fn access_copy_end();
    fn access_fill();
    fn access_fill_end();
    fn access_zeros();
    fn access_zeros_end();
    fn access_same();
    fn access_same_end();
    fn access_load();
    fn access_store();
    fn access_compare_exchange();
    fn access_counter();
    fn access_clock();
    fn access_clock_end();
    fn access_components();
    fn landing_clock();
    fn landing_components();
    fn landing_failed();
    fn landing_zeros();
    fn landing_fault();
}

/// Code of the LibOS that may meet a fault: in the program's memory, or because the CPU does not let it.
pub(crate) struct Fixup {
    first: unsafe extern "C" fn(),
    /// Behind the last instruction. `None`: there is one.
    end: Option<unsafe extern "C" fn()>,
    landing: unsafe extern "C" fn(),
}

impl Fixup {
    const fn new(
        first: unsafe extern "C" fn(),
        end: Option<unsafe extern "C" fn()>,
        landing: unsafe extern "C" fn(),
    ) -> Self {
        Self {
            first,
            end,
            landing,
        }
    }

    /// Where an instruction goes on that met a fault, if it is one of these.
    pub(crate) fn landing(&self, rip: u64) -> Option<u64> {
        let address = |function: unsafe extern "C" fn()| function as usize as u64;
        let first = address(self.first);
        let end = self.end.map_or(first + 1, address);
        (first..end).contains(&rip).then(|| address(self.landing))
    }
}

/// All of them.
pub(crate) static FIXUPS: [Fixup; 10] = [
    Fixup::new(access_copy, Some(access_copy_end), landing_failed),
    Fixup::new(access_fill, Some(access_fill_end), landing_failed),
    Fixup::new(access_zeros, Some(access_zeros_end), landing_zeros),
    Fixup::new(access_same, Some(access_same_end), landing_zeros),
    Fixup::new(access_load, None, landing_fault),
    Fixup::new(access_store, None, landing_fault),
    Fixup::new(access_compare_exchange, None, landing_fault),
    Fixup::new(access_counter, None, landing_fault),
    Fixup::new(access_clock, Some(access_clock_end), landing_clock),
    Fixup::new(access_components, None, landing_components),
];
