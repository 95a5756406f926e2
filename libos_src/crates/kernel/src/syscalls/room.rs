//! Room in the kernel's heap.
//!
//! The heap has a fixed size, and an allocation that fails in the middle of the kernel ends the
//! enclave. So a call that leaves something behind is refused while little is left, as Linux
//! refuses it with `ENOMEM`; calls that give something back, wait, or only look go on.

use hal::{Errno, Machine};

/// More than all calls need together that are under way at a time: buffers of 64 KiB and what a
/// path, a mapping or a listing takes.
const RESERVE_BYTES: usize = 512 * 1024;

/// Whether call `number` may leave something in the kernel's heap: a descriptor, a file, a mapping,
/// a thread, a queued signal. Writing is not among them: it is judged by what is written to.
pub(super) const fn is_needed(number: u64) -> bool {
    matches!(
        number,
        // open mmap mprotect pipe mremap madvise dup dup2 clone fork vfork execve fcntl; not brk, which cannot say
        // ENOMEM and only moves an end
        2 | 9 | 10 | 22 | 25 | 28 | 32 | 33 | 56
            ..=59 | 72
            // chdir fchdir rename mkdir creat link symlink rt_sigqueueinfo
            | 80 | 81 | 82 | 83 | 85 | 86 | 88 | 129
            // openat mkdirat renameat linkat symlinkat eventfd2 dup3 pipe2 openat2
            | 257 | 258 | 264 | 265 | 266 | 290 | 292 | 293 | 437
            // flock mount setxattr lsetxattr fsetxattr fallocate
            | 73 | 165 | 188 | 189 | 190 | 285
            // socket connect accept bind socketpair setgroups mknod epoll_create epoll_ctl mknodat
            | 41 | 42 | 43 | 49 | 53 | 116 | 133 | 213 | 233 | 259
            // tee eventfd accept4 epoll_create1 signalfd signalfd4
            | 276 | 284 | 288 | 291 | 282 | 289
            // timer_create timer_settime timerfd_create timerfd_settime
            | 222 | 223 | 283 | 286
            // truncate chmod fchmod chown fchown lchown utime utimes fchownat futimesat fchmodat utimensat fchmodat2:
            // of a file of an image they make a copy
            | 76 | 90..=94 | 132 | 235 | 260 | 261 | 268 | 280 | 452
            // unshare pidfd_getfd: a table of descriptors, a descriptor
            | 272 | 438
            // mq_open mq_timedsend
            | 240 | 242
            // shmget shmat semget semop msgget msgsnd semtimedop memfd_create
            | 29 | 30 | 64 | 65 | 68 | 69 | 220 | 319
            // rt_tgsigqueueinfo renameat2 execveat clone3 inotify_init inotify_add_watch inotify_init1 pidfd_open
            | 253 | 254 | 294 | 297 | 316 | 322 | 434 | 435
    )
}

/// Whether call `number` removes a name, which gives something back, unless it is of an image: then it
/// leaves a note. `rmdir unlink unlinkat`.
pub(super) const fn removes_a_name(number: u64) -> bool {
    matches!(number, 84 | 87 | 263)
}

/// `ENOMEM` while too little is left.
pub(crate) fn check(machine: &dyn Machine) -> Result<(), Errno> {
    check_for(machine, 0)
}

/// The same for what a program that was refused something must be able to go on with: a touch of a page of
/// its stack, say, that it has not used before, or the removal of a file.
pub(crate) fn check_to_go_on(machine: &dyn Machine) -> Result<(), Errno> {
    if machine.has_heap_room(RESERVE_BYTES / 2) {
        Ok(())
    } else {
        Err(Errno::ENOMEM)
    }
}

/// The same for a call that itself takes `bytes`.
pub(crate) fn check_for(machine: &dyn Machine, bytes: usize) -> Result<(), Errno> {
    if machine.has_heap_room(RESERVE_BYTES.saturating_add(bytes)) {
        Ok(())
    } else {
        Err(Errno::ENOMEM)
    }
}
