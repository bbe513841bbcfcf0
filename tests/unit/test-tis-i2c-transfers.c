/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transfers to the I2C device (hw/tpm/tis-i2c.c): every shape a master can give them, the good
 * ones and those no good master makes. TPM_DATA_CSUM_ENABLE is the register to write to, since
 * nothing but a write changes it, and TPM_DID_VID the one to read.
 */
#include "i2c-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_csum_enabled(TISMachine *machine, bool enabled)
{
    assert_int_equal(i2c_read_word(machine, NUM_CSUM_ENABLE), enabled);
}

/* Receive bytes and see that they are these. */
static void assert_received(TISMachine *machine, const char *wanted, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(i2c_receive(machine), (uint8_t)wanted[i]);
    }
}

#define DID_VID "\x14\x10\x01\x00"

/* ---- sending ---- */

static void test_transfer_without_a_byte_does_nothing(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    i2c_stop(machine);
    i2c_start_receive(machine);
    i2c_stop(machine);
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
    assert_csum_enabled(machine, false);
}

static void test_name_alone_writes_nothing(void **state)
{
    TISMachine *machine = *state;

    i2c_write_byte(machine, NUM_CSUM_ENABLE, 1);
    i2c_write(machine, NUM_CSUM_ENABLE, "", 0);
    assert_csum_enabled(machine, true);
}

static void test_one_to_four_bytes_are_written_at_the_stop(void **state)
{
    TISMachine *machine = *state;

    for (size_t size = 1; size <= 4; size++) {
        for (unsigned value = 0; value < 2; value++) {
            const uint8_t bytes[4] = { (uint8_t)value, 0xFF, 0xFF, 0xFF };

            i2c_write(machine, NUM_CSUM_ENABLE, bytes, size);
            assert_csum_enabled(machine, value);
        }
    }
}

static void test_nothing_is_written_before_the_stop(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_int_equal(i2c_send(machine, "\x04\x02", 2), 2); /* TPM_ACCESS, requestUse */
    assert_int_equal(tis_statistics(machine).writes, 2);
    i2c_start_send(machine); /* which takes it back */
    assert_true(i2c_send_byte(machine, NUM_ACCESS));
    assert_int_equal(i2c_receive(machine), 0x81);
    i2c_stop(machine);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x81);
}

static void test_fifth_byte_is_not_acknowledged_and_four_are_written(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_int_equal(i2c_send(machine, "\x40\x01\x02\x03\x04\x05\x06", 7), 5);
    assert_false(i2c_send_byte(machine, 0));
    i2c_stop(machine);
    assert_csum_enabled(machine, true);
    assert_int_equal(tis_statistics(machine).guest_errors, 2);
}

static void test_every_count_of_bytes_up_to_six_is_acknowledged_as_far_as_the_fourth(void **state)
{
    TISMachine *machine = *state;

    for (size_t size = 0; size <= 6; size++) {
        i2c_start_send(machine);
        assert_true(i2c_send_byte(machine, NUM_CSUM_ENABLE));
        assert_int_equal(i2c_send(machine, "\x01\0\0\0\0\0", size), MIN(size, 4));
        i2c_stop(machine);
        assert_csum_enabled(machine, size > 0);
        i2c_write_byte(machine, NUM_CSUM_ENABLE, 0);
    }
}

static void test_second_stop_writes_nothing_again(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    i2c_request(machine);
    i2c_send_command(machine, command_long_2_0, sizeof(command_long_2_0));
    i2c_write_byte(machine, NUM_STS, STS_GO);
    i2c_stop(machine);
    i2c_stop(machine);
    /* a second tpmGo would be the guest's mistake */
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
    assert_int_equal(machine->tpm->submits, 1);
    fake_backend_answer(machine->tpm);
}

static void test_stop_without_a_start_does_nothing(void **state)
{
    TISMachine *machine = *state;

    i2c_stop(machine);
    i2c_nack(machine);
    i2c_stop(machine);
    assert_csum_enabled(machine, false);
}

static void test_start_in_the_middle_of_a_write_drops_it(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_int_equal(i2c_send(machine, "\x40\x01", 2), 2);
    i2c_start_send(machine);
    assert_int_equal(i2c_send(machine, "\x00\x03", 2), 2);
    i2c_stop(machine);
    assert_csum_enabled(machine, false);
    assert_int_equal(i2c_read_byte(machine, NUM_LOC_SEL), 3);
}

