/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of a TPM in a directory: what is taken, what is refused, and what a crash leaves. */
#include "state-directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER_SIZE 64u

typedef struct Fixture {
    char *path;
    TPMStateDirectory *directory;
    GError *error;
} Fixture;

/* ---- the system calls of a store, watched and made to fail ---- */

static GString *calls; /* a letter for each, or NULL: do not watch */
static int fail_at;    /* the number of the call that fails, from 1; 0: none */
static int fail_errno;
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

/* ---- the fixture ---- */

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->path = g_dir_make_tmp("tpmdev-state-XXXXXX", NULL);
    *state = fixture;
    return fixture->path ? 0 : -1;
}

static char *file_path(const Fixture *fixture, const char *name)
{
    return g_build_filename(fixture->path, name, NULL);
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    GDir *dir = g_dir_open(fixture->path, 0, NULL);
    const char *name;

    tpm_state_directory_close(fixture->directory);
    g_clear_error(&fixture->error);
    if (calls) {
        g_string_free(calls, TRUE);
        calls = NULL;
    }
    fail_at = 0;
    short_writes = false;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = file_path(fixture, name);

        g_remove(path);
    }
    if (dir) {
        g_dir_close(dir);
    }
    g_rmdir(fixture->path);
    g_free(fixture->path);
    g_free(fixture);
    return 0;
}

static void open_as(Fixture *fixture, TPMVersion version)
{
    fixture->directory = tpm_state_directory_close(fixture->directory);
    g_clear_error(&fixture->error);
    fixture->directory = tpm_state_directory_open(fixture->path, version, &fixture->error);
}

static void open_2_0(Fixture *fixture)
{
    open_as(fixture, TPM_VERSION_2_0);
    if (!fixture->directory) {
        fail_msg("open: %s", fixture->error->message);
    }
}

static void store(Fixture *fixture, TPMStateKind kind, const char *text)
{
    if (!tpm_state_directory_store(fixture->directory, kind, text, strlen(text), &fixture->error)) {
        fail_msg("store: %s", fixture->error->message);
    }
}

static void assert_loads(Fixture *fixture, TPMStateKind kind, const char *text)
{
    g_autoptr(GBytes) state = tpm_state_directory_load(fixture->directory, kind, &fixture->error);

    if (!state) {
        fail_msg("load: %s", fixture->error->message);
    }
    assert_int_equal(g_bytes_get_size(state), strlen(text));
    assert_memory_equal(g_bytes_get_data(state, NULL), text, strlen(text));
}

/* The message, with DIR for the directory's path. */
static void assert_error(Fixture *fixture, TPMError code, const char *expected)
{
    assert_non_null(fixture->error);
    g_auto(GStrv) parts = g_strsplit(fixture->error->message, fixture->path, -1);
    g_autofree char *message = g_strjoinv("DIR", parts);

    assert_string_equal(message, expected);
    assert_int_equal(fixture->error->code, code);
    assert_true(fixture->error->domain == TPMDEV_ERROR);
}

static void assert_open_refused(Fixture *fixture, TPMError code, const char *expected)
{
    open_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    assert_error(fixture, code, expected);
}

static void assert_damaged(Fixture *fixture, const char *name, const char *what)
{
    g_autofree char *expected =
        g_strdup_printf("TPM state file 'DIR/%s' is damaged: %s; restore the directory from a "
                        "backup, or give an empty one for a new TPM",
                        name, what);

    assert_open_refused(fixture, TPM_ERROR_STATE_DAMAGED, expected);
}

static size_t get_file(Fixture *fixture, const char *name, uint8_t **content)
{
    g_autofree char *path = file_path(fixture, name);
    gsize size;

    assert_true(g_file_get_contents(path, (char **)content, &size, NULL));
    return size;
}

static void set_file(Fixture *fixture, const char *name, const void *content, size_t size)
{
    g_autofree char *path = file_path(fixture, name);

    assert_true(g_file_set_contents(path, content, (gssize)size, NULL));
}

