// Files as programs use them, in a directory of a root that can be written and on a tmpfs. The exit
// status is the line of the first check that fails; on a host it passes in any directory.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, number) CHECK((call) == -1 && errno == (number))

// Not in every libc.
static int move(const char *from, const char *to, unsigned flags) {
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(fsync(fd) == 0);
    CHECK(close(fd) == 0);
}

static int holds(const char *path, const char *text) {
    char bytes[256];
    int fd = open(path, O_RDONLY);
    if (fd < 0) return 0;
    ssize_t count = read(fd, bytes, sizeof bytes);
    close(fd);
    return count == (ssize_t)strlen(text) && memcmp(bytes, text, count) == 0;
}

static int entries(const char *path) {
    DIR *directory = opendir(path);
    CHECK(directory);
    int count = 0;
    while (readdir(directory)) count++;
    closedir(directory);
    return count - 2;
}

static void names(void) {
    struct stat status, other;
    CHECK(mkdir("d", 0755) == 0);
    write_file("d/a", "alpha");
    CHECK(link("d/a", "d/b") == 0);
    CHECK(stat("d/b", &status) == 0 && status.st_nlink == 2);
    CHECK(rename("d", "e") == 0);
    CHECK(holds("e/b", "alpha"));
    CHECK(symlink("e/a", "s") == 0);
    CHECK(holds("s", "alpha"));
    FAILS(open("s", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK(move("e/a", "s", 2 /* RENAME_EXCHANGE */) == 0);
    CHECK(lstat("e/a", &status) == 0 && S_ISLNK(status.st_mode));
    FAILS(move("s", "e/b", 1 /* RENAME_NOREPLACE */), EEXIST);
    FAILS(rmdir("e"), ENOTEMPTY);
    CHECK(entries("e") == 2);
    CHECK(stat("s", &status) == 0 && stat("e/b", &other) == 0);
    CHECK(status.st_ino == other.st_ino && status.st_dev == other.st_dev);
    CHECK(unlink("e/a") == 0 && unlink("e/b") == 0 && rmdir("e") == 0 && unlink("s") == 0);
    CHECK(entries(".") == 0);
}

static void content(void) {
    struct stat status;
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0);
    CHECK(pwrite(fd, "x", 1, 1 << 20) == 1);
    CHECK(lseek(fd, 0, SEEK_DATA) == 1 << 20);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096) == 0);
    FAILS(lseek(fd, 0, SEEK_DATA), ENXIO);
    CHECK(posix_fallocate(fd, 0, (1 << 20) + 4096) == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_size == (1 << 20) + 4096);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0);
    CHECK(ftruncate(fd, 3) == 0);
    CHECK(stat("named", &status) == 0 && status.st_size == 3 && status.st_nlink == 1);
    CHECK(unlink("named") == 0);
    CHECK(fstat(fd, &status) == 0 && status.st_nlink == 0);
    CHECK(close(fd) == 0);
    // What was made to have no name gets none.
    CHECK((fd = open(".", O_TMPFILE | O_EXCL | O_RDWR, 0600)) >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    FAILS(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), ENOENT);
    CHECK(close(fd) == 0);
    int null = open("/dev/null", O_WRONLY | O_APPEND);
    CHECK(write(null, "abc", 3) == 3 && close(null) == 0);
}

// A copy of all that a file holds, behind its end.
static void copies(void) {
    write_file("f", "text");
    int fd = open("f", O_RDWR);
    CHECK(fd >= 0);
    long from = 0, to = 4;
    CHECK(syscall(SYS_copy_file_range, fd, &from, fd, &to, 1L << 20, 0) == 4);
    from = 0, to = 4;
    FAILS(syscall(SYS_copy_file_range, fd, &from, fd, &to, 1L << 20, 0), EINVAL);
    CHECK(holds("f", "texttext") && close(fd) == 0 && unlink("f") == 0);
}

static void whiteouts(void) {
    struct statfs statistics;
    struct stat status;
    write_file("f", "text");
    CHECK(statfs(".", &statistics) == 0);
    if (statistics.f_type == 0x794c7630 /* OVERLAYFS_SUPER_MAGIC */) {
        FAILS(move("f", "g", 4 /* RENAME_WHITEOUT */), EINVAL);
        FAILS(mknod("g", S_IFCHR, 0), EPERM);
    } else {
        CHECK(move("f", "g", 4) == 0 && holds("g", "text"));
        CHECK(stat("f", &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == 0);
        FAILS(open("f", O_RDONLY), ENXIO);
        CHECK(unlink("g") == 0);
    }
    CHECK(unlink("f") == 0);
}

static int set_flags(const char *path, int flags) {
    int old, fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &old) == 0);
    old = (old & ~(FS_APPEND_FL | FS_IMMUTABLE_FL | FS_NODUMP_FL | FS_NOATIME_FL)) | flags;
    int result = ioctl(fd, FS_IOC_SETFLAGS, &old), error = errno;
    CHECK(close(fd) == 0);
    errno = error;
    return result;
}

