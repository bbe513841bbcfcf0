/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile guest and a hostile TPM on the two sides of a CRB device, with any of its properties
 * on: localities, interrupts, the buffer on a page, chunks.
 *
 * The bytes are a list of what guest, hypervisor and TPM do one after another. After each of
 * them the rules that hold for every guest are checked: what each locality may read, what the TPM
 * may be sent, where the interrupt line is. At the end, whatever was done before, a reset makes a
 * device that carries the largest command to the TPM and the largest response back.
 */
#include "fuzz-machine.h"

/* Registers and bits as the PC Client Platform TPM Profile has them, not the library's header. */
#define LOC_STATE    0x00u
#define LOC_CTRL     0x08u
#define LOC_STS      0x0Cu
#define INTF_ID      0x30u
#define CTRL_REQ     0x40u
#define CTRL_STS     0x44u
#define CTRL_CANCEL  0x48u
#define CTRL_START   0x4Cu
#define INT_ENABLE   0x50u
#define INT_STS      0x54u
#define CMD_SIZE     0x58u
#define DATA_BUFFER  0x80u
#define WINDOW       3968u
#define PAGE         4096u
#define PAGE_ADDRESS 0xFED60000u

#define REQUEST_ACCESS 1u
#define CMD_READY      1u
#define GO             1u
#define NEXT_CHUNK     4u

/* What the device is, besides what fuzz-machine.h says of TPM and host. */
static TPMDeviceConfig config;

static unsigned localities(void)
{
    return config.localities ? LOCALITIES : 1;
}

static size_t window(void)
{
    return config.buffer_address ? PAGE : WINDOW;
}

/* The guest's handler. */
static void acknowledge(Machine *m)
{
    for (unsigned i = 0; i < localities(); i++) {
        guest_write(m, REG(i, INT_STS), 4, guest_read(m, REG(i, INT_STS), 4));
    }
}

/* ---- what holds for every guest ---- */

/* Whose the device is, as all the pages tell; LOCALITIES for nobody's. */
static unsigned check_loc_state(Machine *m)
{
    uint64_t state = guest_read(m, REG(0, LOC_STATE), 4);
    unsigned active = (unsigned)(state >> 2 & 7);

    FUZZ_CHECK((state & 0x80) && !(state & ~0x9Full));
    FUZZ_CHECK(active < localities());
    FUZZ_CHECK((state & 2) || active == 0);
    for (unsigned i = 1; i < localities(); i++) {
        FUZZ_CHECK(guest_read(m, REG(i, LOC_STATE), 4) == state);
    }
    return state & 2 ? active : LOCALITIES;
}

static void check_closed(Machine *m, unsigned locality)
{
    for (uint32_t reg = CTRL_REQ; reg <= CTRL_START; reg += 4) {
        FUZZ_CHECK(guest_read(m, REG(locality, reg), 4) == UINT32_MAX);
    }
    FUZZ_CHECK(guest_read(m, REG(locality, DATA_BUFFER), 8) == UINT64_MAX);
    FUZZ_CHECK(guest_read(m, REG(locality, 0xFF8), 8) == UINT64_MAX);
}

static void check_open(Machine *m, unsigned locality)
{
    FUZZ_CHECK(guest_read(m, REG(locality, CTRL_REQ), 4) == 0);
    FUZZ_CHECK((guest_read(m, REG(locality, CTRL_STS), 4) & ~2ull) == 0);
    FUZZ_CHECK(guest_read(m, REG(locality, CTRL_CANCEL), 4) == 0);
    FUZZ_CHECK(guest_read(m, REG(locality, CTRL_START), 4) <= 1);
}

static void check_localities(Machine *m)
{
    unsigned active = check_loc_state(m);
    uint64_t pending = 0;

    for (unsigned i = 0; i < localities(); i++) {
        uint64_t sts = guest_read(m, REG(i, LOC_STS), 4);

        FUZZ_CHECK(sts <= 2 && (sts & 1) == (i == active));
        FUZZ_CHECK(guest_read(m, REG(i, CMD_SIZE), 4) == window());
        FUZZ_CHECK(guest_read(m, REG(i, INTF_ID), 4) ==
                   (0x25811u | (config.localities ? 0x100u : 0) | (config.chunk ? 0x400u : 0)));
        FUZZ_CHECK((guest_read(m, REG(i, INT_ENABLE), 4) & ~0x8000000Full) == 0);
        pending |= guest_read(m, REG(i, INT_STS), 4);
        if (config.localities && i != active) {
            check_closed(m, i);
        } else {
            check_open(m, i);
        }
    }
    FUZZ_CHECK((pending & ~0xFull) == 0 && (config.interrupts || !pending));
    FUZZ_CHECK((pending != 0) == m->irq_level);
}

/* ---- what guest, hypervisor and TPM do ---- */

/* Bytes to the beginning of the buffer: on its page, or behind the registers. */
static void put(Machine *m, unsigned locality, const uint8_t *bytes, size_t size)
{
    uint8_t *page = tpmdev_device_get_page(m->device);

    if (page) {
        memcpy(page, bytes, size);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        guest_write(m, REG(locality, DATA_BUFFER + i), 1, bytes[i]);
    }
}

