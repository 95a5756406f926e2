// What one process made of its program's pages, the next process of the program must not find. The
// exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ & 0x7f); } } while (0)

extern char **environ;
static const char *self = "/bin/program";
static const volatile int constants[2048] = {[1024] = 7};

// Has an instruction of its own for the number, so that the system call can be patched.
__attribute__((noinline, aligned(64))) static long my_pid(void) {
    long result;
    __asm__ volatile("mov $39, %%eax\n\tsyscall" : "=a"(result) : : "rcx", "r11", "memory");
    return result;
}

__attribute__((noinline, aligned(64))) static int answer(void) {
    __asm__ volatile("");
    return 42;
}

static void *page_of(const volatile void *address) {
    return (void *)((uintptr_t)address & ~4095ul);
}

static void check_own(void) {
    int (*volatile asked)(void) = answer;
    CHECK(asked() == 42 && constants[1024] == 7 && constants[0] == 0);
    CHECK(my_pid() == syscall(SYS_getpid) && my_pid() == getpid());
}

// Changes its text and its constants, as it may, and sees the change.
static void alter(void) {
    check_own();
    char *text = page_of((void *)answer);
    CHECK(mprotect(text, 8192, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    static const unsigned char give_13[] = {0xb8, 13, 0, 0, 0, 0xc3};
    memcpy((void *)answer, give_13, sizeof give_13);
    CHECK(mprotect(text, 8192, PROT_READ | PROT_EXEC) == 0);
    char *data = page_of(&constants[1024]);
    CHECK(mprotect(data, 4096, PROT_READ | PROT_WRITE) == 0);
    *(volatile int *)&constants[1024] = 8;
    CHECK(mprotect(data, 4096, PROT_READ) == 0);
    int (*volatile asked)(void) = answer;
    CHECK(asked() == 13 && constants[1024] == 8);
}

static int file;
static size_t size;

static void open_self(void) {
    struct stat is;
    file = open(self, O_RDONLY);
    CHECK(file >= 0 && fstat(file, &is) == 0);
    size = is.st_size;
}

static void check_mapping(const char *at, off_t offset, size_t length) {
    char *bytes = malloc(length);
    CHECK(pread(file, bytes, length, offset) == (ssize_t)length);
    CHECK(memcmp(at, bytes, length) == 0);
    free(bytes);
}

static char *map(int prot, off_t offset) {
    char *at = mmap(0, size - offset, prot, MAP_PRIVATE, file, offset);
    CHECK(at != MAP_FAILED);
    return at;
}

// Where another process had it as text, a reader sees the file.
static void read_mapping(void) {
    check_mapping(map(PROT_READ, 0), 0, size);
}

static void read_other_part(void) {
    check_mapping(map(PROT_READ, 4096), 4096, size - 4096);
}

static void execute_mapping(void) {
    map(PROT_READ | PROT_EXEC, 0);
}

// Its own text at another address, read and then executed, as a loader maps a library.
static void load_mapping(void) {
    char *at = map(PROT_READ, 0);
    check_mapping(at, 0, size);
    char *again = mmap(at, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file, 0);
    CHECK(again == at);
}

extern const char __ehdr_start[];

// As glibc's loader does it with a library: all of it at once, and then each segment over that.
static void load_library(void) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)__ehdr_start;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(__ehdr_start + header->e_phoff);
    while (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X)) segment++;
    off_t start = segment->p_offset & ~4095ul;
    size_t length = ((segment->p_offset + segment->p_filesz + 4095) & ~4095ul) - start;
    int flags = MAP_PRIVATE | MAP_DENYWRITE;
    char *at = mmap(0, size, PROT_READ, flags, file, 0);
    CHECK(at != MAP_FAILED);
    check_mapping(at, 0, start);
    size_t end = start + length;
    if (end < size) check_mapping(at + end, end, size - end);
    int both = PROT_READ | PROT_EXEC;
    CHECK(mmap(at + start, length, both, flags | MAP_FIXED, file, start) == at + start);
    size_t moved = segment->p_offset - segment->p_vaddr;
    long (*copy)(void) = (void *)(at + ((char *)my_pid - __ehdr_start) + moved);
    CHECK(copy() == getpid());
    int (*other)(void) = (void *)(at + ((char *)answer - __ehdr_start) + moved);
    CHECK(other() == 42);
}

