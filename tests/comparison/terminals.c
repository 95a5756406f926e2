// Terminals: a session with a pseudo-terminal, whose processes read, write, change settings, groups and who is in
// the foreground, and stop; who has the other side types, flushes, changes the size, and hangs up.
#include "series.h"
#include "peers.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>

enum { STEPS = 110, PEERS = 4, TEXT = 64 };
enum deed {
    READ, WRITE, SETTINGS, FOREGROUND, GROUP, LOOK, FLUSH, OPEN_TTY, TAKE_TTY, SIZE, HANDLE, REAP, SIGNAL, CLOSE, FLOW, SESSION,
    DEEDS,
};

static int master;
static bool has_packets;
static char path[64];
// Of each process its own.
static int tty = -1;

// Signals that are blocked, so that each is seen when its process looks.
static const int SEEN[] = {SIGINT, SIGQUIT, SIGWINCH, SIGHUP, SIGCONT, SIGIO};

static void note_signal(int signal) { peers[me].signals += signal > 0; }

static void take_signals(char *text, size_t room) {
    sigset_t set, pending;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT(SEEN); i++) sigaddset(&set, SEEN[i]);
    CHECK(!sigpending(&pending));
    int length = 0;
    siginfo_t info;
    for (size_t i = 0; i < COUNT(SEEN); i++) {
        sigset_t one;
        sigemptyset(&one), sigaddset(&one, SEEN[i]);
        if (sigtimedwait(&one, &info, &(struct timespec){0, 0}) <= 0) continue;
        length += snprintf(text + length, room - (size_t)length, ", signal %d code %d by %d", SEEN[i], info.si_code, index_of(info.si_pid));
    }
    text[length] = 0;
}

// What of some bytes can be seen.
static void quote(char *text, size_t room, const char *bytes, long count) {
    int length = 0;
    text[0] = 0;
    for (long i = 0; i < count && length < (int)room - 8; i++)
        length += snprintf(text + length, room - (size_t)length, (bytes[i] > 32 && bytes[i] < 127) ? "%c" : "<%x>", (unsigned char)bytes[i]);
}

static void do_read(const long *a) {
    char bytes[TEXT], text[300];
    long got = outcome(read(tty, bytes, (size_t)a[1]));
    quote(text, sizeof text, bytes, got);
    answer("%ld '%s'", got, text);
}

static void do_write(const long *a) {
    static const char *const TEXTS[] = {"a", "hello\n", "tab\tx", "\r\n", "ab\x08" "c\n", "one\ntwo\nthree", ""};
    answer("%ld", outcome(write(tty, TEXTS[a[1]], strlen(TEXTS[a[1]]))));
}

static void do_settings(const long *a) {
    struct termios settings;
    if (tcgetattr(tty, &settings)) { answer("%d", -errno); return; }
    static const tcflag_t LOCAL[] = {TOSTOP, TOSTOP, TOSTOP, ICANON, ECHO, ISIG, NOFLSH, ECHOCTL, IEXTEN, ECHOE, ECHOK, ECHONL};
    static const tcflag_t OUTPUT[] = {OPOST, ONLCR, OCRNL, XTABS, ONOCR, ONLRET}, INPUT[] = {ICRNL, INLCR, IGNCR, IXON, IXANY, ISTRIP, IUTF8};
    if (a[1] == 0) settings.c_lflag ^= LOCAL[a[2] % 12];
    if (a[1] == 1) settings.c_oflag ^= OUTPUT[a[2] % 6];
    if (a[1] == 2) settings.c_iflag ^= INPUT[a[2] % 7];
    if (a[1] == 3) settings.c_cc[VMIN] = (cc_t)(a[2] % 3);
    if (a[1] == 4) settings.c_cc[VINTR] = a[2] & 1 ? 'x' : 3;
    long done = outcome(tcsetattr(tty, a[3] ? TCSAFLUSH : TCSANOW, &settings));
    answer("%ld", done);
}

static pid_t group_of(long wish) {
    if (wish < PEERS) return getpgid(peers[wish].process);
    return wish == PEERS ? 0 : wish == PEERS + 1 ? -1 : wish == PEERS + 2 ? 1 : getpgrp();
}

static void do_look(void) {
    struct termios settings = {0};
    struct winsize size = {0};
    int count = -1, group = -1, session = -1;
    struct pollfd asked = {.fd = tty, .events = POLLIN | POLLOUT | POLLPRI};
    long got = outcome(tcgetattr(tty, &settings)), counted = outcome(ioctl(tty, FIONREAD, &count)), sized = outcome(ioctl(tty, TIOCGWINSZ, &size));
    long grouped = outcome(ioctl(tty, TIOCGPGRP, &group)), named = outcome(ioctl(tty, TIOCGSID, &session));
    int ready = poll(&asked, 1, 0), owed = -1;
    long left = outcome(ioctl(tty, TIOCOUTQ, &owed));
    answer("%ld %x %x %x %d, %ld %d, %ld %d %d, %ld %d, %ld %d, %ld %d, %d %#x", got, settings.c_iflag, settings.c_oflag, settings.c_lflag,
           settings.c_cc[VMIN], counted, count, sized, size.ws_row, size.ws_col, grouped, index_of(group), named, index_of(session), left, owed, ready,
           asked.revents);
}

