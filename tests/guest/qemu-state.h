/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device as a part of the machine that QEMU saves and loads: for `savevm` and `loadvm`, and for
 * `migrate` and `-incoming`.
 *
 * All functions are called with QEMU's big lock held.
 *
 * Neighbours: libtpmdev-qemu.c, which has the device; qemu-vmstate.c, which knows QEMU.
 */
#ifndef QEMU_STATE_H
#define QEMU_STATE_H

#include <stdbool.h>
#include <tpmdev/device.h>

/*
 * When the plugin is installed, after qemu_api_load(). Returns NULL, or why this QEMU cannot be
 * used; to be freed.
 */
char *qemu_state_load(void);

/* Was QEMU started with -incoming? */
bool qemu_state_is_incoming(void);

/*
 * When the machine is done, and all that is to be loaded before the device is known to QEMU. One
 * whose TPM cannot be taken along keeps the machine from being saved, for the TPM's reason. As
 * qemu_state_load().
 */
char *qemu_state_attach(TPMDevice *device);

/* Is the TPM held, so that there is nothing to wait for? */
bool qemu_state_is_held(void);

#endif /* QEMU_STATE_H */
