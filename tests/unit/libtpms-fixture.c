/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the libtpms backend share; see libtpms-fixture.h. */
#include "libtpms-fixture.h"
#include "command.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

int fixture_set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->path = g_dir_make_tmp("tpmdev-libtpms-XXXXXX", NULL);
    *state = fixture;
    return fixture->path ? 0 : -1;
}

void bind_client(Fixture *fixture)
{
    fixture->client = &fixture->storage;
    backend_client_bind(fixture->client, fixture->backend, NULL);
}

void unbind_client(Fixture *fixture)
{
    if (fixture->client) {
        backend_client_unbind(fixture->client);
        fixture->client = NULL;
    }
}

void drop_backend(Fixture *fixture)
{
    unbind_client(fixture);
    fixture->backend = tpmdev_backend_unref(fixture->backend);
}

char *file_path(const Fixture *fixture, const char *name)
{
    return g_build_filename(fixture->path, name, NULL);
}

void empty_directory(Fixture *fixture)
{
    GDir *dir = g_dir_open(fixture->path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = file_path(fixture, name);

        g_remove(path);
    }
    if (dir) {
        g_dir_close(dir);
    }
}

int fixture_tear_down(void **state)
{
    Fixture *fixture = *state;

    drop_backend(fixture);
    g_clear_error(&fixture->error);
    empty_directory(fixture);
    g_rmdir(fixture->path);
    g_free(fixture->path);
    g_free(fixture);
    return 0;
}

void block_storage(Fixture *fixture)
{
    g_autofree char *path = file_path(fixture, "permall");
    g_autofree char *aside = file_path(fixture, "aside");

    assert_int_equal(g_rename(path, aside), 0);
    assert_int_equal(g_mkdir(path, 0700), 0);
}

void unblock_storage(Fixture *fixture)
{
    g_autofree char *path = file_path(fixture, "permall");
    g_autofree char *aside = file_path(fixture, "aside");

    assert_int_equal(g_rmdir(path), 0);
    assert_int_equal(g_rename(aside, path), 0);
}

/* The message, with DIR for the directory's path. */
void assert_message(Fixture *fixture, const char *message, const char *expected)
{
    assert_non_null(message);
    g_auto(GStrv) parts = g_strsplit(message, fixture->path, -1);
    g_autofree char *plain = g_strjoinv("DIR", parts);

    assert_string_equal(plain, expected);
}

void assert_error(Fixture *fixture, TPMError code, const char *expected)
{
    assert_non_null(fixture->error);
    assert_message(fixture, fixture->error->message, expected);
    assert_true(g_error_matches(fixture->error, TPMDEV_ERROR, (gint)code));
    g_clear_error(&fixture->error);
}

TPMBackend *try_new(Fixture *fixture, TPMVersion version)
{
    TPMLibtpmsConfig config = {
        .size = sizeof(config),
        .id = "tpm0",
        .directory = fixture->path,
        .version = version,
    };

    return tpmdev_backend_libtpms_new(&config, &fixture->error);
}

void make_backend(Fixture *fixture, TPMVersion version)
{
    fixture->backend = try_new(fixture, version);
    if (!fixture->backend) {
        fail_msg("new: %s", fixture->error->message);
    }
    bind_client(fixture);
}

void start_tpm(Fixture *fixture)
{
    if (!backend_client_start(fixture->client, TPM_BUFFER_SIZE_COMMON)) {
        fail_msg("start: %s", fixture->client->start_error);
    }
}

/* A TPM 2.0 a firmware has started. */
void make_running(Fixture *fixture)
{
    make_backend(fixture, TPM_VERSION_2_0);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
}

void assert_random(Fixture *fixture)
{
    assert_int_equal(COMMAND(fixture, get_random), 0);
    assert_int_equal(fixture->client->response_size, 28);
}

GBytes *tpm_mark(Fixture *fixture)
{
    assert_int_equal(COMMAND(fixture, get_pcr_16), 0);
    return g_bytes_new(fixture->client->response, fixture->client->response_size);
}

void assert_mark(Fixture *fixture, GBytes *wanted)
{
    g_autoptr(GBytes) found = tpm_mark(fixture);

    assert_true(g_bytes_equal(found, wanted));
}

GBytes *state_file(const Fixture *fixture, const char *name)
{
    g_autofree char *path = file_path(fixture, name);
    char *content;
    gsize size;

    return g_file_get_contents(path, &content, &size, NULL) ? g_bytes_new_take(content, size)
                                                            : NULL;
}

bool is_state_file(const Fixture *fixture, const char *name)
{
    g_autofree char *path = file_path(fixture, name);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

TPMState *save_tpm(Fixture *fixture)
{
    TPMState *state = backend_client_save(fixture->client);

    if (!state) {
        fail_msg("save: %s", fixture->client->move_error);
    }
    return state;
}

void load_tpm(Fixture *fixture, const TPMState *state)
{
    if (!backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, state)) {
        fail_msg("load: %s", fixture->client->move_error);
    }
}

unsigned count_completed(Fixture *fixture)
{
    g_mutex_lock(&fixture->client->lock);
    unsigned number = fixture->client->completed;
    g_mutex_unlock(&fixture->client->lock);
    return number;
}

void wait_completed(Fixture *fixture, unsigned completed)
{
    backend_client_wait_completed(fixture->client, completed);
}
