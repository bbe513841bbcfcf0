/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between a tpm-spapr device of the library and a virtual I/O device of QEMU's: messages and DMA.
 *
 * Neighbours: libtpmdev-qemu.c has the TPM; qemu-vio.c is the device in QEMU; hw/tpm/spapr.c is the
 * one of the library.
 */
#include "qemu-spapr.h"
#include "qemu-vio.h"

#include <string.h>

static TPMDevice *spapr;

/* ---- what QEMU calls ---- */

static int64_t on_message(const uint8_t message[QEMU_VIO_MESSAGE_SIZE])
{
    uint64_t words[2];

    memcpy(words, message, sizeof(words));
    return tpmdev_device_send_crq(spapr, GUINT64_FROM_BE(words[0]), GUINT64_FROM_BE(words[1]));
}

static void on_queue_changed(void)
{
    tpmdev_device_reset_crq(spapr);
}

/* ---- what the library calls ---- */

static bool host_dma_read(void *opaque, uint64_t address, void *data, size_t size)
{
    (void)opaque;
    return qemu_vio_read(address, data, size);
}

static bool host_dma_write(void *opaque, uint64_t address, const void *data, size_t size)
{
    (void)opaque;
    return qemu_vio_write(address, data, size);
}

static bool host_send_crq(void *opaque, const uint8_t message[QEMU_VIO_MESSAGE_SIZE])
{
    (void)opaque;
    return qemu_vio_send(message);
}

void qemu_spapr_set_host(TPMHost *host)
{
    host->dma_read = host_dma_read;
    host->dma_write = host_dma_write;
    host->send_crq = host_send_crq;
}

bool qemu_spapr_prepare(TPMDevice *device, GError **error)
{
    static QemuVioModel model = {
        .type = "tpmdev-spapr",
        .node_name = TPM_SPAPR_NODE_NAME,
        .device_type = TPM_SPAPR_DEVICE_TYPE,
        .signal_mask = TPM_SPAPR_SIGNAL_MASK,
        .dma_window = TPM_SPAPR_DMA_WINDOW_SIZE,
        .message = on_message,
        .queue_changed = on_queue_changed,
    };

    spapr = device;
    model.compatible = tpmdev_spapr_get_compatible(tpmdev_device_get_version(device));
    char *unusable = qemu_vio_register(&model);

    if (unusable) {
        g_set_error_literal(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED, unusable);
        g_free(unusable);
        return false;
    }
    return true;
}
