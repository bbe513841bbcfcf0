/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands through the I2C device (hw/tpm/tis-i2c.c): the FIFO's sizes, the checksum, localities,
 * and what a command, its end, a cancel and a reset mean to a transfer that is under way.
 */
#include "i2c-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What the device answers in the TPM's place to a command whose size is wrong. */
static const uint8_t wrong_size[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x42 };

/* TPM2_Startup(CLEAR). */
static const uint8_t startup[12] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };

/* ---- sizes ---- */

static void test_commands_of_10_to_4096_bytes_reach_the_tpm(void **state)
{
    static const size_t sizes[] = { 10, 11, 12, 255, 256, 4095, 4096 };
    uint8_t command[4096];
    TISMachine *machine = *state;

    i2c_request(machine);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        tis_make_command(TPM_VERSION_2_0, command, sizes[i]);
        i2c_start_command(machine, command, sizes[i]);
        assert_true(fake_backend_has_command(machine->tpm, command, sizes[i]));
        i2c_assert_response(machine, machine->tpm->response, 10);
    }
}

static void test_command_of_4097_bytes_is_answered_with_an_error(void **state)
{
    uint8_t command[4097];
    TISMachine *machine = *state;

    tis_make_command(TPM_VERSION_2_0, command, 4096);
    command[4] = 0x10;
    command[5] = 0x01;
    command[4096] = 0xEE;
    i2c_request(machine);
    i2c_send_command(machine, command, sizeof(command));
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00000080);
    assert_int_equal(i2c_csum(machine), i2c_crc(command, 4096));
    i2c_write_byte(machine, NUM_STS, STS_GO);
    assert_int_equal(machine->tpm->submits, 0);
    i2c_assert_response(machine, wrong_size, sizeof(wrong_size));
}

static void test_responses_of_10_to_4096_bytes_reach_the_guest(void **state)
{
    static const size_t sizes[] = { 10, 11, 255, 256, 257, 4095, 4096 };
    TISMachine *machine = *state;

    i2c_request(machine);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        fake_backend_respond_with_size(machine->tpm, sizes[i]);
        i2c_start_command(machine, command_2_0, sizeof(command_2_0));
        i2c_assert_response(machine, machine->tpm->response, sizes[i]);
    }
}

/* A command may come in any number of transfers. */
static void test_command_comes_in_transfers_of_every_size(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    for (size_t part = 1; part <= sizeof(command_2_0); part++) {
        i2c_write_byte(machine, NUM_STS, STS_READY);
        for (size_t at = 0; at < sizeof(command_2_0); at += part) {
            assert_int_equal(i2c_read_byte(machine, NUM_STS) & 0xC8, at ? 0x88 : 0x40);
            i2c_write(machine, NUM_FIFO, command_2_0 + at, MIN(part, sizeof(command_2_0) - at));
        }
        assert_int_equal(i2c_read_word(machine, NUM_STS), 0x000FF480);
        i2c_write_byte(machine, NUM_STS, STS_GO);
        assert_true(fake_backend_has_command(machine->tpm, command_2_0, sizeof(command_2_0)));
        i2c_assert_response(machine, machine->tpm->response, 10);
    }
}

/* ---- the checksum ---- */

static void test_csum_of_startup_is_6733_on_the_wire(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    i2c_send_command(machine, startup, sizeof(startup));
    assert_int_equal(i2c_read_word(machine, NUM_CSUM), 0x6733);
    assert_int_equal(i2c_csum(machine), 0x3367);
    assert_int_equal(i2c_crc(startup, sizeof(startup)), 0x3367);
}

static void test_csum_is_of_the_bytes_of_the_command_so_far(void **state)
{
    uint8_t command[300];
    TISMachine *machine = *state;

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    i2c_request(machine);
    i2c_write_byte(machine, NUM_STS, STS_READY);
    assert_int_equal(i2c_csum(machine), 0);
    for (size_t size = 1; size <= sizeof(command); size++) {
        i2c_write(machine, NUM_FIFO, command + size - 1, 1);
        assert_int_equal(i2c_csum(machine), i2c_crc(command, size));
    }
    /* a byte too many is not in it */
    i2c_write_byte(machine, NUM_FIFO, 0x5A);
    assert_int_equal(i2c_csum(machine), i2c_crc(command, sizeof(command)));
}

