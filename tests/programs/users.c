// Users, groups, capabilities, and what programs probe. The exit status is the line of the first
// check that fails. Its output on Linux, for the superuser, is the same.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

static void capabilities(int has_all) {
    uint32_t header[2] = {0x20080522, 0}, data[6];
    CHECK(syscall(SYS_capget, header, data) == 0);
    CHECK((data[0] != 0) == has_all && (data[1] != 0) == has_all);
    header[0] = 1;
    FAILS(syscall(SYS_capget, header, data), EINVAL);
    CHECK(header[0] == 0x20080522);
}

// What a process may do once it has given up being the superuser.
static int ordinary(void) {
    gid_t groups[4] = {7, 30};
    CHECK(setgroups(2, groups) == 0 && getgroups(0, 0) == 2);
    CHECK(getgroups(4, groups) == 2 && groups[0] == 7 && groups[1] == 30);
    FAILS(getgroups(1, groups), EINVAL);
    int fd = open("/tmp/users.own", O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    CHECK(setresgid(20, 20, 20) == 0 && setresuid(10, 11, 12) == 0);
    uid_t real, effective, saved;
    CHECK(getresuid(&real, &effective, &saved) == 0);
    CHECK(real == 10 && effective == 11 && saved == 12 && getgid() == 20 && geteuid() == 11);
    capabilities(0);
    FAILS(open("/tmp/users.own", O_RDONLY), EACCES);
    FAILS(setgroups(0, 0), EPERM);
    FAILS(setuid(0), EPERM);
    FAILS(setgid(0), EPERM);
    CHECK(setreuid(-1, 12) == 0 && geteuid() == 12);
    CHECK(setuid(10) == 0 && geteuid() == 10);
    FAILS(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) - 1), EACCES);
    return 0;
}

static void names(void) {
    int ends[2], pair[2], poll = epoll_create1(0), counter = eventfd(0, 0);
    CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct { int fd; const char *kind; mode_t type; } files[] = {
        {ends[0], "pipe:[", S_IFIFO},
        {pair[1], "socket:[", S_IFSOCK},
        {poll, "anon_inode:[eventpoll]", 0},
        {counter, "anon_inode:[eventfd]", 0},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[32], text[64] = {0};
        snprintf(path, sizeof path, "/proc/self/fd/%d", files[i].fd);
        CHECK(readlink(path, text, sizeof text - 1) > 0);
        CHECK(strncmp(text, files[i].kind, strlen(files[i].kind)) == 0);
        struct stat status;
        CHECK(fstat(files[i].fd, &status) == 0 && (status.st_mode & S_IFMT) == files[i].type);
    }
    // Another end of the same pipe, by its name.
    char path[32], byte;
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    int again = open(path, O_WRONLY);
    CHECK(again >= 0 && write(again, "x", 1) == 1 && read(ends[0], &byte, 1) == 1 && byte == 'x');
    close(again), close(ends[0]), close(ends[1]), close(pair[0]), close(pair[1]);
    close(poll), close(counter);
}

static void probes(void) {
    struct sched_param parameter = {0};
    CHECK(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &parameter) == 0);
    parameter.sched_priority = 1;
    FAILS(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &parameter), EINVAL);
    CHECK(syscall(SYS_sched_get_priority_max, SCHED_FIFO) == 99);
    CHECK(syscall(SYS_sched_get_priority_min, SCHED_OTHER) == 0);
    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && mlock(page, 4096) == 0 && munlock(page, 4096) == 0);
    FAILS(mlockall(0), EINVAL);
    CHECK(syscall(SYS_personality, 0xffffffff) == 0);
    CHECK(setpriority(PRIO_PROCESS, 0, 5) == 0 && getpriority(PRIO_PROCESS, 0) == 5);
    CHECK(syscall(SYS_close_range, 3, ~0U, 0) == 0);
    struct rlimit limit = {8, 4096};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int last = -1, fd;
    while ((fd = dup(0)) >= 0) last = fd;
    CHECK(errno == EMFILE && last == 7);
    FAILS(fcntl(0, F_DUPFD, 8), EINVAL);
    CHECK(syscall(SYS_close_range, 3, ~0U, 0) == 0);
}

int main(void) {
    unlink("/tmp/users.own");
    capabilities(1);
    names();
    pid_t child = fork();
    if (child == 0) _exit(ordinary());
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(getuid() == 0 && geteuid() == 0);
    unlink("/tmp/users.own");
    probes();
    puts("users are as on Linux");
    return 0;
}
