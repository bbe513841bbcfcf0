/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each register of the I2C device (hw/tpm/tis-i2c.c): its value, what may be written, which of
 * its bytes are acknowledged; then all 256 numbers, byte by byte, in both directions, against a
 * table. The values are QEMU's. How transfers and commands go is in the test programs of these
 * names.
 */
#include "i2c-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Its value, whatever is written there, without and with the locality. */
static void assert_read_only(TISMachine *machine, uint8_t number, uint32_t value)
{
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(i2c_read_word(machine, number), value);
        i2c_write_word(machine, number, ~value);
        i2c_write_word(machine, number, 0xFFFFFFFF);
        i2c_write_word(machine, number, 0);
        i2c_write_byte(machine, number, 0xFF);
        assert_int_equal(i2c_read_word(machine, number), value);
        i2c_request(machine);
    }
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
}

/* ---- TPM_LOC_SEL ---- */

static void test_loc_sel_is_0_and_takes_0_to_4(void **state)
{
    static const uint8_t order[] = { 1, 2, 3, 4, 0, 4 };
    TISMachine *machine = *state;

    assert_int_equal(i2c_read_word(machine, NUM_LOC_SEL), 0);
    for (unsigned i = 0; i < sizeof(order); i++) {
        i2c_write_byte(machine, NUM_LOC_SEL, order[i]);
        assert_int_equal(i2c_read_word(machine, NUM_LOC_SEL), order[i]);
    }
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
}

static void test_loc_sel_ignores_numbers_above_4(void **state)
{
    TISMachine *machine = *state;

    i2c_write_byte(machine, NUM_LOC_SEL, 3);
    for (unsigned i = 5; i < 256; i++) {
        i2c_write_byte(machine, NUM_LOC_SEL, (uint8_t)i);
        assert_int_equal(i2c_read_word(machine, NUM_LOC_SEL), 3);
    }
    assert_int_equal(tis_statistics(machine).guest_errors, 251);
}

static void test_loc_sel_is_one_byte_wide(void **state)
{
    i2c_write_word(*state, NUM_LOC_SEL, 0xFFFFFF02);
    assert_int_equal(i2c_read_word(*state, NUM_LOC_SEL), 2);
}

/* ---- TPM_ACCESS ---- */

static void test_access_is_81_when_fresh_in_every_locality(void **state)
{
    for (uint8_t locality = 0; locality < 5; locality++) {
        i2c_select(*state, locality);
        assert_int_equal(i2c_read_word(*state, NUM_ACCESS), 0x81);
    }
}

static void test_access_requests_and_relinquishes(void **state)
{
    TISMachine *machine = *state;

    i2c_write_byte(machine, NUM_ACCESS, ACCESS_REQUEST);
    assert_int_equal(i2c_read_word(machine, NUM_ACCESS), 0xA1);
    i2c_write_byte(machine, NUM_ACCESS, ACCESS_RELINQUISH);
    assert_int_equal(i2c_read_word(machine, NUM_ACCESS), 0x81);
    /* the bytes behind the first are none of it */
    i2c_write_word(machine, NUM_ACCESS, 0xFFFFFF00);
    assert_int_equal(i2c_read_word(machine, NUM_ACCESS), 0x81);
    i2c_write_word(machine, NUM_ACCESS, 0xFFFFFF00 | ACCESS_REQUEST);
    assert_int_equal(i2c_read_word(machine, NUM_ACCESS), 0xA1);
}

static void test_access_bit_0_is_clear_once_established(void **state)
{
    TISMachine *machine = *state;

    tpmdev_backend_set_established(machine->tpm->backend, true);
    assert_int_equal(i2c_read_word(machine, NUM_ACCESS), 0x80);
    tpmdev_backend_set_established(machine->tpm->backend, false);
    assert_int_equal(i2c_read_word(machine, NUM_ACCESS), 0x81);
}

/* ---- TPM_INT_ENABLE, TPM_INT_CAPABILITY ---- */

static void test_int_enable_is_08_and_takes_no_bit(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(i2c_read_word(machine, NUM_INT_ENABLE), 0x08);
    i2c_request(machine);
    assert_int_equal(i2c_read_word(machine, NUM_INT_ENABLE), 0x08);
    for (unsigned bit = 0; bit < 32; bit++) {
        i2c_write_word(machine, NUM_INT_ENABLE, 1u << bit);
        assert_int_equal(i2c_read_word(machine, NUM_INT_ENABLE), 0);
    }
    i2c_write_word(machine, NUM_INT_ENABLE, 0xFFFFFFFF);
    assert_int_equal(i2c_read_word(machine, NUM_INT_ENABLE), 0);
    tpmdev_device_reset(machine->device);
    assert_int_equal(i2c_read_word(machine, NUM_INT_ENABLE), 0x08);
}

