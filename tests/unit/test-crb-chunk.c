/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands and responses in chunks (hw/tpm/crb-chunk.c): every size at which something changes,
 * what is executed when pieces are missing or too many, and what ends a command that was half put
 * together or a response that was half read. The states are in test-crb-chunk-states.c.
 */
#include "crb-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PAGE_ADDRESS 0xFED50000u

/* Where something changes: the window, twice that, the page, the largest of two TPMs. */
static const size_t sizes[] = { 10,   11,   127,  3967, 3968, 3969, 4095, 4096,
                                4097, 5000, 7935, 7936, 7937, 8191, 8192 };

static void control(TISMachine *machine, uint32_t value)
{
    tis_write(machine, 0, REG_CTRL_START, 4, value);
}

static void next_chunk(TISMachine *machine)
{
    control(machine, START_NEXT);
    assert_int_equal(tis_read(machine, 0, REG_CTRL_START, 4), 0);
}

static void put_be32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* A command of 5000 bytes, of which the device has taken the first piece. */
static void assemble_half(TISMachine *machine, unsigned locality)
{
    uint8_t command[5000];

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    crb_put(machine, locality, command, BUFFER_BYTES);
    tis_write(machine, locality, REG_CTRL_START, 4, START_NEXT);
}

/* A response of 5000 bytes, of which the first piece is in the buffer. */
static void read_half(TISMachine *machine, unsigned locality)
{
    fake_backend_respond_with_size(machine->tpm, 5000);
    crb_start(machine, locality, command_2_0, sizeof(command_2_0));
    crb_assert_buffer(machine, locality, machine->tpm->response, BUFFER_BYTES);
    fake_backend_respond_with_size(machine->tpm, 10);
}

/* The next command is one of its own. */
static void assert_next_command(TISMachine *machine, unsigned locality)
{
    crb_start(machine, locality, command_long_2_0, sizeof(command_long_2_0));
    assert_true(fake_backend_has_command(machine->tpm, command_long_2_0, sizeof(command_long_2_0)));
    crb_assert_chunks(machine, locality, machine->tpm->response, 10);
}

/* And the response before it is gone, too. */
static void assert_begins_anew(TISMachine *machine, unsigned locality)
{
    static const uint8_t mark[] = { 1, 2, 3, 4 };
    uint8_t found[4];

    crb_put(machine, locality, mark, sizeof(mark));
    tis_write(machine, locality, REG_CTRL_START, 4, START_RETRY);
    crb_get(machine, locality, found, sizeof(found));
    assert_memory_equal(found, mark, sizeof(mark));
    assert_next_command(machine, locality);
}

/* ---- sizes ---- */

static void test_intf_id_bit_10_tells_of_chunks(void **state)
{
    assert_int_equal(tis_read(*state, 0, REG_INTF_ID, 4), 0x00025C11);
}

static void test_tpm_is_told_all_it_takes(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(machine->tpm->start_buffer_size, 8192);
    assert_int_equal(tis_read(machine, 0, REG_CMD_SIZE, 4), 0xF80);
    assert_int_equal(tis_read(machine, 0, REG_RSP_SIZE, 4), 0xF80);
}

static void test_command_of_every_size_reaches_the_tpm_whole(void **state)
{
    TISMachine *machine = *state;
    uint8_t command[CHUNK_BYTES];

    crb_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        tis_make_command(TPM_VERSION_2_0, command, sizes[i]);
        crb_start_chunks(machine, 0, command, sizes[i]);
        assert_true(fake_backend_has_command(machine->tpm, command, sizes[i]));
        assert_int_equal(machine->tpm->submits, i + 1);
        crb_assert_buffer(machine, 0, machine->tpm->response, 10);
    }
}

static void test_response_of_every_size_reaches_the_guest_whole(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        fake_backend_respond_with_size(machine->tpm, sizes[i]);
        crb_start(machine, 0, command_2_0, sizeof(command_2_0));
        crb_assert_chunks(machine, 0, machine->tpm->response, sizes[i]);
    }
}

static void test_size_of_8193_and_more_is_answered_142(void **state)
{
    static const uint32_t wrong[] = { 8193, 8194, 0x4000, 0x10000, 0x80000000, 0xFFFFFFFF };
    TISMachine *machine = *state;
    uint8_t command[CHUNK_BYTES + 1] = { 0 };

    tis_make_command(TPM_VERSION_2_0, command, CHUNK_BYTES);
    crb_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        put_be32(command + 2, wrong[i]);
        crb_start_chunks(machine, 0, command, sizeof(command));
        crb_assert_chunks(machine, 0, command_size_2_0, sizeof(command_size_2_0));
    }
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(tis_statistics(machine).rejected_commands, G_N_ELEMENTS(wrong));
    assert_next_command(machine, 0);
}