static void do_reap(void) {
    char text[200] = "";
    int length = 0, status;
    pid_t who;
    for (int i = 1; i < PEERS; i++)
        if ((who = waitpid(peers[i].process, &status, WNOHANG | WUNTRACED | WCONTINUED)))
            length += snprintf(text + length, sizeof text - (size_t)length, " %d: %#x", who < 0 ? -errno : index_of(who), who < 0 ? 0 : status);
    answer("%s", text);
}

static void serve(struct peer *own, int what) {
    const long *a = own->arguments;
    switch (what) {
    case READ: do_read(a); break;
    case WRITE: do_write(a); break;
    case SETTINGS: do_settings(a); break;
    case FOREGROUND: answer("%ld", outcome(tcsetpgrp(tty, group_of(a[1])))); break;
    case GROUP: answer("%ld", outcome(setpgid(a[1] < PEERS ? peers[a[1]].process : 0, a[2] == PEERS ? 0 : getpgid(peers[a[2]].process)))); break;
    case LOOK: do_look(); break;
    case FLUSH: answer("%ld", outcome(tcflush(tty, (int)a[1]))); break;
    case OPEN_TTY: {
        int fd = open(a[1] ? "/dev/tty" : path, O_RDWR | (a[2] ? O_NOCTTY : 0) | (a[3] ? O_NONBLOCK : 0));
        answer("%d", fd < 0 ? -errno : 0);
        if (fd >= 0) close(tty), tty = fd;
        break;
    }
    case TAKE_TTY: answer("%ld", outcome(ioctl(tty, TIOCSCTTY, a[1]))); break;
    case SIZE: {
        struct winsize size = {.ws_row = (unsigned short)a[1], .ws_col = (unsigned short)a[2]};
        answer("%ld", outcome(ioctl(tty, TIOCSWINSZ, &size)));
        break;
    }
    case HANDLE: {
        static const int SIGNALS[] = {SIGTTIN, SIGTTOU, SIGTSTP};
        sigset_t set;
        sigemptyset(&set), sigaddset(&set, SIGNALS[a[1]]);
        CHECK(signal(SIGNALS[a[1]], a[2] == 1 ? SIG_IGN : SIG_DFL) != SIG_ERR);
        CHECK(!sigprocmask(a[2] == 2 ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL));
        answer("done");
        break;
    }
    case REAP: do_reap(); break;
    case SIGNAL: {
        static const int SIGNALS[] = {SIGCONT, SIGCONT, SIGCONT, SIGTTOU, SIGTTIN, SIGINT, 0};
        pid_t target = peers[a[1]].process;
        answer("%ld", outcome(kill(a[3] ? -getpgid(target) : target, SIGNALS[a[2]])));
        break;
    }
    case CLOSE: answer("%ld", outcome(close(tty))); tty = -1; break;
    case FLOW: answer("%ld", outcome(tcflow(tty, (int)a[1]))); break;
    case SESSION: answer("%ld", outcome(setsid()) < 0 ? (long)-errno : 0); break;
    }
    size_t length = strlen(own->said);
    take_signals(own->said + length, sizeof own->said - length);
}

static void prepare_member(void) {
    CHECK(!close(tty));
    tty = open(path, O_RDWR | O_NOCTTY);
    CHECK(tty >= 0 && (me % 2 || !setpgid(0, 0)));
}

static void prepare(void) {
    sigset_t set;
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = 0};
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT(SEEN); i++) sigaddset(&set, SEEN[i]);
    CHECK(!sigprocmask(SIG_BLOCK, &set, NULL) && !sigaction(SIGUSR1, &action, NULL));
    CHECK(!close(master) && setsid() > 0);
    tty = open(path, O_RDWR);
    CHECK(tty >= 0);
    for (int i = 1; i < PEERS; i++) fork_peer(i, prepare_member);
    char none[200];
    take_signals(none, sizeof none);
}

// ---- The first ------------------------------------------------------------------------------------

// Until all sleep or are stopped, whether or not they were told something.
static void settle_all(void) {
    for (int calm = 0; calm < 2; calm++)
        for (int i = 0; i < PEERS; i++)
            if (peers[i].process && !strchr("STZ-", state_of(&peers[i]))) { sched_yield(); calm = -1; break; }
}

