//! What the kernel asks of the runtime.

use core::ops::Range;
use core::time::Duration;

use crate::{
    Clock, Errno, Fault, HostFiles, HostPoll, NoMemory, Prot, SettingsTime, TerminalRequest,
    TerminalSettings, Timespec, WindowSize,
};

/// One in so many system calls comes to the kernel even if the machine could answer it, so that it can
/// look at how long calls take.
pub const CALLS_PER_LOOK: u32 = 1024;

/// The enclave as the kernel sees it: program memory, the host behind checks, time, and threads.
///
/// Every reply of the host that a method returns is already range-checked (a length is at most what
/// was asked for, an error is one that the call may give). User addresses are never trusted: the
/// methods that take one return [`Fault`].
pub trait Machine: Sync {
    /// The addresses that programs may use: the `USER` region. Page aligned; never changes.
    fn user_range(&self) -> Range<u64>;

    /// Copies user memory in. On a fault, how much of `dst` was written is unspecified.
    ///
    /// A fault means that the range leaves the user region or a page of it is not committed.
    /// Whether the program itself may read the page is the kernel's question, not this method's.
    fn copy_in(&self, src: u64, dst: &mut [u8]) -> Result<(), Fault>;
    /// Copies into user memory, whatever the program's own permission (the kernel checks that). As
    /// [`Machine::copy_in`] for faults; with EDMM a page that was made read-only for good faults
    /// too.
    fn copy_out(&self, dst: u64, src: &[u8]) -> Result<(), Fault>;
    /// Fills user memory with one byte.
    fn fill(&self, dst: u64, len: u64, byte: u8) -> Result<(), Fault>;
    /// Copies committed pages over other committed pages, whatever the program's own permissions, as
    /// far as the machine keeps none for good.
    fn copy(&self, to: u64, from: u64, len: u64) -> Result<(), Fault>;
    /// How many bytes of committed pages, from the first one on, are known to be zeros. A page that
    /// cannot be read counts as one with something else.
    fn leading_zeros(&self, address: u64, len: u64) -> u64;
    /// How many bytes of two runs of committed pages, from the first on, are known to be the same. A page
    /// that cannot be read counts as one that differs.
    fn leading_same(&self, a: u64, b: u64, len: u64) -> u64;
    /// Reads an aligned word of user memory, atomically, sequentially consistent. Unaligned: a
    /// fault.
    fn load_u32(&self, address: u64) -> Result<u32, Fault>;
    /// Writes an aligned word of user memory, atomically, sequentially consistent. Unaligned: a
    /// fault.
    fn store_u32(&self, address: u64, value: u32) -> Result<(), Fault>;
    /// Replaces `current` by `new` atomically and returns the value found; equal to `current` means
    /// that it was replaced.
    fn compare_exchange_u32(&self, address: u64, current: u32, new: u32) -> Result<u32, Fault>;

    /// Makes pages usable: zeroed, with `prot`. The range is page aligned, inside the user region,
    /// not committed now.
    fn commit(&self, address: u64, len: u64, prot: Prot) -> Result<(), NoMemory>;
    /// As [`Machine::commit`] for reading and writing, but the pages may hold anything: the caller
    /// fills all of them, or gives them back, before it says that they are there.
    fn commit_to_fill(&self, address: u64, len: u64) -> Result<(), NoMemory> {
        self.commit(address, len, Prot::READ | Prot::WRITE)
    }
    /// Changes what programs may do with committed pages. On SGX1 this is a hint that an honest host
    /// follows when the program next runs; the methods above never depend on it.
    fn protect(&self, address: u64, len: u64, prot: Prot) -> Result<(), NoMemory>;
    /// Makes pages usable that hold `bytes`, a whole number of pages, with `prot`. Where pages have
    /// permissions of their own, nobody sees one before it holds its bytes.
    fn commit_with(&self, address: u64, bytes: &[u8], prot: Prot) -> Result<(), NoMemory> {
        let len = bytes.len() as u64;
        self.commit_to_fill(address, len)?;
        let written = self.copy_out(address, bytes).map_err(|_| NoMemory);
        written
            .and_then(|()| self.protect(address, len, prot))
            .inspect_err(|_| self.decommit(address, len))
    }
    /// What [`Machine::protect`] was told holds from now on for all threads, as far as it ever does.
    fn settle(&self) {}
    /// Gives committed pages back; their content is gone.
    fn decommit(&self, address: u64, len: u64);

