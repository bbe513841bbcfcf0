/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The request path (hw/tpm/request.c) from tpmGo to the response: whenever the TPM answers and
 * whatever it answers, whatever the guest sends, and with a cancellation, a reset or a failure
 * at any moment in between. What the host sees of it is in test-device-life.c.
 */
#include "made-tests.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t canceled_2_0[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0x09 };

/* A machine whose TPM answers, and is cancelled, only when it is told to. */
static TISMachine *told_machine(TPMVersion version)
{
    TISMachine *machine = tis_machine_prepare(version, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    machine->config.completion_window_ns = 0;
    return machine;
}

static int setup_told(void **state)
{
    TISMachine *machine = told_machine(TPM_VERSION_2_0);

    tis_machine_plug(machine);
    tis_request(machine, 0);
    *state = machine;
    return 0;
}

/* The same, and the start, too, has to be told. */
static int setup_starting(void **state)
{
    TISMachine *machine = told_machine(TPM_VERSION_2_0);

    machine->tpm->start_when = FAKE_WHEN_TOLD;
    tis_machine_plug(machine);
    tis_request(machine, 0);
    *state = machine;
    return 0;
}

static void go(TISMachine *machine)
{
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
}

/* After a reset, say: the device answers a command as ever. */
static void assert_usable(TISMachine *machine)
{
    machine->tpm->start_when = FAKE_AT_ONCE;
    machine->tpm->submit_when = FAKE_AT_ONCE;
    fake_backend_respond_with_size(machine->tpm, 42);
    tis_request(machine, 0);
    go(machine);
    tis_assert_response(machine, 0, machine->tpm->response, 42);
}

/* ---- whenever the TPM answers ---- */

typedef struct Way {
    TPMVersion version;
    FakeKind kind;
    FakeWhen start_when;
    FakeWhen submit_when;
    bool context;
} Way;

static void run_way(void **state)
{
    const Way *way = *state;
    TISMachine *machine = tis_machine_prepare(way->version, way->kind, TPM_BUFFER_SIZE_COMMON);
    uint8_t command[64];

    if (way->context) {
        fake_host_use_context(&machine->host);
    }
    machine->tpm->start_when = way->start_when;
    machine->tpm->submit_when = way->submit_when;
    machine->tpm->polls_needed = 3;
    tis_machine_plug(machine);
    for (size_t size = TPM_HEADER_SIZE; size < 30; size++) {
        fake_backend_respond_with_size(machine->tpm, 3 * size);
        tis_make_command(way->version, command, size);
        tis_request(machine, 0);
        tis_start(machine, 0, command, size);
        tis_wait_response(machine, 0);
        assert_true(fake_backend_has_command(machine->tpm, command, size));
        tis_assert_response(machine, 0, machine->tpm->response, 3 * size);
        tis_sts_set(machine, 0, STS_READY);
        tis_access_set(machine, 0, ACCESS_RELINQUISH);
    }
    assert_int_equal(machine->tpm->submits, 20);
    assert_int_equal(tis_statistics(machine).commands, 20);
    tis_machine_free(machine);
}

static void test_command_waits_until_the_tpm_has_started(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(tis_sts(machine, 0), 0x040FF480);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->submits, 1);
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
}

static void test_start_is_told_the_buffer_size(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(machine->tpm->starts, 1);
    assert_int_equal(machine->tpm->start_buffer_size, 4096);
}

/* ---- commands that no TPM would take ---- */

typedef struct BadCommand {
    TPMVersion version;
    uint8_t command[14];
    size_t size;
    uint8_t response[10];
} BadCommand;

