// System V's message queues, semaphores and shared memory, between processes of several users that wait for
// each other, are interrupted and killed.
#include "series.h"
#include "peers.h"
#include <grp.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

enum { STEPS = 70, PEERS = 4, SLOTS = 2, ATTACHED = 4, MADE = 200, PAGE = 4096, SEMAPHORES_MAX = 4 };
enum { QUEUE, SET, SEGMENT, SORTS };
enum deed {
    GET, SEND, RECEIVE, CONTROL_QUEUE, OPERATE, OPERATE_TIMED, LOOK_AT_SET, CONTROL_SET, ATTACH, DETACH, CONTROL_SEGMENT,
    TOUCH, CUT, CHILD, DEEDS, SIGNAL, KILL,
};

static struct common {
    int ids[SORTS][SLOTS];
    int made[SORTS][MADE];
    int made_count[SORTS];
} *common;
static key_t first_key;
static uid_t first_user;
static char *arena;
static char *attached[ATTACHED];
static int channel[2];

union argument { int value; struct semid_ds *record; unsigned short *values; void *any; };

static void note_signal(int signal) { peers[me].signals += signal > 0; }

static int user_index(uid_t user) { return user >= first_user && user < first_user + 10 ? (int)(user - first_user) : user ? -1 : 9; }

static void do_get(struct peer *own) {
    long *a = own->arguments, sort = a[0], slot = a[1];
    key_t key = a[2] ? IPC_PRIVATE : first_key + (key_t)slot;
    int flags = (int)a[3], id = -1;
    if (sort == QUEUE) id = msgget(key, flags);
    if (sort == SET) id = semget(key, (int)a[4], flags);
    if (sort == SEGMENT) id = shmget(key, (size_t)a[5], flags);
    if (id < 0) { answer("%d", -errno); return; }
    int at = 0;
    while (at < common->made_count[sort] && common->made[sort][at] != id) at++;
    CHECK(at < MADE);
    if (at == common->made_count[sort]) common->made[sort][common->made_count[sort]++] = id;
    common->ids[sort][slot] = id;
    answer("is %d", at);
}

struct letter { long type; char text[80]; };

static void do_send(const long *a) {
    struct letter letter = {.type = a[1]};
    memset(letter.text, 'a' + (int)a[4], sizeof letter.text);
    answer("%ld", outcome(msgsnd(common->ids[QUEUE][a[0]], a[5] ? NULL : &letter, (size_t)a[2], (int)a[3])));
}

static void do_receive(const long *a) {
    struct letter letter = {0};
    long got = outcome(msgrcv(common->ids[QUEUE][a[0]], &letter, (size_t)a[2], a[1], (int)a[3]));
    answer("%ld: type %ld %c", got, letter.type, letter.text[0] ? letter.text[0] : '-');
}

static void do_control_queue(const long *a) {
    struct msqid_ds record = {.msg_perm = {.uid = first_user + (uid_t)a[2], .gid = first_user + (gid_t)a[2], .mode = (unsigned short)a[3]},
                              .msg_qbytes = (msglen_t)a[4]};
    long done = outcome(msgctl(common->ids[QUEUE][a[0]], (int)a[1], a[5] ? NULL : &record));
    answer("%ld", a[1] == IPC_STAT || a[1] == MSG_INFO || a[1] == IPC_INFO ? done < 0 ? done : 0 : done);
}

static void do_operate(const long *a, bool is_timed) {
    struct sembuf list[3];
    for (int i = 0; i < 3; i++) {
        long word = a[2 + i];
        list[i] = (struct sembuf){.sem_num = word & 7, .sem_op = (short)((word >> 3 & 15) - 5), .sem_flg = (short)(word >> 8)};
    }
    struct timespec time = {a[5], a[6]};
    int id = common->ids[SET][a[0]];
    answer("%ld", outcome(is_timed ? semtimedop(id, list, (size_t)a[1], &time) : semop(id, list, (size_t)a[1])));
}

