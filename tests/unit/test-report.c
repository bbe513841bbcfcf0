/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host is told of its guest's mistakes and of its TPM's, and how often
 * (hw/tpm/report.c).
 */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND_NS G_GINT64_CONSTANT(1000000000)

/* One mistake: tpmGo with no command. */
static void blunder(TISMachine *machine)
{
    tis_sts_set(machine, 0, STS_GO);
}

static void test_guest_error_says_what_the_guest_did(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    blunder(machine);
    assert_int_equal(fake_host_guest_errors(&machine->host), 1);
    assert_string_equal(machine->host.guest_error, "tpmGo without a command");
    tis_sts_set(machine, 0, STS_READY);
    tis_fifo_write(machine, 0, command_2_0, 5);
    tis_sts_set(machine, 0, STS_GO);
    assert_string_equal(machine->host.guest_error, "tpmGo before the command is whole");
    tis_access_set(machine, 0, ACCESS_SEIZE);
    assert_string_equal(machine->host.guest_error, "seize by a locality not above the active one");
    assert_int_equal(tis_statistics(machine).guest_errors, 3);
}

static void test_well_behaved_guest_causes_no_message(void **state)
{
    TISMachine *machine = *state;
    uint8_t response[16];

    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_response(machine, 0, response, sizeof(response));
    tis_sts_set(machine, 0, STS_READY);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tpmdev_device_reset(machine->device);
    assert_int_equal(fake_host_guest_errors(&machine->host), 0);
    assert_int_equal(fake_host_backend_errors(&machine->host), 0);
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
}

static void test_at_most_ten_guest_errors_a_second_are_told_and_all_are_counted(void **state)
{
    TISMachine *machine = *state;

    fake_host_set_clock(&machine->host, 0, 0);
    tis_request(machine, 0);
    for (unsigned i = 0; i < 1000; i++) {
        blunder(machine);
        assert_int_equal(fake_host_guest_errors(&machine->host), MIN(i + 1, 10));
    }
    assert_int_equal(tis_statistics(machine).guest_errors, 1000);
}

static void test_next_second_brings_ten_more(void **state)
{
    TISMachine *machine = *state;

    fake_host_set_clock(&machine->host, 0, 0);
    tis_request(machine, 0);
    for (unsigned i = 0; i < 20; i++) {
        blunder(machine);
    }
    fake_host_set_clock(&machine->host, SECOND_NS - 1, 0);
    blunder(machine);
    assert_int_equal(fake_host_guest_errors(&machine->host), 10);
    fake_host_set_clock(&machine->host, SECOND_NS, 0);
    for (unsigned i = 0; i < 20; i++) {
        blunder(machine);
    }
    assert_int_equal(fake_host_guest_errors(&machine->host), 20);
    fake_host_set_clock(&machine->host, 10 * SECOND_NS, 0);
    blunder(machine);
    assert_int_equal(fake_host_guest_errors(&machine->host), 21);
}

static void test_backend_errors_have_a_limit_of_their_own(void **state)
{
    TISMachine *machine = *state;

    fake_host_set_clock(&machine->host, 0, 0);
    fake_backend_respond(machine->tpm, "", 0);
    tis_request(machine, 0);
    for (unsigned i = 0; i < 30; i++) {
        blunder(machine);
        tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    }
    assert_int_equal(fake_host_backend_errors(&machine->host), 10);
    assert_int_equal(fake_host_guest_errors(&machine->host), 10);
    assert_int_equal(tis_statistics(machine).failures, 30);
    fake_host_set_clock(&machine->host, SECOND_NS, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(fake_host_backend_errors(&machine->host), 11);
}

static void test_backend_error_carries_the_words_of_the_backend(void **state)
{
    TISMachine *machine = *state;

    fake_backend_fail(machine->tpm);
    assert_int_equal(fake_host_backend_errors(&machine->host), 1);
    assert_string_equal(machine->host.backend_error, "the fake TPM was told to fail");
}

static void test_bad_response_is_described(void **state)
{
    TISMachine *machine = *state;

    fake_backend_respond(machine->tpm, "abc", 3);
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_string_equal(machine->host.backend_error,
                        "TPM backend 'fake' answered with 3 bytes that are no response of at most "
                        "4096 bytes");
}

static void test_host_without_callbacks_and_clock_is_served(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, 4096);

    (void)state;
    machine->host.host = (TPMHost)TPM_HOST_INIT;
    tis_machine_plug(machine);
    tis_request(machine, 0);
    blunder(machine);
    fake_backend_respond(machine->tpm, "", 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
    assert_int_equal(tis_statistics(machine).guest_errors, 1);
    assert_int_equal(tis_statistics(machine).failures, 1);
    tis_machine_free(machine);
}

static void test_callbacks_beyond_the_size_of_the_host_struct_are_not_called(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, 4096);

    (void)state;
    /* a program of an older header, whose TPMHost ended after set_irq */
    machine->host.host.size = offsetof(TPMHost, guest_error);
    tis_machine_plug(machine);
    tis_request(machine, 0);
    tis_write(machine, 0, REG_INT_ENABLE, 4, INT_ALL);
    blunder(machine);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(fake_host_guest_errors(&machine->host), 0);
    assert_int_equal(machine->host.clock_readings, 0);
    assert_int_equal(fake_host_irqs(&machine->host), 1);
    tis_machine_free(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, tis_setup_2_0, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_guest_error_says_what_the_guest_did),
        TEST(test_well_behaved_guest_causes_no_message),
        TEST(test_at_most_ten_guest_errors_a_second_are_told_and_all_are_counted),
        TEST(test_next_second_brings_ten_more),
        TEST(test_backend_errors_have_a_limit_of_their_own),
        TEST(test_backend_error_carries_the_words_of_the_backend),
        TEST(test_bad_response_is_described),
        cmocka_unit_test(test_host_without_callbacks_and_clock_is_served),
        cmocka_unit_test(test_callbacks_beyond_the_size_of_the_host_struct_are_not_called),
    };

    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
