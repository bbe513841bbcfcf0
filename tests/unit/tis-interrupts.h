/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interrupt registers of a TIS device, for the tests of its interrupts.
 */
#ifndef TIS_INTERRUPTS_H
#define TIS_INTERRUPTS_H

#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static inline uint32_t pending(TISMachine *machine, unsigned locality)
{
    return (uint32_t)tis_read(machine, locality, REG_INT_STATUS, 4);
}

static inline void enable(TISMachine *machine, unsigned locality, uint32_t bits)
{
    tis_write(machine, locality, REG_INT_ENABLE, 4, bits);
}

static inline void acknowledge(TISMachine *machine, unsigned locality, uint32_t bits)
{
    tis_write(machine, locality, REG_INT_STATUS, 4, bits);
}

/* The line as the host was told it, and as it can be asked for, is at this level. */
static inline void assert_line(TISMachine *machine, bool level)
{
    assert_int_equal(fake_host_irq(&machine->host), level);
    assert_int_equal(tpmdev_device_get_irq_level(machine->device), level);
}

/* A machine whose locality 0 is active with these interrupts enabled. */
static inline TISMachine *machine_with(void **state, uint32_t bits)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    enable(machine, 0, bits);
    return machine;
}

#endif /* TIS_INTERRUPTS_H */
