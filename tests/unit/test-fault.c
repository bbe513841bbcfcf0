/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM with a fault, as a guest sees it through a TIS device: a well-formed response whatever went
 * wrong, registers that answer all the time, and a TPM that is there again afterwards.
 *
 * Neighbours: test-fault-within.c, what passes between the device and the TPM within, and
 * test-fault-new.c, the configuration.
 */
#include "command.h"
#include "fault-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define GET_RANDOM 0x17Bu

/* ---- each fault ---- */

/* Of the second command alone: the first and the third are well. */
static void check_malformed(TISMachine *machine, TPMFault fault, uint32_t bytes)
{
    TPMFaultConfig config = fault_config(machine, fault);
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };

    config.nth = 2;
    config.bytes = bytes;
    fault_plug(machine, &config);
    fault_run_good(machine);
    fault_start_command(machine);
    fault_assert_failure(machine);
    fault_run_good(machine);
    tpmdev_backend_get_statistics(tpmdev_device_get_backend(machine->device), &statistics);
    assert_int_equal(statistics.errors[TPM_ERROR_PROTOCOL], 1);
    tis_machine_unplug(machine);
}

static void test_a_malformed_response_is_a_failure_to_the_guest(void **state)
{
    TISMachine *machine = *state;

    check_malformed(machine, TPM_FAULT_SIZE, 0);
    for (uint32_t bytes = 0; bytes <= 15; bytes++) {
        check_malformed(machine, TPM_FAULT_TRUNCATED, bytes);
    }
    check_malformed(machine, TPM_FAULT_TRUNCATED, TPM_BUFFER_SIZE_MAX);
    check_malformed(machine, TPM_FAULT_LONGER, 0);
    check_malformed(machine, TPM_FAULT_LONGER, TPM_BUFFER_SIZE_MAX);
}

static void test_a_code_is_that_of_the_fault_in_the_shape_of_the_version(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);
    uint8_t expected[TPM_HEADER_SIZE];

    fault_plug(machine, &config);
    fault_start_command(machine);
    fault_assert_failure(machine);
    tis_machine_unplug(machine);
    config.code = 0x922;
    fault_plug(machine, &config);
    fault_start_command(machine);
    tpm_error_response(machine->tpm->version, 0x922, expected);
    tis_assert_response(machine, 0, expected, sizeof(expected));
}

static size_t read_garbage(TISMachine *machine, uint32_t seed, uint8_t response[64])
{
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_GARBAGE);

    config.seed = seed;
    fault_plug(machine, &config);
    fault_start_command(machine);
    size_t size = tis_response(machine, 0, response, 64);

    tis_machine_unplug(machine);
    return size;
}

static void test_garbage_has_the_right_size_and_is_the_same_for_the_same_seed(void **state)
{
    TISMachine *machine = *state;
    uint8_t first[64], again[64], other[64];

    assert_int_equal(read_garbage(machine, 7, first), sizeof(fault_good_2_0));
    assert_int_equal(tpm_header_len(first), sizeof(fault_good_2_0));
    assert_int_equal(read_garbage(machine, 7, again), sizeof(fault_good_2_0));
    assert_int_equal(read_garbage(machine, 8, other), sizeof(fault_good_2_0));
    assert_memory_equal(first, again, sizeof(fault_good_2_0));
    assert_memory_not_equal(first, other, sizeof(fault_good_2_0));
    assert_memory_not_equal(first, fault_good_2_0, sizeof(fault_good_2_0));
}

static void test_a_late_response_comes_by_itself(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DELAY);

    config.delay_min_us = 5000;
    config.delay_max_us = 10000;
    fault_plug(machine, &config);
    for (unsigned i = 0; i < 3; i++) {
        gint64 begin = g_get_monotonic_time();

        fault_start_command(machine);
        fault_wait_response(machine);
        assert_true(g_get_monotonic_time() - begin >= 5000);
        fault_assert_good(machine);
    }
}

static void test_a_cancel_ends_a_delay(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DELAY);

    config.delay_min_us = TPM_FAULT_DELAY_MAX;
    fault_plug(machine, &config);
    fault_start_command(machine);
    assert_false(tis_has_response(machine, 0));
    tis_sts_set(machine, 0, STS_CANCEL);
    fault_assert_good(machine);
}

static void test_a_tpm_that_hangs_leaves_the_registers_alone(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_HANG);
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };

    config.nth = 1;
    fault_plug(machine, &config);
    fault_start_command(machine);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(tis_access(machine, 0), ACCESS_ACTIVE);
        assert_false(tis_has_response(machine, 0));
    }
    tpmdev_backend_get_statistics(tpmdev_device_get_backend(machine->device), &statistics);
    assert_true(statistics.executing);
    assert_int_equal(statistics.ordinal, GET_RANDOM);
    tis_sts_set(machine, 0, STS_CANCEL);
    fault_assert_good(machine);
    fault_run_good(machine);
}

static void test_a_reset_ends_a_hang(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_HANG);

    config.nth = 1;
    fault_plug(machine, &config);
    fault_start_command(machine);
    assert_false(tis_has_response(machine, 0));
    tpmdev_device_reset(machine->device);
    tis_request(machine, 0);
    fault_run_good(machine);
    assert_int_equal(machine->tpm->starts, 2);
}

