// Contents: what is written, cut, reserved, punched out, moved between files and pipes, sealed and limited,
// and where the holes are after each step.
#include "series.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { STEPS = 70, FILES = 4, PIPES = 2, SEEN_BYTES = 150000 };

// The files, of which the third one has no name and the fourth is open for additions, then both ends of
// two pipes.
enum { A, B, MEMORY, ADDED, READ_ONE, WRITE_ONE, READ_TWO, WRITE_TWO, DIRECTORY, ALL };

static const long OFFSET[] = {0, 1, 100, 4095, 4096, 4097, 8192, 12288, 20000, 65536, 100000, -1};
static const long LENGTH[] = {0, 1, 5, 100, 4096, 4097, 8192, 10000, 40000, -1};
static int fds[ALL];
static unsigned char bytes[50000];
static int signals;

static void count_signal(int number) { signals += number == SIGXFSZ; }

static int any_file(void) { return fds[below(FILES)]; }
static int any_descriptor(void) { return below(12) ? fds[below(ALL)] : 999; }
static int index_of(int fd) {
    for (int i = 0; i < ALL; i++) if (fds[i] == fd) return i;
    return -1;
}

static void say_files(void) {
    static unsigned char seen[SEEN_BYTES];
    for (int i = 0; i < FILES; i++) {
        struct stat stat;
        if (i == ADDED) continue;
        CHECK(!fstat(fds[i], &stat));
        ssize_t length = pread(fds[i], seen, sizeof seen, 0);
        CHECK(length >= 0);
        // Where data begin and end.
        off_t position = lseek(fds[i], 0, SEEK_CUR), at = 0;
        char map[200] = "";
        for (int parts = 0; parts < 60; parts++) {
            at = lseek(fds[i], at, parts & 1 ? SEEK_HOLE : SEEK_DATA);
            if (at < 0) break;
            if (strlen(map) < 150) sprintf(map + strlen(map), " %ld", at);
        }
        lseek(fds[i], position, SEEK_SET);
        // What is refused to be written to sealed memory counts as a change, or not.
        int seals = i == MEMORY ? fcntl(fds[i], F_GET_SEALS) : 0, refuses = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_GROW;
        int changed = seals & refuses ? 0 : stat.st_mtime != 1000;
        say("%d: size %ld blocks %ld at %ld seals %d times %d %d %016lx data%s", i, stat.st_size, stat.st_blocks, position,
            seals, stat.st_atime != 1000, changed, digest(0, seen, length), map);
    }
    int here[PIPES];
    for (int i = 0; i < PIPES; i++) CHECK(!ioctl(fds[READ_ONE + 2 * i], FIONREAD, &here[i]));
    say("pipes %d %d signals %d added at %ld", here[0], here[1], signals, lseek(fds[ADDED], 0, SEEK_CUR));
    // Never so full that it matters how they are divided.
    static unsigned char drained[200000];
    for (int i = 0; i < PIPES; i++)
        if (here[i] > 100000 || !below(10)) {
            ssize_t length = read(fds[READ_ONE + 2 * i], drained, sizeof drained);
            say("drained %d: %ld %016lx", i, outcome(length), digest(0, drained, length > 0 ? length : 0));
        }
}

// Takes at once what a pipe has of a file or of memory: it is the same pages.
static void take(int fd) {
    static unsigned char taken[1 << 20];
    for (int i = 0; i < PIPES; i++) if (fd == fds[WRITE_ONE + 2 * i]) {
        ssize_t length = read(fds[READ_ONE + 2 * i], taken, sizeof taken);
        say("taken %ld %016lx", (long)length, digest(0, taken, length > 0 ? length : 0));
    }
}

static struct iovec *any_parts(int *count) {
    static struct iovec parts[4];
    *count = 1 + below(4);
    for (int i = 0; i < *count; i++) {
        parts[i] = (struct iovec){bytes + below(100), below(4) ? below(40) : below(9000)};
        if (!below(8)) parts[i].iov_base = (void *)16;
    }
    return parts;
}

// A write of nothing but a bad buffer leaves behind what depends on the kernel's version; a pipe takes whole
// pages or none of them.
static void make_writable(int fd, struct iovec *parts, int count) {
    for (int i = 0; i < count; i++)
        if (!i || index_of(fd) > ADDED) parts[i] = (struct iovec){bytes, 1 + parts[i].iov_len};
}

