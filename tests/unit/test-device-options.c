/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a device is made: from option strings (hw/tpm/device-options.c) and from a struct
 * (hw/tpm/device.c), each mistake with its own message; and what can be asked of it.
 */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A TPM and no device yet. */
static int setup(void **state)
{
    *state = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    return 0;
}

static TPMDevice *device_from(TISMachine *machine, const char *options, GError **error)
{
    TPMBackend *backends[] = { machine->tpm->backend, NULL };

    return tpmdev_device_new_from_string(options, backends, &machine->host.host, &machine->host,
                                         error);
}

/* ---- option strings ---- */

static void assert_good(TISMachine *machine, const char *options, unsigned irq, bool lingers)
{
    GError *error = NULL;

    machine->device = device_from(machine, options, &error);
    if (!machine->device) {
        fail_msg("%s: %s", options, error->message);
    }
    assert_string_equal(tpmdev_device_get_model(machine->device), "tpm-tis");
    assert_int_equal(tis_read(machine, 0, REG_INT_VECTOR, 1), irq);
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(machine->tpm->linger, lingers);
    tis_machine_unplug(machine);
}

static void test_good_strings_make_the_device_they_describe(void **state)
{
    TISMachine *machine = *state;

    assert_good(machine, "tpm-tis,tpmdev=fake", 5, true);
    assert_good(machine, "driver=tpm-tis,tpmdev=fake", 5, true);
    assert_good(machine, "tpm-tis,irq=0,tpmdev=fake", 0, true);
    assert_good(machine, "tpm-tis,tpmdev=fake,irq=15", 15, true);
    assert_good(machine, "tpm-tis,tpmdev=fake,window=0", 5, false);
    assert_good(machine, "tpm-tis,tpmdev=fake,window=1000", 5, true);
    /* of two the last one counts */
    assert_good(machine, "tpm-tis,irq=3,irq=4,tpmdev=other,tpmdev=fake", 4, true);
}

/* On each bus that has TPM_STS: TPM2_SelfTest that succeeds is shown there. */
static void test_selftest_of_the_string_shows_the_end_of_the_self_test(void **state)
{
    static const uint8_t self_test[] = { 0x80, 0x01, 0, 0, 0, 11, 0, 0, 0x01, 0x43, 1 };
    static const struct {
        const char *options;
        uint32_t sts;
    } strings[] = {
        { "tpm-tis,tpmdev=fake", 0x90 },
        { "tpm-tis,tpmdev=fake,selftest=off", 0x90 },
        { "tpm-tis,tpmdev=fake,selftest=on", 0x94 },
        { "tpm-tis-device,tpmdev=fake,selftest=on", 0x94 },
    };
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(strings); i++) {
        machine->device = device_from(machine, strings[i].options, NULL);
        assert_non_null(machine->device);
        tis_request(machine, 0);
        tis_start(machine, 0, self_test, sizeof(self_test));
        assert_int_equal(tis_sts(machine, 0) & 0xFF, strings[i].sts);
        tis_machine_unplug(machine);
    }
}

/* The window of the string is in microseconds. */
static void test_window_of_the_string_is_as_long_as_it_says(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->device = device_from(machine, "tpm-tis,tpmdev=fake,window=20", NULL);
    assert_non_null(machine->device);
    tis_request(machine, 0);
    tis_send(machine, 0, command_2_0, sizeof(command_2_0));
    fake_host_set_clock(&machine->host, 0, 1000);
    tis_sts_set(machine, 0, STS_GO);
    assert_int_equal(machine->tpm->polls, 20);
}

/* Of both models that have it, and off unless it is asked for. */
static void test_drtm_of_the_string_opens_locality_4(void **state)
{
    static const struct {
        const char *options;
        unsigned starts;
    } cases[] = {
        { "tpm-tis,tpmdev=fake", 0 },
        { "tpm-tis,tpmdev=fake,drtm=off", 0 },
        { "tpm-tis,tpmdev=fake,drtm=on", 1 },
        { "tpm-tis-device,tpmdev=fake", 1 },
        { "tpm-tis-device,tpmdev=fake,drtm=on", 2 },
    };
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        machine->device = device_from(machine, cases[i].options, NULL);
        assert_non_null(machine->device);
        tis_write(machine, 4, 0x28, 1, 0);
        assert_int_equal(machine->tpm->hash_starts, cases[i].starts);
        tis_machine_unplug(machine);
    }
}

