/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The libtpms backend with a key and a counter: by options and by configuration, what a TPM keeps
 * through them, and what the host hears.
 */
#include "command.h"
#include "libtpms-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const uint8_t key[TPM_LIBTPMS_KEY_SIZE] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                                   11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                                   22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };
static const uint8_t other_key[TPM_LIBTPMS_KEY_SIZE] = { 'o', 't', 'h', 'e', 'r' };

static TPMLibtpmsConfig config_of(const Fixture *fixture)
{
    return (TPMLibtpmsConfig){
        .size = sizeof(TPMLibtpmsConfig),
        .id = "tpm0",
        .directory = fixture->path,
        .version = TPM_VERSION_2_0,
    };
}

static void make_with(Fixture *fixture, const TPMLibtpmsConfig *config)
{
    drop_backend(fixture);
    fixture->backend = tpmdev_backend_libtpms_new(config, &fixture->error);
    if (!fixture->backend) {
        fail_msg("new: %s", fixture->error->message);
    }
    bind_client(fixture);
    start_tpm(fixture);
}

static void assert_refused(Fixture *fixture, const TPMLibtpmsConfig *config, TPMError code,
                           const char *expected)
{
    drop_backend(fixture);
    assert_null(tpmdev_backend_libtpms_new(config, &fixture->error));
    assert_error(fixture, code, expected);
}

static void write_nv(Fixture *fixture)
{
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
    assert_int_equal(COMMAND(fixture, nv_write), 0);
}

static void assert_nv(Fixture *fixture)
{
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
    assert_memory_equal(fixture->client->response + 16, "libtpmdv", 8);
}

static bool state_contains(const Fixture *fixture, const char *text)
{
    g_autofree char *path = file_path(fixture, "permall");
    g_autofree char *content = NULL;
    gsize size;

    assert_true(g_file_get_contents(path, &content, &size, NULL));
    return memmem(content, size, text, strlen(text)) != NULL;
}

/* ---- keys ---- */

static void test_a_tpm_keeps_its_state_encrypted(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = config_of(fixture);

    config.key = key;
    make_with(fixture, &config);
    write_nv(fixture);
    assert_false(state_contains(fixture, "libtpmdv"));
    make_with(fixture, &config);
    assert_nv(fixture);
    config.key = other_key;
    assert_refused(fixture, &config, TPM_ERROR_STATE_MISMATCH,
                   "TPM state file 'DIR/permall' was not encrypted with the key from "
                   "TPMLibtpmsConfig.key, or its "
                   "header was altered; give the key it was encrypted with");
    config.key = NULL;
    assert_refused(fixture, &config, TPM_ERROR_MISSING_OPTION,
                   "TPM state file 'DIR/permall' is encrypted; give its key by key-file=FILE or "
                   "key-fd=FD");
}

static void test_a_tpm_1_2_keeps_its_state_encrypted(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = config_of(fixture);

    config.key = key;
    config.version = TPM_VERSION_1_2;
    make_with(fixture, &config);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_int_equal(COMMAND(fixture, nv_define_1_2), 0);
    assert_int_equal(COMMAND(fixture, nv_write_1_2), 0);
    assert_false(state_contains(fixture, "libtpmdv"));
    make_with(fixture, &config);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_int_equal(COMMAND(fixture, nv_read_1_2), 0);
    assert_memory_equal(fixture->client->response + 14, "libtpmdv", 8);
}

static void test_a_tpm_is_encrypted_later_and_by_another_key_still_later(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = config_of(fixture);

    make_with(fixture, &config);
    write_nv(fixture);
    assert_true(state_contains(fixture, "libtpmdv"));
    config.key = key;
    assert_refused(fixture, &config, TPM_ERROR_STATE_MISMATCH,
                   "TPM state file 'DIR/permall' is not encrypted, and there is the key from "
                   "TPMLibtpmsConfig.key; "
                   "give convert=on to have it encrypted, or no key");
    config.convert = true;
    make_with(fixture, &config);
    assert_nv(fixture);
    assert_false(state_contains(fixture, "libtpmdv"));
    config.convert = false;
    config.key = other_key;
    config.old_key = key;
    make_with(fixture, &config);
    assert_nv(fixture);
    config.old_key = NULL;
    make_with(fixture, &config);
    assert_nv(fixture);
}

/* A file of the key beside the state; free the path. */
static char *write_key_file(const Fixture *fixture)
{
    char *path = file_path(fixture, "key");

    assert_true(g_file_set_contents(path, KEY_HEX "\n", -1, NULL));
    return path;
}

