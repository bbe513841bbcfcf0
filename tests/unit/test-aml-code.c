/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The terms of methods (acpi/aml-code.c), each byte for byte, at every boundary of its encoding,
 * with everything it refuses. What is made of them is in test-ppi-aml.c.
 */
#include "aml-assert.h"
#include "aml-code.h"
#include "aml-internal.h"

/* The beginning of what was encoded, and how long it is. Ends the encoder. */
static void assert_begins(TPMAml *aml, guint size, const void *expected, size_t expected_size)
{
    const char *fault;

    assert_true(tpm_aml_finish(aml, &fault));
    assert_int_equal(aml->bytes->len, size);
    assert_memory_equal(aml->bytes->data, expected, expected_size);
    g_byte_array_unref(aml->bytes);
}

/* ---- blocks ---- */

static void test_method_is_serialized_and_says_its_arguments(void **state)
{
    (void)state;
    for (unsigned args = 0; args <= 7; args++) {
        const uint8_t expected[] = { 0x14, 0x06, 'M', '_', '_', '_', (uint8_t)(8 | args) };
        TPMAml aml = new_aml();

        tpm_aml_method(&aml, "M", args); /* Method (M, args, Serialized) { */
        tpm_aml_end(&aml);               /* } */
        assert_aml(&aml, expected, sizeof(expected));
    }
}

static void test_method_takes_seven_arguments_at_most(void **state)
{
    static const unsigned wrong[] = { 8, 9, 0x10, UINT32_MAX };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        TPMAml aml = new_aml();

        tpm_aml_method(&aml, "M", wrong[i]);
        assert_fault(&aml, "a method takes more than seven arguments");
    }
}

static void test_if_and_else_are_blocks(void **state)
{
    static const uint8_t expected[] = { 0xA0, 0x04, 0x68, 0xA4, 0x01, 0xA1, 0x03, 0xA4, 0x00 };
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_if(&aml);     /* If ( */
    tpm_aml_arg(&aml, 0); /*     Arg0) { */
    tpm_aml_return(&aml); /*     Return ( */
    tpm_aml_integer(&aml, 1);
    tpm_aml_end(&aml);  /* } */
    tpm_aml_else(&aml); /* Else { */
    tpm_aml_return(&aml);
    tpm_aml_integer(&aml, 0);
    tpm_aml_end(&aml); /* } */
    assert_aml(&aml, expected, sizeof(expected));
}

/* An If whose predicate is so many bytes. */
static TPMAml if_of(unsigned size)
{
    TPMAml aml = new_aml();

    tpm_aml_if(&aml);
    for (unsigned i = 0; i < size; i++) {
        tpm_aml_byte(&aml, 0xA3); /* Noop */
    }
    tpm_aml_end(&aml);
    return aml;
}

/* The length of a block counts its own bytes, so each step comes that much sooner. */
static void test_block_takes_a_longer_length_where_the_shorter_one_ends(void **state)
{
    static const struct {
        unsigned size;
        unsigned count;
        uint8_t length[4];
    } cases[] = {
        { 0, 1, { 0x01 } },
        { 0x3E, 1, { 0x3F } },
        { 0x3F, 2, { 0x41, 0x04 } },
        { 0xFFD, 2, { 0x4F, 0xFF } },
        { 0xFFE, 3, { 0x81, 0x00, 0x01 } },
        { 0xFFFFC, 3, { 0x8F, 0xFF, 0xFF } },
        { 0xFFFFD, 4, { 0xC1, 0x00, 0x00, 0x01 } },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TPMAml aml = if_of(cases[i].size);

        assert_int_equal(aml.bytes->data[0], 0xA0);
        assert_memory_equal(aml.bytes->data + 1, cases[i].length, cases[i].count);
        assert_begins(&aml, 1 + cases[i].count + cases[i].size, "\xA0", 1);
    }
}

static void test_package_says_how_many_elements_follow(void **state)
{
    (void)state;
    for (unsigned count = 0; count <= 255; count++) {
        const uint8_t expected[] = { 0x12, 0x02, (uint8_t)count };
        TPMAml aml = new_aml();

        tpm_aml_package(&aml, count); /* Package (count) { */
        tpm_aml_end(&aml);            /* } */
        assert_aml(&aml, expected, sizeof(expected));
    }
}

