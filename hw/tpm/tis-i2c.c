/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TIS device on an I2C bus, for TPM 2.0 alone (TCG TPM I2C Interface Specification; PC Client
 * Device Driver Design Principles, "I2C").
 *
 * Stages 1 and 2 of 6. What happens on the bus comes from the hypervisor by the calls at the end;
 * each is an event with a function of its own. A transfer names a register by its first byte; the
 * bytes after it are kept and written when the transfer stops, or are read from the register.
 * Most registers are those of tis.c, at the locality of TPM_LOC_SEL, and all that follows is the
 * same as behind any other bus.
 *
 * The register numbers and what a guest finds there are QEMU's.
 */
#include "tis-i2c-regs.h"
#include "tis.h"

#include <tpmdev/i2c.h>

/* Where the device is in a transfer. */
typedef enum I2CPhase {
    I2C_SILENT,   /* in none, or in one that is not for it: it takes no byte */
    I2C_STARTED,  /* the next byte names a register */
    I2C_SELECTED, /* it is named: bytes for it may follow, or be received */
    I2C_WRITING,  /* bytes for it have come and wait for the stop */
    I2C_READING,  /* bytes of it have gone */
} I2CPhase;

typedef struct TISI2C TISI2C;

typedef struct I2CRegister {
    uint8_t first;
    uint8_t last;
    bool is_port; /* every byte is an access of its own, as it comes */
    uint32_t (*read)(TISI2C *i2c);
    void (*write)(TISI2C *i2c, uint32_t value);
} I2CRegister;

struct TISI2C {
    TIS *tis;
    uint8_t locality;  /* TPM_LOC_SEL */
    bool csum_enabled; /* TPM_DATA_CSUM_ENABLE, which is kept and changes nothing */

    I2CPhase phase;
    const I2CRegister *reg; /* the register that is named, or NULL */
    uint8_t number;         /* as the guest named it: it may be any byte of TPM_STS */
    unsigned count;         /* bytes of `data` that have come or gone */
    uint32_t data;          /* the register's, lowest byte first */
};

/* ---- the registers behind, at the selected locality ---- */

static TPMPiece tis_piece(const TISI2C *i2c, uint32_t offset, unsigned width)
{
    TPMPiece piece;

    tpm_access_first_piece((uint32_t)i2c->locality << TIS_LOCALITY_SHIFT | offset, width, &piece);
    return piece;
}

static uint32_t tis_read(const TISI2C *i2c, uint32_t offset)
{
    TPMPiece piece = tis_piece(i2c, offset, 4);

    return tis_register_read(i2c->tis, &piece);
}

static void tis_write(const TISI2C *i2c, uint32_t offset, unsigned width, uint32_t value)
{
    TPMPiece piece = tis_piece(i2c, offset, width);

    tis_register_write(i2c->tis, &piece, (value << 8 * piece.lane) & piece.mask);
}

/* ---- registers: one read and one write for each that has them ---- */

static uint32_t read_loc_sel(TISI2C *i2c)
{
    return i2c->locality;
}

static void write_loc_sel(TISI2C *i2c, uint32_t value)
{
    uint8_t locality = (uint8_t)value;

    if (locality < TIS_LOCALITIES) {
        i2c->locality = locality;
    } else {
        tpm_report_guest_error(i2c->tis->device, "I2C: a locality there is not");
    }
}

static uint32_t read_access(TISI2C *i2c)
{
    return tis_read(i2c, TIS_ACCESS);
}

static void write_access(TISI2C *i2c, uint32_t value)
{
    tis_write(i2c, TIS_ACCESS, 4, value);
}

static uint32_t read_int_enable(TISI2C *i2c)
{
    return tis_read(i2c, TIS_INT_ENABLE);
}

/*
 * All a guest can do is to turn off what is off; the polarity goes with it. Unlike in memory, a
 * locality need not have the device for that: so it is in every QEMU that has this one.
 */
static void write_int_enable(TISI2C *i2c, uint32_t value)
{
    if (i2c->locality != 4) {
        i2c->tis->locality[i2c->locality].int_enable = value & I2C_INT_ENABLE_WRITABLE;
    }
}

