// What programs may ask of memory: limits of mappings, memory that stays, stacks that grow, memory of
// others, and old entry points. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, number) CHECK((long)(call) == -1 && errno == (number))

static sigjmp_buf back;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    siglongjmp(back, info->si_code);
}

static int store(volatile char *at, char value) {
    int code = sigsetjmp(back, 1);
    if (code == 0) *at = value;
    return code;
}

static int jump(unsigned long to) {
    int code = sigsetjmp(back, 1);
    if (code == 0) ((void (*)(void))to)();
    return code;
}

static void wait_for(pid_t child, int signal) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(signal ? WIFSIGNALED(status) && WTERMSIG(status) == signal : status == 0);
}

static char *anonymous(size_t len, int flags) {
    char *at = mmap(0, len, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

// The number behind a name in a file of `/proc`.
static long number_of(const char *file, const char *name) {
    char line[256];
    long number = -1;
    FILE *lines = fopen(file, "r");
    CHECK(lines);
    while (fgets(line, sizeof line, lines))
        if (strncmp(line, name, strlen(name)) == 0) number = atol(line + strlen(name));
    fclose(lines);
    return number;
}

static void rights_of_files(void) {
    int writer = open("/tmp/memory-file", O_RDWR | O_CREAT | O_EXCL, 0600);
    int reader = open("/tmp/memory-file", O_RDONLY);
    int only = open("/tmp/memory-file", O_WRONLY);
    CHECK(writer >= 0 && reader >= 0 && only >= 0 && ftruncate(writer, 2 * PAGE) == 0);
    char *shown = mmap(0, PAGE, PROT_READ, MAP_SHARED, reader, 0);
    CHECK(shown != MAP_FAILED);
    FAILS(mprotect(shown, PAGE, READ_WRITE), EACCES);
    CHECK(munmap(shown, PAGE) == 0);
    CHECK((shown = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, reader, 0)) != MAP_FAILED);
    CHECK(mprotect(shown, PAGE, READ_WRITE) == 0 && store(shown, 'p') == 0 && munmap(shown, PAGE) == 0);
    FAILS(mmap(0, PAGE, READ_WRITE, 0, writer, 0), EINVAL);
    FAILS(mmap(0, PAGE, READ_WRITE, 0, only, 0), EINVAL);
    FAILS(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, only, 0), EACCES);
    FAILS(mmap(0, 0, PROT_READ, MAP_PRIVATE, 999, 0), EBADF);
    // More than there are addresses, before the file is asked; past a libc that refuses it, too.
    FAILS(syscall(SYS_mmap, 0L, -2L * PAGE, PROT_READ, MAP_SHARED, (long)reader, 0L), ENOMEM);
    FAILS(mmap(0, PAGE, READ_WRITE, MAP_SHARED_VALIDATE | 1 << 10, writer, 0), EOPNOTSUPP);
    FAILS(mmap(0, PAGE, READ_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, writer, 0), EOPNOTSUPP);
    CHECK((shown = mmap(0, 2 * PAGE, READ_WRITE, MAP_SHARED_VALIDATE, writer, 0)) != MAP_FAILED);
    strcpy(shown, "first"), strcpy(shown + PAGE, "second");
    CHECK(remap_file_pages(shown, PAGE, 0, 1, 0) == 0 && strcmp(shown, "second") == 0);
    CHECK(strcmp(shown + PAGE, "second") == 0 && munmap(shown, 2 * PAGE) == 0);

    int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
    CHECK(sealed >= 0 && ftruncate(sealed, PAGE) == 0);
    CHECK((shown = mmap(0, PAGE, PROT_READ, MAP_SHARED, sealed, 0)) != MAP_FAILED);
    FAILS(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    CHECK(munmap(shown, PAGE) == 0 && fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    CHECK(write(sealed, "", 0) == 0);
    FAILS(write(sealed, "x", 1), EPERM);
    CHECK((shown = mmap(0, PAGE, PROT_READ, MAP_SHARED, sealed, 0)) != MAP_FAILED);
    FAILS(mprotect(shown, PAGE, READ_WRITE), EACCES);
    CHECK(munmap(shown, PAGE) == 0 && close(sealed) == 0);
    CHECK(close(writer) == 0 && close(reader) == 0 && close(only) == 0 && unlink("/tmp/memory-file") == 0);

    // Something else can be put over a part of shared memory, and is gone with it.
    char *shared = mmap(0, 3 * PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    shared[PAGE] = 's';
    CHECK(mmap(shared + PAGE, PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
          == shared + PAGE);
    CHECK(shared[PAGE] == 0 && store(shared, 'a') == 0 && store(shared + 2 * PAGE, 'c') == 0);
    CHECK(munmap(shared, 3 * PAGE) == 0 && store(shared + PAGE, 'x') == SEGV_MAPERR);

    // Shared memory does not become more by a larger mapping.
    shared = mmap(0, PAGE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    shared = mremap(shared, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    CHECK(shared != MAP_FAILED && store(shared, 'a') == 0 && store(shared + PAGE, 'x') == BUS_ADRERR);
    CHECK(munmap(shared, 3 * PAGE) == 0);
}

static void locked(void) {
    const char *status = "/proc/self/status";
    long before = number_of(status, "VmLck:");
    char *at = anonymous(8 * PAGE, 0);
    CHECK(mlock(at + PAGE, 2 * PAGE + 1) == 0 && number_of(status, "VmLck:") == before + 12);
    FAILS(msync(at + PAGE, PAGE, MS_INVALIDATE), EBUSY);
    FAILS(madvise(at, 8 * PAGE, MADV_DONTNEED), EINVAL);
    CHECK(munlock(at + PAGE, PAGE) == 0 && number_of(status, "VmLck:") == before + 8);
    CHECK(munmap(at + 2 * PAGE, PAGE) == 0 && number_of(status, "VmLck:") == before + 4);
    FAILS(mlock(at, 8 * PAGE), ENOMEM);
    FAILS(munlock(at + 2 * PAGE, PAGE), ENOMEM);
    FAILS(syscall(SYS_mlock2, at, PAGE, 2), EINVAL);
    CHECK(munlockall() == 0 && number_of(status, "VmLck:") == 0);
    char *other = anonymous(2 * PAGE, MAP_LOCKED);
    CHECK(number_of(status, "VmLck:") == 8 && munmap(other, 2 * PAGE) == 0);

    // Those who have no right to more have a limit, and children lock nothing.
    CHECK(mlock(at, 2 * PAGE) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(number_of(status, "VmLck:") == 0);
        struct rlimit limit = {2 * PAGE, 2 * PAGE};
        CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && setuid(1000) == 0);
        CHECK(mlock(at, 2 * PAGE) == 0 && mlock(at, PAGE) == 0);
        FAILS(mlock(at + 3 * PAGE, PAGE), ENOMEM);
        FAILS(mmap(0, PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0), EAGAIN);
        FAILS(mlockall(MCL_CURRENT), ENOMEM);
        limit = (struct rlimit){0, 0};
        CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
        FAILS(mlock(at, PAGE), EPERM);
        _exit(0);
    }
    wait_for(child, 0);
    FAILS(madvise(at + 3 * PAGE, PAGE, 12 /* MADV_MERGEABLE */ + 1000), EINVAL);
    CHECK(madvise(at + 3 * PAGE, PAGE, MADV_FREE) == 0 && munmap(at, 8 * PAGE) == 0);
}

// What was unmapped is nothing's, also when memory was needed meanwhile.
static void unmapped(void) {
    for (int round = 0; round < 3; round++) {
        char *gone = anonymous(64 * PAGE, 0);
        memset(gone, 1, 64 * PAGE);
        CHECK(munmap(gone, 64 * PAGE) == 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            signal(SIGSEGV, SIG_DFL);
            gone[round * 20 * PAGE] = 'x';
            _exit(0);
        }
        wait_for(child, SIGSEGV);
        CHECK(store(gone, 'x') == SEGV_MAPERR);
    }
}

static void growing(void) {
    char *room = anonymous(600 * PAGE, 0);
    CHECK(munmap(room, 600 * PAGE) == 0);
    char *stack = mmap(room + 590 * PAGE, 2 * PAGE, READ_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    CHECK(stack == room + 590 * PAGE);
    for (int page = 1; page <= 20; page++) CHECK(store(stack - page * PAGE + 5, 's') == 0);
    CHECK(store(stack - 40 * PAGE, 'd') == 0 && stack[-30 * PAGE] == 0 && stack[-3 * PAGE + 5] == 's');
    // It stays away from what is below it.
    char *below = mmap(stack - 300 * PAGE, PAGE, READ_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(below == stack - 300 * PAGE && store(below + 2 * PAGE, 'x') == SEGV_MAPERR);
    CHECK(munmap(below, 302 * PAGE) == 0);
}

static void of_others(void) {
    char *at = anonymous(3 * PAGE, 0), bytes[2 * PAGE] = {0};
    strcpy(at, "parent");
    int ready[2], done[2];
    CHECK(pipe(ready) == 0 && pipe(done) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        strcpy(at, "child"), strcpy(at + PAGE - 3, "over pages");
        CHECK(write(ready[1], "", 1) == 1 && read(done[0], bytes, 1) == 1);
        CHECK(strcmp(at, "written") == 0 && strcmp(at + 100, "too") == 0);
        _exit(0);
    }
    CHECK(read(ready[0], bytes, 1) == 1);
    struct iovec here[2] = {{bytes, 10}, {bytes + 100, 11}};
    struct iovec there[2] = {{at, 10}, {at + PAGE - 3, 11}};
    CHECK(process_vm_readv(child, here, 2, there, 2, 0) == 21);
    CHECK(strcmp(bytes, "child") == 0 && strcmp(bytes + 100, "over pages") == 0);
    CHECK(strcmp(at, "parent") == 0);
    strcpy(bytes, "written"), strcpy(bytes + 100, "too");
    there[1] = (struct iovec){at + 100, 11};
    CHECK(process_vm_writev(child, here, 2, there, 2, 0) == 21 && strcmp(at, "parent") == 0);
    there[1].iov_base = (void *)(PAGE * 3);
    CHECK(process_vm_readv(child, here, 2, there, 2, 0) == 10);
    FAILS(process_vm_readv(child, here, 2, there + 1, 1, 0), EFAULT);
    FAILS(process_vm_readv(child, here, 2, there, 1, 1), EINVAL);
    CHECK(process_vm_readv(child, here, 2, there, 0, 0) == 0);
    CHECK(write(done[1], "", 1) == 1);
    wait_for(child, 0);
    FAILS(process_vm_readv(child, here, 1, there, 1, 0), ESRCH);
    CHECK(process_vm_readv(getpid(), here, 1, there, 1, 0) == 10 && strcmp(bytes, "parent") == 0);
    CHECK(munmap(at, 3 * PAGE) == 0 && close(ready[0]) == 0 && close(ready[1]) == 0);
    CHECK(close(done[0]) == 0 && close(done[1]) == 0);
}

static void removed_segments(void) {
    int id = shmget(1234, PAGE, 0600 | IPC_CREAT | IPC_EXCL);
    struct shmid_ds about;
    char line[256], name[32];
    CHECK(id >= 0);
    char *at = shmat(id, 0, 0);
    CHECK(at != (void *)-1 && shmctl(id, SHM_LOCK, 0) == 0 && shmctl(id, IPC_STAT, &about) == 0);
    CHECK((about.shm_perm.mode & 07000) == 02000 && shmctl(id, SHM_UNLOCK, 0) == 0);
    CHECK(shmctl(id, IPC_RMID, 0) == 0 && shmctl(id, IPC_STAT, &about) == 0);
    CHECK((about.shm_perm.mode & 07000) == 01000 && about.shm_nattch == 1);
    FAILS(shmget(1234, PAGE, 0600), ENOENT);
    FAILS(shmget(IPC_PRIVATE, ~0ul, 0600), EINVAL);
    FILE *list = fopen("/proc/sysvipc/shm", "r");
    int found = 0;
    CHECK(list && fgets(line, sizeof line, list));
    while (fgets(line, sizeof line, list)) {
        int key, other, mode, creator, last, count;
        long size;
        CHECK(sscanf(line, "%d %d %o %ld %d %d %d", &key, &other, &mode, &size, &creator, &last, &count) == 7);
        if (other == id) found += key == 0 && mode == 01600 && size == PAGE && creator == getpid() && count == 1;
    }
    CHECK(found == 1 && fclose(list) == 0);
    CHECK(shmdt(at) == 0);
    FAILS(shmctl(id, IPC_STAT, &about), EINVAL);
    for (const char **one = (const char *[]){"msg", "sem", 0}; *one; one++) {
        snprintf(name, sizeof name, "/proc/sysvipc/%s", *one);
        CHECK(access(name, R_OK) == 0);
    }
}

static void outside(void) {
    time_t now = time(0);
    long seen = ((long (*)(long *))0xffffffffff600400)(0);
    CHECK(seen >= now && seen <= now + 2);
    CHECK(jump(0x7ffffffde000) != 0 && jump(0x123456789000) == SEGV_MAPERR);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, 0) == 0 && sigaction(SIGBUS, &action, 0) == 0);
    rights_of_files();
    locked();
    unmapped();
    growing();
    of_others();
    removed_segments();
    outside();
    CHECK(number_of("/proc/self/status", "VmHWM:") >= number_of("/proc/self/status", "VmRSS:"));
    puts("memory is what was asked for");
    return 0;
}
