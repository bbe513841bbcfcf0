/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's driver of a TPM on SPI; see spi-driver.h. */
#include "spi-driver.h"

#include <string.h>

/* Registers and bits once more: a driver that shared the model's would share its mistakes. */
#define ACCESS     0x00u
#define STS        0x18u
#define DATA_FIFO  0x24u
#define VALID      0x80u
#define READY      0x40u
#define GO         0x20u
#define DATA_AVAIL 0x10u
#define EXPECT     0x08u
#define MUST_BE_0  0x23u

#define HEADER_SIZE 10u
#define DEADLINE_S  30

static bool problem(SPIDriver *driver, const char *text)
{
    if (!driver->problem) {
        driver->problem = text;
    }
    return false;
}

/* ---- frames ---- */

void spi_header(uint8_t *header, bool is_read, uint32_t address, size_t size)
{
    header[0] = (uint8_t)((is_read ? 0x80 : 0) | (size - 1));
    header[1] = 0xD4;
    header[2] = (uint8_t)(address >> 8);
    header[3] = (uint8_t)address;
}

/* The device may have the controller wait, a byte at a time. */
static bool flow_control(SPIDriver *driver, uint8_t last)
{
    for (driver->waits = 0; !(last & 1); driver->waits++) {
        if (driver->waits == SPI_RETRIES) {
            return problem(driver, "no end of wait states");
        }
        tpmdev_device_spi_transfer(driver->device, NULL, &last, 1);
    }
    return true;
}

bool spi_frame(SPIDriver *driver, bool is_read, uint32_t address, uint8_t *bytes, size_t size)
{
    uint8_t header[4];

    spi_header(header, is_read, address, size);
    driver->frames++;
    tpmdev_device_spi_select(driver->device, true);
    tpmdev_device_spi_transfer(driver->device, header, header, sizeof(header));
    bool taken = flow_control(driver, header[3]);

    if (taken) {
        tpmdev_device_spi_transfer(driver->device, is_read ? NULL : bytes, is_read ? bytes : NULL,
                                   size);
    }
    tpmdev_device_spi_select(driver->device, false);
    return taken;
}

bool spi_transfer(SPIDriver *driver, bool is_read, uint32_t address, uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t now = MIN(size, SPI_FRAME_MAX);

        if (!spi_frame(driver, is_read, address, bytes, now)) {
            return false;
        }
        bytes += now;
        size -= now;
    }
    return true;
}

/* ---- registers ---- */

uint32_t spi_read(SPIDriver *driver, unsigned locality, uint32_t reg, unsigned width)
{
    uint8_t bytes[4] = { 0 };
    uint32_t value = 0;

    if (!spi_frame(driver, true, locality << 12 | reg, bytes, width)) {
        return UINT32_MAX;
    }
    for (unsigned i = 0; i < width; i++) {
        value |= (uint32_t)bytes[i] << 8 * i;
    }
    return value;
}

void spi_write(SPIDriver *driver, unsigned locality, uint32_t reg, unsigned width, uint32_t value)
{
    uint8_t bytes[4];

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
    spi_frame(driver, false, locality << 12 | reg, bytes, width);
}

/* ---- commands ---- */

static uint8_t status(SPIDriver *driver, unsigned locality)
{
    uint8_t sts = (uint8_t)spi_read(driver, locality, STS, 1);

    if (sts & MUST_BE_0) {
        problem(driver, "TPM_STS with bits that are always 0");
    }
    return sts;
}

/* Until these bits are set. */
static bool wait_status(SPIDriver *driver, unsigned locality, uint8_t bits)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_S * G_TIME_SPAN_SECOND;

    while ((status(driver, locality) & bits) != bits) {
        if (driver->problem) {
            return false;
        }
        if (g_get_monotonic_time() > deadline) {
            return problem(driver, "TPM_STS does not change");
        }
        if (driver->while_waiting) {
            driver->while_waiting(driver->opaque);
        }
        g_thread_yield();
    }
    return true;
}

