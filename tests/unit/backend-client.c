/* SPDX-License-Identifier: BSD-3-Clause */
/* A client that stands where a device would; see backend-client.h. */
#include "backend-client.h"
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void replace_message(char **slot, const GError *error)
{
    g_free(*slot);
    *slot = error ? g_strdup(error->message) : NULL;
}

static void on_started(void *opaque, const GError *error)
{
    BackendClient *client = opaque;

    g_mutex_lock(&client->lock);
    client->started++;
    replace_message(&client->start_error, error);
    g_cond_broadcast(&client->changed);
    g_mutex_unlock(&client->lock);
}

static void on_completed(void *opaque, const uint8_t *response, size_t size, const GError *error)
{
    BackendClient *client = opaque;

    g_mutex_lock(&client->lock);
    memcpy(client->response, response, size);
    client->response_size = size;
    client->completed_on = g_thread_self();
    client->completed++;
    replace_message(&client->response_error, error);
    g_cond_broadcast(&client->changed);
    g_mutex_unlock(&client->lock);
}

static void on_hashed(void *opaque, const GError *error)
{
    BackendClient *client = opaque;

    g_mutex_lock(&client->lock);
    client->hashed++;
    replace_message(&client->hash_error, error);
    g_cond_broadcast(&client->changed);
    g_mutex_unlock(&client->lock);
}

static void on_established(void *opaque, bool established)
{
    BackendClient *client = opaque;

    g_mutex_lock(&client->lock);
    client->established = established;
    g_cond_broadcast(&client->changed);
    g_mutex_unlock(&client->lock);
}

static void on_failed(void *opaque, const GError *error)
{
    BackendClient *client = opaque;

    g_mutex_lock(&client->lock);
    client->failed++;
    replace_message(&client->failure, error);
    g_cond_broadcast(&client->changed);
    g_mutex_unlock(&client->lock);
}

static void on_recovered(void *opaque)
{
    BackendClient *client = opaque;

    g_mutex_lock(&client->lock);
    client->recovered++;
    g_cond_broadcast(&client->changed);
    g_mutex_unlock(&client->lock);
}

static void on_moved(void *opaque, const TPMState *saved, const GError *error)
{
    BackendClient *client = opaque;

    g_mutex_lock(&client->lock);
    client->moved++;
    g_free(client->saved);
    client->saved = saved ? tpm_state_copy(saved) : NULL;
    replace_message(&client->move_error, error);
    client->move_code = error ? error->code : 0;
    g_cond_broadcast(&client->changed);
    g_mutex_unlock(&client->lock);
}

static const TPMBackendClient client_callbacks = {
    .started = on_started,
    .completed = on_completed,
    .hashed = on_hashed,
    .established = on_established,
    .failed = on_failed,
    .recovered = on_recovered,
    .moved = on_moved,
};

void backend_client_bind(BackendClient *client, TPMBackend *backend, GMainContext *context)
{
    GError *error = NULL;

    memset(client, 0, sizeof(*client));
    client->backend = backend;
    g_mutex_init(&client->lock);
    g_cond_init(&client->changed);
    if (!tpm_backend_bind(backend, &client_callbacks, client, context, &error)) {
        fail_msg("bind: %s", error->message);
    }
}

void backend_client_unbind(BackendClient *client)
{
    tpm_backend_unbind(client->backend);
    g_mutex_clear(&client->lock);
    g_cond_clear(&client->changed);
    g_free(client->start_error);
    g_free(client->response_error);
    g_free(client->hash_error);
    g_free(client->failure);
    g_free(client->saved);
    g_free(client->move_error);
}

/* Wait, with the lock held, until the number has been reached. */
static void wait_locked(BackendClient *client, const unsigned *number, unsigned wanted,
                        const char *what)
{
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;

    while (*number < wanted) {
        if (!g_cond_wait_until(&client->changed, &client->lock, deadline)) {
            fail_msg("no %s within %d s", what, CLIENT_DEADLINE_S);
        }
    }
}

bool backend_client_start(BackendClient *client, size_t buffer_size)
{
    unsigned wanted = client->started + 1;

    tpm_backend_start(client->backend, buffer_size);
    g_mutex_lock(&client->lock);
    wait_locked(client, &client->started, wanted, "answer to start()");
    bool ready = !client->start_error;
    g_mutex_unlock(&client->lock);
    return ready;
}

