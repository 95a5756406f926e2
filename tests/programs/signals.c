// Waits that a stop interrupts, signals that are read from files, and signals about files.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int ok, const char *what) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const struct timespec FOURTH = {.tv_nsec = 250000000};
static volatile sig_atomic_t caught[65];
static siginfo_t last;
static void note(int number, siginfo_t *info, void *context) {
    (void)context;
    caught[number]++;
    last = *info;
}

static void on(int number, int flags) {
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | flags};
    sigaction(number, &action, NULL);
}

// What each wait gives when nothing happens but a stop; each lasts a fourth of a second.
static int sleeps(void) { return nanosleep(&FOURTH, NULL); }
static int sleeps_by_clock(void) { return clock_nanosleep(CLOCK_MONOTONIC, 0, &FOURTH, NULL); }
static int sleeps_until(void) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += FOURTH.tv_nsec;
    if (end.tv_nsec >= 1000000000) end.tv_sec++, end.tv_nsec -= 1000000000;
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
}
static int polls(void) { return poll(NULL, 0, 250); }
static int polls_with_mask(void) {
    sigset_t none;
    sigemptyset(&none);
    return ppoll(NULL, 0, &FOURTH, &none);
}
static int selects(void) {
    struct timeval time = {.tv_usec = 250000};
    return select(0, NULL, NULL, NULL, &time);
}
static int waits_for_futex(void) {
    static int word;
    int result = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &FOURTH, NULL, 0);
    return result == -1 && errno == ETIMEDOUT ? 0 : 1;
}
static int waits_for_signal(void) {
    return pause() == -1 && errno == EINTR && caught[SIGUSR1] ? 0 : 1;
}
static int waits_for_events(void) {
    struct epoll_event event;
    // The one that Linux does not start again (signal(7)).
    return epoll_wait(epoll_create1(0), &event, 1, 250) == -1 && errno == EINTR ? 0 : 1;
}

// Stops a child in the middle of a wait, and lets it go on.
static void stops(const char *what, int (*wait)(void), int is_short, int number) {
    pid_t child = fork();
    if (child == 0) {
        on(SIGUSR1, SA_RESTART);
        long before = now_ms();
        int result = wait();
        long took = now_ms() - before;
        if (result != 0) _exit(1);
        // As long as was asked for, not so long again after the stop.
        _exit(!is_short && took < 240 ? 2 : took > 2000 ? 3 : 0);
    }
    int status;
    usleep(60000);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    usleep(60000);
    kill(child, SIGCONT);
    if (number) usleep(60000), kill(child, number);
    waitpid(child, &status, 0);
    printf("%s: %d\n", what, WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
    fflush(stdout);
}

static void handler_ends(const char *what, int (*wait)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        on(SIGUSR1, SA_RESTART);
        int result = wait();
        _exit(result != 0 && errno == EINTR ? 0 : 1);
    }
    int status;
    usleep(60000);
    kill(child, SIGUSR1);
    waitpid(child, &status, 0);
    check(status == 0, what);
}

static int clock_sleep(void) { return errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &FOURTH, NULL); }
static int futex_wait(void) {
    static int word;
    return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &FOURTH, NULL, 0);
}

static void waits(void) {
    stops("nanosleep goes on", sleeps, 0, 0);
    stops("clock_nanosleep goes on", sleeps_by_clock, 0, 0);
    stops("clock_nanosleep until goes on", sleeps_until, 0, 0);
    stops("poll goes on", polls, 0, 0);
    stops("ppoll goes on", polls_with_mask, 0, 0);
    stops("select goes on", selects, 0, 0);
    stops("futex goes on", waits_for_futex, 0, 0);
    stops("pause goes on", waits_for_signal, 1, SIGUSR1);
    stops("epoll_wait does not", waits_for_events, 1, 0);
    handler_ends("a handler ends nanosleep", sleeps);
    handler_ends("and clock_nanosleep", clock_sleep);
    handler_ends("and poll", polls);
    handler_ends("and a futex with a time", futex_wait);
}

