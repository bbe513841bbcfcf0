/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bus side of an I2C device: transfers, and a guest's steps as small as they can be. The
 * machine is tis-driver.h's, with another device in it.
 *
 * The numbers are those of the TCG TPM I2C Interface Specification and of QEMU's device, written
 * out again: a test that shares the model's constants would share its mistakes.
 */
#ifndef I2C_DRIVER_H
#define I2C_DRIVER_H

#include "tis-driver.h"

/* Registers. */
#define NUM_LOC_SEL        0x00u
#define NUM_ACCESS         0x04u
#define NUM_INT_ENABLE     0x08u
#define NUM_INT_CAPABILITY 0x14u
#define NUM_STS            0x18u
#define NUM_FIFO           0x24u
#define NUM_CAPABILITY     0x30u
#define NUM_DEVICE_ADDRESS 0x38u
#define NUM_CSUM_ENABLE    0x40u
#define NUM_CSUM           0x44u
#define NUM_DID_VID        0x48u
#define NUM_RID            0x4Cu

/* TPM_STS of a locality that does not have the device. */
#define I2C_STS_INACTIVE 0x00FFFFDDu

/* A machine with an I2C device that is not yet made: set what it is to be in between. */
TISMachine *i2c_machine_prepare(void);

/* A cmocka fixture: *state is a machine with an I2C device before a TPM that answers at once. */
int i2c_setup(void **state);

/* As tis_teardown(); fails the test if there was ever an interrupt. */
int i2c_teardown(void **state);

/* ---- what happens on the bus; an address that is not acknowledged fails the test ---- */

void i2c_start_send(TISMachine *machine);
void i2c_start_receive(TISMachine *machine);
void i2c_stop(TISMachine *machine);
void i2c_nack(TISMachine *machine);

/* Returns how many were acknowledged; those behind one that was not are not sent. */
size_t i2c_send(TISMachine *machine, const void *bytes, size_t size);
bool i2c_send_byte(TISMachine *machine, uint8_t byte);

uint8_t i2c_receive(TISMachine *machine);

/* ---- whole transfers ---- */

/* Start, name a register, send these bytes, stop; fails the test if one is not acknowledged. */
void i2c_write(TISMachine *machine, uint8_t number, const void *bytes, size_t size);
void i2c_write_byte(TISMachine *machine, uint8_t number, uint8_t byte);
void i2c_write_word(TISMachine *machine, uint8_t number, uint32_t word);

/* Start, name a register, stop; start, receive bytes, stop. */
void i2c_read(TISMachine *machine, uint8_t number, void *bytes, size_t size);
uint8_t i2c_read_byte(TISMachine *machine, uint8_t number);
uint32_t i2c_read_word(TISMachine *machine, uint8_t number); /* four bytes, lowest first */

/* ---- what a driver does, at the locality selected ---- */

void i2c_select(TISMachine *machine, uint8_t locality);

/* Request the device; fails the test when it is not granted at once. */
void i2c_request(TISMachine *machine);

/* commandReady, then these bytes into the FIFO in one transfer. */
void i2c_send_command(TISMachine *machine, const void *command, size_t size);

/* The same, and tpmGo. */
void i2c_start_command(TISMachine *machine, const void *command, size_t size);

/* Fails the test unless the response that is there now is this one; all of it is read. */
void i2c_assert_response(TISMachine *machine, const void *response, size_t size);

/* TPM_DATA_CSUM as a number: its first byte is the high one. */
uint16_t i2c_csum(TISMachine *machine);

/* CRC-CCITT bit by bit, least significant first, begun with 0, as the specification has it. */
uint16_t i2c_crc(const uint8_t *bytes, size_t size);

#endif /* I2C_DRIVER_H */
