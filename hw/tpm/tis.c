/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TIS device: the FIFO interface of TPM 1.2 and 2.0, memory-mapped (TCG PC Client TPM
 * Interface Specification 1.3; PC Client Platform TPM Profile, "FIFO Interface").
 *
 * Stage 2 of 6. A register access comes from device.c as aligned pieces; the table below finds
 * the register; each thing a guest can do is an event with a function of its own, which lists
 * what it means in every state. Commands go to request.c (stage 3) and come back through
 * tis_done(); interrupts go to irq.c (stage 6). Localities are in tis-locality.c, and what
 * locality 4 alone has in tis-drtm.c.
 *
 * Where the specification leaves room, the values are those of QEMU's device: every firmware and
 * driver was written against them.
 */
#include "tis.h"
#include "command.h"

#include <string.h>

/* The bits of TPM_STS that survive a change of state. */
#define STS_KEPT (TIS_STS_SELFTEST_DONE | TIS_STS_FAMILY)

/* ---- states and interrupts ---- */

void tis_enter(TIS *tis, uint8_t locality, TISState state, uint32_t sts)
{
    TISLocality *loc = &tis->locality[locality];

    loc->state = state;
    loc->sts = (loc->sts & STS_KEPT) | sts;
}

/* The line is up while any locality has an interrupt it has not acknowledged. */
static void update_irq(TIS *tis)
{
    uint32_t pending = 0;

    for (unsigned i = 0; i < TIS_LOCALITIES; i++) {
        pending |= tis->locality[i].int_status;
    }
    tpm_device_set_irq(tis->device, pending != 0);
}

void tis_interrupt(TIS *tis, uint8_t locality, uint32_t sources)
{
    TISLocality *loc = &tis->locality[locality];

    /* What happened together is shown together, also what alone would not have interrupted. */
    if ((loc->int_enable & TIS_INT_GLOBAL_ENABLE) && (loc->int_enable & sources)) {
        loc->int_status |= sources;
        update_irq(tis);
    }
}

/* ---- events: the guest wrote TPM_STS ---- */

static void on_command_ready(TIS *tis, uint8_t locality)
{
    switch (tis->locality[locality].state) {
    case TIS_IDLE:
        tis_enter(tis, locality, TIS_READY, TIS_STS_COMMAND_READY);
        tis_interrupt(tis, locality, TIS_INT_COMMAND_READY);
        break;
    case TIS_READY:
        break;
    case TIS_RECEPTION:
    case TIS_EXECUTION:
        tis_abort(tis, locality);
        break;
    case TIS_COMPLETION:
        tis->offset = 0;
        tis_enter(tis, locality, TIS_READY, TIS_STS_COMMAND_READY);
        tis_interrupt(tis, locality, TIS_INT_COMMAND_READY);
        break;
    }
}

static void on_tpm_go(TIS *tis, uint8_t locality)
{
    TISLocality *loc = &tis->locality[locality];

    switch (loc->state) {
    case TIS_RECEPTION:
        if (loc->sts & TIS_STS_EXPECT) {
            tpm_report_guest_error(tis->device, "tpmGo before the command is whole");
            break;
        }
        /* TPM_STS stays as it is: stsValid, and no data yet. */
        loc->state = TIS_EXECUTION;
        tis->command_locality = locality;
        tpm_request_submit(tis->device, locality, tis->buffer, tis->offset);
        break;
    case TIS_IDLE:
    case TIS_READY:
    case TIS_EXECUTION:
    case TIS_COMPLETION:
        tpm_report_guest_error(tis->device, "tpmGo without a command");
        break;
    }
}

static void on_response_retry(TIS *tis, uint8_t locality)
{
    switch (tis->locality[locality].state) {
    case TIS_COMPLETION:
        tis->offset = 0;
        tis_enter(tis, locality, TIS_COMPLETION, TIS_STS_VALID | TIS_STS_DATA_AVAIL);
        break;
    case TIS_IDLE:
    case TIS_READY:
    case TIS_RECEPTION:
    case TIS_EXECUTION:
        break;
    }
}

static void on_command_cancel(TIS *tis, uint8_t locality)
{
    switch (tis->locality[locality].state) {
    case TIS_EXECUTION:
        tpm_request_cancel(tis->device);
        break;
    case TIS_IDLE:
    case TIS_READY:
    case TIS_RECEPTION:
    case TIS_COMPLETION:
        break;
    }
}

static void on_reset_establishment(TIS *tis, uint8_t locality)
{
    if (locality == 3 || locality == 4) {
        tpm_request_reset_established(tis->device, locality);
    }
}

