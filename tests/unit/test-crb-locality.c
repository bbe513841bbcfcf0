/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The localities of the CRB device (hw/tpm/crb-locality.c) with localities=on: who has the
 * device, what the others see of it, and what becomes of a command whose locality lost it.
 */
#include "crb-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOBODY 9u

/* TPM_LOC_STATE at every locality, and TPM_LOC_STS of all five. */
static void assert_active(TISMachine *machine, unsigned active)
{
    uint32_t loc_state = active == NOBODY ? 0x81 : 0x83 | active << 2;

    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(tis_read(machine, i, REG_LOC_STATE, 4), loc_state);
        assert_int_equal(crb_loc_sts(machine, i) & 1, i == active);
    }
}

/* The locality has a command under way. */
static void run_at(TISMachine *machine, unsigned locality)
{
    crb_request(machine, locality);
    crb_start(machine, locality, command_long_2_0, sizeof(command_long_2_0));
    assert_true(crb_is_running(machine, locality));
    assert_int_equal(machine->tpm->locality, locality);
}

/* After whatever happened: a locality that asks gets the device and its command its response. */
static void assert_usable(TISMachine *machine, unsigned locality)
{
    machine->tpm->submit_when = FAKE_AT_ONCE;
    if (crb_loc_sts(machine, locality) != 1) {
        crb_request(machine, locality);
    }
    crb_start(machine, locality, command_2_0, sizeof(command_2_0));
    assert_int_equal(machine->tpm->locality, locality);
    crb_assert_buffer(machine, locality, machine->tpm->response, 10);
}

/* ---- the pages ---- */

static void test_there_are_five_pages_with_the_same_reset_values(void **state)
{
    TISMachine *machine = *state;
    uint64_t value;

    assert_int_equal(tpmdev_device_get_size(machine->device), 0x5000);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(tis_read(machine, i, REG_LOC_STATE, 4), 0x81);
        assert_int_equal(tis_read(machine, i, REG_LOC_CTRL, 4), 0);
        assert_int_equal(tis_read(machine, i, REG_LOC_STS, 4), 0);
        assert_int_equal(tis_read(machine, i, REG_INTF_ID_2, 4), 0x1014);
        assert_int_equal(tis_read(machine, i, REG_CRB_ENABLE, 8), 0);
        assert_int_equal(tis_read(machine, i, REG_CMD_SIZE, 4), 0xF80);
        assert_int_equal(tis_read(machine, i, REG_RSP_LADDR, 8), 0xFED40080 + i * 0x1000);
        assert_int_equal(tis_read(machine, i, REG_CMD_LADDR, 8), 0xFED40080 + i * 0x1000);
    }
    assert_int_equal(tpmdev_device_read(machine->device, 0x4FFC, 4, &value), TPM_ACCESS_OK);
    assert_int_equal(tpmdev_device_read(machine->device, 0x5000, 1, &value), TPM_ACCESS_BAD_OFFSET);
}

static void test_intf_id_bit_8_tells_of_five_localities(void **state)
{
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(tis_read(*state, i, REG_INTF_ID, 4), 0x00025911);
    }
}

/* ---- request and relinquish ---- */

static void test_request_is_granted_at_once_when_nobody_has_the_device(void **state)
{
    for (unsigned i = 0; i < 5; i++) {
        crb_loc(*state, i, LOC_REQUEST);
        assert_active(*state, i);
        crb_loc(*state, i, LOC_RELINQUISH);
        assert_active(*state, NOBODY);
    }
}

static void test_request_waits_while_another_has_the_device(void **state)
{
    crb_request(*state, 1);
    crb_loc(*state, 3, LOC_REQUEST);
    assert_active(*state, 1);
    crb_loc(*state, 1, LOC_REQUEST);
    assert_active(*state, 1);
}