/* A permall of this payload whose header was changed at a 32-bit field, the digest made good. */
static void set_crafted_file(Fixture *fixture, size_t field, uint32_t value, const char *payload)
{
    g_autofree uint8_t *content = NULL;
    gsize digest_size = 32;

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "x");
    get_file(fixture, "permall", &content);
    size_t size = HEADER_SIZE + strlen(payload);

    content = g_realloc(content, size + 1);
    memcpy(content + HEADER_SIZE, payload, strlen(payload));
    content[31] = (uint8_t)strlen(payload);
    if (field) {
        uint32_t be = GUINT32_TO_BE(value);

        memcpy(content + field, &be, sizeof(be));
    }
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA256);

    g_checksum_update(checksum, content, 32);
    g_checksum_update(checksum, content + HEADER_SIZE, (gssize)strlen(payload));
    g_checksum_get_digest(checksum, content + 32, &digest_size);
    g_checksum_free(checksum);
    set_file(fixture, "permall", content, size);
}

/* Names in the directory that begin so. */
static unsigned count_files(Fixture *fixture, const char *prefix)
{
    GDir *dir = g_dir_open(fixture->path, 0, NULL);
    const char *name;
    unsigned count = 0;

    while ((name = g_dir_read_name(dir))) {
        count += g_str_has_prefix(name, prefix);
    }
    g_dir_close(dir);
    return count;
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

/* ---- storing and loading ---- */

static void test_each_kind_of_state_is_loaded_as_it_was_stored(void **state)
{
    Fixture *fixture = *state;

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    store(fixture, TPM_STATE_VOLATILE, "pcrs");
    store(fixture, TPM_STATE_SAVED, "saved");
    open_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_loads(fixture, TPM_STATE_VOLATILE, "pcrs");
    assert_loads(fixture, TPM_STATE_SAVED, "saved");
    store(fixture, TPM_STATE_PERMANENT, "other seeds");
    assert_loads(fixture, TPM_STATE_PERMANENT, "other seeds");
}

static void test_state_that_was_never_stored_is_not_found(void **state)
{
    Fixture *fixture = *state;

    open_2_0(fixture);
    assert_null(tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, &fixture->error));
    assert_error(fixture, TPM_ERROR_NOT_FOUND,
                 "cannot read TPM state file 'DIR/permall': No such file or directory");
}

/* Bytes of format version 1, made by hand: they must be read for ever. */
static void test_a_file_has_the_documented_form(void **state)
{
    static const uint8_t golden[] = {
        'T',
        'P',
        'M',
        'S',
        'T',
        'A',
        'T',
        'E',
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        2,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        5,
        /* (printf 'TPMSTATE\0\0\0\1...'; printf seeds) | sha256sum */
        0x39,
        0xd2,
        0x78,
        0xbd,
        0xc3,
        0x09,
        0xee,
        0xcc,
        0xda,
        0xea,
        0xf2,
        0x84,
        0xd1,
        0x34,
        0xe5,
        0x7c,
        0x45,
        0x1c,
        0x29,
        0xdc,
        0x6c,
        0xbe,
        0xa7,
        0xdc,
        0x13,
        0x47,
        0x04,
        0x22,
        0x81,
        0x4b,
        0xb4,
        0x00,
        's',
        'e',
        'e',
        'd',
        's',
    };
    Fixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_int_equal(get_file(fixture, "permall", &content), sizeof(golden));
    assert_memory_equal(content, golden, sizeof(golden));
    set_file(fixture, "permall", golden, sizeof(golden));
    open_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
}

