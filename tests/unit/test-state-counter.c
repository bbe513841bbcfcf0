/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The counter in TPM state: it goes up with every store, state from before is refused to a host
 * that knows, and volatile state is not mixed with permanent state of another time.
 */
#include "state-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a sync of the directory that fails: the store may or may not have taken place ---- */

static bool fail_directory_sync;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
    struct stat status;

    if (fail_directory_sync && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

static int counter_tear_down(void **state)
{
    fail_directory_sync = false;
    return state_tear_down(state);
}

#define COUNTER_TEST(name) cmocka_unit_test_setup_teardown(name, state_set_up, counter_tear_down)

static uint64_t counter(const StateFixture *fixture)
{
    return tpm_state_directory_get_counter(fixture->directory);
}

static void assert_open_refused(StateFixture *fixture, const char *expected)
{
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    assert_state_error(fixture, TPM_ERROR_STATE_MISMATCH, expected);
}

static void assert_not_found(StateFixture *fixture, TPMStateKind kind, const char *expected)
{
    g_clear_error(&fixture->error);
    assert_null(tpm_state_directory_load(fixture->directory, kind, &fixture->error));
    assert_state_error(fixture, TPM_ERROR_NOT_FOUND, expected);
    g_clear_error(&fixture->error);
}

static void encrypt(StateFixture *fixture)
{
    uint8_t bytes[TPM_STATE_KEY_SIZE] = { 1 };

    fixture->access.key = tpm_state_key_new(bytes, "key", NULL);
}

static void test_each_store_of_permanent_state_counts(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    assert_int_equal(counter(fixture), 0);
    for (unsigned i = 1; i <= 300; i++) {
        store_text(fixture, TPM_STATE_PERMANENT, "seeds");
        assert_int_equal(counter(fixture), i);
    }
    store_text(fixture, TPM_STATE_VOLATILE, "pcrs");
    store_text(fixture, TPM_STATE_SAVED, "saved");
    assert_int_equal(counter(fixture), 300);
    open_directory_2_0(fixture);
    assert_int_equal(counter(fixture), 300);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_int_equal(counter(fixture), 301);
}

/* Old, and whole: the bytes that were there two stores ago. */
static void test_older_state_is_refused_to_one_who_knows(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *old = NULL;

    encrypt(fixture);
    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "old");
    size_t size = get_state_file(fixture, "permall", &old);

    store_text(fixture, TPM_STATE_PERMANENT, "newer");
    store_text(fixture, TPM_STATE_PERMANENT, "newest");
    fixture->access.counter = counter(fixture);
    open_directory_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "newest");
    set_state_file(fixture, "permall", old, size);
    assert_open_refused(fixture,
                        "TPM state file 'DIR/permall' was rolled back: its counter is 1, and "
                        "'counter' is 3; restore the latest state, or give the counter that goes "
                        "with this one if it is meant");
    fixture->access.counter = 1; /* a snapshot, which the host means */
    open_directory_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "old");
}

/* It was stored, and the end came before the host could note its counter. */
static void test_newer_state_than_the_host_knows_of_is_taken(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "old");
    store_text(fixture, TPM_STATE_PERMANENT, "new");
    fixture->access.counter = 1;
    open_directory_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "new");
    assert_int_equal(counter(fixture), 2);
}

static void test_an_emptied_directory_is_refused_to_one_who_knows(void **state)
{
    StateFixture *fixture = *state;

    fixture->access.counter = 7;
    assert_open_refused(fixture,
                        "TPM state directory 'DIR' holds no TPM state, and 'counter' is 7: it was "
                        "emptied; restore the latest state, or give counter=0 for a new TPM");
    assert_int_equal(count_state_files(fixture, ""), 0);
}

static void test_a_file_of_version_1_is_older_than_any_counter(void **state)
{
    static const uint8_t version_1[] = {
        'T',  'P',  'M',  'S',  'T',  'A',  'T',  'E',  0,    0,    0,    1,    0,    0,
        0,    2,    0,    0,    0,    1,    0,    0,    0,    0,    0,    0,    0,    0,
        0,    0,    0,    5,    0x39, 0xd2, 0x78, 0xbd, 0xc3, 0x09, 0xee, 0xcc, 0xda, 0xea,
        0xf2, 0x84, 0xd1, 0x34, 0xe5, 0x7c, 0x45, 0x1c, 0x29, 0xdc, 0x6c, 0xbe, 0xa7, 0xdc,
        0x13, 0x47, 0x04, 0x22, 0x81, 0x4b, 0xb4, 0x00, 's',  'e',  'e',  'd',  's',
    };
    StateFixture *fixture = *state;

    set_state_file(fixture, "permall", version_1, sizeof(version_1));
    open_directory_2_0(fixture);
    fixture->access.counter = 1;
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
}

static void test_state_that_is_rolled_back_while_in_use_is_refused(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *old = NULL;

    encrypt(fixture);
    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "old");
    size_t size = get_state_file(fixture, "permall", &old);

    store_text(fixture, TPM_STATE_PERMANENT, "new");
    set_state_file(fixture, "permall", old, size);
    assert_null(tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, &fixture->error));
    assert_state_error(
        fixture, TPM_ERROR_STATE_MISMATCH,
        "TPM state file 'DIR/permall' was rolled back: its counter is 1, and the one "
        "stored last is 2; restore the latest state, or give the counter that goes "
        "with this one if it is meant");
}

