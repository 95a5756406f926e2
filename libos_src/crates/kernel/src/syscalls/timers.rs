//! Timers.

use core::time::Duration;

use alloc::sync::Arc;

use hal::{Clock, Errno};
use vfs::{Capabilities, OpenFlags};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::argument::Address;
use super::call::{Call, Outcome};
use super::records::Time;
use super::time::{ClockId, time_of};
use crate::files::TimerFile;
use crate::threads::duration_of;
use crate::timers::{IntervalKind, Notice, NoticeRecord, Setting, TimerClock};

/// `struct itimerspec` and, with microseconds, `struct itimerval`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct SettingRecord {
    interval: Time,
    value: Time,
}

const TIMER_ABSTIME: u32 = 1;
const CLOCK_TAI: i32 = 11;

/// `alarm(2)`.
pub(super) fn alarm(call: &mut Call<'_>, seconds: u32) -> Outcome {
    let setting = Setting {
        value: Duration::from_secs(seconds.into()),
        ..Setting::default()
    };
    let timers = &call.process.interval_timers;
    let before = timers.set(call.libos, call.process, IntervalKind::Real, setting)?;
    // Rounded to the nearest second, but a timer that runs is never shown as none.
    let left = before.value;
    let seconds = left.as_secs() + u64::from(left.subsec_millis() >= 500);
    Ok(if left.is_zero() { 0 } else { seconds.max(1) })
}

/// `setitimer(2)`.
pub(super) fn setitimer(call: &mut Call<'_>, which: i32, new: Address, old: Address) -> Outcome {
    let kind = interval_kind(which)?;
    let setting = match new.non_null() {
        Some(address) => {
            let SettingRecord { interval, value } = call.memory().read(address.0)?;
            Setting {
                value: from_microseconds(value)?,
                interval: from_microseconds(interval)?,
                late: Duration::ZERO,
            }
        }
        None => Setting::default(),
    };
    let timers = &call.process.interval_timers;
    let before = timers.set(call.libos, call.process, kind, setting)?;
    if let Some(address) = old.non_null() {
        call.memory().write(address.0, &in_microseconds(before))?;
    }
    Ok(0)
}

/// `getitimer(2)`.
pub(super) fn getitimer(call: &mut Call<'_>, which: i32, setting: Address) -> Outcome {
    let kind = interval_kind(which)?;
    let timers = &call.process.interval_timers;
    let now = timers.get(call.libos, call.process, kind);
    call.memory().write(setting.0, &in_microseconds(now))?;
    Ok(0)
}

fn interval_kind(which: i32) -> Result<IntervalKind, Errno> {
    match which {
        0 => Ok(IntervalKind::Real),
        1 => Ok(IntervalKind::Virtual),
        2 => Ok(IntervalKind::Profile),
        _ => Err(Errno::EINVAL),
    }
}

fn from_microseconds(time: Time) -> Result<Duration, Errno> {
    match time.fraction {
        microseconds @ 0..1_000_000 => duration_of(time.seconds, microseconds * 1000),
        _ => Err(Errno::EINVAL),
    }
}

/// What is left of a timer that runs is not rounded to nothing.
fn in_microseconds(setting: Setting) -> SettingRecord {
    let round = |duration: Duration| {
        let rounded = time_of(duration.saturating_add(Duration::from_nanos(999)));
        Time {
            fraction: rounded.fraction / 1000,
            ..rounded
        }
    };
    SettingRecord {
        interval: round(setting.interval),
        value: round(setting.value),
    }
}

/// `timer_create(2)`.
pub(super) fn timer_create(
    call: &mut Call<'_>,
    clock: i32,
    event: Address,
    timer: Address,
) -> Outcome {
    let (clock, thread) = match ClockId::decode(clock)? {
        ClockId::Wall(clock) => (TimerClock::Wall(clock), None),
        ClockId::Shown(..) | ClockId::Alarm(_) => return Err(Errno::EOPNOTSUPP.into()),
        ClockId::Process(pid) if pid == 0 || pid == call.process.pid => {
            (TimerClock::Processor, None)
        }
        ClockId::Thread(0) => (TimerClock::Processor, Some(call.thread.clone())),
        ClockId::Thread(tid) => {
            let thread = call.process.thread(tid).ok_or(Errno::EINVAL)?;
            (TimerClock::Processor, Some(thread))
        }
        ClockId::Process(_) => return Err(Errno::EINVAL.into()),
    };
    let notice = match event.non_null() {
        Some(address) => {
            let record: NoticeRecord = call.memory().read(address.0)?;
            Some(Notice::decode(&record)?)
        }
        None => None,
    };
    if let Some(Notice::Thread { tid, .. }) = notice
        && call.process.thread(tid).is_none()
    {
        return Err(Errno::EINVAL.into());
    }
    let timers = &call.process.timers;
    let room = call.libos.take_signal_room(call.process);
    let room = room.ok_or(Errno::EAGAIN)?;
    let id = timers.create(room, call.process, thread.as_ref(), clock, |id| {
        notice.unwrap_or(Notice::default_for(id))
    })?;
    if let Err(errno) = call.memory().write(timer.0, &id) {
        timers.delete(call.libos, id.cast_signed())?;
        return Err(errno.into());
    }
    Ok(0)
}

