// A program that makes the LibOS keep as much of each sort as it will: it must be told where the end is,
// go on, and get all of it back. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)

static char block[65536];
static const char *family;
static int lowest;

// Whether the last call was refused in one of these ways.
static void refused(const int *errnos) {
    for (; *errnos; errnos++) if (errno == *errnos) return;
    dprintf(2, "%s: errno %d\n", family, errno);
    _exit(1);
}
#define REFUSED(...) refused((const int[]){__VA_ARGS__, 0})

static void close_all(void) { CHECK(syscall(SYS_close_range, lowest, ~0u, 0) == 0); }

// Numbers for one file, all in one set, and all ready; then sets that all wait for one file.
static void epolls(void) {
    int event = eventfd(1, 0), set = epoll_create1(0), fd, count = 0;
    struct epoll_event wish = {.events = EPOLLIN};
    uint64_t value = 1;
    static struct epoll_event found[70000];
    CHECK(event >= 0 && set >= 0);
    while ((fd = dup(event)) >= 0) {
        if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &wish) != 0) break;
        count++;
    }
    REFUSED(EMFILE, ENOMEM, ENOSPC);
    CHECK(count > 1000);
    int ready = epoll_wait(set, found, 70000, 0);
    CHECK(ready > 1000 || errno == ENOMEM);
    struct pollfd one = {.fd = set, .events = POLLIN};
    CHECK(poll(&one, 1, 0) == 1);
    CHECK(write(event, &value, 8) == 8);
    close_all();
    event = eventfd(0, 0);
    CHECK(event >= 0);
    CHECK(write(event, &value, 8) == 8);
    set = epoll_create1(0);
    for (int i = 0; i < 200000; i++) {
        CHECK(epoll_ctl(set, EPOLL_CTL_ADD, event, &wish) == 0);
        CHECK(epoll_ctl(set, EPOLL_CTL_DEL, event, &wish) == 0);
    }
    while ((fd = epoll_create1(0)) >= 0)
        if (epoll_ctl(fd, EPOLL_CTL_ADD, event, &wish) != 0) break;
    REFUSED(EMFILE, ENOMEM, ENOSPC);
    CHECK(write(event, &value, 8) == 8);
    close_all();
}

// One list of more descriptors than there is memory to note.
static void lists(void) {
    static struct pollfd all[65536];
    int event = eventfd(1, 0);
    CHECK(event >= 0);
    for (int i = 0; i < 65536; i++) all[i] = (struct pollfd){.fd = event, .events = POLLIN};
    if (poll(all, 65536, 0) < 0) REFUSED(EINVAL, ENOMEM);
    for (int i = 0; i < 65536; i++) all[i] = (struct pollfd){.fd = 0, .events = POLLIN};
    if (poll(all, 65536, 0) < 0) REFUSED(EINVAL, ENOMEM);
    close_all();
}

static void sockets_of(int type) {
    int ends[2], count = 0;
    while (socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends) == 0) {
        count++;
        long sent = 0;
        while (send(ends[0], block, type == SOCK_STREAM ? 4096 : 0, MSG_NOSIGNAL) >= 0)
            CHECK(++sent < 10000000);
        REFUSED(EAGAIN, ENOMEM, ENOBUFS);
        if (count > 500) break;
    }
    if (count <= 500) REFUSED(EMFILE, ENFILE, ENOMEM, ENOBUFS);
    close_all();
}

static void sockets(void) {
    sockets_of(SOCK_STREAM);
    sockets_of(SOCK_DGRAM);
    sockets_of(SOCK_SEQPACKET);
}

// Files that nobody has but messages on their way.
static void travellers(void) {
    int ends[2], other[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends) == 0);
    for (long round = 0; round < 100000; round++) {
        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, other) != 0) break;
        char control[CMSG_SPACE(100 * sizeof(int))];
        memset(control, 0, sizeof control);
        struct iovec part = {block, 1};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                                 .msg_controllen = sizeof control};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(100 * sizeof(int)),
                                   .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        for (int i = 0; i < 100; i++) memcpy(CMSG_DATA(header) + 4 * i, &ends[i % 2], sizeof(int));
        if (sendmsg(other[0], &message, 0) < 0) break;
        // The old pair is only in the new one's message from now on.
        close(ends[0]), close(ends[1]);
        memcpy(ends, other, sizeof ends);
    }
    REFUSED(EMFILE, ENFILE, ENOMEM, ETOOMANYREFS, EAGAIN, ENOBUFS);
    close_all();
}

