// Pipes, FIFOs, event counters, epoll and unix sockets between threads that wait for each other. The
// exit status is the line of the first check that fails. Its output on Linux is the same.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

static pthread_t start(void *(*body)(void *), void *argument) {
    pthread_t thread;
    CHECK(pthread_create(&thread, 0, body, argument) == 0);
    return thread;
}

static void join(pthread_t thread) { CHECK(pthread_join(thread, 0) == 0); }

static void nap(void) { usleep(20000); }

// A stream of many sizes arrives in order, through pipes and sockets that block on both sides.
enum { STREAM_BYTES = 3 << 20 };
static unsigned char pattern(size_t at) { return at * 7 + (at >> 10); }

static void *write_stream(void *argument) {
    int fd = *(int *)argument;
    static unsigned char bytes[100000];
    for (size_t done = 0, size = 1; done < STREAM_BYTES; size = size * 3 % 99991 + 1) {
        if (size > STREAM_BYTES - done) size = STREAM_BYTES - done;
        for (size_t i = 0; i < size; i++) bytes[i] = pattern(done + i);
        CHECK(write(fd, bytes, size) == (ssize_t)size);
        done += size;
    }
    return 0;
}

static void read_stream(int fd) {
    static unsigned char bytes[70001];
    size_t done = 0;
    for (size_t size = 1; done < STREAM_BYTES; size = size * 5 % 69991 + 1) {
        struct iovec two[2] = {{bytes, size / 2}, {bytes + size / 2, size - size / 2}};
        ssize_t count = readv(fd, two, 2);
        CHECK(count > 0);
        for (ssize_t i = 0; i < count; i++) CHECK(bytes[i] == pattern(done + i));
        done += count;
    }
    CHECK(done == STREAM_BYTES);
}

static void streams(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pthread_t writer = start(write_stream, &ends[1]);
    read_stream(ends[0]);
    join(writer);
    CHECK(fcntl(ends[0], F_SETPIPE_SZ, 4096) == 4096);
    writer = start(write_stream, &ends[1]);
    read_stream(ends[0]);
    join(writer);
    struct stat one, other;
    CHECK(fstat(ends[0], &one) == 0 && fstat(ends[1], &other) == 0);
    CHECK(S_ISFIFO(one.st_mode) && one.st_ino == other.st_ino);
    close(ends[0]);
    FAILS(write(ends[1], "x", 1), EPIPE);
    close(ends[1]);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    writer = start(write_stream, &ends[0]);
    read_stream(ends[1]);
    join(writer);
    close(ends[0]);
    char byte;
    CHECK(read(ends[1], &byte, 1) == 0);
    close(ends[1]);
}

static void *open_for_writing(void *path) {
    nap();
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && write(fd, "through", 7) == 7);
    close(fd);
    return 0;
}

static void fifos(void) {
    char *path = "/tmp/channels.fifo";
    unlink(path);
    CHECK(mkfifo(path, 0600) == 0);
    FAILS(mkfifo(path, 0600), EEXIST);
    FAILS(open(path, O_WRONLY | O_NONBLOCK), ENXIO);
    pthread_t writer = start(open_for_writing, path);
    int fd = open(path, O_RDONLY);
    char text[16];
    CHECK(fd >= 0 && read(fd, text, 16) == 7 && memcmp(text, "through", 7) == 0);
    join(writer);
    CHECK(read(fd, text, 16) == 0);
    struct pollfd hung_up = {fd, POLLIN, 0};
    CHECK(poll(&hung_up, 1, -1) == 1 && hung_up.revents == POLLHUP);
    close(fd);
    CHECK(unlink(path) == 0);
}

static void *count_up(void *argument) {
    int fd = *(int *)argument;
    for (int i = 0; i < 1000; i++) CHECK(eventfd_write(fd, 1) == 0);
    return 0;
}

static void counters(void) {
    int fd = eventfd(0, EFD_SEMAPHORE);
    pthread_t writer = start(count_up, &fd);
    eventfd_t value;
    for (int i = 0; i < 1000; i++) CHECK(eventfd_read(fd, &value) == 0 && value == 1);
    join(writer);
    close(fd);
    fd = eventfd(3, EFD_NONBLOCK);
    CHECK(eventfd_read(fd, &value) == 0 && value == 3);
    FAILS(eventfd_read(fd, &value), EAGAIN);
    CHECK(eventfd_write(fd, UINT64_MAX - 1) == 0);
    FAILS(eventfd_write(fd, 1), EAGAIN);
    close(fd);
}