static void test_nack_in_the_middle_of_a_write_changes_nothing(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_CSUM_ENABLE));
    i2c_nack(machine);
    assert_true(i2c_send_byte(machine, 1));
    i2c_nack(machine);
    i2c_stop(machine);
    assert_csum_enabled(machine, true);
}

static void test_register_that_is_not_there_silences_the_device_until_the_next_start(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_false(i2c_send_byte(machine, NUM_DEVICE_ADDRESS));
    assert_false(i2c_send_byte(machine, NUM_CSUM_ENABLE));
    assert_false(i2c_send_byte(machine, 1));
    assert_int_equal(i2c_receive(machine), 0);
    i2c_start_receive(machine);
    assert_received(machine, "\0\0\0\0", 4);
    i2c_stop(machine);
    assert_csum_enabled(machine, false);
    assert_int_equal(tis_statistics(machine).guest_errors, 1);
}

static void test_bytes_outside_of_a_transfer_are_not_acknowledged(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(i2c_send(machine, "\x40\x01", 2), 0);
    i2c_stop(machine);
    assert_csum_enabled(machine, false);
    i2c_write_byte(machine, NUM_CSUM_ENABLE, 1);
    assert_false(i2c_send_byte(machine, 0));
    i2c_stop(machine);
    assert_csum_enabled(machine, true);
}

/* ---- receiving ---- */

static void test_register_is_received_after_a_stop(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_DID_VID));
    i2c_stop(machine);
    i2c_start_receive(machine);
    assert_received(machine, DID_VID, 4);
    i2c_stop(machine);
}

static void test_register_is_received_after_a_second_start(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_DID_VID));
    i2c_start_receive(machine);
    assert_received(machine, DID_VID, 4);
    i2c_stop(machine);
}

/* As ASPEED's controller lets a program do it. */
static void test_register_is_received_without_a_second_start(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_DID_VID));
    assert_received(machine, DID_VID, 4);
    i2c_stop(machine);
}

static void test_byte_received_before_a_register_is_named_is_0_and_does_no_harm(void **state)
{
    TISMachine *machine = *state;

    for (unsigned early = 0; early < 6; early++) {
        i2c_start_send(machine);
        for (unsigned i = 0; i < early; i++) {
            assert_int_equal(i2c_receive(machine), 0);
        }
        assert_true(i2c_send_byte(machine, NUM_DID_VID));
        assert_received(machine, DID_VID, 4);
        i2c_stop(machine);
    }
    i2c_start_send(machine);
    assert_int_equal(i2c_receive(machine), 0);
    assert_int_equal(i2c_send(machine, "\x40\x01", 2), 2);
    i2c_stop(machine);
    assert_csum_enabled(machine, true);
}

static void test_bytes_behind_the_fourth_are_0(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_DID_VID));
    assert_received(machine, DID_VID, 4);
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(i2c_receive(machine), 0);
    }
    i2c_stop(machine);
}

static void test_receive_with_nothing_named_is_0(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(i2c_receive(machine), 0);
    i2c_start_receive(machine);
    assert_received(machine, "\0\0\0\0\0", 5);
    i2c_stop(machine);
    assert_int_equal(i2c_receive(machine), 0);
}

static void test_nack_in_the_middle_of_a_read_changes_nothing(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_DID_VID));
    i2c_start_receive(machine);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(i2c_receive(machine), (uint8_t)DID_VID[i]);
        i2c_nack(machine);
    }
    i2c_stop(machine);
}

static void test_register_that_was_read_is_not_named_any_more(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(i2c_read_word(machine, NUM_DID_VID), 0x00011014);
    i2c_start_receive(machine);
    assert_received(machine, "\0\0\0\0", 4);
    i2c_stop(machine);
}

static void test_register_that_was_written_is_not_named_any_more(void **state)
{
    TISMachine *machine = *state;

    i2c_write_byte(machine, NUM_CSUM_ENABLE, 1);
    i2c_start_receive(machine);
    assert_received(machine, "\0\0\0\0", 4);
    i2c_stop(machine);
}

static void test_start_to_send_forgets_the_register(void **state)
{
    TISMachine *machine = *state;

    i2c_write(machine, NUM_DID_VID, "", 0);
    i2c_start_send(machine);
    i2c_stop(machine);
    i2c_start_receive(machine);
    assert_received(machine, "\0\0\0\0", 4);
    i2c_stop(machine);
}

