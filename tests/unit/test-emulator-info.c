/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What swtpm is asked of its TPM before a state moves, against scripted peers that are newer ones,
 * and such as do not answer, or cannot count: words are all that depends on it.
 */
#include "emulator-blobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ASK_SOURCE(offset) "c? 00000012 00000000 00000021 " offset " 00000000"
#define ASK_TARGET(offset) "c? 00000012 00000000 00000041 " offset " 00000000"

#define SPECIFICATION "{\"TPMSpecification\":{\"family\":\"2.0\",\"level\":0,\"revision\":183}"
#define SOURCE                                                                                     \
    SPECIFICATION ",\"ActiveProfile\":{\"Name\":\"default-v2\",\"StateFormatLevel\":8,"            \
                  "\"Commands\":\"0x11f-0x122\"}}"
#define TARGET                                                                                     \
    SPECIFICATION ",\"AvailableProfiles\":[{\"Name\":\"null\",\"StateFormatLevel\":1},"            \
                  "{\"Name\":\"default-v1\",\"StateFormatLevel\":7}]}"

#define SOURCE_WORDS "swtpm before 0.8 (TPM 2.0 revision 183, profile 'default-v2' of level 8)"

/* A reply with some bytes of a text, whose NUL is one of them, and which says that it has so many.
 */
static char *say(const char *text, gsize from, gsize size, gsize total)
{
    GString *line = g_string_new(NULL);

    g_string_printf(line, "c! 00000000 %08x %08x ", (unsigned)total, (unsigned)size);
    for (gsize i = from; i < from + size; i++) {
        g_string_append_printf(line, "%02x", (guint8)text[i]);
    }
    return g_string_free(line, FALSE);
}

static char *say_all(const char *text)
{
    gsize size = strlen(text) + 1;

    return say(text, 0, size, size);
}

/* ---- save ---- */

static void save_and_compare(const char *const *script, const char *writer)
{
    static EmulatorTest test;

    emulator_test_start(&test, script);
    g_autofree TPMState *state = backend_client_save(&test.client);

    if (!state) {
        fail_msg("%s", test.client.move_error);
    }
    assert_string_equal(state->writer, writer);
    assert_int_equal(state->permanent.size, sizeof(permanent));
    assert_int_equal(state->volatile_state.size, sizeof(volatile_part));
    emulator_test_end(&test);
}

static void test_a_saved_state_tells_which_tpm_it_is_of(void **state)
{
    g_autofree char *all = say_all(SOURCE);
    const char *const script[] = { SHAKE("7fbf"), START, ASK_SOURCE("00000000"), all, SAVED,
                                   GOODBYE,       NULL };

    (void)state;
    save_and_compare(script, SOURCE_WORDS);
}

static void test_it_comes_in_chunks_and_in_pieces(void **state)
{
    g_autofree char *first = say(SOURCE, 0, 0x50, sizeof(SOURCE));
    g_autofree char *second = say(SOURCE, 0x50, sizeof(SOURCE) - 0x50, sizeof(SOURCE));
    g_autofree char *head = g_strndup(second, strlen("c! 00000000 0000"));
    g_autofree char *body = g_strdup_printf("c! %.40s", second + strlen(head));
    g_autofree char *rest = g_strdup_printf("c! %s", second + strlen(head) + 40);
    const char *const script[] = { SHAKE("7fbf"),
                                   START,
                                   ASK_SOURCE("00000000"),
                                   first,
                                   ASK_SOURCE("00000050"),
                                   head,
                                   body,
                                   rest,
                                   SAVED,
                                   GOODBYE,
                                   NULL };

    (void)state;
    save_and_compare(script, SOURCE_WORDS);
}

static void test_what_cannot_be_shown_is_left_out(void **state)
{
    g_autofree char *strange =
        say_all("{\"family\":\"2.0\",\"revision\":183,\"ActiveProfile\":{\"Name\":\"\033[2J\"}}");
    g_autofree char *no_text = say("\0\0\0", 0, 3, 3);
    const char *const shown[] = { SHAKE("7fbf"), START, ASK_SOURCE("00000000"), strange, SAVED,
                                  GOODBYE,       NULL };
    const char *const nothing[] = { SHAKE("7fbf"), START, ASK_SOURCE("00000000"), no_text, SAVED,
                                    GOODBYE,       NULL };

    (void)state;
    save_and_compare(shown, "swtpm before 0.8 (TPM 2.0 revision 183, a profile)");
    save_and_compare(nothing, "swtpm before 0.8");
}

