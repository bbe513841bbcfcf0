/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tpm-spapr device (hw/tpm/spapr.c) reads from guest memory and writes there: never more
 * than the guest gave, nothing of it twice; commands and responses of every size at the boundary
 * of every buffer; and copies that fail.
 */
#include "spapr-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define END (MEMORY + MEMORY_SIZE) /* of what is mapped */

/* What the device answers in the TPM's place. */
static const uint8_t command_size_2_0[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x42 };
static const uint8_t value_2_0[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0, 0x84 };
static const uint8_t bad_param_size_1_2[10] = { 0x00, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0x19 };
static const uint8_t badtag_1_2[10] = { 0x00, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0x1E };

/* A command of 2.0 that says it has `field` bytes, the rest of the buffer counting up. */
static void make_command(uint8_t *command, size_t size, uint32_t field)
{
    for (size_t i = 0; i < size; i++) {
        command[i] = (uint8_t)(i * 7);
    }
    memcpy(command, spapr_command_2_0, 10);
    for (unsigned i = 0; i < 4; i++) {
        command[2 + i] = (uint8_t)(field >> (24 - 8 * i));
    }
}

/* ---- sizes of a command ---- */

/* The guest gives `len` bytes of a command that says it has `field`. */
static void check_sizes(size_t tpm_size, uint32_t field, uint16_t len, size_t read, size_t sent)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, tpm_size);
    uint8_t command[0x1800];

    make_command(command, sizeof(command), field);
    spapr_machine_plug(machine);
    spapr_put(machine, command, sizeof(command));
    spapr_send_ok(machine, spapr_command(len, BUFFER));
    if (read > 0) {
        spapr_assert_dma(machine, 0, false, BUFFER, read);
    }
    assert_int_equal(machine->dmas, read > 0 ? 2 : 1);
    spapr_assert_dma(machine, machine->dmas - 1, true, BUFFER, 10);
    spapr_assert_last(machine, 1, ANSWER_COMMAND | ANSWER_LEN(10) | BUFFER);
    assert_int_equal(machine->tpm->submits, sent > 0);
    if (sent > 0) {
        assert_true(fake_backend_has_command(machine->tpm, command, sent));
        spapr_assert_buffer(machine, spapr_response_2_0, 10, command[10]);
    } else {
        spapr_assert_buffer(machine, command_size_2_0, 10, command[10]);
    }
    assert_int_equal(spapr_statistics(machine).rejected_commands, sent == 0);
    assert_int_equal(spapr_statistics(machine).guest_errors, sent == 0);
    spapr_machine_free(machine);
}

static void test_command_that_fills_what_was_given_is_sent(void **state)
{
    (void)state;
    check_sizes(4096, 10, 10, 10, 10);
    check_sizes(4096, 11, 11, 11, 11);
    check_sizes(4096, 4095, 4095, 4095, 4095);
    check_sizes(4096, 4096, 4096, 4096, 4096);
}

/* As QEMU, the command is as long as it says itself. */
static void test_command_shorter_than_what_was_given_is_sent_without_the_rest(void **state)
{
    (void)state;
    check_sizes(4096, 10, 11, 11, 10);
    check_sizes(4096, 12, 4096, 4096, 12);
    check_sizes(4096, 4095, 4096, 4096, 4095);
    check_sizes(4096, 12, 4097, 4096, 12);
    check_sizes(4096, 4096, 65535, 4096, 4096);
}

/* The rest of it was not given: it is neither read nor made up. */
static void test_command_longer_than_what_was_given_is_rejected(void **state)
{
    (void)state;
    check_sizes(4096, 11, 10, 10, 0);
    check_sizes(4096, 4096, 4095, 4095, 0);
    check_sizes(4096, 4096, 12, 12, 0);
    check_sizes(4096, 0xFFFFFFFF, 12, 12, 0);
    check_sizes(4096, 0x80000000, 4096, 4096, 0);
}

static void test_command_without_a_whole_header_is_rejected(void **state)
{
    (void)state;
    for (uint16_t len = 1; len < 10; len++) {
        check_sizes(4096, 12, len, len, 0);
        check_sizes(4096, len, len, len, 0);
    }
}

