# What foreign code calls when it is done with memory of ours, x64, System V ABI. Assembled into loans.ts; a test
# compares the two. The addresses that it needs stand 64 KiB behind it: see ffi/process/loans.ts.
.intel_syntax noprefix
code:
.set slots, code + 65536
.globl returned_unversioned
returned_unversioned:           # void deleter(struct DLManagedTensor *rdi)
    mov rdi, [rdi+48]           # manager_ctx: the loan
    jmp returned
.globl returned_versioned
returned_versioned:             # void deleter(struct DLManagedTensorVersioned *rdi)
    mov rdi, [rdi+8]            # manager_ctx: the loan
.globl returned
returned:                       # void returned(struct loan *rdi)
    push rbx
    mov rbx, [rdi+8]            # loan->owner
    mov rax, [rbx+152]          # owner->returned: the last loan that came back
1:
    mov [rdi], rax              # loan->next
    lock cmpxchg [rbx+152], rdi
    jne 1b
    mov eax, 1
    xchg [rbx+124], eax         # owner->woken: is a message on its way?
    test eax, eax
    jne 2f
    mov edi, [rbx+72]
    lea rsi, [rbx+128]
    mov edx, 8
    mov ecx, 0x4040
    call [rip+slots]            # send(owner->mailbox, &zero, 8, MSG_DONTWAIT | MSG_NOSIGNAL)
2:
    lock dec dword ptr [rbx+144] # owner->loans: the last touch
    pop rbx
    ret
.globl capsule_gone
capsule_gone:                   # void destructor(PyObject *rdi), of a capsule that holds a loan
    push rax
    xor esi, esi
    call [rip+slots+8]          # PyCapsule_GetPointer(capsule, NULL)
    mov rdi, rax
    pop rax
    jmp returned
.globl with_gil
with_gil:                       # void with_gil(void *rdi, void (*rsi)(void *)): calls it on any thread
    push rbx
    push rbp
    sub rsp, 8
    mov rbx, rdi
    mov rbp, rsi
    call [rip+slots+16]         # PyGILState_Ensure()
    mov [rsp], eax
    mov rdi, rbx
    call rbp
    mov edi, [rsp]
    call [rip+slots+24]         # PyGILState_Release(state)
    add rsp, 8
    pop rbp
    pop rbx
    ret