static void do_look_at_set(const long *a) {
    unsigned short values[SEMAPHORES_MAX + 4] = {0};
    struct semid_ds record;
    union argument argument = {.values = values};
    if (a[1] == IPC_STAT) argument.record = &record;
    long found = outcome(semctl(common->ids[SET][a[0]], (int)a[2], (int)a[1], argument));
    if (a[1] == GETPID && found >= 0) found = index_of((pid_t)found);
    answer("%ld: %d %d %d %d", found, values[0], values[1], values[2], values[3]);
}

static void do_control_set(const long *a) {
    struct semid_ds record = {.sem_perm = {.uid = first_user + (uid_t)a[4], .gid = first_user + (gid_t)a[4], .mode = (unsigned short)a[5]}};
    unsigned short values[] = {(unsigned short)a[3], 1, 0, 5, 5};
    union argument argument = {.record = &record};
    if (a[1] == SETVAL) argument.any = NULL, argument.value = (int)a[3];
    if (a[1] == SETALL) argument.values = values;
    answer("%ld", outcome(semctl(common->ids[SET][a[0]], (int)a[2], (int)a[1], argument)));
}

static void do_attach(const long *a) {
    char *place = arena + a[1] * 16 * PAGE;
    void *wish = a[2] == 0 ? NULL : a[2] == 1 ? place : place + 123;
    if (attached[a[1]]) { answer("has one"); return; }
    char *got = shmat(common->ids[SEGMENT][a[0]], wish, (int)a[3]);
    if (got == (void *)-1) { answer("%d", -errno); return; }
    attached[a[1]] = got;
    answer("at %d", got >= arena && got < arena + 16l * PAGE * ATTACHED ? (int)((got - arena) / PAGE) : -1);
}

static void do_detach(const long *a) {
    char *at = attached[a[0]];
    if (!at) { answer("%ld", outcome(shmdt(arena + 16l * PAGE * a[0] + a[1]))); return; }
    long done = outcome(shmdt(at + a[1]));
    if (!done) {
        attached[a[0]] = NULL;
        if (at >= arena && at < arena + 16l * PAGE * ATTACHED)
            CHECK(mmap(at, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
    }
    answer("%ld", done);
}

static void do_control_segment(const long *a) {
    struct shmid_ds record = {.shm_perm = {.uid = first_user + (uid_t)a[2], .gid = first_user + (gid_t)a[2], .mode = (unsigned short)a[3]}};
    answer("%ld", outcome(shmctl(common->ids[SEGMENT][a[0]], (int)a[1], &record)));
}

// Reads a byte, and writes one, without a fault.
static void do_touch(const long *a) {
    char *at = attached[a[0]];
    if (!at) { answer("not attached"); return; }
    at += a[1];
    char byte = 0, new = (char)a[2];
    long read_it = outcome(write(channel[1], at, 1));
    if (read_it == 1) CHECK(read(channel[0], &byte, 1) == 1);
    CHECK(write(channel[1], &new, 1) == 1);
    long wrote_it = outcome(read(channel[0], at, 1));
    if (wrote_it != 1) CHECK(read(channel[0], &new, 1) == 1);
    answer("%ld %d, %ld", read_it, byte, wrote_it);
}

static void do_cut(const long *a) {
    char *at = attached[a[0]];
    if (!at) { answer("not attached"); return; }
    answer("%ld", outcome(munmap(at + a[1] * PAGE, PAGE)));
}

// A child that does something and ends.
static void do_child(const long *a) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        struct sembuf change = {.sem_num = 0, .sem_op = (short)a[1], .sem_flg = (short)(IPC_NOWAIT | (a[2] ? SEM_UNDO : 0))};
        struct shmid_ds record = {0};
        long operated = outcome(semop(common->ids[SET][a[0]], &change, 1));
        long looked = outcome(shmctl(common->ids[SEGMENT][a[0]], IPC_STAT, &record));
        answer("%ld, %ld: %ld", operated, looked, (long)record.shm_nattch);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child);
}

