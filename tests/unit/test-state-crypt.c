/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a TPM encrypted in its directory: what opens it and what does not, what of it can be
 * altered (nothing), and how state comes to be encrypted, or by another key.
 */
#include "state-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER_SIZE 104u

/* ---- a store that fails, or a process that ends, at a step of a conversion ---- */

static int fail_at; /* the number of the renaming that fails, from 1; 0: none */
static int renamed;

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (++renamed == fail_at) {
        errno = ENOSPC;
        return -1;
    }
    return __real_renameat(from_fd, from, to_fd, to);
}

static int crypt_tear_down(void **state)
{
    fail_at = 0;
    return state_tear_down(state);
}

#define CRYPT_TEST(name) cmocka_unit_test_setup_teardown(name, state_set_up, crypt_tear_down)

/* ---- keys ---- */

static TPMStateKey *make_key(uint8_t first, const char *option)
{
    uint8_t bytes[TPM_STATE_KEY_SIZE];

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(first + i);
    }
    return tpm_state_key_new(bytes, option, NULL);
}

/* Keys for the next opening; 0 for none. */
static void give_keys(StateFixture *fixture, uint8_t key, uint8_t old_key, bool convert)
{
    tpm_state_key_unref(fixture->access.key);
    tpm_state_key_unref(fixture->access.old_key);
    fixture->access.key = key ? make_key(key, "key-fd 7") : NULL;
    fixture->access.old_key = old_key ? make_key(old_key, "old-key-fd 8") : NULL;
    fixture->access.convert = convert;
}

static void assert_open_refused(StateFixture *fixture, TPMError code, const char *expected)
{
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    assert_state_error(fixture, code, expected);
}

static bool file_contains(StateFixture *fixture, const char *name, const char *text)
{
    g_autofree uint8_t *content = NULL;
    size_t size = get_state_file(fixture, name, &content);

    return memmem(content, size, text, strlen(text)) != NULL;
}

/* Is this text nowhere in the directory? */
static void assert_nowhere(StateFixture *fixture, const char *text)
{
    g_autoptr(GDir) dir = g_dir_open(fixture->path, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        if (file_contains(fixture, name, text)) {
            fail_msg("%s", name);
        }
    }
}

static void store_all_kinds(StateFixture *fixture)
{
    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    store_text(fixture, TPM_STATE_VOLATILE, "pcrs");
    store_text(fixture, TPM_STATE_SAVED, "saved");
}

static void assert_all_kinds(StateFixture *fixture)
{
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_loads(fixture, TPM_STATE_VOLATILE, "pcrs");
    assert_loads(fixture, TPM_STATE_SAVED, "saved");
}

/* ---- the form ---- */

/* Made by another implementation of HKDF and AES-256-GCM: it must be read for ever. */
/* clang-format off */
static const uint8_t golden[] = {
    'T', 'P', 'M', 'S', 'T', 'A', 'T', 'E',
    0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5,
    0, 0, 0, 0, 0, 0, 0, 7,
    /* salt */
    0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f,
    0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f,
    /* key check */
    0x07, 0x51, 0xa1, 0x11, 0xf8, 0xd1, 0x6d, 0x2f, 0x61, 0x35, 0x4a, 0xb8, 0x9c, 0x70, 0x80, 0x5f,
    /* tag */
    0xfe, 0x2a, 0x2c, 0xd7, 0x96, 0xbc, 0x97, 0x9c, 0xa1, 0xfd, 0xdb, 0x9a, 0x47, 0xd0, 0xdd, 0xc2,
    /* "seeds" */
    0xb6, 0x22, 0xa5, 0xe2, 0xb0,
};
/* clang-format on */

static void test_an_encrypted_file_has_the_documented_form(void **state)
{
    StateFixture *fixture = *state;
    uint8_t key[TPM_STATE_KEY_SIZE];

    for (unsigned i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)i;
    }
    fixture->access.key = tpm_state_key_new(key, "key", NULL);
    set_state_file(fixture, "permall", golden, sizeof(golden));
    open_directory_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_int_equal(tpm_state_directory_get_counter(fixture->directory), 7);
}

static void test_encrypted_state_is_loaded_as_it_was_stored(void **state)
{
    StateFixture *fixture = *state;

    give_keys(fixture, 1, 0, false);
    store_all_kinds(fixture);
    assert_all_kinds(fixture);
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
    assert_nowhere(fixture, "seeds");
    assert_nowhere(fixture, "pcrs");
    assert_nowhere(fixture, "saved");
}

static void test_no_two_files_are_encrypted_alike(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *one = NULL;
    g_autofree uint8_t *two = NULL;

    give_keys(fixture, 1, 0, false);
    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_VOLATILE, "the same");
    get_state_file(fixture, "volatilestate", &one);
    store_text(fixture, TPM_STATE_VOLATILE, "the same");
    get_state_file(fixture, "volatilestate", &two);
    assert_memory_equal(one, two, 40);
    assert_memory_not_equal(one + 40, two + 40, 32);                   /* salt */
    assert_memory_not_equal(one + 72, two + 72, 16);                   /* key check */
    assert_memory_not_equal(one + 88, two + 88, 16);                   /* tag */
    assert_memory_not_equal(one + HEADER_SIZE, two + HEADER_SIZE, 8u); /* payload */
}

