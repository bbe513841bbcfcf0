/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that works by interrupt alone: the smallest kernel that can drive a TPM device, booted
 * by QEMU's -kernel (Multiboot) on a bare PC. It never looks at a status register to learn whether
 * something is done; it halts the processor until the TPM's interrupt comes. One that is lost
 * leaves it halted for ever, for run-guest.py to notice.
 *
 * Every command changes the locality and uses every source of the interface, each waited for:
 *
 *     TIS   localityChange · commandReady · dataAvail with stsValid · stsValid (last byte read)
 *     CRB   localityChange · cmdReady · start
 *
 * The interrupt is level-triggered at the 8259, as the device's line is: were it still up when the
 * handler is done, the handler would run again, find no cause and count that.
 *
 * The command line: device=tpm-tis|tpm-crb irq=N count=N. Lines for run-guest.py go to the serial
 * port; bare-pc-entry.S is where the processor enters.
 */
#include "bare-pc.h"

#include <stddef.h>

/* ---- ports of the PC ---- */

#define PIC_MASTER     0x20u
#define PIC_SLAVE      0xA0u
#define PIC_ICW1       0x11u /* edge by default, cascaded, ICW4 follows */
#define PIC_ICW4       0x01u /* 8086 mode */
#define PIC_EOI        0x20u
#define PIC_CASCADE    2u
#define ELCR           0x4D0u /* a bit an interrupt: level-triggered */
#define FIRST_VECTOR   0x20u
#define VECTORS        48u
#define STUB_SIZE      16u
#define SELECTOR_CODE  0x08u
#define GATE_INTERRUPT 0x8E00u /* 32-bit, ring 0, interrupts off on entry */

/* ---- the TPM's registers ---- */

#define TPM_BASE   0xFED40000u
#define LOCALITIES 4u /* 0 to 3; 4 is the processor's */

#define TIS_ACCESS     0x000u
#define TIS_INT_ENABLE 0x008u
#define TIS_INT_VECTOR 0x00Cu
#define TIS_INT_STATUS 0x010u
#define TIS_STS        0x018u
#define TIS_FIFO       0x024u

#define TIS_REQUEST      0x02u
#define TIS_RELINQUISH   0x20u
#define TIS_READY        0x40u
#define TIS_GO           0x20u
#define TIS_DATA_AVAIL   0x01u
#define TIS_STS_VALID    0x02u
#define TIS_LOCALITY     0x04u
#define TIS_COMMANDREADY 0x80u
#define TIS_ENABLE_ALL   0x8000008Fu /* low-level polarity, the mandatory one */

#define CRB_LOC_CTRL   0x08u
#define CRB_CTRL_REQ   0x40u
#define CRB_CTRL_START 0x4Cu
#define CRB_INT_ENABLE 0x50u
#define CRB_INT_STATUS 0x54u
#define CRB_BUFFER     0x80u

#define CRB_REQUEST    1u
#define CRB_RELINQUISH 2u
#define CRB_CMD_READY  1u
#define CRB_GO_IDLE    2u
#define CRB_INT_START  0x1u
#define CRB_INT_READY  0x2u
#define CRB_LOCALITY   0x8u
#define CRB_ENABLE_ALL 0x8000000Bu

static volatile uint8_t *tpm_register(unsigned locality, uint32_t reg)
{
    return (volatile uint8_t *)(TPM_BASE + locality * 0x1000u + reg);
}

static void write8(unsigned locality, uint32_t reg, unsigned value)
{
    *tpm_register(locality, reg) = (uint8_t)value;
}

static void write32(unsigned locality, uint32_t reg, uint32_t value)
{
    *(volatile uint32_t *)tpm_register(locality, reg) = value;
}

static uint8_t read8(unsigned locality, uint32_t reg)
{
    return *tpm_register(locality, reg);
}

static uint32_t read32(unsigned locality, uint32_t reg)
{
    return *(volatile uint32_t *)tpm_register(locality, reg);
}

/* ---- what the guest does, and what happened to it ---- */

static struct {
    bool crb;
    unsigned irq;
    unsigned count; /* commands to carry */
} options = { .irq = 5, .count = 1000 };

