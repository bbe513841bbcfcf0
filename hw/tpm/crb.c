/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The CRB device: the Command Response Buffer interface of TPM 2.0 (TCG PC Client Platform TPM
 * Profile, "CRB Interface").
 *
 * Stage 2 of 6, as tis.c is: a register access comes from device.c as aligned pieces, the table
 * below finds the register, and each thing a guest can do is an event with a function of its own.
 * Commands go to request.c (stage 3) and come back through crb_done(); interrupts go to irq.c
 * (stage 6). Localities are in crb-locality.c, what is larger than the buffer in crb-chunk.c.
 *
 * The buffer is memory the guest may write at any time, a page the host has mapped for it perhaps.
 * What is executed is the copy that was made when the guest wrote Start.
 */
#include "crb.h"
#include "command.h"
#include "guest-memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- interrupts ---- */

static void update_irq(CRB *crb)
{
    uint32_t pending = 0;

    for (unsigned i = 0; i < crb->localities; i++) {
        pending |= crb->locality[i].int_sts;
    }
    tpm_device_set_irq(crb->device, pending != 0);
}

void crb_interrupt(CRB *crb, uint8_t locality, uint32_t sources)
{
    CRBLocality *loc = &crb->locality[locality];

    if ((loc->int_enable & CRB_INT_GLOBAL_ENABLE) && (loc->int_enable & sources)) {
        loc->int_sts |= sources;
        update_irq(crb);
    }
}

void crb_wipe(CRB *crb)
{
    tpm_guest_clear(crb->buffer, crb->window);
    crb_chunk_forget(crb);
    crb->state = crb->idle ? CRB_IDLE : CRB_READY;
}

/* ---- events ---- */

/* Does what is asked at this locality's page count? */
static bool is_active(const CRB *crb, uint8_t locality)
{
    return crb->active == locality;
}

/*
 * Is this locality kept from the control area and the buffer, because it does not have the device?
 * What the last one left there is not for the others, even while nobody has it. With one locality
 * nobody is: firmware looks at the registers before it asks for access.
 */
static bool is_kept_out(const CRB *crb, uint8_t locality)
{
    return crb->localities > 1 && crb->active != locality;
}

/* What was put together, or is not handed out yet, is dropped; the window stays as it is. */
static void on_cmd_ready(CRB *crb, uint8_t locality)
{
    crb_chunk_forget(crb);
    switch (crb->state) {
    case CRB_IDLE:
    case CRB_RECEPTION:
    case CRB_COMPLETION:
        crb->state = CRB_READY;
        break;
    case CRB_READY:
    case CRB_EXECUTION:
        break;
    }
    crb->idle = false;
    crb_interrupt(crb, locality, CRB_INT_CMD_READY);
}

/* As cmdReady, in this too. */
static void on_go_idle(CRB *crb)
{
    crb_chunk_forget(crb);
    switch (crb->state) {
    case CRB_READY:
    case CRB_RECEPTION:
    case CRB_COMPLETION:
        crb->state = CRB_IDLE;
        break;
    case CRB_IDLE:
    case CRB_EXECUTION:
        break;
    }
    crb->idle = true;
}

/*
 * The buffer's bytes, as many as its size field says, are the command. If the guest changes the
 * field while they are copied, the copy says another size than it has, and is rejected for it.
 */
static void start_command(CRB *crb, uint8_t locality)
{
    uint8_t header[TPM_HEADER_SIZE];

    crb->state = CRB_EXECUTION;
    crb->command_locality = locality;
    if (crb->chunk.data) {
        crb_chunk_take(crb);
        tpm_request_submit(crb->device, locality, crb->chunk.data, crb->chunk.done);
        crb_chunk_forget(crb);
        return;
    }
    tpm_guest_read(header, crb->buffer, sizeof(header));
    tpm_request_submit(crb->device, locality, crb->buffer,
                       MIN(tpm_header_len(header), crb->device->request.buffer_size));
}

/* Also while idle: SeaBIOS starts its first command without having asked for cmdReady. */
static void on_start(CRB *crb, uint8_t locality)
{
    switch (crb->state) {
    case CRB_IDLE:
    case CRB_READY:
    case CRB_RECEPTION:
    case CRB_COMPLETION:
        start_command(crb, locality);
        break;
    case CRB_EXECUTION:
        break;
    }
}

/* A piece of a command, before the last; or the next one of a response. While idle, as start. */
static void on_next_chunk(CRB *crb)
{
    switch (crb->state) {
    case CRB_IDLE:
        crb_chunk_next(crb);
        break;
    case CRB_READY:
    case CRB_RECEPTION:
    case CRB_COMPLETION:
        if (crb_chunk_next(crb)) {
            crb->state = CRB_RECEPTION;
        }
        break;
    case CRB_EXECUTION:
        break;
    }
}