// Several threads wait in one epoll; each message is answered once.
static int work, answers;

static void *answer(void *argument) {
    (void)argument;
    for (;;) {
        struct epoll_event event;
        CHECK(epoll_wait(work, &event, 1, -1) == 1);
        int fd = event.data.fd;
        char text[8];
        ssize_t count = read(fd, text, 1);
        CHECK(count == 1);
        if (text[0] == 'q') {
            event.events = EPOLLIN | EPOLLONESHOT;
            CHECK(write(fd, "q", 0) == 0);
            CHECK(epoll_ctl(work, EPOLL_CTL_MOD, fd, &event) == 0);
            return 0;
        }
        text[0] += 1;
        __atomic_add_fetch(&answers, 1, __ATOMIC_RELAXED);
        CHECK(write(fd, text, 1) == 1);
        event.events = EPOLLIN | EPOLLONESHOT;
        CHECK(epoll_ctl(work, EPOLL_CTL_MOD, fd, &event) == 0);
    }
}

static void polls(void) {
    work = epoll_create1(EPOLL_CLOEXEC);
    int pairs[4][2];
    for (int i = 0; i < 4; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) == 0);
        struct epoll_event event = {EPOLLIN | EPOLLONESHOT, {.fd = pairs[i][1]}};
        CHECK(epoll_ctl(work, EPOLL_CTL_ADD, pairs[i][1], &event) == 0);
    }
    pthread_t one = start(answer, 0), other = start(answer, 0);
    for (int round = 0; round < 500; round++) {
        char text[1] = {'a' + round % 8};
        CHECK(write(pairs[round % 4][0], text, 1) == 1);
        char back[1];
        CHECK(read(pairs[round % 4][0], back, 1) == 1 && back[0] == text[0] + 1);
    }
    CHECK(answers == 500);
    CHECK(write(pairs[0][0], "q", 1) == 1 && write(pairs[1][0], "q", 1) == 1);
    join(one);
    join(other);
    struct epoll_event event;
    CHECK(epoll_wait(work, &event, 1, 10) == 0);
    for (int i = 0; i < 4; i++) close(pairs[i][0]), close(pairs[i][1]);
    CHECK(epoll_wait(work, &event, 1, 0) == 0);
    close(work);
}

static void *serve(void *argument) {
    int listener = *(int *)argument;
    for (int i = 0; i < 20; i++) {
        struct sockaddr_un name;
        socklen_t len = sizeof name;
        int fd = accept4(listener, (struct sockaddr *)&name, &len, SOCK_CLOEXEC);
        CHECK(fd >= 0 && len == 2 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
        char text[8];
        ssize_t count = recv(fd, text, 5, MSG_WAITALL);
        CHECK(count == 5 && send(fd, text, 5, MSG_NOSIGNAL) == 5);
        CHECK(recv(fd, text, 8, 0) == 0);
        close(fd);
    }
    return 0;
}

static struct sockaddr_un name_of(const char *path) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    strcpy(name.sun_path, path);
    return name;
}

static void servers(void) {
    struct sockaddr_un name = name_of("/tmp/channels.socket");
    unlink(name.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&name, sizeof name) == 0 && listen(listener, 2) == 0);
    struct stat status;
    CHECK(stat(name.sun_path, &status) == 0 && S_ISSOCK(status.st_mode));
    FAILS(open(name.sun_path, O_RDWR), ENXIO);
    pthread_t server = start(serve, &listener);
    for (int i = 0; i < 20; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(connect(fd, (struct sockaddr *)&name, sizeof name) == 0);
        struct ucred peer;
        socklen_t len = sizeof peer;
        CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid());
        CHECK(send(fd, "he", 2, 0) == 2 && send(fd, "llo", 3, 0) == 3);
        char text[8];
        CHECK(recv(fd, text, 5, MSG_WAITALL) == 5 && memcmp(text, "hello", 5) == 0);
        CHECK(shutdown(fd, SHUT_WR) == 0);
        CHECK(recv(fd, text, 8, 0) == 0);
        close(fd);
    }
    join(server);
    close(listener);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(connect(fd, (struct sockaddr *)&name, sizeof name), ECONNREFUSED);
    close(fd);
    unlink(name.sun_path);
}

