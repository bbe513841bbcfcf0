/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile guest and a hostile TPM on the two sides of a tpm-spapr device, and a hypervisor whose
 * memory comes and goes, whose queue is full, and in whose callbacks all of that goes on.
 *
 * The bytes are a list of what guest, hypervisor and TPM do one after another. A model beside the
 * device knows each answer it owes, in their order, and each DMA it may do: every callback is
 * checked against it. At the end, whatever was done before, a reset makes a device that carries a
 * command to the TPM and its response back.
 *
 * All of it runs on one thread: the host lends a GMainContext that this thread owns.
 */
#include "fuzz-tpm.h"

/* LoPAPR's numbers, on purpose not the library's header. */
#define INIT          0xC001u
#define INIT_COMPLETE 0xC002u
#define GET_VERSION   0x8001u
#define TPM_COMMAND   0x8002u
#define GET_RTCE_SIZE 0x8003u
#define SUSPEND       0x8004u
#define ANSWER        0x0080u
#define COPY_IN       0x80FF000000000003u
#define COPY_OUT      0x80FF000000000004u

#define H_SUCCESS 0
#define H_BUSY    1
#define H_DROPPED (-12)

#define OWED_MAX    8u
#define MEMORY_SIZE 0x2000u

/* What the host's clock moves by each time it is looked at, in nanoseconds. */
#define CLOCK_STEP_NS 1000

typedef struct Machine {
    Input *input; /* for what goes on within callbacks */

    FuzzTPM tpm;
    bool submit_inline;

    /* the hypervisor */
    TPMDevice *device;
    int64_t now_ns;
    uint8_t memory[MEMORY_SIZE];
    size_t mapped;
    bool queue_full;
    uint8_t busy_callbacks; /* so many callbacks have an operation within them */
    bool inside;
    bool freed; /* no callback may come any more */

    /* what the device owes the guest */
    unsigned generation;     /* of queue and machine */
    unsigned tpm_generation; /* of the command the TPM has */
    unsigned owed;
    uint64_t answers[OWED_MAX + 1]; /* one more: a message is noted before it is known dropped */
    bool under_way;                 /* a command, from its message to its answer */
    bool was_read;
    bool was_written;
    uint32_t address;
    uint16_t given;
    uint8_t command[TPM_SPAPR_BUFFER_SIZE]; /* as it was read */
    size_t read_size;
} Machine;

static void run_op(Machine *m);

/* ---- the TPM ---- */

/* Nothing but the beginning of what the guest gave, and of the last command that was read. */
static void on_submitted(void *owner, const TPMCommand *command)
{
    Machine *m = owner;

    FUZZ_CHECK(m->under_way && m->was_read && command->locality == 0);
    FUZZ_CHECK(command->size <= m->read_size);
    FUZZ_CHECK(memcmp(command->data, m->command, command->size) == 0);
    m->tpm_generation = m->generation;
    if (m->submit_inline) {
        fuzz_tpm_complete(&m->tpm, TPM_HEADER_SIZE + 4);
    }
}

/* ---- what is owed ---- */

static void owe(Machine *m, uint64_t answer)
{
    FUZZ_CHECK(m->owed < G_N_ELEMENTS(m->answers));
    m->answers[m->owed++] = answer;
}

static void forget(Machine *m)
{
    m->generation++;
    m->owed = 0;
    m->under_way = false;
}

/* What device and TPM agree on. */
static size_t buffer_size(const Machine *m)
{
    return MIN(tpmdev_backend_get_buffer_size(m->tpm.backend), TPM_SPAPR_BUFFER_SIZE);
}

/* The answer to all but a command; 0: none. */
static uint64_t answer_to(const Machine *m, unsigned what)
{
    uint64_t type = (uint64_t)what << 48;
    uint64_t answer = type | (uint64_t)ANSWER << 48;

    switch (what) {
    case INIT:
    case INIT_COMPLETE:
        return type;
    case GET_VERSION:
        return answer | (m->tpm.version == TPM_VERSION_1_2 ? 1 : 2);
    case GET_RTCE_SIZE:
        return answer | (uint64_t)buffer_size(m) << 32;
    case SUSPEND:
        return answer;
    default:
        return 0;
    }
}

/* ---- the hypervisor ---- */

/* One thread, one callback at a time; within it may happen what happens outside. */
static void enter(Machine *m)
{
    FUZZ_CHECK(!m->freed && !m->inside);
    m->inside = true;
    if (m->busy_callbacks > 0) {
        m->busy_callbacks--;
        run_op(m);
    }
}

static bool is_mapped(const Machine *m, uint64_t address, size_t size)
{
    return address <= m->mapped && size <= m->mapped - address;
}

