// Events: what inotify tells of random changes of a small tree, in which order and by which names.
#include "series.h"
#include <sys/inotify.h>
#include <sys/syscall.h>

enum { STEPS = 100, WATCHES = 12, OPENED = 4 };

static const char *const PATH[] = {"a", "b", "d/a", "d/b", "d", "e", "e/a", "."};
static int queue, count;
static int watches[WATCHES];
static int opened[OPENED];

static const char *any_path(void) { return ANY(PATH); }

static int index_of(int watch) {
    for (int i = 0; i < count; i++) if (watches[i] == watch) return i;
    return -1;
}

// All that has happened. A cookie is only compared with the one before.
static void say_events(void) {
    static _Alignas(struct inotify_event) char room[65536];
    ssize_t length;
    unsigned before = 0;
    while ((length = read(queue, room, sizeof room)) > 0)
        for (char *at = room; at < room + length;) {
            struct inotify_event *event = (void *)at;
            const char *kind = !event->cookie ? "none" : event->cookie == before ? "same" : "new";
            say("event %d %#x %s %s", index_of(event->wd), event->mask, event->len ? event->name : "-", kind);
            before = event->cookie;
            at += sizeof *event + event->len;
        }
    CHECK(length < 0 && (errno == EAGAIN));
}

static void step(void) {
    static const unsigned MASK[] = {IN_ALL_EVENTS, IN_ALL_EVENTS, IN_ALL_EVENTS | IN_EXCL_UNLINK, IN_ATTRIB | IN_MODIFY,
        IN_OPEN | IN_CLOSE, IN_CREATE | IN_DELETE | IN_MOVE | IN_DELETE_SELF | IN_MOVE_SELF, IN_ACCESS | IN_ONESHOT,
        IN_ALL_EVENTS | IN_ONLYDIR, IN_MODIFY | IN_MASK_ADD, IN_ALL_EVENTS | IN_MASK_CREATE, IN_ALL_EVENTS | IN_DONT_FOLLOW, 0};
    // Whether a file that is cut was opened before has changed since 5.15.
    static const int FLAG[] = {0, O_CREAT, O_CREAT | O_EXCL, O_APPEND};
    const char *path = any_path(), *other = any_path();
    int index = below(OPENED), fd = opened[index];
    char bytes[20] = "some bytes";
    switch (below(24)) {
    case 0: case 1: case 2: {
        unsigned mask = ANY(MASK);
        int watch = inotify_add_watch(queue, path, mask);
        int known = index_of(watch);
        if (watch >= 0 && known < 0 && count < WATCHES) { known = count; watches[count++] = watch; }
        else if (watch >= 0 && known < 0) inotify_rm_watch(queue, watch);
        say("watch %s %#x: %d", path, mask, watch < 0 ? -errno : known);
        break;
    }
    case 3: {
        int which = below(WATCHES);
        if (below(3)) break;
        say("unwatch %d: %ld", which, outcome(which < count ? inotify_rm_watch(queue, watches[which]) : -1));
        break;
    }
    case 4: case 5: case 6: {
        int flags = ANY(FLAG) | below(3) | O_NONBLOCK;
        int file = open(path, flags, 0644);
        say("open %s %#x: %d", path, flags, file < 0 ? -errno : 0);
        if (file >= 0) {
            if (fd >= 0) close(fd);
            opened[index] = file;
        }
        break;
    }
    case 7: if (fd >= 0) { say("close %d: %ld", index, outcome(close(fd))); opened[index] = -1; } break;
    case 8: say("read %d: %ld", index, outcome(read(fd, bytes, below(12)))); break;
    case 9: say("write %d: %ld", index, outcome(write(fd, bytes, below(12)))); break;
    case 10: say("ftruncate %d: %ld", index, outcome(ftruncate(fd, below(10)))); break;
    case 11: say("truncate %s: %ld", path, outcome(truncate(path, below(10)))); break;
    case 12: say("fallocate %d: %ld", index, outcome(fallocate(fd, below(2) * 3, 0, 10))); break;
    case 13: say("chmod %s: %ld", path, outcome(chmod(path, below(2) ? 0644 : 0755))); break;
    case 14: {
        struct timespec times[2] = {{5, below(3) ? 1 : UTIME_OMIT}, {6, below(3) ? 1 : UTIME_OMIT}};
        say("times %s: %ld", path, outcome(utimensat(AT_FDCWD, path, below(4) ? times : NULL, 0)));
        break;
    }
    case 15: say("chown %s: %ld", path, outcome(lchown(path, below(2) ? geteuid() : (uid_t)-1, below(2) ? getegid() : (gid_t)-1))); break;
    case 16: say("mkdir %s: %ld", path, outcome(mkdir(path, 0755))); break;
    case 17: say("rmdir %s: %ld", path, outcome(rmdir(path))); break;
    case 18: say("unlink %s: %ld", path, outcome(unlink(path))); break;
    case 19: say("link %s %s: %ld", path, other, outcome(link(path, other))); break;
    case 20: case 21: {
        int flags = below(4) ? 0 : 1 + below(2);
        say("rename %s %s %d: %ld", path, other, flags, outcome(syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, flags)));
        break;
    }
    case 22: {
        DIR *listing = opendir(path);
        int entries = 0;
        if (listing) { while (readdir(listing)) entries++; closedir(listing); }
        say("list %s: %d", path, entries);
        break;
    }
    case 23: say("symlink %s: %ld", path, outcome(symlink(other, path))); break;
    }
}

static void run_series(const char *folder) {
    CHECK(!mkdir(folder, 0755) && !chdir(folder) && !mkdir("d", 0755) && !mknod("a", S_IFREG | 0644, 0));
    CHECK((queue = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) >= 0);
    count = 0;
    for (int i = 0; i < OPENED; i++) opened[i] = -1;
    for (series_step = 0; series_step < STEPS; series_step++) {
        step();
        say_events();
    }
    for (int i = 0; i < OPENED; i++) if (opened[i] >= 0) close(opened[i]);
    CHECK(!close(queue));
    int here = open(".", O_RDONLY | O_DIRECTORY);
    clear_directory(here);
    CHECK(!close(here));
    CHECK(!chdir("/") && !rmdir(folder));
}
