// A family of processes: forks, ends, stops, waits, groups, sessions, orphans, and programs that replace
// others.
//
// One process tells the others what to do, one at a time, and looks at all of them when each of them
// sleeps, has stopped, or has ended. They are named by their places in a table, never by their ids.
#include "series.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { STEPS = 60, MEMBERS = 10, TABLE_FD = 50 };

enum deed {
    FORK, CLONE, END, GROUP, SESSION, LEADER, KILL, KILL_GROUP, WAIT, CHILD_ACTION, DEATH_SIGNAL, REAPER, EXEC,
    PIDFD, LIMIT, NICE, STATES, DEEDS,
};

static struct member {
    pid_t pid;
    int command, done, told;
    long first, second, third, fourth;
    // What its handler noted since it was looked at.
    int child_signals, code, status, child, other_signals;
    char said[200];
} *table;
static int me;

static const int OPTION[] = {
    WEXITED, WEXITED, WEXITED, WEXITED | WSTOPPED, WEXITED | WSTOPPED | WCONTINUED, WSTOPPED, WCONTINUED,
    WEXITED | WNOWAIT, WSTOPPED | WNOWAIT, 0, WEXITED | __WALL, WEXITED | __WCLONE, WEXITED | __WNOTHREAD,
};
static const int KILLER[] = {0, SIGSTOP, SIGSTOP, SIGCONT, SIGCONT, SIGTERM, SIGKILL, SIGUSR1, 65};

static int index_of(pid_t pid) {
    for (int i = MEMBERS; i-- > 0;) if (pid && table[i].pid == pid) return i;
    return pid ? -2 : -1;
}

static void handle(int signal, siginfo_t *info, void *context) {
    (void)context;
    struct member *own = &table[me];
    if (signal != SIGCHLD) { own->other_signals++; return; }
    own->code = info->si_code, own->status = info->si_status, own->child = index_of(info->si_pid);
    own->child_signals++;
}

static void set_handlers(void) {
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART};
    CHECK(!sigaction(SIGCHLD, &action, NULL) && !sigaction(SIGUSR1, &action, NULL));
    CHECK(!sigaction(SIGHUP, &action, NULL));
}

static void obey(void);

static void answer(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(table[me].said, sizeof table[me].said, format, arguments);
    va_end(arguments);
}

static void do_fork(int place, unsigned long flags) {
    table[place].pid = 0;
    long child = outcome(syscall(SYS_clone, flags, 0, 0, 0, 0));
    if (!child) {
        me = place;
        table[me].command = table[me].done = 0;
        obey();
    }
    if (child > 0) table[place].pid = child;
    answer("%d", child > 0 ? 0 : (int)child);
}

static void do_wait(int type, int whom, int options) {
    siginfo_t info = {0};
    int pidfd = -1;
    pid_t id = whom < 0 ? 0 : table[whom].pid;
    if (type == P_PIDFD) id = pidfd = syscall(SYS_pidfd_open, id, 0);
    long result = outcome(waitid(type, id, &info, options | WNOHANG));
    if (pidfd >= 0) close(pidfd);
    answer("%ld: %d code %d status %d signal %d", result, index_of(info.si_pid), info.si_code, info.si_status,
           info.si_signo);
}

static void do_wait_old(int whom, int options) {
    int status = 0, id = whom < 0 ? whom : table[whom].pid;
    if (whom == -2) id = -getpgrp();
    long result = outcome(wait4(id, &status, options | WNOHANG, NULL));
    answer("%d: %#x", result > 0 ? index_of(result) : (int)result, result > 0 ? status : 0);
}

static void do_pidfd(int whom, int signal) {
    long fd = outcome(syscall(SYS_pidfd_open, table[whom].pid, 0));
    struct pollfd polled = {fd, POLLIN, 0};
    int ready = fd >= 0 ? poll(&polled, 1, 0) : 0;
    long sent = fd >= 0 ? outcome(syscall(SYS_pidfd_send_signal, (int)fd, signal, NULL, 0)) : 0;
    answer("%ld: %d %#x, %ld", fd < 0 ? fd : 0, ready, polled.revents & POLLIN, sent);
    if (fd >= 0) close(fd);
}