static void on_response_retry(CRB *crb)
{
    switch (crb->state) {
    case CRB_IDLE:
    case CRB_READY:
    case CRB_RECEPTION:
    case CRB_COMPLETION:
        crb_chunk_retry(crb);
        break;
    case CRB_EXECUTION:
        break;
    }
}

static void on_cancel(CRB *crb)
{
    switch (crb->state) {
    case CRB_EXECUTION:
        tpm_request_cancel(crb->device);
        break;
    case CRB_IDLE:
    case CRB_READY:
    case CRB_RECEPTION:
    case CRB_COMPLETION:
        crb_chunk_forget(crb);
        break;
    }
}

static void on_data_write(CRB *crb, uint32_t offset, const TPMPiece *piece, uint32_t value)
{
    uint8_t bytes[4];

    for (unsigned i = 0; i < piece->width; i++) {
        bytes[i] = (uint8_t)(value >> 8 * (piece->lane + i));
    }
    tpm_guest_write(crb->buffer + offset, bytes, piece->width);
    switch (crb->state) {
    case CRB_READY:
    case CRB_COMPLETION:
        crb->state = CRB_RECEPTION;
        break;
    case CRB_IDLE:
    case CRB_RECEPTION:
    case CRB_EXECUTION:
        break;
    }
}

/* ---- registers that do something ---- */

static void write_ctrl_req(CRB *crb, uint8_t locality, uint32_t value)
{
    switch (value) {
    case CRB_CTRL_REQ_CMD_READY:
        on_cmd_ready(crb, locality);
        break;
    case CRB_CTRL_REQ_GO_IDLE:
        on_go_idle(crb);
        break;
    default:
        break;
    }
}

/* Without chunks a value, as in QEMU; with them bits, the first of these that is set. */
static void write_ctrl_start(CRB *crb, uint8_t locality, uint32_t value)
{
    if (!crb->chunk.data) {
        if (value == CRB_CTRL_START_INVOKE) {
            on_start(crb, locality);
        }
    } else if (value & CRB_CTRL_START_INVOKE) {
        on_start(crb, locality);
    } else if (value & CRB_CTRL_START_NEXT_CHUNK) {
        on_next_chunk(crb);
    } else if (value & CRB_CTRL_START_RESPONSE_RETRY) {
        on_response_retry(crb);
    }
}

static void write_int_enable(CRB *crb, uint8_t locality, const TPMPiece *piece, uint32_t value)
{
    CRBLocality *loc = &crb->locality[locality];

    if (crb->interrupts) {
        loc->int_enable = (loc->int_enable & ~piece->mask) | (value & CRB_INT_ENABLE_WRITABLE);
    }
}

static void write_int_sts(CRB *crb, uint8_t locality, uint32_t value)
{
    crb->locality[locality].int_sts &= ~value;
    update_irq(crb);
}

/* Registers of the control area; with one locality, QEMU heeds requests of one without access. */
static void write_control(CRB *crb, uint8_t locality, uint32_t offset, const TPMPiece *piece,
                          uint32_t value)
{
    switch (offset) {
    case CRB_CTRL_REQ:
        write_ctrl_req(crb, locality, value);
        break;
    case CRB_CTRL_CANCEL:
        if (value == CRB_CTRL_CANCEL_INVOKE) {
            on_cancel(crb);
        }
        break;
    case CRB_CTRL_START:
        if (is_active(crb, locality)) {
            write_ctrl_start(crb, locality, value);
        }
        break;
    case CRB_INT_ENABLE:
        write_int_enable(crb, locality, piece, value);
        break;
    case CRB_INT_STS:
        write_int_sts(crb, locality, value);
        break;
    default: /* identifiers, sizes and addresses: written by EDK2 and SeaBIOS, to no effect */
        break;
    }
}

static uint32_t read_data(const CRB *crb, uint32_t offset, const TPMPiece *piece)
{
    uint8_t bytes[4];
    uint32_t value = 0;

    tpm_guest_read(bytes, crb->buffer + offset, piece->width);
    for (unsigned i = 0; i < piece->width; i++) {
        value |= (uint32_t)bytes[i] << 8 * (piece->lane + i);
    }
    return value;
}

/* Where a locality finds the buffer: at the end of its own registers, or on the page of all. */
static uint64_t buffer_address(const CRB *crb, uint8_t locality)
{
    return crb->buffer_address + (crb->page ? 0 : (uint64_t)locality << CRB_LOCALITY_SHIFT);
}

