// What processes share when they say so, processes by descriptor, and limits that have an effect.
// The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

static char stack[65536] __attribute__((aligned(16)));

static void end_of(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, __WALL) == child && status == 0);
}

static int closes(void *fd) {
    CHECK(close((int)(intptr_t)fd) == 0);
    CHECK(chdir("/") == 0);
    umask(077);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    CHECK(sigaction(SIGUSR1, &ignore, 0) == 0);
    return 0;
}

static int unshares(void *fd) {
    CHECK(unshare(CLONE_FILES | CLONE_FS) == 0);
    return closes(fd);
}

static int finds_handlers(void) {
    struct sigaction now;
    CHECK(sigaction(SIGUSR1, 0, &now) == 0);
    return now.sa_handler == SIG_IGN;
}

static void shares(void) {
    char here[100];
    CHECK(chdir("/tmp") == 0);
    umask(022);
    int fd = dup(1);
    void *word = (void *)(intptr_t)fd, *top = stack + sizeof stack;
    // Nothing is shared.
    end_of(clone(closes, top, SIGCHLD, word));
    CHECK(fcntl(fd, F_GETFD) >= 0 && strcmp(getcwd(here, sizeof here), "/tmp") == 0);
    CHECK(!finds_handlers());
    // All is, and then no more.
    int shared = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | SIGCHLD;
    end_of(clone(unshares, top, shared, word));
    CHECK(fcntl(fd, F_GETFD) >= 0 && strcmp(getcwd(here, sizeof here), "/tmp") == 0);
    end_of(clone(closes, top, shared | CLONE_SIGHAND, word));
    FAILS(fcntl(fd, F_GETFD), EBADF);
    CHECK(strcmp(getcwd(here, sizeof here), "/") == 0 && umask(022) == 077);
    CHECK(finds_handlers());
    signal(SIGUSR1, SIG_DFL);
    CHECK(chdir("/tmp") == 0);
    FAILS(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0), EINVAL);
    // Other descriptors of its own, without those in a range.
    int kept = dup(1), gone = dup(1);
    pid_t child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(syscall(SYS_close_range, gone, gone, 2 /* CLOSE_RANGE_UNSHARE */) == 0);
        FAILS(fcntl(gone, F_GETFD), EBADF);
        _exit(0);
    }
    end_of(child);
    CHECK(fcntl(gone, F_GETFD) >= 0 && close(gone) == 0 && close(kept) == 0);
}

static void by_descriptor(void) {
    int pidfd = -1;
    struct clone_args how = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = syscall(SYS_clone3, &how, sizeof how);
    CHECK(child >= 0);
    if (child == 0) {
        char byte;
        read(ends[0], &byte, 1);
        for (;;) pause();
    }
    CHECK(pidfd >= 0 && (fcntl(pidfd, F_GETFD) & FD_CLOEXEC));
    struct pollfd poller = {pidfd, POLLIN, 0};
    CHECK(poll(&poller, 1, 0) == 0);
    siginfo_t info;
    CHECK(waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG) == 0);
    int theirs = syscall(SYS_pidfd_getfd, pidfd, ends[1], 0);
    CHECK(theirs >= 0 && write(theirs, "x", 1) == 1);
    int again = syscall(SYS_pidfd_open, child, 0);
    CHECK(again >= 0);
    CHECK(syscall(SYS_pidfd_send_signal, again, 0, 0, 0) == 0);
    CHECK(syscall(SYS_pidfd_send_signal, again, SIGTERM, 0, 0) == 0);
    CHECK(poll(&poller, 1, 10000) == 1 && poller.revents == POLLIN);
    CHECK(waitid(P_PIDFD, pidfd, &info, WEXITED) == 0);
    CHECK(info.si_pid == child && info.si_code == CLD_KILLED && info.si_status == SIGTERM);
    FAILS(syscall(SYS_pidfd_send_signal, pidfd, 0, 0, 0), ESRCH);
    FAILS(syscall(SYS_pidfd_open, child, 0), ESRCH);
    FAILS(syscall(SYS_pidfd_open, -1, 0), EINVAL);
    CHECK(close(pidfd) == 0 && close(again) == 0 && close(theirs) == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static volatile sig_atomic_t told;

static void note(int signal) { told = signal; }

static void limits(void) {
    struct rlimit limit = {10000, RLIM_INFINITY};
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        signal(SIGXFSZ, note);
        static char bytes[20000];
        int fd = open("large", O_CREAT | O_RDWR | O_TRUNC, 0600);
        CHECK(fd >= 0 && setrlimit(RLIMIT_FSIZE, &limit) == 0);
        CHECK(write(fd, bytes, sizeof bytes) == 10000 && told == 0);
        FAILS(write(fd, bytes, 1), EFBIG);
        CHECK(told == SIGXFSZ);
        FAILS(ftruncate(fd, 10001), EFBIG);
        CHECK(pwrite(fd, bytes, 100, 9950) == 50);
        CHECK(unlink("large") == 0);
        signal(SIGXCPU, note);
        limit.rlim_cur = 1;
        limit.rlim_max = 2;
        CHECK(setrlimit(RLIMIT_CPU, &limit) == 0);
        while (told != SIGXCPU) {}
        for (;;) {}
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    child = fork();
    if (child == 0) {
        limit.rlim_cur = limit.rlim_max = 1;
        CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0 && setgid(7) == 0 && setuid(7) == 0);
        FAILS(fork(), EAGAIN);
        CHECK(prlimit(0, RLIMIT_NPROC, 0, &limit) == 0 && limit.rlim_cur == 1);
        limit.rlim_max = 2;
        FAILS(setrlimit(RLIMIT_NPROC, &limit), EPERM);
        _exit(0);
    }
    end_of(child);
}