static void test_relinquish_gives_the_device_to_the_highest_waiting(void **state)
{
    crb_request(*state, 2);
    crb_loc(*state, 0, LOC_REQUEST);
    crb_loc(*state, 4, LOC_REQUEST);
    crb_loc(*state, 1, LOC_REQUEST);
    crb_loc(*state, 2, LOC_RELINQUISH);
    assert_active(*state, 4);
    crb_loc(*state, 4, LOC_RELINQUISH);
    assert_active(*state, 1);
    crb_loc(*state, 1, LOC_RELINQUISH);
    assert_active(*state, 0);
    crb_loc(*state, 0, LOC_RELINQUISH);
    assert_active(*state, NOBODY);
}

static void test_relinquish_takes_a_waiting_request_back(void **state)
{
    crb_request(*state, 2);
    crb_loc(*state, 3, LOC_REQUEST);
    crb_loc(*state, 3, LOC_RELINQUISH);
    assert_active(*state, 2);
    crb_loc(*state, 2, LOC_RELINQUISH);
    assert_active(*state, NOBODY);
}

static void test_reset_forgets_who_has_the_device_and_who_waits(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 2);
    crb_loc(machine, 1, LOC_REQUEST);
    crb_loc(machine, 3, LOC_SEIZE);
    tpmdev_device_reset(machine->device);
    assert_active(machine, NOBODY);
    assert_int_equal(crb_loc_sts(machine, 2), 0);
    crb_request(machine, 0);
    crb_loc(machine, 0, LOC_RELINQUISH);
    assert_active(machine, NOBODY);
}

/* ---- what the others see and can do ---- */

/* CTRL_REQ to CTRL_START and the buffer, by every width. */
static void assert_hidden(TISMachine *machine, unsigned locality)
{
    static const uint32_t hidden[] = { 0x40, 0x44, 0x48, 0x4C, 0x80, 0x84, 0xFF8, 0xFFC };

    for (unsigned i = 0; i < G_N_ELEMENTS(hidden); i++) {
        for (unsigned lane = 0; lane < 4; lane++) {
            assert_int_equal(tis_read(machine, locality, hidden[i] + lane, 1), 0xFF);
        }
        assert_int_equal(tis_read(machine, locality, hidden[i], 2), 0xFFFF);
        assert_int_equal(tis_read(machine, locality, hidden[i], 4), 0xFFFFFFFF);
    }
    assert_int_equal(tis_read(machine, locality, 0x80, 8), UINT64_MAX);
    assert_int_equal(tis_read(machine, locality, REG_CMD_SIZE, 4), 0xF80);
    assert_int_equal(tis_read(machine, locality, REG_INTF_ID, 4), 0x25911);
}

static void test_locality_without_the_device_reads_all_ones(void **state)
{
    crb_request(*state, 2);
    crb_put(*state, 2, command_2_0, sizeof(command_2_0));
    for (unsigned i = 0; i < 5; i++) {
        if (i != 2) {
            assert_hidden(*state, i);
        }
    }
    crb_assert_buffer(*state, 2, command_2_0, sizeof(command_2_0));
}

static void test_while_nobody_has_the_device_all_read_all_ones(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 0; i < 5; i++) {
        assert_hidden(machine, i);
    }
    crb_request(machine, 2);
    crb_start(machine, 2, command_2_0, sizeof(command_2_0));
    fake_backend_answer(machine->tpm);
    crb_loc(machine, 2, LOC_RELINQUISH);
    for (unsigned i = 0; i < 5; i++) {
        assert_hidden(machine, i);
    }
}

static void write_everything(TISMachine *machine, unsigned locality)
{
    static const uint32_t written[] = { 0x40, 0x48, 0x4C, 0x50, 0x54, 0x58, 0x80, 0xFFC };

    for (unsigned i = 0; i < G_N_ELEMENTS(written); i++) {
        for (uint32_t value = 1; value <= 2; value++) {
            tis_write(machine, locality, written[i], 1, value);
            tis_write(machine, locality, written[i], 4, value);
        }
        tis_write(machine, locality, written[i], 4, 0xFFFFFFFF);
    }
}

