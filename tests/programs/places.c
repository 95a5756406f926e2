// Shared memory at several addresses, and what each may do with it. The exit status is the line of the
// first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, number) CHECK((call) == -1 && errno == (number))

static sigjmp_buf back;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    siglongjmp(back, info->si_code);
}

// What a store or load gives: 0, or the code of the signal.
static int store(volatile char *at, char value) {
    int code = sigsetjmp(back, 1);
    if (code == 0) *at = value;
    return code;
}

static int load(volatile char *at) {
    int code = sigsetjmp(back, 1);
    if (code == 0) (void)*at;
    return code;
}

static char *map(int fd, size_t len, int prot, off_t offset) {
    char *at = mmap(0, len, prot, MAP_SHARED, fd, offset);
    CHECK(at != MAP_FAILED);
    return at;
}

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void two_places(int fd) {
    char *one = map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, 0);
    char *other = map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, 0);
    CHECK(one != other);
    for (int round = 0; round < 20; round++) {
        one[PAGE + round] = round + 1;
        CHECK(other[PAGE + round] == round + 1);
        other[2 * PAGE] = round;
        CHECK(one[2 * PAGE] == round);
    }
    // A file that is read and written by calls is the same.
    char byte;
    CHECK(pwrite(fd, "w", 1, PAGE) == 1 && one[PAGE] == 'w' && other[PAGE] == 'w');
    other[PAGE] = 'm';
    CHECK(pread(fd, &byte, 1, PAGE) == 1 && byte == 'm');

    // A part of it from another offset on, and one that overlaps both.
    char *part = map(fd, PAGE, PROT_READ | PROT_WRITE, 2 * PAGE);
    part[1] = 'p';
    CHECK(one[2 * PAGE + 1] == 'p' && other[2 * PAGE + 1] == 'p');
    CHECK(munmap(one, 3 * PAGE) == 0 && load(one) == SEGV_MAPERR);
    CHECK(other[PAGE] == 'm' && part[0] == 19);

    // Where the program wants it, and where it is moved.
    char *room = mmap(0, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(room != MAP_FAILED);
    char *fixed = mmap(room, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    CHECK(fixed == room && fixed[PAGE] == 'm');
    fixed[PAGE + 1] = 'f';
    CHECK(other[PAGE + 1] == 'f' && load(room + 3 * PAGE) != 0);
    char *moved = mremap(fixed, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 4 * PAGE);
    CHECK(moved == room + 4 * PAGE && moved[PAGE + 1] == 'f' && load(fixed) == SEGV_MAPERR);
    char *twin = mremap(moved, 0, 3 * PAGE, MREMAP_MAYMOVE);
    CHECK(twin != MAP_FAILED && twin != moved && twin[PAGE + 1] == 'f');
    twin[0] = 't';
    CHECK(moved[0] == 't' && other[0] == 't');
    CHECK(munmap(room, 8 * PAGE) == 0 && munmap(part, PAGE) == 0 && munmap(other, 3 * PAGE) == 0);
    CHECK(twin[0] == 't' && munmap(twin, 3 * PAGE) == 0);
    CHECK(pread(fd, &byte, 1, 0) == 1 && byte == 't');
}

// Memory without a file is only where it is mapped.
static void without_a_file(void) {
    char *one = mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(one != MAP_FAILED);
    strcpy(one, "first");
    char *other = mremap(one, 0, 2 * PAGE, MREMAP_MAYMOVE);
    CHECK(other != MAP_FAILED && other != one && strcmp(other, "first") == 0);
    strcpy(other, "second");
    strcpy(other + PAGE, "third");
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(strcmp(one, "second") == 0);
        strcpy(other, "fourth");
        _exit(0);
    }
    wait_for(child);
    CHECK(munmap(other, 2 * PAGE) == 0);
    CHECK(strcmp(one, "fourth") == 0 && strcmp(one + PAGE, "third") == 0);
    CHECK(munmap(one, 2 * PAGE) == 0);
    char *private = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(private != MAP_FAILED && mremap(private, 0, PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
    CHECK(errno == EINVAL && munmap(private, PAGE) == 0);
}

// A ring that is mapped twice in a row: what goes over its end is at its start.
static void ring(int fd) {
    int ends[2];
    char *at = mmap(0, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED && pipe(ends) == 0);
    for (int half = 0; half < 2; half++)
        CHECK(mmap(at + half * 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0)
              == at + half * 2 * PAGE);
    memset(at, 0, 2 * PAGE);
    strcpy(at + 2 * PAGE - 4, "over the end");
    CHECK(strcmp(at, " the end") == 0);
    // All of the ring from its middle on: its first page is there twice.
    for (int index = 0; index < 2 * PAGE; index++) at[index] = index % 251;
    CHECK(write(ends[1], at + 100, 2 * PAGE) == 2 * PAGE);
    memset(at, 0, 2 * PAGE);
    CHECK(read(ends[0], at + 2 * PAGE - 50, 2 * PAGE) == 2 * PAGE);
    for (int index = 0; index < 2 * PAGE; index++)
        CHECK((unsigned char)at[2 * PAGE - 50 + index] == (100 + index) % (2 * PAGE) % 251);
    CHECK(munmap(at, 4 * PAGE) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void rights(int fd) {
    char *one = map(fd, 2 * PAGE, PROT_READ, 0);
    CHECK(load(one) == 0 && store(one, 'x') == SEGV_ACCERR);
    char *other = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, 0);
    CHECK(store(other, 'o') == 0 && *one == 'o' && store(one, 'x') == SEGV_ACCERR);
    CHECK(mprotect(other, 2 * PAGE, PROT_READ) == 0 && store(other, 'x') == SEGV_ACCERR);
    CHECK(mprotect(one, PAGE, PROT_READ | PROT_WRITE) == 0 && store(one, '1') == 0);
    CHECK(store(one + PAGE, 'x') == SEGV_ACCERR && *other == '1');
    CHECK(mprotect(one, PAGE, PROT_NONE) == 0 && load(one) == SEGV_ACCERR && *other == '1');
    CHECK(munmap(one, 2 * PAGE) == 0 && munmap(other, 2 * PAGE) == 0);

    char *none = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(none != MAP_FAILED && store(none, 'a') == 0);
    CHECK(mprotect(none, PAGE, PROT_READ) == 0 && store(none, 'x') == SEGV_ACCERR && *none == 'a');
    CHECK(munmap(none, PAGE) == 0 && load(none) == SEGV_MAPERR);
}

static long attached(int id) {
    struct shmid_ds about;
    CHECK(shmctl(id, IPC_STAT, &about) == 0);
    return about.shm_nattch;
}

static void segments(void) {
    int id = shmget(IPC_PRIVATE, 2 * PAGE, 0600 | IPC_CREAT);
    CHECK(id >= 0 && attached(id) == 0);
    char *one = shmat(id, 0, 0);
    char *other = shmat(id, 0, 0);
    CHECK(one != (void *)-1 && other != (void *)-1 && one != other && attached(id) == 2);
    strcpy(one, "segment");
    CHECK(strcmp(other, "segment") == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(attached(id) == 4 && shmdt(one) == 0 && attached(id) == 3);
        strcpy(other, "child");
        _exit(0);
    }
    wait_for(child);
    CHECK(attached(id) == 2 && strcmp(one, "child") == 0);
    CHECK(shmdt(other) == 0 && load(other) == SEGV_MAPERR && attached(id) == 1);
    char *chosen = mmap(0, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(chosen != MAP_FAILED);
    FAILS((long)shmat(id, chosen, 0), EINVAL);
    CHECK(shmat(id, chosen + 5, SHM_RND | SHM_REMAP | SHM_RDONLY) == chosen);
    CHECK(strcmp(chosen, "child") == 0 && store(chosen, 'x') == SEGV_ACCERR);
    CHECK(shmdt(one) == 0 && shmdt(chosen) == 0 && attached(id) == 0);
    FAILS(shmdt(one), EINVAL);
    CHECK((one = shmat(id, 0, SHM_RDONLY)) != (void *)-1 && strcmp(one, "child") == 0);
    CHECK(store(one, 'x') == SEGV_ACCERR && shmdt(one) == 0 && shmctl(id, IPC_RMID, 0) == 0);
}

static char *ours, *theirs;

static void *answer(void *unused) {
    (void)unused;
    unsigned *word = (unsigned *)theirs;
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    while (syscall(SYS_futex, word, FUTEX_WAKE, 1) != 1) usleep(1000);
    return 0;
}

static void woken_elsewhere(int fd) {
    ours = map(fd, PAGE, PROT_READ | PROT_WRITE, 0);
    theirs = map(fd, PAGE, PROT_READ | PROT_WRITE, 0);
    unsigned *word = (unsigned *)ours;
    *word = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, 0, answer, 0) == 0);
    do syscall(SYS_futex, word, FUTEX_WAIT, *word, 0); while (*(volatile unsigned *)word == 0);
    // It woke us, or found nobody because the word had changed before.
    syscall(SYS_futex, word, FUTEX_WAIT, 1, &(struct timespec){.tv_nsec = 1000000000 - 1});
    CHECK(pthread_join(thread, 0) == 0);
    CHECK(munmap(ours, PAGE) == 0 && munmap(theirs, PAGE) == 0);
}

static void *count(void *at) {
    for (int round = 0; round < 2000; round++) __atomic_add_fetch((int *)at, 1, __ATOMIC_SEQ_CST);
    return 0;
}

// Two threads add to one number at two addresses.
static void from_two_threads(int fd) {
    ours = map(fd, PAGE, PROT_READ | PROT_WRITE, 0);
    theirs = map(fd, PAGE, PROT_READ | PROT_WRITE, 0);
    *(int *)ours = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, 0, count, ours) == 0);
    count(theirs);
    CHECK(pthread_join(thread, 0) == 0);
    CHECK(*(int *)ours == 4000 && *(int *)theirs == 4000);
    CHECK(munmap(ours, PAGE) == 0 && munmap(theirs, PAGE) == 0);
}

