/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the plugin does for a device's physical presence memory: its place in the guest, the file by
 * which firmware finds it, and the clearing of the machine's memory that a guest may ask for.
 */
#ifndef QEMU_PPI_H
#define QEMU_PPI_H

#include <tpmdev/device.h>

/*
 * Before the guest runs: put the memory of this device, if it has one, into the machine. Returns
 * NULL, or why that cannot be; to be freed.
 */
char *qemu_ppi_attach(const TPMDevice *device);

/*
 * Overwrite all memory of the machine but this device's. Called with QEMU's lock held and no vCPU
 * running, before QEMU loads into memory what belongs there at a reset.
 */
void qemu_clear_memory(const TPMDevice *device);

#endif /* QEMU_PPI_H */
