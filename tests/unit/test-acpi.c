/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes firmware gets: AML at every boundary of its encodings, and the finished tables beside
 * the ASL they say. Where iasl is installed it judges them too: it takes our bytes apart, puts
 * them together again, and compiles the ASL that stands here to the same bytes.
 */
#include "aml.h"
#include "table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <tpmdev/tpmdev.h>

#define LOG_ADDRESS UINT64_C(0x123456789ABCDE00)

/* ---- AML ---- */

static void assert_aml(TPMAml *aml, const void *expected, size_t size)
{
    const char *fault;

    assert_true(tpm_aml_finish(aml, &fault));
    assert_null(fault);
    assert_int_equal(aml->bytes->len, size);
    assert_memory_equal(aml->bytes->data, expected, size);
    g_byte_array_unref(aml->bytes);
}

static void assert_fault(TPMAml *aml, const char *expected)
{
    const char *fault;

    assert_false(tpm_aml_finish(aml, &fault));
    assert_string_equal(fault, expected);
    g_byte_array_unref(aml->bytes);
}

static TPMAml new_aml(void)
{
    TPMAml aml;

    tpm_aml_begin(&aml, g_byte_array_new());
    return aml;
}

static void test_integer_takes_its_shortest_form(void **state)
{
    static const struct {
        uint64_t value;
        unsigned size;
        uint8_t bytes[9];
    } cases[] = {
        { 0, 1, { 0x00 } },
        { 1, 1, { 0x01 } },
        { 2, 2, { 0x0A, 0x02 } },
        { 0xFF, 2, { 0x0A, 0xFF } },
        { 0x100, 3, { 0x0B, 0x00, 0x01 } },
        { 0xFFFF, 3, { 0x0B, 0xFF, 0xFF } },
        { 0x10000, 5, { 0x0C, 0x00, 0x00, 0x01, 0x00 } },
        { 0xFFFFFFFF, 5, { 0x0C, 0xFF, 0xFF, 0xFF, 0xFF } },
        { 0x100000000, 9, { 0x0E, 0, 0, 0, 0, 1, 0, 0, 0 } },
        { UINT64_MAX, 9, { 0x0E, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF } },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TPMAml aml = new_aml();

        tpm_aml_integer(&aml, cases[i].value);
        assert_aml(&aml, cases[i].bytes, cases[i].size);
    }
}

static void test_pkg_length_counts_its_own_bytes(void **state)
{
    static const struct {
        uint32_t size;
        unsigned count;
        uint8_t bytes[4];
    } cases[] = {
        { 0, 1, { 0x01 } },
        { 0x3E, 1, { 0x3F } },
        { 0x3F, 2, { 0x41, 0x04 } },
        { 0xFFF - 2, 2, { 0x4F, 0xFF } },
        { 0xFFF - 1, 3, { 0x81, 0x00, 0x01 } },
        { 0xFFFFF - 3, 3, { 0x8F, 0xFF, 0xFF } },
        { 0xFFFFF - 2, 4, { 0xC1, 0x00, 0x00, 0x01 } },
        { 0xFFFFFFF - 4, 4, { 0xCF, 0xFF, 0xFF, 0xFF } },
        { 0xFFFFFFF - 3, 0, { 0 } },
        { UINT32_MAX, 0, { 0 } },
    };
    uint8_t out[TPM_AML_PKG_LENGTH_SIZE_MAX];

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_int_equal(tpm_aml_pkg_length(cases[i].size, out), cases[i].count);
        assert_memory_equal(out, cases[i].bytes, cases[i].count);
    }
}

static void test_name_string_has_a_prefix_for_its_number_of_segments(void **state)
{
    static const struct {
        const char *path;
        unsigned size;
        const char *bytes;
    } cases[] = {
        { "\\", 2, "\\\0" },
        { "A", 4, "A___" },
        { "TPM0", 4, "TPM0" },
        { "_HID", 4, "_HID" },
        { "\\_SB", 5, "\\_SB_" },
        { "\\_SB.PCI0", 10, "\\\x2E_SB_PCI0" },
        { "\\_SB.PCI0.SF8", 15, "\\\x2F\x03_SB_PCI0SF8_" },
        { "A.B", 9,
          "\x2E"
          "A___B___" },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TPMAml aml = new_aml();

        tpm_aml_name_string(&aml, cases[i].path);
        assert_aml(&aml, cases[i].bytes, cases[i].size);
    }
}

/* "A.A. ... .A" of this many names */
static char *path_of(unsigned segments)
{
    GString *path = g_string_new("A");

    while (--segments) {
        g_string_append(path, ".A");
    }
    return g_string_free(path, FALSE);
}

static void test_name_string_of_255_segments_is_the_longest(void **state)
{
    TPMAml aml = new_aml();
    char *longest = path_of(255);
    char *too_long = path_of(256);

    (void)state;
    tpm_aml_name_string(&aml, longest);
    assert_int_equal(aml.bytes->len, 2 + 255 * 4);
    assert_int_equal(aml.bytes->data[1], 255);
    tpm_aml_name_string(&aml, too_long);
    assert_fault(&aml, "a path is not made of names of one to four of A-Z, 0-9 and _");
    g_free(longest);
    g_free(too_long);
}

