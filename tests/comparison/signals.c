// Signals: sent to threads and to their process, queued, taken by handlers, waits and descriptors.
//
// Threads take turns that the first one gives, so that one at a time does something. A signal that is
// for one of them was taken before its next turn; after each step all have a turn to say what came.
#include "series.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <time.h>

enum { STEPS = 40, ACTORS = 4, STACK_BYTES = 32768, LOGGED = 24, PAGE = 4096 };
// The C library keeps two of the real-time signals for itself. What ends a wait is not one of them, as
// there may be no room for it.
enum { REAL_TIME = 34, RESCUE = SIGXCPU };

static const int SIGNAL[] = {
    SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGHUP, SIGURG, SIGCHLD, SIGWINCH, SIGCONT, SIGTSTP, SIGTTIN,
    SIGSEGV, SIGFPE, SIGTRAP, SIGBUS, SIGIO, REAL_TIME, REAL_TIME + 1, REAL_TIME + 7, 60,
};

struct action { void *handler; unsigned long flags; void (*restorer)(void); uint64_t mask; };

// What a handler does beside noting that it ran.
enum deed { NOTHING, RAISE, QUEUE, BLOCK, KEEP, DEEDS };
static struct { enum deed deed; int signal; } script[65];

static struct actor {
    pthread_t thread;
    pid_t tid;
    int index, turn, depth, budget, logged;
    unsigned char *stack;
    uint64_t mask;
    char log[LOGGED][160];
} actors[ACTORS];
static _Thread_local struct actor *self;

enum { RUNS = 1, SLEEPS, DONE };
static int news, has_waited, has_returned;
static pid_t process;
static unsigned char *arena;

static uint64_t bit(int signal) { return 1ul << (signal - 1); }

static uint64_t any_set(void) {
    uint64_t set = 0;
    for (int i = below(6); i-- > 0;) set |= bit(ANY(SIGNAL));
    return below(12) ? set : ~bit(RESCUE);
}

static bool harmless(int signal) {
    return signal == SIGURG || signal == SIGCHLD || signal == SIGWINCH || signal == SIGCONT;
}

static bool is_of_fault(int signal) {
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGTRAP || signal == SIGILL;
}

static long set_action(int signal, const struct action *new, struct action *old) {
    return syscall(SYS_rt_sigaction, signal, new, old, 8);
}

static long change_mask(int how, const uint64_t *set, uint64_t *old) {
    return syscall(SYS_rt_sigprocmask, how, set, old, 8);
}

static long send_to(struct actor *whom, int signal) {
    return syscall(SYS_tgkill, process, whom->tid, signal);
}

static void wait_while(int *word, int value) {
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL);
}

static void change(int *word, int value) {
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1);
}

__attribute__((format(printf, 2, 3)))
static void note(struct actor *actor, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (actor->logged < LOGGED) vsnprintf(actor->log[actor->logged++], 160, format, arguments);
    va_end(arguments);
}

// ---- Faults ---------------------------------------------------------------------------------------

#define FAULT(name, code) ".globl fault_" name ", end_" name "\nfault_" name ": " code "\nend_" name ": ret\n"
asm(".text\n"
    FAULT("read", "movl (%rdi), %eax")
    FAULT("write", "movl $1, (%rdi)")
    FAULT("call", "jmp *%rdi")
    FAULT("far", "movabs $0x8000000000000000, %rax; movb (%rax), %al")
    FAULT("divide", "xorl %ecx, %ecx; xorl %edx, %edx; movl $1, %eax; divl %ecx")
    FAULT("overflow", "movl $-1, %ecx; movl $0x80000000, %eax; cltd; idivl %ecx")
    FAULT("undefined", "ud2")
    FAULT("privileged", "hlt")
    FAULT("breakpoint", "int3")
    FAULT("interrupt3", ".byte 0xcd, 3")
    FAULT("interrupt4", ".byte 0xcd, 4")
    FAULT("interrupt20", ".byte 0xcd, 0x20")
    FAULT("step", "pushf; orl $0x100, (%rsp); popf; nop; nop; nop")
    FAULT("sse", "pushq $0x1d80; ldmxcsr (%rsp); pop %rax; xorps %xmm0, %xmm0; divss %xmm0, %xmm0")
    FAULT("sse_zero", "pushq $0x1d80; ldmxcsr (%rsp); movl $1, (%rsp); cvtsi2ssl (%rsp), %xmm1; pop %rax;"
                      "xorps %xmm0, %xmm0; divss %xmm0, %xmm1")
);
#define EXTERN(name) extern char fault_##name[], end_##name[];
#define EACH(X) X(read) X(write) X(call) X(far) X(divide) X(overflow) X(undefined) \
    X(privileged) X(breakpoint) X(interrupt3) X(interrupt4) X(interrupt20) X(step) X(sse) X(sse_zero)
EACH(EXTERN)
#define ENTRY(name) {#name, fault_##name, end_##name},
static const struct fault { const char *name; char *start, *end; } FAULTS[] = {EACH(ENTRY)};
static _Thread_local const struct fault *fault;
static _Thread_local unsigned long stack_of_fault;

