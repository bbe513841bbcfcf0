/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The physical presence memory in QEMU. Of the device's memory the guest gets what QEMU's own
 * device gives it: 400h bytes, RAM, which no reset changes.
 *
 * Clearing. QEMU lists the machine's RAM for dumps; what is in that list, and can be written at the
 * place it names, is overwritten as a whole, whatever the chipset shows of it at the moment: main
 * memory and the memory of DIMMs, but no firmware, no flash and no NVDIMM. It is done first of all
 * that QEMU does at a reset (see set_up() in libtpmdev-qemu.c), since QEMU then loads anew what the
 * guest is started with, and that must stay: `-device loader` does so from a reset handler of its
 * own, images from one that QEMU registers last.
 *
 * Neighbours: qemu-target.c and libtpmdev-qemu.c call these; hw/tpm/ppi.c has the memory.
 */
#include "qemu-ppi.h"
#include "qemu-api.h"

#include <string.h>
#include <tpmdev/fw_cfg.h>

/* Over whatever else QEMU may have at the place. */
#define REGION_PRIORITY 1

/* Where a PC starts, and from where in firmware's memory that is. */
#define SHADOW_BEGIN       0xE0000u
#define SHADOW_END         0x100000u
#define SHADOW_TO_FIRMWARE 0xFFF00000u

static QemuMemoryRegion region;

/* ---- clearing ---- */

/* Memory that both have is not the machine's alone. */
static bool is_of_device(const TPMDevice *device, QemuMemoryRegion *memory)
{
    const void *bytes = qemu.memory_region_get_ram_ptr(memory);

    return bytes == tpmdev_device_get_ppi(device) || bytes == tpmdev_device_get_page(device);
}

/* Can a guest write there, or is it firmware's read-only memory, or memory shown read-only? */
static bool is_writable(uint64_t address)
{
    QemuMemoryRegionSection section = qemu.memory_region_find(qemu.get_system_memory(), address, 1);

    if (section.region) {
        qemu.memory_region_unref(section.region);
    }
    return section.region && !section.readonly;
}

static void clear_region(QemuMemoryRegion *memory)
{
    uint64_t size = qemu.memory_region_size(memory);

    memset(qemu.memory_region_get_ram_ptr(memory), 0, size);
    qemu.memory_region_set_dirty(memory, 0, size);
}

/*
 * A chipset's reset shows firmware's read-only memory below 1 MiB, where firmware may have shown
 * memory with its copy instead. QEMU 7.2's does not, and with the copy cleared the processor would
 * start in nothing; so what stands below 4 GiB is there again.
 */
static void restore_firmware(GHashTable *cleared)
{
    uint64_t at = SHADOW_BEGIN;

    while (at < SHADOW_END) {
        QemuMemoryRegionSection section =
            qemu.memory_region_find(qemu.get_system_memory(), at, SHADOW_END - at);

        if (!section.region) {
            return;
        }
        if (g_hash_table_contains(cleared, section.region)) {
            uint8_t *memory = qemu.memory_region_get_ram_ptr(section.region);

            qemu.cpu_physical_memory_rw(section.address + SHADOW_TO_FIRMWARE,
                                        memory + section.offset, section.size[0], false);
        }
        qemu.memory_region_unref(section.region);
        at = section.address + section.size[0];
    }
}

/*
 * A region has as many blocks as there are holes in what the guest sees of it, and is cleared at
 * the first that can be written. What was translated from it is dropped before a vCPU runs.
 */
void qemu_clear_memory(const TPMDevice *device)
{
    QemuPhysBlocks blocks;
    GHashTable *cleared = g_hash_table_new(NULL, NULL);

    qemu.guest_phys_blocks_init(&blocks);
    qemu.guest_phys_blocks_append(&blocks);
    for (const QemuPhysBlock *block = blocks.first; block; block = block->next) {
        if (!is_of_device(device, block->region) && is_writable(block->start) &&
            g_hash_table_add(cleared, block->region)) {
            clear_region(block->region);
        }
    }
    qemu.guest_phys_blocks_free(&blocks);
    restore_firmware(cleared);
    g_hash_table_unref(cleared);
    qemu.tb_flush(qemu.qemu_get_cpu(0));
}

/* ---- the page, and the file ---- */

/* QEMU's lists are read as it had them in 7.2: is our own region in them, and where it is? */
static bool lists_are_as_expected(uint64_t address)
{
    QemuMemoryRegionSection section = qemu.memory_region_find(qemu.get_system_memory(), address, 1);
    QemuPhysBlocks blocks;
    bool listed = false;

    if (section.region) {
        qemu.memory_region_unref(section.region);
    }
    qemu.guest_phys_blocks_init(&blocks);
    qemu.guest_phys_blocks_append(&blocks);
    for (const QemuPhysBlock *block = blocks.first; block && !listed; block = block->next) {
        listed = block->region == &region && block->start == address;
    }
    qemu.guest_phys_blocks_free(&blocks);
    return listed && section.region == &region && section.address == address && !section.readonly;
}

/* QEMU keeps the bytes it is given, so they are never freed. */
static void add_config_file(void *fw_cfg, const TPMDevice *device)
{
    GBytes *config = tpmdev_fw_cfg_config(device);
    gsize size;
    gpointer data = g_bytes_unref_to_data(config, &size);

    g_free(qemu.fw_cfg_modify_file(fw_cfg, TPM_FW_CFG_CONFIG_FILE, data, size));
}

char *qemu_ppi_attach(const TPMDevice *device)
{
    uint64_t address = tpmdev_device_get_ppi_address(device);
    void *fw_cfg = qemu.fw_cfg_find();

    if (!address) {
        return NULL;
    }
    if (!fw_cfg) {
        return g_strdup("this machine has no fw_cfg, by which firmware finds physical presence "
                        "memory; use -machine q35 or -machine pc, or ppi=off");
    }
    qemu.memory_region_init_ram_ptr(&region, NULL, "tpmdev-ppi", TPM_PPI_SIZE,
                                    tpmdev_device_get_ppi(device));
    qemu.memory_region_add_subregion_overlap(qemu.get_system_memory(), address, &region,
                                             REGION_PRIORITY);
    if (!lists_are_as_expected(address)) {
        return g_strdup("QEMU's lists of memory are not as expected; " WHICH_QEMU);
    }
    add_config_file(fw_cfg, device);
    return NULL;
}