static size_t burst_count(SPIDriver *driver, unsigned locality)
{
    size_t burst = spi_read(driver, locality, STS, 4) >> 8 & 0xFFFF;

    if (burst == 0 || burst > SPI_FRAME_MAX) {
        problem(driver, "a burst count that is no frame's size");
    }
    return burst;
}

/* Is Expect as it should be, now that so much has been written? */
static bool check_expect(SPIDriver *driver, unsigned locality, bool expect)
{
    if (!wait_status(driver, locality, VALID)) {
        return false;
    }
    if (((status(driver, locality) & EXPECT) != 0) != expect) {
        return problem(driver, expect ? "Expect ends too soon" : "Expect does not end");
    }
    return true;
}

static bool write_burst(SPIDriver *driver, unsigned locality, const uint8_t *bytes, size_t size)
{
    uint8_t copy[SPI_FRAME_MAX];

    memcpy(copy, bytes, size);
    return spi_transfer(driver, false, locality << 12 | DATA_FIFO, copy, size);
}

/* All but the last byte by bursts, then the last one, which ends Expect. */
static bool send(SPIDriver *driver, unsigned locality, const uint8_t *command, size_t size)
{
    size_t sent = 0;

    if (!(status(driver, locality) & READY)) {
        spi_write(driver, locality, STS, 1, READY);
        if (!wait_status(driver, locality, READY)) {
            return false;
        }
    }
    while (sent < size - 1) {
        size_t burst = MIN(burst_count(driver, locality), size - 1 - sent);

        if (driver->problem || !write_burst(driver, locality, command + sent, burst)) {
            return false;
        }
        sent += burst;
        if (!check_expect(driver, locality, true)) {
            return false;
        }
    }
    return write_burst(driver, locality, command + sent, 1) &&
           check_expect(driver, locality, false);
}

static bool receive(SPIDriver *driver, unsigned locality, uint8_t *bytes, size_t size)
{
    for (size_t got = 0; got < size;) {
        size_t burst = MIN(burst_count(driver, locality), size - got);

        if (driver->problem || !wait_status(driver, locality, VALID | DATA_AVAIL) ||
            !spi_transfer(driver, true, locality << 12 | DATA_FIFO, bytes + got, burst)) {
            return false;
        }
        got += burst;
    }
    return true;
}

static size_t receive_response(SPIDriver *driver, unsigned locality, uint8_t *response, size_t max)
{
    if (!receive(driver, locality, response, HEADER_SIZE)) {
        return 0;
    }
    size_t size = (size_t)response[2] << 24 | response[3] << 16 | response[4] << 8 | response[5];

    if (size < HEADER_SIZE || size > max) {
        problem(driver, "a response of a size that is none");
        return 0;
    }
    if (!receive(driver, locality, response + HEADER_SIZE, size - HEADER_SIZE)) {
        return 0;
    }
    if (!wait_status(driver, locality, VALID) || (status(driver, locality) & DATA_AVAIL)) {
        problem(driver, "data left over");
        return 0;
    }
    return size;
}

size_t spi_command(SPIDriver *driver, unsigned locality, const uint8_t *command, size_t size,
                   uint8_t *response, size_t max)
{
    size_t got = 0;

    spi_write(driver, locality, ACCESS, 1, 0x02);
    if ((spi_read(driver, locality, ACCESS, 1) & 0xA2) != 0xA0) {
        problem(driver, "the locality is not granted");
        return 0;
    }
    if (send(driver, locality, command, size)) {
        spi_write(driver, locality, STS, 1, GO);
        if (wait_status(driver, locality, VALID | DATA_AVAIL)) {
            got = receive_response(driver, locality, response, max);
        }
    }
    spi_write(driver, locality, STS, 1, READY);
    spi_write(driver, locality, ACCESS, 1, 0x20);
    return got;
}
