// Mounts of programs: what they may be asked for, what /proc and statfs say of them, which reads they note.
// The exit status is the line of the first check that fails; it passes on Linux, too, for the superuser in a
// name space of its own.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

#define PLACE "/tmp/place"
#undef ST_RELATIME
#define ST_RELATIME 0x1000

static int make(unsigned long flags, const char *options) {
    return mount("none", PLACE, "tmpfs", flags, options);
}

static int change(unsigned long flags, const char *options) {
    return make(MS_REMOUNT | flags, options);
}

static struct statfs sizes(void) {
    struct statfs statistics;
    CHECK(statfs(PLACE, &statistics) == 0);
    return statistics;
}

// Whether the line of the last mount there has a text.
static int shown(const char *part) {
    static char text[1 << 14];
    int fd = open("/proc/self/mounts", O_RDONLY), done = 0, count;
    while ((count = read(fd, text + done, sizeof text - 1 - done)) > 0) done += count;
    CHECK(fd >= 0 && close(fd) == 0);
    text[done] = 0;
    char *line = text;
    for (char *at = text; (at = strstr(at, " " PLACE " ")); at++) line = at;
    line[strcspn(line, "\n")] = 0;
    return strstr(line, part) != NULL;
}

static void limits(void) {
    CHECK(make(0, "size=8k,nr_inodes=3,mode=700,uid=7,gid=8") == 0);
    struct stat status;
    CHECK(stat(PLACE, &status) == 0 && status.st_uid == 7 && status.st_gid == 8 && (status.st_mode & 07777) == 0700);
    struct statfs now = sizes();
    CHECK(now.f_blocks == 2 && now.f_files == 3 && now.f_ffree == 2);
    CHECK(shown("size=8k") && shown("nr_inodes=3"));
    // Some kernels keep notes of each that take as much as one more.
    CHECK(mkdir(PLACE "/a", 0755) == 0 && (mkdir(PLACE "/b", 0755) == 0 || errno == ENOSPC));
    FAILS(mkdir(PLACE "/c", 0755), ENOSPC);
    FAILS(change(0, "nr_inodes=1"), EINVAL);
    CHECK(change(0, "size=16k,nr_inodes=9") == 0 && sizes().f_blocks == 4 && sizes().f_ffree >= 6);
    CHECK(mkdir(PLACE "/c", 0755) == 0);
    CHECK(umount(PLACE) == 0);
    CHECK(make(0, "nr_blocks=2,nr_inodes=1k") == 0 && sizes().f_blocks == 2 && sizes().f_files == 1024);
    CHECK(umount(PLACE) == 0);
    CHECK(make(0, "size=0,nr_inodes=0") == 0 && sizes().f_blocks == 0 && mkdir(PLACE "/a", 0755) == 0);
    CHECK(shown("size=0k") && umount(PLACE) == 0);
    CHECK(make(0, "size=50%,,rw") == 0);
    unsigned long half = sizes().f_blocks;
    CHECK(umount(PLACE) == 0 && make(0, "size=25%") == 0 && half > 0);
    CHECK(sizes().f_blocks >= half / 2 && sizes().f_blocks <= half / 2 + 1 && umount(PLACE) == 0);
    const char *wrong[] = {"size=", "size=1x", "mode=8", "uid=-1", "nonsense", "nr_inodes", NULL};
    for (int i = 0; wrong[i]; i++) FAILS(make(0, wrong[i]), EINVAL);
}