static void test_register_stays_named_over_several_stops(void **state)
{
    TISMachine *machine = *state;

    i2c_write(machine, NUM_DID_VID, "", 0);
    i2c_stop(machine);
    i2c_nack(machine);
    i2c_stop(machine);
    i2c_start_receive(machine);
    i2c_stop(machine);
    i2c_start_receive(machine);
    assert_received(machine, DID_VID, 4);
    i2c_stop(machine);
}

static void test_second_start_to_receive_goes_on_where_the_first_was(void **state)
{
    TISMachine *machine = *state;

    i2c_write(machine, NUM_DID_VID, "", 0);
    i2c_start_receive(machine);
    assert_int_equal(i2c_receive(machine), 0x14);
    i2c_start_receive(machine);
    assert_received(machine, "\x10\x01\x00\x00", 4);
    i2c_stop(machine);
}

/* Its address was acknowledged, and nothing was named: a name is welcome, whichever the direction.
 */
static void test_register_may_be_named_after_a_start_to_receive(void **state)
{
    TISMachine *machine = *state;

    i2c_start_receive(machine);
    assert_int_equal(i2c_receive(machine), 0);
    assert_true(i2c_send_byte(machine, NUM_DID_VID));
    assert_received(machine, DID_VID, 4);
    i2c_stop(machine);
}

/* All four bytes of one transfer are of the moment of the first. */
static void test_bytes_of_a_register_are_of_one_moment(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    i2c_request(machine);
    i2c_start_command(machine, command_long_2_0, sizeof(command_long_2_0));
    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_STS));
    i2c_start_receive(machine);
    assert_int_equal(i2c_receive(machine), 0x80);
    fake_backend_answer(machine->tpm);
    assert_received(machine, "\xF5\x0F\x00", 3);
    i2c_stop(machine);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00000A90);
}

/* ---- both in one transfer ---- */

static void test_byte_sent_in_the_middle_of_a_read_is_not_acknowledged(void **state)
{
    TISMachine *machine = *state;

    i2c_write_byte(machine, NUM_CSUM_ENABLE, 1);
    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_CSUM_ENABLE));
    assert_int_equal(i2c_receive(machine), 1);
    assert_false(i2c_send_byte(machine, 0));
    assert_received(machine, "\0\0\0", 3);
    i2c_stop(machine);
    assert_csum_enabled(machine, true);
}

static void test_byte_received_in_the_middle_of_a_write_is_0_and_the_write_goes_on(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_int_equal(i2c_send(machine, "\x40\x01", 2), 2);
    assert_int_equal(i2c_receive(machine), 0);
    i2c_start_receive(machine);
    assert_int_equal(i2c_receive(machine), 0);
    i2c_stop(machine);
    assert_csum_enabled(machine, true);
}

static void test_fifo_gives_a_byte_for_each_that_is_received_and_no_more(void **state)
{
    static const uint8_t response[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0, 0, 0xA5, 0x5A };
    TISMachine *machine = *state;

    fake_backend_respond(machine->tpm, response, sizeof(response));
    i2c_request(machine);
    i2c_start_command(machine, command_2_0, sizeof(command_2_0));
    i2c_write(machine, NUM_FIFO, "", 0); /* named, and none received */
    i2c_start_receive(machine);
    assert_int_equal(i2c_receive(machine), 0x80);
    i2c_stop(machine);
    i2c_start_receive(machine); /* not named: it gives nothing away */
    assert_int_equal(i2c_receive(machine), 0);
    i2c_stop(machine);
    i2c_write(machine, NUM_FIFO, "", 0);
    i2c_start_receive(machine);
    assert_received(machine, "\x01\x00\x00\x00\x0C", 5);
    i2c_stop(machine);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00000690);
    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_FIFO));
    assert_received(machine, "\0\0\0\0\xA5\x5A\xFF\xFF", 8);
    i2c_stop(machine);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x000FF480);
}

static void test_fifo_is_named_still_after_it_was_written(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    i2c_start_command(machine, command_2_0, sizeof(command_2_0));
    i2c_write_byte(machine, NUM_FIFO, 0); /* dropped, in Completion */
    i2c_start_receive(machine);
    assert_int_equal(i2c_receive(machine), 0x80);
    i2c_stop(machine);
}

