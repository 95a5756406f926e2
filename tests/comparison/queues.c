// POSIX message queues: processes of several users make, open and remove them, wait for messages and for room,
// are told of messages, change what queues have, are interrupted and killed.
#include "series.h"
#include "peers.h"
#include <grp.h>
#include <linux/capability.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/resource.h>
#include <time.h>

enum { STEPS = 90, PEERS = 4, NAMES = 2, FDS = 3, BYTES = 64, LIMIT_BYTES = 2000 };
enum deed { OPEN, CLOSE, SEND, RECEIVE, NOTIFY, ATTRIBUTES, UNLINK, LOOK, CHANGE, DUPLICATE, WAIT, FAMILY, DEEDS };

static uid_t first_user;
static char names[NAMES + 6][300];
// Of each process its own.
static int fds[FDS] = {-1, -1, -1};

static int user_index(uid_t user) { return user >= first_user && user < first_user + 10 ? (int)(user - first_user) : user ? -1 : 9; }

static void note_signal(int signal) { peers[me].signals += signal > 0; }

// What the process was told of messages since it last said something. The signals are blocked.
static void take_signals(char *text, size_t room) {
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGRTMIN + 1);
    int length = 0, signal;
    while ((signal = sigtimedwait(&set, &info, &(struct timespec){0, 0})) > 0)
        length += snprintf(text + length, room - (size_t)length, ", told %d code %d value %d by %d %d", signal == SIGUSR2, info.si_code,
                           info.si_value.sival_int, index_of(info.si_pid), user_index(info.si_uid));
    text[length] = 0;
}

static int describe(char *text, size_t room, int fd) {
    struct stat found = {0};
    struct mq_attr attributes = {0};
    char line[100] = {0};
    struct pollfd asked = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM};
    long looked = outcome(fstat(fd, &found)), got = outcome(syscall(SYS_mq_getsetattr, fd, NULL, &attributes));
    long length = outcome(pread(fd, line, sizeof line - 1, 0));
    char *who = strstr(line, "NOTIFY_PID:");
    int pid = who ? atoi(who + 11) : 0;
    if (who) who[11] = 0;
    int ready = poll(&asked, 1, 0);
    return snprintf(text, room, "%ld %o %d %d %d %ld, %ld %#lx %ld %ld %ld, %ld '%s' %d, %d %#x", looked, found.st_mode, user_index(found.st_uid),
                    user_index(found.st_gid), (int)found.st_nlink, (long)found.st_size, got, attributes.mq_flags, attributes.mq_maxmsg,
                    attributes.mq_msgsize, attributes.mq_curmsgs, length < 0 ? length : 0, line, index_of(pid), ready, asked.revents);
}

static struct timespec *time_of(long kind, struct timespec *time) {
    static const struct timespec TIMES[] = {{0, 0}, {0, 1000000}, {-1, 0}, {0, 1000000000}, {0, -1}};
    if (kind < 0) return NULL;
    *time = TIMES[kind];
    if (kind != 1) return time;
    CHECK(!clock_gettime(CLOCK_REALTIME, time));
    time->tv_nsec += 1000000;
    if (time->tv_nsec >= 1000000000) time->tv_sec++, time->tv_nsec -= 1000000000;
    return time;
}

static void do_open(const long *a) {
    struct mq_attr attributes = {.mq_maxmsg = a[4], .mq_msgsize = a[5]};
    int fd = (int)syscall(SYS_mq_open, names[a[0]], a[2], a[3], a[6] == 0 ? NULL : a[6] == 1 ? (void *)8 : &attributes);
    if (fd < 0) { answer("%d", -errno); return; }
    // What is open for nothing keeps flags that say how it was to be opened.
    int flags = fcntl(fd, F_GETFL) & ~(O_CLOEXEC | O_CREAT | O_EXCL), closes = fcntl(fd, F_GETFD);
    if (fds[a[1]] >= 0) close(fds[a[1]]);
    fds[a[1]] = fd;
    answer("is %#x %d", flags, closes);
}

