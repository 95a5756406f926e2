//! Threads of a program, and what they wait for each other with.

mod context;
mod futex;
mod owned_futex;
mod processor_time;
mod robust;
mod scheduler;
mod scheduling;
mod thread;
mod timer_slack;
mod turns;
mod wait;

pub(crate) use context::{Context, Resume};
pub(crate) use futex::{FutexKey, FutexWord, Futexes, WaitOn};
pub(crate) use owned_futex::OwnedFutexes;
pub(crate) use processor_time::{ProcessorTime, Sample, Usage, usage_of_process, usage_of_thread};
pub(crate) use robust::release_robust_list;
pub(crate) use scheduler::Scheduler;
pub(crate) use scheduling::{Attributes, DeadlineTerms, Scheduling};
pub(crate) use thread::{AfterFault, Thread};
pub(crate) use timer_slack::TimerSlack;
pub(crate) use wait::{Deadline, Sleeper, Wake, duration_of};