/* What is the same at every time. */
static uint32_t read_constant(const CRB *crb, uint8_t locality, uint32_t offset)
{
    switch (offset) {
    case CRB_INTF_ID:
        return CRB_INTF_ID_VALUE | (crb->localities > 1 ? CRB_INTF_ID_LOCALITIES_5 : 0) |
               (crb->chunk.data ? CRB_INTF_ID_CHUNK : 0);
    case CRB_INTF_ID_HIGH:
        return CRB_INTF_ID_HIGH_VALUE;
    case CRB_CMD_SIZE:
    case CRB_RSP_SIZE:
        return (uint32_t)crb->window;
    case CRB_CMD_LADDR:
    case CRB_RSP_LADDR:
        return (uint32_t)buffer_address(crb, locality);
    case CRB_CMD_HADDR:
    case CRB_RSP_HADDR:
        return (uint32_t)(buffer_address(crb, locality) >> 32);
    default: /* reserved, and TPM_CRB_CTRL_EXT */
        return 0;
    }
}

static uint32_t read_register(const CRB *crb, uint8_t locality, uint32_t offset)
{
    const CRBLocality *loc = &crb->locality[locality];

    switch (offset) {
    case CRB_LOC_STATE:
        return crb_loc_state_read(crb);
    case CRB_LOC_STS:
        return loc->sts;
    case CRB_CTRL_STS:
        return crb->idle ? CRB_CTRL_STS_TPM_IDLE : 0;
    case CRB_CTRL_START:
        return crb->state == CRB_EXECUTION ? CRB_CTRL_START_INVOKE : 0;
    case CRB_INT_ENABLE:
        return loc->int_enable;
    case CRB_INT_STS:
        return loc->int_sts;
    case CRB_CTRL_REQ:    /* every request is met at once */
    case CRB_CTRL_CANCEL: /* write only */
    case CRB_LOC_CTRL:    /* write only */
        return 0;
    default:
        return read_constant(crb, locality, offset);
    }
}

#define LOCALITY_OF(piece) ((uint8_t)((piece)->reg >> CRB_LOCALITY_SHIFT))
#define OFFSET_OF(piece)   ((piece)->reg & ((1u << CRB_LOCALITY_SHIFT) - 1))

/*
 * Also with the buffer on a page: EDK2 does not ask where it is, but writes its commands behind
 * the registers and tells the address registers so.
 */
static bool is_data(uint32_t offset)
{
    return offset >= CRB_DATA_BUFFER;
}

/* What is going on with the device: not for a locality to see that does not have it. */
static bool is_private(uint32_t offset)
{
    return offset >= CRB_CTRL_REQ && offset <= CRB_CTRL_START;
}

static uint32_t crb_read(void *model, const TPMPiece *piece)
{
    CRB *crb = model;
    uint8_t locality = LOCALITY_OF(piece);
    uint32_t offset = OFFSET_OF(piece);

    if (is_kept_out(crb, locality) && (is_private(offset) || is_data(offset))) {
        return CRB_NOT_YOURS;
    }
    if (is_data(offset)) {
        return read_data(crb, offset + piece->lane - CRB_DATA_BUFFER, piece);
    }
    return read_register(crb, locality, offset);
}

static void crb_write(void *model, const TPMPiece *piece, uint32_t value)
{
    CRB *crb = model;
    uint8_t locality = LOCALITY_OF(piece);
    uint32_t offset = OFFSET_OF(piece);

    if (offset == CRB_LOC_CTRL) {
        crb_loc_ctrl_write(crb, locality, value);
    } else if (is_kept_out(crb, locality)) {
        tpm_report_guest_error(crb->device, "write by a locality that does not have the device");
    } else if (is_data(offset)) {
        on_data_write(crb, offset + piece->lane - CRB_DATA_BUFFER, piece, value);
    } else {
        write_control(crb, locality, offset, piece, value);
    }
}

/* ---- completion, reset, life ---- */

/*
 * Stage 5: the response is there, and behind it nothing of the command. One whose locality was
 * seized is dropped.
 */
static void crb_done(void *model, const uint8_t *response, size_t size, bool selftest_done)
{
    CRB *crb = model;

    (void)selftest_done; /* TPM 1.2 */
    crb->state = crb->idle ? CRB_IDLE : CRB_COMPLETION;
    if (crb->next != CRB_NO_LOCALITY) {
        crb_hand_over(crb);
        return;
    }
    if (crb->chunk.data) {
        crb_chunk_respond(crb, response, size);
    } else {
        tpm_guest_write(crb->buffer, response, size);
        tpm_guest_clear(crb->buffer + size, crb->window - size);
    }
    crb_interrupt(crb, crb->command_locality, CRB_INT_START);
}

static void set_chunk(CRBChunk *chunk, const CRBRegisters *registers)
{
    chunk->content = registers->content;
    chunk->size = registers->chunk_size;
    chunk->done = registers->chunk_done;
    if (registers->data_size > 0) {
        memcpy(chunk->data, registers->data, registers->data_size);
    }
}

