/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TIS device on SPI as a driver uses it: FIFO frames of every size, commands up to the buffer
 * and beyond, what happens between two bytes of a frame, and a thousand commands of a driver that
 * does what Linux's does, on a fake TPM and on libtpms.
 */
#include "libtpms-fixture.h"
#include "spi-driver.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COMMANDS 1000

static TISMachine *new_machine(TPMVersion version, unsigned wait_states)
{
    TISMachine *machine = tis_machine_prepare(version, FAKE_FULL, TPM_TIS_BUFFER_SIZE);

    machine->config.interface = TPM_INTERFACE_TIS_SPI;
    machine->config.wait_states = wait_states;
    machine->tpm->echo = true;
    tis_machine_plug(machine);
    return machine;
}

static int setup(void **state)
{
    *state = new_machine(TPM_VERSION_2_0, 0);
    return 0;
}

static void assert_no_problem(const SPIDriver *driver)
{
    if (driver->problem) {
        fail_msg("frame %u: %s", driver->frames, driver->problem);
    }
}

/* A command whose response is as long, with the same bytes behind its header. */
static void assert_echo(SPIDriver *driver, TPMVersion version, unsigned locality, size_t size)
{
    uint8_t command[TPM_TIS_BUFFER_SIZE], response[TPM_TIS_BUFFER_SIZE];

    tis_make_command(version, command, size);
    size_t got = spi_command(driver, locality, command, size, response, sizeof(response));

    assert_no_problem(driver);
    assert_int_equal(got, size);
    assert_memory_equal(response + TPM_HEADER_SIZE, command + TPM_HEADER_SIZE,
                        size - TPM_HEADER_SIZE);
}

/* ---- FIFO frames ---- */

