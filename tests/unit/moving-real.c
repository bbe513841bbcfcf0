/* SPDX-License-Identifier: BSD-3-Clause */
/* Moving guests with real TPMs; see moving-real.h. */
#include "moving-real.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- directories ---- */

typedef struct Maker {
    TPMMaker maker; /* its opaque is this */
    MovingOpen open;
    TPMVersion version;
    char *root;
    unsigned directories;
} Maker;

static char *new_directory(Maker *maker)
{
    char *path = g_strdup_printf("%s/%u", maker->root, ++maker->directories);

    assert_int_equal(g_mkdir(path, 0700), 0);
    return path;
}

static void remove_directory(const char *path)
{
    GDir *directory = g_dir_open(path, 0, NULL);
    const char *name;

    while (directory && (name = g_dir_read_name(directory))) {
        g_autofree char *entry = g_build_filename(path, name, NULL);

        if (g_file_test(entry, G_FILE_TEST_IS_DIR)) {
            remove_directory(entry);
        } else {
            g_unlink(entry);
        }
    }
    if (directory) {
        g_dir_close(directory);
    }
    g_rmdir(path);
}

static TPMBackend *open_backend(Maker *maker, const char *path)
{
    GError *error = NULL;
    TPMBackend *backend = maker->open(path, maker->version, &error);

    if (!backend) {
        fail_msg("%s", error->message);
    }
    return backend;
}

/* A TPM 1.2 takes a second to be made: one is, and the others are copies of it. */
static void make_template(Maker *maker)
{
    g_autofree char *path = new_directory(maker);
    TPMBackend *backend = open_backend(maker, path);
    TPMDevice *device = tpmdev_device_new(NULL, backend, NULL, NULL, NULL);

    assert_true(tpmdev_device_wait_ready(device, MOVING_DEADLINE_NS, NULL));
    tpmdev_device_free(device);
    tpmdev_backend_unref(backend);
}

/* Whatever the permanent state is called. */
static void copy_template(Maker *maker, const char *to)
{
    g_autofree char *from = g_build_filename(maker->root, "1", NULL);
    GDir *directory = g_dir_open(from, 0, NULL);
    const char *name;

    assert_non_null(directory);
    while ((name = g_dir_read_name(directory))) {
        g_autofree char *source = g_build_filename(from, name, NULL);
        g_autofree char *target = g_build_filename(to, name, NULL);
        g_autofree char *content = NULL;
        gsize size;

        if (g_str_has_suffix(name, "permall")) {
            assert_true(g_file_get_contents(source, &content, &size, NULL));
            assert_true(g_file_set_contents(target, content, (gssize)size, NULL));
        }
    }
    g_dir_close(directory);
}

static TPMBackend *make(void *opaque, bool incoming)
{
    Maker *maker = opaque;
    g_autofree char *path = new_directory(maker);

    if (!incoming) {
        copy_template(maker, path);
    }
    return open_backend(maker, path);
}

static void unmake(void *opaque, TPMBackend *backend)
{
    (void)opaque;
    tpmdev_backend_unref(backend);
}

static Maker makers[2];
static const MovingReal *real;

static int make_templates(void **state)
{
    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(makers); i++) {
        Maker *maker = &makers[i];

        maker->maker = (TPMMaker){ make, unmake, maker };
        maker->open = real->open;
        maker->version = i == 0 ? TPM_VERSION_1_2 : TPM_VERSION_2_0;
        maker->root = g_dir_make_tmp("tpmdev-moves-XXXXXX", NULL);
        assert_non_null(maker->root);
        make_template(maker);
    }
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(makers); i++) {
        remove_directory(makers[i].root);
        g_free(makers[i].root);
    }
    return 0;
}

/* ---- moves ---- */

/*
 * Before every so many steps, right after each command was started, and right after it has ended. A
 * TPM 1.2 makes an RSA key whenever it is powered on: it moves a few times, and is not reset.
 */
static bool is_move_due(const Subject *subject, const Script *script, size_t k)
{
    const Step *step = &g_array_index(script, Step, k);
    bool is_old = subject->version == TPM_VERSION_1_2;

    if (step->kind == STEP_ANSWER || (k > 0 && (step - 1)->kind == STEP_ANSWER)) {
        return !is_old || k % 8 == 0;
    }
    return k % (is_old ? 300 : 60) == 10;
}

static size_t script_end(const Subject *subject, const Script *script)
{
    size_t end = 0;

    while (end < script->len && (subject->version == TPM_VERSION_2_0 ||
                                 g_array_index(script, Step, end).kind != STEP_RESET)) {
        end++;
    }
    return end;
}

static Guest *run(const Subject *subject, bool moved)
{
    const Maker *maker = &makers[subject->version == TPM_VERSION_1_2 ? 0 : 1];
    Script *script = script_new(subject, true);
    Guest *guest = guest_new(subject, &maker->maker);

    size_t end = script_end(subject, script);

    for (size_t k = 0; k < end; k++) {
        if (moved && is_move_due(subject, script, k)) {
            guest_move(guest);
        }
        guest_run(guest, script, k, k + 1);
    }
    g_array_unref(script);
    return guest;
}

static void test_a_moved_tpm_goes_on(void **state)
{
    Guest *guest = run(*state, false);
    g_autofree char *unmoved = g_strdup(guest->transcript->str);

    guest_free(guest);
    guest = run(*state, true);
    guest_assert_transcript(guest, unmoved, 0);
    guest_free(guest);
}

/* What is the same to a TPM is moved once. */
static bool differs(const Subject *subject)
{
    switch (subject->interface) {
    case TPM_INTERFACE_TIS:
        return subject->drtm;
    case TPM_INTERFACE_TIS_SYSBUS:
        return false;
    case TPM_INTERFACE_TIS_I2C:
    case TPM_INTERFACE_TIS_SPI:
        return subject->version == TPM_VERSION_2_0;
    case TPM_INTERFACE_CRB:
    case TPM_INTERFACE_SPAPR:
        break;
    }
    return true;
}

int moving_real_run(const MovingReal *how)
{
    struct CMUnitTest tests[32] = { 0 };
    size_t n = 0;

    real = how;

    for (size_t i = 0; i < subject_count; i++) {
        if (how->is_wanted ? how->is_wanted(&subjects[i]) : differs(&subjects[i])) {
            g_assert(n < G_N_ELEMENTS(tests));
            tests[n++] =
                (struct CMUnitTest){ g_strdup_printf("%s_a_moved_tpm_goes_on", subjects[i].name),
                                     test_a_moved_tpm_goes_on, NULL, NULL, (void *)&subjects[i] };
        }
    }
    int failed = _cmocka_run_group_tests(how->name, tests, n, make_templates, remove_all);

    for (size_t i = 0; i < n; i++) {
        g_free((char *)tests[i].name);
    }
    return failed;
}