// The arena: a page to read, one to write, one of nothing, one of a file that ends before it, one unmapped.
static long place(unsigned long address) {
    unsigned long base = (unsigned long)arena;
    return address - base < 6 * PAGE ? (long)(address - base) : address < PAGE ? -(long)address - 1 : -99999;
}

// ---- Handlers -------------------------------------------------------------------------------------

static void handle(int signal, siginfo_t *info, void *context) {
    ucontext_t *user = context;
    struct actor *actor = self;
    greg_t *registers = user->uc_mcontext.gregs;
    uint64_t now, before = *(uint64_t *)&user->uc_sigmask;
    stack_t stack;
    int error = errno;
    struct action action;
    change_mask(0, NULL, &now);
    sigaltstack(NULL, &stack);
    bool above = (size_t)((unsigned char *)&stack - actor->stack) < STACK_BYTES;
    // The sender is the process itself, the kernel, or what was given in the sender's place.
    unsigned char bytes[sizeof *info];
    memcpy(bytes, info, sizeof bytes);
    int sender = info->si_pid == process ? 1 : info->si_pid ? 2 : 0;
    bool own = info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_signo == SIGCHLD;
    if (fault && info->si_code > 0) {
        bool at = info->si_signo == SIGSEGV || info->si_signo == SIGBUS;
        long where = at ? place((long)info->si_addr) : (char *)info->si_addr - fault->start;
        note(actor, "F%d code %d at %ld trap %lld err %llx cr2 %ld ip %lld fl %llx", signal, info->si_code,
             info->si_code == SI_KERNEL ? (long)info->si_addr : where, registers[REG_TRAPNO],
             registers[REG_ERR], registers[REG_TRAPNO] == 14 ? place(registers[REG_CR2]) : 0,
             fault->name[0] == 'c' ? place(registers[REG_RIP]) : registers[REG_RIP] - (long)fault->start,
             registers[REG_EFL] & 0x100ull);
        registers[REG_RSP] = stack_of_fault;
        registers[REG_RIP] = (long)fault->end;
        registers[REG_EFL] &= ~0x100ul;
        fault = NULL;
    }
    note(actor, "%d%s code %d from %d %016lx, now %lx before %lx flags %lx, stack %d %d %d", signal,
         actor->depth ? "+" : "", info->si_code, own ? sender : 9,
         own ? 0 : info->si_code < 0 ? digest(0, bytes + 16, 32) : 0, now, before, user->uc_flags, above,
         stack.ss_flags, user->uc_stack.ss_flags);
    set_action(signal, NULL, &action);
    if (!action.handler && !harmless(signal)) {
        // SA_RESETHAND; another that waits must not end the process.
        action.handler = SIG_IGN;
        note(actor, "reset %lx %lx", action.flags & ~0x4000000ul, action.mask);
        set_action(signal, &action, NULL);
    }
    actor->depth++;
    if (actor->budget-- > 0) {
        uint64_t set = bit(script[signal].signal);
        siginfo_t sent = {.si_code = SI_QUEUE, .si_value.sival_int = signal};
        switch (script[signal].deed) {
        case RAISE: send_to(actor, script[signal].signal); break;
        case QUEUE:
            syscall(SYS_rt_tgsigqueueinfo, process, actor->tid, script[signal].signal, &sent);
            break;
        case BLOCK: change_mask(SIG_BLOCK, &set, NULL); break;
        case KEEP: *(uint64_t *)&user->uc_sigmask ^= set; break;
        default: break;
        }
    }
    actor->depth--;
    errno = error;
}

// Without SA_SIGINFO nobody said what the other arguments are.
static void handle_number(int signal) {
    struct action action;
    uint64_t now;
    change_mask(0, NULL, &now);
    note(self, "%d plain, now %lx", signal, now);
    set_action(signal, NULL, &action);
    if (action.handler || harmless(signal)) return;
    action.handler = SIG_IGN;
    note(self, "reset %lx %lx", action.flags & ~0x4000000ul, action.mask);
    set_action(signal, &action, NULL);
}

static void rescue(int signal) { (void)signal; }

enum wait {
    READ_PIPE, WRITE_PIPE, READ_EVENTS, READ_TIMER, POLL, PPOLL, SELECT, PSELECT, EPOLL, EPOLL_MASK, SLEEP,
    SLEEP_UNTIL, FUTEX, FUTEX_TIMED, FUTEX_BITSET, PAUSE, SUSPEND, TIMED_WAIT, WAIT_INFO, FLOCK, LOCK, OWN_LOCK,
    ACCEPT, RECEIVE, RECEIVE_TIMED, SEND_FULL, MESSAGE, SEMAPHORE, SEMAPHORE_TIMED, OPEN_FIFO, READ_SIGNALS, SPLICE,
    TEE, CHILD, CHILD_ID, WAITS,
};
static const char *const WAIT_NAME[] = {
    "read pipe", "write pipe", "read eventfd", "read timerfd", "poll", "ppoll", "select", "pselect", "epoll",
    "epoll_pwait", "nanosleep", "clock_nanosleep", "futex", "futex timed", "futex bitset", "pause", "sigsuspend",
    "sigtimedwait", "sigwaitinfo", "flock", "setlkw", "ofd_setlkw", "accept", "recv", "recv timed", "send", "msgrcv",
    "semop", "semtimedop", "open fifo", "read signalfd", "splice", "tee", "wait4", "waitid",
};

