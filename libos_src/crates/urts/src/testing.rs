//! A host that lies, for tests of what an enclave makes of it. Not part of a release.

use std::sync::OnceLock;

use abi::ocall::{Ocall, OcallBlock};
use platform::{EnterLeaf, EntryRegisters};

use crate::mailbox::Mailbox;

/// What comes between the honest host and the enclave.
pub trait Meddler: Send + Sync {
    /// With what the enclave is entered instead.
    fn entry(&self, leaf: EnterLeaf, registers: EntryRegisters) -> (EnterLeaf, EntryRegisters) {
        (leaf, registers)
    }

    /// Whether the host does what it is asked to.
    fn serves(&self, _call: Ocall) -> bool {
        true
    }

    /// Whether the kernel's own thread comes during this call.
    fn brings_keeper(&self, _call: Ocall) -> bool {
        false
    }

    /// Changes the block, which holds the reply, and the buffer, before the enclave sees them.
    fn reply(&self, _call: Ocall, _block: &mut OcallBlock, _buffer: &mut [u8]) {}
}

static MEDDLER: OnceLock<Box<dyn Meddler>> = OnceLock::new();

/// Has every enclave of this process meddled with. The first meddler stays.
pub fn install(meddler: Box<dyn Meddler>) {
    let _ = MEDDLER.set(meddler);
}

/// Interrupts the thread of this process with this number, if there is one.
pub fn interrupt_thread(thread: i32) {
    // SAFETY: takes nothing.
    let own = unsafe { libc::getpid() };
    // SAFETY: sends a signal that platforms handle, and that nobody else minds.
    unsafe { libc::syscall(libc::SYS_tgkill, own, thread, platform::INTERRUPT_SIGNAL) };
}

/// Leaves something in every vector register, mask and, with `x87`, the x87 state, as far as the CPU has
/// them: where a caller finds none of it.
pub fn soil_registers(x87: bool) {
    if x87 {
        // SAFETY: one register is pushed and popped: it keeps the number, and no rounding changes.
        unsafe { std::arch::asm!("fldpi", "fstp st(0)", out("st(0)") _, options(nostack)) };
    }
    if std::arch::is_x86_feature_detected!("avx512bw") {
        // SAFETY: the CPU has these registers; the compiler is told of those that it may use, and this
        // crate is compiled for CPUs that have not the others.
        unsafe {
            std::arch::asm!(
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                "vpternlogq zmm\\n, zmm\\n, zmm\\n, 255",
                ".endr",
                ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                "vpternlogq zmm\\n, zmm\\n, zmm\\n, 255",
                ".endr",
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7",
                "kxnorq k\\n, k\\n, k\\n",
                ".endr",
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack, nomem)
            );
        };
    }
}

pub(crate) fn entry(leaf: EnterLeaf, registers: EntryRegisters) -> (EnterLeaf, EntryRegisters) {
    match MEDDLER.get() {
        Some(meddler) => meddler.entry(leaf, registers),
        None => (leaf, registers),
    }
}

pub(crate) fn serves(call: Ocall) -> bool {
    MEDDLER.get().is_none_or(|meddler| meddler.serves(call))
}

pub(crate) fn brings_keeper(call: Ocall) -> bool {
    MEDDLER
        .get()
        .is_some_and(|meddler| meddler.brings_keeper(call))
}

pub(crate) fn reply(call: Ocall, mailbox: &mut Mailbox) {
    if let Some(meddler) = MEDDLER.get() {
        let mut block = mailbox.block();
        meddler.reply(call, &mut block, mailbox.buffer(u64::MAX));
        mailbox.replace_block(block);
    }
}