static void test_a_dead_tpm_is_dead_until_the_next_reset(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DEATH);

    config.nth = 2;
    fault_plug(machine, &config);
    fault_run_good(machine);
    for (unsigned i = 0; i < 3; i++) {
        fault_start_command(machine);
        fault_assert_failure(machine);
    }
    assert_int_equal(machine->tpm->submits, 2);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_GONE);
    fake_backend_fail(machine->tpm); /* the TPM within does not matter any more */
    tpmdev_backend_recovered(machine->tpm->backend);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_GONE);
    tpmdev_device_reset(machine->device);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_CONNECTED);
    tis_request(machine, 0);
    fault_run_good(machine);
}

static void test_a_tpm_can_die_at_each_byte_of_its_responses(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DEATH);

    for (config.byte = 1; config.byte <= 3 * sizeof(fault_good_2_0); config.byte++) {
        fault_plug(machine, &config);
        for (unsigned i = 0; i < (config.byte - 1) / sizeof(fault_good_2_0); i++) {
            fault_run_good(machine);
        }
        fault_start_command(machine);
        fault_assert_failure(machine);
        tpmdev_device_reset(machine->device);
        tis_request(machine, 0);
        fault_run_good(machine);
        tis_machine_unplug(machine);
    }
}

static void test_a_start_that_fails_says_why_and_the_next_one_is_well(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_START);
    GError *error = NULL;

    config.nth = 1;
    fault_plug(machine, &config);
    assert_false(tpmdev_device_wait_ready(machine->device, G_GINT64_CONSTANT(1000000000), &error));
    assert_string_equal(error->message, "TPM backend 'faulty' does not start, as it was told to");
    g_clear_error(&error);
    fault_start_command(machine);
    fault_assert_failure(machine);
    assert_int_equal(machine->tpm->starts, 0);
    tpmdev_device_reset(machine->device);
    tis_request(machine, 0);
    fault_run_good(machine);
}

/* ---- which commands ---- */

/* Of so many commands, the ones that had the fault, as letters. */
static char *pattern(TISMachine *machine, const TPMFaultConfig *config, unsigned n)
{
    GString *text = g_string_new(NULL);
    uint8_t response[64];

    fault_plug(machine, config);
    for (unsigned i = 0; i < n; i++) {
        bool is_long = i % 2 == 1;

        if (is_long) {
            tis_start(machine, 0, command_long_2_0, sizeof(command_long_2_0));
        } else {
            fault_start_command(machine);
        }
        tis_response(machine, 0, response, sizeof(response));
        g_string_append_c(text, tpm_header_code(response) == 0 ? '.' : 'x');
    }
    tis_machine_unplug(machine);
    return g_string_free(text, FALSE);
}

static void assert_pattern(TISMachine *machine, const TPMFaultConfig *config, const char *expected)
{
    g_autofree char *found = pattern(machine, config, (unsigned)strlen(expected));

    assert_string_equal(found, expected);
}

static void test_a_fault_shows_with_the_commands_it_is_for(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    assert_pattern(machine, &config, "xxxxxx");
    config.nth = 3;
    assert_pattern(machine, &config, "..x...");
    config.ordinal = 0x143;
    assert_pattern(machine, &config, ".....x..");
    config.nth = 0;
    assert_pattern(machine, &config, ".x.x.x");
    config.ordinal = 0x999;
    assert_pattern(machine, &config, "......");
}

static void test_chance_is_that_of_the_seed(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    config.percent = 50;
    config.seed = 1;
    g_autofree char *first = pattern(machine, &config, 64);
    g_autofree char *again = pattern(machine, &config, 64);
    config.seed = 2;
    g_autofree char *other = pattern(machine, &config, 64);

    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    assert_non_null(strchr(first, 'x'));
    assert_non_null(strchr(first, '.'));
}

#define TEST_2_0(test) cmocka_unit_test_setup_teardown(test, fault_setup_2_0, tis_teardown)
#define TEST_1_2(test) cmocka_unit_test_setup_teardown(test, fault_setup_1_2, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_2_0(test_a_malformed_response_is_a_failure_to_the_guest),
        TEST_1_2(test_a_malformed_response_is_a_failure_to_the_guest),
        TEST_2_0(test_a_code_is_that_of_the_fault_in_the_shape_of_the_version),
        TEST_1_2(test_a_code_is_that_of_the_fault_in_the_shape_of_the_version),
        TEST_2_0(test_garbage_has_the_right_size_and_is_the_same_for_the_same_seed),
        TEST_2_0(test_a_late_response_comes_by_itself),
        TEST_2_0(test_a_cancel_ends_a_delay),
        TEST_2_0(test_a_tpm_that_hangs_leaves_the_registers_alone),
        TEST_2_0(test_a_reset_ends_a_hang),
        TEST_2_0(test_a_dead_tpm_is_dead_until_the_next_reset),
        TEST_1_2(test_a_dead_tpm_is_dead_until_the_next_reset),
        TEST_2_0(test_a_tpm_can_die_at_each_byte_of_its_responses),
        TEST_2_0(test_a_start_that_fails_says_why_and_the_next_one_is_well),
        TEST_1_2(test_a_start_that_fails_says_why_and_the_next_one_is_well),
        TEST_2_0(test_a_fault_shows_with_the_commands_it_is_for),
        TEST_2_0(test_chance_is_that_of_the_seed),
    };

    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