static void test_first_chunk_of_a_size_below_10_is_answered_142(void **state)
{
    TISMachine *machine = *state;
    uint8_t command[12];

    crb_request(machine, 0);
    for (uint32_t size = 0; size < 20; size++) {
        memcpy(command, command_2_0, sizeof(command));
        put_be32(command + 2, size % 10);
        crb_put(machine, 0, command, sizeof(command));
        if (size >= 10) {
            next_chunk(machine); /* and pieces may follow, for all the device cares */
            next_chunk(machine);
        }
        crb_go(machine, 0);
        crb_assert_chunks(machine, 0, command_size_2_0, sizeof(command_size_2_0));
    }
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(tis_read(machine, 0, REG_CTRL_STS, 4), 2);
    assert_next_command(machine, 0);
}

static void test_what_the_tpm_takes_is_the_limit(void **state)
{
    static const size_t limits[] = { 128, 1024, 3967, 3968, 3969, 4096 };
    uint8_t command[CHUNK_BYTES];

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++) {
        TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, limits[i]);

        machine->config.interface = TPM_INTERFACE_CRB;
        machine->config.chunk = true;
        fake_backend_respond_with_size(machine->tpm, limits[i]);
        tis_machine_plug(machine);
        assert_int_equal(machine->tpm->start_buffer_size, limits[i]);
        crb_request(machine, 0);
        for (unsigned less = 2; less > 0; less--) {
            tis_make_command(TPM_VERSION_2_0, command, limits[i] + 1 - less);
            crb_start_chunks(machine, 0, command, limits[i] + 1 - less);
            assert_true(fake_backend_has_command(machine->tpm, command, limits[i] + 1 - less));
            crb_assert_chunks(machine, 0, machine->tpm->response, limits[i]);
        }
        tis_make_command(TPM_VERSION_2_0, command, limits[i] + 1);
        crb_start_chunks(machine, 0, command, limits[i] + 1);
        crb_assert_chunks(machine, 0, command_size_2_0, sizeof(command_size_2_0));
        assert_int_equal(machine->tpm->submits, 2);
        tis_machine_free(machine);
    }
}

static void test_response_larger_than_the_tpm_says_is_a_failure(void **state)
{
    TISMachine *machine = *state;

    fake_backend_respond_with_size(machine->tpm, 8193);
    crb_request(machine, 0);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    crb_assert_chunks(machine, 0, failure_2_0, sizeof(failure_2_0));
    assert_int_equal(tis_read(machine, 0, REG_CTRL_STS, 4), 2);
}

/* ---- pieces of a command ---- */

static void test_command_that_lacks_a_piece_is_answered_142(void **state)
{
    TISMachine *machine = *state;
    uint8_t command[CHUNK_BYTES];

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    crb_request(machine, 0);
    crb_start_chunks(machine, 0, command, 2 * BUFFER_BYTES); /* of 8192 bytes, as it says */
    crb_assert_chunks(machine, 0, command_size_2_0, sizeof(command_size_2_0));
    assert_int_equal(machine->tpm->submits, 0);
    assert_next_command(machine, 0);
}

static void test_pieces_beyond_the_size_are_not_looked_at(void **state)
{
    TISMachine *machine = *state;
    uint8_t command[5000];
    uint8_t other[BUFFER_BYTES];

    memset(other, 0xEE, sizeof(other));
    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    crb_request(machine, 0);
    crb_put(machine, 0, command, BUFFER_BYTES);
    next_chunk(machine);
    crb_put(machine, 0, other, sizeof(other));
    crb_put(machine, 0, command + BUFFER_BYTES, sizeof(command) - BUFFER_BYTES);
    next_chunk(machine);
    crb_put(machine, 0, other, sizeof(other));
    next_chunk(machine);
    crb_go(machine, 0);
    assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
}