static struct { enum wait kind; uint64_t mask, set; int other, fd, fds[2], word; pid_t child; } slept;

// Whether it is certain who of the process takes a signal: the first thread, else nobody or the only
// one that can. One that is awake may take a second signal late; so where several are sent, that one must
// be the one whose sleep is watched. `temporary` is the mask of that one.
static bool is_certain(int signal, struct actor *sleeper, uint64_t temporary, bool several) {
    int count = 0;
    // What reads signals takes what others were to have.
    if (sleeper && slept.kind == READ_SIGNALS) return false;
    for (int i = 0; i < ACTORS; i++) {
        uint64_t mask = &actors[i] == sleeper ? temporary : actors[i].mask;
        if (mask & bit(signal)) continue;
        // It sends what disturbs a sleeper, and so is awake.
        if (!i && (sleeper || !several)) return true;
        count += several && &actors[i] != sleeper ? 2 : 1;
    }
    return count <= 1;
}

// A child's end is first for the thread that made it.
static bool child_is_certain(void) {
    int count = 0;
    for (int i = 0; i < ACTORS; i++) count += !(actors[i].mask & bit(SIGCHLD));
    return count <= 1;
}

// ---- Steps ----------------------------------------------------------------------------------------

static int who(void *handler) {
    return handler == handle ? 2 : handler == handle_number ? 3 : (int)(long)handler;
}

static void any_action(void) {
    extern void restore_frame(void);
    static const unsigned long FLAG[] = {
        SA_NODEFER, SA_RESTART, SA_ONSTACK, SA_ONSTACK, SA_SIGINFO, SA_NOCLDSTOP, SA_NOCLDWAIT,
    };
    int signal = below(15) ? ANY(SIGNAL) : (int)below(70);
    if (signal == 32 || signal == 33 || signal == RESCUE) signal = SIGKILL;
    struct action new = {handle, 0x4000000, restore_frame, any_set()}, old = {0};
    for (int i = below(4); i-- > 0;) new.flags |= ANY(FLAG);
    if (!(new.flags & SA_NODEFER) && !below(4)) new.flags |= SA_RESETHAND;
    if (!(new.flags & SA_SIGINFO) && below(3)) new.flags |= SA_SIGINFO;
    if (!(new.flags & SA_SIGINFO)) new.handler = handle_number;
    if (!below(5)) new.handler = harmless(signal) && below(2) ? SIG_DFL : SIG_IGN;
    bool known = false;
    for (size_t i = 0; i < COUNT(SIGNAL); i++) known |= SIGNAL[i] == signal;
    if (known) script[signal].deed = below(DEEDS), script[signal].signal = ANY(SIGNAL);
    long result = outcome(set_action(signal, known || signal < 1 || signal > 64 || signal == 9 ? &new : NULL, &old));
    say("action %d %lx %lx %d: %ld old %lx %lx %d", signal, new.flags, new.mask,
        who(new.handler), result, old.flags, old.mask, who(old.handler));
}
asm(".globl restore_frame\nrestore_frame: movl $15, %eax; syscall");

static void any_mask(void) {
    static const int HOW[] = {SIG_BLOCK, SIG_BLOCK, SIG_UNBLOCK, SIG_UNBLOCK, SIG_SETMASK, 3, -1};
    uint64_t set = any_set(), old = 0;
    int how = ANY(HOW);
    long result = outcome(change_mask(how, below(9) ? &set : NULL, &old));
    say("mask %d %lx: %ld old %lx", how, set, result, old);
}

// Sends one; says of it only what the system says.
static void any_signal(struct actor *whom, struct actor *sleeper, uint64_t temporary, bool several) {
    static const int CODE[] = {SI_QUEUE, SI_QUEUE, SI_TIMER, SI_MESGQ, SI_USER, SI_TKILL, 1, 2, 70, -60};
    int signal = ANY(SIGNAL), kind = below(8), index = whom->index;
    siginfo_t info = {0};
    for (size_t i = 4; i < 12; i++) ((int *)&info)[i] = below(1 << 30);
    if (!below(20)) ((int *)&info)[12 + below(20)] = 1;
    info.si_signo = below(3) ? signal : 3, info.si_errno = below(2), info.si_code = ANY(CODE);
    // Linux takes one that says it is a fault even if it is blocked, when it looks for another.
    if (is_of_fault(signal) && info.si_code > 0) info.si_code = SI_QUEUE;
    bool process_wide = kind >= 5 && is_certain(signal, sleeper, temporary, several);
    long result;
    switch (kind) {
    case 0: case 1: case 2: result = send_to(whom, signal); break;
    case 3: result = syscall(SYS_tkill, whom->tid, signal); break;
    case 5: case 6:
        if (process_wide) { result = kill(process, signal); break; }
        // Falls through.
    default:
        result = process_wide ? syscall(SYS_rt_sigqueueinfo, process, signal, &info)
            : syscall(SYS_rt_tgsigqueueinfo, process, whom->tid, signal, &info);
    }
    say("send %d kind %d code %d to %d: %ld", signal, kind, info.si_code, process_wide ? -1 : index,
        outcome(result));
}