static bool host_dma_read(void *opaque, uint64_t address, void *data, size_t size)
{
    Machine *m = opaque;
    bool good = is_mapped(m, address, size);
    unsigned generation = m->generation;

    FUZZ_CHECK(m->under_way && !m->was_read && address == m->address);
    FUZZ_CHECK(size == MIN(m->given, buffer_size(m)) && size > 0);
    m->was_read = true;
    enter(m);
    if (good) {
        memcpy(data, m->memory + address, size);
    }
    if (generation == m->generation) {
        memcpy(m->command, data, size);
        m->read_size = size;
        if (!good) {
            m->under_way = false;
            owe(m, COPY_IN);
        }
    }
    m->inside = false;
    return good;
}

static bool host_dma_write(void *opaque, uint64_t address, const void *data, size_t size)
{
    Machine *m = opaque;
    bool good = is_mapped(m, address, size);
    unsigned generation = m->generation;
    uint8_t field[4];

    FUZZ_CHECK(m->under_way && !m->was_written && address == m->address);
    FUZZ_CHECK(!m->tpm.executing || m->tpm_generation != m->generation);
    FUZZ_CHECK(m->was_read || m->given == 0);
    FUZZ_CHECK(size >= TPM_HEADER_SIZE && size <= buffer_size(m));
    put_be32(field, size);
    FUZZ_CHECK(memcmp((const uint8_t *)data + 2, field, sizeof(field)) == 0);
    m->was_written = true;
    enter(m);
    if (good) {
        memcpy(m->memory + address, data, size);
    }
    if (generation == m->generation) {
        m->under_way = false;
        owe(m, good ? (uint64_t)(TPM_COMMAND | ANSWER) << 48 | (uint64_t)size << 32 | address
                    : COPY_OUT);
    }
    m->inside = false;
    return good;
}

static bool host_send_crq(void *opaque, const uint8_t message[16])
{
    Machine *m = opaque;
    unsigned generation = m->generation;
    uint64_t first = 0;
    uint8_t rest = 0;

    for (unsigned i = 0; i < 8; i++) {
        first = first << 8 | message[i];
        rest |= message[8 + i];
    }
    FUZZ_CHECK(m->owed > 0 && first == m->answers[0] && rest == 0);
    enter(m);
    bool taken = !m->queue_full;

    if (generation == m->generation && taken) {
        m->owed--;
        memmove(m->answers, m->answers + 1, m->owed * sizeof(m->answers[0]));
    }
    m->inside = false;
    return taken;
}

static void host_message(void *opaque, const char *message)
{
    Machine *m = opaque;

    FUZZ_CHECK(!m->freed && *message);
}

static int64_t host_now_ns(void *opaque)
{
    Machine *m = opaque;

    m->now_ns += CLOCK_STEP_NS;
    return m->now_ns;
}

/* ---- what guest, hypervisor and TPM do ---- */

static void send_command(Machine *m, uint64_t high, uint64_t low)
{
    bool was_under_way = m->under_way;
    bool has_place = m->owed + was_under_way < OWED_MAX;

    if (!was_under_way && has_place) {
        m->under_way = true;
        m->was_read = m->was_written = false;
        m->address = (uint32_t)high;
        m->given = (uint16_t)(high >> 32);
    }
    int64_t code = tpmdev_device_send_crq(m->device, high, low);

    FUZZ_CHECK(code == (was_under_way ? H_BUSY : has_place ? H_SUCCESS : H_DROPPED));
}

static void send(Machine *m, uint64_t high, uint64_t low)
{
    uint64_t answer = answer_to(m, (unsigned)(high >> 48));
    bool has_place = m->owed + m->under_way < OWED_MAX;

    if (high >> 48 == TPM_COMMAND) {
        send_command(m, high, low);
        return;
    }
    if (answer && has_place) {
        owe(m, answer);
    }
    int64_t code = tpmdev_device_send_crq(m->device, high, low);

    FUZZ_CHECK(code == (answer && !has_place ? H_DROPPED : H_SUCCESS));
}

static void op_any_message(Machine *m)
{
    uint64_t high = input_number(m->input, 8);

    send(m, high, input_number(m->input, 8));
}

static void op_message(Machine *m)
{
    static const uint16_t known[] = { INIT,          INIT_COMPLETE, GET_VERSION, TPM_COMMAND,
                                      GET_RTCE_SIZE, SUSPEND,       0x8005,      0xC000 };
    uint64_t what = known[input_u8(m->input) % G_N_ELEMENTS(known)];
    uint64_t len = input_u16(m->input);

    send(m, what << 48 | len << 32 | input_u16(m->input), 0);
}

/* What a driver does: a command into memory, and the message that says so. */
static void op_command(Machine *m)
{
    uint8_t shape = input_u8(m->input);
    size_t size = TPM_HEADER_SIZE + (shape < 0xF0 ? shape % 32 : 4096u - TPM_HEADER_SIZE);
    uint32_t address = input_u16(m->input) % (MEMORY_SIZE - 4096);

    memset(m->memory + address, 0x11, size);
    m->memory[address] = m->tpm.version == TPM_VERSION_1_2 ? 0x00 : 0x80;
    m->memory[address + 1] = m->tpm.version == TPM_VERSION_1_2 ? 0xC1 : 0x01;
    put_be32(m->memory + address + 2, size);
    put_be32(m->memory + address + 6, input_u16(m->input));
    send(m, (uint64_t)TPM_COMMAND << 48 | (uint64_t)size << 32 | address, 0);
}

