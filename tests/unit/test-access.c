/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bounds, width and lanes (hw/tpm/access.c), alone and through a device: every offset of a fresh
 * device at every width is compared with the table of bytes below.
 */
#include "access.h"
#include "made-tests.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define REGION   0x5000u
#define LOCALITY 0x1000u

/* ---- tpm_access_check() ---- */

static void test_only_powers_of_two_up_to_8_are_widths(void **state)
{
    (void)state;
    for (unsigned width = 0; width <= 64; width++) {
        bool good = width == 1 || width == 2 || width == 4 || width == 8;

        assert_int_equal(tpm_access_check(REGION, 0, width),
                         good ? TPM_ACCESS_OK : TPM_ACCESS_BAD_WIDTH);
    }
    assert_int_equal(tpm_access_check(REGION, 0, UINT32_MAX), TPM_ACCESS_BAD_WIDTH);
}

static void test_width_is_judged_before_offset(void **state)
{
    (void)state;
    assert_int_equal(tpm_access_check(REGION, UINT64_MAX, 3), TPM_ACCESS_BAD_WIDTH);
}

static void test_access_must_end_inside_the_region(void **state)
{
    static const unsigned widths[] = { 1, 2, 4, 8 };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(widths); i++) {
        for (uint64_t offset = REGION - 10; offset < REGION + 10; offset++) {
            assert_int_equal(tpm_access_check(REGION, offset, widths[i]),
                             offset + widths[i] <= REGION ? TPM_ACCESS_OK : TPM_ACCESS_BAD_OFFSET);
        }
    }
}

static void test_offset_near_its_maximum_does_not_wrap(void **state)
{
    static const unsigned widths[] = { 1, 2, 4, 8 };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(widths); i++) {
        for (uint64_t back = 0; back < 16; back++) {
            assert_int_equal(tpm_access_check(REGION, UINT64_MAX - back, widths[i]),
                             TPM_ACCESS_BAD_OFFSET);
        }
        assert_int_equal(tpm_access_check(REGION, G_GUINT64_CONSTANT(1) << 32, widths[i]),
                         TPM_ACCESS_BAD_OFFSET);
    }
}

/* ---- tpm_access_first_piece() ---- */

static void test_piece_is_the_widest_that_is_aligned(void **state)
{
    /* by offset modulo 4 and width that is left: the width of the piece */
    static const unsigned expected[4][9] = {
        { 0, 1, 2, 2, 4, 4, 4, 4, 4 },
        { 0, 1, 1, 1, 1, 1, 1, 1, 1 },
        { 0, 1, 2, 2, 2, 2, 2, 2, 2 },
        { 0, 1, 1, 1, 1, 1, 1, 1, 1 },
    };

    (void)state;
    for (uint32_t offset = 0x18; offset < 0x20; offset++) {
        for (unsigned left = 1; left <= 8; left++) {
            TPMPiece piece;

            tpm_access_first_piece(offset, left, &piece);
            assert_int_equal(piece.width, expected[offset % 4][left]);
            assert_int_equal(piece.reg, offset < 0x1C ? 0x18 : 0x1C);
            assert_int_equal(piece.lane, offset % 4);
        }
    }
}

static void test_mask_covers_the_bytes_of_the_piece(void **state)
{
    static const struct {
        uint32_t offset;
        unsigned width;
        uint32_t mask;
    } cases[] = {
        { 0, 4, 0xFFFFFFFF }, { 0, 2, 0x0000FFFF }, { 2, 2, 0xFFFF0000 }, { 0, 1, 0x000000FF },
        { 1, 1, 0x0000FF00 }, { 2, 1, 0x00FF0000 }, { 3, 1, 0xFF000000 }, { 1, 2, 0x0000FF00 },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TPMPiece piece;

        tpm_access_first_piece(cases[i].offset, cases[i].width, &piece);
        assert_int_equal(piece.mask, cases[i].mask);
    }
}

/* ---- through a device ---- */

static void test_bad_width_reads_all_ones_and_writes_nothing(void **state)
{
    static const unsigned widths[] = { 0, 3, 5, 6, 7, 9, 16, UINT32_MAX };
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(widths); i++) {
        uint64_t value = 0;

        assert_int_equal(tpmdev_device_read(machine->device, 0, widths[i], &value),
                         TPM_ACCESS_BAD_WIDTH);
        assert_int_equal(value, UINT64_MAX);
        assert_int_equal(tpmdev_device_write(machine->device, 0, widths[i], ACCESS_REQUEST),
                         TPM_ACCESS_BAD_WIDTH);
        assert_int_equal(tis_access(machine, 0), ACCESS_IDLE);
    }
}

