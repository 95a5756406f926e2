//! The enclave as [`hal::Machine`], and the calls into the kernel.

use alloc::vec::Vec;
use core::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use abi::{ssa::vector, thread::page};
use hal::{
    Clock, Errno, ExceptionInfo, Fault, HostFiles, HostPoll, LogLevel, Machine, Next, NoMemory,
    Prot, SettingsTime, TerminalRequest, TerminalSettings, Timespec, UserRegs, Vector, WindowSize,
};

use crate::{
    answers, boot, clock, cpuid, entry, exception, heap, hints, mailbox::HOST, pages, parking,
    random, thread::ThreadPage, user_memory, xstate,
};

/// The machine that the kernel runs on: this enclave. There is one, so it has no state of its own.
pub struct EnclaveMachine;

/// The signals that the host was told to keep.
static KEPT_SIGNALS: AtomicU64 = AtomicU64::new(0);

/// Called by the entry code for a patched system call.
pub(crate) extern "C" fn serve_syscall(registers: &mut UserRegs) {
    follow(boot::kernel().syscall(registers), registers);
}

/// Called by the entry code for a thread that was asked to look at something, on its way to its
/// program.
pub(crate) extern "C" fn serve_interruption(registers: &mut UserRegs) {
    // Before the kernel looks: what comes from now on is another interruption.
    ThreadPage::current()
        .interruption()
        .store(0, Ordering::SeqCst);
    follow(boot::kernel().interrupted(registers), registers);
}

/// Called by the entry code after the exception handler moved the thread here.
pub(crate) extern "C" fn serve_exception(registers: &mut UserRegs) {
    let thread = ThreadPage::current();
    if thread.get(page::FAULT_VECTOR) == exception::INTERRUPTION {
        return serve_interruption(registers);
    }
    let info = ExceptionInfo {
        vector: Vector(thread.get(page::FAULT_VECTOR) as u8),
        error: thread.get(page::FAULT_ERROR) as u32,
        address: thread.get(page::FAULT_ADDRESS),
    };
    let count = |offset: usize| thread.set(offset, thread.get(offset) + 1);
    if info.vector.0 == vector::INVALID_OPCODE {
        match Illegal::at(registers.rip) {
            Some(Illegal::Syscall) => {
                count(page::TRAPPED_SYSCALLS);
                boot::kernel().trapped(registers.rip);
                registers.rip += 2;
                registers.rcx = registers.rip;
                registers.r11 = registers.rflags;
                return follow(boot::kernel().syscall(registers), registers);
            }
            Some(Illegal::Cpuid) => {
                count(page::EXCEPTIONS);
                boot::kernel().trapped(registers.rip);
                registers.rip += 2;
                return cpuid::answer(registers);
            }
            Some(Illegal::ReadCounter { length }) => {
                count(page::EXCEPTIONS);
                registers.rip += length;
                return read_counter(registers, length == 3);
            }
            None => {}
        }
    }
    count(page::EXCEPTIONS);
    follow(boot::kernel().exception(registers, info), registers);
}

/// Instructions that are legal for a program on Linux and not in an enclave.
enum Illegal {
    Syscall,
    Cpuid,
    /// RDTSC, or RDTSCP of three bytes.
    ReadCounter {
        length: u64,
    },
}

impl Illegal {
    fn at(rip: u64) -> Option<Self> {
        let mut bytes = [0; 3];
        // The instruction may be the last of its page, so what follows it need not be there.
        user_memory::copy_in(rip, bytes.get_mut(..2)?).ok()?;
        match bytes {
            [0x0f, 0x05, _] => Some(Self::Syscall),
            [0x0f, 0xa2, _] => Some(Self::Cpuid),
            [0x0f, 0x31, _] => Some(Self::ReadCounter { length: 2 }),
            [0x0f, 0x01, _] => {
                user_memory::copy_in(rip, &mut bytes).ok()?;
                (bytes == [0x0f, 0x01, 0xf9]).then_some(Self::ReadCounter { length: 3 })
            }
            _ => None,
        }
    }
}

/// Answers RDTSC where the CPU does not: the host's clock, as a counter of 1 GHz.
fn read_counter(registers: &mut UserRegs, with_processor: bool) {
    let now = clock::now(Clock::Monotonic);
    registers.rax = now & 0xffff_ffff;
    registers.rdx = now >> 32;
    if with_processor {
        registers.rcx = 0;
    }
}

