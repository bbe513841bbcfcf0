/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's driver of a TIS device on an I2C bus; see i2c-guest.h. */
#include "i2c-guest.h"

#include <string.h>

#define DEADLINE_S   30
#define NACK_RETRIES 50

/* A controller's transfer has an end; so many bytes are moved in one. */
#define TRANSFER_MAX 32

#define LOC_SEL     0x00
#define ACCESS      0x04
#define INT_ENABLE  0x08
#define STS         0x18
#define FIFO        0x24
#define CAPABILITY  0x30
#define CSUM_ENABLE 0x40
#define CSUM        0x44
#define DID_VID     0x48

/* Bits that the specification has as zero. */
#define ACCESS_ZEROS     0x48u
#define INT_ENABLE_ZEROS 0x7FFFFF60u
#define STS_ZEROS        0x23u
#define CAPABILITY_ZEROS 0x80000000u

#define STS_COMMAND_READY 0x40u
#define STS_VALID_DATA    0x90u
#define STS_VALID_EXPECT  0x88u

/* ---- the bus ---- */

/* Is the address of this transfer acknowledged? */
static bool bus_start(I2CGuest *guest, TPMI2CEvent event)
{
    guest->transfers++;
    if (guest->nack_every && guest->transfers % guest->nack_every == 0) {
        guest->nacks++;
        return false;
    }
    return tpmdev_device_i2c_event(guest->device, event);
}

static uint8_t garbled(uint8_t byte, unsigned which, unsigned count)
{
    return which && which == count ? byte ^ 0x10 : byte;
}

/* One transfer; false when something was not acknowledged. */
static bool bus_send(I2CGuest *guest, uint8_t number, const uint8_t *bytes, size_t size)
{
    if (!bus_start(guest, TPM_I2C_START_SEND)) {
        return false;
    }
    bool good = tpmdev_device_i2c_send(guest->device, number);

    for (size_t i = 0; i < size && good; i++) {
        uint8_t byte = bytes[i];

        if (number == FIFO) {
            byte = garbled(byte, guest->garble_send, ++guest->fifo_sent);
        }
        good = tpmdev_device_i2c_send(guest->device, byte);
    }
    tpmdev_device_i2c_event(guest->device, TPM_I2C_STOP);
    return good;
}

static bool bus_receive(I2CGuest *guest, uint8_t number, uint8_t *bytes, size_t size)
{
    if (!bus_start(guest, TPM_I2C_START_RECEIVE)) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        bytes[i] = tpmdev_device_i2c_receive(guest->device);
        if (number == FIFO) {
            bytes[i] = garbled(bytes[i], guest->garble_receive, ++guest->fifo_received);
        }
    }
    tpmdev_device_i2c_event(guest->device, TPM_I2C_NACK);
    tpmdev_device_i2c_event(guest->device, TPM_I2C_STOP);
    return true;
}

/* ---- registers; a busy device does not acknowledge, and is asked again ---- */

static bool reg_write(I2CGuest *guest, uint8_t number, const uint8_t *bytes, size_t size)
{
    for (unsigned i = 0; i < NACK_RETRIES; i++) {
        if (bus_send(guest, number, bytes, size)) {
            return true;
        }
    }
    return false;
}

static bool reg_write_byte(I2CGuest *guest, uint8_t number, uint8_t byte)
{
    return reg_write(guest, number, &byte, 1);
}

static bool reg_read(I2CGuest *guest, uint8_t number, uint8_t *bytes, size_t size)
{
    if (!reg_write(guest, number, NULL, 0)) {
        return false;
    }
    for (unsigned i = 0; i < NACK_RETRIES; i++) {
        if (bus_receive(guest, number, bytes, size)) {
            return true;
        }
    }
    return false;
}

/* A number whose bits of `zeros` must be so; ones when it cannot be had. */
static uint32_t reg_read_number(I2CGuest *guest, uint8_t number, unsigned size, uint32_t zeros)
{
    uint8_t bytes[4] = { 0 };

    if (!reg_read(guest, number, bytes, size)) {
        return UINT32_MAX;
    }
    uint32_t value =
        (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];

    return value & zeros ? UINT32_MAX : value;
}

/* Until the register has this value under the mask. */
static bool reg_wait(I2CGuest *guest, uint8_t number, uint32_t zeros, uint32_t mask, uint32_t value)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_S * G_TIME_SPAN_SECOND;

    while (g_get_monotonic_time() < deadline) {
        uint32_t got = reg_read_number(guest, number, 1, zeros);

        if (got != UINT32_MAX && (got & mask) == value) {
            return true;
        }
        g_thread_yield();
    }
    return false;
}

static bool sts_wait(I2CGuest *guest, uint32_t mask, uint32_t value)
{
    return reg_wait(guest, STS, STS_ZEROS, mask, value);
}

/* ---- the driver ---- */

