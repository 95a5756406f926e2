// Readiness: pipes, FIFOs, socket pairs, counters, timers and signals as files, and who waits for them by
// `poll`, `select`, `epoll` and signals, after each random change of one of them.
#include "series.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

enum { STEPS = 120, FIRST = 20, LAST = 35, SLOTS = LAST - FIRST + 1, BYTES = 70000, TEXT = 160, PAGE = 4096 };
enum kind { NONE, PIPE, SOCKET, COUNTER, TIMER, SIGNALS, SET, KINDS };

static enum kind kinds[SLOTS];
static char before[SLOTS][TEXT];
static unsigned char bytes[BYTES], gotten[BYTES];
static sigset_t told, read_as_file;

static int any_slot(void) { return FIRST + below(SLOTS); }

// A slot of some kind, if there is one and mostly.
static int any_of(enum kind kind) {
    int fd = any_slot();
    if (!below(12)) return fd;
    for (int i = 0; i < SLOTS; i++, fd = fd == LAST ? FIRST : fd + 1) if (kinds[fd - FIRST] == kind) return fd;
    return fd;
}

static size_t any_size(void) {
    static const size_t SIZE[] = {0, 1, 7, 8, 100, 1000, 4095, 4096, 4097, 5000, 8192, 20000, 61440, 65535, 65536, 70000};
    return below(3) ? ANY(SIZE) : below(5000);
}

static void put(int fd, enum kind kind) {
    int slot = any_slot();
    for (int i = 0; i < SLOTS && kinds[slot - FIRST]; i++) slot = slot == LAST ? FIRST : slot + 1;
    if (kinds[slot - FIRST]) { close(fd); return; }
    CHECK(dup2(fd, slot) == slot && !close(fd));
    kinds[slot - FIRST] = kind;
    say("new %d kind %d", slot, kind);
}

// What is ready, in the system's order. Sometimes there is room for fewer than it may be, and for a part of one.
static void wait_for_events(int fd, int most) {
    static char *pages;
    if (!pages) pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED && !mprotect(pages + PAGE, PAGE, PROT_NONE));
    size_t room = below(3) ? SLOTS * sizeof(struct epoll_event) : below(3 * sizeof(struct epoll_event));
    char *events = pages + PAGE - room, text[600];
    memset(events, 0x55, room);
    int count = epoll_wait(fd, (void *)events, most, 0), failure = errno;
    int length = 0;
    for (int i = 0; i < count; i++) {
        struct epoll_event event;
        memcpy(&event, events + i * sizeof event, sizeof event);
        length += snprintf(text + length, sizeof text - length, " %lu:%#x", (unsigned long)event.data.u64, event.events);
    }
    size_t told = count > 0 ? count * sizeof(struct epoll_event) : 0;
    if (room > told && room - told < sizeof(struct epoll_event)) length += snprintf(text + length, sizeof text - length, ", %#x", events[told]);
    say("epoll_wait %d %d %zu: %d%.*s", fd, most, room, count < 0 ? -failure : count, length, text);
}