/* ---- events: the guest wrote or read the FIFO ---- */

/*
 * A write access has stored its bytes: is the command whole? Its size field is there from the
 * sixth byte on. The question is asked once an access, so a wide write may run past the end; such
 * a command is rejected when it is started.
 */
static void check_expect(TIS *tis, uint8_t locality)
{
    bool is_whole;

    if (!(tis->locality[locality].sts & TIS_STS_EXPECT) || tis->offset < TPM_HEADER_CODE) {
        return;
    }
    is_whole = tpm_header_len(tis->buffer) <= tis->offset;
    /* No interrupt: stsValid was set before. */
    tis_enter(tis, locality, TIS_RECEPTION, TIS_STS_VALID | (is_whole ? 0 : TIS_STS_EXPECT));
}

/*
 * The first byte of a command. The localities share the FIFO, so what another had in it, half a
 * command or a response, is lost: at most one is beyond Ready at a time.
 */
static void begin_reception(TIS *tis, uint8_t locality)
{
    for (uint8_t i = 0; i < TIS_LOCALITIES; i++) {
        if (tis->locality[i].state != TIS_READY) {
            tis_enter(tis, i, TIS_IDLE, 0);
        }
    }
    tis->offset = 0;
    tis_enter(tis, locality, TIS_RECEPTION, TIS_STS_VALID | TIS_STS_EXPECT);
}

static void on_data_write(TIS *tis, uint8_t locality, uint32_t bytes, unsigned width)
{
    TISLocality *loc = &tis->locality[locality];

    switch (loc->state) {
    case TIS_READY:
        if (tis_is_executing(tis)) {
            tpm_report_guest_error(tis->device, "data written before another locality's command "
                                                "has ended");
            return;
        }
        begin_reception(tis, locality);
        break;
    case TIS_RECEPTION:
        break;
    case TIS_IDLE:
    case TIS_EXECUTION:
    case TIS_COMPLETION:
        tpm_report_guest_error(tis->device, "data written while no command is expected");
        return;
    }
    for (unsigned i = 0; i < width && (loc->sts & TIS_STS_EXPECT); i++) {
        if (tis->offset < tis->buffer_size) {
            tis->buffer[tis->offset++] = (uint8_t)(bytes >> 8 * i);
        } else {
            tis_enter(tis, locality, TIS_RECEPTION, TIS_STS_VALID);
        }
    }
    check_expect(tis, locality);
}

/* The next byte of the response; dataAvail ends with the last one, in the same access. */
static uint8_t on_data_read(TIS *tis, uint8_t locality)
{
    uint8_t byte;

    switch (tis->locality[locality].state) {
    case TIS_COMPLETION:
        break;
    case TIS_IDLE:
    case TIS_READY:
    case TIS_RECEPTION:
    case TIS_EXECUTION:
        return TIS_NO_DATA;
    }
    if (!(tis->locality[locality].sts & TIS_STS_DATA_AVAIL)) {
        return TIS_NO_DATA;
    }
    byte = tis->buffer[tis->offset++];
    if (tis->offset >= MIN(tpm_header_len(tis->buffer), tis->buffer_size)) {
        tis_enter(tis, locality, TIS_COMPLETION, TIS_STS_VALID);
        tis_interrupt(tis, locality, TIS_INT_STS_VALID);
    }
    return byte;
}

/* ---- registers: one read and one write for each that has them ---- */

static uint32_t read_access(TIS *tis, uint8_t locality, const TPMPiece *piece)
{
    (void)piece;
    return tis_access_read(tis, locality);
}

static void write_access(TIS *tis, uint8_t locality, const TPMPiece *piece, uint32_t value)
{
    (void)piece;
    tis_access_write(tis, locality, value);
}

static uint32_t read_int_enable(TIS *tis, uint8_t locality, const TPMPiece *piece)
{
    (void)piece;
    return tis->locality[locality].int_enable;
}

static void write_int_enable(TIS *tis, uint8_t locality, const TPMPiece *piece, uint32_t value)
{
    TISLocality *loc = &tis->locality[locality];

    if (tis_is_active(tis, locality)) {
        loc->int_enable = (loc->int_enable & ~piece->mask) | (value & TIS_INT_ENABLE_WRITABLE);
    }
}

static uint32_t read_int_vector(TIS *tis, uint8_t locality, const TPMPiece *piece)
{
    (void)locality;
    (void)piece;
    return tis->int_vector;
}

