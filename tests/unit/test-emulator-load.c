/* SPDX-License-Identifier: BSD-3-Clause */
/* How the `emulator` backend loads a TPM's state, against scripted peers, and what follows a
 * refusal. */
#include "emulator-blobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- load ---- */

static void load(EmulatorTest *test, const TPMState *state)
{
    if (!backend_client_load(&test->client, TPM_BUFFER_SIZE_COMMON, state)) {
        fail_msg("%s", test->client.move_error);
    }
}

static void test_a_state_is_loaded_in_place_of_the_first_start(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), SIZES,   SETS,  SET_SAVE,     OK,
                                          STORED,        GET_EST, CLEAR, AT_LOCALITY0, RESPONSE,
                                          GOODBYE,       NULL };
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
                                          STORED,
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
                                          STORED,
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
    static const char *const script[] = { SHAKE_LOCKING, SIZES,   LOCK,  OK,      SETS,
                                          STORED,        GET_EST, CLEAR, GOODBYE, NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    load(&test, &given);
    emulator_test_end(&test);
}

/* It waits for the lock before it answers the first part. */
static void test_a_part_may_take_as_long_as_the_lock(void **state)
{
    static const char *const script[] = { SHAKE_LOCKING, SIZES, LOCK,    OK,  SET_PERM,
                                          "wait",        OK,    SET_VOL, OK,  STORED,
                                          GET_EST,       CLEAR, GOODBYE, NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    tpm_backend_load_state(test.backend, TPM_BUFFER_SIZE_COMMON, &given, false, false);
    assert_true(fake_swtpm_reached(test.fake, 1));
    emulator_test_pass(&test, 7900);
    fake_swtpm_go(test.fake);
    backend_client_wait_moved(&test.client, 1);
    assert_null(test.client.move_error);
    emulator_test_end(&test);
}

/* The largest part there may be; free it with g_free(). */
static TPMStateBlob largest_part(void)
{
    uint8_t *large = g_malloc0(TPM_STATE_BLOB_SIZE_MAX);

    memcpy(large, volatile_part, sizeof(volatile_part));
    tpm_put_be32(large + 6, TPM_STATE_BLOB_SIZE_MAX);
    tpm_put_be32(large + 12, TPM_STATE_BLOB_SIZE_MAX - 16);
    tpm_put_be32(large + 18, TPM_STATE_BLOB_SIZE_MAX - 22);
    return (TPMStateBlob){ large, TPM_STATE_BLOB_SIZE_MAX, 0 };
}

static void test_a_large_part_is_sent_as_there_is_room(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"),    SIZES, SET_PERM, OK,      "wait",
                                          "c drain 524304", OK,    STORED,   GET_EST, CLEAR,
                                          GOODBYE,          NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);
    TPMStateBlob large = largest_part();

    (void)state;
    given.volatile_state.data = large.data;
    given.volatile_state.size = large.size;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    tpm_backend_load_state(test.backend, TPM_BUFFER_SIZE_COMMON, &given, false, false);
    assert_true(fake_swtpm_reached(test.fake, 1));
    assert_non_null(emulator_test_peek(&test).move.incoming);
    fake_swtpm_go(test.fake);
    backend_client_wait_moved(&test.client, 1);
    assert_null(test.client.move_error);
    emulator_test_end(&test);
    g_free((void *)large.data);
}

/* ---- a TPM 1.2 whose last command was TPM_SaveState ---- */

#define SHAKE_1_2                                                                                  \
    SET_DATAFD, OK, PROBE_2_0, FAILURE_1_2, PROBE_1_2, FAILURE_1_2, GET_CAPS, CAPS("3fbf"),        \
        GET_SIZE, SIZE_4096
#define HIDE_VOL      "c? 0000000d 00000000 00000002 00000000"
#define STARTUP_STATE "d? 00c1 0000000c 00000099 0002"
#define SAVE_STATE    "d? 00c1 0000000a 00000098"
#define SUCCESS_1_2   "d! 00c4 0000000a 00000000"

#define FLAG_1_2 (1u << 20)

