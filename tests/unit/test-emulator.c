/* SPDX-License-Identifier: BSD-3-Clause */
/* The `emulator` backend against scripted peers: each message, and how it lingers and cancels. */
#include "emulator-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- the order and the bytes of messages ---- */

static void test_a_life_in_messages(void **state)
{
    static const char *const script[] = { READY, AT_LOCALITY0, RESPONSE, COMMAND, RESPONSE,
                                          START, AT_LOCALITY0, RESPONSE, GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    assert_int_equal(tpmdev_backend_get_version(test.backend), TPM_VERSION_2_0);
    emulator_test_run(&test, 0, 1, 0);
    assert_int_equal(test.client.response_size, 16);
    emulator_test_run(&test, 0, 2, 0);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_run(&test, 0, 3, 0);
    emulator_test_end(&test);
}

static void test_a_tpm_1_2_is_found_by_its_tag(void **state)
{
    /* All a TPM 1.2 needs: RESET_TPMESTABLISHED is not among it. */
    static const char *const script[] = { SET_DATAFD, OK,          PROBE_2_0, FAILURE_1_2,
                                          PROBE_1_2,  FAILURE_1_2, GET_CAPS,  CAPS("340f"),
                                          GET_SIZE,   SIZE_4096,   GOODBYE,   NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    assert_int_equal(tpmdev_backend_get_version(test.backend), TPM_VERSION_1_2);
    emulator_test_end(&test);
}

static void test_locality_is_set_when_it_changes(void **state)
{
    static const char *const script[] = { READY,    AT_LOCALITY0,  RESPONSE, SET_LOC("03"),
                                          OK,       COMMAND,       RESPONSE, COMMAND,
                                          RESPONSE, SET_LOC("00"), OK,       COMMAND,
                                          RESPONSE, GOODBYE,       NULL };
    static const uint8_t localities[] = { 0, 3, 3, 0 };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    for (unsigned i = 0; i < G_N_ELEMENTS(localities); i++) {
        emulator_test_run(&test, localities[i], i + 1, 0);
    }
    emulator_test_end(&test);
}

static void test_a_refused_locality_fails_the_command_alone(void **state)
{
    static const char *const script[] = { READY,    SET_LOC("04"), "c! 0000003d", AT_LOCALITY0,
                                          RESPONSE, GOODBYE,       NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_run(&test, 4, 1, TPM2_RC_FAILURE);
    emulator_test_run(&test, 0, 2, 0);
    emulator_test_end(&test);
}

static void test_established_is_reported(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"),
                                          STOP,
                                          OK,
                                          GET_SIZE,
                                          SIZE_4096,
                                          STOP,
                                          OK,
                                          SET_SIZE,
                                          SIZE_4096,
                                          INIT,
                                          OK,
                                          GET_EST,
                                          "c! 00000000 01 000000",
                                          GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_wait_established(&test.client, true);
    emulator_test_end(&test);
}

static void test_established_is_reset_then_asked_for(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"),
                                          STOP,
                                          OK,
                                          GET_SIZE,
                                          SIZE_4096,
                                          STOP,
                                          OK,
                                          SET_SIZE,
                                          SIZE_4096,
                                          INIT,
                                          OK,
                                          GET_EST,
                                          "c! 00000000 01 000000",
                                          "c? 0000000b 03000000",
                                          OK,
                                          GET_EST,
                                          CLEAR,
                                          GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_wait_established(&test.client, true);
    tpm_backend_reset_established(test.backend, 3);
    backend_client_wait_established(&test.client, false);
    emulator_test_end(&test);
}

static void test_a_response_may_come_in_pieces(void **state)
{
    static const char *const script[] = { READY,
                                          AT_LOCALITY0,
                                          "d! 80",
                                          "wait",
                                          "d! 01 00000010 0000",
                                          "wait",
                                          "d! 0000 0004 0102",
                                          "wait",
                                          "d! 0304",
                                          COMMAND,
                                          RESPONSE,
                                          GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(fake_swtpm_reached(test.fake, i));
        assert_int_equal(emulator_test_completed(&test), 0);
        fake_swtpm_go(test.fake);
    }
    emulator_test_expect(&test, 1, 0);
    assert_int_equal(test.client.response[15], 4);
    emulator_test_run(&test, 0, 2, 0);
    emulator_test_end(&test);
}

static void test_a_response_may_fill_the_buffer(void **state)
{
    static const char *const script[] = { READY, AT_LOCALITY0, "d! 8001 00001000 00000000 77*4086",
                                          GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_run(&test, 0, 1, 0);
    assert_int_equal(test.client.response_size, 4096);
    assert_int_equal(test.client.response[4095], 0x77);
    emulator_test_end(&test);
}

/* ---- lingering ---- */

static void test_lingering_sets_the_locality_and_completes_in_poll(void **state)
{
    static const char *const script[] = { READY,   AT_LOCALITY0, RESPONSE, SET_LOC("02"), OK,
                                          COMMAND, RESPONSE,     GOODBYE,  NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    for (unsigned i = 0; i < 2; i++) {
        tpm_backend_load(test.backend, i ? 2 : 0, emulator_test_command,
                         sizeof(emulator_test_command));
        tpm_backend_submit(test.backend, true);
        while (emulator_test_completed(&test) == i) {
            tpm_backend_poll(test.backend);
        }
        assert_ptr_equal(test.client.completed_on, g_thread_self());
    }
    emulator_test_end(&test);
}

/* Nobody runs the context: all there is to do is done by submit() and poll(). */
static void test_lingering_needs_no_other_thread(void **state)
{
    static const char *const script[] = { READY,   AT_LOCALITY0, RESPONSE, SET_LOC("02"), OK,
                                          COMMAND, RESPONSE,     GOODBYE,  NULL };
    GMainContext *context = g_main_context_new();
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    backend_client_bind(&test.client, test.backend, context);
    test.bound = true;
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    while (test.client.started == 0) {
        g_main_context_iteration(context, TRUE);
    }
    for (unsigned i = 0; i < 2; i++) {
        tpm_backend_load(test.backend, i ? 2 : 0, emulator_test_command,
                         sizeof(emulator_test_command));
        tpm_backend_submit(test.backend, true);
        while (emulator_test_completed(&test) == i) {
            tpm_backend_poll(test.backend);
        }
    }
    emulator_test_end(&test);
    g_main_context_unref(context);
}

/* The control channel is watched all the time, but the news of it waits for the poll. */
static void test_a_failure_while_lingering_is_told_by_poll_or_by_its_end(void **state)
{
    static const char *const script[] = { READY, AT_LOCALITY0, "wait", "c close", "d eof", NULL };

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        static EmulatorTest test;

        emulator_test_start(&test, script);
        tpm_backend_load(test.backend, 0, emulator_test_command, sizeof(emulator_test_command));
        tpm_backend_submit(test.backend, true);
        /* The source alone sends the command, once the locality is set, and finds the end. */
        assert_true(fake_swtpm_reached(test.fake, 1));
        fake_swtpm_go(test.fake);
        g_autofree char *trouble = fake_swtpm_end(test.fake);
        assert_null(trouble);
        assert_int_equal(emulator_test_completed(&test), 0);
        (i ? tpm_backend_linger_end : tpm_backend_poll)(test.backend);
        assert_int_equal(emulator_test_completed(&test), 1);
        assert_ptr_equal(test.client.completed_on, g_thread_self());
        assert_contains(test.client.response_error, "closed the control channel");
        emulator_test_unbind(&test);
        tpmdev_backend_unref(test.backend);
    }
}

/* ---- cancel ---- */

static void test_the_command_after_a_cancelled_one_waits_for_the_cancels_reply(void **state)
{
    static const char *const script[] = { READY,    AT_LOCALITY0, "wait",    CANCEL, RESPONSE,
                                          "wait",   "c quiet",    "d quiet", OK,     COMMAND,
                                          RESPONSE, GOODBYE,      NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    tpm_backend_cancel(test.backend);
    tpm_backend_cancel(test.backend); /* is under way */
    fake_swtpm_go(test.fake);
    emulator_test_expect(&test, 1, 0);
    assert_true(fake_swtpm_reached(test.fake, 2));
    tpm_backend_cancel(test.backend); /* there is nothing to cancel */
    emulator_test_send(&test, 0);
    fake_swtpm_go(test.fake);
    emulator_test_expect(&test, 2, 0);
    emulator_test_end(&test);
}

static void test_cancel_needs_the_capability(void **state)
{
    static const char *const script[] = { SHAKE("3f9f"), START,    AT_LOCALITY0, "wait",
                                          "c quiet",     RESPONSE, GOODBYE,      NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    tpm_backend_cancel(test.backend);
    fake_swtpm_go(test.fake);
    emulator_test_expect(&test, 1, 0);
    emulator_test_end(&test);
}

static void test_a_command_not_sent_yet_is_cancelled_here(void **state)
{
    static const char *const script[] = { READY,    SET_LOC("00"), "wait", "d quiet",
                                          OK,       SET_LOC("03"), OK,     COMMAND,
                                          RESPONSE, GOODBYE,       NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    tpm_backend_cancel(test.backend);
    assert_int_equal(emulator_test_completed(&test), 1);
    assert_int_equal(tpm_header_code(test.client.response), TPM2_RC_CANCELED);
    emulator_test_send(&test, 3); /* the answer to the first SET_LOCALITY is not its own */
    fake_swtpm_go(test.fake);
    emulator_test_expect(&test, 2, 0);
    emulator_test_end(&test);
}

/* The control channel is busy when the cancel comes, and free only after the response. */
static void test_a_cancel_that_comes_too_late_is_not_sent(void **state)
{
    static const char *const script[] = { READY,    AT_LOCALITY0, "wait",   "c? 0000000b 03000000",
                                          RESPONSE, "wait",       OK,       GET_EST,
                                          CLEAR,    COMMAND,      RESPONSE, GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    tpm_backend_reset_established(test.backend, 3);
    tpm_backend_cancel(test.backend);
    fake_swtpm_go(test.fake);
    emulator_test_expect(&test, 1, 0);
    assert_true(fake_swtpm_reached(test.fake, 2));
    fake_swtpm_go(test.fake);
    emulator_test_run(&test, 0, 2, 0);
    emulator_test_end(&test);
}

/* A lingering device may be cancelled from another thread: poll() brings the answer. */
static void test_a_cancel_while_lingering_is_told_by_poll(void **state)
{
    static const char *const script[] = { READY, SET_LOC("00"), "wait", OK, GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_load(test.backend, 0, emulator_test_command, sizeof(emulator_test_command));
    tpm_backend_submit(test.backend, true);
    tpm_backend_cancel(test.backend);
    assert_int_equal(emulator_test_completed(&test), 0);
    tpm_backend_poll(test.backend);
    emulator_test_expect(&test, 1, TPM2_RC_CANCELED);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

/* ---- the end ---- */

static void test_destroying_does_not_wait_for_a_goodbye_for_ever(void **state)
{
    static const char *const script[] = { READY, "c? 00000003", "d eof", "c eof", NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_end(&test);
}

static void test_destroying_abandons_a_command(void **state)
{
    static const char *const script[] = { SHAKE("3f9f"), START,    AT_LOCALITY0, "wait",
                                          "c? 00000003", RESPONSE, OK,           "d eof",
                                          "c eof",       NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_destroying_needs_no_context_that_runs(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), STOP, OK, GOODBYE, NULL };
    GMainContext *context = g_main_context_new();
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    backend_client_bind(&test.client, test.backend, context);
    test.bound = true;
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    emulator_test_end(&test);
    g_main_context_unref(context);
}

/* ---- many at a time ---- */

/* The source is dispatching at any moment while the backend goes away. */
static void test_destroying_at_any_moment_of_a_start(void **state)
{
    FakeFarm *farm = fake_farm_new();
    TPMBackend *keeper = emulator_test_backend(fake_farm_path(farm), PATIENT_MS, NULL);
    BackendClient client;

    (void)state;
    backend_client_bind(&client, keeper, NULL); /* keeps the I/O thread */
    for (unsigned i = 0; i < 300; i++) {
        EmulatorTest test = { .backend =
                                  emulator_test_backend(fake_farm_path(farm), PATIENT_MS, NULL) };

        emulator_test_bind(&test);
        tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
        for (unsigned spin = 0; spin < i * 4; spin++) {
            g_thread_yield();
        }
        emulator_test_unbind(&test);
        tpmdev_backend_unref(test.backend);
    }
    backend_client_unbind(&client);
    tpmdev_backend_unref(keeper);
    fake_farm_free(farm);
}

/* One device: commands that linger, that linger too little and that do not, at two localities. */
static gpointer run_commands(gpointer data)
{
    EmulatorTest test = { .backend = emulator_test_backend(data, PATIENT_MS, NULL) };

    emulator_test_bind(&test);
    bool ready = backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON);

    for (unsigned i = 0; ready && i < 600; i++) {
        bool linger = i % 3 != 0;

        tpm_backend_load(test.backend, i % 7 == 0, emulator_test_command,
                         sizeof(emulator_test_command));
        tpm_backend_submit(test.backend, linger);
        for (unsigned n = 0; linger && emulator_test_completed(&test) == i && (i % 3 == 1 || n < 3);
             n++) {
            tpm_backend_poll(test.backend);
        }
        if (linger && emulator_test_completed(&test) == i) {
            tpm_backend_linger_end(test.backend);
        }
        backend_client_wait_completed(&test.client, i + 1);
        ready = test.client.response_size == 16 && !test.client.response_error;
    }
    emulator_test_unbind(&test);
    tpmdev_backend_unref(test.backend);
    return GINT_TO_POINTER(ready);
}

static void test_many_devices_share_one_thread(void **state)
{
    FakeFarm *farm = fake_farm_new();
    GThread *threads[8];

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("device", run_commands, (gpointer)fake_farm_path(farm));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        assert_true(GPOINTER_TO_INT(g_thread_join(threads[i])));
    }
    assert_int_equal(fake_farm_commands(farm), G_N_ELEMENTS(threads) * (600 + 1));
    fake_farm_free(farm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_life_in_messages),
        cmocka_unit_test(test_a_tpm_1_2_is_found_by_its_tag),
        cmocka_unit_test(test_locality_is_set_when_it_changes),
        cmocka_unit_test(test_a_refused_locality_fails_the_command_alone),
        cmocka_unit_test(test_established_is_reported),
        cmocka_unit_test(test_established_is_reset_then_asked_for),
        cmocka_unit_test(test_a_response_may_come_in_pieces),
        cmocka_unit_test(test_a_response_may_fill_the_buffer),
        cmocka_unit_test(test_lingering_sets_the_locality_and_completes_in_poll),
        cmocka_unit_test(test_lingering_needs_no_other_thread),
        cmocka_unit_test(test_a_failure_while_lingering_is_told_by_poll_or_by_its_end),
        cmocka_unit_test(test_the_command_after_a_cancelled_one_waits_for_the_cancels_reply),
        cmocka_unit_test(test_cancel_needs_the_capability),
        cmocka_unit_test(test_a_command_not_sent_yet_is_cancelled_here),
        cmocka_unit_test(test_a_cancel_that_comes_too_late_is_not_sent),
        cmocka_unit_test(test_a_cancel_while_lingering_is_told_by_poll),
        cmocka_unit_test(test_destroying_does_not_wait_for_a_goodbye_for_ever),
        cmocka_unit_test(test_destroying_abandons_a_command),
        cmocka_unit_test(test_destroying_needs_no_context_that_runs),
        cmocka_unit_test(test_destroying_at_any_moment_of_a_start),
        cmocka_unit_test(test_many_devices_share_one_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
