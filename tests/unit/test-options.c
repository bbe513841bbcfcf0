/* SPDX-License-Identifier: BSD-3-Clause */
/* Every form of an option string, and the text of every error about one. */
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static TPMOptions *parse(const char *text)
{
    GError *error = NULL;
    TPMOptions *options = tpm_options_parse(text, "type", &error);

    if (!options) {
        fail_msg("'%s': %s", text, error->message);
    }
    return options;
}

/* The error of a call that has failed: of this kind, with exactly this text; frees it. */
static void assert_error(GError *error, TPMError code, const char *message)
{
    assert_non_null(error);
    assert_string_equal(error->message, message);
    assert_true(g_error_matches(error, TPMDEV_ERROR, (int)code));
    g_error_free(error);
}

static void assert_parse_fails(const char *text, const char *implied, const char *message)
{
    GError *error = NULL;

    assert_null(tpm_options_parse(text, implied, &error));
    assert_error(error, TPM_ERROR_INVALID_OPTION, message);
    /* No error wanted: that must not crash. */
    assert_null(tpm_options_parse(text, implied, NULL));
}

/* ---- forms ---- */

static void test_the_first_element_may_leave_out_its_name(void **state)
{
    g_autoptr(TPMOptions) options = parse("emulator,id=tpm0,chardev=c");

    (void)state;
    assert_string_equal(tpmdev_options_get(options, "type"), "emulator");
    assert_string_equal(tpmdev_options_get(options, "id"), "tpm0");
    assert_string_equal(tpmdev_options_get(options, "chardev"), "c");
    assert_null(tpmdev_options_get(options, "path"));
    assert_null(tpmdev_options_get(options, ""));
}

static void test_the_first_element_may_have_its_name(void **state)
{
    g_autoptr(TPMOptions) options = parse("id=tpm0,type=emulator");

    (void)state;
    assert_string_equal(tpmdev_options_get(options, "type"), "emulator");
    assert_string_equal(tpmdev_options_get(options, "id"), "tpm0");
}

static void test_a_doubled_comma_is_one_of_the_value(void **state)
{
    g_autoptr(TPMOptions) options = parse("a,,b,id=x,,y,,,,z,path=,,,dir=,,");

    (void)state;
    assert_string_equal(tpmdev_options_get(options, "type"), "a,b");
    assert_string_equal(tpmdev_options_get(options, "id"), "x,y,,z");
    assert_string_equal(tpmdev_options_get(options, "path"), ",");
    assert_string_equal(tpmdev_options_get(options, "dir"), ",");
}

static void test_a_value_may_hold_equals_signs_and_be_empty(void **state)
{
    g_autoptr(TPMOptions) options = parse("null,path=a=b==,id=");

    (void)state;
    assert_string_equal(tpmdev_options_get(options, "path"), "a=b==");
    assert_string_equal(tpmdev_options_get(options, "id"), "");
}

static void test_of_two_elements_with_one_name_the_last_counts(void **state)
{
    g_autoptr(TPMOptions) options = parse("null,id=a,id=b,type=emulator");

    (void)state;
    assert_string_equal(tpmdev_options_get(options, "id"), "b");
    assert_string_equal(tpmdev_options_get(options, "type"), "emulator");
}

static void test_names_are_compared_whole_and_with_their_case(void **state)
{
    g_autoptr(TPMOptions) options = parse("null,ID=a,idx=b");

    (void)state;
    assert_null(tpmdev_options_get(options, "id"));
}

static void test_an_empty_string_has_no_options(void **state)
{
    g_autoptr(TPMOptions) options = parse("");

    (void)state;
    assert_null(tpmdev_options_get(options, "type"));
}

static void test_a_comma_at_the_end_is_nothing(void **state)
{
    g_autoptr(TPMOptions) options = parse("null,id=a,");

    (void)state;
    assert_string_equal(tpmdev_options_get(options, "id"), "a");
}

