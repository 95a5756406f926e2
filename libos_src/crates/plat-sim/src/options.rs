use std::time::Duration;

/// How the software platform works. None of it changes a measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How ENCLU is carried out.
    pub enclu: EncluMode,
    /// How system calls of code in the enclave are caught.
    pub interception: Interception,
    /// Also raise #UD for CPUID and RDTSC in the enclave.
    pub strict: bool,
    /// Count what gets out of the enclave: its system calls that the net missed, in a second one, which
    /// makes each of the host's own calls take a little longer; and exits that leave something in a register.
    pub counts_escapes: bool,
    /// Interrupt the enclave this often (of processor time), as a busy machine would.
    pub interrupt_period: Option<Duration>,
    /// Stop each thread of the enclave after each instruction, from its first exception on. Where the host
    /// carries out a leaf at a patched site, the steps pause until the next entry.
    pub steps: Steps,
}

/// How ENCLU is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncluMode {
    /// The sites are replaced, after measuring and in the platform's own copy, by jumps: fast.
    #[default]
    Patched,
    /// The instruction is left alone, and the fault that it raises is caught: faithful.
    Trap,
}

/// How system calls of code in the enclave are caught.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interception {
    /// The first of the others that this kernel offers.
    #[default]
    Automatic,
    /// Syscall User Dispatch of the enclave's range (Linux 6.17).
    DispatchInside,
    /// Syscall User Dispatch of everything below the enclave's end (Linux 5.11).
    DispatchBelow,
    /// A seccomp filter on the instruction pointer (any kernel).
    Seccomp,
}

/// What happens after each instruction of the enclave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steps {
    /// Nothing: it runs as fast as it can.
    #[default]
    None,
    /// The thread is resumed: it runs in slow motion, each instruction for about as long as any other.
    Slow,
    /// The enclave's handler is entered, as an attacker would who steps through it.
    Entered,
}