static void do_exec(void) {
    char text[32];
    snprintf(text, sizeof text, "SERIES_MEMBER=%d", me);
    char *words[] = {"member", NULL}, *variables[] = {text, NULL};
    execve("/proc/self/exe", words, variables);
    answer("%d", -errno);
}

static void do_states(void) {
    struct sigaction action;
    int reaper = -1, death = -1, dumpable = prctl(PR_GET_DUMPABLE);
    char name[17] = "";
    sigset_t pending;
    CHECK(!sigaction(SIGCHLD, NULL, &action) && !sigpending(&pending));
    prctl(PR_GET_CHILD_SUBREAPER, &reaper), prctl(PR_GET_PDEATHSIG, &death), prctl(PR_GET_NAME, name);
    answer("reaper %d death %d dumpable %d %s handler %d flags %x parent %d group %d session %d nice %d", reaper, death,
           dumpable, me ? name : "", action.sa_sigaction == handle ? 2 : (int)(long)action.sa_handler,
           action.sa_flags & 7, me ? index_of(getppid()) : 0, index_of(getpgrp()), index_of(getsid(0)),
           getpriority(PRIO_PROCESS, 0));
}

static void do_limit(int whom, long value) {
    struct rlimit old = {0, 0}, new;
    long result = outcome(prlimit(table[whom].pid, RLIMIT_NOFILE, NULL, &old));
    new = (struct rlimit){value, old.rlim_max};
    if (value) result = outcome(prlimit(table[whom].pid, RLIMIT_NOFILE, &new, NULL));
    // What it began with is the machine's own.
    answer("%ld %ld", result, old.rlim_cur < 1000 ? (long)old.rlim_cur : -1);
}

static void run(struct member *own) {
    static const unsigned long KIND[] = {
        SIGCHLD, 0, SIGUSR1, CLONE_PARENT | SIGCHLD, CLONE_FS | SIGCHLD, CLONE_SIGHAND | SIGCHLD,
        CLONE_THREAD | SIGCHLD, CLONE_NEWNS | CLONE_FS | SIGCHLD,
    };
    pid_t whom = own->first < 0 ? 0 : table[own->first].pid;
    answer("");
    switch (own->command - 1) {
    case FORK: do_fork(own->first, SIGCHLD); break;
    case CLONE: do_fork(own->first, KIND[own->second]); break;
    case END: _exit(own->second);
    case GROUP:
        answer("%d", (int)outcome(setpgid(whom, own->second < 0 ? 0 : table[own->second].pid)));
        break;
    case SESSION: {
        long session = outcome(setsid());
        answer("%d", session > 0 ? index_of(session) : (int)session);
        break;
    }
    case LEADER: {
        long group = outcome(getpgid(whom)), session = outcome(getsid(whom));
        answer("%d %d", group > 0 ? index_of(group) : (int)group, session > 0 ? index_of(session) : (int)session);
        break;
    }
    case KILL: answer("%d", (int)outcome(kill(whom, own->second))); break;
    case KILL_GROUP: answer("%d", (int)outcome(kill(-whom, own->second))); break;
    case WAIT:
        if (own->third < 4) do_wait((int[]){P_ALL, P_PID, P_PGID, P_PIDFD}[own->third], own->first, OPTION[own->second]);
        else do_wait_old(own->third == 4 ? -1 : own->third == 5 ? -2 : own->first,
                         (int[]){0, WUNTRACED, WCONTINUED, __WALL, __WCLONE, WNOWAIT}[own->fourth]);
        break;
    case CHILD_ACTION: {
        static const int FLAG[] = {0, SA_NOCLDSTOP, SA_NOCLDWAIT, SA_NOCLDSTOP | SA_NOCLDWAIT};
        struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART | FLAG[own->third]};
        if (!own->second) action.sa_handler = SIG_IGN;
        else if (own->second == 1) action.sa_handler = SIG_DFL;
        answer("%d", (int)outcome(sigaction(SIGCHLD, &action, NULL)));
        break;
    }
    case DEATH_SIGNAL: answer("%d", (int)outcome(prctl(PR_SET_PDEATHSIG, own->second))); break;
    case REAPER: answer("%d", (int)outcome(prctl(PR_SET_CHILD_SUBREAPER, own->second))); break;
    case EXEC: if (me) do_exec(); break;
    case PIDFD: do_pidfd(own->first, own->second); break;
    case LIMIT: do_limit(own->first, own->fourth * 100); break;
    case NICE: answer("%d", (int)outcome(setpriority(PRIO_PROCESS, whom, own->third))); break;
    default: do_states();
    }
}