static void test_csum_is_of_every_value_of_a_byte(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t bytes[] = { (uint8_t)byte, (uint8_t)~byte };

        i2c_send_command(machine, bytes, sizeof(bytes));
        assert_int_equal(i2c_csum(machine), i2c_crc(bytes, sizeof(bytes)));
    }
}

static void test_csum_stays_while_the_command_runs(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    i2c_request(machine);
    i2c_start_command(machine, command_long_2_0, sizeof(command_long_2_0));
    assert_int_equal(i2c_csum(machine), i2c_crc(command_long_2_0, sizeof(command_long_2_0)));
    fake_backend_answer(machine->tpm);
    assert_int_equal(i2c_csum(machine), 0);
}

static void test_csum_is_of_the_bytes_of_the_response_so_far(void **state)
{
    TISMachine *machine = *state;
    const uint8_t *response = machine->tpm->response;

    fake_backend_respond_with_size(machine->tpm, 200);
    i2c_request(machine);
    i2c_start_command(machine, command_2_0, sizeof(command_2_0));
    for (size_t size = 0; size < 200; size++) {
        assert_int_equal(i2c_csum(machine), i2c_crc(response, size));
        assert_int_equal(i2c_read_byte(machine, NUM_FIFO), response[size]);
    }
    assert_int_equal(i2c_csum(machine), i2c_crc(response, 200));
    assert_int_equal(i2c_read_byte(machine, NUM_FIFO), 0xFF);
    assert_int_equal(i2c_csum(machine), i2c_crc(response, 200));
    i2c_write_byte(machine, NUM_STS, STS_RETRY);
    assert_int_equal(i2c_csum(machine), 0);
    i2c_write_byte(machine, NUM_STS, STS_READY);
    assert_int_equal(i2c_csum(machine), 0);
}

static void test_csum_does_not_wait_to_be_enabled(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    i2c_send_command(machine, startup, sizeof(startup));
    for (unsigned i = 0; i < 4; i++) {
        i2c_write_byte(machine, NUM_CSUM_ENABLE, i % 2);
        assert_int_equal(i2c_csum(machine), 0x3367);
    }
}

/* Two bytes of checksum would tell another locality one byte of the FIFO after the other. */
static void test_csum_tells_no_other_locality_of_the_fifo(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    i2c_start_command(machine, command_2_0, sizeof(command_2_0));
    i2c_assert_response(machine, machine->tpm->response, 10);
    assert_int_not_equal(i2c_csum(machine), 0);
    i2c_select(machine, 1);
    assert_int_equal(i2c_csum(machine), 0);
    i2c_write_byte(machine, NUM_ACCESS, ACCESS_SEIZE);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0xA1);
    assert_int_equal(i2c_csum(machine), 0);
    i2c_write_byte(machine, NUM_STS, STS_READY);
    assert_int_equal(i2c_csum(machine), 0);
    i2c_select(machine, 0);
    assert_int_equal(i2c_csum(machine), 0);
}

/* ---- localities ---- */

static void test_each_locality_of_0_to_3_is_told_to_the_tpm(void **state)
{
    TISMachine *machine = *state;

    for (uint8_t locality = 0; locality < 4; locality++) {
        i2c_select(machine, locality);
        i2c_request(machine);
        i2c_start_command(machine, command_2_0, sizeof(command_2_0));
        assert_int_equal(machine->tpm->submits, locality + 1);
        assert_int_equal(machine->tpm->locality, locality);
        i2c_assert_response(machine, machine->tpm->response, 10);
        i2c_write_byte(machine, NUM_ACCESS, ACCESS_RELINQUISH);
    }
}

