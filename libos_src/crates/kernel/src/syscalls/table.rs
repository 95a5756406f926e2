//! Which function serves which number, and what its arguments are.

use super::argument::{Address, Argument};
use super::call::{Call, Outcome};
use super::extended::{Link, Open, Path};
use super::system_v::{messages, segments, semaphores};
use super::{
    barriers, capabilities, clone, descriptors, directories, event_poll, exec, extended,
    file_locks, foreign_memory, futex, identity, inotify, input_output, ioctl, links,
    locked_memory, mapping, memory_file, message_queues, metadata, mounts, open, pidfd, pipes,
    poll, prctl, process, refused, residence, resources, scheduling, signal, signal_file,
    signal_wait, sized_futex, socket_messages, sockets, splice, storage, system, thread, time,
    timers, users, vectors,
};

macro_rules! table {
    ($($number:literal $name:ident => $serve:path, ($($argument:ty),*);)*) => {
        /// Decodes the arguments of call `number` and serves it.
        pub(super) fn dispatch(call: &mut Call<'_>, number: u64, registers: [u64; 6]) -> Outcome {
            match number {
                $($number => {
                    #[allow(unused_mut, unused_variables, reason = "not every call has arguments")]
                    let mut registers = registers.into_iter();
                    $serve(
                        call,
                        $(<$argument>::decode(registers.next().unwrap_or_default()),)*
                    )
                })*
                _ => refused::unknown(call, number),
            }
        }

        /// The name of a system call that is in the table.
        pub(crate) const fn name_of(number: u64) -> Option<&'static str> {
            match number {
                $($number => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

table! {
    0 read => input_output::read, (i32, Address, u64);
    1 write => input_output::write, (i32, Address, u64);
    2 open => open::open, (Address, u32, u32);
    3 close => descriptors::close, (i32);
    4 stat => metadata::stat, (Address, Address);
    5 fstat => metadata::fstat, (i32, Address);
    6 lstat => metadata::lstat, (Address, Address);
    7 poll => poll::poll, (Address, u32, i32);
    8 lseek => input_output::lseek, (i32, i64, u32);
    9 mmap => mapping::mmap, (u64, u64, u32, u32, i32, u64);
    10 mprotect => mapping::mprotect, (u64, u64, u32);
    11 munmap => mapping::munmap, (u64, u64);
    12 brk => mapping::brk, (u64);
    13 rt_sigaction => signal::rt_sigaction, (i32, Address, Address, u64);
    14 rt_sigprocmask => signal::rt_sigprocmask, (i32, Address, Address, u64);
    15 rt_sigreturn => signal::rt_sigreturn, ();
    16 ioctl => ioctl::ioctl, (i32, u32, u64);
    17 pread64 => input_output::pread64, (i32, Address, u64, i64);
    18 pwrite64 => input_output::pwrite64, (i32, Address, u64, i64);
    19 readv => vectors::readv, (i32, Address, u64);
    20 writev => vectors::writev, (i32, Address, u64);
    21 access => metadata::access, (Address, u32);
    22 pipe => pipes::pipe, (Address);
    23 select => poll::select, (i32, Address, Address, Address, Address);
    24 sched_yield => thread::sched_yield, ();
    25 mremap => mapping::mremap, (u64, u64, u64, u32, u64);
    26 msync => mapping::msync, (u64, u64, u32);
    27 mincore => residence::mincore, (u64, u64, Address);
    28 madvise => mapping::madvise, (u64, u64, i32);
    29 shmget => segments::shmget, (i32, u64, u32);
    30 shmat => segments::shmat, (i32, u64, u32);
    31 shmctl => segments::shmctl, (i32, u32, Address);
    32 dup => descriptors::dup, (i32);
    33 dup2 => descriptors::dup2, (i32, i32);
    34 pause => signal_wait::pause, ();
    35 nanosleep => time::nanosleep, (Address, Address);
    36 getitimer => timers::getitimer, (i32, Address);
    37 alarm => timers::alarm, (u32);
    38 setitimer => timers::setitimer, (i32, Address, Address);
    39 getpid => identity::getpid, ();
    40 sendfile => splice::sendfile, (i32, i32, Address, u64);
    41 socket => sockets::socket, (i32, u32, i32);
    42 connect => sockets::connect, (i32, Address, u32);
    43 accept => sockets::accept, (i32, Address, Address);
    44 sendto => socket_messages::sendto, (i32, Address, u64, u32, Address, u32);
    45 recvfrom => socket_messages::recvfrom, (i32, Address, u64, u32, Address, Address);
    46 sendmsg => socket_messages::sendmsg, (i32, Address, u32);
    47 recvmsg => socket_messages::recvmsg, (i32, Address, u32);
    48 shutdown => sockets::shutdown, (i32, u32);
    49 bind => sockets::bind, (i32, Address, u32);
    50 listen => sockets::listen, (i32, i32);
    51 getsockname => sockets::getsockname, (i32, Address, Address);
    52 getpeername => sockets::getpeername, (i32, Address, Address);
    53 socketpair => sockets::socketpair, (i32, u32, i32, Address);
    54 setsockopt => sockets::setsockopt, (i32, i32, u32, Address, u32);
    55 getsockopt => sockets::getsockopt, (i32, i32, u32, Address, Address);
    56 clone => clone::clone, (u64, u64, Address, Address, u64);
    57 fork => clone::fork, ();
    58 vfork => clone::vfork, ();
    59 execve => exec::execve, (Address, Address, Address);
    60 exit => process::exit, (i32);
    61 wait4 => process::wait4, (i32, Address, i32, Address);
    62 kill => signal::kill, (i32, i32);
    63 uname => system::uname, (Address);
    64 semget => semaphores::semget, (i32, i32, u32);
    65 semop => semaphores::semop, (i32, Address, u64);
    66 semctl => semaphores::semctl, (i32, i32, u32, u64);
    67 shmdt => segments::shmdt, (u64);
    68 msgget => messages::msgget, (i32, u32);
    69 msgsnd => messages::msgsnd, (i32, Address, u64, u32);
    70 msgrcv => messages::msgrcv, (i32, Address, u64, i64, u32);
    71 msgctl => messages::msgctl, (i32, u32, Address);
    72 fcntl => descriptors::fcntl, (i32, u32, u64);
    73 flock => file_locks::flock, (i32, u32);
    74 fsync => input_output::fsync, (i32);
    75 fdatasync => input_output::fsync, (i32);
    76 truncate => metadata::truncate, (Address, i64);
    77 ftruncate => metadata::ftruncate, (i32, i64);
    78 getdents => directories::getdents, (i32, Address, u32);
    79 getcwd => directories::getcwd, (Address, u64);
    80 chdir => directories::chdir, (Address);
    81 fchdir => directories::fchdir, (i32);
    82 rename => links::rename, (Address, Address);
    83 mkdir => directories::mkdir, (Address, u32);
    84 rmdir => directories::rmdir, (Address);
    85 creat => open::creat, (Address, u32);
    86 link => links::link, (Address, Address);
    87 unlink => links::unlink, (Address);
    88 symlink => links::symlink, (Address, Address);
    89 readlink => links::readlink, (Address, Address, i32);
    90 chmod => metadata::chmod, (Address, u32);
    91 fchmod => metadata::fchmod, (i32, u32);
    92 chown => metadata::chown, (Address, u32, u32);
    93 fchown => metadata::fchown, (i32, u32, u32);
    94 lchown => metadata::lchown, (Address, u32, u32);
    95 umask => directories::umask, (u32);
    96 gettimeofday => time::gettimeofday, (Address, Address);
    97 getrlimit => resources::getrlimit, (u32, Address);
    98 getrusage => resources::getrusage, (i32, Address);
    99 sysinfo => system::sysinfo, (Address);
    100 times => time::times, (Address);
    101 ptrace => refused::privileged, ();
    102 getuid => users::getuid, ();
    103 syslog => refused::privileged, ();
    104 getgid => users::getgid, ();
    105 setuid => users::setuid, (u32);
    106 setgid => users::setgid, (u32);
    107 geteuid => users::geteuid, ();
    108 getegid => users::getegid, ();
    109 setpgid => identity::setpgid, (i32, i32);
    110 getppid => identity::getppid, ();
    111 getpgrp => identity::getpgrp, ();
    112 setsid => identity::setsid, ();
    113 setreuid => users::setreuid, (u32, u32);
    114 setregid => users::setregid, (u32, u32);
    115 getgroups => users::getgroups, (i32, Address);
    116 setgroups => users::setgroups, (u32, Address);
    117 setresuid => users::setresuid, (u32, u32, u32);
    118 getresuid => users::getresuid, (Address, Address, Address);
    119 setresgid => users::setresgid, (u32, u32, u32);
    120 getresgid => users::getresgid, (Address, Address, Address);
    121 getpgid => identity::getpgid, (i32);
    122 setfsuid => users::setfsuid, (u32);
    123 setfsgid => users::setfsgid, (u32);
    124 getsid => identity::getsid, (i32);
    125 capget => capabilities::capget, (Address, Address);
    126 capset => capabilities::capset, (Address, Address);
    127 rt_sigpending => signal::rt_sigpending, (Address, u64);
    128 rt_sigtimedwait => signal_wait::rt_sigtimedwait, (Address, Address, Address, u64);
    129 rt_sigqueueinfo => signal::rt_sigqueueinfo, (i32, i32, Address);
    130 rt_sigsuspend => signal_wait::rt_sigsuspend, (Address, u64);
    131 sigaltstack => signal::sigaltstack, (Address, Address);
    132 utime => metadata::utime, (Address, Address);
    133 mknod => links::mknod, (Address, u32, u64);
    135 personality => scheduling::personality, (u32);
    137 statfs => metadata::statfs, (Address, Address);
    138 fstatfs => metadata::fstatfs, (i32, Address);
    140 getpriority => scheduling::getpriority, (u32, i32);
    141 setpriority => scheduling::setpriority, (u32, i32, i32);
    142 sched_setparam => scheduling::sched_setparam, (i32, Address);
    143 sched_getparam => scheduling::sched_getparam, (i32, Address);
    144 sched_setscheduler => scheduling::sched_setscheduler, (i32, u32, Address);
    145 sched_getscheduler => scheduling::sched_getscheduler, (i32);
    146 sched_get_priority_max => scheduling::sched_get_priority_max, (u32);
    147 sched_get_priority_min => scheduling::sched_get_priority_min, (u32);
    148 sched_rr_get_interval => scheduling::sched_rr_get_interval, (i32, Address);
    149 mlock => locked_memory::mlock, (u64, u64);
    150 munlock => locked_memory::munlock, (u64, u64);
    151 mlockall => locked_memory::mlockall, (u32);
    152 munlockall => locked_memory::munlockall, ();
    153 vhangup => refused::privileged, ();
    155 pivot_root => refused::privileged, ();
    157 prctl => prctl::prctl, (i32, u64, u64, u64, u64);
    158 arch_prctl => thread::arch_prctl, (u32, u64);
    159 adjtimex => refused::privileged, ();
    160 setrlimit => resources::setrlimit, (u32, Address);
    161 chroot => mounts::chroot, (Address);
    162 sync => storage::sync, ();
    163 acct => refused::privileged, ();
    164 settimeofday => refused::privileged, ();
    165 mount => mounts::mount, (Address, Address, Address, u64, Address);
    166 umount2 => mounts::umount2, (Address, u32);
    167 swapon => refused::privileged, ();
    168 swapoff => refused::privileged, ();
    169 reboot => refused::privileged, ();
    170 sethostname => system::sethostname, (Address, i32);
    171 setdomainname => system::setdomainname, (Address, i32);
    172 iopl => refused::privileged, ();
    173 ioperm => refused::privileged, ();
    175 init_module => refused::privileged, ();
    176 delete_module => refused::privileged, ();
    186 gettid => identity::gettid, ();
    187 readahead => storage::readahead, (i32, i64, u64);
    188 setxattr => extended::set, (Path, Address, Address, u64, u32);
    189 lsetxattr => extended::set, (Link, Address, Address, u64, u32);
    190 fsetxattr => extended::set, (Open, Address, Address, u64, u32);
    191 getxattr => extended::get, (Path, Address, Address, u64);
    192 lgetxattr => extended::get, (Link, Address, Address, u64);
    193 fgetxattr => extended::get, (Open, Address, Address, u64);
    194 listxattr => extended::list, (Path, Address, u64);
    195 llistxattr => extended::list, (Link, Address, u64);
    196 flistxattr => extended::list, (Open, Address, u64);
    197 removexattr => extended::remove, (Path, Address);
    198 lremovexattr => extended::remove, (Link, Address);
    199 fremovexattr => extended::remove, (Open, Address);
    200 tkill => signal::tkill, (i32, i32);
    201 time => time::time, (Address);
    202 futex => futex::futex, (Address, u32, u32, u64, Address, u32);
    203 sched_setaffinity => scheduling::sched_setaffinity, (i32, u64, Address);
    204 sched_getaffinity => scheduling::sched_getaffinity, (i32, u64, Address);
    206 io_setup => refused::quietly, ();
    213 epoll_create => event_poll::epoll_create, (i32);
    216 remap_file_pages => mapping::remap_file_pages, (u64, u64, u32, u64, u32);
    217 getdents64 => directories::getdents64, (i32, Address, u32);
    218 set_tid_address => thread::set_tid_address, (Address);
    220 semtimedop => semaphores::semtimedop, (i32, Address, u64, Address);
    221 fadvise64 => descriptors::fadvise64, (i32, i64, i64, i32);
    222 timer_create => timers::timer_create, (i32, Address, Address);
    223 timer_settime => timers::timer_settime, (i32, u32, Address, Address);
    224 timer_gettime => timers::timer_gettime, (i32, Address);
    225 timer_getoverrun => timers::timer_getoverrun, (i32);
    226 timer_delete => timers::timer_delete, (i32);
    227 clock_settime => refused::privileged, ();
    228 clock_gettime => time::clock_gettime, (i32, Address);
    229 clock_getres => time::clock_getres, (i32, Address);
    230 clock_nanosleep => time::clock_nanosleep, (i32, u32, Address, Address);
    231 exit_group => process::exit_group, (i32);
    232 epoll_wait => event_poll::epoll_wait, (i32, Address, i32, i32);
    233 epoll_ctl => event_poll::epoll_ctl, (i32, u32, i32, Address);
    234 tgkill => signal::tgkill, (i32, i32, i32);
    235 utimes => metadata::utimes, (Address, Address);
    237 mbind => refused::quietly, ();
    238 set_mempolicy => refused::quietly, ();
    239 get_mempolicy => refused::quietly, ();
    240 mq_open => message_queues::mq_open, (Address, u32, u32, Address);
    241 mq_unlink => message_queues::mq_unlink, (Address);
    242 mq_timedsend => message_queues::mq_timedsend, (i32, Address, u64, u32, Address);
    243 mq_timedreceive => message_queues::mq_timedreceive, (i32, Address, u64, Address, Address);
    244 mq_notify => message_queues::mq_notify, (i32, Address);
    245 mq_getsetattr => message_queues::mq_getsetattr, (i32, Address, Address);
    246 kexec_load => refused::privileged, ();
    247 waitid => process::waitid, (u32, i32, Address, i32, Address);
    248 add_key => refused::quietly, ();
    249 request_key => refused::quietly, ();
    250 keyctl => refused::quietly, ();
    251 ioprio_set => scheduling::ioprio_set, (u32, i32, i32);
    252 ioprio_get => scheduling::ioprio_get, (u32, i32);
    253 inotify_init => inotify::inotify_init, ();
    254 inotify_add_watch => inotify::inotify_add_watch, (i32, Address, u32);
    255 inotify_rm_watch => inotify::inotify_rm_watch, (i32, i32);
    256 migrate_pages => refused::quietly, ();
    257 openat => open::openat, (i32, Address, u32, u32);
    258 mkdirat => directories::mkdirat, (i32, Address, u32);
    259 mknodat => links::mknodat, (i32, Address, u32, u64);
    260 fchownat => metadata::fchownat, (i32, Address, u32, u32, u32);
    261 futimesat => metadata::futimesat, (i32, Address, Address);
    262 newfstatat => metadata::newfstatat, (i32, Address, Address, u32);
    263 unlinkat => links::unlinkat, (i32, Address, u32);
    264 renameat => links::renameat, (i32, Address, i32, Address);
    265 linkat => links::linkat, (i32, Address, i32, Address, u32);
    266 symlinkat => links::symlinkat, (Address, i32, Address);
    267 readlinkat => links::readlinkat, (i32, Address, Address, i32);
    268 fchmodat => metadata::fchmodat, (i32, Address, u32);
    269 faccessat => metadata::faccessat, (i32, Address, u32);
    270 pselect6 => poll::pselect6, (i32, Address, Address, Address, Address, Address);
    271 ppoll => poll::ppoll, (Address, u32, Address, Address, u64);
    272 unshare => clone::unshare, (u64);
    273 set_robust_list => thread::set_robust_list, (Address, u64);
    274 get_robust_list => thread::get_robust_list, (i32, Address, Address);
    275 splice => splice::splice, (i32, Address, i32, Address, u64, u32);
    276 tee => splice::tee, (i32, i32, u64, u32);
    277 sync_file_range => storage::sync_file_range, (i32, i64, i64, u32);
    278 vmsplice => splice::vmsplice, (i32, Address, u64, u32);
    279 move_pages => refused::quietly, ();
    280 utimensat => metadata::utimensat, (i32, Address, Address, u32);
    281 epoll_pwait => event_poll::epoll_pwait, (i32, Address, i32, i32, Address, u64);
    282 signalfd => signal_file::signalfd, (i32, Address, u64);
    283 timerfd_create => timers::timerfd_create, (i32, u32);
    284 eventfd => pipes::eventfd, (u32);
    285 fallocate => storage::fallocate, (i32, u32, i64, i64);
    286 timerfd_settime => timers::timerfd_settime, (i32, u32, Address, Address);
    287 timerfd_gettime => timers::timerfd_gettime, (i32, Address);
    288 accept4 => sockets::accept4, (i32, Address, Address, u32);
    289 signalfd4 => signal_file::signalfd4, (i32, Address, u64, u32);
    290 eventfd2 => pipes::eventfd2, (u32, u32);
    291 epoll_create1 => event_poll::epoll_create1, (u32);
    292 dup3 => descriptors::dup3, (i32, i32, u32);
    293 pipe2 => pipes::pipe2, (Address, u32);
    294 inotify_init1 => inotify::inotify_init1, (u32);
    295 preadv => vectors::preadv, (i32, Address, u64, i64);
    296 pwritev => vectors::pwritev, (i32, Address, u64, i64);
    297 rt_tgsigqueueinfo => signal::rt_tgsigqueueinfo, (i32, i32, i32, Address);
    298 perf_event_open => refused::privileged, ();
    299 recvmmsg => socket_messages::recvmmsg, (i32, Address, u32, u32, Address);
    302 prlimit64 => resources::prlimit64, (i32, u32, Address, Address);
    303 name_to_handle_at => refused::unsupported, ();
    304 open_by_handle_at => refused::privileged, ();
    305 clock_adjtime => refused::privileged, ();
    306 syncfs => storage::syncfs, (i32);
    307 sendmmsg => socket_messages::sendmmsg, (i32, Address, u32, u32);
    308 setns => refused::privileged, ();
    309 getcpu => system::getcpu, (Address, Address);
    310 process_vm_readv => foreign_memory::process_vm_readv, (i32, Address, u64, Address, u64, u64);
    311 process_vm_writev => foreign_memory::process_vm_writev, (i32, Address, u64, Address, u64, u64);
    312 kcmp => pidfd::kcmp, (i32, i32, u32, u64, u64);
    313 finit_module => refused::privileged, ();
    314 sched_setattr => scheduling::sched_setattr, (i32, Address, u32);
    315 sched_getattr => scheduling::sched_getattr, (i32, Address, u32, u32);
    316 renameat2 => links::renameat2, (i32, Address, i32, Address, u32);
    318 getrandom => system::getrandom, (Address, u64, u32);
    319 memfd_create => memory_file::memfd_create, (Address, u32);
    321 bpf => refused::privileged, ();
    322 execveat => exec::execveat, (i32, Address, Address, Address, u32);
    323 userfaultfd => refused::privileged, ();
    324 membarrier => barriers::membarrier, (u32, u32);
    325 mlock2 => locked_memory::mlock2, (u64, u64, u32);
    326 copy_file_range => splice::copy_file_range, (i32, Address, i32, Address, u64, u32);
    327 preadv2 => vectors::preadv2, (i32, Address, u64, i64, u64, u32);
    328 pwritev2 => vectors::pwritev2, (i32, Address, u64, i64, u64, u32);
    329 pkey_mprotect => refused::quietly, ();
    330 pkey_alloc => refused::quietly, ();
    331 pkey_free => refused::quietly, ();
    332 statx => metadata::statx, (i32, Address, u32, u32, Address);
    334 rseq => refused::quietly, ();
    425 io_uring_setup => refused::quietly, ();
    424 pidfd_send_signal => pidfd::pidfd_send_signal, (i32, i32, Address, u32);
    434 pidfd_open => pidfd::pidfd_open, (i32, u32);
    435 clone3 => clone::clone3, (Address, u64);
    436 close_range => descriptors::close_range, (u32, u32, u32);
    437 openat2 => open::openat2, (i32, Address, Address, u64);
    438 pidfd_getfd => pidfd::pidfd_getfd, (i32, i32, u32);
    439 faccessat2 => metadata::faccessat2, (i32, Address, u32, u32);
    441 epoll_pwait2 => event_poll::epoll_pwait2, (i32, Address, i32, Address, Address, u64);
    444 landlock_create_ruleset => refused::quietly, ();
    449 futex_waitv => sized_futex::futex_waitv, (Address, u32, u32, Address, i32);
    452 fchmodat2 => metadata::fchmodat2, (i32, Address, u32, u32);
    454 futex_wake => sized_futex::futex_wake, (Address, u64, i32, u32);
    455 futex_wait => sized_futex::futex_wait, (Address, u64, u64, u32, Address, i32);
    456 futex_requeue => sized_futex::futex_requeue, (Address, u32, i32, i32);
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_trace_calls_every_call_by_its_name() {
        for number in 0..1000 {
            if let Some(name) = name_of(number) {
                assert_eq!(trace::name_of(number), Some(name), "{number}");
            }
        }
    }
}