static void test_piece_that_was_taken_can_be_overwritten(void **state)
{
    TISMachine *machine = *state;
    uint8_t command[5000];

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    crb_request(machine, 0);
    crb_put(machine, 0, command, BUFFER_BYTES);
    next_chunk(machine);
    for (uint32_t offset = 0; offset < BUFFER_BYTES; offset += 8) {
        tis_write(machine, 0, REG_BUFFER + offset, 8, UINT64_MAX);
    }
    crb_start(machine, 0, command + BUFFER_BYTES, sizeof(command) - BUFFER_BYTES);
    assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
}

static void test_ctrl_start_takes_any_width_at_lane_0_alone(void **state)
{
    TISMachine *machine = *state;
    uint8_t command[5000];

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    crb_request(machine, 0);
    for (unsigned width = 1; width <= 8; width *= 2) {
        crb_put(machine, 0, command, BUFFER_BYTES);
        for (unsigned lane = 1; lane < 4; lane++) {
            tis_write(machine, 0, REG_CTRL_START + lane, 1, START_NEXT);
        }
        tis_write(machine, 0, REG_CTRL_CANCEL, 8, (uint64_t)START_NEXT << 32);
        crb_put(machine, 0, command + BUFFER_BYTES, sizeof(command) - BUFFER_BYTES);
        tis_write(machine, 0, REG_CTRL_START, width, START_GO);
        assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
    }
    assert_int_equal(machine->tpm->submits, 4);
}

static void test_chunks_need_a_locality(void **state)
{
    TISMachine *machine = *state;

    assemble_half(machine, 0);
    crb_request(machine, 0);
    assert_begins_anew(machine, 0);
}

static void test_without_chunks_only_start_means_anything(void **state)
{
    TISMachine *machine = crb_machine_prepare();
    uint8_t command[BUFFER_BYTES];

    (void)state;
    tis_machine_plug(machine);
    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    crb_request(machine, 0);
    crb_put(machine, 0, command, sizeof(command));
    for (uint32_t value = 2; value < 256; value++) {
        control(machine, value);
    }
    assert_int_equal(machine->tpm->submits, 0);
    crb_assert_buffer(machine, 0, command, sizeof(command));
    tis_machine_free(machine);
}

/* ---- pieces of a response ---- */

static void test_retry_gives_the_response_from_its_beginning(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    fake_backend_respond_with_size(machine->tpm, 8192);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    for (unsigned read = 0; read < 3; read++) {
        for (unsigned i = 0; i < read; i++) {
            next_chunk(machine);
        }
        crb_put(machine, 0, "scribbled", 9);
        control(machine, START_RETRY);
        assert_int_equal(tis_read(machine, 0, REG_CTRL_START, 4), 0);
        crb_assert_chunks(machine, 0, machine->tpm->response, 8192);
        control(machine, START_RETRY);
    }
    assert_int_equal(machine->tpm->submits, 1);
}

static void test_next_command_in_pieces_may_follow_a_response_that_was_read(void **state)
{
    TISMachine *machine = *state;
    uint8_t command[CHUNK_BYTES];

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    fake_backend_respond_with_size(machine->tpm, 7000);
    crb_request(machine, 0);
    for (unsigned i = 0; i < 3; i++) {
        crb_start_chunks(machine, 0, command, sizeof(command));
        assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
        crb_assert_chunks(machine, 0, machine->tpm->response, 7000);
    }
}

static void test_start_ends_a_response_that_was_not_read(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    read_half(machine, 0);
    crb_start(machine, 0, command_long_2_0, sizeof(command_long_2_0));
    assert_true(fake_backend_has_command(machine->tpm, command_long_2_0, sizeof(command_long_2_0)));
    crb_assert_chunks(machine, 0, machine->tpm->response, 10);
}

/* What is in the buffer does not tell: on a page the device could not see it being written. */
static void test_next_chunk_is_the_responses_until_it_was_read_or_dropped(void **state)
{
    TISMachine *machine = *state;
    uint8_t command[5000];

    crb_request(machine, 0);
    read_half(machine, 0);
    fake_backend_respond_with_size(machine->tpm, 5000);
    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    crb_put(machine, 0, command, BUFFER_BYTES);
    next_chunk(machine);
    crb_assert_buffer(machine, 0, machine->tpm->response + BUFFER_BYTES, 5000 - BUFFER_BYTES);
    read_half(machine, 0);
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
    crb_start_chunks(machine, 0, command, sizeof(command));
    assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
}

/* ---- what ends both ---- */

static void do_cmd_ready(TISMachine *machine)
{
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
}

static void do_go_idle(TISMachine *machine)
{
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_GO_IDLE);
}

