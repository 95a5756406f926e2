// Starts a program some times, one after another: the best time from start to reaped.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

int main(int count, char **words) {
    if (count < 4) return 2;
    double best = 1e18;
    for (int left = atoi(words[2]); left >= 0; left--) {
        double begin = now();
        pid_t child;
        int status;
        if (posix_spawn(&child, words[3], 0, 0, words + 3, environ)) return 1;
        if (waitpid(child, &status, 0) != child || status) return 1;
        if (now() - begin < best) best = now() - begin;
    }
    fprintf(stderr, "%s, ms: %.3f\n", words[1], best);
    return 0;
}
