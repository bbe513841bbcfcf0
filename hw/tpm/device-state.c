/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving a device and loading it again; see <tpmdev/state.h> and docs/state-format.rst.
 *
 * A stream is read and checked wholly, by those who know its sections, before the TPM is given its
 * part; and only when the TPM has taken that is anything else changed. So a load that fails has
 * changed nothing.
 *
 * Beside the request path: while the device is held, request.c sends nothing, and the TPM does
 * what is asked of it here. Neighbours: request-state.c and the front ends' state; ready.c waits;
 * backends/tpm/backend-state.c has the TPM's part.
 */
#include "device-internal.h"
#include "guest-memory.h"

#include <string.h>
#include <tpmdev/state.h>

/* ---- what a device is, in names and numbers: section `device` ---- */

#define DEVICE_SECTION          "device"
#define DEVICE_VERSION          1u
#define DEVICE_TYPE             "(sa(st))"
#define DEVICE_FIELD_PROPERTIES 1u

#define PROPERTIES_MAX       16u
#define TPM_VERSION_PROPERTY "tpm-version"

typedef struct Property {
    const char *name;
    uint64_t value;
} Property;

typedef struct Properties {
    Property property[PROPERTIES_MAX];
    size_t n;
} Properties;

static void add(Properties *properties, const char *name, uint64_t value)
{
    g_assert(properties->n < PROPERTIES_MAX);
    properties->property[properties->n++] = (Property){ name, value };
}

/* All of the configuration that a guest can see, and nothing else. */
static void get_properties(const TPMDevice *device, Properties *properties)
{
    const TPMDeviceConfig *config = &device->config;

    properties->n = 0;
    add(properties, TPM_VERSION_PROPERTY, device->version);
    add(properties, "buffer-size", device->request.buffer_size);
    add(properties, "ppi-address", config->ppi_address);
    if (config->interface != TPM_INTERFACE_CRB && config->interface != TPM_INTERFACE_SPAPR) {
        add(properties, "selftest", config->selftest);
    }
    switch (config->interface) {
    case TPM_INTERFACE_TIS:
    case TPM_INTERFACE_TIS_SYSBUS:
        add(properties, "base", config->base);
        add(properties, "irq", config->irq);
        add(properties, "drtm", config->drtm);
        break;
    case TPM_INTERFACE_TIS_SPI:
        add(properties, "irq", config->irq);
        add(properties, "wait-states", config->wait_states);
        break;
    case TPM_INTERFACE_CRB:
        add(properties, "base", config->base);
        add(properties, "localities", config->localities);
        add(properties, "interrupts", config->interrupts);
        add(properties, "buffer-address", config->buffer_address);
        add(properties, "chunk", config->chunk);
        break;
    case TPM_INTERFACE_TIS_I2C:
    case TPM_INTERFACE_SPAPR:
        break;
    }
}

static void save_properties(const TPMDevice *device, TPMStateWriter *writer)
{
    GVariantBuilder builder;
    Properties properties;

    get_properties(device, &properties);
    g_variant_builder_init(&builder, G_VARIANT_TYPE("a(st)"));
    for (size_t i = 0; i < properties.n; i++) {
        g_variant_builder_add(&builder, "(st)", properties.property[i].name,
                              properties.property[i].value);
    }
    tpm_state_writer_add(writer, DEVICE_SECTION, DEVICE_VERSION,
                         g_variant_new(DEVICE_TYPE, device->frontend->model, &builder));
}

static const char *version_name(uint64_t version)
{
    return version == TPM_VERSION_1_2 ? "1.2" : version == TPM_VERSION_2_0 ? "2.0" : NULL;
}

static bool mismatch(GError **error, const char *name, uint64_t saved, uint64_t own)
{
    if (strcmp(name, TPM_VERSION_PROPERTY) == 0 && version_name(saved)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "saved TPM device state is that of a TPM %s and this device has a TPM %s; "
                    "load it into one with a TPM %s",
                    version_name(saved), version_name(own), version_name(saved));
        return false;
    }
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                "saved TPM device state is that of a device with %s=%" G_GUINT64_FORMAT
                " and this one has %s=%" G_GUINT64_FORMAT "; make both the same",
                name, saved, name, own);
    return false;
}

