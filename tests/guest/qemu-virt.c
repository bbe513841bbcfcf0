/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM on QEMU's machine `virt`: where an Arm guest's firmware looks for one is the device tree.
 * QEMU makes the tree before the first CPU, which is when a plugin hears of it, and hands it to
 * the guest when all of the machine is there.
 *
 * Neighbours: qemu-target.c maps the registers; qemu-api.c has found the functions.
 */
#include "qemu-virt.h"

#include <inttypes.h>
#include <string.h>

/* Shared peripheral interrupt of the first device of the platform bus. */
#define TPM_IRQ_LINE 112

/* The first word of a flattened device tree, as it lies in memory. */
static const uint8_t tree_magic[] = { 0xD0, 0x0D, 0xFE, 0xED };

static struct {
    uint64_t base;
    uint64_t size;
    bool has_node;
} virt;

static QemuObject *virt_machine(void)
{
    return qemu.object_dynamic_cast(qemu.qdev_get_machine(), "virt-machine");
}

/*
 * The machine's tree is the first thing in it behind what every object has, and a container is an
 * object that has nothing else. NULL if it is not there.
 */
static void *machine_tree(QemuObject *machine)
{
    size_t offset = qemu.object_type_get_instance_size("container");
    uint8_t magic[sizeof(tree_magic)];
    void *tree;

    if (!qemu_peek((uint8_t *)machine + offset, &tree, sizeof(tree)) ||
        !qemu_peek(tree, magic, sizeof(magic)) || memcmp(magic, tree_magic, sizeof(magic)) != 0) {
        return NULL;
    }
    return tree;
}

/* As the binding of `tcg,tpm-tis-mmio` has it. No interrupt, as in QEMU's: drivers poll. */
static void add_node(void *tree)
{
    const uint64_t reg[] = { GUINT64_TO_BE(virt.base), GUINT64_TO_BE(virt.size) };
    static const char compatible[] = "tcg,tpm-tis-mmio";
    char *path = g_strdup_printf("/tpm@%" PRIx64, virt.base);

    qemu.qemu_fdt_add_subnode(tree, path);
    qemu.qemu_fdt_setprop(tree, path, "compatible", compatible, sizeof(compatible));
    qemu.qemu_fdt_setprop(tree, path, "reg", reg, sizeof(reg));
    g_free(path);
}

static void on_cpu_created(QemuPluginId id, unsigned cpu)
{
    QemuObject *machine = virt_machine();
    void *tree = machine && !virt.has_node ? machine_tree(machine) : NULL;

    (void)id;
    (void)cpu;
    if (tree) {
        add_node(tree);
        virt.has_node = true;
    }
}

void qemu_virt_prepare(QemuPluginId id, uint64_t base, uint64_t size)
{
    virt.base = base;
    virt.size = size;
    qemu.qemu_plugin_register_vcpu_init_cb(id, on_cpu_created);
}

char *qemu_virt_check(bool with_node)
{
    if (!virt_machine()) {
        return g_strdup("this machine is not virt; use -machine virt");
    }
    if (with_node && !virt.has_node) {
        return g_strdup("the machine's device tree is not where it is expected; " WHICH_QEMU);
    }
    return NULL;
}

QemuIrq *qemu_virt_irq(void)
{
    QemuObject *gic = qemu.object_resolve_path_type("", "arm_gic_common", NULL);

    if (!gic) {
        gic = qemu.object_resolve_path_type("", "arm-gicv3-common", NULL);
    }
    return gic ? qemu.qdev_get_gpio_in(gic, TPM_IRQ_LINE) : NULL;
}
