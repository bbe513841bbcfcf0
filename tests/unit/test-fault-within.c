/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A `fault` backend between a device and the TPM within: what it hands on, both ways, with devices
 * that come and go, a host's context, and threads.
 */
#include "backend-client.h"
#include "backend-fixture.h"
#include "fault-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- what is handed on ---- */

/* Polls reach the TPM within, and the response the write that started the command. */
static void test_the_completion_window_is_handed_on(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    config.ordinal = 0x999;
    machine->tpm->submit_when = FAKE_IN_POLL;
    machine->tpm->polls_needed = 3;
    fault_plug(machine, &config);
    fault_run_good(machine);
    assert_true(machine->tpm->linger);
    assert_int_equal(machine->tpm->polls, 3);
    assert_int_equal(tis_statistics(machine).inline_completions, 1);
}

/* A TPM that cannot be polled answers on a thread of its own, and is not told to linger. */
static void test_a_tpm_without_poll_is_not_asked_to_linger(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_BARE, TPM_BUFFER_SIZE_COMMON);
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_HANG);

    (void)state;
    config.ordinal = 0x999;
    machine->tpm->submit_when = FAKE_BY_THREAD;
    fault_plug(machine, &config);
    for (unsigned i = 0; i < 20; i++) {
        fault_start_command(machine);
        fault_wait_response(machine);
        fault_assert_good(machine);
    }
    assert_false(machine->tpm->linger);
    tis_machine_free(machine);
}

/* While the device polls, only a call of its own brings the response. */
static void test_a_response_waits_for_the_device_to_look(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_BARE, TPM_BUFFER_SIZE_COMMON);
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);
    TPMBackend *backend = fault_new(&config);
    BackendClient client;

    (void)state;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    backend_client_bind(&client, backend, NULL);
    assert_true(backend_client_start(&client, TPM_BUFFER_SIZE_COMMON));
    for (unsigned i = 1; i <= 2; i++) {
        tpm_backend_load(backend, 0, command_2_0, sizeof(command_2_0));
        tpm_backend_submit(backend, true);
        tpm_backend_poll(backend);
        fake_backend_answer(machine->tpm);
        assert_int_equal(client.completed, i - 1);
        if (i == 1) {
            tpm_backend_poll(backend);
        } else {
            tpm_backend_linger_end(backend);
        }
        assert_int_equal(client.completed, i);
    }
    backend_client_unbind(&client);
    tpmdev_backend_unref(backend);
    tis_machine_free(machine);
}

static void test_a_cancel_reaches_the_tpm_within(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    config.ordinal = 0x999;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_AT_ONCE;
    fault_plug(machine, &config);
    fault_start_command(machine);
    assert_false(tis_has_response(machine, 0));
    tis_sts_set(machine, 0, STS_CANCEL);
    assert_int_equal(machine->tpm->cancels, 1);
    fault_wait_response(machine);
}

static void test_failure_recovery_and_link_are_handed_on(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    config.ordinal = 0x999;
    fault_plug(machine, &config);
    fake_backend_fail(machine->tpm);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_GONE);
    assert_string_equal(machine->host.backend_error, "the fake TPM was told to fail");
    fault_start_command(machine);
    fault_assert_failure(machine);
    tpmdev_backend_set_link(machine->tpm->backend, TPM_LINK_RESYNCHRONISING);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_RESYNCHRONISING);
    tpmdev_backend_recovered(machine->tpm->backend);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_CONNECTED);
    fault_run_good(machine);
    machine->tpm->submit_fails = true;
    fault_start_command(machine);
    fault_assert_failure(machine);
    machine->tpm->submit_fails = false;
    tpmdev_device_reset(machine->device);
    tis_request(machine, 0);
    fault_run_good(machine);
}

