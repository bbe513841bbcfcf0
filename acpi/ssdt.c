/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The SSDT that holds the TPM's device object, by which an operating system's driver is bound
 * (TCG ACPI Specification 1.2, "TPM Device Object"; TCG PC Client Platform Firmware Profile).
 *
 * It names an interrupt only when it is asked to: the line QEMU's device has by default belongs to
 * other devices too, and a system that is told of none polls. The descriptor is the long one, which
 * Linux takes as it stands: the short one, IRQ(), it may override with what it thinks of the ISA
 * interrupts. Level-triggered and active high is how QEMU's tables describe those of PCI links, and
 * how the device drives its line. The objects are those of QEMU's device in QEMU's order, but
 * for _STR, which QEMU makes a plain string: ACPI wants Unicode (ACPI 6.5, 6.1.10), as firmware of
 * real machines has it, and iasl refuses anything else. On Arm they are those of QEMU's `virt`.
 *
 * Neighbours: aml.c encodes the object, table.c the header; log-table.c names the start method.
 */
#include "acpi-config.h"
#include "aml.h"
#include "ppi-aml.h"
#include "table.h"

/* Integers of 32 bits, or of 64, as in QEMU's tables; the revision of the DSDT decides for all. */
#define SSDT_REVISION_32 1u
#define SSDT_REVISION_64 2u

#define FOUR_GIB (UINT64_C(1) << 32)

#define DEVICE_PRESENT_ENABLED_SHOWN_WORKING 0xFu

/* How a system's driver recognises a TPM of each version. */
static void hardware_id(TPMAml *aml, TPMVersion version)
{
    switch (version) {
    case TPM_VERSION_2_0:
        tpm_aml_name(aml, "_HID");              /* Name (_HID, */
        tpm_aml_string(aml, "MSFT0101");        /*     "MSFT0101") */
        tpm_aml_name(aml, "_STR");              /* Name (_STR, */
        tpm_aml_unicode(aml, "TPM 2.0 Device"); /*     Unicode ("TPM 2.0 Device")) */
        break;
    case TPM_VERSION_1_2:
        tpm_aml_name(aml, "_HID");       /* Name (_HID, */
        tpm_aml_eisa_id(aml, "PNP0C31"); /*     EisaId ("PNP0C31")) */
        break;
    }
}

/* In the older of two descriptors if it can, which ends at 4 GiB: every system knows that one. */
static void memory(TPMAml *aml, uint64_t base, uint64_t size)
{
    if (base <= FOUR_GIB - size) {
        /* Memory32Fixed (ReadWrite, base, size) */
        tpm_aml_memory32_fixed(aml, (uint32_t)base, (uint32_t)size);
    } else {
        tpm_aml_qword_memory(aml, base,
                             size); /* QWordMemory (..., base, base + size - 1, 0, size) */
    }
}

/* What the device takes of the address space, a buffer's page included, and its interrupt. */
static void resources(TPMAml *aml, const TPMDevice *device, const TPMAcpiConfig *config)
{
    uint64_t page = tpmdev_device_get_page_address(device);

    memory(aml, config->base, tpmdev_device_get_size(device));
    if (page) {
        memory(aml, page, TPM_CRB_PAGE_SIZE);
    }
    if (config->irq) {
        /* Interrupt (...) { irq } */
        tpm_aml_interrupt(aml, config->irq, config->platform == TPM_ACPI_PLATFORM_X86);
    }
}

/* What tells this device from others of its kind, and that it is there; on Arm that goes without.
 */
static void identity(TPMAml *aml, TPMAcpiPlatform platform)
{
    tpm_aml_name(aml, "_UID"); /* Name (_UID, */
    switch (platform) {
    case TPM_ACPI_PLATFORM_X86:
        tpm_aml_integer(aml, 1);                                    /*     One) */
        tpm_aml_name(aml, "_STA");                                  /* Name (_STA, */
        tpm_aml_integer(aml, DEVICE_PRESENT_ENABLED_SHOWN_WORKING); /*     0x0F) */
        break;
    case TPM_ACPI_PLATFORM_ARM:
        tpm_aml_integer(aml, 0); /*     Zero) */
        break;
    }
}

static void device_object(TPMAml *aml, const TPMAcpiConfig *config, const TPMDevice *device)
{
    uint32_t ppi_address = (uint32_t)tpmdev_device_get_ppi_address(device);

    tpm_aml_scope(aml, config->scope); /* Scope (\_SB) { */
    tpm_aml_device(aml, config->name); /* Device (TPM) { */
    hardware_id(aml, tpmdev_device_get_version(device));
    identity(aml, config->platform);
    tpm_aml_name(aml, "_CRS");      /* Name (_CRS, */
    tpm_aml_resource_template(aml); /*     ResourceTemplate () { */
    resources(aml, device, config); /*         ... */
    tpm_aml_end(aml);               /*     }) */
    if (ppi_address) {
        tpm_ppi_aml(aml, ppi_address);
    }
    tpm_aml_end(aml); /* } */
    tpm_aml_end(aml); /* } */
}

GBytes *tpmdev_acpi_ssdt(const TPMDevice *device, const TPMAcpiConfig *config, GError **error)
{
    TPMAcpiConfig resolved;
    TPMTable table;
    TPMAml aml;
    const char *fault;

    if (!tpm_acpi_config_resolve(config, device, &resolved, error)) {
        return NULL;
    }
    tpm_table_begin(&table, "SSDT",
                    resolved.platform == TPM_ACPI_PLATFORM_X86 ? SSDT_REVISION_32
                                                               : SSDT_REVISION_64,
                    &resolved);
    tpm_aml_begin(&aml, table.bytes);
    device_object(&aml, &resolved, device);
    if (!tpm_aml_finish(&aml, &fault)) {
        tpm_table_drop(&table);
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM ACPI tables: %s", fault);
        return NULL;
    }
    return tpm_table_end(&table);
}
