// Peers: processes that do what the first one tells them, one thing at a time. A thing may have to wait for
// what another peer does later; after each step the first one looks until whoever is still at work sleeps.
//
// A program that includes this says what a peer does in `serve`, which leaves its words in `said`.
#pragma once
#include <linux/futex.h>
#include <stdbool.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PEERS_MAX = 8, ARGUMENTS = 8 };

struct peer {
    pid_t process, thread;
    // What it is to do, plus one; 0 when that is done.
    int command, is_done;
    // Whether it was told something that it has not said a word about.
    bool is_at_work;
    long arguments[ARGUMENTS];
    char said[400];
    // Signals that its handler has seen, and a word about the last one.
    int signals;
    char told[100];
};

static struct peer *peers;
static _Thread_local int me = -1;
// Those that have ended have a number, too.
enum { FORMER_MAX = 100 };
static struct former { int count; pid_t ids[FORMER_MAX]; } *former;

static void serve(struct peer *own, int what);

__attribute__((format(printf, 1, 2)))
static inline void answer(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(peers[me].said, sizeof peers[me].said, format, arguments);
    va_end(arguments);
}

static inline void obey(void) {
    struct peer *own = &peers[me];
    for (;;) {
        while (!__atomic_load_n(&own->command, __ATOMIC_SEQ_CST)) syscall(SYS_futex, &own->command, FUTEX_WAIT, 0, NULL);
        answer("nothing");
        serve(own, own->command - 1);
        own->command = 0;
        __atomic_store_n(&own->is_done, 1, __ATOMIC_SEQ_CST);
    }
}

static inline void map_peers(void) {
    if (!peers) peers = mmap(NULL, sizeof *peers * PEERS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(peers != MAP_FAILED);
    if (!former) former = mmap(NULL, sizeof *former, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(former != MAP_FAILED);
    memset(peers, 0, sizeof *peers * PEERS_MAX);
    former->count = 0;
}

// A peer with this number; `prepare` is what it does first.
static inline void fork_peer(int number, void (*prepare)(void)) {
    struct peer *peer = &peers[number];
    if (peer->process && former->count < FORMER_MAX) former->ids[former->count++] = peer->process;
    memset(peer, 0, sizeof *peer);
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        me = number;
        alarm(60);
        peer->process = peer->thread = getpid();
        prepare();
        peer->is_done = 1;
        obey();
    }
    peer->process = peer->thread = child;
    while (!__atomic_load_n(&peer->is_done, __ATOMIC_SEQ_CST)) usleep(20);
    peer->is_done = 0;
}

static inline char state_of(const struct peer *peer) {
    char path[64], text[300];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", peer->process, peer->thread);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return '-';
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return '-';
    text[length] = 0;
    return strrchr(text, ')')[2];
}

static inline bool is_still_at_work(const struct peer *peer) {
    return peer->is_at_work && !__atomic_load_n(&peer->is_done, __ATOMIC_SEQ_CST);
}

// Waits until all that are at work sleep.
static inline void settle(int count) {
    for (int calm = 0; calm < 2; calm++)
        for (int i = 0; i < count; i++)
            if (is_still_at_work(&peers[i]) && !strchr("SZ-", state_of(&peers[i]))) { sched_yield(); calm = -1; break; }
}

static inline void tell(int number, int what) {
    struct peer *peer = &peers[number];
    peer->is_done = 0;
    peer->is_at_work = true;
    __atomic_store_n(&peer->command, what + 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &peer->command, FUTEX_WAKE, 1);
}

// What all that are done have to say. One that waits for a time is waited for.
static inline void listen(int count, int teller, bool has_an_end) {
    while (has_an_end && is_still_at_work(&peers[teller])) usleep(50);
    settle(count);
    for (int i = 0; i < count; i++) {
        struct peer *peer = &peers[i];
        if (peer->is_at_work && peer->is_done) {
            say("%d says %s%s", i, i == teller ? "" : "late ", peer->said);
            peer->is_at_work = false;
        } else if (i == teller && peer->is_at_work) say("%d waits", i);
        if (peer->signals) say("%d told: %d %s", i, peer->signals, peer->told);
        peer->signals = 0;
    }
}

static inline int index_of(pid_t process) {
    if (!process) return -1;
    for (int i = 0; i < PEERS_MAX; i++) if (peers[i].process == process) return i;
    for (int i = 0; i < former->count; i++) if (former->ids[i] == process) return 10 + i;
    return -2;
}

static inline void kill_peer(int number) {
    CHECK(!kill(peers[number].process, SIGKILL));
    CHECK(waitpid(peers[number].process, NULL, 0) == peers[number].process);
    peers[number].is_at_work = false;
}
