/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The completion window: which commands are waited for, for how long, and what becomes of the
 * trust in a TPM that was late. By a clock of the test's own; nothing here takes real time.
 */
#include "tis-driver.h"
#include "window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WINDOW_NS 50000

/* ---- the window alone ---- */

static void test_closed_window_is_never_waited_in(void **state)
{
    TPMWindow window;

    (void)state;
    tpm_window_init(&window, 0);
    assert_false(tpm_window_begin(&window, true));
    tpm_window_sent(&window, 100);
    tpm_window_done(&window, 100);
    assert_false(tpm_window_begin(&window, true));
}

static void test_only_short_commands_are_waited_for(void **state)
{
    TPMWindow window;

    (void)state;
    tpm_window_init(&window, WINDOW_NS);
    assert_true(tpm_window_begin(&window, true));
    assert_false(tpm_window_begin(&window, false));
    assert_true(tpm_window_begin(&window, true));
}

static void test_window_is_over_when_its_time_is(void **state)
{
    TPMWindow window;

    (void)state;
    tpm_window_init(&window, WINDOW_NS);
    tpm_window_begin(&window, true);
    tpm_window_sent(&window, 1000);
    assert_false(tpm_window_is_over(&window, 1000));
    assert_false(tpm_window_is_over(&window, 1000 + WINDOW_NS - 1));
    assert_true(tpm_window_is_over(&window, 1000 + WINDOW_NS));
    assert_true(tpm_window_is_over(&window, INT64_MAX / 2));
}

static void test_late_tpm_is_not_waited_for_until_it_was_quick(void **state)
{
    TPMWindow window;

    (void)state;
    tpm_window_init(&window, WINDOW_NS);
    tpm_window_begin(&window, true);
    tpm_window_sent(&window, 0);
    tpm_window_done(&window, 100 * WINDOW_NS);
    assert_false(tpm_window_begin(&window, true));
    tpm_window_sent(&window, 0);
    tpm_window_done(&window, WINDOW_NS);
    assert_true(tpm_window_begin(&window, true));
}

/* Answers that come by another thread are seen late; eight windows still count as quick. */
static void test_quick_is_up_to_eight_windows(void **state)
{
    TPMWindow window;

    (void)state;
    tpm_window_init(&window, WINDOW_NS);
    tpm_window_begin(&window, true);
    tpm_window_sent(&window, 0);
    tpm_window_done(&window, 8 * WINDOW_NS + 1);
    assert_false(tpm_window_begin(&window, true));
    tpm_window_sent(&window, 0);
    tpm_window_done(&window, 8 * WINDOW_NS);
    assert_true(tpm_window_begin(&window, true));
}

static void test_long_command_neither_gains_nor_loses_trust(void **state)
{
    TPMWindow window;

    (void)state;
    tpm_window_init(&window, WINDOW_NS);
    tpm_window_begin(&window, false);
    tpm_window_sent(&window, 0);
    tpm_window_done(&window, G_GINT64_CONSTANT(60000000000));
    assert_true(tpm_window_begin(&window, true));
    tpm_window_sent(&window, 0);
    tpm_window_done(&window, 100 * WINDOW_NS);
    tpm_window_begin(&window, false);
    tpm_window_sent(&window, 0);
    tpm_window_done(&window, 1);
    assert_false(tpm_window_begin(&window, true));
}

static void test_answer_without_a_command_changes_no_trust(void **state)
{
    TPMWindow window;

    (void)state;
    tpm_window_init(&window, WINDOW_NS);
    tpm_window_begin(&window, true);
    tpm_window_sent(&window, 0);
    tpm_window_done(&window, 1);
    tpm_window_done(&window, 100 * WINDOW_NS);
    assert_true(tpm_window_begin(&window, true));
}

static void test_clock_that_stands_still_ends_the_window_after_a_thousand_looks(void **state)
{
    TPMWindow window;

    (void)state;
    tpm_window_init(&window, WINDOW_NS);
    for (unsigned again = 0; again < 2; again++) {
        tpm_window_begin(&window, true);
        tpm_window_sent(&window, 5);
        for (unsigned i = 0; i < 999; i++) {
            assert_false(tpm_window_is_over(&window, 5));
        }
        /* it moves after all, and stands still again */
        for (unsigned i = 0; i < 1000; i++) {
            assert_false(tpm_window_is_over(&window, 6));
        }
        assert_true(tpm_window_is_over(&window, 6));
    }
}

/* ---- through a device ---- */

/* A TPM that answers in a poll, or when told. */
static TISMachine *machine_with_window(FakeKind kind, int64_t window_ns)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, kind, TPM_BUFFER_SIZE_COMMON);

    machine->tpm->submit_when = FAKE_IN_POLL;
    machine->tpm->polls_needed = 3;
    machine->config.completion_window_ns = window_ns;
    tis_machine_plug(machine);
    tis_request(machine, 0);
    return machine;
}

