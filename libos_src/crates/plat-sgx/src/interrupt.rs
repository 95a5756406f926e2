//! Interrupting a thread in the enclave.
//!
//! The vDSO resumes an enclave by itself after an interrupt and tells nobody. But the kernel
//! delivers a signal before it goes back to the vDSO, and the frame then points to the ERESUME that
//! is about to come. The handler enters the enclave there, on the next SSA frame: the enclave
//! changes what ERESUME will load, and the handler returns. So it does where the host is on its way to
//! an ERESUME of its own, after an exception. Elsewhere the host is noted to have been interrupted, and
//! the next ERESUME is not begun.
//!
//! This has been compiled, and its parts tested without an enclave; it has not run on SGX hardware.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::leaf;
use abi::ocall::ExitKind;
use libc::{c_int, siginfo_t, ucontext_t};
use platform::{EntryRegisters, INTERRUPT_SIGNAL};

use crate::entry::{EnterFunction, NOT_CALLED};
use crate::uapi::EnclaveRun;

thread_local! {
    /// The TCS that the thread is attached to, and how it is entered.
    static ATTACHED: Cell<Option<(u64, EnterFunction)>> = const { Cell::new(None) };
    /// Whether the thread is in [`resume`].
    static RESUMES: Cell<bool> = const { Cell::new(false) };
    /// Whether it was interrupted where its handler could not enter.
    static MISSED: AtomicBool = const { AtomicBool::new(false) };
}

/// From now on [`INTERRUPT_SIGNAL`] makes the calling thread enter the enclave's handler through
/// the TCS at this address.
pub(crate) fn attach(tcs: u64, enter: EnterFunction) {
    static TAKEN: Once = Once::new();
    TAKEN.call_once(take_over);
    ATTACHED.set(Some((tcs, enter)));
}

/// Undoes [`attach`].
pub(crate) fn detach() {
    ATTACHED.set(None);
}

/// ERESUME, as [`EnterFunction::call`]; nothing if the thread was interrupted before, for the enclave has
/// not seen that.
///
/// # Safety
/// As of [`EnterFunction::call`].
pub(crate) unsafe fn resume(
    enter: EnterFunction,
    run: &mut EnclaveRun,
    registers: EntryRegisters,
) -> Option<(i32, u64, u64)> {
    RESUMES.set(true);
    let left = MISSED.with(|missed| {
        // SAFETY: the promise is the same.
        unsafe { enter.call_unless(missed, leaf::ERESUME as u32, run, registers) }
    });
    RESUMES.set(false);
    if left.0 == NOT_CALLED {
        MISSED.with(|missed| missed.store(false, Ordering::Relaxed));
        return None;
    }
    Some(left)
}

fn take_over() {
    // SAFETY: all zero is a legal sigaction.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut ucontext_t) = handle;
    action.sa_sigaction = handler as usize;
    // Without SA_RESTART: a call that waits ends. After an asynchronous exit the stack is the
    // host's, so no other one is needed.
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: writes the mask of a local value.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    // SAFETY: the handler has the signature that the flags ask for, and is async-signal-safe. The
    // call cannot fail with a valid signal.
    unsafe { libc::sigaction(INTERRUPT_SIGNAL, &raw const action, ptr::null_mut()) };
}

extern "C" fn handle(_signal: c_int, _info: *mut siginfo_t, context: *mut ucontext_t) {
    let Some((tcs, enter)) = ATTACHED.get() else {
        return;
    };
    // SAFETY: the kernel made the frame for this handler alone.
    let registers = unsafe { &(*context).uc_mcontext.gregs };
    let rip = registers[libc::REG_RIP as usize] as u64;
    let is_on_its_way = RESUMES.get() && enter.is_before_enclu(rip);
    if !is_on_its_way && !is_about_to_resume(registers, tcs) {
        // In the host, before or after: the enclave looks by itself when it is entered.
        MISSED.with(|missed| missed.store(true, Ordering::Relaxed));
        return;
    }
    let mut run = EnclaveRun::new(tcs);
    // SAFETY: the TCS is this thread's, of an enclave that lives as long as the attachment; its
    // last asynchronous exit has left a frame, so that this entry gets the next one.
    let (status, kind, _) =
        unsafe { enter.call(leaf::EENTER as u32, &mut run, EntryRegisters::default()) };
    let has_left = status == 0 && u64::from(run.function) == leaf::EEXIT;
    if !has_left || kind != ExitKind::Resume as u64 {
        let line = b"occlum-run: error: the LibOS stopped in its exception handler\n";
        // SAFETY: writes a constant.
        unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
        // SAFETY: ends the process without running anything else.
        unsafe { libc::_exit(70) };
    }
}

