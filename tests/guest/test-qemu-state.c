/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device as a part of QEMU's saved machine, with a likeness of QEMU around it: what is written
 * and read, what is told when that fails, and when the device goes on. The description itself is
 * for test-qemu-vmstate.c, and a real QEMU for test-plugin-state.py.
 */
#include "qemu-state.h"
#include "qemu-vmstate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tpmdev/tpmdev.h>

#include <cmocka.h>

#define INMIGRATE 1
#define RUNNING   9

/* What QEMU is like. */
QemuApi qemu;
QemuVmstateApi qemu_vmstate;
static char *unusable;
static int run_state;
static bool only_migratable;

/* What it was given. */
static const QemuDescription *description;
static void *described;
static void (*changed)(void *opaque, bool running, int state);
static char told[400];    /* to the user */
static char in_file[400]; /* of the stream */
static char in_migration[400];
static char blocker[400];
static int file_error;

/* A stream. */
static GByteArray *stream;
static guint read_at;

static TPMDevice *device;

/* ---- the likeness ---- */

char *qemu_vmstate_load(void)
{
    return g_strdup(unusable);
}

char *qemu_vmstate_register(const QemuDescription *given, void *opaque)
{
    description = given;
    described = opaque;
    return NULL;
}

static void fake_put_buffer(QemuFile *file, const uint8_t *bytes, size_t size)
{
    (void)file;
    g_byte_array_append(stream, bytes, (guint)size);
}

static void fake_put_be32(QemuFile *file, unsigned value)
{
    uint32_t bytes = GUINT32_TO_BE(value);

    fake_put_buffer(file, (const uint8_t *)&bytes, sizeof(bytes));
}

static size_t fake_get_buffer(QemuFile *file, uint8_t *bytes, size_t size)
{
    size_t given = MIN(size, stream->len - read_at);

    (void)file;
    memcpy(bytes, stream->data + read_at, given);
    read_at += (guint)given;
    return given;
}

static unsigned fake_get_be32(QemuFile *file)
{
    uint32_t bytes = 0;

    fake_get_buffer(file, (uint8_t *)&bytes, sizeof(bytes));
    return GUINT32_FROM_BE(bytes);
}

static char reason[400];

static void fake_error(QemuError **error, const char *file, int line, const char *function,
                       const char *format, ...)
{
    va_list arguments;

    (void)file;
    (void)line;
    (void)function;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    *error = (QemuError *)reason;
}

static const char *fake_pretty(const QemuError *error)
{
    return (const char *)error;
}

static void fake_set_error(QemuFile *file, int number, QemuError *error)
{
    (void)file;
    file_error = number;
    g_strlcpy(in_file, (const char *)error, sizeof(in_file));
}

static void *fake_current(void)
{
    return in_migration;
}

static void fake_set_migration_error(void *migration, const QemuError *error)
{
    assert_ptr_equal(migration, in_migration);
    g_strlcpy(in_migration, (const char *)error, sizeof(in_migration));
}

static void fake_report(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(told, sizeof(told), format, arguments);
    va_end(arguments);
}

static int fake_add_blocker(QemuError *error, QemuError **refusal)
{
    g_strlcpy(blocker, (const char *)error, sizeof(blocker));
    if (only_migratable) {
        *refusal = (QemuError *)"-only-migratable was given";
        return -1;
    }
    return 0;
}

static void *fake_add_handler(void (*given)(void *opaque, bool running, int state), void *opaque)
{
    assert_ptr_equal(opaque, device);
    changed = given;
    return NULL;
}

static int fake_parse(const void *names, const char *name, int otherwise, QemuError **error)
{
    assert_ptr_equal(names, &run_state);
    assert_string_equal(name, "inmigrate");
    assert_int_equal(otherwise, -1);
    assert_null(error);
    return INMIGRATE;
}

static bool fake_check(int state)
{
    return run_state == state;
}

/* ---- a TPM that cannot be taken along ---- */

static void bound_start(void *self, size_t buffer_size)
{
    (void)buffer_size;
    tpmdev_backend_started(*(TPMBackend **)self);
}

