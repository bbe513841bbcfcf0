/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device-tree node by which firmware and systems find a TPM device on machines without ACPI:
 * Arm, RISC-V, LoongArch and POWER. The tree is a flattened one, as libfdt has it.
 */
#ifndef TPMDEV_DEVICE_TREE_H
#define TPMDEV_DEVICE_TREE_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/device.h>
#include <tpmdev/error.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/**
 * TPMDeviceTreeConfig: where a device is in the tree
 *
 * Begin with TPM_DEVICE_TREE_CONFIG_INIT, which sets @size and the defaults. New members are only
 * ever added at the end; one beyond @size has its default.
 */
typedef struct TPMDeviceTreeConfig {
    /** sizeof(TPMDeviceTreeConfig) of the caller, in bytes */
    size_t size;

    /** path of the node of the bus the device is on; default "/" */
    const char *parent;

    /**
     * the device's address on that bus: of its registers, as the bus counts; its I2C address; its
     * SPI chip select; its unit address among the virtual devices of a pSeries machine. Default
     * TPM_BASE_ADDRESS, which is right for none but memory-mapped devices
     */
    uint64_t address;

    /** the interrupt, as its controller's binding counts it; default NULL, none */
    const uint32_t *interrupt;

    /** 32-bit numbers at @interrupt; default 0 */
    size_t interrupt_cells;

    /** phandle of the interrupt controller; default 0: the one of the bus */
    uint32_t interrupt_parent;

    /** guest physical address of the firmware's measurement log; default 0, none */
    uint64_t log_address;

    /** bytes of it; default TPM_LOG_AREA_SIZE of <tpmdev/acpi.h> */
    uint32_t log_size;

    /** SPI: the fastest clock, in hertz; default 10000000 */
    uint32_t spi_max_frequency;

    /**
     * pSeries: the window for DMA, as `ibm,my-dma-window` has it: the number of the window, its
     * first address (2) and its bytes (2), high halves first; needed there; default NULL
     */
    const uint32_t *dma_window;
} TPMDeviceTreeConfig;

/** Initialiser with the defaults: `TPMDeviceTreeConfig config = TPM_DEVICE_TREE_CONFIG_INIT;` */
#define TPM_DEVICE_TREE_CONFIG_INIT                                                                \
    {                                                                                              \
        sizeof(TPMDeviceTreeConfig), "/", TPM_BASE_ADDRESS, NULL, 0, 0, 0, 0x10000, 10000000, NULL \
    }

/** 32-bit numbers at TPMDeviceTreeConfig.dma_window. */
#define TPM_DEVICE_TREE_DMA_WINDOW_CELLS 5u

/**
 * tpmdev_device_tree_add: add the device's node
 * @device: the device
 * @config: where it is; NULL for the defaults
 * @fdt:    a flattened device tree that libfdt can write to, with room for the node: some 300
 *          bytes; see fdt_open_into()
 * @error:  where a failure is described
 *
 * The node's bindings are Linux's: `tcg,tpm-tis-mmio`, `tcg,tpm-tis-i2c`, `tcg,tpm_tis-spi`, and
 * `IBM,vtpm20` or `IBM,vtpm` by the TPM's version. The log is told by `linux,sml-base` and
 * `linux,sml-size`, but on pSeries, where firmware makes it. Any thread may call it, one at a time
 * for a tree.
 *
 * Returns TRUE, or FALSE with the tree as it was: TPM_ERROR_UNSUPPORTED for a device there is no
 * binding for (tpm-crb), TPM_ERROR_NOT_FOUND for a parent that is not there, TPM_ERROR_IN_USE for
 * an address at which there is a TPM already, TPM_ERROR_INVALID_OPTION for a member that cannot be
 * and for a tree that is none or has no room.
 */
TPMDEV_EXPORT
gboolean tpmdev_device_tree_add(const TPMDevice *device, const TPMDeviceTreeConfig *config,
                                void *fdt, GError **error);

G_END_DECLS

#endif /* TPMDEV_DEVICE_TREE_H */