/* Read by the handler: the locality in use, whose interrupts come. */
static volatile unsigned active;

/* Written by the handler. */
static volatile uint32_t happened;   /* causes found and not yet waited for */
static volatile unsigned interrupts; /* taken */
static volatile unsigned spurious;   /* of these, without a cause, or not the TPM's */
static volatile unsigned per_cause[8];

#define SPURIOUS_MAX 1000u

/* ---- the end ---- */

/* The machine is switched off; run-guest.py takes status 0 for the end of a good run. */
static void finish(bool good) __attribute__((noreturn));

static void finish(bool good)
{
    put_text("irq: ");
    put_number(interrupts);
    put_text(" interrupts\n");
    put_end(good ? 0 : 1);
    power_off();
}

static void fail(const char *what, uint32_t number) __attribute__((noreturn));

static void fail(const char *what, uint32_t number)
{
    put_text("not ok ");
    put_text(what);
    put_text(" - ");
    put_number(number);
    put_char('\n');
    finish(false);
}

/* ---- interrupts ---- */

typedef struct Gate {
    uint16_t offset_low;
    uint16_t selector;
    uint16_t kind;
    uint16_t offset_high;
} Gate;

extern const uint8_t vector_stubs[]; /* bare-pc-entry.S */

static Gate idt[VECTORS];

static void end_of_interrupt(unsigned irq)
{
    if (irq >= 8) {
        out8(PIC_SLAVE, PIC_EOI);
    }
    out8(PIC_MASTER, PIC_EOI);
}

/* A line that is stuck would interrupt for ever. */
static void note_spurious(void)
{
    if (++spurious == SPURIOUS_MAX) {
        fail("the line goes down when the last cause is acknowledged", spurious);
    }
}

/* Which of the active locality's interrupts is it? All that are seen are acknowledged. */
static void handle_tpm(void)
{
    uint32_t status_register = options.crb ? CRB_INT_STATUS : TIS_INT_STATUS;
    uint32_t causes = read32(active, status_register);

    if (!causes) {
        note_spurious();
        return;
    }
    for (unsigned bit = 0; bit < 8; bit++) {
        per_cause[bit] += causes >> bit & 1;
    }
    write32(active, status_register, causes);
    happened |= causes;
}

void guest_interrupt(uint32_t vector)
{
    if (vector < FIRST_VECTOR) {
        fail("the processor raises no exception", vector);
    }
    interrupts++;
    if (vector - FIRST_VECTOR == options.irq) {
        handle_tpm();
    } else {
        /* What an 8259 sends when a line has gone down before it was asked whose it was. */
        note_spurious();
    }
    end_of_interrupt(vector - FIRST_VECTOR);
}

static void set_up_idt(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint32_t base;
    } pointer = { sizeof(idt) - 1, (uint32_t)(uintptr_t)idt };

    for (unsigned i = 0; i < VECTORS; i++) {
        uint32_t stub = (uint32_t)(uintptr_t)vector_stubs + i * STUB_SIZE;

        idt[i] = (Gate){ (uint16_t)stub, SELECTOR_CODE, GATE_INTERRUPT, (uint16_t)(stub >> 16) };
    }
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

/* Only the TPM's interrupt comes through, level-triggered. */
static void set_up_pic(void)
{
    static const uint16_t chips[] = { PIC_MASTER, PIC_SLAVE };
    unsigned unmasked = 1u << options.irq | 1u << PIC_CASCADE;

    for (unsigned i = 0; i < 2; i++) {
        uint16_t data = (uint16_t)(chips[i] + 1);

        out8(chips[i], PIC_ICW1);
        out8(data, FIRST_VECTOR + 8 * i);
        out8(data, i == 0 ? 1u << PIC_CASCADE : PIC_CASCADE);
        out8(data, PIC_ICW4);
        out8(data, ~unmasked >> 8 * i);
        out8((uint16_t)(ELCR + i), (1u << options.irq) >> 8 * i);
    }
}

/*
 * Halt until all these causes have been seen. Between sti and hlt no interrupt is taken, so that
 * none can come after the look and before the halt.
 */
