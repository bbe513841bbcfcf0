/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile TPM and a hypervisor for the fuzz targets of devices; see fuzz-machine.h.
 */
#include "fuzz-machine.h"

/* What the host's clock moves by each time it is looked at, in nanoseconds. */
#define CLOCK_STEP_NS 1000

/* ---- the TPM ---- */

/* The command under way is over; until now its bytes had to stay. */
static void end_command(Machine *m)
{
    if (m->executing) {
        FUZZ_CHECK(memcmp(m->copy, m->command.data, m->command.size) == 0);
    }
    m->executing = false;
}

/* Likewise of a step. */
static void end_step(Machine *m)
{
    if (m->hashing) {
        FUZZ_CHECK(m->hash_size == 0 || memcmp(m->hash_copy, m->hash_data, m->hash_size) == 0);
    }
    m->hashing = false;
}

void tpm_hashed(Machine *m)
{
    end_step(m);
    m->sequence = m->sequence && m->step != TPM_HASH_END;
    tpmdev_backend_hashed(m->backend);
}

void tpm_complete(Machine *m, size_t size)
{
    uint8_t response[TPM_BUFFER_SIZE_MAX];

    size = fuzz_response(m->version, m->agreed, response, size);
    end_command(m);
    tpmdev_backend_complete(m->backend, response, size);
}

static void tpm_fail(Machine *m)
{
    g_autoptr(GError) error = g_error_new(TPMDEV_ERROR, TPM_ERROR_TPM, "the TPM has failed");

    end_command(m);
    end_step(m);
    m->sequence = false;
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

    FUZZ_CHECK(!m->starting && !m->executing && !m->hashing);
    m->sequence = false;
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

    FUZZ_CHECK(!m->starting && !m->executing && !m->hashing && !m->sequence);
    FUZZ_CHECK(command->locality < LOCALITIES);
    fuzz_check_command(command, m->agreed);
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

    FUZZ_CHECK(!m->starting && !m->executing && !m->hashing);
    FUZZ_CHECK(locality == 3 || locality == 4);
    tpmdev_backend_set_established(m->backend, false);
}

/* In order, and nothing in it but what was written. */
static void fake_hash(void *self, TPMHashStep step, const uint8_t *data, size_t size)
{
    Machine *m = self;

    FUZZ_CHECK(m->drtm && !m->starting && !m->executing && !m->hashing);
    FUZZ_CHECK(m->sequence == (step != TPM_HASH_START));
    FUZZ_CHECK((step == TPM_HASH_DATA) == (size > 0) && (size > 0) == (data != NULL));
    FUZZ_CHECK(size <= TPM_HASH_CHUNK_MAX);
    m->sequence = m->hashing = true;
    m->step = step;
    m->hash_data = data;
    m->hash_size = size;
    if (size > 0) {
        memcpy(m->hash_copy, data, size);
    }
    if (m->start_inline) {
        tpm_hashed(m);
    }
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
    .hash = fake_hash,
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
    .hash = fake_hash,
};

/* ---- the hypervisor ---- */

uint64_t guest_read(Machine *m, uint64_t offset, unsigned width)
{
    uint64_t value = 0;

    FUZZ_CHECK(tpmdev_device_read(m->device, offset, width, &value) == TPM_ACCESS_OK);
    FUZZ_CHECK(width == 8 || value >> 8 * width == 0);
    return value;
}

void guest_write(Machine *m, uint64_t offset, unsigned width, uint64_t value)
{
    FUZZ_CHECK(tpmdev_device_write(m->device, offset, width, value) == TPM_ACCESS_OK);
}

