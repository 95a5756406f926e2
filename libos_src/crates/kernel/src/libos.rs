//! The kernel as a whole.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use config::Config;
use hal::{
    Clock, Errno, ExceptionInfo, HostStart, Kernel, LogLevel, Machine, Next, StartError, UserRegs,
};
use locks::{Mutex, Once, RwLock};
use procfs::Number;
use tmpfs::TmpFs;
use vfs::Watchers;

use crate::files::{FileLocks, Inotifies, Leases, MessageQueues};
use crate::memory::{AddressSpace, Foundation};
use crate::processes::{Places, Process, ProcessTable};
use crate::settings::Settings;
use crate::signals::{self, Outbox, SignalRooms};
use crate::sockets::Sockets;
use crate::syscalls::{self, Call, SystemV};
use crate::terminals::Terminals;
use crate::threads::{Context, Futexes, OwnedFutexes, Resume, Scheduler, Thread};
use crate::timers::Timers;

/// The LibOS of one enclave.
pub struct Libos {
    pub(crate) machine: &'static dyn Machine,
    pub(crate) config: Config,
    pub(crate) futexes: Futexes,
    /// Those that have an owner.
    pub(crate) owned_futexes: OwnedFutexes,
    pub(crate) file_locks: Arc<FileLocks>,
    pub(crate) system_v: Arc<SystemV>,
    pub(crate) message_queues: MessageQueues,
    pub(crate) settings: Arc<Settings>,
    pub(crate) inotifies: Arc<Inotifies>,
    pub(crate) leases: Arc<Leases>,
    memory_files: Once<Arc<TmpFs>>,
    pub(crate) processes: Arc<ProcessTable>,
    pub(crate) scheduler: Scheduler,
    pub(crate) timers: Arc<Timers>,
    /// How many signals wait.
    pub(crate) signal_rooms: Arc<SignalRooms>,
    pub(crate) terminals: Arc<Terminals>,
    /// Who reads signals by `signalfd`: a descriptor shows each process its own, so all are told.
    pub(crate) signal_watchers: Arc<Watchers>,
    /// Signals that files have raised.
    pub(crate) outbox: Arc<Outbox>,
    /// What address spaces are made from, once the first process is there.
    pub(crate) foundation: Once<Foundation>,
    /// Who runs on each enclave thread. Only that thread changes its slot.
    slots: Arc<Slots>,
    pub(crate) sockets: Arc<Sockets>,
    reported: Mutex<BTreeSet<u64>>,
    /// What the next file without a path is numbered, as `/proc` shows it.
    next_inode: AtomicU64,
}

/// Who runs on each enclave thread.
pub(crate) struct Slots(Box<[Slot]>);

/// One enclave thread.
#[derive(Default)]
struct Slot {
    task: RwLock<Option<Task>>,
    /// The processor time, in nanoseconds, at which the last one left it: the next one comes at the
    /// same. 0 when that is not known.
    left_at: AtomicU64,
}

/// A thread, the process that it belongs to, the memory that it runs in and what it has open.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) process: Arc<Process>,
    pub(crate) thread: Arc<Thread>,
    pub(crate) memory: Arc<AddressSpace>,
    pub(crate) places: Places,
}

/// What an enclave thread does after it has served a thread of a program.
pub(crate) enum Then {
    /// The program goes on.
    Return,
    /// The thread has ended.
    EndThread,
    /// The first process has ended, with this status, and everything else with it.
    EndEnclave(i32),
    /// The thread waits; it goes on as said once it is woken.
    Suspend(Resume),
    /// The thread waits, and its child runs at once: it borrows the memory, or is a copy that has
    /// the same addresses.
    Lend(Task, Resume),
    /// The thread runs another program, in this memory.
    Replace(Arc<AddressSpace>),
    /// The thread goes on with other descriptors, or in another place.
    Move,
}

/// What an enclave thread is to do for the thread that it has.
enum Work {
    Call,
    Exception(ExceptionInfo),
    Interruption,
    Resume(Resume),
}

/// Above all numbers of Linux's system calls.
const NUMBERS_END: u64 = 1024;

impl Task {
    /// A thread of a process.
    pub(crate) fn new(process: Arc<Process>, thread: Arc<Thread>) -> Self {
        Self {
            memory: process.memory(),
            places: places_of(&process, &thread),
            process,
            thread,
        }
    }
}

fn places_of(process: &Process, thread: &Thread) -> Places {
    thread.own_places().unwrap_or_else(|| process.places())
}

impl Slots {
    fn new(count: u32) -> Arc<Self> {
        Arc::new(Self((0..count).map(|_| Slot::default()).collect()))
    }

