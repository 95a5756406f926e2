//! Clocks and sleeping.

use core::time::Duration;

use hal::{Clock, Errno};

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use super::records::Time;
use crate::threads::{Deadline, Wake, duration_of};

/// What one of Linux's clock numbers means (`linux/time.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockId {
    /// Time as on the wall.
    Wall(Clock),
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
        match id {
            CLOCK_REALTIME | CLOCK_REALTIME_COARSE => Ok(Self::Wall(Clock::Realtime)),
            CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME => {
                Ok(Self::Wall(Clock::Monotonic))
            }
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
            Self::Wall(clock) => Ok(libos.machine.clock(clock).into()),
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
    ClockId::decode(id)?.now(call)?;
    if let Some(address) = resolution.non_null() {
        call.memory().write(
            address.0,
            &Time {
                seconds: 0,
                fraction: 1,
            },
        )?;
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
        // User times; system times are zero.
        let own = ticks(call.libos.processor_time(call.process));
        let children = ticks(*call.process.children_time.lock());
        call.memory().write(address.0, &[own, 0, children, 0])?;
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
    let time = read_time(call, time)?;
    let clock = match ClockId::decode(id)? {
        ClockId::Wall(clock) => clock,
        // What sleeps uses no processor.
        ClockId::Thread(_) => return Err(Errno::EINVAL.into()),
        ClockId::Process(_) => return Err(Errno::EOPNOTSUPP.into()),
    };
    if flags & TIMER_ABSTIME != 0 {
        return sleep_until(
            call,
            Deadline::at(call.libos.machine, clock, time),
            Address(0),
        );
    }
    let deadline = call.deadline(Deadline::after(call.libos.machine, time));
    sleep_until(call, deadline, left)
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