static TPMState state_1_2(uint32_t flags)
{
    TPMState given = some_state(0);

    given.volatile_state.flags = FLAG_1_2 | flags;
    given.saved = (TPMStateBlob){ saved_part, sizeof(saved_part), 0 };
    return given;
}

/* No command of the library's own follows TPM_SaveState: it would undo that. */
static void test_a_tpm_that_saved_its_state_is_woken_and_put_to_sleep(void **state)
{
    static const char *const script[] = {
        SHAKE_1_2,     SIZES,       SET_PERM,   OK,          HIDE_VOL, OK,    SET_SAVE, OK,  STORED,
        STARTUP_STATE, SUCCESS_1_2, SAVE_STATE, SUCCESS_1_2, GET_EST,  CLEAR, GOODBYE,  NULL
    };
    static EmulatorTest test;
    TPMState given = state_1_2(FLAG_USED | FLAG_STARTED);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    load(&test, &given);
    emulator_test_end(&test);
}

/* It has its power again, and its guest is about to start it. */
static void test_a_tpm_that_was_not_started_since_is_left_alone(void **state)
{
    static const char *const script[] = { SHAKE_1_2, SIZES,   SETS,  SET_SAVE, OK,
                                          STORED,    GET_EST, CLEAR, GOODBYE,  NULL };
    static EmulatorTest test;
    TPMState given = state_1_2(0);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    load(&test, &given);
    emulator_test_end(&test);
}

static void test_one_that_does_not_wake_is_refused_by_name(void **state)
{
    static const char *const script[] = { SHAKE_1_2,   SIZES,    SET_PERM, OK,     HIDE_VOL,
                                          OK,          SET_SAVE, OK,       STORED, STARTUP_STATE,
                                          FAILURE_1_2, "c eof",  NULL };
    static EmulatorTest test;
    TPMState given = state_1_2(FLAG_USED | FLAG_STARTED);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    assert_contains(test.client.move_error, "cannot go on with what TPM_SaveState has saved, in a "
                                            "state that swtpm of old wrote: its TPM answers 99h "
                                            "with code 9h");
    emulator_test_end(&test);
}

/* ---- is it stored? ---- */

/* Encrypted, or by a later libtpms; what a TPM that runs can show is that there is room. */
static void test_what_is_stored_in_another_form_is_tried_with_the_volatile_part(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), SIZES,      SETS,    INIT_1, OK,
                                          GET_PERM,      OTHER_PERM, GET_VOL, VOL,    GET_EST,
                                          CLEAR,         GOODBYE,    NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    load(&test, &given);
    emulator_test_end(&test);
}

/* It would be another TPM at its next start. What starts is what is stored. */
static void refuse_unstored(const char *const *script, const char *words)
{
    static EmulatorTest test;
    TPMState given = some_state(FLAG_USED | FLAG_STARTED);

    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    assert_contains(test.client.move_error, "could not store the TPM's state");
    assert_contains(test.client.move_error, words);
    assert_int_equal(test.client.move_code, TPM_ERROR_IO);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_end(&test);
}

static void test_a_tpm_that_is_not_stored_is_refused(void **state)
{
    static const char *const full[] = { SHAKE("3fbf"), SIZES,       SETS,    INIT_1, OK, GET_PERM,
                                        OTHER_PERM,    GET_VOL,     NO_ROOM, STOP,   OK, "c eof",
                                        "accept",      READY_AGAIN, GOODBYE, NULL };
    static const char *const gone[] = { SHAKE("3fbf"), SIZES,       SETS,    INIT_1, OK,
                                        GET_PERM,      NO_SAVE,     STOP,    OK,     "c eof",
                                        "accept",      READY_AGAIN, GOODBYE, NULL };

    (void)state;
    refuse_unstored(full, "with result 9h of the volatile part; see that its directory has room");
    refuse_unstored(gone, "with result 800h of the permanent part");
}

