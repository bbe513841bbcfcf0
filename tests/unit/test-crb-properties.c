/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registers of the CRB device (hw/tpm/crb.c) with each of its properties on, alone and with
 * the others: every offset and width, read and written, against a table. Without properties it is
 * test-crb-registers.c that looks.
 */
#include "crb-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PAGE         0x1000u
#define REGION_MAX   (5 * PAGE)
#define BASE_HIGH    0x1234FFFFE000ull /* locality 2 is where the high half changes */
#define PAGE_ADDRESS 0x567800001000ull
#define NOBODY       9u

/* What is on, a bit each, so that a number is a device. */
#define LOCALITIES 1u
#define INTERRUPTS 2u
#define BUFFER     4u /* on a page */
#define CHUNK      8u
#define BASE       16u /* elsewhere */
#define N_DEVICES  32u

static TISMachine *machine_with(unsigned on)
{
    TISMachine *machine = crb_machine_prepare();

    machine->config.localities = on & LOCALITIES;
    machine->config.interrupts = on & INTERRUPTS;
    machine->config.buffer_address = on & BUFFER ? PAGE_ADDRESS : 0;
    machine->config.chunk = on & CHUNK;
    machine->config.base = on & BASE ? BASE_HIGH : CRB_BASE;
    tis_machine_plug(machine);
    return machine;
}

static uint32_t region_of(unsigned on)
{
    return on & LOCALITIES ? 5 * PAGE : PAGE;
}

/* ---- the table ---- */

static void set(uint8_t *image, uint32_t reg, uint32_t value)
{
    for (unsigned lane = 0; lane < 4; lane++) {
        image[reg + lane] = (uint8_t)(value >> 8 * lane);
    }
}

static uint32_t intf_id(unsigned on)
{
    return 0x00025811u | (on & LOCALITIES ? 0x100u : 0) | (on & CHUNK ? 0x400u : 0);
}

/* One locality's page, while this one has the device. */
static void make_page(uint8_t *image, unsigned on, unsigned locality, unsigned active)
{
    uint64_t base = on & BASE ? BASE_HIGH : CRB_BASE;
    uint64_t address = on & BUFFER ? PAGE_ADDRESS : base + locality * PAGE + 0x80;
    uint32_t size = on & BUFFER ? 0x1000 : 0xF80;

    memset(image, 0, PAGE);
    set(image, REG_LOC_STATE, active == NOBODY ? 0x81 : 0x83 | active << 2);
    set(image, REG_LOC_STS, locality == active);
    set(image, REG_INTF_ID, intf_id(on));
    set(image, REG_INTF_ID_2, 0x00001014);
    set(image, REG_CTRL_STS, 2);
    set(image, REG_CMD_SIZE, size);
    set(image, REG_CMD_LADDR, (uint32_t)address);
    set(image, REG_CMD_HADDR, (uint32_t)(address >> 32));
    set(image, REG_RSP_SIZE, size);
    set(image, REG_RSP_LADDR, (uint32_t)address);
    set(image, REG_RSP_HADDR, (uint32_t)(address >> 32));
    if (on & LOCALITIES && locality != active) {
        memset(image + REG_CTRL_REQ, 0xFF, REG_CRB_ENABLE - REG_CTRL_REQ);
        memset(image + REG_BUFFER, 0xFF, PAGE - REG_BUFFER);
    }
}

static void make_image(uint8_t image[REGION_MAX], unsigned on, unsigned active)
{
    for (unsigned locality = 0; locality * PAGE < region_of(on); locality++) {
        make_page(image + locality * PAGE, on, locality, active);
    }
}

/* ---- reading ---- */

static bool is_width(unsigned width)
{
    return width == 1 || width == 2 || width == 4 || width == 8;
}

static void assert_cell(TISMachine *machine, unsigned on, const uint8_t *image, uint32_t offset,
                        unsigned width)
{
    TPMAccess wanted = TPM_ACCESS_OK;
    uint64_t value = 0;
    uint64_t bytes = UINT64_MAX;

    if (!is_width(width)) {
        wanted = TPM_ACCESS_BAD_WIDTH;
    } else if (offset + width > region_of(on)) {
        wanted = TPM_ACCESS_BAD_OFFSET;
    } else {
        bytes = 0;
        for (unsigned i = 0; i < width; i++) {
            bytes |= (uint64_t)image[offset + i] << 8 * i;
        }
    }
    TPMAccess got = tpmdev_device_read(machine->device, offset, width, &value);

    if (got != wanted || value != bytes) {
        fail_msg("device %u offset %04x width %u: access %d value %" G_GINT64_MODIFIER
                 "x, not %d %" G_GINT64_MODIFIER "x",
                 on, (unsigned)offset, width, (int)got, value, (int)wanted, bytes);
    }
}

