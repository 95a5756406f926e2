//! Signals: the form in which the kernel reports what happened in the enclave.
//!
//! The handler runs on the thread's alternate stack with every signal blocked and FS and GS the
//! host's. It allocates nothing and takes no lock.

use std::{
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, Ordering},
};

use abi::ssa::vector;
use libc::{c_int, siginfo_t, ucontext_t};
use platform::{INTERRUPT_SIGNAL, Result};

use crate::{
    Steps,
    arch::{self, ThreadBlock},
    enclave::Shared,
    exits, gate, leaves, memory, strict,
};

/// Signals that report what an instruction did.
const SYNCHRONOUS: [c_int; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// `si_code` of SIGSYS: a seccomp filter, or Syscall User Dispatch.
const SYS_SECCOMP: c_int = 1;

/// TF: an exception after the next instruction.
pub(crate) const TRAP_FLAG: u64 = 0x100;
/// PUSHFQ.
const PUSH_FLAGS: u8 = 0x9c;

/// The flags that an ENCLU leaf defines: CF, PF, AF, ZF, SF, OF.
const LEAF_FLAGS: i64 = 0x8d5;
const ZERO_FLAG: i64 = 0x40;

/// Takes the signals, once for the process. `interrupts` adds SIGALRM.
pub(crate) fn take_over(interrupts: bool) -> Result<()> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    for signal in SYNCHRONOUS {
        install(signal, libc::SA_RESTART)?;
    }
    // What a thread waits for in the host ends when it is interrupted.
    install(INTERRUPT_SIGNAL, 0)?;
    if interrupts {
        install(libc::SIGALRM, libc::SA_RESTART)?;
    }
    Ok(())
}

fn install(signal: c_int, restart: c_int) -> Result<()> {
    // SAFETY: all zero is a legal sigaction.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = arch::sim_signal as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | restart;
    // SAFETY: writes the mask of a local value.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    // SAFETY: `sim_signal` has the signature of a three-argument handler and is async-signal-safe.
    let done = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    if done == 0 {
        Ok(())
    } else {
        Err(memory::host_error("install a signal handler"))
    }
}

/// One delivered signal, as the handler sees it.
pub(crate) struct Frame<'a> {
    pub(crate) context: &'a mut ucontext_t,
    pub(crate) block: &'a mut ThreadBlock,
}

impl Frame<'_> {
    pub(crate) fn register(&self, index: c_int) -> u64 {
        self.context.uc_mcontext.gregs[index as usize] as u64
    }

    pub(crate) fn set_register(&mut self, index: c_int, value: u64) {
        self.context.uc_mcontext.gregs[index as usize] = value as i64;
    }

    /// Skips an instruction.
    pub(crate) fn advance(&mut self, size_bytes: u64) {
        let rip = self.register(libc::REG_RIP);
        self.set_register(libc::REG_RIP, rip + size_bytes);
    }

    /// Takes the flag that the platform added.
    pub(crate) fn drop_step_flag(&mut self) {
        let flags = self.register(libc::REG_EFL) & !self.block.step_flags;
        self.set_register(libc::REG_EFL, flags);
    }

    /// FS and GS are the host's when the handler returns.
    pub(crate) fn return_to_host(&mut self) {
        self.block.return_fs = self.block.host_fs;
        self.block.return_gs = self.block.host_gs;
    }
}