static void test_a_refusal_leaves_words_out(void **state)
{
    static const char *const refused[] = { SHAKE("7fbf"), START, ASK_SOURCE("00000000"),
                                           "c! 0000000a", SAVED, GOODBYE,
                                           NULL };
    static const char *const empty[] = {
        SHAKE("7fbf"), START, ASK_SOURCE("00000000"), "c! 00000000 00000000 00000000", SAVED,
        GOODBYE,       NULL
    };
    static const char *const no_more[] = { SHAKE("7fbf"),
                                           START,
                                           ASK_SOURCE("00000000"),
                                           "c! 00000000 00000040 00000001 7b",
                                           ASK_SOURCE("00000001"),
                                           "c! 00000000 00000040 00000000",
                                           SAVED,
                                           GOODBYE,
                                           NULL };
    static const char *const half[] = { SHAKE("7fbf"),
                                        START,
                                        ASK_SOURCE("00000000"),
                                        "c! 00000000 00000040 00000001 7b",
                                        ASK_SOURCE("00000001"),
                                        "c! 00000003",
                                        SAVED,
                                        GOODBYE,
                                        NULL };

    (void)state;
    save_and_compare(refused, "swtpm before 0.8");
    save_and_compare(empty, "swtpm before 0.8");
    save_and_compare(no_more, "swtpm before 0.8");
    save_and_compare(half, "swtpm before 0.8");
}

static void test_no_more_is_asked_for_than_anybody_has_to_say(void **state)
{
#define ONE_OF_MANY "c! 00000000 ffffffff 00000001 7b"
    static const char *const script[] = { SHAKE("7fbf"),
                                          START,
                                          ASK_SOURCE("00000000"),
                                          ONE_OF_MANY,
                                          ASK_SOURCE("00000001"),
                                          ONE_OF_MANY,
                                          ASK_SOURCE("00000002"),
                                          ONE_OF_MANY,
                                          ASK_SOURCE("00000003"),
                                          ONE_OF_MANY,
                                          ASK_SOURCE("00000004"),
                                          ONE_OF_MANY,
                                          ASK_SOURCE("00000005"),
                                          ONE_OF_MANY,
                                          ASK_SOURCE("00000006"),
                                          ONE_OF_MANY,
                                          ASK_SOURCE("00000007"),
                                          ONE_OF_MANY,
                                          SAVED,
                                          GOODBYE,
                                          NULL };

    (void)state;
    save_and_compare(script, "swtpm before 0.8");
}