/* clang-format off */
static const BadCommand bad_commands[] = {
    /* 2.0: tags that are none, the 1.2 ones among them */
    { TPM_VERSION_2_0, { 0x00, 0x00, 0, 0, 0, 10 }, 10, { 0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0x84 } },
    { TPM_VERSION_2_0, { 0x00, 0xC1, 0, 0, 0, 10 }, 10, { 0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0x84 } },
    { TPM_VERSION_2_0, { 0x80, 0x00, 0, 0, 0, 10 }, 10, { 0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0x84 } },
    { TPM_VERSION_2_0, { 0x80, 0x03, 0, 0, 0, 10 }, 10, { 0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0x84 } },
    { TPM_VERSION_2_0, { 0x00, 0x08, 0, 0, 0, 14 }, 14, { 0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0x84 } },
    /* 2.0: shorter than a header */
    { TPM_VERSION_2_0, { 0x80, 0x01, 0, 0, 0, 9 }, 9, { 0x80, 1, 0, 0, 0, 10, 0, 0, 0x01, 0x42 } },
    { TPM_VERSION_2_0, { 0x00, 0x00, 0, 0, 0, 6 }, 6, { 0x80, 1, 0, 0, 0, 10, 0, 0, 0x01, 0x42 } },
    /* 1.2 likewise */
    { TPM_VERSION_1_2, { 0x00, 0x00, 0, 0, 0, 10 }, 10, { 0, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0x1E } },
    { TPM_VERSION_1_2, { 0x00, 0xC0, 0, 0, 0, 10 }, 10, { 0, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0x1E } },
    { TPM_VERSION_1_2, { 0x00, 0xC4, 0, 0, 0, 10 }, 10, { 0, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0x1E } },
    { TPM_VERSION_1_2, { 0x80, 0x01, 0, 0, 0, 10 }, 10, { 0, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0x1E } },
    { TPM_VERSION_1_2, { 0x00, 0xC1, 0, 0, 0, 9 }, 9, { 0, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0x19 } },
    { TPM_VERSION_1_2, { 0x00, 0xC1, 0, 0, 0, 0 }, 6, { 0, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0x19 } },
};
/* clang-format on */

static void test_malformed_command_is_answered_here_as_its_tpm_would(void **state)
{
    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_commands); i++) {
        const BadCommand *bad = &bad_commands[i];
        TISMachine *machine = tis_machine_new(bad->version);

        tis_request(machine, 0);
        tis_start(machine, 0, bad->command, bad->size);
        tis_assert_response(machine, 0, bad->response, sizeof(bad->response));
        assert_int_equal(machine->tpm->submits, 0);
        assert_int_equal(fake_host_guest_errors(&machine->host), 1);
        assert_int_equal(tis_statistics(machine).commands, 1);
        assert_int_equal(tis_statistics(machine).rejected_commands, 1);
        assert_int_equal(tis_statistics(machine).failures, 0);
        tis_machine_free(machine);
    }
}

static void test_every_tag_of_its_version_reaches_the_tpm(void **state)
{
    static const uint8_t tags[][2] = {
        { 0x80, 1 }, { 0x80, 2 }, { 0, 0xC1 }, { 0, 0xC2 }, { 0, 0xC3 }
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(tags); i++) {
        TISMachine *machine = tis_machine_new(i < 2 ? TPM_VERSION_2_0 : TPM_VERSION_1_2);
        uint8_t command[10] = { tags[i][0], tags[i][1], 0, 0, 0, 10 };

        tis_request(machine, 0);
        tis_start(machine, 0, command, sizeof(command));
        assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
        tis_machine_free(machine);
    }
}

static void test_malformed_command_is_answered_while_the_tpm_starts(void **state)
{
    TISMachine *machine = *state;
    static const uint8_t bad[10] = { 0x80, 0x01, 0, 0, 0, 9 };

    tis_start(machine, 0, bad, 9);
    assert_true(tis_has_response(machine, 0));
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->submits, 0);
}

/* ---- responses that are none ---- */

typedef struct BadResponse {
    size_t size;  /* bytes given */
    size_t claim; /* what the size field says */
} BadResponse;

static const BadResponse bad_responses[] = {
    { 0, 0 },    { 1, 0 },       { 5, 0 },       { 6, 6 },       { 9, 9 },   { 10, 0 },
    { 10, 9 },   { 10, 11 },     { 10, 0xFFFF }, { 11, 10 },     { 12, 13 }, { 4096, 4095 },
    { 4096, 0 }, { 4097, 4096 }, { 4097, 4097 }, { 8192, 8192 },
};

