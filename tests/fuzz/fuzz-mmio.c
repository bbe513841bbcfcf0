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
#include "input.h"
#include <tpmdev/tpmdev.h>

/* Registers and bits as TCG PC Client TIS 1.3 has them, on purpose not the library's header. */
#define LOCALITIES       5u
#define REG(locality, r) ((uint64_t)(locality) << 12 | (r))
#define ACCESS           0x00u
#define STS              0x18u
#define INT_STATUS       0x10u
#define DATA_FIFO        0x24u
#define ACCESS_REQUEST   0x02u
#define ACCESS_SEIZE     0x08u
#define ACCESS_ACTIVE    0x20u
#define ACCESS_VALID     0x80u
#define STS_WRITE_ONLY   0x23u
#define STS_EXPECT       0x08u
#define STS_DATA_AVAIL   0x10u
#define STS_GO           0x20u
#define STS_READY        0x40u
#define STS_VALID        0x80u

/* What the host's clock moves by each time it is looked at, in nanoseconds. */
#define CLOCK_STEP_NS 1000

typedef struct Machine {
    /* the TPM */
    TPMBackend *backend;
    TPMVersion version;
    size_t agreed;     /* bytes of the largest command, as start() was told */
    bool start_inline; /* start() is answered from within */
    bool starting;     /* it has not been answered */
    uint8_t polls;     /* a lingering command completes at this poll; 0: at once */
    bool executing;
    TPMCommand command; /* as submitted */
    uint8_t copy[TPM_BUFFER_SIZE_COMMON];
    bool destroyed;

    /* the hypervisor */
    TPMDevice *device;
    int64_t now_ns;
    bool irq_level;
    bool irq_acknowledge; /* the guest's handler runs within set_irq() */
    uint64_t messages;
    bool freed; /* no callback may come any more */
} Machine;

/* ---- the TPM ---- */

static void put_be32(uint8_t *p, size_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> 8 * (3 - i));
    }
}

/* A response of this size that any device must take. */
static size_t make_response(const Machine *m, uint8_t *response, size_t size)
{
    size = CLAMP(size, TPM_HEADER_SIZE, m->agreed);
    tpmdev_failure_response(m->version, response);
    put_be32(response + 2, size);
    memset(response + TPM_HEADER_SIZE, 0x5A, size - TPM_HEADER_SIZE);
    return size;
}

/* The command under way is over; until now its bytes had to stay. */
static void end_command(Machine *m)
{
    if (m->executing) {
        FUZZ_CHECK(memcmp(m->copy, m->command.data, m->command.size) == 0);
    }
    m->executing = false;
}

static void tpm_complete(Machine *m, size_t size)
{
    uint8_t response[TPM_BUFFER_SIZE_COMMON];

    size = make_response(m, response, size);
    end_command(m);
    tpmdev_backend_complete(m->backend, response, size);
}

static void tpm_fail(Machine *m)
{
    g_autoptr(GError) error = g_error_new(TPMDEV_ERROR, TPM_ERROR_TPM, "the TPM has failed");

    end_command(m);
    m->starting = false;
    tpmdev_backend_failed(m->backend, error);
}

static void tpm_started(Machine *m)
{
    m->starting = false;
    tpmdev_backend_started(m->backend);
}

static void fake_start(void *self, size_t buffer_size)
{
    Machine *m = self;

    FUZZ_CHECK(!m->starting && !m->executing);
    FUZZ_CHECK(buffer_size >= TPM_BUFFER_SIZE_MIN);
    FUZZ_CHECK(buffer_size <= tpmdev_backend_get_buffer_size(m->backend));
    m->agreed = buffer_size;
    m->starting = true;
    if (m->start_inline) {
        tpm_started(m);
    }
}

/* Nothing but a well-formed command of this TPM's version may ever come here. */
static void fake_submit(void *self, const TPMCommand *command, bool linger)
{
    Machine *m = self;
    unsigned tag = (unsigned)command->data[0] << 8 | command->data[1];
    uint8_t size[4];

    FUZZ_CHECK(!m->starting && !m->executing);
    FUZZ_CHECK(command->locality < LOCALITIES);
    FUZZ_CHECK(command->size >= TPM_HEADER_SIZE && command->size <= m->agreed);
    put_be32(size, command->size);
    FUZZ_CHECK(memcmp(size, command->data + 2, sizeof(size)) == 0);
    if (m->version == TPM_VERSION_1_2) {
        FUZZ_CHECK(tag >= 0xC1 && tag <= 0xC3);
    } else {
        FUZZ_CHECK(tag == 0x8001 || tag == 0x8002);
    }
    m->executing = true;
    m->command = *command;
    memcpy(m->copy, command->data, command->size);
    if (linger && m->polls == 0) {
        tpm_complete(m, TPM_HEADER_SIZE);
    }
}

