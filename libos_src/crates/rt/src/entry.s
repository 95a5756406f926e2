// Every way into and out of the enclave, and between the program and the LibOS.
//
// Register conventions: SDM volume 3D, "EENTER", "EEXIT". Offsets in braces are those of
// abi::thread::page, of hal::UserRegs (REGS_*) and of the frame that SAVE_VECTORS makes.

    .equ CLEAN_FLAGS, 2

// The LibOS is compiled for SSE alone: it changes XMM registers and leaves the wider halves be.
// Below the program's registers it needs 16 times 16 bytes, and 8 to keep the stack aligned.
    .macro SAVE_VECTORS
    sub rsp, {VECTORS_SIZE}
    movaps [rsp], xmm0
    movaps [rsp + 16], xmm1
    movaps [rsp + 32], xmm2
    movaps [rsp + 48], xmm3
    movaps [rsp + 64], xmm4
    movaps [rsp + 80], xmm5
    movaps [rsp + 96], xmm6
    movaps [rsp + 112], xmm7
    movaps [rsp + 128], xmm8
    movaps [rsp + 144], xmm9
    movaps [rsp + 160], xmm10
    movaps [rsp + 176], xmm11
    movaps [rsp + 192], xmm12
    movaps [rsp + 208], xmm13
    movaps [rsp + 224], xmm14
    movaps [rsp + 240], xmm15
    .endm

// Nothing of the enclave stays in a vector or x87 register. It changes RAX and RDX.
    .macro SCRUB
    mov eax, {XFRM_ALL}
    xor edx, edx
    xrstor64 [rip + initial_state]
    .endm

// The components of the extended state, as XCR0 and XINUSE have them (SDM volume 1, "Enabling the XSAVE
// Feature Set"): of vector registers 0 to 15 AVX has the second quarter, ZMM_HI256 the upper half.
    .equ X87, 1 << 0
    .equ AVX, 1 << 2
    .equ OPMASK, 1 << 5
    .equ ZMM_HI256, 1 << 6
    .equ HI16_ZMM, 1 << 7

// The program's vectors in the thread page's area, in an order of their own: 32 registers, of 64 bytes
// each, and 8 masks, of 8 bytes. They begin behind the header, of which XSAVE leaves as it is what XRSTOR
// wants to be zero. MXCSR is where XSAVE has it.
    .equ KEPT_VECTORS, 512 + 64
    .equ KEPT_MASKS, KEPT_VECTORS + 32 * 64
    .equ KEPT_MXCSR, 24
// Such is what VECTORS_KEPT has, beside the components in use.
    .equ VECTORS_ALONE, 1 << 8

// Vectors 0 to 15, of which all 64 bytes are in use, or 32, or 16.
    .macro STORE_LOWER move, register
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    \move gs:[{XSAVE} + KEPT_VECTORS + \n * 64], \register\n
    .endr
    .endm
    .macro LOAD_LOWER move, register
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    \move \register\n, gs:[{XSAVE} + KEPT_VECTORS + \n * 64]
    .endr
    .endm
    .macro STORE_HIGHER
    .irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    vmovdqa64 gs:[{XSAVE} + KEPT_VECTORS + \n * 64], zmm\n
    .endr
    .endm
    .macro LOAD_HIGHER
    .irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    vmovdqa64 zmm\n, gs:[{XSAVE} + KEPT_VECTORS + \n * 64]
    .endr
    .endm
    .macro CLEAR_HIGHER
    .irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    vpxord xmm\n, xmm\n, xmm\n
    .endr
    .endm
    .macro STORE_MASKS
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    kmovq gs:[{XSAVE} + KEPT_MASKS + \n * 8], k\n
    .endr
    .endm
    .macro LOAD_MASKS
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    kmovq k\n, gs:[{XSAVE} + KEPT_MASKS + \n * 8]
    .endr
    .endm
    .macro CLEAR_MASKS
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    kxorq k\n, k\n, k\n
    .endr
    .endm

