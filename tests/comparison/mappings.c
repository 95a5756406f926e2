// Memory: what is mapped, with which rights, what is in it, and what forks and others' calls make of it.
//
// Not asked, as Linux leaves it open or has changed it since 5.15: copies of file pages that were not
// written to (so each is, at once, and files of which there are copies keep their size), `mremap` over
// several mappings, and where the system puts what has no address.
#include "series.h"
#include <fcntl.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { STEPS = 60, PAGES = 24, PAGE = 4096, FILES = 2, FILE_PAGES = 10, HEAP_PAGES = 6, PROCESSES = 3 };
enum { NOTHING, ANONYMOUS, COPY, SHARED, SEGMENT };

// Which process goes on, and with which number; the others wait for their turn.
static struct turn {
    uint64_t state;
    int step, whose, ended;
    pid_t pids[PROCESSES];
} turn;

// What was mapped together can be moved together.
static struct page { int kind, number; } pages[PAGES];

static unsigned char *arena, *heap, bytes[PAGES * PAGE];
static int own, newest, files[FILES], ends[PROCESSES][2], through[2], segment;
static int forks, shares, cuts;
static sigjmp_buf back;
static siginfo_t caught;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    caught = *info;
    siglongjmp(back, 1);
}

// What the processor says of an access.
static void touch(int page, int value) {
    // A process may find there what another one of its forks has.
    if (forks && !pages[page].kind) return;
    volatile unsigned char *byte = arena + page * PAGE + below(PAGE);
    if (sigsetjmp(back, 1)) {
        say("%d touch %d: signal %d %d %d", own, page, caught.si_signo, caught.si_code,
            (unsigned char *)caught.si_addr == byte);
        return;
    }
    int found = *byte;
    say("%d load %d: %d", own, page, found);
    if (value < 0) return;
    *byte = value;
    say("%d store %d: %d", own, page, *byte);
}

// What the kernel says of reading a page.
static long look(const void *page, void *copy) {
    long count = outcome(write(through[1], page, PAGE));
    if (count > 0) CHECK(read(through[0], copy, count) == count);
    return count;
}

static void say_state(void) {
    char shape[PAGES + 1];
    static char text[65536];
    uint64_t hash = 0, content = 0, file = 0;
    memset(shape, '.', PAGES), shape[PAGES] = 0;
    int fd = open("/proc/self/maps", O_RDONLY), length = 0, count;
    CHECK(fd >= 0);
    while ((count = read(fd, text + length, sizeof text - 1 - length)) > 0) length += count;
    close(fd), text[length] = 0;
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        unsigned long start, end, offset;
        char rights[5];
        CHECK(sscanf(line, "%lx-%lx %4s %lx", &start, &end, rights, &offset) == 4);
        for (; start < end; start += PAGE, offset += PAGE) {
            unsigned long page = (start - (unsigned long)arena) / PAGE;
            if (start < (unsigned long)arena || page >= PAGES) continue;
            int bits = (rights[0] == 'r') | (rights[1] == 'w') << 1;
            shape[page] = (rights[3] == 's' ? 'A' : 'a') + bits;
            int kind = pages[page].kind;
            unsigned long known[] = {page, kind == COPY || kind == SHARED ? offset : 0};
            hash = digest(hash, known, sizeof known);
        }
    }
    for (int page = 0; page < PAGES; page++) {
        long got = look(arena + page * PAGE, bytes);
        content = digest(content, &got, sizeof got);
        content = digest(content, bytes, got > 0 ? got : 0);
    }
    for (int i = 0; i < FILES; i++) {
        long got = outcome(pread(files[i], bytes, sizeof bytes, 0));
        file = digest(digest(file, &got, sizeof got), bytes, got);
    }
    struct shmid_ds about;
    CHECK(!shmctl(segment, IPC_STAT, &about));
    unsigned char *top = (void *)syscall(SYS_brk, 0);
    say("%d %s %08x content %08x files %08x heap %ld %08x attached %d", own, shape, (unsigned)hash,
        (unsigned)content, (unsigned)file, (long)(top - heap), (unsigned)digest(0, heap, top - heap), about.shm_nattch > 0);
}

