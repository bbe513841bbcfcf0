/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a CRB device is saved and restored: the section `crb` (docs/state-format.rst).
 *
 * What a stream says is held against all that crb.c, crb-locality.c and crb-chunk.c rely on,
 * before any of it is believed. The buffer is saved whole, for the guest can read all of it, also
 * where it is a page the host has mapped. Beside crb.c, whose crb_set() is the way to a state, be
 * it that of a reset or one that was saved.
 */
#include "crb.h"
#include "guest-memory.h"

#include <string.h>

#define SECTION "crb"
#define VERSION 1u
#define TYPE    "(ybyyyyya(buuu)ayyttay)"

/* The fields of TYPE that are not read as numbers. */
#define FIELD_LOCALITIES 7u
#define FIELD_WINDOW     8u
#define FIELD_DATA       12u

#define LOC_STS_SAVED (CRB_LOC_STS_GRANTED | CRB_LOC_STS_BEEN_SEIZED)

/* ---- saving ---- */

/* Bytes behind the window that a guest can still come to. */
static size_t data_size(const CRBChunk *chunk)
{
    switch (chunk->content) {
    case CRB_CHUNK_NOTHING:
        break;
    case CRB_CHUNK_COMMAND:
        return chunk->done;
    case CRB_CHUNK_RESPONSE:
        return chunk->size;
    }
    return 0;
}

static void add_localities(const CRB *crb, GVariantBuilder *localities)
{
    g_variant_builder_init(localities, G_VARIANT_TYPE("a(buuu)"));
    for (unsigned i = 0; i < crb->localities; i++) {
        const CRBLocality *loc = &crb->locality[i];

        g_variant_builder_add(localities, "(buuu)", loc->requested, loc->sts, loc->int_enable,
                              loc->int_sts);
    }
}

void crb_save(const void *model, TPMStateWriter *writer)
{
    const CRB *crb = model;
    const CRBChunk *chunk = &crb->chunk;
    g_autofree uint8_t *window = g_malloc(crb->window);
    GVariantBuilder localities;

    tpm_guest_read(window, crb->buffer, crb->window);
    add_localities(crb, &localities);
    tpm_state_writer_add(
        writer, SECTION, VERSION,
        g_variant_new("(ybyyyyya(buuu)@ayytt@ay)", crb->state, crb->idle, crb->active, crb->owner,
                      crb->command_locality, crb->next, crb->unsetting, &localities,
                      tpm_state_bytes(window, crb->window), chunk->content, (guint64)chunk->size,
                      (guint64)chunk->done, tpm_state_bytes(chunk->data, data_size(chunk))));
}

/* ---- reading ---- */

static bool wrong(GError **error, const char *field)
{
    return tpm_state_field_wrong(error, SECTION, field);
}

static bool read_localities(const CRB *crb, GVariant *content, CRBRegisters *registers,
                            GError **error)
{
    g_autoptr(GVariant) localities = g_variant_get_child_value(content, FIELD_LOCALITIES);

    if (g_variant_n_children(localities) != crb->localities) {
        return wrong(error, "localities: there are more or fewer");
    }
    for (unsigned i = 0; i < crb->localities; i++) {
        CRBLocality *loc = &registers->locality[i];
        gboolean requested;

        g_variant_get_child(localities, i, "(buuu)", &requested, &loc->sts, &loc->int_enable,
                            &loc->int_sts);
        loc->requested = requested;
    }
    return true;
}

static bool read_registers(const CRB *crb, GVariant *content, CRBRegisters *registers,
                           GError **error)
{
    guint8 state, chunk_content;
    guint64 chunk_size, chunk_done;
    gboolean idle;
    size_t window_size;

    g_variant_get(content, "(ybyyyyy@*@*ytt@*)", &state, &idle, &registers->active,
                  &registers->owner, &registers->command_locality, &registers->next,
                  &registers->unsetting, NULL, NULL, &chunk_content, &chunk_size, &chunk_done,
                  NULL);
    registers->state = (CRBState)state;
    registers->idle = idle;
    registers->content = (CRBChunkContent)chunk_content;
    registers->chunk_size = (size_t)MIN(chunk_size, SIZE_MAX);
    registers->chunk_done = (size_t)MIN(chunk_done, SIZE_MAX);
    registers->window = tpm_state_get_bytes(content, FIELD_WINDOW, &window_size);
    registers->data = tpm_state_get_bytes(content, FIELD_DATA, &registers->data_size);
    if (state > CRB_COMPLETION) {
        return wrong(error, "state");
    }
    if (chunk_content > CRB_CHUNK_RESPONSE) {
        return wrong(error, "chunk-content");
    }
    return window_size == crb->window || wrong(error, "buffer");
}