static uint32_t read_int_status(TIS *tis, uint8_t locality, const TPMPiece *piece)
{
    (void)piece;
    return tis->locality[locality].int_status;
}

static void write_int_status(TIS *tis, uint8_t locality, const TPMPiece *piece, uint32_t value)
{
    (void)piece;
    if (tis_is_active(tis, locality)) {
        tis->locality[locality].int_status &= ~value;
        update_irq(tis);
    }
}

static uint32_t read_intf_capability(TIS *tis, uint8_t locality, const TPMPiece *piece)
{
    (void)locality;
    (void)piece;
    return TIS_CAPABILITY_COMMON |
           (tis->device->version == TPM_VERSION_1_2 ? TIS_CAPABILITY_VERSION_TIS_1_3
                                                    : TIS_CAPABILITY_VERSION_PTP);
}

/* How many bytes the guest may read, or write, before it has to look again. */
static size_t burst_count(const TIS *tis, uint8_t locality)
{
    const TISLocality *loc = &tis->locality[locality];
    size_t end = tis->buffer_size;

    if (locality == 4) {
        /* It is active in a hash sequence alone. */
        return tpm_hash_room(&tis->device->request.hash);
    }
    if (loc->state == TIS_IDLE || loc->state == TIS_READY) {
        /* Its command will begin at the front, whatever another locality has in the FIFO. */
        return end;
    }
    if (loc->sts & TIS_STS_DATA_AVAIL) {
        end = MIN(end, tpm_header_len(tis->buffer));
    }
    return end > tis->offset ? end - tis->offset : 0;
}

static uint32_t read_sts(TIS *tis, uint8_t locality, const TPMPiece *piece)
{
    size_t burst;

    if (!tis_is_active(tis, locality)) {
        return TIS_NO_REGISTER;
    }
    burst = burst_count(tis, locality);
    /* Guests that read only the low byte of the count must not find 4096 to be none. */
    if (piece->width == 1 && burst > 0xFF) {
        burst = 0xFF;
    }
    return tis->locality[locality].sts | (uint32_t)burst << TIS_STS_BURST_COUNT_SHIFT;
}

static void write_sts(TIS *tis, uint8_t locality, const TPMPiece *piece, uint32_t value)
{
    (void)piece;
    if (!tis_is_active(tis, locality)) {
        return;
    }
    if (tis->device->version == TPM_VERSION_2_0) {
        if (value & TIS_STS_COMMAND_CANCEL) {
            on_command_cancel(tis, locality);
        }
        if (value & TIS_STS_RESET_ESTABLISHMENT) {
            on_reset_establishment(tis, locality);
        }
    }
    /* One of them at a time: several at once mean nothing. */
    switch (value & (TIS_STS_COMMAND_READY | TIS_STS_TPM_GO | TIS_STS_RESPONSE_RETRY)) {
    case TIS_STS_COMMAND_READY:
        on_command_ready(tis, locality);
        break;
    case TIS_STS_TPM_GO:
        on_tpm_go(tis, locality);
        break;
    case TIS_STS_RESPONSE_RETRY:
        on_response_retry(tis, locality);
        break;
    default:
        break;
    }
}

static uint32_t read_data_fifo(TIS *tis, uint8_t locality, const TPMPiece *piece)
{
    uint32_t value = 0;

    if (!tis_is_active(tis, locality)) {
        return TIS_NO_REGISTER;
    }
    for (unsigned i = 0; i < piece->width; i++) {
        value |= (uint32_t)on_data_read(tis, locality) << 8 * (piece->lane + i);
    }
    return value;
}

static void write_data_fifo(TIS *tis, uint8_t locality, const TPMPiece *piece, uint32_t value)
{
    if (tis_is_active(tis, locality)) {
        on_data_write(tis, locality, value >> 8 * piece->lane, piece->width);
    }
}

static uint32_t read_interface_id(TIS *tis, uint8_t locality, const TPMPiece *piece)
{
    (void)locality;
    (void)piece;
    if (tis->device->version == TPM_VERSION_1_2) {
        return TIS_INTERFACE_ID_TPM_1_2;
    }
    return TIS_INTERFACE_ID_LOCALITIES_5 | TIS_INTERFACE_ID_TIS_SUPPORTED |
           (tis->interface_locked ? TIS_INTERFACE_ID_LOCK : 0);
}

static void write_interface_id(TIS *tis, uint8_t locality, const TPMPiece *piece, uint32_t value)
{
    (void)locality;
    (void)piece;
    /* There is one interface, so selecting it changes nothing; the lock holds until reset. */
    if (value & TIS_INTERFACE_ID_LOCK) {
        tis->interface_locked = true;
    }
}

