/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What firmware takes from QEMU's fw_cfg device, for hypervisors that have one: the blobs of the
 * TPM, and the linker-loader commands by which firmware places the ACPI tables and the log area.
 *
 * Any thread may call these, and none of them waits. Bytes they return are the caller's, who ends
 * them with g_bytes_unref(). Where they are told what they cannot use, they fail and name it.
 */
#ifndef TPMDEV_FW_CFG_H
#define TPMDEV_FW_CFG_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/acpi.h>
#include <tpmdev/device.h>
#include <tpmdev/error.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/** The file that tells firmware of the TPM; OVMF looks for its physical presence memory here. */
#define TPM_FW_CFG_CONFIG_FILE "etc/tpm/config"

/** The file the log area is made of; its content is zeros, which OVMF measures. */
#define TPM_FW_CFG_LOG_FILE "etc/tpm/log"

/** The file of tpmdev_fw_cfg_tables(). */
#define TPM_FW_CFG_TABLES_FILE "etc/tpmdev/tables"

/** The file with the linker-loader's commands, which has those of all devices. */
#define TPM_FW_CFG_LOADER_FILE "etc/table-loader"

/** The file in which QEMU has its ACPI tables. */
#define TPM_FW_CFG_ACPI_TABLES_FILE "etc/acpi/tables"

/** Bytes of TPM_FW_CFG_CONFIG_FILE; OVMF refuses any other number. */
#define TPM_FW_CFG_CONFIG_SIZE 6u

/** Bytes of one linker-loader command. */
#define TPM_FW_CFG_COMMAND_SIZE 128u

/** Bytes of a file's name in a linker-loader command, its terminating NUL included. */
#define TPM_FW_CFG_NAME_SIZE 56u

/**
 * tpmdev_fw_cfg_config: the content of TPM_FW_CFG_CONFIG_FILE
 *
 * Six bytes, little-endian: the address of the device's physical presence memory, 0 when it has
 * none (4), the TPM's version as TPMVersion has it (1), and the version of the physical presence
 * interface, 1 for 1.30 and 0 for none (1). Any thread may call it.
 */
TPMDEV_EXPORT
GBytes *tpmdev_fw_cfg_config(const TPMDevice *device);

/**
 * tpmdev_fw_cfg_log: the content of TPM_FW_CFG_LOG_FILE
 * @device: the device
 * @config: TPMAcpiConfig.log_size tells how many bytes; NULL for the defaults
 * @error:  where a failure is described
 *
 * Returns as many zeros, or NULL: TPM_ERROR_INVALID_OPTION naming the field, which may be no_log,
 * TPM_ERROR_UNSUPPORTED for a device on a bus of its own.
 */
TPMDEV_EXPORT
GBytes *tpmdev_fw_cfg_log(const TPMDevice *device, const TPMAcpiConfig *config, GError **error);

/**
 * tpmdev_fw_cfg_log_commands: allocate the log area, and put its address in a table
 * @device: the device
 * @file:   the file that holds the table of tpmdev_acpi_log_table(); NULL for
 *          TPM_FW_CFG_ACPI_TABLES_FILE
 * @offset: where in it the table begins, in bytes
 * @error:  where a failure is described
 *
 * For a hypervisor that has a file of ACPI tables and commands of its own: ALLOCATE the log,
 * ADD_POINTER to it in the table, ADD_CHECKSUM of the table. They belong behind the command that
 * allocates @file. In the file the table must have a log address and a checksum of 0:
 * tpmdev_acpi_linkable() sees to that.
 *
 * Returns three commands, or NULL: TPM_ERROR_INVALID_OPTION for a name that is too long or an
 * offset at which no table can end within 4 GiB.
 */
TPMDEV_EXPORT
GBytes *tpmdev_fw_cfg_log_commands(const TPMDevice *device, const char *file, uint32_t offset,
                                   GError **error);

/**
 * tpmdev_acpi_linkable: a table as the linker-loader wants it in a file
 * @table: bytes of tpmdev_acpi_log_table(); not consumed
 *
 * Firmware adds the checksum of what it finds, so the byte must be 0 beforehand; EDK2 drops the
 * table without a word if it is not. So must the log's address, to which the area's is added.
 *
 * Returns the same bytes with checksum and log address 0, or NULL when @table is no TPM2 or TCPA
 * table with a log area.
 */
TPMDEV_EXPORT
GBytes *tpmdev_acpi_linkable(GBytes *table);

/**
 * tpmdev_fw_cfg_tables: a file with the TPM's tables, and the commands that place it
 * @device:   the device
 * @config:   where things are; NULL for the defaults; its log_address must be 0
 * @commands: where the commands go: free them with g_bytes_unref()
 * @error:    where a failure is described
 *
 * For a hypervisor whose own tables are out of reach, such as a plugin's: the content of
 * TPM_FW_CFG_TABLES_FILE is two pointers of 8 bytes, to the SSDT and to the log table, and the two
 * tables behind them. The commands allocate the log and the file, set the pointers, and finish
 * the log table; where the configuration has no log, they leave out what is about it. EDK2 installs
 * every table that a pointer leads to; SeaBIOS wants its tables in the RSDT, and so the commands of
 * tpmdev_fw_cfg_log_commands().
 *
 * Returns the file's bytes, or NULL with @commands NULL: as tpmdev_acpi_log_table().
 */
TPMDEV_EXPORT
GBytes *tpmdev_fw_cfg_tables(const TPMDevice *device, const TPMAcpiConfig *config,
                             GBytes **commands, GError **error);

G_END_DECLS

#endif /* TPMDEV_FW_CFG_H */