static uint32_t read_int_capability(TISI2C *i2c)
{
    (void)i2c;
    return 0;
}

/* From the byte that was named to the end; what is behind the end reads as 0. */
static uint32_t read_sts(TISI2C *i2c)
{
    return (tis_read(i2c, TIS_STS) & I2C_STS_READABLE) >> 8 * (i2c->number - I2C_STS);
}

/* All of it, or the one byte that was named. */
static void write_sts(TISI2C *i2c, uint32_t value)
{
    unsigned byte = i2c->number - I2C_STS;

    tis_write(i2c, TIS_STS + byte, byte ? 1 : 4, value & I2C_STS_WRITABLE >> 8 * byte);
}

static uint32_t read_data_fifo(TISI2C *i2c)
{
    TPMPiece piece = tis_piece(i2c, TIS_DATA_FIFO, 1);

    return tis_register_read(i2c->tis, &piece);
}

static void write_data_fifo(TISI2C *i2c, uint32_t value)
{
    tis_write(i2c, TIS_DATA_FIFO, 1, value);
}

static uint32_t read_intf_capability(TISI2C *i2c)
{
    (void)i2c;
    return I2C_CAPABILITY;
}

static uint32_t read_csum_enable(TISI2C *i2c)
{
    return i2c->csum_enabled ? I2C_CSUM_ENABLE : 0;
}

static void write_csum_enable(TISI2C *i2c, uint32_t value)
{
    i2c->csum_enabled = value & I2C_CSUM_ENABLE;
}

/*
 * CRC-CCITT, least significant bit first: x^16 + x^12 + x^5 + 1 reflected is 8408h, and what
 * four bits n contribute is n * 1081h, since none of its digits carries into the next.
 */
static uint16_t crc_ccitt(const uint8_t *bytes, size_t size)
{
    unsigned crc = 0;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ (crc & 0xF) * 0x1081;
        crc = crc >> 4 ^ (crc & 0xF) * 0x1081;
    }
    return (uint16_t)crc;
}

/*
 * Of the bytes of the command that have come, or of the response that have gone. The FIFO is that
 * of the locality that began the command; no other is told of its bytes.
 */
static uint32_t read_csum(TISI2C *i2c)
{
    const TIS *tis = i2c->tis;
    unsigned crc = 0;

    if (tis_is_active(tis, i2c->locality)) {
        switch (tis->locality[i2c->locality].state) {
        case TIS_IDLE:
        case TIS_READY:
            break;
        case TIS_RECEPTION:
        case TIS_EXECUTION:
        case TIS_COMPLETION:
            crc = crc_ccitt(tis->buffer, tis->offset);
            break;
        }
    }
    /* The high byte goes first. */
    return (crc >> 8) | (crc & 0xFF) << 8;
}

static uint32_t read_did_vid(TISI2C *i2c)
{
    return tis_read(i2c, TIS_DID_VID);
}

static uint32_t read_rid(TISI2C *i2c)
{
    return tis_read(i2c, TIS_RID);
}

/* ---- the register table, in the specification's order ---- */

/* clang-format off */
static const I2CRegister i2c_registers[] = {
    { I2C_LOC_SEL,          I2C_LOC_SEL,          false, read_loc_sel,         write_loc_sel },
    { I2C_ACCESS,           I2C_ACCESS,           false, read_access,          write_access },
    { I2C_INT_ENABLE,       I2C_INT_ENABLE,       false, read_int_enable,      write_int_enable },
    { I2C_INT_CAPABILITY,   I2C_INT_CAPABILITY,   false, read_int_capability,  NULL },
    { I2C_STS,              I2C_STS_LAST,         false, read_sts,             write_sts },
    { I2C_DATA_FIFO,        I2C_DATA_FIFO,        true,  read_data_fifo,       write_data_fifo },
    { I2C_INTF_CAPABILITY,  I2C_INTF_CAPABILITY,  false, read_intf_capability, NULL },
    { I2C_DATA_CSUM_ENABLE, I2C_DATA_CSUM_ENABLE, false, read_csum_enable,     write_csum_enable },
    { I2C_DATA_CSUM_GET,    I2C_DATA_CSUM_GET,    false, read_csum,            NULL },
    { I2C_DID_VID,          I2C_DID_VID,          false, read_did_vid,         NULL },
    { I2C_RID,              I2C_RID,              false, read_rid,             NULL },
};
/* clang-format on */

