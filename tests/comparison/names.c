// Names: a small tree in which files of every kind are made, linked, moved, opened, changed and removed by
// paths of every shape, and all that the tree says of itself after each step. As the superuser also on
// behalf of two others.
#include "series.h"
#include <grp.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

// So many directories lie above the tree that no path of a step leaves them.
enum { STEPS = 80, ABOVE = 12, BASES = 3, PLAIN = 65534 };

static const char *const NAME[] = {"a", "b", "c", "d", "e"};
static const char *const TARGET[] = {"a", "b", "d/e", ".", "..", "../a", "c/", "nowhere", "e", "d"};
static const mode_t MODE[] = {0, 0111, 0400, 0444, 0600, 0644, 0700, 0711, 0755, 0770, 0775, 0777,
                              01775, 02755, 02775, 04755, 06755, 02644, 02711};
static const char *const ATTRIBUTE[] = {"trusted.x", "security.y", "trusted.", "strange.z", "x"};

static int bases[BASES];
static int above;
static ino_t outside[ABOVE];
static uid_t own;
static bool is_root;
static char path_room[5][5000];
static int paths_used;

static uid_t user_of(uid_t user) { return is_root ? user : user != own; }

static void act_as(uid_t user) {
    if (!is_root) return;
    CHECK(!setresuid(-1, 0, -1));
    gid_t group = 2001;
    CHECK(!setgroups(user == 1002, &group));
    CHECK(!setresgid(-1, user ? user + 1000 : 0, -1) && !setresuid(-1, user, -1));
}

static const char *any_path(void) {
    char *path = path_room[paths_used++];
    int shape = below(60);
    path[0] = 0;
    if (shape == 0) return path;
    if (shape == 1) { memset(path, 'n', 256), path[255 + below(2)] = 0; return path; }
    if (shape == 2) { memset(path, '/', 4200), memset(path, '.', 1), path[4094 + below(3)] = 0; return path; }
    for (int parts = 1 + below(3); parts--;) {
        int kind = below(12);
        strcat(path, kind == 0 ? "." : kind == 1 ? ".." : ANY(NAME));
        if (parts) strcat(path, below(20) ? "/" : "//");
    }
    if (!below(10)) strcat(path, "/");
    return path;
}

static int any_base(void) {
    int kind = below(10);
    return kind == 0 ? 999 : kind < 4 ? bases[below(BASES)] : AT_FDCWD;
}

// Whether it is one of those that steps must not start from.
static bool is_outside(const struct stat *stat) {
    for (int i = 0; i < ABOVE; i++) if (outside[i] == stat->st_ino) return true;
    return false;
}

static int index_of(int base) {
    for (int i = 0; i < BASES; i++) if (bases[i] == base) return i;
    return base == AT_FDCWD ? -1 : -2;
}

static ino_t seen[256];
static int seen_count;

// A number for everything that is in a directory and below.
static uint64_t walk(int directory, uint64_t hash, int depth) {
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || depth > 40) { close(fd); return digest(hash, "closed", 6); }
    char names[64][256];
    int count = 0;
    DIR *listing = fdopendir(fd);
    for (struct dirent *entry; (entry = readdir(listing));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) strcpy(names[count++], entry->d_name);
    qsort(names, count, sizeof *names, (int (*)(const void *, const void *))strcmp);
    for (int i = 0; i < count; i++) {
        struct stat stat;
        hash = digest(hash, names[i], strlen(names[i]));
        if (fstatat(fd, names[i], &stat, AT_SYMLINK_NOFOLLOW)) { hash = digest(hash, "hidden", 6); continue; }
        long first = 0;
        while (first < seen_count && seen[first] != stat.st_ino) first++;
        if (first == seen_count && seen_count < (int)COUNT(seen)) seen[seen_count++] = stat.st_ino;
        bool has_size = S_ISREG(stat.st_mode) || S_ISLNK(stat.st_mode);
        long facts[] = {stat.st_mode, stat.st_nlink, user_of(stat.st_uid), stat.st_gid, first,
                        has_size ? stat.st_size : 0};
        if (!is_root) facts[3] = 0;
        hash = digest(hash, facts, sizeof facts);
        char text[1024];
        ssize_t length = S_ISLNK(stat.st_mode) ? readlinkat(fd, names[i], text, sizeof text) : 0;
        if (length > 0) hash = digest(hash, text, length);
        int file = S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode)
            ? openat(fd, names[i], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
        if (file >= 0) {
            for (size_t k = 0; k < 2; k++)
                if ((length = fgetxattr(file, ATTRIBUTE[k], text, sizeof text)) >= 0) hash = digest(hash, text, length);
            if (S_ISREG(stat.st_mode) && (length = read(file, text, sizeof text)) >= 0) hash = digest(hash, text, length);
            if (S_ISDIR(stat.st_mode)) hash = walk(file, hash, depth + 1);
            close(file);
        }
    }
    closedir(listing);
    return hash;
}

