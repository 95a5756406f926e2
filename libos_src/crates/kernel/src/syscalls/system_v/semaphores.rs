//! Semaphores of System V.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write as _;

use hal::Errno;
use locks::Mutex;
use procfs::Number;
use vfs::{Access, Readiness, Watchers};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::registry::{IPC_INFO, Limits, PermissionRecord, Permissions, Registry, access_of, now};
use crate::settings::Settings;
use crate::syscalls::argument::Address;
use crate::syscalls::call::{Call, Outcome, Stop};
use crate::threads::{Deadline, duration_of};

/// All sets.
pub(crate) type Semaphores = Registry<Set>;

/// A set of semaphores.
pub(crate) struct Set {
    state: Mutex<State>,
    watchers: Watchers,
}

struct State {
    permissions: Permissions,
    values: Vec<Semaphore>,
    /// What is to be added to each value when a process ends.
    undo: BTreeMap<u32, Vec<i32>>,
    /// The semaphore that each thread waits for, and whether it waits for zero.
    waiting: BTreeMap<u32, (u16, bool)>,
    operated_at: u64,
    changed_at: u64,
    is_removed: bool,
}

#[derive(Clone, Copy, Default)]
struct Semaphore {
    value: i32,
    /// The process that changed it last.
    last: u32,
}

/// `struct sembuf`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Operation {
    number: u16,
    change: i16,
    flags: i16,
}

/// `struct semid64_ds` of x86-64.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SetRecord {
    permissions: PermissionRecord,
    operated_at: u64,
    unused_1: u64,
    changed_at: u64,
    unused_2: u64,
    count: u64,
    unused: [u64; 2],
}

const VALUE_MAX: i32 = 32767;
const IPC_NOWAIT: i16 = 0o4000;
const SEM_UNDO: i16 = 0o10000;

/// The text of `/proc/sysvipc/sem`.
pub(crate) fn listing(semaphores: &Semaphores) -> String {
    let mut text = String::from(
        "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n",
    );
    for (id, set) in semaphores.all() {
        let state = set.state.lock();
        let (begin, owners) = (
            state.permissions.shown(id, 0),
            state.permissions.shown_owners(),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{begin} {:>10} {owners} {:>10} {:>10}",
            state.values.len(),
            state.operated_at,
            state.changed_at
        );
    }
    text
}

/// `semget(2)`.
pub(crate) fn semget(call: &mut Call<'_>, key: i32, count: i32, flags: u32) -> Outcome {
    let settings = &call.libos.settings;
    if !(0..=settings.get_i32(Number::SetSemaphores)).contains(&count) {
        return Err(Errno::EINVAL.into());
    }
    let credentials = call.viewpoint().credentials.clone();
    let machine = call.libos.machine;
    let id = call.libos.system_v.semaphores.get(
        key,
        flags,
        &credentials,
        |set| {
            let state = set.state.lock();
            if count as usize > state.values.len() {
                return Err(Errno::EINVAL);
            }
            state.permissions.check(&credentials, access_of(flags))
        },
        &Limits {
            settings,
            most: Number::SemaphoreSets,
            next: Number::NextSemaphoreSet,
        },
        |permissions, others| {
            if count == 0 {
                return Err(Errno::EINVAL);
            }
            let others = others
                .values()
                .map(|set| set.state.lock().values.len() as u64);
            if others.sum::<u64>() + count as u64 > settings.get(Number::Semaphores) {
                return Err(Errno::ENOSPC);
            }
            Ok(Set {
                state: Mutex::new(State {
                    permissions,
                    values: vec![Semaphore::default(); count as usize],
                    undo: BTreeMap::new(),
                    waiting: BTreeMap::new(),
                    operated_at: 0,
                    changed_at: now(machine),
                    is_removed: false,
                }),
                watchers: Watchers::new(),
            })
        },
    )?;
    Ok(id as u64)
}

/// `semop(2)`.
pub(crate) fn semop(call: &mut Call<'_>, id: i32, operations: Address, count: u64) -> Outcome {
    semtimedop(call, id, operations, count, Address(0))
}

