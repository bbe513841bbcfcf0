/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of libtpms' TPM on its way: what is refused, that a refusal harms neither the TPM that
 * is there nor what is stored of it, and what is on the disk when a state was taken.
 */
#include "libtpms-fixture.h"

#include <glib/gstdio.h>
#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_nvfilename.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

BYTES(extend_16_1_2, BE16(0x00C1), BE32(34u), BE32(0x14u), BE32(16u), TEN(1), TEN(2));

/* A TPM in an empty directory that has not been started. */
static void make_another(Fixture *fixture, TPMVersion version)
{
    drop_backend(fixture);
    empty_directory(fixture);
    make_backend(fixture, version);
}

/* It is refused for this, and the TPM goes on, in memory and on the disk. */
static void assert_refused(Fixture *fixture, const TPMState *state, const char *why)
{
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autoptr(GBytes) stored = state_file(fixture, "permall");

    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, state));
    if (!strstr(fixture->client->move_error, why)) {
        fail_msg("'%s' is not in '%s'", why, fixture->client->move_error);
    }
    assert_mark(fixture, before);
    g_autoptr(GBytes) stored_now = state_file(fixture, "permall");

    assert_true(g_bytes_equal(stored, stored_now));
    assert_false(is_state_file(fixture, "volatilestate"));
}

/* ---- what libtpms is given ---- */

static struct libtpms_callbacks *callbacks; /* as they were registered last */

TPM_RESULT __real_TPMLIB_RegisterCallbacks(struct libtpms_callbacks *given);
TPM_RESULT __wrap_TPMLIB_RegisterCallbacks(struct libtpms_callbacks *given);

TPM_RESULT __wrap_TPMLIB_RegisterCallbacks(struct libtpms_callbacks *given)
{
    callbacks = given;
    return __real_TPMLIB_RegisterCallbacks(given);
}

/* libtpms 0.9.2 skips as many bytes as a state says, up to 64 KiB, and then reads on. */
static void test_behind_a_state_there_are_zeros_to_be_read(void **state)
{
    static const uint8_t zeros[0x10000 + 16];
    unsigned char *data = NULL;
    uint32_t size = 0;

    make_running(*state);
    assert_int_equal(callbacks->tpm_nvram_loaddata(&data, &size, 0, TPM_PERMANENT_ALL_NAME),
                     TPM_SUCCESS);
    assert_true(size > 0);
    assert_true(malloc_usable_size(data) >= size + sizeof(zeros));
    assert_memory_equal(data + size, zeros, sizeof(zeros));
    free(data);
}

/* ---- what is refused ---- */

static void test_a_state_without_a_permanent_part_is_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    saved->permanent = (TPMStateBlob){ NULL, 0, 0 };
    assert_refused(fixture, saved, "no permanent part: libtpms would make a TPM of it whose seeds");
}

static void test_a_state_without_a_volatile_part_is_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    saved->volatile_state = (TPMStateBlob){ NULL, 0, 0 };
    assert_refused(fixture, saved, "no volatile part");
}

static void test_a_state_with_parts_of_another_version_is_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    saved->saved = saved->volatile_state;
    assert_refused(fixture, saved, "a part of TPM_SaveState, which TPM 2.0 does not have");
}

static void test_a_state_with_unknown_flags_is_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    saved->volatile_state.flags = 4;
    assert_refused(fixture, saved, "flags that this library does not know");
}

/* Byte by byte would take long; every 97th is of every structure. */
static void test_a_state_that_was_damaged_is_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_int_equal(COMMAND(fixture, extend_16), 0);
    g_autofree TPMState *saved = save_tpm(fixture);
    uint8_t *bytes = (uint8_t *)saved->volatile_state.data;

    for (size_t i = 0; i < saved->volatile_state.size; i += 97) {
        bytes[i] ^= 0x10;
        assert_refused(fixture, saved, "was not taken by libtpms");
        bytes[i] ^= 0x10;
    }
}

static void test_a_state_that_was_cut_off_is_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    TPMState cut = *saved;

    for (size_t size = 1; size < saved->permanent.size; size += 101) {
        cut.permanent.size = size;
        assert_refused(fixture, &cut, "which libtpms ");
    }
    cut = *saved;
    for (size_t size = 1; size < saved->volatile_state.size; size += 997) {
        cut.volatile_state.size = size;
        assert_refused(fixture, &cut, "does not accept the TPM state in 'what was saved'");
    }
}

