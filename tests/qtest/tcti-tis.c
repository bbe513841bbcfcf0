/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's TIS driver. It takes the steps of Linux's tpm_tis_core, in its order and with its
 * checks (TCG PC Client Platform TPM Profile, "State Transition Diagram"): request the locality,
 * commandReady, all bytes but the last by burst count, Expect, the last one, no Expect, tpmGo,
 * dataAvail, the header, the rest, no dataAvail, commandReady, relinquish.
 *
 * Neighbours: tcti.c, whose program this is part of.
 */
#include "tcti.h"

/* Of locality 0. */
#define TPM_ACCESS    (TPM_BASE_ADDRESS + 0x00u)
#define TPM_STS       (TPM_BASE_ADDRESS + 0x18u)
#define TPM_DATA_FIFO (TPM_BASE_ADDRESS + 0x24u)

#define ACCESS_VALID           0x80u
#define ACCESS_ACTIVE_LOCALITY 0x20u
#define ACCESS_REQUEST_USE     0x02u

#define STS_VALID         0x80u
#define STS_COMMAND_READY 0x40u
#define STS_GO            0x20u
#define STS_DATA_AVAIL    0x10u
#define STS_EXPECT        0x08u

static void expect_now(Driver *driver, uint8_t mask, uint8_t value, const char *what)
{
    uint8_t sts = driver_read8(driver, TPM_STS);

    if (!driver->error && (sts & mask) != value) {
        driver_fail(driver, "STS is 0x%02x: %s", sts, what);
    }
}

static size_t burst_count(Driver *driver)
{
    gint64 deadline = g_get_monotonic_time() + TIMEOUT_S * G_TIME_SPAN_SECOND;
    size_t burst;

    do {
        burst = driver_read32(driver, TPM_STS) >> 8 & 0xFFFF;
        if (burst == 0 && g_get_monotonic_time() > deadline) {
            driver_fail(driver, "the burst count stays 0");
        }
    } while (burst == 0 && !driver->error);
    return burst;
}

/* ---- a command ---- */

static void request_locality(Driver *driver)
{
    driver_write8(driver, TPM_ACCESS, ACCESS_REQUEST_USE);
    driver_wait_for(driver, TPM_ACCESS, ACCESS_VALID | ACCESS_ACTIVE_LOCALITY | ACCESS_REQUEST_USE,
                    ACCESS_VALID | ACCESS_ACTIVE_LOCALITY, TIMEOUT_S, "grant of the locality");
    if (!(driver_read8(driver, TPM_STS) & STS_COMMAND_READY)) {
        driver_write8(driver, TPM_STS, STS_COMMAND_READY);
        driver_wait_for(driver, TPM_STS, STS_COMMAND_READY, STS_COMMAND_READY, TIMEOUT_S,
                        "commandReady");
    }
}

static void send_bytes(Driver *driver, const uint8_t *data, size_t size)
{
    while (size && !driver->error) {
        size_t burst = MIN(burst_count(driver), size);

        for (size_t i = 0; i < burst; i++) {
            driver_write8(driver, TPM_DATA_FIFO, data[i]);
        }
        data += burst;
        size -= burst;
    }
}

static void send_command(Driver *driver, const uint8_t *command, size_t size)
{
    send_bytes(driver, command, size - 1);
    driver_wait_for(driver, TPM_STS, STS_VALID, STS_VALID, TIMEOUT_S, "stsValid");
    expect_now(driver, STS_EXPECT, STS_EXPECT, "the TPM expects no last byte");
    driver_write8(driver, TPM_DATA_FIFO, command[size - 1]);
    driver_wait_for(driver, TPM_STS, STS_VALID, STS_VALID, TIMEOUT_S, "stsValid");
    expect_now(driver, STS_EXPECT, 0, "the TPM expects more than the command");
    driver_write8(driver, TPM_STS, STS_GO);
    driver_wait_for(driver, TPM_STS, STS_VALID | STS_DATA_AVAIL, STS_VALID | STS_DATA_AVAIL,
                    DURATION_S, "response");
}

static void receive_bytes(Driver *driver, uint8_t *data, size_t size)
{
    while (size && !driver->error) {
        expect_now(driver, STS_DATA_AVAIL, STS_DATA_AVAIL, "the response is too short");
        size_t burst = MIN(burst_count(driver), size);

        for (size_t i = 0; i < burst; i++) {
            data[i] = driver_read8(driver, TPM_DATA_FIFO);
        }
        data += burst;
        size -= burst;
    }
}

static size_t receive_response(Driver *driver, uint8_t *response)
{
    receive_bytes(driver, response, TPM_HEADER_SIZE);
    size_t size = tcti_response_size(driver, response);

    if (size == 0) {
        return 0;
    }
    receive_bytes(driver, response + TPM_HEADER_SIZE, size - TPM_HEADER_SIZE);
    driver_wait_for(driver, TPM_STS, STS_VALID, STS_VALID, TIMEOUT_S, "stsValid");
    expect_now(driver, STS_DATA_AVAIL, 0, "data is left over after the response");
    return size;
}

size_t tis_carry_out(Driver *driver, uint8_t *buffer, size_t size)
{
    request_locality(driver);
    send_command(driver, buffer, size);
    size = receive_response(driver, buffer);
    driver_write8(driver, TPM_STS, STS_COMMAND_READY);
    driver_write8(driver, TPM_ACCESS, ACCESS_ACTIVE_LOCALITY);
    return size;
}
