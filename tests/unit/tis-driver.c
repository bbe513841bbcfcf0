/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's driver of a TIS device, and the machine it runs in; see tis-driver.h. */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const uint8_t command_2_0[12] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8 };
const uint8_t command_1_2[14] = { 0x00, 0xC1, 0, 0, 0, 14, 0, 0, 0, 0x46, 0, 0, 0, 8 };
const uint8_t command_long_2_0[11] = { 0x80, 0x01, 0, 0, 0, 11, 0, 0, 0x01, 0x43, 1 };
const uint8_t failure_2_0[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01 };
const uint8_t failure_1_2[10] = { 0x00, 0xC4, 0, 0, 0, 10, 0, 0, 0, 9 };

/* ---- the machine ---- */

TISMachine *tis_machine_prepare(TPMVersion version, FakeKind kind, size_t buffer_size)
{
    TISMachine *machine = g_new0(TISMachine, 1);

    fake_host_init(&machine->host);
    machine->tpm = fake_backend_new(version, kind, buffer_size);
    machine->config = (TPMDeviceConfig)TPM_DEVICE_CONFIG_INIT;
    if (g_strcmp0(g_getenv("TPMDEV_TEST_TIS"), "tpm-tis-device") == 0) {
        machine->config.interface = TPM_INTERFACE_TIS_SYSBUS;
    }
    return machine;
}

void tis_machine_plug(TISMachine *machine)
{
    tis_machine_plug_backend(machine, machine->tpm->backend);
}

void tis_machine_plug_backend(TISMachine *machine, TPMBackend *backend)
{
    GError *error = NULL;

    machine->device =
        tpmdev_device_new(&machine->config, backend, &machine->host.host, &machine->host, &error);
    if (!machine->device) {
        fail_msg("tpmdev_device_new: %s", error->message);
    }
    g_atomic_pointer_set(&machine->host.device, machine->device);
}

TISMachine *tis_machine_new(TPMVersion version)
{
    TISMachine *machine = tis_machine_prepare(version, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);

    tis_machine_plug(machine);
    return machine;
}

void tis_machine_unplug(TISMachine *machine)
{
    g_atomic_pointer_set(&machine->host.device, NULL);
    machine->device = tpmdev_device_free(machine->device);
}

void tis_machine_free(TISMachine *machine)
{
    if (machine->device) {
        assert_int_equal(fake_host_irq(&machine->host),
                         tpmdev_device_get_irq_level(machine->device));
    }
    tis_machine_unplug(machine);
    fake_backend_free(machine->tpm);
    fake_host_clear(&machine->host);
    g_free(machine);
}

int tis_setup_1_2(void **state)
{
    *state = tis_machine_new(TPM_VERSION_1_2);
    return 0;
}

int tis_setup_2_0(void **state)
{
    *state = tis_machine_new(TPM_VERSION_2_0);
    return 0;
}

int tis_teardown(void **state)
{
    tis_machine_free(*state);
    return 0;
}

TPMDeviceStatistics tis_statistics(TISMachine *machine)
{
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    tpmdev_device_get_statistics(machine->device, &statistics);
    return statistics;
}

/* ---- register accesses ---- */

uint64_t tis_read(TISMachine *machine, unsigned locality, uint32_t reg, unsigned width)
{
    uint64_t value = 0;

    assert_int_equal(tpmdev_device_read(machine->device, locality * 0x1000u + reg, width, &value),
                     TPM_ACCESS_OK);
    return value;
}

void tis_write(TISMachine *machine, unsigned locality, uint32_t reg, unsigned width, uint64_t value)
{
    assert_int_equal(tpmdev_device_write(machine->device, locality * 0x1000u + reg, width, value),
                     TPM_ACCESS_OK);
}

uint8_t tis_access(TISMachine *machine, unsigned locality)
{
    return (uint8_t)tis_read(machine, locality, REG_ACCESS, 1);
}

uint32_t tis_sts(TISMachine *machine, unsigned locality)
{
    return (uint32_t)tis_read(machine, locality, REG_STS, 4);
}

/* ---- what a driver does ---- */

void tis_access_set(TISMachine *machine, unsigned locality, uint32_t bits)
{
    tis_write(machine, locality, REG_ACCESS, 1, bits);
}

void tis_sts_set(TISMachine *machine, unsigned locality, uint32_t bits)
{
    tis_write(machine, locality, REG_STS, 4, bits);
}

void tis_request(TISMachine *machine, unsigned locality)
{
    tis_access_set(machine, locality, ACCESS_REQUEST);
    assert_int_equal(tis_access(machine, locality) & 0x20, 0x20);
}

void tis_fifo_write(TISMachine *machine, unsigned locality, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;

    for (size_t i = 0; i < size; i++) {
        tis_write(machine, locality, REG_FIFO, 1, byte[i]);
    }
}

void tis_send(TISMachine *machine, unsigned locality, const void *command, size_t size)
{
    tis_sts_set(machine, locality, STS_READY);
    tis_fifo_write(machine, locality, command, size);
}

void tis_start(TISMachine *machine, unsigned locality, const void *command, size_t size)
{
    tis_send(machine, locality, command, size);
    tis_sts_set(machine, locality, STS_GO);
}

bool tis_has_response(TISMachine *machine, unsigned locality)
{
    return (tis_read(machine, locality, REG_STS, 1) & 0x90) == 0x90;
}

void tis_wait_response(TISMachine *machine, unsigned locality)
{
    for (;;) {
        unsigned answers = fake_backend_answers(machine->tpm);

        if (tis_has_response(machine, locality)) {
            break;
        }
        if (fake_backend_is_due(machine->tpm)) {
            fake_backend_answer(machine->tpm);
        } else if (machine->host.host.context) {
            fake_host_wait_context(&machine->host);
        } else {
            fake_backend_wait_answers(machine->tpm, answers + 1);
        }
    }
}

size_t tis_response(TISMachine *machine, unsigned locality, uint8_t *response, size_t max)
{
    size_t size = 0;

    while (size < max && tis_has_response(machine, locality)) {
        response[size++] = (uint8_t)tis_read(machine, locality, REG_FIFO, 1);
    }
    return size;
}

void tis_assert_response(TISMachine *machine, unsigned locality, const void *response, size_t size)
{
    uint8_t got[TPM_BUFFER_SIZE_COMMON + 1];

    assert_true(tis_has_response(machine, locality));
    assert_int_equal(tis_response(machine, locality, got, sizeof(got)), size);
    assert_memory_equal(got, response, size);
}

/* ---- commands ---- */

size_t tis_make_command(TPMVersion version, uint8_t *command, size_t size)
{
    assert_in_range(size, TPM_HEADER_SIZE, TPM_BUFFER_SIZE_MAX);
    for (size_t i = TPM_HEADER_SIZE; i < size; i++) {
        command[i] = (uint8_t)(i * 7);
    }
    if (version == TPM_VERSION_1_2) {
        memcpy(command, command_1_2, TPM_HEADER_SIZE);
    } else {
        memcpy(command, command_2_0, TPM_HEADER_SIZE);
    }
    command[4] = (uint8_t)(size >> 8);
    command[5] = (uint8_t)size;
    return size;
}
