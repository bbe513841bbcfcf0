/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TPM's own state on its way out of one TPM and into another: the rows "save", "load" and
 * "resume" of the table in <tpmdev/backend.h>, and their answers.
 *
 * What is under way here is no guest's: a hypervisor whose guest stands still waits for it. From
 * hw/tpm/device-state.c to the functions of a TPMBackendClass, and back by way of backend.c.
 */
#include "backend-private.h"
#include "state-crypt.h"

#include <string.h>

/* ---- a state, copied ---- */

static bool blob_check(const TPMStateBlob *blob)
{
    return blob->size <= TPM_STATE_BLOB_SIZE_MAX && !blob->data == (blob->size == 0);
}

/* It stands in messages: nothing in it leads a terminal or a log astray. */
bool tpm_state_writer_check(const char *writer)
{
    if (!writer || strlen(writer) > TPM_STATE_WRITER_MAX || !g_utf8_validate(writer, -1, NULL)) {
        return false;
    }
    for (const char *at = writer; *at; at = g_utf8_next_char(at)) {
        if (!g_unichar_isprint(g_utf8_get_char(at))) {
            return false;
        }
    }
    return true;
}

/* What of it cannot be, or NULL. */
static const char *state_check(const TPMState *state)
{
    return state->size < sizeof(TPMState)           ? "size"
           : !blob_check(&state->permanent)         ? "permanent"
           : !blob_check(&state->volatile_state)    ? "volatile_state"
           : !blob_check(&state->saved)             ? "saved"
           : !tpm_state_writer_check(state->writer) ? "writer"
                                                    : NULL;
}

static void copy_blob(TPMStateBlob *blob, uint8_t **end)
{
    if (blob->size > 0) {
        memcpy(*end, blob->data, blob->size);
        blob->data = *end;
        *end += blob->size;
    }
}

static size_t blobs_size(const TPMState *state)
{
    return state->permanent.size + state->volatile_state.size + state->saved.size;
}

TPMState *tpm_state_copy(const TPMState *state)
{
    size_t writer_size = strlen(state->writer) + 1;
    size_t size = blobs_size(state);
    TPMState *copy = g_malloc(sizeof(*copy) + size + writer_size);
    uint8_t *end = (uint8_t *)(copy + 1);

    *copy = *state;
    copy->size = sizeof(*copy);
    copy_blob(&copy->permanent, &end);
    copy_blob(&copy->volatile_state, &end);
    copy_blob(&copy->saved, &end);
    copy->writer = memcpy(end, state->writer, writer_size);
    return copy;
}

TPMState *tpm_state_free(TPMState *copy)
{
    if (copy) {
        tpm_state_wipe(copy + 1, blobs_size(copy));
        g_free(copy);
    }
    return NULL;
}

/* ---- the tpmEstablished flag ---- */

void tpm_backend_update_established(TPMBackend *backend)
{
    bool established = backend->tpm_established || backend->kept_established;

    if (backend->established != established) {
        backend->established = established;
        backend->news |= NEWS_ESTABLISHED;
    }
}

bool tpm_backend_get_established(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    bool established = backend->established;
    g_mutex_unlock(&backend->lock);
    return established;
}

/* ---- whose it is ---- */

void tpm_backend_set_state_owner(TPMBackend *backend, const TPMBackend *owner)
{
    backend->state_owner = owner;
}

static const TPMBackend *state_owner(const TPMBackend *backend)
{
    while (backend->state_owner) {
        backend = backend->state_owner;
    }
    return backend;
}

const char *tpm_backend_get_state_type(const TPMBackend *backend)
{
    return state_owner(backend)->klass->type;
}

bool tpm_backend_moves_sequence(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    BackendState state = backend->moving_in ? backend->moved_to : backend->moved_from;
    g_mutex_unlock(&backend->lock);
    return state == BACKEND_OPEN;
}

/* ---- the device side of the table ---- */

bool tpm_backend_can_save(const TPMBackend *backend, GError **error)
{
    backend = state_owner(backend);
    if (TPM_CLASS_HAS(backend->klass, save) && TPM_CLASS_HAS(backend->klass, load)) {
        return true;
    }
    /* A class that has no way to do it may know why. */
    if (!TPM_CLASS_HAS(backend->klass, can_migrate) ||
        backend->klass->can_migrate(backend->self, error)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "TPM backend '%s' of type %s cannot hand out its TPM's state", backend->id,
                    backend->klass->type);
    }
    return false;
}

/* What speaks against it is heard first. */
gboolean tpmdev_backend_can_migrate(TPMBackend *backend, GError **error)
{
    if (TPM_CLASS_HAS(backend->klass, can_migrate) &&
        !backend->klass->can_migrate(backend->self, error)) {
        return FALSE;
    }
    return tpm_backend_can_save(backend, error);
}

void tpm_backend_forget_move(TPMBackend *backend)
{
    backend->saved = tpm_state_free(backend->saved);
    g_clear_error(&backend->move_error);
}

/* Called with the lock held: the outcome is this error. */
static void refuse(TPMBackend *backend, GError *error)
{
    tpm_backend_forget_move(backend);
    backend->move_error = error;
    backend->news |= NEWS_MOVED;
}

