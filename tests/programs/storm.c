// Random system calls, in processes of two threads that share what the calls point to: whatever they
// ask for, the LibOS goes on. Arguments: how many processes, the first seed, and any third to be told
// each seed on standard error. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)
#define COUNT(array) (sizeof(array) / sizeof *(array))

// How long one process has, and how many calls each of its threads makes at most.
enum { LIFE_MS = 60, CALLS = 3000, CALLS_OF_CHILD = 30 };

// What an argument is meant to be.
//   f descriptor, d directory, s path, b buffer, v vector of buffers, l length, o offset, i any number,
//   g flags, t time, a address, q process, u user, S signal, k set of signals, h handler, M message,
//   A socket address, F futex, c small number
static const struct { int number; const char *arguments; } CALL[] = {
    {SYS_read, "fbl"}, {SYS_write, "fbl"}, {SYS_open, "sgc"}, {SYS_close, "f"}, {SYS_stat, "sb"},
    {SYS_fstat, "fb"}, {SYS_lstat, "sb"}, {SYS_poll, "bct"}, {SYS_lseek, "foc"},
    {SYS_mmap, "alggfo"}, {SYS_mprotect, "alg"}, {SYS_munmap, "al"}, {SYS_brk, "a"},
    {SYS_rt_sigaction, "Shbc"}, {SYS_rt_sigprocmask, "ckbc"}, {SYS_ioctl, "fib"},
    {SYS_pread64, "fblo"}, {SYS_pwrite64, "fblo"}, {SYS_readv, "fvc"}, {SYS_writev, "fvc"},
    {SYS_access, "sc"}, {SYS_pipe, "b"}, {SYS_select, "cbbbt"}, {SYS_sched_yield, ""},
    {SYS_mremap, "allga"}, {SYS_msync, "alg"}, {SYS_mincore, "alb"}, {SYS_madvise, "alc"},
    {SYS_shmget, "clg"}, {SYS_shmat, "cag"}, {SYS_shmctl, "ccb"}, {SYS_dup, "f"}, {SYS_dup2, "ff"},
    {SYS_nanosleep, "tb"}, {SYS_getitimer, "cb"}, {SYS_alarm, "c"}, {SYS_setitimer, "ctb"},
    {SYS_getpid, ""}, {SYS_sendfile, "ffbl"}, {SYS_socket, "ccc"}, {SYS_connect, "fAc"},
    {SYS_accept, "fbb"}, {SYS_sendto, "fblgAc"}, {SYS_recvfrom, "fblgbb"}, {SYS_sendmsg, "fMg"},
    {SYS_recvmsg, "fMg"}, {SYS_shutdown, "fc"}, {SYS_bind, "fAc"}, {SYS_listen, "fc"},
    {SYS_getsockname, "fbb"}, {SYS_getpeername, "fbb"}, {SYS_socketpair, "cccb"},
    {SYS_setsockopt, "fccbc"}, {SYS_getsockopt, "fccbb"}, {SYS_wait4, "qbgb"}, {SYS_kill, "qS"},
    {SYS_uname, "b"}, {SYS_semget, "ccg"}, {SYS_semop, "cbc"}, {SYS_semctl, "cccb"},
    {SYS_shmdt, "a"}, {SYS_msgget, "cg"}, {SYS_msgsnd, "cblg"}, {SYS_msgrcv, "cblcg"},
    {SYS_msgctl, "ccb"}, {SYS_fcntl, "fcb"}, {SYS_fcntl, "fci"}, {SYS_flock, "fc"}, {SYS_fsync, "f"},
    {SYS_truncate, "so"}, {SYS_ftruncate, "fo"}, {SYS_getdents64, "fbl"}, {SYS_getcwd, "bl"},
    {SYS_chdir, "s"}, {SYS_fchdir, "d"}, {SYS_rename, "ss"}, {SYS_mkdir, "sc"}, {SYS_rmdir, "s"},
    {SYS_creat, "sc"}, {SYS_link, "ss"}, {SYS_unlink, "s"}, {SYS_symlink, "ss"},
    {SYS_readlink, "sbl"}, {SYS_chmod, "si"}, {SYS_fchmod, "fi"}, {SYS_chown, "suu"},
    {SYS_fchown, "fuu"}, {SYS_umask, "i"}, {SYS_gettimeofday, "bb"}, {SYS_getrlimit, "cb"},
    {SYS_getrusage, "cb"}, {SYS_sysinfo, "b"}, {SYS_times, "b"}, {SYS_getgroups, "cb"},
    {SYS_setgroups, "cb"}, {SYS_setpgid, "qq"}, {SYS_setsid, ""}, {SYS_getpgid, "q"},
    {SYS_setreuid, "uu"}, {SYS_setregid, "uu"}, {SYS_setresuid, "uuu"}, {SYS_getresuid, "bbb"},
    {SYS_setfsuid, "u"}, {SYS_capget, "bb"}, {SYS_capset, "bb"}, {SYS_rt_sigpending, "bl"},
    {SYS_rt_sigtimedwait, "kbtc"}, {SYS_rt_sigqueueinfo, "qSb"}, {SYS_rt_sigsuspend, "kc"},
    {SYS_sigaltstack, "bb"}, {SYS_utime, "sb"}, {SYS_mknod, "sio"}, {SYS_personality, "c"},
    {SYS_statfs, "sb"}, {SYS_fstatfs, "fb"}, {SYS_getpriority, "cq"}, {SYS_setpriority, "cqc"},
    {SYS_sched_setparam, "qb"}, {SYS_sched_getparam, "qb"}, {SYS_sched_setscheduler, "qcb"},
    {SYS_sched_getscheduler, "q"}, {SYS_sched_rr_get_interval, "qb"}, {SYS_mlock, "al"},
    {SYS_munlock, "al"}, {SYS_mlockall, "c"}, {SYS_munlockall, ""}, {SYS_vhangup, ""},
    {SYS_prctl, "cbiii"}, {SYS_prctl, "ciiii"}, {SYS_setrlimit, "cb"}, {SYS_chroot, "s"},
    {SYS_sync, ""}, {SYS_mount, "sssgb"}, {SYS_umount2, "sg"}, {SYS_sethostname, "bc"},
    {SYS_setdomainname, "bc"}, {SYS_gettid, ""}, {SYS_readahead, "fol"},
    {SYS_setxattr, "ssblc"}, {SYS_fsetxattr, "fsblc"}, {SYS_getxattr, "ssbl"},
    {SYS_fgetxattr, "fsbl"}, {SYS_listxattr, "sbl"}, {SYS_removexattr, "ss"}, {SYS_tkill, "qS"},
    {SYS_time, "b"}, {SYS_futex, "FgctFc"}, {SYS_futex, "FcctFc"}, {SYS_sched_setaffinity, "qlb"},
    {SYS_sched_getaffinity, "qlb"}, {SYS_epoll_create, "c"}, {SYS_set_tid_address, "b"},
    {SYS_restart_syscall, ""}, {SYS_fadvise64, "folc"}, {SYS_timer_create, "cbb"},
    {SYS_timer_settime, "ccbb"}, {SYS_timer_gettime, "cb"}, {SYS_timer_getoverrun, "c"},
    {SYS_timer_delete, "c"}, {SYS_clock_settime, "cb"}, {SYS_clock_gettime, "ib"},
    {SYS_clock_getres, "ib"}, {SYS_clock_nanosleep, "cctb"}, {SYS_epoll_wait, "fbct"},
    {SYS_epoll_ctl, "fcfb"}, {SYS_tgkill, "qqS"}, {SYS_utimes, "sb"}, {SYS_mbind, "alcbig"},
    {SYS_mq_open, "sgcb"}, {SYS_mq_unlink, "s"}, {SYS_mq_timedsend, "fblct"},
    {SYS_mq_timedreceive, "fblbt"}, {SYS_mq_notify, "fb"}, {SYS_mq_getsetattr, "fbb"},
    {SYS_waitid, "cqbgb"}, {SYS_ioprio_set, "cqc"}, {SYS_inotify_init, ""},
    {SYS_inotify_add_watch, "fsg"}, {SYS_inotify_rm_watch, "fc"}, {SYS_openat, "dsgc"},
    {SYS_mkdirat, "dsc"}, {SYS_mknodat, "dsio"}, {SYS_fchownat, "dsuug"}, {SYS_futimesat, "dsb"},
    {SYS_newfstatat, "dsbg"}, {SYS_unlinkat, "dsg"}, {SYS_renameat, "dsds"}, {SYS_linkat, "dsdsg"},
    {SYS_symlinkat, "sds"}, {SYS_readlinkat, "dsbl"}, {SYS_fchmodat, "dsi"}, {SYS_faccessat, "dsc"},
    {SYS_pselect6, "cbbbtb"}, {SYS_ppoll, "bctkc"}, {SYS_unshare, "g"},
    {SYS_set_robust_list, "bl"}, {SYS_get_robust_list, "qbb"}, {SYS_splice, "fbfblg"},
    {SYS_splice, "fcfclg"}, {SYS_tee, "fflg"}, {SYS_sync_file_range, "folg"},
    {SYS_vmsplice, "fvcg"}, {SYS_utimensat, "dsbg"}, {SYS_epoll_pwait, "fbctkc"},
    {SYS_signalfd, "fkc"}, {SYS_timerfd_create, "cg"}, {SYS_eventfd, "c"}, {SYS_fallocate, "fcol"},
    {SYS_timerfd_settime, "fcbb"}, {SYS_timerfd_gettime, "fb"}, {SYS_accept4, "fbbg"},
    {SYS_signalfd4, "fkcg"}, {SYS_eventfd2, "ig"}, {SYS_epoll_create1, "g"}, {SYS_dup3, "ffg"},
    {SYS_pipe2, "bg"}, {SYS_inotify_init1, "g"}, {SYS_preadv, "fvcoc"}, {SYS_pwritev, "fvcoc"},
    {SYS_rt_tgsigqueueinfo, "qqSb"}, {SYS_recvmmsg, "fbcgt"}, {SYS_prlimit64, "qcbb"},
    {SYS_name_to_handle_at, "dsbbg"}, {SYS_syncfs, "f"}, {SYS_sendmmsg, "fbcg"}, {SYS_setns, "fg"},
    {SYS_getcpu, "bbb"}, {SYS_process_vm_readv, "qvcvcc"}, {SYS_process_vm_writev, "qvcvcc"},
    {SYS_kcmp, "qqcff"}, {SYS_sched_setattr, "qbc"}, {SYS_sched_getattr, "qblc"},
    {SYS_renameat2, "dsdsg"}, {SYS_seccomp, "cgb"}, {SYS_getrandom, "blc"},
    {SYS_memfd_create, "sg"}, {SYS_membarrier, "ccc"}, {SYS_mlock2, "alg"},
    {SYS_copy_file_range, "fbfblg"}, {SYS_preadv2, "fvcocg"}, {SYS_pwritev2, "fvcocg"},
    {SYS_pkey_mprotect, "algc"}, {SYS_statx, "dsggb"}, {SYS_rseq, "bcci"}, {424, "fSbc"},
    {434, "qc"}, {435, "bl"}, {436, "ffg"}, {437, "dsbl"}, {438, "ffc"}, {439, "dscg"},
    {441, "fbctkc"}, {449, "bccti"}, {451, "alc"}, {SYS_fork, ""}, {SYS_execve, "sbb"},
    {SYS_arch_prctl, "ib"}, {SYS_modify_ldt, "cbl"}, {SYS_ptrace, "iqbb"}, {SYS_quotactl, "isib"},
    {SYS_remap_file_pages, "alggg"}, {SYS_get_mempolicy, "bbcag"}, {SYS_io_setup, "cb"},
    {SYS_ustat, "ib"}, {SYS_sysfs, "cbb"}, {SYS_syslog, "cbl"}, {SYS_acct, "s"},
};