/* Two states of one counter could take each other's place, and nobody would notice. */
static void test_a_store_that_may_have_failed_has_used_its_counter(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "old");
    fail_directory_sync = true;
    assert_false(
        tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "new", 3, NULL));
    fail_directory_sync = false;
    assert_int_equal(counter(fixture), 1);
    store_text(fixture, TPM_STATE_PERMANENT, "newest");
    assert_int_equal(counter(fixture), 3);
}

static void test_a_store_that_did_not_fail_after_all_counts(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    fail_directory_sync = true;
    assert_false(
        tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "new", 3, NULL));
    fail_directory_sync = false;
    assert_loads(fixture, TPM_STATE_PERMANENT, "new");
    assert_int_equal(counter(fixture), 1);
    store_text(fixture, TPM_STATE_PERMANENT, "newest");
    assert_int_equal(counter(fixture), 2);
}

/* Its name may not have reached the disk: a loss of power would take it back from who saw it. */
static void test_newer_state_is_on_the_disk_before_anybody_sees_it(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "old");
    fail_directory_sync = true;
    assert_false(
        tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "new", 3, NULL));
    assert_null(tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, &fixture->error));
    assert_state_error(fixture, TPM_ERROR_IO,
                       "cannot sync TPM state directory 'DIR': Input/output error");
    assert_int_equal(counter(fixture), 1);
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    assert_state_error(fixture, TPM_ERROR_IO,
                       "cannot sync TPM state directory 'DIR': Input/output error");
    fail_directory_sync = false;
    open_directory_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "new");
    assert_int_equal(counter(fixture), 2);
}

/* Somebody wrote it there; it does not begin anew. */
static void test_the_last_counter_of_all_is_not_passed(void **state)
{
    StateFixture *fixture = *state;
    const TPMStateFile file = { .path = "permall",
                                .version = TPM_VERSION_2_0,
                                .kind = TPM_STATE_PERMANENT };
    size_t size;
    g_autofree uint8_t *bytes = tpm_state_file_make(&file, UINT64_MAX, "seeds", 5, &size, NULL);

    set_state_file(fixture, "permall", bytes, size);
    open_directory_2_0(fixture);
    assert_false(tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "new", 3,
                                           &fixture->error));
    assert_state_error(fixture, TPM_ERROR_IO,
                       "cannot write TPM state file 'DIR/permall': its counter can go no further");
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
}

static void test_volatile_state_of_before_is_stale(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    store_text(fixture, TPM_STATE_VOLATILE, "pcrs");
    store_text(fixture, TPM_STATE_SAVED, "saved");
    store_text(fixture, TPM_STATE_PERMANENT, "other seeds");
    assert_not_found(
        fixture, TPM_STATE_VOLATILE,
        "TPM state file 'DIR/volatilestate' is stale: permanent state was stored after "
        "it");
    open_directory_2_0(fixture);
    assert_not_found(
        fixture, TPM_STATE_SAVED,
        "TPM state file 'DIR/savestate' is stale: permanent state was stored after it");
    store_text(fixture, TPM_STATE_VOLATILE, "pcrs");
    assert_loads(fixture, TPM_STATE_VOLATILE, "pcrs");
}

static void test_volatile_state_of_later_shows_a_rollback(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *old = NULL;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "old");
    size_t size = get_state_file(fixture, "permall", &old);

    store_text(fixture, TPM_STATE_PERMANENT, "new");
    store_text(fixture, TPM_STATE_SAVED, "saved");
    set_state_file(fixture, "permall", old, size);
    assert_open_refused(fixture,
                        "TPM state file 'DIR/permall' was rolled back: its counter is 1, and that "
                        "of 'savestate' is 2; restore the latest state, or give the counter that "
                        "goes with this one if it is meant");
}

/* Another host would see what may be gone after a loss of power. */
static void test_a_directory_is_not_let_go_of_before_it_is_on_the_disk(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    fail_directory_sync = true;
    assert_false(tpm_state_directory_let_go(fixture->directory, &fixture->error));
    assert_state_error(fixture, TPM_ERROR_IO,
                       "cannot sync TPM state directory 'DIR': Input/output error");
    assert_null(tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, NULL, NULL));
    fail_directory_sync = false;
    assert_true(tpm_state_directory_let_go(fixture->directory, NULL));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        COUNTER_TEST(test_each_store_of_permanent_state_counts),
        COUNTER_TEST(test_older_state_is_refused_to_one_who_knows),
        COUNTER_TEST(test_newer_state_than_the_host_knows_of_is_taken),
        COUNTER_TEST(test_an_emptied_directory_is_refused_to_one_who_knows),
        COUNTER_TEST(test_a_file_of_version_1_is_older_than_any_counter),
        COUNTER_TEST(test_state_that_is_rolled_back_while_in_use_is_refused),
        COUNTER_TEST(test_a_store_that_may_have_failed_has_used_its_counter),
        COUNTER_TEST(test_a_store_that_did_not_fail_after_all_counts),
        COUNTER_TEST(test_newer_state_is_on_the_disk_before_anybody_sees_it),
        COUNTER_TEST(test_the_last_counter_of_all_is_not_passed),
        COUNTER_TEST(test_volatile_state_of_before_is_stale),
        COUNTER_TEST(test_volatile_state_of_later_shows_a_rollback),
        COUNTER_TEST(test_a_directory_is_not_let_go_of_before_it_is_on_the_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