static void say_tree(uid_t actor) {
    act_as(0);
    seen_count = 0;
    uint64_t hash = walk(above, 0, 0);
    char text[5000] = "", *cwd = getcwd(text, sizeof text) ? strstr(text, "/r") : NULL;
    long facts[BASES] = {0};
    for (int i = 0; i < BASES; i++) {
        struct stat stat;
        CHECK(!fstat(bases[i], &stat));
        facts[i] = stat.st_nlink;
    }
    say("tree %016lx cwd %s bases %ld %ld %ld", hash, cwd ? cwd : "none", facts[0], facts[1], facts[2]);
    act_as(actor);
}

static void say_stat(const char *what, long result, const struct stat *stat) {
    if (result) { say("%s: %ld", what, result); return; }
    long size = S_ISDIR(stat->st_mode) ? 0 : stat->st_size;
    say("%s: %o %ld %d %ld", what, stat->st_mode, (long)stat->st_nlink, user_of(stat->st_uid), size);
}

static void keep(int fd) {
    struct stat stat;
    int index = below(BASES);
    bool keeps = !below(3) && !fstat(fd, &stat) && !is_outside(&stat);
    if (keeps) CHECK(dup3(fd, bases[index], O_CLOEXEC) == bases[index]);
    say("keep %d", keeps ? index : -1);
    close(fd);
}

static void opened(int fd, int flags) {
    struct stat stat;
    char text[64];
    CHECK(!fstat(fd, &stat));
    say_stat("is", 0, &stat);
    say("flags %#x read %ld write %ld", fcntl(fd, F_GETFL) & ~O_LARGEFILE, outcome(S_ISREG(stat.st_mode) ? read(fd, text, 64) : 0),
        outcome(S_ISREG(stat.st_mode) ? write(fd, "some", 4) : 0));
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        char name[64];
        const char *path = any_path();
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        if (is_root ? !geteuid() : true) say("name %.20s: %ld", path, outcome(linkat(AT_FDCWD, name, AT_FDCWD, path, AT_SYMLINK_FOLLOW)));
    }
    keep(fd);
}

