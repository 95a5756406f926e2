// Pseudo-terminals and job control: what is typed, read, shown, and who is stopped or told.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int master, slave;

static void check(int ok, const char *what) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

// Whether a descriptor is ready for events within a second.
static int ready(int fd, short events) {
    struct pollfd one = {.fd = fd, .events = events};
    poll(&one, 1, 1000);
    return one.revents;
}

static void open_pair(void) {
    char name[64];
    if (openpty(&master, &slave, name, NULL, NULL) != 0) {
        perror("openpty");
        exit(1);
    }
}

static void close_pair(void) {
    close(master);
    close(slave);
}

// Types, and gives what a program reads then; what is shown meanwhile stays.
static const char *typed(const char *bytes, size_t len) {
    static char line[256];
    if (write(master, bytes, len) != (ssize_t)len) return "not written";
    if (!(ready(slave, POLLIN) & POLLIN)) return "not ready";
    ssize_t count = read(slave, line, sizeof line - 1);
    if (count < 0) return strerror(errno);
    line[count] = 0;
    return line;
}

static const char *shown(void) {
    static char text[256];
    size_t all = 0;
    while (all < sizeof text - 1) {
        struct pollfd one = {.fd = master, .events = POLLIN};
        if (poll(&one, 1, 50) != 1) break;
        ssize_t count = read(master, text + all, sizeof text - 1 - all);
        if (count <= 0) break;
        all += count;
    }
    text[all] = 0;
    return text;
}

static void names(void) {
    open_pair();
    int number = -1;
    char path[64], link[64] = "", self[64];
    check(ioctl(master, TIOCGPTN, &number) == 0, "a master has a number");
    snprintf(path, sizeof path, "/dev/pts/%d", number);
    check(strcmp(ptsname(master), path) == 0, "and a name from it");
    check(strcmp(ttyname(slave), path) == 0, "the slave has that name");
    snprintf(self, sizeof self, "/proc/self/fd/%d", slave);
    check(readlink(self, link, sizeof link - 1) > 0 && strcmp(link, path) == 0, "in /proc, too");
    struct stat by_path, by_fd;
    check(stat(path, &by_path) == 0 && fstat(slave, &by_fd) == 0 &&
              by_path.st_rdev == by_fd.st_rdev && by_path.st_ino == by_fd.st_ino &&
              by_path.st_dev == by_fd.st_dev && S_ISCHR(by_fd.st_mode),
          "both ways it is one device");
    check(isatty(slave) && isatty(master), "both ends are terminals");
    int again = open(path, O_RDWR | O_NOCTTY);
    check(again >= 0, "it opens again");
    close(again);
    int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    check(peer >= 0 && strcmp(ttyname(peer), path) == 0, "the master opens it");
    close(peer);
    close_pair();
    check(stat(path, &by_path) == -1 && errno == ENOENT, "it is gone afterwards");

    int locked = posix_openpt(O_RDWR | O_NOCTTY);
    check(open(ptsname(locked), O_RDWR | O_NOCTTY) == -1 && errno == EIO, "a new one is locked");
    check(grantpt(locked) == 0 && unlockpt(locked) == 0, "until it is unlocked");
    slave = open(ptsname(locked), O_RDWR | O_NOCTTY);
    check(slave >= 0, "then it opens");
    close(slave);
    close(locked);
}