/* ---- what is refused ---- */

static void test_another_key_is_refused(void **state)
{
    StateFixture *fixture = *state;

    give_keys(fixture, 1, 0, false);
    store_all_kinds(fixture);
    give_keys(fixture, 2, 0, false);
    assert_open_refused(
        fixture, TPM_ERROR_STATE_MISMATCH,
        "TPM state file 'DIR/permall' was not encrypted with the key from key-fd 7, "
        "or its header was altered; give the key it was encrypted with");
    give_keys(fixture, 2, 3, true);
    assert_open_refused(fixture, TPM_ERROR_STATE_MISMATCH,
                        "TPM state file 'DIR/permall' was not encrypted with the key from key-fd 7 "
                        "or old-key-fd 8, or its header was altered; give the key it was encrypted "
                        "with");
    give_keys(fixture, 1, 0, false);
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
}

static void test_encrypted_state_without_a_key_is_refused(void **state)
{
    StateFixture *fixture = *state;

    give_keys(fixture, 1, 0, false);
    store_all_kinds(fixture);
    give_keys(fixture, 0, 0, false);
    assert_open_refused(fixture, TPM_ERROR_MISSING_OPTION,
                        "TPM state file 'DIR/permall' is encrypted; give its key by key-file=FILE "
                        "or key-fd=FD");
}

static void test_state_that_is_not_encrypted_is_refused_where_there_is_a_key(void **state)
{
    StateFixture *fixture = *state;

    store_all_kinds(fixture);
    give_keys(fixture, 1, 0, false);
    assert_open_refused(fixture, TPM_ERROR_STATE_MISMATCH,
                        "TPM state file 'DIR/permall' is not encrypted, and there is the key from "
                        "key-fd 7; give convert=on to have it encrypted, or no key");
    give_keys(fixture, 1, 2, false);
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    give_keys(fixture, 0, 0, false);
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
}

static void test_any_flipped_bit_of_an_encrypted_file_is_found(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    give_keys(fixture, 1, 0, false);
    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    size_t size = get_state_file(fixture, "permall", &content);

    for (size_t bit = 0; bit < size * 8; bit++) {
        bool in_check = bit / 8 >= 40 && bit / 8 < 88; /* or in the salt it is made of */
        TPMError wanted = in_check ? TPM_ERROR_STATE_MISMATCH : TPM_ERROR_STATE_DAMAGED;

        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
        set_state_file(fixture, "permall", content, size);
        open_directory_as(fixture, TPM_VERSION_2_0);
        if (fixture->directory || fixture->error->code != (int)wanted) {
            fail_msg("bit %zu", bit);
        }
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    content[size - 1] ^= 1;
    set_state_file(fixture, "permall", content, size);
    assert_open_refused(
        fixture, TPM_ERROR_STATE_DAMAGED,
        "TPM state file 'DIR/permall' is damaged: the key fits, and AES-256-GCM finds it altered; "
        "restore the directory from a backup, or give an empty one for a new TPM");
}

static void test_an_encrypted_file_of_any_other_size_is_refused(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    give_keys(fixture, 1, 0, false);
    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    size_t size = get_state_file(fixture, "permall", &content);

    for (size_t less = 0; less < size; less++) {
        set_state_file(fixture, "permall", content, less);
        open_directory_as(fixture, TPM_VERSION_2_0);
        assert_null(fixture->directory);
        assert_int_equal(fixture->error->code, TPM_ERROR_STATE_DAMAGED);
    }
}

static void test_one_kind_of_encrypted_state_is_not_another(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    give_keys(fixture, 1, 0, false);
    store_all_kinds(fixture);
    size_t size = get_state_file(fixture, "savestate", &content);

    set_state_file(fixture, "permall", content, size);
    assert_open_refused(fixture, TPM_ERROR_STATE_DAMAGED,
                        "TPM state file 'DIR/permall' is damaged: it holds state of another kind; "
                        "restore the directory from a backup, or give an empty one for a new TPM");
}

/* ---- from one protection to another ---- */

static void test_state_can_be_encrypted_later(void **state)
{
    StateFixture *fixture = *state;

    store_all_kinds(fixture);
    set_state_file(fixture, "permall.tmp-01234567", "half of the seeds", 17);
    give_keys(fixture, 1, 0, true);
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
    assert_nowhere(fixture, "seeds");
    assert_nowhere(fixture, "pcrs");
    assert_nowhere(fixture, "saved");
    assert_int_equal(tpm_state_directory_get_counter(fixture->directory), 1); /* as before */
    give_keys(fixture, 1, 0, false);
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
}

static void test_state_can_be_given_another_key(void **state)
{
    StateFixture *fixture = *state;

    give_keys(fixture, 1, 0, false);
    store_all_kinds(fixture);
    give_keys(fixture, 2, 1, false);
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
    give_keys(fixture, 1, 0, false);
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    give_keys(fixture, 2, 0, false);
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
}

static void test_a_new_tpm_may_be_told_to_convert(void **state)
{
    StateFixture *fixture = *state;

    give_keys(fixture, 2, 1, true);
    store_all_kinds(fixture);
    give_keys(fixture, 2, 0, false);
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
}

/*
 * To another protection, cut off before each of its three steps; what was done before the cut is
 * not done again, and the same access opens the directory in the end.
 */
static void convert_in_steps(StateFixture *fixture, uint8_t key, uint8_t old_key, bool convert)
{
    static const char *const names[] = { "savestate", "volatilestate", "permall" };

    give_keys(fixture, key, old_key, convert);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *expected = g_strdup_printf(
            "cannot write TPM state file 'DIR/%s': No space left on device", names[i]);

        renamed = 0;
        fail_at = i == 0 ? 1 : 2; /* one step more than the last time */
        assert_open_refused(fixture, TPM_ERROR_IO, expected);
    }
    fail_at = 0;
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
}

