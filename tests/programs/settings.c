// What /proc/sys lets the superuser set, and that the system goes by it. The exit status is the line of the
// first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_COPY  // musl does not name it
#define MSG_COPY 040000
#endif

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, number) CHECK((call) == -1 && errno == (number))

static const char *read_setting(const char *name) {
    static char text[100];
    snprintf(text, sizeof text, "/proc/sys/%s", name);
    int file = open(text, O_RDONLY);
    CHECK(file >= 0);
    ssize_t len = read(file, text, sizeof text - 1);
    CHECK(len > 0 && read(file, text + len, 1) == 0 && close(file) == 0);
    text[len] = 0;
    return text;
}

static int try(const char *name, const char *value) {
    char path[100];
    snprintf(path, sizeof path, "/proc/sys/%s", name);
    int file = open(path, O_WRONLY | O_TRUNC);
    if (file < 0) return -1;
    ssize_t len = write(file, value, strlen(value));
    CHECK(len == -1 || len == (ssize_t)strlen(value));
    int error = errno;
    close(file);
    errno = error;
    return len < 0 ? -1 : 0;
}

// Sets it, checks that it reads so.
static void set(const char *name, const char *value) {
    CHECK(try(name, value) == 0);
    CHECK(strcmp(read_setting(name), value) == 0);
}

static void shared_memory(void) {
    struct shminfo info;
    set("kernel/shmmax", "8192\n");
    CHECK(shmctl(0, IPC_INFO, (struct shmid_ds *)&info) >= 0 && info.shmmax == 8192);
    FAILS(shmget(IPC_PRIVATE, 8193, IPC_CREAT | 0600), EINVAL);
    int one = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);
    CHECK(one >= 0);
    set("kernel/shmall", "3\n");
    FAILS(shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600), ENOSPC);
    set("kernel/shmmni", "1\n");
    FAILS(shmget(IPC_PRIVATE, 100, IPC_CREAT | 0600), ENOSPC);
    CHECK(try("kernel/shmmni", "0x10\n") == 0 && atoi(read_setting("kernel/shmmni")) == 16);
    int other = shmget(IPC_PRIVATE, 100, IPC_CREAT | 0600);
    CHECK(other >= 0 && shmctl(one, IPC_RMID, NULL) == 0 && shmctl(other, IPC_RMID, NULL) == 0);
    CHECK(shmctl(0, IPC_INFO, (struct shmid_ds *)&info) >= 0 && info.shmmni == 16 && info.shmall == 3);
}

static void semaphores(void) {
    struct seminfo info;
    set("kernel/sem", "4\t6\t2\t3\n");
    CHECK(semctl(0, 0, IPC_INFO, &info) >= 0);
    CHECK(info.semmsl == 4 && info.semmns == 6 && info.semopm == 2 && info.semmni == 3);
    FAILS(semget(IPC_PRIVATE, 5, IPC_CREAT | 0600), EINVAL);
    int one = semget(IPC_PRIVATE, 4, IPC_CREAT | 0600);
    CHECK(one >= 0);
    FAILS(semget(IPC_PRIVATE, 3, IPC_CREAT | 0600), ENOSPC);
    struct sembuf operations[3] = {{0, 1, 0}, {1, 1, 0}, {2, 1, 0}};
    FAILS(semop(one, operations, 3), E2BIG);
    CHECK(semop(one, operations, 2) == 0 && semctl(one, 0, IPC_RMID) == 0);
    // One that is left out stays.
    CHECK(try("kernel/sem", "8 \n") == 0 && strcmp(read_setting("kernel/sem"), "8\t6\t2\t3\n") == 0);
    FAILS(try("kernel/sem", "9 9 9 -1\n"), EINVAL);
    CHECK(strcmp(read_setting("kernel/sem"), "8\t6\t2\t3\n") == 0);
}

static void messages(void) {
    struct msginfo info;
    struct { long kind; char text[100]; } message = {1, ""};
    set("kernel/msgmax", "50\n");
    set("kernel/msgmnb", "60\n");
    set("kernel/msgmni", "1\n");
    CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&info) >= 0);
    CHECK(info.msgmax == 50 && info.msgmnb == 60 && info.msgmni == 1);
    int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    CHECK(queue >= 0);
    FAILS(msgget(IPC_PRIVATE, IPC_CREAT | 0600), ENOSPC);
    FAILS(msgsnd(queue, &message, 51, 0), EINVAL);
    CHECK(msgsnd(queue, &message, 50, 0) == 0);
    FAILS(msgsnd(queue, &message, 11, IPC_NOWAIT), EAGAIN);
    CHECK(msgctl(queue, IPC_RMID, NULL) == 0);
}

