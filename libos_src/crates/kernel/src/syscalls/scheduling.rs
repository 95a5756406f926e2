//! Scheduling: what programs may ask of it. The host decides: it is kept for who asks, and no more.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;

use hal::{Errno, PAGE_SIZE};
use vfs::Capabilities;
use zerocopy::{FromZeros, IntoBytes};

use super::argument::Address;
use super::call::{Call, Outcome};
use super::poll::STICKY_TIMEOUTS;
use super::records::SchedulingAttributes;
use super::time::time_of;
use crate::processes::{Limits, Process, Standing};
use crate::threads::{Attributes, DeadlineTerms, Scheduling, Thread};

const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
const SCHED_IDLE: u32 = 5;
const SCHED_DEADLINE: u32 = 6;
/// `SCHED_OTHER`, `SCHED_BATCH` and `SCHED_IDLE`.
const ORDINARY: [u32; 3] = [0, 3, SCHED_IDLE];
/// `SCHED_RESET_ON_FORK`.
const RESET_ON_FORK: u32 = 0x4000_0000;
const PRIORITY_MAX: u32 = 99;

/// `sched_setscheduler(2)`.
pub(super) fn sched_setscheduler(
    call: &mut Call<'_>,
    tid: i32,
    policy: u32,
    parameter: Address,
) -> Outcome {
    if tid < 0 || parameter.is_null() || policy.cast_signed() < 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = call.scheduled(tid)?;
    let priority: u32 = call.memory().read(parameter.0)?;
    let attributes = Attributes {
        policy: policy & !RESET_ON_FORK,
        resets_on_fork: policy & RESET_ON_FORK != 0,
        priority,
        deadline: None,
    };
    target.set_attributes(call, attributes, None)
}

/// `sched_setparam(2)`.
pub(super) fn sched_setparam(call: &mut Call<'_>, tid: i32, parameter: Address) -> Outcome {
    if tid < 0 || parameter.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let target = call.scheduled(tid)?;
    let priority: u32 = call.memory().read(parameter.0)?;
    let before = target.thread.scheduling.lock().attributes;
    target.set_attributes(call, Attributes { priority, ..before }, None)
}

/// `sched_getparam(2)`.
pub(super) fn sched_getparam(call: &mut Call<'_>, tid: i32, parameter: Address) -> Outcome {
    if tid < 0 || parameter.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let target = call.scheduled(tid)?;
    let priority = target.thread.scheduling.lock().attributes.priority;
    call.memory().write(parameter.0, &priority)?;
    Ok(0)
}

/// `sched_getscheduler(2)`.
pub(super) fn sched_getscheduler(call: &mut Call<'_>, tid: i32) -> Outcome {
    let target = call.scheduled(tid)?;
    let attributes = target.thread.scheduling.lock().attributes;
    let reset = if attributes.resets_on_fork {
        RESET_ON_FORK
    } else {
        0
    };
    Ok((attributes.policy | reset).into())
}

/// `sched_setattr(2)`.
pub(super) fn sched_setattr(call: &mut Call<'_>, tid: i32, record: Address, flags: u32) -> Outcome {
    const FLAG_RESET_ON_FORK: u64 = 1;
    const KEEP_POLICY: u64 = 8;
    const KEEP_PARAMETERS: u64 = 16;
    /// `SCHED_FLAG_RECLAIM` and `SCHED_FLAG_DL_OVERRUN`, of deadlines.
    const OF_DEADLINES: u64 = 2 | 4;
    if tid < 0 || record.is_null() || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let new = read_attributes(call, record)?;
    let known = FLAG_RESET_ON_FORK | KEEP_POLICY | KEEP_PARAMETERS | OF_DEADLINES;
    if new.flags & !known != 0 || new.policy.cast_signed() < 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = call.scheduled(tid)?;
    let before = target.thread.scheduling.lock().attributes;
    let keeps = |flag| new.flags & flag != 0;
    let attributes = Attributes {
        policy: if keeps(KEEP_POLICY) {
            before.policy
        } else {
            new.policy
        },
        resets_on_fork: keeps(FLAG_RESET_ON_FORK),
        priority: if keeps(KEEP_PARAMETERS) {
            before.priority
        } else {
            new.priority
        },
        deadline: if keeps(KEEP_PARAMETERS) {
            before.deadline
        } else {
            Some(DeadlineTerms {
                runtime: new.runtime,
                deadline: new.deadline,
                period: new.period,
            })
            .filter(|_| new.policy == SCHED_DEADLINE)
        },
    };
    let nice = (!keeps(KEEP_PARAMETERS)).then_some(new.nice);
    target.set_attributes(call, attributes, nice)
}