static void test_package_of_256_elements_is_refused(void **state)
{
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_package(&aml, 256);
    assert_fault(&aml, "a package has more than 255 elements");
}

/* ---- regions and fields ---- */

static void test_operation_region_is_name_space_offset_length(void **state)
{
    static const uint8_t expected[] = { 0x5B, 0x80, 'R',  '_',  '_',  '_',  0x00, 0x0C,
                                        0x00, 0x50, 0xD4, 0xFE, 0x0B, 0x00, 0x01 };
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_operation_region(&aml, "R", TPM_AML_SYSTEM_MEMORY); /* OperationRegion (R, */
    tpm_aml_integer(&aml, 0xFED45000);                          /*     0xFED45000, */
    tpm_aml_integer(&aml, 0x100);                               /*     0x100) */
    assert_aml(&aml, expected, sizeof(expected));
    aml = new_aml();
    tpm_aml_operation_region(&aml, "R", 1); /* SystemIO */
    assert_begins(&aml, 7, "\x5B\x80R___\x01", 7);
}

static void test_field_is_its_region_its_access_and_its_units(void **state)
{
    static const uint8_t expected[] = {
        0x5B, 0x81, 0x12, 'R', '_', '_', '_', 0x01, /* Field (R, ByteAcc, NoLock, Preserve) { */
        'A',  '_',  '_',  '_', 8,                   /*     A, 8, */
        0x00, 16,                                   /*     , 16, */
        'B',  'B',  'B',  'B', 1,                   /*     BBBB, 1 */
    };
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_field(&aml, "R", TPM_AML_BYTE_ACC);
    tpm_aml_field_unit(&aml, "A", 8);
    tpm_aml_field_gap(&aml, 16);
    tpm_aml_field_unit(&aml, "BBBB", 1);
    tpm_aml_end(&aml); /* } */
    assert_aml(&aml, expected, sizeof(expected));
    aml = new_aml();
    tpm_aml_field(&aml, "R", TPM_AML_ANY_ACC);
    tpm_aml_end(&aml);
    assert_aml(&aml, "\x5B\x81\x06R___\0", 8);
}

/* As a PkgLength, but it does not count itself. */
static const struct {
    uint32_t bits;
    unsigned count;
    uint8_t bytes[4];
} field_widths[] = {
    { 0, 1, { 0x00 } },
    { 1, 1, { 0x01 } },
    { 0x3F, 1, { 0x3F } },
    { 0x40, 2, { 0x40, 0x04 } },
    { 0x200, 2, { 0x40, 0x20 } },
    { 0xFFF, 2, { 0x4F, 0xFF } },
    { 0x1000, 3, { 0x80, 0x00, 0x01 } },
    { 0xFFFFF, 3, { 0x8F, 0xFF, 0xFF } },
    { 0x100000, 4, { 0xC0, 0x00, 0x00, 0x01 } },
    { 0x0FFFFFFF, 4, { 0xCF, 0xFF, 0xFF, 0xFF } },
};

static void test_field_width_takes_a_longer_form_where_the_shorter_one_ends(void **state)
{
    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(field_widths); i++) {
        uint8_t unit[8] = "F___";
        uint8_t gap[5] = { 0 };
        TPMAml aml = new_aml();

        memcpy(unit + 4, field_widths[i].bytes, field_widths[i].count);
        tpm_aml_field_unit(&aml, "F", field_widths[i].bits);
        assert_aml(&aml, unit, 4 + field_widths[i].count);
        memcpy(gap + 1, field_widths[i].bytes, field_widths[i].count);
        aml = new_aml();
        tpm_aml_field_gap(&aml, field_widths[i].bits);
        assert_aml(&aml, gap, 1 + field_widths[i].count);
    }
}

static void test_field_of_28_bits_of_bits_is_the_largest(void **state)
{
    static const uint32_t wrong[] = { 0x10000000, UINT32_MAX };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        TPMAml aml = new_aml();

        tpm_aml_field_unit(&aml, "F", wrong[i]);
        assert_fault(&aml, "a field is larger than AML can say");
        aml = new_aml();
        tpm_aml_field_gap(&aml, wrong[i]);
        assert_fault(&aml, "a field is larger than AML can say");
    }
}

