/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The null backend through a whole device: what a guest sees of a TPM that is dead. As the
 * program at the other end of the public API would see it; no internals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <tpmdev/tpmdev.h>

#include <cmocka.h>

#define REG(locality, offset) ((uint64_t)(locality) << 12 | (offset))
#define ACCESS                0x000u
#define STS                   0x018u
#define DATA_FIFO             0x024u
#define STS_DATA_AVAIL        0x10u

static const uint8_t get_random_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8 };
static const uint8_t get_random_1_2[] = { 0x00, 0xC1, 0, 0, 0, 14, 0, 0, 0, 0x46, 0, 0, 0, 8 };
static const uint8_t failure_2_0[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01 };
static const uint8_t failure_1_2[] = { 0x00, 0xC4, 0, 0, 0, 10, 0, 0, 0x00, 0x09 };

static uint8_t read8(TPMDevice *device, uint64_t offset)
{
    uint64_t value;

    assert_int_equal(tpmdev_device_read(device, offset, 1, &value), TPM_ACCESS_OK);
    return (uint8_t)value;
}

static void write8(TPMDevice *device, uint64_t offset, uint8_t value)
{
    assert_int_equal(tpmdev_device_write(device, offset, 1, value), TPM_ACCESS_OK);
}

/* The guest's driver: take the locality, send a command, read ten bytes, let go. */
static void exchange(TPMDevice *device, unsigned locality, const uint8_t *command, size_t size,
                     uint8_t response[TPM_HEADER_SIZE])
{
    write8(device, REG(locality, ACCESS), 0x02);
    assert_true(read8(device, REG(locality, ACCESS)) & 0x20);
    write8(device, REG(locality, STS), 0x40);
    for (size_t i = 0; i < size; i++) {
        write8(device, REG(locality, DATA_FIFO), command[i]);
    }
    write8(device, REG(locality, STS), 0x20);
    for (unsigned i = 0; i < TPM_HEADER_SIZE; i++) {
        assert_true(read8(device, REG(locality, STS)) & STS_DATA_AVAIL);
        response[i] = read8(device, REG(locality, DATA_FIFO));
    }
    assert_false(read8(device, REG(locality, STS)) & STS_DATA_AVAIL);
    write8(device, REG(locality, ACCESS), 0x20);
}

/* ---- the backend by itself ---- */

static void test_a_null_backend_says_what_it_is(void **state)
{
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", TPM_VERSION_1_2, NULL);

    (void)state;
    assert_string_equal(tpmdev_backend_get_id(backend), "tpm0");
    assert_string_equal(tpmdev_backend_get_type(backend), "null");
    assert_int_equal(tpmdev_backend_get_version(backend), TPM_VERSION_1_2);
    assert_int_equal(tpmdev_backend_get_buffer_size(backend), TPM_BUFFER_SIZE_COMMON);
    tpmdev_backend_unref(backend);
}

static void test_its_version_is_2_0_unless_the_option_says_otherwise(void **state)
{
    static const struct {
        const char *options;
        TPMVersion version;
    } cases[] = {
        { "null,id=a", TPM_VERSION_2_0 },
        { "null,id=a,version=2.0", TPM_VERSION_2_0 },
        { "null,id=a,version=1.2", TPM_VERSION_1_2 },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TPMBackend *backend = tpmdev_backend_new_from_string(cases[i].options, NULL, NULL, NULL);

        assert_non_null(backend);
        assert_int_equal(tpmdev_backend_get_version(backend), cases[i].version);
        tpmdev_backend_unref(backend);
    }
}

static void test_no_id_and_no_such_version_are_refused(void **state)
{
    GError *error = NULL;

    (void)state;
    assert_null(tpmdev_backend_null_new("", TPM_VERSION_2_0, &error));
    assert_string_equal(error->message, "TPM backend: the id is empty; give the backend a name");
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
    g_clear_error(&error);
    assert_null(tpmdev_backend_null_new(NULL, TPM_VERSION_2_0, NULL));
    assert_null(tpmdev_backend_null_new("tpm0", (TPMVersion)3, &error));
    assert_string_equal(error->message,
                        "TPM backend: the version is neither TPM_VERSION_1_2 nor TPM_VERSION_2_0");
    g_clear_error(&error);
}

