/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the loader and the processor enter a bare guest: the Multiboot header, the first
 * instructions, and a stub for each interrupt vector. 32-bit protected mode, no paging.
 */

/* Multiboot Specification 0.6.96, 3.1 "OS image format". */
#define MULTIBOOT_MAGIC    0x1BADB002
#define MULTIBOOT_MEM_INFO 2
#define STACK_SIZE         16384

/* Segment selectors of the table below; irq-guest.c names the first. */
#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10

    .text

/* The loader looks for this in the file's first 8 KiB: it is linked first. */
    .balign 4
    .long MULTIBOOT_MAGIC
    .long MULTIBOOT_MEM_INFO
    .long -(MULTIBOOT_MAGIC + MULTIBOOT_MEM_INFO)

/* The loader leaves its magic number in eax and the address of its information in ebx. */
    .globl _start
_start:
    cli
    cld
    movl $stack_end, %esp
    lgdt gdt_pointer
    ljmp $SELECTOR_CODE, $1f
1:
    movw $SELECTOR_DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    pushl %ebx
    call guest_main
2:
    cli
    hlt
    jmp 2b

/*
 * One stub a vector, of STUB_SIZE bytes each. Exceptions that push an error code are never
 * returned from, so that it may stay on the stack.
 */
    .globl vector_stubs
    .balign 16
vector_stubs:
    .set vector, 0
    .rept 48
    .balign 16
    pushl $vector
    jmp common_stub
    .set vector, vector + 1
    .endr

common_stub:
    pushal
    cld
    pushl 32(%esp) /* the vector, above what pushal has pushed */
    call guest_interrupt
    addl $4, %esp
    popal
    addl $4, %esp
    iret

    .data
    .balign 8
gdt:
    .quad 0
    .quad 0x00CF9A000000FFFF /* code: 4 GiB from 0, ring 0 */
    .quad 0x00CF92000000FFFF /* data: the same */
gdt_pointer:
    .word . - gdt - 1
    .long gdt

    .bss
    .balign 16
    .skip STACK_SIZE
stack_end:

    .section .note.GNU-stack, "", @progbits