static void do_send(const long *a) {
    char message[BYTES + 1];
    struct timespec time;
    memset(message, (int)a[4], sizeof message);
    answer("%ld", outcome(syscall(SYS_mq_timedsend, fds[a[0]], a[5] ? (void *)8 : message, a[1], a[2], a[6] ? (void *)8 : time_of(a[3], &time))));
}

static void do_receive(const long *a) {
    char message[BYTES + 1] = {0};
    struct timespec time;
    unsigned priority = 77;
    long got = outcome(syscall(SYS_mq_timedreceive, fds[a[0]], a[5] ? (void *)8 : message, a[1], a[2] ? &priority : NULL,
                               a[6] ? (void *)8 : time_of(a[3], &time)));
    answer("%ld: %u %d", got, priority, got > 0 ? message[got - 1] : 0);
}

static void do_notify(const long *a) {
    struct sigevent event = {.sigev_notify = (int)a[1], .sigev_signo = (int)a[2], .sigev_value.sival_int = (int)a[3]};
    answer("%ld", outcome(syscall(SYS_mq_notify, fds[a[0]], a[4] ? NULL : &event)));
}

static void do_attributes(const long *a) {
    struct mq_attr new = {.mq_flags = a[1], .mq_maxmsg = 3, .mq_msgsize = 3, .mq_curmsgs = 3}, old = {0};
    long done = outcome(syscall(SYS_mq_getsetattr, fds[a[0]], a[2] == 1 ? (void *)8 : a[2] == 2 ? NULL : &new, a[3] == 1 ? (void *)8 : a[3] == 2 ? NULL : &old));
    answer("%ld: %#lx %ld %ld %ld", done, old.mq_flags, old.mq_maxmsg, old.mq_msgsize, old.mq_curmsgs);
}

// What is no message, but what can be done to files.
static void do_change(const long *a) {
    int fd = fds[a[0]];
    char text[4] = "abc";
    long done = 0;
    switch (a[1]) {
    case 0: done = outcome(fchmod(fd, (mode_t)a[2])); break;
    case 1: done = outcome(fchown(fd, a[2] & 1 ? first_user + (uid_t)(a[2] & 3) : (uid_t)-1, a[2] & 4 ? first_user : (gid_t)-1)); break;
    case 2: done = outcome(write(fd, text, 3)); break;
    case 3: done = outcome(lseek(fd, a[2] & 7, (int)(a[2] >> 3 & 3))); break;
    case 4: done = outcome(fcntl(fd, F_SETFL, a[2] & 1 ? O_NONBLOCK : 0)); break;
    case 5: done = outcome(read(fd, text, 3)); break;
    }
    answer("%ld %.3s", done, text);
}

// A child has the descriptors of its parent, but not what that is told.
static void do_family(const long *a) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        struct sigevent event = {.sigev_notify = SIGEV_NONE};
        char one = 'c';
        long sent = outcome(syscall(SYS_mq_timedsend, fds[a[0]], &one, 1, a[1], &(struct timespec){0, 0}));
        long noted = a[2] == 0 ? 0 : outcome(syscall(SYS_mq_notify, fds[a[0]], a[2] == 1 ? NULL : &event));
        long closed = a[3] ? outcome(close(fds[a[0]])) : 1;
        answer("%ld %ld %ld", sent, noted, closed);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child);
}