static void test_name_string_refuses_what_is_no_path(void **state)
{
    static const char *const wrong[] = {
        "", "a", "1A", "ABCDE", "A.", ".A", "A..B", "\\A.b", "A B", "^A", "\\\\A",
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        TPMAml aml = new_aml();

        tpm_aml_name_string(&aml, wrong[i]);
        assert_int_equal(aml.bytes->len, 0);
        assert_fault(&aml, "a path is not made of names of one to four of A-Z, 0-9 and _");
    }
}

static void test_eisa_id_packs_letters_and_digits(void **state)
{
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_eisa_id(&aml, "PNP0C31"); /* EisaId ("PNP0C31") */
    assert_aml(&aml, "\x0C\x41\xD0\x0C\x31", 5);
}

static void test_eisa_id_refuses_what_is_none(void **state)
{
    static const char *const wrong[] = {
        "", "PNP0C3", "PNP0C311", "pnp0C31", "PN00C31", "PNP0c31"
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        TPMAml aml = new_aml();

        tpm_aml_eisa_id(&aml, wrong[i]);
        assert_fault(&aml, "an EISA id is not three letters and four hexadecimal digits");
    }
}

static void test_string_is_ascii_with_its_nul(void **state)
{
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_string(&aml, "TPM"); /* "TPM" */
    assert_aml(&aml, "\x0DTPM", 5);
    aml = new_aml();
    tpm_aml_string(&aml, "TP\xC3\x9C");
    assert_fault(&aml, "a string is not ASCII");
}

static void test_unicode_is_a_buffer_of_utf_16(void **state)
{
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_unicode(&aml, "TP"); /* Unicode ("TP") */
    assert_aml(&aml, "\x11\x09\x0A\x06T\0P\0\0", 10);
    aml = new_aml();
    tpm_aml_unicode(&aml, "\xC3\x9C");
    assert_fault(&aml, "a string is not ASCII");
}

static void test_block_of_63_bytes_takes_a_longer_length(void **state)
{
    static const char text[] = "012345678901234567890123456789012345678901234567890123";
    TPMAml aml = new_aml();

    (void)state;
    /* A block of 3Eh bytes, then one of a byte more. */
    tpm_aml_scope(&aml, "\\");      /* Scope (\) { */
    tpm_aml_name(&aml, "A");        /* Name (A, */
    tpm_aml_string(&aml, text + 1); /* "123...") */
    tpm_aml_end(&aml);              /* } */
    tpm_aml_scope(&aml, "\\");      /* Scope (\) { */
    tpm_aml_name(&aml, "A");        /* Name (A, */
    tpm_aml_string(&aml, text);     /* "012...") */
    tpm_aml_end(&aml);              /* } */
    assert_int_equal(aml.bytes->len, 1 + 1 + 0x3E + 1 + 2 + 0x3F);
    assert_memory_equal(aml.bytes->data, "\x10\x3F\\\0", 4);
    assert_memory_equal(aml.bytes->data + 64, "\x10\x41\x04\\\0", 5);
    g_byte_array_unref(aml.bytes);
}

static void test_resource_template_is_a_buffer_with_an_end_tag(void **state)
{
    static const uint8_t expected[] = {
        0x11, 0x05, /* Buffer, PkgLength */
        0x0A, 0x02, /* its size: 2 */
        0x79, 0x00, /* EndTag */
    };
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_resource_template(&aml); /* ResourceTemplate () { */
    tpm_aml_end(&aml);               /* } */
    assert_aml(&aml, expected, sizeof(expected));
}

static void test_descriptor_outside_a_resource_template_is_refused(void **state)
{
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_scope(&aml, "\\");
    tpm_aml_memory32_fixed(&aml, 0xFED40000, 0x5000);
    assert_fault(&aml, "a resource descriptor stands outside ResourceTemplate()");
}

static void test_interrupt_is_level_triggered_active_high_and_shared(void **state)
{
    static const uint8_t expected[] = {
        0x11, 0x0E, 0x0A, 0x0B, /* Buffer of 11 bytes */
        0x89, 0x06, 0x00,       /* extended interrupt, its length */
        0x09, 0x01,             /* consumer, shared; one number */
        0x04, 0x03, 0x02, 0x01, 0x79, 0x00,
    };
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_resource_template(&aml);     /* ResourceTemplate () { */
    tpm_aml_interrupt(&aml, 0x01020304); /* Interrupt (...) { 0x01020304 } */
    tpm_aml_end(&aml);                   /* } */
    assert_aml(&aml, expected, sizeof(expected));
    aml = new_aml();
    tpm_aml_interrupt(&aml, 10);
    assert_int_equal(aml.bytes->len, 0);
    assert_fault(&aml, "a resource descriptor stands outside ResourceTemplate()");
}

static void test_blocks_must_balance(void **state)
{
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_scope(&aml, "\\");
    assert_fault(&aml, "a block has no end");
    aml = new_aml();
    tpm_aml_end(&aml);
    assert_fault(&aml, "an end has no block");
}

