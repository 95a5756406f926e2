//! Taking turns with the memory: see [`Gang`](crate::memory::Gang).

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::{LogLevel, Prot};

use super::Thread;
use crate::Libos;
use crate::libos::Task;
use crate::memory::{AddressSpace, Entry, Gang, PageFault};
use crate::processes::{EndStatus, Process};
use crate::signals::Signal;

impl Libos {
    /// Waits until the thread holds the memory of its process, also if it is only to end: it leaves
    /// its last words there. If its pages cannot be put back, its process is killed, and no access
    /// of it reaches a page any more.
    pub(crate) fn take_memory(
        &self,
        process: &Process,
        thread: &Arc<Thread>,
        memory: &AddressSpace,
    ) {
        if thread.holds_memory() {
            return;
        }
        let gang = memory.gang();
        loop {
            match gang.enter(memory, thread) {
                Entry::Held(others) => {
                    thread.set_holds_memory(true);
                    memory.give_up_cut();
                    for other in others {
                        self.wake(&other);
                    }
                    return;
                }
                Entry::Wait(until, runners) => {
                    for runner in runners {
                        self.interrupt(&runner);
                    }
                    self.machine.park(Some(until));
                }
                Entry::NoMemory => {
                    if !process.survivors.is_over_for(thread.tid()) {
                        self.starve(process);
                    }
                    self.wake_next(gang.give_up(thread));
                    return;
                }
            }
        }
    }

    /// The thread does not need the memory for a while.
    pub(crate) fn release_memory(&self, thread: &Arc<Thread>, memory: &AddressSpace) {
        if thread.set_holds_memory(false) {
            self.wake_next(memory.gang().leave(thread));
        }
    }

    /// Lets others have the memory if they have waited long enough.
    pub(crate) fn make_way(&self, task: &Task) {
        let is_over = (task.process.survivors).is_over_for(task.thread.tid());
        if task.memory.gang().must_yield() && !is_over {
            self.release_memory(&task.thread, &task.memory);
            self.take_memory(&task.process, &task.thread, &task.memory);
        }
    }

    /// Waits until no other thread runs in the memory of the calling one; whether that is so. If
    /// not, the thread is to end.
    pub(crate) fn run_alone(&self, task: &Task) -> bool {
        while !self.stop(task, task.memory.gang()) {
            if task.process.survivors.is_over_for(task.thread.tid()) {
                self.let_others_run(task);
                return false;
            }
            // Another thread was first: this one stops for it.
            self.release_memory(&task.thread, &task.memory);
            self.take_memory(&task.process, &task.thread, &task.memory);
        }
        true
    }

    /// The thread needs to be alone no more.
    pub(crate) fn let_others_run(&self, task: &Task) {
        self.let_go_on(task, task.memory.gang());
    }

    fn let_go_on(&self, task: &Task, gang: &Gang) {
        for waiting in gang.let_others_go_on(&task.thread) {
            self.wake(&waiting);
        }
    }

    /// Serves a page fault of a thread, which is alone meanwhile where others could see the page before
    /// its content is there. `None` if the thread is to end.
    ///
    /// Where pages have no permissions of their own, what the kernel writes to is open to the program: a
    /// store of another thread would be lost, as the content comes after it.
    pub(crate) fn serve_fault(&self, task: &Task, address: u64, access: Prot) -> Option<PageFault> {
        let memory = &task.memory;
        let fault = memory.fault_in(address, access, &[]);
        if fault != PageFault::Watched {
            return Some(fault);
        }
        if !memory.shared_memory().begin_move() {
            // Whoever moves a page may have to stop this thread; then it looks again.
            self.step_aside(task);
            return Some(fault);
        }
        let mut stopped = Vec::new();
        let watchers = memory.watchers(address);
        let are_stopped = watchers.iter().all(|gang| {
            stopped.push(gang);
            self.stop(task, gang)
        });
        let fault = if are_stopped {
            let watchers: Vec<u64> = stopped.iter().flat_map(|gang| gang.members()).collect();
            memory.fault_in(address, access, &watchers)
        } else {
            PageFault::Watched
        };
        for gang in stopped {
            self.let_go_on(task, gang);
        }
        memory.shared_memory().end_move();
        if task.process.survivors.is_over_for(task.thread.tid()) {
            return None;
        }
        if !are_stopped {
            self.step_aside(task);
        }
        Some(fault)
    }

    /// Waits until no thread of a gang but the calling one runs; whether that is so. If not, another
    /// is to be alone there, or the thread is to end.
    fn stop(&self, task: &Task, gang: &Gang) -> bool {
        while !task.process.survivors.is_over_for(task.thread.tid()) {
            match gang.stop_others(&task.thread) {
                Some(others) if others.is_empty() => return true,
                Some(others) => {
                    for other in others {
                        self.interrupt(&other);
                    }
                    let patience = core::time::Duration::from_millis(10);
                    self.machine.park(Some(self.now() + patience));
                }
                None => return false,
            }
        }
        false
    }

    /// Lets a thread that wants to be alone have the memory for a moment.
    fn step_aside(&self, task: &Task) {
        let patience = core::time::Duration::from_micros(100);
        self.release_memory(&task.thread, &task.memory);
        self.machine.park(Some(self.now() + patience));
        self.take_memory(&task.process, &task.thread, &task.memory);
    }

    /// Lets a thread look again whether it can have the memory.
    pub(crate) fn wake_next(&self, next: Option<Arc<Thread>>) {
        if let Some(next) = next {
            self.wake(&next);
        }
    }

    fn starve(&self, process: &Process) {
        self.machine.log(
            LogLevel::Error,
            &format!(
                "process {} is killed: there is no memory to put its pages back; a larger \
                 `resource_limits.user_space_size` in Occlum.yaml would do",
                process.pid
            ),
        );
        self.kill_process(process, EndStatus::Killed(Signal::KILL));
    }
}