static void test_freeing_nothing_is_allowed(void **state)
{
    (void)state;
    tpm_options_free(NULL);
}

/* ---- what is no option string ---- */

static void test_an_empty_element_is_an_error(void **state)
{
    const char *message = "empty parameter; write NAME=VALUE, and a comma inside a value twice";

    (void)state;
    assert_parse_fails(",", "type", message);
    assert_parse_fails(",id=a", "type", message);
    assert_parse_fails(",", NULL, message);
    assert_parse_fails("null,id=a,,,,,,b,,,,,", NULL,
                       "parameter 'null' is not of the form "
                       "NAME=VALUE");
}

static void test_an_element_without_equals_sign_is_an_error(void **state)
{
    (void)state;
    assert_parse_fails("null,tpm0", "type", "parameter 'tpm0' is not of the form NAME=VALUE");
    assert_parse_fails("id=a,null", "type", "parameter 'null' is not of the form NAME=VALUE");
    assert_parse_fails("null", NULL, "parameter 'null' is not of the form NAME=VALUE");
}

static void test_an_element_without_name_is_an_error(void **state)
{
    (void)state;
    assert_parse_fails("=a", "type", "parameter '=a' is not of the form NAME=VALUE");
    assert_parse_fails("null,=", "type", "parameter '=' is not of the form NAME=VALUE");
}

/* ---- tpm_options_check_names() ---- */

static const char *const always[] = { "type", "id", NULL };
static const char *const known[] = { "dir", "version", NULL };

static void test_known_names_pass(void **state)
{
    g_autoptr(TPMOptions) options = parse("libtpms,id=a,dir=/d,version=2.0");

    (void)state;
    assert_true(tpm_options_check_names(options, "libtpms", always, known, NULL));
}

static void test_an_unknown_name_is_told_with_those_that_are_known(void **state)
{
    g_autoptr(TPMOptions) options = parse("libtpms,id=a,directory=/d,versoin=2.0");
    GError *error = NULL;

    (void)state;
    assert_false(tpm_options_check_names(options, "libtpms", always, known, &error));
    assert_error(error, TPM_ERROR_INVALID_OPTION,
                 "libtpms: invalid parameter 'directory'; it takes type, id, dir, version");
}

static void test_without_further_names_only_the_general_ones_are_told(void **state)
{
    static const char *const none[] = { NULL };
    g_autoptr(TPMOptions) options = parse("null,id=a,dir=/d");
    const char *message = "null: invalid parameter 'dir'; it takes type, id";
    GError *error = NULL;

    (void)state;
    assert_false(tpm_options_check_names(options, "null", always, NULL, &error));
    assert_error(g_steal_pointer(&error), TPM_ERROR_INVALID_OPTION, message);
    assert_false(tpm_options_check_names(options, "null", always, none, &error));
    assert_error(error, TPM_ERROR_INVALID_OPTION, message);
}

/* ---- tpm_options_require() ---- */

static void test_a_required_option_that_is_missing_or_empty_is_told(void **state)
{
    g_autoptr(TPMOptions) options = parse("null,id=");
    GError *error = NULL;

    (void)state;
    assert_null(tpm_options_require(options, "null", "id", &error));
    assert_error(g_steal_pointer(&error), TPM_ERROR_MISSING_OPTION,
                 "null: parameter 'id' is missing; give id=VALUE");
    assert_null(tpm_options_require(options, "libtpms", "dir", &error));
    assert_error(error, TPM_ERROR_MISSING_OPTION,
                 "libtpms: parameter 'dir' is missing; give dir=VALUE");
    assert_string_equal(tpm_options_require(options, "null", "type", NULL), "null");
}

/* ---- tpm_options_get_unsigned() ---- */

