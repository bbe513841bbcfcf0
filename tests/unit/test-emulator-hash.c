/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend and the D-RTM hash sequence, against scripted peers: each message, byte by
 * byte, what may go between them, and a peer that refuses one, dies in one or never answers one.
 */
#include "emulator-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HASH_START   "c? 00000006"
#define HASH_ABC     "c? 00000007 00000003 616263"
#define HASH_END     "c? 00000008"
#define SET          "c! 00000000 01 000000" /* tpmEstablished */
#define RESET_EST(l) "c? 0000000b " l "000000"

static void step(EmulatorTest *test, TPMHashStep which)
{
    bool has_data = which == TPM_HASH_DATA;

    backend_client_hash(&test->client, which, has_data ? "abc" : NULL, has_data ? 3 : 0);
}

/* A step that ends well, or ends with this message. */
static void run_step(EmulatorTest *test, TPMHashStep which, const char *message)
{
    unsigned wanted = test->client.hashed + 1;

    step(test, which);
    backend_client_wait_hashed(&test->client, wanted);
    if (message) {
        assert_contains(test->client.hash_error, message);
    } else {
        assert_null(test->client.hash_error);
    }
}

/* ---- the messages ---- */

static void test_a_sequence_in_messages(void **state)
{
    static const char *const script[] = { READY,    HASH_START,   OK,       HASH_ABC, OK,
                                          HASH_ABC, OK,           HASH_END, OK,       GET_EST,
                                          SET,      AT_LOCALITY0, RESPONSE, GOODBYE,  NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    run_step(&test, TPM_HASH_START, NULL);
    run_step(&test, TPM_HASH_DATA, NULL);
    run_step(&test, TPM_HASH_DATA, NULL);
    assert_false(test.client.established);
    run_step(&test, TPM_HASH_END, NULL);
    assert_true(test.client.established); /* told before the end is */
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

static void test_a_sequence_may_be_empty_and_followed_by_another(void **state)
{
    static const char *const script[] = { READY,   HASH_START, OK,         HASH_END, OK,
                                          GET_EST, CLEAR,      HASH_START, OK,       HASH_END,
                                          OK,      GET_EST,    SET,        GOODBYE,  NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    assert_true(backend_client_measure(&test.client, NULL, 0, 1));
    assert_false(test.client.established);
    assert_true(backend_client_measure(&test.client, NULL, 0, 1));
    assert_true(test.client.established);
    emulator_test_end(&test);
}

/* All in one receive: swtpm takes what it gets first for as much as the length says. */
static void test_the_largest_chunk_goes_out_in_one_go(void **state)
{
    static const char *const script[] = { READY, HASH_START,
                                          OK,    "c? 00000007 00000400 5a*1024",
                                          OK,    "c? 00000007 00000001 5a",
                                          OK,    HASH_END,
                                          OK,    GET_EST,
                                          SET,   GOODBYE,
                                          NULL };
    uint8_t data[TPM_HASH_CHUNK_MAX + 1];
    static EmulatorTest test;

    (void)state;
    memset(data, 0x5A, sizeof(data));
    emulator_test_start(&test, script);
    assert_true(backend_client_measure(&test.client, data, sizeof(data), TPM_HASH_CHUNK_MAX));
    emulator_test_end(&test);
}

static void test_a_step_waits_for_a_reset_of_established(void **state)
{
    static const char *const script[] = { READY, RESET_EST("03"), "c quiet", "wait",  OK,  GET_EST,
                                          CLEAR, HASH_START,      OK,        GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_reset_established(test.backend, 3);
    assert_true(fake_swtpm_reached(test.fake, 1));
    step(&test, TPM_HASH_START);
    fake_swtpm_go(test.fake);
    backend_client_wait_hashed(&test.client, 1);
    emulator_test_end(&test);
}

static void test_a_step_waits_for_the_reply_to_a_cancel(void **state)
{
    static const char *const script[] = { READY,    AT_LOCALITY0, RESPONSE,  COMMAND, CANCEL,
                                          RESPONSE, "wait",       "c quiet", OK,      HASH_START,
                                          OK,       GOODBYE,      NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_send(&test, 0);
    tpm_backend_cancel(test.backend);
    emulator_test_expect(&test, 2, 0);
    step(&test, TPM_HASH_START);
    fake_swtpm_go(test.fake);
    backend_client_wait_hashed(&test.client, 1);
    emulator_test_end(&test);
}

/* ---- the capability ---- */

static void test_bit_4_of_the_capabilities_decides(void **state)
{
    static const char *const script[] = { SHAKE("3faf"), GOODBYE, NULL };
    static const char *const able[] = { SHAKE("3fbf"), GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    assert_false(tpm_backend_can_hash(test.backend));
    emulator_test_end(&test);
    emulator_test_connect(&test, able);
    assert_true(tpm_backend_can_hash(test.backend));
    emulator_test_end(&test);
}

/* A peer that was started again, as another one: the connection is new, the backend is not. */
static void test_a_peer_that_lost_the_capability_fails_the_step(void **state)
{
    static const char *const script[] = { READY,        "c close", "accept", GREET("3faf"), START,
                                          AT_LOCALITY0, RESPONSE,  START,    GOODBYE,       NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    backend_client_wait_failed(&test.client, 1);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_MAX));
    emulator_test_run(&test, 0, 1, 0);
    run_step(&test, TPM_HASH_START, "lacks what a D-RTM needs: HASH_START");
    emulator_test_run(&test, 0, 2, TPM2_RC_FAILURE);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_MAX));
    emulator_test_end(&test);
}

/* ---- failures ---- */

/* A sequence whose nth message of three ends the script with this; the device starts again then. */
static void run_to(unsigned nth, const char *const *end, size_t n_end, const char *message)
{
    static const char *const sequence[] = { HASH_START, OK, HASH_ABC, OK, HASH_END, OK };
    static const char *const ready[] = { READY };
    static const TPMHashStep steps[] = { TPM_HASH_START, TPM_HASH_DATA, TPM_HASH_END };
    const char *script[64] = { NULL };
    size_t n = 0;
    static EmulatorTest test;

    for (size_t i = 0; i < G_N_ELEMENTS(ready); i++) {
        script[n++] = ready[i];
    }
    for (size_t i = 0; i < 2 * nth + 1; i++) {
        script[n++] = sequence[i];
    }
    for (size_t i = 0; i < n_end; i++) {
        script[n++] = end[i];
    }
    emulator_test_start(&test, script);
    for (unsigned i = 0; i < nth; i++) {
        run_step(&test, steps[i], NULL);
    }
    run_step(&test, steps[nth], message);
    emulator_test_run(&test, 0, 1, TPM2_RC_FAILURE);
    assert_false(test.client.established);
    if (n_end > 1) {
        assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_MAX));
        emulator_test_run(&test, 0, 2, 0);
    }
    emulator_test_end(&test);
}

static void test_a_refusal_of_any_step_fails_the_tpm_until_it_is_started(void **state)
{
    static const char *const end[] = { "c! 00000026", START, AT_LOCALITY0, RESPONSE, GOODBYE };
    static const char *const messages[] = {
        "refused HASH_START with result 26h (not possible before TPM_Startup)",
        "refused HASH_DATA with result 26h",
        "refused HASH_END with result 26h",
    };

    (void)state;
    for (unsigned nth = 0; nth < 3; nth++) {
        run_to(nth, end, G_N_ELEMENTS(end), messages[nth]);
    }
}

static void test_a_peer_that_dies_in_any_step_fails_it(void **state)
{
    static const char *const end[] = { "c close" };
    static const char *const messages[] = {
        "channel while HASH_START was under way",
        "channel while HASH_DATA was under way",
        "channel while HASH_END was under way",
    };

    (void)state;
    for (unsigned nth = 0; nth < 3; nth++) {
        run_to(nth, end, G_N_ELEMENTS(end), messages[nth]);
    }
}

static void test_a_peer_that_dies_before_it_tells_the_flag_fails_the_end(void **state)
{
    static const char *const script[] = { READY, HASH_START, OK,        HASH_END,
                                          OK,    GET_EST,    "c close", NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    run_step(&test, TPM_HASH_START, NULL);
    run_step(&test, TPM_HASH_END, "channel while GET_TPMESTABLISHED was under way");
    emulator_test_end(&test);
}

static void test_a_reply_may_come_in_pieces(void **state)
{
    static const char *const script[] = { READY,     HASH_START, "c! 0000", "wait",
                                          "c! 0000", GOODBYE,    NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    step(&test, TPM_HASH_START);
    assert_true(fake_swtpm_reached(test.fake, 1));
    assert_int_equal(test.client.hashed, 0);
    fake_swtpm_go(test.fake);
    backend_client_wait_hashed(&test.client, 1);
    emulator_test_end(&test);
}

static void test_a_second_reply_breaks_the_connection(void **state)
{
    static const char *const script[] = { READY, HASH_START, OK, "c! 00", "c eof", NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    step(&test, TPM_HASH_START);
    backend_client_wait_failed(&test.client, 1);
    assert_contains(test.client.failure, "sent bytes on the control channel that nobody asked for");
    run_step(&test, TPM_HASH_END, "has failed; the D-RTM measurement was not made");
    emulator_test_end(&test);
}

/* ---- the device goes, or starts ---- */

static void test_a_start_in_an_open_sequence_forgets_it(void **state)
{
    static const char *const script[] = { READY, HASH_START,   OK,       HASH_ABC, OK,
                                          START, AT_LOCALITY0, RESPONSE, GOODBYE,  NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    run_step(&test, TPM_HASH_START, NULL);
    run_step(&test, TPM_HASH_DATA, NULL);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_MAX));
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

/* The device goes with a step under way; the next one hears nothing of it. */
static void test_a_new_device_does_not_get_the_old_ones_answer(void **state)
{
    static const char *const script[] = { READY,      HASH_START, "wait",  OK,  START,
                                          HASH_START, OK,         GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    step(&test, TPM_HASH_START);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_unbind(&test);
    emulator_test_bind(&test);
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_MAX);
    fake_swtpm_go(test.fake);
    g_mutex_lock(&test.client.lock);
    while (test.client.started == 0) {
        g_cond_wait(&test.client.changed, &test.client.lock);
    }
    assert_int_equal(test.client.hashed, 0);
    g_mutex_unlock(&test.client.lock);
    run_step(&test, TPM_HASH_START, NULL);
    emulator_test_end(&test);
}

/* It had not even been sent: the bytes of a device that is gone never are. */
static void test_a_step_that_waited_goes_with_its_device(void **state)
{
    static const char *const script[] = { READY,        RESET_EST("03"), "wait",  OK,  START,
                                          AT_LOCALITY0, RESPONSE,        GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_reset_established(test.backend, 3);
    assert_true(fake_swtpm_reached(test.fake, 1));
    step(&test, TPM_HASH_START);
    emulator_test_unbind(&test);
    emulator_test_bind(&test);
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_MAX);
    fake_swtpm_go(test.fake);
    g_mutex_lock(&test.client.lock);
    while (test.client.started == 0) {
        g_cond_wait(&test.client.changed, &test.client.lock);
    }
    g_mutex_unlock(&test.client.lock);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

static void test_destroying_does_not_wait_for_a_step_for_ever(void **state)
{
    static const char *const script[] = { READY, HASH_START, "wait", "c eof", NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    step(&test, TPM_HASH_START);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_unbind(&test);
    test.backend = tpmdev_backend_unref(test.backend);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sequence_in_messages),
        cmocka_unit_test(test_a_sequence_may_be_empty_and_followed_by_another),
        cmocka_unit_test(test_the_largest_chunk_goes_out_in_one_go),
        cmocka_unit_test(test_a_step_waits_for_a_reset_of_established),
        cmocka_unit_test(test_a_step_waits_for_the_reply_to_a_cancel),
        cmocka_unit_test(test_bit_4_of_the_capabilities_decides),
        cmocka_unit_test(test_a_peer_that_lost_the_capability_fails_the_step),
        cmocka_unit_test(test_a_refusal_of_any_step_fails_the_tpm_until_it_is_started),
        cmocka_unit_test(test_a_peer_that_dies_in_any_step_fails_it),
        cmocka_unit_test(test_a_peer_that_dies_before_it_tells_the_flag_fails_the_end),
        cmocka_unit_test(test_a_reply_may_come_in_pieces),
        cmocka_unit_test(test_a_second_reply_breaks_the_connection),
        cmocka_unit_test(test_a_start_in_an_open_sequence_forgets_it),
        cmocka_unit_test(test_a_new_device_does_not_get_the_old_ones_answer),
        cmocka_unit_test(test_a_step_that_waited_goes_with_its_device),
        cmocka_unit_test(test_destroying_does_not_wait_for_a_step_for_ever),
    };

    return cmocka_run_group_tests_name("emulator-hash", tests, NULL, NULL);
}
