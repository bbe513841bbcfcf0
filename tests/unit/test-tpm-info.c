/* SPDX-License-Identifier: BSD-3-Clause */
/* What libtpms says of itself, in words: that of every version, and what a peer makes up. */
#include "tpm-info.h"

#include "backend-internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SPECIFICATION(revision)                                                                    \
    "{\"TPMSpecification\":{\"family\":\"2.0\",\"level\":0,\"revision\":" revision "}"

typedef struct Said {
    const char *info;
    const char *words;
} Said;

static const Said said[] = {
    { NULL, "libtpms" },
    { "", "libtpms" },
    { "{}", "libtpms" },
    /* 0.9.2 */
    { "{\"TPMSpecification\":{\"family\":\"1.2\",\"level\":2,\"revision\":116}}",
      "libtpms (TPM 1.2 revision 116)" },
    { SPECIFICATION("164") "}", "libtpms (TPM 2.0 revision 164, no profiles)" },
    /* 0.10 */
    { SPECIFICATION("183") ",\"ActiveProfile\":{\"Name\":\"null\",\"StateFormatLevel\":1,"
                           "\"Commands\":\"0x11f-0x122\",\"Algorithms\":\"rsa,tdes\"}}",
      "libtpms (TPM 2.0 revision 183, profile 'null' of level 1)" },
    { SPECIFICATION("183") ",\"ActiveProfile\":{\"Name\":\"custom:mine\"}}",
      "libtpms (TPM 2.0 revision 183, profile 'custom:mine')" },
    { SPECIFICATION("183") ",\"AvailableProfiles\":["
                           "{\"Name\":\"null\",\"StateFormatLevel\":1,\"Commands\":\"\"},"
                           "{\"Name\":\"default-v1\",\"StateFormatLevel\":7},"
                           "{\"Name\":\"custom\",\"StateFormatLevel\":2}]}",
      "libtpms (TPM 2.0 revision 183, profiles null default-v1 custom up to level 7)" },
    /* made up */
    { "{\"family\":\"2.0\"}", "libtpms (TPM 2.0, no profiles)" },
    { "{\"family\": \"2.0\",\"revision\": 183}", "libtpms (TPM 2.0 revision 183, no profiles)" },
    { "{\"family\":\"2.0", "libtpms" },
    { "{\"family\":\"2.0\\n\"}", "libtpms" },
    { "{\"family\":\"2.0\033[2J\"}", "libtpms" },
    { "{\"family\":\"2.0 or so\"}", "libtpms" },
    { "{\"family\":\"\"}", "libtpms" },
    { SPECIFICATION("1234567") "}", "libtpms (TPM 2.0, no profiles)" },
    { SPECIFICATION("183") ",\"ActiveProfile\":{\"Name\":\"\033[2J\",\"StateFormatLevel\":1}}",
      "libtpms (TPM 2.0 revision 183, a profile of level 1)" },
    { SPECIFICATION("183") ",\"ActiveProfile\":{\"Name\":"
                           "\"123456789012345678901234567890123\"}}",
      "libtpms (TPM 2.0 revision 183, a profile)" },
    { SPECIFICATION("183") ",\"ActiveProfile\":", "libtpms (TPM 2.0 revision 183, a profile)" },
    { SPECIFICATION("183") ",\"AvailableProfiles\":[]}",
      "libtpms (TPM 2.0 revision 183, profiles up to level 0)" },
    { SPECIFICATION("183") ",\"AvailableProfiles\":["
                           "{\"StateFormatLevel\":99999999999999999999999},"
                           "{\"StateFormatLevel\":4294967297},{\"Name\":\"a\\\\b\"}]}",
      "libtpms (TPM 2.0 revision 183, profiles up to level 99999)" },
};

static void test_what_it_says_is_put_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(said); i++) {
        g_autofree char *words = tpm_info_words("libtpms", said[i].info);

        assert_string_equal(words, said[i].words);
    }
}

/* As many profiles as there may be, with names as long as they may be. */
static void test_the_words_are_those_of_a_writer(void **state)
{
    g_autoptr(GString) info = g_string_new(SPECIFICATION("12345") ",\"AvailableProfiles\":[");

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        g_string_append(info, "{\"Name\":\"12345678901234567890123456789012\","
                              "\"StateFormatLevel\":12345},");
    }
    g_autofree char *words = tpm_info_words("swtpm 0.8 or later", info->str);

    assert_true(tpm_state_writer_check(words));
    assert_non_null(strstr(words, "profiles 12345678901234567890123456789012"));
    assert_non_null(strstr(words, "up to level 12345)"));
    g_autofree char *who = g_strnfill(100, 'w');
    g_autofree char *alone = tpm_info_words(who, info->str);

    assert_string_equal(alone, who);
}

/* Cut off anywhere, and with any of its bytes another one. */
static void test_whatever_it_says_the_words_may_stand_in_a_message(void **state)
{
    (void)state;
    for (size_t i = 1; i < G_N_ELEMENTS(said); i++) {
        g_autofree char *info = g_strdup(said[i].info);

        for (size_t at = strlen(info); at-- > 0;) {
            static const char bytes[] = { '\xFF', '"', '\033', ' ', '\0' };
            char there = info[at];

            for (size_t j = 0; j < sizeof(bytes); j++) {
                info[at] = bytes[j];
                g_autofree char *words = tpm_info_words("libtpms", info);

                assert_true(tpm_state_writer_check(words));
                assert_true(g_str_has_prefix(words, "libtpms"));
            }
            info[at] = there;
        }
    }
}

static void test_permanent_state_tells_its_form(void **state)
{
    static const guint8 later[] = { 0, 4, 0xAB, 0x36, 0x47, 0x23, 1, 2 };
    static const guint8 of_1_2[] = { 0, 1, 0, 0x22, 0, 0, 0, 0, 0, 0 };
    g_autofree char *form = tpm_info_form(later, sizeof(later));
    g_autofree char *cut = tpm_info_form(later, sizeof(later) - 1);
    g_autofree char *other = tpm_info_form(of_1_2, sizeof(of_1_2));

    (void)state;
    assert_string_equal(form, " in form 4, readable from form 258 on");
    assert_true(tpm_info_is_of_2_0(later, sizeof(later)));
    assert_string_equal(cut, "");
    assert_string_equal(other, "");
    assert_false(tpm_info_is_of_2_0(of_1_2, sizeof(of_1_2)));
    assert_false(tpm_info_is_of_2_0(NULL, 0));
}

static void test_what_a_result_means_is_told(void **state)
{
    (void)state;
    assert_non_null(strstr(tpm_info_result_words(0x2E), "has a profile that this one does not"));
    assert_int_equal(tpm_info_result_error(0x2E), TPM_ERROR_UNSUPPORTED);
    assert_non_null(strstr(tpm_info_result_words(0x84), "that of another TPM"));
    assert_int_equal(tpm_info_result_error(0x84), TPM_ERROR_STATE_DAMAGED);
    assert_null(tpm_info_result_words(9));
    assert_int_equal(tpm_info_result_error(9), TPM_ERROR_TPM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_says_is_put_in_words),
        cmocka_unit_test(test_the_words_are_those_of_a_writer),
        cmocka_unit_test(test_whatever_it_says_the_words_may_stand_in_a_message),
        cmocka_unit_test(test_permanent_state_tells_its_form),
        cmocka_unit_test(test_what_a_result_means_is_told),
    };

    return cmocka_run_group_tests_name("tpm-info", tests, NULL, NULL);
}
