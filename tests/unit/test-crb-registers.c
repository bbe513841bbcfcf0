/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each register of the CRB device (hw/tpm/crb.c): its value, what may be written, every lane and
 * width, the buffer, and where the device ends. The values are those measured at QEMU's device.
 * How states and localities behave is in the test programs of these names.
 */
#include "crb-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define REGION 0x1000u

/* What a fresh device reads as; every register that is not named reads 0. */
static const struct {
    uint32_t reg;
    uint32_t value;
} reset_values[] = {
    { REG_LOC_STATE, 0x00000081 }, { REG_INTF_ID, 0x00025811 },   { REG_INTF_ID_2, 0x00001014 },
    { REG_CTRL_STS, 0x00000002 },  { REG_CMD_SIZE, 0x00000F80 },  { REG_CMD_LADDR, 0xFED40080 },
    { REG_RSP_SIZE, 0x00000F80 },  { REG_RSP_LADDR, 0xFED40080 },
};

static void set_image(uint8_t *image, uint32_t reg, uint32_t value)
{
    for (unsigned lane = 0; lane < 4; lane++) {
        image[reg + lane] = (uint8_t)(value >> 8 * lane);
    }
}

/* The whole device, byte by byte. */
static void make_image(uint8_t image[REGION])
{
    memset(image, 0, REGION);
    for (unsigned i = 0; i < G_N_ELEMENTS(reset_values); i++) {
        set_image(image, reset_values[i].reg, reset_values[i].value);
    }
}

static uint64_t image_at(const uint8_t *image, uint32_t offset, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++) {
        value |= (uint64_t)image[offset + i] << 8 * i;
    }
    return value;
}

static void assert_bytes(TISMachine *machine, const uint8_t *image, uint32_t from, uint32_t to)
{
    for (uint32_t offset = from; offset < to; offset++) {
        uint8_t got = (uint8_t)tis_read(machine, 0, offset, 1);

        if (got != image[offset]) {
            fail_msg("offset %03x reads %02x, not %02x", offset, got, image[offset]);
        }
    }
}

/* Every width and lane that touches the register alone, and 8 bytes with its neighbours. */
static void assert_lanes(TISMachine *machine, uint32_t reg, uint32_t value)
{
    assert_int_equal(tis_read(machine, 0, reg, 4), value);
    for (unsigned lane = 0; lane < 4; lane++) {
        assert_int_equal(tis_read(machine, 0, reg + lane, 1), value >> 8 * lane & 0xFF);
    }
    for (unsigned lane = 0; lane < 3; lane++) {
        assert_int_equal(tis_read(machine, 0, reg + lane, 2), value >> 8 * lane & 0xFFFF);
    }
    assert_int_equal(tis_read(machine, 0, reg, 8) & 0xFFFFFFFF, value);
    if (reg >= 4) {
        assert_int_equal(tis_read(machine, 0, reg - 4, 8) >> 32, value);
        assert_int_equal(tis_read(machine, 0, reg - 1, 8) >> 8 & 0xFFFFFFFF, value);
    }
}

static void write_every_width(TISMachine *machine, uint32_t reg, uint32_t value)
{
    tis_write(machine, 0, reg, 4, value);
    tis_write(machine, 0, reg, 2, value);
    tis_write(machine, 0, reg + 1, 2, value);
    tis_write(machine, 0, reg + 2, 2, value);
    for (unsigned lane = 0; lane < 4; lane++) {
        tis_write(machine, 0, reg + lane, 1, value);
    }
}

/* Has this value, and keeps it whatever is written, without and with the locality. */
static void assert_read_only(TISMachine *machine, uint32_t reg, uint32_t value)
{
    static const uint32_t written[] = { 0, 1, 2, 1u << 17, 1u << 19, 0xFFFFFFFF };

    for (unsigned has = 0; has < 2; has++) {
        if (has && reg == REG_LOC_STATE) {
            value |= 0x02;
        }
        if (has && reg == REG_LOC_STS) {
            value |= 0x01;
        }
        if (has) {
            crb_request(machine, 0);
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(written); i++) {
            write_every_width(machine, reg, written[i]);
            write_every_width(machine, reg, ~value);
            assert_lanes(machine, reg, value);
        }
    }
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(tis_statistics(machine).guest_errors, 0);
}

/* ---- a test for each register ---- */

