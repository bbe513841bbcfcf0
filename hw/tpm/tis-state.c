/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a TIS device is saved and restored: the section `tis` (docs/state-format.rst).
 *
 * What a stream says is held against all that tis.c and tis-locality.c rely on, before any of it
 * is believed: a state that no guest could have brought about is refused. Beside tis.c, whose
 * tis_set() is the way to a state, be it that of a reset or one that was saved.
 */
#include "command.h"
#include "tis.h"

#include <string.h>

#define SECTION "tis"
#define VERSION 1u
#define TYPE    "(a(yuuuu)yyyybbtay)"

/* The fields of TYPE that are not read as numbers. */
#define FIELD_LOCALITIES 0u
#define FIELD_FIFO       8u

#define ACCESS_SAVED                                                                               \
    (TIS_ACCESS_REQUEST_USE | TIS_ACCESS_SEIZE | TIS_ACCESS_BEEN_SEIZED |                          \
     TIS_ACCESS_ACTIVE_LOCALITY | TIS_ACCESS_TPM_REG_VALID_STS)
#define STS_SAVED                                                                                  \
    (TIS_STS_SELFTEST_DONE | TIS_STS_EXPECT | TIS_STS_DATA_AVAIL | TIS_STS_COMMAND_READY |         \
     TIS_STS_VALID | TIS_STS_FAMILY)

/* ---- saving ---- */

/* The locality whose command or response is in the FIFO: no two can have one there. */
static const TISLocality *fifo_locality(const TISLocality *locality)
{
    for (unsigned i = 0; i < TIS_LOCALITIES; i++) {
        switch (locality[i].state) {
        case TIS_RECEPTION:
        case TIS_EXECUTION:
        case TIS_COMPLETION:
            return &locality[i];
        case TIS_IDLE:
        case TIS_READY:
            break;
        }
    }
    return NULL;
}

/* Bytes of the FIFO that can still be read, or be sent to the TPM. */
static size_t fifo_size(const TIS *tis)
{
    const TISLocality *loc = fifo_locality(tis->locality);

    if (!loc) {
        return 0;
    }
    if (loc->state == TIS_COMPLETION) {
        return MIN(tpm_header_len(tis->buffer), tis->buffer_size);
    }
    return tis->offset;
}

void tis_save(const void *model, TPMStateWriter *writer)
{
    const TIS *tis = model;
    GVariantBuilder localities;

    g_variant_builder_init(&localities, G_VARIANT_TYPE("a(yuuuu)"));
    for (unsigned i = 0; i < TIS_LOCALITIES; i++) {
        const TISLocality *loc = &tis->locality[i];

        g_variant_builder_add(&localities, "(yuuuu)", loc->state, loc->access, loc->sts,
                              loc->int_enable, loc->int_status);
    }
    tpm_state_writer_add(writer, SECTION, VERSION,
                         g_variant_new("(a(yuuuu)yyyybbt@ay)", &localities, tis->active,
                                       tis->command_locality, tis->aborting, tis->next,
                                       tis->hashing, tis->interface_locked,
                                       (guint64)(fifo_locality(tis->locality) ? tis->offset : 0),
                                       tpm_state_bytes(tis->buffer, fifo_size(tis))));
}

/* ---- reading ---- */

static bool wrong(GError **error, const char *field)
{
    return tpm_state_field_wrong(error, SECTION, field);
}

static bool read_localities(GVariant *content, TISRegisters *registers, GError **error)
{
    g_autoptr(GVariant) localities = g_variant_get_child_value(content, FIELD_LOCALITIES);

    if (g_variant_n_children(localities) != TIS_LOCALITIES) {
        return wrong(error, "localities: there must be five");
    }
    for (unsigned i = 0; i < TIS_LOCALITIES; i++) {
        TISLocality *loc = &registers->locality[i];
        guint8 state;

        g_variant_get_child(localities, i, "(yuuuu)", &state, &loc->access, &loc->sts,
                            &loc->int_enable, &loc->int_status);
        if (state > TIS_COMPLETION) {
            return wrong(error, "state of a locality");
        }
        loc->state = (TISState)state;
    }
    return true;
}

static void read_registers(GVariant *content, TISRegisters *registers)
{
    gboolean hashing, locked;
    guint64 offset;

    g_variant_get(content, "(@*yyyybbt@*)", NULL, &registers->active, &registers->command_locality,
                  &registers->aborting, &registers->next, &hashing, &locked, &offset, NULL);
    registers->hashing = hashing;
    registers->interface_locked = locked;
    registers->offset = offset > TPM_TIS_BUFFER_SIZE ? SIZE_MAX : (size_t)offset;
    registers->fifo = tpm_state_get_bytes(content, FIELD_FIFO, &registers->fifo_size);
}

/* ---- checking ---- */

static bool is_locality_or_none(uint8_t locality)
{
    return locality < TIS_LOCALITIES || locality == TIS_NO_LOCALITY;
}