static void test_nesting_is_bounded(void **state)
{
    TPMAml aml = new_aml();

    (void)state;
    for (unsigned i = 0; i < TPM_AML_DEPTH_MAX; i++) {
        tpm_aml_scope(&aml, "A");
    }
    assert_null(aml.fault);
    tpm_aml_scope(&aml, "A");
    assert_fault(&aml, "blocks are nested too deep");
}

static void test_first_fault_is_kept_and_stops_the_encoder(void **state)
{
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_name_string(&aml, "bad");
    tpm_aml_integer(&aml, 1);
    tpm_aml_string(&aml, "\xFF");
    tpm_aml_scope(&aml, "\\");
    tpm_aml_device(&aml, "A");
    tpm_aml_name(&aml, "A");
    tpm_aml_eisa_id(&aml, "");
    tpm_aml_resource_template(&aml);
    tpm_aml_memory32_fixed(&aml, 0, 0);
    tpm_aml_interrupt(&aml, 0);
    tpm_aml_end(&aml);
    assert_int_equal(aml.bytes->len, 0);
    assert_fault(&aml, "a path is not made of names of one to four of A-Z, 0-9 and _");
}

/* ---- tables ---- */

static void test_table_numbers_are_little_endian(void **state)
{
    static const uint8_t expected[] = { 1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8, 0, 0 };
    TPMTable table;

    (void)state;
    tpm_table_begin(&table, "TEST", 9);
    tpm_table_u8(&table, 0x01);
    tpm_table_u16(&table, 0x0203);
    tpm_table_u32(&table, 0x04050607);
    tpm_table_u64(&table, UINT64_C(0x08090A0B0C0D0E0F));
    tpm_table_zeros(&table, 2);
    GBytes *bytes = tpm_table_end(&table);
    gsize size;
    const uint8_t *data = g_bytes_get_data(bytes, &size);

    assert_int_equal(size, TPM_TABLE_HEADER_SIZE + sizeof(expected));
    assert_memory_equal(data + TPM_TABLE_HEADER_SIZE, expected, sizeof(expected));
    g_bytes_unref(bytes);
}

/* One device for each version, with the tables of a given configuration. */
typedef GBytes *(*TableFunction)(const TPMDevice *device, const TPMAcpiConfig *config,
                                 GError **error);

static TPMDevice *new_device_of(TPMInterface interface, TPMVersion version)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", version, NULL);

    config.interface = interface;
    TPMDevice *device = tpmdev_device_new(&config, backend, NULL, NULL, NULL);

    assert_non_null(device);
    tpmdev_backend_unref(backend);
    return device;
}

static TPMDevice *new_device(TPMVersion version)
{
    return new_device_of(TPM_INTERFACE_TIS, version);
}

static GBytes *table_of(TableFunction function, TPMDevice *device, const TPMAcpiConfig *config)
{
    GError *error = NULL;
    GBytes *table = function(device, config, &error);

    assert_null(error);
    assert_non_null(table);
    tpmdev_device_free(device);
    return table;
}

static GBytes *new_table(TableFunction function, TPMVersion version, const TPMAcpiConfig *config)
{
    return table_of(function, new_device(version), config);
}

static GBytes *new_crb_table(TableFunction function, const TPMAcpiConfig *config)
{
    return table_of(function, new_device_of(TPM_INTERFACE_CRB, TPM_VERSION_2_0), config);
}

static uint8_t sum_of(GBytes *table)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(table, &size);
    uint8_t sum = 0;

    while (size--) {
        sum = (uint8_t)(sum + *data++);
    }
    return sum;
}

static void assert_table(GBytes *table, const uint8_t *expected, size_t expected_size)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(table, &size);

    assert_int_equal(sum_of(table), 0);
    assert_int_equal(size, expected_size);
    assert_memory_equal(data, expected, expected_size);
    g_bytes_unref(table);
}

static const uint8_t golden_tpm2[] = {
    'T',  'P',  'M',  '2',  76,   0,    0,    0,                /* signature, length */
    4,    0xD3, 'B',  'O',  'C',  'H',  'S',  ' ',              /* revision, checksum, OEM id */
    'B',  'X',  'P',  'C',  ' ',  ' ',  ' ',  ' ',              /* OEM table id */
    1,    0,    0,    0,    'B',  'X',  'P',  'C',              /* OEM revision, creator id */
    1,    0,    0,    0,                                        /* creator revision */
    0,    0,    0,    0,                                        /* platform class, reserved */
    0,    0,    0,    0,    0,    0,    0,    0,                /* control area */
    6,    0,    0,    0,                                        /* start method: FIFO */
    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, /* its parameters */
    0,    0,    1,    0,                                        /* LAML: 64 KiB */
    0x00, 0xDE, 0xBC, 0x9A, 0x78, 0x56, 0x34, 0x12,             /* LASA */
};