static void host_set_irq(void *opaque, bool level)
{
    Machine *m = opaque;

    FUZZ_CHECK(!m->freed && level != m->irq_level);
    m->irq_level = level;
    if (level && m->on_irq) {
        m->on_irq(m);
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

/* ---- what an input makes them do ---- */

void op_access(Machine *m, Input *input, bool is_write)
{
    uint64_t offset = input_u16(input);
    uint8_t shape = input_u8(input);
    unsigned width = shape & 0x80 ? shape & 0x1Fu : 1u << (shape & 3);
    bool bad_width = width != 1 && width != 2 && width != 4 && width != 8;
    TPMAccess wanted = bad_width                                            ? TPM_ACCESS_BAD_WIDTH
                       : offset + width > tpmdev_device_get_size(m->device) ? TPM_ACCESS_BAD_OFFSET
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

static void op_complete_with(Machine *m, Input *input)
{
    uint8_t response[TPM_BUFFER_SIZE_MAX + 16];
    size_t size = input_bytes(input, response, input_u16(input) % sizeof(response));

    end_command(m);
    tpmdev_backend_complete(m->backend, response, size);
}

static void op_clock(Machine *m, Input *input)
{
    m->now_ns += (int64_t)input_number(input, 4);
    m->polls = input_u8(input);
}

static void op_event(Machine *m, Input *input)
{
    if (input_u8(input) & 1) {
        tpmdev_backend_set_established(m->backend, true);
    } else {
        tpmdev_device_reset(m->device);
    }
}

void settle(Machine *m)
{
    while (m->starting || m->executing || m->hashing) {
        if (m->starting) {
            tpm_started(m);
        } else if (m->hashing) {
            tpm_hashed(m);
        } else {
            tpm_complete(m, TPM_HEADER_SIZE);
        }
    }
}

/* ---- what holds for every guest ---- */

static void check_machine(Machine *m)
{
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    FUZZ_CHECK(tpmdev_device_get_irq_level(m->device) == m->irq_level);
    tpmdev_device_get_statistics(m->device, &statistics);
    FUZZ_CHECK(statistics.rejected_commands <= statistics.commands);
    FUZZ_CHECK(statistics.inline_completions <= statistics.commands);
    FUZZ_CHECK(statistics.failures <= statistics.commands);
}

void op_machine(Machine *m, Input *input, unsigned op)
{
    switch (op) {
    case 0:
        tpm_complete(m, input_u16(input));
        break;
    case 1:
        op_complete_with(m, input);
        break;
    case 2:
        tpm_fail(m);
        break;
    case 3:
        tpm_started(m);
        break;
    case 4:
        op_clock(m, input);
        break;
    default:
        op_event(m, input);
        break;
    }
}

/* ---- beginning and end ---- */

void machine_new(Machine *m, uint8_t shape, size_t buffer_size, const TPMDeviceConfig *config,
                 GMainContext *context)
{
    TPMBackendInfo info = { sizeof(info), shape & 1 ? TPM_VERSION_1_2 : TPM_VERSION_2_0,
                            buffer_size, true };
    TPMHost host = TPM_HOST_INIT;

    m->version = info.version;
    m->start_inline = shape & 2;
    m->polls = shape >> 4;
    m->drtm = config->drtm;
    host.set_irq = host_set_irq;
    host.guest_error = host_message;
    host.backend_error = host_message;
    host.now_ns = host_now_ns;
    host.context = context;
    m->backend =
        tpmdev_backend_new(shape & 8 ? &lingering_class : &fake_class, "tpm0", &info, m, NULL);
    FUZZ_CHECK(m->backend);
    m->device = tpmdev_device_new(config, m->backend, &host, m, NULL);
    FUZZ_CHECK(m->device);
}

static void machine_free(Machine *m)
{
    tpmdev_device_free(m->device);
    /* What was under way is abandoned: an answer to it reaches nobody. */
    m->freed = true;
    settle(m);
    tpmdev_backend_unref(m->backend);
    FUZZ_CHECK(m->destroyed);
}

void machine_run(Machine *m, Input *input, const FuzzGuest *guest, bool recover)
{
    while (input->left > 0) {
        guest->run_op(m, input);
        guest->check(m);
        check_machine(m);
    }
    if (recover) {
        settle(m);
        guest->check_recovery(m);
    }
    machine_free(m);
}