static void stays(const char *path) {
    FAILS(open(path, O_WRONLY), EPERM);
    FAILS(truncate(path, 0), EPERM);
    FAILS(unlink(path), EPERM);
    FAILS(link(path, "again"), EPERM);
    FAILS(rename(path, "again"), EPERM);
    FAILS(chmod(path, 0600), EPERM);
    FAILS(chown(path, 7, 7), EPERM);
    FAILS(setxattr(path, "trusted.k", "value", 5, 0), EPERM);
    struct timespec times[2] = {{1, 2}, {3, 4}};
    FAILS(utimensat(AT_FDCWD, path, times, 0), EPERM);
}

// What may only be added to, and what stays as it is, whoever asks.
static void flags(void) {
    struct statx status;
    struct fsxattr extended;
    int unknown = 1 << 30, has;
    write_file("f", "text");
    int fd = open("f", O_RDWR);
    CHECK(fd >= 0 && set_flags("f", FS_APPEND_FL) == 0);
    stays("f");
    FAILS(open("f", O_WRONLY | O_APPEND | O_TRUNC), EPERM);
    int add = open("f", O_RDWR | O_APPEND);
    CHECK(add >= 0 && write(add, "!", 1) == 1 && holds("f", "text!"));
    FAILS(fcntl(add, F_SETFL, 0), EPERM);
    FAILS(ftruncate(fd, 0), EPERM);
    FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EPERM);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, add, 0) == MAP_FAILED && errno == EACCES);
    CHECK(utimensat(AT_FDCWD, "f", NULL, 0) == 0);
    CHECK(statx(AT_FDCWD, "f", 0, STATX_BTIME, &status) == 0);
    // The bits are those of the flags.
    CHECK((status.stx_attributes & (FS_APPEND_FL | FS_IMMUTABLE_FL)) == FS_APPEND_FL);
    CHECK((status.stx_mask & STATX_BTIME) && status.stx_btime.tv_sec > 1000000000);

    CHECK(set_flags("f", FS_IMMUTABLE_FL) == 0);
    stays("f");
    FAILS(open("f", O_WRONLY | O_APPEND), EPERM);
    FAILS(access("f", W_OK), EPERM);
    FAILS(fallocate(fd, 0, 0, 4096), EPERM);
    FAILS(utimensat(AT_FDCWD, "f", NULL, 0), EPERM);
    CHECK(ioctl(fd, FS_IOC_FSGETXATTR, &extended) == 0);
    CHECK((extended.fsx_xflags & (FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND)) == FS_XFLAG_IMMUTABLE);
    FAILS(ioctl(fd, FS_IOC_SETFLAGS, &unknown), EOPNOTSUPP);
    CHECK(close(add) == 0 && close(fd) == 0);

    CHECK(set_flags("f", 0) == 0 && unlink("f") == 0 && mkdir("d", 0755) == 0);
    CHECK(set_flags("d", FS_APPEND_FL | FS_NODUMP_FL) == 0);
    write_file("d/f", "");
    FAILS(unlink("d/f"), EPERM);
    CHECK((fd = open("d/f", O_RDONLY)) >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &has) == 0);
    CHECK((has & (FS_APPEND_FL | FS_NODUMP_FL)) == FS_NODUMP_FL && close(fd) == 0);
    CHECK(set_flags("d", FS_IMMUTABLE_FL) == 0);
    FAILS(open("d/g", O_WRONLY | O_CREAT, 0600), EPERM);
    FAILS(unlink("d/f"), EPERM);
    FAILS(rmdir("d"), EPERM);
    CHECK(set_flags("d", 0) == 0 && unlink("d/f") == 0 && rmdir("d") == 0);
}

