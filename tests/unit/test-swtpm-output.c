/* SPDX-License-Identifier: BSD-3-Clause */
/* What is kept of the output of a swtpm: its first line and its last, and nothing that does harm.
 */
#include "swtpm-output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The words for this text, however it comes in pieces. */
static char *words_of(const char *text, size_t size)
{
    char *words = NULL;

    for (size_t piece = 1; piece <= size + 1; piece = piece * 3 + 1) {
        SwtpmOutput output = { .total = 0 };

        for (size_t at = 0; at < size; at += piece) {
            tpm_swtpm_output_add(&output, text + at, MIN(piece, size - at));
        }
        g_autofree char *before = words;

        words = tpm_swtpm_output_words(&output);
        if (before) {
            assert_string_equal(before, words);
        }
    }
    return words;
}

static void expect(const char *text, const char *words)
{
    g_autofree char *got = words_of(text, strlen(text));

    assert_string_equal(got, words);
}

static void test_lines_are_joined(void **state)
{
    (void)state;
    expect("", "");
    expect("one", "one");
    expect("one\n", "one");
    expect("one\ntwo\n", "one; two");
    expect("\n\n", "; ");
}

static void test_what_is_not_printable_is_not_passed_on(void **state)
{
    (void)state;
    expect("\033[2Jred\033[0m\r\n", "?[2Jred?[0m?");
    expect("\xc3\xa4\x7f\t", "????");
    g_autofree char *words = words_of("a\0b", 3);

    assert_string_equal(words, "a?b");
}

static char *numbers(unsigned first, unsigned last)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = first; i <= last; i++) {
        g_string_append_printf(text, "line %u\n", i);
    }
    return g_string_free(text, FALSE);
}

static void test_of_much_the_first_line_and_the_last_ones_are_kept(void **state)
{
    g_autofree char *text = numbers(1, 5000);
    g_autofree char *words = words_of(text, strlen(text));

    (void)state;
    assert_true(g_str_has_prefix(words, "line 1 ... line 49"));
    assert_true(g_str_has_suffix(words, "; line 4999; line 5000"));
    assert_in_range(strlen(words), SWTPM_OUTPUT_LAST, 2 * SWTPM_OUTPUT_LAST);
}

/* Every size about those of the two buffers, with and without the end of a line. */
static void test_no_size_of_it_is_too_much(void **state)
{
    char text[3 * SWTPM_OUTPUT_LAST];

    (void)state;
    for (unsigned lines = 0; lines < 2; lines++) {
        for (size_t size = 0; size < sizeof(text); size += 7) {
            memset(text, 'x', sizeof(text));
            text[size / 2] = lines ? '\n' : 'x';
            g_autofree char *words = words_of(text, size);

            assert_true(strlen(words) <= SWTPM_OUTPUT_FIRST + 5 + SWTPM_OUTPUT_LAST);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_joined),
        cmocka_unit_test(test_what_is_not_printable_is_not_passed_on),
        cmocka_unit_test(test_of_much_the_first_line_and_the_last_ones_are_kept),
        cmocka_unit_test(test_no_size_of_it_is_too_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
