// A program that takes all that the LibOS gives: it must be told so, and go on. The exit status is
// the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)

static char block[65536];

// Pipes, each full, until there is no memory for more; then all are closed again.
static void fill_pipes(void) {
    int ends[2], count = 0;
    while (pipe(ends) == 0) {
        count++;
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        if (write(ends[1], block, sizeof block) < 0) break;
    }
    CHECK(errno == ENOMEM);
    CHECK(count > 50);
    CHECK(write(1, "", 0) == 0);
    for (int fd = 3; fd < 3 + 2 * count; fd++) CHECK(close(fd) == 0);
    CHECK(pipe(ends) == 0);
    CHECK(write(ends[1], block, 10) == 10);
}

// As many mappings as the address space holds: every other page is another one.
static void split_mappings(void) {
    size_t len = 32 << 20;
    char *start = mmap(0, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(start != MAP_FAILED);
    for (size_t at = 0; at < len; at += 8192)
        if (mprotect(start + at, 4096, PROT_READ) != 0) CHECK(errno == ENOMEM);
    CHECK(munmap(start, len) == 0);
}

// Directories below each other until there is no room for another.
static void nest_directories(void) {
    long depth = 0;
    CHECK(chdir("/tmp") == 0);
    while (mkdir("d", 0755) == 0 && chdir("d") == 0) depth++;
    CHECK(errno == ENOSPC || errno == ENOMEM);
    CHECK(depth > 1000);
    for (; depth > 0; depth--) {
        CHECK(chdir("..") == 0);
        rmdir("d/d");
        CHECK(rmdir("d") == 0);
    }
}

// Mounts on each other until there is no room for another. The list of them may be too long to be told.
static void stack_mounts(void) {
    long count = 0, told = 0, length = 0;
    CHECK(mkdir("/tmp/point", 0755) == 0);
    while (mount("/tmp", "/tmp/point", 0, MS_BIND, 0) == 0) count++;
    CHECK((errno == ENOSPC || errno == ENOMEM) && count > 1000);
    int fd = open("/proc/self/mounts", O_RDONLY);
    CHECK(fd >= 0 || errno == ENOMEM);
    while (fd >= 0 && (length = read(fd, block, sizeof block)) > 0) told += length;
    CHECK(fd < 0 || told > 10 * count || (length < 0 && errno == ENOMEM));
    if (fd >= 0) CHECK(close(fd) == 0);
    for (; count > 0; count--) CHECK(umount("/tmp/point") == 0);
    CHECK(rmdir("/tmp/point") == 0);
    CHECK((fd = open("/proc/self/mounts", O_RDONLY)) >= 0 && close(fd) == 0);
}

int main(void) {
    fill_pipes();
    stack_mounts();
    split_mappings();
    nest_directories();
    for (long number = 1000; number < 200000; number++) CHECK(syscall(number) == -1);
    puts("short of everything, and still here");
    return 0;
}
