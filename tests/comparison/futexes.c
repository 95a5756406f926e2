// Futexes: threads of one process and other processes wait for words of several sorts of memory, wake and
// move each other, own locks, and end while they hold some.
#include "series.h"
#include "peers.h"
#include <pthread.h>
#include <stddef.h>
#include <time.h>

enum { STEPS = 100, THREADS = 3, PEERS = 5, AREAS = 4, WORDS = 4, PAGE = 4096 };
enum deed {
    WAIT, WAIT_BITSET, WAKE, WAKE_BITSET, REQUEUE, CMP_REQUEUE, WAKE_OP, SET, LOCK, TRY_LOCK, UNLOCK, LOCK_BY_CLOCK,
    HOLD, LET_GO, STRANGE, WAIT_FOR_SEVERAL, SIZED_WAIT, SIZED_WAKE, SIZED_REQUEUE, DEEDS, LEAVE, START,
};

// These are younger than some headers.
enum { OPERATION_LOCK_PI2 = 13, CALL_WAITV = 449, CALL_WAKE = 454, CALL_WAIT = 455, CALL_REQUEUE = 456 };
enum { SIZE_32_BITS = 2, HAS_NODE = 4 };
struct wanted { uint64_t expected, word; uint32_t flags, reserved; };

// A word, and its place in a list of locks that are held.
struct entry { struct entry *next; uint32_t word, holder; };
struct list { struct entry *first; long offset; struct entry *pending; };

// Private memory, shared memory, a shared file, a private copy of it. Two ordinary words each, and two locks.
static struct entry *areas[AREAS];
static _Thread_local struct list own_list;

static struct entry *entry_of(long number) { return &areas[number / WORDS][number % WORDS]; }
static uint32_t *word_of(long number) { return &entry_of(number)->word; }

static long futex(uint32_t *word, int operation, uint32_t value, uintptr_t fourth, uint32_t *second, uint32_t third) {
    return outcome(syscall(SYS_futex, word, operation, value, fourth, second, third));
}

// A lock names its owner; what an ordinary word holds is a number.
static int describe(char *text, size_t room, uint32_t word, bool is_lock) {
    char owner[20];
    uint32_t thread = word & FUTEX_TID_MASK;
    snprintf(owner, sizeof owner, "%d", (int)word & FUTEX_TID_MASK);
    for (int i = 0; i < former->count; i++) if (is_lock && (pid_t)thread == former->ids[i]) strcpy(owner, "former");
    for (int i = 0; i < PEERS; i++) if (is_lock && (pid_t)thread == peers[i].thread) snprintf(owner, sizeof owner, "peer%d", i);
    return snprintf(text, room, " %s%s%s", owner, word & FUTEX_WAITERS ? "W" : "", word & FUTEX_OWNER_DIED ? "D" : "");
}

static void describe_area(char *text, size_t room, int area) {
    int length = 0;
    for (int i = 0; i < WORDS; i++) length += describe(text + length, room - length, areas[area][i].word, i > 1);
}

// Times that are over, that will soon be, and that are none; null for no end.
static struct timespec *time_of(long kind, bool is_absolute, clockid_t clock, struct timespec *time) {
    static const struct timespec RELATIVE[] = {{0, 0}, {0, 1000000}, {-1, 0}, {0, 1000000000}, {0, -1}};
    if (kind < 0) return NULL;
    *time = RELATIVE[kind];
    if (!is_absolute || kind != 1) return time;
    CHECK(!clock_gettime(clock, time));
    time->tv_nsec += 1000000;
    if (time->tv_nsec >= 1000000000) time->tv_sec++, time->tv_nsec -= 1000000000;
    return time;
}

static void hold(const long *a) {
    struct entry *entry = entry_of(a[0]);
    // An entry is in one list at a time.
    if (entry->holder) { answer("held"); return; }
    entry->holder = (uint32_t)me + 1;
    entry->next = own_list.first;
    own_list.first = entry;
    answer("%d entry", 1);
}

