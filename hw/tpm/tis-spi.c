/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TIS registers on an SPI bus (PC Client Platform TPM Profile, "SPI Interface": "Flow Control"
 * and "SPI Bit Protocol"; for TPM 1.2 the same of PC Client TIS 1.3).
 *
 * Stage 1 of 6, as access.c is for memory. A frame is the bytes between two changes of the chip
 * select: a header of four bytes that names a register and a size, wait states, then so many bytes
 * of registers from the lowest address up. They become the same aligned pieces an access to memory
 * is made of, and go to tis_register_read() and tis_register_write() in tis.c (stage 2).
 *
 * Bytes are taken one by one, so that it is all the same how many of them the bus hands over at a
 * time.
 */
#include "tis.h"

#include <string.h>
#include <tpmdev/spi.h>

/*
 * The header: bit 7 of the first byte is set for a read, bits 5:0 are the size less one; bit 6 is
 * reserved, and drivers are known to set it. The address follows, the highest byte first.
 */
#define HEADER_SIZE    4u
#define HEADER_READ    0x80u
#define HEADER_SIZE_1  0x3Fu
#define ADDRESS_PREFIX 0xD4u /* of FED4xxxxh, where a PC has the registers */
#define FRAME_DATA_MAX 64u

/* Flow control, in bit 0 of the last byte of the header and of each wait state. */
#define FLOW_WAIT  0x00u
#define FLOW_READY 0x01u

/* Linux looks at so many wait states before it gives up. */
#define WAIT_STATES_MAX 50u

/* Registers other than a FIFO may have the controller wait once. */
#define WAIT_STATES_REGISTER 1u

/* What is read where nobody drives the bus, and of a device that has nothing to say. */
#define BYTE_NOBODY  0xFFu
#define BYTE_NOTHING 0x00u

#define OFFSET_MASK ((1u << TIS_LOCALITY_SHIFT) - 1)

typedef enum SPIPhase {
    SPI_DESELECTED, /* the bytes are for another device */
    SPI_HEADER,     /* what is wanted is being said */
    SPI_WAIT,       /* wait states are left */
    SPI_DATA,       /* bytes of registers */
    SPI_DONE,       /* all announced bytes have been moved */
    SPI_IGNORED,    /* more bytes came, or a reset: nothing until the device is selected again */
} SPIPhase;

typedef struct TISSPI {
    TIS *tis;
    unsigned wait_states; /* of the configuration */

    SPIPhase phase;
    uint8_t header[HEADER_SIZE];
    unsigned header_size; /* bytes of it that have come */

    /* The frame, once its header is whole. */
    bool is_read;
    bool is_fifo;     /* the address stays, each byte is an event */
    bool is_nobodys;  /* no register of any locality */
    uint32_t address; /* of the next register: locality << 12 | offset */
    unsigned left;    /* data bytes to come */
    unsigned waits_left;

    /* The bytes of one 32-bit register, or what of it the frame is about. */
    uint8_t bytes[4];
    unsigned size;  /* how many there are */
    unsigned moved; /* and how many have been on the bus */
} TISSPI;

/* ---- registers: what memory-mapped ones do, a few bits apart ---- */

static uint32_t read_register(TISSPI *spi, const TPMPiece *piece)
{
    uint32_t value = tis_register_read(spi->tis, piece);
    uint32_t burst = value >> TIS_STS_BURST_COUNT_SHIFT & 0xFFFF;

    /* A driver may take the burst count for the size of its next frame. */
    if ((piece->reg & OFFSET_MASK) == TIS_STS && value != TIS_NO_REGISTER &&
        burst > FRAME_DATA_MAX) {
        value &= ~(0xFFFFu << TIS_STS_BURST_COUNT_SHIFT);
        value |= FRAME_DATA_MAX << TIS_STS_BURST_COUNT_SHIFT;
    }
    return value;
}

