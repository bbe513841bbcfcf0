/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine with a TIS device whose TPM has a fault: a `fault` backend around a fake one.
 *
 * The TPM answers each command with fault_good_2_0 or fault_good_1_2, by its version.
 */
#ifndef FAULT_FIXTURE_H
#define FAULT_FIXTURE_H

#include "tis-driver.h"

/* How long a test waits for a response that nothing but time brings, in seconds. */
#define FAULT_DEADLINE_S 30

extern const uint8_t fault_good_2_0[14];
extern const uint8_t fault_good_1_2[14];

/* A cmocka fixture: *state is a machine of tis_machine_prepare(); tis_teardown() frees it. */
int fault_setup_2_0(void **state);
int fault_setup_1_2(void **state);

/* This fault, around the machine's TPM. */
TPMFaultConfig fault_config(TISMachine *machine, TPMFault fault);

/* Fails the test when it is refused. */
TPMBackend *fault_new(const TPMFaultConfig *config);

/* Around any TPM, a fault with a command that no test sends. */
TPMBackend *fault_wrap(TPMBackend *inner);

/* A device before a TPM with that fault, and locality 0 has it. */
void fault_plug(TISMachine *machine, const TPMFaultConfig *config);

/* Start a short command of the TPM's version. */
void fault_start_command(TISMachine *machine);

/* Wait for a response that nothing but time brings. */
void fault_wait_response(TISMachine *machine);

/* Fails the test unless the response that is there is the good one, or that of a failure. */
void fault_assert_good(TISMachine *machine);
void fault_assert_failure(TISMachine *machine);

/* A command that is well. */
void fault_run_good(TISMachine *machine);

#endif /* FAULT_FIXTURE_H */
