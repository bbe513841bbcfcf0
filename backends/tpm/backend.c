/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMBackend: stage 4 of 6. Holds every backend to the state × call table of
 * <tpmdev/backend.h>, keeps the bytes of the command under way, checks what comes back, and sees
 * to it that the device hears of it on the right thread.
 *
 * From hw/tpm/request.c (stage 3), to the functions of a TPMBackendClass, and back to
 * hw/tpm/request.c (stage 5).
 *
 * One lock, a leaf: it is held to look at the state and to change it, never while a class or a
 * client is called.
 */
#include "backend-internal.h"
#include "command.h"
#include "io.h"

#include <string.h>

typedef enum BackendState {
    BACKEND_STOPPED,   /* made, never started */
    BACKEND_STARTING,  /* start() was called and not answered */
    BACKEND_READY,     /* waiting for a command */
    BACKEND_EXECUTING, /* submit() was called and not answered */
    BACKEND_OPEN,      /* in a hash sequence, waiting for its next step */
    BACKEND_HASHING,   /* hash() was called and not answered */
    BACKEND_FAILED,    /* failed(); start() and recovered() lead out of it */
} BackendState;

/* What a client is to be told; several can wait when they must be told on the host's context. */
typedef enum News {
    NEWS_STARTED = 1 << 0,
    NEWS_COMPLETED = 1 << 1,
    NEWS_ESTABLISHED = 1 << 2,
    NEWS_FAILED = 1 << 3,
    NEWS_HASHED = 1 << 4,
    NEWS_RECOVERED = 1 << 5,
} News;

struct TPMBackend {
    gatomicrefcount refs;
    const TPMBackendClass *klass;
    void *self;
    char *id;
    TPMVersion version;
    size_t tpm_buffer_size; /* what the TPM takes */
    bool can_hash;

    GMutex lock; /* for all below */
    BackendState state;
    unsigned cycle; /* starts so far */
    TPMBackendLink link;
    size_t buffer_size; /* what device and TPM agreed on at the last start */
    TPMCommand command; /* the one under way */
    uint8_t *command_data;
    TPMHashStep hash_step; /* the one under way */
    bool hash_lost;        /* the TPM failed between two steps, which the client may not know */
    size_t hash_size;
    uint8_t *hash_data; /* of TPM_HASH_CHUNK_MAX bytes; NULL if it cannot hash */

    const TPMBackendClient *callbacks; /* NULL while no device is bound */
    void *client;
    GThread *caller;       /* the thread on which a device is calling the class, or NULL */
    unsigned client_calls; /* calls of the client under way */
    GCond client_idle;     /* client_calls became 0 */
    GMainContext *context; /* set by bind, and then constant until the next bind */
    bool own_context;      /* it is that of the library's I/O thread, not the host's */

    /* News that waits for the host's context, and the source there that delivers it. */
    GSource *mailbox; /* NULL when the context is our own: every thread will do then */
    unsigned news;
    bool established;
    uint8_t *response;
    size_t response_size;
    GError *start_error;
    GError *response_error;
    GError *hash_error;
    GError *failure;
};

/* ---- life ---- */

/*
 * The context stays until the next bind or the end: a class may have sources on it, and moves
 * them when the next start() shows it another one.
 */
static void release_context(GMainContext *context, bool own_context)
{
    if (context) {
        g_main_context_unref(context);
        if (own_context) {
            tpm_io_release();
        }
    }
}

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
    g_mutex_init(&backend->lock);
    g_cond_init(&backend->client_idle);
    return backend;
}

