/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The physical presence interface in the SSDT (acpi/ppi-aml.c): where it is, and which addresses it
 * names. What its methods do is in tests/acpi, where an interpreter evaluates them.
 */
#include "ppi-layout.h"
#include "table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <tpmdev/tpmdev.h>

static void clear_memory(void *opaque)
{
    (void)opaque;
}

/* The SSDT of a device with its memory there; 0: with none. */
static GBytes *ssdt_with(TPMInterface interface, TPMVersion version, uint64_t ppi_address)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", version, NULL);

    config.interface = interface;
    config.ppi_address = ppi_address;
    host.clear_memory = clear_memory;
    TPMDevice *device = tpmdev_device_new(&config, backend, &host, NULL, NULL);
    GBytes *ssdt = tpmdev_acpi_ssdt(device, NULL, NULL);

    assert_non_null(ssdt);
    tpmdev_device_free(device);
    tpmdev_backend_unref(backend);
    return ssdt;
}

/* How often these bytes are in the table, and where the last of them begin. */
static unsigned find(GBytes *table, const void *bytes, size_t size, size_t *at)
{
    gsize table_size;
    const uint8_t *data = g_bytes_get_data(table, &table_size);
    unsigned count = 0;

    for (gsize i = 0; i + size <= table_size; i++) {
        if (memcmp(data + i, bytes, size) == 0) {
            *at = i;
            count++;
        }
    }
    return count;
}

static void assert_once(GBytes *table, const void *bytes, size_t size)
{
    size_t at = 0;

    assert_int_equal(find(table, bytes, size, &at), 1);
}

/* All that names the device stands before it, as it is without. */
static void test_interface_is_behind_all_else_of_the_device(void **state)
{
    static const struct {
        TPMInterface interface;
        TPMVersion version;
    } cases[] = {
        { TPM_INTERFACE_TIS, TPM_VERSION_1_2 },
        { TPM_INTERFACE_TIS, TPM_VERSION_2_0 },
        { TPM_INTERFACE_CRB, TPM_VERSION_2_0 },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GBytes) with = ssdt_with(cases[i].interface, cases[i].version, TPM_PPI_ADDRESS);
        g_autoptr(GBytes) without = ssdt_with(cases[i].interface, cases[i].version, 0);
        const uint8_t *bytes = g_bytes_get_data(with, NULL);
        const uint8_t *fewer = g_bytes_get_data(without, NULL);
        size_t hid = 0, hid_without = 0, region = 0;

        assert_int_equal(find(with, "_HID", 4, &hid), 1);
        assert_int_equal(find(without, "_HID", 4, &hid_without), 1);
        size_t common = g_bytes_get_size(without) - hid_without;

        assert_memory_equal(bytes + hid, fewer + hid_without, common);
        assert_int_equal(find(with, "\x5B\x80TPP2", 6, &region), 1);
        assert_int_equal(region, hid + common);
    }
}

static void test_device_without_memory_has_no_method(void **state)
{
    g_autoptr(GBytes) ssdt = ssdt_with(TPM_INTERFACE_TIS, TPM_VERSION_2_0, 0);
    size_t at = 0;

    (void)state;
    assert_int_equal(find(ssdt, "_DSM", 4, &at), 0);
    assert_int_equal(find(ssdt, "TPP", 3, &at), 0);
}

/* Integers of every form: an address below 64 KiB takes two bytes, one of 32 bits four. */
static void test_regions_are_where_the_memory_is(void **state)
{
    static const struct {
        uint64_t address;
        unsigned size; /* of the three integers with their prefixes */
        uint8_t tail[6];
        uint8_t movv[6];
        uint8_t operations[6];
    } cases[] = {
        { 0xFED45000,
          5,
          { 0x0C, 0x00, 0x51, 0xD4, 0xFE },
          { 0x0C, 0x5A, 0x51, 0xD4, 0xFE },
          { 0x0C, 0x00, 0x50, 0xD4, 0xFE } },
        { 0xFFFFFC00,
          5,
          { 0x0C, 0x00, 0xFD, 0xFF, 0xFF },
          { 0x0C, 0x5A, 0xFD, 0xFF, 0xFF },
          { 0x0C, 0x00, 0xFC, 0xFF, 0xFF } },
        { 0x00010000,
          5,
          { 0x0C, 0x00, 0x01, 0x01, 0x00 },
          { 0x0C, 0x5A, 0x01, 0x01, 0x00 },
          { 0x0C, 0x00, 0x00, 0x01, 0x00 } },
        { 0x0000FC00, 3, { 0x0B, 0x00, 0xFD }, { 0x0B, 0x5A, 0xFD }, { 0x0B, 0x00, 0xFC } },
        { 0x00000400, 3, { 0x0B, 0x00, 0x05 }, { 0x0B, 0x5A, 0x05 }, { 0x0B, 0x00, 0x04 } },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GBytes) ssdt = ssdt_with(TPM_INTERFACE_TIS, TPM_VERSION_2_0, cases[i].address);
        unsigned size = cases[i].size;
        uint8_t bytes[16] = "\x5B\x80TPP2"; /* OperationRegion (TPP2, SystemMemory, ..., 0x5A) */

        memcpy(bytes + 7, cases[i].tail, size);
        memcpy(bytes + 7 + size, "\x0A\x5A", 2);
        assert_once(ssdt, bytes, 7 + size + 2);
        bytes[5] = '3'; /* OperationRegion (TPP3, SystemMemory, ..., One) */
        memcpy(bytes + 7, cases[i].movv, size);
        memcpy(bytes + 7 + size, "\x01", 1);
        assert_once(ssdt, bytes, 7 + size + 1);
        bytes[5] = '1'; /* OperationRegion (TPP1, SystemMemory, Add (..., Arg0), One) */
        bytes[7] = 0x72;
        memcpy(bytes + 8, cases[i].operations, size);
        memcpy(bytes + 8 + size, "\x68\0\x01", 3);
        assert_once(ssdt, bytes, 8 + size + 3);
    }
}