static void read_bytes(TISSPI *spi)
{
    for (unsigned done = 0; done < spi->size;) {
        TPMPiece piece;

        tpm_access_first_piece(spi->address + done, spi->size - done, &piece);
        uint32_t value = read_register(spi, &piece);
        for (unsigned i = 0; i < piece.width; i++) {
            spi->bytes[done++] = (uint8_t)(value >> 8 * (piece.lane + i));
        }
    }
}

static void write_bytes(TISSPI *spi)
{
    for (unsigned done = 0; done < spi->size;) {
        TPMPiece piece;
        uint32_t value = 0;

        tpm_access_first_piece(spi->address + done, spi->size - done, &piece);
        for (unsigned i = 0; i < piece.width; i++) {
            value |= (uint32_t)spi->bytes[done++] << 8 * (piece.lane + i);
        }
        tis_register_write(spi->tis, &piece, value);
    }
}

/* ---- the frame ---- */

static void guest_error(const TISSPI *spi, const char *message)
{
    tpm_report_guest_error(spi->tis->device, message);
}

static bool is_fifo(uint32_t address)
{
    uint32_t reg = address & OFFSET_MASK & ~3u;

    return reg == TIS_DATA_FIFO || (reg >= TIS_XDATA_FIFO && reg <= TIS_XDATA_FIFO_LAST);
}

/* The header is whole. */
static void begin_frame(TISSPI *spi)
{
    TPMDeviceStatistics *statistics = &spi->tis->device->statistics;

    spi->is_read = spi->header[0] & HEADER_READ;
    spi->left = (spi->header[0] & HEADER_SIZE_1) + 1;
    spi->address = (uint32_t)spi->header[2] << 8 | spi->header[3];
    spi->is_nobodys = spi->header[1] != ADDRESS_PREFIX || spi->address >= TPM_TIS_SIZE;
    spi->is_fifo = is_fifo(spi->address);
    spi->moved = 0;
    if (spi->is_nobodys) {
        guest_error(spi, "SPI frame for an address that is no register's");
        spi->waits_left = 0;
    } else {
        *(spi->is_read ? &statistics->reads : &statistics->writes) += 1;
        spi->waits_left =
            spi->is_fifo ? spi->wait_states : MIN(spi->wait_states, WAIT_STATES_REGISTER);
    }
    spi->phase = spi->waits_left > 0 ? SPI_WAIT : SPI_DATA;
}

static uint8_t exchange_header(TISSPI *spi, uint8_t out)
{
    spi->header[spi->header_size++] = out;
    if (spi->header_size < HEADER_SIZE) {
        return BYTE_NOTHING;
    }
    begin_frame(spi);
    if (spi->phase == SPI_WAIT) {
        return FLOW_WAIT;
    }
    return FLOW_READY;
}

static uint8_t exchange_wait(TISSPI *spi)
{
    if (--spi->waits_left > 0) {
        return FLOW_WAIT;
    }
    spi->phase = SPI_DATA;
    return FLOW_READY;
}

/* The bytes of a register have been moved; the next one's follow, but never another locality's. */
static void next_register(TISSPI *spi)
{
    if (!spi->is_fifo) {
        spi->address += spi->size;
        if ((spi->address & OFFSET_MASK) == 0 && spi->left > 0) {
            guest_error(spi, "SPI frame beyond the end of its locality");
            spi->is_nobodys = true;
        }
    }
    spi->moved = 0;
}

/*
 * A register is read when its first byte goes out and written when its last one has come in: what
 * the bytes belong to must not change between them, and a write is one event.
 */
static uint8_t exchange_register(TISSPI *spi, uint8_t out)
{
    uint8_t in = BYTE_NOTHING;

    if (spi->moved == 0) {
        spi->size = spi->is_fifo ? 1 : MIN(4 - spi->address % 4, spi->left);
        if (spi->is_read) {
            read_bytes(spi);
        }
    }
    if (spi->is_read) {
        in = spi->bytes[spi->moved];
    } else {
        spi->bytes[spi->moved] = out;
    }
    spi->moved++;
    spi->left--;
    if (spi->moved == spi->size) {
        if (!spi->is_read) {
            write_bytes(spi);
        }
        next_register(spi);
    }
    return in;
}