static void test_command_of_no_bytes_is_rejected_without_a_read(void **state)
{
    (void)state;
    check_sizes(4096, 12, 0, 0, 0);
    check_sizes(4096, 0, 0, 0, 0);
}

static void test_command_that_says_it_has_no_header_is_rejected(void **state)
{
    (void)state;
    for (uint32_t field = 0; field < 10; field++) {
        check_sizes(4096, field, 12, 12, 0);
        check_sizes(4096, field, 4096, 4096, 0);
    }
}

static void test_command_beyond_the_buffer_is_rejected(void **state)
{
    (void)state;
    check_sizes(4096, 4097, 4097, 4096, 0);
    check_sizes(4096, 4097, 4096, 4096, 0);
    check_sizes(4096, 65535, 65535, 4096, 0);
}

/* A TPM that takes less than the device could carry. */
static void test_buffer_is_no_larger_than_the_tpms(void **state)
{
    (void)state;
    check_sizes(1024, 1024, 1024, 1024, 1024);
    check_sizes(1024, 1024, 4096, 1024, 1024);
    check_sizes(1024, 1025, 1025, 1024, 0);
    check_sizes(1024, 1025, 4096, 1024, 0);
    check_sizes(128, 128, 128, 128, 128);
    check_sizes(128, 129, 129, 128, 0);
}

static void check_tag(SpaprMachine *machine, uint16_t tag, const uint8_t *answer)
{
    uint8_t command[12];

    memcpy(command, spapr_command_2_0, sizeof(command));
    command[0] = (uint8_t)(tag >> 8);
    command[1] = (uint8_t)tag;
    spapr_start(machine, command, sizeof(command));
    assert_int_equal(machine->tpm->submits, 0);
    spapr_assert_buffer(machine, answer, 10, command[10]);
}

static void test_wrong_tag_is_answered_as_a_tpm_of_that_version_does(void **state)
{
    SpaprMachine *machine = *state;
    bool is_1_2 = machine->tpm->version == TPM_VERSION_1_2;

    check_tag(machine, 0x0008, is_1_2 ? badtag_1_2 : value_2_0); /* swtpm's prefix of a locality */
    check_tag(machine, 0x00C4, is_1_2 ? badtag_1_2 : value_2_0);
    check_tag(machine, is_1_2 ? 0x8001 : 0x00C1, is_1_2 ? badtag_1_2 : value_2_0);
}

static void test_wrong_size_is_answered_in_the_shape_of_a_tpm_1_2(void **state)
{
    SpaprMachine *machine = *state;

    spapr_put(machine, spapr_command_1_2, sizeof(spapr_command_1_2));
    spapr_send_ok(machine, spapr_command(13, BUFFER));
    spapr_assert_buffer(machine, bad_param_size_1_2, 10, spapr_command_1_2[10]);
}

/* ---- sizes of a response ---- */

static void check_response(size_t tpm_size, size_t size, size_t written)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, tpm_size);

    fake_backend_respond_with_size(machine->tpm, size);
    spapr_machine_plug(machine);
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    spapr_assert_dma(machine, 1, true, BUFFER, written);
    spapr_assert_last(machine, 1, ANSWER_COMMAND | ANSWER_LEN(written) | BUFFER);
    if (written == size) {
        spapr_assert_buffer(machine, machine->tpm->response, size,
                            size < 12 ? spapr_command_2_0[size] : 0xEE);
    }
    spapr_machine_free(machine);
}

static void test_response_of_every_size_is_written_whole_and_nothing_more(void **state)
{
    (void)state;
    check_response(4096, 10, 10);
    check_response(4096, 11, 11);
    check_response(4096, 12, 12);
    check_response(4096, 13, 13);
    check_response(4096, 4095, 4095);
    check_response(4096, 4096, 4096);
    check_response(1024, 1024, 1024);
}

/* It becomes the failure of the TPM's version before it comes here. */
static void test_response_beyond_the_buffer_never_reaches_memory(void **state)
{
    (void)state;
    check_response(4096, 4097, 10);
    check_response(4096, 8192, 10);
    check_response(1024, 1025, 10);
    check_response(1024, 4096, 10);
}

/* ---- copies that fail ---- */

static void start_at(SpaprMachine *machine, size_t size, uint32_t address)
{
    if (address >= MEMORY && address + size <= END) {
        memcpy(machine->memory + (address - MEMORY), spapr_command_2_0, sizeof(spapr_command_2_0));
    }
    spapr_send_ok(machine, spapr_command(size, address));
}