static void test_a_number_in_its_range_is_taken(void **state)
{
    g_autoptr(TPMOptions) options = parse("x,low=3,high=15,zero=007,max=4294967295");
    unsigned value = 99;

    (void)state;
    assert_true(tpm_options_get_unsigned(options, "low", 3, 15, &value, NULL));
    assert_int_equal(value, 3);
    assert_true(tpm_options_get_unsigned(options, "high", 3, 15, &value, NULL));
    assert_int_equal(value, 15);
    assert_true(tpm_options_get_unsigned(options, "zero", 3, 15, &value, NULL));
    assert_int_equal(value, 7);
    assert_true(tpm_options_get_unsigned(options, "max", 0, G_MAXUINT, &value, NULL));
    assert_int_equal(value, G_MAXUINT);
}

static void test_a_number_that_is_not_given_leaves_the_value_alone(void **state)
{
    g_autoptr(TPMOptions) options = parse("x");
    unsigned value = 99;

    (void)state;
    assert_true(tpm_options_get_unsigned(options, "irq", 3, 15, &value, NULL));
    assert_int_equal(value, 99);
}

static void test_what_is_no_number_of_the_range_is_told(void **state)
{
    static const char *const wrong[] = { "2",  "16",  "",   "+5",  "-1",
                                         " 5", "0x5", "5 ", "5.0", "18446744073709551621",
                                         "5k", "five" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *text = g_strdup_printf("x,irq=%s", wrong[i]);
        g_autofree char *message =
            g_strdup_printf("parameter 'irq' is '%s'; it must be a number from 3 to 15", wrong[i]);
        g_autoptr(TPMOptions) options = parse(text);
        GError *error = NULL;
        unsigned value = 99;

        assert_false(tpm_options_get_unsigned(options, "irq", 3, 15, &value, &error));
        assert_error(error, TPM_ERROR_INVALID_OPTION, message);
        assert_int_equal(value, 99);
    }
}

/* ---- tpmdev_options_get_version() ---- */

static void test_the_versions_are_1_2_and_2_0(void **state)
{
    g_autoptr(TPMOptions) v1 = parse("x,version=1.2");
    g_autoptr(TPMOptions) v2 = parse("x,version=2.0");
    g_autoptr(TPMOptions) none = parse("x");
    TPMVersion version;

    (void)state;
    assert_true(tpmdev_options_get_version(v1, TPM_VERSION_2_0, &version, NULL));
    assert_int_equal(version, TPM_VERSION_1_2);
    assert_true(tpmdev_options_get_version(v2, TPM_VERSION_1_2, &version, NULL));
    assert_int_equal(version, TPM_VERSION_2_0);
    assert_true(tpmdev_options_get_version(none, TPM_VERSION_1_2, &version, NULL));
    assert_int_equal(version, TPM_VERSION_1_2);
    assert_true(tpmdev_options_get_version(none, TPM_VERSION_2_0, &version, NULL));
    assert_int_equal(version, TPM_VERSION_2_0);
}

static void test_no_other_version_is_taken(void **state)
{
    static const char *const wrong[] = { "", "2", "1.3", "2.0 ", "tpm2", "20" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *text = g_strdup_printf("x,version=%s", wrong[i]);
        g_autofree char *message =
            g_strdup_printf("parameter 'version' is '%s'; it must be 1.2 or 2.0", wrong[i]);
        g_autoptr(TPMOptions) options = parse(text);
        GError *error = NULL;
        TPMVersion version;

        assert_false(tpmdev_options_get_version(options, TPM_VERSION_2_0, &version, &error));
        assert_error(error, TPM_ERROR_INVALID_OPTION, message);
    }
}

/* ---- tpmdev_options_get_socket() ---- */

static const char *lookup_chr0(void *opaque, const char *id)
{
    assert_string_equal(opaque, "the opaque");
    return strcmp(id, "chr0") == 0 ? "/run/chr0" : NULL;
}

static void test_a_path_is_the_socket(void **state)
{
    g_autoptr(TPMOptions) options = parse("emulator,path=/run/s,,k");

    (void)state;
    assert_string_equal(tpmdev_options_get_socket(options, NULL), "/run/s,k");
}