// Code is written at one address and runs at the other, system calls included.
static void code(int fd) {
    char *run = map(fd, 2 * PAGE, PROT_READ | PROT_EXEC, 0);
    char *write = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, 0);
    for (int round = 1; round <= 10; round++) {
        char *at = write + PAGE - 3 * (round % 2);
        memcpy(at, "\xb8\0\0\0\0\xc3", 6);
        memcpy(at + 1, &round, 4);
        CHECK(((int (*)(void))(run + (at - write)))() == round);
    }
    memcpy(write, "\xb8\x27\0\0\0\x0f\x05\xc3", 8);
    CHECK(((int (*)(void))run)() == getpid());
    CHECK(memcmp(write, "\xb8\x27\0\0\0\x0f\x05\xc3", 8) == 0);
    CHECK(store(run, 1) == SEGV_ACCERR);
    CHECK(munmap(run, 2 * PAGE) == 0 && munmap(write, 2 * PAGE) == 0);
}

// One instruction that needs a page at two places at once. Linux does it; here it is told that it cannot, or
// done, but it ends, and one that needs it at one of them after the other gets on.
static void both_at_once(int fd) {
    char *a = map(fd, PAGE, PROT_READ | PROT_WRITE, 0), *b = map(fd, PAGE, PROT_READ | PROT_WRITE, 0);
    const char *from = a;
    char *to = b + 64;
    size_t left = 8;
    strcpy(a, "content");
    int code = sigsetjmp(back, 1);
    if (code == 0) asm volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(left) : : "memory");
    CHECK(code == 0 || code == BUS_ADRERR);
    for (int i = 0; i < 1000; i++) b[64 + i % 8] = a[i % 8];
    CHECK(strcmp(a + 64, "content") == 0);
    CHECK(munmap(a, PAGE) == 0 && munmap(b, PAGE) == 0);
}

int main(int argc, char **argv) {
    (void)argv;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, 0) == 0 && sigaction(SIGBUS, &action, 0) == 0);
    int fd = memfd_create("places", 0);
    CHECK(fd >= 0 && ftruncate(fd, 3 * PAGE) == 0);
    two_places(fd);
    without_a_file();
    ring(fd);
    rights(fd);
    code(fd);
    segments();
    both_at_once(fd);
    woken_elsewhere(fd);
    if (argc == 1) from_two_threads(fd);
    puts("a page is wherever it is used");
    return 0;
}
