# The threads of ffi/process/pool.ts, x64, System V ABI. Assembled into mod.ts; a test compares the two.
.intel_syntax noprefix
.globl start
start:                          # void *start(struct lane *rdi)
    push rbx
    push rbp
    sub rsp, 40
    mov rbx, rdi
1:
    mov ecx, [rbx+64]           # lane->looks: how often to look for a request before sleeping
    test ecx, ecx
    je 7f
    cmp dword ptr [rbx+68], 0   # lane->lookers: one is enough
    jne 7f
    lock inc dword ptr [rbx+68]
6:
    cmp qword ptr [rbx+72], 0   # lane->handed
    jne 8f
    pause
    dec ecx
    jne 6b
8:
    lock dec dword ptr [rbx+68]
    xor ebp, ebp
    xchg [rbx+72], rbp          # whoever hands over after this sees that nobody looks, and takes it back
    test rbp, rbp
    jne 9f
7:
    mov edi, [rbx+16]
    lea rsi, [rsp+24]
    mov edx, 8
    call [rbx]                  # read(lane->readable, &request, 8)
    cmp rax, 8
    jne 2f
    mov rbp, [rsp+24]
    test rbp, rbp
    je 2f                       # a null request ends one thread
9:
    mov [rsp+24], rbp           # what the mailbox is told
    lock inc dword ptr [rbx+24] # lane->running
    cmp dword ptr [rbx+20], 0   # lane->exiting: start nothing more
    jne 2f
    mov dword ptr [rbp+84], 2   # request->state = running
    mov rax, [rbp+56]
    mov [rsp], rax
    mov rax, [rbp+64]
    mov [rsp+8], rax
    mov rdi, [rbp+8]
    mov rsi, [rbp+16]
    mov rdx, [rbp+24]
    mov rcx, [rbp+32]
    mov r8, [rbp+40]
    mov r9, [rbp+48]
    xor eax, eax
    call [rbp]                  # request->function(a0 .. a7)
    mov [rbp+72], rax
    mov dword ptr [rbp+84], 3   # request->state = done
    mov eax, 2
    xchg [rbp+96], eax          # request->watch = seen; was it watched?
    cmp eax, 1
    je 5f                       # its thread looks, and needs no message
    mov edi, [rbp+80]
    lea rsi, [rsp+24]
    mov edx, 8
    call [rbx+8]                # write(request->mailbox, &request, 8)
5:
    lock inc dword ptr [rbp+92] # request->finished: the last touch
    lock dec dword ptr [rbx+24]
    jmp 1b
2:
    add rsp, 40
    pop rbp
    pop rbx
    xor eax, eax
    ret
.globl submit
submit:                         # ssize_t submit(struct request *rdi, struct lane *rsi)
    lock inc dword ptr [rdi+88] # request->submitted: no thread can end between this and the write
    cmp dword ptr [rsi+68], 0   # lane->lookers
    je 4f
    xor eax, eax
    lock cmpxchg [rsi+72], rdi  # lane->handed, unless another request is
    jne 4f
    cmp dword ptr [rsi+68], 0
    jne 3f                      # still looking: it will find it
    xor edi, edi
    xchg [rsi+72], rdi
    test rdi, rdi
    jne 4f                      # nobody has found it: into the pipe
3:
    mov eax, 8
    ret
4:
    push rdi
    mov edi, [rsi+40]
    mov rax, [rsi+8]
    mov rsi, rsp
    mov edx, 8
    call rax                    # write(lane->writable, &request, 8)
    pop rdi
    ret
.globl leave
leave:                          # void leave(int edi, struct lane *rsi), for on_exit()
    mov eax, 1
    xchg [rsi+20], eax          # lane->exiting = 1
    cmp dword ptr [rsi+24], 0
    je 5f
    jmp [rsi+32]                # a call is running: _exit(status), before anything under it is destroyed
5:
    ret
