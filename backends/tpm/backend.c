/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMBackend: stage 4 of 6. Holds every backend to the state × call table of
 * <tpmdev/backend.h>, keeps the bytes of the command under way, and checks what comes back.
 *
 * From hw/tpm/request.c (stage 3), to the functions of a TPMBackendClass; what those answer goes
 * by backend-news.c back to hw/tpm/request.c (stage 5).
 *
 * One lock, a leaf: it is held to look at the state and to change it, never while a class or a
 * client is called.
 */
#include "backend-private.h"
#include "command.h"

#include <string.h>

/* ---- life ---- */

/* A program built before there was the member has none. */
static bool info_hashing(const TPMBackendInfo *info)
{
    return info->size >= offsetof(TPMBackendInfo, hashing) + sizeof(info->hashing) && info->hashing;
}

static bool backend_new_check(const TPMBackendClass *klass, const char *id,
                              const TPMBackendInfo *info, GError **error)
{
    const char *wrong = NULL;

    if (!TPM_CLASS_HAS(klass, start) || !TPM_CLASS_HAS(klass, submit) ||
        !TPM_CLASS_HAS(klass, destroy) || !TPM_CLASS_HAS(klass, type)) {
        wrong = "the class lacks a type, start(), submit() or destroy()";
    } else if (!id || !*id) {
        wrong = "the id is empty; give the backend a name";
    } else if (info->version != TPM_VERSION_1_2 && info->version != TPM_VERSION_2_0) {
        wrong = "the version is neither TPM_VERSION_1_2 nor TPM_VERSION_2_0";
    } else if (info->buffer_size < TPM_BUFFER_SIZE_MIN) {
        wrong = "the buffer size is below TPM_BUFFER_SIZE_MIN";
    } else if (info_hashing(info) && !TPM_CLASS_HAS(klass, hash)) {
        wrong = "the info says that it can hash, and the class lacks hash()";
    }
    if (wrong) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM backend: %s", wrong);
    }
    return !wrong;
}

TPMBackend *tpmdev_backend_new(const TPMBackendClass *klass, const char *id,
                               const TPMBackendInfo *info, void *self, GError **error)
{
    if (!backend_new_check(klass, id, info, error)) {
        return NULL;
    }
    TPMBackend *backend = g_new0(TPMBackend, 1);

    g_atomic_ref_count_init(&backend->refs);
    backend->klass = klass;
    backend->self = self;
    backend->id = g_strdup(id);
    backend->version = info->version;
    backend->tpm_buffer_size = MIN(info->buffer_size, TPM_BUFFER_SIZE_MAX);
    backend->command_data = g_malloc(backend->tpm_buffer_size);
    backend->response = g_malloc(backend->tpm_buffer_size);
    backend->can_hash = info_hashing(info);
    backend->hash_data = backend->can_hash ? g_malloc(TPM_HASH_CHUNK_MAX) : NULL;
    tpm_statistics_init(&backend->statistics, info->version);
    g_mutex_init(&backend->lock);
    g_cond_init(&backend->client_idle);
    return backend;
}

TPMBackend *tpmdev_backend_ref(TPMBackend *backend)
{
    g_atomic_ref_count_inc(&backend->refs);
    return backend;
}

TPMBackend *tpmdev_backend_unref(TPMBackend *backend)
{
    if (!backend || !g_atomic_ref_count_dec(&backend->refs)) {
        return NULL;
    }
    backend->klass->destroy(backend->self);
    g_mutex_clear(&backend->lock);
    g_cond_clear(&backend->client_idle);
    tpm_backend_release_context(backend->context, backend->own_context);
    tpm_backend_clear_errors(backend);
    tpm_statistics_clear(&backend->statistics);
    g_free(backend->hash_data);
    g_free(backend->command_data);
    g_free(backend->response);
    g_free(backend->id);
    g_free(backend);
    return NULL;
}

const char *tpmdev_backend_get_id(const TPMBackend *backend)
{
    return backend->id;
}