    /// As [`Machine::decommit`], for pages of a program that is gone, where no thread runs any more:
    /// they may stay accessible until [`Machine::bar`], as the next program may want the same.
    fn retire(&self, address: u64, len: u64) {
        self.decommit(address, len);
    }
    /// Whether retired pages still hold what they held, until they are committed again.
    fn keeps_retired(&self) -> bool {
        false
    }
    /// Makes retired pages usable again as they are, with `prot`, if the machine
    /// [keeps](Machine::keeps_retired) them and they were not committed since.
    fn recommit(&self, address: u64, len: u64, prot: Prot) -> Result<(), NoMemory> {
        self.commit(address, len, prot)
    }
    /// Pages that are not committed, and that a program knows to have no access to, are left
    /// accessible no more.
    fn bar(&self, _address: u64, _len: u64) {}
    /// The kernel is about to commit and fill most pages of a range in several steps.
    fn prepare(&self, _address: u64, _len: u64) {}

    /// Reads from a descriptor of the host: 0 is its standard input. Blocks. Zero bytes mean the
    /// end.
    fn host_read(&self, fd: u32, buf: &mut [u8]) -> Result<usize, Errno>;
    /// Writes to a descriptor of the host: 1 and 2 are its standard output and error. May write
    /// less than asked for.
    fn host_write(&self, fd: u32, buf: &[u8]) -> Result<usize, Errno>;
    /// Waits until a descriptor is ready, or for `timeout` (for ever without one). Fills in
    /// `ready`; returns how many are ready. Unless `timeout` is zero, [`Machine::unpark`] ends it as
    /// it ends [`Machine::park`].
    fn host_poll(&self, fds: &mut [HostPoll], timeout: Option<Duration>) -> Result<usize, Errno>;
    /// The size of the terminal behind a descriptor; `ENOTTY` when there is none.
    fn host_tty_size(&self, fd: u32) -> Result<WindowSize, Errno>;
    /// The settings of the terminal behind a descriptor, as the kernel's `struct termios` has them.
    /// They are the host's word; nothing but what a person sees depends on them.
    fn host_tty_settings(&self, fd: u32) -> Result<TerminalSettings, Errno>;
    /// Changes them. The host puts them back when the enclave ends.
    fn set_host_tty_settings(
        &self,
        fd: u32,
        settings: &TerminalSettings,
        when: SettingsTime,
    ) -> Result<(), Errno>;
    /// Asks the terminal behind a descriptor for something else; a number of bytes for
    /// [`TerminalRequest::InputSize`], else 0.
    fn host_tty_request(
        &self,
        fd: u32,
        request: TerminalRequest,
        argument: u32,
    ) -> Result<u32, Errno>;
    /// Reads exactly `buf.len()` bytes of the image that the bundle lists at `index`. The bytes are
    /// untrusted.
    fn read_image(&self, index: u32, offset: u64, buf: &mut [u8]) -> Result<(), Errno>;

    /// Directories that the host lends.
    fn host_files(&self) -> &'static dyn HostFiles;

    /// The time. `Monotonic` never goes back; `Realtime` is the host's word, within sane bounds.
    fn clock(&self, clock: Clock) -> Timespec;
    /// How long thread `thread` has used a processor since it entered: the host's word, but no
    /// longer than [`Clock::Monotonic`] allows.
    fn processor_time(&self, thread: u32) -> Duration;
    /// Fills `out` with random bytes from the CPU, never from the host.
    fn random(&self, out: &mut [u8]);
    /// How many CPUs the program should count on; at least 1. The host's word, capped.
    fn cpu_count(&self) -> u32;
    /// What `CPUID` tells programs for a leaf and a subleaf: `eax`, `ebx`, `ecx`, `edx`. The host's
    /// word, without what an enclave cannot do.
    fn cpuid(&self, leaf: u32, subleaf: u32) -> [u32; 4];

