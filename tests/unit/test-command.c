/* SPDX-License-Identifier: BSD-3-Clause */
/* What command.c says of commands and responses, at every boundary, for both TPM versions. */
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const TPMVersion versions[] = { TPM_VERSION_1_2, TPM_VERSION_2_0 };

/* A command or response of `size` bytes whose header says `len`. */
static uint8_t *message(uint16_t tag, uint32_t len, uint32_t code, size_t size)
{
    uint8_t *bytes = g_malloc0(MAX(size, TPM_HEADER_SIZE));

    tpm_put_be16(bytes + TPM_HEADER_TAG, tag);
    tpm_put_be32(bytes + TPM_HEADER_LEN, len);
    tpm_put_be32(bytes + TPM_HEADER_CODE, code);
    /* Exactly as long as said, so that a sanitizer sees a byte too many being read. */
    uint8_t *exact = g_malloc(MAX(size, 1));
    memcpy(exact, bytes, size);
    g_free(bytes);
    return exact;
}

/* The return code a command is refused with, or -1 when it may go. */
static int64_t refusal(TPMVersion version, uint16_t tag, uint32_t len, size_t size)
{
    g_autofree uint8_t *command = message(tag, len, 0x17B, size);
    uint32_t code = 0xDEADBEEF;

    return tpm_command_check(version, command, size, &code) ? -1 : (int64_t)code;
}

/* ---- numbers ---- */

static void test_numbers_are_big_endian(void **state)
{
    uint8_t bytes[4] = { 0x80, 0xFE, 0xDC, 0xBA };

    (void)state;
    assert_int_equal(tpm_get_be16(bytes), 0x80FE);
    assert_int_equal(tpm_get_be32(bytes), 0x80FEDCBA);
    tpm_put_be32(bytes, 0xF1E2D3C4);
    assert_memory_equal(bytes, "\xF1\xE2\xD3\xC4", 4);
    tpm_put_be16(bytes, 0x8102);
    assert_memory_equal(bytes, "\x81\x02\xD3\xC4", 4);
}

static void test_header_fields_are_at_their_offsets(void **state)
{
    static const uint8_t header[TPM_HEADER_SIZE] = { 0x80, 0x01, 0, 0, 0x01, 0x0C, 0, 0, 1, 0x7B };

    (void)state;
    assert_int_equal(tpm_header_tag(header), 0x8001);
    assert_int_equal(tpm_header_len(header), 0x10C);
    assert_int_equal(tpm_header_code(header), 0x17B);
}

/* ---- responses made here ---- */

static void test_failure_response_of_2_0_is_tag_8001_code_101(void **state)
{
    uint8_t response[TPM_HEADER_SIZE];

    (void)state;
    tpmdev_failure_response(TPM_VERSION_2_0, response);
    assert_memory_equal(response, "\x80\x01\0\0\0\x0A\0\0\x01\x01", TPM_HEADER_SIZE);
}

static void test_failure_response_of_1_2_is_tag_00c4_code_9(void **state)
{
    uint8_t response[TPM_HEADER_SIZE];

    (void)state;
    tpmdev_failure_response(TPM_VERSION_1_2, response);
    assert_memory_equal(response, "\x00\xC4\0\0\0\x0A\0\0\x00\x09", TPM_HEADER_SIZE);
}

static void test_error_response_carries_any_code(void **state)
{
    uint8_t response[TPM_HEADER_SIZE];

    (void)state;
    tpm_error_response(TPM_VERSION_2_0, 0x89ABCDEF, response);
    assert_memory_equal(response, "\x80\x01\0\0\0\x0A\x89\xAB\xCD\xEF", TPM_HEADER_SIZE);
    tpm_error_response(TPM_VERSION_1_2, 0x1E, response);
    assert_memory_equal(response, "\x00\xC4\0\0\0\x0A\0\0\0\x1E", TPM_HEADER_SIZE);
}

/* ---- tpm_command_check() ---- */

static void test_every_tag_of_the_version_passes_and_no_other(void **state)
{
    (void)state;
    for (unsigned tag = 0; tag <= 0xFFFF; tag++) {
        bool of_1_2 = tag == 0xC1 || tag == 0xC2 || tag == 0xC3;
        bool of_2_0 = tag == 0x8001 || tag == 0x8002;

        assert_int_equal(refusal(TPM_VERSION_1_2, (uint16_t)tag, 12, 12), of_1_2 ? -1 : 0x1E);
        assert_int_equal(refusal(TPM_VERSION_2_0, (uint16_t)tag, 12, 12), of_2_0 ? -1 : 0x84);
    }
}

static void test_a_command_shorter_than_a_header_has_a_wrong_size(void **state)
{
    (void)state;
    for (size_t size = 0; size < TPM_HEADER_SIZE; size++) {
        assert_int_equal(refusal(TPM_VERSION_1_2, 0xC1, (uint32_t)size, size), 0x19);
        assert_int_equal(refusal(TPM_VERSION_2_0, 0x8001, (uint32_t)size, size), 0x142);
    }
}

