/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the state directory share; see state-fixture.h. */
#include "state-fixture.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

int state_set_up(void **state)
{
    StateFixture *fixture = g_new0(StateFixture, 1);

    fixture->path = g_dir_make_tmp("tpmdev-state-XXXXXX", NULL);
    *state = fixture;
    return fixture->path ? 0 : -1;
}

char *state_file_path(const StateFixture *fixture, const char *name)
{
    return g_build_filename(fixture->path, name, NULL);
}

int state_tear_down(void **state)
{
    StateFixture *fixture = *state;
    GDir *dir = g_dir_open(fixture->path, 0, NULL);
    const char *name;

    tpm_state_directory_close(fixture->directory);
    g_clear_error(&fixture->error);
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = state_file_path(fixture, name);

        g_remove(path);
    }
    if (dir) {
        g_dir_close(dir);
    }
    g_rmdir(fixture->path);
    tpm_state_key_unref(fixture->access.key);
    tpm_state_key_unref(fixture->access.old_key);
    g_free(fixture->path);
    g_free(fixture);
    return 0;
}

void open_directory_as(StateFixture *fixture, TPMVersion version)
{
    fixture->directory = tpm_state_directory_close(fixture->directory);
    g_clear_error(&fixture->error);
    fixture->directory =
        tpm_state_directory_open(fixture->path, version, &fixture->access, &fixture->error);
}

void open_directory_2_0(StateFixture *fixture)
{
    open_directory_as(fixture, TPM_VERSION_2_0);
    if (!fixture->directory) {
        fail_msg("open: %s", fixture->error->message);
    }
}

void store_text(StateFixture *fixture, TPMStateKind kind, const char *text)
{
    if (!tpm_state_directory_store(fixture->directory, kind, text, strlen(text), &fixture->error)) {
        fail_msg("store: %s", fixture->error->message);
    }
}

void assert_loads(StateFixture *fixture, TPMStateKind kind, const char *text)
{
    g_autoptr(GBytes) state = tpm_state_directory_load(fixture->directory, kind, &fixture->error);

    if (!state) {
        fail_msg("load: %s", fixture->error->message);
    }
    assert_int_equal(g_bytes_get_size(state), strlen(text));
    assert_memory_equal(g_bytes_get_data(state, NULL), text, strlen(text));
}

void assert_state_error(StateFixture *fixture, TPMError code, const char *expected)
{
    assert_non_null(fixture->error);
    g_auto(GStrv) parts = g_strsplit(fixture->error->message, fixture->path, -1);
    g_autofree char *message = g_strjoinv("DIR", parts);

    assert_string_equal(message, expected);
    assert_int_equal(fixture->error->code, code);
    assert_true(fixture->error->domain == TPMDEV_ERROR);
}

size_t get_state_file(StateFixture *fixture, const char *name, uint8_t **content)
{
    g_autofree char *path = state_file_path(fixture, name);
    gsize size;

    assert_true(g_file_get_contents(path, (char **)content, &size, NULL));
    return size;
}

void set_state_file(StateFixture *fixture, const char *name, const void *content, size_t size)
{
    g_autofree char *path = state_file_path(fixture, name);

    /* Without a sync, of which five hundred would be slow; GLib then only writes over a file. */
    g_remove(path);
    assert_true(g_file_set_contents_full(path, content, (gssize)size, G_FILE_SET_CONTENTS_NONE,
                                         0600, NULL));
}

unsigned count_state_files(StateFixture *fixture, const char *prefix)
{
    GDir *dir = g_dir_open(fixture->path, 0, NULL);
    const char *name;
    unsigned count = 0;

    while ((name = g_dir_read_name(dir))) {
        count += g_str_has_prefix(name, prefix) && strcmp(name, ".lock") != 0;
    }
    g_dir_close(dir);
    return count;
}