static const I2CRegister *find_register(uint8_t number)
{
    for (size_t i = 0; i < G_N_ELEMENTS(i2c_registers); i++) {
        if (number >= i2c_registers[i].first && number <= i2c_registers[i].last) {
            return &i2c_registers[i];
        }
    }
    return NULL;
}

/* ---- events: what happens on the bus ---- */

/* Bytes that were not stopped after are dropped, as QEMU drops them. */
static void on_start_send(TISI2C *i2c)
{
    i2c->phase = I2C_STARTED;
    i2c->reg = NULL;
}

/* A register may have been named by this transfer or, as Linux does it, by the one before. */
static void on_start_receive(TISI2C *i2c)
{
    switch (i2c->phase) {
    case I2C_SILENT:
        i2c->phase = i2c->reg ? I2C_SELECTED : I2C_STARTED;
        break;
    case I2C_STARTED:
    case I2C_SELECTED:
    case I2C_WRITING:
    case I2C_READING:
        break; /* all goes on as without it */
    }
}

/* A register that was but named stays so for the next transfer. */
static void on_stop(TISI2C *i2c)
{
    switch (i2c->phase) {
    case I2C_SILENT:
    case I2C_STARTED:
    case I2C_SELECTED:
        break;
    case I2C_WRITING:
        if (i2c->reg->write) {
            i2c->reg->write(i2c, i2c->data);
        }
        i2c->reg = NULL;
        break;
    case I2C_READING:
        i2c->reg = NULL;
        break;
    }
    i2c->phase = I2C_SILENT;
}

/* The first byte: which register? */
static bool select_register(TISI2C *i2c, uint8_t number)
{
    i2c->reg = find_register(number);
    i2c->number = number;
    i2c->phase = i2c->reg ? I2C_SELECTED : I2C_SILENT;
    if (!i2c->reg) {
        tpm_report_guest_error(i2c->tis->device, "I2C: a register there is not");
    }
    return i2c->reg != NULL;
}

/* A byte for the register: for a port at once, for others kept until the transfer stops. */
static bool take_byte(TISI2C *i2c, uint8_t byte)
{
    if (i2c->reg->is_port) {
        i2c->reg->write(i2c, byte);
        return true;
    }
    if (i2c->count == I2C_REGISTER_SIZE) {
        tpm_report_guest_error(i2c->tis->device, "I2C: more bytes than a register has");
        return false;
    }
    i2c->data |= (uint32_t)byte << 8 * i2c->count++;
    return true;
}

/* Returns whether it is acknowledged. */
static bool on_send(TISI2C *i2c, uint8_t byte)
{
    switch (i2c->phase) {
    case I2C_STARTED:
        return select_register(i2c, byte);
    case I2C_SELECTED:
        if (!i2c->reg->is_port) {
            i2c->phase = I2C_WRITING;
            i2c->count = 0;
            i2c->data = 0;
        }
        break;
    case I2C_WRITING:
        break;
    case I2C_READING:
        if (!i2c->reg->is_port) {
            return false;
        }
        break;
    case I2C_SILENT:
        return false;
    }
    return take_byte(i2c, byte);
}

static uint8_t on_receive(TISI2C *i2c)
{
    switch (i2c->phase) {
    case I2C_SELECTED:
        i2c->phase = I2C_READING;
        i2c->count = 0;
        i2c->data = i2c->reg->is_port ? 0 : i2c->reg->read(i2c);
        break;
    case I2C_READING:
        break;
    case I2C_STARTED: /* too early, which ASPEED's controller is made to do; the name may follow */
    case I2C_WRITING:
    case I2C_SILENT:
        return I2C_NO_DATA;
    }
    if (i2c->reg->is_port) {
        return (uint8_t)i2c->reg->read(i2c);
    }
    if (i2c->count == I2C_REGISTER_SIZE) {
        return I2C_NO_DATA;
    }
    return (uint8_t)(i2c->data >> 8 * i2c->count++);
}

