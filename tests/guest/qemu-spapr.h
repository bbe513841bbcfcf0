/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tpm-spapr as a virtual I/O device of QEMU's machine pseries.
 *
 * Neighbours: libtpmdev-qemu.c calls these; qemu-vio.c is the device in QEMU.
 */
#ifndef QEMU_SPAPR_H
#define QEMU_SPAPR_H

#include <tpmdev/tpmdev.h>

/* Set what a tpm-spapr device needs of its host. */
void qemu_spapr_set_host(TPMHost *host);

/* Make the device's type known to QEMU, before there is a machine. */
bool qemu_spapr_prepare(TPMDevice *device, GError **error);

#endif /* QEMU_SPAPR_H */
