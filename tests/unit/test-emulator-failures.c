/* SPDX-License-Identifier: BSD-3-Clause */
/* The `emulator` backend and peers that fail it later: in a start, in a command, in between. */
#include "emulator-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SIZE_1024 "c! 00000000 00000400 00000080 00000400"

/* ---- a start goes wrong ---- */

static void test_a_peer_that_dies_in_a_start_fails_it(void **state)
{
    static const char *const whole[] = { READY, NULL };
    const size_t first = 8; /* the start comes after SHAKE */

    (void)state;
    for (size_t n = first; n < G_N_ELEMENTS(whole) - 1; n += 2) {
        const char *script[G_N_ELEMENTS(whole) + 2] = { NULL };
        static EmulatorTest test;

        memcpy(script, whole, (n + 1) * sizeof(script[0]));
        script[n + 1] = "c close";
        emulator_test_connect(&test, script);
        emulator_test_bind(&test);
        assert_false(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
        assert_contains(test.client.start_error, "closed the ");
        emulator_test_run(&test, 0, 1, TPM2_RC_FAILURE);
        emulator_test_end(&test);
    }
}

static void test_a_tpm_that_does_not_start_may_do_so_later(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), STOP,  OK,           GET_SIZE,  SIZE_4096,
                                          STOP,          OK,    SET_SIZE,     SIZE_4096, INIT,
                                          "c! 00000101", START, AT_LOCALITY0, RESPONSE,  GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_false(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    assert_contains(test.client.start_error,
                    "refused INIT with result 101h (the TPM is in failure");
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

static void test_an_error_reply_may_be_short_or_whole(void **state)
{
    static const char *const script[] = {
        SHAKE("3fbf"), STOP,     OK,       GET_SIZE,
        "c! 0000000a", /* a word */
        STOP,          OK,       GET_SIZE, "c! 0000000a 00000000 00000000 00000000",
        STOP,          OK,       GET_SIZE, SIZE_4096,
        STOP,          OK,       SET_SIZE, SIZE_4096,
        INIT,          OK,       GET_EST,  "c! 0000000a",
        AT_LOCALITY0,  RESPONSE, GOODBYE,  NULL
    };
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
        assert_contains(test.client.start_error, "refused SET_BUFFERSIZE with result Ah");
    }
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    assert_false(test.client.established);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

static void test_a_buffer_of_another_size_fails_the_start(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), STOP,    OK,  GET_SIZE,
                                          SIZE_4096,     STOP,    OK,  "c? 00000011 00000f80",
                                          SIZE_4096,     GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_false(backend_client_start(&test.client, 0xF80));
    assert_contains(test.client.start_error, "made its buffer 4096 bytes instead of the 3968");
    emulator_test_end(&test);
}

static void test_a_buffer_too_small_for_any_tpm_fails_the_start(void **state)
{
    static const char *const script[] = {
        SHAKE("3fbf"), STOP, OK, GET_SIZE, "c! 00000000 00001000 00000000 0000007f", "c eof", NULL
    };
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_false(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    assert_contains(test.client.start_error, "at most 127 bytes; it must have 128 or more");
    emulator_test_end(&test);
}

static void test_a_command_larger_than_the_tpms_buffer_is_answered_here(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"),
                                          STOP,
                                          OK,
                                          GET_SIZE,
                                          SIZE_1024,
                                          STOP,
                                          OK,
                                          "c? 00000011 00000400",
                                          SIZE_1024,
                                          INIT,
                                          OK,
                                          GET_EST,
                                          CLEAR,
                                          AT_LOCALITY0,
                                          "d! 8001 00000401 00000000",
                                          "c eof",
                                          NULL };
    uint8_t large[1025] = { 0x80, 0x01, 0, 0, 0x04, 0x01, 0, 0, 0x01, 0x7B };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    assert_int_equal(backend_client_command(&test.client, large, sizeof(large)),
                     TPM2_RC_COMMAND_SIZE);
    emulator_test_run(&test, 0, 2, TPM2_RC_FAILURE); /* and so is a larger response */
    assert_contains(test.client.response_error, "header says 1025 bytes; it may have 10 to 1024");
    emulator_test_end(&test);
}

static void test_a_reply_that_is_too_long_fails_the_start(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), STOP, "c! 00000000 00000000", "c eof",
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_false(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    assert_contains(test.client.start_error,
                    "sent bytes on the control channel that nobody asked for");
    emulator_test_end(&test);
}

/* ---- a command goes wrong ---- */

static void test_a_response_that_is_none_fails_the_command(void **state)
{
    static const char *const bad[][3] = {
        { "d! 8001 00000009 00000000", "c eof", "header says 9 bytes" },
        { "d! 8001 00000000 00000000", "c eof", "header says 0 bytes" },
        { "d! 8001 ffffffff 00000000", "c eof", "header says 4294967295 bytes" },
        { "d! 8001 00001001 00000000", "c eof", "header says 4097 bytes; it may have 10 to 4096" },
        { "d! 8001 0000000c 00000000 00*3", "c eof", "sent more than the 12 bytes" },
        { "d! 8001 0000000c 00000000", "d close", "channel while a TPM command was under way" },
        { "d! 8001", "d close", "channel while a TPM command was under way" },
        { "d close", "c eof", "channel while a TPM command was under way" },
        { "c close", "d eof", "channel while a TPM command was under way" },
        { "c! 00", "c eof", "sent bytes on the control channel that nobody asked for" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        const char *script[] = { READY, AT_LOCALITY0, bad[i][0], bad[i][1], NULL };
        static EmulatorTest test;

        emulator_test_start(&test, script);
        emulator_test_run(&test, 0, 1, TPM2_RC_FAILURE);
        assert_contains(test.client.response_error, bad[i][2]);
        emulator_test_run(&test, 0, 2, TPM2_RC_FAILURE);
        emulator_test_end(&test);
    }
}

static void test_a_tpm_1_2_fails_in_its_own_shape(void **state)
{
    static const char *const script[] = { SET_DATAFD, OK,          PROBE_2_0, FAILURE_1_2,
                                          PROBE_1_2,  FAILURE_1_2, GET_CAPS,  CAPS("3fbf"),
                                          GET_SIZE,   SIZE_4096,   START,     SET_LOC("00"),
                                          "c close",  NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_run(&test, 0, 1, TPM12_FAIL);
    assert_int_equal(tpm_header_tag(test.client.response), TPM12_TAG_RSP);
    assert_contains(test.client.response_error, "while SET_LOCALITY was under way");
    emulator_test_end(&test);
}

static void test_bytes_nobody_asked_for_are_noticed_while_idle(void **state)
{
    static const char *const lines[][2] = {
        { "c! 00000000", "sent bytes on the control channel" },
        { "d! 8001", "sent bytes on the data channel" },
        { "c close", "closed the control channel while nothing was under way" },
        { "d close", "closed the data channel while nothing was under way" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        const char *script[] = { READY, "wait", lines[i][0], "wait", NULL };
        static EmulatorTest test;

        emulator_test_start(&test, script);
        fake_swtpm_go(test.fake);
        backend_client_wait_failed(&test.client, 1);
        assert_contains(test.client.failure, lines[i][1]);
        fake_swtpm_go(test.fake);
        emulator_test_end(&test);
    }
}

/* A stale response must not be taken for that of the next command. */
static void test_a_second_response_is_not_the_next_commands(void **state)
{
    static const char *const script[] = { READY,    AT_LOCALITY0, RESPONSE, "wait",
                                          RESPONSE, "wait",       "c eof",  NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_load(test.backend, 0, emulator_test_command, sizeof(emulator_test_command));
    tpm_backend_submit(test.backend, true); /* data is not watched from here on */
    while (emulator_test_completed(&test) == 0) {
        tpm_backend_poll(test.backend);
    }
    fake_swtpm_go(test.fake);
    assert_true(fake_swtpm_reached(test.fake, 2));
    emulator_test_run(&test, 0, 2, TPM2_RC_FAILURE);
    assert_contains(test.client.response_error,
                    "sent bytes on the data channel that nobody asked for");
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

/* ---- starts that cross something ---- */

static void expect_started(EmulatorTest *test)
{
    g_mutex_lock(&test->client.lock);
    while (test->client.started == 0) {
        g_cond_wait(&test->client.changed, &test->client.lock);
    }
    if (test->client.start_error) {
        fail_msg("%s", test->client.start_error);
    }
    g_mutex_unlock(&test->client.lock);
}

static void start_after_a_command(const char *const *script)
{
    static EmulatorTest test;

    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_unbind(&test);
    fake_swtpm_go(test.fake);
    emulator_test_bind(&test);
    assert_true(fake_swtpm_reached(test.fake, 2));
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    fake_swtpm_go(test.fake);
    expect_started(&test);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

static void test_a_start_lets_an_abandoned_command_end_first(void **state)
{
    static const char *const script[] = { SHAKE("3f9f"), START,     AT_LOCALITY0, "wait",
                                          "wait",        "c quiet", RESPONSE,     START,
                                          AT_LOCALITY0,  RESPONSE,  GOODBYE,      NULL };

    (void)state;
    start_after_a_command(script);
}

static void test_a_start_lets_a_cancelled_command_end_first(void **state)
{
    static const char *const script[] = { READY,     AT_LOCALITY0, "wait", CANCEL, "wait",
                                          "c quiet", RESPONSE,     OK,     START,  AT_LOCALITY0,
                                          RESPONSE,  GOODBYE,      NULL };

    (void)state;
    start_after_a_command(script);
}

static void test_a_start_replaces_one_that_was_left_half_way(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), STOP,         "wait",   "c quiet", OK,
                                          START,         AT_LOCALITY0, RESPONSE, GOODBYE,   NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_unbind(&test);
    emulator_test_bind(&test);
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    fake_swtpm_go(test.fake);
    expect_started(&test);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

static void test_a_start_connects_again(void **state)
{
    static const char *const script[] = { READY,        "c close", "accept", READY_AGAIN,
                                          AT_LOCALITY0, RESPONSE,  GOODBYE,  NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_wait_failed(&test.client, 1);
    emulator_test_run(&test, 0, 1, TPM2_RC_FAILURE);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_run(&test, 0, 2, 0);
    emulator_test_end(&test);
}

static void test_a_start_connects_anew_after_half_a_handshake(void **state)
{
    static const char *const script[] = { READY,        "c close", "accept", SET_DATAFD,
                                          "wait",       "c eof",   "accept", READY_AGAIN,
                                          AT_LOCALITY0, RESPONSE,  GOODBYE,  NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_wait_failed(&test.client, 1);
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_unbind(&test);
    emulator_test_bind(&test);
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    fake_swtpm_go(test.fake);
    expect_started(&test);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

static void test_another_version_after_a_reconnection_is_refused(void **state)
{
    static const char *const script[] = { READY,       "c close", "accept",    SET_DATAFD,
                                          OK,          PROBE_2_0, FAILURE_1_2, PROBE_1_2,
                                          FAILURE_1_2, "c eof",   NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_wait_failed(&test.client, 1);
    assert_false(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    assert_contains(test.client.start_error, "is a TPM 1.2 now; it was a TPM 2.0");
    emulator_test_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_peer_that_dies_in_a_start_fails_it),
        cmocka_unit_test(test_a_tpm_that_does_not_start_may_do_so_later),
        cmocka_unit_test(test_an_error_reply_may_be_short_or_whole),
        cmocka_unit_test(test_a_buffer_of_another_size_fails_the_start),
        cmocka_unit_test(test_a_buffer_too_small_for_any_tpm_fails_the_start),
        cmocka_unit_test(test_a_command_larger_than_the_tpms_buffer_is_answered_here),
        cmocka_unit_test(test_a_reply_that_is_too_long_fails_the_start),
        cmocka_unit_test(test_a_response_that_is_none_fails_the_command),
        cmocka_unit_test(test_a_tpm_1_2_fails_in_its_own_shape),
        cmocka_unit_test(test_bytes_nobody_asked_for_are_noticed_while_idle),
        cmocka_unit_test(test_a_second_response_is_not_the_next_commands),
        cmocka_unit_test(test_a_start_lets_an_abandoned_command_end_first),
        cmocka_unit_test(test_a_start_lets_a_cancelled_command_end_first),
        cmocka_unit_test(test_a_start_replaces_one_that_was_left_half_way),
        cmocka_unit_test(test_a_start_connects_again),
        cmocka_unit_test(test_a_start_connects_anew_after_half_a_handshake),
        cmocka_unit_test(test_another_version_after_a_reconnection_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