/* Each locality has its own, and need not have the device to write it; but for locality 4. */
static void test_int_enable_is_written_by_localities_that_are_not_active(void **state)
{
    TISMachine *machine = *state;

    for (uint8_t locality = 0; locality < 5; locality++) {
        i2c_select(machine, locality);
        assert_int_equal(i2c_read_word(machine, NUM_INT_ENABLE), 0x08);
        i2c_write_word(machine, NUM_INT_ENABLE, 0xFFFFFFFF);
        assert_int_equal(i2c_read_word(machine, NUM_INT_ENABLE), locality == 4 ? 0x08 : 0);
    }
}

static void test_int_capability_is_0(void **state)
{
    assert_read_only(*state, NUM_INT_CAPABILITY, 0);
}

/* ---- TPM_STS ---- */

static void test_sts_shows_no_family_and_nothing_that_is_written_only(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(i2c_read_word(machine, NUM_STS), I2C_STS_INACTIVE);
    i2c_request(machine);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00100000);
    i2c_write_byte(machine, NUM_STS, STS_READY);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00100040);
    i2c_write(machine, NUM_FIFO, command_2_0, 4);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x000FFC88);
}

static void test_sts_can_be_read_from_each_of_its_bytes(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(i2c_read_word(machine, NUM_STS + 1), 0x00FFFF);
    assert_int_equal(i2c_read_word(machine, NUM_STS + 3), 0);
    i2c_request(machine);
    i2c_send_command(machine, command_2_0, 4);
    assert_int_equal(i2c_read_word(machine, NUM_STS + 1), 0x000FFC);
    assert_int_equal(i2c_read_word(machine, NUM_STS + 2), 0x000F);
    assert_int_equal(i2c_read_word(machine, NUM_STS + 3), 0);
}

/* 4096 has a low byte of 0: here a guest reads both. */
static void test_sts_burst_count_is_whole_in_every_read(void **state)
{
    i2c_request(*state);
    assert_int_equal(i2c_read_byte(*state, NUM_STS + 1), 0x00);
    assert_int_equal(i2c_read_byte(*state, NUM_STS + 2), 0x10);
}

static void test_sts_takes_nothing_but_its_five_commands(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    /* with each other bit, and with all of them, commandReady is still one command alone */
    for (unsigned bit = 0; bit < 32; bit++) {
        if (!(0x03000062u >> bit & 1)) {
            i2c_write_word(machine, NUM_STS, 1u << bit);
            assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00100000);
        }
    }
    i2c_write_word(machine, NUM_STS, ~0x03000062u);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00100000);
    i2c_write_word(machine, NUM_STS, ~0x03000062u | STS_READY);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00100040);
    assert_int_equal(machine->tpm->established_resets, 0);
}

static void test_sts_cancel_and_reset_establishment_reach_the_tpm_from_the_fourth_byte(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    i2c_select(machine, 3);
    i2c_request(machine);
    i2c_write_byte(machine, NUM_STS + 3, 0x02);
    assert_int_equal(machine->tpm->established_resets, 1);
    assert_int_equal(machine->tpm->established_locality, 3);
    i2c_write_word(machine, NUM_STS, STS_RESET_ESTABLISHED);
    assert_int_equal(machine->tpm->established_resets, 2);
    i2c_start_command(machine, command_long_2_0, sizeof(command_long_2_0));
    i2c_write_byte(machine, NUM_STS + 3, 0x01);
    assert_int_equal(machine->tpm->cancels, 1);
    i2c_write_word(machine, NUM_STS, STS_CANCEL);
    assert_int_equal(machine->tpm->cancels, 2);
    fake_backend_answer(machine->tpm);
}

/* From a byte behind the first, one byte is written, whatever follows it. */
static void test_sts_takes_one_byte_behind_its_first(void **state)
{
    TISMachine *machine = *state;

    i2c_select(machine, 3);
    i2c_request(machine);
    for (uint8_t byte = 1; byte < 3; byte++) {
        i2c_write_word(machine, (uint8_t)(NUM_STS + byte), 0xFFFFFFFF);
    }
    i2c_write_word(machine, NUM_STS + 3, 0xFFFFFF00);
    i2c_write_byte(machine, NUM_STS + 3, 0xFC);
    assert_int_equal(machine->tpm->established_resets, 0);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00100000);
    i2c_write_word(machine, NUM_STS + 3, 0x00000002);
    assert_int_equal(machine->tpm->established_resets, 1);
}

