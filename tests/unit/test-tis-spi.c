/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TIS device on SPI (hw/tpm/tis-spi.c): headers, flow control, the chip select in every phase,
 * how a frame may be cut, and every register held against those of a memory-mapped device that
 * was treated the same. What drivers do with it is in test-tis-spi-driver.c.
 */
#include "spi-driver.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- machines ---- */

static TISMachine *new_machine(TPMVersion version, unsigned wait_states)
{
    TISMachine *machine = tis_machine_prepare(version, FAKE_FULL, TPM_TIS_BUFFER_SIZE);

    machine->config.interface = TPM_INTERFACE_TIS_SPI;
    machine->config.wait_states = wait_states;
    tis_machine_plug(machine);
    return machine;
}

static int setup(void **state)
{
    *state = new_machine(TPM_VERSION_2_0, 0);
    return 0;
}

static void select_device(TISMachine *machine, bool selected)
{
    tpmdev_device_spi_select(machine->device, selected);
}

/* One byte each way. */
static uint8_t exchange(TISMachine *machine, uint8_t out)
{
    uint8_t in = 0xA5;

    tpmdev_device_spi_transfer(machine->device, &out, &in, 1);
    return in;
}

/* The four bytes of a header, and what the device said meanwhile: the last byte of that. */
static uint8_t send_header(TISMachine *machine, bool is_read, uint32_t address, size_t size)
{
    uint8_t header[4];

    spi_header(header, is_read, address, size);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(exchange(machine, header[i]), 0);
    }
    return exchange(machine, header[3]);
}

static SPIDriver driver_of(TISMachine *machine)
{
    return (SPIDriver){ .device = machine->device };
}

static uint32_t reg(TISMachine *machine, unsigned locality, uint32_t offset, unsigned width)
{
    SPIDriver driver = driver_of(machine);
    uint32_t value = spi_read(&driver, locality, offset, width);

    assert_null(driver.problem);
    return value;
}

static void set_reg(TISMachine *machine, unsigned locality, uint32_t offset, unsigned width,
                    uint32_t value)
{
    SPIDriver driver = driver_of(machine);

    spi_write(&driver, locality, offset, width, value);
    assert_null(driver.problem);
}

