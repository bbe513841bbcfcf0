/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile master and a hostile TPM on the two sides of an I2C device.
 *
 * The bytes are a list of what happens on the bus, in any order whatever, and of what hypervisor
 * and TPM do in between. After each of them the rules that hold for every master are checked. At
 * the end, whatever was done before, a reset makes a device that carries a command to the TPM and
 * its response back, with checksums that are right.
 *
 * All of it runs on one thread: the host lends a GMainContext that this thread owns.
 */
#include "fuzz-tpm.h"

/* Registers and bits as the TCG TPM I2C Interface Specification has them. */
#define LOC_SEL        0x00u
#define ACCESS         0x04u
#define STS            0x18u
#define FIFO           0x24u
#define CSUM           0x44u
#define ACCESS_REQUEST 0x02u
#define ACCESS_SEIZE   0x08u
#define ACCESS_ACTIVE  0x20u
#define ACCESS_VALID   0x80u
#define STS_INACTIVE   0x00FFFFDDu
#define STS_GO         0x20u
#define STS_READY      0x40u
#define STS_DATA_AVAIL 0x10u
#define STS_WRITE_ONLY 0x23u
#define LOCALITIES     5u

typedef struct Machine {
    FuzzTPM tpm;
    TPMDevice *device;
    bool at_once; /* the TPM answers from within submit() */
    uint8_t locality;
    size_t command_size;
    uint64_t messages;
} Machine;

static const uint8_t command[12] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8 };

/* ---- the TPM ---- */

static void on_submitted(void *owner, const TPMCommand *submitted)
{
    Machine *m = owner;

    FUZZ_CHECK(submitted->locality < LOCALITIES - 1 && submitted->data[0] == 0x80);
    m->locality = submitted->locality;
    m->command_size = submitted->size;
    if (m->at_once) {
        fuzz_tpm_complete(&m->tpm, TPM_HEADER_SIZE + 4);
    }
}

static void tpm_answer(Machine *m, size_t size)
{
    if (m->tpm.starting) {
        fuzz_tpm_started(&m->tpm);
    } else if (m->tpm.executing) {
        fuzz_tpm_complete(&m->tpm, size);
    }
}

/* ---- the hypervisor ---- */

static void host_message(void *opaque, const char *message)
{
    Machine *m = opaque;

    FUZZ_CHECK(*message);
    m->messages++;
}

/* ---- a master that knows what it does ---- */

static bool event(Machine *m, TPMI2CEvent what)
{
    return tpmdev_device_i2c_event(m->device, what);
}

static void reg_write(Machine *m, uint8_t number, const uint8_t *bytes, size_t size)
{
    FUZZ_CHECK(event(m, TPM_I2C_START_SEND));
    FUZZ_CHECK(tpmdev_device_i2c_send(m->device, number));
    for (size_t i = 0; i < size; i++) {
        FUZZ_CHECK(tpmdev_device_i2c_send(m->device, bytes[i]));
    }
    FUZZ_CHECK(event(m, TPM_I2C_STOP));
}

static void reg_write_byte(Machine *m, uint8_t number, uint8_t byte)
{
    reg_write(m, number, &byte, 1);
}

static uint32_t reg_read(Machine *m, uint8_t number, unsigned size)
{
    uint32_t value = 0;

    reg_write(m, number, NULL, 0);
    FUZZ_CHECK(event(m, TPM_I2C_START_RECEIVE));
    for (unsigned i = 0; i < size; i++) {
        value |= (uint32_t)tpmdev_device_i2c_receive(m->device) << 8 * i;
    }
    FUZZ_CHECK(event(m, TPM_I2C_STOP));
    return value;
}

/* ---- what holds for every master, at the locality selected ---- */

static void check_machine(Machine *m)
{
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };
    uint32_t access = reg_read(m, ACCESS, 4);
    uint32_t sts = reg_read(m, STS, 4);

    FUZZ_CHECK(reg_read(m, LOC_SEL, 4) < LOCALITIES);
    FUZZ_CHECK((access & ACCESS_VALID) && !(access & ACCESS_SEIZE) && access <= 0xFF);
    if (access & ACCESS_ACTIVE) {
        FUZZ_CHECK((sts & STS_WRITE_ONLY) == 0 && sts >> 24 == 0);
        FUZZ_CHECK((sts >> 8 & 0xFFFF) <= tpmdev_backend_get_buffer_size(m->tpm.backend));
    } else {
        FUZZ_CHECK(sts == STS_INACTIVE);
        FUZZ_CHECK(reg_read(m, CSUM, 4) == 0);
    }
    FUZZ_CHECK(reg_read(m, CSUM, 4) <= 0xFFFF);
    FUZZ_CHECK(!tpmdev_device_get_irq_level(m->device));
    tpmdev_device_get_statistics(m->device, &statistics);
    FUZZ_CHECK(statistics.rejected_commands <= statistics.commands && statistics.interrupts == 0);
}

/* ---- what happens ---- */