/* ---- TPM_DATA_FIFO ---- */

static void test_fifo_takes_any_number_of_bytes_in_one_transfer(void **state)
{
    TISMachine *machine = *state;

    i2c_request(machine);
    i2c_send_command(machine, command_2_0, sizeof(command_2_0));
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x000FF480);
    i2c_write_byte(machine, NUM_STS, STS_GO);
    assert_true(fake_backend_has_command(machine->tpm, command_2_0, sizeof(command_2_0)));
}

static void test_fifo_of_a_locality_that_is_not_active_takes_and_gives_nothing(void **state)
{
    TISMachine *machine = *state;

    i2c_write(machine, NUM_FIFO, command_2_0, sizeof(command_2_0));
    assert_int_equal(i2c_read_word(machine, NUM_FIFO), 0xFFFFFFFF);
    i2c_request(machine);
    assert_int_equal(i2c_read_word(machine, NUM_STS), 0x00100000);
}

/* ---- the others ---- */

static void test_capability_is_02600082(void **state)
{
    assert_read_only(*state, NUM_CAPABILITY, 0x02600082);
}

static void test_csum_enable_is_one_bit(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(i2c_read_word(machine, NUM_CSUM_ENABLE), 0);
    i2c_write_word(machine, NUM_CSUM_ENABLE, 0xFFFFFFFE);
    assert_int_equal(i2c_read_word(machine, NUM_CSUM_ENABLE), 0);
    i2c_write_byte(machine, NUM_CSUM_ENABLE, 1);
    assert_int_equal(i2c_read_word(machine, NUM_CSUM_ENABLE), 1);
    i2c_select(machine, 2); /* one for all localities */
    assert_int_equal(i2c_read_word(machine, NUM_CSUM_ENABLE), 1);
    i2c_write_byte(machine, NUM_CSUM_ENABLE, 0x10);
    assert_int_equal(i2c_read_word(machine, NUM_CSUM_ENABLE), 0);
}

static void test_csum_of_nothing_is_0(void **state)
{
    assert_read_only(*state, NUM_CSUM, 0);
}

static void test_did_vid_is_00011014(void **state)
{
    assert_read_only(*state, NUM_DID_VID, 0x00011014);
}

static void test_rid_is_01(void **state)
{
    assert_read_only(*state, NUM_RID, 0x00000001);
}

/* ---- all numbers, all byte positions, both directions ---- */

/* The registers there are; their value when fresh, with the device, and after ones are written. */
static const struct {
    uint8_t number;
    uint32_t fresh;
    uint32_t active;
    uint32_t after_ones;
} rows[] = {
    { NUM_LOC_SEL, 0, 0, 0 },
    { NUM_ACCESS, 0x81, 0xA1, 0xA1 }, /* ones are a seizure, of a device nobody has */
    { NUM_INT_ENABLE, 0x08, 0x08, 0 },
    { NUM_INT_CAPABILITY, 0, 0, 0 },
    { NUM_STS, I2C_STS_INACTIVE, 0x00100000, I2C_STS_INACTIVE },
    { NUM_STS + 1, 0xFFFF, 0x1000, 0xFFFF },
    { NUM_STS + 2, 0xFF, 0x10, 0xFF },
    { NUM_STS + 3, 0, 0, 0 },
    { NUM_FIFO, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF },
    { NUM_CAPABILITY, 0x02600082, 0x02600082, 0x02600082 },
    { NUM_CSUM_ENABLE, 0, 0, 1 },
    { NUM_CSUM, 0, 0, 0 },
    { NUM_DID_VID, 0x00011014, 0x00011014, 0x00011014 },
    { NUM_RID, 0x01, 0x01, 0x01 },
};

static int row_of(unsigned number)
{
    for (int i = 0; i < (int)G_N_ELEMENTS(rows); i++) {
        if (rows[i].number == number) {
            return i;
        }
    }
    return -1;
}

static uint32_t value_of(unsigned number, bool active, unsigned written)
{
    int row = row_of(number);

    if (row < 0) {
        return 0;
    }
    if (number == written) {
        return rows[row].after_ones;
    }
    return active ? rows[row].active : rows[row].fresh;
}

