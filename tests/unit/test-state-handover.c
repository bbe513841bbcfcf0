/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A directory of TPM state that is let go of for another user, and taken again: what is another's
 * is left alone, and whether another has stored something is found out.
 */
#include "state-fixture.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CHANGED "what is stored in TPM state directory 'DIR' has changed since it was let go of"

static const TPMStateKind all_kinds[] = { TPM_STATE_PERMANENT, TPM_STATE_VOLATILE,
                                          TPM_STATE_SAVED };

/* ---- what is done ---- */

static void let_go(StateFixture *fixture)
{
    if (!tpm_state_directory_let_go(fixture->directory, &fixture->error)) {
        fail_msg("let go: %s", fixture->error->message);
    }
}

static void take(StateFixture *fixture)
{
    if (!tpm_state_directory_take(fixture->directory, &fixture->error)) {
        fail_msg("take: %s", fixture->error->message);
    }
}

static void assert_take_refused(StateFixture *fixture, TPMError code, const char *expected)
{
    assert_false(tpm_state_directory_take(fixture->directory, &fixture->error));
    assert_state_error(fixture, code, expected);
    g_clear_error(&fixture->error);
}

static void assert_as_left(StateFixture *fixture)
{
    if (!tpm_state_directory_is_as_left(fixture->directory, &fixture->error)) {
        fail_msg("is as left: %s", fixture->error->message);
    }
}

static void assert_changed(StateFixture *fixture)
{
    assert_false(tpm_state_directory_is_as_left(fixture->directory, &fixture->error));
    assert_state_error(fixture, TPM_ERROR_STATE_MISMATCH, CHANGED);
    g_clear_error(&fixture->error);
}

/* Another user in between. */
static TPMStateDirectory *another(StateFixture *fixture)
{
    TPMStateDirectory *directory =
        tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, &fixture->access, &fixture->error);

    if (!directory) {
        fail_msg("another: %s", fixture->error->message);
    }
    return directory;
}

static void another_stores(StateFixture *fixture, TPMStateKind kind, const char *text)
{
    TPMStateDirectory *directory = another(fixture);

    assert_true(tpm_state_directory_store(directory, kind, text, strlen(text), NULL));
    tpm_state_directory_close(directory);
}

/* In use, with permanent and saved state. */
static void open_filled(StateFixture *fixture)
{
    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    store_text(fixture, TPM_STATE_SAVED, "kept");
}

static void find_directory(StateFixture *fixture)
{
    fixture->directory =
        tpm_state_directory_new(fixture->path, TPM_VERSION_2_0, &fixture->access, &fixture->error);
    assert_non_null(fixture->directory);
}

/* ---- the rules ---- */

static void test_what_nobody_touched_is_as_it_was_left(void **state)
{
    StateFixture *fixture = *state;

    open_filled(fixture);
    let_go(fixture);
    tpm_state_directory_close(another(fixture)); /* it has looked, and stored nothing */
    take(fixture);
    assert_as_left(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_loads(fixture, TPM_STATE_SAVED, "kept");
    store_text(fixture, TPM_STATE_PERMANENT, "more");
}

static void test_the_same_state_stored_again_is_a_change(void **state)
{
    StateFixture *fixture = *state;

    open_filled(fixture);
    let_go(fixture);
    another_stores(fixture, TPM_STATE_PERMANENT, "seeds");
    take(fixture);
    assert_changed(fixture);
}

static void test_a_change_of_any_file_is_found(void **state)
{
    StateFixture *fixture = *state;

    open_filled(fixture);
    for (unsigned i = 1; i < G_N_ELEMENTS(all_kinds); i++) {
        let_go(fixture);
        another_stores(fixture, all_kinds[i], "different");
        take(fixture);
        assert_changed(fixture);
    }
    for (unsigned i = 1; i < G_N_ELEMENTS(all_kinds); i++) { /* and so is that of one that went */
        let_go(fixture);
        TPMStateDirectory *directory = another(fixture);

        assert_true(tpm_state_directory_remove(directory, all_kinds[i], NULL));
        tpm_state_directory_close(directory);
        take(fixture);
        assert_changed(fixture);
    }
}

static void test_nothing_is_read_or_changed_while_it_is_another_s(void **state)
{
    StateFixture *fixture = *state;
    static const char refused[] = "TPM state directory 'DIR' is not this TPM's at the moment";

    open_filled(fixture);
    let_go(fixture);
    for (unsigned i = 0; i < G_N_ELEMENTS(all_kinds); i++) {
        assert_null(tpm_state_directory_load(fixture->directory, all_kinds[i], &fixture->error));
        assert_state_error(fixture, TPM_ERROR_IN_USE, refused);
        g_clear_error(&fixture->error);
        assert_false(
            tpm_state_directory_store(fixture->directory, all_kinds[i], "x", 1, &fixture->error));
        assert_state_error(fixture, TPM_ERROR_IN_USE, refused);
        g_clear_error(&fixture->error);
        assert_false(tpm_state_directory_remove(fixture->directory, all_kinds[i], &fixture->error));
        assert_state_error(fixture, TPM_ERROR_IN_USE, refused);
        g_clear_error(&fixture->error);
    }
    assert_false(tpm_state_directory_settle(fixture->directory, NULL));
    assert_false(tpm_state_directory_let_go(fixture->directory, NULL));
    assert_false(tpm_state_directory_is_as_left(fixture->directory, NULL));
    take(fixture);
    assert_as_left(fixture);
}

static void test_it_is_not_taken_while_another_has_it(void **state)
{
    StateFixture *fixture = *state;

    open_filled(fixture);
    let_go(fixture);
    TPMStateDirectory *directory = another(fixture);

    assert_take_refused(fixture, TPM_ERROR_IN_USE,
                        "TPM state directory 'DIR' is in use by another TPM, in this process or "
                        "another one; end that first, or give another directory");
    tpm_state_directory_close(directory);
    take(fixture);
    assert_null(tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, NULL, NULL));
}