// What the mask of a wait keeps away comes when the wait is over; what it lets through comes only if
// there was something to wait for.
static void masks(void) {
    sigset_t none, users, old;
    timer_t timer;
    int ends[2];
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    struct itimerspec soon = {.it_value = {.tv_nsec = 50000000}};
    on(SIGUSR1, 0);
    on(SIGUSR2, 0);
    sigemptyset(&none);
    sigemptyset(&users);
    sigaddset(&users, SIGUSR1);
    sigaddset(&users, SIGUSR2);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) exit(1);
    if (timer_settime(timer, 0, &soon, NULL) != 0) exit(1);
    int result = ppoll(NULL, 0, &FOURTH, &users);
    check(result == 0 && caught[SIGUSR2] == 1, "a signal waits for the end of ppoll");
    timer_delete(timer);
    sigprocmask(SIG_BLOCK, &users, &old);
    raise(SIGUSR1);
    if (pipe(ends) != 0 || write(ends[1], "x", 1) != 1) exit(1);
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    result = ppoll(&ready, 1, &FOURTH, &none);
    check(result == 1 && caught[SIGUSR1] == 0, "what is ready comes first");
    ready.events = 0;
    result = ppoll(&ready, 1, &FOURTH, &none);
    check(result == -1 && errno == EINTR && caught[SIGUSR1] == 1, "then the signal");
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(ends[0]);
    close(ends[1]);
    caught[SIGUSR1] = caught[SIGUSR2] = 0;
}

// Who falls off the stack for handlers ends, and does not begin again at its top.
static void faults_again(int number) {
    volatile char room[1000];
    room[0] = number;
    *(volatile char *)0 = room[0];
}

static void falls_off(void) {
    static char memory[1 << 17];
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        stack_t stack = {.ss_sp = memory + sizeof memory / 2, .ss_size = sizeof memory / 2};
        struct sigaction action = {.sa_handler = faults_again, .sa_flags = SA_ONSTACK | SA_NODEFER};
        if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGSEGV, &action, NULL) != 0) _exit(1);
        faults_again(0);
    }
    int status;
    waitpid(child, &status, 0);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "the end of the stack is the end");
    stack_t odd = {.ss_sp = memory, .ss_size = sizeof memory, .ss_flags = SS_DISABLE | SS_ONSTACK};
    check(sigaltstack(&odd, NULL) == -1 && errno == EINVAL, "one or the other");
}

// The flag for which what is not aligned faults is the program's: neither a call nor who runs it trips over it.
static void sets_alignment_check(void) {
    __asm__ volatile("sub $128, %%rsp\n\tpushfq\n\torl $0x40000, (%%rsp)\n\tpopfq\n\tadd $128, %%rsp" ::: "memory", "cc");
}

static void alignment(void) {
    static const int expected[] = {SIGBUS, SIGSEGV};
    for (int which = 0; which < 2; which++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            static long words[2];
            long number = SYS_getpid;
            sets_alignment_check();
            __asm__ volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
            if (which == 0) __asm__ volatile("mov (%0), %%rax" : : "r"((char *)words + 1) : "rax");
            __asm__ volatile("hlt");
        }
        int status;
        waitpid(child, &status, 0);
        check(WIFSIGNALED(status) && WTERMSIG(status) == expected[which],
              which == 0 ? "what is not aligned faults for who wants it" : "other faults are theirs");
    }
}

// Vectors live through a wait, and what was kept of them meanwhile spoils no frame of a handler.
static void vectors(void) {
    struct timespec time = {.tv_nsec = 1000000};
    unsigned char found[16], ones[16];
    memset(ones, 0xff, sizeof ones);
    long number = SYS_nanosleep;
    __asm__ volatile("pcmpeqd %%xmm8, %%xmm8\n\tsyscall\n\tmovdqu %%xmm8, %1"
                     : "+a"(number), "=m"(found) : "D"(&time), "S"(NULL) : "rcx", "r11", "memory", "xmm8");
    check(number == 0 && memcmp(found, ones, sizeof ones) == 0, "vectors live through a wait");
    on(SIGUSR1, 0);
    caught[SIGUSR1] = 0;
    raise(SIGUSR1);
    check(caught[SIGUSR1] == 1, "and a handler comes and goes");
}

