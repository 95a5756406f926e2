// System calls and CPUID with all kinds of code before them: each must do what it does on Linux, wherever
// the LibOS has put its jumps. The output is what the LibOS gives; on the host nothing is patched,
// and everything else is the same. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <cpuid.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "%s, line %d: rax %lx rcx %lx\n", name, __LINE__, (long)after.rax, (long)after.rcx); \
    _exit(__LINE__ & 0x7f); } } while (0)

struct registers {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rflags;
};

void run(const struct registers *before, struct registers *after, void (*code)(void));

// Calls `code` with all registers, and keeps all that it leaves.
__asm__(
    ".text; .p2align 4; .globl run; run:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rsi; push %rdx\n"
    "push 120(%rdi); popfq\n"
    "mov 0(%rdi), %rax; mov 8(%rdi), %rbx; mov 16(%rdi), %rcx; mov 24(%rdi), %rdx\n"
    "mov 32(%rdi), %rsi; mov 48(%rdi), %rbp; mov 56(%rdi), %r8; mov 64(%rdi), %r9\n"
    "mov 72(%rdi), %r10; mov 80(%rdi), %r11; mov 88(%rdi), %r12; mov 96(%rdi), %r13\n"
    "mov 104(%rdi), %r14; mov 112(%rdi), %r15; mov 40(%rdi), %rdi\n"
    "call *(%rsp)\n"
    "pushfq; push %rdi; mov 24(%rsp), %rdi\n"
    "mov %rax, 0(%rdi); mov %rbx, 8(%rdi); mov %rcx, 16(%rdi); mov %rdx, 24(%rdi)\n"
    "mov %rsi, 32(%rdi); mov %rbp, 48(%rdi); mov %r8, 56(%rdi); mov %r9, 64(%rdi)\n"
    "mov %r10, 72(%rdi); mov %r11, 80(%rdi); mov %r12, 88(%rdi); mov %r13, 96(%rdi)\n"
    "mov %r14, 104(%rdi); mov %r15, 112(%rdi)\n"
    "pop 40(%rdi); pop 120(%rdi)\n"
    "pop %rdx; pop %rsi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

// A snippet: `jump` is where a jump would start, `call` the instruction.
#define SNIPPET(name, before, moved) SNIPPET_OF("syscall", name, before, moved)
#define QUESTION(name, before, moved) SNIPPET_OF("cpuid", name, before, moved)
#define SNIPPET_OF(instruction, name, before, moved) \
    extern char name##_jump[], name##_call[]; void name(void); \
    __asm__(".text; .p2align 4; " #name ": .fill 96, 1, 0x90; " before " \n" \
            #name "_jump: " moved " \n" #name "_call: " instruction "; ret; .fill 160, 1, 0x90")

// getpid is 39.
SNIPPET(number, "", "mov $39, %eax");
SNIPPET(loaded, "", "mov 8(%rsp), %eax; .byte 0x3e, 0x89, 0xc0; mov $39, %eax");
SNIPPET(one, "mov $39, %ecx", "mov $0, %edx; lea 0x1234(%rcx), %rax; sub $0x1234, %rax");
SNIPPET(small, "", "xor %edx, %edx; push $39; pop %rax");
SNIPPET(moves, "", "mov %rdi, %rax; mov %rsi, %rdi; mov %rdx, %rsi");
SNIPPET(flags, "", "mov $39, %eax; cmp %eax, %edi; setb %dl");
SNIPPET(stack, "", "push $39; mov (%rsp), %rax; pop %rdx");
// The second instruction is the target of a branch, which takes it twice.
SNIPPET(looped, "mov $2, %ebx", "mov $38, %eax\n1: inc %eax; dec %ebx; cmp $1, %ebx; je 1b; dec %eax");
SNIPPET(entered, "mov $39, %eax; jmp 1f", "xor %eax, %eax\n1: mov %eax, %edx");
// Jumps over the moved instructions, straight to the syscall.
SNIPPET(direct, "mov $39, %eax; jmp direct_call", "mov $999, %eax");
// Faults in its second instruction, which would be inside the jump.
SNIPPET(faulting, "", "xor %edx, %edx; mov (%rdi), %rax");

// Leaf 0, whose answer nobody changes, and the highest leaf of hypervisors' or AMD's.
QUESTION(vendor, "", "mov $0, %eax");
QUESTION(vendor_moved, "xor %edi, %edi", "mov %edi, %eax; mov %r8d, %ecx");
QUESTION(vendor_direct, "xor %eax, %eax; jmp vendor_direct_call", "mov $1, %eax");
QUESTION(extended, "", "mov $0x80000000, %eax");

static volatile uint64_t fault_rip;
static const uint64_t number_of_getpid = SYS_getpid;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    ucontext_t *user = context;
    fault_rip = user->uc_mcontext.gregs[REG_RIP];
    user->uc_mcontext.gregs[REG_RDI] = (uint64_t)&number_of_getpid;
}

static int patched, all;

static void check(const char *name, void (*code)(void), const char *jump, const char *call,
                  uint64_t rdi) {
    const uint64_t carry = 1, direction = 0x400;
    // rax is where a snippet takes its number from if it makes none.
    struct registers before = {
        .rax = 39, .rbx = 2, .rcx = 3, .rdx = 4, .rsi = 5, .rdi = rdi, .rbp = 7, .r8 = 8,
        .r9 = 9, .r10 = 10, .r11 = 11, .r12 = 12, .r13 = 13, .r14 = 14, .r15 = 15,
        .rflags = 0x202 | carry | direction,
    };
    struct registers after;
    memset(&after, 0x55, sizeof after);
    run(&before, &after, code);
    __asm__ volatile("cld");
    CHECK(after.rax == (uint64_t)getpid());
    CHECK(after.rcx == (uint64_t)call + 2);
    CHECK(after.r11 == after.rflags);
    CHECK(after.rflags & direction);
    CHECK(after.rbp == 7 && after.r8 == 8 && after.r9 == 9 && after.r10 == 10);
    CHECK(after.r12 == 12 && after.r13 == 13 && after.r14 == 14 && after.r15 == 15);
    all++;
    patched += memchr(jump, 0xe9, call - jump) != 0;
    printf("%s: rbx %lx rdx %lx rsi %lx flags %lx\n", name, (long)after.rbx, (long)after.rdx,
           (long)after.rsi, (long)after.rflags & 0x8d5);
}

// CPUID changes four registers, of which it clears the upper halves, and nothing else.
static void ask(const char *name, void (*code)(void), const char *jump, const char *call,
                uint64_t leaf) {
    const uint64_t flags = 0x202 | 1 | 0x400, high = 0x500000000;
    struct registers before = {
        .rax = high, .rbx = high, .rcx = high, .rdx = high, .rsi = 5, .rdi = 6, .rbp = 7, .r8 = 8,
        .r9 = 9, .r10 = 10, .r11 = 11, .r12 = 12, .r13 = 13, .r14 = 14, .r15 = 15,
        .rflags = flags,
    };
    struct registers after;
    memset(&after, 0x55, sizeof after);
    run(&before, &after, code);
    __asm__ volatile("cld");
    uint32_t eax, ebx, ecx, edx;
    __cpuid_count(leaf, 0, eax, ebx, ecx, edx);
    CHECK(after.rax == eax && after.rbx == ebx && after.rcx == ecx && after.rdx == edx);
    CHECK(after.rax >= leaf + 1);
    CHECK(after.rsi == 5 && after.rbp == 7 && after.r8 == 8 && after.r9 == 9);
    CHECK(after.r10 == 10 && after.r11 == 11 && after.r12 == 12 && after.r13 == 13);
    CHECK(after.r14 == 14 && after.r15 == 15);
    CHECK((after.rflags & ~0x8d5ul) == (flags & ~0x8d5ul));
    all++;
    patched += memchr(jump, 0xe9, call - jump) != 0;
}

#define ASK(name, leaf) ask(#name, name, name##_jump, name##_call, leaf)
#define RUN(name, rdi) check(#name, name, name##_jump, name##_call, rdi)

// A mapping of a file that could be written to and is code now: what a Lisp keeps its objects in. Words of it
// may look like system calls, and are what they are; code of it works.
static void keep_words_that_look_like_calls(void) {
    static const unsigned char code[] = {0x31, 0xc0, 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    static unsigned char page[4096];
    const char *name = "words";
    struct registers after = {0};
    memset(page, 0x90, sizeof page);
    for (unsigned at = 64; at + 64 < sizeof page; at += 64)
        memcpy(page + at, code, sizeof code);
    int file = open("/tmp/words", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(write(file, page, sizeof page) == sizeof page);
    for (int is_code = 0; is_code < 2; is_code++) {
        int before = PROT_READ | PROT_WRITE | (is_code ? PROT_EXEC : 0);
        unsigned char *words = mmap(0, sizeof page, before, MAP_PRIVATE, file, 0);
        CHECK(words != MAP_FAILED);
        CHECK(mprotect(words, sizeof page, PROT_READ | PROT_EXEC) == 0);
        CHECK(memcmp(words, page, sizeof page) == 0);
        CHECK(((int (*)(void))(words + 64))() == getpid());
        CHECK(munmap(words, sizeof page) == 0);
    }
    puts("words that look like calls stay where they could be written");
}

int main(void) {
    RUN(number, 6);
    RUN(loaded, 6);
    RUN(one, 6);
    RUN(small, 6);
    RUN(moves, 39);
    RUN(flags, 6);
    RUN(stack, 6);
    RUN(looped, 6);
    RUN(entered, 6);
    RUN(direct, 6);
    ASK(vendor, 0);
    ASK(vendor_moved, 0);
    ASK(vendor_direct, 0);
    ASK(extended, 0x80000000);

    keep_words_that_look_like_calls();

    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, 0);
    RUN(faulting, 0);
    printf("it faulted at the instruction that the program has there: %d\n",
           fault_rip == (uint64_t)faulting_jump + 2);
    printf("patched %d of %d\n", patched, all);
    return 0;
}