static void test_parts_in_each_others_place_are_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    TPMStateBlob permanent = saved->permanent;

    saved->permanent = saved->volatile_state;
    saved->volatile_state = permanent;
    saved->volatile_state.flags = 0;
    saved->permanent.flags = 0;
    assert_refused(fixture, saved, "was not taken by libtpms");
}

static void test_a_volatile_part_of_another_tpm_is_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    make_another(fixture, TPM_VERSION_2_0);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    g_autofree TPMState *own = save_tpm(fixture);

    own->volatile_state = saved->volatile_state;
    assert_refused(fixture, own, "was not taken by libtpms");
    assert_refused(fixture, own, "it is that of another TPM than the permanent part");
}

/* What its permanent part says is the least version that can read it, and so is refused. */
static void test_a_state_of_a_later_version_is_refused_in_words(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    TPMState later = *saved;

    ((uint8_t *)saved->permanent.data)[7] = 9;
    later.writer = "libtpms 0.12.0 (TPM 2.0 revision 185, profile 'default-v2' of level 8)";
    assert_refused(
        fixture, &later,
        "the TPM's state, which libtpms 0.12.0 (TPM 2.0 revision 185, profile "
        "'default-v2' of level 8) wrote in form 3, readable from form 9 on, was not taken "
        "by libtpms 0.");
    assert_refused(fixture, &later, " (TPM 2.0 revision ");
    assert_refused(fixture, &later,
                   "(code 0x2e): it was written by a later version, or has a profile that this "
                   "one does not know");
    assert_int_equal(fixture->client->move_code, TPM_ERROR_UNSUPPORTED);
}

static void test_the_state_of_a_tpm_of_another_kind_is_refused_in_words(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    make_another(fixture, TPM_VERSION_1_2);
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, saved));
    assert_non_null(strstr(fixture->client->move_error, "is a TPM 1.2; the saved state, which"));
    assert_non_null(strstr(fixture->client->move_error, ") wrote, is that of a TPM 2.0"));
    assert_int_equal(fixture->client->move_code, TPM_ERROR_STATE_MISMATCH);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    g_autofree TPMState *saved_1_2 = save_tpm(fixture);

    make_another(fixture, TPM_VERSION_2_0);
    saved_1_2->saved = (TPMStateBlob){ 0 };
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, saved_1_2));
    assert_non_null(strstr(fixture->client->move_error, " (TPM 1.2 revision 116) wrote, was not"));
    assert_non_null(strstr(fixture->client->move_error, "it is no state of this kind of TPM"));
    assert_int_equal(fixture->client->move_code, TPM_ERROR_STATE_DAMAGED);
}

static void test_a_tpm_that_is_off_has_no_state(void **state)
{
    Fixture *fixture = *state;

    make_backend(fixture, TPM_VERSION_2_0);
    assert_null(backend_client_save(fixture->client));
    assert_string_equal(fixture->client->move_error,
                        "TPM backend 'tpm0' has not been started: there is no state of its TPM to "
                        "be saved before tpmdev_device_resume() or tpmdev_device_load()");
}

/* Without a TPM of its own there is nothing to be put back: a start makes one, as it would have. */
static void test_a_refusal_before_the_first_start_leaves_nothing_behind(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    make_another(fixture, TPM_VERSION_2_0);
    ((uint8_t *)saved->volatile_state.data)[20] ^= 1;
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, saved));
    assert_false(is_state_file(fixture, "permall"));
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_random(fixture);
}

/* ---- what cannot be stored ---- */

static void test_a_state_that_cannot_be_stored_is_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    assert_int_equal(COMMAND(fixture, extend_16), 0);
    g_autoptr(GBytes) before = tpm_mark(fixture);

    block_storage(fixture);
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, saved));
    unblock_storage(fixture);
    assert_mark(fixture, before);
    assert_int_equal(COMMAND(fixture, nv_define), 0); /* and it can store again */
}

/* ---- what is taken ---- */

