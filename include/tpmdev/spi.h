/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPM_INTERFACE_TIS_SPI: a TPM on an SPI bus of the hypervisor.
 *
 * The bus calls tpmdev_device_spi_select() when the chip select changes and
 * tpmdev_device_spi_transfer() for the bytes between: one at a time, a whole frame at once, or
 * anything between these; the outcome is the same. What the bytes mean is the TCG PC Client
 * Platform TPM Profile's, "SPI Bit Protocol": a header of four bytes, wait states, 1 to 64 bytes
 * of registers. docs/tis-spi.rst has it in short, and what the profile leaves open.
 *
 * Threads: any thread may call either; the library locks per device. One bus has one controller,
 * so bytes of two frames do not come mixed unless the hypervisor mixes them, and then the device
 * takes them for one frame. No call waits; the byte that starts a short command may linger for
 * the completion window.
 */
#ifndef TPMDEV_SPI_H
#define TPMDEV_SPI_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/device.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/**
 * tpmdev_device_spi_select: the chip select of an SPI device changes
 * @device:   the device
 * @selected: true when it is selected, whatever the polarity of the wire (CS# is low)
 *
 * A frame begins when the device is selected and ends when it no longer is. What a frame that
 * ends early has written to whole registers and to the FIFO stays; a register of which only some
 * bytes had come is not written. The level it has already changes nothing. A device is not
 * selected when it is made, and a reset leaves the select as it is but ends the frame.
 *
 * Nothing happens to a device of another interface.
 */
TPMDEV_EXPORT
void tpmdev_device_spi_select(TPMDevice *device, bool selected);

/**
 * tpmdev_device_spi_transfer: bytes on the bus, in both directions at once
 * @device: the device
 * @out:    @size bytes from the controller to the device (MOSI); NULL: zeros
 * @in:     where @size bytes from the device to the controller go (MISO); may be @out; NULL:
 * nowhere
 * @size:   how many bytes; 0 is none
 *
 * All of @in is written. It is FFh, as on a bus nobody drives, while the device is not selected,
 * for bytes beyond the frame's announced size, for registers of no locality, and for a device of
 * another interface.
 */
TPMDEV_EXPORT
void tpmdev_device_spi_transfer(TPMDevice *device, const uint8_t *out, uint8_t *in, size_t size);

G_END_DECLS

#endif /* TPMDEV_SPI_H */
