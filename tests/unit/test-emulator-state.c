/* SPDX-License-Identifier: BSD-3-Clause */
/* The `emulator` backend's saved state, against scripted peers: each message and what can be wrong.
 */
#include "emulator-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- what swtpm hears and says ---- */

/* Blobs: a header, and in two parts one byte of data. */
#define PERM_HEAD "0201000a 0004 00000017 0004 000000"
#define PERM_TAIL "07 0001 00000001 aa"
#define PERM_BLOB PERM_HEAD PERM_TAIL
#define VOL_BLOB  "0201000a 0004 00000017 0004 00000007 0001 00000001 bb"
#define SAVE_BLOB "0201000a 0004 00000017 0004 00000007 0001 00000001 cc"

#define GET_PERM "c? 0000000c 00000000 00000001 00000000"
#define GET_VOL  "c? 0000000c 00000000 00000002 00000000"
#define GET_SAVE "c? 0000000c 00000000 00000003 00000000"
#define PERM     "c! 00000000 00000000 00000017 00000017 " PERM_BLOB
#define VOL      "c! 00000000 00000000 00000017 00000017 " VOL_BLOB
#define NO_SAVE  "c! 00000800 00000000 00000000 00000000"
#define SAVED    GET_PERM, PERM, GET_VOL, VOL, GET_SAVE, NO_SAVE

#define SET_PERM "c? 0000000d 00000000 00000001 00000017 " PERM_BLOB
#define SET_VOL  "c? 0000000d 00000000 00000002 00000017 " VOL_BLOB
#define SET_SAVE "c? 0000000d 00000000 00000003 00000017 " SAVE_BLOB
#define SIZES    STOP, OK, GET_SIZE, SIZE_4096, STOP, OK, SET_SIZE, SIZE_4096
#define SETS     SET_PERM, OK, SET_VOL, OK
#define INIT_1   "c? 00000002 00000001"
#define LOADED   SIZES, SETS, INIT_1, OK, GET_EST, CLEAR

/* What libtpms must refuse, so that it drops what it was given. */
#define DROP                                                                                       \
    "c? 0000000d 00000000 00000002 00000026 0201000a 0004 00000026 0004 00000016 0001 00000010 "   \
    "00*16"
#define NO_KEY  "c! 0000000d"
#define DROPPED "c! 0000001e"
#define START_AFTER_REFUSAL                                                                        \
    STOP, OK, DROP, DROPPED, GET_SIZE, SIZE_4096, STOP, OK, SET_SIZE, SIZE_4096, INIT, OK,         \
        GET_EST, CLEAR

/* A swtpm that has LOCK_STORAGE, and sends TPM2_Shutdown by itself. */
#define SHAKE_LOCKING                                                                              \
    SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, "c! 00000000 00013fbf", GET_SIZE, SIZE_4096
#define LOCK "c? 00000013 0000012c"

#define FLAG_USED      (1u << 16)
#define FLAG_STARTED   (1u << 17)
#define FLAG_HASH_OPEN (1u << 19)
#define FLAG_2_0       (1u << 21)

static const uint8_t permanent[23] = { 2, 1, 0, 10, 0, 4, 0, 0, 0, 23, 0,   4,
                                       0, 0, 0, 7,  0, 1, 0, 0, 0, 1,  0xAA };
static const uint8_t volatile_part[23] = { 2, 1, 0, 10, 0, 4, 0, 0, 0, 23, 0,   4,
                                           0, 0, 0, 7,  0, 1, 0, 0, 0, 1,  0xBB };
static const uint8_t saved_part[23] = { 2, 1, 0, 10, 0, 4, 0, 0, 0, 23, 0,   4,
                                        0, 0, 0, 7,  0, 1, 0, 0, 0, 1,  0xCC };

static TPMState some_state(uint32_t flags)
{
    return (TPMState){
        .size = sizeof(TPMState),
        .permanent = { permanent, sizeof(permanent), 0 },
        .volatile_state = { volatile_part, sizeof(volatile_part), FLAG_2_0 | flags },
        .writer = "swtpm of old",
    };
}

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

/* ---- the source after it ---- */

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

/* ---- load ---- */

static void load(EmulatorTest *test, const TPMState *state)
{
    if (!backend_client_load(&test->client, TPM_BUFFER_SIZE_COMMON, state)) {
        fail_msg("%s", test->client.move_error);
    }
}

static void test_a_state_is_loaded_in_place_of_the_first_start(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), SIZES,   SETS,    SET_SAVE, OK,
                                          INIT_1,        OK,      GET_EST, CLEAR,    AT_LOCALITY0,
                                          RESPONSE,      GOODBYE, NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    given.saved = (TPMStateBlob){ saved_part, sizeof(saved_part), 0 };
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    load(&test, &given);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

static void test_flags_of_a_blob_go_back_to_swtpm(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"),
                                          SIZES,
                                          "c? 0000000d 00000002 00000001 00000017 " PERM_BLOB,
                                          OK,
                                          "c? 0000000d 00000002 00000002 00000017 " VOL_BLOB,
                                          OK,
                                          INIT_1,
                                          OK,
                                          GET_EST,
                                          CLEAR,
                                          GOODBYE,
                                          NULL };
    static EmulatorTest test;
    TPMState given = some_state(2);

    (void)state;
    given.permanent.flags = 2;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    load(&test, &given);
    emulator_test_end(&test);
}

