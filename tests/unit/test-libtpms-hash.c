/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The libtpms backend and the D-RTM hash sequence: where its thread and the TPM's storage come in.
 * What libtpms makes of a sequence is in test-real-drtm.c.
 */
#include "command.h"
#include "libtpms-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t abc[] = { 'a', 'b', 'c' };

static bool measure(Fixture *fixture)
{
    return backend_client_measure(fixture->client, abc, sizeof(abc), 2);
}

static void test_the_flag_is_told_before_the_end_of_the_sequence(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(measure(fixture));
        assert_true(fixture->client->established);
        tpm_backend_reset_established(fixture->backend, 3);
        backend_client_wait_established(fixture->client, false);
        assert_random(fixture);
    }
}

/* The flag of a TPM 2.0 is none of its state, and libtpms keeps it for the process. */
static void test_another_tpm_does_not_inherit_the_flag(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    assert_true(measure(fixture));
    start_tpm(fixture);
    assert_true(fixture->client->established); /* a reset is not enough */
    drop_backend(fixture);
    empty_directory(fixture);
    make_running(fixture);
    assert_false(fixture->client->established);
}

/* TPM 1.2 keeps it for good, so the first step stores. */
static void test_a_step_whose_flag_cannot_be_stored_fails(void **state)
{
    Fixture *fixture = *state;

    make_backend(fixture, TPM_VERSION_1_2);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    block_storage(fixture);
    assert_false(measure(fixture));
    assert_non_null(strstr(fixture->client->hash_error, "permall"));
    assert_int_equal(COMMAND(fixture, get_random_1_2), TPM12_FAIL);
    unblock_storage(fixture);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_true(measure(fixture));
    assert_true(fixture->client->established);
}

static void test_a_tpm_1_2_refuses_a_step_before_startup(void **state)
{
    Fixture *fixture = *state;

    make_backend(fixture, TPM_VERSION_1_2);
    start_tpm(fixture);
    assert_false(measure(fixture));
    assert_string_equal(fixture->client->hash_error,
                        "libtpms refused the start of a D-RTM hash sequence (code 0x26); it is not "
                        "possible before TPM_Startup");
    assert_int_equal(COMMAND(fixture, startup_1_2), TPM12_FAIL);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
}

/* A device that goes with a step under way, again and again, and another that measures. */
static void test_a_new_device_hears_nothing_of_the_old_ones_step(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    for (unsigned i = 0; i < 50; i++) {
        backend_client_hash(fixture->client, TPM_HASH_START, NULL, 0);
        unbind_client(fixture);
        bind_client(fixture);
        start_tpm(fixture);
        assert_int_equal(fixture->client->hashed, 0);
        assert_int_equal(COMMAND(fixture, startup_clear), 0);
        assert_true(measure(fixture));
    }
}

static void test_destroying_waits_for_no_step(void **state)
{
    Fixture *fixture = *state;

    for (unsigned i = 0; i < 10; i++) {
        make_running(fixture);
        backend_client_hash(fixture->client, TPM_HASH_START, NULL, 0);
        drop_backend(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_flag_is_told_before_the_end_of_the_sequence),
        TEST(test_another_tpm_does_not_inherit_the_flag),
        TEST(test_a_step_whose_flag_cannot_be_stored_fails),
        TEST(test_a_tpm_1_2_refuses_a_step_before_startup),
        TEST(test_a_new_device_hears_nothing_of_the_old_ones_step),
        TEST(test_destroying_waits_for_no_step),
    };

    return cmocka_run_group_tests_name("libtpms-hash", tests, NULL, NULL);
}
