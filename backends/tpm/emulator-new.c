/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend as it comes into being: its configuration is checked, swtpm is connected
 * to, and the handshake is gone through on the caller's thread.
 *
 * Neighbours: emulator.c has the class; emulator-start.c the handshake's steps.
 */
#include "emulator-internal.h"

#include "builtin.h"
#include "options.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* How long creation may take in all. */
#define CREATE_DEADLINE_MS 5000u

/*
 * How long swtpm may take, where the host does not say. The short commands take it microseconds,
 * and the long ones seconds at most; but a host may be short of processors, and storage slow. The
 * time for the long ones is that of Linux' driver for the generation of a key. A TPM 1.2 makes a
 * key in its first INIT.
 */
#define CONTROL_TIMEOUT_MS 5000u
#define SHORT_TIMEOUT_MS   5000u
#define LONG_TIMEOUT_MS    300000u
#define INIT_TIMEOUT_MS    60000u

static unsigned timeout_or(unsigned timeout_ms, unsigned otherwise)
{
    return timeout_ms > 0 ? timeout_ms : otherwise;
}

/* Takes the peer. */
static Emulator *emulator_alloc(const TPMEmulatorConfig *config, SwtpmPeer *peer)
{
    Emulator *emulator = g_new0(Emulator, 1);

    emulator->refs = 1;
    g_mutex_init(&emulator->lock);
    g_cond_init(&emulator->told);
    emulator->id = g_strdup(config->id);
    emulator->peer = peer;
    emulator->timeouts = (EmulatorTimeouts){
        .control = timeout_or(config->control_timeout_ms, CONTROL_TIMEOUT_MS),
        .init = timeout_or(config->init_timeout_ms, INIT_TIMEOUT_MS),
        .short_command = timeout_or(config->short_timeout_ms, SHORT_TIMEOUT_MS),
        .long_command = timeout_or(config->long_timeout_ms, LONG_TIMEOUT_MS),
    };
    emulator->checkpoint = config->checkpoint;
    emulator->retry_at = EMULATOR_NEVER;
    emulator->armed_at = EMULATOR_NEVER;
    emulator->control_fd = -1;
    emulator->data_fd = -1;
    emulator->epoll_fd = -1;
    emulator->locality = EMULATOR_NO_LOCALITY;
    emulator->response = g_malloc(TPM_BUFFER_SIZE_COMMON + EMULATOR_WRAPPER_SIZE);
    emulator->response_capacity = TPM_BUFFER_SIZE_COMMON;
    return emulator;
}

/* What the peer did not answer, for an error message. */
static const char *unanswered(const Emulator *emulator)
{
    if (emulator->step == STEP_CONNECT) {
        return "the connection";
    }
    return emulator->request ? tpm_swtpm_command_name(emulator->request) : "a TPM command";
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
        gint64 look = MIN(deadline, emulator->retry_at);
        bool readable = tpm_emulator_wait(emulator, look);

        if (readable) {
            tpm_emulator_pump(emulator);
        } else if (look < deadline) {
            tpm_emulator_retry(emulator); /* the peer is on its way */
        } else {
            tpm_emulator_report_failure(
                emulator, tpm_emulator_error(emulator, TPM_ERROR_TIMED_OUT,
                                             "did not answer %s within %u ms; is it swtpm, and has "
                                             "it no other client?",
                                             unanswered(emulator), deadline_ms));
        }
    }
    return !emulator->failure;
}

/* The members a host knew nothing of when it was compiled are zero. */
static TPMEmulatorConfig config_whole(const TPMEmulatorConfig *config)
{
    TPMEmulatorConfig whole = { .size = sizeof(whole) };

    memcpy(&whole, config, MIN(config->size, sizeof(whole)));
    return whole;
}

static bool config_check(const TPMEmulatorConfig *config, GError **error)
{
    const char *wrong = NULL;

    if (config->size < offsetof(TPMEmulatorConfig, path) + sizeof(config->path)) {
        wrong = "size must be sizeof(TPMEmulatorConfig)";
    } else if (!config->id || !*config->id) {
        wrong = "the id is empty; give the backend a name";
    }
    if (wrong) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM emulator: %s", wrong);
    }
    return !wrong;
}

/* A swtpm that cannot store cannot keep what checkpoint=on promises. */
static bool can_do_what_is_asked(Emulator *emulator)
{
    if (emulator->checkpoint && !(emulator->capabilities & SWTPM_CAP_STORE_VOLATILE)) {
        tpm_emulator_report_failure(
            emulator, tpm_emulator_error(emulator, TPM_ERROR_UNSUPPORTED,
                                         "lacks what checkpoint=on needs: STORE_VOLATILE"));
        return false;
    }
    return true;
}

TPMBackend *tpm_emulator_new(const TPMEmulatorConfig *given, unsigned deadline_ms,
                             EmulatorClock *clock, GError **error)
{
    if (!config_check(given, error)) {
        return NULL;
    }
    TPMEmulatorConfig whole = config_whole(given);
    const TPMEmulatorConfig *config = &whole;
    SwtpmPeer *peer = tpm_swtpm_peer_new(config, error);

    if (!peer) {
        return NULL;
    }
    Emulator *emulator = emulator_alloc(config, peer);

    if (shake_hands(emulator, deadline_ms) && can_do_what_is_asked(emulator)) {
        TPMBackendInfo info = {
            .size = sizeof(info),
            .version = emulator->version,
            .buffer_size = emulator->response_capacity, /* start() asks what it has then */
            .hashing = (emulator->capabilities & SWTPM_CAP_HASHING) != 0,
        };

        emulator->backend =
            tpmdev_backend_new(&tpm_backend_emulator_class, config->id, &info, emulator, error);
        emulator->clock = clock;
        if (clock) {
            clock->emulator = emulator;
        }
    } else {
        g_propagate_error(error, g_steal_pointer(&emulator->failure));
    }
    TPMBackend *backend = emulator->backend;

    if (backend) {
        tpm_swtpm_peer_adopt(peer);
    } else {
        tpm_emulator_close(emulator);
    }
    return backend;
}