static void do_cancel(TISMachine *machine)
{
    tis_write(machine, 0, REG_CTRL_CANCEL, 4, 1);
}

static void do_relinquish(TISMachine *machine)
{
    crb_loc(machine, 0, LOC_RELINQUISH);
    crb_request(machine, 0);
}

static void do_reset(TISMachine *machine)
{
    tpmdev_device_reset(machine->device);
    crb_request(machine, 0);
}

static void test_cmd_ready_go_idle_cancel_relinquish_and_reset_begin_anew(void **state)
{
    static void (*const acts[])(TISMachine *) = { do_cmd_ready, do_go_idle, do_cancel,
                                                  do_relinquish, do_reset };
    TISMachine *machine = *state;

    crb_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(acts); i++) {
        assemble_half(machine, 0);
        acts[i](machine);
        assert_begins_anew(machine, 0);
        read_half(machine, 0);
        acts[i](machine);
        assert_begins_anew(machine, 0);
    }
    assert_int_equal(machine->tpm->cancels, 0);
}

static TISMachine *with_localities(void)
{
    TISMachine *machine = crb_machine_prepare_chunk();

    machine->config.localities = true;
    tis_machine_plug(machine);
    return machine;
}

static void test_next_locality_finds_nothing_of_the_last_one(void **state)
{
    TISMachine *machine = with_localities();

    (void)state;
    assert_int_equal(tis_read(machine, 3, REG_INTF_ID, 4), 0x00025D11);
    for (unsigned seize = 0; seize < 2; seize++) {
        for (unsigned reads = 0; reads < 2; reads++) {
            crb_request(machine, 1);
            (reads ? read_half : assemble_half)(machine, 1);
            if (seize) {
                crb_loc(machine, 3, LOC_SEIZE);
            } else {
                crb_loc(machine, 1, LOC_RELINQUISH);
                crb_request(machine, 3);
            }
            crb_assert_buffer(machine, 3, NULL, 0);
            assert_begins_anew(machine, 3);
            crb_loc(machine, 3, LOC_RELINQUISH);
        }
    }
    tis_machine_free(machine);
}

static void test_locality_without_the_device_moves_no_chunks(void **state)
{
    TISMachine *machine = with_localities();
    uint8_t command[5000];

    (void)state;
    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    fake_backend_respond_with_size(machine->tpm, 5000);
    crb_request(machine, 2);
    crb_put(machine, 2, command, BUFFER_BYTES);
    tis_write(machine, 4, REG_CTRL_START, 4, START_NEXT);
    tis_write(machine, 2, REG_CTRL_START, 4, START_NEXT);
    tis_write(machine, 4, REG_CTRL_START, 4, START_NEXT);
    tis_write(machine, 0, REG_CTRL_CANCEL, 4, 1);
    crb_start(machine, 2, command + BUFFER_BYTES, sizeof(command) - BUFFER_BYTES);
    assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
    tis_write(machine, 4, REG_CTRL_START, 4, START_NEXT);
    tis_write(machine, 1, REG_CTRL_START, 4, START_RETRY);
    crb_assert_chunks(machine, 2, machine->tpm->response, 5000);
    tis_machine_free(machine);
}

static void test_seize_during_execution_drops_the_response_and_all_its_pieces(void **state)
{
    TISMachine *machine = crb_machine_prepare_chunk();

    (void)state;
    machine->config.localities = true;
    machine->config.completion_window_ns = 0;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    fake_backend_respond_with_size(machine->tpm, 8000);
    tis_machine_plug(machine);
    crb_request(machine, 0);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    crb_loc(machine, 2, LOC_SEIZE);
    fake_backend_answer(machine->tpm);
    crb_assert_buffer(machine, 2, NULL, 0);
    machine->tpm->submit_when = FAKE_AT_ONCE;
    fake_backend_respond_with_size(machine->tpm, 10);
    assert_begins_anew(machine, 2);
    tis_machine_free(machine);
}