static void strange(const long *a) {
    static const int OPERATION[] = {FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAKE_BITSET, FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI,
                                    FUTEX_CMP_REQUEUE, FUTEX_REQUEUE, FUTEX_WAKE_OP, FUTEX_WAIT_BITSET, 2, 14};
    uint32_t *word = &areas[3][WORDS].word, *places[] = {NULL, (void *)((char *)word + 1), (void *)(areas[0] + PAGE / sizeof(struct entry)), (void *)-4096ul,
                                              (void *)(1ul << 47), (void *)(areas[1] + PAGE / sizeof(struct entry)), word};
    struct timespec time = {0, 0};
    int operation = OPERATION[a[0]];
    uintptr_t fourth = operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET || operation == FUTEX_LOCK_PI ? (uintptr_t)&time : 1;
    answer("%ld", futex(places[a[1]], operation | (int)a[3], (uint32_t)a[4], fourth, places[a[2]], (uint32_t)a[5]));
}

// Up to three words, and maybe one that is wrong somehow.
static void list_words(struct wanted *list, const long *a) {
    for (int i = 0; i < 3; i++) {
        long place = i == 2 ? (a[0] + a[1]) % (AREAS * WORDS) : a[i];
        uint32_t flags = SIZE_32_BITS | (uint32_t)(a[5] & FUTEX_PRIVATE_FLAG);
        list[i] = (struct wanted){(uint64_t)a[2], (uintptr_t)word_of(place), flags, 0};
    }
    struct wanted *wrong = &list[a[6] % 3];
    switch (a[6] / 3) {
    case 0: wrong->flags ^= 1; break;
    case 1: wrong->flags |= 64; break;
    case 2: wrong->reserved = 1; break;
    case 3: wrong->expected |= 1ul << 32; break;
    case 4: wrong->word++; break;
    case 5: wrong->word = (uintptr_t)areas[0] + PAGE; break;
    case 6: wrong->word = 1ul << 47; break;
    case 7: wrong->flags ^= FUTEX_PRIVATE_FLAG; break;
    case 8: wrong->expected++; break;
    case 9: wrong->word = list[0].word, wrong->flags = list[0].flags; break;
    }
}

static void *live(void *number);

static void leave(void) {
    peers[me].is_done = 1;
    if (me > 0 && me < THREADS) syscall(SYS_exit, 0);
    _exit(0);
}

