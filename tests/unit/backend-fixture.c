/* SPDX-License-Identifier: BSD-3-Clause */
/* A class and a client that take notes; see backend-fixture.h. */
#include "backend-fixture.h"
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- the class ---- */

static void call_in_class(BackendFixture *fixture)
{
    if (fixture->in_class) {
        fixture->in_class(fixture);
    }
}

static void class_start(void *self, size_t buffer_size)
{
    BackendFixture *fixture = self;

    fixture->klass.starts++;
    fixture->klass.start_buffer_size = buffer_size;
    call_in_class(fixture);
}

static void class_submit(void *self, const TPMCommand *command, bool linger)
{
    BackendFixture *fixture = self;

    fixture->klass.submits++;
    fixture->klass.command = *command;
    fixture->klass.linger = linger;
    call_in_class(fixture);
}

static void class_poll(void *self)
{
    BackendFixture *fixture = self;

    fixture->klass.polls++;
    call_in_class(fixture);
}

static void class_linger_end(void *self)
{
    BackendFixture *fixture = self;

    fixture->klass.linger_ends++;
    call_in_class(fixture);
}

static void class_cancel(void *self)
{
    BackendFixture *fixture = self;

    fixture->klass.cancels++;
    call_in_class(fixture);
}

static void class_reset_established(void *self, uint8_t locality)
{
    BackendFixture *fixture = self;

    fixture->klass.established_resets++;
    fixture->klass.established_locality = locality;
    call_in_class(fixture);
}

static void class_hash(void *self, TPMHashStep step, const uint8_t *data, size_t size)
{
    BackendFixture *fixture = self;

    fixture->klass.hashes++;
    fixture->in_sequence = step != TPM_HASH_END;
    fixture->klass.hash_step = step;
    fixture->klass.hash_data = data;
    fixture->klass.hash_size = size;
    call_in_class(fixture);
}

static void class_save(void *self)
{
    BackendFixture *fixture = self;

    fixture->klass.saves++;
    call_in_class(fixture);
}

static void class_load(void *self, size_t buffer_size, const TPMState *state)
{
    BackendFixture *fixture = self;

    (void)state;
    fixture->klass.loads++;
    fixture->klass.start_buffer_size = buffer_size;
    call_in_class(fixture);
}

static void class_resume(void *self)
{
    BackendFixture *fixture = self;

    fixture->klass.resumes++;
    call_in_class(fixture);
}

static void class_destroy(void *self)
{
    BackendFixture *fixture = self;

    fixture->klass.destroys++;
    call_in_class(fixture);
}

const TPMBackendClass fixture_class = {
    .size = sizeof(TPMBackendClass),
    .type = "noting",
    .start = class_start,
    .submit = class_submit,
    .poll = class_poll,
    .linger_end = class_linger_end,
    .cancel = class_cancel,
    .reset_established = class_reset_established,
    .destroy = class_destroy,
    .hash = class_hash,
    .save = class_save,
    .load = class_load,
    .resume = class_resume,
};

const TPMState fixture_state_of_tpm = {
    .size = sizeof(TPMState),
    .permanent = { "permanent", 9, 1 },
    .volatile_state = { "volatile", 8, 2 },
    .writer = "a test",
};

/* ---- the client ---- */

static void note(BackendFixture *fixture, char letter, const GError *error)
{
    g_mutex_lock(&fixture->lock);
    ClientNotes *client = &fixture->client;
    size_t n = strlen(client->news);

    if (n + 1 < sizeof(client->news)) {
        client->news[n] = letter;
    }
    client->thread = g_thread_self();
    g_free(client->error);
    client->error = error ? g_strdup(error->message) : NULL;
    g_cond_broadcast(&fixture->changed);
    g_mutex_unlock(&fixture->lock);
    if (fixture->in_client) {
        fixture->in_client(fixture);
    }
}

static void on_started(void *client, const GError *error)
{
    note(client, error ? 's' : 'S', error);
}

static void on_completed(void *client, const uint8_t *response, size_t size, const GError *error)
{
    BackendFixture *fixture = client;

    g_mutex_lock(&fixture->lock);
    memcpy(fixture->client.response, response, size);
    fixture->client.response_size = size;
    g_mutex_unlock(&fixture->lock);
    note(client, 'C', error);
}

static void on_moved(void *client, const TPMState *saved, const GError *error)
{
    note(client, error ? 'v' : saved ? 'V' : 'L', error);
}

static void on_hashed(void *client, const GError *error)
{
    note(client, error ? 'h' : 'H', error);
}

static void on_established(void *client, bool established)
{
    note(client, established ? 'E' : 'e', NULL);
}

static void on_failed(void *client, const GError *error)
{
    note(client, 'F', error);
}

static void on_recovered(void *client)
{
    note(client, 'R', NULL);
}

