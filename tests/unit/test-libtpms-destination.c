/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The destination of a TPM of libtpms whose directory changes hands: it takes it when it loads, and
 * it is its own from its first use on. See handover-fixture.h.
 */
#include "handover-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_a_destination_is_made_while_another_has_the_directory(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    TPMStateDirectory *other = another(fixture);

    make_destination(fixture);
    assert_null(try_new(fixture, TPM_VERSION_2_0)); /* and is the one of its process all the same */
    assert_error(fixture, TPM_ERROR_IN_USE,
                 "type libtpms is in use: a process can have one TPM of it; use type emulator for "
                 "more");
    assert_int_equal(tpmdev_backend_libtpms_get_counter(fixture->backend), 0);
    tpm_state_directory_close(other);
    load_tpm(fixture, saved);
    assert_random(fixture);
}

static void test_a_destination_looks_at_nothing_when_it_is_made(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *lock = file_path(fixture, ".lock");

    make_destination(fixture);
    assert_false(g_file_test(lock, G_FILE_TEST_EXISTS));
    assert_anybodys(fixture);
    drop_backend(fixture);
    empty_directory(fixture);
}

static void test_a_directory_that_is_not_there_is_refused_at_once(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = { .size = sizeof(config),
                                .id = "tpm0",
                                .directory = "/nowhere/at-all",
                                .version = TPM_VERSION_2_0,
                                .incoming = true };

    assert_null(tpmdev_backend_libtpms_new(&config, &fixture->error));
    assert_error(fixture, TPM_ERROR_NOT_FOUND,
                 "cannot use TPM state directory '/nowhere/at-all': No such file or directory; "
                 "give an existing directory");
}

static void test_a_load_takes_the_directory(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    make_destination(fixture);
    load_tpm(fixture, saved);
    assert_ours(fixture);
    assert_mark(fixture, before);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_load_fails_while_another_has_the_directory(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    TPMStateDirectory *other = another(fixture);

    make_destination(fixture);
    assert_load_refused(fixture, saved, TPM_ERROR_IN_USE,
                        "TPM state directory 'DIR' is still in use by another TPM, in this process "
                        "or another one, and nothing can be loaded; end that first, or have it "
                        "made with release-lock-outgoing=on");
    tpm_state_directory_close(other);
    load_tpm(fixture, saved);
    assert_random(fixture);
}

static void test_a_destination_waits_for_the_source_to_let_go(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);

    begin_waiting(another(fixture), false);
    make_destination(fixture);
    load_tpm(fixture, saved);
    assert_true(count_waits() > 0);
    assert_random(fixture);
}

/* Until its guest does something with the TPM the source can have it back. */
static void test_a_load_leaves_the_directory_as_the_source_left_it(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    make_destination(fixture);
    load_tpm(fixture, saved);
    uint64_t counter = tpmdev_backend_libtpms_get_counter(fixture->backend);

    assert_true(counter > 0);
    assert_file(fixture, "permall", before);
    assert_random(fixture);
    assert_not_file(fixture, "permall", before);
    assert_int_equal(tpmdev_backend_libtpms_get_counter(fixture->backend), counter + 1);
    assert_random(fixture); /* once is enough */
    assert_int_equal(tpmdev_backend_libtpms_get_counter(fixture->backend), counter + 1);
}

static void test_a_destination_that_ends_unused_has_changed_nothing(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    make_destination(fixture);
    load_tpm(fixture, saved);
    drop_backend(fixture);
    assert_file(fixture, "permall", before);
    assert_anybodys(fixture);
}

static void test_a_hash_sequence_is_a_use(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    make_destination(fixture);
    load_tpm(fixture, saved);
    assert_true(backend_client_measure(fixture->client, (const uint8_t *)"abc", 3, 3));
    assert_not_file(fixture, "permall", before);
}