static void assert_bad_responses_fail(TPMVersion version, const uint8_t *failure)
{
    TISMachine *machine = tis_machine_new(version);
    uint8_t response[8192] = { 0x80, 0x01 };
    uint8_t command[12];

    tis_make_command(version, command, sizeof(command));
    tis_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_responses); i++) {
        response[4] = (uint8_t)(bad_responses[i].claim >> 8);
        response[5] = (uint8_t)bad_responses[i].claim;
        fake_backend_respond(machine->tpm, response, bad_responses[i].size);
        tis_start(machine, 0, command, sizeof(command));
        tis_assert_response(machine, 0, failure, 10);
        assert_int_equal(tis_statistics(machine).failures, i + 1);
    }
    /* the device is none the worse for it */
    fake_backend_respond_with_size(machine->tpm, 20);
    tis_start(machine, 0, command, sizeof(command));
    tis_assert_response(machine, 0, machine->tpm->response, 20);
    assert_int_equal(tis_statistics(machine).failures, G_N_ELEMENTS(bad_responses));
    tis_machine_free(machine);
}

static void test_malformed_response_becomes_the_failure_of_2_0(void **state)
{
    (void)state;
    assert_bad_responses_fail(TPM_VERSION_2_0, failure_2_0);
}

static void test_malformed_response_becomes_the_failure_of_1_2(void **state)
{
    (void)state;
    assert_bad_responses_fail(TPM_VERSION_1_2, failure_1_2);
}

static void test_second_and_unasked_answers_are_dropped(void **state)
{
    TISMachine *machine = *state;

    fake_backend_complete_again(machine->tpm);
    tpmdev_backend_started(machine->tpm->backend);
    go(machine);
    tpmdev_backend_started(machine->tpm->backend);
    fake_backend_answer(machine->tpm);
    fake_backend_respond_with_size(machine->tpm, 99);
    fake_backend_complete_again(machine->tpm);
    assert_int_equal(tis_sts(machine, 0), 0x04000A90);
    tis_sts_set(machine, 0, STS_READY);
    fake_backend_complete_again(machine->tpm);
    assert_int_equal(tis_sts(machine, 0), 0x04100040);
}

/* ---- cancellation, in each state of a request ---- */

static void test_cancel_of_a_waiting_command_keeps_it_from_the_tpm(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    tis_sts_set(machine, 0, STS_CANCEL);
    tis_assert_response(machine, 0, canceled_2_0, sizeof(canceled_2_0));
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(machine->tpm->cancels, 0);
    assert_int_equal(tis_statistics(machine).cancels, 1);
    assert_int_equal(tis_statistics(machine).rejected_commands, 0);
    assert_usable(machine);
}

/* TPM 1.2 has no commandCancel; it aborts by commandReady, and nobody sees the answer. */
static void test_abort_of_a_waiting_command_of_1_2_keeps_it_from_the_tpm(void **state)
{
    TISMachine *machine = told_machine(TPM_VERSION_1_2);

    (void)state;
    machine->tpm->start_when = FAKE_WHEN_TOLD;
    tis_machine_plug(machine);
    tis_request(machine, 0);
    tis_start(machine, 0, command_1_2, sizeof(command_1_2));
    tis_sts_set(machine, 0, STS_READY);
    assert_int_equal(tis_sts(machine, 0), 0x00100040);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->submits, 0);
    tis_machine_free(machine);
}

static void test_cancel_of_a_running_command_is_passed_to_the_tpm(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    tis_sts_set(machine, 0, STS_CANCEL);
    assert_int_equal(machine->tpm->cancels, 1);
    assert_false(tis_has_response(machine, 0));
    /* it ends with what the TPM says: its response, or that it was cancelled */
    fake_backend_respond(machine->tpm, canceled_2_0, sizeof(canceled_2_0));
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 0, canceled_2_0, sizeof(canceled_2_0));
    assert_int_equal(tis_statistics(machine).cancels, 1);
    assert_usable(machine);
}

static void test_cancel_may_be_answered_at_once(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->cancel_when = FAKE_AT_ONCE;
    go(machine);
    tis_sts_set(machine, 0, STS_CANCEL);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
}

