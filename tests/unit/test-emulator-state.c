/* SPDX-License-Identifier: BSD-3-Clause */
/* How the `emulator` backend saves its TPM's state, against scripted peers: each message, each
 * mistake. */
#include "emulator-blobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- save ---- */

static TPMState *save(EmulatorTest *test)
{
    TPMState *state = backend_client_save(&test->client);

    if (!state) {
        fail_msg("%s", test->client.move_error);
    }
    return state;
}

static void assert_blob(const TPMStateBlob *blob, const uint8_t *wanted, size_t size)
{
    assert_int_equal(blob->size, size);
    assert_memory_equal(blob->data, wanted, size);
}

static void save_and_compare(const char *const *script, uint32_t flags)
{
    static EmulatorTest test;

    emulator_test_start(&test, script);
    g_autofree TPMState *state = save(&test);

    assert_blob(&state->permanent, permanent, sizeof(permanent));
    assert_int_equal(state->permanent.flags, flags);
    assert_blob(&state->volatile_state, volatile_part, sizeof(volatile_part));
    assert_int_equal(state->volatile_state.flags, FLAG_2_0);
    assert_null(state->saved.data);
    assert_string_equal(state->writer, "swtpm before 0.8");
    emulator_test_end(&test);
}

static void test_the_parts_are_asked_for_in_order(void **state)
{
    static const char *const script[] = { READY, SAVED, GOODBYE, NULL };

    (void)state;
    save_and_compare(script, 0);
}

static void test_swtpms_flags_are_kept(void **state)
{
    static const char *const script[] = {
        READY,   GET_PERM, "c! 00000000 00000002 00000017 00000017 " PERM_BLOB,
        GET_VOL, VOL,      GET_SAVE,
        NO_SAVE, GOODBYE,  NULL
    };

    (void)state;
    save_and_compare(script, 2);
}

/* Its totlength is that of the whole, or of what is left, and either will do. */
static void test_a_part_comes_in_several_replies(void **state)
{
    static const char *const of_the_whole[] = { READY,
                                                GET_PERM,
                                                "c! 00000000 00000000 00000017 0000000f " PERM_HEAD,
                                                "c? 0000000c 00000000 00000001 0000000f",
                                                "c! 00000000 00000000 00000017 00000008 " PERM_TAIL,
                                                GET_VOL,
                                                VOL,
                                                GET_SAVE,
                                                NO_SAVE,
                                                GOODBYE,
                                                NULL };
    static const char *const of_the_rest[] = { READY,
                                               GET_PERM,
                                               "c! 00000000 00000000 00000017 0000000f " PERM_HEAD,
                                               "c? 0000000c 00000000 00000001 0000000f",
                                               "c! 00000000 00000000 00000008 00000008 " PERM_TAIL,
                                               GET_VOL,
                                               VOL,
                                               GET_SAVE,
                                               NO_SAVE,
                                               GOODBYE,
                                               NULL };

    (void)state;
    save_and_compare(of_the_whole, 0);
    save_and_compare(of_the_rest, 0);
}

static void test_a_reply_comes_in_pieces(void **state)
{
    static const char *const script[] = { READY,
                                          GET_PERM,
                                          "c! 00000000 0000",
                                          "c! 0000 00000017 00000017 " PERM_HEAD,
                                          "c! " PERM_TAIL,
                                          GET_VOL,
                                          VOL,
                                          GET_SAVE,
                                          NO_SAVE,
                                          GOODBYE,
                                          NULL };

    (void)state;
    save_and_compare(script, 0);
}

