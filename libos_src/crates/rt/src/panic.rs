//! The end of an enclave that met a defect of its own.

use core::{
    fmt::{self, Write},
    hint::spin_loop,
    panic::PanicInfo,
    sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
};

use abi::{
    ocall::Refusal,
    ssa::{self, GprSgx},
    thread::{SSA_OFFSET, page},
};
use hal::{CALL_MAX, ends_with_call};

use crate::{
    boot, entry,
    mailbox::HOST,
    thread::{ThreadPage, boot_info},
};

/// Return addresses that are told of one stack.
const FRAMES: usize = 24;

/// Room for the message and for all frames.
const REPORT_SIZE: usize = 2048;

/// What is told. It is not on the heap and not on a stack: either may be what is broken, and a
/// defect on the way to the host must not lose what was said before.
static REPORT: Report = Report {
    bytes: [const { AtomicU8::new(0) }; REPORT_SIZE],
    len: AtomicUsize::new(0),
};

/// A text that is cut, never refused. One thread writes it.
struct Report {
    bytes: [AtomicU8; REPORT_SIZE],
    len: AtomicUsize,
}

impl Write for &Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let at = self.len.load(Ordering::Relaxed);
            let Some(slot) = self.bytes.get(at) else {
                break;
            };
            slot.store(byte, Ordering::Relaxed);
            self.len.store(at + 1, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Report {
    /// Ends the enclave with what was written.
    fn send(&self) -> ! {
        let mut bytes = [0; REPORT_SIZE];
        for (to, from) in bytes.iter_mut().zip(&self.bytes) {
            *to = from.load(Ordering::Relaxed);
        }
        let len = self.len.load(Ordering::Relaxed);
        HOST.abort(bytes.get(..len).unwrap_or(&bytes))
    }
}

/// Tells the first defect, and the one that its telling meets. Other threads wait for the end: what
/// they find broken is often only what the first left behind.
#[cfg_attr(enclave, panic_handler)]
fn panic(info: &PanicInfo<'_>) -> ! {
    static TELLER: AtomicU64 = AtomicU64::new(0);
    static DEFECTS: AtomicUsize = AtomicUsize::new(0);
    let this = ThreadPage::current().get(page::INDEX) + 1;
    let order = Ordering::SeqCst;
    boot::begin_end();
    let interrupted = interrupted();
    while let Err(teller) = TELLER.compare_exchange(0, this, order, order) {
        if teller == this {
            break;
        }
        HOST.yield_now();
        spin_loop();
    }
    // Writing to the report cannot fail.
    match DEFECTS.fetch_add(1, order) {
        0 => {
            let _ = write!(&REPORT, "{info}");
            if boot::may_tell() {
                tell_stacks(interrupted);
            }
        }
        1 => _ = write!(&REPORT, "\nand while that was told: {info}"),
        _ => {}
    }
    REPORT.send()
}

/// Where the thread was and its stack pointer, if this is the exception handler, which ends here. From now
/// on ERESUME makes it leave for good: a host that ignores the end must not have it go on, nor leave at
/// CSSA = 0 with an OCALL that was begun on the exception stack.
fn interrupted() -> Option<(u64, u64)> {
    let here = 0_u64;
    if !exception_stack().contains(&raw const here as u64) {
        return None;
    }
    let frame = ThreadPage::current().get(page::TCS) + SSA_OFFSET + ssa::GPRSGX_OFFSET;
    // SAFETY: on the exception stack CSSA is 1, so the first SSA frame is complete and the handler's, which
    // does not come back to what it has borrowed.
    let registers = unsafe { &mut *(frame as *mut GprSgx) };
    let was = (registers.rip, registers.rsp);
    registers.rip = entry::enclave_done as *const () as u64;
    registers.rdi = Refusal::ProcessOver.to_argument();
    registers.rflags = 2;
    Some(was)
}

fn exception_stack() -> Stack {
    Stack {
        top: ThreadPage::current().get(page::EXCEPTION_STACK_TOP),
        size: boot_info().exception_stack_size_bytes,
    }
}

/// Adds where the calling thread is, and how it came there, as places in the LibOS's ELF file: where it
/// was interrupted, if it was, and on its kernel stack.
fn tell_stacks(interrupted: Option<(u64, u64)>) {
    let here = 0_u64;
    let boot = boot_info();
    let kernel_stack = Stack {
        top: ThreadPage::current().get(page::KERNEL_STACK_TOP),
        size: boot.kernel_stack_size_bytes,
    };
    let Some((rip, rsp)) = interrupted else {
        return tell_stack(kernel_stack.from(&raw const here as u64));
    };
    let _ = write!(
        &REPORT,
        "\n  at  libos+{:#x}",
        rip.wrapping_sub(boot.libos_start)
    );
    // Below the stack is a page that faults: what has used up the stack is there.
    tell_stack(kernel_stack.from(rsp.max(kernel_stack.top - kernel_stack.size)));
}

/// One stack of a thread.
#[derive(Clone, Copy)]
struct Stack {
    top: u64,
    size: u64,
}

impl Stack {
    fn contains(self, address: u64) -> bool {
        self.top.wrapping_sub(address).wrapping_sub(1) < self.size
    }

    /// The words from an address to the top; none if it is not on the stack.
    fn from(self, address: u64) -> core::ops::Range<u64> {
        if self.contains(address) {
            address.next_multiple_of(8)..self.top
        } else {
            self.top..self.top
        }
    }
}

/// Adds what may be return addresses among words of a stack of this thread. Some may be left from calls
/// that are over.
fn tell_stack(words: core::ops::Range<u64>) {
    let boot = boot_info();
    let code = boot.libos_start + CALL_MAX as u64..boot.libos_start + boot.libos_size_bytes;
    words
        .step_by(8)
        // SAFETY: an aligned word on this thread's stack, which is mapped to its top. Volatile: what
        // the compiler keeps there is not known to it as a `u64`.
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
            let _ = write!(
                &REPORT,
                "\n  #{number:<2} libos+{:#x}",
                address - boot.libos_start
            );
        });
}