// What a write that cannot be raises comes from the thread itself.
static void writers(void) {
    sigset_t set, old;
    siginfo_t info = {0};
    struct timespec time = {.tv_sec = 5};
    int ends[2];
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigaddset(&set, SIGXFSZ);
    sigprocmask(SIG_BLOCK, &set, &old);
    if (pipe(ends) != 0 || close(ends[0]) != 0) exit(1);
    check(write(ends[1], "x", 1) == -1 && errno == EPIPE, "nobody reads");
    check(sigtimedwait(&set, &info, &time) == SIGPIPE && info.si_code == SI_USER && info.si_pid == getpid(),
          "and the writer says so");
    close(ends[1]);
    struct rlimit usual, small;
    if (getrlimit(RLIMIT_FSIZE, &usual) != 0) exit(1);
    small = usual;
    small.rlim_cur = 4;
    int fd = open("/tmp/limited", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (setrlimit(RLIMIT_FSIZE, &small) != 0) exit(1);
    ssize_t some = write(fd, "12345678", 8), none = write(fd, "x", 1);
    int why = errno;
    if (setrlimit(RLIMIT_FSIZE, &usual) != 0) exit(1);
    check(some == 4 && none == -1 && why == EFBIG, "no more than the limit");
    check(sigtimedwait(&set, &info, &time) == SIGXFSZ && info.si_code == SI_USER && info.si_pid == getpid(),
          "is written");
    close(fd);
    unlink("/tmp/limited");
    sigprocmask(SIG_SETMASK, &old, NULL);
}

// A signal that is ignored comes all the same for who waits for it.
static void awaited(void) {
    sigset_t set, old;
    siginfo_t info;
    struct timespec time = {.tv_sec = 5};
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, &old);
    pid_t child = fork();
    if (child == 0) usleep(60000), kill(getppid(), SIGWINCH), _exit(0);
    check(sigtimedwait(&set, &info, &time) == SIGWINCH && info.si_pid == child,
          "what is ignored can be waited for");
    waitpid(child, NULL, 0);
    sigprocmask(SIG_SETMASK, &old, NULL);

    // By number: not every libc passes on what is left.
    struct timeval left = {.tv_usec = 20000};
    int ends[2];
    fd_set ready;
    check(syscall(SYS_select, 0, NULL, NULL, NULL, &left) == 0 && left.tv_usec == 0, "no time is left of select");
    if (pipe(ends) != 0 || write(ends[1], "x", 1) != 1) exit(1);
    FD_ZERO(&ready);
    FD_SET(ends[0], &ready);
    left.tv_sec = 100;
    check(syscall(SYS_select, ends[0] + 1, &ready, NULL, NULL, &left) == 1 && left.tv_sec >= 90 &&
              left.tv_sec < 100,
          "or some");
}

