//! Timers: what happens at a time, whoever runs then.

mod interval;
mod notice;
mod posix;
mod processor_limit;
mod queue;
mod schedule;

pub(crate) use interval::{IntervalKind, IntervalTimers};
pub(crate) use notice::{EventRecord as NoticeRecord, Notice};
pub(crate) use posix::PosixTimers;
pub(crate) use processor_limit::ProcessorLimit;
pub(crate) use queue::{Expire, Key, Timers};
pub(crate) use schedule::{Schedule, Setting, TimerClock};
