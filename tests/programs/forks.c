// fork: two processes that must see different bytes at the same addresses. The exit status is the
// line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)

static int word = 1;
static const char *self = "/bin/program";

static int wait_for(pid_t pid) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static void memory_is_private(void) {
    char *heap = malloc(3 << 20);
    memset(heap, 1, 3 << 20);
    int local = 5;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(word == 1 && local == 5 && heap[2 << 20] == 1);
        word = 2; local = 6;
        memset(heap, 2, 3 << 20);
        char *more = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(more, 3, 1 << 20);
        _exit(word + local);
    }
    int status = wait_for(pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 8);
    CHECK(word == 1 && local == 5 && heap[0] == 1 && heap[(3 << 20) - 1] == 1);
    free(heap);
}

static long sum_of(const char *bytes, size_t size) {
    long sum = 0;
    for (size_t at = 0; at < size; at++) sum += bytes[at];
    return sum;
}

// Pages of which only some were ever written, on both sides and by turns.
static void empty_pages(void) {
    enum { PAGE = 4096, COUNT = 64 };
    char *pages = mmap(0, COUNT * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    for (int at = 0; at < COUNT; at += 3) pages[at * PAGE + PAGE - 1] = 1;
    long before = sum_of(pages, COUNT * PAGE);
    int there[2], back[2];
    CHECK(pipe(there) == 0 && pipe(back) == 0);
    char byte = 0;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (int round = 0; round < 20; round++) {
            CHECK(read(there[0], &byte, 1) == 1);
            CHECK(sum_of(pages, COUNT * PAGE) == before + 2 * round);
            // One that was empty at the fork, and one that becomes empty.
            pages[(3 * round + 1) * PAGE + round] = 2;
            if (round % 3 == 0) {
                memset(pages + round * PAGE, 0, PAGE);
                before--;
            }
            CHECK(write(back[1], &byte, 1) == 1);
        }
        _exit(0);
    }
    for (int round = 0; round < 20; round++) {
        CHECK(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1);
        CHECK(sum_of(pages, COUNT * PAGE) == before + round);
        pages[(3 * round + 2) * PAGE + 7] = 1;
    }
    CHECK(wait_for(pid) == 0);
    munmap(pages, COUNT * PAGE);
}

// Whose child takes rights from itself has its own.
static void rights(void) {
    enum { PAGE = 4096 };
    static const int FIRST[] = {PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC};
    for (int i = 0; i < 3; i++) {
        char *page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(page != MAP_FAILED);
        *page = 7;
        CHECK(mprotect(page, PAGE, FIRST[i]) == 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            CHECK(mprotect(page, PAGE, PROT_NONE) == 0);
            int pair[2];
            CHECK(pipe(pair) == 0 && write(pair[1], page, 1) < 0 && errno == EFAULT);
            CHECK(mprotect(page, PAGE, PROT_READ) == 0 && *page == 7);
            CHECK(mprotect(page, PAGE, PROT_NONE) == 0);
            _exit(0);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHECK(*page == 7 && munmap(page, PAGE) == 0);
    }
}

// A process reaches what the other one, which waits, has not written yet.
static char unwritten[3 * 4096];

static void reach_across(void) {
    pid_t parent = getpid();
    CHECK(*(volatile char *)&unwritten[4096] == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char *page = unwritten + 4096;
        char bytes[16], gift[16] = "for my parent";
        struct iovec mine = {bytes, sizeof bytes}, theirs = {page, sizeof bytes};
        memset(page, 1, 4096);
        CHECK(process_vm_readv(parent, &mine, 1, &theirs, 1, 0) == sizeof bytes);
        for (int i = 0; i < 16; i++) CHECK(bytes[i] == 0);
        mine.iov_base = gift;
        CHECK(process_vm_writev(parent, &mine, 1, &theirs, 1, 0) == sizeof gift);
        mine.iov_base = bytes;
        CHECK(process_vm_readv(parent, &mine, 1, &theirs, 1, 0) == sizeof bytes);
        CHECK(strcmp(bytes, gift) == 0 && page[0] == 1);
        // What nobody has touched yet, of its own.
        char *fresh = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mine.iov_base = gift;
        theirs.iov_base = fresh;
        CHECK(process_vm_writev(getpid(), &mine, 1, &theirs, 1, 0) == sizeof gift);
        CHECK(strcmp(fresh, gift) == 0 && munmap(fresh, 4096) == 0);
        _exit(0);
    }
    CHECK(wait_for(pid) == 0);
    CHECK(strcmp(unwritten + 4096, "for my parent") == 0 && unwritten[2 * 4096 - 1] == 0);
}

// Each side waits for the other many times.
static void ping_pong(void) {
    int there[2], back[2];
    CHECK(pipe(there) == 0 && pipe(back) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < 200; i++) {
            int got;
            CHECK(read(there[0], &got, sizeof got) == sizeof got);
            CHECK(got == i && word == 1 + i);
            word++;
            CHECK(write(back[1], &word, sizeof word) == sizeof word);
        }
        _exit(0);
    }
    for (int i = 0; i < 200; i++) {
        int got;
        CHECK(write(there[1], &i, sizeof i) == sizeof i);
        CHECK(read(back[0], &got, sizeof got) == sizeof got);
        CHECK(got == i + 2 && word == 1);
    }
    CHECK(wait_for(pid) == 0);
}

