/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The five localities and who of them has the TIS device: request, pending, relinquish, seize
 * and abort (hw/tpm/tis-locality.c).
 */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* TPM_ACCESS of all five, locality 0 first. */
static void assert_accesses(TISMachine *machine, uint8_t a0, uint8_t a1, uint8_t a2, uint8_t a3,
                            uint8_t a4)
{
    const uint8_t expected[] = { a0, a1, a2, a3, a4 };

    for (unsigned locality = 0; locality < 5; locality++) {
        assert_int_equal(tis_access(machine, locality), expected[locality]);
    }
}

/* ---- request and relinquish ---- */

static void test_request_is_granted_at_once_when_nobody_has_the_device(void **state)
{
    TISMachine *machine = *state;

    for (unsigned locality = 0; locality < 4; locality++) {
        tis_access_set(machine, locality, ACCESS_REQUEST);
        assert_int_equal(tis_access(machine, locality), 0xA1);
        tis_access_set(machine, locality, ACCESS_RELINQUISH);
        assert_int_equal(tis_access(machine, locality), 0x81);
    }
}

static void test_request_waits_while_another_has_the_device(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 1);
    tis_access_set(machine, 3, ACCESS_REQUEST);
    assert_accesses(machine, 0x85, 0xA5, 0x85, 0x83, 0x85);
    tis_access_set(machine, 0, ACCESS_REQUEST);
    assert_accesses(machine, 0x87, 0xA5, 0x85, 0x87, 0x85);
}

static void test_request_by_the_active_locality_changes_nothing(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 2);
    tis_access_set(machine, 2, ACCESS_REQUEST);
    assert_accesses(machine, 0x81, 0x81, 0xA1, 0x81, 0x81);
}

static void test_relinquish_gives_the_device_to_the_highest_waiting(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 2);
    tis_access_set(machine, 0, ACCESS_REQUEST);
    tis_access_set(machine, 1, ACCESS_REQUEST);
    tis_access_set(machine, 3, ACCESS_REQUEST);
    tis_access_set(machine, 2, ACCESS_RELINQUISH);
    assert_accesses(machine, 0x87, 0x87, 0x85, 0xA5, 0x85);
    tis_access_set(machine, 3, ACCESS_RELINQUISH);
    assert_accesses(machine, 0x83, 0xA5, 0x85, 0x85, 0x85);
    tis_access_set(machine, 1, ACCESS_RELINQUISH);
    assert_accesses(machine, 0xA1, 0x81, 0x81, 0x81, 0x81);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
}

static void test_relinquish_takes_a_waiting_request_back(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 1);
    tis_access_set(machine, 0, ACCESS_REQUEST);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    assert_accesses(machine, 0x81, 0xA1, 0x81, 0x81, 0x81);
    tis_access_set(machine, 1, ACCESS_RELINQUISH);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
}

static void test_relinquish_by_one_without_the_device_does_nothing(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 1);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_access_set(machine, 3, ACCESS_RELINQUISH);
    assert_accesses(machine, 0x81, 0xA1, 0x81, 0x81, 0x81);
}

static void test_relinquish_and_request_in_one_write_relinquishes(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_access_set(machine, 0, ACCESS_RELINQUISH | ACCESS_REQUEST);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
}

/* ---- seize ---- */

static void test_seize_takes_the_device_from_every_lower_locality(void **state)
{
    (void)state;
    for (unsigned loser = 0; loser < 3; loser++) {
        for (unsigned winner = loser + 1; winner < 4; winner++) {
            TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);

            tis_request(machine, loser);
            tis_access_set(machine, winner, ACCESS_SEIZE);
            for (unsigned i = 0; i < 5; i++) {
                assert_int_equal(tis_access(machine, i), i == winner  ? 0xA1
                                                         : i == loser ? 0x91
                                                                      : 0x81);
            }
            tis_machine_free(machine);
        }
    }
}