static void no_memory_to_clear(void *opaque)
{
    (void)opaque;
}

/* Of every model in memory, and none unless it is asked for. */
static void test_ppi_of_the_string_is_at_its_address(void **state)
{
    static const struct {
        const char *options;
        uint64_t address;
    } cases[] = {
        { "tpm-tis,tpmdev=fake", 0 },
        { "tpm-tis,tpmdev=fake,ppi=off", 0 },
        { "tpm-tis,tpmdev=fake,ppi=on", 0xFED45000 },
        { "tpm-crb,tpmdev=fake,ppi=on", 0xFED45000 },
        { "tpm-tis-device,tpmdev=fake,ppi=on,ppi-address=0xfed46400", 0xFED46400 },
        { "tpm-tis,tpmdev=fake,ppi-address=4276383744,ppi=on", 0xFEE47000 },
    };
    TISMachine *machine = *state;

    machine->host.host.clear_memory = no_memory_to_clear;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        machine->device = device_from(machine, cases[i].options, NULL);
        assert_non_null(machine->device);
        assert_int_equal(tpmdev_device_get_ppi_address(machine->device), cases[i].address);
        assert_int_equal(tpmdev_device_get_ppi(machine->device) != NULL, cases[i].address != 0);
        tis_machine_unplug(machine);
    }
}

