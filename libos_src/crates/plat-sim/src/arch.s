// EENTER, ERESUME, EEXIT and the signal entry, between host code and enclave code.
//
// Offsets in braces are those of ThreadBlock. While a thread is in the enclave, RSP "of the host"
// is the thread block's own little stack, whose top word is the block's address: code that leaves
// the enclave has no other way to find its thread, for FS and GS are the enclave's.

    .text

    .macro SAVE_HOST
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    stmxcsr [rsp]
    fnstcw [rsp + 4]
    mov [rdi + {HOST_RSP}], rsp
    .endm

// fn sim_enter(&mut ThreadBlock)
    .globl sim_enter
sim_enter:
    SAVE_HOST
    mov r10, rdi
    cmp byte ptr [r10 + {LOOKS_AT_EXITS}], 0
    je 1f
    mov eax, {COMPONENTS}
    xor edx, edx
    xrstor64 [rip + sim_initial_state]
1:  mov rax, [r10 + {ENCLAVE_FS}]
    wrfsbase rax
    mov rax, [r10 + {ENCLAVE_GS}]
    wrgsbase rax
    mov rbx, [r10 + {TCS}]
    mov rax, [r10 + {CSSA}]
    lea rcx, [rip + sim_exit]
    mov rdi, [r10 + {REGISTERS}]
    mov rsi, [r10 + {REGISTERS} + 8]
    mov rdx, [r10 + {REGISTERS} + 16]
    mov r8, [r10 + {REGISTERS} + 24]
    mov r9, [r10 + {REGISTERS} + 32]
    lea rsp, [r10 + {ANCHOR}]
    mov r11, [r10 + {ENTRY}]
    cmp qword ptr [r10 + {STEP_FLAGS}], 0
    je 2f
    push qword ptr [r10 + {STEP_FLAGS}]
    popfq
2:  jmp r11

// EEXIT lands here, because sim_enter said so in RCX. FS and GS are the host's again.
    .globl sim_exit
sim_exit:
    mov r10, [rsp]
    mov [r10 + {REGISTERS}], rdi
    mov [r10 + {REGISTERS} + 8], rsi
    cmp byte ptr [r10 + {LOOKS_AT_EXITS}], 0
    jne 2f
// An asynchronous exit lands here, with R10 = the block.
    .globl sim_interrupted
sim_interrupted:
    mov rsp, [r10 + {HOST_RSP}]
    cld
    ldmxcsr [rsp]
    // Loading the control word would put the x87 state in use, and the enclave would have to clear it at
    // the next entry.
    fnstcw [rsp]
    mov ax, [rsp + 4]
    cmp ax, [rsp]
    je 3f
    fldcw [rsp + 4]
3:  add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
2:  mov rsp, [r10 + {HOST_RSP}]
    pushfq
    pop qword ptr [r10 + {LEFT_FLAGS}]
    mov [r10 + {LEFT_REGISTERS}], rcx
    mov [r10 + {LEFT_REGISTERS} + 8], rdx
    mov [r10 + {LEFT_REGISTERS} + 16], r8
    mov [r10 + {LEFT_REGISTERS} + 24], r9
    mov [r10 + {LEFT_REGISTERS} + 32], r11
    mov [r10 + {LEFT_REGISTERS} + 40], r12
    mov [r10 + {LEFT_REGISTERS} + 48], r13
    mov [r10 + {LEFT_REGISTERS} + 56], r14
    mov [r10 + {LEFT_REGISTERS} + 64], r15
    mov eax, {COMPONENTS}
    xor edx, edx
    xsave64 [r10 + {LEFT_IMAGE}]
    jmp sim_interrupted

// fn sim_resume(&mut ThreadBlock): ERESUME from the SSA frame that the block names.
    .globl sim_resume
sim_resume:
    SAVE_HOST
    cmp byte ptr [rdi + {INTERRUPTED}], 0
    .globl sim_resume_window
sim_resume_window:
    jne 1f
    mov r8, [rdi + {SSA}]
    mov rax, [rdi + {XFRM}]
    xor edx, edx
    xrstor64 [r8]
    lea r8, [r8 + {GPRSGX}]
    mov rax, [r8 + {GPR_FS}]
    wrfsbase rax
    mov rax, [r8 + {GPR_GS}]
    wrgsbase rax
    mov ecx, ss
    push rcx
    push qword ptr [r8 + 32]
    mov rcx, [r8 + {GPR_RFLAGS}]
    or rcx, [rdi + {STEP_FLAGS}]
    push rcx
    mov ecx, cs
    push rcx
    push qword ptr [r8 + {GPR_RIP}]
    mov rax, [r8]
    mov rcx, [r8 + 8]
    mov rdx, [r8 + 16]
    mov rbx, [r8 + 24]
    mov rbp, [r8 + 40]
    mov rsi, [r8 + 48]
    mov rdi, [r8 + 56]
    mov r9, [r8 + 72]
    mov r10, [r8 + 80]
    mov r11, [r8 + 88]
    mov r12, [r8 + 96]
    mov r13, [r8 + 104]
    mov r14, [r8 + 112]
    mov r15, [r8 + 120]
    mov r8, [r8 + 64]
    iretq
    .globl sim_resume_window_end