static void test_files_are_for_their_owner_only(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");
    struct stat status;

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_removed_state_is_not_found(void **state)
{
    Fixture *fixture = *state;

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    store(fixture, TPM_STATE_SAVED, "saved");
    assert_true(tpm_state_directory_remove(fixture->directory, TPM_STATE_SAVED, NULL));
    assert_null(tpm_state_directory_load(fixture->directory, TPM_STATE_SAVED, NULL));
    assert_false(tpm_state_directory_remove(fixture->directory, TPM_STATE_SAVED, &fixture->error));
    assert_error(fixture, TPM_ERROR_NOT_FOUND,
                 "cannot remove TPM state file 'DIR/savestate': No such file or directory");
}

static void test_no_state_and_too_much_state_are_not_stored(void **state)
{
    Fixture *fixture = *state;
    g_autofree uint8_t *much = g_malloc0(TPM_STATE_SIZE_MAX + 1);

    open_2_0(fixture);
    assert_false(
        tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "", 0, &fixture->error));
    assert_error(fixture, TPM_ERROR_INVALID_OPTION,
                 "cannot write TPM state file 'DIR/permall': 0 bytes of state; it can be 1 to "
                 "524288");
    g_clear_error(&fixture->error);
    assert_false(tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, much,
                                           TPM_STATE_SIZE_MAX + 1, &fixture->error));
    assert_error(fixture, TPM_ERROR_INVALID_OPTION,
                 "cannot write TPM state file 'DIR/permall': 524289 bytes of state; it can be 1 to "
                 "524288");
    assert_true(tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, much,
                                          TPM_STATE_SIZE_MAX, NULL));
    open_2_0(fixture);
}

/* ---- refused ---- */

static void test_a_missing_directory_is_refused(void **state)
{
    Fixture *fixture = *state;

    g_rmdir(fixture->path);
    assert_open_refused(fixture, TPM_ERROR_NOT_FOUND,
                        "cannot use TPM state directory 'DIR': No such file or directory; give an "
                        "existing directory");
}

static void test_a_file_in_place_of_the_directory_is_refused(void **state)
{
    Fixture *fixture = *state;

    g_rmdir(fixture->path);
    assert_true(g_file_set_contents(fixture->path, "", 0, NULL));
    open_as(fixture, TPM_VERSION_2_0);
    g_remove(fixture->path);
    assert_error(fixture, TPM_ERROR_IO,
                 "cannot use TPM state directory 'DIR': Not a directory; give an existing "
                 "directory");
}

/* Root may read and write anything, so the tests about permissions become somebody else. */
static uid_t become_nobody(Fixture *fixture)
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
    Fixture *fixture = *state;

    assert_int_equal(g_chmod(fixture->path, 0500), 0);
    uid_t before = become_nobody(fixture);

    open_as(fixture, TPM_VERSION_2_0);
    assert_int_equal(seteuid(before), 0);
    g_chmod(fixture->path, 0700);
    assert_error(fixture, TPM_ERROR_IO,
                 "cannot use TPM state directory 'DIR': Permission denied; give one that may be "
                 "written");
}

static void test_a_directory_that_cannot_be_read_is_refused(void **state)
{
    Fixture *fixture = *state;

    assert_int_equal(g_chmod(fixture->path, 0), 0);
    uid_t before = become_nobody(fixture);

    open_as(fixture, TPM_VERSION_2_0);
    assert_int_equal(seteuid(before), 0);
    g_chmod(fixture->path, 0700);
    assert_error(fixture, TPM_ERROR_IO,
                 "cannot use TPM state directory 'DIR': Permission denied; give an existing "
                 "directory");
}

static void test_a_file_that_cannot_be_read_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_int_equal(g_chmod(path, 0), 0);
    uid_t before = become_nobody(fixture);

    open_as(fixture, TPM_VERSION_2_0);
    assert_int_equal(seteuid(before), 0);
    assert_error(fixture, TPM_ERROR_IO,
                 "cannot read TPM state file 'DIR/permall': Permission denied");
}

static void test_what_is_no_regular_file_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");

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
    Fixture *fixture = *state;

    set_file(fixture, "permall", "", 0);
    assert_damaged(fixture, "permall", "it is empty");
}

static void test_a_file_shorter_than_its_header_is_refused(void **state)
{
    Fixture *fixture = *state;

    set_file(fixture, "permall", "TPMSTATE", 8);
    assert_damaged(fixture, "permall", "its 8 bytes are too few for the header of 64");
}