static uint32_t read_did_vid(TIS *tis, uint8_t locality, const TPMPiece *piece)
{
    (void)tis;
    (void)locality;
    (void)piece;
    return TIS_DID_VID_VALUE;
}

static uint32_t read_rid(TIS *tis, uint8_t locality, const TPMPiece *piece)
{
    (void)tis;
    (void)locality;
    (void)piece;
    return TIS_RID_VALUE;
}

/* ---- the register table, in the specification's order ---- */

typedef struct TISRegister {
    uint32_t first; /* offsets within a locality */
    uint32_t last;
    uint32_t (*read)(TIS *tis, uint8_t locality, const TPMPiece *piece);
    void (*write)(TIS *tis, uint8_t locality, const TPMPiece *piece, uint32_t value);
} TISRegister;

/* clang-format off */
static const TISRegister tis_registers[] = {
    { TIS_ACCESS,          TIS_ACCESS,          read_access,          write_access },
    { TIS_INT_ENABLE,      TIS_INT_ENABLE,      read_int_enable,      write_int_enable },
    { TIS_INT_VECTOR,      TIS_INT_VECTOR,      read_int_vector,      NULL },
    { TIS_INT_STATUS,      TIS_INT_STATUS,      read_int_status,      write_int_status },
    { TIS_INTF_CAPABILITY, TIS_INTF_CAPABILITY, read_intf_capability, NULL },
    { TIS_STS,             TIS_STS,             read_sts,             write_sts },
    { TIS_DATA_FIFO,       TIS_DATA_FIFO,       read_data_fifo,       write_data_fifo },
    { TIS_INTERFACE_ID,    TIS_INTERFACE_ID,    read_interface_id,    write_interface_id },
    { TIS_XDATA_FIFO,      TIS_XDATA_FIFO_LAST, read_data_fifo,       write_data_fifo },
    { TIS_DID_VID,         TIS_DID_VID,         read_did_vid,         NULL },
    { TIS_RID,             TIS_RID,             read_rid,             NULL },
};
/* clang-format on */

static const TISRegister *find_register(uint32_t offset)
{
    for (size_t i = 0; i < G_N_ELEMENTS(tis_registers); i++) {
        if (offset >= tis_registers[i].first && offset <= tis_registers[i].last) {
            return &tis_registers[i];
        }
    }
    return NULL;
}

#define LOCALITY_OF(piece) ((uint8_t)((piece)->reg >> TIS_LOCALITY_SHIFT))
#define OFFSET_OF(piece)   ((piece)->reg & ((1u << TIS_LOCALITY_SHIFT) - 1))

uint32_t tis_register_read(void *model, const TPMPiece *piece)
{
    const TISRegister *reg = find_register(OFFSET_OF(piece));

    return reg ? reg->read(model, LOCALITY_OF(piece), piece) : TIS_NO_REGISTER;
}

void tis_register_write(void *model, const TPMPiece *piece, uint32_t value)
{
    TIS *tis = model;
    const TISRegister *reg = find_register(OFFSET_OF(piece));
    uint8_t locality = LOCALITY_OF(piece);

    /* Locality 4 is the processor's own, for a D-RTM; software has no business there. */
    if (locality == 4) {
        if (tis->drtm) {
            tis_hash_write(tis, OFFSET_OF(piece), piece, value);
        }
    } else if (reg && reg->write) {
        reg->write(tis, locality, piece, value);
    }
}

/* ---- completion, reset, life ---- */

/*
 * Stage 5: the response is there. One that an abort or a hash sequence waits for is not for anyone
 * to read.
 */
void tis_done(void *model, const uint8_t *response, size_t size, bool selftest_done)
{
    TIS *tis = model;
    uint8_t locality = tis->command_locality;

    if (selftest_done) {
        for (unsigned i = 0; i < TIS_LOCALITIES; i++) {
            tis->locality[i].sts |= TIS_STS_SELFTEST_DONE;
        }
    }
    if (tis->hashing) {
        tis_enter(tis, locality, TIS_IDLE, 0);
        return;
    }
    if (tis->next != TIS_NO_LOCALITY) {
        tis_enter(tis, locality, TIS_IDLE, 0);
        tis_abort_finish(tis);
        return;
    }
    memcpy(tis->buffer, response, size);
    tis->offset = 0;
    tis_enter(tis, locality, TIS_COMPLETION, TIS_STS_VALID | TIS_STS_DATA_AVAIL);
    tis_interrupt(tis, locality, TIS_INT_DATA_AVAIL | TIS_INT_STS_VALID);
}