/// `semtimedop(2)`.
pub(crate) fn semtimedop(
    call: &mut Call<'_>,
    id: i32,
    operations: Address,
    count: u64,
    timeout: Address,
) -> Outcome {
    if count == 0 {
        return Err(Errno::EINVAL.into());
    }
    if count > call.libos.settings.get(Number::SemaphoreOperations) {
        return Err(Errno::E2BIG.into());
    }
    let mut list = Operation::new_vec_zeroed(count as usize).map_err(|_| Errno::ENOMEM)?;
    call.memory().copy_in(operations.0, list.as_mut_bytes())?;
    let deadline = match timeout.non_null() {
        None => Deadline::NEVER,
        Some(timeout) => {
            let [seconds, nanoseconds] = call.memory().read::<[i64; 2]>(timeout.0)?;
            Deadline::after(call.libos.machine, duration_of(seconds, nanoseconds)?)
        }
    };
    let set = call.libos.system_v.semaphores.find(id)?;
    let credentials = call.viewpoint().credentials.clone();
    let mut access = Access::READ;
    if list.iter().any(|one| one.change != 0) {
        access = Access::WRITE;
    }
    {
        let state = set.state.lock();
        state.permissions.check(&credentials, access)?;
        let count = state.values.len();
        if list.iter().any(|one| usize::from(one.number) >= count) {
            return Err(Errno::EFBIG.into());
        }
    }
    let (pid, tid) = (call.process.pid, call.thread.tid());
    let time = now(call.libos.machine);
    let outcome = call.until_changed(&set.watchers, deadline, || {
        let done = set.state.lock().operate(&list, pid, tid, time)?;
        if done.is_some() {
            set.watchers.notify(Readiness::READABLE);
        }
        Ok(done)
    });
    set.state.lock().waiting.remove(&tid);
    match outcome {
        Ok(()) => Ok(0),
        // It is never started again by itself.
        Err(Stop::Restart) => Err(Errno::EINTR.into()),
        Err(stop) => Err(stop),
    }
}

impl State {
    /// Does all operations or none; `None` if the caller has to wait for others.
    fn operate(
        &mut self,
        list: &[Operation],
        pid: u32,
        tid: u32,
        time: u64,
    ) -> Result<Option<()>, Stop> {
        if self.is_removed {
            return Err(Errno::EIDRM.into());
        }
        let mut values: Vec<i32> = self.values.iter().map(|one| one.value).collect();
        let count = values.len();
        let undo = self.undo.get(&pid).cloned();
        let mut undo = undo.unwrap_or_else(|| vec![0; count]);
        for operation in list {
            let value = &mut values[usize::from(operation.number)];
            let change = i32::from(operation.change);
            let must_wait = if change == 0 {
                *value != 0
            } else {
                *value + change < 0
            };
            if must_wait && operation.flags & IPC_NOWAIT != 0 {
                return Err(Errno::EAGAIN.into());
            }
            if must_wait {
                self.waiting.insert(tid, (operation.number, change == 0));
                return Ok(None);
            }
            if *value + change > VALUE_MAX {
                return Err(Errno::ERANGE.into());
            }
            *value += change;
            if operation.flags & SEM_UNDO != 0 {
                let adjustment = &mut undo[usize::from(operation.number)];
                *adjustment -= change;
                if !(-VALUE_MAX - 1..=VALUE_MAX).contains(adjustment) {
                    return Err(Errno::ERANGE.into());
                }
            }
        }
        for (semaphore, value) in self.values.iter_mut().zip(values) {
            semaphore.value = value;
        }
        for operation in list {
            self.values[usize::from(operation.number)].last = pid;
        }
        if list.iter().any(|one| one.flags & SEM_UNDO != 0) {
            self.undo.insert(pid, undo);
        }
        self.operated_at = time;
        Ok(Some(()))
    }

    fn waiting_for(&self, number: u16, is_for_zero: bool) -> u64 {
        let wanted = (number, is_for_zero);
        self.waiting.values().filter(|one| **one == wanted).count() as u64
    }
}

/// Gives back what a process that ends has taken with `SEM_UNDO`.
pub(crate) fn undo(semaphores: &Semaphores, pid: u32) {
    for (_, set) in semaphores.all() {
        let mut state = set.state.lock();
        let Some(changes) = state.undo.remove(&pid) else {
            continue;
        };
        for (semaphore, change) in state.values.iter_mut().zip(changes) {
            semaphore.value = (semaphore.value + change).clamp(0, VALUE_MAX);
            semaphore.last = pid;
        }
        drop(state);
        set.watchers.notify(Readiness::READABLE);
    }
}

const IPC_RMID: u32 = 0;
const IPC_SET: u32 = 1;
const IPC_STAT: u32 = 2;
const GETPID: u32 = 11;
const GETVAL: u32 = 12;
const GETALL: u32 = 13;
const GETNCNT: u32 = 14;
const GETZCNT: u32 = 15;
const SETVAL: u32 = 16;
const SETALL: u32 = 17;
const SEM_STAT: u32 = 18;
const SEM_INFO: u32 = 19;
const SEM_STAT_ANY: u32 = 20;

/// `struct seminfo`, of which `SEM_INFO` uses `semusz` and `semaem` for what there is.
fn limits(settings: &Settings, semaphores: &Semaphores, command: u32) -> [i32; 10] {
    const UNDO_BYTES: i32 = 20;
    let all_max = settings.get_i32(Number::Semaphores);
    let sets_max = settings.get_i32(Number::SemaphoreSets);
    let set_max = settings.get_i32(Number::SetSemaphores);
    let operations = settings.get_i32(Number::SemaphoreOperations);
    let (sets, values) = if command == SEM_INFO {
        let all = semaphores.all();
        let values = all.iter().map(|(_, set)| set.state.lock().values.len());
        (all.len() as i32, values.sum::<usize>() as i32)
    } else {
        (UNDO_BYTES, VALUE_MAX)
    };
    [
        all_max, sets_max, all_max, all_max, set_max, operations, operations, sets, VALUE_MAX,
        values,
    ]
}

