/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of a TPM in a directory: what is refused, each with its own words. */
#include "state-fixture.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER_SIZE   104u
#define HEADER_DIGEST 40u

static void assert_open_refused(StateFixture *fixture, TPMError code, const char *expected)
{
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    assert_state_error(fixture, code, expected);
}

static void assert_damaged(StateFixture *fixture, const char *name, const char *what)
{
    g_autofree char *expected =
        g_strdup_printf("TPM state file 'DIR/%s' is damaged: %s; restore the directory from a "
                        "backup, or give an empty one for a new TPM",
                        name, what);

    assert_open_refused(fixture, TPM_ERROR_STATE_DAMAGED, expected);
}

/* A permall of this payload whose header was changed at a 32-bit field, the digest made good. */
static void set_crafted_file(StateFixture *fixture, size_t field, uint32_t value,
                             const char *payload)
{
    g_autofree uint8_t *content = NULL;
    gsize digest_size = 32;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "x");
    get_state_file(fixture, "permall", &content);
    size_t size = HEADER_SIZE + strlen(payload);

    content = g_realloc(content, size + 1);
    memcpy(content + HEADER_SIZE, payload, strlen(payload));
    content[31] = (uint8_t)strlen(payload);
    if (field) {
        uint32_t be = GUINT32_TO_BE(value);

        memcpy(content + field, &be, sizeof(be));
    }
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA256);

    g_checksum_update(checksum, content, HEADER_DIGEST);
    g_checksum_update(checksum, content + HEADER_SIZE, (gssize)strlen(payload));
    g_checksum_get_digest(checksum, content + HEADER_DIGEST, &digest_size);
    g_checksum_free(checksum);
    set_state_file(fixture, "permall", content, size);
}

static void test_a_missing_directory_is_refused(void **state)
{
    StateFixture *fixture = *state;

    g_rmdir(fixture->path);
    assert_open_refused(fixture, TPM_ERROR_NOT_FOUND,
                        "cannot use TPM state directory 'DIR': No such file or directory; give an "
                        "existing directory");
}

static void test_a_file_in_place_of_the_directory_is_refused(void **state)
{
    StateFixture *fixture = *state;

    g_rmdir(fixture->path);
    assert_true(g_file_set_contents(fixture->path, "", 0, NULL));
    open_directory_as(fixture, TPM_VERSION_2_0);
    g_remove(fixture->path);
    assert_state_error(fixture, TPM_ERROR_IO,
                       "cannot use TPM state directory 'DIR': Not a directory; give an existing "
                       "directory");
}