static void wrong_signal(void) {
    static const int NUMBER[] = {0, -1, 65, 1000};
    static const int PID[] = {0, -1, 1 << 23};
    int signal = ANY(NUMBER), pid = ANY(PID);
    siginfo_t info = {.si_code = SI_QUEUE};
    say("wrong %d %d: %ld %ld %ld %ld", signal, pid, outcome(syscall(SYS_tgkill, process, pid, signal)),
        outcome(syscall(SYS_tgkill, pid, self->tid, signal)), outcome(syscall(SYS_tkill, pid, signal)),
        outcome(syscall(SYS_rt_tgsigqueueinfo, process, pid, signal, &info)));
    say("wrong %d: %ld %ld %ld", signal, outcome(syscall(SYS_tgkill, process, self->tid, signal)),
        outcome(syscall(SYS_tkill, self->tid, signal)), outcome(kill(process, signal)));
}

static void say_info(const char *how, long result, siginfo_t *info) {
    bool own = info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_signo == SIGCHLD;
    say("%s: %ld, %d code %d errno %d, %016lx", how, result, info->si_signo, info->si_code, info->si_errno,
        own ? info->si_pid == process : digest(0, (char *)info + 16, info->si_code < 0 ? 32 : 0));
}

static void take_one(void) {
    struct timespec none = {0, 0};
    uint64_t set = below(3) ? any_set() : ~0ul;
    siginfo_t info = {0};
    long result = outcome(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8));
    // An unblocked one that is ignored is no news.
    say("take %lx", set);
    say_info("took", result, &info);
}

static void read_descriptor(void) {
    uint64_t set = any_set(), ready;
    static const int FLAG[] = {SFD_NONBLOCK, SFD_NONBLOCK, SFD_NONBLOCK | SFD_CLOEXEC, 1};
    int fd = syscall(SYS_signalfd4, -1, &set, 8, ANY(FLAG));
    if (fd < 0) { say("signalfd: %d", -errno); return; }
    struct pollfd polled = {fd, POLLIN, 0};
    ready = poll(&polled, 1, 0);
    struct signalfd_siginfo infos[3];
    memset(infos, 0, sizeof infos);
    size_t size = below(3) ? sizeof infos : below(sizeof infos);
    if (!below(3)) set = any_set(), syscall(SYS_signalfd4, fd, &set, 8, 0);
    long got = outcome(read(fd, infos, size));
    say("signalfd %lx: ready %ld, read %zu: %ld", set, ready, size, got);
    for (int i = 0; i < got / (long)sizeof *infos; i++) {
        bool own = infos[i].ssi_code == SI_USER || infos[i].ssi_code == SI_TKILL || infos[i].ssi_signo == SIGCHLD;
        if (own) infos[i].ssi_pid = infos[i].ssi_pid == (uint32_t)process, infos[i].ssi_uid = 0;
        say("got %d code %d: %016lx", infos[i].ssi_signo, infos[i].ssi_code, digest(0, infos + i, sizeof *infos));
    }
    close(fd);
}

static void any_stack(void) {
    static const int FLAG[] = {0, 0, 0, SS_DISABLE, 1u << 31, 1u << 31 | SS_DISABLE, SS_ONSTACK, 4};
    static const size_t SIZE[] = {STACK_BYTES, STACK_BYTES, STACK_BYTES, 0, 100};
    stack_t new = {self->stack, ANY(FLAG), ANY(SIZE)}, old = {0};
    long result = outcome(sigaltstack(below(6) ? &new : NULL, &old));
    say("stack %#x %zu: %ld old %#x %zu", new.ss_flags, new.ss_size, result, old.ss_flags, old.ss_size);
}

static void any_fault(void) {
    const struct fault *chosen = &ANY(FAULTS);
    struct action action = {0};
    long page = below(6), address = page * PAGE + below(PAGE / 8) * 8;
    if (chosen->start == fault_write && page == 1) page = 0, address = 0;
    if (chosen->start == fault_read && page < 2) address = 2 * PAGE;
    if (chosen->start == fault_call && page == 0) address = 3 * PAGE;
    bool null = !below(6);
    bool ready = true;
    static const int RAISED[] = {SIGSEGV, SIGFPE, SIGTRAP, SIGBUS, SIGILL};
    for (int i = 0; i < 4; i++) {
        set_action(RAISED[i], NULL, &action);
        ready &= action.handler == handle && !(self->mask & bit(RAISED[i]));
    }
    void *target = null ? (void *)8 : arena + address;
    if (chosen->start != fault_undefined && ready) {
        say("fault %s %ld", chosen->name, null ? 0 : address);
        fault = chosen;
        asm volatile("lea -136(%%rsp), %%rsp; lea -8(%%rsp), %%rax; movq %%rax, %0; call *%1; lea 136(%%rsp), %%rsp"
                     : "=m"(stack_of_fault) : "r"(chosen->start), "D"(target)
                     : "rax", "rcx", "rdx", "xmm0", "xmm1", "memory", "cc");
        unsigned control = 0x1f80;
        asm volatile("ldmxcsr %0" :: "m"(control));
        if (fault) say("fault of none");
        fault = NULL;
        return;
    }
    if (child_is_certain()) {
        pid_t child = fork();
        if (!child) {
            struct rlimit no_core = {0, 0};
            setrlimit(RLIMIT_CORE, &no_core);
            struct action harsh = {below(2) ? SIG_IGN : SIG_DFL, 0, NULL, 0};
            for (int i = 0; i < 5; i++) set_action(RAISED[i], &harsh, NULL);
            asm volatile("call *%0" :: "r"(chosen->start), "D"(target)
                         : "rax", "rcx", "rdx", "xmm0", "xmm1", "memory", "cc");
            _exit(5);
        }
        int status = -1;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
        say("deadly %s %ld: %#x", chosen->name, null ? 0 : address, status);
    }
}

