//! A machine whose user memory is a vector and whose threads are the test's own.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::liars::Liar;
use hal::{
    Clock, Errno, Fault, HostPoll, LogLevel, Machine, NoMemory, PAGE_SIZE, Prot, SettingsTime,
    TerminalRequest, TerminalSettings, Timespec, WindowSize,
};

/// The user region.
pub(super) const USER: Range<u64> = 0x1_0000..0x201_0000;
/// The extended state of a CPU with AVX, and its features.
pub(super) const XSTATE_BYTES: usize = 832;
pub(super) const XSTATE_FEATURES: u64 = 7;
/// TCSs.
pub(super) const THREADS: u32 = 4;

thread_local! {
    static NUMBER: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// Makes the calling thread the enclave thread `number`.
pub(super) fn become_thread(number: u32) {
    NUMBER.set(number);
}

pub(super) struct TestMachine {
    memory: Mutex<Memory>,
    /// What was written to the host's descriptors.
    pub(super) output: Mutex<Vec<u8>>,
    /// What the host's standard input still holds.
    pub(super) input: Mutex<VecDeque<u8>>,
    /// The log.
    pub(super) lines: Mutex<Vec<String>>,
    /// What code is mapped, if the host asked.
    pub(super) mappings: Mutex<Option<Vec<String>>>,
    /// Whether the host wants to hear of each system call.
    pub(super) is_traced: AtomicBool,
    /// The version of what answers rest on.
    pub(super) version: AtomicU64,
    /// Answers that were told ahead.
    pub(super) answers: Mutex<Option<Answers>>,
    /// The number of the call that the machine may serve by itself.
    pub(super) clock_call: Mutex<Option<u64>>,
    /// Tokens of threads that were asked for.
    pub(super) spawned: Mutex<Vec<u64>>,
    /// Whether the host starts no threads.
    pub(super) refuses_threads: AtomicBool,
    /// How often the keeper was asked for.
    pub(super) keepers: AtomicUsize,
    /// How often the whole enclave was to stop.
    pub(super) stops: AtomicUsize,
    /// Signals that came to the host.
    pub(super) host_signals: AtomicU64,
    /// Who answers for the host, if it is not honest.
    pub(super) liar: Mutex<Option<Liar>>,
    /// What each look at the kernel's heap takes of it.
    pub(super) heap_drain: AtomicUsize,
    /// What is left of the kernel's heap.
    pub(super) heap_left: AtomicUsize,
    /// The extended state of the program, of whichever thread.
    pub(super) xstate: Mutex<[u8; XSTATE_BYTES]>,
    /// How many pages the host was asked to close as nobody has them any more.
    pub(super) closed_pages: AtomicUsize,
    permits: [(Mutex<bool>, Condvar); THREADS as usize],
    start: Instant,
}

/// Answers by the number of their call, and of which version they are.
pub(super) type Answers = (u64, Vec<(u16, u32)>);

struct Memory {
    bytes: Vec<u8>,
    committed: Vec<bool>,
    pages_left: usize,
}

impl TestMachine {
    /// A machine that has `pages` pages to give.
    pub(super) fn new(pages: usize) -> &'static Self {
        let len = (USER.end - USER.start) as usize;
        Box::leak(Box::new(Self {
            memory: Mutex::new(Memory {
                bytes: vec![0xcc; len],
                committed: vec![false; len / PAGE_SIZE as usize],
                pages_left: pages,
            }),
            output: Mutex::default(),
            input: Mutex::default(),
            lines: Mutex::default(),
            mappings: Mutex::default(),
            is_traced: AtomicBool::new(false),
            version: AtomicU64::new(1),
            answers: Mutex::default(),
            clock_call: Mutex::default(),
            spawned: Mutex::default(),
            refuses_threads: AtomicBool::new(false),
            keepers: AtomicUsize::new(0),
            stops: AtomicUsize::new(0),
            host_signals: AtomicU64::new(0),
            liar: Mutex::default(),
            heap_drain: AtomicUsize::new(0),
            heap_left: AtomicUsize::new(usize::MAX),
            xstate: Mutex::new([0; XSTATE_BYTES]),
            closed_pages: AtomicUsize::new(0),
            permits: Default::default(),
            start: Instant::now(),
        }))
    }

    /// What the liar says, if there is one.
    fn lie<T>(&self, tell: impl FnOnce(&mut Liar) -> T) -> Option<T> {
        self.liar.lock().expect("not poisoned").as_mut().map(tell)
    }

    /// How many pages are committed.
    pub(super) fn committed_pages(&self) -> usize {
        self.lock()
            .committed
            .iter()
            .filter(|&&committed| committed)
            .count()
    }

    /// Leaves `pages` pages to be given; how many there were.
    pub(super) fn limit_pages(&self, pages: usize) -> usize {
        core::mem::replace(&mut self.lock().pages_left, pages)
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("no test thread panicked here")
    }

    fn word(&self, address: u64) -> Result<u32, Fault> {
        let mut bytes = [0; 4];
        self.copy_in(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

impl Memory {
    /// The index range of a user range, all of which must be committed.
    fn usable(&self, address: u64, len: usize) -> Result<Range<usize>, Fault> {
        let fault = Fault { address };
        let start = address.checked_sub(USER.start).ok_or(fault)? as usize;
        let end = start
            .checked_add(len)
            .filter(|&end| end <= self.bytes.len())
            .ok_or(fault)?;
        let page = PAGE_SIZE as usize;
        let is_usable = self.committed[start / page..end.div_ceil(page)]
            .iter()
            .all(|&is| is);
        if is_usable {
            Ok(start..end)
        } else {
            Err(fault)
        }
    }

    /// Commits pages as they are.
    fn take(&mut self, pages: Range<usize>) -> Result<(), NoMemory> {
        self.pages_left = self.pages_left.checked_sub(pages.len()).ok_or(NoMemory)?;
        for page in pages {
            assert!(!self.committed[page], "page {page} is committed twice");
            self.committed[page] = true;
        }
        Ok(())
    }

    fn pages(address: u64, len: u64) -> Range<usize> {
        assert!(address.is_multiple_of(PAGE_SIZE) && len.is_multiple_of(PAGE_SIZE));
        let start = ((address - USER.start) / PAGE_SIZE) as usize;
        start..start + (len / PAGE_SIZE) as usize
    }
}

impl Machine for TestMachine {
    fn user_range(&self) -> Range<u64> {
        USER
    }

    fn copy_in(&self, src: u64, dst: &mut [u8]) -> Result<(), Fault> {
        let memory = self.lock();
        dst.copy_from_slice(&memory.bytes[memory.usable(src, dst.len())?]);
        Ok(())
    }

    fn copy_out(&self, dst: u64, src: &[u8]) -> Result<(), Fault> {
        let mut memory = self.lock();
        let range = memory.usable(dst, src.len())?;
        memory.bytes[range].copy_from_slice(src);
        Ok(())
    }

    fn fill(&self, dst: u64, len: u64, byte: u8) -> Result<(), Fault> {
        let mut memory = self.lock();
        let range = memory.usable(dst, len as usize)?;
        memory.bytes[range].fill(byte);
        Ok(())
    }

    fn copy(&self, to: u64, from: u64, len: u64) -> Result<(), Fault> {
        let mut memory = self.lock();
        let from = memory.usable(from, len as usize)?;
        let to = memory.usable(to, len as usize)?;
        memory.bytes.copy_within(from, to.start);
        Ok(())
    }

    fn leading_zeros(&self, address: u64, len: u64) -> u64 {
        let memory = self.lock();
        memory.usable(address, len as usize).map_or(0, |range| {
            let bytes = &memory.bytes[range];
            bytes.iter().take_while(|byte| **byte == 0).count() as u64 & !63
        })
    }

    fn leading_same(&self, a: u64, b: u64, len: u64) -> u64 {
        let memory = self.lock();
        let usable = |at| memory.usable(at, len as usize);
        let (Ok(a), Ok(b)) = (usable(a), usable(b)) else {
            return 0;
        };
        let pairs = memory.bytes[a].iter().zip(&memory.bytes[b]);
        pairs.take_while(|(a, b)| a == b).count() as u64 & !63
    }

    fn load_u32(&self, address: u64) -> Result<u32, Fault> {
        self.word(address)
    }

    fn store_u32(&self, address: u64, value: u32) -> Result<(), Fault> {
        self.copy_out(address, &value.to_le_bytes())
    }

    fn compare_exchange_u32(&self, address: u64, current: u32, new: u32) -> Result<u32, Fault> {
        let mut memory = self.lock();
        let range = memory.usable(address, 4)?;
        let word: [u8; 4] = memory.bytes[range.clone()].try_into().expect("four bytes");
        let found = u32::from_le_bytes(word);
        if found == current {
            memory.bytes[range].copy_from_slice(&new.to_le_bytes());
        }
        Ok(found)
    }

    fn commit(&self, address: u64, len: u64, _prot: Prot) -> Result<(), NoMemory> {
        let mut memory = self.lock();
        let pages = Memory::pages(address, len);
        memory.take(pages.clone())?;
        let page_bytes = PAGE_SIZE as usize;
        memory.bytes[pages.start * page_bytes..pages.end * page_bytes].fill(0);
        Ok(())
    }

    fn commit_to_fill(&self, address: u64, len: u64) -> Result<(), NoMemory> {
        self.commit(address, len, Prot::READ | Prot::WRITE)?;
        let filled = self.fill(address, len, 0xa5);
        filled.map_err(|_| NoMemory)
    }

    fn protect(&self, address: u64, len: u64, _prot: Prot) -> Result<(), NoMemory> {
        assert!(
            self.lock().usable(address, len as usize).is_ok(),
            "only committed pages"
        );
        Ok(())
    }

    fn keeps_retired(&self) -> bool {
        true
    }

    fn recommit(&self, address: u64, len: u64, _prot: Prot) -> Result<(), NoMemory> {
        self.lock().take(Memory::pages(address, len))
    }

    fn decommit(&self, address: u64, len: u64) {
        let pages = Memory::pages(address, len).len();
        self.closed_pages.fetch_add(pages, Ordering::Relaxed);
        self.retire(address, len);
    }

    fn retire(&self, address: u64, len: u64) {
        let mut memory = self.lock();
        let pages = Memory::pages(address, len);
        memory.pages_left += pages.len();
        for page in pages {
            assert!(memory.committed[page], "page {page} is not committed");
            memory.committed[page] = false;
        }
    }

    fn host_read(&self, _fd: u32, buf: &mut [u8]) -> Result<usize, Errno> {
        if let Some(lie) = self.lie(|liar| liar.read(buf)) {
            return lie;
        }
        let mut input = self.input.lock().expect("not poisoned");
        let count = buf.len().min(input.len());
        for (to, from) in buf.iter_mut().zip(input.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    /// Takes at most three bytes at a time, as a slow pipe might.
    fn host_write(&self, _fd: u32, buf: &[u8]) -> Result<usize, Errno> {
        if let Some(lie) = self.lie(|liar| liar.length(buf.len())) {
            return lie;
        }
        let taken = &buf[..buf.len().min(3)];
        self.output.lock().expect("not poisoned").extend(taken);
        Ok(taken.len())
    }

    fn host_poll(&self, fds: &mut [HostPoll], _timeout: Option<Duration>) -> Result<usize, Errno> {
        if let Some(lie) = self.lie(|liar| liar.poll(fds)) {
            return lie;
        }
        if fds.len() > 256 {
            return Err(Errno::EINVAL);
        }
        for fd in fds.iter_mut() {
            fd.ready = fd.events;
        }
        Ok(fds.len())
    }

    fn host_tty_size(&self, _fd: u32) -> Result<WindowSize, Errno> {
        self.lie(Liar::window_size).unwrap_or(Err(Errno::ENOTTY))
    }

    fn host_files(&self) -> &'static dyn hal::HostFiles {
        unimplemented!("no test of the kernel mounts a directory of the host")
    }

    fn host_tty_settings(&self, _fd: u32) -> Result<TerminalSettings, Errno> {
        self.lie(Liar::settings).unwrap_or(Err(Errno::ENOTTY))
    }

    fn set_host_tty_settings(
        &self,
        _fd: u32,
        _settings: &TerminalSettings,
        _when: SettingsTime,
    ) -> Result<(), Errno> {
        self.lie(|liar| liar.length(0).map(drop))
            .unwrap_or(Err(Errno::ENOTTY))
    }

    fn host_tty_request(
        &self,
        _fd: u32,
        request: TerminalRequest,
        _argument: u32,
    ) -> Result<u32, Errno> {
        self.lie(|liar| liar.request(request))
            .unwrap_or(Err(Errno::ENOTTY))
    }

    fn read_image(&self, _index: u32, _offset: u64, _buf: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EIO)
    }

    fn clock(&self, clock: Clock) -> Timespec {
        if let Some(lie) = self.lie(|liar| liar.clock(clock)) {
            return lie.into();
        }
        (Duration::from_secs(1000) + self.start.elapsed()).into()
    }

    fn processor_time(&self, _thread: u32) -> Duration {
        if let Some(lie) = self.lie(Liar::processor_time) {
            return lie;
        }
        self.start.elapsed()
    }

    fn random(&self, out: &mut [u8]) {
        out.fill(0x5a);
    }

    fn cpu_count(&self) -> u32 {
        2
    }

    fn cpuid(&self, _leaf: u32, _subleaf: u32) -> [u32; 4] {
        [0; 4]
    }

    fn spawn_thread(&self, token: u64) -> Result<(), Errno> {
        if self.refuses_threads.load(Ordering::Relaxed) {
            return Err(Errno::EAGAIN);
        }
        self.spawned.lock().expect("not poisoned").push(token);
        Ok(())
    }

    fn spawn_keeper(&self) -> Result<(), Errno> {
        self.keepers.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn keep_host_signals(&self, _set: u64) {}

    fn take_host_signals(&self) -> u64 {
        if let Some(lie) = self.lie(Liar::number) {
            return lie;
        }
        self.host_signals.swap(0, Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stops.fetch_add(1, Ordering::Relaxed);
    }

    fn this_thread(&self) -> u32 {
        NUMBER.get()
    }

    fn yield_now(&self) {
        std::thread::yield_now();
    }

    fn park(&self, deadline: Option<Duration>) {
        if self.lie(|_| ()).is_some() {
            return;
        }
        let (permit, condition) = &self.permits[self.this_thread() as usize];
        let mut permit = permit.lock().expect("not poisoned");
        while !*permit {
            let now = Duration::from(self.clock(Clock::Monotonic));
            match deadline.map(|deadline| deadline.saturating_sub(now)) {
                Some(Duration::ZERO) => return,
                Some(left) => {
                    permit = condition
                        .wait_timeout(permit, left)
                        .expect("not poisoned")
                        .0
                }
                None => permit = condition.wait(permit).expect("not poisoned"),
            }
        }
        *permit = false;
    }

    fn unpark(&self, thread: u32) {
        if let Some((permit, condition)) = self.permits.get(thread as usize) {
            *permit.lock().expect("not poisoned") = true;
            condition.notify_one();
        }
    }

    fn answers_version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn give_answers(&self, version: u64, answers: &[(u16, u32)]) {
        *self.answers.lock().expect("not poisoned") = Some((version, answers.to_vec()));
    }

    fn take_answers(&self) {
        *self.answers.lock().expect("not poisoned") = None;
    }

    fn forget_answers(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    fn serve_clock(&self, number: u64) {
        *self.clock_call.lock().expect("not poisoned") = Some(number);
    }

    fn interrupt(&self, thread: u32) {
        self.unpark(thread);
    }

    fn xstate_size(&self) -> usize {
        XSTATE_BYTES
    }

    fn xstate_features(&self) -> u64 {
        XSTATE_FEATURES
    }

    fn save_xstate(&self, out: &mut [u8]) -> usize {
        let state = self.xstate.lock().expect("not poisoned");
        out[..XSTATE_BYTES].copy_from_slice(&*state);
        XSTATE_BYTES
    }

    fn restore_xstate(&self, area: &[u8]) -> Result<(), Fault> {
        let state = area.try_into().map_err(|_| Fault { address: 0 })?;
        *self.xstate.lock().expect("not poisoned") = state;
        Ok(())
    }

    fn has_heap_room(&self, bytes: usize) -> bool {
        let drain = self.heap_drain.load(Ordering::Relaxed);
        bytes <= self.heap_left.fetch_sub(drain, Ordering::Relaxed)
    }

    fn syscall_entry(&self) -> u64 {
        0x300_0000
    }

    fn cpuid_entry(&self) -> u64 {
        0x300_1000
    }

    fn listens(&self, level: LogLevel) -> bool {
        level <= LogLevel::Info
            || level == LogLevel::Mapping && self.mappings.lock().expect("not poisoned").is_some()
            || level == LogLevel::Trace && self.is_traced.load(Ordering::Relaxed)
    }

    fn log(&self, level: LogLevel, line: &str) {
        if level == LogLevel::Mapping {
            let mut mappings = self.mappings.lock().expect("not poisoned");
            return mappings.get_or_insert_default().push(line.into());
        }
        self.lines.lock().expect("not poisoned").push(line.into());
    }
}