void tis_set(TIS *tis, const TISRegisters *registers)
{
    memcpy(tis->locality, registers->locality, sizeof(tis->locality));
    tis->active = registers->active;
    tis->command_locality = registers->command_locality;
    tis->hashing = registers->hashing;
    tis->interface_locked = registers->interface_locked;
    tis->aborting = registers->aborting;
    tis->next = registers->next;
    tis->offset = registers->offset;
    if (registers->fifo_size > 0) {
        memcpy(tis->buffer, registers->fifo, registers->fifo_size);
    }
    update_irq(tis);
}

void tis_reset(void *model, size_t buffer_size)
{
    TIS *tis = model;
    TISRegisters registers = {
        .active = TIS_NO_LOCALITY,
        .command_locality = TIS_NO_LOCALITY,
        .aborting = TIS_NO_LOCALITY,
        .next = TIS_NO_LOCALITY,
    };

    for (unsigned i = 0; i < TIS_LOCALITIES; i++) {
        registers.locality[i] = (TISLocality){
            .state = TIS_IDLE,
            .access = TIS_ACCESS_TPM_REG_VALID_STS,
            .sts = tis->device->version == TPM_VERSION_1_2 ? 0 : TIS_STS_FAMILY_2_0,
            .int_enable = TIS_INT_POLARITY_LOW_LEVEL,
        };
    }
    tis->buffer_size = buffer_size;
    tis_set(tis, &registers);
}

void *tis_new(TPMDevice *device, const TPMDeviceConfig *config)
{
    TIS *tis = g_new0(TIS, 1);

    tis->device = device;
    tis->int_vector = (uint8_t)config->irq;
    tis->drtm = config->drtm;
    tis->buffer = g_malloc0(device->request.buffer_size);
    return tis;
}

void tis_free(void *model)
{
    TIS *tis = model;

    g_free(tis->buffer);
    g_free(tis);
}

/* ---- the front ends: these registers, memory-mapped ---- */

/* Each locality is a page, so that a guest can hand it to a process of its own. */
static bool mmio_check(const char *model, const TPMDeviceConfig *config, GError **error)
{
    if (config->base % (1u << TIS_LOCALITY_SHIFT) != 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "%s: base 0x%" G_GINT64_MODIFIER "x is not a multiple of 0x%x", model,
                    config->base, 1u << TIS_LOCALITY_SHIFT);
        return false;
    }
    return true;
}

static bool isa_check(const TPMDeviceConfig *config, TPMVersion version, GError **error)
{
    (void)version; /* either will do */
    return mmio_check(tpm_frontend_tis.model, config, error);
}

static bool sysbus_check(const TPMDeviceConfig *config, TPMVersion version, GError **error)
{
    (void)version;
    return mmio_check(tpm_frontend_tis_sysbus.model, config, error);
}

static uint32_t tis_region_size(const TPMDeviceConfig *config)
{
    (void)config;
    return TPM_TIS_SIZE;
}

size_t tis_buffer_size(const TPMDeviceConfig *config)
{
    (void)config;
    return TPM_TIS_BUFFER_SIZE;
}

/* clang-format off */
#define TIS_MMIO_FUNCTIONS          \
    .region_size = tis_region_size, \
    .buffer_size = tis_buffer_size, \
    .create = tis_new,              \
    .free = tis_free,               \
    .reset = tis_reset,             \
    .read = tis_register_read,      \
    .write = tis_register_write,    \
    .done = tis_done,               \
    .hashed = tis_hashed,           \
    .save = tis_save,               \
    .parse = tis_parse,             \
    .restore = tis_restore
/* clang-format on */

/* Where a PC has it, on the LPC bus. */
const TPMFrontend tpm_frontend_tis = {
    .model = "tpm-tis",
    .check = isa_check,
    TIS_MMIO_FUNCTIONS,
};

/* Anywhere in memory, for machines that are no PC. */
const TPMFrontend tpm_frontend_tis_sysbus = {
    .model = "tpm-tis-device",
    .check = sysbus_check,
    TIS_MMIO_FUNCTIONS,
};

G_STATIC_ASSERT(TPM_TIS_SIZE == TIS_LOCALITIES << TIS_LOCALITY_SHIFT);
G_STATIC_ASSERT((TIS_CAPABILITY_COMMON | TIS_CAPABILITY_VERSION_PTP) == 0x30000697);