static void wait_for(uint32_t causes)
{
    __asm__ volatile("cli" : : : "memory");
    while ((happened & causes) != causes) {
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
    if (happened != causes) {
        fail("nothing but what was asked for interrupts", happened);
    }
    happened = 0;
    __asm__ volatile("sti" : : : "memory");
}

/* ---- commands ---- */

/* TPM2_GetRandom of 8 bytes; TPM2_Startup(CLEAR), for a firmware that has left it out. */
static const uint8_t get_random[12] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8 };
static const uint8_t startup[12] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };

#define COMMAND_SIZE    12u
#define RESPONSE_MAX    64u
#define RANDOM_SIZE     20u /* header, size, 8 bytes */
#define TPM_INITIALIZED 0x100u

static uint8_t response[RESPONSE_MAX];

static uint32_t get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint32_t response_size(void)
{
    return get_u32(response + 2);
}

static void check_size(void)
{
    if (response_size() < 10 || response_size() > RESPONSE_MAX) {
        fail("a response has a size that makes sense", response_size());
    }
}

/* Half the time the next locality asks before the last one gives up, else after. */
static void tis_change_locality(unsigned next, bool ask_first)
{
    unsigned last = active;

    active = next;
    if (ask_first) {
        write8(next, TIS_ACCESS, TIS_REQUEST);
        write8(last, TIS_ACCESS, TIS_RELINQUISH);
    } else {
        write8(last, TIS_ACCESS, TIS_RELINQUISH);
        write8(next, TIS_ACCESS, TIS_REQUEST);
    }
    wait_for(TIS_LOCALITY);
}

static void tis_command(const uint8_t *command)
{
    write32(active, TIS_STS, TIS_READY);
    wait_for(TIS_COMMANDREADY);
    for (unsigned i = 0; i < COMMAND_SIZE; i++) {
        write8(active, TIS_FIFO, command[i]);
    }
    write32(active, TIS_STS, TIS_GO);
    wait_for(TIS_DATA_AVAIL | TIS_STS_VALID);
    for (unsigned i = 0; i < 10; i++) {
        response[i] = read8(active, TIS_FIFO);
    }
    check_size();
    for (unsigned i = 10; i < response_size(); i++) {
        response[i] = read8(active, TIS_FIFO);
    }
    wait_for(TIS_STS_VALID);
}

static void crb_change_locality(unsigned next, bool ask_first)
{
    unsigned last = active;

    active = next;
    if (ask_first) {
        write32(next, CRB_LOC_CTRL, CRB_REQUEST);
        write32(last, CRB_LOC_CTRL, CRB_RELINQUISH);
    } else {
        write32(last, CRB_LOC_CTRL, CRB_RELINQUISH);
        write32(next, CRB_LOC_CTRL, CRB_REQUEST);
    }
    wait_for(CRB_LOCALITY);
}

static void crb_command(const uint8_t *command)
{
    write32(active, CRB_CTRL_REQ, CRB_CMD_READY);
    wait_for(CRB_INT_READY);
    for (unsigned i = 0; i < COMMAND_SIZE; i++) {
        write8(active, CRB_BUFFER + i, command[i]);
    }
    write32(active, CRB_CTRL_START, 1);
    wait_for(CRB_INT_START);
    for (unsigned i = 0; i < 10; i++) {
        response[i] = read8(active, CRB_BUFFER + i);
    }
    check_size();
    for (unsigned i = 10; i < response_size(); i++) {
        response[i] = read8(active, CRB_BUFFER + i);
    }
    write32(active, CRB_CTRL_REQ, CRB_GO_IDLE);
}

/* ---- the run ---- */

static void change_locality(unsigned next, bool ask_first)
{
    if (options.crb) {
        crb_change_locality(next, ask_first);
    } else {
        tis_change_locality(next, ask_first);
    }
}

static void run_command(const uint8_t *command)
{
    if (options.crb) {
        crb_command(command);
    } else {
        tis_command(command);
    }
}

