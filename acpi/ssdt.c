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
 * real machines has it, and iasl refuses anything else.
 *
 * Neighbours: aml.c encodes the object, table.c the header; log-table.c names the start method.
 */
#include "acpi-config.h"
#include "aml.h"
#include "ppi-aml.h"
#include "table.h"

/* Integers of 32 bits, as in QEMU's tables; the revision of the DSDT decides for all. */
#define SSDT_REVISION 1u

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

/*
 * What the device takes of the address space, and its interrupt. A buffer on a page of its own is
 * named too, unless it is where Memory32Fixed cannot: Linux takes a buffer that is in one
 * resource, or in none.
 */
static void resources(TPMAml *aml, const TPMDevice *device, const TPMAcpiConfig *config)
{
    uint64_t page = tpmdev_device_get_page_address(device);

    /* Memory32Fixed (ReadWrite, base, size) */
    tpm_aml_memory32_fixed(aml, (uint32_t)config->base, (uint32_t)tpmdev_device_get_size(device));
    if (page && page <= UINT32_MAX) {
        /* Memory32Fixed (ReadWrite, page, 0x1000) */
        tpm_aml_memory32_fixed(aml, (uint32_t)page, TPM_CRB_PAGE_SIZE);
    }
    if (config->irq) {
        tpm_aml_interrupt(aml, config->irq); /* Interrupt (...) { irq } */
    }
}

static void device_object(TPMAml *aml, const TPMAcpiConfig *config, const TPMDevice *device)
{
    uint32_t ppi_address = (uint32_t)tpmdev_device_get_ppi_address(device);

    tpm_aml_scope(aml, config->scope); /* Scope (\_SB) { */
    tpm_aml_device(aml, config->name); /* Device (TPM) { */
    hardware_id(aml, tpmdev_device_get_version(device));
    tpm_aml_name(aml, "_UID");                                  /* Name (_UID, */
    tpm_aml_integer(aml, 1);                                    /*     One) */
    tpm_aml_name(aml, "_STA");                                  /* Name (_STA, */
    tpm_aml_integer(aml, DEVICE_PRESENT_ENABLED_SHOWN_WORKING); /*     0x0F) */
    tpm_aml_name(aml, "_CRS");                                  /* Name (_CRS, */
    tpm_aml_resource_template(aml);                             /*     ResourceTemplate () { */
    resources(aml, device, config);                             /*         ... */
    tpm_aml_end(aml);                                           /*     }) */
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
    tpm_table_begin(&table, "SSDT", SSDT_REVISION);
    tpm_aml_begin(&aml, table.bytes);
    device_object(&aml, &resolved, device);
    if (!tpm_aml_finish(&aml, &fault)) {
        tpm_table_drop(&table);
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM ACPI tables: %s", fault);
        return NULL;
    }
    return tpm_table_end(&table);
}
