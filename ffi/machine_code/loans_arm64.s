// What foreign code calls when it is done with memory of ours, arm64. Assembled into loans.ts; a test compares the two.
// The addresses that it needs stand 64 KiB behind it: see ffi/process/loans.ts.
code:
.set slots, code + 65536
.globl returned_unversioned
returned_unversioned:           // void deleter(struct DLManagedTensor *x0)
    ldr x0, [x0, #48]           // manager_ctx: the loan
    b 0f
.globl returned_versioned
returned_versioned:             // void deleter(struct DLManagedTensorVersioned *x0)
    ldr x0, [x0, #8]            // manager_ctx: the loan
.globl returned
returned:                       // void returned(struct loan *x0)
0:
    stp x29, x30, [sp, #-32]!
    str x19, [sp, #16]
    ldr x19, [x0, #8]           // loan->owner
    add x9, x19, #152           // &owner->returned: the last loan that came back
    ldr x10, [x9]
1:
    str x10, [x0]               // loan->next
2:
    ldaxr x11, [x9]
    cmp x11, x10
    b.ne 3f
    stlxr w12, x0, [x9]
    cbnz w12, 2b
    b 4f
3:
    clrex
    mov x10, x11
    b 1b
4:
    dmb ish
    add x9, x19, #124           // &owner->woken: is a message on its way?
    mov w10, #1
5:
    ldaxr w11, [x9]
    stlxr w12, w10, [x9]
    cbnz w12, 5b
    dmb ish
    cbnz w11, 6f
    ldr w0, [x19, #72]
    add x1, x19, #128
    mov x2, #8
    mov w3, #0x4040
    ldr x16, slots
    blr x16                     // send(owner->mailbox, &zero, 8, MSG_DONTWAIT | MSG_NOSIGNAL)
6:
    add x9, x19, #144           // &owner->loans: the last touch
7:
    ldaxr w10, [x9]
    sub w10, w10, #1
    stlxr w12, w10, [x9]
    cbnz w12, 7b
    dmb ish
    ldr x19, [sp, #16]
    ldp x29, x30, [sp], #32
    ret
.globl capsule_gone
capsule_gone:                   // void destructor(PyObject *x0), of a capsule that holds a loan
    stp x29, x30, [sp, #-16]!
    mov x1, #0
    ldr x16, slots + 8
    blr x16                     // PyCapsule_GetPointer(capsule, NULL)
    ldp x29, x30, [sp], #16
    b 0b
.globl with_gil
with_gil:                       // void with_gil(void *x0, void (*x1)(void *)): calls it on any thread
    stp x29, x30, [sp, #-32]!
    stp x19, x20, [sp, #16]
    mov x19, x0
    mov x20, x1
    ldr x16, slots + 16
    blr x16                     // PyGILState_Ensure()
    mov x9, x0
    mov x0, x19
    mov w19, w9
    blr x20
    mov w0, w19
    ldr x16, slots + 24
    blr x16                     // PyGILState_Release(state)
    ldp x19, x20, [sp, #16]
    ldp x29, x30, [sp], #32
    ret
