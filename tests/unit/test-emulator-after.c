/* SPDX-License-Identifier: BSD-3-Clause */
/* What the `emulator` backend puts between a command and its answer, and before the power goes. */
#include "emulator-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define STORE         "c? 0000000a"
#define DISCARD       "c? 00000002 00000001"
#define START_DISCARD STOP, OK, DISCARD, OK, START

/* A backend of a swtpm that can store volatile state, with its TPM started. */
#define STORING SHAKE("3fff"), START_DISCARD, SET_LOC("00"), OK, STARTED

/* And its end: TPM2_Shutdown, and what was stored is taken away. */
#define STORING_GOODBYE SHUTDOWN_CLEAR, SUCCESS, DISCARD, OK, GOODBYE

static void start_storing(EmulatorTest *test, const char *const *script)
{
    test->config.checkpoint = true;
    emulator_test_start(test, script);
    emulator_test_startup_tpm(test, 1);
}

/* ---- TPM_Startup ---- */

static void test_startup_is_answered_when_the_tpm_is_known(void **state)
{
    static const char *const script[] = { READY,
                                          SET_LOC("00"),
                                          OK,
                                          STARTUP,
                                          SUCCESS,
                                          PROBE_2_0,
                                          "wait",
                                          CLOCK("00000007 00000009"),
                                          ASK_IDENTITY,
                                          "wait",
                                          IDENTITY("33*4"),
                                          COMMAND,
                                          RESPONSE,
                                          ORDERLY_GOODBYE,
                                          NULL };
    static const uint8_t success[10] = { 0x80, 0x01, 0, 0, 0, 10 };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_submit(&test.client, 0, emulator_test_startup, sizeof(emulator_test_startup));
    for (unsigned i = 1; i <= 2; i++) {
        assert_true(fake_swtpm_reached(test.fake, i));
        assert_int_equal(emulator_test_completed(&test), 0);
        fake_swtpm_go(test.fake);
    }
    emulator_test_expect(&test, 1, 0);
    assert_int_equal(test.client.response_size, sizeof(success));
    assert_memory_equal(test.client.response, success, sizeof(success));
    assert_int_equal(emulator_test_peek(&test).session.size, 8);
    assert_int_equal(emulator_test_peek(&test).session.bytes[3], 7);
    assert_int_equal(emulator_test_peek(&test).session.bytes[7], 9);
    assert_int_equal(emulator_test_peek(&test).identity.size, 4);
    emulator_test_run(&test, 0, 2, 0);
    emulator_test_end(&test);
}

