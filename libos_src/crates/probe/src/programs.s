// Programs of the probe. See programs.rs for what they are given.
    .section .text.probe, "ax"

// Writes a line and exits with the host's number.
    .globl probe_hello
probe_hello:
    mov r12, rsi
    mov eax, 1
    mov edi, 1
    lea rsi, [rip + 2f]
    mov edx, 11
    syscall
    cmp rax, 11
    jne 9f
    mov eax, 231
    mov rdi, r12
    syscall
9:  ud2
2:  .ascii "hello probe"
    .globl probe_hello_end
probe_hello_end:

// RSI system calls by the trap. Registers that `syscall` keeps must be kept.
    .globl probe_trap
probe_trap:
    mov r12, rsi
    mov rbx, 0x1122334455667788
    movq xmm9, rbx
1:  mov eax, 39
    syscall
2:  cmp eax, 1
    jne 9f
    lea rax, [rip + 2b]
    cmp rax, rcx
    jne 9f
    dec r12
    jnz 1b
    movq rax, xmm9
    cmp rax, rbx
    jne 9f
    xor edi, edi
    mov eax, 231
    syscall
9:  ud2
    .globl probe_trap_end
probe_trap_end:

// RSI system calls in the form of a patched site.
    .globl probe_patched
probe_patched:
    mov r12, rsi
    mov r13, rdx
    mov rbx, 0x1122334455667788
    movq xmm9, rbx
1:  mov eax, 39
    lea rcx, [rip + 2f]
    jmp r13
2:  cmp eax, 1
    jne 9f
    dec r12
    jnz 1b
    movq rax, xmm9
    cmp rax, rbx
    jne 9f
    xor edi, edi
    mov eax, 231
    syscall
9:  ud2
    .globl probe_patched_end
probe_patched_end:

// RSI system calls whose answer is known ahead: how many of them have come to the kernel. None may change
// more than Linux does, be it a flag. Exit status: 0; 8 if one did, 9 if the kernel was asked too often,
// or too seldom.
    .globl probe_answered
probe_answered:
    mov r12, rsi
    mov r13, rdx
    xor r14d, r14d
    // What is told ahead holds until something changes that it rests on.
    .irp wanted, 1, 1, 2, 2
    mov eax, 102
    lea rcx, [rip + 1f]
    jmp r13
1:  cmp eax, \wanted
    jne 9f
    inc r14
    cmp r14, 2
    jne 5f
    mov eax, 109
    syscall
5:
    .endr
    xor r14d, r14d
    mov rbx, 0x1122334455667788
    movq xmm9, rbx
    movq xmm0, rbx
    .irp register, rbp, rsi, rdi, rdx, r8, r9, r10
    mov \register, rbx
    .endr
2:  inc r14
    // Every combination of CF, PF, AF, ZF, SF and OF comes by.
    imul eax, r14d, 0x9e3779b1
    shr eax, 20
    and eax, 0x8d5
    or eax, 0x202
    push rax
    popfq
    mov [rsp - 8], rbx
    mov eax, 102
    lea rcx, [rip + 3f]
    jmp r13
3:  mov r15, rax
    mov rax, [rsp - 8]          // it may use the red zone
    pushfq
    cmp rax, rbx
    jne 8f
    pop rax
    cmp rax, r11
    jne 8f
    lea rax, [rip + 3b]
    cmp rax, rcx
    jne 8f
    .irp register, rbp, rsi, rdi, rdx, r8, r9, r10
    cmp \register, rbx
    jne 8f
    .endr
    movq rax, xmm9
    cmp rax, rbx
    jne 8f
    movq rax, xmm0
    cmp rax, rbx
    jne 8f
    // What the flags were to be, computed again.
    imul eax, r14d, 0x9e3779b1
    shr eax, 20
    and eax, 0x8d5
    or eax, 0x202
    cmp rax, r11
    jne 8f
    cmp r14, r12
    jb 2b
    // One in 1024 has come to the kernel, and the first few.
    shr r12, 10
    cmp r15d, r12d
    jb 9f
    lea rax, [r12 + 4]
    cmp r15, rax
    ja 9f
    xor edi, edi
    mov eax, 231
    syscall