// Says all that comes; where one read ends and the next begins depends on another thread of Linux.
static long hear_master(void) {
    char bytes[300], all[2000], quoted[1200];
    long count = 0, got;
    int control = 0;
    struct pollfd asked = {.fd = master, .events = POLLIN};
    while (poll(&asked, 1, 0), (got = outcome(read(master, bytes, sizeof bytes))) > 0) {
        long skipped = has_packets ? 1 : 0;
        if (has_packets) control |= bytes[0];
        CHECK(count + got < (long)sizeof all);
        memcpy(all + count, bytes + skipped, (size_t)(got - skipped));
        count += got - skipped;
    }
    if (!count && !control) return got;
    quote(quoted, sizeof quoted / 2, all, count);
    say("comes %ld '%s' %#x", count, quoted, control);
    return got;
}

static void say_state(void) {
    static char before[900];
    char text[900];
    int length = 0;
    settle_all();
    if (master >= 0) {
        struct pollfd asked = {.fd = master, .events = POLLIN | POLLOUT | POLLPRI};
        int group = -1;
        poll(&asked, 1, 0);
        long grouped = outcome(ioctl(master, TIOCGPGRP, &group));
        length += snprintf(text, sizeof text, "%#x, %ld %d;", asked.revents, grouped, index_of(group));
        long got = hear_master();
        length += snprintf(text + length, sizeof text - (size_t)length, " read %ld;", got);
    }
    for (int i = 0; i < PEERS; i++) {
        pid_t group = peers[i].process ? getpgid(peers[i].process) : 0, session = peers[i].process ? getsid(peers[i].process) : 0;
        length += snprintf(text + length, sizeof text - (size_t)length, " %c %d %d", peers[i].process ? state_of(&peers[i]) : '-',
                           group < 0 ? -9 : index_of(group), session < 0 ? -9 : index_of(session));
    }
    if (series_step && !strcmp(before, text)) return;
    strcpy(before, text);
    say("state %s", text);
}

static void hear(void) {
    settle_all();
    for (int i = 0; i < PEERS; i++) {
        struct peer *peer = &peers[i];
        // Nothing else waits, but what is stopped.
        while (is_still_at_work(peer) && peer->command - 1 > WRITE && !strchr("TZ-", state_of(peer))) usleep(20);
        if (peer->is_at_work && __atomic_load_n(&peer->is_done, __ATOMIC_SEQ_CST)) {
            say("%d says %s", i, peer->said);
            peer->is_at_work = false;
        }
        if (peer->signals) say("%d is interrupted %d", i, peer->signals);
        peer->signals = 0;
    }
}

static bool is_somebody_at(int one, int other) {
    for (int i = 0; i < PEERS; i++) if (peers[i].is_at_work && (peers[i].command - 1 == one || peers[i].command - 1 == other)) return true;
    return false;
}

// Linux has another thread that takes what is typed, unless somebody finds that there is nothing to read.
static void type(void) {
    static const char *const KEYS[] = {"a", "bc\n", "\3", "\3", "\32", "\32", "\34", "\4", "\n", "line\n", "\r", "\x7f", "\25", "\23", "\21", "x", "\27", "\26",
                                       "one two\n", "\xc3\xa4", "\1\t"};
    const char *keys = ANY(KEYS);
    // Who goes on to write when the output does would race with the echo.
    if (is_somebody_at(WRITE, WRITE)) keys = "\21";
    char text[400], bytes[100];
    int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    say("other side: %d", fd < 0 ? -errno : 0);
    if (fd < 0) return;
    struct pollfd asked = {.fd = fd, .events = POLLIN};
    while (poll(&asked, 1, 0) > 0) {
        long got = outcome(read(fd, bytes, sizeof bytes));
        quote(text, sizeof text, bytes, got);
        say("takes %ld '%s'", got, text);
        if (got < 0) break;
    }
    quote(text, sizeof text, keys, (long)strlen(keys));
    say("types %s: %ld", text, outcome(write(master, keys, strlen(keys))));
    poll(&asked, 1, 0);
    settle_all();
    CHECK(!close(fd));
}