/* Root may read and write anything, so the tests about permissions become somebody else. */
static uid_t become_nobody(StateFixture *fixture)
{
    uid_t before = geteuid();

    if (before == 0) {
        assert_int_equal(chown(fixture->path, 65534, (gid_t)-1), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    return before;
}

static void test_a_directory_that_cannot_be_written_is_refused(void **state)
{
    StateFixture *fixture = *state;

    assert_int_equal(g_chmod(fixture->path, 0500), 0);
    uid_t before = become_nobody(fixture);

    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_int_equal(seteuid(before), 0);
    g_chmod(fixture->path, 0700);
    assert_state_error(
        fixture, TPM_ERROR_IO,
        "cannot use TPM state directory 'DIR': Permission denied; give one that may be "
        "written");
}

static void test_a_directory_that_cannot_be_read_is_refused(void **state)
{
    StateFixture *fixture = *state;

    assert_int_equal(g_chmod(fixture->path, 0), 0);
    uid_t before = become_nobody(fixture);

    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_int_equal(seteuid(before), 0);
    g_chmod(fixture->path, 0700);
    assert_state_error(fixture, TPM_ERROR_IO,
                       "cannot use TPM state directory 'DIR': Permission denied; give an existing "
                       "directory");
}

static void test_a_file_that_cannot_be_read_is_refused(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *path = state_file_path(fixture, "permall");

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    g_autofree char *lock = state_file_path(fixture, ".lock");

    assert_int_equal(g_chmod(path, 0), 0);
    assert_int_equal(g_chmod(lock, 0666), 0);
    uid_t before = become_nobody(fixture);

    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_int_equal(seteuid(before), 0);
    assert_state_error(fixture, TPM_ERROR_IO,
                       "cannot read TPM state file 'DIR/permall': Permission denied");
}

static void test_what_is_no_regular_file_is_refused(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *path = state_file_path(fixture, "permall");

    assert_int_equal(g_mkdir(path, 0700), 0);
    assert_open_refused(fixture, TPM_ERROR_IO,
                        "cannot read TPM state file 'DIR/permall': it is not a regular file");
    g_rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_open_refused(fixture, TPM_ERROR_IO,
                        "cannot read TPM state file 'DIR/permall': it is not a regular file");
    g_remove(path);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_open_refused(fixture, TPM_ERROR_IO,
                        "cannot read TPM state file 'DIR/permall': Too many levels of symbolic "
                        "links");
}

static void test_an_empty_file_is_refused(void **state)
{
    StateFixture *fixture = *state;

    set_state_file(fixture, "permall", "", 0);
    assert_damaged(fixture, "permall", "it is empty");
}

static void test_a_file_shorter_than_its_header_is_refused(void **state)
{
    StateFixture *fixture = *state;
    uint8_t header[100] = { 'T', 'P', 'M', 'S', 'T', 'A', 'T', 'E', 0, 0, 0, 2 };

    set_state_file(fixture, "permall", header, sizeof(header));
    assert_damaged(fixture, "permall", "its 100 bytes are too few for the header of 104");

    set_state_file(fixture, "permall", "TPMSTATE", 8);
    assert_damaged(fixture, "permall", "its 8 bytes are too few for the header of 64");
}

static void test_garbage_is_refused(void **state)
{
    StateFixture *fixture = *state;
    uint8_t garbage[1000];

    memset(garbage, 0xA5, sizeof(garbage));
    set_state_file(fixture, "permall", garbage, sizeof(garbage));
    assert_damaged(fixture, "permall", "it does not begin as a file of TPM state does");
}

static void test_a_file_of_a_later_format_is_refused(void **state)
{
    StateFixture *fixture = *state;

    set_crafted_file(fixture, 8, 3, "seeds");
    assert_damaged(fixture, "permall", "it is of format version 3, and this library reads 1 and 2");
}

static void test_a_truncated_file_is_refused(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    size_t size = get_state_file(fixture, "permall", &content);

    set_state_file(fixture, "permall", content, size - 1);
    assert_damaged(fixture, "permall", "its header tells of 5 bytes of state and 4 are there");
}

static void test_a_file_that_goes_on_is_refused(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    size_t size = get_state_file(fixture, "permall", &content);

    /* GLib ends what it reads with a zero byte. */
    set_state_file(fixture, "permall", content, size + 1);
    assert_damaged(fixture, "permall", "its header tells of 5 bytes of state and 6 are there");
}

static void test_a_file_that_is_too_large_is_refused(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *path = state_file_path(fixture, "permall");

    set_state_file(fixture, "permall", "", 0);
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    assert_damaged(fixture, "permall",
                   "its 1099511627776 bytes are more than the 524392 a TPM's state can be");
}

static void test_any_flipped_bit_is_found(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    size_t size = get_state_file(fixture, "permall", &content);

    for (size_t bit = 0; bit < size * 8; bit++) {
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
        set_state_file(fixture, "permall", content, size);
        open_directory_as(fixture, TPM_VERSION_2_0);
        /* One of them makes it a file that is encrypted. */
        TPMError wanted = bit == 184 ? TPM_ERROR_MISSING_OPTION : TPM_ERROR_STATE_DAMAGED;

        if (fixture->directory || fixture->error->code != (int)wanted) {
            fail_msg("bit %zu", bit);
        }
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    set_state_file(fixture, "permall", content, size);
    content[size - 1] ^= 1;
    set_state_file(fixture, "permall", content, size);
    assert_damaged(fixture, "permall", "its SHA-256 digest does not fit its content");
}

static void test_state_of_no_bytes_is_refused(void **state)
{
    StateFixture *fixture = *state;

    set_crafted_file(fixture, 0, 0, "");
    assert_damaged(fixture, "permall", "there is no state in it");
}

static void test_state_of_another_kind_is_refused(void **state)
{
    StateFixture *fixture = *state;

    set_crafted_file(fixture, 16, 3, "seeds");
    assert_damaged(fixture, "permall", "it holds state of another kind");
}

static void test_unknown_protection_is_refused(void **state)
{
    StateFixture *fixture = *state;

    set_crafted_file(fixture, 20, 2, "seeds");
    assert_damaged(fixture, "permall", "it is protected in a way this library does not know");
    g_autofree char *path = state_file_path(fixture, "permall");

    g_remove(path);
    set_crafted_file(fixture, 24, 1, "seeds");
    assert_damaged(fixture, "permall", "it is protected in a way this library does not know");
}

static void test_state_of_an_unknown_tpm_version_is_refused(void **state)
{
    StateFixture *fixture = *state;

    set_crafted_file(fixture, 12, 3, "seeds");
    assert_damaged(fixture, "permall", "it is that of a TPM of unknown version 3");
}

static void test_state_of_the_other_tpm_version_is_refused(void **state)
{
    StateFixture *fixture = *state;

    open_directory_as(fixture, TPM_VERSION_1_2);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_open_refused(fixture, TPM_ERROR_STATE_MISMATCH,
                        "TPM state file 'DIR/permall' is that of a TPM 1.2, and 'version' is 2.0; "
                        "give version=1.2, or another directory");
    g_autofree char *path = state_file_path(fixture, "permall");

    g_remove(path);
    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    open_directory_as(fixture, TPM_VERSION_1_2);
    assert_null(fixture->directory);
    assert_state_error(
        fixture, TPM_ERROR_STATE_MISMATCH,
        "TPM state file 'DIR/permall' is that of a TPM 2.0, and 'version' is 1.2; give "
        "version=2.0, or another directory");
}

static void test_damaged_volatile_state_is_refused(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    set_state_file(fixture, "volatilestate", "", 0);
    assert_damaged(fixture, "volatilestate", "it is empty");
}

static void test_state_without_permanent_state_is_refused(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_VOLATILE, "pcrs");
    assert_damaged(fixture, "permall", "it is missing, though there is a 'volatilestate'");
}

static void test_permanent_state_that_goes_while_in_use_is_no_new_tpm(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *path = state_file_path(fixture, "permall");

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    g_remove(path);
    assert_null(tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, &fixture->error));
    assert_state_error(
        fixture, TPM_ERROR_STATE_DAMAGED,
        "TPM state file 'DIR/permall' is damaged: it was there and has gone; restore the "
        "directory from a backup, or give an empty one for a new TPM");
}

static void test_a_directory_of_swtpm_is_refused(void **state)
{
    StateFixture *fixture = *state;

    set_state_file(fixture, "tpm2-00.permall", "x", 1);
    assert_open_refused(fixture, TPM_ERROR_STATE_MISMATCH,
                        "TPM state directory 'DIR' is that of swtpm: it holds 'tpm2-00.permall'; "
                        "use type emulator for that TPM, or give another directory");
}

static void test_a_refused_directory_is_left_as_it_is(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    set_state_file(fixture, "permall", "damaged", 7);
    set_state_file(fixture, "permall.tmp-01234567", "half", 4);
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    assert_int_equal(count_state_files(fixture, ""), 2);
    assert_int_equal(get_state_file(fixture, "permall", &content), 7);
    assert_memory_equal(content, "damaged", 7);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        STATE_TEST(test_a_missing_directory_is_refused),
        STATE_TEST(test_a_file_in_place_of_the_directory_is_refused),
        STATE_TEST(test_a_directory_that_cannot_be_written_is_refused),
        STATE_TEST(test_a_directory_that_cannot_be_read_is_refused),
        STATE_TEST(test_a_file_that_cannot_be_read_is_refused),
        STATE_TEST(test_what_is_no_regular_file_is_refused),
        STATE_TEST(test_an_empty_file_is_refused),
        STATE_TEST(test_a_file_shorter_than_its_header_is_refused),
        STATE_TEST(test_garbage_is_refused),
        STATE_TEST(test_a_file_of_a_later_format_is_refused),
        STATE_TEST(test_a_truncated_file_is_refused),
        STATE_TEST(test_a_file_that_goes_on_is_refused),
        STATE_TEST(test_a_file_that_is_too_large_is_refused),
        STATE_TEST(test_any_flipped_bit_is_found),
        STATE_TEST(test_state_of_no_bytes_is_refused),
        STATE_TEST(test_state_of_another_kind_is_refused),
        STATE_TEST(test_unknown_protection_is_refused),
        STATE_TEST(test_state_of_an_unknown_tpm_version_is_refused),
        STATE_TEST(test_state_of_the_other_tpm_version_is_refused),
        STATE_TEST(test_damaged_volatile_state_is_refused),
        STATE_TEST(test_state_without_permanent_state_is_refused),
        STATE_TEST(test_permanent_state_that_goes_while_in_use_is_no_new_tpm),
        STATE_TEST(test_a_directory_of_swtpm_is_refused),
        STATE_TEST(test_a_refused_directory_is_left_as_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
