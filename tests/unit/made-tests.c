/* SPDX-License-Identifier: BSD-3-Clause */
/* Tests that are made when the program runs; see made-tests.h. */
#include "made-tests.h"

struct MadeTests {
    GArray *tests;    /* of struct CMUnitTest */
    GPtrArray *owned; /* names and rows */
};

MadeTests *made_tests_new(void)
{
    MadeTests *tests = g_new0(MadeTests, 1);

    tests->tests = g_array_new(FALSE, FALSE, sizeof(struct CMUnitTest));
    tests->owned = g_ptr_array_new_with_free_func(g_free);
    return tests;
}

void made_tests_add_named(MadeTests *tests, const struct CMUnitTest *named, size_t n)
{
    g_array_append_vals(tests->tests, named, (guint)n);
}

void made_tests_add(MadeTests *tests, CMUnitTestFunction function, const void *row, size_t size,
                    const char *format, ...)
{
    struct CMUnitTest test = { .test_func = function, .initial_state = g_memdup2(row, size) };
    va_list arguments;

    va_start(arguments, format);
    char *name = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    test.name = name;
    g_ptr_array_add(tests->owned, name);
    g_ptr_array_add(tests->owned, test.initial_state);
    g_array_append_val(tests->tests, test);
}

int made_tests_run(MadeTests *tests, const char *group)
{
    struct CMUnitTest *all = (struct CMUnitTest *)(void *)tests->tests->data;
    int failed = _cmocka_run_group_tests(group, all, tests->tests->len, NULL, NULL);

    g_array_unref(tests->tests);
    g_ptr_array_unref(tests->owned);
    g_free(tests);
    return failed;
}
