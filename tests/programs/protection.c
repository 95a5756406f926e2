// What a program may do with its pages, and what it is told when it does something else. The exit
// status is the line of the first check that fails.
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: code %d, address %p\n", __LINE__, seen_code, seen_address); \
    _exit(__LINE__); } } while (0)

static sigjmp_buf back;
static volatile int seen_code;
static void *volatile seen_address;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    seen_code = info->si_code;
    seen_address = info->si_addr;
    siglongjmp(back, 1);
}

// Whether `statement` gets SIGSEGV with this code at this address.
#define FAULTS(statement, code, address) (seen_code = 0, \
    sigsetjmp(back, 1) ? seen_code == (code) && seen_address == (void *)(address) \
                       : ({ statement; 0; }))

static char *pages(int count, int protection) {
    char *start = mmap(0, count * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) _exit(9);
    return start;
}

static int constant(void) { return 7; }

static volatile int stop;
static char *shared;

// Touches pages that the other thread gives back all the time: it must never see a fault.
static void *touch(void *unused) {
    (void)unused;
    while (!stop) for (int i = 0; i < 4; i++) shared[i * PAGE]++;
    return 0;
}

static void faults(void) {
    volatile char *data = pages(4, PROT_READ | PROT_WRITE);
    data[0] = 1;
    CHECK(!mprotect((char *)data + PAGE, PAGE, PROT_NONE));
    CHECK(!mprotect((char *)data + 2 * PAGE, PAGE, PROT_READ));
    CHECK(FAULTS(data[PAGE + 5] = 1, SEGV_ACCERR, data + PAGE + 5));
    CHECK(FAULTS((void)data[PAGE], SEGV_ACCERR, data + PAGE));
    CHECK(FAULTS(data[2 * PAGE + 9] = 1, SEGV_ACCERR, data + 2 * PAGE + 9));
    CHECK(data[2 * PAGE] == 0 && data[0] == 1 && (data[3 * PAGE] = 3) == 3);
    CHECK(write(1, (char *)data + PAGE, 1) == -1);
    CHECK(!mprotect((char *)data, 4 * PAGE, PROT_READ | PROT_WRITE));
    data[PAGE] = 1, data[2 * PAGE] = 2;

    CHECK(!munmap((char *)data, 4 * PAGE));
    CHECK(FAULTS(data[3] = 1, SEGV_MAPERR, data + 3));
    CHECK(FAULTS((void)data[3 * PAGE], SEGV_MAPERR, data + 3 * PAGE));

    CHECK(FAULTS(*(volatile int *)8 = 1, SEGV_MAPERR, 8));
    CHECK(FAULTS((void)*(volatile int *)0xfff0, SEGV_MAPERR, 0xfff0));
    void (*volatile nowhere)(void) = 0;
    CHECK(FAULTS(nowhere(), SEGV_MAPERR, 0));

    volatile char *text = (volatile char *)(uintptr_t)constant;
    CHECK(FAULTS(*text = 0, SEGV_ACCERR, text));
    CHECK(constant() == 7);
    static const char fixed[8] = "fixed";
    CHECK(FAULTS(*(volatile char *)fixed = 0, SEGV_ACCERR, fixed));
}

static void code(void) {
    static const unsigned char ret7[] = {0xb8, 7, 0, 0, 0, 0xc3};
    char *place = pages(1, PROT_READ | PROT_WRITE);
    int (*function)(void) = (int (*)(void))(uintptr_t)place;
    memcpy(place, ret7, sizeof ret7);
    CHECK(FAULTS(function(), SEGV_ACCERR, place));
    CHECK(!mprotect(place, PAGE, PROT_READ | PROT_EXEC));
    CHECK(function() == 7);
    CHECK(FAULTS(*(volatile char *)place = 0, SEGV_ACCERR, place));
    CHECK(mprotect(place, PAGE, PROT_READ | PROT_GROWSDOWN));

    // glibc does so for a library that asks for an executable stack.
    volatile unsigned char on_stack[sizeof ret7];
    char *page = (char *)((uintptr_t)__builtin_frame_address(0) & -PAGE);
    CHECK(!mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN));
    for (size_t i = 0; i < sizeof ret7; i++) on_stack[i] = ret7[i];
    CHECK(((int (*)(void))(uintptr_t)on_stack)() == 7);
    CHECK(!mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_GROWSDOWN));
}

static void races(void) {
    pthread_t thread;
    shared = pages(4, PROT_READ | PROT_WRITE);
    CHECK(!pthread_create(&thread, 0, touch, 0));
    for (int i = 0; i < 2000; i++) CHECK(!madvise(shared, 4 * PAGE, MADV_DONTNEED));
    stop = 1;
    CHECK(!pthread_join(thread, 0));
}

enum { FILE_PAGES = 256 };
static volatile int round_now, zeros;
static char *volatile seen;

// Reads the first word of each page, from both ends.
static void *look(void *from_end) {
    for (int round = 1; round <= 40; round++) {
        while (round_now < round) continue;
        for (int i = 0; i < FILE_PAGES; i++) {
            long page = from_end ? FILE_PAGES - 1 - i : i;
            zeros += *(volatile int *)(seen + page * PAGE) == 0;
        }
        __atomic_fetch_add(&stop, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

// A page of a file that several threads touch first comes with its content, for all of them.
static void arrivals(void) {
    static char content[FILE_PAGES * PAGE];
    memset(content, 'x', sizeof content);
    int file = open("/tmp/content", O_RDWR | O_CREAT, 0600);
    CHECK(write(file, content, sizeof content) == sizeof content);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) CHECK(!pthread_create(&threads[i], 0, look, i % 2 ? content : 0));
    for (int round = 1; round <= 40; round++) {
        char *map = mmap(0, sizeof content, PROT_READ, MAP_PRIVATE, file, 0);
        CHECK(map != MAP_FAILED);
        seen = map, stop = 0, round_now = round;
        while (stop < 3) continue;
        CHECK(!munmap(map, sizeof content));
    }
    for (int i = 0; i < 3; i++) CHECK(!pthread_join(threads[i], 0));
    CHECK(zeros == 0);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);
    faults();
    code();
    races();
    arrivals();
    puts("protected");
    return 0;
}
