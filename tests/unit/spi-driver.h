/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's driver of a TPM on SPI, the way Linux's does it: frames of a header, a look at the
 * flow control, up to 64 bytes; commands by burst count, stsValid and Expect.
 *
 * Written from the specification, not from the device. It fails nothing: what was wrong is noted
 * in `problem`, so that threads beside cmocka's can use it.
 */
#ifndef SPI_DRIVER_H
#define SPI_DRIVER_H

#include <tpmdev/tpmdev.h>

#define SPI_FRAME_MAX 64

/* So often the driver looks at the flow control before it gives up. */
#define SPI_RETRIES 50

typedef struct SPIDriver {
    TPMDevice *device;
    const char *problem; /* the first thing that was wrong, static; or NULL */
    unsigned waits;      /* wait states of the last frame */
    unsigned frames;
    void (*while_waiting)(void *opaque); /* between two looks for a response; or NULL */
    void *opaque;
} SPIDriver;

/* The four bytes that begin a frame. */
void spi_header(uint8_t *header, bool is_read, uint32_t address, size_t size);

/* One frame of 1 to 64 bytes at D40000h + address; false when the device made it wait too long. */
bool spi_frame(SPIDriver *driver, bool is_read, uint32_t address, uint8_t *bytes, size_t size);

/* As many frames of one address as it takes. */
bool spi_transfer(SPIDriver *driver, bool is_read, uint32_t address, uint8_t *bytes, size_t size);

/* Registers, little-endian, as numbers; all ones when the frame fails. */
uint32_t spi_read(SPIDriver *driver, unsigned locality, uint32_t reg, unsigned width);
void spi_write(SPIDriver *driver, unsigned locality, uint32_t reg, unsigned width, uint32_t value);

/* A command in, its response out; returns the response's size, or 0 with `problem` set. */
size_t spi_command(SPIDriver *driver, unsigned locality, const uint8_t *command, size_t size,
                   uint8_t *response, size_t max);

#endif /* SPI_DRIVER_H */