// Forgets what was at some pages.
static void mark(int first, int count, int kind) {
    newest++;
    for (int i = first; i < first + count; i++) pages[i] = (struct page){kind, newest};
}

// Some pages are no more what their neighbours are.
static void part(int first, int count) {
    for (int i = first, last = -1; i < first + count; i++) {
        if (pages[i].number != last) newest++;
        last = pages[i].number;
        pages[i].number = newest;
    }
}

// Forgets what is not mapped any more.
static void forget(void) {
    for (int i = 0; i < PAGES; i++)
        if (pages[i].kind && msync(arena + i * PAGE, PAGE, MS_ASYNC) && errno == ENOMEM) mark(i, 1, NOTHING);
}

static int is_free(int first, int count) {
    for (int i = first; i < first + count; i++) if (pages[i].kind) return 0;
    return 1;
}

static int has(int first, int count, int kind) {
    for (int i = first; i < first + count; i++) if (pages[i].kind == kind) return 1;
    return 0;
}

// Nothing that has no address may go to free pages of the arena.
static void fill(int is_filled) {
    for (int i = 0; i < PAGES; i++) {
        if (pages[i].kind) continue;
        void *at = arena + i * PAGE;
        if (is_filled)
            CHECK(mmap(at, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at);
        else CHECK(!munmap(at, PAGE));
    }
}

// Writes to copies of file pages, so that nothing depends on the file any more.
static void own_copies(int first, int count) {
    for (int i = first; i < first + count; i++) {
        if (pages[i].kind != COPY) continue;
        unsigned char byte = below(256);
        CHECK(write(through[1], &byte, 1) == 1);
        if (read(through[0], arena + i * PAGE + 9, 1) != 1) CHECK(read(through[0], &byte, 1) == 1);
    }
}

static const int PROT[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE};

static void map(int first, int count) {
    static const int PLACING[] = {MAP_FIXED, MAP_FIXED, MAP_FIXED_NOREPLACE, 0};
    int placing = ANY(PLACING), prot = ANY(PROT), kind = 1 + below(shares ? 3 : 1 + !cuts);
    if (cuts && kind == COPY) kind = SHARED;
    int fd = kind == ANONYMOUS ? -1 : files[below(FILES)], offset = kind == ANONYMOUS ? 0 : below(FILE_PAGES);
    if (kind == COPY && offset + count > FILE_PAGES) offset = 0;
    if (kind == COPY && count > FILE_PAGES) count = FILE_PAGES;
    int flags = placing | (kind == SHARED || (shares && !below(3) && fd < 0) ? MAP_SHARED : MAP_PRIVATE);
    if (fd < 0) flags |= MAP_ANONYMOUS | (below(4) ? 0 : MAP_NORESERVE);
    if (kind == ANONYMOUS && flags & MAP_SHARED) kind = SEGMENT;
    // A wish that need not be heard.
    if (!placing && flags & MAP_SHARED) flags |= MAP_FIXED_NOREPLACE, placing = MAP_FIXED_NOREPLACE;
    void *at = arena + first * PAGE;
    int must_move = !placing && !is_free(first, count), now = kind == COPY ? PROT_READ | PROT_WRITE : prot;
    if (must_move) fill(1);
    void *got = mmap(at, count * PAGE, now, flags, fd, offset * PAGE);
    if (must_move) fill(0);
    say("%d map %d+%d kind %d prot %d flags %#x offset %d: %s %d", own, first, count, kind, prot, flags, offset,
        got == at ? "there" : got == MAP_FAILED ? "failed" : "elsewhere", got == MAP_FAILED ? errno : 0);
    if (got == MAP_FAILED) return;
    if (got != at) { CHECK(!munmap(got, count * PAGE)); return; }
    mark(first, count, kind);
    own_copies(first, count);
    if (now != prot) CHECK(!mprotect(at, count * PAGE, prot));
}

static void move(int first, int count) {
    static const int FLAGS[] = {
        0, MREMAP_MAYMOVE, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED,
        MREMAP_MAYMOVE | MREMAP_DONTUNMAP, MREMAP_FIXED,
    };
    int number = pages[first].number, kind = pages[first].kind, wanted = 1 + below(6), target = below(PAGES - wanted + 1);
    for (int i = 1; i < count; i++) if (pages[first + i].number != number) count = i;
    if (!kind) return;
    int flags = ANY(FLAGS), keeps = flags & MREMAP_DONTUNMAP;
    // What was not touched is not to appear.
    // And a segment that is longer than it is is detached by its parts.
    if ((kind == COPY || kind == SEGMENT) && wanted > count) wanted = count;
    if (keeps) wanted = count, flags |= below(2) ? MREMAP_FIXED : 0;
    if (keeps && kind != ANONYMOUS) return;
    if (target + wanted > PAGES) target = PAGES - wanted;
    if (!(flags & MREMAP_FIXED) && first + wanted > PAGES) wanted = PAGES - first;
    if (keeps) wanted = count;
    int is_open = !(flags & MREMAP_FIXED) && flags & MREMAP_MAYMOVE;
    unsigned char *at = arena + first * PAGE, *to = arena + target * PAGE;
    if (is_open) fill(1);
    unsigned char *got = mremap(at, count * PAGE, wanted * PAGE, flags, to);
    int failed = got == MAP_FAILED ? errno : 0;
    if (is_open) fill(0);
    say("%d move %d+%d kind %d to %d+%d flags %d: %s %d", own, first, count, kind, target, wanted, flags,
        failed ? "failed" : got == at ? "stays" : got == to ? "there" : "elsewhere", failed);
    if (failed) {
        // What was to be replaced may be gone.
        forget();
        return;
    }
    if (!keeps) mark(first, count, NOTHING);
    if (got != at && got != to) {
        if (below(2)) {
            long moved = (long)mremap(got, wanted * PAGE, wanted * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
            say("%d back to %d: %d", own, target, moved == (long)to);
            CHECK(moved == (long)to);
            got = to;
        } else { CHECK(!munmap(got, wanted * PAGE)); return; }
    }
    if (got == at) mark(first, wanted, kind);
    if (got == to) mark(target, wanted, kind);
    if (keeps) part(first, count);
}

static void advise(int first, int count) {
    static const int ADVICE[] = {
        MADV_DONTNEED, MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK,
        MADV_KEEPONFORK, MADV_WILLNEED, MADV_RANDOM, 77,
    };
    int advice = ANY(ADVICE);
    if (advice == MADV_DONTNEED && has(first, count, COPY)) return;
    if (advice == MADV_FREE && has(first, count, COPY)) return;
    // Where it stops in the middle, what it did before is not said of every kind.
    long result = outcome(madvise(arena + first * PAGE, count * PAGE, advice));
    say("%d advise %d+%d %d: %ld", own, first, count, advice, result);
    if (advice == MADV_FREE)
        for (int i = first; i < first + count; i++) {
            memset(bytes, below(256), PAGE);
            CHECK(write(through[1], bytes, PAGE) == PAGE);
            long count = outcome(read(through[0], arena + i * PAGE, PAGE));
            say("%d freed %d: %ld", own, i, count);
            if (count < 0) {
                CHECK(read(through[0], bytes, PAGE) == PAGE);
                // It may be zeros by now, or not.
                long gone = outcome(madvise(arena + i * PAGE, PAGE, MADV_DONTNEED));
                say("%d gone %d: %ld", own, i, gone);
            }
        }
    part(first, count);
}

// Changes of the files through descriptors.
static void change(void) {
    int fd = files[below(FILES)], size = 1 + below(2 * PAGE), offset = below(FILE_PAGES * PAGE - size);
    memset(bytes, below(256), size);
    switch (below(cuts ? 4 : 2)) {
    case 0: say("%d write %d at %d: %ld", own, size, offset, outcome(pwrite(fd, bytes, size, offset))); break;
    case 1: {
        int flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        say("%d hole %d at %d: %ld", own, size, offset, outcome(fallocate(fd, flags, offset, size)));
        break;
    }
    default: {
        // Bytes behind the end of the last page are nobody's.
        int length = below(FILE_PAGES) * PAGE;
        say("%d cut %d: %ld", own, length, outcome(ftruncate(fd, length)));
    }
    }
}

static void grow_heap(void) {
    unsigned char *top = (void *)syscall(SYS_brk, 0);
    int count = below(HEAP_PAGES);
    long result = syscall(SYS_brk, heap + count * PAGE);
    say("%d heap %d: %ld", own, count, (result - (long)heap) / PAGE);
    if (heap + count * PAGE > top) memset(top, below(256), heap + count * PAGE - top);
}

static void attach(int first) {
    static const int FLAGS[] = {0, SHM_RDONLY, SHM_REMAP, SHM_REMAP | SHM_RDONLY};
    int flags = ANY(FLAGS);
    if (first + 3 > PAGES) return;
    void *at = arena + first * PAGE, *got = shmat(segment, at, flags);
    say("%d attach %d %#x: %d", own, first, flags, got == at ? 0 : -errno);
    CHECK(got == at || got == (void *)-1);
    if (got == at) mark(first, 3, SEGMENT);
}

// Reads or writes a page of a process by its number.
static void reach(int first, int count) {
    int other = below(PROCESSES), is_write = below(2);
    // A child may not everywhere look into others.
    if (!turn.pids[other] || (own && other != own)) return;
    memset(bytes, is_write ? below(256) : 0, count * PAGE);
    struct iovec here = {bytes, count * PAGE}, there = {arena + first * PAGE + 100, count * PAGE - 100};
    pid_t pid = turn.pids[other];
    long done = is_write ? process_vm_writev(pid, &here, 1, &there, 1, 0) : process_vm_readv(pid, &here, 1, &there, 1, 0);
    say("%d %s %d at %d+%d: %ld %08x", own, is_write ? "writes to" : "reads of", other, first, count, outcome(done),
        (unsigned)digest(0, bytes, count * PAGE));
}

static void await(void) {
    CHECK(read(ends[own][0], &turn, sizeof turn) == sizeof turn && turn.whose == own);
    if (turn.step < 0) _exit(0);
    series_state = turn.state, series_step = turn.step;
    if (!own && turn.ended) {
        CHECK(waitpid(turn.pids[turn.ended], NULL, 0) == turn.pids[turn.ended]);
        turn.pids[turn.ended] = 0;
        turn.ended = 0;
    }
}

// Gives the turn to another process, and waits until it comes again.
static void hand(int whose) {
    if (whose == own) return;
    turn.state = series_state, turn.step = series_step, turn.whose = whose;
    CHECK(write(ends[whose][1], &turn, sizeof turn) == sizeof turn);
    await();
}

static void divide(void) {
    int child = 1;
    if (own) {
        if (below(3)) return;
        say("%d ends", own);
        turn.ended = own, turn.state = series_state, turn.step = series_step, turn.whose = 0;
        CHECK(write(ends[0][1], &turn, sizeof turn) == sizeof turn);
        _exit(0);
    }
    while (child < PROCESSES && turn.pids[child]) child++;
    if (child == PROCESSES) return;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        own = child;
        alarm(60);
        await();
        // Not all was copied.
        forget();
        say("%d begins", own);
        return;
    }
    turn.pids[child] = pid;
    hand(child);
}

static void step(void) {
    int first = below(PAGES), count = 1 + below(6);
    if (first + count > PAGES) count = PAGES - first;
    unsigned char *at = arena + first * PAGE;
    switch (below(forks ? 20 : 17)) {
    case 0: case 1: case 2: map(first, count); break;
    case 3: {
        say("%d unmap %d+%d: %ld", own, first, count, outcome(munmap(at, count * PAGE)));
        mark(first, count, NOTHING);
        break;
    }
    case 4: {
        int prot = ANY(PROT);
        say("%d protect %d+%d %d: %ld", own, first, count, prot, outcome(mprotect(at, count * PAGE, prot)));
        part(first, count);
        break;
    }
    case 5: case 6: move(first, count); break;
    case 7: advise(first, count); break;
    case 8: {
        static const int FLAGS[] = {MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE, MS_SYNC | MS_ASYNC, 64};
        int flags = ANY(FLAGS);
        say("%d sync %d+%d %d: %ld", own, first, count, flags, outcome(msync(at, count * PAGE, flags)));
        break;
    }
    case 9: {
        unsigned char there[PAGES];
        say("%d core %d+%d: %ld", own, first, count, outcome(mincore(at, count * PAGE, there)));
        break;
    }
    case 10: change(); break;
    case 11: touch(first, below(256)); break;
    case 12: touch(first, -1); break;
    case 13: {
        int size = 1 + below(PAGE - 50);
        memset(bytes, below(256), size);
        CHECK(write(through[1], bytes, size) == size);
        long got = outcome(read(through[0], at + 50, size));
        say("%d fill %d %d: %ld", own, first, size, got);
        for (long left = size - (got > 0 ? got : 0); left > 0; left -= got) CHECK((got = read(through[0], bytes, left)) > 0);
        break;
    }
    case 14: if (shares) attach(first); break;
    case 15: {
        if (!shares) break;
        say("%d detach %d: %ld", own, first, outcome(shmdt(at)));
        forget();
        break;
    }
    case 16: grow_heap(); break;
    case 17: reach(first, count); break;
    case 18: divide(); break;
    case 19: {
        int whose = below(PROCESSES);
        if (turn.pids[whose]) hand(whose);
        break;
    }
    }
}

static void run_series(const char *folder) {
    CHECK(!mkdir(folder, 0755) && !chdir(folder));
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    CHECK(!sigaction(SIGSEGV, &action, NULL) && !sigaction(SIGBUS, &action, NULL));
    forks = below(2), shares = below(3) > 0, cuts = shares && below(2);
    own = newest = 0;
    memset(pages, 0, sizeof pages), memset(&turn, 0, sizeof turn);
    turn.pids[0] = getpid();
    if (!heap) heap = (void *)syscall(SYS_brk, 0), heap += -(unsigned long)heap % PAGE;
    CHECK(syscall(SYS_brk, heap) == (long)heap);
    arena = mmap(0, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(arena != MAP_FAILED && !munmap(arena, PAGES * PAGE));
    for (int i = 0; i < FILES; i++) {
        files[i] = i ? memfd_create("m", 0) : open("f", O_RDWR | O_CREAT, 0600);
        CHECK(files[i] >= 0 && !ftruncate(files[i], FILE_PAGES * PAGE));
        for (int j = 0; j < FILE_PAGES * PAGE; j++) bytes[j] = below(256);
        CHECK(pwrite(files[i], bytes, FILE_PAGES * PAGE / 2, PAGE * i) == FILE_PAGES * PAGE / 2);
    }
    for (int i = 0; i < PROCESSES; i++) CHECK(!pipe(ends[i]));
    CHECK(!pipe2(through, O_NONBLOCK) && (segment = shmget(IPC_PRIVATE, 3 * PAGE, 0600)) >= 0);
    alarm(60);
    for (series_step = 0; series_step < STEPS; series_step++) {
        step();
        say_state();
    }
    // The first process ends the others.
    hand(0);
    for (int i = 1; i < PROCESSES; i++) {
        if (!turn.pids[i]) continue;
        turn.step = -1, turn.whose = i;
        CHECK(write(ends[i][1], &turn, sizeof turn) == sizeof turn);
        CHECK(waitpid(turn.pids[i], NULL, 0) == turn.pids[i]);
    }
    for (int i = 0; i < PROCESSES; i++) close(ends[i][0]), close(ends[i][1]);
    CHECK(!shmctl(segment, IPC_RMID, NULL));
    for (int i = 0; i < FILES; i++) close(files[i]);
    close(through[0]), close(through[1]);
    CHECK(!munmap(arena, PAGES * PAGE) && !unlink("f") && !chdir("/") && !rmdir(folder));
}
