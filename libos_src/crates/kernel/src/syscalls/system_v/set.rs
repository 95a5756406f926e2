//! What a set of semaphores holds: values, and the operations that wait for them.
//!
//! Whoever changes a value does the operations of others that have become possible, in the order that
//! Linux has: those that wait for a zero, then those that change something, each kind by age. While an
//! operation of several semaphores waits, all of those that change something stand in one line; otherwise
//! each semaphore has a line of its own.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use hal::{Errno, Machine};
use locks::Mutex;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::threads::Sleeper;

/// The most that a semaphore holds, and that a process may have to give back (`SEMVMX`, `SEMAEM`).
pub(super) const VALUE_MAX: i32 = 32767;
const IPC_NOWAIT: i16 = 0o4000;
const SEM_UNDO: i16 = 0o10000;

/// `struct sembuf`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Operation {
    pub(super) number: u16,
    pub(super) change: i16,
    pub(super) flags: i16,
}

impl Operation {
    const fn is_undone(&self) -> bool {
        self.flags & SEM_UNDO != 0
    }

    fn semaphore(&self) -> usize {
        usize::from(self.number)
    }
}

#[derive(Clone, Copy, Default)]
pub(super) struct Semaphore {
    pub(super) value: i32,
    /// The process that changed it last.
    pub(super) last: u32,
}

/// A row of operations that a thread waits to have done together.
pub(super) struct Pending {
    list: Vec<Operation>,
    pid: u32,
    sleeper: Sleeper,
    /// Which of them cannot be done yet.
    blocked_at: AtomicUsize,
    outcome: Mutex<Option<Result<(), Errno>>>,
}

impl Pending {
    /// What has come of it.
    pub(super) fn outcome(&self) -> Option<Result<(), Errno>> {
        *self.outcome.lock()
    }

    fn changes_something(&self) -> bool {
        changes_something(&self.list)
    }
}

/// Whether one of them is no wait for a zero.
pub(super) fn changes_something(list: &[Operation]) -> bool {
    list.iter().any(|one| one.change != 0)
}

type Line = VecDeque<Arc<Pending>>;

/// What became of an attempt.
enum Attempt {
    Done,
    Failed(Errno),
    /// The operation at this place has to wait.
    Blocked(usize),
}

pub(super) struct Values {
    pub(super) semaphores: Vec<Semaphore>,
    /// What is to be added to each value when a process ends.
    undo: BTreeMap<u32, Vec<i32>>,
    /// Of each semaphore for which some wait the single operations that wait for its zero, and that change it.
    for_zero: BTreeMap<usize, Line>,
    for_more: BTreeMap<usize, Line>,
    /// Rows of several operations; of those that change something all, as long as there is such a row.
    all_for_zero: Line,
    all_for_more: Line,
    /// How many rows of several wait.
    rows: usize,
    /// When operations were done last.
    pub(super) operated_at: u64,
}

impl Values {
    pub(super) fn new(count: usize) -> Self {
        Self {
            semaphores: vec![Semaphore::default(); count],
            undo: BTreeMap::new(),
            for_zero: BTreeMap::new(),
            for_more: BTreeMap::new(),
            all_for_zero: Line::new(),
            all_for_more: Line::new(),
            rows: 0,
            operated_at: 0,
        }
    }

    /// A process wants `list` done: from now on it has something to give back when it ends, be it nothing.
    pub(super) fn expect(&mut self, list: &[Operation], pid: u32) {
        if list.iter().any(Operation::is_undone) {
            let count = self.semaphores.len();
            self.undo.entry(pid).or_insert_with(|| vec![0; count]);
        }
    }

    /// Does all operations, or gets into line; who goes on because of that is put into `woken`.
    pub(super) fn operate(
        &mut self,
        list: Vec<Operation>,
        pid: u32,
        sleeper: Sleeper,
        time: u64,
        woken: &mut Woken,
    ) -> Result<Option<Arc<Pending>>, Errno> {
        match self.attempt(&list, pid) {
            Attempt::Failed(errno) => Err(errno),
            Attempt::Done if changes_something(&list) => {
                self.update(Some(&list), time, woken);
                self.operated_at = time;
                Ok(None)
            }
            Attempt::Done => {
                self.operated_at = time;
                Ok(None)
            }
            Attempt::Blocked(place) => {
                let pending = Arc::new(Pending {
                    list,
                    pid,
                    sleeper,
                    blocked_at: AtomicUsize::new(place),
                    outcome: Mutex::new(None),
                });
                self.line_up(pending.clone());
                Ok(Some(pending))
            }
        }
    }

    fn line_up(&mut self, pending: Arc<Pending>) {
        let number = pending.list.first().map_or(0, Operation::semaphore);
        let changes = pending.changes_something();
        if pending.list.len() > 1 {
            if self.rows == 0 {
                // As Linux splices them: of the last semaphore first.
                for mut line in core::mem::take(&mut self.for_more).into_values() {
                    line.append(&mut self.all_for_more);
                    self.all_for_more = line;
                }
            }
            self.rows += 1;
        }
        let line = match (pending.list.len() > 1, changes) {
            (true, false) => &mut self.all_for_zero,
            (false, false) => self.for_zero.entry(number).or_default(),
            (false, true) if self.rows == 0 => self.for_more.entry(number).or_default(),
            (_, true) => &mut self.all_for_more,
        };
        line.push_back(pending);
    }

