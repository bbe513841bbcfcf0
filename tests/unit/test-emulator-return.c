/* SPDX-License-Identifier: BSD-3-Clause */
/* The `emulator` backend's way back to a swtpm that was late or gone, against scripted peers. */
#include "emulator-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE_3968     "c! 00000000 00000f80 00000080 00000f80"
#define SESSION_1     CLOCK("00000001 00000000")
#define SESSION_2     CLOCK("00000002 00000000")
#define CAPABLE       GET_CAPS, CAPS("3fbf")
#define POWER_CYCLE   STOP, OK, GET_SIZE, SIZE_4096, STOP, OK, SET_SIZE, SIZE_4096, INIT, OK
#define ESTABLISHED   GET_EST, CLEAR
#define LOCK_PLATFORM "d? 8002 00000020 00000121 4000000c 00000009 40000009 00*5 4000000c 00"
/* "libtpmdev: this TPM was reset while its guest was running" */
#define EVENT                                                                                      \
    "6c696274706d6465763a20746869732054504d2077617320726573657420"                                 \
    "7768696c652069747320677565737420776173 2072756e6e696e67"
#define CAP(pcr)                                                                                   \
    "d? 8002 00000056 0000013c 000000" pcr " 00000009 40000009 00*5 0039 " EVENT, SUCCESS
#define CAP_ALL                                                                                    \
    CAP("00"), CAP("01"), CAP("02"), CAP("03"), CAP("04"), CAP("05"), CAP("06"), CAP("07"),        \
        CAP("08"), CAP("09"), CAP("0a"), CAP("0b"), CAP("0c"), CAP("0d"), CAP("0e"), CAP("0f"),    \
        CAP("10"), CAP("17")
#define SAME_TPM  ASK_IDENTITY, IDENTITY("11*4")
#define OTHER_TPM ASK_IDENTITY, IDENTITY("22*4")

/* A guest has started its TPM, and then swtpm goes. */
#define GONE READY, SET_LOC("00"), OK, STARTED, "wait", "c close", "accept"

/* It comes back with power, and without the guest's state. */
#define BACK                                                                                       \
    SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, CAPABLE, POWER_CYCLE, SET_LOC("00"), OK, STARTUP

static void start_and_lose(EmulatorTest *test, const char *const *script)
{
    emulator_test_start(test, script);
    emulator_test_startup_tpm(test, 1);
    fake_swtpm_go(test->fake);
    backend_client_wait_failed(&test->client, 1);
    emulator_test_run(test, 0, 2, TPM2_RC_FAILURE);
}

/* ---- which TPM is it? ---- */

static void recover(const char *const *script)
{
    static EmulatorTest test;

    start_and_lose(&test, script);
    emulator_test_pass(&test, 5);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_run(&test, 0, 3, 0);
    emulator_test_end(&test);
}

static void test_a_tpm_in_the_same_session_goes_on(void **state)
{
    static const char *const script[] = {
        GONE,      SET_DATAFD, OK,          PROBE_2_0,    SESSION_1, CAPABLE,         GET_SIZE,
        SIZE_4096, SAME_TPM,   ESTABLISHED, AT_LOCALITY0, RESPONSE,  ORDERLY_GOODBYE, NULL
    };

    (void)state;
    recover(script);
}

static void test_a_tpm_that_lost_its_state_is_started_and_capped(void **state)
{
    static const char *const script[] = {
        GONE,      BACK,      SUCCESS,     SAME_TPM,     CAP_ALL,  LOCK_PLATFORM,   SUCCESS,
        PROBE_2_0, SESSION_2, ESTABLISHED, AT_LOCALITY0, RESPONSE, ORDERLY_GOODBYE, NULL
    };

    (void)state;
    recover(script);
}

static void test_a_tpm_that_was_started_by_another_is_reset_and_capped(void **state)
{
    static const char *const script[] = {
        GONE,          SET_DATAFD, OK,        PROBE_2_0,   SESSION_2,    CAPABLE,  POWER_CYCLE,
        SET_LOC("00"), OK,         STARTUP,   SUCCESS,     SAME_TPM,     CAP_ALL,  LOCK_PLATFORM,
        SUCCESS,       PROBE_2_0,  SESSION_2, ESTABLISHED, AT_LOCALITY0, RESPONSE, ORDERLY_GOODBYE,
        NULL
    };

    (void)state;
    recover(script);
}

