/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each register of the TIS device: its value, what may be written, every lane, for TPM 1.2 and
 * 2.0. The values are those measured at QEMU's device. How states, localities, FIFO and
 * interrupts behave is in the test programs of these names.
 */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Every width and every lane of a register shows the same 32 bits. */
static void assert_lanes(TISMachine *machine, unsigned locality, uint32_t reg, uint32_t value)
{
    assert_int_equal(tis_read(machine, locality, reg, 4), value);
    for (unsigned lane = 0; lane < 4; lane++) {
        assert_int_equal(tis_read(machine, locality, reg + lane, 1), value >> 8 * lane & 0xFF);
    }
    for (unsigned lane = 0; lane < 3; lane++) {
        assert_int_equal(tis_read(machine, locality, reg + lane, 2), value >> 8 * lane & 0xFFFF);
    }
}

/* Writes of every width at every lane change nothing. */
static void assert_read_only(TISMachine *machine, uint32_t reg, uint32_t value)
{
    for (unsigned locality = 0; locality < 5; locality++) {
        assert_lanes(machine, locality, reg, value);
        tis_write(machine, locality, reg, 4, ~value);
        tis_write(machine, locality, reg, 2, ~value);
        tis_write(machine, locality, reg + 2, 2, ~value);
        for (unsigned lane = 0; lane < 4; lane++) {
            tis_write(machine, locality, reg + lane, 1, ~value);
        }
        assert_lanes(machine, locality, reg, value);
    }
}

/* ---- TPM_ACCESS ---- */

static void test_access_is_valid_and_not_established_when_fresh(void **state)
{
    for (unsigned locality = 0; locality < 5; locality++) {
        assert_lanes(*state, locality, REG_ACCESS, 0x81);
    }
}

static void test_access_shows_the_active_locality(void **state)
{
    TISMachine *machine = *state;

    tis_access_set(machine, 0, ACCESS_REQUEST);
    assert_lanes(machine, 0, REG_ACCESS, 0xA1);
    assert_lanes(machine, 1, REG_ACCESS, 0x81);
}

static void test_access_upper_lanes_carry_no_event(void **state)
{
    TISMachine *machine = *state;

    for (unsigned lane = 1; lane < 4; lane++) {
        tis_write(machine, 0, REG_ACCESS + lane, 1, 0xFF);
    }
    tis_write(machine, 0, REG_ACCESS + 2, 2, 0xFFFF);
    assert_int_equal(tis_access(machine, 0), ACCESS_IDLE);
    tis_write(machine, 0, REG_ACCESS, 4, 0xFFFFFF00 | ACCESS_REQUEST);
    assert_int_equal(tis_access(machine, 0), ACCESS_ACTIVE);
}

static void test_access_bit_0_is_clear_once_established(void **state)
{
    TISMachine *machine = *state;

    tpmdev_backend_set_established(machine->tpm->backend, true);
    for (unsigned locality = 0; locality < 5; locality++) {
        assert_int_equal(tis_access(machine, locality), 0x80);
    }
    tpmdev_backend_set_established(machine->tpm->backend, false);
    assert_int_equal(tis_access(machine, 0), 0x81);
}

static void test_established_survives_a_reset(void **state)
{
    TISMachine *machine = *state;

    tpmdev_backend_set_established(machine->tpm->backend, true);
    tpmdev_device_reset(machine->device);
    assert_int_equal(tis_access(machine, 0), 0x80);
}

/* ---- TPM_INT_ENABLE ---- */

static void test_int_enable_keeps_only_its_own_bits(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_write(machine, 0, REG_INT_ENABLE, 4, 0xFFFFFFFF);
    assert_lanes(machine, 0, REG_INT_ENABLE, 0x8000009F);
    tis_write(machine, 0, REG_INT_ENABLE, 4, 0);
    assert_lanes(machine, 0, REG_INT_ENABLE, 0);
}