/* The failure waits for the device to look; the recovery comes by another thread, and is first. */
static void test_a_recovery_that_overtakes_its_failure_is_not_lost(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };
    BackendClient client;

    config.ordinal = 0x999;
    TPMBackend *backend = fault_new(&config);

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    backend_client_bind(&client, backend, NULL);
    assert_true(backend_client_start(&client, TPM_BUFFER_SIZE_COMMON));
    tpm_backend_load(backend, 0, command_2_0, sizeof(command_2_0));
    tpm_backend_submit(backend, true);
    fake_backend_fail(machine->tpm);
    tpmdev_backend_recovered(machine->tpm->backend);
    assert_int_equal(client.completed, 0);
    tpm_backend_poll(backend);
    assert_int_equal(client.completed, 1);
    assert_string_equal(client.response_error, "the fake TPM was told to fail");
    tpmdev_backend_get_statistics(backend, &statistics);
    assert_false(statistics.failed);
    assert_int_equal(statistics.link, TPM_LINK_CONNECTED);
    machine->tpm->submit_when = FAKE_AT_ONCE;
    assert_int_equal(backend_client_command(&client, command_2_0, sizeof(command_2_0)), 0);
    backend_client_unbind(&client);
    tpmdev_backend_unref(backend);
}

/* What the TPM within has told a moment before its death does not bring it back. */
static void test_a_recovery_that_comes_with_a_death_is_none(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DEATH);

    config.nth = 1;
    fault_plug(machine, &config);
    fault_start_command(machine);
    fault_assert_failure(machine);
    tpmdev_backend_recovered(tpmdev_device_get_backend(machine->device));
    fault_start_command(machine);
    fault_assert_failure(machine);
    assert_int_equal(machine->tpm->submits, 1);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_GONE);
}

static void test_the_established_flag_is_handed_on(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    tpmdev_backend_set_established(machine->tpm->backend, true);
    fault_plug(machine, &config);
    assert_int_equal(tis_access(machine, 0) & 1, 0);
    tpmdev_backend_set_established(machine->tpm->backend, false);
    assert_int_equal(tis_access(machine, 0) & 1, 1);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 3);
    tis_sts_set(machine, 3, STS_RESET_ESTABLISHED);
    assert_int_equal(machine->tpm->established_resets, 1);
    assert_int_equal(machine->tpm->established_locality, 3);
}

static void test_a_measurement_is_handed_on(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);
    TPMBackend *backend = fault_new(&config);
    BackendClient client;

    backend_client_bind(&client, backend, NULL);
    assert_true(backend_client_start(&client, TPM_BUFFER_SIZE_COMMON));
    assert_true(backend_client_measure(&client, (const uint8_t *)"measure me", 10, 4));
    assert_true(fake_backend_has_hashed(machine->tpm, "measure me", 10));
    machine->tpm->hash_fails = true;
    assert_false(backend_client_measure(&client, (const uint8_t *)"measure me", 10, 4));
    assert_string_equal(client.hash_error, "the fake TPM was told to fail");
    backend_client_unbind(&client);
    tpmdev_backend_unref(backend);
}

static bool refuse_to_migrate(void *self, GError **error)
{
    (void)self;
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED, "it is bolted down");
    return false;
}

static void test_whether_it_can_migrate_is_for_the_tpm_within_to_say(void **state)
{
    BackendFixture *fixture = *state;
    TPMBackendClass bolted = fixture_class;
    TPMFaultConfig config = { .size = sizeof(config), .id = "faulty", .fault = TPM_FAULT_HANG };
    GError *error = NULL;

    bolted.can_migrate = refuse_to_migrate;
    fixture_use_class(fixture, &bolted);
    config.backend = fixture->backend;
    TPMBackend *backend = fault_new(&config);

    assert_false(tpmdev_backend_can_migrate(backend, &error));
    assert_non_null(strstr(error->message, "it is bolted down"));
    g_error_free(error);
    tpmdev_backend_unref(backend);
    /* The fixture's class is on this stack: its backend goes first. */
    fixture->backend = tpmdev_backend_unref(fixture->backend);
}

/* ---- devices that come and go, contexts, threads ---- */

static void test_the_next_device_waits_for_the_command_of_the_last_one(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);
    TPMBackend *backend = fault_new(&config);

    config.ordinal = 0x999;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_machine_plug_backend(machine, backend);
    tis_request(machine, 0);
    fault_start_command(machine);
    tis_machine_unplug(machine);
    tis_machine_plug_backend(machine, backend);
    assert_int_equal(machine->tpm->starts, 1);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->starts, 2);
    machine->tpm->submit_when = FAKE_AT_ONCE;
    fake_backend_respond(machine->tpm, fault_good_2_0, sizeof(fault_good_2_0));
    tis_request(machine, 0);
    fault_start_command(machine);
    fault_assert_failure(machine); /* the fault is an error code */
    tis_machine_unplug(machine);
    tpmdev_backend_unref(backend);
}