const char *i2c_guest_probe(I2CGuest *guest)
{
    if (!reg_write_byte(guest, LOC_SEL, guest->locality)) {
        return "nobody acknowledges";
    }
    guest->did_vid = reg_read_number(guest, DID_VID, 4, 0);
    if (guest->did_vid == 0 || guest->did_vid == UINT32_MAX) {
        return "no vendor";
    }
    if (!reg_wait(guest, ACCESS, ACCESS_ZEROS, 0x80, 0x80)) {
        return "TPM_ACCESS is not valid";
    }
    if (reg_read_number(guest, INT_ENABLE, 4, INT_ENABLE_ZEROS) == UINT32_MAX) {
        return "TPM_INT_ENABLE has a bit that must be zero";
    }
    guest->capability = reg_read_number(guest, CAPABILITY, 4, CAPABILITY_ZEROS);
    if (guest->capability == UINT32_MAX) {
        return "TPM_I2C_INTERFACE_CAPABILITY has a bit that must be zero";
    }
    guest->guard_time_us = guest->capability >> 9 & 0xFF;
    if (!reg_write_byte(guest, CSUM_ENABLE, 1) ||
        reg_read_number(guest, CSUM_ENABLE, 1, 0xFE) != 1) {
        return "TPM_DATA_CSUM_ENABLE does not take its bit";
    }
    return NULL;
}

/* CRC-CCITT by a table, as drivers have it. */
static uint16_t crc_of(const uint8_t *bytes, size_t size)
{
    static uint16_t table[256];
    unsigned crc = 0;

    for (unsigned i = 0; i < 256 && table[255] == 0; i++) {
        unsigned entry = i;

        for (unsigned bit = 0; bit < 8; bit++) {
            entry = entry & 1 ? entry >> 1 ^ 0x8408 : entry >> 1;
        }
        table[i] = (uint16_t)entry;
    }
    for (size_t i = 0; i < size; i++) {
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xFF];
    }
    return (uint16_t)crc;
}

static bool csum_is_good(I2CGuest *guest, const uint8_t *bytes, size_t size)
{
    uint8_t csum[2];

    return reg_read(guest, CSUM, csum, sizeof(csum)) &&
           (csum[0] << 8 | csum[1]) == crc_of(bytes, size);
}

/* The burst count; 0 when there is none in time. */
static size_t burst(I2CGuest *guest)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_S * G_TIME_SPAN_SECOND;

    while (g_get_monotonic_time() < deadline) {
        uint32_t sts = reg_read_number(guest, STS, 4, STS_ZEROS);

        if (sts != UINT32_MAX && (sts >> 8 & 0xFFFF) != 0) {
            return MIN(sts >> 8 & 0xFFFF, TRANSFER_MAX);
        }
        g_thread_yield();
    }
    return 0;
}

static const char *send_command(I2CGuest *guest, const uint8_t *command, size_t size)
{
    size_t sent = 0;

    if (!reg_write_byte(guest, STS, 0x40) ||
        !sts_wait(guest, STS_COMMAND_READY, STS_COMMAND_READY)) {
        return "not ready for a command";
    }
    /* All but the last byte, before which more is expected and after which not. */
    while (sent < size - 1) {
        size_t part = MIN(burst(guest), size - 1 - sent);

        if (part == 0 || !reg_write(guest, FIFO, command + sent, part)) {
            return "the FIFO takes no byte";
        }
        sent += part;
        if (!sts_wait(guest, STS_VALID_EXPECT, STS_VALID_EXPECT)) {
            return "no more of the command is expected";
        }
    }
    if (!reg_write(guest, FIFO, command + sent, 1) || !sts_wait(guest, STS_VALID_EXPECT, 0x80)) {
        return "more than the command is expected";
    }
    return csum_is_good(guest, command, size) ? NULL : "the checksum of the command is wrong";
}

static bool receive_bytes(I2CGuest *guest, uint8_t *bytes, size_t size)
{
    size_t received = 0;

    while (received < size) {
        if (!sts_wait(guest, STS_VALID_DATA, STS_VALID_DATA)) {
            return false;
        }
        size_t part = MIN(burst(guest), size - received);

        if (part == 0 || !reg_read(guest, FIFO, bytes + received, part)) {
            return false;
        }
        received += part;
    }
    return true;
}

static const char *receive_response(I2CGuest *guest, uint8_t *response, size_t max, size_t *size)
{
    if (!receive_bytes(guest, response, 10)) {
        return "no response";
    }
    *size = (size_t)response[2] << 24 | (size_t)response[3] << 16 | (size_t)response[4] << 8 |
            response[5];
    if (*size < 10 || *size > max) {
        return "a response of an impossible size";
    }
    if (!receive_bytes(guest, response + 10, *size - 10)) {
        return "half a response";
    }
    if (!sts_wait(guest, STS_VALID_DATA, 0x80)) {
        return "data is left over";
    }
    return csum_is_good(guest, response, *size) ? NULL : "the checksum of the response is wrong";
}

const char *i2c_guest_transmit(I2CGuest *guest, const uint8_t *command, size_t size,
                               uint8_t *response, size_t max, size_t *response_size)
{
    if (!reg_write_byte(guest, ACCESS, 0x02) ||
        !reg_wait(guest, ACCESS, ACCESS_ZEROS, 0xA2, 0xA0)) {
        return "the locality is not granted";
    }
    const char *wrong = send_command(guest, command, size);

    if (!wrong && !reg_write_byte(guest, STS, 0x20)) {
        wrong = "the command cannot be started";
    }
    if (!wrong) {
        wrong = receive_response(guest, response, max, response_size);
    }
    reg_write_byte(guest, STS, 0x40);
    reg_write_byte(guest, ACCESS, 0x20);
    return wrong;
}
