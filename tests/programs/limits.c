// What Linux refuses, and what it says why: programs that run, signals that wait, queues that are
// full, and how a thread looks from outside.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static void check(int ok, const char *what) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

#define FAILS(call, error) (errno = 0, (call) == -1 && errno == (error))

static void copy_self(const char *to) {
    char buffer[65536];
    int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    for (ssize_t len; (len = read(in, buffer, sizeof buffer)) > 0;)
        if (write(out, buffer, len) != len) abort();
    close(in), close(out);
}

static void programs(void) {
    copy_self("copy");
    int fd = open("copy", O_WRONLY);
    char *words[] = {"copy", "wait", NULL}, *none[] = {NULL};
    check(FAILS(execve("copy", words, none), ETXTBSY), "what is written to does not run");
    close(fd);
    int pipes[2];
    if (pipe(pipes)) abort();
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 1);
        execve("copy", words, none);
        _exit(1);
    }
    char byte;
    check(read(pipes[0], &byte, 1) == 1, "it runs once nobody does");
    check(FAILS(open("copy", O_RDWR), ETXTBSY), "what runs is not written to");
    check(FAILS(open("copy", O_WRONLY | O_TRUNC), ETXTBSY), "nor emptied");
    check(FAILS(truncate("copy", 0), ETXTBSY), "nor cut");
    struct stat status;
    check(stat("copy", &status) == 0 && status.st_size > 0, "it is as it was");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    fd = open("copy", O_RDWR);
    check(fd >= 0, "when it has ended it is");
    close(fd);
    unlink("copy");
    close(pipes[0]), close(pipes[1]);
}

static void files(void) {
    int fd = open("own", O_CREAT | O_RDWR, 0644);
    fflush(stdout);
    if (fork() == 0) {
        if (setresuid(1000, 1000, 1000)) _exit(1);
        check(FAILS(open("own", O_RDONLY | O_NOATIME), EPERM), "only the owner reads unseen");
        int other = open("own", O_RDONLY);
        check(FAILS(fcntl(other, F_SETFL, O_NOATIME), EPERM), "nor later");
        _exit(0);
    }
    wait(NULL);
    check(fcntl(fd, F_SETFL, O_NOATIME) == 0, "the owner does");
    close(fd);
    unlink("own");
    if (mknod("zeros", S_IFCHR | 0600, makedev(1, 5)) || mknod("none", S_IFCHR | 0600, makedev(1, 77))) abort();
    char bytes[4] = "abc";
    fd = open("zeros", O_RDONLY);
    check(read(fd, bytes, 4) == 4 && memcmp(bytes, "\0\0\0\0", 4) == 0, "a device by its number");
    close(fd);
    check(FAILS(open("none", O_RDONLY), ENXIO), "one that is none");
    unlink("zeros"), unlink("none");
    int null = open("/dev/null", O_RDWR);
    check(FAILS(fdatasync(null), EINVAL), "nothing to make sure of");
    check(FAILS(sync_file_range(null, 0, 1, SYNC_FILE_RANGE_WRITE), ESPIPE), "nor a range of it");
    int pipes[2];
    if (pipe(pipes)) abort();
    static char page[300000] __attribute__((aligned(4096)));
    struct iovec vector = {page, sizeof page};
    check(vmsplice(pipes[1], &vector, 1, 0) == 65536, "a pipe takes what there is room for");
    check(FAILS(vmsplice(pipes[1], &vector, 1, SPLICE_F_NONBLOCK), EAGAIN), "and no more");
    check(FAILS(fcntl(pipes[1], F_SETPIPE_SZ, UINT_MAX), EINVAL), "no pipe is that large");
    close(pipes[0]), close(pipes[1]), close(null);
}

static int has_effective(unsigned bit) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    return syscall(SYS_capget, &header, sets) == 0 && sets[bit / 32].effective >> bit % 32 & 1;
}

