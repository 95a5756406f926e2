//! The system as a whole, and odds and ends.

use alloc::vec;

use hal::{Clock, Errno};

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::signals::Signal;

const FIELD_BYTES: usize = 65;

/// `uname(2)`. The release is the oldest Linux that has all calls of our table.
pub(super) fn uname(call: &mut Call<'_>, buffer: Address) -> Outcome {
    let fields = [
        &b"Linux"[..],
        b"occlum",
        b"5.15.0-occlum",
        b"#1 SMP",
        b"x86_64",
        b"(none)",
    ];
    let mut record = [0; FIELD_BYTES * 6];
    for (to, field) in record.chunks_exact_mut(FIELD_BYTES).zip(fields) {
        to[..field.len()].copy_from_slice(field);
    }
    call.memory().copy_out(buffer.0, &record)?;
    Ok(0)
}

/// `sysinfo(2)`: the memory that programs have, not the host's.
pub(super) fn sysinfo(call: &mut Call<'_>, buffer: Address) -> Outcome {
    let (total, free) = call.memory().region_sizes_bytes();
    let mut words = [0u64; 14];
    words[0] = call.libos.machine.clock(Clock::Monotonic).seconds;
    words[4] = total;
    words[5] = free;
    words[10] = call.libos.processes.counts().1 as u64;
    words[13] = 1; // mem_unit, the low half of the last word
    call.memory().write(buffer.0, &words)?;
    Ok(0)
}

/// `getrandom(2)`: from the CPU, so there is nothing to wait for and no difference between pools.
pub(super) fn getrandom(call: &mut Call<'_>, buffer: Address, len: u64, flags: u32) -> Outcome {
    const FLAGS: u32 = 7;
    const CHUNK_BYTES: u64 = 4096;
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let len = len.min(i32::MAX as u64);
    call.memory().check_writable(buffer.0, len)?;
    let mut chunk = vec![0; CHUNK_BYTES.min(len) as usize];
    for done in (0..len).step_by(CHUNK_BYTES as usize) {
        let part = &mut chunk[..CHUNK_BYTES.min(len - done) as usize];
        call.libos.machine.random(part);
        call.memory().copy_out(buffer.0 + done, part)?;
    }
    Ok(len)
}

/// `getcpu(2)`: an enclave does not know, and any answer may be old.
pub(super) fn getcpu(call: &mut Call<'_>, cpu: Address, node: Address) -> Outcome {
    for address in [cpu, node].into_iter().filter_map(Address::non_null) {
        call.memory().write(address.0, &0u32)?;
    }
    Ok(0)
}

/// `prctl(2)`.
pub(super) fn prctl(call: &mut Call<'_>, option: i32, argument: u64) -> Outcome {
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
    const CAPABILITY_MAX: u64 = 40;
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
        PR_GET_DUMPABLE => Ok(0),
        PR_SET_DUMPABLE | PR_SET_NO_NEW_PRIVS => Ok(0),
        PR_GET_NO_NEW_PRIVS => Ok(1),
        PR_CAPBSET_READ if argument <= CAPABILITY_MAX => Ok(1),
        // libcap asks until there is no more. Names for anonymous memory are a kernel option that
        // programs do without.
        PR_CAPBSET_READ | PR_SET_VMA => Err(Errno::EINVAL.into()),
        _ => {
            call.libos
                .report_once(call.regs.rax, "this option does not exist; EINVAL");
            Err(Errno::EINVAL.into())
        }
    }
}
