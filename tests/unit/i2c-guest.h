/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's driver of a TIS device on an I2C bus, as an operating system has one: it knows of a
 * device nothing but what the TCG TPM I2C Interface Specification says, holds every register it
 * reads against the bits that must be zero, verifies the checksum of each command and response,
 * and tries again when the device does not acknowledge.
 *
 * The bus between the two is not perfect when a test does not want it so: it can refuse to
 * acknowledge, and garble bytes.
 */
#ifndef I2C_GUEST_H
#define I2C_GUEST_H

#include <tpmdev/tpmdev.h>

typedef struct I2CGuest {
    TPMDevice *device;
    uint8_t locality;

    /* The bus: each of these counts transfers or bytes, from 1; 0: never. */
    unsigned nack_every;  /* the address of every n-th transfer is not acknowledged */
    unsigned garble_send; /* the n-th byte sent into the FIFO has a bit wrong */
    unsigned garble_receive;
    unsigned transfers;
    unsigned fifo_sent;
    unsigned fifo_received;
    unsigned nacks;

    /* What a driver learns when it finds the device. */
    uint32_t did_vid;
    uint32_t capability;
    unsigned guard_time_us;
} I2CGuest;

/* Find the device and make it ready. Returns NULL, or what is wrong with it. */
const char *i2c_guest_probe(I2CGuest *guest);

/*
 * Request the locality, carry out one command, give the locality back. Returns NULL with the
 * response's size in *response_size, or what went wrong.
 */
const char *i2c_guest_transmit(I2CGuest *guest, const uint8_t *command, size_t size,
                               uint8_t *response, size_t max, size_t *response_size);

#endif /* I2C_GUEST_H */
