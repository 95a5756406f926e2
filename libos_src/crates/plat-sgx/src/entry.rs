//! Entering an enclave through the vDSO.
//!
//! `__vdso_sgx_enter_enclave` keeps RBX, RBP and RSP for its caller and leaves everything else as
//! the enclave left it. The shim here makes an ordinary function of it, and hands out RDI and RSI,
//! in which the enclave returns its two values.

use core::arch::naked_asm;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::AtomicBool;

use platform::EntryRegisters;

use crate::uapi::EnclaveRun;
use crate::vdso;

/// `__vdso_sgx_enter_enclave` of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnterFunction(pub(crate) NonNull<u8>);

// SAFETY: it is the address of code that is mapped, and never changed, as long as the process lives.
unsafe impl Send for EnterFunction {}
// SAFETY: as above.
unsafe impl Sync for EnterFunction {}

impl EnterFunction {
    /// Looks it up in the vDSO.
    pub(crate) fn find() -> Option<Self> {
        vdso::function("__vdso_sgx_enter_enclave").map(Self)
    }

    /// Runs one leaf of ENCLU. Gives what the function returned, and RDI and RSI at that moment;
    /// after an EEXIT they are the enclave's.
    ///
    /// # Safety
    /// `run.tcs` must be the address of a TCS of an enclave that is mapped in this process, follows
    /// this project's exit convention (RSP and RBP as they were at entry), and writes only to
    /// memory that it was given.
    pub(crate) unsafe fn call(
        self,
        leaf: u32,
        run: &mut EnclaveRun,
        registers: EntryRegisters,
    ) -> (i32, u64, u64) {
        static NEVER: AtomicBool = AtomicBool::new(false);
        // SAFETY: the promise is the same.
        unsafe { self.call_unless(&NEVER, leaf, run, registers) }
    }

    /// The same, unless a signal handler has set the flag before: then the status is [`NOT_CALLED`].
    ///
    /// # Safety
    /// As of [`EnterFunction::call`].
    pub(crate) unsafe fn call_unless(
        self,
        flag: &AtomicBool,
        leaf: u32,
        run: &mut EnclaveRun,
        registers: EntryRegisters,
    ) -> (i32, u64, u64) {
        let mut call = Call {
            flag: flag.as_ptr(),
            function: self.0.as_ptr(),
            run,
            leaf: u64::from(leaf),
            rdi: registers.rdi,
            rsi: registers.rsi,
            rdx: registers.rdx,
            r8: registers.r8,
            r9: registers.r9,
        };
        // SAFETY: `call` is complete and outlives the call; the rest is the caller's promise.
        let status = unsafe { enter(&raw mut call) };
        (status, call.rdi, call.rsi)
    }
}

/// The status of a call that was not made. The vDSO's are 0 and negated error numbers.
pub(crate) const NOT_CALLED: i32 = 1;

/// How far from its start the vDSO's function has its ENCLU, at most.
const ENCLU_WITHIN_BYTES: usize = 256;

impl EnterFunction {
    /// Whether a thread in [`EnterFunction::call_unless`] whose next instruction is this has yet to come
    /// to ENCLU, and no longer looks at its flag. Behind ENCLU it has been in the enclave.
    pub(crate) fn is_before_enclu(self, rip: u64) -> bool {
        let address = |function: unsafe extern "C" fn()| function as usize as u64;
        let start = self.0.as_ptr() as u64;
        let is_called = rip
            .checked_sub(start)
            .is_some_and(|distance| self.enclu_offset().is_some_and(|enclu| distance <= enclu));
        (address(plat_sgx_call_window)..address(plat_sgx_call_window_end)).contains(&rip)
            || is_called
    }

    fn enclu_offset(self) -> Option<u64> {
        // SAFETY: the function is code that is mapped and never changes. It is shorter than a page, and
        // the vDSO has more behind it: its tables of exceptions, if nothing else.
        let code = unsafe { core::slice::from_raw_parts(self.0.as_ptr(), ENCLU_WITHIN_BYTES) };
        let at = code.windows(3).position(|bytes| bytes == abi::leaf::ENCLU);
        at.map(|at| at as u64)
    }
}

unsafe extern "C" {
    fn plat_sgx_call_window();
    fn plat_sgx_call_window_end();
}

/// What the shim reads and, in RDI and RSI, writes.
#[repr(C)]
struct Call {
    flag: *const bool,
    function: *const u8,
    run: *mut EnclaveRun,
    leaf: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    r8: u64,
    r9: u64,
}