TPMBackend *tpmdev_backend_emulator_new(const TPMEmulatorConfig *config, GError **error)
{
    return tpm_emulator_new(config, CREATE_DEADLINE_MS, NULL, error);
}

/* ---- from an option string ---- */

/* clang-format off */
const char *const tpm_emulator_options[] = {
    "path", "chardev", "server-path",
    "host", "port", "control-port",
    "fd", "data-fd",
    "spawn", "state-dir", "version", "log", "log-level", "seccomp", "swtpm",
    "control-timeout", "short-timeout", "long-timeout", "init-timeout", "checkpoint", NULL,
};
/* clang-format on */

/* What an option may say, in milliseconds: up to a day. */
#define TIMEOUT_MAX_MS (24u * 60 * 60 * 1000)

static bool timeout_options(const TPMOptions *options, TPMEmulatorConfig *config, GError **error)
{
    return tpm_options_get_unsigned(options, "control-timeout", 1, TIMEOUT_MAX_MS,
                                    &config->control_timeout_ms, error) &&
           tpm_options_get_unsigned(options, "short-timeout", 1, TIMEOUT_MAX_MS,
                                    &config->short_timeout_ms, error) &&
           tpm_options_get_unsigned(options, "long-timeout", 1, TIMEOUT_MAX_MS,
                                    &config->long_timeout_ms, error) &&
           tpm_options_get_unsigned(options, "init-timeout", 1, TIMEOUT_MAX_MS,
                                    &config->init_timeout_ms, error);
}

/* A port of TCP; 0 when the option is not there. */
static bool get_port(const TPMOptions *options, const char *name, uint16_t *port, GError **error)
{
    unsigned value = 0;
    bool good = tpm_options_get_unsigned(options, name, 1, UINT16_MAX, &value, error);

    *port = (uint16_t)value;
    return good;
}

static bool get_tcp(const TPMOptions *options, TPMEmulatorConfig *config, GError **error)
{
    config->host = tpmdev_options_get(options, "host");
    if (config->host && (!tpm_options_require(options, "emulator", "port", error) ||
                         !tpm_options_require(options, "emulator", "control-port", error))) {
        return false;
    }
    return get_port(options, "port", &config->port, error) &&
           get_port(options, "control-port", &config->control_port, error);
}

static bool get_fds(const TPMOptions *options, TPMEmulatorConfig *config, GError **error)
{
    static const char *const names[] = { "fd", "data-fd" };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        unsigned fd = 0;

        if (!tpm_options_get_unsigned(options, names[i], 0, INT_MAX, &fd, error)) {
            return false;
        }
        config->fds[i] = (int)fd;
        config->n_fds += tpmdev_options_get(options, names[i]) != NULL;
    }
    return !tpmdev_options_get(options, "data-fd") ||
           tpm_options_require(options, "emulator", "fd", error);
}

static bool get_seccomp(const TPMOptions *options, TPMSwtpmSeccomp *seccomp, GError **error)
{
    const char *text = tpmdev_options_get(options, "seccomp");

    if (!text) {
        *seccomp = TPM_SWTPM_SECCOMP_DEFAULT;
    } else if (strcmp(text, "kill") == 0) {
        *seccomp = TPM_SWTPM_SECCOMP_KILL;
    } else if (strcmp(text, "log") == 0) {
        *seccomp = TPM_SWTPM_SECCOMP_LOG;
    } else if (strcmp(text, "none") == 0) {
        *seccomp = TPM_SWTPM_SECCOMP_NONE;
    } else {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter 'seccomp' is '%s'; it must be kill, log or none", text);
        return false;
    }
    return true;
}

static bool get_spawn(const TPMOptions *options, TPMEmulatorConfig *config, GError **error)
{
    config->directory = tpmdev_options_get(options, "state-dir");
    config->log_path = tpmdev_options_get(options, "log");
    config->program = tpmdev_options_get(options, "swtpm");
    return tpm_options_get_switch(options, "spawn", &config->spawn, error) &&
           tpmdev_options_get_version(options, (TPMVersion)0, &config->version, error) &&
           tpm_options_get_unsigned(options, "log-level", 0, 20, &config->log_level, error) &&
           get_seccomp(options, &config->seccomp, error);
}

/* The unix socket is the way to swtpm when no other is given. */
static bool get_path(const TPMOptions *options, TPMEmulatorConfig *config, GError **error)
{
    bool other_way = config->host || config->n_fds > 0 || config->spawn;

    config->server_path = tpmdev_options_get(options, "server-path");
    if (!other_way || tpmdev_options_get(options, "path") ||
        tpmdev_options_get(options, "chardev")) {
        config->path = tpmdev_options_get_socket(options, error);
        return config->path != NULL;
    }
    return true;
}

TPMBackend *tpm_emulator_create(const TPMOptions *options, GError **error)
{
    TPMEmulatorConfig config = {
        .size = sizeof(config),
        .id = tpmdev_options_get(options, "id"),
    };

    if (!get_tcp(options, &config, error) || !get_fds(options, &config, error) ||
        !get_spawn(options, &config, error) || !get_path(options, &config, error) ||
        !timeout_options(options, &config, error) ||
        !tpm_options_get_switch(options, "checkpoint", &config.checkpoint, error)) {
        return NULL;
    }
    return tpmdev_backend_emulator_new(&config, error);
}