static void serve(struct peer *own, int what) {
    const long *a = own->arguments;
    struct timespec time;
    long done = 0;
    bool is_real = a[5] & FUTEX_CLOCK_REALTIME;
    clockid_t clock = is_real || what == LOCK ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    uint32_t *word = word_of(a[0]), *second = word_of(a[1]);
    int flags = (int)a[5];
    uint32_t sized = SIZE_32_BITS | (uint32_t)(flags & FUTEX_PRIVATE_FLAG);
    struct wanted list[3];
    switch (what) {
    case WAIT_FOR_SEVERAL:
        list_words(list, a);
        done = outcome(syscall(CALL_WAITV, list, (unsigned)a[4], a[7] == 1, time_of(a[3], true, clock, &time), a[7] == 2 ? 7 : clock));
        break;
    case SIZED_WAIT:
        if (!a[6]) sized ^= 3;
        done = outcome(syscall(CALL_WAIT, word, a[2], a[4], sized, time_of(a[3], true, clock, &time), a[7] == 2 ? 7 : clock));
        break;
    case SIZED_WAKE:
        if (!a[6]) sized |= HAS_NODE;
        done = outcome(syscall(CALL_WAKE, word, a[4], (int)(a[6] ? a[2] : 0), sized));
        break;
    case SIZED_REQUEUE: list_words(list, a); done = outcome(syscall(CALL_REQUEUE, list, a[7] == 1, (int)a[3], (int)a[4])); break;
    case WAIT: done = futex(word, FUTEX_WAIT | flags, (uint32_t)a[2], (uintptr_t)time_of(a[3], false, 0, &time), NULL, 0); break;
    case WAIT_BITSET:
        done = futex(word, FUTEX_WAIT_BITSET | flags, (uint32_t)a[2], (uintptr_t)time_of(a[3], true, clock, &time), NULL, (uint32_t)a[4]);
        break;
    case WAKE: done = futex(word, FUTEX_WAKE | flags, (uint32_t)a[2], 0, NULL, 0); break;
    case WAKE_BITSET: done = futex(word, FUTEX_WAKE_BITSET | flags, (uint32_t)a[2], 0, NULL, (uint32_t)a[4]); break;
    case REQUEUE: done = futex(word, FUTEX_REQUEUE | flags, (uint32_t)a[2], (uint32_t)a[3], second, 0); break;
    case CMP_REQUEUE: done = futex(word, FUTEX_CMP_REQUEUE | flags, (uint32_t)a[2], (uint32_t)a[3], second, (uint32_t)a[4]); break;
    case WAKE_OP: done = futex(word, FUTEX_WAKE_OP | flags, (uint32_t)a[2], (uint32_t)a[3], second, (uint32_t)a[4]); break;
    case SET: *word = a[1] < 4 ? (uint32_t)a[2] : a[3] & FUTEX_TID_MASK ? (uint32_t)a[3] : (uint32_t)peers[a[1] - 4].thread | (uint32_t)a[3]; break;
    case LOCK: done = futex(word, FUTEX_LOCK_PI | flags, 0, (uintptr_t)time_of(a[3], true, clock, &time), NULL, 0); break;
    case LOCK_BY_CLOCK: done = futex(word, OPERATION_LOCK_PI2 | flags, 0, (uintptr_t)time_of(a[3], true, clock, &time), NULL, 0); break;
    case TRY_LOCK: done = futex(word, FUTEX_TRYLOCK_PI | flags, 0, 0, NULL, 0); break;
    case UNLOCK: done = futex(word, FUTEX_UNLOCK_PI | flags, 0, 0, NULL, 0); break;
    case HOLD: hold(a); return;
    case LET_GO:
        for (int i = 0; i < AREAS * WORDS; i++) if (entry_of(i)->holder == (uint32_t)me + 1) entry_of(i)->holder = 0;
        own_list.first = (void *)&own_list; own_list.pending = a[1] ? entry_of(a[0]) : NULL; break;
    case STRANGE: strange(a); return;
    case LEAVE: leave(); return;
    case START: {
        pthread_t thread;
        CHECK(!pthread_create(&thread, NULL, live, (void *)a[0]) && !pthread_detach(thread));
        while (!__atomic_load_n(&peers[a[0]].is_done, __ATOMIC_SEQ_CST)) usleep(20);
        break;
    }
    }
    char text[2][100];
    describe_area(text[0], sizeof text[0], 0), describe_area(text[1], sizeof text[1], 3);
    answer("%ld, its own:%s,%s", done, text[0], text[1]);
}

static void begin(void) {
    own_list = (struct list){.first = (void *)&own_list, .offset = offsetof(struct entry, word)};
    CHECK(!syscall(SYS_set_robust_list, &own_list, sizeof own_list));
}

static void *live(void *number) {
    me = (int)(long)number;
    struct peer *own = &peers[me];
    own->process = getpid(), own->thread = (pid_t)syscall(SYS_gettid);
    begin();
    __atomic_store_n(&own->is_done, 1, __ATOMIC_SEQ_CST);
    obey();
    return NULL;
}

static void note_signal(int signal) { peers[me].signals += signal > 0; }

static void prepare(void) {
    static bool is_restarted;
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = is_restarted ? SA_RESTART : 0};
    CHECK(!sigaction(SIGUSR1, &action, NULL));
    action.sa_flags = SA_RESTART;
    CHECK(!sigaction(SIGUSR2, &action, NULL));
    begin();
}

// ---- The first ------------------------------------------------------------------------------------