void *tpm_backend_get_self(const TPMBackend *backend, const TPMBackendClass *klass)
{
    return backend->klass == klass ? backend->self : NULL;
}

const char *tpmdev_backend_get_type(const TPMBackend *backend)
{
    return backend->klass->type;
}

TPMVersion tpmdev_backend_get_version(const TPMBackend *backend)
{
    return backend->version;
}

size_t tpmdev_backend_get_buffer_size(const TPMBackend *backend)
{
    return backend->tpm_buffer_size;
}

GMainContext *tpmdev_backend_get_context(TPMBackend *backend)
{
    return backend->context;
}

/* ---- the device side of the table ---- */

/* Every call of the class goes through here: news it brings may be told on this thread. */
void tpm_backend_enter(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    backend->caller = g_thread_self();
    g_mutex_unlock(&backend->lock);
}

void tpm_backend_leave(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    backend->caller = NULL;
    g_mutex_unlock(&backend->lock);
}

/* Has the class been asked for something it has not answered? With the lock held. */
bool tpm_backend_is_busy(const TPMBackend *backend)
{
    return backend->state == BACKEND_STARTING || backend->state == BACKEND_EXECUTING ||
           backend->state == BACKEND_HASHING || backend->state == BACKEND_MOVING;
}

void tpm_backend_start(TPMBackend *backend, size_t buffer_size)
{
    g_mutex_lock(&backend->lock);
    g_assert(!tpm_backend_is_busy(backend));
    backend->state = BACKEND_STARTING;
    backend->cycle_first = ++backend->cycle;
    backend->statistics.total.starts++;
    backend->hash_lost = false;
    backend->news &= ~(unsigned)NEWS_RECOVERED;
    backend->buffer_size = MIN(buffer_size, backend->tpm_buffer_size);
    buffer_size = backend->buffer_size;
    g_mutex_unlock(&backend->lock);

    tpm_backend_enter(backend);
    backend->klass->start(backend->self, buffer_size);
    tpm_backend_leave(backend);
}

/* Called with the lock held, in EXECUTING, STOPPED or FAILED: the command ends without a TPM. */
static void complete_with_failure_locked(TPMBackend *backend, GError *error)
{
    tpmdev_failure_response(backend->version, backend->response);
    backend->response_size = TPM_HEADER_SIZE;
    g_clear_error(&backend->response_error);
    backend->response_error = error;
    backend->news |= NEWS_COMPLETED;
}

void tpm_backend_load(TPMBackend *backend, uint8_t locality, const uint8_t *data, size_t size)
{
    g_assert(size <= backend->tpm_buffer_size);
    memcpy(backend->command_data, data, size);
    backend->command = (TPMCommand){ locality, size, backend->command_data };
}

void tpm_backend_sent_at(TPMBackend *backend, int64_t now_ns)
{
    backend->is_stamped = true;
    backend->stamp_ns = now_ns;
}

void tpm_backend_answered_at(TPMBackend *backend, int64_t now_ns)
{
    g_mutex_lock(&backend->lock);
    tpm_statistics_answered(&backend->statistics, now_ns);
    g_mutex_unlock(&backend->lock);
}

void tpm_backend_submit(TPMBackend *backend, bool linger)
{
    g_mutex_lock(&backend->lock);
    g_assert(!tpm_backend_is_busy(backend) && backend->state != BACKEND_OPEN);
    backend->caller = g_thread_self();
    if (backend->state == BACKEND_READY) {
        backend->state = BACKEND_EXECUTING;
        tpm_statistics_sent(&backend->statistics, tpm_header_code(backend->command.data),
                            backend->is_stamped, backend->stamp_ns);
        backend->is_stamped = false;
        g_mutex_unlock(&backend->lock);
        backend->klass->submit(backend->self, &backend->command, linger);
    } else {
        backend->is_stamped = false;
        backend->statistics.total.unsent_commands++;
        complete_with_failure_locked(backend, g_error_new(TPMDEV_ERROR, TPM_ERROR_TPM,
                                                          "TPM backend '%s' has failed; the "
                                                          "command was not sent",
                                                          backend->id));
        tpm_backend_deliver_locked(backend);
        g_mutex_unlock(&backend->lock);
    }
    tpm_backend_leave(backend);
}

