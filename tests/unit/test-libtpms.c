/* SPDX-License-Identifier: BSD-3-Clause */
/* The libtpms backend: what a TPM is and keeps, what is refused, and storage that fails. */
#include "command.h"
#include "libtpms-fixture.h"
#include "state-directory.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_tis.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- life ---- */

static void test_a_new_tpm_2_0_gives_random_bytes(void **state)
{
    Fixture *fixture = *state;

    make_backend(fixture, TPM_VERSION_2_0);
    assert_int_equal(tpmdev_backend_get_version(fixture->backend), TPM_VERSION_2_0);
    assert_int_equal(tpmdev_backend_get_buffer_size(fixture->backend), 4096);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, get_random), TPM2_RC_INITIALIZE);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_random(fixture);
}

static void test_a_new_tpm_1_2_gives_random_bytes(void **state)
{
    Fixture *fixture = *state;

    make_backend(fixture, TPM_VERSION_1_2);
    assert_int_equal(tpmdev_backend_get_version(fixture->backend), TPM_VERSION_1_2);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_int_equal(COMMAND(fixture, get_random_1_2), 0);
    assert_int_equal(tpm_header_tag(fixture->client->response), TPM12_TAG_RSP);
    assert_int_equal(fixture->client->response_size, 30);
}

static void test_a_tpm_2_0_keeps_its_state(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
    assert_int_equal(COMMAND(fixture, nv_write), 0);
    drop_backend(fixture);
    make_running(fixture);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
    assert_memory_equal(fixture->client->response + 16, "libtpmdv", 8);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_tpm_1_2_keeps_its_state(void **state)
{
    Fixture *fixture = *state;

    make_backend(fixture, TPM_VERSION_1_2);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_int_equal(COMMAND(fixture, nv_define_1_2), 0);
    assert_int_equal(COMMAND(fixture, nv_write_1_2), 0);
    drop_backend(fixture);
    make_backend(fixture, TPM_VERSION_1_2);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_int_equal(COMMAND(fixture, nv_read_1_2), 0);
    assert_memory_equal(fixture->client->response + 14, "libtpmdv", 8);
}

static void test_the_buffer_size_is_what_start_says(void **state)
{
    Fixture *fixture = *state;

    make_backend(fixture, TPM_VERSION_2_0);
    assert_true(backend_client_start(fixture->client, 3968));
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, get_property_max_command), 0);
    assert_int_equal(tpm_get_be32(fixture->client->response + 23), 3968);
}

static void test_a_command_has_the_locality_it_was_sent_with(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_int_equal(COMMAND(fixture, pcr_reset_20), 0x907); /* TPM_RC_LOCALITY */
    backend_client_submit(fixture->client, 2, pcr_reset_20, sizeof(pcr_reset_20));
    wait_completed(fixture, 3);
    assert_int_equal(tpm_header_code(fixture->client->response), 0);
    assert_int_equal(COMMAND(fixture, pcr_reset_20), 0x907);
}

static void test_locality_3_resets_the_established_flag(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_random(fixture); /* the worker is idle: libtpms is ours for the next two lines */
    assert_int_equal(TPM_IO_Hash_Start(), 0);
    assert_int_equal(TPM_IO_Hash_End(), 0);
    start_tpm(fixture);
    backend_client_wait_established(fixture->client, true);
    tpm_backend_reset_established(fixture->backend, 3);
    backend_client_wait_established(fixture->client, false);
}

static void test_the_worker_takes_no_signals(void **state)
{
    Fixture *fixture = *state;
    GDir *dir = g_dir_open("/proc/self/task", 0, NULL);
    const char *task;
    unsigned found = 0;

    make_backend(fixture, TPM_VERSION_2_0);
    start_tpm(fixture); /* so that it has set its name */
    while ((task = g_dir_read_name(dir))) {
        g_autofree char *path = g_strdup_printf("/proc/self/task/%s/status", task);
        g_autofree char *status = NULL;

        if (g_file_get_contents(path, &status, NULL, NULL) &&
            g_str_has_prefix(status, "Name:\ttpmdev-libtpms\n")) {
            found++;
            /* all but SIGKILL and SIGSTOP, which nobody can, and two of the C library's own */
            assert_non_null(strstr(status, "SigBlk:\tfffffffe7ffbfeff\n"));
        }
    }
    g_dir_close(dir);
    assert_int_equal(found, 1);
}

