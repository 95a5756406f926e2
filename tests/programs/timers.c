// Signals that reach code which makes no system call, timers of every kind, and files made of them.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t count, code, value;
static volatile int spinning; // the thread that computes

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    code = info->si_code;
    value = info->si_value.sival_int;
    count++;
}

static void handle(int signal, int flags)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal, &action, NULL);
    count = 0;
}

static void check(int holds, const char *what)
{
    if (!holds) {
        printf("NOT %s (errno %d, count %d, code %d)\n", what, errno, (int)count, (int)code);
        fflush(stdout);
        exit(1);
    }
}

static double now(clockid_t clock)
{
    struct timespec time;
    check(clock_gettime(clock, &time) == 0, "a clock that shows time");
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// Computes until `count` is at least `wanted`: no system call between two looks.
static void spin_until(int wanted)
{
    while (count < wanted) {
    }
}

static void *spin(void *unused)
{
    spinning = (int)syscall(SYS_gettid);
    spin_until(1);
    return unused;
}

int main(void)
{
    struct itimerval soon = {.it_value = {0, 20000}}, often = {{0, 2000}, {0, 2000}}, off = {{0}};
    struct itimerval left;

    handle(SIGALRM, 0);
    setitimer(ITIMER_REAL, &soon, NULL);
    spin_until(1);
    check(code == SI_KERNEL, "an alarm of the kernel");
    setitimer(ITIMER_REAL, &often, NULL);
    spin_until(20);
    check(getitimer(ITIMER_REAL, &left) == 0 && left.it_interval.tv_usec == 2000, "a period");
    setitimer(ITIMER_REAL, &off, NULL);
    check(alarm(100) == 0 && alarm(0) == 100, "an alarm that tells what was left");

    handle(SIGPROF, SA_RESTART);
    setitimer(ITIMER_PROF, &often, NULL);
    spin_until(5);
    setitimer(ITIMER_PROF, &off, NULL);

    // A thread that only computes gets a signal from another.
    handle(SIGUSR1, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, spin, NULL);
    while (!spinning)
        usleep(100);
    union sigval payload = {.sival_int = 42};
    siginfo_t queued = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .si_value = payload};
    syscall(SYS_rt_tgsigqueueinfo, getpid(), spinning, SIGUSR1, &queued);
    pthread_join(thread, NULL);
    check(code == SI_QUEUE && value == 42, "a queued signal with its value");
    puts("signals reach code that makes no system call");

    // POSIX timers.
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    event.sigev_value.sival_int = 7;
    handle(SIGRTMIN, 0);
    check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "a timer");
    struct itimerspec fast = {{0, 1000000}, {0, 1000000}}, none = {{0}}, rest;
    timer_settime(timer, 0, &fast, NULL);
    spin_until(5);
    check(code == SI_TIMER && value == 7, "a timer's signal with its value");
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, &before);
    usleep(30000);
    timer_settime(timer, 0, &none, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    check(timer_gettime(timer, &rest) == 0 && rest.it_value.tv_nsec == 0, "a timer that stands");
    check(timer_delete(timer) == 0 && timer_delete(timer) < 0, "a timer that is gone");
    // By number: libcs make a thread of it.
    int number;
    value = 0;
    event.sigev_notify = SIGEV_THREAD;
    check(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &number) == 0, "a timer of a thread");
    syscall(SYS_timer_settime, number, 0, &fast, NULL);
    while (value != 7) usleep(1000);
    check(syscall(SYS_timer_delete, number) == 0, "is a timer with a signal");
    event.sigev_notify = SIGEV_NONE;
    int next;
    check(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &next) == 0, "another comes");
    check(next > number && syscall(SYS_timer_delete, next) == 0, "which has not its number");
    check(timer_create(CLOCK_REALTIME, &event, &timer) == 0, "a silent timer");
    struct itimerspec later = {{0, 0}, {time(NULL) + 100, 0}};
    timer_settime(timer, TIMER_ABSTIME, &later, NULL);
    timer_gettime(timer, &rest);
    check(rest.it_value.tv_sec >= 98 && rest.it_value.tv_sec <= 100, "a moment on the wall's clock");
    puts("timers count, and stop");

    // timerfd.
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    uint64_t expirations = 0;
    timerfd_settime(fd, 0, &fast, NULL);
    struct pollfd wait = {fd, POLLIN, 0};
    check(poll(&wait, 1, 5000) == 1, "a timer that is ready");
    check(read(fd, &expirations, 8) == 8 && expirations >= 1, "a timer to read");
    // A signal of the timer that is gone may still have been under way.
    struct timespec nap = {0, 20000000};
    while (nanosleep(&nap, &nap) != 0 && errno == EINTR) {}
    check(read(fd, &expirations, 8) == 8 && expirations >= 10, "expirations that add up");
    close(fd);

    // signalfd.
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct signalfd_siginfo info;
    check(read(fd, &info, sizeof info) < 0 && errno == EAGAIN, "no signal yet");
    payload.sival_int = 99;
    sigqueue(getpid(), SIGUSR2, payload);
    wait.fd = fd;
    check(poll(&wait, 1, 5000) == 1, "a signal to read");
    check(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR2 &&
              info.ssi_int == 99 && info.ssi_pid == (uint32_t)getpid(), "the signal's record");
    close(fd);

    // sigtimedwait and sigsuspend.
    struct timespec short_time = {0, 10000000};
    siginfo_t taken;
    check(sigtimedwait(&set, &taken, &short_time) < 0 && errno == EAGAIN, "no signal in time");
    kill(getpid(), SIGUSR2);
    check(sigtimedwait(&set, &taken, &short_time) == SIGUSR2 && taken.si_code == SI_USER, "a signal taken");
    puts("timers and signals are files, too");

    // Clocks.
    double wall = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID);
    double own = now(CLOCK_THREAD_CPUTIME_ID);
    usleep(50000);
    check(now(CLOCK_MONOTONIC) - wall >= 0.05, "time that passes");
    check(now(CLOCK_PROCESS_CPUTIME_ID) - used < 0.045, "sleep that uses no processor");
    while (now(CLOCK_THREAD_CPUTIME_ID) - own < 0.02) {
    }
    check(now(CLOCK_PROCESS_CPUTIME_ID) - used >= 0.019, "processor time that is used");
    struct rusage usage;
    struct tms ticks;
    check(getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_utime.tv_sec < 60, "usage");
    check(times(&ticks) != (clock_t)-1, "ticks");
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    moment.tv_nsec += 20000000;
    if (moment.tv_nsec >= 1000000000) {
        moment.tv_nsec -= 1000000000;
        moment.tv_sec++;
    }
    check(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL) == 0, "sleep until a moment");
    // With this personality the kernel does not say how much of a time is left.
    struct timeval time = {0, 1000};
    check(personality(STICKY_TIMEOUTS) == 0, "a personality");
    check(syscall(SYS_select, 0, NULL, NULL, NULL, &time) == 0 && time.tv_usec == 1000, "a time that stays");
    check(personality(PER_LINUX) == STICKY_TIMEOUTS, "the usual one");
    check(syscall(SYS_select, 0, NULL, NULL, NULL, &time) == 0 && time.tv_usec == 0, "a time that is used up");
    puts("clocks agree with each other");
    return 0;
}