static void test_int_enable_write_replaces_only_the_lanes_written(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_write(machine, 0, REG_INT_ENABLE, 4, 0x80000087);
    tis_write(machine, 0, REG_INT_ENABLE, 1, 0x04);
    assert_lanes(machine, 0, REG_INT_ENABLE, 0x80000004);
    tis_write(machine, 0, REG_INT_ENABLE + 3, 1, 0);
    assert_lanes(machine, 0, REG_INT_ENABLE, 0x00000004);
    tis_write(machine, 0, REG_INT_ENABLE + 2, 2, 0x8000);
    assert_lanes(machine, 0, REG_INT_ENABLE, 0x80000004);
}

static void test_int_enable_is_read_only_for_others_than_the_active_locality(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 1);
    for (unsigned locality = 0; locality < 5; locality++) {
        if (locality != 1) {
            tis_write(machine, locality, REG_INT_ENABLE, 4, 0x80000087);
            assert_lanes(machine, locality, REG_INT_ENABLE, 0x00000008);
        }
    }
}

static void test_int_enable_is_one_for_each_locality(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_write(machine, 0, REG_INT_ENABLE, 4, 0x00000081);
    assert_lanes(machine, 0, REG_INT_ENABLE, 0x00000081);
    assert_lanes(machine, 1, REG_INT_ENABLE, 0x00000008);
}

/* ---- TPM_INT_VECTOR ---- */

static void test_int_vector_is_that_of_the_configuration(void **state)
{
    (void)state;
    for (unsigned irq = 0; irq <= 15; irq++) {
        TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, 4096);

        machine->config.irq = irq;
        tis_machine_plug(machine);
        tis_request(machine, 0);
        assert_read_only(machine, REG_INT_VECTOR, irq);
        tis_machine_free(machine);
    }
}

/* ---- TPM_INT_STATUS ---- */

static void test_int_status_bits_are_cleared_by_writing_one(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_write(machine, 0, REG_INT_ENABLE, 4, INT_ALL);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_lanes(machine, 0, REG_INT_STATUS, 0x83);
    tis_write(machine, 0, REG_INT_STATUS, 4, 0x02);
    assert_lanes(machine, 0, REG_INT_STATUS, 0x81);
    /* zeros, and ones in other lanes, clear nothing */
    tis_write(machine, 0, REG_INT_STATUS, 4, 0xFFFFFF00);
    tis_write(machine, 0, REG_INT_STATUS + 1, 1, 0xFF);
    assert_lanes(machine, 0, REG_INT_STATUS, 0x81);
    tis_write(machine, 0, REG_INT_STATUS, 1, 0xFF);
    assert_lanes(machine, 0, REG_INT_STATUS, 0);
}

static void test_int_status_is_read_only_for_others_than_the_active_locality(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_write(machine, 0, REG_INT_ENABLE, 4, INT_ALL);
    tis_sts_set(machine, 0, STS_READY);
    assert_lanes(machine, 1, REG_INT_STATUS, 0);
    tis_write(machine, 1, REG_INT_STATUS, 4, 0xFFFFFFFF);
    assert_lanes(machine, 0, REG_INT_STATUS, 0x80);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_write(machine, 0, REG_INT_STATUS, 4, 0xFFFFFFFF);
    assert_lanes(machine, 0, REG_INT_STATUS, 0x80);
}

/* ---- TPM_INTF_CAPABILITY, DID_VID, RID ---- */

static void test_capability_of_1_2_is_20000697(void **state)
{
    tis_request(*state, 0);
    assert_read_only(*state, REG_CAPABILITY, 0x20000697);
}

static void test_capability_of_2_0_is_30000697(void **state)
{
    tis_request(*state, 0);
    assert_read_only(*state, REG_CAPABILITY, 0x30000697);
}

static void test_did_vid_is_00011014(void **state)
{
    tis_request(*state, 0);
    assert_read_only(*state, REG_DID_VID, 0x00011014);
}