static void limit(long size) {
    struct rlimit limit;
    CHECK(!getrlimit(RLIMIT_FSIZE, &limit));
    limit.rlim_cur = size < 0 ? limit.rlim_max : (rlim_t)size;
    CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
}

static void step(void) {
    static const long LIMIT[] = {-1, -1, -1, 10, 4096, 10000, 0};
    memset(bytes, 'a' + below(26), sizeof bytes);
    int fd = any_descriptor(), other = any_descriptor(), count;
    long offset = ANY(OFFSET), length = below(2) ? ANY(LENGTH) : (long)below(6000);
    long result, most = ANY(LIMIT), room = length < 0 ? 0 : length;
    loff_t in = ANY(OFFSET), out = ANY(OFFSET), *from = below(2) ? &in : NULL, *to = below(2) ? &out : NULL;
    struct iovec *parts = any_parts(&count);
    char what[100];
    snprintf(what, sizeof what, "%d %d offset %ld length %ld limit %ld", index_of(fd), index_of(other), offset, length, most);
    switch (below(22)) {
    case 0: case 1:
        limit(most), result = outcome(write(fd, bytes, room)), limit(-1);
        say("write %s: %ld", what, result);
        break;
    case 2: case 3:
        limit(most), result = outcome(pwrite(fd, bytes, room, offset)), limit(-1);
        say("pwrite %s: %ld", what, result);
        break;
    case 4:
        make_writable(fd, parts, count);
        limit(most), result = outcome(writev(fd, parts, count)), limit(-1);
        say("writev %s: %ld", what, result);
        break;
    case 5:
        if (index_of(fd) > ADDED) for (int i = 0; i < count; i++) parts[i].iov_base = bytes;
        result = outcome(readv(fd, parts, count));
        say("readv %s: %ld %016lx", what, result, digest(0, bytes, sizeof bytes));
        break;
    case 6:
        result = outcome(pread(fd, bytes, room, offset));
        say("pread %s: %ld %016lx", what, result, digest(0, bytes, sizeof bytes));
        break;
    case 7:
        limit(most), result = outcome(ftruncate(fd, below(3) ? offset : length)), limit(-1);
        say("ftruncate %s: %ld", what, result);
        break;
    case 8: case 9: {
        static const int ALLOCATED[] = {0, 1, 3, 3, 3, 2, 8, 16, 17, 32};
        int mode = ANY(ALLOCATED);
        limit(most), result = outcome(fallocate(fd, mode, offset, length)), limit(-1);
        say("fallocate %d %s: %ld", mode, what, result);
        break;
    }
    case 10: {
        int whence = below(6);
        say("lseek %d %s: %ld", whence, what, outcome(lseek(index_of(fd) == DIRECTORY ? 999 : fd, offset, whence)));
        break;
    }
    case 11: case 12: case 13: {
        // From or to a pipe more often than not.
        if (below(2)) fd = fds[READ_ONE + 2 * below(2)];
        if (below(2)) other = fds[WRITE_ONE + 2 * below(2)];
        unsigned flags = below(12) ? SPLICE_F_NONBLOCK : 16;
        limit(most), result = outcome(splice(fd, from, other, to, length, flags)), limit(-1);
        say("splice %d %d %d %d length %ld limit %ld %#x: %ld %ld %ld", index_of(fd), index_of(other), !!from, !!to, length, most, flags, result, in, out);
        if (result > 0 && (index_of(fd) < READ_ONE)) take(other);
        break;
    }
    case 14: {
        if (below(3)) fd = fds[READ_ONE + 2 * below(2)], other = fds[WRITE_ONE + 2 * below(2)];
        say("tee %d %d %ld: %ld", index_of(fd), index_of(other), length, outcome(tee(fd, other, length, SPLICE_F_NONBLOCK)));
        break;
    }
    case 15:
        for (int i = 0; i < count; i++) parts[i].iov_base = bytes;
        if (below(3)) fd = fds[READ_ONE + below(4)];
        result = outcome(vmsplice(fd, parts, count, SPLICE_F_NONBLOCK));
        say("vmsplice %s: %ld", what, result);
        if (result > 0) take(fd);
        break;
    case 16:
        // What is read while it is written depends on the sizes of pieces.
        if (index_of(fd) % 3 == index_of(other) % 3) break;
        // What has changed since 5.15.
        if (index_of(fd) > ADDED || !length) length = 1;
        if (index_of(fd) == DIRECTORY) break;
        limit(most), result = outcome(sendfile(other, fd, from, length)), limit(-1);
        say("sendfile %s %d: %ld %ld", what, !!from, result, in);
        if (result > 0) take(other);
        break;
    case 17:
        // Whether it goes from one file system to another has changed since 5.15.
        if ((fd == fds[MEMORY]) != (other == fds[MEMORY])) break;
        limit(most), result = outcome(copy_file_range(fd, from, other, to, length, 0)), limit(-1);
        say("copy %s %d %d: %ld %ld %ld", what, !!from, !!to, result, in, out);
        break;
    case 18: {
        int kind = below(4), number = below(9);
        if (kind == 0) result = outcome(readahead(fd, offset, room));
        else if (kind == 1) result = posix_fadvise(fd, offset, length, number);
        else if (kind == 2) result = outcome(sync_file_range(fd, offset, length, number));
        else result = outcome(number & 1 ? fsync(fd) : fdatasync(fd));
        say("advice %d %d %s: %ld", kind, number, what, result);
        break;
    }
    case 19: {
        static const int SEAL[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_SEAL, F_SEAL_FUTURE_WRITE, 0, 64};
        int seal = ANY(SEAL), file = fds[below(2) ? MEMORY : READ_ONE + below(4)];
        if (below(3)) break;
        say("seal %d %#x: %ld", index_of(file), seal, outcome(fcntl(file, F_ADD_SEALS, seal)));
        break;
    }
    case 20: {
        int file = any_file(), shared = below(3) ? MAP_SHARED : MAP_PRIVATE, access = below(2) ? PROT_READ : PROT_READ | PROT_WRITE;
        struct stat stat;
        CHECK(!fstat(file, &stat));
        // Where there is a hole, a mapping fills it.
        offset &= ~4095;
        if (offset < 0 || stat.st_size <= offset || lseek(file, offset, SEEK_DATA) != offset) break;
        unsigned char *map = mmap(NULL, 4096, access, shared, file, offset);
        say("map %d %ld %d %d: %d", index_of(file), offset, shared, access, map == MAP_FAILED ? -errno : 0);
        if (map == MAP_FAILED) break;
        // Behind the end nothing is changed, and yet its date.
        if (access & PROT_WRITE && stat.st_size > offset + 7) map[7] ^= 1;
        CHECK(!msync(map, 4096, MS_SYNC));
        say("mapped %016lx", digest(0, map, 4096));
        CHECK(!munmap(map, 4096));
        break;
    }
    case 21: {
        if (index_of(fd) > ADDED) fd = fds[A];
        make_writable(fd, parts, count);
        result = outcome(pwritev2(fd, parts, count, below(3) ? offset : -1, below(2) ? RWF_APPEND : 0));
        say("pwritev2 %s: %ld", what, result);
        break;
    }
    }
}

