//! The first stack of a program: arguments, environment and auxiliary vector.
//!
//! x86-64 psABI, "Initial Stack and Register State"; the auxiliary vector holds what Linux gives
//! (`linux/auxvec.h`), but no vDSO, so that libcs use system calls.

use alloc::vec::Vec;

use hal::{Errno, Machine, PAGE_SIZE};

use super::invocation::RunAs;
use super::loader::Loaded;
use crate::memory::AddressSpace;

/// What goes on the stack.
pub(crate) struct StackPlan<'a> {
    /// The program.
    pub(crate) loaded: &'a Loaded,
    /// Its arguments.
    pub(crate) argv: &'a [Vec<u8>],
    /// Its environment.
    pub(crate) env: &'a [Vec<u8>],
    /// The path it was started by.
    pub(crate) path: &'a [u8],
    /// Who runs it.
    pub(crate) run_as: &'a RunAs,
}

const AT_PHDR: u64 = 3;
const AT_PHENT: u64 = 4;
const AT_PHNUM: u64 = 5;
const AT_PAGESZ: u64 = 6;
const AT_BASE: u64 = 7;
const AT_FLAGS: u64 = 8;
const AT_ENTRY: u64 = 9;
const AT_UID: u64 = 11;
const AT_EUID: u64 = 12;
const AT_GID: u64 = 13;
const AT_EGID: u64 = 14;
const AT_PLATFORM: u64 = 15;
const AT_HWCAP: u64 = 16;
const AT_CLKTCK: u64 = 17;
const AT_SECURE: u64 = 23;
const AT_RANDOM: u64 = 25;
const AT_HWCAP2: u64 = 26;
const AT_EXECFN: u64 = 31;
const AT_MINSIGSTKSZ: u64 = 51;

/// `HWCAP2_FSGSBASE`: an SGX CPU has the instructions, and an enclave may use them.
const HWCAP2_FSGSBASE: u64 = 1 << 1;
const CLOCK_TICKS_PER_SECOND: u64 = 100;
/// Where `CPUID` has the features that `AT_HWCAP` passes on, in leaf 1.
const EDX: usize = 3;
const PROGRAM_HEADER_BYTES: u64 = 56;

/// Writes the stack below `top` and returns the stack pointer at the entry point.
///
/// # Errors
/// `E2BIG` when it takes more than a quarter of the stack, as on Linux.
pub(crate) fn push_stack(
    space: &AddressSpace,
    machine: &dyn Machine,
    plan: &StackPlan<'_>,
) -> Result<u64, Errno> {
    let stack = space.stack();
    let mut strings = Strings::new(stack.end);
    let path = strings.push(plan.path);
    let end = strings.bottom();
    let env = strings.push_all(plan.env);
    let middle = strings.bottom();
    let argv = strings.push_all(plan.argv);
    let places = [strings.bottom()..middle, middle..end];
    let platform = strings.push(b"x86_64");
    let mut seed = [0; 16];
    machine.random(&mut seed);
    let random = strings.push_bytes(&seed);

    let auxiliary = auxiliary(machine, plan, [path, platform, random]);
    let mut words = Vec::from([argv.len() as u64]);
    words.extend(argv);
    words.push(0);
    words.extend(env);
    words.push(0);
    words.extend(&auxiliary);
    let pointer = (strings.bottom() - words.len() as u64 * 8) & !15;
    if stack.end - pointer > (stack.end - stack.start) / 4 {
        return Err(Errno::E2BIG);
    }
    strings.write(space)?;
    space.copy_out(pointer, &bytes_of(&words))?;
    space.set_auxiliary(&bytes_of(&auxiliary));
    space.set_strings(places);
    Ok(pointer)
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The words of the auxiliary vector, with those of its end.
fn auxiliary(
    machine: &dyn Machine,
    plan: &StackPlan<'_>,
    [path, platform, random]: [u64; 3],
) -> Vec<u64> {
    let (loaded, run_as) = (plan.loaded, plan.run_as);
    let vector = [
        (AT_HWCAP, machine.cpuid(1, 0)[EDX].into()),
        (AT_PAGESZ, PAGE_SIZE),
        (AT_CLKTCK, CLOCK_TICKS_PER_SECOND),
        (AT_PHDR, loaded.headers),
        (AT_PHENT, PROGRAM_HEADER_BYTES),
        (AT_PHNUM, loaded.header_count.into()),
        (AT_BASE, loaded.interpreter_base),
        (AT_FLAGS, 0),
        (AT_ENTRY, loaded.entry),
        (AT_UID, run_as.user.real.into()),
        (AT_EUID, run_as.user.effective.into()),
        (AT_GID, run_as.group.real.into()),
        (AT_EGID, run_as.group.effective.into()),
        (AT_SECURE, run_as.is_secure.into()),
        (AT_RANDOM, random),
        (AT_HWCAP2, HWCAP2_FSGSBASE),
        (AT_EXECFN, path),
        (AT_PLATFORM, platform),
        (AT_MINSIGSTKSZ, crate::signals::frame_size_max(machine)),
        (0, 0),
    ];
    vector
        .into_iter()
        .flat_map(|(key, value)| [key, value])
        .collect()
}

/// Strings that grow down from the top of the stack.
struct Strings {
    top: u64,
    /// The bytes from the top down, that is, in reverse.
    reversed: Vec<u8>,
}

impl Strings {
    /// Linux leaves the highest word zero.
    fn new(top: u64) -> Self {
        Self {
            top,
            reversed: Vec::from([0; 8]),
        }
    }

    fn push(&mut self, text: &[u8]) -> u64 {
        self.reversed.push(0);
        self.push_bytes(text)
    }

    /// Each follows the one before it, as programs want that write a title over them.
    fn push_all(&mut self, texts: &[Vec<u8>]) -> Vec<u64> {
        let last_first = texts.iter().rev().map(|text| self.push(text));
        let mut places: Vec<u64> = last_first.collect();
        places.reverse();
        places
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> u64 {
        self.reversed.extend(bytes.iter().rev());
        self.top - self.reversed.len() as u64
    }

    fn bottom(&self) -> u64 {
        self.top - self.reversed.len() as u64
    }

    fn write(mut self, space: &AddressSpace) -> Result<(), Errno> {
        let bottom = self.bottom();
        self.reversed.reverse();
        space.copy_out(bottom, &self.reversed)
    }
}