// The status of a program that says whether it may send signals to anybody, run by somebody.
static int may_kill(const char *program) {
    pid_t child = fork();
    if (child == 0) {
        if (setresuid(1000, 1000, 1000)) _exit(1);
        execl(program, program, "may", NULL);
        _exit(errno == EPERM ? 2 : 3);
    }
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static void attributes(void) {
    char names[256];
    close(open("file", O_CREAT | O_RDWR, 0666));
    check(setxattr("file", "trusted.note", "1", 1, 0) == 0, "a note of an administrator");
    check(setxattr("file", "security.note", "22", 2, 0) == 0, "one about security");
    check(FAILS(setxattr("file", "security.note", "3", 1, XATTR_CREATE), EEXIST), "it is there");
    check(listxattr("file", names, sizeof names) == 13 + 14, "both are listed");
    check(FAILS(setxattr("file", "trusted.", "1", 1, 0), EINVAL), "no name at all");
    check(FAILS(setxattr("file", "other.note", "1", 1, 0), EOPNOTSUPP), "nobody's name");
    fflush(stdout);
    if (fork() == 0) {
        if (setresuid(1000, 1000, 1000)) _exit(1);
        check(FAILS(getxattr("file", "trusted.note", names, 9), ENODATA), "others do not see it");
        check(FAILS(setxattr("file", "trusted.more", "1", 1, 0), EPERM), "nor add one");
        struct vfs_cap_data none = {.magic_etc = VFS_CAP_REVISION_2};
        check(listxattr("file", names, sizeof names) == 14, "of security they see");
        check(getxattr("file", "security.note", names, 9) == 2, "what it says");
        check(FAILS(setxattr("file", "security.note", "1", 1, 0), EPERM), "and no more");
        check(FAILS(setxattr("file", "security.capability", &none, XATTR_CAPS_SZ_2, 0), EPERM), "nor give rights");
        _exit(0);
    }
    wait(NULL);
    unlink("file");
    copy_self("copy");
    check(may_kill("./copy") == 0, "somebody may not send signals to all");
    struct vfs_cap_data rights = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE};
    rights.data[0].permitted = 1 << CAP_KILL;
    check(FAILS(setxattr("copy", "security.capability", &rights, 8, 0), EINVAL), "half of a right");
    check(setxattr("copy", "security.capability", &rights, XATTR_CAPS_SZ_2, 0) == 0, "a right");
    check(may_kill("./copy") == 42, "with it they may");
    rights.magic_etc = VFS_CAP_REVISION_2;
    check(setxattr("copy", "security.capability", &rights, XATTR_CAPS_SZ_2, 0) == 0, "one to ask for");
    check(may_kill("./copy") == 0, "which they did not");
    int fd = open("copy", O_WRONLY | O_APPEND);
    if (write(fd, "x", 1) != 1) abort();
    close(fd);
    check(FAILS(getxattr("copy", "security.capability", names, 99), ENODATA), "what changes loses it");
    unlink("copy");
}

static volatile int thread_value;
static void wakes_thread(union sigval value) { thread_value = value.sival_int; }

