// Processes with posix_spawn, vfork and execve. The exit status is the line of the first check that
// fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <pthread.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)

extern char **environ;
static const char *self = "/bin/program";

static pid_t spawn(const char *path, char *const argv[], int out) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (out >= 0) posix_spawn_file_actions_adddup2(&actions, out, 1);
    pid_t pid;
    int error = posix_spawn(&pid, path, &actions, 0, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    errno = error;
    return error ? -1 : pid;
}

static void read_all(int fd, char *text, size_t size) {
    size_t done = 0;
    ssize_t count;
    while ((count = read(fd, text + done, size - 1 - done)) > 0) done += count;
    text[done] = 0;
}

static int wait_for(pid_t pid) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static void statuses(void) {
    char *argv[] = {"program", "exit", "7", 0};
    int status = wait_for(spawn(self, argv, -1));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    argv[1] = "abort";
    status = wait_for(spawn(self, argv, -1));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    argv[1] = "fault";
    status = wait_for(spawn(self, argv, -1));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(spawn("/bin/missing", argv, -1) == -1 && errno == ENOENT);
    CHECK(waitpid(-1, 0, 0) == -1 && errno == ECHILD);
}

static void pipes(void) {
    int ends[2];
    char text[256];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    char *argv[] = {"program", "say", "many words", 0};
    pid_t pid = spawn(self, argv, ends[1]);
    CHECK(pid > 1);
    close(ends[1]);
    read_all(ends[0], text, sizeof text);
    close(ends[0]);
    CHECK(strcmp(text, "many words\n") == 0);
    CHECK(wait_for(pid) == 0);
}

static void scripts(void) {
    int ends[2];
    char text[256];
    int fd = open("/tmp/script", O_CREAT | O_WRONLY, 0755);
    dprintf(fd, "#! /bin/program  say\nnothing\n");
    close(fd);
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    char *argv[] = {"ignored", "x", 0};
    pid_t pid = spawn("/tmp/script", argv, ends[1]);
    CHECK(pid > 1);
    close(ends[1]);
    read_all(ends[0], text, sizeof text);
    close(ends[0]);
    CHECK(strcmp(text, "/tmp/script\n") == 0);
    CHECK(wait_for(pid) == 0);
}

static void signals(void) {
    char *argv[] = {"program", "pause", 0};
    pid_t pid = spawn(self, argv, -1);
    CHECK(waitpid(pid, 0, WNOHANG) == 0);
    CHECK(kill(pid, 0) == 0);
    CHECK(kill(pid, SIGTERM) == 0);
    int status = wait_for(pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK(kill(pid, 0) == -1 && errno == ESRCH);
}

static volatile sig_atomic_t children;
static void on_child(int signal, siginfo_t *info, void *context) {
    (void)signal; (void)context;
    children += info->si_status;
}

static void notices(void) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART};
    CHECK(sigaction(SIGCHLD, &action, 0) == 0);
    char *argv[] = {"program", "exit", "5", 0};
    CHECK(WEXITSTATUS(wait_for(spawn(self, argv, -1))) == 5);
    CHECK(children == 5);
    signal(SIGCHLD, SIG_DFL);
}

static void *sleeper(void *unused) {
    (void)unused;
    for (;;) pause();
}

// Other threads end when one of them runs another program.
static void threads(void) {
    char *argv[] = {"program", "threads", 0};
    int status = wait_for(spawn(self, argv, -1));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

static void borrowed(void) {
    volatile int seen = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        seen = 1;
        _exit(3);
    }
    CHECK(pid > 0 && seen == 1);
    CHECK(WEXITSTATUS(wait_for(pid)) == 3);
}

static void many(void) {
    char *argv[] = {"program", "exit", "0", 0};
    for (int i = 0; i < 300; i++) CHECK(wait_for(spawn(self, argv, -1)) == 0);
    pid_t pids[5];
    for (int i = 0; i < 5; i++) pids[i] = spawn(self, argv, -1);
    for (int i = 0; i < 5; i++) CHECK(wait_for(pids[i]) == 0);
}

static int child(int argc, char **argv) {
    if (strcmp(argv[1], "exit") == 0) return atoi(argv[2]);
    if (strcmp(argv[1], "abort") == 0) abort();
    if (strcmp(argv[1], "fault") == 0) *(volatile int *)8 = 1;
    if (strcmp(argv[1], "say") == 0) puts(argv[2]);
    if (strcmp(argv[1], "pause") == 0) for (;;) pause();
    if (strcmp(argv[1], "threads") == 0) {
        pthread_t thread;
        for (int i = 0; i < 3; i++) CHECK(pthread_create(&thread, 0, sleeper, 0) == 0);
        char *next[] = {"program", "exit", "9", 0};
        execv(self, next);
        return 1;
    }
    (void)argc;
    return 0;
}

// What the ended had of memory is told to who waits for them.
static void memory_of_the_ended(void) {
    struct rusage usage = {0};
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(getrusage(RUSAGE_CHILDREN, &usage) == 0);
        _exit(usage.ru_maxrss != 0);
    }
    CHECK(wait4(child, &status, 0, &usage) == child && status == 0 && usage.ru_maxrss > 0);
    CHECK(getrusage(RUSAGE_CHILDREN, &usage) == 0 && usage.ru_maxrss > 0);
}

int main(int argc, char **argv) {
    if (argc > 1) return child(argc, argv);
    CHECK(getpid() == 1 && getppid() == 0);
    memory_of_the_ended();
    statuses();
    pipes();
    scripts();
    signals();
    notices();
    borrowed();
    threads();
    many();
    puts("a family of programs");
    return 0;
}
