//! The end of threads and processes.

use core::sync::atomic::Ordering;

use hal::{Errno, Next};

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use crate::threads::release_robust_list;

/// `exit(2)`: this thread ends, and the process with its last thread.
pub(super) fn exit(call: &mut Call<'_>, status: i32) -> Outcome {
    let (libos, thread) = (call.libos, call.thread);
    let robust_list = thread.robust_list.load(Ordering::Relaxed);
    if robust_list != 0 {
        let memory = call.memory();
        release_robust_list(
            memory,
            &libos.futexes,
            libos.machine,
            robust_list,
            thread.tid,
        );
    }
    let last_status = call.process.remove_thread(thread.tid, status);
    let clear_tid = thread.clear_tid.load(Ordering::Relaxed);
    if clear_tid != 0 && call.memory().store_u32(clear_tid, 0).is_ok() {
        libos.futexes.wake(libos.machine, clear_tid, 1, u32::MAX);
    }
    Err(Stop::Leave(match last_status {
        Some(status) => Next::ExitProcess(status & 0xff),
        None => Next::ExitThread,
    }))
}

/// `exit_group(2)`.
pub(super) fn exit_group(_call: &mut Call<'_>, status: i32) -> Outcome {
    Err(Stop::Leave(Next::ExitProcess(status & 0xff)))
}

/// `wait4(2)`: there are no children.
pub(super) fn wait4(
    _call: &mut Call<'_>,
    _pid: i32,
    _status: Address,
    _options: i32,
    _usage: Address,
) -> Outcome {
    Err(Errno::ECHILD.into())
}

/// `waitid(2)`: there are no children.
pub(super) fn waitid(
    _call: &mut Call<'_>,
    _kind: u32,
    _id: i32,
    _info: Address,
    _options: i32,
) -> Outcome {
    Err(Errno::ECHILD.into())
}