static void test_bad_offset_reads_all_ones_and_writes_nothing(void **state)
{
    static const uint64_t offsets[] = {
        0x5000, 0x4FFF, 0x5001, 0xFFFFFFFF, 0x100000000, UINT64_MAX, UINT64_MAX - 1,
    };
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(offsets); i++) {
        uint64_t value = 0;

        assert_int_equal(tpmdev_device_read(machine->device, offsets[i], 2, &value),
                         TPM_ACCESS_BAD_OFFSET);
        assert_int_equal(value, UINT64_MAX);
        assert_int_equal(tpmdev_device_write(machine->device, offsets[i], 2, ACCESS_REQUEST),
                         TPM_ACCESS_BAD_OFFSET);
    }
    assert_int_equal(tis_access(machine, 0), ACCESS_IDLE);
}

static void test_refused_accesses_are_not_counted(void **state)
{
    TISMachine *machine = *state;
    TPMDeviceStatistics before = tis_statistics(machine);
    uint64_t value;

    tpmdev_device_read(machine->device, 0, 3, &value);
    tpmdev_device_write(machine->device, 0x5000, 1, 0);
    assert_int_equal(tis_statistics(machine).reads, before.reads);
    assert_int_equal(tis_statistics(machine).writes, before.writes);
    tis_read(machine, 0, REG_ACCESS, 8);
    tis_write(machine, 0, REG_ACCESS, 8, 0);
    assert_int_equal(tis_statistics(machine).reads, before.reads + 1);
    assert_int_equal(tis_statistics(machine).writes, before.writes + 1);
}

static void test_eight_byte_write_reaches_both_registers(void **state)
{
    TISMachine *machine = *state;

    /* INT_ENABLE of the active locality, and the read-only INT_VECTOR behind it */
    tis_request(machine, 0);
    tis_write(machine, 0, REG_INT_ENABLE, 8, G_GUINT64_CONSTANT(0x000000FF80000084));
    assert_int_equal(tis_read(machine, 0, REG_INT_ENABLE, 8),
                     G_GUINT64_CONSTANT(0x0000000580000084));
}

static void test_unaligned_write_reaches_the_bytes_it_covers(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_write(machine, 0, REG_INT_ENABLE, 4, 0x80000087);
    tis_write(machine, 0, REG_INT_ENABLE + 1, 2, 0xFFFF);
    assert_int_equal(tis_read(machine, 0, REG_INT_ENABLE, 4), 0x80000087);
    tis_write(machine, 0, REG_INT_ENABLE + 1, 4, 0);
    assert_int_equal(tis_read(machine, 0, REG_INT_ENABLE, 4), 0x00000087);
}

/* The FIFO gives its bytes in the order of the pieces, so from the lowest address up. */
static void test_spanning_read_takes_the_fifo_from_the_lowest_address_up(void **state)
{
    TISMachine *machine = *state;

    fake_backend_respond_with_size(machine->tpm, 16);
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    /* one byte before the FIFO, then two bytes of it, one at a time by their alignment */
    assert_int_equal(tis_read(machine, 0, REG_FIFO - 1, 2), 0x80FF);
    assert_int_equal(tis_read(machine, 0, REG_FIFO, 1), 0x01);
    assert_int_equal(tis_read(machine, 0, REG_FIFO, 8), G_GUINT64_CONSTANT(0xFFFFFFFF10000000));
    assert_int_equal(tis_read(machine, 0, REG_XDATA, 8), G_GUINT64_CONSTANT(0x0D0C0B0A00000000));
    assert_int_equal(tis_read(machine, 0, REG_XDATA + 0x3F, 1), 0x0E);
}

/* ---- every offset at every width ---- */

typedef struct Matrix {
    TPMVersion version;
    unsigned locality;
    unsigned width;
} Matrix;

/* A register of a fresh device; all others read as all ones. */
static uint32_t fresh_register(TPMVersion version, uint32_t offset)
{
    switch (offset) {
    case 0x000:
        return 0x00000081;
    case 0x008:
        return 0x00000008;
    case 0x00C:
        return 0x00000005;
    case 0x010:
        return 0x00000000;
    case 0x014:
        return version == TPM_VERSION_1_2 ? 0x20000697 : 0x30000697;
    case 0x030:
        return version == TPM_VERSION_1_2 ? 0xFFFFFFFF : 0x00002100;
    case 0xF00:
        return 0x00011014;
    case 0xF04:
        return 0x00000001;
    default:
        return 0xFFFFFFFF;
    }
}

static uint64_t fresh_bytes(TPMVersion version, uint32_t offset, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++) {
        uint32_t at = (offset + i) % LOCALITY;
        uint64_t byte = fresh_register(version, at & ~3u) >> 8 * (at & 3) & 0xFF;

        value |= byte << 8 * i;
    }
    return value;
}

