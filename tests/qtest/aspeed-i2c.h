/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The I2C controller of an ASPEED AST2600, as far as a TPM's driver needs it: sixteen buses, each
 * moving one byte at a time, without interrupts.
 *
 * machine.c has one in its arm machine, which is QEMU's rainier-bmc, and puts the TPM on a bus.
 */
#ifndef TESTS_QTEST_ASPEED_I2C_H
#define TESTS_QTEST_ASPEED_I2C_H

#include "keyval.h"

#include <tpmdev/tpmdev.h>

/* Bytes of its registers. */
#define ASPEED_I2C_SIZE 0x1000u

/* Where a device is: `bus=aspeed.i2c.bus.10,address=0x2e`. */
typedef struct AspeedI2CPlace {
    unsigned bus;
    uint8_t address; /* 7 bits */
} AspeedI2CPlace;

/* Both options must be there and name a place; an error says which does not. */
bool aspeed_i2c_parse_place(const KeyVal *keyval, AspeedI2CPlace *place, GError **error);

typedef struct AspeedI2C AspeedI2C;

AspeedI2C *aspeed_i2c_new(void);
void aspeed_i2c_free(AspeedI2C *controller);

/* Put a device, which is the caller's, in its place; the only one of its bus. */
void aspeed_i2c_attach(AspeedI2C *controller, const AspeedI2CPlace *place, TPMDevice *device);

/* All registers 0, no transfer under way. */
void aspeed_i2c_reset(AspeedI2C *controller);

/* A register at a multiple of 4 below ASPEED_I2C_SIZE; one that is not there reads 0. */
uint32_t aspeed_i2c_read(const AspeedI2C *controller, uint32_t offset);
void aspeed_i2c_write(AspeedI2C *controller, uint32_t offset, uint32_t value);

/* All of it but where devices are, as bytes for another machine's controller. */
#define ASPEED_I2C_STATE_SIZE (16u * 8u)
void aspeed_i2c_save(const AspeedI2C *controller, uint8_t state[ASPEED_I2C_STATE_SIZE]);

/* False for what it can not have been: a transfer under way on a bus without a device. */
bool aspeed_i2c_state_is_valid(const AspeedI2C *controller,
                               const uint8_t state[ASPEED_I2C_STATE_SIZE]);
void aspeed_i2c_load(AspeedI2C *controller, const uint8_t state[ASPEED_I2C_STATE_SIZE]);

#endif /* TESTS_QTEST_ASPEED_I2C_H */