    fn of(&self, number: u32) -> &Slot {
        // The machine promises a number below the number of TCSs: `threads.max`, and the keeper's.
        &self.0[number as usize]
    }

    /// The process that runs on an enclave thread.
    pub(crate) fn process(&self, number: u32) -> Option<Arc<Process>> {
        let slot = self.of(number).task.read();
        slot.as_ref().map(|task| task.process.clone())
    }

    /// The process and the thread that run on an enclave thread.
    pub(crate) fn process_and_thread(&self, number: u32) -> Option<(Arc<Process>, Arc<Thread>)> {
        let slot = self.of(number).task.read();
        slot.as_ref()
            .map(|task| (task.process.clone(), task.thread.clone()))
    }

    /// What the thread that runs on an enclave thread has open, and where it stands.
    pub(crate) fn places(&self, number: u32) -> Option<Places> {
        let slot = self.of(number).task.read();
        slot.as_ref().map(|task| task.places.clone())
    }

    /// The id of the thread that runs on an enclave thread.
    pub(crate) fn thread(&self, number: u32) -> Option<u32> {
        let slot = self.of(number).task.read();
        slot.as_ref().map(|task| task.thread.tid())
    }
}

impl Libos {
    /// A kernel that has no process yet; [`Kernel::start`] makes it.
    #[must_use]
    pub fn new(machine: &'static dyn Machine, config: Config) -> Self {
        let outbox = Arc::<Outbox>::default();
        let settings = Arc::<Settings>::default();
        Self {
            machine,
            futexes: Futexes::new(),
            owned_futexes: OwnedFutexes::new(),
            file_locks: Arc::default(),
            system_v: Arc::default(),
            message_queues: MessageQueues::default(),
            inotifies: Inotifies::new(settings.clone()),
            leases: Leases::new(settings.clone()),
            memory_files: Once::new(),
            processes: ProcessTable::new(settings.get(Number::ProcessIds)),
            settings,
            scheduler: Scheduler::new(config.threads.max, config.threads.max),
            timers: Arc::default(),
            signal_rooms: Arc::default(),
            signal_watchers: Arc::default(),
            terminals: Terminals::new(outbox.clone()),
            outbox,
            foundation: Once::new(),
            // One enclave thread is the keeper's.
            slots: Slots::new(config.threads.max.saturating_add(1)),
            sockets: Sockets::new(machine),
            reported: Mutex::new(BTreeSet::new()),
            next_inode: AtomicU64::new(1),
            config,
        }
    }

    /// A number for a file without a path.
    pub(crate) fn next_inode(&self) -> u64 {
        self.next_inode.fetch_add(1, Ordering::Relaxed)
    }

    /// Who runs where.
    pub(crate) const fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    /// Puts a task on the enclave thread that calls; returns how it goes on.
    pub(crate) fn occupy(&self, task: Task) -> Box<Context> {
        let number = self.machine.this_thread();
        let context = task.thread.begin(number);
        let now = match self.slots.of(number).left_at.swap(0, Ordering::Relaxed) {
            0 => self.machine.processor_time(number),
            left_at => Duration::from_nanos(left_at),
        };
        task.thread.processor_time.lock().start(now);
        self.machine.take_answers();
        *self.slot().write() = Some(task);
        // A thread that has no context was never suspended: only a defect of ours makes it ready.
        context.unwrap_or_else(|| Box::new(Context::beginning(UserRegs::default())))
    }

    /// The time since some fixed moment.
    pub(crate) fn now(&self) -> Duration {
        self.machine.clock(Clock::Monotonic).into()
    }

    /// Lets a thread look again at what it waits for.
    pub(crate) fn wake(&self, thread: &Arc<Thread>) {
        self.wake_by(thread, |number| self.machine.unpark(number));
    }

    /// The same, for one that can wait until the calling enclave thread is free, if that is soon.
    pub(crate) fn wake_patiently(&self, thread: &Arc<Thread>) {
        if thread.notify()
            && let Some(process) = self.processes.of_thread(thread.tid())
        {
            let task = Task::new(process, thread.clone());
            self.scheduler.make_patient(self.machine, task);
        }
    }

    /// Gives a thread an enclave thread, or tells the one that it has.
    fn wake_by(&self, thread: &Arc<Thread>, tell: impl FnOnce(u32)) {
        thread.set_asleep(false);
        if !thread.notify() {
            tell(thread.number());
        } else if let Some(process) = self.processes.of_thread(thread.tid()) {
            let task = Task::new(process, thread.clone());
            self.scheduler.make_ready(self.machine, task);
        }
    }

