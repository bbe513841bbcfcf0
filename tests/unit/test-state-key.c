/* SPDX-License-Identifier: BSD-3-Clause */
/* The key that TPM state is encrypted with: where it is read from, what is none, how it is kept. */
#include "state-key.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tpmdev/error.h>
#include <unistd.h>

#include <cmocka.h>

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

typedef struct KeyFixture {
    char *path; /* a file */
    GError *error;
    TPMStateKey *key;
} KeyFixture;

static int key_set_up(void **state)
{
    KeyFixture *fixture = g_new0(KeyFixture, 1);
    int fd = g_file_open_tmp("tpmdev-key-XXXXXX", &fixture->path, NULL);

    *state = fixture;
    return fd >= 0 ? close(fd) : -1;
}

static int key_tear_down(void **state)
{
    KeyFixture *fixture = *state;

    tpm_state_key_unref(fixture->key);
    g_clear_error(&fixture->error);
    g_remove(fixture->path);
    g_rmdir(fixture->path);
    g_free(fixture->path);
    g_free(fixture);
    return 0;
}

#define KEY_TEST(name) cmocka_unit_test_setup_teardown(name, key_set_up, key_tear_down)

static void read_file(KeyFixture *fixture)
{
    tpm_state_key_unref(fixture->key);
    g_clear_error(&fixture->error);
    fixture->key = tpm_state_key_read_file(fixture->path, "key-file", &fixture->error);
}

static void assert_key(KeyFixture *fixture)
{
    if (!fixture->key) {
        fail_msg("%s", fixture->error->message);
    }
    for (unsigned i = 0; i < TPM_STATE_KEY_SIZE; i++) {
        assert_int_equal(fixture->key->bytes[i], i);
    }
}

static void assert_file_is_key(KeyFixture *fixture, const void *content, size_t size)
{
    assert_true(g_file_set_contents(fixture->path, content, (gssize)size, NULL));
    read_file(fixture);
    assert_key(fixture);
}

/* FILE in expected stands for the path. */
static void assert_refused(KeyFixture *fixture, TPMError code, const char *expected)
{
    assert_null(fixture->key);
    assert_non_null(fixture->error);
    g_auto(GStrv) parts = g_strsplit(fixture->error->message, fixture->path, -1);
    g_autofree char *message = g_strjoinv("FILE", parts);

    assert_string_equal(message, expected);
    assert_true(g_error_matches(fixture->error, TPMDEV_ERROR, (gint)code));
}

static void assert_file_is_no_key(KeyFixture *fixture, const void *content, size_t size)
{
    g_autofree char *expected =
        g_strdup_printf("key-file 'FILE' holds %zu bytes that are no key; it must be 32 bytes, or "
                        "64 hexadecimal digits with or without a newline",
                        size);

    assert_true(g_file_set_contents(fixture->path, content, (gssize)size, NULL));
    read_file(fixture);
    assert_refused(fixture, TPM_ERROR_INVALID_OPTION, expected);
}

static void test_a_file_holds_bytes_or_digits(void **state)
{
    uint8_t bytes[TPM_STATE_KEY_SIZE];

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_file_is_key(*state, bytes, sizeof(bytes));
    assert_file_is_key(*state, HEX, 64);
    assert_file_is_key(*state, HEX "\n", 65);
}

static void test_a_file_of_anything_else_is_refused(void **state)
{
    KeyFixture *fixture = *state;
    g_autofree char *much = g_strnfill(100000, 'a');

    assert_file_is_no_key(fixture, "", 0);
    assert_file_is_no_key(fixture, "0123456789abcdef0123456789abcde", 31);
    assert_file_is_no_key(fixture, "0123456789abcdef0123456789abcdef\n", 33);
    assert_file_is_no_key(fixture, HEX, 63);
    assert_file_is_no_key(fixture, HEX "0", 65);
    assert_file_is_no_key(fixture, "g" HEX, 64);
    assert_true(g_file_set_contents(fixture->path, HEX "\r\n", 66, NULL));
    read_file(fixture);
    assert_refused(fixture, TPM_ERROR_INVALID_OPTION,
                   "key-file 'FILE' holds more than a key; it must be 32 bytes, or 64 hexadecimal "
                   "digits with or without a newline");
    assert_true(g_file_set_contents(fixture->path, much, 100000, NULL));
    read_file(fixture);
    assert_null(fixture->key);
}