static void test_the_shortest_command_is_a_header(void **state)
{
    (void)state;
    assert_int_equal(refusal(TPM_VERSION_1_2, 0xC1, 10, 10), -1);
    assert_int_equal(refusal(TPM_VERSION_2_0, 0x8001, 10, 10), -1);
}

static void test_the_size_field_must_equal_what_was_sent(void **state)
{
    static const uint32_t wrong[] = { 0, 9, 11, 13, 0x0C000000, 0x1000C, 0xFFFFFFFF };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        assert_int_equal(refusal(TPM_VERSION_1_2, 0xC1, wrong[i], 12), 0x19);
        assert_int_equal(refusal(TPM_VERSION_2_0, 0x8002, wrong[i], 12), 0x142);
    }
}

static void test_the_tag_is_looked_at_before_the_size_field(void **state)
{
    (void)state;
    assert_int_equal(refusal(TPM_VERSION_2_0, 0xC1, 13, 12), 0x84);
    assert_int_equal(refusal(TPM_VERSION_1_2, 0x8001, 13, 12), 0x1E);
}

/* swtpm would take it as a prefix that chooses the locality. */
static void test_a_first_word_of_eight_never_leaves(void **state)
{
    (void)state;
    assert_int_equal(refusal(TPM_VERSION_1_2, 0x0000, 8, 12), 0x1E);
    assert_int_equal(refusal(TPM_VERSION_2_0, 0x0000, 8, 12), 0x84);
}

/* ---- tpm_response_check() ---- */

static bool response_passes(uint32_t len, size_t size, size_t max)
{
    g_autofree uint8_t *response = message(0x8001, len, 0, size);

    return tpm_response_check(response, size, max);
}

static void test_a_response_is_from_a_header_to_the_maximum(void **state)
{
    (void)state;
    assert_false(tpm_response_check(NULL, 0, 4096));
    assert_false(response_passes(9, 9, 4096));
    assert_true(response_passes(10, 10, 4096));
    assert_true(response_passes(10, 10, 10));
    assert_true(response_passes(4096, 4096, 4096));
    assert_false(response_passes(4097, 4097, 4096));
    assert_false(response_passes(129, 129, 128));
}

static void test_a_response_is_as_long_as_it_says(void **state)
{
    (void)state;
    assert_false(response_passes(0, 12, 4096));
    assert_false(response_passes(11, 12, 4096));
    assert_true(response_passes(12, 12, 4096));
    assert_false(response_passes(13, 12, 4096));
    assert_false(response_passes(0xFFFFFFFF, 12, 4096));
}

/* ---- tpm_command_is_short() ---- */

static void test_lookups_are_short_and_keys_are_not(void **state)
{
    (void)state;
    assert_true(tpm_command_is_short(TPM_VERSION_2_0, 0x17B));  /* GetRandom */
    assert_true(tpm_command_is_short(TPM_VERSION_2_0, 0x13D));  /* PCR_Reset, the first */
    assert_true(tpm_command_is_short(TPM_VERSION_2_0, 0x18C));  /* PolicyPassword, the last */
    assert_false(tpm_command_is_short(TPM_VERSION_2_0, 0x131)); /* CreatePrimary */
    assert_false(tpm_command_is_short(TPM_VERSION_2_0, 0x137)); /* NV_Write */
    assert_false(tpm_command_is_short(TPM_VERSION_2_0, 0x15D)); /* Sign */
    assert_false(tpm_command_is_short(TPM_VERSION_2_0, 0x143)); /* SelfTest */
    assert_true(tpm_command_is_short(TPM_VERSION_1_2, 0x14));   /* Extend */
    assert_true(tpm_command_is_short(TPM_VERSION_1_2, 0xF1));   /* GetTicks */
    assert_false(tpm_command_is_short(TPM_VERSION_1_2, 0x0D));  /* TakeOwnership */
    assert_false(tpm_command_is_short(TPM_VERSION_1_2, 0x53));  /* ContinueSelfTest */
}

static void test_ordinals_of_the_other_version_are_not_short(void **state)
{
    (void)state;
    assert_false(tpm_command_is_short(TPM_VERSION_1_2, 0x17B));
    assert_false(tpm_command_is_short(TPM_VERSION_2_0, 0x46));
}

static void test_no_vendor_or_unknown_ordinal_is_short(void **state)
{
    static const uint32_t unknown[] = { 0, 0x8000017B, 0x2000017B, 0xFFFFFFFF, 0x4000000A };

    (void)state;
    for (unsigned v = 0; v < G_N_ELEMENTS(versions); v++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(unknown); i++) {
            assert_false(tpm_command_is_short(versions[v], unknown[i]));
        }
    }
}

/* ---- tpm_command_ends_selftest() ---- */

static bool ends_selftest(TPMVersion version, uint32_t ordinal, size_t size, uint32_t code,
                          size_t response_size)
{
    g_autofree uint8_t *command = message(0xC1, (uint32_t)size, ordinal, size);
    g_autofree uint8_t *response = message(0xC4, (uint32_t)response_size, code, response_size);

    return tpm_command_ends_selftest(version, command, size, response, response_size);
}