/* In a delay, in a hang, and in the TPM within. */
static void test_it_ends_in_the_midst_of_a_command(void **state)
{
    static const TPMFault faults[] = { TPM_FAULT_DELAY, TPM_FAULT_HANG, TPM_FAULT_CODE };
    TISMachine *machine = *state;

    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    for (unsigned i = 0; i < 30; i++) {
        TPMFaultConfig config = fault_config(machine, faults[i % G_N_ELEMENTS(faults)]);

        config.delay_max_us = 200;
        machine->tpm->submit_when = config.fault == TPM_FAULT_CODE ? FAKE_WHEN_TOLD : FAKE_SOMEHOW;
        fault_plug(machine, &config);
        fault_start_command(machine);
        tis_machine_unplug(machine);
        if (config.fault == TPM_FAULT_CODE) {
            fake_backend_answer(machine->tpm);
        }
        fake_backend_wait_answers(machine->tpm, 2 * (i + 1));
    }
}

static gpointer fail_tpm(gpointer data)
{
    TISMachine *machine = data;

    fake_backend_fail(machine->tpm);
    return NULL;
}

static void test_a_hosts_context_is_kept_to(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DELAY);

    fake_host_use_context(&machine->host);
    config.delay_min_us = 1;
    machine->tpm->submit_when = FAKE_BY_THREAD;
    fault_plug(machine, &config);
    fault_start_command(machine);
    fake_backend_wait_answers(machine->tpm, 2);
    while (!tis_has_response(machine, 0)) {
        fake_host_wait_context(&machine->host);
    }
    fault_assert_good(machine);
    g_thread_join(g_thread_new("fails", fail_tpm, machine));
    assert_int_equal(fake_host_backend_errors(&machine->host), 0);
    fake_host_run_context(&machine->host);
    assert_int_equal(fake_host_backend_errors(&machine->host), 1);
    assert_ptr_equal(machine->host.backend_error_thread, g_thread_self());
}

/* Delays, cancels, resets, a TPM that answers in any way: what is lost is a hang. */
static void test_nothing_is_lost_between_threads(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DELAY);
    g_autoptr(GRand) random = g_rand_new_with_seed(4711);

    config.delay_max_us = 150;
    config.percent = 50;
    machine->tpm->submit_when = FAKE_SOMEHOW;
    machine->tpm->start_when = FAKE_BY_THREAD;
    fault_plug(machine, &config);
    for (unsigned i = 0; i < 1500; i++) {
        fault_start_command(machine);
        switch (g_rand_int_range(random, 0, 12)) {
        case 0:
            tpmdev_device_reset(machine->device);
            tis_request(machine, 0);
            break;
        case 1:
            tis_sts_set(machine, 0, STS_CANCEL);
            G_GNUC_FALLTHROUGH;
        default:
            fault_wait_response(machine);
            break;
        }
    }
}

#define TEST_2_0(test) cmocka_unit_test_setup_teardown(test, fault_setup_2_0, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_2_0(test_the_completion_window_is_handed_on),
        cmocka_unit_test(test_a_tpm_without_poll_is_not_asked_to_linger),
        cmocka_unit_test(test_a_response_waits_for_the_device_to_look),
        TEST_2_0(test_a_cancel_reaches_the_tpm_within),
        TEST_2_0(test_failure_recovery_and_link_are_handed_on),
        TEST_2_0(test_a_recovery_that_overtakes_its_failure_is_not_lost),
        TEST_2_0(test_a_recovery_that_comes_with_a_death_is_none),
        TEST_2_0(test_the_established_flag_is_handed_on),
        TEST_2_0(test_a_measurement_is_handed_on),
        cmocka_unit_test_setup_teardown(test_whether_it_can_migrate_is_for_the_tpm_within_to_say,
                                        fixture_setup, fixture_teardown),
        TEST_2_0(test_the_next_device_waits_for_the_command_of_the_last_one),
        TEST_2_0(test_it_ends_in_the_midst_of_a_command),
        TEST_2_0(test_a_hosts_context_is_kept_to),
        TEST_2_0(test_nothing_is_lost_between_threads),
    };

    return cmocka_run_group_tests_name("fault-within", tests, NULL, NULL);
}
