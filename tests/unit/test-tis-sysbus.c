/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tpm-tis-device beside tpm-tis: the same is done to both, and what they show must be the same at
 * every offset in every width; and what is its own, its name and where it may be. The tests of
 * registers, states, FIFO and localities run on it too, see meson.build.
 */
#include "tis-driver.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define REGION_SIZE 0x5000u

/* Two machines with a TPM each, and nothing different but the model. */
typedef struct Pair {
    TISMachine *isa;
    TISMachine *sysbus;
} Pair;

static TISMachine *machine_new(TPMVersion version, TPMInterface interface, uint64_t base)
{
    TISMachine *machine = tis_machine_prepare(version, FAKE_FULL, TPM_BUFFER_SIZE_MAX);

    machine->config.interface = interface;
    machine->config.base = base;
    tis_machine_plug(machine);
    return machine;
}

static Pair pair_new(TPMVersion version)
{
    return (Pair){ machine_new(version, TPM_INTERFACE_TIS, 0xFED40000),
                   machine_new(version, TPM_INTERFACE_TIS_SYSBUS, 0x0B000000) };
}

static void pair_free(Pair *pair)
{
    tis_machine_free(pair->isa);
    tis_machine_free(pair->sysbus);
}

static uint64_t read_at(TISMachine *machine, uint64_t offset, unsigned width)
{
    uint64_t value = 0;

    assert_int_equal(tpmdev_device_read(machine->device, offset, width, &value), TPM_ACCESS_OK);
    return value;
}

static void assert_same_read(Pair *pair, uint64_t offset, unsigned width)
{
    uint64_t isa = read_at(pair->isa, offset, width);
    uint64_t sysbus = read_at(pair->sysbus, offset, width);

    if (isa != sysbus) {
        fail_msg("%u bytes at %03" PRIx64 ": tpm-tis shows %" PRIx64 ", tpm-tis-device %" PRIx64,
                 width, offset, isa, sysbus);
    }
}

/* Every offset in every width, each pair of reads with the side effects reads have. */
static void assert_all_the_same(Pair *pair)
{
    for (unsigned width = 1; width <= 8; width *= 2) {
        for (uint64_t offset = 0; offset + width <= REGION_SIZE; offset++) {
            assert_same_read(pair, offset, width);
        }
    }
    assert_int_equal(tpmdev_device_get_irq_level(pair->isa->device),
                     tpmdev_device_get_irq_level(pair->sysbus->device));
}

static void write_both(Pair *pair, uint64_t offset, unsigned width, uint64_t value)
{
    assert_int_equal(tpmdev_device_write(pair->isa->device, offset, width, value), TPM_ACCESS_OK);
    assert_int_equal(tpmdev_device_write(pair->sysbus->device, offset, width, value),
                     TPM_ACCESS_OK);
}

static void test_every_read_is_that_of_tpm_tis_in_every_state(void **state)
{
    static const TPMVersion versions[] = { TPM_VERSION_1_2, TPM_VERSION_2_0 };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(versions); i++) {
        Pair pair = pair_new(versions[i]);
        TISMachine *machines[] = { pair.isa, pair.sysbus };
        uint8_t command[64];
        size_t size = tis_make_command(versions[i], command, sizeof(command));

        assert_all_the_same(&pair); /* Idle */
        write_both(&pair, REG_ACCESS, 1, ACCESS_REQUEST);
        write_both(&pair, REG_INT_ENABLE, 4, INT_ALL);
        write_both(&pair, 0x3000 + REG_ACCESS, 1, ACCESS_REQUEST);
        write_both(&pair, REG_STS, 4, STS_READY);
        assert_all_the_same(&pair); /* Ready */
        for (unsigned j = 0; j < G_N_ELEMENTS(machines); j++) {
            tis_fifo_write(machines[j], 0, command, size);
        }
        assert_all_the_same(&pair); /* Reception */
        for (unsigned j = 0; j < G_N_ELEMENTS(machines); j++) {
            machines[j]->tpm->submit_when = FAKE_WHEN_TOLD;
        }
        write_both(&pair, REG_STS, 4, STS_GO);
        assert_all_the_same(&pair); /* Execution */
        for (unsigned j = 0; j < G_N_ELEMENTS(machines); j++) {
            fake_backend_answer(machines[j]->tpm);
            assert_true(tis_has_response(machines[j], 0));
        }
        assert_all_the_same(&pair); /* Completion */
        pair_free(&pair);
    }
}