// A descriptor travels to a child, which writes to it.
static void rights(const char *self) {
    int pair[2], ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0 && pipe(ends) == 0);
    char number[12];
    snprintf(number, sizeof number, "%d", pair[1]);
    pid_t child = vfork();
    if (child == 0) {
        execl(self, self, "receive", number, NULL);
        _exit(127);
    }
    CHECK(child > 0);
    close(pair[1]);
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.header), &ends[1], sizeof(int));
    struct iovec vector = {"take this", 9};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    CHECK(sendmsg(pair[0], &message, 0) == 9);
    close(ends[1]);
    char text[32];
    CHECK(read(ends[0], text, sizeof text) == 9 && memcmp(text, "take this", 9) == 0);
    CHECK(read(ends[0], text, sizeof text) == 0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(read(pair[0], text, sizeof text) == 0);
    close(pair[0]), close(ends[0]);
}

static int receive(int fd) {
    union {
        char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr header;
    } control;
    char text[32];
    struct iovec vector = {text, sizeof text};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    int on = 1;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    ssize_t count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    CHECK(count == 9 && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)));
    int file = -1;
    for (struct cmsghdr *it = CMSG_FIRSTHDR(&message); it; it = CMSG_NXTHDR(&message, it))
        if (it->cmsg_type == SCM_RIGHTS) memcpy(&file, CMSG_DATA(it), sizeof file);
    CHECK(file >= 0 && write(file, text, count) == count);
    return 0;
}

static void datagrams(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0channels"};
    socklen_t len = sizeof(sa_family_t) + 9;
    int receiver = socket(AF_UNIX, SOCK_DGRAM, 0), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(bind(receiver, (struct sockaddr *)&name, len) == 0);
    CHECK(connect(sender, (struct sockaddr *)&name, len) == 0);
    struct mmsghdr many[3] = {0};
    struct iovec vectors[3] = {{"one", 3}, {"two", 3}, {"three", 5}};
    for (int i = 0; i < 3; i++) many[i].msg_hdr.msg_iov = &vectors[i], many[i].msg_hdr.msg_iovlen = 1;
    CHECK(sendmmsg(sender, many, 3, 0) == 3 && many[2].msg_len == 5);
    char texts[3][8];
    for (int i = 0; i < 3; i++) vectors[i] = (struct iovec){texts[i], 4};
    CHECK(recvmmsg(receiver, many, 3, MSG_WAITFORONE, 0) == 3);
    CHECK(many[0].msg_len == 3 && many[2].msg_len == 4);
    CHECK(many[2].msg_hdr.msg_flags & MSG_TRUNC && !(many[0].msg_hdr.msg_flags & MSG_TRUNC));
    int bytes;
    CHECK(send(sender, "later", 5, 0) == 5 && ioctl(receiver, FIONREAD, &bytes) == 0 && bytes == 5);
    struct sockaddr_un from = {.sun_family = 77};
    socklen_t from_len = sizeof from;
    CHECK(recvfrom(receiver, texts[0], 8, 0, (struct sockaddr *)&from, &from_len) == 5);
    CHECK(from_len == 0 && from.sun_family == 77);
    close(receiver);
    FAILS(send(sender, "x", 1, 0), ECONNREFUSED);
    close(sender);
}

// What a stream says of a name, of a buffer without room, and of less room than is taken.
static void odd_streams(void) {
    int ends[2], bytes = 4096;
    char some[16384] = {0};
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0nobody"};
    struct msghdr nothing = {0};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    FAILS(sendto(ends[0], "x", 1, 0, (struct sockaddr *)&name, sizeof name), EISCONN);
    int alone = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(sendto(alone, "x", 1, 0, (struct sockaddr *)&name, sizeof name), EOPNOTSUPP);
    FAILS(recvmsg(ends[0], &nothing, MSG_DONTWAIT), EAGAIN);
    FAILS(recv(ends[0], some, 0, MSG_DONTWAIT | MSG_PEEK), EAGAIN);
    CHECK(read(ends[0], some, 0) == 0);
    CHECK(send(ends[1], "abc", 3, 0) == 3 && recvmsg(ends[0], &nothing, 0) == 0);
    CHECK(recv(ends[0], some, sizeof some, 0) == 3);
    CHECK(send(ends[0], some, sizeof some, MSG_DONTWAIT) == sizeof some);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
    FAILS(send(ends[0], some, sizeof some, MSG_DONTWAIT), EAGAIN);
    CHECK(recv(ends[1], some, sizeof some, MSG_WAITALL) == sizeof some);
    CHECK(send(ends[0], some, 16, MSG_DONTWAIT) == 16);
    close(ends[0]), close(ends[1]), close(alone);
}