static void test_locality_without_the_device_writes_nothing(void **state)
{
    TISMachine *machine = *state;
    TPMDeviceStatistics before;

    crb_request(machine, 2);
    crb_put(machine, 2, command_2_0, sizeof(command_2_0));
    tis_write(machine, 2, REG_CRB_ENABLE, 4, CRB_INT_ALL);
    before = tis_statistics(machine);
    for (unsigned i = 0; i < 5; i++) {
        if (i != 2) {
            write_everything(machine, i);
            assert_int_equal(tis_read(machine, i, REG_CRB_ENABLE, 4), 0);
        }
    }
    assert_int_equal(tis_read(machine, 2, REG_CTRL_STS, 4), 2);
    assert_int_equal(tis_read(machine, 2, REG_CTRL_START, 4), 0);
    assert_int_equal(tis_read(machine, 2, REG_CRB_ENABLE, 4), CRB_INT_ALL);
    crb_assert_buffer(machine, 2, command_2_0, sizeof(command_2_0));
    assert_int_equal(machine->tpm->submits, 0);
    assert_true(tis_statistics(machine).guest_errors > before.guest_errors);
    crb_go(machine, 2);
    write_everything(machine, 0);
    assert_int_equal(machine->tpm->cancels, 0);
    fake_backend_answer(machine->tpm);
    crb_assert_buffer(machine, 2, machine->tpm->response, 10);
}

static void test_while_nobody_has_the_device_none_can_write(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 0; i < 5; i++) {
        write_everything(machine, i);
    }
    crb_request(machine, 0);
    assert_int_equal(tis_read(machine, 0, REG_CTRL_STS, 4), 2);
    crb_assert_buffer(machine, 0, NULL, 0);
    assert_int_equal(machine->tpm->submits, 0);
}

static void test_next_locality_finds_nothing_of_the_last_ones_response(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 2);
    fake_backend_answer(machine->tpm);
    crb_loc(machine, 2, LOC_RELINQUISH);
    crb_request(machine, 0);
    crb_assert_buffer(machine, 0, NULL, 0);
}

static void test_locality_that_comes_back_finds_its_response(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 2);
    crb_loc(machine, 2, LOC_RELINQUISH);
    fake_backend_answer(machine->tpm);
    crb_request(machine, 2);
    crb_assert_buffer(machine, 2, machine->tpm->response, 10);
    assert_int_equal(machine->tpm->cancels, 0);
}

/* ---- seize ---- */

static void test_seize_goes_upwards_only(void **state)
{
    TISMachine *machine = *state;

    for (unsigned owner = 0; owner < 5; owner++) {
        for (unsigned thief = 0; thief < 5; thief++) {
            uint64_t blamed = tis_statistics(machine).guest_errors;

            tpmdev_device_reset(machine->device);
            crb_request(machine, owner);
            crb_loc(machine, thief, LOC_SEIZE);
            assert_active(machine, MAX(owner, thief));
            assert_int_equal(crb_loc_sts(machine, owner), thief > owner ? 2 : 1);
            assert_int_equal(tis_statistics(machine).guest_errors - blamed, thief <= owner);
        }
    }
}

static void test_seize_of_a_free_device_is_a_request(void **state)
{
    crb_loc(*state, 1, LOC_SEIZE);
    assert_active(*state, 1);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(crb_loc_sts(*state, i) & 2, 0);
    }
}

static void test_been_seized_is_cleared_by_the_next_grant(void **state)
{
    crb_request(*state, 0);
    crb_loc(*state, 3, LOC_SEIZE);
    assert_int_equal(crb_loc_sts(*state, 0), 2);
    crb_loc(*state, 3, LOC_RELINQUISH);
    assert_int_equal(crb_loc_sts(*state, 0), 2);
    assert_active(*state, NOBODY);
    crb_request(*state, 0);
    assert_int_equal(crb_loc_sts(*state, 0), 1);
}

static void test_seize_wipes_the_buffer(void **state)
{
    crb_request(*state, 0);
    crb_put(*state, 0, command_2_0, sizeof(command_2_0));
    crb_loc(*state, 3, LOC_SEIZE);
    crb_assert_buffer(*state, 3, NULL, 0);
    assert_hidden(*state, 0);
}