static void bound_nothing(void *self)
{
    (void)self;
}

static void bound_submit(void *self, const TPMCommand *command, bool linger)
{
    (void)self;
    (void)command;
    (void)linger;
    fail();
}

static const TPMBackendClass bound_class = {
    .size = sizeof(TPMBackendClass),
    .type = "bound",
    .start = bound_start,
    .submit = bound_submit,
    .destroy = bound_nothing,
};

static TPMBackend *bound_new(void)
{
    static TPMBackend *backend;
    const TPMBackendInfo info = { .size = sizeof(info),
                                  .version = TPM_VERSION_2_0,
                                  .buffer_size = 4096 };

    backend = tpmdev_backend_new(&bound_class, "tpm0", &info, &backend, NULL);
    return backend;
}

/* ---- set-up ---- */

static void make_device(TPMBackend *backend, bool incoming)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;

    assert_non_null(backend);
    config.incoming = incoming;
    device = tpmdev_device_new(&config, backend, NULL, NULL, NULL);
    tpmdev_backend_unref(backend);
    assert_non_null(device);
    if (!incoming) {
        assert_true(tpmdev_device_wait_ready(device, G_GINT64_CONSTANT(60000000000), NULL));
    }
}

static TPMBackend *null_new(void)
{
    return tpmdev_backend_null_new("tpm0", TPM_VERSION_2_0, NULL);
}

static int set_up(void **state)
{
    (void)state;
    unusable = NULL;
    run_state = RUNNING;
    only_migratable = false;
    description = NULL;
    changed = NULL;
    file_error = 0;
    told[0] = in_file[0] = in_migration[0] = blocker[0] = '\0';
    stream = g_byte_array_new();
    read_at = 0;
    qemu.error_setg_internal = fake_error;
    qemu.error_get_pretty = fake_pretty;
    qemu.migrate_add_blocker = fake_add_blocker;
    qemu_vmstate.qemu_put_buffer = fake_put_buffer;
    qemu_vmstate.qemu_get_buffer = fake_get_buffer;
    qemu_vmstate.qemu_put_be32 = fake_put_be32;
    qemu_vmstate.qemu_get_be32 = fake_get_be32;
    qemu_vmstate.qemu_file_set_error_obj = fake_set_error;
    qemu_vmstate.migrate_get_current = fake_current;
    qemu_vmstate.migrate_set_error = fake_set_migration_error;
    qemu_vmstate.error_report = fake_report;
    qemu_vmstate.qemu_add_vm_change_state_handler = fake_add_handler;
    qemu_vmstate.runstate_check = fake_check;
    qemu_vmstate.qapi_enum_parse = fake_parse;
    qemu_vmstate.run_state_names = &run_state;
    assert_null(qemu_state_load());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    device = tpmdev_device_free(device);
    g_byte_array_unref(stream);
    return 0;
}

static void attach(TPMBackend *backend, bool incoming)
{
    run_state = incoming ? INMIGRATE : RUNNING;
    make_device(backend, incoming);
    assert_null(qemu_state_attach(device));
}

static int put(void)
{
    return description->fields->info->put(NULL, described, 0, description->fields, NULL);
}

static int get(void)
{
    return description->fields->info->get(NULL, described, 0, description->fields);
}

static void assert_failed(int result, const char *words)
{
    assert_int_equal(result, -EIO);
    assert_int_equal(file_error, -EIO);
    assert_non_null(strstr(in_file, words));
    assert_string_equal(in_migration, in_file);
    assert_non_null(strstr(told, words));
    assert_ptr_equal(strstr(told, "libtpmdev-qemu: "), told);
}

/* A source that was saved, and a destination that waits for it. */
static void save_and_wait(void)
{
    attach(null_new(), false);
    assert_int_equal(put(), 0);
    device = tpmdev_device_free(device);
    attach(null_new(), true);
}

/* ---- tests ---- */

static void test_a_qemu_that_cannot_be_used_is_refused(void **state)
{
    (void)state;
    unusable = "another QEMU";
    char *message = qemu_state_load();

    assert_string_equal(message, "another QEMU");
    g_free(message);
}

