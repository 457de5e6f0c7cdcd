// The threads of ffi/process/pool.ts, arm64, AAPCS64. Assembled into machine_code.ts; a test compares the two.
.globl start
start:                          // void *start(struct lane *x0)
    stp x29, x30, [sp, #-48]!
    stp x19, x20, [sp, #16]
    mov x19, x0
1:
    ldr w12, [x19, #64]         // lane->looks: how often to look for a request before sleeping
    cbz w12, 9f
    add x10, x19, #68
    ldar w9, [x10]              // lane->lookers: one is enough
    cbnz w9, 9f
15:
    ldaxr w9, [x10]
    add w9, w9, #1
    stlxr w11, w9, [x10]
    cbnz w11, 15b
    add x13, x19, #72
8:
    ldar x20, [x13]             // lane->handed
    cbnz x20, 16f
    yield
    subs w12, w12, #1
    b.ne 8b
16:
    ldaxr w9, [x10]
    sub w9, w9, #1
    stlxr w11, w9, [x10]
    cbnz w11, 16b
    dmb ish
17:
    ldaxr x20, [x13]            // whoever hands over after this sees that nobody looks, and takes it back
    stlxr w11, xzr, [x13]
    cbnz w11, 17b
    cbnz x20, 18f
9:
    ldr w0, [x19, #16]
    add x1, sp, #32
    mov x2, #8
    ldr x16, [x19]
    blr x16                     // read(lane->readable, &request, 8)
    cmp x0, #8
    b.ne 2f
    ldr x20, [sp, #32]
    cbz x20, 2f                 // a null request ends one thread
18:
    str x20, [sp, #32]          // what the mailbox is told
    add x10, x19, #24
5:
    ldaxr w9, [x10]             // lane->running + 1
    add w9, w9, #1
    stlxr w11, w9, [x10]
    cbnz w11, 5b
    dmb ish
    ldr w9, [x19, #20]
    cbnz w9, 2f                 // lane->exiting: start nothing more
    mov w9, #2
    str w9, [x20, #84]          // request->state = running
    ldp x0, x1, [x20, #8]
    ldp x2, x3, [x20, #24]
    ldp x4, x5, [x20, #40]
    ldp x6, x7, [x20, #56]
    ldr x16, [x20]
    blr x16                     // request->function(a0 .. a7)
    str x0, [x20, #72]
    mov w9, #3
    add x10, x20, #84
    stlr w9, [x10]              // request->state = done
    mov w12, #2
    add x10, x20, #96
11:
    ldaxr w9, [x10]             // request->watch = seen; was it watched?
    stlxr w11, w12, [x10]
    cbnz w11, 11b
    dmb ish
    cmp w9, #1
    b.eq 12f                    // its thread looks, and needs no message
    ldr w0, [x20, #80]
    add x1, sp, #32
    mov x2, #8
    ldr x16, [x19, #8]
    blr x16                     // write(request->mailbox, &request, 8)
12:
    add x10, x20, #92
4:
    ldaxr w9, [x10]             // request->finished + 1: the last touch
    add w9, w9, #1
    stlxr w11, w9, [x10]
    cbnz w11, 4b
    add x10, x19, #24
6:
    ldaxr w9, [x10]             // lane->running - 1
    sub w9, w9, #1
    stlxr w11, w9, [x10]
    cbnz w11, 6b
    b 1b
2:
    ldp x19, x20, [sp, #16]
    ldp x29, x30, [sp], #48
    mov x0, #0
    ret
.globl submit
submit:                         // ssize_t submit(struct request *x0, struct lane *x1)
    stp x29, x30, [sp, #-32]!
    str x0, [sp, #16]
    add x10, x0, #88
13:
    ldaxr w9, [x10]             // request->submitted + 1: no thread can end between this and the write
    add w9, w9, #1
    stlxr w11, w9, [x10]
    cbnz w11, 13b
    dmb ish
    add x10, x1, #68
    ldar w9, [x10]              // lane->lookers
    cbz w9, 14f
    add x13, x1, #72
19:
    ldaxr x9, [x13]             // lane->handed, unless another request is
    cbnz x9, 21f
    stlxr w11, x0, [x13]
    cbnz w11, 19b
    dmb ish
    ldar w9, [x10]
    cbnz w9, 22f                // still looking: it will find it
20:
    ldaxr x9, [x13]
    stlxr w11, xzr, [x13]
    cbnz w11, 20b
    cbz x9, 22f
    str x9, [sp, #16]           // nobody has found it: into the pipe
    b 14f
21:
    clrex
    b 14f
22:
    mov x0, #8
    ldp x29, x30, [sp], #32
    ret
14:
    ldr w0, [x1, #40]
    ldr x16, [x1, #8]
    add x1, sp, #16
    mov x2, #8
    blr x16                     // write(lane->writable, &request, 8)
    ldp x29, x30, [sp], #32
    ret
.globl leave
leave:                          // void leave(int w0, struct lane *x1), for on_exit()
    mov w9, #1
    add x10, x1, #20
    stlr w9, [x10]              // lane->exiting = 1
    dmb ish
    ldr w9, [x1, #24]
    cbz w9, 7f
    ldr x16, [x1, #32]
    br x16                      // a call is running: _exit(status), before anything under it is destroyed
7:
    ret
