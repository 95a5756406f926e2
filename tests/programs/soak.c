// Processes and threads by the hundred: nothing may grow. Arguments: how many spawns, forks and
// threads. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)

extern char **environ;
static const char *self = "/bin/program";

static void wait_for(pid_t pid) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void spawn(void) {
    char *argv[] = {"program", 0};
    char *env[] = {"SOAK=end", 0};
    pid_t pid;
    CHECK(posix_spawn(&pid, self, 0, 0, argv, env) == 0);
    wait_for(pid);
}

static void fork_and_exec(void) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char *argv[] = {"program", 0};
        char *env[] = {"SOAK=end", 0};
        execve(self, argv, env);
        _exit(1);
    }
    wait_for(pid);
}

static void fork_and_exit(void) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) _exit(0);
    wait_for(pid);
}

static void *nothing(void *argument) { return argument; }

static void thread(void) {
    pthread_t id;
    CHECK(pthread_create(&id, 0, nothing, 0) == 0);
    CHECK(pthread_join(id, 0) == 0);
}

// What the LibOS counts.
struct use { long processes, threads, claimed, spare, heap; };

static struct use in_use(void) {
    struct use use;
    FILE *file = fopen("/proc/occlum", "r");
    CHECK(file != 0);
    CHECK(fscanf(file, "processes %ld threads %ld claimed_bytes %ld spare_bytes %ld heap_bytes %ld",
                 &use.processes, &use.threads, &use.claimed, &use.spare, &use.heap) == 5);
    fclose(file);
    return use;
}

static int descriptors(void) {
    int number = 0;
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder != 0);
    while (readdir(folder)) number++;
    closedir(folder);
    return number;
}

static void soak(const char *name, void (*action)(void), int times) {
    // The first times also take what is kept: buffers, resting threads.
    for (int i = 0; i < 20; i++) action();
    in_use();
    descriptors();
    int open_before = descriptors();
    struct use before = in_use();
    for (int i = 0; i < times; i++) action();
    struct use after = in_use();
    // The enclave thread of the last one may still be clearing up, so the heap has some play.
    long grown = after.heap - before.heap;
    int same = before.processes == after.processes && before.threads == after.threads
        && before.claimed == after.claimed && before.spare == after.spare;
    if (!same || grown > 16384) {
        dprintf(2, "%s changed what is in use: processes %ld to %ld, threads %ld to %ld, claimed %ld "
                "to %ld, spare %ld to %ld, heap %ld to %ld\n", name, before.processes, after.processes,
                before.threads, after.threads, before.claimed, after.claimed, before.spare, after.spare,
                before.heap, after.heap);
        _exit(1);
    }
    CHECK(descriptors() == open_before);
}

int main(int argc, char **argv) {
    if (getenv("SOAK")) return 0;
    CHECK(argc == 4);
    soak("spawn", spawn, atoi(argv[1]));
    soak("fork and exec", fork_and_exec, atoi(argv[2]));
    soak("fork", fork_and_exit, atoi(argv[2]));
    soak("thread", thread, atoi(argv[3]));
    puts("nothing has grown");
    return 0;
}