static void test_cancel_does_nothing_to_a_tpm_that_cannot(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_BARE, TPM_BUFFER_SIZE_COMMON);

    (void)state;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    tis_machine_plug(machine);
    tis_request(machine, 3);
    tis_start(machine, 3, command_2_0, sizeof(command_2_0));
    tis_sts_set(machine, 3, STS_CANCEL | STS_RESET_ESTABLISHED);
    assert_false(tis_has_response(machine, 3));
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 3, machine->tpm->response, 10);
    tis_machine_free(machine);
}

static TISMachine *machine_of_callback;

static void cancel_in_callback(FakeHost *host)
{
    (void)host;
    tis_sts_set(machine_of_callback, 0, STS_CANCEL);
}

static void test_cancel_ends_a_wait_for_the_response(void **state)
{
    TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);

    (void)state;
    machine_of_callback = machine;
    fake_host_set_clock(&machine->host, 0, 1);
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_request(machine, 0);
    tis_send(machine, 0, command_2_0, sizeof(command_2_0));
    /* another vCPU, at the moment this one looks at the clock */
    machine->host.on_clock = cancel_in_callback;
    tis_sts_set(machine, 0, STS_GO);
    assert_true(machine->tpm->linger);
    assert_int_equal(machine->tpm->polls, 1);
    assert_int_equal(machine->tpm->linger_ends, 1);
    assert_int_equal(machine->tpm->cancels, 1);
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
    tis_machine_free(machine);
}

/* ---- reset, in each state of a request ---- */

static void test_reset_drops_a_waiting_command(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    tpmdev_device_reset(machine->device);
    fake_backend_answer(machine->tpm);
    /* the start that was under way does not count: the TPM is power-cycled again */
    assert_int_equal(machine->tpm->starts, 2);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(tis_access(machine, 0), ACCESS_IDLE);
    assert_usable(machine);
}

static void test_reset_drops_the_response_of_a_running_command(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    tpmdev_device_reset(machine->device);
    assert_int_equal(machine->tpm->cancels, 1);
    assert_int_equal(machine->tpm->starts, 1);
    assert_int_equal(tis_statistics(machine).cancels, 1);
    /* the next command waits for the TPM, not for this response */
    tis_request(machine, 0);
    tis_start(machine, 0, command_long_2_0, sizeof(command_long_2_0));
    fake_backend_respond_with_size(machine->tpm, 99);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->starts, 2);
    assert_int_equal(machine->tpm->submits, 2);
    assert_true(fake_backend_has_command(machine->tpm, command_long_2_0, sizeof(command_long_2_0)));
    assert_false(tis_has_response(machine, 0));
    fake_backend_respond_with_size(machine->tpm, 33);
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 0, machine->tpm->response, 33);
}

static void test_reset_ends_a_command_whose_cancellation_is_answered_at_once(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->cancel_when = FAKE_AT_ONCE;
    go(machine);
    tpmdev_device_reset(machine->device);
    assert_int_equal(machine->tpm->starts, 2);
    assert_usable(machine);
}

static void reset_in_callback(FakeHost *host)
{
    (void)host;
    tpmdev_device_reset(machine_of_callback->device);
}

static void test_reset_ends_a_wait_for_the_response(void **state)
{
    TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);

    (void)state;
    machine_of_callback = machine;
    fake_host_set_clock(&machine->host, 0, 1);
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_request(machine, 0);
    tis_send(machine, 0, command_2_0, sizeof(command_2_0));
    machine->host.on_clock = reset_in_callback;
    tis_sts_set(machine, 0, STS_GO);
    assert_int_equal(machine->tpm->linger_ends, 1);
    assert_int_equal(machine->tpm->cancels, 1);
    assert_int_equal(tis_access(machine, 0), ACCESS_IDLE);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->starts, 2);
    assert_int_equal(tis_statistics(machine).inline_completions, 0);
    assert_usable(machine);
    tis_machine_free(machine);
}

static void test_reset_while_a_reset_waits_for_the_tpm_adds_nothing(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    for (unsigned i = 0; i < 5; i++) {
        tpmdev_device_reset(machine->device);
    }
    assert_int_equal(machine->tpm->cancels, 1);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->starts, 2);
    assert_int_equal(tis_statistics(machine).resets, 6);
    assert_usable(machine);
}