static const char *const PATH[] = {
    "a", "b", "c", "d", "d/a", "d/b", "d/../a", "./d/", "", "/", "..", ".", "missing/a", "link", "fifo",
    "socket", "/tmp", "/proc/self/fd/3", "/proc/self/fd/5", "/proc/self/maps", "/proc/self/mem",
    "/proc/self/status", "/proc/self/exe", "/proc/self/cwd", "/proc/self/task", "/proc/self/root/storm/a",
    "/proc/thread-self/stat", "/proc/1/stat", "/proc/self/smaps", "/proc/self/pagemap", "/proc/self/fdinfo/4",
    "/proc/self/oom_score_adj", "/proc/self/comm", "/proc/mounts", "/proc/meminfo", "/dev/null",
    "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/pts/0", "/dev/fd/1", "/dev/random",
    "/dev/shm/a", "/sys/devices/system/cpu/online", "/bin/program", "tmpfs", "size=64k", "user.a",
    "security.b", "trusted.c", "/queue", "proc", "size=10%,nr_inodes=4", "overlay", "bind",
};

static const unsigned IOCTL[] = {
    TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, TIOCSWINSZ, TIOCGPGRP, TIOCSPGRP, TIOCSCTTY, TIOCNOTTY,
    TIOCGPTN, TIOCSPTLCK, TIOCPKT, TIOCINQ, TIOCOUTQ, TCFLSH, TCXONC, TCSBRK, TIOCSTI, TIOCGSID,
    TIOCEXCL, TIOCNXCL, TIOCSETD, TIOCGETD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, TIOCGPTPEER, 0x5451,
    0x80086601, 0x40086602, 0xc020660b, 0x40049409,
};