/* The TPM goes on as if nothing had been asked. */
static void refuse_save(const char *const *script, const char *words)
{
    static EmulatorTest test;

    emulator_test_start(&test, script);
    assert_null(backend_client_save(&test.client));
    assert_contains(test.client.move_error, words);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

#define REFUSED_SAVE(...)                                                                          \
    {                                                                                              \
        READY, __VA_ARGS__, AT_LOCALITY0, RESPONSE, GOODBYE, NULL                                  \
    }

static void test_what_is_not_handed_out_is_named(void **state)
{
    static const char *const gone[] = REFUSED_SAVE(GET_PERM, NO_SAVE);
    static const char *const empty[] =
        REFUSED_SAVE(GET_PERM, "c! 00000000 00000000 00000000 00000000");
    static const char *const hollow[] =
        REFUSED_SAVE(GET_PERM, "c! 00000000 00000000 0000000a 0000000a 0201000a 0004 0000000a");
    static const char *const not_running[] = REFUSED_SAVE(GET_PERM, "c! 0000000a");
    static const char *const crypt[] =
        REFUSED_SAVE(GET_PERM, PERM, GET_VOL, "c! 00000020 00000000 00000000 00000000");
    static const char *const no_volatile[] = REFUSED_SAVE(GET_PERM, PERM, GET_VOL, NO_SAVE);

    (void)state;
    refuse_save(gone, "permanent state, with result 800h (there is none; has the file");
    refuse_save(empty, "permanent state, with result 800h");
    refuse_save(hollow, "handed out a permanent state that has nothing in it");
    refuse_save(not_running, "permanent state, with result Ah (unknown message, or not possible");
    refuse_save(crypt, "volatile state, with result 20h");
    refuse_save(no_volatile, "volatile state, with result 800h");
}

/* A peer that cannot count is none to go on with. */
static void break_save(const char *const *script)
{
    static EmulatorTest test;

    emulator_test_start(&test, script);
    assert_null(backend_client_save(&test.client));
    assert_contains(test.client.move_error, "a state may have 524288");
    emulator_test_end(&test);
}

static void test_sizes_that_cannot_be_are_refused(void **state)
{
    static const char *const huge[] = { READY, GET_PERM, "c! 00000000 00000000 00080001 00080001",
                                        "c eof", NULL };
    static const char *const more[] = { READY, GET_PERM, "c! 00000000 00000000 00000004 00000005",
                                        "c eof", NULL };
    static const char *const none[] = { READY, GET_PERM, "c! 00000000 00000000 00000004 00000000",
                                        "c eof", NULL };
    static const char *const other[] = { READY,
                                         GET_PERM,
                                         "c! 00000000 00000000 00000004 00000001 aa",
                                         "c? 0000000c 00000000 00000001 00000001",
                                         "c! 00000000 00000000 00000005 00000001 aa",
                                         "c eof",
                                         NULL };

    (void)state;
    break_save(huge);
    break_save(more);
    break_save(none);
    break_save(other);
}

static void test_a_save_without_an_answer_times_out(void **state)
{
    static const char *const script[] = { READY, GET_PERM, "wait", "c eof", NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_save_state(test.backend, false);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_pass(&test, 60000);
    backend_client_wait_moved(&test.client, 1);
    assert_contains(test.client.move_error, "did not answer GET_STATEBLOB within");
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_what_was_wanted_comes_before_a_save(void **state)
{
    static const char *const script[] = {
        READY, "c? 0000000b 04000000", "wait", OK, GET_EST, CLEAR, SAVED, GOODBYE, NULL
    };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_reset_established(test.backend, 4);
    assert_true(fake_swtpm_reached(test.fake, 1));
    tpm_backend_save_state(test.backend, false);
    fake_swtpm_go(test.fake);
    backend_client_wait_moved(&test.client, 1);
    assert_null(test.client.move_error);
    emulator_test_end(&test);
}

static void test_a_peer_without_the_messages_says_so(void **state)
{
    static const char *const script[] = { SHAKE("3dbf"), START,   AT_LOCALITY0,
                                          RESPONSE,      GOODBYE, NULL };
    static EmulatorTest test;
    g_autoptr(GError) error = NULL;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_start(&test, script);
    assert_false(tpmdev_backend_can_migrate(test.backend, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    assert_contains(error->message, "it lacks SET_STATEBLOB");
    assert_null(backend_client_save(&test.client));
    assert_contains(test.client.move_error, "it lacks SET_STATEBLOB");
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    assert_contains(test.client.move_error, "it lacks SET_STATEBLOB");
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

/* ---- a device that has gone meanwhile ---- */

/* Some of the reply may be here already; the next one of this connection is behind it. */
static void start_after_save(const char *const *script, uint32_t left)
{
    static EmulatorTest test;
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;

    emulator_test_start(&test, script);
    tpm_backend_save_state(test.backend, false);
    assert_true(fake_swtpm_reached(test.fake, 1));
    while (emulator_test_peek(&test).reply_left != left) {
        assert_true(g_get_monotonic_time() < deadline);
        g_thread_yield();
    }
    emulator_test_unbind(&test);
    emulator_test_bind(&test);
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    fake_swtpm_go(test.fake);
    backend_client_wait_started(&test.client, 1);
    assert_null(test.client.start_error);
    emulator_test_end(&test);
}

static void test_what_is_handed_out_to_nobody_is_dropped(void **state)
{
    static const char *const whole[] = { READY, GET_PERM, "wait", PERM, START, GOODBYE, NULL };
    static const char *const half[] = { READY,
                                        GET_PERM,
                                        "c! 00000000 00000000 00000017 00000017 " PERM_HEAD,
                                        "wait",
                                        "c! " PERM_TAIL,
                                        START,
                                        GOODBYE,
                                        NULL };
    static const char *const info[] = { SHAKE("7fbf"),
                                        START,
                                        "c? 00000012 00000000 00000021 00000000 00000000",
                                        "wait",
                                        "c! 00000000 00000008 00000008 7b*7 00",
                                        START,
                                        GOODBYE,
                                        NULL };

    (void)state;
    start_after_save(whole, 0);
    start_after_save(half, 8);
    start_after_save(info, 0);
}

/* One that says it has more than there can be is not listened to for so long. */
static void test_what_nobody_wants_has_an_end(void **state)
{
    static const char *const script[] = { READY,   GET_PERM,
                                          "wait",  "c! 00000000 00000000 00080001 00080001",
                                          "c eof", NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_save_state(test.backend, false);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_unbind(&test);
    emulator_test_bind(&test);
    tpm_backend_start(test.backend, TPM_BUFFER_SIZE_COMMON);
    fake_swtpm_go(test.fake);
    backend_client_wait_started(&test.client, 1);
    assert_contains(test.client.start_error, "sent 524289 bytes");
    emulator_test_end(&test);
}

/* ---- the source after it ---- */

/* Its storage stays as it is: another host may have it by now. */
static void test_a_tpm_that_was_handed_out_is_not_shut_down(void **state)
{
    static const char *const script[] = { READY, SET_LOC("00"), OK, STARTED, SAVED, GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_startup_tpm(&test, 1);
    g_autofree TPMState *saved = save(&test);

    assert_int_equal(saved->volatile_state.flags, FLAG_2_0 | FLAG_USED | FLAG_STARTED);
    emulator_test_end(&test);
}

static void test_the_source_takes_its_storage_back(void **state)
{
    static const char *const script[] = { SHAKE_LOCKING, START,     SAVED, LOCK,
                                          "wait",        "d quiet", OK,    AT_LOCALITY0,
                                          RESPONSE,      GOODBYE,   NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    g_autofree TPMState *saved = save(&test);

    assert_string_equal(saved->writer, "swtpm 0.8 or later");
    tpm_backend_resume(test.backend);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_send(&test, 0);
    fake_swtpm_go(test.fake);
    emulator_test_expect(&test, 1, 0);
    emulator_test_end(&test);
}

/* Another host has it: a TPM command would end swtpm, and none is sent. */
static void test_a_source_without_its_storage_has_failed(void **state)
{
    static const char *const script[] = { SHAKE_LOCKING, START,     SAVED,   LOCK, "c! 0000001f",
                                          "wait",        "d quiet", GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    g_free(save(&test));
    tpm_backend_resume(test.backend);
    backend_client_wait_failed(&test.client, 1);
    assert_contains(test.client.failure, "the TPM cannot go on here, where its state was saved");
    emulator_test_run(&test, 0, 1, TPM2_RC_FAILURE);
    fake_swtpm_go(test.fake);
    emulator_test_end(&test);
}

static void test_a_held_source_is_not_connected_to(void **state)
{
    static const char *const script[] = { READY,    SAVED,         "wait",  "c close",
                                          "accept", GREET("3fbf"), STOP,    OK,
                                          GET_SIZE, SIZE_4096,     STOP,    OK,
                                          SET_SIZE, SIZE_4096,     INIT,    OK,
                                          GET_EST,  CLEAR,         GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    g_free(save(&test));
    fake_swtpm_go(test.fake);
    backend_client_wait_failed(&test.client, 1);
    emulator_test_pass(&test, 5000);
    assert_int_equal(emulator_test_peek(&test).control_fd, -1);
    tpm_backend_resume(test.backend);
    emulator_test_pass(&test, 1);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_parts_are_asked_for_in_order),
        cmocka_unit_test(test_swtpms_flags_are_kept),
        cmocka_unit_test(test_a_part_comes_in_several_replies),
        cmocka_unit_test(test_a_reply_comes_in_pieces),
        cmocka_unit_test(test_what_is_not_handed_out_is_named),
        cmocka_unit_test(test_sizes_that_cannot_be_are_refused),
        cmocka_unit_test(test_a_save_without_an_answer_times_out),
        cmocka_unit_test(test_what_was_wanted_comes_before_a_save),
        cmocka_unit_test(test_a_peer_without_the_messages_says_so),
        cmocka_unit_test(test_what_is_handed_out_to_nobody_is_dropped),
        cmocka_unit_test(test_what_nobody_wants_has_an_end),
        cmocka_unit_test(test_a_tpm_that_was_handed_out_is_not_shut_down),
        cmocka_unit_test(test_the_source_takes_its_storage_back),
        cmocka_unit_test(test_a_source_without_its_storage_has_failed),
        cmocka_unit_test(test_a_held_source_is_not_connected_to),
    };

    return cmocka_run_group_tests_name("emulator-state", tests, NULL, NULL);
}