    /// Lets a thread look at its signals, and at whether it is to end, also in the middle of its
    /// program.
    pub(crate) fn interrupt(&self, thread: &Arc<Thread>) {
        thread.look_at_signals();
        self.wake_by(thread, |number| self.machine.interrupt(number));
    }

    /// Where files are kept that no directory has.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub(crate) fn memory_files(&self) -> Result<&Arc<TmpFs>, Errno> {
        let size_bytes = self.default_tmpfs_bytes();
        self.memory_files
            .try_call_once(|| self.tmpfs(size_bytes, 0o700))
    }

    /// The size of a file system in memory that nobody gave one: a quarter of the kernel's heap.
    pub(crate) fn default_tmpfs_bytes(&self) -> u64 {
        self.heap_bytes() / 4
    }

    /// The size of the kernel's heap.
    pub(crate) fn heap_bytes(&self) -> u64 {
        const UNKNOWN_HEAP_BYTES: u64 = 32 << 20;
        let heap = self.config.memory.kernel_heap_size_bytes;
        heap.unwrap_or(UNKNOWN_HEAP_BYTES)
    }

    /// Logs a line about system call `number`, once for each number.
    pub(crate) fn report_once(&self, number: u64, reason: &str) {
        // All numbers that Linux does not have count as one: a program may try every one.
        let counted = number.min(NUMBERS_END);
        if !self.reported.lock().insert(counted) {
            return;
        }
        let name = syscalls::name_of(number).unwrap_or("unknown");
        self.machine.log(
            LogLevel::Warning,
            &format!("system call {number} ({name}): {reason}"),
        );
    }

    fn slot(&self) -> &RwLock<Option<Task>> {
        &self.slots.of(self.machine.this_thread()).task
    }

    /// Serves the thread on the enclave thread that calls, and those that follow it there, until
    /// one goes on with its program.
    fn serve(&self, regs: &mut UserRegs, mut work: Work) -> Next {
        loop {
            let occupied = self.slot().read();
            let Some(task) = occupied.as_ref() else {
                // Only the runtime can get here, by entering a thread that the kernel never started.
                return Next::ExitThread;
            };
            if let Work::Resume(_) = &work {
                self.take_memory(&task.process, &task.thread, &task.memory);
            }
            let call = Call {
                libos: self,
                task,
                process: &task.process,
                thread: &task.thread,
                regs,
                then: None,
            };
            let then = match work {
                Work::Call => call.serve(),
                Work::Exception(info)
                    if syscalls::vsyscall::becomes_call(&task.memory, call.regs, &info) =>
                {
                    call.serve()
                }
                Work::Exception(info) => self.serve_exception(task, regs, info),
                Work::Interruption => self.serve_interruption(task, regs),
                Work::Resume(Resume::Return) => self.deliver_signals(task, regs, None),
                Work::Resume(Resume::Call(number)) => call.again(number),
                Work::Resume(Resume::Vfork(vfork)) => call.after_vfork(vfork),
            };
            drop(occupied);
            work = match then {
                Then::Return => return Next::Return,
                Then::EndEnclave(status) => {
                    if let Some(foundation) = self.foundation.get() {
                        foundation.shared.write_back_all();
                    }
                    return Next::ExitProcess(status);
                }
                Then::EndThread => {
                    if let Some(task) = self.slot().write().take() {
                        self.release_memory(&task.thread, &task.memory);
                    }
                    match self.take_next(regs) {
                        Some(work) => work,
                        None => return Next::ExitThread,
                    }
                }
                Then::Suspend(resume) => match self.suspend(regs, resume) {
                    Some(work) => work,
                    None => return Next::ExitThread,
                },
                Then::Lend(child, resume) => self.lend(regs, child, resume),
                Then::Replace(memory) => {
                    if let Some(task) = self.slot().write().as_mut() {
                        task.memory = memory;
                        task.places = places_of(&task.process, &task.thread);
                    }
                    self.load_extended(None);
                    Work::Resume(Resume::Return)
                }
                Then::Move => {
                    if let Some(task) = self.slot().write().as_mut() {
                        task.places = places_of(&task.process, &task.thread);
                    }
                    Work::Resume(Resume::Return)
                }
            };
        }
    }

    /// Takes the next ready thread onto this enclave thread. `None` when it is not needed.
    fn take_next(&self, regs: &mut UserRegs) -> Option<Work> {
        let Some(next) = self.scheduler.next(self.machine) else {
            // Another thread of the host may come to be the enclave thread of this number.
            self.note_leaving(self.machine.this_thread(), Duration::ZERO);
            return None;
        };
        let context = self.occupy(next);
        *regs = context.regs;
        self.load_extended(context.extended.as_deref());
        Some(Work::Resume(context.resume))
    }

    /// The thread on this enclave thread gives way to the next one.
    fn suspend(&self, regs: &mut UserRegs, resume: Resume) -> Option<Work> {
        let Some(task) = self.slot().write().take() else {
            return Some(Work::Resume(resume));
        };
        self.release_memory(&task.thread, &task.memory);
        let context = self.save_context(regs, resume);
        self.leave_processor(&task.thread);
        match task.thread.suspend(context) {
            Ok(()) => self.take_next(regs),
            Err(context) => {
                // It was woken meanwhile.
                let number = task.thread.number();
                let now = self.machine.processor_time(number);
                task.thread.processor_time.lock().start(now);
                self.note_leaving(number, Duration::ZERO);
                *self.slot().write() = Some(task);
                Some(Work::Resume(context.resume))
            }
        }
    }

    /// The thread on this enclave thread gives way to its child, which has the same registers but
    /// for what its own context says.
    fn lend(&self, regs: &mut UserRegs, child: Task, resume: Resume) -> Work {
        let is_lent = matches!(resume, Resume::Vfork(_));
        let parent = self.slot().write().take();
        let mut context = self.save_context(regs, resume);
        if let Some(parent) = parent {
            self.leave_processor(&parent.thread);
            if parent.thread.set_holds_memory(false) {
                parent
                    .memory
                    .gang()
                    .hand_over(&parent.thread, &child.thread);
                child.thread.set_holds_memory(true);
            }
            // What else happens it looks at after its child has left its memory.
            while let Err(again) = parent.thread.suspend(context) {
                context = again;
            }
            let is_over = (parent.process.survivors).is_over_for(parent.thread.tid());
            if is_over {
                self.wake(&parent.thread);
            } else if !is_lent {
                self.wake_patiently(&parent.thread);
            }
        }
        *regs = self.occupy(child).regs;
        Work::Resume(Resume::Return)
    }

    /// A thread is about to give its enclave thread up.
    fn leave_processor(&self, thread: &Thread) {
        let number = thread.number();
        let now = self.machine.processor_time(number);
        thread.processor_time.lock().stop(now);
        self.note_leaving(number, now);
    }

    /// Nobody runs on an enclave thread from this processor time on.
    pub(crate) fn note_leaving(&self, number: u32, now: Duration) {
        let left_at = u64::try_from(now.as_nanos()).unwrap_or(0);
        self.slots
            .of(number)
            .left_at
            .store(left_at, Ordering::Relaxed);
    }

    fn save_context(&self, regs: &UserRegs, resume: Resume) -> Box<Context> {
        let mut extended = vec![0; self.machine.xstate_size()];
        let size = self.machine.save_xstate(&mut extended);
        extended.truncate(size);
        Box::new(Context {
            regs: *regs,
            extended: Some(extended),
            resume,
        })
    }

    /// Gives this enclave thread the extended state of a thread; `None` is the initial one.
    fn load_extended(&self, state: Option<&[u8]>) {
        let initial;
        let state = match state {
            Some(state) => state,
            None => {
                initial = signals::initial_state(self.machine);
                &initial
            }
        };
        // Both were made here, so the CPU takes them.
        let _ = self.machine.restore_xstate(state);
    }
}

impl Kernel for Libos {
    fn start(&self, host: HostStart) -> Result<UserRegs, StartError> {
        let task = self.boot(host)?;
        self.take_memory(&task.process, &task.thread, &task.memory);
        Ok(self.occupy(task).regs)
    }

    fn thread(&self, _token: u64, regs: &mut UserRegs) -> Next {
        match self.take_next(regs) {
            Some(work) => self.serve(regs, work),
            None => Next::ExitThread,
        }
    }

    fn keep(&self) -> ! {
        self.keep_timers_and_signals()
    }

    fn syscall(&self, regs: &mut UserRegs) -> Next {
        self.serve(regs, Work::Call)
    }

    fn trapped(&self, rip: u64) {
        let occupied = self.slot().read();
        if let Some(task) = occupied.as_ref()
            && task.process.thread_count() == 1
            && !task.memory.is_shared()
        {
            task.memory.search_at(rip);
        }
    }

    fn exception(&self, regs: &mut UserRegs, info: ExceptionInfo) -> Next {
        self.serve(regs, Work::Exception(info))
    }

    fn interrupted(&self, regs: &mut UserRegs) -> Next {
        self.serve(regs, Work::Interruption)
    }
}