/* It may be busy with something, or not know the message: the state comes all the same. */
static void test_no_answer_leaves_words_out(void **state)
{
    static const char *const script[] = { SHAKE("7fbf"), START, ASK_SOURCE("00000000"),
                                          "wait",        SAVED, GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_save_state(test.backend, false);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_pass(&test, 60000);
    fake_swtpm_go(test.fake);
    backend_client_wait_moved(&test.client, 1);
    assert_null(test.client.move_error);
    assert_string_equal(test.client.saved->writer, "swtpm before 0.8");
    emulator_test_end(&test);
}

/* It is taken for no part of a state. */
static void test_an_answer_that_is_too_late_is_no_state(void **state)
{
    g_autofree char *all = say_all(SOURCE);
    const char *const script[] = { SHAKE("7fbf"), START,    ASK_SOURCE("00000000"),
                                   "wait",        GET_PERM, all,
                                   "c eof",       NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_save_state(test.backend, false);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_pass(&test, 60000);
    fake_swtpm_go(test.fake);
    backend_client_wait_moved(&test.client, 1);
    assert_contains(test.client.move_error, "of the TPM's permanent state; a state may have");
    emulator_test_end(&test);
}

/* Nobody knows where the next reply begins. */
static void test_a_peer_that_cannot_count_is_left(void **state)
{
    static const char *const replies[] = { "c! 00000000 00000004 00000005",
                                           "c! 00000000 ffffffff 00004001",
                                           "c! 00000000 ffffffff ffffffff" };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(replies); i++) {
        const char *const script[] = { SHAKE("7fbf"), START,   ASK_SOURCE("00000000"),
                                       replies[i],    "c eof", NULL };
        static EmulatorTest test;

        emulator_test_start(&test, script);
        assert_null(backend_client_save(&test.client));
        assert_contains(test.client.move_error, "about its TPM; a message may have 16384");
        emulator_test_end(&test);
    }
}

/* ---- load ---- */

static void refuse_load(const char *const *script, const char *words)
{
    static EmulatorTest test;
    TPMState given = some_state(0);

    given.writer = SOURCE_WORDS;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    assert_contains(test.client.move_error, words);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_end(&test);
}

#define REFUSED_LOAD(...)                                                                          \
    {                                                                                              \
        SHAKE("7fbf"), SIZES, __VA_ARGS__, SET_PERM, "c! 0000002e", "c eof", "accept",             \
            GREET("7fbf"), START_AFTER_REFUSAL, GOODBYE, NULL                                      \
    }

static void test_a_refusal_tells_of_both_tpms(void **state)
{
    g_autofree char *all = say_all(TARGET);
    const char *const knows[] = REFUSED_LOAD(ASK_TARGET("00000000"), all);
    static const char *const mute[] = REFUSED_LOAD(ASK_TARGET("00000000"), "c! 0000000a");

    (void)state;
    refuse_load(knows, "did not take the TPM's state, which " SOURCE_WORDS
                       " wrote; it is swtpm before 0.8 (TPM 2.0 revision 183, profiles null "
                       "default-v1 up to level 7) and refused SET_STATEBLOB of the part permanent "
                       "with result 2Eh (it was written by a later version, or has a profile");
    refuse_load(mute, " wrote; it is swtpm before 0.8 and refused SET_STATEBLOB");
}

static void test_a_state_is_loaded_after_the_question(void **state)
{
    g_autofree char *all = say_all(TARGET);
    const char *const script[] = { SHAKE("7fbf"), SIZES,   ASK_TARGET("00000000"),
                                   all,           SETS,    STORED,
                                   GET_EST,       CLEAR,   AT_LOCALITY0,
                                   RESPONSE,      GOODBYE, NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_true(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

/* What came late could be taken for a part's being granted, and its TPM be started. */
static void test_no_part_is_given_to_one_that_does_not_answer(void **state)
{
    static const char *const script[] = { SHAKE("7fbf"), SIZES,    ASK_TARGET("00000000"), "wait",
                                          "c eof",       "accept", GREET("7fbf"),          START,
                                          GOODBYE,       NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    tpm_backend_load_state(test.backend, TPM_BUFFER_SIZE_COMMON, &given, false, false);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_pass(&test, 60000);
    fake_swtpm_go(test.fake);
    backend_client_wait_moved(&test.client, 1);
    assert_contains(test.client.move_error, "did not answer GET_INFO within");
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_saved_state_tells_which_tpm_it_is_of),
        cmocka_unit_test(test_it_comes_in_chunks_and_in_pieces),
        cmocka_unit_test(test_what_cannot_be_shown_is_left_out),
        cmocka_unit_test(test_a_refusal_leaves_words_out),
        cmocka_unit_test(test_no_more_is_asked_for_than_anybody_has_to_say),
        cmocka_unit_test(test_no_answer_leaves_words_out),
        cmocka_unit_test(test_an_answer_that_is_too_late_is_no_state),
        cmocka_unit_test(test_a_peer_that_cannot_count_is_left),
        cmocka_unit_test(test_a_refusal_tells_of_both_tpms),
        cmocka_unit_test(test_a_state_is_loaded_after_the_question),
        cmocka_unit_test(test_no_part_is_given_to_one_that_does_not_answer),
    };

    return cmocka_run_group_tests_name("emulator-info", tests, NULL, NULL);
}