sim_resume_window_end:
1:  // An interrupt came first: as if it had come right after.
    inc qword ptr [rdi + {CSSA}]
    mov byte ptr [rdi + {OUTCOME}], {OUTCOME_INTERRUPT}
    mov r10, rdi
    jmp sim_interrupted

// A patched EEXIT site jumps here, with the host's RSP and RBX = where to go.
    .globl sim_exit_gate
sim_exit_gate:
    mov r10, [rsp]
    mov rax, [r10 + {HOST_FS}]
    wrfsbase rax
    mov rax, [r10 + {HOST_GS}]
    wrgsbase rax
    jmp rbx

// A patched site of a leaf that returns calls here, on the enclave's stack. Only RAX and flags may
// change. If the leaf faults, the site is as it was before patching, and is executed again.
    .globl sim_leaf_gate
sim_leaf_gate:
    push rbp
    mov rbp, rsp
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    // The host's code may use any vector register, in its memory functions at the latest, and the
    // program's are live: x87, SSE, AVX and AVX-512, whose standard image ends at 2688.
    and rsp, -64
    sub rsp, 2688
    mov r10, rax
    mov r11, rdx
    xor eax, eax
    .irp offset, 512, 520, 528, 536, 544, 552, 560, 568
    mov [rsp + \offset], rax
    .endr
    mov eax, 0xe7
    xor edx, edx
    xsave64 [rsp]
    mov rax, r10
    mov rdx, r11
    mov rdi, rax
    mov rsi, rbx
    xchg rdx, rcx               // the operands in RBX, RCX, RDX become arguments 2, 3, 4
    mov r8, [rbp + 8]
    push rax
    push rax
    call {leaf_gate}
    pop rcx
    pop rcx
    test rdx, rdx
    jz 1f
    sub qword ptr [rbp + 8], 5
    mov rax, rcx
1:  mov r10, rax
    mov eax, 0xe7
    xor edx, edx
    xrstor64 [rsp]
    mov rax, r10
    lea rsp, [rbp - 64]
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbp
    ret

// The handler of every signal that the platform takes. FS may be the enclave's, so nothing of Rust
// or libc may run before it is the host's. The thread is found by its alternate stack, which the
// kernel notes in the frame: nothing on the stack or in a register can be believed.
    .globl sim_signal
sim_signal:
    // Linux leaves the flags be, and code that was interrupted may have set the one for which what
    // is not aligned faults. One word pushed, one popped: RSP stays at its own word.
    push 2
    popfq
    sub rsp, 8
    rdfsbase r13
    rdgsbase r14
    xor r12d, r12d
    mov rax, {ALTERNATE_SIZE}
    cmp [rdx + {UC_STACK_SIZE}], rax
    jne 1f
    mov rax, [rdx + {UC_STACK_START}]
    sub rax, {BLOCK_SIZE}
    mov rcx, {MAGIC}
    cmp [rax], rcx
    jne 1f
    mov r12, rax
    mov rax, [r12 + {HOST_FS}]
    wrfsbase rax
    mov rax, [r12 + {HOST_GS}]
    wrgsbase rax
    mov [r12 + {RETURN_FS}], r13
    mov [r12 + {RETURN_GS}], r14
    jmp 3f
1:  // Not attached: an interrupt means nothing, and the stack may be somebody's small one.
    cmp edi, {INTERRUPT_SIGNAL}
    je 2f
3:  mov rcx, r12
    call {signal}
    test r12, r12
    jz 2f
    mov rax, [r12 + {RETURN_FS}]
    wrfsbase rax
    mov rax, [r12 + {RETURN_GS}]
    wrgsbase rax
2:  add rsp, 8
    ret

    .section .rodata.sim_initial_state, "a"
    .balign 64
sim_initial_state:              // An XSAVE image with every component in its initial state.
    .short 0x37f                // x87 control word
    .zero 22
    .long 0x1f80                // MXCSR
    .zero 548
    .text
