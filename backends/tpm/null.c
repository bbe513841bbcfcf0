/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `null` backend: a TPM that has failed. It answers every command with the failure response
 * of its version, and is the shortest complete backend there is: copy it to write your own.
 *
 * A backend is a class, which says what its kind can do, and a `self` of its own making. Here
 * self is the backend, since there is nothing else to remember.
 *
 * Neighbours: backend.c (stage 4 of 6) calls these functions and takes their answers.
 */
#include "builtin.h"

typedef struct NullTPM {
    TPMBackend *backend; /* not a reference: the backend owns this struct */
    TPMVersion version;
} NullTPM;

static void null_start(void *self, size_t buffer_size)
{
    NullTPM *null = self;

    (void)buffer_size; /* any size will do for ten bytes */
    tpmdev_backend_started(null->backend);
}

static void null_submit(void *self, const TPMCommand *command, bool linger)
{
    NullTPM *null = self;
    uint8_t response[TPM_HEADER_SIZE];

    (void)command;
    (void)linger; /* without poll() it is never asked for */
    tpmdev_failure_response(null->version, response);
    tpmdev_backend_complete(null->backend, response, sizeof(response));
}

/* There is nothing to be known of it. One that remembers things hands them out here. */
static void null_save(void *self)
{
    NullTPM *null = self;
    TPMState state = { .size = sizeof(state), .writer = "null" };

    tpmdev_backend_saved(null->backend, &state);
}

static void null_load(void *self, size_t buffer_size, const TPMState *state)
{
    NullTPM *null = self;

    (void)buffer_size;
    (void)state;
    tpmdev_backend_loaded(null->backend);
}

static void null_destroy(void *self)
{
    g_free(self);
}

static TPMBackend *null_create(const TPMOptions *options, GError **error)
{
    TPMVersion version;

    if (!tpmdev_options_get_version(options, TPM_VERSION_2_0, &version, error)) {
        return NULL;
    }
    return tpmdev_backend_null_new(tpmdev_options_get(options, "id"), version, error);
}

static const char *const null_options[] = { "version", NULL };

const TPMBackendClass tpm_backend_null_class = {
    .size = sizeof(TPMBackendClass),
    .type = "null",
    .description = "TPM that answers every command with a failure",
    .options = null_options,
    .create = null_create,
    .start = null_start,
    .submit = null_submit,
    .destroy = null_destroy,
    .save = null_save,
    .load = null_load,
};

TPMBackend *tpmdev_backend_null_new(const char *id, TPMVersion version, GError **error)
{
    TPMBackendInfo info = {
        .size = sizeof(info),
        .version = version,
        .buffer_size = TPM_BUFFER_SIZE_COMMON,
    };
    NullTPM *null = g_new0(NullTPM, 1);

    null->version = version;
    null->backend = tpmdev_backend_new(&tpm_backend_null_class, id, &info, null, error);
    if (!null->backend) {
        g_free(null);
        return NULL;
    }
    return null->backend;
}