static int setup(void **state)
{
    *state = machine_with_window(FAKE_FULL, WINDOW_NS);
    return 0;
}

static void go(TISMachine *machine)
{
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
}

static void go_long(TISMachine *machine)
{
    tis_start(machine, 0, command_long_2_0, sizeof(command_long_2_0));
}

/* A command that is not answered in its window, and then is, so much later. */
static void be_late(TISMachine *machine, int64_t late_ns)
{
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    go(machine);
    assert_false(tis_has_response(machine, 0));
    fake_host_set_clock(&machine->host, machine->host.now_ns + late_ns, 1000);
    fake_backend_answer(machine->tpm);
    assert_true(tis_has_response(machine, 0));
}

static void test_short_command_is_polled_until_it_is_done(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    assert_true(machine->tpm->linger);
    assert_int_equal(machine->tpm->polls, 3);
    assert_int_equal(machine->tpm->linger_ends, 0);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
    assert_int_equal(tis_statistics(machine).inline_completions, 1);
}

static void test_command_that_is_done_in_submit_is_not_polled(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_AT_ONCE;
    go(machine);
    assert_true(machine->tpm->linger);
    assert_int_equal(machine->tpm->polls, 0);
    assert_int_equal(machine->tpm->linger_ends, 0);
}

static void test_command_that_fails_in_submit_is_not_polled(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_AT_ONCE;
    machine->tpm->submit_fails = true;
    go(machine);
    assert_int_equal(machine->tpm->polls, 0);
    assert_int_equal(machine->tpm->linger_ends, 0);
    tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
}

static void test_command_that_fails_in_poll_is_not_polled_again(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_fails = true;
    go(machine);
    assert_int_equal(machine->tpm->polls, 3);
    assert_int_equal(machine->tpm->linger_ends, 0);
    tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
}

static void test_long_command_does_not_linger(void **state)
{
    TISMachine *machine = *state;

    go_long(machine);
    assert_false(machine->tpm->linger);
    assert_int_equal(machine->tpm->polls, 0);
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
}

static void test_window_of_zero_does_not_linger(void **state)
{
    TISMachine *machine = machine_with_window(FAKE_FULL, 0);

    (void)state;
    go(machine);
    assert_false(machine->tpm->linger);
    assert_int_equal(machine->tpm->polls, 0);
    fake_backend_answer(machine->tpm);
    tis_machine_free(machine);
}

static void test_tpm_without_poll_does_not_linger(void **state)
{
    TISMachine *machine = machine_with_window(FAKE_BARE, WINDOW_NS);

    (void)state;
    go(machine);
    assert_false(machine->tpm->linger);
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
    tis_machine_free(machine);
}

static void test_wait_ends_with_the_window(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    tis_send(machine, 0, command_2_0, sizeof(command_2_0));
    fake_host_set_clock(&machine->host, 0, 1000);
    tis_sts_set(machine, 0, STS_GO);
    /* sent at 0; looked at once after each poll, the fiftieth time at 50 µs */
    assert_int_equal(machine->tpm->polls, 50);
    assert_int_equal(machine->tpm->linger_ends, 1);
    assert_false(tis_has_response(machine, 0));
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
    assert_int_equal(tis_statistics(machine).inline_completions, 0);
}

static TISMachine *machine_of_callback;

static void cancel_in_callback(FakeHost *host)
{
    (void)host;
    tis_sts_set(machine_of_callback, 0, STS_CANCEL);
}

static void test_cancel_that_comes_with_the_response_does_not_hit_the_next_command(void **state)
{
    TISMachine *machine = *state;

    machine_of_callback = machine;
    machine->tpm->polls_needed = 1;
    tis_send(machine, 0, command_2_0, sizeof(command_2_0));
    /* another vCPU, right before the poll that has the response */
    machine->host.on_clock = cancel_in_callback;
    tis_sts_set(machine, 0, STS_GO);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    go_long(machine);
    assert_int_equal(machine->tpm->cancels, 0);
    fake_backend_answer(machine->tpm);
}

static void test_late_tpm_is_waited_for_again_once_it_was_quick(void **state)
{
    TISMachine *machine = *state;

    be_late(machine, 100 * WINDOW_NS);
    assert_true(machine->tpm->linger);
    /* no more of that, while it goes on being late */
    for (unsigned i = 0; i < 3; i++) {
        be_late(machine, 100 * WINDOW_NS);
        assert_false(machine->tpm->linger);
    }
    /* quick, though not waited for */
    be_late(machine, 0);
    assert_false(machine->tpm->linger);
    machine->tpm->submit_when = FAKE_IN_POLL;
    go(machine);
    assert_true(machine->tpm->linger);
    assert_int_equal(machine->tpm->polls, 3);
}