static void clear_errors(TPMBackend *backend)
{
    g_clear_error(&backend->start_error);
    g_clear_error(&backend->response_error);
    g_clear_error(&backend->hash_error);
    g_clear_error(&backend->failure);
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
    release_context(backend->context, backend->own_context);
    clear_errors(backend);
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

gboolean tpmdev_backend_can_migrate(TPMBackend *backend, GError **error)
{
    return !TPM_CLASS_HAS(backend->klass, can_migrate) ||
           backend->klass->can_migrate(backend->self, error);
}

GMainContext *tpmdev_backend_get_context(TPMBackend *backend)
{
    return backend->context;
}

/* ---- telling the client ---- */

/* All news at once, taken out of the backend so that it can be told without the lock. */
typedef struct Delivery {
    unsigned news;
    bool established;
    GError *start_error;
    GError *response_error;
    GError *hash_error;
    GError *failure;
} Delivery;

static void delivery_tell(const Delivery *delivery, TPMBackend *backend,
                          const TPMBackendClient *callbacks, void *client)
{
    if (delivery->news & NEWS_ESTABLISHED) {
        callbacks->established(client, delivery->established);
    }
    if (delivery->news & NEWS_FAILED) {
        callbacks->failed(client, delivery->failure);
    }
    if (delivery->news & NEWS_STARTED) {
        callbacks->started(client, delivery->start_error);
    }
    if (delivery->news & NEWS_COMPLETED) {
        callbacks->completed(client, backend->response, backend->response_size,
                             delivery->response_error);
    }
    if (delivery->news & NEWS_HASHED) {
        callbacks->hashed(client, delivery->hash_error);
    }
    /* Last: of a failure and a recovery that wait together, the recovery is the later one. */
    if (delivery->news & NEWS_RECOVERED && callbacks->recovered) {
        callbacks->recovered(client);
    }
}

/*
 * Called with the lock held, returns with it held. The response stays where it is: the client
 * submits nothing new before it has been told of this one.
 */
static void deliver_locked(TPMBackend *backend)
{
    Delivery delivery = {
        .news = backend->news,
        .established = backend->established,
        .start_error = g_steal_pointer(&backend->start_error),
        .response_error = g_steal_pointer(&backend->response_error),
        .hash_error = g_steal_pointer(&backend->hash_error),
        .failure = g_steal_pointer(&backend->failure),
    };
    const TPMBackendClient *callbacks = backend->callbacks;
    void *client = backend->client;

    backend->news = 0;
    if (callbacks && delivery.news) {
        backend->client_calls++;
        g_mutex_unlock(&backend->lock);
        delivery_tell(&delivery, backend, callbacks, client);
        g_mutex_lock(&backend->lock);
        if (--backend->client_calls == 0) {
            g_cond_broadcast(&backend->client_idle);
        }
    }
    g_clear_error(&delivery.start_error);
    g_clear_error(&delivery.response_error);
    g_clear_error(&delivery.hash_error);
    g_clear_error(&delivery.failure);
}

/* May the client be told on this thread, right now? */
static bool may_deliver_here(TPMBackend *backend)
{
    return !backend->mailbox || backend->caller == g_thread_self() ||
           g_main_context_is_owner(backend->context);
}

/* Called with the lock held after news was added; releases it. */
static void tell_and_unlock(TPMBackend *backend)
{
    if (may_deliver_here(backend)) {
        deliver_locked(backend);
    } else {
        g_source_set_ready_time(backend->mailbox, 0);
    }
    g_mutex_unlock(&backend->lock);
}

static gboolean mailbox_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    TPMBackend *backend = data;

    (void)callback;
    g_source_set_ready_time(source, -1);
    g_mutex_lock(&backend->lock);
    /* Else it belongs to a device that has unbound itself, and there may be another by now. */
    if (source == backend->mailbox) {
        deliver_locked(backend);
    }
    g_mutex_unlock(&backend->lock);
    return G_SOURCE_CONTINUE;
}