static uint8_t exchange_data(TISSPI *spi, uint8_t out)
{
    uint8_t in = BYTE_NOBODY;

    if (spi->is_nobodys) {
        spi->left--;
    } else {
        in = exchange_register(spi, out);
    }
    if (spi->left == 0) {
        spi->phase = SPI_DONE;
    }
    return in;
}

/* ---- events: the chip select, and a byte ---- */

static void on_select(TISSPI *spi)
{
    if (spi->phase == SPI_DESELECTED) {
        spi->phase = SPI_HEADER;
        spi->header_size = 0;
    }
}

static void on_deselect(TISSPI *spi)
{
    switch (spi->phase) {
    case SPI_HEADER:
        if (spi->header_size > 0) {
            guest_error(spi, "SPI frame that ends within its header");
        }
        break;
    case SPI_WAIT:
    case SPI_DATA:
        guest_error(spi, "SPI frame that ends before its announced size");
        break;
    case SPI_DESELECTED:
    case SPI_DONE:
    case SPI_IGNORED:
        break;
    }
    spi->phase = SPI_DESELECTED;
}

static uint8_t on_byte(TISSPI *spi, uint8_t out)
{
    switch (spi->phase) {
    case SPI_HEADER:
        return exchange_header(spi, out);
    case SPI_WAIT:
        return exchange_wait(spi);
    case SPI_DATA:
        return exchange_data(spi, out);
    case SPI_DONE:
        guest_error(spi, "SPI frame beyond its announced size");
        spi->phase = SPI_IGNORED;
        break;
    case SPI_DESELECTED:
    case SPI_IGNORED:
        break;
    }
    return BYTE_NOBODY;
}

/* ---- what a hypervisor's bus calls ---- */

void tpmdev_device_spi_select(TPMDevice *device, bool selected)
{
    if (device->frontend != &tpm_frontend_tis_spi) {
        return;
    }
    g_mutex_lock(&device->lock);
    if (selected) {
        on_select(device->model);
    } else {
        on_deselect(device->model);
    }
    tpm_device_leave(device);
}

/*
 * One byte, if it may mean something. What it has led to, a command to send or an interrupt, is
 * done before the next one is looked at: so it is all the same whether that is of this call.
 */
static bool exchange_byte(TPMDevice *device, uint8_t out, uint8_t *in)
{
    TISSPI *spi = device->model;

    g_mutex_lock(&device->lock);
    bool is_heard = spi->phase != SPI_DESELECTED && spi->phase != SPI_IGNORED;

    if (is_heard) {
        *in = on_byte(spi, out);
    }
    tpm_device_leave(device);
    return is_heard;
}

void tpmdev_device_spi_transfer(TPMDevice *device, const uint8_t *out, uint8_t *in, size_t size)
{
    bool is_heard = device->frontend == &tpm_frontend_tis_spi;

    for (size_t i = 0; i < size && (is_heard || in); i++) {
        uint8_t byte = BYTE_NOBODY;

        is_heard = is_heard && exchange_byte(device, out ? out[i] : 0, &byte);
        if (in) {
            in[i] = byte;
        }
    }
}

/* ---- the front end ---- */

static bool spi_check(const TPMDeviceConfig *config, TPMVersion version, GError **error)
{
    (void)version; /* either will do */
    if (config->wait_states > WAIT_STATES_MAX) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "%s: wait_states is %u; it must be from 0 to %u, the most Linux waits for",
                    tpm_frontend_tis_spi.model, config->wait_states, WAIT_STATES_MAX);
        return false;
    }
    return true;
}

