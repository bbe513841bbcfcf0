/* SPDX-License-Identifier: BSD-3-Clause */
/* The bus side of an I2C device, and a guest's steps; see i2c-driver.h. */
#include "i2c-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

TISMachine *i2c_machine_prepare(void)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_TIS_BUFFER_SIZE);

    machine->config.interface = TPM_INTERFACE_TIS_I2C;
    return machine;
}

int i2c_setup(void **state)
{
    TISMachine *machine = i2c_machine_prepare();

    tis_machine_plug(machine);
    *state = machine;
    return 0;
}

int i2c_teardown(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(fake_host_irqs(&machine->host), 0);
    return tis_teardown(state);
}

/* ---- what happens on the bus ---- */

void i2c_start_send(TISMachine *machine)
{
    assert_true(tpmdev_device_i2c_event(machine->device, TPM_I2C_START_SEND));
}

void i2c_start_receive(TISMachine *machine)
{
    assert_true(tpmdev_device_i2c_event(machine->device, TPM_I2C_START_RECEIVE));
}

void i2c_stop(TISMachine *machine)
{
    assert_true(tpmdev_device_i2c_event(machine->device, TPM_I2C_STOP));
}

void i2c_nack(TISMachine *machine)
{
    assert_true(tpmdev_device_i2c_event(machine->device, TPM_I2C_NACK));
}

bool i2c_send_byte(TISMachine *machine, uint8_t byte)
{
    return tpmdev_device_i2c_send(machine->device, byte);
}

size_t i2c_send(TISMachine *machine, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;

    for (size_t i = 0; i < size; i++) {
        if (!i2c_send_byte(machine, byte[i])) {
            return i;
        }
    }
    return size;
}

uint8_t i2c_receive(TISMachine *machine)
{
    return tpmdev_device_i2c_receive(machine->device);
}

/* ---- whole transfers ---- */

void i2c_write(TISMachine *machine, uint8_t number, const void *bytes, size_t size)
{
    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, number));
    assert_int_equal(i2c_send(machine, bytes, size), size);
    i2c_stop(machine);
}

void i2c_write_byte(TISMachine *machine, uint8_t number, uint8_t byte)
{
    i2c_write(machine, number, &byte, 1);
}

void i2c_write_word(TISMachine *machine, uint8_t number, uint32_t word)
{
    const uint8_t bytes[] = { (uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
                              (uint8_t)(word >> 24) };

    i2c_write(machine, number, bytes, sizeof(bytes));
}

void i2c_read(TISMachine *machine, uint8_t number, void *bytes, size_t size)
{
    uint8_t *byte = bytes;

    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, number));
    i2c_stop(machine);
    i2c_start_receive(machine);
    for (size_t i = 0; i < size; i++) {
        byte[i] = i2c_receive(machine);
    }
    i2c_nack(machine);
    i2c_stop(machine);
}

uint8_t i2c_read_byte(TISMachine *machine, uint8_t number)
{
    uint8_t byte;

    i2c_read(machine, number, &byte, 1);
    return byte;
}

uint32_t i2c_read_word(TISMachine *machine, uint8_t number)
{
    uint8_t bytes[4];

    i2c_read(machine, number, bytes, sizeof(bytes));
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

/* ---- what a driver does ---- */

void i2c_select(TISMachine *machine, uint8_t locality)
{
    i2c_write_byte(machine, NUM_LOC_SEL, locality);
}

void i2c_request(TISMachine *machine)
{
    i2c_write_byte(machine, NUM_ACCESS, ACCESS_REQUEST);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS) & 0x22, 0x20);
}

void i2c_send_command(TISMachine *machine, const void *command, size_t size)
{
    i2c_write_byte(machine, NUM_STS, STS_READY);
    i2c_write(machine, NUM_FIFO, command, size);
}

void i2c_start_command(TISMachine *machine, const void *command, size_t size)
{
    i2c_send_command(machine, command, size);
    i2c_write_byte(machine, NUM_STS, STS_GO);
}

void i2c_assert_response(TISMachine *machine, const void *response, size_t size)
{
    uint8_t got[TPM_TIS_BUFFER_SIZE];

    assert_in_range(size, 1, sizeof(got));
    assert_int_equal(i2c_read_word(machine, NUM_STS), size << 8 | 0x90);
    i2c_read(machine, NUM_FIFO, got, size);
    assert_memory_equal(got, response, size);
    assert_int_equal(i2c_read_byte(machine, NUM_STS), 0x80);
    assert_int_equal(i2c_read_byte(machine, NUM_FIFO), 0xFF);
}

uint16_t i2c_csum(TISMachine *machine)
{
    uint8_t bytes[2];

    i2c_read(machine, NUM_CSUM, bytes, sizeof(bytes));
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

uint16_t i2c_crc(const uint8_t *bytes, size_t size)
{
    unsigned crc = 0;

    for (size_t i = 0; i < 8 * size; i++) {
        unsigned bit = (bytes[i / 8] >> i % 8 ^ crc) & 1;

        crc = crc >> 1 ^ (bit ? 0x8408 : 0);
    }
    return (uint16_t)crc;
}
