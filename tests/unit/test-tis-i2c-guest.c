/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver that knows nothing of this project's device (i2c-guest.h) carries real commands to a
 * real TPM over it, over good and over bad buses, and from several threads at once.
 */
#include "i2c-driver.h"
#include "i2c-guest.h"
#include "libtpms-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COMMANDS 1000

/* Carry out a command, which must succeed on the bus; returns the response's code. */
static uint32_t transmit(I2CGuest *guest, const void *command, size_t size, uint8_t *response,
                         size_t *response_size)
{
    const char *wrong =
        i2c_guest_transmit(guest, command, size, response, TPM_TIS_BUFFER_SIZE, response_size);

    if (wrong) {
        fail_msg("%s", wrong);
    }
    return (uint32_t)response[6] << 24 | (uint32_t)response[7] << 16 | (uint32_t)response[8] << 8 |
           response[9];
}

static void assert_good_probe(I2CGuest *guest)
{
    const char *wrong = i2c_guest_probe(guest);

    if (wrong) {
        fail_msg("%s", wrong);
    }
    assert_int_equal(guest->did_vid, 0x00011014);
    assert_int_equal(guest->guard_time_us, 0);
}

/* ---- a TPM of libtpms ---- */

static int libtpms_set_up(void **state)
{
    if (fixture_set_up(state) != 0) {
        return -1;
    }
    Fixture *fixture = *state;

    fixture->backend = try_new(fixture, TPM_VERSION_2_0);
    return fixture->backend ? 0 : -1;
}

static TPMDevice *plug(TPMBackend *backend)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;

    config.interface = TPM_INTERFACE_TIS_I2C;
    TPMDevice *device = tpmdev_device_new(&config, backend, NULL, NULL, NULL);

    assert_non_null(device);
    return device;
}

/* GetRandom of a size that changes, and in between what is said of a property. */
static void carry_commands(I2CGuest *guest, unsigned count)
{
    uint8_t response[TPM_TIS_BUFFER_SIZE];
    uint8_t random[sizeof(get_random)];
    size_t size;

    memcpy(random, get_random, sizeof(random));
    assert_int_equal(transmit(guest, startup_clear, sizeof(startup_clear), response, &size), 0);
    for (unsigned i = 0; i < count; i++) {
        if (i % 5 == 4) {
            assert_int_equal(transmit(guest, get_property_max_command,
                                      sizeof(get_property_max_command), response, &size),
                             0);
            assert_int_equal(size, 27);
            continue;
        }
        random[11] = (uint8_t)(1 + i % 32);
        assert_int_equal(transmit(guest, random, sizeof(random), response, &size), 0);
        assert_int_equal(size, 12 + random[11]);
    }
}

static void test_thousand_commands_reach_a_tpm_of_libtpms(void **state)
{
    Fixture *fixture = *state;
    I2CGuest guest = { .device = plug(fixture->backend) };
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    assert_good_probe(&guest);
    carry_commands(&guest, COMMANDS);
    tpmdev_device_get_statistics(guest.device, &statistics);
    assert_int_equal(statistics.commands, COMMANDS + 1);
    assert_int_equal(statistics.guest_errors, 0);
    assert_int_equal(statistics.interrupts, 0);
    tpmdev_device_free(guest.device);
}

/* Every third transfer is refused at its address: the driver comes again, and loses nothing. */
static void test_commands_survive_a_bus_that_does_not_acknowledge(void **state)
{
    Fixture *fixture = *state;
    I2CGuest guest = { .device = plug(fixture->backend), .nack_every = 3 };

    assert_good_probe(&guest);
    carry_commands(&guest, 50);
    assert_in_range(guest.nacks, 50, UINT32_MAX);
    tpmdev_device_free(guest.device);
}

static void test_each_locality_carries_commands(void **state)
{
    Fixture *fixture = *state;
    TPMDevice *device = plug(fixture->backend);

    for (uint8_t locality = 0; locality < 4; locality++) {
        I2CGuest guest = { .device = device, .locality = locality };
        uint8_t response[TPM_TIS_BUFFER_SIZE];
        size_t size;

        assert_good_probe(&guest);
        transmit(&guest, startup_clear, sizeof(startup_clear), response, &size);
        assert_int_equal(transmit(&guest, get_random, sizeof(get_random), response, &size), 0);
        assert_int_equal(size, 28);
    }
    tpmdev_device_free(device);
}

/* ---- a TPM that does as it is told ---- */

