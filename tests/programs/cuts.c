// Files that become shorter while they are mapped, and what `mincore` says of memory. The output is the same on
// the host. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    perror("line " LINE(__LINE__)); _exit(__LINE__ & 0x7f); } } while (0)
#define LINE(number) LINE_(number)
#define LINE_(number) #number

#define PAGE 4096
// Further apart than what one touch brings in.
#define FAR (64 * PAGE)

static sigjmp_buf back;

static void on_signal(int signal) {
    siglongjmp(back, signal);
}

// The byte at an address, or minus the signal that it gives.
static int look(volatile char *at) {
    int signal = sigsetjmp(back, 1);
    return signal ? -signal : *at;
}

static void fill(int fd, int pages) {
    char page[PAGE];
    for (int i = 0; i < pages; i++) {
        memset(page, 'a' + i, PAGE);
        CHECK(pwrite(fd, page, PAGE, i * PAGE) == PAGE);
    }
}

static char *copy_of(int fd) {
    char *map = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(map != MAP_FAILED);
    for (int i = 0; i < 4; i++)
        map[i * PAGE] = 'A' + i;
    return map;
}

static void cut(const char *what, int fd) {
    fill(fd, 4);
    char *map = copy_of(fd);
    CHECK(ftruncate(fd, PAGE + 1) == 0);
    CHECK(look(map) == 'A' && look(map + PAGE) == 'B' && look(map + PAGE + 2) == 'b');
    CHECK(look(map + 2 * PAGE) == -SIGBUS && look(map + 3 * PAGE) == -SIGBUS);
    int zero = open("/dev/zero", O_RDONLY);
    CHECK(read(zero, map + 2 * PAGE, 1) == -1);
    CHECK(ftruncate(fd, 4 * PAGE) == 0);
    CHECK(look(map + PAGE) == 'B' && look(map + 2 * PAGE) == 0 && look(map + 3 * PAGE) == 0);
    map[3 * PAGE] = 'x';
    CHECK(look(map + 3 * PAGE) == 'x');
    CHECK(munmap(map, 4 * PAGE) == 0 && close(zero) == 0);
    printf("%s: what was cut is gone\n", what);
}

// Parent and child have copies of their own of one file, at one address, and another process one elsewhere.
static void cut_by_others(int fd) {
    fill(fd, 4);
    char *map = copy_of(fd);
    int go[2], done[2];
    CHECK(pipe(go) == 0 && pipe(done) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    char byte;
    if (child == 0) {
        CHECK(map[3 * PAGE] == 'D');
        map[PAGE] = 'c';
        CHECK(ftruncate(fd, 2 * PAGE) == 0);
        CHECK(look(map + PAGE) == 'c' && look(map + 2 * PAGE) == -SIGBUS);
        CHECK(write(done[1], "x", 1) == 1 && read(go[0], &byte, 1) == 1);
        CHECK(look(map) == -SIGBUS && look(map + PAGE) == -SIGBUS);
        _exit(0);
    }
    CHECK(read(done[0], &byte, 1) == 1);
    CHECK(look(map) == 'A' && look(map + PAGE) == 'B');
    CHECK(look(map + 2 * PAGE) == -SIGBUS && look(map + 3 * PAGE) == -SIGBUS);
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(look(map) == -SIGBUS);
    CHECK(write(go[1], "x", 1) == 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(munmap(map, 4 * PAGE) == 0);
    printf("what another process cut is gone\n");
}

static void opened_anew(void) {
    const char *path = "/tmp/cut";
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    fill(fd, 4);
    char *map = copy_of(fd);
    int again = open(path, O_WRONLY | O_TRUNC);
    CHECK(again >= 0 && look(map) == -SIGBUS);
    fill(again, 4);
    CHECK(look(map) == 'a');
    CHECK(truncate(path, PAGE) == 0 && look(map) == 'a' && look(map + PAGE) == -SIGBUS);
    CHECK(munmap(map, 4 * PAGE) == 0 && close(fd) == 0 && close(again) == 0 && unlink(path) == 0);
    printf("what was cut by name is gone\n");
}

static int is_there(char *at) {
    unsigned char told = 0xff;
    CHECK(mincore(at, 1, &told) == 0);
    return told & 1;
}

static void residence(int fd) {
    fill(fd, 4);
    for (int kind = MAP_SHARED; kind <= MAP_PRIVATE; kind++) {
        char *map = mmap(NULL, 8 * PAGE, PROT_READ, kind, fd, 0);
        CHECK(map != MAP_FAILED);
        for (int i = 0; i < 8; i++)
            CHECK(is_there(map + i * PAGE) == (i < 4));
        CHECK(munmap(map, 8 * PAGE) == 0);
    }
    char *none = mmap(NULL, 2 * FAR, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(none != MAP_FAILED && !is_there(none) && !is_there(none + FAR));
    CHECK(mprotect(none, FAR, PROT_READ | PROT_WRITE) == 0);
    none[0] = 1;
    CHECK(is_there(none) && !is_there(none + FAR));
    CHECK(munmap(none + FAR, PAGE) == 0);
    unsigned char told[128];
    CHECK(mincore(none, 2 * FAR, told) == -1);
    CHECK(mincore(none + 1, PAGE, told) == -1);
    CHECK(mincore(none, PAGE, (unsigned char *)1) == -1);
    printf("mincore tells files from nothing\n");
}

int main(int count, char **arguments) {
    (void)arguments;
    signal(SIGBUS, on_signal);
    int memory = memfd_create("cut", 0);
    CHECK(memory >= 0);
    cut("memory", memory);
    int file = open("/tmp/file", O_CREAT | O_RDWR, 0600);
    CHECK(file >= 0);
    cut("a file", file);
    cut_by_others(memory);
    cut_by_others(file);
    opened_anew();
    residence(file);
    // With memory that comes when it is touched, as on the host.
    if (count > 1) {
        for (int kind = MAP_SHARED; kind <= MAP_PRIVATE; kind++) {
            char *map = mmap(NULL, 2 * FAR, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
            CHECK(map != MAP_FAILED && !is_there(map) && !is_there(map + FAR));
            map[FAR] = 1;
            CHECK(!is_there(map) && is_there(map + FAR));
            CHECK(madvise(map, 2 * FAR, MADV_DONTNEED) == 0);
            CHECK(is_there(map + FAR) == (kind == MAP_SHARED));
            CHECK(mlock(map, PAGE) == 0 && is_there(map));
        }
    }
    unlink("/tmp/file");
    return 0;
}
