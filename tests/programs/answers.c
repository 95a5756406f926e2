// Calls whose answers the LibOS knows ahead: they are those of the moment all the same, and signals come
// between them. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)

extern char **environ;

// Often enough that the answer is known ahead, whatever came before.
static long ask(long number) {
    long answer = syscall(number);
    for (int i = 0; i < 100; i++) CHECK(syscall(number) == answer);
    return answer;
}

static void wait_for(pid_t pid) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

// Asks until the answer is another one.
static void until(long number, long other) {
    while (syscall(number) != other) {}
}

static void orphans_have_another_parent(void) {
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pid_t own = getpid();
        if (fork() == 0) {
            CHECK(ask(SYS_getppid) == own);
            CHECK(write(ends[1], "", 1) == 1);
            // Nothing but these calls, until the parent has gone.
            until(SYS_getppid, 1);
            CHECK(ask(SYS_getppid) == 1);
            CHECK(write(ends[1], "", 1) == 1);
            _exit(0);
        }
        CHECK(read(ends[0], &byte, 1) == 1);
        _exit(0);
    }
    wait_for(child);
    CHECK(read(ends[0], &byte, 1) == 1);
    CHECK(wait(0) > 0);
}

static void a_parent_sets_the_group(void) {
    int ends[2];
    char byte;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(ask(SYS_getpgrp) != getpid());
        CHECK(write(ends[1], "", 1) == 1);
        until(SYS_getpgrp, getpid());
        CHECK(setsid() == -1 && errno == EPERM);
        _exit(0);
    }
    CHECK(read(ends[0], &byte, 1) == 1);
    CHECK(setpgid(child, child) == 0);
    wait_for(child);
    if ((child = fork()) == 0) {
        ask(SYS_getpgrp);
        CHECK(setsid() == getpid() && ask(SYS_getpgrp) == getpid());
        _exit(0);
    }
    wait_for(child);
}

static void forks_and_programs_have_ids_of_their_own(void) {
    long pid = ask(SYS_getpid);
    for (int i = 0; i < 20; i++) {
        pid_t child = i % 2 ? fork() : vfork();
        CHECK(child >= 0);
        if (child == 0) {
            CHECK(syscall(SYS_getpid) != pid && syscall(SYS_getppid) == pid);
            CHECK(ask(SYS_gettid) == ask(SYS_getpid));
            _exit(0);
        }
        CHECK(syscall(SYS_getpid) == pid && ask(SYS_getpid) == pid);
        wait_for(child);
    }
}

static void *become_the_only_thread(void *argument) {
    (void)argument;
    char expected[16];
    CHECK(ask(SYS_gettid) != ask(SYS_getpid));
    snprintf(expected, sizeof expected, "%ld", ask(SYS_getpid));
    execve("/bin/program", (char *[]){"program", expected, 0}, environ);
    _exit(1);
}

static void a_thread_that_starts_a_program_is_the_first(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pthread_t thread;
        ask(SYS_gettid);
        CHECK(pthread_create(&thread, 0, become_the_only_thread, 0) == 0);
        for (;;) pause();
    }
    wait_for(child);
}

static void *be_another_user(void *argument) {
    // The call alone, which changes this thread and no other.
    CHECK(ask(SYS_getuid) == 0 && ask(SYS_getegid) == 0);
    CHECK(syscall(SYS_setresgid, -1, 7, -1) == 0 && ask(SYS_getegid) == 7 && ask(SYS_getgid) == 0);
    CHECK(syscall(SYS_setresuid, 8, 8, 8) == 0);
    CHECK(ask(SYS_getuid) == 8 && ask(SYS_geteuid) == 8);
    return argument;
}

static void users_are_those_of_the_thread(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pthread_t thread;
        CHECK(ask(SYS_geteuid) == 0);
        CHECK(pthread_create(&thread, 0, be_another_user, 0) == 0 && pthread_join(thread, 0) == 0);
        CHECK(ask(SYS_getuid) == 0 && ask(SYS_geteuid) == 0 && ask(SYS_getegid) == 0);
        CHECK(syscall(SYS_setreuid, -1, 9) == 0);
        CHECK(ask(SYS_getuid) == 0 && ask(SYS_geteuid) == 9);
        _exit(0);
    }
    wait_for(child);
}

static volatile int seen;
static pthread_t caller;

static void see(int signal) { (void)signal; seen++; }

static void *send_signals(void *argument) {
    for (int sent = 0; sent < 2000; sent++) {
        int before = seen;
        CHECK(pthread_kill(caller, SIGUSR1) == 0);
        while (seen == before) {}
    }
    return argument;
}

static void signals_come_between(void) {
    pthread_t thread;
    signal(SIGUSR1, see);
    caller = pthread_self();
    seen = 0;
    CHECK(pthread_create(&thread, 0, send_signals, 0) == 0);
    pid_t pid = getpid();
    while (seen < 2000) CHECK(syscall(SYS_getpid) == pid && syscall(SYS_getppid) == 0);
    CHECK(pthread_join(thread, 0) == 0);
    // And one that ends it.
    pid_t child = fork();
    if (child == 0) for (;;) syscall(SYS_getppid);
    CHECK(kill(child, SIGKILL) == 0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
}

int main(int argc, char **argv) {
    if (argc > 1) {
        CHECK(ask(SYS_gettid) == atol(argv[1]) && ask(SYS_getpid) == atol(argv[1]));
        return 0;
    }
    orphans_have_another_parent();
    a_parent_sets_the_group();
    forks_and_programs_have_ids_of_their_own();
    a_thread_that_starts_a_program_is_the_first();
    users_are_those_of_the_thread();
    signals_come_between();
    puts("answers of the moment");
    return 0;
}
