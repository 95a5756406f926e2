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
