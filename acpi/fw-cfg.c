/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TPM's files in QEMU's fw_cfg device: etc/tpm/config, etc/tpm/log, and the linker-loader
 * commands that give firmware a log area and the tables (QEMU's specifications of fw_cfg and of
 * its TPM devices).
 *
 * Neighbours: log-table.c and ssdt.c make the tables, loader.c encodes the commands.
 */
#include "acpi-config.h"
#include "loader.h"
#include "table.h"

#include <inttypes.h>
#include <string.h>
#include <tpmdev/fw_cfg.h>

/* The version of the physical presence interface in etc/tpm/config. */
#define PPI_VERSION_NONE 0u
#define PPI_VERSION_1_30 1u

/* As QEMU asks for it, so that firmware's memory map comes out the same. */
#define LOG_ALIGNMENT 1u

/* EDK2 looks at the tables in place. */
#define TABLES_ALIGNMENT 64u

/* ---- etc/tpm/config and etc/tpm/log ---- */

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);

    va_end(arguments);
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM fw_cfg files: %s", message);
    return false;
}

GBytes *tpmdev_fw_cfg_config(const TPMDevice *device)
{
    uint8_t bytes[TPM_FW_CFG_CONFIG_SIZE];
    uint32_t ppi_address = (uint32_t)tpmdev_device_get_ppi_address(device);
    uint32_t le = GUINT32_TO_LE(ppi_address);

    memcpy(bytes, &le, sizeof(le));
    bytes[4] = (uint8_t)tpmdev_device_get_version(device);
    bytes[5] = ppi_address ? PPI_VERSION_1_30 : PPI_VERSION_NONE;
    return g_bytes_new(bytes, sizeof(bytes));
}

GBytes *tpmdev_fw_cfg_log(const TPMDevice *device, const TPMAcpiConfig *config, GError **error)
{
    TPMAcpiConfig resolved;

    if (!tpm_acpi_config_resolve(config, device, &resolved, error)) {
        return NULL;
    }
    if (resolved.no_log) {
        refuse(error, "no_log is set; leave '%s' out", TPM_FW_CFG_LOG_FILE);
        return NULL;
    }
    return g_bytes_new_take(g_malloc0(resolved.log_size), resolved.log_size);
}

/* ---- commands for the log table ---- */

/* Where the log's address stands in the table with this signature, or 0. */
static uint32_t log_address_offset(const uint8_t *table, size_t size)
{
    if (size >= TPM_TABLE_HEADER_SIZE) {
        if (memcmp(table, "TPM2", 4) == 0 && size == TPM_TABLE_TPM2_SIZE) {
            return TPM_TABLE_TPM2_LASA_OFFSET;
        }
        if (memcmp(table, "TCPA", 4) == 0 && size == TPM_TABLE_TCPA_SIZE) {
            return TPM_TABLE_TCPA_LASA_OFFSET;
        }
    }
    return 0;
}

GBytes *tpmdev_acpi_linkable(GBytes *table)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(table, &size);
    uint32_t offset = log_address_offset(data, size);

    if (!offset) {
        return NULL;
    }
    uint8_t *copy = g_memdup2(data, size);

    copy[TPM_TABLE_CHECKSUM_OFFSET] = 0;
    memset(copy + offset, 0, sizeof(uint64_t));
    return g_bytes_new_take(copy, size);
}

/* The two commands that finish the table, once the log and the file are in memory. */
static void finish_log_table(GByteArray *commands, const char *file, uint32_t offset,
                             TPMVersion version)
{
    bool is_2_0 = version == TPM_VERSION_2_0;

    tpm_loader_add_pointer(commands, file, TPM_FW_CFG_LOG_FILE,
                           offset +
                               (is_2_0 ? TPM_TABLE_TPM2_LASA_OFFSET : TPM_TABLE_TCPA_LASA_OFFSET),
                           sizeof(uint64_t));
    tpm_loader_add_checksum(commands, file, offset + TPM_TABLE_CHECKSUM_OFFSET, offset,
                            is_2_0 ? TPM_TABLE_TPM2_SIZE : TPM_TABLE_TCPA_SIZE);
}