static void lines(void) {
    open_pair();
    check(strcmp(typed("ab\177c\r", 5), "ac\n") == 0, "a line can be edited");
    check(strcmp(shown(), "ab\b \bc\r\n") == 0, "and one sees it");
    check(strcmp(typed("one two\027\025x\n", 11), "x\n") == 0, "words and lines can be erased");
    shown();
    check(strcmp(typed("half\004", 5), "half") == 0, "an end of file ends a line");
    check(strcmp(typed("\004", 1), "") == 0, "or all of them");
    check(strcmp(typed("\026\003\n", 3), "\003\n") == 0, "a character can be taken literally");
    shown();
    int count = -1;
    if (write(master, "abc", 3) != 3) exit(1);
    usleep(20000);
    check(ioctl(slave, FIONREAD, &count) == 0 && count == 0, "half a line is none");
    check(ready(slave, POLLOUT) == POLLOUT, "poll agrees");
    if (write(master, "\n", 1) != 1) exit(1);
    ready(slave, POLLIN);
    check(ioctl(slave, FIONREAD, &count) == 0 && count == 4, "a whole one is");
    tcflush(slave, TCIFLUSH);
    check(ioctl(slave, FIONREAD, &count) == 0 && count == 0, "it can be flushed");
    shown();
    if (write(slave, "a\nb", 3) != 3) exit(1);
    check(strcmp(shown(), "a\r\nb") == 0, "a new line returns");
    check(write(master, "\023", 1) == 1 && !(usleep(20000), ready(slave, POLLOUT) & POLLOUT),
          "output can be stopped");
    check(write(master, "\021", 1) == 1 && ready(slave, POLLOUT) & POLLOUT, "and started");
    close_pair();
}

static void raw(void) {
    open_pair();
    struct termios settings, again;
    tcgetattr(slave, &settings);
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = 3;
    settings.c_cc[VTIME] = 0;
    check(tcsetattr(slave, TCSANOW, &settings) == 0, "settings are set");
    tcgetattr(master, &again);
    check(again.c_lflag == settings.c_lflag && again.c_cc[VMIN] == 3, "both ends have them");
    check(strcmp(typed("\003\004x", 3), "\003\004x") == 0, "nothing is special");
    check(strcmp(shown(), "") == 0, "and nothing shown");
    char buffer[8];
    if (write(master, "ab", 2) != 2) exit(1);
    check(ready(slave, POLLIN) == 0, "fewer than VMIN are not enough");
    if (write(master, "c", 1) != 1) exit(1);
    check(read(slave, buffer, sizeof buffer) == 3, "VMIN are");
    unsigned speeds[11];
    check(ioctl(slave, 0x802c542a, speeds) == 0 && speeds[9] == 38400 && speeds[10] == 38400,
          "it has a speed");
    speeds[2] = (speeds[2] & ~010017) | 010000;
    speeds[9] = speeds[10] = 12345;
    check(ioctl(slave, 0x402c542b, speeds) == 0, "which can be any");
    memset(speeds, 0, sizeof speeds);
    check(ioctl(slave, 0x802c542a, speeds) == 0 && speeds[9] == 12345, "and is kept");
    settings.c_cc[VMIN] = 0;
    settings.c_cc[VTIME] = 1;
    tcsetattr(slave, TCSANOW, &settings);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    check(read(slave, buffer, sizeof buffer) == 0, "VTIME ends a read");
    clock_gettime(CLOCK_MONOTONIC, &after);
    long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    check(ms >= 90, "after that time");
    settings.c_cc[VMIN] = 9;
    tcsetattr(slave, TCSANOW, &settings);
    if (write(master, "xy", 2) != 2) exit(1);
    check(read(slave, buffer, sizeof buffer) == 2, "or so long after the last one");
    settings.c_cc[VMIN] = 0;
    settings.c_cc[VTIME] = 0;
    tcsetattr(slave, TCSANOW, &settings);
    check(read(slave, buffer, sizeof buffer) == 0, "both zero never wait");
    settings.c_cc[VMIN] = 1;
    tcsetattr(slave, TCSANOW, &settings);
    fcntl(slave, F_SETFL, O_NONBLOCK);
    check(read(slave, buffer, sizeof buffer) == -1 && errno == EAGAIN, "nor does O_NONBLOCK");
    // More than fits, both ways.
    pid_t child = fork();
    if (child == 0) {
        static char block[65536];
        memset(block, 'z', sizeof block);
        fcntl(slave, F_SETFL, 0);
        _exit(write(slave, block, sizeof block) == sizeof block ? 0 : 1);
    }
    size_t all = 0;
    static char block[65536];
    while (all < sizeof block) {
        ssize_t count = read(master, block + all, sizeof block - all);
        if (count <= 0) break;
        all += count;
    }
    int status;
    waitpid(child, &status, 0);
    check(all == sizeof block && status == 0, "much output waits for who takes it");
    close_pair();
}

