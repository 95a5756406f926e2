//! The kernel of the probe.

use alloc::{boxed::Box, format, string::String};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

use hal::{
    Clock, Errno, ExceptionInfo, HostEvents, HostPoll, HostStart, Kernel, LogLevel, Machine, Next,
    Prot, StartError, UserRegs,
};
use rt::{Boot, EnclaveMachine, Program};

use crate::{defects, programs};

const SYS_READ: u64 = 0;
const SYS_WRITE: u64 = 1;
const SYS_MMAP: u64 = 9;
const SYS_MPROTECT: u64 = 10;
const SYS_MUNMAP: u64 = 11;
const SYS_SCHED_YIELD: u64 = 24;
const SYS_GETPID: u64 = 39;
const SYS_CLONE: u64 = 56;
const SYS_EXIT: u64 = 60;
const SYS_KILL: u64 = 62;
const SYS_GETUID: u64 = 102;
const SYS_SETPGID: u64 = 109;
const SYS_FUTEX: u64 = 202;
const SYS_CLOCK_GETTIME: u64 = 228;
/// The time, as `clock_gettime` gives it: the runtime serves it while it can.
const SYS_CLOCK: u64 = 229;
const SYS_EXIT_GROUP: u64 = 231;
const SYS_GETRANDOM: u64 = 318;
/// Linux has no such call: the kernel meets a defect of its own, to see what is told of it.
const SYS_DEFECT: u64 = 9999;

/// What a thread begins with that is there to meet a defect.
const DEFECTIVE: u64 = 1;
/// What a thread begins with that asks the host for something again and again.
const BUSY: u64 = 2;

/// Enough for each program, its data and its stacks.
const MEMORY_SIZE: u64 = 0x2_0000;
/// Where a new thread's stack starts, by the thread's number.
const STACK_SIZE: u64 = 0x4000;

/// What the probe's programs find behind RDI: a word that they share.
const DATA_OFFSET: u64 = 0x1000;
/// Behind that word, how often a thread was interrupted.
const INTERRUPTIONS_OFFSET: u64 = DATA_OFFSET + 8;

struct Probe {
    machine: &'static EnclaveMachine,
    has_started: AtomicBool,
    is_busy: AtomicBool,
    /// How often the call has come whose answer is told ahead.
    asked: AtomicU32,
}

/// Builds the probe's kernel.
pub(crate) fn boot(boot: &Boot) -> Result<Program, StartError> {
    Ok(Program {
        kernel: Box::leak(Box::new(Probe {
            machine: boot.machine,
            has_started: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            asked: AtomicU32::new(0),
        })),
        patched_sites: Some(|| 0),
        is_silent: boot.config == b"silent",
    })
}

impl Probe {
    fn start_address(&self) -> u64 {
        self.machine.user_range().start
    }

    fn stack_top(&self, thread: u64) -> u64 {
        self.start_address() + MEMORY_SIZE - thread * STACK_SIZE
    }

    fn read(&self, regs: &UserRegs) -> u64 {
        let mut bytes = [0; 256];
        let Some(bytes) = bytes.get_mut(..regs.rdx as usize) else {
            return (-22_i64) as u64;
        };
        let fd = regs.rdi as u32;
        let got = match self.until_ready(fd, HostEvents::IN, || self.machine.host_read(fd, bytes)) {
            Ok(got) => got,
            Err(errno) => return errno.to_return_value(),
        };
        let bytes = bytes.get(..got).unwrap_or_default();
        self.machine
            .copy_out(regs.rsi, bytes)
            .map_or((-14_i64) as u64, |()| got as u64)
    }

    fn write(&self, regs: &UserRegs) -> u64 {
        let mut bytes = [0; 256];
        let Some(bytes) = bytes.get_mut(..regs.rdx as usize) else {
            return (-22_i64) as u64;
        };
        if self.machine.copy_in(regs.rsi, bytes).is_err() {
            return (-14_i64) as u64;
        }
        let fd = regs.rdi as u32;
        self.until_ready(fd, HostEvents::OUT, || self.machine.host_write(fd, bytes))
            .map_or_else(Errno::to_return_value, |count| count as u64)
    }