/* What it had in its memory went with the STOP before the parts. */
static void test_what_a_tpm_that_makes_room_in_vain_has_lost_is_told(void **state)
{
    static const char *const script[] = { READY,   SET_LOC("00"), OK,   STARTED,  SIZES,
                                          SETS,    INIT_1,        OK,   GET_PERM, OTHER_PERM,
                                          GET_VOL, NO_ROOM,       STOP, OK,       "c eof",
                                          NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_startup_tpm(&test, 1);
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    assert_contains(test.client.move_error, "What is stored there is the TPM of before, and what "
                                            "was in its memory alone is lost");
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
    refuse_load("00000800", "there is no permanent part", TPM_ERROR_STATE_DAMAGED);
    refuse_load("0000001f", "another swtpm may still have it locked", TPM_ERROR_IO);
}

typedef struct Hollow {
    uint8_t size;
    uint8_t bytes[48];
    TPMError code;
    const char *words;
} Hollow;

/* Most of these swtpm would take, and make a TPM of that has the same seeds everywhere. */
static const Hollow
    hollow[] = {
        { 0, { 0 }, TPM_ERROR_STATE_DAMAGED, "is not there: swtpm would make a TPM whose seeds" },
        { 9, { 2, 1, 0, 10, 0, 4, 0, 0, 0 }, TPM_ERROR_STATE_DAMAGED, "is cut short" },
        { 10, { 2, 1, 0, 10, 0, 4, 0, 0, 0, 10 }, TPM_ERROR_STATE_DAMAGED, "has nothing in it" },
        { 10, { 2, 1, 0, 10, 0, 4, 0, 0, 0, 11 }, TPM_ERROR_STATE_DAMAGED, "has another size" },
        { 16,
          { 2, 1, 0, 10, 0, 4, 0, 0, 0, 16, 0, 4 },
          TPM_ERROR_STATE_DAMAGED,
          "has nothing in it" },
        /* of another version, with all that is to be in it */
        { 23,
          { 3, 1, 0, 10, 0, 4, 0, 0, 0, 23, 0, 4, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0xAA },
          TPM_ERROR_UNSUPPORTED,
          "is not of version 2" },
        { 23,
          { 1, 1, 0, 10, 0, 4, 0, 0, 0, 23, 0, 4, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0xAA },
          TPM_ERROR_UNSUPPORTED,
          "is not of version 2" },
        { 23,
          { 2, 3, 0, 10, 0, 4, 0, 0, 0, 23, 0, 4, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0xAA },
          TPM_ERROR_UNSUPPORTED,
          "is not of version 2" },
        { 23,
          { 2, 1, 0, 11, 0, 4, 0, 0, 0, 23, 0, 4, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0xAA },
          TPM_ERROR_STATE_DAMAGED,
          "has a header of another size" },
        /* what only goes with a content, before, beside and inside of none */
        { 23,
          { 2, 1, 0, 10, 0, 4, 0, 0, 0, 23, 0, 7, 0, 0, 0, 1, 0xAA, 0, 4, 0, 0, 0, 0 },
          TPM_ERROR_STATE_DAMAGED,
          "has nothing in it" },
        { 29,
          { 2,  1, 0, 10, 0, 4, 0, 0,    0, 29, 0, 4, 0, 0, 0,
            13, 0, 6, 0,  0, 0, 1, 0xAA, 0, 1,  0, 0, 0, 0 },
          TPM_ERROR_STATE_DAMAGED,
          "has nothing in it" },
        /* two contents; and bytes behind it, or fewer than it says */
        { 36,
          { 2, 1, 0, 10, 0,    4, 0, 0, 0, 36, 0, 4, 0, 0, 0, 7, 0, 1,
            0, 0, 0, 1,  0xAA, 0, 4, 0, 0, 0,  7, 0, 1, 0, 0, 0, 1, 0xAA },
          TPM_ERROR_STATE_DAMAGED,
          "has nothing in it, or is damaged" },
        { 24,
          { 2, 1, 0, 10, 0, 4, 0, 0, 0, 24, 0, 4, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0xAA, 0 },
          TPM_ERROR_STATE_DAMAGED,
          "has nothing in it, or is damaged" },
        { 23,
          { 2, 1, 0, 10, 0, 4, 0, 0, 0, 23, 0, 4, 0, 0, 0, 8, 0, 1, 0, 0, 0, 1, 0xAA },
          TPM_ERROR_STATE_DAMAGED,
          "has nothing in it, or is damaged" },
    };

static void test_a_permanent_part_with_nothing_in_it_is_not_sent(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), START, GOODBYE, NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    for (size_t i = 0; i < G_N_ELEMENTS(hollow); i++) {
        given.permanent.size = hollow[i].size;
        given.permanent.data = hollow[i].size > 0 ? hollow[i].bytes : NULL;
        assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
        assert_contains(test.client.move_error, "its permanent part ");
        assert_contains(test.client.move_error, hollow[i].words);
        assert_int_equal(test.client.move_code, hollow[i].code);
    }
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    emulator_test_end(&test);
}