static unsigned count_entries(const char *path)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    unsigned count = 0;

    while (g_dir_read_name(dir)) {
        count++;
    }
    g_dir_close(dir);
    return count;
}

static void test_nothing_is_left_of_a_destroyed_tpm(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture); /* so that what GLib and OpenSSL keep is there */
    drop_backend(fixture);
    unsigned descriptors = count_entries("/proc/self/fd");
    unsigned threads = count_entries("/proc/self/task");

    make_running(fixture);
    drop_backend(fixture);
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
    assert_int_equal(count_entries("/proc/self/task"), threads);
}

/* ---- orderly ends ---- */

static void test_a_reset_without_shutdown_is_orderly(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_state), 0);
}

static void test_a_shutdown_of_the_guest_is_not_overridden(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_int_equal(COMMAND(fixture, shutdown_clear), 0);
    start_tpm(fixture);
    /* After TPM_SU_CLEAR there is no state to go on with: TPM_RC_VALUE, parameter 1. */
    assert_int_equal(COMMAND(fixture, startup_state), 0x1C4);
}

static void test_an_end_without_shutdown_is_orderly(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_random(fixture);
    drop_backend(fixture);
    make_backend(fixture, TPM_VERSION_2_0);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_state), 0x1C4); /* it was off, and not asleep */
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, get_property_startup), 0);
    assert_true(tpm_get_be32(fixture->client->response + 23) & 0x80000000u); /* orderly */
}

/* ---- refused ---- */

static void test_a_second_tpm_is_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_null(try_new(fixture, TPM_VERSION_2_0));
    assert_error(fixture, TPM_ERROR_IN_USE,
                 "type libtpms is in use: a process can have one TPM of it; use type emulator for "
                 "more");
    assert_random(fixture);
}

static void test_a_directory_in_use_by_another_is_refused(void **state)
{
    Fixture *fixture = *state;
    TPMStateDirectory *other = tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, NULL, NULL);

    assert_null(try_new(fixture, TPM_VERSION_2_0));
    assert_error(fixture, TPM_ERROR_IN_USE,
                 "TPM state directory 'DIR' is in use by another TPM, in this process or another "
                 "one; end that first, or give another directory");
    tpm_state_directory_close(other);
    make_running(fixture);
    assert_random(fixture);
}

static void test_after_one_tpm_there_can_be_one_of_the_other_version(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    drop_backend(fixture);
    empty_directory(fixture);
    make_backend(fixture, TPM_VERSION_1_2);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    drop_backend(fixture);
    empty_directory(fixture);
    make_running(fixture);
    assert_random(fixture);
}

static void test_state_of_the_other_version_is_refused(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    drop_backend(fixture);
    assert_null(try_new(fixture, TPM_VERSION_1_2));
    assert_error(fixture, TPM_ERROR_STATE_MISMATCH,
                 "TPM state file 'DIR/permall' is that of a TPM 2.0, and 'version' is 1.2; give "
                 "version=2.0, or another directory");
    make_running(fixture); /* which shows that the first one has let go of everything */
    assert_random(fixture);
}

static void test_damaged_state_is_refused_and_left_alone(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");
    g_autofree char *damaged = NULL;
    g_autofree char *after = NULL;
    gsize size, after_size;

    make_running(fixture);
    drop_backend(fixture);
    assert_true(g_file_get_contents(path, &damaged, &size, NULL));
    damaged[600] ^= 1; /* which libtpms would take */
    assert_true(g_file_set_contents(path, damaged, (gssize)size, NULL));
    assert_null(try_new(fixture, TPM_VERSION_2_0));
    assert_error(fixture, TPM_ERROR_STATE_DAMAGED,
                 "TPM state file 'DIR/permall' is damaged: its SHA-256 digest does not fit its "
                 "content; restore the directory from a backup, or give an empty one for a new "
                 "TPM");
    assert_true(g_file_get_contents(path, &after, &after_size, NULL));
    assert_int_equal(after_size, size);
    assert_memory_equal(after, damaged, size);
}

static void store_state(Fixture *fixture, TPMVersion version, const void *data, size_t size)
{
    TPMStateDirectory *directory = tpm_state_directory_open(fixture->path, version, NULL, NULL);

    assert_true(tpm_state_directory_store(directory, TPM_STATE_PERMANENT, data, size, NULL));
    tpm_state_directory_close(directory);
}

