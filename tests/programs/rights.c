// Who may do what: capabilities by thread, set-user-id programs, no_new_privs, chroot, signals to others.
// The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))
#define IN_CHILD(body) do { pid_t child = fork(); CHECK(child >= 0); \
    if (child == 0) { body; _exit(0); } \
    int status; CHECK(waitpid(child, &status, 0) == child); CHECK(status == 0); } while (0)

static void set_effective(unsigned bit, int on) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK(syscall(SYS_capget, &header, data) == 0);
    if (on) data[bit / 32].effective |= 1u << bit % 32;
    else data[bit / 32].effective &= ~(1u << bit % 32);
    CHECK(syscall(SYS_capset, &header, data) == 0);
}

static void one_by_one(void) {
    int flags, fd = open("shut", O_CREAT | O_WRONLY, 0);
    CHECK(fd >= 0 && close(fd) == 0);
    CHECK((fd = open("shut", O_RDWR)) >= 0 && close(fd) == 0);
    set_effective(CAP_DAC_OVERRIDE, 0);
    FAILS(open("shut", O_RDWR), EACCES);
    CHECK((fd = open("shut", O_RDONLY)) >= 0 && close(fd) == 0);
    set_effective(CAP_DAC_READ_SEARCH, 0);
    FAILS(open("shut", O_RDONLY), EACCES);
    set_effective(CAP_DAC_OVERRIDE, 1);
    set_effective(CAP_DAC_READ_SEARCH, 1);
    CHECK(chown("shut", 7, 7) == 0);
    set_effective(CAP_CHOWN, 0);
    FAILS(chown("shut", 8, 7), EPERM);
    set_effective(CAP_CHOWN, 1);
    set_effective(CAP_FOWNER, 0);
    FAILS(chmod("shut", 0600), EPERM);
    set_effective(CAP_FOWNER, 1);
    set_effective(CAP_SYS_CHROOT, 0);
    FAILS(chroot("."), EPERM);
    set_effective(CAP_SYS_CHROOT, 1);
    CHECK((fd = open("shut", O_RDONLY)) >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0);
    set_effective(CAP_LINUX_IMMUTABLE, 0);
    CHECK(ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
    flags |= FS_IMMUTABLE_FL;
    FAILS(ioctl(fd, FS_IOC_SETFLAGS, &flags), EPERM);
    set_effective(CAP_LINUX_IMMUTABLE, 1);
    CHECK(close(fd) == 0 && unlink("shut") == 0);
}

// A directory that goes to another one changes, too: its `..` does.
static void directories_that_move(void) {
    CHECK(mkdir("one", 0777) == 0 && mkdir("other", 0777) == 0 && mkdir("one/shut", 0555) == 0);
    CHECK(chown("one", 7, 7) == 0 && chown("other", 7, 7) == 0 && chown("one/shut", 7, 7) == 0);
    IN_CHILD({
        CHECK(setgid(7) == 0 && setuid(7) == 0);
        FAILS(rename("one/shut", "other/shut"), EACCES);
        CHECK(rename("one/shut", "one/still") == 0);
        FAILS(rmdir("/proc"), EACCES);
    });
    CHECK(rmdir("one/still") == 0 && rmdir("one") == 0 && rmdir("other") == 0);
}

static void *somebody_else(void *unused) {
    CHECK(syscall(SYS_setresgid, -1, 7, -1) == 0);
    CHECK(syscall(SYS_setresuid, -1, 7, -1) == 0);
    CHECK(geteuid() == 7 && getuid() == 0);
    FAILS(open("secret", O_RDONLY), EACCES);
    int fd = open("public/own", O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    return unused;
}

static void by_thread(void) {
    int fd = open("secret", O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0 && close(fd) == 0);
    CHECK(mkdir("public", 0777) == 0 && chmod("public", 0777) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, 0, somebody_else, 0) == 0 && pthread_join(thread, 0) == 0);
    CHECK(geteuid() == 0 && (fd = open("secret", O_RDONLY)) >= 0 && close(fd) == 0);
    struct stat about;
    CHECK(stat("public/own", &about) == 0 && about.st_uid == 7 && about.st_gid == 7);
    CHECK(unlink("public/own") == 0 && rmdir("public") == 0 && unlink("secret") == 0);
}

static void copy(const char *from, const char *to) {
    char bytes[65536];
    ssize_t count;
    int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    CHECK(in >= 0 && out >= 0);
    while ((count = read(in, bytes, sizeof bytes)) > 0) CHECK(write(out, bytes, count) == count);
    CHECK(count == 0 && close(in) == 0 && close(out) == 0);
}

// What a program of user 9 with set-id bits finds.
static int started(const char *expected) {
    char found[100];
    uid_t real, effective, saved;
    getresuid(&real, &effective, &saved);
    snprintf(found, sizeof found, "%d %d %d %d %lu", real, effective, saved, getegid(), getauxval(AT_SECURE));
    if (strcmp(found, expected) == 0) return 0;
    dprintf(2, "found %s, expected %s\n", found, expected);
    return 1;
}

static void set_ids(void) {
    copy("/proc/self/exe", "owned");
    CHECK(chown("owned", 9, 9) == 0 && chmod("owned", 06755) == 0);
    IN_CHILD({
        CHECK(setgid(7) == 0 && setuid(7) == 0);
        execl("owned", "owned", "7 9 9 9 1", NULL);
        CHECK(0);
    });
    IN_CHILD({
        CHECK(setgid(7) == 0 && setuid(7) == 0);
        CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        execl("owned", "owned", "7 7 7 7 0", NULL);
        CHECK(0);
    });
    // Who writes to it without being privileged takes the bits away; so does a new owner.
    CHECK(chown("owned", 0, 0) == 0);
    struct stat about;
    CHECK(stat("owned", &about) == 0 && (about.st_mode & 06000) == 0);
    CHECK(chmod("owned", 04755) == 0);
    IN_CHILD({
        CHECK(setgid(7) == 0 && setuid(7) == 0);
        execl("owned", "owned", "7 0 0 7 1", NULL);
        CHECK(0);
    });
    // A process that shares its root with another one gains nothing.
    IN_CHILD({
        CHECK(setgid(7) == 0 && setuid(7) == 0);
        pid_t child = syscall(SYS_clone, CLONE_FS | SIGCHLD, NULL, NULL, NULL, NULL);
        if (child == 0) {
            execl("owned", "owned", "7 7 7 7 1", NULL);
            _exit(9);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    });
    CHECK(unlink("owned") == 0);
}

static void root_elsewhere(void) {
    CHECK(mkdir("jail", 0755) == 0 && mkdir("jail/inner", 0755) == 0);
    int processes = open("/proc", O_RDONLY); int outside = open("/tmp", O_RDONLY);
    CHECK(processes >= 0 && outside >= 0);
    IN_CHILD({
        char path[32]; char target[32];
        snprintf(path, sizeof path, "self/fd/%d", outside);
        CHECK(chroot("jail") == 0);
        CHECK(readlinkat(processes, path, target, sizeof target) == 4 && memcmp(target, "/tmp", 4) == 0);
    });
    CHECK(close(processes) == 0 && close(outside) == 0);
    IN_CHILD({
        CHECK(chroot("jail") == 0 && chdir("/") == 0);
        struct stat here; struct stat above;
        CHECK(stat("/", &here) == 0 && stat("/../..", &above) == 0 && here.st_ino == above.st_ino);
        CHECK(access("/inner", F_OK) == 0);
        FAILS(access("/proc", F_OK), ENOENT);
    });
    CHECK(rmdir("jail/inner") == 0 && rmdir("jail") == 0);
}

// A name for what is somebody else's must be harmless, and a descriptor is no right to names.
static void links(void) {
    int fd = open("theirs", O_CREAT | O_RDWR, 0644);
    CHECK(fd >= 0 && mkfifo("fifo", 0666) == 0 && chmod("fifo", 0666) == 0);
    CHECK(close(open("open", O_CREAT | O_RDWR, 0666)) == 0 && chmod("open", 0666) == 0);
    CHECK(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH) == 0 && unlink("again") == 0);
    IN_CHILD({
        CHECK(setgid(7) == 0 && setuid(7) == 0);
        FAILS(timerfd_create(CLOCK_REALTIME_ALARM, 0), EPERM);
        FAILS(link("theirs", "again"), EPERM);
        FAILS(link("fifo", "again"), EPERM);
        CHECK(link("open", "again") == 0);
        FAILS(linkat(fd, "", AT_FDCWD, "third", AT_EMPTY_PATH), ENOENT);
    });
    CHECK(unlink("again") == 0 && chmod("open", 04666) == 0);
    IN_CHILD({
        CHECK(setgid(7) == 0 && setuid(7) == 0);
        FAILS(link("open", "again"), EPERM);
    });
    CHECK(close(fd) == 0 && unlink("theirs") == 0 && unlink("open") == 0 && unlink("fifo") == 0);
}

// Who has ended still has a nice value, until somebody has waited.
static void after_the_end(void) {
    siginfo_t info;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) _exit(setgid(7) != 0 || setuid(7) != 0);
    CHECK(waitid(P_PID, child, &info, WEXITED | WNOWAIT) == 0 && info.si_status == 0);
    CHECK(setpriority(PRIO_PROCESS, child, 5) == 0 && getpriority(PRIO_PROCESS, child) == 5);
    set_effective(CAP_SYS_NICE, 0);
    FAILS(setpriority(PRIO_PROCESS, child, 6), EPERM);
    set_effective(CAP_SYS_NICE, 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    FAILS(setpriority(PRIO_PROCESS, child, 6), ESRCH);
}

static void descriptors(void) {
    struct rlimit most; struct rlimit less;
    CHECK(getrlimit(RLIMIT_NOFILE, &most) == 0);
    less.rlim_cur = less.rlim_max = most.rlim_max - 1;
    IN_CHILD({
        CHECK(setrlimit(RLIMIT_NOFILE, &less) == 0);
        CHECK(setrlimit(RLIMIT_NOFILE, &most) == 0);
        most.rlim_max = 1L << 40;
        FAILS(setrlimit(RLIMIT_NOFILE, &most), EPERM);
    });
}

static void to_others(void) {
    pid_t other = fork();
    CHECK(other >= 0);
    if (other == 0) for (;;) pause();
    IN_CHILD({
        CHECK(setgid(7) == 0 && setuid(7) == 0);
        FAILS(kill(other, SIGTERM), EPERM);
        FAILS(kill(other, 0), EPERM);
        CHECK(kill(other, SIGCONT) == 0);
        struct rlimit limit;
        FAILS(prlimit(other, RLIMIT_NOFILE, 0, &limit), EPERM);
        FAILS(setpriority(PRIO_PROCESS, other, 3), EPERM);
        FAILS(setpriority(PRIO_PROCESS, 0, -1), EACCES);
        CHECK(setpriority(PRIO_PROCESS, 0, 3) == 0);
    });
    CHECK(setpriority(PRIO_PROCESS, other, 5) == 0 && getpriority(PRIO_PROCESS, other) == 5);
    int status;
    CHECK(kill(other, SIGTERM) == 0 && waitpid(other, &status, 0) == other);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void scheduling(void) {
    IN_CHILD({
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(0, &set);
        CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
        CPU_ZERO(&set);
        CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
        // Whoever asks for a thread that cannot be is told so, not that the set is too small.
        CHECK(sched_getaffinity(-1, sizeof set, &set) < 0 && errno == ESRCH);
        CHECK(sched_setaffinity(-1, sizeof set, &set) < 0 && errno == ESRCH);
        CHECK(CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set));
        struct sched_param none = {0};
        // By number: musl does not make these calls.
        CHECK(syscall(SYS_sched_setscheduler, 0, 3 /* SCHED_BATCH */, &none) == 0);
        CHECK(syscall(SYS_sched_getscheduler, 0) == 3);
        struct sched_param high = {99};
        CHECK(setgid(7) == 0 && setuid(7) == 0);
        FAILS(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &high), EPERM);
    });
}

int main(int count, char **words) {
    if (count > 1) return started(words[1]);
    CHECK(chdir("/tmp") == 0);
    one_by_one();
    directories_that_move();
    by_thread();
    set_ids();
    root_elsewhere();
    links();
    to_others();
    after_the_end();
    descriptors();
    scheduling();
    puts("rights are as on Linux");
    return 0;
}