static void test_garbage_is_refused(void **state)
{
    Fixture *fixture = *state;
    uint8_t garbage[1000];

    memset(garbage, 0xA5, sizeof(garbage));
    set_file(fixture, "permall", garbage, sizeof(garbage));
    assert_damaged(fixture, "permall", "it does not begin as a file of TPM state does");
}

static void test_a_file_of_a_later_format_is_refused(void **state)
{
    Fixture *fixture = *state;

    set_crafted_file(fixture, 8, 2, "seeds");
    assert_damaged(fixture, "permall",
                   "it is of format version 2, and this library reads version 1");
}

static void test_a_truncated_file_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    size_t size = get_file(fixture, "permall", &content);

    set_file(fixture, "permall", content, size - 1);
    assert_damaged(fixture, "permall", "its header tells of 5 bytes of state and 4 are there");
}

static void test_a_file_that_goes_on_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    size_t size = get_file(fixture, "permall", &content);

    /* GLib ends what it reads with a zero byte. */
    set_file(fixture, "permall", content, size + 1);
    assert_damaged(fixture, "permall", "its header tells of 5 bytes of state and 6 are there");
}

static void test_a_file_that_is_too_large_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");

    set_file(fixture, "permall", "", 0);
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    assert_damaged(fixture, "permall",
                   "its 1099511627776 bytes are more than the 524352 a TPM's state can be");
}

static void test_any_flipped_bit_is_found(void **state)
{
    Fixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    size_t size = get_file(fixture, "permall", &content);

    for (size_t bit = 0; bit < size * 8; bit++) {
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
        set_file(fixture, "permall", content, size);
        open_as(fixture, TPM_VERSION_2_0);
        if (fixture->directory || fixture->error->code != TPM_ERROR_STATE_DAMAGED) {
            fail_msg("bit %zu", bit);
        }
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    set_file(fixture, "permall", content, size);
    content[size - 1] ^= 1;
    set_file(fixture, "permall", content, size);
    assert_damaged(fixture, "permall", "its SHA-256 digest does not fit its content");
}

static void test_state_of_no_bytes_is_refused(void **state)
{
    Fixture *fixture = *state;

    set_crafted_file(fixture, 0, 0, "");
    assert_damaged(fixture, "permall", "there is no state in it");
}

static void test_state_of_another_kind_is_refused(void **state)
{
    Fixture *fixture = *state;

    set_crafted_file(fixture, 16, 3, "seeds");
    assert_damaged(fixture, "permall", "it holds state of another kind");
}

static void test_unknown_protection_is_refused(void **state)
{
    Fixture *fixture = *state;

    set_crafted_file(fixture, 20, 1, "seeds");
    assert_damaged(fixture, "permall", "it is protected in a way this library does not know");
    g_autofree char *path = file_path(fixture, "permall");

    g_remove(path);
    set_crafted_file(fixture, 24, 1, "seeds");
    assert_damaged(fixture, "permall", "it is protected in a way this library does not know");
}

static void test_state_of_an_unknown_tpm_version_is_refused(void **state)
{
    Fixture *fixture = *state;

    set_crafted_file(fixture, 12, 3, "seeds");
    assert_damaged(fixture, "permall", "it is that of a TPM of unknown version 3");
}

static void test_state_of_the_other_tpm_version_is_refused(void **state)
{
    Fixture *fixture = *state;

    open_as(fixture, TPM_VERSION_1_2);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_open_refused(fixture, TPM_ERROR_STATE_MISMATCH,
                        "TPM state file 'DIR/permall' is that of a TPM 1.2, and 'version' is 2.0; "
                        "give version=1.2, or another directory");
    g_autofree char *path = file_path(fixture, "permall");

    g_remove(path);
    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    open_as(fixture, TPM_VERSION_1_2);
    assert_null(fixture->directory);
    assert_error(fixture, TPM_ERROR_STATE_MISMATCH,
                 "TPM state file 'DIR/permall' is that of a TPM 2.0, and 'version' is 1.2; give "
                 "version=2.0, or another directory");
}

static void test_damaged_volatile_state_is_refused(void **state)
{
    Fixture *fixture = *state;

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    set_file(fixture, "volatilestate", "", 0);
    assert_damaged(fixture, "volatilestate", "it is empty");
}

static void test_state_without_permanent_state_is_refused(void **state)
{
    Fixture *fixture = *state;

    open_2_0(fixture);
    store(fixture, TPM_STATE_VOLATILE, "pcrs");
    assert_damaged(fixture, "permall", "it is missing, though there is a 'volatilestate'");
}

static void test_permanent_state_that_goes_while_in_use_is_no_new_tpm(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    g_remove(path);
    assert_null(tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, &fixture->error));
    assert_error(fixture, TPM_ERROR_STATE_DAMAGED,
                 "TPM state file 'DIR/permall' is damaged: it was there and has gone; restore the "
                 "directory from a backup, or give an empty one for a new TPM");
}