static void test_rid_is_01(void **state)
{
    tis_request(*state, 0);
    assert_read_only(*state, REG_RID, 0x00000001);
}

/* ---- TPM_STS ---- */

static void test_sts_of_2_0_shows_the_family_and_4096_bytes_of_room(void **state)
{
    tis_request(*state, 0);
    assert_int_equal(tis_sts(*state, 0), 0x04100000);
    tis_sts_set(*state, 0, STS_READY);
    assert_int_equal(tis_sts(*state, 0), 0x04100040);
}

static void test_sts_of_1_2_shows_no_family(void **state)
{
    tis_request(*state, 0);
    assert_int_equal(tis_sts(*state, 0), 0x00100000);
    tis_sts_set(*state, 0, STS_READY);
    assert_int_equal(tis_sts(*state, 0), 0x00100040);
}

static void test_sts_is_all_ones_for_others_than_the_active_locality(void **state)
{
    TISMachine *machine = *state;

    assert_lanes(machine, 0, REG_STS, 0xFFFFFFFF);
    tis_request(machine, 1);
    assert_lanes(machine, 0, REG_STS, 0xFFFFFFFF);
    assert_lanes(machine, 4, REG_STS, 0xFFFFFFFF);
}

static void test_sts_burst_count_is_clamped_in_one_byte_reads(void **state)
{
    TISMachine *machine = *state;
    static const uint8_t bytes[] = { 0x40, 0xFF, 0x00, 0x04 };

    tis_request(machine, 0);
    tis_sts_set(machine, 0, STS_READY);
    for (unsigned lane = 0; lane < 4; lane++) {
        assert_int_equal(tis_read(machine, 0, REG_STS + lane, 1), bytes[lane]);
    }
    assert_int_equal(tis_read(machine, 0, REG_STS, 2), 0x0040);
    assert_int_equal(tis_read(machine, 0, REG_STS + 2, 2), 0x0410);
    /* two bytes that are not aligned are two accesses of one byte */
    assert_int_equal(tis_read(machine, 0, REG_STS + 1, 2), 0x00FF);
}

static void test_sts_write_is_ignored_from_others_than_the_active_locality(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_sts_set(machine, 1, STS_READY);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_sts_set(machine, 0, STS_READY);
    tis_request(machine, 1);
    assert_int_equal(tis_sts(machine, 1), 0x04100000);
    tis_access_set(machine, 1, ACCESS_RELINQUISH);
    tis_request(machine, 0);
    assert_int_equal(tis_sts(machine, 0), 0x04100000);
}

static void test_sts_events_are_in_their_lanes(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    for (unsigned lane = 1; lane < 4; lane++) {
        tis_write(machine, 0, REG_STS + lane, 1, STS_READY);
    }
    assert_int_equal(tis_sts(machine, 0), 0x04100000);
    tis_write(machine, 0, REG_STS, 1, STS_READY);
    assert_int_equal(tis_sts(machine, 0), 0x04100040);
}

static void test_sts_cancel_works_as_a_byte_write(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_request(machine, 0);
    tis_start(machine, 0, command_long_2_0, sizeof(command_long_2_0));
    tis_write(machine, 0, REG_STS + 3, 1, 0x01);
    assert_int_equal(machine->tpm->cancels, 1);
}

/* 1.2: only TPM_ContinueSelfTest (53h) that succeeds ends the self test, for all localities. */
static void test_sts_selftest_done_is_set_by_continue_self_test_of_1_2(void **state)
{
    static const uint8_t continue_self_test[] = { 0, 0xC1, 0, 0, 0, 10, 0, 0, 0, 0x53 };
    static const uint8_t ok[] = { 0, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0 };
    TISMachine *machine = *state;

    fake_backend_respond(machine->tpm, failure_1_2, sizeof(failure_1_2));
    tis_request(machine, 0);
    tis_start(machine, 0, continue_self_test, sizeof(continue_self_test));
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x90);
    fake_backend_respond(machine->tpm, ok, sizeof(ok));
    tis_start(machine, 0, command_1_2, sizeof(command_1_2));
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x90);
    tis_start(machine, 0, continue_self_test, sizeof(continue_self_test));
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x94);
    tis_sts_set(machine, 0, STS_READY);
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x44);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 3);
    assert_int_equal(tis_sts(machine, 3) & 0xFF, 0x04);
    tpmdev_device_reset(machine->device);
    tis_request(machine, 3);
    assert_int_equal(tis_sts(machine, 3) & 0xFF, 0x00);
}