static void test_fifo_frames_of_every_size_carry_command_and_response(void **state)
{
    TISMachine *machine = *state;
    SPIDriver driver = { .device = machine->device };
    uint8_t command[200], response[200];

    spi_write(&driver, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    for (size_t n = 1; n <= SPI_FRAME_MAX; n++) {
        uint32_t fifo = n % 2 == 0 ? REG_FIFO : REG_XDATA;

        tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
        command[199] = (uint8_t)n;
        spi_write(&driver, 0, REG_STS, 1, STS_READY);
        for (size_t at = 0; at < sizeof(command); at += n) {
            spi_frame(&driver, false, fifo, command + at, MIN(n, sizeof(command) - at));
        }
        assert_int_equal(spi_read(&driver, 0, REG_STS, 1), 0x80);
        spi_write(&driver, 0, REG_STS, 1, STS_GO);
        assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
        for (size_t at = 0; at < sizeof(response); at += n) {
            assert_int_equal(spi_read(&driver, 0, REG_STS, 1), 0x90);
            spi_frame(&driver, true, fifo, response + at, MIN(n, sizeof(response) - at));
        }
        assert_int_equal(spi_read(&driver, 0, REG_STS, 1), 0x80);
        assert_memory_equal(response + 10, command + 10, sizeof(command) - 10);
    }
    assert_no_problem(&driver);
}

static void test_a_frame_beyond_the_response_reads_ones(void **state)
{
    TISMachine *machine = *state;
    SPIDriver driver = { .device = machine->device };
    uint8_t bytes[SPI_FRAME_MAX];

    spi_write(&driver, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    spi_write(&driver, 0, REG_STS, 1, STS_READY);
    memcpy(bytes, command_2_0, sizeof(command_2_0));
    spi_frame(&driver, false, REG_FIFO, bytes, sizeof(command_2_0));
    spi_write(&driver, 0, REG_STS, 1, STS_GO);
    assert_true(spi_frame(&driver, true, REG_FIFO, bytes, SPI_FRAME_MAX));
    assert_memory_equal(bytes, "\x80\x01\0\0\0\x0C\0\0\0\0", 10);
    for (size_t i = 12; i < SPI_FRAME_MAX; i++) {
        assert_int_equal(bytes[i], 0xFF);
    }
    assert_int_equal(spi_read(&driver, 0, REG_STS, 1), 0x80);
}

/* What is behind the command's end in its frame is not part of it. */
static void test_a_frame_beyond_the_command_ends_with_it(void **state)
{
    TISMachine *machine = *state;
    SPIDriver driver = { .device = machine->device };
    uint8_t bytes[SPI_FRAME_MAX] = { 0 };

    spi_write(&driver, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    spi_write(&driver, 0, REG_STS, 1, STS_READY);
    memcpy(bytes, command_2_0, sizeof(command_2_0));
    spi_frame(&driver, false, REG_FIFO, bytes, SPI_FRAME_MAX);
    assert_int_equal(spi_read(&driver, 0, REG_STS, 1), 0x80);
    spi_write(&driver, 0, REG_STS, 1, STS_GO);
    assert_true(fake_backend_has_command(machine->tpm, command_2_0, sizeof(command_2_0)));
}

/* ---- commands ---- */

static void test_commands_up_to_the_buffer_go_through(void **state)
{
    static const size_t sizes[] = { 10, 11, 63, 64, 65, 66, 127, 128, 129, 1000, 4095, 4096 };
    TISMachine *machine = *state;
    SPIDriver driver = { .device = machine->device };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        assert_echo(&driver, TPM_VERSION_2_0, i % 4, sizes[i]);
        assert_int_equal(machine->tpm->command_size, sizes[i]);
        assert_int_equal(machine->tpm->locality, i % 4);
    }
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
}

static void test_commands_of_tpm_1_2_go_through(void **state)
{
    TISMachine *machine = new_machine(TPM_VERSION_1_2, 0);
    SPIDriver driver = { .device = machine->device };

    (void)state;
    assert_echo(&driver, TPM_VERSION_1_2, 0, 10);
    assert_echo(&driver, TPM_VERSION_1_2, 0, 4096);
    tis_machine_free(machine);
}

/* The last byte finds the FIFO full; what was taken is answered as too short. */
static void test_a_command_of_4097_bytes_is_answered_with_an_error(void **state)
{
    TISMachine *machine = *state;
    SPIDriver driver = { .device = machine->device };
    uint8_t command[4097] = { 0x80, 0x01, 0, 0, 0x10, 0x01, 0, 0, 0x01, 0x7B };
    uint8_t response[TPM_TIS_BUFFER_SIZE];
    size_t size = spi_command(&driver, 0, command, sizeof(command), response, sizeof(response));

    assert_no_problem(&driver);
    assert_int_equal(size, 10);
    assert_memory_equal(response, "\x80\x01\0\0\0\x0A\0\0\x01\x42", 10);
    assert_int_equal(machine->tpm->submits, 0);
    assert_echo(&driver, TPM_VERSION_2_0, 0, 64);
}

static void test_commands_go_through_with_wait_states(void **state)
{
    static const unsigned waits[] = { 1, 7, 50 };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(waits); i++) {
        TISMachine *machine = new_machine(TPM_VERSION_2_0, waits[i]);
        SPIDriver driver = { .device = machine->device };

        assert_echo(&driver, TPM_VERSION_2_0, 0, 10);
        assert_echo(&driver, TPM_VERSION_2_0, 0, 4096);
        tis_machine_free(machine);
    }
}

/* ---- between two bytes of a frame ---- */

static void start_command(TISMachine *machine, SPIDriver *driver)
{
    uint8_t command[sizeof(command_2_0)];

    memcpy(command, command_2_0, sizeof(command));
    spi_write(driver, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    spi_write(driver, 0, REG_STS, 1, STS_READY);
    spi_frame(driver, false, REG_FIFO, command, sizeof(command));
    spi_write(driver, 0, REG_STS, 1, STS_GO);
    assert_int_equal(spi_read(driver, 0, REG_STS, 1),
                     machine->tpm->submit_when == FAKE_AT_ONCE ? 0x90 : 0x80);
}

static void begin_read(TISMachine *machine, uint32_t address, size_t size)
{
    uint8_t header[4];

    spi_header(header, true, address, size);
    tpmdev_device_spi_select(machine->device, true);
    tpmdev_device_spi_transfer(machine->device, header, NULL, sizeof(header));
}

static void test_a_completion_does_not_tear_a_register_being_read(void **state)
{
    TISMachine *machine = *state;
    SPIDriver driver = { .device = machine->device };
    uint8_t sts[4];

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    start_command(machine, &driver);
    begin_read(machine, REG_STS, 4);
    tpmdev_device_spi_transfer(machine->device, NULL, sts, 1);
    fake_backend_answer(machine->tpm);
    tpmdev_device_spi_transfer(machine->device, NULL, sts + 1, 3);
    tpmdev_device_spi_select(machine->device, false);
    assert_memory_equal(sts, "\x80\x40\x00\x04", 4);
    assert_int_equal(spi_read(&driver, 0, REG_STS, 4), 0x04000C90);
}

/* The FIFO gives what it has when its byte is due. */
static void test_a_completion_within_a_fifo_frame_shows_from_the_next_byte_on(void **state)
{
    TISMachine *machine = *state;
    SPIDriver driver = { .device = machine->device };
    uint8_t bytes[6];

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    start_command(machine, &driver);
    begin_read(machine, REG_FIFO, 6);
    tpmdev_device_spi_transfer(machine->device, NULL, bytes, 2);
    fake_backend_answer(machine->tpm);
    tpmdev_device_spi_transfer(machine->device, NULL, bytes + 2, 4);
    tpmdev_device_spi_select(machine->device, false);
    assert_memory_equal(bytes, "\xFF\xFF\x80\x01\x00\x00", 6);
}

static void test_a_reset_within_a_response_leaves_ones(void **state)
{
    TISMachine *machine = *state;
    SPIDriver driver = { .device = machine->device };
    uint8_t bytes[12];

    start_command(machine, &driver);
    begin_read(machine, REG_FIFO, 12);
    tpmdev_device_spi_transfer(machine->device, NULL, bytes, 6);
    tpmdev_device_reset(machine->device);
    tpmdev_device_spi_transfer(machine->device, NULL, bytes + 6, 6);
    tpmdev_device_spi_select(machine->device, false);
    assert_memory_equal(bytes, "\x80\x01\0\0\0\x0C\xFF\xFF\xFF\xFF\xFF\xFF", 12);
    assert_echo(&driver, TPM_VERSION_2_0, 0, 100);
}

static void test_a_reset_within_a_command_drops_it(void **state)
{
    TISMachine *machine = *state;
    SPIDriver driver = { .device = machine->device };
    uint8_t header[4];

    spi_write(&driver, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    spi_write(&driver, 0, REG_STS, 1, STS_READY);
    spi_header(header, false, REG_FIFO, sizeof(command_2_0));
    tpmdev_device_spi_select(machine->device, true);
    tpmdev_device_spi_transfer(machine->device, header, NULL, sizeof(header));
    tpmdev_device_spi_transfer(machine->device, command_2_0, NULL, 6);
    tpmdev_device_reset(machine->device);
    tpmdev_device_spi_transfer(machine->device, command_2_0 + 6, NULL, 6);
    tpmdev_device_spi_select(machine->device, false);
    spi_write(&driver, 0, REG_STS, 1, STS_GO);
    assert_int_equal(machine->tpm->submits, 0);
    assert_echo(&driver, TPM_VERSION_2_0, 0, 12);
}

/* ---- a thousand commands ---- */

static void run_driver(TISMachine *machine)
{
    SPIDriver driver = { .device = machine->device };

    for (unsigned i = 0; i < COMMANDS; i++) {
        assert_echo(&driver, TPM_VERSION_2_0, i % 4, 10 + i * 7 % 300);
    }
    assert_int_equal(machine->tpm->submits, COMMANDS);
    assert_int_equal(tis_statistics(machine).commands, COMMANDS);
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
    assert_int_equal(tis_statistics(machine).failures, 0);
}

static void test_a_thousand_commands_answered_at_once(void **state)
{
    run_driver(*state);
}

static void test_a_thousand_commands_answered_by_a_thread(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_BY_THREAD;
    run_driver(machine);
}

/* TPM2_Hash: the digest of four bytes tells which command it answers. */
static void assert_hash(SPIDriver *driver, unsigned number)
{
    const uint8_t command[] = { BE16(0x8001), BE32(22u),        BE32(0x17Du),
                                BE16(4),      BE32(number), /* data */
                                BE16(0x000B), BE32(0x40000007u) };
    const uint8_t data[] = { BE32(number) };
    uint8_t response[TPM_TIS_BUFFER_SIZE], digest[32];
    gsize digest_size = sizeof(digest);
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA256);
    size_t size = spi_command(driver, 0, command, sizeof(command), response, sizeof(response));

    g_checksum_update(checksum, data, sizeof(data));
    g_checksum_get_digest(checksum, digest, &digest_size);
    g_checksum_free(checksum);
    assert_no_problem(driver);
    assert_true(size >= 44);
    assert_memory_equal(response + 6, "\0\0\0\0\0\x20", 6);
    assert_memory_equal(response + 12, digest, sizeof(digest));
}

static void test_a_thousand_commands_on_libtpms(void **state)
{
    Fixture *fixture = *state;
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };
    TPMBackend *backend = try_new(fixture, TPM_VERSION_2_0);
    uint8_t response[TPM_TIS_BUFFER_SIZE];

    config.interface = TPM_INTERFACE_TIS_SPI;
    config.wait_states = 2;
    TPMDevice *device = tpmdev_device_new(&config, backend, NULL, NULL, NULL);
    SPIDriver driver = { .device = device };

    assert_non_null(device);
    assert_int_equal(
        spi_command(&driver, 0, startup_clear, sizeof(startup_clear), response, sizeof(response)),
        10);
    for (unsigned i = 0; i < COMMANDS; i++) {
        assert_hash(&driver, i);
    }
    tpmdev_device_get_statistics(device, &statistics);
    assert_int_equal(statistics.commands, COMMANDS + 1);
    assert_int_equal(statistics.guest_errors, 0);
    tpmdev_device_free(device);
    tpmdev_backend_unref(backend);
}

#define SPI_TEST(function) cmocka_unit_test_setup_teardown(function, setup, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPI_TEST(test_fifo_frames_of_every_size_carry_command_and_response),
        SPI_TEST(test_a_frame_beyond_the_response_reads_ones),
        SPI_TEST(test_a_frame_beyond_the_command_ends_with_it),
        SPI_TEST(test_commands_up_to_the_buffer_go_through),
        cmocka_unit_test(test_commands_of_tpm_1_2_go_through),
        SPI_TEST(test_a_command_of_4097_bytes_is_answered_with_an_error),
        cmocka_unit_test(test_commands_go_through_with_wait_states),
        SPI_TEST(test_a_completion_does_not_tear_a_register_being_read),
        SPI_TEST(test_a_completion_within_a_fifo_frame_shows_from_the_next_byte_on),
        SPI_TEST(test_a_reset_within_a_response_leaves_ones),
        SPI_TEST(test_a_reset_within_a_command_drops_it),
        SPI_TEST(test_a_thousand_commands_answered_at_once),
        SPI_TEST(test_a_thousand_commands_answered_by_a_thread),
        TEST(test_a_thousand_commands_on_libtpms),
    };

    return cmocka_run_group_tests_name("tis-spi-driver", tests, NULL, NULL);
}
