/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile guest and a hostile TPM on the two sides of a TIS device.
 *
 * The bytes are a list of what guest, hypervisor and TPM do one after another. After each of
 * them the rules that hold for every guest are checked: what may be read, what the TPM may be
 * sent, where the interrupt line is. At the end, whatever was done before, a reset makes a
 * device that carries a command to the TPM and its response back.
 *
 * All of it runs on one thread: the host lends a GMainContext that this thread owns.
 */
#include "fuzz-machine.h"

/* Registers and bits as TCG PC Client TIS 1.3 has them, on purpose not the library's header. */
#define ACCESS         0x00u
#define STS            0x18u
#define INT_STATUS     0x10u
#define DATA_FIFO      0x24u
#define HASH_END       0x20u
#define HASH_DATA      0x24u
#define HASH_START     0x28u
#define HASH_MEMORY    4096u
#define ACCESS_REQUEST 0x02u
#define ACCESS_SEIZE   0x08u
#define ACCESS_ACTIVE  0x20u
#define ACCESS_VALID   0x80u
#define STS_WRITE_ONLY 0x23u
#define STS_EXPECT     0x08u
#define STS_DATA_AVAIL 0x10u
#define STS_GO         0x20u
#define STS_READY      0x40u
#define STS_VALID      0x80u

/* The guest's handler. */
static void acknowledge(Machine *m)
{
    for (unsigned i = 0; i < LOCALITIES; i++) {
        guest_write(m, REG(i, INT_STATUS), 4, guest_read(m, REG(i, INT_STATUS), 4));
    }
}

/* ---- what holds for every guest ---- */

static void check_locality(Machine *m, unsigned locality, unsigned *active)
{
    uint64_t access = guest_read(m, REG(locality, ACCESS), 1);
    uint64_t sts = guest_read(m, REG(locality, STS), 4);
    uint64_t burst = sts >> 8 & 0xFFFF;

    FUZZ_CHECK((access & ACCESS_VALID) && !(access & ACCESS_SEIZE));
    if (!(access & ACCESS_ACTIVE)) {
        FUZZ_CHECK(sts == UINT32_MAX);
        return;
    }
    (*active)++;
    FUZZ_CHECK((sts & STS_WRITE_ONLY) == 0);
    FUZZ_CHECK(locality != 4 || (m->drtm && (sts & 0xFB) == STS_VALID));
    FUZZ_CHECK(burst <= (locality == 4 ? HASH_MEMORY : m->agreed));
    if (sts & STS_DATA_AVAIL) {
        FUZZ_CHECK((sts & STS_VALID) && !(sts & STS_EXPECT) && burst > 0);
    }
}

static void check_localities(Machine *m)
{
    unsigned active = 0;

    for (unsigned i = 0; i < LOCALITIES; i++) {
        check_locality(m, i, &active);
    }
    FUZZ_CHECK(active <= 1);
}

/* ---- what guest, hypervisor and TPM do ---- */

/* Mostly small commands, since each byte costs time; sometimes the largest. */
static size_t command_size(uint8_t choice)
{
    return choice < 0xF0 ? TPM_HEADER_SIZE + choice % 32
                         : TPM_BUFFER_SIZE_COMMON - (0xFFu - choice);
}

/* What a driver does, in one go: get the locality, write a command, start it. */
static void op_command(Machine *m, Input *input)
{
    uint8_t command[TPM_BUFFER_SIZE_COMMON] = { 0 };
    unsigned locality = input_u8(input) % LOCALITIES;
    size_t size = command_size(input_u8(input));

    command[0] = m->version == TPM_VERSION_1_2 ? 0x00 : 0x80;
    command[1] = m->version == TPM_VERSION_1_2 ? 0xC1 : 0x01;
    put_be32(command + 2, size);
    put_be32(command + 6, input_u16(input));
    guest_write(m, REG(locality, ACCESS), 1, ACCESS_REQUEST);
    guest_write(m, REG(locality, STS), 1, STS_READY);
    for (size_t i = 0; i < size; i++) {
        guest_write(m, REG(locality, DATA_FIFO), 1, command[i]);
    }
    guest_write(m, REG(locality, STS), 1, STS_GO);
}

/* Read on for as long as there is something; a response ends within the buffer. */
static void op_drain(Machine *m, Input *input)
{
    uint64_t fifo = REG(input_u8(input) % LOCALITIES, DATA_FIFO);
    uint64_t sts = fifo - DATA_FIFO + STS;
    size_t n = 0;

    while (guest_read(m, sts, 4) != UINT32_MAX && (guest_read(m, sts, 1) & STS_DATA_AVAIL)) {
        guest_read(m, fifo, 1);
        FUZZ_CHECK(++n <= m->agreed);
    }
}

/* What a processor does, in one go or left half way: a sequence with some data. */
static void op_measure(Machine *m, Input *input)
{
    uint8_t what = input_u8(input);
    size_t size = input_u16(input) % (3 * HASH_MEMORY);

    if (what & 1) {
        guest_write(m, REG(4, HASH_START), 1, 0);
    }
    for (size_t i = 0; i < size; i += 4) {
        guest_write(m, REG(4, HASH_DATA), 4, i);
    }
    if (what & 2) {
        guest_write(m, REG(4, HASH_END), 1, 0);
    }
}

/* From here on an operation is one of these; below, it is one of twelve. */
#define OP_MEASURE 252u
#define OP_HASHED  254u

static void run_op(Machine *m, Input *input)
{
    uint8_t op = input_u8(input);

    if (op >= OP_HASHED) {
        tpm_hashed(m);
        return;
    }
    if (op >= OP_MEASURE) {
        op_measure(m, input);
        return;
    }
    switch (op % 12) {
    case 0:
    case 1:
        op_access(m, input, false);
        break;
    case 2:
    case 3:
        op_access(m, input, true);
        break;
    case 4:
        op_command(m, input);
        break;
    case 5:
        op_drain(m, input);
        break;
    default:
        op_machine(m, input, op % 12 - 6);
        break;
    }
}

/* ---- the end: whatever was done, a reset makes all good again ---- */

static void check_recovery(Machine *m)
{
    Input locality_0 = { NULL, 0 };

    tpmdev_device_reset(m->device);
    settle(m);
    FUZZ_CHECK(!m->irq_level);
    op_command(m, &locality_0);
    FUZZ_CHECK(m->executing && m->command.locality == 0);
    tpm_complete(m, m->agreed);
    for (size_t i = 0; i < m->agreed; i++) {
        FUZZ_CHECK(guest_read(m, REG(0, STS), 1) & STS_DATA_AVAIL);
        uint64_t byte = guest_read(m, REG(0, DATA_FIFO), 1);
        FUZZ_CHECK(i < TPM_HEADER_SIZE || byte == 0x5A);
    }
    FUZZ_CHECK(!(guest_read(m, REG(0, STS), 1) & STS_DATA_AVAIL));
}

static const FuzzGuest guest = { run_op, check_localities, check_recovery };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Machine machine;
    Machine *m = &machine;
    Input input = { data, size };
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    g_autoptr(GMainContext) context = g_main_context_new();

    FUZZ_CHECK(g_main_context_acquire(context));
    uint8_t shape = input_u8(&input);

    *m = (Machine){ .on_irq = shape & 4 ? acknowledge : NULL };
    size_t buffer_size = TPM_BUFFER_SIZE_MIN + input_u16(&input);
    uint8_t more = input_u8(&input);

    config.drtm = more & 2;
    machine_new(m, shape, buffer_size, &config, context);
    machine_run(m, &input, &guest, more & 1);
    g_main_context_release(context);
    return 0;
}