static void get(Machine *m, unsigned locality, uint8_t *bytes, size_t size)
{
    const uint8_t *page = tpmdev_device_get_page(m->device);

    for (size_t i = 0; i < size; i++) {
        bytes[i] = page ? page[i] : (uint8_t)guest_read(m, REG(locality, DATA_BUFFER + i), 1);
    }
}

static size_t make_command(const Machine *m, uint8_t *command, size_t size)
{
    tpmdev_failure_response(m->version, command);
    put_be32(command + 2, size);
    for (size_t i = TPM_HEADER_SIZE; i < size; i++) {
        command[i] = (uint8_t)(i * 7);
    }
    return size;
}

/* All pieces of a command, and Start. */
static void send(Machine *m, unsigned locality, const uint8_t *command, size_t size)
{
    guest_write(m, REG(locality, LOC_CTRL), 4, REQUEST_ACCESS);
    guest_write(m, REG(locality, CTRL_REQ), 4, CMD_READY);
    for (; size > window(); command += window(), size -= window()) {
        put(m, locality, command, window());
        guest_write(m, REG(locality, CTRL_START), 4, NEXT_CHUNK);
    }
    put(m, locality, command, size);
    guest_write(m, REG(locality, CTRL_START), 4, GO);
}

/* What a driver does, in one go. Mostly small commands, since each byte costs time. */
static void op_command(Machine *m, Input *input)
{
    uint8_t command[TPM_BUFFER_SIZE_MAX];
    unsigned locality = input_u8(input) % localities();
    uint8_t choice = input_u8(input);
    size_t size = choice < 0xE0 ? TPM_HEADER_SIZE + choice % 32u
                                : (size_t)(choice - 0xDFu) * (TPM_BUFFER_SIZE_MAX / 32);

    send(m, locality, command, make_command(m, command, size));
}

/* One of the registers that do something, and a value that may be one of theirs. */
static void op_control(Machine *m, Input *input)
{
    static const uint32_t regs[] = { LOC_CTRL,   CTRL_REQ,   CTRL_CANCEL, CTRL_START,
                                     CTRL_START, INT_ENABLE, INT_STS,     LOC_CTRL };
    uint8_t where = input_u8(input);
    uint64_t value = input_u8(input);

    guest_write(m, REG((where >> 4) % localities(), regs[where % G_N_ELEMENTS(regs)]), 4,
                value & 0x80 ? value | 0x80000000u : value);
}

/* The guest writes to the buffer, whatever is going on. */
static void op_scribble(Machine *m, Input *input)
{
    uint8_t bytes[32];
    unsigned locality = input_u8(input) % localities();

    put(m, locality, bytes, input_bytes(input, bytes, sizeof(bytes)));
}

static void run_op(Machine *m, Input *input)
{
    unsigned op = input_u8(input) % 14;

    switch (op) {
    case 0:
        op_access(m, input, false);
        break;
    case 1:
        op_access(m, input, true);
        break;
    case 2:
    case 3:
    case 4:
        op_control(m, input);
        break;
    case 5:
        op_command(m, input);
        break;
    case 6:
        op_scribble(m, input);
        break;
    default:
        op_machine(m, input, op - 7);
        break;
    }
}

/* ---- the end: whatever was done, a reset makes all good again ---- */

static void check_recovery(Machine *m)
{
    uint8_t command[TPM_BUFFER_SIZE_MAX];
    uint8_t response[TPM_BUFFER_SIZE_MAX];
    size_t got = 0;

    tpmdev_device_reset(m->device);
    settle(m);
    FUZZ_CHECK(!m->irq_level);
    m->polls = UINT8_MAX; /* do not complete it on the way */
    send(m, 0, command, make_command(m, command, m->agreed));
    FUZZ_CHECK(m->executing && m->command.locality == 0 && m->command.size == m->agreed);
    FUZZ_CHECK(memcmp(m->command.data, command, m->agreed) == 0);
    tpm_complete(m, m->agreed);
    for (;;) {
        size_t n = MIN(m->agreed - got, window());

        get(m, 0, response + got, n);
        got += n;
        if (got == m->agreed) {
            break;
        }
        guest_write(m, REG(0, CTRL_START), 4, NEXT_CHUNK);
    }
    for (size_t i = TPM_HEADER_SIZE; i < got; i++) {
        FUZZ_CHECK(response[i] == 0x5A);
    }
}

static const FuzzGuest guest = { run_op, check_localities, check_recovery };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Machine machine;
    Machine *m = &machine;
    Input input = { data, size };
    g_autoptr(GMainContext) context = g_main_context_new();

    FUZZ_CHECK(g_main_context_acquire(context));
    uint8_t shape = input_u8(&input);
    uint8_t properties = input_u8(&input);

    config = (TPMDeviceConfig)TPM_DEVICE_CONFIG_INIT;
    config.interface = TPM_INTERFACE_CRB;
    config.localities = properties & 1;
    config.interrupts = properties & 2;
    config.buffer_address = properties & 4 ? PAGE_ADDRESS : 0;
    config.chunk = properties & 8;
    *m = (Machine){ .on_irq = shape & 4 ? acknowledge : NULL };
    machine_new(m, shape & 0xFEu, TPM_BUFFER_SIZE_MIN + input_u16(&input), &config, context);
    machine_run(m, &input, &guest, properties & 16);
    g_main_context_release(context);
    return 0;
}