// What all but the first do, for as long as they live.
static void obey(void) {
    struct member *own = &table[me];
    for (;;) {
        while (!__atomic_load_n(&own->command, __ATOMIC_SEQ_CST)) syscall(SYS_futex, &own->command, FUTEX_WAIT, 0, NULL);
        run(own);
        own->command = 0;
        __atomic_store_n(&own->done, 1, __ATOMIC_SEQ_CST);
    }
}

static void map_table(void) {
    table = mmap(NULL, MEMBERS * sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED, TABLE_FD, 0);
    CHECK(table != MAP_FAILED);
    if (!table[0].pid) table[0].pid = getpid();
}

// The program runs again in place of one of them.
__attribute__((constructor)) static void begin_again(void) {
    const char *name = getenv("SERIES_MEMBER");
    if (!name) return;
    me = atoi(name);
    map_table();
    set_handlers();
    answer("again");
    table[me].command = 0;
    __atomic_store_n(&table[me].done, 1, __ATOMIC_SEQ_CST);
    obey();
}

// ---- The first ------------------------------------------------------------------------------------

struct facts { char state; int parent, group, session; };

static struct facts look(int place) {
    struct facts facts = {'-', 0, 0, 0};
    char path[64], text[300];
    pid_t parent, group, session;
    snprintf(path, sizeof path, "/proc/%d/stat", table[place].pid);
    int fd = table[place].pid ? open(path, O_RDONLY) : -1;
    if (fd < 0) return facts;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return facts;
    text[length] = 0;
    CHECK(sscanf(strrchr(text, ')') + 2, "%c %d %d %d", &facts.state, &parent, &group, &session) == 4);
    facts.parent = index_of(parent), facts.group = index_of(group), facts.session = index_of(session);
    return facts;
}

static void settle(struct facts *family) {
    for (int calm = 0; calm < 2; calm++) {
        for (int i = 1; i < MEMBERS; i++) {
            family[i] = look(i);
            if (!strchr("STZ-", family[i].state)) calm = -1;
        }
        if (calm < 0) usleep(100);
    }
}

static void say_family(struct facts *before) {
    struct facts family[MEMBERS];
    char text[600] = "";
    size_t length = 0;
    int changed = 0;
    bool inherited = false;
    settle(family);
    for (int i = 1; i < MEMBERS; i++) {
        changed += family[i].state != before[i].state;
        // Who inherits one that has ended, from its child that ends now, may be told of both at once.
        inherited |= before[i].state == 'Z' && (family[i].state == '-' || family[i].parent != before[i].parent);
        // Ids come again: who is gone has none.
        if (family[i].state == '-') { table[i].pid = 0; table[i].done = 0; continue; }
        length += snprintf(text + length, sizeof text - length, " %d%c%d,%d,%d", i, family[i].state, family[i].parent,
                           family[i].group, family[i].session);
    }
    say("family%s", text);
    for (int i = 0; i < MEMBERS; i++) {
        struct member *member = &table[i];
        bool one = changed <= 1 && !inherited && member->child_signals == 1;
        if (member->child_signals || member->other_signals)
            say("%d told: %d %d, %d code %d status %d", i, one ? 1 : member->child_signals != 0, member->other_signals != 0,
                one ? member->child : 0, one ? member->code : 0, one ? member->status : 0);
        if (i && member->done && family[i].state != '-') say("%d says late %s", i, member->said);
        member->done = 0;
        member->child_signals = member->other_signals = 0;
    }
    memcpy(before, family, sizeof family);
}

