/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `passthrough` backend as it comes into being: its configuration is checked, its worker opens
 * the device and asks it what it is, and the caller waits for that, with a deadline of the
 * library's own: what was named by mistake, such as a terminal, may never answer.
 *
 * Neighbours: passthrough.c has the class and the worker; passthrough-device.c the system calls.
 */
#include "passthrough-internal.h"

#include "builtin.h"
#include "options.h"

#include <limits.h>
#include <string.h>

#define DEFAULT_PATH "/dev/tpm0"

/* A TPM may be busy for others, with a key generation say; the kernel bounds each command. */
static const PassthroughDeadlines default_deadlines = { .create = 30000, .destroy = 5000 };

/* ---- what the worker does ---- */

static bool find_out(Passthrough *tpm, GError **error)
{
    TPMVersion version;
    size_t buffer_size;

    if (!tpm_passthrough_probe(&tpm->system, tpm->fd, &version, &buffer_size, error)) {
        g_prefix_error(error, "'%s' is not a TPM device: ", tpm->name);
        return false;
    }
    if (tpm->known && version != tpm->version) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "'%s' is a TPM %s now; it was a TPM %s when the backend was made", tpm->name,
                    version == TPM_VERSION_1_2 ? "1.2" : "2.0",
                    version == TPM_VERSION_1_2 ? "2.0" : "1.2");
        return false;
    }
    if (!tpm->known) {
        tpm->version = version;
        tpm->buffer_size = buffer_size;
    }
    return tpm_passthrough_cancel_setup(tpm, version, error);
}

bool tpm_passthrough_bring_up(Passthrough *tpm, GError **error)
{
    if (tpm->fd < 0 && !tpm->path) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "the TPM of the descriptor that was handed over is gone; only path= can be "
                    "opened again");
        return false;
    }
    if (tpm->fd < 0) {
        tpm->fd = tpm_passthrough_open(&tpm->system, tpm->path, error);
    }
    if (tpm->fd < 0) {
        return false;
    }
    if (!find_out(tpm, error)) {
        tpm_passthrough_close(&tpm->system, &tpm->fd);
        return false;
    }
    return true;
}

/* ---- construction ---- */

static const char *config_fault(const TPMPassthroughConfig *config)
{
    if (!config->id || !*config->id) {
        return "the id is empty; give the backend a name";
    }
    if (config->path && !*config->path) {
        return "the path is empty; name the host's TPM, such as " DEFAULT_PATH;
    }
    if (config->cancel_path && !*config->cancel_path) {
        return "the cancel_path is empty; leave it unset to have the file looked for";
    }
    if (config->path && config->fd) {
        return "path and fd are both set; the TPM is at one of them";
    }
    if (config->cancel_path && config->cancel_fd) {
        return "cancel_path and cancel_fd are both set; cancels go to one of them";
    }
    if ((config->fd && config->fd < 3) || (config->cancel_fd && config->cancel_fd < 3)) {
        return "fd and cancel_fd are descriptors of 3 or more, or 0 for none";
    }
    return NULL;
}

/* As far as the program has it: members it does not know are unset. */
static bool config_check(const TPMPassthroughConfig *given, TPMPassthroughConfig *config,
                         GError **error)
{
    const char *wrong = "size must be sizeof(TPMPassthroughConfig)";

    memset(config, 0, sizeof(*config));
    if (given->size >= sizeof(given->size)) {
        memcpy(config, given, MIN(given->size, sizeof(*config)));
        wrong = config_fault(config);
    }
    if (wrong) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM passthrough: %s", wrong);
    }
    return !wrong;
}

static Passthrough *passthrough_alloc(const TPMPassthroughConfig *config,
                                      const PassthroughSystem *system,
                                      const PassthroughDeadlines *deadlines)
{
    Passthrough *tpm = g_new0(Passthrough, 1);

    g_atomic_ref_count_init(&tpm->refs);
    tpm->system = *system;
    tpm->deadlines = *deadlines;
    tpm->id = g_strdup(config->id);
    tpm->path = config->fd ? NULL : g_strdup(config->path ? config->path : DEFAULT_PATH);
    tpm->name = config->fd ? g_strdup_printf("descriptor %d", config->fd) : g_strdup(tpm->path);
    tpm->cancel_path = g_strdup(config->cancel_path);
    tpm->fd = -1;
    tpm->cancel_fd = -1;
    tpm->response = g_malloc(TPM_BUFFER_SIZE_MAX);
    tpm->command = g_malloc(TPM_BUFFER_SIZE_MAX);
    g_mutex_init(&tpm->lock);
    g_cond_init(&tpm->work_is_due);
    g_cond_init(&tpm->ended);
    return tpm;
}