8:  mov edi, 8
    mov eax, 231
    syscall
9:  mov edi, 9
    mov eax, 231
    syscall
    .globl probe_answered_end
probe_answered_end:

// Yields RSI times.
    .globl probe_yields
probe_yields:
    mov r12, rsi
1:  mov eax, 24
    syscall
    dec r12
    jnz 1b
    xor edi, edi
    mov eax, 231
    syscall
    .globl probe_yields_end
probe_yields_end:

// RSI system calls that ask for the time, which the entry code serves while it can. Exit status: 0; 8 if one
// changed what Linux does not change, or wrote where it may not, 9 if time went back.
    .globl probe_clock
probe_clock:
    mov r12, rsi
    mov r13, rdx
    lea rbp, [rdi + 64]
    xor r14d, r14d
    mov eax, 24                 // from here on it may be stepped through
    syscall
    mov rbx, 0x1122334455667788
1:  mov rsi, rbp
    mov edi, 1
    mov rdx, rbx
    mov r8, rbx
    mov [rsp - 8], rbx
    std
    lea rcx, [rip + 2f]
    mov eax, 229
    jmp r13
2:  pushfq
    cld
    test rax, rax
    jnz 8f
    pop rax
    cmp rax, r11
    jne 8f
    bt eax, 10
    jnc 8f
    cmp rdx, rbx
    jne 8f
    cmp r8, rbx
    jne 8f
    cmp rdi, 1
    jne 8f
    cmp rsi, rbp
    jne 8f
    cmp qword ptr [rbp + 8], 1000000000
    jae 9f
    imul rax, [rbp], 1000000000
    add rax, [rbp + 8]
    cmp rax, r14
    jb 9f
    mov r14, rax
    dec r12
    jnz 1b
    // Where there is nothing, in the LibOS, and beyond all.
    .irp wrong, 0, r13, -8
    mov rsi, \wrong
    lea rcx, [rip + 3f]
    mov eax, 229
    jmp r13
3:  cmp rax, -14
    jne 8f
    .endr
    // A clock that is none of the two.
    mov edi, 2
    mov rsi, rbp
    lea rcx, [rip + 4f]
    mov eax, 229
    jmp r13
4:  cmp rax, -22
    jne 8f
    xor edi, edi
    mov eax, 231
    syscall
8:  mov edi, 8
    mov eax, 231
    syscall
9:  mov edi, 9
    mov eax, 231
    syscall
    .globl probe_clock_end
probe_clock_end:

// RSI system calls that each make one OCALL; time must not go back.
    .globl probe_ocall
probe_ocall:
    mov r12, rsi
    xor r14d, r14d
1:  mov eax, 228
    syscall
    cmp rax, r14
    jb 9f
    mov r14, rax
    dec r12
    jnz 1b
    xor edi, edi
    mov eax, 231
    syscall
9:  ud2
    .globl probe_ocall_end
probe_ocall_end:

// Each fault must arrive with its vector, at its instruction. The exit status is the number of the
// first that did not, or 0.
    .globl probe_faults
probe_faults:
    mov ebx, 1
    lea r15, [rip + 2f]
    xor ecx, ecx
    xor edx, edx
    mov eax, 1
11: div ecx
2:  test eax, eax
    jnz 9f
    lea rax, [rip + 11b]
    cmp rax, rcx
    jne 9f
    inc ebx
    lea r15, [rip + 3f]
12: ud2
3:  cmp eax, 6
    jne 9f
    lea rax, [rip + 12b]
    cmp rax, rcx
    jne 9f
    inc ebx
    lea r15, [rip + 4f]
    mov eax, 0x1234
13: mov al, [rax]
4:  cmp eax, 14
    jne 9f
    cmp edx, 0x1234
    jne 9f
    lea rax, [rip + 13b]
    cmp rax, rcx
    jne 9f
    inc ebx
    lea r15, [rip + 5f]
14: int3
5:  cmp eax, 3
    jne 9f
    lea rax, [rip + 14b]
    cmp rax, rcx
    jne 9f
    inc ebx
    lea r15, [rip + 6f]
    mov rax, 0x8000000000000000