/// Called by the signal entry. `block` is null on a thread that is not attached.
pub(crate) extern "C" fn handle(
    signal: c_int,
    info: *const siginfo_t,
    context: *mut ucontext_t,
    block: *mut ThreadBlock,
) {
    // SAFETY: the kernel made the frame for this handler alone.
    let context = unsafe { &mut *context };
    // SAFETY: as above.
    let info = unsafe { &*info };
    let rip = context.uc_mcontext.gregs[libc::REG_RIP as usize] as u64;
    // SAFETY: the signal entry checked the block's magic; the block lives as long as its alternate
    // stack is in place, and only this thread uses it.
    let Some(block) = (unsafe { block.as_mut() }) else {
        return outside(signal, info, rip, context);
    };
    // SAFETY: the enclave outlives its attached threads, and is shared.
    let enclave = unsafe { &*block.enclave.cast::<Shared>() };
    let mut frame = Frame { context, block };
    frame.block.interrupted |= signal == INTERRUPT_SIGNAL;
    if is_step(signal, &frame) {
        return step(enclave, &mut frame);
    }
    if is_host(enclave, rip) {
        if strict::host_instruction(enclave, &mut frame, signal) {
            return;
        }
        let is_inside = frame.block.return_gs != frame.block.host_gs;
        if is_inside && SYNCHRONOUS.contains(&signal) && info.si_code > 0 {
            // A jump out of the enclave (SDM vol. 3D, "Enclave Access": #GP).
            return exits::exception(&mut frame, vector::GENERAL_PROTECTION, 0, 0);
        }
        if signal == INTERRUPT_SIGNAL && is_resuming(rip) {
            return exits::interrupt_before(&mut frame);
        }
        return outside(signal, info, rip, frame.context);
    }
    match signal {
        libc::SIGSYS => system_call(enclave, &mut frame, info),
        libc::SIGSEGV | libc::SIGILL | libc::SIGBUS | libc::SIGFPE | libc::SIGTRAP
            if info.si_code > 0 =>
        {
            exception(enclave, &mut frame);
        }
        // Anything that somebody sent: an interrupt.
        _ => exits::interrupt(&mut frame),
    }
}

/// Whether an instruction is the host's, which that of a gate's page is, too: a thread there is in the
/// middle of a leaf. The first pages belong to the enclave, though none can be there.
fn is_host(enclave: &Shared, rip: u64) -> bool {
    rip >= enclave.epcm.size_bytes() || enclave.epcm.get(rip).is_reserved()
}

/// Whether this is the exception that the platform's own trap flag raises.
fn is_step(signal: c_int, frame: &Frame<'_>) -> bool {
    signal == libc::SIGTRAP
        && frame.block.step_flags != 0
        && frame.register(libc::REG_TRAPNO) as u8 == vector::DEBUG
}

/// One instruction of the enclave is over, or one of the host that came behind it.
fn step(enclave: &Shared, frame: &mut Frame<'_>) {
    frame.drop_step_flag();
    let rip = frame.register(libc::REG_RIP);
    if is_host(enclave, rip) {
        return;
    }
    let last = frame.block.step_rip;
    if last + 1 == rip && instruction(enclave, last).is_some_and(|bytes| bytes[0] == PUSH_FLAGS) {
        // The enclave has just read the flag. It is not to know of it.
        let pushed = frame.register(libc::REG_RSP) as *mut u8;
        let second = pushed.wrapping_add(1);
        // SAFETY: the enclave has just written the word there, in memory that no Rust object is in.
        unsafe { *second &= !((TRAP_FLAG >> 8) as u8) };
    }
    frame.block.step_rip = rip;
    frame.block.interrupted |= enclave.options.steps == Steps::Entered;
    exits::interrupt(frame);
}

/// Whether the host is in the middle of ERESUME.
fn is_resuming(rip: u64) -> bool {
    rip >= arch::sim_resume_window as *const () as u64
        && rip < arch::sim_resume_window_end as *const () as u64
}

/// `syscall` in the enclave. The kernel reports it after the instruction; SGX raises #UD at it.
fn system_call(enclave: &Shared, frame: &mut Frame<'_>, info: &siginfo_t) {
    if info.si_code == SYS_SECCOMP && enclave.seccomp_is_net {
        frame.block.counters.leaked_syscalls += 1;
    }
    let rip = frame.register(libc::REG_RIP) - 2;
    frame.set_register(libc::REG_RIP, rip);
    exits::exception(frame, vector::INVALID_OPCODE, 0, 0);
}