struct storm { uint64_t state; int left; };

static char *arena;
enum { ARENA = 64 * 1024, PAGE = 4096 };

static uint64_t draw(struct storm *storm) {
    storm->state ^= storm->state << 13;
    storm->state ^= storm->state >> 7;
    storm->state ^= storm->state << 17;
    return storm->state * 0x9e3779b97f4a7c15u >> 11;
}

static uint64_t below(struct storm *storm, uint64_t bound) { return draw(storm) % bound; }

static uint64_t number(struct storm *storm) {
    switch (below(storm, 12)) {
    case 0: return draw(storm);
    case 1: return -1ul;
    case 2: return INT32_MAX;
    case 3: return (uint64_t)INT64_MIN >> below(storm, 8);
    case 4: return 1ul << below(storm, 64);
    case 5: return -below(storm, 4096);
    case 6: return PAGE * below(storm, 32);
    default: return below(storm, 300);
    }
}

// A place in the arena, sometimes right before memory without access, sometimes none at all.
static uint64_t pointer(struct storm *storm) {
    uint64_t base = (uint64_t)arena;
    switch (below(storm, 80)) {
    case 0: return 0;
    case 1: return base + ARENA - below(storm, 64);
    case 2: return number(storm);
    case 3: return 0xffff800000000000u + draw(storm) % 65536;
    case 4: return draw(storm) % (1ul << 36);
    case 5: return base - below(storm, 64);
    case 6: return (uint64_t)"text";
    case 7: return base + below(storm, ARENA);
    default: return base + 64 * below(storm, ARENA / 64 - 16);
    }
}