static void start(int number) {
    for (int i = WORDS; i < 3 * WORDS; i++) if (entry_of(i)->holder == (uint32_t)number + 1) entry_of(i)->holder = 0;
    if (number == 0 || number >= THREADS) {
        fork_peer(number, prepare);
        return;
    }
    struct peer *peer = &peers[number];
    if (peer->thread && former->count < FORMER_MAX) former->ids[former->count++] = peer->thread;
    memset(peer, 0, sizeof *peer);
    peers[0].arguments[0] = number;
    tell(0, START);
    while (is_still_at_work(&peers[0])) usleep(20);
    peers[0].is_at_work = false;
    peer->is_done = 0;
}

static void say_words(void) {
    static char before[2][100];
    if (!series_step) memset(before, 0, sizeof before);
    for (int area = 1; area < 3; area++) {
        char text[100];
        describe_area(text, sizeof text, area);
        if (!strcmp(text, before[area - 1])) continue;
        strcpy(before[area - 1], text);
        say("words of %d:%s", area, text);
    }
}

static bool is_anybody_at_work(void) {
    for (int i = 0; i < PEERS; i++) if (peers[i].is_at_work) return true;
    return false;
}

static int choose(int number, long *a, bool *has_an_end) {
    static const unsigned COUNTS[] = {0, 1, 1, 1, 2, 2, 3, 0x7fffffff, 0xffffffff};
    static const unsigned BITS[] = {1, 2, 3, 0xffffffff, 0xffffffff, 0};
    static const unsigned OWNERS[] = {0, FUTEX_OWNER_DIED, FUTEX_WAITERS};
    int what = below(3) ? (int)below(DEEDS) : below(3) ? (int)below(7) : WAIT_FOR_SEVERAL + (int)below(4);
    bool is_lock = what >= LOCK && what <= LOCK_BY_CLOCK;
    memset(a, 0, sizeof(long) * ARGUMENTS);
    int area = below(AREAS);
    a[0] = area * WORDS + below(2) + (is_lock ? 2 : 0);
    a[1] = (below(5) ? area : (int)below(AREAS)) * WORDS + below(2);
    a[2] = ANY(COUNTS), a[3] = ANY(COUNTS), a[4] = ANY(BITS), a[5] = below(6) ? 0 : FUTEX_CLOCK_REALTIME;
    if (series_seed & 1 && below(2) && (!is_lock || area % 3 == 0)) a[5] |= FUTEX_PRIVATE_FLAG;
    // Who waits to own a word is not woken so.
    if ((what == WAKE || what == WAKE_BITSET || what == REQUEUE) && !below(6)) a[0] += 2;
    bool is_sized_wait = what == WAIT_FOR_SEVERAL || what == SIZED_WAIT;
    bool may_end = what == WAIT || what == WAIT_BITSET || what == LOCK || what == LOCK_BY_CLOCK || is_sized_wait;
    if (may_end) a[3] = below(4) ? -1 : (long)below(5);
    if (what == WAIT || what == WAIT_BITSET || is_sized_wait) a[2] = below(4) ? 0 : (long)below(3);
    if (what >= WAIT_FOR_SEVERAL) a[6] = below(2) ? 99 : (long)below(30), a[7] = below(8) ? 0 : (long)below(3);
    *has_an_end = may_end && a[3] >= 0;
    switch (what) {
    case CMP_REQUEUE: a[4] = below(4) ? 0 : (long)below(3); break;
    case WAIT_FOR_SEVERAL: a[4] = below(16) ? 1 + (long)below(3) : below(2) ? 0 : 129; break;
    case SIZED_WAIT: case SIZED_WAKE: if (!below(16)) a[4] |= 1l << 32; break;
    case SIZED_REQUEUE: a[2] = below(4) ? 0 : (long)below(3), a[4] = ANY(COUNTS); break;
    case WAKE_OP: a[4] = FUTEX_OP(below(5), below(4), below(6), below(3)); if (!below(8)) a[4] = (long)(below(1ul << 32) & 0xff003003); break;
    case SET:
        a[1] = 0, a[2] = below(3) ? 0 : (long)below(4);
        if (!is_anybody_at_work() && below(2)) a[0] += 2, a[1] = 4 + below(PEERS), a[3] = below(8) ? OWNERS[below(3)] : 0x3ffffff0;
        // With the flag, kernels differ in what they say of an owner in another process.
        if (a[1] && series_seed & 1 && area % 3 == 0) a[1] = 4 + (number < THREADS ? (long)below(THREADS) : number);
        if (!a[1] && !is_anybody_at_work() && below(2)) a[0] += 2, a[2] = below(2) ? 0 : FUTEX_OWNER_DIED;
        break;
    case HOLD: a[0] = area * WORDS + 2 + below(2); break;
    case LET_GO: a[0] = area * WORDS + 2 + below(2), a[1] = !below(4); break;
    case STRANGE: *has_an_end = true; a[0] = below(12), a[1] = below(7), a[2] = below(7), a[3] = series_seed & 1 ? FUTEX_PRIVATE_FLAG : 0, a[4] = below(3), a[5] = below(4) ? 0 : 1; break;
    }
    return what;
}

