//! Which thread of a program runs on which enclave thread.
//!
//! A thread of a program keeps its enclave thread while it runs and in most waits. It gives it up
//! when it ends, when it waits for a child, and while a child borrows its memory; the enclave
//! thread then takes the next one that is ready, or rests until there is one. So a parent that
//! waits and its child need one enclave thread between them and no help of the host.
//!
//! To have the host wake an enclave thread costs as much as a short program takes. So whoever is
//! about to be free takes over what it makes ready; and a parent whose child has only just begun to
//! run is *patient*: the enclave thread of the child may be free in a moment. An enclave thread that
//! has nothing else to do keeps *watch*, and takes those whose moment is over.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use hal::{Clock, Errno, Machine};
use locks::{Mutex, MutexGuard};

use crate::libos::Task;

/// How often the watch looks. What can wait does so for at most twice as long.
const WATCH_PERIOD: Duration = Duration::from_micros(100);
/// After so many looks at nothing the watch ends.
const IDLE_LOOKS_MAX: u32 = 20;

/// Ready threads of programs, and enclave threads that rest.
pub(crate) struct Scheduler {
    /// Enclave threads that there can be, and threads of programs: each can always run.
    limit: u32,
    /// How many enclave threads may rest; others leave the enclave.
    resting_limit: u32,
    state: Mutex<State>,
    /// How many are patient.
    patient_count: AtomicUsize,
}

struct State {
    /// Those for each of which an enclave thread is on its way.
    ready: VecDeque<Task>,
    /// Those that wait for a moment, and whether the watch has seen them.
    patient: VecDeque<(Task, bool)>,
    resting: Vec<u32>,
    /// Enclave threads that will soon be free, and whether they have made somebody ready.
    leaving: Vec<(u32, bool)>,
    watch: Watch,
    /// Enclave threads that are inside or on their way.
    enclave_threads: u32,
    /// Threads of programs.
    tasks: u32,
}

/// Who looks after the patient ones.
#[derive(Default)]
struct Watch {
    /// The enclave thread that does.
    keeper: Option<u32>,
    /// Whether one is on its way to do so.
    is_called: bool,
    /// Whether it is worth while: there were patient ones a short time ago.
    is_worth: bool,
    /// Whether there was one since the watch last looked.
    was_needed: bool,
    /// How often in a row there was none.
    idle_looks: u32,
}

/// What an enclave thread does that has asked for work.
enum Step {
    Take(Task),
    /// Sleep until there is something; or look again after a while.
    Rest,
    Watch,
    /// Enough others rest.
    Leave,
}