bool tpm_backend_can_hash(const TPMBackend *backend)
{
    return backend->can_hash;
}

void tpm_backend_load_hash(TPMBackend *backend, TPMHashStep step, const uint8_t *data, size_t size)
{
    g_assert(backend->can_hash && size <= TPM_HASH_CHUNK_MAX);
    g_assert((step == TPM_HASH_DATA) == (size > 0));
    if (size > 0) {
        memcpy(backend->hash_data, data, size);
    }
    backend->hash_step = step;
    backend->hash_size = size;
}

/* Called with the lock held. The rows of a step in the table, but for "failure". */
static bool may_hash(const TPMBackend *backend)
{
    return backend->state == (backend->hash_step == TPM_HASH_START ? BACKEND_READY : BACKEND_OPEN);
}

void tpm_backend_hash(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    backend->caller = g_thread_self();
    if (backend->hash_step == TPM_HASH_START) {
        backend->hash_lost = false;
    }
    if (backend->state == BACKEND_STOPPED || backend->state == BACKEND_FAILED ||
        backend->hash_lost) {
        g_clear_error(&backend->hash_error);
        backend->hash_error = g_error_new(TPMDEV_ERROR, TPM_ERROR_TPM,
                                          "TPM backend '%s' has failed; the D-RTM measurement was "
                                          "not made",
                                          backend->id);
        backend->news |= NEWS_HASHED;
        tpm_backend_deliver_locked(backend);
        g_mutex_unlock(&backend->lock);
    } else {
        g_assert(may_hash(backend));
        backend->state = BACKEND_HASHING;
        g_mutex_unlock(&backend->lock);
        backend->klass->hash(backend->self, backend->hash_step,
                             backend->hash_size > 0 ? backend->hash_data : NULL,
                             backend->hash_size);
    }
    tpm_backend_leave(backend);
}

bool tpm_backend_can_linger(const TPMBackend *backend)
{
    return TPM_CLASS_HAS(backend->klass, poll) && TPM_CLASS_HAS(backend->klass, linger_end);
}

void tpm_backend_poll(TPMBackend *backend)
{
    tpm_backend_enter(backend);
    backend->klass->poll(backend->self);
    tpm_backend_leave(backend);
}

void tpm_backend_pump(TPMBackend *backend)
{
    if (TPM_CLASS_HAS(backend->klass, poll)) {
        tpm_backend_poll(backend);
    }
    g_mutex_lock(&backend->lock);
    tpm_backend_deliver_locked(backend);
    g_mutex_unlock(&backend->lock);
}

void tpm_backend_linger_end(TPMBackend *backend)
{
    tpm_backend_enter(backend);
    backend->klass->linger_end(backend->self);
    tpm_backend_leave(backend);
}

void tpm_backend_cancel(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    bool cancels = backend->state == BACKEND_EXECUTING && TPM_CLASS_HAS(backend->klass, cancel);

    backend->statistics.total.cancels += cancels;
    g_mutex_unlock(&backend->lock);

    if (cancels) {
        tpm_backend_enter(backend);
        backend->klass->cancel(backend->self);
        tpm_backend_leave(backend);
    }
}

void tpm_backend_reset_established(TPMBackend *backend, uint8_t locality)
{
    tpm_backend_enter(backend);
    g_mutex_lock(&backend->lock);
    backend->kept_established = false;
    tpm_backend_update_established(backend);
    tpm_backend_tell_and_unlock(backend);
    if (TPM_CLASS_HAS(backend->klass, reset_established)) {
        backend->klass->reset_established(backend->self, locality);
    }
    tpm_backend_leave(backend);
}

/* ---- the backend side of the table ---- */