/* What a write does shows in what is read, so that both follow. */
static void test_every_write_does_what_it_does_to_tpm_tis(void **state)
{
    GRand *random = g_rand_new_with_seed(1);
    Pair pair = pair_new(TPM_VERSION_2_0);
    static const uint16_t registers[] = {
        REG_ACCESS, REG_INT_ENABLE,   REG_INT_STATUS, REG_STS,
        REG_FIFO,   REG_INTERFACE_ID, REG_XDATA,      REG_DID_VID
    };

    (void)state;
    for (unsigned i = 0; i < 50000; i++) {
        uint64_t locality = (uint64_t)g_rand_int_range(random, 0, 5) << 12;
        uint64_t reg = registers[g_rand_int_range(random, 0, G_N_ELEMENTS(registers))];
        unsigned width = 1u << g_rand_int_range(random, 0, 4);

        write_both(&pair, locality + reg, width,
                   g_rand_boolean(random) ? 1u << g_rand_int_range(random, 0, 8)
                                          : g_rand_int(random));
        for (unsigned j = 0; j < G_N_ELEMENTS(registers); j++) {
            assert_same_read(&pair, locality + registers[j], 4);
        }
        assert_int_equal(tpmdev_device_get_irq_level(pair.isa->device),
                         tpmdev_device_get_irq_level(pair.sysbus->device));
    }
    TPMDeviceStatistics isa = tis_statistics(pair.isa);
    TPMDeviceStatistics sysbus = tis_statistics(pair.sysbus);

    assert_true(isa.commands > 0 && isa.interrupts > 0 && isa.guest_errors > 0);
    assert_memory_equal(&isa, &sysbus, sizeof(isa));
    pair_free(&pair);
    g_rand_free(random);
}

static void test_it_is_named_tpm_tis_device(void **state)
{
    TISMachine *machine = machine_new(TPM_VERSION_1_2, TPM_INTERFACE_TIS_SYSBUS, 0);

    (void)state;
    assert_string_equal(tpmdev_device_get_model(machine->device), "tpm-tis-device");
    assert_int_equal(tpmdev_device_get_interface(machine->device), TPM_INTERFACE_TIS_SYSBUS);
    assert_int_equal(tpmdev_device_get_size(machine->device), REGION_SIZE);
    tis_machine_free(machine);
}

static void test_a_string_names_it_and_its_address(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_MAX);
    TPMBackend *const backends[] = { machine->tpm->backend, NULL };
    TPMDevice *device =
        tpmdev_device_new_from_string("tpm-tis-device,tpmdev=fake,irq=7,base=0x0b000000", backends,
                                      &machine->host.host, &machine->host, NULL);

    (void)state;
    assert_non_null(device);
    machine->device = device;
    g_atomic_pointer_set(&machine->host.device, device);
    assert_string_equal(tpmdev_device_get_model(device), "tpm-tis-device");
    assert_int_equal(tis_read(machine, 0, REG_INT_VECTOR, 4), 7);
    tis_machine_free(machine);
}

static void test_any_page_will_do(void **state)
{
    static const uint64_t bases[] = { 0,           0x1000,       0x0B000000,          0x0C000000,
                                      0xFFFFF000u, 0x8080000000, 0xFFFFFFFFFFFFB000u, 0xFED40000 };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(bases); i++) {
        TISMachine *machine = machine_new(TPM_VERSION_2_0, TPM_INTERFACE_TIS_SYSBUS, bases[i]);

        tis_request(machine, 3);
        tis_start(machine, 3, command_2_0, sizeof(command_2_0));
        tis_wait_response(machine, 3);
        tis_machine_free(machine);
    }
}

