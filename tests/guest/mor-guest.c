/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that asks for its memory to be cleared at the reset (TCG Platform Reset Attack Mitigation
 * Specification, "Memory Overwrite Request"), and looks afterwards. It leaves a pattern where
 * neither SeaBIOS nor the loader writes, and makes the request where the ACPI method makes it: in
 * the byte MOVV of the physical presence memory. Which boot it is it keeps in the real-time clock's
 * memory, which no reset changes.
 *
 *     boot 1   leaves the pattern, asks for nothing      resets by port CF9h
 *     boot 2   finds it; asks                            resets by the keyboard controller
 *     boot 3   finds zeros; leaves the pattern again     resets by a triple fault
 *     boot 4   finds it: the request was carried out once
 *
 * run-guest.py has QEMU load a number into memory at every reset, which must always be there.
 * Lines for it go to the serial port; bare-pc-entry.S is where the processor enters.
 */
#include "bare-pc.h"

/* ---- the PC ---- */

#define RTC_INDEX        0x70u
#define RTC_DATA         0x71u
#define RTC_BOOT         0x7Bu /* a byte that SeaBIOS leaves alone */
#define RESET_CONTROL    0xCF9u
#define RESET_HARD       0x06u
#define KEYBOARD_COMMAND 0x64u
#define KEYBOARD_RESET   0xFEu

/* ---- the physical presence memory ---- */

#define PPI_ADDRESS     0xFED45000u
#define PPI_FIELDS      0x100u
#define PPI_MOVV        0x15Au
#define MOVV_CLEAR      0x01u
#define PPI_PATTERN(at) ((uint8_t)((at)*5u + 3u))

static volatile uint8_t *const ppi = (volatile uint8_t *)PPI_ADDRESS;

/* ---- memory ---- */

/* Far above this guest, far below what SeaBIOS uses. */
#define PATTERN_BEGIN 0x02000000u
#define PATTERN_END   0x02400000u

/* What QEMU loads. */
#define LOADED_AT 0x03000000u
#define LOADED    0x4D4F5221u

static uint32_t pattern(uint32_t address)
{
    return (address ^ 0x5A5AA5A5u) * 2654435761u;
}

static void fill(void)
{
    for (uint32_t at = PATTERN_BEGIN; at < PATTERN_END; at += 4) {
        *(volatile uint32_t *)at = pattern(at);
    }
}

/* Is every word the pattern's, or else 0? */
static bool holds(bool filled)
{
    for (uint32_t at = PATTERN_BEGIN; at < PATTERN_END; at += 4) {
        if (*(volatile uint32_t *)at != (filled ? pattern(at) : 0)) {
            return false;
        }
    }
    return true;
}

static bool is_loaded(void)
{
    return *(volatile uint32_t *)LOADED_AT == LOADED;
}

/*
 * `mov eax, value; ret` at the pattern's beginning. A hypervisor that translates code must see that
 * clearing took it away, or it goes on with what it had.
 */
static void put_code(uint32_t value)
{
    volatile uint8_t *code = (volatile uint8_t *)PATTERN_BEGIN;

    code[0] = 0xB8;
    for (unsigned i = 0; i < 4; i++) {
        code[1 + i] = (uint8_t)(value >> 8 * i);
    }
    code[5] = 0xC3;
}

static uint32_t run_code(void)
{
    return ((uint32_t(*)(void))PATTERN_BEGIN)();
}

/* ---- the memory of the interface ---- */

static void write_ppi(void)
{
    for (unsigned at = PPI_FIELDS; at < PPI_MOVV; at++) {
        ppi[at] = PPI_PATTERN(at);
    }
}

static bool ppi_is_as_written(void)
{
    bool good = true;

    for (unsigned at = PPI_FIELDS; at < PPI_MOVV; at++) {
        good &= ppi[at] == PPI_PATTERN(at);
    }
    return good;
}

/* ---- resets ---- */

static unsigned boot_number(void)
{
    out8(RTC_INDEX, RTC_BOOT);
    return in8(RTC_DATA) + 1u;
}

static void reset_machine(unsigned boot) __attribute__((noreturn));

static void reset_machine(unsigned boot)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint32_t base;
    } no_vectors = { 0, 0 };

    out8(RTC_INDEX, RTC_BOOT);
    out8(RTC_DATA, boot);
    put_end(3);
    if (boot == 1) {
        out8(RESET_CONTROL, RESET_HARD);
    } else if (boot == 2) {
        out8(KEYBOARD_COMMAND, KEYBOARD_RESET);
    } else {
        __asm__ volatile("lidt %0; int3" : : "m"(no_vectors));
    }
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

/* ---- the boots ---- */

static bool good = true;

static void check(bool so, const char *name)
{
    put_result(so, name);
    good &= so;
}

static void first_boot(void)
{
    check(ppi[PPI_MOVV] == 0, "nothing is asked for");
    write_ppi();
    fill();
    check(holds(true) && ppi_is_as_written(), "the pattern is in memory");
}

static void second_boot(void)
{
    check(holds(true), "memory is as it was: nothing was asked for");
    check(ppi_is_as_written(), "the physical presence memory is as it was");
    put_code(1);
    check(run_code() == 1, "code runs there");
    ppi[PPI_MOVV] = MOVV_CLEAR;
}

static void third_boot(void)
{
    check(holds(false), "memory is cleared: that was asked for");
    check(ppi_is_as_written(), "the physical presence memory is as it was");
    check(ppi[PPI_MOVV] == 0, "the request was taken away");
    put_code(2);
    check(run_code() == 2, "other code runs there");
    fill();
}

static void fourth_boot(void)
{
    check(holds(true), "memory is as it was: the request was carried out once");
    check(ppi[PPI_MOVV] == 0 && ppi_is_as_written(), "nothing is asked for");
}

/* No interrupt is let through, so that this is an exception. */
void guest_interrupt(uint32_t vector)
{
    check(false, "the processor raises no exception");
    put_number(vector);
    put_end(1);
    power_off();
}

void guest_main(const MultibootInfo *info)
{
    static void (*const boots[])(void) = { first_boot, second_boot, third_boot, fourth_boot };
    unsigned boot = boot_number();

    (void)info;
    put_text("\nGUEST-BEGIN mor\n");
    if (boot > 4) {
        check(false, "the boots are counted");
        put_end(1);
        power_off();
    }
    boots[boot - 1]();
    check(is_loaded(), "what is loaded at a reset is there");
    if (good && boot < 4) {
        reset_machine(boot);
    }
    put_end(good ? 0 : 1);
    power_off();
}