/* ---- the front end ---- */

static bool i2c_check(const TPMDeviceConfig *config, TPMVersion version, GError **error)
{
    (void)config;
    if (version != TPM_VERSION_2_0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "tpm-tis-i2c is for TPM 2.0 and its TPM is a 1.2; use a TPM 2.0");
        return false;
    }
    return true;
}

/* It is on a bus of its own, and nowhere in memory. */
static uint32_t i2c_region_size(const TPMDeviceConfig *config)
{
    (void)config;
    return 0;
}

static void *i2c_new(TPMDevice *device, const TPMDeviceConfig *config)
{
    TISI2C *i2c = g_new0(TISI2C, 1);

    i2c->tis = tis_new(device, config);
    return i2c;
}

static void i2c_free(void *model)
{
    TISI2C *i2c = model;

    tis_free(i2c->tis);
    g_free(i2c);
}

/* All of it that can change; the members are those of TISI2C. */
typedef struct I2CRegisters {
    TISRegisters tis;
    uint8_t locality;
    bool csum_enabled;
    I2CPhase phase;
    bool is_named; /* there is a register, and this is its number */
    uint8_t number;
    uint8_t count;
    uint32_t data;
} I2CRegisters;

/* The one way to set it, but for the registers behind. */
static void i2c_set(TISI2C *i2c, const I2CRegisters *registers)
{
    i2c->locality = registers->locality;
    i2c->csum_enabled = registers->csum_enabled;
    i2c->phase = registers->phase;
    i2c->reg = registers->is_named ? find_register(registers->number) : NULL;
    i2c->number = registers->number;
    i2c->count = registers->count;
    i2c->data = registers->data;
}

/* What is left of a transfer that was under way is not for the device any more. */
static void i2c_reset(void *model, size_t buffer_size)
{
    TISI2C *i2c = model;

    tis_reset(i2c->tis, buffer_size);
    i2c_set(i2c, &(I2CRegisters){ .phase = I2C_SILENT });
}

static void i2c_done(void *model, const uint8_t *response, size_t size, bool selftest_done)
{
    TISI2C *i2c = model;

    tis_done(i2c->tis, response, size, selftest_done);
}

/* ---- saved state: the section `i2c` (docs/state-format.rst), beside that of tis-state.c ---- */

#define SECTION "i2c"
#define VERSION 1u
#define TYPE    "(ybybyyu)"

static void i2c_save(const void *model, TPMStateWriter *writer)
{
    const TISI2C *i2c = model;
    bool has_data = i2c->phase == I2C_WRITING || i2c->phase == I2C_READING;

    tis_save(i2c->tis, writer);
    tpm_state_writer_add(writer, SECTION, VERSION,
                         g_variant_new(TYPE, i2c->locality, i2c->csum_enabled, i2c->phase,
                                       i2c->reg != NULL, i2c->reg ? i2c->number : 0,
                                       has_data ? i2c->count : 0, has_data ? i2c->data : 0));
}

static bool wrong(GError **error, const char *field)
{
    return tpm_state_field_wrong(error, SECTION, field);
}

static bool check_phase(const I2CRegisters *registers, GError **error)
{
    const I2CRegister *reg = find_register(registers->number);

    if (registers->is_named ? !reg : registers->number != 0) {
        return wrong(error, "number: there is no such register");
    }
    switch (registers->phase) {
    case I2C_SILENT:
        break;
    case I2C_STARTED:
        return !registers->is_named || wrong(error, "phase: a register is named already");
    case I2C_SELECTED:
    case I2C_READING:
        return registers->is_named || wrong(error, "phase: no register is named");
    case I2C_WRITING:
        return (registers->is_named && !reg->is_port) ||
               wrong(error, "phase: there is nothing to be written");
    }
    return true;
}

