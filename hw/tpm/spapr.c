/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtual TPM of POWER's platforms (LoPAPR, "Virtual TPM"): messages and DMA, no registers.
 *
 * Stage 2 of 6, as tis.c is: a message comes from tpmdev_device_send_crq() and each one is an
 * event with a function of its own. Commands go to request.c (stage 3) and come back through
 * spapr_done(). In place of stage 6 stand answers: messages in the guest's queue, whose interrupt
 * is the hypervisor's.
 *
 * DMA and answers are noted under the device's lock and carried out by spapr_deliver() when it is
 * released, in the manner of irq.c: by one thread at a time, which goes on until nothing is left.
 * So answers keep their order, and the buffer belongs to that thread while it is within a
 * callback. A thread that finds another one at it leaves its own to it.
 */
#include "command.h"
#include "device-internal.h"
#include "spapr-crq.h"

#include <string.h>
#include <tpmdev/spapr.h>

/* Answers the guest may leave undelivered before its messages are dropped. */
#define ANSWERS_MAX 8u

typedef enum SpaprState {
    SPAPR_IDLE,      /* waits for a command */
    SPAPR_COPY_IN,   /* the command is in the guest's memory */
    SPAPR_EXECUTION, /* the TPM has it */
    SPAPR_COPY_OUT,  /* the response is in the buffer */
} SpaprState;

typedef struct Spapr {
    TPMDevice *device; /* not a reference: the device owns this struct */

    SpaprState state;
    uint32_t address;    /* DMA address of command and response */
    uint16_t given;      /* bytes of it that the guest gave for the command */
    size_t size;         /* bytes of the response in the buffer */
    unsigned generation; /* of command and answers; what began in an older one has no effect */

    bool delivering; /* a thread is within spapr_deliver() */
    bool stuck;      /* the host did not take the first answer */
    unsigned answers;
    uint8_t answer[ANSWERS_MAX][TPM_CRQ_MESSAGE_SIZE]; /* the oldest first */

    uint8_t buffer[TPM_SPAPR_BUFFER_SIZE];
} Spapr;

/* ---- answers ---- */

/* Every byte is set. There must be room. */
static void put_answer(Spapr *s, uint8_t valid, uint8_t type, uint16_t len, uint32_t data)
{
    uint8_t *message = s->answer[s->answers++];

    memset(message, 0, TPM_CRQ_MESSAGE_SIZE);
    message[CRQ_VALID] = valid;
    message[CRQ_TYPE] = type;
    tpm_put_be16(message + CRQ_LEN, len);
    tpm_put_be32(message + CRQ_DATA, data);
}

static void put_error(Spapr *s, uint32_t error)
{
    put_answer(s, CRQ_VALID_COMMAND, CRQ_ERROR, 0, error);
}

static void remove_first_answer(Spapr *s)
{
    s->answers--;
    memmove(s->answer[0], s->answer[1], s->answers * sizeof(s->answer[0]));
}

/* Room for one more? The command under way has a place of its own. */
static bool has_room(Spapr *s)
{
    if (s->answers + (s->state == SPAPR_IDLE ? 0 : 1) < ANSWERS_MAX) {
        return true;
    }
    tpm_report_guest_error(s->device, "message while earlier answers wait for room in the queue");
    return false;
}

static int64_t answer(Spapr *s, uint8_t valid, uint8_t type, uint16_t len, uint32_t data)
{
    if (!has_room(s)) {
        return TPM_H_DROPPED;
    }
    put_answer(s, valid, type, len, data);
    return TPM_H_SUCCESS;
}

/* ---- events ---- */

static int64_t on_init(Spapr *s, uint8_t type)
{
    return answer(s, CRQ_VALID_INIT, type, 0, 0);
}