    /// Starts another enclave thread, which calls [`Kernel::thread`](crate::Kernel::thread) with
    /// `token`. `EAGAIN` when no TCS is free.
    fn spawn_thread(&self, token: u64) -> Result<(), Errno>;
    /// Has the kernel's own thread started, which calls [`Kernel::keep`](crate::Kernel::keep), if it
    /// was not before. It has a TCS that [`Machine::spawn_thread`] does not take.
    fn spawn_keeper(&self) -> Result<(), Errno>;
    /// Has the host keep these of its signals for [`Machine::take_host_signals`], and unpark the
    /// keeper when one comes. Bit n - 1 is signal n.
    fn keep_host_signals(&self, set: u64);
    /// The signals that the host says came since this was last asked; always of the set that it was
    /// told to keep.
    fn take_host_signals(&self) -> u64;
    /// Has the host stop the whole enclave, as job control stops a process; returns once it was
    /// continued, or at once.
    fn stop(&self);
    /// The number of the calling thread, below the number of TCSs. A number is reused after its
    /// thread exits.
    fn this_thread(&self) -> u32;
    /// Blocks this thread until [`Machine::unpark`] or until the monotonic clock reaches
    /// `deadline`.
    ///
    /// As `std::thread::park`: an `unpark` that came first makes it return at once, and it may
    /// return for no reason.
    fn park(&self, deadline: Option<Duration>);
    /// Lets thread `thread` return from [`Machine::park`], now or the next time it calls it.
    fn unpark(&self, thread: u32);
    /// Lets the host run another thread in place of this one, if one waits for a processor; soon, if
    /// not at once, for a thread that does so again and again.
    fn yield_now(&self);
    /// Makes thread `thread` look, wherever it is: if it runs program code, it calls
    /// [`Kernel::interrupted`](crate::Kernel::interrupted) soon; if it works in the kernel, it does
    /// so before it goes back to its program; a [`Machine::park`] returns, now or the next time; and
    /// a call of the host that it waits in may end with `EINTR`.
    ///
    /// It is asked of the host, who may refuse: nothing may depend on it but progress.
    fn interrupt(&self, thread: u32);

    /// The version of all that answers rest on that are [given](Machine::give_answers) ahead.
    fn answers_version(&self) -> u64 {
        0
    }
    /// What the calling thread's next system calls with these numbers would answer, which have neither
    /// arguments nor effects: the machine may answer them itself. `version` was taken before the
    /// answers were looked up. They hold until [`Machine::forget_answers`] or
    /// [`Machine::take_answers`], and not for a thread that is to look at something.
    ///
    /// One call in [`CALLS_PER_LOOK`] comes to the kernel all the same.
    fn give_answers(&self, _version: u64, _answers: &[(u16, u32)]) {}
    /// The machine has no answers for the calling thread any more.
    fn take_answers(&self) {}
    /// The same for all threads: something has changed that answers rest on.
    fn forget_answers(&self) {}
    /// The machine may itself serve system calls with this number, whose arguments are a clock, 0 for
    /// [`Clock::Realtime`] or 1 for [`Clock::Monotonic`], and the address of two words for seconds and
    /// nanoseconds: with what [`Machine::clock`] would say, if the program may write there.
    ///
    /// A thread that is to look at something, and one call in [`CALLS_PER_LOOK`], come to the kernel
    /// all the same.
    fn serve_clock(&self, _number: u64) {}
    /// Whether the call that is being served is the one in so many that is never answered ahead.
    fn is_looked_at(&self) -> bool {
        false
    }

    /// How many bytes [`Machine::save_xstate`] writes: an XSAVE area in the standard format, for
    /// the features in use.
    fn xstate_size(&self) -> usize;
    /// The features that an XSAVE area of this machine may hold, as in XCR0; at least x87 and SSE.
    fn xstate_features(&self) -> u64;
    /// Saves the extended state of this thread's interrupted user context; returns the bytes
    /// written.
    ///
    /// Bytes 464 to 511 (Linux's `sw_reserved`) are zero: who builds a signal frame fills them in.
    fn save_xstate(&self, out: &mut [u8]) -> usize;
    /// Replaces the extended state of this thread's interrupted user context. An area that the CPU
    /// would refuse (Intel SDM vol. 1, "XRSTOR", reserved bits) is refused with a fault and changes
    /// nothing.
    fn restore_xstate(&self, area: &[u8]) -> Result<(), Fault>;

    /// Whether the kernel's own heap could give `bytes` in one piece now. Other threads may take
    /// them before the caller does.
    fn has_heap_room(&self, bytes: usize) -> bool;

    /// Bytes of the kernel's own heap that are given out, for those who look for what grows.
    fn heap_used_bytes(&self) -> usize {
        0
    }

    /// Where a patched system call jumps to, with `rcx` = the address after the patched `syscall`.
    fn syscall_entry(&self) -> u64;
    /// Where a patched `cpuid` jumps to, with `rdx` = the address after it.
    fn cpuid_entry(&self) -> u64;
    /// Prints one line for the operator, on the host's standard error. It is not secret from the
    /// host.
    fn log(&self, level: LogLevel, line: &str);
    /// Whether the host wants lines of this level. Those for debugging are made only if it does,
    /// and only in an enclave that may be debugged.
    fn listens(&self, level: LogLevel) -> bool {
        level <= LogLevel::Info
    }
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// The program cannot go on as it asked.
    Error,
    /// Something is missing or odd; the program may cope.
    Warning,
    /// For someone who is looking for a problem.
    Info,
    /// A system call of the program, in words.
    Trace,
    /// Code of a file that is mapped now: a line as in `/proc/self/maps`.
    Mapping,
}
