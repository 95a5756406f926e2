// Unix sockets: names, connections, messages with files and senders, options, and what can be read,
// written and waited for after each call.
#include "series.h"
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { STEPS = 130, FIRST = 20, LAST = 31, SLOTS = LAST - FIRST + 1, PLAIN = 40, PIPE, TEXT = 200, BYTES = 4000 };

static pid_t parent, child;
static char abstract_start[16], before[SLOTS][TEXT];
static unsigned char bytes[BYTES];

static int any_slot(void) { return FIRST + below(SLOTS); }

// What a slot is wished to be; it need not be found.
enum wish { OPEN, READABLE, LISTENING, WRITABLE, UNNAMED, CLOSED };

static int has(int fd, enum wish wish) {
    int number = 0, type = 0;
    socklen_t len = sizeof number;
    struct sockaddr_un name;
    struct pollfd poll_of = {fd, POLLIN, 0};
    if (wish == CLOSED) return fcntl(fd, F_GETFD) < 0;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len)) return 0;
    switch (wish) {
    case READABLE: return poll(&poll_of, 1, 0) == 1 && !has(fd, LISTENING);
    case LISTENING: return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &number, &len) && number;
    case WRITABLE: len = sizeof name; return type == SOCK_DGRAM || !getpeername(fd, (void *)&name, &len);
    case UNNAMED: len = sizeof name; return !getsockname(fd, (void *)&name, &len) && len == 2;
    default: return 1;
    }
}

static int any_with(enum wish wish) {
    if (!below(10)) return any_slot();
    int fd = any_slot();
    for (int i = 0; i < SLOTS; i++, fd = fd == LAST ? FIRST : fd + 1) if (has(fd, wish)) return fd;
    return fd;
}

// A name as it can be compared: others may use the same abstract ones, and automatic ones are any.
static const char *name_text(const struct sockaddr_un *name, socklen_t len) {
    static char text[160];
    size_t start = strlen(abstract_start), path = offsetof(struct sockaddr_un, sun_path);
    if (len <= path || len > sizeof *name) { snprintf(text, sizeof text, "%u", len); return text; }
    size_t rest = len - path;
    if (name->sun_path[0]) snprintf(text, sizeof text, "%u:%d:%.*s", len, name->sun_family, (int)rest, name->sun_path);
    else if (rest == 6) snprintf(text, sizeof text, "%u:@automatic", len);
    else if (rest > start && !memcmp(name->sun_path + 1, abstract_start, start))
        snprintf(text, sizeof text, "%u:@%016lx", len, digest(0, name->sun_path + 1 + start, rest - 1 - start));
    else snprintf(text, sizeof text, "%u:@?", len);
    return text;
}

// Some name, right or not.
static socklen_t any_name(struct sockaddr_un *name, char *text, size_t size) {
    static const char *const PATH[] = {"a", "b", "c", "./a", "no/a", "plain", "fifo", "link", ""};
    socklen_t path = offsetof(struct sockaddr_un, sun_path);
    memset(name, 0, sizeof *name);
    name->sun_family = AF_UNIX;
    switch (below(12)) {
    case 0: case 1: case 2: case 3: case 4: {
        strcpy(name->sun_path, below(5) ? PATH[below(3)] : ANY(PATH));
        size_t len = strlen(name->sun_path);
        snprintf(text, size, "%s", name->sun_path);
        switch (below(4)) {
        case 0: return path + len;
        case 1: return path + len + 1;
        case 2: return path + len + 1 + below(4);
        default: return sizeof *name;
        }
    }
    case 5: case 6: case 7: case 8: {
        char kind = "xyz"[below(3)];
        int len = snprintf(name->sun_path + 1, 100, "%s%c", abstract_start, kind);
        int more = below(9) ? 0 : below(3);
        snprintf(text, size, "@%c+%d", kind, more);
        return path + 1 + len + more;
    }
    case 9: snprintf(text, size, "any"); return path;
    case 10: {
        if (below(2)) return any_name(name, text, size);
        socklen_t len = (socklen_t[]){0, 1, 111, 200, -1}[below(5)];
        snprintf(text, size, "len %d", len);
        strcpy(name->sun_path, "a");
        return len;
    }
    default:
        name->sun_family = (int[]){AF_INET, AF_UNSPEC, 300}[below(3)];
        snprintf(text, size, "family %d", name->sun_family);
        return sizeof(sa_family_t) + below(20);
    }
}