/* The numbers of a version's commands that end a self test. */
static const uint8_t self_test_full[] = { 0, 0xC1, 0, 0, 0, 10, 0, 0, 0, 0x50 };
static const uint8_t self_test_2_0[] = { 0x80, 0x01, 0, 0, 0, 11, 0, 0, 0x01, 0x43, 1 };
static const uint8_t increment_2_0[] = { 0x80, 0x01, 0, 0, 0, 14, 0, 0, 0x01, 0x42, 0, 0, 0, 0 };

/* As QEMU's: a guest of a TPM 2.0 never sees it, nor one that sends TPM_SelfTestFull. */
static void test_sts_selftest_done_is_set_by_nothing_else(void **state)
{
    static const uint8_t command[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0, 0x53 };
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_start(machine, 0, command, sizeof(command));
    assert_int_equal(tis_sts(machine, 0), 0x04000A90);
    tis_start(machine, 0, self_test_2_0, sizeof(self_test_2_0));
    assert_int_equal(tis_sts(machine, 0), 0x04000A90);
    assert_int_equal(tis_statistics(machine).self_tests, 1);
}

static void test_sts_selftest_done_is_not_set_by_self_test_full(void **state)
{
    static const uint8_t ok[] = { 0, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0 };
    TISMachine *machine = *state;

    fake_backend_respond(machine->tpm, ok, sizeof(ok));
    tis_request(machine, 0);
    tis_start(machine, 0, self_test_full, sizeof(self_test_full));
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x90);
    assert_int_equal(tis_statistics(machine).self_tests, 1);
}

static void check_selftest(TPMVersion version, const uint8_t *command, size_t size,
                           const uint8_t *response, size_t response_size)
{
    TISMachine *machine = tis_machine_prepare(version, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);

    machine->config.selftest = true;
    tis_machine_plug(machine);
    fake_backend_respond(machine->tpm, response, response_size);
    tis_request(machine, 0);
    tis_start(machine, 0, command, size);
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x94);
    fake_backend_fail(machine->tpm); /* what the guest knows of the TPM it knows still */
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x94);
    tpmdev_backend_recovered(machine->tpm->backend);
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x94);
    tpmdev_device_reset(machine->device);
    tis_request(machine, 0);
    assert_int_equal(tis_sts(machine, 0) & 0xFF, 0x00);
    tis_machine_free(machine);
}

static void test_sts_selftest_done_is_set_by_all_if_asked_for(void **state)
{
    static const uint8_t ok_1_2[] = { 0, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0 };
    static const uint8_t ok_2_0[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0, 0 };
    static const uint8_t nothing_to_do[] = { 0x80, 0x01, 0, 0, 0, 14, 0, 0, 0, 0, 0, 0, 0, 0 };

    (void)state;
    check_selftest(TPM_VERSION_1_2, self_test_full, sizeof(self_test_full), ok_1_2, sizeof(ok_1_2));
    check_selftest(TPM_VERSION_2_0, self_test_2_0, sizeof(self_test_2_0), ok_2_0, sizeof(ok_2_0));
    check_selftest(TPM_VERSION_2_0, increment_2_0, sizeof(increment_2_0), nothing_to_do,
                   sizeof(nothing_to_do));
}

/* ---- TPM_DATA_FIFO, TPM_XDATA_FIFO ---- */