/* The command under way ends without a response of the TPM. Called with the lock held. */
static void end_command_locked(TPMBackend *backend, GError *error)
{
    tpm_statistics_not_responded(&backend->statistics);
    tpm_statistics_error(&backend->statistics, error);
    complete_with_failure_locked(backend, error);
}

void tpmdev_backend_started(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    switch (backend->state) {
    case BACKEND_STARTING:
        backend->state = BACKEND_READY;
        backend->link = TPM_LINK_CONNECTED;
        backend->news |= NEWS_STARTED;
        break;
    case BACKEND_STOPPED:
    case BACKEND_READY:
    case BACKEND_EXECUTING:
    case BACKEND_OPEN:
    case BACKEND_HASHING:
    case BACKEND_MOVING:
    case BACKEND_FAILED:
        break;
    }
    tpm_backend_tell_and_unlock(backend);
}

void tpmdev_backend_complete(TPMBackend *backend, const void *response, size_t size)
{
    g_mutex_lock(&backend->lock);
    switch (backend->state) {
    case BACKEND_EXECUTING:
        backend->state = BACKEND_READY;
        if (tpm_response_check(response, size, backend->buffer_size)) {
            memcpy(backend->response, response, size);
            backend->response_size = size;
            backend->news |= NEWS_COMPLETED;
            tpm_statistics_responded(&backend->statistics, tpm_header_code(response));
        } else {
            end_command_locked(backend,
                               g_error_new(TPMDEV_ERROR, TPM_ERROR_PROTOCOL,
                                           "TPM backend '%s' answered with %zu bytes that are no "
                                           "response of at most %zu bytes",
                                           backend->id, size, backend->buffer_size));
        }
        break;
    case BACKEND_STOPPED:
    case BACKEND_STARTING:
    case BACKEND_READY:
    case BACKEND_OPEN:
    case BACKEND_HASHING:
    case BACKEND_MOVING:
    case BACKEND_FAILED:
        break;
    }
    tpm_backend_tell_and_unlock(backend);
}

void tpmdev_backend_complete_with_error(TPMBackend *backend, const GError *error)
{
    g_mutex_lock(&backend->lock);
    switch (backend->state) {
    case BACKEND_EXECUTING:
        backend->state = BACKEND_READY;
        end_command_locked(backend, g_error_copy(error));
        break;
    case BACKEND_STOPPED:
    case BACKEND_STARTING:
    case BACKEND_READY:
    case BACKEND_OPEN:
    case BACKEND_HASHING:
    case BACKEND_MOVING:
    case BACKEND_FAILED:
        break;
    }
    tpm_backend_tell_and_unlock(backend);
}

void tpmdev_backend_hashed(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    switch (backend->state) {
    case BACKEND_HASHING:
        backend->state = backend->hash_step == TPM_HASH_END ? BACKEND_READY : BACKEND_OPEN;
        backend->news |= NEWS_HASHED;
        break;
    case BACKEND_STOPPED:
    case BACKEND_STARTING:
    case BACKEND_READY:
    case BACKEND_EXECUTING:
    case BACKEND_OPEN:
    case BACKEND_MOVING:
    case BACKEND_FAILED:
        break;
    }
    tpm_backend_tell_and_unlock(backend);
}

/* Called with the lock held, releases it. */
static void failed_and_unlock(TPMBackend *backend, const GError *error)
{
    backend->statistics.total.failures += backend->state != BACKEND_FAILED;
    if (backend->state != BACKEND_EXECUTING) {
        tpm_statistics_error(&backend->statistics, error);
    }
    switch (backend->state) {
    case BACKEND_STARTING:
        g_clear_error(&backend->start_error);
        backend->start_error = g_error_copy(error);
        backend->news |= NEWS_STARTED;
        break;
    case BACKEND_EXECUTING:
        end_command_locked(backend, g_error_copy(error));
        break;
    case BACKEND_HASHING:
        g_clear_error(&backend->hash_error);
        backend->hash_error = g_error_copy(error);
        backend->news |= NEWS_HASHED;
        break;
    case BACKEND_OPEN:
        backend->hash_lost = true;
        G_GNUC_FALLTHROUGH;
    case BACKEND_STOPPED:
    case BACKEND_READY:
        g_clear_error(&backend->failure);
        backend->failure = g_error_copy(error);
        backend->news |= NEWS_FAILED;
        break;
    case BACKEND_MOVING:
        tpm_backend_move_failed(backend, error);
        break;
    case BACKEND_FAILED:
        break;
    }
    backend->state = BACKEND_FAILED;
    backend->link = TPM_LINK_GONE;
    backend->news &= ~(unsigned)NEWS_RECOVERED;
    tpm_backend_tell_and_unlock(backend);
}

