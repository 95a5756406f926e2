// Times of pipes, unix sockets and event counters between two threads. Runs on the host and in an
// enclave.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static void must(int good, const char *what) {
    if (!good) { perror(what); exit(1); }
}

enum { ROUNDS = 20000, CHUNK = 128 * 1024 };
static const size_t TOTAL = (size_t)1 << 28;

// A ball goes from `there` to `back` and again: two descriptors for each side.
struct table { int from_here, to_there, from_there, to_here, size; };

static void *play(void *argument) {
    struct table *table = argument;
    char ball[8];
    for (int i = 0; i < ROUNDS; i++) {
        must(read(table->from_there, ball, table->size) == table->size, "read");
        must(write(table->to_here, ball, table->size) == table->size, "write");
    }
    return 0;
}

static void ping_pong(const char *name, struct table table) {
    pthread_t other;
    char ball[8] = {1};
    must(pthread_create(&other, 0, play, &table) == 0, "pthread_create");
    double before = now();
    for (int i = 0; i < ROUNDS; i++) {
        must(write(table.to_there, ball, table.size) == table.size, "write");
        must(read(table.from_here, ball, table.size) == table.size, "read");
    }
    printf("%s ping-pong, us: %.3f\n", name, (now() - before) / ROUNDS / 1000);
    pthread_join(other, 0);
}

static void *pour(void *argument) {
    int fd = *(int *)argument;
    char *bytes = calloc(1, CHUNK);
    for (size_t done = 0; done < TOTAL; done += CHUNK)
        must(write(fd, bytes, CHUNK) == CHUNK, "write");
    free(bytes);
    return 0;
}

static void throughput(const char *name, int from, int to) {
    pthread_t other;
    char *bytes = malloc(CHUNK);
    memset(bytes, 1, CHUNK);
    must(pthread_create(&other, 0, pour, &to) == 0, "pthread_create");
    double before = now();
    for (size_t done = 0; done < TOTAL;) {
        ssize_t count = read(from, bytes, CHUNK);
        must(count > 0, "read");
        done += count;
    }
    printf("%s throughput, MB/s: %.0f\n", name, TOTAL / ((now() - before) / 1e9) / 1e6);
    pthread_join(other, 0);
    free(bytes);
}

static void alone(const char *name, int from, int to) {
    char byte[1] = {1};
    double before = now();
    for (int i = 0; i < ROUNDS * 10; i++)
        must(write(to, byte, 1) == 1 && read(from, byte, 1) == 1, "write and read");
    printf("%s write and read of a byte in one thread, ns: %.0f\n", name,
           (now() - before) / ROUNDS / 10);
}

static void wait_in_epoll(void) {
    int poll = epoll_create1(0), counter = eventfd(0, EFD_NONBLOCK);
    struct epoll_event event = {EPOLLIN | EPOLLET, {0}};
    must(epoll_ctl(poll, EPOLL_CTL_ADD, counter, &event) == 0, "epoll_ctl");
    double before = now();
    for (int i = 0; i < ROUNDS * 10; i++) {
        must(eventfd_write(counter, 1) == 0, "eventfd_write");
        must(epoll_wait(poll, &event, 1, -1) == 1, "epoll_wait");
    }
    printf("epoll_wait for an eventfd that is ready, ns: %.0f\n", (now() - before) / ROUNDS / 10);
}

int main(void) {
    int one[2], other[2];
    must(pipe(one) == 0 && pipe(other) == 0, "pipe");
    alone("pipe", one[0], one[1]);
    ping_pong("pipe", (struct table){other[0], one[1], one[0], other[1], 1});
    throughput("pipe", one[0], one[1]);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, one) == 0, "socketpair");
    alone("stream socket", one[0], one[1]);
    ping_pong("stream socket", (struct table){one[0], one[0], one[1], one[1], 1});
    throughput("stream socket", one[0], one[1]);
    must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, other) == 0, "socketpair");
    ping_pong("packet socket", (struct table){other[0], other[0], other[1], other[1], 1});
    one[0] = eventfd(0, 0), one[1] = eventfd(0, 0);
    ping_pong("eventfd", (struct table){one[0], one[1], one[1], one[0], 8});
    wait_in_epoll();
    return 0;
}