static void posix_queues(void) {
    set("fs/mqueue/msg_max", "7\n");
    set("fs/mqueue/msg_default", "5\n");
    set("fs/mqueue/msgsize_default", "200\n");
    FAILS(try("fs/mqueue/msgsize_max", "127\n"), EINVAL);
    set("fs/mqueue/queues_max", "1\n");
    struct mq_attr attributes;
    mqd_t queue = mq_open("/one", O_CREAT | O_RDWR, 0666, NULL);
    CHECK(queue >= 0 && mq_getattr(queue, &attributes) == 0);
    CHECK(attributes.mq_maxmsg == 5 && attributes.mq_msgsize == 200);
    pid_t child = fork();
    if (child == 0) {
        // Who may not pass over limits.
        CHECK(setuid(1000) == 0);
        FAILS(mq_open("/two", O_CREAT | O_RDWR, 0600, NULL), ENOSPC);
        attributes.mq_maxmsg = 8;
        FAILS(mq_open("/two", O_CREAT | O_RDWR, 0600, &attributes), EINVAL);
        // And who may not set anything.
        FAILS(try("fs/mqueue/queues_max", "9\n"), EACCES);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(mq_close(queue) == 0 && mq_unlink("/one") == 0);
}

static void files(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    set("fs/nr_open", "1024\n");
    limit.rlim_cur = limit.rlim_max = 1025;
    FAILS(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
    limit.rlim_cur = limit.rlim_max = 1024;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    FAILS(try("fs/nr_open", "63\n"), EINVAL);
    FAILS(try("fs/nr_open", "many\n"), EINVAL);
    CHECK(try("fs/pipe-max-size", "5000\n") == 0 && atoi(read_setting("fs/pipe-max-size")) == 8192);
    pid_t child = fork();
    if (child == 0) {
        int ends[2];
        CHECK(setuid(1000) == 0 && pipe(ends) == 0);
        FAILS(fcntl(ends[0], F_SETPIPE_SZ, 16384), EPERM);
        CHECK(fcntl(ends[0], F_SETPIPE_SZ, 8192) == 8192);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void ids(void) {
    FAILS(try("kernel/pid_max", "300\n"), EINVAL);
    set("kernel/pid_max", "301\n");
    for (int i = 0; i < 400; i++) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        CHECK(child > 0 && child <= 301 && waitpid(child, NULL, 0) == child);
    }
    set("kernel/pid_max", "32768\n");
}

// What the next object is called is said once; if somebody has it, another one is free.
static void next_ids(void) {
    FAILS(try("kernel/msg_next_id", "-2\n"), EINVAL);
    CHECK(strcmp(read_setting("kernel/shm_next_id"), "-1\n") == 0);
    set("kernel/msg_next_id", "70001\n");
    int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    CHECK(queue == 70001 && strcmp(read_setting("kernel/msg_next_id"), "-1\n") == 0);
    set("kernel/msg_next_id", "70001\n");
    set("kernel/msgmni", "9\n");
    int other = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    CHECK(other >= 0 && other != 70001 && msgctl(other, IPC_RMID, NULL) == 0);
    set("kernel/msg_next_id", "5\n");
    set("kernel/msg_next_id", "-1\n");
    set("kernel/shm_next_id", "70002\n");
    int segment = shmget(IPC_PRIVATE, 100, IPC_CREAT | 0600);
    CHECK(segment == 70002 && shmctl(segment, IPC_RMID, NULL) == 0);
    set("kernel/sem_next_id", "70003\n");
    int set_of_one = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    CHECK(set_of_one == 70003 && semctl(set_of_one, 0, IPC_RMID) == 0);

    // A copy of a message, by its place, which stays.
    struct { long kind; char text[8]; } message = {3, "one"};
    CHECK(msgsnd(queue, &message, 4, 0) == 0);
    strcpy(message.text, "two");
    CHECK(msgsnd(queue, &message, 4, 0) == 0);
    FAILS(msgrcv(queue, &message, 8, 0, MSG_COPY), EINVAL);
    FAILS(msgrcv(queue, &message, 8, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT), EINVAL);
    FAILS(msgrcv(queue, &message, 8, 2, MSG_COPY | IPC_NOWAIT), ENOMSG);
    FAILS(msgrcv(queue, &message, 3, 1, MSG_COPY | IPC_NOWAIT), E2BIG);
    for (int i = 0; i < 2; i++) {
        CHECK(msgrcv(queue, &message, 8, 1, MSG_COPY | IPC_NOWAIT) == 4 && strcmp(message.text, "two") == 0);
    }
    struct msqid_ds state;
    CHECK(msgctl(queue, IPC_STAT, &state) == 0 && state.msg_qnum == 2 && msgctl(queue, IPC_RMID, NULL) == 0);
}

static void watches(void) {
    set("fs/inotify/max_user_instances", "2\n");
    set("fs/inotify/max_queued_events", "2\n");
    int one = inotify_init1(IN_NONBLOCK), two = inotify_init1(IN_NONBLOCK);
    CHECK(one >= 0 && two >= 0);
    FAILS(inotify_init(), EMFILE);
    CHECK(inotify_add_watch(one, "/tmp", IN_CREATE | IN_DELETE) == 1);
    for (int i = 0; i < 4; i++) {
        int file = open("/tmp/watched", O_CREAT | O_RDWR, 0600);
        CHECK(file >= 0 && close(file) == 0 && unlink("/tmp/watched") == 0);
    }
    char events[4096];
    ssize_t len = read(one, events, sizeof events);
    struct inotify_event *last = NULL;
    int count = 0;
    for (char *at = events; at < events + len; at += sizeof *last + last->len) last = (void *)at, count++;
    CHECK(count == 3 && last->mask == IN_Q_OVERFLOW && last->wd == -1);
    set("fs/inotify/max_user_watches", "1\n");
    FAILS(inotify_add_watch(two, "/", IN_CREATE), ENOSPC);
    set("fs/inotify/max_user_watches", "100\n");
    CHECK(inotify_add_watch(two, "/", IN_CREATE) == 1 && close(one) == 0 && close(two) == 0);
}

// Who does not let go in time loses it.
static void leases(void) {
    set("fs/lease-break-time", "1\n");
    int file = open("/tmp/leased", O_CREAT | O_RDWR, 0600);
    signal(SIGIO, SIG_IGN);
    CHECK(file >= 0 && fcntl(file, F_SETLEASE, F_WRLCK) == 0);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    pid_t child = fork();
    if (child == 0) {
        CHECK(close(file) == 0 && open("/tmp/leased", O_RDONLY) >= 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK(after.tv_sec - before.tv_sec >= 1 && after.tv_sec - before.tv_sec < 40);
    CHECK(close(file) == 0 && unlink("/tmp/leased") == 0);
}

static void names(void) {
    struct utsname name;
    CHECK(try("kernel/hostname", "enclave\nother\n") == 0 && strcmp(read_setting("kernel/hostname"), "enclave\n") == 0);
    set("kernel/domainname", "example.org\n");
    CHECK(uname(&name) == 0 && strcmp(name.nodename, "enclave") == 0);
    CHECK(strcmp(name.domainname, "example.org") == 0);
}

static void next_process(void) {
    set("kernel/ns_last_pid", "4321\n");
    pid_t child = fork();
    if (child == 0) _exit(0);
    CHECK(child == 4322);
    int directory = open("/proc/4322", O_RDONLY | O_DIRECTORY);
    CHECK(directory >= 0 && waitpid(child, NULL, 0) == child);
    CHECK(strcmp(read_setting("kernel/ns_last_pid"), "4322\n") == 0);
    // A directory is of its process, and not of another one that has its id later.
    FAILS(syscall(SYS_pidfd_send_signal, directory, SIGKILL, NULL, 0), ESRCH);
    set("kernel/ns_last_pid", "4321\n");
    child = fork();
    if (child == 0) pause();
    CHECK(child == 4322 && openat(directory, "stat", O_RDONLY) == -1 && errno == ENOENT);
    FAILS(syscall(SYS_pidfd_send_signal, directory, SIGKILL, NULL, 0), ESRCH);
    CHECK(close(directory) == 0 && (directory = open("/proc/4322", O_RDONLY | O_DIRECTORY)) >= 0);
    CHECK(syscall(SYS_pidfd_send_signal, directory, SIGKILL, NULL, 0) == 0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && close(directory) == 0);
}

// Who has more descriptors than a table may have meanwhile gets no copy of it.
static void tables(void) {
    char usual[20];
    strcpy(usual, read_setting("fs/nr_open"));
    CHECK(dup2(0, 100) == 100);
    set("fs/nr_open", "64\n");
    FAILS(fork(), EMFILE);
    FAILS(unshare(CLONE_FILES), EMFILE);
    CHECK(close(100) == 0 && unshare(CLONE_FILES) == 0);
    set("fs/nr_open", usual);
}

int main(void) {
    shared_memory();
    semaphores();
    messages();
    posix_queues();
    files();
    ids();
    next_ids();
    watches();
    leases();
    names();
    next_process();
    tables();
    puts("settings have effect");
    return 0;
}