static uint64_t length(struct storm *storm) {
    static const uint64_t LENGTH[] = {0, 1, 8, 16, 24, 100, 128, 144, 512, 4095, 4096, 8192, 65536, 1 << 20};
    return below(storm, 24) ? LENGTH[below(storm, COUNT(LENGTH))] : number(storm);
}

static uint64_t signal_number(struct storm *storm) {
    // Those that stop or kill come by themselves now and then.
    static const int SIGNAL[] = {0, SIGUSR1, SIGUSR2, SIGCHLD, SIGALRM, SIGPIPE, SIGIO, SIGURG, SIGWINCH, SIGCONT, 35, 64};
    return below(storm, 40) ? SIGNAL[below(storm, COUNT(SIGNAL))] : number(storm);
}

// Fills some of what calls point to with what means something.
static void stir(struct storm *storm) {
    uint64_t *words = (uint64_t *)arena;
    for (int i = 0; i < 24; i++) {
        uint64_t at = below(storm, ARENA / 8);
        switch (below(storm, 6)) {
        case 0: words[at] = pointer(storm); break;
        case 1: words[at] = length(storm); break;
        case 2: words[at] = below(storm, 24) | below(storm, 32) << 32; break;
        case 3: words[at] = below(storm, 1000000); break;
        default: words[at] = number(storm);
        }
    }
}

static void on_signal(int number) { (void)number; }

static void *at_random(struct storm *storm) { return arena + 64 * below(storm, ARENA / 64 - 16); }