void backend_client_wait_started(BackendClient *client, unsigned started)
{
    g_mutex_lock(&client->lock);
    wait_locked(client, &client->started, started, "answer to start()");
    g_mutex_unlock(&client->lock);
}

void backend_client_submit(BackendClient *client, uint8_t locality, const void *command,
                           size_t size)
{
    tpm_backend_load(client->backend, locality, command, size);
    tpm_backend_submit(client->backend, false);
}

void backend_client_wait_completed(BackendClient *client, unsigned completed)
{
    g_mutex_lock(&client->lock);
    wait_locked(client, &client->completed, completed, "response");
    g_mutex_unlock(&client->lock);
}

void backend_client_wait_failed(BackendClient *client, unsigned failed)
{
    g_mutex_lock(&client->lock);
    wait_locked(client, &client->failed, failed, "failure");
    g_mutex_unlock(&client->lock);
}

void backend_client_wait_recovered(BackendClient *client, unsigned recovered)
{
    g_mutex_lock(&client->lock);
    wait_locked(client, &client->recovered, recovered, "recovery");
    g_mutex_unlock(&client->lock);
}

void backend_client_wait_established(BackendClient *client, bool established)
{
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;

    g_mutex_lock(&client->lock);
    while (client->established != established) {
        if (!g_cond_wait_until(&client->changed, &client->lock, deadline)) {
            fail_msg("the established flag did not become %d", established);
        }
    }
    g_mutex_unlock(&client->lock);
}

void backend_client_hash(BackendClient *client, TPMHashStep step, const void *data, size_t size)
{
    tpm_backend_load_hash(client->backend, step, data, size);
    tpm_backend_hash(client->backend);
}

void backend_client_wait_hashed(BackendClient *client, unsigned hashed)
{
    g_mutex_lock(&client->lock);
    wait_locked(client, &client->hashed, hashed, "answer to hash()");
    g_mutex_unlock(&client->lock);
}

/* A step and its answer. */
static bool hash_step(BackendClient *client, TPMHashStep step, const uint8_t *data, size_t size)
{
    g_mutex_lock(&client->lock);
    unsigned wanted = client->hashed + 1;
    g_mutex_unlock(&client->lock);

    backend_client_hash(client, step, data, size);
    backend_client_wait_hashed(client, wanted);
    g_mutex_lock(&client->lock);
    bool granted = !client->hash_error;
    g_mutex_unlock(&client->lock);
    return granted;
}

bool backend_client_measure(BackendClient *client, const uint8_t *data, size_t size, size_t piece)
{
    bool granted = hash_step(client, TPM_HASH_START, NULL, 0);

    for (size_t done = 0; granted && done < size; done += piece) {
        granted = hash_step(client, TPM_HASH_DATA, data + done, MIN(piece, size - done));
    }
    return granted && hash_step(client, TPM_HASH_END, NULL, 0);
}

uint32_t backend_client_command(BackendClient *client, const void *command, size_t size)
{
    g_mutex_lock(&client->lock);
    unsigned wanted = client->completed + 1;
    g_mutex_unlock(&client->lock);

    backend_client_submit(client, 0, command, size);
    backend_client_wait_completed(client, wanted);
    return tpm_header_code(client->response);
}

void backend_client_wait_moved(BackendClient *client, unsigned moved)
{
    g_mutex_lock(&client->lock);
    wait_locked(client, &client->moved, moved, "answer to save() or load()");
    g_mutex_unlock(&client->lock);
}

TPMState *backend_client_save(BackendClient *client)
{
    unsigned wanted = client->moved + 1;

    tpm_backend_save_state(client->backend, false);
    backend_client_wait_moved(client, wanted);
    return g_steal_pointer(&client->saved);
}

bool backend_client_load(BackendClient *client, size_t buffer_size, const TPMState *state)
{
    unsigned wanted = client->moved + 1;

    tpm_backend_load_state(client->backend, buffer_size, state, false, false);
    backend_client_wait_moved(client, wanted);
    return !client->move_error;
}
