/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The physical presence memory: what survives a reset, and the one byte of it that has an effect.
 */
#include "ppi-layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <tpmdev/tpmdev.h>

#define THREADS 4

typedef struct Machine {
    TPMDeviceConfig config;
    TPMHost host;
    TPMDevice *device;
    uint8_t *ppi;
    gint cleared; /* calls of clear_memory */
    uint8_t movv_when_cleared;
} Machine;

static void clear_memory(void *opaque)
{
    Machine *machine = opaque;

    g_atomic_int_inc(&machine->cleared);
    machine->movv_when_cleared = machine->ppi[TPM_PPI_MOVV];
    /* No lock is held: the device can be used from here. */
    tpmdev_device_get_irq_level(machine->device);
}

static TPMDevice *try_device(Machine *machine, GError **error)
{
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", TPM_VERSION_2_0, NULL);
    TPMDevice *device =
        tpmdev_device_new(&machine->config, backend, &machine->host, machine, error);

    tpmdev_backend_unref(backend);
    return device;
}

static int set_up(void **state)
{
    Machine *machine = g_new0(Machine, 1);

    machine->config = (TPMDeviceConfig)TPM_DEVICE_CONFIG_INIT;
    machine->config.ppi_address = TPM_PPI_ADDRESS;
    machine->host = (TPMHost)TPM_HOST_INIT;
    machine->host.clear_memory = clear_memory;
    machine->device = try_device(machine, NULL);
    machine->ppi = tpmdev_device_get_ppi(machine->device);
    *state = machine;
    return 0;
}

static int tear_down(void **state)
{
    Machine *machine = *state;

    tpmdev_device_free(machine->device);
    g_free(machine);
    return 0;
}

static void assert_refused_as(Machine *machine, TPMError code, const char *message)
{
    GError *error = NULL;

    assert_null(try_device(machine, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, (gint)code));
    assert_string_equal(error->message, message);
    g_clear_error(&error);
}

static void assert_refused(Machine *machine, const char *message)
{
    assert_refused_as(machine, TPM_ERROR_INVALID_OPTION, message);
}

/* ---- the memory ---- */

static void test_a_new_memory_is_zeros_at_the_front_of_a_page(void **state)
{
    Machine *machine = *state;

    assert_int_equal((uintptr_t)machine->ppi % 0x1000, 0);
    for (unsigned i = 0; i < 0x1000; i++) {
        assert_int_equal(machine->ppi[i], 0);
    }
}

static void test_the_memory_survives_every_reset(void **state)
{
    Machine *machine = *state;

    for (unsigned i = 0; i < TPM_PPI_SIZE; i++) {
        machine->ppi[i] = (uint8_t)(i * 7 + 2);
    }
    machine->ppi[TPM_PPI_MOVV] = 0;
    for (unsigned resets = 0; resets < 3; resets++) {
        tpmdev_device_reset(machine->device);
        for (unsigned i = 0; i < TPM_PPI_SIZE; i++) {
            assert_int_equal(machine->ppi[i], i == TPM_PPI_MOVV ? 0 : (uint8_t)(i * 7 + 2));
        }
    }
    assert_ptr_equal(tpmdev_device_get_ppi(machine->device), machine->ppi);
}

static void test_a_device_has_none_unless_told(void **state)
{
    Machine *machine = *state;

    machine->config.ppi_address = 0;
    machine->host.clear_memory = NULL;
    TPMDevice *device = try_device(machine, NULL);

    assert_null(tpmdev_device_get_ppi(device));
    assert_int_equal(tpmdev_device_get_ppi_address(device), 0);
    tpmdev_device_reset(device);
    tpmdev_device_free(device);
}

static void test_its_address_is_told(void **state)
{
    Machine *machine = *state;

    assert_int_equal(tpmdev_device_get_ppi_address(machine->device), TPM_PPI_ADDRESS);
}

/* ---- the memory overwrite request ---- */

static void test_memory_is_not_cleared_unasked(void **state)
{
    static const uint8_t values[] = { 0x00, 0x02, 0x10, 0xFE };
    Machine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        machine->ppi[TPM_PPI_MOVV] = values[i];
        tpmdev_device_reset(machine->device);
        assert_int_equal(machine->cleared, 0);
        assert_int_equal(machine->ppi[TPM_PPI_MOVV], values[i]);
    }
}

static void test_memory_is_cleared_once_when_asked_for(void **state)
{
    static const uint8_t values[] = { 0x01, 0x11, 0xFF };
    Machine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        machine->cleared = 0;
        machine->ppi[TPM_PPI_MOVV] = values[i];
        tpmdev_device_reset(machine->device);
        assert_int_equal(machine->cleared, 1);
        assert_int_equal(machine->ppi[TPM_PPI_MOVV], 0);
        tpmdev_device_reset(machine->device);
        assert_int_equal(machine->cleared, 1);
    }
}