/// `sched_getattr(2)`.
pub(super) fn sched_getattr(
    call: &mut Call<'_>,
    tid: i32,
    record: Address,
    size: u32,
    flags: u32,
) -> Outcome {
    let is_size = (SchedulingAttributes::FIRST_BYTES..=PAGE_SIZE as u32).contains(&size);
    if tid < 0 || record.is_null() || flags != 0 || !is_size {
        return Err(Errno::EINVAL.into());
    }
    let target = call.scheduled(tid)?;
    let scheduling = target.thread.scheduling.lock().clone();
    let known = size_of::<SchedulingAttributes>() as u32;
    let is_ordinary = ORDINARY.contains(&scheduling.attributes.policy);
    let deadline = scheduling.attributes.deadline.unwrap_or_default();
    let told = SchedulingAttributes {
        size: known.min(size),
        policy: scheduling.attributes.policy,
        flags: scheduling.attributes.resets_on_fork.into(),
        nice: if is_ordinary {
            scheduling.nice.into()
        } else {
            0
        },
        priority: scheduling.attributes.priority,
        clamp_max: SchedulingAttributes::CLAMP_MAX,
        runtime: deadline.runtime,
        deadline: deadline.deadline,
        period: deadline.period,
        ..SchedulingAttributes::new_zeroed()
    };
    let bytes = told.as_bytes();
    let given = &bytes[..bytes.len().min(size as usize)];
    call.memory().copy_out(record.0, given)?;
    Ok(0)
}

/// Reads a record that may be of a later Linux, whose fields we do not know must be zero. `E2BIG`
/// tells the size that we know.
fn read_attributes(call: &Call<'_>, record: Address) -> Result<SchedulingAttributes, Errno> {
    let known = size_of::<SchedulingAttributes>() as u32;
    let size = match call.memory().read::<u32>(record.0)? {
        0 => SchedulingAttributes::FIRST_BYTES,
        size => size,
    };
    let too_big = || {
        // Whoever cannot be told learns it by the error alone.
        let _ = call.memory().write(record.0, &known);
        Errno::E2BIG
    };
    if size < SchedulingAttributes::FIRST_BYTES || size > PAGE_SIZE as u32 {
        return Err(too_big());
    }
    let bytes = call.memory().read_bytes(record.0, size as usize)?;
    let (ours, later) = bytes.split_at(bytes.len().min(known as usize));
    if later.iter().any(|&byte| byte != 0) {
        return Err(too_big());
    }
    let mut new = SchedulingAttributes::new_zeroed();
    new.as_mut_bytes()[..ours.len()].copy_from_slice(ours);
    Ok(new)
}

/// `sched_get_priority_max(2)`.
pub(super) fn sched_get_priority_max(_call: &mut Call<'_>, policy: u32) -> Outcome {
    bound_of(policy, 99)
}

/// `sched_get_priority_min(2)`.
pub(super) fn sched_get_priority_min(_call: &mut Call<'_>, policy: u32) -> Outcome {
    bound_of(policy, 1)
}

