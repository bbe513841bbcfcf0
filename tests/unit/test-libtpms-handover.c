/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A directory of a TPM of libtpms that changes hands, and what there is besides: devices that go
 * meanwhile, encryption, the counter, TPM_SaveState, options. See handover-fixture.h.
 */
#include "handover-fixture.h"

#include <glib/gstdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- a device that has gone while its TPM waited ---- */

/* What the TPM does then is for the next device, which loads this state. */
static void next_device_loads(Fixture *fixture, const TPMState *state)
{
    wait_until_it_waits();
    unbind_client(fixture);
    bind_client(fixture);
    tpm_backend_load_state(fixture->backend, TPM_BUFFER_SIZE_COMMON, state, false, false);
}

static void test_a_load_is_not_answered_with_the_save_of_the_last_device(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    TPMStateDirectory *other = another(fixture);

    begin_waiting(NULL, true);
    tpm_backend_save_state(fixture->backend, false);
    next_device_loads(fixture, saved);
    tpm_state_directory_close(other);
    another_goes_on(fixture); /* so that this save is refused */
    end_waiting();
    backend_client_wait_moved(fixture->client, 1);
    assert_null(fixture->client->move_error);
    assert_mark(fixture, before);
}

static void test_a_load_is_not_answered_with_that_of_the_last_device(void **state)
{
    Fixture *fixture = *state;

    for (unsigned i = 0; i < 2; i++) {
        bool is_good = i == 0;
        g_autofree TPMState *good = saved_by_another(fixture);
        g_autofree TPMState *bad = tpm_state_copy(good);
        TPMStateDirectory *other = another(fixture);

        ((uint8_t *)bad->volatile_state.data)[20] ^= 1;
        make_destination(fixture);
        begin_waiting(NULL, true);
        tpm_backend_load_state(fixture->backend, TPM_BUFFER_SIZE_COMMON, is_good ? bad : good,
                               false, false);
        next_device_loads(fixture, is_good ? good : bad);
        tpm_state_directory_close(other);
        end_waiting();
        backend_client_wait_moved(fixture->client, 1);
        assert_true(is_good == !fixture->client->move_error);
        drop_backend(fixture);
        empty_directory(fixture);
    }
}

/* ---- with what else there is ---- */

static const uint8_t key[TPM_LIBTPMS_KEY_SIZE] = { 1, 2, 3 };

static bool is_encrypted(const Fixture *fixture)
{
    const size_t protection_at = 23; /* state-file.h */
    g_autoptr(GBytes) content = state_file(fixture, "permall");

    return ((const uint8_t *)g_bytes_get_data(content, NULL))[protection_at] == 1;
}

static void test_encrypted_state_changes_hands(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = { .key = key, .release_lock_outgoing = true };

    make_with(fixture, config);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, extend_16), 0);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) stored = state_file(fixture, "permall");

    make_destination(fixture); /* without the key */
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, saved));
    assert_int_equal(fixture->client->move_code, TPM_ERROR_MISSING_OPTION);
    config.incoming = true;
    make_with(fixture, config);
    load_tpm(fixture, saved);
    assert_file(fixture, "permall", stored);
    assert_mark(fixture, before);
    assert_not_file(fixture, "permall", stored);
    assert_true(is_encrypted(fixture));
}

/* Else a source without the key could not go on any more. */
static void test_a_destination_encrypts_the_state_with_its_first_use(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = { .key = key, .convert = true, .incoming = true };
    g_autofree TPMState *saved = saved_by_another(fixture);

    make_with(fixture, config);
    load_tpm(fixture, saved);
    drop_backend(fixture);
    assert_false(is_encrypted(fixture));
    make_with(fixture, config);
    load_tpm(fixture, saved);
    assert_random(fixture);
    assert_true(is_encrypted(fixture));
    assert_int_equal(COMMAND(fixture, nv_write), 0);
    drop_backend(fixture);
    make_with(fixture, (TPMLibtpmsConfig){ .key = key });
}

static void test_a_start_without_a_state_encrypts_what_is_there(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);

    make_with(fixture, (TPMLibtpmsConfig){ .key = key, .convert = true, .incoming = true });
    assert_false(is_encrypted(fixture));
    start_tpm(fixture);
    assert_true(is_encrypted(fixture));
}

/* Another has gone on, and has encrypted the state with a key that this one does not have. */
static void test_a_source_does_not_go_on_with_what_it_cannot_read(void **state)
{
    Fixture *fixture = *state;
    uint8_t bytes[TPM_LIBTPMS_KEY_SIZE] = { 1 };
    TPMStateAccess access = { .key = tpm_state_key_new(bytes, "key", NULL), .convert = true };

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    tpm_state_directory_close(
        tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, &access, NULL));
    tpm_state_key_unref(access.key);
    resume(fixture);
    backend_client_wait_failed(fixture->client, 1);
    assert_true(g_str_has_prefix(fixture->client->failure,
                                 "the TPM that was saved cannot go on with what is stored: TPM "
                                 "state file "));
    assert_true(is_encrypted(fixture));
}