void tpmdev_backend_failed(TPMBackend *backend, const GError *error)
{
    g_mutex_lock(&backend->lock);
    failed_and_unlock(backend, error);
}

unsigned tpmdev_backend_get_cycle(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    unsigned cycle = backend->cycle;
    g_mutex_unlock(&backend->lock);
    return cycle;
}

void tpmdev_backend_failed_in_cycle(TPMBackend *backend, unsigned cycle, const GError *error)
{
    g_mutex_lock(&backend->lock);
    if (cycle - backend->cycle_first <= backend->cycle - backend->cycle_first) {
        failed_and_unlock(backend, error);
    } else {
        g_mutex_unlock(&backend->lock);
    }
}

void tpmdev_backend_recovered(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    switch (backend->state) {
    case BACKEND_FAILED:
        backend->state = BACKEND_READY;
        backend->link = TPM_LINK_CONNECTED;
        backend->news |= NEWS_RECOVERED;
        backend->statistics.total.recoveries++;
        break;
    case BACKEND_STOPPED:
    case BACKEND_STARTING:
    case BACKEND_READY:
    case BACKEND_EXECUTING:
    case BACKEND_OPEN:
    case BACKEND_HASHING:
    case BACKEND_MOVING:
        break;
    }
    tpm_backend_tell_and_unlock(backend);
}

void tpmdev_backend_set_link(TPMBackend *backend, TPMBackendLink link)
{
    g_mutex_lock(&backend->lock);
    backend->link = (unsigned)link <= TPM_LINK_GONE ? link : TPM_LINK_GONE;
    tpm_backend_tell_and_unlock(backend);
}

void tpmdev_backend_set_established(TPMBackend *backend, bool established)
{
    g_mutex_lock(&backend->lock);
    backend->tpm_established = established;
    tpm_backend_update_established(backend);
    tpm_backend_tell_and_unlock(backend);
}

/* ---- what is told of it ---- */

TPMBackendLink tpm_backend_get_link(TPMBackend *backend, char **message)
{
    g_mutex_lock(&backend->lock);
    TPMBackendLink link = backend->link;

    /* It may be a later one than the client was called for: this is what it knows from here on. */
    backend->link_told = link;
    *message = link == TPM_LINK_CONNECTED ? NULL : g_strdup(backend->statistics.total.last_error);
    g_mutex_unlock(&backend->lock);
    return link;
}

void tpmdev_backend_get_statistics(TPMBackend *backend, TPMBackendStatistics *statistics)
{
    size_t size = MIN(statistics->size, sizeof(*statistics));

    g_mutex_lock(&backend->lock);
    TPMBackendStatistics now = backend->statistics.total;

    now.size = size;
    now.link = backend->link;
    now.failed = backend->state == BACKEND_FAILED;
    now.executing = backend->state == BACKEND_EXECUTING;
    g_mutex_unlock(&backend->lock);
    if (!now.executing) {
        now.ordinal = 0;
        now.sent_ns = 0;
    }
    memcpy(statistics, &now, size);
}

size_t tpmdev_backend_get_command_statistics(TPMBackend *backend, TPMCommandStatistics *rows,
                                             size_t n)
{
    g_mutex_lock(&backend->lock);
    size_t found = tpm_statistics_rows(&backend->statistics, rows, n);
    g_mutex_unlock(&backend->lock);
    return found;
}