15: mov al, [rax]
6:  cmp eax, 13
    jne 9f
    inc ebx
    // CPUID is answered, not passed on: leaf 7 must not show SGX.
    lea r15, [rip + 9f]
    push rbx
    mov eax, 7
    xor ecx, ecx
    cpuid
    mov eax, ebx
    pop rbx
    test eax, 4
    jnz 9f
    inc ebx
    // A bad buffer is an error, not a fault.
    mov eax, 1
    mov edi, 1
    mov esi, 0x1000
    mov edx, 8
    syscall
    cmp rax, -14
    jne 9f
    xor ebx, ebx
9:  mov edi, ebx
    mov eax, 231
    syscall
    .globl probe_faults_end
probe_faults_end:

// What the program may not do with a page must fault there, with the page fault's vector and the
// exact address. The exit status is the number of the first check that failed, or 0.
    .macro PAGES number, prot
    mov eax, \number
    mov rdi, r12
    mov esi, 0x2000
    mov edx, \prot
    syscall
    test rax, rax
    jnz 9f
    .endm
    // The instruction that follows the macro is to fault at R12 + offset.
    .macro EXPECT_FAULT offset
    inc ebx
    lea r13, [r12 + \offset]
    lea r15, [rip + 5f]
    .endm
    .macro FAULTED
    jmp 9f
5:  cmp eax, 14
    jne 9f
    cmp rdx, r13
    jne 9f
    .endm
    .globl probe_protection
probe_protection:
    mov r14, rsi
    lea r12, [rdi + 0x3f000]
    xor ebx, ebx
    // Not there yet.
    EXPECT_FAULT 0
    mov al, [r13]
    FAULTED
    PAGES 9, 3
    mov byte ptr [r12 + 0x1fff], 1
    // Data is not code.
    mov byte ptr [r12], 0xc3
    EXPECT_FAULT 0
    jmp r13
    FAULTED
    PAGES 10, 1
    cmp byte ptr [r12 + 0x1fff], 1
    jne 9f
    EXPECT_FAULT 0x1008
    mov byte ptr [r13], 2
    FAULTED
    // The kernel writes there all the same under SGX1 (R14 = 0), and the page stays closed.
    inc ebx
    mov eax, 318
    lea rdi, [r12 + 8]
    syscall
    cmp rax, 8
    je 1f
    cmp rax, -14
    jne 9f
    test r14, r14
    jz 9f
1:  EXPECT_FAULT 8
    mov byte ptr [r13], 2
    FAULTED
    // Code is not data.
    PAGES 10, 5
    lea rax, [rip + 2f]
    push rax
    jmp r12
2:  EXPECT_FAULT 0
    mov byte ptr [r13], 2
    FAULTED
    PAGES 10, 0
    EXPECT_FAULT 0x1ff8
    mov rax, [r13]
    FAULTED
    PAGES 10, 3
    inc ebx
    cmp byte ptr [r12 + 0x1fff], 1
    jne 9f
    mov byte ptr [r12 + 0x1fff], 2
    PAGES 11, 0
    EXPECT_FAULT 0x1fff
    mov byte ptr [r13], 2
    FAULTED
    // What comes back is empty.
    PAGES 9, 3
    inc ebx
    cmp byte ptr [r12 + 0x1fff], 0
    jne 9f
    // There is no program at address 0.
    inc ebx
    lea r15, [rip + 3f]
    xor ecx, ecx
    jmp rcx
3:  cmp eax, 14
    jne 9f
    or rcx, rdx
    jnz 9f
    xor ebx, ebx
9:  mov edi, ebx
    mov eax, 231
    syscall
    .globl probe_protection_end
probe_protection_end:

// Uses pages as it may, RSI times: whatever the host does about them, it must not notice.
    .globl probe_pages
probe_pages:
    mov r14, rsi
    lea r12, [rdi + 0x3f000]
