/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtual I/O device in QEMU's machine pseries: a type of QEMU's object model with one device of
 * it, its queue of messages and its DMA.
 *
 * All functions are called with QEMU's big lock held, and so are those of the QemuVioModel.
 *
 * Neighbours: libtpmdev-qemu.c, which has such a device; qemu-vio-api.c, which knows QEMU.
 */
#ifndef QEMU_VIO_H
#define QEMU_VIO_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QEMU_VIO_MESSAGE_SIZE 16u

/* What the device is; static. */
typedef struct QemuVioModel {
    const char *type; /* for QEMU's object model */

    /* In the device tree. */
    const char *node_name;
    const char *device_type;
    const char *compatible;

    uint32_t signal_mask;
    uint32_t dma_window; /* bytes */

    /* The guest sent a message by H_SEND_CRQ; returns what the hypercall returns. */
    int64_t (*message)(const uint8_t message[QEMU_VIO_MESSAGE_SIZE]);

    /* The guest's queue is another than at the last message. */
    void (*queue_changed)(void);
} QemuVioModel;

/*
 * Make the type known to QEMU; when the plugin is installed, after qemu_api_load(). Returns NULL,
 * or why this QEMU cannot be used; to be freed.
 */
char *qemu_vio_register(const QemuVioModel *model);

/*
 * Make the device; when the machine is done. Returns NULL, or why there can be none; to be freed.
 */
char *qemu_vio_create(void);

/* Copy from or to an address of the device's DMA window; false: not all of it is the guest's. */
bool qemu_vio_read(uint64_t address, void *data, size_t size);
bool qemu_vio_write(uint64_t address, const void *data, size_t size);

/* Put a message into the guest's queue and raise its interrupt; false: there is no room for it. */
bool qemu_vio_send(const uint8_t message[QEMU_VIO_MESSAGE_SIZE]);

#endif /* QEMU_VIO_H */
