// Descriptors: duplicates, positions that they share or do not, flags, pipes, and what is closed.
#include "series.h"
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { STEPS = 120, FIRST = 20, LAST = 31 };

static const char *const NAME[] = {"a", "b", "c"};
static const int OPENED[] = {
    O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_CREAT, O_WRONLY | O_CREAT | O_APPEND,
    O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_CREAT | O_TRUNC, O_RDONLY | O_DIRECTORY, O_PATH,
    O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK,
};
static const long OFFSET[] = {0, 1, -1, 7, 100, 4095, 4096, 70000};

static int any_descriptor(void) { return FIRST + below(LAST - FIRST + 1); }

// All of the table, so that a wrong result is seen in the step that brings it.
static void say_table(void) {
    uint64_t hash = 0;
    for (int fd = FIRST; fd <= LAST; fd++) {
        struct stat stat;
        long facts[] = {fcntl(fd, F_GETFD), fcntl(fd, F_GETFL), lseek(fd, 0, SEEK_CUR), 0, 0};
        if (!fstat(fd, &stat) && S_ISREG(stat.st_mode))
            facts[3] = stat.st_size, facts[4] = stat.st_nlink;
        hash = digest(hash, facts, sizeof facts);
    }
    say("table %016lx", hash);
}

static void step(void) {
    static unsigned char bytes[5000];
    int fd = any_descriptor(), other = any_descriptor(), opened;
    long size = below(3) ? below(40) : below(sizeof bytes);
    memset(bytes, 'a' + below(26), sizeof bytes);
    // Nothing waits.
    for (int i = FIRST; i <= LAST; i++) fcntl(i, F_SETFL, fcntl(i, F_GETFL) | O_NONBLOCK);
    switch (below(14)) {
    case 0: case 1: {
        int flags = ANY(OPENED);
        const char *name = below(9) ? ANY(NAME) : ".";
        opened = open(name, flags, 0644);
        say("open %s %#x: %d", name, flags, opened < 0 ? -errno : 0);
        if (opened >= 0) { CHECK(dup3(opened, fd, flags & O_CLOEXEC) == fd); close(opened); }
        break;
    }
    case 2: say("dup2 %d %d: %ld", fd, other, outcome(dup2(fd, other))); break;
    case 3: say("dup3 %d %d: %ld", fd, other, outcome(dup3(fd, other, O_CLOEXEC))); break;
    case 4: say("close %d: %ld", fd, outcome(close(fd))); break;
    case 5: {
        int ends[2], from = below(2) ? O_NONBLOCK : O_NONBLOCK | O_CLOEXEC;
        CHECK(!pipe2(ends, from));
        say("pipe %d %d: %d %d", fd, other, dup2(ends[0], fd), dup2(ends[1], other));
        close(ends[0]), close(ends[1]);
        break;
    }
    case 6: {
        int whence = below(5);
        long offset = ANY(OFFSET);
        say("seek %d %ld %d: %ld", fd, offset, whence, outcome(lseek(fd, offset, whence)));
        break;
    }
    case 7: say("write %d %ld: %ld", fd, size, outcome(write(fd, bytes, size))); break;
    case 8: {
        long offset = ANY(OFFSET);
        say("pwrite %d %ld %ld: %ld", fd, size, offset, outcome(pwrite(fd, bytes, size, offset)));
        break;
    }
    case 9: {
        long read_bytes = outcome(read(fd, bytes, size));
        uint64_t hash = digest(0, bytes, read_bytes > 0 ? read_bytes : 0);
        say("read %d %ld: %ld %016lx", fd, size, read_bytes, hash);
        break;
    }
    case 10: {
        struct iovec parts[3] = {{bytes, size}, {bytes + 100, below(50)}, {bytes + 9, 0}};
        // Which of two mistakes counts has changed since 5.15.
        bool reads = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY;
        long count = below(reads ? 5 : 4) - reads;
        long offset = ANY(OFFSET), got = outcome(preadv(fd, parts, count, offset));
        say("preadv %d %ld: %ld %016lx", fd, offset, got, digest(0, bytes, sizeof bytes));
        break;
    }
    case 11: {
        static const int FLAG[] = {0, O_APPEND, O_NONBLOCK, O_APPEND | O_NONBLOCK, O_TRUNC};
        int flags = ANY(FLAG);
        say("setfl %d %#x: %ld", fd, flags, outcome(fcntl(fd, F_SETFL, flags)));
        break;
    }
    case 12: say("ftruncate %d %ld: %ld", fd, size, outcome(ftruncate(fd, size))); break;
    case 13: {
        off_t in = ANY(OFFSET), out = ANY(OFFSET);
        long copied = outcome(copy_file_range(fd, &in, other, &out, size, 0));
        say("copy %d %d %ld: %ld %ld %ld", fd, other, size, copied, in, out);
        break;
    }
    }
}

static void run_series(const char *folder) {
    CHECK(!mkdir(folder, 0755) && !chdir(folder));
    for (series_step = 0; series_step < STEPS; series_step++) {
        step();
        say_table();
    }
    for (int fd = FIRST; fd <= LAST; fd++) close(fd);
    for (size_t i = 0; i < COUNT(NAME); i++) unlink(NAME[i]);
    CHECK(!chdir("/") && !rmdir(folder));
}