static void serve(struct peer *own, int what) {
    const long *a = own->arguments;
    switch (what) {
    case GET: do_get(own); break;
    case SEND: do_send(a); break;
    case RECEIVE: do_receive(a); break;
    case CONTROL_QUEUE: do_control_queue(a); break;
    case OPERATE: do_operate(a, false); break;
    case OPERATE_TIMED: do_operate(a, true); break;
    case LOOK_AT_SET: do_look_at_set(a); break;
    case CONTROL_SET: do_control_set(a); break;
    case ATTACH: do_attach(a); break;
    case DETACH: do_detach(a); break;
    case CONTROL_SEGMENT: do_control_segment(a); break;
    case TOUCH: do_touch(a); break;
    case CUT: do_cut(a); break;
    case CHILD: do_child(a); break;
    }
}

// Two are the superuser, if the first one is, the others have users of their own and a group in common.
static void prepare(void) {
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    CHECK(!sigaction(SIGUSR1, &action, NULL) && !pipe(channel));
    if (!series_is_root || me < 2) return;
    CHECK(!setgroups(0, NULL) && !setresgid(first_user, first_user, first_user));
    uid_t user = first_user + (uid_t)me;
    CHECK(!setresuid(user, user, user));
}

// ---- The first ------------------------------------------------------------------------------------

static int describe_permissions(char *text, size_t room, const struct ipc_perm *one) {
    return snprintf(text, room, "%o %d %d %d %d", one->mode, user_index(one->uid), user_index(one->gid), user_index(one->cuid),
                    user_index(one->cgid));
}

static void say_if_new(int sort, int slot, const char *text) {
    static char before[SORTS][SLOTS][400];
    static unsigned long seed = -1ul;
    if (seed != series_seed) { memset(before, 0, sizeof before); seed = series_seed; }
    if (!strcmp(before[sort][slot], text)) return;
    strcpy(before[sort][slot], text);
    say("%s %d: %s", (const char *[]){"queue", "set", "segment"}[sort], slot, text);
}

static void say_objects(void) {
    char text[400];
    for (int slot = 0; slot < SLOTS; slot++) {
        struct msqid_ds queue;
        snprintf(text, sizeof text, "none");
        if (!msgctl(common->ids[QUEUE][slot], IPC_STAT, &queue)) {
            int length = describe_permissions(text, sizeof text, &queue.msg_perm);
            snprintf(text + length, sizeof text - length, ", %ld of %ld in %ld, sent by %d %d, received by %d %d",
                     (long)queue.__msg_cbytes, (long)queue.msg_qbytes, (long)queue.msg_qnum, index_of(queue.msg_lspid), queue.msg_stime != 0,
                     index_of(queue.msg_lrpid), queue.msg_rtime != 0);
        }
        say_if_new(QUEUE, slot, text);
        struct semid_ds set;
        int id = common->ids[SET][slot];
        snprintf(text, sizeof text, "none");
        if (!semctl(id, 0, IPC_STAT, (union argument){.record = &set})) {
            int length = describe_permissions(text, sizeof text, &set.sem_perm);
            length += snprintf(text + length, sizeof text - length, ", %ld, used %d:", (long)set.sem_nsems, set.sem_otime != 0);
            for (int i = 0; i < (int)set.sem_nsems; i++)
                length += snprintf(text + length, sizeof text - length, " %d by %d wait %d %d", semctl(id, i, GETVAL),
                                   index_of(semctl(id, i, GETPID)), semctl(id, i, GETNCNT), semctl(id, i, GETZCNT));
        }
        say_if_new(SET, slot, text);
        struct shmid_ds segment;
        snprintf(text, sizeof text, "none");
        if (!shmctl(common->ids[SEGMENT][slot], IPC_STAT, &segment)) {
            int length = describe_permissions(text, sizeof text, &segment.shm_perm);
            snprintf(text + length, sizeof text - length, ", %ld bytes, %ld attached, made by %d, last %d, times %d %d",
                     (long)segment.shm_segsz, (long)segment.shm_nattch, index_of(segment.shm_cpid), index_of(segment.shm_lpid),
                     segment.shm_atime != 0, segment.shm_dtime != 0);
        }
        say_if_new(SEGMENT, slot, text);
    }
}