static int file;
static void *reads_own(void *unused) {
    (void)unused;
    struct signalfd_siginfo info;
    raise(SIGUSR2);
    return (void *)(long)(read(file, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR2);
}

static void signal_files(void) {
    sigset_t set, old;
    struct signalfd_siginfo info[4];
    struct pollfd one;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, &old);
    file = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    one = (struct pollfd){.fd = file, .events = POLLIN};
    check(read(file, info, sizeof info) == -1 && errno == EAGAIN, "no signal is nothing to read");
    check(poll(&one, 1, 0) == 0, "and not ready");
    union sigval value = {.sival_int = 42};
    sigqueue(getpid(), SIGRTMIN, value);
    sigqueue(getpid(), SIGRTMIN, value);
    kill(getpid(), SIGUSR1);
    check(poll(&one, 1, 0) == 1, "a signal is");
    check(read(file, info, 10) == -1 && errno == EINVAL, "no part of one is read");
    check(read(file, info, sizeof info) == 3 * sizeof *info && info[0].ssi_signo == SIGUSR1 &&
              info[0].ssi_pid == (unsigned)getpid() && (int)info[1].ssi_signo == SIGRTMIN &&
              info[1].ssi_int == 42 && info[1].ssi_code == SI_QUEUE,
          "several are read at once, with what was sent");
    // What is sent to one thread no other one reads.
    pthread_t thread;
    raise(SIGUSR2);
    check(pthread_create(&thread, NULL, reads_own, NULL) == 0, "a thread");
    void *got;
    pthread_join(thread, &got);
    check((long)got == 1, "reads its own");
    check(read(file, info, sizeof info) == sizeof *info, "the other one is left");
    // A child reads its signals, not those of its parent.
    kill(getpid(), SIGUSR1);
    pid_t child = fork();
    if (child == 0) {
        if (read(file, info, sizeof info) != -1 || errno != EAGAIN) _exit(1);
        struct pollfd mine = {.fd = file, .events = POLLIN};
        if (poll(&mine, 1, 5000) != 1) _exit(2);
        _exit(read(file, info, sizeof info) == sizeof *info && info->ssi_signo == SIGUSR2 ? 0 : 3);
    }
    usleep(50000);
    kill(child, SIGUSR2);
    int status;
    waitpid(child, &status, 0);
    check(status == 0, "a child reads its own, too");
    check(read(file, info, sizeof info) == sizeof *info && info->ssi_signo == SIGUSR1,
          "the parent its own");
    // A wait for one is ended by a handler for another, or starts again.
    fcntl(file, F_SETFL, 0);
    child = fork();
    if (child == 0) {
        on(SIGALRM, SA_RESTART);
        on(SIGCHLD, 0);
        struct itimerval soon = {.it_value.tv_usec = 30000};
        setitimer(ITIMER_REAL, &soon, NULL);
        if (fork() == 0) usleep(90000), kill(getppid(), SIGUSR1), usleep(50000), _exit(0);
        if (read(file, info, sizeof *info) != sizeof *info || caught[SIGALRM] != 1) _exit(1);
        if (read(file, info, sizeof *info) != -1 || errno != EINTR || !caught[SIGCHLD]) _exit(2);
        _exit(0);
    }
    waitpid(child, &status, 0);
    check(status == 0, "a handler decides whether a read starts again");
    close(file);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static int told(int number) {
    for (int i = 0; i < 100 && !caught[number]; i++) usleep(5000);
    int times = caught[number];
    caught[number] = 0;
    return times;
}

static void asynchronous(int fd, int other, int is_terminal, const char *what) {
    char text[128], byte[4];
    int flags = fcntl(fd, F_GETFL);
    on(SIGIO, 0);
    on(SIGRTMIN + 1, 0);
    caught[SIGIO] = 0;
    if (is_terminal == 0) {
        fcntl(fd, F_SETFL, flags | O_ASYNC);
        if (write(other, "0\n", 2) != 2) exit(1);
        usleep(20000);
        snprintf(text, sizeof text, "%s: nobody was named", what);
        check(!caught[SIGIO], text);
        fcntl(fd, F_SETFL, flags);
        if (read(fd, byte, 4) <= 0) exit(1);
    }
    check(fcntl(fd, F_SETOWN, getpid()) == 0 && fcntl(fd, F_GETOWN) == getpid(), "an owner");
    check(fcntl(fd, F_SETFL, flags | O_ASYNC) == 0 && fcntl(fd, F_GETFL) & O_ASYNC, "is to be told");
    if (write(other, "1\n", 2) != 2) exit(1);
    snprintf(text, sizeof text, "%s: input is told", what);
    check(told(SIGIO) >= 1 && last.si_code == SI_KERNEL, text);
    if (read(fd, byte, 4) <= 0) exit(1);
    check(fcntl(fd, F_SETSIG, SIGRTMIN + 1) == 0 && fcntl(fd, F_GETSIG) == SIGRTMIN + 1, "a signal");
    caught[SIGIO] = caught[SIGRTMIN + 1] = 0;
    if (write(other, "2\n", 2) != 2) exit(1);
    snprintf(text, sizeof text, "%s: with the reason", what);
    check(told(SIGRTMIN + 1) >= 1 && last.si_code == POLL_IN && last.si_fd == fd &&
              last.si_band & POLLIN,
          text);
    if (read(fd, byte, 4) <= 0) exit(1);
    struct f_owner_ex record = {.type = F_OWNER_TID, .pid = gettid()}, got;
    check(fcntl(fd, F_SETOWN_EX, &record) == 0 && fcntl(fd, F_GETOWN_EX, &got) == 0 &&
              got.type == F_OWNER_TID && got.pid == gettid(),
          "a thread");
    caught[SIGRTMIN + 1] = 0;
    if (write(other, "3\n", 2) != 2) exit(1);
    check(told(SIGRTMIN + 1) >= 1, "is told");
    fcntl(fd, F_SETSIG, 0);
    check(fcntl(fd, F_SETOWN, -getpgrp()) == 0, "a group");
    caught[SIGIO] = 0;
    if (write(other, "4\n", 2) != 2) exit(1);
    check(told(SIGIO) >= 1, "is told, too");
    int off = 0;
    check(ioctl(fd, FIOASYNC, &off) == 0 && !(fcntl(fd, F_GETFL) & O_ASYNC), "enough");
    usleep(20000);
    caught[SIGIO] = 0;
    if (write(other, "5\n", 2) != 2) exit(1);
    usleep(20000);
    snprintf(text, sizeof text, "%s: nothing is told any more", what);
    check(!caught[SIGIO], text);
}

static void files(void) {
    int ends[2];
    setpgid(0, 0);
    if (pipe(ends) != 0) exit(1);
    check(fcntl(ends[0], F_SETOWN, 30000) == -1 && errno == ESRCH, "somebody must be there");
    asynchronous(ends[0], ends[1], 0, "a pipe");
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) exit(1);
    asynchronous(ends[0], ends[1], 0, "a socket");
    if (openpty(&ends[0], &ends[1], NULL, NULL, NULL) != 0) exit(1);
    asynchronous(ends[1], ends[0], 1, "a terminal");
    asynchronous(ends[0], ends[1], 1, "a terminal emulator");
    // A signal would make it ready, and that would be a signal.
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    int fd = signalfd(-1, &set, 0);
    caught[SIGIO] = 0;
    check(fcntl(fd, F_SETOWN, getpid()) == 0 && fcntl(fd, F_SETFL, O_ASYNC) == 0 && !(fcntl(fd, F_GETFL) & O_ASYNC),
          "a signal file tells nobody");
    raise(SIGIO);
    check(caught[SIGIO] == 1, "of a signal");
    close(fd);
}

