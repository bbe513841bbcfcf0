/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making a `libtpms` backend: its option string, its configuration, and what is wrong with them.
 *
 * Neighbours: registry.c calls create(); libtpms-engine.c takes the state into use; libtpms.c
 * puts a thread and a backend around that.
 */
#include "libtpms-internal.h"

#include <string.h>

/* What a program needs to have said at least: the members of version 0.1. */
#define CONFIG_SIZE_MIN (offsetof(TPMLibtpmsConfig, version) + sizeof(TPMVersion))

static bool config_check(const TPMLibtpmsConfig *config, GError **error)
{
    const char *wrong = NULL;

    if (config->size < CONFIG_SIZE_MIN) {
        wrong = "size is not sizeof(TPMLibtpmsConfig)";
    } else if (!config->directory || !*config->directory) {
        wrong = "directory is empty; give an existing directory";
    } else if (config->version != TPM_VERSION_1_2 && config->version != TPM_VERSION_2_0) {
        wrong = "version is neither TPM_VERSION_1_2 nor TPM_VERSION_2_0";
    }
    if (wrong) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPMLibtpmsConfig: %s", wrong);
    }
    return !wrong;
}

TPMBackend *tpmdev_backend_libtpms_new(const TPMLibtpmsConfig *user_config, GError **error)
{
    TPMLibtpmsConfig config = { 0 };

    /* What the program's headers do not have yet is 0; what they have beyond ours is left out. */
    memcpy(&config, user_config, MIN(user_config->size, sizeof(config)));
    if (!config_check(&config, error)) {
        return NULL;
    }
    LibtpmsEngine *engine = libtpms_engine_open(config.version, config.directory, error);

    return engine ? tpm_libtpms_new(config.id, config.version, engine, error) : NULL;
}

/* ---- from an option string ---- */

const char *const tpm_libtpms_options[] = { "dir", "version", NULL };

TPMBackend *tpm_libtpms_create(const TPMOptions *options, GError **error)
{
    TPMLibtpmsConfig config = {
        .size = sizeof(config),
        .id = tpmdev_options_get(options, "id"),
        .directory = tpmdev_options_get(options, "dir"),
    };

    if (!config.directory || !*config.directory) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "libtpms: parameter 'dir' is missing; give dir=DIRECTORY for the TPM's state");
        return NULL;
    }
    if (!tpmdev_options_get_version(options, TPM_VERSION_2_0, &config.version, error)) {
        return NULL;
    }
    return tpmdev_backend_libtpms_new(&config, error);
}