static void test_locality_4_is_not_for_software_to_write_to(void **state)
{
    TISMachine *machine = *state;

    i2c_select(machine, 4);
    i2c_write_byte(machine, NUM_ACCESS, ACCESS_REQUEST);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x81);
    assert_int_equal(i2c_read_word(machine, NUM_STS), I2C_STS_INACTIVE);
    assert_int_equal(i2c_read_word(machine, NUM_DID_VID), 0x00011014);
}

static void test_selecting_a_locality_does_not_give_it_the_device(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    i2c_send_command(machine, command_2_0, sizeof(command_2_0));
    for (uint8_t locality = 1; locality < 5; locality++) {
        i2c_select(machine, locality);
        assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x81);
        assert_int_equal(i2c_read_word(machine, NUM_STS), I2C_STS_INACTIVE);
        assert_int_equal(i2c_read_byte(machine, NUM_FIFO), 0xFF);
        i2c_write_byte(machine, NUM_STS, STS_GO);
        i2c_write_byte(machine, NUM_STS, STS_READY);
    }
    assert_int_equal(machine->tpm->submits, 0);
    i2c_select(machine, 0);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x000FF480);
    i2c_write_byte(machine, NUM_STS, STS_GO);
    i2c_assert_response(machine, machine->tpm->response, 10);
}

static void test_requests_wait_and_are_granted_by_a_relinquish(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    i2c_select(machine, 2);
    i2c_write_byte(machine, NUM_ACCESS, ACCESS_REQUEST);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x83);
    i2c_select(machine, 0);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0xA5);
    i2c_write_byte(machine, NUM_ACCESS, ACCESS_RELINQUISH);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x81);
    i2c_select(machine, 2);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0xA1);
}

static void test_seizure_cancels_the_command_of_the_lower_locality(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    i2c_request(machine);
    i2c_start_command(machine, command_long_2_0, sizeof(command_long_2_0));
    i2c_select(machine, 3);
    i2c_write_byte(machine, NUM_ACCESS, ACCESS_SEIZE);
    assert_int_equal(machine->tpm->cancels, 1);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x81);
    fake_backend_answer(machine->tpm);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0xA1);
    assert_int_equal(i2c_read_byte(machine, NUM_FIFO), 0xFF);
    i2c_select(machine, 0);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x91);
}

/* ---- the TPM and a transfer that is under way ---- */

static void test_command_starts_at_the_stop_and_lingers_there(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_IN_POLL;
    machine->tpm->polls_needed = 3;
    i2c_request(machine);
    i2c_send_command(machine, command_2_0, sizeof(command_2_0));
    i2c_start_send(machine);
    assert_int_equal(i2c_send(machine, "\x18\x20", 2), 2);
    assert_int_equal(machine->tpm->submits, 0);
    i2c_stop(machine);
    assert_int_equal(machine->tpm->submits, 1);
    assert_int_equal(machine->tpm->polls, 3);
    assert_int_equal(tis_statistics(machine).inline_completions, 1);
    i2c_assert_response(machine, machine->tpm->response, 10);
}

static void test_response_that_comes_while_the_fifo_is_named_is_read(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    i2c_request(machine);
    i2c_start_command(machine, command_long_2_0, sizeof(command_long_2_0));
    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_FIFO));
    i2c_start_receive(machine);
    assert_int_equal(i2c_receive(machine), 0xFF);
    fake_backend_answer(machine->tpm);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(i2c_receive(machine), machine->tpm->response[i]);
    }
    assert_int_equal(i2c_receive(machine), 0xFF);
    i2c_stop(machine);
}

static void test_response_that_comes_amid_a_write_is_there_after_it(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    i2c_request(machine);
    i2c_start_command(machine, command_long_2_0, sizeof(command_long_2_0));
    i2c_start_send(machine);
    assert_int_equal(i2c_send(machine, "\x40\x01", 2), 2);
    fake_backend_answer(machine->tpm);
    i2c_stop(machine);
    assert_int_equal(i2c_read_byte(machine, NUM_CSUM_ENABLE), 1);
    i2c_assert_response(machine, machine->tpm->response, 10);
}