/* It is on no memory bus. */
static uint32_t spi_region_size(const TPMDeviceConfig *config)
{
    (void)config;
    return 0;
}

static void *spi_new(TPMDevice *device, const TPMDeviceConfig *config)
{
    TISSPI *spi = g_new0(TISSPI, 1);

    spi->tis = tis_new(device, config);
    spi->wait_states = config->wait_states;
    spi->phase = SPI_DESELECTED;
    return spi;
}

static void spi_free(void *model)
{
    TISSPI *spi = model;

    tis_free(spi->tis);
    g_free(spi);
}

/* All of it that can change: the frame, which is a TISSPI without the rest. */
static void spi_set(TISSPI *spi, const TISSPI *frame)
{
    TIS *tis = spi->tis;
    unsigned wait_states = spi->wait_states;

    *spi = *frame;
    spi->tis = tis;
    spi->wait_states = wait_states;
}

/* The chip select is the controller's; what remains of a frame means nothing any more. */
static void spi_reset(void *model, size_t buffer_size)
{
    TISSPI *spi = model;
    bool is_selected = spi->phase != SPI_DESELECTED;

    spi_set(spi, &(TISSPI){ .phase = is_selected ? SPI_IGNORED : SPI_DESELECTED });
    tis_reset(spi->tis, buffer_size);
}

static void spi_done(void *model, const uint8_t *response, size_t size, bool selftest_done)
{
    TISSPI *spi = model;

    tis_done(spi->tis, response, size, selftest_done);
}

/* ---- saved state: the section `spi` (docs/state-format.rst), beside that of tis-state.c ---- */

#define SECTION      "spi"
#define VERSION      1u
#define TYPE         "(yaybbbuyyyay)"
#define FIELD_HEADER 1u
#define FIELD_BYTES  9u

/* In a frame whose header is whole, and which is not over. */
static bool in_frame(const TISSPI *spi)
{
    return spi->phase == SPI_WAIT || spi->phase == SPI_DATA;
}

static void spi_save(const void *model, TPMStateWriter *writer)
{
    const TISSPI *spi = model;
    TISSPI frame = { .phase = spi->phase };
    size_t header_size = spi->phase == SPI_HEADER ? spi->header_size : 0;
    uint8_t bytes[4] = { 0 };

    if (in_frame(spi)) {
        frame = *spi;
    }
    /* Of a write only what has come; of a read all that the register gave. */
    if (frame.moved > 0) {
        memcpy(bytes, frame.bytes, frame.is_read ? frame.size : frame.moved);
    }
    tis_save(spi->tis, writer);
    tpm_state_writer_add(writer, SECTION, VERSION,
                         g_variant_new("(y@aybbbuyyy@ay)", spi->phase,
                                       tpm_state_bytes(spi->header, header_size), frame.is_read,
                                       frame.is_fifo, frame.is_nobodys,
                                       frame.is_nobodys ? 0 : frame.address, frame.left,
                                       spi->phase == SPI_WAIT ? frame.waits_left : 0, frame.moved,
                                       tpm_state_bytes(bytes, frame.moved > 0 ? frame.size : 0)));
}

typedef struct SPISaved {
    TISRegisters tis;
    TISSPI frame;
} SPISaved;

static bool wrong(GError **error, const char *field)
{
    return tpm_state_field_wrong(error, SECTION, field);
}

static bool read_bytes_moved(GVariant *content, TISSPI *frame)
{
    size_t size;
    const uint8_t *bytes = tpm_state_get_bytes(content, FIELD_BYTES, &size);

    if (size > sizeof(frame->bytes)) {
        return false;
    }
    if (size > 0) {
        memcpy(frame->bytes, bytes, size);
    }
    frame->size = (unsigned)size;
    return true;
}

