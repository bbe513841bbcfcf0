/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of a TPM in a directory: what is stored is loaded, whatever comes in between. */
#include "state-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the system calls of a store, watched and made to fail ---- */

static GString *calls; /* a letter for each, or NULL: do not watch */
static int fail_at;    /* the number of the call that fails, from 1; 0: none */
static int fail_errno;
static bool empty_writes; /* write() takes nothing, for ever */
static bool short_writes; /* write() takes a byte at a time, and is interrupted before each */

ssize_t __real_write(int fd, const void *data, size_t size);
int __real_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __wrap_fsync(int fd);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);

static bool call_fails(char letter)
{
    if (!calls) {
        return false;
    }
    g_string_append_c(calls, letter);
    if ((int)calls->len == fail_at) {
        errno = fail_errno;
        return true;
    }
    return false;
}

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    static bool interrupt;

    if (call_fails('w')) {
        return -1;
    }
    if (empty_writes) {
        return 0;
    }
    if (short_writes) {
        interrupt = !interrupt;
        if (interrupt) {
            errno = EINTR;
            return -1;
        }
        size = MIN(size, 1);
    }
    return __real_write(fd, data, size);
}

int __wrap_fsync(int fd)
{
    struct stat status;

    assert_int_equal(fstat(fd, &status), 0);
    return call_fails(S_ISDIR(status.st_mode) ? 'd' : 'f') ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return call_fails('r') ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

static int watched_tear_down(void **state)
{
    if (calls) {
        g_string_free(g_steal_pointer(&calls), TRUE);
    }
    fail_at = 0;
    short_writes = false;
    empty_writes = false;
    return state_tear_down(state);
}

#define WATCHED_TEST(name) cmocka_unit_test_setup_teardown(name, state_set_up, watched_tear_down)

/* ---- storing and loading ---- */

static void test_each_kind_of_state_is_loaded_as_it_was_stored(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    store_text(fixture, TPM_STATE_VOLATILE, "pcrs");
    store_text(fixture, TPM_STATE_SAVED, "saved");
    open_directory_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_loads(fixture, TPM_STATE_VOLATILE, "pcrs");
    assert_loads(fixture, TPM_STATE_SAVED, "saved");
    store_text(fixture, TPM_STATE_PERMANENT, "other seeds");
    assert_loads(fixture, TPM_STATE_PERMANENT, "other seeds");
}

static void test_state_that_was_never_stored_is_not_found(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    assert_null(tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, &fixture->error));
    assert_state_error(fixture, TPM_ERROR_NOT_FOUND,
                       "cannot read TPM state file 'DIR/permall': No such file or directory");
}

/* Bytes of both versions of the form, made by hand: they must be read for ever. */
/* clang-format off */
static const uint8_t golden_1[] = {
    'T', 'P', 'M', 'S', 'T', 'A', 'T', 'E',
    0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5,
    /* (printf 'TPMSTATE\0\0\0\1...'; printf seeds) | sha256sum */
    0x39, 0xd2, 0x78, 0xbd, 0xc3, 0x09, 0xee, 0xcc, 0xda, 0xea, 0xf2, 0x84, 0xd1, 0x34, 0xe5, 0x7c,
    0x45, 0x1c, 0x29, 0xdc, 0x6c, 0xbe, 0xa7, 0xdc, 0x13, 0x47, 0x04, 0x22, 0x81, 0x4b, 0xb4, 0x00,
    's', 'e', 'e', 'd', 's',
};
static const uint8_t golden_2[] = {
    'T', 'P', 'M', 'S', 'T', 'A', 'T', 'E',
    0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5,
    0, 0, 0, 0, 0, 0, 0, 1,
    0x28, 0x40, 0x1d, 0x5b, 0x17, 0x02, 0xb0, 0x9e, 0x29, 0x27, 0xd6, 0x0f, 0x31, 0x0f, 0x7c, 0x96,
    0x1c, 0x04, 0xbc, 0x7c, 0x60, 0x00, 0x4b, 0x04, 0x63, 0xfe, 0x26, 0x9c, 0xbe, 0xd7, 0x4a, 0x97,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    's', 'e', 'e', 'd', 's',
};
/* clang-format on */

static void test_a_file_has_the_documented_form(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_int_equal(get_state_file(fixture, "permall", &content), sizeof(golden_2));
    assert_memory_equal(content, golden_2, sizeof(golden_2));
    set_state_file(fixture, "permall", golden_2, sizeof(golden_2));
    open_directory_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
}

static void test_a_file_of_version_1_is_read(void **state)
{
    StateFixture *fixture = *state;

    set_state_file(fixture, "permall", golden_1, sizeof(golden_1));
    open_directory_2_0(fixture);
    assert_int_equal(tpm_state_directory_get_counter(fixture->directory), 0);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    store_text(fixture, TPM_STATE_PERMANENT, "other seeds");
    assert_int_equal(tpm_state_directory_get_counter(fixture->directory), 1);
    open_directory_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "other seeds");
}