/// Does what the kernel says about the calling thread.
fn follow(next: Next, registers: &mut UserRegs) {
    hints::settle();
    match next {
        Next::Return => *registers = boot::sanitized(*registers),
        Next::ExitThread => boot::end_thread(),
        Next::ExitProcess(status) => boot::end_process(status),
    }
}

impl Machine for EnclaveMachine {
    fn user_range(&self) -> Range<u64> {
        user_memory::range()
    }

    fn copy_in(&self, src: u64, dst: &mut [u8]) -> Result<(), Fault> {
        user_memory::copy_in(src, dst)
    }

    fn copy_out(&self, dst: u64, src: &[u8]) -> Result<(), Fault> {
        user_memory::copy_out(dst, src)
    }

    fn fill(&self, dst: u64, len: u64, byte: u8) -> Result<(), Fault> {
        user_memory::fill(dst, len, byte)
    }

    fn copy(&self, to: u64, from: u64, len: u64) -> Result<(), Fault> {
        user_memory::copy(to, from, len)
    }

    fn leading_zeros(&self, address: u64, len: u64) -> u64 {
        user_memory::leading_zeros(address, len)
    }

    fn leading_same(&self, a: u64, b: u64, len: u64) -> u64 {
        user_memory::same(a, b, len)
    }

    fn load_u32(&self, address: u64) -> Result<u32, Fault> {
        user_memory::load_u32(address)
    }

    fn store_u32(&self, address: u64, value: u32) -> Result<(), Fault> {
        user_memory::store_u32(address, value)
    }

    fn compare_exchange_u32(&self, address: u64, current: u32, new: u32) -> Result<u32, Fault> {
        user_memory::compare_exchange_u32(address, current, new)
    }

    fn commit(&self, address: u64, len: u64, prot: Prot) -> Result<(), NoMemory> {
        pages::commit(address, len, prot)
    }

    fn commit_to_fill(&self, address: u64, len: u64) -> Result<(), NoMemory> {
        pages::commit_to_fill(address, len)
    }

    fn commit_with(&self, address: u64, bytes: &[u8], prot: Prot) -> Result<(), NoMemory> {
        pages::commit_with(address, bytes, prot)
    }

    fn protect(&self, address: u64, len: u64, prot: Prot) -> Result<(), NoMemory> {
        pages::protect(address, len, prot)
    }

    fn settle(&self) {
        hints::settle();
    }

    fn decommit(&self, address: u64, len: u64) {
        pages::decommit(address, len);
    }

    fn retire(&self, address: u64, len: u64) {
        pages::retire(address, len);
    }

    fn keeps_retired(&self) -> bool {
        pages::keeps_retired()
    }

    fn recommit(&self, address: u64, len: u64, prot: Prot) -> Result<(), NoMemory> {
        pages::recommit(address, len, prot)
    }

    fn bar(&self, address: u64, len: u64) {
        pages::bar(address, len);
    }

    fn prepare(&self, address: u64, len: u64) {
        hints::prepare(address, len);
    }

    fn host_read(&self, fd: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        HOST.read(fd, buf)
    }

    fn host_write(&self, fd: u32, buf: &[u8]) -> Result<usize, Errno> {
        HOST.write(fd, buf)
    }

    fn host_poll(&self, fds: &mut [HostPoll], timeout: Option<Duration>) -> Result<usize, Errno> {
        if timeout == Some(Duration::ZERO) {
            return HOST.poll(fds, timeout);
        }
        let mut found = Ok(0);
        parking::park(|| found = HOST.poll(fds, timeout));
        found
    }

    fn host_tty_size(&self, fd: u32) -> Result<WindowSize, Errno> {
        HOST.terminal_size(fd)
    }

    fn host_tty_settings(&self, fd: u32) -> Result<TerminalSettings, Errno> {
        HOST.terminal_settings(fd)
    }

    fn set_host_tty_settings(
        &self,
        fd: u32,
        settings: &TerminalSettings,
        when: SettingsTime,
    ) -> Result<(), Errno> {
        HOST.set_terminal_settings(fd, settings, when)
    }