static void step(struct facts *family) {
    static const int DEATH[] = {0, SIGUSR1, SIGTERM, SIGKILL, SIGSTOP, 65};
    int place, free = 0;
    do place = below(MEMBERS); while (place && (family[place].state != 'S' || table[place].command));
    for (int i = 1; i < MEMBERS; i++) if (!table[i].pid) free = i;
    struct member *member = &table[place];
    int deed = below(4) ? (int)below(DEEDS) : below(2) ? FORK : WAIT;
    member->first = below(MEMBERS + 1) - 1l, member->second = below(MEMBERS + 1) - 1l;
    member->third = below(7), member->fourth = below(6);
    // What is gone has no number that one may ask for.
    if (member->first >= 0 && !table[member->first].pid) member->first = -1;
    if (member->second >= 0 && !table[member->second].pid) member->second = -1;
    switch (deed) {
    case FORK: case CLONE:
        if (!free) return;
        member->first = free, member->second = below(8);
        // Whoever started this waits for no more.
        if (!place && member->second == 3) return;
        break;
    case END: if (!place) return; member->second = below(256); break;
    case SESSION: if (!place) return; break;
    case GROUP:
        if (!place || member->first == 0) return;
        break;
    case KILL: case KILL_GROUP: case PIDFD:
        member->second = ANY(KILLER);
        // Of several that end at once some may be each other's parents.
        if (deed == KILL_GROUP && (member->second == SIGTERM || member->second == SIGKILL)) member->second = SIGCONT;
        // Never the first, nor its group.
        if (member->first <= 0) return;
        if (deed == KILL && index_of(table[member->first].pid) == 0) return;
        break;
    case WAIT: member->second = below(COUNT(OPTION)); if (member->first < 0) member->first = -1; break;
    case CHILD_ACTION: member->second = below(4), member->third = below(4); break;
    case DEATH_SIGNAL: if (!place) return; member->second = ANY(DEATH); break;
    case REAPER: if (!place) return; member->second = below(2); break;
    case EXEC: if (!place) return; break;
    case LIMIT: if (member->first <= 0) return; break;
    case NICE:
        if (member->first <= 0) return;
        // Only up, as not everybody may go down.
        member->third = getpriority(PRIO_PROCESS, table[member->first].pid) + below(4);
        break;
    }
    if (deed == WAIT && member->third >= 1 && member->third <= 3 && member->first < 0) member->third = 0;
    // The number of the first one's group may be one.
    if (deed == WAIT && member->third == 5 && !place) member->third = 4;
    if (deed == WAIT && member->third > 5 && member->first < 0) member->third = 4;
    say("%d does %d %ld %ld %ld %ld", place, deed, member->first, member->second, member->third, member->fourth);
    member->done = 0;
    if (!place) {
        member->command = deed + 1;
        run(member);
        member->command = 0;
    } else {
        __atomic_store_n(&member->command, deed + 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &member->command, FUTEX_WAKE, 1);
        while (!__atomic_load_n(&member->done, __ATOMIC_SEQ_CST) && strchr("RSD", look(place).state)) usleep(50);
        if (!member->done) { say("%d says nothing", place); return; }
        member->done = 0;
    }
    say("%d says %s", place, member->said);
}

static void run_family(const char *folder) {
    CHECK(!mkdir(folder, 0755) && !chdir(folder));
    int fd = syscall(SYS_memfd_create, "table", 0);
    CHECK(fd >= 0 && !ftruncate(fd, MEMBERS * sizeof *table) && dup2(fd, TABLE_FD) == TABLE_FD && !close(fd));
    map_table();
    // Orphans come back.
    CHECK(!prctl(PR_SET_CHILD_SUBREAPER, 1));
    set_handlers();
    struct facts family[MEMBERS] = {0};
    for (int i = 0; i < MEMBERS; i++) family[i].state = '-';
    for (series_step = 0; series_step < STEPS; series_step++) {
        step(family);
        say_family(family);
    }
    for (int i = 1; i < MEMBERS; i++) if (table[i].pid) kill(table[i].pid, SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR) {}
    signal(SIGCHLD, SIG_DFL);
    CHECK(!munmap(table, MEMBERS * sizeof *table) && !close(TABLE_FD) && !chdir("/") && !rmdir(folder));
}

// The first of a family has a session of its own, as whoever started this may have one or not.
static void run_series(const char *folder) {
    pid_t first = fork();
    CHECK(first >= 0);
    if (!first) {
        CHECK(setsid() > 0);
        run_family(folder);
        _exit(0);
    }
    int status;
    CHECK(waitpid(first, &status, 0) == first && !status);
}
