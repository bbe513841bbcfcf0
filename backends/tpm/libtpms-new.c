/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making a `libtpms` backend: its option string, its configuration, and what is wrong with them.
 *
 * Neighbours: registry.c calls create(); libtpms-engine.c takes the state into use; libtpms.c
 * puts a thread and a backend around that.
 */
#include "libtpms-internal.h"
#include "options.h"

#include <string.h>
#include <unistd.h>

/* What a program needs to have said at least: the members of version 0.1. */
#define CONFIG_SIZE_MIN (offsetof(TPMLibtpmsConfig, version) + sizeof(TPMVersion))

/* A key can be given in one of three ways; which of them, and how an error calls it. */
typedef struct KeySource {
    const uint8_t *bytes;
    const char *path;
    int fd;
    const char *bytes_name, *path_name, *fd_name;
} KeySource;

static KeySource key_source(const TPMLibtpmsConfig *config)
{
    return (KeySource){ config->key, config->key_file, config->key_fd, "TPMLibtpmsConfig.key",
                        "key-file",  "key-fd" };
}

static KeySource old_key_source(const TPMLibtpmsConfig *config)
{
    return (KeySource){ config->old_key,    config->old_key_file,
                        config->old_key_fd, "TPMLibtpmsConfig.old_key",
                        "old-key-file",     "old-key-fd" };
}

static unsigned count_given(const KeySource *source)
{
    return (source->bytes != NULL) + (source->path != NULL) + (source->fd != 0);
}

/* ---- the configuration ---- */

static const char *find_wrong_key(const TPMLibtpmsConfig *config)
{
    KeySource key = key_source(config), old_key = old_key_source(config);

    if (count_given(&key) > 1) {
        return "of key, key-file and key-fd, one can be given";
    }
    if (count_given(&old_key) > 1) {
        return "of old_key, old-key-file and old-key-fd, one can be given";
    }
    if (key.fd < 0 || (key.fd > 0 && key.fd <= STDERR_FILENO) || old_key.fd < 0 ||
        (old_key.fd > 0 && old_key.fd <= STDERR_FILENO)) {
        return "key-fd and old-key-fd must be above 2";
    }
    if (count_given(&key) == 0 && count_given(&old_key) > 0) {
        return "an old key is for state that is to have another one; give key-file or key-fd, too";
    }
    if (count_given(&key) == 0 && config->convert) {
        return "convert is for state that is to be encrypted; give key-file or key-fd, too";
    }
    return NULL;
}

static bool config_check(const TPMLibtpmsConfig *config, GError **error)
{
    const char *wrong = NULL;

    if (config->size < CONFIG_SIZE_MIN) {
        wrong = "size is not sizeof(TPMLibtpmsConfig)";
    } else if (!config->directory || !*config->directory) {
        wrong = "directory is empty; give an existing directory";
    } else if (config->version != TPM_VERSION_1_2 && config->version != TPM_VERSION_2_0) {
        wrong = "version is neither TPM_VERSION_1_2 nor TPM_VERSION_2_0";
    } else {
        wrong = find_wrong_key(config);
    }
    if (wrong) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPMLibtpmsConfig: %s", wrong);
    }
    return !wrong;
}

/* ---- making one ---- */

/* True with NULL in *key where none is given. */
static bool read_key(const KeySource *source, TPMStateKey **key, GError **error)
{
    *key = NULL;
    if (source->bytes) {
        *key = tpm_state_key_new(source->bytes, source->bytes_name, error);
    } else if (source->path) {
        *key = tpm_state_key_read_file(source->path, source->path_name, error);
    } else if (source->fd != 0) {
        *key = tpm_state_key_read_fd(source->fd, source->fd_name, error);
    }
    return *key || count_given(source) == 0;
}

static TPMBackend *backend_new(const TPMLibtpmsConfig *config, TPMStateKey *key,
                               TPMStateKey *old_key, GError **error)
{
    LibtpmsSetup setup = {
        .version = config->version,
        .directory = config->directory,
        .access = { key, old_key, config->convert, config->counter },
        .incoming = config->incoming,
        .release_lock_outgoing = config->release_lock_outgoing,
        .counter_changed = config->counter_changed,
        .opaque = config->opaque,
    };
    LibtpmsEngine *engine = libtpms_engine_open(&setup, error);

    return engine ? tpm_libtpms_new(config->id, config->version, engine, error) : NULL;
}

TPMBackend *tpmdev_backend_libtpms_new(const TPMLibtpmsConfig *user_config, GError **error)
{
    TPMLibtpmsConfig config = { 0 };

    /* What the program's headers do not have yet is 0; what they have beyond ours is left out. */
    memcpy(&config, user_config, MIN(user_config->size, sizeof(config)));
    if (!config_check(&config, error)) {
        return NULL;
    }
    KeySource source = key_source(&config), old_source = old_key_source(&config);
    g_autoptr(TPMStateKey) key = NULL;
    g_autoptr(TPMStateKey) old_key = NULL;

    if (!read_key(&source, &key, error) || !read_key(&old_source, &old_key, error)) {
        return NULL;
    }
    return backend_new(&config, key, old_key, error);
}

/* ---- from an option string ---- */

const char *const tpm_libtpms_options[] = { "dir",        "version",
                                            "key-file",   "key-fd",
                                            "convert",    "old-key-file",
                                            "old-key-fd", "counter",
                                            "incoming",   "release-lock-outgoing",
                                            NULL };

static bool get_fd(const TPMOptions *options, const char *name, int *fd, GError **error)
{
    unsigned number = 0;

    if (!tpm_options_get_unsigned(options, name, STDERR_FILENO + 1, G_MAXINT, &number, error)) {
        return false;
    }
    *fd = (int)number;
    return true;
}

static bool get_counter(const TPMOptions *options, uint64_t *counter, GError **error)
{
    const char *text = tpmdev_options_get(options, "counter");
    guint64 number = 0;

    if (text && !g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &number, NULL)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter 'counter' is '%s'; it must be a number from 0 to %" G_GUINT64_FORMAT,
                    text, G_MAXUINT64);
        return false;
    }
    *counter = number;
    return true;
}

TPMBackend *tpm_libtpms_create(const TPMOptions *options, GError **error)
{
    TPMLibtpmsConfig config = {
        .size = sizeof(config),
        .id = tpmdev_options_get(options, "id"),
        .directory = tpmdev_options_get(options, "dir"),
        .key_file = tpmdev_options_get(options, "key-file"),
        .old_key_file = tpmdev_options_get(options, "old-key-file"),
    };

    if (!config.directory || !*config.directory) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "libtpms: parameter 'dir' is missing; give dir=DIRECTORY for the TPM's state");
        return NULL;
    }
    if (!tpmdev_options_get_version(options, TPM_VERSION_2_0, &config.version, error) ||
        !get_fd(options, "key-fd", &config.key_fd, error) ||
        !get_fd(options, "old-key-fd", &config.old_key_fd, error) ||
        !tpm_options_get_switch(options, "convert", &config.convert, error) ||
        !tpm_options_get_switch(options, "incoming", &config.incoming, error) ||
        !tpm_options_get_switch(options, "release-lock-outgoing", &config.release_lock_outgoing,
                                error) ||
        !get_counter(options, &config.counter, error)) {
        return NULL;
    }
    return tpmdev_backend_libtpms_new(&config, error);
}