static const struct {
    const char *options;
    TPMError code;
    const char *message;
} bad_strings[] = {
    { "", TPM_ERROR_MISSING_OPTION, "device: parameter 'driver' is missing; give driver=VALUE" },
    { "tpmdev=fake", TPM_ERROR_MISSING_OPTION,
      "device: parameter 'driver' is missing; give driver=VALUE" },
    { "tpm-none,tpmdev=fake", TPM_ERROR_NOT_FOUND,
      "'tpm-none' is not a valid device model name; it must be one of: tpm-tis, tpm-crb, "
      "tpm-tis-device, tpm-tis-i2c, tpm-tis-spi, tpm-spapr" },
    { "tpm-tis", TPM_ERROR_MISSING_OPTION,
      "tpm-tis: 'tpmdev' property is required; give the id of a TPM backend" },
    { "tpm-tis,tpmdev=other", TPM_ERROR_NOT_FOUND,
      "Property 'tpm-tis.tpmdev' can't find value 'other'; give the id of a TPM backend" },
    { "tpm-tis,tpmdev=", TPM_ERROR_NOT_FOUND,
      "Property 'tpm-tis.tpmdev' can't find value ''; give the id of a TPM backend" },
    { "tpm-tis,tpmdev=fake,color=red", TPM_ERROR_INVALID_OPTION,
      "tpm-tis: invalid parameter 'color'; it takes driver, tpmdev, irq, window, base, incoming, "
      "drtm, "
      "ppi, ppi-address, selftest" },
    { "tpm-tis,tpmdev=fake,irq=16", TPM_ERROR_INVALID_OPTION,
      "IRQ 16 is outside valid range of 0 to 15" },
    { "tpm-tis,tpmdev=fake,irq=4294967295", TPM_ERROR_INVALID_OPTION,
      "IRQ 4294967295 is outside valid range of 0 to 15" },
    { "tpm-tis,tpmdev=fake,irq=five", TPM_ERROR_INVALID_OPTION,
      "parameter 'irq' is 'five'; it must be a number from 0 to 4294967295" },
    { "tpm-tis,tpmdev=fake,irq=-1", TPM_ERROR_INVALID_OPTION,
      "parameter 'irq' is '-1'; it must be a number from 0 to 4294967295" },
    { "tpm-tis,tpmdev=fake,window=1001", TPM_ERROR_INVALID_OPTION,
      "parameter 'window' is '1001'; it must be a number from 0 to 1000" },
    { "tpm-tis,tpmdev=fake,window=", TPM_ERROR_INVALID_OPTION,
      "parameter 'window' is ''; it must be a number from 0 to 1000" },
    { "tpm-tis,tpmdev=fake,localities=on", TPM_ERROR_INVALID_OPTION,
      "tpm-tis: invalid parameter 'localities'; it takes driver, tpmdev, irq, window, base, "
      "incoming, drtm, "
      "ppi, ppi-address, selftest" },
    { "tpm-tis,tpmdev=fake,drtm=4", TPM_ERROR_INVALID_OPTION,
      "parameter 'drtm' is '4'; it must be on or off" },
    { "tpm-crb,tpmdev=fake,drtm=on", TPM_ERROR_INVALID_OPTION,
      "tpm-crb: invalid parameter 'drtm'; it takes driver, tpmdev, irq, window, base, incoming, "
      "localities, "
      "interrupts, buffer, buffer-address, chunk, ppi, ppi-address" },
    { "tpm-crb,tpmdev=fake,base=here", TPM_ERROR_INVALID_OPTION,
      "parameter 'base' is 'here'; it must be an address such as 0xfed40000" },
    { "tpm-crb,tpmdev=fake,base=0xfed40080", TPM_ERROR_INVALID_OPTION,
      "tpm-crb: base is not a multiple of 0x1000" },
    { "tpm-crb,tpmdev=fake,localities=5", TPM_ERROR_INVALID_OPTION,
      "parameter 'localities' is '5'; it must be on or off" },
    { "tpm-crb,tpmdev=fake,chunk=yes", TPM_ERROR_INVALID_OPTION,
      "parameter 'chunk' is 'yes'; it must be on or off" },
    { "tpm-tis,tpmdev=fake,chunk=on", TPM_ERROR_INVALID_OPTION,
      "tpm-tis: invalid parameter 'chunk'; it takes driver, tpmdev, irq, window, base, incoming, "
      "drtm, "
      "ppi, ppi-address, selftest" },
    { "tpm-crb,tpmdev=fake,buffer=big", TPM_ERROR_INVALID_OPTION,
      "parameter 'buffer' is 'big'; it must be window or page" },
    { "tpm-crb,tpmdev=fake,buffer=page", TPM_ERROR_MISSING_OPTION,
      "parameters 'buffer=page' and 'buffer-address' go together; give both" },
    { "tpm-crb,tpmdev=fake,buffer=page,buffer-address=0xfed50001", TPM_ERROR_INVALID_OPTION,
      "tpm-crb: buffer_address is not a multiple of 0x1000" },
    { "tpm-crb,tpmdev=fake,buffer=page,buffer-address=0xfed40000", TPM_ERROR_INVALID_OPTION,
      "tpm-crb: buffer_address is inside the device; give a page beside it" },
    { "tpm-tis,tpmdev=fake,ppi=1", TPM_ERROR_INVALID_OPTION,
      "parameter 'ppi' is '1'; it must be on or off" },
    { "tpm-tis,tpmdev=fake,ppi=on,ppi-address=there", TPM_ERROR_INVALID_OPTION,
      "parameter 'ppi-address' is 'there'; it must be an address such as 0xfed40000" },
    { "tpm-tis,tpmdev=fake,ppi=on,ppi-address=0", TPM_ERROR_INVALID_OPTION,
      "parameter 'ppi-address' is 0; give an address such as 0xfed45000, or ppi=off" },
    { "tpm-tis,tpmdev=fake,ppi-address=0xfed45000", TPM_ERROR_MISSING_OPTION,
      "parameter 'ppi-address' needs 'ppi=on'; give both" },
    { "tpm-crb,tpmdev=fake,ppi=off,ppi-address=0xfed45000", TPM_ERROR_MISSING_OPTION,
      "parameter 'ppi-address' needs 'ppi=on'; give both" },
    { "tpm-tis,tpmdev=fake,ppi=on", TPM_ERROR_MISSING_OPTION,
      "ppi_address needs TPMHost.clear_memory: a guest may ask for its memory to be cleared" },
    { "tpm-tis,tpmdev=fake,wait-states=1", TPM_ERROR_INVALID_OPTION,
      "tpm-tis: invalid parameter 'wait-states'; it takes driver, tpmdev, irq, window, base, "
      "incoming, "
      "drtm, ppi, ppi-address, selftest" },
    { "tpm-tis-spi,tpmdev=fake,wait-states=51", TPM_ERROR_INVALID_OPTION,
      "tpm-tis-spi: wait_states is 51; it must be from 0 to 50, the most Linux waits for" },
    { "tpm-tis-spi,tpmdev=fake,localities=on", TPM_ERROR_INVALID_OPTION,
      "tpm-tis-spi: invalid parameter 'localities'; it takes driver, tpmdev, irq, window, base, "
      "incoming, "
      "wait-states, selftest" },
    { "tpm-tis-i2c,tpmdev=fake,irq=5", TPM_ERROR_INVALID_OPTION,
      "tpm-tis-i2c: invalid parameter 'irq'; it takes driver, tpmdev, window, incoming, selftest" },
    { "tpm-tis-i2c,tpmdev=fake,base=0xfed40000", TPM_ERROR_INVALID_OPTION,
      "tpm-tis-i2c: invalid parameter 'base'; it takes driver, tpmdev, window, incoming, "
      "selftest" },
    { "tpm-tis-spi,tpmdev=fake,ppi=on", TPM_ERROR_INVALID_OPTION,
      "tpm-tis-spi: invalid parameter 'ppi'; it takes driver, tpmdev, irq, window, base, incoming, "
      "wait-states, selftest" },
    { "tpm-crb,tpmdev=fake,selftest=on", TPM_ERROR_INVALID_OPTION,
      "tpm-crb: invalid parameter 'selftest'; it takes driver, tpmdev, irq, window, base, "
      "incoming, "
      "localities, interrupts, buffer, buffer-address, chunk, ppi, ppi-address" },
    { "tpm-tis,tpmdev=fake,selftest=yes", TPM_ERROR_INVALID_OPTION,
      "parameter 'selftest' is 'yes'; it must be on or off" },
    { "tpm-spapr,tpmdev=fake,ppi=on", TPM_ERROR_INVALID_OPTION,
      "tpm-spapr: invalid parameter 'ppi'; it takes driver, tpmdev, window, incoming" },
    { "tpm-tis-i2c,tpmdev=fake,ppi=on", TPM_ERROR_INVALID_OPTION,
      "tpm-tis-i2c: invalid parameter 'ppi'; it takes driver, tpmdev, window, incoming, selftest" },
    { "tpm-tis-i2c,tpmdev=fake,localities=on", TPM_ERROR_INVALID_OPTION,
      "tpm-tis-i2c: invalid parameter 'localities'; it takes driver, tpmdev, window, incoming, "
      "selftest" },
    { "tpm-spapr,tpmdev=fake", TPM_ERROR_MISSING_OPTION,
      "tpm-spapr needs TPMHost.dma_read; set dma_read, dma_write and send_crq, or use a device "
      "with "
      "registers" },
    { "tpm-tis,tpmdev", TPM_ERROR_INVALID_OPTION,
      "parameter 'tpmdev' is not of the form NAME=VALUE" },
    { "tpm-tis,,tpmdev=fake", TPM_ERROR_INVALID_OPTION, NULL },
};

