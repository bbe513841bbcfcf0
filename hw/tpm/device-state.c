/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving a device and loading it again; see <tpmdev/state.h> and docs/state-format.rst.
 *
 * A stream is read and checked wholly, by those who know its sections, before the TPM is given its
 * part; and only when the TPM has taken that is anything else changed. So a load that fails has
 * changed nothing.
 *
 * Neighbours: device-properties.c, request-state.c and the front ends' state have the other
 * sections; move.c holds the device, and has the TPM do its part.
 */
#include "device-internal.h"
#include "guest-memory.h"

#include <string.h>
#include <tpmdev/state.h>

/* ---- the physical presence memory: section `ppi` ---- */

#define PPI_SECTION      "ppi"
#define PPI_VERSION      1u
#define PPI_TYPE         "(ay)"
#define PPI_FIELD_MEMORY 0u

static void save_ppi(const TPMDevice *device, TPMStateWriter *writer)
{
    uint8_t memory[TPM_PPI_SIZE];

    tpm_guest_read(memory, device->ppi.memory, sizeof(memory));
    tpm_state_writer_add(writer, PPI_SECTION, PPI_VERSION,
                         g_variant_new("(@ay)", tpm_state_bytes(memory, sizeof(memory))));
}

static bool parse_ppi(TPMStateReader *reader, const uint8_t **memory, GError **error)
{
    GVariant *content = tpm_state_reader_section(reader, PPI_SECTION, PPI_VERSION, PPI_TYPE, error);
    size_t size;

    if (!content) {
        return false;
    }
    *memory = tpm_state_get_bytes(content, PPI_FIELD_MEMORY, &size);
    return size == TPM_PPI_SIZE || tpm_state_field_wrong(error, PPI_SECTION, "memory");
}

/* ---- the TPM: section `tpm` ---- */

#define TPM_SECTION         "tpm"
#define TPM_SECTION_VERSION 1u
#define TPM_TYPE            "(ssb(uay)(uay)(uay))"

/* The fields of TPM_TYPE that are not read as text or numbers. */
enum { TPM_FIELD_PERMANENT = 3, TPM_FIELD_VOLATILE = 4, TPM_FIELD_SAVED = 5 };
static const char *const tpm_blob_names[] = {
    [TPM_FIELD_PERMANENT] = "permanent",
    [TPM_FIELD_VOLATILE] = "volatile",
    [TPM_FIELD_SAVED] = "saved",
};

static GVariant *blob(const TPMStateBlob *part)
{
    return g_variant_new("(u@ay)", part->flags, tpm_state_bytes(part->data, part->size));
}

static void save_tpm(const TPMDevice *device, const TPMState *state, TPMStateWriter *writer)
{
    tpm_state_writer_add(writer, TPM_SECTION, TPM_SECTION_VERSION,
                         g_variant_new("(ssb@(uay)@(uay)@(uay))",
                                       tpm_backend_get_state_type(device->backend), state->writer,
                                       device->established, blob(&state->permanent),
                                       blob(&state->volatile_state), blob(&state->saved)));
}

static bool parse_blob(GVariant *content, size_t field, TPMStateBlob *part, GError **error)
{
    g_autoptr(GVariant) value = g_variant_get_child_value(content, field);

    part->data = tpm_state_get_bytes(value, 1, &part->size);
    g_variant_get(value, "(u@*)", &part->flags, NULL);
    if (part->size == 0) {
        part->data = NULL;
    }
    return part->size <= TPM_STATE_BLOB_SIZE_MAX ||
           tpm_state_field_wrong(error, TPM_SECTION, tpm_blob_names[field]);
}