static void test_files_are_for_their_owner_only(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *path = state_file_path(fixture, "permall");
    struct stat status;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_removed_state_is_not_found(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    store_text(fixture, TPM_STATE_SAVED, "saved");
    assert_true(tpm_state_directory_remove(fixture->directory, TPM_STATE_SAVED, NULL));
    assert_null(tpm_state_directory_load(fixture->directory, TPM_STATE_SAVED, NULL));
    assert_false(tpm_state_directory_remove(fixture->directory, TPM_STATE_SAVED, &fixture->error));
    assert_state_error(fixture, TPM_ERROR_NOT_FOUND,
                       "cannot remove TPM state file 'DIR/savestate': No such file or directory");
}

static void test_no_state_and_too_much_state_are_not_stored(void **state)
{
    StateFixture *fixture = *state;
    g_autofree uint8_t *much = g_malloc0(TPM_STATE_SIZE_MAX + 1);

    open_directory_2_0(fixture);
    assert_false(
        tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "", 0, &fixture->error));
    assert_state_error(
        fixture, TPM_ERROR_INVALID_OPTION,
        "cannot write TPM state file 'DIR/permall': 0 bytes of state; it can be 1 to "
        "524288");
    g_clear_error(&fixture->error);
    assert_false(tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, much,
                                           TPM_STATE_SIZE_MAX + 1, &fixture->error));
    assert_state_error(
        fixture, TPM_ERROR_INVALID_OPTION,
        "cannot write TPM state file 'DIR/permall': 524289 bytes of state; it can be 1 to "
        "524288");
    assert_true(tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, much,
                                          TPM_STATE_SIZE_MAX, NULL));
    open_directory_2_0(fixture);
}

static unsigned count_descriptors(void)
{
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned count = 0;

    while (g_dir_read_name(dir)) {
        count++;
    }
    g_dir_close(dir);
    return count;
}

/* ---- crashes and full disks ---- */

static void test_what_a_crash_left_is_ignored_and_removed(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    set_state_file(fixture, "permall.tmp-01234567", "half", 4);
    set_state_file(fixture, "volatilestate.tmp-89abcdef", "", 0);
    set_state_file(fixture, "notes", "keep", 4);
    open_directory_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_int_equal(count_state_files(fixture, ""), 2);
    assert_int_equal(count_state_files(fixture, "notes"), 1);
}

static void test_content_is_synced_before_it_has_the_name(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    calls = g_string_new(NULL);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_string_equal(calls->str, "wfrd");
}

static void test_a_store_that_fails_at_any_step_leaves_the_last_state(void **state)
{
    static const int errors[] = { ENOSPC, EIO, EDQUOT, EROFS };
    StateFixture *fixture = *state;
    bool stored = false;
    int step = 0;

    open_directory_2_0(fixture);
    while (!stored) {
        store_text(fixture, TPM_STATE_PERMANENT, "old");
        calls = g_string_new(NULL);
        fail_at = ++step;
        fail_errno = errors[step % 4];
        stored = tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "new", 3,
                                           &fixture->error);
        bool last_step = g_str_has_suffix(calls->str, "d");

        g_string_free(g_steal_pointer(&calls), TRUE);
        fail_at = 0;
        assert_loads(fixture, TPM_STATE_PERMANENT, stored || last_step ? "new" : "old");
        assert_int_equal(count_state_files(fixture, "permall"), 1);
        if (!stored) {
            g_autofree char *expected = g_strdup_printf(
                "cannot write TPM state file 'DIR/permall': %s", g_strerror(errors[step % 4]));

            assert_state_error(fixture, TPM_ERROR_IO, expected);
            g_clear_error(&fixture->error);
        }
    }
    assert_int_equal(step, 5);
}

static void test_writes_may_be_short_and_interrupted(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    short_writes = true;
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    short_writes = false;
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
}

static void test_a_write_that_takes_nothing_is_a_full_disk(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    empty_writes = true;
    assert_false(tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "seeds", 5,
                                           &fixture->error));
    empty_writes = false;
    assert_state_error(fixture, TPM_ERROR_IO,
                       "cannot write TPM state file 'DIR/permall': No space left on device");
}

/* ---- a disk that is full ---- */

#define NO_DISK 77 /* the exit status of one who may not mount */

/* In the child: a file system of 64 KiB on the directory, for nobody else to see. */
static bool mount_small_disk(const char *path)
{
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        return false;
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", path, "tmpfs", 0, "size=64k") == 0;
}

static bool stores(StateFixture *fixture, char letter, size_t size, int expected_errno)
{
    static uint8_t payload[60000];
    g_autoptr(GError) error = NULL;

    memset(payload, letter, size);
    return tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, payload, size, &error)
               ? expected_errno == 0
               : expected_errno != 0 &&
                     g_str_has_suffix(error->message, g_strerror(expected_errno));
}