fn exception(enclave: &Shared, frame: &mut Frame<'_>) {
    let mut vector = frame.register(libc::REG_TRAPNO) as u8;
    if matches!(
        vector,
        vector::INVALID_OPCODE | vector::GENERAL_PROTECTION | vector::PAGE_FAULT
    ) && let Some(bytes) = instruction(enclave, frame.register(libc::REG_RIP))
    {
        // Which of these three ENCLU raises depends on the CPU, its BIOS, and the leaf.
        if bytes == abi::leaf::ENCLU {
            return leaf(enclave, frame);
        }
        if enclave.options.strict && strict::is_illegal(bytes) {
            vector = vector::INVALID_OPCODE;
        }
    }
    if vector == vector::BREAKPOINT {
        // Linux reports RIP after INT3; the SSA holds the address of the instruction.
        let rip = frame.register(libc::REG_RIP) - 1;
        frame.set_register(libc::REG_RIP, rip);
    }
    let (error, address) = match vector {
        vector::PAGE_FAULT => (frame.register(libc::REG_ERR), frame.register(libc::REG_CR2)),
        vector::GENERAL_PROTECTION => (frame.register(libc::REG_ERR), 0),
        _ => (0, 0),
    };
    exits::exception(frame, vector, error as u16, address);
}

/// The first bytes of an instruction, if they can be read; zeros where they cannot. The map of pages is
/// changed before the page tables are, and another thread may be in between.
fn instruction(enclave: &Shared, rip: u64) -> Option<[u8; 3]> {
    let executable = abi::Permissions::RX;
    let readable = |address| enclave.epcm.get(address).access().contains(executable);
    if !readable(rip) {
        return None;
    }
    let mut bytes = [0; 3];
    let length = if readable(rip + 2) {
        3
    } else {
        4096 - (rip & 4095)
    };
    let found = bytes.get_mut(..length as usize)?;
    enclave.range.read_if_there(rip, found).then_some(bytes)
}

fn leaf(enclave: &Shared, frame: &mut Frame<'_>) {
    frame.block.counters.enclu_leaves += 1;
    let number = frame.register(libc::REG_RAX);
    if number == abi::leaf::EEXIT {
        let target = frame.register(libc::REG_RBX);
        frame.set_register(libc::REG_RIP, target);
        return frame.return_to_host();
    }
    let operands = leaves::Operands {
        rbx: frame.register(libc::REG_RBX),
        rcx: frame.register(libc::REG_RCX),
        rdx: frame.register(libc::REG_RDX),
    };
    match leaves::execute(enclave, number, operands) {
        Ok(value) => {
            frame.set_register(libc::REG_RAX, value);
            let flags = frame.register(libc::REG_EFL) as i64 & !LEAF_FLAGS;
            let zero = if value == 0 { 0 } else { ZERO_FLAG };
            frame.set_register(libc::REG_EFL, (flags | zero) as u64);
            frame.advance(abi::leaf::ENCLU.len() as u64);
        }
        Err(fault) => {
            let (vector, address) = gate::vector_of(fault);
            exits::exception(frame, vector, 0, address);
        }
    }
}

/// A signal that is not the enclave's. A fault of the host ends the process as it always would.
fn outside(signal: c_int, info: &siginfo_t, rip: u64, _context: &ucontext_t) {
    if SYNCHRONOUS.contains(&signal) && info.si_code > 0 {
        // SAFETY: restores the default action, so that the instruction's next fault ends the
        // process with this signal.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        report("the host process faulted at", rip);
    }
}

/// Ends the process from a handler.
pub(crate) fn die(what: &str, number: u64) -> ! {
    report(what, number);
    // SAFETY: ends the process without running anything else.
    unsafe { libc::_exit(70) }
}

/// Writes one line to standard error without allocating.
fn report(what: &str, number: u64) {
    let mut line = [0_u8; 128];
    let mut len = 0;
    let mut push = |bytes: &[u8]| {
        for byte in bytes {
            if let Some(slot) = line.get_mut(len) {
                *slot = *byte;
                len += 1;
            }
        }
    };
    push(b"software SGX: ");
    push(what.as_bytes());
    push(b" 0x");
    for nibble in (0..16).rev() {
        let digit = (number >> (nibble * 4)) as usize & 15;
        push(&[b"0123456789abcdef"[digit]]);
    }
    push(b"\n");
    // SAFETY: writes a local buffer; a failure leaves nothing to do.
    unsafe { libc::write(2, line.as_ptr().cast(), len) };
}