static void make_from_string(Fixture *fixture, const char *more)
{
    g_autofree char *options = g_strdup_printf("libtpms,id=tpm0,dir=%s,%s", fixture->path, more);

    drop_backend(fixture);
    fixture->backend = tpmdev_backend_new_from_string(options, NULL, NULL, &fixture->error);
    if (!fixture->backend) {
        fail_msg("%s: %s", more, fixture->error->message);
    }
    bind_client(fixture);
    start_tpm(fixture);
}

static void test_options_give_a_key_by_file_or_descriptor(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = write_key_file(fixture);
    g_autofree char *by_file = g_strdup_printf("key-file=%s", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    g_autofree char *by_fd = g_strdup_printf("key-fd=%d", fd);
    TPMLibtpmsConfig config = config_of(fixture);

    make_from_string(fixture, by_file);
    write_nv(fixture);
    make_from_string(fixture, by_fd);
    assert_nv(fixture);
    assert_int_equal(close(fd), 0); /* it is still ours */
    config.key = key;
    make_with(fixture, &config);
    assert_nv(fixture);
}

static void test_options_convert(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = write_key_file(fixture);
    g_autofree char *other_path = file_path(fixture, "other-key");
    g_autofree char *convert = g_strdup_printf("key-file=%s,convert=on", path);
    g_autofree char *change = g_strdup_printf("key-file=%s,old-key-file=%s", other_path, path);
    g_autofree char *changed = g_strdup_printf("key-file=%s,convert=off", other_path);

    assert_true(g_file_set_contents(other_path, (const char *)other_key, sizeof(other_key), NULL));
    make_from_string(fixture, "version=2.0");
    write_nv(fixture);
    make_from_string(fixture, convert);
    assert_nv(fixture);
    make_from_string(fixture, change);
    assert_nv(fixture);
    make_from_string(fixture, changed);
    assert_nv(fixture);
}

static void assert_options_refused(Fixture *fixture, const char *more, TPMError code,
                                   const char *expected)
{
    g_autofree char *options = g_strdup_printf("libtpms,id=tpm0,dir=%s,%s", fixture->path, more);

    assert_null(tpmdev_backend_new_from_string(options, NULL, NULL, &fixture->error));
    assert_error(fixture, code, expected);
}

static void test_bad_options_about_keys_are_refused(void **state)
{
    Fixture *fixture = *state;

    assert_options_refused(fixture, "key-file=/nowhere/at-all", TPM_ERROR_NOT_FOUND,
                           "cannot read the key from key-file '/nowhere/at-all': No such file or "
                           "directory");
    assert_options_refused(fixture, "key-file=/dev/null", TPM_ERROR_INVALID_OPTION,
                           "key-file '/dev/null' holds 0 bytes that are no key; it must be 32 "
                           "bytes, or 64 hexadecimal digits with or without a newline");
    assert_options_refused(fixture, "key-fd=2", TPM_ERROR_INVALID_OPTION,
                           "parameter 'key-fd' is '2'; it must be a number from 3 to 2147483647");
    assert_options_refused(fixture, "key-fd=x", TPM_ERROR_INVALID_OPTION,
                           "parameter 'key-fd' is 'x'; it must be a number from 3 to 2147483647");
    assert_options_refused(fixture, "key-fd=9,key-file=x", TPM_ERROR_INVALID_OPTION,
                           "TPMLibtpmsConfig: of key, key-file and key-fd, one can be given");
    assert_options_refused(
        fixture, "key-file=x,old-key-fd=9,old-key-file=x", TPM_ERROR_INVALID_OPTION,
        "TPMLibtpmsConfig: of old_key, old-key-file and old-key-fd, one can be given");
    assert_options_refused(fixture, "old-key-file=x", TPM_ERROR_INVALID_OPTION,
                           "TPMLibtpmsConfig: an old key is for state that is to have another one; "
                           "give key-file or key-fd, too");
    assert_options_refused(fixture, "convert=on", TPM_ERROR_INVALID_OPTION,
                           "TPMLibtpmsConfig: convert is for state that is to be encrypted; give "
                           "key-file or key-fd, too");
    assert_options_refused(fixture, "convert=yes", TPM_ERROR_INVALID_OPTION,
                           "parameter 'convert' is 'yes'; it must be on or off");
    assert_options_refused(fixture, "counter=-1", TPM_ERROR_INVALID_OPTION,
                           "parameter 'counter' is '-1'; it must be a number from 0 to "
                           "18446744073709551615");
    TPMLibtpmsConfig config = config_of(fixture);

    config.key_fd = -1;
    assert_refused(fixture, &config, TPM_ERROR_INVALID_OPTION,
                   "TPMLibtpmsConfig: key-fd and old-key-fd must be above 2");
}

/* ---- what is left of a key ---- */

/* A key that is nowhere in this program but inverted; in a file whose writing leaves no copy. */
static void write_hidden_key(const char *path, uint8_t inverted[TPM_LIBTPMS_KEY_SIZE])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    for (unsigned i = 0; i < TPM_LIBTPMS_KEY_SIZE; i++) {
        inverted[i] = (uint8_t)(i * 37 + 11);
        uint8_t byte = (uint8_t)~inverted[i];

        assert_int_equal(write(fd, &byte, 1), 1);
    }
    close(fd);
}