static void queues(void) {
    struct mq_attr size = {.mq_maxmsg = 2, .mq_msgsize = 16}, told;
    mq_unlink("/limits");
    check(FAILS(mq_open("/limits", O_RDWR), ENOENT), "a queue that is not there");
    mqd_t queue = mq_open("/limits", O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, &size);
    check(queue != -1, "a queue");
    check(FAILS(mq_open("/limits", O_CREAT | O_EXCL | O_RDWR, 0600, &size), EEXIST), "is there once");
    check(mq_send(queue, "low", 3, 1) == 0 && mq_send(queue, "high", 4, 2) == 0, "two messages");
    check(FAILS(mq_send(queue, "more", 4, 3), EAGAIN), "not three");
    check(FAILS(mq_send(queue, "0123456789abcdefg", 17, 3), EMSGSIZE), "not a long one");
    check(mq_getattr(queue, &told) == 0 && told.mq_curmsgs == 2 && told.mq_flags == O_NONBLOCK, "told");
    char text[16];
    unsigned priority;
    check(FAILS(mq_receive(queue, text, 15, NULL), EMSGSIZE), "no room to receive");
    check(mq_receive(queue, text, 16, &priority) == 4 && priority == 2, "the higher one first");
    check(mq_receive(queue, text, 16, &priority) == 3 && priority == 1, "then the lower one");
    check(FAILS(mq_receive(queue, text, 16, NULL), EAGAIN), "then none");
    struct mq_attr waits = {0};
    mq_setattr(queue, &waits, NULL);
    struct timespec past = {0};
    check(FAILS(mq_timedreceive(queue, text, 16, NULL, &past), ETIMEDOUT), "a time that is over");
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    event.sigev_value.sival_int = 77;
    check(mq_notify(queue, &event) == 0, "asked to be told");
    fflush(stdout);
    if (fork() == 0) {
        check(FAILS(mq_notify(queue, &event), EBUSY), "one is told");
        mq_send(queue, "x", 1, 0);
        _exit(0);
    }
    siginfo_t info;
    sigwaitinfo(&set, &info);
    wait(NULL);
    check(info.si_code == SI_MESGQ && info.si_value.sival_int == 77, "by a signal of its own");
    check(mq_notify(queue, &event) == 0 && mq_notify(queue, NULL) == 0, "once");
    event.sigev_signo = 0;
    check(mq_notify(queue, &event) == 0 && FAILS(mq_notify(queue, &event), EBUSY), "without a signal, too");
    mq_notify(queue, NULL);
    check(mq_receive(queue, text, 16, NULL) == 1, "the message");
    struct sigevent by_thread = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = wakes_thread};
    by_thread.sigev_value.sival_int = 78;
    check(mq_notify(queue, &by_thread) == 0 && FAILS(mq_notify(queue, &event), EBUSY), "by a thread, too");
    mq_send(queue, "x", 1, 0);
    for (int tries = 0; thread_value != 78 && tries < 500; tries++) usleep(10000);
    check(thread_value == 78, "which starts when a message comes");
    check(mq_receive(queue, text, 16, NULL) == 1, "and takes none itself");
    fflush(stdout);
    if (fork() == 0) _exit(mq_notify(queue, &event) != 0);
    int registered;
    wait(&registered);
    check(registered == 0 && mq_notify(queue, &event) == 0, "who has ended is told of nothing");
    mq_notify(queue, NULL);
    int sevs = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    check(sevs >= 0 && FAILS(mq_notify(queue, &(struct sigevent){.sigev_notify = SIGEV_THREAD_ID}), EINVAL),
          "not by a thread that is there");
    close(sevs);
    fflush(stdout);
    if (fork() == 0) {
        usleep(100000);
        mq_send(queue, "later", 5, 0);
        _exit(0);
    }
    check(mq_receive(queue, text, 16, NULL) == 5, "one that was waited for");
    wait(NULL);
    check(mq_unlink("/limits") == 0 && mq_close(queue) == 0, "gone");
}

static void signals(void) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN + 4), sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct rlimit before, none = {0};
    getrlimit(RLIMIT_SIGPENDING, &before);
    none.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_SIGPENDING, &none);
    union sigval value = {.sival_int = 1};
    check(FAILS(sigqueue(getpid(), SIGRTMIN + 4, value), EAGAIN), "no room for a signal");
    check(FAILS(syscall(SYS_tkill, getpid(), SIGRTMIN + 4), EAGAIN), "nor from a thread");
    check(sigqueue(getpid(), SIGUSR2, value) == 0, "a standard one comes");
    siginfo_t info;
    sigwaitinfo(&set, &info);
    check(info.si_signo == SIGUSR2 && info.si_code == SI_USER, "and says nothing");
    timer_t timer;
    check(FAILS(timer_create(CLOCK_MONOTONIC, NULL, &timer), EAGAIN), "nor for a timer");
    setrlimit(RLIMIT_SIGPENDING, &before);
    check(sigqueue(getpid(), SIGRTMIN + 4, value) == 0, "with room it waits");
    sigwaitinfo(&set, &info);
    struct itimerspec past = {.it_value = {.tv_nsec = 1}, .it_interval = {.tv_nsec = 1}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    timer_create(CLOCK_REALTIME, &event, &timer);
    timer_settime(timer, TIMER_ABSTIME, &past, NULL);
    sigwaitinfo(&set, &info);
    check(timer_getoverrun(timer) == INT_MAX, "overruns since the beginning of time");
    timer_delete(timer);
    struct timespec time = {0};
    check(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &time, 0) == -1 && errno == EOPNOTSUPP,
          "a clock that nobody waits for");
}

// The letter of the state in /proc/PID/stat, once it is what is expected.
static int becomes(pid_t pid, char expected) {
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (int i = 0; i < 200; i++) {
        int fd = open(path, O_RDONLY);
        ssize_t len = read(fd, line, sizeof line - 1);
        close(fd);
        line[len > 0 ? len : 0] = 0;
        char *end = strrchr(line, ')');
        if (end && end[2] == expected) return 1;
        usleep(10000);
    }
    return 0;
}