// What can be seen of a slot.
static void slot_text(int fd, char *text) {
    int flags = fcntl(fd, F_GETFL), type = -1, listens = -1, inbox = -1, outbox = -1, size;
    if (flags < 0) { strcpy(text, "closed"); return; }
    struct pollfd poll_of = {fd, POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLRDBAND | POLLWRBAND, 0};
    CHECK(poll(&poll_of, 1, 0) >= 0);
    size = snprintf(text, TEXT, "%#x %d %#x", flags, fcntl(fd, F_GETFD), poll_of.revents);
    struct sockaddr_un name;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len)) return;
    len = sizeof listens;
    CHECK(!getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len));
    long inbox_result = outcome(ioctl(fd, SIOCINQ, &inbox)), outbox_result = outcome(ioctl(fd, SIOCOUTQ, &outbox));
    size += snprintf(text + size, TEXT - size, " type %d %d in %ld %d out %ld %d", type, listens,
                     inbox_result, inbox, outbox_result, outbox != 0);
    len = sizeof name;
    CHECK(!getsockname(fd, (void *)&name, &len));
    size += snprintf(text + size, TEXT - size, " is %s", name_text(&name, len));
    len = sizeof name;
    long result = outcome(getpeername(fd, (void *)&name, &len));
    snprintf(text + size, TEXT - size, " to %s", result ? "nobody" : name_text(&name, len));
}

// Says of all slots what has changed.
static void say_slots(void) {
    for (int i = 0; i < SLOTS; i++) {
        char now[TEXT];
        slot_text(FIRST + i, now);
        if (strcmp(now, before[i])) say("%d: %s", FIRST + i, now);
        strcpy(before[i], now);
    }
}

static void put(int fd, int slot, int flags) {
    CHECK(fd >= 0 && dup3(fd, slot, flags) == slot && !close(fd));
    CHECK(!fcntl(slot, F_SETFL, fcntl(slot, F_GETFL) | O_NONBLOCK));
}

static int type_of(int fd) {
    int type;
    socklen_t len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) ? 0 : type;
}

// Whether a file may be sent by a socket: no cycle of sockets comes to be, whose end would not be
// seen at once.
static int may_send(int carrier, int fd) {
    static const int ORDER[] = {0, 1, 2, 0, 0, 3};
    return type_of(carrier) && (!type_of(fd) || ORDER[type_of(carrier)] < ORDER[type_of(fd)]);
}

static const int SEND_FLAG[] = {0, 0, 0, MSG_NOSIGNAL, MSG_DONTWAIT, MSG_EOR, MSG_MORE, MSG_DONTROUTE, MSG_CONFIRM, MSG_PEEK};
static const int RECEIVE_FLAG[] = {
    0, 0, 0, MSG_PEEK, MSG_PEEK, MSG_TRUNC, MSG_PEEK | MSG_TRUNC, MSG_WAITALL, MSG_WAITALL | MSG_PEEK, MSG_DONTWAIT,
    MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, MSG_EOR, MSG_CTRUNC, MSG_ERRQUEUE,
};

static size_t any_size(void) { return below(20) ? below(50) : below(3000); }

// A connection of packets gets none that is empty: Linux has changed whether its end is told then.
static size_t sent_size(int fd) {
    size_t size = any_size();
    return size ? size : type_of(fd) == SOCK_SEQPACKET;
}

union control {
    unsigned char bytes[512];
    struct cmsghdr header;
};

static void add_record(struct msghdr *message, int type, const void *data, size_t len) {
    struct cmsghdr *record = (void *)((char *)message->msg_control + message->msg_controllen);
    CHECK(message->msg_controllen + CMSG_SPACE(len) <= sizeof(union control));
    *record = (struct cmsghdr){.cmsg_len = CMSG_LEN(len), .cmsg_level = SOL_SOCKET, .cmsg_type = type};
    memcpy(CMSG_DATA(record), data, len);
    message->msg_controllen += CMSG_SPACE(len);
}