static unsigned count_in(const uint8_t *bytes, size_t size, const uint8_t *inverted)
{
    const uint8_t *end = bytes + size;
    const uint8_t *at = memchr(bytes, inverted[0] ^ 0xFF, size);
    unsigned count = 0;

    while (at && (size_t)(end - at) >= TPM_LIBTPMS_KEY_SIZE) {
        size_t n = 0;

        while (n < TPM_LIBTPMS_KEY_SIZE && (at[n] ^ inverted[n]) == 0xFF) {
            n++;
        }
        count += n == TPM_LIBTPMS_KEY_SIZE;
        at++;
        at = memchr(at, inverted[0] ^ 0xFF, (size_t)(end - at));
    }
    return count;
}

/* How often is the key in the memory of this process? A sanitizer's own is too large to look at. */
static unsigned count_in_memory(const uint8_t *inverted)
{
    enum { CHUNK = 1 << 20, MAPPING_MAX = 64 << 20 };
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    uint8_t *chunk = g_malloc(CHUNK);
    unsigned long from, to;
    char line[512], access[8];
    unsigned count = 0;

    assert_true(maps && memory >= 0);
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, access) != 3 || access[1] != 'w' ||
            to - from > MAPPING_MAX) {
            continue;
        }
        for (unsigned long at = from; at < to; at += CHUNK) {
            ssize_t n = pread(memory, chunk, MIN(CHUNK, to - at), (off_t)at);

            count += n > 0 ? count_in(chunk, (size_t)n, inverted) : 0;
            memset(chunk, 0, CHUNK); /* so that it is not found here */
        }
    }
    g_free(chunk);
    fclose(maps);
    close(memory);
    return count;
}

static void test_a_key_is_in_memory_once_and_then_not_at_all(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "key");
    g_autofree char *options = g_strdup_printf("key-file=%s", path);
    uint8_t inverted[TPM_LIBTPMS_KEY_SIZE];

    write_hidden_key(path, inverted);
    make_from_string(fixture, options);
    write_nv(fixture);
    assert_int_equal(count_in_memory(inverted), 1);
    drop_backend(fixture);
    assert_int_equal(count_in_memory(inverted), 0);
}

static unsigned count_entries(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned count = 0;

    while (g_dir_read_name(dir)) {
        count++;
    }
    return count;
}

static void test_nothing_is_left_of_a_tpm_with_keys(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = write_key_file(fixture);
    g_autofree char *options = g_strdup_printf("key-file=%s,convert=on", path);
    TPMLibtpmsConfig wrong = config_of(fixture);
    unsigned descriptors = 0;

    wrong.key = other_key;
    wrong.key_file = NULL;
    for (unsigned i = 0; i < 20; i++) {
        make_from_string(fixture, options);
        drop_backend(fixture);
        assert_null(tpmdev_backend_libtpms_new(&wrong, &fixture->error));
        g_clear_error(&fixture->error);
        if (i == 0) { /* so that what GLib and OpenSSL keep is there */
            descriptors = count_entries("/proc/self/fd");
        }
    }
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
}

/* ---- counters ---- */

/* What a host keeps. The lock is for the memory's sake: the calls come from the TPM's thread. */
typedef struct Host {
    GMutex lock;
    uint64_t counter;
    unsigned told;
    char *path; /* of the state, to see that it is on the disk when the host hears */
    bool late;  /* it was not */
} Host;

static void on_counter_changed(void *opaque, uint64_t counter)
{
    Host *host = opaque;
    g_autofree char *content = NULL;
    gsize size = 0;
    uint64_t stored = 0;

    g_file_get_contents(host->path, &content, &size, NULL);
    for (unsigned i = 32; i < 40 && size >= 40; i++) {
        stored = stored << 8 | (uint8_t)content[i];
    }
    g_mutex_lock(&host->lock);
    host->late |= stored != counter;
    host->counter = counter;
    host->told++;
    g_mutex_unlock(&host->lock);
}

static uint64_t host_counter(Host *host)
{
    g_mutex_lock(&host->lock);
    uint64_t counter = host->counter;

    g_mutex_unlock(&host->lock);
    return counter;
}

