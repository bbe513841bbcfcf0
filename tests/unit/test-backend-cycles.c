/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which failures are those of the TPM that is there, and which are of one from before: what a
 * backend's own thread tells of with tpmdev_backend_failed_in_cycle().
 */
#include "backend-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void fail_in_cycle(BackendFixture *fixture, unsigned cycle)
{
    g_autoptr(GError) error = g_error_new(TPMDEV_ERROR, TPM_ERROR_IO, "swtpm went away");

    tpmdev_backend_failed_in_cycle(fixture->backend, cycle, error);
}

/* It would be taken for the answer to a start that goes well. */
static void test_a_failure_from_before_a_start_is_dropped(void **state)
{
    BackendFixture *fixture = *state;

    assert_int_equal(tpmdev_backend_get_cycle(fixture->backend), 0);
    fixture_make_ready(fixture);
    unsigned before = tpmdev_backend_get_cycle(fixture->backend);

    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    assert_int_not_equal(tpmdev_backend_get_cycle(fixture->backend), before);
    fail_in_cycle(fixture, before);
    assert_news(fixture, "");
    tpmdev_backend_started(fixture->backend);
    assert_news(fixture, "S");
    fail_in_cycle(fixture, before);
    assert_news(fixture, "S");
    fail_in_cycle(fixture, tpmdev_backend_get_cycle(fixture->backend));
    assert_news(fixture, "SF");
    assert_string_equal(fixture->client.error, "swtpm went away");
}

static void load(BackendFixture *fixture)
{
    tpm_backend_load_state(fixture->backend, FIXTURE_BUFFER_SIZE, &fixture_state_of_tpm, false,
                           false);
}

static void test_a_failure_from_before_a_load_is_dropped(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    unsigned before = tpmdev_backend_get_cycle(fixture->backend);

    load(fixture);
    assert_int_not_equal(tpmdev_backend_get_cycle(fixture->backend), before);
    fail_in_cycle(fixture, before);
    assert_news(fixture, "");
    tpmdev_backend_loaded(fixture->backend);
    fail_in_cycle(fixture, before);
    assert_news(fixture, "L");
    fail_in_cycle(fixture, tpmdev_backend_get_cycle(fixture->backend));
    assert_news(fixture, "LF");
}

/* The TPM that was there is there, and whoever was to tell of its failures tells of them. */
static void test_a_load_that_was_refused_has_replaced_nothing(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    unsigned older = tpmdev_backend_get_cycle(fixture->backend);

    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    tpmdev_backend_started(fixture->backend);
    unsigned before = tpmdev_backend_get_cycle(fixture->backend);

    for (unsigned i = 0; i < 2; i++) {
        load(fixture);
        fixture_refuse(fixture, "no");
    }
    fixture_forget(fixture);
    fail_in_cycle(fixture, older);
    assert_news(fixture, "");
    fixture_submit(fixture);
    fail_in_cycle(fixture, before);
    assert_news(fixture, "C");
    assert_string_equal(fixture->client.error, "swtpm went away");
}

/* Nor has it when the class has noted the number that the load had. */
static void test_the_cycle_of_a_load_that_was_refused_counts_too(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    load(fixture);
    unsigned noted = tpmdev_backend_get_cycle(fixture->backend);

    fixture_refuse(fixture, "no");
    fixture_forget(fixture);
    fail_in_cycle(fixture, noted);
    assert_news(fixture, "F");
    fixture_forget(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    fail_in_cycle(fixture, noted);
    assert_news(fixture, "");
}

static void test_a_save_begins_no_cycle(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    unsigned before = tpmdev_backend_get_cycle(fixture->backend);

    tpm_backend_save_state(fixture->backend, false);
    fail_in_cycle(fixture, before);
    assert_news(fixture, "v");
    assert_string_equal(fixture->client.error, "swtpm went away");
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_a_failure_from_before_a_start_is_dropped),
        WITH_FIXTURE(test_a_failure_from_before_a_load_is_dropped),
        WITH_FIXTURE(test_a_load_that_was_refused_has_replaced_nothing),
        WITH_FIXTURE(test_the_cycle_of_a_load_that_was_refused_counts_too),
        WITH_FIXTURE(test_a_save_begins_no_cycle),
    };

    return cmocka_run_group_tests_name("backend-cycles", tests, NULL, NULL);
}