static int64_t on_get_version(Spapr *s)
{
    bool is_1_2 = s->device->version == TPM_VERSION_1_2;

    return answer(s, CRQ_VALID_COMMAND, CRQ_ANSWER | CRQ_GET_VERSION, 0,
                  is_1_2 ? CRQ_VERSION_1_2 : CRQ_VERSION_2_0);
}

static int64_t on_tpm_command(Spapr *s, uint16_t len, uint32_t address)
{
    switch (s->state) {
    case SPAPR_IDLE:
        if (!has_room(s)) {
            return TPM_H_DROPPED;
        }
        s->state = SPAPR_COPY_IN;
        s->given = len;
        s->address = address;
        return TPM_H_SUCCESS;
    case SPAPR_COPY_IN:
    case SPAPR_EXECUTION:
    case SPAPR_COPY_OUT:
        break;
    }
    return TPM_H_BUSY;
}

static int64_t on_get_rtce_size(Spapr *s)
{
    return answer(s, CRQ_VALID_COMMAND, CRQ_ANSWER | CRQ_GET_RTCE_SIZE,
                  (uint16_t)s->device->request.buffer_size, 0);
}

/* A command under way goes on; a guest that wants its response waits for that first. */
static int64_t on_prepare_suspend(Spapr *s)
{
    return answer(s, CRQ_VALID_COMMAND, CRQ_ANSWER | CRQ_PREPARE_SUSPEND, 0, 0);
}

/* Not answered, and no failure for the guest: so does QEMU. */
static int64_t on_unknown(Spapr *s)
{
    tpm_report_guest_error(s->device, "message that is not one of a virtual TPM");
    return TPM_H_SUCCESS;
}

static int64_t on_message(Spapr *s, const uint8_t *message)
{
    switch (message[CRQ_VALID] << 8 | message[CRQ_TYPE]) {
    case CRQ_VALID_INIT << 8 | CRQ_INIT:
    case CRQ_VALID_INIT << 8 | CRQ_INIT_COMPLETE:
        return on_init(s, message[CRQ_TYPE]);
    case CRQ_VALID_COMMAND << 8 | CRQ_GET_VERSION:
        return on_get_version(s);
    case CRQ_VALID_COMMAND << 8 | CRQ_TPM_COMMAND:
        return on_tpm_command(s, tpm_get_be16(message + CRQ_LEN), tpm_get_be32(message + CRQ_DATA));
    case CRQ_VALID_COMMAND << 8 | CRQ_GET_RTCE_SIZE:
        return on_get_rtce_size(s);
    case CRQ_VALID_COMMAND << 8 | CRQ_PREPARE_SUSPEND:
        return on_prepare_suspend(s);
    default:
        return on_unknown(s);
    }
}

/* ---- what is done without the lock; each of these is called and returns with it held ---- */

/*
 * The first answer, to the host. A failure is assumed beforehand, so that one who says meanwhile
 * that there is room is heard.
 */
static void deliver_answer(Spapr *s)
{
    TPMDevice *device = s->device;
    unsigned generation = s->generation;
    uint8_t message[TPM_CRQ_MESSAGE_SIZE];

    memcpy(message, s->answer[0], sizeof(message));
    s->stuck = true;
    g_mutex_unlock(&device->lock);
    bool taken = device->host.send_crq(device->opaque, message);

    g_mutex_lock(&device->lock);
    if (generation == s->generation && taken) {
        s->stuck = false;
        remove_first_answer(s);
    }
}

/*
 * Stage 3: the command is as many bytes as its size field says, of those the guest gave. One that
 * says it has more than that is rejected for it.
 */
static void submit(Spapr *s, size_t size)
{
    if (size >= TPM_HEADER_SIZE) {
        size = MIN(size, tpm_header_len(s->buffer));
    }
    s->state = SPAPR_EXECUTION;
    tpm_request_submit(s->device, 0, s->buffer, size);
}