static void test_a_chardev_is_looked_up(void **state)
{
    g_autoptr(TPMOptions) options = parse("emulator,chardev=chr0");

    (void)state;
    tpm_options_set_lookup(options, lookup_chr0, (void *)"the opaque");
    assert_string_equal(tpmdev_options_get_socket(options, NULL), "/run/chr0");
}

static void test_an_unknown_chardev_is_told(void **state)
{
    g_autoptr(TPMOptions) options = parse("emulator,chardev=chr1");
    const char *message = "tpm chardev 'chr1' not found; declare a socket of that id";
    GError *error = NULL;

    (void)state;
    assert_null(tpmdev_options_get_socket(options, &error)); /* nobody to look it up */
    assert_error(g_steal_pointer(&error), TPM_ERROR_NOT_FOUND, message);
    tpm_options_set_lookup(options, lookup_chr0, (void *)"the opaque");
    assert_null(tpmdev_options_get_socket(options, &error));
    assert_error(error, TPM_ERROR_NOT_FOUND, message);
}

static void test_neither_path_nor_chardev_is_told(void **state)
{
    g_autoptr(TPMOptions) options = parse("emulator,id=a");
    GError *error = NULL;

    (void)state;
    assert_null(tpmdev_options_get_socket(options, &error));
    assert_error(error, TPM_ERROR_MISSING_OPTION,
                 "parameter 'chardev' is missing; give chardev=ID of a socket, or path=SOCKET");
}

static void test_both_path_and_chardev_are_told(void **state)
{
    g_autoptr(TPMOptions) options = parse("emulator,path=/run/s,chardev=chr0");
    GError *error = NULL;

    (void)state;
    tpm_options_set_lookup(options, lookup_chr0, (void *)"the opaque");
    assert_null(tpmdev_options_get_socket(options, &error));
    assert_error(error, TPM_ERROR_INVALID_OPTION,
                 "parameters 'path' and 'chardev' are both given; give one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_element_may_leave_out_its_name),
        cmocka_unit_test(test_the_first_element_may_have_its_name),
        cmocka_unit_test(test_a_doubled_comma_is_one_of_the_value),
        cmocka_unit_test(test_a_value_may_hold_equals_signs_and_be_empty),
        cmocka_unit_test(test_of_two_elements_with_one_name_the_last_counts),
        cmocka_unit_test(test_names_are_compared_whole_and_with_their_case),
        cmocka_unit_test(test_an_empty_string_has_no_options),
        cmocka_unit_test(test_a_comma_at_the_end_is_nothing),
        cmocka_unit_test(test_freeing_nothing_is_allowed),
        cmocka_unit_test(test_an_empty_element_is_an_error),
        cmocka_unit_test(test_an_element_without_equals_sign_is_an_error),
        cmocka_unit_test(test_an_element_without_name_is_an_error),
        cmocka_unit_test(test_known_names_pass),
        cmocka_unit_test(test_an_unknown_name_is_told_with_those_that_are_known),
        cmocka_unit_test(test_without_further_names_only_the_general_ones_are_told),
        cmocka_unit_test(test_a_required_option_that_is_missing_or_empty_is_told),
        cmocka_unit_test(test_a_number_in_its_range_is_taken),
        cmocka_unit_test(test_a_number_that_is_not_given_leaves_the_value_alone),
        cmocka_unit_test(test_what_is_no_number_of_the_range_is_told),
        cmocka_unit_test(test_the_versions_are_1_2_and_2_0),
        cmocka_unit_test(test_no_other_version_is_taken),
        cmocka_unit_test(test_a_path_is_the_socket),
        cmocka_unit_test(test_a_chardev_is_looked_up),
        cmocka_unit_test(test_an_unknown_chardev_is_told),
        cmocka_unit_test(test_neither_path_nor_chardev_is_told),
        cmocka_unit_test(test_both_path_and_chardev_are_told),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