// Copies RDX bytes from RSI to RDI. If they overlap, RDI is the lower one, or there are 32 at most.
// It changes RAX, RCX, RDX, RSI, RDI, XMM0 to XMM4, and no memory but the destination.
//
// REP MOVSB is the fastest way for many bytes, but it takes long to begin, and on AMD's CPUs it
// copies byte by byte when the destination is less than a line ahead of the source within a page.
    .macro COPY
    cmp rdx, 32
    ja 12f
    cmp edx, 16
    jae 11f
    cmp edx, 8
    jae 10f
    cmp edx, 4
    jae 9f
    test edx, edx
    jz 19f
    movzx eax, byte ptr [rsi]
    mov ecx, edx
    shr ecx, 1
    movzx ecx, byte ptr [rsi + rcx]
    movzx esi, byte ptr [rsi + rdx - 1]
    mov [rdi], al
    mov [rdi + rdx - 1], sil
    shr edx, 1
    mov [rdi + rdx], cl
    jmp 19f
9:  mov eax, [rsi]
    mov ecx, [rsi + rdx - 4]
    mov [rdi], eax
    mov [rdi + rdx - 4], ecx
    jmp 19f
10: mov rax, [rsi]
    mov rcx, [rsi + rdx - 8]
    mov [rdi], rax
    mov [rdi + rdx - 8], rcx
    jmp 19f
11: movups xmm0, [rsi]
    movups xmm1, [rsi + rdx - 16]
    movups [rdi], xmm0
    movups [rdi + rdx - 16], xmm1
    jmp 19f
12: cmp rdx, {REPEAT_FROM}
    jb 13f
    mov eax, edi
    sub eax, esi
    dec eax
    and eax, 0xfff
    cmp eax, 62
    jbe 13f
    mov rcx, rdx
    rep movsb
    jmp 19f
    // The last 16 bytes, which may overlap those before them, come last.
13: movups xmm4, [rsi + rdx - 16]
    lea rax, [rdi + rdx - 16]
    sub rdx, 64
    jb 15f
14: movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups xmm2, [rsi + 32]
    movups xmm3, [rsi + 48]
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
    movups [rdi + 32], xmm2
    movups [rdi + 48], xmm3
    add rsi, 64
    add rdi, 64
    sub rdx, 64
    jae 14b
15: add rdx, 48
    jle 17f
16: movups xmm0, [rsi]
    movups [rdi], xmm0
    add rsi, 16
    add rdi, 16
    sub rdx, 16
    ja 16b
17: movups [rax], xmm4
19:
    .endm

// Fills RDX bytes at RDI with SIL. It changes RAX, RCX, RDX, RDI, XMM0, and no other memory.
    .macro FILL
    movzx eax, sil
    mov rcx, 0x0101010101010101
    imul rax, rcx
    cmp rdx, 16
    jae 12f
    cmp edx, 8
    jae 11f
    cmp edx, 4
    jae 10f
    test edx, edx
    jz 19f
    mov [rdi], al
    mov [rdi + rdx - 1], al
    shr edx, 1
    mov [rdi + rdx], al
    jmp 19f
10: mov [rdi], eax
    mov [rdi + rdx - 4], eax
    jmp 19f
11: mov [rdi], rax
    mov [rdi + rdx - 8], rax
    jmp 19f
12: cmp rdx, {REPEAT_FROM}
    jb 13f
    mov rcx, rdx
    rep stosb
    jmp 19f
13: movq xmm0, rax
    punpcklqdq xmm0, xmm0
    movups [rdi + rdx - 16], xmm0
    sub rdx, 16
    jbe 19f
14: movups [rdi], xmm0
    add rdi, 16
    sub rdx, 16
    ja 14b
19:
    .endm

    .section .text.entry, "ax"

// ---- EENTER: RAX = CSSA, RBX = TCS, RCX = where EEXIT goes, RDI RSI RDX = the host's.
    .globl enclave_entry
enclave_entry:
    cld
    // BASEADDR is not measured. The pointer is: the builder relocated it for base 0.
    lea r10, [rip + enclave_entry]
    cmp r10, [rip + entry_pointer]
    jne 8f
    cmp eax, 1
    ja 6f
    je 5f
    mov gs:[{HOST_RSP}], rsp
    mov gs:[{HOST_RBP}], rbp
    mov gs:[{HOST_RETURN}], rcx
    mov r10, gs:[{OCALL_RSP}]
    test r10, r10
    jnz 3f
    cmp rdi, {COMMAND_NOTHING}
    je 7f
    mov rsp, gs:[{KERNEL_STACK_TOP}]
    call clean_state
    xor ebp, ebp
    call {command}
    mov rsi, rax
    SCRUB