static void *names_apart(void *fd) {
    // What is left to share is still there when the thread has ended.
    CHECK(kill(syscall(SYS_gettid), 0) == 0);
    CHECK(unshare(CLONE_FS) == 0 && unshare(CLONE_NEWUTS) == 0);
    CHECK(sethostname("elsewhere", 9) == 0);
    struct utsname here;
    CHECK(uname(&here) == 0 && strcmp(here.nodename, "elsewhere") == 0);
    char text[64] = "";
    int file = open("/proc/sys/kernel/hostname", O_RDONLY);
    CHECK(file >= 0 && read(file, text, sizeof text) == 10 && strcmp(text, "elsewhere\n") == 0);
    CHECK(close(file) == 0);
    pid_t child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    CHECK(child >= 0);
    if (child == 0) _exit(uname(&here) != 0 || strcmp(here.nodename, "elsewhere") != 0);
    end_of(child);
    child = syscall(SYS_clone, SIGCHLD | CLONE_NEWUTS, 0, 0, 0, 0);
    CHECK(child >= 0);
    if (child == 0) _exit(sethostname("further", 7) != 0);
    end_of(child);
    CHECK(uname(&here) == 0 && strcmp(here.nodename, "elsewhere") == 0);
    return fd;
}

static void names(void) {
    struct utsname before, after;
    pthread_t thread;
    int fd = dup(1);
    CHECK(uname(&before) == 0);
    CHECK(pthread_create(&thread, 0, names_apart, &fd) == 0 && pthread_join(thread, 0) == 0);
    CHECK(fcntl(fd, F_GETFD) >= 0 && close(fd) == 0);
    CHECK(uname(&after) == 0 && strcmp(before.nodename, after.nodename) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(setgid(7) == 0 && setuid(7) == 0);
        FAILS(unshare(CLONE_NEWUTS), EPERM);
        _exit(0);
    }
    end_of(child);
}

static void longer_records(void) {
    struct {
        struct clone_args known;
        char later[40];
    } how = {.known = {.exit_signal = SIGCHLD}};
    pid_t child = syscall(SYS_clone3, &how, sizeof how);
    CHECK(child >= 0);
    if (child == 0) _exit(0);
    end_of(child);
    how.later[39] = 1;
    FAILS(syscall(SYS_clone3, &how, sizeof how), E2BIG);
    FAILS(syscall(SYS_clone3, &how, 5000), E2BIG);
    FAILS(syscall(SYS_clone3, &how, 63), EINVAL);
}