static void test_resets_while_the_tpm_starts_start_it_once_more(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 0; i < 5; i++) {
        tpmdev_device_reset(machine->device);
    }
    assert_int_equal(machine->tpm->starts, 1);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->starts, 2);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->starts, 2);
    assert_usable(machine);
}

static void test_each_reset_of_an_idle_device_starts_the_tpm(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(machine->tpm->starts, i + 1);
        tpmdev_device_reset(machine->device);
    }
    assert_usable(machine);
}

static void test_cancellation_of_a_reset_does_not_hit_the_next_command(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_BY_THREAD;
    for (unsigned i = 0; i < 50; i++) {
        unsigned cancels;

        tis_request(machine, 0);
        go(machine);
        tpmdev_device_reset(machine->device);
        cancels = machine->tpm->cancels;
        tis_request(machine, 0);
        go(machine);
        tis_wait_response(machine, 0);
        assert_int_equal(machine->tpm->cancels, cancels);
        tis_assert_response(machine, 0, machine->tpm->response, 10);
        tpmdev_device_reset(machine->device);
    }
}

static void test_establishment_asked_for_before_a_reset_is_forgotten(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 3);
    tis_start(machine, 3, command_2_0, sizeof(command_2_0));
    tis_sts_set(machine, 3, STS_RESET_ESTABLISHED);
    tpmdev_device_reset(machine->device);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->established_resets, 0);
}

/* ---- a TPM that fails ---- */

static void test_failure_of_an_idle_tpm_is_told_and_ends_with_the_next_reset(void **state)
{
    TISMachine *machine = *state;

    fake_backend_fail(machine->tpm);
    assert_int_equal(fake_host_backend_errors(&machine->host), 1);
    for (unsigned i = 0; i < 3; i++) {
        go(machine);
        tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
    }
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(tis_statistics(machine).failures, 3);
    assert_string_equal(machine->host.backend_error,
                        "TPM backend 'fake' has failed; the command was not sent");
    tpmdev_device_reset(machine->device);
    assert_usable(machine);
}

static void test_failure_while_running_answers_the_command(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    fake_backend_fail(machine->tpm);
    tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
    assert_int_equal(tis_statistics(machine).failures, 1);
    fake_backend_complete_again(machine->tpm);
    assert_false(tis_has_response(machine, 0));
    tpmdev_device_reset(machine->device);
    assert_usable(machine);
}

static void test_failure_while_starting_answers_the_waiting_command(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    machine->tpm->start_fails = true;
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
    assert_int_equal(machine->tpm->submits, 0);
    machine->tpm->start_fails = false;
    machine->tpm->start_when = FAKE_AT_ONCE;
    tpmdev_device_reset(machine->device);
    assert_usable(machine);
}

static void test_failure_after_a_reset_does_not_keep_the_tpm_from_starting(void **state)
{
    TISMachine *machine = *state;

    go(machine);
    tpmdev_device_reset(machine->device);
    fake_backend_fail(machine->tpm);
    assert_int_equal(machine->tpm->starts, 2);
    assert_usable(machine);
}

/* Whichever answer of the TPM is a failure, the device lives on and a reset brings it back. */
static void test_failure_of_any_answer_is_survived(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 8; n++) {
        TISMachine *machine =
            tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);

        machine->tpm->fail_at = n;
        tis_machine_plug(machine);
        for (unsigned i = 0; i < 3; i++) {
            tis_request(machine, 0);
            go(machine);
            assert_true(tis_has_response(machine, 0));
            go(machine);
            assert_true(tis_has_response(machine, 0));
            tpmdev_device_reset(machine->device);
        }
        tpmdev_device_reset(machine->device);
        assert_usable(machine);
        tis_machine_free(machine);
    }
}

/* ---- all of them ---- */

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup_told, tis_teardown)
#define TEST_STARTING(function)                                                                    \
    cmocka_unit_test_setup_teardown(function, setup_starting, tis_teardown)