static void test_seize_during_execution_cancels_and_drops_the_response(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 1);
    crb_loc(machine, 3, LOC_SEIZE);
    assert_int_equal(machine->tpm->cancels, 1);
    assert_int_equal(crb_loc_sts(machine, 1), 2);
    assert_active(machine, NOBODY);
    for (unsigned i = 0; i < 5; i++) {
        assert_hidden(machine, i);
    }
    fake_backend_answer(machine->tpm);
    assert_active(machine, 3);
    assert_int_equal(tis_read(machine, 3, REG_CTRL_START, 4), 0);
    crb_assert_buffer(machine, 3, NULL, 0);
    assert_int_equal(crb_loc_sts(machine, 1), 2);
    assert_usable(machine, 3);
}

static void test_seize_is_done_at_once_when_the_tpm_cancels_at_once(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->cancel_when = FAKE_AT_ONCE;
    run_at(machine, 1);
    crb_loc(machine, 3, LOC_SEIZE);
    assert_active(machine, 3);
    crb_assert_buffer(machine, 3, NULL, 0);
}

static void test_higher_seizure_overtakes_one_under_way(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 0);
    crb_loc(machine, 2, LOC_SEIZE);
    crb_loc(machine, 1, LOC_SEIZE);
    crb_loc(machine, 4, LOC_SEIZE);
    crb_loc(machine, 3, LOC_SEIZE);
    fake_backend_answer(machine->tpm);
    assert_active(machine, 4);
    /* the one that was overtaken still waits; those that were refused do not */
    crb_loc(machine, 4, LOC_RELINQUISH);
    assert_active(machine, 2);
    crb_loc(machine, 2, LOC_RELINQUISH);
    assert_active(machine, NOBODY);
}

static void test_request_overtaken_during_execution_still_waits(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 0);
    crb_loc(machine, 0, LOC_RELINQUISH);
    crb_loc(machine, 1, LOC_REQUEST);
    crb_loc(machine, 3, LOC_SEIZE);
    fake_backend_answer(machine->tpm);
    assert_active(machine, 3);
    crb_loc(machine, 3, LOC_RELINQUISH);
    assert_active(machine, 1);
}

static void test_seizure_taken_back_during_execution_leaves_the_device_free(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 0);
    crb_loc(machine, 3, LOC_SEIZE);
    crb_loc(machine, 3, LOC_RELINQUISH);
    fake_backend_answer(machine->tpm);
    assert_active(machine, NOBODY);
    assert_usable(machine, 1);
}

static void test_seizure_taken_back_during_execution_lets_the_highest_waiting_in(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 0);
    crb_loc(machine, 1, LOC_REQUEST);
    crb_loc(machine, 3, LOC_SEIZE);
    crb_loc(machine, 2, LOC_REQUEST);
    crb_loc(machine, 3, LOC_RELINQUISH);
    fake_backend_answer(machine->tpm);
    assert_active(machine, 2);
    crb_assert_buffer(machine, 2, NULL, 0);
    crb_loc(machine, 2, LOC_RELINQUISH);
    assert_active(machine, 1);
}

static void test_locality_that_was_seized_can_wait_for_its_turn(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 0);
    crb_loc(machine, 3, LOC_SEIZE);
    crb_loc(machine, 0, LOC_REQUEST);
    fake_backend_answer(machine->tpm);
    assert_active(machine, 3);
    crb_loc(machine, 3, LOC_RELINQUISH);
    assert_active(machine, 0);
    assert_int_equal(crb_loc_sts(machine, 0), 1);
    assert_usable(machine, 0);
}

/* ---- relinquish and reset during execution ---- */

static void test_relinquish_during_execution_lets_the_command_end(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 1);
    crb_loc(machine, 1, LOC_RELINQUISH);
    assert_active(machine, NOBODY);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->cancels, 0);
    assert_usable(machine, 0);
}