static void test_a_reset_is_a_use(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    make_destination(fixture);
    load_tpm(fixture, saved);
    start_tpm(fixture);
    assert_not_file(fixture, "permall", before);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_destination_that_cannot_store_fails_with_its_first_command(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);

    make_destination(fixture);
    load_tpm(fixture, saved);
    block_storage(fixture);
    assert_int_equal(COMMAND(fixture, get_random), 0x101);
    assert_non_null(strstr(fixture->client->response_error, "cannot read TPM state file"));
    unblock_storage(fixture);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_load_that_fails_gives_the_directory_back(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");
    uint8_t *byte = (uint8_t *)saved->volatile_state.data + 20;

    make_destination(fixture);
    *byte ^= 1;
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, saved));
    assert_anybodys(fixture);
    assert_file(fixture, "permall", before);
    *byte ^= 1;
    load_tpm(fixture, saved);
    assert_ours(fixture);
    assert_random(fixture);
}

static void test_a_state_that_was_rolled_back_is_refused_at_the_load(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);

    make_with(fixture, (TPMLibtpmsConfig){ .incoming = true, .counter = 1000 });
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, saved));
    assert_int_equal(fixture->client->move_code, TPM_ERROR_STATE_MISMATCH);
    assert_non_null(strstr(fixture->client->move_error, "was rolled back"));
    assert_anybodys(fixture);
}

/* It is not the one the source let go of, so there is nothing to be given back to anybody. */
static void test_a_directory_with_something_else_has_the_state_at_once(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);

    empty_directory(fixture);
    make_destination(fixture);
    load_tpm(fixture, saved);
    drop_backend(fixture);
    make_running(fixture);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_without_a_state_the_directory_is_taken_by_the_start(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    TPMStateDirectory *other = another(fixture);

    make_destination(fixture);
    assert_false(backend_client_start(fixture->client, TPM_BUFFER_SIZE_COMMON));
    assert_message(fixture, fixture->client->start_error,
                   "TPM state directory 'DIR' is in use by another TPM, in this process or another "
                   "one; end that first, or give another directory");
    tpm_state_directory_close(other);
    start_tpm(fixture);
    assert_ours(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_destination_that_has_not_run_can_be_saved_on(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *first = save_tpm(fixture);
    g_autoptr(GBytes) stored = state_file(fixture, "permall");

    make_with(fixture, (TPMLibtpmsConfig){ .incoming = true, .release_lock_outgoing = true });
    load_tpm(fixture, first);
    g_autofree TPMState *second = save_tpm(fixture);

    assert_file(fixture, "permall", stored);
    assert_anybodys(fixture);
    make_destination(fixture);
    load_tpm(fixture, second);
    assert_mark(fixture, before);
}

/* There and back again: the one that was saved loads what the other one has saved. */
static void test_a_source_loads_what_comes_back(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    another_goes_on(fixture);
    load_tpm(fixture, saved);
    assert_ours(fixture);
    assert_random(fixture);
    g_autofree TPMState *again = save_tpm(fixture);

    assert_anybodys(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANDOVER_TEST(test_a_destination_waits_for_the_source_to_let_go),
        HANDOVER_TEST(test_a_destination_is_made_while_another_has_the_directory),
        HANDOVER_TEST(test_a_destination_looks_at_nothing_when_it_is_made),
        HANDOVER_TEST(test_a_directory_that_is_not_there_is_refused_at_once),
        HANDOVER_TEST(test_a_load_takes_the_directory),
        HANDOVER_TEST(test_a_load_fails_while_another_has_the_directory),
        HANDOVER_TEST(test_a_load_leaves_the_directory_as_the_source_left_it),
        HANDOVER_TEST(test_a_destination_that_ends_unused_has_changed_nothing),
        HANDOVER_TEST(test_a_hash_sequence_is_a_use),
        HANDOVER_TEST(test_a_reset_is_a_use),
        HANDOVER_TEST(test_a_destination_that_cannot_store_fails_with_its_first_command),
        HANDOVER_TEST(test_a_load_that_fails_gives_the_directory_back),
        HANDOVER_TEST(test_a_state_that_was_rolled_back_is_refused_at_the_load),
        HANDOVER_TEST(test_a_directory_with_something_else_has_the_state_at_once),
        HANDOVER_TEST(test_without_a_state_the_directory_is_taken_by_the_start),
        HANDOVER_TEST(test_a_destination_that_has_not_run_can_be_saved_on),
        HANDOVER_TEST(test_a_source_loads_what_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