static void test_what_was_refused_is_not_locked(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    open_filled(fixture);
    size_t size = get_state_file(fixture, "permall", &content);

    let_go(fixture);
    set_state_file(fixture, "permall", "x", 1);
    assert_false(tpm_state_directory_take(fixture->directory, NULL));
    set_state_file(fixture, "permall", content, size);
    tpm_state_directory_close(another(fixture));
}

static void test_a_tpm_that_has_gone_meanwhile_is_not_taken_for_a_new_one(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *permanent = state_file_path(fixture, "permall");
    g_autofree char *saved = state_file_path(fixture, "savestate");

    open_filled(fixture);
    let_go(fixture);
    g_remove(permanent);
    g_remove(saved);
    assert_take_refused(fixture, TPM_ERROR_STATE_DAMAGED,
                        "TPM state file 'DIR/permall' is damaged: it was there and has gone; "
                        "restore the directory from a backup, or give an empty one for a new TPM");
}

static void test_an_older_state_put_there_meanwhile_is_refused(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    size_t size = get_state_file(fixture, "permall", &content);

    store_text(fixture, TPM_STATE_PERMANENT, "later");
    let_go(fixture);
    set_state_file(fixture, "permall", content, size);
    assert_take_refused(fixture, TPM_ERROR_STATE_MISMATCH,
                        "TPM state file 'DIR/permall' was rolled back: its counter is 1, and the "
                        "one stored last is 2; restore the latest state, or give the counter that "
                        "goes with this one if it is meant");
}

/* By a directory where a file has to be, which is none of state. */
static void test_what_cannot_be_kept_in_mind_is_not_let_go_of(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *path = state_file_path(fixture, "savestate");

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_int_equal(g_mkdir(path, 0700), 0);
    assert_false(tpm_state_directory_let_go(fixture->directory, &fixture->error));
    assert_null(tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, NULL, NULL));
    g_rmdir(path);
    store_text(fixture, TPM_STATE_PERMANENT, "more");
}

static void test_a_directory_that_is_found_is_left_as_it_is(void **state)
{
    StateFixture *fixture = *state;

    find_directory(fixture);
    g_autofree char *lock = state_file_path(fixture, ".lock");

    assert_int_equal(count_state_files(fixture, ""), 0);
    assert_false(g_file_test(lock, G_FILE_TEST_EXISTS));
    tpm_state_directory_close(another(fixture));
    take(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
}

static TPMStateKey *make_key(uint8_t byte)
{
    uint8_t bytes[TPM_STATE_KEY_SIZE];

    memset(bytes, byte, sizeof(bytes));
    return tpm_state_key_new(bytes, "key", NULL);
}

/* One that takes a directory only to give it back has changed nothing, its keys included. */
static void test_state_is_encrypted_anew_when_it_is_settled_and_not_before(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *before = NULL, *after = NULL, *settled = NULL;

    open_filled(fixture);
    fixture->directory = tpm_state_directory_close(fixture->directory);
    size_t size = get_state_file(fixture, "permall", &before);

    set_state_file(fixture, "permall.tmp-01234567", "half", 4);
    fixture->access = (TPMStateAccess){ .key = make_key(1), .convert = true };
    find_directory(fixture);
    take(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    tpm_state_directory_give_back(fixture->directory);
    assert_int_equal(get_state_file(fixture, "permall", &after), size);
    assert_memory_equal(before, after, size);
    assert_int_equal(count_state_files(fixture, "permall"), 2);

    take(fixture);
    assert_true(tpm_state_directory_settle(fixture->directory, NULL));
    get_state_file(fixture, "permall", &settled);
    assert_memory_not_equal(before, settled, size);
    assert_int_equal(count_state_files(fixture, "permall"), 1);
    assert_loads(fixture, TPM_STATE_SAVED, "kept");

    /* From now on what is not encrypted is nobody's. */
    set_state_file(fixture, "permall", before, size);
    assert_null(tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, &fixture->error));
    assert_int_equal(fixture->error->code, TPM_ERROR_STATE_MISMATCH);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        STATE_TEST(test_what_nobody_touched_is_as_it_was_left),
        STATE_TEST(test_the_same_state_stored_again_is_a_change),
        STATE_TEST(test_a_change_of_any_file_is_found),
        STATE_TEST(test_nothing_is_read_or_changed_while_it_is_another_s),
        STATE_TEST(test_it_is_not_taken_while_another_has_it),
        STATE_TEST(test_what_was_refused_is_not_locked),
        STATE_TEST(test_a_tpm_that_has_gone_meanwhile_is_not_taken_for_a_new_one),
        STATE_TEST(test_an_older_state_put_there_meanwhile_is_refused),
        STATE_TEST(test_what_cannot_be_kept_in_mind_is_not_let_go_of),
        STATE_TEST(test_a_directory_that_is_found_is_left_as_it_is),
        STATE_TEST(test_state_is_encrypted_anew_when_it_is_settled_and_not_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