/* Its flag was left by the TPM that the process had before. */
static void test_a_loaded_tpm_is_known_again(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"),
                                          SIZES,
                                          SETS,
                                          INIT_1,
                                          OK,
                                          GET_EST,
                                          "c! 00000000 01 000000",
                                          "c? 0000000b 04000000",
                                          OK,
                                          PROBE_2_0,
                                          CLOCK("00000004 00000005"),
                                          ASK_IDENTITY,
                                          IDENTITY("33*4"),
                                          ORDERLY_GOODBYE,
                                          NULL };
    static EmulatorTest test;
    TPMState given = some_state(FLAG_USED | FLAG_STARTED);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    load(&test, &given);
    assert_false(test.client.established);
    Emulator known = emulator_test_peek(&test);

    assert_true(known.used && known.started);
    assert_int_equal(known.session.size, 8);
    assert_int_equal(known.session.bytes[3], 4);
    assert_int_equal(known.identity.bytes[0], 0x33);
    emulator_test_end(&test);
}

static void test_an_open_hash_sequence_ends_elsewhere(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), LOADED, "c? 00000008", OK,
                                          GET_EST,       CLEAR,  GOODBYE,       NULL };
    static EmulatorTest test;
    TPMState given = some_state(FLAG_HASH_OPEN);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    tpm_backend_load_state(test.backend, TPM_BUFFER_SIZE_COMMON, &given, false, true);
    backend_client_wait_moved(&test.client, 1);
    backend_client_hash(&test.client, TPM_HASH_END, NULL, 0);
    backend_client_wait_hashed(&test.client, 1);
    assert_true(test.client.established);
    emulator_test_end(&test);
}

/* A command within it would end it. */
static void test_a_tpm_with_an_open_sequence_is_known_after_it(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"),   LOADED,
                                          "c? 00000008",   OK,
                                          PROBE_2_0,       CLOCK("00000004 00000005"),
                                          ASK_IDENTITY,    IDENTITY("33*4"),
                                          GET_EST,         CLEAR,
                                          ORDERLY_GOODBYE, NULL };
    static EmulatorTest test;
    TPMState given = some_state(FLAG_USED | FLAG_STARTED | FLAG_HASH_OPEN);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    tpm_backend_load_state(test.backend, TPM_BUFFER_SIZE_COMMON, &given, false, true);
    backend_client_wait_moved(&test.client, 1);
    assert_int_equal(emulator_test_peek(&test).session.size, 0);
    backend_client_hash(&test.client, TPM_HASH_END, NULL, 0);
    backend_client_wait_hashed(&test.client, 1);
    assert_true(test.client.established);
    assert_int_equal(emulator_test_peek(&test).session.size, 8);
    emulator_test_end(&test);
}

