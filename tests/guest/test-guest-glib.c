/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What guests of another architecture have for GLib: the same answers, in those cases that
 * guest-check relies on.
 */
#include "glib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- digests: the examples that NIST publishes for FIPS 180-4, and the sizes around a block ----
 */

static void assert_digest(GChecksumType type, const char *data, size_t size, const char *expected)
{
    GChecksum *checksum = g_checksum_new(type);
    uint8_t digest[32];
    char text[2 * sizeof(digest) + 1];
    gsize digest_size = sizeof(digest);

    /* In two parts, the first no multiple of anything. */
    size_t first = size / 3;

    g_checksum_update(checksum, (const uint8_t *)data, (gssize)first);
    g_checksum_update(checksum, (const uint8_t *)data + first, (gssize)(size - first));
    g_checksum_get_digest(checksum, digest, &digest_size);
    g_checksum_free(checksum);
    assert_int_equal(digest_size, g_checksum_type_get_length(type));
    for (gsize i = 0; i < digest_size; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    assert_string_equal(text, expected);
}

#define TWO_BLOCKS "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"

static void test_sha1(void **state)
{
    (void)state;
    assert_digest(G_CHECKSUM_SHA1, "", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_digest(G_CHECKSUM_SHA1, "abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_digest(G_CHECKSUM_SHA1, TWO_BLOCKS, strlen(TWO_BLOCKS),
                  "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

static void test_sha256(void **state)
{
    (void)state;
    assert_digest(G_CHECKSUM_SHA256, "", 0,
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest(G_CHECKSUM_SHA256, "abc", 3,
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_digest(G_CHECKSUM_SHA256, TWO_BLOCKS, strlen(TWO_BLOCKS),
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* Where the padding just fits, just does not, and needs a block of its own. */
static void test_sizes_around_a_block(void **state)
{
    static char data[128];
    static const struct {
        size_t size;
        const char *sha1;
    } cases[] = {
        { 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a" },
        { 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699" },
        { 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5" },
        { 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d" },
        { 65, "11655326c708d70319be2610e8a57d9a5b959d3b" },
        { 119, "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56" },
        { 120, "f34c1488385346a55709ba056ddd08280dd4c6d6" },
        { 128, "ad5b3fdbcb526778c2839d2f151ea753995e26a0" },
    };

    (void)state;
    memset(data, 'a', sizeof(data));
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_digest(G_CHECKSUM_SHA1, data, cases[i].size, cases[i].sha1);
    }
}

/* ---- strings ---- */

static void test_prefix_and_suffix(void **state)
{
    (void)state;
    assert_true(g_str_has_prefix("tpm0", "tpm"));
    assert_true(g_str_has_prefix("tpm0", ""));
    assert_false(g_str_has_prefix("tp", "tpm"));
    assert_true(g_str_has_suffix("\\_SB.TPM_", ".TPM_"));
    assert_false(g_str_has_suffix("PM_", ".TPM_"));
    assert_false(g_str_has_suffix(".TPM_0", ".TPM_"));
}

static void test_hexadecimal_digits(void **state)
{
    (void)state;
    assert_int_equal(g_ascii_xdigit_value('0'), 0);
    assert_int_equal(g_ascii_xdigit_value('9'), 9);
    assert_int_equal(g_ascii_xdigit_value('a'), 10);
    assert_int_equal(g_ascii_xdigit_value('F'), 15);
    assert_int_equal(g_ascii_xdigit_value('g'), -1);
    assert_int_equal(g_ascii_xdigit_value(' '), -1);
    assert_int_equal(g_ascii_xdigit_value('\0'), -1);
}

static void test_blanks_at_the_end_are_cut_off(void **state)
{
    char text[] = " a b \n\t\n";
    char blank[] = " \n";

    (void)state;
    assert_string_equal(g_strchomp(text), " a b");
    assert_string_equal(g_strchomp(blank), "");
}

static void test_texts_are_made(void **state)
{
    char *text = g_strdup_printf("%s %u", "PCR", 7u);
    char *copy = g_strdup(text);

    (void)state;
    assert_string_equal(copy, "PCR 7");
    assert_ptr_not_equal(copy, text);
    assert_null(g_strdup(NULL));
    g_free(copy);
    g_free(text);
}

static void test_a_string_grows(void **state)
{
    GString *string = g_string_new(NULL);

    (void)state;
    assert_string_equal(string->str, "");
    g_string_append_len(string, "abcd", 3);
    g_string_append_len(string, "e", 1);
    assert_int_equal(string->len, 4);
    char *text = g_string_free(string, FALSE);

    assert_string_equal(text, "abce");
    g_free(text);
    assert_null(g_string_free(g_string_new("x"), TRUE));
}

/* ---- files ---- */

static void test_files(void **state)
{
    char *text = NULL;
    gsize size = 0;

    (void)state;
    /* One of those that do not tell their size, and a long one. */
    assert_true(g_file_get_contents("/proc/self/maps", &text, &size, NULL));
    assert_true(size > 0 && size == strlen(text));
    g_free(text);
    assert_true(g_file_get_contents("/proc/self/exe", &text, &size, NULL));
    assert_true(size > 8192);
    assert_memory_equal(text, "\177ELF", 4);
    g_free(text);
    text = NULL;
    assert_false(g_file_get_contents("/proc/self/none", &text, NULL, NULL));
    assert_false(g_file_get_contents("/proc/self", &text, NULL, NULL));
    assert_null(text);
}

static void test_links(void **state)
{
    char *target = g_file_read_link("/proc/self/exe", NULL);
    char *name = g_path_get_basename(target);

    (void)state;
    assert_string_equal(name, "test-guest-glib");
    g_free(name);
    g_free(target);
    assert_null(g_file_read_link("/proc/self/maps", NULL));
    name = g_path_get_basename("name");
    assert_string_equal(name, "name");
    g_free(name);
}

static void test_time_goes_on(void **state)
{
    gint64 before = g_get_monotonic_time();
    gint64 after;

    (void)state;
    assert_true(before > 0);
    do {
        after = g_get_monotonic_time();
        assert_true(after >= before);
    } while (after == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha1),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_sizes_around_a_block),
        cmocka_unit_test(test_prefix_and_suffix),
        cmocka_unit_test(test_hexadecimal_digits),
        cmocka_unit_test(test_blanks_at_the_end_are_cut_off),
        cmocka_unit_test(test_texts_are_made),
        cmocka_unit_test(test_a_string_grows),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_time_goes_on),
    };

    return cmocka_run_group_tests_name("guest-glib", tests, NULL, NULL);
}