/* The same with the Command Response Buffer. */
static const uint8_t golden_tpm2_crb[] = {
    'T',  'P',  'M',  '2',  76,   0,    0,    0,                /* signature, length */
    4,    0xC0, 'B',  'O',  'C',  'H',  'S',  ' ',              /* revision, checksum, OEM id */
    'B',  'X',  'P',  'C',  ' ',  ' ',  ' ',  ' ',              /* OEM table id */
    1,    0,    0,    0,    'B',  'X',  'P',  'C',              /* OEM revision, creator id */
    1,    0,    0,    0,                                        /* creator revision */
    0,    0,    0,    0,                                        /* platform class, reserved */
    0x40, 0x00, 0xD4, 0xFE, 0,    0,    0,    0,                /* control area */
    7,    0,    0,    0,                                        /* start method: CRB */
    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, /* its parameters */
    0,    0,    1,    0,                                        /* LAML: 64 KiB */
    0x00, 0xDE, 0xBC, 0x9A, 0x78, 0x56, 0x34, 0x12,             /* LASA */
};

static const uint8_t golden_tcpa[] = {
    'T',  'C',  'P',  'A',  50,   0,    0,    0,    /* signature, length */
    2,    0xF0, 'B',  'O',  'C',  'H',  'S',  ' ',  /* revision, checksum, OEM id */
    'B',  'X',  'P',  'C',  ' ',  ' ',  ' ',  ' ',  /* OEM table id */
    1,    0,    0,    0,    'B',  'X',  'P',  'C',  /* OEM revision, creator id */
    1,    0,    0,    0,                            /* creator revision */
    0,    0,                                        /* platform class */
    0,    0,    1,    0,                            /* LAML: 64 KiB */
    0x00, 0xDE, 0xBC, 0x9A, 0x78, 0x56, 0x34, 0x12, /* LASA */
};

static const TPMAcpiConfig golden_config = {
    sizeof(TPMAcpiConfig), TPM_BASE_ADDRESS, LOG_ADDRESS, TPM_LOG_AREA_SIZE, "\\_SB", "TPM", 0,
};

static void test_log_table_of_tpm_2_0_is_tpm2(void **state)
{
    (void)state;
    assert_table(new_table(tpmdev_acpi_log_table, TPM_VERSION_2_0, &golden_config), golden_tpm2,
                 sizeof(golden_tpm2));
}

static void test_log_table_of_a_crb_device_names_its_control_area(void **state)
{
    (void)state;
    assert_table(new_crb_table(tpmdev_acpi_log_table, &golden_config), golden_tpm2_crb,
                 sizeof(golden_tpm2_crb));
}

static void test_log_table_of_tpm_1_2_is_tcpa(void **state)
{
    (void)state;
    assert_table(new_table(tpmdev_acpi_log_table, TPM_VERSION_1_2, &golden_config), golden_tcpa,
                 sizeof(golden_tcpa));
}

/* The body of each SSDT, and the ASL it says. */
/* clang-format off */
static const uint8_t golden_ssdt_2_0[] = {
    /* Scope (\_SB) { */
    0x10, 0x49, 0x06, '\\', '_', 'S', 'B', '_',
    /* Device (TPM) { */
    0x5B, 0x82, 0x40, 0x06, 'T', 'P', 'M', '_',
    /* Name (_HID, "MSFT0101") */
    0x08, '_', 'H', 'I', 'D', 0x0D, 'M', 'S', 'F', 'T', '0', '1', '0',
    '1', 0x00,
    /* Name (_STR, Unicode ("TPM 2.0 Device")) */
    0x08, '_', 'S', 'T', 'R', 0x11, 0x21, 0x0A, 0x1E, 'T', 0x00, 'P', 0x00, 'M',
    0x00, ' ', 0x00, '2', 0x00, '.', 0x00, '0', 0x00, ' ', 0x00, 'D', 0x00, 'e',
    0x00, 'v', 0x00, 'i', 0x00, 'c', 0x00, 'e', 0x00, 0x00, 0x00,
    /* Name (_UID, One) */
    0x08, '_', 'U', 'I', 'D', 0x01,
    /* Name (_STA, 0x0F) */
    0x08, '_', 'S', 'T', 'A', 0x0A, 0x0F,
    /* Name (_CRS, ResourceTemplate () { */
    0x08, '_', 'C', 'R', 'S', 0x11, 0x11, 0x0A, 0x0E,
    /* Memory32Fixed (ReadWrite, 0xFED40000, 0x5000) */
    0x86, 0x09, 0x00, 0x01, 0x00, 0x00, 0xD4, 0xFE, 0x00, 0x50, 0x00, 0x00,
    /* }) */
    0x79, 0x00,
};
/* clang-format on */

static const char asl_2_0[] = "DefinitionBlock (\"\", \"SSDT\", 1, \"BOCHS \", \"BXPC    \", 1)\n"
                              "{\n"
                              "    Scope (\\_SB)\n"
                              "    {\n"
                              "        Device (TPM)\n"
                              "        {\n"
                              "            Name (_HID, \"MSFT0101\")\n"
                              "            Name (_STR, Unicode (\"TPM 2.0 Device\"))\n"
                              "            Name (_UID, One)\n"
                              "            Name (_STA, 0x0F)\n"
                              "            Name (_CRS, ResourceTemplate ()\n"
                              "            {\n"
                              "                Memory32Fixed (ReadWrite, 0xFED40000, 0x5000)\n"
                              "            })\n"
                              "        }\n"
                              "    }\n"
                              "}\n";