static void test_a_loaded_tpm_goes_on_and_is_stored(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
    assert_int_equal(COMMAND(fixture, nv_write), 0);
    assert_int_equal(COMMAND(fixture, extend_16), 0);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    assert_true(g_str_has_prefix(saved->writer, "libtpms 0."));
    assert_non_null(strstr(saved->writer, " (TPM 2.0 revision "));
    make_another(fixture, TPM_VERSION_2_0);
    load_tpm(fixture, saved);
    assert_mark(fixture, before);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
    assert_false(is_state_file(fixture, "volatilestate"));

    /* The power goes, and the directory has it all the same. */
    drop_backend(fixture);
    make_backend(fixture, TPM_VERSION_2_0);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

/* In the same place: what was there before is gone, NV included. */
static void test_a_snapshot_takes_the_tpm_back(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    tpm_backend_resume(fixture->backend);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
    assert_int_equal(COMMAND(fixture, extend_16), 0);
    load_tpm(fixture, saved);
    assert_mark(fixture, before);
    assert_int_not_equal(COMMAND(fixture, nv_write), 0);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
}

/* What is stored is the destination's from the save on: no TPM2_Shutdown is written to it. */
static void test_a_tpm_that_was_handed_out_leaves_its_directory_alone(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    drop_backend(fixture);
    g_autoptr(GBytes) after = state_file(fixture, "permall");

    assert_true(g_bytes_equal(before, after));

    /* One that goes on here after all is shut down in the end. */
    make_backend(fixture, TPM_VERSION_2_0);
    load_tpm(fixture, saved);
    g_autofree TPMState *again = save_tpm(fixture);

    tpm_backend_resume(fixture->backend);
    drop_backend(fixture);
    g_autoptr(GBytes) at_last = state_file(fixture, "permall");

    assert_false(g_bytes_equal(before, at_last));
}

/* Of a reboot after the load the firmware can make a resume, as on the source. */
static void test_a_shutdown_is_known_of_a_loaded_tpm(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_int_equal(COMMAND(fixture, shutdown_clear), 0);
    g_autofree TPMState *saved = save_tpm(fixture);

    assert_int_equal(saved->volatile_state.flags, 1);
    make_another(fixture, TPM_VERSION_2_0);
    load_tpm(fixture, saved);
    start_tpm(fixture); /* no TPM2_Shutdown(STATE) comes before it */
    assert_int_not_equal(COMMAND(fixture, startup_state), 0);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
}

/* TPM 1.2: what TPM_SaveState has kept goes along, and an older one does not stay. */
static void test_what_tpm_save_state_keeps_goes_along(void **state)
{
    Fixture *fixture = *state;

    make_backend(fixture, TPM_VERSION_1_2);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    g_autofree TPMState *without = save_tpm(fixture);

    assert_int_equal(without->saved.size, 0);
    tpm_backend_resume(fixture->backend);
    assert_int_equal(COMMAND(fixture, extend_16_1_2), 0);
    assert_int_equal(COMMAND(fixture, save_state_1_2), 0);
    g_autofree TPMState *with = save_tpm(fixture);

    assert_true(with->saved.size > 0);
    make_another(fixture, TPM_VERSION_1_2);
    load_tpm(fixture, with);
    assert_true(is_state_file(fixture, "savestate"));
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_state_1_2), 0);
    load_tpm(fixture, without);
    assert_false(is_state_file(fixture, "savestate"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_behind_a_state_there_are_zeros_to_be_read),
        TEST(test_a_state_without_a_permanent_part_is_refused),
        TEST(test_a_state_without_a_volatile_part_is_refused),
        TEST(test_a_state_with_parts_of_another_version_is_refused),
        TEST(test_a_state_with_unknown_flags_is_refused),
        TEST(test_a_state_that_was_damaged_is_refused),
        TEST(test_a_state_that_was_cut_off_is_refused),
        TEST(test_parts_in_each_others_place_are_refused),
        TEST(test_a_volatile_part_of_another_tpm_is_refused),
        TEST(test_a_state_of_a_later_version_is_refused_in_words),
        TEST(test_the_state_of_a_tpm_of_another_kind_is_refused_in_words),
        TEST(test_a_tpm_that_is_off_has_no_state),
        TEST(test_a_refusal_before_the_first_start_leaves_nothing_behind),
        TEST(test_a_state_that_cannot_be_stored_is_refused),
        TEST(test_a_loaded_tpm_goes_on_and_is_stored),
        TEST(test_a_snapshot_takes_the_tpm_back),
        TEST(test_a_tpm_that_was_handed_out_leaves_its_directory_alone),
        TEST(test_a_shutdown_is_known_of_a_loaded_tpm),
        TEST(test_what_tpm_save_state_keeps_goes_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