static void test_each_bad_string_has_its_own_message(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad_strings); i++) {
        g_autoptr(GError) error = NULL;

        assert_null(device_from(machine, bad_strings[i].options, &error));
        assert_non_null(error);
        assert_int_equal(error->domain, TPMDEV_ERROR);
        if (bad_strings[i].message) {
            assert_string_equal(error->message, bad_strings[i].message);
            assert_int_equal(error->code, bad_strings[i].code);
        }
        assert_int_equal(machine->tpm->starts, 0);
    }
    /* none of it has bound the TPM */
    assert_good(machine, "tpm-tis,tpmdev=fake", 5, true);
}

static void test_error_may_be_null(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad_strings); i++) {
        assert_null(device_from(machine, bad_strings[i].options, NULL));
    }
}

static void test_string_without_backends_finds_none(void **state)
{
    TPMBackend *none[] = { NULL };
    g_autoptr(GError) error = NULL;

    (void)state;
    assert_null(tpmdev_device_new_from_string("tpm-tis,tpmdev=fake", NULL, NULL, NULL, NULL));
    assert_null(tpmdev_device_new_from_string("tpm-tis,tpmdev=fake", none, NULL, NULL, &error));
    assert_int_equal(error->code, TPM_ERROR_NOT_FOUND);
}

