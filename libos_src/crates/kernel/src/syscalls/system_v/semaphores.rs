//! Semaphores of System V.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;

use hal::{Errno, Machine};
use locks::Mutex;
use procfs::Number;
use vfs::Access;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::registry::{IPC_INFO, Limits, PermissionRecord, Permissions, Registry, access_of, now};
use super::set::{Operation, Pending, VALUE_MAX, Values, Woken, changes_something};
use crate::settings::Settings;
use crate::syscalls::argument::Address;
use crate::syscalls::call::{Call, Outcome};
use crate::threads::{Deadline, Sleeper, Wake, duration_of};

/// All sets.
pub(crate) type Semaphores = Registry<Set>;

/// A set of semaphores.
pub(crate) struct Set {
    state: Mutex<State>,
}

struct State {
    permissions: Permissions,
    values: Values,
    changed_at: u64,
    is_removed: bool,
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
            state.values.semaphores.len(),
            state.values.operated_at,
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
            if count as usize > state.values.semaphores.len() {
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
                .map(|set| set.state.lock().values.semaphores.len() as u64);
            if others.sum::<u64>() + count as u64 > settings.get(Number::Semaphores) {
                return Err(Errno::ENOSPC);
            }
            Ok(Set {
                state: Mutex::new(State {
                    permissions,
                    values: Values::new(count as usize),
                    changed_at: now(machine),
                    is_removed: false,
                }),
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
    let access = if changes_something(&list) {
        Access::WRITE
    } else {
        Access::READ
    };
    let mut woken = Woken::default();
    let outcome = {
        let mut state = set.state.lock();
        let count = state.values.semaphores.len();
        state.values.expect(&list, call.process.pid);
        if list.iter().any(|one| usize::from(one.number) >= count) {
            return Err(Errno::EFBIG.into());
        }
        state.permissions.check(&credentials, access)?;
        if state.is_removed {
            return Err(Errno::EIDRM.into());
        }
        let (pid, time) = (call.process.pid, now(call.libos.machine));
        let sleeper = Sleeper::of(call.thread);
        (state.values).operate(list, pid, sleeper, time, &mut woken)
    };
    woken.wake(call.libos.machine);
    match outcome? {
        Some(pending) => wait(call, &set, &pending, deadline),
        None => Ok(0),
    }
}

/// Waits until somebody has done what a thread wants. Such a call is never started again by itself.
fn wait(call: &Call<'_>, set: &Set, pending: &Arc<Pending>, deadline: Deadline) -> Outcome {
    loop {
        if let Some(outcome) = pending.outcome() {
            return Ok(outcome.map(|()| 0)?);
        }
        let errno = match call.libos.sleep(call.process, call.thread, deadline) {
            Wake::Look => continue,
            Wake::TimedOut => Errno::EAGAIN,
            Wake::Signal => Errno::EINTR,
        };
        if set.state.lock().values.forget(pending) {
            return Err(errno.into());
        }
    }
}

/// Gives back what a process that ends has taken with `SEM_UNDO`.
pub(crate) fn undo(semaphores: &Semaphores, machine: &dyn Machine, pid: u32) {
    for (_, set) in semaphores.all() {
        let mut woken = Woken::default();
        let mut state = set.state.lock();
        if state.values.give_back(pid) {
            state.values.update(None, now(machine), &mut woken);
            state.values.operated_at = now(machine);
        }
        drop(state);
        woken.wake(machine);
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
        let (mut sets, mut values) = (0, 0);
        for (_, set) in semaphores.all() {
            sets += 1;
            values += set.state.lock().values.semaphores.len();
        }
        (sets, values as i32)
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
        SETVAL if !(0..=VALUE_MAX).contains(&(argument as u32).cast_signed()) => {
            return Err(Errno::ERANGE.into());
        }
        IPC_RMID | IPC_SET | IPC_STAT | GETPID..=SETALL => (id, semaphores.find(id)?),
        _ => return Err(Errno::EINVAL.into()),
    };
    let credentials = call.viewpoint().credentials.clone();
    let count = set.state.lock().values.semaphores.len();
    let index = usize::try_from(number).ok().filter(|index| *index < count);
    // What a program passes is read before the lock is taken.
    let record = match command {
        IPC_SET => Some(call.memory().read::<SetRecord>(argument)?),
        _ => None,
    };
    if command == SETALL {
        let state = set.state.lock();
        state.permissions.check(&credentials, Access::WRITE)?;
    }
    let new_values = new_values(call, command, argument, count)?;
    let mut state = set.state.lock();
    match command {
        IPC_RMID | IPC_SET => state.permissions.check_owner(&credentials)?,
        SETVAL if index.is_none() => return Err(Errno::EINVAL.into()),
        SETVAL | SETALL => state.permissions.check(&credentials, Access::WRITE)?,
        SEM_STAT_ANY => {}
        _ => state.permissions.check(&credentials, Access::READ)?,
    }
    let mut output = Vec::new();
    let mut woken = Woken::default();
    let mut value = 0;
    match command {
        IPC_RMID => {
            state.is_removed = true;
            state.values.dismiss(&mut woken);
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
            for semaphore in &state.values.semaphores {
                output.extend_from_slice(&(semaphore.value as u16).to_le_bytes());
            }
        }
        SETALL | SETVAL => {
            let first = if command == SETALL { Some(0) } else { index };
            let first = first.ok_or(Errno::EINVAL)?;
            state.values.set(first, &new_values, call.process.pid);
            state.changed_at = now(call.libos.machine);
            state
                .values
                .update(None, now(call.libos.machine), &mut woken);
        }
        _ => value = state.look(index.ok_or(Errno::EINVAL)?, command)?,
    }
    drop(state);
    if command == IPC_RMID {
        semaphores.remove(id, &set);
    }
    woken.wake(call.libos.machine);
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
            operated_at: self.values.operated_at,
            changed_at: self.changed_at,
            count: self.values.semaphores.len() as u64,
            ..SetRecord::default()
        }
    }

    /// What a command asks of one semaphore.
    fn look(&self, index: usize, command: u32) -> Result<u64, Errno> {
        let semaphore = self.values.semaphores[index];
        match command {
            GETPID => Ok(semaphore.last.into()),
            GETVAL => Ok(semaphore.value as u64),
            GETNCNT => Ok(self.values.waiting_for(index, false)),
            GETZCNT => Ok(self.values.waiting_for(index, true)),
            _ => Err(Errno::EINVAL),
        }
    }
}