static void test_a_self_test_that_succeeds_ends_the_self_test(void **state)
{
    (void)state;
    assert_true(ends_selftest(TPM_VERSION_1_2, 0x50, 10, 0, 10));
    assert_true(ends_selftest(TPM_VERSION_1_2, 0x53, 10, 0, 10));
    assert_true(ends_selftest(TPM_VERSION_1_2, 0x53, 55, 0, 51));
    assert_true(ends_selftest(TPM_VERSION_2_0, 0x143, 11, 0, 10));
    assert_true(ends_selftest(TPM_VERSION_2_0, 0x143, 20, 0, 23));
}

/* The list of what is to do, of `n` algorithms, with sessions or without. */
static bool increment_ends_selftest(uint16_t tag, uint32_t n, size_t size)
{
    uint8_t command[] = { 0x80, 0x01, 0, 0, 0, 14, 0, 0, 0x01, 0x42, 0, 0, 0, 0 };
    g_autofree uint8_t *response = g_malloc0(MAX(size, 20));
    size_t at = tag == 0x8002 ? 14 : 10;

    tpm_put_be16(response, tag);
    tpm_put_be32(response + 2, (uint32_t)size);
    tpm_put_be32(response + at, n);
    uint8_t *exact = g_memdup2(response, size);
    bool ends = tpm_command_ends_selftest(TPM_VERSION_2_0, command, sizeof(command), exact, size);

    g_free(exact);
    return ends;
}

static void test_an_increment_that_leaves_nothing_ends_the_self_test(void **state)
{
    (void)state;
    assert_true(increment_ends_selftest(0x8001, 0, 14));
    assert_true(increment_ends_selftest(0x8002, 0, 23));
    assert_false(increment_ends_selftest(0x8001, 1, 16));
    assert_false(increment_ends_selftest(0x8002, 1, 25));
    assert_false(increment_ends_selftest(0x8001, 0, 13)); /* no whole number */
    assert_false(increment_ends_selftest(0x8002, 0, 17));
    assert_false(increment_ends_selftest(0x8001, 0, 10));
}

static void test_nothing_else_ends_the_self_test(void **state)
{
    (void)state;
    assert_false(ends_selftest(TPM_VERSION_1_2, 0x53, 10, 9, 10));       /* it failed */
    assert_false(ends_selftest(TPM_VERSION_1_2, 0x51, 10, 0, 10));       /* SelfTestStartup */
    assert_false(ends_selftest(TPM_VERSION_1_2, 0x143, 10, 0, 10));      /* of 2.0 */
    assert_false(ends_selftest(TPM_VERSION_1_2, 0x53000000, 10, 0, 10)); /* no such ordinal */
    assert_false(ends_selftest(TPM_VERSION_2_0, 0x53, 10, 0, 10));       /* no such command */
    assert_false(ends_selftest(TPM_VERSION_2_0, 0x143, 11, 0x90A, 10));  /* TPM_RC_TESTING */
    assert_false(ends_selftest(TPM_VERSION_2_0, 0x144, 12, 0, 10));      /* Startup */
    assert_false(ends_selftest(TPM_VERSION_1_2, 0x53, 9, 0, 10));        /* no whole command */
    assert_false(ends_selftest(TPM_VERSION_1_2, 0x53, 10, 0, 9));        /* no whole response */
    assert_false(ends_selftest(TPM_VERSION_1_2, 0x53, 0, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_big_endian),
        cmocka_unit_test(test_header_fields_are_at_their_offsets),
        cmocka_unit_test(test_failure_response_of_2_0_is_tag_8001_code_101),
        cmocka_unit_test(test_failure_response_of_1_2_is_tag_00c4_code_9),
        cmocka_unit_test(test_error_response_carries_any_code),
        cmocka_unit_test(test_every_tag_of_the_version_passes_and_no_other),
        cmocka_unit_test(test_a_command_shorter_than_a_header_has_a_wrong_size),
        cmocka_unit_test(test_the_shortest_command_is_a_header),
        cmocka_unit_test(test_the_size_field_must_equal_what_was_sent),
        cmocka_unit_test(test_the_tag_is_looked_at_before_the_size_field),
        cmocka_unit_test(test_a_first_word_of_eight_never_leaves),
        cmocka_unit_test(test_a_response_is_from_a_header_to_the_maximum),
        cmocka_unit_test(test_a_response_is_as_long_as_it_says),
        cmocka_unit_test(test_lookups_are_short_and_keys_are_not),
        cmocka_unit_test(test_ordinals_of_the_other_version_are_not_short),
        cmocka_unit_test(test_no_vendor_or_unknown_ordinal_is_short),
        cmocka_unit_test(test_a_self_test_that_succeeds_ends_the_self_test),
        cmocka_unit_test(test_an_increment_that_leaves_nothing_ends_the_self_test),
        cmocka_unit_test(test_nothing_else_ends_the_self_test),
    };

    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
