//! Arguments that need more words than a letter of a signature: structures, flags of one call.

use crate::argument::Argument;
use crate::argument::Argument as A;
use crate::argument::Count::{Next, Previous};
use crate::flags as f;
use crate::names as n;
use crate::records as r;

/// What argument `index` of a call is, if its signature does not say enough.
pub(crate) fn detail(name: &str, index: usize) -> Option<Argument> {
    let (_, details) = DETAILS.iter().find(|(calls, _)| calls.contains(&name))?;
    let (_, argument) = details.iter().find(|(at, _)| *at == index)?;
    Some(*argument)
}

/// Calls, and what some of their arguments are.
type Details = (&'static [&'static str], &'static [(usize, Argument)]);

const INT_OUT: Argument = A::OutputRecord(&r::INT);

const DETAILS: &[Details] = &[
    (
        &["stat", "lstat", "fstat"],
        &[(1, A::OutputRecord(&r::STAT))],
    ),
    (&["newfstatat"], &[(2, A::OutputRecord(&r::STAT))]),
    (
        &["statx"],
        &[(3, A::Flags(f::STATX, 0)), (4, A::OutputRecord(&r::STATX))],
    ),
    (&["statfs", "fstatfs"], &[(1, A::OutputRecord(&r::STATFS))]),
    (&["uname"], &[(0, A::OutputRecord(&r::NAMES))]),
    (&["sysinfo"], &[(0, A::OutputRecord(&r::SYSTEM))]),
    (&["readv", "preadv"], &[(1, A::OutputVectors)]),
    (
        &["preadv2"],
        &[
            (1, A::OutputVectors),
            (4, A::Hex),
            (5, A::Flags(f::READ_WRITE, 0)),
        ],
    ),
    (
        &["pwritev2"],
        &[(4, A::Hex), (5, A::Flags(f::READ_WRITE, 0))],
    ),
    (
        &["vmsplice"],
        &[(1, A::Vectors), (3, A::Flags(f::SPLICE, 0))],
    ),
    (
        &["splice"],
        &[
            (1, A::Record(&r::LONG)),
            (3, A::Record(&r::LONG)),
            (5, A::Flags(f::SPLICE, 0)),
        ],
    ),
    (&["tee"], &[(3, A::Flags(f::SPLICE, 0))]),
    (
        &["copy_file_range"],
        &[(1, A::Record(&r::LONG)), (3, A::Record(&r::LONG))],
    ),
    (&["sendfile"], &[(2, A::Record(&r::LONG))]),
    (
        &["rt_sigaction"],
        &[(1, A::Record(&r::ACTION)), (2, A::OutputRecord(&r::ACTION))],
    ),
    (
        &["sigaltstack"],
        &[(0, A::Record(&r::STACK)), (1, A::OutputRecord(&r::STACK))],
    ),
    (
        &["rt_sigtimedwait"],
        &[(1, A::OutputRecord(&r::SIGNAL_INFO))],
    ),
    (&["rt_sigqueueinfo"], &[(2, A::Record(&r::SIGNAL_INFO))]),
    (&["rt_tgsigqueueinfo"], &[(3, A::Record(&r::SIGNAL_INFO))]),
    (
        &["waitid"],
        &[
            (2, A::OutputRecord(&r::SIGNAL_INFO)),
            (4, A::OutputRecord(&r::USAGE)),
        ],
    ),
    (&["wait4"], &[(3, A::OutputRecord(&r::USAGE))]),
    (
        &["getrusage"],
        &[(0, A::Named(f::USAGE)), (1, A::OutputRecord(&r::USAGE))],
    ),
    (&["times"], &[(0, A::OutputRecord(&r::CLOCK_TICKS))]),
    (&["getrlimit"], &[(1, A::OutputRecord(&r::LIMIT))]),
    (&["setrlimit"], &[(1, A::Record(&r::LIMIT))]),
    (
        &["prlimit64"],
        &[(2, A::Record(&r::LIMIT)), (3, A::OutputRecord(&r::LIMIT))],
    ),
    (
        &["getitimer"],
        &[
            (0, A::Named(f::INTERVAL_TIMER)),
            (1, A::OutputRecord(&r::INTERVAL)),
        ],
    ),
    (
        &["setitimer"],
        &[
            (0, A::Named(f::INTERVAL_TIMER)),
            (1, A::Record(&r::INTERVAL)),
            (2, A::OutputRecord(&r::INTERVAL)),
        ],
    ),
    (
        &["timer_create"],
        &[(1, A::Record(&r::EVENT)), (2, INT_OUT)],
    ),
    (
        &["timer_gettime", "timerfd_gettime"],
        &[(1, A::OutputRecord(&r::INTERVAL))],
    ),
    (
        &["timer_settime"],
        &[
            (1, A::Flags(f::TIMER_SET, 0)),
            (2, A::Record(&r::INTERVAL)),
            (3, A::OutputRecord(&r::INTERVAL)),
        ],
    ),
    (
        &["timerfd_settime"],
        &[
            (1, A::Flags(f::TIMER_FD_SET, 0)),
            (2, A::Record(&r::INTERVAL)),
            (3, A::OutputRecord(&r::INTERVAL)),
        ],
    ),
    (&["timerfd_create"], &[(1, A::Flags(f::TIMER_FD, 0))]),
    (&["clock_nanosleep"], &[(1, A::Flags(f::TIMER_SET, 0))]),
    (&["gettimeofday"], &[(0, A::OutputTime)]),
    (&["time"], &[(0, A::OutputRecord(&r::LONG))]),
    (&["utime"], &[(1, A::Record(&r::UTIME))]),
    (&["utimes"], &[(1, A::Record(&r::TIMES))]),
    (&["futimesat", "utimensat"], &[(2, A::Record(&r::TIMES))]),
    (
        &["select"],
        &[
            (1, A::Descriptors),
            (2, A::Descriptors),
            (3, A::Descriptors),
        ],
    ),
    (
        &["pselect6"],
        &[
            (1, A::Descriptors),
            (2, A::Descriptors),
            (3, A::Descriptors),
        ],
    ),
    (&["epoll_create1"], &[(0, A::Flags(f::EPOLL_CREATE, 0))]),
    (&["epoll_ctl"], &[(3, A::Record(&r::EPOLL_EVENT))]),
    (
        &["epoll_wait", "epoll_pwait", "epoll_pwait2"],
        &[(1, A::OutputRecords(&r::EPOLL_EVENT))],
    ),
    (&["eventfd2"], &[(1, A::Flags(f::EVENT_FD, 0))]),
    (&["signalfd4"], &[(3, A::Flags(f::SIGNAL_FD, 0))]),
    (
        &["accept", "accept4", "getsockname", "getpeername"],
        &[(1, A::OutputAddress), (2, INT_OUT)],
    ),
    (&["recvfrom"], &[(4, A::OutputAddress), (5, INT_OUT)]),
    (&["sendmsg"], &[(1, A::Record(&r::MESSAGE))]),
    (&["recvmsg"], &[(1, A::OutputRecord(&r::MESSAGE))]),
    (
        &["sendmmsg"],
        &[(1, A::Records(&r::MESSAGE_AND_LENGTH, Next))],
    ),
    (
        &["recvmmsg"],
        &[(1, A::OutputRecords(&r::MESSAGE_AND_LENGTH))],
    ),
    (
        &["getsockopt"],
        &[
            (1, A::Named(f::SOCKET_LEVEL)),
            (2, A::SocketOption),
            (3, INT_OUT),
            (4, INT_OUT),
        ],
    ),
    (
        &["setsockopt"],
        &[
            (1, A::Named(f::SOCKET_LEVEL)),
            (2, A::SocketOption),
            (3, A::Record(&r::INT)),
        ],
    ),
    (&["fcntl"], &[(2, A::FileControl)]),
    (&["renameat2"], &[(4, A::Flags(f::RENAME, 0))]),
    (
        &["setxattr", "lsetxattr", "fsetxattr"],
        &[(2, A::Input), (4, A::Flags(f::XATTR, 0))],
    ),
    (&["getxattr", "lgetxattr", "fgetxattr"], &[(2, A::Output)]),
    (
        &["listxattr", "llistxattr", "flistxattr"],
        &[(1, A::Output)],
    ),
    (&["fadvise64"], &[(3, A::Named(f::FILE_ADVICE))]),
    (&["fallocate"], &[(1, A::Flags(f::ALLOCATE, 0))]),
    (&["sync_file_range"], &[(3, A::Flags(f::SYNC_RANGE, 0))]),
    (&["memfd_create"], &[(1, A::Flags(f::MEMORY_FILE, 0))]),
    (&["close_range"], &[(2, A::Flags(f::CLOSE_RANGE, 0))]),
    (&["mount"], &[(3, A::Flags(f::MOUNT, 0))]),
    (&["umount2"], &[(1, A::Flags(f::UMOUNT, 0))]),
    (&["openat2"], &[(2, A::Record(&r::OPEN))]),
    (&["clone3"], &[(0, A::Record(&r::CLONE))]),
    (&["msync"], &[(2, A::Flags(f::MSYNC, 0))]),
    (&["mlockall"], &[(0, A::Flags(f::LOCK_ALL, 0))]),
    (&["mlock2"], &[(2, A::Flags(f::LOCK_2, 0))]),
    (&["membarrier"], &[(0, A::Named(f::BARRIER))]),
    (&["prctl"], &[(0, A::Named(f::PROCESS))]),
    (
        &["getpriority", "setpriority"],
        &[(0, A::Named(f::PRIORITY))],
    ),
    (
        &["ioprio_get", "ioprio_set"],
        &[(0, A::Named(f::IO_PRIORITY))],
    ),
    (
        &["sched_setscheduler"],
        &[(1, A::Named(f::SCHEDULER)), (2, A::Record(&r::INT))],
    ),
    (&["sched_setparam"], &[(1, A::Record(&r::INT))]),
    (&["sched_getparam"], &[(1, INT_OUT)]),
    (
        &["sched_get_priority_max", "sched_get_priority_min"],
        &[(0, A::Named(f::SCHEDULER))],
    ),
    (&["sched_rr_get_interval"], &[(1, A::OutputTime)]),
    (&["sched_setaffinity"], &[(2, A::Processors)]),
    (&["sched_getaffinity"], &[(2, A::OutputProcessors)]),
    (&["shmget"], &[(2, A::FlagsAndMode(f::IPC_FLAGS))]),
    (&["shmat"], &[(2, A::Flags(f::ATTACH, 0))]),
    (&["shmctl"], &[(1, A::Named(f::SHARED_COMMAND))]),
    (&["semget"], &[(2, A::FlagsAndMode(f::IPC_FLAGS))]),
    (
        &["semop", "semtimedop"],
        &[(1, A::Records(&r::SEMAPHORE_OPERATION, Next))],
    ),
    (&["semctl"], &[(2, A::Named(f::IPC_COMMAND))]),
    (&["msgget"], &[(1, A::FlagsAndMode(f::IPC_FLAGS))]),
    (&["msgsnd"], &[(3, A::Flags(f::IPC_OPERATION, 0))]),
    (&["msgrcv"], &[(4, A::Flags(f::IPC_OPERATION, 0))]),
    (&["msgctl"], &[(1, A::Named(f::IPC_COMMAND))]),
    (&["getgroups"], &[(1, A::OutputRecords(&r::INT))]),
    (&["setgroups"], &[(1, A::Records(&r::INT, Previous))]),
    (
        &["getresuid", "getresgid"],
        &[(0, INT_OUT), (1, INT_OUT), (2, INT_OUT)],
    ),
    (&["getcpu"], &[(0, INT_OUT), (1, INT_OUT)]),
    (
        &["capget"],
        &[
            (0, A::Record(&r::CAPABILITY_HEADER)),
            (1, A::OutputRecord(&r::CAPABILITIES)),
        ],
    ),
    (
        &["capset"],
        &[
            (0, A::Record(&r::CAPABILITY_HEADER)),
            (1, A::Record(&r::CAPABILITIES)),
        ],
    ),
    (&["execveat"], &[(4, A::Flags(n::AT, 0))]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::{name_of, signature};

    #[test]
    fn each_detail_is_of_a_call_and_of_an_argument_that_it_has() {
        let known: alloc::vec::Vec<_> = (0..500).filter_map(signature).collect();
        let mut seen = alloc::vec::Vec::new();
        for (names, details) in DETAILS {
            for name in *names {
                assert!(!seen.contains(name), "{name} is there twice");
                seen.push(*name);
                let found = known.iter().find(|(call, _)| call == name);
                let (_, letters) = found.unwrap_or_else(|| panic!("there is no {name}"));
                for (index, _) in *details {
                    assert!(*index < letters.len(), "{name} has no argument {index}");
                }
            }
        }
        assert_eq!(name_of(4), Some("stat"));
    }
}
