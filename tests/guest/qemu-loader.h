/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ACPI tables of ours beside QEMU's, on the way by which its firmware gets them: files of fw_cfg,
 * and the linker-loader's commands that place them in the guest's memory.
 *
 * Neighbours: qemu-target.c, which uses it; acpi/fw-cfg.c makes files and commands.
 */
#ifndef QEMU_LOADER_H
#define QEMU_LOADER_H

#include "qemu-api.h"

/* What the firmware is to get: the files of tpmdev/fw_cfg.h, and the commands. */
typedef struct QemuLoaderParts {
    GBytes *tables;
    GBytes *log;
    GBytes *commands;
} QemuLoaderParts;

/*
 * Before there is a machine. The parts are consumed; `complain` is called, with QEMU's lock held,
 * should the commands not go into the file any more while the guest runs. False: this QEMU cannot
 * be used.
 */
bool qemu_loader_prepare(const QemuLoaderParts *parts, void (*complain)(const char *message),
                         GError **error);

/* The machine is there, with its tables. NULL, or what is wrong with it, to be freed. */
char *qemu_loader_attach(void);

#endif /* QEMU_LOADER_H */