7:  mov edi, {EXIT_DONE}
    jmp leave

3:  // The reply to an OCALL.
    mov rsp, r10
    mov qword ptr gs:[{OCALL_RSP}], 0
    push CLEAN_FLAGS
    popfq
    cmp qword ptr gs:[{VECTORS_KEPT}], 0
    je 2f
    // The host may have left anything in the x87 state, but seldom has.
    mov ecx, 1
    xgetbv
    test al, X87
    jnz 4f
1:  // EAX: what the host left in use. What the program did not have in use it finds as it was, zero
    // and not in use: else each of its SSE instructions next to one of AVX would take a hundred times as long.
    mov edx, gs:[{VECTORS_KEPT}]
    vzeroupper
    test dl, ZMM_HI256
    jnz 25f
    test dl, AVX
    jnz 26f
    LOAD_LOWER movaps, xmm
    jmp 27f
25: LOAD_LOWER vmovdqa64, zmm
    jmp 27f
26: LOAD_LOWER vmovdqa, ymm
27: test dl, HI16_ZMM
    jnz 25f
    test al, HI16_ZMM
    jz 26f
    CLEAR_HIGHER
    jmp 26f
25: LOAD_HIGHER
26: test dl, OPMASK
    jnz 25f
    test al, OPMASK
    jz 26f
    CLEAR_MASKS
    jmp 26f
25: LOAD_MASKS
26: ldmxcsr gs:[{XSAVE} + KEPT_MXCSR]
    jmp 9f
2:  mov eax, gs:[{XFRM}]
    xor edx, edx
    xrstor64 gs:[{XSAVE}]
    jmp 9f
4:  mov eax, gs:[{XFRM}]
    xor edx, edx
    xrstor64 [rip + initial_state]
    xor eax, eax
    jmp 1b
9:  pop rax
    wrfsbase rax
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

5:  // CSSA = 1: an exception, an interruption, or the host tries us. The thread's state is in the
    // SSA. What the thread page has of the host belongs to that state, and stays.
    mov r10, rsp
    mov rsp, gs:[{EXCEPTION_STACK_TOP}]
    push r10
    push rbp
    push rcx
    push rcx
    call clean_state
    call {exception}
    SCRUB                       // the handler has moved the program's registers through vectors
    pop rcx
    pop rbx
    pop rbp
    pop rsp
    mov edi, {EXIT_RESUME}
    xor esi, esi
    jmp exit_with_host_stack

6:  // CSSA > 1: the exception handler was interrupted. Its stack is in use; touch nothing.
    mov rbx, rcx
    mov edi, {EXIT_RESUME}
    xor esi, esi
    jmp exit_with_host_stack

8:  // Not at base 0: GS-relative data may be anybody's, so leave by registers alone.
    mov rbx, rcx
    mov edi, {EXIT_DONE}
    mov rsi, {REFUSAL_BASE}
    jmp exit_with_host_stack

// ---- EEXIT: RDI = kind, RSI = argument. Nothing else may leave in a register.
leave:
    mov rsp, gs:[{HOST_RSP}]
    mov rbp, gs:[{HOST_RBP}]
    mov rbx, gs:[{HOST_RETURN}]
exit_with_host_stack:
    xor ecx, ecx
    xor edx, edx
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    xor r12d, r12d
    xor r13d, r13d
    xor r14d, r14d
    xor r15d, r15d
    mov eax, {EEXIT}
    .byte 0x0f, 0x01, 0xd7      // ENCLU
    ud2

// Flags, MXCSR and x87 control as the ABI wants them; the host chose what was there.
clean_state:
    push CLEAN_FLAGS
    popfq
    ldmxcsr [rip + initial_state + 24]
    fninit
    ret

// fn enclave_ocall(): the request is in the thread's block.
    .globl enclave_ocall
enclave_ocall:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    rdfsbase rax
    push rax
    inc qword ptr gs:[{OCALLS}]
    // The program's vectors are live: keep them, and show the host none. XSAVE and XRSTOR take as long
    // as all else together. They are needed where the x87 state is not the initial one, and where there
    // is no AVX.
    mov ecx, 1
    .globl access_components
access_components:
    xgetbv
    test al, X87
    jnz landing_components
    mov ecx, gs:[{XFRM}]
    and eax, ecx
    test cl, AVX
    jnz 1f
    .globl landing_components