/* clang-format off */
static const uint8_t golden_ssdt_1_2[] = {
    /* Scope (\_SB.PCI0.SF8) { */
    0x10, 0x46, 0x04, '\\', 0x2F, 0x03, '_', 'S', 'B', '_', 'P', 'C', 'I', '0',
    'S', 'F', '8', '_',
    /* Device (TPM0) { */
    0x5B, 0x82, 0x33, 'T', 'P', 'M', '0',
    /* Name (_HID, EisaId ("PNP0C31")) */
    0x08, '_', 'H', 'I', 'D', 0x0C, 0x41, 0xD0, 0x0C, 0x31,
    /* Name (_UID, One) */
    0x08, '_', 'U', 'I', 'D', 0x01,
    /* Name (_STA, 0x0F) */
    0x08, '_', 'S', 'T', 'A', 0x0A, 0x0F,
    /* Name (_CRS, ResourceTemplate () { */
    0x08, '_', 'C', 'R', 'S', 0x11, 0x11, 0x0A, 0x0E,
    /* Memory32Fixed (ReadWrite, 0xFFFFB000, 0x5000) */
    0x86, 0x09, 0x00, 0x01, 0x00, 0xB0, 0xFF, 0xFF, 0x00, 0x50, 0x00, 0x00,
    /* }) */
    0x79, 0x00,
};
/* clang-format on */

static const char asl_1_2[] = "DefinitionBlock (\"\", \"SSDT\", 1, \"BOCHS \", \"BXPC    \", 1)\n"
                              "{\n"
                              "    External (\\_SB.PCI0.SF8, DeviceObj)\n"
                              "    Scope (\\_SB.PCI0.SF8)\n"
                              "    {\n"
                              "        Device (TPM0)\n"
                              "        {\n"
                              "            Name (_HID, EisaId (\"PNP0C31\"))\n"
                              "            Name (_UID, One)\n"
                              "            Name (_STA, 0x0F)\n"
                              "            Name (_CRS, ResourceTemplate ()\n"
                              "            {\n"
                              "                Memory32Fixed (ReadWrite, 0xFFFFB000, 0x5000)\n"
                              "            })\n"
                              "        }\n"
                              "    }\n"
                              "}\n";

/* The highest base there is, and a scope and a name other than the default. */
static const TPMAcpiConfig elsewhere_config = {
    sizeof(TPMAcpiConfig), 0xFFFFB000, 0, TPM_LOG_AREA_SIZE, "\\_SB.PCI0.SF8", "TPM0", 0,
};

/* With an interrupt. */
/* clang-format off */
static const uint8_t golden_ssdt_irq[] = {
    /* Scope (\_SB) { */
    0x10, 0x45, 0x04, '\\', '_', 'S', 'B', '_',
    /* Device (TPM) { */
    0x5B, 0x82, 0x3C, 'T', 'P', 'M', '_',
    /* Name (_HID, EisaId ("PNP0C31")) */
    0x08, '_', 'H', 'I', 'D', 0x0C, 0x41, 0xD0, 0x0C, 0x31,
    /* Name (_UID, One) */
    0x08, '_', 'U', 'I', 'D', 0x01,
    /* Name (_STA, 0x0F) */
    0x08, '_', 'S', 'T', 'A', 0x0A, 0x0F,
    /* Name (_CRS, ResourceTemplate () { */
    0x08, '_', 'C', 'R', 'S', 0x11, 0x1A, 0x0A, 0x17,
    /* Memory32Fixed (ReadWrite, 0xFED40000, 0x5000) */
    0x86, 0x09, 0x00, 0x01, 0x00, 0x00, 0xD4, 0xFE, 0x00, 0x50, 0x00, 0x00,
    /* Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 10 } */
    0x89, 0x06, 0x00, 0x09, 0x01, 0x0A, 0x00, 0x00, 0x00,
    /* }) */
    0x79, 0x00,
};
/* clang-format on */

static const char asl_irq[] = "DefinitionBlock (\"\", \"SSDT\", 1, \"BOCHS \", \"BXPC    \", 1)\n"
                              "{\n"
                              "    Scope (\\_SB)\n"
                              "    {\n"
                              "        Device (TPM)\n"
                              "        {\n"
                              "            Name (_HID, EisaId (\"PNP0C31\"))\n"
                              "            Name (_UID, One)\n"
                              "            Name (_STA, 0x0F)\n"
                              "            Name (_CRS, ResourceTemplate ()\n"
                              "            {\n"
                              "                Memory32Fixed (ReadWrite, 0xFED40000, 0x5000)\n"
                              "                Interrupt (ResourceConsumer, Level, ActiveHigh,\n"
                              "                           Shared) { 10 }\n"
                              "            })\n"
                              "        }\n"
                              "    }\n"
                              "}\n";

static const TPMAcpiConfig irq_config = {
    sizeof(TPMAcpiConfig), TPM_BASE_ADDRESS, 0, TPM_LOG_AREA_SIZE, "\\_SB", "TPM", 10,
};