static void assert_matrix(TISMachine *machine, unsigned on, const uint8_t *image)
{
    for (uint32_t offset = 0; offset < region_of(on) + 16; offset++) {
        for (unsigned width = 0; width <= 9; width++) {
            assert_cell(machine, on, image, offset, width);
        }
    }
}

static void test_every_offset_and_width_reads_as_the_table_says(void **state)
{
    static uint8_t image[REGION_MAX];

    (void)state;
    for (unsigned on = 0; on < N_DEVICES; on++) {
        TISMachine *machine = machine_with(on);

        make_image(image, on, NOBODY);
        assert_int_equal(tpmdev_device_get_size(machine->device), region_of(on));
        assert_matrix(machine, on, image);
        tis_machine_free(machine);
    }
}

static void test_every_offset_and_width_reads_so_while_a_locality_has_the_device(void **state)
{
    static uint8_t image[REGION_MAX];

    (void)state;
    for (unsigned on = 0; on < N_DEVICES; on++) {
        unsigned active = on & LOCALITIES ? on % 5 : 0;
        TISMachine *machine = machine_with(on);

        crb_request(machine, active);
        make_image(image, on, active);
        assert_matrix(machine, on, image);
        tis_machine_free(machine);
    }
}

/* ---- writing ---- */

/* What is left of a write of all ones: the buffer, and the interrupts that are there to enable. */
static void write_ones(uint8_t *image, unsigned on, unsigned active, uint32_t offset,
                       unsigned width)
{
    static const uint8_t enable[4] = { 0x0F, 0, 0, 0x80 };

    for (uint32_t at = offset; at < offset + width; at++) {
        uint32_t reg = at % PAGE;
        bool mine = !(on & LOCALITIES) || at / PAGE == active;

        if (mine && reg >= REG_BUFFER) {
            image[at] = 0xFF;
        } else if (mine && on & INTERRUPTS && reg >= REG_CRB_ENABLE && reg < REG_CRB_ENABLE + 4) {
            image[at] = enable[reg - REG_CRB_ENABLE];
        }
    }
}

static bool touches(uint32_t offset, unsigned width, uint32_t reg)
{
    return offset % PAGE < reg + 4 && offset % PAGE + width > reg;
}

/*
 * All ones are several requests at once, which are none; but with chunks they are Start, and a
 * lane of Start is not what this test is about.
 */
static void test_all_ones_written_anywhere_change_the_buffer_and_int_enable_alone(void **state)
{
    static uint8_t image[REGION_MAX];

    (void)state;
    for (unsigned on = 0; on < N_DEVICES; on++) {
        unsigned active = on & LOCALITIES ? 1 + on % 4 : 0;
        TISMachine *machine = machine_with(on);

        crb_request(machine, active);
        make_image(image, on, active);
        for (unsigned width = 1; width <= 8; width *= 2) {
            for (uint32_t offset = 0; offset + width <= region_of(on); offset++) {
                if (on & CHUNK && touches(offset, width, REG_CTRL_START)) {
                    continue;
                }
                tis_write(machine, 0, offset, width, UINT64_MAX);
                write_ones(image, on, active, offset, width);
            }
            assert_matrix(machine, on, image);
        }
        assert_int_equal(machine->tpm->submits + machine->tpm->cancels, 0);
        tis_machine_free(machine);
    }
}

static void test_reset_gives_every_register_its_reset_value(void **state)
{
    static uint8_t image[REGION_MAX];

    (void)state;
    for (unsigned on = 0; on < N_DEVICES; on++) {
        unsigned active = on & LOCALITIES ? 4 : 0;
        TISMachine *machine = machine_with(on);

        crb_request(machine, active);
        tis_write(machine, active, REG_CTRL_REQ, 4, REQ_CMD_READY);
        tis_write(machine, active, REG_CRB_ENABLE, 4, CRB_INT_ALL);
        crb_put(machine, active, command_2_0, sizeof(command_2_0));
        tis_write(machine, active, REG_CTRL_START, 4, on & CHUNK ? START_NEXT : START_GO);
        tpmdev_device_reset(machine->device);
        make_image(image, on, NOBODY);
        assert_matrix(machine, on, image);
        tis_machine_free(machine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_offset_and_width_reads_as_the_table_says),
        cmocka_unit_test(test_every_offset_and_width_reads_so_while_a_locality_has_the_device),
        cmocka_unit_test(test_all_ones_written_anywhere_change_the_buffer_and_int_enable_alone),
        cmocka_unit_test(test_reset_gives_every_register_its_reset_value),
    };

    return cmocka_run_group_tests_name("crb-properties", tests, NULL, NULL);
}