/* What must be refused, with its text. */
static void assert_refused(const TPMDeviceConfig *config, const char *expected)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_MAX);
    GError *error = NULL;

    assert_null(tpmdev_device_new(config, machine->tpm->backend, NULL, NULL, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
    assert_string_equal(error->message, expected);
    g_error_free(error);
    tis_machine_free(machine);
}

static void test_an_address_within_a_page_is_refused(void **state)
{
    static const struct {
        uint64_t base;
        const char *text;
    } rows[] = {
        { 0x0B000001, "tpm-tis-device: base 0xb000001 is not a multiple of 0x1000" },
        { 0x0B000800, "tpm-tis-device: base 0xb000800 is not a multiple of 0x1000" },
        { 0x8080000FFF, "tpm-tis-device: base 0x8080000fff is not a multiple of 0x1000" },
    };
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;

    (void)state;
    config.interface = TPM_INTERFACE_TIS_SYSBUS;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        config.base = rows[i].base;
        assert_refused(&config, rows[i].text);
    }
    config.interface = TPM_INTERFACE_TIS;
    config.base = 0xFED40400;
    assert_refused(&config, "tpm-tis: base 0xfed40400 is not a multiple of 0x1000");
}

/* The last pages there are will do; a device that goes on at address 0 is nowhere. */
static void test_a_device_ends_within_64_bits(void **state)
{
    static const struct {
        TPMInterface interface;
        bool localities;
        uint64_t last;
        const char *text;
    } rows[] = {
        { TPM_INTERFACE_TIS, false, UINT64_MAX - 0x4FFF,
          "tpm-tis: base 0xffffffffffffc000 puts its 0x5000 bytes beyond 64 bits; give "
          "0xffffffffffffb000 or less" },
        { TPM_INTERFACE_TIS_SYSBUS, false, UINT64_MAX - 0x4FFF,
          "tpm-tis-device: base 0xffffffffffffc000 puts its 0x5000 bytes beyond 64 bits; give "
          "0xffffffffffffb000 or less" },
        { TPM_INTERFACE_CRB, true, UINT64_MAX - 0x4FFF,
          "tpm-crb: base 0xffffffffffffc000 puts its 0x5000 bytes beyond 64 bits; give "
          "0xffffffffffffb000 or less" },
        { TPM_INTERFACE_CRB, false, UINT64_MAX - 0xFFF, NULL },
        { TPM_INTERFACE_TIS_SPI, false, UINT64_MAX, NULL }, /* it makes no use of it */
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_MAX);
        TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;

        config.interface = rows[i].interface;
        config.localities = rows[i].localities;
        config.base = rows[i].last;
        machine->device = tpmdev_device_new(&config, machine->tpm->backend, NULL, NULL, NULL);
        assert_non_null(machine->device);
        tis_machine_free(machine);
        config.base += 0x1000;
        if (rows[i].text) {
            assert_refused(&config, rows[i].text);
        }
    }
}

static void test_what_a_crb_device_alone_has_is_refused_by_every_other(void **state)
{
    static const char *const names[] = { "localities", "interrupts", "buffer_address", "chunk" };
    static const TPMInterface others[] = { TPM_INTERFACE_TIS, TPM_INTERFACE_TIS_SYSBUS,
                                           TPM_INTERFACE_TIS_I2C, TPM_INTERFACE_TIS_SPI,
                                           TPM_INTERFACE_SPAPR };
    const char *const *models = tpmdev_device_get_models();

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(others) * G_N_ELEMENTS(names); i++) {
        TPMInterface interface = others[i / G_N_ELEMENTS(names)];
        unsigned name = i % G_N_ELEMENTS(names);
        TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
        char *expected = g_strdup_printf("TPMDeviceConfig.%s is for tpm-crb; leave it unset for %s",
                                         names[name], models[interface]);

        config.interface = interface;
        config.localities = name == 0;
        config.interrupts = name == 1;
        config.buffer_address = name == 2 ? 0x0B010000 : 0;
        config.chunk = name == 3;
        assert_refused(&config, expected);
        g_free(expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_read_is_that_of_tpm_tis_in_every_state),
        cmocka_unit_test(test_every_write_does_what_it_does_to_tpm_tis),
        cmocka_unit_test(test_it_is_named_tpm_tis_device),
        cmocka_unit_test(test_a_string_names_it_and_its_address),
        cmocka_unit_test(test_any_page_will_do),
        cmocka_unit_test(test_an_address_within_a_page_is_refused),
        cmocka_unit_test(test_a_device_ends_within_64_bits),
        cmocka_unit_test(test_what_a_crb_device_alone_has_is_refused_by_every_other),
    };

    return cmocka_run_group_tests_name("tis-sysbus", tests, NULL, NULL);
}
