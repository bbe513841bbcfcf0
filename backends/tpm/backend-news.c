/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between a TPMBackend and the device it serves: binding the two, and telling the device of what
 * became of its calls, on the right thread.
 *
 * From backend.c (stage 4 of 6), which notes news under the backend's lock, to the client's
 * functions, hw/tpm/request.c's (stage 5); by way of mailbox.c where that is another thread's.
 */
#include "backend-private.h"
#include "io.h"

/*
 * The context stays until the next bind or the end: a class may have sources on it, and moves
 * them when the next start() shows it another one.
 */
void tpm_backend_release_context(GMainContext *context, bool own_context)
{
    if (context) {
        g_main_context_unref(context);
        if (own_context) {
            tpm_io_release();
        }
    }
}

void tpm_backend_clear_errors(TPMBackend *backend)
{
    g_clear_error(&backend->start_error);
    g_clear_error(&backend->response_error);
    g_clear_error(&backend->hash_error);
    g_clear_error(&backend->failure);
    tpm_backend_forget_move(backend);
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
    TPMState *saved;
    GError *move_error;
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
    if (delivery->news & NEWS_MOVED) {
        callbacks->moved(client, delivery->saved, delivery->move_error);
    }
    /* Last: of a failure and a recovery that wait together, the recovery is the later one. */
    if (delivery->news & NEWS_RECOVERED && callbacks->recovered) {
        callbacks->recovered(client);
    }
    if (delivery->news & NEWS_LINK && callbacks->link_changed) {
        callbacks->link_changed(client);
    }
}

/* ---- the link ---- */

static void deliver(const TPMMailbox *mailbox, void *opaque);

/* So many changes of the link a client hears of in a second, and then how it stands in the end. */
#define LINK_NEWS_PER_SECOND 10

/*
 * Is the client to hear of the link now? With the lock held. A TPM that comes and goes all the
 * time does not flood the host's log; what was held back is told when the second is over.
 */
static bool link_is_due(TPMBackend *backend)
{
    if (backend->link == backend->link_told) {
        return false;
    }
    gint64 now = g_get_monotonic_time();

    if (now - backend->link_second >= G_USEC_PER_SEC) {
        backend->link_second = now;
        backend->link_news = 0;
    }
    if (backend->link_news >= LINK_NEWS_PER_SECOND) {
        if (!backend->mailbox) {
            backend->mailbox = tpm_mailbox_new(backend->context, deliver, backend);
        }
        tpm_mailbox_wake(backend->mailbox, backend->link_second + G_USEC_PER_SEC);
        return false;
    }
    backend->link_news++;
    backend->link_told = backend->link;
    return true;
}

/*
 * Called with the lock held, returns with it held. The response stays where it is: the client
 * submits nothing new before it has been told of this one.
 */
void tpm_backend_deliver_locked(TPMBackend *backend)
{
    Delivery delivery = {
        .news = backend->news,
        .established = backend->established,
        .start_error = g_steal_pointer(&backend->start_error),
        .response_error = g_steal_pointer(&backend->response_error),
        .hash_error = g_steal_pointer(&backend->hash_error),
        .failure = g_steal_pointer(&backend->failure),
        .saved = g_steal_pointer(&backend->saved),
        .move_error = g_steal_pointer(&backend->move_error),
    };
    const TPMBackendClient *callbacks = backend->callbacks;
    void *client = backend->client;

    backend->news = 0;
    if (callbacks && link_is_due(backend)) {
        delivery.news |= NEWS_LINK;
    }
    if (callbacks && delivery.news) {
        backend->client_calls++;
        g_mutex_unlock(&backend->lock);
        delivery_tell(&delivery, backend, callbacks, client);
        g_mutex_lock(&backend->lock);
        if (--backend->client_calls == 0 && backend->idle_waits > 0) {
            g_cond_broadcast(&backend->client_idle);
        }
    }
    g_clear_error(&delivery.start_error);
    g_clear_error(&delivery.response_error);
    g_clear_error(&delivery.hash_error);
    g_clear_error(&delivery.failure);
    tpm_state_free(delivery.saved);
    g_clear_error(&delivery.move_error);
}

/* May the client be told on this thread, right now? */
static bool may_deliver_here(TPMBackend *backend)
{
    return !backend->mailbox || backend->own_context || backend->caller == g_thread_self() ||
           g_main_context_is_owner(backend->context);
}

/* Called with the lock held after news was added; releases it. */
void tpm_backend_tell_and_unlock(TPMBackend *backend)
{
    if (may_deliver_here(backend)) {
        tpm_backend_deliver_locked(backend);
    } else {
        tpm_mailbox_wake(backend->mailbox, 0);
    }
    g_mutex_unlock(&backend->lock);
}

static void deliver(const TPMMailbox *mailbox, void *opaque)
{
    TPMBackend *backend = opaque;

    g_mutex_lock(&backend->lock);
    /* Else it belongs to a device that has unbound itself, and there may be another by now. */
    if (mailbox == backend->mailbox) {
        tpm_backend_deliver_locked(backend);
    }
    g_mutex_unlock(&backend->lock);
}

void tpm_backend_report(TPMBackend *backend, const GError *error)
{
    g_mutex_lock(&backend->lock);
    tpm_statistics_error(&backend->statistics, error);
    g_clear_error(&backend->failure);
    backend->failure = g_error_copy(error);
    backend->news |= NEWS_FAILED;
    tpm_backend_tell_and_unlock(backend);
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
        backend->mailbox = host_context ? tpm_mailbox_new(host_context, deliver, backend) : NULL;
        backend->news = backend->established ? NEWS_ESTABLISHED : 0;
        backend->link_told = TPM_LINK_CONNECTED;
        tpm_backend_deliver_locked(backend);
    }
    g_mutex_unlock(&backend->lock);
    tpm_backend_release_context(unneeded, unneeded_is_own);
    if (!bound) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "TPM backend '%s' is already initialized: it serves another device; "
                    "give each device a backend of its own",
                    backend->id);
    }
    return bound;
}

bool tpm_backend_is_bound(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    bool bound = backend->callbacks != NULL;
    g_mutex_unlock(&backend->lock);
    return bound;
}

void tpm_backend_unbind(TPMBackend *backend)
{
    g_mutex_lock(&backend->lock);
    TPMMailbox *mailbox = g_steal_pointer(&backend->mailbox);

    backend->callbacks = NULL;
    backend->idle_waits++;
    while (backend->client_calls > 0) {
        g_cond_wait(&backend->client_idle, &backend->lock);
    }
    backend->idle_waits--;
    /* Only now: a client that was told of something may have started or submitted once more. */
    bool cancels = backend->state == BACKEND_EXECUTING && TPM_CLASS_HAS(backend->klass, cancel);

    backend->statistics.total.cancels += cancels;
    backend->state = BACKEND_STOPPED;
    backend->news = 0;
    tpm_backend_clear_errors(backend);
    g_mutex_unlock(&backend->lock);

    if (cancels) {
        backend->klass->cancel(backend->self);
    }
    if (mailbox) {
        tpm_mailbox_free(mailbox);
    }
}