void crb_set(CRB *crb, const CRBRegisters *registers)
{
    crb->state = registers->state;
    crb->idle = registers->idle;
    crb->active = registers->active;
    crb->owner = registers->owner;
    crb->command_locality = registers->command_locality;
    crb->next = registers->next;
    crb->unsetting = registers->unsetting;
    memcpy(crb->locality, registers->locality, sizeof(crb->locality));
    set_chunk(&crb->chunk, registers);
    if (registers->window) {
        tpm_guest_write(crb->buffer, registers->window, crb->window);
    } else {
        tpm_guest_clear(crb->buffer, crb->window);
    }
    update_irq(crb);
}

static void crb_reset(void *model, size_t buffer_size)
{
    (void)buffer_size; /* a TPM that takes less says so itself */
    crb_set(model, &(CRBRegisters){
                       .state = CRB_IDLE,
                       .idle = true,
                       .active = CRB_NO_LOCALITY,
                       .command_locality = CRB_NO_LOCALITY,
                       .next = CRB_NO_LOCALITY,
                       .unsetting = CRB_NO_LOCALITY,
                       .content = CRB_CHUNK_NOTHING,
                   });
}

static uint32_t crb_region_size(const TPMDeviceConfig *config)
{
    return (config->localities ? CRB_LOCALITIES : 1) * TPM_CRB_SIZE;
}

static bool crb_check(const TPMDeviceConfig *config, TPMVersion version, GError **error)
{
    uint64_t size = crb_region_size(config);
    const char *wrong = NULL;

    if (version != TPM_VERSION_2_0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "tpm-crb is for TPM 2.0 and its TPM is a 1.2; use tpm-tis, or a TPM 2.0");
        return false;
    }
    if (config->base % TPM_CRB_SIZE != 0) {
        wrong = "base is not a multiple of 0x1000";
    } else if (config->buffer_address % TPM_CRB_PAGE_SIZE != 0) {
        wrong = "buffer_address is not a multiple of 0x1000";
    } else if (config->buffer_address && config->buffer_address - config->base < size) {
        wrong = "buffer_address is inside the device; give a page beside it";
    }
    if (wrong) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "tpm-crb: %s", wrong);
    }
    return !wrong;
}

static size_t crb_window(const TPMDeviceConfig *config)
{
    return config->buffer_address ? TPM_CRB_PAGE_SIZE : CRB_DATA_SIZE;
}

/* In chunks, whatever the TPM takes goes through the window. */
static size_t crb_buffer_size(const TPMDeviceConfig *config)
{
    return config->chunk ? TPM_BUFFER_SIZE_MAX : crb_window(config);
}

static void *crb_new(TPMDevice *device, const TPMDeviceConfig *config)
{
    CRB *crb = g_new0(CRB, 1);

    crb->device = device;
    crb->localities = config->localities ? CRB_LOCALITIES : 1;
    crb->interrupts = config->interrupts;
    crb->window = crb_window(config);
    if (config->buffer_address) {
        crb->page = aligned_alloc(TPM_CRB_PAGE_SIZE, TPM_CRB_PAGE_SIZE);
        g_assert(crb->page); /* as g_malloc(), which has no aligned form in GLib 2.74 */
        crb->buffer = crb->page;
        crb->buffer_address = config->buffer_address;
    } else {
        crb->buffer = g_malloc(crb->window);
        crb->buffer_address = config->base + CRB_DATA_BUFFER;
    }
    if (config->chunk) {
        crb_chunk_init(crb, device->request.buffer_size);
    }
    return crb; /* crb_reset() fills the buffer */
}

static void crb_free(void *model)
{
    CRB *crb = model;

    if (crb->page) {
        free(crb->page);
    } else {
        g_free(crb->buffer);
    }
    crb_chunk_free(crb);
    g_free(crb);
}

static void *crb_page(void *model, uint64_t *address)
{
    CRB *crb = model;

    *address = crb->buffer_address;
    return crb->page;
}

const TPMFrontend tpm_frontend_crb = {
    .model = "tpm-crb",
    .check = crb_check,
    .region_size = crb_region_size,
    .buffer_size = crb_buffer_size,
    .create = crb_new,
    .free = crb_free,
    .reset = crb_reset,
    .read = crb_read,
    .write = crb_write,
    .page = crb_page,
    .done = crb_done,
    .established = crb_established,
    .save = crb_save,
    .parse = crb_parse,
    .restore = crb_restore,
};

G_STATIC_ASSERT(CRB_DATA_SIZE == 3968 && CRB_DATA_SIZE <= TPM_CRB_PAGE_SIZE);
G_STATIC_ASSERT(CRB_CONTROL_AREA == 0x40);
G_STATIC_ASSERT(TPM_CRB_PAGE_SIZE <= TPM_BUFFER_SIZE_MAX);
