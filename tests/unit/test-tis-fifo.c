/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The FIFO of the TIS device: every width, the burst count, and the edges of what a command and
 * a response can be.
 */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* TPM_RC_COMMAND_SIZE in a response of TPM 2.0 */
static const uint8_t wrong_size_2_0[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x42 };

static TISMachine *machine_with_buffer(size_t buffer_size)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, buffer_size);

    tis_machine_plug(machine);
    tis_request(machine, 0);
    return machine;
}

static unsigned burst(TISMachine *machine)
{
    return tis_sts(machine, 0) >> 8 & 0xFFFF;
}

static bool expects(TISMachine *machine)
{
    return tis_sts(machine, 0) & 0x08;
}

/* A header that begins a command of this size, whatever follows. */
static void write_header(TISMachine *machine, uint32_t size)
{
    const uint8_t header[10] = {
        0x80,
        0x01,
        (uint8_t)(size >> 24),
        (uint8_t)(size >> 16),
        (uint8_t)(size >> 8),
        (uint8_t)size,
        0,
        0,
        0x01,
        0x43,
    };

    tis_sts_set(machine, 0, STS_READY);
    tis_fifo_write(machine, 0, header, sizeof(header));
}

/* ---- widths ---- */

static void test_command_goes_in_at_every_width(void **state)
{
    static const struct {
        uint32_t reg;
        unsigned width;
    } ways[] = { { 0x24, 1 }, { 0x27, 1 }, { 0x24, 2 }, { 0x25, 2 }, { 0x26, 2 },
                 { 0x24, 4 }, { 0x80, 1 }, { 0x80, 2 }, { 0x80, 4 }, { 0x80, 8 },
                 { 0xB8, 8 }, { 0x9D, 4 }, { 0xBC, 4 }, { 0xBF, 1 } };
    TISMachine *machine = *state;
    uint8_t command[16];

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    tis_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        tis_sts_set(machine, 0, STS_READY);
        for (unsigned done = 0; done < sizeof(command); done += ways[i].width) {
            uint64_t value = 0;

            memcpy(&value, command + done, ways[i].width);
            tis_write(machine, 0, ways[i].reg, ways[i].width, GUINT64_FROM_LE(value));
        }
        assert_int_equal(tis_sts(machine, 0), 0x040FF080);
        tis_sts_set(machine, 0, STS_GO);
        assert_int_equal(machine->tpm->submits, i + 1);
        assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
    }
}

static void test_response_comes_out_at_every_width(void **state)
{
    static const struct {
        uint32_t reg;
        unsigned width;
    } ways[] = { { 0x24, 1 }, { 0x26, 1 }, { 0x24, 2 }, { 0x25, 2 }, { 0x26, 2 },
                 { 0x24, 4 }, { 0x80, 1 }, { 0x82, 2 }, { 0x80, 4 }, { 0x80, 8 },
                 { 0xB8, 8 }, { 0x9D, 4 }, { 0xBC, 4 }, { 0xBF, 1 } };
    TISMachine *machine = *state;

    fake_backend_respond_with_size(machine->tpm, 16);
    tis_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        tis_start(machine, 0, command_2_0, sizeof(command_2_0));
        for (unsigned done = 0; done < 16; done += ways[i].width) {
            uint64_t expected = 0;

            assert_int_equal(tis_sts(machine, 0), 0x04000090 | (16 - done) << 8);
            memcpy(&expected, machine->tpm->response + done, ways[i].width);
            assert_int_equal(tis_read(machine, 0, ways[i].reg, ways[i].width),
                             GUINT64_FROM_LE(expected));
        }
        assert_int_equal(tis_sts(machine, 0), 0x040FF080);
    }
}

static void test_eight_bytes_at_24_are_four_of_the_fifo(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_sts_set(machine, 0, STS_READY);
    tis_write(machine, 0, REG_FIFO, 8, 0);
    assert_int_equal(burst(machine), 4092);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(tis_read(machine, 0, REG_FIFO, 8), G_GUINT64_CONSTANT(0xFFFFFFFF00000180));
    assert_int_equal(burst(machine), 6);
}

static void test_wide_write_past_the_end_of_a_command_makes_it_malformed(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_send(machine, 0, command_2_0, 10);
    assert_true(expects(machine));
    tis_write(machine, 0, REG_FIFO, 4, 0);
    assert_false(expects(machine));
    assert_int_equal(burst(machine), 4096 - 14);
    tis_sts_set(machine, 0, STS_GO);
    tis_assert_response(machine, 0, wrong_size_2_0, sizeof(wrong_size_2_0));
    assert_int_equal(machine->tpm->submits, 0);
}

