/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ACPI tables by which firmware and operating systems find a TPM device.
 *
 * Each call returns the finished bytes of one table, checksum included, for a hypervisor to hand
 * to its firmware; they are the caller's, who ends them with g_bytes_unref(). Any thread may call
 * them, and none of them waits.
 */
#ifndef TPMDEV_ACPI_H
#define TPMDEV_ACPI_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/device.h>
#include <tpmdev/error.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/**
 * Bytes of the firmware's measurement log that QEMU and its firmware use, and the fewest a log area
 * may have: the tables call the machine a client, and the log of one takes 64 KiB at least (TCG PC
 * Client Platform Firmware Profile, "Measurement Event Log").
 */
#define TPM_LOG_AREA_SIZE 0x10000u

/**
 * TPMAcpiPlatform: whose customs the device object follows
 * @TPM_ACPI_PLATFORM_X86: a PC's, as QEMU's: `TPM`, _UID 1 and _STA; integers of 32 bits; an
 *                         interrupt that may be shared
 * @TPM_ACPI_PLATFORM_ARM: those of QEMU's `virt`: `TPM0`, _UID 0 and no _STA; integers of 64 bits;
 *                         an interrupt of the device's own
 *
 * New platforms are only ever added at the end.
 */
typedef enum TPMAcpiPlatform {
    TPM_ACPI_PLATFORM_X86,
    TPM_ACPI_PLATFORM_ARM,
} TPMAcpiPlatform;

/** Characters of TPMAcpiConfig.oem_id. */
#define TPM_ACPI_OEM_ID_SIZE 6u

/** Characters of TPMAcpiConfig.oem_table_id. */
#define TPM_ACPI_OEM_TABLE_ID_SIZE 8u

/** Characters of TPMAcpiConfig.creator_id. */
#define TPM_ACPI_CREATOR_ID_SIZE 4u

/**
 * TPMAcpiConfig: where a device and its log are in the guest
 *
 * Begin with TPM_ACPI_CONFIG_INIT, which sets @size and the defaults. New members are only ever
 * added at the end; one beyond @size has its default.
 */
typedef struct TPMAcpiConfig {
    /** sizeof(TPMAcpiConfig) of the caller, in bytes */
    size_t size;

    /**
     * guest physical address of the device; page-aligned, also at or above 4 GiB; default
     * TPM_BASE_ADDRESS
     */
    uint64_t base;

    /**
     * guest physical address of the log area, outside all that is the device's; default 0, none
     * known yet
     */
    uint64_t log_address;

    /** bytes of the log area, TPM_LOG_AREA_SIZE or more; default TPM_LOG_AREA_SIZE */
    uint32_t log_size;

    /** where the device object goes, as in ASL's Scope(); default "\\_SB" */
    const char *scope;

    /**
     * the device object's name, one to four of A-Z, 0-9 and _, no _ in front; default NULL: the
     * platform's
     */
    const char *name;

    /**
     * the device's interrupt, a global system interrupt, for _CRS to name: level-triggered, active
     * high; default 0, which names none, as QEMU's tables. On a PC give the number of
     * TPMDeviceConfig.irq, if that is free there; on Arm a shared peripheral interrupt's, 32 more
     * than the number it has in a device tree: 32 to 1019, or 4096 to 5119. A system that is told
     * of none polls.
     */
    uint32_t irq;

    /** whose customs the device object follows; default TPM_ACPI_PLATFORM_X86 */
    TPMAcpiPlatform platform;

    /**
     * OEMID of the tables' headers: TPM_ACPI_OEM_ID_SIZE printable ASCII characters, filled up
     * with spaces; default "BOCHS ", as QEMU's
     */
    const char *oem_id;

    /** OEM Table ID: TPM_ACPI_OEM_TABLE_ID_SIZE of them; default "BXPC    " */
    const char *oem_table_id;

    /** OEM Revision; default 1 */
    uint32_t oem_revision;

    /** Creator ID: TPM_ACPI_CREATOR_ID_SIZE of them; default "BXPC" */
    const char *creator_id;

    /** Creator Revision; default 1 */
    uint32_t creator_revision;

    /**
     * TPM 2.0: there is no log area, and the table ends before it, after 52 bytes. For firmware
     * that has its log in memory of its own. Not with log_address. Default false.
     */
    bool no_log;
} TPMAcpiConfig;

/** Initialiser with the defaults: `TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;` */
#define TPM_ACPI_CONFIG_INIT                                                                       \
    {                                                                                              \
        sizeof(TPMAcpiConfig), TPM_BASE_ADDRESS, 0, TPM_LOG_AREA_SIZE, "\\_SB", NULL, 0,           \
            TPM_ACPI_PLATFORM_X86, "BOCHS ", "BXPC    ", 1, "BXPC", 1, false                       \
    }

/**
 * tpmdev_acpi_log_table: the table that names the start method and the log area
 * @device: the device
 * @config: where things are; NULL for the defaults
 * @error:  where a failure is described
 *
 * TPM 2.0: `TPM2`, revision 4, 76 bytes, or 52 without a log. TPM 1.2: `TCPA`, the client form,
 * revision 2, 50 bytes. Both as the TCG ACPI Specification lays them out and as QEMU fills them.
 *
 * Returns the bytes, or NULL: TPM_ERROR_INVALID_OPTION naming the field, TPM_ERROR_UNSUPPORTED for
 * a device on a bus of its own, and for a TPM 1.2 without a log, whose table tells of nothing else.
 */
TPMDEV_EXPORT
GBytes *tpmdev_acpi_log_table(const TPMDevice *device, const TPMAcpiConfig *config, GError **error);

/**
 * tpmdev_acpi_ssdt: the SSDT that holds the device object
 * @device: the device
 * @config: where things are; NULL for the defaults
 * @error:  where a failure is described
 *
 * _HID (MSFT0101 or PNP0C31), _STR, _UID, _STA but on Arm, and _CRS with the device's memory window
 * and, if there is one, the page of its buffer and, if the configuration names one, its interrupt;
 * for a device with physical presence memory also _DSM, with the interfaces by which a system asks
 * firmware for operations on the TPM (PPI 1.3, functions 0 to 8) and for memory to be cleared.
 *
 * Returns the bytes, or NULL: as tpmdev_acpi_log_table().
 */
TPMDEV_EXPORT
GBytes *tpmdev_acpi_ssdt(const TPMDevice *device, const TPMAcpiConfig *config, GError **error);

G_END_DECLS

#endif /* TPMDEV_ACPI_H */
