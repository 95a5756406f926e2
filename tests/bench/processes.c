// Times of making processes. Runs on the host and in an enclave; the arguments are the path of this
// program, that of a dynamic one which does nothing, and, for a profile, what alone is to be measured and
// how often.
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static const char *self, *dynamic_program, *wanted;
static int wanted_count;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static void must(int good, const char *what) {
    if (!good) { perror(what); exit(1); }
}

static void wait_for(pid_t pid) {
    int status;
    must(waitpid(pid, &status, 0) == pid && status == 0, "waitpid");
}

static void spawn_static(void) {
    char *argv[] = {(char *)self, "end", 0};
    pid_t pid;
    must(posix_spawn(&pid, self, 0, 0, argv, environ) == 0, "posix_spawn");
    wait_for(pid);
}

static void spawn_dynamic(void) {
    char *argv[] = {(char *)dynamic_program, "end", 0};
    pid_t pid;
    must(posix_spawn(&pid, dynamic_program, 0, 0, argv, environ) == 0, "posix_spawn");
    wait_for(pid);
}

static void fork_exec(void) {
    char *argv[] = {(char *)self, "end", 0};
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) { execv(self, argv); _exit(1); }
    wait_for(pid);
}

static void fork_exit(void) {
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) _exit(0);
    wait_for(pid);
}

static int ends[2][2];
static char byte;

static void ping_pong(void) {
    must(write(ends[0][1], &byte, 1) == 1 && read(ends[1][0], &byte, 1) == 1, "pipe");
}

static void measure(const char *name, void (*action)(void), int count) {
    if (wanted) {
        if (strcmp(name, wanted) != 0) return;
        count = wanted_count;
    }
    action();
    double best = 1e18;
    for (int round = 0; round < 5; round++) {
        double start = now();
        for (int i = 0; i < count; i++) action();
        double each = (now() - start) / count;
        if (each < best) best = each;
    }
    printf("%s, us: %.2f\n", name, best / 1000);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "end") == 0) return 0;
    must(argc > 2, "usage: processes SELF DYNAMIC");
    self = argv[1];
    dynamic_program = argv[2];
    if (argc > 4) {
        wanted = argv[3];
        wanted_count = atoi(argv[4]);
    }
    measure("spawn, static", spawn_static, 100);
    measure("spawn, dynamic", spawn_dynamic, 20);
    measure("fork and exit", fork_exit, 100);
    measure("fork and exec", fork_exec, 100);
    volatile char *block = malloc(1 << 20);
    for (int at = 0; at < 1 << 20; at++) block[at] = 1;
    measure("fork and exec, 1 MiB written", fork_exec, 50);
    free((void *)block);
    block = malloc(4 << 20);
    for (int at = 0; at < 1 << 20; at++) block[at] = 1;
    measure("fork and exec, 1 of 4 MiB written", fork_exec, 50);
    for (int at = 0; at < 4 << 20; at++) block[at] = 2;
    measure("fork and exec, 4 MiB written", fork_exec, 50);
    must(pipe(ends[0]) == 0 && pipe(ends[1]) == 0, "pipe");
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0][1]);
        while (read(ends[0][0], &byte, 1) == 1) must(write(ends[1][1], &byte, 1) == 1, "pipe");
        _exit(0);
    }
    measure("parent and child of 4 MiB by turns", ping_pong, 50);
    close(ends[0][1]);
    wait_for(pid);
    return 0;
}
