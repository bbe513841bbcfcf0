/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machines of each target: registers, memory and interrupt of a device, and the tables by which
 * the guest's firmware finds it.
 */
#include "qemu-target.h"
#include "qemu-loader.h"
#include "qemu-ppi.h"
#include "qemu-say.h"
#include "qemu-spapr.h"
#include "qemu-vio.h"
#include "qemu-virt.h"

#include <string.h>

/* Over whatever else QEMU may have at the place. */
#define REGION_PRIORITY 1

static struct {
    QemuMemoryRegion registers;
    QemuMemoryRegion log;
    QemuMemoryRegion page; /* of the device's buffer, if it has one */
} regions;

bool qemu_is_crb_option(const char *name)
{
    static const char *const names[] = { "localities", "interrupts",     "buffer",
                                         "chunk",      "buffer-address", NULL };

    return g_strv_contains(names, name);
}

/* Options that would go unheard on a target. */

static const char *refuse_of_pc(const char *option)
{
    static const char *const names[] = { "ppi", "ppi-address", NULL };

    if (g_strv_contains(names, option)) {
        return "is for a PC; virt has no firmware that knows of such memory";
    }
    if (strcmp(option, "log") == 0) {
        return "is for a PC; firmware on virt has its log in memory of its own";
    }
    if (strcmp(option, "acpi-irq") == 0) {
        return "is for a PC; drivers on virt poll";
    }
    return strcmp(option, "tables") == 0
               ? "is for a PC; on virt the device says how it is found: tpm-crb by ACPI"
               : NULL;
}

static const char *refuse_of_registers(const char *option)
{
    static const char *const names[] = { "base", "log",         "irq",    "acpi-irq",
                                         "ppi",  "ppi-address", "tables", NULL };

    return g_strv_contains(names, option) || qemu_is_crb_option(option)
               ? "is for a device with registers, and tpm-spapr has none; leave it out"
               : NULL;
}

static uint64_t registers_read(void *opaque, uint64_t address, unsigned size)
{
    uint64_t value;

    tpmdev_device_read(opaque, address, size, &value);
    return value;
}

static void registers_write(void *opaque, uint64_t address, uint64_t value, unsigned size)
{
    tpmdev_device_write(opaque, address, size, value);
}

/* The library takes every width and alignment, so that QEMU need not split any. */
static const QemuMemoryRegionOps registers_ops = {
    .read = registers_read,
    .write = registers_write,
    .endianness = QEMU_LITTLE_ENDIAN,
    .valid = { .min = 1, .max = 8, .unaligned = true },
    .impl = { .min = 1, .max = 8, .unaligned = true },
};

/*
 * The buffer's page is the device's memory and the guest's: its vCPUs read and write it without
 * an exit. It lies over whatever else there is, as all the device's regions.
 */
static void map_page(const QemuPlace *place)
{
    void *page = tpmdev_device_get_page(place->device);

    if (page) {
        qemu.memory_region_init_ram_ptr(&regions.page, NULL, "tpmdev-buffer", TPM_CRB_PAGE_SIZE,
                                        page);
        qemu.memory_region_add_subregion_overlap(qemu.get_system_memory(),
                                                 tpmdev_device_get_page_address(place->device),
                                                 &regions.page, REGION_PRIORITY);
    }
}

static void map_registers(const QemuPlace *place)
{
    qemu.memory_region_init_io(&regions.registers, NULL, &registers_ops, place->device,
                               "tpmdev-registers", tpmdev_device_get_size(place->device));
    qemu.memory_region_add_subregion_overlap(qemu.get_system_memory(), place->base,
                                             &regions.registers, REGION_PRIORITY);
    map_page(place);
}

static char *attach_log(const QemuPlace *place)
{
    QemuError *error = NULL;

    qemu.memory_region_init_ram(&regions.log, NULL, "tpmdev-log", TPM_LOG_AREA_SIZE, &error);
    if (error) {
        return g_strdup(qemu.error_get_pretty(error));
    }
    qemu.memory_region_add_subregion_overlap(qemu.get_system_memory(), place->log_address,
                                             &regions.log, REGION_PRIORITY);
    return NULL;
}