static void test_bytes_after_a_whole_command_are_dropped(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_send(machine, 0, command_2_0, sizeof(command_2_0));
    tis_write(machine, 0, REG_FIFO, 1, 0x55);
    tis_write(machine, 0, REG_FIFO, 4, 0x55555555);
    assert_int_equal(tis_sts(machine, 0), 0x040FF480);
    tis_sts_set(machine, 0, STS_GO);
    assert_true(fake_backend_has_command(machine->tpm, command_2_0, sizeof(command_2_0)));
}

static void test_read_wider_than_what_is_left_is_filled_with_ones(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_read(machine, 0, REG_FIFO, 4);
    tis_read(machine, 0, REG_FIFO, 4);
    assert_int_equal(tis_read(machine, 0, REG_FIFO, 4), 0xFFFF0000);
    assert_int_equal(tis_sts(machine, 0), 0x040FF680);
    assert_int_equal(tis_read(machine, 0, REG_FIFO, 4), 0xFFFFFFFF);
    assert_int_equal(tis_sts(machine, 0), 0x040FF680);
}

/* ---- the burst count ---- */

static void test_burst_count_is_the_room_that_is_left(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    assert_int_equal(burst(machine), 4096);
    tis_sts_set(machine, 0, STS_READY);
    assert_int_equal(burst(machine), 4096);
    for (unsigned i = 1; i <= sizeof(command_2_0); i++) {
        tis_write(machine, 0, REG_FIFO, 1, command_2_0[i - 1]);
        assert_int_equal(burst(machine), 4096 - i);
    }
}

static void test_burst_count_is_the_response_that_is_left(void **state)
{
    TISMachine *machine = *state;

    fake_backend_respond_with_size(machine->tpm, 300);
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    for (unsigned left = 300; left > 0; left--) {
        assert_int_equal(burst(machine), left);
        /* its low byte, read alone, is clamped: 256 must not look like none */
        assert_int_equal(tis_read(machine, 0, REG_STS + 1, 1), MIN(left, 255));
        assert_int_equal(tis_read(machine, 0, REG_STS + 2, 1), 0);
        tis_read(machine, 0, REG_FIFO, 1);
    }
    assert_int_equal(burst(machine), 4096 - 300);
}

static void test_burst_count_is_zero_when_the_buffer_is_full(void **state)
{
    uint8_t command[4096];
    TISMachine *machine = *state;

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    tis_request(machine, 0);
    tis_send(machine, 0, command, sizeof(command));
    assert_int_equal(tis_sts(machine, 0), 0x04000080);
    assert_int_equal(tis_read(machine, 0, REG_STS + 1, 1), 0);
}

/* ---- the edges of a command ---- */

static void test_commands_up_to_the_buffer_size_reach_the_tpm(void **state)
{
    static const size_t sizes[] = { 10, 11, 255, 256, 4095, 4096 };
    TISMachine *machine = *state;
    uint8_t command[4096];

    tis_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        tis_make_command(TPM_VERSION_2_0, command, sizes[i]);
        tis_send(machine, 0, command, sizes[i] - 1);
        assert_true(expects(machine));
        tis_write(machine, 0, REG_FIFO, 1, command[sizes[i] - 1]);
        assert_false(expects(machine));
        tis_sts_set(machine, 0, STS_GO);
        assert_int_equal(machine->tpm->submits, i + 1);
        assert_true(fake_backend_has_command(machine->tpm, command, sizes[i]));
    }
}

static void test_command_of_4097_bytes_is_answered_with_an_error(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    write_header(machine, 4097);
    for (unsigned i = 10; i < 4096; i++) {
        assert_true(expects(machine));
        tis_write(machine, 0, REG_FIFO, 1, i);
    }
    assert_int_equal(tis_sts(machine, 0), 0x04000088);
    tis_sts_set(machine, 0, STS_GO);
    assert_int_equal(tis_sts(machine, 0), 0x04000088);
    /* one byte too many ends the wait for more */
    tis_write(machine, 0, REG_FIFO, 1, 0);
    assert_int_equal(tis_sts(machine, 0), 0x04000080);
    tis_sts_set(machine, 0, STS_GO);
    tis_assert_response(machine, 0, wrong_size_2_0, sizeof(wrong_size_2_0));
    assert_int_equal(machine->tpm->submits, 0);
}