    /// No longer waits; whether it still did.
    pub(super) fn forget(&mut self, pending: &Arc<Pending>) -> bool {
        let mut was_there = false;
        for line in self.lines() {
            if let Some(place) = line.iter().position(|one| Arc::ptr_eq(one, pending)) {
                line.remove(place);
                was_there = true;
            }
        }
        if was_there {
            self.has_left(pending);
            self.part();
        }
        was_there
    }

    fn lines(&mut self) -> impl Iterator<Item = &mut Line> {
        let (zeros, more) = (&mut self.for_zero, &mut self.for_more);
        let own = zeros.values_mut().chain(more.values_mut());
        own.chain([&mut self.all_for_zero, &mut self.all_for_more])
    }

    fn has_left(&mut self, pending: &Pending) {
        if pending.list.len() > 1 {
            self.rows -= 1;
        }
    }

    /// Without rows of several operations each semaphore has its line again.
    fn part(&mut self) {
        if self.rows == 0 {
            for pending in core::mem::take(&mut self.all_for_more) {
                let number = pending.list.first().map_or(0, Operation::semaphore);
                self.for_more.entry(number).or_default().push_back(pending);
            }
        }
    }

    /// The set is removed: nobody waits any longer.
    pub(super) fn dismiss(&mut self, woken: &mut Woken) {
        for line in self.lines() {
            for pending in core::mem::take(line) {
                woken.finish(&pending, Err(Errno::EIDRM));
            }
        }
        self.rows = 0;
    }

    /// Values are what the program says now, and nobody gives back what they have taken.
    pub(super) fn set(&mut self, first: usize, values: &[i32], pid: u32) {
        for (place, &value) in (first..).zip(values) {
            self.semaphores[place] = Semaphore { value, last: pid };
            for undo in self.undo.values_mut() {
                undo[place] = 0;
            }
        }
    }

    /// A process ends: gives back what it has taken; whether there is something.
    pub(super) fn give_back(&mut self, pid: u32) -> bool {
        let Some(changes) = self.undo.remove(&pid) else {
            return false;
        };
        for (semaphore, change) in self.semaphores.iter_mut().zip(changes) {
            if change != 0 {
                semaphore.value = (semaphore.value + change).clamp(0, VALUE_MAX);
                semaphore.last = pid;
            }
        }
        true
    }

    /// How many wait for a semaphore's zero, or for it to be more.
    pub(super) fn waiting_for(&self, number: usize, is_for_zero: bool) -> u64 {
        let lines = if is_for_zero {
            &self.for_zero
        } else {
            &self.for_more
        };
        let own = lines.get(&number).map_or(0, Line::len);
        let waits = |pending: &&Arc<Pending>| {
            let blocked = pending.list.get(pending.blocked_at.load(Ordering::Relaxed));
            blocked.is_some_and(|one| {
                one.semaphore() == number && (one.change == 0) == is_for_zero && one.change <= 0
            })
        };
        let rows = self.all_for_more.iter().filter(waits).count();
        let zeros = self.all_for_zero.iter().filter(waits).count();
        (own + rows + if is_for_zero { zeros } else { 0 }) as u64
    }

    /// Does what has become possible after `list` was done, or anything else.
    pub(super) fn update(&mut self, list: Option<&[Operation]>, time: u64, woken: &mut Woken) {
        let mut has_done = self.serve_zeros(list, woken);
        if !self.all_for_more.is_empty() {
            has_done |= self.serve(None, woken);
        } else {
            match list {
                Some(list) => {
                    for operation in list.iter().filter(|one| one.change > 0) {
                        has_done |= self.serve(Some(operation.semaphore()), woken);
                    }
                }
                None => {
                    for number in 0..self.semaphores.len() {
                        has_done |= self.serve(Some(number), woken);
                    }
                }
            }
        }
        if has_done {
            self.operated_at = time;
        }
        self.part();
    }

    /// Those that wait for zeros which are there now.
    fn serve_zeros(&mut self, list: Option<&[Operation]>, woken: &mut Woken) -> bool {
        let numbers: Vec<usize> = match list {
            Some(list) => list.iter().map(Operation::semaphore).collect(),
            None => (0..self.semaphores.len()).collect(),
        };
        let mut has_done = false;
        let mut is_zero = false;
        for number in numbers {
            if self.semaphores[number].value == 0 {
                is_zero = true;
                let line = self.for_zero.remove(&number).unwrap_or_default();
                let (kept, done) = self.serve_line(line, woken);
                if !kept.is_empty() {
                    self.for_zero.insert(number, kept);
                }
                has_done |= done;
            }
        }
        if is_zero {
            let line = core::mem::take(&mut self.all_for_zero);
            let (kept, done) = self.serve_line(line, woken);
            self.all_for_zero = kept;
            has_done |= done;
        }
        has_done
    }