// A child that has no other thread, and of which one signal may be the end.
static void child_raises(void) {
    int signal = ANY(SIGNAL), how = below(5);
    if (!child_is_certain() || signal == SIGTSTP || signal == SIGTTIN) return;
    say("child raises %d %d", signal, how);
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        uint64_t pending = 0, mask = 0, none = 0;
        process = getpid();
        self->tid = process;
        self->logged = 0;
        struct action deadly = {SIG_DFL, 0, NULL, 0};
        syscall(SYS_rt_sigpending, &pending, 8);
        change_mask(0, NULL, &mask);
        stack_t stack;
        sigaltstack(NULL, &stack);
        say("child: pending %lx mask %lx stack %#x", pending, mask, stack.ss_flags);
        if (how == 0) set_action(signal, &deadly, NULL);
        if (how < 3) change_mask(SIG_SETMASK, &none, NULL);
        struct action now;
        set_action(signal, NULL, &now);
        kill(process, signal);
        if (how == 1) send_to(self, signal);
        syscall(SYS_rt_sigpending, &pending, 8);
        for (int i = 0; i < self->logged; i++) say("child: %s", self->log[i]);
        say("child lives: pending %lx", pending);
        _exit(3);
    }
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    say("child: %#x", status & ~0x80);
}

// ---- Waits ----------------------------------------------------------------------------------------

static void prepare(void) {
    static char full[65536];
    slept.fds[0] = slept.fds[1] = slept.fd = slept.other = -1;
    slept.child = 0;
    switch (slept.kind) {
    case WRITE_PIPE:
        CHECK(!pipe(slept.fds) && write(slept.fds[1], full, sizeof full) == sizeof full);
        break;
    case READ_EVENTS: slept.fd = eventfd(0, 0); break;
    case READ_TIMER: slept.fd = timerfd_create(CLOCK_MONOTONIC, 0); break;
    case EPOLL: case EPOLL_MASK: slept.fd = epoll_create1(0); break;
    case FLOCK: case LOCK: case OWN_LOCK: {
        struct flock lock = {.l_type = F_WRLCK};
        slept.fd = open("lock", O_RDWR | O_CREAT, 0600);
        slept.other = open("lock", O_RDWR);
        CHECK(slept.fd >= 0 && slept.other >= 0);
        if (slept.kind == FLOCK) CHECK(!flock(slept.other, LOCK_EX));
        else CHECK(!fcntl(slept.other, F_OFD_SETLK, &lock));
        break;
    }
    case ACCEPT: {
        slept.fd = socket(AF_UNIX, SOCK_STREAM, 0);
        struct { sa_family_t family; char name[8]; } address = {AF_UNIX, "socket"};
        CHECK(!bind(slept.fd, (void *)&address, sizeof address) && !listen(slept.fd, 1));
        break;
    }
    case RECEIVE: case RECEIVE_TIMED: {
        struct timeval long_time = {1000, 0};
        CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, slept.fds));
        if (slept.kind == RECEIVE_TIMED)
            CHECK(!setsockopt(slept.fds[0], SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof long_time));
        break;
    }
    case SEND_FULL:
        CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, slept.fds));
        while (send(slept.fds[1], full, 4096, MSG_DONTWAIT) > 0) {}
        break;
    case MESSAGE: slept.other = msgget(IPC_PRIVATE, 0600); break;
    case SEMAPHORE: case SEMAPHORE_TIMED: slept.other = semget(IPC_PRIVATE, 1, 0600); break;
    case OPEN_FIFO: CHECK(!mkfifo("fifo", 0600)); break;
    case READ_SIGNALS: slept.fd = syscall(SYS_signalfd4, -1, &slept.set, 8, 0); break;
    case TEE: case SPLICE: CHECK(!pipe(slept.fds)); slept.fd = open("lock", O_RDWR | O_CREAT, 0600); break;
    case CHILD: case CHILD_ID:
        CHECK(!pipe(slept.fds));
        slept.child = fork();
        if (!slept.child) {
            char byte;
            uint64_t all = ~0ul;
            change_mask(SIG_SETMASK, &all, NULL);
            close(slept.fds[1]);
            (void)!read(slept.fds[0], &byte, 1);
            _exit(7);
        }
        break;
    default: CHECK(!pipe(slept.fds));
    }
}