static void op_write_memory(Machine *m)
{
    uint32_t address = input_u16(m->input) % MEMORY_SIZE;
    size_t size = input_u8(m->input);

    input_bytes(m->input, m->memory + address, MIN(size, MEMORY_SIZE - address));
}

static void op_complete_with(Machine *m)
{
    uint8_t response[TPM_SPAPR_BUFFER_SIZE + 16];
    size_t size = input_bytes(m->input, response, input_u16(m->input) % sizeof(response));

    m->tpm.executing = false;
    tpmdev_backend_complete(m->tpm.backend, response, size);
}

static void op_hypervisor(Machine *m)
{
    uint8_t what = input_u8(m->input);

    switch (what % 6) {
    case 0:
        m->mapped = input_u16(m->input) % (MEMORY_SIZE + 1);
        break;
    case 1:
        m->queue_full = what & 0x80;
        break;
    case 2:
        tpmdev_device_resume_crq(m->device);
        break;
    case 3:
        forget(m);
        tpmdev_device_reset_crq(m->device);
        break;
    case 4:
        forget(m);
        tpmdev_device_reset(m->device);
        break;
    case 5:
        m->busy_callbacks = input_u8(m->input) % 8;
        break;
    }
}

static void run_op(Machine *m)
{
    switch (input_u8(m->input) % 10) {
    case 0:
        op_any_message(m);
        break;
    case 1:
    case 2:
        op_message(m);
        break;
    case 3:
        op_command(m);
        break;
    case 4:
        op_write_memory(m);
        break;
    case 5:
        fuzz_tpm_complete(&m->tpm, input_u16(m->input));
        break;
    case 6:
        op_complete_with(m);
        break;
    case 7:
        if (input_u8(m->input) & 1) {
            fuzz_tpm_fail(&m->tpm);
        } else {
            m->submit_inline = !m->submit_inline;
        }
        break;
    case 8:
        fuzz_tpm_started(&m->tpm);
        break;
    case 9:
        op_hypervisor(m);
        break;
    }
}

/* ---- the end: whatever was done, a reset makes all good again ---- */

static void check_recovery(Machine *m)
{
    Input plain = { NULL, 0 };

    m->input = &plain;
    m->busy_callbacks = 0;
    m->queue_full = false;
    m->submit_inline = false;
    m->mapped = MEMORY_SIZE;
    forget(m);
    tpmdev_device_reset(m->device);
    fuzz_tpm_settle(&m->tpm);
    op_command(m);
    FUZZ_CHECK(m->tpm.executing && m->under_way);
    fuzz_tpm_complete(&m->tpm, m->tpm.agreed);
    FUZZ_CHECK(!m->under_way && m->owed == 0);
    FUZZ_CHECK(m->tpm.agreed == TPM_HEADER_SIZE || m->memory[m->tpm.agreed - 1] == 0x5A);
}

static void new_machine(Machine *m, Input *input, GMainContext *context)
{
    uint8_t shape = input_u8(input);
    size_t size = TPM_BUFFER_SIZE_MIN + input_u16(input);
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;

    *m = (Machine){ .input = input,
                    .tpm = { .version = shape & 1 ? TPM_VERSION_1_2 : TPM_VERSION_2_0,
                             .start_inline = shape & 2,
                             .submitted = on_submitted,
                             .owner = m },
                    .submit_inline = shape & 4,
                    .mapped = MEMORY_SIZE };
    config.interface = TPM_INTERFACE_SPAPR;
    host.set_irq = fuzz_no_irq;
    host.guest_error = host_message;
    host.backend_error = host_message;
    host.now_ns = host_now_ns;
    host.context = context;
    host.dma_read = host_dma_read;
    host.dma_write = host_dma_write;
    host.send_crq = host_send_crq;
    fuzz_tpm_new(&m->tpm, size);
    m->device = tpmdev_device_new(&config, m->tpm.backend, &host, m, NULL);
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
    while (input.left > 0) {
        run_op(m);
        FUZZ_CHECK(!m->inside);
        FUZZ_CHECK(m->owed == 0 || m->queue_full || m->owed <= OWED_MAX);
    }
    fuzz_tpm_settle(&m->tpm);
    check_recovery(m);
    tpmdev_device_free(m->device);
    /* What was under way is abandoned: an answer to it reaches nobody. */
    m->freed = true;
    fuzz_tpm_settle(&m->tpm);
    tpmdev_backend_unref(m->tpm.backend);
    g_main_context_release(context);
    return 0;
}
