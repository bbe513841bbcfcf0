/* SPDX-License-Identifier: BSD-3-Clause */
/* Types of backends: which there are, adding one, and making a backend from an option string. */
#include "builtin.h"
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- a class as a program would add it ---- */

static unsigned creates;
static char *created_color; /* the value of its one option */

static TPMBackend *paper_create(const TPMOptions *options, GError **error)
{
    creates++;
    g_free(created_color);
    created_color = g_strdup(tpmdev_options_get(options, "color"));
    return tpmdev_backend_null_new(tpmdev_options_get(options, "id"), TPM_VERSION_2_0, error);
}

static const char *const paper_options[] = { "color", NULL };

static const TPMBackendClass paper_class = {
    .size = sizeof(TPMBackendClass),
    .type = "paper",
    .description = "TPM drawn on paper",
    .options = paper_options,
    .create = paper_create,
};

/* ---- helpers ---- */

static void assert_error(GError *error, TPMError code, const char *message)
{
    assert_non_null(error);
    assert_string_equal(error->message, message);
    assert_true(g_error_matches(error, TPMDEV_ERROR, (int)code));
    g_error_free(error);
}

static void assert_new_fails(const char *text, TPMError code, const char *message)
{
    GError *error = NULL;

    assert_null(tpmdev_backend_new_from_string(text, NULL, NULL, &error));
    assert_error(error, code, message);
}

static int register_paper(void **state)
{
    (void)state;
    return tpmdev_backend_register(&paper_class, NULL) ? 0 : -1;
}

static int forget_paper(void **state)
{
    (void)state;
    g_clear_pointer(&created_color, g_free);
    return 0;
}

/* ---- which there are ---- */

static void test_types_are_told_in_the_order_of_registration(void **state)
{
    g_autofree const char **types = tpmdev_backend_get_types();
    static const char *const wanted[] = {
        "libtpms", "emulator", "passthrough", "null", "fault", "paper", NULL,
    };

    (void)state;
    assert_true(g_strv_equal(types, wanted));
}

static void test_every_type_has_a_description(void **state)
{
    g_autofree const char **types = tpmdev_backend_get_types();

    (void)state;
    for (unsigned i = 0; types[i]; i++) {
        const char *description = tpmdev_backend_get_description(types[i]);

        assert_non_null(description);
        assert_true(*description);
        assert_null(strchr(description, '\n'));
    }
    assert_string_equal(tpmdev_backend_get_description("paper"), "TPM drawn on paper");
}

static void test_an_unknown_type_has_no_description(void **state)
{
    (void)state;
    assert_null(tpmdev_backend_get_description("stone"));
    assert_null(tpmdev_backend_get_description(""));
}

/* ---- registering ---- */

static void test_a_type_that_is_taken_is_refused(void **state)
{
    TPMBackendClass null_again = paper_class;
    GError *error = NULL;

    (void)state;
    assert_false(tpmdev_backend_register(&paper_class, &error));
    assert_error(g_steal_pointer(&error), TPM_ERROR_IN_USE,
                 "there is already a TPM backend type 'paper'");
    null_again.type = "null";
    assert_false(tpmdev_backend_register(&null_again, &error));
    assert_error(error, TPM_ERROR_IN_USE, "there is already a TPM backend type 'null'");
}

static void test_a_type_can_be_named_in_an_option_string(void **state)
{
    static const char *const types[] = { "Stone", "st,one", "st=one", "st one", "st\none" };
    TPMBackendClass wrong = paper_class;

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        g_autofree char *message =
            g_strdup_printf("'%s' is no type of a TPM backend: give it lower-case letters, digits "
                            "and hyphens",
                            types[i]);
        GError *error = NULL;

        wrong.type = types[i];
        assert_false(tpmdev_backend_register(&wrong, &error));
        assert_error(error, TPM_ERROR_INVALID_OPTION, message);
    }
}