/* Locality 0 has the device, and waits for a command. */
static void make_ready(TISMachine *machine)
{
    set_reg(machine, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    set_reg(machine, 0, REG_STS, 1, STS_READY);
    assert_int_equal(reg(machine, 0, REG_STS, 4), 0x04004040);
}

/* ---- one test a register ---- */

static void test_access_grants_a_locality(void **state)
{
    TISMachine *machine = *state;

    for (unsigned locality = 0; locality < 5; locality++) {
        assert_int_equal(reg(machine, locality, REG_ACCESS, 1), ACCESS_IDLE);
    }
    set_reg(machine, 2, REG_ACCESS, 1, ACCESS_REQUEST);
    assert_int_equal(reg(machine, 2, REG_ACCESS, 1), ACCESS_ACTIVE);
    assert_int_equal(reg(machine, 0, REG_ACCESS, 4), ACCESS_IDLE);
}

static void test_int_enable_and_int_vector(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(reg(machine, 0, REG_INT_ENABLE, 4), 0x00000008);
    assert_int_equal(reg(machine, 0, REG_INT_VECTOR, 1), 5);
    set_reg(machine, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    set_reg(machine, 0, REG_INT_ENABLE, 4, 0xFFFFFFFF);
    assert_int_equal(reg(machine, 0, REG_INT_ENABLE, 4), 0x8000009F);
    set_reg(machine, 0, REG_INT_ENABLE + 3, 1, 0);
    assert_int_equal(reg(machine, 0, REG_INT_ENABLE, 4), 0x0000009F);
}

static void test_int_status_drives_the_line(void **state)
{
    TISMachine *machine = *state;

    set_reg(machine, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    set_reg(machine, 0, REG_INT_ENABLE, 4, INT_ALL);
    set_reg(machine, 0, REG_STS, 1, STS_READY);
    assert_int_equal(reg(machine, 0, REG_INT_STATUS, 4), INT_COMMAND_READY);
    assert_true(fake_host_irq(&machine->host));
    set_reg(machine, 0, REG_INT_STATUS, 4, INT_COMMAND_READY);
    assert_false(fake_host_irq(&machine->host));
}

static void test_capability_and_interface_id_of_both_versions(void **state)
{
    TISMachine *old = new_machine(TPM_VERSION_1_2, 0);

    /* Transfers of 64 bytes: bits 10:9 are 3. */
    assert_int_equal(reg(*state, 0, REG_CAPABILITY, 4), 0x30000697);
    assert_int_equal(reg(*state, 0, REG_INTERFACE_ID, 4), 0x00002100);
    assert_int_equal(reg(old, 0, REG_CAPABILITY, 4), 0x20000697);
    assert_int_equal(reg(old, 0, REG_INTERFACE_ID, 4), 0xFFFFFFFF);
    tis_machine_free(old);
}

static void test_sts_shows_a_burst_of_one_frame_at_most(void **state)
{
    TISMachine *machine = *state;
    uint8_t bytes[SPI_FRAME_MAX] = { 0x80, 0x01, 0, 0, 0x10, 0x00 };
    SPIDriver driver = driver_of(machine);

    assert_int_equal(reg(machine, 0, REG_STS, 4), 0xFFFFFFFF);
    make_ready(machine);
    for (unsigned i = 0; i < 63; i++) {
        assert_true(spi_frame(&driver, false, REG_FIFO, bytes, SPI_FRAME_MAX));
        memset(bytes, 0, sizeof(bytes));
        assert_int_equal(reg(machine, 0, REG_STS, 4), 0x04004088);
    }
    /* 64 bytes are left, then 63. */
    assert_true(spi_frame(&driver, false, REG_FIFO, bytes, 1));
    assert_int_equal(reg(machine, 0, REG_STS, 4), 0x04003F88);
    assert_int_equal(reg(machine, 0, REG_STS + 1, 1), 0x3F);
    assert_int_equal(reg(machine, 0, REG_STS + 1, 2), 0x003F);
}

static void test_did_vid_and_rid(void **state)
{
    assert_int_equal(reg(*state, 0, REG_DID_VID, 4), 0x00011014);
    assert_int_equal(reg(*state, 3, REG_DID_VID + 2, 2), 0x0001);
    assert_int_equal(reg(*state, 4, REG_RID, 1), 0x01);
}

static void test_four_bytes_of_sts_are_one_event(void **state)
{
    TISMachine *machine = *state;

    make_ready(machine);
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    SPIDriver driver = driver_of(machine);
    uint8_t command[12];

    memcpy(command, command_2_0, sizeof(command));
    assert_true(spi_frame(&driver, false, REG_FIFO, command, sizeof(command)));
    /* The cancel comes first and finds nothing to cancel; byte by byte it would come last. */
    set_reg(machine, 0, REG_STS, 4, STS_GO | STS_CANCEL);
    assert_int_equal(machine->tpm->submits, 1);
    assert_int_equal(tis_statistics(machine).cancels, 0);
}

/* In one frame: a seizure, which ends a command that waits, and a register of the winner. */
static void test_what_a_register_leads_to_is_done_before_the_next_one(void **state)
{
    TISMachine *machine = *state;
    SPIDriver driver = { .device = machine->device };
    uint8_t command[12], bytes[12] = { ACCESS_SEIZE, 0, 0, 0, 0, 0, 0, 0, 0x87, 0, 0, 0x80 };

    machine->tpm->start_when = FAKE_WHEN_TOLD;
    tpmdev_device_reset(machine->device);
    make_ready(machine);
    memcpy(command, command_2_0, sizeof(command));
    assert_true(spi_frame(&driver, false, REG_FIFO, command, sizeof(command)));
    set_reg(machine, 0, REG_STS, 1, STS_GO);
    assert_true(spi_frame(&driver, false, 0x1000, bytes, sizeof(bytes)));
    assert_int_equal(reg(machine, 1, REG_ACCESS, 1), ACCESS_ACTIVE);
    assert_int_equal(reg(machine, 1, REG_INT_ENABLE, 4), INT_ALL);
    fake_backend_answer(machine->tpm);
}

/* ---- headers ---- */

static void test_reserved_bit_of_the_header_is_ignored(void **state)
{
    TISMachine *machine = *state;
    const uint8_t header[] = { 0x80 | 0x40 | 3, 0xD4, 0x0F, 0x00 };
    uint8_t in[8];

    select_device(machine, true);
    tpmdev_device_spi_transfer(machine->device, header, in, 4);
    tpmdev_device_spi_transfer(machine->device, NULL, in + 4, 4);
    assert_memory_equal(in, ((uint8_t[]){ 0, 0, 0, 1, 0x14, 0x10, 0x01, 0x00 }), 8);
    select_device(machine, false);
    assert_int_equal(fake_host_guest_errors(&machine->host), 0);
}

static void test_addresses_of_no_register_read_as_ones_and_are_guest_errors(void **state)
{
    TISMachine *machine = *state;
    static const uint8_t addresses[][3] = {
        { 0x00, 0x0F, 0x00 }, { 0xD3, 0x0F, 0x00 }, { 0xD5, 0x00, 0x00 }, { 0xFE, 0xD4, 0x00 },
        { 0xD4, 0x50, 0x00 }, { 0xD4, 0x5F, 0x00 }, { 0xD4, 0xFF, 0xFF },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(addresses); i++) {
        uint8_t frame[8] = { 0x83, addresses[i][0], addresses[i][1], addresses[i][2] };

        select_device(machine, true);
        tpmdev_device_spi_transfer(machine->device, frame, frame, sizeof(frame));
        select_device(machine, false);
        assert_memory_equal(frame, ((uint8_t[]){ 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF }), 8);
        frame[0] = 0x00;
        memcpy(frame + 1, addresses[i], 3);
        memset(frame + 4, ACCESS_REQUEST, 4);
        select_device(machine, true);
        tpmdev_device_spi_transfer(machine->device, frame, NULL, 5);
        select_device(machine, false);
        assert_int_equal(tis_statistics(machine).guest_errors, 2 * (i + 1));
    }
    assert_int_equal(tis_statistics(machine).reads, 0);
    assert_int_equal(tis_statistics(machine).writes, 0);
    assert_string_equal(machine->host.guest_error,
                        "SPI frame for an address that is no register's");
    assert_int_equal(reg(machine, 0, REG_ACCESS, 1), ACCESS_IDLE);
}

static void test_a_frame_is_one_read_or_one_write(void **state)
{
    TISMachine *machine = *state;
    uint8_t bytes[SPI_FRAME_MAX] = { 0 };
    SPIDriver driver = driver_of(machine);

    assert_true(spi_frame(&driver, true, 0, bytes, sizeof(bytes)));
    assert_int_equal(tis_statistics(machine).reads, 1);
    assert_true(spi_frame(&driver, false, 0, bytes, 3));
    assert_int_equal(tis_statistics(machine).reads, 1);
    assert_int_equal(tis_statistics(machine).writes, 1);
}

static void test_a_frame_stays_in_its_locality(void **state)
{
    TISMachine *machine = *state;
    uint8_t bytes[8];
    SPIDriver driver = driver_of(machine);

    assert_true(spi_frame(&driver, true, 0x0FFC, bytes, 8));
    assert_memory_equal(bytes, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
    assert_int_equal(fake_host_guest_errors(&machine->host), 1);
    assert_string_equal(machine->host.guest_error, "SPI frame beyond the end of its locality");
    memset(bytes, ACCESS_REQUEST, sizeof(bytes));
    assert_true(spi_frame(&driver, false, 0x0FFF, bytes, 8));
    assert_int_equal(reg(machine, 1, REG_ACCESS, 1), ACCESS_IDLE);
    /* Up to the end is no error; it is for the last locality as for the others. */
    assert_true(spi_frame(&driver, true, 0x4FFC, bytes, 4));
    assert_int_equal(fake_host_guest_errors(&machine->host), 2);
    assert_true(spi_frame(&driver, true, 0x4FFC, bytes, 5));
    assert_int_equal(fake_host_guest_errors(&machine->host), 3);
}

/* ---- the chip select, in each phase ---- */

static void test_a_device_that_is_not_selected_hears_and_says_nothing(void **state)
{
    TISMachine *machine = *state;
    uint8_t frame[8] = { 0x83, 0xD4, 0x0F, 0x00 };

    tpmdev_device_spi_transfer(machine->device, frame, frame, sizeof(frame));
    assert_memory_equal(frame, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
    select_device(machine, true);
    select_device(machine, false);
    assert_int_equal(exchange(machine, 0x80), 0xFF);
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
}

static void test_selecting_twice_changes_nothing(void **state)
{
    TISMachine *machine = *state;

    select_device(machine, true);
    assert_int_equal(send_header(machine, true, REG_DID_VID, 4), 1);
    assert_int_equal(exchange(machine, 0), 0x14);
    select_device(machine, true);
    assert_int_equal(exchange(machine, 0), 0x10);
    select_device(machine, false);
    select_device(machine, false);
    assert_int_equal(tis_statistics(machine).guest_errors, 1);
}

static void test_a_frame_that_ends_within_its_header_does_nothing(void **state)
{
    TISMachine *machine = *state;
    uint8_t header[4];

    spi_header(header, false, REG_ACCESS, 1);
    for (unsigned n = 1; n < 4; n++) {
        select_device(machine, true);
        tpmdev_device_spi_transfer(machine->device, header, NULL, n);
        select_device(machine, false);
        assert_int_equal(tis_statistics(machine).guest_errors, n);
        assert_string_equal(machine->host.guest_error, "SPI frame that ends within its header");
    }
    /* The next one begins afresh. */
    assert_int_equal(reg(machine, 0, REG_DID_VID, 4), 0x00011014);
    assert_int_equal(tis_statistics(machine).writes, 0);
}

static void test_a_register_of_which_not_all_bytes_came_is_not_written(void **state)
{
    TISMachine *machine = *state;
    uint8_t bytes[4] = { 0xFF, 0xFF, 0xFF, 0xFF };

    set_reg(machine, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    for (unsigned n = 0; n < 4; n++) {
        select_device(machine, true);
        send_header(machine, false, REG_INT_ENABLE, 4);
        tpmdev_device_spi_transfer(machine->device, bytes, NULL, n);
        select_device(machine, false);
        assert_int_equal(tis_statistics(machine).guest_errors, n + 1);
        assert_int_equal(reg(machine, 0, REG_INT_ENABLE, 4), 0x00000008);
    }
    assert_string_equal(machine->host.guest_error, "SPI frame that ends before its announced size");
}

static void test_whole_registers_of_a_frame_that_ends_early_stay_written(void **state)
{
    TISMachine *machine = *state;
    const uint8_t bytes[7] = { 0x80, 0, 0, 0, 0xFF, 0xFF, 0xFF };

    set_reg(machine, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    select_device(machine, true);
    send_header(machine, false, REG_INT_ENABLE, 16);
    tpmdev_device_spi_transfer(machine->device, bytes, NULL, sizeof(bytes));
    select_device(machine, false);
    assert_int_equal(reg(machine, 0, REG_INT_ENABLE, 4), 0x00000080);
}

static void test_fifo_bytes_of_a_frame_that_ends_early_stay_written(void **state)
{
    TISMachine *machine = *state;

    make_ready(machine);
    for (unsigned i = 0; i < sizeof(command_2_0); i++) {
        select_device(machine, true);
        send_header(machine, false, REG_FIFO, 64);
        exchange(machine, command_2_0[i]);
        select_device(machine, false);
    }
    set_reg(machine, 0, REG_STS, 1, STS_GO);
    assert_true(fake_backend_has_command(machine->tpm, command_2_0, sizeof(command_2_0)));
}

static void test_bytes_beyond_the_announced_size_mean_nothing(void **state)
{
    TISMachine *machine = *state;

    select_device(machine, true);
    send_header(machine, false, REG_ACCESS, 1);
    exchange(machine, 0);
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(exchange(machine, ACCESS_REQUEST), 0xFF);
        assert_int_equal(tis_statistics(machine).guest_errors, 1);
    }
    select_device(machine, false);
    assert_string_equal(machine->host.guest_error, "SPI frame beyond its announced size");
    assert_int_equal(reg(machine, 0, REG_ACCESS, 1), ACCESS_IDLE);
}

static void test_a_reset_ends_the_frame_but_not_the_select(void **state)
{
    TISMachine *machine = *state;

    for (unsigned n = 0; n <= 6; n++) {
        uint8_t frame[8] = { 0x03, 0xD4, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00 };

        select_device(machine, true);
        tpmdev_device_spi_transfer(machine->device, frame, NULL, n);
        tpmdev_device_reset(machine->device);
        for (unsigned i = 0; i < 8; i++) {
            assert_int_equal(exchange(machine, frame[i]), 0xFF);
        }
        select_device(machine, false);
        assert_int_equal(reg(machine, 0, REG_ACCESS, 1), ACCESS_IDLE);
    }
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
    /* One that was not selected is not selected by a reset. */
    tpmdev_device_reset(machine->device);
    select_device(machine, true);
    assert_int_equal(send_header(machine, true, REG_RID, 1), 1);
    assert_int_equal(exchange(machine, 0), 0x01);
    select_device(machine, false);
}

/* ---- flow control ---- */

static void assert_waits(TISMachine *machine, bool is_read, uint32_t address, unsigned waits)
{
    SPIDriver driver = driver_of(machine);
    uint8_t bytes[4] = { 0 };

    assert_true(spi_frame(&driver, is_read, address, bytes, 4));
    assert_int_equal(driver.waits, waits);
    if (address == REG_DID_VID && is_read) {
        assert_memory_equal(bytes, "\x14\x10\x01\x00", 4);
    }
}

static void test_wait_states_come_before_the_data(void **state)
{
    static const unsigned counts[] = { 0, 1, 2, 49, 50 };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        TISMachine *machine = new_machine(TPM_VERSION_2_0, counts[i]);

        for (unsigned is_read = 0; is_read < 2; is_read++) {
            assert_waits(machine, is_read, REG_FIFO, counts[i]);
            assert_waits(machine, is_read, REG_XDATA + 0x3C, counts[i]);
            /* The profile allows other registers one. */
            assert_waits(machine, is_read, REG_DID_VID, MIN(counts[i], 1));
            assert_waits(machine, is_read, REG_INT_STATUS, MIN(counts[i], 1));
            /* and nobody has anybody wait */
            assert_waits(machine, is_read, 0x5000, 0);
        }
        tis_machine_free(machine);
    }
}

static void test_what_is_sent_during_wait_states_is_ignored(void **state)
{
    TISMachine *machine = new_machine(TPM_VERSION_2_0, 3);

    (void)state;
    make_ready(machine);
    for (unsigned i = 0; i < sizeof(command_2_0); i++) {
        select_device(machine, true);
        assert_int_equal(send_header(machine, false, REG_FIFO, 1), 0);
        assert_int_equal(exchange(machine, 0x11), 0);
        assert_int_equal(exchange(machine, 0x22), 0);
        assert_int_equal(exchange(machine, 0x33), 1);
        exchange(machine, command_2_0[i]);
        select_device(machine, false);
    }
    set_reg(machine, 0, REG_STS, 1, STS_GO);
    assert_true(fake_backend_has_command(machine->tpm, command_2_0, sizeof(command_2_0)));
    tis_machine_free(machine);
}

static void test_a_frame_that_ends_while_it_waits_does_nothing(void **state)
{
    TISMachine *machine = new_machine(TPM_VERSION_2_0, 3);

    (void)state;
    make_ready(machine);
    for (unsigned n = 0; n < 3; n++) {
        select_device(machine, true);
        send_header(machine, false, REG_FIFO, 1);
        tpmdev_device_spi_transfer(machine->device, NULL, NULL, n);
        select_device(machine, false);
        assert_int_equal(tis_statistics(machine).guest_errors, 2 * n + 1);
        assert_waits(machine, true, 0x5000, 0);
        assert_int_equal(reg(machine, 0, REG_STS, 1), 0x40);
    }
    tis_machine_free(machine);
}

/* ---- what a bus may hand over ---- */

static void test_transfers_of_nothing_and_without_buffers(void **state)
{
    TISMachine *machine = *state;
    uint8_t header[4], in[4] = { 0 };

    select_device(machine, true);
    tpmdev_device_spi_transfer(machine->device, NULL, NULL, 0);
    spi_header(header, true, REG_DID_VID, 4);
    tpmdev_device_spi_transfer(machine->device, header, NULL, 4);
    tpmdev_device_spi_transfer(machine->device, NULL, NULL, 1);
    tpmdev_device_spi_transfer(machine->device, NULL, in, 3);
    assert_memory_equal(in, "\x10\x01\x00\x00", 4);
    select_device(machine, false);
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
}

static void test_devices_of_memory_are_on_no_spi_bus_and_this_one_on_no_other(void **state)
{
    TISMachine *machine = *state, *other = tis_machine_new(TPM_VERSION_2_0);
    uint8_t frame[8] = { 0x83, 0xD4, 0x0F, 0x00 };
    uint64_t value = 0;

    tis_request(other, 0);
    tis_sts_set(other, 0, STS_READY);
    tpmdev_device_spi_select(other->device, true);
    tpmdev_device_spi_transfer(other->device, frame, frame, sizeof(frame));
    tpmdev_device_spi_select(other->device, false);
    assert_memory_equal(frame, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
    assert_int_equal(tis_access(other, 0), ACCESS_ACTIVE);
    assert_int_equal(tis_sts(other, 0), 0x04100040);
    assert_int_equal(tpmdev_device_get_size(machine->device), 0);
    assert_int_equal(tpmdev_device_read(machine->device, 0, 4, &value), TPM_ACCESS_BAD_OFFSET);
    assert_int_equal(value, UINT64_MAX);
    assert_int_equal(tpmdev_device_write(machine->device, 0, 1, 2), TPM_ACCESS_BAD_OFFSET);
    assert_string_equal(tpmdev_device_get_model(machine->device), "tpm-tis-spi");
    assert_int_equal(tpmdev_device_get_interface(machine->device), TPM_INTERFACE_TIS_SPI);
    tis_machine_free(other);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_access_grants_a_locality),
        TEST(test_int_enable_and_int_vector),
        TEST(test_int_status_drives_the_line),
        TEST(test_capability_and_interface_id_of_both_versions),
        TEST(test_sts_shows_a_burst_of_one_frame_at_most),
        TEST(test_did_vid_and_rid),
        TEST(test_four_bytes_of_sts_are_one_event),
        TEST(test_what_a_register_leads_to_is_done_before_the_next_one),
        TEST(test_reserved_bit_of_the_header_is_ignored),
        TEST(test_addresses_of_no_register_read_as_ones_and_are_guest_errors),
        TEST(test_a_frame_is_one_read_or_one_write),
        TEST(test_a_frame_stays_in_its_locality),
        TEST(test_a_device_that_is_not_selected_hears_and_says_nothing),
        TEST(test_selecting_twice_changes_nothing),
        TEST(test_a_frame_that_ends_within_its_header_does_nothing),
        TEST(test_a_register_of_which_not_all_bytes_came_is_not_written),
        TEST(test_whole_registers_of_a_frame_that_ends_early_stay_written),
        TEST(test_fifo_bytes_of_a_frame_that_ends_early_stay_written),
        TEST(test_bytes_beyond_the_announced_size_mean_nothing),
        TEST(test_a_reset_ends_the_frame_but_not_the_select),
        cmocka_unit_test(test_wait_states_come_before_the_data),
        cmocka_unit_test(test_what_is_sent_during_wait_states_is_ignored),
        cmocka_unit_test(test_a_frame_that_ends_while_it_waits_does_nothing),
        TEST(test_transfers_of_nothing_and_without_buffers),
        TEST(test_devices_of_memory_are_on_no_spi_bus_and_this_one_on_no_other),
    };

    return cmocka_run_group_tests_name("tis-spi", tests, NULL, NULL);
}