landing_components:
    mov qword ptr gs:[{VECTORS_KEPT}], 0
    mov eax, gs:[{XFRM}]
    xor edx, edx
    xsave64 gs:[{XSAVE}]
    xrstor64 [rip + initial_state]
    jmp 2f
1:  // EAX: what is in use. The rest is zero.
    or eax, VECTORS_ALONE
    mov gs:[{VECTORS_KEPT}], rax
    test al, ZMM_HI256
    jnz 25f
    test al, AVX
    jnz 26f
    STORE_LOWER movaps, xmm
    jmp 27f
25: STORE_LOWER vmovdqa64, zmm
    jmp 27f
26: STORE_LOWER vmovdqa, ymm
27: vzeroall
    test al, HI16_ZMM
    jz 25f
    STORE_HIGHER
    CLEAR_HIGHER
25: test al, OPMASK
    jz 25f
    STORE_MASKS
    CLEAR_MASKS
25:
    stmxcsr gs:[{XSAVE} + KEPT_MXCSR]
    ldmxcsr [rip + initial_state + 24]
2:  mov gs:[{OCALL_RSP}], rsp
    mov edi, {EXIT_OCALL}
    xor esi, esi
    jmp leave

// fn enclave_done(status) -> !. Whatever OCALL the thread had begun is over, too.
    .globl enclave_done
enclave_done:
    mov qword ptr gs:[{OCALL_RSP}], 0
    mov rsi, rdi
    SCRUB
    mov edi, {EXIT_DONE}
    jmp leave

// ---- Leaves that return. fn enclave_leaf(leaf, rbx, rcx) -> rax
    .globl enclave_leaf
enclave_leaf:
    push rbx
    mov rax, rdi
    mov rbx, rsi
    mov rcx, rdx
    .p2align 3                  // a site in one word can be replaced in one step
    .byte 0x0f, 0x01, 0xd7      // ENCLU
    .byte 0x66, 0x90
    pop rbx
    ret

// ---- The same with RDX. fn enclave_leaf_from(leaf, rbx, rcx, rdx) -> rax
    .globl enclave_leaf_from
enclave_leaf_from:
    push rbx
    mov rax, rdi
    mov rbx, rsi
    xchg rcx, rdx
    .p2align 3                  // a site in one word can be replaced in one step
    .byte 0x0f, 0x01, 0xd7      // ENCLU
    .byte 0x66, 0x90
    pop rbx
    ret

// ---- A patched system call arrives here: RCX = the address after the site, all else as the
// program left it. The kernel stack is empty, for the program was running.
//
// A call whose answer is known ahead changes RAX and R11 alone, and the stack below RSP not at all; and
// so does one that asks for the time.
// From `answer_window` on the thread no longer looks whether it was interrupted. The handler then has
// it make the call again, from what is on the kernel stack: the number, and the flags.
    .globl syscall_entry
syscall_entry:
    mov gs:[{USER_RSP}], rsp
    mov rsp, gs:[{KERNEL_STACK_TOP}]
    push rax
    pushfq
    inc qword ptr gs:[{PATCHED_SYSCALLS}]
    cmp rax, {ANSWERS_COUNT}
    jae 5f
    mov r11d, gs:[{ANSWERS} + rax * 4]
    sub r11d, 1
    jb syscall_unanswered
    mov rax, [rip + {answers_version}]
    cmp rax, gs:[{ANSWERS_VERSION}]
    jne syscall_unanswered
4:  test dword ptr gs:[{PATCHED_SYSCALLS}], {LOOK_MASK}
    jz syscall_unanswered
    cmp dword ptr gs:[{INTERRUPTION}], 0
    .globl answer_window
answer_window:
    jne syscall_unanswered
    // Only the arithmetic flags have changed. POPFQ is slow: see below.
    bt dword ptr [rsp], {OVERFLOW_BIT}
    setc al
    mov ah, [rsp]
    add al, 0x7f                // overflows if the program's operation did
    sahf
    mov eax, r11d
    pop r11
    mov rsp, gs:[{USER_RSP}]
    jmp rcx
    .globl answer_window_end
answer_window_end:
    // The time, as rt::clock tells it: while the last answer of the host serves. It is written before
    // the thread looks whether it was interrupted, and once more if it was.
