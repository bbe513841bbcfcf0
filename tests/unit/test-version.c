/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's version, at compile time and at run time, and its error domain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/tpmdev.h>

#include <cmocka.h>

static void test_the_string_is_made_of_the_numbers(void **state)
{
    g_autofree char *numbers = g_strdup_printf("%d.%d.%d", TPMDEV_VERSION_MAJOR,
                                               TPMDEV_VERSION_MINOR, TPMDEV_VERSION_MICRO);

    (void)state;
    assert_string_equal(TPMDEV_VERSION_STRING, numbers);
    assert_string_equal(tpmdev_version_string(), numbers);
}

/* At run time and at compile time, against each neighbour of the present version. */
static void test_every_version_up_to_this_one_is_there(void **state)
{
    enum {
        MAJOR = TPMDEV_VERSION_MAJOR,
        MINOR = TPMDEV_VERSION_MINOR,
        MICRO = TPMDEV_VERSION_MICRO,
    };
    static const struct {
        int major, minor, micro;
        bool is_there;
    } cases[] = {
        { MAJOR, MINOR, MICRO, true },          { MAJOR, MINOR, MICRO + 1, false },
        { MAJOR, MINOR + 1, 0, false },         { MAJOR + 1, 0, 0, false },
        { MAJOR, MINOR - 1, MICRO + 9, true },  { MAJOR - 1, MINOR + 9, MICRO + 9, true },
        { MAJOR, MINOR, MICRO - 1, true },      { MAJOR + 1, MINOR - 1, MICRO, false },
        { MAJOR, MINOR + 1, MICRO - 1, false },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        int major = cases[i].major, minor = cases[i].minor, micro = cases[i].micro;

        assert_int_equal(TPMDEV_CHECK_VERSION(major, minor, micro), cases[i].is_there);
        if (major >= 0 && minor >= 0 && micro >= 0) {
            assert_int_equal(
                tpmdev_version_check((unsigned)major, (unsigned)minor, (unsigned)micro),
                cases[i].is_there);
        }
    }
}

static void test_the_error_domain_is_one_quark_with_the_librarys_name(void **state)
{
    (void)state;
    assert_int_equal(TPMDEV_ERROR, tpmdev_error_quark());
    assert_string_equal(g_quark_to_string(TPMDEV_ERROR), "tpmdev-error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_string_is_made_of_the_numbers),
        cmocka_unit_test(test_every_version_up_to_this_one_is_there),
        cmocka_unit_test(test_the_error_domain_is_one_quark_with_the_librarys_name),
    };

    return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
