/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device from QEMU's option string: `tpm-tis,tpmdev=tpm0,irq=5`, and what goes beyond QEMU.
 *
 * Neighbours: backends/tpm/options.c parses, device.c makes the device.
 */
#include "options.h"

#include <string.h>
#include <tpmdev/device.h>

#define WINDOW_MAX_US 1000u

static bool interface_from_model(const char *model, TPMInterface *interface, GError **error)
{
    const char *const *models = tpmdev_device_get_models();

    for (unsigned i = 0; models[i]; i++) {
        if (strcmp(models[i], model) == 0) {
            *interface = (TPMInterface)i;
            return true;
        }
    }
    g_autofree char *list = g_strjoinv(", ", (char **)models);

    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND,
                "'%s' is not a valid device model name; it must be one of: %s", model, list);
    return false;
}

static TPMBackend *find_backend(const char *model, const char *id, TPMBackend *const *backends,
                                GError **error)
{
    for (; backends && *backends; backends++) {
        if (strcmp(tpmdev_backend_get_id(*backends), id) == 0) {
            return *backends;
        }
    }
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND,
                "Property '%s.tpmdev' can't find value '%s'; give the id of a TPM backend", model,
                id);
    return NULL;
}

static bool config_from_options(const TPMOptions *options, TPMDeviceConfig *config, GError **error)
{
    unsigned window_us = TPM_COMPLETION_WINDOW_DEFAULT_NS / 1000;

    if (!tpm_options_get_unsigned(options, "irq", 0, G_MAXUINT, &config->irq, error) ||
        !tpm_options_get_unsigned(options, "window", 0, WINDOW_MAX_US, &window_us, error)) {
        return false;
    }
    config->completion_window_ns = (int64_t)window_us * 1000;
    return tpm_options_get_unsigned(options, "wait-states", 0, G_MAXUINT, &config->wait_states,
                                    error) &&
           tpm_options_get_address(options, "base", &config->base, error);
}

/* The names every interface has; one with neither address nor line of its own has fewer. */
static const char *const *common_names(TPMInterface interface)
{
    static const char *const names[] = { "driver", "tpmdev",   "irq", "window",
                                         "base",   "incoming", NULL };
    static const char *const bus_names[] = { "driver", "tpmdev", "window", "incoming", NULL };
    bool on_bus = interface == TPM_INTERFACE_TIS_I2C || interface == TPM_INTERFACE_SPAPR;

    return on_bus ? bus_names : names;
}

/* The names of the options that this interface has and others lack; NULL for none. */
static const char *const *interface_names(TPMInterface interface)
{
    static const char *const crb_names[] = { "localities",     "interrupts", "buffer",
                                             "buffer-address", "chunk",      "ppi",
                                             "ppi-address",    NULL };
    static const char *const tis_names[] = { "drtm", "ppi", "ppi-address", "selftest", NULL };
    static const char *const spi_names[] = { "wait-states", "selftest", NULL };
    static const char *const i2c_names[] = { "selftest", NULL };

    switch (interface) {
    case TPM_INTERFACE_CRB:
        return crb_names;
    case TPM_INTERFACE_TIS:
    case TPM_INTERFACE_TIS_SYSBUS:
        return tis_names;
    case TPM_INTERFACE_TIS_SPI:
        return spi_names;
    case TPM_INTERFACE_TIS_I2C:
        return i2c_names;
    case TPM_INTERFACE_SPAPR:
        break;
    }
    return NULL;
}

/* Where the buffer is: with the registers, or on a page of its own, which needs an address. */
static bool crb_buffer_from_options(const TPMOptions *options, TPMDeviceConfig *config,
                                    GError **error)
{
    const char *buffer = tpmdev_options_get(options, "buffer");
    bool page = buffer && strcmp(buffer, "page") == 0;

    if (buffer && !page && strcmp(buffer, "window") != 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter 'buffer' is '%s'; it must be window or page", buffer);
        return false;
    }
    if (!tpm_options_get_address(options, "buffer-address", &config->buffer_address, error)) {
        return false;
    }
    if (page != (config->buffer_address != 0)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "parameters 'buffer=page' and 'buffer-address' go together; give both");
        return false;
    }
    return true;
}

static bool crb_config_from_options(const TPMOptions *options, TPMDeviceConfig *config,
                                    GError **error)
{
    return tpm_options_get_switch(options, "localities", &config->localities, error) &&
           tpm_options_get_switch(options, "interrupts", &config->interrupts, error) &&
           tpm_options_get_switch(options, "chunk", &config->chunk, error) &&
           crb_buffer_from_options(options, config, error);
}

/* The physical presence memory: none, or at its usual place unless another one is given. */
static bool ppi_from_options(const TPMOptions *options, TPMDeviceConfig *config, GError **error)
{
    uint64_t address = TPM_PPI_ADDRESS;
    bool on = false;

    if (!tpm_options_get_switch(options, "ppi", &on, error) ||
        !tpm_options_get_address(options, "ppi-address", &address, error)) {
        return false;
    }
    if (!on && tpmdev_options_get(options, "ppi-address")) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "parameter 'ppi-address' needs 'ppi=on'; give both");
        return false;
    }
    if (on && address == 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "parameter 'ppi-address' is 0; give an address such as 0x%x, or ppi=off",
                    TPM_PPI_ADDRESS);
        return false;
    }
    config->ppi_address = on ? address : 0;
    return true;
}

TPMDevice *tpmdev_device_new_from_string(const char *text, TPMBackend *const *backends,
                                         const TPMHost *host, void *opaque, GError **error)
{
    g_autoptr(TPMOptions) options = tpm_options_parse(text, "driver", error);
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;

    if (!options) {
        return NULL;
    }
    const char *model = tpm_options_require(options, "device", "driver", error);

    if (!model || !interface_from_model(model, &config.interface, error) ||
        !tpm_options_check_names(options, model, common_names(config.interface),
                                 interface_names(config.interface), error) ||
        !config_from_options(options, &config, error) ||
        !tpm_options_get_switch(options, "drtm", &config.drtm, error) ||
        !tpm_options_get_switch(options, "selftest", &config.selftest, error) ||
        !tpm_options_get_switch(options, "incoming", &config.incoming, error) ||
        !crb_config_from_options(options, &config, error) ||
        !ppi_from_options(options, &config, error)) {
        return NULL;
    }
    const char *id = tpmdev_options_get(options, "tpmdev");

    if (!id) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "%s: 'tpmdev' property is required; give the id of a TPM backend", model);
        return NULL;
    }
    TPMBackend *backend = find_backend(model, id, backends, error);

    return backend ? tpmdev_device_new(&config, backend, host, opaque, error) : NULL;
}