static void marks(void) {
    CHECK(make(MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0);
    CHECK((sizes().f_flags & 0xfff & ~0x20) == (MS_NOSUID | MS_NODEV | MS_NOEXEC) && sizes().f_flags & ST_RELATIME);
    CHECK(shown("rw,nosuid,nodev,noexec,relatime"));
    CHECK(change(MS_NOATIME | MS_RDONLY, NULL) == 0);
    CHECK((sizes().f_flags & ~0x20) == (MS_NOATIME | MS_RDONLY) && shown("ro,noatime"));
    // Who says nothing of times leaves them.
    CHECK(change(0, NULL) == 0 && (sizes().f_flags & ~0x20) == MS_NOATIME);
    CHECK(change(MS_RELATIME | MS_NODIRATIME, NULL) == 0 && shown("rw,nodiratime,relatime"));
    CHECK((sizes().f_flags & ~0x20) == (ST_RELATIME | MS_NODIRATIME) && umount(PLACE) == 0);
    // Where it is again, restrictions come with a second call.
    CHECK(mount("/tmp", PLACE, NULL, MS_BIND | MS_NOEXEC, NULL) == 0 && !(sizes().f_flags & MS_NOEXEC));
    CHECK(change(MS_BIND | MS_NOEXEC, NULL) == 0 && sizes().f_flags & MS_NOEXEC && umount(PLACE) == 0);
}

static long read_at(const char *path) {
    struct stat status;
    CHECK(stat(path, &status) == 0);
    return status.st_atim.tv_sec;
}

// Reads a file or lists a directory, and says whether that was noted.
static int notes(const char *path, int flags) {
    char bytes[512];
    struct timespec times[2] = {{5, 0}, {9, 0}};
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
    int fd = open(path, O_RDONLY | flags);
    CHECK(fd >= 0 && (read(fd, bytes, 1) == 1 || syscall(SYS_getdents64, fd, bytes, sizeof bytes) > 0) && close(fd) == 0);
    return read_at(path) != 5;
}

static void reads(void) {
    CHECK(make(0, NULL) == 0);
    int fd = open(PLACE "/f", O_CREAT | O_RDWR, 0644);
    CHECK(fd >= 0 && write(fd, "text", 4) == 4);
    CHECK(notes(PLACE "/f", 0) && notes(PLACE, 0) && !notes(PLACE "/f", O_NOATIME) && !notes(PLACE, O_NOATIME));
    struct timespec times[2] = {{5, 0}, {9, 0}};
    CHECK(utimensat(AT_FDCWD, PLACE "/f", times, 0) == 0 && fcntl(fd, F_SETFL, O_NOATIME) == 0);
    char byte;
    CHECK(pread(fd, &byte, 1, 0) == 1 && read_at(PLACE "/f") == 5 && fcntl(fd, F_SETFL, 0) == 0);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED && read_at(PLACE "/f") != 5);
    CHECK(change(MS_NODIRATIME, NULL) == 0 && notes(PLACE "/f", 0) && !notes(PLACE, 0));
    CHECK(change(MS_NOATIME, NULL) == 0 && !notes(PLACE "/f", 0) && !notes(PLACE, 0));
    CHECK(close(fd) == 0 && umount2(PLACE, MNT_DETACH) == 0);
}

// There is one of each, which is seen wherever it is mounted.
static void again(void) {
    static const struct { const char *kind, *first, *second; } kinds[] = {
        {"proc", "/proc/self/stat", PLACE "/self/stat"},
        {"sysfs", "/sys/devices", PLACE "/devices"},
        {"devtmpfs", "/dev/null", PLACE "/null"},
    };
    for (int i = 0; i < 3; i++) {
        struct stat first, second;
        // An image without a place for it has none.
        if (access(kinds[i].first, F_OK) != 0) continue;
        CHECK(mount("none", PLACE, kinds[i].kind, MS_NOSUID | MS_NOEXEC, NULL) == 0);
        CHECK((sizes().f_flags & 0xf) == (MS_NOSUID | MS_NOEXEC));
        CHECK(stat(kinds[i].first, &first) == 0 && stat(kinds[i].second, &second) == 0);
        // Who made a host's may have chosen other ones, so that numbers say nothing.
        CHECK((first.st_mode & S_IFMT) == (second.st_mode & S_IFMT) && first.st_rdev == second.st_rdev);
        CHECK(umount(PLACE) == 0);
    }
    FAILS(mount("none", PLACE, "proc", 0, "nonsense"), EINVAL);
    FAILS(mount("none", PLACE, "nosuchfs", 0, NULL), ENODEV);
}

int main(void) {
    CHECK(mkdir(PLACE, 0755) == 0);
    limits();
    marks();
    reads();
    again();
    CHECK(rmdir(PLACE) == 0);
    puts("mounts are as on Linux");
    return 0;
}