static void names(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;
    CHECK(listener >= 0);
    CHECK(bind(listener, (void *)&name, sizeof(sa_family_t)) == 0);
    socklen_t len = sizeof name;
    CHECK(getsockname(listener, (void *)&name, &len) == 0);
    CHECK(listen(listener, 1 << 30) == 0);
    while ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0)
        if (connect(fd, (void *)&name, len) != 0) break;
    REFUSED(EMFILE, ENFILE, ENOMEM, EAGAIN, ENOBUFS);
    close_all();
}

static void record_locks(void) {
    int fd = open("/tmp/locked", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    struct flock lock = {.l_type = F_WRLCK, .l_len = 1};
    for (long at = 0; at < 100000000; at += 2) {
        lock.l_start = at;
        if (fcntl(fd, F_SETLK, &lock) != 0) break;
    }
    REFUSED(ENOLCK, ENOMEM);
    for (int number = 0; number < 100000; number++) {
        int other = open("/tmp/locked", O_RDWR);
        struct flock own = {.l_type = F_RDLCK, .l_start = 1000000000, .l_len = 1};
        if (other < 0 || fcntl(other, F_OFD_SETLK, &own) != 0) break;
    }
    REFUSED(ENOLCK, ENOMEM, EMFILE);
    close_all();
    CHECK(unlink("/tmp/locked") == 0);
}

static void queues(void) {
    char name[32];
    int count = 0;
    for (;; count++) {
        sprintf(name, "/queue%d", count);
        mqd_t queue = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, NULL);
        if (queue < 0) break;
        while (mq_send(queue, block, 8192, 0) == 0) {}
        REFUSED(EAGAIN, ENOMEM);
    }
    REFUSED(EMFILE, ENOSPC, ENOMEM);
    CHECK(count > 3);
    while (count-- > 0) {
        sprintf(name, "/queue%d", count);
        CHECK(mq_unlink(name) == 0);
    }
    close_all();
}

static void system_v(void) {
    struct { long type; char text[8192]; } message = {.type = 1};
    static int ids[40000];
    int count = 0;
    while (count < 40000 && (ids[count] = msgget(IPC_PRIVATE, 0600)) >= 0) {
        int id = ids[count++];
        long sent = 0;
        if (count > 1) continue;
        while (msgsnd(id, &message, 0, IPC_NOWAIT) == 0) CHECK(++sent < 10000000);
        REFUSED(EAGAIN, ENOMEM);
    }
    REFUSED(ENOSPC, ENOMEM, EAGAIN);
    while (count > 0) CHECK(msgctl(ids[--count], IPC_RMID, NULL) == 0);
    while (count < 40000 && (ids[count] = semget(IPC_PRIVATE, 32000, 0600)) >= 0) {
        struct sembuf undo = {.sem_op = 1, .sem_flg = SEM_UNDO};
        for (int number = 0; number < 2000 && count < 1; number++) {
            undo.sem_num = number;
            if (semop(ids[count], &undo, 1) != 0) { REFUSED(ENOMEM, ENOSPC); break; }
        }
        count++;
    }
    REFUSED(ENOSPC, ENOMEM);
    while (count > 0) CHECK(semctl(ids[--count], 0, IPC_RMID) == 0);
    while (count < 40000 && (ids[count] = shmget(IPC_PRIVATE, 1, 0600)) >= 0) count++;
    REFUSED(ENOSPC, ENOMEM);
    while (count > 0) CHECK(shmctl(ids[--count], IPC_RMID, NULL) == 0);
}