static void deliver_copy_in(Spapr *s)
{
    TPMDevice *device = s->device;
    unsigned generation = s->generation;
    uint32_t address = s->address;
    size_t size = MIN(s->given, device->request.buffer_size);

    g_mutex_unlock(&device->lock);
    bool copied = size == 0 || device->host.dma_read(device->opaque, address, s->buffer, size);

    g_mutex_lock(&device->lock);
    if (generation != s->generation) {
        return;
    }
    if (copied) {
        submit(s, size);
    } else {
        s->state = SPAPR_IDLE;
        put_error(s, CRQ_ERROR_COPY_IN);
        tpm_report_guest_error(device, "command at an address that cannot be read");
    }
}

/* The next command may come as soon as the answer can be seen, so the state is first. */
static void deliver_copy_out(Spapr *s)
{
    TPMDevice *device = s->device;
    unsigned generation = s->generation;
    uint32_t address = s->address;
    size_t size = s->size;

    g_mutex_unlock(&device->lock);
    bool copied = device->host.dma_write(device->opaque, address, s->buffer, size);

    g_mutex_lock(&device->lock);
    if (generation != s->generation) {
        return;
    }
    s->state = SPAPR_IDLE;
    if (copied) {
        put_answer(s, CRQ_VALID_COMMAND, CRQ_ANSWER | CRQ_TPM_COMMAND, (uint16_t)size, address);
    } else {
        put_error(s, CRQ_ERROR_COPY_OUT);
        tpm_report_guest_error(device, "response to an address that cannot be written");
    }
}

typedef enum SpaprJob { SPAPR_NOTHING, SPAPR_ANSWER, SPAPR_IN, SPAPR_OUT } SpaprJob;

/* While the device is held none: what is under way is saved, and goes on when it is resumed. */
static SpaprJob next_job(const Spapr *s)
{
    if (s->device->request.held) {
        return SPAPR_NOTHING;
    }
    if (s->answers > 0 && !s->stuck) {
        return SPAPR_ANSWER;
    }
    switch (s->state) {
    case SPAPR_COPY_IN:
        return SPAPR_IN;
    case SPAPR_COPY_OUT:
        return SPAPR_OUT;
    case SPAPR_IDLE:
    case SPAPR_EXECUTION:
        break;
    }
    return SPAPR_NOTHING;
}

static bool spapr_is_due(const void *model)
{
    const Spapr *s = model;

    return !s->delivering && next_job(s) != SPAPR_NOTHING;
}

static void spapr_deliver(void *model)
{
    Spapr *s = model;
    SpaprJob job;

    g_mutex_lock(&s->device->lock);
    if (!s->delivering) {
        s->delivering = true;
        while ((job = next_job(s)) != SPAPR_NOTHING) {
            switch (job) {
            case SPAPR_NOTHING:
                break;
            case SPAPR_ANSWER:
                deliver_answer(s);
                break;
            case SPAPR_IN:
                deliver_copy_in(s);
                break;
            case SPAPR_OUT:
                deliver_copy_out(s);
                break;
            }
        }
        s->delivering = false;
    }
    /* A command that was copied in is to be run, and a mistake to be told. */
    tpm_device_leave(s->device);
}

/* ---- completion, reset, life ---- */

/* Stage 5. What is abandoned never comes here, so the guest still waits for it. */
static void spapr_done(void *model, const uint8_t *response, size_t size, bool selftest_done)
{
    Spapr *s = model;

    (void)selftest_done; /* of the FIFO interface of TPM 1.2 */
    memcpy(s->buffer, response, size);
    s->size = size;
    s->state = SPAPR_COPY_OUT;
}

/* All of it that can change; the members are those of Spapr. */
typedef struct SpaprRegisters {
    SpaprState state;
    uint32_t address;
    uint16_t given;
    size_t size; /* bytes of the response */
    const uint8_t *response;
    size_t answers;
    const uint8_t *answer;
} SpaprRegisters;