static void serve(struct peer *own, int what) {
    const long *a = own->arguments;
    switch (what) {
    case OPEN: do_open(a); break;
    case CLOSE: answer("%ld", outcome(close(fds[a[0]]))); fds[a[0]] = -1; break;
    case SEND: do_send(a); break;
    case RECEIVE: do_receive(a); break;
    case NOTIFY: do_notify(a); break;
    case ATTRIBUTES: do_attributes(a); break;
    case UNLINK: answer("%ld", outcome(syscall(SYS_mq_unlink, names[a[0]]))); break;
    case LOOK: describe(own->said, sizeof own->said, fds[a[0]]); break;
    case CHANGE: do_change(a); break;
    case DUPLICATE: {
        int copy = dup(fds[a[0]]);
        answer("%d", copy < 0 ? -errno : 0);
        if (copy >= 0 && fds[a[1]] >= 0) close(fds[a[1]]);
        if (copy >= 0) fds[a[1]] = copy;
        break;
    }
    case WAIT: {
        struct pollfd asked = {.fd = fds[a[0]], .events = (short)a[1]};
        int ready = poll(&asked, 1, (int)a[2]);
        answer("%d: %#x", ready < 0 ? -errno : ready, asked.revents);
        break;
    }
    case FAMILY: do_family(a); break;
    }
    size_t length = strlen(own->said);
    take_signals(own->said + length, sizeof own->said - length);
}

// Two are the superuser, if the first one is, the others have users of their own, a group in common, and a bound.
static void prepare(void) {
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = me & 1 ? SA_RESTART : 0};
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGRTMIN + 1);
    CHECK(!sigaction(SIGUSR1, &action, NULL) && !sigprocmask(SIG_BLOCK, &set, NULL));
    umask(me == 3 ? 022 : 0);
    if (!series_is_root) return;
    // A container's superuser has not the right to pass over limits.
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct rights[2];
    CHECK(!syscall(SYS_capget, &header, rights));
    rights[0].effective &= ~(1u << CAP_SYS_RESOURCE), rights[0].permitted &= ~(1u << CAP_SYS_RESOURCE);
    rights[0].inheritable = rights[1].inheritable = 0;
    CHECK(!syscall(SYS_capset, &header, rights));
    struct rlimit limit = {me < 2 ? 819200 : LIMIT_BYTES, 819200};
    CHECK(!setrlimit(RLIMIT_MSGQUEUE, &limit));
    if (me < 2) return;
    CHECK(!setgroups(0, NULL) && !setresgid(first_user, first_user, first_user));
    uid_t user = first_user + (uid_t)me;
    CHECK(!setresuid(user, user, user));
}

// ---- The first ------------------------------------------------------------------------------------

static void say_queues(void) {
    static char before[NAMES][300];
    for (int name = 0; name < NAMES; name++) {
        char text[300];
        int fd = (int)syscall(SYS_mq_open, names[name], O_RDONLY, 0, NULL);
        if (fd < 0) snprintf(text, sizeof text, "%d", -errno);
        else describe(text, sizeof text, fd), close(fd);
        if (series_step && !strcmp(before[name], text)) continue;
        strcpy(before[name], text);
        say("queue %d: %s", name, text);
    }
}