impl Scheduler {
    /// One enclave thread runs; there can be `limit`, of which `resting_limit` may rest.
    pub(crate) fn new(limit: u32, resting_limit: u32) -> Self {
        Self {
            limit,
            resting_limit,
            state: Mutex::new(State {
                ready: VecDeque::new(),
                patient: VecDeque::new(),
                resting: Vec::new(),
                leaving: Vec::new(),
                watch: Watch::default(),
                enclave_threads: 1,
                tasks: 0,
            }),
            patient_count: AtomicUsize::new(0),
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

    /// A thread can go on: wakes or starts an enclave thread for it, unless the calling one will
    /// soon be free.
    pub(crate) fn make_ready(&self, machine: &dyn Machine, task: Task) {
        let mut state = self.state.lock();
        state.ready.push_back(task);
        if state.is_for_caller(machine.this_thread()) {
            return;
        }
        let free = state.take_idle();
        self.call(machine, state, free);
    }

    /// A thread can go on, but can wait for the calling enclave thread, if that is free in a moment.
    pub(crate) fn make_patient(&self, machine: &dyn Machine, task: Task) {
        let mut state = self.state.lock();
        state.patient.push_back((task, false));
        state.watch.is_worth = true;
        state.watch.was_needed = true;
        self.have_watch(machine, state);
    }

    /// The calling enclave thread is about to sleep: it is not free in a moment.
    pub(crate) fn end_patience(&self, machine: &dyn Machine) {
        while self.patient_count.load(Ordering::Relaxed) > 0 {
            let mut state = self.state.lock();
            let Some((task, _)) = state.patient.pop_front() else {
                return;
            };
            state.ready.push_back(task);
            let free = state.take_idle();
            self.call(machine, state, free);
        }
    }

    /// The calling enclave thread will soon ask for the [next](Self::next) thread, whatever happens.
    pub(crate) fn begin_leaving(&self, machine: &dyn Machine) {
        let number = machine.this_thread();
        self.state.lock().leaving.push((number, false));
    }

    /// The next ready thread, for the enclave thread that calls; waits until there is one. `None`
    /// when enough others rest.
    pub(crate) fn next(&self, machine: &dyn Machine) -> Option<Task> {
        let number = machine.this_thread();
        loop {
            let mut state = self.state.lock();
            let step = state.step(number, self.resting_limit);
            self.have_watch(machine, state);
            match step {
                Step::Take(task) => return Some(task),
                Step::Leave => return None,
                Step::Rest => machine.park(None),
                Step::Watch => {
                    let now: Duration = machine.clock(Clock::Monotonic).into();
                    machine.park(Some(now + WATCH_PERIOD));
                }
            }
        }
    }

    /// Has somebody keep watch if there are patient ones and nobody does.
    fn have_watch(&self, machine: &dyn Machine, mut state: MutexGuard<'_, State>) {
        let count = state.patient.len();
        self.patient_count.store(count, Ordering::Relaxed);
        let watch = &mut state.watch;
        if count > 0 && watch.keeper.is_none() && !watch.is_called {
            watch.is_called = true;
            let free = state.resting.pop();
            self.call(machine, state, free);
        }
    }

    /// Wakes an enclave thread that has nothing to do, or starts one. If there can be no more,
    /// whoever becomes free next takes what is there.
    fn call(&self, machine: &dyn Machine, mut state: MutexGuard<'_, State>, idle: Option<u32>) {
        self.patient_count
            .store(state.patient.len(), Ordering::Relaxed);
        if let Some(number) = idle {
            drop(state);
            machine.unpark(number);
        } else if state.enclave_threads < self.limit {
            state.enclave_threads += 1;
            drop(state);
            if machine.spawn_thread(0).is_err() {
                let mut state = self.state.lock();
                state.enclave_threads -= 1;
                state.watch.is_called = false;
            }
        } else {
            state.watch.is_called = false;
        }
    }
}

impl State {
    /// Whether the calling enclave thread will take what it has just made ready.
    fn is_for_caller(&mut self, number: u32) -> bool {
        let mut leaving = self.leaving.iter_mut();
        let own = leaving.find(|(leaving, has_made)| *leaving == number && !has_made);
        own.map(|(_, has_made)| *has_made = true).is_some()
    }

    /// An enclave thread that has nothing to do, which is now to look.
    fn take_idle(&mut self) -> Option<u32> {
        self.resting.pop().or_else(|| self.watch.keeper.take())
    }

    /// What enclave thread `number` does that has nothing to do.
    fn step(&mut self, number: u32, resting_limit: u32) -> Step {
        let watches = self.watch.keeper == Some(number);
        self.resting.retain(|&resting| resting != number);
        self.leaving.retain(|(leaving, _)| *leaving != number);
        if let Some(task) = self.take(watches) {
            if watches {
                self.watch.keeper = None;
            }
            self.watch.is_called = false;
            return Step::Take(task);
        }
        if self.watches(number) {
            return Step::Watch;
        }
        if self.resting.len() as u32 >= resting_limit {
            self.enclave_threads -= 1;
            return Step::Leave;
        }
        self.resting.push(number);
        Step::Rest
    }

    /// Something to do. The watch leaves alone what it sees for the first time.
    fn take(&mut self, watches: bool) -> Option<Task> {
        if let Some(task) = self.ready.pop_front() {
            return Some(task);
        }
        if watches && self.patient.front().is_some_and(|(_, is_seen)| !is_seen) {
            for (_, is_seen) in &mut self.patient {
                *is_seen = true;
            }
            return None;
        }
        self.patient.pop_front().map(|(task, _)| task)
    }

    /// Whether the enclave thread is to keep watch, if it already did or nobody does.
    fn watches(&mut self, number: u32) -> bool {
        let watch = &mut self.watch;
        if !watch.is_worth || watch.keeper.is_some_and(|keeper| keeper != number) {
            return false;
        }
        let is_idle = !core::mem::take(&mut watch.was_needed) && self.patient.is_empty();
        watch.idle_looks = if is_idle { watch.idle_looks + 1 } else { 0 };
        watch.is_worth = watch.idle_looks <= IDLE_LOOKS_MAX;
        watch.keeper = watch.is_worth.then_some(number);
        watch.is_called = false;
        watch.is_worth
    }
}
