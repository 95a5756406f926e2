// System V's shared memory, semaphores and message queues between processes. The exit status is the
// line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__ % 125 + 1); } } while (0)
#define FAILS(call, number) CHECK((call) == -1 && errno == (number))

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void change(int id, int number, int by, int flags) {
    struct sembuf operation = {number, by, flags};
    CHECK(semop(id, &operation, 1) == 0);
}

int main(void) {
    int memory = shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0600);
    int semaphores = semget(4711, 2, IPC_CREAT | IPC_EXCL | 0600);
    int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    CHECK(memory >= 0 && semaphores >= 0 && queue >= 0);
    FAILS(semget(4711, 2, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK(semget(4711, 2, 0600) == semaphores);
    FAILS(semget(4712, 1, 0600), ENOENT);
    FAILS(shmget(4711, 100, 0), ENOENT);

    int *count = shmat(memory, NULL, 0);
    CHECK(count != (void *)-1);
    CHECK(semctl(semaphores, 0, SETVAL, 1) == 0);
    struct shmid_ds segment;
    CHECK(shmctl(memory, IPC_STAT, &segment) == 0);
    CHECK(segment.shm_segsz == 5000 && segment.shm_nattch == 1);

    // Right behind the heap; and off with what is left of it, by where its first page was.
    char *top = sbrk(0);
    top += -(unsigned long)top % 4096;
    CHECK(shmat(memory, top, 0) == top && !munmap(top, 4096) && !shmdt(top));
    FAILS(shmdt(top), EINVAL);
    char *nameless = mmap(0, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(nameless != MAP_FAILED);
    FAILS(shmdt(nameless), EINVAL);

    // What there is, as ipcs asks for it.
    struct shm_info segments;
    int last = shmctl(0, SHM_INFO, (struct shmid_ds *)&segments);
    CHECK(last >= 0 && segments.used_ids == last + 1 && segments.shm_tot == 2);
    CHECK(shmctl(last, SHM_STAT, &segment) == memory && segment.shm_segsz == 5000);
    struct seminfo sets;
    last = semctl(0, 0, SEM_INFO, &sets);
    CHECK(last >= 0 && sets.semusz == last + 1 && sets.semaem == 2);
    struct semid_ds set;
    CHECK(semctl(last, 0, SEM_STAT, &set) == semaphores && set.sem_nsems == 2);
    struct msginfo queues;
    last = msgctl(0, MSG_INFO, (struct msqid_ds *)&queues);
    struct msqid_ds one;
    CHECK(last >= 0 && queues.msgpool == last + 1 && msgctl(last, MSG_STAT, &one) == queue);
    FAILS(msgctl(last + 1, MSG_STAT, &one), EINVAL);

    // An address that is taken stays as it is.
    int *taken = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *taken = 42;
    CHECK(shmat(memory, taken, 0) == (void *)-1 && errno == EINVAL && *taken == 42);

    // A semaphore as a lock around a counter in shared memory.
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            for (int round = 0; round < 50; round++) {
                change(semaphores, 0, -1, SEM_UNDO);
                int seen = *count;
                if (round == 25) usleep(1000);
                *count = seen + 1;
                change(semaphores, 0, 1, SEM_UNDO);
            }
            // What it still holds comes back when it ends.
            change(semaphores, 0, -1, SEM_UNDO);
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++) wait_for(children[i]);
    CHECK(*count == 150);
    CHECK(semctl(semaphores, 0, GETVAL) == 1);

    // All operations or none.
    struct sembuf both[2] = {{0, -1, 0}, {1, -1, IPC_NOWAIT}};
    FAILS(semop(semaphores, both, 2), EAGAIN);
    CHECK(semctl(semaphores, 0, GETVAL) == 1);
    struct timespec soon = {0, 20000000};
    FAILS(semtimedop(semaphores, &(struct sembuf){1, -1, 0}, 1, &soon), EAGAIN);
    FAILS(semop(semaphores, &(struct sembuf){7, 1, 0}, 1), EFBIG);

    // Messages by kind, and a receiver that waits.
    struct { long kind; char text[16]; } message = {3, "three"};
    CHECK(msgsnd(queue, &message, 6, 0) == 0);
    message.kind = 1;
    strcpy(message.text, "one");
    CHECK(msgsnd(queue, &message, 4, 0) == 0);
    CHECK(msgrcv(queue, &message, 16, -2, 0) == 4 && message.kind == 1);
    FAILS(msgrcv(queue, &message, 16, 2, IPC_NOWAIT), ENOMSG);
    FAILS(msgrcv(queue, &message, 2, 3, 0), E2BIG);
    CHECK(msgrcv(queue, &message, 2, 3, MSG_NOERROR) == 2 && memcmp(message.text, "th", 2) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(msgrcv(queue, &message, 16, 9, 0) == 5 && strcmp(message.text, "nine") == 0);
        _exit(0);
    }
    usleep(10000);
    message.kind = 9;
    strcpy(message.text, "nine");
    CHECK(msgsnd(queue, &message, 5, 0) == 0);
    wait_for(child);

    // Whoever waits learns that it waits in vain.
    child = fork();
    if (child == 0) {
        FAILS(semop(semaphores, &(struct sembuf){1, -1, 0}, 1), EIDRM);
        _exit(0);
    }
    while (semctl(semaphores, 1, GETNCNT) == 0) usleep(1000);
    CHECK(semctl(semaphores, 0, IPC_RMID) == 0);
    wait_for(child);
    CHECK(msgctl(queue, IPC_RMID, NULL) == 0 && shmctl(memory, IPC_RMID, NULL) == 0);
    FAILS(msgsnd(queue, &message, 1, 0), EINVAL);
    *count = 7;
    CHECK(shmdt(count) == 0);
    FAILS(shmdt(count), EINVAL);
    puts("systems agree");
    return 0;
}
