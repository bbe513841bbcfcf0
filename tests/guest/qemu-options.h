/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The arguments of -plugin, as README.rst lists them.
 *
 * Neighbours: libtpmdev-qemu.c reads them; qemu-target.c says what a target's machines take.
 */
#ifndef QEMU_OPTIONS_H
#define QEMU_OPTIONS_H

#include "qemu-target.h"

/* Options of the plugin itself; those of the device and the backend go to them as they are. */
typedef struct QemuOptions {
    const QemuTarget *target;
    const char *device;
    const char *tpmdev;
    const char *stats; /* a file for the device's counters when QEMU ends, or NULL */
    unsigned irq;
    bool acpi_irq; /* the tables name it */
    bool has_ppi;  /* ppi was given */
    bool loader;   /* the tables come by commands of the linker-loader */
    uint64_t base;
    uint64_t log_address;
    GString *for_device;
    GString *for_backend;
} QemuOptions;

/* The defaults on a target. */
void qemu_options_init(QemuOptions *options, const QemuTarget *target);

void qemu_options_clear(QemuOptions *options);

/*
 * What the user gave, as NAME=VALUE each; strings stay the user's. False: it cannot be, and why
 * has been said.
 */
bool qemu_options_parse(QemuOptions *options, int argc, char **argv);

#endif /* QEMU_OPTIONS_H */
