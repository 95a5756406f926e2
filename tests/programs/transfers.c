// Bytes on their way: appends that are one step, splices of what there is room for, packets in pipes,
// buffers that are good for a part. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

#define WRITERS 3
#define APPENDS 6
#define PIECE 200000

// Each write is many pieces for us, and one step for everybody else.
static void appends(void) {
    static char bytes[PIECE];
    pid_t children[WRITERS];
    CHECK(close(open("log", O_CREAT | O_TRUNC | O_WRONLY, 0600)) == 0);
    for (int writer = 0; writer < WRITERS; writer++) {
        children[writer] = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        CHECK(children[writer] >= 0);
        if (children[writer] > 0) continue;
        memset(bytes, 'a' + writer, sizeof bytes);
        int fd = open("log", O_WRONLY | O_APPEND);
        for (int i = 0; i < APPENDS; i++) CHECK(write(fd, bytes, PIECE) == PIECE);
        _exit(0);
    }
    for (int writer = 0; writer < WRITERS; writer++) {
        int status;
        CHECK(waitpid(children[writer], &status, 0) == children[writer] && status == 0);
    };
    int fd = open("log", O_RDONLY);
    for (int i = 0; i < WRITERS * APPENDS; i++) {
        CHECK(read(fd, bytes, PIECE) == PIECE);
        for (int at = 1; at < PIECE; at++) CHECK(bytes[at] == bytes[0]);
    }
    CHECK(read(fd, bytes, 1) == 0 && close(fd) == 0 && unlink("log") == 0);
}