5:  cmp rax, [rip + {clock_call}]
    jne syscall_unanswered
    cmp edi, {CLOCK_LAST}
    ja syscall_unanswered
    push rdx
    push rbx
    push rdi
    mov edi, edi
    shl rdi, {CLOCK_SHIFT}
    lea rbx, [rip + {clocks}]
    add rbx, rdi
    mov r11, gs:[{BOOT_INFO}]
    mov rax, rsi
    sub rax, [r11 + {USER_START}]
    mov rdx, [r11 + {USER_SIZE}]
    sub rdx, 16
    cmp rax, rdx
    ja landing_clock
    mov r11, [rbx + {CLOCK_VERSION}]
    test r11d, 1
    jnz landing_clock
    .globl access_clock
access_clock:
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, [rbx + {CLOCK_TICKS}]
    cmp rax, [rbx + {CLOCK_SERVES}]
    jae landing_clock
    mul qword ptr [rbx + {CLOCK_RATE}]
    shrd rax, rdx, 32
    add rax, [rbx + {CLOCK_NANOSECONDS}]
    jc landing_clock
    cmp r11, [rbx + {CLOCK_VERSION}]
    jne landing_clock
    // No earlier than the latest time that anyone saw, unless the clock was set back since.
    mov rdx, rax
    mov rax, [rbx + {CLOCK_LATEST}]
6:  mov r11, rax
    sub r11, rdx
    jae 7f
    lock cmpxchg [rbx + {CLOCK_LATEST}], rdx
    jne 6b
    mov rax, rdx
    jmp 8f
7:  cmp r11, {CLOCK_DIFFERS}
    ja landing_clock
8:  xor edx, edx
    mov edi, 1000000000
    div rdi
    mov [rsi], rax
    mov [rsi + 8], rdx
    .globl access_clock_end
access_clock_end:
    pop rdi
    pop rbx
    pop rdx
    xor r11d, r11d
    jmp 4b
    .globl landing_clock
landing_clock:
    pop rdi
    pop rbx
    pop rdx
    .globl syscall_unanswered
syscall_unanswered:
    mov rax, [rsp + 8]
    rdfsbase r11
    mov [rsp + 8], r11
    push rcx
    push r15
    push r14
    push r13
    push r12
    mov r11, [rsp + 40]
    push r11
    push r10
    push r9
    push r8
    push qword ptr gs:[{USER_RSP}]
    push rbp
    push rdi
    push rsi
    push rdx
    push rcx
    push rbx
    push rax
    test r11d, {UNWANTED_FLAGS}
    jnz 2f
1:  SAVE_VECTORS
    lea rdi, [rsp + {VECTORS_SIZE}]
    mov gs:[{USER_REGISTERS}], rdi
    call {syscall}
    jmp return_to_user
2:  push CLEAN_FLAGS
    popfq
    jmp 1b

// ---- A patched CPUID arrives here: RDX = the address after the site. RBX is to be answered, too.
    .globl cpuid_entry
cpuid_entry:
    mov gs:[{USER_RSP}], rsp
    mov rsp, gs:[{KERNEL_STACK_TOP}]
    rdfsbase rbx
    push rbx
    pushfq
    push rdx
    push r15
    push r14
    push r13
    push r12
    push r11
    push r10
    push r9
    push r8
    push qword ptr gs:[{USER_RSP}]
    push rbp
    push rdi
    push rsi
    push rdx
    push rcx
    push rbx
    push rax
    test dword ptr [rsp + {REGS_RFLAGS}], {UNWANTED_FLAGS}
    jnz 2f
1:  SAVE_VECTORS
    lea rdi, [rsp + {VECTORS_SIZE}]
    mov gs:[{USER_REGISTERS}], rdi
    call {cpuid}
    jmp return_to_user
2:  push CLEAN_FLAGS
    popfq
    jmp 1b

// ---- The exception handler sends a program here, with RSP at the registers that it saved.
    .globl exception_entry
exception_entry:
    SAVE_VECTORS
    lea rdi, [rsp + {VECTORS_SIZE}]
    mov gs:[{USER_REGISTERS}], rdi
    call {user_exception}

