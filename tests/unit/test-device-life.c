/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device as its host sees it: its configuration, the statistics, its end with something under
 * way, the next device on the same TPM, and who is told of what on which thread.
 */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A machine whose TPM answers, and is cancelled, only when it is told to. */
static TISMachine *told_machine(void)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    machine->config.completion_window_ns = 0;
    return machine;
}

static int setup_told(void **state)
{
    TISMachine *machine = told_machine();

    tis_machine_plug(machine);
    tis_request(machine, 0);
    *state = machine;
    return 0;
}

/* The same, and the start, too, has to be told. */
static int setup_starting(void **state)
{
    TISMachine *machine = told_machine();

    machine->tpm->start_when = FAKE_WHEN_TOLD;
    tis_machine_plug(machine);
    tis_request(machine, 0);
    *state = machine;
    return 0;
}

static void go(TISMachine *machine)
{
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
}

/* The device answers a command as ever. */
static void assert_usable(TISMachine *machine)
{
    machine->tpm->start_when = FAKE_AT_ONCE;
    machine->tpm->submit_when = FAKE_AT_ONCE;
    fake_backend_respond_with_size(machine->tpm, 42);
    tis_request(machine, 0);
    go(machine);
    tis_assert_response(machine, 0, machine->tpm->response, 42);
}

/* ---- the statistics ---- */

static void test_statistics_count_what_happened(void **state)
{
    TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);
    static const uint8_t bad[10] = { 0 };
    TPMDeviceStatistics s = tis_statistics(machine);

    (void)state;
    assert_int_equal(s.size, sizeof(s));
    assert_int_equal(s.resets, 1);
    assert_int_equal(s.commands + s.inline_completions + s.rejected_commands + s.failures +
                         s.cancels + s.guest_errors + s.interrupts,
                     0);
    tis_request(machine, 0);
    go(machine);
    tis_start(machine, 0, bad, sizeof(bad));
    fake_backend_respond(machine->tpm, "", 0);
    go(machine);
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    go(machine);
    tis_sts_set(machine, 0, STS_CANCEL);
    tpmdev_device_reset(machine->device);
    s = tis_statistics(machine);
    assert_int_equal(s.commands, 4);
    assert_int_equal(s.inline_completions, 2);
    assert_int_equal(s.rejected_commands, 1);
    assert_int_equal(s.failures, 2);
    assert_int_equal(s.cancels, 1);
    assert_int_equal(s.resets, 2);
    assert_int_equal(s.guest_errors, 1);
    tis_machine_free(machine);
}

static void test_inline_completion_is_one_before_the_write_returns(void **state)
{
    static const struct {
        FakeWhen start_when;
        FakeWhen submit_when;
        FakeKind kind;
        unsigned expected;
    } cases[] = {
        { FAKE_AT_ONCE, FAKE_AT_ONCE, FAKE_FULL, 1 },
        { FAKE_AT_ONCE, FAKE_AT_ONCE, FAKE_BARE, 1 },
        { FAKE_AT_ONCE, FAKE_IN_POLL, FAKE_FULL, 1 },
        { FAKE_AT_ONCE, FAKE_WHEN_TOLD, FAKE_FULL, 0 },
        { FAKE_WHEN_TOLD, FAKE_AT_ONCE, FAKE_FULL, 0 },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, cases[i].kind, 4096);

        machine->tpm->start_when = cases[i].start_when;
        machine->tpm->submit_when = cases[i].submit_when;
        machine->tpm->polls_needed = 2;
        tis_machine_plug(machine);
        tis_request(machine, 0);
        go(machine);
        tis_wait_response(machine, 0);
        assert_int_equal(tis_statistics(machine).inline_completions, cases[i].expected);
        tis_machine_free(machine);
    }
}

static TISMachine *machine_of_callback;

/* While the thread that would answer it here is in this callback, the guest gives it up. */
static void cancel_malformed_in_callback(FakeHost *host, bool level)
{
    static const uint8_t bad[10] = { 0 };

    (void)level;
    host->on_irq = NULL;
    tis_start(machine_of_callback, 0, bad, sizeof(bad));
    assert_false(tis_has_response(machine_of_callback, 0));
    tis_sts_set(machine_of_callback, 0, STS_CANCEL);
}