// What one message says of its sender: -1 that nothing is said, 0 that nobody was to be told.
static pid_t sender_of(int fd, size_t room, int *flags) {
    char text[8], control[128] __attribute__((aligned(8)));
    struct iovec vector = {text, sizeof text};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room};
    CHECK(recvmsg(fd, &message, 0) > 0);
    *flags = message.msg_flags;
    struct cmsghdr *record = CMSG_FIRSTHDR(&message);
    if (!record) return -1;
    CHECK(record->cmsg_type == SCM_CREDENTIALS && message.msg_controllen >= record->cmsg_len);
    pid_t pid = -2;
    if (record->cmsg_len >= CMSG_LEN(sizeof pid)) memcpy(&pid, CMSG_DATA(record), sizeof pid);
    return pid;
}

// Says that it is `pid`, or somebody else's.
static int claim(int fd, pid_t pid, uid_t user) {
    char control[CMSG_SPACE(sizeof(struct ucred))] __attribute__((aligned(8))) = {0};
    struct iovec vector = {"c", 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *record = CMSG_FIRSTHDR(&message);
    *record = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(struct ucred)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
    struct ucred who = {pid, user, getgid()};
    memcpy(CMSG_DATA(record), &who, sizeof who);
    return sendmsg(fd, &message, 0);
}

static void senders(void) {
    static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    const size_t whole = CMSG_SPACE(sizeof(struct ucred));
    for (int i = 0; i < 3; i++) {
        int ends[2], on = 1, flags;
        struct ucred peer;
        socklen_t len = sizeof peer;
        CHECK(socketpair(AF_UNIX, kinds[i], 0, ends) == 0);
        CHECK(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid());
        CHECK(write(ends[1], "before", 6) == 6);
        CHECK(setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
        CHECK(sender_of(ends[0], whole, &flags) == 0 && flags == 0);
        CHECK(write(ends[1], "after", 5) == 5);
        CHECK(sender_of(ends[0], whole, &flags) == getpid() && flags == 0);
        // As much is told as there is room for, with a header at least.
        CHECK(write(ends[1], "cut", 3) == 3);
        CHECK(sender_of(ends[0], CMSG_LEN(4), &flags) == getpid() && flags == MSG_CTRUNC);
        CHECK(write(ends[1], "none", 4) == 4);
        CHECK(sender_of(ends[0], CMSG_LEN(0) - 1, &flags) == -1 && flags == MSG_CTRUNC);
        // What one sends twice is read as one.
        CHECK(write(ends[1], "ab", 2) == 2 && write(ends[1], "cd", 2) == 2);
        char text[8];
        CHECK(recv(ends[0], text, 8, 0) == (i == 0 ? 4 : 2) && (i == 0 || recv(ends[0], text, 8, 0) == 2));
        // Who may, may say that it is somebody else, who is there.
        CHECK(claim(ends[1], getpid(), getuid()) == 1 && sender_of(ends[0], whole, &flags) == getpid());
        pid_t parent = getppid();
        if (geteuid() == 0 && parent > 0) {
            CHECK(claim(ends[1], parent, 77) == 1 && sender_of(ends[0], whole, &flags) == parent);
            FAILS(claim(ends[1], 4000000, 0), ESRCH);
            pid_t other = fork();
            if (other == 0) {
                CHECK(setresuid(77, 77, 77) == 0);
                FAILS(claim(ends[1], parent, 77), EPERM);
                FAILS(claim(ends[1], getpid(), 0), EPERM);
                CHECK(claim(ends[1], getpid(), 77) == 1);
                _exit(0);
            }
            int status;
            CHECK(waitpid(other, &status, 0) == other && status == 0);
            CHECK(sender_of(ends[0], whole, &flags) == other);
        }
        CHECK(shutdown(ends[0], SHUT_RD) == 0);
        FAILS(send(ends[1], "x", 1, MSG_NOSIGNAL), EPIPE);
        close(ends[0]);
        FAILS(send(ends[1], "x", 1, MSG_NOSIGNAL), i == 1 ? ECONNREFUSED : EPIPE);
        close(ends[1]);
    }
    // Files come to who wants no bytes, too.
    int ends[2], pipes[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && pipe(pipes) == 0);
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec vector = {"f", 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    *CMSG_FIRSTHDR(&message) = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &pipes[0], sizeof(int));
    CHECK(sendmsg(ends[0], &message, 0) == 1 && sendmsg(ends[0], &message, 0) == 1);
    message.msg_iovlen = 0;
    memset(control, 0, sizeof control);
    CHECK(recvmsg(ends[1], &message, 0) == 0 && CMSG_FIRSTHDR(&message)->cmsg_type == SCM_RIGHTS);
    int got;
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
    close(got);
    char text[2];
    vector = (struct iovec){text, 1};
    message = (struct msghdr){.msg_iov = &vector, .msg_iovlen = 1, .msg_controllen = 24};
    CHECK(recvmsg(ends[1], &message, 0) == 1 && message.msg_controllen == 0);
    // Nothing can be told without a place, and then it is gone.
    message = (struct msghdr){.msg_iov = &vector, .msg_iovlen = 1, .msg_controllen = 24};
    CHECK(recvmsg(ends[1], &message, 0) == 1 && message.msg_flags == MSG_CTRUNC);
    close(ends[0]), close(ends[1]), close(pipes[0]), close(pipes[1]);
}

static void *close_later(void *fd) {
    nap();
    close(*(int *)fd);
    return 0;
}

// Who waits for room hears of the end of whoever would make it.
static void ends_of_waits(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0ends"};
    socklen_t len = offsetof(struct sockaddr_un, sun_path) + 5;
    struct sockaddr *where = (struct sockaddr *)&name;
    pthread_t closer;
    int receiver = socket(AF_UNIX, SOCK_DGRAM, 0), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(bind(receiver, where, len) == 0);
    while (sendto(sender, "x", 1, MSG_DONTWAIT, where, len) == 1) {}
    CHECK(errno == EAGAIN);
    CHECK(pthread_create(&closer, 0, close_later, &receiver) == 0);
    FAILS(sendto(sender, "x", 1, 0, where, len), ECONNREFUSED);
    join(closer);
    close(sender);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), waiting[64], count = 0;
    CHECK(bind(listener, where, len) == 0 && listen(listener, 1) == 0);
    do CHECK((waiting[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) >= 0 && count < 60);
    while (connect(waiting[count++], where, len) == 0);
    CHECK(errno == EAGAIN);
    int last = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(pthread_create(&closer, 0, close_later, &listener) == 0);
    FAILS(connect(last, where, len), ECONNREFUSED);
    join(closer);
    close(last);
    while (count) close(waiting[--count]);
}

static void moving(void) {
    int file = open("/tmp/channels.file", O_RDWR | O_CREAT | O_TRUNC, 0600), ends[2], pair[2];
    CHECK(file >= 0 && write(file, "0123456789", 10) == 10);
    CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    off_t at = 2;
    loff_t from = 1;
    CHECK(sendfile(pair[0], file, &at, 3) == 3 && at == 5);
    CHECK(splice(file, &from, ends[1], 0, 4, 0) == 4 && from == 5);
    CHECK(splice(pair[1], 0, ends[1], 0, 100, 0) == 3);
    char text[16];
    CHECK(read(ends[0], text, 16) == 7 && memcmp(text, "1234234", 7) == 0);
    CHECK(pwrite(file, "ab", 2, 0) == 2 && lseek(file, 0, SEEK_CUR) == 10);
    struct iovec two[2] = {{text, 1}, {text + 1, 3}};
    CHECK(preadv2(file, two, 2, 0, 0) == 4 && memcmp(text, "ab23", 4) == 0);
    close(file), close(ends[0]), close(ends[1]), close(pair[0]), close(pair[1]);
    unlink("/tmp/channels.file");
}

static volatile sig_atomic_t broken;
static void notes_broken(int number) { (void)number, broken++; }

static void *reads_some(void *fd) {
    static char some[1000];
    nap();
    CHECK(read(*(int *)fd, some, sizeof some) == sizeof some);
    nap();
    close(*(int *)fd);
    return 0;
}

// Who sent nothing by a stream is told by a signal that nobody reads; who sends packets never.
static void broken_sockets(void) {
    static char bytes[4 << 20];
    int pair[2];
    signal(SIGPIPE, notes_broken);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pthread_t reader = start(reads_some, &pair[1]);
    ssize_t sent = write(pair[0], bytes, sizeof bytes);
    CHECK(sent > 0 && sent < (ssize_t)sizeof bytes && broken == 0);
    join(reader);
    FAILS(write(pair[0], bytes, 1), EPIPE);
    CHECK(broken == 1 && close(pair[0]) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0 && close(pair[1]) == 0);
    FAILS(write(pair[0], bytes, 1), EPIPE);
    FAILS(send(pair[0], bytes, 1, 0), EPIPE);
    CHECK(broken == 1 && close(pair[0]) == 0);
    signal(SIGPIPE, SIG_IGN);
}

// Files that the receiver cannot be told of are closed, and the message is there all the same.
static void untold_rights(void) {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.header), &pair[0], sizeof(int));
    char text[2] = "a";
    struct iovec vector = {text, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    CHECK(sendmsg(pair[0], &message, 0) == 1);
    int free_before = dup(0);
    close(free_before);
    message.msg_control = (void *)8;
    CHECK(recvmsg(pair[1], &message, 0) == 1 && (message.msg_flags & MSG_CTRUNC));
    int free_now = dup(0);
    CHECK(free_now == free_before && close(free_now) == 0);
    close(pair[0]), close(pair[1]);
}

// Of what a program asks with, poll writes the answers and no more.
static void poll_records(void) {
    char *pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    struct pollfd one = {0, 0, -1}, *record = (void *)(pages + 4096 - offsetof(struct pollfd, revents));
    one.fd = 99999;
    memcpy(record, &one, sizeof one);
    CHECK(mprotect(pages, 4096, PROT_READ) == 0 && poll(record, 1, 0) == 1);
    memcpy(&one, record, sizeof one);
    CHECK(one.revents == POLLNVAL && munmap(pages, 8192) == 0);
}

// A connection is not taken by who has no number for it.
static void no_number(void) {
    struct sockaddr_un name = {AF_UNIX, "\0no number"};
    socklen_t len = offsetof(struct sockaddr_un, sun_path) + 10;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(listener, (void *)&name, len) == 0 && listen(listener, 1) == 0);
    CHECK(connect(client, (void *)&name, len) == 0);
    struct rlimit before, now;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    now = before;
    now.rlim_cur = client + 1;
    int filled = 0, last = -1;
    CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
    while ((last = dup(client)) >= 0) filled++;
    FAILS(accept(listener, 0, 0), EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    int accepted = accept(listener, 0, 0);
    CHECK(accepted >= 0 && write(client, "x", 1) == 1);
    close(accepted), close(client), close(listener);
    CHECK(filled == 0);
}

static void offsets(void) {
    struct iovec none = {0, 0};
    FAILS(pread(-1, 0, 0, -1), EINVAL);
    FAILS(pwrite(-1, 0, 0, -1), EINVAL);
    FAILS(preadv(-1, &none, 1, -5), EINVAL);
    FAILS(pwritev(-1, &none, 1, -5), EINVAL);
    FAILS(syscall(SYS_futex, &none, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, 0, 0, 0), ENOSYS);
}

// Both ends of a pipe are one file, each socket is one of its own.
static void owners(void) {
    int pair[2];
    struct stat one, other;
    for (int is_socket = 0; is_socket < 2; is_socket++) {
        if (is_socket) CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        else CHECK(pipe(pair) == 0);
        CHECK(fstat(pair[1], &other) == 0);
        CHECK(fchmod(pair[0], 0321) == 0 && fchown(pair[0], getuid(), getgid()) == 0);
        CHECK(fstat(pair[0], &one) == 0 && (one.st_mode & 07777) == 0321);
        CHECK(one.st_uid == getuid() && one.st_gid == getgid());
        mode_t before = other.st_mode;
        CHECK(fstat(pair[1], &other) == 0);
        CHECK(other.st_mode == (is_socket ? before : one.st_mode));
        CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
    }
}

int main(int argc, char **argv) {
    if (argc > 2) return receive(atoi(argv[2]));
    signal(SIGPIPE, SIG_IGN);
    streams();
    fifos();
    counters();
    polls();
    servers();
    odd_streams();
    senders();
    ends_of_waits();
    rights(argc > 1 ? argv[1] : "/bin/program");
    datagrams();
    moving();
    broken_sockets();
    untold_rights();
    poll_records();
    no_number();
    offsets();
    owners();
    puts("channels are as on Linux");
    return 0;
}