static void test_a_target_waits_for_its_storage(void **state)
{
    static const char *const script[] = { SHAKE_LOCKING, SIZES, LOCK,    OK,  SETS, INIT_1, OK,
                                          GET_EST,       CLEAR, GOODBYE, NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    load(&test, &given);
    emulator_test_end(&test);
}

static void test_a_large_part_is_sent_as_there_is_room(void **state)
{
    static const char *const script[] = {
        SHAKE("3fbf"), SIZES, SET_PERM, OK,  "wait", "c drain 524304", OK, INIT_1, OK,
        GET_EST,       CLEAR, GOODBYE,  NULL
    };
    static EmulatorTest test;
    TPMState given = some_state(0);
    g_autofree uint8_t *large = g_malloc0(TPM_STATE_BLOB_SIZE_MAX);

    (void)state;
    memcpy(large, volatile_part, sizeof(volatile_part));
    tpm_put_be32(large + 6, TPM_STATE_BLOB_SIZE_MAX);
    given.volatile_state.data = large;
    given.volatile_state.size = TPM_STATE_BLOB_SIZE_MAX;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    tpm_backend_load_state(test.backend, TPM_BUFFER_SIZE_COMMON, &given, false, false);
    assert_true(fake_swtpm_reached(test.fake, 1));
    assert_non_null(emulator_test_peek(&test).move.incoming);
    fake_swtpm_go(test.fake);
    backend_client_wait_moved(&test.client, 1);
    assert_null(test.client.move_error);
    emulator_test_end(&test);
}

/* ---- refusals ---- */

static void refuse_load(const char *result, const char *words, TPMError code)
{
    g_autofree char *reply = g_strdup_printf("c! %s", result);
    const char *const script[] = { SHAKE("3fbf"), SIZES,    SET_PERM,      reply,
                                   "c eof",       "accept", GREET("3fbf"), START_AFTER_REFUSAL,
                                   GOODBYE,       NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    assert_contains(test.client.move_error, words);
    assert_int_equal(test.client.move_code, code);
    assert_contains(test.client.move_error, "which swtpm of old wrote");
    assert_int_equal(test.client.failed, 0);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_end(&test);
}

static void test_what_is_refused_is_told_in_words(void **state)
{
    (void)state;
    refuse_load("0000000d",
                "part permanent with result Dh (it is encrypted and this swtpm has no key",
                TPM_ERROR_STATE_MISMATCH);
    refuse_load("00000021", "cannot be decrypted", TPM_ERROR_STATE_MISMATCH);
    refuse_load("0000002e", "a later version, or has a profile", TPM_ERROR_UNSUPPORTED);
    refuse_load("00000084", "that of another TPM", TPM_ERROR_STATE_DAMAGED);
    refuse_load("00000083", "its checksum is wrong", TPM_ERROR_STATE_DAMAGED);
    refuse_load("0000001e", "no state of this kind of TPM", TPM_ERROR_STATE_DAMAGED);
    refuse_load("00000003", "cut short or damaged", TPM_ERROR_STATE_DAMAGED);
    refuse_load("00000034", "this TPM has no such part", TPM_ERROR_STATE_DAMAGED);
    refuse_load("0000001f", "another swtpm may still have it locked", TPM_ERROR_IO);
}

/* swtpm has the permanent part, and would start a TPM of it with an INIT. */
static void test_parts_that_were_given_are_dropped(void **state)
{
    static const char *const script[] = { READY,         SIZES,
                                          SET_PERM,      OK,
                                          SET_VOL,       NO_KEY,
                                          "c eof",       "accept",
                                          GREET("3fbf"), START_AFTER_REFUSAL,
                                          GOODBYE,       NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_start(&test, script);
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    assert_contains(test.client.move_error, "part volatile with result Dh");
    emulator_test_pass(&test, 5);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_end(&test);
}

static void test_the_same_when_the_connection_is_lost(void **state)
{
    static const char *const script[] = { READY,    SIZES,         SET_PERM,
                                          OK,       SET_VOL,       "c close",
                                          "accept", GREET("3fbf"), START_AFTER_REFUSAL,
                                          GOODBYE,  NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_start(&test, script);
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    assert_contains(test.client.move_error, "closed the control channel while SET_STATEBLOB");
    emulator_test_pass(&test, 5);
    backend_client_wait_recovered(&test.client, 1);
    emulator_test_end(&test);
}

static void test_a_peer_that_takes_anything_starts_no_tpm(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), SIZES, SET_PERM, NO_KEY, "c eof", "accept",
                                          GREET("3fbf"), STOP,  OK,       DROP,   OK,      "c eof",
                                          NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    assert_false(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    assert_contains(test.client.start_error, "took a state that is none");
    emulator_test_end(&test);
}

/* The device has given up waiting: what is half sent cannot be followed by anything. */
static void test_a_start_cuts_a_load_off(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), SIZES,         "wait",
                                          "accept",      GREET("3fbf"), START_AFTER_REFUSAL,
                                          GOODBYE,       NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);
    g_autofree uint8_t *large = g_malloc0(TPM_STATE_BLOB_SIZE_MAX);

    (void)state;
    memcpy(large, permanent, sizeof(permanent));
    tpm_put_be32(large + 6, TPM_STATE_BLOB_SIZE_MAX);
    given.permanent.data = large;
    given.permanent.size = TPM_STATE_BLOB_SIZE_MAX;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    tpm_backend_load_state(test.backend, TPM_BUFFER_SIZE_COMMON, &given, false, false);
    assert_true(fake_swtpm_reached(test.fake, 1));
    while (!emulator_test_peek(&test).outgoing) {
        g_thread_yield();
    }
    emulator_test_pass(&test, 60000);
    backend_client_wait_moved(&test.client, 1);
    assert_contains(test.client.move_error, "did not answer SET_STATEBLOB within");
    fake_swtpm_go(test.fake);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
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
        cmocka_unit_test(test_the_source_takes_its_storage_back),
        cmocka_unit_test(test_a_source_without_its_storage_has_failed),
        cmocka_unit_test(test_a_held_source_is_not_connected_to),
        cmocka_unit_test(test_a_state_is_loaded_in_place_of_the_first_start),
        cmocka_unit_test(test_flags_of_a_blob_go_back_to_swtpm),
        cmocka_unit_test(test_a_loaded_tpm_is_known_again),
        cmocka_unit_test(test_an_open_hash_sequence_ends_elsewhere),
        cmocka_unit_test(test_a_tpm_with_an_open_sequence_is_known_after_it),
        cmocka_unit_test(test_a_target_waits_for_its_storage),
        cmocka_unit_test(test_a_large_part_is_sent_as_there_is_room),
        cmocka_unit_test(test_what_is_refused_is_told_in_words),
        cmocka_unit_test(test_parts_that_were_given_are_dropped),
        cmocka_unit_test(test_the_same_when_the_connection_is_lost),
        cmocka_unit_test(test_a_peer_that_takes_anything_starts_no_tpm),
        cmocka_unit_test(test_a_start_cuts_a_load_off),
    };

    return cmocka_run_group_tests_name("emulator-state", tests, NULL, NULL);
}