static void test_field_unit_has_a_name_of_one_segment(void **state)
{
    static const char *const wrong[] = { "", "a", "1", "ABCDE", "A.B", "\\A" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        TPMAml aml = new_aml();

        tpm_aml_field_unit(&aml, wrong[i], 8);
        assert_int_equal(aml.bytes->len, 0);
        assert_fault(&aml, "a field's name is not one to four of A-Z, 0-9 and _");
    }
}

/* ---- terms and operators ---- */

static void test_arguments_and_locals_have_an_opcode_each(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= 7; i++) {
        const uint8_t local = (uint8_t)(0x60 + i);
        const uint8_t arg = (uint8_t)(0x68 + i);
        TPMAml aml = new_aml();

        tpm_aml_local(&aml, i);
        assert_aml(&aml, &local, 1);
        if (i < 7) {
            aml = new_aml();
            tpm_aml_arg(&aml, i);
            assert_aml(&aml, &arg, 1);
        }
    }
}

static void test_argument_7_and_local_8_are_refused(void **state)
{
    static const unsigned beyond[] = { 0, 1, 0x100, UINT32_MAX - 8 };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(beyond); i++) {
        TPMAml aml = new_aml();

        tpm_aml_arg(&aml, 7 + beyond[i]);
        assert_int_equal(aml.bytes->len, 0);
        assert_fault(&aml, "an argument's number is above 6");
        aml = new_aml();
        tpm_aml_local(&aml, 8 + beyond[i]);
        assert_int_equal(aml.bytes->len, 0);
        assert_fault(&aml, "a local variable's number is above 7");
    }
}

static void test_operators_are_their_opcodes(void **state)
{
    static const struct {
        void (*term)(TPMAml *aml);
        unsigned size;
        uint8_t bytes[2];
    } cases[] = {
        { tpm_aml_return, 1, { 0xA4 } },    { tpm_aml_store, 1, { 0x70 } },
        { tpm_aml_equal, 1, { 0x93 } },     { tpm_aml_greater_equal, 2, { 0x92, 0x95 } },
        { tpm_aml_deref_of, 1, { 0x83 } },  { tpm_aml_add, 1, { 0x72 } },
        { tpm_aml_and, 1, { 0x7B } },       { tpm_aml_index, 1, { 0x88 } },
        { tpm_aml_no_target, 1, { 0x00 } },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TPMAml aml = new_aml();

        cases[i].term(&aml);
        assert_aml(&aml, cases[i].bytes, cases[i].size);
    }
}

/* ---- data ---- */

/* A buffer of so many bytes; its own length stands before them, and the block's before that. */
static void test_buffer_says_its_size_in_the_shortest_form(void **state)
{
    static const struct {
        unsigned size;
        unsigned count;
        uint8_t head[8];
    } cases[] = {
        { 0, 3, { 0x11, 0x02, 0x00 } },
        { 1, 3, { 0x11, 0x03, 0x01 } },
        { 2, 4, { 0x11, 0x05, 0x0A, 0x02 } },
        { 0x3C, 4, { 0x11, 0x3F, 0x0A, 0x3C } },
        { 0x3D, 5, { 0x11, 0x41, 0x04, 0x0A, 0x3D } },
        { 0xFF, 5, { 0x11, 0x43, 0x10, 0x0A, 0xFF } },
        { 0x100, 6, { 0x11, 0x45, 0x10, 0x0B, 0x00, 0x01 } },
        { 0xFFA, 6, { 0x11, 0x4F, 0xFF, 0x0B, 0xFA, 0x0F } },
        { 0xFFB, 7, { 0x11, 0x81, 0x00, 0x01, 0x0B, 0xFB, 0x0F } },
    };
    uint8_t bytes[0x1000];

    (void)state;
    memset(bytes, 0x5A, sizeof(bytes));
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TPMAml aml = new_aml();

        tpm_aml_buffer(&aml, bytes, cases[i].size); /* Buffer () { 0x5A, ... } */
        assert_memory_equal(aml.bytes->data + cases[i].count, bytes, cases[i].size);
        assert_begins(&aml, cases[i].count + cases[i].size, cases[i].head, cases[i].count);
    }
}