// Control data to send, right or not.
static void any_control(int carrier, struct msghdr *message, union control *control) {
    message->msg_control = control;
    for (int records = 1 + below(4) / 3; records; records--) {
        switch (below(below(3) ? 4 : 7)) {
        case 0: case 1: case 2: {
            int fds[3], count = 0;
            for (int wanted = below(4); count < wanted;) {
                int fd = !below(20) ? 999 : below(2) ? any_slot() : below(2) ? PLAIN : PIPE;
                if (may_send(carrier, fd)) fds[count++] = fd;
                else wanted--;
            }
            say("  files %d: %d %d", count, count ? fds[0] : -1, count > 1 ? fds[1] : -1);
            add_record(message, SCM_RIGHTS, fds, count * sizeof *fds);
            break;
        }
        case 3: {
            struct ucred who = {getpid(), getuid(), getgid()};
            if (!below(6)) who.uid = -1;
            size_t len = below(8) ? sizeof who : below(20);
            say("  sender %d %zu", who.uid == (uid_t)-1, len);
            unsigned char padded[32] = {0};
            memcpy(padded, &who, sizeof who);
            add_record(message, SCM_CREDENTIALS, padded, len);
            break;
        }
        case 4: {
            int type = below(2) ? 9 : 77;
            say("  type %d", type);
            add_record(message, type, "data", 4);
            break;
        }
        case 5:
            // Of another level; it is passed over.
            add_record(message, SCM_RIGHTS, "data", 4);
            ((struct cmsghdr *)(control->bytes + message->msg_controllen - CMSG_SPACE(4)))->cmsg_level = below(2) ? 41 : 0;
            say("  level");
            break;
        case 6: {
            int cut = below(24);
            if ((size_t)cut < message->msg_controllen) message->msg_controllen -= cut;
            say("  cut %d", cut);
            break;
        }
        }
    }
}

static const char *who_text(const struct ucred *who) {
    static char text[64];
    const char *user = !who->pid ? who->uid ? "no" : "zero" : who->uid == getuid() && who->gid == getgid() ? "us" : who->uid == 65534 ? "no" : "?";
    snprintf(text, sizeof text, "%s %s", who->pid == parent ? "parent" : who->pid == 0 ? "nobody" : who->pid == child || who->pid == getpid() ? "child" : "?", user);
    return text;
}

// What came beside the bytes; files go to slots, or are closed.
static void say_control(struct msghdr *message, size_t room) {
    size_t at = 0;
    while (at + sizeof(struct cmsghdr) <= message->msg_controllen) {
        struct cmsghdr *record = (void *)((char *)message->msg_control + at);
        size_t len = record->cmsg_len - sizeof *record;
        CHECK(record->cmsg_len >= sizeof *record && at + record->cmsg_len <= room);
        if (record->cmsg_type == SCM_CREDENTIALS) {
            struct ucred who = {-5, -5, -5};
            memcpy(&who, CMSG_DATA(record), len < sizeof who ? len : sizeof who);
            say("  from %zu %s", len, len < sizeof who ? "" : who_text(&who));
        } else if (record->cmsg_type == SCM_RIGHTS) {
            for (size_t i = 0; i < len / sizeof(int); i++) {
                int fd;
                struct stat stat;
                memcpy(&fd, CMSG_DATA(record) + i * sizeof fd, sizeof fd);
                CHECK(!fstat(fd, &stat));
                int slot = any_slot(), flags = fcntl(fd, F_GETFD);
                say("  file %zu kind %#o %d to %d", len, stat.st_mode & S_IFMT, flags, below(4) ? slot : -1);
                if (slot % 4) put(fd, slot, 0);
                else close(fd);
            }
        } else say("  record %d %zu", record->cmsg_type, len);
        at += CMSG_ALIGN(record->cmsg_len);
    }
}