/* The one way to set it. Nothing of what was before reaches the guest any more. */
static void spapr_set(Spapr *s, const SpaprRegisters *registers)
{
    s->generation++;
    s->stuck = false;
    s->state = registers->state;
    s->address = registers->address;
    s->given = registers->given;
    s->size = registers->size;
    s->answers = (unsigned)registers->answers;
    if (registers->size > 0) {
        memcpy(s->buffer, registers->response, registers->size);
    }
    if (registers->answers > 0) {
        memcpy(s->answer, registers->answer, registers->answers * TPM_CRQ_MESSAGE_SIZE);
    }
}

static void forget(Spapr *s)
{
    spapr_set(s, &(SpaprRegisters){ .state = SPAPR_IDLE });
}

static void spapr_reset(void *model, size_t buffer_size)
{
    (void)buffer_size; /* the guest asks for it */
    forget(model);
}

/* ---- saved state: the section `spapr` (docs/state-format.rst) ---- */

#define SECTION        "spapr"
#define VERSION        1u
#define TYPE           "(yuqayay)"
#define FIELD_RESPONSE 3u
#define FIELD_ANSWERS  4u

static bool spapr_is_settled(const void *model)
{
    const Spapr *s = model;

    return !s->delivering;
}

static void spapr_save(const void *model, TPMStateWriter *writer)
{
    const Spapr *s = model;
    bool idle = s->state == SPAPR_IDLE;
    size_t size = s->state == SPAPR_COPY_OUT ? s->size : 0;

    tpm_state_writer_add(
        writer, SECTION, VERSION,
        g_variant_new("(yuq@ay@ay)", s->state, idle ? 0 : s->address, idle ? 0 : s->given,
                      tpm_state_bytes(s->buffer, size),
                      tpm_state_bytes(s->answer, (size_t)s->answers * TPM_CRQ_MESSAGE_SIZE)));
}

static bool wrong(GError **error, const char *field)
{
    return tpm_state_field_wrong(error, SECTION, field);
}

/* A response there is when it is to be copied out, and then it is one a TPM could give. */
static bool check_response(const Spapr *s, const SpaprRegisters *registers, GError **error)
{
    size_t size = registers->size;
    bool good = size == 0;

    if (registers->state == SPAPR_COPY_OUT) {
        good = size >= TPM_HEADER_SIZE && size <= s->device->request.buffer_size &&
               size == tpm_header_len(registers->response);
    }
    return good || wrong(error, "response");
}

/* The command under way has a place among the answers kept for its own. */
static bool check_answers(const SpaprRegisters *registers, size_t bytes, GError **error)
{
    size_t own = registers->state == SPAPR_IDLE ? 0 : 1;

    return (bytes % TPM_CRQ_MESSAGE_SIZE == 0 && registers->answers + own <= ANSWERS_MAX) ||
           wrong(error, "answers");
}

static void *spapr_parse(const void *model, TPMStateReader *reader, const TPMSavedRequest *request,
                         GError **error)
{
    g_autofree SpaprRegisters *registers = g_new0(SpaprRegisters, 1);
    GVariant *content = tpm_state_reader_section(reader, SECTION, VERSION, TYPE, error);
    guint8 state;
    size_t answer_bytes;

    if (!content) {
        return NULL;
    }
    g_variant_get(content, "(yuq@*@*)", &state, &registers->address, &registers->given, NULL, NULL);
    registers->state = (SpaprState)state;
    registers->response = tpm_state_get_bytes(content, FIELD_RESPONSE, &registers->size);
    registers->answer = tpm_state_get_bytes(content, FIELD_ANSWERS, &answer_bytes);
    registers->answers = answer_bytes / TPM_CRQ_MESSAGE_SIZE;
    if (state > SPAPR_COPY_OUT) {
        wrong(error, "state");
        return NULL;
    }
    if ((registers->state == SPAPR_EXECUTION) != request->waits || request->locality != 0) {
        wrong(error, "state: the command under way is another one");
        return NULL;
    }
    if (registers->state == SPAPR_IDLE && (registers->address || registers->given)) {
        wrong(error, "address or given");
        return NULL;
    }
    if (!check_response(model, registers, error) ||
        !check_answers(registers, answer_bytes, error)) {
        return NULL;
    }
    return g_steal_pointer(&registers);
}