static void fake_poll(void *self)
{
    Machine *m = self;

    FUZZ_CHECK(m->executing);
    if (m->polls > 0 && --m->polls == 0) {
        tpm_complete(m, TPM_HEADER_SIZE + 4);
    }
}

static void fake_linger_end(void *self)
{
    (void)self;
}

static void fake_cancel(void *self)
{
    Machine *m = self;

    FUZZ_CHECK(m->executing);
}

static void fake_reset_established(void *self, uint8_t locality)
{
    Machine *m = self;

    FUZZ_CHECK(!m->starting && !m->executing);
    FUZZ_CHECK(locality == 3 || locality == 4);
    tpmdev_backend_set_established(m->backend, false);
}

static void fake_destroy(void *self)
{
    Machine *m = self;

    FUZZ_CHECK(!m->destroyed);
    m->destroyed = true;
}

static const TPMBackendClass fake_class = {
    .size = sizeof(TPMBackendClass),
    .type = "fake",
    .start = fake_start,
    .submit = fake_submit,
    .cancel = fake_cancel,
    .reset_established = fake_reset_established,
    .destroy = fake_destroy,
};

static const TPMBackendClass lingering_class = {
    .size = sizeof(TPMBackendClass),
    .type = "lingering",
    .start = fake_start,
    .submit = fake_submit,
    .poll = fake_poll,
    .linger_end = fake_linger_end,
    .cancel = fake_cancel,
    .reset_established = fake_reset_established,
    .destroy = fake_destroy,
};

/* ---- the hypervisor ---- */

static uint64_t guest_read(Machine *m, uint64_t offset, unsigned width)
{
    uint64_t value = 0;

    FUZZ_CHECK(tpmdev_device_read(m->device, offset, width, &value) == TPM_ACCESS_OK);
    FUZZ_CHECK(width == 8 || value >> 8 * width == 0);
    return value;
}

static void guest_write(Machine *m, uint64_t offset, unsigned width, uint64_t value)
{
    FUZZ_CHECK(tpmdev_device_write(m->device, offset, width, value) == TPM_ACCESS_OK);
}

static void host_set_irq(void *opaque, bool level)
{
    Machine *m = opaque;

    FUZZ_CHECK(!m->freed && level != m->irq_level);
    m->irq_level = level;
    if (level && m->irq_acknowledge) {
        for (unsigned i = 0; i < LOCALITIES; i++) {
            guest_write(m, REG(i, INT_STATUS), 4, guest_read(m, REG(i, INT_STATUS), 4));
        }
    }
}

static void host_message(void *opaque, const char *message)
{
    Machine *m = opaque;

    FUZZ_CHECK(!m->freed && *message);
    m->messages++;
}

static int64_t host_now_ns(void *opaque)
{
    Machine *m = opaque;

    m->now_ns += CLOCK_STEP_NS;
    return m->now_ns;
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
    FUZZ_CHECK(burst <= tpmdev_backend_get_buffer_size(m->backend));
    if (sts & STS_DATA_AVAIL) {
        FUZZ_CHECK((sts & STS_VALID) && !(sts & STS_EXPECT) && burst > 0);
    }
}

static void check_machine(Machine *m)
{
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };
    unsigned active = 0;

    for (unsigned i = 0; i < LOCALITIES; i++) {
        check_locality(m, i, &active);
    }
    FUZZ_CHECK(active <= 1);
    FUZZ_CHECK(tpmdev_device_get_irq_level(m->device) == m->irq_level);
    tpmdev_device_get_statistics(m->device, &statistics);
    FUZZ_CHECK(statistics.rejected_commands <= statistics.commands);
    FUZZ_CHECK(statistics.inline_completions <= statistics.commands);
    FUZZ_CHECK(statistics.failures <= statistics.commands);
}

/* ---- what guest, hypervisor and TPM do ---- */