// A child of which no SIGCHLD tells is waited for by who says so, until it runs another program.
static void sorts(void) {
    int status;
    pid_t child = syscall(SYS_clone, 0, 0, 0, 0, 0);
    CHECK(child >= 0);
    if (child == 0) _exit(0);
    FAILS(waitpid(child, &status, 0), ECHILD);
    CHECK(waitpid(child, &status, __WCLONE) == child);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) _exit(0);
    FAILS(waitpid(child, &status, __WCLONE), ECHILD);
    end_of(child);
}

// Who inherits a child that has ended already is told of it.
static void inherits(void) {
    int told[2], ends[2];
    sigset_t set, before;
    sigemptyset(&set), sigaddset(&set, SIGCHLD);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && pipe(told) == 0 && pipe(ends) == 0);
    CHECK(sigprocmask(SIG_BLOCK, &set, &before) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pid_t own = fork();
        if (own == 0) _exit(0);
        siginfo_t info;
        CHECK(waitid(P_PID, own, &info, WEXITED | WNOWAIT) == 0);
        CHECK(write(told[1], &own, sizeof own) == sizeof own && read(ends[0], &own, 1) == 1);
        _exit(0);
    }
    pid_t orphan;
    siginfo_t info;
    CHECK(read(told[0], &orphan, sizeof orphan) == sizeof orphan && write(ends[1], "x", 1) == 1);
    CHECK(sigwaitinfo(&set, &info) == SIGCHLD && info.si_pid == orphan && info.si_code == CLD_EXITED);
    end_of(orphan);
    end_of(child);
    CHECK(sigprocmask(SIG_SETMASK, &before, 0) == 0);
}

// Whether it wants huge pages is kept for who asks, and a child is as its parent.
static void page_sizes(void) {
    FAILS(prctl(PR_SET_THP_DISABLE, 0, 1, 0, 0), EINVAL);
    FAILS(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 1), EINVAL);
    FAILS(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL);
    CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0 && prctl(PR_SET_THP_DISABLE, 7, 0, 0, 0) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) _exit(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) != 1);
    end_of(child);
    CHECK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0) == 0 && prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0);
}

static _Atomic int word, woken[3], woken_count, waiting;
static void *waits_by_priority(void *priority) {
    struct sched_param parameter = {.sched_priority = (int)(intptr_t)priority};
    if (priority) CHECK(sched_setscheduler(0, SCHED_FIFO, &parameter) == 0);
    waiting++;
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT, 0, 0, 0, 0) == 0);
    woken[woken_count++] = parameter.sched_priority;
    return 0;
}

// Who has a higher real-time priority is woken first.
static void priorities(void) {
    struct sched_param parameter = {.sched_priority = 1}, usual = {0};
    if (sched_setscheduler(0, SCHED_FIFO, &parameter) != 0) return;
    CHECK(sched_setscheduler(0, SCHED_OTHER, &usual) == 0);
    static const int order[3] = {0, 10, 20};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], 0, waits_by_priority, (void *)(intptr_t)order[i]) == 0);
        while (waiting != i + 1) usleep(1000);
        usleep(50000);
    }
    for (int i = 0; i < 3; i++) {
        CHECK(syscall(SYS_futex, &word, FUTEX_WAKE, 1, 0, 0, 0) == 1);
        while (woken_count != i + 1) usleep(1000);
        CHECK(woken[i] == order[2 - i]);
    }
    for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], 0) == 0);
}

// A script that its interpreter could not open is not run.
static void scripts_by_descriptor(void) {
    static char *words[] = {"script", 0};
    int fd = syscall(SYS_memfd_create, "script", 1 /* MFD_CLOEXEC */);
    CHECK(fd >= 0 && write(fd, "#!/proc/self/exe\n", 17) == 17);
    FAILS(syscall(SYS_execveat, fd, "", words, words + 1, AT_EMPTY_PATH), ENOENT);
    CHECK(close(fd) == 0);
}

int main(void) {
    priorities();
    scripts_by_descriptor();
    longer_records();
    sorts();
    inherits();
    page_sizes();
    shares();
    names();
    by_descriptor();
    limits();
    puts("clones share what they say");
    return 0;
}
