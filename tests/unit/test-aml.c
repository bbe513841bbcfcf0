/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The encoder of AML (acpi/aml.c): names, data, blocks and resource descriptors at every boundary
 * of their encodings. The terms of methods are in test-aml-code.c.
 */
#include "aml-assert.h"

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
    tpm_aml_resource_template(&aml);           /* ResourceTemplate () { */
    tpm_aml_interrupt(&aml, 0x01020304, true); /* Interrupt (...) { 0x01020304 } */
    tpm_aml_end(&aml);                         /* } */
    assert_aml(&aml, expected, sizeof(expected));
    aml = new_aml();
    tpm_aml_interrupt(&aml, 10, true);
    assert_int_equal(aml.bytes->len, 0);
    assert_fault(&aml, "a resource descriptor stands outside ResourceTemplate()");
}

static void test_interrupt_of_its_own_is_exclusive(void **state)
{
    static const uint8_t expected[] = {
        0x11, 0x0E, 0x0A, 0x0B, 0x89, 0x06, 0x00, 0x01, 0x01, /* consumer; one number */
        0x04, 0x03, 0x02, 0x01, 0x79, 0x00,
    };
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_resource_template(&aml);
    tpm_aml_interrupt(&aml, 0x01020304, false);
    tpm_aml_end(&aml);
    assert_aml(&aml, expected, sizeof(expected));
}

static void test_qword_memory_is_fixed_from_its_first_byte_to_its_last(void **state)
{
    static const uint8_t expected[] = {
        0x11, 0x33, 0x0A, 0x30,                         /* Buffer of 48 bytes */
        0x8A, 0x2B, 0x00,                               /* 64-bit address space, its length */
        0x00, 0x0D, 0x01,                               /* memory; consumer, both fixed; writable */
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* granularity */
        0x00, 0x70, 0x56, 0x34, 0x12, 0x00, 0x00, 0x00, /* first */
        0xFF, 0xBF, 0x56, 0x34, 0x12, 0x00, 0x00, 0x00, /* last */
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* translation */
        0x00, 0x50, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* bytes */
        0x79, 0x00,
    };
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_resource_template(&aml);
    tpm_aml_qword_memory(&aml, UINT64_C(0x1234567000), 0x5000); /* QWordMemory (...) */
    tpm_aml_end(&aml);
    assert_aml(&aml, expected, sizeof(expected));
    aml = new_aml();
    tpm_aml_qword_memory(&aml, 0, 1);
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
    tpm_aml_interrupt(&aml, 0, false);
    tpm_aml_qword_memory(&aml, 0, 1);
    tpm_aml_end(&aml);
    assert_int_equal(aml.bytes->len, 0);
    assert_fault(&aml, "a path is not made of names of one to four of A-Z, 0-9 and _");
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
        cmocka_unit_test(test_interrupt_of_its_own_is_exclusive),
        cmocka_unit_test(test_qword_memory_is_fixed_from_its_first_byte_to_its_last),
        cmocka_unit_test(test_blocks_must_balance),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_first_fault_is_kept_and_stops_the_encoder),
    };

    return cmocka_run_group_tests_name("aml", tests, NULL, NULL);
}