// Both sides compute, and neither makes a system call.
static void slices(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    volatile unsigned long sum = 0;
    if (pid == 0) {
        for (;;) sum++;
    }
    for (unsigned long i = 0; i < 50000000; i++) sum += i;
    CHECK(sum == 50000000ul * 49999999ul / 2);
    CHECK(kill(pid, SIGKILL) == 0);
    int status = wait_for(pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void generations(void) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        word = 10;
        for (int i = 0; i < 3; i++) {
            pid_t inner = fork();
            CHECK(inner >= 0);
            if (inner == 0) {
                CHECK(word == 10 + i);
                word = 100;
                char *argv[] = {"program", "exit", "4", 0};
                if (i == 1) execv(self, argv);
                _exit(4);
            }
            word++;
            CHECK(WEXITSTATUS(wait_for(inner)) == 4);
        }
        _exit(word);
    }
    CHECK(WEXITSTATUS(wait_for(pid)) == 13);
    CHECK(word == 1);
}

static void *adder(void *count) {
    for (;;) (*(volatile unsigned long *)count)++;
}

// Other threads of the parent stop while the child runs, and go on.
static void many_threads(void) {
    static volatile unsigned long counts[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], 0, adder, (void *)&counts[i]) == 0);
    while (counts[0] == 0 || counts[1] == 0) usleep(1000);
    for (int round = 0; round < 10; round++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            unsigned long before = counts[0];
            usleep(2000);
            _exit(counts[0] == before ? 0 : 1);
        }
        CHECK(wait_for(pid) == 0);
    }
    // Soon, or on a crowded machine later.
    unsigned long before = counts[0];
    for (int i = 0; counts[0] == before && i < 1000; i++) usleep(5000);
    CHECK(counts[0] != before);
}

static void pipeline(void) {
    int ends[2];
    static char block[65536];
    CHECK(pipe(ends) == 0);
    pid_t writer = fork();
    CHECK(writer >= 0);
    if (writer == 0) {
        close(ends[0]);
        memset(block, 'w', sizeof block);
        for (int i = 0; i < 640; i++) {
            size_t done = 0;
            while (done < sizeof block) {
                ssize_t count = write(ends[1], block + done, sizeof block - done);
                CHECK(count > 0);
                done += count;
            }
        }
        _exit(0);
    }
    close(ends[1]);
    long total = 0;
    ssize_t count;
    while ((count = read(ends[0], block, sizeof block)) > 0) {
        CHECK(block[0] == 'w');
        total += count;
    }
    CHECK(total == 640l * 65536);
    CHECK(wait_for(writer) == 0);
    close(ends[0]);
}

static void orphans(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            usleep(20000);
            pid_t parent = getppid();
            CHECK(write(ends[1], &parent, sizeof parent) == sizeof parent);
            _exit(0);
        }
        _exit(0);
    }
    CHECK(wait_for(pid) == 0);
    pid_t parent = 0;
    CHECK(read(ends[0], &parent, sizeof parent) == sizeof parent);
    CHECK(parent == 1);
    CHECK(waitpid(-1, 0, 0) > 0);
    CHECK(waitpid(-1, 0, 0) == -1 && errno == ECHILD);
}

static void many(void) {
    char *argv[] = {"program", "exit", "0", 0};
    for (int i = 0; i < 200; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            execv(self, argv);
            _exit(1);
        }
        CHECK(wait_for(pid) == 0);
    }
    pid_t pids[5];
    for (int i = 0; i < 5; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) { usleep(1000 * i); _exit(i); }
    }
    for (int i = 0; i < 5; i++) CHECK(WEXITSTATUS(wait_for(pids[i])) == i);
}

int main(int argc, char **argv) {
    if (argc > 1) return atoi(argv[2]);
    memory_is_private();
    empty_pages();
    rights();
    reach_across();
    ping_pong();
    generations();
    pipeline();
    orphans();
    many();
    slices();
    many_threads();
    puts("each has its own");
    return 0;
}