static void op_command(Machine *m, Input *input)
{
    uint8_t locality = input_u8(input);

    reg_write_byte(m, LOC_SEL, locality % LOCALITIES);
    reg_write_byte(m, ACCESS, ACCESS_REQUEST);
    reg_write_byte(m, STS, STS_READY);
    reg_write(m, FIFO, command, sizeof(command));
    reg_write_byte(m, STS, STS_GO);
}

/* Bytes in any number, to whatever is named. */
static void op_send(Machine *m, Input *input)
{
    for (unsigned n = 1 + input_u8(input) % 16; n > 0; n--) {
        tpmdev_device_i2c_send(m->device, input_u8(input));
    }
}

static void op_receive(Machine *m, Input *input)
{
    for (unsigned n = 1 + input_u8(input); n > 0; n--) {
        tpmdev_device_i2c_receive(m->device);
    }
}

/* Returns whether a transfer may still be under way, which looking would disturb. */
static bool run_op(Machine *m, Input *input)
{
    uint8_t op = input_u8(input) % 12;

    switch (op) {
    case 0:
    case 1:
    case 2:
    case 3:
        event(m, (TPMI2CEvent)op);
        return op != TPM_I2C_STOP;
    case 4:
    case 5:
        op_send(m, input);
        return true;
    case 6:
        op_receive(m, input);
        return true;
    case 7:
        op_command(m, input);
        return false;
    case 8:
        tpm_answer(m, input_u16(input));
        return true;
    case 9:
        m->at_once = input_u8(input) & 1;
        return true;
    case 10:
        if (input_u8(input) % 8 == 0) {
            tpmdev_device_reset(m->device);
        }
        return true;
    default:
        /* a register and the value for it, as a driver writes them */
        event(m, TPM_I2C_START_SEND);
        op_send(m, input);
        event(m, TPM_I2C_STOP);
        return false;
    }
}

/* ---- the end: whatever was done, a reset makes all good again ---- */

static uint16_t crc_of(const uint8_t *bytes, size_t size)
{
    unsigned crc = 0;

    for (size_t i = 0; i < 8 * size; i++) {
        unsigned bit = (bytes[i / 8] >> i % 8 ^ crc) & 1;

        crc = crc >> 1 ^ (bit ? 0x8408 : 0);
    }
    return (uint16_t)crc;
}

static uint16_t csum(Machine *m)
{
    uint32_t bytes = reg_read(m, CSUM, 2);

    return (uint16_t)(bytes >> 8 | (bytes & 0xFF) << 8);
}

static void check_recovery(Machine *m)
{
    Input locality_0 = { NULL, 0 };
    uint8_t response[TPM_HEADER_SIZE];

    tpmdev_device_reset(m->device);
    m->at_once = false;
    FUZZ_CHECK(reg_read(m, LOC_SEL, 1) == 0 && reg_read(m, ACCESS, 1) == 0x81);
    fuzz_tpm_settle(&m->tpm);
    op_command(m, &locality_0);
    FUZZ_CHECK(m->tpm.executing && m->locality == 0 && m->command_size == sizeof(command));
    FUZZ_CHECK(csum(m) == crc_of(command, sizeof(command)));
    fuzz_tpm_complete(&m->tpm, sizeof(response));
    for (size_t i = 0; i < sizeof(response); i++) {
        FUZZ_CHECK(reg_read(m, STS, 1) & STS_DATA_AVAIL);
        response[i] = (uint8_t)reg_read(m, FIFO, 1);
    }
    FUZZ_CHECK(!(reg_read(m, STS, 1) & STS_DATA_AVAIL));
    FUZZ_CHECK(response[0] == 0x80 && response[5] == sizeof(response));
    FUZZ_CHECK(csum(m) == crc_of(response, sizeof(response)));
}

static void new_machine(Machine *m, Input *input, GMainContext *context)
{
    size_t size = TPM_BUFFER_SIZE_MIN + input_u16(input);
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;

    *m = (Machine){
        .tpm = { .version = TPM_VERSION_2_0, .submitted = on_submitted, .owner = m },
    };
    config.interface = TPM_INTERFACE_TIS_I2C;
    host.set_irq = fuzz_no_irq;
    host.guest_error = host_message;
    host.backend_error = host_message;
    host.context = context;
    fuzz_tpm_new(&m->tpm, size);
    m->device = tpmdev_device_new(&config, m->tpm.backend, &host, m, NULL);
    FUZZ_CHECK(m->device && tpmdev_device_get_size(m->device) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Machine machine;
    Machine *m = &machine;
    Input input = { data, size };
    g_autoptr(GMainContext) context = g_main_context_new();

    FUZZ_CHECK(g_main_context_acquire(context));
    new_machine(m, &input, context);
    while (input.left > 0) {
        if (!run_op(m, &input)) {
            check_machine(m);
        }
    }
    event(m, TPM_I2C_STOP);
    check_machine(m);
    check_recovery(m);
    tpmdev_device_free(m->device);
    tpmdev_backend_unref(m->tpm.backend);
    g_main_context_release(context);
    return 0;
}