static void hang_up(void) {
    char buffer[8];
    open_pair();
    close(slave);
    check(read(master, buffer, 8) == -1 && errno == EIO, "without a slave a master reads EIO");
    check(ready(master, POLLIN) & POLLHUP, "and is told so");
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    check(!(ready(master, POLLOUT) & POLLHUP), "until there is one");
    close(master);
    check(read(slave, buffer, 8) == 0, "without a master a slave reads the end");
    check(write(slave, "x", 1) == -1 && errno == EIO, "and writes EIO");
    check((ready(slave, POLLIN) & (POLLHUP | POLLERR)) == (POLLHUP | POLLERR), "it is told so");
    struct termios settings;
    check(tcgetattr(slave, &settings) == -1 && errno == EIO, "and has no settings");
    close(slave);
}

static volatile sig_atomic_t caught[65];
static void note(int number) { caught[number]++; }

static void on(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    sigaction(number, &action, NULL);
}

// A child that leads a session with the slave as its terminal; runs `body` and ends with its value.
static pid_t session(int (*body)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child != 0) return child;
    close(master);
    setsid();
    if (ioctl(slave, TIOCSCTTY, 0) != 0) _exit(99);
    _exit(body());
}

static int status_of(pid_t pid) {
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void wait_for(const char *word) {
    static char text[4096];
    size_t all = 0;
    while (all < sizeof text - 1 && ready(master, POLLIN) & POLLIN) {
        ssize_t count = read(master, text + all, sizeof text - 1 - all);
        if (count <= 0) break;
        all += count;
        text[all] = 0;
        if (strstr(text, word)) return;
    }
    printf("no %s\n", word);
}

static int owns(void) {
    int session = -1;
    if (tcgetpgrp(slave) != getpid()) return 1;
    if (ioctl(slave, TIOCGSID, &session) != 0 || session != getpid()) return 2;
    // There is one line discipline.
    int discipline = 0;
    if (ioctl(slave, TIOCSETD, &discipline) != 0) return 20;
    discipline = 13;
    if (ioctl(slave, TIOCSETD, &discipline) != -1 || errno != EINVAL) return 21;
    int fd = open("/dev/tty", O_RDWR);
    if (fd < 0) return 3;
    struct stat one;
    if (fstat(fd, &one) != 0 || !isatty(fd)) return 4;
    if (write(fd, "through\n", 8) != 8) return 5;
    on(SIGHUP, SIG_IGN);
    if (ioctl(fd, TIOCNOTTY) != 0) return 6;
    if (open("/dev/tty", O_RDWR) != -1 || errno != ENXIO) return 7;
    if (tcgetpgrp(slave) != -1 || errno != ENOTTY) return 8;
    // A leader without a terminal gets the one that it opens.
    int taken = open(ttyname(slave), O_RDWR);
    if (taken < 0 || tcgetpgrp(taken) != getpid()) return 9;
    return 0;
}

static int is_interrupted(void) {
    on(SIGINT, note);
    on(SIGQUIT, note);
    on(SIGWINCH, note);
    on(SIGTSTP, note);
    dprintf(slave, "ready\n");
    while (!caught[SIGINT] || !caught[SIGQUIT] || !caught[SIGWINCH] || !caught[SIGTSTP]) pause();
    return 7;
}

static int has_background(void) {
    on(SIGTTOU, SIG_IGN);
    pid_t reader = fork();
    if (reader == 0) {
        char byte;
        setpgid(0, 0);
        _exit(read(slave, &byte, 1) == 1 ? byte : 50);
    }
    setpgid(reader, reader);
    int status;
    if (waitpid(reader, &status, WUNTRACED) != reader) return 1;
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTTIN) return 2;
    if (tcsetpgrp(slave, reader) != 0) return 3;
    if (tcgetpgrp(slave) != reader) return 4;
    kill(-reader, SIGCONT);
    if (waitpid(reader, &status, WCONTINUED) != reader || !WIFCONTINUED(status)) return 5;
    dprintf(slave, "go on\n");
    if (waitpid(reader, &status, 0) != reader) return 6;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 'k') return 7;
    tcsetpgrp(slave, getpid());

    // Writing from the background stops with TOSTOP.
    struct termios settings;
    tcgetattr(slave, &settings);
    settings.c_lflag |= TOSTOP;
    tcsetattr(slave, TCSANOW, &settings);
    pid_t writer = fork();
    if (writer == 0) {
        on(SIGTTOU, SIG_DFL);
        setpgid(0, 0);
        _exit(write(slave, "background\n", 11) == 11 ? 0 : 1);
    }
    setpgid(writer, writer);
    siginfo_t info = {0};
    if (waitid(P_PID, writer, &info, WSTOPPED | WEXITED) != 0) return 8;
    if (info.si_code != CLD_STOPPED || info.si_status != SIGTTOU) return 9;
    tcsetpgrp(slave, writer);
    kill(writer, SIGCONT);
    if (waitid(P_PID, writer, &info, WCONTINUED) != 0 || info.si_code != CLD_CONTINUED) return 10;
    if (waitid(P_PID, writer, &info, WEXITED) != 0 || info.si_status != 0) return 11;
    tcsetpgrp(slave, getpid());

    // Who ignores it gets an error.
    pid_t deaf = fork();
    if (deaf == 0) {
        char byte;
        on(SIGTTIN, SIG_IGN);
        setpgid(0, 0);
        _exit(read(slave, &byte, 1) == -1 && errno == EIO ? 0 : 1);
    }
    setpgid(deaf, deaf);
    if (waitpid(deaf, &status, 0) != deaf || status != 0) return 12;
    return 0;
}