static int choose(long *a, bool *has_an_end) {
    static const int MAKING[] = {0, O_CREAT, O_CREAT, O_CREAT, O_CREAT | O_EXCL, O_EXCL};
    static const int ACCESS[] = {O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY, 3};
    static const int MORE[] = {0, 0, 0, O_NONBLOCK, O_NONBLOCK, O_CLOEXEC, O_TRUNC, O_APPEND, O_DIRECTORY, O_PATH};
    static const int MODE[] = {0666, 0666, 0666, 0600, 0640, 0660, 0200, 0400, 0, 07777};
    static const long MESSAGES[] = {1, 2, 3, 5, 10, 10, 0, -1, 11, 65537};
    static const long BYTES_MAX[] = {1, 10, BYTES, BYTES, BYTES, 8192, 8193, 0, -1, 16777217};
    static const unsigned PRIORITY[] = {0, 0, 1, 2, 2, 3, 32767, 32768, 0xffffffff};
    static const int HOW[] = {SIGEV_SIGNAL, SIGEV_SIGNAL, SIGEV_SIGNAL, SIGEV_NONE, 7};
    int what = below(3) ? below(2) ? SEND : RECEIVE : (int)below(DEEDS);
    memset(a, 0, sizeof(long) * ARGUMENTS);
    a[0] = below(FDS);
    switch (what) {
    case OPEN:
        a[0] = below(8) ? below(NAMES) : below(COUNT(names)), a[1] = below(FDS), a[2] = ANY(MAKING) | ANY(ACCESS) | ANY(MORE), a[3] = ANY(MODE);
        a[4] = ANY(MESSAGES), a[5] = ANY(BYTES_MAX), a[6] = below(12) ? 2 : below(2);
        break;
    case SEND: case RECEIVE:
        a[1] = what == SEND ? below(12) ? (long)below(11) : (long)below(BYTES + 2) : below(5) ? BYTES : (long)below(BYTES + 2);
        a[2] = what == SEND ? ANY(PRIORITY) : below(5);
        if (a[1] == BYTES && what == RECEIVE && !below(20)) a[1] = 9000;
        a[3] = below(3) ? -1 : (long)below(5), a[4] = 1 + below(26), a[5] = !below(30), a[6] = !below(50);
        if (what == RECEIVE && a[1] > BYTES + 1) a[5] = 1;
        *has_an_end = a[3] >= 0 || a[6];
        break;
    case NOTIFY: a[1] = ANY(HOW), a[2] = below(3) ? below(2) ? SIGUSR2 : SIGRTMIN + 1 : below(2) ? 0 : 65, a[3] = below(100), a[4] = !below(3); break;
    case ATTRIBUTES: a[1] = below(6) ? (long)(O_NONBLOCK * below(2)) : below(2) ? O_APPEND : -1, a[2] = below(6) ? 0 : below(3), a[3] = below(6) ? 0 : below(3); break;
    case UNLINK: a[0] = below(8) ? below(NAMES) : below(COUNT(names)); break;
    case CHANGE: a[1] = below(6), a[2] = below(2) ? 0666 : below(01000); break;
    case DUPLICATE: a[1] = below(FDS); break;
    case WAIT: a[1] = below(2) ? POLLIN : below(2) ? POLLOUT : 0, a[2] = below(2) ? 0 : -1; *has_an_end = !a[2]; break;
    case FAMILY: *has_an_end = true; a[1] = below(3), a[2] = below(3), a[3] = below(2); break;
    }
    return what;
}

static void step(void) {
    int number = below(PEERS);
    struct peer *peer = &peers[number];
    bool has_an_end = false;
    if (peer->is_at_work || !below(60)) {
        if (below(2)) return;
        if (below(3)) {
            say("%d is interrupted", number);
            CHECK(!kill(peer->process, SIGUSR1));
            while (!__atomic_load_n(&peer->signals, __ATOMIC_SEQ_CST)) usleep(20);
        } else {
            say("%d is killed", number);
            kill_peer(number);
            fork_peer(number, prepare);
        }
        listen(PEERS, -1, false);
        return;
    }
    long *a = peer->arguments;
    int what = choose(a, &has_an_end);
    say("%d does %d %ld %ld %#lx %ld %ld %ld %ld", number, what, a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
    tell(number, what);
    listen(PEERS, number, has_an_end);
}

static void run_series(const char *folder) {
    (void)folder;
    map_peers();
    first_user = series_is_root ? 1000000 + (uid_t)getpid() * 10 : geteuid();
    for (int i = 0; i < NAMES; i++) snprintf(names[i], sizeof names[i], "series-%d-%d", getpid(), i);
    strcpy(names[NAMES], "."), strcpy(names[NAMES + 1], ".."), strcpy(names[NAMES + 2], "a/b"), strcpy(names[NAMES + 3], "");
    memset(names[NAMES + 4], 'n', 256);
    snprintf(names[NAMES + 5], sizeof names[0], "/series-%d", getpid());
    for (int i = 0; i < PEERS; i++) fork_peer(i, prepare);
    for (series_step = 0; series_step < STEPS; series_step++) {
        step();
        say_queues();
    }
    for (int i = 0; i < PEERS; i++) kill_peer(i);
    for (int i = 0; i < NAMES; i++) syscall(SYS_mq_unlink, names[i]);
}
