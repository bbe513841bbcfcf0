/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's CRB driver. It takes the steps of Linux's tpm_crb, in its order: request the locality,
 * cmdReady, no cancel, the command into the buffer, Start, its end, no error, the response's first
 * eight bytes, the rest, goIdle, relinquish (TCG PC Client Platform TPM Profile, "CRB Interface").
 * Where the buffer is the registers tell; with chunks, what is larger goes through it in pieces.
 *
 * Neighbours: tcti.c, whose program this is part of.
 */
#include "tcti.h"

#define LOC_STATE   (TPM_BASE_ADDRESS + 0x00u)
#define LOC_CTRL    (TPM_BASE_ADDRESS + 0x08u)
#define INTF_ID     (TPM_BASE_ADDRESS + 0x30u)
#define CTRL_REQ    (TPM_BASE_ADDRESS + 0x40u)
#define CTRL_STS    (TPM_BASE_ADDRESS + 0x44u)
#define CTRL_CANCEL (TPM_BASE_ADDRESS + 0x48u)
#define CTRL_START  (TPM_BASE_ADDRESS + 0x4Cu)
#define CMD_SIZE    (TPM_BASE_ADDRESS + 0x58u)
#define CMD_LADDR   (TPM_BASE_ADDRESS + 0x5Cu)
#define CMD_HADDR   (TPM_BASE_ADDRESS + 0x60u)

#define LOC_STATE_VALID     0x80u
#define LOC_STATE_ASSIGNED  0x02u
#define LOC_CTRL_REQUEST    1u
#define LOC_CTRL_RELINQUISH 2u
#define INTF_ID_CHUNK       (1u << 10)
#define REQ_CMD_READY       1u
#define REQ_GO_IDLE         2u
#define STS_ERROR           1u
#define START_INVOKE        1u
#define START_NEXT_CHUNK    4u

/* What Linux reads of a response at first: enough for its size. */
#define FIRST_BYTES 8u

typedef struct Window {
    uint64_t address;
    size_t size;
} Window;

static void wait_locality(Driver *driver, uint8_t assigned)
{
    driver_wait_for(driver, LOC_STATE, LOC_STATE_VALID | LOC_STATE_ASSIGNED,
                    (uint8_t)(LOC_STATE_VALID | assigned), TIMEOUT_S, "change of the locality");
}

static void control_request(Driver *driver, uint32_t request)
{
    driver_write32(driver, CTRL_REQ, request);
    driver_wait_for(driver, CTRL_REQ, 0xFF, 0, TIMEOUT_S, "end of cmdReady or goIdle");
}

static Window find_window(Driver *driver, size_t size)
{
    uint64_t low = driver_read32(driver, CMD_LADDR);
    uint64_t high = driver_read32(driver, CMD_HADDR);
    Window window = { high << 32 | low, driver_read32(driver, CMD_SIZE) };

    if (window.size < TPM_HEADER_SIZE) {
        driver_fail(driver, "the buffer has %zu bytes", window.size);
    } else if (size > window.size && !(driver_read32(driver, INTF_ID) & INTF_ID_CHUNK)) {
        driver_fail(driver, "the command has %zu bytes, the buffer %zu", size, window.size);
    }
    return window;
}

static void next_chunk(Driver *driver)
{
    driver_write32(driver, CTRL_START, START_NEXT_CHUNK);
    driver_wait_for(driver, CTRL_START, 0xFF, 0, TIMEOUT_S, "end of nextChunk");
}

static void send_command(Driver *driver, const Window *window, const uint8_t *command, size_t size)
{
    driver_write32(driver, CTRL_CANCEL, 0);
    while (size > window->size && !driver->error) {
        driver_write_bytes(driver, window->address, command, window->size);
        next_chunk(driver);
        command += window->size;
        size -= window->size;
    }
    driver_write_bytes(driver, window->address, command, size);
    driver_write32(driver, CTRL_START, START_INVOKE);
    driver_wait_for(driver, CTRL_START, START_INVOKE, 0, DURATION_S, "end of the command");
    if (driver_read32(driver, CTRL_STS) & STS_ERROR) {
        driver_fail(driver, "the TPM says that it is in error");
    }
}

static size_t receive_response(Driver *driver, const Window *window, uint8_t *response)
{
    driver_read_bytes(driver, window->address, response, FIRST_BYTES);
    size_t size = tcti_response_size(driver, response);
    size_t got = MIN(size, window->size);

    if (size == 0) {
        return 0;
    }
    driver_read_bytes(driver, window->address + FIRST_BYTES, response + FIRST_BYTES,
                      got - FIRST_BYTES);
    while (got < size && !driver->error) {
        size_t n = MIN(size - got, window->size);

        next_chunk(driver);
        driver_read_bytes(driver, window->address, response + got, n);
        got += n;
    }
    return size;
}

size_t crb_carry_out(Driver *driver, uint8_t *buffer, size_t size)
{
    driver_write32(driver, LOC_CTRL, LOC_CTRL_REQUEST);
    wait_locality(driver, LOC_STATE_ASSIGNED);
    control_request(driver, REQ_CMD_READY);
    Window window = find_window(driver, size);

    if (driver->error) {
        return 0;
    }
    send_command(driver, &window, buffer, size);
    size = receive_response(driver, &window, buffer);
    control_request(driver, REQ_GO_IDLE);
    driver_write32(driver, LOC_CTRL, LOC_CTRL_RELINQUISH);
    wait_locality(driver, 0);
    return size;
}