static void test_a_class_needs_type_and_create(void **state)
{
    const char *message = "a backend class needs a type and a create() to be registered";
    TPMBackendClass wrong[4] = { paper_class, paper_class, paper_class, paper_class };

    (void)state;
    wrong[0].type = NULL;
    wrong[1].type = "";
    wrong[2].type = "stone";
    wrong[2].create = NULL;
    wrong[3].type = "stone";
    wrong[3].size = offsetof(TPMBackendClass, create); /* a class from before there was one */
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        GError *error = NULL;

        assert_false(tpmdev_backend_register(&wrong[i], &error));
        assert_error(error, TPM_ERROR_INVALID_OPTION, message);
        assert_false(tpmdev_backend_register(&wrong[i], NULL));
    }
    assert_null(tpmdev_backend_get_description("stone"));
}

/* ---- making ---- */

static void test_a_backend_is_made_by_the_class_it_names(void **state)
{
    unsigned before = creates;
    TPMBackend *backend =
        tpmdev_backend_new_from_string("paper,id=t,,0,color=blue", NULL, NULL, NULL);

    (void)state;
    assert_non_null(backend);
    assert_int_equal(creates, before + 1);
    assert_string_equal(created_color, "blue");
    assert_string_equal(tpmdev_backend_get_id(backend), "t,0");
    tpmdev_backend_unref(backend);
}

static void test_the_type_may_be_named_anywhere(void **state)
{
    TPMBackend *backend =
        tpmdev_backend_new_from_string("id=tpm0,version=1.2,type=null", NULL, NULL, NULL);

    (void)state;
    assert_non_null(backend);
    assert_string_equal(tpmdev_backend_get_type(backend), "null");
    assert_int_equal(tpmdev_backend_get_version(backend), TPM_VERSION_1_2);
    tpmdev_backend_unref(backend);
}

static void test_an_unknown_type_is_told_with_those_there_are(void **state)
{
    (void)state;
    assert_new_fails("stone,id=tpm0", TPM_ERROR_NOT_FOUND,
                     "parameter 'type' is 'stone'; it expects a TPM backend type: libtpms, "
                     "emulator, passthrough, null, fault, paper");
    assert_new_fails("type=,id=tpm0", TPM_ERROR_NOT_FOUND,
                     "parameter 'type' is ''; it expects a TPM backend type: libtpms, emulator, "
                     "passthrough, null, fault, paper");
}

static void test_a_missing_type_is_told_with_those_there_are(void **state)
{
    const char *message = "parameter 'type' is missing; it expects a TPM backend type: libtpms, "
                          "emulator, passthrough, null, fault, paper";

    (void)state;
    assert_new_fails("id=tpm0", TPM_ERROR_MISSING_OPTION, message);
    assert_new_fails("", TPM_ERROR_MISSING_OPTION, message);
}

static void test_a_missing_id_is_told(void **state)
{
    (void)state;
    assert_new_fails("null", TPM_ERROR_MISSING_OPTION,
                     "null: parameter 'id' is missing; give id=VALUE");
    assert_new_fails("paper,id=", TPM_ERROR_MISSING_OPTION,
                     "paper: parameter 'id' is missing; give id=VALUE");
}

static void test_an_unknown_option_is_told_and_nothing_is_made(void **state)
{
    unsigned before = creates;

    (void)state;
    assert_new_fails("paper,id=tpm0,colour=blue", TPM_ERROR_INVALID_OPTION,
                     "paper: invalid parameter 'colour'; it takes type, id, color");
    assert_new_fails("null,id=tpm0,color=blue", TPM_ERROR_INVALID_OPTION,
                     "null: invalid parameter 'color'; it takes type, id, version");
    assert_int_equal(creates, before);
}

static void test_what_is_no_option_string_is_told(void **state)
{
    (void)state;
    assert_new_fails("null,tpm0", TPM_ERROR_INVALID_OPTION,
                     "parameter 'tpm0' is not of the form NAME=VALUE");
}