static gboolean mailbox_callback(gpointer data)
{
    (void)data; /* never called: mailbox_dispatch() does the work, this only carries its data */
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs mailbox_funcs = { .dispatch = mailbox_dispatch };

static void mailbox_destroyed(gpointer data)
{
    tpmdev_backend_unref(data);
}

static GSource *mailbox_new(TPMBackend *backend, GMainContext *context)
{
    GSource *source = g_source_new(&mailbox_funcs, sizeof(GSource));

    g_source_set_name(source, "tpmdev-mailbox");
    g_source_set_callback(source, mailbox_callback, tpmdev_backend_ref(backend), mailbox_destroyed);
    g_source_attach(source, context);
    return source;
}

/* ---- binding ---- */

bool tpm_backend_bind(TPMBackend *backend, const TPMBackendClient *callbacks, void *client,
                      GMainContext *host_context, GError **error)
{
    GMainContext *context = host_context ? g_main_context_ref(host_context) : tpm_io_acquire(error);
    GMainContext *unneeded = context;
    bool unneeded_is_own = !host_context;

    if (!context) {
        return false;
    }
    g_mutex_lock(&backend->lock);
    bool bound = !backend->callbacks;

    if (bound) {
        /* All of it before the lock is released: the TPM may have something to say right now. */
        unneeded = backend->context;
        unneeded_is_own = backend->own_context;
        backend->callbacks = callbacks;
        backend->client = client;
        backend->context = context;
        backend->own_context = !host_context;
        backend->mailbox = host_context ? mailbox_new(backend, host_context) : NULL;
        backend->news = backend->established ? NEWS_ESTABLISHED : 0;
        deliver_locked(backend);
    }
    g_mutex_unlock(&backend->lock);
    release_context(unneeded, unneeded_is_own);
    if (!bound) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "TPM backend '%s' is already initialized: it serves another device; "
                    "give each device a backend of its own",
                    backend->id);
    }
    return bound;
}

void tpm_backend_unbind(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    GSource *mailbox = g_steal_pointer(&backend->mailbox);

    backend->callbacks = NULL;
    while (backend->client_calls > 0) {
        g_cond_wait(&backend->client_idle, &backend->lock);
    }
    /* Only now: a client that was told of something may have started or submitted once more. */
    bool executing = backend->state == BACKEND_EXECUTING;

    backend->state = BACKEND_STOPPED;
    backend->news = 0;
    clear_errors(backend);
    g_mutex_unlock(&backend->lock);

    if (executing && TPM_CLASS_HAS(backend->klass, cancel)) {
        backend->klass->cancel(backend->self);
    }
    if (mailbox) {
        g_source_destroy(mailbox);
        g_source_unref(mailbox);
    }
}

bool tpm_backend_is_bound(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    bool bound = backend->callbacks != NULL;
    g_mutex_unlock(&backend->lock);
    return bound;
}

void tpm_backend_report(TPMBackend *backend, const GError *error)
{
    g_mutex_lock(&backend->lock);
    g_clear_error(&backend->failure);
    backend->failure = g_error_copy(error);
    backend->news |= NEWS_FAILED;
    tell_and_unlock(backend);
}

/* ---- the device side of the table ---- */

/* Every call of the class goes through here: news it brings may be told on this thread. */
static void caller_enter(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    backend->caller = g_thread_self();
    g_mutex_unlock(&backend->lock);
}

static void caller_leave(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    backend->caller = NULL;
    g_mutex_unlock(&backend->lock);
}

/* Has the class been asked for something it has not answered? With the lock held. */
static bool is_busy(const TPMBackend *backend)
{
    return backend->state == BACKEND_STARTING || backend->state == BACKEND_EXECUTING ||
           backend->state == BACKEND_HASHING;
}

void tpm_backend_start(TPMBackend *backend, size_t buffer_size)
{
    g_mutex_lock(&backend->lock);
    g_assert(!is_busy(backend));
    backend->state = BACKEND_STARTING;
    backend->cycle++;
    backend->hash_lost = false;
    backend->news &= ~(unsigned)NEWS_RECOVERED;
    backend->buffer_size = MIN(buffer_size, backend->tpm_buffer_size);
    buffer_size = backend->buffer_size;
    g_mutex_unlock(&backend->lock);

    caller_enter(backend);
    backend->klass->start(backend->self, buffer_size);
    caller_leave(backend);
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

void tpm_backend_submit(TPMBackend *backend, bool linger)
{
    g_mutex_lock(&backend->lock);
    g_assert(!is_busy(backend) && backend->state != BACKEND_OPEN);
    backend->caller = g_thread_self();
    if (backend->state == BACKEND_READY) {
        backend->state = BACKEND_EXECUTING;
        g_mutex_unlock(&backend->lock);
        backend->klass->submit(backend->self, &backend->command, linger);
    } else {
        complete_with_failure_locked(backend, g_error_new(TPMDEV_ERROR, TPM_ERROR_TPM,
                                                          "TPM backend '%s' has failed; the "
                                                          "command was not sent",
                                                          backend->id));
        deliver_locked(backend);
        g_mutex_unlock(&backend->lock);
    }
    caller_leave(backend);
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
        deliver_locked(backend);
        g_mutex_unlock(&backend->lock);
    } else {
        g_assert(may_hash(backend));
        backend->state = BACKEND_HASHING;
        g_mutex_unlock(&backend->lock);
        backend->klass->hash(backend->self, backend->hash_step,
                             backend->hash_size > 0 ? backend->hash_data : NULL,
                             backend->hash_size);
    }
    caller_leave(backend);
}

