// Memory that is shared: with children, through files, and without a name. The exit status is the line
// of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, number) CHECK((call) == -1 && errno == (number))

static void *map_shared(int fd, size_t len, off_t offset) {
    void *at = mmap(0, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
    CHECK(at != MAP_FAILED);
    return at;
}

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// A mutex and a counter between processes that are never at once in the same place.
static void with_children(void) {
    struct { pthread_mutex_t mutex; sem_t ready; int count; } *shared =
        mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    pthread_mutexattr_t attributes;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_mutex_init(&shared->mutex, &attributes) == 0);
    CHECK(sem_init(&shared->ready, 1, 0) == 0);
    static int private = 1;
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            private = 2;
            CHECK(sem_wait(&shared->ready) == 0);
            for (int round = 0; round < 100; round++) {
                CHECK(pthread_mutex_lock(&shared->mutex) == 0);
                int seen = shared->count;
                if (round % 50 == 0) usleep(1000);
                shared->count = seen + 1;
                CHECK(pthread_mutex_unlock(&shared->mutex) == 0);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++) CHECK(sem_post(&shared->ready) == 0);
    for (int i = 0; i < 3; i++) wait_for(children[i]);
    CHECK(shared->count == 300 && private == 1);
    CHECK(munmap(shared, PAGE) == 0);
}

static void through_a_file(const char *path) {
    char bytes[16] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    CHECK(ftruncate(fd, 3 * PAGE) == 0);
    CHECK(pwrite(fd, "before", 6, PAGE) == 6);
    char *all = map_shared(fd, 3 * PAGE, 0);
    CHECK(memcmp(all + PAGE, "before", 6) == 0);

    // What a program stores is in the file, and what it writes is in the memory.
    memcpy(all + PAGE, "stored", 6);
    CHECK(pread(fd, bytes, 6, PAGE) == 6 && memcmp(bytes, "stored", 6) == 0);
    CHECK(pwrite(fd, "-", 1, PAGE + 1) == 1);
    CHECK(memcmp(all + PAGE, "s-ored", 6) == 0);

    // Another mapping of a part shows the same.
    char *part = map_shared(fd, PAGE, PAGE);
    CHECK(memcmp(part, "s-ored", 6) == 0);
    part[0] = 'S';
    CHECK(all[PAGE] == 'S');
    CHECK(munmap(part, PAGE) == 0);
    all[PAGE + 2] = 'O';

    // So does one in another process, which may change it.
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int again = open(path, O_RDWR);
        CHECK(again >= 0);
        char *theirs = map_shared(again, 3 * PAGE, 0);
        CHECK(memcmp(theirs + PAGE, "S-Ored", 6) == 0);
        theirs[PAGE + 5] = 'D';
        _exit(0);
    }
    wait_for(child);
    CHECK(memcmp(all + PAGE, "S-OreD", 6) == 0);

    // A private mapping keeps its own changes.
    char *private = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, PAGE);
    CHECK(private != MAP_FAILED && memcmp(private, "S-OreD", 6) == 0);
    private[0] = 'x';
    CHECK(all[PAGE] == 'S');

    // Bytes behind the end of the file are zero, and stay out of it.
    strcpy(all + 2 * PAGE, "gone");
    CHECK(ftruncate(fd, PAGE + 3) == 0);
    CHECK(all[PAGE] == 'S' && all[PAGE + 3] == 0);
    CHECK(ftruncate(fd, 3 * PAGE) == 0);
    CHECK(all[PAGE + 3] == 0 && all[2 * PAGE] == 0);
    memcpy(all, "kept", 4);
    CHECK(msync(all, PAGE, MS_SYNC) == 0);
    char *grown = mremap(all, 3 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    CHECK(grown != MAP_FAILED && memcmp(grown, "kept", 4) == 0);
    CHECK(ftruncate(fd, 64 * PAGE) == 0);
    grown[63 * PAGE] = 'e';
    CHECK(munmap(grown, 64 * PAGE) == 0);
    CHECK(pread(fd, bytes, 1, 63 * PAGE) == 1 && bytes[0] == 'e');
    CHECK(pread(fd, bytes, 4, 0) == 4 && memcmp(bytes, "kept", 4) == 0);

    int reader = open(path, O_RDONLY);
    CHECK(mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED);
    CHECK(errno == EACCES);
    char *shown = mmap(0, PAGE, PROT_READ, MAP_SHARED, reader, 0);
    CHECK(shown != MAP_FAILED && memcmp(shown, "kept", 4) == 0);
    CHECK(pwrite(fd, "K", 1, 0) == 1 && shown[0] == 'K');
    CHECK(munmap(shown, PAGE) == 0 && munmap(private, PAGE) == 0);
    CHECK(close(reader) == 0 && close(fd) == 0 && unlink(path) == 0);
}

