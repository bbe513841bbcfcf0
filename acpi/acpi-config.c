/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMAcpiConfig: what a host says of where its TPM is, checked field by field before a byte of a
 * table is written. A wrong table is found by nobody but the guest's owner, much later.
 *
 * Neighbours: log-table.c and ssdt.c, which begin with this.
 */
#include "acpi-config.h"

#include "aml.h"

#include <inttypes.h>
#include <string.h>

#define PAGE_SIZE_BYTES 0x1000u

#define FOUR_GIB (UINT64_C(1) << 32)

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *message = g_strdup_vprintf(format, arguments);

    va_end(arguments);
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM ACPI tables: %s", message);
    g_free(message);
    return false;
}

/* Memory32Fixed can only name what ends at 4 GiB or before. */
static bool check_base(uint64_t base, size_t device_size, GError **error)
{
    uint64_t highest = FOUR_GIB - device_size;

    if (base % PAGE_SIZE_BYTES != 0) {
        return refuse(error,
                      "base 0x%" PRIx64 " is not page-aligned; give a multiple of 0x%x, such as "
                      "0x%x",
                      base, PAGE_SIZE_BYTES, TPM_BASE_ADDRESS);
    }
    if (base > highest) {
        return refuse(error,
                      "base 0x%" PRIx64
                      " puts the device's 0x%zx bytes beyond 4 GiB; give 0x%" PRIx64
                      " or less, such as 0x%x",
                      base, device_size, highest, TPM_BASE_ADDRESS);
    }
    return true;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b ? b - a < a_size : a - b < b_size;
}

/* An address of 0 is one the firmware's linker is still to fill in. */
static bool check_log(uint64_t address, uint32_t size, GError **error)
{
    if (address != 0 && size == 0) {
        return refuse(error,
                      "log_size is 0 though log_address is set; give the log's size in bytes, such "
                      "as 0x%x",
                      TPM_LOG_AREA_SIZE);
    }
    if (address > UINT64_MAX - size) {
        return refuse(error,
                      "log_address 0x%" PRIx64 " and log_size 0x%" PRIx32
                      " reach beyond 64 bits; give an address of guest memory",
                      address, size);
    }
    return true;
}

static bool check_scope(const char *scope, GError **error)
{
    if (!scope || !tpm_aml_is_absolute_path(scope)) {
        return refuse(error,
                      "scope '%s' is no absolute ACPI path; give a backslash and names of one to "
                      "four of A-Z, 0-9 and _ with dots between them, such as \\_SB or \\_SB.PCI0",
                      scope ? scope : "(null)");
    }
    return true;
}

/* TPMDeviceConfig has been checked; what is said here of the rest must agree with it. */
static bool check_ppi(const TPMAcpiConfig *config, const TPMDevice *device, GError **error)
{
    uint64_t address = tpmdev_device_get_ppi_address(device);

    if (overlap(address, TPM_PPI_SIZE, config->base, tpmdev_device_get_size(device))) {
        return refuse(error,
                      "base 0x%" PRIx64
                      " puts the device over its physical presence memory at 0x%" PRIx64
                      "; give each a place of its own",
                      config->base, address);
    }
    if (config->log_address &&
        overlap(address, TPM_PPI_SIZE, config->log_address, config->log_size)) {
        return refuse(error,
                      "log_address 0x%" PRIx64
                      " puts the log over the physical presence memory at 0x%" PRIx64
                      "; give each a place of its own",
                      config->log_address, address);
    }
    return true;
}

/* Names that begin with an underscore are ACPI's own (5.3). */
static bool check_name(const char *name, GError **error)
{
    if (!name || !tpm_aml_is_name_segment(name) || name[0] == '_') {
        return refuse(error,
                      "name '%s' is no ACPI device name; give one to four of A-Z, 0-9 and _, "
                      "beginning with a letter, such as TPM",
                      name ? name : "(null)");
    }
    return true;
}

bool tpm_acpi_config_resolve(const TPMAcpiConfig *given, const TPMDevice *device,
                             TPMAcpiConfig *config, GError **error)
{
    *config = (TPMAcpiConfig)TPM_ACPI_CONFIG_INIT;
    if (tpmdev_device_get_size(device) == 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "TPM ACPI tables: they describe a device in memory, and this one is on a bus "
                    "of its own; describe it in the machine's device tree");
        return false;
    }
    if (given) {
        if (given->size < sizeof(given->size)) {
            return refuse(error, "size is %zu; begin with TPM_ACPI_CONFIG_INIT, which sets it",
                          given->size);
        }
        memcpy(config, given, MIN(given->size, sizeof(*config)));
    }
    return check_base(config->base, tpmdev_device_get_size(device), error) &&
           check_log(config->log_address, config->log_size, error) &&
           check_scope(config->scope, error) && check_name(config->name, error) &&
           (!tpmdev_device_get_ppi_address(device) || check_ppi(config, device, error));
}