static bool holds(StateFixture *fixture, char letter)
{
    g_autoptr(GBytes) bytes =
        tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, NULL);

    return bytes && *(const char *)g_bytes_get_data(bytes, NULL) == letter &&
           count_state_files(fixture, "permall") == 1;
}

/* Returns the number of the first step that went otherwise than it should, or 0. */
static int use_small_disk(StateFixture *fixture)
{
    open_directory_as(fixture, TPM_VERSION_2_0);
    if (!fixture->directory || !stores(fixture, 'a', 40000, 0)) {
        return 1;
    }
    if (!stores(fixture, 'b', 60000, ENOSPC) || !holds(fixture, 'a')) {
        return 2;
    }
    if (!stores(fixture, 'c', 1000, 0) || !holds(fixture, 'c')) {
        return 3;
    }
    return 0;
}

static void test_a_full_disk_leaves_the_last_state(void **state)
{
    StateFixture *fixture = *state;
    int status;
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(mount_small_disk(fixture->path) ? use_small_disk(fixture) : NO_DISK);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_DISK) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_store_into_a_removed_directory_fails(void **state)
{
    StateFixture *fixture = *state;

    g_autofree char *lock = state_file_path(fixture, ".lock");

    open_directory_2_0(fixture);
    g_remove(lock);
    g_rmdir(fixture->path);
    assert_false(tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "seeds", 5,
                                           &fixture->error));
    assert_state_error(fixture, TPM_ERROR_IO,
                       "cannot write TPM state file 'DIR/permall': No such file or directory");
}

static void test_a_directory_may_be_renamed_while_in_use(void **state)
{
    StateFixture *fixture = *state;
    char *moved = g_strconcat(fixture->path, "-moved", NULL);

    open_directory_2_0(fixture);
    assert_int_equal(g_rename(fixture->path, moved), 0);
    g_free(fixture->path);
    fixture->path = moved;
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    open_directory_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
}

/* In the child: store states of one letter, of ever other sizes, and say so; never returns. */
static void store_for_ever(StateFixture *fixture, int progress)
{
    static uint8_t payload[20000];

    for (unsigned n = 0;; n++) {
        size_t size = 1 + n * 7919u % sizeof(payload);

        memset(payload, 'a' + n % 26, size);
        if (!tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, payload, size,
                                       NULL) ||
            write(progress, "", 1) != 1) {
            _exit(1);
        }
    }
}

static void test_state_is_whole_after_the_process_is_killed(void **state)
{
    StateFixture *fixture = *state;

    for (unsigned round = 0; round < 30; round++) {
        int progress[2];
        char byte;

        open_directory_2_0(fixture);
        assert_int_equal(pipe(progress), 0);
        pid_t child = fork();

        if (child == 0) {
            store_for_ever(fixture, progress[1]);
        }
        close(progress[1]);
        for (unsigned n = 0; n <= round % 5; n++) {
            assert_int_equal(read(progress[0], &byte, 1), 1);
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        close(progress[0]);

        open_directory_2_0(fixture);
        g_autoptr(GBytes) bytes =
            tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, NULL);
        gsize size;
        const uint8_t *data = g_bytes_get_data(bytes, &size);

        for (gsize i = 1; i < size; i++) {
            assert_int_equal(data[i], data[0]);
        }
        assert_int_equal(count_state_files(fixture, ""), 1);
    }
}

static void test_no_descriptor_is_left_open(void **state)
{
    StateFixture *fixture = *state;
    unsigned before = count_descriptors();

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    calls = g_string_new(NULL);
    fail_at = 1;
    fail_errno = EIO;
    assert_false(tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "x", 1, NULL));
    set_state_file(fixture, "savestate", "", 0);
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    assert_int_equal(count_descriptors(), before);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WATCHED_TEST(test_each_kind_of_state_is_loaded_as_it_was_stored),
        WATCHED_TEST(test_state_that_was_never_stored_is_not_found),
        WATCHED_TEST(test_a_file_has_the_documented_form),
        WATCHED_TEST(test_a_file_of_version_1_is_read),
        WATCHED_TEST(test_files_are_for_their_owner_only),
        WATCHED_TEST(test_removed_state_is_not_found),
        WATCHED_TEST(test_no_state_and_too_much_state_are_not_stored),
        WATCHED_TEST(test_what_a_crash_left_is_ignored_and_removed),
        WATCHED_TEST(test_content_is_synced_before_it_has_the_name),
        WATCHED_TEST(test_a_store_that_fails_at_any_step_leaves_the_last_state),
        WATCHED_TEST(test_writes_may_be_short_and_interrupted),
        WATCHED_TEST(test_a_write_that_takes_nothing_is_a_full_disk),
        WATCHED_TEST(test_a_full_disk_leaves_the_last_state),
        WATCHED_TEST(test_a_store_into_a_removed_directory_fails),
        WATCHED_TEST(test_a_directory_may_be_renamed_while_in_use),
        WATCHED_TEST(test_state_is_whole_after_the_process_is_killed),
        WATCHED_TEST(test_no_descriptor_is_left_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