static int has_orphans(void) {
    // A group whose only link to the shell ends while one of its processes has stopped.
    int tell[2];
    if (pipe(tell) != 0) return 1;
    pid_t link = fork();
    if (link == 0) {
        setpgid(0, 0);
        pid_t orphan = fork();
        if (orphan == 0) {
            on(SIGHUP, note);
            on(SIGCONT, note);
            raise(SIGSTOP);
            char byte = 0;
            while (!caught[SIGHUP] || !caught[SIGCONT]) pause();
            // And nobody could continue it: reading is an error.
            if (read(slave, &byte, 1) == -1 && errno == EIO) byte = 'o';
            _exit(write(tell[1], &byte, 1) != 1);
        }
        int status;
        waitpid(orphan, &status, WUNTRACED);
        _exit(0);
    }
    setpgid(link, link);
    waitpid(link, NULL, 0);
    char byte = 0;
    if (read(tell[0], &byte, 1) != 1 || byte != 'o') return 2;
    return 0;
}

static int ends_with_foreground(void) {
    int status;
    on(SIGTTOU, SIG_IGN);
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        on(SIGHUP, note);
        dprintf(slave, "child\n");
        while (!caught[SIGHUP]) pause();
        dprintf(slave, "hung up\n");
        _exit(0);
    }
    setpgid(child, child);
    tcsetpgrp(slave, child);
    usleep(50000);
    waitpid(child, &status, WNOHANG);
    return 0;
}

static int waits_for_hang_up(void) {
    on(SIGHUP, note);
    dprintf(slave, "ready\n");
    while (!caught[SIGHUP]) pause();
    char byte;
    return read(slave, &byte, 1) == 0 ? 5 : 6;
}