/* ---- checking ---- */

static bool is_locality(const CRB *crb, uint8_t locality)
{
    return locality < crb->localities;
}

static bool is_locality_or_none(const CRB *crb, uint8_t locality)
{
    return is_locality(crb, locality) || locality == CRB_NO_LOCALITY;
}

static bool check_locality(const CRB *crb, const CRBRegisters *registers, uint8_t locality,
                           GError **error)
{
    const CRBLocality *loc = &registers->locality[locality];
    uint32_t interrupts = crb->interrupts ? CRB_INT_ENABLE_WRITABLE : 0;

    if (loc->sts & ~LOC_STS_SAVED ||
        !!(loc->sts & CRB_LOC_STS_GRANTED) != (registers->active == locality)) {
        return wrong(error, "loc-sts of a locality");
    }
    if (loc->int_enable & ~interrupts || loc->int_sts & ~(interrupts & CRB_INT_SOURCES)) {
        return wrong(error, "interrupts of a locality");
    }
    return true;
}

/* idle is what was last asked for, and the state is that of an idle device or of another. */
static bool check_state(const CRBRegisters *registers, GError **error)
{
    bool good = true;

    switch (registers->state) {
    case CRB_IDLE:
        good = registers->idle;
        break;
    case CRB_READY:
    case CRB_RECEPTION:
    case CRB_COMPLETION:
        good = !registers->idle;
        break;
    case CRB_EXECUTION:
        break;
    }
    return good || wrong(error, "state or idle");
}

/* A command that executes is one the request has, and who waits for its end waits for one. */
static bool check_command(const CRB *crb, const CRBRegisters *registers,
                          const TPMSavedRequest *request, GError **error)
{
    bool executing = registers->state == CRB_EXECUTION;
    uint8_t locality = registers->command_locality;

    if (executing != request->waits ||
        (executing && (!is_locality(crb, locality) || request->locality != locality))) {
        return wrong(error, "state: the command under way is another one");
    }
    if (registers->next != CRB_NO_LOCALITY && (!executing || registers->next == locality)) {
        return wrong(error, "next: it waits for no command");
    }
    return true;
}

static bool check_chunk(const CRB *crb, const CRBRegisters *registers, GError **error)
{
    size_t size = registers->chunk_size, done = registers->chunk_done;
    bool good = false;

    switch (registers->content) {
    case CRB_CHUNK_NOTHING:
        good = size == 0 && done == 0 && registers->data_size == 0;
        break;
    case CRB_CHUNK_COMMAND:
        good = registers->data_size == done;
        break;
    case CRB_CHUNK_RESPONSE:
        good = registers->data_size == size;
        break;
    }
    good = good && (crb->chunk.data || registers->content == CRB_CHUNK_NOTHING) && done <= size &&
           size <= crb->chunk.capacity &&
           (registers->content == CRB_CHUNK_NOTHING || registers->state != CRB_EXECUTION);
    return good || wrong(error, "chunk");
}

static bool check(const CRB *crb, const CRBRegisters *registers, const TPMSavedRequest *request,
                  GError **error)
{
    if (!is_locality_or_none(crb, registers->active) || !is_locality(crb, registers->owner) ||
        !is_locality_or_none(crb, registers->command_locality) ||
        !is_locality_or_none(crb, registers->next) ||
        !is_locality_or_none(crb, registers->unsetting)) {
        return wrong(error, "active, owner, command-locality, next or unsetting");
    }
    for (uint8_t i = 0; i < crb->localities; i++) {
        if (!check_locality(crb, registers, i, error)) {
            return false;
        }
    }
    return check_state(registers, error) && check_command(crb, registers, request, error) &&
           check_chunk(crb, registers, error);
}

void *crb_parse(const void *model, TPMStateReader *reader, const TPMSavedRequest *request,
                GError **error)
{
    const CRB *crb = model;
    GVariant *content = tpm_state_reader_section(reader, SECTION, VERSION, TYPE, error);
    g_autofree CRBRegisters *registers = g_new0(CRBRegisters, 1);

    if (!content || !read_localities(crb, content, registers, error) ||
        !read_registers(crb, content, registers, error) || !check(crb, registers, request, error)) {
        return NULL;
    }
    return g_steal_pointer(&registers);
}

void crb_restore(void *model, const void *saved)
{
    crb_set(model, saved);
}