static void splices(void) {
    int first[2], second[2];
    char bytes[8192] = "xy";
    CHECK(pipe(first) == 0 && pipe(second) == 0);
    CHECK(write(first[1], bytes, 8192) == 8192);
    CHECK(fcntl(second[1], F_SETPIPE_SZ, 8192) == 8192 && write(second[1], bytes, 4096) == 4096);
    CHECK(splice(first[0], 0, second[1], 0, 8192, 0) == 4096);
    FAILS(splice(first[0], 0, second[1], 0, 8192, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK(read(first[0], bytes, 8192) == 4096 && read(second[0], bytes, 8192) == 8192);
    loff_t bad = -1;
    CHECK(write(first[1], bytes, 2) == 2);
    int fd = open("spliced", O_CREAT | O_RDWR, 0600);
    FAILS(splice(first[0], 0, fd, &bad, 2, 0), EINVAL);
    CHECK(splice(first[0], 0, fd, 0, 2, 0) == 2 && lseek(fd, 0, SEEK_CUR) == 2);
    for (int i = 0; i < 2; i++) CHECK(close(first[i]) == 0 && close(second[i]) == 0);
    CHECK(close(fd) == 0 && unlink("spliced") == 0);
}

static void packets(void) {
    int ends[2];
    char bytes[10000];
    CHECK(pipe2(ends, O_DIRECT | O_NONBLOCK) == 0);
    CHECK(write(ends[1], "first", 5) == 5 && write(ends[1], "second", 6) == 6);
    CHECK(read(ends[0], bytes, sizeof bytes) == 5 && memcmp(bytes, "first", 5) == 0);
    CHECK(read(ends[0], bytes, 3) == 3 && memcmp(bytes, "sec", 3) == 0);
    FAILS(read(ends[0], bytes, sizeof bytes), EAGAIN);
    CHECK(write(ends[1], bytes, 5000) == 5000);
    CHECK(read(ends[0], bytes, sizeof bytes) == 4096 && read(ends[0], bytes, sizeof bytes) == 904);
    CHECK(fcntl(ends[1], F_SETFL, 0) == 0);
    CHECK(write(ends[1], "ab", 2) == 2 && write(ends[1], "cd", 2) == 2);
    CHECK(read(ends[0], bytes, sizeof bytes) == 4);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void parts(void) {
    char *pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED && mprotect(pages + 4096, 4096, PROT_NONE) == 0);
    int fd = open("parts", O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0 && write(fd, "some bytes of a file", 20) == 20);
    CHECK(pread(fd, pages + 4090, 20, 0) == 6 && memcmp(pages + 4090, "some b", 6) == 0);
    FAILS(pread(fd, pages + 4096, 20, 0), EFAULT);
    CHECK(pwrite(fd, pages + 4090, 20, 0) == 6);
    FAILS(pread(fd, pages, 10, INT64_MAX), EINVAL);
    CHECK(close(fd) == 0 && unlink("parts") == 0);
    CHECK((fd = open("parts", O_CREAT | O_RDWR, 0600)) >= 0 && fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL);
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    CHECK(close(fd) == 0 && unlink("parts") == 0);
    int directory = open(".", O_RDONLY);
    FAILS(lseek(directory, 0, SEEK_END), EINVAL);
    CHECK(close(directory) == 0);
    FAILS(open(".", O_RDONLY | O_DIRECT), EINVAL);
    CHECK((fd = open("parts", O_CREAT | O_RDWR, 0600)) >= 0 && close(fd) == 0);
    CHECK((fd = open("parts", O_ACCMODE)) >= 0);
    FAILS(write(fd, "x", 1), EBADF);
    FAILS(read(fd, pages, 1), EBADF);
    CHECK(close(fd) == 0 && unlink("parts") == 0 && munmap(pages, 8192) == 0);
}

// Of a mapping of a file only what the file has can be written elsewhere.
static void behind_the_end(void) {
    int from = open("short", O_CREAT | O_RDWR, 0600), to = open("copy", O_CREAT | O_WRONLY, 0600);
    CHECK(from >= 0 && to >= 0 && ftruncate(from, 4096) == 0);
    char *pages = mmap(0, 8192, PROT_READ, MAP_PRIVATE, from, 0);
    CHECK(pages != MAP_FAILED);
    struct iovec both[2] = {{pages, 4096}, {pages, 8192}};
    CHECK(pwritev(to, both, 2, 0) == 8192);
    FAILS(write(to, pages + 4096, 10), EFAULT);
    CHECK(munmap(pages, 8192) == 0 && close(from) == 0 && close(to) == 0);
    CHECK(unlink("short") == 0 && unlink("copy") == 0);
}

// A name that no buffer so short could hold comes before a bad buffer.
static void listings(void) {
    char *pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED && munmap(pages + 4096, 4096) == 0);
    int fd = open("/", O_RDONLY | O_DIRECTORY);
    FAILS(syscall(SYS_getdents64, fd, pages + 4096, 10), EINVAL);
    FAILS(syscall(SYS_getdents64, fd, pages + 4096, 1000), EFAULT);
    CHECK(close(fd) == 0 && munmap(pages, 4096) == 0);
}

static void kinds(void) {
    struct statfs about;
    int ends[2], fd;
    CHECK(pipe(ends) == 0 && fstatfs(ends[0], &about) == 0);
    CHECK(about.f_type == 0x50495045 && about.f_namelen == 255 && about.f_bsize == 4096);
    FAILS(fcntl(ends[0], F_SETPIPE_SZ, INT64_MAX), EINVAL);
    FAILS(syscall(SYS_fallocate, ends[1], 0, 0L, 10L), ESPIPE);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && fstatfs(ends[0], &about) == 0);
    CHECK(about.f_type == 0x534f434b);
    FAILS(syscall(SYS_fallocate, ends[1], 0, 0L, 10L), ENODEV);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    CHECK((fd = eventfd(0, 0)) >= 0 && fstatfs(fd, &about) == 0 && about.f_type == 0x09041934);
    FAILS(syscall(SYS_fallocate, fd, 0, 0L, 10L), ENODEV);
    CHECK(close(fd) == 0);
    // What has no input and output knows no more than its flags.
    CHECK((fd = open(".", O_PATH)) >= 0 && fcntl(fd, F_GETFL) & O_PATH);
    FAILS(fcntl(fd, F_SETFL, 0), EBADF);
    FAILS(fcntl(fd, F_GETOWN), EBADF);
    FAILS(syscall(SYS_fcntl, fd, 16 /* F_GETOWN_EX */, 0), EBADF);
    FAILS(syscall(SYS_fadvise64, fd, 0L, 0L, 0), EBADF);
    CHECK(close(fd) == 0);
    CHECK((fd = open(".", O_TMPFILE | O_RDWR, 0600)) >= 0);
    FAILS(syscall(SYS_sync_file_range, fd, 8192L, INT64_MAX - 4096, 0), EINVAL);
    FAILS(syscall(SYS_fcntl, fd, 15 /* F_SETOWN_EX */, (int[]){1, -1}), ESRCH);
    CHECK(close(fd) == 0);
    CHECK((fd = memfd_create("m", 0)) >= 0 && fstatfs(fd, &about) == 0 && about.f_type == 0x01021994);
    CHECK(close(fd) == 0);
}