static void timers(void) {
    static timer_t ids[200000];
    int count = 0;
    struct itimerspec far = {.it_value.tv_sec = 1000000};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    while (count < 200000 && timer_create(CLOCK_MONOTONIC, &event, &ids[count]) == 0)
        if (timer_settime(ids[count++], 0, &far, NULL) != 0) break;
    if (count < 200000) REFUSED(EAGAIN, ENOMEM);
    while (count > 0) CHECK(timer_delete(ids[--count]) == 0);
    int fd;
    while ((fd = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0)
        if (timerfd_settime(fd, 0, &far, NULL) != 0) break;
    REFUSED(EMFILE, ENFILE, ENOMEM);
    close_all();
}

static void signals(void) {
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    CHECK(sigprocmask(SIG_BLOCK, &set, &before) == 0);
    struct rlimit all = {1 << 24, 1 << 24};
    setrlimit(RLIMIT_SIGPENDING, &all);
    union sigval value = {0};
    long count = 0;
    while (sigqueue(getpid(), SIGRTMIN, value) == 0) CHECK(++count < 100000000);
    REFUSED(EAGAIN, ENOMEM);
    siginfo_t info;
    struct timespec now = {0};
    while (sigtimedwait(&set, &info, &now) == SIGRTMIN) count--;
    CHECK(count == 0);
    CHECK(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
}

// Each user has books of signals that wait. Who has none must not be remembered.
static void many_users(void) {
    for (unsigned user = 1; user < 100000; user++) {
        CHECK(setresuid(user, 0, 0) == 0);
        union sigval value = {0};
        CHECK(sigqueue(getpid(), 0, value) == 0);
        timer_t id;
        if (timer_create(CLOCK_MONOTONIC, NULL, &id) == 0) timer_delete(id);
    }
    CHECK(setresuid(0, 0, 0) == 0);
}

static void terminals(void) {
    int fd;
    while ((fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK)) >= 0) {
        // Linux, too, swallows what a line has no room for.
        for (int i = 0; i < 4; i++)
            if (write(fd, block, sizeof block) < 0) REFUSED(EAGAIN, ENOMEM, EIO);
    }
    REFUSED(ENOSPC, EMFILE, ENFILE, ENOMEM);
    close_all();
}

static void mounts(void) {
    int count = 0;
    CHECK(mkdir("/tmp/place", 0700) == 0);
    while (count < 1000 && mount("none", "/tmp/place", "tmpfs", 0, NULL) == 0) count++;
    if (count < 1000) REFUSED(ENOSPC, ENOMEM, ENOENT, EPERM, ENODEV);
    while (count-- > 0) CHECK(umount("/tmp/place") == 0);
    CHECK(rmdir("/tmp/place") == 0);
}

static void notices(void) {
    int fd, count = 0;
    while ((fd = inotify_init1(IN_NONBLOCK)) >= 0) count++;
    REFUSED(EMFILE);
    CHECK(count == 128);
    close_all();
    CHECK((fd = inotify_init1(IN_NONBLOCK)) >= 0);
    CHECK(mkdir("/tmp/watched", 0700) == 0);
    CHECK(inotify_add_watch(fd, "/tmp/watched", IN_ALL_EVENTS) >= 0);
    char name[300];
    memset(name, 'x', sizeof name);
    strcpy(name, "/tmp/watched/");
    for (int i = 0; i < 20000; i++) {
        sprintf(name + 13, "%0240d", i);
        int one = open(name, O_CREAT | O_RDWR, 0600);
        if (one < 0) { REFUSED(ENOMEM); break; }
        close(one);
        unlink(name);
    }
    long got, last = 0;
    while ((got = read(fd, block, sizeof block)) > 0)
        for (long at = 0; at < got;) {
            struct inotify_event *event = (void *)(block + at);
            at += sizeof *event + event->len;
            last = event->mask;
            if (last & IN_Q_OVERFLOW) break;
        }
    REFUSED(EAGAIN);
    CHECK(last & IN_Q_OVERFLOW);
    memset(block, 0, sizeof block);
    unlink(name);
    close_all();
    CHECK(rmdir("/tmp/watched") == 0);
}

// A touch here and there of far more addresses than there is memory.
static void addresses(void) {
    size_t step = 16 << 20, len = 32ul << 30;
    char *start = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                       -1, 0);
    if (start == MAP_FAILED) { REFUSED(ENOMEM); return; }
    int ends[2];
    CHECK(pipe(ends) == 0);
    // The kernel touches them, and says when there is no more.
    for (size_t at = 0; at < len; at += step) {
        CHECK(write(ends[1], "x", 1) == 1);
        if (read(ends[0], start + at, 1) != 1) { REFUSED(EFAULT, ENOMEM); break; }
    }
    CHECK(munmap(start, len) == 0);
    close_all();
}