static void send_message(int fd) {
    union control control;
    struct sockaddr_un name;
    char text[64] = "none";
    struct iovec parts[2] = {{bytes, sent_size(fd)}, {bytes, 1 + below(30)}};
    struct mmsghdr many[3] = {0};
    int flags = ANY(SEND_FLAG), count = 1 + below(3);
    memset(&control, 0, sizeof control);
    memset(bytes, 'a' + below(26), sizeof bytes);
    struct msghdr *message = &many[0].msg_hdr;
    message->msg_iov = parts, message->msg_iovlen = below(9) || type_of(fd) == SOCK_SEQPACKET ? 1 + below(2) : 0;
    if (!below(3)) {
        message->msg_name = &name;
        message->msg_namelen = any_name(&name, text, sizeof text);
    }
    if (below(2)) any_control(fd, message, &control);
    size_t control_len = message->msg_controllen;
    if (below(4)) {
        say("sendmsg %d %zu %s %#x: %ld", fd, parts[0].iov_len, text, flags, outcome(sendmsg(fd, message, flags)));
    } else {
        for (int i = 1; i < 3; i++) many[i].msg_hdr.msg_iov = &parts[1], many[i].msg_hdr.msg_iovlen = 1;
        long sent = outcome(sendmmsg(fd, many, count, flags));
        say("sendmmsg %d %s %#x: %ld %u %u %u", fd, text, flags, sent, many[0].msg_len, many[1].msg_len, many[2].msg_len);
    }
    CHECK(message->msg_controllen == control_len);
}

static void receive_message(int fd) {
    static const size_t ROOM[] = {0, 8, 15, 16, 17, 20, 24, 28, 32, 40, 56, 64, 300};
    union control controls[3];
    struct sockaddr_un names[3];
    struct mmsghdr many[3];
    static unsigned char space[3][BYTES];
    struct iovec parts[3][2];
    int flags = ANY(RECEIVE_FLAG), count = below(3) ? 1 : 1 + below(3);
    size_t rooms[3];
    memset(many, 0, sizeof many);
    memset(names, 0x55, sizeof names);
    memset(space, 0, sizeof space);
    for (int i = 0; i < 3; i++) {
        size_t size = any_size();
        parts[i][0] = (struct iovec){space[i], size}, parts[i][1] = (struct iovec){space[i] + 3000, below(30)};
        rooms[i] = ANY(ROOM);
        many[i].msg_hdr = (struct msghdr){.msg_iov = parts[i], .msg_iovlen = 1 + below(2), .msg_flags = 0x1234,
            .msg_control = below(8) ? &controls[i] : NULL, .msg_controllen = rooms[i]};
        if (below(2)) {
            many[i].msg_hdr.msg_name = &names[i];
            many[i].msg_hdr.msg_namelen = below(3) ? sizeof names[i] : below(20);
        }
    }
    int is_one = below(4) != 0, waits = below(2) ? MSG_WAITFORONE : 0;
    long result = is_one ? outcome(recvmsg(fd, &many[0].msg_hdr, flags)) : outcome(recvmmsg(fd, many, count, flags | waits, NULL));
    say("recvmsg %d %d %d %zu %#x: %ld", fd, is_one, count, parts[0][0].iov_len, flags, result);
    long got = is_one ? result >= 0 : result;
    for (int i = 0; i < got; i++) {
        struct msghdr *message = &many[i].msg_hdr;
        say("  %u flags %#x control %zu name %u %s %016lx", many[i].msg_len, message->msg_flags, message->msg_controllen,
            message->msg_namelen, message->msg_name ? name_text(&names[i], message->msg_namelen) : "", digest(0, space[i], BYTES));
        if (message->msg_control) say_control(message, rooms[i]);
    }
}

// Options whose values Linux has not changed for long; not SO_REUSEPORT, which it now refuses.
static const int OPTION[] = {
    SO_DEBUG, SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE,
    SO_OOBINLINE, SO_PRIORITY, SO_LINGER, SO_PASSCRED, SO_PEERCRED, SO_RCVLOWAT, SO_SNDLOWAT, SO_RCVTIMEO,
    SO_SNDTIMEO, SO_PEERNAME, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN, SO_PASSCRED, SO_PASSCRED, SO_ERROR, 2000,
};

