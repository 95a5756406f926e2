// What programs read in /proc and /sys about themselves and the machine. The exit status is the line of
// the first check that fails; it passes on Linux, too.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)

static char text[1 << 16];

// The content of a file, which is read in small pieces.
static const char *read_all(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) return NULL;
    size_t done = 0;
    for (ssize_t count; done < sizeof text - 1; done += count) {
        size_t room = sizeof text - 1 - done;
        count = read(fd, text + done, room < 100 ? room : 100);
        if (count <= 0) break;
    }
    text[done] = 0;
    close(fd);
    return text;
}

static int has(const char *path, const char *part) {
    const char *found = read_all(path);
    return found && strstr(found, part) != NULL;
}

static int entries(const char *path) {
    DIR *directory = opendir(path);
    CHECK(directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void *write_thirty(void *fd) {
    CHECK(write(*(int *)fd, text, 30) == 30);
    return NULL;
}

static void *thread(void *barrier) {
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier);
    return NULL;
}

// Processes that show one file are in one name space; who leaves one shows another.
static void name_spaces(void) {
    static const char *const names[] = {
        "cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"};
    char path[64], target[64], before[64];
    struct stat link, file, parents;
    CHECK(entries("/proc/self/ns") == sizeof names / sizeof *names);
    for (int i = 0; i < 10; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        ssize_t length = readlink(path, target, sizeof target - 1);
        CHECK(length > 0 && lstat(path, &link) == 0 && S_ISLNK(link.st_mode));
        target[length] = 0;
        size_t word = strcspn(names[i], "_");
        CHECK(strncmp(target, names[i], word) == 0 && strncmp(target + word, ":[", 2) == 0);
        int fd = open(path, O_RDONLY);
        struct statfs statistics;
        CHECK(fd >= 0 && fstat(fd, &file) == 0 && fstatfs(fd, &statistics) == 0);
        CHECK(S_ISREG(file.st_mode) && (file.st_mode & 07777) == 0444 && statistics.f_type == 0x6e736673);
        CHECK((ino_t)strtoul(target + word + 2, NULL, 10) == file.st_ino);
        CHECK(read(fd, target, 1) == -1 && errno == EINVAL && close(fd) == 0);
    }
    CHECK(readlink("/proc/self/ns/uts", before, sizeof before) > 0 && stat("/proc/self/ns/uts", &parents) == 0);
    pid_t child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        CHECK(stat("/proc/self/ns/uts", &file) == 0 && file.st_ino == parents.st_ino && file.st_dev == parents.st_dev);
        if (unshare(CLONE_NEWUTS) != 0) _exit(errno != EPERM);
        CHECK(stat("/proc/self/ns/uts", &file) == 0 && file.st_ino != parents.st_ino && file.st_dev == parents.st_dev);
        _exit(0);
    }
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

// What was below the stack's strings when the program began is what `auxv` says.
static void vector(char **environment) {
    while (*environment++) {}
    unsigned long *words = (unsigned long *)environment;
    size_t len = 2 * sizeof *words;
    for (unsigned long *at = words; *at; at += 2) len += 2 * sizeof *words;
    char bytes[1024];
    int fd = open("/proc/self/auxv", O_RDONLY);
    CHECK(fd >= 0 && read(fd, bytes, sizeof bytes) == (ssize_t)len && memcmp(bytes, words, len) == 0);
    CHECK(close(fd) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK((fd = open("/proc/self/auxv", O_RDONLY)) >= 0);
        CHECK(read(fd, bytes, sizeof bytes) == (ssize_t)len && memcmp(bytes, words, len) == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void is(const char *path, const char *bytes, size_t len) {
    char found[512];
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && read(fd, found, sizeof found) == (ssize_t)len && memcmp(found, bytes, len) == 0);
    CHECK(close(fd) == 0);
}

// The strings of a program lie one behind the other, so that a title can be written over them; and that is
// what others read.
static void titled(int argc, char **argv) {
    for (int i = 1; i < argc; i++) CHECK(argv[i] == argv[i - 1] + strlen(argv[i - 1]) + 1);
    CHECK(environ[0] == argv[argc - 1] + strlen(argv[argc - 1]) + 1);
    CHECK(environ[1] == environ[0] + strlen(environ[0]) + 1 && !environ[2]);
    char *first = argv[0], *second = environ[0];
    size_t len = second - first;
    is("/proc/self/cmdline", first, len);
    is("/proc/self/environ", "A=1\0SECOND=2", 13);
    memset(first, 't', len - 1);
    is("/proc/self/cmdline", first, len);
    // Over the last zero it goes on in the environment, up to the next.
    strcpy(second - 1, "tt");
    is("/proc/self/cmdline", first, len + 2);
    is("/proc/self/environ", "t\0" "1\0SECOND=2", 13);
    pid_t child = fork();
    if (child == 0) {
        strcpy(first, "child");
        raise(SIGSTOP);
        _exit(0);
    }
    char path[64];
    int status;
    CHECK(child > 0 && waitpid(child, &status, WUNTRACED) == child);
    snprintf(path, sizeof path, "/proc/%d/cmdline", child);
    is(path, "child", 6);
    is("/proc/self/cmdline", first, len + 2);
    siginfo_t info;
    CHECK(kill(child, SIGKILL) == 0 && waitid(P_PID, child, &info, WEXITED | WNOWAIT) == 0);
    is(path, "", 0);
    CHECK(waitpid(child, &status, 0) == child);
}

static void titles(void) {
    pid_t child = fork();
    if (child == 0) {
        execle("/proc/self/exe", "proc", "with", "some", "words", NULL, (char *[]){"A=1", "SECOND=2", NULL});
        _exit(1);
    }
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

// The number behind a name in a text, in kilobytes.
static long number(const char *from, const char *name) {
    const char *found = strstr(from, name);
    CHECK(found);
    return atol(found + strlen(name));
}

// What `smaps` says of the mapping that begins at an address.
static const char *sizes(void *address) {
    char start[32];
    snprintf(start, sizeof start, "%08lx-", (unsigned long)address);
    const char *found = read_all("/proc/self/smaps");
    CHECK(found && (found = strstr(found, start)));
    return found;
}

static void map_sizes(void) {
    static const char *const NAMES[] = {"Size:", "KernelPageSize:", "MMUPageSize:", "Rss:", "Pss:",
        "Shared_Clean:", "Shared_Dirty:", "Private_Clean:", "Private_Dirty:", "Referenced:", "Anonymous:",
        "AnonHugePages:", "Swap:", "Locked:", "VmFlags:", NULL};
    size_t len = 64 * 4096;
    char *own = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(own != MAP_FAILED && shared != MAP_FAILED);
    // So that it is a mapping of its own.
    CHECK(madvise(own, len, MADV_DONTFORK) == 0);
    memset(own, 1, len);
    memset(shared, 1, len);
    const char *found = sizes(own);
    for (const char *const *at = NAMES; *at; at++) CHECK(strstr(found, *at));
    CHECK(number(found, "\nSize:") == 256 && number(found, "\nRss:") == 256);
    CHECK(number(found, "\nPss:") == 256 && number(found, "\nAnonymous:") == 256);
    CHECK(number(found, "\nPrivate_Dirty:") == 256 && number(found, "\nLocked:") == 0);
    CHECK(strncmp(strstr(found, "VmFlags:"), "VmFlags: rd wr mr mw me", 23) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(*(volatile char *)shared == 1);
        found = sizes(shared);
        CHECK(number(found, "\nRss:") > 0 && number(found, "\nPss:") == number(found, "\nRss:") / 2);
        CHECK(strncmp(strstr(found, "VmFlags:"), "VmFlags: rd wr sh", 17) == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    found = sizes(shared);
    CHECK(number(found, "\nRss:") == 256 && number(found, "\nPss:") == 256);
    CHECK(has("/proc/self/smaps_rollup", "---p 00000000 00:00 0"));
    CHECK(has("/proc/self/smaps_rollup", "[rollup]\n") && number(text, "\nRss:") >= 512);
    CHECK(number(text, "\nPss_Anon:") >= 256 && number(text, "\nPss:") >= 512);
    CHECK(munmap(own, len) == 0 && munmap(shared, len) == 0);
}

// What an open file says is what is so when somebody reads it from its beginning.
static void said_again(void) {
    static const char *const names[] = {"first", "second", "third"};
    char said[1 << 16];
    int comm = open("/proc/self/comm", O_RDONLY), maps = open("/proc/self/maps", O_RDONLY);
    CHECK(comm >= 0 && maps >= 0);
    for (int i = 0; i < 3; i++) {
        CHECK(prctl(PR_SET_NAME, names[i]) == 0 && lseek(comm, 0, SEEK_SET) == 0);
        CHECK(read(comm, said, 2) == 2 && memcmp(said, names[i], 2) == 0);
        CHECK(prctl(PR_SET_NAME, "meanwhile") == 0);
        ssize_t rest = (ssize_t)strlen(names[i]) - 1;
        CHECK(read(comm, said, sizeof said) == rest && memcmp(said, names[i] + 2, rest - 1) == 0);
        CHECK(pread(comm, said, sizeof said, 0) == 10 && memcmp(said, "meanwhile\n", 10) == 0);
        void *at = mmap(NULL, 4096, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        char start[32];
        snprintf(start, sizeof start, "%08lx-", (unsigned long)at);
        for (int there = 1; there >= 0; there--) {
            size_t done = 0;
            for (ssize_t count; (count = pread(maps, said + done, sizeof said - 1 - done, done)) > 0;) done += count;
            said[done] = 0;
            CHECK((strstr(said, start) != NULL) == there);
            CHECK(munmap(at, 4096) == 0);
        }
    }
    CHECK(close(comm) == 0 && close(maps) == 0);
    // Of who is gone nothing is said, but to those who opened in time what only they might read is no error.
    int go[2];
    CHECK(pipe(go) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(close(go[1]) == 0 && read(go[0], said, 1) == 0);
        _exit(0);
    }
    char path[64];
    int status;
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    int stat = open(path, O_RDONLY);
    CHECK(stat >= 0 && pread(stat, said, sizeof said, 0) > 0);
    snprintf(path, sizeof path, "/proc/%d/environ", child);
    int environment = open(path, O_RDONLY);
    CHECK(environment >= 0 && close(go[0]) == 0 && close(go[1]) == 0);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(pread(stat, said, sizeof said, 0) == -1 && errno == ESRCH && close(stat) == 0);
    CHECK(pread(environment, said, sizeof said, 0) >= 0 && close(environment) == 0);
}

static void *without_first(void *first) {
    char path[64];
    CHECK(pthread_join(*(pthread_t *)first, NULL) == 0);
    snprintf(path, sizeof path, "/proc/self/task/%d/status", getpid());
    while (!has(path, "State:\tZ (zombie)\n")) usleep(1000);
    CHECK(entries("/proc/self/task") == 2);
    _exit(0);
}

// The first thread stays among the others as long as its process.
static void first_thread_ends(void) {
    pid_t child = fork();
    if (child == 0) {
        pthread_t first = pthread_self(), other;
        CHECK(pthread_create(&other, NULL, without_first, &first) == 0);
        pthread_exit(NULL);
    }
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        titled(argc, argv);
        return 0;
    }
    char path[64], target[256];
    name_spaces();
    said_again();
    struct stat status;
    int fd;
    for (const char **at = (const char *[]){"cpuinfo", "meminfo", "stat", "uptime", "loadavg",
             "mounts", "filesystems", "version", "swaps", "vmstat", "cmdline", NULL}; *at; at++) {
        snprintf(path, sizeof path, "/proc/%s", *at);
        CHECK(read_all(path) && text[0]);
    }
    for (const char **at = (const char *[]){"stat", "status", "statm", "cmdline", "comm", "environ",
             "maps", "smaps", "limits", "mountinfo", "mounts", "cgroup", "oom_score_adj", NULL};
         *at; at++) {
        snprintf(path, sizeof path, "/proc/self/%s", *at);
        CHECK(read_all(path));
    }
    CHECK((fd = open("/proc/self/oom_score_adj", O_WRONLY | O_TRUNC)) >= 0);
    CHECK(write(fd, "-500\n", 5) == 5 && close(fd) == 0);
    CHECK(has("/proc/self/oom_score_adj", "-500\n"));
    CHECK((fd = open("/proc/self/oom_score_adj", O_WRONLY)) >= 0);
    CHECK(write(fd, "7", 2) == 2 && close(fd) == 0);
    CHECK(has("/proc/self/oom_score_adj", "7\n"));
    CHECK((fd = open("/proc/self/comm", O_WRONLY)) >= 0);
    CHECK(write(fd, "a name of its own", 17) == 17 && close(fd) == 0);
    CHECK(has("/proc/self/comm", "a name of its o\n"));
    CHECK(has("/proc/self/limits", "Max open files"));
    CHECK(has("/proc/self/mountinfo", " - "));
    vector(environ);
    titles();
    first_thread_ends();
    map_sizes();
    CHECK(has("/proc/sys/kernel/ostype", "Linux\n"));
    CHECK(atoi(read_all("/proc/sys/kernel/pid_max")) >= 32768);
    CHECK(read_all("/proc/sys/vm/overcommit_memory"));
    CHECK(stat("/proc/sys/fs", &status) == 0 && S_ISDIR(status.st_mode));
    CHECK(has("/proc/devices", "Character devices:\n  1 mem\n") && has("/proc/devices", "Block devices:\n"));
    unsigned first, outside, count;
    CHECK(sscanf(read_all("/proc/self/uid_map"), "%u %u %u", &first, &outside, &count) == 3 && count > 0);
    CHECK(sscanf(read_all("/proc/self/gid_map"), "%u %u %u", &first, &outside, &count) == 3 && count > 0);
    // What was read and written is counted, also by a thread that has ended.
    unsigned long read_before, written_before, read_now, written_now;
    CHECK(sscanf(read_all("/proc/self/io"), "rchar: %lu\nwchar: %lu", &read_before, &written_before) == 2);
    CHECK((fd = open("/dev/null", O_RDWR)) >= 0 && write(fd, path, 20) == 20);
    pthread_t writes;
    CHECK(pthread_create(&writes, NULL, write_thirty, &fd) == 0 && pthread_join(writes, NULL) == 0);
    CHECK(close(fd) == 0 && (fd = open("/dev/zero", O_RDONLY)) >= 0 && read(fd, path, 60) == 60 && close(fd) == 0);
    CHECK(sscanf(read_all("/proc/self/io"), "rchar: %lu\nwchar: %lu", &read_now, &written_now) == 2);
    CHECK(written_now == written_before + 50 && read_now >= read_before + 60 && read_now < read_before + 1000);
    // The children of a thread; of one that dumps core a file is said to be there only if it is.
    pid_t dies = fork();
    CHECK(dies >= 0);
    if (dies == 0) {
        struct rlimit limit;
        getrlimit(RLIMIT_CORE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_CORE, &limit);
        if (chdir("/tmp") == 0) abort();
        _exit(1);
    }
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    snprintf(target, sizeof target, "%d ", dies);
    // A kernel may be without it.
    CHECK(access(path, F_OK) != 0 || has(path, target));
    int none = strcmp(read_all("/proc/sys/kernel/core_pattern"), "\n") == 0 &&
               atoi(read_all("/proc/sys/kernel/core_uses_pid")) == 0;
    int death;
    siginfo_t told;
    CHECK(waitid(P_PID, dies, &told, WEXITED | WNOWAIT) == 0 && told.si_status == SIGABRT);
    snprintf(path, sizeof path, "/proc/%d/task", dies);
    CHECK(entries(path) == 1);
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", dies, dies);
    CHECK(has(path, ") Z "));
    CHECK(waitpid(dies, &death, 0) == dies && WIFSIGNALED(death) && WTERMSIG(death) == SIGABRT);
    CHECK((told.si_code == CLD_DUMPED) == !!WCOREDUMP(death) && !(none && WCOREDUMP(death)));

    CHECK(has("/proc/cpuinfo", "model name\t: ") && has("/proc/cpuinfo", "cpu family\t: ") && has("/proc/cpuinfo", "bogomips\t: "));
    CHECK(has("/proc/cpuinfo", "flags\t\t: fpu ") && has("/proc/cpuinfo", " sse2 ") && has("/proc/cpuinfo", " lm "));
    // Whoever has another root sees the mounts below that, by the paths that they have there.
    if (geteuid() == 0 && mkdir("/tmp/a place", 0755) == 0 && mount("none", "/tmp/a place", "tmpfs", 0, NULL) == 0) {
        CHECK(mkdir("/tmp/a place/in", 0755) == 0 && mount("none", "/tmp/a place/in", "tmpfs", 0, NULL) == 0);
        CHECK(has("/proc/self/mounts", " /tmp/a\\040place ") && has("/proc/self/mountinfo", " /tmp/a\\040place/in "));
        pid_t inside = fork();
        if (inside == 0) {
            int proc = open("/proc", O_RDONLY | O_DIRECTORY);
            CHECK(chroot("/tmp/a place") == 0 && fchdir(proc) == 0);
            CHECK(!has("self/mounts", "place") && has("self/mounts", " /in ") && has("self/mountinfo", " / / "));
            int lines = 0;
            for (const char *at = read_all("self/mountinfo"); *at; at++) lines += *at == '\n';
            CHECK(lines == 2);
            _exit(0);
        }
        int ended;
        CHECK(waitpid(inside, &ended, 0) == inside && ended == 0);
        CHECK(umount("/tmp/a place/in") == 0 && umount("/tmp/a place") == 0 && rmdir("/tmp/a place") == 0);
    }

    fd = open("/proc/self/exe", O_RDONLY);
    CHECK(fd >= 0 && lseek(fd, 5, SEEK_SET) == 5);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    CHECK(has(path, "pos:\t5\n") && has(path, "mnt_id:\t"));
    close(fd);

    pthread_barrier_t barrier;
    pthread_t second;
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
    CHECK(pthread_create(&second, NULL, thread, &barrier) == 0);
    pthread_barrier_wait(&barrier);
    CHECK(entries("/proc/self/task") == 2);
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(tasks));) {
        snprintf(path, sizeof path, "/proc/%.20s/status", entry->d_name);
        CHECK(entry->d_name[0] == '.' || has(path, "Tgid:"));
    }
    CHECK(closedir(tasks) == 0);
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)syscall(SYS_gettid));
    CHECK(read_all(path));
    pthread_barrier_wait(&barrier);
    CHECK(pthread_join(second, NULL) == 0);
    ssize_t len = readlink("/proc/thread-self", target, sizeof target - 1);
    CHECK(len > 0);
    target[len] = 0;
    snprintf(path, sizeof path, "%d/task/%d", getpid(), (int)syscall(SYS_gettid));
    CHECK(strcmp(target, path) == 0);

    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) pause();
    snprintf(path, sizeof path, "/proc/%d/status", child);
    snprintf(target, sizeof target, "PPid:\t%d\n", getpid());
    CHECK(has(path, target));
    // Memory is a file, too, for those who may look.
    static char secret[8192];
    char copy[8192];
    snprintf(path, sizeof path, "/proc/%d/mem", child);
    int memory = open(path, O_RDWR), own = open("/proc/self/mem", O_RDWR);
    CHECK(memory >= 0 && own >= 0);
    strcpy(secret + 4090, "across two pages");
    CHECK(pread(own, copy, 17, (off_t)(secret + 4090)) == 17 && strcmp(copy, "across two pages") == 0);
    CHECK(pwrite(own, "A", 1, (off_t)(secret + 4090)) == 1 && strcmp(secret + 4090, "Across two pages") == 0);
    CHECK(pread(memory, copy, 17, (off_t)(secret + 4090)) == 17 && copy[0] == 0);
    CHECK(pwrite(memory, "theirs", 7, (off_t)(secret + 4093)) == 7 && secret[4093] == 'o');
    CHECK(pread(memory, copy, 7, (off_t)(secret + 4093)) == 7 && strcmp(copy, "theirs") == 0);
    CHECK(pread(own, copy, 8, 16) == -1 && errno == EIO);
    CHECK(lseek(own, 0, SEEK_END) == -1 && errno == EINVAL && close(own) == 0);
    CHECK(kill(child, 9) == 0 && waitpid(child, NULL, 0) == child);
    CHECK(pread(memory, copy, 8, (off_t)secret) == 0 && close(memory) == 0 && open(path, O_RDONLY) == -1);
    snprintf(path, sizeof path, "/proc/%d/status", child);
    CHECK(!read_all(path));

    char boot[64], other[64];
    CHECK(strlen(strcpy(boot, read_all("/proc/sys/kernel/random/boot_id"))) == 37 && boot[14] == '4');
    CHECK(strcmp(boot, read_all("/proc/sys/kernel/random/boot_id")) == 0);
    CHECK(strlen(strcpy(other, read_all("/proc/sys/kernel/random/uuid"))) == 37);
    CHECK(strcmp(other, read_all("/proc/sys/kernel/random/uuid")) != 0);
    CHECK(has("/proc/stat", "\nprocesses ") && has("/proc/stat", "\nsoftirq "));
    // Texts that are made while they are read have no end to start at; others have.
    CHECK((fd = open("/proc/meminfo", O_RDONLY)) >= 0);
    CHECK(lseek(fd, 0, SEEK_END) < 0 && errno == EINVAL);
    CHECK(lseek(fd, 0, SEEK_DATA) < 0 && errno == EINVAL);
    CHECK(lseek(fd, 10, SEEK_CUR) == 10 && close(fd) == 0);
    CHECK((fd = open("/proc/self/cmdline", O_RDONLY)) >= 0);
    CHECK(lseek(fd, 0, SEEK_END) >= 0 && close(fd) == 0);
    CHECK(open("/proc/sys/kernel/ostype", O_WRONLY) < 0 && errno == EACCES);
    CHECK(rename("/proc/version", "/proc/uptime") < 0 && errno == EPERM);

    if (access("/sys", F_OK) == 0) {
        CHECK(has("/sys/devices/system/cpu/online", "0"));
        CHECK(strcmp(read_all("/sys/devices/system/cpu/cpu0/topology/core_cpus_list"), "0\n") == 0);
        CHECK(read_all("/sys/devices/system/node/node0/cpumap"));
        CHECK(open("/sys/devices/system/cpu/online", O_WRONLY) < 0 && errno == EACCES);
        CHECK(rename("/sys/devices", "/sys/devices") == 0);
        CHECK(rename("/sys/devices", "/sys/.") < 0 && errno == EBUSY);
        CHECK(rename("/sys/devices", "/sys/..") < 0 && errno == EBUSY);
        CHECK(rename("/sys/devices", "/devices") < 0 && errno == EXDEV);
        CHECK(link("/proc/self/cmdline", "/sys/a") < 0 && errno == EXDEV);
    }
    puts("the system is known");
    return 0;
}