static void test_the_host_hears_of_each_store_before_the_guest(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");
    Host host = { .path = path };
    TPMLibtpmsConfig config = config_of(fixture);

    config.counter_changed = on_counter_changed;
    config.opaque = &host;
    make_with(fixture, &config);
    write_nv(fixture);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t before = host_counter(&host);

        assert_int_equal(COMMAND(fixture, nv_write), 0);
        uint64_t after = host_counter(&host);

        /* The same bytes: libtpms may see that there is nothing to store. */
        assert_true(after >= before);
        assert_int_equal(tpmdev_backend_libtpms_get_counter(fixture->backend), after);
    }
    uint64_t before = host_counter(&host);
    uint8_t other[sizeof(nv_write)];

    memcpy(other, nv_write, sizeof(other));
    other[35] = 'L';
    assert_int_equal(backend_client_command(fixture->client, other, sizeof(other)), 0);
    assert_true(host_counter(&host) > before);
    drop_backend(fixture); /* whose shutdown is stored, too */
    assert_false(host.late);
    assert_true(host.told > 0);
    config.counter = host.counter;
    host.told = 0;
    make_with(fixture, &config);
    assert_true(tpmdev_backend_libtpms_get_counter(fixture->backend) >= config.counter);
    drop_backend(fixture);
}

static void test_state_that_was_rolled_back_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");
    g_autofree char *old = NULL;
    gsize size;
    TPMLibtpmsConfig config = config_of(fixture);

    config.key = key;
    make_with(fixture, &config);
    write_nv(fixture);
    drop_backend(fixture);
    assert_true(g_file_get_contents(path, &old, &size, NULL));
    make_with(fixture, &config);
    assert_nv(fixture);
    assert_int_equal(COMMAND(fixture, nv_write), 0);
    assert_int_equal(COMMAND(fixture, shutdown_clear), 0);
    config.counter = tpmdev_backend_libtpms_get_counter(fixture->backend);
    drop_backend(fixture);
    assert_true(g_file_set_contents(path, old, (gssize)size, NULL));
    assert_null(tpmdev_backend_libtpms_new(&config, &fixture->error));
    assert_true(g_error_matches(fixture->error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH));
    assert_non_null(strstr(fixture->error->message, "permall' was rolled back: its counter is "));
    g_clear_error(&fixture->error);
    g_autofree char *key_path = write_key_file(fixture);
    g_autofree char *options =
        g_strdup_printf("libtpms,id=tpm0,dir=%s,key-file=%s,counter=%" G_GUINT64_FORMAT,
                        fixture->path, key_path, config.counter);

    assert_null(tpmdev_backend_new_from_string(options, NULL, NULL, &fixture->error));
    assert_true(g_error_matches(fixture->error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH));
    g_clear_error(&fixture->error);
    config.counter = 0;
    make_with(fixture, &config);
    assert_nv(fixture);
}

static void test_another_backend_has_no_counter(void **state)
{
    (void)state;
    TPMBackend *null = tpmdev_backend_null_new("tpm0", TPM_VERSION_2_0, NULL);

    assert_int_equal(tpmdev_backend_libtpms_get_counter(null), 0);
    tpmdev_backend_unref(null);
}

/* TPM_SaveState, loss of power, TPM_Startup(ST_STATE): nothing of it is taken for stale. */
static void test_a_tpm_1_2_goes_on_from_its_saved_state(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = config_of(fixture);

    config.version = TPM_VERSION_1_2;
    make_with(fixture, &config);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_int_equal(COMMAND(fixture, nv_define_1_2), 0);
    assert_int_equal(COMMAND(fixture, save_state_1_2), 0);
    make_with(fixture, &config);
    assert_int_equal(COMMAND(fixture, startup_state_1_2), 0);
    assert_int_equal(COMMAND(fixture, get_random_1_2), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_a_tpm_keeps_its_state_encrypted),
        TEST(test_a_tpm_1_2_keeps_its_state_encrypted),
        TEST(test_a_tpm_is_encrypted_later_and_by_another_key_still_later),
        TEST(test_options_give_a_key_by_file_or_descriptor),
        TEST(test_options_convert),
        TEST(test_bad_options_about_keys_are_refused),
        TEST(test_a_key_is_in_memory_once_and_then_not_at_all),
        TEST(test_nothing_is_left_of_a_tpm_with_keys),
        TEST(test_the_host_hears_of_each_store_before_the_guest),
        TEST(test_state_that_was_rolled_back_is_refused),
        TEST(test_another_backend_has_no_counter),
        TEST(test_a_tpm_1_2_goes_on_from_its_saved_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