/// Calls `call.function` with the enclave's registers and restores everything that the System V
/// ABI gives to the caller: six registers, RFLAGS (for DF and AC), the x87 and SSE control words.
///
/// Stack, from the top: return address, six registers, RFLAGS, then 24 bytes (`call`, MXCSR and
/// control word, padding), then the seventh argument, at which RSP is a multiple of 16 again.
#[unsafe(naked)]
unsafe extern "sysv64" fn enter(call: *mut Call) -> i32 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "pushfq",
        "sub rsp, 24",
        "mov [rsp], rdi",
        "stmxcsr [rsp + 8]",
        "fnstcw [rsp + 12]",
        "mov rax, rdi",
        "mov rdi, [rax + {rdi}]",
        "mov rsi, [rax + {rsi}]",
        "mov rdx, [rax + {rdx}]",
        "mov rcx, [rax + {leaf}]",
        "mov r8, [rax + {r8}]",
        "mov r9, [rax + {r9}]",
        "push qword ptr [rax + {run}]",
        "mov rbx, [rax + {flag}]",
        "cmp byte ptr [rbx], 0",
        // From here on nobody looks at the flag any more.
        ".globl plat_sgx_call_window",
        "plat_sgx_call_window:",
        "jne 3f",
        "call qword ptr [rax + {function}]",
        ".globl plat_sgx_call_window_end",
        "plat_sgx_call_window_end:",
        "2: add rsp, 8",
        "mov rcx, [rsp]",
        "mov [rcx + {rdi}], rdi",
        "mov [rcx + {rsi}], rsi",
        // FNINIT first: FLDCW would raise an exception that the enclave left pending.
        "fninit",
        "fldcw [rsp + 12]",
        "ldmxcsr [rsp + 8]",
        "add rsp, 24",
        "popfq",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        "3: mov eax, {not_called}",
        "jmp 2b",
        not_called = const NOT_CALLED,
        flag = const offset_of!(Call, flag),
        function = const offset_of!(Call, function),
        run = const offset_of!(Call, run),
        leaf = const offset_of!(Call, leaf),
        rdi = const offset_of!(Call, rdi),
        rsi = const offset_of!(Call, rsi),
        rdx = const offset_of!(Call, rdx),
        r8 = const offset_of!(Call, r8),
        r9 = const offset_of!(Call, r9),
    )
}

#[cfg(test)]
mod tests {
    use core::arch::asm;

    use super::*;

    /// Stands where the kernel's function stands: same convention, no enclave. It notes what it was
    /// given and then treats the registers as badly as an enclave may.
    #[unsafe(naked)]
    unsafe extern "sysv64" fn vdso_like() {
        naked_asm!(
            "push rbp",
            "mov rbp, rsp",
            "push rbx",
            "mov rbx, [rbp + 16]",
            "mov [rbx + {function}], ecx",
            "mov [rbx + {user_data}], rsp",
            "lea rax, [rdi + rsi]",
            "add rax, rdx",
            "add rax, r8",
            "add rax, r9",
            "mov [rbx + {address}], rax",
            "mov rdi, 0x1111",
            "mov rsi, 0x2222",
            "mov r12, -1",
            "mov r13, -1",
            "mov r14, -1",
            "mov r15, -1",
            // SSE exceptions unmasked, and an x87 exception pending that is not masked.
            "push 0",
            "ldmxcsr [rsp]",
            "mov dword ptr [rsp], 0x0360",
            "fninit",
            "fldcw [rsp]",
            "fldz",
            "fldz",
            "fdivp",
            "add rsp, 8",
            "std",
            "mov eax, -7",
            "pop rbx",
            "leave",
            "ret",
            function = const offset_of!(EnclaveRun, function),
            user_data = const offset_of!(EnclaveRun, user_data),
            address = const offset_of!(EnclaveRun, exception_address),
        )
    }

    fn control_words() -> (u32, u16, u64) {
        let (mut mxcsr, mut x87, mut flags) = (0_u32, 0_u16, 0_u64);
        // SAFETY: stores two control words to variables of their size.
        unsafe {
            asm!(
                "stmxcsr [{mxcsr}]",
                "fnstcw [{x87}]",
                "pushfq",
                "pop {flags}",
                mxcsr = in(reg) &raw mut mxcsr,
                x87 = in(reg) &raw mut x87,
                flags = inout(reg) flags,
            );
        }
        const DIRECTION: u64 = 1 << 10;
        (mxcsr & 0xffc0, x87, flags & DIRECTION)
    }

    fn call(run: &mut EnclaveRun) -> (i32, u64, u64) {
        let code: unsafe extern "sysv64" fn() = vdso_like;
        let function = NonNull::new(code as *mut u8).expect("code has an address");
        let registers = EntryRegisters {
            rdi: 1,
            rsi: 20,
            rdx: 300,
            r8: 4000,
            r9: 50000,
        };
        // SAFETY: `vdso_like` enters no enclave.
        unsafe { EnterFunction(function).call(abi::leaf::EENTER as u32, run, registers) }
    }

    #[test]
    fn arguments_arrive_and_rdi_and_rsi_come_back() {
        let mut run = EnclaveRun::new(0);
        assert_eq!(call(&mut run), (-7, 0x1111, 0x2222));
        assert_eq!(run.function, 2);
        assert_eq!(run.exception_address, 54321);
    }

    #[test]
    fn the_stack_is_aligned_as_the_abi_wants_it() {
        let mut run = EnclaveRun::new(0);
        call(&mut run);
        // The stand-in has pushed two registers on top of the return address.
        assert_eq!((run.user_data + 24) % 16, 0);
    }

    #[test]
    fn whatever_the_enclave_did_the_callers_state_is_intact() {
        let before = control_words();
        for _ in 0..1000 {
            let mut run = EnclaveRun::new(0);
            call(&mut run);
            assert_eq!(control_words(), before);
        }
        // The next x87 instruction would raise what was left pending, SSE what was unmasked.
        let mut sum = 0_u64;
        // SAFETY: pushes two x87 values, adds them, and stores the sum in a variable of its size.
        unsafe {
            asm!("fld1", "fld1", "faddp", "fistp qword ptr [{}]", in(reg) &raw mut sum,
                 out("st(0)") _, out("st(1)") _);
        }
        assert_eq!(sum, 2);
        assert_eq!(
            core::hint::black_box(1.0_f64) / core::hint::black_box(0.0),
            f64::INFINITY
        );
    }
}