    fn host_tty_request(
        &self,
        fd: u32,
        request: TerminalRequest,
        argument: u32,
    ) -> Result<u32, Errno> {
        HOST.terminal_request(fd, request, argument)
    }

    fn read_image(&self, index: u32, offset: u64, buf: &mut [u8]) -> Result<(), Errno> {
        HOST.read_image(index, offset, buf)
    }

    fn host_files(&self) -> &'static dyn HostFiles {
        &HOST
    }

    fn clock(&self, clock: Clock) -> Timespec {
        Duration::from_nanos(clock::now(clock)).into()
    }

    fn processor_time(&self, thread: u32) -> Duration {
        Duration::from_nanos(
            HOST.processor_time(thread)
                .min(clock::now(Clock::Monotonic)),
        )
    }

    fn random(&self, out: &mut [u8]) {
        random::fill(out);
    }

    fn cpu_count(&self) -> u32 {
        boot::cpu_count()
    }

    fn cpuid(&self, leaf: u32, subleaf: u32) -> [u32; 4] {
        cpuid::ask(leaf, subleaf)
    }

    fn spawn_thread(&self, token: u64) -> Result<(), Errno> {
        boot::spawn(token)
    }

    fn spawn_keeper(&self) -> Result<(), Errno> {
        HOST.spawn_keeper()
    }

    fn keep_host_signals(&self, set: u64) {
        KEPT_SIGNALS.store(set, Ordering::SeqCst);
        HOST.keep_signals(set);
    }

    fn take_host_signals(&self) -> u64 {
        HOST.take_signals(KEPT_SIGNALS.load(Ordering::SeqCst))
    }

    fn stop(&self) {
        HOST.stop();
    }

    fn this_thread(&self) -> u32 {
        ThreadPage::current().get(page::INDEX) as u32
    }

    fn park(&self, deadline: Option<Duration>) {
        let now = || Duration::from_nanos(clock::now(Clock::Monotonic));
        let left = || deadline.map(|at| at.saturating_sub(now()));
        parking::wait(|| HOST.park(left()));
    }

    fn unpark(&self, thread: u32) {
        let _ = parking::unpark(thread);
    }

    fn yield_now(&self) {
        parking::yield_now();
    }

    fn answers_version(&self) -> u64 {
        answers::version()
    }

    fn give_answers(&self, version: u64, given: &[(u16, u32)]) {
        answers::give(version, given);
    }

    fn take_answers(&self) {
        answers::take();
    }

    fn forget_answers(&self) {
        answers::forget();
    }

    fn serve_clock(&self, number: u64) {
        clock::serve(number);
    }

    fn is_looked_at(&self) -> bool {
        answers::is_looked_at()
    }

    fn interrupt(&self, thread: u32) {
        let Some(page) = ThreadPage::of(thread) else {
            return;
        };
        page.interruption().store(1, Ordering::SeqCst);
        // One that slept looks on its way from the kernel to the program.
        let slept = parking::unpark(thread);
        if !slept && thread != self.this_thread() {
            HOST.interrupt(thread);
        }
    }

    fn xstate_size(&self) -> usize {
        xstate::size()
    }

    fn xstate_features(&self) -> u64 {
        ThreadPage::current().get(page::XFRM)
    }

    fn save_xstate(&self, out: &mut [u8]) -> usize {
        xstate::save(out)
    }

    fn restore_xstate(&self, area: &[u8]) -> Result<(), Fault> {
        xstate::restore(area)
    }

    fn has_heap_room(&self, bytes: usize) -> bool {
        let mut room = Vec::<u8>::new();
        let is_there = room.try_reserve_exact(bytes).is_ok();
        // Without this the compiler may leave the reservation out and call it a success.
        core::hint::black_box(&room);
        is_there
    }

    fn heap_used_bytes(&self) -> usize {
        heap::used_bytes()
    }

    fn syscall_entry(&self) -> u64 {
        entry::syscall_entry as *const () as u64
    }

    fn cpuid_entry(&self) -> u64 {
        entry::cpuid_entry as *const () as u64
    }

    fn log(&self, level: LogLevel, line: &str) {
        if self.listens(level) {
            HOST.log(level, line);
        }
    }

    fn listens(&self, level: LogLevel) -> bool {
        boot::listens(level)
    }
}
