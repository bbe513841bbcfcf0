/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile guest, a hostile SPI controller and a hostile TPM on the sides of a TIS device on SPI.
 *
 * Two devices live the same life, except that one is handed the bytes of a frame as they come and
 * the other one by one: after each step they must look the same from all sides. At the end,
 * whatever was done before, a reset makes a device that carries a command to the TPM and its
 * response back.
 *
 * All of it runs on one thread: the host lends a GMainContext that this thread owns.
 */
#include "fuzz-tpm.h"

/* Registers and bits as the specification has them, on purpose not the library's header. */
#define LOCALITIES     5u
#define ACCESS         0x00u
#define STS            0x18u
#define DATA_FIFO      0x24u
#define ACCESS_REQUEST 0x02u
#define STS_GO         0x20u
#define STS_READY      0x40u
#define STS_DATA_AVAIL 0x10u
#define FRAME_MAX      64u
#define WAITS_MAX      50u

typedef struct Side {
    FuzzTPM tpm;
    TPMDevice *device;
    bool submit_inline;
    size_t commands;
    uint64_t now_ns;
    bool irq_level;
    uint64_t messages;
} Side;

/* The first is handed the bytes as they come, the second one by one. */
typedef struct Machine {
    Side sides[2];
} Machine;

/* ---- the TPM ---- */

static void on_submitted(void *owner, const TPMCommand *command)
{
    Side *side = owner;

    FUZZ_CHECK(command->locality < LOCALITIES);
    side->commands++;
    if (side->submit_inline) {
        fuzz_tpm_complete(&side->tpm, command->size);
    }
}

/* ---- the hypervisor ---- */

static void host_set_irq(void *opaque, bool level)
{
    Side *side = opaque;

    FUZZ_CHECK(level != side->irq_level);
    side->irq_level = level;
}

static void host_message(void *opaque, const char *message)
{
    FUZZ_CHECK(*message);
    ((Side *)opaque)->messages++;
}

static int64_t host_now_ns(void *opaque)
{
    return (int64_t)((Side *)opaque)->now_ns++;
}

static void new_side(Side *side, uint8_t shape, size_t buffer_size, GMainContext *context)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;

    side->tpm = (FuzzTPM){ .version = shape & 1 ? TPM_VERSION_1_2 : TPM_VERSION_2_0,
                           .start_inline = shape & 2,
                           .submitted = on_submitted,
                           .owner = side };
    side->submit_inline = shape & 4;
    config.interface = TPM_INTERFACE_TIS_SPI;
    config.wait_states = shape >> 3;
    host.set_irq = host_set_irq;
    host.guest_error = host_message;
    host.backend_error = host_message;
    host.now_ns = host_now_ns;
    host.context = context;
    fuzz_tpm_new(&side->tpm, buffer_size);
    side->device = tpmdev_device_new(&config, side->tpm.backend, &host, side, NULL);
    FUZZ_CHECK(side->device);
}

/* ---- the bus ---- */

static void bus_select(Machine *m, bool selected)
{
    tpmdev_device_spi_select(m->sides[0].device, selected);
    tpmdev_device_spi_select(m->sides[1].device, selected);
}

/* Both hear the same and must say the same. */
static void bus_transfer(Machine *m, const uint8_t *out, uint8_t *in, size_t size)
{
    uint8_t other[256];

    FUZZ_CHECK(size <= sizeof(other));
    tpmdev_device_spi_transfer(m->sides[0].device, out, in, size);
    for (size_t i = 0; i < size; i++) {
        tpmdev_device_spi_transfer(m->sides[1].device, out ? out + i : NULL, other + i, 1);
    }
    FUZZ_CHECK(memcmp(in, other, size) == 0);
}

/* As drivers do it; wait states end. */
static void bus_frame(Machine *m, bool is_read, uint32_t address, uint8_t *bytes, size_t size)
{
    uint8_t header[] = { (uint8_t)((is_read ? 0x80 : 0) | (size - 1)), 0xD4,
                         (uint8_t)(address >> 8), (uint8_t)address };
    uint8_t in[FRAME_MAX];

    bus_select(m, false);
    bus_select(m, true);
    bus_transfer(m, header, in, sizeof(header));
    for (unsigned i = 0, last = in[3]; !(last & 1); i++, last = in[0]) {
        FUZZ_CHECK(i < WAITS_MAX);
        bus_transfer(m, NULL, in, 1);
    }
    bus_transfer(m, is_read ? NULL : bytes, in, size);
    if (is_read) {
        memcpy(bytes, in, size);
    }
    bus_select(m, false);
}

static uint8_t bus_read8(Machine *m, uint32_t address)
{
    uint8_t byte;

    bus_frame(m, true, address, &byte, 1);
    return byte;
}

static void bus_write8(Machine *m, uint32_t address, uint8_t byte)
{
    bus_frame(m, false, address, &byte, 1);
}

/* ---- what holds always ---- */

static void check_machine(Machine *m)
{
    TPMDeviceStatistics here = { .size = sizeof(here) }, there = { .size = sizeof(there) };

    tpmdev_device_get_statistics(m->sides[0].device, &here);
    tpmdev_device_get_statistics(m->sides[1].device, &there);
    FUZZ_CHECK(memcmp(&here, &there, sizeof(here)) == 0);
    FUZZ_CHECK(here.rejected_commands <= here.commands);
    FUZZ_CHECK(m->sides[0].commands == m->sides[1].commands);
    for (unsigned i = 0; i < 2; i++) {
        Side *side = &m->sides[i];

        FUZZ_CHECK(tpmdev_device_get_irq_level(side->device) == side->irq_level);
        FUZZ_CHECK(side->tpm.executing == m->sides[0].tpm.executing);
    }
    FUZZ_CHECK(m->sides[0].irq_level == m->sides[1].irq_level);
}