static void test_command_ready_while_executing_aborts(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    i2c_request(machine);
    i2c_start_command(machine, command_long_2_0, sizeof(command_long_2_0));
    i2c_write_byte(machine, NUM_STS, STS_READY);
    assert_int_equal(machine->tpm->cancels, 1);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x000FF580);
    fake_backend_answer(machine->tpm);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00100040);
    i2c_start_command(machine, command_2_0, sizeof(command_2_0));
    fake_backend_answer(machine->tpm);
    i2c_assert_response(machine, machine->tpm->response, 10);
}

static void test_cancelled_command_still_has_its_response(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    i2c_request(machine);
    i2c_start_command(machine, command_long_2_0, sizeof(command_long_2_0));
    i2c_write_word(machine, NUM_STS, STS_CANCEL);
    assert_int_equal(machine->tpm->cancels, 1);
    i2c_assert_response(machine, machine->tpm->response, machine->tpm->response_size);
}

static void test_reset_drops_the_command_and_its_response(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    i2c_request(machine);
    i2c_start_command(machine, command_long_2_0, sizeof(command_long_2_0));
    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_FIFO));
    i2c_start_receive(machine);
    tpmdev_device_reset(machine->device);
    assert_int_equal(i2c_receive(machine), 0);
    fake_backend_answer(machine->tpm);
    assert_int_equal(i2c_receive(machine), 0);
    i2c_stop(machine);
    assert_int_equal(i2c_read_word(machine, NUM_STS), I2C_STS_INACTIVE);
    i2c_request(machine);
    i2c_start_command(machine, command_2_0, sizeof(command_2_0));
    fake_backend_answer(machine->tpm);
    i2c_assert_response(machine, machine->tpm->response, 10);
}

static void test_dead_tpm_answers_failure(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_fails = true;
    i2c_request(machine);
    i2c_start_command(machine, command_2_0, sizeof(command_2_0));
    i2c_assert_response(machine, failure_2_0, sizeof(failure_2_0));
    assert_int_equal(i2c_csum(machine), i2c_crc(failure_2_0, sizeof(failure_2_0)));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, i2c_setup, i2c_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_commands_of_10_to_4096_bytes_reach_the_tpm),
        TEST(test_command_of_4097_bytes_is_answered_with_an_error),
        TEST(test_responses_of_10_to_4096_bytes_reach_the_guest),
        TEST(test_command_comes_in_transfers_of_every_size),
        TEST(test_csum_of_startup_is_6733_on_the_wire),
        TEST(test_csum_is_of_the_bytes_of_the_command_so_far),
        TEST(test_csum_is_of_every_value_of_a_byte),
        TEST(test_csum_stays_while_the_command_runs),
        TEST(test_csum_is_of_the_bytes_of_the_response_so_far),
        TEST(test_csum_does_not_wait_to_be_enabled),
        TEST(test_csum_tells_no_other_locality_of_the_fifo),
        TEST(test_each_locality_of_0_to_3_is_told_to_the_tpm),
        TEST(test_locality_4_is_not_for_software_to_write_to),
        TEST(test_selecting_a_locality_does_not_give_it_the_device),
        TEST(test_requests_wait_and_are_granted_by_a_relinquish),
        TEST(test_seizure_cancels_the_command_of_the_lower_locality),
        TEST(test_command_starts_at_the_stop_and_lingers_there),
        TEST(test_response_that_comes_while_the_fifo_is_named_is_read),
        TEST(test_response_that_comes_amid_a_write_is_there_after_it),
        TEST(test_command_ready_while_executing_aborts),
        TEST(test_cancelled_command_still_has_its_response),
        TEST(test_reset_drops_the_command_and_its_response),
        TEST(test_dead_tpm_answers_failure),
    };

    return cmocka_run_group_tests_name("tis-i2c-commands", tests, NULL, NULL);
}
