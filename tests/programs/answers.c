// Calls whose answers the LibOS knows ahead: they are those of the moment all the same, and signals come
// between them. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)

extern char **environ;

// A system call that is surely patched: there is room for a jump before it.
long patched_call(long number, long first, long second, long third);
asm("patched_call:\n\tmov %rdi, %rax\n\tmov %rsi, %rdi\n\tmov %rdx, %rsi\n\tmov %rcx, %rdx\n"
    "\t.byte 0x0f, 0x1f, 0x44, 0, 0\n\tsyscall\n\tret");

static long with_errno(long result) {
    if ((unsigned long)result < -4095UL) return result;
    errno = -result;
    return -1;
}

#define FOUR(number, first, second, third, ...) \
    with_errno(patched_call(number, (long)(first), (long)(second), (long)(third)))
#define call(...) FOUR(__VA_ARGS__, 0, 0, 0, 0)

// Often enough that the answer is known ahead, whatever came before.
static long ask(long number) {
    long answer = call(number);
    for (int i = 0; i < 100; i++) CHECK(call(number) == answer);
    return answer;
}

static void wait_for(pid_t pid) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

// Asks until the answer is another one.
static void until(long number, long other) {
    while (call(number) != other) {}
}

static void orphans_have_another_parent(void) {
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pid_t own = getpid();
        if (fork() == 0) {
            CHECK(ask(SYS_getppid) == own);
            CHECK(write(ends[1], "", 1) == 1);
            // Nothing but these calls, until the parent has gone.
            until(SYS_getppid, 1);
            CHECK(ask(SYS_getppid) == 1);
            CHECK(write(ends[1], "", 1) == 1);
            _exit(0);
        }
        CHECK(read(ends[0], &byte, 1) == 1);
        _exit(0);
    }
    wait_for(child);
    CHECK(read(ends[0], &byte, 1) == 1);
    CHECK(wait(0) > 0);
}

static void a_parent_sets_the_group(void) {
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(ask(SYS_getpgrp) != getpid());
        CHECK(write(ends[1], "", 1) == 1);
        until(SYS_getpgrp, getpid());
        CHECK(setsid() == -1 && errno == EPERM);
        _exit(0);
    }
    CHECK(read(ends[0], &byte, 1) == 1);
    CHECK(setpgid(child, child) == 0);
    wait_for(child);
    if ((child = fork()) == 0) {
        ask(SYS_getpgrp);
        CHECK(setsid() == getpid() && ask(SYS_getpgrp) == getpid());
        _exit(0);
    }
    wait_for(child);
}

static void forks_and_programs_have_ids_of_their_own(void) {
    long pid = ask(SYS_getpid);
    for (int i = 0; i < 20; i++) {
        pid_t child = i % 2 ? fork() : vfork();
        CHECK(child >= 0);
        if (child == 0) {
            CHECK(call(SYS_getpid) != pid && call(SYS_getppid) == pid);
            CHECK(ask(SYS_gettid) == ask(SYS_getpid));
            _exit(0);
        }
        CHECK(call(SYS_getpid) == pid && ask(SYS_getpid) == pid);
        wait_for(child);
    }
}

static void *become_the_only_thread(void *argument) {
    (void)argument;
    char expected[16];
    CHECK(ask(SYS_gettid) != ask(SYS_getpid));
    snprintf(expected, sizeof expected, "%ld", ask(SYS_getpid));
    execve("/bin/program", (char *[]){"program", expected, 0}, environ);
    _exit(1);
}

static void a_thread_that_starts_a_program_is_the_first(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pthread_t thread;
        ask(SYS_gettid);
        CHECK(pthread_create(&thread, 0, become_the_only_thread, 0) == 0);
        for (;;) pause();
    }
    wait_for(child);
}