static void assert_ssdt(GBytes *table, const uint8_t *body, size_t body_size)
{
    static const uint8_t header_without_sum[] = "SSDT????\x01?BOCHS BXPC    \1\0\0\0BXPC\1\0\0";
    gsize size;
    const uint8_t *data = g_bytes_get_data(table, &size);

    assert_int_equal(sum_of(table), 0);
    assert_int_equal(size, TPM_TABLE_HEADER_SIZE + body_size);
    assert_int_equal(data[4] | data[5] << 8 | data[6] << 16 | data[7] << 24, size);
    assert_memory_equal(data, header_without_sum, 4);
    assert_int_equal(data[8], header_without_sum[8]);
    assert_memory_equal(data + 10, header_without_sum + 10, TPM_TABLE_HEADER_SIZE - 10);
    assert_memory_equal(data + TPM_TABLE_HEADER_SIZE, body, body_size);
    g_bytes_unref(table);
}

static void test_ssdt_of_tpm_2_0_describes_msft0101(void **state)
{
    (void)state;
    assert_ssdt(new_table(tpmdev_acpi_ssdt, TPM_VERSION_2_0, NULL), golden_ssdt_2_0,
                sizeof(golden_ssdt_2_0));
}

/* All as with TIS, but for the second byte of the window's size. */
static void test_ssdt_of_a_crb_device_has_a_window_of_a_page(void **state)
{
    uint8_t body[sizeof(golden_ssdt_2_0)];
    uint8_t *window_size = body + sizeof(body) - 2 - 4; /* before EndTag and its sum */

    (void)state;
    memcpy(body, golden_ssdt_2_0, sizeof(body));
    assert_int_equal(window_size[1], 0x50);
    window_size[1] = 0x10;
    assert_ssdt(new_crb_table(tpmdev_acpi_ssdt, NULL), body, sizeof(body));
}

static void test_ssdt_of_tpm_1_2_describes_pnp0c31(void **state)
{
    (void)state;
    assert_ssdt(new_table(tpmdev_acpi_ssdt, TPM_VERSION_1_2, &elsewhere_config), golden_ssdt_1_2,
                sizeof(golden_ssdt_1_2));
}

static void test_ssdt_names_the_interrupt_it_is_given(void **state)
{
    (void)state;
    assert_ssdt(new_table(tpmdev_acpi_ssdt, TPM_VERSION_1_2, &irq_config), golden_ssdt_irq,
                sizeof(golden_ssdt_irq));
}

/* A caller that was built before there was the member has none named, whatever lies behind. */
static void test_ssdt_of_an_older_caller_names_no_interrupt(void **state)
{
    TPMAcpiConfig config = irq_config;

    (void)state;
    config.size = offsetof(TPMAcpiConfig, irq);
    assert_ssdt(new_table(tpmdev_acpi_ssdt, TPM_VERSION_2_0, &config), golden_ssdt_2_0,
                sizeof(golden_ssdt_2_0));
}

/* ---- configuration ---- */

static void test_config_of_an_older_caller_has_defaults_behind_its_end(void **state)
{
    TPMAcpiConfig config = golden_config;
    TPMDevice *device = new_device(TPM_VERSION_2_0);

    (void)state;
    config.size = offsetof(TPMAcpiConfig, log_size);
    config.log_size = 1;
    config.scope = "wrong";
    config.name = "wrong";
    assert_table(tpmdev_acpi_log_table(device, &config, NULL), golden_tpm2, sizeof(golden_tpm2));
    tpmdev_device_free(device);
}

static void assert_refused(const TPMAcpiConfig *config, const char *message)
{
    static const TableFunction functions[] = { tpmdev_acpi_log_table, tpmdev_acpi_ssdt };
    TPMDevice *device = new_device(TPM_VERSION_2_0);

    for (unsigned i = 0; i < G_N_ELEMENTS(functions); i++) {
        GError *error = NULL;

        assert_null(functions[i](device, config, &error));
        assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
        assert_string_equal(error->message, message);
        g_clear_error(&error);
    }
    tpmdev_device_free(device);
}

static void test_config_base_must_be_page_aligned(void **state)
{
    TPMAcpiConfig config = golden_config;

    (void)state;
    config.base = 0xFED40800;
    assert_refused(&config, "TPM ACPI tables: base 0xfed40800 is not page-aligned; give a multiple "
                            "of 0x1000, such as 0xfed40000");
}

static void test_config_base_must_leave_room_below_4_gib(void **state)
{
    TPMAcpiConfig config = golden_config;

    (void)state;
    config.base = 0xFFFFC000;
    assert_refused(&config,
                   "TPM ACPI tables: base 0xffffc000 puts the device's 0x5000 bytes beyond "
                   "4 GiB; give 0xffffb000 or less, such as 0xfed40000");
    config.base = UINT64_MAX - 0xFFF;
    assert_refused(&config,
                   "TPM ACPI tables: base 0xfffffffffffff000 puts the device's 0x5000 bytes beyond "
                   "4 GiB; give 0xffffb000 or less, such as 0xfed40000");
}

static void test_device_on_a_bus_of_its_own_has_no_tables(void **state)
{
    TableFunction functions[] = { tpmdev_acpi_log_table, tpmdev_acpi_ssdt };
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS_I2C, TPM_VERSION_2_0);

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(functions); i++) {
        g_autoptr(GError) error = NULL;

        assert_null(functions[i](device, NULL, &error));
        assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
        assert_string_equal(error->message,
                            "TPM ACPI tables: they describe a device in memory, and this one is on "
                            "a bus of its own; describe it in the machine's device tree");
    }
    tpmdev_device_free(device);
}