static void test_cancel_of_a_command_that_is_answered_here_is_not_counted(void **state)
{
    static const uint8_t wrong_size[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x42 };
    TISMachine *machine = *state;

    machine_of_callback = machine;
    machine->tpm->submit_when = FAKE_AT_ONCE;
    machine->host.on_irq = cancel_malformed_in_callback;
    tis_write(machine, 0, REG_INT_ENABLE, 4, 0x80000000u | INT_DATA_AVAIL);
    go(machine);
    tis_assert_response(machine, 0, wrong_size, sizeof(wrong_size));
    assert_int_equal(tis_statistics(machine).cancels, 0);
    assert_int_equal(tis_statistics(machine).rejected_commands, 1);
}

/*
 * A program built before there was a member leaves what stands behind its configuration to chance.
 * Each of these, were it taken for the member, is refused; the next size shows that it would be.
 */
static void test_members_beyond_the_size_of_an_older_configuration_are_not_looked_at(void **state)
{
    static const size_t ends[][2] = {
        { offsetof(TPMDeviceConfig, buffer_address), offsetof(TPMDeviceConfig, chunk) },
        { offsetof(TPMDeviceConfig, chunk), offsetof(TPMDeviceConfig, drtm) },
        { offsetof(TPMDeviceConfig, drtm), offsetof(TPMDeviceConfig, wait_states) },
        { offsetof(TPMDeviceConfig, wait_states), offsetof(TPMDeviceConfig, ppi_address) },
        { offsetof(TPMDeviceConfig, ppi_address), sizeof(TPMDeviceConfig) },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) {
        TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_BARE, TPM_BUFFER_SIZE_MAX);
        TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;

        memset((char *)&config + ends[i][0], 1, sizeof(config) - ends[i][0]);
        config.size = ends[i][1];
        assert_null(tpmdev_device_new(&config, machine->tpm->backend, NULL, NULL, NULL));
        config.size = ends[i][0];
        machine->device = tpmdev_device_new(&config, machine->tpm->backend, NULL, NULL, NULL);
        assert_non_null(machine->device);
        tis_machine_free(machine);
    }
}

static void test_statistics_of_an_older_program_are_not_written_beyond_its_size(void **state)
{
    TISMachine *machine = *state;
    TPMDeviceStatistics s;

    memset(&s, 0x55, sizeof(s));
    s.size = offsetof(TPMDeviceStatistics, commands);
    tpmdev_device_get_statistics(machine->device, &s);
    assert_int_equal(s.size, offsetof(TPMDeviceStatistics, commands));
    assert_true(s.writes < 100);
    assert_int_equal(s.commands, G_GUINT64_CONSTANT(0x5555555555555555));
}

/* ---- the device's end, and the next device ---- */

static void test_device_can_be_freed_with_a_command_under_way(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    tis_machine_unplug(machine);
    assert_int_equal(machine->tpm->cancels, 1);
    fake_backend_answer(machine->tpm);
    fake_backend_fail(machine->tpm);
    assert_int_equal(fake_host_backend_errors(&machine->host), 0);
}

static void test_device_can_be_freed_while_its_tpm_starts(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    tis_machine_unplug(machine);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->submits, 0);
}

static void test_device_can_be_freed_after_a_reset_with_a_command_under_way(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    tpmdev_device_reset(machine->device);
    tis_machine_unplug(machine);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->starts, 1);
}

static void test_device_can_be_freed_while_another_thread_answers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);

        machine->tpm->submit_when = FAKE_BY_THREAD;
        tis_request(machine, 0);
        tis_write(machine, 0, REG_INT_ENABLE, 4, INT_ALL);
        go(machine);
        if (i % 2) {
            tpmdev_device_reset(machine->device);
        }
        tis_machine_free(machine);
    }
}

static void test_second_device_on_one_tpm_is_refused(void **state)
{
    TISMachine *machine = *state;
    g_autoptr(GError) error = NULL;

    assert_null(tpmdev_device_new(NULL, machine->tpm->backend, NULL, NULL, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_IN_USE));
    assert_string_equal(error->message,
                        "TPM backend 'fake' is already initialized: it serves another device; "
                        "give each device a backend of its own");
    assert_int_equal(machine->tpm->starts, 1);
    assert_usable(machine);
}

static void test_tpm_serves_the_next_device_when_the_first_is_freed(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 0; i < 5; i++) {
        assert_usable(machine);
        tis_machine_unplug(machine);
        tis_machine_plug(machine);
        assert_int_equal(machine->tpm->starts, i + 2);
    }
    assert_usable(machine);
}

/* ---- the host's own context ---- */

