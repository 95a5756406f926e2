//! Which thread of a program runs on which enclave thread.
//!
//! A thread of a program keeps its enclave thread while it runs and in most waits. It gives it up
//! when it ends, when it waits for a child, and while a child borrows its memory; the enclave
//! thread then takes the next one that is ready, or rests until there is one. So a parent that
//! waits and its child need one enclave thread between them and no help of the host.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hal::{Errno, Machine};
use locks::Mutex;

use crate::libos::Task;

/// Ready threads of programs, and enclave threads that rest.
pub(crate) struct Scheduler {
    /// Enclave threads that there can be, and threads of programs: each can always run.
    limit: u32,
    /// How many enclave threads may rest; others leave the enclave.
    resting_limit: u32,
    state: Mutex<State>,
}

struct State {
    ready: VecDeque<Task>,
    resting: Vec<u32>,
    /// Enclave threads that are inside or on their way.
    enclave_threads: u32,
    /// Threads of programs.
    tasks: u32,
}

impl Scheduler {
    /// One enclave thread runs; there can be `limit`, of which `resting_limit` may rest.
    pub(crate) const fn new(limit: u32, resting_limit: u32) -> Self {
        Self {
            limit,
            resting_limit,
            state: Mutex::new(State {
                ready: VecDeque::new(),
                resting: Vec::new(),
                enclave_threads: 1,
                tasks: 0,
            }),
        }
    }

    /// Counts one more thread of a program. `EAGAIN` when there is no enclave thread for it.
    pub(crate) fn admit(&self) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.tasks >= self.limit {
            return Err(Errno::EAGAIN);
        }
        state.tasks += 1;
        Ok(())
    }

    /// Counts one less.
    pub(crate) fn dismiss(&self) {
        self.state.lock().tasks -= 1;
    }

    /// A thread can go on: wakes or starts an enclave thread for it.
    pub(crate) fn make_ready(&self, machine: &dyn Machine, task: Task) {
        let mut state = self.state.lock();
        state.ready.push_back(task);
        if let Some(number) = state.resting.pop() {
            drop(state);
            machine.unpark(number);
        } else if state.enclave_threads < self.limit {
            state.enclave_threads += 1;
            drop(state);
            if machine.spawn_thread(0).is_err() {
                // The host gives none: whoever becomes free next takes the thread.
                self.state.lock().enclave_threads -= 1;
            }
        }
    }

    /// The next ready thread, for the enclave thread that calls; waits until there is one. `None`
    /// when enough others rest.
    pub(crate) fn next(&self, machine: &dyn Machine) -> Option<Task> {
        let number = machine.this_thread();
        loop {
            let mut state = self.state.lock();
            let next = state.ready.pop_front();
            state.resting.retain(|&resting| resting != number);
            if let Some(task) = next {
                return Some(task);
            }
            if state.resting.len() as u32 >= self.resting_limit {
                state.enclave_threads -= 1;
                return None;
            }
            state.resting.push(number);
            drop(state);
            machine.park(None);
        }
    }
}