static bool find_property(const Properties *properties, const char *name, uint64_t *value)
{
    for (size_t i = 0; i < properties->n; i++) {
        if (strcmp(properties->property[i].name, name) == 0) {
            *value = properties->property[i].value;
            return true;
        }
    }
    return false;
}

/* Read those there are; one this device has no use for would be missed by its guest. */
static bool read_properties(const Properties *own, GVariant *list, Properties *saved,
                            GError **error)
{
    if (g_variant_n_children(list) > PROPERTIES_MAX) {
        return tpm_state_field_wrong(error, DEVICE_SECTION, "properties");
    }
    for (gsize i = 0; i < g_variant_n_children(list); i++) {
        const char *name;
        guint64 value;
        uint64_t known;

        g_variant_get_child(list, i, "(&st)", &name, &value);
        if (!find_property(own, name, &known)) {
            g_autofree char *shown = tpm_state_shown(name);

            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                        "saved TPM device state is that of a device with a property '%s', "
                        "which this one does not have",
                        shown);
            return false;
        }
        add(saved, name, value);
    }
    return true;
}

/* A property that was not there when the state was saved is one that was off. */
static bool parse_properties(const TPMDevice *device, TPMStateReader *reader, GError **error)
{
    GVariant *content =
        tpm_state_reader_section(reader, DEVICE_SECTION, DEVICE_VERSION, DEVICE_TYPE, error);
    Properties own, saved = { .n = 0 };
    const char *model;

    if (!content) {
        return false;
    }
    g_variant_get(content, "(&s@*)", &model, NULL);
    if (strcmp(model, device->frontend->model) != 0) {
        g_autofree char *shown = tpm_state_shown(model);

        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "saved TPM device state is that of a %s and this device is a %s", shown,
                    device->frontend->model);
        return false;
    }
    g_autoptr(GVariant) list = g_variant_get_child_value(content, DEVICE_FIELD_PROPERTIES);

    get_properties(device, &own);
    if (!read_properties(&own, list, &saved, error)) {
        return false;
    }
    for (size_t i = 0; i < own.n; i++) {
        uint64_t value = 0;

        find_property(&saved, own.property[i].name, &value);
        if (value != own.property[i].value) {
            return mismatch(error, own.property[i].name, value, own.property[i].value);
        }
    }
    return true;
}

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

/* ---- holding, and waiting for the TPM ---- */

void tpm_move_begin(TPMMove *move)
{
    tpm_move_clear(move);
    move->wanted = true;
}

void tpm_move_ended(TPMMove *move, const TPMState *saved, const GError *error)
{
    if (move->wanted) {
        move->saved = saved ? tpm_state_copy(saved) : NULL;
        move->error = error ? g_error_copy(error) : NULL;
    }
}

void tpm_move_clear(TPMMove *move)
{
    move->saved = tpm_state_free(move->saved);
    g_clear_error(&move->error);
    move->wanted = false;
}

/* Is nothing with the TPM, and nobody at work? The device is held, so nothing follows. */
static bool is_quiet(const TPMDevice *device)
{
    const TPMRequest *request = &device->request;

    return request->busy == BUSY_NOT && !request->dispatching && !tpm_request_is_due(request) &&
           (!device->frontend->is_settled || device->frontend->is_settled(device->model));
}

static bool has_moved(const TPMDevice *device)
{
    return device->request.busy != BUSY_MOVING;
}

static bool timed_out(const TPMDevice *device, GError **error)
{
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT,
                "TPM backend '%s' has not ended what it is doing within the time given; nothing "
                "was saved or loaded",
                tpmdev_backend_get_id(device->backend));
    return false;
}

/* A TPM that answers too late is not what anybody takes it for. */
static bool loads_too_late(TPMDevice *device, GError **error)
{
    device->request.start_wanted = true;
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT,
                "TPM backend '%s' has not taken the saved state within the time given; once it has "
                "ended that, its TPM is started anew with the permanent state it then has, the "
                "saved one's or its former one",
                tpmdev_backend_get_id(device->backend));
    return false;
}

/* What the TPM is asked. */
typedef struct Transfer {
    const TPMState *state; /* NULL: to save */
    bool established;
    bool sequence;
} Transfer;