static void areas(void) {
    size_t len = 1ul << 30;
    char *start = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(start != MAP_FAILED);
    for (size_t at = 0; at < len; at += 8192)
        if (mmap(start + at, 4096, PROT_READ, MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1, 0)
            == MAP_FAILED) { REFUSED(ENOMEM); break; }
    if (mprotect(start, len, PROT_READ) != 0) REFUSED(ENOMEM);
    int maps = open("/proc/self/smaps", O_RDONLY);
    if (maps < 0 || read(maps, block, sizeof block) < 0) REFUSED(ENOMEM);
    close_all();
    memset(block, 0, sizeof block);
    pid_t child = fork();
    if (child < 0) REFUSED(ENOMEM, EAGAIN);
    if (child == 0) _exit(0);
    if (child > 0) CHECK(wait(NULL) == child);
    CHECK(munmap(start, len) == 0);
    // The same memory at as many places as there can be.
    int fd = memfd_create("shown", 0);
    CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
    static char *all[70000];
    int count = 0;
    while (count < 2000 && (all[count] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0))
                                != MAP_FAILED)
        all[count++][0]++;
    if (count < 2000) REFUSED(ENOMEM);
    while (count > 0) CHECK(munmap(all[--count], 4096) == 0);
    close_all();
}

// Text that is nothing but system calls.
static void texts(void) {
    size_t len = 3 << 20;
    int fd = memfd_create("text", 0);
    for (size_t at = 0; at + 7 <= sizeof block; at += 7) memcpy(block + at, "\xb8\x27\0\0\0\x0f\x05", 7);
    CHECK(fd >= 0);
    for (size_t at = 0; at < len; at += sizeof block)
        if (write(fd, block, sizeof block) < 0) { REFUSED(ENOSPC, ENOMEM, EFBIG); break; }
    for (size_t size = len; size >= 4096; size /= 2) {
        void *text = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        if (text == MAP_FAILED) REFUSED(ENOMEM);
        else CHECK(munmap(text, size) == 0);
    }
    memset(block, 0, sizeof block);
    close_all();
}

static void entries(void) {
    char name[280];
    struct stat about;
    // What is not there is not remembered for ever.
    for (int i = 0; i < 200000; i++) {
        sprintf(name, "/tmp/%0200d", i);
        CHECK(stat(name, &about) < 0);
        if (errno != ENOENT) REFUSED(ENOMEM);
    }
    CHECK(mkdir("/tmp/full", 0700) == 0);
    int count = 0;
    for (;; count++) {
        sprintf(name, "/tmp/full/%0100d", count);
        int made = count % 3 == 0 ? symlink(name, name) : count % 3 == 1 ? mkfifo(name, 0600)
                                                          : mkdir(name, 0700);
        if (made != 0) break;
    }
    REFUSED(ENOSPC, ENOMEM);
    for (int i = 0; i <= count; i++) {
        sprintf(name, "/tmp/full/%0100d", i);
        if (unlink(name) != 0) rmdir(name);
    }
    CHECK(rmdir("/tmp/full") == 0);
    // Files that have no name any more.
    for (;;) {
        int fd = open("/tmp/nameless", O_CREAT | O_EXCL | O_RDWR, 0600);
        if (fd < 0) break;
        unlink("/tmp/nameless");
    }
    REFUSED(EMFILE, ENOSPC, ENOMEM, ENFILE);
    close_all();
    for (;;) {
        int fd = memfd_create("nameless", 0);
        if (fd < 0 || write(fd, block, 4096) < 0) break;
    }
    REFUSED(EMFILE, ENOSPC, ENOMEM, ENFILE);
    close_all();
}

