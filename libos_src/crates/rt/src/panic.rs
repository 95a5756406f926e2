//! The end of an enclave that met a defect of its own.

use core::{
    fmt::{self, Write},
    panic::PanicInfo,
    sync::atomic::{AtomicBool, Ordering},
};

use abi::thread::page;
use hal::{CALL_MAX, ends_with_call};

use crate::{
    boot, host,
    thread::{ThreadPage, boot_info},
};

/// Return addresses that are told.
const FRAMES: usize = 24;

/// Room for the message and for all frames.
const MESSAGE_SIZE: usize = 1536;

/// A message on the stack: the heap may be what is broken.
pub(crate) struct Message {
    bytes: [u8; MESSAGE_SIZE],
    len: usize,
}

impl Message {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; MESSAGE_SIZE],
            len: 0,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let Some(slot) = self.bytes.get_mut(self.len) else {
                break;
            };
            *slot = byte;
            self.len += 1;
        }
        Ok(())
    }
}

#[cfg_attr(enclave, panic_handler)]
fn panic(info: &PanicInfo<'_>) -> ! {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let mut message = Message::new();
    if !PANICKED.swap(true, Ordering::SeqCst) {
        // The message is cut, never refused.
        let _ = write!(message, "{info}");
        if boot::may_tell() {
            tell_stack(&mut message);
        }
    }
    host::abort(&message)
}

/// Adds what may be return addresses on the thread's own stack, as places in the LibOS's ELF file.
/// Some may be left from calls that are over.
fn tell_stack(message: &mut Message) {
    let boot = boot_info();
    let thread = ThreadPage::current();
    let here = (&raw const *message as u64).next_multiple_of(8);
    let stacks = [
        (page::KERNEL_STACK_TOP, boot.kernel_stack_size_bytes),
        (page::EXCEPTION_STACK_TOP, boot.exception_stack_size_bytes),
    ];
    let top = stacks
        .into_iter()
        .map(|(top, size)| (thread.get(top), size))
        .find(|(top, size)| here < *top && *top - here <= *size);
    let Some((top, _)) = top else { return };
    let code = boot.libos_start + CALL_MAX as u64..boot.libos_start + boot.libos_size_bytes;
    (here..top)
        .step_by(8)
        // SAFETY: an aligned word between a live value on this thread's stack and the stack's top.
        // Volatile: what the compiler keeps there is not known to it as a `u64`.
        .map(|word| unsafe { (word as *const u64).read_volatile() })
        .filter(|address| code.contains(address))
        .filter(|address| {
            let before = (address - CALL_MAX as u64) as *const [u8; CALL_MAX];
            // SAFETY: measured pages of the LibOS, all of which may be read, and bytes have no
            // alignment.
            ends_with_call(unsafe { before.read_volatile() })
        })
        .take(FRAMES)
        .enumerate()
        .for_each(|(number, address)| {
            // The message is cut, never refused.
            let _ = write!(
                message,
                "\n  #{number:<2} libos+{:#x}",
                address - boot.libos_start
            );
        });
}