static void test_loc_state_is_81(void **state)
{
    assert_lanes(*state, REG_LOC_STATE, 0x81);
    assert_read_only(*state, REG_LOC_STATE, 0x81);
}

static void test_loc_state_bit_0_is_clear_once_established(void **state)
{
    TISMachine *machine = *state;

    tpmdev_backend_set_established(machine->tpm->backend, true);
    assert_lanes(machine, REG_LOC_STATE, 0x80);
    tpmdev_device_reset(machine->device);
    assert_lanes(machine, REG_LOC_STATE, 0x80);
    tpmdev_backend_set_established(machine->tpm->backend, false);
    assert_lanes(machine, REG_LOC_STATE, 0x81);
}

static void test_loc_ctrl_reads_0_and_grants_by_a_byte_or_a_dword(void **state)
{
    static const unsigned widths[] = { 1, 2, 4, 8 };
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(widths); i++) {
        tis_write(machine, 0, REG_LOC_CTRL, widths[i], 1);
        assert_lanes(machine, REG_LOC_CTRL, 0);
        assert_lanes(machine, REG_LOC_STS, 1);
        assert_lanes(machine, REG_LOC_STATE, 0x83);
        tis_write(machine, 0, REG_LOC_CTRL, widths[i], 2);
        assert_lanes(machine, REG_LOC_CTRL, 0);
        assert_lanes(machine, REG_LOC_STS, 0);
        assert_lanes(machine, REG_LOC_STATE, 0x81);
    }
}

static void test_loc_ctrl_upper_lanes_and_several_bits_mean_nothing(void **state)
{
    TISMachine *machine = *state;

    for (unsigned lane = 1; lane < 4; lane++) {
        tis_write(machine, 0, REG_LOC_CTRL + lane, 1, 1);
    }
    tis_write(machine, 0, REG_LOC_CTRL + 2, 2, 1);
    tis_write(machine, 0, REG_LOC_CTRL, 4, 3);
    tis_write(machine, 0, REG_LOC_CTRL, 4, 0x101);
    tis_write(machine, 0, REG_LOC_CTRL, 4, 0);
    assert_lanes(machine, REG_LOC_STATE, 0x81);
}

static void test_loc_sts_is_0(void **state)
{
    assert_lanes(*state, REG_LOC_STS, 0);
    assert_read_only(*state, REG_LOC_STS, 0);
}

static void test_intf_id_is_00025811(void **state)
{
    assert_lanes(*state, REG_INTF_ID, 0x00025811);
    assert_read_only(*state, REG_INTF_ID, 0x00025811);
}

static void test_intf_id_high_is_00001014(void **state)
{
    assert_lanes(*state, REG_INTF_ID_2, 0x00001014);
    assert_read_only(*state, REG_INTF_ID_2, 0x00001014);
}

static void test_ctrl_ext_is_0(void **state)
{
    assert_read_only(*state, REG_CTRL_EXT, 0);
    assert_read_only(*state, REG_CTRL_EXT + 4, 0);
}

static void test_ctrl_req_reads_0_and_sets_tpm_idle_by_any_width(void **state)
{
    static const unsigned widths[] = { 1, 2, 4, 8 };
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(widths); i++) {
        tis_write(machine, 0, REG_CTRL_REQ, widths[i], 1);
        assert_lanes(machine, REG_CTRL_REQ, 0);
        assert_lanes(machine, REG_CTRL_STS, 0);
        tis_write(machine, 0, REG_CTRL_REQ, widths[i], 2);
        assert_lanes(machine, REG_CTRL_REQ, 0);
        assert_lanes(machine, REG_CTRL_STS, 2);
    }
    for (unsigned lane = 1; lane < 4; lane++) {
        tis_write(machine, 0, REG_CTRL_REQ + lane, 1, 1);
    }
    assert_lanes(machine, REG_CTRL_STS, 2);
}

static void test_ctrl_sts_is_2(void **state)
{
    assert_lanes(*state, REG_CTRL_STS, 2);
    assert_read_only(*state, REG_CTRL_STS, 2);
}

static void test_ctrl_cancel_reads_0(void **state)
{
    TISMachine *machine = *state;

    assert_lanes(machine, REG_CTRL_CANCEL, 0);
    write_every_width(machine, REG_CTRL_CANCEL, 1);
    write_every_width(machine, REG_CTRL_CANCEL, 0xFFFFFFFF);
    assert_lanes(machine, REG_CTRL_CANCEL, 0);
    assert_int_equal(machine->tpm->cancels, 0);
}

