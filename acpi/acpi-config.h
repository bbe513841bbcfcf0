/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The check of a TPMAcpiConfig, shared by everything that writes a table.
 */
#ifndef TPM_ACPI_CONFIG_H
#define TPM_ACPI_CONFIG_H

#include <stdbool.h>
#include <tpmdev/acpi.h>

/*
 * Copy *given (NULL for the defaults) to *config, with defaults for the members it does not
 * reach, and check every field for this device.
 */
bool tpm_acpi_config_resolve(const TPMAcpiConfig *given, const TPMDevice *device,
                             TPMAcpiConfig *config, GError **error);

#endif /* TPM_ACPI_CONFIG_H */