static void test_config_log_must_have_a_size(void **state)
{
    TPMAcpiConfig config = golden_config;

    (void)state;
    config.log_size = 0;
    assert_refused(&config, "TPM ACPI tables: log_size is 0 though log_address is set; give the "
                            "log's size in bytes, such as 0x10000");
}

static void test_config_log_must_end_within_64_bits(void **state)
{
    TPMAcpiConfig config = golden_config;

    (void)state;
    config.log_address = UINT64_MAX - 0xFFFE;
    assert_refused(&config,
                   "TPM ACPI tables: log_address 0xffffffffffff0001 and log_size 0x10000 reach "
                   "beyond 64 bits; give an address of guest memory");
}

static void test_config_scope_must_be_an_absolute_path(void **state)
{
    TPMAcpiConfig config = golden_config;

    (void)state;
    config.scope = "_SB";
    assert_refused(&config,
                   "TPM ACPI tables: scope '_SB' is no absolute ACPI path; give a backslash "
                   "and names of one to four of A-Z, 0-9 and _ with dots between them, "
                   "such as \\_SB or \\_SB.PCI0");
    config.scope = NULL;
    assert_refused(
        &config, "TPM ACPI tables: scope '(null)' is no absolute ACPI path; give a backslash and "
                 "names of one to four of A-Z, 0-9 and _ with dots between them, such as \\_SB or "
                 "\\_SB.PCI0");
}

static void test_config_name_must_be_a_device_name(void **state)
{
    static const char *const wrong[] = { "", "TPM00", "tpm", "0TPM", "_TPM", "T.M" };
    TPMAcpiConfig config = golden_config;

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        char *message = g_strdup_printf(
            "TPM ACPI tables: name '%s' is no ACPI device name; give one to four of A-Z, 0-9 and "
            "_, beginning with a letter, such as TPM",
            wrong[i]);

        config.name = wrong[i];
        assert_refused(&config, message);
        g_free(message);
    }
}

static void test_device_that_takes_no_memory_has_no_tables(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS_SPI, TPM_VERSION_2_0);
    g_autoptr(GError) error = NULL;

    (void)state;
    assert_null(tpmdev_acpi_ssdt(device, NULL, NULL));
    assert_null(tpmdev_acpi_log_table(device, NULL, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    assert_string_equal(error->message,
                        "TPM ACPI tables: they describe a device in memory, and this one is on a "
                        "bus of its own; describe it in the machine's device tree");
    tpmdev_device_free(device);
}

static void test_config_must_have_a_size(void **state)
{
    TPMAcpiConfig config = golden_config;

    (void)state;
    config.size = 0;
    assert_refused(&config, "TPM ACPI tables: size is 0; begin with TPM_ACPI_CONFIG_INIT, which "
                            "sets it");
}

/* ---- the judgement of iasl ---- */

/* Run iasl in the directory and fail the test if it complains. */
static void run_iasl(const char *directory, const char *const *arguments)
{
    char *output = NULL;
    int status = -1;

    g_spawn_sync(directory, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output,
                 NULL, &status, NULL);
    if (!g_spawn_check_wait_status(status, NULL)) {
        print_error("%s", output);
        fail_msg("iasl failed");
    }
    g_free(output);
}

static void skip_without_iasl(void)
{
    char *path = g_find_program_in_path("iasl");

    g_free(path);
    if (!path) {
        skip();
    }
}

static char *path_in(const char *directory, const char *file)
{
    return g_build_filename(directory, file, NULL);
}

static void write_file(const char *directory, const char *file, const void *data, size_t size)
{
    char *path = path_in(directory, file);

    assert_true(g_file_set_contents(path, data, (gssize)size, NULL));
    g_free(path);
}

/*
 * What iasl made must end with the expected bytes: its header names iasl as the creator, and it
 * puts declarations of external names first.
 */
static void assert_file_ends_with(const char *directory, const char *file, const uint8_t *expected,
                                  size_t expected_size)
{
    char *path = path_in(directory, file);
    char *data = NULL;
    gsize size;

    assert_true(g_file_get_contents(path, &data, &size, NULL));
    assert_true(size >= TPM_TABLE_HEADER_SIZE + expected_size);
    assert_memory_equal(data + size - expected_size, expected, expected_size);
    g_free(data);
    g_free(path);
}

static int make_directory(void **state)
{
    *state = g_dir_make_tmp("tpmdev-acpi-XXXXXX", NULL);
    return *state ? 0 : -1;
}

static int remove_directory(void **state)
{
    GDir *directory = g_dir_open(*state, 0, NULL);
    const char *file;

    while (directory && (file = g_dir_read_name(directory))) {
        char *path = path_in(*state, file);

        g_unlink(path);
        g_free(path);
    }
    g_clear_pointer(&directory, g_dir_close);
    g_rmdir(*state);
    g_free(*state);
    return 0;
}

/* Our bytes, taken apart and put together again. */
static void round_trip(const char *directory, GBytes *table)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(table, &size);

    write_file(directory, "table.dat", data, size);
    run_iasl(directory, (const char *const[]){ "iasl", "-d", "table.dat", NULL });
    run_iasl(directory, (const char *const[]){ "iasl", "-p", "again", "table.dsl", NULL });
    assert_file_ends_with(directory, "again.aml", data + TPM_TABLE_HEADER_SIZE,
                          size - TPM_TABLE_HEADER_SIZE);
}