/*
 * On a PC: registers, physical presence memory and the firmware's log in guest memory, an
 * interrupt of the ISA bus.
 */
static char *attach_pc(const QemuPlace *place, QemuIrq **irq)
{
    if (!qemu.object_resolve_path_type("", "ISA", NULL)) {
        return g_strdup("this machine has no ISA bus; use -machine q35 or -machine pc");
    }
    if (place->irq > 0) {
        *irq = qemu.isa_get_irq(NULL, place->irq);
    }
    map_registers(place);
    char *wrong = place->loader ? qemu_loader_attach() : attach_log(place);

    return wrong ? wrong : qemu_ppi_attach(place->device);
}

/* On Arm: registers and an interrupt; ACPI tables, or the device tree has its node already. */
static char *attach_virt(const QemuPlace *place, QemuIrq **irq)
{
    char *wrong = qemu_virt_check(!place->loader);

    if (!wrong) {
        *irq = place->irq > 0 ? qemu_virt_irq() : NULL;
        map_registers(place);
        wrong = place->loader ? qemu_loader_attach() : NULL;
    }
    return wrong;
}

static void complain(const char *message)
{
    qemu_say("%s", message);
}

/* The tables in files of their own; firmware places them, and its log. */
static bool prepare_loader(const QemuPlace *place, TPMAcpiConfig *config, GError **error)
{
    QemuLoaderParts parts = { NULL, NULL, NULL };

    config->log_address = 0;
    parts.tables = tpmdev_fw_cfg_tables(place->device, config, &parts.commands, error);
    if (parts.tables) {
        parts.log = tpmdev_fw_cfg_log(place->device, config, error);
    }
    return parts.log && qemu_loader_prepare(&parts, complain, error);
}

static bool prepare_pc(const QemuPlace *place, GError **error)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    config.base = place->base;
    config.log_address = place->log_address;
    config.irq = place->acpi_irq;
    if (place->loader) {
        return prepare_loader(place, &config, error);
    }
    GBytes *log_table = tpmdev_acpi_log_table(place->device, &config, error);
    GBytes *ssdt = log_table ? tpmdev_acpi_ssdt(place->device, &config, error) : NULL;

    if (ssdt) {
        qemu_add_acpi_table(ssdt);
        qemu_add_acpi_table(log_table);
        g_bytes_unref(ssdt);
    }
    g_clear_pointer(&log_table, g_bytes_unref);
    return ssdt != NULL;
}

/* There is a binding for device trees of TIS only, so that CRB comes by ACPI. */
static bool prepare_virt(const QemuPlace *place, GError **error)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    config.base = place->base;
    config.platform = TPM_ACPI_PLATFORM_ARM;
    if (place->loader) {
        return prepare_loader(place, &config, error);
    }
    qemu_virt_prepare(place->id, place->base, tpmdev_device_get_size(place->device));
    return true;
}

static bool prepare_pseries(const QemuPlace *place, GError **error)
{
    return qemu_spapr_prepare(place->device, error);
}

static char *attach_pseries(const QemuPlace *place, QemuIrq **irq)
{
    (void)place;
    (void)irq; /* QEMU's device has its own */
    return qemu_vio_create();
}

static const QemuTarget targets[] = {
    { "x86_64",
      { "tpm-tis", "tpm-crb" },
      NULL,
      TPM_BASE_ADDRESS,
      NULL,
      prepare_pc,
      attach_pc,
      true },
    { "i386", { "tpm-tis", "tpm-crb" }, NULL, TPM_BASE_ADDRESS, NULL, prepare_pc, attach_pc, true },
    { "aarch64",
      { "tpm-tis-device", "tpm-crb" },
      "tpm-crb",
      QEMU_VIRT_TPM_BASE,
      refuse_of_pc,
      prepare_virt,
      attach_virt,
      false },
    { "ppc64",
      { "tpm-spapr" },
      NULL,
      0,
      refuse_of_registers,
      prepare_pseries,
      attach_pseries,
      false },
};

const QemuTarget *qemu_target_find(const char *name)
{
    unsigned i = 0;

    while (strcmp(targets[i].name, name) != 0) {
        i++;
    }
    return &targets[i];
}