static void test_state_that_libtpms_does_not_know_is_refused_and_left_alone(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    gsize size, after_size;

    store_state(fixture, TPM_VERSION_2_0, "whole, but not a TPM's", 22);
    assert_true(g_file_get_contents(path, &before, &size, NULL));
    assert_null(try_new(fixture, TPM_VERSION_2_0));
    assert_error(fixture, TPM_ERROR_TPM,
                 "libtpms does not accept the TPM state in 'DIR' (code 0x1e): it is no state of "
                 "this kind of TPM");
    assert_true(g_file_get_contents(path, &after, &after_size, NULL));
    assert_int_equal(after_size, size);
    assert_memory_equal(after, before, size);

    empty_directory(fixture);
    store_state(fixture, TPM_VERSION_1_2, "whole, but not a TPM's", 22);
    assert_null(try_new(fixture, TPM_VERSION_1_2));
    assert_error(fixture, TPM_ERROR_TPM,
                 "libtpms does not accept the TPM state in 'DIR' (code 0x9)");
}

static void test_a_missing_directory_is_refused(void **state)
{
    Fixture *fixture = *state;

    g_rmdir(fixture->path);
    assert_null(try_new(fixture, TPM_VERSION_2_0));
    assert_error(fixture, TPM_ERROR_NOT_FOUND,
                 "cannot use TPM state directory 'DIR': No such file or directory; give an "
                 "existing directory");
}

static void assert_options_refused(Fixture *fixture, const char *options, TPMError code,
                                   const char *expected)
{
    assert_null(tpmdev_backend_new_from_string(options, NULL, NULL, &fixture->error));
    assert_error(fixture, code, expected);
}

static void test_bad_options_are_refused(void **state)
{
    Fixture *fixture = *state;

    assert_options_refused(fixture, "libtpms,id=tpm0", TPM_ERROR_MISSING_OPTION,
                           "libtpms: parameter 'dir' is missing; give dir=DIRECTORY for the TPM's "
                           "state");
    assert_options_refused(fixture, "libtpms,id=tpm0,dir=", TPM_ERROR_MISSING_OPTION,
                           "libtpms: parameter 'dir' is missing; give dir=DIRECTORY for the TPM's "
                           "state");
    assert_options_refused(fixture, "libtpms,id=tpm0,dir=x,version=3", TPM_ERROR_INVALID_OPTION,
                           "parameter 'version' is '3'; it must be 1.2 or 2.0");
    assert_options_refused(
        fixture, "libtpms,id=tpm0,path=x", TPM_ERROR_INVALID_OPTION,
        "libtpms: invalid parameter 'path'; it takes type, id, dir, version, "
        "key-file, key-fd, convert, old-key-file, old-key-fd, counter, incoming, "
        "release-lock-outgoing");
}

static void test_options_make_a_tpm(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *options = g_strdup_printf("libtpms,id=t,dir=%s,version=1.2", fixture->path);
    g_autofree char *otherwise = g_strdup_printf("libtpms,id=t,dir=%s", fixture->path);

    fixture->backend = tpmdev_backend_new_from_string(options, NULL, NULL, &fixture->error);
    assert_non_null(fixture->backend);
    assert_int_equal(tpmdev_backend_get_version(fixture->backend), TPM_VERSION_1_2);
    drop_backend(fixture);
    fixture->backend = tpmdev_backend_new_from_string(otherwise, NULL, NULL, &fixture->error);
    assert_int_equal(tpmdev_backend_get_version(fixture->backend), TPM_VERSION_2_0);
}

static void assert_config_refused(Fixture *fixture, const TPMLibtpmsConfig *config,
                                  const char *expected)
{
    assert_null(tpmdev_backend_libtpms_new(config, &fixture->error));
    assert_error(fixture, TPM_ERROR_INVALID_OPTION, expected);
}

/* The members of version 0.1 are enough, and garbage behind them is none of ours. */
static void test_a_config_of_version_0_1_makes_a_tpm(void **state)
{
    Fixture *fixture = *state;
    struct {
        TPMLibtpmsConfig config;
        uint8_t garbage[64];
    } wide;

    memset(&wide, 0xA5, sizeof(wide));
    wide.config.size = offsetof(TPMLibtpmsConfig, version) + 8; /* with its padding */
    wide.config.id = "tpm0";
    wide.config.directory = fixture->path;
    wide.config.version = TPM_VERSION_2_0;
    fixture->backend = tpmdev_backend_libtpms_new(&wide.config, &fixture->error);
    assert_non_null(fixture->backend);
}

