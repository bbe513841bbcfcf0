/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The few devices of a PC that every bare guest uses: the first serial port, by polling, and the
 * switch that turns the machine off.
 *
 * Neighbours: irq-guest.c and mor-guest.c are such guests.
 */
#include "bare-pc.h"

#include <stddef.h>

#define COM1          0x3F8u
#define COM1_LINE_STS (COM1 + 5)
#define COM_EMPTY     0x20u
#define ACPI_PM1_CNT  0x604u /* where SeaBIOS puts it on pc and q35 */
#define ACPI_SLEEP_S5 0x2000u

/* ---- the serial port ---- */

void put_char(char c)
{
    while (!(in8(COM1_LINE_STS) & COM_EMPTY)) {
    }
    out8(COM1, (unsigned char)c);
}

void put_text(const char *text)
{
    while (*text) {
        put_char(*text++);
    }
}

void put_number(uint32_t value)
{
    char digits[10];
    unsigned count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (count) {
        put_char(digits[--count]);
    }
}

void put_result(bool good, const char *name)
{
    put_text(good ? "ok " : "not ok ");
    put_text(name);
    put_char('\n');
}

void put_end(unsigned status)
{
    put_text("GUEST-END ");
    put_number(status);
    put_char('\n');
}

void power_off(void)
{
    out16(ACPI_PM1_CNT, ACPI_SLEEP_S5);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

/* ---- the command line ---- */

const char *find_option(const char *line, const char *name)
{
    while (*line) {
        const char *n = name;

        while (*n && *line == *n) {
            line++;
            n++;
        }
        if (!*n && *line == '=') {
            return line + 1;
        }
        while (*line && *line++ != ' ') {
        }
    }
    return NULL;
}

unsigned number_option(const char *line, const char *name, unsigned otherwise)
{
    const char *text = find_option(line, name);
    unsigned value = 0;

    if (!text) {
        return otherwise;
    }
    while (*text >= '0' && *text <= '9') {
        value = 10 * value + (unsigned)(*text++ - '0');
    }
    return value;
}
