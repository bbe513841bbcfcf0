/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The resources of a CRB device in its SSDT (acpi/ssdt.c): its pages, and the page of its buffer.
 * All else of the table is in test-acpi.c, byte by byte.
 */
#include "crb-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DESCRIPTOR_SIZE 12u /* of Memory32Fixed (ACPI 6.5, 6.4.3.4) */
#define QWORD_SIZE      46u /* of QWordMemory (6.4.3.5.1) */

typedef struct Resource {
    uint32_t base;
    uint32_t size;
} Resource;

static uint32_t get_le32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* The descriptors of the buffer that _CRS names; how many there are. */
static unsigned find_resources(const uint8_t *aml, size_t size, Resource *found, unsigned max)
{
    static const uint8_t header[] = { 0x86, 9, 0, 1 }; /* read and write */
    unsigned n = 0;

    for (size_t i = 0; i + DESCRIPTOR_SIZE <= size && n < max; i++) {
        if (memcmp(aml + i, header, sizeof(header)) == 0) {
            found[n++] = (Resource){ get_le32(aml + i + 4), get_le32(aml + i + 8) };
            i += DESCRIPTOR_SIZE - 1;
        }
    }
    return n;
}

/* _CRS of such a device; returns the table's size. */
static size_t assert_resources(bool localities, uint64_t page, const Resource *wanted, unsigned n)
{
    TISMachine *machine = crb_machine_prepare();
    Resource found[4];
    gsize size;

    machine->config.localities = localities;
    machine->config.buffer_address = page;
    tis_machine_plug(machine);
    GBytes *table = tpmdev_acpi_ssdt(machine->device, NULL, NULL);

    assert_non_null(table);
    const uint8_t *bytes = g_bytes_get_data(table, &size);
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    assert_int_equal(sum, 0);
    assert_int_equal(get_le32(bytes + 4), size);
    assert_int_equal(find_resources(bytes, size, found, G_N_ELEMENTS(found)), n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(found[i].base, wanted[i].base);
        assert_int_equal(found[i].size, wanted[i].size);
    }
    g_bytes_unref(table);
    tis_machine_free(machine);
    return size;
}

static void test_crs_names_the_page_of_the_buffer(void **state)
{
    static const Resource wanted[] = { { 0xFED40000, 0x1000 }, { 0xFED60000, 0x1000 } };
    size_t without = assert_resources(false, 0, wanted, 1);

    (void)state;
    assert_int_equal(assert_resources(false, 0xFED60000, wanted, 2), without + DESCRIPTOR_SIZE);
}

static void test_crs_of_localities_names_five_pages(void **state)
{
    static const Resource wanted[] = { { 0xFED40000, 0x5000 }, { 0xFED45000, 0x1000 } };

    (void)state;
    assert_resources(true, 0, wanted, 1);
    assert_resources(true, 0xFED45000, wanted, 2);
}

/* It ends at 4 GiB at the latest, else it takes the longer descriptor. */
static void test_crs_names_a_page_wherever_it_is(void **state)
{
    static const Resource wanted[] = { { 0xFED40000, 0x1000 }, { 0xFFFFF000, 0x1000 } };
    size_t one = assert_resources(false, 0, wanted, 1);

    (void)state;
    assert_resources(false, 0xFFFFF000, wanted, 2);
    assert_int_equal(assert_resources(false, 0x100000000, wanted, 1), one + QWORD_SIZE);
    assert_int_equal(assert_resources(false, 0x1FED60000, wanted, 1), one + QWORD_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crs_names_the_page_of_the_buffer),
        cmocka_unit_test(test_crs_of_localities_names_five_pages),
        cmocka_unit_test(test_crs_names_a_page_wherever_it_is),
    };

    return cmocka_run_group_tests_name("acpi-crb", tests, NULL, NULL);
}