    /// Those of a line that change nothing; who still waits, and whether one was done.
    fn serve_line(&mut self, line: Line, woken: &mut Woken) -> (Line, bool) {
        let mut kept = Line::new();
        let mut has_done = false;
        for pending in line {
            let outcome = match self.attempt(&pending.list, pending.pid) {
                Attempt::Blocked(place) => {
                    pending.blocked_at.store(place, Ordering::Relaxed);
                    kept.push_back(pending);
                    continue;
                }
                Attempt::Done => Ok(()),
                Attempt::Failed(errno) => Err(errno),
            };
            has_done |= outcome.is_ok();
            self.has_left(&pending);
            woken.finish(&pending, outcome);
        }
        (kept, has_done)
    }

    /// Those of a semaphore's line, or of that for all, that change something.
    fn serve(&mut self, number: Option<usize>, woken: &mut Woken) -> bool {
        let (mut has_done, mut place) = (false, 0);
        while number.is_none_or(|number| self.semaphores[number].value != 0)
            && let Some(pending) = self.in_line(number, place)
        {
            let outcome = match self.attempt(&pending.list, pending.pid) {
                Attempt::Blocked(at) => {
                    pending.blocked_at.store(at, Ordering::Relaxed);
                    place += 1;
                    continue;
                }
                Attempt::Done => Ok(()),
                Attempt::Failed(errno) => Err(errno),
            };
            self.leave_line(number, place);
            self.has_left(&pending);
            if outcome.is_ok() {
                has_done = true;
                self.serve_zeros(Some(&pending.list), woken);
                if !self.all_for_more.is_empty() || pending.list.len() > 1 {
                    place = 0;
                }
            }
            woken.finish(&pending, outcome);
        }
        has_done
    }

    fn in_line(&self, number: Option<usize>, place: usize) -> Option<Arc<Pending>> {
        let line = match number {
            Some(number) => self.for_more.get(&number)?,
            None => &self.all_for_more,
        };
        line.get(place).cloned()
    }

    fn leave_line(&mut self, number: Option<usize>, place: usize) {
        let line = match number {
            Some(number) => self.for_more.entry(number).or_default(),
            None => &mut self.all_for_more,
        };
        line.remove(place);
        if let (true, Some(number)) = (line.is_empty(), number) {
            self.for_more.remove(&number);
        }
    }

    /// Does all operations or none.
    fn attempt(&mut self, list: &[Operation], pid: u32) -> Attempt {
        for (place, operation) in list.iter().enumerate() {
            let stopped = match self.attempt_one(operation, pid) {
                Ok(true) => continue,
                Ok(false) if operation.flags & IPC_NOWAIT != 0 => Attempt::Failed(Errno::EAGAIN),
                Ok(false) => Attempt::Blocked(place),
                Err(errno) => Attempt::Failed(errno),
            };
            for done in &list[..place] {
                self.take_back(done, pid);
            }
            return stopped;
        }
        for operation in list {
            self.semaphores[operation.semaphore()].last = pid;
        }
        Attempt::Done
    }

    /// Does one operation; whether it need not wait.
    fn attempt_one(&mut self, operation: &Operation, pid: u32) -> Result<bool, Errno> {
        let (place, count) = (operation.semaphore(), self.semaphores.len());
        let change = i32::from(operation.change);
        let value = &mut self.semaphores[place].value;
        let must_wait = if change == 0 {
            *value != 0
        } else {
            *value + change < 0
        };
        if must_wait {
            return Ok(false);
        }
        if *value + change > VALUE_MAX {
            return Err(Errno::ERANGE);
        }
        if operation.is_undone() {
            let undo = self.undo.entry(pid).or_insert_with(|| vec![0; count]);
            let adjustment = undo[place] - change;
            if !(-VALUE_MAX - 1..=VALUE_MAX).contains(&adjustment) {
                return Err(Errno::ERANGE);
            }
            undo[place] = adjustment;
        }
        *value += change;
        Ok(true)
    }

    /// An operation that was done is as if it had not been.
    fn take_back(&mut self, operation: &Operation, pid: u32) {
        let (place, change) = (operation.semaphore(), i32::from(operation.change));
        self.semaphores[place].value -= change;
        if let Some(undo) = (self.undo.get_mut(&pid)).filter(|_| operation.is_undone()) {
            undo[place] += change;
        }
    }
}

/// Who goes on, once the lock is released.
#[derive(Default)]
pub(super) struct Woken(Vec<Sleeper>);

impl Woken {
    fn finish(&mut self, pending: &Pending, outcome: Result<(), Errno>) {
        *pending.outcome.lock() = Some(outcome);
        self.0.push(pending.sleeper.clone());
    }

    pub(super) fn wake(self, machine: &dyn Machine) {
        for sleeper in self.0 {
            sleeper.wake(machine);
        }
    }
}
