//! What a thread says about itself.

use core::sync::atomic::Ordering;

use hal::Errno;

use super::call::{Call, Outcome, Stop};
use super::capabilities;
use crate::processes::SECURE_KEEP_CAPABILITIES;
use crate::signals::Signal;

/// `prctl(2)`.
pub(super) fn prctl(
    call: &mut Call<'_>,
    option: i32,
    argument: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
) -> Outcome {
    const PR_SET_PDEATHSIG: i32 = 1;
    const PR_GET_PDEATHSIG: i32 = 2;
    const PR_SET_CHILD_SUBREAPER: i32 = 36;
    const PR_GET_CHILD_SUBREAPER: i32 = 37;
    const PR_GET_DUMPABLE: i32 = 3;
    const PR_SET_DUMPABLE: i32 = 4;
    const PR_SET_NAME: i32 = 15;
    const PR_GET_NAME: i32 = 16;
    const PR_CAPBSET_READ: i32 = 23;
    const PR_SET_TIMERSLACK: i32 = 29;
    const PR_GET_TIMERSLACK: i32 = 30;
    const PR_SET_NO_NEW_PRIVS: i32 = 38;
    const PR_GET_NO_NEW_PRIVS: i32 = 39;
    const PR_SET_VMA: i32 = 0x5356_4d41;
    const NAME_MAX_BYTES: usize = 15;
    const PR_CAPBSET_DROP: i32 = 24;
    const PR_GET_SECUREBITS: i32 = 27;
    const PR_SET_SECUREBITS: i32 = 28;
    const PR_GET_KEEPCAPS: i32 = 7;
    const PR_SET_KEEPCAPS: i32 = 8;
    const PR_GET_TIMING: i32 = 13;
    const PR_SET_TIMING: i32 = 14;
    const PR_GET_SECCOMP: i32 = 21;
    const PR_GET_TSC: i32 = 25;
    const PR_MCE_KILL_GET: i32 = 34;
    const PR_GET_TID_ADDRESS: i32 = 40;
    const PR_SET_THP_DISABLE: i32 = 41;
    const PR_GET_THP_DISABLE: i32 = 42;
    const PR_CAP_AMBIENT: i32 = 47;
    const PR_SET_IO_FLUSHER: i32 = 57;
    const PR_GET_IO_FLUSHER: i32 = 58;
    let (processes, pid) = (&call.libos.processes, call.process.pid);
    match option {
        PR_SET_PDEATHSIG => {
            let signal = match argument {
                0 => None,
                number => {
                    let number = i32::try_from(number).map_err(|_| Errno::EINVAL)?;
                    Some(Signal::new(number)?)
                }
            };
            processes.set_death_signal(pid, signal);
            Ok(0)
        }
        PR_GET_PDEATHSIG => {
            let signal = processes.death_signal(pid);
            let number = signal.map_or(0, |signal| u32::from(signal.number()));
            call.memory().write(argument, &number)?;
            Ok(0)
        }
        PR_SET_CHILD_SUBREAPER => {
            processes.set_adopts(pid, argument != 0);
            Ok(0)
        }
        PR_GET_CHILD_SUBREAPER => {
            let adopts = u32::from(processes.adopts(pid));
            call.memory().write(argument, &adopts)?;
            Ok(0)
        }
        PR_SET_NAME => {
            let text = call
                .memory()
                .read_string(argument, NAME_MAX_BYTES, Errno::ENAMETOOLONG);
            let text = match text {
                // Linux cuts a longer name.
                Err(Errno::ENAMETOOLONG) => call.memory().read_bytes(argument, NAME_MAX_BYTES)?,
                text => text?,
            };
            let mut name = [0; 16];
            name[..text.len()].copy_from_slice(&text);
            *call.thread.name.lock() = name;
            Ok(0)
        }
        PR_GET_NAME => {
            let name = *call.thread.name.lock();
            call.memory().copy_out(argument, &name)?;
            Ok(0)
        }
        PR_SET_TIMERSLACK => {
            call.thread.timer_slack.lock().set(argument);
            Ok(0)
        }
        PR_GET_TIMERSLACK => Ok(call.thread.timer_slack.lock().nanoseconds()),
        PR_GET_DUMPABLE => Ok(call.process.is_dumpable.load(Ordering::Relaxed).into()),
        PR_SET_DUMPABLE => {
            if argument > 1 {
                return Err(Errno::EINVAL.into());
            }
            let is_dumpable = &call.process.is_dumpable;
            is_dumpable.store(argument == 1, Ordering::Relaxed);
            Ok(0)
        }
        PR_SET_NO_NEW_PRIVS => {
            if argument != 1 || [third, fourth, fifth] != [0; 3] {
                return Err(Errno::EINVAL.into());
            }
            call.change_principal(|who| {
                who.standing.gains_nothing = true;
                Ok(0)
            })
            .map_err(Stop::from)
        }
        PR_GET_NO_NEW_PRIVS => {
            if [argument, third, fourth, fifth] != [0; 4] {
                return Err(Errno::EINVAL.into());
            }
            Ok(call.standing().gains_nothing.into())
        }
        PR_CAPBSET_READ => capabilities::is_bounded(call, argument),
        PR_CAPBSET_DROP => capabilities::drop_bounded(call, argument),
        PR_CAP_AMBIENT if [fourth, fifth] == [0; 2] => {
            capabilities::change_ambient(call, argument, third)
        }
        PR_GET_KEEPCAPS => {
            let bits = call.standing().secure_bits;
            Ok((bits & SECURE_KEEP_CAPABILITIES != 0).into())
        }
        PR_SET_KEEPCAPS => capabilities::keep(call, argument),
        PR_GET_SECUREBITS => Ok(call.standing().secure_bits.into()),
        PR_SET_SECUREBITS => capabilities::set_secure_bits(call, argument),
        PR_GET_TID_ADDRESS => {
            let place = call.thread.clear_tid.load(Ordering::Relaxed);
            call.memory().write(argument, &place)?;
            Ok(0)
        }
        PR_GET_THP_DISABLE => {
            if [argument, third, fourth, fifth] != [0; 4] {
                return Err(Errno::EINVAL.into());
            }
            let wants_small_pages = &call.process.wants_small_pages;
            Ok(wants_small_pages.load(Ordering::Relaxed).into())
        }
        PR_SET_THP_DISABLE => {
            if [third, fourth, fifth] != [0; 3] {
                return Err(Errno::EINVAL.into());
            }
            let wants_small_pages = &call.process.wants_small_pages;
            wants_small_pages.store(argument != 0, Ordering::Relaxed);
            Ok(0)
        }
        // Statistical times, the usual action on bad memory, no file server: what is there for every
        // program.
        PR_GET_TIMING | PR_GET_IO_FLUSHER => Ok(0),
        PR_SET_TIMING if argument == 0 => Ok(0),
        PR_SET_IO_FLUSHER if argument == 0 => Ok(0),
        PR_MCE_KILL_GET => Ok(2),
        PR_GET_TSC => {
            const PR_TSC_ENABLE: u32 = 1;
            call.memory().write(argument, &PR_TSC_ENABLE)?;
            Ok(0)
        }
        // Names for anonymous memory and filters of calls are kernel options that programs do without.
        PR_SET_VMA | PR_GET_SECCOMP => Err(Errno::EINVAL.into()),
        _ => {
            call.libos
                .report_once(call.regs.rax, "this option does not exist; EINVAL");
            Err(Errno::EINVAL.into())
        }
    }
}