static void test_seize_by_a_locality_not_above_is_refused(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 2);
    for (unsigned locality = 0; locality <= 2; locality++) {
        tis_access_set(machine, locality, ACCESS_SEIZE);
        assert_accesses(machine, 0x81, 0x81, 0xA1, 0x81, 0x81);
    }
    assert_int_equal(fake_host_guest_errors(&machine->host), 3);
}

static void test_seize_works_when_nobody_has_the_device(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 0, ACCESS_SEIZE);
    assert_accesses(machine, 0xA1, 0x81, 0x81, 0x81, 0x81);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
}

static void test_seize_overrides_the_other_bits_of_its_write(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_access_set(machine, 1, ACCESS_SEIZE | ACCESS_REQUEST | ACCESS_RELINQUISH);
    assert_accesses(machine, 0x91, 0xA1, 0x81, 0x81, 0x81);
    /* the active locality, all bits: relinquishing is masked, and there is nothing to seize */
    tis_access_set(machine, 1, 0xFF);
    assert_accesses(machine, 0x91, 0xA1, 0x81, 0x81, 0x81);
}

static void test_refused_seize_does_not_leave_a_request(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 2);
    tis_access_set(machine, 1, ACCESS_SEIZE | ACCESS_REQUEST);
    assert_accesses(machine, 0x81, 0x81, 0xA1, 0x81, 0x81);
}

static void test_been_seized_is_cleared_by_writing_one_there(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_access_set(machine, 1, ACCESS_SEIZE);
    tis_access_set(machine, 1, ACCESS_BEEN_SEIZED);
    tis_access_set(machine, 0, 0);
    assert_int_equal(tis_access(machine, 0), 0x91);
    tis_access_set(machine, 0, ACCESS_BEEN_SEIZED);
    assert_accesses(machine, 0x81, 0xA1, 0x81, 0x81, 0x81);
}

static void test_been_seized_stays_through_a_new_request(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_access_set(machine, 1, ACCESS_SEIZE);
    tis_access_set(machine, 0, ACCESS_REQUEST);
    tis_access_set(machine, 1, ACCESS_RELINQUISH);
    assert_accesses(machine, 0xB1, 0x81, 0x81, 0x81, 0x81);
}

static void test_seize_leaves_the_requests_of_others_waiting(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 1);
    tis_access_set(machine, 0, ACCESS_REQUEST);
    tis_access_set(machine, 2, ACCESS_REQUEST);
    tis_access_set(machine, 3, ACCESS_SEIZE);
    assert_accesses(machine, 0x87, 0x95, 0x87, 0xA5, 0x85);
    tis_access_set(machine, 3, ACCESS_RELINQUISH);
    assert_accesses(machine, 0x83, 0x95, 0xA5, 0x85, 0x85);
}

/* ---- with a command under way ---- */

/* Locality 0 has a command executing, which ends when the test says so. */
static int setup_executing(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);

    machine->config.completion_window_ns = 0;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    fake_backend_respond_with_size(machine->tpm, 16);
    tis_machine_plug(machine);
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    *state = machine;
    return 0;
}

/* A whole command at this locality, which must be the active one. */
static void assert_usable(TISMachine *machine, unsigned locality)
{
    machine->tpm->submit_when = FAKE_AT_ONCE;
    tis_start(machine, locality, command_2_0, sizeof(command_2_0));
    assert_int_equal(machine->tpm->locality, locality);
    tis_assert_response(machine, locality, machine->tpm->response, 16);
}