static void test_iasl_rebuilds_every_table(void **state)
{
    static const TableFunction functions[] = { tpmdev_acpi_log_table, tpmdev_acpi_ssdt };
    static const TPMVersion versions[] = { TPM_VERSION_1_2, TPM_VERSION_2_0 };

    skip_without_iasl();
    for (unsigned i = 0; i < 8; i++) {
        GBytes *table =
            new_table(functions[i / 2 % 2], versions[i % 2], i < 4 ? &golden_config : &irq_config);

        round_trip(*state, table);
        g_bytes_unref(table);
    }
}

static void assert_asl_compiles_to(const char *directory, const char *asl, const uint8_t *body,
                                   size_t body_size)
{
    write_file(directory, "ssdt.asl", asl, strlen(asl));
    run_iasl(directory, (const char *const[]){ "iasl", "-p", "ssdt", "ssdt.asl", NULL });
    assert_file_ends_with(directory, "ssdt.aml", body, body_size);
}

static void test_iasl_compiles_the_asl_of_tpm_2_0_to_our_bytes(void **state)
{
    skip_without_iasl();
    assert_asl_compiles_to(*state, asl_2_0, golden_ssdt_2_0, sizeof(golden_ssdt_2_0));
}

static void test_iasl_compiles_the_asl_of_tpm_1_2_to_our_bytes(void **state)
{
    skip_without_iasl();
    assert_asl_compiles_to(*state, asl_1_2, golden_ssdt_1_2, sizeof(golden_ssdt_1_2));
}

static void test_iasl_compiles_the_asl_of_an_interrupt_to_our_bytes(void **state)
{
    skip_without_iasl();
    assert_asl_compiles_to(*state, asl_irq, golden_ssdt_irq, sizeof(golden_ssdt_irq));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer_takes_its_shortest_form),
        cmocka_unit_test(test_pkg_length_counts_its_own_bytes),
        cmocka_unit_test(test_name_string_has_a_prefix_for_its_number_of_segments),
        cmocka_unit_test(test_name_string_of_255_segments_is_the_longest),
        cmocka_unit_test(test_name_string_refuses_what_is_no_path),
        cmocka_unit_test(test_eisa_id_packs_letters_and_digits),
        cmocka_unit_test(test_eisa_id_refuses_what_is_none),
        cmocka_unit_test(test_string_is_ascii_with_its_nul),
        cmocka_unit_test(test_unicode_is_a_buffer_of_utf_16),
        cmocka_unit_test(test_block_of_63_bytes_takes_a_longer_length),
        cmocka_unit_test(test_resource_template_is_a_buffer_with_an_end_tag),
        cmocka_unit_test(test_descriptor_outside_a_resource_template_is_refused),
        cmocka_unit_test(test_interrupt_is_level_triggered_active_high_and_shared),
        cmocka_unit_test(test_blocks_must_balance),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_first_fault_is_kept_and_stops_the_encoder),
        cmocka_unit_test(test_table_numbers_are_little_endian),
        cmocka_unit_test(test_log_table_of_tpm_2_0_is_tpm2),
        cmocka_unit_test(test_log_table_of_a_crb_device_names_its_control_area),
        cmocka_unit_test(test_log_table_of_tpm_1_2_is_tcpa),
        cmocka_unit_test(test_ssdt_of_tpm_2_0_describes_msft0101),
        cmocka_unit_test(test_ssdt_of_a_crb_device_has_a_window_of_a_page),
        cmocka_unit_test(test_ssdt_of_tpm_1_2_describes_pnp0c31),
        cmocka_unit_test(test_ssdt_names_the_interrupt_it_is_given),
        cmocka_unit_test(test_ssdt_of_an_older_caller_names_no_interrupt),
        cmocka_unit_test(test_config_of_an_older_caller_has_defaults_behind_its_end),
        cmocka_unit_test(test_config_base_must_be_page_aligned),
        cmocka_unit_test(test_config_base_must_leave_room_below_4_gib),
        cmocka_unit_test(test_device_on_a_bus_of_its_own_has_no_tables),
        cmocka_unit_test(test_config_log_must_have_a_size),
        cmocka_unit_test(test_config_log_must_end_within_64_bits),
        cmocka_unit_test(test_config_scope_must_be_an_absolute_path),
        cmocka_unit_test(test_config_name_must_be_a_device_name),
        cmocka_unit_test(test_device_that_takes_no_memory_has_no_tables),
        cmocka_unit_test(test_config_must_have_a_size),
        cmocka_unit_test_setup_teardown(test_iasl_rebuilds_every_table, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(test_iasl_compiles_the_asl_of_tpm_2_0_to_our_bytes,
                                        make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_iasl_compiles_the_asl_of_tpm_1_2_to_our_bytes,
                                        make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_iasl_compiles_the_asl_of_an_interrupt_to_our_bytes,
                                        make_directory, remove_directory),
    };

    return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