// ---- Back to the program. RSP: the vectors, then hal::UserRegs, which end the kernel stack.
// From `return_window` on the thread no longer looks whether it was interrupted. The handler then
// takes it back to `return_interrupted`: nothing in this code writes what it reads.
return_to_user:
    cmp dword ptr gs:[{INTERRUPTION}], 0
    .globl return_window
return_window:
    jne return_interrupted
    movaps xmm0, [rsp]
    movaps xmm1, [rsp + 16]
    movaps xmm2, [rsp + 32]
    movaps xmm3, [rsp + 48]
    movaps xmm4, [rsp + 64]
    movaps xmm5, [rsp + 80]
    movaps xmm6, [rsp + 96]
    movaps xmm7, [rsp + 112]
    movaps xmm8, [rsp + 128]
    movaps xmm9, [rsp + 144]
    movaps xmm10, [rsp + 160]
    movaps xmm11, [rsp + 176]
    movaps xmm12, [rsp + 192]
    movaps xmm13, [rsp + 208]
    movaps xmm14, [rsp + 224]
    movaps xmm15, [rsp + 240]
    add rsp, {VECTORS_SIZE}
    // Most often it is there already, and writing it is slow.
    mov rax, [rsp + {REGS_FS_BASE}]
    rdfsbase rcx
    cmp rax, rcx
    jne 4f
    // IRET is illegal in an enclave, so the last jump goes through the thread page.
1:  mov rax, [rsp + {REGS_RIP}]
    mov gs:[{USER_RIP}], rax
    mov eax, [rsp + {REGS_RFLAGS}]
    test eax, {UNWANTED_FLAGS}
    jnz 3f
    // The LibOS has none of these set, so only the arithmetic flags differ. POPFQ is slow, too.
    mov ecx, eax
    shr ecx, 11
    mov ah, al
    mov al, cl
    add al, 0x7f                // overflows if the program's operation did
    sahf
2:  pop rax
    pop rbx
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    pop rbp
    mov r8, [rsp + 8]
    mov r9, [rsp + 16]
    mov r10, [rsp + 24]
    mov r11, [rsp + 32]
    mov r12, [rsp + 40]
    mov r13, [rsp + 48]
    mov r14, [rsp + 56]
    mov r15, [rsp + 64]
    mov rsp, [rsp]
    jmp qword ptr gs:[{USER_RIP}]
3:  push rax
    popfq
    jmp 2b
4:  wrfsbase rax
    jmp 1b
    .globl return_window_end
return_window_end:
    .globl return_interrupted
return_interrupted:
    lea rdi, [rsp + {VECTORS_SIZE}]
    call {interruption}
    jmp return_to_user

// fn enter_user(&UserRegs) -> !: a thread's first step; its vectors are below its registers. Both
// move up to the end of the kernel stack, where all other ways to the program have them.
    .globl enter_user
enter_user:
    mov rdx, gs:[{KERNEL_STACK_TOP}]
    lea rsi, [rdi + {REGS_SIZE} - 8]
    lea rdi, [rdx - 8]
    mov ecx, ({REGS_SIZE} + {VECTORS_SIZE}) / 8
    std
    rep movsq
    cld
    lea rsp, [rdx - {REGS_SIZE} - {VECTORS_SIZE}]
    lea rdi, [rsp + {VECTORS_SIZE}]
    mov gs:[{USER_REGISTERS}], rdi
    jmp return_to_user

// fn reset_extended_state(): the initial one, but for XMM registers, which are the LibOS's.
    .globl reset_extended_state
reset_extended_state:
    mov eax, gs:[{XFRM}]
    xor edx, edx
    xrstor64 [rip + initial_state]
    ret

// fn save_extended_state() / restore_extended_state(): the thread page's area.
    .globl save_extended_state
save_extended_state:
    mov eax, gs:[{XFRM}]
    xor edx, edx
    xsave64 gs:[{XSAVE}]
    ret
    .globl restore_extended_state
restore_extended_state:
    mov eax, gs:[{XFRM}]
    xor edx, edx
    xrstor64 gs:[{XSAVE}]
    ret

// ---- Memory. A fault of the program's at one of the labels `access_*`, or between two of them, goes
// on at its landing. The enclave's own may meet none.
// fn user_copy(destination, source, length) -> 0 if all was copied
    .globl user_copy
user_copy:
    .globl access_copy
access_copy:
    COPY
    .globl access_copy_end
access_copy_end:
    xor eax, eax
    ret
// fn user_fill(destination, byte, length) -> 0 if all was filled
    .globl user_fill
user_fill:
    .globl access_fill
access_fill:
    FILL
    .globl access_fill_end
access_fill_end:
    xor eax, eax
    ret
    .globl landing_failed
landing_failed:
    mov eax, 1
    ret
// fn enclave_copy(destination, source, length) -> destination, as COPY
    .globl enclave_copy
enclave_copy:
    mov r8, rdi
    COPY
    mov rax, r8
    ret
// fn enclave_copy_back(destination, source, length) -> destination; the destination is the higher one,
// and there are 16 bytes at least.
    .globl enclave_copy_back
enclave_copy_back:
    mov rax, rdi
    movups xmm1, [rsi]
1:  movups xmm0, [rsi + rdx - 16]
    movups [rdi + rdx - 16], xmm0
    sub rdx, 16
    cmp rdx, 16
    ja 1b
    movups [rdi], xmm1
    ret
// fn enclave_fill(destination, byte, length) -> destination
    .globl enclave_fill
enclave_fill:
    mov r8, rdi
    FILL
    mov rax, r8
    ret
// fn user_zeros(address, length) -> length of the zeros at the start, in steps of 64
    .globl user_zeros
user_zeros:
    mov rax, rdi
    add rsi, rdi
    pxor xmm1, xmm1
5:  cmp rdi, rsi
    jae landing_zeros
    .globl access_zeros
access_zeros:
    movdqa xmm0, [rdi]
    por xmm0, [rdi + 16]
    por xmm0, [rdi + 32]
    por xmm0, [rdi + 48]
    .globl access_zeros_end
access_zeros_end:
    pcmpeqb xmm0, xmm1
    pmovmskb ecx, xmm0
    cmp ecx, 0xffff
    jne landing_zeros
    add rdi, 64
    jmp 5b
    .globl landing_zeros
landing_zeros:
    sub rdi, rax
    mov rax, rdi
    ret
// fn user_same(a, b, length) -> length of what is the same at both, in steps of 64
    .globl user_same
user_same:
    mov rax, rdi
    add rdx, rdi
6:  cmp rdi, rdx
    jae landing_zeros
    .globl access_same
access_same:
    movdqa xmm0, [rdi]
    movdqa xmm1, [rdi + 16]
    movdqa xmm2, [rdi + 32]
    movdqa xmm3, [rdi + 48]
    pcmpeqb xmm0, [rsi]
    pcmpeqb xmm1, [rsi + 16]
    pcmpeqb xmm2, [rsi + 32]
    pcmpeqb xmm3, [rsi + 48]
    .globl access_same_end
access_same_end:
    pand xmm0, xmm1
    pand xmm2, xmm3
    pand xmm0, xmm2
    pmovmskb ecx, xmm0
    cmp ecx, 0xffff
    jne landing_zeros
    add rdi, 64
    add rsi, 64
    jmp 6b
// fn user_load(address) -> (value, fault)
    .globl user_load
user_load:
    .globl access_load
access_load:
    mov eax, [rdi]
    xor edx, edx
    ret
// fn user_store(address, value) -> (_, fault)
    .globl user_store
user_store:
    .globl access_store
access_store:
    xchg [rdi], esi
    xor edx, edx
    ret
// fn user_compare_exchange(address, current, new) -> (found, fault)
    .globl user_compare_exchange
user_compare_exchange:
    mov eax, esi
    mov ecx, edx
    .globl access_compare_exchange
access_compare_exchange:
    lock cmpxchg [rdi], ecx
    xor edx, edx
    ret
// fn read_counter() -> (value, fault): RDTSC, which faults with SGX1.
    .globl read_counter
read_counter:
    .globl access_counter
access_counter:
    rdtsc
    shl rdx, 32
    or rax, rdx
    xor edx, edx
    ret
    .globl landing_fault
landing_fault:
    mov edx, 1
    ret

    .section .rodata.initial_state, "a"
    .balign 64
initial_state:                  // An XSAVE image with every component in its initial state.
    .short 0x37f                // x87 control word
    .zero 22
    .long 0x1f80                // MXCSR
    .zero 548

    .section .data.rel.ro.entry_pointer, "aw"
    .balign 8
entry_pointer:
    .quad enclave_entry
