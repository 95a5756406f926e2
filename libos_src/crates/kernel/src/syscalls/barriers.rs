//! Memory barriers in other threads (`membarrier(2)`).
//!
//! A thread that runs its program is interrupted, and passes a barrier when it looks at its signals;
//! one that is in the kernel passes one before it goes on. The host that loses an interruption keeps
//! the caller waiting, and nothing else.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr;
use core::sync::atomic::{Ordering, fence};
use core::time::Duration;

use bitflags::bitflags;
use hal::Errno;

use super::call::{Call, Outcome};
use crate::memory::AddressSpace;
use crate::threads::Thread;

bitflags! {
    /// What may be asked for. That other threads notice changes of code (`SYNC_CORE`) is not among
    /// it: no instruction that does this is permitted in every enclave.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Barriers: u32 {
        const GLOBAL = 1 << 0;
        const GLOBAL_EXPEDITED = 1 << 1;
        const REGISTER_GLOBAL_EXPEDITED = 1 << 2;
        const PRIVATE_EXPEDITED = 1 << 3;
        const REGISTER_PRIVATE_EXPEDITED = 1 << 4;
    }
}

/// How long an interruption takes at least; it is waited for in longer and longer steps.
const FIRST_PATIENCE: Duration = Duration::from_micros(20);
/// The longest step, after which the host is asked again.
const LAST_PATIENCE: Duration = Duration::from_millis(10);

/// `membarrier(2)`.
pub(super) fn membarrier(call: &mut Call<'_>, command: u32, flags: u32) -> Outcome {
    const QUERY: u32 = 0;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    if command == QUERY {
        return Ok(Barriers::all().bits().into());
    }
    let asked = Barriers::from_bits(command).ok_or(Errno::EINVAL)?;
    match asked {
        Barriers::REGISTER_GLOBAL_EXPEDITED => add(call, Barriers::GLOBAL_EXPEDITED),
        Barriers::REGISTER_PRIVATE_EXPEDITED => add(call, Barriers::PRIVATE_EXPEDITED),
        Barriers::PRIVATE_EXPEDITED if !has(call.memory().barriers(), asked) => {
            return Err(Errno::EPERM.into());
        }
        Barriers::PRIVATE_EXPEDITED => wait_for(call, |memory| ptr::eq(memory, call.memory())),
        Barriers::GLOBAL => wait_for(call, |_| true),
        Barriers::GLOBAL_EXPEDITED => wait_for(call, |memory| has(memory.barriers(), asked)),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

fn add(call: &Call<'_>, barriers: Barriers) {
    call.memory().add_barriers(barriers.bits());
}

fn has(registered: u32, barriers: Barriers) -> bool {
    Barriers::from_bits_truncate(registered).contains(barriers)
}

/// Returns when each other thread in such memory has passed a barrier since the call began.
fn wait_for(call: &Call<'_>, is_concerned: impl Fn(&AddressSpace) -> bool) {
    let (libos, own) = (call.libos, call.thread);
    fence(Ordering::SeqCst);
    let pids = libos.processes.pids().into_iter();
    let processes = pids.filter_map(|pid| libos.processes.get(pid));
    let concerned = processes.filter(|process| is_concerned(&process.memory()));
    let mut threads: Vec<Arc<Thread>> = concerned.flat_map(|process| process.threads()).collect();
    // What is not in its program passes one before it is.
    threads.retain(|thread| !Arc::ptr_eq(thread, own) && thread.holds_memory());
    let interrupt = |threads: &[Arc<Thread>]| threads.iter().for_each(|at| libos.interrupt(at));
    interrupt(&threads);
    if threads.is_empty() {
        return;
    }
    let mut patience = FIRST_PATIENCE;
    // Some of them may have to be alone in the memory first.
    libos.without_memory(call.process, own, || {
        loop {
            threads.retain(|thread| thread.is_yet_to_look());
            if threads.is_empty() || call.process.survivors.is_over_for(own.tid()) {
                break;
            }
            if patience == LAST_PATIENCE {
                interrupt(&threads);
            }
            libos.machine.park(Some(libos.now() + patience));
            patience = (patience * 2).min(LAST_PATIENCE);
        }
    });
    fence(Ordering::SeqCst);
}