/// `semctl(2)`.
pub(crate) fn semctl(
    call: &mut Call<'_>,
    id: i32,
    number: i32,
    command: u32,
    argument: u64,
) -> Outcome {
    let semaphores = &call.libos.system_v.semaphores;
    let (id, set) = match command {
        IPC_INFO | SEM_INFO => {
            let limits = limits(&call.libos.settings, semaphores, command);
            call.memory().write(argument, &limits)?;
            return Ok(semaphores.last_place());
        }
        SEM_STAT | SEM_STAT_ANY => semaphores.at(id)?,
        _ => (id, semaphores.find(id)?),
    };
    let credentials = call.viewpoint().credentials.clone();
    let count = set.state.lock().values.len();
    let index = usize::try_from(number).ok().filter(|index| *index < count);
    // What a program passes is read before the lock is taken.
    let record = match command {
        IPC_SET => Some(call.memory().read::<SetRecord>(argument)?),
        _ => None,
    };
    let new_values = new_values(call, command, argument, count)?;
    let mut state = set.state.lock();
    match command {
        IPC_RMID | IPC_SET => state.permissions.check_owner(&credentials)?,
        SETVAL | SETALL => state.permissions.check(&credentials, Access::WRITE)?,
        SEM_STAT_ANY => {}
        _ => state.permissions.check(&credentials, Access::READ)?,
    }
    let mut output = Vec::new();
    let mut value = 0;
    match command {
        IPC_RMID => {
            state.is_removed = true;
            call.libos.system_v.semaphores.remove(id);
        }
        IPC_SET => {
            if let Some(record) = record {
                state.permissions.set(&record.permissions);
            }
            state.changed_at = now(call.libos.machine);
        }
        SEM_STAT | SEM_STAT_ANY => {
            output.extend_from_slice(state.record(id).as_bytes());
            value = id as u64;
        }
        IPC_STAT => output.extend_from_slice(state.record(id).as_bytes()),
        GETALL => {
            for semaphore in &state.values {
                output.extend_from_slice(&(semaphore.value as u16).to_le_bytes());
            }
        }
        SETALL => {
            for (semaphore, value) in state.values.iter_mut().zip(new_values) {
                let last = call.process.pid;
                *semaphore = Semaphore { value, last };
            }
            state.undo.clear();
            state.changed_at = now(call.libos.machine);
        }
        SETVAL => {
            let index = index.ok_or(Errno::EINVAL)?;
            state.values[index] = Semaphore {
                value: new_values.first().copied().unwrap_or(0),
                last: call.process.pid,
            };
            for undo in state.undo.values_mut() {
                undo[index] = 0;
            }
            state.changed_at = now(call.libos.machine);
        }
        _ => value = state.look(index.ok_or(Errno::EINVAL)?, command)?,
    }
    drop(state);
    set.watchers.notify(Readiness::READABLE);
    if !output.is_empty() {
        call.memory().copy_out(argument, &output)?;
    }
    Ok(value)
}

/// The values that `SETVAL` and `SETALL` pass.
fn new_values(
    call: &Call<'_>,
    command: u32,
    argument: u64,
    count: usize,
) -> Result<Vec<i32>, Errno> {
    let values: Vec<i32> = match command {
        SETALL => {
            let bytes = call.memory().read_bytes(argument, count * 2)?;
            let values = bytes.as_chunks::<2>().0.iter();
            values
                .map(|value| i32::from(u16::from_le_bytes(*value)))
                .collect()
        }
        SETVAL => Vec::from([argument as u32 as i32]),
        _ => Vec::new(),
    };
    if values.iter().all(|value| (0..=VALUE_MAX).contains(value)) {
        Ok(values)
    } else {
        Err(Errno::ERANGE)
    }
}

impl State {
    fn record(&self, id: i32) -> SetRecord {
        SetRecord {
            permissions: self.permissions.record(id),
            operated_at: self.operated_at,
            changed_at: self.changed_at,
            count: self.values.len() as u64,
            ..SetRecord::default()
        }
    }

    /// What a command asks of one semaphore.
    fn look(&self, index: usize, command: u32) -> Result<u64, Errno> {
        let semaphore = self.values[index];
        match command {
            GETPID => Ok(semaphore.last.into()),
            GETVAL => Ok(semaphore.value as u64),
            GETNCNT => Ok(self.waiting_for(index as u16, false)),
            GETZCNT => Ok(self.waiting_for(index as u16, true)),
            _ => Err(Errno::EINVAL),
        }
    }
}