static long do_wait(siginfo_t *info) {
    static char bytes[100000];
    struct timespec long_time = {1000, 0}, until;
    struct pollfd polled = {slept.fds[0], POLLIN, 0};
    struct epoll_event event;
    fd_set set;
    FD_ZERO(&set);
    struct { const uint64_t *mask; size_t size; } with = {&slept.mask, 8};
    struct sembuf down = {0, -1, 0};
    struct flock lock = {.l_type = F_WRLCK};
    int status = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1000;
    switch (slept.kind) {
    case READ_PIPE: return read(slept.fds[0], bytes, 10);
    case WRITE_PIPE: return write(slept.fds[1], bytes, sizeof bytes);
    case READ_EVENTS: case READ_TIMER: return read(slept.fd, bytes, 8);
    case POLL: return poll(&polled, 1, -1);
    case PPOLL: return syscall(SYS_ppoll, &polled, 1, NULL, &slept.mask, 8);
    case SELECT: FD_SET(slept.fds[0], &set); return select(slept.fds[0] + 1, &set, NULL, NULL, NULL);
    case PSELECT: return syscall(SYS_pselect6, 0, NULL, NULL, NULL, NULL, &with);
    case EPOLL: return epoll_wait(slept.fd, &event, 1, -1);
    case EPOLL_MASK: return syscall(SYS_epoll_pwait, slept.fd, &event, 1, -1, &slept.mask, 8);
    case SLEEP: return syscall(SYS_nanosleep, &long_time, &until);
    case SLEEP_UNTIL: return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    case FUTEX: return syscall(SYS_futex, &slept.word, FUTEX_WAIT, 0, NULL);
    case FUTEX_TIMED: return syscall(SYS_futex, &slept.word, FUTEX_WAIT, 0, &long_time);
    case FUTEX_BITSET: return syscall(SYS_futex, &slept.word, FUTEX_WAIT_BITSET, 0, &until, NULL, 5);
    case PAUSE: return syscall(SYS_pause);
    case SUSPEND: return syscall(SYS_rt_sigsuspend, &slept.mask, 8);
    case TIMED_WAIT: return syscall(SYS_rt_sigtimedwait, &slept.set, info, &long_time, 8);
    case WAIT_INFO: return syscall(SYS_rt_sigtimedwait, &slept.set, info, NULL, 8);
    case FLOCK: return flock(slept.fd, LOCK_EX);
    case LOCK: return fcntl(slept.fd, F_SETLKW, &lock);
    case OWN_LOCK: return fcntl(slept.fd, F_OFD_SETLKW, &lock);
    case ACCEPT: return syscall(SYS_accept, slept.fd, NULL, NULL);
    case RECEIVE: case RECEIVE_TIMED: return recv(slept.fds[0], bytes, 10, 0);
    case SEND_FULL: return send(slept.fds[1], bytes, 4096, 0);
    case MESSAGE: return msgrcv(slept.other, bytes, 100, 0, 0);
    case SEMAPHORE: return semop(slept.other, &down, 1);
    case SEMAPHORE_TIMED: return semtimedop(slept.other, &down, 1, &long_time);
    case OPEN_FIFO: return open("fifo", O_RDONLY);
    case READ_SIGNALS: return read(slept.fd, bytes, sizeof(struct signalfd_siginfo));
    case SPLICE: return splice(slept.fds[0], NULL, slept.fd, NULL, 100, 0);
    case TEE: {
        int ends[2];
        CHECK(!pipe(ends));
        long result = tee(slept.fds[0], ends[1], 100, 0);
        int error = errno;
        close(ends[0]), close(ends[1]);
        errno = error;
        return result;
    }
    case CHILD: return wait4(slept.child, &status, 0, NULL) == slept.child ? status : -1;
    default: return waitid(P_PID, slept.child, info, WEXITED);
    }
}

static void clear_away(void) {
    int status;
    close(slept.fds[1]);
    if (slept.child) while (waitpid(slept.child, &status, 0) < 0 && errno == EINTR) {}
    if (slept.kind == MESSAGE) msgctl(slept.other, IPC_RMID, NULL);
    else if (slept.kind == SEMAPHORE || slept.kind == SEMAPHORE_TIMED) semctl(slept.other, 0, IPC_RMID);
    else if (slept.other >= 0) close(slept.other);
    close(slept.fds[0]), close(slept.fd);
    unlink("socket"), unlink("fifo"), unlink("lock");
}