static void test_a_conversion_that_is_cut_off_goes_on_the_next_time(void **state)
{
    StateFixture *fixture = *state;

    store_all_kinds(fixture);
    convert_in_steps(fixture, 1, 0, true);
    assert_nowhere(fixture, "seeds");
    convert_in_steps(fixture, 2, 1, false);
    give_keys(fixture, 2, 0, false);
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
}

/* On the thread of the host, whom SIGXFSZ would kill. */
static void test_a_conversion_raises_no_signal(void **state)
{
    StateFixture *fixture = *state;
    const struct rlimit none = { 0, 0 };
    int status;

    store_all_kinds(fixture);
    give_keys(fixture, 1, 0, true);
    fixture->directory = tpm_state_directory_close(fixture->directory);
    pid_t child = fork();

    if (child == 0) {
        setrlimit(RLIMIT_FSIZE, &none);
        open_directory_as(fixture, TPM_VERSION_2_0);
        _exit(fixture->directory || !g_str_has_suffix(fixture->error->message, g_strerror(EFBIG)));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    open_directory_2_0(fixture);
    assert_all_kinds(fixture);
}

static void test_what_is_not_encrypted_is_not_taken_once_all_is(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *plain = NULL;

    store_all_kinds(fixture);
    size_t size = get_state_file(fixture, "permall", &plain);

    give_keys(fixture, 1, 0, true);
    open_directory_2_0(fixture);
    set_state_file(fixture, "permall", plain, size);
    assert_null(tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, &fixture->error));
    assert_state_error(fixture, TPM_ERROR_STATE_MISMATCH,
                       "TPM state file 'DIR/permall' is not encrypted, and there is the key from "
                       "key-fd 7; give convert=on to have it encrypted, or no key");
}

static void test_a_temporary_file_that_cannot_be_removed_is_refused_with_a_key(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *path = state_file_path(fixture, "permall.tmp-01234567");

    assert_int_equal(g_mkdir(path, 0700), 0);
    open_directory_2_0(fixture);
    give_keys(fixture, 1, 0, true);
    assert_open_refused(fixture, TPM_ERROR_IO,
                        "cannot remove temporary files from TPM state directory 'DIR': Is a "
                        "directory; they may hold state that is not encrypted");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CRYPT_TEST(test_an_encrypted_file_has_the_documented_form),
        CRYPT_TEST(test_encrypted_state_is_loaded_as_it_was_stored),
        CRYPT_TEST(test_no_two_files_are_encrypted_alike),
        CRYPT_TEST(test_another_key_is_refused),
        CRYPT_TEST(test_encrypted_state_without_a_key_is_refused),
        CRYPT_TEST(test_state_that_is_not_encrypted_is_refused_where_there_is_a_key),
        CRYPT_TEST(test_any_flipped_bit_of_an_encrypted_file_is_found),
        CRYPT_TEST(test_an_encrypted_file_of_any_other_size_is_refused),
        CRYPT_TEST(test_one_kind_of_encrypted_state_is_not_another),
        CRYPT_TEST(test_state_can_be_encrypted_later),
        CRYPT_TEST(test_state_can_be_given_another_key),
        CRYPT_TEST(test_a_new_tpm_may_be_told_to_convert),
        CRYPT_TEST(test_a_conversion_that_is_cut_off_goes_on_the_next_time),
        CRYPT_TEST(test_a_conversion_raises_no_signal),
        CRYPT_TEST(test_what_is_not_encrypted_is_not_taken_once_all_is),
        CRYPT_TEST(test_a_temporary_file_that_cannot_be_removed_is_refused_with_a_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