#define NONE 256u

/*
 * Eight bytes of every number: four of the register, then none; the FIFO has no end. To one of
 * them, or to NONE, ones have been written.
 */
static void assert_image(TISMachine *machine, bool active, unsigned written)
{
    for (unsigned number = 0; number < 256; number++) {
        int row = row_of(number);
        uint32_t value = value_of(number, active, written);

        i2c_start_send(machine);
        assert_int_equal(i2c_send_byte(machine, (uint8_t)number), row >= 0);
        i2c_start_receive(machine);
        for (unsigned i = 0; i < 8; i++) {
            unsigned wanted = number == NUM_FIFO ? 0xFF : i < 4 ? value >> 8 * i & 0xFF : 0;
            unsigned got = i2c_receive(machine);

            if (got != wanted) {
                fail_msg("byte %u of register %02x is %02x, not %02x", i, number, got, wanted);
            }
        }
        i2c_stop(machine);
    }
}

static void test_every_byte_of_every_number_reads_as_the_table_has_it(void **state)
{
    assert_image(*state, false, NONE);
    i2c_request(*state);
    assert_image(*state, true, NONE);
}

/* So many bytes of one value to every number; returns those that were acknowledged. */
static size_t write_bytes(TISMachine *machine, unsigned number, uint8_t value, size_t size)
{
    uint8_t bytes[8];
    size_t acknowledged = 0;

    memset(bytes, value, sizeof(bytes));
    i2c_start_send(machine);
    if (i2c_send_byte(machine, (uint8_t)number)) {
        acknowledged = i2c_send(machine, bytes, size);
    } else {
        assert_false(i2c_send_byte(machine, value));
    }
    i2c_stop(machine);
    return acknowledged;
}

static void test_every_number_acknowledges_four_bytes_and_the_fifo_any_number(void **state)
{
    TISMachine *machine = *state;

    for (unsigned number = 0; number < 256; number++) {
        for (size_t size = 0; size <= 8; size++) {
            size_t wanted = row_of(number) < 0 ? 0 : number == NUM_FIFO ? size : MIN(size, 4);

            assert_int_equal(write_bytes(machine, number, 0, size), wanted);
        }
    }
    assert_image(machine, false, NUM_INT_ENABLE); /* which zeros have changed as well */
}

/* Ones, from one byte to five, to each number of a fresh device: what does it change, and where? */
static void test_ones_written_to_a_number_change_what_the_table_says(void **state)
{
    TISMachine *machine = *state;

    for (unsigned number = 0; number < 256; number++) {
        for (size_t size = 0; size <= 5; size++) {
            tpmdev_device_reset(machine->device);
            write_bytes(machine, number, 0xFF, size);
            assert_image(machine, number == NUM_ACCESS && size, size ? number : NONE);
        }
    }
}

/* ---- the device ---- */

static void test_device_is_in_no_address_space(void **state)
{
    TISMachine *machine = *state;
    uint64_t value = 0;

    assert_string_equal(tpmdev_device_get_model(machine->device), "tpm-tis-i2c");
    assert_int_equal(tpmdev_device_get_interface(machine->device), TPM_INTERFACE_TIS_I2C);
    assert_int_equal(tpmdev_device_get_size(machine->device), 0);
    assert_int_equal(tpmdev_device_read(machine->device, 0, 1, &value), TPM_ACCESS_BAD_OFFSET);
    assert_int_equal(tpmdev_device_write(machine->device, 0, 1, 2), TPM_ACCESS_BAD_OFFSET);
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x81);
}

static void test_every_byte_is_counted(void **state)
{
    i2c_read_word(*state, NUM_RID);
    i2c_write_byte(*state, NUM_LOC_SEL, 1);
    assert_int_equal(tis_statistics(*state).writes, 3);
    assert_int_equal(tis_statistics(*state).reads, 4);
}