static void spapr_restore(void *model, const void *saved)
{
    spapr_set(model, saved);
}

/* ---- the front end ---- */

static bool spapr_check(const TPMDeviceConfig *config, TPMVersion version, GError **error)
{
    (void)config;
    (void)version;
    (void)error;
    return true;
}

static bool spapr_check_host(const TPMHost *host, GError **error)
{
    const char *missing = !host->dma_read    ? "dma_read"
                          : !host->dma_write ? "dma_write"
                          : !host->send_crq  ? "send_crq"
                                             : NULL;

    if (missing) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "tpm-spapr needs TPMHost.%s; set dma_read, dma_write and send_crq, or use a "
                    "device with registers",
                    missing);
    }
    return !missing;
}

static uint32_t spapr_region_size(const TPMDeviceConfig *config)
{
    (void)config;
    return 0;
}

static size_t spapr_buffer_size(const TPMDeviceConfig *config)
{
    (void)config;
    return TPM_SPAPR_BUFFER_SIZE;
}

static void *spapr_new(TPMDevice *device, const TPMDeviceConfig *config)
{
    Spapr *s = g_new0(Spapr, 1);

    (void)config;
    s->device = device;
    return s;
}

static void spapr_free(void *model)
{
    g_free(model);
}

const TPMFrontend tpm_frontend_spapr = {
    .model = "tpm-spapr",
    .check = spapr_check,
    .check_host = spapr_check_host,
    .region_size = spapr_region_size,
    .buffer_size = spapr_buffer_size,
    .create = spapr_new,
    .free = spapr_free,
    .reset = spapr_reset,
    .done = spapr_done,
    .is_due = spapr_is_due,
    .deliver = spapr_deliver,
    .is_settled = spapr_is_settled,
    .save = spapr_save,
    .parse = spapr_parse,
    .restore = spapr_restore,
};

/* ---- what a hypervisor calls ---- */

static Spapr *spapr_of(TPMDevice *device)
{
    return device->frontend == &tpm_frontend_spapr ? device->model : NULL;
}

int64_t tpmdev_device_send_crq(TPMDevice *device, uint64_t high, uint64_t low)
{
    Spapr *s = spapr_of(device);
    uint8_t message[TPM_CRQ_MESSAGE_SIZE];

    if (!s) {
        return TPM_H_PARAMETER;
    }
    tpm_put_be32(message, (uint32_t)(high >> 32));
    tpm_put_be32(message + 4, (uint32_t)high);
    tpm_put_be32(message + 8, (uint32_t)(low >> 32));
    tpm_put_be32(message + 12, (uint32_t)low);
    g_mutex_lock(&device->lock);
    s->stuck = false;
    int64_t code = on_message(s, message);

    tpm_device_leave(device);
    return code;
}

void tpmdev_device_reset_crq(TPMDevice *device)
{
    Spapr *s = spapr_of(device);

    if (s) {
        g_mutex_lock(&device->lock);
        tpm_request_abandon(device);
        forget(s);
        tpm_device_leave(device);
    }
}

void tpmdev_device_resume_crq(TPMDevice *device)
{
    Spapr *s = spapr_of(device);

    if (s) {
        g_mutex_lock(&device->lock);
        s->stuck = false;
        tpm_device_leave(device);
    }
}

const char *tpmdev_spapr_get_compatible(TPMVersion version)
{
    return version == TPM_VERSION_1_2 ? "IBM,vtpm" : "IBM,vtpm20";
}

G_STATIC_ASSERT(TPM_SPAPR_BUFFER_SIZE <= UINT16_MAX);
