// A series of random calls that one seed decides, so that two systems can be asked for the same one.
//
// A program of this folder is called with a folder to work in, a first seed and a number of series. It
// prints a line for each step that says what came of it; nothing in it may depend on the clock, on
// addresses, or on numbers that the system chooses.
#pragma once
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "%s:%d: errno %d\n", __FILE__, __LINE__, errno); _exit(99); } } while (0)

static uint64_t series_state;
static unsigned long series_seed;
static int series_step;
// Whether the superuser's rights are to be used: both systems are told the same.
static bool series_is_root;

// The next number of the series (splitmix64: Steele, Lea, Flood, 2014), which is below `bound`.
static inline unsigned long below(unsigned long bound) {
    uint64_t z = series_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % bound;
}

#define ANY(array) ((array)[below(COUNT(array))])

// Says what came of a step. Written at once, so that a child of `fork` does not say it again.
__attribute__((format(printf, 1, 2)))
static inline void say(const char *format, ...) {
    char line[1024];
    int length = snprintf(line, sizeof line, "%lu.%d ", series_seed, series_step);
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - length - 1, format, arguments);
    va_end(arguments);
    CHECK(length < (int)sizeof line - 1);
    line[length++] = '\n';
    CHECK(write(1, line, length) == length);
}

// The result of a call, or its error as a negative number.
static inline long outcome(long result) { return result == -1 ? -errno : result; }

// A number for some bytes (FNV-1a), so that they can be compared without being printed.
static inline uint64_t digest(uint64_t before, const void *bytes, size_t length) {
    const unsigned char *byte = bytes;
    uint64_t hash = before ? before : 0xcbf29ce484222325;
    while (length--) hash = (hash ^ *byte++) * 0x100000001b3;
    return hash;
}

// Removes what is in a directory.
static inline void clear_directory(int directory) {
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY);
    DIR *listing = fdopendir(fd);
    CHECK(listing);
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (!unlinkat(fd, entry->d_name, 0)) continue;
        fchmodat(fd, entry->d_name, 0700, 0);
        int inner = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        CHECK(inner >= 0);
        clear_directory(inner);
        close(inner);
        CHECK(!unlinkat(fd, entry->d_name, AT_REMOVEDIR));
    }
    closedir(listing);
}

// One series of the program: `folder` is empty at its start, and it is the current directory.
static void run_series(const char *folder);

// Forgets what this program inherits: glibc's `posix_spawn` lets who it starts ignore the signals that
// it keeps for itself.
static inline void forget_actions(void) {
    static const uint64_t by_default[4];
    for (int signal = 1; signal <= 64; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            CHECK(!syscall(SYS_rt_sigaction, signal, by_default, NULL, 8));
}

int main(int argc, char **argv) {
    forget_actions();
    CHECK((argc == 4 || argc == 5) && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    unsigned long first = strtoul(argv[2], NULL, 10), count = strtoul(argv[3], NULL, 10);
    series_is_root = argc == 5 && !strcmp(argv[4], "root");
    for (series_seed = first; series_seed < first + count; series_seed++) {
        char folder[256];
        snprintf(folder, sizeof folder, "%s/series-%lu", argv[1], series_seed);
        series_state = series_seed;
        series_step = 0;
        run_series(folder);
    }
    return 0;
}