static void without_a_name(void) {
    int fd = syscall(SYS_memfd_create, "none", 2 /* MFD_ALLOW_SEALING */);
    CHECK(fd >= 0 && ftruncate(fd, 2 * PAGE) == 0);
    char *memory = map_shared(fd, 2 * PAGE, 0);
    strcpy(memory, "sealed");
    FAILS(fcntl(fd, 1033 /* F_ADD_SEALS */, 8 /* F_SEAL_WRITE */), EBUSY);
    CHECK(munmap(memory, 2 * PAGE) == 0);
    CHECK(fcntl(fd, 1033, 2 | 4 | 8) == 0 && fcntl(fd, 1034 /* F_GET_SEALS */) == 14);
    FAILS(pwrite(fd, "x", 1, 0), EPERM);
    FAILS(ftruncate(fd, PAGE), EPERM);
    FAILS(ftruncate(fd, 3 * PAGE), EPERM);
    CHECK(mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    memory = mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED && strcmp(memory, "sealed") == 0);
    CHECK(munmap(memory, PAGE) == 0 && close(fd) == 0);

    // Who may add no seal is told so before mappings are looked at.
    fd = syscall(SYS_memfd_create, "none", 0);
    CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
    memory = map_shared(fd, PAGE, 0);
    FAILS(fcntl(fd, 1033, 8), EPERM);
    FAILS(fcntl(fd, 1033, 1 << 20), EINVAL);
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int reader = open(name, O_RDONLY);
    CHECK(reader >= 0);
    FAILS(fcntl(reader, 1033, 1 << 20), EPERM);
    CHECK(munmap(memory, PAGE) == 0 && close(reader) == 0 && close(fd) == 0);

    fd = shm_open("/sharing-test", O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
    memory = map_shared(fd, PAGE, 0);
    int again = shm_open("/sharing-test", O_RDWR, 0);
    char *twice = map_shared(again, PAGE, 0);
    strcpy(memory, "both");
    CHECK(strcmp(twice, "both") == 0);
    CHECK(munmap(memory, PAGE) == 0 && strcmp(twice, "both") == 0);
    CHECK(munmap(twice, PAGE) == 0 && shm_unlink("/sharing-test") == 0);
    CHECK(close(fd) == 0 && close(again) == 0);
    sem_t *named = sem_open("/sharing-semaphore", O_CREAT | O_EXCL, 0600, 1);
    CHECK(named != SEM_FAILED && sem_wait(named) == 0 && sem_trywait(named) == -1);
    CHECK(sem_post(named) == 0 && sem_close(named) == 0 && sem_unlink("/sharing-semaphore") == 0);
}

// Two threads store in one page at two addresses, and the kernel stores there for a third: nothing of it is
// lost while the page is moved between the addresses.
struct storer {
    volatile long *word;
    int by_pipe;
};

static void *store(void *argument) {
    struct storer *own = argument;
    int ends[2];
    CHECK(pipe(ends) == 0);
    for (long round = 1; round <= 5000; round++) {
        CHECK(*own->word == round - 1);
        if (own->by_pipe) {
            CHECK(write(ends[1], &round, sizeof round) == sizeof round);
            CHECK(read(ends[0], (void *)own->word, sizeof round) == sizeof round);
        } else {
            *own->word = round;
        }
        for (int i = 0; i < 20; i++) __builtin_ia32_pause();
    }
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    return 0;
}

static void store_at_once(char *one, char *other) {
    memset(one, 0, PAGE);
    struct storer storers[] = {
        {(volatile long *)one, 0},
        {(volatile long *)(other + 64), 0},
        {(volatile long *)(other + 128), 1},
    };
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], 0, store, &storers[i]) == 0);
    for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], 0) == 0);
    for (int i = 0; i < 3; i++) CHECK(*(volatile long *)(other + 64 * i) == 5000);
}