/* The FIFO is of this locality, and gives nothing while it takes a command. */
static void test_fifo_bytes_received_in_the_middle_of_a_command_do_no_harm(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    i2c_write_byte(machine, NUM_STS, STS_READY);
    i2c_start_send(machine);
    assert_true(i2c_send_byte(machine, NUM_FIFO));
    for (unsigned i = 0; i < sizeof(command_2_0); i++) {
        assert_true(i2c_send_byte(machine, command_2_0[i]));
        assert_int_equal(i2c_receive(machine), 0xFF);
    }
    i2c_stop(machine);
    i2c_write_byte(machine, NUM_STS, STS_GO);
    assert_true(fake_backend_has_command(machine->tpm, command_2_0, sizeof(command_2_0)));
}

/* ---- a reset in the middle ---- */

static void test_reset_ends_the_transfer(void **state)
{
    TISMachine *machine = *state;

    i2c_start_send(machine);
    assert_int_equal(i2c_send(machine, "\x40\x01", 2), 2);
    tpmdev_device_reset(machine->device);
    /* what is left of it names no register and reaches none */
    assert_int_equal(i2c_send(machine, "\x00\x03", 2), 0);
    assert_int_equal(i2c_receive(machine), 0);
    i2c_stop(machine);
    i2c_start_receive(machine);
    assert_received(machine, "\0\0\0\0", 4);
    i2c_stop(machine);
    assert_csum_enabled(machine, false);
    assert_int_equal(i2c_read_byte(machine, NUM_LOC_SEL), 0);
}

static void test_reset_clears_what_was_selected(void **state)
{
    TISMachine *machine = *state;

    i2c_select(machine, 2);
    i2c_request(machine);
    i2c_write_byte(machine, NUM_CSUM_ENABLE, 1);
    tpmdev_device_reset(machine->device);
    assert_int_equal(i2c_read_byte(machine, NUM_LOC_SEL), 0);
    assert_csum_enabled(machine, false);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x81);
    i2c_select(machine, 2);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x81);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, i2c_setup, i2c_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_transfer_without_a_byte_does_nothing),
        TEST(test_name_alone_writes_nothing),
        TEST(test_one_to_four_bytes_are_written_at_the_stop),
        TEST(test_nothing_is_written_before_the_stop),
        TEST(test_fifth_byte_is_not_acknowledged_and_four_are_written),
        TEST(test_every_count_of_bytes_up_to_six_is_acknowledged_as_far_as_the_fourth),
        TEST(test_second_stop_writes_nothing_again),
        TEST(test_stop_without_a_start_does_nothing),
        TEST(test_start_in_the_middle_of_a_write_drops_it),
        TEST(test_nack_in_the_middle_of_a_write_changes_nothing),
        TEST(test_register_that_is_not_there_silences_the_device_until_the_next_start),
        TEST(test_bytes_outside_of_a_transfer_are_not_acknowledged),
        TEST(test_register_is_received_after_a_stop),
        TEST(test_register_is_received_after_a_second_start),
        TEST(test_register_is_received_without_a_second_start),
        TEST(test_byte_received_before_a_register_is_named_is_0_and_does_no_harm),
        TEST(test_bytes_behind_the_fourth_are_0),
        TEST(test_receive_with_nothing_named_is_0),
        TEST(test_nack_in_the_middle_of_a_read_changes_nothing),
        TEST(test_register_that_was_read_is_not_named_any_more),
        TEST(test_register_that_was_written_is_not_named_any_more),
        TEST(test_start_to_send_forgets_the_register),
        TEST(test_register_stays_named_over_several_stops),
        TEST(test_second_start_to_receive_goes_on_where_the_first_was),
        TEST(test_register_may_be_named_after_a_start_to_receive),
        TEST(test_bytes_of_a_register_are_of_one_moment),
        TEST(test_byte_sent_in_the_middle_of_a_read_is_not_acknowledged),
        TEST(test_byte_received_in_the_middle_of_a_write_is_0_and_the_write_goes_on),
        TEST(test_fifo_gives_a_byte_for_each_that_is_received_and_no_more),
        TEST(test_fifo_is_named_still_after_it_was_written),
        TEST(test_fifo_bytes_received_in_the_middle_of_a_command_do_no_harm),
        TEST(test_reset_ends_the_transfer),
        TEST(test_reset_clears_what_was_selected),
    };

    return cmocka_run_group_tests_name("tis-i2c-transfers", tests, NULL, NULL);
}