static void test_a_tpm_that_was_resumed_goes_on(void **state)
{
    static const char *const script[] = {
        GONE,        BACK,         NOT_STARTED, PROBE_2_0,       SESSION_1, SAME_TPM,
        ESTABLISHED, AT_LOCALITY0, RESPONSE,    ORDERLY_GOODBYE, NULL
    };

    (void)state;
    recover(script);
}

/* An old state of the same TPM: its PCRs are those of another boot. */
static void test_a_tpm_that_was_resumed_in_another_session_is_reset_and_capped(void **state)
{
    static const char *const script[] = { GONE,
                                          BACK,
                                          NOT_STARTED,
                                          PROBE_2_0,
                                          SESSION_2,
                                          STOP,
                                          OK,
                                          "c? 00000002 00000001",
                                          OK,
                                          POWER_CYCLE,
                                          SET_LOC("00"),
                                          OK,
                                          STARTUP,
                                          SUCCESS,
                                          SAME_TPM,
                                          CAP_ALL,
                                          LOCK_PLATFORM,
                                          SUCCESS,
                                          PROBE_2_0,
                                          SESSION_2,
                                          ESTABLISHED,
                                          AT_LOCALITY0,
                                          RESPONSE,
                                          ORDERLY_GOODBYE,
                                          NULL };

    (void)state;
    recover(script);
}

/* ---- which is refused ---- */

static void refuse(const char *const *script, const char *words)
{
    static EmulatorTest test;

    start_and_lose(&test, script);
    emulator_test_pass(&test, 5);
    backend_client_wait_failed(&test.client, 2);
    assert_contains(test.client.failure, words);
    emulator_test_run(&test, 0, 3, TPM2_RC_FAILURE);
    assert_int_equal(test.client.recovered, 0);
    assert_int_equal(emulator_test_peek(&test).retry_ms, 1000);
    emulator_test_end(&test);
}

static void test_another_tpm_is_refused(void **state)
{
    static const char *const fresh[] = { GONE, BACK, SUCCESS, OTHER_TPM, "c eof", NULL };
    static const char *const silent[] = { GONE,        BACK,    SUCCESS, ASK_IDENTITY,
                                          FAILURE_2_0, "c eof", NULL };
    static const char *const running[] = { GONE,      SET_DATAFD, OK,       PROBE_2_0,
                                           SESSION_1, CAPABLE,    GET_SIZE, SIZE_4096,
                                           OTHER_TPM, "c eof",    NULL };

    (void)state;
    refuse(fresh, "has come back with another TPM than the guest's");
    refuse(silent, "has come back with another TPM than the guest's");
    refuse(running, "has come back with another TPM than the guest's");
}

static void test_another_buffer_size_is_refused(void **state)
{
    static const char *const stopped[] = { GONE,        SET_DATAFD, OK,      PROBE_2_0,
                                           FAILURE_2_0, CAPABLE,    STOP,    OK,
                                           GET_SIZE,    SIZE_3968,  "c eof", NULL };
    static const char *const running[] = { GONE,    SET_DATAFD, OK,        PROBE_2_0, SESSION_1,
                                           CAPABLE, GET_SIZE,   SIZE_3968, "c eof",   NULL };

    (void)state;
    refuse(stopped, "buffer of at most 3968 bytes; the guest was told 4096");
    refuse(running, "buffer of 3968 bytes; the guest was told 4096");
}

static void test_a_tpm_whose_pcrs_cannot_be_capped_is_refused(void **state)
{
    static const char *const script[] = { GONE,
                                          BACK,
                                          SUCCESS,
                                          SAME_TPM,
                                          CAP("00"),
                                          "d? 8002 00000056 0000013c 00000001 00000009 40000009 "
                                          "00*5 0039 " EVENT,
                                          FAILURE_2_0,
                                          "c eof",
                                          NULL };

    (void)state;
    refuse(script, "refused an extension of its PCRs with code 101h; the guest cannot have it");
}