static void test_ctrl_start_is_1_while_a_command_runs(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    assert_lanes(machine, REG_CTRL_START, 0);
    crb_request(machine, 0);
    crb_start(machine, 0, command_long_2_0, sizeof(command_long_2_0));
    assert_lanes(machine, REG_CTRL_START, 1);
    fake_backend_answer(machine->tpm);
    assert_lanes(machine, REG_CTRL_START, 0);
}

static void test_ctrl_start_takes_any_width_at_lane_0_alone(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    for (unsigned lane = 1; lane < 4; lane++) {
        crb_put(machine, 0, command_2_0, sizeof(command_2_0));
        tis_write(machine, 0, REG_CTRL_START + lane, 1, 1);
    }
    assert_int_equal(machine->tpm->submits, 0);
    for (unsigned width = 1; width <= 8; width *= 2) {
        crb_put(machine, 0, command_2_0, sizeof(command_2_0));
        tis_write(machine, 0, REG_CTRL_START, width, 1);
        crb_assert_buffer(machine, 0, machine->tpm->response, 10);
    }
    crb_put(machine, 0, command_2_0, sizeof(command_2_0));
    tis_write(machine, 0, REG_CTRL_CANCEL, 8, 1ull << 32);
    assert_int_equal(machine->tpm->submits, 5);
}

static void test_int_enable_is_0_without_interrupts(void **state)
{
    assert_lanes(*state, REG_CRB_ENABLE, 0);
    assert_read_only(*state, REG_CRB_ENABLE, 0);
}

static void test_int_sts_is_0_without_interrupts(void **state)
{
    TISMachine *machine = *state;

    assert_read_only(machine, REG_CRB_INT_STS, 0);
    tis_write(machine, 0, REG_CRB_ENABLE, 4, CRB_INT_ALL);
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_lanes(machine, REG_CRB_INT_STS, 0);
    assert_int_equal(fake_host_irqs(&machine->host), 0);
}

static void test_cmd_size_is_f80(void **state)
{
    assert_lanes(*state, REG_CMD_SIZE, 0xF80);
    assert_read_only(*state, REG_CMD_SIZE, 0xF80);
}

static void test_cmd_address_is_base_and_80(void **state)
{
    assert_read_only(*state, REG_CMD_LADDR, 0xFED40080);
}

static void test_cmd_high_address_is_0(void **state)
{
    assert_read_only(*state, REG_CMD_HADDR, 0);
}

static void test_rsp_size_is_f80(void **state)
{
    assert_lanes(*state, REG_RSP_SIZE, 0xF80);
    assert_read_only(*state, REG_RSP_SIZE, 0xF80);
}

static void test_rsp_address_is_base_and_80(void **state)
{
    assert_read_only(*state, REG_RSP_LADDR, 0xFED40080);
    assert_int_equal(tis_read(*state, 0, REG_RSP_LADDR, 8), 0xFED40080);
}

static void test_rsp_high_address_is_0(void **state)
{
    assert_read_only(*state, REG_RSP_HADDR, 0);
}

static void test_reserved_registers_read_0_and_ignore_writes(void **state)
{
    static const uint32_t reserved[] = { 0x04, 0x10, 0x14, 0x18, 0x1C, 0x20, 0x24,
                                         0x28, 0x2C, 0x70, 0x74, 0x78, 0x7C };

    for (unsigned i = 0; i < G_N_ELEMENTS(reserved); i++) {
        assert_read_only(*state, reserved[i], 0);
    }
}

static void test_address_registers_show_a_base_above_4_gib(void **state)
{
    TISMachine *machine = crb_machine_prepare();

    (void)state;
    machine->config.base = 0x123456789000ull;
    tis_machine_plug(machine);
    assert_lanes(machine, REG_CMD_LADDR, 0x56789080);
    assert_lanes(machine, REG_CMD_HADDR, 0x00001234);
    assert_lanes(machine, REG_RSP_LADDR, 0x56789080);
    assert_lanes(machine, REG_RSP_HADDR, 0x00001234);
    assert_int_equal(tis_read(machine, 0, REG_RSP_LADDR, 8), 0x123456789080ull);
    assert_int_equal(tis_read(machine, 0, REG_CMD_LADDR, 8), 0x123456789080ull);
    tis_machine_free(machine);
}