/* ---- what guest, controller, hypervisor and TPM do ---- */

static void op_bytes(Machine *m, Input *input)
{
    uint8_t out[255], in[255];
    size_t size = input_bytes(input, out, input_u8(input));

    bus_transfer(m, out, in, size);
}

static void op_frame(Machine *m, Input *input)
{
    uint8_t first = input_u8(input);
    uint32_t address = input_u16(input);
    uint8_t bytes[FRAME_MAX] = { 0 };
    size_t size = (first & 0x3Fu) + 1;

    if (!(first & 0x80)) {
        input_bytes(input, bytes, size);
    }
    bus_frame(m, first & 0x80, address, bytes, size);
    for (size_t i = 0; (first & 0x80) && address >= TPM_TIS_SIZE && i < size; i++) {
        FUZZ_CHECK(bytes[i] == 0xFF);
    }
}

/* What a driver does, in one go: get the locality, write a command by frames, start it. */
static void op_command(Machine *m, Input *input)
{
    uint8_t command[TPM_TIS_BUFFER_SIZE] = { 0 };
    uint32_t page = input_u8(input) % LOCALITIES << 12;
    uint8_t choice = input_u8(input);
    size_t size = choice < 0xF0 ? TPM_HEADER_SIZE + choice : TPM_TIS_BUFFER_SIZE - (0xFFu - choice);

    command[0] = m->sides[0].tpm.version == TPM_VERSION_1_2 ? 0x00 : 0x80;
    command[1] = m->sides[0].tpm.version == TPM_VERSION_1_2 ? 0xC1 : 0x01;
    put_be32(command + 2, size);
    put_be32(command + 6, input_u16(input));
    bus_write8(m, page | ACCESS, ACCESS_REQUEST);
    bus_write8(m, page | STS, STS_READY);
    for (size_t i = 0; i < size; i += FRAME_MAX) {
        bus_frame(m, false, page | DATA_FIFO, command + i, MIN(size - i, FRAME_MAX));
    }
    bus_write8(m, page | STS, STS_GO);
}

/* Both TPMs do the same, asked or not. */
static void op_tpm(Machine *m, Input *input)
{
    uint8_t what = input_u8(input) % 4;
    size_t size = input_u16(input);

    for (unsigned i = 0; i < 2; i++) {
        switch (what) {
        case 0:
        case 1:
            fuzz_tpm_complete(&m->sides[i].tpm, size);
            break;
        case 2:
            fuzz_tpm_started(&m->sides[i].tpm);
            break;
        case 3:
            fuzz_tpm_fail(&m->sides[i].tpm);
            break;
        }
    }
}

/* What remains of a frame means nothing any more. */
static void op_reset(Machine *m)
{
    uint8_t in;

    tpmdev_device_reset(m->sides[0].device);
    tpmdev_device_reset(m->sides[1].device);
    bus_transfer(m, NULL, &in, 1);
    FUZZ_CHECK(in == 0xFF);
}

static void run_op(Machine *m, Input *input)
{
    switch (input_u8(input) % 8) {
    case 0:
    case 1:
        op_bytes(m, input);
        break;
    case 2:
        bus_select(m, input_u8(input) & 1);
        break;
    case 3:
    case 4:
        op_frame(m, input);
        break;
    case 5:
        op_command(m, input);
        break;
    case 6:
        op_tpm(m, input);
        break;
    case 7:
        op_reset(m);
        break;
    }
}

/* ---- the end: whatever was done, a reset makes all good again ---- */

static void check_recovery(Machine *m)
{
    Input locality_0 = { NULL, 0 };
    size_t n = 0;

    op_reset(m);
    fuzz_tpm_settle(&m->sides[0].tpm);
    fuzz_tpm_settle(&m->sides[1].tpm);
    op_command(m, &locality_0);
    for (unsigned i = 0; i < 2; i++) {
        FUZZ_CHECK(m->sides[i].tpm.executing != m->sides[i].submit_inline);
        fuzz_tpm_settle(&m->sides[i].tpm);
    }
    while (bus_read8(m, STS) & STS_DATA_AVAIL) {
        bus_read8(m, DATA_FIFO);
        n++;
    }
    FUZZ_CHECK(n == TPM_HEADER_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Machine machine;
    Machine *m = &machine;
    Input input = { data, size };
    g_autoptr(GMainContext) context = g_main_context_new();
    uint8_t shape = input_u8(&input);
    size_t buffer_size = TPM_BUFFER_SIZE_MIN + input_u16(&input);

    FUZZ_CHECK(g_main_context_acquire(context));
    *m = (Machine){ 0 };
    new_side(&m->sides[0], shape, buffer_size, context);
    new_side(&m->sides[1], shape, buffer_size, context);
    while (input.left > 0) {
        run_op(m, &input);
        check_machine(m);
    }
    fuzz_tpm_settle(&m->sides[0].tpm);
    fuzz_tpm_settle(&m->sides[1].tpm);
    check_recovery(m);
    for (unsigned i = 0; i < 2; i++) {
        tpmdev_device_free(m->sides[i].device);
        tpmdev_backend_unref(m->sides[i].tpm.backend);
    }
    g_main_context_release(context);
    return 0;
}