static const struct CMUnitTest named_tests[] = {
    TEST_STARTING(test_command_waits_until_the_tpm_has_started),
    TEST(test_start_is_told_the_buffer_size),
    cmocka_unit_test(test_malformed_command_is_answered_here_as_its_tpm_would),
    cmocka_unit_test(test_every_tag_of_its_version_reaches_the_tpm),
    TEST_STARTING(test_malformed_command_is_answered_while_the_tpm_starts),
    cmocka_unit_test(test_malformed_response_becomes_the_failure_of_2_0),
    cmocka_unit_test(test_malformed_response_becomes_the_failure_of_1_2),
    TEST(test_second_and_unasked_answers_are_dropped),
    TEST_STARTING(test_cancel_of_a_waiting_command_keeps_it_from_the_tpm),
    cmocka_unit_test(test_abort_of_a_waiting_command_of_1_2_keeps_it_from_the_tpm),
    TEST(test_cancel_of_a_running_command_is_passed_to_the_tpm),
    TEST(test_cancel_may_be_answered_at_once),
    cmocka_unit_test(test_cancel_does_nothing_to_a_tpm_that_cannot),
    cmocka_unit_test(test_cancel_ends_a_wait_for_the_response),
    TEST_STARTING(test_reset_drops_a_waiting_command),
    TEST(test_reset_drops_the_response_of_a_running_command),
    TEST(test_reset_ends_a_command_whose_cancellation_is_answered_at_once),
    cmocka_unit_test(test_reset_ends_a_wait_for_the_response),
    TEST(test_reset_while_a_reset_waits_for_the_tpm_adds_nothing),
    TEST_STARTING(test_resets_while_the_tpm_starts_start_it_once_more),
    TEST(test_each_reset_of_an_idle_device_starts_the_tpm),
    TEST(test_cancellation_of_a_reset_does_not_hit_the_next_command),
    TEST(test_establishment_asked_for_before_a_reset_is_forgotten),
    TEST(test_failure_of_an_idle_tpm_is_told_and_ends_with_the_next_reset),
    TEST(test_failure_while_running_answers_the_command),
    TEST_STARTING(test_failure_while_starting_answers_the_waiting_command),
    TEST(test_failure_after_a_reset_does_not_keep_the_tpm_from_starting),
    cmocka_unit_test(test_failure_of_any_answer_is_survived),
};

static const char *const when_names[] = { "at_once", "when_told", "in_a_poll", "by_thread" };

static void add_way(MadeTests *tests, const Way *way)
{
    made_tests_add(tests, run_way, way, sizeof(*way), "test_%s_tpm_of_%s_started_%s_answers_%s%s",
                   way->kind == FAKE_FULL ? "full" : "bare",
                   way->version == TPM_VERSION_1_2 ? "1_2" : "2_0", when_names[way->start_when],
                   when_names[way->submit_when], way->context ? "_on_the_hosts_context" : "");
}

int main(void)
{
    static const FakeWhen starts[] = { FAKE_AT_ONCE, FAKE_WHEN_TOLD, FAKE_BY_THREAD };
    static const FakeWhen submits[] = { FAKE_AT_ONCE, FAKE_IN_POLL, FAKE_WHEN_TOLD,
                                        FAKE_BY_THREAD };
    MadeTests *tests = made_tests_new();

    made_tests_add_named(tests, named_tests, G_N_ELEMENTS(named_tests));
    for (unsigned i = 0; i < 2 * 2 * 2 * G_N_ELEMENTS(starts) * G_N_ELEMENTS(submits); i++) {
        unsigned whens = i / 8;
        Way way = { i & 1 ? TPM_VERSION_1_2 : TPM_VERSION_2_0, i & 2 ? FAKE_BARE : FAKE_FULL,
                    starts[whens % G_N_ELEMENTS(starts)], submits[whens / G_N_ELEMENTS(starts)],
                    i & 4 };

        /* without poll() nothing is answered there */
        if (way.kind == FAKE_FULL || way.submit_when != FAKE_IN_POLL) {
            add_way(tests, &way);
        }
    }
    return made_tests_run(tests, "request");
}
