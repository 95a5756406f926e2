// Locks: three processes lock, unlock and lease parts of the same files by descriptors of their own and by
// shared ones, and say after each step who stands in whose way.
#include "series.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { STEPS = 60, PEERS = 3, FILES = 2, HANDLES = 6 };
enum { LOCK_WHOLE, SET, GET, SET_OPEN, GET_OPEN, REOPEN, DUPLICATE, LEASE, LEASED, OPEN, SEEK, TRUNCATE, KINDS, STATE = KINDS };

struct command { int kind, handle, how, name; struct flock lock; };
struct reply { long result; struct flock lock; int signals; };

static const char *const NAME[FILES] = {"a", "b"};
// Two of each file that are every process's own, and one of each that all share.
static int handles[HANDLES];
static volatile int signals;

static void count_signal(int number) { signals += number > 0; }

static int file_of(int handle) { return handle % FILES; }

// Of each tenth byte of each file who would be in the way of a lock; where it is one that shares, any of them
// may be named.
static long state(void) {
    uint64_t hash = 0;
    for (int handle = 0; handle < FILES; handle++)
        for (int command = 0; command < 2; command++)
            for (int start = 0; start < 130; start += 10) {
                struct flock lock = {.l_type = F_WRLCK, .l_start = start + 5, .l_len = 1};
                CHECK(!fcntl(handles[handle], command ? F_OFD_GETLK : F_GETLK, &lock));
                bool is_alone = lock.l_type == F_WRLCK;
                long facts[] = {lock.l_type, is_alone ? lock.l_start : 0, is_alone ? lock.l_len : 0};
                hash = digest(hash, facts, sizeof facts);
            }
    for (int handle = 0; handle < HANDLES; handle++) {
        long leased = outcome(fcntl(handles[handle], F_GETLEASE));
        hash = digest(hash, &leased, sizeof leased);
    }
    return hash >> 1;
}

static struct reply serve(const struct command *command) {
    struct reply reply = {.lock = command->lock};
    int fd = handles[command->handle], opened;
    switch (command->kind) {
    case LOCK_WHOLE: reply.result = outcome(flock(fd, command->how | LOCK_NB)); break;
    case SET: reply.result = outcome(fcntl(fd, F_SETLK, &reply.lock)); break;
    case GET: reply.result = outcome(fcntl(fd, F_GETLK, &reply.lock)); break;
    case SET_OPEN: reply.result = outcome(fcntl(fd, F_OFD_SETLK, &reply.lock)); break;
    case GET_OPEN: reply.result = outcome(fcntl(fd, F_OFD_GETLK, &reply.lock)); break;
    case REOPEN:
        opened = open(NAME[file_of(command->handle)], command->how | O_NONBLOCK);
        reply.result = outcome(opened) < 0 ? -errno : 0;
        if (opened >= 0) { CHECK(dup2(opened, fd) == fd); close(opened); }
        break;
    case DUPLICATE: opened = dup(fd); reply.result = outcome(close(opened)); break;
    case LEASE: reply.result = outcome(fcntl(fd, F_SETLEASE, command->how)); break;
    case LEASED: reply.result = outcome(fcntl(fd, F_GETLEASE)); break;
    case OPEN:
        opened = open(NAME[command->name], command->how | O_NONBLOCK);
        reply.result = opened < 0 ? -errno : 0;
        if (opened >= 0) close(opened);
        break;
    case SEEK: reply.result = outcome(lseek(fd, command->how, SEEK_SET)); break;
    case STATE: reply.result = state(); break;
    case TRUNCATE: reply.result = outcome(truncate(NAME[command->name], command->how)); break;
    }
    reply.signals = signals;
    return reply;
}

static void peer(int channel) {
    for (int i = 0; i < HANDLES - FILES; i++) {
        int fd = open(NAME[file_of(i)], i < FILES ? O_RDWR : O_RDONLY);
        CHECK(fd >= 0 && dup2(fd, 100 + i) == 100 + i && !close(fd));
        handles[i] = 100 + i;
    }
    struct command command;
    for (;;) {
        ssize_t got = read(channel, &command, sizeof command);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) _exit(0);
        CHECK(got == sizeof command);
        struct reply reply = serve(&command);
        CHECK(write(channel, &reply, sizeof reply) == sizeof reply);
    }
}

static int channels[PEERS];
static pid_t peers[PEERS];