static bool parse_tpm(const TPMDevice *device, TPMStateReader *reader, TPMState *state,
                      bool *established, GError **error)
{
    GVariant *content =
        tpm_state_reader_section(reader, TPM_SECTION, TPM_SECTION_VERSION, TPM_TYPE, error);
    const char *own_type = tpm_backend_get_state_type(device->backend);
    const char *type;
    gboolean flag;

    if (!content) {
        return false;
    }
    *state = (TPMState){ .size = sizeof(*state) };
    g_variant_get(content, "(&s&sb@*@*@*)", &type, &state->writer, &flag, NULL, NULL, NULL);
    *established = flag;
    if (strcmp(type, own_type) != 0) {
        g_autofree char *shown = tpm_state_shown(type);

        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "saved TPM device state is that of a TPM of type %s and the TPM backend "
                    "'%s' is of type %s",
                    shown, tpmdev_backend_get_id(device->backend), own_type);
        return false;
    }
    if (!tpm_state_writer_check(state->writer)) {
        return tpm_state_field_wrong(error, TPM_SECTION, "writer");
    }
    return parse_blob(content, TPM_FIELD_PERMANENT, &state->permanent, error) &&
           parse_blob(content, TPM_FIELD_VOLATILE, &state->volatile_state, error) &&
           parse_blob(content, TPM_FIELD_SAVED, &state->saved, error);
}

/* ---- save ---- */

static GBytes *write_stream(const TPMDevice *device, GError **error)
{
    TPMStateWriter *writer = tpm_state_writer_new();

    tpm_device_properties_save(device, writer);
    tpm_request_save(device, writer);
    device->frontend->save(device->model, writer);
    if (device->ppi.address) {
        save_ppi(device, writer);
    }
    save_tpm(device, device->move.saved, writer);
    return tpm_state_writer_end(writer, error);
}

GBytes *tpmdev_device_save(TPMDevice *device, int64_t timeout_ns, GError **error)
{
    int64_t deadline_us = tpm_device_deadline_us(timeout_ns);
    TPMRequest *request = &device->request;
    GBytes *stream = NULL;

    if (!tpmdev_device_can_migrate(device, error) || !tpm_move_begin(device, error)) {
        return NULL;
    }
    if (tpm_move_run(device, &(TPMTransfer){ .sequence = request->hash.tpm_open }, deadline_us,
                     error)) {
        stream = write_stream(device, error);
        request->was_saved = true;
    }
    tpm_move_end(device, stream != NULL);
    return stream;
}

/* ---- load ---- */

typedef struct Saved {
    TPMSavedRequest request;
    void *model; /* of the front end */
    const uint8_t *ppi;
    TPMState tpm;
    bool established;
} Saved;

static void saved_clear(Saved *saved)
{
    g_free(saved->model);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Saved, saved_clear)

/* All of a stream, checked; it stays the reader's. */
static bool parse(const TPMDevice *device, TPMStateReader *reader, Saved *saved, GError **error)
{
    if (!tpm_device_properties_check(device, reader, error) ||
        !tpm_request_parse(device, reader, &saved->request, error)) {
        return false;
    }
    saved->model = device->frontend->parse(device->model, reader, &saved->request, error);
    return saved->model && (!device->ppi.address || parse_ppi(reader, &saved->ppi, error)) &&
           parse_tpm(device, reader, &saved->tpm, &saved->established, error) &&
           tpm_state_reader_check_used(reader, error);
}

/* With the lock held; cannot fail. */
static void restore(TPMDevice *device, const Saved *saved)
{
    device->restoring = true;
    tpm_request_restore(device, &saved->request);
    device->frontend->restore(device->model, saved->model);
    tpm_irq_restored(&device->irq);
    device->restoring = false;
    if (saved->ppi) {
        tpm_guest_write(device->ppi.memory, saved->ppi, TPM_PPI_SIZE);
    }
    g_clear_error(&device->request.start_error);
    device->request.was_saved = false;
}

gboolean tpmdev_device_load(TPMDevice *device, GBytes *state, int64_t timeout_ns, GError **error)
{
    int64_t deadline_us = tpm_device_deadline_us(timeout_ns);
    g_auto(Saved) saved = { 0 };

    if (!tpm_backend_can_save(device->backend, error)) {
        return FALSE;
    }
    g_autoptr(TPMStateReader) reader = tpm_state_reader_new(state, error);

    if (!reader || !parse(device, reader, &saved, error)) {
        return FALSE;
    }
    TPMTransfer transfer = { &saved.tpm, saved.established, saved.request.tpm_open };

    if (!tpm_move_begin(device, error)) {
        return FALSE;
    }
    bool loaded = tpm_move_run(device, &transfer, deadline_us, error);

    if (loaded) {
        restore(device, &saved);
    }
    tpm_move_end(device, loaded);
    return loaded;
}
