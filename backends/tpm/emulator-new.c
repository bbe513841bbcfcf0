/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend as it comes into being: its configuration is checked, swtpm is connected
 * to, and the handshake is gone through on the caller's thread.
 *
 * Neighbours: emulator.c has the class; emulator-start.c the handshake's steps.
 */
#include "emulator-internal.h"

#include "builtin.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* How long creation may take in all. */
#define CREATE_DEADLINE_MS 5000u

static Emulator *emulator_alloc(const TPMEmulatorConfig *config)
{
    Emulator *emulator = g_new0(Emulator, 1);

    emulator->refs = 1;
    g_mutex_init(&emulator->lock);
    g_cond_init(&emulator->told);
    emulator->id = g_strdup(config->id);
    emulator->path = g_strdup(config->path);
    emulator->control_fd = -1;
    emulator->data_fd = -1;
    emulator->epoll_fd = -1;
    emulator->locality = EMULATOR_NO_LOCALITY;
    emulator->response = g_malloc(TPM_BUFFER_SIZE_COMMON);
    emulator->response_capacity = TPM_BUFFER_SIZE_COMMON;
    return emulator;
}

/* Go through the handshake on this thread. False with `failure` set. */
static bool shake_hands(Emulator *emulator, unsigned deadline_ms)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)deadline_ms * G_TIME_SPAN_MILLISECOND;

    emulator->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (emulator->epoll_fd < 0) {
        tpm_emulator_report_failure(
            emulator,
            tpm_emulator_error(emulator, TPM_ERROR_IO, "cannot be watched: %s", g_strerror(errno)));
        return false;
    }
    if (tpm_emulator_connect(emulator)) {
        tpm_emulator_advance(emulator);
    }
    while (emulator->step != STEP_NONE) {
        if (!tpm_emulator_wait(emulator, deadline)) {
            const char *what =
                emulator->request ? tpm_swtpm_command_name(emulator->request) : "a TPM command";

            tpm_emulator_report_failure(
                emulator, tpm_emulator_error(emulator, TPM_ERROR_TIMED_OUT,
                                             "did not answer %s within %u ms; is it swtpm, and has "
                                             "it no other client?",
                                             what, deadline_ms));
        } else {
            tpm_emulator_pump(emulator);
        }
    }
    return !emulator->failure;
}

/* Bytes of the configuration of version 0.1; the members behind them came later, zero at first. */
#define CONFIG_SIZE_0_1 (offsetof(TPMEmulatorConfig, path) + sizeof(const char *))

/* As far as the program knows its members. */
static bool config_take(const TPMEmulatorConfig *user_config, TPMEmulatorConfig *config,
                        GError **error)
{
    const char *wrong = NULL;

    *config = (TPMEmulatorConfig){ .size = sizeof(*config) };
    if (user_config->size < CONFIG_SIZE_0_1) {
        wrong = "size must be sizeof(TPMEmulatorConfig)";
    } else {
        memcpy(config, user_config, MIN(user_config->size, sizeof(*config)));
    }
    if (!wrong && (!config->id || !*config->id)) {
        wrong = "the id is empty; give the backend a name";
    } else if (!wrong && !config->path) {
        wrong = "the path is missing; name swtpm's control socket";
    }
    if (wrong) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM emulator: %s", wrong);
    }
    return !wrong;
}

TPMBackend *tpm_emulator_new(const TPMEmulatorConfig *user_config, unsigned deadline_ms,
                             GError **error)
{
    TPMEmulatorConfig config;

    if (!config_take(user_config, &config, error)) {
        return NULL;
    }
    Emulator *emulator = emulator_alloc(&config);

    if (shake_hands(emulator, deadline_ms)) {
        TPMBackendInfo info = {
            .size = sizeof(info),
            .version = emulator->version,
            .buffer_size = emulator->response_capacity, /* start() asks what it has then */
            .hashing = (emulator->capabilities & SWTPM_CAP_HASHING) != 0,
        };

        emulator->backend =
            tpmdev_backend_new(&tpm_backend_emulator_class, config.id, &info, emulator, error);
    } else {
        g_propagate_error(error, g_steal_pointer(&emulator->failure));
    }
    TPMBackend *backend = emulator->backend;

    if (!backend) {
        tpm_emulator_close(emulator);
    }
    return backend;
}

TPMBackend *tpmdev_backend_emulator_new(const TPMEmulatorConfig *config, GError **error)
{
    return tpm_emulator_new(config, CREATE_DEADLINE_MS, error);
}

/* ---- from an option string ---- */

const char *const tpm_emulator_options[] = { "path", "chardev", NULL };

TPMBackend *tpm_emulator_create(const TPMOptions *options, GError **error)
{
    TPMEmulatorConfig config = {
        .size = sizeof(config),
        .id = tpmdev_options_get(options, "id"),
        .path = tpmdev_options_get_socket(options, error),
    };

    return config.path ? tpmdev_backend_emulator_new(&config, error) : NULL;
}