static void test_size_field_of_four_gigabytes_is_answered_with_an_error(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    write_header(machine, UINT32_MAX);
    for (unsigned i = 10; i < 5000; i++) {
        tis_write(machine, 0, REG_FIFO, 1, i);
    }
    tis_sts_set(machine, 0, STS_GO);
    tis_assert_response(machine, 0, wrong_size_2_0, sizeof(wrong_size_2_0));
    assert_int_equal(machine->tpm->submits, 0);
}

static void test_wide_write_at_the_end_of_the_buffer_stays_inside_it(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    write_header(machine, 5000);
    for (unsigned i = 10; i < 4094; i++) {
        tis_write(machine, 0, REG_FIFO, 1, i);
    }
    tis_write(machine, 0, REG_FIFO, 4, 0xFFFFFFFF);
    assert_int_equal(tis_sts(machine, 0), 0x04000080);
}

static void test_size_field_below_6_makes_the_command_whole_at_6_bytes(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    for (uint8_t size = 0; size <= 6; size++) {
        const uint8_t begin[6] = { 0x80, 0x01, 0, 0, 0, size };

        tis_send(machine, 0, begin, 5);
        assert_true(expects(machine));
        tis_write(machine, 0, REG_FIFO, 1, begin[5]);
        assert_int_equal(tis_sts(machine, 0), 0x040FFA80);
        tis_sts_set(machine, 0, STS_GO);
        tis_assert_response(machine, 0, wrong_size_2_0, sizeof(wrong_size_2_0));
    }
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(tis_statistics(machine).rejected_commands, 7);
}

static void test_size_field_below_10_is_answered_with_an_error(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    for (uint8_t size = 7; size < 10; size++) {
        const uint8_t begin[9] = { 0x80, 0x01, 0, 0, 0, size };

        tis_send(machine, 0, begin, size - 1u);
        assert_true(expects(machine));
        tis_write(machine, 0, REG_FIFO, 1, 0);
        assert_false(expects(machine));
        tis_sts_set(machine, 0, STS_GO);
        tis_assert_response(machine, 0, wrong_size_2_0, sizeof(wrong_size_2_0));
    }
    assert_int_equal(machine->tpm->submits, 0);
}

/* ---- the edges of a response ---- */

static void test_responses_up_to_the_buffer_size_reach_the_guest(void **state)
{
    static const size_t sizes[] = { 10, 11, 255, 256, 257, 4095, 4096 };
    TISMachine *machine = *state;

    tis_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        fake_backend_respond_with_size(machine->tpm, sizes[i]);
        tis_start(machine, 0, command_2_0, sizeof(command_2_0));
        assert_int_equal(burst(machine), sizes[i]);
        tis_assert_response(machine, 0, machine->tpm->response, sizes[i]);
        assert_int_equal(tis_sts(machine, 0), 0x04000080 | (4096 - sizes[i]) << 8);
    }
}

static void test_data_avail_ends_with_the_access_that_returns_the_last_byte(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    for (unsigned i = 0; i < 9; i++) {
        tis_read(machine, 0, REG_FIFO, 1);
        assert_true(tis_has_response(machine, 0));
    }
    tis_read(machine, 0, REG_FIFO, 1);
    assert_false(tis_has_response(machine, 0));
    assert_int_equal(tis_read(machine, 0, REG_FIFO, 1), 0xFF);
    assert_int_equal(burst(machine), 4096 - 10);
}

static void test_response_retry_reads_the_same_again(void **state)
{
    TISMachine *machine = *state;

    fake_backend_respond_with_size(machine->tpm, 20);
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    for (unsigned read = 0; read <= 20; read++) {
        for (unsigned i = 0; i < read; i++) {
            assert_int_equal(tis_read(machine, 0, REG_FIFO, 1), machine->tpm->response[i]);
        }
        tis_sts_set(machine, 0, STS_RETRY);
        assert_int_equal(burst(machine), 20);
    }
    tis_assert_response(machine, 0, machine->tpm->response, 20);
}

static void test_next_command_begins_at_the_front_after_a_response_half_read(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_read(machine, 0, REG_FIFO, 4);
    tis_send(machine, 0, command_long_2_0, sizeof(command_long_2_0));
    tis_sts_set(machine, 0, STS_GO);
    assert_true(fake_backend_has_command(machine->tpm, command_long_2_0, sizeof(command_long_2_0)));
}

static void test_command_is_taken_out_of_the_device_when_it_is_started(void **state)
{
    TISMachine *machine = *state;

    /* the TPM's bytes stay as they were, whatever the guest writes while it works */
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    for (unsigned i = 0; i < 16; i++) {
        tis_write(machine, 0, REG_FIFO, 4, 0xFFFFFFFF);
    }
    assert_memory_equal(machine->tpm->data, command_2_0, sizeof(command_2_0));
    fake_backend_answer(machine->tpm);
}