static void use_master(void) {
    int on = (int)below(2), value = -1;
    struct winsize size = {.ws_row = (unsigned short)below(3), .ws_col = 9};
    switch (below(8)) {
    case 0: say("packets %d: %ld", on, outcome(ioctl(master, TIOCPKT, &on))); has_packets = on; break;
    case 1: say("size: %ld", outcome(ioctl(master, TIOCSWINSZ, &size))); break;
    case 2: {
        static const int QUEUES[] = {TCIFLUSH, TCOFLUSH, TCIOFLUSH, 9};
        int queue = ANY(QUEUES);
        say("flush %d: %ld", queue, outcome(tcflush(master, queue)));
        break;
    }
    case 3: {
        static const int SIGNALS[] = {SIGINT, SIGQUIT, SIGTSTP, SIGKILL, SIGTTIN, 0};
        int signal = ANY(SIGNALS);
        say("sends %d: %ld", signal, outcome(ioctl(master, TIOCSIG, signal)));
        break;
    }
    case 4: say("packets are %ld", outcome(ioctl(master, TIOCGPKT, &value))), say("value %d", value); break;
    case 5: say("session %ld", outcome(ioctl(master, TIOCGSID, &value))), say("is %d", index_of(value)); break;
    case 6: {
        struct termios settings;
        long got = outcome(tcgetattr(master, &settings));
        say("settings %ld %x %x", got, settings.c_lflag, settings.c_oflag);
        break;
    }
    case 7: say("exclusive %ld", outcome(ioctl(master, TIOCGEXCL, &value))); break;
    }
}

static void choose(int *what, long *a) {
    *what = below(3) ? (int)below(8) : (int)below(DEEDS);
    memset(a, 0, sizeof(long) * ARGUMENTS);
    if (*what <= WRITE && is_somebody_at(READ, WRITE)) *what = LOOK;
    if ((*what == CLOSE || *what == SESSION) && below(4)) *what = FOREGROUND;
    switch (*what) {
    case READ: a[1] = below(3) ? TEXT - 1 : (long)below(4); break;
    case WRITE: a[1] = below(7); break;
    case SETTINGS: a[1] = below(5), a[2] = below(84), a[3] = !below(4); break;
    case FOREGROUND: a[1] = below(8) ? below(PEERS) : below(PEERS + 4); break;
    case GROUP: a[1] = below(PEERS + 1), a[2] = below(PEERS + 1); break;
    case FLUSH: a[1] = (long[]){TCIFLUSH, TCOFLUSH, TCIOFLUSH, 7}[below(4)]; break;
    case OPEN_TTY: a[1] = below(2), a[2] = below(4), a[3] = below(2); break;
    case TAKE_TTY: a[1] = below(2); break;
    case SIZE: a[1] = below(3), a[2] = 9; break;
    case HANDLE: a[1] = below(3), a[2] = below(3); break;
    case SIGNAL: a[1] = below(PEERS), a[2] = below(7), a[3] = below(2); break;
    case FLOW:
        a[1] = (long[]){TCOOFF, TCOON, TCIOFF, TCION, 9}[below(5)];
        // Linux sends a character when nobody else writes.
        if (is_somebody_at(WRITE, WRITE) && a[1] != TCOOFF) a[1] = TCOON;
        break;
    }
}

static void step(void) {
    int what;
    if (master >= 0 && !below(4)) { type(); return; }
    if (master >= 0 && !below(10)) { use_master(); return; }
    if (!below(12)) {
        int number = below(PEERS);
        if (!peers[number].process || strchr("Z-", state_of(&peers[number]))) return;
        bool kills = !below(12);
        say("%d is %s", number, kills ? "killed" : "woken");
        if (!kills) { CHECK(!kill(peers[number].process, SIGCONT)); return; }
        CHECK(!kill(peers[number].process, SIGKILL));
        while (!strchr("Z-", state_of(&peers[number]))) usleep(20);
        peers[number].is_at_work = false;
        if (number) return;
        CHECK(waitpid(peers[0].process, NULL, 0) == peers[0].process);
        former->ids[former->count++] = peers[0].process;
        peers[0].process = peers[0].thread = 0;
        return;
    }
    if (master >= 0 && series_step > STEPS / 2 && !below(40)) {
        say("hangs up");
        CHECK(!close(master));
        master = -1;
        return;
    }
    int number = below(PEERS);
    struct peer *peer = &peers[number];
    if (!peer->process || strchr("Z-", state_of(peer))) return;
    if (peer->is_at_work) {
        if (below(3)) return;
        say("%d is to be interrupted", number);
        CHECK(!kill(peer->process, SIGUSR1));
        return;
    }
    long *a = peer->arguments;
    choose(&what, a);
    say("%d does %d %ld %ld %ld", number, what, a[1], a[2], a[3]);
    tell(number, what);
}

static void run_series(const char *folder) {
    (void)folder;
    CHECK(!prctl(PR_SET_CHILD_SUBREAPER, 1));
    map_peers();
    master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    CHECK(master >= 0 && !grantpt(master) && !unlockpt(master) && !ptsname_r(master, path, sizeof path));
    has_packets = false;
    fork_peer(0, prepare);
    for (series_step = 0; series_step < STEPS; series_step++) {
        step();
        hear();
        say_state();
    }
    for (int i = 0; i < PEERS; i++) if (peers[i].process) kill(peers[i].process, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0) continue;
    if (master >= 0) CHECK(!close(master));
}