static void test_there_is_one_field_of_one_name(void **state)
{
    (void)state;
    attach(null_new(), false);
    assert_string_equal(description->name, "libtpmdev");
    assert_int_equal(description->version, 1);
    assert_int_equal(description->minimum_version, 1);
    assert_int_equal(description->fields[0].flags, QEMU_FIELD_SINGLE);
    assert_null(description->fields[1].name);
    assert_ptr_equal(described, device);
}

static void test_a_length_and_the_bytes_are_written(void **state)
{
    (void)state;
    attach(null_new(), false);
    assert_int_equal(put(), 0);
    assert_int_equal(fake_get_be32(NULL), stream->len - 4);
    assert_true(stream->len > 4);
    assert_string_equal(told, "");
}

static void test_what_was_written_is_read(void **state)
{
    (void)state;
    save_and_wait();
    assert_int_equal(get(), 0);
    assert_int_equal(read_at, stream->len);
    assert_string_equal(told, "");
}

static void test_a_save_that_fails_is_told_in_words(void **state)
{
    (void)state;
    attach(null_new(), true); /* its TPM was never started */
    assert_failed(put(), "has not been started");
    assert_int_equal(stream->len, 0);
}

static void test_a_length_that_cannot_be_is_refused(void **state)
{
    (void)state;
    save_and_wait();
    stream->data[0] = 0xFF;
    assert_failed(get(), "at most 2097152 are possible");
}

static void test_a_stream_that_ends_early_is_refused(void **state)
{
    (void)state;
    save_and_wait();
    g_byte_array_set_size(stream, stream->len - 1);
    assert_failed(get(), "the saved machine ends within its TPM's state");
}

static void test_a_state_that_is_damaged_is_refused_in_the_librarys_words(void **state)
{
    (void)state;
    save_and_wait();
    stream->data[4] ^= 0xFF;
    assert_failed(get(), "saved TPM device state");
    assert_true(qemu_state_is_held());
}

static void test_it_is_held_until_the_machine_runs(void **state)
{
    (void)state;
    attach(null_new(), false);
    assert_false(qemu_state_is_held());
    assert_int_equal(put(), 0);
    assert_true(qemu_state_is_held());
    changed(device, false, RUNNING);
    assert_true(qemu_state_is_held());
    changed(device, true, RUNNING);
    assert_false(qemu_state_is_held());
}

/* Its TPM takes commands again, here a second save. */
static void test_a_device_that_waited_goes_on_when_the_machine_runs(void **state)
{
    (void)state;
    attach(null_new(), true);
    assert_true(qemu_state_is_held());
    assert_false(tpmdev_device_wait_ready(device, 0, NULL));
    changed(device, true, RUNNING);
    assert_true(tpmdev_device_wait_ready(device, G_GINT64_CONSTANT(60000000000), NULL));
}

static void test_a_tpm_that_cannot_be_taken_along_keeps_the_machine(void **state)
{
    (void)state;
    attach(bound_new(), false);
    assert_string_equal(blocker,
                        "TPM backend 'tpm0' of type bound cannot hand out its TPM's state");
    assert_null(description);
    device = tpmdev_device_free(device);
    only_migratable = true;
    make_device(bound_new(), false);
    char *message = qemu_state_attach(device);

    assert_string_equal(message, "-only-migratable was given");
    g_free(message);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_qemu_that_cannot_be_used_is_refused),
        TEST(test_there_is_one_field_of_one_name),
        TEST(test_a_length_and_the_bytes_are_written),
        TEST(test_what_was_written_is_read),
        TEST(test_a_save_that_fails_is_told_in_words),
        TEST(test_a_length_that_cannot_be_is_refused),
        TEST(test_a_stream_that_ends_early_is_refused),
        TEST(test_a_state_that_is_damaged_is_refused_in_the_librarys_words),
        TEST(test_it_is_held_until_the_machine_runs),
        TEST(test_a_device_that_waited_goes_on_when_the_machine_runs),
        TEST(test_a_tpm_that_cannot_be_taken_along_keeps_the_machine),
    };

    return cmocka_run_group_tests_name("qemu-state", tests, NULL, NULL);
}