/* The first three groups are numbers, the last two bytes. */
static void test_uuid_has_three_groups_turned_around(void **state)
{
    static const uint8_t expected[] = {
        0x11, 0x13, 0x0A, 0x10, 0x33, 0x22, 0x11, 0x00, 0x55, 0x44,
        0x77, 0x66, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF
    };
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_uuid(&aml, "00112233-4455-6677-8899-aabbccddeeff"); /* ToUUID (...) */
    assert_aml(&aml, expected, sizeof(expected));
    aml = new_aml();
    tpm_aml_uuid(&aml, "00112233-4455-6677-8899-AABBCCDDEEFF");
    assert_aml(&aml, expected, sizeof(expected));
}

static void test_uuid_must_be_one(void **state)
{
    static const char *const wrong[] = {
        "",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0",
        "00112233445566778899aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeefg",
        "{00112233-4455-6677-8899-aabbccddeeff}",
        "0011223-34455-6677-8899-aabbccddeeff",
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        TPMAml aml = new_aml();

        tpm_aml_uuid(&aml, wrong[i]);
        assert_int_equal(aml.bytes->len, 0);
        assert_fault(&aml, "a UUID is not of the form 12345678-1234-1234-1234-123456789abc");
    }
}

/* ---- faults ---- */

static void test_no_term_follows_a_fault(void **state)
{
    TPMAml aml = new_aml();

    (void)state;
    tpm_aml_arg(&aml, 7);
    tpm_aml_method(&aml, "M", 8);
    tpm_aml_if(&aml);
    tpm_aml_else(&aml);
    tpm_aml_package(&aml, 1);
    tpm_aml_operation_region(&aml, "R", 0);
    tpm_aml_field(&aml, "R", 0);
    tpm_aml_field_unit(&aml, "F", 8);
    tpm_aml_field_gap(&aml, 8);
    tpm_aml_return(&aml);
    tpm_aml_local(&aml, 0);
    tpm_aml_greater_equal(&aml);
    tpm_aml_buffer(&aml, (const uint8_t *)"x", 1);
    tpm_aml_uuid(&aml, "00112233-4455-6677-8899-aabbccddeeff");
    tpm_aml_end(&aml);
    assert_int_equal(aml.bytes->len, 0);
    assert_int_equal(aml.depth, 0);
    assert_fault(&aml, "an argument's number is above 6");
}

static void test_blocks_of_methods_must_end(void **state)
{
    static void (*const blocks[])(TPMAml * aml) = { tpm_aml_if, tpm_aml_else };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(blocks); i++) {
        TPMAml aml = new_aml();

        blocks[i](&aml);
        assert_fault(&aml, "a block has no end");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_method_is_serialized_and_says_its_arguments),
        cmocka_unit_test(test_method_takes_seven_arguments_at_most),
        cmocka_unit_test(test_if_and_else_are_blocks),
        cmocka_unit_test(test_block_takes_a_longer_length_where_the_shorter_one_ends),
        cmocka_unit_test(test_package_says_how_many_elements_follow),
        cmocka_unit_test(test_package_of_256_elements_is_refused),
        cmocka_unit_test(test_operation_region_is_name_space_offset_length),
        cmocka_unit_test(test_field_is_its_region_its_access_and_its_units),
        cmocka_unit_test(test_field_width_takes_a_longer_form_where_the_shorter_one_ends),
        cmocka_unit_test(test_field_of_28_bits_of_bits_is_the_largest),
        cmocka_unit_test(test_field_unit_has_a_name_of_one_segment),
        cmocka_unit_test(test_arguments_and_locals_have_an_opcode_each),
        cmocka_unit_test(test_argument_7_and_local_8_are_refused),
        cmocka_unit_test(test_operators_are_their_opcodes),
        cmocka_unit_test(test_buffer_says_its_size_in_the_shortest_form),
        cmocka_unit_test(test_uuid_has_three_groups_turned_around),
        cmocka_unit_test(test_uuid_must_be_one),
        cmocka_unit_test(test_no_term_follows_a_fault),
        cmocka_unit_test(test_blocks_of_methods_must_end),
    };

    return cmocka_run_group_tests_name("aml-code", tests, NULL, NULL);
}