static uint64_t argument(struct storm *storm, char kind) {
    if (below(storm, 200) == 0) return number(storm);
    switch (kind) {
    case 'f': return below(storm, 30) ? below(storm, 24) : number(storm);
    case 'd': return below(storm, 3) ? (uint64_t)AT_FDCWD : below(storm, 24);
    case 's': {
        if (below(storm, 40) == 0) return pointer(storm);
        if (below(storm, 40) == 0) {
            char *place = arena + ARENA - PAGE - 8;
            memset(place, 'x', PAGE + 7);
            arena[ARENA - 1] = 0;
            return (uint64_t)place;
        }
        return (uint64_t)PATH[below(storm, COUNT(PATH))];
    }
    case 'b': return pointer(storm);
    case 'v': {
        struct iovec *vector = at_random(storm);
        for (int i = 0; i < 4; i++) vector[i] = (struct iovec){(void *)pointer(storm), length(storm)};
        return (uint64_t)vector;
    }
    case 'l': return length(storm);
    case 'o': return below(storm, 4) ? length(storm) : number(storm);
    case 'i': return below(storm, 2) ? IOCTL[below(storm, COUNT(IOCTL))] : number(storm);
    case 'g': {
        uint64_t flags = below(storm, 4) ? 0 : below(storm, 256);
        for (uint64_t i = below(storm, 4); i > 0; i--) flags |= 1ul << below(storm, 26);
        return flags;
    }
    case 't': {
        if (below(storm, 8) == 0) return pointer(storm);
        struct timespec *time = at_random(storm);
        *time = (struct timespec){0, below(storm, 300000)};
        if (below(storm, 3)) time[1] = *time;
        return (uint64_t)time;
    }
    case 'a': return (uint64_t)arena + ARENA + PAGE * (1 + below(storm, 64)) + (below(storm, 16) ? 0 : below(storm, PAGE));
    case 'q': {
        // Not the first process, which sees to the others.
        uint64_t id = below(storm, 3) ? (below(storm, 2) ? 0 : getpid()) : number(storm);
        return (int)id == 1 ? 2 : id;
    }
    case 'u': return below(storm, 2) ? 1000 * below(storm, 2) : number(storm);
    case 'S': return signal_number(storm);
    case 'k': {
        uint64_t *set = at_random(storm);
        *set = below(storm, 3) ? 1ul << below(storm, 64) : draw(storm);
        return (uint64_t)set;
    }
    case 'h': {
        if (below(storm, 4) == 0) return 0;
        struct { uint64_t handler, flags, restorer, mask; } *action = at_random(storm);
        action->handler = below(storm, 2) ? (uint64_t)on_signal : below(storm, 2);
        action->flags = 0; // without SA_RESTORER its return is a fault, which is a case, too
        action->mask = draw(storm);
        return (uint64_t)action;
    }
    case 'M': {
        struct msghdr *message = at_random(storm);
        struct iovec *vector = (void *)argument(storm, 'v');
        struct cmsghdr *control = at_random(storm);
        *control = (struct cmsghdr){CMSG_LEN(4 * (1 + below(storm, 4))), SOL_SOCKET, 1 + below(storm, 3)};
        for (int i = 0; i < 4; i++) ((int *)CMSG_DATA(control))[i] = below(storm, 24);
        *message = (struct msghdr){
            .msg_name = below(storm, 4) ? 0 : (void *)argument(storm, 'A'),
            .msg_namelen = below(storm, 120),
            .msg_iov = vector,
            .msg_iovlen = below(storm, 5),
            .msg_control = below(storm, 2) ? 0 : control,
            .msg_controllen = length(storm),
        };
        if (below(storm, 3)) message->msg_controllen = CMSG_SPACE(16);
        return (uint64_t)message;
    }
    case 'A': {
        struct sockaddr_un *address = at_random(storm);
        address->sun_family = below(storm, 8) ? AF_UNIX : below(storm, 20);
        memcpy(address->sun_path, below(storm, 2) ? "socket\0" : "\0name\0\0", 8);
        return (uint64_t)address;
    }
    case 'F': return below(storm, 8) ? (uint64_t)arena + 4 * below(storm, 16) : pointer(storm);
    default: return below(storm, 24) ? below(storm, below(storm, 2) ? 4 : 24) : number(storm);
    }
}

static void calls(struct storm *storm);