/* Any access whatever, so also those outside the device and of a width there is not. */
static void op_access(Machine *m, Input *input, bool is_write)
{
    uint64_t offset = input_u16(input);
    uint8_t shape = input_u8(input);
    unsigned width = shape & 0x80 ? shape & 0x1Fu : 1u << (shape & 3);
    bool bad_width = width != 1 && width != 2 && width != 4 && width != 8;
    TPMAccess wanted = bad_width                       ? TPM_ACCESS_BAD_WIDTH
                       : offset + width > TPM_TIS_SIZE ? TPM_ACCESS_BAD_OFFSET
                                                       : TPM_ACCESS_OK;
    uint64_t value = 0;

    if (is_write) {
        value = input_number(input, MIN(width, 8));
        FUZZ_CHECK(tpmdev_device_write(m->device, offset, width, value) == wanted);
        return;
    }
    FUZZ_CHECK(tpmdev_device_read(m->device, offset, width, &value) == wanted);
    if (wanted != TPM_ACCESS_OK) {
        FUZZ_CHECK(value == UINT64_MAX);
    } else {
        FUZZ_CHECK(width == 8 || value >> 8 * width == 0);
    }
}

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
        FUZZ_CHECK(++n <= tpmdev_backend_get_buffer_size(m->backend));
    }
}

static void op_complete_with(Machine *m, Input *input)
{
    uint8_t response[TPM_BUFFER_SIZE_COMMON + 16];
    size_t size = input_bytes(input, response, input_u16(input) % sizeof(response));

    end_command(m);
    tpmdev_backend_complete(m->backend, response, size);
}

static void run_op(Machine *m, Input *input)
{
    switch (input_u8(input) % 12) {
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
    case 6:
        tpm_complete(m, input_u16(input));
        break;
    case 7:
        op_complete_with(m, input);
        break;
    case 8:
        tpm_fail(m);
        break;
    case 9:
        tpm_started(m);
        break;
    case 10:
        m->now_ns += (int64_t)input_number(input, 4);
        m->polls = input_u8(input);
        break;
    case 11:
        if (input_u8(input) & 1) {
            tpmdev_backend_set_established(m->backend, true);
        } else {
            tpmdev_device_reset(m->device);
        }
        break;
    }
}

/* ---- the end: whatever was done, a reset makes all good again ---- */

/* The TPM answers all it has been asked, as a cancelled or slow one does in the end. */
static void settle(Machine *m)
{
    while (m->starting || m->executing) {
        if (m->starting) {
            tpm_started(m);
        } else {
            tpm_complete(m, TPM_HEADER_SIZE);
        }
    }
}

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

static void new_machine(Machine *m, Input *input, GMainContext *context)
{
    uint8_t shape = input_u8(input);
    TPMBackendInfo info = { sizeof(info), shape & 1 ? TPM_VERSION_1_2 : TPM_VERSION_2_0,
                            TPM_BUFFER_SIZE_MIN + input_u16(input) };
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;

    *m = (Machine){ .version = info.version,
                    .start_inline = shape & 2,
                    .irq_acknowledge = shape & 4,
                    .polls = shape >> 4 };
    host.set_irq = host_set_irq;
    host.guest_error = host_message;
    host.backend_error = host_message;
    host.now_ns = host_now_ns;
    host.context = context;
    m->backend =
        tpmdev_backend_new(shape & 8 ? &lingering_class : &fake_class, "tpm0", &info, m, NULL);
    FUZZ_CHECK(m->backend);
    m->device = tpmdev_device_new(&config, m->backend, &host, m, NULL);
    FUZZ_CHECK(m->device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Machine machine;
    Machine *m = &machine;
    Input input = { data, size };
    g_autoptr(GMainContext) context = g_main_context_new();

    FUZZ_CHECK(g_main_context_acquire(context));
    new_machine(m, &input, context);
    bool recover = input_u8(&input) & 1;

    while (input.left > 0) {
        run_op(m, &input);
        check_machine(m);
    }
    if (recover) {
        settle(m);
        check_recovery(m);
    }
    tpmdev_device_free(m->device);
    /* What was under way is abandoned: an answer to it reaches nobody. */
    m->freed = true;
    settle(m);
    tpmdev_backend_unref(m->backend);
    FUZZ_CHECK(m->destroyed);
    g_main_context_release(context);
    return 0;
}