GBytes *tpmdev_fw_cfg_log_commands(const TPMDevice *device, const char *file, uint32_t offset,
                                   GError **error)
{
    if (!file) {
        file = TPM_FW_CFG_ACPI_TABLES_FILE;
    }
    if (!tpm_loader_is_name(file)) {
        refuse(error, "file '%s' is no name for a command; give 1 to %u characters", file,
               TPM_FW_CFG_NAME_SIZE - 1);
        return NULL;
    }
    if (offset > UINT32_MAX - TPM_TABLE_TPM2_SIZE) {
        refuse(error,
               "offset 0x%" PRIx32 " leaves no room for a table; give where in '%s' the log table "
               "begins",
               offset, file);
        return NULL;
    }
    GByteArray *commands = g_byte_array_new();

    tpm_loader_allocate(commands, TPM_FW_CFG_LOG_FILE, LOG_ALIGNMENT, TPM_LOADER_HIGH);
    finish_log_table(commands, file, offset, tpmdev_device_get_version(device));
    return g_byte_array_free_to_bytes(commands);
}

/* ---- a file of our own ---- */

/* Two pointers, and what they lead to: offsets, to which firmware adds the file's address. */
static GByteArray *file_of(GBytes *ssdt, GBytes *log_table, uint32_t *log_table_offset)
{
    GByteArray *file = g_byte_array_new();
    uint64_t ssdt_offset = 2 * sizeof(uint64_t);
    uint64_t offsets[] = { GUINT64_TO_LE(ssdt_offset),
                           GUINT64_TO_LE(ssdt_offset + g_bytes_get_size(ssdt)) };

    *log_table_offset = (uint32_t)(ssdt_offset + g_bytes_get_size(ssdt));
    g_byte_array_append(file, (const uint8_t *)offsets, sizeof(offsets));
    g_byte_array_append(file, g_bytes_get_data(ssdt, NULL), (guint)g_bytes_get_size(ssdt));
    g_byte_array_append(file, g_bytes_get_data(log_table, NULL),
                        (guint)g_bytes_get_size(log_table));
    return file;
}

/* A table without a log is finished as it stands. */
static GBytes *commands_for(const TPMDevice *device, uint32_t log_table_offset, bool no_log)
{
    GByteArray *commands = g_byte_array_new();
    const char *file = TPM_FW_CFG_TABLES_FILE;

    if (!no_log) {
        tpm_loader_allocate(commands, TPM_FW_CFG_LOG_FILE, LOG_ALIGNMENT, TPM_LOADER_HIGH);
    }
    tpm_loader_allocate(commands, file, TABLES_ALIGNMENT, TPM_LOADER_HIGH);
    tpm_loader_add_pointer(commands, file, file, 0, sizeof(uint64_t));
    tpm_loader_add_pointer(commands, file, file, sizeof(uint64_t), sizeof(uint64_t));
    if (!no_log) {
        finish_log_table(commands, file, log_table_offset, tpmdev_device_get_version(device));
    }
    return g_byte_array_free_to_bytes(commands);
}

GBytes *tpmdev_fw_cfg_tables(const TPMDevice *device, const TPMAcpiConfig *config,
                             GBytes **commands, GError **error)
{
    TPMAcpiConfig resolved;
    uint32_t offset;

    *commands = NULL;
    if (!tpm_acpi_config_resolve(config, device, &resolved, error)) {
        return NULL;
    }
    if (resolved.log_address) {
        refuse(error, "log_address is set; leave it 0, for firmware to place the log");
        return NULL;
    }
    g_autoptr(GBytes) ssdt = tpmdev_acpi_ssdt(device, &resolved, error);
    g_autoptr(GBytes) table = ssdt ? tpmdev_acpi_log_table(device, &resolved, error) : NULL;

    if (!table) {
        return NULL;
    }
    g_autoptr(GBytes) linkable = tpmdev_acpi_linkable(table);
    GByteArray *file = file_of(ssdt, linkable ? linkable : table, &offset);

    *commands = commands_for(device, offset, resolved.no_log);
    return g_byte_array_free_to_bytes(file);
}