/* Nothing is pending, and all may interrupt, of a locality that has the device. */
static void enable_tis(unsigned locality)
{
    write32(locality, TIS_INT_STATUS, TIS_ENABLE_ALL);
    write32(locality, TIS_INT_ENABLE, TIS_ENABLE_ALL);
    /* Where the firmware left it ready, getting ready would be no event: begin a command. */
    if (read32(locality, TIS_STS) & TIS_READY) {
        write8(locality, TIS_FIFO, 0);
    }
}

static void enable_crb(unsigned locality)
{
    write32(locality, CRB_INT_STATUS, CRB_ENABLE_ALL);
    write32(locality, CRB_INT_ENABLE, CRB_ENABLE_ALL);
}

/* Whatever the firmware left: afterwards nobody has the device. */
static void set_up_tpm(void)
{
    /* It had locality 0, and the rest follow one after the other. */
    for (unsigned i = 0; i < LOCALITIES; i++) {
        if (options.crb) {
            write32(i, CRB_LOC_CTRL, CRB_REQUEST);
            enable_crb(i);
            write32(i, CRB_LOC_CTRL, CRB_RELINQUISH);
        } else {
            write8(i, TIS_ACCESS, TIS_REQUEST);
            enable_tis(i);
            write8(i, TIS_ACCESS, TIS_RELINQUISH);
        }
    }
    active = LOCALITIES - 1;
}

static void start_tpm(void)
{
    change_locality(0, false);
    run_command(startup);
    if (get_u32(response + 6) != 0 && get_u32(response + 6) != TPM_INITIALIZED) {
        fail("TPM2_Startup is answered", get_u32(response + 6));
    }
}

/* How often run-guest.py, which waits for a line, is told that all goes on. */
#define PROGRESS 1000u

static void run_commands(void)
{
    for (unsigned i = 1; i <= options.count; i++) {
        change_locality(i % LOCALITIES, i / LOCALITIES % 2 != 0);
        run_command(get_random);
        if (response_size() != RANDOM_SIZE || get_u32(response + 6) != 0) {
            fail("TPM2_GetRandom is answered", get_u32(response + 6));
        }
        if (i % PROGRESS == 0) {
            put_text("progress: ");
            put_number(i);
            put_char('\n');
        }
    }
}

/* Each command, and the one that started the TPM, has brought each of these once. */
static bool causes_add_up(void)
{
    static const uint8_t of_tis[8] = { 1, 2, 1, 0, 0, 0, 0, 1 };
    static const uint8_t of_crb[8] = { 1, 1, 0, 1 };
    unsigned commands = options.count + 1;
    bool good = true;

    for (unsigned bit = 0; bit < 8; bit++) {
        good &= per_cause[bit] == commands * (options.crb ? of_crb : of_tis)[bit];
    }
    return good;
}

/* ---- the command line ---- */

static void parse_command_line(const char *line)
{
    const char *device = find_option(line, "device");

    options.crb = device && device[4] == 'c'; /* tpm-crb */
    options.irq = number_option(line, "irq", options.irq);
    options.count = number_option(line, "count", options.count);
}

void guest_main(const MultibootInfo *info)
{
    if (info->flags & MULTIBOOT_HAS_COMMAND_LINE) {
        parse_command_line((const char *)(uintptr_t)info->command_line);
    }
    put_text("\nGUEST-BEGIN irq\n");
    if (!options.crb) {
        bool told = read8(0, TIS_INT_VECTOR) == options.irq;

        put_result(told, "INT_VECTOR tells the interrupt");
    }
    set_up_idt();
    set_up_pic();
    set_up_tpm();
    __asm__ volatile("sti");
    start_tpm();
    run_commands();

    unsigned expected = (options.crb ? 3 : 4) * (options.count + 1);
    bool good = interrupts == expected && spurious == 0;

    put_text("irq: ");
    put_number(options.count);
    put_text(" commands, ");
    put_number(spurious);
    put_text(" interrupts without a cause\n");
    put_result(spurious == 0, "no interrupt was without a cause");
    put_result(interrupts == expected, "there were as many interrupts as events");
    put_result(causes_add_up(), "every command brought each of its causes once");
    finish(good && causes_add_up());
}
