// What single pages do: behind the end of a file, in a child, at a place that was left, in a
// reservation. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static sigjmp_buf back;
static volatile int code;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)context;
    code = signal * 100 + info->si_code;
    siglongjmp(back, 1);
}

// What a read of an address gives: 0, or the signal and its code.
static int touched(volatile char *address) {
    code = 0;
    if (sigsetjmp(back, 1) == 0) (void)*address;
    return code;
}

static char *anonymous(size_t len, int prot) {
    char *start = mmap(0, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(start != MAP_FAILED);
    return start;
}

static void behind_the_end(int kind) {
    int fd = open("/tmp/pages", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, "abc", 3) == 3);
    char *start = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, kind, fd, 0);
    CHECK(start != MAP_FAILED);
    CHECK(start[2] == 'c' && start[PAGE - 1] == 0);
    CHECK(touched(start + PAGE) == SIGBUS * 100 + BUS_ADRERR);
    errno = 0;
    CHECK(write(fd, start + PAGE, 1) == -1 && errno == EFAULT);
    CHECK(ftruncate(fd, PAGE + 1) == 0);
    CHECK(touched(start + PAGE) == 0 && start[2 * PAGE - 1] == 0);
    CHECK(touched(start + 2 * PAGE) == SIGBUS * 100 + BUS_ADRERR);
    if (kind == MAP_SHARED) {
        CHECK(ftruncate(fd, PAGE) == 0);
        CHECK(touched(start + PAGE) == SIGBUS * 100 + BUS_ADRERR);
    }
    CHECK(munmap(start, 3 * PAGE) == 0);
    CHECK(touched(start) == SIGSEGV * 100 + SEGV_MAPERR);
    close(fd);
}

static void in_a_child(void) {
    char *left = anonymous(PAGE, PROT_READ | PROT_WRITE);
    char *wiped = anonymous(PAGE, PROT_READ | PROT_WRITE);
    char *copied = anonymous(PAGE, PROT_READ | PROT_WRITE);
    *left = *wiped = *copied = 7;
    CHECK(madvise(left, PAGE, MADV_DONTFORK) == 0);
    CHECK(madvise(wiped, PAGE, MADV_WIPEONFORK) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(touched(left) == SIGSEGV * 100 + SEGV_MAPERR);
        CHECK(*wiped == 0 && *copied == 7);
        *wiped = *copied = 8;
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(*left == 7 && *wiped == 7 && *copied == 7);
    CHECK(madvise(left, PAGE, MADV_DOFORK) == 0 && madvise(wiped, PAGE, MADV_KEEPONFORK) == 0);
    pid = fork();
    if (pid == 0) _exit(*left == 7 && *wiped == 7 ? 0 : 1);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void moved(void) {
    char *old = anonymous(2 * PAGE, PROT_READ | PROT_WRITE);
    memset(old, 5, 2 * PAGE);
    CHECK(mremap(old, 2 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP) == MAP_FAILED);
    CHECK(errno == EINVAL);
    char *new = mremap(old, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    CHECK(new != MAP_FAILED && new != old);
    CHECK(new[2 * PAGE - 1] == 5 && old[2 * PAGE - 1] == 0);
    CHECK(mprotect(new + PAGE, PAGE, PROT_READ) == 0);
    CHECK(mremap(new, 2 * PAGE, PAGE, 0) == new);
    CHECK(touched(new + PAGE) == SIGSEGV * 100 + SEGV_MAPERR);
}

static void zeros(int kind) {
    int fd = open("/dev/zero", O_RDWR);
    CHECK(fd >= 0);
    char *start = mmap(0, PAGE, PROT_READ | PROT_WRITE, kind | MAP_POPULATE, fd, 0);
    CHECK(start != MAP_FAILED && *start == 0);
    *start = 3;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        *start = 4;
        _exit(0);
    }
    CHECK(waitpid(pid, 0, 0) == pid);
    CHECK(*start == (kind == MAP_SHARED ? 4 : 3));
    close(fd);
}

// Far more than the enclave has memory for.
static void reserved(void) {
    size_t len = 1UL << 33;
    char *start = anonymous(len, PROT_NONE);
    CHECK(touched(start + len / 2) == SIGSEGV * 100 + SEGV_ACCERR);
    CHECK(munmap(start, len) == 0);
    start = anonymous(1 << 20, PROT_NONE);
    CHECK(mprotect(start + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
    start[PAGE] = 1;
    CHECK(touched(start) == SIGSEGV * 100 + SEGV_ACCERR);
    CHECK(munmap(start, 1 << 20) == 0);
}

// A small reservation can be used, whatever address was wished for it: Go's heap begins at one that it
// draws at random.
static void wished(void) {
    for (unsigned long wish = 1UL << 30; wish < 1UL << 46; wish += wish / 4) {
        unsigned long address = wish & -65536UL;
        char *start = mmap((void *)address, 1 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(start != MAP_FAILED);
        char *part = mmap(start + PAGE, PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        CHECK(part == start + PAGE);
        *part = 1;
        CHECK(munmap(start, 1 << 16) == 0);
    }
}

// What must lie behind 8 GiB gets there by asking for less and less, as Haskell's heap does.
static void vast(void) {
    char *starts[3];
    size_t lens[3];
    for (int i = 0; i < 3; i++) {
        size_t len = 1UL << 40;
        while ((starts[i] = mmap((void *)0x4200000000, len, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) == MAP_FAILED)
            len -= len / 8;
        CHECK((unsigned long)starts[i] >= 1UL << 33 && len > 1UL << 30);
        lens[i] = len;
    }
    for (int i = 0; i < 3; i++)
        CHECK(munmap(starts[i], lens[i]) == 0);
}

static void limited(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    struct rlimit low = {1 << 20, limit.rlim_max};
    CHECK(setrlimit(RLIMIT_AS, &low) == 0);
    void *more = mmap(0, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(more == MAP_FAILED && errno == ENOMEM);
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGBUS, &action, 0) == 0 && sigaction(SIGSEGV, &action, 0) == 0);
    behind_the_end(MAP_SHARED);
    behind_the_end(MAP_PRIVATE);
    in_a_child();
    moved();
    zeros(MAP_SHARED);
    zeros(MAP_PRIVATE);
    reserved();
    wished();
    vast();
    limited();
    puts("pages are as on Linux");
    return 0;
}