// As the kernel has it.
struct raw_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};
enum { RESTORER = 0x4000000, UNSUPPORTED = 0x400 };

static void nothing(int number) { (void)number; }
static int order[2], orders;
static void notes_order(int number) { order[orders++] = number; }

static int status_of(void (*body)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) body(), _exit(0);
    int status;
    waitpid(child, &status, 0);
    return status;
}

static void returns_nowhere(void) {
    struct raw_action action = {nothing, 0, NULL, 0};
    if (syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 8) == 0) raise(SIGUSR1);
}

static void faults_without_stack(void) {
    signal(SIGILL, nothing);
    __asm__ volatile("xor %%esp, %%esp\n\tud2" ::: "memory");
}

static void actions(void) {
    struct raw_action action = {nothing, RESTORER | UNSUPPORTED, NULL, ~0ul}, old;
    syscall(SYS_rt_sigaction, SIGUSR2, &action, NULL, 8);
    syscall(SYS_rt_sigaction, SIGUSR2, NULL, &old, 8);
    check(old.flags == RESTORER, "a flag that there is not is not kept");
    check(old.mask == ~(1ul << (SIGKILL - 1) | 1ul << (SIGSTOP - 1)), "nor what cannot be blocked");
    check(status_of(returns_nowhere) == SIGSEGV, "a handler that could not return does not run");
    check(status_of(faults_without_stack) == SIGSEGV, "nor one that has no stack");

    sigset_t both, before;
    sigemptyset(&both);
    sigaddset(&both, SIGHUP), sigaddset(&both, SIGSEGV);
    signal(SIGHUP, notes_order), signal(SIGSEGV, notes_order);
    sigprocmask(SIG_BLOCK, &both, &before);
    raise(SIGHUP), raise(SIGSEGV);
    unsigned char pending[8];
    memset(pending, 0xaa, sizeof pending);
    check(syscall(SYS_rt_sigpending, pending, 4) == 0 && pending[0] == 1 && pending[1] == 4 && pending[4] == 0xaa,
          "as much is told of what waits as there is room for");
    sigprocmask(SIG_SETMASK, &before, NULL);
    // Each handler is entered before the one that came first goes on.
    check(orders == 2 && order[0] == SIGHUP && order[1] == SIGSEGV, "a fault is told of first");
    signal(SIGHUP, SIG_DFL), signal(SIGSEGV, SIG_DFL);
}

static volatile pid_t taker;
static volatile int is_over;
static void notes_taker(int number) {
    (void)number;
    taker = syscall(SYS_gettid);
}
static void *spins(void *unused) {
    while (!is_over) {}
    return unused;
}

// A signal for the process is for its first thread; for another, if that one blocks it.
static void takers(void) {
    pthread_t thread;
    sigset_t set, before;
    int ends[2], others = pipe(ends);
    char byte = 0;
    signal(SIGUSR1, notes_taker);
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    pthread_create(&thread, NULL, spins, NULL);
    for (int round = 0; round < 20; round++) {
        int blocks = round % 2;
        fflush(stdout);
        sigprocmask(blocks ? SIG_BLOCK : SIG_UNBLOCK, &set, &before);
        taker = 0;
        pid_t child = fork();
        // Not before `fork` has returned here: it blocks all signals.
        if (child == 0) _exit(read(ends[0], &byte, 1) != 1 || kill(getppid(), SIGUSR1));
        if (write(ends[1], &byte, 1) != 1) others++;
        while (!taker) usleep(500);
        others += (taker == getpid()) == blocks;
        waitpid(child, NULL, 0);
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    is_over = 1;
    pthread_join(thread, NULL);
    close(ends[0]), close(ends[1]);
    check(others == 0, "a signal is for the first thread that does not block it");
    signal(SIGUSR1, SIG_DFL);
}

// A deadline that a stop has kept is not that of another call.
static int sleeps_until_and_polls(void) {
    if (sleeps_until() != 0) return 1;
    long before = now_ms();
    poll(NULL, 0, 100);
    return now_ms() - before < 95;
}

int main(void) {
    alarm(60);
    waits();
    stops("a deadline is for one call", sleeps_until_and_polls, 0, 0);
    actions();
    takers();
    masks();
    falls_off();
    alignment();
    vectors();
    writers();
    awaited();
    signal_files();
    files();
    return 0;
}