static void test_a_directory_of_swtpm_is_refused(void **state)
{
    Fixture *fixture = *state;

    set_file(fixture, "tpm2-00.permall", "x", 1);
    assert_open_refused(fixture, TPM_ERROR_STATE_MISMATCH,
                        "TPM state directory 'DIR' is that of swtpm: it holds 'tpm2-00.permall'; "
                        "use type emulator for that TPM, or give another directory");
}

static void test_a_refused_directory_is_left_as_it_is(void **state)
{
    Fixture *fixture = *state;
    g_autofree uint8_t *content = NULL;

    set_file(fixture, "permall", "damaged", 7);
    set_file(fixture, "permall.tmp-01234567", "half", 4);
    open_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    assert_int_equal(count_files(fixture, ""), 2);
    assert_int_equal(get_file(fixture, "permall", &content), 7);
    assert_memory_equal(content, "damaged", 7);
}

/* ---- crashes and full disks ---- */

static void test_what_a_crash_left_is_ignored_and_removed(void **state)
{
    Fixture *fixture = *state;

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    set_file(fixture, "permall.tmp-01234567", "half", 4);
    set_file(fixture, "volatilestate.tmp-89abcdef", "", 0);
    set_file(fixture, "notes", "keep", 4);
    open_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_int_equal(count_files(fixture, ""), 2);
    assert_int_equal(count_files(fixture, "notes"), 1);
}

static void test_content_is_synced_before_it_has_the_name(void **state)
{
    Fixture *fixture = *state;

    open_2_0(fixture);
    calls = g_string_new(NULL);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_string_equal(calls->str, "wwfrd");
}

static void test_a_store_that_fails_at_any_step_leaves_the_last_state(void **state)
{
    static const int errors[] = { ENOSPC, EIO, EDQUOT };
    Fixture *fixture = *state;
    bool stored = false;
    int step = 0;

    open_2_0(fixture);
    while (!stored) {
        store(fixture, TPM_STATE_PERMANENT, "old");
        calls = g_string_new(NULL);
        fail_at = ++step;
        fail_errno = errors[step % 3];
        stored = tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "new", 3,
                                           &fixture->error);
        bool last_step = g_str_has_suffix(calls->str, "d");

        g_string_free(g_steal_pointer(&calls), TRUE);
        fail_at = 0;
        assert_loads(fixture, TPM_STATE_PERMANENT, stored || last_step ? "new" : "old");
        assert_int_equal(count_files(fixture, "permall"), 1);
        if (!stored) {
            g_autofree char *expected = g_strdup_printf(
                "cannot write TPM state file 'DIR/permall': %s", g_strerror(errors[step % 3]));

            assert_error(fixture, TPM_ERROR_IO, expected);
            g_clear_error(&fixture->error);
        }
    }
    assert_int_equal(step, 6);
}

static void test_writes_may_be_short_and_interrupted(void **state)
{
    Fixture *fixture = *state;

    open_2_0(fixture);
    short_writes = true;
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    short_writes = false;
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
}

static void test_a_store_into_a_removed_directory_fails(void **state)
{
    Fixture *fixture = *state;

    open_2_0(fixture);
    g_rmdir(fixture->path);
    assert_false(tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "seeds", 5,
                                           &fixture->error));
    assert_error(fixture, TPM_ERROR_IO,
                 "cannot write TPM state file 'DIR/permall': No such file or directory");
}

