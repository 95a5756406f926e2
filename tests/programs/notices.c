// inotify: what happens to files, and what their directories are told of it.
// The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

static int notices, directory;
static uint32_t cookie;

// All that happened, as text: `w1 create name;` and so on.
static const char *happened(void) {
    static const struct { uint32_t bit; const char *name; } names[] = {
        {IN_ACCESS, "access"}, {IN_MODIFY, "modify"}, {IN_ATTRIB, "attrib"},
        {IN_CLOSE_WRITE, "close-write"}, {IN_CLOSE_NOWRITE, "close"}, {IN_OPEN, "open"},
        {IN_MOVED_FROM, "from"}, {IN_MOVED_TO, "to"}, {IN_CREATE, "create"}, {IN_DELETE, "delete"},
        {IN_DELETE_SELF, "gone"}, {IN_MOVE_SELF, "moved"}, {IN_IGNORED, "ignored"}, {IN_ISDIR, "dir"},
    };
    static char text[2000];
    char bytes[4096] __attribute__((aligned(8)));
    text[0] = 0;
    int waiting = 0;
    CHECK(ioctl(notices, FIONREAD, &waiting) == 0);
    ssize_t count = read(notices, bytes, sizeof bytes);
    CHECK(count == waiting || (count == -1 && errno == EAGAIN && waiting == 0));
    for (ssize_t at = 0; at < count;) {
        struct inotify_event *event = (void *)(bytes + at);
        char *end = text + strlen(text);
        end += sprintf(end, "%d", event->wd);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (event->mask & names[i].bit) end += sprintf(end, " %s", names[i].name);
        if (event->len) end += sprintf(end, " %s", event->name);
        strcpy(end, ";");
        if (event->mask & (IN_MOVED_FROM | IN_MOVED_TO)) {
            CHECK(event->cookie != 0);
            if (event->mask & IN_MOVED_TO) CHECK(event->cookie == cookie);
            cookie = event->cookie;
        }
        at += sizeof *event + event->len;
    }
    return text;
}

#define EXPECT(expected) do { const char *found = happened(); if (strcmp(found, expected)) { \
    dprintf(2, "line %d: %s\n", __LINE__, found); _exit(__LINE__ % 125 + 1); } } while (0)

int main(void) {
    CHECK(chdir("/tmp") == 0 && mkdir("watched", 0755) == 0);
    CHECK((notices = inotify_init1(IN_NONBLOCK)) >= 0);
    FAILS(inotify_add_watch(notices, "watched", 0), EINVAL);
    FAILS(inotify_add_watch(notices, "nothing", IN_OPEN), ENOENT);
    CHECK((directory = inotify_add_watch(notices, "watched", IN_ALL_EVENTS | IN_ONLYDIR)) == 1);
    FAILS(inotify_add_watch(notices, "watched", IN_OPEN | IN_MASK_CREATE), EEXIST);
    struct pollfd poller = {notices, POLLIN, 0};
    CHECK(poll(&poller, 1, 0) == 0);

    int fd = open("watched/file", O_CREAT | O_RDWR, 0600);
    CHECK(poll(&poller, 1, 0) == 1);
    EXPECT("1 create file;1 open file;");
    CHECK(write(fd, "abc", 3) == 3 && write(fd, "def", 3) == 3 && pread(fd, &(char[1]){0}, 1, 0) == 1);
    EXPECT("1 modify file;1 access file;");
    CHECK(ftruncate(fd, 2) == 0 && fchmod(fd, 0644) == 0 && close(fd) == 0);
    EXPECT("1 modify file;1 attrib file;1 close-write file;");
    FAILS(inotify_add_watch(notices, "watched/file", IN_OPEN | IN_ONLYDIR), ENOTDIR);
    int file = inotify_add_watch(notices, "watched/file", IN_ALL_EVENTS);
    CHECK(file == 2);
    CHECK((fd = open("watched/file", O_RDONLY)) >= 0 && close(fd) == 0);
    EXPECT("1 open file;2 open;1 close file;2 close;");
    CHECK(link("watched/file", "watched/other") == 0);
    EXPECT("2 attrib;1 create other;");
    CHECK(rename("watched/other", "watched/third") == 0);
    EXPECT("1 from other;1 to third;2 moved;");
    CHECK(mkdir("watched/inner", 0755) == 0 && rmdir("watched/inner") == 0);
    EXPECT("1 create dir inner;1 delete dir inner;");
    CHECK(mkdir("watched/inner", 0755) == 0);
    CHECK(inotify_add_watch(notices, "watched/inner", IN_ALL_EVENTS) == 3);
    CHECK(rmdir("watched/inner") == 0);
    EXPECT("1 create dir inner;3 gone;3 ignored;1 delete dir inner;");
    CHECK((fd = open("watched", O_RDONLY | O_DIRECTORY)) >= 0);
    CHECK(syscall(SYS_getdents64, fd, &(char[1000]){0}, 1000) > 0 && close(fd) == 0);
    EXPECT("1 open dir;1 access dir;1 close dir;");
    CHECK(unlink("watched/third") == 0);
    EXPECT("2 attrib;1 delete third;");
    CHECK((fd = open("watched/file", O_WRONLY)) >= 0 && unlink("watched/file") == 0);
    EXPECT("1 open file;2 open;2 attrib;1 delete file;");
    CHECK(close(fd) == 0);
    EXPECT("1 close-write file;2 close-write;2 gone;2 ignored;");
    FAILS(inotify_rm_watch(notices, file), EINVAL);
    CHECK(symlink("nowhere", "watched/link") == 0 && unlink("watched/link") == 0);
    EXPECT("1 create link;1 delete link;");
    CHECK(inotify_add_watch(notices, "watched", IN_CREATE | IN_ONESHOT) == directory);
    CHECK(mkdir("watched/a", 0755) == 0 && mkdir("watched/b", 0755) == 0);
    EXPECT("1 create dir a;1 ignored;");
    FAILS(read(notices, &(char[4]){0}, 4), EAGAIN);
    CHECK((directory = inotify_add_watch(notices, "watched", IN_ALL_EVENTS | IN_EXCL_UNLINK)) == 4);
    CHECK((fd = open("watched/file", O_CREAT | O_RDWR, 0600)) >= 0);
    CHECK(inotify_add_watch(notices, "watched/file", IN_ALL_EVENTS | IN_EXCL_UNLINK) == 5);
    CHECK(unlink("watched/file") == 0 && write(fd, "x", 1) == 1);
    EXPECT("4 create file;4 open file;5 attrib;4 delete file;");
    // What is said of the file itself, and not of what is open, is said of the name that it had.
    CHECK(ftruncate(fd, 7) == 0 && fchmod(fd, 0640) == 0);
    EXPECT("4 modify file;5 modify;4 attrib file;5 attrib;");
    CHECK(close(fd) == 0);
    EXPECT("5 gone;5 ignored;");
    CHECK(inotify_rm_watch(notices, directory) == 0);
    EXPECT("4 ignored;");
    CHECK((directory = inotify_add_watch(notices, "watched", IN_DELETE_SELF)) == 6);
    CHECK(rmdir("watched/a") == 0 && rmdir("watched/b") == 0 && rmdir("watched") == 0);
    EXPECT("6 gone;6 ignored;");
    CHECK(close(notices) == 0);
    puts("notices are as on Linux");
    return 0;
}