static void test_long_commands_in_between_change_no_trust(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    go_long(machine);
    fake_host_set_clock(&machine->host, G_GINT64_CONSTANT(60000000000), 1000);
    fake_backend_answer(machine->tpm);
    be_late(machine, 100 * WINDOW_NS);
    assert_true(machine->tpm->linger);
    go_long(machine);
    fake_backend_answer(machine->tpm);
    go(machine);
    assert_false(machine->tpm->linger);
    fake_backend_answer(machine->tpm);
}

static void test_tpm_that_never_answers_costs_one_window(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_send(machine, 0, command_2_0, sizeof(command_2_0));
    fake_host_set_clock(&machine->host, 0, 1000);
    tis_sts_set(machine, 0, STS_GO);
    int64_t spent_ns = machine->host.now_ns;
    assert_in_range(spent_ns, WINDOW_NS, WINDOW_NS + 2000);
    /* all a guest can do from here on looks at no clock, but to tell of its mistakes */
    for (unsigned i = 0; i < 100; i++) {
        tis_sts(machine, 0);
        tis_sts_set(machine, 0, STS_READY);
        tis_sts_set(machine, 0, STS_CANCEL);
        tis_read(machine, 0, REG_FIFO, 4);
        tis_access_set(machine, 0, ACCESS_RELINQUISH);
        tis_access_set(machine, 1, ACCESS_SEIZE);
        tis_access_set(machine, 0, ACCESS_REQUEST);
        tpmdev_device_reset(machine->device);
        tis_request(machine, 0);
        go(machine);
        tpmdev_device_reset(machine->device);
        tis_request(machine, 0);
    }
    assert_int_equal(machine->host.now_ns, spent_ns);
    assert_int_equal(machine->tpm->submits, 1);
}

static void test_dead_tpm_costs_no_window(void **state)
{
    TISMachine *machine = *state;

    fake_backend_fail(machine->tpm);
    fake_host_set_clock(&machine->host, 0, 0);
    for (unsigned i = 0; i < 10; i++) {
        go(machine);
        tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
    }
    assert_int_equal(machine->tpm->polls, 0);
    assert_int_equal(machine->tpm->linger_ends, 0);
}

static void test_clock_that_stands_still_does_not_hold_the_guest(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    fake_host_set_clock(&machine->host, 0, 0);
    go(machine);
    assert_int_equal(machine->tpm->polls, 1000);
    assert_int_equal(machine->tpm->linger_ends, 1);
    fake_backend_answer(machine->tpm);
}

static void test_command_that_waited_for_the_start_may_linger(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->start_when = FAKE_WHEN_TOLD;
    tpmdev_device_reset(machine->device);
    tis_request(machine, 0);
    go(machine);
    assert_false(tis_has_response(machine, 0));
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->polls, 3);
    assert_true(tis_has_response(machine, 0));
    assert_int_equal(tis_statistics(machine).inline_completions, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_window_is_never_waited_in),
        cmocka_unit_test(test_only_short_commands_are_waited_for),
        cmocka_unit_test(test_window_is_over_when_its_time_is),
        cmocka_unit_test(test_late_tpm_is_not_waited_for_until_it_was_quick),
        cmocka_unit_test(test_quick_is_up_to_eight_windows),
        cmocka_unit_test(test_long_command_neither_gains_nor_loses_trust),
        cmocka_unit_test(test_answer_without_a_command_changes_no_trust),
        cmocka_unit_test(test_clock_that_stands_still_ends_the_window_after_a_thousand_looks),
        TEST(test_short_command_is_polled_until_it_is_done),
        TEST(test_command_that_is_done_in_submit_is_not_polled),
        TEST(test_command_that_fails_in_submit_is_not_polled),
        TEST(test_command_that_fails_in_poll_is_not_polled_again),
        TEST(test_long_command_does_not_linger),
        cmocka_unit_test(test_window_of_zero_does_not_linger),
        cmocka_unit_test(test_tpm_without_poll_does_not_linger),
        TEST(test_wait_ends_with_the_window),
        TEST(test_cancel_that_comes_with_the_response_does_not_hit_the_next_command),
        TEST(test_late_tpm_is_waited_for_again_once_it_was_quick),
        TEST(test_long_commands_in_between_change_no_trust),
        TEST(test_tpm_that_never_answers_costs_one_window),
        TEST(test_dead_tpm_costs_no_window),
        TEST(test_clock_that_stands_still_does_not_hold_the_guest),
        TEST(test_command_that_waited_for_the_start_may_linger),
    };

    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
