/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's driver of a CRB device; see crb-driver.h. */
#include "crb-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

const uint8_t command_size_2_0[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x42 };

/* ---- the machine ---- */

TISMachine *crb_machine_prepare(void)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);

    machine->config.interface = TPM_INTERFACE_CRB;
    return machine;
}

TISMachine *crb_machine_prepare_told(void)
{
    TISMachine *machine = crb_machine_prepare();

    machine->config.completion_window_ns = 0;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    return machine;
}

TISMachine *crb_machine_prepare_chunk(void)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, CHUNK_BYTES);

    machine->config.interface = TPM_INTERFACE_CRB;
    machine->config.chunk = true;
    return machine;
}

int crb_setup_chunk(void **state)
{
    TISMachine *machine = crb_machine_prepare_chunk();

    tis_machine_plug(machine);
    *state = machine;
    return 0;
}

int crb_setup(void **state)
{
    TISMachine *machine = crb_machine_prepare();

    tis_machine_plug(machine);
    *state = machine;
    return 0;
}

int crb_setup_localities(void **state)
{
    TISMachine *machine = crb_machine_prepare_told();

    machine->config.localities = true;
    tis_machine_plug(machine);
    *state = machine;
    return 0;
}

int crb_setup_interrupts(void **state)
{
    TISMachine *machine = crb_machine_prepare_told();

    machine->config.localities = true;
    machine->config.interrupts = true;
    tis_machine_plug(machine);
    *state = machine;
    return 0;
}

/* ---- what a driver does ---- */

void crb_loc(TISMachine *machine, unsigned locality, uint32_t value)
{
    tis_write(machine, locality, REG_LOC_CTRL, 4, value);
}

void crb_request(TISMachine *machine, unsigned locality)
{
    crb_loc(machine, locality, LOC_REQUEST);
    assert_int_equal(crb_loc_sts(machine, locality), 1);
    assert_int_equal(crb_loc_state(machine) & 0x1E, locality << 2 | 2);
}

uint32_t crb_loc_state(TISMachine *machine)
{
    return (uint32_t)tis_read(machine, 0, REG_LOC_STATE, 4);
}

uint32_t crb_loc_sts(TISMachine *machine, unsigned locality)
{
    return (uint32_t)tis_read(machine, locality, REG_LOC_STS, 4);
}

void crb_put(TISMachine *machine, unsigned locality, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;

    for (uint32_t i = 0; i < size; i++) {
        tis_write(machine, locality, REG_BUFFER + i, 1, byte[i]);
    }
}

void crb_go(TISMachine *machine, unsigned locality)
{
    tis_write(machine, locality, REG_CTRL_START, 4, 1);
}

void crb_start(TISMachine *machine, unsigned locality, const void *command, size_t size)
{
    crb_put(machine, locality, command, size);
    crb_go(machine, locality);
}

void crb_start_chunks(TISMachine *machine, unsigned locality, const void *command, size_t size)
{
    const uint8_t *byte = command;

    for (; size > BUFFER_BYTES; byte += BUFFER_BYTES, size -= BUFFER_BYTES) {
        crb_put(machine, locality, byte, BUFFER_BYTES);
        tis_write(machine, locality, REG_CTRL_START, 4, START_NEXT);
        assert_int_equal(tis_read(machine, locality, REG_CTRL_START, 4), 0);
    }
    crb_start(machine, locality, byte, size);
}

void crb_get(TISMachine *machine, unsigned locality, void *bytes, size_t size)
{
    uint8_t *byte = bytes;

    for (uint32_t i = 0; i < size; i++) {
        byte[i] = (uint8_t)tis_read(machine, locality, REG_BUFFER + i, 1);
    }
}

void crb_assert_chunks(TISMachine *machine, unsigned locality, const void *response, size_t size)
{
    const uint8_t *byte = response;

    for (; size > BUFFER_BYTES; byte += BUFFER_BYTES, size -= BUFFER_BYTES) {
        crb_assert_buffer(machine, locality, byte, BUFFER_BYTES);
        tis_write(machine, locality, REG_CTRL_START, 4, START_NEXT);
        assert_int_equal(tis_read(machine, locality, REG_CTRL_START, 4), 0);
    }
    crb_assert_buffer(machine, locality, byte, size);
}

bool crb_is_running(TISMachine *machine, unsigned locality)
{
    return tis_read(machine, locality, REG_CTRL_START, 4) == 1;
}

void crb_assert_buffer(TISMachine *machine, unsigned locality, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;

    for (uint32_t i = 0; i < BUFFER_BYTES; i++) {
        uint8_t got = (uint8_t)tis_read(machine, locality, REG_BUFFER + i, 1);
        uint8_t wanted = i < size ? byte[i] : 0;

        if (got != wanted) {
            fail_msg("byte %u of the buffer is %02x, not %02x", i, got, wanted);
        }
    }
}