static void test_a_startup_that_failed_is_answered_at_once(void **state)
{
    static const char *const script[] = { READY,       SET_LOC("00"), OK,  STARTUP,
                                          NOT_STARTED, GOODBYE,       NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_submit(&test.client, 0, emulator_test_startup, sizeof(emulator_test_startup));
    emulator_test_expect(&test, 1, TPM2_RC_INITIALIZE);
    emulator_test_end(&test);
}

static void test_a_tpm_that_does_not_tell_what_it_is_serves_all_the_same(void **state)
{
    static const char *const script[] = { READY,       SET_LOC("00"), OK,          STARTUP,
                                          SUCCESS,     PROBE_2_0,     FAILURE_2_0, ASK_IDENTITY,
                                          FAILURE_2_0, COMMAND,       RESPONSE,    ORDERLY_GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_startup_tpm(&test, 1);
    emulator_test_run(&test, 0, 2, 0);
    emulator_test_end(&test);
}

/* ---- checkpoints ---- */

static void test_a_response_is_told_when_the_state_is_stored(void **state)
{
    static const char *const script[] = { STORING, STORE,           "wait", OK,
                                          COMMAND, RESPONSE,        STORE,  "wait",
                                          OK,      STORING_GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    test.config.checkpoint = true;
    emulator_test_start(&test, script);
    backend_client_submit(&test.client, 0, emulator_test_startup, sizeof(emulator_test_startup));
    assert_true(fake_swtpm_reached(test.fake, 1));
    assert_int_equal(emulator_test_completed(&test), 0);
    fake_swtpm_go(test.fake);
    emulator_test_expect(&test, 1, 0);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 2));
    assert_int_equal(emulator_test_completed(&test), 1);
    fake_swtpm_go(test.fake);
    emulator_test_expect(&test, 2, 0);
    assert_int_equal(test.client.response_size, 16);
    emulator_test_end(&test);
}

static void test_a_lingering_device_gets_it_from_poll(void **state)
{
    static const char *const script[] = { STORING, STORE,           OK,  COMMAND, RESPONSE, STORE,
                                          OK,      STORING_GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    start_storing(&test, script);
    tpm_backend_load(test.backend, 0, emulator_test_command, sizeof(emulator_test_command));
    tpm_backend_submit(test.backend, true);
    while (emulator_test_completed(&test) < 2) {
        tpm_backend_poll(test.backend);
    }
    assert_ptr_equal(test.client.completed_on, g_thread_self());
    emulator_test_end(&test);
}

static void test_a_read_is_told_at_once(void **state)
{
    /* TPM2_PCR_Read, and one of the same number with a session */
    static const uint8_t read[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x7E };
    static const uint8_t audited[10] = { 0x80, 0x02, 0, 0, 0, 10, 0, 0, 0x01, 0x7E };
    static const char *const script[] = { STORING, STORE,
                                          OK,      "d? 8001 0000000a 0000017e",
                                          SUCCESS, "d? 8002 0000000a 0000017e",
                                          SUCCESS, STORE,
                                          OK,      STORING_GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    start_storing(&test, script);
    assert_int_equal(backend_client_command(&test.client, read, sizeof(read)), 0);
    assert_int_equal(backend_client_command(&test.client, audited, sizeof(audited)), 0);
    emulator_test_end(&test);
}

static void test_what_cannot_be_stored_is_not_told(void **state)
{
    static const char *const script[] = { STORING, STORE,         OK,     COMMAND, RESPONSE,
                                          STORE,   "c! 0000001f", "wait", NULL };
    static EmulatorTest test;

    (void)state;
    start_storing(&test, script);
    emulator_test_send(&test, 0);
    emulator_test_expect(&test, 2, TPM2_RC_FAILURE);
    assert_contains(test.client.response_error, "refused STORE_VOLATILE with result 1Fh");
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_a_tpm_that_was_not_started_has_nothing_to_store(void **state)
{
    static const char *const script[] = { SHAKE("3fff"), START_DISCARD, AT_LOCALITY0,
                                          NOT_STARTED,   GOODBYE,       NULL };
    static EmulatorTest test;

    (void)state;
    test.config.checkpoint = true;
    emulator_test_start(&test, script);
    emulator_test_run(&test, 0, 1, TPM2_RC_INITIALIZE);
    emulator_test_end(&test);
}

static void test_a_measurement_is_stored_before_it_is_told(void **state)
{
    static const char *const script[] = {
        SHAKE("3fff"), START_DISCARD, "c? 00000006", OK, "c? 00000008", OK,  STORE, "wait", OK,
        GET_EST,       CLEAR,         DISCARD,       OK, GOODBYE,       NULL
    };
    static EmulatorTest test;

    (void)state;
    test.config.checkpoint = true;
    emulator_test_start(&test, script);
    backend_client_hash(&test.client, TPM_HASH_START, NULL, 0);
    backend_client_wait_hashed(&test.client, 1);
    backend_client_hash(&test.client, TPM_HASH_END, NULL, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    assert_int_equal(test.client.hashed, 1);
    fake_swtpm_go(test.fake);
    backend_client_wait_hashed(&test.client, 2);
    emulator_test_end(&test);
}

static void test_a_start_takes_away_what_was_stored(void **state)
{
    static const char *const script[] = {
        STORING, STORE,         OK,    SHUTDOWN_STATE,
        SUCCESS, START_DISCARD, START, /* nothing was stored since */
        GOODBYE, NULL
    };
    static EmulatorTest test;

    (void)state;
    start_storing(&test, script);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_end(&test);
}

static void test_checkpoints_need_a_swtpm_that_stores(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), "c eof", NULL };
    FakeSwtpm *fake = fake_swtpm_new(script);
    TPMEmulatorConfig config = {
        .size = sizeof(config), .id = "tpm0", .path = fake_swtpm_path(fake), .checkpoint = true
    };
    g_autoptr(GError) error = NULL;

    (void)state;
    assert_null(tpmdev_backend_emulator_new(&config, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    assert_contains(error->message, "lacks what checkpoint=on needs: STORE_VOLATILE");
    assert_null(fake_swtpm_end(fake));
}

/* ---- before the power goes ---- */

static void test_a_tpm_that_was_used_is_shut_down_before_a_start(void **state)
{
    static const char *const script[] = {
        READY,          SET_LOC("00"),  OK,
        STARTED,        SHUTDOWN_STATE, SUCCESS,
        START,          SET_LOC("00"),  OK,
        STARTED,        SHUTDOWN_STATE, FAILURE_2_0, /* then the other way */
        SHUTDOWN_CLEAR, FAILURE_2_0,                 /* and then not */
        START,          GOODBYE,        NULL
    };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_startup_tpm(&test, 1);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_startup_tpm(&test, 2);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_end(&test);
}

static void test_a_tpm_its_guest_shut_down_is_not_shut_down_again(void **state)
{
    static const uint8_t shutdown[12] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x45, 0, 0 };
    static const char *const script[] = { READY,
                                          SET_LOC("00"),
                                          OK,
                                          STARTED,
                                          SHUTDOWN_CLEAR,
                                          SUCCESS,
                                          START,
                                          SET_LOC("00"),
                                          OK,
                                          STARTED,
                                          SHUTDOWN_CLEAR,
                                          SUCCESS,
                                          COMMAND,
                                          RESPONSE, /* after which it is up again */
                                          SHUTDOWN_STATE,
                                          SUCCESS,
                                          START,
                                          GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_startup_tpm(&test, 1);
    assert_int_equal(backend_client_command(&test.client, shutdown, sizeof(shutdown)), 0);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_startup_tpm(&test, 3);
    assert_int_equal(backend_client_command(&test.client, shutdown, sizeof(shutdown)), 0);
    emulator_test_run(&test, 0, 5, 0);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_end(&test);
}

/* From 0.8 on swtpm does it, and says LOCK_STORAGE. */
static void test_a_swtpm_that_shuts_its_tpm_down_is_left_to_it(void **state)
{
    static const char *const script[] = { SET_DATAFD, OK,
                                          PROBE_2_0,  FAILURE_2_0,
                                          GET_CAPS,   "c! 00000000 00013fbf",
                                          GET_SIZE,   SIZE_4096,
                                          START,      SET_LOC("00"),
                                          OK,         STARTED,
                                          START,      SET_LOC("00"),
                                          OK,         STARTED,
                                          GOODBYE,    NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_startup_tpm(&test, 1);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_startup_tpm(&test, 2);
    emulator_test_end(&test);
}

/* A hypervisor that crashed leaves a TPM behind that was used. */
static void test_a_tpm_that_runs_when_it_is_found_is_shut_down_first(void **state)
{
    static const char *const script[] = { SET_DATAFD,
                                          OK,
                                          PROBE_2_0,
                                          CLOCK("00000001 00000000"),
                                          GET_CAPS,
                                          CAPS("3fbf"),
                                          GET_SIZE,
                                          SIZE_4096,
                                          SHUTDOWN_STATE,
                                          SUCCESS,
                                          START,
                                          GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_startup_is_answered_when_the_tpm_is_known),
        cmocka_unit_test(test_a_startup_that_failed_is_answered_at_once),
        cmocka_unit_test(test_a_tpm_that_does_not_tell_what_it_is_serves_all_the_same),
        cmocka_unit_test(test_a_response_is_told_when_the_state_is_stored),
        cmocka_unit_test(test_a_lingering_device_gets_it_from_poll),
        cmocka_unit_test(test_a_read_is_told_at_once),
        cmocka_unit_test(test_what_cannot_be_stored_is_not_told),
        cmocka_unit_test(test_a_tpm_that_was_not_started_has_nothing_to_store),
        cmocka_unit_test(test_a_measurement_is_stored_before_it_is_told),
        cmocka_unit_test(test_a_start_takes_away_what_was_stored),
        cmocka_unit_test(test_checkpoints_need_a_swtpm_that_stores),
        cmocka_unit_test(test_a_tpm_that_was_used_is_shut_down_before_a_start),
        cmocka_unit_test(test_a_tpm_its_guest_shut_down_is_not_shut_down_again),
        cmocka_unit_test(test_a_swtpm_that_shuts_its_tpm_down_is_left_to_it),
        cmocka_unit_test(test_a_tpm_that_runs_when_it_is_found_is_shut_down_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