static void test_a_file_that_cannot_be_read_is_refused(void **state)
{
    KeyFixture *fixture = *state;

    g_remove(fixture->path);
    read_file(fixture);
    assert_refused(fixture, TPM_ERROR_NOT_FOUND,
                   "cannot read the key from key-file 'FILE': No such file or directory");
    assert_int_equal(g_mkdir(fixture->path, 0700), 0);
    read_file(fixture);
    assert_refused(fixture, TPM_ERROR_IO,
                   "cannot read the key from key-file 'FILE': Is a directory");
}

/* Whoever has the key opens it when somebody reads, and not before. */
static void test_a_fifo_may_be_the_file(void **state)
{
    KeyFixture *fixture = *state;

    g_remove(fixture->path);
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(fixture->path, O_WRONLY | O_CLOEXEC);

        _exit(write(fd, HEX, 64) != 64);
    }
    read_file(fixture);
    kill(child, SIGKILL); /* it has ended, or the test has failed */
    waitpid(child, NULL, 0);
    assert_key(fixture);
}

/* In two writes, as a pipe may be filled; the descriptor is the caller's before and after. */
static void test_a_descriptor_is_read_to_its_end_and_stays_open(void **state)
{
    KeyFixture *fixture = *state;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], HEX, 10), 10);
    assert_int_equal(write(ends[1], &HEX[10], 54), 54);
    close(ends[1]);
    fixture->key = tpm_state_key_read_fd(ends[0], "key-fd", &fixture->error);
    int flags = fcntl(ends[0], F_GETFD);

    close(ends[0]);
    assert_int_not_equal(flags, -1);
    assert_key(fixture);
    g_autofree char *source = g_strdup_printf("key-fd %d", ends[0]);

    assert_string_equal(fixture->key->source, source);
}

static void test_a_descriptor_is_read_from_where_it_stands(void **state)
{
    KeyFixture *fixture = *state;

    assert_true(g_file_set_contents(fixture->path, "id=" HEX, -1, NULL));
    int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);

    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    fixture->key = tpm_state_key_read_fd(fd, "key-fd", &fixture->error);
    close(fd);
    assert_key(fixture);
}

static void test_a_descriptor_that_is_not_open_is_refused(void **state)
{
    KeyFixture *fixture = *state;

    fixture->key = tpm_state_key_read_fd(1000, "key-fd", &fixture->error);
    assert_refused(fixture, TPM_ERROR_IO,
                   "cannot read the key from key-fd 1000: Bad file descriptor");
}

/* What /proc tells of the mapping at an address: the line of its flags. */
static char *mapping_flags(const void *address)
{
    g_autofree char *maps = NULL;
    bool found = false;

    assert_true(g_file_get_contents("/proc/self/smaps", &maps, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(maps, "\n", -1);

    for (char **line = lines; *line; line++) {
        unsigned long from, to;

        if (sscanf(*line, "%lx-%lx ", &from, &to) == 2) {
            found = (unsigned long)address >= from && (unsigned long)address < to;
        } else if (found && g_str_has_prefix(*line, "VmFlags:")) {
            return g_strdup(*line);
        }
    }
    return NULL;
}

static void test_a_key_is_in_no_core_dump(void **state)
{
    KeyFixture *fixture = *state;

    assert_file_is_key(fixture, HEX, 64);
    g_autofree char *flags = mapping_flags(fixture->key->bytes);

    if (!flags) {
        skip();
    }
    assert_non_null(strstr(flags, " dd")); /* "do not include area into core dump" */
}

static void test_the_last_reference_ends_a_key(void **state)
{
    KeyFixture *fixture = *state;

    assert_file_is_key(fixture, HEX, 64);
    TPMStateKey *other = tpm_state_key_ref(fixture->key);

    tpm_state_key_unref(other);
    assert_key(fixture);
    assert_null(tpm_state_key_ref(NULL));
    tpm_state_key_unref(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        KEY_TEST(test_a_file_holds_bytes_or_digits),
        KEY_TEST(test_a_file_of_anything_else_is_refused),
        KEY_TEST(test_a_file_that_cannot_be_read_is_refused),
        KEY_TEST(test_a_fifo_may_be_the_file),
        KEY_TEST(test_a_descriptor_is_read_to_its_end_and_stays_open),
        KEY_TEST(test_a_descriptor_is_read_from_where_it_stands),
        KEY_TEST(test_a_descriptor_that_is_not_open_is_refused),
        KEY_TEST(test_a_key_is_in_no_core_dump),
        KEY_TEST(test_the_last_reference_ends_a_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