fn bound_of(policy: u32, real_time: u64) -> Outcome {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(real_time),
        SCHED_DEADLINE => Ok(0),
        policy if ORDINARY.contains(&policy) => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sched_rr_get_interval(2)`: what Linux gives threads of each policy, although the host decides.
pub(super) fn sched_rr_get_interval(call: &mut Call<'_>, tid: i32, time: Address) -> Outcome {
    /// `RR_TIMESLICE`
    const ROUND_ROBIN: Duration = Duration::from_millis(100);
    /// The shortest slice of the fair scheduler.
    const FAIR: Duration = Duration::from_millis(4);
    if tid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = call.scheduled(tid)?;
    let policy = target.thread.scheduling.lock().attributes.policy;
    let slice = match policy {
        SCHED_RR => ROUND_ROBIN,
        SCHED_FIFO | SCHED_DEADLINE => Duration::ZERO,
        _ => FAIR,
    };
    call.memory().write(time.0, &time_of(slice))?;
    Ok(0)
}

const PRIO_PROCESS: u32 = 0;
const PRIO_PGRP: u32 = 1;
const PRIO_USER: u32 = 2;

/// `getpriority(2)`: 20 less the nice value, of the nicest to itself among those asked for.
pub(super) fn getpriority(call: &mut Call<'_>, which: u32, who: i32) -> Outcome {
    let targets = call.scheduled_group(which, who, [PRIO_PROCESS, PRIO_PGRP, PRIO_USER])?;
    let lowest = targets
        .iter()
        .map(|target| target.thread.scheduling.lock().nice)
        .min();
    let nice = lowest.ok_or(Errno::ESRCH)?;
    Ok((20 - i64::from(nice)).cast_unsigned())
}

/// `setpriority(2)`.
pub(super) fn setpriority(call: &mut Call<'_>, which: u32, who: i32, nice: i32) -> Outcome {
    let targets = call.scheduled_group(which, who, [PRIO_PROCESS, PRIO_PGRP, PRIO_USER])?;
    if targets.is_empty() {
        return Err(Errno::ESRCH.into());
    }
    let nice = nice.clamp(-20, 19) as i8;
    let mut outcome = Ok(0);
    for target in targets {
        let set = target.set_nice(call, nice);
        outcome = outcome.and(set.map(|()| 0));
    }
    Ok(outcome?)
}

const IOPRIO_WHO: [u32; 3] = [1, 2, 3];

/// `ioprio_get(2)`: the highest priority among those asked for.
pub(super) fn ioprio_get(call: &mut Call<'_>, which: u32, who: i32) -> Outcome {
    let targets = call.scheduled_group(which, who, IOPRIO_WHO)?;
    let priorities = targets
        .iter()
        .map(|target| target.thread.scheduling.lock().io_priority);
    // None at all is the lowest but the idle class.
    let rank = |priority: &u16| {
        if *priority == 0 {
            2 << 13 | 4
        } else {
            *priority
        }
    };
    let highest = priorities.min_by_key(rank).ok_or(Errno::ESRCH)?;
    Ok(highest.into())
}

/// `ioprio_set(2)`.
pub(super) fn ioprio_set(call: &mut Call<'_>, which: u32, who: i32, priority: i32) -> Outcome {
    const CLASS_SHIFT: i32 = 13;
    const LEVELS: i32 = 8;
    let class = priority >> CLASS_SHIFT;
    match class {
        0 if priority & ((1 << CLASS_SHIFT) - 1) == 0 => {}
        1 => call.require_any([Capabilities::ADMINISTER, Capabilities::SCHEDULE])?,
        2 | 3 => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    if matches!(class, 1 | 2) && priority & ((1 << CLASS_SHIFT) - 1) >= LEVELS {
        return Err(Errno::EINVAL.into());
    }
    let targets = call.scheduled_group(which, who, IOPRIO_WHO)?;
    if targets.is_empty() {
        return Err(Errno::ESRCH.into());
    }
    for target in targets {
        target.check_owner(call)?;
        target.thread.scheduling.lock().io_priority = priority as u16;
    }
    Ok(0)
}

/// `sched_getaffinity(2)`: the processors that were chosen, or all that there are.
pub(super) fn sched_getaffinity(call: &mut Call<'_>, tid: i32, len: u64, mask: Address) -> Outcome {
    let all = all_processors(call);
    if len < all.len() as u64 || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL.into());
    }
    let target = call.with_affinity(tid)?;
    let chosen = target.thread.affinity.lock().clone();
    let set = if chosen.is_empty() { all } else { chosen };
    call.memory().copy_out(mask.0, &set)?;
    Ok(set.len() as u64)
}

/// `sched_setaffinity(2)`: the host decides where threads run, so the choice is only remembered.
pub(super) fn sched_setaffinity(call: &mut Call<'_>, tid: i32, len: u64, mask: Address) -> Outcome {
    let mut set = all_processors(call);
    let bytes = call.memory().read_bytes(mask.0, len.min(128) as usize)?;
    let target = call.with_affinity(tid)?;
    target.check_owner(call)?;
    for (at, allowed) in set.iter_mut().enumerate() {
        *allowed &= bytes.get(at).copied().unwrap_or(0);
    }
    if set.iter().all(|&byte| byte == 0) {
        return Err(Errno::EINVAL.into());
    }
    *target.thread.affinity.lock() = set;
    Ok(0)
}

/// A bit for each processor, in whole words.
fn all_processors(call: &Call<'_>) -> Vec<u8> {
    let count = call.libos.machine.cpu_count().max(1) as usize;
    let mut set = vec![0u8; count.div_ceil(64) * 8];
    for cpu in 0..count {
        set[cpu / 8] |= 1 << (cpu % 8);
    }
    set
}

/// `personality(2)`: kept, inherited and told. Of its bits those have an effect that are about what
/// `uname` says, and about times that waits leave alone; addresses are not random here anyway.
pub(super) fn personality(call: &mut Call<'_>, persona: u32) -> Outcome {
    const QUERY: u32 = u32::MAX;
    /// What has an effect, where addresses come from, and what is not random: nothing here is.
    const HARMLESS: u32 = STICKY_TIMEOUTS | 0x002_0000 | 0x004_0000 | 0x020_0000 | 8;
    let kept = &call.thread.personality;
    if persona == QUERY {
        return Ok(kept.load(Ordering::Relaxed).into());
    }
    if persona & !HARMLESS != 0 {
        let reason =
            "of this personality only what it calls itself and times that stay have an effect";
        call.libos.report_once(call.regs.rax, reason);
    }
    Ok(kept.swap(persona, Ordering::Relaxed).into())
}

/// A thread that is asked about, and whose it is.
struct Scheduled {
    thread: Arc<Thread>,
    standing: Standing,
}

impl Scheduled {
    fn of(process: &Process, thread: Arc<Thread>) -> Self {
        let own = thread.principal();
        Self {
            standing: own.map_or_else(|| *process.standing.lock(), |own| own.standing),
            thread,
        }
    }

    /// Checks that the calling thread may decide about it.
    fn check_owner(&self, call: &Call<'_>) -> Result<(), Errno> {
        let (own, their) = (call.standing(), self.standing.user);
        let is_own = [their.real, their.effective].contains(&own.user.effective);
        if is_own || own.can(Capabilities::SCHEDULE) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    fn set_nice(&self, call: &Call<'_>, nice: i8) -> Result<(), Errno> {
        self.check_owner(call)?;
        let mut scheduling = self.thread.scheduling.lock();
        if nice < scheduling.nice && !may_be_nice(call, nice) {
            return Err(Errno::EACCES);
        }
        scheduling.nice = nice;
        Ok(())
    }

    fn set_attributes(&self, call: &Call<'_>, new: Attributes, nice: Option<i32>) -> Outcome {
        let is_real_time = [SCHED_FIFO, SCHED_RR].contains(&new.policy);
        if new.policy == SCHED_DEADLINE {
            return self.set_deadline(call, new);
        }
        let priorities = if is_real_time {
            1..=PRIORITY_MAX
        } else {
            0..=0
        };
        if !(is_real_time || ORDINARY.contains(&new.policy)) || !priorities.contains(&new.priority)
        {
            return Err(Errno::EINVAL.into());
        }
        let nice = nice.map(|nice| nice.clamp(-20, 19) as i8);
        let may_all = call.standing().can(Capabilities::SCHEDULE);
        if !may_all {
            self.check_owner(call)?;
        }
        let mut scheduling = self.thread.scheduling.lock();
        let before: &Scheduling = &scheduling;
        let limit = call.process.limits.lock().soft(Limits::REAL_TIME_PRIORITY);
        let is_allowed = may_all
            || ((!is_real_time
                || (before.attributes.policy == new.policy || limit > 0)
                    && (new.priority <= before.attributes.priority
                        || u64::from(new.priority) <= limit))
                && !(before.attributes.policy == SCHED_IDLE
                    && new.policy != SCHED_IDLE
                    && !may_be_nice(call, before.nice))
                && nice.is_none_or(|nice| nice >= before.nice || may_be_nice(call, nice))
                && (new.resets_on_fork || !before.attributes.resets_on_fork));
        if !is_allowed {
            return Err(Errno::EPERM.into());
        }
        scheduling.attributes = new;
        if let Some(nice) = nice.filter(|_| !is_real_time) {
            scheduling.nice = nice;
        }
        Ok(0)
    }
}

impl Scheduled {
    /// Deadlines are for who may do everything.
    fn set_deadline(&self, call: &Call<'_>, new: Attributes) -> Outcome {
        if new.priority != 0 || !new.deadline.is_some_and(DeadlineTerms::is_legal) {
            return Err(Errno::EINVAL.into());
        }
        call.require(Capabilities::SCHEDULE)?;
        self.thread.scheduling.lock().attributes = new;
        Ok(0)
    }
}

/// Whether the calling thread may lower a nice value to this one (`RLIMIT_NICE`).
fn may_be_nice(call: &Call<'_>, nice: i8) -> bool {
    let limit = call.process.limits.lock().soft(Limits::NICE);
    u64::from((20 - i16::from(nice)).unsigned_abs()) <= limit
        || call.standing().can(Capabilities::SCHEDULE)
}

impl Call<'_> {
    /// The thread `tid`: 0 for the calling one.
    fn scheduled(&self, tid: i32) -> Result<Scheduled, Errno> {
        let tid = match tid {
            0 => self.thread.tid(),
            tid => u32::try_from(tid).map_err(|_| Errno::EINVAL)?,
        };
        let processes = &self.libos.processes;
        let process = processes.of_thread(tid).or_else(|| processes.get(tid));
        let process = process.ok_or(Errno::ESRCH)?;
        let thread = process.thread_or_leader(tid).ok_or(Errno::ESRCH)?;
        Ok(Scheduled::of(&process, thread))
    }

    /// The thread whose processors are meant: no thread has a number below 0, but to ask for one is
    /// no mistake here.
    fn with_affinity(&self, tid: i32) -> Result<Scheduled, Errno> {
        if tid < 0 {
            return Err(Errno::ESRCH);
        }
        self.scheduled(tid)
    }

    /// The threads that `which` and `who` mean, where `kinds` are the numbers of a process, a group
    /// and a user.
    fn scheduled_group(
        &self,
        which: u32,
        who: i32,
        kinds: [u32; 3],
    ) -> Result<Vec<Scheduled>, Errno> {
        let [process, group, user] = kinds;
        if which == process {
            if who < 0 {
                return Err(Errno::ESRCH);
            }
            return Ok(Vec::from([self.scheduled(who)?]));
        }
        let who = who.cast_unsigned();
        let processes = &self.libos.processes;
        let meant = |candidate: &Arc<Process>| {
            if which == user {
                let wanted = if who == 0 {
                    self.standing().user.real
                } else {
                    who
                };
                return Ok::<_, Errno>(candidate.standing().user.real == wanted);
            }
            let wanted = if who == 0 { self.process.pid } else { who };
            let own = processes.group_and_session(candidate.pid)?.0;
            Ok(own
                == if who == 0 {
                    processes.group_and_session(wanted)?.0
                } else {
                    wanted
                })
        };
        if which != group && which != user {
            return Err(Errno::EINVAL);
        }
        let mut found = Vec::new();
        for process in processes
            .pids()
            .into_iter()
            .filter_map(|pid| processes.get(pid))
        {
            // One that is gone meanwhile is not meant.
            if !meant(&process).unwrap_or(false) {
                continue;
            }
            let threads = process.threads();
            found.extend(
                threads
                    .into_iter()
                    .map(|thread| Scheduled::of(&process, thread)),
            );
        }
        Ok(found)
    }

    fn require_any(&self, capabilities: [Capabilities; 2]) -> Result<(), Errno> {
        let standing = self.standing();
        if capabilities.iter().any(|&one| standing.can(one)) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }
}
