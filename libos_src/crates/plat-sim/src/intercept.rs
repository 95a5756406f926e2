//! Catching the system calls of code in the enclave, which on hardware raise #UD.
//!
//! The mechanism with a selector byte is not used: a signal at the wrong moment clears the selector
//! and lets system calls through.

use platform::{Error, Result};

use crate::{memory::host_error, options::Interception};

/// `prctl` option and modes of Syscall User Dispatch (`linux/prctl.h`).
const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
const DISPATCH_OFF: u64 = 0;
const DISPATCH_EXCEPT_INSIDE: u64 = 1;
const DISPATCH_INSIDE: u64 = 2;

/// Where user addresses end.
const ADDRESS_END: u64 = (1 << 47) - 4096;

/// Finds the mechanism that this kernel offers, or refuses the one that was asked for.
pub(crate) fn choose(wanted: Interception, enclave_end: u64) -> Result<Interception> {
    let candidates = match wanted {
        Interception::Automatic => &[
            Interception::DispatchInside,
            Interception::DispatchBelow,
            Interception::Seccomp,
        ][..],
        Interception::DispatchInside => &[Interception::DispatchInside],
        Interception::DispatchBelow => &[Interception::DispatchBelow],
        Interception::Seccomp => &[Interception::Seccomp],
    };
    for candidate in candidates {
        if *candidate == Interception::Seccomp {
            return Ok(Interception::Seccomp);
        }
        if arm(*candidate, enclave_end).is_ok() {
            disarm(*candidate);
            return Ok(*candidate);
        }
    }
    Err(Error::Unsupported(
        "the way to catch system calls that was asked for",
    ))
}

/// Catches the calling thread's system calls in the enclave. Seccomp needs no arming: a filter is
/// inherited.
pub(crate) fn arm(mechanism: Interception, enclave_end: u64) -> Result<()> {
    match mechanism {
        Interception::Automatic | Interception::Seccomp => Ok(()),
        Interception::DispatchInside => dispatch(DISPATCH_INSIDE, 0, enclave_end),
        Interception::DispatchBelow => dispatch(
            DISPATCH_EXCEPT_INSIDE,
            enclave_end,
            ADDRESS_END - enclave_end,
        ),
    }
}

/// Stops catching them.
pub(crate) fn disarm(mechanism: Interception) {
    if mechanism != Interception::Seccomp {
        // A thread that is about to end has nothing to do about a failure.
        let _ = dispatch(DISPATCH_OFF, 0, 0);
    }
}

fn dispatch(mode: u64, start: u64, length: u64) -> Result<()> {
    // SAFETY: only changes how this thread's system calls are dispatched; no selector is given.
    let done = unsafe { libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, mode, start, length, 0_u64) };
    if done == 0 {
        Ok(())
    } else {
        Err(host_error("set up Syscall User Dispatch"))
    }
}

/// A filter for this process and its children that traps system calls below `enclave_end`.
pub(crate) fn install_filter(enclave_end: u64) -> Result<()> {
    let filter = filter(enclave_end);
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: takes no memory. Without it an ordinary user may install no filter.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(host_error("set no_new_privs"));
    }
    // SAFETY: `program` and `filter` live until the call has copied them.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(host_error("install a seccomp filter"))
    }
}

/// Offsets of the instruction pointer's halves in `seccomp_data`.
const IP_LOW: u32 = 8;
const IP_HIGH: u32 = 12;

/// "Is the instruction pointer below the end?", in classic BPF, which has 32-bit words.
fn filter(enclave_end: u64) -> [libc::sock_filter; 6] {
    let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let at_least =
        |value, yes, no| instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, yes, no, value);
    let give = |value| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    // The end is a power of two: below 4 GiB the upper half must be zero and the lower below it;
    // else only the upper half counts.
    let (high, low) = if enclave_end < 1 << 32 {
        (1, enclave_end as u32)
    } else {
        ((enclave_end >> 32) as u32, u32::MAX)
    };
    let low_test = if enclave_end < 1 << 32 {
        at_least(low, 1, 0)
    } else {
        // Always below.
        instruction(libc::BPF_JMP | libc::BPF_JA, 0, 0, 0)
    };
    [
        load(IP_HIGH),
        at_least(high, 3, 0),
        load(IP_LOW),
        low_test,
        give(libc::SECCOMP_RET_TRAP),
        give(libc::SECCOMP_RET_ALLOW),
    ]
}

fn instruction(code: u32, yes: u8, no: u8, value: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: yes,
        jf: no,
        k: value,
    }
}
