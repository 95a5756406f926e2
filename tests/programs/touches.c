// Threads that run a page of text for the first time at once, which comes when the first of them does: each
// finds it whole. The exit status is the line of the first check that fails; it passes on Linux, too.
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)

enum { PAGES = 2000, THREADS = 4, PAGE = 4096 };

// Functions that give 7, each on a page of its own.
__asm__(".text\n.balign 4096\nfunctions:\n.rept 2000\nmov $7, %eax\nret\n.balign 4096\n.endr\n");
extern const char functions[] __attribute__((visibility("hidden")));

static pthread_barrier_t barrier;

static void *runs_all(void *none) {
    uintptr_t sum = 0;
    for (int i = 0; i < PAGES; i++) {
        pthread_barrier_wait(&barrier);
        // Not one after the other: what comes with a page are those behind it.
        sum += ((int (*)(void))(functions + PAGE * (i * 617 % PAGES)))();
    }
    (void)none;
    return (void *)sum;
}

int main(void) {
    pthread_t threads[THREADS];
    void *sum;
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, runs_all, NULL) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], &sum) == 0);
        CHECK((uintptr_t)sum == 7 * PAGES);
    }
    puts("every page was there for all");
    return 0;
}