static void test_fresh_reads(void **state)
{
    const Matrix *matrix = *state;
    TISMachine *machine = tis_machine_new(matrix->version);

    for (uint32_t i = 0; i < LOCALITY; i++) {
        uint32_t offset = matrix->locality * LOCALITY + i;
        bool inside = offset + matrix->width <= REGION;
        uint64_t value = 0;

        assert_int_equal(tpmdev_device_read(machine->device, offset, matrix->width, &value),
                         inside ? TPM_ACCESS_OK : TPM_ACCESS_BAD_OFFSET);
        uint64_t expected =
            inside ? fresh_bytes(matrix->version, offset, matrix->width) : UINT64_MAX;
        if (value != expected) {
            fail_msg("offset %#x, width %u: %#" G_GINT64_MODIFIER "x, not %#" G_GINT64_MODIFIER "x",
                     offset, matrix->width, value, expected);
        }
    }
    assert_int_equal(fake_host_guest_errors(&machine->host), 0);
    tis_machine_free(machine);
}

/* Would a write of this width at this place touch the register? */
static bool touches(uint32_t offset, unsigned width, uint32_t reg)
{
    for (unsigned i = 0; i < width; i++) {
        if (((offset + i) % LOCALITY & ~3u) == reg) {
            return true;
        }
    }
    return false;
}

/* TPM_ACCESS alone, and the lock of INTERFACE_ID, do anything for a locality that is not active. */
static void test_fresh_writes(void **state)
{
    const Matrix *matrix = *state;
    TISMachine *machine = tis_machine_new(matrix->version);

    for (uint32_t i = 0; i < LOCALITY; i++) {
        uint32_t offset = matrix->locality * LOCALITY + i;

        if (!touches(offset, matrix->width, REG_ACCESS) &&
            !touches(offset, matrix->width, REG_INTERFACE_ID)) {
            tpmdev_device_write(machine->device, offset, matrix->width, UINT64_MAX);
        }
    }
    for (uint32_t offset = 0; offset < REGION; offset += 4) {
        uint64_t value = 0;

        tpmdev_device_read(machine->device, offset, 4, &value);
        assert_int_equal(value, fresh_bytes(matrix->version, offset, 4));
    }
    assert_int_equal(machine->tpm->submits, 0);
    tis_machine_free(machine);
}

/* ---- all of them ---- */

#define DEVICE_TEST(function) cmocka_unit_test_setup_teardown(function, tis_setup_2_0, tis_teardown)

static const struct CMUnitTest named_tests[] = {
    cmocka_unit_test(test_only_powers_of_two_up_to_8_are_widths),
    cmocka_unit_test(test_width_is_judged_before_offset),
    cmocka_unit_test(test_access_must_end_inside_the_region),
    cmocka_unit_test(test_offset_near_its_maximum_does_not_wrap),
    cmocka_unit_test(test_piece_is_the_widest_that_is_aligned),
    cmocka_unit_test(test_mask_covers_the_bytes_of_the_piece),
    DEVICE_TEST(test_bad_width_reads_all_ones_and_writes_nothing),
    DEVICE_TEST(test_bad_offset_reads_all_ones_and_writes_nothing),
    DEVICE_TEST(test_refused_accesses_are_not_counted),
    DEVICE_TEST(test_eight_byte_write_reaches_both_registers),
    DEVICE_TEST(test_unaligned_write_reaches_the_bytes_it_covers),
    DEVICE_TEST(test_spanning_read_takes_the_fifo_from_the_lowest_address_up),
};

static void add_matrix(MadeTests *tests, const Matrix *matrix)
{
    const char *version = matrix->version == TPM_VERSION_1_2 ? "1_2" : "2_0";

    made_tests_add(tests, test_fresh_reads, matrix, sizeof(*matrix),
                   "test_fresh_%s_locality_%u_reads_its_table_at_width_%u", version,
                   matrix->locality, matrix->width);
    made_tests_add(tests, test_fresh_writes, matrix, sizeof(*matrix),
                   "test_fresh_%s_locality_%u_ignores_writes_of_width_%u", version,
                   matrix->locality, matrix->width);
}

int main(void)
{
    MadeTests *tests = made_tests_new();

    made_tests_add_named(tests, named_tests, G_N_ELEMENTS(named_tests));
    for (unsigned version = 0; version < 2; version++) {
        for (unsigned locality = 0; locality < 5; locality++) {
            for (unsigned log = 0; log < 4; log++) {
                add_matrix(tests, &(Matrix){ version + TPM_VERSION_1_2, locality, 1u << log });
            }
        }
    }
    return made_tests_run(tests, "access");
}