static void test_tpm_1_2_is_refused(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_1_2, FAKE_FULL, TPM_TIS_BUFFER_SIZE);
    GError *error = NULL;

    (void)state;
    machine->config.interface = TPM_INTERFACE_TIS_I2C;
    assert_null(tpmdev_device_new(&machine->config, machine->tpm->backend, &machine->host.host,
                                  &machine->host, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    assert_string_equal(error->message,
                        "tpm-tis-i2c is for TPM 2.0 and its TPM is a 1.2; use a TPM 2.0");
    g_error_free(error);
    tis_machine_free(machine);
}

static void test_members_of_a_crb_device_are_refused(void **state)
{
    TISMachine *machine = i2c_machine_prepare();
    GError *error = NULL;

    (void)state;
    machine->config.interrupts = true;
    assert_null(tpmdev_device_new(&machine->config, machine->tpm->backend, NULL, NULL, &error));
    assert_string_equal(error->message, "TPMDeviceConfig.interrupts is for tpm-crb; leave it unset "
                                        "for tpm-tis-i2c");
    g_error_free(error);
    tis_machine_free(machine);
}

/* A device of another interface is not on the bus: nobody acknowledges, and ones are read. */
static void test_device_of_another_interface_acknowledges_nothing(void **state)
{
    TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);

    (void)state;
    assert_false(tpmdev_device_i2c_event(machine->device, TPM_I2C_START_SEND));
    assert_false(tpmdev_device_i2c_send(machine->device, NUM_ACCESS));
    assert_int_equal(tpmdev_device_i2c_receive(machine->device), 0xFF);
    assert_int_equal(tis_access(machine, 0), ACCESS_IDLE);
    tis_machine_free(machine);
}

static void test_event_there_is_not_is_not_acknowledged(void **state)
{
    TISMachine *machine = *state;

    assert_false(tpmdev_device_i2c_event(machine->device, (TPMI2CEvent)4));
    assert_int_equal(i2c_read_byte(machine, NUM_ACCESS), 0x81);
}

/* QEMU's device takes the TPM that is called "tpm0", whatever it is told. */
static void test_tpm_may_have_any_name(void **state)
{
    TPMBackend *backend = tpmdev_backend_null_new("some-tpm", TPM_VERSION_2_0, NULL);
    TPMBackend *const backends[] = { backend, NULL };
    TPMDevice *device =
        tpmdev_device_new_from_string("tpm-tis-i2c,tpmdev=some-tpm", backends, NULL, NULL, NULL);

    (void)state;
    assert_non_null(device);
    assert_ptr_equal(tpmdev_device_get_backend(device), backend);
    assert_true(tpmdev_device_i2c_event(device, TPM_I2C_START_SEND));
    tpmdev_device_free(device);
    tpmdev_backend_unref(backend);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, i2c_setup, i2c_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_loc_sel_is_0_and_takes_0_to_4),
        TEST(test_loc_sel_ignores_numbers_above_4),
        TEST(test_loc_sel_is_one_byte_wide),
        TEST(test_access_is_81_when_fresh_in_every_locality),
        TEST(test_access_requests_and_relinquishes),
        TEST(test_access_bit_0_is_clear_once_established),
        TEST(test_int_enable_is_08_and_takes_no_bit),
        TEST(test_int_enable_is_written_by_localities_that_are_not_active),
        TEST(test_int_capability_is_0),
        TEST(test_sts_shows_no_family_and_nothing_that_is_written_only),
        TEST(test_sts_can_be_read_from_each_of_its_bytes),
        TEST(test_sts_burst_count_is_whole_in_every_read),
        TEST(test_sts_takes_nothing_but_its_five_commands),
        TEST(test_sts_cancel_and_reset_establishment_reach_the_tpm_from_the_fourth_byte),
        TEST(test_sts_takes_one_byte_behind_its_first),
        TEST(test_fifo_takes_any_number_of_bytes_in_one_transfer),
        TEST(test_fifo_of_a_locality_that_is_not_active_takes_and_gives_nothing),
        TEST(test_capability_is_02600082),
        TEST(test_csum_enable_is_one_bit),
        TEST(test_csum_of_nothing_is_0),
        TEST(test_did_vid_is_00011014),
        TEST(test_rid_is_01),
        TEST(test_every_byte_of_every_number_reads_as_the_table_has_it),
        TEST(test_every_number_acknowledges_four_bytes_and_the_fifo_any_number),
        TEST(test_ones_written_to_a_number_change_what_the_table_says),
        TEST(test_device_is_in_no_address_space),
        TEST(test_every_byte_is_counted),
        TEST(test_tpm_1_2_is_refused),
        TEST(test_members_of_a_crb_device_are_refused),
        TEST(test_device_of_another_interface_acknowledges_nothing),
        TEST(test_event_there_is_not_is_not_acknowledged),
        TEST(test_tpm_may_have_any_name),
    };

    return cmocka_run_group_tests_name("tis-i2c-registers", tests, NULL, NULL);
}
