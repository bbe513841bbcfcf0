/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a device gets into the machines of each of QEMU's targets: what differs between them is a
 * row of a table.
 *
 * Neighbours: libtpmdev-qemu.c, which uses it; qemu-virt.c has what Arm's virt needs, qemu-spapr.c
 * what pseries does, qemu-ppi.c what physical presence memory does; qemu-loader.c hands tables to
 * EDK2.
 */
#ifndef QEMU_TARGET_H
#define QEMU_TARGET_H

#include "qemu-api.h"

#include <tpmdev/tpmdev.h>

/* The device and where it is to be. */
typedef struct QemuPlace {
    QemuPluginId id;
    TPMDevice *device;
    unsigned irq;      /* its number, or 0 */
    unsigned acpi_irq; /* as the tables name it, or 0 */
    bool loader;       /* the tables come by commands of the linker-loader */
    uint64_t base;
    uint64_t log_address;
} QemuPlace;

typedef struct QemuTarget {
    const char *name;                          /* as QEMU calls it */
    const char *models[3];                     /* the first when none is named */
    const char *by_loader;                     /* the model whose tables QEMU would not take */
    uint64_t base;                             /* of the registers, if there are any */
    const char *(*refuse)(const char *option); /* NULL: it takes it; else why not */

    /* Before there is a machine. */
    bool (*prepare)(const QemuPlace *place, GError **error);

    /*
     * To the machine, when that is done; *irq stays NULL when there is no line. Returns NULL, or
     * what is wrong with the machine, to be freed.
     */
    char *(*attach)(const QemuPlace *place, QemuIrq **irq);

    bool ppi; /* physical presence memory, unless ppi=off */
} QemuTarget;

/* By the name that QEMU told; qemu_api_load() has refused all others. */
const QemuTarget *qemu_target_find(const char *name);

/* Is it an option of a CRB device alone? */
bool qemu_is_crb_option(const char *name);

#endif /* QEMU_TARGET_H */
