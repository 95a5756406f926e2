// Times of system calls in one process. Runs on the host and in an enclave.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Any file of a megabyte that is there on both sides.
static const char *const FILE_NAME = "/usr/lib/x86_64-linux-gnu/libc.so.6";
static const char *const DIRECTORY_NAME = "/usr/bin";
// Many short rounds, so that one of them meets no other program of the machine.
enum { FILE_SIZE = 1 << 20, ROUNDS = 50 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static void must(int good, const char *what) {
    if (!good) { perror(what); exit(1); }
}

static void measure(const char *name, void (*action)(size_t), size_t size, int count) {
    double best = 1e18;
    action(size);
    for (int round = 0; round < ROUNDS; round++) {
        double before = now();
        for (int i = 0; i < count / 10; i++) action(size);
        double each = (now() - before) / (count / 10);
        if (each < best) best = each;
    }
    printf("%s, ns: %.1f\n", name, best);
    fflush(stdout);
}

static void parent(size_t size) { (void)size; syscall(SYS_getppid); }

static void look_at_clock(size_t size) {
    (void)size;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
}

static void wait_for_nothing(size_t size) {
    (void)size;
    int word = 1;
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, 0);
}

static void wake_nobody(size_t size) {
    (void)size;
    int word = 1;
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
}

static void look_at_file(size_t size) {
    (void)size;
    struct stat status;
    must(stat(FILE_NAME, &status) == 0, FILE_NAME);
}

static void open_file(size_t size) {
    (void)size;
    int fd = open(FILE_NAME, O_RDONLY);
    must(fd >= 0 && close(fd) == 0, FILE_NAME);
}

static void list_directory(size_t size) {
    static char entries[1 << 16];
    int fd = open(DIRECTORY_NAME, O_RDONLY | O_DIRECTORY);
    must(fd >= 0, DIRECTORY_NAME);
    while (syscall(SYS_getdents64, fd, entries, size) > 0) {}
    close(fd);
}

static int file;
static char bytes[64 * 1024];

static void read_file(size_t size) {
    static off_t at;
    if (at + size > FILE_SIZE) at = 0;
    must(pread(file, bytes, size, at) == (ssize_t)size, "pread");
    at += size;
}

static void map(size_t size) {
    char *at = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(at != MAP_FAILED, "mmap");
    for (size_t i = 0; i < size; i += 4096) at[i] = 1;
    must(munmap(at, size) == 0, "munmap");
}

static volatile int turn, is_over;

static void await(int wanted) {
    while (turn != wanted)
        must(syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !wanted, 0) == 0 || errno == EAGAIN,
             "futex");
}

static void give(int to) {
    turn = to;
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1);
}

static void *take_turns(void *argument) {
    (void)argument;
    for (;;) {
        await(1);
        if (is_over) return 0;
        give(0);
    }
}

static void change_threads(size_t size) {
    (void)size;
    give(1);
    await(0);
}

static void *yield(void *argument) {
    (void)argument;
    while (!is_over) sched_yield();
    return 0;
}

static void yield_once(size_t size) { (void)size; sched_yield(); }

static void beside(void *(*other)(void *), const char *name, void (*action)(size_t), int count) {
    pthread_t thread;
    is_over = 0;
    must(pthread_create(&thread, 0, other, 0) == 0, "pthread_create");
    measure(name, action, 0, count);
    is_over = 1;
    give(1);
    pthread_join(thread, 0);
    turn = 0;
}

int main(void) {
    measure("getppid", parent, 0, 100000);
    measure("clock_gettime", look_at_clock, 0, 100000);
    measure("futex that has nothing to wait for", wait_for_nothing, 0, 50000);
    measure("futex that wakes nobody", wake_nobody, 0, 50000);
    measure("stat", look_at_file, 0, 20000);
    measure("open and close", open_file, 0, 20000);
    measure("open, list /usr/bin and close", list_directory, 32768, 200);
    must((file = open(FILE_NAME, O_RDONLY)) >= 0, FILE_NAME);
    measure("read of a cached file, 4 KiB", read_file, 4096, 20000);
    measure("read of a cached file, 64 KiB", read_file, 64 * 1024, 2000);
    must((file = open("/tmp/calls", O_RDWR | O_CREAT | O_TRUNC, 0600)) >= 0, "/tmp/calls");
    for (int i = 0; i < FILE_SIZE; i += sizeof bytes)
        must(write(file, bytes, sizeof bytes) == sizeof bytes, "write");
    measure("read of a file in /tmp, 4 KiB", read_file, 4096, 20000);
    measure("read of a file in /tmp, 64 KiB", read_file, 64 * 1024, 2000);
    unlink("/tmp/calls");
    measure("mmap, touch and munmap of 4 KiB", map, 4096, 5000);
    measure("mmap, touch and munmap of 1 MiB", map, 1 << 20, 200);
    beside(take_turns, "futex, to another thread and back", change_threads, 5000);
    beside(yield, "sched_yield beside another thread", yield_once, 20000);
    return 0;
}