/* ---- the whole of it ---- */

static bool is_width(unsigned width)
{
    return width == 1 || width == 2 || width == 4 || width == 8;
}

static void assert_cell(TISMachine *machine, const uint8_t *image, uint64_t offset, unsigned width)
{
    TPMAccess wanted = TPM_ACCESS_OK;
    uint64_t value = 0;

    if (!is_width(width)) {
        wanted = TPM_ACCESS_BAD_WIDTH;
    } else if (offset + width > REGION) {
        wanted = TPM_ACCESS_BAD_OFFSET;
    }
    TPMAccess got = tpmdev_device_read(machine->device, offset, width, &value);
    uint64_t bytes =
        wanted == TPM_ACCESS_OK ? image_at(image, (uint32_t)offset, width) : UINT64_MAX;

    if (got != wanted || value != bytes) {
        fail_msg("offset %03x width %u: access %d value %" G_GINT64_MODIFIER
                 "x, not %d %" G_GINT64_MODIFIER "x",
                 (unsigned)offset, width, (int)got, value, (int)wanted, bytes);
    }
}

static void test_every_offset_and_width_reads_as_the_table_says(void **state)
{
    uint8_t image[REGION];

    make_image(image);
    for (uint32_t offset = 0; offset < REGION + 16; offset++) {
        for (unsigned width = 0; width <= 9; width++) {
            assert_cell(*state, image, offset, width);
        }
    }
}

static void test_end_of_the_region_is_exact_for_reads_and_writes(void **state)
{
    static const struct {
        uint64_t offset;
        unsigned width;
        TPMAccess result;
    } cases[] = {
        { 0xFF8, 8, TPM_ACCESS_OK },          { 0xFF9, 8, TPM_ACCESS_BAD_OFFSET },
        { 0xFFC, 4, TPM_ACCESS_OK },          { 0xFFC, 8, TPM_ACCESS_BAD_OFFSET },
        { 0xFFD, 4, TPM_ACCESS_BAD_OFFSET },  { 0xFFE, 2, TPM_ACCESS_OK },
        { 0xFFF, 1, TPM_ACCESS_OK },          { 0xFFF, 2, TPM_ACCESS_BAD_OFFSET },
        { 0x1000, 1, TPM_ACCESS_BAD_OFFSET }, { 0x1008, 4, TPM_ACCESS_BAD_OFFSET },
        { 0x80, 3, TPM_ACCESS_BAD_WIDTH },    { UINT64_MAX, 1, TPM_ACCESS_BAD_OFFSET },
    };
    TISMachine *machine = *state;
    uint64_t value;

    assert_int_equal(tpmdev_device_get_size(machine->device), REGION);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_int_equal(
            tpmdev_device_read(machine->device, cases[i].offset, cases[i].width, &value),
            cases[i].result);
        assert_int_equal(tpmdev_device_write(machine->device, cases[i].offset, cases[i].width, 1),
                         cases[i].result);
    }
    /* the request at 1008h, beyond the only locality, was none */
    assert_int_equal(crb_loc_state(machine), 0x81);
}

/* ---- the buffer ---- */

static void fill(TISMachine *machine, uint8_t *image)
{
    for (uint32_t offset = REG_BUFFER; offset < REGION; offset++) {
        image[offset] = (uint8_t)(offset * 13 + (offset >> 8));
        tis_write(machine, 0, offset, 1, image[offset]);
    }
}

static void test_buffer_reads_the_same_by_every_offset_and_width(void **state)
{
    uint8_t image[REGION];

    make_image(image);
    fill(*state, image);
    for (uint32_t offset = REG_BUFFER - 8; offset < REGION; offset++) {
        for (unsigned width = 1; width <= 8; width *= 2) {
            assert_cell(*state, image, offset, width);
        }
    }
}