static void sleep_in_call(void) {
    siginfo_t info = {0};
    slept.kind = below(WAITS);
    slept.mask = any_set(), slept.set = below(3) ? any_set() : ~bit(RESCUE);
    // Else the child's end could be for any of them.
    bool has_child = slept.kind == CHILD || slept.kind == CHILD_ID;
    if (has_child && !child_is_certain()) slept.kind = PAUSE;
    prepare();
    say("wait in %s, mask %lx set %lx", WAIT_NAME[slept.kind], slept.mask, slept.set);
    has_waited = 1, has_returned = 0;
    change(&news, SLEEPS);
    long result = outcome(do_wait(&info));
    __atomic_store_n(&has_returned, 1, __ATOMIC_SEQ_CST);
    if ((slept.kind == ACCEPT || slept.kind == OPEN_FIFO) && result >= 0) { close(result); result = 0; }
    // Some are sent to it as it sleeps; it says what came when it has its turn again.
    note(self, "%s: %ld, %d code %d", WAIT_NAME[slept.kind], result, info.si_signo, info.si_code);
    clear_away();
}

// Waits until the sleeper sleeps (true), or has come back from its call.
static bool sleeps(struct actor *actor) {
    char path[64], text[300];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", actor->tid);
    while (!__atomic_load_n(&has_returned, __ATOMIC_SEQ_CST)) {
        int fd = open(path, O_RDONLY);
        CHECK(fd >= 0);
        ssize_t length = read(fd, text, sizeof text - 1);
        CHECK(length > 0);
        text[length] = 0;
        close(fd);
        if (strrchr(text, ')')[2] == 'S') return !__atomic_load_n(&has_returned, __ATOMIC_SEQ_CST);
        usleep(50);
    }
    return false;
}

static void disturb(struct actor *sleeper) {
    bool masked = slept.kind == PPOLL || slept.kind == PSELECT || slept.kind == EPOLL_MASK || slept.kind == SUSPEND;
    bool set = slept.kind == TIMED_WAIT || slept.kind == WAIT_INFO;
    uint64_t mask = masked ? slept.mask : set ? sleeper->mask & ~slept.set : sleeper->mask;
    for (int count = 1 + below(4); count-- > 0 && sleeps(sleeper);) any_signal(sleeper, sleeper, mask, true);
    if (!sleeps(sleeper)) return;
    say("it sleeps");
    // The way out that the call itself has, or a signal that nobody blocks.
    struct { long type; char text[8]; } message = {1, "message"};
    struct sembuf up = {0, 1, 0};
    long one = 1;
    static char bytes[65536];
    int fd;
    switch (below(4) ? slept.kind : PAUSE) {
    case READ_PIPE: case POLL: case SELECT: case RECEIVE: case RECEIVE_TIMED: case CHILD: case CHILD_ID: case TEE:
    case SPLICE: (void)!write(slept.fds[1], &one, 3); break;
    case WRITE_PIPE:
        for (long left = 100000; left > 0 && sleeps(sleeper);) left -= read(slept.fds[0], bytes, 40000);
        break;
    case READ_EVENTS: (void)!write(slept.fd, &one, 8); break;
    case FUTEX: case FUTEX_TIMED: case FUTEX_BITSET: syscall(SYS_futex, &slept.word, FUTEX_WAKE, 1); break;
    case FLOCK: flock(slept.other, LOCK_UN); break;
    case LOCK: case OWN_LOCK: close(slept.other); slept.other = -1; break;
    case SEND_FULL: while (recv(slept.fds[0], bytes, 4096, MSG_DONTWAIT) > 0) {} break;
    case MESSAGE: msgsnd(slept.other, &message, 8, 0); break;
    case SEMAPHORE: case SEMAPHORE_TIMED: semop(slept.other, &up, 1); break;
    case OPEN_FIFO: fd = open("fifo", O_WRONLY | O_NONBLOCK); CHECK(fd >= 0); close(fd); break;
    default: send_to(sleeper, RESCUE);
    }
    for (int tries = 0; sleeps(sleeper); tries++) {
        CHECK(tries < 1000);
        usleep(50);
        if (tries > 200) say("it sleeps on"), send_to(sleeper, RESCUE);
    }
}

static void limit_queue(void) {
    struct rlimit limit;
    CHECK(!getrlimit(RLIMIT_SIGPENDING, &limit));
    limit.rlim_cur = below(2) ? 0 : limit.rlim_max;
    CHECK(!setrlimit(RLIMIT_SIGPENDING, &limit));
    say("limit %d", limit.rlim_cur != 0);
}

static void many_at_once(void) {
    uint64_t all = ~bit(RESCUE), old;
    change_mask(SIG_SETMASK, &all, &old);
    self->mask = all;
    for (int i = 2 + below(6); i-- > 0;) any_signal(self, NULL, 0, true);
    change_mask(SIG_SETMASK, &old, NULL);
    say("now %lx", old);
}

static void step(void) {
    self->budget = 3;
    switch (below(16)) {
    case 0: case 1: case 2: any_action(); break;
    case 3: case 4: any_mask(); break;
    case 5: case 6: any_signal(&ANY(actors), NULL, 0, false); break;
    case 7: many_at_once(); break;
    case 8: take_one(); break;
    case 9: read_descriptor(); break;
    case 10: any_stack(); break;
    case 11: any_fault(); break;
    case 12: if (below(3)) child_raises(); else wrong_signal(); break;
    case 13: if (below(4)) child_raises(); else limit_queue(); break;
    default: if (self->index) sleep_in_call(); else many_at_once();
    }
}