static void end(int number) {
    // Of threads that wait for each other and end together any may be the first.
    if (!number) for (int i = 0; i < THREADS; i++) if (peers[i].is_at_work) return;
    say("%d is killed", number);
    kill_peer(number);
    if (!number) for (int i = 1; i < THREADS; i++) peers[i].is_at_work = false;
    listen(PEERS, -1, false);
    say_words();
    for (int i = number; i < (number ? number + 1 : THREADS); i++) start(i);
}

static void step(void) {
    int number = below(PEERS);
    struct peer *peer = &peers[number];
    bool has_an_end = false;
    if (peer->is_at_work) {
        if (below(2)) return;
        if (below(3)) {
            int signal = below(2) ? SIGUSR1 : SIGUSR2;
            say("%d is interrupted by %d", number, signal);
            CHECK(!syscall(SYS_tgkill, peer->process, peer->thread, signal));
            while (!__atomic_load_n(&peer->signals, __ATOMIC_SEQ_CST)) usleep(20);
            listen(PEERS, -1, false);
        } else if (number == 0 || number >= THREADS) end(number);
        return;
    }
    if (!below(25)) {
        if (number > 0 && number < THREADS && !peers[0].is_at_work) {
            say("%d leaves", number);
            tell(number, LEAVE);
            while (state_of(peer) != '-') usleep(20);
            peer->is_at_work = false;
            listen(PEERS, -1, false);
            say_words();
            start(number);
        } else if (number == 0 || number >= THREADS) end(number);
        return;
    }
    int what = choose(number, peer->arguments, &has_an_end);
    const long *a = peer->arguments;
    say("%d does %d %ld %ld %#lx %#lx %#lx %#lx %ld %ld", number, what, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
    tell(number, what);
    listen(PEERS, number, has_an_end);
}

static void *map(int flags, int file) {
    void *got = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
    CHECK(got != MAP_FAILED && !mprotect((char *)got + PAGE, PAGE, file < 0 && flags & MAP_PRIVATE ? PROT_NONE : PROT_READ));
    return got;
}

static void run_series(const char *folder) {
    map_peers();
    int file = open(folder, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(file >= 0 && !ftruncate(file, 2 * PAGE));
    areas[0] = map(MAP_PRIVATE | MAP_ANONYMOUS, -1), areas[1] = map(MAP_SHARED | MAP_ANONYMOUS, -1);
    areas[2] = map(MAP_SHARED, file), areas[3] = map(MAP_PRIVATE, file);
    for (int i = 0; i < AREAS; i++) memset(areas[i], 0, (WORDS + 1) * sizeof(struct entry));
    for (int i = 0; i < PEERS; i++) start(i);
    for (series_step = 0; series_step < STEPS; series_step++) {
        step();
        say_words();
    }
    kill_peer(0);
    for (int i = THREADS; i < PEERS; i++) kill_peer(i);
    for (int i = 0; i < AREAS; i++) CHECK(!munmap(areas[i], 2 * PAGE));
    CHECK(!close(file) && !unlink(folder));
}