static void test_the_request_is_gone_before_memory_is_cleared(void **state)
{
    Machine *machine = *state;

    machine->movv_when_cleared = 0xFF;
    machine->ppi[TPM_PPI_MOVV] = 1;
    tpmdev_device_reset(machine->device);
    assert_int_equal(machine->movv_when_cleared, 0);
}

static gpointer reset_device(gpointer device)
{
    tpmdev_device_reset(device);
    return NULL;
}

static void test_threads_that_reset_together_clear_memory_once(void **state)
{
    Machine *machine = *state;

    for (unsigned round = 0; round < 50; round++) {
        GThread *threads[THREADS];

        g_atomic_int_set(&machine->cleared, 0);
        machine->ppi[TPM_PPI_MOVV] = 1;
        for (unsigned i = 0; i < THREADS; i++) {
            threads[i] = g_thread_new("reset", reset_device, machine->device);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            g_thread_join(threads[i]);
        }
        assert_int_equal(machine->cleared, 1);
    }
}

/* ---- what is refused ---- */

static void test_an_address_is_a_multiple_of_its_size_below_4_gib(void **state)
{
    static const uint64_t good[] = { 0x400, 0xFED45400, 0xFFFFFC00 };
    Machine *machine = *state;

    machine->config.ppi_address = 0xFED45200;
    assert_refused(machine, "ppi_address 0xfed45200 is not a multiple of 0x400 below 4 GiB; give "
                            "one, such as 0xfed45000");
    machine->config.ppi_address = UINT64_C(0x100000000);
    assert_refused(machine, "ppi_address 0x100000000 is not a multiple of 0x400 below 4 GiB; give "
                            "one, such as 0xfed45000");
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        machine->config.ppi_address = good[i];
        TPMDevice *device = try_device(machine, NULL);

        assert_non_null(device);
        tpmdev_device_free(device);
    }
}

static void test_an_address_is_not_inside_the_device(void **state)
{
    Machine *machine = *state;

    machine->config.ppi_address = TPM_BASE_ADDRESS + TPM_TIS_SIZE - TPM_PPI_SIZE;
    assert_refused(machine, "ppi_address 0xfed44c00 is inside the device at 0xfed40000; give a "
                            "place beside it, such as 0xfed45000");
    machine->config.base = 0xFED45000;
    machine->config.ppi_address = 0xFED45000;
    assert_refused(machine, "ppi_address 0xfed45000 is inside the device at 0xfed45000; give a "
                            "place beside it, such as 0xfed4a000");
}

/* The page of a CRB device's buffer is memory that the host maps, too. */
static void test_an_address_is_not_on_the_buffer_s_page(void **state)
{
    Machine *machine = *state;

    machine->config.interface = TPM_INTERFACE_CRB;
    machine->config.buffer_address = 0xFED45000;
    for (unsigned offset = 0; offset < TPM_CRB_PAGE_SIZE; offset += TPM_PPI_SIZE) {
        char *expected = g_strdup_printf("ppi_address 0x%x is on the page of the buffer at "
                                         "0xfed45000; give a place beside it, such as 0xfed46000",
                                         0xFED45000 + offset);

        machine->config.ppi_address = 0xFED45000 + offset;
        assert_refused(machine, expected);
        g_free(expected);
    }
    for (unsigned i = 0; i < 2; i++) {
        machine->config.ppi_address = i ? 0xFED46000 : 0xFED44C00;
        TPMDevice *device = try_device(machine, NULL);

        assert_non_null(device);
        tpmdev_device_free(device);
    }
}

static void test_a_host_must_be_able_to_clear_memory(void **state)
{
    static const char message[] = "ppi_address needs TPMHost.clear_memory: a guest may ask for its "
                                  "memory to be cleared";
    Machine *machine = *state;

    machine->host.clear_memory = NULL;
    assert_refused_as(machine, TPM_ERROR_MISSING_OPTION, message);
    machine->host.clear_memory = clear_memory;
    machine->host.size = offsetof(TPMHost, clear_memory);
    assert_refused_as(machine, TPM_ERROR_MISSING_OPTION, message);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_new_memory_is_zeros_at_the_front_of_a_page),
        TEST(test_the_memory_survives_every_reset),
        TEST(test_a_device_has_none_unless_told),
        TEST(test_its_address_is_told),
        TEST(test_memory_is_not_cleared_unasked),
        TEST(test_memory_is_cleared_once_when_asked_for),
        TEST(test_the_request_is_gone_before_memory_is_cleared),
        TEST(test_threads_that_reset_together_clear_memory_once),
        TEST(test_an_address_is_a_multiple_of_its_size_below_4_gib),
        TEST(test_an_address_is_not_inside_the_device),
        TEST(test_an_address_is_not_on_the_buffer_s_page),
        TEST(test_a_host_must_be_able_to_clear_memory),
    };

    return cmocka_run_group_tests_name("ppi", tests, NULL, NULL);
}