static bool check_data(const I2CRegisters *registers, GError **error)
{
    bool has_data = registers->phase == I2C_WRITING || registers->phase == I2C_READING;

    if (registers->count > I2C_REGISTER_SIZE || (!has_data && registers->count > 0)) {
        return wrong(error, "count");
    }
    return has_data || registers->data == 0 || wrong(error, "data");
}

static bool i2c_read(GVariant *content, I2CRegisters *registers, GError **error)
{
    gboolean csum_enabled, is_named;
    guint8 phase;

    g_variant_get(content, TYPE, &registers->locality, &csum_enabled, &phase, &is_named,
                  &registers->number, &registers->count, &registers->data);
    registers->csum_enabled = csum_enabled;
    registers->is_named = is_named;
    registers->phase = (I2CPhase)phase;
    if (registers->locality >= TIS_LOCALITIES) {
        return wrong(error, "locality");
    }
    if (phase > I2C_READING) {
        return wrong(error, "phase");
    }
    return check_phase(registers, error) && check_data(registers, error);
}

static void *i2c_parse(const void *model, TPMStateReader *reader, const TPMSavedRequest *request,
                       GError **error)
{
    const TISI2C *i2c = model;
    g_autofree TISRegisters *tis = tis_parse(i2c->tis, reader, request, error);
    GVariant *content =
        tis ? tpm_state_reader_section(reader, SECTION, VERSION, TYPE, error) : NULL;

    if (!content) {
        return NULL;
    }
    g_autofree I2CRegisters *registers = g_new0(I2CRegisters, 1);

    registers->tis = *tis;
    return i2c_read(content, registers, error) ? g_steal_pointer(&registers) : NULL;
}

static void i2c_restore(void *model, const void *saved)
{
    TISI2C *i2c = model;
    const I2CRegisters *registers = saved;

    tis_set(i2c->tis, &registers->tis);
    i2c_set(i2c, registers);
}

const TPMFrontend tpm_frontend_tis_i2c = {
    .model = "tpm-tis-i2c",
    .check = i2c_check,
    .region_size = i2c_region_size,
    .buffer_size = tis_buffer_size,
    .create = i2c_new,
    .free = i2c_free,
    .reset = i2c_reset,
    .done = i2c_done,
    .save = i2c_save,
    .parse = i2c_parse,
    .restore = i2c_restore,
};

/* ---- what a hypervisor's bus calls ---- */

static bool is_i2c(const TPMDevice *device)
{
    return device->frontend == &tpm_frontend_tis_i2c;
}

static bool dispatch(TISI2C *i2c, TPMI2CEvent event)
{
    switch (event) {
    case TPM_I2C_START_SEND:
        on_start_send(i2c);
        return true;
    case TPM_I2C_START_RECEIVE:
        on_start_receive(i2c);
        return true;
    case TPM_I2C_STOP:
        on_stop(i2c);
        return true;
    case TPM_I2C_NACK:
        return true; /* a stop or a start follows, and says what is next */
    }
    return false;
}

bool tpmdev_device_i2c_event(TPMDevice *device, TPMI2CEvent event)
{
    if (!is_i2c(device)) {
        return false;
    }
    g_mutex_lock(&device->lock);
    bool acknowledged = dispatch(device->model, event);
    tpm_device_leave(device);
    return acknowledged;
}

bool tpmdev_device_i2c_send(TPMDevice *device, uint8_t byte)
{
    if (!is_i2c(device)) {
        return false;
    }
    g_mutex_lock(&device->lock);
    device->statistics.writes++;
    bool acknowledged = on_send(device->model, byte);
    tpm_device_leave(device);
    return acknowledged;
}

uint8_t tpmdev_device_i2c_receive(TPMDevice *device)
{
    if (!is_i2c(device)) {
        return 0xFF;
    }
    g_mutex_lock(&device->lock);
    device->statistics.reads++;
    uint8_t byte = on_receive(device->model);
    tpm_device_leave(device);
    return byte;
}

G_STATIC_ASSERT(I2C_STS_WRITABLE == 0x03000062);
G_STATIC_ASSERT(I2C_CAPABILITY == 0x02600082);