static void step(uid_t actor) {
    static const int FLAG[] = {O_CREAT, O_EXCL, O_TRUNC, O_NOFOLLOW, O_DIRECTORY, O_APPEND, O_PATH, O_CLOEXEC};
    static const unsigned long RESOLVE[] = {RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS,
                                            RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, 0};
    paths_used = 0;
    int base = any_base(), other = any_base();
    const char *path = any_path();
    mode_t mode = ANY(MODE);
    char what[128];
    struct stat stat;
    switch (below(26)) {
    case 0: case 1: case 2: case 3: {
        int flags = below(3) | O_NONBLOCK | O_NOCTTY;
        for (int more = below(4); more--;) flags |= ANY(FLAG);
        // What has changed since 5.15.
        if (flags & O_CREAT) flags &= ~O_DIRECTORY;
        // What settings of the host decide.
        if (is_root && actor && flags & O_CREAT) flags |= O_EXCL;
        if (!below(12)) flags = O_TMPFILE | O_RDWR | (flags & O_EXCL);
        int fd = openat(base, path, flags, mode);
        say("open %d %.20s %#x %o: %d", index_of(base), path, flags, mode, fd < 0 ? -errno : 0);
        if (fd >= 0) opened(fd, flags);
        break;
    }
    case 4: {
        struct open_how how = {.flags = below(3) | O_NONBLOCK | (below(3) ? 0 : O_CREAT | O_EXCL), .resolve = ANY(RESOLVE)};
        if (how.flags & O_CREAT) how.mode = mode;
        if (!below(4)) how.flags = O_PATH;
        if (how.flags == O_PATH) how.mode = 0;
        int fd = syscall(SYS_openat2, base, path, &how, sizeof how);
        say("openat2 %d %.20s %#lx %#lx: %d", index_of(base), path, (long)how.flags, (long)how.resolve, fd < 0 ? -errno : 0);
        if (fd >= 0) opened(fd, how.flags);
        break;
    }
    case 5: case 6: case 7: say("mkdir %d %.20s %o: %ld", index_of(base), path, mode, outcome(mkdirat(base, path, mode))); break;
    case 8: say("rmdir %d %.20s: %ld", index_of(base), path, outcome(unlinkat(base, path, AT_REMOVEDIR))); break;
    case 9: say("unlink %d %.20s: %ld", index_of(base), path, outcome(unlinkat(base, path, 0))); break;
    case 10: case 11: {
        static const int LINKED[] = {0, 0, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH};
        int flags = ANY(LINKED);
        // Settings of the host decide for the others, and since 6.10 the kernel.
        if (is_root ? actor : flags == AT_EMPTY_PATH) break;
        const char *to = any_path();
        say("link %d %.20s %d %.20s %#x: %ld", index_of(base), path, index_of(other), to, flags, outcome(linkat(base, path, other, to, flags)));
        break;
    }
    case 12: {
        const char *target = ANY(TARGET);
        say("symlink %s %d %.20s: %ld", target, index_of(base), path, outcome(symlinkat(target, base, path)));
        break;
    }
    case 13: case 14: case 15: {
        static const unsigned FLAGS[] = {0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE, 8};
        unsigned flags = ANY(FLAGS);
        const char *to = any_path();
        say("rename %d %.20s %d %.20s %u: %ld", index_of(base), path, index_of(other), to, flags,
            outcome(syscall(SYS_renameat2, base, path, other, to, flags)));
        break;
    }
    case 16: {
        static const mode_t KIND[] = {S_IFIFO, S_IFREG, 0, S_IFSOCK, S_IFDIR, S_IFLNK, 0170000};
        mode_t kind = ANY(KIND);
        say("mknod %d %.20s %o: %ld", index_of(base), path, kind | mode, outcome(mknodat(base, path, kind | mode, 0)));
        break;
    }
    case 17: say("chmod %d %.20s %o: %ld", index_of(base), path, mode, outcome(syscall(SYS_fchmodat, base, path, mode))); break;
    case 18: {
        static const uid_t OWNER[] = {-1, 0, 1001, 1002};
        static const gid_t GROUP[] = {-1, 0, 2001, 2002};
        static const int FLAGS[] = {0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 1};
        uid_t user = is_root ? ANY(OWNER) : below(2) ? own : (uid_t)-1;
        gid_t group = is_root ? ANY(GROUP) : (gid_t)-1;
        int flags = ANY(FLAGS);
        long result = outcome(fchownat(base, path, user, group, flags));
        say("chown %d %.20s %d %d %#x: %ld", index_of(base), path, is_root ? (int)user : 0, (int)group, flags, result);
        break;
    }
    case 19: {
        struct timespec times[2] = {{below(100), below(5) ? UTIME_OMIT : below(1000)}, {below(100), below(3) ? 5 : UTIME_OMIT}};
        if (!below(4)) times[0].tv_nsec = times[1].tv_nsec = UTIME_NOW;
        int flags = below(3) ? 0 : AT_SYMLINK_NOFOLLOW;
        long result = outcome(syscall(SYS_utimensat, base, path, below(4) ? times : NULL, flags));
        say("times %d %.20s %#x: %ld", index_of(base), path, flags, result);
        break;
    }
    case 20: say("truncate %.20s: %ld", path, outcome(truncate(path, (long)below(60) - 1))); break;
    case 21: {
        static const int FLAGS[] = {0, AT_EACCESS, AT_SYMLINK_NOFOLLOW, AT_EACCESS | AT_EMPTY_PATH};
        int flags = ANY(FLAGS), wanted = below(9);
        say("access %d %.20s %d %#x: %ld", index_of(base), path, wanted, flags, outcome(syscall(SYS_faccessat2, base, path, wanted, flags)));
        break;
    }
    case 22: {
        static const int FLAGS[] = {0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_REMOVEDIR};
        int flags = ANY(FLAGS);
        snprintf(what, sizeof what, "stat %d %.20s %#x", index_of(base), path, flags);
        say_stat(what, outcome(fstatat(base, path, &stat, flags)), &stat);
        break;
    }
    case 23: {
        char text[100];
        int room = below(8);
        long length = outcome(readlinkat(base, path, text, room));
        say("readlink %d %.20s %d: %ld %016lx", index_of(base), path, room, length, digest(0, text, length > 0 ? length : 0));
        break;
    }
    case 24: {
        int from = below(3) ? -1 : (int)below(BASES);
        long result = outcome(from < 0 ? chdir(path) : fchdir(bases[from]));
        say("chdir %d %.20s: %ld", from, path, result);
        if (!result && !fstatat(AT_FDCWD, "", &stat, AT_EMPTY_PATH) && is_outside(&stat)) {
            act_as(0);
            for (int i = 0; i < BASES; i++) if (!fstat(bases[i], &stat) && S_ISDIR(stat.st_mode) && !fchdir(bases[i])) break;
            act_as(actor);
        }
        break;
    }
    case 25: {
        const char *name = ANY(ATTRIBUTE);
        int flags = below(4), kind = below(4);
        char text[100];
        long result = outcome(kind == 0 ? getxattr(path, name, text, below(3))
            : kind == 1 ? removexattr(path, name) : kind == 2 ? lsetxattr(path, name, "value", below(6), flags)
            : setxattr(path, name, "value", below(6), flags));
        say("attribute %d %s %.20s %d: %ld", kind, name, path, flags, result);
        break;
    }
    }
}