static const TPMBackendClient client_callbacks = {
    .started = on_started,
    .completed = on_completed,
    .hashed = on_hashed,
    .moved = on_moved,
    .established = on_established,
    .failed = on_failed,
    .recovered = on_recovered,
};

/* ---- life ---- */

static void new_backend(BackendFixture *fixture, const TPMBackendClass *klass, TPMVersion version)
{
    TPMBackendInfo info = { sizeof(info), version, FIXTURE_BUFFER_SIZE, klass->hash != NULL };

    fixture->backend = tpmdev_backend_new(klass, "tpm0", &info, fixture, NULL);
    assert_non_null(fixture->backend);
}

static int setup(void **state, TPMVersion version)
{
    BackendFixture *fixture = g_new0(BackendFixture, 1);

    g_mutex_init(&fixture->lock);
    g_cond_init(&fixture->changed);
    fixture->context = g_main_context_new();
    new_backend(fixture, &fixture_class, version);
    *state = fixture;
    return 0;
}

int fixture_setup(void **state)
{
    return setup(state, TPM_VERSION_2_0);
}

int fixture_setup_1_2(void **state)
{
    return setup(state, TPM_VERSION_1_2);
}

int fixture_teardown(void **state)
{
    BackendFixture *fixture = *state;

    fixture->in_class = NULL;
    fixture->in_client = NULL;
    if (fixture->backend) {
        tpm_backend_unbind(fixture->backend);
        tpmdev_backend_unref(fixture->backend);
    }
    g_main_context_unref(fixture->context);
    g_free(fixture->client.error);
    g_mutex_clear(&fixture->lock);
    g_cond_clear(&fixture->changed);
    g_free(fixture);
    return 0;
}

void fixture_use_class(BackendFixture *fixture, const TPMBackendClass *klass)
{
    tpmdev_backend_unref(fixture->backend);
    new_backend(fixture, klass, TPM_VERSION_2_0);
}

static void bind_to(BackendFixture *fixture, GMainContext *context)
{
    GError *error = NULL;

    if (!tpm_backend_bind(fixture->backend, &client_callbacks, fixture, context, &error)) {
        fail_msg("bind: %s", error->message);
    }
}

void fixture_bind_to_context(BackendFixture *fixture)
{
    bind_to(fixture, fixture->context);
}

void fixture_bind(BackendFixture *fixture)
{
    bind_to(fixture, NULL);
}

/* ---- acts ---- */

void fixture_make_ready(BackendFixture *fixture)
{
    fixture_bind(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    tpmdev_backend_started(fixture->backend);
    fixture_forget(fixture);
}

void fixture_submit(BackendFixture *fixture)
{
    static const uint8_t command[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8 };

    tpm_backend_load(fixture->backend, 0, command, sizeof(command));
    tpm_backend_submit(fixture->backend, false);
}

void fixture_hash(BackendFixture *fixture, TPMHashStep step)
{
    bool has_data = step == TPM_HASH_DATA;

    tpm_backend_load_hash(fixture->backend, step, has_data ? (const uint8_t *)"abc" : NULL,
                          has_data ? 3 : 0);
    tpm_backend_hash(fixture->backend);
}

void fixture_complete(BackendFixture *fixture, size_t size)
{
    g_autofree uint8_t *response = g_malloc(size);

    for (size_t i = 0; i < size; i++) {
        response[i] = (uint8_t)i;
    }
    tpm_put_be32(response + TPM_HEADER_LEN, (uint32_t)size);
    tpmdev_backend_complete(fixture->backend, response, size);
}

void fixture_fail(BackendFixture *fixture, const char *message)
{
    g_autoptr(GError) error = g_error_new(TPMDEV_ERROR, TPM_ERROR_IO, "%s", message);

    tpmdev_backend_failed(fixture->backend, error);
}

void fixture_refuse(BackendFixture *fixture, const char *message)
{
    g_autoptr(GError) error = g_error_new_literal(TPMDEV_ERROR, TPM_ERROR_TPM, message);

    tpmdev_backend_refused(fixture->backend, error);
}

void fixture_forget(BackendFixture *fixture)
{
    fixture->klass = (ClassNotes){ 0 };
    g_mutex_lock(&fixture->lock);
    g_free(fixture->client.error);
    fixture->client = (ClientNotes){ 0 };
    g_mutex_unlock(&fixture->lock);
}

typedef struct Task {
    BackendFixture *fixture;
    void (*function)(BackendFixture *fixture);
} Task;

static gpointer run_task(gpointer data)
{
    Task *task = data;

    task->function(task->fixture);
    return NULL;
}

void fixture_on_thread(BackendFixture *fixture, void (*function)(BackendFixture *fixture))
{
    Task task = { fixture, function };

    g_thread_join(g_thread_new("other", run_task, &task));
}