static struct reply ask(int index, const struct command *command) {
    struct reply reply;
    CHECK(write(channels[index], command, sizeof *command) == sizeof *command);
    CHECK(read(channels[index], &reply, sizeof reply) == sizeof reply);
    return reply;
}

static void say_state(void) {
    struct reply replies[PEERS];
    for (int i = 0; i < PEERS; i++) replies[i] = ask(i, &(struct command){.kind = STATE});
    say("state %016lx %016lx %016lx signals %d %d %d", replies[0].result, replies[1].result, replies[2].result,
        replies[0].signals, replies[1].signals, replies[2].signals);
}

static void step(void) {
    static const int WHOLE[] = {LOCK_SH, LOCK_EX, LOCK_UN, 16};
    static const short TYPE[] = {F_RDLCK, F_WRLCK, F_UNLCK, F_RDLCK, F_WRLCK, 7};
    static const int ACCESS[] = {O_RDONLY, O_RDWR, O_WRONLY};
    static const int LEASES[] = {F_RDLCK, F_WRLCK, F_UNLCK, 5};
    static const long START[] = {0, 10, 20, 50, 100, -5, 0x7fffffffffffffff};
    static const long LENGTH[] = {0, 1, 10, 30, 100, -10, -200, 0x7fffffffffffffff};
    int index = below(PEERS);
    struct command command = {.kind = below(KINDS), .handle = below(HANDLES), .name = below(FILES)};
    if (!below(3)) command.kind = SET;
    command.lock = (struct flock){.l_type = ANY(TYPE), .l_whence = below(4), .l_start = ANY(START), .l_len = ANY(LENGTH)};
    if (below(2)) command.lock.l_start = below(110), command.lock.l_len = below(60), command.lock.l_whence = 0;
    if (command.kind == SET_OPEN || command.kind == GET_OPEN) command.lock.l_pid = below(10) ? 0 : 1;
    switch (command.kind) {
    case LOCK_WHOLE: command.how = ANY(WHOLE); break;
    case REOPEN: case OPEN: command.how = ANY(ACCESS) | (below(5) ? 0 : O_TRUNC); break;
    case LEASE: command.how = ANY(LEASES); break;
    // That one may ask so has changed since 5.15.
    case GET_OPEN: command.lock.l_type %= F_UNLCK; break;
    case SEEK: command.how = below(200); break;
    case TRUNCATE: command.how = 90 + below(20); command.kind = below(3) ? SET : OPEN; break;
    }
    // The shared ones stay what they are.
    if (command.kind == REOPEN) command.handle %= HANDLES - FILES;
    struct reply reply = ask(index, &command);
    say("%d: kind %d handle %d name %d how %d type %d whence %d %ld %ld: %ld", index, command.kind, command.handle, command.name,
        command.how, command.lock.l_type, command.lock.l_whence, command.lock.l_start, command.lock.l_len, reply.result);
    if ((command.kind == GET || command.kind == GET_OPEN) && !reply.result)
        say("free %d", reply.lock.l_type == F_UNLCK);
    say_state();
}

static void run_series(const char *folder) {
    CHECK(!mkdir(folder, 0755) && !chdir(folder));
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
    CHECK(!sigaction(SIGIO, &action, NULL));
    signals = 0;
    for (int i = 0; i < FILES; i++) {
        int fd = open(NAME[i], O_RDWR | O_CREAT | O_EXCL, 0644);
        CHECK(fd >= 0 && !ftruncate(fd, 100) && dup2(fd, 110 + i) == 110 + i && !close(fd));
        handles[HANDLES - FILES + i] = 110 + i;
    }
    for (int i = 0; i < PEERS; i++) {
        int ends[2];
        CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        CHECK((peers[i] = fork()) >= 0);
        if (!peers[i]) {
            alarm(60);
            for (int k = 0; k < i; k++) close(channels[k]);
            close(ends[0]);
            peer(ends[1]);
        }
        close(ends[1]);
        channels[i] = ends[0];
    }
    for (series_step = 0; series_step < STEPS; series_step++) step();
    for (int i = 0; i < PEERS; i++) close(channels[i]);
    for (int i = 0; i < PEERS; i++) {
        int status;
        CHECK(waitpid(peers[i], &status, 0) == peers[i] && !status);
    }
    for (int i = 0; i < FILES; i++) CHECK(!close(110 + i) && !unlink(NAME[i]));
    CHECK(!chdir("/") && !rmdir(folder));
}