static void play(void) {
    own = geteuid();
    for (int i = 0; i < ABOVE; i++) {
        struct stat stat;
        CHECK(!mkdir("r", 0755) && !chdir("r") && !lstat("..", &stat));
        outside[i] = stat.st_ino;
    }
    CHECK(!chmod(".", 0777) && !mkdir("d", 0777) && !mkdir("d/e", 0755) && !mkdir("e", 0775));
    CHECK(!symlink("d/e", "b") && !mkfifo("c", 0644) && !mknod("a", S_IFREG | 0666, 0));
    for (int i = 0; i < BASES; i++) {
        CHECK((bases[i] = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
        CHECK(fcntl(bases[i], F_DUPFD_CLOEXEC, 100 + i) == 100 + i && !close(bases[i]));
        bases[i] = 100 + i;
    }
    umask(below(2) ? 022 : below(2) ? 0 : 077);
    for (series_step = 0; series_step < STEPS; series_step++) {
        uid_t actor = is_root && below(2) ? 1001 + below(2) : 0;
        act_as(actor);
        say("as %d", actor);
        step(actor);
        say_tree(actor);
        act_as(0);
    }
}

static void run_series(const char *folder) {
    is_root = series_is_root;
    CHECK(!mkdir(folder, 0755) && (above = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        CHECK(!fchdir(above));
        alarm(20);
        if (!is_root && !geteuid()) CHECK(!fchown(above, PLAIN, PLAIN) && !setgroups(0, NULL) && !setresgid(PLAIN, PLAIN, PLAIN) && !setresuid(PLAIN, PLAIN, PLAIN));
        play();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    say("end %d", status);
    clear_directory(above);
    CHECK(!close(above) && !rmdir(folder));
}