static void run_series(const char *folder) {
    CHECK(!mkdir(folder, 0755) && !chdir(folder) && signal(SIGXFSZ, count_signal) != SIG_ERR);
    signals = 0;
    fds[A] = open("a", O_RDWR | O_CREAT | O_EXCL, 0644);
    fds[B] = open("b", O_RDWR | O_CREAT | O_EXCL, 0644);
    fds[MEMORY] = memfd_create("memory", below(3) ? MFD_ALLOW_SEALING : 0);
    fds[ADDED] = open("b", O_WRONLY | O_APPEND);
    CHECK(!pipe2(fds + READ_ONE, O_NONBLOCK) && !pipe2(fds + READ_TWO, O_NONBLOCK));
    CHECK(fcntl(fds[WRITE_ONE], F_SETPIPE_SZ, 1 << 20) == 1 << 20);
    CHECK(fcntl(fds[WRITE_TWO], F_SETPIPE_SZ, 1 << 20) == 1 << 20);
    fds[DIRECTORY] = open(".", O_RDONLY);
    for (int i = 0; i < ALL; i++) CHECK(fds[i] >= 0);
    struct timespec past[2] = {{1000, 0}, {1000, 0}};
    for (series_step = 0; series_step < STEPS; series_step++) {
        for (int i = 0; i < FILES; i++) CHECK(!futimens(fds[i], past));
        step();
        say_files();
    }
    for (int i = 0; i < ALL; i++) CHECK(!close(fds[i]));
    CHECK(!unlink("a") && !unlink("b") && !chdir("/") && !rmdir(folder));
}