/* Each field, with the offset it has by the widths of those before it. */
static void test_fields_are_those_of_the_layout(void **state)
{
    static const struct {
        const char *name;
        unsigned offset;
        unsigned bits;
    } fields[] = {
        { "PPIN", TPM_PPI_PPIN, 8 },  { "PPIP", TPM_PPI_PPIP, 32 }, { "PPRP", TPM_PPI_PPRP, 32 },
        { "PPRQ", TPM_PPI_PPRQ, 32 }, { "PPRM", TPM_PPI_PPRM, 32 }, { "LPPR", TPM_PPI_LPPR, 32 },
        { "FRET", TPM_PPI_FRET, 32 },
    };
    g_autoptr(GBytes) ssdt = ssdt_with(TPM_INTERFACE_TIS, TPM_VERSION_2_0, TPM_PPI_ADDRESS);
    GByteArray *expected = g_byte_array_new();
    unsigned offset = TPM_PPI_PPIN;

    (void)state;
    /* Field (TPP2, AnyAcc, NoLock, Preserve) { */
    g_byte_array_append(expected, (const uint8_t *)"\x5B\x81\x31TPP2\0", 8);
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        uint8_t bits = (uint8_t)fields[i].bits;

        assert_int_equal(fields[i].offset, offset);
        g_byte_array_append(expected, (const uint8_t *)fields[i].name, 4);
        g_byte_array_append(expected, &bits, 1);
        offset += fields[i].bits / 8;
    }
    assert_int_equal(offset, TPM_PPI_RES1);
    g_byte_array_append(expected, (const uint8_t *)"\0\x40\x20NEXT\x08", 8); /* 512 bits, NEXT */
    assert_int_equal(TPM_PPI_RES1 + 512 / 8, TPM_PPI_NEXT_STEP);
    assert_int_equal(TPM_PPI_NEXT_STEP + 1, TPM_PPI_MOVV);
    assert_int_equal(expected->len, 2 + 0x31);
    assert_once(ssdt, expected->data, expected->len);
    /* Field (TPP3, ByteAcc, NoLock, Preserve) { MOVV, 8 } */
    assert_once(ssdt, "\x5B\x81\x0BTPP3\x01MOVV\x08", 13);
    g_byte_array_unref(expected);
}

static void test_method_knows_both_interfaces(void **state)
{
    static const uint8_t ppi[] = { 0xA6, 0xFA, 0xDD, 0x3D, 0x1B, 0x36, 0xB4, 0x4E,
                                   0xA4, 0x24, 0x8D, 0x10, 0x08, 0x9D, 0x16, 0x53 };
    static const uint8_t memory_clear[] = { 0xED, 0x54, 0x60, 0x37, 0x13, 0xCC, 0x75, 0x46,
                                            0x90, 0x1C, 0x47, 0x56, 0xD7, 0xF2, 0xD4, 0x5D };
    g_autoptr(GBytes) ssdt = ssdt_with(TPM_INTERFACE_TIS, TPM_VERSION_2_0, TPM_PPI_ADDRESS);

    (void)state;
    assert_once(ssdt, ppi, sizeof(ppi));
    assert_once(ssdt, memory_clear, sizeof(memory_clear));
    assert_once(ssdt, "_DSM\x0C", 5); /* four arguments, serialized */
    assert_once(ssdt, "TPFN\x09", 5); /* one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interface_is_behind_all_else_of_the_device),
        cmocka_unit_test(test_device_without_memory_has_no_method),
        cmocka_unit_test(test_regions_are_where_the_memory_is),
        cmocka_unit_test(test_fields_are_those_of_the_layout),
        cmocka_unit_test(test_method_knows_both_interfaces),
    };

    return cmocka_run_group_tests_name("ppi-aml", tests, NULL, NULL);
}