// Whether what is told of a descriptor has these words in it.
static int tells(int fd, const char *words) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY);
    ssize_t len = read(info, text, sizeof text - 1);
    close(info);
    text[len > 0 ? len : 0] = 0;
    return strstr(text, words) != NULL;
}

static void details(void) {
    char words[64];
    int watch = inotify_init(), counter = eventfd(5, 0), set = epoll_create1(0);
    inotify_add_watch(watch, ".", IN_CREATE);
    check(tells(watch, "inotify wd:1 ino:") && tells(watch, " mask:100 "), "what is watched");
    check(tells(counter, "eventfd-count:                5\n"), "what was counted");
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0xabc};
    epoll_ctl(set, EPOLL_CTL_ADD, counter, &event);
    snprintf(words, sizeof words, "tfd: %8d events: ", counter);
    check(tells(set, words) && tells(set, "data:              abc "), "what is waited for");
    sigset_t signals;
    sigemptyset(&signals), sigaddset(&signals, SIGUSR1);
    int file = signalfd(-1, &signals, 0);
    check(tells(file, "sigmask:\t0000000000000200\n"), "which signals are read");
    int self = syscall(SYS_pidfd_open, getpid(), 0);
    snprintf(words, sizeof words, "Pid:\t%d\n", getpid());
    check(tells(self, words), "which process it is");
    close(watch), close(counter), close(set), close(file), close(self);
}

static void looks(void) {
    pid_t child = fork();
    if (child == 0) {
        for (volatile int go = 1; go;) {}
    }
    check(becomes(child, 'R'), "one that runs");
    kill(child, SIGSTOP);
    check(becomes(child, 'T'), "one that has stopped");
    kill(child, SIGKILL);
    check(becomes(child, 'Z'), "one that has ended");
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0) pause(), _exit(0);
    check(becomes(child, 'S'), "one that waits");
    check(syscall(SYS_kcmp, getpid(), child, KCMP_VM, 0, 0) > 0, "it has other memory");
    check(syscall(SYS_kcmp, getpid(), child, KCMP_FILE, 1, 1) == 0, "and the same output");
    check(FAILS(syscall(SYS_kcmp, getpid(), child, KCMP_FILE, 999, 1), EBADF), "and not that");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    struct utsname names;
    check(personality(0xffffffff) == PER_LINUX, "what it is");
    personality(UNAME26);
    uname(&names);
    check(strncmp(names.release, "2.6.", 4) == 0, "an old Linux");
    check(personality(PER_LINUX) == UNAME26, "what it was");
    check(sched_get_priority_max(6) == 0, "deadlines have no priorities");
}

// Each event wakes one of those that want that.
static void exclusive(void) {
    int pipes[2], done[2];
    pid_t children[4];
    if (pipe(pipes) || pipe(done)) abort();
    for (int i = 0; i < 4; i++)
        if ((children[i] = fork()) == 0) {
            int set = epoll_create1(0);
            struct epoll_event event = {.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE};
            epoll_ctl(set, EPOLL_CTL_ADD, pipes[0], &event);
            if (epoll_wait(set, &event, 1, 5000) == 1 && write(done[1], "x", 1) == 1) pause();
            _exit(0);
        }
    for (int i = 0; i < 4; i++) becomes(children[i], 'S');
    if (write(pipes[1], "x", 1) != 1) abort();
    usleep(300000);
    char bytes[4];
    check(read(done[0], bytes, 4) == 1, "one of four wakes");
    for (int i = 0; i < 4; i++) kill(children[i], SIGKILL), waitpid(children[i], NULL, 0);
}

int main(int count, char **words) {
    if (count > 1 && strcmp(words[1], "wait") == 0) return write(1, "x", 1) == 1 ? pause() : 1;
    if (count > 1 && strcmp(words[1], "may") == 0) return has_effective(CAP_KILL) ? 42 : 0;
    char directory[] = "/tmp/limitsXXXXXX";
    if (!mkdtemp(directory) || chmod(directory, 0755) || chdir(directory)) return 1;
    programs();
    files();
    attributes();
    queues();
    signals();
    details();
    looks();
    exclusive();
    return rmdir(directory) ? 1 : 0;
}