static void assert_not_sent(SpaprMachine *machine, unsigned messages)
{
    spapr_assert_last(machine, messages, ANSWER_COPY_IN);
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(spapr_statistics(machine).commands, 0);
    assert_int_equal(spapr_statistics(machine).guest_errors, messages);
    assert_int_equal(machine->outside, messages);
}

static void test_command_that_cannot_be_read_is_not_sent(void **state)
{
    SpaprMachine *machine = *state;
    static const uint32_t addresses[] = { 0,          1,          MEMORY - 1, END - 11,
                                          END - 1,    END,        END + 1,    0x7FFFFFFF,
                                          0x80000000, 0xFFFFFFF4, 0xFFFFFFFF };

    for (unsigned i = 0; i < G_N_ELEMENTS(addresses); i++) {
        start_at(machine, 12, addresses[i]);
        assert_not_sent(machine, i + 1);
        spapr_assert_dma(machine, i, false, addresses[i], 12);
    }
    assert_int_equal(machine->dmas, G_N_ELEMENTS(addresses));
}

static void test_command_at_the_last_bytes_of_memory_is_sent(void **state)
{
    SpaprMachine *machine = *state;

    start_at(machine, 12, END - 12);
    assert_true(fake_backend_has_command(machine->tpm, spapr_command_2_0, 12));
    spapr_assert_last(machine, 1, ANSWER_COMMAND | ANSWER_LEN(10) | (END - 12));
    assert_int_equal(machine->outside, 0);
}

static void test_command_at_the_first_byte_of_memory_is_sent(void **state)
{
    SpaprMachine *machine = *state;

    start_at(machine, 12, MEMORY);
    assert_true(fake_backend_has_command(machine->tpm, spapr_command_2_0, 12));
    spapr_assert_last(machine, 1, ANSWER_COMMAND | ANSWER_LEN(10) | MEMORY);
}

/* QEMU sends what is left of the last command then. */
static void test_failed_copy_in_never_sends_the_last_command_again(void **state)
{
    SpaprMachine *machine = *state;

    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    start_at(machine, 12, 0);
    assert_int_equal(machine->tpm->submits, 1);
    spapr_assert_last(machine, 2, ANSWER_COPY_IN);
    assert_int_equal(machine->dmas, 3);
}

static void test_response_that_cannot_be_written_is_an_error_of_copy_out(void **state)
{
    SpaprMachine *machine = *state;

    fake_backend_respond_with_size(machine->tpm, 13);
    start_at(machine, 12, END - 12);
    assert_int_equal(machine->tpm->submits, 1);
    spapr_assert_dma(machine, 1, true, END - 12, 13);
    spapr_assert_last(machine, 1, ANSWER_COPY_OUT);
    assert_int_equal(machine->outside, 1);
    assert_int_equal(spapr_statistics(machine).guest_errors, 1);
}

static void unmap(SpaprMachine *machine)
{
    machine->mapped = 0;
}

static void test_memory_unmapped_while_the_command_runs_is_an_error_of_copy_out(void **state)
{
    SpaprMachine *machine = *state;

    machine->on_write = unmap;
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    spapr_assert_last(machine, 1, ANSWER_COPY_OUT);
}

static void test_next_command_works_after_either_failure(void **state)
{
    SpaprMachine *machine = *state;

    start_at(machine, 12, 0);
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    spapr_assert_last(machine, 2, ANSWER_COMMAND | ANSWER_LEN(10) | BUFFER);
    fake_backend_respond_with_size(machine->tpm, 13);
    start_at(machine, 12, END - 12);
    spapr_assert_last(machine, 3, ANSWER_COPY_OUT);
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    spapr_assert_last(machine, 4, ANSWER_COMMAND | ANSWER_LEN(13) | BUFFER);
}

/* A guest that changes its command while it runs changes nothing. */
static void test_command_is_read_once(void **state)
{
    SpaprMachine *machine = *state;

    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    spapr_put(machine, "", 1);
    fake_backend_answer(machine->tpm);
    assert_true(fake_backend_has_command(machine->tpm, spapr_command_2_0, 12));
    assert_int_equal(machine->dmas, 2);
    spapr_assert_buffer(machine, spapr_response_2_0, 10, 0xEE);
}