static void test_a_bad_config_is_refused(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = {
        .size = sizeof(config),
        .id = "tpm0",
        .directory = fixture->path,
        .version = TPM_VERSION_2_0,
    };

    config.size = 8;
    assert_config_refused(fixture, &config,
                          "TPMLibtpmsConfig: size is not sizeof(TPMLibtpmsConfig)");
    config.size = sizeof(config);
    config.directory = NULL;
    assert_config_refused(fixture, &config,
                          "TPMLibtpmsConfig: directory is empty; give an existing directory");
    config.directory = fixture->path;
    config.version = (TPMVersion)0;
    assert_config_refused(
        fixture, &config,
        "TPMLibtpmsConfig: version is neither TPM_VERSION_1_2 nor TPM_VERSION_2_0");
    config.version = TPM_VERSION_2_0;
    config.id = "";
    assert_config_refused(fixture, &config,
                          "TPM backend: the id is empty; give the backend a name");
    make_running(fixture); /* nothing is left of them */
}

/* ---- storage that fails ---- */

static void test_state_that_cannot_be_stored_fails_the_tpm_until_it_is_reset(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
    assert_int_equal(COMMAND(fixture, nv_write), 0);
    block_storage(fixture);
    uint8_t command[sizeof(nv_write)];

    memcpy(command, nv_write, sizeof(command));
    command[35] = 'L';
    assert_int_equal(backend_client_command(fixture->client, command, sizeof(command)),
                     TPM2_RC_FAILURE);
    assert_message(fixture, fixture->client->response_error,
                   "cannot write TPM state file 'DIR/permall': Is a directory");
    assert_int_equal(COMMAND(fixture, get_random), TPM2_RC_FAILURE);
    assert_string_equal(fixture->client->response_error,
                        "TPM backend 'tpm0' has failed; the command was not sent");

    unblock_storage(fixture);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
    assert_memory_equal(fixture->client->response + 16, "libtpmdv", 8);
}

/* No file of this process may grow beyond so many bytes. */
static void limit_files(rlim_t size)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = MIN(size, limit.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A real write that fails in the middle of a file, and SIGXFSZ, which kills who does not mind. */
static void test_a_write_that_fails_midway_leaves_the_last_state(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
    assert_int_equal(COMMAND(fixture, nv_write), 0);
    uint8_t command[sizeof(nv_write)];

    memcpy(command, nv_write, sizeof(command));
    command[35] = 'L';
    for (rlim_t size = 0; size <= 1000; size += 500) {
        limit_files(size);
        uint32_t code = backend_client_command(fixture->client, command, sizeof(command));
        bool restarted = backend_client_start(fixture->client, TPM_BUFFER_SIZE_COMMON);

        limit_files(RLIM_INFINITY);
        assert_int_equal(code, TPM2_RC_FAILURE);
        assert_message(fixture, fixture->client->response_error,
                       "cannot write TPM state file 'DIR/permall': File too large");
        assert_true(restarted); /* which only reads */
        assert_int_equal(COMMAND(fixture, startup_clear), 0);
        assert_int_equal(COMMAND(fixture, nv_read), 0);
        assert_memory_equal(fixture->client->response + 16, "libtpmdv", 8);
    }
    drop_backend(fixture);
    make_running(fixture);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
    assert_memory_equal(fixture->client->response + 16, "libtpmdv", 8);
}

static void test_a_failure_while_lingering_comes_in_poll(void **state)
{
    Fixture *fixture = *state;
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;

    make_running(fixture);
    unsigned wanted = count_completed(fixture) + 1;

    block_storage(fixture);
    tpm_backend_load(fixture->backend, 0, nv_define, sizeof(nv_define));
    tpm_backend_submit(fixture->backend, true);
    while (count_completed(fixture) < wanted) {
        assert_true(g_get_monotonic_time() < deadline);
        tpm_backend_poll(fixture->backend);
    }
    unblock_storage(fixture);
    assert_int_equal(tpm_header_code(fixture->client->response), TPM2_RC_FAILURE);
    assert_ptr_equal(fixture->client->completed_on, g_thread_self());
    assert_message(fixture, fixture->client->response_error,
                   "cannot write TPM state file 'DIR/permall': Is a directory");
}

static void test_a_new_tpm_that_cannot_be_stored_does_not_start(void **state)
{
    Fixture *fixture = *state;

    make_backend(fixture, TPM_VERSION_2_0);
    empty_directory(fixture);
    g_rmdir(fixture->path);
    assert_false(backend_client_start(fixture->client, TPM_BUFFER_SIZE_COMMON));
    assert_message(fixture, fixture->client->start_error,
                   "cannot write TPM state file 'DIR/permall': No such file or directory");
    assert_int_equal(COMMAND(fixture, startup_clear), TPM2_RC_FAILURE);
}

static void test_state_that_goes_or_is_damaged_between_resets_is_no_new_tpm(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");

    make_running(fixture);
    g_remove(path);
    assert_int_equal(COMMAND(fixture, nv_define), 0); /* which writes it anew */
    assert_int_equal(COMMAND(fixture, shutdown_clear), 0);
    g_remove(path);
    assert_false(backend_client_start(fixture->client, TPM_BUFFER_SIZE_COMMON));
    assert_message(fixture, fixture->client->start_error,
                   "TPM state file 'DIR/permall' is damaged: it was there and has gone; restore "
                   "the directory from a backup, or give an empty one for a new TPM");
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_true(g_file_set_contents(path, "", 0, NULL));
    assert_false(backend_client_start(fixture->client, TPM_BUFFER_SIZE_COMMON));
    assert_message(fixture, fixture->client->start_error,
                   "TPM state file 'DIR/permall' is damaged: it is empty; restore the directory "
                   "from a backup, or give an empty one for a new TPM");
}

static void test_libtpms_prints_nothing(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "printed");
    g_autofree char *printed = NULL;
    gsize size;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);

    assert_true(fd >= 0);
    fflush(stdout);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    make_running(fixture);
    block_storage(fixture); /* into its failure mode, of which it would tell */
    uint32_t code = COMMAND(fixture, nv_define);

    unblock_storage(fixture);
    drop_backend(fixture);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(fd);
    close(out);
    close(err);
    assert_int_equal(code, TPM2_RC_FAILURE);
    assert_true(g_file_get_contents(path, &printed, &size, NULL));
    assert_string_equal(printed, "");
}