static void test_fifo_is_all_ones_for_others_than_the_active_locality(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_lanes(machine, 1, REG_FIFO, 0xFFFFFFFF);
    assert_lanes(machine, 1, REG_XDATA, 0xFFFFFFFF);
    assert_int_equal(tis_sts(machine, 0), 0x04000A90);
}

static void test_every_dword_from_80_to_bc_is_the_fifo(void **state)
{
    TISMachine *machine = *state;
    unsigned i = 10;

    fake_backend_respond_with_size(machine->tpm, 40);
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    for (unsigned skip = 0; skip < 10; skip++) {
        tis_read(machine, 0, REG_FIFO, 1);
    }
    for (uint32_t reg = 0x80; reg <= 0xBC; reg += 4, i++) {
        assert_int_equal(tis_read(machine, 0, reg, 1), i);
    }
    assert_int_equal(tis_read(machine, 0, 0x7C, 4), 0xFFFFFFFF);
    assert_int_equal(tis_read(machine, 0, 0xC0, 4), 0xFFFFFFFF);
    assert_int_equal(tis_read(machine, 0, REG_FIFO, 1), i);
}

/* ---- TPM_INTERFACE_ID ---- */

static void test_interface_id_of_2_0_is_00002100_until_it_is_locked(void **state)
{
    TISMachine *machine = *state;

    for (unsigned locality = 0; locality < 4; locality++) {
        tis_write(machine, locality, REG_INTERFACE_ID, 4, 0xFFF7FFFF);
        assert_lanes(machine, locality, REG_INTERFACE_ID, 0x00002100);
    }
    tis_write(machine, 2, REG_INTERFACE_ID, 4, 0x00080000);
    for (unsigned locality = 0; locality < 5; locality++) {
        assert_lanes(machine, locality, REG_INTERFACE_ID, 0x00082100);
    }
}

static void test_interface_id_lock_holds_until_reset(void **state)
{
    TISMachine *machine = *state;

    tis_write(machine, 0, REG_INTERFACE_ID + 2, 1, 0x08);
    assert_int_equal(tis_read(machine, 0, REG_INTERFACE_ID, 4), 0x00082100);
    tis_write(machine, 0, REG_INTERFACE_ID, 4, 0);
    assert_int_equal(tis_read(machine, 0, REG_INTERFACE_ID, 4), 0x00082100);
    tpmdev_device_reset(machine->device);
    assert_int_equal(tis_read(machine, 0, REG_INTERFACE_ID, 4), 0x00002100);
}

static void test_interface_id_of_1_2_is_all_ones(void **state)
{
    tis_request(*state, 0);
    assert_read_only(*state, REG_INTERFACE_ID, 0xFFFFFFFF);
}

/* ---- what is not there ---- */

static void test_reserved_registers_read_all_ones_and_ignore_writes(void **state)
{
    static const uint32_t reserved[] = { 0x04, 0x1C,  0x20,  0x28,  0x2C,  0x34,  0x38, 0x7C,
                                         0xC0, 0x100, 0xEFC, 0xF08, 0xF80, 0xF90, 0xFFC };
    TISMachine *machine = *state;

    tis_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(reserved); i++) {
        assert_read_only(machine, reserved[i], 0xFFFFFFFF);
    }
    assert_int_equal(tis_access(machine, 0), ACCESS_ACTIVE);
    assert_int_equal(tis_sts(machine, 0), 0x04100000);
}