static void at_two_addresses(void) {
    int fd = syscall(SYS_memfd_create, "twice", 0);
    CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
    char *one = map_shared(fd, PAGE, 0), *other = map_shared(fd, PAGE, 0);
    CHECK(one != other);
    store_at_once(one, other);

    // So it is when another process has the other address.
    struct storer ours = {(volatile long *)one, 0}, theirs = {(volatile long *)(other + 64), 0};
    memset(one, 0, PAGE);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        store(&theirs);
        _exit(0);
    }
    store(&ours);
    wait_for(child);
    CHECK(*ours.word == 5000 && *(volatile long *)(one + 64) == 5000);
    CHECK(munmap(one, PAGE) == 0 && munmap(other, PAGE) == 0 && close(fd) == 0);

    // What was stored at an address is not lost with it.
    one = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(one != MAP_FAILED);
    other = mremap(one, 0, PAGE, MREMAP_MAYMOVE);
    CHECK(other != MAP_FAILED && other != one);
    store_at_once(one, other);
    strcpy(other, "stays");
    CHECK(munmap(other, PAGE) == 0 && strcmp(one, "stays") == 0);
    CHECK(munmap(one, PAGE) == 0);
}

// Pages that are shown in another order, or one of them everywhere.
static void in_another_order(void) {
    enum { PAGES = 100 };
    char *all = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(all != MAP_FAILED);
    for (int i = 0; i < PAGES; i++) all[i * PAGE] = i;
    for (int i = 0; i < PAGES; i++)
        CHECK(remap_file_pages(all + i * PAGE, PAGE, 0, PAGES - 1 - i, 0) == 0);
    for (int i = 0; i < PAGES; i++) CHECK(all[i * PAGE] == PAGES - 1 - i);
    for (int i = 0; i < PAGES; i++) CHECK(remap_file_pages(all + i * PAGE, PAGE, 0, 7, 0) == 0);
    for (volatile char *at = all; at < all + PAGES * PAGE; at += PAGE) CHECK(*at == 7);
    for (int i = 0; i < PAGES; i++) CHECK(remap_file_pages(all + i * PAGE, PAGE, 0, i, 0) == 0);
    for (int i = 0; i < PAGES; i++) CHECK(all[i * PAGE] == i);
    CHECK(munmap(all, PAGES * PAGE) == 0);

    char *unread = mmap(0, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(unread != MAP_FAILED);
    FAILS(madvise(unread, PAGE, 22 /* MADV_POPULATE_READ */), EINVAL);
    CHECK(munmap(unread, PAGE) == 0);
    FAILS(madvise(unread, PAGE, 22), ENOMEM);
}

// Shared memory where another process of the same fork has something else.
static void in_turns(void) {
    int here[2], there[2];
    char go, *at = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED && pipe(here) == 0 && pipe(there) == 0);
    strcpy(at, "parent");
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
        CHECK(mmap(at, 3 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == at && *at == 0);
        strcpy(at, "shared");
        // One more, that has its own again.
        pid_t last = fork();
        if (last == 0) {
            CHECK(strcmp(at, "shared") == 0);
            strcpy(at + PAGE, "from below");
            flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
            CHECK(mmap(at, 2 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == at);
            CHECK(at[PAGE] == 0);
            strcpy(at, "own");
            CHECK(write(here[1], "x", 1) == 1 && read(there[0], &go, 1) == 1);
            CHECK(strcmp(at, "own") == 0);
            strcpy(at + 2 * PAGE, "the end");
            _exit(0);
        }
        wait_for(last);
        CHECK(strcmp(at, "shared") == 0 && strcmp(at + PAGE, "from below") == 0);
        CHECK(strcmp(at + 2 * PAGE, "the end") == 0);
        // What waits elsewhere is found by others, too.
        char *other = mremap(at, 0, PAGE, MREMAP_MAYMOVE);
        CHECK(other != MAP_FAILED && strcmp(other, "shared") == 0);
        _exit(0);
    }
    CHECK(read(here[0], &go, 1) == 1 && strcmp(at, "parent") == 0 && at[PAGE] == 0);
    strcpy(at + PAGE, "changed");
    // A page that the child alone has, and one that it has not touched.
    struct iovec ours = {"written", 8}, theirs = {at + 2 * PAGE, 8};
    CHECK(process_vm_writev(child, &ours, 1, &theirs, 1, 0) == 8);
    CHECK(process_vm_readv(child, &(struct iovec){at + 100, 8}, 1, &theirs, 1, 0) == 8);
    CHECK(strcmp(at + 100, "written") == 0 && at[2 * PAGE] == 0);
    CHECK(write(there[1], "x", 1) == 1);
    wait_for(child);
    CHECK(strcmp(at, "parent") == 0 && strcmp(at + PAGE, "changed") == 0);

    // The other way round; and a process that has nothing there is over first.
    int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
    CHECK(mmap(at, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == at);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        strcpy(at, "child");
        CHECK(munmap(at, PAGE) == 0);
        flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
        CHECK(mmap(at, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == at && *at == 0);
        CHECK(read(there[0], &go, 1) == 1 && *at == 0);
        // Private memory that was never touched is written to from outside.
        _exit(strcmp(at + 50, "fresh") != 0);
    }
    while (strcmp(at, "child")) usleep(1000);
    // Each may do what it may, and what it said of children does not go with a move.
    pid_t reader = fork();
    if (reader == 0) {
        CHECK(mprotect(at, PAGE, PROT_READ) == 0 && strcmp(at, "child") == 0);
        FAILS(read(here[0], at, 1), EFAULT);
        _exit(0);
    }
    CHECK(write(here[1], "x", 1) == 1);
    wait_for(reader);
    CHECK(read(here[0], at + 200, 1) == 1 && at[200] == 'x');
    char *left = mmap(0, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(left != MAP_FAILED && madvise(left, PAGE, MADV_DONTFORK) == 0);
    left = mremap(left, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + PAGE);
    CHECK(left == at + PAGE && madvise(left, PAGE, 19 /* MADV_KEEPONFORK */) == 0);
    reader = fork();
    if (reader == 0) {
        FAILS(msync(left, PAGE, MS_ASYNC), ENOMEM);
        _exit(0);
    }
    wait_for(reader);
    usleep(10000);
    theirs = (struct iovec){at + 50, 6};
    CHECK(process_vm_writev(child, &(struct iovec){"fresh", 6}, 1, &theirs, 1, 0) == 6);
    CHECK(at[50] == 0 && write(there[1], "x", 1) == 1);
    wait_for(child);
    CHECK(strcmp(at, "child") == 0 && munmap(at, 3 * PAGE) == 0);
    for (int i = 0; i < 2; i++) CHECK(close(here[i]) == 0 && close(there[i]) == 0);
}

int main(int argc, char **argv) {
    char *everywhere[] = {argv[0], "/sharing-file", "/tmp/sharing-file"};
    if (argc == 1) argc = 3, argv = everywhere;
    with_children();
    for (int index = 1; index < argc; index++) through_a_file(argv[index]);
    without_a_name();
    at_two_addresses();
    in_another_order();
    in_turns();
    puts("shared is shared");
    return 0;
}