1:  PAGES 9, 3
    cmp qword ptr [r12 + 0x1ff8], 0
    jne 8f
    mov [r12 + 0x1ff8], r14
    mov byte ptr [r12], 0xc3
    PAGES 10, 5
    cmp [r12 + 0x1ff8], r14
    jne 8f
    call r12
    PAGES 10, 3
    mov eax, 318
    mov rdi, r12
    syscall
    cmp rax, 8
    jne 8f
    cmp qword ptr [r12], 0
    je 8f
    PAGES 11, 0
    dec r14
    jnz 1b
    xor edi, edi
    mov eax, 231
    syscall
8:  mov edi, 8
    mov eax, 231
    syscall
9:  mov edi, 9
    mov eax, 231
    syscall
    .globl probe_pages_end
probe_pages_end:

// Writes and reads RSI times: never more than was asked for, never an error that the call cannot
// give, and no byte behind the buffer.
    .macro JUDGE_LENGTH max
    cmp rax, \max
    jbe 3f
    cmp rax, -4
    je 3f
    cmp rax, -5
    je 3f
    cmp rax, -9
    je 3f
    cmp rax, -11
    je 3f
    cmp rax, -28
    je 3f
    cmp rax, -32
    jne 8f
3:
    .endm
    .globl probe_lengths
probe_lengths:
    mov r14, rsi
    mov r12, rdi
    mov rbx, 0x1122334455667788
    mov [r12 + 16], rbx
1:  mov eax, 1
    mov edi, 1
    mov rsi, r12
    mov edx, 16
    syscall
    JUDGE_LENGTH 16
    xor eax, eax
    xor edi, edi
    mov rsi, r12
    mov edx, 16
    syscall
    JUDGE_LENGTH 16
    cmp [r12 + 16], rbx
    jne 8f
    dec r14
    jnz 1b
    xor edi, edi
    mov eax, 231
    syscall
8:  mov edi, 8
    mov eax, 231
    syscall
    .globl probe_lengths_end
probe_lengths_end:

// Starts two threads and ends the process with RSI while they are on their way.
    .globl probe_leaver
probe_leaver:
    mov r13, rsi
    lea rdi, [rip + 5f]
    mov eax, 56
    syscall
    lea rdi, [rip + 5f]
    mov eax, 56
    syscall
    mov rdi, r13
    mov eax, 231
    syscall
5:  mov eax, 60
    syscall
    ud2
    .globl probe_leaver_end
probe_leaver_end:

// Starts RSI threads, one after the other; each adds 1 to the shared word and wakes the first.
    .globl probe_threads
probe_threads:
    mov r12, rdi
    mov r13, rsi
    xor r14d, r14d
1:  lea rdi, [rip + 5f]
    mov eax, 56
    syscall
    test rax, rax
    jnz 9f
2:  mov edx, [r12]
    cmp edx, r14d
    jne 3f
    mov rdi, r12
    xor esi, esi
    mov eax, 202
    syscall
    jmp 2b
3:  inc r14d
    cmp r14d, r13d
    jb 1b
    xor edi, edi
    mov eax, 231
    syscall
9:  mov edi, 9
    mov eax, 231
    syscall
5:  lock inc dword ptr [rdi]
    mov esi, 1
    mov eax, 202
    syscall
    mov eax, 60
    syscall
    ud2
    .globl probe_threads_end
probe_threads_end:

// Keeps a value in vectors (those that memory functions use, too) and an opmask while it spins RSI times, traps now and then, and gets
// and gives back pages.
    .globl probe_vectors
probe_vectors:
    mov r14, rsi
    lea r12, [rdi + 0x3f000]
    mov rbx, 0x5aa55aa5deadbeef
    vpbroadcastq zmm31, rbx
    vpbroadcastq zmm15, rbx
    vmovdqa64 zmm1, zmm31
    vmovdqa64 zmm16, zmm31
    vmovdqa64 zmm17, zmm31
    kmovq k5, rbx
    shr rsi, 1
    // Denormals are zeros, and results are flushed.
    mov dword ptr [rsp - 16], 0x9fc0
    ldmxcsr [rsp - 16]
1:  cmp r14, rsi
    jne 3f
    // In the second half the x87 state is in use, too, and not as it begins.
    mov word ptr [rsp - 8], 0x27f
    fldcw [rsp - 8]
    fldpi