    /// Repeats `action` until the host's stream is ready for it.
    fn until_ready(
        &self,
        fd: u32,
        events: HostEvents,
        mut action: impl FnMut() -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        loop {
            match action() {
                Err(Errno::EAGAIN) => {}
                done => return done,
            }
            let ready = HostEvents::empty();
            self.machine
                .host_poll(&mut [HostPoll { fd, events, ready }], None)?;
        }
    }

    /// Writes eight bytes, whatever the program itself may do there.
    fn random(&self, regs: &UserRegs) -> u64 {
        let mut bytes = [0; 8];
        self.machine.random(&mut bytes);
        self.machine
            .copy_out(regs.rdi, &bytes)
            .map_or((-14_i64) as u64, |()| 8)
    }

    /// The three calls about pages, without the books that a real kernel keeps.
    fn pages(&self, regs: &UserRegs) -> u64 {
        let prot = Prot::from_bits_truncate(regs.rdx as u32);
        let done = match regs.rax {
            SYS_MMAP => self.machine.commit(regs.rdi, regs.rsi, prot),
            SYS_MPROTECT => self.machine.protect(regs.rdi, regs.rsi, prot),
            _ => {
                self.machine.decommit(regs.rdi, regs.rsi);
                Ok(())
            }
        };
        done.map_or((-12_i64) as u64, |()| 0)
    }

    fn defect(&self, kind: u64) -> ! {
        match kind {
            0 => panic!("a defect that was asked for"),
            1 => defects::fault(),
            2 => panic!("a defect that is {}", defects::Untold),
            3 => defects::exhaust(0),
            5 => {
                let _ = self.machine.spawn_thread(BUSY);
                while !self.is_busy.load(Ordering::SeqCst) {
                    self.machine.yield_now();
                }
                panic!("a defect beside a busy thread")
            }
            _ => {
                let _ = self.machine.spawn_thread(DEFECTIVE);
                panic!("a defect of the first thread")
            }
        }
    }

    fn time(&self, regs: &UserRegs) -> u64 {
        let clock = match regs.rdi {
            0 => Clock::Realtime,
            1 => Clock::Monotonic,
            _ => return (-22_i64) as u64,
        };
        let now = self.machine.clock(clock);
        let words = [now.seconds, now.nanoseconds.into()].map(u64::to_le_bytes);
        self.machine
            .copy_out(regs.rsi, words.as_flattened())
            .map_or((-14_i64) as u64, |()| 0)
    }

    /// How often this has been asked of the kernel: the next time the runtime says the same.
    fn count(&self) -> u64 {
        let version = self.machine.answers_version();
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let answers = [(SYS_GETUID as u16, asked)];
        self.machine.give_answers(version, &answers);
        // It looks now and then.
        let _ = self.machine.is_looked_at();
        asked.into()
    }

    /// Futex of one waiter: thread 0 waits, any thread wakes it.
    fn futex(&self, regs: &UserRegs) -> u64 {
        if regs.rsi == 0 {
            while self.machine.load_u32(regs.rdi) == Ok(regs.rdx as u32) {
                self.machine.park(None);
            }
        } else {
            self.machine.unpark(0);
        }
        0
    }
}

impl Kernel for Probe {
    fn start(&self, host: HostStart) -> Result<UserRegs, StartError> {
        let name = host.argv.first().map_or(&b""[..], |name| name.as_slice());
        let code = programs::find(name).ok_or_else(|| StartError {
            message: format!("no such probe: {}", String::from_utf8_lossy(name)),
        })?;
        let count = host.argv.get(1).map_or(0, |text| {
            text.iter()
                .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
        });
        // During this call the host may bring the keeper.
        self.machine.clock(Clock::Realtime);
        self.machine.serve_clock(SYS_CLOCK);
        let start = self.start_address();
        let refused = |_| StartError {
            message: "no memory for the probe".into(),
        };
        let all = Prot::READ | Prot::WRITE | Prot::EXEC;
        self.machine
            .commit(start, MEMORY_SIZE, all)
            .map_err(refused)?;
        self.machine
            .copy_out(start, code)
            .map_err(|_| refused(hal::NoMemory))?;
        self.has_started.store(true, Ordering::SeqCst);
        Ok(UserRegs {
            rip: start,
            rsp: self.stack_top(0),
            rdi: start + DATA_OFFSET,
            rsi: count,
            rdx: self.machine.syscall_entry(),
            ..UserRegs::default()
        })
    }

    fn thread(&self, token: u64, regs: &mut UserRegs) -> Next {
        assert!(token != DEFECTIVE, "a defect of the second thread");
        if token == BUSY {
            loop {
                self.machine.log(LogLevel::Info, "busy");
                self.is_busy.store(true, Ordering::SeqCst);
            }
        }
        *regs = UserRegs {
            rip: token,
            rsp: self.stack_top(u64::from(self.machine.this_thread())),
            rdi: self.start_address() + DATA_OFFSET,
            ..UserRegs::default()
        };
        Next::Return
    }

    fn syscall(&self, regs: &mut UserRegs) -> Next {
        regs.rax = match regs.rax {
            SYS_SCHED_YIELD => {
                self.machine.yield_now();
                0
            }
            SYS_GETPID => 1,
            SYS_GETUID => self.count(),
            SYS_SETPGID => {
                self.machine.forget_answers();
                0
            }
            SYS_READ => self.read(regs),
            SYS_WRITE => self.write(regs),
            SYS_MMAP | SYS_MPROTECT | SYS_MUNMAP => self.pages(regs),
            SYS_GETRANDOM => self.random(regs),
            SYS_CLONE => match self.machine.spawn_thread(regs.rdi) {
                Ok(()) => 0,
                Err(errno) => errno.to_return_value(),
            },
            SYS_FUTEX => self.futex(regs),
            SYS_KILL => {
                self.machine.interrupt(regs.rdi as u32);
                0
            }
            SYS_CLOCK_GETTIME => {
                // The clock asks the host now and then; this call is to leave each time.
                self.machine.take_host_signals();
                Duration::from(self.machine.clock(Clock::Monotonic)).as_nanos() as u64
            }
            SYS_CLOCK => self.time(regs),
            SYS_DEFECT => self.defect(regs.rdi),
            SYS_EXIT => return Next::ExitThread,
            SYS_EXIT_GROUP => return Next::ExitProcess(regs.rdi as i32),
            _ => (-38_i64) as u64,
        };
        Next::Return
    }

    fn trapped(&self, _rip: u64) {}

    /// A program that expects a fault has the address of its handler in R15: it goes on there with
    /// the vector in RAX, the address in RDX, and RIP in RCX. Without one the process ends.
    fn exception(&self, regs: &mut UserRegs, info: ExceptionInfo) -> Next {
        if regs.r15 == 0 {
            let line = format!(
                "exception {} at {:#x}, address {:#x}",
                info.vector.0, regs.rip, info.address
            );
            self.machine.log(LogLevel::Error, &line);
            return Next::ExitProcess(139);
        }
        regs.rax = u64::from(info.vector.0);
        regs.rdx = info.address;
        regs.rcx = regs.rip;
        regs.rip = regs.r15;
        Next::Return
    }

    fn keep(&self) -> ! {
        assert!(
            self.has_started.load(Ordering::SeqCst),
            "the keeper came before the kernel had started"
        );
        loop {
            self.machine.park(None);
        }
    }

    fn interrupted(&self, _regs: &mut UserRegs) -> Next {
        let word = self.start_address() + INTERRUPTIONS_OFFSET;
        // One thread is interrupted at a time, so nobody else counts meanwhile.
        if let Ok(count) = self.machine.load_u32(word) {
            let _ = self.machine.store_u32(word, count.wrapping_add(1));
        }
        Next::Return
    }
}