static void test_buffer_write_changes_the_bytes_written_and_no_other(void **state)
{
    static const uint64_t value = 0xA1B2C3D4E5F60718ull;
    static const uint32_t starts[] = { REG_BUFFER - 8, REG_BUFFER, 0x7F8, REGION - 8 };
    uint8_t image[REGION];

    make_image(image);
    fill(*state, image);
    for (unsigned i = 0; i < G_N_ELEMENTS(starts); i++) {
        for (uint32_t offset = starts[i]; offset < starts[i] + 8; offset++) {
            for (unsigned width = 1; width <= 8 && offset + width <= REGION; width *= 2) {
                tis_write(*state, 0, offset, width, value);
                for (unsigned byte = 0; byte < width; byte++) {
                    if (offset + byte >= REG_BUFFER) {
                        image[offset + byte] = (uint8_t)(value >> 8 * byte);
                    }
                }
                assert_bytes(*state, image, 0, REGION);
                fill(*state, image);
            }
        }
    }
}

static void test_last_dword_of_the_buffer_is_there(void **state)
{
    tis_write(*state, 0, 0xFFC, 4, 0x89ABCDEF);
    assert_int_equal(tis_read(*state, 0, 0xFFC, 4), 0x89ABCDEF);
    assert_int_equal(tis_read(*state, 0, 0xFFE, 2), 0x89AB);
    assert_int_equal(tis_read(*state, 0, 0xFFF, 1), 0x89);
    assert_int_equal(tis_read(*state, 0, 0xFF8, 8), 0x89ABCDEF00000000ull);
}

static void test_reset_gives_every_register_its_reset_value(void **state)
{
    TISMachine *machine = *state;
    uint8_t image[REGION];

    make_image(image);
    fill(machine, image);
    make_image(image);
    crb_request(machine, 0);
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    tpmdev_device_reset(machine->device);
    assert_bytes(machine, image, 0, REGION);
}

static void test_tpm_1_2_is_refused(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_1_2, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    GError *error = NULL;

    (void)state;
    machine->config.interface = TPM_INTERFACE_CRB;
    assert_null(tpmdev_device_new(&machine->config, machine->tpm->backend, &machine->host.host,
                                  &machine->host, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    assert_string_equal(error->message,
                        "tpm-crb is for TPM 2.0 and its TPM is a 1.2; use tpm-tis, or a TPM 2.0");
    g_error_free(error);
    assert_int_equal(machine->tpm->starts, 0);
    /* it is still free for another device */
    machine->config.interface = TPM_INTERFACE_TIS;
    tis_machine_plug(machine);
    tis_machine_free(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, crb_setup, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_loc_state_is_81),
        TEST(test_loc_state_bit_0_is_clear_once_established),
        TEST(test_loc_ctrl_reads_0_and_grants_by_a_byte_or_a_dword),
        TEST(test_loc_ctrl_upper_lanes_and_several_bits_mean_nothing),
        TEST(test_loc_sts_is_0),
        TEST(test_intf_id_is_00025811),
        TEST(test_intf_id_high_is_00001014),
        TEST(test_ctrl_ext_is_0),
        TEST(test_ctrl_req_reads_0_and_sets_tpm_idle_by_any_width),
        TEST(test_ctrl_sts_is_2),
        TEST(test_ctrl_cancel_reads_0),
        TEST(test_ctrl_start_is_1_while_a_command_runs),
        TEST(test_ctrl_start_takes_any_width_at_lane_0_alone),
        TEST(test_int_enable_is_0_without_interrupts),
        TEST(test_int_sts_is_0_without_interrupts),
        TEST(test_cmd_size_is_f80),
        TEST(test_cmd_address_is_base_and_80),
        TEST(test_cmd_high_address_is_0),
        TEST(test_rsp_size_is_f80),
        TEST(test_rsp_address_is_base_and_80),
        TEST(test_rsp_high_address_is_0),
        TEST(test_reserved_registers_read_0_and_ignore_writes),
        cmocka_unit_test(test_address_registers_show_a_base_above_4_gib),
        TEST(test_every_offset_and_width_reads_as_the_table_says),
        TEST(test_end_of_the_region_is_exact_for_reads_and_writes),
        TEST(test_buffer_reads_the_same_by_every_offset_and_width),
        TEST(test_buffer_write_changes_the_bytes_written_and_no_other),
        TEST(test_last_dword_of_the_buffer_is_there),
        TEST(test_reset_gives_every_register_its_reset_value),
        cmocka_unit_test(test_tpm_1_2_is_refused),
    };

    return cmocka_run_group_tests_name("crb-registers", tests, NULL, NULL);
}