static bool spi_read(GVariant *content, TISSPI *frame, GError **error)
{
    gboolean is_read, is_fifo, is_nobodys;
    guint8 phase, left, waits_left, moved;
    size_t size;
    const uint8_t *header = tpm_state_get_bytes(content, FIELD_HEADER, &size);

    g_variant_get(content, "(y@*bbbuyyy@*)", &phase, NULL, &is_read, &is_fifo, &is_nobodys,
                  &frame->address, &left, &waits_left, &moved, NULL);
    frame->phase = (SPIPhase)phase;
    frame->is_read = is_read;
    frame->is_fifo = is_fifo;
    frame->is_nobodys = is_nobodys;
    frame->left = left;
    frame->waits_left = waits_left;
    frame->moved = moved;
    if (phase > SPI_IGNORED) {
        return wrong(error, "phase");
    }
    if (size >= HEADER_SIZE || (size > 0 && frame->phase != SPI_HEADER)) {
        return wrong(error, "header");
    }
    if (size > 0) {
        memcpy(frame->header, header, size);
    }
    frame->header_size = (unsigned)size;
    return read_bytes_moved(content, frame) || wrong(error, "bytes");
}

/* The register is one, and what is left of it is left of the frame. */
static bool check_register(const TISSPI *frame, GError **error)
{
    if (frame->address >= TPM_TIS_SIZE || (frame->is_fifo && !is_fifo(frame->address))) {
        return wrong(error, "address");
    }
    if (frame->moved > 0 &&
        (frame->moved >= frame->size || frame->address % 4 + frame->size > 4 ||
         (frame->is_fifo && frame->size > 1) || frame->left < frame->size - frame->moved)) {
        return wrong(error, "moved");
    }
    return true;
}

static bool check_frame(const TISSPI *frame, GError **error)
{
    bool waits = frame->phase == SPI_WAIT;

    if (!in_frame(frame)) {
        return (frame->left == 0 && frame->waits_left == 0 && frame->moved == 0 &&
                frame->size == 0 && frame->address == 0 && !frame->is_read && !frame->is_fifo &&
                !frame->is_nobodys) ||
               wrong(error, "phase: there is no frame");
    }
    if (frame->left < 1 || frame->left > FRAME_DATA_MAX) {
        return wrong(error, "left");
    }
    if (waits != (frame->waits_left > 0) || frame->waits_left > WAIT_STATES_MAX) {
        return wrong(error, "waits-left");
    }
    if ((waits || frame->is_nobodys) && frame->moved > 0) {
        return wrong(error, "moved");
    }
    return frame->is_nobodys || check_register(frame, error);
}

static void *spi_parse(const void *model, TPMStateReader *reader, const TPMSavedRequest *request,
                       GError **error)
{
    const TISSPI *spi = model;
    g_autofree TISRegisters *tis = tis_parse(spi->tis, reader, request, error);
    GVariant *content =
        tis ? tpm_state_reader_section(reader, SECTION, VERSION, TYPE, error) : NULL;

    if (!content) {
        return NULL;
    }
    g_autofree SPISaved *saved = g_new0(SPISaved, 1);

    saved->tis = *tis;
    if (!spi_read(content, &saved->frame, error) || !check_frame(&saved->frame, error)) {
        return NULL;
    }
    return g_steal_pointer(&saved);
}

static void spi_restore(void *model, const void *state)
{
    TISSPI *spi = model;
    const SPISaved *saved = state;

    tis_set(spi->tis, &saved->tis);
    spi_set(spi, &saved->frame);
}

/* No read and no write: nothing is inside a region of no bytes. */
const TPMFrontend tpm_frontend_tis_spi = {
    .model = "tpm-tis-spi",
    .check = spi_check,
    .region_size = spi_region_size,
    .buffer_size = tis_buffer_size,
    .create = spi_new,
    .free = spi_free,
    .reset = spi_reset,
    .done = spi_done,
    .save = spi_save,
    .parse = spi_parse,
    .restore = spi_restore,
};

G_STATIC_ASSERT(HEADER_SIZE_1 + 1 == FRAME_DATA_MAX);