void tpm_backend_move_failed(TPMBackend *backend, const GError *error)
{
    refuse(backend, g_error_copy(error));
}

/* Why the state cannot be saved, or NULL. With the lock held. */
static const char *save_obstacle(const TPMBackend *backend, bool sequence)
{
    if (backend->state == BACKEND_STOPPED) {
        return "has not been started: there is no state of its TPM to be saved before "
               "tpmdev_device_resume() or tpmdev_device_load()";
    }
    if (backend->state == BACKEND_FAILED) {
        return "has failed; the state of its TPM cannot be saved";
    }
    if (sequence != (backend->state == BACKEND_OPEN)) {
        return "has failed within a D-RTM measurement; end that before its state is saved";
    }
    return NULL;
}

void tpm_backend_save_state(TPMBackend *backend, bool sequence)
{
    tpm_backend_enter(backend);
    g_mutex_lock(&backend->lock);
    g_assert(!tpm_backend_is_busy(backend));
    const char *obstacle = save_obstacle(backend, sequence);

    if (obstacle) {
        refuse(backend, g_error_new(TPMDEV_ERROR, TPM_ERROR_TPM, "TPM backend '%s' %s", backend->id,
                                    obstacle));
        tpm_backend_tell_and_unlock(backend);
    } else {
        backend->moving_in = false;
        backend->moved_from = backend->state;
        backend->state = BACKEND_MOVING;
        g_mutex_unlock(&backend->lock);
        backend->klass->save(backend->self);
    }
    tpm_backend_leave(backend);
}

void tpm_backend_load_state(TPMBackend *backend, size_t buffer_size, const TPMState *state,
                            bool established, bool sequence)
{
    tpm_backend_enter(backend);
    g_mutex_lock(&backend->lock);
    g_assert(!tpm_backend_is_busy(backend));
    backend->moving_in = true;
    backend->moved_from = backend->state;
    backend->moved_to = sequence ? BACKEND_OPEN : BACKEND_READY;
    backend->moved_established = established;
    backend->state = BACKEND_MOVING;
    backend->buffer_size = MIN(buffer_size, backend->tpm_buffer_size);
    backend->moved_first = backend->cycle_first;
    backend->cycle_first = ++backend->cycle;
    buffer_size = backend->buffer_size;
    g_mutex_unlock(&backend->lock);
    backend->klass->load(backend->self, buffer_size, state);
    tpm_backend_leave(backend);
}

void tpm_backend_resume(TPMBackend *backend)
{
    if (TPM_CLASS_HAS(backend->klass, resume)) {
        tpm_backend_enter(backend);
        backend->klass->resume(backend->self);
        tpm_backend_leave(backend);
    }
}

/* ---- the backend side of the table ---- */

/* With the lock held. Is there a save() or load() to answer? */
static bool is_moving(const TPMBackend *backend)
{
    switch (backend->state) {
    case BACKEND_MOVING:
        return true;
    case BACKEND_STOPPED:
    case BACKEND_STARTING:
    case BACKEND_READY:
    case BACKEND_EXECUTING:
    case BACKEND_OPEN:
    case BACKEND_HASHING:
    case BACKEND_FAILED:
        break;
    }
    return false;
}

void tpmdev_backend_saved(TPMBackend *backend, const TPMState *state)
{
    g_mutex_lock(&backend->lock);
    if (is_moving(backend) && !backend->moving_in) {
        const char *wrong = state_check(state);

        backend->state = backend->moved_from;
        if (!wrong) {
            tpm_backend_forget_move(backend);
            backend->saved = tpm_state_copy(state);
            backend->news |= NEWS_MOVED;
        } else {
            refuse(backend,
                   g_error_new(TPMDEV_ERROR, TPM_ERROR_PROTOCOL,
                               "TPM backend '%s' handed out a TPMState whose %s cannot be: a part "
                               "has at most %u bytes, and data where it has any; the writer at "
                               "most %u, all printable",
                               backend->id, wrong, TPM_STATE_BLOB_SIZE_MAX, TPM_STATE_WRITER_MAX));
        }
    }
    tpm_backend_tell_and_unlock(backend);
}

void tpmdev_backend_loaded(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    if (is_moving(backend) && backend->moving_in) {
        tpm_backend_forget_move(backend);
        backend->state = backend->moved_to;
        backend->link = TPM_LINK_CONNECTED;
        backend->hash_lost = false;
        backend->kept_established = backend->moved_established;
        tpm_backend_update_established(backend);
        backend->news |= NEWS_MOVED;
    }
    tpm_backend_tell_and_unlock(backend);
}

void tpmdev_backend_refused(TPMBackend *backend, const GError *error)
{
    g_mutex_lock(&backend->lock);
    if (is_moving(backend)) {
        backend->state = backend->moved_from;
        if (backend->moving_in) {
            backend->cycle_first = backend->moved_first;
        }
        refuse(backend, g_error_copy(error));
    }
    tpm_backend_tell_and_unlock(backend);
}
