//! Waiting for signals.

use hal::Errno;

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use super::records::Time;
use super::signal::check_set_bytes;
use crate::signals::SignalSet;
use crate::threads::{Deadline, Wake, duration_of};

/// `pause(2)`.
pub(super) fn pause(call: &mut Call<'_>) -> Outcome {
    while call.libos.sleep(call.process, call.thread, Deadline::NEVER) != Wake::Signal {}
    Err(Stop::RestartUnhandled(Deadline::NEVER))
}

/// `rt_sigsuspend(2)`.
pub(super) fn rt_sigsuspend(call: &mut Call<'_>, set: Address, set_bytes: u64) -> Outcome {
    check_set_bytes(set_bytes)?;
    let set = SignalSet::blockable(call.memory().read(set.0)?);
    call.libos.suspend_mask(call.process, call.thread, set);
    pause(call)
}

/// `rt_sigtimedwait(2)`: takes a pending signal of a set, which the caller blocks.
pub(super) fn rt_sigtimedwait(
    call: &mut Call<'_>,
    set: Address,
    info: Address,
    timeout: Address,
    set_bytes: u64,
) -> Outcome {
    check_set_bytes(set_bytes)?;
    let wanted = SignalSet::blockable(call.memory().read(set.0)?);
    let deadline = match timeout.non_null() {
        Some(address) => {
            let time: Time = call.memory().read(address.0)?;
            let time = duration_of(time.seconds, time.fraction)?;
            Deadline::after(call.libos.machine, time)
        }
        None => Deadline::NEVER,
    };
    let others = wanted.complement();
    // What is waited for must wake the thread, although it is blocked.
    let blocked = call.thread.signals.lock().mask;
    let mut signals = call.thread.signals.lock();
    signals.suspend_mask(blocked.difference(wanted));
    signals.awaited = blocked;
    drop(signals);
    let taken = loop {
        if let Some(taken) = call.process.take_signal(call.thread, others) {
            break Ok(taken);
        }
        match call.libos.sleep(call.process, call.thread, deadline) {
            Wake::Look => {}
            Wake::TimedOut => break Err(Errno::EAGAIN),
            Wake::Signal if has_wanted(call, wanted) => {}
            Wake::Signal => break Err(Errno::EINTR),
        }
    };
    call.libos.restore_mask(call.process, call.thread);
    call.thread.signals.lock().awaited = SignalSet::default();
    call.thread.look_at_signals();
    let (signal, taken) = taken?;
    if let Some(address) = info.non_null() {
        call.memory().write(address.0, &taken)?;
    }
    Ok(signal.number().into())
}

fn has_wanted(call: &Call<'_>, wanted: SignalSet) -> bool {
    let own = call.thread.signals.lock().pending.present();
    let pending = own.union(call.process.signals.lock().pending.present());
    pending.bits() & wanted.bits() != 0
}
