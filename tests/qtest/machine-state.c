/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing and reading the stream of machine-state.h. A reader takes what it is given for the work
 * of somebody hostile: sizes are held against what this machine has before anything is kept.
 */
#include "machine-state.h"
#include "aspeed-i2c.h"
#include "keyval.h"
#include "papr.h"

#include <string.h>

#define VERSION      1u
#define PAGE_BYTES   RAM_PAGE_SIZE
#define HEADER_SIZE  16u
#define SECTION_HEAD 8u
#define DIGEST_SIZE  32u

/* What is kept in memory as a whole, here and by the reader. */
#define STREAM_SIZE_MAX (1u << 30)

#define PAPR_SIZE 25u
#define MACH_SIZE 25u /* name, padded to 16; u64 memory; u8 whether it ran */
#define MACH_NAME 16u

static const char magic[8] = { 'T', 'P', 'M', 'D', 'E', 'V', 'M', 'M' };

static const char section_mach[] = "MACH";
static const char section_page[] = "PAGE";
static const char section_papr[] = "PAPR";
static const char section_i2c[] = "I2C ";
static const char section_tpm[] = "TPM ";
static const char section_end[] = "END ";

static void put_le(uint8_t *bytes, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get_le(const uint8_t *bytes, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static void digest_of(const uint8_t *bytes, size_t size, uint8_t digest[DIGEST_SIZE])
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize length = DIGEST_SIZE;

    g_checksum_update(checksum, bytes, (gssize)size);
    g_checksum_get_digest(checksum, digest, &length);
}

/* ---- writing ---- */

static void add_head(GByteArray *stream, const char *name, size_t size)
{
    uint8_t head[SECTION_HEAD];

    memcpy(head, name, 4);
    put_le(head + 4, size, 4);
    g_byte_array_append(stream, head, sizeof(head));
}

static void add_section(GByteArray *stream, const char *name, const void *data, size_t size)
{
    add_head(stream, name, size);
    g_byte_array_append(stream, data, (guint)size);
}

static void add_mach(GByteArray *stream, const Machine *machine, bool running)
{
    uint8_t mach[MACH_SIZE] = { 0 };

    g_strlcpy((char *)mach, machine_arch(machine)->name, MACH_NAME);
    put_le(mach + MACH_NAME, ram_size(machine_ram(machine)), 8);
    mach[MACH_NAME + 8] = running;
    add_section(stream, section_mach, mach, sizeof(mach));
}

static bool is_zero(const uint8_t *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

static bool add_pages(GByteArray *stream, const Machine *machine, GError **error)
{
    const Ram *ram = machine_ram(machine);
    uint64_t end = ram_size(ram);

    for (uint64_t at = ram_next_written(ram, 0); at < end;
         at = ram_next_written(ram, at + PAGE_BYTES)) {
        const uint8_t *page = ram_at(ram, at);
        size_t size = MIN(PAGE_BYTES, end - at);
        uint8_t offset[8];

        if (stream->len > STREAM_SIZE_MAX) {
            g_set_error(error, MACHINE_ERROR, 0, "more than %u bytes of guest memory are in use",
                        STREAM_SIZE_MAX);
            return false;
        }
        if (!is_zero(page, size)) {
            put_le(offset, at, 8);
            add_head(stream, section_page, sizeof(offset) + size);
            g_byte_array_append(stream, offset, sizeof(offset));
            g_byte_array_append(stream, page, (guint)size);
        }
    }
    return true;
}

static void add_papr(GByteArray *stream, const Papr *papr)
{
    uint8_t bytes[PAPR_SIZE];
    PaprState state;

    papr_save(papr, &state);
    put_le(bytes, state.queue, 8);
    put_le(bytes + 8, state.size, 8);
    put_le(bytes + 16, state.next, 8);
    bytes[24] = state.signals;
    add_section(stream, section_papr, bytes, sizeof(bytes));
}

static void add_i2c(GByteArray *stream, const AspeedI2C *controller)
{
    uint8_t bytes[ASPEED_I2C_STATE_SIZE];

    aspeed_i2c_save(controller, bytes);
    add_section(stream, section_i2c, bytes, sizeof(bytes));
}

GByteArray *machine_state_save(Machine *machine, uint32_t flags, bool running, int64_t timeout_ns,
                               GError **error)
{
    TPMDevice *device = machine_tpm(machine);
    g_autoptr(GBytes) saved = device ? tpmdev_device_save(device, timeout_ns, error) : NULL;
    GByteArray *stream;
    uint8_t header[HEADER_SIZE];
    uint8_t digest[DIGEST_SIZE];

    if (device && !saved) {
        return NULL;
    }
    stream = g_byte_array_new();
    memcpy(header, magic, sizeof(magic));
    put_le(header + 8, VERSION, 4);
    put_le(header + 12, flags, 4);
    g_byte_array_append(stream, header, sizeof(header));
    add_mach(stream, machine, running);
    if (!add_pages(stream, machine, error)) { /* saved last: the device may have written some */
        g_byte_array_unref(stream);
        if (device) {
            tpmdev_device_resume(device);
        }
        return NULL;
    }
    if (machine_papr(machine)) {
        add_papr(stream, machine_papr(machine));
    }
    if (machine_i2c(machine)) {
        add_i2c(stream, machine_i2c(machine));
    }
    if (saved) {
        add_section(stream, section_tpm, g_bytes_get_data(saved, NULL), g_bytes_get_size(saved));
    }
    digest_of(stream->data, stream->len, digest);
    add_section(stream, section_end, digest, sizeof(digest));
    return stream;
}

/* ---- following ---- */

G_GNUC_PRINTF(2, 3)
static bool wrong(GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, MACHINE_ERROR, 0, "saved machine: %s", text);
    return false;
}

static bool scan_header(const GByteArray *bytes, MachineStateScan *scan, GError **error)
{
    if (memcmp(bytes->data, magic, sizeof(magic)) != 0) {
        return wrong(error, "this is none; it must begin with TPMDEVMM");
    }
    uint32_t version = (uint32_t)get_le(bytes->data + 8, 4);
    uint32_t flags = (uint32_t)get_le(bytes->data + 12, 4);

    if (version != VERSION || flags & ~MACHINE_STATE_WANTS_ANSWER) {
        return wrong(error, "version %u with flags %#x is not known; it must be %u", version, flags,
                     VERSION);
    }
    scan->wants_answer = flags & MACHINE_STATE_WANTS_ANSWER;
    scan->at = HEADER_SIZE;
    return true;
}

/* The most bytes the section of this name can have, or 0 when there is no such one. */
static size_t largest(const char *name)
{
    static const struct {
        const char *name;
        size_t size;
    } rows[] = {
        { section_mach, MACH_SIZE },
        { section_page, 8 + PAGE_BYTES },
        { section_papr, PAPR_SIZE },
        { section_i2c, ASPEED_I2C_STATE_SIZE },
        { section_tpm, TPM_SAVED_STATE_SIZE_MAX },
        { section_end, DIGEST_SIZE },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (memcmp(rows[i].name, name, 4) == 0) {
            return rows[i].size;
        }
    }
    return 0;
}

/* The most bytes of a stream that this machine could be loaded from. */
static size_t largest_stream(const Machine *machine)
{
    uint64_t size = ram_size(machine_ram(machine));
    uint64_t memory = size + (size / PAGE_BYTES + 1) * (SECTION_HEAD + 8);

    return (size_t)MIN(memory, STREAM_SIZE_MAX + 0x10000) + TPM_SAVED_STATE_SIZE_MAX + 0x10000;
}

/* False, too, when the header has not come wholly; then without an error. */
static bool scan_sections(const GByteArray *bytes, MachineStateScan *scan, GError **error)
{
    while (!scan->complete && bytes->len - scan->at >= SECTION_HEAD) {
        const uint8_t *head = bytes->data + scan->at;
        size_t size = get_le(head + 4, 4);

        if (size > largest((const char *)head)) {
            g_autofree char *name = g_strndup((const char *)head, 4);
            g_autofree char *shown = g_strescape(name, NULL);

            return wrong(error, "section '%s' of %zu bytes; it can have %zu", shown, size,
                         largest((const char *)head));
        }
        if (bytes->len - scan->at - SECTION_HEAD < size) {
            break;
        }
        scan->at += SECTION_HEAD + size;
        scan->complete = memcmp(head, section_end, 4) == 0;
    }
    return true;
}

bool machine_state_scan(const Machine *machine, const GByteArray *bytes, MachineStateScan *scan,
                        GError **error)
{
    if (bytes->len > largest_stream(machine)) {
        return wrong(error, "it is larger than one of this machine, of %zu bytes at most",
                     largest_stream(machine));
    }
    if (scan->at == 0) {
        if (bytes->len < HEADER_SIZE) {
            return true;
        }
        if (!scan_header(bytes, scan, error)) {
            return false;
        }
    }
    return scan_sections(bytes, scan, error);
}

/* ---- reading ---- */

/* What a stream says, pointing into it, but for the memory. */
typedef struct Saved {
    bool has_mach;
    bool running;
    Ram *ram;
    uint64_t next_page; /* the least offset that the next page can have */
    PaprState papr;
    bool has_papr;
    const uint8_t *i2c;
    const uint8_t *tpm;
    size_t tpm_size;
} Saved;

static bool read_mach(const Machine *machine, const uint8_t *data, size_t size, Saved *saved,
                      GError **error)
{
    uint64_t own_size = ram_size(machine_ram(machine));
    const char *own = machine_arch(machine)->name;

    if (saved->has_mach || size != MACH_SIZE || data[MACH_NAME - 1] || data[MACH_NAME + 8] > 1) {
        return wrong(error, "section 'MACH' is damaged");
    }
    if (strcmp((const char *)data, own) != 0) {
        return wrong(error, "it is an %.15s machine and this is an %s one", (const char *)data,
                     own);
    }
    if (get_le(data + MACH_NAME, 8) != own_size) {
        return wrong(error,
                     "its memory has %" G_GUINT64_FORMAT " bytes and here it has %" G_GUINT64_FORMAT
                     "; give the same -m",
                     get_le(data + MACH_NAME, 8), own_size);
    }
    saved->has_mach = true;
    saved->running = data[MACH_NAME + 8];
    saved->ram = ram_new(own_size, error);
    return saved->ram != NULL;
}

static bool read_page(const Machine *machine, const uint8_t *data, size_t size, Saved *saved,
                      GError **error)
{
    uint64_t end = ram_size(machine_ram(machine));
    uint64_t offset = size >= 8 ? get_le(data, 8) : UINT64_MAX;

    if (!saved->ram || offset < saved->next_page || offset % PAGE_BYTES || offset >= end ||
        size - 8 != MIN(PAGE_BYTES, end - offset)) {
        return wrong(error, "section 'PAGE' is damaged");
    }
    ram_write(saved->ram, offset, data + 8, size - 8);
    saved->next_page = offset + PAGE_BYTES;
    return true;
}

static bool read_papr(const Machine *machine, const uint8_t *data, size_t size, Saved *saved,
                      GError **error)
{
    if (!machine_papr(machine) || saved->has_papr || size != PAPR_SIZE || data[24] > 1) {
        return wrong(error, "section 'PAPR' is damaged, or this machine has no such device");
    }
    saved->papr =
        (PaprState){ get_le(data, 8), get_le(data + 8, 8), get_le(data + 16, 8), data[24] };
    saved->has_papr = true;
    return papr_state_is_valid(&saved->papr) || wrong(error, "section 'PAPR' is damaged");
}

static bool read_i2c(const Machine *machine, const uint8_t *data, size_t size, Saved *saved,
                     GError **error)
{
    if (!machine_i2c(machine) || saved->i2c || size != ASPEED_I2C_STATE_SIZE ||
        !aspeed_i2c_state_is_valid(machine_i2c(machine), data)) {
        return wrong(error, "section 'I2C' is damaged, or this machine has no such controller");
    }
    saved->i2c = data;
    return true;
}

static bool read_tpm(const Machine *machine, const uint8_t *data, size_t size, Saved *saved,
                     GError **error)
{
    if (!machine_tpm(machine)) {
        return wrong(error, "it has a TPM and this machine has none; give the same -device");
    }
    if (saved->tpm) {
        return wrong(error, "section 'TPM' is there twice");
    }
    saved->tpm = data;
    saved->tpm_size = size;
    return true;
}

static bool read_end(const uint8_t *bytes, size_t at, const uint8_t *data, size_t size,
                     GError **error)
{
    uint8_t digest[DIGEST_SIZE];

    digest_of(bytes, at, digest);
    return (size == DIGEST_SIZE && memcmp(data, digest, DIGEST_SIZE) == 0) ||
           wrong(error, "it was changed on its way: its digest is another");
}

static bool read_sections(const Machine *machine, const uint8_t *bytes, size_t size, Saved *saved,
                          GError **error)
{
    for (size_t at = HEADER_SIZE; at < size;) {
        const char *name = (const char *)bytes + at;
        const uint8_t *data = bytes + at + SECTION_HEAD;
        size_t length = get_le(bytes + at + 4, 4);
        bool good;

        if (memcmp(name, section_mach, 4) == 0) {
            good = read_mach(machine, data, length, saved, error);
        } else if (memcmp(name, section_page, 4) == 0) {
            good = read_page(machine, data, length, saved, error);
        } else if (memcmp(name, section_papr, 4) == 0) {
            good = read_papr(machine, data, length, saved, error);
        } else if (memcmp(name, section_i2c, 4) == 0) {
            good = read_i2c(machine, data, length, saved, error);
        } else if (memcmp(name, section_tpm, 4) == 0) {
            good = read_tpm(machine, data, length, saved, error);
        } else {
            good = read_end(bytes, at, data, length, error);
        }
        if (!good) {
            return false;
        }
        at += SECTION_HEAD + length;
    }
    return true;
}

/* What this machine has must have been saved. */
static bool check_whole(const Machine *machine, const Saved *saved, GError **error)
{
    if (!saved->has_mach) {
        return wrong(error, "section 'MACH' is missing");
    }
    if (machine_tpm(machine) && !saved->tpm) {
        return wrong(error, "it has no TPM and this machine has one; give the same -device");
    }
    if (machine_papr(machine) && !saved->has_papr) {
        return wrong(error, "section 'PAPR' is missing");
    }
    if (machine_i2c(machine) && !saved->i2c) {
        return wrong(error, "section 'I2C' is missing");
    }
    return true;
}

static bool load_device(Machine *machine, const Saved *saved, int64_t timeout_ns, GError **error)
{
    if (!saved->tpm) {
        return true;
    }
    g_autoptr(GBytes) state = g_bytes_new_static(saved->tpm, saved->tpm_size);

    return tpmdev_device_load(machine_tpm(machine), state, timeout_ns, error);
}

bool machine_state_load(Machine *machine, const uint8_t *bytes, size_t size, int64_t timeout_ns,
                        bool *running, GError **error)
{
    GByteArray view = { (guint8 *)bytes, (guint)size };
    MachineStateScan scan = { 0 };
    Saved saved = { 0 };

    if (!machine_state_scan(machine, &view, &scan, error)) {
        return false;
    }
    if (!scan.complete || scan.at != size) {
        return wrong(error, "it has %zu bytes and %s", size,
                     scan.complete ? "ends before" : "does not end with them");
    }
    if (!read_sections(machine, bytes, size, &saved, error) ||
        !check_whole(machine, &saved, error) || !load_device(machine, &saved, timeout_ns, error)) {
        ram_free(saved.ram);
        return false;
    }
    /* Nothing of this can fail; the device writes to memory when it is resumed. */
    machine_take_ram(machine, saved.ram);
    if (saved.has_papr) {
        papr_load(machine_papr(machine), &saved.papr);
    }
    if (saved.i2c) {
        aspeed_i2c_load(machine_i2c(machine), saved.i2c);
    }
    *running = saved.running;
    return true;
}