/* Called and returns with the lock held. As request.c calls the backend: one thread at a time. */
static void call_backend(TPMDevice *device, const Transfer *transfer)
{
    TPMRequest *request = &device->request;

    request->busy = BUSY_MOVING;
    request->dispatching = true;
    g_mutex_unlock(&device->lock);
    if (transfer->state) {
        tpm_backend_load_state(device->backend, request->buffer_size, transfer->state,
                               transfer->established, transfer->sequence);
    } else {
        tpm_backend_save_state(device->backend, transfer->sequence);
    }
    g_mutex_lock(&device->lock);
    request->dispatching = false;
}

/*
 * Have the TPM do it, when it has ended what it does. Called and returns with the lock held and the
 * device held. Where there is no time left for a load the TPM is not asked, and is what it was.
 */
static bool move(TPMDevice *device, const Transfer *transfer, int64_t deadline_us, GError **error)
{
    TPMMove *outcome = &device->move;

    if (!tpm_device_wait(device, is_quiet, deadline_us) ||
        (transfer->state && g_get_monotonic_time() >= deadline_us)) {
        return timed_out(device, error);
    }
    tpm_move_begin(outcome);
    call_backend(device, transfer);
    if (!tpm_device_wait(device, has_moved, deadline_us)) {
        tpm_move_clear(outcome);
        return transfer->state ? loads_too_late(device, error) : timed_out(device, error);
    }
    if (outcome->error) {
        g_propagate_error(error, g_steal_pointer(&outcome->error));
        return false;
    }
    return true;
}

/* ---- one save or load at a time ---- */

/*
 * The device is held from here on. Returns with the lock held, or false without it: two at once
 * would take each other's answers of the TPM, and a callback would wait for who called it.
 */
static bool begin(TPMDevice *device, GError **error)
{
    TPMMove *move = &device->move;

    if (tpm_device_is_calling_back()) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "the device of TPM backend '%s' cannot be saved or loaded from within a "
                    "callback of TPMHost; do it when that has returned",
                    tpmdev_backend_get_id(device->backend));
        return false;
    }
    g_mutex_lock(&device->lock);
    if (move->under_way) {
        g_mutex_unlock(&device->lock);
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "the device of TPM backend '%s' is being saved or loaded by another call; wait "
                    "until that has returned",
                    tpmdev_backend_get_id(device->backend));
        return false;
    }
    move->under_way = true;
    move->was_held = device->request.held;
    move->resume_asked = false;
    device->request.held = true;
    return true;
}

/* What is held is held no more, and the TPM is to hear of it if it has handed out its state. */
static void go_on(TPMRequest *request)
{
    request->held = false;
    request->resume_wanted |= request->was_saved;
    request->was_saved = false;
}

/* Called with the lock held, returns without it. */
static void end(TPMDevice *device, bool done)
{
    TPMMove *move = &device->move;

    move->under_way = false;
    tpm_move_clear(move);
    if (move->resume_asked || (!done && !move->was_held)) {
        go_on(&device->request);
    }
    tpm_device_leave(device);
}

/* ---- save ---- */

static GBytes *write_stream(const TPMDevice *device, GError **error)
{
    TPMStateWriter *writer = tpm_state_writer_new();

    save_properties(device, writer);
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

    if (!tpmdev_device_can_migrate(device, error) || !begin(device, error)) {
        return NULL;
    }
    if (move(device, &(Transfer){ .sequence = request->hash.tpm_open }, deadline_us, error)) {
        stream = write_stream(device, error);
        request->was_saved = true;
    }
    end(device, stream != NULL);
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
    if (!parse_properties(device, reader, error) ||
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
    Transfer transfer = { &saved.tpm, saved.established, saved.request.tpm_open };

    if (!begin(device, error)) {
        return FALSE;
    }
    bool loaded = move(device, &transfer, deadline_us, error);

    if (loaded) {
        restore(device, &saved);
    }
    end(device, loaded);
    return loaded;
}

void tpmdev_device_resume(TPMDevice *device)
{
    g_mutex_lock(&device->lock);
    if (device->move.under_way) {
        device->move.resume_asked = true; /* what is saved is not to change halfway through */
    } else {
        go_on(&device->request);
    }
    tpm_device_leave(device);
}
