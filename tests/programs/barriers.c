// Memory barriers in other threads, as membarrier(2) has them. The exit status is the line of the first
// check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, number) CHECK((call) == -1 && errno == (number))
#define ROUNDS 300

static int barrier(int command) { return syscall(SYS_membarrier, command, 0); }

static atomic_int is_over, claims, begun;
static volatile int fast, slow;

// Claims what there is with nothing but a compiler's barrier between a store and a load, and no system call.
static void *claim_fast(void *none) {
    atomic_fetch_add(&begun, 1);
    while (!is_over) {
        fast = 1;
        atomic_signal_fence(memory_order_seq_cst);
        if (!slow) {
            CHECK(atomic_fetch_add(&claims, 1) == 0);
            atomic_fetch_sub(&claims, 1);
        }
        fast = 0;
        for (volatile int i = 0; i < 50; i++) {}
    }
    return none;
}

static void *spin(void *none) {
    atomic_fetch_add(&begun, 1);
    while (!is_over) {}
    return none;
}

static void *rest(void *pipe) {
    char byte;
    atomic_fetch_add(&begun, 1);
    CHECK(read(*(int *)pipe, &byte, 1) == 0);
    return NULL;
}

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void errors(void) {
    int can = barrier(MEMBARRIER_CMD_QUERY);
    int wanted = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_GLOBAL_EXPEDITED;
    CHECK((can & wanted) == wanted);
    FAILS(barrier(1 << 30), EINVAL);
    FAILS(barrier(MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED), EINVAL);
    FAILS(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 2), EINVAL);
    FAILS(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), EPERM);
    // These need no registration of the caller.
    CHECK(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0 && barrier(MEMBARRIER_CMD_GLOBAL) == 0);
    CHECK(barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0);
    CHECK(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
}

static void busy_threads(void) {
    int ends[2];
    pthread_t threads[4];
    CHECK(pipe(ends) == 0);
    CHECK(pthread_create(&threads[0], NULL, claim_fast, NULL) == 0);
    CHECK(pthread_create(&threads[1], NULL, spin, NULL) == 0);
    CHECK(pthread_create(&threads[2], NULL, rest, &ends[0]) == 0);
    CHECK(pthread_create(&threads[3], NULL, rest, &ends[0]) == 0);
    while (begun < 4) sched_yield();
    for (int round = 0; round < ROUNDS; round++) {
        slow = 1;
        CHECK(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
        // Whoever claims from here on has seen `slow`; whoever claimed before is seen.
        while (fast) sched_yield();
        CHECK(atomic_fetch_add(&claims, 1) == 0);
        atomic_fetch_sub(&claims, 1);
        slow = 0;
    }
    is_over = 1;
    CHECK(close(ends[1]) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

static void other_processes(void) {
    atomic_int *seen = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED && barrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0);
    pid_t child = fork();
    if (child == 0) {
        // What the parent registered holds for its copy.
        CHECK(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
        *seen = 1;
        while (*seen != 2) {}
        _exit(0);
    }
    while (*seen != 1) sched_yield();
    for (int round = 0; round < 10; round++) {
        CHECK(barrier(MEMBARRIER_CMD_GLOBAL) == 0);
        CHECK(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0);
    }
    *seen = 2;
    wait_for(child);
}

int main(int argc, char **argv) {
    alarm(60);
    errors();
    if (argc > 1) return 0;
    busy_threads();
    other_processes();
    pid_t child = fork();
    if (child == 0) {
        // Another program has registered nothing.
        execl("/proc/self/exe", argv[0], "again", NULL);
        _exit(1);
    }
    wait_for(child);
    puts("barriers: private, global, by threads and processes");
    return 0;
}
