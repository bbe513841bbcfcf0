/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the guests that are kernels of their own have in common: a PC without an operating system,
 * entered by bare-pc-entry.S in 32-bit protected mode without paging, that tells run-guest.py what
 * it finds on its serial port.
 */
#ifndef BARE_PC_H
#define BARE_PC_H

#include <stdbool.h>
#include <stdint.h>

static inline void out8(uint16_t port, unsigned value)
{
    __asm__ volatile("outb %0, %1" : : "a"((uint8_t)value), "Nd"(port));
}

static inline void out16(uint16_t port, unsigned value)
{
    __asm__ volatile("outw %0, %1" : : "a"((uint16_t)value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* To the serial port. A result is a line `ok NAME` or `not ok NAME`. */
void put_char(char c);
void put_text(const char *text);
void put_number(uint32_t value);
void put_result(bool good, const char *name);

/* The end of a boot, with the status run-guest.py is told; and the machine is switched off. */
void put_end(unsigned status);
void power_off(void) __attribute__((noreturn));

/* The number in the word NAME=NUMBER of a command line, and the text in NAME=TEXT or NULL. */
unsigned number_option(const char *line, const char *name, unsigned otherwise);
const char *find_option(const char *line, const char *name);

/* Multiboot Specification, 3.3 "Boot information format", as far as it is read here. */
typedef struct MultibootInfo {
    uint32_t flags;
    uint32_t ignored[3];
    uint32_t command_line; /* with MULTIBOOT_HAS_COMMAND_LINE */
} MultibootInfo;

#define MULTIBOOT_HAS_COMMAND_LINE (1u << 2)

/* The guest's own, called by bare-pc-entry.S: the latter by its stubs, with interrupts off. */
void guest_main(const MultibootInfo *info);
void guest_interrupt(uint32_t vector);

#endif /* BARE_PC_H */
