/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table that tells firmware and systems how to talk to the TPM and where the firmware's
 * measurement log is: TPM2 for TPM 2.0, TCPA for TPM 1.2 (TCG ACPI Specification 1.2, "TPM2
 * table" and "TCPA client table").
 *
 * TPM2 is of revision 4 with the 12-byte parameter field: Linux and SeaBIOS look for the log
 * pointer behind that one, whatever the revision. Without a log the table ends before that field,
 * which neither start method uses.
 *
 * Neighbours: table.c writes the bytes; ssdt.c describes the device beside it.
 */
#include "acpi-config.h"
#include "table.h"

#define TPM2_REVISION               4u
#define TPM2_START_METHOD_FIFO      6u
#define TPM2_START_METHOD_CRB       7u
#define TPM2_CRB_CONTROL_AREA       0x40u /* offset in the device */
#define TPM2_START_METHOD_ARGUMENTS 12u

#define TCPA_REVISION 2u

#define PLATFORM_CLASS_CLIENT 0u

static GBytes *tpm2_table(const TPMAcpiConfig *config, TPMInterface interface)
{
    bool crb = interface == TPM_INTERFACE_CRB;
    uint64_t control_area = crb ? config->base + TPM2_CRB_CONTROL_AREA : 0; /* a FIFO has none */
    uint32_t start_method = crb ? TPM2_START_METHOD_CRB : TPM2_START_METHOD_FIFO;
    TPMTable table;

    tpm_table_begin(&table, "TPM2", TPM2_REVISION, config);
    tpm_table_u16(&table, PLATFORM_CLASS_CLIENT);
    tpm_table_u16(&table, 0); /* reserved */
    tpm_table_u64(&table, control_area);
    tpm_table_u32(&table, start_method);
    if (config->no_log) {
        g_assert(table.bytes->len == TPM_TABLE_TPM2_NO_LOG_SIZE);
        return tpm_table_end(&table);
    }
    tpm_table_zeros(&table, TPM2_START_METHOD_ARGUMENTS);
    tpm_table_u32(&table, config->log_size);    /* LAML */
    tpm_table_u64(&table, config->log_address); /* LASA */
    g_assert(table.bytes->len == TPM_TABLE_TPM2_SIZE);
    return tpm_table_end(&table);
}

static GBytes *tcpa_table(const TPMAcpiConfig *config)
{
    TPMTable table;

    tpm_table_begin(&table, "TCPA", TCPA_REVISION, config);
    tpm_table_u16(&table, PLATFORM_CLASS_CLIENT);
    tpm_table_u32(&table, config->log_size);    /* LAML */
    tpm_table_u64(&table, config->log_address); /* LASA */
    g_assert(table.bytes->len == TPM_TABLE_TCPA_SIZE);
    return tpm_table_end(&table);
}

GBytes *tpmdev_acpi_log_table(const TPMDevice *device, const TPMAcpiConfig *config, GError **error)
{
    TPMAcpiConfig resolved;

    if (!tpm_acpi_config_resolve(config, device, &resolved, error)) {
        return NULL;
    }
    switch (tpmdev_device_get_version(device)) {
    case TPM_VERSION_2_0:
        return tpm2_table(&resolved, tpmdev_device_get_interface(device));
    case TPM_VERSION_1_2:
        if (resolved.no_log) {
            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                        "TPM ACPI tables: no_log is set, and the TCPA table of a TPM 1.2 tells of "
                        "the log alone; leave no_log unset, or the table out");
            return NULL;
        }
        return tcpa_table(&resolved);
    }
    g_return_val_if_reached(NULL);
}