static void test_a_directory_may_be_renamed_while_in_use(void **state)
{
    Fixture *fixture = *state;
    char *moved = g_strconcat(fixture->path, "-moved", NULL);

    open_2_0(fixture);
    assert_int_equal(g_rename(fixture->path, moved), 0);
    g_free(fixture->path);
    fixture->path = moved;
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    open_2_0(fixture);
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
}

/* In the child: store states of one letter, of ever other sizes, and say so; never returns. */
static void store_for_ever(Fixture *fixture, int progress)
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
    Fixture *fixture = *state;

    for (unsigned round = 0; round < 30; round++) {
        int progress[2];
        char byte;

        open_2_0(fixture);
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

        open_2_0(fixture);
        g_autoptr(GBytes) bytes =
            tpm_state_directory_load(fixture->directory, TPM_STATE_PERMANENT, NULL);
        gsize size;
        const uint8_t *data = g_bytes_get_data(bytes, &size);

        for (gsize i = 1; i < size; i++) {
            assert_int_equal(data[i], data[0]);
        }
        assert_int_equal(count_files(fixture, ""), 1);
    }
}

static void test_no_descriptor_is_left_open(void **state)
{
    Fixture *fixture = *state;
    unsigned before = count_descriptors();

    open_2_0(fixture);
    store(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    calls = g_string_new(NULL);
    fail_at = 1;
    fail_errno = EIO;
    assert_false(tpm_state_directory_store(fixture->directory, TPM_STATE_PERMANENT, "x", 1, NULL));
    set_file(fixture, "savestate", "", 0);
    open_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    assert_int_equal(count_descriptors(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_each_kind_of_state_is_loaded_as_it_was_stored),
        TEST(test_state_that_was_never_stored_is_not_found),
        TEST(test_a_file_has_the_documented_form),
        TEST(test_files_are_for_their_owner_only),
        TEST(test_removed_state_is_not_found),
        TEST(test_no_state_and_too_much_state_are_not_stored),
        TEST(test_a_missing_directory_is_refused),
        TEST(test_a_file_in_place_of_the_directory_is_refused),
        TEST(test_a_directory_that_cannot_be_written_is_refused),
        TEST(test_a_directory_that_cannot_be_read_is_refused),
        TEST(test_a_file_that_cannot_be_read_is_refused),
        TEST(test_what_is_no_regular_file_is_refused),
        TEST(test_an_empty_file_is_refused),
        TEST(test_a_file_shorter_than_its_header_is_refused),
        TEST(test_garbage_is_refused),
        TEST(test_a_file_of_a_later_format_is_refused),
        TEST(test_a_truncated_file_is_refused),
        TEST(test_a_file_that_goes_on_is_refused),
        TEST(test_a_file_that_is_too_large_is_refused),
        TEST(test_any_flipped_bit_is_found),
        TEST(test_state_of_no_bytes_is_refused),
        TEST(test_state_of_another_kind_is_refused),
        TEST(test_unknown_protection_is_refused),
        TEST(test_state_of_an_unknown_tpm_version_is_refused),
        TEST(test_state_of_the_other_tpm_version_is_refused),
        TEST(test_damaged_volatile_state_is_refused),
        TEST(test_state_without_permanent_state_is_refused),
        TEST(test_permanent_state_that_goes_while_in_use_is_no_new_tpm),
        TEST(test_a_directory_of_swtpm_is_refused),
        TEST(test_a_refused_directory_is_left_as_it_is),
        TEST(test_what_a_crash_left_is_ignored_and_removed),
        TEST(test_content_is_synced_before_it_has_the_name),
        TEST(test_a_store_that_fails_at_any_step_leaves_the_last_state),
        TEST(test_writes_may_be_short_and_interrupted),
        TEST(test_a_store_into_a_removed_directory_fails),
        TEST(test_a_directory_may_be_renamed_while_in_use),
        TEST(test_state_is_whole_after_the_process_is_killed),
        TEST(test_no_descriptor_is_left_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