static int setup_context(void **state)
{
    TISMachine *machine = told_machine();

    fake_host_use_context(&machine->host);
    tis_machine_plug(machine);
    tis_request(machine, 0);
    tis_write(machine, 0, REG_INT_ENABLE, 4, 0x80000000u | INT_DATA_AVAIL);
    *state = machine;
    return 0;
}

static void test_response_of_another_thread_waits_for_the_hosts_context(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_BY_THREAD;
    go(machine);
    fake_backend_wait_answers(machine->tpm, 2);
    assert_false(tis_has_response(machine, 0));
    assert_int_equal(fake_host_irqs(&machine->host), 0);
    fake_host_run_context(&machine->host);
    assert_int_equal(fake_host_irqs(&machine->host), 1);
    assert_ptr_equal(machine->host.irq_thread, g_thread_self());
    tis_assert_response(machine, 0, machine->tpm->response, 10);
}

static void test_response_from_outside_a_call_waits_for_the_hosts_context(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    fake_backend_answer(machine->tpm);
    assert_false(tis_has_response(machine, 0));
    fake_host_run_context(&machine->host);
    assert_true(tis_has_response(machine, 0));
}

static void test_response_from_within_the_call_is_there_at_once(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_AT_ONCE;
    go(machine);
    assert_int_equal(fake_host_irqs(&machine->host), 1);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_AT_ONCE;
    go(machine);
    tis_sts_set(machine, 0, STS_CANCEL);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
}

static gpointer fail_on_thread(gpointer data)
{
    fake_backend_fail(data);
    return NULL;
}

static void test_failure_on_another_thread_waits_for_the_hosts_context(void **state)
{
    TISMachine *machine = *state;

    g_thread_join(g_thread_new("failure", fail_on_thread, machine->tpm));
    assert_int_equal(fake_host_backend_errors(&machine->host), 0);
    fake_host_run_context(&machine->host);
    assert_int_equal(fake_host_backend_errors(&machine->host), 1);
    assert_ptr_equal(machine->host.backend_error_thread, g_thread_self());
}

static void test_reset_waits_for_a_response_that_waits_for_the_context(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    fake_backend_answer(machine->tpm);
    tpmdev_device_reset(machine->device);
    assert_int_equal(machine->tpm->starts, 1);
    fake_host_run_context(&machine->host);
    assert_int_equal(machine->tpm->starts, 2);
    assert_usable(machine);
}

static void test_news_for_a_freed_device_does_not_reach_the_next(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    fake_backend_answer(machine->tpm);
    tis_machine_unplug(machine);
    tis_machine_plug(machine);
    tis_request(machine, 0);
    fake_host_run_context(&machine->host);
    assert_int_equal(tis_sts(machine, 0), 0x04100000);
    assert_usable(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup_told, tis_teardown)
#define TEST_STARTING(function)                                                                    \
    cmocka_unit_test_setup_teardown(function, setup_starting, tis_teardown)
#define TEST_CONTEXT(function)                                                                     \
    cmocka_unit_test_setup_teardown(function, setup_context, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics_count_what_happened),
        cmocka_unit_test(test_inline_completion_is_one_before_the_write_returns),
        TEST(test_cancel_of_a_command_that_is_answered_here_is_not_counted),
        TEST(test_statistics_of_an_older_program_are_not_written_beyond_its_size),
        cmocka_unit_test(test_members_beyond_the_size_of_an_older_configuration_are_not_looked_at),
        TEST(test_device_can_be_freed_with_a_command_under_way),
        TEST_STARTING(test_device_can_be_freed_while_its_tpm_starts),
        TEST(test_device_can_be_freed_after_a_reset_with_a_command_under_way),
        cmocka_unit_test(test_device_can_be_freed_while_another_thread_answers),
        TEST(test_second_device_on_one_tpm_is_refused),
        TEST(test_tpm_serves_the_next_device_when_the_first_is_freed),
        TEST_CONTEXT(test_response_of_another_thread_waits_for_the_hosts_context),
        TEST_CONTEXT(test_response_from_outside_a_call_waits_for_the_hosts_context),
        TEST_CONTEXT(test_response_from_within_the_call_is_there_at_once),
        TEST_CONTEXT(test_failure_on_another_thread_waits_for_the_hosts_context),
        TEST_CONTEXT(test_reset_waits_for_a_response_that_waits_for_the_context),
        TEST_CONTEXT(test_news_for_a_freed_device_does_not_reach_the_next),
    };

    return cmocka_run_group_tests_name("device-life", tests, NULL, NULL);
}