/* ---- a TPM with a smaller buffer ---- */

static void test_smaller_buffer_of_the_tpm_is_the_buffer_of_the_device(void **state)
{
    static const size_t sizes[] = { TPM_BUFFER_SIZE_MIN, 1024, 3968 };
    uint8_t command[4096];

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        TISMachine *machine = machine_with_buffer(sizes[i]);

        assert_int_equal(machine->tpm->start_buffer_size, sizes[i]);
        assert_int_equal(burst(machine), sizes[i]);
        tis_make_command(TPM_VERSION_2_0, command, sizes[i]);
        fake_backend_respond_with_size(machine->tpm, sizes[i]);
        tis_start(machine, 0, command, sizes[i]);
        assert_true(fake_backend_has_command(machine->tpm, command, sizes[i]));
        tis_assert_response(machine, 0, machine->tpm->response, sizes[i]);
        assert_int_equal(burst(machine), 0);
        tis_machine_free(machine);
    }
}

static void test_command_beyond_a_smaller_buffer_is_answered_with_an_error(void **state)
{
    TISMachine *machine = machine_with_buffer(TPM_BUFFER_SIZE_MIN);

    (void)state;
    write_header(machine, TPM_BUFFER_SIZE_MIN + 1);
    for (unsigned i = 10; i < TPM_BUFFER_SIZE_MIN; i++) {
        tis_write(machine, 0, REG_FIFO, 1, i);
    }
    assert_int_equal(tis_sts(machine, 0), 0x04000088);
    tis_write(machine, 0, REG_FIFO, 1, 0);
    assert_int_equal(tis_sts(machine, 0), 0x04000080);
    tis_sts_set(machine, 0, STS_GO);
    tis_assert_response(machine, 0, wrong_size_2_0, sizeof(wrong_size_2_0));
    tis_machine_free(machine);
}

static void test_response_beyond_a_smaller_buffer_becomes_a_failure(void **state)
{
    TISMachine *machine = machine_with_buffer(1024);

    (void)state;
    fake_backend_respond_with_size(machine->tpm, 1025);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
    tis_machine_free(machine);
}

static void test_buffer_of_the_tpm_beyond_4096_bytes_is_not_used(void **state)
{
    TISMachine *machine = machine_with_buffer(65536);

    (void)state;
    assert_int_equal(burst(machine), 4096);
    assert_int_equal(machine->tpm->start_buffer_size, 4096);
    tis_machine_free(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, tis_setup_2_0, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_command_goes_in_at_every_width),
        TEST(test_response_comes_out_at_every_width),
        TEST(test_eight_bytes_at_24_are_four_of_the_fifo),
        TEST(test_wide_write_past_the_end_of_a_command_makes_it_malformed),
        TEST(test_bytes_after_a_whole_command_are_dropped),
        TEST(test_read_wider_than_what_is_left_is_filled_with_ones),
        TEST(test_burst_count_is_the_room_that_is_left),
        TEST(test_burst_count_is_the_response_that_is_left),
        TEST(test_burst_count_is_zero_when_the_buffer_is_full),
        TEST(test_commands_up_to_the_buffer_size_reach_the_tpm),
        TEST(test_command_of_4097_bytes_is_answered_with_an_error),
        TEST(test_size_field_of_four_gigabytes_is_answered_with_an_error),
        TEST(test_wide_write_at_the_end_of_the_buffer_stays_inside_it),
        TEST(test_size_field_below_6_makes_the_command_whole_at_6_bytes),
        TEST(test_size_field_below_10_is_answered_with_an_error),
        TEST(test_responses_up_to_the_buffer_size_reach_the_guest),
        TEST(test_data_avail_ends_with_the_access_that_returns_the_last_byte),
        TEST(test_response_retry_reads_the_same_again),
        TEST(test_next_command_begins_at_the_front_after_a_response_half_read),
        TEST(test_command_is_taken_out_of_the_device_when_it_is_started),
        cmocka_unit_test(test_smaller_buffer_of_the_tpm_is_the_buffer_of_the_device),
        cmocka_unit_test(test_command_beyond_a_smaller_buffer_is_answered_with_an_error),
        cmocka_unit_test(test_response_beyond_a_smaller_buffer_becomes_a_failure),
        cmocka_unit_test(test_buffer_of_the_tpm_beyond_4096_bytes_is_not_used),
    };

    return cmocka_run_group_tests_name("tis-fifo", tests, NULL, NULL);
}