static void test_what_a_crash_left_does_no_harm(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall.tmp-00c0ffee");

    assert_true(g_file_set_contents(path, "half", 4, NULL));
    make_running(fixture);
    assert_random(fixture);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_a_new_tpm_2_0_gives_random_bytes),
        TEST(test_a_new_tpm_1_2_gives_random_bytes),
        TEST(test_a_tpm_2_0_keeps_its_state),
        TEST(test_a_tpm_1_2_keeps_its_state),
        TEST(test_the_buffer_size_is_what_start_says),
        TEST(test_a_command_has_the_locality_it_was_sent_with),
        TEST(test_locality_3_resets_the_established_flag),
        TEST(test_the_worker_takes_no_signals),
        TEST(test_nothing_is_left_of_a_destroyed_tpm),
        TEST(test_a_reset_without_shutdown_is_orderly),
        TEST(test_a_shutdown_of_the_guest_is_not_overridden),
        TEST(test_an_end_without_shutdown_is_orderly),
        TEST(test_a_second_tpm_is_refused),
        TEST(test_a_directory_in_use_by_another_is_refused),
        TEST(test_after_one_tpm_there_can_be_one_of_the_other_version),
        TEST(test_state_of_the_other_version_is_refused),
        TEST(test_damaged_state_is_refused_and_left_alone),
        TEST(test_state_that_libtpms_does_not_know_is_refused_and_left_alone),
        TEST(test_a_missing_directory_is_refused),
        TEST(test_bad_options_are_refused),
        TEST(test_options_make_a_tpm),
        TEST(test_a_config_of_version_0_1_makes_a_tpm),
        TEST(test_a_bad_config_is_refused),
        TEST(test_state_that_cannot_be_stored_fails_the_tpm_until_it_is_reset),
        TEST(test_a_write_that_fails_midway_leaves_the_last_state),
        TEST(test_a_failure_while_lingering_comes_in_poll),
        TEST(test_a_new_tpm_that_cannot_be_stored_does_not_start),
        TEST(test_state_that_goes_or_is_damaged_between_resets_is_no_new_tpm),
        TEST(test_libtpms_prints_nothing),
        TEST(test_what_a_crash_left_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
