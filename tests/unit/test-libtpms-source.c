/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The source of a TPM of libtpms whose directory changes hands: it lets go of it when it is saved,
 * and goes on where nobody else has. See handover-fixture.h.
 */
#include "handover-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LET_GO "TPM state directory 'DIR' was let go of when its TPM was saved, and "
#define ONE    "; only one of the two may ever be resumed"

static void test_without_the_option_a_save_keeps_the_directory(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    assert_ours(fixture);
    resume(fixture);
    assert_random(fixture);
    assert_file(fixture, "permall", before);
    assert_ours(fixture);
}

static void test_from_a_save_on_another_may_have_the_directory(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    assert_ours(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    assert_anybodys(fixture);
}

static void test_what_the_source_leaves_is_what_it_has_saved(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");

    make_with(fixture, (TPMLibtpmsConfig){ .release_lock_outgoing = true });
    start_tpm(fixture);
    g_autoptr(GBytes) earlier = state_file(fixture, "permall");
    gsize size;
    const char *content = g_bytes_get_data(earlier, &size);

    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
    assert_true(g_file_set_contents(path, content, (gssize)size, NULL));
    g_autofree TPMState *saved = save_tpm(fixture);
    TPMStateDirectory *other = another(fixture);
    g_autoptr(GBytes) stored = tpm_state_directory_load(other, TPM_STATE_PERMANENT, NULL);

    assert_int_equal(g_bytes_get_size(stored), saved->permanent.size);
    assert_memory_equal(g_bytes_get_data(stored, NULL), saved->permanent.data,
                        saved->permanent.size);
    tpm_state_directory_close(other);
}

static void test_nothing_is_written_to_what_was_let_go_of(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    drop_backend(fixture);
    assert_file(fixture, "permall", before);
}

/* The device waited no longer for the save: it goes on, and there is no resume. */
static void test_a_save_that_came_too_late_costs_nothing(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    assert_mark(fixture, before);
    assert_ours(fixture);
    g_autoptr(GBytes) stored = state_file(fixture, "permall");

    drop_backend(fixture);
    assert_not_file(fixture, "permall", stored); /* by TPM2_Shutdown */
}

static void test_a_command_is_not_sent_to_a_tpm_that_another_has(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    another_goes_on(fixture);
    assert_int_equal(COMMAND(fixture, get_random), 0x101);
    assert_message(fixture, fixture->client->response_error,
                   LET_GO "what is stored there has changed: another TPM has gone on with it" ONE);
}

static void test_a_source_that_is_resumed_goes_on(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    uint64_t counter = tpmdev_backend_libtpms_get_counter(fixture->backend);

    assert_anybodys(fixture);
    resume(fixture);
    assert_mark(fixture, before);
    assert_ours(fixture);
    assert_int_equal(tpmdev_backend_libtpms_get_counter(fixture->backend), counter + 1);
    assert_int_equal(COMMAND(fixture, nv_write), 0);
}

/* And it is powered off in an orderly way again. */
static void test_a_source_that_was_resumed_is_shut_down_in_the_end(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    resume(fixture);
    assert_random(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    drop_backend(fixture);
    assert_not_file(fixture, "permall", before);
}

static void test_a_source_does_not_go_on_while_another_has_the_directory(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");
    TPMStateDirectory *other = another(fixture);

    resume(fixture);
    assert_failed(fixture,
                  LET_GO "is in use by another TPM now, in this process or another one" ONE);
    assert_file(fixture, "permall", before);
    tpm_state_directory_close(other);

    /* A reset begins with whatever there is by then. */
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_source_waits_for_the_other_to_let_go(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    begin_waiting(another(fixture), false);
    resume(fixture);
    assert_mark(fixture, before);
    assert_true(count_waits() > 0);
    assert_ours(fixture);
}

static void test_a_source_that_waits_can_be_ended(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    TPMStateDirectory *other = another(fixture);

    begin_waiting(NULL, true);
    resume(fixture);
    wait_until_it_waits();
    drop_backend(fixture);
    assert_int_equal(count_waits(), 1);
    tpm_state_directory_close(other);
}

static void test_a_source_does_not_go_on_where_another_has(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    another_goes_on(fixture);
    g_autoptr(GBytes) others = state_file(fixture, "permall");

    resume(fixture);
    assert_failed(fixture, LET_GO "what is stored there has changed: another TPM has gone on with "
                                  "it" ONE);
    assert_file(fixture, "permall", others);
    assert_anybodys(fixture);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
    assert_ours(fixture);
}

static void test_a_source_may_be_saved_again(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *first = save_tpm(fixture);
    g_autofree TPMState *second = save_tpm(fixture);

    assert_anybodys(fixture);
    TPMStateDirectory *other = another(fixture);

    assert_null(backend_client_save(fixture->client));
    assert_int_equal(fixture->client->move_code, TPM_ERROR_IN_USE);
    tpm_state_directory_close(other);
    resume(fixture);
    assert_mark(fixture, before);
}

/* The state of before may be on its way to another, who is to have the directory. */
static void test_a_second_save_that_fails_keeps_no_directory(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    fail_to_let_go(true);
    assert_null(backend_client_save(fixture->client));
    fail_to_let_go(false);
    assert_string_equal(fixture->client->move_error, "the disk is sick");
    assert_anybodys(fixture);
    resume(fixture);
    assert_mark(fixture, before);
    assert_ours(fixture);
    fail_to_let_go(true);
    assert_null(backend_client_save(fixture->client));
    fail_to_let_go(false);
    assert_ours(fixture);
}

/* It is off, and nothing of it is in the way. */
static void test_a_source_that_could_not_go_on_loads_what_comes_back(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    another_goes_on(fixture);
    resume(fixture);
    backend_client_wait_failed(fixture->client, 1);
    load_tpm(fixture, saved);
    assert_mark(fixture, before);
    assert_ours(fixture);
}

/* For another device: the one that was saved is not to be resumed any more. */
static void test_a_start_takes_what_is_there(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    another_goes_on(fixture);
    g_autoptr(GBytes) others = state_file(fixture, "permall");

    unbind_client(fixture);
    bind_client(fixture);
    start_tpm(fixture);
    assert_file(fixture, "permall", others);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_ours(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANDOVER_TEST(test_without_the_option_a_save_keeps_the_directory),
        HANDOVER_TEST(test_from_a_save_on_another_may_have_the_directory),
        HANDOVER_TEST(test_what_the_source_leaves_is_what_it_has_saved),
        HANDOVER_TEST(test_nothing_is_written_to_what_was_let_go_of),
        HANDOVER_TEST(test_a_save_that_came_too_late_costs_nothing),
        HANDOVER_TEST(test_a_command_is_not_sent_to_a_tpm_that_another_has),
        HANDOVER_TEST(test_a_source_that_is_resumed_goes_on),
        HANDOVER_TEST(test_a_source_that_was_resumed_is_shut_down_in_the_end),
        HANDOVER_TEST(test_a_source_does_not_go_on_while_another_has_the_directory),
        HANDOVER_TEST(test_a_source_waits_for_the_other_to_let_go),
        HANDOVER_TEST(test_a_source_that_waits_can_be_ended),
        HANDOVER_TEST(test_a_source_does_not_go_on_where_another_has),
        HANDOVER_TEST(test_a_source_may_be_saved_again),
        HANDOVER_TEST(test_a_second_save_that_fails_keeps_no_directory),
        HANDOVER_TEST(test_a_source_that_could_not_go_on_loads_what_comes_back),
        HANDOVER_TEST(test_a_start_takes_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