/* ---- statistics, and the completion window ---- */

static void test_commands_are_counted_once(void **state)
{
    SpaprMachine *machine = *state;

    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    assert_int_equal(spapr_statistics(machine).commands, 2);
    assert_int_equal(spapr_statistics(machine).inline_completions, 2);
    assert_int_equal(spapr_statistics(machine).guest_errors, 0);
    assert_int_equal(spapr_statistics(machine).reads, 0);
    assert_int_equal(spapr_statistics(machine).writes, 0);
}

static void test_short_command_may_be_answered_before_the_hypercall_returns(void **state)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, TPM_SPAPR_BUFFER_SIZE);

    (void)state;
    machine->tpm->submit_when = FAKE_IN_POLL;
    machine->tpm->polls_needed = 3;
    spapr_machine_plug(machine);
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    assert_true(machine->tpm->linger);
    spapr_assert_last(machine, 1, ANSWER_COMMAND | ANSWER_LEN(10) | BUFFER);
    assert_ptr_equal(machine->message_thread, g_thread_self());
    assert_int_equal(spapr_statistics(machine).inline_completions, 1);
    spapr_machine_free(machine);
}

static void test_late_command_is_answered_after_the_window(void **state)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, TPM_SPAPR_BUFFER_SIZE);

    (void)state;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    spapr_machine_plug(machine);
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    assert_true(machine->tpm->linger);
    assert_int_equal(spapr_messages(machine), 0);
    fake_backend_answer(machine->tpm);
    spapr_assert_last(machine, 1, ANSWER_COMMAND | ANSWER_LEN(10) | BUFFER);
    assert_int_equal(spapr_statistics(machine).inline_completions, 0);
    spapr_machine_free(machine);
}

#define TEST_1_2(test) cmocka_unit_test_setup_teardown(test, spapr_setup_1_2, spapr_teardown)
#define TEST_2_0(test) cmocka_unit_test_setup_teardown(test, spapr_setup_2_0, spapr_teardown)
#define TOLD(test)     cmocka_unit_test_setup_teardown(test, spapr_setup_told, spapr_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_that_fills_what_was_given_is_sent),
        cmocka_unit_test(test_command_shorter_than_what_was_given_is_sent_without_the_rest),
        cmocka_unit_test(test_command_longer_than_what_was_given_is_rejected),
        cmocka_unit_test(test_command_without_a_whole_header_is_rejected),
        cmocka_unit_test(test_command_of_no_bytes_is_rejected_without_a_read),
        cmocka_unit_test(test_command_that_says_it_has_no_header_is_rejected),
        cmocka_unit_test(test_command_beyond_the_buffer_is_rejected),
        cmocka_unit_test(test_buffer_is_no_larger_than_the_tpms),
        TEST_1_2(test_wrong_tag_is_answered_as_a_tpm_of_that_version_does),
        TEST_2_0(test_wrong_tag_is_answered_as_a_tpm_of_that_version_does),
        TEST_1_2(test_wrong_size_is_answered_in_the_shape_of_a_tpm_1_2),
        cmocka_unit_test(test_response_of_every_size_is_written_whole_and_nothing_more),
        cmocka_unit_test(test_response_beyond_the_buffer_never_reaches_memory),
        TEST_2_0(test_command_that_cannot_be_read_is_not_sent),
        TEST_2_0(test_command_at_the_last_bytes_of_memory_is_sent),
        TEST_2_0(test_command_at_the_first_byte_of_memory_is_sent),
        TEST_2_0(test_failed_copy_in_never_sends_the_last_command_again),
        TEST_2_0(test_response_that_cannot_be_written_is_an_error_of_copy_out),
        TEST_2_0(test_memory_unmapped_while_the_command_runs_is_an_error_of_copy_out),
        TEST_2_0(test_next_command_works_after_either_failure),
        TOLD(test_command_is_read_once),
        TEST_2_0(test_commands_are_counted_once),
        cmocka_unit_test(test_short_command_may_be_answered_before_the_hypercall_returns),
        cmocka_unit_test(test_late_command_is_answered_after_the_window),
    };

    return cmocka_run_group_tests_name("spapr-dma", tests, NULL, NULL);
}