static void sessions(void) {
    int number;
    open_pair();
    pid_t pid = session(owns);
    number = status_of(pid);
    printf("a session owns its terminal: %d\n", number);
    close_pair();

    open_pair();
    pid = session(is_interrupted);
    wait_for("ready");
    if (write(master, "\003", 1) != 1 || write(master, "\034", 1) != 1) exit(1);
    struct winsize size = {.ws_row = 10, .ws_col = 20}, got = {0};
    ioctl(master, TIOCSWINSZ, &size);
    if (write(master, "\032", 1) != 1) exit(1);
    printf("keys and the window are signals: %d\n", status_of(pid));
    check(ioctl(slave, TIOCGWINSZ, &got) == 0 && got.ws_row == 10 && got.ws_col == 20,
          "the window has its size");
    close_pair();

    open_pair();
    pid = session(has_background);
    wait_for("go on");
    if (write(master, "k\n", 2) != 2) exit(1);
    printf("the background is stopped: %d\n", status_of(pid));
    close_pair();

    open_pair();
    printf("orphans hear of it: %d\n", status_of(session(has_orphans)));
    close_pair();

    open_pair();
    pid = session(ends_with_foreground);
    wait_for("child");
    printf("a leader ends: %d\n", status_of(pid));
    wait_for("hung up");
    close_pair();

    open_pair();
    pid = session(waits_for_hang_up);
    wait_for("ready");
    close(master);
    printf("a master closes: %d\n", status_of(pid));
    close(slave);
}

static void packets(void) {
    char buffer[8] = "";
    int on = 1;
    open_pair();
    ioctl(master, TIOCPKT, &on);
    if (write(slave, "ab", 2) != 2) exit(1);
    check(ready(master, POLLIN) & POLLIN && read(master, buffer, 8) == 3 && buffer[0] == 0,
          "packets have a first byte");
    tcflush(slave, TCIFLUSH);
    check(ready(master, POLLPRI | POLLIN) & POLLPRI && read(master, buffer, 8) == 1 &&
              buffer[0] == TIOCPKT_FLUSHREAD,
          "which tells of flushes");
    close_pair();
}

static int opens_as(uid_t user, const char *name) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (setuid(user) != 0) _exit(99);
        _exit(open(name, O_RDWR | O_NOCTTY) >= 0 ? 0 : errno);
    }
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

// A terminal that is one's own is opened by nobody else but the superuser.
static void exclusive(void) {
    int is_exclusive = -1;
    char name[64];
    open_pair();
    ttyname_r(slave, name, sizeof name);
    check(fchmod(slave, 0666) == 0 && opens_as(1000, name) == 0, "everybody opens it");
    check(ioctl(slave, TIOCEXCL) == 0 && ioctl(slave, TIOCGEXCL, &is_exclusive) == 0 && is_exclusive == 1,
          "it is exclusive");
    check(opens_as(1000, name) == EBUSY, "others do not open it");
    check(opens_as(0, name) == 0, "the superuser does");
    struct {
        unsigned short flags[4];
        unsigned char line, characters[8];
    } brief;
    struct termios full;
    check(ioctl(slave, 0x5405 /* TCGETA */, &brief) == 0 && (brief.flags[3] & ECHO), "settings of System V");
    brief.flags[3] &= ~ECHO, brief.characters[VINTR] = 7;
    check(ioctl(slave, 0x5406 /* TCSETA */, &brief) == 0 && tcgetattr(slave, &full) == 0 &&
              !(full.c_lflag & ECHO) && full.c_cc[VINTR] == 7 && (full.c_lflag & IEXTEN),
          "change what they have");
    check(ioctl(slave, TIOCNXCL) == 0 && opens_as(1000, name) == 0, "it is no more");
    close_pair();
}

int main(void) {
    alarm(60);
    exclusive();
    names();
    lines();
    raw();
    hang_up();
    packets();
    sessions();
    return 0;
}