3:  mov ecx, 20000
2:  dec ecx
    jnz 2b
    push rsi
    mov eax, 228
    syscall
    pop rsi
    stmxcsr [rsp - 16]
    cmp dword ptr [rsp - 16], 0x9fc0
    jne 9f
    fnstcw [rsp - 8]
    movzx eax, word ptr [rsp - 8]
    cmp r14, rsi
    ja 4f
    cmp eax, 0x27f
    jne 9f
    fldpi
    fcomip st, st(1)
    jne 9f
    jp 9f
    jmp 5f
4:  cmp eax, 0x37f
    jne 9f
5:  push rsi
    PAGES 9, 3
    PAGES 11, 0
    pop rsi
    vpcmpeqq k1, zmm31, zmm15
    .irp register, zmm1, zmm16, zmm17
    vpcmpeqq k2, zmm31, \register
    kandq k1, k1, k2
    .endr
    kmovq rax, k1
    cmp eax, 0xff
    jne 9f
    kmovq rax, k5
    cmp rax, rbx
    jne 9f
    vextracti64x4 ymm0, zmm31, 1
    vmovq rax, xmm0
    cmp rax, rbx
    jne 9f
    dec r14
    jnz 1b
    xor edi, edi
    mov eax, 231
    syscall
9:  ud2
    .globl probe_vectors_end
probe_vectors_end:

// What the program has not in use of its vectors is not in use after an OCALL, and what it has is as it was:
// of the lower ones a quarter, half, all, and nothing of the higher ones and the masks; RSI times.
    .globl probe_unused
probe_unused:
    .macro IN_USE wanted
    mov ecx, 1
    xgetbv
    and eax, 0x44
    cmp eax, \wanted
    jne 9f
    movq rax, xmm1
    cmp rax, rbx
    jne 9f
    .endm
    mov r14, rsi
    lea r12, [rdi + 0x3f000]
    mov rbx, 0x5aa55aa5deadbeef
1:  vzeroall
    movq xmm1, rbx
    PAGES 9, 3
    IN_USE 0
    vptest xmm15, xmm15
    jnz 9f
    .irp register, zmm16, zmm24, zmm31
    vptestmq k1, \register, \register
    kmovq rax, k1
    test rax, rax
    jnz 9f
    .endr
    kmovq rax, k5
    test rax, rax
    jnz 9f
    PAGES 11, 0
    vpbroadcastq ymm1, xmm1
    vmovdqa ymm15, ymm1
    PAGES 9, 3
    IN_USE 0x04
    vpcmpeqq ymm2, ymm1, ymm15
    vpmovmskb eax, ymm2
    cmp eax, -1
    jne 9f
    PAGES 11, 0
    vpbroadcastq zmm1, xmm1
    vmovdqa64 zmm15, zmm1
    PAGES 9, 3
    IN_USE 0x44
    vpcmpeqq k1, zmm1, zmm15
    kmovq rax, k1
    cmp eax, 0xff
    jne 9f
    PAGES 11, 0
    dec r14
    jnz 1b
    xor edi, edi
    mov eax, 231
    syscall
9:  ud2
    .globl probe_unused_end
probe_unused_end:

// A second thread interrupts the first RSI times, and waits each time until the kernel has seen it.
// The first computes, makes system calls of every kind, and must not notice. Exit status: 0; 8 if
// it noticed, 9 if an interruption was lost.
    .globl probe_interrupts
probe_interrupts:
    mov [rdi + 16], rsi
    mov r12, rdi
    mov r13, rdx
    lea rdi, [rip + 5f]
    mov eax, 56
    syscall
    test rax, rax
    jnz 8f
    mov rbx, 0x1122334455667788
    movq xmm9, rbx
    .irp register, rbp, rsi, rdi, rdx, r8, r9, r10, r14, r15
    lea \register, [rbx + 1]
    mov rbx, \register
    .endr