static void test_relinquish_during_execution_cancels_for_one_that_waits(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 2);
    crb_loc(machine, 0, LOC_REQUEST);
    assert_int_equal(machine->tpm->cancels, 0);
    crb_loc(machine, 2, LOC_RELINQUISH);
    assert_int_equal(machine->tpm->cancels, 1);
    assert_active(machine, NOBODY);
    fake_backend_answer(machine->tpm);
    assert_active(machine, 0);
    crb_assert_buffer(machine, 0, NULL, 0);
    assert_usable(machine, 0);
}

static void test_request_after_a_relinquish_during_execution_cancels(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 2);
    crb_loc(machine, 2, LOC_RELINQUISH);
    crb_loc(machine, 1, LOC_REQUEST);
    assert_int_equal(machine->tpm->cancels, 1);
    fake_backend_answer(machine->tpm);
    assert_active(machine, 1);
    crb_assert_buffer(machine, 1, NULL, 0);
}

static void test_reset_during_a_hand_over_forgets_it(void **state)
{
    TISMachine *machine = *state;

    run_at(machine, 0);
    crb_loc(machine, 3, LOC_SEIZE);
    tpmdev_device_reset(machine->device);
    assert_active(machine, NOBODY);
    fake_backend_answer(machine->tpm);
    assert_active(machine, NOBODY);
    assert_usable(machine, 0);
}

/* ---- resetEstablishment ---- */

static void test_reset_establishment_is_for_localities_3_and_4(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 0; i < 5; i++) {
        unsigned before = machine->tpm->established_resets;

        tpmdev_backend_set_established(machine->tpm->backend, true);
        crb_request(machine, i);
        crb_loc(machine, i, LOC_UNSET);
        assert_int_equal(machine->tpm->established_resets - before, i >= 3);
        assert_int_equal(crb_loc_state(machine) & 1, i >= 3);
        if (i >= 3) {
            assert_int_equal(machine->tpm->established_locality, i);
        }
        crb_loc(machine, i, LOC_RELINQUISH);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, crb_setup_localities, tis_teardown)
#define TEST_INT(function)                                                                         \
    cmocka_unit_test_setup_teardown(function, crb_setup_interrupts, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_there_are_five_pages_with_the_same_reset_values),
        TEST(test_intf_id_bit_8_tells_of_five_localities),
        TEST(test_request_is_granted_at_once_when_nobody_has_the_device),
        TEST(test_request_waits_while_another_has_the_device),
        TEST(test_relinquish_gives_the_device_to_the_highest_waiting),
        TEST(test_relinquish_takes_a_waiting_request_back),
        TEST(test_reset_forgets_who_has_the_device_and_who_waits),
        TEST(test_locality_without_the_device_reads_all_ones),
        TEST(test_while_nobody_has_the_device_all_read_all_ones),
        TEST_INT(test_locality_without_the_device_writes_nothing),
        TEST(test_while_nobody_has_the_device_none_can_write),
        TEST(test_next_locality_finds_nothing_of_the_last_ones_response),
        TEST(test_locality_that_comes_back_finds_its_response),
        TEST(test_seize_goes_upwards_only),
        TEST(test_seize_of_a_free_device_is_a_request),
        TEST(test_been_seized_is_cleared_by_the_next_grant),
        TEST(test_seize_wipes_the_buffer),
        TEST(test_seize_during_execution_cancels_and_drops_the_response),
        TEST(test_seize_is_done_at_once_when_the_tpm_cancels_at_once),
        TEST(test_higher_seizure_overtakes_one_under_way),
        TEST(test_request_overtaken_during_execution_still_waits),
        TEST(test_seizure_taken_back_during_execution_leaves_the_device_free),
        TEST(test_seizure_taken_back_during_execution_lets_the_highest_waiting_in),
        TEST(test_locality_that_was_seized_can_wait_for_its_turn),
        TEST(test_relinquish_during_execution_lets_the_command_end),
        TEST(test_relinquish_during_execution_cancels_for_one_that_waits),
        TEST(test_request_after_a_relinquish_during_execution_cancels),
        TEST(test_reset_during_a_hand_over_forgets_it),
        TEST(test_reset_establishment_is_for_localities_3_and_4),
    };

    return cmocka_run_group_tests_name("crb-locality", tests, NULL, NULL);
}