bool tpm_backend_can_linger(const TPMBackend *backend)
{
    return TPM_CLASS_HAS(backend->klass, poll) && TPM_CLASS_HAS(backend->klass, linger_end);
}

void tpm_backend_poll(TPMBackend *backend)
{
    caller_enter(backend);
    backend->klass->poll(backend->self);
    caller_leave(backend);
}

void tpm_backend_pump(TPMBackend *backend)
{
    if (TPM_CLASS_HAS(backend->klass, poll)) {
        tpm_backend_poll(backend);
    }
    g_mutex_lock(&backend->lock);
    deliver_locked(backend);
    g_mutex_unlock(&backend->lock);
}

void tpm_backend_linger_end(TPMBackend *backend)
{
    caller_enter(backend);
    backend->klass->linger_end(backend->self);
    caller_leave(backend);
}

void tpm_backend_cancel(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    bool executing = backend->state == BACKEND_EXECUTING;
    g_mutex_unlock(&backend->lock);

    if (executing && TPM_CLASS_HAS(backend->klass, cancel)) {
        caller_enter(backend);
        backend->klass->cancel(backend->self);
        caller_leave(backend);
    }
}

void tpm_backend_reset_established(TPMBackend *backend, uint8_t locality)
{
    if (TPM_CLASS_HAS(backend->klass, reset_established)) {
        caller_enter(backend);
        backend->klass->reset_established(backend->self, locality);
        caller_leave(backend);
    }
}

/* ---- the backend side of the table ---- */

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
    case BACKEND_FAILED:
        break;
    }
    tell_and_unlock(backend);
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
        } else {
            complete_with_failure_locked(
                backend, g_error_new(TPMDEV_ERROR, TPM_ERROR_PROTOCOL,
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
    case BACKEND_FAILED:
        break;
    }
    tell_and_unlock(backend);
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
    case BACKEND_FAILED:
        break;
    }
    tell_and_unlock(backend);
}

/* Called with the lock held, releases it. */
static void failed_and_unlock(TPMBackend *backend, const GError *error)
{
    switch (backend->state) {
    case BACKEND_STARTING:
        g_clear_error(&backend->start_error);
        backend->start_error = g_error_copy(error);
        backend->news |= NEWS_STARTED;
        break;
    case BACKEND_EXECUTING:
        complete_with_failure_locked(backend, g_error_copy(error));
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
    case BACKEND_FAILED:
        break;
    }
    backend->state = BACKEND_FAILED;
    backend->link = TPM_LINK_GONE;
    backend->news &= ~(unsigned)NEWS_RECOVERED;
    tell_and_unlock(backend);
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
    if (cycle == backend->cycle) {
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
        break;
    case BACKEND_STOPPED:
    case BACKEND_STARTING:
    case BACKEND_READY:
    case BACKEND_EXECUTING:
    case BACKEND_OPEN:
    case BACKEND_HASHING:
        break;
    }
    tell_and_unlock(backend);
}

void tpmdev_backend_set_link(TPMBackend *backend, TPMBackendLink link)
{
    g_mutex_lock(&backend->lock);
    backend->link = (unsigned)link <= TPM_LINK_GONE ? link : TPM_LINK_GONE;
    g_mutex_unlock(&backend->lock);
}

void tpmdev_backend_set_established(TPMBackend *backend, bool established)
{
    g_mutex_lock(&backend->lock);
    if (backend->established != established) {
        backend->established = established;
        backend->news |= NEWS_ESTABLISHED;
    }
    tell_and_unlock(backend);
}