static bool adopt_descriptors(Passthrough *tpm, const TPMPassthroughConfig *config, GError **error)
{
    if (config->fd) {
        tpm->fd = tpm_passthrough_adopt(&tpm->system, config->fd, error);
    }
    if (config->fd && tpm->fd < 0) {
        return false;
    }
    if (config->cancel_fd) {
        tpm->cancel_fd = tpm_passthrough_adopt_cancel(&tpm->system, config->cancel_fd, error);
        tpm->has_cancel_fd = true;
    }
    return !config->cancel_fd || tpm->cancel_fd >= 0;
}

/* Start the worker and wait until it has found out, or until the deadline. */
static bool have_it_brought_up(Passthrough *tpm, GError **error)
{
    gint64 deadline =
        g_get_monotonic_time() + tpm->deadlines.create * (gint64)G_TIME_SPAN_MILLISECOND;
    bool in_time = true;

    tpm->work = PASSTHROUGH_WORK_BRING_UP;
    tpm->worker_has_ended = false;
    tpm->worker =
        tpm_passthrough_thread_new(tpm, "tpmdev-host-tpm", tpm_passthrough_worker_run, error);
    tpm->worker_has_ended = !tpm->worker;
    if (!tpm->worker) {
        return false;
    }
    g_mutex_lock(&tpm->lock);
    while (in_time && tpm->work & PASSTHROUGH_WORK_BRING_UP) {
        in_time = g_cond_wait_until(&tpm->ended, &tpm->lock, deadline);
    }
    bool known = tpm->known;

    if (tpm->failure) {
        g_propagate_error(error, g_steal_pointer(&tpm->failure));
    } else if (!known) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT,
                    "'%s' did not answer within %u ms; is it a TPM, and not busy?", tpm->name,
                    tpm->deadlines.create);
    }
    g_mutex_unlock(&tpm->lock);
    return known;
}

static TPMBackend *backend_new(Passthrough *tpm, GError **error)
{
    TPMBackendInfo info = {
        .size = sizeof(info),
        .version = tpm->version,
        .buffer_size = tpm->buffer_size,
    };

    tpm->backend = tpmdev_backend_new(&tpm_backend_passthrough_class, tpm->id, &info, tpm, error);
    return tpm->backend;
}

TPMBackend *tpm_passthrough_new(const TPMPassthroughConfig *given, const PassthroughSystem *system,
                                const PassthroughDeadlines *deadlines, GError **error)
{
    TPMPassthroughConfig config;

    if (!config_check(given, &config, error)) {
        return NULL;
    }
    Passthrough *tpm = passthrough_alloc(&config, system, deadlines);

    tpm->worker_has_ended = true; /* until there is one */
    if (!adopt_descriptors(tpm, &config, error) || !have_it_brought_up(tpm, error)) {
        g_prefix_error(error, "TPM backend '%s': ", config.id);
        tpm_passthrough_end(tpm);
        return NULL;
    }
    TPMBackend *backend = backend_new(tpm, error);

    if (!backend) {
        tpm_passthrough_end(tpm);
    }
    return backend;
}

TPMBackend *tpmdev_backend_passthrough_new(const TPMPassthroughConfig *config, GError **error)
{
    return tpm_passthrough_new(config, &tpm_passthrough_host, &default_deadlines, error);
}

/* ---- from an option string ---- */

const char *const tpm_passthrough_options[] = { "path", "cancel-path", "fd", "cancel-fd", NULL };

TPMBackend *tpm_passthrough_create(const TPMOptions *options, GError **error)
{
    unsigned fd = 0, cancel_fd = 0;

    if (!tpm_options_get_unsigned(options, "fd", 3, INT_MAX, &fd, error) ||
        !tpm_options_get_unsigned(options, "cancel-fd", 3, INT_MAX, &cancel_fd, error)) {
        return NULL;
    }
    TPMPassthroughConfig config = {
        .size = sizeof(config),
        .id = tpmdev_options_get(options, "id"),
        .path = tpmdev_options_get(options, "path"),
        .cancel_path = tpmdev_options_get(options, "cancel-path"),
        .fd = (int)fd,
        .cancel_fd = (int)cancel_fd,
    };

    return tpmdev_backend_passthrough_new(&config, error);
}