static void *reads_fifo(void *unused) {
    char byte = 0;
    int fd = open("fifo", O_RDONLY);
    CHECK(fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'x' && close(fd) == 0);
    return unused;
}

// Who found somebody at the other end waits for nobody, though they have gone meanwhile.
static void meetings(void) {
    CHECK(mkfifo("fifo", 0600) == 0);
    for (int i = 0; i < 200; i++) {
        pthread_t reader;
        CHECK(pthread_create(&reader, 0, reads_fifo, 0) == 0);
        int fd = open("fifo", O_WRONLY);
        CHECK(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
        CHECK(pthread_join(reader, 0) == 0);
    }
    int both = open("fifo", O_RDWR), reader = open("fifo", O_RDONLY | O_NONBLOCK);
    struct pollfd end = {.fd = reader, .events = POLLIN};
    CHECK(both >= 0 && reader >= 0 && poll(&end, 1, 0) == 0 && close(both) == 0);
    CHECK(poll(&end, 1, 0) == 1 && end.revents == POLLHUP);
    CHECK(close(reader) == 0 && (end.fd = open("fifo", O_RDONLY | O_NONBLOCK)) >= 0);
    CHECK(poll(&end, 1, 0) == 0 && close(end.fd) == 0 && unlink("fifo") == 0);
}

// What one call asks for that its descriptor does not.
static void wishes(void) {
    char bytes[8] = "";
    struct iovec two = {bytes, 2}, none = {bytes, 0}, bad = {(void *)8, 2};
    int fd = open("wishes", O_CREAT | O_RDWR | O_TRUNC, 0600), ends[2];
    CHECK(fd >= 0 && write(fd, "abcd", 4) == 4 && lseek(fd, 1, SEEK_SET) == 1 && pipe(ends) == 0);
    memcpy(bytes, "xy", 2);
    CHECK(pwritev2(fd, &two, 1, 0, RWF_APPEND) == 2 && lseek(fd, 0, SEEK_CUR) == 1);
    CHECK(pwritev2(fd, &two, 1, -1, RWF_APPEND) == 2 && lseek(fd, 0, SEEK_CUR) == 8);
    CHECK(pread(fd, bytes, 8, 0) == 8 && memcmp(bytes, "abcdxyxy", 8) == 0);
    CHECK(pwritev2(ends[1], &two, 1, -1, RWF_APPEND) == 2 && read(ends[0], bytes, 8) == 2);
    CHECK(preadv2(fd, &two, 1, 2, RWF_APPEND | RWF_HIPRI) == 2 && memcmp(bytes, "cd", 2) == 0);
    // In which order things are looked at.
    FAILS(preadv2(fd, &two, 1, 0, 0x4000), EOPNOTSUPP);
    FAILS(pwritev2(fd, &two, 1, 0, 0x4000), EOPNOTSUPP);
    CHECK(preadv2(fd, &none, 1, 0, 0x4000) == 0 && pwritev2(fd, &none, 1, -1, 0x4000) == 0);
    FAILS(pwritev2(ends[1], &two, 1, 0, 0x4000), ESPIPE);
    FAILS(preadv2(ends[1], &two, 1, -1, 0x4000), EBADF);
    FAILS(pwritev2(ends[0], &two, 1, -1, 0x4000), EBADF);
    FAILS(pwritev2(fd, &bad, -1, 0, 0x4000), EINVAL);
    CHECK(close(fd) == 0 && unlink("wishes") == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

static volatile sig_atomic_t broken;

static void on_broken_pipe(int signal) {
    broken += signal == SIGPIPE;
}

// Of streams that nobody reads a signal tells, of packets none.
static void broken_pipes(void) {
    signal(SIGPIPE, on_broken_pipe);
    int kinds[] = {SOCK_STREAM, SOCK_SEQPACKET}, ends[2], pair[2];
    int fd = open("source", O_CREAT | O_RDWR | O_TRUNC, 0600);
    CHECK(write(fd, "abcd", 4) == 4 && lseek(fd, 0, SEEK_SET) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(pipe(ends) == 0 && write(ends[1], "abcd", 4) == 4);
        CHECK(socketpair(AF_UNIX, kinds[i], 0, pair) == 0 && close(pair[1]) == 0);
        broken = 0;
        FAILS(splice(ends[0], 0, pair[0], 0, 4, 0), EPIPE);
        CHECK(broken == (i == 0));
        FAILS(sendfile(pair[0], fd, 0, 4), EPIPE);
        CHECK(broken == (i == 0 ? 2 : 0));
        CHECK(close(pair[0]) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
    }
    CHECK(close(fd) == 0 && unlink("source") == 0);
    signal(SIGPIPE, SIG_DFL);
}

static long counted(const char *name) {
    char text[512] = "";
    int fd = open("/proc/self/io", O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && close(fd) == 0);
    return atol(strstr(text, name) + strlen(name));
}

// What the kernel moves by itself counts, too.
static void counts(void) {
    static char bytes[1000];
    int from = open("from", O_CREAT | O_RDWR | O_TRUNC, 0600), to = open("to", O_CREAT | O_RDWR | O_TRUNC, 0600);
    CHECK(write(from, bytes, sizeof bytes) == sizeof bytes && lseek(from, 0, SEEK_SET) == 0);
    long written = counted("wchar: "), calls = counted("syscw: "), before = counted("rchar: ");
    long reads = counted("rchar: ") - before; // of a look at the counts
    CHECK(sendfile(to, from, 0, 600) == 600);
    CHECK(counted("wchar: ") == written + 600 && counted("syscw: ") == calls + 1);
    CHECK(syscall(SYS_copy_file_range, from, 0, to, 0, 400, 0) == 400);
    CHECK(counted("wchar: ") == written + 1000 && counted("rchar: ") >= before + 1000 + 4 * reads);
    CHECK(close(from) == 0 && close(to) == 0 && unlink("from") == 0 && unlink("to") == 0);
}

// Two threads move the same pages between two pipes, one here and one there, and one copies some of them.
// Nothing is lost, and nobody waits for ever for a lock.
static int circle[2][2], copies[2];

static void *go_round(void *side) {
    int from = side != 0;
    for (int i = 0; i < 20000; i++)
        if (splice(circle[from][0], 0, circle[!from][1], 0, 1 + i % 9000, SPLICE_F_NONBLOCK) < 0)
            CHECK(errno == EAGAIN);
    return 0;
}

static void both_ways(void) {
    char page[4096] = "";
    CHECK(pipe(circle[0]) == 0 && pipe(circle[1]) == 0 && pipe2(copies, O_NONBLOCK) == 0);
    for (int i = 0; i < 10; i++) CHECK(write(circle[i % 2][1], page, sizeof page) == sizeof page);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], 0, go_round, i ? circle : 0) == 0);
    for (int i = 0; i < 2000; i++) {
        CHECK(tee(circle[i % 2][0], copies[1], 5000, SPLICE_F_NONBLOCK) >= 0 || errno == EAGAIN);
        while (read(copies[0], page, sizeof page) > 0) continue;
    }
    int left[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], 0) == 0);
    for (int i = 0; i < 2; i++) CHECK(ioctl(circle[i][0], FIONREAD, &left[i]) == 0);
    CHECK(left[0] + left[1] == 10 * sizeof page);
    for (int i = 0; i < 2; i++) CHECK(close(circle[i][0]) == 0 && close(circle[i][1]) == 0);
    CHECK(close(copies[0]) == 0 && close(copies[1]) == 0);
}

int main(void) {
    CHECK(chdir("/tmp") == 0);
    wishes();
    broken_pipes();
    counts();
    appends();
    splices();
    packets();
    parts();
    behind_the_end();
    listings();
    kinds();
    meetings();
    both_ways();
    puts("transfers are as on Linux");
    return 0;
}