static int choose(int number, long *a, bool *has_an_end) {
    static const int MODE[] = {0600, 0660, 0666, 0640, 0400, 0200, 0006, 0060, 0};
    static const int MAKING[] = {IPC_CREAT, IPC_CREAT, IPC_CREAT | IPC_EXCL, 0};
    static const int FLAG[] = {0, 0, IPC_NOWAIT, MSG_NOERROR, MSG_NOERROR | IPC_NOWAIT, MSG_EXCEPT, MSG_EXCEPT | IPC_NOWAIT,
                               040000 | IPC_NOWAIT, 040000};
    static const long SIZE[] = {0, 1, PAGE, PAGE, PAGE + 1, 3 * PAGE, 3 * PAGE, -1};
    static const int ATTACHING[] = {0, 0, 0, SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_REMAP, SHM_REMAP | SHM_RND, SHM_EXEC, SHM_REMAP | SHM_RDONLY};
    static const int QUEUE_COMMAND[] = {IPC_STAT, IPC_SET, IPC_SET, IPC_SET, IPC_RMID, IPC_INFO, MSG_INFO, 99};
    static const int LOOK[] = {GETVAL, GETPID, GETNCNT, GETZCNT, GETALL, IPC_STAT, 99};
    static const int SET_COMMAND[] = {SETVAL, SETVAL, SETVAL, SETALL, SETALL, IPC_SET, IPC_RMID, 99};
    static const int SEGMENT_COMMAND[] = {IPC_STAT, IPC_SET, IPC_RMID, SHM_LOCK, SHM_UNLOCK, 99};
    (void)number;
    int what = below(3) ? (int)below(DEEDS) : below(2) ? OPERATE : below(2) ? SEND : RECEIVE;
    long slot = below(SLOTS);
    memset(a, 0, sizeof(long) * ARGUMENTS);
    a[0] = slot;
    switch (what) {
    case GET:
        a[0] = below(SORTS), a[1] = slot, a[2] = !below(5), a[3] = ANY(MODE) | ANY(MAKING);
        a[4] = (long)below(6) - 1, a[5] = ANY(SIZE);
        break;
    case SEND: a[1] = (long)below(5), a[2] = (long)below(50), a[3] = below(3) ? 0 : ANY(FLAG), a[4] = below(26), a[5] = !below(40);
        if (!below(40)) a[2] = 9000;
        break;
    case RECEIVE: a[1] = (long)below(8) - 3, a[2] = (long)below(50), a[3] = ANY(FLAG); if (!below(40)) a[2] = -1; break;
    case CONTROL_QUEUE: a[1] = ANY(QUEUE_COMMAND), a[2] = below(4), a[3] = ANY(MODE), a[4] = below(120), a[5] = !below(30);
        if (!below(10)) a[4] = 10000;
        break;
    case OPERATE_TIMED:
    case OPERATE: {
        static const int FLAGS[] = {0, 0, 0, SEM_UNDO, SEM_UNDO, IPC_NOWAIT, IPC_NOWAIT | SEM_UNDO};
        a[1] = below(20) ? 1 + below(3) : below(2) ? 0 : 600;
        if (a[1] == 600) a[1] = 0;
        for (int i = 0; i < 3; i++) a[2 + i] = (long)(below(20) ? below(3) : below(6)) | (long)(3 + below(5)) << 3 | (long)ANY(FLAGS) << 8;
        if (what == OPERATE_TIMED) {
            *has_an_end = true;
            a[6] = below(8) ? 1000000 * (long)below(2) : below(2) ? -1 : 1000000000;
            if (!below(10)) a[5] = -1;
        }
        break;
    }
    case LOOK_AT_SET: a[1] = ANY(LOOK), a[2] = (long)below(6) - 1; break;
    case CONTROL_SET: a[1] = ANY(SET_COMMAND), a[2] = (long)below(5) - below(2), a[3] = (long)below(5), a[4] = below(4), a[5] = ANY(MODE);
        if (!below(10)) a[3] = below(2) ? 32768 : 32767;
        break;
    case ATTACH: a[1] = below(ATTACHED), a[2] = below(3), a[3] = ANY(ATTACHING); break;
    case DETACH: a[0] = below(ATTACHED), a[1] = below(5) ? 0 : below(2) ? PAGE : 5; break;
    case CONTROL_SEGMENT: a[1] = ANY(SEGMENT_COMMAND), a[2] = below(4), a[3] = ANY(MODE); break;
    case TOUCH: a[0] = below(ATTACHED), a[1] = (long)below(3) * PAGE, a[2] = below(100); break;
    // What lies on both sides of a hole would count as attached twice.
    case CUT: a[0] = below(ATTACHED), a[1] = below(2) * 2l; break;
    case CHILD: *has_an_end = true; a[1] = (long)below(5) - 2, a[2] = below(2); break;
    }
    return what;
}