static void test_interrupt_is_of_the_command_not_of_its_pieces(void **state)
{
    TISMachine *machine = crb_machine_prepare_chunk();
    uint8_t command[CHUNK_BYTES];

    (void)state;
    machine->config.interrupts = true;
    tis_machine_plug(machine);
    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    fake_backend_respond_with_size(machine->tpm, 8192);
    crb_request(machine, 0);
    tis_write(machine, 0, REG_CRB_ENABLE, 4, CRB_INT_ALL);
    crb_put(machine, 0, command, BUFFER_BYTES);
    next_chunk(machine);
    assert_int_equal(fake_host_irqs(&machine->host), 0);
    do_cmd_ready(machine);
    tis_write(machine, 0, REG_CRB_INT_STS, 4, CRB_CMD_READY_DONE);
    crb_start_chunks(machine, 0, command, sizeof(command));
    assert_int_equal(tis_read(machine, 0, REG_CRB_INT_STS, 4), CRB_START_CLEARED);
    tis_write(machine, 0, REG_CRB_INT_STS, 4, CRB_START_CLEARED);
    crb_assert_chunks(machine, 0, machine->tpm->response, 8192);
    assert_int_equal(tis_read(machine, 0, REG_CRB_INT_STS, 4), 0);
    tis_machine_free(machine);
}

/* ---- through a page ---- */

static void test_with_a_page_the_chunks_are_of_4096_bytes(void **state)
{
    static const size_t paged[] = { 10, 3968, 4095, 4096, 4097, 8191, 8192 };
    TISMachine *machine = crb_machine_prepare_chunk();
    uint8_t command[CHUNK_BYTES];
    uint8_t got[2 * PAGE_BYTES];

    (void)state;
    machine->config.buffer_address = PAGE_ADDRESS;
    tis_machine_plug(machine);
    uint8_t *page = tpmdev_device_get_page(machine->device);

    assert_int_equal(tis_read(machine, 0, REG_CMD_SIZE, 4), 0x1000);
    crb_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(paged); i++) {
        size_t size = paged[i];
        size_t first = MIN(size, PAGE_BYTES);

        tis_make_command(TPM_VERSION_2_0, command, size);
        fake_backend_respond_with_size(machine->tpm, size);
        memcpy(page, command, first);
        if (size > first) {
            next_chunk(machine);
            memset(page, 0xEE, PAGE_BYTES);
            memcpy(page, command + first, size - first);
        }
        crb_go(machine, 0);
        assert_true(fake_backend_has_command(machine->tpm, command, size));
        memcpy(got, page, PAGE_BYTES);
        if (size > first) {
            next_chunk(machine);
            memcpy(got + PAGE_BYTES, page, PAGE_BYTES);
        } else {
            memset(got + PAGE_BYTES, 0, PAGE_BYTES);
        }
        assert_memory_equal(got, machine->tpm->response, size);
        for (size_t at = size; at < sizeof(got); at++) {
            assert_int_equal(got[at], 0);
        }
    }
    tis_machine_free(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, crb_setup_chunk, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_intf_id_bit_10_tells_of_chunks),
        TEST(test_tpm_is_told_all_it_takes),
        TEST(test_command_of_every_size_reaches_the_tpm_whole),
        TEST(test_response_of_every_size_reaches_the_guest_whole),
        TEST(test_size_of_8193_and_more_is_answered_142),
        TEST(test_first_chunk_of_a_size_below_10_is_answered_142),
        cmocka_unit_test(test_what_the_tpm_takes_is_the_limit),
        TEST(test_response_larger_than_the_tpm_says_is_a_failure),
        TEST(test_command_that_lacks_a_piece_is_answered_142),
        TEST(test_pieces_beyond_the_size_are_not_looked_at),
        TEST(test_piece_that_was_taken_can_be_overwritten),
        TEST(test_ctrl_start_takes_any_width_at_lane_0_alone),
        TEST(test_chunks_need_a_locality),
        cmocka_unit_test(test_without_chunks_only_start_means_anything),
        TEST(test_retry_gives_the_response_from_its_beginning),
        TEST(test_next_command_in_pieces_may_follow_a_response_that_was_read),
        TEST(test_start_ends_a_response_that_was_not_read),
        TEST(test_next_chunk_is_the_responses_until_it_was_read_or_dropped),
        TEST(test_cmd_ready_go_idle_cancel_relinquish_and_reset_begin_anew),
        cmocka_unit_test(test_next_locality_finds_nothing_of_the_last_one),
        cmocka_unit_test(test_locality_without_the_device_moves_no_chunks),
        cmocka_unit_test(test_seize_during_execution_drops_the_response_and_all_its_pieces),
        cmocka_unit_test(test_interrupt_is_of_the_command_not_of_its_pieces),
        cmocka_unit_test(test_with_a_page_the_chunks_are_of_4096_bytes),
    };

    return cmocka_run_group_tests_name("crb-chunk", tests, NULL, NULL);
}