static void attributes(void) {
    char value[16], list[64];
    struct stat status;
    umask(027);
    write_file("f", "");
    CHECK(stat("f", &status) == 0 && (status.st_mode & 07777) == 0640);
    umask(022);
    CHECK(chmod("f", 02711) == 0 && chown("f", 7, -1) == 0);
    CHECK(stat("f", &status) == 0 && status.st_uid == 7 && (status.st_mode & 07777) == 0711);
    CHECK(chmod("f", 06711) == 0 && chown("f", -1, -1) == 0);
    CHECK(stat("f", &status) == 0 && (status.st_mode & 07777) == 0711);
    struct timespec times[2] = {{1, 2}, {3, 4}};
    CHECK(utimensat(AT_FDCWD, "f", times, 0) == 0);
    CHECK(stat("f", &status) == 0 && status.st_atim.tv_nsec == 2 && status.st_mtim.tv_sec == 3);
    CHECK(setxattr("f", "user.k", "value", 5, XATTR_CREATE) == 0);
    FAILS(setxattr("f", "user.k", "value", 5, XATTR_CREATE), EEXIST);
    CHECK(getxattr("f", "user.k", value, sizeof value) == 5 && memcmp(value, "value", 5) == 0);
    FAILS(getxattr("f", "user.k", value, 2), ERANGE);
    CHECK(listxattr("f", list, sizeof list) == 7 && strcmp(list, "user.k") == 0);
    CHECK(removexattr("f", "user.k") == 0);
    FAILS(getxattr("f", "user.k", value, sizeof value), ENODATA);
    CHECK(unlink("f") == 0);
}

// A read is noted, the first after each change, and that a link was followed.
static void accesses(void) {
    struct stat before[2], after[2];
    char byte;
    write_file("f", "x");
    CHECK(symlink("f", "s") == 0);
    CHECK(lstat("f", &before[0]) == 0 && lstat("s", &before[1]) == 0);
    usleep(20000);
    int fd = open("s", O_RDONLY);
    CHECK(fd >= 0 && read(fd, &byte, 1) == 1 && close(fd) == 0);
    CHECK(lstat("f", &after[0]) == 0 && lstat("s", &after[1]) == 0);
    for (int index = 0; index < 2; index++) {
        long passed = (after[index].st_atim.tv_sec - before[index].st_atim.tv_sec) * 1000000000 +
                      after[index].st_atim.tv_nsec - before[index].st_atim.tv_nsec;
        CHECK(passed > 0);
        CHECK(after[index].st_mtim.tv_nsec == before[index].st_mtim.tv_nsec);
    }
    CHECK(unlink("f") == 0 && unlink("s") == 0);
}

static void *unlock_soon(void *lock) {
    usleep(50000);
    CHECK(fcntl(*(int *)lock, F_OFD_SETLK, &(struct flock){.l_type = F_UNLCK}) == 0);
    return NULL;
}

static void locks(void) {
    int one = open("l", O_RDWR | O_CREAT, 0600), two = open("l", O_RDWR);
    CHECK(one >= 0 && two >= 0);
    CHECK(flock(one, LOCK_SH) == 0 && flock(two, LOCK_SH) == 0);
    FAILS(flock(one, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK(close(two) == 0);
    CHECK(flock(one, LOCK_EX | LOCK_NB) == 0);
    CHECK(flock(one, LOCK_UN) == 0);

    two = open("l", O_RDWR);
    struct flock some = {.l_type = F_WRLCK, .l_start = 10, .l_len = 5};
    CHECK(fcntl(one, F_OFD_SETLK, &some) == 0);
    struct flock all = {.l_type = F_RDLCK};
    FAILS(fcntl(two, F_OFD_SETLK, &all), EAGAIN);
    CHECK(fcntl(two, F_OFD_GETLK, &all) == 0);
    CHECK(all.l_type == F_WRLCK && all.l_start == 10 && all.l_len == 5 && all.l_pid == -1);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, unlock_soon, &one) == 0);
    CHECK(fcntl(two, F_OFD_SETLKW, &(struct flock){.l_type = F_WRLCK}) == 0);
    CHECK(pthread_join(thread, NULL) == 0);

    // A process never stands in its own way, and loses all with any descriptor.
    CHECK(fcntl(two, F_OFD_SETLK, &(struct flock){.l_type = F_UNLCK}) == 0);
    some = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -1, .l_len = 1};
    FAILS(fcntl(one, F_SETLK, &some), EINVAL);
    some.l_start = 0;
    CHECK(fcntl(one, F_SETLK, &some) == 0 && fcntl(two, F_SETLK, &some) == 0);
    FAILS(fcntl(two, F_OFD_SETLK, &(struct flock){.l_type = F_RDLCK}), EAGAIN);
    int third = open("l", O_RDONLY);
    FAILS(fcntl(third, F_SETLK, &some), EBADF);
    CHECK(close(third) == 0);
    CHECK(fcntl(two, F_OFD_SETLK, &(struct flock){.l_type = F_RDLCK}) == 0);
    CHECK(close(one) == 0 && close(two) == 0 && unlink("l") == 0);
}