static void make(void) {
    int fds[2], flags = O_NONBLOCK;
    switch (below(12)) {
    case 0: case 1: case 2:
        CHECK(!pipe2(fds, flags | (below(4) ? 0 : O_DIRECT)));
        put(fds[0], PIPE); put(fds[1], PIPE);
        break;
    case 3: case 4: {
        static const int ACCESS[] = {O_RDONLY, O_WRONLY, O_RDWR};
        int access = ANY(ACCESS), fd = open("fifo", access | flags);
        say("open %d: %ld", access, fd < 0 ? -errno : 0l);
        if (fd >= 0) put(fd, PIPE);
        break;
    }
    case 5: {
        static const int TYPE[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
        CHECK(!socketpair(AF_UNIX, ANY(TYPE) | SOCK_NONBLOCK, 0, fds));
        put(fds[0], SOCKET); put(fds[1], SOCKET);
        break;
    }
    case 6: put(eventfd(below(3), EFD_NONBLOCK | (below(2) ? EFD_SEMAPHORE : 0)), COUNTER); break;
    case 7: put(timerfd_create(below(2) ? CLOCK_MONOTONIC : CLOCK_REALTIME, TFD_NONBLOCK), TIMER); break;
    case 8: put(signalfd(-1, &read_as_file, SFD_NONBLOCK), SIGNALS); break;
    case 9: case 10: put(epoll_create1(0), SET); break;
    case 11: {
        int fd = any_slot(), other = dup(fd);
        say("dup %d: %ld", fd, other < 0 ? -errno : 0l);
        if (other >= 0) put(other, kinds[fd - FIRST]);
        break;
    }
    }
}

static void read_some(int fd) {
    size_t size = any_size();
    struct signalfd_siginfo info;
    if (kinds[fd - FIRST] == SIGNALS) {
        ssize_t count = read(fd, &info, sizeof info);
        if (count > 0) say("read %d: signal %d code %d int %d", fd, info.ssi_signo, info.ssi_code, info.ssi_int);
        else say("read %d: %ld", fd, outcome(count));
        return;
    }
    ssize_t count = read(fd, gotten, size);
    if (kinds[fd - FIRST] == TIMER) say("read %d %zu: %ld %d", fd, size, outcome(count), count > 0 && *(uint64_t *)gotten > 0);
    else say("read %d %zu: %ld %016lx", fd, size, outcome(count), count > 0 ? digest(0, gotten, count) : 0);
}

static void write_some(int fd) {
    static const uint64_t ADDED[] = {0, 1, 2, 10, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 2, UINT64_MAX - 12, 1ul << 63};
    size_t size = any_size();
    // By how much memory it counts when a socket is full is the system's matter.
    if (kinds[fd - FIRST] == SOCKET) size %= 1000;
    for (size_t i = 0; i < size; i += 97) bytes[i] = below(256);
    if (kinds[fd - FIRST] == COUNTER && below(8)) { *(uint64_t *)bytes = ANY(ADDED); size = 8; }
    say("write %d %zu: %ld", fd, size, outcome(write(fd, bytes, size)));
}

static void set_timer(int fd) {
    // The deadlines are far in the future, or long past.
    static const time_t SECOND[] = {0, 1000000, 1, 2000000};
    struct itimerspec old = {}, spec = {{below(4) ? 0 : 5000, 0}, {0, 0}};
    int flags = below(2) ? TFD_TIMER_ABSTIME : 0;
    spec.it_value.tv_sec = flags ? ANY(SECOND) + (below(2) ? 4000000000 : 0) : below(2) * 1000000;
    if (flags && spec.it_value.tv_sec >= 2) spec.it_value.tv_sec += 4000000000;
    if (!below(10)) spec.it_value.tv_nsec = -1;
    bool past = flags && spec.it_value.tv_sec == 1;
    long set = outcome(timerfd_settime(fd, flags, &spec, &old));
    struct pollfd wait = {fd, POLLIN, 0};
    if (past && !set) poll(&wait, 1, 1000);
    say("timer %d %d %ld: %ld old %d %ld", fd, flags, (long)spec.it_value.tv_sec, set, old.it_value.tv_sec || old.it_value.tv_nsec, (long)old.it_interval.tv_sec);
}

static uint32_t any_events(void) {
    static const uint32_t EVENT[] = {EPOLLIN, EPOLLIN, EPOLLOUT, EPOLLOUT, EPOLLPRI, EPOLLRDNORM, EPOLLWRNORM, EPOLLWRBAND, EPOLLRDHUP, EPOLLHUP, EPOLLERR, EPOLLRDBAND, 0};
    uint32_t events = ANY(EVENT);
    while (below(2)) events |= ANY(EVENT);
    return events;
}

static void control(void) {
    static const uint32_t FLAG[] = {0, 0, EPOLLET, EPOLLET, EPOLLONESHOT, EPOLLET | EPOLLONESHOT, EPOLLEXCLUSIVE, EPOLLEXCLUSIVE | EPOLLET};
    int set = any_of(SET), fd = below(6) ? any_slot() : any_of(SET), operation = below(3) ? 1 : 2 + below(2);
    for (int i = 0; i < 4 && !kinds[fd - FIRST]; i++) fd = any_slot();
    struct epoll_event event = {any_events() | ANY(FLAG), {.u64 = fd}};
    // A change inside another `epoll` wakes only who wants EPOLLIN; others find it when they look.
    if (kinds[fd - FIRST] == SET) event.events |= EPOLLIN;
    say("epoll_ctl %d %d %d %#x: %ld", set, operation, fd, event.events, outcome(epoll_ctl(set, operation, fd, &event)));
}

static void poll_some(void) {
    struct pollfd asked[5];
    int count = 1 + below(5);
    for (int i = 0; i < count; i++) asked[i] = (struct pollfd){below(20) ? any_slot() : -1, any_events() & 0x7fff, 0};
    struct timespec none = {0, 0};
    long result = outcome(below(2) ? poll(asked, count, 0) : ppoll(asked, count, &none, NULL));
    for (int i = 0; i < count; i++) say("poll %d %#x: %ld %#x", asked[i].fd, asked[i].events, result, asked[i].revents);
}

static void select_some(void) {
    fd_set sets[3];
    struct timeval none = {0, 0};
    struct timespec none_long = {0, 0};
    uint64_t found[3] = {};
    for (int i = 0; i < 3; i++) {
        FD_ZERO(&sets[i]);
        for (int fd = FIRST; fd <= LAST; fd++) if ((kinds[fd - FIRST] || !below(300)) && below(2)) FD_SET(fd, &sets[i]);
    }
    bool has_except = below(2);
    long result = outcome(below(2) ? select(LAST + 1, &sets[0], &sets[1], has_except ? &sets[2] : NULL, &none)
        : pselect(LAST + 1, &sets[0], &sets[1], has_except ? &sets[2] : NULL, &none_long, NULL));
    for (int i = 0; i < (has_except ? 3 : 2); i++)
        for (int fd = FIRST; fd <= LAST; fd++) if (FD_ISSET(fd, &sets[i])) found[i] |= 1ul << (fd - FIRST);
    say("select: %ld %#lx %#lx %#lx", result, found[0], found[1], found[2]);
}

static void move(void) {
    int from = any_of(PIPE), to = any_of(PIPE);
    size_t size = any_size();
    if (kinds[from - FIRST] == SOCKET || kinds[to - FIRST] == SOCKET) return;
    struct iovec parts[2] = {{gotten, any_size()}, {gotten + 300, below(3000)}};
    if (parts[0].iov_len > 20000) parts[0].iov_len = 20000;
    switch (below(3)) {
    case 0: say("tee %d %d %zu: %ld", from, to, size, outcome(tee(from, to, size, SPLICE_F_NONBLOCK))); break;
    case 1: say("splice %d %d %zu: %ld", from, to, size, outcome(splice(from, NULL, to, NULL, size, SPLICE_F_NONBLOCK))); break;
    case 2: {
        // Only into the program: what is given stays its memory, and changes with that.
        int flags = fcntl(from, F_GETFL) & O_ACCMODE;
        if (flags != O_RDONLY) break;
        say("vmsplice %d %zu: %ld", from, parts[0].iov_len + parts[1].iov_len, outcome(vmsplice(from, parts, 2, SPLICE_F_NONBLOCK)));
        break;
    }
    }
}

static void change(void) {
    static const int SIZE[] = {0, 1, 4096, 4097, 8192, 10000, 65536, 131072, -1};
    static const int SIGNAL[] = {0, SIGIO, 40, 41, 70};
    int fd = any_of(below(3) ? PIPE : SOCKET);
    switch (below(7)) {
    case 0: case 1: { int size = ANY(SIZE); say("pipe size %d %d: %ld", fd, size, outcome(fcntl(fd, F_SETPIPE_SZ, size))); break; }
    case 2: say("pipe size %d: %ld", fd, outcome(fcntl(fd, F_GETPIPE_SZ))); break;
    case 3: case 4: {
        int flags = O_NONBLOCK | (below(3) ? O_ASYNC : 0) | (kinds[fd - FIRST] != PIPE || below(3) ? 0 : O_DIRECT);
        long result = outcome(fcntl(fd, F_SETFL, flags));
        say("flags %d %#x: %ld %#lx", fd, flags, result, outcome(fcntl(fd, F_GETFL)));
        if (below(4)) fcntl(fd, F_SETOWN, getpid());
        break;
    }
    case 5: { int signal = ANY(SIGNAL); say("F_SETSIG %d %d: %ld %ld", fd, signal, outcome(fcntl(fd, F_SETSIG, signal)), outcome(fcntl(fd, F_GETSIG))); break; }
    case 6: { int owner = below(3); say("F_SETOWN %d: %ld", fd, outcome(fcntl(fd, F_SETOWN, owner ? getpid() : 0))); break; }
    }
}

static void step(void) {
    int fd = any_slot();
    switch (below(24)) {
    case 0: case 1: case 2: make(); break;
    case 3: case 4: say("close %d: %ld", fd, outcome(close(fd))); kinds[fd - FIRST] = NONE; break;
    case 5: case 6: case 7: read_some(below(2) ? fd : any_of(PIPE)); break;
    case 8: case 9: case 10: case 11: write_some(below(2) ? fd : any_of(PIPE)); break;
    case 12: case 13: control(); break;
    case 14: case 15: wait_for_events(any_of(SET), 1 + below(SLOTS)); break;
    case 16: poll_some(); break;
    case 17: select_some(); break;
    case 18: move(); break;
    case 19: case 20: change(); break;
    case 21: if (below(2)) set_timer(any_of(TIMER)); else read_some(any_of(COUNTER)); break;
    case 22: {
        static const int SIGNAL[] = {SIGUSR1, SIGUSR2, 42, 43};
        union sigval value = {.sival_int = below(100)};
        CHECK(!sigqueue(getpid(), ANY(SIGNAL), value));
        break;
    }
    case 23: { int socket = any_of(SOCKET), how = below(3); if (!below(3)) say("shutdown %d %d: %ld", socket, how, outcome(shutdown(socket, how))); break; }
    }
}

static void say_signals(void) {
    static const struct timespec none = {0, 0};
    siginfo_t info;
    for (int signal; (signal = sigtimedwait(&told, &info, &none)) > 0;) {
        if (info.si_code > 0 && info.si_code < 10) say("signal %d code %d band %#lx fd %d", signal, info.si_code, info.si_band, info.si_fd);
        else say("signal %d code %d", signal, info.si_code);
    }
}

static void say_states(void) {
    for (int fd = FIRST; fd <= LAST; fd++) {
        struct pollfd all = {fd, 0x7fff, 0};
        int waiting = -1;
        char text[TEXT] = "";
        if (kinds[fd - FIRST]) {
            poll(&all, 1, 0);
            // What an `epoll` says of a request that it does not know has changed since 6.9.
            long counted = kinds[fd - FIRST] == SET ? 0 : outcome(ioctl(fd, FIONREAD, &waiting));
            snprintf(text, sizeof text, "%#x %ld %d", all.revents, counted, waiting);
        }
        if (strcmp(text, before[fd - FIRST])) say("state %d: %s", fd, text);
        strcpy(before[fd - FIRST], text);
    }
}

static void run_series(const char *folder) {
    CHECK(!mkdir(folder, 0755) && !chdir(folder) && !mkfifo("fifo", 0644));
    sigemptyset(&told); sigemptyset(&read_as_file);
    sigaddset(&told, SIGIO); sigaddset(&told, 40); sigaddset(&told, 41); sigaddset(&told, SIGPIPE);
    sigaddset(&read_as_file, SIGUSR1); sigaddset(&read_as_file, SIGUSR2); sigaddset(&read_as_file, 42); sigaddset(&read_as_file, 43);
    CHECK(!sigprocmask(SIG_BLOCK, &told, NULL) && !sigprocmask(SIG_BLOCK, &read_as_file, NULL));
    memset(kinds, 0, sizeof kinds);
    memset(before, 0, sizeof before);
    for (series_step = 0; series_step < STEPS; series_step++) {
        step();
        say_signals();
        say_states();
    }
    for (int fd = FIRST; fd <= LAST; fd++) if (kinds[fd - FIRST]) CHECK(!close(fd));
    static const struct timespec none = {0, 0};
    while (sigtimedwait(&told, NULL, &none) > 0 || sigtimedwait(&read_as_file, NULL, &none) > 0) {}
    CHECK(!unlink("fifo") && !chdir("/") && !rmdir(folder));
}