static void step(void) {
    int number = below(PEERS);
    struct peer *peer = &peers[number];
    bool has_an_end = false;
    if (peer->is_at_work || !below(40)) {
        // It is told something else only when it has heard of what it waits for.
        if (below(2)) { listen(PEERS, -1, false); return; }
        if (below(3)) {
            say("%d is interrupted", number);
            CHECK(!kill(peer->process, SIGUSR1));
            if (!peer->is_at_work) while (!__atomic_load_n(&peer->signals, __ATOMIC_SEQ_CST)) usleep(20);
        } else {
            say("%d is killed", number);
            kill_peer(number);
            listen(PEERS, -1, false);
            say_objects();
            fork_peer(number, prepare);
        }
        listen(PEERS, -1, false);
        return;
    }
    long *a = peer->arguments;
    int what = choose(number, a, &has_an_end);
    say("%d does %d %ld %ld %ld %ld %ld %ld %ld", number, what, a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
    tell(number, what);
    listen(PEERS, number, has_an_end);
}

static void run_series(const char *folder) {
    (void)folder;
    map_peers();
    if (!common) common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!arena) arena = mmap(NULL, 16 * PAGE * ATTACHED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(common != MAP_FAILED && arena != MAP_FAILED);
    memset(common, 0, sizeof *common);
    memset(common->ids, -1, sizeof common->ids);
    first_key = getpid() << 8 | 1;
    first_user = series_is_root ? 1000000 + (uid_t)getpid() * 10 : geteuid();
    for (int i = 0; i < PEERS; i++) fork_peer(i, prepare);
    for (int sort = 0; sort < SORTS; sort++)
        for (int slot = 0; slot < SLOTS; slot++) {
            memcpy(peers[0].arguments, (long[ARGUMENTS]){sort, slot, 0, 0666 | IPC_CREAT, 1 + (long)below(SEMAPHORES_MAX), 3 * PAGE}, sizeof peers[0].arguments);
            tell(0, GET);
            listen(PEERS, 0, true);
        }
    for (series_step = 0; series_step < STEPS; series_step++) {
        step();
        say_objects();
    }
    for (int i = 0; i < PEERS; i++) kill_peer(i);
    for (int i = 0; i < common->made_count[QUEUE]; i++) msgctl(common->made[QUEUE][i], IPC_RMID, NULL);
    for (int i = 0; i < common->made_count[SET]; i++) semctl(common->made[SET][i], 0, IPC_RMID);
    for (int i = 0; i < common->made_count[SEGMENT]; i++) shmctl(common->made[SEGMENT][i], IPC_RMID, NULL);
}
