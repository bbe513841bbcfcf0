/* SPDX-License-Identifier: BSD-3-Clause */
/* A machine whose TPM has a fault; see fault-fixture.h. */
#include "fault-fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

const uint8_t fault_good_2_0[14] = { 0x80, 0x01, 0, 0, 0, 14, 0, 0, 0, 0, 'g', 'o', 'o', 'd' };
const uint8_t fault_good_1_2[14] = { 0x00, 0xC4, 0, 0, 0, 14, 0, 0, 0, 0, 'g', 'o', 'o', 'd' };

TPMFaultConfig fault_config(TISMachine *machine, TPMFault fault)
{
    return (TPMFaultConfig){ .size = sizeof(TPMFaultConfig),
                             .id = "faulty",
                             .backend = machine->tpm->backend,
                             .fault = fault };
}

TPMBackend *fault_new(const TPMFaultConfig *config)
{
    GError *error = NULL;
    TPMBackend *backend = tpmdev_backend_fault_new(config, &error);

    if (!backend) {
        fail_msg("%s", error->message);
    }
    return backend;
}

TPMBackend *fault_wrap(TPMBackend *inner)
{
    TPMFaultConfig config = { .size = sizeof(config),
                              .id = "faulty",
                              .backend = inner,
                              .fault = TPM_FAULT_DEATH,
                              .ordinal = 0x20000999u };

    return fault_new(&config);
}

static bool is_1_2(TISMachine *machine)
{
    return machine->tpm->version == TPM_VERSION_1_2;
}

void fault_plug(TISMachine *machine, const TPMFaultConfig *config)
{
    TPMBackend *backend = fault_new(config);

    if (is_1_2(machine)) {
        fake_backend_respond(machine->tpm, fault_good_1_2, sizeof(fault_good_1_2));
    } else {
        fake_backend_respond(machine->tpm, fault_good_2_0, sizeof(fault_good_2_0));
    }
    tis_machine_plug_backend(machine, backend);
    tpmdev_backend_unref(backend);
    tis_request(machine, 0);
}

int fault_setup_2_0(void **state)
{
    *state = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    return 0;
}

int fault_setup_1_2(void **state)
{
    *state = tis_machine_prepare(TPM_VERSION_1_2, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    return 0;
}

void fault_start_command(TISMachine *machine)
{
    if (is_1_2(machine)) {
        tis_start(machine, 0, command_1_2, sizeof(command_1_2));
    } else {
        tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    }
}

void fault_wait_response(TISMachine *machine)
{
    gint64 deadline = g_get_monotonic_time() + FAULT_DEADLINE_S * G_TIME_SPAN_SECOND;

    while (!tis_has_response(machine, 0)) {
        if (g_get_monotonic_time() > deadline) {
            fail_msg("no response within %d s", FAULT_DEADLINE_S);
        }
        g_thread_yield();
    }
}

void fault_assert_good(TISMachine *machine)
{
    if (is_1_2(machine)) {
        tis_assert_response(machine, 0, fault_good_1_2, sizeof(fault_good_1_2));
    } else {
        tis_assert_response(machine, 0, fault_good_2_0, sizeof(fault_good_2_0));
    }
}

void fault_assert_failure(TISMachine *machine)
{
    if (is_1_2(machine)) {
        tis_assert_response(machine, 0, failure_1_2, sizeof(failure_1_2));
    } else {
        tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
    }
}

void fault_run_good(TISMachine *machine)
{
    fault_start_command(machine);
    fault_assert_good(machine);
}