static void options(int fd) {
    static const int SIZE[] = {0, 1, 3, 4, 4, 4, 4, 5, 8, 12, 16, 16, 40, -1};
    static const int VALUE[] = {0, 1, 1, 2, 6, 1000, 30000, -1};
    int option = ANY(OPTION), level = below(15) ? SOL_SOCKET : below(3);
    socklen_t size = ANY(SIZE);
    // Linux has changed which of two errors comes first.
    if (!has(fd, OPEN)) size = 4;
    if (below(2)) {
        // Debugging and high priorities are for some only; small buffers would soon be full.
        int buffer = option == SO_SNDBUF || option == SO_RCVBUF, value[10] = {ANY(VALUE), below(3)};
        if (buffer && value[0] < 0) value[0] = 4000;
        if (option == SO_DEBUG || (option == SO_PRIORITY && value[0] > 6)) return;
        if (option == SO_RCVTIMEO || option == SO_SNDTIMEO)
            value[1] = 0, value[2] = (int[]){0, 4000, 1000000, -1}[below(4)], value[3] = -(value[2] < 0);
        if (value[0] < 0 && (option == SO_RCVTIMEO || option == SO_SNDTIMEO)) value[0] = 7;
        say("setsockopt %d %d %d %d %d: %ld", fd, level, option, size, value[0], outcome(setsockopt(fd, level, option, value, size)));
        if (buffer) {
            int now = -1, usual = 106496;
            size = sizeof now;
            say("  has %ld %d", outcome(getsockopt(fd, level, option, &now, &size)), now);
            setsockopt(fd, SOL_SOCKET, option, &usual, sizeof usual);
        }
    } else {
        unsigned char value[64];
        memset(value, 0x55, sizeof value);
        if ((int)size > 40) size = 40;
        long result = outcome(getsockopt(fd, level, option, value, &size));
        if (option == SO_PEERCRED && !result && size == sizeof(struct ucred)) {
            struct ucred who;
            memcpy(&who, value, sizeof who);
            say("peer of %d: %s", fd, who.uid == (uid_t)-1 ? "unknown" : who_text(&who));
        } else if (option == SO_PEERNAME || option == SO_PEERCRED) {
            say("getsockopt %d %d: %ld %d", fd, option, result, size);
        } else {
            say("getsockopt %d %d %d: %ld %d %016lx", fd, level, option, result, size, digest(0, value, sizeof value));
        }
    }
}

static void names(int fd) {
    struct sockaddr_un name;
    char text[64];
    socklen_t len = any_name(&name, text, sizeof text), room = below(2) ? sizeof name : below(20);
    switch (below(9)) {
    case 0: case 1: case 2: fd = any_with(UNNAMED), say("bind %d %s %d: %ld", fd, text, len, outcome(bind(fd, (void *)&name, len))); break;
    case 3: case 4: case 5: case 6: say("connect %d %s %d: %ld", fd, text, len, outcome(connect(fd, (void *)&name, len))); break;
    case 7: {
        memset(&name, 0x55, sizeof name);
        len = below(12) ? room : (socklen_t)-1;
        int is_own = below(2);
        long result = outcome((is_own ? getsockname : getpeername)(fd, (void *)&name, &len));
        say("name %d %d %d: %ld %s", fd, is_own, room, result, !result && room >= sizeof name ? name_text(&name, len) : "");
        break;
    }
    case 8: {
        static const char *const NAME[] = {"a", "b", "c"};
        const char *from = ANY(NAME), *to = ANY(NAME);
        if (below(2)) say("unlink %s: %ld", from, outcome(unlink(from)));
        else say("rename %s %s: %ld", from, to, outcome(rename(from, to)));
        break;
    }
    }
}

