/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ACPI tables by which firmware and operating systems find a TPM device.
 *
 * Each call returns the finished bytes of one table, checksum included, for a hypervisor to hand
 * to its firmware. Any thread may call them.
 */
#ifndef TPMDEV_ACPI_H
#define TPMDEV_ACPI_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/device.h>
#include <tpmdev/error.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/** Bytes of the firmware's measurement log that QEMU and its firmware use. */
#define TPM_LOG_AREA_SIZE 0x10000u

/**
 * TPMAcpiConfig: where a device and its log are in the guest
 *
 * Begin with TPM_ACPI_CONFIG_INIT, which sets @size and the defaults. New members are only ever
 * added at the end; one beyond @size has its default.
 */
typedef struct TPMAcpiConfig {
    /** sizeof(TPMAcpiConfig) of the caller, in bytes */
    size_t size;

    /** guest physical address of the device; page-aligned; default TPM_BASE_ADDRESS */
    uint64_t base;

    /** guest physical address of the log area; default 0, none known yet */
    uint64_t log_address;

    /** bytes of the log area; default TPM_LOG_AREA_SIZE */
    uint32_t log_size;

    /** where the device object goes, as in ASL's Scope(); default "\\_SB" */
    const char *scope;

    /** the device object's name, one to four of A-Z, 0-9 and _; default "TPM" */
    const char *name;

    /**
     * the device's interrupt, a global system interrupt, for _CRS to name: level-triggered, active
     * high, shared; default 0, which names none, as QEMU's tables. On a PC give the number of
     * TPMDeviceConfig.irq, if that is free there. A system that is told of none polls.
     */
    uint32_t irq;
} TPMAcpiConfig;

/** Initialiser with the defaults: `TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;` */
#define TPM_ACPI_CONFIG_INIT                                                                       \
    {                                                                                              \
        sizeof(TPMAcpiConfig), TPM_BASE_ADDRESS, 0, TPM_LOG_AREA_SIZE, "\\_SB", "TPM", 0           \
    }

/**
 * tpmdev_acpi_log_table: the table that names the start method and the log area
 * @device: the device
 * @config: where things are; NULL for the defaults
 * @error:  where a failure is described
 *
 * TPM 2.0: `TPM2`, revision 4, 76 bytes. TPM 1.2: `TCPA`, the client form, revision 2, 50 bytes.
 * Both as the TCG ACPI Specification lays them out and as QEMU fills them.
 *
 * Returns the bytes, or NULL: TPM_ERROR_INVALID_OPTION naming the field, TPM_ERROR_UNSUPPORTED for
 * a device on a bus of its own.
 */
TPMDEV_EXPORT
GBytes *tpmdev_acpi_log_table(const TPMDevice *device, const TPMAcpiConfig *config, GError **error);

/**
 * tpmdev_acpi_ssdt: the SSDT that holds the device object
 * @device: the device
 * @config: where things are; NULL for the defaults
 * @error:  where a failure is described
 *
 * _HID (MSFT0101 or PNP0C31), _STR, _UID, _STA and _CRS with the device's memory window and, if
 * there is one below 4 GiB, the page of its buffer and, if the configuration names one, its
 * interrupt; for a device with physical presence memory also _DSM, with the interfaces by which a
 * system asks firmware for operations on the TPM (PPI 1.3, functions 0 to 8) and for memory to be
 * cleared.
 *
 * Returns the bytes, or NULL: as tpmdev_acpi_log_table().
 */
TPMDEV_EXPORT
GBytes *tpmdev_acpi_ssdt(const TPMDevice *device, const TPMAcpiConfig *config, GError **error);

G_END_DECLS

#endif /* TPMDEV_ACPI_H */