static void test_a_smaller_buffer_than_the_guests_is_refused(void **state)
{
    static const char *const script[] = {
        SHAKE("3fbf"), STOP, OK, GET_SIZE, "c! 00000000 00000f80 00000080 00000f80", "c eof", NULL
    };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    assert_contains(test.client.move_error, "at most 3968 bytes; the guest whose TPM it is to be");
    emulator_test_end(&test);
}

/* The TPM that was there is there, and what becomes of it is told, as if there had been no load. */
static void test_a_failure_after_a_refusal_is_told(void **state)
{
    static const char *const script[] = { READY, SET_LOC("00"), OK, COMMAND, "c close", NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    given.permanent = (TPMStateBlob){ NULL, 0, 0 };
    emulator_test_start(&test, script);
    assert_false(backend_client_load(&test.client, TPM_BUFFER_SIZE_COMMON, &given));
    emulator_test_run(&test, 0, 1, TPM2_RC_FAILURE);
    emulator_test_end(&test);
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

/* What is half sent cannot be followed by anything. */
static void test_a_part_that_is_not_taken_times_out(void **state)
{
    static const char *const script[] = { SHAKE("3fbf"), SIZES,         "wait",
                                          "accept",      GREET("3fbf"), START_AFTER_REFUSAL,
                                          GOODBYE,       NULL };
    static EmulatorTest test;
    TPMState given = some_state(0);

    (void)state;
    given.permanent = largest_part();
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
    g_free((void *)given.permanent.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_state_is_loaded_in_place_of_the_first_start),
        cmocka_unit_test(test_flags_of_a_blob_go_back_to_swtpm),
        cmocka_unit_test(test_a_loaded_tpm_is_known_again),
        cmocka_unit_test(test_an_open_hash_sequence_ends_elsewhere),
        cmocka_unit_test(test_a_tpm_with_an_open_sequence_is_known_after_it),
        cmocka_unit_test(test_a_target_waits_for_its_storage),
        cmocka_unit_test(test_a_part_may_take_as_long_as_the_lock),
        cmocka_unit_test(test_a_large_part_is_sent_as_there_is_room),
        cmocka_unit_test(test_a_tpm_that_saved_its_state_is_woken_and_put_to_sleep),
        cmocka_unit_test(test_a_tpm_that_was_not_started_since_is_left_alone),
        cmocka_unit_test(test_one_that_does_not_wake_is_refused_by_name),
        cmocka_unit_test(test_what_is_stored_in_another_form_is_tried_with_the_volatile_part),
        cmocka_unit_test(test_a_tpm_that_is_not_stored_is_refused),
        cmocka_unit_test(test_what_a_tpm_that_makes_room_in_vain_has_lost_is_told),
        cmocka_unit_test(test_what_is_refused_is_told_in_words),
        cmocka_unit_test(test_a_permanent_part_with_nothing_in_it_is_not_sent),
        cmocka_unit_test(test_a_smaller_buffer_than_the_guests_is_refused),
        cmocka_unit_test(test_a_failure_after_a_refusal_is_told),
        cmocka_unit_test(test_parts_that_were_given_are_dropped),
        cmocka_unit_test(test_the_same_when_the_connection_is_lost),
        cmocka_unit_test(test_a_peer_that_takes_anything_starts_no_tpm),
        cmocka_unit_test(test_a_part_that_is_not_taken_times_out),
    };

    return cmocka_run_group_tests_name("emulator-load", tests, NULL, NULL);
}