/// `timer_settime(2)`.
pub(super) fn timer_settime(
    call: &mut Call<'_>,
    id: i32,
    flags: u32,
    new: Address,
    old: Address,
) -> Outcome {
    if new.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let setting = read_setting(call, new)?;
    let timer = call.process.timers.get(id)?;
    let setting = match timer.clock {
        _ if flags & TIMER_ABSTIME == 0 => setting,
        TimerClock::Wall(clock) => from_now(setting, call.libos.machine.clock(clock).into()),
        TimerClock::Processor => from_now(setting, timer.now(call.libos)),
    };
    let before = timer.set(call.libos, setting)?;
    expire_now(call, setting);
    write_setting(call, old, before)
}

/// `timer_gettime(2)`.
pub(super) fn timer_gettime(call: &mut Call<'_>, id: i32, setting: Address) -> Outcome {
    let timer = call.process.timers.get(id)?;
    let now = record_of(timer.setting(call.libos));
    call.memory().write(setting.0, &now)?;
    Ok(0)
}

/// `timer_getoverrun(2)`.
pub(super) fn timer_getoverrun(call: &mut Call<'_>, id: i32) -> Outcome {
    Ok(call.process.timers.get(id)?.overruns().into())
}

/// `timer_delete(2)`.
pub(super) fn timer_delete(call: &mut Call<'_>, id: i32) -> Outcome {
    call.process.timers.delete(call.libos, id)?;
    Ok(0)
}

/// `timerfd_create(2)`.
pub(super) fn timerfd_create(call: &mut Call<'_>, clock: i32, flags: u32) -> Outcome {
    let clock = match ClockId::decode(clock)? {
        ClockId::Wall(Clock::Realtime) if clock == CLOCK_TAI => return Err(Errno::EINVAL.into()),
        ClockId::Alarm(_) if !call.standing().can(Capabilities::WAKE_ALARM) => {
            return Err(Errno::EPERM.into());
        }
        ClockId::Wall(clock) | ClockId::Alarm(clock) => clock,
        _ => return Err(Errno::EINVAL.into()),
    };
    let known = OpenFlags::CLOSE_ON_EXEC | OpenFlags::NON_BLOCKING;
    let flags = OpenFlags::from_bits(flags).filter(|&flags| known.contains(flags));
    let flags = flags.ok_or(Errno::EINVAL)? | OpenFlags::READ_WRITE;
    let timer = Arc::new(TimerFile::new(clock, &call.libos.timers));
    call.add_anonymous(timer, b"anon_inode:[timerfd]", flags)
}

/// `timerfd_settime(2)`. That a realtime clock was set is not told: nobody here sets it.
pub(super) fn timerfd_settime(
    call: &mut Call<'_>,
    fd: i32,
    flags: u32,
    new: Address,
    old: Address,
) -> Outcome {
    const TFD_TIMER_CANCEL_ON_SET: u32 = 2;
    if flags & !(TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let setting = read_setting(call, new)?;
    let file = call.file(fd)?;
    let timer = TimerFile::behind(&file).ok_or(Errno::EINVAL)?;
    let setting = if flags & TIMER_ABSTIME == 0 {
        setting
    } else {
        from_now(setting, call.libos.machine.clock(timer.clock()).into())
    };
    let before = timer.set(call.libos, setting)?;
    expire_now(call, setting);
    write_setting(call, old, before)
}

/// `timerfd_gettime(2)`.
pub(super) fn timerfd_gettime(call: &mut Call<'_>, fd: i32, setting: Address) -> Outcome {
    let file = call.file(fd)?;
    let timer = TimerFile::behind(&file).ok_or(Errno::EINVAL)?;
    let now = record_of(timer.setting(call.libos));
    call.memory().write(setting.0, &now)?;
    Ok(0)
}

/// What is due already is told before the call returns, as Linux does.
fn expire_now(call: &Call<'_>, setting: Setting) {
    if !setting.late.is_zero() {
        let _ = call.libos.serve_timers();
    }
}

/// A setting whose first time is a moment on a clock that shows `now`. A moment that has passed is
/// due at once, and has been since then; no moment stays none.
fn from_now(setting: Setting, now: Duration) -> Setting {
    if setting.value.is_zero() {
        return setting;
    }
    let left = setting.value.saturating_sub(now);
    Setting {
        value: left.max(Duration::from_nanos(1)),
        late: now.saturating_sub(setting.value),
        ..setting
    }
}

fn read_setting(call: &Call<'_>, address: Address) -> Result<Setting, Errno> {
    let SettingRecord { interval, value } = call.memory().read(address.0)?;
    Ok(Setting {
        value: duration_of(value.seconds, value.fraction)?,
        interval: duration_of(interval.seconds, interval.fraction)?,
        late: Duration::ZERO,
    })
}

fn write_setting(call: &Call<'_>, address: Address, setting: Setting) -> Outcome {
    if let Some(address) = address.non_null() {
        call.memory().write(address.0, &record_of(setting))?;
    }
    Ok(0)
}

fn record_of(setting: Setting) -> SettingRecord {
    SettingRecord {
        interval: time_of(setting.interval),
        value: time_of(setting.value),
    }
}
