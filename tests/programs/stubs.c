// A program maps what it likes where the LibOS has its jumps, while other threads make system calls through
// them. The output is the same on the host, which has no such jumps. The exit status is the line of the first
// check that fails.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    perror("line " LINE(__LINE__)); _exit(__LINE__ & 0x7f); } } while (0)
#define LINE(number) LINE_(number)
#define LINE_(number) #number

#define ROUNDS 60
#define THREADS 3
#define PAGE 4096

static atomic_int is_over;
static atomic_long calls, signals;

static void on_signal(int signal) {
    (void)signal;
    signals++;
}

static void *call(void *unused) {
    (void)unused;
    pid_t pid = getpid();
    while (!is_over) {
        struct timespec now;
        CHECK(syscall(SYS_getpid) == pid);
        CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) == 0);
        CHECK(syscall(SYS_sched_yield) == 0);
        calls++;
    }
    return NULL;
}

// The `which`th run of addresses where the LibOS has jumps; where there are none, one that is free.
static char *stubs(int which, size_t *len) {
    char line[256];
    uintptr_t start, end;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps);
    char *found = NULL;
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "[libos stubs]") && which-- == 0) {
            CHECK(sscanf(line, "%lx-%lx", &start, &end) == 2);
            found = (char *)start, *len = end - start;
        }
    fclose(maps);
    if (!found) {
        *len = PAGE;
        found = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(found != MAP_FAILED && munmap(found, PAGE) == 0);
    }
    return found;
}

static void map_over(int round) {
    size_t len;
    char *at = stubs(0, &len);
    int kind = round % 2 ? MAP_SHARED : MAP_PRIVATE;
    int how = round % 4 < 2 ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    if (round % 5 == 4) {
        char *data = mmap(NULL, len, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
        CHECK(data != MAP_FAILED);
        memset(data, round, len);
        CHECK(data == at || mremap(data, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
    } else {
        CHECK(mmap(at, len, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | how, -1, 0) == at);
        for (size_t i = 0; i < len; i++)
            CHECK(at[i] == 0);
        memset(at, round, len);
    }
    long before = calls;
    while (calls < before + 20)
        usleep(100);
    for (size_t i = 0; i < len; i++)
        CHECK(at[i] == (char)round);
    CHECK(munmap(at, len) == 0);
}

static void run(const char *what) {
    pthread_t threads[THREADS];
    is_over = 0;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, call, NULL) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        map_over(round);
        pthread_kill(threads[round % THREADS], SIGUSR1);
    }
    is_over = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    // Signals of one kind that come at once are one.
    CHECK(signals > 0);
    printf("%s: every call was answered\n", what);
    fflush(stdout);
}

int main(void) {
    signal(SIGUSR1, on_signal);
    run("alone");
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run("a child");
        _exit(0);
    }
    // The parent's jumps are where they were.
    for (int i = 0; i < 50; i++) {
        usleep(1000);
        CHECK(syscall(SYS_getppid) > 0 || getpid() == 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    run("its parent");
    return 0;
}