static void test_a_tpm_whose_platform_hierarchy_stays_open_is_refused(void **state)
{
    static const char *const script[] = { GONE,          BACK,        SUCCESS, SAME_TPM, CAP_ALL,
                                          LOCK_PLATFORM, FAILURE_2_0, "c eof", NULL };

    (void)state;
    refuse(script, "refused TPM2_HierarchyControl with code 101h");
}

static void test_a_tpm_that_cannot_be_started_is_refused(void **state)
{
    static const char *const script[] = { GONE, BACK, FAILURE_2_0, "c eof", NULL };

    (void)state;
    refuse(script, "refused TPM_Startup with code 101h");
}

static void test_words_are_told_once(void **state)
{
    static const char *const script[] = { GONE, BACK,        FAILURE_2_0, "c eof", "accept",
                                          BACK, FAILURE_2_0, "c eof",     "wait",  NULL };
    static EmulatorTest test;

    (void)state;
    start_and_lose(&test, script);
    emulator_test_pass(&test, 5);
    backend_client_wait_failed(&test.client, 2);
    emulator_test_pass(&test, 1000);
    assert_true(fake_swtpm_reached(test.fake, 2));
    emulator_test_pass(&test, 0); /* it has told what it had to tell */
    assert_int_equal(test.client.failed, 2);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

/* ---- TPMs that were not started ---- */

static void test_a_tpm_that_was_not_started_gets_power_and_no_more(void **state)
{
    static const char *const script[] = { READY,       "c close",   "accept",     SET_DATAFD,
                                          OK,          PROBE_2_0,   FAILURE_2_0,  CAPABLE,
                                          POWER_CYCLE, ESTABLISHED, AT_LOCALITY0, RESPONSE,
                                          GOODBYE,     NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_wait_failed(&test.client, 1);
    emulator_test_pass(&test, 5);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

/* swtpm's own flag does that; the guest has not started it. */
static void test_a_tpm_that_another_started_is_power_cycled(void **state)
{
    static const char *const script[] = { READY,       "c close",   "accept",     SET_DATAFD,
                                          OK,          PROBE_2_0,   SESSION_1,    CAPABLE,
                                          POWER_CYCLE, ESTABLISHED, AT_LOCALITY0, RESPONSE,
                                          GOODBYE,     NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_wait_failed(&test.client, 1);
    emulator_test_pass(&test, 5);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

/* ---- measurements that were cut off ---- */

/* The same process and the same session: but nobody measured what is in PCR 17. */
static void test_a_tpm_in_a_hash_sequence_does_not_go_on(void **state)
{
    static const char *const script[] = { READY,
                                          SET_LOC("00"),
                                          OK,
                                          STARTED,
                                          "c? 00000006",
                                          OK,
                                          "wait",
                                          "c close",
                                          "accept",
                                          SET_DATAFD,
                                          OK,
                                          PROBE_2_0,
                                          SESSION_1,
                                          CAPABLE,
                                          POWER_CYCLE,
                                          SET_LOC("00"),
                                          OK,
                                          STARTUP,
                                          SUCCESS,
                                          SAME_TPM,
                                          CAP_ALL,
                                          LOCK_PLATFORM,
                                          SUCCESS,
                                          PROBE_2_0,
                                          SESSION_2,
                                          ESTABLISHED,
                                          ORDERLY_GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_startup_tpm(&test, 1);
    backend_client_hash(&test.client, TPM_HASH_START, NULL, 0);
    backend_client_wait_hashed(&test.client, 1);
    fake_swtpm_go(test.fake);
    backend_client_wait_failed(&test.client, 1);
    emulator_test_pass(&test, 5);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_end(&test);
}

/* A measurement before TPM_Startup is state, too. */
static void test_a_tpm_with_a_measurement_of_its_firmware_is_capped(void **state)
{
    static const char *const script[] = {
        READY,     "c? 00000006", OK,          "c? 00000008",   OK,
        GET_EST,   CLEAR,         "wait",      "c close",       "accept",
        BACK,      SUCCESS,       CAP_ALL,     LOCK_PLATFORM,   SUCCESS,
        PROBE_2_0, SESSION_2,     ESTABLISHED, ORDERLY_GOODBYE, NULL
    };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_hash(&test.client, TPM_HASH_START, NULL, 0);
    backend_client_wait_hashed(&test.client, 1);
    backend_client_hash(&test.client, TPM_HASH_END, NULL, 0);
    backend_client_wait_hashed(&test.client, 2);
    fake_swtpm_go(test.fake);
    backend_client_wait_failed(&test.client, 1);
    emulator_test_pass(&test, 5);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_end(&test);
}

/* ---- when it tries, and when not ---- */

static void test_the_waits_grow_up_to_a_second(void **state)
{
    static const char *const script[] = { READY, "wait", NULL };
    static const unsigned waits[] = { 5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000 };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    assert_int_equal(unlink(fake_swtpm_path(test.fake)), 0);
    fake_swtpm_go(test.fake);
    backend_client_wait_failed(&test.client, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(waits); i++) {
        assert_int_equal(emulator_test_peek(&test).retry_at - test.clock.now, waits[i] * 1000);
        emulator_test_pass(&test, waits[i] - 1);
        assert_int_equal(emulator_test_peek(&test).retry_at - test.clock.now, 1000);
        emulator_test_pass(&test, 1);
    }
    assert_int_equal(test.client.failed, 1); /* each of these is the same failure */
    emulator_test_end(&test);
}

static void test_without_a_device_nothing_is_tried(void **state)
{
    static const char *const script[] = { READY, "c close", "wait", NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_wait_failed(&test.client, 1);
    emulator_test_unbind(&test);
    emulator_test_pass(&test, 5);
    assert_int_equal(emulator_test_peek(&test).control_fd, -1);
    assert_int_equal(emulator_test_peek(&test).retry_at, EMULATOR_NEVER);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_a_refused_data_channel_is_tried_again(void **state)
{
    static const char *const script[] = { READY,         "c close", "accept", SET_DATAFD,
                                          "c! 0000001f", "c eof",   "accept", READY_AGAIN,
                                          AT_LOCALITY0,  RESPONSE,  GOODBYE,  NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_wait_failed(&test.client, 1);
    emulator_test_pass(&test, 5);
    backend_client_wait_failed(&test.client, 2);
    emulator_test_pass(&test, 1000);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

static void test_a_start_that_failed_is_made_up_for(void **state)
{
    static const char *const script[] = { READY,        STOP,     "c close", "accept", READY_AGAIN,
                                          AT_LOCALITY0, RESPONSE, GOODBYE,   NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    assert_false(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_pass(&test, 5);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

static void test_a_start_in_the_middle_of_a_return_takes_its_place(void **state)
{
    static const char *const script[] = { GONE,           BACK,    "wait", SUCCESS,
                                          SHUTDOWN_STATE, SUCCESS, START,  AT_LOCALITY0,
                                          RESPONSE,       GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    start_and_lose(&test, script);
    emulator_test_pass(&test, 5);
    assert_true(fake_swtpm_reached(test.fake, 2));
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    fake_swtpm_go(test.fake);
    g_mutex_lock(&test.client.lock);
    while (test.client.started < 2) {
        g_cond_wait(&test.client.changed, &test.client.lock);
    }
    g_mutex_unlock(&test.client.lock);
    assert_null(test.client.start_error);
    emulator_test_run(&test, 0, 3, 0);
    emulator_test_end(&test);
}

static void test_a_start_takes_over_the_handshake_of_a_return(void **state)
{
    static const char *const script[] = { GONE,         SET_DATAFD,  "wait",  OK,
                                          PROBE_2_0,    FAILURE_2_0, CAPABLE, START,
                                          AT_LOCALITY0, RESPONSE,    GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    start_and_lose(&test, script);
    emulator_test_pass(&test, 5);
    assert_true(fake_swtpm_reached(test.fake, 2));
    emulator_test_pass(&test, 4999); /* of which nothing counts for the start */
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    emulator_test_pass(&test, 4999);
    assert_int_equal(test.client.started, 1);
    fake_swtpm_go(test.fake);
    g_mutex_lock(&test.client.lock);
    while (test.client.started < 2) {
        g_cond_wait(&test.client.changed, &test.client.lock);
    }
    g_mutex_unlock(&test.client.lock);
    assert_null(test.client.start_error);
    emulator_test_run(&test, 0, 3, 0);
    emulator_test_end(&test);
}

static void test_a_start_that_takes_over_has_its_own_deadline(void **state)
{
    static const char *const script[] = { GONE, SET_DATAFD, "wait", "c eof", NULL };
    static EmulatorTest test;

    (void)state;
    start_and_lose(&test, script);
    emulator_test_pass(&test, 5);
    assert_true(fake_swtpm_reached(test.fake, 2));
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    emulator_test_pass(&test, 5000);
    assert_int_equal(test.client.started, 2);
    assert_contains(test.client.start_error, "did not answer SET_DATAFD within 5000 ms");
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

/* ---- after a time-out ---- */

/* A cancel's answer comes after the command's, and is no other message's. */
static void test_a_late_reply_is_not_that_of_the_next_message(void **state)
{
    static const char *const script[] = {
        READY, AT_LOCALITY0,      "wait",       CANCEL,   "wait",  "d eof", "c quiet",
        OK,    UNCHANGED("3fbf"), AT_LOCALITY0, RESPONSE, GOODBYE, NULL
    };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    tpm_backend_cancel(test.backend);
    fake_swtpm_go(test.fake);
    assert_true(fake_swtpm_reached(test.fake, 2));
    emulator_test_pass(&test, 5000);
    emulator_test_expect(&test, 1, TPM2_RC_FAILURE);
    fake_swtpm_go(test.fake);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_run(&test, 0, 2, 0);
    emulator_test_end(&test);
}

/* swtpm takes the new channel when the late command has ended, and that may be long. */
static void test_the_new_data_channel_may_take_as_long_as_a_command(void **state)
{
    static const char *const script[] = { READY,       AT_LOCALITY0, "wait",   "d eof",
                                          SET_DATAFD,  "wait",       "c eof",  "accept",
                                          READY_AGAIN, AT_LOCALITY0, RESPONSE, GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_pass(&test, 5000);
    fake_swtpm_go(test.fake);
    assert_true(fake_swtpm_reached(test.fake, 2));
    emulator_test_pass(&test, 299999);
    assert_true(emulator_test_peek(&test).control_fd >= 0);
    emulator_test_pass(&test, 1);
    assert_int_equal(emulator_test_peek(&test).control_fd, -1);
    fake_swtpm_go(test.fake);
    emulator_test_pass(&test, 5);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_run(&test, 0, 2, 0);
    emulator_test_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tpm_in_the_same_session_goes_on),
        cmocka_unit_test(test_a_tpm_that_lost_its_state_is_started_and_capped),
        cmocka_unit_test(test_a_tpm_that_was_started_by_another_is_reset_and_capped),
        cmocka_unit_test(test_a_tpm_that_was_resumed_goes_on),
        cmocka_unit_test(test_a_tpm_that_was_resumed_in_another_session_is_reset_and_capped),
        cmocka_unit_test(test_another_tpm_is_refused),
        cmocka_unit_test(test_another_buffer_size_is_refused),
        cmocka_unit_test(test_a_tpm_whose_pcrs_cannot_be_capped_is_refused),
        cmocka_unit_test(test_a_tpm_whose_platform_hierarchy_stays_open_is_refused),
        cmocka_unit_test(test_a_tpm_that_cannot_be_started_is_refused),
        cmocka_unit_test(test_words_are_told_once),
        cmocka_unit_test(test_a_tpm_that_was_not_started_gets_power_and_no_more),
        cmocka_unit_test(test_a_tpm_that_another_started_is_power_cycled),
        cmocka_unit_test(test_a_tpm_in_a_hash_sequence_does_not_go_on),
        cmocka_unit_test(test_a_tpm_with_a_measurement_of_its_firmware_is_capped),
        cmocka_unit_test(test_the_waits_grow_up_to_a_second),
        cmocka_unit_test(test_without_a_device_nothing_is_tried),
        cmocka_unit_test(test_a_refused_data_channel_is_tried_again),
        cmocka_unit_test(test_a_start_that_failed_is_made_up_for),
        cmocka_unit_test(test_a_start_in_the_middle_of_a_return_takes_its_place),
        cmocka_unit_test(test_a_start_takes_over_the_handshake_of_a_return),
        cmocka_unit_test(test_a_start_that_takes_over_has_its_own_deadline),
        cmocka_unit_test(test_a_late_reply_is_not_that_of_the_next_message),
        cmocka_unit_test(test_the_new_data_channel_may_take_as_long_as_a_command),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