static void test_largest_command_and_response_pass(void **state)
{
    TISMachine *machine = *state;
    I2CGuest guest = { .device = machine->device };
    uint8_t command[TPM_TIS_BUFFER_SIZE], response[TPM_TIS_BUFFER_SIZE];
    size_t size;

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    fake_backend_respond_with_size(machine->tpm, sizeof(response));
    assert_good_probe(&guest);
    assert_int_equal(transmit(&guest, command, sizeof(command), response, &size), 0);
    assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
    assert_int_equal(size, sizeof(response));
    assert_memory_equal(response, machine->tpm->response, sizeof(response));
}

/* What the checksum is for: no byte that goes wrong on the bus goes unnoticed. */
static void test_every_byte_garbled_on_the_bus_is_found_by_the_checksum(void **state)
{
    static const unsigned sent[] = { 1, 2, 7, 8, 9, 10, 11, 12 }; /* a wrong size is found before */
    TISMachine *machine = *state;
    uint8_t response[TPM_TIS_BUFFER_SIZE];
    size_t size;

    fake_backend_respond_with_size(machine->tpm, 20);
    for (unsigned i = 0; i < G_N_ELEMENTS(sent); i++) {
        I2CGuest guest = { .device = machine->device, .garble_send = sent[i] };
        const char *wrong = i2c_guest_transmit(&guest, command_2_0, sizeof(command_2_0), response,
                                               sizeof(response), &size);

        assert_string_equal(wrong, "the checksum of the command is wrong");
    }
    assert_int_equal(machine->tpm->submits, 0);
    for (unsigned byte = 7; byte <= 20; byte++) {
        I2CGuest guest = { .device = machine->device, .garble_receive = byte };
        const char *wrong = i2c_guest_transmit(&guest, command_2_0, sizeof(command_2_0), response,
                                               sizeof(response), &size);

        assert_string_equal(wrong, "the checksum of the response is wrong");
    }
}

static void test_driver_finds_no_device_where_another_interface_is(void **state)
{
    TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);
    I2CGuest guest = { .device = machine->device };

    (void)state;
    assert_string_equal(i2c_guest_probe(&guest), "nobody acknowledges");
    tis_machine_free(machine);
}

/* ---- threads ---- */

typedef struct Crowd {
    TPMDevice *device;
    gint over;
} Crowd;

/* A second processor that has got hold of the bus, too. */
static gpointer disturb(gpointer data)
{
    Crowd *crowd = data;

    for (unsigned i = 0; !g_atomic_int_get(&crowd->over); i++) {
        tpmdev_device_i2c_event(crowd->device, (TPMI2CEvent)(i % 4));
        tpmdev_device_i2c_send(crowd->device, (uint8_t)(i * 5));
        tpmdev_device_i2c_receive(crowd->device);
    }
    return NULL;
}

/* Nothing but races is looked for: what two masters say at once means nothing. */
static void test_threads_on_one_bus_do_no_harm(void **state)
{
    TISMachine *machine = *state;
    Crowd crowd = { .device = machine->device };
    GThread *threads[2];

    machine->tpm->submit_when = FAKE_BY_THREAD;
    machine->tpm->cancel_when =
        FAKE_WHEN_TOLD; /* the thread alone answers, and each command once */
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("bus", disturb, &crowd);
    }
    for (unsigned i = 0; i < 100; i++) {
        i2c_start_send(machine);
        i2c_send(machine, "\x04\x02", 2);
        i2c_stop(machine);
        i2c_start_send(machine);
        i2c_send(machine, "\x18\x40", 2);
        i2c_stop(machine);
        i2c_start_send(machine);
        i2c_send(machine, "\x24", 1);
        i2c_send(machine, command_2_0, sizeof(command_2_0));
        i2c_start_send(machine);
        i2c_send(machine, "\x18\x20", 2);
        i2c_stop(machine);
        if (i % 10 == 9) {
            tpmdev_device_reset(machine->device);
        }
    }
    g_atomic_int_set(&crowd.over, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_thread_join(threads[i]);
    }
    tpmdev_device_reset(machine->device);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x81);
}

#define LIBTPMS(function)                                                                          \
    cmocka_unit_test_setup_teardown(function, libtpms_set_up, fixture_tear_down)
#define FAKE(function) cmocka_unit_test_setup_teardown(function, i2c_setup, i2c_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIBTPMS(test_thousand_commands_reach_a_tpm_of_libtpms),
        LIBTPMS(test_commands_survive_a_bus_that_does_not_acknowledge),
        LIBTPMS(test_each_locality_carries_commands),
        FAKE(test_largest_command_and_response_pass),
        FAKE(test_every_byte_garbled_on_the_bus_is_found_by_the_checksum),
        FAKE(test_driver_finds_no_device_where_another_interface_is),
        FAKE(test_threads_on_one_bus_do_no_harm),
    };

    return cmocka_run_group_tests_name("tis-i2c-guest", tests, NULL, NULL);
}
