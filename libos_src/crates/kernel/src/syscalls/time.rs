//! Clocks and sleeping.

use core::time::Duration;

use hal::{Clock, Errno};

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use super::records::Time;
use crate::threads::{Deadline, Wake, duration_of, usage_of_process};

/// What one of Linux's clock numbers means (`linux/time.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockId {
    /// Time as on the wall.
    Wall(Clock),
    /// The same, to be looked at and not waited for, and what the machine's ticks are thought to be.
    Shown(Clock, Duration),
    /// A clock that wakes a machine that sleeps; there is no hardware for it.
    Alarm(Clock),
    /// Processor time of a process; 0 is the caller's.
    Process(u32),
    /// Processor time of a thread; 0 is the caller.
    Thread(u32),
}

impl ClockId {
    /// The clock with this number; `EINVAL` if there is none.
    pub(super) fn decode(id: i32) -> Result<Self, Errno> {
        const CLOCK_REALTIME: i32 = 0;
        const CLOCK_MONOTONIC: i32 = 1;
        const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;
        const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
        const CLOCK_MONOTONIC_RAW: i32 = 4;
        const CLOCK_REALTIME_COARSE: i32 = 5;
        const CLOCK_MONOTONIC_COARSE: i32 = 6;
        const CLOCK_BOOTTIME: i32 = 7;
        const CLOCK_REALTIME_ALARM: i32 = 8;
        const CLOCK_BOOTTIME_ALARM: i32 = 9;
        const CLOCK_TAI: i32 = 11;
        const EXACT: Duration = Duration::from_nanos(1);
        /// A tick, at 250 a second.
        const COARSE: Duration = Duration::from_millis(4);
        match id {
            CLOCK_REALTIME | CLOCK_TAI => Ok(Self::Wall(Clock::Realtime)),
            CLOCK_MONOTONIC | CLOCK_BOOTTIME => Ok(Self::Wall(Clock::Monotonic)),
            CLOCK_MONOTONIC_RAW => Ok(Self::Shown(Clock::Monotonic, EXACT)),
            CLOCK_REALTIME_COARSE => Ok(Self::Shown(Clock::Realtime, COARSE)),
            CLOCK_MONOTONIC_COARSE => Ok(Self::Shown(Clock::Monotonic, COARSE)),
            CLOCK_REALTIME_ALARM => Ok(Self::Alarm(Clock::Realtime)),
            CLOCK_BOOTTIME_ALARM => Ok(Self::Alarm(Clock::Monotonic)),
            CLOCK_PROCESS_CPUTIME_ID => Ok(Self::Process(0)),
            CLOCK_THREAD_CPUTIME_ID => Ok(Self::Thread(0)),
            // The inverted id, then one bit for a thread, then two for the kind (clock_getcpuclockid).
            id if id < 0 && id & 3 != 3 => {
                let target = !(id >> 3);
                let target = u32::try_from(target).map_err(|_| Errno::EINVAL)?;
                Ok(if id & 4 == 0 {
                    Self::Process(target)
                } else {
                    Self::Thread(target)
                })
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// What it shows.
    fn now(self, call: &Call<'_>) -> Result<Duration, Errno> {
        let libos = call.libos;
        match self {
            Self::Wall(clock) | Self::Shown(clock, _) => Ok(libos.machine.clock(clock).into()),
            Self::Alarm(_) => Err(Errno::EINVAL),
            Self::Process(0) => Ok(libos.processor_time(call.process)),
            Self::Process(pid) => {
                let process = libos.processes.get(pid).ok_or(Errno::EINVAL)?;
                Ok(libos.processor_time(&process))
            }
            Self::Thread(0) => Ok(libos.thread_time(call.thread)),
            Self::Thread(tid) => {
                let thread = call.process.thread(tid).ok_or(Errno::EINVAL)?;
                Ok(libos.thread_time(&thread))
            }
        }
    }
}

/// `clock_gettime(2)`.
pub(super) fn clock_gettime(call: &mut Call<'_>, id: i32, time: Address) -> Outcome {
    let now = ClockId::decode(id)?.now(call)?;
    call.memory().write(time.0, &time_of(now))?;
    Ok(0)
}

/// `clock_getres(2)`.
pub(super) fn clock_getres(call: &mut Call<'_>, id: i32, resolution: Address) -> Outcome {
    let clock = ClockId::decode(id)?;
    clock.now(call)?;
    let tick = match clock {
        ClockId::Shown(_, tick) => tick,
        _ => Duration::from_nanos(1),
    };
    if let Some(address) = resolution.non_null() {
        call.memory().write(address.0, &time_of(tick))?;
    }
    Ok(0)
}

/// `gettimeofday(2)`. The time zone is UTC.
pub(super) fn gettimeofday(call: &mut Call<'_>, time: Address, zone: Address) -> Outcome {
    let now = call.libos.machine.clock(Clock::Realtime);
    if let Some(address) = time.non_null() {
        let seconds = now.seconds.cast_signed();
        let microseconds = i64::from(now.nanoseconds / 1000);
        call.memory().write(
            address.0,
            &Time {
                seconds,
                fraction: microseconds,
            },
        )?;
    }
    if let Some(address) = zone.non_null() {
        call.memory().write(address.0, &[0i32; 2])?;
    }
    Ok(0)
}

/// `time(2)`.
pub(super) fn time(call: &mut Call<'_>, time: Address) -> Outcome {
    let now = call.libos.machine.clock(Clock::Realtime);
    if let Some(address) = time.non_null() {
        call.memory().write(address.0, &now.seconds)?;
    }
    Ok(now.seconds)
}

/// `times(2)`, in hundredths of a second.
pub(super) fn times(call: &mut Call<'_>, buffer: Address) -> Outcome {
    let ticks = |time: Duration| time.as_secs() * 100 + u64::from(time.subsec_millis() / 10);
    let now = call.libos.now();
    if let Some(address) = buffer.non_null() {
        let own = usage_of_process(call.libos.machine, call.process);
        let children = *call.process.children_usage.lock();
        let [own, children] =
            [own, children].map(|used| [ticks(used.user()), ticks(used.system())]);
        call.memory().write(address.0, &[own, children])?;
    }
    Ok(ticks(now))
}

/// `nanosleep(2)`.
pub(super) fn nanosleep(call: &mut Call<'_>, time: Address, left: Address) -> Outcome {
    let time = read_time(call, time)?;
    let deadline = call.deadline(Deadline::after(call.libos.machine, time));
    sleep_until(call, deadline, left)
}

/// `clock_nanosleep(2)`.
pub(super) fn clock_nanosleep(
    call: &mut Call<'_>,
    id: i32,
    flags: u32,
    time: Address,
    left: Address,
) -> Outcome {
    const TIMER_ABSTIME: u32 = 1;
    let clock = ClockId::decode(id)?;
    if let ClockId::Shown(..) | ClockId::Alarm(_) | ClockId::Thread(0) = clock {
        // Of its own processor time no thread can wait for more (clock_nanosleep(2)).
        return Err(Errno::EOPNOTSUPP.into());
    }
    let time = read_time(call, time)?;
    let ClockId::Wall(clock) = clock else {
        return sleep_by_processor(call, clock, flags & TIMER_ABSTIME != 0, time, left);
    };
    if flags & TIMER_ABSTIME != 0 {
        let deadline = call.deadline(Deadline::at(call.libos.machine, clock, time));
        return sleep_until(call, deadline, Address(0));
    }
    let deadline = call.deadline(Deadline::after(call.libos.machine, time));
    sleep_until(call, deadline, left)
}

/// Sleeps until a processor time has grown by, or to, `time`.
fn sleep_by_processor(
    call: &Call<'_>,
    clock: ClockId,
    is_absolute: bool,
    time: Duration,
    left: Address,
) -> Outcome {
    // It grows no faster than all processors do, and is not worth looking at more often.
    const LOOK: Duration = Duration::from_millis(1);
    if clock == ClockId::Thread(call.thread.tid()) {
        return Err(Errno::EINVAL.into());
    }
    let machine = call.libos.machine;
    let began = clock.now(call)?;
    let due = if is_absolute { time } else { began + time };
    loop {
        // A clock of who has ended stands still for ever.
        let remaining = due.saturating_sub(clock.now(call).unwrap_or(began));
        if remaining.is_zero() {
            return Ok(0);
        }
        let look = Deadline::after(machine, (remaining / machine.cpu_count().max(1)).max(LOOK));
        if call.libos.sleep(call.process, call.thread, look) == Wake::Signal {
            if let Some(address) = left.non_null().filter(|_| !is_absolute) {
                call.memory().write(address.0, &time_of(remaining))?;
            }
            // It does not start again, which would wait for all of the time once more.
            return Err(Errno::EINTR.into());
        }
    }
}

fn sleep_until(call: &Call<'_>, deadline: Deadline, left: Address) -> Outcome {
    loop {
        match call.libos.sleep(call.process, call.thread, deadline) {
            Wake::Look => {}
            Wake::TimedOut => return Ok(0),
            Wake::Signal => {
                let remaining = deadline.remaining(call.libos.machine).unwrap_or_default();
                if let Some(address) = left.non_null() {
                    call.memory().write(address.0, &time_of(remaining))?;
                }
                return Err(Stop::RestartUnhandled(deadline));
            }
        }
    }
}

fn read_time(call: &Call<'_>, time: Address) -> Result<Duration, Errno> {
    let time: Time = call.memory().read(time.0)?;
    duration_of(time.seconds, time.fraction)
}

pub(super) fn time_of(duration: Duration) -> Time {
    Time {
        seconds: duration.as_secs().cast_signed(),
        fraction: duration.subsec_nanos().into(),
    }
}