static void *be_another_user(void *argument) {
    // The call alone, which changes this thread and no other.
    CHECK(ask(SYS_getuid) == 0 && ask(SYS_getegid) == 0);
    CHECK(call(SYS_setresgid, -1, 7, -1) == 0 && ask(SYS_getegid) == 7 && ask(SYS_getgid) == 0);
    CHECK(call(SYS_setresuid, 8, 8, 8) == 0);
    CHECK(ask(SYS_getuid) == 8 && ask(SYS_geteuid) == 8);
    return argument;
}

static void users_are_those_of_the_thread(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pthread_t thread;
        CHECK(ask(SYS_geteuid) == 0);
        CHECK(pthread_create(&thread, 0, be_another_user, 0) == 0 && pthread_join(thread, 0) == 0);
        CHECK(ask(SYS_getuid) == 0 && ask(SYS_geteuid) == 0 && ask(SYS_getegid) == 0);
        CHECK(call(SYS_setreuid, -1, 9) == 0);
        CHECK(ask(SYS_getuid) == 0 && ask(SYS_geteuid) == 9);
        _exit(0);
    }
    wait_for(child);
}

static volatile int seen;
static pthread_t caller;

static void see(int signal) { (void)signal; seen++; }

static void *send_signals(void *argument) {
    for (int sent = 0; sent < 500; sent++) {
        int before = seen;
        CHECK(pthread_kill(caller, SIGUSR1) == 0);
        while (seen == before) sched_yield();
    }
    return argument;
}

static void signals_come_between(void) {
    pthread_t thread;
    signal(SIGUSR1, see);
    caller = pthread_self();
    seen = 0;
    CHECK(pthread_create(&thread, 0, send_signals, 0) == 0);
    pid_t pid = getpid();
    while (seen < 500) CHECK(call(SYS_getpid) == pid && call(SYS_getppid) == 0);
    CHECK(pthread_join(thread, 0) == 0);
    // And one that ends it.
    pid_t child = fork();
    if (child == 0) for (;;) call(SYS_getppid);
    CHECK(kill(child, SIGKILL) == 0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
}

// 1 if the calls of a round gave `pid`, and changed no register that they may not change.
int calls_keep_registers(long pid);
asm(".globl calls_keep_registers\ncalls_keep_registers:\n"
    "\tpush %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n"
    "\tmov %rdi, %rbx\n\tmov $1000, %ebp\n\tmov $1, %edx\n\tmov $2, %esi\n\tmov $3, %r8d\n"
    "\tmov $4, %r9d\n\tmov $5, %r10d\n\tmov $6, %r12d\n\tmov $7, %r13d\n\tmov $8, %r14d\n"
    "\tmov $9, %r15d\n\tmovq %rdi, %xmm7\n"
    "1:\tmov $39, %eax\n\t.byte 0x0f, 0x1f, 0x44, 0, 0\n\tsyscall\n"
    "\tcmp %rbx, %rax\n\tjne 2f\n\tcmp $1, %rdx\n\tjne 2f\n\tcmp $2, %rsi\n\tjne 2f\n"
    "\tcmp $3, %r8\n\tjne 2f\n\tcmp $4, %r9\n\tjne 2f\n\tcmp $5, %r10\n\tjne 2f\n"
    "\tcmp $6, %r12\n\tjne 2f\n\tcmp $7, %r13\n\tjne 2f\n\tcmp $8, %r14\n\tjne 2f\n"
    "\tcmp $9, %r15\n\tjne 2f\n\tcmp %rbx, %rdi\n\tjne 2f\n\tmovq %xmm7, %rax\n"
    "\tcmp %rbx, %rax\n\tjne 2f\n\tdec %ebp\n\tjnz 1b\n\tmov $1, %eax\n\tjmp 3f\n"
    "2:\txor %eax, %eax\n"
    "3:\tpop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\tret");

static void clobbers(int number) {
    (void)number;
    seen++;
    asm volatile("pxor %%xmm7, %%xmm7" ::: "xmm7");
    errno = (int)call(SYS_gettid);
}

// A thread that is interrupted in the few instructions of an answer goes on as if it had not been.
static void interruptions_are_not_seen(void) {
    pthread_t thread;
    signal(SIGUSR1, clobbers);
    caller = pthread_self();
    seen = 0;
    CHECK(pthread_create(&thread, 0, send_signals, 0) == 0);
    while (seen < 500) CHECK(calls_keep_registers(getpid()));
    CHECK(pthread_join(thread, 0) == 0);
}

static long long nanoseconds(struct timespec time) { return time.tv_sec * 1000000000LL + time.tv_nsec; }

static long long ask_clock(long clock) {
    struct timespec time;
    CHECK(call(SYS_clock_gettime, clock, &time) == 0);
    CHECK(time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
    return nanoseconds(time);
}

static _Atomic long long latest;
static volatile int is_over;

static void *look_at_time(void *argument) {
    while (!is_over) {
        // What another thread has seen is no later than what this one sees from now on.
        long long before = latest, now = ask_clock(CLOCK_MONOTONIC);
        CHECK(now >= before);
        while (before < now && !atomic_compare_exchange_weak(&latest, &before, now)) {}
    }
    return argument;
}

static void time_is_that_of_the_moment(void) {
    // What was waited for has passed on every clock, whoever tells the time.
    for (int i = 0; i < 30; i++) {
        long long wall = ask_clock(CLOCK_REALTIME), since_boot = ask_clock(CLOCK_MONOTONIC);
        struct timeval other;
        CHECK(gettimeofday(&other, 0) == 0);
        long long between = (other.tv_sec * 1000000LL + other.tv_usec) * 1000;
        CHECK(between >= wall - 1000 && ask_clock(CLOCK_REALTIME) >= between);
        CHECK(ask_clock(CLOCK_BOOTTIME) >= since_boot);
        usleep(5000);
        CHECK(ask_clock(CLOCK_MONOTONIC) >= since_boot + 5000000);
        CHECK(ask_clock(CLOCK_REALTIME) >= wall + 4900000);
        CHECK(ask_clock(CLOCK_MONOTONIC) < since_boot + 60000000000LL);
    }
    // A register holds more than a number of a clock, and there are not all clocks.
    ask_clock(CLOCK_MONOTONIC | 0x123456700000000);
    struct timespec time;
    CHECK(call(SYS_clock_gettime, 10, &time) == -1 && errno == EINVAL);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], 0, look_at_time, 0) == 0);
    usleep(50000);
    is_over = 1;
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], 0) == 0);
}

static void time_goes_where_the_program_may_write(void) {
    char *pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    ask_clock(CLOCK_MONOTONIC);
    // Not touched yet, and across two pages, at an odd address.
    CHECK(call(SYS_clock_gettime, CLOCK_MONOTONIC, pages + 4096 - 7) == 0);
    struct timespec time;
    memcpy(&time, pages + 4096 - 7, sizeof time);
    CHECK(nanoseconds(time) <= ask_clock(CLOCK_MONOTONIC));
    CHECK(mprotect(pages + 4096, 4096, PROT_READ) == 0);
    long wrong[] = {0, 8, -16, 1L << 62, (long)(pages + 4096 - 8), (long)(pages + 4096)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (int clock = 0; clock < 2; clock++)
            CHECK(call(SYS_clock_gettime, clock, wrong[i]) == -1 && errno == EFAULT);
    CHECK(munmap(pages, 8192) == 0);
    CHECK(call(SYS_clock_gettime, CLOCK_MONOTONIC, pages) == -1 && errno == EFAULT);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        CHECK(ask(SYS_gettid) == atol(argv[1]) && ask(SYS_getpid) == atol(argv[1]));
        return 0;
    }
    orphans_have_another_parent();
    a_parent_sets_the_group();
    forks_and_programs_have_ids_of_their_own();
    a_thread_that_starts_a_program_is_the_first();
    users_are_those_of_the_thread();
    signals_come_between();
    interruptions_are_not_seen();
    time_is_that_of_the_moment();
    time_goes_where_the_program_may_write();
    puts("answers of the moment");
    return 0;
}