/// Whether the next instruction is ERESUME through this TCS.
fn is_about_to_resume(registers: &[i64; 23], tcs: u64) -> bool {
    let register = |index: c_int| registers[index as usize] as u64;
    if register(libc::REG_RAX) != leaf::ERESUME || register(libc::REG_RBX) != tcs {
        return false;
    }
    let rip = register(libc::REG_RIP) as *const [u8; 3];
    // SAFETY: the CPU was to execute an instruction there. Code that ends its mapping within three
    // bytes is not the host's with a TCS in RBX.
    let bytes = unsafe { rip.read_unaligned() };
    bytes == leaf::ENCLU
}

#[cfg(test)]
mod tests {
    use core::arch::naked_asm;
    use core::ptr::NonNull;
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn registers(rax: u64, rbx: u64, code: &[u8; 3]) -> [i64; 23] {
        let mut registers = [0; 23];
        registers[libc::REG_RAX as usize] = rax as i64;
        registers[libc::REG_RBX as usize] = rbx as i64;
        registers[libc::REG_RIP as usize] = code.as_ptr() as i64;
        registers
    }

    #[test]
    fn only_eresume_through_the_threads_own_tcs_counts() {
        const TCS: u64 = 0x41_0000;
        let judge = |rax, rbx, code| is_about_to_resume(&registers(rax, rbx, code), TCS);

        assert!(judge(leaf::ERESUME, TCS, &leaf::ENCLU));
        assert!(!judge(leaf::EENTER, TCS, &leaf::ENCLU));
        assert!(!judge(leaf::ERESUME, TCS + 0x1000, &leaf::ENCLU));
        assert!(!judge(leaf::ERESUME, TCS, b"\x0f\x05\x90"));
    }

    static ENTRIES: AtomicU32 = AtomicU32::new(0);

    /// Stands where the kernel's function stands. As EENTER it counts and leaves as the enclave's handler
    /// does. As ERESUME it sends a signal before its ENCLU, which it does not execute, and behind.
    #[unsafe(naked)]
    unsafe extern "sysv64" fn vdso_like() {
        naked_asm!(
            "push rbx",
            "mov rbx, [rsp + 16]",
            "cmp ecx, {eenter}",
            "je 5f",
            "mov eax, {tgkill}",
            "syscall",
            "jmp 2f",
            ".byte 0x0f, 0x01, 0xd7",
            "2: mov eax, {tgkill}",
            "syscall",
            "mov edi, 77",
            "jmp 6f",
            "5: lock inc dword ptr [rip + {entries}]",
            "mov edi, {resume}",
            "6: mov dword ptr [rbx + {function}], {eexit}",
            "xor eax, eax",
            "pop rbx",
            "ret",
            eenter = const leaf::EENTER,
            eexit = const leaf::EEXIT,
            resume = const ExitKind::Resume as u64,
            tgkill = const libc::SYS_tgkill,
            entries = sym ENTRIES,
            function = const core::mem::offset_of!(EnclaveRun, function),
        )
    }

    #[test]
    fn an_interruption_is_seen_before_the_thread_is_in_the_enclave_again() {
        const TCS: u64 = 0x41_0000;
        let code: unsafe extern "sysv64" fn() = vdso_like;
        let enter = EnterFunction(NonNull::new(code as *mut u8).expect("code has an address"));
        // SAFETY: takes nothing.
        let thread = unsafe { libc::gettid() };
        let registers = EntryRegisters {
            rdi: std::process::id().into(),
            rsi: thread as u64,
            rdx: INTERRUPT_SIGNAL as u64,
            ..EntryRegisters::default()
        };
        let resume = || {
            let mut run = EnclaveRun::new(TCS);
            // SAFETY: `vdso_like` enters no enclave.
            unsafe { resume(enter, &mut run, registers) }
        };
        attach(TCS, enter);

        // On its way: the handler enters. Behind, as if the enclave had left: it may not.
        assert_eq!(
            resume().map(|(status, rdi, _)| (status, rdi)),
            Some((0, 77))
        );
        assert_eq!(ENTRIES.load(Ordering::SeqCst), 1);
        assert_eq!(resume(), None, "it has yet to be seen");
        assert!(resume().is_some());
        assert_eq!(ENTRIES.load(Ordering::SeqCst), 2);
        detach();
    }

    #[test]
    fn an_interrupted_thread_outside_the_enclave_goes_on() {
        take_over();
        // SAFETY: the handler was installed above.
        let sent = unsafe { libc::raise(INTERRUPT_SIGNAL) };
        assert_eq!(sent, 0);
    }
}
