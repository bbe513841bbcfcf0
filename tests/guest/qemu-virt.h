/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What Arm's `virt` takes besides mapped registers: a node in the device tree, an interrupt.
 *
 * Neighbours: qemu-target.c, which uses it.
 */
#ifndef QEMU_VIRT_H
#define QEMU_VIRT_H

#include "qemu-api.h"

/* Between the devices of virt and its platform bus, where it has nothing. */
#define QEMU_VIRT_TPM_BASE 0x0B000000u

/*
 * Before there is a machine: from its first CPU on, its device tree is to have a node for a TIS
 * device. The tree of a user's own -dtb is left as it is.
 */
void qemu_virt_prepare(QemuPluginId id, uint64_t base, uint64_t size);

/*
 * The machine is there, and in its device tree the node if qemu_virt_prepare() was called: NULL,
 * or what is wrong with it, to be freed.
 */
char *qemu_virt_check(bool with_node);

/* The line a TPM of QEMU's own would have. */
QemuIrq *qemu_virt_irq(void);

#endif /* QEMU_VIRT_H */