static void test_an_error_of_create_reaches_the_caller(void **state)
{
    (void)state;
    assert_new_fails("null,id=tpm0,version=3.0", TPM_ERROR_INVALID_OPTION,
                     "parameter 'version' is '3.0'; it must be 1.2 or 2.0");
}

static const char *lookup_nothing(void *opaque, const char *id)
{
    unsigned *lookups = opaque;

    assert_string_equal(id, "chr0");
    (*lookups)++;
    return NULL;
}

static void test_a_chardev_is_looked_up_by_the_callers_function(void **state)
{
    unsigned lookups = 0;
    GError *error = NULL;

    (void)state;
    assert_null(tpmdev_backend_new_from_string("emulator,id=tpm0,chardev=chr0", lookup_nothing,
                                               &lookups, &error));
    assert_error(error, TPM_ERROR_NOT_FOUND,
                 "tpm chardev 'chr0' not found; declare a socket of that id");
    assert_int_equal(lookups, 1);
}

/* One file each fills them in; a member left out by mistake would be found by a guest. */
static void test_a_builtin_class_is_a_whole_one(void **state)
{
    static const TPMBackendClass *const classes[] = {
        &tpm_backend_libtpms_class, &tpm_backend_emulator_class, &tpm_backend_passthrough_class,
        &tpm_backend_fault_class, &tpm_backend_null_class
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++) {
        assert_int_equal(classes[i]->size, sizeof(TPMBackendClass));
        assert_non_null(classes[i]->create);
        assert_non_null(classes[i]->start);
        assert_non_null(classes[i]->submit);
        assert_non_null(classes[i]->destroy);
        assert_int_equal(!classes[i]->poll, !classes[i]->linger_end);
    }
}

/* ---- threads ---- */

static gpointer list_types(gpointer data)
{
    (void)data;
    for (unsigned i = 0; i < 200; i++) {
        g_autofree const char **types = tpmdev_backend_get_types();

        g_assert_cmpstr(types[0], ==, "libtpms");
        g_assert_null(tpmdev_backend_get_description("nowhere"));
    }
    return NULL;
}

static void test_types_can_be_added_while_others_look(void **state)
{
    static TPMBackendClass classes[50];
    static char names[50][16];
    GThread *reader = g_thread_new("reader", list_types, NULL);

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++) {
        g_snprintf(names[i], sizeof(names[i]), "paper-%u", i);
        classes[i] = paper_class;
        classes[i].type = names[i];
        assert_true(tpmdev_backend_register(&classes[i], NULL));
    }
    g_thread_join(reader);
    assert_string_equal(tpmdev_backend_get_description("paper-49"), "TPM drawn on paper");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_are_told_in_the_order_of_registration),
        cmocka_unit_test(test_every_type_has_a_description),
        cmocka_unit_test(test_an_unknown_type_has_no_description),
        cmocka_unit_test(test_a_type_that_is_taken_is_refused),
        cmocka_unit_test(test_a_type_can_be_named_in_an_option_string),
        cmocka_unit_test(test_a_class_needs_type_and_create),
        cmocka_unit_test(test_a_backend_is_made_by_the_class_it_names),
        cmocka_unit_test(test_the_type_may_be_named_anywhere),
        cmocka_unit_test(test_an_unknown_type_is_told_with_those_there_are),
        cmocka_unit_test(test_a_missing_type_is_told_with_those_there_are),
        cmocka_unit_test(test_a_missing_id_is_told),
        cmocka_unit_test(test_an_unknown_option_is_told_and_nothing_is_made),
        cmocka_unit_test(test_what_is_no_option_string_is_told),
        cmocka_unit_test(test_an_error_of_create_reaches_the_caller),
        cmocka_unit_test(test_a_chardev_is_looked_up_by_the_callers_function),
        cmocka_unit_test(test_a_builtin_class_is_a_whole_one),
        cmocka_unit_test(test_types_can_be_added_while_others_look),
    };

    return cmocka_run_group_tests_name("registry", tests, register_paper, forget_paper);
}
