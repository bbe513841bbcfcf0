/* SPDX-License-Identifier: BSD-3-Clause */
/* The `emulator` backend's deadlines, with time that passes when the test says so. */
#include "emulator-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CREATE_PRIMARY "d? 8001 0000000a 00000131"

static const uint8_t create_primary[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x31 };

/* ---- commands ---- */

/* The last millisecond is the one that counts. */
static void expect_deadline(EmulatorTest *test, unsigned ms, unsigned nth)
{
    assert_true(fake_swtpm_reached(test->fake, 1));
    emulator_test_pass(test, ms - 1);
    assert_int_equal(emulator_test_completed(test), nth - 1);
    emulator_test_pass(test, 1);
    assert_int_equal(emulator_test_completed(test), nth);
    assert_int_equal(tpm_header_code(test->client.response), TPM2_RC_FAILURE);
}

static void test_a_short_command_has_the_short_deadline(void **state)
{
    static const char *const script[] = { READY,        AT_LOCALITY0, "wait",
                                          "d eof",      "wait",       UNCHANGED("3fbf"),
                                          AT_LOCALITY0, RESPONSE,     GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    expect_deadline(&test, 5000, 1);
    assert_contains(test.client.response_error,
                    "did not answer the TPM command 17Bh within 5000 ms");
    fake_swtpm_go(test.fake);
    emulator_test_run(&test, 0, 2, TPM2_RC_FAILURE); /* at once, as long as it is away */
    fake_swtpm_go(test.fake);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_run(&test, 0, 3, 0);
    emulator_test_end(&test);
}

static void test_another_command_has_the_long_deadline(void **state)
{
    static const char *const script[] = { READY,  SET_LOC("00"), OK,  CREATE_PRIMARY,
                                          "wait", "d eof",       NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_submit(&test.client, 0, create_primary, sizeof(create_primary));
    expect_deadline(&test, 300000, 1);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_deadlines_are_the_hosts_to_set(void **state)
{
    static const char *const slow[] = { READY,  SET_LOC("00"), OK,  CREATE_PRIMARY,
                                        "wait", "d eof",       NULL };
    static const char *const quick[] = { READY, AT_LOCALITY0, "wait", "d eof", NULL };
    static const char *const control[] = { READY, SET_LOC("00"), "wait", "c eof", NULL };
    static EmulatorTest test;

    (void)state;
    test.config.short_timeout_ms = 20;
    test.config.long_timeout_ms = 700;
    test.config.control_timeout_ms = 300;
    emulator_test_start(&test, quick);
    emulator_test_send(&test, 0);
    expect_deadline(&test, 20, 1);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
    emulator_test_start(&test, slow);
    backend_client_submit(&test.client, 0, create_primary, sizeof(create_primary));
    expect_deadline(&test, 700, 1);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
    emulator_test_start(&test, control);
    emulator_test_send(&test, 0);
    expect_deadline(&test, 300, 1);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_bytes_that_trickle_in_do_not_move_the_deadline(void **state)
{
    static const char *const script[] = { READY,   AT_LOCALITY0, "d! 8001 00000010 0000",
                                          "wait",  "d! 00",      "wait",
                                          "d eof", NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_pass(&test, 4999);
    fake_swtpm_go(test.fake);
    assert_true(fake_swtpm_reached(test.fake, 2));
    assert_int_equal(emulator_test_completed(&test), 0);
    emulator_test_pass(&test, 1);
    assert_int_equal(emulator_test_completed(&test), 1);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

/* A thread that comes late must not take an answer that is there for one that is not. */
static void test_a_response_that_is_there_at_the_deadline_counts(void **state)
{
    static const char *const script[] = { READY,  AT_LOCALITY0, "wait", RESPONSE,
                                          "wait", GOODBYE,      NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_load(test.backend, 0, emulator_test_command, sizeof(emulator_test_command));
    tpm_backend_submit(test.backend, true);
    assert_true(fake_swtpm_reached(test.fake, 1));
    g_mutex_lock(&test.clock.emulator->lock);
    test.clock.emulator->lingering = false; /* but the data is not watched */
    tpm_emulator_arm(test.clock.emulator);
    g_mutex_unlock(&test.clock.emulator->lock);
    fake_swtpm_go(test.fake);
    assert_true(fake_swtpm_reached(test.fake, 2));
    emulator_test_pass(&test, 100000);
    emulator_test_expect(&test, 1, 0);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_while_the_device_lingers_there_is_no_deadline(void **state)
{
    static const char *const script[] = { READY, AT_LOCALITY0, "wait", "d eof", NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_load(test.backend, 0, emulator_test_command, sizeof(emulator_test_command));
    tpm_backend_submit(test.backend, true);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_disarm(&test);
    emulator_test_pass(&test, 10000);
    tpm_backend_poll(test.backend);
    assert_int_equal(emulator_test_peek(&test).data_deadline, 0);
    assert_int_equal(emulator_test_peek(&test).armed_at, EMULATOR_NEVER);
    assert_int_equal(emulator_test_completed(&test), 0);
    tpm_backend_linger_end(test.backend);
    expect_deadline(&test, 5000, 1);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_a_command_that_is_answered_inline_arms_nothing(void **state)
{
    static const char *const script[] = { READY, AT_LOCALITY0, RESPONSE, GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_disarm(&test);
    tpm_backend_load(test.backend, 0, emulator_test_command, sizeof(emulator_test_command));
    tpm_backend_submit(test.backend, true);
    while (emulator_test_completed(&test) == 0) {
        tpm_backend_poll(test.backend);
    }
    assert_int_equal(emulator_test_peek(&test).armed_at, EMULATOR_NEVER);
    emulator_test_end(&test);
}

/* ---- messages ---- */

static void test_each_message_of_a_start_has_a_deadline(void **state)
{
    static const char *const whole[] = { SHAKE("3fbf"), START, NULL };
    const size_t first = 8; /* the start comes after SHAKE */

    (void)state;
    for (size_t n = first; n < G_N_ELEMENTS(whole) - 1; n += 2) {
        const char *script[G_N_ELEMENTS(whole) + 3] = { NULL };
        bool is_init = strcmp(whole[n], INIT) == 0;
        static EmulatorTest test;

        memcpy(script, whole, (n + 1) * sizeof(script[0]));
        script[n + 1] = "wait";
        script[n + 2] = "c eof";
        emulator_test_connect(&test, script);
        emulator_test_bind(&test);
        tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
        assert_true(fake_swtpm_reached(test.fake, 1));
        emulator_test_pass(&test, is_init ? 59999 : 4999);
        assert_int_equal(test.client.started, 0);
        emulator_test_pass(&test, 1);
        assert_int_equal(test.client.started, 1);
        assert_contains(test.client.start_error,
                        is_init ? "did not answer INIT within 60000 ms" : "within 5000 ms");
        emulator_test_run(&test, 0, 1, TPM2_RC_FAILURE);
        fake_swtpm_go(test.fake);
        emulator_test_end(&test);
    }
}

static void test_a_step_of_a_hash_sequence_has_a_deadline(void **state)
{
    static const char *const scripts[][8] = {
        { "c? 00000006", "wait", "c eof" },
        { "c? 00000006", OK, "c? 00000007 00000001 ab", "wait", "c eof" },
        { "c? 00000006", OK, "c? 00000007 00000001 ab", OK, "c? 00000008", "wait", "c eof" },
    };
    static const uint8_t data[] = { 0xAB };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(scripts); i++) {
        const char *script[64] = { READY };
        size_t n = 0;
        static EmulatorTest test;

        while (script[n]) {
            n++;
        }
        memcpy(script + n, scripts[i], sizeof(scripts[i]));
        emulator_test_start(&test, script);
        for (unsigned step = 0; step <= i; step++) {
            backend_client_wait_hashed(&test.client, step);
            backend_client_hash(&test.client, (TPMHashStep)step, step == 1 ? data : NULL,
                                step == 1);
        }
        assert_true(fake_swtpm_reached(test.fake, 1));
        emulator_test_pass(&test, 4999);
        assert_int_equal(test.client.hashed, i);
        emulator_test_pass(&test, 1);
        backend_client_wait_hashed(&test.client, i + 1);
        assert_contains(test.client.hash_error, "did not answer HASH_");
        fake_swtpm_go(test.fake);
        emulator_test_end(&test);
    }
}

/* swtpm reads no message while a command runs. */
static void test_the_time_of_a_message_runs_after_that_of_a_command(void **state)
{
    static const char *const script[] = {
        READY,  SET_LOC("00"), OK,     CREATE_PRIMARY,
        "wait", CANCEL,        "wait", "d! 8001 0000000a 00000000",
        "wait", "c eof",       NULL
    };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_submit(&test.client, 0, create_primary, sizeof(create_primary));
    assert_true(fake_swtpm_reached(test.fake, 1));
    tpm_backend_cancel(test.backend);
    fake_swtpm_go(test.fake);
    assert_true(fake_swtpm_reached(test.fake, 2));
    emulator_test_pass(&test, 200000);
    assert_int_equal(emulator_test_completed(&test), 0);
    fake_swtpm_go(test.fake);
    emulator_test_expect(&test, 1, 0);
    assert_true(fake_swtpm_reached(test.fake, 3));
    emulator_test_pass(&test, 4999);
    assert_int_equal(test.client.failed, 0);
    emulator_test_pass(&test, 1);
    backend_client_wait_failed(&test.client, 1);
    assert_contains(test.client.failure, "did not answer CANCEL_TPM_CMD within 5000 ms");
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_the_time_of_a_message_begins_anew_after_a_command(void **state)
{
    static const char *const script[] = { READY,    SET_LOC("00"),
                                          OK,       COMMAND,
                                          RESPONSE, "c? 0000000b 03000000",
                                          "wait",   CREATE_PRIMARY,
                                          "wait",   "d! 8001 0000000a 00000000",
                                          "wait",   "c eof",
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_run(&test, 0, 1, 0);
    tpm_backend_reset_established(test.backend, 3);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_pass(&test, 4000);
    backend_client_submit(&test.client, 0, create_primary, sizeof(create_primary));
    fake_swtpm_go(test.fake);
    assert_true(fake_swtpm_reached(test.fake, 2));
    emulator_test_pass(&test, 200000);
    fake_swtpm_go(test.fake);
    emulator_test_expect(&test, 2, 0);
    assert_true(fake_swtpm_reached(test.fake, 3));
    emulator_test_pass(&test, 4999);
    assert_int_equal(test.client.failed, 0);
    emulator_test_pass(&test, 1);
    backend_client_wait_failed(&test.client, 1);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_a_start_waits_for_an_abandoned_command_no_longer_than_that_may_take(void **state)
{
    static const char *const script[] = { SHAKE("3f9f"), START,   AT_LOCALITY0, "wait",
                                          "wait",        "d eof", NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_send(&test, 0);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_unbind(&test);
    emulator_test_bind(&test);
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    fake_swtpm_go(test.fake);
    assert_true(fake_swtpm_reached(test.fake, 2));
    emulator_test_pass(&test, 4999);
    assert_int_equal(test.client.started, 0);
    emulator_test_pass(&test, 1);
    assert_int_equal(test.client.started, 1);
    assert_contains(test.client.start_error, "did not answer the TPM command 17Bh within 5000 ms");
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

/* ---- configuration ---- */

static void test_options_set_what_the_config_has(void **state)
{
    static const char *const script[] = { SHAKE("3fff"), GOODBYE, NULL };
    FakeSwtpm *fake = fake_swtpm_new(script);
    g_autofree char *options =
        g_strdup_printf("emulator,id=tpm0,path=%s,control-timeout=1,short-timeout=2,"
                        "long-timeout=3,init-timeout=86400000,checkpoint=on",
                        fake_swtpm_path(fake));
    GError *error = NULL;

    (void)state;
    TPMBackend *backend = tpmdev_backend_new_from_string(options, NULL, NULL, &error);

    assert_non_null(backend);
    tpmdev_backend_unref(backend);
    assert_null(fake_swtpm_end(fake));
}

static void test_options_that_cannot_be_are_refused_by_name(void **state)
{
    static const char *const bad[] = { "control-timeout=0", "short-timeout=86400001",
                                       "long-timeout=-1",   "init-timeout=5s",
                                       "checkpoint=yes",    "long-timeout=" };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *options = g_strdup_printf("emulator,id=tpm0,path=/nowhere,%s", bad[i]);
        g_auto(GStrv) parts = g_strsplit(bad[i], "=", 2);
        g_autoptr(GError) error = NULL;

        assert_null(tpmdev_backend_new_from_string(options, NULL, NULL, &error));
        assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
        assert_contains(error->message, parts[0]);
    }
}

/* A host that was compiled before there were deadlines has them, too. */
static void test_a_smaller_config_gets_the_defaults(void **state)
{
    static const char *const script[] = { SHAKE("3fff"), GOODBYE, NULL };
    FakeSwtpm *fake = fake_swtpm_new(script);
    TPMEmulatorConfig config = {
        .size = offsetof(TPMEmulatorConfig, control_timeout_ms),
        .id = "tpm0",
        .path = fake_swtpm_path(fake),
        .control_timeout_ms = 1,
        .checkpoint = true,
    };
    EmulatorClock clock = { 0, NULL };
    TPMBackend *backend = tpm_emulator_new(&config, PATIENT_MS, &clock, NULL);

    (void)state;
    assert_non_null(backend);
    assert_int_equal(clock.emulator->timeouts.control, 5000);
    assert_int_equal(clock.emulator->timeouts.init, 60000);
    assert_int_equal(clock.emulator->timeouts.short_command, 5000);
    assert_int_equal(clock.emulator->timeouts.long_command, 300000);
    assert_false(clock.emulator->checkpoint);
    tpmdev_backend_unref(backend);
    assert_null(fake_swtpm_end(fake));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_short_command_has_the_short_deadline),
        cmocka_unit_test(test_another_command_has_the_long_deadline),
        cmocka_unit_test(test_deadlines_are_the_hosts_to_set),
        cmocka_unit_test(test_bytes_that_trickle_in_do_not_move_the_deadline),
        cmocka_unit_test(test_a_response_that_is_there_at_the_deadline_counts),
        cmocka_unit_test(test_while_the_device_lingers_there_is_no_deadline),
        cmocka_unit_test(test_a_command_that_is_answered_inline_arms_nothing),
        cmocka_unit_test(test_each_message_of_a_start_has_a_deadline),
        cmocka_unit_test(test_a_step_of_a_hash_sequence_has_a_deadline),
        cmocka_unit_test(test_the_time_of_a_message_runs_after_that_of_a_command),
        cmocka_unit_test(test_the_time_of_a_message_begins_anew_after_a_command),
        cmocka_unit_test(test_a_start_waits_for_an_abandoned_command_no_longer_than_that_may_take),
        cmocka_unit_test(test_options_set_what_the_config_has),
        cmocka_unit_test(test_options_that_cannot_be_are_refused_by_name),
        cmocka_unit_test(test_a_smaller_config_gets_the_defaults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