// The same, but it never gets to the segments, or has others.
static void load_in_part(void) {
    char *at = mmap(0, size, PROT_READ, MAP_PRIVATE | MAP_DENYWRITE, file, 0);
    CHECK(at != MAP_FAILED);
    CHECK(munmap(at, 4096) == 0);
    char *text = (char *)page_of((void *)answer) - (size_t)__ehdr_start + (size_t)at;
    int flags = MAP_PRIVATE | MAP_DENYWRITE | MAP_FIXED;
    CHECK(mmap(text, 4096, PROT_READ, flags & ~MAP_DENYWRITE, file, text - at) == text);
    check_mapping(text, text - at, 4096);
}

static void write_mapping(void) {
    char *at = map(PROT_READ | PROT_WRITE, 0);
    memset(at, 0x5a, size);
    CHECK(mprotect(at, size, PROT_READ | PROT_EXEC) == 0);
}

static void see_zeros(void) {
    size_t length = 3 << 20;
    char *at = mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    for (size_t i = 0; i < length; i++) CHECK(at[i] == 0);
}

// Two at the same time, of which one changes.
static void hold(void) {
    char byte;
    check_own();
    CHECK(write(4, "x", 1) == 1 && read(3, &byte, 1) == 1);
    check_own();
}

static const struct {
    const char *name;
    void (*action)(void);
} actions[] = {
    {"check", check_own},
    {"alter", alter},
    {"read", read_mapping},
    {"read_other_part", read_other_part},
    {"execute", execute_mapping},
    {"load", load_mapping},
    {"library", load_library},
    {"part", load_in_part},
    {"write", write_mapping},
    {"zeros", see_zeros},
    {"hold", hold},
};

static pid_t start(const char *name) {
    char *argv[] = {(char *)self, (char *)name, 0};
    pid_t pid;
    CHECK(posix_spawn(&pid, self, 0, 0, argv, environ) == 0);
    return pid;
}

static void finish(pid_t pid, const char *name) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    if (status != 0) {
        dprintf(2, "%s: status %#x\n", name, status);
        _exit(1);
    }
}

static void run(const char *name) {
    finish(start(name), name);
}

static void side_by_side(void) {
    int go[2], ready[2];
    char byte;
    CHECK(pipe(go) == 0 && pipe(ready) == 0);
    CHECK(dup2(go[0], 3) == 3 && dup2(ready[1], 4) == 4);
    pid_t held[3];
    for (int i = 0; i < 3; i++) held[i] = start("hold");
    for (int i = 0; i < 3; i++) CHECK(read(ready[0], &byte, 1) == 1);
    run("alter");
    run("check");
    CHECK(write(go[1], "xxx", 3) == 3);
    for (int i = 0; i < 3; i++) finish(held[i], "hold");
}

int main(int argc, char **argv) {
    if (argc > 1) {
        open_self();
        for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
            if (strcmp(actions[i].name, argv[1]) == 0) {
                actions[i].action();
                return 0;
            }
        }
        return 127;
    }
    // Descriptors that `side_by_side` gives its children.
    CHECK(dup2(0, 3) == 3 && dup2(0, 4) == 4);
    // Each after each.
    size_t count = sizeof actions / sizeof *actions - 1;
    for (size_t first = 0; first < count; first++) {
        for (size_t second = 0; second < count; second++) {
            run(actions[first].name);
            run(actions[second].name);
        }
    }
    side_by_side();
    run("check");
    // A fork of what was loaded in that way, too.
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alter();
        run("check");
        _exit(0);
    }
    finish(pid, "fork");
    check_own();
    puts("each finds its program as it is");
    return 0;
}