static void one_call(struct storm *storm) {
    size_t which = below(storm, COUNT(CALL));
    int number = CALL[which].number;
    const char *kinds = CALL[which].arguments;
    uint64_t arguments[6] = {0};
    for (int i = 0; kinds[i] != 0; i++) arguments[i] = argument(storm, kinds[i]);
    if (number == SYS_fork) {
        if (below(storm, 8) != 0) return;
        pid_t pid = fork();
        if (pid == 0 && storm->left > CALLS_OF_CHILD) storm->left = CALLS_OF_CHILD;
        return;
    }
    if (number == SYS_execve && below(storm, 30) != 0) return;
    // A seccomp filter or mode that is taken ends most of what comes.
    if ((number == SYS_seccomp || number == SYS_setrlimit) && below(storm, 10) != 0) return;
    syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

static void calls(struct storm *storm) {
    while (storm->left-- > 0) {
        stir(storm);
        one_call(storm);
    }
}

static void *thread(void *argument) {
    calls(argument);
    return 0;
}

// Opens one descriptor of each kind.
static void furnish(void) {
    int pair[2];
    mkdir("d", 0777);
    symlink("a", "link");
    mkfifo("fifo", 0666);
    open("a", O_RDWR | O_CREAT, 0666);
    open("d", O_RDONLY | O_DIRECTORY);
    pipe2(pair, O_NONBLOCK);
    pipe(pair);
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    socket(AF_UNIX, SOCK_SEQPACKET, 0);
    eventfd(0, EFD_NONBLOCK);
    epoll_create1(0);
    timerfd_create(CLOCK_MONOTONIC, 0);
    inotify_init1(IN_NONBLOCK);
    syscall(SYS_memfd_create, "memory", MFD_ALLOW_SEALING);
    posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    open("/proc/self/status", O_RDONLY);
    open("/dev/null", O_RDWR);
    open("a", O_PATH);
    syscall(434, getpid(), 0);
}

static void live(uint64_t seed) {
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < 65; number++) {
        bool tells_of_a_fault = number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE;
        if (!tells_of_a_fault) sigaction(number, &(struct sigaction){.sa_handler = on_signal}, 0);
    }
    CHECK(sigprocmask(SIG_SETMASK, &none, 0) == 0);
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(null, i);
    close(null);
    setsid();
    CHECK(chdir("/storm") == 0);
    char *space = mmap(0, ARENA + PAGE * 96, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(space != MAP_FAILED);
    arena = space + PAGE;
    CHECK(mprotect(arena, ARENA, PROT_READ | PROT_WRITE) == 0);
    struct storm first = {seed * 0x2545f4914f6cdd1du + 1, CALLS}, second = {~first.state, CALLS};
    furnish();
    if (seed % 3 == 0) {
        CHECK(fchmodat(AT_FDCWD, ".", 0777, 0) == 0);
        CHECK(setgid(1000) == 0 && setuid(1000) == 0);
    }
    pthread_t id;
    pthread_create(&id, 0, thread, &second);
    calls(&first);
    _exit(0);
}

static uint64_t now_ms(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return now.tv_sec * 1000ul + now.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
    uint64_t rounds = argc > 1 ? strtoul(argv[1], 0, 0) : 100;
    uint64_t seed = argc > 2 ? strtoul(argv[2], 0, 0) : 1;
    CHECK(mkdir("/storm", 0777) == 0);
    sigset_t all;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, 0) == 0);
    for (uint64_t end = seed + rounds; seed < end; seed++) {
        if (argc > 3) dprintf(2, "seed %lu\n", seed);
        CHECK(mount("storm", "/storm", "tmpfs", 0, "size=1m") == 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) live(seed);
        uint64_t last = now_ms() + LIFE_MS;
        while (now_ms() < last) {
            int status = 0;
            if (waitpid(pid, &status, WNOHANG) != 0) {
                if (argc > 3) dprintf(2, "seed %lu ended, %#x\n", seed, status);
                break;
            }
            usleep(1000);
            // What waits goes on.
            kill(-1, SIGUSR1);
        }
        // This is the first process: it kills all others, and all orphans are its own.
        kill(-1, SIGKILL);
        while (waitpid(-1, 0, 0) > 0 || errno == EINTR) {}
        CHECK(errno == ECHILD);
        while (umount2("/storm", MNT_DETACH) == 0) {}
    }
    puts("the LibOS goes on");
    return 0;
}