// What any file answers, and what devices of random bytes do.
static void requests(void) {
    int file = open("r", O_CREAT | O_RDWR, 0600), added = open("r", O_RDWR | O_APPEND), ends[2], size = 0, count;
    CHECK(file >= 0 && added >= 0 && write(file, "x", 1) == 1 && pipe(ends) == 0);
    int directory = open(".", O_RDONLY), device = open("/dev/zero", O_RDWR), random = open("/dev/urandom", O_RDONLY);
    FAILS(ioctl(file, FICLONE, file), EOPNOTSUPP);
    FAILS(ioctl(file, FICLONE, directory), EISDIR);
    FAILS(ioctl(file, FICLONE, ends[0]), EXDEV);
    FAILS(ioctl(device, FICLONE, device), EINVAL);
    FAILS(ioctl(added, FICLONE, file), EBADF);
    FAILS(ioctl(file, FICLONE, -1), EBADF);
    struct file_clone_range part = {.src_fd = file};
    FAILS(ioctl(added, FICLONERANGE, &part), EBADF);
    FAILS(ioctl(file, FICLONERANGE, &part), EOPNOTSUPP);
    FAILS(ioctl(file, FICLONERANGE, 8), EFAULT);
    struct file_dedupe_range alike = {.src_length = 1};
    FAILS(ioctl(file, FIDEDUPERANGE, &alike), EOPNOTSUPP);
    FAILS(ioctl(directory, FIDEDUPERANGE, &alike), EISDIR);
    FAILS(ioctl(ends[0], FIDEDUPERANGE, &alike), EINVAL);
    alike.reserved2 = 1;
    FAILS(ioctl(directory, FIDEDUPERANGE, &alike), EINVAL);
    alike.dest_count = 1000;
    FAILS(ioctl(file, FIDEDUPERANGE, &alike), ENOMEM);
    CHECK(ioctl(file, FIGETBSZ, &size) == 0 && size == 4096);
    CHECK(ioctl(ends[0], FIGETBSZ, &size) == 0 && size == 4096);
    CHECK(ioctl(random, RNDGETENTCNT, &count) == 0 && count == 256);
    FAILS(ioctl(random, RNDGETENTCNT, 8), EFAULT);
    FAILS(ioctl(random, TCGETS, &count), EINVAL);
    FAILS(ioctl(device, TCGETS, &count), ENOTTY);
    int seed[4] = {0, sizeof(int), 1234};
    CHECK(ioctl(random, RNDADDENTROPY, seed) == 0 && ioctl(random, RNDRESEEDCRNG, 0) == 0);
    seed[1] = -1;
    FAILS(ioctl(random, RNDADDENTROPY, seed), EFAULT);
    seed[0] = -1;
    FAILS(ioctl(random, RNDADDENTROPY, seed), EINVAL);
    FAILS(ioctl(random, RNDADDTOENTCNT, seed), EINVAL);
    pid_t child = fork();
    if (child == 0) {
        CHECK(setuid(1000) == 0);
        FAILS(ioctl(random, RNDADDTOENTCNT, seed), EPERM);
        FAILS(ioctl(random, RNDZAPENTCNT, 0), EPERM);
        CHECK(ioctl(random, RNDGETENTCNT, &count) == 0);
        _exit(0);
    }
    CHECK(waitpid(child, &count, 0) == child && count == 0);
    for (int fd = file; fd <= random; fd++) CHECK(close(fd) == 0);
    CHECK(unlink("r") == 0);
}

int main(int argc, char **argv) {
    char *everywhere[] = {argv[0], "/", "/tmp"};
    if (argc == 1) argc = 3, argv = everywhere;
    for (int index = 1; index < argc; index++) {
        char directory[64];
        snprintf(directory, sizeof directory, "%s/files-XXXXXX", argv[index]);
        CHECK(mkdtemp(directory) && chdir(directory) == 0);
        names();
        content();
        copies();
        whiteouts();
        flags();
        attributes();
        accesses();
        locks();
        requests();
        struct statfs statistics;
        CHECK(statfs(".", &statistics) == 0 && statistics.f_bfree > 0);
        CHECK(chdir("/") == 0 && rmdir(directory) == 0);
        printf("%s: files are files\n", argv[index]);
    }
    return 0;
}