static void note_counter(void *opaque, uint64_t counter)
{
    *(uint64_t *)opaque = counter;
}

/* What a host keeps of the counter goes on from one to the other. */
static void test_the_host_hears_of_the_counter_with_the_first_use(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    uint64_t counter = tpmdev_backend_libtpms_get_counter(fixture->backend);
    uint64_t heard = 0;

    make_with(fixture, (TPMLibtpmsConfig){ .incoming = true,
                                           .counter = counter,
                                           .counter_changed = note_counter,
                                           .opaque = &heard });
    load_tpm(fixture, saved);
    assert_int_equal(heard, 0);
    assert_random(fixture);
    assert_int_equal(heard, counter + 1);
    drop_backend(fixture);
}

/* TPM 1.2: the claim makes nothing stale that TPM_SaveState has kept. */
static void test_what_tpm_save_state_keeps_changes_hands(void **state)
{
    Fixture *fixture = *state;

    make_with(fixture,
              (TPMLibtpmsConfig){ .version = TPM_VERSION_1_2, .release_lock_outgoing = true });
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_int_equal(COMMAND(fixture, save_state_1_2), 0);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) stored = state_file(fixture, "permall");

    assert_true(saved->saved.size > 0);
    resume(fixture);
    g_autofree TPMState *again = save_tpm(fixture);

    assert_int_equal(again->saved.size, saved->saved.size);
    make_with(fixture, (TPMLibtpmsConfig){ .version = TPM_VERSION_1_2, .incoming = true });
    g_autoptr(GBytes) left = state_file(fixture, "permall");

    load_tpm(fixture, again);
    assert_file(fixture, "permall", left);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_state_1_2), 0);
}

/* It is put back beside the permanent state, for it is stale beside a later one. */
static void test_what_tpm_save_state_keeps_outlives_a_load_that_is_not_stored(void **state)
{
    Fixture *fixture = *state;

    make_with(fixture, (TPMLibtpmsConfig){ .version = TPM_VERSION_1_2 });
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_int_equal(COMMAND(fixture, save_state_1_2), 0);
    g_autofree TPMState *saved = save_tpm(fixture);

    fail_to_store_saved_once();
    assert_load_refused(fixture, saved, TPM_ERROR_IO, "the disk is sick");
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_state_1_2), 0);
}

/* ---- options ---- */

static void test_the_options_are_switches(void **state)
{
    Fixture *fixture = *state;
    static const char *const names[] = { "incoming", "release-lock-outgoing" };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *options =
            g_strdup_printf("libtpms,id=tpm0,dir=%s,%s=yes", fixture->path, names[i]);
        g_autofree char *expected =
            g_strdup_printf("parameter '%s' is 'yes'; it must be on or off", names[i]);

        assert_null(tpmdev_backend_new_from_string(options, NULL, NULL, &fixture->error));
        assert_error(fixture, TPM_ERROR_INVALID_OPTION, expected);
    }
}

static void test_option_strings_have_both(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *source =
        g_strdup_printf("libtpms,id=tpm0,dir=%s,release-lock-outgoing=on", fixture->path);
    g_autofree char *destination =
        g_strdup_printf("libtpms,id=tpm0,dir=%s,incoming=on", fixture->path);

    fixture->backend = tpmdev_backend_new_from_string(source, NULL, NULL, NULL);
    bind_client(fixture);
    start_tpm(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    assert_anybodys(fixture);
    drop_backend(fixture);
    TPMStateDirectory *other = another(fixture);

    fixture->backend = tpmdev_backend_new_from_string(destination, NULL, NULL, NULL);
    assert_non_null(fixture->backend);
    tpm_state_directory_close(other);
    bind_client(fixture);
    load_tpm(fixture, saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANDOVER_TEST(test_a_source_does_not_go_on_with_what_it_cannot_read),
        HANDOVER_TEST(test_a_load_is_not_answered_with_the_save_of_the_last_device),
        HANDOVER_TEST(test_a_load_is_not_answered_with_that_of_the_last_device),
        HANDOVER_TEST(test_encrypted_state_changes_hands),
        HANDOVER_TEST(test_a_destination_encrypts_the_state_with_its_first_use),
        HANDOVER_TEST(test_a_start_without_a_state_encrypts_what_is_there),
        HANDOVER_TEST(test_the_host_hears_of_the_counter_with_the_first_use),
        HANDOVER_TEST(test_what_tpm_save_state_keeps_changes_hands),
        HANDOVER_TEST(test_what_tpm_save_state_keeps_outlives_a_load_that_is_not_stored),
        HANDOVER_TEST(test_the_options_are_switches),
        HANDOVER_TEST(test_option_strings_have_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