static void test_reset_gives_every_register_its_reset_value(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 1);
    tis_write(machine, 1, REG_INT_ENABLE, 4, INT_ALL);
    tis_access_set(machine, 0, ACCESS_REQUEST);
    tis_access_set(machine, 3, ACCESS_SEIZE);
    tis_write(machine, 3, REG_INT_ENABLE, 4, INT_ALL);
    tis_start(machine, 3, command_2_0, sizeof(command_2_0));
    tis_write(machine, 3, REG_INTERFACE_ID, 4, 0x00080000);
    tpmdev_device_reset(machine->device);
    for (unsigned locality = 0; locality < 5; locality++) {
        assert_lanes(machine, locality, REG_ACCESS, 0x81);
        assert_lanes(machine, locality, REG_INT_ENABLE, 0x00000008);
        assert_lanes(machine, locality, REG_INT_STATUS, 0);
        assert_lanes(machine, locality, REG_STS, 0xFFFFFFFF);
        assert_lanes(machine, locality, REG_FIFO, 0xFFFFFFFF);
        assert_lanes(machine, locality, REG_INTERFACE_ID, 0x00002100);
    }
    tis_request(machine, 3);
    assert_int_equal(tis_sts(machine, 3), 0x04100000);
    assert_int_equal(tis_read(machine, 3, REG_FIFO, 1), 0xFF);
}

#define TEST_1_2(function) cmocka_unit_test_setup_teardown(function, tis_setup_1_2, tis_teardown)
#define TEST_2_0(function) cmocka_unit_test_setup_teardown(function, tis_setup_2_0, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_1_2(test_access_is_valid_and_not_established_when_fresh),
        TEST_2_0(test_access_is_valid_and_not_established_when_fresh),
        TEST_2_0(test_access_shows_the_active_locality),
        TEST_2_0(test_access_upper_lanes_carry_no_event),
        TEST_2_0(test_access_bit_0_is_clear_once_established),
        TEST_2_0(test_established_survives_a_reset),
        TEST_2_0(test_int_enable_keeps_only_its_own_bits),
        TEST_2_0(test_int_enable_write_replaces_only_the_lanes_written),
        TEST_2_0(test_int_enable_is_read_only_for_others_than_the_active_locality),
        TEST_2_0(test_int_enable_is_one_for_each_locality),
        cmocka_unit_test(test_int_vector_is_that_of_the_configuration),
        TEST_2_0(test_int_status_bits_are_cleared_by_writing_one),
        TEST_2_0(test_int_status_is_read_only_for_others_than_the_active_locality),
        TEST_1_2(test_capability_of_1_2_is_20000697),
        TEST_2_0(test_capability_of_2_0_is_30000697),
        TEST_1_2(test_did_vid_is_00011014),
        TEST_2_0(test_did_vid_is_00011014),
        TEST_1_2(test_rid_is_01),
        TEST_2_0(test_rid_is_01),
        TEST_2_0(test_sts_of_2_0_shows_the_family_and_4096_bytes_of_room),
        TEST_1_2(test_sts_of_1_2_shows_no_family),
        TEST_2_0(test_sts_is_all_ones_for_others_than_the_active_locality),
        TEST_2_0(test_sts_burst_count_is_clamped_in_one_byte_reads),
        TEST_2_0(test_sts_write_is_ignored_from_others_than_the_active_locality),
        TEST_2_0(test_sts_events_are_in_their_lanes),
        TEST_2_0(test_sts_cancel_works_as_a_byte_write),
        TEST_1_2(test_sts_selftest_done_is_set_by_continue_self_test_of_1_2),
        TEST_2_0(test_sts_selftest_done_is_set_by_nothing_else),
        TEST_1_2(test_sts_selftest_done_is_not_set_by_self_test_full),
        cmocka_unit_test(test_sts_selftest_done_is_set_by_all_if_asked_for),
        TEST_2_0(test_fifo_is_all_ones_for_others_than_the_active_locality),
        TEST_2_0(test_every_dword_from_80_to_bc_is_the_fifo),
        TEST_2_0(test_interface_id_of_2_0_is_00002100_until_it_is_locked),
        TEST_2_0(test_interface_id_lock_holds_until_reset),
        TEST_1_2(test_interface_id_of_1_2_is_all_ones),
        TEST_2_0(test_reserved_registers_read_all_ones_and_ignore_writes),
        TEST_2_0(test_reset_gives_every_register_its_reset_value),
    };

    return cmocka_run_group_tests_name("tis-registers", tests, NULL, NULL);
}