static void attributes(void) {
    char name[64];
    int fd = open("/tmp/labelled", O_RDWR | O_CREAT, 0600), count = 0;
    CHECK(fd >= 0);
    for (; count < 100000; count++) {
        sprintf(name, "user.%d", count);
        if (fsetxattr(fd, name, block, sizeof block, 0) != 0) break;
    }
    REFUSED(ENOSPC, ENOMEM, EOPNOTSUPP);
    flistxattr(fd, block, sizeof block);
    close_all();
    CHECK(unlink("/tmp/labelled") == 0);
    memset(block, 0, sizeof block);
}

// Programs with more arguments than fit.
static void arguments(void) {
    size_t count = 300000;
    char **words = calloc(count + 1, sizeof *words);
    for (size_t i = 0; i < count; i++) words[i] = "word";
    CHECK(execve("/bin/program", words, words) == -1);
    REFUSED(E2BIG, ENOMEM);
    char *long_word = malloc(3 << 20);
    memset(long_word, 'x', 3 << 20);
    long_word[(3 << 20) - 1] = 0;
    char *two[] = {"program", long_word, NULL};
    CHECK(execve("/bin/program", two, two) == -1);
    REFUSED(E2BIG, ENOMEM);
    free(words), free(long_word);
}

// Sizes that a program names, of what the kernel is to copy.
static void sizes(void) {
    size_t huge = 48 << 20;
    char *memory = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int ends[2];
    CHECK(memory != MAP_FAILED && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends) == 0);
    memset(memory, 'x', huge);
    CHECK(send(ends[0], memory, huge, 0) < 0);
    REFUSED(EMSGSIZE, ENOMEM, EAGAIN, ENOBUFS);
    struct msghdr message = {.msg_control = memory, .msg_controllen = huge};
    if (sendmsg(ends[0], &message, 0) < 0) REFUSED(EINVAL, ENOBUFS, ENOMEM);
    if (setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, memory, 1 << 30) < 0) REFUSED(EINVAL, ENOMEM);
    if (sched_setaffinity(0, huge, (void *)memory) < 0) REFUSED(EINVAL, ENOMEM, EFAULT);
    if (mincore(memory, huge, (void *)memory) < 0) REFUSED(ENOMEM);
    if (setxattr("/tmp", "user.big", memory, huge, 0) < 0) REFUSED(E2BIG, ENOSPC, EOPNOTSUPP);
    if (getxattr("/tmp", "user.big", memory, huge) < 0) REFUSED(ENODATA, EOPNOTSUPP);
    if (listxattr("/tmp", memory, huge) < 0) REFUSED(EOPNOTSUPP);
    CHECK(readlink("/proc/self/exe", memory, huge) > 0);
    CHECK(syscall(SYS_getcwd, memory, huge) > 0);
    CHECK(syscall(SYS_getrandom, memory, huge, 0) > 0);
    if (syscall(SYS_setgroups, 1 << 26, memory) < 0) REFUSED(EINVAL, ENOMEM);
    CHECK(semop(0, (void *)memory, 1 << 20) < 0);
    REFUSED(E2BIG);
    CHECK(syscall(SYS_io_setup, 1, memory) < 0);
    if (syscall(SYS_add_key, "user", "name", memory, huge, -1) < 0) REFUSED(ENOSYS, EINVAL);
    CHECK(syscall(SYS_process_vm_readv, getpid(), memory, 1 << 20, memory, 1 << 20, 0) < 0);
    REFUSED(EINVAL);
    CHECK(syscall(SYS_writev, 1, memory, 1 << 20) < 0);
    REFUSED(EINVAL);
    fd_set *set = (void *)memory;
    memset(set, 0, 8192);
    struct timeval now = {0};
    if (syscall(SYS_select, 1 << 30, set, NULL, NULL, &now) < 0) REFUSED(EINVAL, EBADF, ENOMEM);
    int id = msgget(IPC_PRIVATE, 0600);
    CHECK(id >= 0 && msgrcv(id, memory, 1 << 30, 0, IPC_NOWAIT) < 0);
    REFUSED(ENOMSG);
    CHECK(msgctl(id, IPC_RMID, NULL) == 0);
    struct { int *words; size_t len; } table = {(int *)memory, huge};
    CHECK(syscall(SYS_get_robust_list, 0, &table.words, &table.len) == 0);
    int fd = open("/tmp/sized", O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    if (write(fd, memory, huge) < 0) REFUSED(ENOSPC, ENOMEM);
    if (pwrite(fd, memory, 4096, 1ul << 50) < 0) REFUSED(EFBIG, ENOSPC, ENOMEM);
    if (ftruncate(fd, 1ul << 60) < 0) REFUSED(EFBIG, ENOSPC, EINVAL);
    if (fallocate(fd, 0, 0, 1ul << 50) < 0) REFUSED(EFBIG, ENOSPC, ENOMEM, EOPNOTSUPP);
    CHECK(unlink("/tmp/sized") == 0);
    CHECK(munmap(memory, huge) == 0);
    close_all();
}

