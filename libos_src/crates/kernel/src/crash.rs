//! What a person needs to know of a program that a fault has ended.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hal::{CALL_MAX, LogLevel, UserRegs};

use crate::Libos;
use crate::libos::Task;
use crate::memory::AddressSpace;

/// Words of the stack that are looked at.
const STACK_WORDS: u64 = 512;
/// Return addresses that are told.
const FRAMES: usize = 24;

impl Libos {
    /// Logs registers, where the thread was, and what may be return addresses on its stack. Only
    /// where debugging is allowed: all of it may be secret.
    pub(crate) fn report_crash(&self, task: &Task, regs: &UserRegs) {
        if !self.config.debuggable {
            return;
        }
        for line in lines(&task.memory, regs) {
            self.machine.log(LogLevel::Info, &line);
        }
    }
}

fn lines(memory: &AddressSpace, regs: &UserRegs) -> Vec<String> {
    let rip = memory.program_address(regs.rip);
    let registers = [
        [
            ("rax", regs.rax),
            ("rbx", regs.rbx),
            ("rcx", regs.rcx),
            ("rdx", regs.rdx),
        ],
        [
            ("rsi", regs.rsi),
            ("rdi", regs.rdi),
            ("rbp", regs.rbp),
            ("rsp", regs.rsp),
        ],
        [
            ("r8 ", regs.r8),
            ("r9 ", regs.r9),
            ("r10", regs.r10),
            ("r11", regs.r11),
        ],
        [
            ("r12", regs.r12),
            ("r13", regs.r13),
            ("r14", regs.r14),
            ("r15", regs.r15),
        ],
        [
            ("rip", rip),
            ("flg", regs.rflags),
            ("fs ", regs.fs_base),
            ("   ", 0),
        ],
    ];
    let mut lines: Vec<String> = registers
        .iter()
        .map(|row| {
            let shown = row.iter().filter(|(name, _)| *name != "   ");
            let shown: Vec<String> = shown
                .map(|(name, value)| format!("{name} {value:016x}"))
                .collect();
            format!("  {}", shown.join("  "))
        })
        .collect();
    let places = core::iter::once(rip).chain(return_addresses(memory, regs.rsp));
    for (number, address) in places.take(FRAMES).enumerate() {
        let place = memory.file_at(address).map_or_else(
            || String::from("nothing is mapped there"),
            |(path, offset)| format!("{}+{offset:#x}", path.escape_ascii()),
        );
        lines.push(format!("  #{number:<2} {address:#014x} {place}"));
    }
    lines
}

/// Words on the stack that point behind a call in code of a file, from the top. Some may be left
/// from calls that are over.
fn return_addresses(memory: &AddressSpace, rsp: u64) -> impl Iterator<Item = u64> {
    (0..STACK_WORDS)
        .map_while(move |index| memory.read::<u64>(rsp.checked_add(index * 8)?).ok())
        .filter(|&address| memory.file_at(address).is_some() && is_behind_call(memory, address))
}

fn is_behind_call(memory: &AddressSpace, address: u64) -> bool {
    let start = address.wrapping_sub(CALL_MAX as u64);
    memory.read(start).is_ok_and(hal::ends_with_call)
}