// What can be seen of a thread by itself.
static void report(void) {
    uint64_t pending;
    stack_t stack;
    char text[200] = "";
    change_mask(0, NULL, &self->mask);
    syscall(SYS_rt_sigpending, &pending, 8);
    sigaltstack(NULL, &stack);
    for (int i = 0; i < self->logged; i++) say("%d: %s", self->index, self->log[i]);
    self->logged = 0;
    char path[64], *line, status[3000];
    snprintf(path, sizeof path, "/proc/thread-self/status");
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? 0 : read(fd, status, sizeof status - 1);
    CHECK(length > 0);
    status[length] = 0;
    close(fd);
    // What all share is as it stays when the last has taken what was for it.
    const char *key = "SigPnd:\0SigBlk:\0\0ShdPnd:\0SigIgn:\0SigCgt:\0";
    for (key = self->index ? key : key + 17; *key; key += strlen(key) + 1)
        if ((line = strstr(status, key)))
            snprintf(text + strlen(text), sizeof text - strlen(text), " %.16s", line + strlen(key) + 1);
    say("%d: %lx %lx %#x %zu%s", self->index, self->mask, pending, stack.ss_flags, stack.ss_size, text);
}

static void *act(void *actor) {
    self = actor;
    self->tid = syscall(SYS_gettid);
    for (;;) {
        change(&news, DONE);
        wait_while(&self->turn, 0);
        int turn = self->turn;
        self->turn = 0;
        if (turn == 1) step();
        else if (turn == 2) report();
        else break;
    }
    change(&news, DONE);
    return NULL;
}

static void give_turn(struct actor *actor, int turn) {
    __atomic_store_n(&news, RUNS, __ATOMIC_SEQ_CST);
    change(&actor->turn, turn);
    wait_while(&news, RUNS);
    if (has_waited) disturb(actor);
    has_waited = 0;
    while (__atomic_load_n(&news, __ATOMIC_SEQ_CST) != DONE) wait_while(&news, SLEEPS);
}

static void make_arena(void) {
    int fd = open("arena", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && !ftruncate(fd, PAGE) && !unlink("arena"));
    arena = mmap(NULL, 6 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(arena != MAP_FAILED && !mprotect(arena + PAGE, PAGE, PROT_READ | PROT_WRITE));
    CHECK(!mprotect(arena + 2 * PAGE, PAGE, PROT_NONE));
    // Two pages behind the end of a file.
    int all = PROT_READ | PROT_WRITE | PROT_EXEC;
    CHECK(mmap(arena + 3 * PAGE, 2 * PAGE, all, MAP_SHARED | MAP_FIXED, fd, PAGE) != MAP_FAILED);
    CHECK(!munmap(arena + 5 * PAGE, PAGE) && !close(fd));
}

static void run_series(const char *folder) {
    CHECK(!mkdir(folder, 0755) && !chdir(folder));
    process = getpid();
    uint64_t none = 0;
    for (size_t i = 0; i < COUNT(SIGNAL); i++) {
        CHECK(!set_action(SIGNAL[i], &(struct action){SIG_IGN, 0, NULL, 0}, NULL));
        script[SIGNAL[i]].deed = NOTHING;
    }
    CHECK(!sigaction(RESCUE, &(struct sigaction){.sa_handler = rescue}, NULL));
    // What it was before, a parent may have left.
    CHECK(!sigaltstack(&(stack_t){.ss_flags = 1u << 31 | SS_DISABLE}, NULL));
    CHECK(!sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL));
    make_arena();
    memset(actors, 0, sizeof actors);
    for (int i = 0; i < ACTORS; i++) {
        actors[i].index = i;
        CHECK((actors[i].stack = malloc(STACK_BYTES)));
        if (!i) { self = &actors[0]; self->tid = process; continue; }
        news = RUNS;
        CHECK(!pthread_create(&actors[i].thread, NULL, act, &actors[i]));
        wait_while(&news, RUNS);
    }
    for (series_step = 0; series_step < STEPS; series_step++) {
        struct actor *actor = &ANY(actors);
        if (actor->index) give_turn(actor, 1);
        else step();
        for (int i = 1; i < ACTORS; i++) give_turn(&actors[i], 2);
        report();
    }
    struct rlimit limit;
    CHECK(!getrlimit(RLIMIT_SIGPENDING, &limit));
    limit.rlim_cur = limit.rlim_max;
    CHECK(!setrlimit(RLIMIT_SIGPENDING, &limit));
    for (size_t i = 0; i < COUNT(SIGNAL); i++) set_action(SIGNAL[i], &(struct action){SIG_IGN, 0, NULL, 0}, NULL);
    CHECK(!change_mask(SIG_SETMASK, &none, NULL));
    for (int i = 1; i < ACTORS; i++) { give_turn(&actors[i], 3); pthread_join(actors[i].thread, NULL); }
    for (int i = 0; i < ACTORS; i++) free(actors[i].stack);
    CHECK(!munmap(arena, 5 * PAGE) && !chdir("/") && !rmdir(folder));
}