static void processes(void) {
    pid_t children[64];
    int count = 0, ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    while (count < 64 && (children[count] = fork()) >= 0) {
        if (children[count] == 0) {
            close(ends[1]);
            _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
        }
        count++;
    }
    REFUSED(EAGAIN, ENOMEM);
    CHECK(count > 2);
    close_all();
    int status;
    while (count-- > 0) CHECK(wait(&status) > 0 && status == 0);
    // Those that have ended and that nobody has waited for.
    for (count = 0; count < 100000; count++) {
        pid_t child = vfork();
        if (child == 0) _exit(0);
        if (child < 0) break;
    }
    if (count < 100000) REFUSED(EAGAIN, ENOMEM);
    while (wait(&status) > 0) count--;
    CHECK(count == 0);
}

static void leases(void) {
    char name[32];
    for (int i = 0; i < 20000; i++) {
        sprintf(name, "/tmp/leased%d", i);
        int fd = open(name, O_CREAT | O_RDONLY, 0600);
        if (fd >= 0) unlink(name);
        if (fd < 0 || fcntl(fd, F_SETLEASE, F_RDLCK) != 0) break;
    }
    REFUSED(EMFILE, ENOMEM, ENOSPC, ENOLCK);
    close_all();
    for (int i = 0; i < 100000; i++) {
        int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
        if (fd < 0 || fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT) != 0) break;
    }
    REFUSED(EMFILE, ENOMEM, ENOSPC);
    int fd = open("/tmp/noticed", O_CREAT | O_RDWR, 0600);
    if (fd < 0) REFUSED(ENOMEM, EMFILE);
    close_all();
    unlink("/tmp/noticed");
}

static const struct { const char *name; void (*run)(void); } families[] = {
    {"epolls", epolls}, {"lists", lists}, {"sockets", sockets}, {"travellers", travellers},
    {"names", names}, {"record locks", record_locks}, {"queues", queues}, {"System V", system_v},
    {"timers", timers}, {"signals", signals}, {"many users", many_users}, {"terminals", terminals},
    {"mounts", mounts}, {"notices", notices}, {"leases", leases}, {"addresses", addresses},
    {"areas", areas}, {"texts", texts}, {"entries", entries}, {"attributes", attributes},
    {"arguments", arguments}, {"sizes", sizes}, {"processes", processes},
};

int main(int count, char **words) {
    struct rlimit most = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &most);
    // Nothing of this may end the program: it must be told.
    signal(SIGIO, SIG_IGN);
    lowest = dup(0);
    CHECK(lowest >= 0 && close(lowest) == 0);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (count > 1 && strcmp(words[1], families[i].name) != 0) continue;
        family = families[i].name;
        families[i].run();
        // Whatever was kept is there again.
        char *again = malloc(1 << 20);
        CHECK(again != NULL);
        memset(again, 1, 1 << 20);
        free(again);
        int ends[2];
        CHECK(pipe(ends) == 0 && write(ends[1], block, 4096) == 4096);
        CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
        puts(family);
        fflush(stdout);
    }
    return 0;
}