static void act(int depth) {
    int fd = any_with(OPEN), other = any_with(below(3) ? CLOSED : OPEN), type = (int[]){SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW, 9}[below(16) ? below(3) : below(5)];
    size_t size = any_size();
    for (int i = FIRST; i <= LAST; i++) fcntl(i, F_SETFL, fcntl(i, F_GETFL) | O_NONBLOCK);
    switch (below(33)) {
    case 0: case 30: case 31: {
        // One that listens, or one that is connected to one.
        static const char *const NAME[] = {"a", "b", "@x", "@y"};
        const char *where = ANY(NAME);
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        strcpy(name.sun_path, where);
        socklen_t len = sizeof name;
        if (*where == '@') {
            name.sun_path[0] = 0;
            len = offsetof(struct sockaddr_un, sun_path) + 1 + snprintf(name.sun_path + 1, 100, "%s%c", abstract_start, where[1]);
        }
        fd = any_with(below(4) ? CLOSED : OPEN);
        type = below(8) ? SOCK_STREAM : SOCK_SEQPACKET;
        int made = socket(AF_UNIX, type | SOCK_NONBLOCK, 0), result = 0, other_result = 0, on = 1;
        if (!below(4)) setsockopt(made, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
        if (below(2)) result = outcome(bind(made, (void *)&name, len)), other_result = outcome(listen(made, below(3)));
        else result = outcome(connect(made, (void *)&name, len));
        say("made %d %d %s: %d %d", fd, type, where, result, other_result);
        put(made, fd, 0);
        break;
    }
    case 1: {
        fd = any_with(below(4) ? CLOSED : OPEN);
        int flags = below(3) ? 0 : SOCK_CLOEXEC, protocol = below(12) ? 0 : below(3);
        int made = socket(AF_UNIX, type | flags, protocol);
        say("socket %d %d %d: %d", fd, type, protocol, made < 0 ? -errno : 0);
        if (made >= 0) put(made, fd, flags ? O_CLOEXEC : 0);
        break;
    }
    case 2: case 3: {
        fd = any_with(below(4) ? CLOSED : OPEN);
        int ends[2], result = socketpair(AF_UNIX, type, 0, ends);
        say("socketpair %d %d %d: %d", fd, other, type, result ? -errno : 0);
        int on = 1;
        if (result) break;
        if (!below(3)) setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
        if (!below(6)) setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
        put(ends[0], fd, 0), put(ends[1], other, 0);
        break;
    }
    case 4: case 5: case 6: case 7: case 8: names(fd); break;
    case 9: case 10: {
        int backlog = (int[]){0, 0, 1, 2, -1, 100000}[below(6)];
        say("listen %d %d: %ld", fd, backlog, outcome(listen(fd, backlog)));
        break;
    }
    case 11: case 12: case 32: {
        fd = any_with(LISTENING);
        struct sockaddr_un name;
        memset(&name, 0x55, sizeof name);
        socklen_t room = below(2) ? sizeof name : below(20), len = room;
        int flags = (int[]){0, SOCK_CLOEXEC, SOCK_NONBLOCK, O_APPEND}[below(16) ? below(3) : 3], is_named = below(2);
        int made = accept4(fd, is_named ? (void *)&name : NULL, is_named ? &len : NULL, flags);
        say("accept %d %#x: %d %d", fd, flags, made < 0 ? -errno : fcntl(made, F_GETFL), made < 0 ? 0 : fcntl(made, F_GETFD));
        if (made >= 0) {
            if (is_named) say("  of %u %s", len, room < sizeof name ? "" : name_text(&name, len));
            put(made, other, 0);
        }
        break;
    }
    case 13: {
        fd = any_with(WRITABLE), size = sent_size(fd);
        struct sockaddr_un name;
        char text[64] = "";
        int flags = ANY(SEND_FLAG), is_named = below(2);
        socklen_t len = is_named ? any_name(&name, text, sizeof text) : 0;
        memset(bytes, 'A' + below(26), sizeof bytes);
        say("sendto %d %zu %s %#x: %ld", fd, size, text, flags, outcome(sendto(fd, bytes, size, flags, is_named ? (void *)&name : NULL, len)));
        break;
    }
    case 14: case 15: case 16: send_message(any_with(WRITABLE)); break;
    case 17: {
        fd = any_with(READABLE);
        struct sockaddr_un name;
        memset(&name, 0x55, sizeof name), memset(bytes, 0, sizeof bytes);
        socklen_t len = sizeof name;
        int flags = ANY(RECEIVE_FLAG), is_named = below(2);
        long got = outcome(recvfrom(fd, bytes, size, flags, is_named ? (void *)&name : NULL, is_named ? &len : NULL));
        say("recvfrom %d %zu %#x: %ld %s %016lx", fd, size, flags, got, is_named && got >= 0 ? name_text(&name, len) : "", digest(0, bytes, BYTES));
        break;
    }
    case 18: case 19: case 20: receive_message(any_with(READABLE)); break;
    case 21: {
        if (below(2)) { say("no shutdown"); break; }
        // Whether datagrams lack a peer or may not be sent any more, Linux has looked at in both orders.
        int how = !below(12) ? 3 : type_of(fd) == SOCK_DGRAM ? SHUT_RD : below(3);
        say("shutdown %d %d: %ld", fd, how, outcome(shutdown(fd, how)));
        break;
    }
    case 22: case 23: options(fd); break;
    case 24: say("dup %d %d: %ld", fd, other, outcome(dup2(fd, other))); break;
    case 25: fd = any_slot(), say("close %d: %ld", fd, outcome(close(fd))); break;
    case 26: {
        fd = any_with(WRITABLE), size = sent_size(fd);
        memset(bytes, 'a' + below(26), sizeof bytes);
        struct iovec parts[2] = {{bytes, size}, {bytes, below(9)}};
        if (below(2)) say("write %d %zu: %ld", fd, size, outcome(write(fd, bytes, size)));
        else say("writev %d %zu: %ld", fd, size, outcome(writev(fd, parts, below(3))));
        break;
    }
    case 27: {
        fd = any_with(READABLE);
        memset(bytes, 0, sizeof bytes);
        struct iovec parts[2] = {{bytes, size}, {bytes + 3000, below(9)}};
        long got = below(2) ? read(fd, bytes, size) : readv(fd, parts, below(3));
        say("read %d %zu: %ld %016lx", fd, size, outcome(got), digest(0, bytes, BYTES));
        break;
    }
    case 28: {
        int ends[2];
        switch (below(5)) {
        case 0: CHECK(!pipe2(ends, 0)); put(ends[0], fd, 0), put(ends[1], other, 0), say("pipe %d %d", fd, other); break;
        case 1: say("lseek %d: %ld", fd, outcome(lseek(fd, 0, SEEK_SET))); break;
        case 2: say("pread %d: %ld", fd, outcome(pread(fd, bytes, size, 0))); break;
        case 3: say("oob %d: %ld", fd, type_of(fd) == SOCK_STREAM ? 0 : outcome(recv(fd, bytes, size, MSG_OOB))); break;
        case 4: say("open: %d %ld", open("a", O_RDWR), outcome(-1)); break;
        }
        break;
    }
    case 29: {
        if (depth) { say("deep"); break; }
        uint64_t state = series_state;
        child = fork();
        CHECK(child >= 0);
        if (!child) {
            alarm(60);
            for (int i = 0; i < 3; i++) act(1);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        // Others follow than the child had.
        series_state = state + 1;
        say("child %#x", status);
        break;
    }
    }
}

static void run_series(const char *folder) {
    parent = getpid(), child = -1;
    snprintf(abstract_start, sizeof abstract_start, "series%07d", parent);
    CHECK(!mkdir(folder, 0755) && !chdir(folder));
    int ends[2], plain = open("plain", O_CREAT | O_RDWR, 0644);
    CHECK(!pipe(ends));
    put(plain, PLAIN, 0), put(ends[0], PIPE, 0), close(ends[1]);
    CHECK(!mkfifo("fifo", 0644) && !symlink("a", "link"));
    for (int i = 0; i < SLOTS; i++) strcpy(before[i], "closed");
    for (int i = 0; i < 3; i++) {
        int pair[2];
        CHECK(!socketpair(AF_UNIX, (int[]){SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}[i], 0, pair));
        put(pair[0], FIRST + 2 * i, 0), put(pair[1], FIRST + 2 * i + 1, 0);
    }
    alarm(200);
    for (series_step = 0; series_step < STEPS; series_step++) {
        act(0);
        say_slots();
    }
    alarm(0);
    for (int fd = FIRST; fd <= PIPE; fd++) close(fd);
    static const char *const NAME[] = {"a", "b", "c", "plain", "fifo", "link"};
    for (size_t i = 0; i < COUNT(NAME); i++) unlink(NAME[i]);
    CHECK(!chdir("/") && !rmdir(folder));
}