/* ---- behind a device ---- */

static void end_to_end(TPMVersion version, const uint8_t *command, size_t size,
                       const uint8_t *failure)
{
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", version, NULL);
    TPMDevice *device = tpmdev_device_new(NULL, backend, NULL, NULL, NULL);
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    assert_non_null(device);
    assert_int_equal(tpmdev_device_get_version(device), version);
    assert_ptr_equal(tpmdev_device_get_backend(device), backend);
    for (unsigned locality = 0; locality < 4; locality++) {
        uint8_t response[TPM_HEADER_SIZE];

        exchange(device, locality, command, size, response);
        assert_memory_equal(response, failure, sizeof(response));
    }
    tpmdev_device_get_statistics(device, &statistics);
    assert_int_equal(statistics.commands, 4);
    assert_int_equal(statistics.inline_completions, 4);
    assert_int_equal(statistics.rejected_commands, 0);
    assert_int_equal(statistics.failures, 0); /* the TPM answered; that it failed is its answer */
    tpmdev_device_free(device);
    tpmdev_backend_unref(backend);
}

static void test_a_dead_2_0_answers_a_guest_with_its_failure(void **state)
{
    (void)state;
    end_to_end(TPM_VERSION_2_0, get_random_2_0, sizeof(get_random_2_0), failure_2_0);
}

static void test_a_dead_1_2_answers_a_guest_with_its_failure(void **state)
{
    (void)state;
    end_to_end(TPM_VERSION_1_2, get_random_1_2, sizeof(get_random_1_2), failure_1_2);
}

static void test_it_is_as_dead_after_a_reset(void **state)
{
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", TPM_VERSION_2_0, NULL);
    TPMDevice *device = tpmdev_device_new(NULL, backend, NULL, NULL, NULL);
    uint8_t response[TPM_HEADER_SIZE];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        exchange(device, 0, get_random_2_0, sizeof(get_random_2_0), response);
        assert_memory_equal(response, failure_2_0, sizeof(response));
        tpmdev_device_reset(device);
    }
    tpmdev_device_free(device);
    tpmdev_backend_unref(backend);
}

static void test_one_backend_serves_one_device_after_the_other(void **state)
{
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", TPM_VERSION_2_0, NULL);
    uint8_t response[TPM_HEADER_SIZE];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        TPMDevice *device = tpmdev_device_new(NULL, backend, NULL, NULL, NULL);

        assert_non_null(device);
        assert_null(tpmdev_device_new(NULL, backend, NULL, NULL, NULL));
        exchange(device, 0, get_random_2_0, sizeof(get_random_2_0), response);
        assert_null(tpmdev_device_free(device));
    }
    tpmdev_backend_unref(backend);
}

static void test_a_hundred_dead_tpms_fit_a_process(void **state)
{
    TPMDevice *devices[100];
    uint8_t response[TPM_HEADER_SIZE];

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++) {
        TPMBackend *backend = tpmdev_backend_null_new("tpm", TPM_VERSION_2_0, NULL);

        devices[i] = tpmdev_device_new(NULL, backend, NULL, NULL, NULL);
        tpmdev_backend_unref(backend); /* the device keeps it */
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++) {
        exchange(devices[i], 0, get_random_2_0, sizeof(get_random_2_0), response);
        assert_memory_equal(response, failure_2_0, sizeof(response));
        tpmdev_device_free(devices[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_null_backend_says_what_it_is),
        cmocka_unit_test(test_its_version_is_2_0_unless_the_option_says_otherwise),
        cmocka_unit_test(test_no_id_and_no_such_version_are_refused),
        cmocka_unit_test(test_a_dead_2_0_answers_a_guest_with_its_failure),
        cmocka_unit_test(test_a_dead_1_2_answers_a_guest_with_its_failure),
        cmocka_unit_test(test_it_is_as_dead_after_a_reset),
        cmocka_unit_test(test_one_backend_serves_one_device_after_the_other),
        cmocka_unit_test(test_a_hundred_dead_tpms_fit_a_process),
    };

    return cmocka_run_group_tests_name("null", tests, NULL, NULL);
}