static void test_seize_while_executing_waits_for_the_end_and_drops_the_response(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 1, ACCESS_SEIZE);
    assert_accesses(machine, 0xA1, 0x81, 0x81, 0x81, 0x81);
    assert_int_equal(machine->tpm->cancels, 1);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x91, 0xA1, 0x81, 0x81, 0x81);
    assert_int_equal(tis_sts(machine, 1), 0x04100000);
    assert_int_equal(tis_read(machine, 1, REG_FIFO, 1), 0xFF);
    tis_sts_set(machine, 1, STS_RETRY);
    assert_int_equal(tis_sts(machine, 1), 0x04100000);
    assert_usable(machine, 1);
    tis_access_set(machine, 1, ACCESS_RELINQUISH);
    tis_request(machine, 0);
    assert_int_equal(tis_sts(machine, 0), 0x04100000);
    assert_usable(machine, 0);
}

static void test_dropped_response_does_not_interrupt(void **state)
{
    TISMachine *machine = *state;

    tis_write(machine, 0, REG_INT_ENABLE, 4, INT_ALL);
    tis_access_set(machine, 1, ACCESS_SEIZE);
    fake_backend_answer(machine->tpm);
    assert_int_equal(fake_host_irqs(&machine->host), 0);
    assert_int_equal(tis_read(machine, 0, REG_INT_STATUS, 4), 0);
}

static void test_aborted_command_interrupts_with_command_ready_alone(void **state)
{
    TISMachine *machine = *state;

    tis_write(machine, 0, REG_INT_ENABLE, 4, INT_ALL);
    tis_sts_set(machine, 0, STS_READY);
    fake_backend_answer(machine->tpm);
    assert_int_equal(tis_read(machine, 0, REG_INT_STATUS, 4), INT_COMMAND_READY);
}

static void test_higher_seizure_replaces_a_lower_one_that_waits(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 1, ACCESS_SEIZE);
    tis_access_set(machine, 3, ACCESS_SEIZE);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x91, 0x81, 0x81, 0xA1, 0x81);
    tis_access_set(machine, 3, ACCESS_RELINQUISH);
    /* no seizure of locality 1 is left behind that would keep others out */
    tis_request(machine, 0);
    tis_access_set(machine, 1, ACCESS_SEIZE);
    assert_int_equal(tis_access(machine, 1), 0xA1);
    assert_usable(machine, 1);
}

static void test_lower_or_repeated_seizure_waits_behind_a_higher_one(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 2, ACCESS_SEIZE);
    tis_access_set(machine, 1, ACCESS_SEIZE);
    tis_access_set(machine, 2, ACCESS_SEIZE);
    assert_int_equal(machine->tpm->cancels, 1);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x91, 0x81, 0xA1, 0x81, 0x81);
}

static void test_loser_cannot_undo_a_seizure_by_aborting(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 2, ACCESS_SEIZE);
    tis_sts_set(machine, 0, STS_READY);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x91, 0x81, 0xA1, 0x81, 0x81);
    assert_usable(machine, 2);
}

static void test_loser_cannot_undo_a_seizure_by_relinquishing_to_another(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 2, ACCESS_SEIZE);
    tis_access_set(machine, 1, ACCESS_REQUEST);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    fake_backend_answer(machine->tpm);
    assert_int_equal(tis_access(machine, 2), 0xA5);
    assert_int_equal(tis_access(machine, 1), 0x83);
    assert_usable(machine, 2);
}

static void test_relinquish_while_executing_waits_for_the_end_when_another_waits(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 1, ACCESS_REQUEST);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    assert_accesses(machine, 0xA5, 0x83, 0x85, 0x85, 0x85);
    assert_int_equal(machine->tpm->cancels, 1);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x81, 0xA1, 0x81, 0x81, 0x81);
    assert_usable(machine, 1);
}

static void test_request_taken_back_during_an_abort_is_not_granted(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 1, ACCESS_REQUEST);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_access_set(machine, 1, ACCESS_RELINQUISH);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
    tis_request(machine, 0);
    assert_usable(machine, 0);
}

static void test_another_request_is_granted_for_one_taken_back_during_an_abort(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 3, ACCESS_REQUEST);
    tis_access_set(machine, 1, ACCESS_REQUEST);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_access_set(machine, 3, ACCESS_RELINQUISH);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x81, 0xA1, 0x81, 0x81, 0x81);
}

static void test_relinquish_while_executing_keeps_the_command_when_nobody_waits(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
    assert_int_equal(machine->tpm->cancels, 0);
    tis_request(machine, 0);
    assert_false(tis_has_response(machine, 0));
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 0, machine->tpm->response, 16);
}

static void test_device_given_up_during_an_abort_stays_with_its_new_owner(void **state)
{
    TISMachine *machine = *state;

    tis_sts_set(machine, 0, STS_READY);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 1);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x81, 0xA1, 0x81, 0x81, 0x81);
    assert_usable(machine, 1);
}

static void test_device_given_up_during_an_abort_is_not_given_back(void **state)
{
    TISMachine *machine = *state;

    tis_sts_set(machine, 0, STS_READY);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
    tis_request(machine, 0);
    assert_int_equal(tis_sts(machine, 0), 0x04100040);
    assert_usable(machine, 0);
}

static void test_command_left_behind_keeps_another_locality_from_starting_one(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 1);
    tis_start(machine, 1, command_2_0, sizeof(command_2_0));
    assert_int_equal(tis_sts(machine, 1), 0x04100040);
    assert_int_equal(machine->tpm->submits, 1);
    assert_true(fake_host_guest_errors(&machine->host) > 0);
    fake_backend_answer(machine->tpm);
    assert_int_equal(tis_sts(machine, 1), 0x04100040);
    assert_usable(machine, 1);
}

static void test_seize_from_nobody_waits_for_a_command_left_behind(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_access_set(machine, 1, ACCESS_SEIZE);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x81, 0xA1, 0x81, 0x81, 0x81);
    assert_usable(machine, 1);
}

static void test_reset_ends_every_change_that_was_waiting(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 2, ACCESS_SEIZE);
    tpmdev_device_reset(machine->device);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
    fake_backend_answer(machine->tpm);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
    tis_access_set(machine, 1, ACCESS_SEIZE);
    assert_int_equal(tis_access(machine, 1), 0xA1);
    assert_usable(machine, 1);
}

/* ---- the shared FIFO ---- */

static void test_half_a_command_of_one_locality_does_not_reach_another(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_send(machine, 0, command_2_0, 7);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 1);
    tis_start(machine, 1, command_2_0, sizeof(command_2_0));
    assert_true(fake_backend_has_command(machine->tpm, command_2_0, sizeof(command_2_0)));
    assert_int_equal(machine->tpm->locality, 1);
    tis_access_set(machine, 1, ACCESS_RELINQUISH);
    /* locality 0 has lost its half, and starts over */
    tis_request(machine, 0);
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x00);
}

/* A reader at the end of the FIFO must not be led past it by what another locality wrote. */
static void test_response_is_lost_once_another_locality_writes_a_command(void **state)
{
    uint8_t command[TPM_BUFFER_SIZE_COMMON];
    TISMachine *machine = *state;

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 1);
    tis_send(machine, 1, command, sizeof(command));
    assert_int_equal(tis_sts(machine, 1), 0x04000080);
    tis_access_set(machine, 1, ACCESS_RELINQUISH);
    tis_request(machine, 0);
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x00);
    assert_int_equal(tis_read(machine, 0, REG_FIFO, 4), 0xFFFFFFFF);
}

/* ---- locality 4 ---- */

static void test_locality_4_ignores_every_write(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 4, ACCESS_REQUEST);
    tis_access_set(machine, 4, ACCESS_SEIZE);
    tis_write(machine, 4, REG_INT_ENABLE, 4, INT_ALL);
    tis_write(machine, 4, REG_INTERFACE_ID, 4, 0x00080000);
    tis_sts_set(machine, 4, STS_READY);
    tis_write(machine, 4, REG_FIFO, 4, 0);
    tis_write(machine, 4, 0x28, 1, 1);
    assert_accesses(machine, 0x81, 0x81, 0x81, 0x81, 0x81);
    assert_int_equal(tis_read(machine, 4, REG_INT_ENABLE, 4), 0x00000008);
    assert_int_equal(tis_read(machine, 4, REG_INTERFACE_ID, 4), 0x00002100);
}

static void test_locality_of_a_command_reaches_the_tpm(void **state)
{
    TISMachine *machine = *state;

    for (unsigned locality = 0; locality < 4; locality++) {
        tis_request(machine, locality);
        tis_start(machine, locality, command_2_0, sizeof(command_2_0));
        assert_int_equal(machine->tpm->locality, locality);
        tis_sts_set(machine, locality, STS_READY);
        tis_access_set(machine, locality, ACCESS_RELINQUISH);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, tis_setup_2_0, tis_teardown)
#define TEST_EXECUTING(function)                                                                   \
    cmocka_unit_test_setup_teardown(function, setup_executing, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_is_granted_at_once_when_nobody_has_the_device),
        TEST(test_request_waits_while_another_has_the_device),
        TEST(test_request_by_the_active_locality_changes_nothing),
        TEST(test_relinquish_gives_the_device_to_the_highest_waiting),
        TEST(test_relinquish_takes_a_waiting_request_back),
        TEST(test_relinquish_by_one_without_the_device_does_nothing),
        TEST(test_relinquish_and_request_in_one_write_relinquishes),
        cmocka_unit_test(test_seize_takes_the_device_from_every_lower_locality),
        TEST(test_seize_by_a_locality_not_above_is_refused),
        TEST(test_seize_works_when_nobody_has_the_device),
        TEST(test_seize_overrides_the_other_bits_of_its_write),
        TEST(test_refused_seize_does_not_leave_a_request),
        TEST(test_been_seized_is_cleared_by_writing_one_there),
        TEST(test_been_seized_stays_through_a_new_request),
        TEST(test_seize_leaves_the_requests_of_others_waiting),
        TEST_EXECUTING(test_seize_while_executing_waits_for_the_end_and_drops_the_response),
        TEST_EXECUTING(test_dropped_response_does_not_interrupt),
        TEST_EXECUTING(test_aborted_command_interrupts_with_command_ready_alone),
        TEST_EXECUTING(test_higher_seizure_replaces_a_lower_one_that_waits),
        TEST_EXECUTING(test_lower_or_repeated_seizure_waits_behind_a_higher_one),
        TEST_EXECUTING(test_loser_cannot_undo_a_seizure_by_aborting),
        TEST_EXECUTING(test_loser_cannot_undo_a_seizure_by_relinquishing_to_another),
        TEST_EXECUTING(test_relinquish_while_executing_waits_for_the_end_when_another_waits),
        TEST_EXECUTING(test_request_taken_back_during_an_abort_is_not_granted),
        TEST_EXECUTING(test_another_request_is_granted_for_one_taken_back_during_an_abort),
        TEST_EXECUTING(test_relinquish_while_executing_keeps_the_command_when_nobody_waits),
        TEST_EXECUTING(test_device_given_up_during_an_abort_stays_with_its_new_owner),
        TEST_EXECUTING(test_device_given_up_during_an_abort_is_not_given_back),
        TEST_EXECUTING(test_command_left_behind_keeps_another_locality_from_starting_one),
        TEST_EXECUTING(test_seize_from_nobody_waits_for_a_command_left_behind),
        TEST_EXECUTING(test_reset_ends_every_change_that_was_waiting),
        TEST(test_half_a_command_of_one_locality_does_not_reach_another),
        TEST(test_response_is_lost_once_another_locality_writes_a_command),
        TEST(test_locality_4_ignores_every_write),
        TEST(test_locality_of_a_command_reaches_the_tpm),
    };

    return cmocka_run_group_tests_name("tis-locality", tests, NULL, NULL);
}