1:  mov ecx, 2000
2:  dec ecx
    jnz 2b
    mov rax, rbx
    .irp register, r15, r14, r10, r9, r8, rdx, rdi, rsi, rbp
    cmp rax, \register
    jne 8f
    dec rax
    .endr
    movq rcx, xmm9
    cmp rax, rcx
    jne 8f
    mov eax, 39
    lea rcx, [rip + 3f]
    jmp r13
3:  cmp eax, 1
    jne 8f
    mov eax, 39
    syscall
    cmp eax, 1
    jne 8f
    mov eax, 228
    syscall
    cmp qword ptr [r12 + 32], 0
    je 4f
    // An interruption is on its way: a few calls, of a number that changes, and then none until it
    // has come. If it comes when the last call is almost over, it must not be overlooked.
    mov qword ptr [r12 + 32], 0
    add dword ptr [r12 + 40], 7
    mov ecx, [r12 + 40]
    and ecx, 127
    mov [r12 + 48], ecx
11: dec dword ptr [r12 + 48]
    js 13f
    mov eax, 39
    test dword ptr [r12 + 40], 1
    jz 14f
    mov eax, 102                // answered ahead
14: lea rcx, [rip + 12f]
    jmp r13
12: jmp 11b
13: mov ecx, [r12 + 56]
    cmp [r12 + 8], ecx
    je 13b
4:  cmp qword ptr [r12 + 24], 0
    je 1b
    xor edi, edi
    mov eax, 231
    syscall
8:  mov edi, 8
    mov eax, 231
    syscall

5:  mov r12, rdi
    mov r13, [r12 + 16]
6:  mov ebx, [r12 + 8]
    mov [r12 + 56], ebx
    mov qword ptr [r12 + 32], 1
    mov r14d, 200000000
    mov eax, 62
    xor edi, edi
    syscall
7:  pause
    dec r14d
    jz 9f
    cmp [r12 + 8], ebx
    je 7b
    dec r13
    jnz 6b
    mov qword ptr [r12 + 24], 1
    mov eax, 60
    syscall
9:  mov edi, 9
    mov eax, 231
    syscall
    .globl probe_interrupts_end
probe_interrupts_end:

// A second thread interrupts the first RSI times while that makes calls that are answered ahead, and tells
// it afterwards. From then on the first makes none until the interruption has come: exit status 9 if it
// was overlooked, else 0. The second makes no call that traps.
    .globl probe_looks
probe_looks:
    mov r12, rdi
    mov [r12 + 16], rsi
    mov [r12 + 24], rdx
    lea rdi, [rip + 5f]
    mov eax, 56
    syscall
    test rax, rax
    jnz 9f
    mov r13, [r12 + 24]
1:  mov eax, 102
    lea rcx, [rip + 2f]
    jmp r13
2:  cmp qword ptr [r12 + 40], 0
    jne 4f
    mov ebx, 4000
3:  mov ecx, [r12 + 32]
    cmp [r12 + 8], ecx
    jae 1b
    dec ebx
    jnz 3b
9:  mov edi, 9
    mov eax, 231
    syscall
4:  xor edi, edi
    mov eax, 231
    syscall

5:  mov r12, rdi
    mov r13, [r12 + 24]
    mov r14, [r12 + 16]
    xor ebx, ebx
6:  inc ebx
    // At another moment of the call each time.
    imul ecx, ebx, 0x9e3779b1
    shr ecx, 15
7:  pause
    dec ecx
    jnz 7b
    mov eax, 62
    xor edi, edi
    lea rcx, [rip + 8f]
    jmp r13
8:  mov [r12 + 32], ebx
7:  pause
    cmp [r12 + 8], ebx
    jb 7b
    cmp rbx, r14
    jb 6b
    mov qword ptr [r12 + 40], 1
    mov eax, 60
    syscall
    .globl probe_looks_end
probe_looks_end:

// Has the kernel meet the defect RSI.
    .globl probe_defect
probe_defect:
    mov eax, 9999
    mov rdi, rsi
    syscall
    ud2
    .globl probe_defect_end
probe_defect_end:

// Has a fault that nobody expects.
    .globl probe_crash
probe_crash:
    ud2
    .globl probe_crash_end
probe_crash_end:
