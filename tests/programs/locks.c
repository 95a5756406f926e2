// Mutexes that know their owner: priority inheriting ones and robust ones, between threads and between
// processes. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)

#define THREADS 4
#define ROUNDS 2000

static pthread_mutex_t *mutex;
static int counter;
static atomic_int interruptions;

static void make(int shared, int robust) {
    pthread_mutexattr_t attributes;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK) == 0);
    if (shared) CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    if (robust) CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    CHECK(pthread_mutex_init(mutex, &attributes) == 0);
}

static void *count(void *unused) {
    for (int i = 0; i < ROUNDS; i++) {
        CHECK(pthread_mutex_lock(mutex) == 0);
        int seen = counter;
        if (i % 64 == 0) sched_yield();
        counter = seen + 1;
        CHECK(pthread_mutex_unlock(mutex) == 0);
    }
    return unused;
}

static void excludes(void) {
    pthread_t threads[THREADS];
    make(0, 0);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], 0, count, 0) == 0);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], 0) == 0);
    CHECK(counter == THREADS * ROUNDS);
    CHECK(pthread_mutex_lock(mutex) == 0);
    CHECK(pthread_mutex_lock(mutex) == EDEADLK);
    CHECK(pthread_mutex_unlock(mutex) == 0);
    CHECK(pthread_mutex_unlock(mutex) == EPERM);
}

static void *hold(void *unused) {
    CHECK(pthread_mutex_trylock(mutex) == EBUSY);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 5000000;
    if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
    CHECK(pthread_mutex_timedlock(mutex, &soon) == ETIMEDOUT);
    CHECK(pthread_mutex_lock(mutex) == 0);
    CHECK(pthread_mutex_unlock(mutex) == 0);
    return unused;
}

static void note(int number) {
    (void)number;
    interruptions++;
}

// A wait for a mutex goes on after a signal, whatever the handler was made with.
static void goes_on_after_signals(void) {
    struct sigaction action = {.sa_handler = note};
    CHECK(sigaction(SIGUSR1, &action, 0) == 0);
    pthread_t waiter;
    CHECK(pthread_mutex_lock(mutex) == 0);
    CHECK(pthread_create(&waiter, 0, hold, 0) == 0);
    struct timespec moment = {0, 20000000};
    nanosleep(&moment, 0);
    for (int i = 0; i < 10; i++) {
        CHECK(pthread_kill(waiter, SIGUSR1) == 0);
        while (interruptions <= i) sched_yield();
    }
    CHECK(pthread_mutex_unlock(mutex) == 0);
    CHECK(pthread_join(waiter, 0) == 0);
}

static void *take_and_end(void *unused) {
    CHECK(pthread_mutex_lock(mutex) == 0);
    struct timespec moment = {0, 20000000};
    nanosleep(&moment, 0);
    return unused;
}

// Whoever gets a mutex of an owner that ended is told; in line or late, in this process or another.
static void survives_owners(void) {
    for (int round = 0; round < 8; round++) {
        make(1, 1);
        pthread_t thread;
        pid_t child = 0;
        if (round & 1) {
            CHECK((child = fork()) >= 0);
            if (child == 0) {
                take_and_end(0);
                _exit(0);
            }
        } else {
            CHECK(pthread_create(&thread, 0, take_and_end, 0) == 0);
        }
        if (round & 2) {
            // Late.
            if (child) CHECK(waitpid(child, 0, 0) == child);
            else CHECK(pthread_join(thread, 0) == 0);
        } else {
            int tried;
            while ((tried = pthread_mutex_trylock(mutex)) == 0) {
                CHECK(pthread_mutex_unlock(mutex) == 0);
                sched_yield();
            }
            CHECK(tried == EBUSY);
        }
        int got = pthread_mutex_lock(mutex);
        CHECK(got == EOWNERDEAD);
        CHECK(pthread_mutex_consistent(mutex) == 0);
        CHECK(pthread_mutex_unlock(mutex) == 0);
        CHECK(pthread_mutex_lock(mutex) == 0);
        CHECK(pthread_mutex_unlock(mutex) == 0);
        if (!(round & 2)) {
            if (child) CHECK(waitpid(child, 0, 0) == child);
            else CHECK(pthread_join(thread, 0) == 0);
        }
    }
}

int main(void) {
    mutex = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(mutex != MAP_FAILED);
    excludes();
    goes_on_after_signals();
    survives_owners();
    puts("locks are handed on");
}
