/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract of <tpmdev/backend.h> for the D-RTM hash sequence: its steps, their data, and who
 * hears of them. The cells of the table of states and calls are in test-backend-table.c.
 */
#include "backend-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_the_end_of_a_sequence_makes_room_for_commands(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_hash(fixture, TPM_HASH_START);
    tpmdev_backend_hashed(fixture->backend);
    fixture_hash(fixture, TPM_HASH_DATA);
    tpmdev_backend_hashed(fixture->backend);
    fixture_hash(fixture, TPM_HASH_END);
    tpmdev_backend_hashed(fixture->backend);
    tpmdev_backend_hashed(fixture->backend);
    assert_news(fixture, "HHH");
    assert_int_equal(fixture->klass.hashes, 3);
    fixture_submit(fixture);
    fixture_complete(fixture, 20);
    assert_news(fixture, "HHHC");
}

static void test_the_data_of_a_step_is_the_backends_own(void **state)
{
    BackendFixture *fixture = *state;
    uint8_t data[TPM_HASH_CHUNK_MAX];

    fixture_make_ready(fixture);
    fixture_hash(fixture, TPM_HASH_START);
    assert_int_equal(fixture->klass.hash_step, TPM_HASH_START);
    assert_null(fixture->klass.hash_data);
    assert_int_equal(fixture->klass.hash_size, 0);
    tpmdev_backend_hashed(fixture->backend);
    memset(data, 0x5A, sizeof(data));
    tpm_backend_load_hash(fixture->backend, TPM_HASH_DATA, data, sizeof(data));
    tpm_backend_hash(fixture->backend);
    memset(data, 0, sizeof(data));
    assert_int_equal(fixture->klass.hash_step, TPM_HASH_DATA);
    assert_int_equal(fixture->klass.hash_size, TPM_HASH_CHUNK_MAX);
    for (unsigned i = 0; i < TPM_HASH_CHUNK_MAX; i++) {
        assert_int_equal(fixture->klass.hash_data[i], 0x5A);
    }
}

static void test_a_failure_under_a_step_says_why(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_hash(fixture, TPM_HASH_START);
    fixture_fail(fixture, "swtpm went away");
    assert_news(fixture, "h");
    assert_string_equal(fixture->client.error, "swtpm went away");
    fixture_forget(fixture);
    fixture_hash(fixture, TPM_HASH_START);
    assert_news(fixture, "h");
    assert_string_equal(fixture->client.error,
                        "TPM backend 'tpm0' has failed; the D-RTM measurement was not made");
}

/* The client may send the next step before it hears of the failure. */
static void test_a_recovery_brings_no_sequence_back(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_hash(fixture, TPM_HASH_START);
    tpmdev_backend_hashed(fixture->backend);
    fixture_fail(fixture, "swtpm went away");
    tpmdev_backend_recovered(fixture->backend);
    fixture_forget(fixture);
    fixture_hash(fixture, TPM_HASH_DATA);
    fixture_hash(fixture, TPM_HASH_END);
    assert_news(fixture, "hh");
    assert_int_equal(fixture->klass.hashes, 0);
    fixture_hash(fixture, TPM_HASH_START);
    assert_int_equal(fixture->klass.hashes, 1);
    tpmdev_backend_hashed(fixture->backend);
    assert_news(fixture, "hhH");
}

static void hashed(BackendFixture *fixture)
{
    tpmdev_backend_set_established(fixture->backend, true);
    tpmdev_backend_hashed(fixture->backend);
}

static void test_news_of_a_step_waits_for_the_hosts_context_behind_the_flag(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    tpmdev_backend_started(fixture->backend);
    while (g_main_context_iteration(fixture->context, FALSE)) {
    }
    fixture_forget(fixture);
    fixture_hash(fixture, TPM_HASH_START);
    fixture_on_thread(fixture, hashed);
    assert_news(fixture, "");
    while (g_main_context_iteration(fixture->context, FALSE)) {
    }
    assert_news(fixture, "EH");
}

static void test_a_new_client_hears_nothing_of_a_step_of_before(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_hash(fixture, TPM_HASH_START);
    tpm_backend_unbind(fixture->backend);
    assert_int_equal(fixture->klass.cancels, 0); /* there is nothing to cancel */
    fixture_bind(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    tpmdev_backend_hashed(fixture->backend);
    tpmdev_backend_started(fixture->backend);
    assert_news(fixture, "S");
}

/* ---- construction ---- */

static bool can_hash(const TPMBackendInfo *info)
{
    BackendFixture self = { 0 };
    TPMBackend *backend = tpmdev_backend_new(&fixture_class, "tpm0", info, &self, NULL);

    assert_non_null(backend);
    bool can = tpm_backend_can_hash(backend);

    tpmdev_backend_unref(backend);
    return can;
}

static void test_the_info_says_whether_it_can(void **state)
{
    TPMBackendInfo info = { sizeof(info), TPM_VERSION_2_0, 4096, false };

    (void)state;
    assert_false(can_hash(&info));
    info.hashing = true;
    assert_true(can_hash(&info));
    info.size = offsetof(TPMBackendInfo, hashing); /* it is there, but not within the size */
    assert_false(can_hash(&info));
}

static void assert_new_fails(const TPMBackendClass *klass)
{
    TPMBackendInfo info = { sizeof(info), TPM_VERSION_2_0, 4096, true };
    GError *error = NULL;

    assert_null(tpmdev_backend_new(klass, "tpm0", &info, NULL, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
    assert_string_equal(error->message,
                        "TPM backend: the info says that it can hash, and the class lacks hash()");
    g_error_free(error);
}

static void test_a_class_that_can_has_the_function(void **state)
{
    TPMBackendClass without = fixture_class;
    TPMBackendClass beyond = fixture_class;

    (void)state;
    without.hash = NULL;
    assert_new_fails(&without);
    beyond.size = offsetof(TPMBackendClass, hash); /* it is there, but not within the size */
    assert_new_fails(&beyond);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_the_end_of_a_sequence_makes_room_for_commands),
        WITH_FIXTURE(test_the_data_of_a_step_is_the_backends_own),
        WITH_FIXTURE(test_a_failure_under_a_step_says_why),
        WITH_FIXTURE(test_a_recovery_brings_no_sequence_back),
        WITH_FIXTURE(test_news_of_a_step_waits_for_the_hosts_context_behind_the_flag),
        WITH_FIXTURE(test_a_new_client_hears_nothing_of_a_step_of_before),
        cmocka_unit_test(test_the_info_says_whether_it_can),
        cmocka_unit_test(test_a_class_that_can_has_the_function),
    };

    return cmocka_run_group_tests_name("backend-hash", tests, NULL, NULL);
}