/* What TPM_STS says in each of the states, but for selfTestDone and the family. */
static bool sts_is_of_state(const TISLocality *loc, bool hashing)
{
    uint32_t sts = loc->sts & ~(TIS_STS_SELFTEST_DONE | TIS_STS_FAMILY);

    switch (loc->state) {
    case TIS_IDLE:
        return sts == 0 || (hashing && sts == TIS_STS_VALID);
    case TIS_READY:
        return sts == TIS_STS_COMMAND_READY;
    case TIS_RECEPTION:
        return sts == TIS_STS_VALID || sts == (TIS_STS_VALID | TIS_STS_EXPECT);
    case TIS_EXECUTION:
        return sts == TIS_STS_VALID;
    case TIS_COMPLETION:
        return sts == TIS_STS_VALID || sts == (TIS_STS_VALID | TIS_STS_DATA_AVAIL);
    }
    return false;
}

static bool check_locality(const TIS *tis, const TISRegisters *registers, uint8_t locality,
                           GError **error)
{
    const TISLocality *loc = &registers->locality[locality];
    uint32_t family = tis->device->version == TPM_VERSION_1_2 ? 0 : TIS_STS_FAMILY_2_0;
    bool is_active = registers->active == locality;

    if (loc->access & ~ACCESS_SAVED || !(loc->access & TIS_ACCESS_TPM_REG_VALID_STS) ||
        is_active != !!(loc->access & TIS_ACCESS_ACTIVE_LOCALITY)) {
        return wrong(error, "access of a locality");
    }
    if (loc->sts & ~STS_SAVED || (loc->sts & TIS_STS_FAMILY) != family ||
        !sts_is_of_state(loc, registers->hashing && locality == 4)) {
        return wrong(error, "sts of a locality");
    }
    if (loc->int_enable & ~TIS_INT_ENABLE_WRITABLE || loc->int_status & ~TIS_INT_SOURCES) {
        return wrong(error, "interrupts of a locality");
    }
    return true;
}

static unsigned count_beyond_ready(const TISRegisters *registers)
{
    unsigned n = 0;

    for (unsigned i = 0; i < TIS_LOCALITIES; i++) {
        n += registers->locality[i].state > TIS_READY;
    }
    return n;
}

/* The FIFO holds what the state of its locality says, and the next byte is within it. */
static bool check_fifo(const TIS *tis, const TISRegisters *registers, GError **error)
{
    const TISLocality *loc = fifo_locality(registers->locality);
    size_t size = registers->fifo_size, offset = registers->offset;
    bool good = false;

    if (count_beyond_ready(registers) > 1) {
        return wrong(error, "state: two localities have the FIFO");
    }
    if (size > tis->buffer_size) {
        return wrong(error, "fifo: more than the buffer takes");
    }
    if (!loc) {
        good = size == 0 && offset == 0;
    } else if (loc->state == TIS_COMPLETION) {
        good = size >= TPM_HEADER_SIZE && size == tpm_header_len(registers->fifo) &&
               offset <= size && (!(loc->sts & TIS_STS_DATA_AVAIL) || offset < size);
    } else {
        good = offset == size;
    }
    return good || wrong(error, "fifo or offset");
}

/* A command that executes is one the request has, and what waits for its end waits for one. */
static bool check_command(const TISRegisters *registers, const TPMSavedRequest *request,
                          GError **error)
{
    uint8_t locality = registers->command_locality;
    const TISLocality *loc = fifo_locality(registers->locality);
    bool executing = loc && loc->state == TIS_EXECUTION;

    if (!is_locality_or_none(locality) || !is_locality_or_none(registers->aborting) ||
        !is_locality_or_none(registers->next)) {
        return wrong(error, "command-locality, aborting or next");
    }
    if (executing != request->waits ||
        (executing && (locality >= TIS_LOCALITIES || loc != &registers->locality[locality] ||
                       request->locality != locality))) {
        return wrong(error, "state: the command under way is another one");
    }
    if (!executing &&
        (registers->next != TIS_NO_LOCALITY || registers->aborting != TIS_NO_LOCALITY)) {
        return wrong(error, "next: it waits for no command");
    }
    return true;
}

/* Locality 4 has the device in a hash sequence, and at no other time. */
static bool check_hash(const TIS *tis, const TISRegisters *registers,
                       const TPMSavedRequest *request, GError **error)
{
    bool hashing = request->hash != HASH_NONE;

    if (registers->hashing != hashing || (hashing && !tis->drtm) ||
        hashing != (registers->active == 4)) {
        return wrong(error, "hashing");
    }
    return true;
}

static bool check(const TIS *tis, const TISRegisters *registers, const TPMSavedRequest *request,
                  GError **error)
{
    if (!is_locality_or_none(registers->active)) {
        return wrong(error, "active");
    }
    for (uint8_t i = 0; i < TIS_LOCALITIES; i++) {
        if (!check_locality(tis, registers, i, error)) {
            return false;
        }
    }
    return check_fifo(tis, registers, error) && check_command(registers, request, error) &&
           check_hash(tis, registers, request, error);
}

void *tis_parse(const void *model, TPMStateReader *reader, const TPMSavedRequest *request,
                GError **error)
{
    GVariant *content = tpm_state_reader_section(reader, SECTION, VERSION, TYPE, error);
    g_autofree TISRegisters *registers = g_new0(TISRegisters, 1);

    if (!content || !read_localities(content, registers, error)) {
        return NULL;
    }
    read_registers(content, registers);
    return check(model, registers, request, error) ? g_steal_pointer(&registers) : NULL;
}

void tis_restore(void *model, const void *saved)
{
    tis_set(model, saved);
}