static void test_backend_is_found_among_several(void **state)
{
    TISMachine *machine = *state;
    TPMBackend *null = tpmdev_backend_null_new("null", TPM_VERSION_1_2, NULL);
    TPMBackend *backends[] = { null, machine->tpm->backend, NULL };

    machine->device =
        tpmdev_device_new_from_string("tpm-tis,tpmdev=fake", backends, NULL, NULL, NULL);
    assert_ptr_equal(tpmdev_device_get_backend(machine->device), machine->tpm->backend);
    TPMDevice *other =
        tpmdev_device_new_from_string("tpm-tis,tpmdev=null", backends, NULL, NULL, NULL);
    assert_ptr_equal(tpmdev_device_get_backend(other), null);
    tpmdev_device_free(other);
    tpmdev_backend_unref(null);
}

static void test_two_devices_named_one_backend_is_an_error(void **state)
{
    TISMachine *machine = *state;
    g_autoptr(GError) error = NULL;

    machine->device = device_from(machine, "tpm-tis,tpmdev=fake", NULL);
    assert_null(device_from(machine, "tpm-tis,tpmdev=fake", &error));
    assert_int_equal(error->code, TPM_ERROR_IN_USE);
}

/* ---- the struct ---- */

static void assert_bad_config(TISMachine *machine, const TPMDeviceConfig *config,
                              const char *message)
{
    g_autoptr(GError) error = NULL;

    assert_null(tpmdev_device_new(config, machine->tpm->backend, NULL, NULL, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
    assert_string_equal(error->message, message);
    assert_null(tpmdev_device_new(config, machine->tpm->backend, NULL, NULL, NULL));
}

static void test_each_bad_field_has_its_own_message(void **state)
{
    TISMachine *machine = *state;
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;

    config.interface = (TPMInterface)6;
    assert_bad_config(machine, &config,
                      "TPMDeviceConfig.interface is 6; it must be one of TPMInterface's, 0 to 5");
    config = (TPMDeviceConfig)TPM_DEVICE_CONFIG_INIT;
    config.irq = 16;
    assert_bad_config(machine, &config, "IRQ 16 is outside valid range of 0 to 15");
    config = (TPMDeviceConfig)TPM_DEVICE_CONFIG_INIT;
    config.completion_window_ns = -1;
    assert_bad_config(machine, &config,
                      "the completion window is -1 ns; it must be from 0 (off) to 1000000");
    config.completion_window_ns = 1000001;
    assert_bad_config(machine, &config,
                      "the completion window is 1000001 ns; it must be from 0 (off) to 1000000");
    config.completion_window_ns = 1000000;
    config.wait_states = 1;
    assert_bad_config(machine, &config,
                      "TPMDeviceConfig.wait_states is for tpm-tis-spi; leave it unset for tpm-tis");
    config.interface = TPM_INTERFACE_TIS_SPI;
    config.localities = true;
    assert_bad_config(machine, &config,
                      "TPMDeviceConfig.localities is for tpm-crb; leave it unset for tpm-tis-spi");
    config = (TPMDeviceConfig)TPM_DEVICE_CONFIG_INIT;
    config.interface = TPM_INTERFACE_CRB;
    config.selftest = true;
    assert_bad_config(machine, &config,
                      "TPMDeviceConfig.selftest is for devices with TPM_STS; leave it unset for "
                      "tpm-crb");
    config = (TPMDeviceConfig)TPM_DEVICE_CONFIG_INIT;
    config.completion_window_ns = 1000000;
    machine->device = tpmdev_device_new(&config, machine->tpm->backend, NULL, NULL, NULL);
    assert_non_null(machine->device);
}

static void test_no_config_and_no_host_give_the_defaults(void **state)
{
    TISMachine *machine = *state;

    machine->device = tpmdev_device_new(NULL, machine->tpm->backend, NULL, NULL, NULL);
    assert_non_null(machine->device);
    assert_int_equal(tis_read(machine, 0, REG_INT_VECTOR, 1), 5);
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_true(machine->tpm->linger);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
}

static void test_fields_beyond_the_size_of_the_config_have_their_defaults(void **state)
{
    TISMachine *machine = *state;
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;

    config.size = offsetof(TPMDeviceConfig, irq);
    config.irq = 99;
    config.completion_window_ns = -1;
    machine->device = tpmdev_device_new(&config, machine->tpm->backend, NULL, NULL, NULL);
    assert_non_null(machine->device);
    assert_int_equal(tis_read(machine, 0, REG_INT_VECTOR, 1), 5);
}

static void test_config_of_a_newer_program_is_read_up_to_what_is_known(void **state)
{
    TISMachine *machine = *state;
    struct {
        TPMDeviceConfig known;
        uint8_t unknown[64];
    } config = { .known = TPM_DEVICE_CONFIG_INIT };

    memset(config.unknown, 0xFF, sizeof(config.unknown));
    config.known.size = sizeof(config);
    config.known.irq = 7;
    machine->device = tpmdev_device_new(&config.known, machine->tpm->backend, NULL, NULL, NULL);
    assert_non_null(machine->device);
    assert_int_equal(tis_read(machine, 0, REG_INT_VECTOR, 1), 7);
}

/* ---- what can be asked ---- */

static void test_device_knows_its_model_size_version_and_tpm(void **state)
{
    TISMachine *machine = *state;

    tis_machine_plug(machine);
    assert_string_equal(tpmdev_device_get_model(machine->device), "tpm-tis");
    assert_int_equal(tpmdev_device_get_size(machine->device), 0x5000);
    assert_int_equal(tpmdev_device_get_version(machine->device), TPM_VERSION_2_0);
    assert_ptr_equal(tpmdev_device_get_backend(machine->device), machine->tpm->backend);
    assert_false(tpmdev_device_get_irq_level(machine->device));
}

static void test_models_are_listed(void **state)
{
    const char *const *models = tpmdev_device_get_models();

    (void)state;
    assert_string_equal(models[0], "tpm-tis");
    assert_string_equal(models[1], "tpm-crb");
    assert_string_equal(models[2], "tpm-tis-device");
    assert_string_equal(models[3], "tpm-tis-i2c");
    assert_string_equal(models[4], "tpm-tis-spi");
    assert_string_equal(models[5], "tpm-spapr");
    assert_null(models[6]);
    assert_ptr_equal(tpmdev_device_get_models(), models);
}

static void test_free_takes_null_and_returns_null(void **state)
{
    TISMachine *machine = *state;

    assert_null(tpmdev_device_free(NULL));
    assert_null(
        tpmdev_device_free(tpmdev_device_new(NULL, machine->tpm->backend, NULL, NULL, NULL)));
}

static void test_device_keeps_its_tpm_alive(void **state)
{
    TPMBackend *null = tpmdev_backend_null_new("null", TPM_VERSION_1_2, NULL);
    TPMDevice *device = tpmdev_device_new(NULL, null, NULL, NULL, NULL);
    uint64_t value = 0;

    (void)state;
    tpmdev_backend_unref(null);
    assert_string_equal(tpmdev_backend_get_id(tpmdev_device_get_backend(device)), "null");
    tpmdev_device_read(device, REG_CAPABILITY, 4, &value);
    assert_int_equal(value, 0x20000697);
    tpmdev_device_free(device);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good_strings_make_the_device_they_describe),
        TEST(test_window_of_the_string_is_as_long_as_it_says),
        TEST(test_selftest_of_the_string_shows_the_end_of_the_self_test),
        TEST(test_drtm_of_the_string_opens_locality_4),
        TEST(test_ppi_of_the_string_is_at_its_address),
        TEST(test_each_bad_string_has_its_own_message),
        TEST(test_error_may_be_null),
        TEST(test_string_without_backends_finds_none),
        TEST(test_backend_is_found_among_several),
        TEST(test_two_devices_named_one_backend_is_an_error),
        TEST(test_each_bad_field_has_its_own_message),
        TEST(test_no_config_and_no_host_give_the_defaults),
        TEST(test_fields_beyond_the_size_of_the_config_have_their_defaults),
        TEST(test_config_of_a_newer_program_is_read_up_to_what_is_known),
        TEST(test_device_knows_its_model_size_version_and_tpm),
        TEST(test_models_are_listed),
        TEST(test_free_takes_null_and_returns_null),
        TEST(test_device_keeps_its_tpm_alive),
    };

    return cmocka_run_group_tests_name("device-options", tests, NULL, NULL);
}
